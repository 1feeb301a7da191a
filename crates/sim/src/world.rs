//! Everything together: machines, stores, network, clients, and who watches over them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ca::ports::Clock;
use ca::settings::Settings;

use crate::audit::{Auditor, Sight};
use crate::chance::Chance;
use crate::clock::SimClock;
use crate::ct_logs::CtLogs;
use crate::disk::Stores;
use crate::executor::{Executor, Node};
use crate::internet::Internet;
use crate::machine::Machine;
use crate::network::Network;
use crate::ports::{Fates, Layers, Seldom};
use crate::scenario::{STOP_MAX, Scenario};
use crate::story::Story;
use crate::tally::Tally;

/// Another CA is named for so many of a thousand names.
const FORBIDDEN_PERMILLE: u32 = 150;
/// A process that died is started again after at most this time.
const RESTART_MAX: Duration = Duration::from_secs(100);

/// All there is.
pub struct World {
    /// What decides everything.
    pub seed: u64,
    /// What it drew.
    pub scenario: Scenario,
    /// Runs it.
    pub executor: Executor,
    /// Tells it.
    pub story: Arc<Story>,
    /// Counts.
    pub tally: Arc<Tally>,
    /// What processes share.
    pub stores: Stores,
    /// Where they run.
    pub machines: Vec<Arc<Machine>>,
    /// The clocks of the machines, and of the one that has the stores, if that is another.
    pub clocks: Vec<SimClock>,
    /// Between clients and machines.
    pub network: Network,
    /// What validation sees.
    pub internet: Arc<Internet>,
    /// How CT logs fare.
    pub ct_logs: Arc<CtLogs>,
    /// Watches.
    pub auditor: Arc<Auditor>,
    /// Decides what becomes of calls.
    pub fates: Arc<dyn Fates>,
    /// What was planted around the ports of all processes, the innermost first.
    pub layers: Layers,
    /// The same, above the faults.
    pub outermost: Layers,
    /// The settings of all servers.
    pub settings: Settings,
    /// Built-in CT logs.
    pub logs: usize,
    /// A poll waits at most this long.
    pub poll_wait: Duration,
    /// Draws what the world does.
    pub chance: Chance,
    seldom: Option<Arc<Seldom>>,
    is_calm: AtomicBool,
    /// Operators who have something to do yet.
    pub(crate) operators: AtomicUsize,
    /// Whether relying parties have asked their last question.
    pub(crate) last_answered: AtomicBool,
    at_work: Mutex<BTreeSet<usize>>,
}

/// What may be other than a seed draws it.
#[derive(Debug)]
pub struct Options {
    /// Decides what becomes of calls, instead of the seed.
    pub fates: Option<Arc<dyn Fates>>,
    /// Planted around the ports of all processes, below the faults; the innermost first.
    pub layers: Layers,
    /// Planted above the faults.
    pub outermost: Layers,
    /// Whether the story is told.
    pub told: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { fates: None, layers: Layers(Vec::new()), outermost: Layers(Vec::new()), told: false }
    }
}

impl World {
    /// A world in which nothing has begun.
    pub fn new(seed: u64, scenario: Scenario, options: Options) -> Arc<Self> {
        let executor = Executor::new(seed);
        let story = Arc::new(Story::new(executor.clone(), options.told));
        let tally = Arc::new(Tally::new(executor.clone()));
        // One machine has its stores on its own disk; several ask a machine that has a clock of its own.
        let count = if scenario.machines == 1 { 1 } else { scenario.machines + 1 };
        let clocks: Vec<SimClock> = (0..count).map(|_| SimClock::new(executor.clone())).collect();
        let of_stores = clocks[count - 1].clone();
        let random = Arc::new(Chance::new(seed, "stores"));
        let stores = Stores::new(Arc::new(of_stores) as Arc<dyn Clock>, random, scenario.power_cuts);
        let of_machines = clocks.iter().take(scenario.machines).cloned().enumerate();
        let machines: Vec<Arc<Machine>> =
            of_machines.map(|(number, clock)| Arc::new(Machine::new(number, clock, seed))).collect();
        let internet = Arc::new(Internet::new(executor.clone(), seed, scenario.dns_failing, tally.clone()));
        if scenario.forbids {
            internet.forbid_some(FORBIDDEN_PERMILLE);
        }
        let auditor = Auditor::new(Sight {
            executor: executor.clone(),
            ledger: stores.ledger.clone(),
            workbench: stores.workbench.clone(),
            audits: machines.iter().map(|machine| machine.audit.clone()).collect(),
            clocks: clocks.clone(),
            internet: internet.clone(),
            settings: scenario.settings.clone(),
            story: story.clone(),
            tally: tally.clone(),
            workbench_forgets: scenario.workbench_losses > 0,
        });
        let seldom = Arc::new(Seldom::new(
            Chance::new(seed, "faults"),
            scenario.fault_rate,
            scenario.faults_max,
            scenario.fates.clone(),
            scenario.latency,
        ));
        let (fates, seldom) = match options.fates {
            Some(fates) => (fates, None),
            None => (seldom.clone() as Arc<dyn Fates>, Some(seldom)),
        };
        Arc::new(Self {
            seed,
            network: Network::new(executor.clone(), seed, scenario.weather, tally.clone()),
            settings: scenario.settings.clone(),
            ct_logs: Arc::new(CtLogs::new(executor.clone(), seed, scenario.ct_failing, tally.clone())),
            logs: scenario.logs,
            clocks,
            is_calm: AtomicBool::new(false),
            operators: AtomicUsize::new(0),
            last_answered: AtomicBool::new(false),
            poll_wait: Duration::from_secs(10),
            chance: Chance::new(seed, "world"),
            auditor: Arc::new(auditor),
            layers: options.layers,
            outermost: options.outermost,
            at_work: Mutex::new(scenario.clients.iter().map(|task| task.number).collect()),
            scenario,
            executor,
            story,
            tally,
            stores,
            machines,
            internet,
            fates,
            seldom,
        })
    }

    /// Machines and clients begin.
    pub fn begin(self: &Arc<Self>) {
        self.auditor.asks(Machine::witness(self));
        for machine in &self.machines {
            machine.start(self);
        }
        for task in &self.scenario.clients {
            self.executor.spawn(Node::WORLD, task.clone().run(Arc::clone(self)));
        }
        self.begin_relying_parties();
        self.begin_operators();
        self.begin_mishaps();
    }

    /// One step: somebody does something, or time goes on, at most until then. `false`: there is nothing to do.
    pub fn step(self: &Arc<Self>, until: Duration) -> bool {
        let went_on = self.executor.step(until);
        for node in self.executor.bury() {
            self.died(node);
        }
        went_on
    }

    fn died(self: &Arc<Self>, node: Node) {
        let Some(machine) = self.machines.iter().find(|machine| machine.buried(node)) else { return };
        self.story.tell(|| format!("server {}: is dead", machine.number));
        self.tally.trouble_for(Duration::ZERO);
        if self.scenario.power_cuts && self.chance.happens(500) {
            let forgotten = self.stores.unsynced.forget(&self.chance);
            self.stores.workbench.forget_nonces();
            self.tally.fault("power cut");
            self.story.tell(|| format!("server {}: lost its power; {forgotten} steps are forgotten", machine.number));
        }
        self.auditor.look();
        let (world, machine) = (Arc::clone(self), Arc::clone(machine));
        let seconds = Duration::from_secs;
        let pause = self.chance.one_of(&[Duration::from_millis(100), seconds(1), seconds(5), RESTART_MAX]);
        self.tally.trouble_for(pause);
        self.executor.spawn(Node::WORLD, async move {
            world.executor.sleep(pause).await;
            machine.start(&world);
        });
    }

    /// Whether nothing fails any more.
    pub fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Relaxed)
    }

    /// Nothing fails any more.
    pub fn calm(self: &Arc<Self>) {
        self.is_calm.store(true, Ordering::Relaxed);
        self.story.tell(|| "--- nothing fails from now on".to_owned());
        if let Some(seldom) = &self.seldom {
            seldom.calm();
        }
        self.network.calm();
        self.internet.calm();
        self.ct_logs.calm();
        self.set_clocks_right();
        self.see_to_stops();
        self.watch_deadlines();
    }

    /// While nothing fails, no order may be processing for longer than it has time (invariant 8).
    fn watch_deadlines(self: &Arc<Self>) {
        let times = &self.settings.times;
        let (sweep, late) = (times.sweep, times.issue_lease + times.sweep * 3);
        // By a clock that was behind, and leapt when it was set right, no order ends as long as it is doubted.
        let doubted = if self.scenario.clock_jumps == 0 { Duration::ZERO } else { times.issue_deadline };
        // What was stopped goes on, what was dead is started, and time catches up with clocks that were ahead.
        let settled = STOP_MAX + RESTART_MAX + self.scenario.clock_jump_max + doubted + late;
        let world = Arc::clone(self);
        self.executor.spawn(Node::WORLD, async move {
            world.executor.sleep(settled).await;
            loop {
                world.auditor.nobody_is_overdue(world.clocks[0].now().minus(late));
                world.executor.sleep(sweep).await;
            }
        });
    }

    /// Drops everything that goes on.
    pub(crate) fn end(&self) {
        for machine in &self.machines {
            if let Some(node) = machine.node() {
                machine.buried(node);
            }
        }
        self.executor.end();
    }

    /// A client has done what it wanted.
    pub fn client_done(&self, number: usize) {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    /// Whether all clients have.
    pub fn clients_done(&self) -> bool {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Whether all operators have.
    pub(crate) fn operators_done(&self) -> bool {
        self.operators.load(Ordering::Relaxed) == 0
    }

    /// A profile to ask for, or none.
    pub fn draw_profile(&self, chance: &Chance) -> Option<String> {
        let profiles = &self.settings.profiles;
        chance.happens(300).then(|| profiles[chance.place(profiles.len())].name.clone())
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World(seed {})", self.seed)
    }
}
