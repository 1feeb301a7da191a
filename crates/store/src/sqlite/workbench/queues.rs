//! What of the workbench is in memory: how many orders stand in each queue, how many are active, and who waits for
//! what.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use ca::OrderId;
use ca::order::Stage;
use ca::ports::{StoreError, StoreErrorKind, Stored};
use rusqlite::Connection;

use crate::sqlite::columns::{Col, col};
use crate::sqlite::failure::Step;
use crate::wake::Wakers;

/// Shared by the workbench and the steps that it sends to the writer.
///
/// A queue's count is never below the number of its orders less the claims on their way, so that a claim that finds it
/// at zero need not ask the file. A claim takes one off before it asks, and only gives it back if it could not ask;
/// what comes to a queue is added once that is committed. Whatever else leaves a queue leaves the count too high, which
/// costs a claim that finds nothing.
#[derive(Debug)]
pub(super) struct Queues {
    counts: [AtomicU64; 4],
    tickets: AtomicI64,
    active: AtomicU64,
    active_max: u64,
    pub(super) changed: Wakers<OrderId>,
    pub(super) queued: Wakers<Stage>,
}

const fn index(stage: Stage) -> usize {
    match stage {
        Stage::MakeChallenge => 0,
        Stage::TestChallenge => 1,
        Stage::Issue => 2,
        Stage::Done => 3,
    }
}

impl Queues {
    pub(super) fn read(connection: &Connection, active_max: u64) -> Step<Self> {
        let active: u64 =
            connection
                .query_row("-- workbench.open.active\nSELECT count(*) FROM active_orders", [], |row| col(row, 0))?;
        let last: i64 = connection.query_row(
            "-- workbench.open.last\nSELECT coalesce(max(turn), 0) FROM active_orders WHERE place = 'queue'",
            [],
            |row| row.get(0),
        )?;
        let queues = Self {
            counts: Default::default(),
            tickets: AtomicI64::new(last + 1),
            active: AtomicU64::new(active),
            active_max,
            changed: Wakers::new(),
            queued: Wakers::new(),
        };
        for (stage, number) in queued(connection)? {
            queues.at_least(stage, number);
        }
        Ok(queues)
    }

    pub(super) fn at_least(&self, stage: Stage, number: u64) {
        self.counts[index(stage)].fetch_max(number, Ordering::AcqRel);
    }

    /// Takes one off the count, if there is one.
    pub(super) fn take(queues: &Arc<Self>, stage: Stage) -> Option<Taken> {
        let count = &queues.counts[index(stage)];
        count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| count.checked_sub(1)).ok()?;
        Some(Taken { queues: Arc::clone(queues), stage, asked: false })
    }

    /// Takes room for one more active order.
    pub(super) fn make_room(queues: &Arc<Self>) -> Stored<Room> {
        let max = queues.active_max;
        let below = queues
            .active
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |active| (active < max).then_some(active + 1));
        match below {
            Ok(_) => Ok(Room { queues: Arc::clone(queues), used: false }),
            Err(_) => Err(StoreError::new(
                StoreErrorKind::Full,
                format!("there are {max} active orders, the most there may be"),
            )),
        }
    }

    /// Takes room for one more active order, though there be none.
    pub(super) fn more_room(queues: &Arc<Self>) -> Room {
        queues.active.fetch_add(1, Ordering::AcqRel);
        Room { queues: Arc::clone(queues), used: false }
    }

    /// What a committed step did.
    pub(super) fn apply(&self, effects: &Effects) {
        for stage in &effects.queued {
            self.counts[index(*stage)].fetch_add(1, Ordering::AcqRel);
        }
        for (stage, number) in &effects.found {
            self.at_least(*stage, *number);
            if *number > 0 {
                self.queued.wake(stage);
            }
        }
        if effects.removed > 0 {
            self.active.fetch_sub(effects.removed, Ordering::AcqRel);
        }
        for order in &effects.changed {
            self.changed.wake(order);
        }
        for stage in &effects.queued {
            self.queued.wake_one(stage);
        }
    }
}

/// How many orders stand in each queue, as the file has it.
pub(super) fn queued(connection: &Connection) -> Step<Vec<(Stage, u64)>> {
    let mut statement = connection.prepare_cached(
        "-- workbench.queued\nSELECT count(*) FROM active_orders WHERE place = 'queue' AND stage = ?1",
    )?;
    let count = |stage| Ok((stage, statement.query_row([Col(stage)], |row| col(row, 0))?));
    Stage::ALL.into_iter().map(count).collect()
}

/// What a claim took off a queue's count.
#[derive(Debug)]
pub(super) struct Taken {
    queues: Arc<Queues>,
    stage: Stage,
    asked: bool,
}

impl Taken {
    /// The file was asked.
    pub(super) fn asked(mut self) {
        self.asked = true;
    }

    /// The file was asked, and what may be there was left there: back on the count, and nobody is woken.
    pub(super) fn left(mut self) {
        self.asked = true;
        self.queues.counts[index(self.stage)].fetch_add(1, Ordering::AcqRel);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.asked {
            self.queues.counts[index(self.stage)].fetch_add(1, Ordering::AcqRel);
            self.queues.queued.wake_one(&self.stage);
        }
    }
}

/// Room for one more active order, given back unless it is used.
#[derive(Debug)]
pub(super) struct Room {
    queues: Arc<Queues>,
    used: bool,
}

impl Room {
    pub(super) fn used(mut self) {
        self.used = true;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.used {
            self.queues.active.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// What a step does beside the file, once it is committed.
#[derive(Debug)]
pub(super) struct Effects {
    queues: Arc<Queues>,
    queued: Vec<Stage>,
    changed: Vec<OrderId>,
    removed: u64,
    found: Vec<(Stage, u64)>,
}

impl Effects {
    pub(super) fn none(queues: &Arc<Queues>) -> Self {
        let queues = Arc::clone(queues);
        Self { queues, queued: Vec::new(), changed: Vec::new(), removed: 0, found: Vec::new() }
    }

    /// An order comes to this queue. The number it draws there.
    pub(super) fn queue(&mut self, stage: Stage) -> i64 {
        self.queued.push(stage);
        self.queues.tickets.fetch_add(1, Ordering::AcqRel)
    }

    pub(super) fn changed(&mut self, order: OrderId) {
        self.changed.push(order);
    }

    pub(super) fn removed(&mut self, order: OrderId) {
        self.changed.push(order);
        self.removed += 1;
    }

    /// So many orders stand in the queues.
    pub(super) fn found(&mut self, found: Vec<(Stage, u64)>) {
        self.found = found;
    }
}
