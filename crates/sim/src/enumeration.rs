//! Every crash point, enumerated and not drawn: each call of a port that an order's life takes meets each outcome,
//! once. After that the order has to end as its client deserves, and everything else has to hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ca::OrderId;
use ca::order::Outcome;
use ca::ports::{
    ActiveOrder, AuditEvent, AuditLog, AuditMark, Clock, Ledger, LedgerEnd, LedgerOrder, OrderFilter, Standing,
    Workbench,
};
use pki::{Sha256, Timestamp};

use crate::audit::{Violation, now};
use crate::client::{Script, Task, Temper};
use crate::executor::Node;
use crate::planted::{self, Planted};
use crate::ports::{Call, Fate, Fates};
use crate::scenario::Scenario;
use crate::world::{Options, World};

/// What becomes of a call that is not simply done.
pub const OUTCOMES: [Fate; 4] = [Fate::NotDone, Fate::Unknown, Fate::DiesBefore, Fate::DiesAfter];
/// A process stands still for longer than any lease, and then goes on as if nothing had been.
const STOPPED: Duration = Duration::from_secs(150);
/// The same where others go on meanwhile: another process, or the world outside that is asked.
pub const OUTCOMES_WITH_STOPS: [Fate; 6] = [
    Fate::NotDone,
    Fate::Unknown,
    Fate::DiesBefore,
    Fate::DiesAfter,
    Fate::StopsBefore(STOPPED),
    Fate::StopsAfter(STOPPED),
];
/// Nothing but the fault goes wrong: in this time every client has its certificate.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// What is away comes back after so many calls of ports, which take longer than an order may be in issuance.
const AWAY: u64 = 20_000;
/// More steps than this are no small run any more: something turns in a circle.
const STEPS_MAX: u64 = 400_000;

/// Whose life is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// One order of a profile with CT, from the server's first start to the acknowledgement.
    Order,
    /// The same without CT.
    OrderWithoutCt,
    /// Two orders of two clients, side by side.
    TwoOrders,
    /// One order, and two servers over the same stores.
    TwoServers,
    /// One order that has little time to be issued.
    ShortDeadline,
    /// One order, and a signer that is not reached for a long time.
    SignerAway,
    /// One order, and a ledger in which no issuance can begin for a long time.
    LedgerAway,
    /// A client that follows a script.
    Scripted(Script),
}

impl Life {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Order,
        Self::OrderWithoutCt,
        Self::TwoOrders,
        Self::Scripted(Script::Waits),
        Self::Scripted(Script::Leaves),
        Self::Scripted(Script::Repeats),
        Self::Scripted(Script::LosesWorkbench),
        Self::Scripted(Script::Intrudes),
        Self::SignerAway,
        Self::LedgerAway,
        Self::ShortDeadline,
        Self::TwoServers,
        Self::Scripted(Script::Revokes),
        Self::Scripted(Script::Stopped),
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "one order",
            Self::OrderWithoutCt => "one order without CT",
            Self::TwoOrders => "two orders",
            Self::TwoServers => "two servers",
            Self::ShortDeadline => "a short deadline",
            Self::SignerAway => "a signer that is away",
            Self::LedgerAway => "a ledger that is away",
            Self::Scripted(Script::Intrudes) => "an intruder",
            Self::Scripted(Script::Revokes) => "a revocation",
            Self::Scripted(Script::Stopped) => "a stop",
            Self::Scripted(Script::Waits) => "a late finalize",
            Self::Scripted(Script::Leaves) => "a deactivation",
            Self::Scripted(Script::Repeats) => "repetitions",
            Self::Scripted(Script::LosesWorkbench) => "a lost workbench",
        }
    }

    /// Schedules that are worth looking at where nothing else fails.
    pub const fn schedules(self) -> u64 {
        match self {
            Self::TwoOrders
            | Self::TwoServers
            | Self::Scripted(Script::Revokes | Script::Repeats | Script::Stopped) => 12,
            Self::Order
            | Self::OrderWithoutCt
            | Self::ShortDeadline
            | Self::SignerAway
            | Self::LedgerAway
            | Self::Scripted(Script::Waits | Script::Leaves | Script::LosesWorkbench | Script::Intrudes) => 1,
        }
    }

    fn scenario(self) -> Scenario {
        let mut scenario = Scenario::calm();
        let clients = if self == Self::TwoOrders { 2 } else { 1 };
        let temper = if let Self::Scripted(script) = self { Temper::Follows(script) } else { Temper::Honest };
        scenario.clients =
            (0..clients).map(|number| Task { number, temper, orders: 1, begins: Duration::ZERO }).collect();
        let with_ct = self != Self::OrderWithoutCt;
        scenario.settings.profiles.retain(|profile| profile.ct.is_some() == with_ct);
        scenario.relying_parties = usize::from(matches!(self, Self::Scripted(Script::Revokes)));
        match self {
            Self::TwoServers => scenario.machines = 2,
            Self::ShortDeadline => scenario.settings.times.issue_deadline = Duration::from_millis(50),
            Self::Scripted(Script::Waits) => {
                scenario.settings.times.caa_reuse = Duration::from_secs(10);
                scenario.settings.times.authorization_lifetime = Duration::from_secs(30);
            }
            Self::Order
            | Self::OrderWithoutCt
            | Self::TwoOrders
            | Self::SignerAway
            | Self::LedgerAway
            | Self::Scripted(
                Script::Revokes
                | Script::Leaves
                | Script::Repeats
                | Script::LosesWorkbench
                | Script::Intrudes
                | Script::Stopped,
            ) => {}
        }
        scenario
    }

    /// How long each call takes, before it is done and after.
    const fn latency(self) -> Duration {
        match self {
            Self::Scripted(Script::Revokes | Script::Stopped) => Duration::from_millis(300),
            Self::TwoServers => Duration::from_millis(10),
            Self::Order
            | Self::OrderWithoutCt
            | Self::TwoOrders
            | Self::ShortDeadline
            | Self::SignerAway
            | Self::LedgerAway
            | Self::Scripted(
                Script::Waits | Script::Leaves | Script::Repeats | Script::LosesWorkbench | Script::Intrudes,
            ) => Duration::ZERO,
        }
    }

    /// What can become of such a call of it.
    pub const fn outcomes(self, call: Call) -> &'static [Fate] {
        let stops = matches!(self, Self::TwoServers) || call.outside().is_some();
        if stops { &OUTCOMES_WITH_STOPS } else { &OUTCOMES }
    }

    /// Whether a fault can be why an order died: it came too late, or its client has brought it about.
    const fn explains_deaths(self) -> bool {
        matches!(self, Self::ShortDeadline | Self::SignerAway | Self::LedgerAway | Self::Scripted(_))
    }
}

/// One run: a life under one schedule, with these faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Whose life.
    pub life: Life,
    /// Decides who goes first where several could.
    pub schedule: u64,
    /// What becomes of which call, by its number in this run.
    pub faults: BTreeMap<u64, Fate>,
}

impl Case {
    /// Nothing goes wrong.
    pub const fn calm(life: Life, schedule: u64) -> Self {
        Self { life, schedule, faults: BTreeMap::new() }
    }

    /// The command that tells its story.
    pub fn replay(&self) -> String {
        format!("cairn-sim --case \"{self}\"")
    }

    /// The same, and this call meets this fate.
    #[must_use]
    pub fn with(&self, call: u64, fate: Fate) -> Self {
        let mut case = self.clone();
        case.faults.insert(call, fate);
        case
    }
}

/// As `cairn-sim --case` takes it: `one order/0/17=dies before,203=done and fails`.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(|(call, fate)| format!("{call}={}", fate.name())).collect();
        write!(f, "{}/{}/{}", self.life.name(), self.schedule, faults.join(","))
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().ok_or("expected LIFE/SCHEDULE/FAULTS, as in \"one order/0/17=dies before\"");
        let (name, schedule, faults) = (part()?, part()?, part()?);
        let life = Life::ALL.into_iter().find(|life| life.name() == name).ok_or_else(|| {
            let known: Vec<&str> = Life::ALL.iter().map(|life| life.name()).collect();
            format!("no life is called {name:?}; there are: {}", known.join(", "))
        })?;
        let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
        let mut case = Self::calm(life, number(schedule)?);
        for fault in faults.split(',').filter(|fault| !fault.is_empty()) {
            let (call, name) = fault.split_once('=').ok_or_else(|| format!("expected CALL=OUTCOME, not {fault:?}"))?;
            let fate = OUTCOMES_WITH_STOPS.into_iter().find(|fate| fate.name() == name).ok_or_else(|| {
                let known: Vec<&str> = OUTCOMES_WITH_STOPS.iter().map(|fate| fate.name()).collect();
                format!("no outcome is called {name:?}; there are: {}", known.join(", "))
            })?;
            case.faults.insert(number(call)?, fate);
        }
        Ok(case)
    }
}

/// A call that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Which.
    pub call: Call,
    /// It failed of itself: nobody can lose its answer.
    pub failed: bool,
}

impl Made {
    fn can_end(self, fate: Fate) -> bool {
        self.call.can_end(fate) && !(self.failed && fate == Fate::Unknown)
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Ended {
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// The calls that were made until the clients had what they wanted.
    pub calls: Vec<Made>,
    /// How many of the faults came to pass.
    pub met: usize,
    /// What happened, if it was to be told.
    pub story: Vec<String>,
}

/// Faults at calls that are named by their numbers.
#[derive(Debug)]
struct Plan {
    faults: BTreeMap<u64, Fate>,
    latency: Duration,
    /// A call that is not done for a long time.
    away: Option<Call>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    calls: Vec<Made>,
    met: BTreeSet<u64>,
}

impl Plan {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fates for Plan {
    fn of(&self, number: u64, _: Node, call: Call) -> Fate {
        self.seen().calls.push(Made { call, failed: false });
        match self.faults.get(&number) {
            Some(fate) => *fate,
            None if self.away == Some(call) && number < AWAY => Fate::NotDone,
            None => Fate::Done,
        }
    }

    fn met(&self, number: u64) {
        if self.faults.contains_key(&number) {
            self.seen().met.insert(number);
        }
    }

    fn failed(&self, number: u64) {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(made) = self.seen().calls.get_mut(place) {
            made.failed = true;
        }
    }

    fn latency(&self) -> Duration {
        self.latency
    }
}

/// Runs a case. `planted`: with this fault put in on purpose; `told`: with its story.
pub fn run(case: &Case, planted: Option<&Planted>, told: bool) -> Ended {
    let plan = Arc::new(Plan {
        faults: case.faults.clone(),
        latency: case.life.latency(),
        away: match case.life {
            Life::SignerAway => Some(Call::SignPrecertificate),
            Life::LedgerAway => Some(Call::Begin),
            Life::Order
            | Life::OrderWithoutCt
            | Life::TwoOrders
            | Life::TwoServers
            | Life::ShortDeadline
            | Life::Scripted(_) => None,
        },
        seen: Mutex::default(),
    });
    let options = Options { fates: Some(plan.clone()), told, ..planted::options(planted) };
    let world = World::new(case.schedule, case.life.scenario(), options);
    world.begin();
    let mut found = Vec::new();
    until(&world, PATIENCE, World::clients_done);
    let (calls, met) = {
        let seen = plan.seen();
        (seen.calls.clone(), seen.met.len())
    };
    if !world.auditor.is_violated() {
        if world.clients_done() {
            rest(&world);
        } else {
            let detail = format!("within {} hours not all clients have their certificates", PATIENCE.as_secs() / 3600);
            found.push(Violation { invariant: 8, detail });
        }
    }
    found.extend(world.auditor.violations());
    if found.is_empty() {
        found.extend(undeserved(&world, case));
    }
    let story = world.story.lines();
    world.end();
    Ended { violations: found, calls, met, story }
}

/// What was left of leases and of the audit log is brought in. If an order is still at work then, it has the time until
/// its deadline.
fn rest(world: &Arc<World>) {
    let times = &world.settings.times;
    let settled = world.executor.now() + times.issue_lease + times.sweep * 3;
    until(world, settled, |_| false);
    let active = now(world.stores.workbench.list(OrderFilter::default(), 1_000)).unwrap_or_default();
    let waits = |one: &ActiveOrder| matches!(one.standing, Standing::Client | Standing::PendingDone);
    if !active.iter().all(waits) {
        until(world, settled + times.issue_deadline, |_| false);
    }
    if !world.auditor.is_violated() {
        world.auditor.look_at_rest(world.machines[0].clock.now());
    }
}

fn until(world: &Arc<World>, limit: Duration, enough: impl Fn(&World) -> bool) {
    while world.executor.now() <= limit && !enough(world) && !world.auditor.is_violated() {
        if world.executor.steps() > STEPS_MAX || !world.step(limit) {
            return;
        }
    }
}

/// Each client has one certificate, and no order has died: no single fault explains that. What a client was not told of
/// is left to expire. No life explains that an order died whose certificate stood in the audit log.
fn undeserved(world: &World, case: &Case) -> Vec<Violation> {
    let violation = |detail: String| Violation { invariant: 8, detail };
    let mut found = Vec::new();
    let ended = now(world.stores.ledger.ended_orders(None, 1_000)).unwrap_or_default();
    let explained = case.life.explains_deaths();
    if case.life == Life::LedgerAway && case.faults.is_empty() {
        let slack = world.settings.times.issue_lease + world.settings.times.sweep * 2;
        let late = |known: &&LedgerOrder| match (known.order.deadline(), &known.end) {
            (Some(deadline), Some((_, at))) => *at > deadline.plus(slack),
            (Some(_) | None, _) => false,
        };
        found.extend(ended.iter().filter(late).map(|known| violation(format!("order {} ended late", known.order.id))));
    }
    let valid = ended.iter().filter(|known| matches!(known.end, Some((LedgerEnd::Valid(_), _)))).count();
    if !explained && valid < world.scenario.clients.len() {
        found.push(violation(format!("{valid} orders are valid, of {} clients", world.scenario.clients.len())));
    }
    for known in &ended {
        if let Some((LedgerEnd::Invalid(failure), at)) = &known.end {
            let (order, why) = (known.order.id, &failure.problem.detail);
            if !explained {
                found.push(violation(format!("order {order} has died: {why}")));
            }
            if was_logged(world, order, *at) {
                found.push(violation(format!("order {order} has died, and its certificate was logged before: {why}")));
            }
        }
    }
    for active in now(world.stores.workbench.list(OrderFilter::default(), 1_000)).unwrap_or_default() {
        if let (Some(Outcome::Invalid(failure)), false) = (active.order.outcome(), explained) {
            found.push(violation(format!("order {} has died: {}", active.order.id, failure.problem.detail)));
        }
    }
    if case.faults.is_empty() && !explained {
        found.extend(idle_work(world));
    }
    found
}

/// Whether the audit log had a certificate of this order before this time.
fn was_logged(world: &World, order: OrderId, before: Timestamp) -> bool {
    let start = AuditMark { sequence: 0, chain: Sha256::from_bytes([0; 32]) };
    world.machines.iter().any(|machine| {
        let lines = now(machine.audit.lines(start, 10_000)).map(|(lines, _)| lines).unwrap_or_default();
        lines.iter().any(|line| {
            line.at < before && matches!(&line.event, AuditEvent::Certificate { order: of, .. } if *of == order)
        })
    })
}

/// Without a fault nothing is done twice: each order takes one issuance.
fn idle_work(world: &World) -> Vec<Violation> {
    let ended = now(world.stores.ledger.ended_orders(None, 1_000)).unwrap_or_default();
    let several = ended.into_iter().filter(|known| known.last.is_some_and(|last| last.0 > 1));
    several
        .map(|known| Violation {
            invariant: 0,
            detail: format!("nothing failed, and order {} took {:?} issuances", known.order.id, known.last),
        })
        .collect()
}

/// Every single fault of a life.
pub fn singles(life: Life) -> Vec<Case> {
    let calm = Case::calm(life, 0);
    after(&calm, &run(&calm, None, false).calls).into_iter().map(|(case, _)| case).collect()
}

/// Runs every pair of faults that begins with this one; `each` sees every run.
pub fn pairs(first: &Case, mut each: impl FnMut(&Case, &Ended)) {
    let ended = run(first, None, false);
    for (pair, _) in after(first, &ended.calls) {
        each(&pair, &run(&pair, None, false));
    }
}

/// All cases with one fault more, at a call behind the last one that meets one. `calls`: as the case makes them.
pub fn after(case: &Case, calls: &[Made]) -> Vec<(Case, Call)> {
    let first = case.faults.last_key_value().map_or(0, |(last, _)| last + 1);
    (0..)
        .zip(calls)
        .filter(|(number, _)| *number >= first)
        .flat_map(|(number, made)| case.life.outcomes(made.call).iter().map(move |fate| (number, *made, *fate)))
        .filter(|(_, made, fate)| made.can_end(*fate))
        .map(|(number, made, fate)| (case.with(number, fate), made.call))
        .collect()
}
