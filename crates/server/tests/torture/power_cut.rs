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

    /// Cuts the power, and starts it again.
    async fn cut(&mut self, unsynced: Unsynced<'_>) {
        self.server.kill().await;
        self.disk.replay(&self.server.path(&journal(self.starts)));
        self.disk.cut(unsynced);
        fs::remove_file(self.server.path(&journal(self.starts))).expect("a file can be removed");
        self.disk = Disk::of(&self.server.data());
        self.starts += 1;
        self.server.launch = launch(&self.server.path(""), &self.library, self.starts, self.sync_ms);
        self.server.start_again();
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
    for _ in 0..cuts {
        load.book.wait_for_steps(1 + chance.next() % STEPS_MAX).await;
        let fell = now();
        let unsynced = if torn { Unsynced::Torn(&mut chance) } else { Unsynced::Lost };
        witnessed.cut(unsynced).await;
        load.book.blow(fell);
        witnessed.server.wait_until_it_serves().await;
    }
    load.finish(END_TIME_MAX, "power cuts").await;
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
