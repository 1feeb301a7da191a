//! The search for a planted fault: by enumerated faults and by seeds, until an invariant finds it.

use crate::audit::Violation;
use crate::enumeration::{self, Case, Life};
use crate::planted::{Planted, options};
use crate::ports::{Call, Fate};
use crate::run;
use crate::scenario::Scenario;

/// How a fault was found.
#[derive(Clone, Debug)]
pub struct Caught {
    /// After so many runs, the one that found it included.
    pub runs: u64,
    /// What that run was.
    pub by: String,
    /// What did not hold.
    pub violation: Violation,
}

/// Runs seeds with the fault, from `from` on and at most `limit` of them, until one finds it.
pub fn by_seeds(planted: &Planted, from: u64, limit: u64) -> Option<Caught> {
    (from..from + limit).zip(1..).find_map(|(seed, runs)| {
        let report = run::run(seed, Scenario::draw(seed), options(Some(planted)));
        let violation = report.violations.into_iter().next()?;
        Some(Caught { runs, by: format!("seed {seed}"), violation })
    })
}

/// Runs all lives with the fault: under several schedules without another, then with each other single one, then with
/// deaths of the process that recovers from one; until one of them finds it. `shortly`: only the life in which it is
/// looked for first.
pub fn by_enumeration(planted: &Planted, shortly: bool) -> Option<Caught> {
    let mut runs = 0;
    let mut attempt = |case: &Case, what: &dyn Fn() -> String| {
        let ended = enumeration::run(case, Some(planted), false);
        runs += 1;
        let caught = ended.violations.into_iter().next().map(|violation| Caught { runs, by: what(), violation });
        (caught, ended.calls)
    };
    let first = planted.shows;
    let mut deaths = Vec::new();
    for life in [first].into_iter().chain(Life::ALL.into_iter().filter(|life| *life != first && !shortly)) {
        let mut calls = Vec::new();
        for schedule in 0..life.schedules() {
            let calm = Case::calm(life, schedule);
            let (caught, made) = attempt(&calm, &|| format!("{}, nothing else failed", life.name()));
            if caught.is_some() {
                return caught;
            }
            if schedule == 0 {
                calls = made;
            }
        }
        for (case, call) in enumeration::after(&Case::calm(life, 0), &calls) {
            let (caught, calls) = attempt(&case, &|| said(&case, call));
            if caught.is_some() {
                return caught;
            }
            let died_logged = matches!(call, Call::AppendPrecertificate | Call::AppendCertificate | Call::AppendOther)
                && case.faults.values().any(|fate| *fate == Fate::DiesAfter);
            if died_logged && case.life == Life::Order {
                deaths.push((case, calls));
            }
        }
    }
    for (death, calls) in &deaths {
        for (case, call) in enumeration::after(death, calls).into_iter().take(60) {
            let (caught, _) = attempt(&case, &|| said(&case, call));
            if caught.is_some() {
                return caught;
            }
        }
    }
    None
}

fn said(case: &Case, last: Call) -> String {
    let fates: Vec<&str> = case.faults.values().map(|fate| fate.name()).collect();
    format!("{}, {last:?} {}", case.life.name(), fates.join(", then "))
}
