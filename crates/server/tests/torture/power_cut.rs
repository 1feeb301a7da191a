//! A power cut: what was not synced is gone, or is there in part. What a client was told stands.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::book::now;
use crate::disk::{Disk, Unsynced};
use crate::load::{Load, assert_at_rest};
use crate::parameters::parameter;
use crate::support::server::{Launch, Server, run, temporary_folder};
use crate::support::world::Chance;

const SEED: u64 = 0x0c41_7203;
const CUTS: usize = 6;
const CLIENTS: usize = 10;
const TIMES: &str = "[times]\nsweep = 1\nback-off = 1\n";
const END_TIME_MAX: Duration = Duration::from_secs(120);
/// What a sync takes, in milliseconds, on a slow disk: more lines and transactions share it, and most cuts fall into
/// one.
const SLOW_SYNC_MS: u32 = 8;
/// From one cut to the next clients are told so often at most that an order has gone on.
const STEPS_MAX: u64 = 80;

/// Builds a library that is preloaded into the server.
pub(crate) async fn shim(folder: &Path, name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture").join(name).with_extension("c");
    let library = folder.join(name).with_extension("so");
    let mut cc = Command::new("cc");
    let built = run(cc.args(["-O1", "-Wall", "-fPIC", "-shared", "-o"]).args([&library, &source]).arg("-ldl")).await;
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}

/// A server whose writes are written down.
struct Witnessed {
    server: Server,
    /// As it was on disk when the server started.
    disk: Disk,
    library: PathBuf,
    sync_ms: u32,
    starts: usize,
}

impl Witnessed {
    async fn start(sync_ms: u32) -> Self {
        let folder = temporary_folder();
        let library = shim(folder.path(), "power_cut").await;
        let data = folder.path().join("data");
        let (disk, launch) = (Disk::of(&data), launch(folder.path(), &library, 0, sync_ms));
        Self { server: Server::start_in(TIMES, folder, launch).await, disk, library, sync_ms, starts: 0 }
    }

    /// Cuts the power, and starts it again. How many writes of the audit log and of the store were not synced.
    async fn cut(&mut self, unsynced: Unsynced<'_>) -> [usize; 2] {
        self.server.kill().await;
        self.disk.replay(&self.server.path(&journal(self.starts)));
        let log = self.disk.unsynced(|path| path.ends_with(".jsonl"));
        let lost = [log, self.disk.unsynced(|path| path.ends_with("cairn.db-wal"))];
        self.disk.cut(unsynced);
        fs::remove_file(self.server.path(&journal(self.starts))).expect("a file can be removed");
        self.disk = Disk::of(&self.server.data());
        self.starts += 1;
        self.server.launch = launch(&self.server.path(""), &self.library, self.starts, self.sync_ms);
        self.server.start_again();
        lost
    }
}

fn journal(start: usize) -> String {
    format!("journal.{start}")
}

fn launch(folder: &Path, library: &Path, start: usize, sync_ms: u32) -> Launch {
    let boot_id = folder.join(format!("boot-id.{start}"));
    fs::write(&boot_id, format!("boot {start}\n")).expect("a file can be written");
    let variable = |name, value: &Path| (name, OsString::from(value));
    let environment = vec![
        variable("LD_PRELOAD", library),
        variable("CAIRN_TORTURE_FOLDER", &folder.join("data")),
        variable("CAIRN_TORTURE_JOURNAL", &folder.join(journal(start))),
        variable("CAIRN_TORTURE_BOOT_ID", &boot_id),
        ("CAIRN_TORTURE_SYNC_MS", OsString::from(sync_ms.to_string())),
    ];
    Launch { environment, ..Launch::default() }
}

async fn survive(what: &'static str, torn: bool, sync_ms: u32) {
    let (cuts, clients, seed) = (parameter("CUTS", CUTS), parameter("CLIENTS", CLIENTS), parameter("SEED", SEED));
    println!("seed {seed}, {clients} clients");
    let mut chance = Chance::of(seed);
    let mut witnessed = Witnessed::start(sync_ms).await;
    let load = Load::start(&witnessed.server, clients, what);
    let mut lost = [0; 2];
    for _ in 0..cuts {
        load.book.wait_for_steps(1 + chance.next() % STEPS_MAX).await;
        let fell = now();
        let unsynced = if torn { Unsynced::Torn(&mut chance) } else { Unsynced::Lost };
        let [log, store] = witnessed.cut(unsynced).await;
        lost = [lost[0] + log, lost[1] + store];
        load.book.blow(fell);
        witnessed.server.wait_until_it_serves().await;
    }
    let report = load.finish(END_TIME_MAX, "power cuts").await;
    println!("{:<34}{lost:?}", "not synced: log, store");
    println!("{:<34}{}", "torn ends of the audit log", witnessed.server.logged("cut off"));
    // The nonces are never synced: they say nothing of where a cut fell.
    assert!(lost.iter().sum::<usize>() > 0, "seed {seed}: no cut fell between a write and its sync");
    assert!(report.valid >= clients, "seed {seed}: only {} orders of {} became valid", report.valid, report.orders);
    assert!(report.our_fault.is_empty(), "seed {seed}: power cuts end no order: {:#?}", report.our_fault);
    assert_at_rest(&mut witnessed.server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_outlives_a_power_cut_that_drops_all_that_was_not_synced() {
    survive("lost", false, SLOW_SYNC_MS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_outlives_a_power_cut_that_tears_and_reorders_what_was_not_synced() {
    survive("torn", true, SLOW_SYNC_MS).await;
}

/// Linux takes what a failed sync did not write for written: who reads it again sees it, and no later sync writes it.
#[tokio::test]
async fn lines_whose_sync_failed_are_on_disk_after_the_next_start() {
    let mut witnessed = Witnessed::start(0).await;
    witnessed.server.kill().await;
    let path = witnessed.server.data().join("audit/00000000.jsonl");
    let log = fs::read(&path).expect("it has an audit log");
    let last = log.split_inclusive(|octet| *octet == b'\n').next_back().expect("it has lines").len();
    witnessed.starts += 1;
    witnessed.disk = Disk::of(&witnessed.server.data());
    witnessed.disk.never_got(&path, log.len() - last);
    witnessed.server.launch = launch(&witnessed.server.path(""), &witnessed.library, witnessed.starts, 0);
    witnessed.server.start_again();
    witnessed.server.wait_until_it_serves().await;
    witnessed.cut(Unsynced::Lost).await;
    witnessed.server.wait_until_it_serves().await;
    let now = fs::read(&path).expect("it has an audit log");
    assert!(now.starts_with(&log), "the last line, which recovery had gone by, is lost");
    assert_at_rest(&mut witnessed.server).await;
}

/// As with lines: what is committed behind a part of the write-ahead log that the disk never got must not hang on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_behind_one_whose_sync_failed_outlive_a_power_cut() {
    let mut witnessed = Witnessed::start(0).await;
    let load = Load::start(&witnessed.server, 2, "gap");
    load.book.wait_for_steps(40).await;
    let fell = now();
    witnessed.server.kill().await;
    let path = witnessed.server.data().join("cairn.db-wal");
    let octets = fs::metadata(&path).expect("it has a write-ahead log").len();
    let gap = usize::try_from(octets).expect("it is small") * 3 / 4;
    assert!(gap > 32 + 4096, "it has nothing that could be lost: {octets} octets");
    witnessed.starts += 1;
    witnessed.disk = Disk::of(&witnessed.server.data());
    witnessed.disk.never_got(&path, gap);
    witnessed.server.launch = launch(&witnessed.server.path(""), &witnessed.library, witnessed.starts, 0);
    witnessed.server.start_again();
    witnessed.server.wait_until_it_serves().await;
    load.book.wait_for_steps(40).await;
    witnessed.cut(Unsynced::Lost).await;
    load.book.blow(fell);
    witnessed.server.wait_until_it_serves().await;
    let report = load.finish(END_TIME_MAX, "failed syncs").await;
    assert!(report.valid >= 2, "only {} orders of {} became valid", report.valid, report.orders);
    assert!(report.our_fault.is_empty(), "a failed sync and a power cut end no order: {:#?}", report.our_fault);
    assert_at_rest(&mut witnessed.server).await;
}

/// What the tests above rely on.
#[tokio::test]
async fn power_cut_leaves_what_was_synced_and_nothing_else() {
    const SCRIPT: &str = "
import os, sys
def write(name, text, sync):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, text)
    if sync:
        os.fsync(fd)
    os.close(fd)
def sync_folder(name):
    fd = os.open(name, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
root = sys.argv[1]
write(root + '/kept', b'synced, ', True)
write(root + '/renamed', b'synced', True)
write(root + '/removed', b'synced', True)
sync_folder(root)
write(root + '/kept', b'not synced', False)
write(root + '/nameless', b'synced, but not its name', True)
os.rename(root + '/renamed', root + '/new name')
os.unlink(root + '/removed')
";
    let folder = temporary_folder();
    let library = shim(folder.path(), "power_cut").await;
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a folder can be made");
    for (round, unsynced) in [Unsynced::Lost, Unsynced::Torn(&mut Chance::of(SEED))].into_iter().enumerate() {
        let mut disk = Disk::of(&data);
        let mut python = Command::new("python3");
        python.args(["-c", SCRIPT]).arg(&data);
        let Launch { environment, .. } = launch(folder.path(), &library, round, 0);
        python.envs(environment.iter().map(|(name, value)| (name, value)));
        let ran = run(&mut python).await;
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        disk.replay(&folder.path().join(journal(round)));
        disk.cut(unsynced);
        let kept = fs::read_to_string(data.join("kept")).expect("it was synced, and so was its folder");
        assert!(kept.starts_with("synced, "), "{kept}");
        if round == 0 {
            assert_eq!(kept, "synced, ");
            let mut names: Vec<_> =
                fs::read_dir(&data).expect("it is there").flatten().map(|one| one.file_name()).collect();
            names.sort();
            assert_eq!(names, ["kept", "removed", "renamed"]);
        }
    }
}
