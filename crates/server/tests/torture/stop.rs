//! SIGSTOP beyond the lease: workers wake up with leases that others may hold by now, and are fenced.

use std::time::Duration;

use crate::book::now;
use crate::load::{Load, assert_at_rest};
use crate::parameters::parameter;
use crate::support::server::Server;
use crate::support::world::{Chance, pause};

const SEED: u64 = 0x0c41_7201;
const STOPS: usize = 4;
const CLIENTS: usize = 20;
/// The shortest times that fit together. The lease of `Issue` is 5 seconds.
const TIMES: &str = "[times]\ncaa = 1\nct = 1\nsignature = 1\nsignature-margin = 1\nissue-lease = 5\nvalidation = 2\n\
                     test-lease = 4\nsweep = 1\nback-off = 1\n";
/// An order that was hit several times waits longer and longer, up to a minute.
const END_TIME_MAX: Duration = Duration::from_secs(120);
const BEYOND_THE_LEASE: Duration = Duration::from_millis(5200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_survive_a_server_that_sleeps_longer_than_its_leases() {
    let (stops, clients, seed) = (parameter("STOPS", STOPS), parameter("CLIENTS", CLIENTS), parameter("SEED", SEED));
    println!("seed {seed}, {clients} clients");
    let mut chance = Chance::of(seed);
    let mut server = Server::start(TIMES).await;
    let load = Load::start(&server, clients, "stop");
    for _ in 0..stops {
        pause(chance.millis(100, 900)).await;
        let fell = now();
        server.signal("STOP").await;
        pause(BEYOND_THE_LEASE).await;
        server.signal("CONT").await;
        load.book.blow(fell);
    }
    let report = load.finish(END_TIME_MAX, "stops").await;
    assert!(report.valid >= clients / 2, "seed {seed}: only {} orders became valid", report.valid);
    for course in &report.our_fault {
        // Blow after blow it was being issued: nothing else ends it.
        let why = course.end().map(|order| order["error"]["detail"].to_string()).unwrap_or_default();
        let by_stops = why.contains("of this order failed") || why.contains("could not be issued in time");
        assert!(by_stops, "seed {seed}: {course:#?}");
    }
    let requeued = server.logged("back on its queue");
    assert!(requeued > 0, "no blow hit an order that was being worked on");
    assert_at_rest(&mut server).await;
}
