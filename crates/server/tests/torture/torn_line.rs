//! A torn last line of the audit log: it was being written when the process died, and nobody was told of it.

use std::fs;
use std::io::Write;
use std::time::Duration;

use crate::book::now;
use crate::load::{Load, assert_at_rest};
use crate::support::server::Server;

const CLIENTS: usize = 5;
const TIMES: &str = "[times]\nsweep = 1\nback-off = 1\n";
const STEPS: u64 = 30;
const END_TIME_MAX: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torn_last_line_of_the_audit_log_is_cut_off_and_work_goes_on() {
    let mut server = Server::start(TIMES).await;
    let load = Load::start(&server, CLIENTS, "line");
    load.book.wait_for_steps(STEPS).await;
    let fell = now();
    server.kill().await;
    let path = server.data().join("audit/00000000.jsonl");
    let log = fs::read(&path).expect("it has an audit log");
    let last = log.split_inclusive(|octet| *octet == b'\n').next_back().expect("it has lines");
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("it can be written");
    file.write_all(&last[..last.len() / 2]).expect("it can be written");
    server.start_again();
    load.book.blow(fell);
    server.wait_until_it_serves().await;
    assert!(server.logged("cut off") > 0, "it says so");
    load.book.wait_for_steps(STEPS).await;
    let report = load.finish(END_TIME_MAX, "torn lines").await;
    assert!(report.valid >= CLIENTS, "only {} orders of {} became valid", report.valid, report.orders);
    assert!(report.our_fault.is_empty(), "a torn line ends no order: {:#?}", report.our_fault);
    assert_at_rest(&mut server).await;
}
