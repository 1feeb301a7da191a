//! What the auditor has to find, put in on purpose: an order that dies without a cause or with its certificate in the
//! audit log, and a revocation that was only told. And what it must not find, which looks alike.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acme::DnsName;
use async_trait::async_trait;
use ca::authorization::EndedAuthorization;
use ca::order::{Failure, Order};
use ca::ports::{
    AuditEvent, AuditLine, AuditLog, AuditMark, Begin, BeginRefused, IssuanceNumber, Ledger, LedgerEnd, Revocation,
    Revoked, StopRecord, StopScope, Stored,
};
use ca::{InstanceId, OrderId};
use pki::{Serial, Timestamp};
use sim::client::{Task, Temper};
use sim::executor::Node;
use sim::ports::{AuditLayer, Call, Fate, Fates, Layer, Layers, LedgerLayer, layered_audit, layered_ledger};
use sim::run::{self, Report};
use sim::scenario::Scenario;
use sim::world::Options;

/// Says of the first issuance of each order that there were three before.
#[derive(Clone, Debug, Default)]
struct Hasty(Arc<Mutex<BTreeSet<OrderId>>>);

impl Layer for Hasty {
    fn ledger(&self, inner: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        layered_ledger(inner, Arc::new(self.clone()))
    }
}

#[async_trait]
impl LedgerLayer for Hasty {
    async fn begin(&self, inner: &dyn Ledger, begin: Begin<'_>) -> Stored<Result<IssuanceNumber, BeginRefused>> {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(begin.order.id) {
            return Ok(Err(BeginRefused::CapReached(3)));
        }
        inner.begin(begin).await
    }
}

/// Says that a revocation is written, and writes none.
#[derive(Clone, Copy, Debug)]
struct Forgetful;

impl Layer for Forgetful {
    fn ledger(&self, inner: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        layered_ledger(inner, Arc::new(*self))
    }
}

#[async_trait]
impl LedgerLayer for Forgetful {
    async fn revoke(&self, _: &dyn Ledger, _: Revocation) -> Stored<Revoked> {
        Ok(Revoked::Done)
    }
}

/// Invariants that do not hold in a world where nothing fails but what this layer does.
fn found(seed: u64, temper: Temper, layer: impl Layer + 'static) -> Vec<u8> {
    let mut scenario = Scenario::calm();
    scenario.clients = vec![Task { number: 0, temper, orders: 2, begins: Duration::ZERO }];
    let options = Options { layers: Layers(vec![Arc::new(layer)]), ..Options::default() };
    run::run(seed, scenario, options).violations.iter().map(|violation| violation.invariant).collect()
}

#[test]
fn order_that_dies_without_a_cause_is_found() {
    assert_eq!(found(1, Temper::Honest, Hasty::default()), [8]);
}

#[test]
fn revocation_that_is_only_told_is_found() {
    let of_seeds: Vec<Vec<u8>> = (0..8).map(|seed| found(seed, Temper::Careful, Forgetful)).collect();
    assert!(of_seeds.iter().any(|found| found.contains(&9)), "{of_seeds:?}");
}

/// A certificate is logged, and its process dies before it can go on; from then on nothing is signed for its order,
/// until one of the processes that were started since has let that die.
#[derive(Debug)]
struct DiesLogged {
    /// What becomes of the process that logs it.
    logs: Fate,
    /// And when it stores it.
    stores: Fate,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    nodes: BTreeSet<Node>,
    logged: Option<Node>,
    /// All processes of the time when the one that had logged the certificate died.
    before: Option<BTreeSet<Node>>,
    has_died: bool,
}

impl DiesLogged {
    fn new(logs: Fate, stores: Fate) -> Arc<Self> {
        Arc::new(Self { logs, stores, seen: Mutex::default() })
    }
}

impl Fates for DiesLogged {
    fn of(&self, _: u64, node: Node, call: Call) -> Fate {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.nodes.insert(node);
        let is_new = seen.before.as_ref().is_some_and(|before| !before.contains(&node));
        if call == Call::AppendCertificate && seen.logged.is_none() {
            seen.logged = Some(node);
            if self.logs == Fate::DiesAfter {
                seen.before = Some(seen.nodes.clone());
            }
            return self.logs;
        }
        if call == Call::StoreFinal && seen.logged == Some(node) {
            seen.before = Some(seen.nodes.clone());
            return self.stores;
        }
        if seen.logged.is_none() || seen.has_died {
            return Fate::Done;
        }
        seen.has_died = call == Call::Finish && is_new;
        if !seen.has_died && matches!(call, Call::Finish | Call::SignPrecertificate) {
            return Fate::NotDone;
        }
        Fate::Done
    }

    fn latency(&self) -> Duration {
        Duration::from_millis(1)
    }
}

/// What comes of an order whose certificate is logged, and that is let die at its deadline.
fn logged_and_dead(machines: usize, fates: &Arc<DiesLogged>, layers: Vec<Arc<dyn Layer>>) -> Report {
    let mut scenario = Scenario::calm();
    scenario.machines = machines;
    scenario.settings.profiles.retain(|profile| profile.ct.is_some());
    scenario.storm = Duration::from_secs(600);
    scenario.settings.times.issue_deadline = Duration::from_secs(240);
    scenario.settings.limits.issuances = 1_000;
    // Nobody waits in a process that stands still: whoever is woken goes on.
    scenario.settings.limits.issue_workers = 1;
    let options = Options { fates: Some(fates.clone()), layers: Layers(layers), told: true, ..Options::default() };
    let report = run::run(1, scenario, options);
    let has_died = fates.seen.lock().unwrap_or_else(PoisonError::into_inner).has_died;
    assert!(has_died, "the order did not die: {:#?}", report.story);
    report
}

/// The first certificate that was logged.
type Logged = Option<(Serial, Vec<u8>)>;

/// Keeps a certificate that was logged from all who read the log, and no mark behind it.
#[derive(Clone, Debug)]
struct LogUnread {
    /// Whether the certificate is stored at the last moment, when its order dies.
    at_last: bool,
    logged: Arc<Mutex<Logged>>,
}

impl LogUnread {
    fn layer(at_last: bool) -> Arc<dyn Layer> {
        Arc::new(Self { at_last, logged: Arc::default() })
    }

    fn logged(&self) -> MutexGuard<'_, Logged> {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Layer for LogUnread {
    fn ledger(&self, inner: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        layered_ledger(inner, Arc::new(self.clone()))
    }

    fn audit(&self, inner: Arc<dyn AuditLog>) -> Arc<dyn AuditLog> {
        layered_audit(inner, Arc::new(self.clone()))
    }
}

#[async_trait]
impl AuditLayer for LogUnread {
    async fn append(&self, inner: &dyn AuditLog, event: AuditEvent) -> Stored<u64> {
        if let AuditEvent::Certificate { serial, der, .. } = &event {
            self.logged().get_or_insert_with(|| (*serial, der.clone()));
        }
        inner.append(event).await
    }

    async fn lines(&self, inner: &dyn AuditLog, after: AuditMark, limit: usize) -> Stored<(Vec<AuditLine>, AuditMark)> {
        if self.logged().is_some() { Ok((Vec::new(), after)) } else { inner.lines(after, limit).await }
    }
}

#[async_trait]
impl LedgerLayer for LogUnread {
    async fn set_audit_mark(&self, inner: &dyn Ledger, instance: InstanceId, mark: AuditMark) -> Stored<()> {
        if self.logged().is_some() { Ok(()) } else { inner.set_audit_mark(instance, mark).await }
    }

    async fn finish(&self, inner: &dyn Ledger, order: &Order, failure: Failure, at: Timestamp) -> Stored<LedgerEnd> {
        let logged = self.logged().clone();
        if let Some((serial, certificate)) = logged.filter(|_| self.at_last) {
            inner.store_final(serial, &certificate, at).await?;
        }
        inner.finish(order, failure, at).await
    }
}

/// Longer than a lease: another process goes on with the order.
const OVERTAKEN: Fate = Fate::StopsAfter(Duration::from_secs(110));

#[test]
fn order_may_die_whose_logged_certificate_another_process_overtook() {
    let report = logged_and_dead(2, &DiesLogged::new(OVERTAKEN, Fate::DiesAfter), Vec::new());
    assert_eq!(report.violations, [], "{:#?}", report.story);
}

#[test]
fn death_of_an_order_whose_certificate_recovery_passed_over_is_found() {
    for (machines, logs, at_last) in [(1, Fate::DiesAfter, false), (1, Fate::DiesAfter, true), (2, OVERTAKEN, false)] {
        let fates = DiesLogged::new(logs, Fate::DiesBefore);
        let report = logged_and_dead(machines, &fates, vec![LogUnread::layer(at_last)]);
        let found: Vec<u8> = report.violations.iter().map(|violation| violation.invariant).collect();
        assert_eq!(found, [8], "{machines}, {logs:?}, {at_last}: {:#?}", report.story);
    }
}

/// A process that has written a stop stands still, so that the operator has no answer for a long time.
#[derive(Debug, Default)]
struct StopNotTold(AtomicBool);

impl Fates for StopNotTold {
    fn of(&self, _: u64, _: Node, call: Call) -> Fate {
        let is_first = call == Call::Stop && !self.0.swap(true, Ordering::Relaxed);
        if is_first { Fate::StopsAfter(Duration::from_secs(100)) } else { Fate::Done }
    }

    fn latency(&self) -> Duration {
        Duration::from_millis(1)
    }
}

#[test]
fn stop_may_end_before_its_operator_is_told_of_it() {
    for seed in 0..8 {
        let mut scenario = Scenario::calm();
        scenario.machines = 2;
        scenario.operations.stops = 1;
        scenario.storm = Duration::from_secs(20);
        let fates: Arc<dyn Fates> = Arc::new(StopNotTold::default());
        let report = run::run(seed, scenario, Options { fates: Some(fates), told: true, ..Options::default() });
        assert_eq!(report.violations, [], "seed {seed}: {:#?}", report.story);
    }
}

/// Stops issuance for all names once an authorization is there, so that their order is ready.
#[derive(Clone, Debug)]
struct StopsNames {
    /// Whether the stop stands; or else it is only said to.
    stands: bool,
    begun: Arc<AtomicBool>,
}

impl StopsNames {
    fn new(stands: bool) -> Self {
        Self { stands, begun: Arc::default() }
    }

    fn stop() -> StopRecord {
        let scope = StopScope::Name(DnsName::parse("example.com").expect("a name"));
        let (reason, by) = ("nothing".to_owned(), "nobody".to_owned());
        StopRecord { number: 1, scope, reason, by, since: Timestamp::from_seconds(0), ended: None }
    }
}

impl Layer for StopsNames {
    fn ledger(&self, inner: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        layered_ledger(inner, Arc::new(self.clone()))
    }
}

#[async_trait]
impl LedgerLayer for StopsNames {
    async fn authorize(&self, inner: &dyn Ledger, ended: EndedAuthorization) -> Stored<EndedAuthorization> {
        if !self.begun.swap(true, Ordering::Relaxed) && self.stands {
            inner.stop(Self::stop()).await?;
        }
        inner.authorize(ended).await
    }

    async fn standing_stops(&self, inner: &dyn Ledger) -> Stored<Arc<[StopRecord]>> {
        let mut standing = inner.standing_stops().await?.to_vec();
        if self.begun.load(Ordering::Relaxed) && !self.stands {
            standing.push(Self::stop());
        }
        Ok(standing.into())
    }
}

#[test]
fn wrong_csr_may_be_refused_by_a_stop_that_stands() {
    assert_eq!(found(1, Temper::Hostile, StopsNames::new(true)), Vec::<u8>::new());
}

#[test]
fn refusal_by_a_stop_that_does_not_stand_is_found() {
    assert_eq!(found(1, Temper::Hostile, StopsNames::new(false)), [9]);
}
