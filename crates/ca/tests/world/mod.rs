//! A small CA as the cases see it, in one process that can be killed and started again.

mod client;
mod clock;
mod hierarchy;
mod invariants;
pub(crate) mod log_lines;
pub(crate) mod network;
mod points;
mod ports;
mod stores;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use acme::OrderStatus;
use ca::crl::CrlParts;
use ca::ocsp::{OcspAnswers, OcspReply};
use ca::order::Stage;
use ca::ports::{
    ActiveOrder, AuditEvent, AuditLine, AuditLog, AuditMark, CrlRecord, Issuer, Ledger, LedgerOrder, LogKey,
    ResponderRecord, SerialFilter, SerialRecord, Standing, Stored, Workbench,
};
use ca::profile::{CtRequirement, Profile};
use ca::settings::{CaaMode, CrlTimes, ExternalAccounts, Limits, OcspSettings, OcspSigner, Reuse, Settings, Times};
use ca::shares::TestShares;
use ca::signing::SignerRules;
use ca::{Ca, OrderId, Swept, Worked};
use ct::{Acceptance, BuiltinLog, Endpoint, Log, LogState, Submitter, SubmitterSettings};
use futures_util::future::{Either, select};
use keys::{FileLogKey, FileSigner, ThrowawayKeys};
use pki::{Crl, PublicKey, Serial, Sha256};
use tokio::task::JoinHandle;

pub(crate) use client::{
    BASE, Client, new_account_request, new_order, refused, revocation_by, revoke_by_key, signing_key,
};
pub(crate) use clock::{START, SeededRandom, TestClock};
pub(crate) use hierarchy::{Hierarchy, octets, pair};
pub(crate) use network::Network;
pub(crate) use points::{Call, Points, Side};
pub(crate) use stores::{Backend, Backup, INSTANCE};

use ports::{LogStoreWithOutages, PointedAuditLog, PointedCt, PointedLedger, PointedSigner, PointedWorkbench};
use stores::Stores;

const STATUS_URL: &str = "http://status.example.com:14080";
const DAY: u64 = 86_400;

/// The pause before something is repeated for the first time.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// What outlives the process.
struct Lasting {
    settings: Settings,
    hierarchy: Hierarchy,
    stores: Stores,
    clock: Arc<TestClock>,
    random: Arc<SeededRandom>,
    points: Arc<Points>,
    signer_points: Arc<Points>,
    network: Arc<Network>,
    logs_away: Arc<AtomicBool>,
    /// An issuer whose key the signer doesn't have, before the other.
    foreign_issuer: Option<Issuer>,
}

impl Lasting {
    fn issuers(&self) -> Vec<Issuer> {
        self.foreign_issuer.iter().chain([&self.hierarchy.issuer]).cloned().collect()
    }

    fn ocsp_answers(&self) -> OcspAnswers {
        let delegate = match self.settings.ocsp.responder {
            OcspSigner::Delegated => Some(self.hierarchy.responder_pair().public_key().clone()),
            OcspSigner::Direct => None,
        };
        OcspAnswers::new(&self.settings.ocsp, &self.issuers(), delegate)
    }
}

/// A process with its CA, and the world around it.
pub(crate) struct World {
    lasting: Lasting,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) random: Arc<SeededRandom>,
    pub(crate) points: Arc<Points>,
    /// Around the ledger as the signer reads it.
    pub(crate) signer_points: Arc<Points>,
    pub(crate) network: Arc<Network>,
    /// The CA: all of its ports have points.
    pub(crate) ca: Arc<Ca>,
    /// The ledger without points, for the case's own looks.
    pub(crate) ledger: Arc<dyn Ledger>,
    /// The workbench without points.
    pub(crate) workbench: Arc<dyn Workbench>,
    /// The audit log without points.
    pub(crate) audit: Arc<dyn AuditLog>,
    /// The keys of the built-in logs.
    pub(crate) log_keys: Vec<PublicKey>,
}

/// A worker at work.
pub(crate) type Worker = JoinHandle<Option<Worked>>;

impl World {
    /// A CA at its first start.
    pub(crate) async fn on(backend: Backend) -> Self {
        Self::with(backend, |_| ()).await
    }

    /// The same, with other settings.
    pub(crate) async fn with(backend: Backend, change: impl FnOnce(&mut Settings)) -> Self {
        log_lines::collect();
        let mut settings = settings();
        change(&mut settings);
        let clock = Arc::new(TestClock::new());
        let random = Arc::new(SeededRandom::new(0x6361_6972));
        let world = Self::start(Lasting {
            settings,
            hierarchy: Hierarchy::new(&clock, &random),
            stores: Stores::new(backend, clock.clone(), random.clone()),
            network: Arc::new(Network::new(clock.clone())),
            points: Arc::default(),
            signer_points: Arc::default(),
            logs_away: Arc::default(),
            foreign_issuer: None,
            clock,
            random,
        });
        world.ca.recover().await.unwrap();
        world
    }

    fn start(lasting: Lasting) -> Self {
        let stores::Opened { ledger, workbench, logs, audit } = lasting.stores.open();
        let (clock, points) = (lasting.clock.clone(), lasting.points.clone());
        let signer_points = lasting.signer_points.clone();
        let rules = SignerRules::of(&lasting.settings);
        let signer = FileSigner::new(
            [lasting.hierarchy.issuer_key()],
            Arc::new(PointedLedger { inner: ledger.clone(), points: signer_points.clone() }),
            clock.clone(),
            rules,
            ca::crl::CrlScheme::of(&lasting.settings),
        )
        .with_responder(lasting.hierarchy.responder_pair());
        let logs = Arc::new(LogStoreWithOutages { inner: logs, away: lasting.logs_away.clone() });
        let acceptance = Arc::new(Acceptance::new(vec![lasting.hierarchy.issuer.clone()], ledger.clone()));
        let logs: Vec<Arc<BuiltinLog>> = lasting
            .hierarchy
            .log_pairs()
            .map(|pair| {
                let key: Arc<dyn LogKey> = Arc::new(FileLogKey::new(pair).unwrap());
                Arc::new(BuiltinLog::new(key, logs.clone(), acceptance.clone(), clock.clone()))
            })
            .collect();
        let submitter = Submitter::new(listed(&logs), clock.clone(), SubmitterSettings::default());
        let ca = Ca {
            settings: lasting.settings.clone(),
            instance: INSTANCE,
            issuers: lasting.issuers(),
            clock: clock.clone(),
            random: lasting.random.clone(),
            ledger: Arc::new(PointedLedger { inner: ledger.clone(), points: points.clone() }),
            workbench: Arc::new(PointedWorkbench { inner: workbench.clone(), points: points.clone() }),
            audit: Arc::new(PointedAuditLog { inner: audit.clone(), points: points.clone() }),
            signer: Arc::new(PointedSigner { inner: Arc::new(signer), points: points.clone() }),
            linting_key: Arc::new(ThrowawayKeys::new()),
            validator: lasting.network.clone(),
            ct: Arc::new(PointedCt { inner: Arc::new(submitter), points: points.clone() }),
            test_shares: TestShares::new(&lasting.settings.limits),
            clock_watch: ca::clock::ClockWatch::default(),
            crl_watch: ca::crl::CrlWatch::default(),
            unreadable: ca::UnreadableOrders::default(),
            blocked: ca::Bell::default(),
            stop_numbers: ca::StopNumbers::default(),
            ocsp: lasting.ocsp_answers(),
        };
        let log_keys = logs.iter().map(|log| log.public_key().clone()).collect();
        let (network, random) = (lasting.network.clone(), lasting.random.clone());
        let ca = Arc::new(ca);
        Self { lasting, clock, random, points, signer_points, network, ca, ledger, workbench, audit, log_keys }
    }

    /// Another process of the same CA, at the same stores, which has just begun and looked at nothing yet.
    pub(crate) fn another_process(&self) -> Ca {
        let ca = &*self.ca;
        Ca {
            settings: ca.settings.clone(),
            instance: ca.instance,
            issuers: ca.issuers.clone(),
            clock: ca.clock.clone(),
            random: ca.random.clone(),
            ledger: ca.ledger.clone(),
            workbench: ca.workbench.clone(),
            audit: ca.audit.clone(),
            signer: ca.signer.clone(),
            linting_key: ca.linting_key.clone(),
            validator: ca.validator.clone(),
            ct: ca.ct.clone(),
            test_shares: TestShares::new(&ca.settings.limits),
            clock_watch: ca::clock::ClockWatch::default(),
            crl_watch: ca::crl::CrlWatch::default(),
            unreadable: ca::UnreadableOrders::default(),
            blocked: ca::Bell::default(),
            stop_numbers: ca::StopNumbers::default(),
            ocsp: self.lasting.ocsp_answers(),
        }
    }

    /// The process ends as by a kill, and starts again. It has not recovered yet. All workers were killed before.
    pub(crate) fn restart(self) -> Self {
        let Self { lasting, ca, ledger, workbench, audit, .. } = self;
        assert_eq!(Arc::strong_count(&ca), 1, "a worker of the killed process lives on");
        drop((ca, ledger, workbench, audit));
        Self::start(lasting)
    }

    /// The same, with other settings.
    pub(crate) fn restart_with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.lasting.settings);
        self.restart()
    }

    /// The same, and all that was on the workbench is lost.
    pub(crate) fn restart_without_workbench(self) -> Self {
        let Self { mut lasting, ca, ledger, workbench, audit, .. } = self;
        assert_eq!(Arc::strong_count(&ca), 1, "a worker of the killed process lives on");
        drop((ca, ledger, workbench, audit));
        lasting.stores.lose_workbench();
        Self::start(lasting)
    }

    /// A backup of the stores, without the audit log.
    pub(crate) fn backup(&self) -> Backup {
        self.lasting.stores.backup()
    }

    /// The process ends, the backup is restored beside the audit log, and a process starts.
    pub(crate) fn restart_from(self, backup: &Backup) -> Self {
        let Self { mut lasting, ca, ledger, workbench, audit, .. } = self;
        assert_eq!(Arc::strong_count(&ca), 1, "a worker of the killed process lives on");
        drop((ca, ledger, workbench, audit));
        lasting.stores.restore(backup);
        Self::start(lasting)
    }

    /// The process ends, and a process starts with other built-in logs.
    pub(crate) fn restart_with_new_logs(mut self) -> Self {
        self.lasting.hierarchy.renew_logs();
        self.restart()
    }

    /// The process ends, and a process starts whose OCSP responder has another key.
    pub(crate) fn restart_with_a_new_responder(mut self) -> Self {
        self.lasting.hierarchy.renew_responder();
        self.restart()
    }

    /// The process ends, and a process starts with another issuer besides, for which it has no key.
    pub(crate) fn restart_with_a_foreign_issuer_first(mut self) -> Self {
        let random = SeededRandom::new(0x666f_7265);
        self.lasting.foreign_issuer = Some(Hierarchy::new(&TestClock::new(), &random).issuer);
        self.restart()
    }

    /// Every active order is taken out of its place, as by a hand.
    pub(crate) fn wipe_places(&self) {
        self.lasting.stores.wipe_places();
    }

    /// The root of all.
    pub(crate) fn root(&self) -> &pki::Certificate {
        &self.lasting.hierarchy.root
    }

    /// The key of the delegated OCSP responder.
    pub(crate) fn responder_pair(&self) -> keys::KeyPair {
        self.lasting.hierarchy.responder_pair()
    }

    /// The built-in logs go away, or come back.
    pub(crate) fn set_logs_away(&self, away: bool) {
        self.lasting.logs_away.store(away, Ordering::SeqCst);
    }

    /// A worker does what is first in a queue.
    pub(crate) async fn work(&self, stage: Stage) -> Worked {
        self.ca.work_once(stage).await.unwrap().unwrap_or_else(|| panic!("the queue of {stage} is empty"))
    }

    /// There is nothing to do in this stage.
    pub(crate) async fn assert_idle(&self, stage: Stage) {
        assert_eq!(self.ca.work_once(stage).await.unwrap(), None, "the queue of {stage} is not empty");
    }

    /// A worker of its own takes what is first in a queue.
    pub(crate) fn start_work(&self, stage: Stage) -> Worker {
        let ca = self.ca.clone();
        self.start_beside(async move { ca.work_once(stage).await.unwrap() })
    }

    /// Something that goes on beside the case.
    pub(crate) fn start_beside<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        tokio::spawn(work)
    }

    /// What an OCSP request gets, beside the upkeep that makes certificates of responders.
    pub(crate) async fn ocsp(&self, request: &[u8]) -> OcspReply {
        let upkeep = async {
            loop {
                self.ca.responder_is_missing().await;
                let _made_or_not = self.ca.renew_responders().await;
            }
        };
        match select(pin!(self.ca.ocsp(request)), pin!(upkeep)).await {
            Either::Left((reply, _)) => reply,
            Either::Right((never, _)) => never,
        }
    }

    /// The OCSP responders that have their certificate.
    pub(crate) async fn responders(&self) -> Vec<ResponderRecord> {
        let key = self.responder_pair().public_key().spki_hash();
        self.ledger.responders(self.ca.issuers[0].id, key, 100).await.unwrap()
    }

    /// A worker tries to do what is first in a queue. When it pauses before it repeats something, that time goes by.
    pub(crate) async fn try_work(&self, stage: Stage) -> Stored<Option<Worked>> {
        let pauses = async {
            loop {
                self.clock.pass_when_slept(FIRST_PAUSE).await;
            }
        };
        match select(pin!(self.ca.work_once(stage)), pin!(pauses)).await {
            Either::Left((worked, _)) => worked,
            Either::Right((never, _)) => never,
        }
    }

    /// Workers do all there is to do.
    pub(crate) async fn work_off(&self) {
        for stage in [Stage::MakeChallenge, Stage::TestChallenge, Stage::Issue] {
            // A worker whose claim failed tries again.
            while !matches!(self.try_work(stage).await, Ok(None)) {}
        }
    }

    /// A sweep.
    pub(crate) async fn sweep(&self) -> Swept {
        self.ca.sweep().await.unwrap()
    }

    /// A sweep, and the work that there is. What fails is for the next time.
    async fn go_on(&self) {
        let _swept_or_not = self.ca.sweep().await;
        self.work_off().await;
    }

    /// Time goes by, with sweeps and workers, until an order has ended.
    pub(crate) async fn until_done(&self, order: OrderId) {
        for _ in 0..100 {
            self.go_on().await;
            if self.read(order).await.is_none_or(|active| active.order.stage() == Stage::Done) {
                return;
            }
            self.clock.pass_seconds(10);
        }
        panic!("order {order} does not end: {:?}", self.read(order).await);
    }

    /// Time goes by, with sweeps and workers, until an order is `ready`.
    pub(crate) async fn until_ready(&self, client: &Client, order: OrderId) {
        for _ in 0..100 {
            self.go_on().await;
            let seen = self.ca.order(&client.account, order).await;
            if seen.is_ok_and(|seen| seen.status(self.ca.now()) == OrderStatus::Ready) {
                return;
            }
            self.clock.pass_seconds(10);
        }
        panic!("order {order} does not become ready: {:?}", self.read(order).await);
    }

    /// An active order.
    pub(crate) async fn read(&self, order: OrderId) -> Option<ActiveOrder> {
        self.workbench.read(order).await.unwrap()
    }

    /// Where an active order stands.
    pub(crate) async fn standing(&self, order: OrderId) -> Standing {
        self.read(order).await.unwrap().standing
    }

    /// What the ledger knows of an order.
    pub(crate) async fn known(&self, order: OrderId) -> Option<LedgerOrder> {
        self.ledger.order(order).await.unwrap()
    }

    /// The serials of an order, in the order of their allocation.
    pub(crate) async fn serials(&self, order: OrderId) -> Vec<SerialRecord> {
        let filter = SerialFilter { order: Some(order), ..SerialFilter::default() };
        self.ledger.serials(filter, 100).await.unwrap()
    }

    /// What the ledger knows of a serial.
    pub(crate) async fn record(&self, serial: Serial) -> SerialRecord {
        self.ledger.serial(serial).await.unwrap().unwrap()
    }

    /// The whole of a stored CRL.
    pub(crate) async fn whole_crl(&self, record: &CrlRecord) -> Crl {
        let mut der = record.head.clone();
        let mut parts = CrlParts::of(&*self.ledger, record);
        while let Some(part) = parts.next().await.unwrap() {
            der.extend_from_slice(&part);
        }
        der.extend_from_slice(&record.tail);
        Crl::from_der(&der).unwrap()
    }

    /// The whole audit log.
    pub(crate) async fn lines(&self) -> Vec<AuditLine> {
        let mut mark = AuditMark { sequence: 0, chain: Sha256::from_bytes([0; 32]) };
        let mut lines = Vec::new();
        loop {
            let (page, next) = self.audit.lines(mark, 100).await.unwrap();
            if page.is_empty() {
                return lines;
            }
            lines.extend(page);
            mark = next;
        }
    }

    /// The precertificates that the audit log has for an order.
    pub(crate) async fn precertificate_lines(&self, of: OrderId) -> Vec<(Serial, Vec<u8>)> {
        let lines = self.lines().await.into_iter();
        lines
            .filter_map(|line| {
                let AuditEvent::Precertificate { order, serial, der } = line.event else { return None };
                (order == of).then_some((serial, der))
            })
            .collect()
    }

    /// The certificates that the audit log has for an order.
    pub(crate) async fn certificate_lines(&self, of: OrderId) -> Vec<(Serial, Vec<u8>)> {
        let lines = self.lines().await.into_iter();
        lines
            .filter_map(|line| {
                let AuditEvent::Certificate { order, serial, der } = line.event else { return None };
                (order == of).then_some((serial, der))
            })
            .collect()
    }
}

/// Kills a worker where it stands.
pub(crate) async fn kill<T>(worker: JoinHandle<T>) {
    worker.abort();
    // All that it held is gone when this returns.
    let _killed = worker.await;
}

fn listed(logs: &[Arc<BuiltinLog>]) -> Vec<Log> {
    (0..)
        .zip(logs)
        .map(|(number, log)| Log {
            name: format!("log {number}"),
            operator: "Example".to_owned(),
            state: LogState::Usable,
            interval: None,
            endpoint: log.clone() as Arc<dyn Endpoint>,
        })
        .collect()
}

fn settings() -> Settings {
    let classic = Profile {
        name: "classic".to_owned(),
        description: "90 days, logged".to_owned(),
        lifetime_seconds: 90 * DAY,
        backdate_seconds: 300,
        ct: Some(CtRequirement { scts: 2, operators: 1 }),
        baseline: true,
        client_auth: false,
        common_name: true,
        crl: true,
        ocsp: true,
        ip_addresses: true,
        offered: true,
    };
    let internal = Profile { name: "internal".to_owned(), ct: None, baseline: false, ..classic.clone() };
    let server = Profile { name: "server".to_owned(), offered: false, ..internal.clone() };
    Settings {
        profiles: vec![classic, internal, server],
        caa: CaaMode::Enforce,
        base_url: Some(BASE.to_owned()),
        status_url: STATUS_URL.to_owned(),
        crls: ca::crl::CrlScheme::new(4, STATUS_URL.to_owned()),
        crl: CrlTimes { gathering: Duration::from_secs(1), ..CrlTimes::default() },
        times: Times::default(),
        limits: Limits::default(),
        reuse: Reuse::default(),
        retention: ca::ports::Retention {
            valid: Duration::from_secs(DAY),
            invalid: Duration::from_secs(7 * DAY),
            number_max: 1_000,
        },
        terms: None,
        external_accounts: ExternalAccounts::Off,
        public_names: false,
        denied_names: Vec::new(),
        ocsp: OcspSettings::default(),
        ocsp_url: None,
    }
}
