//! Revocations and CRLs.

use ca::ports::{CrlPart, CrlRecord, CrlState, Recorded, Revocation, Revoked, SerialStatus};
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

pub(super) fn upgrade(batch: &Batch<'_>, serial: Serial, by: &str, now: Timestamp) -> Step<bool> {
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

pub(super) fn crl_state(connection: &Connection, issuer: Sha256, shard: u16, shards: u16) -> Step<CrlState> {
    let allocated = connection
        .prepare_cached("-- ledger.crl_state\nSELECT allocated FROM crl_numbers WHERE issuer = ?1 AND shard = ?2")?
        .query_row(params![Col(issuer), shard], |row| col(row, 0))
        .optional()?;
    let last = connection
        .prepare_cached(
            "-- ledger.crl_state.last
            SELECT number, this_update, next_update, head, entries, entry_octets, tail, sha256
            FROM crls WHERE issuer = ?1 AND shard = ?2",
        )?
        .query_row(params![Col(issuer), shard], |row| {
            Ok(CrlRecord {
                issuer,
                shard,
                number: col(row, 0)?,
                this_update: col(row, 1)?,
                next_update: col(row, 2)?,
                head: row.get(3)?,
                entries: col(row, 4)?,
                entry_octets: col(row, 5)?,
                tail: row.get(6)?,
                sha256: col(row, 7)?,
            })
        })
        .optional()?;
    let last_revocation = connection
        .prepare_cached(
            "-- ledger.crl_state.revocation
            SELECT revoked_at FROM serials INDEXED BY serials_revoked_last
            WHERE issuer = ?1 AND status = 'revoked' AND tail % ?3 = ?2 ORDER BY revoked_at DESC LIMIT 1",
        )?
        .query_row(params![Col(issuer), shard, shards.max(1)], |row| col(row, 0))
        .optional()?;
    Ok(CrlState { allocated: allocated.unwrap_or(0), last, last_revocation })
}

pub(super) fn allocate_crl_number(batch: &Batch<'_>, issuer: Sha256, shard: u16, number: u64) -> Step<bool> {
    let allocated = batch
        .prepare_cached(
            "-- ledger.allocate_crl_number
            INSERT INTO crl_numbers (issuer, shard, allocated) SELECT ?1, ?2, ?3 WHERE ?3 > 0
            ON CONFLICT (issuer, shard) DO UPDATE SET allocated = excluded.allocated
            WHERE excluded.allocated > allocated",
        )?
        .execute(params![Col(issuer), shard, Col(number)])?;
    Ok(allocated == 1)
}

pub(super) fn put_crl_part(batch: &Batch<'_>, place: &CrlPart, octets: &[u8]) -> Step<bool> {
    let put = batch
        .prepare_cached(
            "-- ledger.put_crl_part
            INSERT OR REPLACE INTO crl_parts (issuer, shard, number, part, octets) SELECT ?1, ?2, ?3, ?4, ?5
            WHERE NOT EXISTS (SELECT 1 FROM crls WHERE issuer = ?1 AND shard = ?2 AND number >= ?3)",
        )?
        .execute(params![Col(place.issuer), place.shard, Col(place.number), Col(place.part), octets])?;
    Ok(put == 1)
}

pub(super) fn crl_part(connection: &Connection, place: &CrlPart) -> Step<Option<Vec<u8>>> {
    Ok(connection
        .prepare_cached(
            "-- ledger.crl_part
            SELECT octets FROM crl_parts WHERE issuer = ?1 AND shard = ?2 AND number = ?3 AND part = ?4",
        )?
        .query_row(params![Col(place.issuer), place.shard, Col(place.number), Col(place.part)], |row| row.get(0))
        .optional()?)
}

pub(super) fn store_crl(batch: &Batch<'_>, crl: &CrlRecord) -> Step<bool> {
    let (issuer, shard) = (Col(crl.issuer), crl.shard);
    // Somebody may be reading the one before.
    batch
        .prepare_cached(
            "-- ledger.store_crl.parts
            DELETE FROM crl_parts WHERE issuer = ?1 AND shard = ?2
                AND number < (SELECT number FROM crls WHERE issuer = ?1 AND shard = ?2 AND number < ?3)",
        )?
        .execute(params![issuer, shard, Col(crl.number)])?;
    let stored = batch
        .prepare_cached(
            "-- ledger.store_crl
            INSERT INTO crls
                (issuer, shard, number, this_update, next_update, head, entries, entry_octets, tail, sha256)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
            ON CONFLICT (issuer, shard) DO UPDATE SET number = excluded.number, this_update = excluded.this_update,
                next_update = excluded.next_update, head = excluded.head, entries = excluded.entries,
                entry_octets = excluded.entry_octets, tail = excluded.tail, sha256 = excluded.sha256
            WHERE excluded.number > number",
        )?
        .execute(params![
            issuer,
            shard,
            Col(crl.number),
            Col(crl.this_update),
            Col(crl.next_update),
            crl.head,
            Col(crl.entries),
            Col(crl.entry_octets),
            crl.tail,
            Col(crl.sha256),
        ])?;
    batch.dated(crl.this_update, Recorded::Crl { shard: crl.shard, number: crl.number });
    Ok(stored == 1)
}

/// What a page of a shard's revoked serials is asked for by.
#[derive(Debug)]
pub(super) struct RevokedPage {
    pub(super) issuer: Sha256,
    pub(super) shard: (u16, u16),
    pub(super) not_after_min: Timestamp,
    pub(super) after: Option<Serial>,
    pub(super) limit: u32,
}

pub(super) fn revoked(connection: &Connection, page: &RevokedPage) -> Step<Vec<CrlEntry>> {
    let RevokedPage { issuer, shard: (shard, shards), not_after_min, after, limit } = page;
    // Written out, the number of shards is that of the index.
    let shards = (*shards).max(1);
    let mut statement = connection.prepare_cached(&format!(
        "-- ledger.revoked
        SELECT serial, revoked, reason FROM serials
        WHERE issuer = ?1 AND status = 'revoked' AND (length(serial), serial) > (?2, ?3)
            AND tail % {shards} = ?4 AND not_after >= ?5
        ORDER BY length(serial), serial LIMIT ?6",
    ))?;
    let behind = after.as_ref().map_or(&[][..], Serial::as_bytes);
    let rows = statement.query_map(
        params![Col(*issuer), Col(behind.len() as u64), behind, shard, Col(*not_after_min), limit],
        |row| Ok(CrlEntry { serial: col(row, 0)?, revoked_at: col(row, 1)?, reason: col(row, 2)? }),
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}
