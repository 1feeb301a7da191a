//! SIGKILL: what a client was told is not taken back, and what it was not told it can ask again.

use std::time::Duration;

use crate::book::now;
use crate::load::{Load, assert_at_rest};
use crate::parameters::parameter;
use crate::support::server::Server;
use crate::support::world::{Chance, pause};

const SEED: u64 = 0x0c41_7200;
const KILLS: usize = 25;
const CLIENTS: usize = 20;
/// From one kill to the next clients are told so often at most that an order has gone on: a busy machine gets as much
/// done between two kills as an idle one.
const STEPS_MAX: u64 = 100;
/// A kill falls at any moment of what is done then.
const MOMENT_MAX: u64 = 40;
/// So long after the last start every order has ended.
const END_TIME_MAX: Duration = Duration::from_secs(300);
/// Leases last longer than the test: those of a dead process have to be freed by the next.
const TIMES: &str = "[times]\ntest-lease = 600\nissue-lease = 600\nsweep = 1\nback-off = 1\n";
/// A start is cut off in its midst as often as this.
const KILLS_AT_START: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_survive_the_death_of_the_server_at_any_moment() {
    let (kills, clients) = (parameter("KILLS", KILLS), parameter("CLIENTS", CLIENTS));
    let (seed, steps_max) = (parameter("SEED", SEED), parameter("STEPS_MAX", STEPS_MAX));
    println!("seed {seed}, {clients} clients");
    let mut chance = Chance::of(seed);
    let mut server = Server::start(TIMES).await;
    let load = Load::start(&server, clients, "kill");
    for kill in 1..=kills {
        load.book.wait_for_steps(1 + chance.next() % steps_max).await;
        pause(chance.millis(0, MOMENT_MAX)).await;
        kill_and_start(&mut server, &load).await;
        if kill % KILLS_AT_START == 0 {
            pause(chance.millis(1, 300)).await;
            kill_and_start(&mut server, &load).await;
        }
        server.wait_until_it_serves().await;
    }
    let report = load.finish(END_TIME_MAX, "kills").await;
    assert!(report.valid >= clients, "seed {seed}: only {} orders of {} became valid", report.valid, report.orders);
    assert!(report.our_fault.is_empty(), "seed {seed}: kills alone end no order: {:#?}", report.our_fault);
    let recovered = server.logged("recovered: ");
    assert!(recovered > 0, "no blow hit an order that was being worked on");
    assert_at_rest(&mut server).await;
}

async fn kill_and_start(server: &mut Server, load: &Load) {
    let fell = now();
    server.kill().await;
    server.start_again();
    load.book.blow(fell);
}
