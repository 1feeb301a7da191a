//! Generations of CRL shards.

use ca::ports::{CrlGeneration, CrlGenerationId, CrlGenerationRecord};
use pki::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::sqlite::columns::{Col, maybe};
use crate::sqlite::failure::Step;
use crate::sqlite::writer::Batch;

fn from_columns(row: &Row<'_>) -> rusqlite::Result<CrlGenerationRecord> {
    let generation = CrlGeneration {
        id: CrlGenerationId(row.get(0)?),
        shards: row.get(1)?,
        status_url: row.get(2)?,
        since: maybe(row, 3)?,
    };
    Ok(CrlGenerationRecord { generation, last_not_after: maybe(row, 4)?, ended: maybe(row, 5)? })
}

pub(super) fn all(connection: &Connection) -> Step<Vec<CrlGenerationRecord>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.crl_generations
        SELECT g.first, g.shards, g.status_url, g.since, e.last_not_after, e.ended
        FROM crl_generations g LEFT JOIN crl_generation_ends e ON e.first = g.first ORDER BY g.first",
    )?;
    let rows = statement.query_map([], from_columns)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn add(batch: &Batch<'_>, generation: &CrlGeneration) -> Step<CrlGeneration> {
    let CrlGeneration { id, shards, status_url, since } = generation;
    if let Some(standing) = all(batch)?.into_iter().find(|known| known.generation.id == *id) {
        return Ok(standing.generation);
    }
    batch
        .prepare_cached(
            "-- ledger.add_crl_generation
            INSERT INTO crl_generations (first, shards, status_url, since) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![id.0, shards, status_url, since.map(Timestamp::millis)])?;
    index(batch, generation)?;
    Ok(generation.clone())
}

/// No migration can make it: generations are the operator's. Nothing but reads of revoked serials looks for it; without
/// it, each list is found by a look at all that are revoked.
fn index(connection: &Connection, generation: &CrlGeneration) -> rusqlite::Result<()> {
    let CrlGeneration { id, shards, .. } = generation;
    // What takes the place of the index that the first generation had before there were others.
    connection.execute_batch(&format!(
        "DROP INDEX IF EXISTS serials_revoked_of_{shards}_shards;
        CREATE INDEX IF NOT EXISTS serials_revoked_of_{shards}_shards_from_{id}
        ON serials (issuer, tail % {shards}, length(serial), serial, not_after, revoked, reason)
        WHERE status = 'revoked' AND crl_generation = {id}"
    ))
}

pub(super) fn end(
    batch: &Batch<'_>,
    id: CrlGenerationId,
    last_not_after: Option<Timestamp>,
    at: Timestamp,
) -> Step<bool> {
    let ended = batch
        .prepare_cached(
            "-- ledger.end_crl_generation
            INSERT INTO crl_generation_ends (first, ended)
            SELECT first, ?3 FROM crl_generations WHERE first = ?1
                AND (?2 IS NULL OR EXISTS (SELECT 1 FROM crl_generation_ends WHERE first = ?1))
            ON CONFLICT (first) DO UPDATE SET ended = excluded.ended WHERE last_not_after IS ?2 AND ended IS NULL",
        )?
        .execute(params![id.0, last_not_after.map(Timestamp::millis), Col(at)])?;
    Ok(ended == 1)
}

/// A certificate of this generation ends then.
pub(super) fn lasts_until(batch: &Batch<'_>, id: CrlGenerationId, not_after: Timestamp) -> Step<()> {
    batch
        .prepare_cached(
            "-- ledger.crl_generation.lasts
            INSERT INTO crl_generation_ends (first, last_not_after) VALUES (?1, ?2)
            ON CONFLICT (first) DO UPDATE SET last_not_after = excluded.last_not_after, ended = NULL
            WHERE last_not_after IS NULL OR last_not_after < excluded.last_not_after",
        )?
        .execute(params![id.0, Col(not_after)])?;
    Ok(())
}
