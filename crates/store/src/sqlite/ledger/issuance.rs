//! The writes of the issuance cycle: `begin`, `mark_good`, `store_final`.

use acme::AccountStatus;
use ca::order::Order;
use ca::ports::{
    Begin, BeginRefused, CrlGenerationId, IssuanceCaps, IssuanceNumber, MarkedGood, Recorded, SerialStatus, StoredFinal,
};
use ca::{AccountId, AuthorizationId, OrderId};
use pki::{Reason, Serial, Sha256, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::{authorizations, generations, orders, renewal, serials, stops};
use crate::sqlite::columns::{Col, Packed, col, maybe, packed};
use crate::sqlite::failure::Step;
use crate::sqlite::writer::Batch;

/// A [`Begin`] that a thread can take along, with all that can be made before it is written.
#[derive(Debug)]
pub(super) struct Beginning {
    order: Order,
    document: Packed,
    authorizations: Vec<(AuthorizationId, String)>,
    names: Vec<String>,
    serial: Serial,
    issuer: Sha256,
    profile_hash: Sha256,
    ct: bool,
    linting_certificate: Vec<u8>,
    spki_hash: Sha256,
    not_after: Timestamp,
    crl_generation: CrlGenerationId,
    at: Timestamp,
    caps: IssuanceCaps,
}

impl Beginning {
    pub(super) fn of(begin: &Begin<'_>) -> Step<Self> {
        Ok(Self {
            order: begin.order.clone(),
            document: packed("order_documents.packed", begin.order)?,
            authorizations: authorizations::of(begin.order),
            names: begin.names.iter().map(ToString::to_string).collect(),
            serial: begin.serial,
            issuer: begin.issuer,
            profile_hash: begin.profile_hash,
            ct: begin.ct,
            linting_certificate: begin.linting_certificate.to_vec(),
            spki_hash: begin.spki_hash,
            not_after: begin.not_after,
            crl_generation: begin.crl_generation,
            at: begin.at,
            caps: begin.caps,
        })
    }

    pub(super) fn write(&self, batch: &Batch<'_>) -> Step<Result<IssuanceNumber, BeginRefused>> {
        let known = match self.look(batch)? {
            Ok(known) => known,
            Err(refused) => return Ok(Err(refused)),
        };
        let (order_row, number) = match known {
            Some((row, last)) => {
                self.next_issuance(batch, row, last)?;
                (row, last + 1)
            }
            None => (orders::hear_of(batch, &self.order, &self.document, 1)?, 1),
        };
        self.write_serial(batch, order_row, number)?;
        batch.count(|tally| tally.wait += 1);
        batch.dated(self.at, Recorded::Issuance(self.serial));
        Ok(Ok(IssuanceNumber(number)))
    }

    /// Whether anything speaks against it. The row of the order and its last number, if the ledger knows it.
    fn look(&self, connection: &Connection) -> Step<Result<Option<(i64, u32)>, BeginRefused>> {
        let found = look(connection, self.order.id, self.order.account, self.spki_hash, self.serial)?;
        if found.ended {
            return Ok(Err(BeginRefused::OrderEnded));
        }
        if found.stopped {
            let stops = stops::of_order(connection, &self.order)?;
            if !stops.is_empty() {
                return Ok(Err(BeginRefused::Stopped(stops)));
            }
        }
        if found.account != Some(AccountStatus::Valid) {
            return Ok(Err(BeginRefused::AccountNotValid));
        }
        let bad = authorizations::first_not_good(connection, self.order.account, &self.authorizations, self.at)?;
        if let Some(bad) = bad {
            return Ok(Err(BeginRefused::AuthorizationNotGood(bad)));
        }
        if let Some(serial) = self.order.replaced_serial()
            && let Some(other) = renewal::replacement(connection, serial)?.filter(|other| *other != self.order.id)
        {
            return Ok(Err(BeginRefused::Replaced(other)));
        }
        if found.key_blocked {
            return Ok(Err(BeginRefused::KeyBlocked));
        }
        if let Some((row, last)) = found.order
            && let Err(refused) = self.check_caps(connection, row, last)?
        {
            return Ok(Err(refused));
        }
        if found.serial_taken {
            return Ok(Err(BeginRefused::SerialTaken));
        }
        Ok(Ok(found.order))
    }

    fn check_caps(&self, connection: &Connection, order_row: i64, last: u32) -> Step<Result<(), BeginRefused>> {
        let (failed, begun): (u32, Option<Timestamp>) = connection
            .prepare_cached(
                "-- ledger.begin.caps\nSELECT count(failure), max(begun) FROM serials WHERE order_row = ?1",
            )?
            .query_row([order_row], |row| Ok((row.get(0)?, maybe(row, 1)?)))?;
        Ok(self.caps.check(last, failed, begun, self.at))
    }

    fn next_issuance(&self, batch: &Batch<'_>, order_row: i64, last: u32) -> Step<()> {
        batch
            .prepare_cached("-- ledger.begin.next\nUPDATE orders SET issuances = ?2 WHERE row = ?1")?
            .execute(params![order_row, last + 1])?;
        serials::give_up(batch, order_row, last)
    }

    fn write_serial(&self, batch: &Batch<'_>, order_row: i64, number: u32) -> Step<()> {
        batch
            .prepare_cached(
                "-- ledger.begin
                INSERT INTO serials (serial, tail, order_row, number, account, status, given_up, ct, issuer, profile,
                    profile_hash, spki_hash, begun, not_after, crl_generation)
                VALUES (?1, ?2, ?3, ?4, ?5, 'wait', 0, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                Col(self.serial),
                serials::tail(self.serial),
                order_row,
                number,
                Col(self.order.account),
                self.ct,
                Col(self.issuer),
                self.order.profile,
                Col(self.profile_hash),
                Col(self.spki_hash),
                Col(self.at),
                Col(self.not_after),
                self.crl_generation.0,
            ])?;
        let row = batch.last_insert_rowid();
        generations::lasts_until(batch, self.crl_generation, self.not_after)?;
        batch
            .prepare_cached("-- ledger.begin.linting\nINSERT INTO linting_certificates (serial, der) VALUES (?1, ?2)")?
            .execute(params![row, self.linting_certificate])?;
        for name in &self.names {
            serials::write_name(batch, row, name)?;
        }
        Ok(())
    }
}

/// What `begin` compares, but for the authorizations.
struct Look {
    order: Option<(i64, u32)>,
    ended: bool,
    account: Option<AccountStatus>,
    key_blocked: bool,
    serial_taken: bool,
    /// There is a stop, of whatever.
    stopped: bool,
}

fn look(connection: &Connection, order: OrderId, account: AccountId, key: Sha256, serial: Serial) -> Step<Look> {
    let look = connection
        .prepare_cached(
            "-- ledger.begin.look
            SELECT o.row, o.issuances, o.outcome IS NOT NULL,
                (SELECT status FROM accounts WHERE id = ?2),
                EXISTS (SELECT 1 FROM blocked_keys WHERE spki_hash = ?3),
                EXISTS (SELECT 1 FROM serials WHERE serial = ?4),
                EXISTS (SELECT 1 FROM stops INDEXED BY stops_open WHERE ended IS NULL)
            FROM (SELECT 1) LEFT JOIN orders o ON o.id = ?1",
        )?
        .query_row(params![Col(order), Col(account), Col(key), Col(serial)], |row| {
            let order_row: Option<i64> = row.get(0)?;
            let last: Option<u32> = row.get(1)?;
            Ok(Look {
                order: order_row.zip(last),
                ended: row.get(2)?,
                account: maybe(row, 3)?,
                key_blocked: row.get(4)?,
                serial_taken: row.get(5)?,
                stopped: row.get(6)?,
            })
        })?;
    Ok(look)
}

/// A serial as the transitions see it.
pub(super) struct State {
    pub(super) row: i64,
    pub(super) status: SerialStatus,
    ct: bool,
    order_row: i64,
    current: bool,
    attached: bool,
    given_up: bool,
    pub(super) stored: bool,
}

pub(super) fn state(connection: &Connection, serial: Serial) -> Step<Option<State>> {
    Ok(connection
        .prepare_cached(
            "-- ledger.issuance.state
            SELECT s.row, s.status, s.ct, o.row, o.outcome IS NULL AND o.issuances = s.number, o.serial IS s.serial,
                s.given_up, s.stored IS NOT NULL
            FROM serials s JOIN orders o ON o.row = s.order_row WHERE s.serial = ?1",
        )?
        .query_row([Col(serial)], |row| {
            Ok(State {
                row: row.get(0)?,
                status: col(row, 1)?,
                ct: row.get(2)?,
                order_row: row.get(3)?,
                current: row.get(4)?,
                attached: row.get(5)?,
                given_up: row.get(6)?,
                stored: row.get(7)?,
            })
        })
        .optional()?)
}

/// Only of what is current: a late worker's failure is not the order's.
pub(super) fn failed(batch: &Batch<'_>, serial: Serial, failure: &str) -> Step<()> {
    batch
        .prepare_cached(
            "-- ledger.issuance_failed
            UPDATE serials SET failure = ?2 WHERE serial = ?1 AND failure IS NULL AND EXISTS (
                SELECT 1 FROM orders o WHERE o.row = order_row AND o.outcome IS NULL AND o.issuances = number)",
        )?
        .execute(params![Col(serial), failure])?;
    Ok(())
}

/// What follows from something else is not recorded as earlier, whatever became of the clock in between.
pub(super) fn mark_good(batch: &Batch<'_>, serial: Serial, at: Timestamp) -> Step<Option<MarkedGood>> {
    let Some(state) = state(batch, serial)? else {
        return Ok(None);
    };
    let current = state.current;
    let status = match state.status {
        SerialStatus::Wait | SerialStatus::Good => SerialStatus::Good,
        SerialStatus::Revoked => SerialStatus::Revoked,
    };
    mark_good_of(batch, serial, &state, at)?;
    Ok(Some(MarkedGood { status, current }))
}

/// Whether it was `wait` until now.
pub(super) fn mark_good_of(batch: &Batch<'_>, serial: Serial, state: &State, at: Timestamp) -> Step<bool> {
    match state.status {
        SerialStatus::Wait => {}
        SerialStatus::Good | SerialStatus::Revoked => return Ok(false),
    }
    batch
        .prepare_cached(
            "-- ledger.mark_good\nUPDATE serials SET status = 'good', good = max(?2, begun) WHERE row = ?1",
        )?
        .execute(params![state.row, Col(at)])?;
    batch.count(|tally| {
        tally.wait -= 1;
        tally.good += 1;
    });
    batch.dated(at, Recorded::Issuance(serial));
    Ok(true)
}

/// When something happened, and when it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) at: Timestamp,
    pub(super) now: Timestamp,
}

pub(super) fn store_final(
    batch: &Batch<'_>,
    serial: Serial,
    certificate: &[u8],
    times: Times,
) -> Step<Option<StoredFinal>> {
    let at = times.at;
    let Some(state) = state(batch, serial)? else {
        return Ok(None);
    };
    if state.stored {
        return Ok(Some(if state.attached { StoredFinal::OrderValid } else { StoredFinal::Detached }));
    }
    let ready = match state.status {
        SerialStatus::Good => true,
        SerialStatus::Wait => !state.ct,
        SerialStatus::Revoked => false,
    };
    batch
        .prepare_cached("-- ledger.store_final.certificate\nINSERT INTO certificates (serial, der) VALUES (?1, ?2)")?
        .execute(params![state.row, certificate])?;
    batch.dated(at, Recorded::Issuance(serial));
    if state.current && ready {
        attach(batch, &state, serial, at)?;
        Ok(Some(StoredFinal::OrderValid))
    } else {
        detach(batch, &state, times)?;
        Ok(Some(StoredFinal::Detached))
    }
}

fn attach(batch: &Batch<'_>, state: &State, serial: Serial, at: Timestamp) -> Step<()> {
    batch
        .prepare_cached(
            "-- ledger.store_final
            UPDATE serials SET status = 'good', good = coalesce(good, max(?2, begun)),
                stored = max(?2, coalesce(good, begun))
            WHERE row = ?1",
        )?
        .execute(params![state.row, Col(at)])?;
    batch
        .prepare_cached(
            "-- ledger.store_final.order
            UPDATE orders SET outcome = 'valid', ended = (SELECT stored FROM serials WHERE row = ?2), serial = ?3
            WHERE row = ?1",
        )?
        .execute(params![state.order_row, state.row, Col(serial)])?;
    batch.count(|tally| {
        *tally.status(state.status) -= 1;
        tally.good += 1;
        tally.valid += 1;
    });
    Ok(())
}

/// An earlier revocation stays as it is.
fn detach(batch: &Batch<'_>, state: &State, times: Times) -> Step<()> {
    let Times { at, now } = times;
    let by = "cairn";
    match state.status {
        SerialStatus::Wait | SerialStatus::Good => {
            serials::write_revocation(batch, state.row, (Reason::Superseded, at, by), now)?;
            serials::count_revoked(batch, state.status, state.given_up);
        }
        SerialStatus::Revoked => {}
    }
    batch
        .prepare_cached(
            "-- ledger.store_final.detached
            UPDATE serials SET stored = max(?2, coalesce(good, begun)) WHERE row = ?1",
        )?
        .execute(params![state.row, Col(at)])?;
    Ok(())
}
