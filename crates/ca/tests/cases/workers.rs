//! The loop of a worker: it wakes for work, waits where there is none, and stops in order.

use std::time::Duration;

use acme::OrderStatus;
use ca::order::Stage;
use ca::ports::Standing;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, pair};

on_all_back_ends! {
    workers_of_each_stage_bring_an_order_to_its_certificate_without_a_sweep
    few_workers_do_the_work_of_many_orders
    worker_that_is_stopped_finishes_what_it_holds_and_takes_nothing_new
    worker_whose_claim_failed_tries_again
    order_that_could_be_neither_advanced_nor_parked_goes_on_long_before_its_lease_ends
}

/// A worker that runs until it is stopped.
struct Running {
    stop: oneshot::Sender<()>,
    worker: JoinHandle<()>,
}

impl Running {
    fn start(world: &World, stage: Stage) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let ca = world.ca.clone();
        let worker = world.start_beside(async move {
            // Whoever drops the other end stops it as well.
            let stopped = async { drop(stopped.await) };
            ca.run_worker(stage, stopped).await;
        });
        Self { stop, worker }
    }

    async fn stop(self) {
        let _ended_before = self.stop.send(());
        self.worker.await.unwrap();
    }
}

/// Waits until an order has this status.
async fn wait_for(world: &World, client: &Client, order: ca::OrderId, status: OrderStatus) {
    loop {
        let seen = world.ca.order_changed(&client.account, order, Duration::from_secs(3600)).await.unwrap();
        if seen.status(world.ca.now()) == status {
            return;
        }
    }
}

async fn workers_of_each_stage_bring_an_order_to_its_certificate_without_a_sweep(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let workers = [Stage::TestChallenge, Stage::Issue].map(|stage| Running::start(&world, stage));
    let order = client.order(&world, &["one.example.com", "two.example.com"]).await;
    client.answer_all(&world, &order).await;
    wait_for(&world, &client, order.id, OrderStatus::Ready).await;
    client.finalize(&world, &order, &pair()).await.unwrap();
    wait_for(&world, &client, order.id, OrderStatus::Valid).await;
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(world.standing(order.id).await, Standing::PendingDone);
    world.check_invariants().await;
}

async fn few_workers_do_the_work_of_many_orders(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let key = pair();
    let mut orders = Vec::new();
    for number in 0..20 {
        orders.push(client.processing_with(&world, &[&format!("n{number}.example.com")], &key).await);
    }
    let workers = [(); 3].map(|()| Running::start(&world, Stage::Issue));
    for order in &orders {
        wait_for(&world, &client, order.id, OrderStatus::Valid).await;
        assert_eq!(world.serials(order.id).await.len(), 1);
    }
    for worker in workers {
        worker.stop().await;
    }
    world.check_invariants().await;
}

async fn worker_that_is_stopped_finishes_what_it_holds_and_takes_nothing_new(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let held_order = client.processing(&world, &["one.example.com"]).await;
    let next = client.processing(&world, &["two.example.com"]).await;
    let mut held = world.points.hold(Side::After, Call::Submit);
    let running = Running::start(&world, Stage::Issue);
    held.reached().await;
    let _still_there = running.stop.send(());
    held.release();
    running.worker.await.unwrap();
    assert_eq!(client.status(&world, held_order.id).await, OrderStatus::Valid);
    assert_eq!(client.status(&world, next.id).await, OrderStatus::Processing);
    assert_eq!(world.standing(next.id).await, Standing::Queue);
}

async fn worker_whose_claim_failed_tries_again(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.points.fail(Side::Before, Call::Claim);
    let running = Running::start(&world, Stage::Issue);
    world.clock.pass_when_slept(world.ca.settings.times.back_off).await;
    wait_for(&world, &client, order.id, OrderStatus::Valid).await;
    running.stop().await;
}

/// As on a disk that was full for a moment.
async fn order_that_could_be_neither_advanced_nor_parked_goes_on_long_before_its_lease_ends(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.points.fail(Side::Before, Call::Advance);
    world.points.fail(Side::Before, Call::Park);
    let running = Running::start(&world, Stage::Issue);
    let back_off = world.ca.settings.times.back_off;
    world.clock.pass_when_slept(back_off).await;
    running.stop().await;
    assert!(!matches!(world.standing(order.id).await, Standing::Lease { .. }));
    world.sweep().await;
    world.work_off().await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    world.check_invariants().await;
}
