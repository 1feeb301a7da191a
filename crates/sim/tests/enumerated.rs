//! Each call of a port that an order's life takes meets each outcome once: not done and fails, done and fails, the
//! process dies before it, or after it; where the world outside is asked, or another server goes on, the process also
//! stands still for longer than any lease. No fault may be planned in vain.

use sim::client::Script;
use sim::enumeration::{Case, Life, after, run};
use sim::ports::Call;

/// Runs all cases with one fault; says how many there were.
fn every_single_fault(life: Life, schedule: u64) {
    single_faults(life, schedule, 100, |_| true);
}

/// The same, at these calls alone; there are more than so many cases.
fn single_faults(life: Life, schedule: u64, floor: usize, at: impl Fn(Call) -> bool) {
    let calm = Case::calm(life, schedule);
    let ended = run(&calm, None, false);
    assert_eq!(ended.violations, [], "where nothing fails everything holds: {}", calm.replay());
    let mut cases = after(&calm, &ended.calls);
    cases.retain(|(_, call)| at(*call));
    assert!(cases.len() > floor, "{}: only {} cases", life.name(), cases.len());
    let mut found = Vec::new();
    for (case, call) in &cases {
        let ended = run(case, None, false);
        if ended.met != 1 {
            found.push(format!("{call:?}, {}: the fault did not come to pass", case.replay()));
        }
        found.extend(ended.violations.iter().map(|violation| format!("{call:?}, {}: {violation}", case.replay())));
    }
    let (name, calls) = (life.name(), ended.calls.len());
    println!("{name}, schedule {schedule}: {calls} calls of ports, {} single faults", cases.len());
    assert!(found.is_empty(), "{} of {}:\n  {}", found.len(), cases.len(), found.join("\n  "));
}

#[test]
fn one_order_outlives_every_single_fault() {
    every_single_fault(Life::Order, 0);
}

#[test]
fn one_order_without_ct_outlives_every_single_fault() {
    every_single_fault(Life::OrderWithoutCt, 0);
}

#[test]
fn two_orders_outlive_every_single_fault_under_the_first_schedule() {
    every_single_fault(Life::TwoOrders, 1);
}

#[test]
fn two_orders_outlive_every_single_fault_under_the_second_schedule() {
    every_single_fault(Life::TwoOrders, 2);
}

#[test]
fn two_orders_outlive_every_single_fault_under_the_third_schedule() {
    every_single_fault(Life::TwoOrders, 3);
}

/// Where the world outside is asked, and what is not to be done by two.
fn is_shared(call: Call) -> bool {
    call.outside().is_some() || counts(call)
}

#[test]
fn one_order_at_two_servers_outlives_every_single_fault_that_counts() {
    single_faults(Life::TwoServers, 0, 60, is_shared);
}

/// What can't be undone, or is told to somebody for good: long lives have too many other calls.
fn counts(call: Call) -> bool {
    matches!(
        call,
        Call::Begin
            | Call::MarkGood
            | Call::StoreFinal
            | Call::Finish
            | Call::Revoke
            | Call::Block
            | Call::SettleBlock
            | Call::Stop
            | Call::Resume
            | Call::AppendPrecertificate
            | Call::AppendCertificate
            | Call::AppendOther
            | Call::SignPrecertificate
            | Call::SignCertificate
            | Call::SignOcspAnswer
            | Call::SignOcspResponder
            | Call::StoreResponder
    )
}

#[test]
fn a_revocation_outlives_every_single_fault_that_counts() {
    single_faults(Life::Scripted(Script::Revokes), 4, 40, counts);
}

#[test]
fn a_stop_outlives_every_single_fault_that_counts() {
    single_faults(Life::Scripted(Script::Stopped), 4, 40, counts);
}
