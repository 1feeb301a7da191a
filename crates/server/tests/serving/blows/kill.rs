//! SIGKILL: what a client was told is not taken back, and what it was not told it can ask again.

use std::time::Duration;

use super::load::{Load, assert_at_rest};
use crate::support::server::Server;
use crate::support::world::{Chance, pause};

const SEED: u64 = 0x0c41_7200;
const KILLS: usize = 50;
const CLIENTS: usize = 20;
/// Nothing is in `processing` so long after the last start.
const END_TIME_MAX: Duration = Duration::from_secs(60);
/// Leases last longer than the test: those of a dead process have to be freed by the next.
const TIMES: &str = "[times]\ntest-lease = 600\nissue-lease = 600\nsweep = 1\nback-off = 1\n";
/// A start is cut off in its midst as often as this.
const KILLS_AT_START: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_survive_the_death_of_the_server_at_any_moment() {
    println!("seed {SEED:#x}");
    let mut chance = Chance::of(SEED);
    let mut server = Server::start(TIMES).await;
    let load = Load::start(&server, CLIENTS, "kill");
    for kill in 1..=KILLS {
        pause(chance.millis(100, 800)).await;
        server.kill().await;
        server.start_again();
        if kill % KILLS_AT_START == 0 {
            pause(chance.millis(1, 300)).await;
            server.kill().await;
            server.start_again();
        }
        server.wait_until_it_serves().await;
    }
    let courses = load.finish(END_TIME_MAX).await;
    let valid = courses.iter().filter(|course| course.is_valid()).count();
    println!("{} orders, {valid} valid", courses.len());
    assert!(valid >= CLIENTS, "seed {SEED:#x}: only {valid} orders of {} became valid", courses.len());
    for course in courses.iter().filter(|course| !course.is_valid()) {
        // A kill is no try of a challenge, so every order becomes ready. What a kill may cost is an issuance, of which
        // an order has three.
        let error = course.end["error"]["detail"].as_str().unwrap_or_default();
        let spent = course.ready && error.contains("3 issuances of this order failed");
        assert!(spent, "seed {SEED:#x}: an order died for no fault of its client: {course:?}");
    }
    assert_at_rest(&mut server, "recovered: ").await;
}
