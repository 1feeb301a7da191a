//! Every call of a port fails once, on either side, and a process dies once at each of them. The plan is enumerated:
//! each order ends `valid` all the same, and the records stay true.

use std::fmt::Debug;

use acme::{ChallengeKind, OrderStatus, ProblemType};
use ca::order::{Order, Stage};
use ca::settings::{Reuse, Settings};
use ca::{Answer, Error};
use keys::KeyPair;

use super::on_all_back_ends;
use crate::world::{Backend, Client, Side, World, kill, pair};

on_all_back_ends! {
    every_call_of_an_orders_life_may_fail
    every_call_of_an_issuance_may_be_the_last_of_its_process
    every_call_of_a_test_may_be_the_last_of_its_process
}

/// Each order goes the whole way.
fn nothing_reused(settings: &mut Settings) {
    settings.reuse = Reuse { authorizations_percent: 0, orders: false };
}

const SIDES: [Side; 2] = [Side::Before, Side::After];

/// How many calls a worker makes for an order in this stage when nothing goes wrong.
async fn calls_of(world: &World, stage: Stage) -> u64 {
    let before = world.points.calls();
    world.work(stage).await;
    world.points.calls() - before
}

/// What a client does that gets no answer: the same again.
async fn again<T: Debug>(attempt: impl AsyncFn() -> Answer<T>) -> Answer<T> {
    match attempt().await {
        Err(Error::Failed(_)) => attempt().await,
        answered => answered,
    }
}

/// An order from newOrder to its certificate, whatever fails once.
async fn live(world: &World, client: &Client, key: &KeyPair) -> Order {
    let names = ["one.example.com", "two.example.com"];
    let order = again(async || client.try_order(world, &names).await).await.unwrap();
    for authorization in &order.authorizations {
        again(async || world.ca.answer(&client.account, authorization.id, ChallengeKind::Dns01).await).await.unwrap();
    }
    world.until_ready(client, order.id).await;
    match again(async || client.finalize(world, &order, key).await).await {
        Ok(_) => {}
        // It was taken the first time, and nobody was told: RFC 8555 has the client poll.
        Err(Error::Refused(problem)) if problem.kind == ProblemType::OrderNotReady => {}
        Err(error) => panic!("{error}"),
    }
    world.until_done(order.id).await;
    again(async || world.ca.order(&client.account, order.id).await).await.unwrap()
}

async fn every_call_of_an_orders_life_may_fail(backend: Backend) {
    let world = World::with(backend, nothing_reused).await;
    let client = Client::new(&world).await;
    let key = pair();
    let before = world.points.calls();
    live(&world, &client, &key).await;
    let calls = world.points.calls() - before;
    assert!(calls > 30, "{calls}");
    for number in 0..calls {
        for side in SIDES {
            let what = format!("call {number} of {calls}, {side:?}");
            world.points.fail_after(number, side);
            let order = live(&world, &client, &key).await;
            assert_eq!(world.points.forget(), 0, "{what}");
            assert_eq!(order.status(world.ca.now()), OrderStatus::Valid, "{what}");
            world.check_invariants().await;
        }
    }
}

async fn every_call_of_an_issuance_may_be_the_last_of_its_process(backend: Backend) {
    let mut world = World::on(backend).await;
    let client = Client::new(&world).await;
    let key = pair();
    client.processing_with(&world, &["counted.example.com"], &key).await;
    let calls = calls_of(&world, Stage::Issue).await;
    for number in 0..calls {
        for side in SIDES {
            let order = client.processing_with(&world, &["one.example.com"], &key).await;
            let mut held = world.points.hold_after(number, side);
            let worker = world.start_work(Stage::Issue);
            held.reached().await;
            kill(worker).await;
            world = world.restart();
            world.ca.recover().await.unwrap();
            world.check_invariants().await;
            world.until_done(order.id).await;
            let what = format!("call {number}, {side:?}");
            assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid, "{what}");
            world.check_invariants().await;
        }
    }
}

async fn every_call_of_a_test_may_be_the_last_of_its_process(backend: Backend) {
    let mut world = World::with(backend, nothing_reused).await;
    let client = Client::new(&world).await;
    let names = ["one.example.com", "two.example.com"];
    let counted = client.order(&world, &names).await;
    client.answer_all(&world, &counted).await;
    let calls = calls_of(&world, Stage::TestChallenge).await;
    for number in 0..calls {
        for side in SIDES {
            let order = client.order(&world, &names).await;
            client.answer_all(&world, &order).await;
            let mut held = world.points.hold_after(number, side);
            let worker = world.start_work(Stage::TestChallenge);
            held.reached().await;
            kill(worker).await;
            world = world.restart();
            world.ca.recover().await.unwrap();
            world.until_ready(&client, order.id).await;
        }
    }
    world.check_invariants().await;
}
