//! The workbench in memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ca::authorization::{EndedAuthorization, Method};
use ca::order::{Finalize, MoveRefused, Order, Outcome, Stage};
use ca::ports::{
    ActiveOrder, Advance, Claimed, Clock, Fenced, Lease, LeaseTerms, NonceUse, OrderFilter, Random, Retention,
    StageCount, StoreError, StoreErrorKind, Stored, SweepPage, UnreadableOrder, Workbench,
};
use ca::{AccountId, AuthorizationId, InstanceId, LeaseToken, OrderCursor, OrderId};
use data_encoding::BASE64URL_NOPAD;
use futures_util::future::BoxFuture;
use pki::{Sha256, Timestamp};

use super::lock;
use super::workbench_state::State;
use crate::wake::Wakers;

const NONCE_OCTETS: usize = 24;

/// A workbench in memory. Each call is one step; nothing of it outlives the process.
#[derive(Debug)]
pub struct MemoryWorkbench {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    active_max: u64,
    state: Mutex<State>,
    changed: Wakers<OrderId>,
    queued: Wakers<Stage>,
}

/// The orders of a workbench, their places and the queues, as they were at a moment.
#[derive(Clone, Debug)]
pub struct WorkbenchImage(State);

impl MemoryWorkbench {
    /// An empty workbench for at most `active_max` active orders.
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>, active_max: u64) -> Self {
        let (changed, queued) = (Wakers::new(), Wakers::new());
        Self { clock, random, active_max, state: Mutex::default(), changed, queued }
    }

    /// A backup: another workbench with the same orders. Nobody waits on it.
    #[must_use]
    pub fn backup(&self) -> Self {
        let (clock, random) = (Arc::clone(&self.clock), Arc::clone(&self.random));
        let copy = Self::new(clock, random, self.active_max);
        lock(&self.state).clone_into(&mut lock(&copy.state));
        copy
    }

    /// What it holds now, but for nonces: these have a file of their own.
    pub fn image(&self) -> WorkbenchImage {
        WorkbenchImage(lock(&self.state).image())
    }

    /// It holds what it held then: what came later is forgotten, as by a crash or by a replica that was behind.
    pub fn restore(&self, image: &WorkbenchImage) {
        self.step(|state, _| state.restore(&image.0));
    }

    /// All nonces are forgotten, as by a power cut: each is refused once.
    pub fn forget_nonces(&self) {
        lock(&self.state).forget_nonces();
    }

    /// Orders that stand in no queue though they say so, in one though they don't, or in two.
    pub fn misplaced(&self) -> Vec<OrderId> {
        lock(&self.state).misplaced()
    }

    /// Takes every active order out of its place, as a fault or a hand could: what the sweep mends.
    pub fn wipe_places(&self) {
        self.step(|state, now| state.wipe_places(now));
    }

    /// One atomic step; who waits for what it did is woken when it is done.
    fn step<T>(&self, step: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let mut state = lock(&self.state);
        let answer = step(&mut state, self.clock.now());
        let (changed, queued) = (std::mem::take(&mut state.changed), std::mem::take(&mut state.queued));
        drop(state);
        for order in changed {
            self.changed.wake(&order);
        }
        for stage in queued {
            self.queued.wake_one(&stage);
        }
        answer
    }
}

/// What a client's step came to, with the order as it then is.
fn told(order: Option<Order>, moved: Result<(), MoveRefused>) -> Option<Result<Order, MoveRefused>> {
    order.map(|order| moved.map(|()| order))
}

#[async_trait]
impl Workbench for MemoryWorkbench {
    async fn create(&self, order: Order, terms: LeaseTerms) -> Stored<Lease> {
        let token = LeaseToken::random(self.random.as_ref());
        self.step(|state, now| {
            let comes_back = order.stage() >= Stage::Issue;
            if comes_back {
                state.make_way(&order);
            } else if state.orders.len() as u64 >= self.active_max {
                let detail = format!("there are {} active orders, the most there may be", self.active_max);
                return Err(StoreError::new(StoreErrorKind::Full, detail));
            }
            if state.orders.contains_key(&order.id) {
                return Err(StoreError::new(StoreErrorKind::Unavailable, format!("there is an order {}", order.id)));
            }
            Ok(state.create(order, token, terms, now))
        })
    }

    async fn answer(
        &self,
        authorization: AuthorizationId,
        method: Method,
        ended: &[EndedAuthorization],
    ) -> Stored<Option<Result<Order, MoveRefused>>> {
        let id = authorization.order;
        Ok(self.step(|state, now| {
            let (moved, changed) = state.change(id, |order| {
                order.copy_back(ended);
                order.answer(authorization, method, now)
            })?;
            told(state.move_on(id, changed, false, now), moved)
        }))
    }

    async fn finalize(
        &self,
        id: OrderId,
        finalize: Finalize,
        deadline: Timestamp,
        ended: &[EndedAuthorization],
    ) -> Stored<Option<Result<Order, MoveRefused>>> {
        Ok(self.step(|state, now| {
            let (moved, changed) = state.change(id, |order| {
                order.copy_back(ended);
                order.finalize(finalize, deadline, now)
            })?;
            told(state.move_on(id, changed, moved.is_ok(), now), moved)
        }))
    }

    async fn claim(&self, stage: Stage, terms: LeaseTerms) -> Stored<Option<Claimed>> {
        let token = LeaseToken::random(self.random.as_ref());
        Ok(self.step(|state, now| state.claim(stage, &[], token, terms, now)))
    }

    async fn claim_test(&self, terms: LeaseTerms, but: &[AccountId]) -> Stored<Option<Claimed>> {
        let token = LeaseToken::random(self.random.as_ref());
        Ok(self.step(|state, now| state.claim(Stage::TestChallenge, but, token, terms, now)))
    }

    async fn advance(&self, lease: &Lease, advance: Advance) -> Stored<Result<Order, Fenced>> {
        Ok(self.step(|state, now| state.advance(lease, advance, now)))
    }

    async fn park(&self, lease: &Lease, pause: Duration) -> Stored<Result<(), Fenced>> {
        Ok(self.step(|state, now| state.park(lease, pause, now)))
    }

    async fn settle(
        &self,
        order: OrderId,
        ended: &[EndedAuthorization],
        outcome: Option<(Outcome, Timestamp)>,
    ) -> Stored<Option<Order>> {
        Ok(self.step(|state, now| state.settle(order, ended, outcome, now)))
    }

    async fn sweep(&self, after: Option<OrderId>, limit: u32, retention: Retention) -> Stored<SweepPage> {
        Ok(self.step(|state, now| state.sweep(after, limit, retention, now)))
    }

    async fn free_leases(&self, holder: InstanceId) -> Stored<u64> {
        Ok(self.step(|state, now| state.free_leases(holder, now)))
    }

    async fn read(&self, order: OrderId) -> Stored<Option<ActiveOrder>> {
        Ok(self.step(|state, _| state.orders.get(&order).map(super::workbench_state::Entry::show)))
    }

    async fn absent(&self, orders: &[OrderId]) -> Stored<Vec<OrderId>> {
        Ok(self.step(|state, _| orders.iter().filter(|id| !state.is_in_issuance(id)).copied().collect()))
    }

    /// Nothing in memory is unreadable.
    async fn unreadable(&self, _: Option<OrderId>, _: u32) -> Stored<Vec<UnreadableOrder>> {
        Ok(Vec::new())
    }

    async fn alike(&self, likeness: Sha256) -> Stored<Option<OrderId>> {
        Ok(lock(&self.state).alike(likeness))
    }

    fn changed(&self, order: OrderId) -> BoxFuture<'static, ()> {
        self.changed.wait(order)
    }

    fn queued(&self, stage: Stage) -> BoxFuture<'static, ()> {
        self.queued.wait(stage)
    }

    async fn delivered(&self, order: OrderId, at: Timestamp) -> Stored<()> {
        self.step(|state, _| state.delivered(order, at));
        Ok(())
    }

    async fn acknowledge(&self, order: OrderId, _at: Timestamp) -> Stored<bool> {
        Ok(self.step(|state, _| state.acknowledge(order)))
    }

    async fn list(&self, filter: OrderFilter, limit: u32) -> Stored<Vec<ActiveOrder>> {
        Ok(self.step(|state, _| {
            let behind = state.orders.iter().filter(|(id, _)| filter.after.is_none_or(|after| **id > after));
            let found = behind.map(|(_, entry)| entry.show());
            let of_stage = found.filter(|active| filter.stage.is_none_or(|stage| active.order.stage() == stage));
            of_stage.take(limit as usize).collect()
        }))
    }

    async fn oldest(&self, stage: Stage, limit: u32) -> Stored<Vec<ActiveOrder>> {
        Ok(self.step(|state, _| state.oldest(stage, limit)))
    }

    async fn orders_of(&self, account: AccountId, behind: Option<OrderCursor>, limit: u32) -> Stored<Vec<Order>> {
        Ok(self.step(|state, _| {
            let orders = state.orders.values().map(|entry| &entry.order).filter(|order| order.account == account);
            let mut orders: Vec<&Order> =
                orders.filter(|order| behind.is_none_or(|behind| OrderCursor::from(*order) < behind)).collect();
            orders.sort_by_key(|order| std::cmp::Reverse(OrderCursor::from(*order)));
            orders.into_iter().take(limit as usize).cloned().collect()
        }))
    }

    async fn counts(&self) -> Stored<Vec<(Stage, StageCount)>> {
        Ok(self.step(|state, _| state.counts()))
    }

    async fn issue_nonce(&self) -> Stored<String> {
        let mut octets = [0; NONCE_OCTETS];
        self.random.fill(&mut octets);
        let nonce = BASE64URL_NOPAD.encode(&octets);
        self.step(|state, _| state.issue_nonce(&nonce));
        Ok(nonce)
    }

    async fn use_nonce(&self, nonce: &str) -> Stored<NonceUse> {
        Ok(self.step(|state, _| state.use_nonce(nonce)))
    }
}
