//! The ledger: what must never be lost. A write is durable when the call returns.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use acme::{DnsName, Identifier, Problem, Thumbprint};
use async_trait::async_trait;
use pki::{CrlEntry, GeneralName, Serial, Sha256, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    AuditMark, Begin, BeginRefused, BlockSettled, Blocked, BlockedKey, CrlGeneration, CrlGenerationId,
    CrlGenerationRecord, CrlLeftover, CrlPart, CrlRecord, CrlShard, CrlState, IssuanceNumber, KeyBlock,
    KeyChangeRecord, KeyNotChanged, LineCounts, NewAccountRecord, Newest, NotBound, RecoveryRecord, RenewalAdvice,
    RenewalRule, RenewalScope, ResponderRecord, Restore, Revocation, Revoked, SerialFilter, SerialRecord, SerialStatus,
    Settled, SigningRecord, StatusRecord, StopRecord, Stored,
};
use crate::account::Account;
use crate::authorization::{CaaRecord, EndedAuthorization};
use crate::external_account::ExternalAccountKey;
use crate::order::{Failure, Order};
use crate::{AccountId, AuthorizationId, ExternalKeyId, InstanceId, OrderCursor, OrderId};

/// What `mark_good` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkedGood {
    /// The status as it now is: `good`, or `revoked` if it was revoked meanwhile.
    pub status: SerialStatus,
    /// Whether the issuance is still the order's last, and the order has not ended.
    pub current: bool,
}

/// What `store_final` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredFinal {
    /// The order is `valid` with this certificate (also if it was already, by this very call made before).
    OrderValid,
    /// A newer issuance, or the end of the order, came first: the certificate is stored under its serial, attached to
    /// no order, and revoked (`superseded`, or what it was revoked for before).
    Detached,
}

/// How an order ended in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LedgerEnd {
    /// With this certificate.
    Valid(Serial),
    /// Without one.
    Invalid(Failure),
}

/// What the ledger knows of an order: one that has, or had, an issuance, or that ended in `Issue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerOrder {
    /// The order as it was when its first issuance began, or when it ended.
    pub order: Order,
    /// The number of its last issuance; `None` if it had none.
    pub last: Option<IssuanceNumber>,
    /// How it ended, and when.
    pub end: Option<(LedgerEnd, Timestamp)>,
    /// When its certificate was handed to a socket.
    pub delivered: Option<Timestamp>,
    /// When its client said, or proved, that it has the certificate.
    pub acknowledged: Option<Timestamp>,
}

/// An order in the list of its account's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOrder {
    /// Its place.
    pub at: OrderCursor,
    /// Whether it ended `valid`, or `invalid`; `None`: it has not ended.
    pub valid: Option<bool>,
}

/// How many records of a kind the ledger holds: for metrics and for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerCounts {
    /// Accounts.
    pub accounts: u64,
    /// Serials `wait`.
    pub wait: u64,
    /// Serials `good`.
    pub good: u64,
    /// Serials `revoked`.
    pub revoked: u64,
    /// Abandoned serials: neither current nor an order's certificate nor revoked.
    pub abandoned: u64,
    /// Orders that ended `valid`.
    pub valid: u64,
    /// Orders that ended `invalid` in `Issue`.
    pub invalid: u64,
    /// Those of them that ended so by our own fault ([`Failure::is_our_fault`]).
    #[serde(default)]
    pub our_fault: u64,
    /// Valid orders whose certificate was handed to a socket.
    pub delivered: u64,
    /// Valid orders whose client is known to have the certificate.
    pub acknowledged: u64,
}

/// Accounts, ended authorizations with their evidence, issuances, serials, certificates, revocations, finished orders.
///
/// *Durability*: every write is synced when it returns, but for `delivered` and `acknowledged` (committed in order,
/// never waited for) and `set_audit_mark`. *Order*: the ledger is written first and decides; the workbench follows.
/// *Errors*: on
/// `Unavailable` and `Full` nothing was written; on `Unknown` the caller reads back; `Fatal` ends the process. The
/// ledger knows no leases.
#[async_trait]
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Makes an account, unless one has this key: that one is answered, unchanged, with `false`. Of two simultaneous
    /// calls with one key, one makes it. With a key that is blocked it is made `revoked`.
    async fn create_account(&self, account: NewAccountRecord) -> Stored<(Account, bool)>;

    /// As [`Ledger::create_account`], and binds the account with this key, in one write: the use of the key counts if,
    /// and only if, the account is made. Compares that the key was not revoked, has not expired when the account is
    /// made, and has a use left. For an account that exists nothing is compared and no use counts.
    async fn create_bound_account(
        &self,
        account: NewAccountRecord,
        kid: &ExternalKeyId,
    ) -> Stored<Result<(Account, bool), NotBound>>;

    /// Keeps a key for external account binding. `false`: there is one with this identifier, which stays as it is.
    async fn add_external_account_key(&self, key: ExternalAccountKey) -> Stored<bool>;

    /// The key with this identifier.
    async fn external_account_key(&self, kid: &ExternalKeyId) -> Stored<Option<ExternalAccountKey>>;

    /// Keys in the order in which they were made, behind `after`, at most `limit`.
    async fn external_account_keys(&self, after: Option<ExternalKeyId>, limit: u32) -> Stored<Vec<ExternalAccountKey>>;

    /// Takes a key back; the first time counts. The key as it then is; `None`: there is none.
    async fn revoke_external_account_key(
        &self,
        kid: &ExternalKeyId,
        at: Timestamp,
    ) -> Stored<Option<ExternalAccountKey>>;

    /// The account of this name.
    async fn account(&self, id: AccountId) -> Stored<Option<Account>>;

    /// The account that has this key.
    async fn account_by_key(&self, thumbprint: Thumbprint) -> Stored<Option<Account>>;

    /// Accounts behind `after`, in the order of their ids, at most `limit`.
    async fn accounts(&self, after: Option<AccountId>, limit: u32) -> Stored<Vec<Account>>;

    /// Replaces the contacts of a valid account. `None`: there is no such valid account.
    async fn update_contact(&self, id: AccountId, contact: Vec<String>) -> Stored<Option<Account>>;

    /// Notes that a valid account agreed to this version of the terms, or to terms without one. `None`: there is no
    /// such valid account.
    async fn agree_to_terms(&self, id: AccountId, version: Option<String>) -> Stored<Option<Account>>;

    /// Keeps that this version of the terms was configured, once. The first version that ever was is answered.
    async fn first_terms_version(&self, version: &str, at: Timestamp) -> Stored<String>;

    /// Replaces the key of a valid account, and adds the request to its proofs with the time, which the ledger takes
    /// itself, behind all that was written before: one write. Compares the thumbprint of the present key, that no
    /// account has the new one, and that it is not blocked. From the moment that this returns, no read answers the old
    /// key.
    async fn change_key(&self, change: KeyChangeRecord) -> Stored<Result<Account, KeyNotChanged>>;

    /// `valid` → `deactivated` (RFC 8555 §7.3.6). It locks what `begin` locks: an issuance that begins later sees it.
    async fn deactivate_account(&self, id: AccountId) -> Stored<Option<Account>>;

    /// Ends an authorization, either way: one compared write, the first end wins. The one that stands is answered.
    async fn authorize(&self, ended: EndedAuthorization) -> Stored<EndedAuthorization>;

    /// `valid` → `deactivated` for an authorization that has ended (RFC 8555 §7.5.2), behind all that was
    /// written before: an issuance that came first had the authorization. What then stands; `None`: unknown.
    async fn deactivate_authorization(&self, id: AuthorizationId, at: Timestamp) -> Stored<Option<EndedAuthorization>>;

    /// Those of these authorizations that have ended, in no order.
    async fn authorizations(&self, ids: &[AuthorizationId]) -> Stored<Vec<EndedAuthorization>>;

    /// Whether the account holds good authorizations for all these identifiers at this time (RFC 8555 §7.6).
    async fn authorized_for(&self, account: AccountId, names: &BTreeSet<GeneralName>, now: Timestamp) -> Stored<bool>;

    /// For each of these identifiers the account's valid authorization that counts longest, of those that count until
    /// this time and ended at `ended_since` or later: an indexed look-up each.
    async fn good_authorizations(
        &self,
        account: AccountId,
        identifiers: &[Identifier],
        until: Timestamp,
        ended_since: Timestamp,
    ) -> Stored<Vec<EndedAuthorization>>;

    /// What the ledger knows of an order; `None` if it never heard of it.
    async fn order(&self, id: OrderId) -> Stored<Option<LedgerOrder>>;

    /// What the ledger knows of an account's orders behind `behind`, the newest first, at most `limit`.
    async fn orders_of(&self, account: AccountId, behind: Option<OrderCursor>, limit: u32) -> Stored<Vec<ListedOrder>>;

    /// Orders that ended, the latest first, at most `limit`, ended before `before` if given.
    async fn ended_orders(&self, before: Option<Timestamp>, limit: u32) -> Stored<Vec<LedgerOrder>>;

    /// Orders that ended `invalid` by our own fault ([`Failure::is_our_fault`]), the latest first, at most `limit`:
    /// behind the one that ended at this time and has this id. An indexed look-up, however many others ended.
    async fn ended_by_our_fault(&self, behind: Option<(Timestamp, OrderId)>, limit: u32) -> Stored<Vec<LedgerOrder>>;

    /// Step 2: keeps CAA checks that were made anew for an order.
    async fn record_rechecks(&self, order: OrderId, checks: Vec<CaaRecord>) -> Stored<()>;

    /// The CAA checks that were made anew for an order, in the order in which they were recorded.
    async fn rechecks(&self, order: OrderId) -> Stored<Vec<CaaRecord>>;

    /// Steps 3 to 5: begins an issuance. Refuses, in its own transaction, a taken serial, an ended order, a full cap, a
    /// blocked key, stopped issuance, an account or authorization that is no longer good. The number is the last plus
    /// 1.
    async fn begin(&self, begin: Begin<'_>) -> Stored<Result<IssuanceNumber, BeginRefused>>;

    /// Step 6: `good` over `wait`, whatever the number is (the signature exists); a revoked serial stays revoked.
    /// `None`: the serial was never allocated.
    async fn mark_good(&self, serial: Serial, at: Timestamp) -> Stored<Option<MarkedGood>>;

    /// Step 9: stores the final certificate and ends its order. If the issuance is the order's last, the order has not
    /// ended and the status is `good` (or, without CT, `wait`, which becomes `good`), the order is `valid`. In every
    /// other case the certificate is stored under its serial, attached to no order, and revoked as `superseded` (an
    /// earlier revocation stays as it is). Done again, it changes nothing. `None`: the serial was never allocated.
    async fn store_final(&self, serial: Serial, certificate: &[u8], at: Timestamp) -> Stored<Option<StoredFinal>>;

    /// Ends an order `invalid` that had reached `Issue`; the first end of an order wins. The one that stands is
    /// answered.
    async fn finish(&self, order: &Order, failure: Failure, at: Timestamp) -> Stored<LedgerEnd>;

    /// The issuance of this serial failed, and its worker lives to say so: it counts among those that an order may
    /// have. Compares that it is the order's last, that the order has not ended, and that none was noted before.
    /// Committed in order, never waited for.
    async fn issuance_failed(&self, serial: Serial, failure: &str) -> Stored<()>;

    /// Orders that have an issuance and have not ended, in the order of their ids, behind `after`, at most `limit`: an
    /// index knows them.
    async fn open_orders(&self, after: Option<OrderId>, limit: u32) -> Stored<Vec<OrderId>>;

    /// A serial with all that is known of it.
    async fn serial(&self, serial: Serial) -> Stored<Option<SerialRecord>>;

    /// The status of a serial: one indexed look-up, however many there are. A revocation that was acknowledged is seen.
    async fn status(&self, serial: Serial) -> Stored<Option<StatusRecord>>;

    /// Serials in the order of their allocation, at most `limit`. Those of an order, a key, a name or an account are
    /// found by an index, in pages that cost the same wherever they begin.
    async fn serials(&self, filter: SerialFilter, limit: u32) -> Stored<Vec<SerialRecord>>;

    /// The serial that was allocated last; `None`: none was.
    async fn last_serial(&self) -> Stored<Option<Serial>>;

    /// The DNS names of serials that are this domain or below it, wildcards too, behind `after`, at most `limit`: an
    /// index knows them. Their order is that of their labels from the last to the first, a dot behind each.
    async fn names_below(&self, domain: &DnsName, after: Option<GeneralName>, limit: u32) -> Stored<Vec<GeneralName>>;

    /// What a signer reads before it signs for this serial, in one snapshot.
    async fn signing_record(&self, serial: Serial) -> Stored<Option<SigningRecord>>;

    /// Revokes a serial, whatever its status is; the first revocation stands.
    async fn revoke(&self, revocation: Revocation) -> Stored<Revoked>;

    /// Changes the reason of a revocation to keyCompromise, once (RFC 8555 §7.6; BR 4.9). `false`: not revoked, or
    /// already.
    async fn upgrade_to_key_compromise(&self, serial: Serial, by: &str) -> Stored<bool>;

    /// Blocks a key for ever. In the same transaction every serial of that key in an open issuance is revoked
    /// (keyCompromise), and the valid account that has it is `revoked`; these are answered. Locks what `begin`,
    /// `create_account` and `change_key` lock. Its other serials are left to [`Ledger::unrevoked_of_key`].
    async fn block(&self, block: KeyBlock) -> Stored<Blocked>;

    /// Whether a key is blocked.
    async fn is_blocked(&self, spki_hash: Sha256) -> Stored<bool>;

    /// The block of a key.
    async fn blocked_key(&self, spki_hash: Sha256) -> Stored<Option<BlockedKey>>;

    /// Blocked keys in the order of their hashes, behind `after`, at most `limit`; with `unsettled` only those of which
    /// serials may have yet to be revoked: an index knows them.
    async fn blocked_keys(&self, after: Option<Sha256>, unsettled: bool, limit: u32) -> Stored<Vec<BlockedKey>>;

    /// Serials of this key that are `wait` or `good`, in the order of their allocation, behind `after`, at most
    /// `limit`: an indexed look-up of the key.
    async fn unrevoked_of_key(&self, spki_hash: Sha256, after: Option<Serial>, limit: u32) -> Stored<Vec<Serial>>;

    /// Notes that all serials of a blocked key are revoked; the first time counts. Compares that they are. `false`:
    /// one is not, or the key is not blocked. What [`Ledger::restore`] brings back of the key opens it again. In the
    /// same transaction a valid account that has the blocked key is `revoked`, as by [`Ledger::block`]: that of a block
    /// by an older version, or one whose key was not on record.
    async fn settle_block(&self, spki_hash: Sha256, at: Timestamp) -> Stored<BlockSettled>;

    /// Stops issuance. Locks what `begin` locks: an issuance that begins later is refused, and a signer that reads
    /// later sees it. One that is there under whatever number stays as it is. `false`: the number is another stop's,
    /// and nothing was written.
    async fn stop(&self, stop: StopRecord) -> Stored<bool>;

    /// Ends the stop of this number; the first time counts. The stop as it then is; `None`: there is none.
    async fn resume(&self, number: u64, at: Timestamp) -> Stored<Option<StopRecord>>;

    /// Stops with this number, or that began at this time, in the order of their numbers. An index knows them.
    async fn stops_of(&self, number: u64, since: Option<Timestamp>) -> Stored<Vec<StopRecord>>;

    /// All stops that stand, the newest first, as they are remembered: nothing is read for it but once.
    async fn standing_stops(&self) -> Stored<Arc<[StopRecord]>>;

    /// Stops, the newest first, at most `limit`; with `open` only those that stand: an index knows them, so that where
    /// there is none it is one look.
    async fn stops(&self, open: bool, limit: u32) -> Stored<Vec<StopRecord>>;

    /// The generations of CRL shards, in the order of their numbers.
    async fn crl_generations(&self) -> Stored<Vec<CrlGenerationRecord>>;

    /// Keeps a generation, if none has its first shard: the one that stands is answered. When the last of its
    /// certificates ends is read from those that the ledger has.
    async fn add_crl_generation(&self, generation: CrlGeneration) -> Stored<CrlGeneration>;

    /// Ends a generation whose CRLs were made once more after the last of its certificates ended. Compares that this
    /// is still when that was, and that it has not ended. A certificate of it that ends later takes that back.
    async fn end_crl_generation(
        &self,
        id: CrlGenerationId,
        last_not_after: Option<Timestamp>,
        at: Timestamp,
    ) -> Stored<bool>;

    /// The state of CRL numbering.
    async fn crl_state(&self, issuer: Sha256, shard: CrlShard) -> Stored<CrlState>;

    /// The last CRL of a shard, found by its name.
    async fn last_crl(&self, issuer: Sha256, shard: u16) -> Stored<Option<CrlRecord>>;

    /// Allocates this CRL number: compares that it is above the last. `false`: it isn't. Whatever revocation is written
    /// after this one was, is written with this time at the earliest ([`CrlState::last_revocation`]), also if a clock
    /// was set back meanwhile: so a CRL with this `thisUpdate`, whose entries are read behind it, shows all that is
    /// older than itself.
    async fn allocate_crl_number(
        &self,
        issuer: Sha256,
        shard: u16,
        number: u64,
        this_update: Timestamp,
    ) -> Stored<bool>;

    /// Keeps a part of the entries of a CRL that is being made, if its number is above that of the last stored.
    /// `false`: it isn't. Committed in order, never waited for: [`Ledger::store_crl`] comes behind it.
    async fn put_crl_part(&self, part: CrlPart, octets: Vec<u8>) -> Stored<bool>;

    /// These octets of a part of the entries of a CRL, fewer where the part is shorter: of one that is being made, of
    /// the last one, or of one that may still be on its way to somebody. `None`: the part is not there, or no more.
    async fn crl_part(&self, part: CrlPart, octets: Range<u64>) -> Stored<Option<Vec<u8>>>;

    /// Stores a CRL whose parts are there, if its number is above that of the last stored. `false`: it isn't. The parts
    /// of the one before it stay until they are dropped.
    async fn store_crl(&self, crl: CrlRecord) -> Stored<bool>;

    /// CRLs of a shard that have parts and are not its last one, by their numbers, at most `limit`.
    async fn crl_leftovers(&self, issuer: Sha256, shard: u16, limit: u32) -> Stored<Vec<CrlLeftover>>;

    /// Takes away at most `limit` parts of a CRL of this number, if that is not the last one stored: how many. Fewer
    /// than `limit`: that was all. Committed in order, never waited for.
    async fn drop_crl_parts(&self, issuer: Sha256, shard: u16, number: u64, limit: u32) -> Stored<u32>;

    /// Revoked serials of a shard whose validity ends at `not_after_min` or later, in the order of their serials,
    /// behind `after`, at most `limit`. A shard is a function of the serial and of the generation that it was allocated
    /// in ([`CrlShard::holds`]).
    async fn revoked(
        &self,
        issuer: Sha256,
        shard: CrlShard,
        not_after_min: Timestamp,
        after: Option<Serial>,
        limit: u32,
    ) -> Stored<Vec<CrlEntry>>;

    /// Keeps a certificate of this CA itself (a root or an intermediate), once. `id` is the SHA-256 of the certificate:
    /// cross-signs share their key.
    async fn store_authority(&self, id: Sha256, der: &[u8]) -> Stored<()>;

    /// Whether that certificate is kept.
    async fn has_authority(&self, id: Sha256) -> Stored<bool>;

    /// All that are kept, in no order.
    async fn authorities(&self) -> Stored<Vec<Vec<u8>>>;

    /// Keeps what is to become, or, restored from an audit log, became the certificate of an OCSP responder. `false`:
    /// the serial is taken, by another one or by a certificate for others, and nothing was written.
    async fn add_responder(&self, responder: ResponderRecord) -> Stored<bool>;

    /// Stores the certificate of an OCSP responder; the first one stays. `false`: its serial is not on record.
    async fn store_responder(&self, serial: Serial, certificate: &[u8]) -> Stored<bool>;

    /// The OCSP responder with this serial.
    async fn responder(&self, serial: Serial) -> Stored<Option<ResponderRecord>>;

    /// The OCSP responders of this issuer with this key that have their certificate, those added last first, at most
    /// `limit`. Tries that failed are not among them, however many there were.
    async fn responders(&self, issuer: Sha256, spki_hash: Sha256, limit: u32) -> Stored<Vec<ResponderRecord>>;

    /// How far the audit log of an instance was applied; `None`: it never was.
    async fn audit_mark(&self, instance: InstanceId) -> Stored<Option<AuditMark>>;

    /// Moves that mark on, never back: of two that were read one after the other, the first may come second.
    async fn set_audit_mark(&self, instance: InstanceId, mark: AuditMark) -> Stored<()>;

    /// The certificate of an order was handed to a socket; the first time counts.
    async fn delivered(&self, order: OrderId, at: Timestamp) -> Stored<()>;

    /// The client of an order has its certificate; the first time counts.
    async fn acknowledged(&self, order: OrderId, at: Timestamp) -> Stored<()>;

    /// The order that takes the place of this serial's certificate (RFC 9773 §5).
    async fn replacement(&self, serial: Serial) -> Stored<Option<OrderId>>;

    /// An order takes the place of a serial's certificate: compares that `standing` is the one that had it until now.
    /// The order that has it then; `None`: the serial was never allocated.
    async fn replace(&self, serial: Serial, standing: Option<OrderId>, order: OrderId) -> Stored<Option<OrderId>>;

    /// Makes a rule for renewals, with the next number. `None`: it is for a set, not for one serial, and `sets_max`
    /// such rules stand; they are counted in the same write.
    async fn add_renewal_rule(
        &self,
        scope: RenewalScope,
        advice: RenewalAdvice,
        made: Timestamp,
        sets_max: u32,
    ) -> Stored<Option<RenewalRule>>;

    /// Takes a rule back, once. `false`: there is none of this number, or it was taken back.
    async fn withdraw_renewal_rule(&self, number: u64, at: Timestamp) -> Stored<bool>;

    /// Rules that stand and are for more than one serial, or for this one; the newest first. What else a rule compares
    /// is not looked at.
    async fn renewal_rules_for(&self, serial: Serial) -> Stored<Vec<RenewalRule>>;

    /// All rules that stand, the newest first, at most `limit`.
    async fn renewal_rules(&self, limit: u32) -> Stored<Vec<RenewalRule>>;

    /// How many certificates of a scope there are whose issuance began before `now`, and that are neither over nor
    /// revoked then. For an operator: where the scope names no serial, account, key or name, it walks through all
    /// serials, which takes seconds for millions of them.
    async fn count_renewals(&self, scope: RenewalScope, now: Timestamp) -> Stored<u64>;

    /// Begins a recovery of a ledger that is older than an audit log, with the next number. One that has not ended is
    /// answered as it stands, and nothing is begun. While one has not ended, nothing may be signed.
    async fn begin_recovery(&self, recovery: RecoveryRecord) -> Stored<RecoveryRecord>;

    /// Gives a page of that log back, and moves its mark, in one transaction. Insert-only: what the ledger knows stays,
    /// and a status moves as it always does. Orders are left open until all pages are read: [`Ledger::unsettled`] has
    /// their serials. What was not known before, added to the record of the recovery; `None`: no recovery from this log
    /// has begun, and nothing was written.
    async fn restore(&self, restore: Restore) -> Stored<Option<LineCounts>>;

    /// Serials whose orders were left open by [`Ledger::restore`], at most `limit`.
    async fn unsettled(&self, limit: u32) -> Stored<Vec<SerialRecord>>;

    /// Settles such a serial, once all pages were read. If it has a certificate that was neither overtaken nor revoked
    /// before it came, no later one of its order has, and the order has not ended, the order is `valid`, and this its
    /// last issuance; only an issuance that the ledger began itself after it excludes that. In every other case the
    /// certificate is no order's, and revoked (`superseded`; an earlier revocation stays). If no serial of the order
    /// has such a certificate, the order ends with `given_up`, if that is given and it has not ended. A serial of a
    /// blocked key is revoked. Done again, it changes nothing. `None`: the serial was never allocated.
    async fn settle_restored(
        &self,
        serial: Serial,
        given_up: Option<Failure>,
        at: Timestamp,
    ) -> Stored<Option<Settled>>;

    /// Ends the recovery of this number, once. `false`: there is none that has not ended.
    async fn end_recovery(&self, number: u64, at: Timestamp) -> Stored<bool>;

    /// Takes the recovery of this number back, as if it had not begun: from the wrong log, say. `false`: it is not
    /// open, or something was restored already.
    async fn abandon_recovery(&self, number: u64) -> Stored<bool>;

    /// All recoveries, in their order.
    async fn recoveries(&self) -> Stored<Vec<RecoveryRecord>>;

    /// How many records there are.
    async fn counts(&self) -> Stored<LedgerCounts>;

    /// The newest record of all that was written here: known in memory, since every signature asks for it. After a
    /// restart it may be up to a second older.
    async fn newest(&self) -> Stored<Newest>;

    /// An operator says that the clock is right at this time: what is newer was written while it was wrong, and counts
    /// as the newest no more. A generation of CRL shards that ended later has not ended.
    async fn accept_time(&self, at: Timestamp) -> Stored<()>;
}

/// The problem an order ended with, if it ended without a certificate.
impl LedgerEnd {
    /// What the client is told.
    pub const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Valid(_) => None,
            Self::Invalid(failure) => Some(&failure.problem),
        }
    }
}
