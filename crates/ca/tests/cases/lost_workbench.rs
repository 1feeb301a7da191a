//! The workbench lost with all that was on it: a retry for clients, and nothing worse.

use std::time::Duration;

use acme::{OrderStatus, ProblemType};
use ca::InstanceId;
use ca::order::{Order, Outcome, Stage};
use ca::ports::{LeaseTerms, Standing};

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, kill, pair, refused};

on_all_back_ends! {
    ended_orders_stay_readable
    order_in_issuance_goes_on
    order_in_issuance_goes_on_without_a_poll_of_its_client
    order_in_issuance_that_nobody_polls_dies_at_its_deadline
    two_polls_of_a_lost_order_bring_it_back_once
    order_in_issuance_is_not_finalized_twice
    open_order_is_gone_and_its_client_makes_another
    order_in_issuance_on_a_workbench_that_was_rolled_back_is_processing
    order_in_issuance_goes_on_by_itself_on_a_workbench_that_was_rolled_back
    order_that_is_valid_in_the_ledger_does_not_die_on_a_workbench_that_was_rolled_back
    order_that_is_valid_in_the_ledger_is_not_cancelled_with_its_account
    order_in_issuance_does_not_die_by_an_authorization_on_a_workbench_that_was_rolled_back
    order_that_cannot_be_brought_back_keeps_no_other_from_it
}

async fn ended_orders_stay_readable(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    let dead = client.processing(&world, &["two.example.com"]).await;
    world.clock.pass_seconds(601);
    world.sweep().await;
    let world = world.restart_without_workbench();
    world.ca.recover().await.unwrap();
    assert_eq!(client.certificate(&world, record.order).await, record);
    assert_eq!(client.death(&world, dead.id).await.0, Stage::Issue);
    let acknowledged = world.ca.acknowledge(&client.account, record.order).await.unwrap();
    assert_eq!(acknowledged.status(world.ca.now()), OrderStatus::Valid);
    assert!(world.known(record.order).await.unwrap().acknowledged.is_some());
}

/// An order whose first issuance has begun, and a new process with an empty workbench.
async fn lost_in_issuance(backend: Backend) -> (World, Client, Order) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::After, Call::Submit);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    kill(worker).await;
    let world = world.restart_without_workbench();
    world.ca.recover().await.unwrap();
    assert_eq!(world.read(order.id).await, None);
    (world, client, order)
}

async fn order_in_issuance_goes_on(backend: Backend) {
    let (world, client, order) = lost_in_issuance(backend).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Processing);
    assert_eq!(world.sweep().await.requeued, 1);
    world.work(Stage::Issue).await;
    assert_eq!(client.certificate(&world, order.id).await.number.0, 2);
    world.check_invariants().await;
}

async fn order_in_issuance_goes_on_without_a_poll_of_its_client(backend: Backend) {
    let (world, client, order) = lost_in_issuance(backend).await;
    assert_eq!(world.sweep().await.requeued, 1);
    world.work(Stage::Issue).await;
    assert_eq!(client.certificate(&world, order.id).await.number.0, 2);
    assert_eq!(world.sweep().await, ca::Swept::default());
    world.check_invariants().await;
}

async fn order_in_issuance_that_nobody_polls_dies_at_its_deadline(backend: Backend) {
    let (world, client, order) = lost_in_issuance(backend).await;
    world.clock.pass_seconds(601);
    assert_eq!(world.sweep().await.died, 1);
    assert_eq!(client.death(&world, order.id).await.0, Stage::Issue);
    assert_eq!(world.sweep().await, ca::Swept::default());
    world.check_invariants().await;
}

async fn two_polls_of_a_lost_order_bring_it_back_once(backend: Backend) {
    let (world, client, order) = lost_in_issuance(backend).await;
    let mut held = world.points.hold(Side::Before, Call::Create);
    let (ca, account, id) = (world.ca.clone(), client.account.clone(), order.id);
    let first = world.start_beside(async move { ca.order(&account, id).await });
    held.reached().await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Processing);
    held.release();
    assert_eq!(first.await.unwrap().unwrap().status(world.ca.now()), OrderStatus::Processing);
    world.until_done(order.id).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    world.check_invariants().await;
}

async fn order_in_issuance_is_not_finalized_twice(backend: Backend) {
    let (world, client, order) = lost_in_issuance(backend).await;
    assert_eq!(refused(client.finalize(&world, &order, &pair()).await).kind, ProblemType::OrderNotReady);
    world.until_done(order.id).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
}

async fn open_order_is_gone_and_its_client_makes_another(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    let world = world.restart_without_workbench();
    world.ca.recover().await.unwrap();
    let problem = refused(world.ca.order(&client.account, order.id).await);
    assert_eq!((problem.kind, problem.status), (ProblemType::Malformed, 404));
    // What had ended is in the ledger.
    let view = world.ca.authorization(&client.account, order.authorizations[0].id).await.unwrap();
    assert!(view.authorization.end.is_some_and(|end| end.is_good(world.ca.now())));
    client.issued(&world, &["one.example.com"], &pair()).await;
    world.check_invariants().await;
}

/// An order whose first issuance has begun, and a workbench that has it from before it was finalized.
async fn rolled_back_in_issuance(backend: Backend) -> (World, Client, Order) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let ready = client.ready(&world, &["one.example.com"]).await;
    client.finalize(&world, &ready, &pair()).await.unwrap();
    let mut held = world.points.hold(Side::After, Call::Begin);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    kill(worker).await;
    let world = world.restart_without_workbench();
    world.ca.recover().await.unwrap();
    let terms = LeaseTerms { holder: InstanceId::from_bytes([9; 16]), length: Duration::ZERO };
    world.workbench.create(ready.clone(), terms).await.unwrap();
    (world, client, ready)
}

async fn order_in_issuance_on_a_workbench_that_was_rolled_back_is_processing(backend: Backend) {
    let (world, client, order) = rolled_back_in_issuance(backend).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Processing);
    assert_eq!(refused(client.finalize(&world, &order, &pair()).await).kind, ProblemType::OrderNotReady);
    world.until_done(order.id).await;
    assert_eq!(client.certificate(&world, order.id).await.number.0, 2);
    world.check_invariants().await;
}

async fn order_in_issuance_goes_on_by_itself_on_a_workbench_that_was_rolled_back(backend: Backend) {
    let (world, client, order) = rolled_back_in_issuance(backend).await;
    world.sweep().await;
    assert_eq!(world.read(order.id).await.unwrap().order.stage(), Stage::Issue);
    world.work(Stage::Issue).await;
    assert_eq!(client.certificate(&world, order.id).await.number.0, 2);
    world.check_invariants().await;
}

/// An order with its certificate, and a workbench that has it from before it was finalized.
async fn rolled_back_after_its_end(backend: Backend) -> (World, Client, Order) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let ready = client.ready(&world, &["one.example.com"]).await;
    client.finalize(&world, &ready, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    let world = world.restart_without_workbench();
    world.ca.recover().await.unwrap();
    let terms = LeaseTerms { holder: InstanceId::from_bytes([9; 16]), length: Duration::ZERO };
    world.workbench.create(ready.clone(), terms).await.unwrap();
    (world, client, ready)
}

/// It has its certificate on the workbench too.
async fn assert_valid_on_the_workbench(world: &World, order: &Order) {
    let active = world.read(order.id).await.unwrap();
    assert!(matches!(active.order.outcome(), Some(Outcome::Valid(_))), "{:?}", active.order.outcome());
    world.check_invariants().await;
}

async fn order_that_is_valid_in_the_ledger_does_not_die_on_a_workbench_that_was_rolled_back(backend: Backend) {
    let (world, _client, order) = rolled_back_after_its_end(backend).await;
    // Sweeps see time go by: it is no leap of the clock.
    while world.ca.now() <= order.expires {
        world.clock.pass_seconds(3_600);
        world.sweep().await;
        if world.read(order.id).await.is_some_and(|active| active.order.stage() == Stage::Done) {
            break;
        }
    }
    assert_valid_on_the_workbench(&world, &order).await;
}

async fn order_that_is_valid_in_the_ledger_is_not_cancelled_with_its_account(backend: Backend) {
    let (world, client, order) = rolled_back_after_its_end(backend).await;
    client.deactivate(&world).await;
    assert_valid_on_the_workbench(&world, &order).await;
}

async fn order_in_issuance_does_not_die_by_an_authorization_on_a_workbench_that_was_rolled_back(backend: Backend) {
    let (world, client, order) = rolled_back_in_issuance(backend).await;
    world.ca.deactivate_authorization(&client.account, order.authorizations[0].id).await.unwrap();
    world.work_off().await;
    assert_eq!(world.read(order.id).await.unwrap().order.stage(), Stage::Issue, "its end is the ledger's");
    world.until_done(order.id).await;
    let (stage, _) = client.death(&world, order.id).await;
    assert_eq!(stage, Stage::Issue);
    assert!(world.known(order.id).await.unwrap().end.is_some());
}

async fn order_that_cannot_be_brought_back_keeps_no_other_from_it(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let key = pair();
    let mut orders = Vec::new();
    for name in ["one.example.com", "two.example.com"] {
        orders.push(client.processing_with(&world, &[name], &key).await.id);
        let mut held = world.points.hold(Side::After, Call::Begin);
        let worker = world.start_work(Stage::Issue);
        held.reached().await;
        kill(worker).await;
    }
    let world = world.restart_without_workbench();
    world.ca.recover().await.unwrap();
    world.points.fail(Side::Before, Call::Create);
    assert!(world.ca.sweep().await.is_err());
    let mut back = Vec::new();
    for order in &orders {
        back.extend(world.read(*order).await.map(|active| active.standing));
    }
    assert_eq!(back, [Standing::Queue], "the sweep went on with the other");
    for order in orders {
        world.until_done(order).await;
        assert_eq!(client.status(&world, order).await, OrderStatus::Valid);
    }
    world.check_invariants().await;
}
