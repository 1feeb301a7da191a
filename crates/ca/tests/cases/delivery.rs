//! `Done`: delivered, acknowledged, and the end of retention.

use std::time::Duration;

use acme::{OrderStatus, ProblemType};
use ca::order::{Progress, Stage};
use ca::ports::{AlternateChain, StageCount, Standing};

use super::on_all_back_ends;
use crate::world::{Backend, Client, World, pair, refused};

const DAY: u64 = 86_400;

on_all_back_ends! {
    undelivered_delivered_and_acknowledged_orders_are_told_apart
    delivery_alone_takes_nothing_out
    acknowledgement_takes_the_order_out_and_the_certificate_stays
    only_a_valid_order_is_acknowledged
    valid_order_leaves_after_a_day
    invalid_order_leaves_after_a_week
    oldest_orders_leave_above_the_number_that_may_stay
    order_and_certificate_are_their_owners_alone
}

#[tokio::test]
async fn a_chain_that_has_ended_is_not_offered() {
    let mut issuer = World::on(Backend::Memory).await.ca.issuer().unwrap().clone();
    let validity = issuer.certificate.validity();
    let certificates = vec![issuer.certificate.clone()];
    issuer.alternates = vec![AlternateChain { number: 1, certificates }];
    let second = Duration::from_secs(1);
    for (now, offered) in [
        (validity.not_before, 1),
        (validity.not_before.minus(second), 0),
        (validity.not_after, 1),
        (validity.not_after.plus(second), 0),
    ] {
        assert_eq!(issuer.alternates_at(now).count(), offered, "{}", now.to_rfc3339());
    }
}

async fn done_count(world: &World) -> StageCount {
    let counts = world.workbench.counts().await.unwrap();
    counts.into_iter().find(|(stage, _)| *stage == Stage::Done).unwrap().1
}

async fn undelivered_delivered_and_acknowledged_orders_are_told_apart(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let key = pair();
    let mut orders = Vec::new();
    for name in ["one.example.com", "two.example.com", "three.example.com"] {
        orders.push(client.issued(&world, &[name], &key).await.order);
    }
    world.clock.pass_seconds(5);
    world.ca.mark_delivered(orders[1]).await.unwrap();
    world.ca.mark_delivered(orders[2]).await.unwrap();
    world.ca.acknowledge(&client.account, orders[2]).await.unwrap();
    let count = done_count(&world).await;
    assert_eq!((count.undelivered, count.delivered), (1, 1));
    let counts = world.ledger.counts().await.unwrap();
    assert_eq!((counts.valid, counts.delivered, counts.acknowledged), (3, 2, 1));
    let at = Some(world.ca.now());
    for (order, delivered, acknowledged) in [(0, None, None), (1, at, None), (2, at, at)] {
        let known = world.known(orders[order]).await.unwrap();
        assert_eq!((known.delivered, known.acknowledged), (delivered, acknowledged));
        let seen = client.poll(&world, orders[order]).await;
        let Progress::Done { delivered: also, acknowledged: known, .. } = seen.progress else { panic!("{seen:?}") };
        assert_eq!((also, known), (delivered, acknowledged));
    }
}

async fn delivery_alone_takes_nothing_out(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    world.ca.mark_delivered(record.order).await.unwrap();
    let first = world.ca.now();
    world.clock.pass_seconds(60);
    world.ca.mark_delivered(record.order).await.unwrap();
    world.sweep().await;
    assert_eq!(world.standing(record.order).await, Standing::PendingDone);
    assert_eq!(world.known(record.order).await.unwrap().delivered, Some(first), "the first time counts");
}

async fn acknowledgement_takes_the_order_out_and_the_certificate_stays(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    let order = world.ca.acknowledge(&client.account, record.order).await.unwrap();
    assert_eq!(order.status(world.ca.now()), OrderStatus::Valid);
    assert_eq!(world.read(record.order).await, None);
    assert_eq!(client.certificate(&world, record.order).await.certificate, record.certificate);
    // Said again, it is as it was.
    let first = world.known(record.order).await.unwrap().acknowledged;
    world.clock.pass_seconds(60);
    world.ca.acknowledge(&client.account, record.order).await.unwrap();
    assert_eq!(world.known(record.order).await.unwrap().acknowledged, first);
}

async fn only_a_valid_order_is_acknowledged(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let processing = client.processing(&world, &["one.example.com"]).await;
    let pending = client.order(&world, &["two.example.com"]).await;
    let invalid = client.order(&world, &["three.example.com"]).await;
    world.network.answers("three.example.com", [crate::world::network::wrong()]);
    client.answer(&world, &invalid, 0).await;
    world.work(Stage::TestChallenge).await;
    world.work(Stage::TestChallenge).await;
    for order in [processing, pending, invalid] {
        let problem = refused(world.ca.acknowledge(&client.account, order.id).await);
        assert_eq!(problem.kind, ProblemType::OrderNotReady);
        assert!(world.read(order.id).await.is_some());
    }
}

async fn valid_order_leaves_after_a_day(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    world.clock.pass_seconds(DAY);
    assert_eq!(world.sweep().await.retired, 0);
    world.clock.pass_seconds(1);
    assert_eq!(world.sweep().await.retired, 1);
    assert_eq!(world.read(record.order).await, None);
    assert_eq!(client.certificate(&world, record.order).await.certificate, record.certificate);
    assert_eq!(world.known(record.order).await.unwrap().acknowledged, None);
}

async fn invalid_order_leaves_after_a_week(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    world.network.answers("one.example.com", [crate::world::network::wrong()]);
    client.answer(&world, &order, 0).await;
    world.work_off().await;
    world.clock.pass_seconds(7 * DAY);
    assert_eq!(world.sweep().await.retired, 0);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Invalid);
    world.clock.pass_seconds(1);
    assert_eq!(world.sweep().await.retired, 1);
    assert_eq!(refused(world.ca.order(&client.account, order.id).await).status, 404);
}

async fn oldest_orders_leave_above_the_number_that_may_stay(backend: Backend) {
    let world = World::with(backend, |settings| settings.retention.number_max = 2).await;
    let client = Client::new(&world).await;
    let key = pair();
    let mut orders = Vec::new();
    for name in ["one.example.com", "two.example.com", "three.example.com"] {
        orders.push(client.issued(&world, &[name], &key).await.order);
        world.clock.pass_seconds(1);
    }
    assert_eq!(world.sweep().await.retired, 1);
    assert_eq!(world.read(orders[0]).await, None);
    assert!(world.read(orders[1]).await.is_some() && world.read(orders[2]).await.is_some());
}

async fn order_and_certificate_are_their_owners_alone(backend: Backend) {
    let world = World::on(backend).await;
    let (client, other) = (Client::new(&world).await, Client::new(&world).await);
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    assert_eq!(refused(world.ca.order(&other.account, record.order).await).kind, ProblemType::Unauthorized);
    assert_eq!(refused(world.ca.certificate(&other.account, record.serial).await).kind, ProblemType::Unauthorized);
    assert_eq!(refused(world.ca.acknowledge(&other.account, record.order).await).kind, ProblemType::Unauthorized);
    assert!(world.read(record.order).await.is_some());
}
