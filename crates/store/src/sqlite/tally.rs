//! How many records the ledger holds: counted with what changes them, written once for each transaction.

use ca::ports::{LedgerCounts, SerialStatus};
use rusqlite::{Connection, params};

use super::columns::col;

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
    pub(crate) delivered: i64,
    pub(crate) acknowledged: i64,
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
        if *self == Self::default() {
            return Ok(());
        }
        connection
            .prepare_cached(
                "-- tally.write
                UPDATE ledger_counts SET accounts = accounts + ?1, wait = wait + ?2, good = good + ?3,
                    revoked = revoked + ?4, abandoned = abandoned + ?5, valid = valid + ?6, invalid = invalid + ?7,
                    delivered = delivered + ?8, acknowledged = acknowledged + ?9
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
                self.acknowledged
            ])
            .map(drop)
    }
}

/// The counts as they were last written.
pub(crate) fn read(connection: &Connection) -> rusqlite::Result<LedgerCounts> {
    connection
        .prepare_cached(
            "-- tally.read
            SELECT accounts, wait, good, revoked, abandoned, valid, invalid, delivered, acknowledged
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
            })
        })
}
