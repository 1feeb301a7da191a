//! Stories that are known beforehand, and what a run promises.

use sim::run;
use sim::scenario::Scenario;
use sim::world::Options;

#[test]
fn in_a_calm_world_an_honest_client_gets_its_certificate() {
    let report = run::run(1, Scenario::calm(), Options { told: true, ..Options::default() });
    assert_eq!(report.violations, [], "{:#?}", report.story);
    assert_eq!(report.certificates, 1, "{:#?}", report.story);
    assert!(report.faults.is_empty());
}

#[test]
fn a_seed_tells_the_same_story_each_time() {
    for seed in [3, 17, 29] {
        let (first, second) = (run::seed(seed, true), run::seed(seed, true));
        assert_eq!(first.story, second.story, "seed {seed}");
        assert_eq!((first.calls, first.steps, first.time), (second.calls, second.steps, second.time), "seed {seed}");
    }
}
