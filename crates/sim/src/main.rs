//! `cairn-sim`: runs seeds, and tells the story of one.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use sim::enumeration::{self, Case, Ended, Life};
use sim::run::{self, Report};

/// Runs simulated worlds in which CAs live, crash and recover. Ends with 1 if something that always holds does not.
#[derive(Debug, Parser)]
#[command(name = "cairn-sim", version)]
struct Arguments {
    /// Tell the story of this seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run these seeds, the last one left out: A..B.
    #[arg(long, value_parser = range, default_value = "0..1000")]
    seeds: (u64, u64),
    /// Run the pairs of faults in the life of one order whose first fault is one of these: A..B. There are some 600
    /// first faults, each with some hundreds of second ones; several processes can share them.
    #[arg(long, value_parser = range, conflicts_with_all = ["seed", "seeds"])]
    pairs: Option<(u64, u64)>,
    /// Tell the story of a life with faults at calls of ports, as findings name them: LIFE/SCHEDULE/CALL=OUTCOME,...
    #[arg(long, conflicts_with_all = ["seed", "seeds", "pairs", "leaps", "seconds"])]
    case: Option<Case>,
    /// Clocks are weeks off, until an operator accepts the right time.
    #[arg(long)]
    leaps: bool,
    /// Stop after so many seconds; pairs stop when those of a first fault are done.
    #[arg(long)]
    seconds: Option<u64>,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").ok_or("expected two numbers, as in 0..1000")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    Ok((number(from)?, number(to)?))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let limit = arguments.seconds.map(Duration::from_secs);
    match (arguments.case, arguments.pairs, arguments.seed) {
        (Some(case), ..) => tell_case(&case),
        (None, Some(range), _) => run_pairs(range, limit),
        (None, None, Some(seed)) => tell(seed, arguments.leaps),
        (None, None, None) => run_many(arguments.seeds, arguments.leaps, limit),
    }
}

fn tell_case(case: &Case) -> ExitCode {
    let ended = enumeration::run(case, None, true);
    for line in &ended.story {
        println!("{line}");
    }
    let violations: Vec<String> = ended.violations.iter().map(ToString::to_string).collect();
    let (calls, met, planned) = (ended.calls.len(), ended.met, case.faults.len());
    println!("{case}: {calls} calls of ports, {met} of {planned} faults, violations {violations:?}");
    if violations.is_empty() && met == planned { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(seed: u64, leaps: bool) -> ExitCode {
    let report = run::leaping(seed, leaps, true);
    for line in &report.story {
        println!("{line}");
    }
    println!("{}", summary(&report));
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn summary(report: &Report) -> String {
    format!(
        "seed {}: {:.1} h, {} steps, {} calls of ports, {} checks, {} certificates, faults {:?}, violations {:?}",
        report.seed,
        report.time.as_secs_f64() / 3600.0,
        report.steps,
        report.calls,
        report.checks,
        report.certificates,
        report.faults,
        report.violations.iter().map(ToString::to_string).collect::<Vec<_>>(),
    )
}

/// What many runs came to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    time: Duration,
    calls: u64,
    checks: u64,
    certificates: u64,
    faults: BTreeMap<&'static str, u64>,
    failed: Vec<u64>,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.time += report.time;
        self.calls += report.calls;
        self.checks += report.checks;
        self.certificates += report.certificates;
        for (kind, count) in &report.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        if !report.violations.is_empty() {
            self.failed.push(report.seed);
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "how long real time has gone by is what is measured")]
fn run_many((from, to): (u64, u64), leaps: bool, limit: Option<Duration>) -> ExitCode {
    let began = std::time::Instant::now();
    let mut sum = Sum::default();
    for seed in from..to {
        if limit.is_some_and(|limit| began.elapsed() > limit) {
            break;
        }
        let report = run::leaping(seed, leaps, false);
        sum.add(&report);
        for violation in &report.violations {
            println!("seed {seed}: {violation}; replay with: {}", run::replay(seed, leaps));
        }
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let days = sum.time.as_secs_f64() / 86_400.0;
    println!("{} seeds in {minutes:.2} minutes: {:.0} seeds per minute", sum.seeds, sum.seeds as f64 / minutes);
    println!("{days:.1} simulated days: {:.1} per minute", days / minutes);
    println!("{} calls of ports, {} checks, {} certificates issued", sum.calls, sum.checks, sum.certificates);
    for (kind, count) in &sum.faults {
        println!("  {count:>8} {kind}");
    }
    println!("{} seeds in which something does not hold: {:?}", sum.failed.len(), sum.failed);
    if sum.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What many pairs of faults came to.
#[derive(Default)]
struct PairSum {
    firsts: u64,
    runs: u64,
    missed: u64,
    failed: u64,
}

impl PairSum {
    fn add(&mut self, pair: &Case, ended: &Ended) {
        self.runs += 1;
        self.missed += u64::from(ended.met < pair.faults.len());
        self.failed += u64::from(!ended.violations.is_empty());
        if ended.met < pair.faults.len() {
            println!("{}: not all of the faults came to pass", pair.replay());
        }
        for violation in &ended.violations {
            println!("{}: {violation}", pair.replay());
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "how long real time has gone by is what is measured")]
fn run_pairs((from, to): (u64, u64), limit: Option<Duration>) -> ExitCode {
    let began = std::time::Instant::now();
    let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let singles = enumeration::singles(Life::Order);
    let mut sum = PairSum::default();
    for first in singles.iter().take(place(to)).skip(place(from)) {
        if limit.is_some_and(|limit| began.elapsed() > limit) {
            break;
        }
        enumeration::pairs(first, |pair, ended| sum.add(pair, ended));
        sum.firsts += 1;
        eprintln!("{} first faults, {} pairs, {} s", sum.firsts, sum.runs, began.elapsed().as_secs());
    }
    let PairSum { firsts, runs, missed, failed } = sum;
    println!("{firsts} first faults from {from} on, of {}: {runs} pairs", singles.len());
    println!("{failed} in which something does not hold, {missed} in which one of the faults did not come to pass");
    if failed == 0 && missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
