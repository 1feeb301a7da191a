//! Orders whose document can't be read: they are set aside, so that nobody else waits for them.

use ca::OrderId;
use ca::ports::UnreadableOrder;
use pki::Timestamp;
use rusqlite::{Connection, Row, params};

use super::queues::Effects;
use super::rows::{self, Active};
use super::sweep::{Page, behind};
use crate::sqlite::columns::col;
use crate::sqlite::failure::Step;
use crate::sqlite::writer::Batch;

/// What was read of a row; one that can't be read is set aside. The row's number is its first column.
pub(super) fn or_set_aside<T, E>(batch: &Batch<'_>, row: &Row<'_>, read: Result<T, E>) -> Step<Option<T>>
where
    E: std::fmt::Display,
{
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) => set_aside(batch, row.get(0)?, &error.to_string()).map(|()| None),
    }
}

fn set_aside(batch: &Batch<'_>, row: i64, detail: &str) -> Step<()> {
    let order: OrderId = batch
        .prepare_cached(
            "-- workbench.set_aside
            UPDATE active_orders SET place = NULL, turn = NULL, lease_token = NULL, lease_holder = NULL, unreadable = ?2
            WHERE row = ?1 RETURNING id",
        )?
        .query_row(params![row, detail], |row| col(row, 0))?;
    tracing::error!(%order, %detail, "this order can't be read; it is set aside, the others go on; see `cairn fsck`");
    Ok(())
}

/// What a sweep did with those that were set aside.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// All that it looked at.
    pub(super) seen: Vec<OrderId>,
    /// Those that can be read again.
    pub(super) readable: Vec<Active>,
    /// How many left.
    pub(super) retired: u64,
}

/// Reads them again, since what can't be read by one version may be read by the next. Those that still can't be leave
/// when they would have ended `invalid` and been kept so long.
pub(super) fn read_again(batch: &Batch<'_>, page: &Page, effects: &mut Effects) -> Step<Again> {
    let mut statement = batch.prepare_cached(
        "-- workbench.sweep.unreadable
        SELECT row, document, place, lease_token, claims, stage, id, coalesce(deadline, since) FROM active_orders
        INDEXED BY active_orders_unreadable WHERE unreadable IS NOT NULL AND id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let mut rows = statement.query(params![behind(page.after), page.limit])?;
    let (mut again, mut over) = (Again::default(), Vec::new());
    let kept = page.retention.invalid.max(page.retention.valid);
    while let Some(row) = rows.next()? {
        let id: OrderId = col(row, 6)?;
        again.seen.push(id);
        if let Ok(active) = rows::active(row) {
            again.readable.push(active);
        } else if col::<Timestamp>(row, 7)? < page.now.minus(kept) {
            over.push((row.get(0)?, id));
        }
    }
    drop(rows);
    for active in &again.readable {
        active.mark_readable(batch)?;
        tracing::warn!(order = %active.order.id, "this order, which was set aside, can be read again; it goes on");
    }
    for (row, order) in over {
        rows::remove(batch, row, order, effects)?;
        tracing::error!(%order, "this order could not be read for as long as it would have been kept; it is given up");
        again.retired += 1;
    }
    Ok(again)
}

pub(super) fn list(connection: &Connection, after: Option<OrderId>, limit: u32) -> Step<Vec<UnreadableOrder>> {
    let mut statement = connection.prepare_cached(
        "-- workbench.unreadable
        SELECT id, stage, unreadable FROM active_orders INDEXED BY active_orders_unreadable
        WHERE unreadable IS NOT NULL AND id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let rows = statement.query_map(params![behind(after), limit], |row| {
        Ok(UnreadableOrder { order: col(row, 0)?, stage: col(row, 1)?, detail: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
