//! The sweep: recovery of what stands nowhere, of leases and parks that ran out.

use std::collections::BTreeMap;

use acme::OrderStatus;
use ca::OrderId;
use ca::order::{Order, Stage};
use ca::ports::{OrderFilter, Standing};

use super::on_all_back_ends;
use crate::world::network::unreachable;
use crate::world::{Backend, Call, Client, INSTANCE, Side, World, kill, pair};

on_all_back_ends! {
    wiped_queues_and_leases_are_rebuilt_in_full
    sweep_twice_is_once
    lease_that_ran_out_is_given_to_another
    lease_that_still_runs_is_left_alone
    order_whose_maker_died_gets_its_challenges
    sweep_goes_through_more_orders_than_a_page_has
}

/// One order at each place.
struct Spread {
    answered: Order,
    held: Order,
    parked: Order,
    pending: Order,
    ready: Order,
    issue: Order,
    done: Order,
}

impl Spread {
    async fn over(world: &World, client: &Client) -> Self {
        let done = client.processing(world, &["done.example.com"]).await;
        world.work(Stage::Issue).await;
        let ready = client.ready(world, &["ready.example.com"]).await;
        world.network.answers("parked.example.com", [unreachable()]);
        let parked = client.order(world, &["parked.example.com"]).await;
        client.answer(world, &parked, 0).await;
        world.work(Stage::TestChallenge).await;
        let issue = client.processing(world, &["issue.example.com"]).await;
        let pending = client.order(world, &["pending.example.com"]).await;
        let held = client.order(world, &["held.example.com"]).await;
        client.answer(world, &held, 0).await;
        let mut at_work = world.network.hold_test("held.example.com");
        let worker = world.start_work(Stage::TestChallenge);
        at_work.reached().await;
        kill(worker).await;
        let answered = client.order(world, &["answered.example.com"]).await;
        client.answer(world, &answered, 0).await;
        Self { answered, held, parked, pending, ready, issue, done }
    }
}

async fn standings(world: &World) -> BTreeMap<OrderId, (Stage, Standing)> {
    let active = world.workbench.list(OrderFilter::default(), 1_000).await.unwrap();
    active.into_iter().map(|active| (active.order.id, (active.order.stage(), active.standing))).collect()
}

async fn wiped_queues_and_leases_are_rebuilt_in_full(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let spread = Spread::over(&world, &client).await;
    let before = standings(&world).await;
    assert!(matches!(before[&spread.held.id].1, Standing::Lease { holder: INSTANCE, .. }));
    assert!(matches!(before[&spread.parked.id].1, Standing::Park { .. }));

    world.wipe_places();
    assert!(standings(&world).await.values().all(|(_, standing)| *standing == Standing::Nowhere));
    let swept = world.sweep().await;
    assert_eq!((swept.requeued, swept.died, swept.retired), (3, 0, 0));

    let mut expected = before.clone();
    // Whose lease it was is forgotten: the order goes back to its queue.
    expected.insert(spread.held.id, (Stage::TestChallenge, Standing::Queue));
    assert_eq!(standings(&world).await, expected);
    for (order, stage, standing) in [
        (&spread.answered, Stage::TestChallenge, Standing::Queue),
        (&spread.pending, Stage::TestChallenge, Standing::Client),
        (&spread.ready, Stage::TestChallenge, Standing::Client),
        (&spread.issue, Stage::Issue, Standing::Queue),
        (&spread.done, Stage::Done, Standing::PendingDone),
    ] {
        assert_eq!(expected[&order.id], (stage, standing));
    }

    // And all of it goes on.
    world.clock.pass_seconds(2);
    world.sweep().await;
    world.work_off().await;
    for order in [&spread.answered, &spread.held, &spread.parked, &spread.ready] {
        assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
    }
    assert_eq!(client.status(&world, spread.issue.id).await, OrderStatus::Valid);
    assert_eq!(client.status(&world, spread.pending.id).await, OrderStatus::Pending);
    world.check_invariants().await;
}

async fn sweep_twice_is_once(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    Spread::over(&world, &client).await;
    world.wipe_places();
    assert_ne!(world.sweep().await, ca::Swept::default());
    let once = standings(&world).await;
    let counts = world.workbench.counts().await.unwrap();
    assert_eq!(world.sweep().await, ca::Swept::default());
    assert_eq!(standings(&world).await, once);
    assert_eq!(world.workbench.counts().await.unwrap(), counts);
}

async fn lease_that_ran_out_is_given_to_another(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer(&world, &order, 0).await;
    let mut held = world.network.hold_test("one.example.com");
    let worker = world.start_work(Stage::TestChallenge);
    held.reached().await;
    kill(worker).await;
    world.clock.pass_seconds(61);
    assert_eq!(world.sweep().await.requeued, 1);
    assert_eq!(world.read(order.id).await.unwrap().claims, 1, "a claim is counted when it is made");
    world.work(Stage::TestChallenge).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn lease_that_still_runs_is_left_alone(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer(&world, &order, 0).await;
    let mut held = world.network.hold_test("one.example.com");
    let worker = world.start_work(Stage::TestChallenge);
    held.reached().await;
    world.clock.pass_seconds(59);
    assert_eq!(world.sweep().await, ca::Swept::default());
    world.assert_idle(Stage::TestChallenge).await;
    held.release();
    worker.await.unwrap();
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn order_whose_maker_died_gets_its_challenges(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let asked = acme::NewOrder {
        identifiers: vec![acme::WireIdentifier { kind: "dns".into(), value: "one.example.com".into() }],
        ..acme::NewOrder::default()
    };
    let mut held = world.points.hold(Side::After, Call::Create);
    let (ca, account) = (world.ca.clone(), client.account.clone());
    let maker = world.start_beside(async move { ca.new_order(&account, &asked).await.map(drop) });
    held.reached().await;
    kill(maker).await;
    world.clock.pass_seconds(61);
    assert_eq!(world.sweep().await.requeued, 1);
    world.work(Stage::MakeChallenge).await;
    let [active] = &*world.workbench.list(OrderFilter::default(), 10).await.unwrap() else { panic!("one order") };
    assert_eq!(active.order.authorizations.len(), 1);
    assert_eq!(active.standing, Standing::Client);
    client.answer(&world, &active.order, 0).await;
    world.work(Stage::TestChallenge).await;
    assert_eq!(client.status(&world, active.order.id).await, OrderStatus::Ready);
}

async fn sweep_goes_through_more_orders_than_a_page_has(backend: Backend) {
    let world = World::with(backend, |settings| settings.limits.sweep_page = 2).await;
    let client = Client::new(&world).await;
    let key = pair();
    let mut orders = Vec::new();
    for number in 0..5 {
        orders.push(client.processing_with(&world, &[&format!("n{number}.example.com")], &key).await);
    }
    world.wipe_places();
    assert_eq!(world.sweep().await.requeued, 5);
    world.work_off().await;
    for order in &orders {
        assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    }
    // All of them overdue in one sweep.
    let mut late = Vec::new();
    for number in 0..5 {
        late.push(client.order(&world, &[&format!("late{number}.example.com")]).await);
    }
    world.clock.pass_seconds(7 * 86_400 + 1);
    assert_eq!(world.sweep().await.died, 5);
    for order in &late {
        assert_eq!(client.status(&world, order.id).await, OrderStatus::Invalid);
    }
}
