//! Stops of issuance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use acme::Identifier;
use ca::order::Order;
use ca::ports::{StopRecord, StopScope};
use pki::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::sqlite::columns::{Col, col, document, json, maybe};
use crate::sqlite::failure::Step;
use crate::sqlite::writer::Batch;

/// Whether the ledger has this stop now, under this number or another one.
pub(super) fn add(batch: &Batch<'_>, stop: &StopRecord) -> Step<bool> {
    if is_known(batch, stop)? {
        return Ok(true);
    }
    let StopRecord { number, scope, reason, by, since, ended } = stop;
    let added = batch
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
    Ok(added == 1)
}

fn is_known(connection: &Connection, stop: &StopRecord) -> Step<bool> {
    Ok(of(connection, stop.number, Some(stop.since))?.iter().any(|known| known.is(stop)))
}

/// As [`add`], under the next number if this one is another stop's. Whether it was new.
pub(super) fn restore(batch: &Batch<'_>, stop: &StopRecord) -> Step<bool> {
    if is_known(batch, stop)? {
        return Ok(false);
    }
    if !add(batch, stop)? {
        let last = list(batch, false, 1)?.first().map_or(0, |last| last.number);
        add(batch, &StopRecord { number: last + 1, ..stop.clone() })?;
    }
    Ok(true)
}

/// Whether the stop that is meant stood until now.
pub(super) fn restore_end(batch: &Batch<'_>, number: u64, since: Option<Timestamp>, at: Timestamp) -> Step<bool> {
    let known = of(batch, number, since)?;
    StopRecord::meant_by(&known, number, since).map_or(Ok(false), |stop| end(batch, stop.number, at))
}

/// The row of its number is this stop. Whether it was not.
pub(in crate::sqlite) fn write(batch: &Batch<'_>, stop: &StopRecord) -> Step<bool> {
    if by_number(batch, stop.number)?.as_ref() == Some(stop) {
        return Ok(false);
    }
    batch.prepare_cached("-- ledger.stops.forget\nDELETE FROM stops WHERE number = ?1")?.execute([Col(stop.number)])?;
    add(batch, stop)
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

fn by_number(connection: &Connection, number: u64) -> Step<Option<StopRecord>> {
    Ok(of(connection, number, None)?.into_iter().find(|stop| stop.number == number))
}

pub(super) fn of(connection: &Connection, number: u64, since: Option<Timestamp>) -> Step<Vec<StopRecord>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.stops_of
        SELECT number, scope, reason, stopped_by, since, ended FROM stops WHERE number = ?1 OR since = ?2",
    )?;
    let rows = statement.query_map(params![Col(number), since.map(Timestamp::millis)], from_columns)?;
    let mut stops = rows.collect::<Result<Vec<_>, _>>()?;
    stops.sort_by_key(|stop: &StopRecord| stop.number);
    Ok(stops)
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

/// All that stand and are for this order, the newest first: asked by what they may be for, however many others stand.
pub(super) fn of_order(connection: &Connection, order: &Order) -> Step<Vec<StopRecord>> {
    if !any(connection)? {
        return Ok(Vec::new());
    }
    let mut by_scope = connection.prepare_cached(
        "-- ledger.stops.of_scope
        SELECT number, scope, reason, stopped_by, since, ended FROM stops INDEXED BY stops_open_by_scope
        WHERE ended IS NULL AND scope = ?1",
    )?;
    // What is covered by a star: `*.example.com` by a stop of `www.example.com`.
    let mut by_parent = connection.prepare_cached(
        "-- ledger.stops.of_parent
        SELECT number, scope, reason, stopped_by, since, ended FROM stops INDEXED BY stops_open_by_parent
        WHERE ended IS NULL
            AND substr(scope ->> '$.name', instr(scope ->> '$.name', '.') + 1) = ?1",
    )?;
    let mut found = BTreeMap::new();
    let mut keep = |stop: StopRecord| found.insert(stop.number, stop);
    for scope in scopes(order) {
        for stop in by_scope.query_map([document("stops.scope", &scope)?], from_columns)? {
            keep(stop?);
        }
    }
    for identifier in order.identifiers.iter().filter(|identifier| identifier.is_wildcard()) {
        let Some(name) = identifier.name() else { continue };
        for stop in by_parent.query_map([name.as_str()], from_columns)? {
            keep(stop?);
        }
    }
    found.retain(|_, stop| stop.scope.covers(order));
    Ok(found.into_values().rev().collect())
}

fn any(connection: &Connection) -> Step<bool> {
    Ok(connection
        .prepare_cached("-- ledger.stops.any\nSELECT 1 FROM stops INDEXED BY stops_open WHERE ended IS NULL LIMIT 1")?
        .exists([])?)
}

/// What may cover an order, but for stops of names that one of its wildcards covers.
fn scopes(order: &Order) -> Vec<StopScope> {
    let mut names = BTreeSet::new();
    for identifier in &order.identifiers {
        let mut name = identifier.name().cloned();
        while let Some(one) = name {
            name = one.parent();
            names.insert(one);
        }
    }
    let addresses = order.identifiers.iter().filter_map(|identifier| match identifier {
        Identifier::Ip(address) => Some(StopScope::Address(*address)),
        Identifier::Dns(_) | Identifier::Wildcard(_) => None,
    });
    let of_order = [StopScope::All, StopScope::Profile(order.profile.clone()), StopScope::Account(order.account)];
    of_order.into_iter().chain(names.into_iter().map(StopScope::Name)).chain(addresses).collect()
}

/// The stops that stand, as long as no write changes them. All writes go through this process, and each of them ends
/// what is remembered before it is answered.
#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<(u64, Option<Arc<[StopRecord]>>)>);

impl Standing {
    pub(super) fn forget(&self) {
        let mut remembered = self.lock();
        *remembered = (remembered.0.wrapping_add(1), None);
    }

    /// As they are remembered, or as `read` finds them.
    pub(super) fn stops(&self, read: impl FnOnce() -> Step<Vec<StopRecord>>) -> Step<Arc<[StopRecord]>> {
        let since = match &*self.lock() {
            (_, Some(stops)) => return Ok(Arc::clone(stops)),
            (since, None) => *since,
        };
        let stops: Arc<[StopRecord]> = read()?.into();
        let mut remembered = self.lock();
        // What was read before a write must not be remembered after it.
        if remembered.0 == since {
            remembered.1 = Some(Arc::clone(&stops));
        }
        Ok(stops)
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Option<Arc<[StopRecord]>>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
