//! Runs that nobody thought of. What one of them finds is told by `cairn-sim --seed N`.

use sim::run;

fn hold(seeds: std::ops::Range<u64>) {
    let mut failed = Vec::new();
    let mut certificates = 0;
    for seed in seeds {
        let report = run::seed(seed, false);
        certificates += report.certificates;
        failed.extend(report.violations.iter().map(|violation| format!("cairn-sim --seed {seed}: {violation}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(certificates > 0, "nothing was issued, so nothing was tested");
}

#[test]
fn what_always_holds_holds_in_the_first_runs() {
    hold(0..150);
}

#[test]
fn what_always_holds_holds_in_the_second_runs() {
    hold(1_000..1_150);
}

#[test]
fn what_always_holds_holds_in_the_third_runs() {
    hold(2_000..2_150);
}

#[test]
fn what_always_holds_holds_in_the_fourth_runs() {
    hold(3_000..3_150);
}
