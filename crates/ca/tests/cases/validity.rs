//! `notBefore` and `notAfter` (RFC 8555 §7.4).

use std::time::Duration;

use acme::{NewOrder, OrderStatus, ProblemType};
use ca::order::{Order, Stage};
use pki::{Certificate, Timestamp};

use super::on_all_back_ends;
use crate::world::{Backend, Client, START, World, new_order, pair, refused};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

on_all_back_ends! {
    certificate_has_the_validity_that_was_asked_for
    whole_life_of_the_profile_can_be_had_from_now_on
    whole_life_that_begins_with_the_next_second_is_waited_for
    end_that_a_profile_made_shorter_cannot_reach_is_not_promised_again
    start_that_is_a_moment_ago_can_be_had_with_any_profile
    order_dies_before_its_promise_can_not_be_kept
    end_that_cannot_be_had_is_refused
}

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds)).whole_second()
}

fn asked(not_before: Option<Timestamp>, not_after: Option<Timestamp>) -> NewOrder {
    NewOrder {
        not_before: not_before.map(Timestamp::to_rfc3339),
        not_after: not_after.map(Timestamp::to_rfc3339),
        ..new_order(&["one.example.com"], None)
    }
}

async fn issued(world: &World, client: &Client, order: &Order) -> Certificate {
    client.answer_all(world, order).await;
    world.work(Stage::TestChallenge).await;
    client.finalize(world, order, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    let record = client.certificate(world, order.id).await;
    let certificate = Certificate::from_der(record.certificate.as_deref().unwrap()).unwrap();
    assert_eq!(certificate.validity().not_after, record.not_after, "the record says what the certificate says");
    certificate
}

async fn certificate_has_the_validity_that_was_asked_for(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ask(&world, &asked(Some(after(HOUR)), Some(after(10 * DAY)))).await.unwrap();
    world.clock.pass_seconds(2 * HOUR);
    let validity = issued(&world, &client, &order).await.validity();
    assert_eq!((validity.not_before, validity.not_after), (after(HOUR), after(10 * DAY)));
    world.check_invariants().await;
}

async fn whole_life_of_the_profile_can_be_had_from_now_on(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ask(&world, &asked(None, Some(after(90 * DAY)))).await.unwrap();
    world.clock.pass_seconds(60);
    let validity = issued(&world, &client, &order).await.validity();
    assert_eq!((validity.not_before, validity.not_after), (after(1), after(90 * DAY)));
}

async fn whole_life_that_begins_with_the_next_second_is_waited_for(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    world.clock.pass(Duration::from_millis(400));
    let order = client.ask(&world, &asked(None, Some(after(90 * DAY)))).await.unwrap();
    client.answer_all(&world, &order).await;
    world.work(Stage::TestChallenge).await;
    client.finalize(&world, &order, &pair()).await.unwrap();
    let issuing = world.start_work(Stage::Issue);
    world.clock.pass_when_slept(Duration::from_millis(600)).await;
    issuing.await.unwrap();
    let record = client.certificate(&world, order.id).await;
    let certificate = Certificate::from_der(record.certificate.as_deref().unwrap()).unwrap();
    assert_eq!(certificate.validity().not_before, after(1));
    assert!(record.begun >= after(1), "it was signed at {}", record.begun);
    assert_eq!(certificate.validity().not_after, after(90 * DAY));
}

async fn end_that_a_profile_made_shorter_cannot_reach_is_not_promised_again(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ask(&world, &asked(None, Some(after(90 * DAY)))).await.unwrap();
    client.answer_all(&world, &order).await;
    world.work(Stage::TestChallenge).await;
    client.finalize(&world, &order, &pair()).await.unwrap();
    let world = world.restart_with(|settings| settings.profiles[0].lifetime_seconds = 60 * DAY);
    world.ca.recover().await.unwrap();
    world.work_off().await;
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::Issue, ProblemType::Malformed));
    assert_eq!(world.serials(order.id).await, [], "no certificate begins a month ahead");
}

async fn start_that_is_a_moment_ago_can_be_had_with_any_profile(backend: Backend) {
    let world = World::with(backend, |settings| settings.profiles[0].backdate_seconds = 0).await;
    let client = Client::new(&world).await;
    let start = after(0).minus(Duration::from_secs(300));
    let order = client.ask(&world, &asked(Some(start), None)).await.unwrap();
    assert_eq!(issued(&world, &client, &order).await.validity().not_before, start);
    let early = start.minus(Duration::from_secs(1));
    let problem = refused(client.ask(&world, &asked(Some(early), None)).await);
    assert!(problem.detail.contains(&format!("earliest is {start}")), "{}", problem.detail);
}

async fn order_dies_before_its_promise_can_not_be_kept(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ask(&world, &asked(None, Some(after(DAY)))).await.unwrap();
    assert!(order.expires < after(DAY), "{}", order.expires);
    world.clock.pass_seconds(DAY);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Invalid);
}

async fn end_that_cannot_be_had_is_refused(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    for (not_before, not_after, what) in [
        (None, Some(START), "notAfter"),
        (None, Some(after(90 * DAY + 1)), "notAfter"),
        (Some(after(2 * HOUR)), Some(after(HOUR)), "notAfter"),
        (Some(START.minus(Duration::from_secs(HOUR))), None, "notBefore"),
        (Some(after(3 * DAY)), None, "notBefore"),
    ] {
        let problem = refused(client.ask(&world, &asked(not_before, not_after)).await);
        assert_eq!(problem.kind, ProblemType::Malformed);
        assert!(problem.detail.starts_with(what), "{}", problem.detail);
    }
}
