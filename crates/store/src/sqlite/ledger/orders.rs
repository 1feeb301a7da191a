//! Orders that have, or had, an issuance, or that ended in `Issue`.

use ca::authorization::CaaRecord;
use ca::order::{Failure as Death, Order};
use ca::ports::{IssuanceNumber, LedgerEnd, LedgerOrder, ListedOrder, Recorded};
use ca::{AccountId, OrderCursor, OrderId};
use pki::Timestamp;
use rusqlite::{Connection, Row, params};

use super::serials;
use crate::sqlite::columns::{Col, Json, Packed, col, document, json, maybe, place};
use crate::sqlite::failure::{Failure, Step};
use crate::sqlite::writer::Batch;

fn from_columns(row: &Row<'_>) -> Step<LedgerOrder> {
    let last: u32 = row.get(1)?;
    Ok(LedgerOrder {
        order: json(row, 0)?,
        last: (last > 0).then_some(IssuanceNumber(last)),
        end: end(row)?,
        delivered: maybe(row, 6)?,
        acknowledged: maybe(row, 7)?,
    })
}

/// From the columns outcome, ended, serial and failure, which stand behind two others.
fn end(row: &Row<'_>) -> Step<Option<(LedgerEnd, Timestamp)>> {
    let outcome: Option<String> = row.get(2)?;
    let Some(ended) = maybe(row, 3)? else {
        return Ok(None);
    };
    let end = match (outcome.as_deref(), maybe(row, 4)?, row.get::<_, Option<Json<Death>>>(5)?) {
        (Some("valid"), Some(serial), None) => LedgerEnd::Valid(serial),
        (Some("invalid"), None, Some(failure)) => LedgerEnd::Invalid(failure.0),
        (other, ..) => return Err(Failure::corrupt("orders.outcome", format!("{other:?}"))),
    };
    Ok(Some((end, ended)))
}

pub(in crate::sqlite) fn by_id(connection: &Connection, id: OrderId) -> Step<Option<LedgerOrder>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.order
        SELECT coalesce(d.packed, d.document), o.issuances, o.outcome, o.ended, o.serial, o.failure, o.delivered,
            o.acknowledged
        FROM orders o JOIN order_documents d ON d.order_row = o.row WHERE o.id = ?1",
    )?;
    let mut rows = statement.query([Col(id)])?;
    rows.next()?.map(from_columns).transpose()
}

pub(super) fn of_account(
    connection: &Connection,
    account: AccountId,
    behind: Option<OrderCursor>,
    limit: u32,
) -> Step<Vec<ListedOrder>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.orders_of
        SELECT created, id, outcome = 'valid' FROM orders INDEXED BY orders_of_account
        WHERE account = ?1 AND (created, id) < (?2, ?3) ORDER BY created DESC, id DESC LIMIT ?4",
    )?;
    let (created, order) = place(behind);
    let rows = statement.query_map(params![Col(account), created, order, limit], |row| {
        let at = OrderCursor { created: col(row, 0)?, order: col(row, 1)? };
        Ok(ListedOrder { at, valid: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn ended(connection: &Connection, before: Option<Timestamp>, limit: u32) -> Step<Vec<LedgerOrder>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.ended_orders
        SELECT coalesce(d.packed, d.document), o.issuances, o.outcome, o.ended, o.serial, o.failure, o.delivered,
            o.acknowledged
        FROM orders o JOIN order_documents d ON d.order_row = o.row
        WHERE o.ended < ?1 ORDER BY o.ended DESC, o.id LIMIT ?2",
    )?;
    let before = before.map_or(i64::MAX, Timestamp::millis);
    let mut rows = statement.query(params![before, limit])?;
    let mut orders = Vec::new();
    while let Some(row) = rows.next()? {
        orders.push(from_columns(row)?);
    }
    Ok(orders)
}

/// Those in issuance.
pub(super) fn open(connection: &Connection, after: Option<OrderId>, limit: u32) -> Step<Vec<OrderId>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.open_orders
        SELECT id FROM orders INDEXED BY orders_open WHERE outcome IS NULL AND id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let behind = after.map_or_else(Vec::new, |after| after.as_bytes().to_vec());
    let rows = statement.query_map(params![behind, limit], |row| col(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn ended_by_our_fault(
    connection: &Connection,
    behind: Option<(Timestamp, OrderId)>,
    limit: u32,
) -> Step<Vec<LedgerOrder>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.ended_by_our_fault
        SELECT coalesce(d.packed, d.document), o.issuances, o.outcome, o.ended, o.serial, o.failure, o.delivered,
            o.acknowledged
        FROM orders o INDEXED BY orders_by_our_fault JOIN order_documents d ON d.order_row = o.row
        WHERE o.our_fault = 1 AND (o.ended, o.id) < (?1, ?2) ORDER BY o.ended DESC, o.id DESC LIMIT ?3",
    )?;
    let (ended, id) = behind.map_or((i64::MAX, Vec::new()), |(ended, id)| (ended.millis(), id.as_bytes().to_vec()));
    let mut rows = statement.query(params![ended, id, limit])?;
    let mut orders = Vec::new();
    while let Some(row) = rows.next()? {
        orders.push(from_columns(row)?);
    }
    Ok(orders)
}

/// Adds an order of which the ledger hears for the first time. Its row.
pub(super) fn hear_of(batch: &Batch<'_>, order: &Order, document: &Packed, issuances: u32) -> Step<i64> {
    batch
        .prepare_cached(
            "-- ledger.order.new\nINSERT INTO orders (id, account, issuances, created) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![Col(order.id), Col(order.account), issuances, Col(order.created)])?;
    let row = batch.last_insert_rowid();
    batch
        .prepare_cached(
            "-- ledger.order.document
            INSERT INTO order_documents (order_row, document, packed) VALUES (?1, '', ?2)",
        )?
        .execute(params![row, document])?;
    Ok(row)
}

/// Ends an order `invalid`; the first end wins. The end that stands.
pub(in crate::sqlite) fn finish(
    batch: &Batch<'_>,
    order: &Order,
    written: &Packed,
    failure: &Death,
    at: Timestamp,
) -> Step<LedgerEnd> {
    let known = by_id_for_end(batch, order.id)?;
    let (row, last) = match known {
        Some((.., Some((end, _)))) => return Ok(end),
        Some((row, last, None)) => (row, last),
        None => (hear_of(batch, order, written, 0)?, 0),
    };
    end_invalid(batch, row, last, failure, at)?;
    batch.dated(at, Recorded::Order(order.id));
    Ok(LedgerEnd::Invalid(failure.clone()))
}

/// Ends an open order without a certificate.
pub(super) fn end_invalid(batch: &Batch<'_>, row: i64, last: u32, failure: &Death, at: Timestamp) -> Step<()> {
    batch
        .prepare_cached(
            "-- ledger.finish
            UPDATE orders SET outcome = 'invalid', ended = ?2, failure = ?3, our_fault = ?4 WHERE row = ?1",
        )?
        .execute(params![row, Col(at), document("orders.failure", failure)?, failure.is_our_fault()])?;
    serials::give_up(batch, row, last)?;
    batch.count(|tally| {
        tally.invalid += 1;
        tally.our_fault += i64::from(failure.is_our_fault());
    });
    Ok(())
}

type Known = (i64, u32, Option<(LedgerEnd, Timestamp)>);

fn by_id_for_end(connection: &Connection, id: OrderId) -> Step<Option<Known>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.finish.look\nSELECT row, issuances, outcome, ended, serial, failure FROM orders WHERE id = ?1",
    )?;
    let mut rows = statement.query([Col(id)])?;
    rows.next()?.map(|row| Ok((row.get(0)?, row.get(1)?, end(row)?))).transpose()
}

/// What is marked on an order once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    Delivered,
    Acknowledged,
}

pub(super) fn mark(batch: &Batch<'_>, id: OrderId, mark: Mark, at: Timestamp) -> Step<()> {
    let sql = match mark {
        Mark::Delivered => {
            "-- ledger.delivered
            UPDATE orders SET delivered = max(?2, coalesce(ended, ?2)) WHERE id = ?1 AND delivered IS NULL
            RETURNING outcome IS 'valid'"
        }
        Mark::Acknowledged => {
            "-- ledger.acknowledged
            UPDATE orders SET acknowledged = max(?2, coalesce(ended, ?2)) WHERE id = ?1 AND acknowledged IS NULL
            RETURNING outcome IS 'valid'"
        }
    };
    let mut statement = batch.prepare_cached(sql)?;
    let mut rows = statement.query(params![Col(id), Col(at)])?;
    while let Some(row) = rows.next()? {
        let counts: bool = row.get(0)?;
        batch.count(|tally| match mark {
            Mark::Delivered => tally.delivered += i64::from(counts),
            Mark::Acknowledged => tally.acknowledged += i64::from(counts),
        });
    }
    Ok(())
}

pub(super) fn record_rechecks(batch: &Batch<'_>, order: OrderId, checks: &[String]) -> Step<()> {
    let mut statement =
        batch.prepare_cached("-- ledger.record_rechecks\nINSERT INTO rechecks (order_id, document) VALUES (?1, ?2)")?;
    for check in checks {
        statement.execute(params![Col(order), check])?;
    }
    Ok(())
}

pub(super) fn rechecks(connection: &Connection, order: OrderId) -> Step<Vec<CaaRecord>> {
    let mut statement = connection
        .prepare_cached("-- ledger.rechecks\nSELECT document FROM rechecks WHERE order_id = ?1 ORDER BY row")?;
    let rows = statement.query_map([Col(order)], |row| json(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
