//! What outlives processes: the stores in memory stand for what is synced, and what a crash may forget is kept beside.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ca::authorization::{EndedAuthorization, Method};
use ca::order::{Finalize, MoveRefused, Order, Outcome, Stage};
use ca::ports::{Advance, Claimed, Clock, Fenced, Lease, LeaseTerms, Random, Retention, Stored, SweepPage, Workbench};
use ca::{AccountId, AuthorizationId, InstanceId, OrderId};
use pki::Timestamp;
use store::memory::{MemoryLedger, MemoryLogStore, MemoryWorkbench, WorkbenchImage};

use crate::chance::Chance;
use crate::ports::{Layer, WorkbenchLayer, layered_workbench};

const ACTIVE_MAX: u64 = 1_000;

/// The stores that all processes share.
#[derive(Debug)]
pub struct Stores {
    /// What must never be lost.
    pub ledger: Arc<MemoryLedger>,
    /// What can be done again.
    pub workbench: Arc<MemoryWorkbench>,
    /// Of the built-in logs.
    pub logs: Arc<MemoryLogStore>,
    /// What the workbench would forget.
    pub unsynced: Arc<Unsynced>,
}

impl Stores {
    /// Empty ones. With `forgets` the workbench may forget at a crash what was not synced.
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>, forgets: bool) -> Self {
        let workbench = Arc::new(MemoryWorkbench::new(Arc::clone(&clock), random, ACTIVE_MAX));
        let unsynced = Unsynced { workbench: Arc::clone(&workbench), forgets, images: Mutex::default() };
        Self {
            ledger: Arc::new(MemoryLedger::new(Arc::clone(&clock))),
            workbench,
            logs: Arc::new(MemoryLogStore::new(clock)),
            unsynced: Arc::new(unsynced),
        }
    }
}

/// The steps of the workbench that nobody waited for to be synced: a crash may forget the last of them, in the order in
/// which they were made. Those that a client is told of are synced, and with them all before.
pub struct Unsynced {
    workbench: Arc<MemoryWorkbench>,
    forgets: bool,
    /// What the workbench held before each of them.
    images: Mutex<Vec<WorkbenchImage>>,
}

impl Unsynced {
    fn images(&self) -> MutexGuard<'_, Vec<WorkbenchImage>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step_begins(&self) {
        if self.forgets {
            let image = self.workbench.image();
            self.images().push(image);
        }
    }

    /// Nothing is left that could be forgotten.
    pub(crate) fn synced(&self) {
        self.images().clear();
    }

    /// The machine loses its power: some of the last steps are forgotten, or none. Answers how many.
    pub fn forget(&self, chance: &Chance) -> usize {
        let images = std::mem::take(&mut *self.images());
        let kept = chance.place(images.len() + 1);
        if let Some(image) = images.get(kept) {
            self.workbench.restore(image);
        }
        images.len() - kept
    }
}

impl fmt::Debug for Unsynced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unsynced({} steps)", self.images().len())
    }
}

/// Right around the workbench.
impl Layer for Arc<Unsynced> {
    fn workbench(&self, inner: Arc<dyn Workbench>) -> Arc<dyn Workbench> {
        if self.forgets { layered_workbench(inner, Self::clone(self) as Arc<dyn WorkbenchLayer>) } else { inner }
    }
}

#[async_trait]
impl WorkbenchLayer for Unsynced {
    async fn create(&self, inner: &dyn Workbench, order: Order, terms: LeaseTerms) -> Stored<Lease> {
        self.step_begins();
        inner.create(order, terms).await
    }

    async fn answer(
        &self,
        inner: &dyn Workbench,
        authorization: AuthorizationId,
        method: Method,
        ended: &[EndedAuthorization],
    ) -> Stored<Option<Result<Order, MoveRefused>>> {
        let answered = inner.answer(authorization, method, ended).await;
        self.synced();
        answered
    }

    async fn finalize(
        &self,
        inner: &dyn Workbench,
        order: OrderId,
        finalize: Finalize,
        deadline: Timestamp,
        ended: &[EndedAuthorization],
    ) -> Stored<Option<Result<Order, MoveRefused>>> {
        let finalized = inner.finalize(order, finalize, deadline, ended).await;
        self.synced();
        finalized
    }

    async fn claim(&self, inner: &dyn Workbench, stage: Stage, terms: LeaseTerms) -> Stored<Option<Claimed>> {
        self.step_begins();
        inner.claim(stage, terms).await
    }

    async fn claim_test(&self, inner: &dyn Workbench, terms: LeaseTerms, but: &[AccountId]) -> Stored<Option<Claimed>> {
        self.step_begins();
        inner.claim_test(terms, but).await
    }

    async fn advance(&self, inner: &dyn Workbench, lease: &Lease, advance: Advance) -> Stored<Result<Order, Fenced>> {
        if let Advance::Made(_) = advance {
            let advanced = inner.advance(lease, advance).await;
            self.synced();
            return advanced;
        }
        self.step_begins();
        inner.advance(lease, advance).await
    }

    async fn park(&self, inner: &dyn Workbench, lease: &Lease, pause: Duration) -> Stored<Result<(), Fenced>> {
        self.step_begins();
        inner.park(lease, pause).await
    }

    async fn settle(
        &self,
        inner: &dyn Workbench,
        order: OrderId,
        ended: &[EndedAuthorization],
        outcome: Option<(Outcome, Timestamp)>,
    ) -> Stored<Option<Order>> {
        self.step_begins();
        let is_told = outcome.is_some();
        let settled = inner.settle(order, ended, outcome).await;
        if is_told {
            self.synced();
        }
        settled
    }

    async fn sweep(
        &self,
        inner: &dyn Workbench,
        after: Option<OrderId>,
        limit: u32,
        retention: Retention,
    ) -> Stored<SweepPage> {
        self.step_begins();
        inner.sweep(after, limit, retention).await
    }

    async fn free_leases(&self, inner: &dyn Workbench, holder: InstanceId) -> Stored<u64> {
        self.step_begins();
        inner.free_leases(holder).await
    }

    async fn delivered(&self, inner: &dyn Workbench, order: OrderId, at: Timestamp) -> Stored<()> {
        self.step_begins();
        inner.delivered(order, at).await
    }

    async fn acknowledge(&self, inner: &dyn Workbench, order: OrderId, at: Timestamp) -> Stored<bool> {
        let acknowledged = inner.acknowledge(order, at).await;
        self.synced();
        acknowledged
    }
}
