//! The orders that have ended in the ledger.

use ca::ports::{LedgerEnd, LedgerOrder, StoreError};

use super::report::Fault;
use super::{EndedOrders, Fsck, Invariant, PAGE};

impl Fsck<'_> {
    pub(super) async fn ended_orders(&mut self, total: u64) -> Result<(), StoreError> {
        let mut orders = EndedOrders::default();
        let mut done = 0;
        loop {
            let page = orders.next(&*self.records.ledger, PAGE).await?;
            if page.is_empty() {
                break;
            }
            done += page.len() as u64;
            for order in &page {
                let subject = format!("order {}", order.order.id);
                match self.ended_fault(order).await {
                    Ok(faults) => self.add(&subject, faults.into_iter().collect()),
                    Err(error) => self.go_on(&subject, Err(error))?,
                }
            }
            self.tell("ended orders", done, total.max(done));
        }
        self.report.checked.ended_orders = done;
        Ok(())
    }

    /// An order and its serial are written in one transaction, and ends are for ever: nothing needs a second look.
    async fn ended_fault(&self, order: &LedgerOrder) -> Result<Option<Fault>, StoreError> {
        let Some((LedgerEnd::Valid(serial), _)) = &order.end else { return Ok(None) };
        let wrong = match self.records.ledger.serial(*serial).await? {
            None => format!("it ended with serial {serial}, which the ledger never allocated"),
            Some(record) if record.order != order.order.id => {
                format!("it ended with serial {serial}, which was allocated for order {}", record.order)
            }
            Some(record) if record.certificate.is_none() => {
                format!("it ended with serial {serial}, which has no certificate")
            }
            Some(_) => return Ok(None),
        };
        Ok(Some(Fault::new(Invariant::OneCertificatePerOrder, wrong)))
    }
}
