//! The active orders: what is on the workbench.

use std::time::Duration;

use acme::OrderStatus;
use ca::authorization::AuthorizationEnd;
use ca::order::{Order, Outcome, Stage};
use ca::ports::{ActiveOrder, LedgerEnd, LedgerOrder, OrderFilter, Standing, StoreError};
use pki::Timestamp;

use super::report::{Fault, Severity};
use super::{Fsck, Invariant, LOOKS, PAGE};

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
        let known = self.records.ledger.order(active.order.id).await?;
        let mut faults: Vec<Fault> = place_fault(active, now).into_iter().collect();
        faults.extend(end_fault(&active.order, known.as_ref()));
        let late = now.minus(self.rules.sweep.saturating_mul(2)).minus(MARGIN);
        faults.extend(late_faults(active, late).into_iter().map(|mut fault| {
            // Nothing is swept while no server runs: its next start does it.
            if !self.live {
                fault.severity = Severity::Warning;
            }
            fault
        }));
        Ok(faults)
    }
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
