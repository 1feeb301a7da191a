//! SIGSTOP beyond the lease: workers wake up with leases that others may hold by now, and are fenced.

use std::time::Duration;

use super::load::{Load, assert_at_rest};
use crate::support::server::Server;
use crate::support::world::{Chance, pause};

const SEED: u64 = 0x0c41_7201;
const STOPS: usize = 20;
const CLIENTS: usize = 20;
/// The shortest times that fit together. The lease of `Issue` is 5 seconds.
const TIMES: &str = "[times]\ncaa = 1\nct = 1\nsignature = 1\nsignature-margin = 1\nissue-lease = 5\nvalidation = 2\n\
                     test-lease = 4\nsweep = 1\nback-off = 1\n";
/// An order that was hit several times waits longer and longer, up to a minute.
const END_TIME_MAX: Duration = Duration::from_secs(120);
const BEYOND_THE_LEASE: Duration = Duration::from_millis(5200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_survive_a_server_that_sleeps_longer_than_its_leases() {
    println!("seed {SEED:#x}");
    let mut chance = Chance::of(SEED);
    let mut server = Server::start(TIMES).await;
    let load = Load::start(&server, CLIENTS, "stop");
    for _ in 0..STOPS {
        pause(chance.millis(100, 900)).await;
        server.signal("STOP").await;
        pause(BEYOND_THE_LEASE).await;
        server.signal("CONT").await;
    }
    let courses = load.finish(END_TIME_MAX).await;
    let valid = courses.iter().filter(|course| course.is_valid()).count();
    println!("{} orders, {valid} valid", courses.len());
    assert!(valid >= CLIENTS / 2, "seed {SEED:#x}: only {valid} orders of {} became valid", courses.len());
    for course in courses.iter().filter(|course| !course.is_valid()) {
        println!("invalid: {}", course.end["error"]["detail"]);
        assert_eq!(course.end["status"], "invalid", "seed {SEED:#x}: {course:?}");
    }
    assert_at_rest(&mut server, "back on its queue").await;
}
