//! Issuances that were cut short by the end of a process, or of a lease: no fault of the order's.

use std::time::Duration;

use acme::OrderStatus;
use ca::Worked;
use ca::order::Stage;
use ca::ports::Standing;

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, kill};

on_all_back_ends! {
    kills_alone_never_end_an_order_before_its_deadline
    process_that_stands_still_fails_no_issuance
    claims_of_processes_that_died_lengthen_no_back_off
    failure_is_kept_with_its_serial
}

/// A worker that has come to this point, and dies there with its process.
async fn killed(world: World, side: Side, call: Call) -> World {
    let mut held = world.points.hold(side, call);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    kill(worker).await;
    let world = world.restart();
    world.ca.recover().await.unwrap();
    world
}

async fn kills_alone_never_end_an_order_before_its_deadline(backend: Backend) {
    let mut world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    for _ in 0..10 {
        world = killed(world, Side::After, Call::Begin).await;
    }
    assert_eq!(world.work(Stage::Issue).await, Worked::Parked, "from here on each waits");
    while world.ca.clock.monotonic() < Duration::from_secs(560) {
        world.clock.pass_seconds(10);
        world.sweep().await;
        world = killed(world, Side::After, Call::SignPrecertificate).await;
    }
    assert!(world.serials(order.id).await.len() > 50);
    world.until_done(order.id).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    world.check_invariants().await;
}

async fn process_that_stands_still_fails_no_issuance(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    for _ in 0..4 {
        let mut held = world.points.hold(Side::Before, Call::SignPrecertificate);
        let worker = world.start_work(Stage::Issue);
        held.reached().await;
        world.clock.pass_seconds(100);
        held.release();
        worker.await.unwrap();
        world.sweep().await;
        world.clock.pass_seconds(20);
        world.sweep().await;
    }
    assert!(world.serials(order.id).await.iter().all(|record| record.failure.is_none()));
    world.until_done(order.id).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    world.check_invariants().await;
}

async fn claims_of_processes_that_died_lengthen_no_back_off(backend: Backend) {
    let mut world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    for _ in 0..6 {
        world = killed(world, Side::Before, Call::Begin).await;
    }
    world.points.fail(Side::Before, Call::SignPrecertificate);
    assert_eq!(world.work(Stage::Issue).await, Worked::Parked);
    let until = world.ca.now().plus(Duration::from_secs(2));
    assert_eq!(world.standing(order.id).await, Standing::Park { until });
}

async fn failure_is_kept_with_its_serial(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.points.fail(Side::Before, Call::SignPrecertificate);
    world.until_done(order.id).await;
    let [failed, issued] = &*world.serials(order.id).await else { panic!("two serials") };
    assert!(failed.failure.is_some(), "{failed:?}");
    assert_eq!(issued.failure, None);
}
