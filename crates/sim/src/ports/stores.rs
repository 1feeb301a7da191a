//! The calls of the stores' ports.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
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
use pki::{CrlEntry, GeneralName, LogId, Serial, Sha256, Timestamp};

use super::faults::{Fate, Faults};

/// A call of a port.
#[allow(missing_docs, reason = "each has the name of its method")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    // The ledger.
    CreateAccount,
    CreateBoundAccount,
    AddExternalAccountKey,
    ExternalAccountKey,
    ExternalAccountKeys,
    RevokeExternalAccountKey,
    Account,
    AccountByKey,
    Accounts,
    UpdateContact,
    AgreeToTerms,
    FirstTermsVersion,
    ChangeKey,
    DeactivateAccount,
    Authorize,
    DeactivateAuthorization,
    Authorizations,
    AuthorizedFor,
    GoodAuthorizations,
    LedgerOrder,
    LedgerOrdersOf,
    EndedOrders,
    RecordRechecks,
    Rechecks,
    Begin,
    MarkGood,
    StoreFinal,
    Finish,
    EndedByOurFault,
    IssuanceFailed,
    OpenOrders,
    Serial,
    Status,
    Serials,
    LastSerial,
    NamesBelow,
    SigningRecord,
    Revoke,
    UpgradeToKeyCompromise,
    Block,
    IsBlocked,
    BlockedKey,
    BlockedKeys,
    UnrevokedOfKey,
    SettleBlock,
    Stop,
    Resume,
    StopsOf,
    StandingStops,
    Stops,
    CrlGenerations,
    AddCrlGeneration,
    EndCrlGeneration,
    CrlState,
    LastCrl,
    AllocateCrlNumber,
    PutCrlPart,
    CrlPart,
    StoreCrl,
    CrlLeftovers,
    DropCrlParts,
    ListRevoked,
    StoreAuthority,
    HasAuthority,
    Authorities,
    AddResponder,
    StoreResponder,
    Responder,
    Responders,
    AuditMark,
    SetAuditMark,
    LedgerDelivered,
    LedgerAcknowledged,
    Replacement,
    Replace,
    AddRenewalRule,
    WithdrawRenewalRule,
    RenewalRulesFor,
    RenewalRules,
    CountRenewals,
    BeginRecovery,
    Restore,
    Unsettled,
    SettleRestored,
    AbandonRecovery,
    EndRecovery,
    Recoveries,
    LedgerCounts,
    Newest,
    AcceptTime,
    // The workbench.
    Create,
    Answer,
    Finalize,
    Claim,
    ClaimTest,
    Advance,
    Park,
    Settle,
    Sweep,
    FreeLeases,
    Read,
    Absent,
    Unreadable,
    Oldest,
    Alike,
    Delivered,
    Acknowledge,
    List,
    OrdersOf,
    Counts,
    IssueNonce,
    UseNonce,
    // The store of the built-in logs.
    AddLeaf,
    Size,
    Leaves,
    IndexOf,
    Nodes,
    StoreTreeHead,
    TreeHead,
    // The audit log.
    Reserve,
    AppendPrecertificate,
    AppendCertificate,
    AppendOther,
    Lines,
    // The signers.
    SignPrecertificate,
    SignCertificate,
    SignCrl,
    SignOcspAnswer,
    SignOcspResponder,
    SignLinting,
    SignLog,
    // Beside validation.
    Validate,
    CheckCaa,
    // CT.
    Readiness,
    Submit,
    AddPreChain,
    Probe,
}

impl Call {
    /// Where it asks the world outside, for tallies.
    pub const fn outside(self) -> Option<&'static str> {
        if matches!(self, Self::Validate | Self::CheckCaa) {
            return Some("(at validation)");
        }
        let is_ct = matches!(self, Self::Readiness | Self::Submit | Self::AddPreChain | Self::Probe);
        if is_ct { Some("(at CT)") } else { None }
    }

    /// Whether it can end so. Whoever appends a line to the audit log knows whether it is written, unless the process
    /// dies; and for those of an issuance there is room that was reserved, and a sync that fails ends the process.
    pub const fn can_end(self, fate: Fate) -> bool {
        match fate {
            Fate::NotDone | Fate::Full => !matches!(self, Self::AppendPrecertificate | Self::AppendCertificate),
            Fate::Unknown => !matches!(self, Self::AppendPrecertificate | Self::AppendCertificate | Self::AppendOther),
            Fate::Done | Fate::DiesBefore | Fate::DiesAfter | Fate::StopsBefore(_) | Fate::StopsAfter(_) => true,
        }
    }
}

store_port! {
    Ledger, layer LedgerLayer, layered LayeredLedger, faulty FaultyLedger {
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
        RecordRechecks: record_rechecks(order: OrderId, checks: Vec<CaaRecord>) -> ();
        Rechecks: rechecks(order: OrderId) -> Vec<CaaRecord>;
        Begin: begin(begin: Begin<'_>) -> Result<IssuanceNumber, BeginRefused>;
        MarkGood: mark_good(serial: Serial, at: Timestamp) -> Option<MarkedGood>;
        StoreFinal: store_final(serial: Serial, certificate: &[u8], at: Timestamp) -> Option<StoredFinal>;
        Finish: finish(order: &Order, failure: Failure, at: Timestamp) -> LedgerEnd;
        EndedByOurFault:
            ended_by_our_fault(behind: Option<(Timestamp, OrderId)>, limit: u32) -> Vec<LedgerOrder>;
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
    sync {}
}

store_port! {
    Workbench, layer WorkbenchLayer, layered LayeredWorkbench, faulty FaultyWorkbench {
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
        ClaimTest: claim_test(terms: LeaseTerms, but: &[AccountId]) -> Option<Claimed>;
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
        Oldest: oldest(stage: Stage, limit: u32) -> Vec<ActiveOrder>;
        Alike: alike(likeness: Sha256) -> Option<OrderId>;
        Delivered: delivered(order: OrderId, at: Timestamp) -> ();
        Acknowledge: acknowledge(order: OrderId, at: Timestamp) -> bool;
        List: list(filter: OrderFilter, limit: u32) -> Vec<ActiveOrder>;
        OrdersOf: orders_of(account: AccountId, behind: Option<OrderCursor>, limit: u32) -> Vec<Order>;
        Counts: counts() -> Vec<(Stage, StageCount)>;
        IssueNonce: issue_nonce() -> String;
        UseNonce: use_nonce(nonce: &str) -> NonceUse;
    }
    sync {
        fn changed(order: OrderId) -> BoxFuture<'static, ()>;
        fn queued(stage: Stage) -> BoxFuture<'static, ()>;
    }
}

store_port! {
    LogStore, layer LogStoreLayer, layered LayeredLogStore, faulty FaultyLogStore {
        AddLeaf: add_leaf(log: LogId, leaf: NewLeaf) -> (u64, Timestamp);
        Size: size(log: LogId) -> u64;
        Leaves: leaves(log: LogId, first: u64, limit: u32) -> Vec<Leaf>;
        IndexOf: index_of(log: LogId, leaf_hash: Sha256) -> Option<u64>;
        Nodes: nodes(log: LogId, nodes: &[(u8, u64)]) -> Vec<Sha256>;
        StoreTreeHead: store_tree_head(log: LogId, head: TreeHead, nodes: Vec<(u8, u64, Sha256)>) -> bool;
        TreeHead: tree_head(log: LogId) -> Option<TreeHead>;
    }
    sync {}
}
