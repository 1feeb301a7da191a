//! A sync that fails: nothing is known of the file any more. The process ends at once, says so, and recovers at its
//! next start.

use std::ffi::OsString;
use std::time::Duration;

use crate::book::now;
use crate::load::{Load, assert_at_rest};
use crate::support::server::{Launch, Server, temporary_folder};

const CLIENTS: usize = 5;
const TIMES: &str = "[times]\nsweep = 1\nback-off = 1\n";
const END_TIME_MAX: Duration = Duration::from_secs(120);
/// The exit code of a process that can't rely on its stores any more (EX_SOFTWARE).
const EXIT_FATAL: i32 = 70;

/// The syncs of this file fail, from the one of this number on.
async fn survive(what: &'static str, file: &str, from: u32) {
    let folder = temporary_folder();
    let path = folder.path().join("data").join(file);
    let mut through: Vec<OsString> =
        ["strace", "--daemonize", "--follow-forks", "--seccomp-bpf", "-qq"].map(OsString::from).into();
    let fail = format!("inject=fsync,fdatasync:error=EIO:when={from}+");
    through.extend(["--output=/dev/null", "-e", "trace=fsync,fdatasync", "-e", &fail, "-P"].map(OsString::from));
    through.push(path.into());
    let launch = Launch { through, ..Launch::default() };
    let mut server = Server::start_in(TIMES, folder, launch).await;
    let load = Load::start(&server, CLIENTS, what);
    let status = server.terminated().await;
    let fell = now();
    assert_eq!(status.code(), Some(EXIT_FATAL), "{status}");
    assert_eq!(server.logged("the stores can't be relied on any more"), 1);
    server.launch = Launch::default();
    server.start_again();
    load.book.blow(fell);
    server.wait_until_it_serves().await;
    load.book.wait_for_steps(CLIENTS as u64).await;
    let report = load.finish(END_TIME_MAX, "failed syncs").await;
    assert!(report.valid >= CLIENTS, "only {} orders of {} became valid", report.valid, report.orders);
    assert!(report.our_fault.is_empty(), "a failed sync ends no order: {:#?}", report.our_fault);
    assert_at_rest(&mut server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_sync_of_the_store_ends_the_process_which_recovers_at_its_next_start() {
    survive("store", "cairn.db-wal", 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_sync_of_the_audit_log_ends_the_process_which_recovers_at_its_next_start() {
    survive("log", "audit/00000000.jsonl", 20).await;
}
