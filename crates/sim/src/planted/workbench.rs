//! Faults of the workbench.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use ca::authorization::{EndedAuthorization, Method};
use ca::order::{Finalize, MoveRefused, Order, Stage};
use ca::ports::{
    Advance, Claimed, Fenced, Lease, LeaseTerms, NonceUse, OrderFilter, Retention, Standing, Stored, SweepPage,
    Workbench,
};
use ca::{AccountId, AuthorizationId, InstanceId, OrderId};
use futures_util::future::BoxFuture;
use pki::Timestamp;

use super::Kept;
use crate::ports::WorkbenchLayer;

/// Nobody's instance: what it holds never comes back.
const NOBODY: InstanceId = InstanceId::from_bytes([0; 16]);
/// Longer than any run.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// As many active orders as a run has.
const ALL: u32 = 100_000;

/// What finalize should push onto its queue is taken out again, for nobody.
#[derive(Debug)]
pub(super) struct PushDropped;

#[async_trait]
impl WorkbenchLayer for PushDropped {
    async fn finalize(
        &self,
        inner: &dyn Workbench,
        order: OrderId,
        finalize: Finalize,
        deadline: Timestamp,
        ended: &[EndedAuthorization],
    ) -> Stored<Option<Result<Order, MoveRefused>>> {
        let finalized = inner.finalize(order, finalize, deadline, ended).await?;
        if matches!(finalized, Some(Ok(_))) {
            inner.claim(Stage::Issue, LeaseTerms { holder: NOBODY, length: FOR_EVER }).await?;
        }
        Ok(finalized)
    }
}

/// An order is given to two.
#[derive(Debug, Default)]
pub(super) struct PoppedTwice(Kept<BTreeMap<Stage, Claimed>>);

impl PoppedTwice {
    fn once_more(&self, stage: Stage) -> Option<Claimed> {
        self.0.with(|last| last.remove(&stage))
    }

    fn keep(&self, stage: Stage, claimed: Option<&Claimed>) {
        if let Some(claimed) = claimed {
            self.0.with(|last| last.insert(stage, claimed.clone()));
        }
    }
}

#[async_trait]
impl WorkbenchLayer for PoppedTwice {
    async fn claim(&self, inner: &dyn Workbench, stage: Stage, terms: LeaseTerms) -> Stored<Option<Claimed>> {
        if let Some(again) = self.once_more(stage) {
            return Ok(Some(again));
        }
        let claimed = inner.claim(stage, terms).await?;
        self.keep(stage, claimed.as_ref());
        Ok(claimed)
    }

    fn queued(&self, inner: &dyn Workbench, stage: Stage) -> BoxFuture<'static, ()> {
        // What stands there twice wakes twice.
        if self.0.with(|last| last.contains_key(&stage)) {
            Box::pin(std::future::ready(()))
        } else {
            inner.queued(stage)
        }
    }
}

/// Whoever had an order once may advance it, whoever has it now.
#[derive(Debug, Default)]
pub(super) struct FenceForgotten(Kept<BTreeMap<OrderId, Lease>>);

impl FenceForgotten {
    fn granted(&self, claimed: Option<&Claimed>) {
        if let Some(Claimed { lease, .. }) = claimed {
            self.0.with(|leases| leases.insert(lease.order, lease.clone()));
        }
    }

    fn current(&self, lease: &Lease) -> Lease {
        self.0.with(|leases| leases.get(&lease.order).cloned()).unwrap_or_else(|| lease.clone())
    }
}

#[async_trait]
impl WorkbenchLayer for FenceForgotten {
    async fn claim(&self, inner: &dyn Workbench, stage: Stage, terms: LeaseTerms) -> Stored<Option<Claimed>> {
        let claimed = inner.claim(stage, terms).await?;
        self.granted(claimed.as_ref());
        Ok(claimed)
    }

    async fn claim_test(&self, inner: &dyn Workbench, terms: LeaseTerms, but: &[AccountId]) -> Stored<Option<Claimed>> {
        let claimed = inner.claim_test(terms, but).await?;
        self.granted(claimed.as_ref());
        Ok(claimed)
    }

    async fn advance(&self, inner: &dyn Workbench, lease: &Lease, advance: Advance) -> Stored<Result<Order, Fenced>> {
        inner.advance(&self.current(lease), advance).await
    }

    async fn park(&self, inner: &dyn Workbench, lease: &Lease, pause: Duration) -> Stored<Result<(), Fenced>> {
        inner.park(&self.current(lease), pause).await
    }
}

/// What the sweep puts back on its queue is taken out again, for nobody.
#[derive(Debug)]
pub(super) struct RequeueForgotten;

#[async_trait]
impl WorkbenchLayer for RequeueForgotten {
    async fn sweep(
        &self,
        inner: &dyn Workbench,
        after: Option<OrderId>,
        limit: u32,
        retention: Retention,
    ) -> Stored<SweepPage> {
        let mut page = inner.sweep(after, limit, retention).await?;
        for (_, stage) in std::mem::take(&mut page.requeued) {
            inner.claim(stage, LeaseTerms { holder: NOBODY, length: FOR_EVER }).await?;
        }
        Ok(page)
    }
}

/// A nonce is good as often as one likes.
#[derive(Debug)]
pub(super) struct NonceTwice;

#[async_trait]
impl WorkbenchLayer for NonceTwice {
    async fn use_nonce(&self, inner: &dyn Workbench, nonce: &str) -> Stored<NonceUse> {
        Ok(match inner.use_nonce(nonce).await? {
            NonceUse::Replayed => NonceUse::Fresh,
            used @ (NonceUse::Fresh | NonceUse::Unknown) => used,
        })
    }
}

/// A finalize is answered as taken, and isn't written.
#[derive(Debug)]
pub(super) struct FinalizeForgotten;

#[async_trait]
impl WorkbenchLayer for FinalizeForgotten {
    async fn finalize(
        &self,
        inner: &dyn Workbench,
        order: OrderId,
        finalize: Finalize,
        deadline: Timestamp,
        ended: &[EndedAuthorization],
    ) -> Stored<Option<Result<Order, MoveRefused>>> {
        let Some(active) = inner.read(order).await? else { return Ok(None) };
        let mut order = active.order;
        order.copy_back(ended);
        let received = finalize.received;
        Ok(Some(order.finalize(finalize, deadline, received).map(|()| order)))
    }
}

/// The answer to a challenge is answered as taken, and isn't written.
#[derive(Debug)]
pub(super) struct AnswerForgotten;

#[async_trait]
impl WorkbenchLayer for AnswerForgotten {
    async fn answer(
        &self,
        inner: &dyn Workbench,
        authorization: AuthorizationId,
        method: Method,
        ended: &[EndedAuthorization],
    ) -> Stored<Option<Result<Order, MoveRefused>>> {
        let Some(active) = inner.read(authorization.order).await? else { return Ok(None) };
        let (mut order, now) = (active.order, active.since);
        order.copy_back(ended);
        Ok(Some(order.answer(authorization, method, now).map(|()| order)))
    }
}

/// The challenges of a new order are told and not written: they are made anew when its lease has run out.
#[derive(Debug)]
pub(super) struct ChallengesForgotten;

#[async_trait]
impl WorkbenchLayer for ChallengesForgotten {
    async fn advance(&self, inner: &dyn Workbench, lease: &Lease, advance: Advance) -> Stored<Result<Order, Fenced>> {
        match advance {
            Advance::Made(authorizations) if lease.claims == 1 => {
                let Some(active) = inner.read(lease.order).await? else { return Ok(Err(Fenced::Stale)) };
                let mut order = active.order;
                order.make(authorizations);
                Ok(Ok(order))
            }
            advance @ (Advance::Made(_) | Advance::Tested(_) | Advance::Finished { .. }) => {
                inner.advance(lease, advance).await
            }
        }
    }
}

/// Nobody is woken when an order comes to a queue.
#[derive(Debug)]
pub(super) struct WorkersNotWoken;

#[async_trait]
impl WorkbenchLayer for WorkersNotWoken {
    fn queued(&self, _inner: &dyn Workbench, _stage: Stage) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// A starting process frees the leases of all instances.
#[derive(Debug)]
pub(super) struct LeasesOfOthersFreed;

#[async_trait]
impl WorkbenchLayer for LeasesOfOthersFreed {
    async fn free_leases(&self, inner: &dyn Workbench, holder: InstanceId) -> Stored<u64> {
        let mut freed = inner.free_leases(holder).await?;
        let active = inner.list(OrderFilter::default(), ALL).await?;
        let others: BTreeSet<InstanceId> = active
            .iter()
            .filter_map(|one| match one.standing {
                Standing::Lease { holder, .. } => Some(holder),
                Standing::Queue
                | Standing::Park { .. }
                | Standing::Client
                | Standing::PendingDone
                | Standing::Nowhere => None,
            })
            .collect();
        for other in others {
            freed += inner.free_leases(other).await?;
        }
        Ok(freed)
    }
}
