//! Revocations, and what CRLs list of them.

use ca::ports::{CrlShard, Recorded, Revocation, Revoked, SerialStatus};
use pki::{CrlEntry, Reason, Serial, Sha256, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::serials;
use crate::sqlite::columns::{Col, col, maybe};
use crate::sqlite::failure::Step;
use crate::sqlite::writer::Batch;

pub(super) fn revoke(batch: &Batch<'_>, revocation: &Revocation, now: Timestamp) -> Step<Revoked> {
    let serial = revocation.serial;
    let found = batch
        .prepare_cached(
            "-- ledger.revoke.look
            SELECT row, status, given_up, reason, revoked, revoked_by FROM serials WHERE serial = ?1",
        )?
        .query_row([Col(serial)], |row| {
            let (status, given_up): (SerialStatus, bool) = (col(row, 1)?, row.get(2)?);
            let earlier = maybe(row, 3)?.zip(maybe(row, 4)?).zip(row.get::<_, Option<String>>(5)?);
            let earlier = earlier.map(|((reason, revoked), by)| Revocation { serial, reason, revoked, by });
            Ok((row.get::<_, i64>(0)?, status, given_up, earlier))
        })
        .optional()?;
    let Some((row, status, given_up, earlier)) = found else {
        return Ok(Revoked::UnknownSerial);
    };
    if let Some(earlier) = earlier {
        return Ok(Revoked::Already(earlier));
    }
    let Revocation { reason, revoked, by, .. } = revocation;
    serials::write_revocation(batch, row, (*reason, *revoked, by), now)?;
    serials::count_revoked(batch, status, given_up);
    batch.dated(batch.written(now), Recorded::Revocation(serial));
    Ok(Revoked::Done)
}

pub(in crate::sqlite) fn upgrade(batch: &Batch<'_>, serial: Serial, by: &str, now: Timestamp) -> Step<bool> {
    let written = batch.written(now);
    let upgraded = batch
        .prepare_cached(
            "-- ledger.upgrade_to_key_compromise
            UPDATE serials SET reason = ?2, revoked_by = ?3, revoked_at = ?4
            WHERE serial = ?1 AND status = 'revoked' AND reason <> ?2",
        )?
        .execute(params![Col(serial), Col(Reason::KeyCompromise), by, Col(written)])?;
    if upgraded == 1 {
        batch.dated(written, Recorded::Revocation(serial));
    }
    Ok(upgraded == 1)
}

/// What a page of a shard's revoked serials is asked for by.
#[derive(Debug)]
pub(super) struct RevokedPage {
    pub(super) issuer: Sha256,
    pub(super) shard: CrlShard,
    pub(super) not_after_min: Timestamp,
    pub(super) after: Option<Serial>,
    pub(super) limit: u32,
}

pub(super) fn revoked(connection: &Connection, page: &RevokedPage) -> Step<Vec<CrlEntry>> {
    let RevokedPage { issuer, shard, not_after_min, after, limit } = page;
    // Written out, they are those of the index.
    let (generation, shards) = (shard.generation, shard.shards.max(1));
    let mut statement = connection.prepare_cached(&format!(
        "-- ledger.revoked
        SELECT serial, revoked, reason FROM serials
        WHERE issuer = ?1 AND status = 'revoked' AND (length(serial), serial) > (?2, ?3)
            AND crl_generation = {generation} AND tail % {shards} = ?4 AND not_after >= ?5
        ORDER BY length(serial), serial LIMIT ?6",
    ))?;
    let behind = after.as_ref().map_or(&[][..], Serial::as_bytes);
    let rows = statement.query_map(
        params![Col(*issuer), Col(behind.len() as u64), behind, shard.place(), Col(*not_after_min), limit],
        |row| Ok(CrlEntry { serial: col(row, 0)?, revoked_at: col(row, 1)?, reason: col(row, 2)? }),
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}
