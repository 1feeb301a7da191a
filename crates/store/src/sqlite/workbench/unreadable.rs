//! Orders whose document can't be read: they are set aside, so that nobody else waits for them.

use ca::OrderId;
use ca::ports::UnreadableOrder;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::sweep::behind;
use crate::sqlite::columns::{Col, col};
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
            UPDATE active_orders SET place = NULL, turn = NULL, lease_token = NULL, lease_holder = NULL,
                deadline = NULL, unreadable = ?2
            WHERE row = ?1 RETURNING id",
        )?
        .query_row(params![row, detail], |row| col(row, 0))?;
    tracing::error!(%order, %detail, "this order can't be read; it is set aside, the others go on; see `cairn fsck`");
    Ok(())
}

/// Whether there is an active order of this id, and whether it was set aside.
pub(super) fn look(connection: &Connection, id: OrderId) -> Step<Option<bool>> {
    Ok(connection
        .prepare_cached("-- workbench.create.look\nSELECT unreadable IS NOT NULL FROM active_orders WHERE id = ?1")?
        .query_row([Col(id)], |row| row.get(0))
        .optional()?)
}

/// It comes back from the ledger.
pub(super) fn remove(batch: &Batch<'_>, id: OrderId) -> Step<()> {
    batch
        .prepare_cached(
            "-- workbench.unreadable.remove\nDELETE FROM active_orders WHERE id = ?1 AND unreadable IS NOT NULL",
        )?
        .execute([Col(id)])?;
    Ok(())
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
