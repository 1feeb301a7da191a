//! What the ports promise each other: an order is given to one at a time, a mark covers only what is in the ledger, a
//! CRL lists only what is revoked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ca::authorization::EndedAuthorization;
use ca::order::{Finalize, MoveRefused, Order, Outcome, Stage};
use ca::ports::{
    Advance, AuditEvent, AuditLog, AuditMark, Claimed, Fenced, Lease, LeaseTerms, Ledger, SerialStatus, Stored,
    Workbench,
};
use ca::{AccountId, InstanceId, LeaseToken, OrderId};
use pki::{Certificate, PrecertEntry, Serial, Sha256, Timestamp};

use super::{Auditor, now};
use crate::executor::Node;
use crate::keys::{Hierarchy, of_log};
use crate::machine::instance;
use crate::ports::{Layer, WorkbenchLayer, layered_workbench};

/// A lease as it was granted.
#[derive(Clone, Debug)]
struct Granted {
    lease: Lease,
    holder: InstanceId,
    node: Node,
    /// Something may have taken the order from its holder since.
    loose: bool,
}

/// Who has which order.
#[derive(Debug, Default)]
pub(super) struct Leases {
    granted: Mutex<BTreeMap<OrderId, Granted>>,
    /// Granted before the workbench was restored: it may know them again.
    of_snapshots: Mutex<BTreeSet<LeaseToken>>,
    /// All there were.
    tokens: Mutex<BTreeSet<LeaseToken>>,
}

impl Leases {
    fn with<R>(&self, look: impl FnOnce(&mut BTreeMap<OrderId, Granted>) -> R) -> R {
        look(&mut self.granted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tokens(of: &Mutex<BTreeSet<LeaseToken>>) -> MutexGuard<'_, BTreeSet<LeaseToken>> {
        of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches the workbench as a process sees it.
#[derive(Clone, Debug)]
pub struct LeaseWatch {
    auditor: Arc<Auditor>,
    node: Node,
}

impl Auditor {
    /// A layer for a process, right below its faults.
    pub fn watch_leases(self: &Arc<Self>, node: Node) -> LeaseWatch {
        LeaseWatch { auditor: Arc::clone(self), node }
    }

    /// Something that a client knows does not hold.
    pub(crate) fn found(&self, invariant: u8, detail: String) {
        self.violated(invariant, detail);
    }

    /// 6: nobody else holds it, as far as anybody can tell.
    fn granted(&self, lease: &Lease, terms: LeaseTerms, node: Node) {
        let at = lease.expires.minus(terms.length);
        let granted = Granted { lease: lease.clone(), holder: terms.holder, node, loose: false };
        let before = self.leases.with(|leases| leases.insert(lease.order, granted));
        Leases::tokens(&self.leases.tokens).insert(lease.token);
        let held = before
            .is_some_and(|before| !before.loose && before.lease.expires > at && !self.executor.is_dead(before.node));
        self.holds(6, !held, || format!("order {} was given to two at the same time", lease.order));
    }

    /// 6: a lease was good enough to advance or park an order.
    fn used(&self, lease: &Lease) {
        let before = self.leases.with(|leases| leases.remove(&lease.order));
        let own = before.is_some_and(|before| before.lease.token == lease.token)
            || Leases::tokens(&self.leases.of_snapshots).contains(&lease.token);
        self.holds(6, own, || format!("order {} was moved on by a worker that did not have it", lease.order));
    }

    fn freed(&self, holder: InstanceId) {
        self.leases.with(|leases| leases.retain(|_, granted| granted.holder != holder));
    }

    /// A lease that ran out by the clock as it was may not have by the clock as it is.
    pub(crate) fn clock_was_set(&self) {
        self.leases.with(|leases| leases.values_mut().for_each(|granted| granted.loose = true));
    }

    /// The workbench holds what it held before, or nothing.
    pub(crate) fn workbench_was_restored(&self) {
        self.facts().workbench_restored = Some(self.executor.now());
        self.clock_was_set();
        let known = Leases::tokens(&self.leases.tokens).clone();
        Leases::tokens(&self.leases.of_snapshots).extend(known);
    }

    /// A worker came too late: the order was another's already.
    fn was_fenced(&self) {
        self.tally.nuisance("(worker fenced)");
    }

    fn loosened(&self, order: OrderId) {
        self.leases.with(|leases| {
            if let Some(granted) = leases.get_mut(&order) {
                granted.loose = true;
            }
        });
    }

    /// 10: what stands before the mark that the ledger keeps of an audit log is in the ledger.
    pub(super) fn marks_are_true(&self) {
        let start = AuditMark { sequence: 0, chain: Sha256::from_bytes([0; 32]) };
        for (machine, log) in self.audits.iter().enumerate() {
            let Some(mark) = now(self.ledger.audit_mark(instance(machine))).ok().flatten() else { continue };
            let before = usize::try_from(mark.sequence).unwrap_or(usize::MAX);
            let lines = now(log.lines(start, before)).map(|(lines, _)| lines).unwrap_or_default();
            for line in lines {
                self.holds(10, self.is_applied(&line.event), || {
                    format!(
                        "line {} of log {machine} is not in the ledger, which keeps a mark behind it",
                        line.sequence
                    )
                });
            }
        }
    }

    fn is_applied(&self, event: &AuditEvent) -> bool {
        if let AuditEvent::Precertificate { serial, .. } = event {
            return self.record(*serial).is_some_and(|record| record.status != SerialStatus::Wait);
        }
        if let AuditEvent::Certificate { serial, .. } = event {
            return self.record(*serial).is_some_and(|record| record.certificate.is_some());
        }
        if let AuditEvent::Revocation { serial, .. } = event {
            return self.record(*serial).is_some_and(|record| record.revocation.is_some());
        }
        true
    }

    /// 5: CRLs list what is revoked, and nothing else.
    pub(super) fn crls_list_only_revoked(&self) {
        let issuer = Hierarchy::shared().issuer.id;
        for shard in self.settings.crls.shards() {
            let state = now(self.ledger.crl_state(issuer, shard)).ok();
            let Some(crl) = state.and_then(|state| state.last).and_then(|last| self.whole_crl(&last)) else {
                continue;
            };
            for entry in crl.entries() {
                let revoked = self.record(entry.serial).is_some_and(|one| one.status == SerialStatus::Revoked);
                self.holds(5, revoked, || format!("{} is in a CRL, and not revoked", entry.serial));
            }
        }
    }

    /// 10: the audit log has the line of a revocation before the ledger is written.
    pub(super) fn revocation_is_logged(&self, serial: Serial) {
        let start = AuditMark { sequence: 0, chain: Sha256::from_bytes([0; 32]) };
        let logged = self.audits.iter().any(|log| {
            let lines = now(log.lines(start, usize::MAX)).map(|(lines, _)| lines).unwrap_or_default();
            lines.iter().any(|line| matches!(&line.event, AuditEvent::Revocation { serial: of, .. } if *of == serial))
        });
        self.holds(10, logged, || format!("serial {serial} is revoked before its line"));
    }

    /// 1: the SCTs of a certificate are those of logs, over its own precertificate.
    pub(super) fn scts_verify(&self, certificate: &Certificate) {
        let entry =
            PrecertEntry { issuer_key_hash: Hierarchy::shared().issuer.id, tbs: certificate.tbs().without_ct() };
        for sct in certificate.scts().unwrap_or_default() {
            let verifies = (0..8).any(|number| sct.verify(of_log(number).public_key(), &entry).is_ok());
            self.holds(1, verifies, || format!("an SCT of certificate {} is no log's", certificate.serial()));
        }
    }
}

impl Layer for LeaseWatch {
    fn workbench(&self, inner: Arc<dyn Workbench>) -> Arc<dyn Workbench> {
        layered_workbench(inner, Arc::new(self.clone()))
    }
}

#[async_trait]
impl WorkbenchLayer for LeaseWatch {
    async fn create(&self, inner: &dyn Workbench, order: Order, terms: LeaseTerms) -> Stored<Lease> {
        if order.stage() >= Stage::Issue {
            // It comes back from the ledger, and takes the place of what the workbench had of it.
            self.auditor.loosened(order.id);
        }
        let lease = inner.create(order, terms).await?;
        self.auditor.granted(&lease, terms, self.node);
        Ok(lease)
    }

    async fn claim(&self, inner: &dyn Workbench, stage: Stage, terms: LeaseTerms) -> Stored<Option<Claimed>> {
        let claimed = inner.claim(stage, terms).await?;
        if let Some(claimed) = &claimed {
            self.auditor.granted(&claimed.lease, terms, self.node);
        }
        Ok(claimed)
    }

    async fn claim_test(&self, inner: &dyn Workbench, terms: LeaseTerms, but: &[AccountId]) -> Stored<Option<Claimed>> {
        let claimed = inner.claim_test(terms, but).await?;
        if let Some(claimed) = &claimed {
            self.auditor.granted(&claimed.lease, terms, self.node);
        }
        Ok(claimed)
    }

    async fn advance(&self, inner: &dyn Workbench, lease: &Lease, advance: Advance) -> Stored<Result<Order, Fenced>> {
        let advanced = inner.advance(lease, advance).await?;
        match &advanced {
            Ok(order) => {
                self.auditor.used(lease);
                self.auditor.moved(order);
            }
            Err(Fenced::Stale) => self.auditor.was_fenced(),
        }
        Ok(advanced)
    }

    async fn park(&self, inner: &dyn Workbench, lease: &Lease, pause: Duration) -> Stored<Result<(), Fenced>> {
        let parked = inner.park(lease, pause).await?;
        if parked.is_ok() {
            self.auditor.used(lease);
        }
        Ok(parked)
    }

    async fn finalize(
        &self,
        inner: &dyn Workbench,
        order: OrderId,
        finalize: Finalize,
        deadline: Timestamp,
        ended: &[EndedAuthorization],
    ) -> Stored<Option<Result<Order, MoveRefused>>> {
        self.auditor.loosened(order);
        let finalized = inner.finalize(order, finalize, deadline, ended).await;
        if let Ok(Some(Ok(order))) = &finalized {
            self.auditor.entered(order.id);
        }
        finalized
    }

    async fn settle(
        &self,
        inner: &dyn Workbench,
        order: OrderId,
        ended: &[EndedAuthorization],
        outcome: Option<(Outcome, Timestamp)>,
    ) -> Stored<Option<Order>> {
        self.auditor.loosened(order);
        let settled = inner.settle(order, ended, outcome).await;
        if let Ok(Some(order)) = &settled {
            self.auditor.moved(order);
        }
        settled
    }

    async fn free_leases(&self, inner: &dyn Workbench, holder: InstanceId) -> Stored<u64> {
        let freed = inner.free_leases(holder).await?;
        self.auditor.freed(holder);
        Ok(freed)
    }
}
