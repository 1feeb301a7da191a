//! The loop of a worker: it wakes for work, waits where there is none, and stops in order.

use std::time::Duration;

use acme::OrderStatus;
use ca::order::Stage;
use ca::ports::Standing;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, kill, pair};

on_all_back_ends! {
    workers_of_each_stage_bring_an_order_to_its_certificate_without_a_sweep
    few_workers_do_the_work_of_many_orders
    worker_that_is_stopped_finishes_what_it_holds_and_takes_nothing_new
    worker_whose_claim_failed_tries_again
    order_that_could_be_neither_advanced_nor_parked_goes_on_long_before_its_lease_ends
    worker_that_can_park_its_order_with_no_try_leaves_it_when_its_lease_has_run_out
    worker_that_panics_goes_on_and_so_does_its_order
    panic_before_an_issuance_begins_is_not_written_to_the_one_before
    issue_worker_claims_nothing_while_the_clock_is_behind
    order_that_its_worker_panics_at_each_time_dies_and_the_others_go_on
    worker_whose_claim_panics_tries_again
    sweep_goes_on_behind_an_order_at_which_it_panics
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

async fn worker_that_panics_goes_on_and_so_does_its_order(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    world.points.panic(Side::Before, Call::SignCertificate);
    let worker = Running::start(&world, Stage::Issue);
    let panicking = client.processing(&world, &["one.example.com"]).await;
    let next = client.processing(&world, &["two.example.com"]).await;
    wait_for(&world, &client, next.id, OrderStatus::Valid).await;
    let Standing::Park { until } = world.standing(panicking.id).await else { panic!("it waits for its next try") };
    world.clock.pass(until.since(world.ca.now()));
    world.sweep().await;
    wait_for(&world, &client, panicking.id, OrderStatus::Valid).await;
    worker.stop().await;
    let [first, second] = &*world.serials(panicking.id).await else { panic!("two serials") };
    assert!(first.failure.as_deref().is_some_and(|why| why.contains("panicked")) && second.attached);
    world.check_invariants().await;
}

async fn order_that_its_worker_panics_at_each_time_dies_and_the_others_go_on(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let worker = Running::start(&world, Stage::Issue);
    let order = client.ready(&world, &["one.example.com"]).await;
    for _ in 0..3 {
        world.points.panic(Side::Before, Call::SignPrecertificate);
    }
    client.finalize(&world, &order, &pair()).await.unwrap();
    while client.status(&world, order.id).await == OrderStatus::Processing {
        tokio::task::yield_now().await;
        if matches!(world.standing(order.id).await, Standing::Park { .. }) {
            world.clock.pass_seconds(10);
            world.sweep().await;
        }
    }
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!(stage, Stage::Issue);
    assert!(problem.detail.contains("3 issuances"), "{}", problem.detail);
    let next = client.processing(&world, &["two.example.com"]).await;
    wait_for(&world, &client, next.id, OrderStatus::Valid).await;
    worker.stop().await;
    world.check_invariants().await;
}

async fn worker_whose_claim_panics_tries_again(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.points.panic(Side::Before, Call::Claim);
    let worker = Running::start(&world, Stage::Issue);
    world.clock.pass_when_slept(Duration::from_secs(2)).await;
    wait_for(&world, &client, order.id, OrderStatus::Valid).await;
    worker.stop().await;
}

async fn sweep_goes_on_behind_an_order_at_which_it_panics(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let orders =
        [client.processing(&world, &["one.example.com"]).await, client.processing(&world, &["two.example.com"]).await];
    world.clock.pass_seconds(601);
    world.points.panic(Side::Before, Call::Finish);
    assert_eq!(world.sweep().await.died, 1);
    assert_eq!(world.sweep().await.died, 1);
    for order in orders {
        assert_eq!(client.death(&world, order.id).await.0, Stage::Issue);
    }
    world.points.panic(Side::Before, Call::Sweep);
    assert!(world.ca.sweep().await.is_err());
    world.sweep().await;
}

async fn worker_that_can_park_its_order_with_no_try_leaves_it_when_its_lease_has_run_out(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.points.fail(Side::Before, Call::Advance);
    world.points.fail(Side::Before, Call::Park);
    world.points.fail(Side::Before, Call::Park);
    let running = Running::start(&world, Stage::Issue);
    let times = &world.ca.settings.times;
    let (back_off, lease) = (times.back_off, times.issue_lease);
    world.clock.wait_until_slept(back_off).await;
    world.clock.pass(lease);
    running.stop().await;
    assert_eq!(world.points.forget(), 1, "it was parked no second time");
    world.sweep().await;
    world.work_off().await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    world.check_invariants().await;
}

async fn panic_before_an_issuance_begins_is_not_written_to_the_one_before(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::After, Call::Begin);
    let killed = world.start_work(Stage::Issue);
    held.reached().await;
    kill(killed).await;
    let world = world.restart();
    world.ca.recover().await.unwrap();
    world.clock.pass_seconds(1);
    world.points.panic(Side::Before, Call::Authorizations);
    let worker = Running::start(&world, Stage::Issue);
    while !matches!(world.standing(order.id).await, Standing::Park { .. }) {
        tokio::task::yield_now().await;
    }
    worker.stop().await;
    let [cut_short] = &*world.serials(order.id).await else { panic!("one serial") };
    assert_eq!(cut_short.failure, None);
    world.until_done(order.id).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
}

async fn issue_worker_claims_nothing_while_the_clock_is_behind(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.clock.set_back(Duration::from_secs(120));
    let worker = Running::start(&world, Stage::Issue);
    world.clock.wait_until_slept(Duration::from_secs(5)).await;
    assert_eq!(world.read(order.id).await.map(|active| (active.standing, active.claims)), Some((Standing::Queue, 0)));
    world.clock.set_ahead(Duration::from_secs(120));
    world.clock.pass_seconds(5);
    wait_for(&world, &client, order.id, OrderStatus::Valid).await;
    worker.stop().await;
}
