//! How many orders stand where, and which of them have waited longest.

use ca::order::Stage;
use ca::ports::{ActiveOrder, StageCount};
use pki::Timestamp;
use rusqlite::{Connection, params};

use super::rows::{PlaceName, SHOWN, show};
use crate::sqlite::columns::{Col, col, maybe};
use crate::sqlite::failure::Step;

/// Those that wait for us, found by their places; few of them are read whole.
pub(super) fn oldest(connection: &Connection, stage: Stage, limit: u32) -> Step<Vec<ActiveOrder>> {
    let by = match stage {
        Stage::MakeChallenge | Stage::Issue => "coalesce(deadline, since)",
        Stage::TestChallenge | Stage::Done => "since",
    };
    let mut statement = connection.prepare_cached(&format!(
        "-- workbench.oldest
        {SHOWN} WHERE row IN (
            SELECT row FROM active_orders WHERE row IN (
                SELECT row FROM active_orders INDEXED BY active_orders_by_place
                WHERE place IN ('queue', 'lease', 'park') AND stage = ?1
                UNION ALL
                SELECT row FROM active_orders INDEXED BY active_orders_by_place WHERE place IS NULL AND stage = ?1)
                AND unreadable IS NULL
            ORDER BY {by}, id LIMIT ?2)
        ORDER BY {by}, id"
    ))?;
    let mut rows = statement.query(params![Col(stage), limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        // One that can't be read is named by `unreadable`, once somebody has met it.
        found.extend(show(row).ok());
    }
    Ok(found)
}

pub(super) fn counts(connection: &Connection) -> Step<Vec<(Stage, StageCount)>> {
    let mut counts = Stage::ALL.map(|stage| (stage, StageCount::default()));
    let mut statement = connection.prepare_cached(
        "-- workbench.counts
        SELECT stage, place, count(*) FROM active_orders INDEXED BY active_orders_by_place GROUP BY place, stage",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (stage, place): (Stage, Option<String>) = (col(row, 0)?, row.get(1)?);
        let number = col(row, 2)?;
        let Some((_, count)) = counts.iter_mut().find(|(of, _)| *of == stage) else { continue };
        match PlaceName::of(place.as_deref())? {
            None => count.nowhere = number,
            Some(PlaceName::Queue) => count.queued = number,
            Some(PlaceName::Lease) => count.leased = number,
            Some(PlaceName::Park) => count.parked = number,
            Some(PlaceName::Client) => count.client = number,
            Some(PlaceName::PendingDone) => count.undelivered = number,
        }
    }
    let mut unreadable = connection.prepare_cached(
        "-- workbench.counts.unreadable
        SELECT stage, count(*) FROM active_orders INDEXED BY active_orders_unreadable
        WHERE unreadable IS NOT NULL GROUP BY stage",
    )?;
    let mut rows = unreadable.query([])?;
    while let Some(row) = rows.next()? {
        let (stage, number): (Stage, u64) = (col(row, 0)?, col(row, 1)?);
        if let Some((_, count)) = counts.iter_mut().find(|(of, _)| *of == stage) {
            count.unreadable = number;
            count.nowhere = count.nowhere.saturating_sub(number);
        }
    }
    held(connection, &mut counts)?;
    let delivered: u64 = connection
        .prepare_cached(
            "-- workbench.counts.delivered
            SELECT count(delivered) FROM active_orders INDEXED BY active_orders_ended WHERE place = 'pending-done'",
        )?
        .query_row([], |row| col(row, 0))?;
    let mut oldest = connection.prepare_cached(
        "-- workbench.counts.oldest
        SELECT since FROM active_orders WHERE place = 'queue' AND stage = ?1 ORDER BY turn LIMIT 1",
    )?;
    for (stage, count) in &mut counts {
        if *stage == Stage::Done {
            count.undelivered = count.undelivered.saturating_sub(delivered);
            count.delivered = delivered;
        }
        if count.queued > 0 {
            count.oldest_queued = oldest.query_row([Col(*stage)], |row| maybe(row, 0))?;
        }
    }
    Ok(counts.to_vec())
}

/// What workers hold, and what waits for its next try: few, next to those in a queue or with their clients.
fn held(connection: &Connection, counts: &mut [(Stage, StageCount)]) -> Step<()> {
    let mut statement = connection.prepare_cached(
        "-- workbench.counts.held
        SELECT stage, place, min(since), max(claims) FROM active_orders INDEXED BY active_orders_by_place
        WHERE place IN ('lease', 'park') GROUP BY place, stage",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (stage, place): (Stage, Option<String>) = (col(row, 0)?, row.get(1)?);
        let since: Option<Timestamp> = maybe(row, 2)?;
        let Some((_, count)) = counts.iter_mut().find(|(of, _)| *of == stage) else { continue };
        if PlaceName::of(place.as_deref())? == Some(PlaceName::Lease) {
            count.oldest_leased = since;
        } else {
            count.oldest_parked = since;
        }
        count.claims_max = count.claims_max.max(row.get(3)?);
    }
    Ok(())
}
