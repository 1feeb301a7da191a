//! Runs that nobody thought of. What one of them finds is told by the command that is named.

use std::collections::BTreeMap;

use sim::run;

/// Whatever can go wrong does, in each of these tests; what stands in parentheses came of it.
const FAULTS: [&str; 37] = [
    "(at CT)",
    "(at validation)",
    "(shown behind a redirect)",
    "(shown by http-01)",
    "(worker fenced)",
    "CT log away",
    "CT log overloaded",
    "CT log refuses",
    "CT log signs something else",
    "CT log slow",
    "CT log takes it, answer lost",
    "answer lost",
    "clock jumps back",
    "clock jumps forward",
    "dies before",
    "done and dies",
    "done and fails",
    "done and stops",
    "forbidden by CAA",
    "issuance stopped",
    "key blocked by an operator",
    "killed",
    "look-up failed",
    "many revoked at once",
    "not done and fails",
    "not done, no room",
    "power cut",
    "request lost",
    "request repeated",
    "site away",
    "site cut short",
    "site hangs up",
    "site silent",
    "site wrong",
    "stops before",
    "workbench lost",
    "workbench rolled back",
];

fn hold(seeds: std::ops::Range<u64>, leaps: bool) {
    let mut failed = Vec::new();
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    let mut certificates = 0;
    for seed in seeds {
        let report = run::leaping(seed, leaps, false);
        certificates += report.certificates;
        for (kind, count) in report.faults {
            *faults.entry(kind).or_default() += count;
        }
        let replay = run::replay(seed, leaps);
        failed.extend(report.violations.iter().map(|violation| format!("{replay}: {violation}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(certificates > 0, "nothing was issued, so nothing was tested");
    let missing: Vec<&str> = FAULTS.into_iter().filter(|kind| !faults.contains_key(kind)).collect();
    assert!(missing.is_empty(), "{missing:?} never happened: {faults:?}");
}

#[test]
fn what_always_holds_holds_in_the_first_runs() {
    hold(0..500, false);
}

#[test]
fn what_always_holds_holds_in_the_second_runs() {
    hold(1_000..1_500, false);
}

#[test]
fn what_always_holds_holds_in_the_third_runs() {
    hold(2_000..2_500, false);
}

#[test]
fn what_always_holds_holds_in_the_fourth_runs() {
    hold(3_000..3_500, false);
}

#[test]
fn what_always_holds_holds_where_clocks_are_weeks_off() {
    hold(4_000..4_200, true);
}
