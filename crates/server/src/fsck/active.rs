//! The active orders: what is on the workbench.

use std::time::Duration;

use acme::OrderStatus;
use ca::authorization::AuthorizationEnd;
use ca::order::{Order, Outcome, Progress, Stage};
use ca::ports::{ActiveOrder, LedgerEnd, LedgerOrder, OrderFilter, Standing, StoreError};
use pki::Timestamp;
use store::sqlite::Mend;

use super::report::{Fault, Severity};
use super::{Fsck, Invariant, LOOKS, PAGE, Repair, stages};

/// A sweep takes time itself.
const MARGIN: Duration = Duration::from_secs(2);

impl Fsck<'_> {
    pub(super) async fn active_orders(&mut self) -> Result<(), StoreError> {
        let counts = self.records.workbench.counts().await?;
        let total = counts
            .iter()
            .map(|(_, one)| {
                one.queued + one.leased + one.parked + one.client + one.undelivered + one.delivered + one.nowhere
            })
            .sum();
        let (mut after, mut done) = (None, 0);
        loop {
            let page = self.records.workbench.list(OrderFilter { stage: None, after }, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.order.id);
            done += page.len() as u64;
            for active in page {
                let subject = format!("order {}", active.order.id);
                let read = self.active_order(active, &subject).await;
                self.go_on(&subject, read)?;
            }
            self.tell("active orders", done, done.max(total));
        }
        self.report.checked.active_orders = done;
        Ok(())
    }

    async fn active_order(&mut self, mut active: ActiveOrder, subject: &str) -> Result<(), StoreError> {
        let id = active.order.id;
        let mut faults = self.active_faults(&active).await?;
        for _ in 1..LOOKS {
            if faults.is_empty() {
                return Ok(());
            }
            self.pause().await;
            // It has left meanwhile: acknowledged, or past its retention.
            let Some(again) = self.records.workbench.read(id).await? else { return Ok(()) };
            active = again;
            faults = self.active_faults(&active).await?;
        }
        self.add(subject, faults);
        Ok(())
    }

    async fn active_faults(&self, active: &ActiveOrder) -> Result<Vec<Fault>, StoreError> {
        let now = self.records.now();
        let order = &active.order;
        let known = self.records.ledger.order(order.id).await?;
        let mend = |fault: Fault| fault.mended(Mend::Order(order.id));
        let mut faults: Vec<Fault> = place_fault(active, now).map(mend).into_iter().collect();
        // A certificate that no record of the ledger bears out can't be made from nothing.
        let mends_end = known.is_some() || !matches!(order.outcome(), Some(Outcome::Valid(_)));
        faults.extend(end_fault(order, known.as_ref()).map(|fault| if mends_end { mend(fault) } else { fault }));
        faults.extend(stages::stage_fault(order));
        faults.extend(stages::challenge_faults(order, self.rules.tries));
        let ended = self.records.ledger.authorizations(&order.authorization_ids()).await?;
        faults.extend(stages::authorization_faults(order, &ended));
        if let Some(known) = known.as_ref().filter(|known| known.end.is_none()) {
            faults.extend(self.issuance_fault(known).await?);
        }
        let late = now.minus(self.rules.sweep.saturating_mul(2)).minus(MARGIN);
        faults.extend(endless_fault(active, now).map(mend));
        faults.extend(self.retention_faults(order, known.as_ref(), late));
        faults.extend(late_faults(active, late).into_iter().map(|mut fault| {
            // Nothing is swept while no server runs: its next start does it.
            if !self.live {
                fault.severity = Severity::Warning;
            }
            fault.mended_by(Repair::Start)
        }));
        Ok(faults)
    }

    /// Whether it should have left the active orders.
    fn retention_faults(&self, order: &Order, known: Option<&LedgerOrder>, late: Timestamp) -> Option<Fault> {
        let Progress::Done { outcome, ended, .. } = &order.progress else { return None };
        if let Some(at) = known.and_then(|known| known.acknowledged).filter(|at| *at < late) {
            let detail = format!("its client has its certificate since {at}, and it is still among the active orders");
            return Some(Fault::warning(Invariant::RetentionKept, detail).mended(Mend::Order(order.id)));
        }
        let kept = match outcome {
            Outcome::Valid(_) => self.rules.retention.valid,
            Outcome::Invalid(_) => self.rules.retention.invalid,
        };
        if ended.plus(kept) >= late {
            return None;
        }
        let detail = format!("it ended at {ended} and is still among the active orders: its retention is over");
        let mut fault = Fault::new(Invariant::RetentionKept, detail).mended_by(Repair::Start);
        // Nothing is swept while no server runs; and a server may have been told to keep orders longer.
        if !self.live || !self.rules.known {
            fault.severity = Severity::Warning;
        }
        Some(fault)
    }
}

/// A lease or park that ends in a day is one that nobody made.
const ENDLESS: Duration = Duration::from_secs(86_400);

fn endless_fault(active: &ActiveOrder, now: Timestamp) -> Option<Fault> {
    let (what, ends) = match active.standing {
        Standing::Lease { expires, .. } => ("lease", expires),
        Standing::Park { until } => ("park", until),
        Standing::Queue | Standing::Client | Standing::PendingDone | Standing::Nowhere => return None,
    };
    (ends > now.plus(ENDLESS))
        .then(|| Fault::new(Invariant::LeaseEnds, format!("its {what} ends at {ends}: nobody takes it before then")))
}

/// Whether the place is one that the stage and the status allow.
fn place_fault(active: &ActiveOrder, now: Timestamp) -> Option<Fault> {
    let order = &active.order;
    let stage = order.stage();
    let fits = |detail: &str| Some(Fault::new(Invariant::PlaceFits, detail));
    match (stage, active.standing) {
        (_, Standing::Nowhere) => Some(Fault::new(
            Invariant::OnePlace,
            format!("it is in stage {stage} and stands nowhere; the sweep puts it back"),
        )),
        (Stage::MakeChallenge, Standing::Queue | Standing::Lease { .. })
        | (Stage::TestChallenge, Standing::Queue | Standing::Lease { .. } | Standing::Park { .. })
        | (Stage::Issue, Standing::Queue | Standing::Lease { .. } | Standing::Park { .. })
        | (Stage::Done, Standing::PendingDone) => None,
        (Stage::TestChallenge, Standing::Client) => {
            if order.authorizations.iter().any(|one| one.due().is_some()) {
                fits("it waits for its client, although a challenge was answered and waits for its test")
            } else if order.status(now) == OrderStatus::Invalid && now <= order.expires && has_bad_end(order) {
                fits("it waits for its client, although one of its authorizations has failed")
            } else {
                None
            }
        }
        (Stage::MakeChallenge, Standing::Park { .. } | Standing::Client | Standing::PendingDone)
        | (Stage::TestChallenge, Standing::PendingDone)
        | (Stage::Issue, Standing::Client | Standing::PendingDone)
        | (Stage::Done, Standing::Queue | Standing::Lease { .. } | Standing::Park { .. } | Standing::Client) => {
            fits(&format!("it is in stage {stage} and stands at {}", standing_name(active.standing)))
        }
    }
}

fn has_bad_end(order: &Order) -> bool {
    order.authorizations.iter().any(|one| match one.end {
        Some(AuthorizationEnd::Invalid | AuthorizationEnd::Deactivated | AuthorizationEnd::Revoked) => true,
        Some(AuthorizationEnd::Valid { .. }) | None => false,
    })
}

const fn standing_name(standing: Standing) -> &'static str {
    match standing {
        Standing::Queue => "queue",
        Standing::Lease { .. } => "lease",
        Standing::Park { .. } => "park",
        Standing::Client => "client",
        Standing::PendingDone => "pending-done",
        Standing::Nowhere => "nowhere",
    }
}

/// The ledger decides how an order ends; the workbench follows.
fn end_fault(order: &Order, known: Option<&LedgerOrder>) -> Option<Fault> {
    let end = known.and_then(|known| known.end.as_ref()).map(|(end, _)| end);
    let decides = |detail: String| Some(Fault::new(Invariant::LedgerDecides, detail));
    match (order.outcome(), end) {
        (None, Some(end)) => {
            let ended = match end {
                LedgerEnd::Valid(serial) => format!("valid with serial {serial}"),
                LedgerEnd::Invalid(failure) => format!("invalid: {}", failure.problem.detail),
            };
            let detail = format!("it is in stage {}, and has ended in the ledger {ended}", order.stage());
            Some(Fault::warning(Invariant::BehindTheLedger, detail))
        }
        (None, None) => None,
        (Some(Outcome::Valid(here)), Some(LedgerEnd::Valid(there))) if here == there => None,
        (Some(Outcome::Valid(here)), Some(LedgerEnd::Valid(there))) => {
            decides(format!("it is valid with serial {here}, in the ledger with serial {there}"))
        }
        (Some(Outcome::Valid(here)), Some(LedgerEnd::Invalid(_)) | None) => {
            decides(format!("it is valid with serial {here}, and not so in the ledger"))
        }
        (Some(Outcome::Invalid(_)), Some(LedgerEnd::Valid(there))) => {
            decides(format!("it is invalid, in the ledger valid with serial {there}"))
        }
        // Before `Issue` an order dies on the workbench alone.
        (Some(Outcome::Invalid(failure)), None) if failure.stage == Stage::Issue => {
            decides("it died in Issue, and has not ended in the ledger".to_owned())
        }
        (Some(Outcome::Invalid(_)), Some(LedgerEnd::Invalid(_)) | None) => None,
    }
}

/// What should have been swept.
fn late_faults(active: &ActiveOrder, late: Timestamp) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(deadline) = active.order.deadline().filter(|deadline| *deadline < late) {
        let detail = format!("it is in stage {} since its deadline, {deadline}", active.order.stage());
        faults.push(Fault::new(Invariant::DeadlineKept, detail));
    }
    let (what, ended) = match active.standing {
        Standing::Lease { expires, .. } => ("lease", expires),
        Standing::Park { until } => ("park", until),
        Standing::Queue | Standing::Client | Standing::PendingDone | Standing::Nowhere => return faults,
    };
    if ended < late {
        faults.push(Fault::new(Invariant::LeaseEnds, format!("its {what} ran out at {ended}")));
    }
    faults
}
