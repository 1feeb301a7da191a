//! The workbench in SQLite: a row for each active order, which says where it stands. The queues are an index over these
//! rows.

mod counts;
mod queues;
mod rows;
mod sweep;
mod unreadable;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ca::authorization::{EndedAuthorization, Method};
use ca::order::{Finalize, MoveRefused, Order, Outcome, Place, Stage};
use ca::ports::{
    ActiveOrder, Advance, Claimed, Clock, Fenced, Lease, LeaseTerms, NonceUse, OrderFilter, Random, Retention,
    StageCount, StoreError, StoreErrorKind, Stored, SweepPage, UnreadableOrder, Workbench,
};
use ca::{AccountId, AuthorizationId, InstanceId, LeaseToken, OrderCursor, OrderId};
use futures_util::future::BoxFuture;
use pki::{Sha256, Timestamp};

use super::Database;
use super::columns::{Col, col, document};
use super::failure::Step;
use super::readers::snapshot;
use super::writer::{Batch, Durability};
use crate::nonce::NonceFile;
use queues::{Effects, Queues};
use rows::{Active, NewLease, PlaceName};
use sweep::Page;

/// The workbench of a [`Database`]. One process has one of it, since the lengths of the queues are known in memory.
#[derive(Debug)]
pub struct SqliteWorkbench {
    database: Database,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    nonces: Option<Arc<NonceFile>>,
    queues: Arc<Queues>,
}

impl SqliteWorkbench {
    pub(super) fn new(
        database: Database,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        nonces: Option<Arc<NonceFile>>,
        active_max: u64,
    ) -> Stored<Self> {
        let queues = database.read(|connection| Queues::read(connection, active_max))?;
        Ok(Self { database, clock, random, nonces, queues: Arc::new(queues) })
    }

    /// One transition: loads, changes and writes rows, and does beside the file what follows from it.
    async fn step<T: Send + 'static>(
        &self,
        durability: Durability,
        mut step: impl FnMut(&Batch<'_>, Timestamp, &mut Effects) -> Step<T> + Send + 'static,
    ) -> Stored<T> {
        let (clock, queues) = (Arc::clone(&self.clock), Arc::clone(&self.queues));
        let run = move |batch: &Batch<'_>| {
            let mut effects = Effects::none(&queues);
            Ok((step(batch, clock.now(), &mut effects)?, effects))
        };
        let queues = Arc::clone(&self.queues);
        let (answer, _) =
            self.database.writer().submit(durability, run, move |(_, effects)| queues.apply(effects)).await?;
        Ok(answer)
    }

    fn new_lease(&self, terms: LeaseTerms) -> impl Fn(Timestamp) -> NewLease + Send + use<> {
        let token = LeaseToken::random(self.random.as_ref());
        move |now| NewLease { token, holder: terms.holder, expires: now.plus(terms.length), now }
    }

    fn nonces(&self) -> Stored<&NonceFile> {
        let none = || StoreError::new(StoreErrorKind::Unavailable, "this workbench was opened without nonces");
        self.nonces.as_deref().ok_or_else(none)
    }
}

/// Changes an order and writes it, if it has changed. One under a lease stays there, unless what happened `takes` the
/// lease away; one that goes on standing in the same queue keeps its turn.
fn change<T>(
    batch: &Batch<'_>,
    active: &mut Active,
    now: Timestamp,
    effects: &mut Effects,
    change: impl FnOnce(&mut Order) -> (T, bool),
) -> Step<T> {
    let before = active.order.clone();
    let (answer, takes) = change(&mut active.order);
    if active.order == before {
        return Ok(answer);
    }
    let stays = match active.place {
        Some(PlaceName::Lease) => true,
        Some(PlaceName::Queue) => active.order.place(now) == Place::Queue,
        Some(PlaceName::Park | PlaceName::Client | PlaceName::PendingDone) | None => false,
    };
    if stays && !takes {
        active.keep(batch, effects)?;
    } else {
        active.settle_down(batch, now, effects)?;
    }
    Ok(answer)
}

fn apply(order: &mut Order, advance: &Advance, now: Timestamp) {
    match advance {
        Advance::Made(authorizations) => order.make(authorizations.clone()),
        Advance::Tested(results) => order.tested(results, now),
        Advance::Finished { outcome, ended } => {
            order.finish(outcome.clone(), *ended);
        }
    }
}

#[async_trait]
impl Workbench for SqliteWorkbench {
    async fn create(&self, order: Order, terms: LeaseTerms) -> Stored<Lease> {
        let comes_back = order.stage() >= Stage::Issue;
        let room = if comes_back { Queues::more_room(&self.queues) } else { Queues::make_room(&self.queues)? };
        let written = document("active_orders.document", &order)?;
        let (lease, clock, queues) = (self.new_lease(terms), Arc::clone(&self.clock), Arc::clone(&self.queues));
        let run = move |batch: &Batch<'_>| {
            let replaced = match rows::known(batch, order.id)? {
                None => false,
                Some(known) if known.unreadable || (comes_back && known.stage < Stage::Issue) => {
                    rows::replace(batch, order.id)?;
                    true
                }
                Some(_) => {
                    let detail = format!("there is an order {} already", order.id);
                    return Err(StoreError::new(StoreErrorKind::Unavailable, detail).into());
                }
            };
            Ok((rows::insert(batch, &order, &written, lease(clock.now()))?, replaced))
        };
        let after = move |(lease, replaced): &(Lease, bool)| {
            if !replaced {
                room.used();
            }
            queues.changed.wake(&lease.order);
        };
        let (lease, _) = self.database.writer().submit(Durability::Ordered, run, after).await?;
        Ok(lease)
    }

    async fn answer(
        &self,
        authorization: AuthorizationId,
        method: Method,
        ended: &[EndedAuthorization],
    ) -> Stored<Option<Result<Order, MoveRefused>>> {
        let ended = ended.to_vec();
        self.step(Durability::Synced, move |batch, now, effects| {
            let Some(mut active) = rows::load(batch, authorization.order)? else {
                return Ok(None);
            };
            let moved = change(batch, &mut active, now, effects, |order| {
                order.copy_back(&ended);
                (order.answer(authorization, method, now), false)
            })?;
            Ok(Some(moved.map(|()| active.order)))
        })
        .await
    }

    async fn finalize(
        &self,
        order: OrderId,
        finalize: Finalize,
        deadline: Timestamp,
        ended: &[EndedAuthorization],
    ) -> Stored<Option<Result<Order, MoveRefused>>> {
        let ended = ended.to_vec();
        self.step(Durability::Synced, move |batch, now, effects| {
            let Some(mut active) = rows::load(batch, order)? else {
                return Ok(None);
            };
            let moved = change(batch, &mut active, now, effects, |order| {
                order.copy_back(&ended);
                let moved = order.finalize(finalize.clone(), deadline, now);
                let takes = moved.is_ok();
                (moved, takes)
            })?;
            Ok(Some(moved.map(|()| active.order)))
        })
        .await
    }

    async fn claim(&self, stage: Stage, terms: LeaseTerms) -> Stored<Option<Claimed>> {
        let Some(taken) = Queues::take(&self.queues, stage) else {
            return Ok(None);
        };
        let (lease, clock) = (self.new_lease(terms), Arc::clone(&self.clock));
        let run = move |batch: &Batch<'_>| rows::claim(batch, stage, lease(clock.now()));
        self.database.writer().submit(Durability::Ordered, run, move |_| taken.asked()).await
    }

    async fn claim_test(&self, terms: LeaseTerms, but: &[AccountId]) -> Stored<Option<Claimed>> {
        if but.is_empty() {
            return self.claim(Stage::TestChallenge, terms).await;
        }
        let Some(taken) = Queues::take(&self.queues, Stage::TestChallenge) else {
            return Ok(None);
        };
        let (lease, clock, but) = (self.new_lease(terms), Arc::clone(&self.clock), but.to_vec());
        let run = move |batch: &Batch<'_>| rows::claim_test(batch, &but, lease(clock.now()));
        let after = move |claimed: &Option<Claimed>| match claimed {
            Some(_) => taken.asked(),
            None => taken.left(),
        };
        self.database.writer().submit(Durability::Ordered, run, after).await
    }

    async fn advance(&self, lease: &Lease, advance: Advance) -> Stored<Result<Order, Fenced>> {
        let durability = match advance {
            Advance::Made(_) => Durability::Synced,
            Advance::Tested(_) | Advance::Finished { .. } => Durability::Ordered,
        };
        let lease = lease.clone();
        self.step(durability, move |batch, now, effects| {
            let Some(mut active) = rows::held(batch, &lease)? else {
                return Ok(Err(Fenced::Stale));
            };
            apply(&mut active.order, &advance, now);
            active.settle_down(batch, now, effects)?;
            Ok(Ok(active.order))
        })
        .await
    }

    async fn park(&self, lease: &Lease, pause: Duration) -> Stored<Result<(), Fenced>> {
        let lease = lease.clone();
        self.step(Durability::Ordered, move |batch, now, effects| {
            let Some(mut active) = rows::held(batch, &lease)? else {
                return Ok(Err(Fenced::Stale));
            };
            let until = now.plus(pause);
            active.order.delay(until);
            let place = if pause.is_zero() { Place::Queue } else { Place::Park { until } };
            active.put(batch, place, now, effects)?;
            Ok(Ok(()))
        })
        .await
    }

    async fn settle(
        &self,
        order: OrderId,
        ended: &[EndedAuthorization],
        outcome: Option<(Outcome, Timestamp)>,
    ) -> Stored<Option<Order>> {
        let ended = ended.to_vec();
        // A client may be told of an end.
        let durability = if outcome.is_some() { Durability::Synced } else { Durability::Ordered };
        self.step(durability, move |batch, now, effects| {
            let Some(mut active) = rows::load(batch, order)? else {
                return Ok(None);
            };
            change(batch, &mut active, now, effects, |order| {
                order.copy_back(&ended);
                if let Some((outcome, ended)) = outcome.clone() {
                    order.settle(outcome, ended);
                }
                ((), true)
            })?;
            Ok(Some(active.order))
        })
        .await
    }

    async fn sweep(&self, after: Option<OrderId>, limit: u32, retention: Retention) -> Stored<SweepPage> {
        self.step(Durability::Ordered, move |batch, now, effects| {
            sweep::page(batch, &Page { after, limit, retention, now }, effects)
        })
        .await
    }

    async fn free_leases(&self, holder: InstanceId) -> Stored<u64> {
        self.step(Durability::Ordered, move |batch, now, effects| {
            let held: Vec<(i64, OrderId, Stage)> = batch
                .prepare_cached(
                    "-- workbench.free_leases
                    SELECT row, id, stage FROM active_orders WHERE place = 'lease' AND lease_holder = ?1 ORDER BY turn",
                )?
                .query_map([Col(holder)], |row| Ok((row.get(0)?, col(row, 1)?, col(row, 2)?)))?
                .collect::<Result<_, _>>()?;
            for (row, id, stage) in &held {
                rows::requeue(batch, *row, *id, *stage, now, effects)?;
            }
            Ok(held.len() as u64)
        })
        .await
    }

    async fn read(&self, order: OrderId) -> Stored<Option<ActiveOrder>> {
        self.database.read(|connection| rows::read(connection, order))
    }

    async fn absent(&self, orders: &[OrderId]) -> Stored<Vec<OrderId>> {
        self.database.read(|connection| rows::absent(connection, orders))
    }

    async fn unreadable(&self, after: Option<OrderId>, limit: u32) -> Stored<Vec<UnreadableOrder>> {
        self.database.scan(move |connection| unreadable::list(connection, after, limit)).await
    }

    async fn alike(&self, likeness: Sha256) -> Stored<Option<OrderId>> {
        self.database.read(|connection| rows::alike(connection, likeness))
    }

    fn changed(&self, order: OrderId) -> BoxFuture<'static, ()> {
        self.queues.changed.wait(order)
    }

    fn queued(&self, stage: Stage) -> BoxFuture<'static, ()> {
        self.queues.queued.wait(stage)
    }

    async fn delivered(&self, order: OrderId, at: Timestamp) -> Stored<()> {
        self.step(Durability::Ordered, move |batch, _, effects| match rows::load(batch, order)? {
            Some(active) => active.mark_delivered(batch, at, effects),
            None => Ok(()),
        })
        .await
    }

    async fn acknowledge(&self, order: OrderId, _at: Timestamp) -> Stored<bool> {
        self.step(Durability::Synced, move |batch, _, effects| {
            match rows::load(batch, order)?.filter(|active| active.order.stage() == Stage::Done) {
                Some(active) => active.remove(batch, effects).map(|()| true),
                None => Ok(false),
            }
        })
        .await
    }

    async fn list(&self, filter: OrderFilter, limit: u32) -> Stored<Vec<ActiveOrder>> {
        self.database.scan(move |connection| rows::list(connection, filter.stage, filter.after, limit)).await
    }

    async fn oldest(&self, stage: Stage, limit: u32) -> Stored<Vec<ActiveOrder>> {
        self.database.scan(move |connection| counts::oldest(connection, stage, limit)).await
    }

    async fn orders_of(&self, account: AccountId, behind: Option<OrderCursor>, limit: u32) -> Stored<Vec<Order>> {
        self.database.read(|connection| rows::of_account(connection, account, behind, limit))
    }

    async fn counts(&self) -> Stored<Vec<(Stage, StageCount)>> {
        self.database.scan(|connection| snapshot(connection, counts::counts)).await
    }

    async fn issue_nonce(&self) -> Stored<String> {
        self.nonces()?.issue()
    }

    async fn use_nonce(&self, nonce: &str) -> Stored<NonceUse> {
        self.nonces()?.use_up(nonce)
    }
}
