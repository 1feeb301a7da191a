//! A run: a storm in which things fail, a calm in which clients get what they want, and rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ca::ports::Clock;

use crate::audit::Violation;
use crate::mishaps::OPERATOR;
use crate::scenario::{STOP_MAX, Scenario};
use crate::world::{Options, World};

/// In the calm clients get what they want within this time.
const CALM_MAX: Duration = Duration::from_secs(3 * 86_400);
/// So long a storm goes on when all clients are done.
const AFTERMATH: Duration = Duration::from_secs(100);
/// In this time servers have answered all there is to ask at the end.
const LAST_QUESTIONS: Duration = Duration::from_secs(1_800);
/// More steps than this are no small run any more: something turns in a circle.
const STEPS_MAX: u64 = 3_000_000;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// How long it was in simulated time.
    pub time: Duration,
    /// Calls of ports.
    pub calls: u64,
    /// Steps of the executor.
    pub steps: u64,
    /// Looks at what is to hold.
    pub checks: u64,
    /// Certificates that clients have got.
    pub certificates: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// What happened, if it was to be told.
    pub story: Vec<String>,
}

/// Runs what a seed draws.
pub fn seed(seed: u64, told: bool) -> Report {
    leaping(seed, false, told)
}

/// Runs what a seed draws. `leaps`: clocks are weeks off, too.
pub fn leaping(seed: u64, leaps: bool, told: bool) -> Report {
    let drawn = Scenario::draw(seed);
    let scenario = if leaps { drawn.with_leaps() } else { drawn };
    run(seed, scenario, Options { told, ..Options::default() })
}

/// The command that tells the story of such a run.
pub fn replay(seed: u64, leaps: bool) -> String {
    format!("cairn-sim --seed {seed}{}", if leaps { " --leaps" } else { "" })
}

/// Runs a scenario.
pub fn run(seed: u64, scenario: Scenario, options: Options) -> Report {
    let world = World::new(seed, scenario, options);
    world.story.tell(|| format!("seed {seed}: {:?}", world.scenario));
    world.begin();
    let mut ended = until(&world, world.scenario.storm, World::clients_done);
    // What was left half done in the storm is looked at under it, too.
    let after = (world.executor.now() + AFTERMATH).min(world.scenario.storm);
    ended = ended && until(&world, after, |_| false);
    world.calm();
    let limit = world.executor.now() + CALM_MAX;
    ended = ended && until(&world, limit, |world| world.clients_done() && world.operators_done());
    if ended && !(world.clients_done() && world.operators_done()) {
        world
            .auditor
            .gave_up("somebody", &format!("not done within {} days without faults", CALM_MAX.as_secs() / 86_400));
    }
    if ended {
        rest(&world);
    }
    report(&world)
}

/// Leases run out, time catches up with clocks that were ahead, and CRLs are made anew. If an order is still at work
/// then, it has the time until its deadline.
fn rest(world: &Arc<World>) {
    let times = &world.settings.times;
    let caught_up = if world.scenario.has_leaps() { OPERATOR * 2 } else { world.scenario.clock_jump_max };
    // Whoever stood still when the last fault came goes on first.
    let settled = STOP_MAX + times.issue_lease + times.sweep * 3 + caught_up + world.scenario.upkeep * 2;
    let mut limit = world.executor.now() + settled;
    let mut calm = until(world, limit, |_| false);
    if calm && world.auditor.is_at_work() {
        limit += times.issue_deadline;
        calm = until(world, limit, |_| false);
    }
    if calm {
        // So long a clock may be doubted, and what failed may have to wait.
        limit += times.issue_deadline;
        calm = until(world, limit, |_| false);
    }
    if calm {
        world.executor.pass_until(limit);
        world.begin_last_questions();
        limit += LAST_QUESTIONS;
        calm = until(world, limit, is_answered);
        if calm && !is_answered(world) {
            let asked_for = LAST_QUESTIONS.as_secs();
            world.auditor.found(5, format!("after {asked_for} s servers have not answered all there is to ask"));
        }
    }
    if calm && is_answered(world) {
        let now = world.machines[0].clock.now();
        world.auditor.look_at_rest(now);
    }
}

fn is_answered(world: &World) -> bool {
    world.last_answered.load(Ordering::Relaxed)
}

/// Goes on until this time, or until it is enough. `false`: something does not hold.
fn until(world: &Arc<World>, limit: Duration, enough: impl Fn(&World) -> bool) -> bool {
    while world.executor.now() <= limit && !enough(world) {
        if world.auditor.is_violated() {
            return false;
        }
        if world.executor.steps() > STEPS_MAX {
            world.auditor.gave_up("the world", &format!("{STEPS_MAX} steps are not enough"));
            return false;
        }
        if !world.step(limit) {
            break;
        }
    }
    !world.auditor.is_violated()
}

fn report(world: &Arc<World>) -> Report {
    let report = Report {
        seed: world.seed,
        violations: world.auditor.violations(),
        time: world.executor.now(),
        calls: world.tally.calls(),
        steps: world.executor.steps(),
        checks: world.tally.checks(),
        certificates: world.tally.certificates(),
        faults: world.tally.faults(),
        story: world.story.lines(),
    };
    world.end();
    report
}
