//! Ports with points: each call goes on to the port behind, unless a case planned otherwise.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use acme::{DnsName, Identifier, Thumbprint};
use async_trait::async_trait;
use ca::account::Account;
use ca::authorization::{CaaRecord, EndedAuthorization, Method};
use ca::external_account::ExternalAccountKey;
use ca::order::{Failure, Finalize, MoveRefused, Order, Outcome, Stage};
use ca::ports::*;
use ca::{AccountId, AuthorizationId, ExternalKeyId, InstanceId, OrderCursor, OrderId};
use futures_util::future::BoxFuture;
use pki::{CrlEntry, GeneralName, LogId, Sct, Serial, Sha256, Timestamp};

use super::points::{Call, Points};

macro_rules! with_points {
    ($port:ident for $wrapper:ident {
        $( $call:ident: $method:ident($($name:ident: $kind:ty),* $(,)?) -> $answer:ty; )*
    } $($rest:tt)*) => {
        /// The port with its points.
        #[derive(Debug)]
        pub(crate) struct $wrapper {
            pub(crate) inner: Arc<dyn $port>,
            pub(crate) points: Arc<Points>,
        }

        #[async_trait]
        impl $port for $wrapper {
            $(
                async fn $method(&self, $($name: $kind),*) -> Stored<$answer> {
                    self.points.around(Call::$call, self.inner.$method($($name),*)).await
                }
            )*
            $($rest)*
        }
    };
}

with_points! {
    Ledger for PointedLedger {
        CreateAccount: create_account(account: NewAccountRecord) -> (Account, bool);
        CreateBoundAccount: create_bound_account(account: NewAccountRecord, kid: &ExternalKeyId)
            -> Result<(Account, bool), NotBound>;
        AddExternalAccountKey: add_external_account_key(key: ExternalAccountKey) -> bool;
        ExternalAccountKey: external_account_key(kid: &ExternalKeyId) -> Option<ExternalAccountKey>;
        ExternalAccountKeys:
            external_account_keys(after: Option<ExternalKeyId>, limit: u32) -> Vec<ExternalAccountKey>;
        RevokeExternalAccountKey:
            revoke_external_account_key(kid: &ExternalKeyId, at: Timestamp) -> Option<ExternalAccountKey>;
        Account: account(id: AccountId) -> Option<Account>;
        AccountByKey: account_by_key(thumbprint: Thumbprint) -> Option<Account>;
        Accounts: accounts(after: Option<AccountId>, limit: u32) -> Vec<Account>;
        UpdateContact: update_contact(id: AccountId, contact: Vec<String>) -> Option<Account>;
        AgreeToTerms: agree_to_terms(id: AccountId, version: Option<String>) -> Option<Account>;
        FirstTermsVersion: first_terms_version(version: &str, at: Timestamp) -> String;
        ChangeKey: change_key(change: KeyChangeRecord) -> Result<Account, KeyNotChanged>;
        DeactivateAccount: deactivate_account(id: AccountId) -> Option<Account>;
        Authorize: authorize(ended: EndedAuthorization) -> EndedAuthorization;
        DeactivateAuthorization:
            deactivate_authorization(id: AuthorizationId, at: Timestamp) -> Option<EndedAuthorization>;
        Authorizations: authorizations(ids: &[AuthorizationId]) -> Vec<EndedAuthorization>;
        AuthorizedFor: authorized_for(account: AccountId, names: &BTreeSet<GeneralName>, now: Timestamp) -> bool;
        GoodAuthorizations: good_authorizations(
            account: AccountId,
            identifiers: &[Identifier],
            until: Timestamp,
            ended_since: Timestamp,
        ) -> Vec<EndedAuthorization>;
        LedgerOrder: order(id: OrderId) -> Option<LedgerOrder>;
        LedgerOrdersOf:
            orders_of(account: AccountId, behind: Option<OrderCursor>, limit: u32) -> Vec<ListedOrder>;
        EndedOrders: ended_orders(before: Option<Timestamp>, limit: u32) -> Vec<LedgerOrder>;
        EndedByOurFault:
            ended_by_our_fault(behind: Option<(Timestamp, OrderId)>, limit: u32) -> Vec<LedgerOrder>;
        RecordRechecks: record_rechecks(order: OrderId, checks: Vec<CaaRecord>) -> ();
        Rechecks: rechecks(order: OrderId) -> Vec<CaaRecord>;
        Begin: begin(begin: Begin<'_>) -> Result<IssuanceNumber, BeginRefused>;
        MarkGood: mark_good(serial: Serial, at: Timestamp) -> Option<MarkedGood>;
        StoreFinal: store_final(serial: Serial, certificate: &[u8], at: Timestamp) -> Option<StoredFinal>;
        Finish: finish(order: &Order, failure: Failure, at: Timestamp) -> LedgerEnd;
        IssuanceFailed: issuance_failed(serial: Serial, failure: &str) -> ();
        OpenOrders: open_orders(after: Option<OrderId>, limit: u32) -> Vec<OrderId>;
        Serial: serial(serial: Serial) -> Option<SerialRecord>;
        Status: status(serial: Serial) -> Option<StatusRecord>;
        Serials: serials(filter: SerialFilter, limit: u32) -> Vec<SerialRecord>;
        LastSerial: last_serial() -> Option<Serial>;
        NamesBelow: names_below(domain: &DnsName, after: Option<GeneralName>, limit: u32) -> Vec<GeneralName>;
        SigningRecord: signing_record(serial: Serial) -> Option<SigningRecord>;
        Revoke: revoke(revocation: Revocation) -> Revoked;
        UpgradeToKeyCompromise: upgrade_to_key_compromise(serial: Serial, by: &str) -> bool;
        Block: block(block: KeyBlock) -> Blocked;
        IsBlocked: is_blocked(spki_hash: Sha256) -> bool;
        BlockedKey: blocked_key(spki_hash: Sha256) -> Option<BlockedKey>;
        BlockedKeys: blocked_keys(after: Option<Sha256>, unsettled: bool, limit: u32) -> Vec<BlockedKey>;
        UnrevokedOfKey: unrevoked_of_key(spki_hash: Sha256, after: Option<Serial>, limit: u32) -> Vec<Serial>;
        SettleBlock: settle_block(spki_hash: Sha256, at: Timestamp) -> BlockSettled;
        Stop: stop(stop: StopRecord) -> bool;
        Resume: resume(number: u64, at: Timestamp) -> Option<StopRecord>;
        StopsOf: stops_of(number: u64, since: Option<Timestamp>) -> Vec<StopRecord>;
        StandingStops: standing_stops() -> Arc<[StopRecord]>;
        Stops: stops(open: bool, limit: u32) -> Vec<StopRecord>;
        CrlGenerations: crl_generations() -> Vec<CrlGenerationRecord>;
        AddCrlGeneration: add_crl_generation(generation: CrlGeneration) -> CrlGeneration;
        EndCrlGeneration:
            end_crl_generation(id: CrlGenerationId, last_not_after: Option<Timestamp>, at: Timestamp) -> bool;
        CrlState: crl_state(issuer: Sha256, shard: CrlShard) -> CrlState;
        LastCrl: last_crl(issuer: Sha256, shard: u16) -> Option<CrlRecord>;
        AllocateCrlNumber:
            allocate_crl_number(issuer: Sha256, shard: u16, number: u64, this_update: Timestamp) -> bool;
        PutCrlPart: put_crl_part(part: CrlPart, octets: Vec<u8>) -> bool;
        CrlPart: crl_part(part: CrlPart, octets: Range<u64>) -> Option<Vec<u8>>;
        StoreCrl: store_crl(crl: CrlRecord) -> bool;
        CrlLeftovers: crl_leftovers(issuer: Sha256, shard: u16, limit: u32) -> Vec<CrlLeftover>;
        DropCrlParts: drop_crl_parts(issuer: Sha256, shard: u16, number: u64, limit: u32) -> u32;
        ListRevoked: revoked(
            issuer: Sha256,
            shard: CrlShard,
            not_after_min: Timestamp,
            after: Option<Serial>,
            limit: u32,
        ) -> Vec<CrlEntry>;
        StoreAuthority: store_authority(id: Sha256, der: &[u8]) -> ();
        HasAuthority: has_authority(id: Sha256) -> bool;
        Authorities: authorities() -> Vec<Vec<u8>>;
        AddResponder: add_responder(responder: ResponderRecord) -> bool;
        StoreResponder: store_responder(serial: Serial, certificate: &[u8]) -> bool;
        Responder: responder(serial: Serial) -> Option<ResponderRecord>;
        Responders: responders(issuer: Sha256, spki_hash: Sha256, limit: u32) -> Vec<ResponderRecord>;
        AuditMark: audit_mark(instance: InstanceId) -> Option<AuditMark>;
        SetAuditMark: set_audit_mark(instance: InstanceId, mark: AuditMark) -> ();
        LedgerDelivered: delivered(order: OrderId, at: Timestamp) -> ();
        LedgerAcknowledged: acknowledged(order: OrderId, at: Timestamp) -> ();
        Replacement: replacement(serial: Serial) -> Option<OrderId>;
        Replace: replace(serial: Serial, standing: Option<OrderId>, order: OrderId) -> Option<OrderId>;
        AddRenewalRule: add_renewal_rule(
            scope: RenewalScope,
            advice: RenewalAdvice,
            made: Timestamp,
            sets_max: u32,
        ) -> Option<RenewalRule>;
        WithdrawRenewalRule: withdraw_renewal_rule(number: u64, at: Timestamp) -> bool;
        RenewalRulesFor: renewal_rules_for(serial: Serial) -> Vec<RenewalRule>;
        RenewalRules: renewal_rules(limit: u32) -> Vec<RenewalRule>;
        CountRenewals: count_renewals(scope: RenewalScope, now: Timestamp) -> u64;
        BeginRecovery: begin_recovery(recovery: RecoveryRecord) -> RecoveryRecord;
        Restore: restore(restore: Restore) -> Option<LineCounts>;
        Unsettled: unsettled(limit: u32) -> Vec<SerialRecord>;
        SettleRestored:
            settle_restored(serial: Serial, given_up: Option<Failure>, at: Timestamp) -> Option<Settled>;
        AbandonRecovery: abandon_recovery(number: u64) -> bool;
        EndRecovery: end_recovery(number: u64, at: Timestamp) -> bool;
        Recoveries: recoveries() -> Vec<RecoveryRecord>;
        LedgerCounts: counts() -> LedgerCounts;
        Newest: newest() -> Newest;
        AcceptTime: accept_time(at: Timestamp) -> ();
    }
}

with_points! {
    Workbench for PointedWorkbench {
        Create: create(order: Order, terms: LeaseTerms) -> Lease;
        Answer: answer(
            authorization: AuthorizationId,
            method: Method,
            ended: &[EndedAuthorization],
        ) -> Option<Result<Order, MoveRefused>>;
        Finalize: finalize(
            order: OrderId,
            finalize: Finalize,
            deadline: Timestamp,
            ended: &[EndedAuthorization],
        ) -> Option<Result<Order, MoveRefused>>;
        Claim: claim(stage: Stage, terms: LeaseTerms) -> Option<Claimed>;
        Claim: claim_test(terms: LeaseTerms, but: &[AccountId]) -> Option<Claimed>;
        Advance: advance(lease: &Lease, advance: Advance) -> Result<Order, Fenced>;
        Park: park(lease: &Lease, pause: Duration) -> Result<(), Fenced>;
        Settle: settle(
            order: OrderId,
            ended: &[EndedAuthorization],
            outcome: Option<(Outcome, Timestamp)>,
        ) -> Option<Order>;
        Sweep: sweep(after: Option<OrderId>, limit: u32, retention: Retention) -> SweepPage;
        FreeLeases: free_leases(holder: InstanceId) -> u64;
        Read: read(order: OrderId) -> Option<ActiveOrder>;
        Absent: absent(orders: &[OrderId]) -> Vec<OrderId>;
        Unreadable: unreadable(after: Option<OrderId>, limit: u32) -> Vec<UnreadableOrder>;
        Alike: alike(likeness: Sha256) -> Option<OrderId>;
        Delivered: delivered(order: OrderId, at: Timestamp) -> ();
        Acknowledge: acknowledge(order: OrderId, at: Timestamp) -> bool;
        List: list(filter: OrderFilter, limit: u32) -> Vec<ActiveOrder>;
        Oldest: oldest(stage: Stage, limit: u32) -> Vec<ActiveOrder>;
        OrdersOf: orders_of(account: AccountId, behind: Option<OrderCursor>, limit: u32) -> Vec<Order>;
        Counts: counts() -> Vec<(Stage, StageCount)>;
        IssueNonce: issue_nonce() -> String;
        UseNonce: use_nonce(nonce: &str) -> NonceUse;
    }

    fn changed(&self, order: OrderId) -> BoxFuture<'static, ()> {
        self.inner.changed(order)
    }

    fn queued(&self, stage: Stage) -> BoxFuture<'static, ()> {
        self.inner.queued(stage)
    }
}

/// The audit log with its points.
#[derive(Debug)]
pub(crate) struct PointedAuditLog {
    pub(crate) inner: Arc<dyn AuditLog>,
    pub(crate) points: Arc<Points>,
}

#[async_trait]
impl AuditLog for PointedAuditLog {
    async fn reserve(&self, octets: u64) -> Stored<Box<dyn Reservation>> {
        self.points.around_certain(Call::Reserve, self.inner.reserve(octets)).await
    }

    async fn append(&self, event: AuditEvent) -> Stored<u64> {
        let call = match &event {
            AuditEvent::Precertificate { .. } => Call::AppendPrecertificate,
            AuditEvent::Certificate { .. } => Call::AppendCertificate,
            AuditEvent::Begun { .. }
            | AuditEvent::Revocation { .. }
            | AuditEvent::KeyBlock { .. }
            | AuditEvent::IssuanceStopped { .. }
            | AuditEvent::IssuanceResumed { .. }
            | AuditEvent::CrlNumber { .. }
            | AuditEvent::Crl { .. }
            | AuditEvent::Authority { .. }
            | AuditEvent::OcspResponder { .. }
            | AuditEvent::Recovered { .. }
            | AuditEvent::Continued { .. }
            | AuditEvent::CheckpointKey { .. }
            | AuditEvent::Checkpoint { .. }
            | AuditEvent::ClockAccepted { .. } => Call::AppendOther,
        };
        // A sync that fails ends the process: a line is written, or it is not.
        self.points.around_certain(call, self.inner.append(event)).await
    }

    fn applied(&self, sequence: u64) {
        self.inner.applied(sequence);
    }

    fn mark(&self) -> AuditMark {
        self.inner.mark()
    }

    async fn lines(&self, from: AuditMark, limit: usize) -> Stored<(Vec<AuditLine>, AuditMark)> {
        self.points.around(Call::Lines, self.inner.lines(from, limit)).await
    }
}

/// The signer with its points.
#[derive(Debug)]
pub(crate) struct PointedSigner {
    pub(crate) inner: Arc<dyn Signer>,
    pub(crate) points: Arc<Points>,
}

#[async_trait]
impl Signer for PointedSigner {
    async fn sign(&self, request: SigningRequest) -> Result<Signed, SignError> {
        let call = match &request {
            SigningRequest::Precertificate { .. } => Call::SignPrecertificate,
            SigningRequest::Certificate { .. } => Call::SignCertificate,
            SigningRequest::Crl { .. } => Call::SignCrl,
            SigningRequest::OcspAnswer { .. } => Call::SignOcspAnswer,
            SigningRequest::OcspResponder { .. } => Call::SignOcspResponder,
        };
        self.points.around(call, self.inner.sign(request)).await
    }
}

/// The submitter with its points.
#[derive(Debug)]
pub(crate) struct PointedCt {
    pub(crate) inner: Arc<dyn CtSubmitter>,
    pub(crate) points: Arc<Points>,
}

#[async_trait]
impl CtSubmitter for PointedCt {
    async fn readiness(&self, policy: CtPolicy, not_after: Timestamp) -> CtReadiness {
        self.inner.readiness(policy, not_after).await
    }

    async fn submit(&self, submission: CtSubmission) -> Result<Vec<Sct>, CtError> {
        self.points.around(Call::Submit, self.inner.submit(submission)).await
    }
}

/// The store of the built-in logs, which can be away for a while.
#[derive(Debug)]
pub(crate) struct LogStoreWithOutages {
    pub(crate) inner: Arc<dyn LogStore>,
    pub(crate) away: Arc<AtomicBool>,
}

impl LogStoreWithOutages {
    fn there(&self) -> Stored<&dyn LogStore> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "planned: the log's store is away"));
        }
        Ok(&*self.inner)
    }
}

#[async_trait]
impl LogStore for LogStoreWithOutages {
    async fn add_leaf(&self, log: LogId, leaf: NewLeaf) -> Stored<(u64, Timestamp)> {
        self.there()?.add_leaf(log, leaf).await
    }

    async fn size(&self, log: LogId) -> Stored<u64> {
        self.there()?.size(log).await
    }

    async fn leaves(&self, log: LogId, first: u64, limit: u32) -> Stored<Vec<Leaf>> {
        self.there()?.leaves(log, first, limit).await
    }

    async fn index_of(&self, log: LogId, leaf_hash: Sha256) -> Stored<Option<u64>> {
        self.there()?.index_of(log, leaf_hash).await
    }

    async fn nodes(&self, log: LogId, nodes: &[(u8, u64)]) -> Stored<Vec<Sha256>> {
        self.there()?.nodes(log, nodes).await
    }

    async fn store_tree_head(&self, log: LogId, head: TreeHead, nodes: Vec<(u8, u64, Sha256)>) -> Stored<bool> {
        self.there()?.store_tree_head(log, head, nodes).await
    }

    async fn tree_head(&self, log: LogId) -> Stored<Option<TreeHead>> {
        self.there()?.tree_head(log).await
    }
}
