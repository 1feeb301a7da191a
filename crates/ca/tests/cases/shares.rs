//! `TestChallenge` when many tests are due: each account has its share, and a test that has to wait is no try.

use std::time::Duration;

use acme::OrderStatus;
use ca::Worked;
use ca::order::Stage;
use ca::ports::Standing;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::on_all_back_ends;
use crate::world::network::unreachable;
use crate::world::{Backend, Client, World};

on_all_back_ends! {
    slow_targets_of_one_account_leave_workers_for_others
    orders_of_one_account_follow_each_other_without_a_pause
    waiting_for_a_worker_is_no_try
    tests_that_do_not_fit_into_a_lease_are_made_under_the_next
}

async fn slow_targets_of_one_account_leave_workers_for_others(backend: Backend) {
    let world = World::with(backend, |settings| settings.limits.test_workers = 4).await;
    let (slow, other) = (Client::new(&world).await, Client::new(&world).await);
    let mut working = Vec::new();
    for name in ["one.example.com", "two.example.com"] {
        let order = slow.order(&world, &[name]).await;
        slow.answer(&world, &order, 0).await;
        let mut held = world.network.hold_test(name);
        let worker = world.start_work(Stage::TestChallenge);
        held.reached().await;
        working.push((held, worker));
    }
    let third = slow.order(&world, &["three.example.com"]).await;
    slow.answer(&world, &third, 0).await;
    assert_eq!(world.ca.work_once(Stage::TestChallenge).await.unwrap(), None);
    assert_eq!(world.standing(third.id).await, Standing::Queue);
    assert_eq!(world.network.tests("three.example.com"), 0);
    let order = other.order(&world, &["other.example.com"]).await;
    other.answer(&world, &order, 0).await;
    assert_eq!(world.work(Stage::TestChallenge).await, Worked::Advanced);
    assert_eq!(other.status(&world, order.id).await, OrderStatus::Ready);
    for (held, worker) in working {
        held.release();
        assert_eq!(worker.await.unwrap(), Some(Worked::Advanced));
    }
}

async fn orders_of_one_account_follow_each_other_without_a_pause(backend: Backend) {
    const WORKERS: usize = 6;
    let world = World::with(backend, |settings| settings.limits.test_workers = WORKERS).await;
    let client = Client::new(&world).await;
    let mut orders = Vec::new();
    for number in 0..5 * WORKERS {
        let order = client.order(&world, &[&format!("host-{number}.example.com")]).await;
        client.answer(&world, &order, 0).await;
        orders.push(order.id);
    }
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (ca, (stop, stopped)) = (world.ca.clone(), oneshot::channel::<()>());
            let work = async move { ca.run_worker(Stage::TestChallenge, async { drop(stopped.await) }).await };
            (stop, world.start_beside(work))
        })
        .collect();
    // No time passes and no sweep comes: one order's end is all that the next one waits for.
    for order in orders {
        loop {
            let changed = world.workbench.changed(order);
            if client.status(&world, order).await == OrderStatus::Ready {
                break;
            }
            timeout(Duration::from_secs(20), changed).await.expect("the order has its turn");
        }
    }
    for (stop, worker) in workers {
        drop(stop);
        worker.await.unwrap();
    }
}

async fn waiting_for_a_worker_is_no_try(backend: Backend) {
    let world = World::with(backend, |settings| settings.limits.test_workers = 1).await;
    let client = Client::new(&world).await;
    let first = client.order(&world, &["one.example.com"]).await;
    client.answer(&world, &first, 0).await;
    let mut held = world.network.hold_test("one.example.com");
    let worker = world.start_work(Stage::TestChallenge);
    held.reached().await;
    // Two failures are permitted: had a wait been a try, the order would be invalid.
    world.network.answers("two.example.com", [unreachable(), unreachable()]);
    let second = client.order(&world, &["two.example.com"]).await;
    client.answer(&world, &second, 0).await;
    for _ in 0..5 {
        assert_eq!(world.ca.work_once(Stage::TestChallenge).await.unwrap(), None);
        assert_eq!(world.standing(second.id).await, Standing::Queue);
    }
    held.release();
    assert_eq!(worker.await.unwrap(), Some(Worked::Advanced));
    for _ in 0..2 {
        assert_eq!(world.work(Stage::TestChallenge).await, Worked::Advanced);
        let Standing::Park { until } = world.standing(second.id).await else { panic!("it is tried again") };
        world.clock.pass(until.since(world.ca.now()));
        world.sweep().await;
    }
    assert_eq!(world.work(Stage::TestChallenge).await, Worked::Advanced);
    assert_eq!(client.status(&world, second.id).await, OrderStatus::Ready);
    assert_eq!(world.network.tests("two.example.com"), 3);
}

async fn tests_that_do_not_fit_into_a_lease_are_made_under_the_next(backend: Backend) {
    let world = World::with(backend, |settings| settings.limits.tests = 0).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com", "two.example.com"]).await;
    client.answer_all(&world, &order).await;
    let mut held = world.network.hold_test("one.example.com");
    let worker = world.start_work(Stage::TestChallenge);
    held.reached().await;
    assert_eq!(world.network.tests("two.example.com"), 0, "one at a time");
    let times = &world.ca.settings.times;
    world.clock.pass(times.test_lease - times.validation);
    held.release();
    assert_eq!(worker.await.unwrap(), Some(Worked::Advanced));
    assert_eq!(world.standing(order.id).await, Standing::Queue);
    assert_eq!(world.network.tests("two.example.com"), 0, "a test that begins now would outlast the lease");
    world.work(Stage::TestChallenge).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
    assert_eq!((world.network.tests("one.example.com"), world.network.tests("two.example.com")), (1, 1));
}
