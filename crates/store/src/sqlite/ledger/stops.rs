//! Stops of issuance.

use ca::order::Order;
use ca::ports::StopRecord;
use pki::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::sqlite::columns::{Col, col, document, json, maybe};
use crate::sqlite::failure::Step;
use crate::sqlite::writer::Batch;

/// Whether the number is this stop's.
pub(super) fn add(batch: &Batch<'_>, stop: &StopRecord) -> Step<bool> {
    let StopRecord { number, scope, reason, by, since, ended } = stop;
    batch
        .prepare_cached(
            "-- ledger.stop
            INSERT INTO stops (number, scope, reason, stopped_by, since, ended) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            Col(*number),
            document("stops.scope", scope)?,
            reason,
            by,
            Col(*since),
            ended.map(Timestamp::millis)
        ])?;
    Ok(by_number(batch, *number)?.is_some_and(|standing| standing.scope == *scope && standing.since == *since))
}

/// Whether it stood until now.
pub(super) fn end(batch: &Batch<'_>, number: u64, at: Timestamp) -> Step<bool> {
    let ended = batch
        .prepare_cached(
            "-- ledger.resume\nUPDATE stops SET ended = max(?2, since) WHERE number = ?1 AND ended IS NULL",
        )?
        .execute(params![Col(number), Col(at)])?;
    Ok(ended == 1)
}

pub(super) fn resume(batch: &Batch<'_>, number: u64, at: Timestamp) -> Step<Option<StopRecord>> {
    end(batch, number, at)?;
    by_number(batch, number)
}

fn from_columns(row: &Row<'_>) -> rusqlite::Result<StopRecord> {
    Ok(StopRecord {
        number: col(row, 0)?,
        scope: json(row, 1)?,
        reason: row.get(2)?,
        by: row.get(3)?,
        since: col(row, 4)?,
        ended: maybe(row, 5)?,
    })
}

pub(super) fn by_number(connection: &Connection, number: u64) -> Step<Option<StopRecord>> {
    Ok(connection
        .prepare_cached(
            "-- ledger.stop_of_number
            SELECT number, scope, reason, stopped_by, since, ended FROM stops WHERE number = ?1",
        )?
        .query_row([Col(number)], from_columns)
        .optional()?)
}

pub(super) fn list(connection: &Connection, open: bool, limit: u32) -> Step<Vec<StopRecord>> {
    let sql = if open {
        "-- ledger.stops.open
        SELECT number, scope, reason, stopped_by, since, ended FROM stops INDEXED BY stops_open
        WHERE ended IS NULL ORDER BY number DESC LIMIT ?1"
    } else {
        "-- ledger.stops
        SELECT number, scope, reason, stopped_by, since, ended FROM stops ORDER BY number DESC LIMIT ?1"
    };
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([limit], from_columns)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All that stand and are for this order.
pub(super) fn of_order(connection: &Connection, order: &Order) -> Step<Vec<StopRecord>> {
    let mut standing = list(connection, true, u32::MAX)?;
    standing.retain(|stop| stop.scope.covers(order));
    Ok(standing)
}
