//! A machine on which the server runs, dies and is started again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use ca::ports::{AuditLog, Clock, CtSubmitter, LogKey, Signer, Validator};
use ca::settings::Settings;
use ca::shares::TestShares;
use ca::signing::SignerRules;
use ca::{Ca, InstanceId, urls};
use ct::{Acceptance, BuiltinLog, Endpoint, Log, LogState, Submitter, SubmitterSettings};
use keys::{FileLogKey, FileSigner, KeyPair, ThrowawayKeys};
use server::config::RetryAfter;
use server::dev::Faults as DevFaults;
use server::http::acme::{AcmeDoor, router};
use server::http::errands::Errands;
use server::http::limits::ListenerLimits;
use server::http::status;
use server::upkeep;
use store::memory::MemoryAuditLog;
use tokio::sync::watch;
use validation::{NetworkValidator, TargetPolicy};

use crate::chance::Chance;
use crate::clock::SimClock;
use crate::executor::Node;
use crate::internet::CAA_IDENTITY;
use crate::keys::{Hierarchy, of_log, of_responder};
use crate::ports::{Faults, Layers};
use crate::world::World;

/// What all ACME URLs begin with.
pub const BASE: &str = "https://ca.example.com";
const AUDIT_OCTETS_MAX: u64 = 64 << 20;
/// No machine has this number.
const WITNESS: usize = 200;

/// A machine: its clock, its audit log and its disk outlive the processes on it.
#[derive(Debug)]
pub struct Machine {
    /// Its number.
    pub number: usize,
    /// Its clock.
    pub clock: SimClock,
    /// Its audit log.
    pub audit: Arc<MemoryAuditLog>,
    random: Arc<Chance>,
    live: Mutex<Live>,
}

/// The process that runs, if one does.
#[derive(Debug, Default)]
struct Live {
    node: Option<Node>,
    /// Once it serves: to clients.
    router: Option<Router>,
    /// And to relying parties.
    status: Option<Router>,
    ca: Option<Arc<Ca>>,
    starts: u32,
    stop: Option<watch::Sender<bool>>,
}

impl Machine {
    /// A machine that is off.
    pub fn new(number: usize, clock: SimClock, seed: u64) -> Self {
        let audit = MemoryAuditLog::new(instance(number), Arc::new(clock.clone()), AUDIT_OCTETS_MAX);
        let random = Arc::new(Chance::new(seed, &format!("machine {number}")));
        Self { number, clock, audit: Arc::new(audit), random, live: Mutex::default() }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process that runs on it.
    pub fn node(&self) -> Option<Node> {
        self.live().node
    }

    /// Where requests for this path go, if it serves.
    pub fn door(&self, path: &str) -> Option<(Node, Router)> {
        let live = self.live();
        let of_status = path.starts_with("/crl/") || path.starts_with(urls::OCSP);
        let router = if of_status { &live.status } else { &live.router };
        Some((live.node?, router.clone()?))
    }

    /// What would be told of certificates by a process that nothing befalls, which holds no folder and writes nothing:
    /// the issuer's own key signs its answers.
    pub(crate) fn witness(world: &World) -> Router {
        let machine = Self::new(WITNESS, world.machines[0].clock.clone(), world.seed);
        let (ca, _logs) = machine.assemble(world, &world.layers, None);
        status::issuers(ca)
    }

    /// The CA of the process, if it serves.
    pub fn ca(&self) -> Option<(Node, Arc<Ca>)> {
        let live = self.live();
        Some((live.node?, live.ca.clone()?))
    }

    /// Whether this process ran here, and is gone.
    pub fn buried(&self, node: Node) -> bool {
        let mut live = self.live();
        if live.node != Some(node) {
            return false;
        }
        let gone = (live.router.take(), live.status.take(), live.stop.take(), live.ca.take());
        live.node = None;
        drop(live);
        drop(gone);
        true
    }

    /// Starts a process: it recovers, then works and serves.
    pub fn start(self: &Arc<Self>, world: &Arc<World>) {
        let node = world.executor.node();
        let mut live = self.live();
        assert!(live.node.is_none(), "one process at a time holds a machine's data folder");
        live.node = Some(node);
        live.starts += 1;
        let starts = live.starts;
        drop(live);
        self.audit.restart();
        world.story.tell(|| format!("server {}: starts for the {starts}. time", self.number));
        let (machine, of_task) = (Arc::clone(self), Arc::clone(world));
        world.executor.spawn(node, async move { machine.run(&of_task, node).await });
    }

    async fn run(&self, world: &Arc<World>, node: Node) {
        let (ca, logs) = self.assemble(world, &self.layers(world, node), Some(of_responder()));
        match ca.recover().await {
            Ok(recovered) => {
                world.story.tell(|| format!("server {}: recovered: {recovered:?}", self.number));
                world.auditor.look();
            }
            Err(error) => {
                world.story.tell(|| format!("server {}: could not recover: {error}", self.number));
                world.auditor.recovery_failed(&error);
                world.executor.kill(node);
                return;
            }
        }
        let (stop, stopped) = watch::channel(false);
        for (_, task) in upkeep::tasks(&ca, &logs, world.scenario.upkeep, &stopped) {
            world.executor.spawn_boxed(node, task);
        }
        let door = self.door_of(world, node, ca.clone());
        let mut live = self.live();
        if live.node == Some(node) {
            live.router = Some(router(Arc::new(door)));
            live.status = Some(status::issuers(Arc::clone(&ca)));
            live.ca = Some(ca);
            live.stop = Some(stop);
        }
    }

    /// `responder`: the key of the delegated OCSP responder, if there is one.
    fn assemble(&self, world: &World, layers: &Layers, responder: Option<KeyPair>) -> (Arc<Ca>, Vec<Arc<BuiltinLog>>) {
        let settings = world.settings.clone();
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let delegate = responder.as_ref().map(|pair| pair.public_key().clone());
        let ledger = layers.around(world.stores.ledger.clone() as _, |layer, port| layer.ledger(port));
        let workbench = layers.around(world.stores.workbench.clone() as _, |layer, port| layer.workbench(port));
        let audit: Arc<dyn AuditLog> = layers.around(self.audit.clone() as _, |layer, port| layer.audit(port));
        let hierarchy = Hierarchy::shared();
        let rules = SignerRules::of(&settings);
        let keys = [hierarchy.issuer_key()];
        let signer = FileSigner::new(keys, ledger.clone(), clock.clone(), rules, ca::crl::CrlScheme::of(&settings));
        let signer: Arc<dyn Signer> = match responder {
            Some(responder) => Arc::new(signer.with_responder(responder)),
            None => Arc::new(signer),
        };
        let signer = layers.around(signer, |layer, port| layer.signer(port));
        let log_store = layers.around(world.stores.logs.clone() as _, |layer, port| layer.log_store(port));
        let acceptance = Arc::new(Acceptance::new(vec![hierarchy.issuer.clone()], ledger.clone()));
        let logs: Vec<Arc<BuiltinLog>> = (0..world.logs)
            .map(|number| {
                let key: Arc<dyn LogKey> = Arc::new(FileLogKey::new(of_log(number)).expect("the key is on P-256"));
                let key = layers.around(key, |layer, port| layer.log_key(port));
                Arc::new(BuiltinLog::new(key, log_store.clone(), acceptance.clone(), clock.clone()))
            })
            .collect();
        let ca = Ca {
            clock_watch: ca::clock::ClockWatch::default(),
            crl_watch: ca::crl::CrlWatch::default(),
            unreadable: ca::UnreadableOrders::default(),
            blocked: ca::Bell::default(),
            stop_numbers: ca::StopNumbers::default(),
            ocsp: ca::ocsp::OcspAnswers::new(&settings.ocsp, std::slice::from_ref(&hierarchy.issuer), delegate),
            test_shares: TestShares::new(&settings.limits),
            instance: instance(self.number),
            issuers: vec![hierarchy.issuer.clone()],
            random: self.random.clone(),
            linting_key: layers.around(Arc::new(ThrowawayKeys::new()) as _, |layer, port| layer.linting_key(port)),
            validator: layers.around(self.validator(world), |layer, port| layer.validator(port)),
            ct: self.submitter(layers, &logs, &settings),
            settings,
            ledger,
            workbench,
            audit,
            signer,
            clock,
        };
        (Arc::new(ca), logs)
    }

    /// What watches is innermost, faults are outermost.
    fn layers(&self, world: &Arc<World>, node: Node) -> Layers {
        let faults = Faults {
            executor: world.executor.clone(),
            node,
            fates: world.fates.clone(),
            story: world.story.clone(),
            tally: world.tally.clone(),
            internet: world.internet.clone(),
            clock: self.clock.clone(),
            name: format!("server {}", self.number),
        };
        let mut layers = world.layers.clone();
        layers.0.insert(0, Arc::new(world.stores.unsynced.clone()));
        layers.0.insert(1, Arc::new(world.auditor.watch(self.number, node)));
        layers.0.push(Arc::new(world.ct_logs.clone()));
        layers.0.push(Arc::new(world.auditor.watch_leases(node)));
        layers.0.push(Arc::new(Arc::new(faults)));
        layers.0.extend(world.outermost.0.iter().cloned());
        layers
    }

    fn validator(&self, world: &World) -> Arc<dyn Validator> {
        let settings = validation::Settings {
            targets: TargetPolicy::private(),
            caa_identities: vec![CAA_IDENTITY.to_owned()],
            ..validation::Settings::default()
        };
        let (dns, network) = (world.internet.clone(), world.internet.clone());
        Arc::new(NetworkValidator::over(settings, Arc::new(self.clock.clone()), dns, network))
    }

    fn submitter(&self, layers: &Layers, logs: &[Arc<BuiltinLog>], _: &Settings) -> Arc<dyn CtSubmitter> {
        let listed = (0..)
            .zip(logs)
            .map(|(number, log)| Log {
                name: format!("log {number}"),
                operator: "Simulated".to_owned(),
                state: LogState::Usable,
                interval: None,
                endpoint: layers.around(log.clone() as Arc<dyn Endpoint>, |layer, port| layer.endpoint(port)),
            })
            .collect();
        let submitter = Submitter::new(listed, Arc::new(self.clock.clone()), SubmitterSettings::default());
        layers.around(Arc::new(submitter) as _, |layer, port| layer.ct(port))
    }

    fn door_of(&self, world: &Arc<World>, node: Node, ca: Arc<Ca>) -> AcmeDoor {
        let executor = world.executor.clone();
        AcmeDoor {
            ca,
            base_url: Some(BASE.to_owned()),
            website: None,
            caa_identities: vec![CAA_IDENTITY.to_owned()],
            poll_wait: world.poll_wait,
            polls_per_account: 4,
            body_octets_max: 64 * 1024,
            limits: limits(),
            waiting: Mutex::new(HashMap::new()),
            faults: DevFaults::default(),
            retry_after: RetryAfter::default(),
            errands: Errands::new(move |work| {
                // A process that has died does nothing more.
                let _task = executor.spawn_boxed(node, work);
            }),
        }
    }
}

/// The instance of a machine.
pub fn instance(number: usize) -> InstanceId {
    InstanceId::from_bytes([u8::try_from(number).unwrap_or(u8::MAX).saturating_add(1); 16])
}

const fn limits() -> ListenerLimits {
    ListenerLimits {
        connections: 100,
        connections_per_address: 100,
        handshake_time: Duration::from_secs(10),
        header_time: Duration::from_secs(10),
        body_time: Duration::from_secs(10),
        write_time: Duration::from_secs(10),
        idle_time: Duration::from_secs(60),
        stop_time: Duration::from_secs(10),
        headers: 100,
        header_octets: 16 * 1024,
        streams: 100,
        stream_resets: 100,
    }
}
