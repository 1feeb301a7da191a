//! CT logs that fail: within the lease, for longer, and before a serial is taken.

use std::time::Duration;

use acme::OrderStatus;
use ca::Worked;
use ca::order::{Order, Stage};
use ca::ports::SerialStatus;

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World};

on_all_back_ends! {
    submission_that_fails_once_is_repeated_within_the_lease
    logs_that_fail_for_a_whole_lease_cost_a_serial
    logs_that_are_not_ready_cost_none
    clock_set_right_between_scts_and_certificate_costs_a_serial_and_no_order
}

async fn submission_that_fails_once_is_repeated_within_the_lease(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.points.fail(Side::Before, Call::Submit);
    world.points.fail(Side::After, Call::Submit);
    let worker = world.start_work(Stage::Issue);
    world.clock.pass_when_slept(Duration::from_millis(500)).await;
    world.clock.pass_when_slept(Duration::from_secs(1)).await;
    assert_eq!(worker.await.unwrap(), Some(Worked::Advanced));
    let record = client.certificate(&world, order.id).await;
    assert_eq!(record.number.0, 1);
    assert_eq!(world.read_signed(&record.certificate.unwrap()).scts().unwrap().len(), 2);
    assert_eq!(world.precertificate_lines(order.id).await.len(), 1, "it is signed once");
}

/// No log answers for a whole lease.
async fn fail_for_a_lease(world: &World, client: &Client) -> Order {
    let order = client.processing(world, &["one.example.com"]).await;
    world.set_logs_away(true);
    let worker = world.start_work(Stage::Issue);
    for pause in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000] {
        world.clock.pass_when_slept(Duration::from_millis(pause)).await;
    }
    assert_eq!(worker.await.unwrap(), Some(Worked::Parked));
    order
}

async fn logs_that_fail_for_a_whole_lease_cost_a_serial(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = fail_for_a_lease(&world, &client).await;
    let [abandoned] = &*world.serials(order.id).await else { panic!("one serial") };
    assert_eq!(abandoned.status, SerialStatus::Good);
    world.set_logs_away(false);
    world.until_done(order.id).await;
    let record = client.certificate(&world, order.id).await;
    assert_eq!(record.number.0, 2);
    assert_ne!(record.serial, abandoned.serial);
    let first = world.record(abandoned.serial).await;
    assert!(first.is_abandoned());
    assert_eq!(first.status, SerialStatus::Good, "it counts as issued, and nobody revokes it unasked");
    world.check_invariants().await;
}

async fn logs_that_are_not_ready_cost_none(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let first = fail_for_a_lease(&world, &client).await;
    assert_eq!(world.serials(first.id).await.len(), 1);
    // Now they are known to fail: an order waits, and takes no serial.
    for _ in 0..4 {
        world.clock.pass_seconds(20);
        world.sweep().await;
        assert_eq!(world.work(Stage::Issue).await, Worked::Parked);
    }
    assert_eq!(world.serials(first.id).await.len(), 1);
    let second = client.processing(&world, &["two.example.com"]).await;
    assert_eq!(world.work(Stage::Issue).await, Worked::Parked);
    assert_eq!(world.serials(second.id).await, []);
    assert_eq!(client.status(&world, second.id).await, OrderStatus::Processing);
    // A good answer clears them.
    world.set_logs_away(false);
    for order in [&first, &second] {
        world.until_done(order.id).await;
        assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    }
    assert_eq!(world.serials(first.id).await.len(), 2);
    assert_eq!(world.serials(second.id).await.len(), 1);
    world.check_invariants().await;
}

async fn clock_set_right_between_scts_and_certificate_costs_a_serial_and_no_order(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let ahead = Duration::from_secs(300);
    let mut before = world.points.hold(Side::Before, Call::Submit);
    let worker = world.start_work(Stage::Issue);
    before.reached().await;
    world.clock.set_ahead(ahead);
    let mut after = world.points.hold(Side::After, Call::Submit);
    before.release();
    after.reached().await;
    world.clock.set_back(ahead);
    after.release();
    assert_eq!(worker.await.unwrap(), Some(Worked::Parked));
    world.until_done(order.id).await;
    assert_eq!(client.certificate(&world, order.id).await.number.0, 2);
    world.check_invariants().await;
}
