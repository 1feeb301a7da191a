//! The sweep: at start and regularly, it is also the recovery. Idempotent: twice is once.

use acme::{Problem, ProblemType};

use crate::OrderId;
use crate::authority::Ca;
use crate::order::{Failure, Order, Outcome, Stage};
use crate::ports::Stored;

/// What a whole sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Orders put back on the queue of their stage.
    pub requeued: u64,
    /// Orders that died at their deadline.
    pub died: u64,
    /// Ended orders that left `pending-done`.
    pub retired: u64,
}

impl Ca {
    /// Brings in what was left of the audit log, then goes through the active orders, page by page.
    ///
    /// # Errors
    /// A store could not be asked; what was done so far stands, and the next sweep does the rest.
    pub async fn sweep(&self) -> Stored<Swept> {
        if let Err(error) = self.bring_in_left_lines().await {
            tracing::error!(%error, "the audit log could not be brought into the ledger; the next sweep tries again");
        }
        let mut swept = Swept::default();
        let mut after: Option<OrderId> = None;
        loop {
            let page = self.workbench.sweep(after, self.settings.limits.sweep_page, self.settings.retention).await?;
            for (order, stage) in &page.requeued {
                tracing::info!(%order, %stage, "back on its queue");
            }
            swept.requeued += page.requeued.len() as u64;
            swept.retired += page.retired;
            for order in &page.overdue {
                self.die_at_deadline(order).await?;
                swept.died += 1;
            }
            after = page.next;
            if after.is_none() {
                return Ok(swept);
            }
        }
    }

    /// An order past the deadline of its stage dies: in `Issue` in the ledger, before it on the workbench alone.
    async fn die_at_deadline(&self, order: &Order) -> Stored<()> {
        let now = self.now();
        let stage = order.stage();
        let outcome = if stage == Stage::Issue {
            let problem = Problem::new(
                ProblemType::ServerInternal,
                "the certificate could not be issued in time (stage issue); make a new order",
            );
            self.ledger.finish(order, Failure { stage, problem }, now).await?.into()
        } else {
            // What ended in the ledger meanwhile says best why.
            let mut order = order.clone();
            order.copy_back(&self.ledger.authorizations(&order.authorization_ids()).await?);
            match order.cause_of_death(now) {
                Some(failure) => Outcome::Invalid(failure),
                None => return Ok(()),
            }
        };
        tracing::info!(order = %order.id, %stage, "past its deadline");
        self.workbench.settle(order.id, &[], Some((outcome, now))).await?;
        Ok(())
    }
}
