//! The orders that have ended in the ledger.

use ca::ports::{LedgerEnd, LedgerOrder, SerialFilter, StoreError};
use pki::Serial;
use store::sqlite::Mend;

use super::report::Fault;
use super::{CLOCK_STEP, EndedOrders, Fsck, Invariant, PAGE, Repair};

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
                match self.ended_faults(order).await {
                    Ok(faults) => self.add(&subject, faults),
                    Err(error) => self.go_on(&subject, Err(error))?,
                }
            }
            self.tell("ended orders", done, total.max(done));
        }
        self.report.checked.ended_orders = done;
        Ok(())
    }

    /// An order and its serial are written in one transaction, and ends are for ever: nothing needs a second look.
    async fn ended_faults(&self, order: &LedgerOrder) -> Result<Vec<Fault>, StoreError> {
        let mut faults: Vec<Fault> = delivery_fault(order).into_iter().collect();
        let Some((LedgerEnd::Valid(serial), _)) = &order.end else {
            faults.extend(self.issuance_fault(order).await?);
            return Ok(faults);
        };
        let one = |wrong: String| Fault::new(Invariant::OneCertificatePerOrder, wrong);
        match self.records.ledger.serial(*serial).await? {
            None => faults.push(one(format!("it ended with serial {serial}, which the ledger never allocated"))),
            Some(record) if record.order != order.order.id => {
                faults.push(one(format!("it ended with serial {serial}, which is that of order {}", record.order)));
            }
            Some(record) if record.certificate.is_none() => {
                let lost = one(format!("it ended with serial {serial}, which has no certificate"));
                faults.push(lost.mended_by(Repair::FromLog(*serial)));
            }
            Some(record) if Some(record.number) != order.last => {
                let (number, last) = (record.number.0, order.last.map_or(0, |last| last.0));
                let detail = format!("it ended with the certificate of issuance {number}, and has had {last}");
                faults.push(Fault::new(Invariant::IssuancesNumbered, detail));
            }
            // The first issuance is all of them.
            Some(record) if record.number.0 == 1 => {}
            Some(_) => faults.extend(self.issuance_fault(order).await?),
        }
        faults.extend(self.replacement_fault(order).await?);
        Ok(faults)
    }

    /// Whether the issuances of an order are numbered from 1 without gaps.
    pub(super) async fn issuance_fault(&self, order: &LedgerOrder) -> Result<Option<Fault>, StoreError> {
        let last = order.last.map_or(0, |last| last.0);
        let filter = SerialFilter { order: Some(order.order.id), ..SerialFilter::default() };
        let serials = self.records.ledger.serials(filter, last.saturating_add(1)).await?;
        let mut numbers: Vec<u32> = serials.iter().map(|record| record.number.0).collect();
        numbers.sort_unstable();
        if numbers.iter().copied().eq(1..=last) {
            return Ok(None);
        }
        let detail = format!("it has had {last} issuances, and its serials have the numbers {numbers:?}");
        Ok(Some(Fault::new(Invariant::IssuancesNumbered, detail)))
    }

    async fn replacement_fault(&self, order: &LedgerOrder) -> Result<Option<Fault>, StoreError> {
        let replaces = order.order.replaces.as_ref();
        let Some(serial) = replaces.and_then(|one| Serial::from_der_integer(one.serial())) else { return Ok(None) };
        if self.records.ledger.serial(serial).await?.is_none() {
            return Ok(None);
        }
        let holder = self.records.ledger.replacement(serial).await?;
        if holder == Some(order.order.id) {
            return Ok(None);
        }
        let holder = holder.map_or_else(|| "nobody".to_owned(), |other| format!("order {other}"));
        let detail = format!("its certificate replaces {serial}, whose place {holder} has");
        let mend = Mend::Replacement { serial, order: order.order.id };
        Ok(Some(Fault::new(Invariant::ReplacementKept, detail).mended(mend)))
    }
}

/// A certificate is handed out, and acknowledged, after it is there.
fn delivery_fault(order: &LedgerOrder) -> Option<Fault> {
    let (end, ended) = order.end.as_ref()?;
    let wrong = |detail: String| Some(Fault::new(Invariant::DeliveryFits, detail));
    let marks = [("delivered", order.delivered), ("acknowledged", order.acknowledged)];
    for (what, at) in marks.into_iter().filter_map(|(what, at)| Some((what, at?))) {
        match end {
            LedgerEnd::Invalid(_) => return wrong(format!("it has no certificate, and was {what} at {at}")),
            LedgerEnd::Valid(_) if at.plus(CLOCK_STEP) < *ended => {
                return wrong(format!("it ended at {ended}, and was {what} before that, at {at}"));
            }
            LedgerEnd::Valid(_) => {}
        }
    }
    None
}
