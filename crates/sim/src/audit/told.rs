//! 9: what a client was told is not taken back.

use std::time::Duration;

use acme::OrderStatus;
use ca::order::Stage;
use ca::ports::{Ledger, LedgerEnd, Workbench};
use pki::Serial;

use super::{Auditor, Told, now};
use crate::machine::BASE;

impl Auditor {
    /// A client was told of an order, in answer to a request that it has just sent.
    pub(crate) fn told_order(&self, url: &str, status: OrderStatus, certificate: Option<&str>) {
        let sent = self.executor.now();
        self.told_order_at(url, status, certificate, sent);
    }

    /// A client was told of an order, in answer to a request of this time.
    pub(crate) fn told_order_at(&self, url: &str, status: OrderStatus, certificate: Option<&str>, sent: Duration) {
        let at = self.executor.now();
        let end = match status {
            OrderStatus::Valid => Some((true, certificate.map(str::to_owned), at)),
            OrderStatus::Invalid => Some((false, None, at)),
            OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing => None,
        };
        let mut facts = self.facts();
        let told = facts.told.entry(url.to_owned()).or_insert(Told { end: None, finalized: false });
        let before = told.end.clone();
        let first = before.is_none();
        if first {
            told.end.clone_from(&end);
        }
        drop(facts);
        if first && end.is_some() {
            self.story.tell(|| format!("a client is told that {} is {status:?}", &url[BASE.len()..]));
        }
        let Some((valid, named, told_at)) = before else { return };
        let same = match &end {
            Some((now_valid, now_named, _)) => *now_valid == valid && *now_named == named,
            // An answer that was on its way already may come late.
            None => sent < told_at,
        };
        self.holds(9, same, || format!("{url} was told to be valid: {valid} ({named:?}), and is {status:?} now"));
    }

    /// A client was told that its finalize request was taken.
    pub(crate) fn told_finalized(&self, url: &str) {
        let order = url.strip_suffix("/finalize").unwrap_or(url);
        if let Some(told) = self.facts().told.get_mut(order) {
            told.finalized = true;
        }
    }

    /// A client has downloaded a chain.
    pub(crate) fn downloaded(&self, url: &str, _chain: &[u8]) {
        let serial = url.rsplit('/').next().and_then(|serial| Serial::parse(serial).ok());
        let record = serial.and_then(|serial| self.record(serial));
        let held = record.is_some_and(|record| record.attached && record.certificate.is_some());
        self.holds(9, held, || format!("{url} was downloaded, and the ledger does not have it"));
    }

    /// Looks at all that was told, with the records as they are now.
    pub(super) fn told_stands(&self) {
        let told: Vec<(String, Told)> =
            self.facts().told.iter().map(|(url, told)| (url.clone(), told.clone())).collect();
        for (url, told) in told {
            let Some(id) = url.rsplit('/').next().and_then(|id| id.parse().ok()) else { continue };
            let ledger = now(self.ledger.order(id)).ok().flatten().and_then(|order| order.end);
            match (&told.end, &ledger) {
                (Some((true, named, _)), Some((LedgerEnd::Valid(serial), _))) => {
                    let same = named
                        .as_ref()
                        .is_some_and(|named| *named == format!("{BASE}{}", ca::urls::certificate(*serial)));
                    self.holds(9, same, || format!("{url} was told to have {named:?}, and has {serial}"));
                }
                (Some((true, ..)), _) => {
                    self.holds(9, false, || format!("{url} was told to be valid, and the ledger says {ledger:?}"));
                }
                (Some((false, ..)), end) => {
                    let valid = matches!(end, Some((LedgerEnd::Valid(_), _)));
                    self.holds(9, !valid, || format!("{url} was told to be invalid, and is valid"));
                }
                (None, Some(_)) => {}
                (None, None) if self.workbench_forgets => {}
                (None, None) => {
                    let active = now(self.workbench.read(id)).ok().flatten();
                    let stage = active.as_ref().map(|active| active.order.stage());
                    let known = now(self.ledger.order(id)).ok().flatten().is_some();
                    let gone = stage.is_none() && !known;
                    self.holds(9, !gone, || format!("{url} was told of, and nobody knows it any more"));
                    let back = told.finalized && matches!(stage, Some(Stage::MakeChallenge | Stage::TestChallenge));
                    self.holds(9, !back, || format!("{url} was finalized, and is in {stage:?} again"));
                }
            }
        }
    }
}
