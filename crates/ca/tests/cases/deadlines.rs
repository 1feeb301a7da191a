//! Deadlines and caps: nothing is tried for ever, and an order that dies says in which stage.

use std::time::Duration;

use acme::{OrderStatus, ProblemType};
use ca::Worked;
use ca::order::Stage;
use ca::ports::{LedgerEnd, Standing};

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, kill, pair, refused};

const WEEK: u64 = 7 * 86_400;

on_all_back_ends! {
    order_that_nobody_answers_expires_and_names_the_stage
    order_that_is_never_finalized_expires
    order_that_was_told_to_have_expired_stays_so_when_the_clock_is_set_back
    nobody_is_told_that_an_order_expired_by_a_clock_that_leapt
    order_in_issue_does_not_expire_with_its_validity_as_pending
    order_past_the_deadline_of_issue_dies_in_the_ledger
    worker_that_comes_after_the_deadline_finds_the_end
    order_dies_though_its_worker_still_holds_it
    order_has_at_most_three_issuances
    back_off_between_issuances_doubles
    no_signature_starts_at_the_end_of_a_lease
    signer_that_does_not_answer_ends_the_issuance
    unknown_outcome_of_a_signature_is_never_tried_again
}

async fn order_that_nobody_answers_expires_and_names_the_stage(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(WEEK - 1);
    assert_eq!(world.sweep().await.died, 0);
    world.clock.pass_seconds(2);
    assert_eq!(world.sweep().await.died, 1);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Invalid);
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!(stage, Stage::TestChallenge);
    assert!(problem.detail.contains("testchallenge"), "{}", problem.detail);
    assert_eq!(world.standing(order.id).await, Standing::PendingDone);
    assert_eq!(world.sweep().await, ca::Swept::default());
}

async fn order_that_is_never_finalized_expires(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(WEEK + 1);
    assert_eq!(refused(client.finalize(&world, &order, &pair()).await).kind, ProblemType::OrderNotReady);
    assert_eq!(world.standing(order.id).await, Standing::PendingDone, "before a sweep has seen it");
    assert_eq!(world.sweep().await.died, 0);
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!(stage, Stage::TestChallenge);
    assert!(problem.detail.contains("expired"), "{}", problem.detail);
}

async fn order_that_was_told_to_have_expired_stays_so_when_the_clock_is_set_back(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let ready = client.ready(&world, &["one.example.com"]).await;
    let pending = client.order(&world, &["two.example.com"]).await;
    world.clock.set_ahead(Duration::from_secs(WEEK + 1));
    for order in [&ready, &pending] {
        assert_eq!(client.status(&world, order.id).await, OrderStatus::Invalid);
    }
    world.clock.set_back(Duration::from_secs(WEEK + 1));
    for order in [&ready, &pending] {
        assert_eq!(client.status(&world, order.id).await, OrderStatus::Invalid);
        assert!(client.death(&world, order.id).await.1.detail.contains("expired"));
    }
    assert_eq!(refused(client.finalize(&world, &ready, &pair()).await).kind, ProblemType::OrderNotReady);
}

async fn nobody_is_told_that_an_order_expired_by_a_clock_that_leapt(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    let pending = client.order(&world, &["two.example.com"]).await;
    let authorization = pending.authorizations[0].id;
    world.sweep().await;
    world.clock.set_ahead(Duration::from_secs(WEEK + 1));
    assert!(matches!(world.ca.order(&client.account, order.id).await, Err(ca::Error::Failed(_))));
    let answered = world.ca.answer(&client.account, authorization, acme::ChallengeKind::Http01).await;
    assert!(matches!(answered, Err(ca::Error::Failed(_))), "{answered:?}");
    world.clock.set_back(Duration::from_secs(WEEK + 1));
    client.answer_all(&world, &pending).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.until_done(order.id).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
}

async fn order_in_issue_does_not_expire_with_its_validity_as_pending(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(WEEK - 5);
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.clock.pass_seconds(60);
    assert_eq!(world.sweep().await.died, 0);
    world.work(Stage::Issue).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
}

async fn order_past_the_deadline_of_issue_dies_in_the_ledger(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(600);
    assert_eq!(world.sweep().await.died, 0);
    world.clock.pass_seconds(1);
    assert_eq!(world.sweep().await.died, 1);
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::Issue, ProblemType::ServerInternal));
    assert!(problem.detail.contains("stage issue"), "{}", problem.detail);
    let (end, _) = world.known(order.id).await.unwrap().end.unwrap();
    assert!(matches!(end, LedgerEnd::Invalid(_)));
    assert_eq!(world.standing(order.id).await, Standing::PendingDone);
    world.assert_idle(Stage::Issue).await;
}

async fn worker_that_comes_after_the_deadline_finds_the_end(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    // The sweep has written the end in the ledger, and its process died before the workbench heard of it.
    world.clock.pass_seconds(601);
    let mut held = world.points.hold(Side::After, Call::Finish);
    let ca = world.ca.clone();
    let sweep = world.start_beside(async move { ca.sweep().await });
    held.reached().await;
    kill(sweep).await;
    assert_eq!(world.work(Stage::Issue).await, Worked::Advanced);
    assert_eq!(client.death(&world, order.id).await.0, Stage::Issue);
    assert_eq!(world.serials(order.id).await, []);
    assert_eq!(world.standing(order.id).await, Standing::PendingDone);
}

async fn order_dies_though_its_worker_still_holds_it(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::Before, Call::AppendCertificate);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    world.clock.pass_seconds(601);
    assert_eq!(world.sweep().await.died, 1);
    held.release();
    assert_eq!(worker.await.unwrap(), Some(Worked::Fenced));
    assert_eq!(client.death(&world, order.id).await.0, Stage::Issue);
    let [record] = &*world.serials(order.id).await else { panic!("one serial") };
    assert!(!record.attached && record.certificate.is_some() && record.revocation.is_some());
    world.check_invariants().await;
}

async fn order_has_at_most_three_issuances(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    for _ in 0..3 {
        world.points.fail(Side::Before, Call::SignPrecertificate);
    }
    world.until_done(order.id).await;
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::Issue, ProblemType::ServerInternal));
    assert!(problem.detail.contains("3 issuances"), "{}", problem.detail);
    let numbers: Vec<u32> = world.serials(order.id).await.iter().map(|record| record.number.0).collect();
    assert_eq!(numbers, [1, 2, 3]);
    world.check_invariants().await;
}

async fn back_off_between_issuances_doubles(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    for back_off in [2, 4] {
        world.points.fail(Side::Before, Call::SignPrecertificate);
        assert_eq!(world.work(Stage::Issue).await, Worked::Parked);
        let until = world.ca.now().plus(std::time::Duration::from_secs(back_off));
        assert_eq!(world.standing(order.id).await, Standing::Park { until });
        assert_eq!(client.status(&world, order.id).await, OrderStatus::Processing);
        world.clock.pass_seconds(back_off);
        assert_eq!(world.sweep().await.requeued, 1);
    }
    assert_eq!(world.work(Stage::Issue).await, Worked::Advanced);
    assert_eq!(client.certificate(&world, order.id).await.number.0, 3);
}

async fn no_signature_starts_at_the_end_of_a_lease(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::After, Call::Begin);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    // 90 seconds long, of which 5 have to be left.
    world.clock.pass_seconds(86);
    held.release();
    assert_eq!(worker.await.unwrap(), Some(Worked::Parked));
    assert_eq!(world.precertificate_lines(order.id).await, []);
    world.until_done(order.id).await;
    assert_eq!(client.certificate(&world, order.id).await.number.0, 2);
    world.check_invariants().await;
}

async fn signer_that_does_not_answer_ends_the_issuance(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::Before, Call::SignPrecertificate);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    world.clock.pass_seconds(15);
    assert_eq!(worker.await.unwrap(), Some(Worked::Parked));
    world.until_done(order.id).await;
    assert_eq!(client.certificate(&world, order.id).await.number.0, 2, "with a new serial");
    world.check_invariants().await;
}

async fn unknown_outcome_of_a_signature_is_never_tried_again(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.points.fail(Side::After, Call::SignPrecertificate);
    world.until_done(order.id).await;
    let [first, second] = &*world.serials(order.id).await else { panic!("two serials") };
    assert!(first.is_abandoned() && first.good.is_none());
    assert!(second.attached);
    let [(signed, _)] = &*world.precertificate_lines(order.id).await else { panic!("one line") };
    assert_eq!(*signed, second.serial);
    world.check_invariants().await;
}
