//! The sweep: one page of it in one transaction.

use ca::OrderId;
use ca::order::{Order, Stage};
use ca::ports::{Retention, SweepPage};
use pki::Timestamp;
use rusqlite::{Connection, params};

use super::queues::{self, Effects};
use super::rows::{self, PlaceName};
use crate::sqlite::columns::{Col, col, json};
use crate::sqlite::failure::Step;
use crate::sqlite::writer::Batch;

/// What a page is asked for by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) after: Option<OrderId>,
    pub(super) limit: u32,
    pub(super) retention: Retention,
    pub(super) now: Timestamp,
}

/// The last of all ids: behind it, no order is overdue.
const LAST: OrderId = OrderId::from_bytes([0xff; 16]);

/// Each kind is found by an index, so that a sweep of many orders that need nothing costs nothing. What was requeued or retired is
/// not found again; overdue orders are left, and named in the order of their ids.
pub(super) fn page(batch: &Batch<'_>, page: &Page, effects: &mut Effects) -> Step<SweepPage> {
    let limit = page.limit.max(1);
    let mut done = SweepPage { overdue: overdue(batch, page.after, limit, page.now)?, ..SweepPage::default() };
    let mut more = false;
    for place in [PlaceName::Lease, PlaceName::Park] {
        let due = due(batch, place, limit, page.now)?;
        more |= due.len() as u64 >= u64::from(limit);
        for (row, id, stage) in due {
            rows::requeue(batch, row, id, stage, page.now, effects)?;
            done.requeued.push((id, stage));
        }
    }
    let nowhere = rows::nowhere(batch, limit)?;
    more |= nowhere.len() as u64 >= u64::from(limit);
    for mut active in nowhere {
        active.settle_down(batch, page.now, effects)?;
        if active.place == Some(PlaceName::Queue) {
            done.requeued.push((active.order.id, active.order.stage()));
        }
    }
    done.retired = retire(batch, page, limit, effects)?;
    more |= done.retired >= u64::from(limit);
    if page.after.is_none() {
        // What a hand has put into a queue is found by no counting of our own.
        effects.found(queues::queued(batch)?);
    }
    let last = done.overdue.last().map(|order| order.id);
    done.next = match last.filter(|_| done.overdue.len() as u64 >= u64::from(limit)) {
        Some(last) => Some(last),
        None => more.then_some(LAST),
    };
    Ok(done)
}

fn overdue(connection: &Connection, after: Option<OrderId>, limit: u32, now: Timestamp) -> Step<Vec<Order>> {
    let mut statement = connection.prepare_cached(
        "-- workbench.sweep.overdue
        SELECT document FROM active_orders INDEXED BY active_orders_by_deadline
        WHERE deadline < ?1 AND id > ?2 ORDER BY id LIMIT ?3",
    )?;
    let behind = after.map_or_else(Vec::new, |after| after.as_bytes().to_vec());
    let rows = statement.query_map(params![Col(now), behind, limit], |row| json(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Orders whose lease or park has run out, the first to do so first. Overdue ones are not given to another worker.
fn due(connection: &Connection, place: PlaceName, limit: u32, now: Timestamp) -> Step<Vec<(i64, OrderId, Stage)>> {
    let mut statement = connection.prepare_cached(
        "-- workbench.sweep.due
        SELECT row, id, stage FROM active_orders
        WHERE place = ?1 AND stage IN ('makechallenge', 'testchallenge', 'issue', 'done') AND turn <= ?2
            AND (deadline IS NULL OR deadline >= ?2)
        ORDER BY turn LIMIT ?3",
    )?;
    let rows = statement
        .query_map(params![place.name(), Col(now), limit], |row| Ok((row.get(0)?, col(row, 1)?, col(row, 2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Ended orders past their retention, and the oldest above the number that may stay: at most `limit` of each kind.
fn retire(batch: &Batch<'_>, page: &Page, limit: u32, effects: &mut Effects) -> Step<u64> {
    let Retention { valid, invalid, number_max } = page.retention;
    let mut retired = 0;
    for (outcome, kept) in [("valid", valid), ("invalid", invalid)] {
        let mut statement = batch.prepare_cached(
            "-- workbench.sweep.retire
            DELETE FROM active_orders WHERE row IN (
                SELECT row FROM active_orders INDEXED BY active_orders_ended
                WHERE place = 'pending-done' AND outcome = ?1 AND turn < ?2 LIMIT ?3)
            RETURNING id",
        )?;
        let over = page.now.minus(kept);
        let gone = statement.query_map(params![outcome, Col(over), limit], |row| col(row, 0))?;
        for id in gone {
            effects.removed(id?);
            retired += 1;
        }
    }
    let ended: u64 = batch
        .prepare_cached(
            "-- workbench.sweep.ended
            SELECT count(*) FROM active_orders INDEXED BY active_orders_ended WHERE place = 'pending-done'",
        )?
        .query_row([], |row| col(row, 0))?;
    let excess = ended.saturating_sub(number_max).min(u64::from(limit));
    if excess > 0 {
        let mut statement = batch.prepare_cached(
            "-- workbench.sweep.excess
            DELETE FROM active_orders WHERE row IN (
                SELECT row FROM active_orders INDEXED BY active_orders_ended WHERE place = 'pending-done'
                ORDER BY turn, id LIMIT ?1)
            RETURNING id",
        )?;
        let gone = statement.query_map([Col(excess)], |row| col(row, 0))?;
        for id in gone {
            effects.removed(id?);
            retired += 1;
        }
    }
    Ok(retired)
}
