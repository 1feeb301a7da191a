//! Conformance with RFC 8555 and its companions: a module for each section, a case for each rule. Without
//! `CAIRN_CONFORMANCE_URL` it tests a Cairn of its own; with it any ACME server. The arguments are words, as with
//! `cargo test`: of the cases those run whose section or name contains one of them.

mod profiles;
mod report;
mod rfc_8737;
mod rfc_8738;
mod rfc_9773;
mod section_6_1;
mod section_6_2;
mod section_6_2_keys;
mod section_6_3;
mod section_6_4;
mod section_6_5;
mod section_6_7;
mod section_7_1;
mod section_7_1_identifiers;
mod section_7_1_objects;
mod section_7_2;
mod section_7_3;
mod section_7_3_3;
mod section_7_3_4;
mod section_7_3_5;
mod section_7_3_6;
mod section_7_4;
mod section_7_4_2;
mod section_7_5;
mod section_7_6;
mod section_8;
mod support;

use std::process::ExitCode;
use std::sync::Arc;

use futures_util::StreamExt;

use report::{Ended, Report};
use support::case::Case;
use support::client::Client;
use support::world::World;

/// Further cases would only wait for the server's processor.
const SIDE_BY_SIDE: usize = 6;

/// All modules, in the order of the documents.
const MODULES: &[&[Case]] = &[
    section_6_1::CASES,
    section_6_2::CASES,
    section_6_2_keys::CASES,
    section_6_3::CASES,
    section_6_4::CASES,
    section_6_5::CASES,
    section_6_7::CASES,
    section_7_1::CASES,
    section_7_1_objects::CASES,
    section_7_1_identifiers::CASES,
    section_7_2::CASES,
    section_7_3::CASES,
    section_7_3_3::CASES,
    section_7_3_4::CASES,
    section_7_3_5::CASES,
    section_7_3_6::CASES,
    section_7_4::CASES,
    section_7_4_2::CASES,
    section_7_5::CASES,
    section_7_6::CASES,
    section_8::CASES,
    rfc_8737::CASES,
    rfc_8738::CASES,
    rfc_9773::CASES,
    profiles::CASES,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).filter(|one| !one.starts_with('-')).collect();
    let chosen = |case: &Case| {
        let name = format!("{}::{}", case.section(), case.name);
        words.is_empty() || words.iter().any(|word| name.contains(word))
    };
    let cases: Vec<Case> = MODULES.concat().into_iter().filter(chosen).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        cases.iter().for_each(|case| println!("{}::{}: test", case.section(), case.name));
        return ExitCode::SUCCESS;
    }
    if cases.is_empty() {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started");
    report::keep_panics_quiet();
    let passed = runtime.block_on(run(&cases));
    runtime.shutdown_background();
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the cases side by side, and says what they came to. Whether none failed.
async fn run(cases: &[Case]) -> bool {
    let world = Arc::new(World::new().await);
    let running = futures_util::stream::iter(cases.iter().copied()).map(|case| {
        let client = Client::new(&world);
        async move {
            // A task for each, so that they run on all processors.
            let ended = tokio::spawn(report::guarded((case.run)(client))).await;
            Ended { case, outcome: ended.expect("panics of cases are caught") }
        }
    });
    let ended: Vec<Ended> = running.buffered(SIDE_BY_SIDE).collect().await;
    Report::of(&ended, world.own.first()).print()
}
