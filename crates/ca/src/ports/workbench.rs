//! The workbench: what can be done again. Open orders, their pending authorizations, queues, leases, used nonces.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use pki::{Sha256, Timestamp};
use serde::{Deserialize, Serialize};

use super::Stored;
use crate::authorization::{Authorization, EndedAuthorization, Method};
use crate::order::{Finalize, MoveRefused, Order, Outcome, Stage, Tested};
use crate::{AccountId, AuthorizationId, InstanceId, LeaseToken, OrderCursor, OrderId};

/// What a claim asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// The instance whose worker claims.
    pub holder: InstanceId,
    /// How long the lease runs, by the workbench's clock. It isn't renewed.
    pub length: Duration,
}

/// A lease on an order: the right to advance it, for as long as nobody else was given one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The order.
    pub order: OrderId,
    /// The fence, compared for equality when the order is advanced.
    pub token: LeaseToken,
    /// When it runs out, by the workbench's clock.
    pub expires: Timestamp,
    /// How often the order was claimed in this stage, this time included.
    pub claims: u32,
    /// How many of them were ended by no worker, but by the end of a process, or because their lease ran out.
    pub lapsed: u32,
}

impl Lease {
    /// The claims that workers ended, and this one.
    pub const fn tries(&self) -> u32 {
        self.claims.saturating_sub(self.lapsed)
    }
}

/// An order under a lease of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The right to advance it.
    pub lease: Lease,
    /// The order as it stood when it was claimed.
    pub order: Order,
}

/// What a worker did, to be written by `advance`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advance {
    /// MakeChallenge: these are its authorizations.
    Made(Vec<Authorization>),
    /// TestChallenge: what the tests came to.
    Tested(Vec<Tested>),
    /// Any stage: the order has ended.
    Finished {
        /// How. In `Issue`, what the ledger says.
        outcome: Outcome,
        /// When.
        ended: Timestamp,
    },
}

/// Why a worker could not advance an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// The lease ran out and the order was given to another, or moved on without this worker. Nothing was written.
    Stale,
}

/// Where an order is, as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "place", rename_all = "kebab-case")]
pub enum Standing {
    /// In the queue of its stage.
    Queue,
    /// Held by a worker.
    Lease {
        /// When the lease runs out.
        expires: Timestamp,
        /// The instance that holds it.
        holder: InstanceId,
    },
    /// Waiting for the next try.
    Park {
        /// When that is due.
        until: Timestamp,
    },
    /// Waiting for its client.
    Client,
    /// Waiting for its acknowledgement, or the end of its retention.
    PendingDone,
    /// Nowhere: what only a fault or a hand can bring about, and what the sweep mends.
    Nowhere,
}

/// An active order with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveOrder {
    /// The order.
    pub order: Order,
    /// Where it stands.
    pub standing: Standing,
    /// How often it was claimed in its stage.
    pub claims: u32,
    /// When it came to this place.
    pub since: Timestamp,
}

/// How long, and how many, ended orders stay in `pending-done` without an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For `valid` orders.
    pub valid: Duration,
    /// For `invalid` orders.
    pub invalid: Duration,
    /// Above this number, the oldest leave.
    pub number_max: u64,
}

impl Retention {
    /// Of the same number, for however long.
    #[must_use]
    pub const fn without_end(self) -> Self {
        Self { valid: Duration::MAX, invalid: Duration::MAX, ..self }
    }
}

/// What one page of a sweep did and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepPage {
    /// Pass this to get the next page; `None` after the last.
    pub next: Option<OrderId>,
    /// Orders put back on the queue of their stage: their lease or park had run out, or they stood nowhere.
    pub requeued: Vec<(OrderId, Stage)>,
    /// Orders past the deadline of their stage. The page leaves them as they are: the caller lets them die, ledger
    /// first.
    pub overdue: Vec<Order>,
    /// How many ended orders left `pending-done` because their retention ended.
    pub retired: u64,
}

/// An order that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableOrder {
    /// Which.
    pub order: OrderId,
    /// The stage it was in.
    pub stage: Stage,
    /// What is wrong with its record.
    pub detail: String,
}

/// How many orders stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageCount {
    /// In the queue.
    pub queued: u64,
    /// Held by a worker.
    pub leased: u64,
    /// Waiting for the next try.
    pub parked: u64,
    /// Waiting for their client.
    pub client: u64,
    /// In `pending-done`, neither delivered nor acknowledged.
    pub undelivered: u64,
    /// In `pending-done`, delivered, and not acknowledged.
    pub delivered: u64,
    /// Nowhere.
    pub nowhere: u64,
    /// Set aside, since they can't be read.
    #[serde(default)]
    pub unreadable: u64,
    /// When the oldest of those in the queue came there.
    pub oldest_queued: Option<Timestamp>,
    /// When the oldest of those held by a worker was claimed.
    #[serde(default)]
    pub oldest_leased: Option<Timestamp>,
    /// When that one began to wait for its next try that has waited longest.
    #[serde(default)]
    pub oldest_parked: Option<Timestamp>,
    /// The most claims in this stage of any order that is held by a worker or waits for its next try; 0: there is none.
    #[serde(default)]
    pub claims_max: u32,
}

/// Which active orders are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Only those of this stage.
    pub stage: Option<Stage>,
    /// Only those behind this one, in the order of their ids.
    pub after: Option<OrderId>,
}

/// What became of a nonce (RFC 8555 §6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceUse {
    /// It was good, and is used up now.
    Fresh,
    /// It was used before.
    Replayed,
    /// It is none of ours, of an ended epoch, or too old to be remembered.
    Unknown,
}

/// Open orders, queues, leases and nonces. Losing all of it costs clients a retry, never a wrong certificate.
///
/// *Durability*: a step marked **synced** is on disk when it returns, since a client is told its result. All others are
/// committed in order, and a crash may forget the last of them; the sweep is for that. *Retry*: on `Unavailable` or
/// `Full` nothing happened and the caller may try again; on `Unknown` it reads first.
#[async_trait]
pub trait Workbench: Send + Sync + std::fmt::Debug {
    /// Stores a new order under a lease of its handler, which makes its challenges and advances like any worker. After
    /// a crash the sweep queues it. Refused with `Full` above the configured number of active orders. One that has come
    /// to `Issue` comes back from the ledger: it is never refused so, and it takes the place of what the workbench has
    /// of it from before, or can't read.
    async fn create(&self, order: Order, terms: LeaseTerms) -> Stored<Lease>;

    /// **Synced.** The client says that a challenge can be tested ([`Order::answer`]). Compares the challenge's state.
    /// An order that waits for its client, or is parked in `TestChallenge`, goes to its queue; one under a lease stays
    /// there, and is queued when that worker advances. `Ok(None)`: there is no such order. `ended` is copied back
    /// first.
    async fn answer(
        &self,
        authorization: AuthorizationId,
        method: Method,
        ended: &[EndedAuthorization],
    ) -> Stored<Option<Result<Order, MoveRefused>>>;

    /// **Synced.** The client wants its certificate ([`Order::finalize`]): compares that all authorizations are good,
    /// after those in `ended` (from the ledger) are copied back. Whoever held a lease has lost it; the order is in the
    /// queue of
    /// `Issue`. `Ok(None)`: there is no such order.
    async fn finalize(
        &self,
        order: OrderId,
        finalize: Finalize,
        deadline: Timestamp,
        ended: &[EndedAuthorization],
    ) -> Stored<Option<Result<Order, MoveRefused>>>;

    /// Takes the oldest order from the queue of a stage and puts a lease on it, in one step: no order is given to two.
    async fn claim(&self, stage: Stage, terms: LeaseTerms) -> Stored<Option<Claimed>>;

    /// As `claim`, from the queue of `TestChallenge`, but none of these accounts, whose orders keep their turn: an
    /// indexed look-up, however many orders of theirs there are. If there are any such accounts, it takes the oldest
    /// order of one of the others, not always the same one first.
    async fn claim_test(&self, terms: LeaseTerms, but: &[AccountId]) -> Stored<Option<Claimed>>;

    /// Compares the token; writes what was done, drops the lease and moves the order to the place that follows from it
    /// *as it then is*: a challenge answered meanwhile puts it back on the queue. **Synced** for `Made`, whose result
    /// the client is told. The order as it then is.
    async fn advance(&self, lease: &Lease, advance: Advance) -> Stored<Result<Order, Fenced>>;

    /// Compares the token; drops the lease: the work can't go on for so long, by the workbench's clock, then the order
    /// returns to its queue.
    async fn park(&self, lease: &Lease, pause: Duration) -> Stored<Result<(), Fenced>>;

    /// Ends an order without a lease (a death by deadline, or what the ledger says has ended): copies back `ended`, and
    /// finishes with `outcome` if there is one and the order has not ended ([`Order::settle`]: one that has come to
    /// `Issue` does not end by what was found before). Whoever held a lease has lost it, if the order changed.
    /// **Synced** with an outcome, of which a client may be told. The order as it then is.
    async fn settle(
        &self,
        order: OrderId,
        ended: &[EndedAuthorization],
        outcome: Option<(Outcome, Timestamp)>,
    ) -> Stored<Option<Order>>;

    /// One page of the sweep, behind `after`: of at most `limit` orders each kind. Idempotent. Leases that ran out, and
    /// parks whose time has come, go back to the queue of their stage; orders that stand nowhere go where they belong;
    /// ended orders past their retention, or acknowledged, leave. Overdue orders are named, and left.
    async fn sweep(&self, after: Option<OrderId>, limit: u32, retention: Retention) -> Stored<SweepPage>;

    /// Frees the leases of an instance: called by the process that has just taken its lock.
    async fn free_leases(&self, holder: InstanceId) -> Stored<u64>;

    /// An active order with its place.
    async fn read(&self, order: OrderId) -> Stored<Option<ActiveOrder>>;

    /// Those of these orders that are not active, have not come to `Issue`, or can't be read.
    async fn absent(&self, orders: &[OrderId]) -> Stored<Vec<OrderId>>;

    /// Orders that can't be read and were set aside when somebody met them, in the order of their ids, behind `after`,
    /// at most `limit`. They stand nowhere, and nothing is done with them, but that each sweep tries to read them
    /// again: those that can be read by then go where they belong, and the others leave when their deadline and the
    /// retention of ended orders are over. `create` takes the place of one.
    async fn unreadable(&self, after: Option<OrderId>, limit: u32) -> Stored<Vec<UnreadableOrder>>;

    /// The newest order in `TestChallenge` of this likeness ([`Order::likeness`]) that was not set aside: an indexed
    /// look-up.
    async fn alike(&self, likeness: Sha256) -> Stored<Option<OrderId>>;

    /// Ends when the order changes after this call. Subscribe, then read, then wait: nothing is missed. It may also end
    /// without a change.
    fn changed(&self, order: OrderId) -> BoxFuture<'static, ()>;

    /// Ends when an order comes to the queue of this stage after this call. Subscribe, then claim, then wait.
    fn queued(&self, stage: Stage) -> BoxFuture<'static, ()>;

    /// The last byte of the certificate was handed to a socket. Takes nothing out; the first time counts.
    async fn delivered(&self, order: OrderId, at: Timestamp) -> Stored<()>;

    /// **Synced.** The client has its certificate: the order leaves `pending-done`. `false`: it wasn't there.
    async fn acknowledge(&self, order: OrderId, at: Timestamp) -> Stored<bool>;

    /// At most `limit` active orders, in the order of their ids.
    async fn list(&self, filter: OrderFilter, limit: u32) -> Stored<Vec<ActiveOrder>>;

    /// Orders of a stage that wait for us: those in its queue, held by a worker, waiting for the next try, or nowhere;
    /// at most `limit`, those first that have waited longest. In `MakeChallenge` and `Issue` these are those that die
    /// first; in the others those that came first to where they stand.
    async fn oldest(&self, stage: Stage, limit: u32) -> Stored<Vec<ActiveOrder>>;

    /// Active orders of an account behind `behind`, the newest first, at most `limit`.
    async fn orders_of(&self, account: AccountId, behind: Option<OrderCursor>, limit: u32) -> Stored<Vec<Order>>;

    /// How many orders stand where, by stage.
    async fn counts(&self) -> Stored<Vec<(Stage, StageCount)>>;

    /// A new nonce: a sealed counter that carries its epoch (RFC 8555 §6.5.1), in base64url.
    async fn issue_nonce(&self) -> Stored<String>;

    /// Uses a nonce up, in exactly one place: of two requests with one nonce, one gets `Fresh`.
    async fn use_nonce(&self, nonce: &str) -> Stored<NonceUse>;
}
