//! The sweep: one page of it in one transaction.

use std::time::Duration;

use ca::OrderId;
use ca::clock::BEHIND_MAX;
use ca::order::{Order, Stage};
use ca::ports::{Retention, SweepPage};
use pki::Timestamp;
use rusqlite::{Connection, params};

use super::queues::{self, Effects};
use super::rows::{self, PlaceName};
use super::unreadable;
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

/// Where a page ends: the least of the last ids of those kinds that had no room in it.
#[derive(Debug, Default)]
struct End(Option<OrderId>);

impl End {
    /// A kind was found, in the order of the ids.
    fn found<'a>(&mut self, ids: impl ExactSizeIterator<Item = &'a OrderId>, limit: u32) {
        if ids.len() as u64 >= u64::from(limit) {
            self.0 = ids.last().copied().into_iter().chain(self.0).min();
        }
    }
}

/// Each kind is found by an index, so that a sweep of many orders that need nothing costs nothing.
pub(super) fn page(batch: &Batch<'_>, page: &Page, effects: &mut Effects) -> Step<SweepPage> {
    let page = &Page { limit: page.limit.max(1), ..*page };
    let (mut done, mut end) = (SweepPage::default(), End::default());
    for place in [PlaceName::Lease, PlaceName::Park] {
        for due in due(batch, place, page)? {
            end.found(due.iter().map(|(_, id, _)| id), page.limit);
            for (row, id, stage) in due {
                rows::requeue(batch, row, id, stage, page.now, effects)?;
                done.requeued.push((id, stage));
            }
        }
    }
    let again = unreadable::read_again(batch, page, effects)?;
    end.found(again.seen.iter(), page.limit);
    let nowhere = rows::nowhere(batch, page.after, page.limit)?;
    end.found(nowhere.iter().map(|active| &active.order.id), page.limit);
    for mut active in nowhere {
        active.settle_down(batch, page.now, effects)?;
        if active.place == Some(PlaceName::Queue) {
            done.requeued.push((active.order.id, active.order.stage()));
        }
    }
    done.retired = again.retired + retire(batch, page, &mut end, effects)? + retire_oldest(batch, page, effects)?;
    done.overdue = overdue(batch, page)?;
    end.found(done.overdue.iter().map(|order| &order.id), page.limit);
    // What lies behind the end of this page is found again by the next one.
    done.overdue.retain(|order| end.0.is_none_or(|end| order.id <= end));
    if page.after.is_none() {
        // What a hand has put into a queue is found by no counting of our own.
        effects.found(queues::queued(batch)?);
    }
    done.next = end.0;
    Ok(done)
}

/// What an id has to be above: every id is above no octets.
pub(super) fn behind(after: Option<OrderId>) -> Vec<u8> {
    after.map_or_else(Vec::new, |after| after.as_bytes().to_vec())
}

fn overdue(batch: &Batch<'_>, page: &Page) -> Step<Vec<Order>> {
    let mut statement = batch.prepare_cached(
        "-- workbench.sweep.overdue
        SELECT row, document FROM active_orders INDEXED BY active_orders_by_deadline
        WHERE deadline < ?1 AND id > ?2 AND unreadable IS NULL ORDER BY id LIMIT ?3",
    )?;
    let mut rows = statement.query(params![Col(page.now), behind(page.after), page.limit])?;
    let mut overdue = Vec::new();
    while let Some(row) = rows.next()? {
        overdue.extend(unreadable::or_set_aside(batch, row, json::<Order>(row, 1))?);
    }
    Ok(overdue)
}

/// Orders whose lease or park has run out, or is from before the clock was set back: when it runs out says nothing any
/// more then, unless that is soon. Overdue ones are not given to another worker.
fn due(connection: &Connection, place: PlaceName, page: &Page) -> Step<Vec<Vec<(i64, OrderId, Stage)>>> {
    let mut statement = connection.prepare_cached(
        "-- workbench.sweep.due
        SELECT row, id, stage FROM active_orders INDEXED BY active_orders_by_place
        WHERE place = ?1 AND stage IN ('makechallenge', 'testchallenge', 'issue', 'done') AND turn BETWEEN ?5 AND ?6
            AND since >= ?5 AND id > ?3 AND (deadline IS NULL OR deadline >= ?2)
        ORDER BY id LIMIT ?4",
    )?;
    let ahead = page.now.plus(BEHIND_MAX).plus(Duration::from_millis(1)).millis();
    let mut found = Vec::new();
    for (from, to) in [(i64::MIN, page.now.millis()), (ahead, i64::MAX)] {
        let of = params![place.name(), Col(page.now), behind(page.after), page.limit, from, to];
        let rows = statement.query_map(of, |row| Ok((row.get(0)?, col(row, 1)?, col(row, 2)?)))?;
        found.push(rows.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

/// Ended orders past their retention.
fn retire(batch: &Batch<'_>, page: &Page, end: &mut End, effects: &mut Effects) -> Step<u64> {
    let mut retired = 0;
    for (outcome, kept) in [("valid", page.retention.valid), ("invalid", page.retention.invalid)] {
        let over: Vec<(i64, OrderId)> = batch
            .prepare_cached(
                "-- workbench.sweep.over
                SELECT row, id FROM active_orders INDEXED BY active_orders_ended
                WHERE place = 'pending-done' AND outcome = ?1 AND turn < ?2 AND id > ?3 ORDER BY id LIMIT ?4",
            )?
            .query_map(params![outcome, Col(page.now.minus(kept)), behind(page.after), page.limit], |row| {
                Ok((row.get(0)?, col(row, 1)?))
            })?
            .collect::<Result<_, _>>()?;
        end.found(over.iter().map(|(_, id)| id), page.limit);
        for (row, id) in over {
            rows::remove(batch, row, id, effects)?;
            retired += 1;
        }
    }
    Ok(retired)
}

/// The oldest above the number that may stay: a bounded number of them with each page.
fn retire_oldest(batch: &Batch<'_>, page: &Page, effects: &mut Effects) -> Step<u64> {
    let ended: u64 = batch
        .prepare_cached(
            "-- workbench.sweep.ended
            SELECT count(*) FROM active_orders INDEXED BY active_orders_ended WHERE place = 'pending-done'",
        )?
        .query_row([], |row| col(row, 0))?;
    let excess = ended.saturating_sub(page.retention.number_max).min(u64::from(page.limit));
    if excess == 0 {
        return Ok(0);
    }
    let oldest: Vec<(i64, OrderId)> = batch
        .prepare_cached(
            "-- workbench.sweep.oldest
            SELECT row, id FROM active_orders INDEXED BY active_orders_ended WHERE place = 'pending-done'
            ORDER BY turn, id LIMIT ?1",
        )?
        .query_map([Col(excess)], |row| Ok((row.get(0)?, col(row, 1)?)))?
        .collect::<Result<_, _>>()?;
    for (row, id) in oldest {
        rows::remove(batch, row, id, effects)?;
    }
    Ok(excess)
}
