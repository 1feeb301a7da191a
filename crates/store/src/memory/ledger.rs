//! The ledger in memory.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use acme::{AccountStatus, DnsName, Identifier, Thumbprint};
use async_trait::async_trait;
use ca::account::Account;
use ca::authorization::{AuthorizationEnd, CaaRecord, EndedAuthorization};
use ca::external_account::ExternalAccountKey;
use ca::order::{Failure, Order};
use ca::ports::{
    AuditMark, Begin, BeginRefused, BlockSettled, Blocked, BlockedKey, Clock, CrlGeneration, CrlGenerationId,
    CrlGenerationRecord, CrlLeftover, CrlPart, CrlRecord, CrlShard, CrlState, IssuanceNumber, KeyBlock,
    KeyChangeRecord, KeyNotChanged, Ledger, LedgerCounts, LedgerEnd, LedgerOrder, LineCounts, ListedOrder, MarkedGood,
    NewAccountRecord, Newest, NotBound, Recorded, RecoveryRecord, RenewalAdvice, RenewalRule, RenewalScope,
    ResponderRecord, Restore, Revocation, Revoked, SerialFilter, SerialRecord, Settled, SigningRecord, StatusRecord,
    StopRecord, Stored, StoredFinal,
};
use ca::{AccountId, AuthorizationId, ExternalKeyId, InstanceId, OrderCursor, OrderId};
use pki::{CrlEntry, GeneralName, Reason, Serial, Sha256, Timestamp};

use super::lock;
use super::records::{Records, Times, key_of};

/// A ledger in memory. Each call is one step; nothing of it outlives the process.
#[derive(Debug)]
pub struct MemoryLedger {
    clock: Arc<dyn Clock>,
    records: Mutex<Records>,
}

impl MemoryLedger {
    /// An empty ledger.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, records: Mutex::default() }
    }

    /// A backup: another ledger with the same records.
    #[must_use]
    pub fn backup(&self) -> Self {
        Self { clock: Arc::clone(&self.clock), records: Mutex::new(lock(&self.records).clone()) }
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn create_account(&self, account: NewAccountRecord) -> Stored<(Account, bool)> {
        Ok(lock(&self.records).create_account(account, None))
    }

    async fn create_bound_account(
        &self,
        account: NewAccountRecord,
        kid: &ExternalKeyId,
    ) -> Stored<Result<(Account, bool), NotBound>> {
        Ok(lock(&self.records).create_bound_account(account, kid))
    }

    async fn add_external_account_key(&self, key: ExternalAccountKey) -> Stored<bool> {
        let mut records = lock(&self.records);
        let is_new = records.external_keys.iter().all(|known| known.kid != key.kid);
        if is_new {
            records.external_keys.push(key);
        }
        Ok(is_new)
    }

    async fn external_account_key(&self, kid: &ExternalKeyId) -> Stored<Option<ExternalAccountKey>> {
        Ok(lock(&self.records).external_keys.iter().find(|key| key.kid == *kid).cloned())
    }

    async fn external_account_keys(&self, after: Option<ExternalKeyId>, limit: u32) -> Stored<Vec<ExternalAccountKey>> {
        let records = lock(&self.records);
        let keys = &records.external_keys;
        let behind = match after {
            None => 0,
            Some(after) => keys.iter().position(|key| key.kid == after).map_or(keys.len(), |at| at + 1),
        };
        Ok(keys[behind..].iter().take(limit as usize).cloned().collect())
    }

    async fn revoke_external_account_key(
        &self,
        kid: &ExternalKeyId,
        at: Timestamp,
    ) -> Stored<Option<ExternalAccountKey>> {
        let mut records = lock(&self.records);
        Ok(records.external_keys.iter_mut().find(|key| key.kid == *kid).map(|key| {
            key.revoked.get_or_insert(at);
            key.clone()
        }))
    }

    async fn account(&self, id: AccountId) -> Stored<Option<Account>> {
        Ok(lock(&self.records).accounts.get(&id).cloned())
    }

    async fn account_by_key(&self, thumbprint: Thumbprint) -> Stored<Option<Account>> {
        let records = lock(&self.records);
        Ok(records.by_key.get(&key_of(thumbprint)).and_then(|id| records.accounts.get(id)).cloned())
    }

    async fn accounts(&self, after: Option<AccountId>, limit: u32) -> Stored<Vec<Account>> {
        let records = lock(&self.records);
        let behind = records.accounts.values().filter(|account| after.is_none_or(|after| account.id > after));
        Ok(behind.take(limit as usize).cloned().collect())
    }

    async fn update_contact(&self, id: AccountId, contact: Vec<String>) -> Stored<Option<Account>> {
        let mut records = lock(&self.records);
        Ok(records.accounts.get_mut(&id).filter(|account| account.is_valid()).map(|account| {
            account.contact = contact;
            account.clone()
        }))
    }

    async fn agree_to_terms(&self, id: AccountId, version: Option<String>) -> Stored<Option<Account>> {
        let mut records = lock(&self.records);
        Ok(records.accounts.get_mut(&id).filter(|account| account.is_valid()).map(|account| {
            account.terms_of_service_agreed = true;
            account.terms_version = version;
            account.clone()
        }))
    }

    async fn first_terms_version(&self, version: &str, _at: Timestamp) -> Stored<String> {
        Ok(lock(&self.records).first_terms_version.get_or_insert_with(|| version.to_owned()).clone())
    }

    async fn change_key(&self, change: KeyChangeRecord) -> Stored<Result<Account, KeyNotChanged>> {
        let mut records = lock(&self.records);
        let written = self.clock.now().max(records.newest.at);
        Ok(records.change_key(change, written))
    }

    async fn deactivate_account(&self, id: AccountId) -> Stored<Option<Account>> {
        let mut records = lock(&self.records);
        Ok(records.accounts.get_mut(&id).map(|account| {
            if account.is_valid() {
                account.status = AccountStatus::Deactivated;
            }
            account.clone()
        }))
    }

    async fn authorize(&self, ended: EndedAuthorization) -> Stored<EndedAuthorization> {
        let mut records = lock(&self.records);
        if !records.authorizations.contains_key(&ended.id) {
            records.dated(ended.ended, Recorded::Authorization(ended.id));
        }
        Ok(records.authorizations.entry(ended.id).or_insert(ended).clone())
    }

    async fn deactivate_authorization(&self, id: AuthorizationId, at: Timestamp) -> Stored<Option<EndedAuthorization>> {
        let mut records = lock(&self.records);
        let written = self.clock.now().max(records.newest.at);
        let Some(ended) = records.authorizations.get_mut(&id) else { return Ok(None) };
        if matches!(ended.end, AuthorizationEnd::Valid { .. }) {
            ended.end = AuthorizationEnd::Deactivated;
            ended.ended = at.max(written);
        }
        let stands = ended.clone();
        records.dated(stands.ended, Recorded::Authorization(id));
        Ok(Some(stands))
    }

    async fn authorizations(&self, ids: &[AuthorizationId]) -> Stored<Vec<EndedAuthorization>> {
        let records = lock(&self.records);
        let asked: BTreeSet<_> = ids.iter().collect();
        Ok(asked.into_iter().filter_map(|id| records.authorizations.get(id)).cloned().collect())
    }

    async fn authorized_for(&self, account: AccountId, names: &BTreeSet<GeneralName>, now: Timestamp) -> Stored<bool> {
        Ok(lock(&self.records).authorized_for(account, names, now))
    }

    async fn good_authorizations(
        &self,
        account: AccountId,
        identifiers: &[Identifier],
        until: Timestamp,
        ended_since: Timestamp,
    ) -> Stored<Vec<EndedAuthorization>> {
        let records = lock(&self.records);
        let good = |one| records.good_authorization(account, one, until, ended_since);
        Ok(identifiers.iter().filter_map(good).cloned().collect())
    }

    async fn order(&self, id: OrderId) -> Stored<Option<LedgerOrder>> {
        Ok(lock(&self.records).orders.get(&id).cloned())
    }

    async fn orders_of(&self, account: AccountId, behind: Option<OrderCursor>, limit: u32) -> Stored<Vec<ListedOrder>> {
        let records = lock(&self.records);
        let orders = records.orders.values().filter(|known| known.order.account == account);
        let mut listed: Vec<ListedOrder> = orders
            .map(|known| ListedOrder {
                at: OrderCursor::from(&known.order),
                valid: known.end.as_ref().map(|(end, _)| matches!(end, LedgerEnd::Valid(_))),
            })
            .filter(|listed| behind.is_none_or(|behind| listed.at < behind))
            .collect();
        listed.sort_by_key(|listed| std::cmp::Reverse(listed.at));
        listed.truncate(limit as usize);
        Ok(listed)
    }

    async fn ended_orders(&self, before: Option<Timestamp>, limit: u32) -> Stored<Vec<LedgerOrder>> {
        let records = lock(&self.records);
        let mut ended: Vec<(Timestamp, &LedgerOrder)> =
            records.orders.values().filter_map(|order| order.end.as_ref().map(|(_, at)| (*at, order))).collect();
        ended.retain(|(at, _)| before.is_none_or(|before| *at < before));
        ended.sort_by_key(|(at, order)| (std::cmp::Reverse(*at), order.order.id));
        Ok(ended.into_iter().take(limit as usize).map(|(_, order)| order.clone()).collect())
    }

    async fn ended_by_our_fault(&self, behind: Option<(Timestamp, OrderId)>, limit: u32) -> Stored<Vec<LedgerOrder>> {
        let records = lock(&self.records);
        let mut ended: Vec<((Timestamp, OrderId), &LedgerOrder)> = records
            .orders
            .values()
            .filter_map(|order| match &order.end {
                Some((LedgerEnd::Invalid(failure), at)) if failure.is_our_fault() => {
                    Some(((*at, order.order.id), order))
                }
                Some((LedgerEnd::Invalid(_) | LedgerEnd::Valid(_), _)) | None => None,
            })
            .collect();
        ended.retain(|(at, _)| behind.is_none_or(|behind| *at < behind));
        ended.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Ok(ended.into_iter().take(limit as usize).map(|(_, order)| order.clone()).collect())
    }

    async fn record_rechecks(&self, order: OrderId, checks: Vec<CaaRecord>) -> Stored<()> {
        lock(&self.records).rechecks.entry(order).or_default().extend(checks);
        Ok(())
    }

    async fn rechecks(&self, order: OrderId) -> Stored<Vec<CaaRecord>> {
        Ok(lock(&self.records).rechecks.get(&order).cloned().unwrap_or_default())
    }

    async fn begin(&self, begin: Begin<'_>) -> Stored<Result<IssuanceNumber, BeginRefused>> {
        Ok(lock(&self.records).begin(&begin))
    }

    async fn mark_good(&self, serial: Serial, at: Timestamp) -> Stored<Option<MarkedGood>> {
        Ok(lock(&self.records).mark_good(serial, at))
    }

    async fn store_final(&self, serial: Serial, certificate: &[u8], at: Timestamp) -> Stored<Option<StoredFinal>> {
        Ok(lock(&self.records).store_final(serial, certificate, Times { at, written: self.clock.now() }))
    }

    async fn finish(&self, order: &Order, failure: Failure, at: Timestamp) -> Stored<LedgerEnd> {
        Ok(lock(&self.records).finish(order, failure, at))
    }

    async fn issuance_failed(&self, serial: Serial, failure: &str) -> Stored<()> {
        let mut records = lock(&self.records);
        let current = records.serials.get(&serial).is_some_and(|issued| records.is_current(&issued.record));
        if let Some(issued) = records.serials.get_mut(&serial).filter(|_| current) {
            issued.record.failure.get_or_insert_with(|| failure.to_owned());
        }
        Ok(())
    }

    async fn open_orders(&self, after: Option<OrderId>, limit: u32) -> Stored<Vec<OrderId>> {
        let records = lock(&self.records);
        let open = records.orders.iter().filter(|(_, known)| known.end.is_none()).map(|(id, _)| *id);
        Ok(open.filter(|id| after.is_none_or(|after| *id > after)).take(limit as usize).collect())
    }

    async fn serial(&self, serial: Serial) -> Stored<Option<SerialRecord>> {
        let records = lock(&self.records);
        Ok(records.serials.get(&serial).map(|issued| records.show(issued)))
    }

    async fn status(&self, serial: Serial) -> Stored<Option<StatusRecord>> {
        Ok(lock(&self.records).status(serial))
    }

    async fn serials(&self, filter: SerialFilter, limit: u32) -> Stored<Vec<SerialRecord>> {
        Ok(lock(&self.records).list(&filter, limit))
    }

    async fn last_serial(&self) -> Stored<Option<Serial>> {
        Ok(lock(&self.records).allocated.last().copied())
    }

    async fn names_below(&self, domain: &DnsName, after: Option<GeneralName>, limit: u32) -> Stored<Vec<GeneralName>> {
        Ok(lock(&self.records).names_below(domain, after.as_ref(), limit))
    }

    async fn signing_record(&self, serial: Serial) -> Stored<Option<SigningRecord>> {
        lock(&self.records).signing_record(serial)
    }

    async fn revoke(&self, revocation: Revocation) -> Stored<Revoked> {
        Ok(lock(&self.records).revoke(revocation, self.clock.now()))
    }

    async fn upgrade_to_key_compromise(&self, serial: Serial, by: &str) -> Stored<bool> {
        let mut records = lock(&self.records);
        let written = self.clock.now().max(records.newest.at);
        let Some(issued) = records.serials.get_mut(&serial) else {
            return Ok(false);
        };
        let Some(revocation) = issued.record.revocation.as_mut().filter(|one| one.reason != Reason::KeyCompromise)
        else {
            return Ok(false);
        };
        revocation.reason = Reason::KeyCompromise;
        by.clone_into(&mut revocation.by);
        issued.revocation_written = Some(written);
        records.dated(written, Recorded::Revocation(serial));
        Ok(true)
    }

    async fn block(&self, block: KeyBlock) -> Stored<Blocked> {
        Ok(lock(&self.records).block(block, self.clock.now()))
    }

    async fn is_blocked(&self, spki_hash: Sha256) -> Stored<bool> {
        Ok(lock(&self.records).blocked.contains_key(&spki_hash))
    }

    async fn blocked_key(&self, spki_hash: Sha256) -> Stored<Option<BlockedKey>> {
        Ok(lock(&self.records).blocked.get(&spki_hash).cloned())
    }

    async fn blocked_keys(&self, after: Option<Sha256>, unsettled: bool, limit: u32) -> Stored<Vec<BlockedKey>> {
        let records = lock(&self.records);
        let behind = records.blocked.iter().filter(|(key, _)| after.is_none_or(|after| **key > after));
        let asked = behind.map(|(_, key)| key).filter(|key| !unsettled || key.settled.is_none());
        Ok(asked.take(limit as usize).cloned().collect())
    }

    async fn unrevoked_of_key(&self, spki_hash: Sha256, after: Option<Serial>, limit: u32) -> Stored<Vec<Serial>> {
        Ok(lock(&self.records).unrevoked_of_key(spki_hash, after).take(limit as usize).collect())
    }

    async fn settle_block(&self, spki_hash: Sha256, at: Timestamp) -> Stored<BlockSettled> {
        Ok(lock(&self.records).settle_block(spki_hash, at))
    }

    async fn stop(&self, stop: StopRecord) -> Stored<bool> {
        Ok(lock(&self.records).stop(stop).0)
    }

    async fn resume(&self, number: u64, at: Timestamp) -> Stored<Option<StopRecord>> {
        Ok(lock(&self.records).resume(number, at).map(|(stop, _)| stop))
    }

    async fn stops_of(&self, number: u64, since: Option<Timestamp>) -> Stored<Vec<StopRecord>> {
        Ok(lock(&self.records).stops_at(number, since))
    }

    async fn standing_stops(&self) -> Stored<Arc<[StopRecord]>> {
        Ok(lock(&self.records).stops(true).cloned().collect())
    }

    async fn stops(&self, open: bool, limit: u32) -> Stored<Vec<StopRecord>> {
        Ok(lock(&self.records).stops(open).take(limit as usize).cloned().collect())
    }

    async fn crl_generations(&self) -> Stored<Vec<CrlGenerationRecord>> {
        Ok(lock(&self.records).crl_generations.values().cloned().collect())
    }

    async fn add_crl_generation(&self, generation: CrlGeneration) -> Stored<CrlGeneration> {
        Ok(lock(&self.records).add_crl_generation(generation))
    }

    async fn end_crl_generation(
        &self,
        id: CrlGenerationId,
        last_not_after: Option<Timestamp>,
        at: Timestamp,
    ) -> Stored<bool> {
        Ok(lock(&self.records).end_crl_generation(id, last_not_after, at))
    }

    async fn crl_state(&self, issuer: Sha256, shard: CrlShard) -> Stored<CrlState> {
        Ok(lock(&self.records).crl_state(issuer, shard))
    }

    async fn last_crl(&self, issuer: Sha256, shard: u16) -> Stored<Option<CrlRecord>> {
        Ok(lock(&self.records).crls.get(&(issuer, shard)).cloned())
    }

    async fn allocate_crl_number(
        &self,
        issuer: Sha256,
        shard: u16,
        number: u64,
        this_update: Timestamp,
    ) -> Stored<bool> {
        Ok(lock(&self.records).allocate_crl_number((issuer, shard, number), this_update))
    }

    async fn put_crl_part(&self, part: CrlPart, octets: Vec<u8>) -> Stored<bool> {
        Ok(lock(&self.records).put_crl_part(part, octets))
    }

    async fn crl_part(&self, part: CrlPart, octets: Range<u64>) -> Stored<Option<Vec<u8>>> {
        Ok(lock(&self.records).crl_part(part, &octets))
    }

    async fn store_crl(&self, crl: CrlRecord) -> Stored<bool> {
        Ok(lock(&self.records).store_crl(crl, self.clock.now()))
    }

    async fn crl_leftovers(&self, issuer: Sha256, shard: u16, limit: u32) -> Stored<Vec<CrlLeftover>> {
        Ok(lock(&self.records).crl_leftovers(issuer, shard, limit))
    }

    async fn drop_crl_parts(&self, issuer: Sha256, shard: u16, number: u64, limit: u32) -> Stored<u32> {
        Ok(lock(&self.records).drop_crl_parts(issuer, shard, number, limit))
    }

    async fn revoked(
        &self,
        issuer: Sha256,
        shard: CrlShard,
        not_after_min: Timestamp,
        after: Option<Serial>,
        limit: u32,
    ) -> Stored<Vec<CrlEntry>> {
        Ok(lock(&self.records).revoked(issuer, shard, not_after_min, after).take(limit as usize).collect())
    }

    async fn store_authority(&self, id: Sha256, der: &[u8]) -> Stored<()> {
        lock(&self.records).authorities.entry(id).or_insert_with(|| der.to_vec());
        Ok(())
    }

    async fn has_authority(&self, id: Sha256) -> Stored<bool> {
        Ok(lock(&self.records).authorities.contains_key(&id))
    }

    async fn authorities(&self) -> Stored<Vec<Vec<u8>>> {
        Ok(lock(&self.records).authorities.values().cloned().collect())
    }

    async fn add_responder(&self, responder: ResponderRecord) -> Stored<bool> {
        Ok(lock(&self.records).add_responder(responder))
    }

    async fn store_responder(&self, serial: Serial, certificate: &[u8]) -> Stored<bool> {
        Ok(lock(&self.records).store_responder(serial, certificate))
    }

    async fn responder(&self, serial: Serial) -> Stored<Option<ResponderRecord>> {
        Ok(lock(&self.records).responder(serial).cloned())
    }

    async fn responders(&self, issuer: Sha256, spki_hash: Sha256, limit: u32) -> Stored<Vec<ResponderRecord>> {
        Ok(lock(&self.records).responders_of(issuer, spki_hash).take(limit as usize).cloned().collect())
    }

    async fn audit_mark(&self, instance: InstanceId) -> Stored<Option<AuditMark>> {
        Ok(lock(&self.records).marks.get(&instance).copied())
    }

    async fn set_audit_mark(&self, instance: InstanceId, mark: AuditMark) -> Stored<()> {
        let mut records = lock(&self.records);
        let kept = records.marks.entry(instance).or_insert(mark);
        if mark.sequence > kept.sequence {
            *kept = mark;
        }
        Ok(())
    }

    async fn delivered(&self, order: OrderId, at: Timestamp) -> Stored<()> {
        if let Some(order) = lock(&self.records).orders.get_mut(&order) {
            order.delivered.get_or_insert(order.end.as_ref().map_or(at, |(_, ended)| at.max(*ended)));
        }
        Ok(())
    }

    async fn acknowledged(&self, order: OrderId, at: Timestamp) -> Stored<()> {
        if let Some(order) = lock(&self.records).orders.get_mut(&order) {
            order.acknowledged.get_or_insert(order.end.as_ref().map_or(at, |(_, ended)| at.max(*ended)));
        }
        Ok(())
    }

    async fn replacement(&self, serial: Serial) -> Stored<Option<OrderId>> {
        Ok(lock(&self.records).replacements.get(&serial).copied())
    }

    async fn replace(&self, serial: Serial, standing: Option<OrderId>, order: OrderId) -> Stored<Option<OrderId>> {
        let mut records = lock(&self.records);
        if !records.serials.contains_key(&serial) {
            return Ok(None);
        }
        if records.replacements.get(&serial).copied() == standing {
            records.replacements.insert(serial, order);
        }
        Ok(records.replacements.get(&serial).copied())
    }

    async fn add_renewal_rule(
        &self,
        scope: RenewalScope,
        advice: RenewalAdvice,
        made: Timestamp,
        sets_max: u32,
    ) -> Stored<Option<RenewalRule>> {
        let mut records = lock(&self.records);
        let sets = records.standing_rules().filter(|rule| rule.scope.serial.is_none()).count();
        if scope.serial.is_none() && sets >= sets_max as usize {
            return Ok(None);
        }
        let rule = RenewalRule { number: records.renewal_rules.len() as u64 + 1, made, scope, advice };
        records.renewal_rules.push((rule.clone(), None));
        Ok(Some(rule))
    }

    async fn withdraw_renewal_rule(&self, number: u64, at: Timestamp) -> Stored<bool> {
        let mut records = lock(&self.records);
        let standing = records.renewal_rules.iter_mut().find(|(rule, gone)| rule.number == number && gone.is_none());
        Ok(standing.map(|(_, gone)| *gone = Some(at)).is_some())
    }

    async fn renewal_rules_for(&self, serial: Serial) -> Stored<Vec<RenewalRule>> {
        let records = lock(&self.records);
        let of = |rule: &&RenewalRule| rule.scope.serial.is_none_or(|one| one == serial);
        Ok(records.standing_rules().filter(of).cloned().collect())
    }

    async fn renewal_rules(&self, limit: u32) -> Stored<Vec<RenewalRule>> {
        Ok(lock(&self.records).standing_rules().take(limit as usize).cloned().collect())
    }

    async fn count_renewals(&self, scope: RenewalScope, now: Timestamp) -> Stored<u64> {
        Ok(lock(&self.records).count_renewals(&scope, now))
    }

    async fn begin_recovery(&self, recovery: RecoveryRecord) -> Stored<RecoveryRecord> {
        Ok(lock(&self.records).begin_recovery(recovery))
    }

    async fn restore(&self, restore: Restore) -> Stored<Option<LineCounts>> {
        Ok(lock(&self.records).restore(restore))
    }

    async fn unsettled(&self, limit: u32) -> Stored<Vec<SerialRecord>> {
        let records = lock(&self.records);
        let unsettled = records.allocated.iter().filter_map(|serial| records.serials.get(serial));
        let unsettled = unsettled.filter(|issued| issued.unsettled).take(limit as usize);
        Ok(unsettled.map(|issued| records.show(issued)).collect())
    }

    async fn settle_restored(
        &self,
        serial: Serial,
        given_up: Option<Failure>,
        at: Timestamp,
    ) -> Stored<Option<Settled>> {
        Ok(lock(&self.records).settle_restored(serial, given_up, at))
    }

    async fn end_recovery(&self, number: u64, at: Timestamp) -> Stored<bool> {
        let mut records = lock(&self.records);
        let open = records.recoveries.iter_mut().find(|one| one.number == number && one.ended.is_none());
        Ok(open.map(|recovery| recovery.ended = Some(at)).is_some())
    }

    async fn abandon_recovery(&self, number: u64) -> Stored<bool> {
        Ok(lock(&self.records).abandon_recovery(number))
    }

    async fn recoveries(&self) -> Stored<Vec<RecoveryRecord>> {
        Ok(lock(&self.records).recoveries.clone())
    }

    async fn counts(&self) -> Stored<LedgerCounts> {
        Ok(lock(&self.records).counts())
    }

    async fn newest(&self) -> Stored<Newest> {
        Ok(lock(&self.records).newest)
    }

    async fn accept_time(&self, at: Timestamp) -> Stored<()> {
        lock(&self.records).accept_time(at);
        Ok(())
    }
}
