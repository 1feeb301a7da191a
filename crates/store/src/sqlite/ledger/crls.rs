//! CRLs: their numbers, the last one of each shard, and parts of entries.

use std::ops::Range;

use ca::ports::{CrlLeftover, CrlPart, CrlRecord, CrlShard, CrlState, Recorded};
use pki::{Sha256, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::sqlite::columns::{Col, col, maybe};
use crate::sqlite::failure::Step;
use crate::sqlite::writer::Batch;

pub(super) fn crl_state(connection: &Connection, issuer: Sha256, shard: CrlShard) -> Step<CrlState> {
    let CrlShard { number, generation, shards } = shard;
    let allocated = connection
        .prepare_cached("-- ledger.crl_state\nSELECT allocated FROM crl_numbers WHERE issuer = ?1 AND shard = ?2")?
        .query_row(params![Col(issuer), number], |row| col(row, 0))
        .optional()?;
    let last = last_crl(connection, issuer, number)?;
    let last_revocation = connection
        .prepare_cached(
            "-- ledger.crl_state.revocation
            SELECT revoked_at FROM serials INDEXED BY serials_revoked_last
            WHERE issuer = ?1 AND crl_generation = ?4 AND status = 'revoked' AND tail % ?3 = ?2
            ORDER BY revoked_at DESC LIMIT 1",
        )?
        .query_row(params![Col(issuer), shard.place(), shards.max(1), generation.0], |row| col(row, 0))
        .optional()?;
    Ok(CrlState { allocated: allocated.unwrap_or(0), last, last_revocation })
}

pub(super) fn last_crl(connection: &Connection, issuer: Sha256, shard: u16) -> Step<Option<CrlRecord>> {
    Ok(connection
        .prepare_cached(
            "-- ledger.last_crl
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
        .optional()?)
}

pub(super) fn allocate_crl_number(
    batch: &Batch<'_>,
    (issuer, shard, number): (Sha256, u16, u64),
    this_update: Timestamp,
) -> Step<bool> {
    let allocated = raise_number(batch, (issuer, shard, number))?;
    if allocated {
        batch.dated(this_update, Recorded::Crl { shard, number });
    }
    Ok(allocated)
}

/// Whether it is above the last.
pub(super) fn raise_number(batch: &Batch<'_>, (issuer, shard, number): (Sha256, u16, u64)) -> Step<bool> {
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

pub(super) fn crl_part(connection: &Connection, place: &CrlPart, octets: &Range<u64>) -> Step<Option<Vec<u8>>> {
    let (from, length) = (octets.start.saturating_add(1), octets.end.saturating_sub(octets.start));
    Ok(connection
        .prepare_cached(
            "-- ledger.crl_part
            SELECT substr(octets, ?5, ?6) FROM crl_parts
            WHERE issuer = ?1 AND shard = ?2 AND number = ?3 AND part = ?4",
        )?
        .query_row(
            params![Col(place.issuer), place.shard, Col(place.number), Col(place.part), Col(from), Col(length)],
            |row| row.get(0),
        )
        .optional()?)
}

pub(super) fn store_crl(batch: &Batch<'_>, crl: &CrlRecord, now: Timestamp) -> Step<bool> {
    let (issuer, shard) = (Col(crl.issuer), crl.shard);
    // Somebody may be reading the one before.
    batch
        .prepare_cached(
            "-- ledger.store_crl.replaced
            INSERT INTO replaced_crls (issuer, shard, number, replaced)
            SELECT issuer, shard, number, ?4 FROM crls WHERE issuer = ?1 AND shard = ?2 AND number < ?3
                AND EXISTS (SELECT 1 FROM crl_parts WHERE issuer = ?1 AND shard = ?2 AND number = crls.number)
            ON CONFLICT DO NOTHING",
        )?
        .execute(params![issuer, shard, Col(crl.number), Col(now)])?;
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

pub(super) fn leftovers(connection: &Connection, issuer: Sha256, shard: u16, limit: u32) -> Step<Vec<CrlLeftover>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.crl_leftovers
        SELECT number, (SELECT replaced FROM replaced_crls
            WHERE issuer = ?1 AND shard = ?2 AND number = crl_parts.number)
        FROM crl_parts WHERE issuer = ?1 AND shard = ?2
            AND NOT EXISTS (SELECT 1 FROM crls WHERE issuer = ?1 AND shard = ?2 AND number = crl_parts.number)
        GROUP BY number ORDER BY number LIMIT ?3",
    )?;
    let rows = statement.query_map(params![Col(issuer), shard, limit], |row| {
        Ok(CrlLeftover { number: col(row, 0)?, replaced: maybe(row, 1)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn drop_parts(batch: &Batch<'_>, (issuer, shard, number): (Sha256, u16, u64), limit: u32) -> Step<u32> {
    let dropped = batch
        .prepare_cached(
            "-- ledger.drop_crl_parts
            DELETE FROM crl_parts WHERE issuer = ?1 AND shard = ?2 AND number = ?3 AND part IN (
                    SELECT part FROM crl_parts WHERE issuer = ?1 AND shard = ?2 AND number = ?3 LIMIT ?4)
                AND NOT EXISTS (SELECT 1 FROM crls WHERE issuer = ?1 AND shard = ?2 AND number = ?3)",
        )?
        .execute(params![Col(issuer), shard, Col(number), limit])?;
    let dropped = u32::try_from(dropped).unwrap_or(limit);
    if dropped < limit {
        batch
            .prepare_cached(
                "-- ledger.drop_crl_parts.replaced
                DELETE FROM replaced_crls WHERE issuer = ?1 AND shard = ?2 AND number = ?3",
            )?
            .execute(params![Col(issuer), shard, Col(number)])?;
    }
    Ok(dropped)
}
