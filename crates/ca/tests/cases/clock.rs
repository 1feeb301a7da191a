//! Clocks that are wrong: nothing is signed with one that is behind the ledger, and all goes on when it is right.

use std::time::Duration;

use acme::OrderStatus;
use ca::order::Stage;
use ca::ports::{AuditEvent, CrlShard, Recorded, Standing};
use ca::{Error, Worked};
use pki::Reason;

use super::on_all_back_ends;
use crate::world::network::unreachable;
use crate::world::{Backend, Call, Client, Side, World, kill, pair};

const HOUR: Duration = Duration::from_secs(3600);
const MONTH: Duration = Duration::from_secs(30 * 86_400);

on_all_back_ends! {
    clock_behind_the_ledger_signs_nothing_and_uses_nothing_up
    clock_less_than_a_minute_behind_signs
    clock_set_back_within_an_issuance_ends_it_without_a_signature
    clock_set_back_between_two_processes_is_seen
    finalize_waits_for_the_clock
    key_change_waits_for_the_clock
    order_held_when_the_clock_is_set_back_is_held_no_longer_than_its_lease
    test_that_is_due_in_an_hour_by_a_clock_set_back_is_due_now
    test_that_failed_under_another_clock_than_the_workbenchs_is_made_again_after_its_pause
    test_that_is_due_by_the_workbenchs_clock_is_due_to_a_worker_whose_clock_is_behind
    order_that_is_over_by_the_workbenchs_clock_is_over_to_a_worker_whose_clock_is_behind
    revocation_with_a_clock_that_is_behind_appears_when_it_is_right
    operator_accepts_the_time_after_a_clock_was_ahead
    accepted_time_outlives_a_crash_before_the_ledger_was_written
    revocation_made_while_the_clock_was_ahead_is_on_a_crl_when_the_time_is_accepted
    revocation_made_while_the_clock_was_behind_needs_one_crl_when_the_time_is_accepted
    revocation_with_a_clock_a_little_behind_needs_one_crl
    block_with_a_clock_that_is_behind_appears_when_it_is_right
    accepted_time_is_not_undone_by_a_revocation_on_its_way
    accepted_time_is_not_accepted_again_by_a_later_start
    crl_that_breaks_a_rule_uses_no_number_up
    no_crl_is_made_while_a_leap_of_the_clock_is_doubted
    caa_check_of_the_future_is_not_fresh
    authorization_of_the_future_bears_no_certificate_and_is_not_reused
    clock_that_leaps_for_a_moment_ends_no_order
    clock_that_stays_ahead_ends_orders_when_they_had_their_time
    order_is_parked_for_as_long_as_its_worker_says_whatever_the_workbenchs_clock_shows
}

async fn clock_behind_the_ledger_signs_nothing_and_uses_nothing_up(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.clock.set_back(HOUR);
    for _ in 0..3 {
        assert_eq!(world.work(Stage::Issue).await, Worked::Parked);
        world.clock.pass_seconds(30);
        assert_eq!(world.sweep().await.requeued, 1);
    }
    assert_eq!(world.serials(order.id).await, []);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 0);
    let behind = world.ca.check_clock().await.unwrap().unwrap_err();
    assert!(behind.by() > HOUR - Duration::from_secs(100), "{behind}");
    assert!(behind.to_string().contains("the end of authorization"), "{behind}");
    assert!(behind.to_string().contains("cairn clock accept"), "{behind}");
    world.clock.set_ahead(HOUR);
    assert_eq!(world.work(Stage::Issue).await, Worked::Advanced);
    assert_eq!(client.certificate(&world, order.id).await.number.0, 1);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 4);
    world.check_invariants().await;
}

async fn clock_less_than_a_minute_behind_signs(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.clock.set_back(Duration::from_secs(60));
    assert_eq!(world.work(Stage::Issue).await, Worked::Advanced);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
}

async fn clock_set_back_within_an_issuance_ends_it_without_a_signature(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::After, Call::Begin);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    world.clock.set_back(HOUR);
    held.release();
    assert_eq!(worker.await.unwrap(), Some(Worked::Parked));
    assert_eq!(world.precertificate_lines(order.id).await, []);
    world.clock.set_ahead(HOUR);
    world.until_done(order.id).await;
    assert_eq!(client.certificate(&world, order.id).await.number.0, 2);
    world.check_invariants().await;
}

async fn clock_set_back_between_two_processes_is_seen(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    client.issued(&world, &["one.example.com"], &pair()).await;
    let order = client.processing(&world, &["two.example.com"]).await;
    world.clock.set_back(HOUR);
    let world = world.restart();
    world.ca.recover().await.unwrap();
    assert_eq!(world.work(Stage::Issue).await, Worked::Parked);
    assert_eq!(world.serials(order.id).await, []);
    world.clock.set_ahead(HOUR);
    world.until_done(order.id).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
}

async fn finalize_waits_for_the_clock(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    world.clock.set_back(HOUR);
    let refused = client.finalize(&world, &order, &pair()).await;
    assert!(matches!(&refused, Err(Error::Failed(why)) if why.contains("the clock says")), "{refused:?}");
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
    world.clock.set_ahead(HOUR);
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.until_done(order.id).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
}

async fn key_change_waits_for_the_clock(backend: Backend) {
    let world = World::on(backend).await;
    let mut client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.until_done(order.id).await;
    world.clock.set_back(HOUR);
    let refused = client.change_key(&world, &pair()).await;
    assert!(matches!(&refused, Err(Error::Failed(why)) if why.contains("the clock says")), "{refused:?}");
    world.clock.set_ahead(HOUR);
    client.change_key(&world, &pair()).await.unwrap();
}

async fn order_held_when_the_clock_is_set_back_is_held_no_longer_than_its_lease(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    world.clock.set_ahead(HOUR);
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer_all(&world, &order).await;
    let mut held = world.points.hold(Side::Before, Call::Authorize);
    let worker = world.start_work(Stage::TestChallenge);
    held.reached().await;
    kill(worker).await;
    world.clock.set_back(HOUR);
    assert_eq!(world.sweep().await.requeued, 1);
    assert_eq!(world.work(Stage::TestChallenge).await, Worked::Advanced);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn test_that_is_due_by_the_workbenchs_clock_is_due_to_a_worker_whose_clock_is_behind(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer_all(&world, &order).await;
    let mut held = world.points.hold(Side::After, Call::Claim);
    let worker = world.start_work(Stage::TestChallenge);
    held.reached().await;
    world.clock.set_back(Duration::from_secs(20));
    held.release();
    assert_eq!(worker.await.unwrap(), Some(Worked::Advanced));
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn test_that_is_due_in_an_hour_by_a_clock_set_back_is_due_now(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer_all(&world, &order).await;
    world.network.answers("one.example.com", [unreachable()]);
    world.work(Stage::TestChallenge).await;
    world.clock.set_back(HOUR);
    assert_eq!(world.sweep().await.requeued, 1);
    world.work(Stage::TestChallenge).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn test_that_failed_under_another_clock_than_the_workbenchs_is_made_again_after_its_pause(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer_all(&world, &order).await;
    world.network.answers("one.example.com", [unreachable()]);
    world.clock.set_ahead(HOUR * 2);
    let mut held = world.points.hold(Side::Before, Call::Advance);
    let worker = world.start_work(Stage::TestChallenge);
    held.reached().await;
    world.clock.set_back(HOUR);
    held.release();
    assert_eq!(worker.await.unwrap(), Some(Worked::Advanced));
    let until = world.ca.now().plus(Duration::from_secs(2));
    assert_eq!(world.standing(order.id).await, Standing::Park { until });
    world.clock.pass_seconds(2);
    world.sweep().await;
    world.work(Stage::TestChallenge).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn is_listed(world: &World, serial: pki::Serial) -> bool {
    let issuer = world.ca.issuers[0].id;
    let shards = world.ca.settings.crls.current().shards;
    let state = world.ledger.crl_state(issuer, CrlShard::of_first(serial.shard(shards), shards)).await.unwrap();
    let crl = world.whole_crl(&state.last.unwrap()).await;
    assert!(crl.this_update() <= world.ca.now());
    crl.entries().iter().any(|entry| entry.serial == serial)
}

async fn order_that_is_over_by_the_workbenchs_clock_is_over_to_a_worker_whose_clock_is_behind(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer_all(&world, &order).await;
    world.clock.set_ahead(world.ca.settings.times.order_lifetime + HOUR);
    let mut held = world.points.hold(Side::After, Call::Claim);
    let worker = world.start_work(Stage::TestChallenge);
    held.reached().await;
    world.clock.set_back(HOUR * 2);
    held.release();
    assert_eq!(worker.await.unwrap(), Some(Worked::Advanced));
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Invalid);
}

async fn revocation_with_a_clock_that_is_behind_appears_when_it_is_right(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    world.clock.pass_seconds(100);
    world.ca.renew_crls().await.unwrap();
    world.clock.set_back(HOUR);
    world.ca.revoke(record.serial, Reason::Superseded, "the operator".to_owned()).await.unwrap();
    world.clock.set_ahead(HOUR);
    world.clock.pass_seconds(10);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 1);
    assert!(is_listed(&world, record.serial).await);
}

/// A clock was a month ahead, and all that was done then is in the ledger.
async fn after_a_month_ahead(backend: Backend) -> (World, Client, ca::ports::SerialRecord) {
    let world = World::with(backend, |settings| settings.reuse.authorizations_percent = 0).await;
    let client = Client::new(&world).await;
    world.clock.set_ahead(MONTH);
    let record = client.issued(&world, &["ahead.example.com"], &pair()).await;
    world.ca.renew_crls().await.unwrap();
    world.clock.set_back(MONTH);
    (world, client, record)
}

async fn operator_accepts_the_time_after_a_clock_was_ahead(backend: Backend) {
    let (world, client, record) = after_a_month_ahead(backend).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    assert!(client.finalize(&world, &order, &pair()).await.is_err());
    let newest = world.ca.accept_clock("the operator").await.unwrap().unwrap();
    assert!(matches!(newest.record, Recorded::Crl { .. } | Recorded::Issuance(_)), "{}", newest.record);
    assert_eq!(world.ca.accept_clock("the operator").await.unwrap(), None, "once is enough");
    let accepted = |event: &AuditEvent| matches!(event, AuditEvent::ClockAccepted { .. });
    assert_eq!(world.lines().await.iter().filter(|line| accepted(&line.event)).count(), 1);
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.until_done(order.id).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    world.ca.revoke(record.serial, Reason::Superseded, "the operator".to_owned()).await.unwrap();
    world.clock.pass_seconds(10);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 4, "those of the future are made anew");
    assert!(is_listed(&world, record.serial).await);
    world.clock.pass_seconds(10);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 0);
}

async fn accepted_time_outlives_a_crash_before_the_ledger_was_written(backend: Backend) {
    let (world, client, _) = after_a_month_ahead(backend).await;
    let mut held = world.points.hold(Side::Before, Call::AcceptTime);
    let ca = world.ca.clone();
    let accepting = world.start_beside(async move { ca.accept_clock("the operator").await.is_ok() });
    held.reached().await;
    kill(accepting).await;
    let world = world.restart();
    world.ca.recover().await.unwrap();
    client.issued(&world, &["one.example.com"], &pair()).await;
    let world = world.restart();
    world.ca.recover().await.unwrap();
    client.issued(&world, &["two.example.com"], &pair()).await;
}

/// Looks after CRLs each second, for so long. How many were made.
async fn crls_made_within(world: &World, seconds: u64) -> u32 {
    let mut made = 0;
    for _ in 0..seconds {
        made += world.ca.renew_crls().await.unwrap();
        world.clock.pass_seconds(1);
    }
    made
}

async fn revoke(world: &World, record: &ca::ports::SerialRecord) {
    world.ca.revoke(record.serial, Reason::Superseded, "the operator".to_owned()).await.unwrap();
}

async fn accept(world: &World) {
    world.ca.accept_clock("the operator").await.unwrap().unwrap();
}

async fn revocation_made_while_the_clock_was_ahead_is_on_a_crl_when_the_time_is_accepted(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    world.clock.set_ahead(MONTH);
    let record = client.issued(&world, &["ahead.example.com"], &pair()).await;
    world.ca.renew_crls().await.unwrap();
    revoke(&world, &record).await;
    world.clock.set_back(MONTH);
    accept(&world).await;
    world.clock.pass_seconds(10);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 4, "those of the future are made anew");
    assert!(is_listed(&world, record.serial).await);
    world.clock.pass_seconds(1);
    assert_eq!(crls_made_within(&world, 20).await, 0, "once is enough");
}

async fn revocation_made_while_the_clock_was_behind_needs_one_crl_when_the_time_is_accepted(backend: Backend) {
    let (world, _, record) = after_a_month_ahead(backend).await;
    revoke(&world, &record).await;
    accept(&world).await;
    world.clock.pass_seconds(10);
    assert_eq!(crls_made_within(&world, 20).await, 4, "one of each shard, and no more");
    assert!(is_listed(&world, record.serial).await);
}

async fn revocation_with_a_clock_a_little_behind_needs_one_crl(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    world.ca.renew_crls().await.unwrap();
    world.clock.set_back(Duration::from_secs(50));
    revoke(&world, &record).await;
    let made = crls_made_within(&world, 70).await;
    assert!((1..=2).contains(&made), "{made} CRLs");
    assert!(is_listed(&world, record.serial).await);
}

async fn block_with_a_clock_that_is_behind_appears_when_it_is_right(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let key = pair();
    let order = client.processing_with(&world, &["one.example.com"], &key).await;
    let mut held = world.points.hold(Side::After, Call::Begin);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    kill(worker).await;
    let [record] = world.serials(order.id).await.try_into().unwrap();
    world.clock.pass_seconds(100);
    world.ca.renew_crls().await.unwrap();
    world.clock.set_back(HOUR);
    let (spki_hash, at, by) = (record.spki_hash, world.ca.now(), "the operator".to_owned());
    let open = world.ledger.block(ca::ports::KeyBlock { spki_hash, at, by }).await.unwrap().in_issuance;
    assert_eq!(open, [record.serial]);
    world.clock.set_ahead(HOUR);
    world.clock.pass_seconds(10);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 1);
    assert!(is_listed(&world, record.serial).await);
}

async fn accepted_time_is_not_undone_by_a_revocation_on_its_way(backend: Backend) {
    let (world, client, record) = after_a_month_ahead(backend).await;
    let mut held = world.points.hold(Side::Before, Call::Revoke);
    let ca = world.ca.clone();
    let serial = record.serial;
    let revoking = world
        .start_beside(async move { ca.revoke(serial, Reason::Superseded, "the operator".to_owned()).await.is_ok() });
    held.reached().await;
    accept(&world).await;
    held.release();
    assert!(revoking.await.unwrap());
    world.ca.check_clock().await.unwrap().unwrap();
    client.issued(&world, &["one.example.com"], &pair()).await;
}

async fn accepted_time_is_not_accepted_again_by_a_later_start(backend: Backend) {
    let (world, client, _) = after_a_month_ahead(backend).await;
    accept(&world).await;
    world.clock.pass_seconds(2 * 3600);
    client.issued(&world, &["one.example.com"], &pair()).await;
    let newest = world.ledger.newest().await.unwrap().at;
    // No mark was kept: all lines are looked at again.
    let world = world.restart();
    world.ca.recover().await.unwrap();
    let kept = world.ledger.newest().await.unwrap().at;
    assert!(newest.since(kept) <= Duration::from_secs(1), "{kept} instead of {newest}");
}

async fn crl_that_breaks_a_rule_uses_no_number_up(backend: Backend) {
    let world = World::with(backend, |settings| settings.crl.validity = Duration::ZERO).await;
    assert!(world.ca.renew_crls().await.is_err());
    for shard in 0..4 {
        let state = world.ledger.crl_state(world.ca.issuers[0].id, CrlShard::of_first(shard, 4)).await.unwrap();
        assert_eq!(state.allocated, 0);
    }
    let number = |line: &ca::ports::AuditLine| matches!(line.event, AuditEvent::CrlNumber { .. });
    assert!(!world.lines().await.iter().any(number));
}

async fn caa_check_of_the_future_is_not_fresh(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com"]).await;
    let [ended] = world.ledger.authorizations(&[order.authorizations[0].id]).await.unwrap().try_into().unwrap();
    let check = ended.caa.unwrap();
    let fresh_at = |seconds: u64| {
        let then = check.checked.minus(Duration::from_secs(seconds));
        ca::signing::is_fresh(&check, 8 * 3600, then)
    };
    assert!(fresh_at(60));
    assert!(!fresh_at(61));
}

async fn authorization_of_the_future_bears_no_certificate_and_is_not_reused(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    world.clock.set_ahead(MONTH);
    let order = client.ready(&world, &["one.example.com"]).await;
    world.clock.set_back(MONTH);
    accept(&world).await;
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::Issue, acme::ProblemType::Unauthorized));
    assert_eq!(world.serials(order.id).await, []);
    let again = client.order(&world, &["one.example.com"]).await;
    assert!(again.authorizations.iter().all(|one| one.end.is_none()), "it is validated anew");
    client.issued(&world, &["one.example.com"], &pair()).await;
}

async fn clock_that_leaps_for_a_moment_ends_no_order(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let done = client.ready(&world, &["done.example.com"]).await;
    client.finalize(&world, &done, &pair()).await.unwrap();
    world.until_done(done.id).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.sweep().await;
    world.clock.pass_seconds(5);
    world.clock.set_ahead(MONTH);
    for _ in 0..3 {
        let swept = world.sweep().await;
        assert_eq!((swept.died, swept.retired), (0, 0));
        world.clock.pass_seconds(5);
    }
    world.clock.set_back(MONTH);
    world.sweep().await;
    world.until_done(order.id).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    assert!(world.read(done.id).await.is_some(), "it awaits its acknowledgement still");
}

async fn clock_that_stays_ahead_ends_orders_when_they_had_their_time(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.sweep().await;
    world.clock.set_ahead(HOUR);
    world.sweep().await;
    world.clock.pass_seconds(599);
    assert_eq!(world.sweep().await.died, 0);
    world.clock.pass_seconds(1);
    assert_eq!(world.sweep().await.died, 1);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Invalid);
}

async fn order_is_parked_for_as_long_as_its_worker_says_whatever_the_workbenchs_clock_shows(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.clock.set_back(HOUR);
    let mut held = world.points.hold(Side::Before, Call::Park);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    world.clock.set_back(Duration::from_secs(300));
    held.release();
    assert_eq!(worker.await.unwrap(), Some(Worked::Parked));
    world.clock.pass_seconds(30);
    assert_eq!(world.sweep().await.requeued, 1, "{}", order.id);
}

async fn no_crl_is_made_while_a_leap_of_the_clock_is_doubted(backend: Backend) {
    let world = World::on(backend).await;
    let record = Client::new(&world).await.issued(&world, &["one.example.com"], &pair()).await;
    revoke(&world, &record).await;
    assert_eq!(world.ca.renew_crls().await.unwrap(), 4);
    world.clock.pass_seconds(20);
    crls_made_within(&world, 10).await;
    // By the time that the clock shows now the certificate has ended, and would soon be on no CRL.
    world.clock.set_ahead(MONTH * 4);
    assert_eq!(crls_made_within(&world, 60).await, 0);
    assert!(is_listed(&world, record.serial).await);
    world.clock.set_back(MONTH * 4);
    assert_eq!(crls_made_within(&world, 10).await, 0, "nothing has happened");
    world.clock.set_ahead(MONTH);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 0);
    world.clock.pass(world.ca.settings.times.issue_deadline);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 4, "it seems to be right");
    assert!(is_listed(&world, record.serial).await);
}
