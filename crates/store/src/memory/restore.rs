//! What is restored from an audit log.

use std::collections::BTreeSet;

use ca::OrderId;
use ca::order::{Failure, Order};
use ca::ports::{
    BlockedKey, CrlGenerationId, IssuanceNumber, LedgerEnd, LineCounts, Recorded, RecoveryRecord, Restore, Restored,
    RestoredLine, RestoredSignature, Revocation, Revoked, SerialRecord, SerialStatus, Settled,
};
use pki::{Reason, Serial, Sha256, Timestamp};

use super::records::{Issued, Records, heard_of};

const BY: &str = Revocation::CAIRN;

impl Records {
    pub(super) fn begin_recovery(&mut self, mut recovery: RecoveryRecord) -> RecoveryRecord {
        if let Some(open) = self.recoveries.iter().find(|one| one.ended.is_none()) {
            return open.clone();
        }
        recovery.number = self.recoveries.len() as u64 + 1;
        self.recoveries.push(recovery.clone());
        recovery
    }

    pub(super) fn abandon_recovery(&mut self, number: u64) -> bool {
        let of_number = self.recoveries.last().filter(|one| one.number == number);
        let abandoned = of_number.is_some_and(|one| one.ended.is_none() && one.restored.total() == 0);
        if abandoned {
            self.recoveries.pop();
        }
        abandoned
    }

    pub(super) fn restore(&mut self, restore: Restore) -> Option<LineCounts> {
        let Restore { from, lines, mark, at } = restore;
        let open = self.recoveries.iter().position(|one| one.ended.is_none() && one.from == from)?;
        let restored = Restored { from, at };
        let mut counts = LineCounts::default();
        for line in lines {
            match line {
                RestoredLine::Signature(signature) => {
                    let new = u64::from(self.restore_signature(&signature, restored));
                    *(if signature.is_final { &mut counts.certificates } else { &mut counts.precertificates }) += new;
                }
                RestoredLine::Revocation { revocation, issuer, not_after, crl_generation, order } => {
                    let new =
                        self.restore_revocation(revocation, (issuer, not_after, crl_generation), &order, restored);
                    counts.revocations += u64::from(new);
                }
                RestoredLine::KeyBlock(block) => {
                    let (key, revoked) = (block.spki_hash, block.at.whole_second());
                    let by = block.by.clone();
                    counts.key_blocks += u64::from(!self.blocked.contains_key(&key));
                    self.end_account(key);
                    self.blocked.entry(key).or_insert(BlockedKey { block, settled: None });
                    let of_key: Vec<Serial> = self
                        .serials
                        .values()
                        .map(|one| &one.record)
                        .filter(|one| one.spki_hash == key)
                        .map(|one| one.serial)
                        .collect();
                    for serial in of_key {
                        let reason = Reason::KeyCompromise;
                        self.revoke(Revocation { serial, reason, revoked, by: by.clone() }, at);
                    }
                }
                RestoredLine::Stop(stop) => counts.stops += u64::from(self.restore_stop(stop)),
                RestoredLine::Resume { number, since, at } => {
                    counts.stops += u64::from(self.restore_end(number, since, at));
                }
                RestoredLine::CrlNumber { issuer, shard, number } => {
                    let last = self.crl_numbers.entry((issuer, shard)).or_default();
                    counts.crl_numbers += u64::from(number > *last);
                    *last = number.max(*last);
                }
                RestoredLine::Authority { id, der } => {
                    counts.authorities += u64::from(!self.authorities.contains_key(&id));
                    self.authorities.entry(id).or_insert(der);
                }
                RestoredLine::Responder(responder) => {
                    let lacked = self.responder(responder.serial).is_none_or(|known| known.certificate.is_none());
                    counts.authorities += u64::from(lacked);
                    let (serial, der) = (responder.serial, responder.certificate.clone().unwrap_or_default());
                    if !self.add_responder(*responder) {
                        self.store_responder(serial, &der);
                    }
                }
            }
        }
        self.marks.insert(from, mark);
        let recovery = &mut self.recoveries[open];
        recovery.restored = recovery.restored.plus(&counts);
        Some(counts)
    }

    fn restore_signature(&mut self, signature: &RestoredSignature, restored: Restored) -> bool {
        let Some(issued) = self.serials.get_mut(&signature.serial) else {
            self.add_restored(signature, restored);
            return true;
        };
        let was_good = issued.record.status != SerialStatus::Wait;
        let said_anew = issued.record.restored.is_some() && issued.record.crl_generation != signature.crl_generation;
        if said_anew {
            issued.record.crl_generation = signature.crl_generation;
            self.lasts_until(signature.crl_generation, signature.not_after);
        }
        let Some(issued) = self.serials.get_mut(&signature.serial) else { return false };
        if !was_good {
            issued.record.status = SerialStatus::Good;
            issued.record.good = Some(signature.at);
        }
        if !signature.is_final {
            return !was_good;
        }
        if issued.record.certificate.is_some() {
            return false;
        }
        issued.came_revoked = issued.record.status == SerialStatus::Revoked;
        issued.record.certificate = Some(signature.der.clone());
        issued.record.stored = Some(signature.at.max(issued.record.good.unwrap_or(issued.record.begun)));
        issued.unsettled = true;
        true
    }

    fn add_restored(&mut self, signature: &RestoredSignature, restored: Restored) {
        let RestoredSignature {
            serial,
            order,
            issuer,
            ct,
            is_final,
            der,
            spki_hash,
            names,
            not_after,
            crl_generation,
            at,
        } = signature;
        self.lasts_until(*crl_generation, *not_after);
        self.dated(*at, Recorded::Issuance(*serial));
        if let Some(blocked) = self.blocked.get_mut(spki_hash) {
            blocked.settled = None;
        }
        let number = self.number_restored(order);
        let known = &self.orders[&order.id].order;
        let record = SerialRecord {
            serial: *serial,
            status: SerialStatus::Good,
            order: order.id,
            number,
            account: known.account,
            issuer: *issuer,
            profile: known.profile.clone(),
            profile_hash: Sha256::from_bytes([0; 32]),
            ct: *ct,
            begun: *at,
            good: Some(*at),
            stored: is_final.then_some(*at),
            not_after: *not_after,
            crl_generation: *crl_generation,
            spki_hash: *spki_hash,
            linting_certificate: der.clone(),
            certificate: is_final.then(|| der.clone()),
            failure: None,
            attached: false,
            current: true,
            revocation: None,
            restored: Some(restored),
        };
        self.add_issued(Issued {
            record,
            names: names.clone(),
            revocation_written: None,
            unsettled: true,
            came_revoked: false,
        });
    }

    /// The next number of an order that the ledger may hear of for the first time.
    fn number_restored(&mut self, order: &Order) -> IssuanceNumber {
        let of_order = self.serials.values().map(|one| &one.record).filter(|one| one.order == order.id);
        let last = of_order.map(|one| one.number.0).max().unwrap_or(0);
        let number = IssuanceNumber(last + 1);
        self.orders.entry(order.id).or_insert_with(|| heard_of(order)).last = Some(number);
        number
    }

    fn add_issued(&mut self, issued: Issued) {
        let serial = issued.record.serial;
        self.serials.insert(serial, issued);
        self.allocated.push(serial);
    }

    fn restore_revocation(
        &mut self,
        revocation: Revocation,
        (issuer, not_after, crl_generation): (Sha256, Timestamp, CrlGenerationId),
        order: &Order,
        restored: Restored,
    ) -> bool {
        let (serial, reason, revoked) = (revocation.serial, revocation.reason, revocation.revoked);
        if !self.serials.contains_key(&serial) {
            self.lasts_until(crl_generation, not_after);
            let number = self.number_restored(order);
            let record = SerialRecord {
                serial,
                status: SerialStatus::Wait,
                order: order.id,
                number,
                account: order.account,
                issuer,
                profile: order.profile.clone(),
                profile_hash: Sha256::from_bytes([0; 32]),
                ct: true,
                begun: revoked,
                good: None,
                stored: None,
                not_after,
                crl_generation,
                spki_hash: Sha256::from_bytes([0; 32]),
                linting_certificate: Vec::new(),
                certificate: None,
                failure: None,
                attached: false,
                current: true,
                revocation: None,
                restored: Some(restored),
            };
            let names = BTreeSet::new();
            self.add_issued(Issued { record, names, revocation_written: None, unsettled: true, came_revoked: false });
        }
        let by = revocation.by.clone();
        match self.revoke(revocation, restored.at) {
            Revoked::Done => true,
            Revoked::Already(earlier) if reason == Reason::KeyCompromise && earlier.reason != reason => {
                if let Some(issued) = self.serials.get_mut(&serial) {
                    issued.record.revocation = Some(Revocation { reason, by, ..earlier });
                    issued.revocation_written = Some(restored.at);
                }
                true
            }
            Revoked::Already(_) | Revoked::UnknownSerial => false,
        }
    }

    /// The serial whose certificate is that of an order that has not ended: the last one that has one and was not
    /// overtaken. Issuances that the log alone shows have the order of their lines, so that their numbers say little; a
    /// later one that the ledger knows of itself excludes those before it.
    fn winner(&self, order: OrderId) -> Option<Serial> {
        self.orders.get(&order).filter(|known| known.end.is_none())?;
        let of_order = || self.serials.values().filter(|one| one.record.order == order);
        let known = of_order().filter(|one| one.record.restored.is_none()).map(|one| one.record.number).max();
        let is_whole = |one: &&Issued| {
            let overtaken = one.record.revocation.as_ref().is_some_and(Revocation::is_overtaken);
            one.unsettled && !one.came_revoked && one.record.stored.is_some() && !overtaken
        };
        let last = of_order().filter(is_whole).max_by_key(|one| one.record.number)?;
        known.is_none_or(|known| known <= last.record.number).then_some(last.record.serial)
    }

    /// Makes it its order's last issuance; the one that was takes its number.
    fn make_last(&mut self, record: &SerialRecord) -> Option<()> {
        let last = self.orders.get(&record.order)?.last?;
        for issued in self.serials.values_mut().filter(|one| one.record.order == record.order) {
            if issued.record.number == last {
                issued.record.number = record.number;
            } else if issued.record.serial == record.serial {
                issued.record.number = last;
            }
        }
        self.serials.get_mut(&record.serial)?.record.number = last;
        Some(())
    }

    pub(super) fn settle_restored(
        &mut self,
        serial: Serial,
        given_up: Option<Failure>,
        at: Timestamp,
    ) -> Option<Settled> {
        let shown = self.show(self.serials.get(&serial)?);
        let unsettled = self.serials.get(&serial).is_some_and(|issued| issued.unsettled);
        let winner = if unsettled { self.winner(shown.order) } else { None };
        let settled = match shown.stored {
            Some(_) if shown.attached => Settled::Attached,
            Some(stored) if winner == Some(serial) => {
                self.make_last(&shown)?;
                self.orders.get_mut(&shown.order)?.end = Some((LedgerEnd::Valid(serial), stored));
                Settled::Attached
            }
            Some(_) => Settled::Detached,
            None => Settled::Left,
        };
        if !unsettled {
            return Some(settled);
        }
        if winner.is_none()
            && shown.current
            && let Some(failure) = given_up
        {
            self.orders.get_mut(&shown.order)?.end.get_or_insert((LedgerEnd::Invalid(failure), at));
        }
        let (revoked, by) = (at.whole_second(), BY.to_owned());
        if self.blocked.contains_key(&shown.spki_hash) {
            self.revoke(Revocation { serial, reason: Reason::KeyCompromise, revoked, by }, at);
        } else if settled == Settled::Detached {
            self.revoke(Revocation { serial, reason: Reason::Superseded, revoked, by }, at);
        }
        self.serials.get_mut(&serial)?.unsettled = false;
        Some(settled)
    }
}
