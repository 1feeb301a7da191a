//! CAA: checked beside validation, and again in step 2 when that is too old.

use acme::{OrderStatus, ProblemType};
use ca::Worked;
use ca::authorization::CaaDecision;
use ca::order::Stage;
use ca::settings::CaaMode;

use super::on_all_back_ends;
use crate::world::network::{caa_failed, forbidden};
use crate::world::{Backend, Call, Client, Side, World, pair};

const HOUR: u64 = 3600;

on_all_back_ends! {
    record_that_forbids_makes_the_order_invalid
    look_up_that_fails_is_tried_again
    fresh_check_is_not_repeated
    check_older_than_eight_hours_is_repeated_and_leaves_evidence
    recheck_that_forbids_ends_the_order
    recheck_that_fails_waits_and_takes_no_serial
    where_it_is_logged_a_record_that_forbids_is_not_in_the_way
    where_it_is_logged_a_slow_look_up_is_not_waited_for
    where_it_is_logged_nothing_is_looked_up_again
    recheck_is_not_repeated_when_the_order_had_to_wait
    recheck_that_grew_old_is_repeated
    where_it_is_off_nothing_is_looked_up
}

async fn record_that_forbids_makes_the_order_invalid(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    world.network.caa("two.example.com", forbidden());
    let order = client.order(&world, &["one.example.com", "two.example.com"]).await;
    client.answer_all(&world, &order).await;
    world.work_off().await;
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::TestChallenge, ProblemType::Caa));
    let ended = world.ledger.authorizations(&[order.authorizations[1].id]).await.unwrap();
    assert!(matches!(ended[0].caa.as_ref().unwrap().decision, CaaDecision::Forbidden { .. }));
}

async fn look_up_that_fails_is_tried_again(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    world.network.caa("one.example.com", caa_failed());
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer(&world, &order, 0).await;
    world.work(Stage::TestChallenge).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Pending);
    world.network.caa("one.example.com", CaaDecision::Permitted);
    world.clock.pass_seconds(2);
    world.sweep().await;
    world.work(Stage::TestChallenge).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn fresh_check_is_not_repeated(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(8 * HOUR);
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    let record = client.certificate(&world, order.id).await;
    assert_eq!(world.network.checks("one.example.com").len(), 1);
    let signed_from = world.ledger.signing_record(record.serial).await.unwrap().unwrap();
    assert_eq!(signed_from.rechecks, []);
    assert_eq!(signed_from.authorizations[0].caa.as_ref().unwrap().decision, CaaDecision::Permitted);
}

async fn check_older_than_eight_hours_is_repeated_and_leaves_evidence(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(8 * HOUR + 1);
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    let record = client.certificate(&world, order.id).await;
    assert_eq!(world.network.checks("one.example.com").len(), 2);
    let signed_from = world.ledger.signing_record(record.serial).await.unwrap().unwrap();
    let [recheck] = &*signed_from.rechecks else { panic!("one recheck") };
    assert_eq!(recheck.checked, world.ca.now());
    assert_eq!(recheck.decision, CaaDecision::Permitted);
    assert!(!recheck.evidence.is_empty());
}

async fn recheck_that_forbids_ends_the_order(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(9 * HOUR);
    world.network.caa("one.example.com", forbidden());
    client.finalize(&world, &order, &pair()).await.unwrap();
    assert_eq!(world.work(Stage::Issue).await, Worked::Advanced);
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::Issue, ProblemType::Caa));
    assert_eq!(world.serials(order.id).await, []);
}

async fn recheck_that_fails_waits_and_takes_no_serial(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(9 * HOUR);
    world.network.caa("one.example.com", caa_failed());
    client.finalize(&world, &order, &pair()).await.unwrap();
    assert_eq!(world.work(Stage::Issue).await, Worked::Parked);
    assert_eq!(world.serials(order.id).await, []);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Processing);
    world.network.caa("one.example.com", CaaDecision::Permitted);
    world.until_done(order.id).await;
    assert_eq!(client.certificate(&world, order.id).await.number.0, 1);
}

async fn where_it_is_logged_a_record_that_forbids_is_not_in_the_way(backend: Backend) {
    let world = World::with(backend, |settings| settings.caa = CaaMode::Log).await;
    let client = Client::new(&world).await;
    world.network.caa("one.example.com", forbidden());
    let order = client.ready(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(9 * HOUR);
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    let record = client.certificate(&world, order.id).await;
    let signed_from = world.ledger.signing_record(record.serial).await.unwrap().unwrap();
    let seen = signed_from.authorizations[0].caa.as_ref().unwrap();
    assert!(matches!(seen.decision, CaaDecision::Forbidden { .. }), "what was found is kept all the same");
}

async fn where_it_is_logged_a_slow_look_up_is_not_waited_for(backend: Backend) {
    let world = World::with(backend, |settings| settings.caa = CaaMode::Log).await;
    let client = Client::new(&world).await;
    let never_answers = world.network.hold_caa("one.example.com");
    let order = client.ready(&world, &["one.example.com"]).await;
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    drop(never_answers);
}

async fn where_it_is_logged_nothing_is_looked_up_again(backend: Backend) {
    let world = World::with(backend, |settings| settings.caa = CaaMode::Log).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(9 * HOUR);
    let _never_answers = world.network.hold_caa("one.example.com");
    client.finalize(&world, &order, &pair()).await.unwrap();
    let issued = world.start_work(Stage::Issue);
    let issued = tokio::time::timeout(std::time::Duration::from_secs(10), issued).await;
    issued.expect("a look-up is waited for").unwrap();
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    assert_eq!(world.network.checks("one.example.com").len(), 1);
}

async fn recheck_is_not_repeated_when_the_order_had_to_wait(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com", "two.example.com"]).await;
    world.clock.pass_seconds(9 * HOUR);
    world.network.caa("two.example.com", caa_failed());
    client.finalize(&world, &order, &pair()).await.unwrap();
    assert_eq!(world.work(Stage::Issue).await, Worked::Parked);
    world.network.caa("two.example.com", CaaDecision::Permitted);
    world.points.fail(Side::Before, Call::Reserve);
    world.until_done(order.id).await;
    let record = client.certificate(&world, order.id).await;
    assert_eq!(world.network.checks("one.example.com").len(), 2);
    assert_eq!(world.network.checks("two.example.com").len(), 3, "what failed is looked up again, once");
    let signed_from = world.ledger.signing_record(record.serial).await.unwrap().unwrap();
    assert_eq!(signed_from.rechecks.len(), 3);
    assert_eq!(world.points.forget(), 0);
}

async fn recheck_that_grew_old_is_repeated(backend: Backend) {
    let world = World::with(backend, |settings| {
        settings.times.issue_deadline = std::time::Duration::from_secs(24 * HOUR);
    })
    .await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(9 * HOUR);
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.points.fail(Side::Before, Call::Reserve);
    assert_eq!(world.work(Stage::Issue).await, Worked::Parked);
    world.clock.pass_seconds(8 * HOUR + 1);
    world.until_done(order.id).await;
    client.certificate(&world, order.id).await;
    assert_eq!(world.network.checks("one.example.com").len(), 3);
}

async fn where_it_is_off_nothing_is_looked_up(backend: Backend) {
    let world = World::with(backend, |settings| settings.caa = CaaMode::Off).await;
    let client = Client::new(&world).await;
    world.network.caa("one.example.com", forbidden());
    let order = client.ready(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(9 * HOUR);
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    assert_eq!(world.network.checks("one.example.com"), []);
}
