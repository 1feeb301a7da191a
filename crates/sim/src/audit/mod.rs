//! What always holds, checked from the records and from a log of facts that no server knows of: every signature that
//! was made, every write, everything that a client was told. The numbers are those of the invariants.

mod contract;
mod deaths;
mod ocsp;
mod operators;
mod rest;
mod told;
mod watch;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use ca::ports::{IssuanceNumber, SerialRecord, SerialStatus, StopScope};
use ca::settings::Settings;
use ca::{OrderId, Resumed};
use futures_util::FutureExt;
use pki::{Certificate, Serial, Sha256};
use store::memory::{MemoryAuditLog, MemoryLedger, MemoryWorkbench};

use crate::clock::SimClock;
use crate::executor::{Executor, Node};
use crate::internet::Internet;
use crate::story::Story;
use crate::tally::Tally;

/// What does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The number of the invariant; 0: something else that must not be.
    pub invariant: u8,
    /// What was found.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.invariant, self.detail)
    }
}

/// A precertificate or certificate that left the signer's key, whoever was told of it.
#[derive(Clone, Debug)]
struct Signed {
    certificate: Certificate,
    machine: usize,
    node: Node,
    /// Whether its line stands in the audit log.
    logged: bool,
}

/// What a client was told of an order.
#[derive(Clone, Debug)]
struct Told {
    /// Its end, and when it was told.
    end: Option<(bool, Option<String>, Duration)>,
    finalized: bool,
    /// When its client was told of it first.
    first: Duration,
}

#[derive(Debug, Default)]
struct Facts {
    /// Counts facts.
    clock: u64,
    precertificates: BTreeMap<Serial, Signed>,
    certificates: BTreeMap<Serial, Signed>,
    statuses: BTreeMap<Serial, SerialStatus>,
    /// When the signer read the records of a serial last.
    read: BTreeMap<Serial, u64>,
    blocked: BTreeMap<Sha256, u64>,
    /// When a serial was seen to be revoked.
    revoked: BTreeMap<Serial, u64>,
    crl_numbers: BTreeSet<(Sha256, u16, u64)>,
    crls: BTreeMap<(Sha256, u16), u64>,
    /// Orders that have a certificate.
    attached: BTreeMap<OrderId, Serial>,
    /// Which process began which issuance of an order.
    issuances: BTreeMap<OrderId, BTreeMap<IssuanceNumber, Node>>,
    /// When orders came into issuance.
    entered: BTreeMap<OrderId, Duration>,
    /// When the workbench was last lost, or rolled back.
    workbench_restored: Option<Duration>,
    /// Orders whose death was looked at.
    dead: BTreeSet<OrderId>,
    told: BTreeMap<String, Told>,
    /// Serials of which a client was told that they are revoked, and when.
    told_revoked: BTreeMap<Serial, u64>,
    /// When a process began to read the entries of a shard.
    entries_read: BTreeMap<(Sha256, u16, Node), u64>,
    /// When the entries of a CRL began to be read, by its number, which is allocated after that.
    crls_begun: BTreeMap<(Sha256, u16, u64), u64>,
    /// The newest CRL of each shard that a relying party has fetched: its number, and what it lists.
    crls_fetched: BTreeMap<u16, (u64, BTreeSet<Serial>)>,
    /// Stops of which an operator was told, by their numbers.
    stops: BTreeMap<u64, operators::StopTold>,
    /// For what, from when and to when stops stood in the ledger, by their numbers.
    stops_stood: BTreeMap<u64, (StopScope, Duration, Option<Duration>)>,
    /// Which stops operators want to end who have no answer yet.
    ends_asked: Vec<Resumed>,
    /// Keys of which an operator was told that they are blocked.
    told_blocked: BTreeSet<Sha256>,
    /// OCSP answers that verify.
    verified: BTreeSet<Sha256>,
    violations: Vec<Violation>,
}

/// Watches over a run.
#[derive(Debug)]
pub struct Auditor {
    pub(crate) executor: Executor,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) workbench: Arc<MemoryWorkbench>,
    pub(crate) audits: Vec<Arc<MemoryAuditLog>>,
    pub(crate) clocks: Vec<SimClock>,
    pub(crate) internet: Arc<Internet>,
    pub(crate) settings: Settings,
    pub(crate) story: Arc<Story>,
    pub(crate) tally: Arc<Tally>,
    /// Whether the workbench may lose what clients were told.
    pub(crate) workbench_forgets: bool,
    facts: Mutex<Facts>,
    leases: contract::Leases,
    /// Asked for the status of a serial at each write.
    witness: OnceLock<Router>,
}

/// What an auditor needs to see.
pub(crate) struct Sight {
    pub(crate) executor: Executor,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) workbench: Arc<MemoryWorkbench>,
    pub(crate) audits: Vec<Arc<MemoryAuditLog>>,
    pub(crate) clocks: Vec<SimClock>,
    pub(crate) internet: Arc<Internet>,
    pub(crate) settings: Settings,
    pub(crate) story: Arc<Story>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) workbench_forgets: bool,
}

impl Auditor {
    pub(crate) fn new(sight: Sight) -> Self {
        Self {
            executor: sight.executor,
            ledger: sight.ledger,
            workbench: sight.workbench,
            audits: sight.audits,
            clocks: sight.clocks,
            internet: sight.internet,
            settings: sight.settings,
            story: sight.story,
            tally: sight.tally,
            workbench_forgets: sight.workbench_forgets,
            facts: Mutex::default(),
            leases: contract::Leases::default(),
            witness: OnceLock::new(),
        }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.facts().violations.clone()
    }

    /// Whether something was found.
    pub fn is_violated(&self) -> bool {
        !self.facts().violations.is_empty()
    }

    fn violated(&self, invariant: u8, detail: String) {
        self.story.tell(|| format!("*** invariant {invariant}: {detail}"));
        self.facts().violations.push(Violation { invariant, detail });
    }

    /// Looks at something that is to hold.
    fn holds(&self, invariant: u8, held: bool, detail: impl FnOnce() -> String) {
        self.tally.check();
        if !held {
            self.violated(invariant, detail());
        }
    }

    /// Something that must never come back did.
    pub(crate) fn recovery_failed(&self, error: &ca::RecoveryError) {
        if let ca::RecoveryError::LedgerOlderThanLog { .. } = error {
            self.violated(10, format!("a crash made the ledger older than the audit log: {error}"));
        }
    }

    /// An honest client that did what it could has no certificate, and it is not its own fault.
    pub(crate) fn gave_up(&self, client: &str, why: &str) {
        self.violated(8, format!("{client} gives up: {why}"));
    }

    fn record(&self, serial: Serial) -> Option<SerialRecord> {
        use ca::ports::Ledger;
        now(self.ledger.serial(serial)).ok().flatten()
    }
}

/// The stores in memory answer at once.
pub(crate) fn now<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().expect("a store in memory answers at once")
}
