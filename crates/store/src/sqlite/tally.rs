//! How many records the ledger holds, and which is the newest: noted with what changes them, written once for each
//! transaction.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ca::ports::{LedgerCounts, Newest, Recorded, SerialStatus};
use pki::Timestamp;
use rusqlite::{Connection, params};

use super::columns::{Col, col, document, json};
use super::failure::Step;
use super::writer::Batch;

/// What a transaction adds to the counts of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) accounts: i64,
    pub(crate) wait: i64,
    pub(crate) good: i64,
    pub(crate) revoked: i64,
    pub(crate) abandoned: i64,
    pub(crate) valid: i64,
    pub(crate) invalid: i64,
    pub(crate) our_fault: i64,
    pub(crate) delivered: i64,
    pub(crate) acknowledged: i64,
    /// The newest of what was recorded.
    pub(crate) newest: Newest,
    /// The time that was accepted: what was recorded before counts no more.
    pub(crate) accepted: Option<Timestamp>,
}

impl Tally {
    /// The count of serials of this status.
    pub(crate) const fn status(&mut self, status: SerialStatus) -> &mut i64 {
        match status {
            SerialStatus::Wait => &mut self.wait,
            SerialStatus::Good => &mut self.good,
            SerialStatus::Revoked => &mut self.revoked,
        }
    }

    /// Writes what was counted, if anything was.
    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        if (Self { newest: Newest::default(), accepted: None, ..*self }) == Self::default() {
            return Ok(());
        }
        connection
            .prepare_cached(
                "-- tally.write
                UPDATE ledger_counts SET accounts = accounts + ?1, wait = wait + ?2, good = good + ?3,
                    revoked = revoked + ?4, abandoned = abandoned + ?5, valid = valid + ?6, invalid = invalid + ?7,
                    delivered = delivered + ?8, acknowledged = acknowledged + ?9, our_fault = our_fault + ?10
                WHERE row = 1",
            )?
            .execute(params![
                self.accounts,
                self.wait,
                self.good,
                self.revoked,
                self.abandoned,
                self.valid,
                self.invalid,
                self.delivered,
                self.acknowledged,
                self.our_fault
            ])
            .map(drop)
    }
}

/// The counts as they were last written.
pub(crate) fn read(connection: &Connection) -> rusqlite::Result<LedgerCounts> {
    connection
        .prepare_cached(
            "-- tally.read
            SELECT accounts, wait, good, revoked, abandoned, valid, invalid, delivered, acknowledged, our_fault
            FROM ledger_counts WHERE row = 1",
        )?
        .query_row([], |row| {
            Ok(LedgerCounts {
                accounts: col(row, 0)?,
                wait: col(row, 1)?,
                good: col(row, 2)?,
                revoked: col(row, 3)?,
                abandoned: col(row, 4)?,
                valid: col(row, 5)?,
                invalid: col(row, 6)?,
                delivered: col(row, 7)?,
                acknowledged: col(row, 8)?,
                our_fault: col(row, 9)?,
            })
        })
}

/// So much older than the newest record the one that is written down may be.
const PRECISION: Duration = Duration::from_secs(1);

/// The newest record, known in memory.
#[derive(Debug)]
pub(crate) struct NewestKnown {
    known: Mutex<Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    newest: Newest,
    /// The time of the one that is written down.
    written: Timestamp,
}

impl NewestKnown {
    /// As it was written down.
    pub(crate) fn read(connection: &Connection) -> Step<Self> {
        let newest = newest(connection)?;
        Ok(Self { known: Mutex::new(Known { newest, written: newest.at }) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn newest(&self) -> Newest {
        self.lock().newest
    }

    /// Writes it down, if that is due.
    pub(crate) fn write(&self, connection: &Connection, newest: Newest) -> Step<()> {
        if newest.at < self.lock().written.plus(PRECISION) {
            return Ok(());
        }
        write_newest(connection, newest)
    }

    /// The transaction that [`NewestKnown::write`] wrote in was committed.
    pub(crate) fn committed(&self, newest: Newest) {
        let mut known = self.lock();
        if newest.at >= known.written.plus(PRECISION) {
            known.written = newest.at;
        }
        known.newest = known.newest.or(newest);
    }

    /// The transaction that accepted this time was committed.
    pub(crate) fn accepted(&self, at: Timestamp) {
        *self.lock() = Known { newest: accepted(at), written: at };
    }
}

const fn accepted(at: Timestamp) -> Newest {
    Newest { at, record: Recorded::Accepted }
}

/// Writes down that this time was accepted. Revocations that were written after it were written before it, and
/// generations of CRL shards that ended after it have not ended.
pub(crate) fn accept(batch: &Batch<'_>, at: Timestamp) -> Step<()> {
    batch
        .prepare_cached(
            "-- ledger.accept_time.revocations
            UPDATE serials INDEXED BY serials_revoked_last SET revoked_at = ?1
            WHERE status = 'revoked' AND revoked_at > ?1",
        )?
        .execute([Col(at)])?;
    batch
        .prepare_cached(
            "-- ledger.accept_time.generations
            UPDATE crl_generation_ends SET ended = NULL WHERE ended > ?1",
        )?
        .execute([Col(at)])?;
    batch.count(|tally| {
        tally.newest = accepted(at);
        tally.accepted = Some(at);
    });
    write_newest(batch, accepted(at))
}

fn write_newest(connection: &Connection, newest: Newest) -> Step<()> {
    connection
        .prepare_cached("-- tally.newest\nUPDATE ledger_counts SET newest = ?1, newest_record = ?2 WHERE row = 1")?
        .execute(params![Col(newest.at), document("ledger_counts.newest_record", &newest.record)?])?;
    Ok(())
}

/// The newest record as it was last written down.
pub(crate) fn newest(connection: &Connection) -> Step<Newest> {
    Ok(connection
        .prepare_cached("-- tally.newest.read\nSELECT newest, newest_record FROM ledger_counts WHERE row = 1")?
        .query_row([], |row| Ok(Newest { at: col(row, 0)?, record: json(row, 1)? }))?)
}
