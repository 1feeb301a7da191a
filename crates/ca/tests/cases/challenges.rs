//! `TestChallenge`: answers, tries, back-offs and ends.

use std::time::Duration;

use acme::{ChallengeKind, OrderStatus, ProblemType};
use ca::Worked;
use ca::authorization::AuthorizationEnd;
use ca::order::{Order, Stage};
use ca::ports::{Standing, Validated};

use super::on_all_back_ends;
use crate::world::Call;
use crate::world::network::{unreachable, wrong};
use crate::world::{Backend, Client, START, Side, World, kill};

on_all_back_ends! {
    challenge_answered_while_another_is_tested_needs_no_sweep
    challenges_of_an_order_are_tested_side_by_side
    challenge_is_tried_three_times_with_back_off_then_invalid
    wrong_answer_is_not_tried_again
    answer_given_anew_starts_afresh
    killed_test_is_no_try
    answer_repeated_while_it_waits_starts_no_second_test
    one_bad_authorization_makes_the_order_invalid
    authorization_given_up_makes_the_order_invalid
    authorizations_of_an_order_that_has_ended_can_be_given_up
    result_in_the_ledger_is_only_advanced
    client_waits_until_its_challenge_was_tested
    operators_word_is_enough_for_the_names_of_the_ca_itself
    one_of_several_challenges_of_a_name_is_enough
    challenges_of_a_name_that_all_fail_end_it
    authorization_given_up_while_it_becomes_valid_is_given_up
}

async fn challenge_answered_while_another_is_tested_needs_no_sweep(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com", "two.example.com"]).await;
    client.answer(&world, &order, 0).await;
    let mut held = world.network.hold_test("one.example.com");
    let worker = world.start_work(Stage::TestChallenge);
    held.reached().await;
    client.answer(&world, &order, 1).await;
    assert!(matches!(world.standing(order.id).await, Standing::Lease { .. }), "it stays with its worker");
    held.release();
    assert_eq!(worker.await.unwrap(), Some(Worked::Advanced));
    assert_eq!(world.standing(order.id).await, Standing::Queue);
    world.work(Stage::TestChallenge).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
    assert_eq!((world.network.tests("one.example.com"), world.network.tests("two.example.com")), (1, 1));
}

async fn challenges_of_an_order_are_tested_side_by_side(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com", "two.example.com"]).await;
    client.answer_all(&world, &order).await;
    let mut one = world.network.hold_test("one.example.com");
    let mut two = world.network.hold_test("two.example.com");
    let worker = world.start_work(Stage::TestChallenge);
    one.reached().await;
    two.reached().await;
    two.release();
    one.release();
    assert_eq!(worker.await.unwrap(), Some(Worked::Advanced));
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn challenge_is_tried_three_times_with_back_off_then_invalid(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    world.network.answers("one.example.com", [unreachable(), unreachable(), unreachable()]);
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer(&world, &order, 0).await;
    let mut due = START;
    for (tries, back_off) in [(1, 2), (2, 4)] {
        world.work(Stage::TestChallenge).await;
        assert_eq!(world.network.tests("one.example.com"), tries);
        due = due.plus(Duration::from_secs(back_off));
        assert_eq!(world.standing(order.id).await, Standing::Park { until: due });
        assert_eq!(client.status(&world, order.id).await, OrderStatus::Pending);
        world.clock.pass_seconds(back_off - 1);
        world.sweep().await;
        world.assert_idle(Stage::TestChallenge).await;
        world.clock.pass_seconds(1);
        assert_eq!(world.sweep().await.requeued, 1);
    }
    world.work_off().await;
    assert_eq!(world.network.tests("one.example.com"), 3);
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::TestChallenge, ProblemType::Connection));
    assert_eq!(world.standing(order.id).await, Standing::PendingDone);
}

async fn wrong_answer_is_not_tried_again(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    world.network.answers("one.example.com", [wrong()]);
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer(&world, &order, 0).await;
    world.work_off().await;
    assert_eq!(world.network.tests("one.example.com"), 1);
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::TestChallenge, ProblemType::IncorrectResponse));
    let [ended] = &*world.ledger.authorizations(&order.authorization_ids()).await.unwrap() else { panic!("one end") };
    assert_eq!(ended.end, AuthorizationEnd::Invalid);
    assert_eq!(ended.validation.as_ref().unwrap().problem.as_ref().unwrap().kind, ProblemType::IncorrectResponse);
}

async fn answer_given_anew_starts_afresh(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let failures = [unreachable(), unreachable(), unreachable(), unreachable()];
    world.network.answers("one.example.com", failures);
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer(&world, &order, 0).await;
    world.work(Stage::TestChallenge).await;
    world.clock.pass_seconds(2);
    world.sweep().await;
    world.work(Stage::TestChallenge).await;
    assert!(matches!(world.standing(order.id).await, Standing::Park { .. }));
    // Two tries are gone. The client answers anew: it is tested at once, without a sweep, and has three more.
    client.answer(&world, &order, 0).await;
    world.work(Stage::TestChallenge).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Pending);
    world.clock.pass_seconds(2);
    world.sweep().await;
    world.work(Stage::TestChallenge).await;
    assert_eq!(world.network.tests("one.example.com"), 4);
    world.clock.pass_seconds(4);
    world.sweep().await;
    world.work(Stage::TestChallenge).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn killed_test_is_no_try(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer(&world, &order, 0).await;
    world.network.answers("one.example.com", [unreachable(), unreachable()]);
    for _ in 0..4 {
        let mut held = world.network.hold_test("one.example.com");
        let worker = world.start_work(Stage::TestChallenge);
        held.reached().await;
        kill(worker).await;
        world.clock.pass_seconds(61);
        world.sweep().await;
    }
    world.until_ready(&client, order.id).await;
    assert_eq!(world.network.tests("one.example.com"), 4 + 3);
}

async fn answer_repeated_while_it_waits_starts_no_second_test(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer(&world, &order, 0).await;
    client.answer(&world, &order, 0).await;
    let mut held = world.network.hold_test("one.example.com");
    let worker = world.start_work(Stage::TestChallenge);
    held.reached().await;
    client.answer(&world, &order, 0).await;
    held.release();
    worker.await.unwrap();
    world.assert_idle(Stage::TestChallenge).await;
    assert_eq!(world.network.tests("one.example.com"), 1);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn one_bad_authorization_makes_the_order_invalid(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    world.network.answers("two.example.com", [wrong()]);
    let order = client.order(&world, &["one.example.com", "two.example.com"]).await;
    client.answer(&world, &order, 1).await;
    world.work_off().await;
    assert_eq!(client.death(&world, order.id).await.0, Stage::TestChallenge);
    // The other one can't be answered any more.
    let id = order.authorizations[0].id;
    assert!(world.ca.answer(&client.account, id, ChallengeKind::Dns01).await.is_err());
    world.assert_idle(Stage::TestChallenge).await;
    assert_eq!(world.network.tests("one.example.com"), 0);
}

async fn authorization_given_up_makes_the_order_invalid(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    let id = order.authorizations[0].id;
    let view = world.ca.deactivate_authorization(&client.account, id).await.unwrap();
    assert_eq!(view.authorization.end, Some(AuthorizationEnd::Deactivated));
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Invalid, "before a worker has seen it");
    world.work_off().await;
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::TestChallenge, ProblemType::Unauthorized));
    assert!(problem.detail.contains("testchallenge"), "{}", problem.detail);
}

async fn authorizations_of_an_order_that_has_ended_can_be_given_up(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com", "two.example.com"]).await;
    for authorization in &order.authorizations {
        let view = world.ca.deactivate_authorization(&client.account, authorization.id).await.unwrap();
        assert_eq!(view.authorization.end, Some(AuthorizationEnd::Deactivated));
        world.work_off().await;
        let again = world.ca.deactivate_authorization(&client.account, authorization.id).await;
        assert!(again.is_err(), "once is enough");
    }
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::TestChallenge, ProblemType::Unauthorized));
}

async fn result_in_the_ledger_is_only_advanced(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer(&world, &order, 0).await;
    let mut held = world.points.hold(Side::After, Call::Authorize);
    let worker = world.start_work(Stage::TestChallenge);
    held.reached().await;
    kill(worker).await;
    // The client sees it at once, the workbench later.
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
    world.clock.pass_seconds(61);
    world.sweep().await;
    world.work(Stage::TestChallenge).await;
    assert_eq!(world.network.tests("one.example.com"), 1, "it is not tested again");
    assert_eq!(world.read(order.id).await.unwrap().order.status(world.ca.now()), OrderStatus::Ready);
}

async fn client_waits_until_its_challenge_was_tested(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer(&world, &order, 0).await;
    let mut held = world.network.hold_test("one.example.com");
    let worker = world.start_work(Stage::TestChallenge);
    held.reached().await;
    let (ca, account, id) = (world.ca.clone(), client.account.clone(), order.id);
    let poll = world.start_beside(async move { ca.order_changed(&account, id, Duration::from_secs(10)).await });
    held.release();
    worker.await.unwrap();
    assert_eq!(poll.await.unwrap().unwrap().status(world.ca.now()), OrderStatus::Ready);
    // Where nothing is at work, nobody waits.
    let order = world.ca.order_changed(&client.account, order.id, Duration::from_secs(10)).await.unwrap();
    assert_eq!(order.status(world.ca.now()), OrderStatus::Ready);
}

async fn operators_word_is_enough_for_the_names_of_the_ca_itself(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let names = [acme::Identifier::Dns(acme::DnsName::parse("ca.example.com").unwrap())];
    let order = world.ca.new_operator_order(&client.account, names.into(), "server").await.unwrap();
    world.work(Stage::TestChallenge).await;
    client.finalize(&world, &order, &crate::world::pair()).await.unwrap();
    world.work(Stage::Issue).await;
    let record = client.certificate(&world, order.id).await;
    assert_eq!((record.profile.as_str(), record.ct), ("server", false));
    assert_eq!(world.network.tests("ca.example.com"), 0);
    world.check_invariants().await;
}

/// Answers every challenge of the only name of an order.
async fn answer_every_way(world: &World, client: &Client, order: &Order) {
    for kind in [ChallengeKind::Http01, ChallengeKind::Dns01, ChallengeKind::TlsAlpn01] {
        world.ca.answer(&client.account, order.authorizations[0].id, kind).await.unwrap();
    }
}

async fn one_of_several_challenges_of_a_name_is_enough(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    world.network.answers("one.example.com", [wrong(), unreachable(), Validated::Shown]);
    let order = client.order(&world, &["one.example.com"]).await;
    answer_every_way(&world, &client, &order).await;
    world.work(Stage::TestChallenge).await;
    assert_eq!(world.network.tests("one.example.com"), 3);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
    world.assert_idle(Stage::TestChallenge).await;
}

async fn challenges_of_a_name_that_all_fail_end_it(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    world.network.answers("one.example.com", [unreachable(), wrong(), unreachable()]);
    let order = client.order(&world, &["one.example.com"]).await;
    answer_every_way(&world, &client, &order).await;
    world.work_off().await;
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::TestChallenge, ProblemType::IncorrectResponse));
}

async fn authorization_given_up_while_it_becomes_valid_is_given_up(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer(&world, &order, 0).await;
    let mut held = world.points.hold(Side::Before, Call::Authorize);
    let (ca, account, id) = (world.ca.clone(), client.account.clone(), order.authorizations[0].id);
    let giving_up = world.start_beside(async move { ca.deactivate_authorization(&account, id).await });
    held.reached().await;
    world.work(Stage::TestChallenge).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
    held.release();
    let view = giving_up.await.unwrap().unwrap();
    assert_eq!(view.authorization.end, Some(AuthorizationEnd::Deactivated));
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Invalid);
    world.work_off().await;
    assert_eq!(client.death(&world, order.id).await.1.kind, ProblemType::Unauthorized);
}
