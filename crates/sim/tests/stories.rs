//! Stories that are known beforehand, and what a run promises.

use sim::enumeration::{self, Case, Life, OUTCOMES_WITH_STOPS};
use sim::run;
use sim::scenario::Scenario;
use sim::world::Options;

#[test]
fn in_a_calm_world_an_honest_client_gets_its_certificate() {
    let report = run::run(1, Scenario::calm(), Options { told: true, ..Options::default() });
    assert_eq!(report.violations, [], "{:#?}", report.story);
    assert_eq!(report.certificates, 1, "{:#?}", report.story);
    assert!(report.faults.keys().all(|kind| kind.starts_with("(shown ")), "{:?}", report.faults);
}

#[test]
fn a_seed_tells_the_same_story_each_time() {
    for seed in [3, 17, 29] {
        let (first, second) = (run::seed(seed, true), run::seed(seed, true));
        assert_eq!(first.story, second.story, "seed {seed}");
        assert_eq!((first.calls, first.steps, first.time), (second.calls, second.steps, second.time), "seed {seed}");
    }
}

#[test]
fn a_case_is_what_its_words_say() {
    for life in Life::ALL {
        let calm = Case::calm(life, 3);
        let case =
            OUTCOMES_WITH_STOPS.into_iter().zip(5..).fold(calm.clone(), |case, (fate, call)| case.with(call, fate));
        for case in [calm, case] {
            assert_eq!(case.to_string().parse(), Ok(case.clone()));
            assert_eq!(case.replay(), format!("cairn-sim --case \"{case}\""));
        }
    }
    for wrong in
        ["", "one order", "one order/0", "no order/0/", "one order/x/", "one order/0/17", "one order/0/17=dies"]
    {
        assert!(wrong.parse::<Case>().is_err(), "{wrong:?}");
    }
}

#[test]
fn a_case_tells_the_same_story_each_time() {
    let case: Case = "one order/0/17=dies before,60=done and fails".parse().expect("these are words of a case");
    let (first, second) = (enumeration::run(&case, None, true), enumeration::run(&case, None, true));
    assert_eq!((first.met, &first.violations), (2, &Vec::new()));
    assert!(first.story.iter().any(|line| line.contains("call 17,")), "{:#?}", first.story);
    assert_eq!(first.story, second.story);
}
