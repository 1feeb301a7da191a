//! The ledger in SQLite: what must never be lost.

mod accounts;
mod authorizations;
pub(super) mod blocked_keys;
mod crls;
mod external_keys;
mod generations;
mod issuance;
pub(super) mod orders;
mod renewal;
mod responders;
mod restore;
pub(super) mod revocation;
pub(super) mod serials;
pub(super) mod stops;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use acme::{DnsName, Identifier, Thumbprint};
use async_trait::async_trait;
use ca::account::Account;
use ca::authorization::{CaaRecord, EndedAuthorization};
use ca::external_account::ExternalAccountKey;
use ca::order::{Failure as Death, Order};
use ca::ports::{
    AuditMark, Begin, BeginRefused, BlockSettled, Blocked, BlockedKey, Clock, CrlGeneration, CrlGenerationId,
    CrlGenerationRecord, CrlLeftover, CrlPart, CrlRecord, CrlShard, CrlState, IssuanceNumber, KeyBlock,
    KeyChangeRecord, KeyNotChanged, Ledger, LedgerCounts, LedgerEnd, LedgerOrder, LineCounts, ListedOrder, MarkedGood,
    NewAccountRecord, Newest, NotBound, RecoveryRecord, RenewalAdvice, RenewalRule, RenewalScope, ResponderRecord,
    Restore, Revocation, Revoked, SerialFilter, SerialRecord, Settled, SigningRecord, StatusRecord, StopRecord, Stored,
    StoredFinal,
};
use ca::{AccountId, AuthorizationId, ExternalKeyId, InstanceId, OrderCursor, OrderId};
use pki::{CrlEntry, GeneralName, Serial, Sha256, Timestamp};
use rusqlite::{OptionalExtension, params};

use super::columns::{Col, col, document, packed};
use super::failure::Step;
use super::readers::snapshot;
use super::writer::{Batch, Durability};
use super::{Database, tally};
use accounts::Remembered;
use issuance::{Beginning, Times};
use orders::Mark;
use revocation::RevokedPage;
use stops::Standing;

/// The ledger of a [`Database`].
#[derive(Debug)]
pub struct SqliteLedger {
    database: Database,
    clock: Arc<dyn Clock>,
    accounts: Arc<Remembered>,
    stops: Arc<Standing>,
}

impl SqliteLedger {
    pub(super) fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock, accounts: Arc::default(), stops: Arc::default() }
    }

    async fn write<T: Send + 'static>(&self, step: impl FnMut(&Batch<'_>) -> Step<T> + Send + 'static) -> Stored<T> {
        self.database.writer().write(Durability::Synced, step).await
    }

    /// A write that changes what is remembered of an account.
    async fn write_account<T: Send + 'static>(
        &self,
        id: AccountId,
        step: impl FnMut(&Batch<'_>) -> Step<T> + Send + 'static,
    ) -> Stored<T> {
        let accounts = Arc::clone(&self.accounts);
        self.database.writer().submit(Durability::Synced, step, move |_| accounts.forget(id)).await
    }

    /// A write that changes which stops stand.
    async fn write_stops<T: Send + 'static>(
        &self,
        step: impl FnMut(&Batch<'_>) -> Step<T> + Send + 'static,
    ) -> Stored<T> {
        let stops = Arc::clone(&self.stops);
        self.database.writer().submit(Durability::Synced, step, move |_| stops.forget()).await
    }

    async fn mark(&self, order: OrderId, mark: Mark, at: Timestamp) -> Stored<()> {
        self.database.writer().write(Durability::Ordered, move |batch| orders::mark(batch, order, mark, at)).await
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn create_account(&self, account: NewAccountRecord) -> Stored<(Account, bool)> {
        self.write(move |batch| accounts::create(batch, &account, None)).await
    }

    async fn create_bound_account(
        &self,
        account: NewAccountRecord,
        kid: &ExternalKeyId,
    ) -> Stored<Result<(Account, bool), NotBound>> {
        let kid = kid.clone();
        self.write(move |batch| external_keys::bind(batch, &account, &kid)).await
    }

    async fn add_external_account_key(&self, key: ExternalAccountKey) -> Stored<bool> {
        self.write(move |batch| external_keys::add(batch, &key)).await
    }

    async fn external_account_key(&self, kid: &ExternalKeyId) -> Stored<Option<ExternalAccountKey>> {
        self.database.read(|connection| external_keys::by_kid(connection, kid))
    }

    async fn external_account_keys(&self, after: Option<ExternalKeyId>, limit: u32) -> Stored<Vec<ExternalAccountKey>> {
        self.database.scan(move |connection| external_keys::page(connection, after.as_ref(), limit)).await
    }

    async fn revoke_external_account_key(
        &self,
        kid: &ExternalKeyId,
        at: Timestamp,
    ) -> Stored<Option<ExternalAccountKey>> {
        let kid = kid.clone();
        self.write(move |batch| external_keys::revoke(batch, &kid, at)).await
    }

    async fn account(&self, id: AccountId) -> Stored<Option<Account>> {
        let moment = self.accounts.moment();
        self.database.read(|connection| self.accounts.account(id, moment, || accounts::by_id(connection, id)))
    }

    async fn account_by_key(&self, thumbprint: Thumbprint) -> Stored<Option<Account>> {
        self.database.read(|connection| accounts::by_thumbprint(connection, thumbprint))
    }

    async fn accounts(&self, after: Option<AccountId>, limit: u32) -> Stored<Vec<Account>> {
        let page = move |connection: &rusqlite::Connection| accounts::page(connection, after, limit);
        self.database.scan(move |connection| snapshot(connection, page)).await
    }

    async fn update_contact(&self, id: AccountId, contact: Vec<String>) -> Stored<Option<Account>> {
        self.write_account(id, move |batch| accounts::update_contact(batch, id, &contact)).await
    }

    async fn agree_to_terms(&self, id: AccountId, version: Option<String>) -> Stored<Option<Account>> {
        self.write_account(id, move |batch| accounts::agree(batch, id, version.as_deref())).await
    }

    async fn first_terms_version(&self, version: &str, at: Timestamp) -> Stored<String> {
        let version = version.to_owned();
        self.write(move |batch| accounts::first_terms_version(batch, &version, at)).await
    }

    async fn change_key(&self, change: KeyChangeRecord) -> Stored<Result<Account, KeyNotChanged>> {
        let (id, clock) = (change.account, Arc::clone(&self.clock));
        self.write_account(id, move |batch| accounts::change_key(batch, &change, batch.written(clock.now()))).await
    }

    async fn deactivate_account(&self, id: AccountId) -> Stored<Option<Account>> {
        self.write_account(id, move |batch| accounts::deactivate(batch, id)).await
    }

    async fn authorize(&self, ended: EndedAuthorization) -> Stored<EndedAuthorization> {
        let written = packed("authorizations.packed", &ended)?;
        let ended = Arc::new(ended);
        let write = Arc::clone(&ended);
        let standing = self.write(move |batch| authorizations::authorize(batch, &write, &written)).await?;
        Ok(standing.unwrap_or_else(|| ended.as_ref().clone()))
    }

    async fn deactivate_authorization(&self, id: AuthorizationId, at: Timestamp) -> Stored<Option<EndedAuthorization>> {
        let clock = Arc::clone(&self.clock);
        self.write(move |batch| authorizations::deactivate(batch, id, at.max(batch.written(clock.now())))).await
    }

    async fn authorizations(&self, ids: &[AuthorizationId]) -> Stored<Vec<EndedAuthorization>> {
        self.database.read(|connection| snapshot(connection, |connection| authorizations::by_ids(connection, ids)))
    }

    async fn authorized_for(&self, account: AccountId, names: &BTreeSet<GeneralName>, now: Timestamp) -> Stored<bool> {
        self.database.read(|connection| {
            snapshot(connection, |connection| authorizations::authorized_for(connection, account, names, now))
        })
    }

    async fn good_authorizations(
        &self,
        account: AccountId,
        identifiers: &[Identifier],
        until: Timestamp,
        ended_since: Timestamp,
    ) -> Stored<Vec<EndedAuthorization>> {
        self.database.read(|connection| {
            snapshot(connection, |connection| {
                authorizations::good(connection, account, identifiers, (until, ended_since))
            })
        })
    }

    async fn order(&self, id: OrderId) -> Stored<Option<LedgerOrder>> {
        self.database.read(|connection| orders::by_id(connection, id))
    }

    async fn orders_of(&self, account: AccountId, behind: Option<OrderCursor>, limit: u32) -> Stored<Vec<ListedOrder>> {
        self.database.read(|connection| orders::of_account(connection, account, behind, limit))
    }

    async fn ended_orders(&self, before: Option<Timestamp>, limit: u32) -> Stored<Vec<LedgerOrder>> {
        self.database.scan(move |connection| orders::ended(connection, before, limit)).await
    }

    async fn ended_by_our_fault(&self, behind: Option<(Timestamp, OrderId)>, limit: u32) -> Stored<Vec<LedgerOrder>> {
        self.database.scan(move |connection| orders::ended_by_our_fault(connection, behind, limit)).await
    }

    async fn record_rechecks(&self, order: OrderId, checks: Vec<CaaRecord>) -> Stored<()> {
        let written = checks.iter().map(|check| document("rechecks.document", check)).collect::<Step<Vec<_>>>()?;
        self.write(move |batch| orders::record_rechecks(batch, order, &written)).await
    }

    async fn rechecks(&self, order: OrderId) -> Stored<Vec<CaaRecord>> {
        self.database.read(|connection| orders::rechecks(connection, order))
    }

    async fn begin(&self, begin: Begin<'_>) -> Stored<Result<IssuanceNumber, BeginRefused>> {
        let beginning = Beginning::of(&begin)?;
        self.write(move |batch| beginning.write(batch)).await
    }

    async fn mark_good(&self, serial: Serial, at: Timestamp) -> Stored<Option<MarkedGood>> {
        self.write(move |batch| issuance::mark_good(batch, serial, at)).await
    }

    async fn store_final(&self, serial: Serial, certificate: &[u8], at: Timestamp) -> Stored<Option<StoredFinal>> {
        let certificate = certificate.to_vec();
        let now = self.clock.now();
        self.write(move |batch| issuance::store_final(batch, serial, &certificate, Times { at, now })).await
    }

    async fn finish(&self, order: &Order, failure: Death, at: Timestamp) -> Stored<LedgerEnd> {
        let written = packed("order_documents.packed", order)?;
        let order = order.clone();
        self.write(move |batch| orders::finish(batch, &order, &written, &failure, at)).await
    }

    async fn issuance_failed(&self, serial: Serial, failure: &str) -> Stored<()> {
        let failure = failure.to_owned();
        let write = move |batch: &Batch<'_>| issuance::failed(batch, serial, &failure);
        self.database.writer().write(Durability::Ordered, write).await
    }

    async fn open_orders(&self, after: Option<OrderId>, limit: u32) -> Stored<Vec<OrderId>> {
        self.database.read(|connection| orders::open(connection, after, limit))
    }

    async fn serial(&self, serial: Serial) -> Stored<Option<SerialRecord>> {
        self.database.read(|connection| serials::by_serial(connection, serial))
    }

    async fn status(&self, serial: Serial) -> Stored<Option<StatusRecord>> {
        self.database.read(|connection| responders::status(connection, serial))
    }

    async fn serials(&self, filter: SerialFilter, limit: u32) -> Stored<Vec<SerialRecord>> {
        self.database.scan(move |connection| serials::list(connection, &filter, limit)).await
    }

    async fn last_serial(&self) -> Stored<Option<Serial>> {
        self.database.read(serials::last)
    }

    async fn names_below(&self, domain: &DnsName, after: Option<GeneralName>, limit: u32) -> Stored<Vec<GeneralName>> {
        let domain = domain.clone();
        self.database.scan(move |connection| serials::names_below(connection, &domain, after.as_ref(), limit)).await
    }

    async fn signing_record(&self, serial: Serial) -> Stored<Option<SigningRecord>> {
        let moment = self.accounts.moment();
        self.database.read(|connection| {
            snapshot(connection, |connection| {
                serials::signing_record(connection, serial, |id| {
                    self.accounts.account(id, moment, || accounts::by_id(connection, id))
                })
            })
        })
    }

    async fn revoke(&self, revocation: Revocation) -> Stored<Revoked> {
        let now = self.clock.now();
        self.write(move |batch| revocation::revoke(batch, &revocation, now)).await
    }

    async fn upgrade_to_key_compromise(&self, serial: Serial, by: &str) -> Stored<bool> {
        let (by, now) = (by.to_owned(), self.clock.now());
        self.write(move |batch| revocation::upgrade(batch, serial, &by, now)).await
    }

    async fn block(&self, block: KeyBlock) -> Stored<Blocked> {
        let (now, accounts) = (self.clock.now(), Arc::clone(&self.accounts));
        let after = move |blocked: &Blocked| blocked.account.into_iter().for_each(|id| accounts.forget(id));
        let block = move |batch: &Batch<'_>| blocked_keys::block(batch, &block, now);
        self.database.writer().submit(Durability::Synced, block, after).await
    }

    async fn is_blocked(&self, spki_hash: Sha256) -> Stored<bool> {
        self.database.read(|connection| blocked_keys::is_blocked(connection, spki_hash))
    }

    async fn blocked_key(&self, spki_hash: Sha256) -> Stored<Option<BlockedKey>> {
        self.database.read(|connection| blocked_keys::by_hash(connection, spki_hash))
    }

    async fn blocked_keys(&self, after: Option<Sha256>, unsettled: bool, limit: u32) -> Stored<Vec<BlockedKey>> {
        self.database.scan(move |connection| blocked_keys::page(connection, after, unsettled, limit)).await
    }

    async fn unrevoked_of_key(&self, spki_hash: Sha256, after: Option<Serial>, limit: u32) -> Stored<Vec<Serial>> {
        self.database.scan(move |connection| blocked_keys::unrevoked(connection, spki_hash, after, limit)).await
    }

    async fn settle_block(&self, spki_hash: Sha256, at: Timestamp) -> Stored<BlockSettled> {
        let accounts = Arc::clone(&self.accounts);
        let after = move |settled: &BlockSettled| settled.account.into_iter().for_each(|id| accounts.forget(id));
        let settle = move |batch: &Batch<'_>| blocked_keys::settle(batch, spki_hash, at);
        self.database.writer().submit(Durability::Synced, settle, after).await
    }

    async fn stop(&self, stop: StopRecord) -> Stored<bool> {
        self.write_stops(move |batch| stops::add(batch, &stop)).await
    }

    async fn resume(&self, number: u64, at: Timestamp) -> Stored<Option<StopRecord>> {
        self.write_stops(move |batch| stops::resume(batch, number, at)).await
    }

    async fn stops_of(&self, number: u64, since: Option<Timestamp>) -> Stored<Vec<StopRecord>> {
        self.database.read(|connection| stops::of(connection, number, since))
    }

    async fn standing_stops(&self) -> Stored<Arc<[StopRecord]>> {
        self.database.read(|connection| self.stops.stops(|| stops::list(connection, true, u32::MAX)))
    }

    async fn stops(&self, open: bool, limit: u32) -> Stored<Vec<StopRecord>> {
        self.database.read(|connection| stops::list(connection, open, limit))
    }

    async fn crl_generations(&self) -> Stored<Vec<CrlGenerationRecord>> {
        self.database.read(generations::all)
    }

    async fn add_crl_generation(&self, generation: CrlGeneration) -> Stored<CrlGeneration> {
        self.write(move |batch| generations::add(batch, &generation)).await
    }

    async fn end_crl_generation(
        &self,
        id: CrlGenerationId,
        last_not_after: Option<Timestamp>,
        at: Timestamp,
    ) -> Stored<bool> {
        self.write(move |batch| generations::end(batch, id, last_not_after, at)).await
    }

    async fn crl_state(&self, issuer: Sha256, shard: CrlShard) -> Stored<CrlState> {
        let state = move |connection: &rusqlite::Connection| crls::crl_state(connection, issuer, shard);
        self.database.scan(move |connection| snapshot(connection, state)).await
    }

    async fn last_crl(&self, issuer: Sha256, shard: u16) -> Stored<Option<CrlRecord>> {
        self.database.read(|connection| crls::last_crl(connection, issuer, shard))
    }

    async fn allocate_crl_number(
        &self,
        issuer: Sha256,
        shard: u16,
        number: u64,
        this_update: Timestamp,
    ) -> Stored<bool> {
        self.write(move |batch| crls::allocate_crl_number(batch, (issuer, shard, number), this_update)).await
    }

    async fn put_crl_part(&self, part: CrlPart, octets: Vec<u8>) -> Stored<bool> {
        let put = move |batch: &Batch<'_>| crls::put_crl_part(batch, &part, &octets);
        self.database.writer().write(Durability::Ordered, put).await
    }

    async fn crl_part(&self, part: CrlPart, octets: Range<u64>) -> Stored<Option<Vec<u8>>> {
        self.database.read_large(move |connection| crls::crl_part(connection, &part, &octets)).await
    }

    async fn store_crl(&self, crl: CrlRecord) -> Stored<bool> {
        let now = self.clock.now();
        self.write(move |batch| crls::store_crl(batch, &crl, now)).await
    }

    async fn crl_leftovers(&self, issuer: Sha256, shard: u16, limit: u32) -> Stored<Vec<CrlLeftover>> {
        self.database.scan(move |connection| crls::leftovers(connection, issuer, shard, limit)).await
    }

    async fn drop_crl_parts(&self, issuer: Sha256, shard: u16, number: u64, limit: u32) -> Stored<u32> {
        let drop = move |batch: &Batch<'_>| crls::drop_parts(batch, (issuer, shard, number), limit);
        self.database.writer().write(Durability::Ordered, drop).await
    }

    async fn revoked(
        &self,
        issuer: Sha256,
        shard: CrlShard,
        not_after_min: Timestamp,
        after: Option<Serial>,
        limit: u32,
    ) -> Stored<Vec<CrlEntry>> {
        let page = RevokedPage { issuer, shard, not_after_min, after, limit };
        self.database.scan(move |connection| revocation::revoked(connection, &page)).await
    }

    async fn store_authority(&self, id: Sha256, der: &[u8]) -> Stored<()> {
        let der = der.to_vec();
        self.write(move |batch| add_authority(batch, id, &der).map(drop)).await
    }

    async fn has_authority(&self, id: Sha256) -> Stored<bool> {
        self.database.read(|connection| {
            Ok(connection
                .prepare_cached("-- ledger.has_authority\nSELECT 1 FROM authorities WHERE id = ?1")?
                .exists([Col(id)])?)
        })
    }

    async fn authorities(&self) -> Stored<Vec<Vec<u8>>> {
        self.database.read(|connection| {
            let mut statement = connection.prepare_cached("-- ledger.authorities\nSELECT der FROM authorities")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    async fn add_responder(&self, responder: ResponderRecord) -> Stored<bool> {
        self.write(move |batch| responders::add(batch, &responder)).await
    }

    async fn store_responder(&self, serial: Serial, certificate: &[u8]) -> Stored<bool> {
        let certificate = certificate.to_vec();
        self.write(move |batch| responders::store(batch, serial, &certificate)).await
    }

    async fn responder(&self, serial: Serial) -> Stored<Option<ResponderRecord>> {
        self.database.read(|connection| responders::by_serial(connection, serial))
    }

    async fn responders(&self, issuer: Sha256, spki_hash: Sha256, limit: u32) -> Stored<Vec<ResponderRecord>> {
        self.database.scan(move |connection| responders::list(connection, issuer, spki_hash, limit)).await
    }

    async fn audit_mark(&self, instance: InstanceId) -> Stored<Option<AuditMark>> {
        self.database.read(|connection| {
            Ok(connection
                .prepare_cached("-- ledger.audit_mark\nSELECT sequence, chain FROM audit_marks WHERE instance = ?1")?
                .query_row([Col(instance)], |row| Ok(AuditMark { sequence: col(row, 0)?, chain: col(row, 1)? }))
                .optional()?)
        })
    }

    async fn set_audit_mark(&self, instance: InstanceId, mark: AuditMark) -> Stored<()> {
        let write = move |batch: &Batch<'_>| write_audit_mark(batch, instance, mark);
        self.database.writer().write(Durability::Ordered, write).await
    }

    async fn delivered(&self, order: OrderId, at: Timestamp) -> Stored<()> {
        self.mark(order, Mark::Delivered, at).await
    }

    async fn acknowledged(&self, order: OrderId, at: Timestamp) -> Stored<()> {
        self.mark(order, Mark::Acknowledged, at).await
    }

    async fn replacement(&self, serial: Serial) -> Stored<Option<OrderId>> {
        self.database.read(|connection| renewal::replacement(connection, serial))
    }

    async fn replace(&self, serial: Serial, standing: Option<OrderId>, order: OrderId) -> Stored<Option<OrderId>> {
        self.write(move |batch| renewal::replace(batch, serial, standing, order)).await
    }

    async fn add_renewal_rule(
        &self,
        scope: RenewalScope,
        advice: RenewalAdvice,
        made: Timestamp,
        sets_max: u32,
    ) -> Stored<Option<RenewalRule>> {
        self.write(move |batch| renewal::add_rule(batch, &scope, &advice, made, sets_max)).await
    }

    async fn withdraw_renewal_rule(&self, number: u64, at: Timestamp) -> Stored<bool> {
        self.write(move |batch| renewal::withdraw_rule(batch, number, at)).await
    }

    async fn renewal_rules_for(&self, serial: Serial) -> Stored<Vec<RenewalRule>> {
        self.database.read(|connection| renewal::rules_for(connection, serial))
    }

    async fn renewal_rules(&self, limit: u32) -> Stored<Vec<RenewalRule>> {
        self.database.scan(move |connection| renewal::rules(connection, limit)).await
    }

    async fn count_renewals(&self, scope: RenewalScope, now: Timestamp) -> Stored<u64> {
        self.database.scan(move |connection| renewal::count(connection, &scope, now)).await
    }

    async fn begin_recovery(&self, recovery: RecoveryRecord) -> Stored<RecoveryRecord> {
        self.write(move |batch| restore::begin(batch, &recovery)).await
    }

    async fn restore(&self, page: Restore) -> Stored<Option<LineCounts>> {
        let (accounts, stops) = (Arc::clone(&self.accounts), Arc::clone(&self.stops));
        let restore = move |batch: &Batch<'_>| restore::restore(batch, &page);
        // A block of a key ends an account.
        let after = move |_: &Option<LineCounts>| {
            accounts.forget_all();
            stops.forget();
        };
        self.database.writer().submit(Durability::Synced, restore, after).await
    }

    async fn unsettled(&self, limit: u32) -> Stored<Vec<SerialRecord>> {
        self.database.scan(move |connection| serials::unsettled(connection, limit)).await
    }

    async fn settle_restored(&self, serial: Serial, given_up: Option<Death>, at: Timestamp) -> Stored<Option<Settled>> {
        self.write(move |batch| restore::settle(batch, serial, given_up.as_ref(), at)).await
    }

    async fn end_recovery(&self, number: u64, at: Timestamp) -> Stored<bool> {
        self.write(move |batch| restore::end(batch, number, at)).await
    }

    async fn abandon_recovery(&self, number: u64) -> Stored<bool> {
        self.write(move |batch| restore::abandon(batch, number)).await
    }

    async fn recoveries(&self) -> Stored<Vec<RecoveryRecord>> {
        self.database.read(restore::recoveries)
    }

    async fn counts(&self) -> Stored<LedgerCounts> {
        self.database.read(|connection| Ok(tally::read(connection)?))
    }

    async fn newest(&self) -> Stored<Newest> {
        match self.database.writer().newest() {
            Some(known) => Ok(known.newest()),
            None => self.database.read(tally::newest),
        }
    }

    async fn accept_time(&self, at: Timestamp) -> Stored<()> {
        let known = self.database.writer().newest().cloned();
        let after = move |(): &()| {
            if let Some(known) = known {
                known.accepted(at);
            }
        };
        self.database.writer().submit(Durability::Synced, move |batch| tally::accept(batch, at), after).await
    }
}

/// Whether it was not there before.
fn add_authority(batch: &Batch<'_>, id: Sha256, der: &[u8]) -> Step<bool> {
    let added = batch
        .prepare_cached(
            "-- ledger.store_authority\nINSERT INTO authorities (id, der) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute(params![Col(id), der])?;
    Ok(added == 1)
}

fn write_audit_mark(batch: &Batch<'_>, instance: InstanceId, mark: AuditMark) -> Step<()> {
    batch
        .prepare_cached(
            "-- ledger.set_audit_mark
            INSERT INTO audit_marks (instance, sequence, chain) VALUES (?1, ?2, ?3)
            ON CONFLICT (instance) DO UPDATE SET sequence = excluded.sequence, chain = excluded.chain
            WHERE excluded.sequence > audit_marks.sequence",
        )?
        .execute(params![Col(instance), Col(mark.sequence), Col(mark.chain)])?;
    Ok(())
}
