//! 9: what a client was told is not taken back.

use std::time::Duration;

use acme::OrderStatus;
use ca::order::Stage;
use ca::ports::{ActiveOrder, CrlRecord, Ledger, LedgerEnd, SerialFilter, SerialStatus, Workbench};
use pki::{Serial, Sha256};

use super::{Auditor, Told, now};
use crate::executor::Node;
use crate::machine::BASE;

impl Auditor {
    /// A client was told of an order, in answer to a request of this time.
    pub(crate) fn told_order(&self, url: &str, status: OrderStatus, certificate: Option<&str>, sent: Duration) {
        let at = self.executor.now();
        let end = match status {
            OrderStatus::Valid => Some((true, certificate.map(str::to_owned), at)),
            OrderStatus::Invalid => Some((false, None, at)),
            OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing => None,
        };
        let mut facts = self.facts();
        let told = facts.told.entry(url.to_owned()).or_insert(Told { end: None, finalized: false, first: at });
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
            // An answer that was on its way already may come late; and a workbench that was rolled back does not know
            // that the order's time was over by a clock that was wrong.
            None => sent < told_at || (!valid && self.workbench_forgets && self.is_over_by_a_clock(url)),
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

    fn is_over_by_a_clock(&self, url: &str) -> bool {
        self.open_order(url).is_some_and(|active| {
            active.order.finalize_request().is_none() && self.expired(active.order.expires).is_some()
        })
    }

    fn open_order(&self, url: &str) -> Option<ActiveOrder> {
        let id = url.rsplit('/').next()?.parse().ok()?;
        now(self.workbench.read(id)).ok().flatten()
    }

    /// A client has downloaded a chain: what it begins with is the certificate that the ledger has, and an order's.
    pub(crate) fn downloaded(&self, url: &str, chain: &[u8]) {
        let serial = url.rsplit('/').next().and_then(|serial| Serial::parse(serial).ok());
        let record = serial.and_then(|serial| self.record(serial)).filter(|record| record.attached);
        let blocks = std::str::from_utf8(chain).ok().and_then(|chain| pki::pem::decode(chain).ok());
        let first = blocks.and_then(|blocks| blocks.into_iter().next()).map(|(_, der)| der);
        let held = first.is_some() && record.and_then(|record| record.certificate) == first;
        self.holds(9, held, || format!("{url} was downloaded, and the ledger does not have it"));
    }

    /// A client was told that there is no such order: only one that died before its issuance can be gone, once its
    /// retention is over.
    pub(crate) fn told_unknown(&self, url: &str) {
        let Some(told) = self.facts().told.get(url).cloned() else { return };
        let held = self.may_be_forgotten(&told);
        self.holds(9, held, || format!("{url} was told of, and its client is told that there is no such order"));
    }

    fn may_be_forgotten(&self, told: &Told) -> bool {
        let age = self.executor.now().saturating_sub(told.first);
        let valid = matches!(told.end, Some((true, ..)));
        // It may have ended by a clock that was behind, and its retention by one that was ahead.
        let over = !told.finalized && age + self.apart() >= self.settings.retention.invalid;
        !valid && (over || self.workbench_forgets)
    }

    /// Whoever asked for a revocation was told that it is done, or was before.
    pub(crate) fn told_revoked(&self, serial: Serial) {
        let mut facts = self.facts();
        facts.clock += 1;
        let at = facts.clock;
        facts.told_revoked.entry(serial).or_insert(at);
        drop(facts);
        self.stays_revoked(serial);
    }

    fn stays_revoked(&self, serial: Serial) {
        let revoked = self.record(serial).is_some_and(|record| record.status == SerialStatus::Revoked);
        self.holds(9, revoked, || format!("{serial} was told to be revoked, and is not"));
    }

    /// A process reads the entries of a shard from now on.
    pub(super) fn reads_entries(&self, issuer: Sha256, shard: u16, node: Node) {
        let mut facts = self.facts();
        facts.clock += 1;
        let at = facts.clock;
        facts.entries_read.insert((issuer, shard, node), at);
    }

    /// A CRL with this number is to have the entries that its process has read last.
    pub(super) fn begun_crl(&self, issuer: Sha256, shard: u16, number: u64, node: Node) {
        let mut facts = self.facts();
        if let Some(read) = facts.entries_read.get(&(issuer, shard, node)).copied() {
            facts.crls_begun.entry((issuer, shard, number)).or_insert(read);
        }
    }

    /// 5: the next CRL after a revocation lists it.
    pub(super) fn lists_what_was_told(&self, stored: &CrlRecord) {
        let CrlRecord { issuer, shard, number, .. } = *stored;
        let facts = self.facts();
        let Some(begun) = facts.crls_begun.get(&(issuer, shard, number)).copied() else { return };
        let before = facts.told_revoked.iter().filter(|(_, at)| **at < begun).map(|(serial, _)| *serial);
        let of_shard: Vec<Serial> =
            before.filter(|serial| self.settings.crls.current().shard_of(*serial).number == shard).collect();
        drop(facts);
        let crl = self.whole_crl(stored);
        for serial in of_shard {
            let listed = crl.as_ref().is_some_and(|crl| crl.entries().iter().any(|entry| entry.serial == serial));
            self.holds(5, listed, || {
                format!("{serial} was told to be revoked before CRL {number} was begun, without it")
            });
        }
    }

    /// Something of which a client knows that it must not be.
    pub(crate) fn must_not_be(&self, is: bool, what: &str) {
        self.holds(9, !is, || what.to_owned());
    }

    /// A certificate that another account has, by DER.
    pub(crate) fn certificate_of_another(&self, account: &str) -> Option<Vec<u8>> {
        let records = now(self.ledger.serials(SerialFilter::default(), 1_000)).unwrap_or_default();
        let others = records.into_iter().filter(|one| !account.ends_with(&one.account.to_string()));
        others.filter(|one| one.attached).find_map(|one| one.certificate)
    }

    /// URLs of orders of which the clients of other accounts were told.
    pub(crate) fn orders_of_others(&self, account: &str) -> Vec<String> {
        let told: Vec<String> = self.facts().told.keys().cloned().collect();
        let is_others = |url: &String| {
            self.open_order(url).is_some_and(|active| !account.ends_with(&active.order.account.to_string()))
        };
        told.into_iter().filter(is_others).collect()
    }

    /// Looks at all that was told, with the records as they are now.
    pub(super) fn told_stands(&self) {
        let revoked: Vec<Serial> = self.facts().told_revoked.keys().copied().collect();
        for serial in revoked {
            self.stays_revoked(serial);
        }
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
                    let gone = stage.is_none() && !known && !self.may_be_forgotten(&told);
                    self.holds(9, !gone, || format!("{url} was told of, and nobody knows it any more"));
                    let back = told.finalized && matches!(stage, Some(Stage::MakeChallenge | Stage::TestChallenge));
                    self.holds(9, !back, || format!("{url} was finalized, and is in {stage:?} again"));
                }
            }
        }
    }
}
