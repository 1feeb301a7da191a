//! What the ledger in memory holds, and the questions that several transitions ask of it.

use std::collections::{BTreeMap, BTreeSet};

use acme::{AccountStatus, DnsName, Identifier, Thumbprint};
use ca::account::{Account, KeyProof};
use ca::authorization::{AuthorizationEnd, CaaRecord, EndedAuthorization};
use ca::external_account::ExternalAccountKey;
use ca::order::{Failure, Order};
use ca::ports::{
    AuditMark, BlockSettled, Blocked, BlockedKey, CrlGenerationId, CrlGenerationRecord, CrlPart, CrlRecord, CrlShard,
    IssuanceNumber, KeyBlock, KeyChangeRecord, KeyNotChanged, LedgerCounts, LedgerEnd, LedgerOrder, NewAccountRecord,
    Newest, NotBound, Recorded, RecoveryRecord, RenewalRule, RenewalScope, ResponderRecord, Revocation, Revoked,
    SerialFilter, SerialRecord, SerialStatus, SigningRecord, StopRecord, StoreError, StoreErrorKind, Stored,
    StoredFinal,
};
use ca::{AccountId, AuthorizationId, ExternalKeyId, InstanceId, OrderId};
use pki::{GeneralName, Reason, Serial, Sha256, Timestamp, reversed_labels};

/// All records of a ledger.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) accounts: BTreeMap<AccountId, Account>,
    pub(super) by_key: BTreeMap<[u8; 32], AccountId>,
    /// In the order in which they were made.
    pub(super) external_keys: Vec<ExternalAccountKey>,
    pub(super) first_terms_version: Option<String>,
    pub(super) authorizations: BTreeMap<AuthorizationId, EndedAuthorization>,
    pub(super) orders: BTreeMap<OrderId, LedgerOrder>,
    pub(super) rechecks: BTreeMap<OrderId, Vec<CaaRecord>>,
    pub(super) serials: BTreeMap<Serial, Issued>,
    /// In the order of their allocation.
    pub(super) allocated: Vec<Serial>,
    pub(super) blocked: BTreeMap<Sha256, BlockedKey>,
    pub(super) stops: BTreeMap<u64, StopRecord>,
    pub(super) crl_generations: BTreeMap<CrlGenerationId, CrlGenerationRecord>,
    pub(super) crl_numbers: BTreeMap<(Sha256, u16), u64>,
    pub(super) crls: BTreeMap<(Sha256, u16), CrlRecord>,
    pub(super) crl_parts: BTreeMap<CrlPart, Vec<u8>>,
    pub(super) replaced_crls: BTreeMap<(Sha256, u16, u64), Timestamp>,
    pub(super) authorities: BTreeMap<Sha256, Vec<u8>>,
    /// In the order in which they were added.
    pub(super) responders: Vec<ResponderRecord>,
    pub(super) marks: BTreeMap<InstanceId, AuditMark>,
    pub(super) replacements: BTreeMap<Serial, OrderId>,
    /// Each with when it was taken back.
    pub(super) renewal_rules: Vec<(RenewalRule, Option<Timestamp>)>,
    pub(super) newest: Newest,
    pub(super) recoveries: Vec<RecoveryRecord>,
}

/// A serial. What follows from its order (`attached`, `current`) is not kept but asked for.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub(super) record: SerialRecord,
    pub(super) names: BTreeSet<GeneralName>,
    /// When its revocation, or the change of that, was written.
    pub(super) revocation_written: Option<Timestamp>,
    /// Restored, and its order left open.
    pub(super) unsettled: bool,
    /// It was revoked before its certificate came, which no order got therefore.
    pub(super) came_revoked: bool,
}

/// When something happened, and when it was written.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) at: Timestamp,
    pub(super) written: Timestamp,
}

pub(super) fn key_of(thumbprint: Thumbprint) -> [u8; 32] {
    *thumbprint.as_bytes()
}

impl Records {
    /// The operator accepted this time: revocations that were written after it were written before it, and generations
    /// of CRL shards that ended after it have not ended.
    pub(super) fn accept_time(&mut self, at: Timestamp) {
        self.newest = Newest { at, record: Recorded::Accepted };
        for written in self.serials.values_mut().filter_map(|issued| issued.revocation_written.as_mut()) {
            *written = at.min(*written);
        }
        for known in self.crl_generations.values_mut() {
            known.ended = known.ended.filter(|ended| *ended <= at);
        }
    }

    /// Notes the time of a record.
    pub(super) fn dated(&mut self, at: Timestamp, record: Recorded) {
        self.newest = self.newest.or(Newest { at, record });
    }

    pub(super) fn create_account(&mut self, new: NewAccountRecord, kid: Option<&ExternalKeyId>) -> (Account, bool) {
        let key = key_of(new.key.thumbprint());
        if let Some(known) = self.by_key.get(&key).and_then(|id| self.accounts.get(id)) {
            return (known.clone(), false);
        }
        let NewAccountRecord { id, key: jwk, contact, terms_of_service_agreed, terms_version, created, jws } = new;
        let blocked = self.blocked.contains_key(&Sha256::of(&jwk.spki_der()));
        let made = Account {
            id,
            key: jwk,
            status: if blocked { AccountStatus::Revoked } else { AccountStatus::Valid },
            contact,
            terms_of_service_agreed,
            terms_version,
            created,
            external_key: kid.cloned(),
            proofs: vec![KeyProof { jws, since: created }],
        };
        self.by_key.insert(key, id);
        self.accounts.insert(id, made.clone());
        self.dated(created, Recorded::Account(id));
        (made, true)
    }

    pub(super) fn create_bound_account(
        &mut self,
        new: NewAccountRecord,
        kid: &ExternalKeyId,
    ) -> Result<(Account, bool), NotBound> {
        if self.by_key.contains_key(&key_of(new.key.thumbprint())) {
            return Ok(self.create_account(new, None));
        }
        let key = self.external_keys.iter_mut().find(|key| key.kid == *kid).ok_or(NotBound::Unknown)?;
        if let Some(spent) = key.is_spent(new.created) {
            return Err(spent);
        }
        key.uses_left = key.uses_left.map(|uses| uses - 1);
        key.accounts += 1;
        Ok(self.create_account(new, Some(kid)))
    }

    pub(super) fn change_key(&mut self, change: KeyChangeRecord, now: Timestamp) -> Result<Account, KeyNotChanged> {
        let KeyChangeRecord { account: id, from, to, jws } = change;
        let taken = self.by_key.get(&key_of(to.thumbprint())).copied();
        let blocked = self.blocked.contains_key(&Sha256::of(&to.spki_der()));
        let account = self.accounts.get_mut(&id).filter(|one| one.is_valid()).ok_or(KeyNotChanged::NotValid)?;
        if account.thumbprint() != from {
            return Err(KeyNotChanged::Changed);
        }
        if let Some(holder) = taken {
            return Err(KeyNotChanged::Taken(holder));
        }
        if blocked {
            return Err(KeyNotChanged::Blocked);
        }
        account.key = to;
        account.proofs.push(KeyProof { jws, since: now });
        let changed = account.clone();
        self.by_key.remove(&key_of(from));
        self.by_key.insert(key_of(changed.thumbprint()), id);
        self.dated(now, Recorded::Account(id));
        Ok(changed)
    }

    /// Whether this issuance is the order's last, and the order has not ended.
    pub(super) fn is_current(&self, record: &SerialRecord) -> bool {
        self.orders.get(&record.order).is_some_and(|order| order.last == Some(record.number) && order.end.is_none())
    }

    /// The serial as the port shows it.
    pub(super) fn show(&self, issued: &Issued) -> SerialRecord {
        let mut record = issued.record.clone();
        record.current = self.is_current(&record);
        record.attached = self
            .orders
            .get(&record.order)
            .is_some_and(|order| matches!(&order.end, Some((LedgerEnd::Valid(serial), _)) if *serial == record.serial));
        record
    }

    pub(super) fn list(&self, filter: &SerialFilter, limit: u32) -> Vec<SerialRecord> {
        let end_of = |serial: Serial| self.allocated.iter().position(|one| *one == serial).map(|at| at + 1);
        let begin = filter.after.map_or(Some(0), end_of);
        let end = filter.until.map_or(Some(self.allocated.len()), end_of);
        let range = begin.zip(end).and_then(|(begin, end)| self.allocated.get(begin..end)).unwrap_or_default();
        let found = range.iter().filter_map(|serial| self.serials.get(serial));
        let found = found.filter(|issued| self.matches(issued, filter));
        found.take(limit as usize).map(|issued| self.show(issued)).collect()
    }

    pub(super) fn signing_record(&self, serial: Serial) -> Stored<Option<SigningRecord>> {
        let Some(issued) = self.serials.get(&serial) else {
            return Ok(None);
        };
        let missing =
            || StoreError::new(StoreErrorKind::Corrupt, format!("serial {serial} lacks its order or account"));
        let order = self.orders.get(&issued.record.order).ok_or_else(missing)?.order.clone();
        let account = self.accounts.get(&issued.record.account).ok_or_else(missing)?.clone();
        let ids = order.authorization_ids();
        Ok(Some(SigningRecord {
            serial: self.show(issued),
            account,
            authorizations: ids.iter().filter_map(|id| self.authorizations.get(id)).cloned().collect(),
            rechecks: self.rechecks.get(&order.id).cloned().unwrap_or_default(),
            key_blocked: self.blocked.contains_key(&issued.record.spki_hash),
            stops: self.stops_of(&order),
            order,
        }))
    }

    fn matches(&self, issued: &Issued, filter: &SerialFilter) -> bool {
        let shown = self.show(issued);
        filter.status.is_none_or(|status| shown.status == status)
            && (!filter.abandoned || shown.is_abandoned())
            && filter.name.as_ref().is_none_or(|name| issued.names.contains(name))
            && filter.account.is_none_or(|account| shown.account == account)
            && filter.order.is_none_or(|order| shown.order == order)
            && filter.spki_hash.is_none_or(|spki_hash| shown.spki_hash == spki_hash)
    }

    pub(super) fn names_below(&self, domain: &DnsName, after: Option<&GeneralName>, limit: u32) -> Vec<GeneralName> {
        let domain = reversed_labels(domain.as_str());
        let after = after.map(|after| reversed_labels(&after.to_string())).unwrap_or_default();
        let names = self.serials.values().flat_map(|issued| &issued.names);
        let names = names.filter(|name| matches!(name, GeneralName::Dns(_)));
        let found: BTreeMap<_, _> = names.map(|name| (reversed_labels(&name.to_string()), name)).collect();
        let below = found.into_iter().filter(|(name, _)| name.starts_with(&domain) && *name > after);
        below.take(limit as usize).map(|(_, name)| name.clone()).collect()
    }

    pub(super) fn authorized_for(&self, account: AccountId, names: &BTreeSet<GeneralName>, now: Timestamp) -> bool {
        let good: Vec<&Identifier> = self
            .authorizations
            .values()
            .filter(|one| one.account == account && one.end.is_good(now))
            .map(|one| &one.identifier)
            .collect();
        names.iter().all(|name| good.iter().any(|identifier| covers(identifier, name)))
    }

    /// The one that counts longest, of those that count until then.
    pub(super) fn good_authorization(
        &self,
        account: AccountId,
        identifier: &Identifier,
        until: Timestamp,
        ended_since: Timestamp,
    ) -> Option<&EndedAuthorization> {
        self.authorizations
            .values()
            .filter(|one| one.account == account && one.identifier == *identifier)
            .filter(|one| (ended_since..=until).contains(&one.ended))
            .filter_map(|one| match one.end {
                AuthorizationEnd::Valid { expires } => (expires >= until).then_some((expires, one)),
                AuthorizationEnd::Invalid | AuthorizationEnd::Deactivated | AuthorizationEnd::Revoked => None,
            })
            .max_by_key(|(expires, _)| *expires)
            .map(|(_, one)| one)
    }

    /// Dated before what was written already, CRLs would not see that it is new.
    pub(super) fn revoke(&mut self, revocation: Revocation, now: Timestamp) -> Revoked {
        let written = now.max(self.newest.at);
        let Some(issued) = self.serials.get_mut(&revocation.serial) else {
            return Revoked::UnknownSerial;
        };
        if let Some(earlier) = &issued.record.revocation {
            return Revoked::Already(earlier.clone());
        }
        issued.record.status = SerialStatus::Revoked;
        let serial = revocation.serial;
        issued.record.revocation = Some(revocation);
        issued.revocation_written = Some(written);
        self.dated(written, Recorded::Revocation(serial));
        Revoked::Done
    }

    pub(super) fn store_final(&mut self, serial: Serial, certificate: &[u8], times: Times) -> Option<StoredFinal> {
        let Times { at, written } = times;
        let shown = self.show(self.serials.get(&serial)?);
        if shown.certificate.is_some() {
            return Some(if shown.attached { StoredFinal::OrderValid } else { StoredFinal::Detached });
        }
        let ready = match shown.status {
            SerialStatus::Good => true,
            SerialStatus::Wait => !shown.ct,
            SerialStatus::Revoked => false,
        };
        let attach = shown.current && ready;
        let issued = self.serials.get_mut(&serial)?;
        issued.record.certificate = Some(certificate.to_vec());
        let stored = at.max(shown.good.unwrap_or(shown.begun));
        issued.record.stored = Some(stored);
        self.dated(at, Recorded::Issuance(serial));
        let issued = self.serials.get_mut(&serial)?;
        if attach {
            issued.record.status = SerialStatus::Good;
            issued.record.good.get_or_insert(stored);
            self.orders.get_mut(&shown.order)?.end = Some((LedgerEnd::Valid(serial), stored));
            return Some(StoredFinal::OrderValid);
        }
        let by = "cairn".to_owned();
        self.revoke(Revocation { serial, reason: Reason::Superseded, revoked: at, by }, written);
        Some(StoredFinal::Detached)
    }

    pub(super) fn finish(&mut self, order: &Order, failure: Failure, at: Timestamp) -> LedgerEnd {
        let known = self.orders.entry(order.id).or_insert_with(|| heard_of(order));
        if known.end.is_none() {
            self.newest = self.newest.or(Newest { at, record: Recorded::Order(order.id) });
        }
        known.end.get_or_insert((LedgerEnd::Invalid(failure), at)).0.clone()
    }

    pub(super) fn block(&mut self, block: KeyBlock, written: Timestamp) -> Blocked {
        let open: Vec<Serial> = self
            .allocated
            .iter()
            .filter_map(|serial| self.serials.get(serial))
            .filter(|issued| issued.record.spki_hash == block.spki_hash && self.is_current(&issued.record))
            .filter(|issued| issued.record.status != SerialStatus::Revoked)
            .map(|issued| issued.record.serial)
            .collect();
        for serial in &open {
            let (reason, revoked, by) = (Reason::KeyCompromise, block.at, block.by.clone());
            self.revoke(Revocation { serial: *serial, reason, revoked, by }, written);
        }
        self.dated(block.at, Recorded::KeyBlock(block.spki_hash));
        let account = self.end_account(block.spki_hash);
        self.blocked.entry(block.spki_hash).or_insert(BlockedKey { block, settled: None });
        Blocked { in_issuance: open, account }
    }

    /// The valid account that has this key ends.
    pub(super) fn end_account(&mut self, spki_hash: Sha256) -> Option<AccountId> {
        let mut valid = self.accounts.values_mut().filter(|account| account.status == AccountStatus::Valid);
        let account = valid.find(|account| Sha256::of(&account.key.spki_der()) == spki_hash)?;
        account.status = AccountStatus::Revoked;
        Some(account.id)
    }

    pub(super) fn unrevoked_of_key(&self, spki_hash: Sha256, after: Option<Serial>) -> impl Iterator<Item = Serial> {
        let behind = after.and_then(|after| self.allocated.iter().position(|serial| *serial == after));
        let allocated = self.allocated[behind.map_or(0, |at| at + 1)..].iter();
        let of_key = allocated.filter_map(|serial| self.serials.get(serial)).map(|issued| &issued.record);
        of_key
            .filter(move |record| record.spki_hash == spki_hash && record.status != SerialStatus::Revoked)
            .map(|record| record.serial)
    }

    pub(super) fn settle_block(&mut self, spki_hash: Sha256, at: Timestamp) -> BlockSettled {
        let is_left = self.unrevoked_of_key(spki_hash, None).next().is_some();
        let Some(key) = self.blocked.get_mut(&spki_hash) else { return BlockSettled::default() };
        if !is_left {
            key.settled.get_or_insert(at);
        }
        BlockSettled { settled: !is_left, account: self.end_account(spki_hash) }
    }

    pub(super) fn last_revocation(&self, issuer: Sha256, shard: CrlShard) -> Option<Timestamp> {
        self.serials
            .values()
            .filter(|Issued { record, .. }| {
                record.issuer == issuer && shard.holds(record.crl_generation, record.serial)
            })
            .filter_map(|issued| issued.revocation_written)
            .max()
    }

    /// The newest first.
    pub(super) fn standing_rules(&self) -> impl Iterator<Item = &RenewalRule> {
        self.renewal_rules.iter().rev().filter(|(_, gone)| gone.is_none()).map(|(rule, _)| rule)
    }

    pub(super) fn count_renewals(&self, scope: &RenewalScope, now: Timestamp) -> u64 {
        let found = self.serials.values().filter(|issued| {
            let record = &issued.record;
            record.certificate.is_some()
                && record.status == SerialStatus::Good
                && record.begun < now
                && record.not_after >= now
                && scope.covers(record, |name| issued.names.iter().any(|one| one.to_string() == name))
        });
        found.count() as u64
    }

    pub(super) fn counts(&self) -> LedgerCounts {
        let mut counts = LedgerCounts { accounts: self.accounts.len() as u64, ..LedgerCounts::default() };
        for issued in self.serials.values() {
            match issued.record.status {
                SerialStatus::Wait => counts.wait += 1,
                SerialStatus::Good => counts.good += 1,
                SerialStatus::Revoked => counts.revoked += 1,
            }
            counts.abandoned += u64::from(self.show(issued).is_abandoned());
        }
        for order in self.orders.values() {
            match &order.end {
                Some((LedgerEnd::Valid(_), _)) => {
                    counts.valid += 1;
                    counts.delivered += u64::from(order.delivered.is_some());
                    counts.acknowledged += u64::from(order.acknowledged.is_some());
                }
                Some((LedgerEnd::Invalid(failure), _)) => {
                    counts.invalid += 1;
                    counts.our_fault += u64::from(failure.is_our_fault());
                }
                None => {}
            }
        }
        counts
    }
}

/// An order of which the ledger hears for the first time.
pub(super) fn heard_of(order: &Order) -> LedgerOrder {
    LedgerOrder { order: order.clone(), last: None, end: None, delivered: None, acknowledged: None }
}

/// The number after the last one, from 1.
pub(super) fn next_number(last: Option<IssuanceNumber>) -> IssuanceNumber {
    IssuanceNumber(last.map_or(1, |IssuanceNumber(last)| last.saturating_add(1)))
}

/// Whether an authorization for this identifier is one for this name: `*.name` by the wildcard's own alone
/// (RFC 8555 §7.1.3), and a wildcard's covers nothing else.
fn covers(identifier: &Identifier, name: &GeneralName) -> bool {
    match (identifier, name) {
        (Identifier::Dns(authorized), GeneralName::Dns(name)) => authorized.as_str() == name,
        (Identifier::Wildcard(authorized), GeneralName::Dns(name)) => {
            name.strip_prefix("*.") == Some(authorized.as_str())
        }
        (Identifier::Ip(authorized), GeneralName::Ip(address)) => authorized == address,
        (Identifier::Dns(_) | Identifier::Wildcard(_), GeneralName::Ip(_))
        | (Identifier::Ip(_), GeneralName::Dns(_)) => false,
    }
}
