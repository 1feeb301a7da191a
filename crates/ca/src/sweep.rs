//! The sweep: at start and regularly, it is also the recovery. Idempotent: twice is once.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use acme::{Problem, ProblemType};

use crate::OrderId;
use crate::authority::Ca;
use crate::guard::{guarded, panicked};
use crate::order::{Failure, Order, Outcome, Stage};
use crate::ports::{StoreErrorKind, Stored};

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

/// Orders with a record that can't be read, as far as sweeps have met them: each is told of once.
#[derive(Debug, Default)]
pub struct UnreadableOrders {
    told: Mutex<BTreeSet<OrderId>>,
}

/// So many are remembered.
const TOLD_MAX: usize = 1000;

impl UnreadableOrders {
    fn is_new(&self, order: OrderId) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < TOLD_MAX && told.insert(order)
    }
}

impl Ca {
    /// Brings in what was left of the audit log, then goes through the active orders, page by page.
    ///
    /// # Errors
    /// A store could not be asked; what was done so far stands, and the next sweep does the rest.
    pub async fn sweep(&self) -> Stored<Swept> {
        guarded("a sweep", self.sweep_once()).await.unwrap_or_else(|| Err(panicked()))
    }

    async fn sweep_once(&self) -> Stored<Swept> {
        if let Err(error) = self.bring_in_left_lines().await {
            tracing::error!(%error, "the audit log could not be brought into the ledger; the next sweep tries again");
        }
        let mut swept = Swept::default();
        let by_time = !self.clock_is_doubted();
        // What keeps one order from its return, or from its death, keeps no other from its own.
        let brought_back = self.bring_back_open_orders(by_time, &mut swept).await;
        let gone_through = self.go_through_active_orders(by_time, &mut swept).await;
        brought_back.and(gone_through).map(|()| swept)
    }

    /// The first error of an order is answered when all the others were seen to.
    async fn go_through_active_orders(&self, by_time: bool, swept: &mut Swept) -> Stored<()> {
        let retention = if by_time { self.settings.retention } else { self.settings.retention.without_end() };
        let mut after: Option<OrderId> = None;
        let mut result = Ok(());
        loop {
            let page = self.workbench.sweep(after, self.settings.limits.sweep_page, retention).await?;
            for (order, stage) in &page.requeued {
                tracing::info!(%order, %stage, "back on its queue");
            }
            swept.requeued += page.requeued.len() as u64;
            swept.retired += page.retired;
            for order in page.overdue.iter().filter(|_| by_time) {
                let died = guarded("the death of an order", self.die_at_deadline(order)).await.unwrap_or(Ok(false));
                result = result.and(self.passed_over(order.id, died, swept));
            }
            after = page.next;
            if after.is_none() {
                return result;
            }
        }
    }

    /// Orders in issuance that the workbench does not know to be so, because it was lost or rolled back: they go on, or
    /// die at their deadline. The first error is answered when all the others were seen to.
    async fn bring_back_open_orders(&self, by_time: bool, swept: &mut Swept) -> Stored<()> {
        let mut after: Option<OrderId> = None;
        let mut result = Ok(());
        loop {
            let open = self.ledger.open_orders(after, self.settings.limits.sweep_page).await?;
            after = open.last().copied();
            if after.is_none() {
                return result;
            }
            for id in self.workbench.absent(&open).await? {
                let died =
                    guarded("the return of an order", self.bring_back_or_die(id, by_time)).await.unwrap_or(Ok(false));
                result = result.and(self.passed_over(id, died, swept));
            }
        }
    }

    async fn bring_back_or_die(&self, id: OrderId, by_time: bool) -> Stored<bool> {
        let Some(known) = self.ledger.order(id).await? else { return Ok(false) };
        // It may have ended since the list was read.
        if known.end.is_some() {
            return Ok(false);
        }
        if by_time && known.order.deadline().is_some_and(|deadline| self.now() > deadline) {
            return self.die_at_deadline(&known.order).await;
        }
        self.bring_back(known.order).await?;
        Ok(false)
    }

    /// Counts an order that died. One record that can't be read is none of the others' fault: it is said once.
    fn passed_over(&self, order: OrderId, died: Stored<bool>, swept: &mut Swept) -> Stored<()> {
        match died {
            Err(error) if error.kind == StoreErrorKind::Corrupt => {
                if self.unreadable.is_new(order) {
                    tracing::error!(%order, %error, "a record of this order can't be read; see `cairn fsck`");
                }
                Ok(())
            }
            Err(error) => Err(error),
            Ok(died) => {
                swept.died += u64::from(died);
                Ok(())
            }
        }
    }

    /// An order past the deadline of its stage dies: in `Issue` in the ledger, before it on the workbench alone.
    async fn die_at_deadline(&self, order: &Order) -> Stored<bool> {
        let now = self.now();
        let stage = order.stage();
        planted!(ForgottenDeadline { return Ok(false) });
        planted!(DeathOnWorkbenchFirst {
            let problem = Problem::new(ProblemType::ServerInternal, "past its deadline");
            self.workbench.settle(order.id, &[], Some((Outcome::Invalid(Failure { stage, problem }), now))).await?;
        });
        let outcome = if stage == Stage::Issue {
            let detail = if self.was_stopped(order).await? {
                "this CA's operator had stopped issuance, so that the certificate could not be issued in time (stage \
                 issue); make a new order"
            } else {
                "the certificate could not be issued in time (stage issue); make a new order"
            };
            let problem = Problem::new(ProblemType::ServerInternal, detail);
            self.ledger.finish(order, Failure { stage, problem }, now).await?.into()
        } else if self.ledger_knew_better(order.id).await? {
            return Ok(false);
        } else {
            // What ended in the ledger meanwhile says best why.
            let mut order = order.clone();
            order.copy_back(&self.ledger.authorizations(&order.authorization_ids()).await?);
            match order.cause_of_death(now) {
                Some(failure) => Outcome::Invalid(failure),
                None => return Ok(false),
            }
        };
        tracing::info!(order = %order.id, %stage, "past its deadline");
        self.workbench.settle(order.id, &[], Some((outcome, now))).await?;
        Ok(true)
    }
}
