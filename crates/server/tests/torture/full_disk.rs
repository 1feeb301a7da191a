//! A full disk: requests are answered that it can't be done now, nothing is half-written, the process lives, and work
//! goes on by itself when there is room again.

use std::time::Duration;

use crate::book::now;
use crate::load::{Load, assert_at_rest};
use crate::parameters::parameter;
use crate::small_disk::{Filler, SmallDisks};
use crate::support::server::{Server, temporary_folder};
use crate::support::world::Chance;

const CLIENTS: usize = 10;
/// How often the disk becomes full under load.
const TIMES_FULL: usize = 3;
const SEED: u64 = 0x0c41_7202;
/// The audit log leaves 32 MiB of the disk to others.
const DISK_KIB: u64 = 64 << 10;
const TIMES: &str = "[times]\nsweep = 1\nback-off = 1\n";
/// Before the disk is filled up clients are told so often at most that an order has gone on.
const STEPS_MAX: u64 = 80;
const END_TIME_MAX: Duration = Duration::from_secs(120);

/// A server whose data folder is a small disk of its own.
async fn start(disks: &[(&str, u64)]) -> Option<(Server, SmallDisks)> {
    let folder = temporary_folder();
    let disks = SmallDisks::mount(folder.path(), disks).await?;
    let launch = disks.launch();
    Some((Server::start_in(TIMES, folder, launch).await, disks))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_stops_nobody_for_longer_than_it_is_full() {
    let Some((mut server, disks)) = start(&[("data", DISK_KIB)]).await else { return };
    let mut chance = Chance::of(parameter("SEED", SEED));
    let load = Load::start(&server, parameter("CLIENTS", CLIENTS), "full");
    for _ in 0..parameter("TIMES_FULL", TIMES_FULL) {
        load.book.wait_for_steps(1 + chance.next() % STEPS_MAX).await;
        let fell = now();
        let mut filler = Filler::fill(&disks.path("data"), 0);
        load.book.wait_for_refusals(5).await;
        // What a checkpoint or a cut gave back is taken as well.
        filler = filler.again();
        load.book.wait_for_refusals(20).await;
        drop(filler);
        load.book.blow(fell);
    }
    load.book.wait_for_steps(STEPS_MAX).await;
    load.finish(END_TIME_MAX, "times full").await;
    assert_at_rest(&mut server).await;
}
