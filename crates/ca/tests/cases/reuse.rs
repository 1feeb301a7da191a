//! What new orders take over: valid authorizations of the account, and an open order for the same.

use std::time::Duration;

use acme::{NewOrder, OrderStatus, ProblemType};
use ca::order::{Order, Stage};
use ca::settings::Settings;

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, kill, new_order, pair, refused};

const NAME: &str = "one.example.com";
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

on_all_back_ends! {
    valid_authorization_is_reused_and_its_order_is_ready_at_once
    another_accounts_authorization_is_not_reused
    name_and_its_wildcard_do_not_share_an_authorization
    authorization_that_is_almost_over_is_not_reused
    order_lives_no_longer_than_what_it_reuses
    what_is_almost_over_is_not_reused_beside_what_is_pending
    shorter_lifetime_of_authorizations_bounds_what_is_reused
    deactivation_spoils_every_order_that_reuses_the_authorization
    deactivation_after_finalize_keeps_the_certificate_from_being_issued
    caa_is_checked_again_for_what_is_reused
    without_reuse_each_order_has_authorizations_of_its_own
    order_whose_maker_died_reuses_what_there_is
    same_request_is_answered_with_the_open_order
    other_requests_get_orders_of_their_own
    order_that_has_gone_on_is_not_answered_again
    several_bad_authorizations_are_subproblems
}

fn no_order_reuse(settings: &mut Settings) {
    settings.reuse.orders = false;
}

async fn valid_authorization_is_reused_and_its_order_is_ready_at_once(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let first = client.ready(&world, &[NAME]).await;
    client.finalize(&world, &first, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    let second = client.order(&world, &[NAME]).await;
    assert_ne!(second.id, first.id);
    assert_eq!(second.status(world.ca.now()), OrderStatus::Ready);
    assert_eq!(second.authorization_ids(), first.authorization_ids());
    client.finalize(&world, &second, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    client.certificate(&world, second.id).await;
    assert_eq!(world.network.tests(NAME), 1);
    world.check_invariants().await;
}

async fn another_accounts_authorization_is_not_reused(backend: Backend) {
    let world = World::on(backend).await;
    let (client, other) = (Client::new(&world).await, Client::new(&world).await);
    client.ready(&world, &[NAME]).await;
    let order = other.order(&world, &[NAME]).await;
    assert_eq!(order.status(world.ca.now()), OrderStatus::Pending);
    assert_eq!(order.authorizations[0].id.order, order.id);
}

async fn name_and_its_wildcard_do_not_share_an_authorization(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let name = client.ready(&world, &[NAME]).await;
    let both = client.order(&world, &[NAME, "*.one.example.com"]).await;
    assert_eq!(both.status(world.ca.now()), OrderStatus::Pending);
    let reused: Vec<bool> = both.authorizations.iter().map(|one| one.id.order == name.id).collect();
    let wildcard: Vec<bool> = both.authorizations.iter().map(|one| one.identifier.is_wildcard()).collect();
    assert_eq!((reused[0], reused[1]), (!wildcard[0], !wildcard[1]));
}

async fn authorization_that_is_almost_over_is_not_reused(backend: Backend) {
    let world = World::with(backend, no_order_reuse).await;
    let client = Client::new(&world).await;
    client.ready(&world, &[NAME]).await;
    world.clock.pass_seconds(30 * DAY - HOUR + 1);
    assert_eq!(client.order(&world, &[NAME]).await.status(world.ca.now()), OrderStatus::Pending);
}

async fn order_lives_no_longer_than_what_it_reuses(backend: Backend) {
    let world = World::with(backend, no_order_reuse).await;
    let client = Client::new(&world).await;
    client.ready(&world, &[NAME]).await;
    world.clock.pass_seconds(29 * DAY);
    let order = client.order(&world, &[NAME]).await;
    assert_eq!(order.status(world.ca.now()), OrderStatus::Ready);
    let left = order.expires.since(world.ca.now()).as_secs();
    assert!((DAY - 1..=DAY).contains(&left), "{left} s are left");
    world.clock.pass_seconds(DAY + 1);
    world.sweep().await;
    assert_eq!(client.death(&world, order.id).await.0, Stage::TestChallenge);
}

async fn what_is_almost_over_is_not_reused_beside_what_is_pending(backend: Backend) {
    let world = World::with(backend, no_order_reuse).await;
    let client = Client::new(&world).await;
    let first = client.ready(&world, &[NAME]).await;
    let reused = |order: &Order| order.authorizations.iter().any(|one| one.id.order == first.id);
    world.clock.pass_seconds(29 * DAY - 1);
    let order = client.order(&world, &[NAME, "two.example.com"]).await;
    assert!(reused(&order), "a day is enough");
    world.clock.pass_seconds(2);
    let order = client.order(&world, &[NAME, "two.example.com"]).await;
    assert!(!reused(&order));
    assert!(order.expires.since(world.ca.now()).as_secs() > 6 * DAY, "{}", order.expires);
    assert!(reused(&client.order(&world, &[NAME]).await), "nothing else is to be had");
}

async fn shorter_lifetime_of_authorizations_bounds_what_is_reused(backend: Backend) {
    let mut world = World::with(backend, no_order_reuse).await;
    let client = Client::new(&world).await;
    let first = client.ready(&world, &[NAME]).await;
    world.clock.pass_seconds(DAY);
    world = world.restart_with(|settings| settings.times.authorization_lifetime = Duration::from_secs(2 * DAY));
    world.ca.recover().await.unwrap();
    let second = client.order(&world, &[NAME]).await;
    assert_eq!(second.authorization_ids(), first.authorization_ids());
    let left = second.expires.since(world.ca.now()).as_secs();
    assert!((DAY - 1..=DAY).contains(&left), "{left} s are left");
    world.clock.pass_seconds(DAY);
    let third = client.order(&world, &[NAME]).await;
    assert_eq!(third.status(world.ca.now()), OrderStatus::Pending);
    client.answer_all(&world, &third).await;
    world.work_off().await;
    // The old one has the later end on record: the new one is found all the same.
    let fourth = client.order(&world, &[NAME]).await;
    assert_eq!(fourth.authorization_ids(), third.authorization_ids());
}

async fn deactivation_spoils_every_order_that_reuses_the_authorization(backend: Backend) {
    let world = World::with(backend, no_order_reuse).await;
    let client = Client::new(&world).await;
    let first = client.ready(&world, &[NAME]).await;
    let (second, third) = (client.order(&world, &[NAME]).await, client.order(&world, &[NAME, "two.example.com"]).await);
    world.ca.deactivate_authorization(&client.account, first.authorizations[0].id).await.unwrap();
    for order in [&first, &second, &third] {
        assert_eq!(client.status(&world, order.id).await, OrderStatus::Invalid);
        let problem = refused(client.finalize(&world, order, &pair()).await);
        assert_eq!(problem.kind, ProblemType::OrderNotReady);
    }
    world.work_off().await;
    let (stage, problem) = client.death(&world, second.id).await;
    assert_eq!((stage, problem.kind), (Stage::TestChallenge, ProblemType::Unauthorized));
    assert!(problem.detail.contains("deactivated"), "{}", problem.detail);
    assert_eq!(problem.subproblems[0].identifier.as_ref().unwrap().value, NAME);
    assert_eq!(client.order(&world, &[NAME]).await.status(world.ca.now()), OrderStatus::Pending);
}

async fn deactivation_after_finalize_keeps_the_certificate_from_being_issued(backend: Backend) {
    let world = World::with(backend, no_order_reuse).await;
    let client = Client::new(&world).await;
    let first = client.ready(&world, &[NAME]).await;
    let second = client.order(&world, &[NAME]).await;
    client.finalize(&world, &second, &pair()).await.unwrap();
    world.ca.deactivate_authorization(&client.account, first.authorizations[0].id).await.unwrap();
    world.work_off().await;
    let (stage, problem) = client.death(&world, second.id).await;
    assert_eq!((stage, problem.kind), (Stage::Issue, ProblemType::Unauthorized));
    assert_eq!(world.serials(second.id).await, []);
    world.check_invariants().await;
}

async fn caa_is_checked_again_for_what_is_reused(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    client.issued(&world, &[NAME], &pair()).await;
    world.clock.pass_seconds(9 * HOUR);
    let order = client.ready(&world, &[NAME]).await;
    assert_eq!(world.network.checks(NAME).len(), 1);
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    let record = client.certificate(&world, order.id).await;
    assert_eq!(world.network.checks(NAME).len(), 2);
    assert_eq!(world.ledger.signing_record(record.serial).await.unwrap().unwrap().rechecks.len(), 1);
    world.check_invariants().await;
}

async fn without_reuse_each_order_has_authorizations_of_its_own(backend: Backend) {
    let world = World::with(backend, |settings| {
        settings.reuse.authorizations_percent = 0;
        settings.reuse.orders = false;
    })
    .await;
    let client = Client::new(&world).await;
    client.ready(&world, &[NAME]).await;
    let second = client.order(&world, &[NAME]).await;
    assert_eq!(second.status(world.ca.now()), OrderStatus::Pending);
    assert_ne!(client.order(&world, &[NAME]).await.id, second.id);
}

async fn order_whose_maker_died_reuses_what_there_is(backend: Backend) {
    let world = World::with(backend, no_order_reuse).await;
    let client = Client::new(&world).await;
    client.ready(&world, &[NAME]).await;
    let mut held = world.points.hold(Side::Before, Call::Advance);
    let (ca, account) = (world.ca.clone(), client.account.clone());
    let making = world.start_beside(async move { ca.new_order(&account, &new_order(&[NAME], None)).await });
    held.reached().await;
    kill(making).await;
    let world = world.restart();
    world.ca.recover().await.unwrap();
    world.work(Stage::MakeChallenge).await;
    let active = world.workbench.list(ca::ports::OrderFilter::default(), 10).await.unwrap();
    assert_eq!(active.len(), 2);
    assert!(active.iter().all(|one| one.order.status(world.ca.now()) == OrderStatus::Ready), "{active:?}");
}

async fn same_request_is_answered_with_the_open_order(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let pending = client.order(&world, &[NAME, "two.example.com"]).await;
    assert_eq!(client.order(&world, &["two.example.com", NAME, NAME]).await, pending);
    client.answer_all(&world, &pending).await;
    world.work(Stage::TestChallenge).await;
    let ready = client.order(&world, &[NAME, "two.example.com"]).await;
    assert_eq!((ready.id, ready.status(world.ca.now())), (pending.id, OrderStatus::Ready));
}

async fn other_requests_get_orders_of_their_own(backend: Backend) {
    let world = World::on(backend).await;
    let (client, other) = (Client::new(&world).await, Client::new(&world).await);
    let first = client.order(&world, &[NAME]).await;
    let end = world.ca.now().plus(Duration::from_secs(DAY)).to_rfc3339();
    let mut ids = vec![first.id, other.order(&world, &[NAME]).await.id];
    for asked in [
        new_order(&["two.example.com"], None),
        new_order(&["*.one.example.com"], None),
        new_order(&[NAME], Some("internal")),
        NewOrder { not_after: Some(end), ..new_order(&[NAME], None) },
    ] {
        ids.push(client.ask(&world, &asked).await.unwrap().id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    assert_eq!(client.order(&world, &[NAME]).await.id, first.id);
}

async fn order_that_has_gone_on_is_not_answered_again(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let spoiled = client.order(&world, &[NAME]).await;
    world.ca.deactivate_authorization(&client.account, spoiled.authorizations[0].id).await.unwrap();
    world.work_off().await;
    let open = client.ready(&world, &[NAME]).await;
    assert_ne!(open.id, spoiled.id);
    client.finalize(&world, &open, &pair()).await.unwrap();
    assert_ne!(client.order(&world, &[NAME]).await.id, open.id);
}

async fn several_bad_authorizations_are_subproblems(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let names = ["one.example.com", "two.example.com", "three.example.com"];
    world.network.answers(names[0], [crate::world::network::wrong()]);
    world.network.caa(names[1], crate::world::network::forbidden());
    let order = client.order(&world, &names).await;
    client.answer_all(&world, &order).await;
    world.work_off().await;
    let (_, problem) = client.death(&world, order.id).await;
    assert_eq!(problem.kind, ProblemType::Compound);
    let mut found: Vec<(String, ProblemType)> = problem
        .subproblems
        .iter()
        .map(|one| (one.identifier.as_ref().unwrap().value.clone(), one.kind.clone()))
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let due = [(names[0], ProblemType::IncorrectResponse), (names[1], ProblemType::Caa)];
    assert_eq!(found, due.map(|(name, kind)| (name.to_owned(), kind)));
}
