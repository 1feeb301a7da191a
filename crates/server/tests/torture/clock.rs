//! A clock that is set back: nothing is signed until it is right again, and then all goes on by itself.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use crate::book::now;
use crate::load::{Load, assert_at_rest};
use crate::power_cut::shim;
use crate::support::server::{Launch, Server, temporary_folder};
use crate::support::world::{PATIENCE, pause, within};

const CLIENTS: usize = 5;
const TIMES: &str = "[times]\nsweep = 1\nback-off = 1\n";
const STEPS: u64 = 40;
const END_TIME_MAX: Duration = Duration::from_secs(120);
const HOUR_BACK: &str = "-3600\n";

/// Written with one write of the same length: who reads it meanwhile gets the one or the other.
fn set_clock(file: &Path, seconds: &str) {
    let width = HOUR_BACK.len();
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).open(file);
    let written = opened.and_then(|file| file.write_all_at(format!("{seconds:<width$}").as_bytes(), 0));
    written.expect("a file can be written");
}

async fn logged(server: &Server, what: &str, times: usize) {
    let waiting = async {
        while server.logged(what) < times {
            pause(Duration::from_millis(20)).await;
        }
    };
    within(PATIENCE, what, waiting).await;
}

/// How many signatures the audit log has.
fn signatures(server: &Server) -> usize {
    let log = fs::read_to_string(server.data().join("audit/00000000.jsonl")).expect("it has an audit log");
    log.lines().filter(|line| line.contains("certificate\"") || line.contains("\"event\":\"crl\"")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_signed_with_a_clock_that_was_set_back_and_all_goes_on_when_it_is_right() {
    let folder = temporary_folder();
    let library = shim(folder.path(), "clock").await;
    let clock = folder.path().join("clock");
    set_clock(&clock, "0\n");
    let environment =
        vec![("LD_PRELOAD", OsString::from(library)), ("CAIRN_TORTURE_CLOCK", OsString::from(clock.clone()))];
    let launch = Launch { environment, ..Launch::default() };
    let mut server = Server::start_in(TIMES, folder, launch).await;
    let load = Load::start(&server, CLIENTS, "clock");
    load.book.wait_for_steps(STEPS).await;

    let fell = now();
    set_clock(&clock, HOUR_BACK);
    logged(&server, "the clock is wrong", 1).await;
    // What was under way has ended by then.
    let mut before = signatures(&server);
    loop {
        load.book.wait_for_refusals(10).await;
        let found = std::mem::replace(&mut before, signatures(&server));
        if found == before {
            break;
        }
    }
    load.book.wait_for_refusals(30).await;
    server.kill().await;
    server.start_again();
    server.wait_until_it_serves().await;
    logged(&server, "the clock is wrong", 2).await;
    load.book.wait_for_refusals(30).await;
    assert_eq!(signatures(&server), before, "something was signed with a clock that is wrong");

    set_clock(&clock, "0\n");
    load.book.blow(fell);
    logged(&server, "the clock is right again", 1).await;
    load.book.wait_for_steps(STEPS).await;
    let report = load.finish(END_TIME_MAX, "clocks set back").await;
    assert!(report.valid >= CLIENTS, "only {} orders of {} became valid", report.valid, report.orders);
    assert!(report.our_fault.is_empty(), "a clock set back ends no order: {:#?}", report.our_fault);
    assert_at_rest(&mut server).await;
}
