//! Recovery at start: the audit log is brought into the ledger before anything else.

use acme::OrderStatus;
use ca::order::{Order, Stage};
use ca::ports::{AuditEvent, CrlShard, LedgerEnd, SerialStatus};
use ca::{RecoveryError, Worked};
use pki::{Reason, Serial, Sha256};

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, FIRST_PAUSE, INSTANCE, Side, World, kill, pair, revoke_by_key};

on_all_back_ends! {
    precertificate_line_without_good_becomes_good
    certificate_line_without_its_certificate_makes_the_order_valid
    signature_that_died_with_its_process_has_its_record
    certificate_logged_and_overtaken_is_stored_and_revoked
    revocation_that_was_only_logged_is_applied
    key_block_that_was_only_logged_is_applied
    reason_whose_upgrade_was_only_logged_is_upgraded
    crl_number_that_was_only_logged_is_not_used_again
    recovery_done_twice_is_done_once
    mark_stays_before_a_line_that_is_not_in_the_ledger
    leases_of_the_dead_process_are_freed
    line_of_a_serial_that_was_never_allocated_stops_the_start
    certificate_that_its_worker_could_not_store_is_stored_by_a_sweep
    certificate_whose_worker_never_came_back_makes_the_order_valid_at_a_sweep
    log_that_cannot_be_read_does_not_stop_the_sweep
    revocation_that_could_not_be_written_is_written_by_a_sweep
}

/// An issuance whose process was killed at a point, and a new process that has not recovered yet.
async fn killed_at(backend: Backend, side: Side, call: Call) -> (World, Client, Order) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(side, call);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    kill(worker).await;
    (world.restart(), client, order)
}

async fn precertificate_line_without_good_becomes_good(backend: Backend) {
    let (world, client, order) = killed_at(backend, Side::After, Call::AppendPrecertificate).await;
    let [before] = &*world.serials(order.id).await else { panic!("one serial") };
    assert_eq!(before.status, SerialStatus::Wait);
    world.ca.recover().await.unwrap();
    assert_eq!(world.record(before.serial).await.status, SerialStatus::Good);
    assert_eq!(world.work(Stage::Issue).await, Worked::Advanced);
    assert_eq!(client.certificate(&world, order.id).await.number.0, 2);
    assert!(world.record(before.serial).await.is_abandoned());
    world.check_invariants().await;
}

async fn certificate_line_without_its_certificate_makes_the_order_valid(backend: Backend) {
    let (world, client, order) = killed_at(backend, Side::Before, Call::StoreFinal).await;
    assert_eq!(world.known(order.id).await.unwrap().end, None);
    world.ca.recover().await.unwrap();
    let [record] = &*world.serials(order.id).await else { panic!("one serial") };
    assert_eq!(world.known(order.id).await.unwrap().end.unwrap().0, LedgerEnd::Valid(record.serial));
    // Its client sees it before a worker does.
    assert_eq!(client.certificate(&world, order.id).await.serial, record.serial);
    world.work_off().await;
    assert_eq!(world.certificate_lines(order.id).await.len(), 1, "nothing was signed anew");
    world.check_invariants().await;
}

async fn signature_that_died_with_its_process_has_its_record(backend: Backend) {
    let (world, client, order) = killed_at(backend, Side::Before, Call::AppendPrecertificate).await;
    world.ca.recover().await.unwrap();
    let [record] = &*world.serials(order.id).await else { panic!("one serial") };
    assert_eq!(record.status, SerialStatus::Wait);
    assert!(!record.linting_certificate.is_empty());
    // Revocable by its serial alone.
    world.ca.revoke(record.serial, Reason::Unspecified, "operator".to_owned()).await.unwrap();
    assert_eq!(world.record(record.serial).await.status, SerialStatus::Revoked);
    world.until_done(order.id).await;
    assert_eq!(client.certificate(&world, order.id).await.number.0, 2);
    world.check_invariants().await;
}

async fn certificate_logged_and_overtaken_is_stored_and_revoked(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::Before, Call::StoreFinal);
    let first = world.start_work(Stage::Issue);
    held.reached().await;
    world.workbench.free_leases(INSTANCE).await.unwrap();
    world.work(Stage::Issue).await;
    kill(first).await;
    let world = world.restart();
    world.ca.recover().await.unwrap();
    let [first, second] = &*world.serials(order.id).await else { panic!("two serials") };
    assert_eq!(first.status, SerialStatus::Revoked);
    assert_eq!(first.revocation.as_ref().unwrap().reason, Reason::Superseded);
    assert_eq!(client.certificate(&world, order.id).await.serial, second.serial);
    world.check_invariants().await;
}

async fn revocation_that_was_only_logged_is_applied(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    world.points.fail(Side::Before, Call::Revoke);
    let revoked = world.ca.revoke(record.serial, Reason::KeyCompromise, "operator".to_owned()).await;
    assert!(revoked.is_err());
    assert_eq!(world.record(record.serial).await.status, SerialStatus::Good);
    let world = world.restart();
    world.ca.recover().await.unwrap();
    let revocation = world.record(record.serial).await.revocation.unwrap();
    assert_eq!((revocation.reason, revocation.by.as_str()), (Reason::KeyCompromise, "operator"));
}

async fn key_block_that_was_only_logged_is_applied(backend: Backend) {
    let world = World::on(backend).await;
    let key = pair().public_key().spki_hash();
    world.points.fail(Side::Before, Call::Block);
    assert!(world.ca.block_key(key, "operator").await.is_err());
    assert!(!world.ledger.is_blocked(key).await.unwrap());
    let world = world.restart();
    world.ca.recover().await.unwrap();
    assert!(world.ledger.is_blocked(key).await.unwrap());
}

async fn reason_whose_upgrade_was_only_logged_is_upgraded(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let key = pair();
    let record = client.issued(&world, &["one.example.com"], &key).await;
    let certificate = record.certificate.as_deref().unwrap();
    client.revoke(&world, certificate, Some(4)).await.unwrap();
    world.points.fail(Side::Before, Call::UpgradeToKeyCompromise);
    assert!(revoke_by_key(&world, &key, certificate, Some(1)).await.is_err());
    let before = world.record(record.serial).await.revocation.unwrap();
    assert_eq!(before.reason, Reason::Superseded);
    let world = world.restart();
    world.ca.recover().await.unwrap();
    let after = world.record(record.serial).await.revocation.unwrap();
    assert_eq!((after.reason, after.revoked), (Reason::KeyCompromise, before.revoked));
}

async fn crl_number_that_was_only_logged_is_not_used_again(backend: Backend) {
    let world = World::on(backend).await;
    world.points.fail(Side::Before, Call::AllocateCrlNumber);
    assert!(world.ca.renew_crls().await.is_err());
    let issuer = world.ca.issuers[0].id;
    assert_eq!(world.ledger.crl_state(issuer, CrlShard::of_first(0, 4)).await.unwrap().allocated, 0);
    let world = world.restart();
    world.ca.recover().await.unwrap();
    assert_eq!(world.ledger.crl_state(issuer, CrlShard::of_first(0, 4)).await.unwrap().allocated, 1);
    world.ca.renew_crls().await.unwrap();
    assert_eq!(world.ledger.crl_state(issuer, CrlShard::of_first(0, 4)).await.unwrap().last.unwrap().number, 2);
}

async fn recovery_done_twice_is_done_once(backend: Backend) {
    let (world, client, order) = killed_at(backend, Side::Before, Call::StoreFinal).await;
    // The first recovery dies before it has kept how far it came: the lines are applied again.
    world.points.fail(Side::Before, Call::SetAuditMark);
    assert!(world.ca.recover().await.is_err());
    let before = world.known(order.id).await;
    let again = world.ca.recover().await.unwrap();
    assert!(again.lines >= 2, "{again:?}");
    assert_eq!(again.leases, 1);
    assert_eq!(world.known(order.id).await, before);
    let certificate = client.certificate(&world, order.id).await;
    assert_eq!(world.ca.recover().await.unwrap(), ca::Recovered::default());
    let world = world.restart();
    assert_eq!(world.ca.recover().await.unwrap(), ca::Recovered::default());
    assert_eq!(client.certificate(&world, order.id).await, certificate);
    world.check_invariants().await;
}

async fn mark_stays_before_a_line_that_is_not_in_the_ledger(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let applied = client.issued(&world, &["one.example.com"], &pair()).await;
    world.ca.keep_audit_mark().await.unwrap();
    let kept = world.ledger.audit_mark(INSTANCE).await.unwrap().unwrap();
    assert_eq!(kept.sequence, world.lines().await.len() as u64, "all lines are applied");
    world.points.fail(Side::Before, Call::Revoke);
    assert!(world.ca.revoke(applied.serial, Reason::Superseded, "operator".to_owned()).await.is_err());
    client.issued(&world, &["two.example.com"], &pair()).await;
    world.ca.keep_audit_mark().await.unwrap();
    assert_eq!(world.ledger.audit_mark(INSTANCE).await.unwrap().unwrap(), kept, "one of them is not");
    let world = world.restart();
    assert_eq!(world.ca.recover().await.unwrap().lines, 3);
    assert_eq!(world.record(applied.serial).await.status, SerialStatus::Revoked);
}

async fn leases_of_the_dead_process_are_freed(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    client.answer(&world, &order, 0).await;
    let mut held = world.network.hold_test("one.example.com");
    let worker = world.start_work(Stage::TestChallenge);
    held.reached().await;
    kill(worker).await;
    let world = world.restart();
    world.assert_idle(Stage::TestChallenge).await;
    assert_eq!(world.ca.recover().await.unwrap().leases, 1);
    world.work(Stage::TestChallenge).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Ready);
}

async fn line_of_a_serial_that_was_never_allocated_stops_the_start(backend: Backend) {
    let serial = Serial::from_random([0x77; 16]);
    let order = ca::OrderId::from_bytes([1; 16]);
    for event in [
        AuditEvent::Precertificate { order, serial, der: vec![0x30, 0] },
        AuditEvent::Certificate { order, serial, der: vec![0x30, 0] },
        AuditEvent::Revocation {
            serial,
            reason: Reason::Unspecified,
            revoked: crate::world::START,
            by: "operator".to_owned(),
        },
        AuditEvent::CrlNumber { issuer: Sha256::of(b"issuer"), shard: 0, number: 2 },
    ] {
        let world = World::on(backend).await;
        let line = world.audit.append(event.clone()).await.unwrap();
        let world = world.restart();
        match world.ca.recover().await {
            Err(RecoveryError::LedgerOlderThanLog { sequence, what }) => {
                assert_eq!(sequence, line);
                assert!(what.contains(&serial.to_string()) || what.contains("CRL number 2"), "{what}");
            }
            other => panic!("{event:?}: {other:?}"),
        }
    }
}

async fn certificate_that_its_worker_could_not_store_is_stored_by_a_sweep(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    // The ledger's disk is full for a whole lease; the audit log has kept its room.
    for _ in 0..8 {
        world.points.fail(Side::Before, Call::StoreFinal);
    }
    let worker = world.start_work(Stage::Issue);
    for doubled in 0..7 {
        world.clock.pass_when_slept(FIRST_PAUSE * (1 << doubled)).await;
    }
    assert_eq!(worker.await.unwrap(), Some(Worked::Parked));
    world.until_done(order.id).await;
    let [first, second] = &*world.serials(order.id).await else { panic!("two serials") };
    assert!(first.certificate.is_none() && second.attached);
    world.clock.pass_seconds(60);
    world.sweep().await;
    let first = world.record(first.serial).await;
    assert!(first.certificate.is_some() && !first.attached);
    assert_eq!(first.revocation.unwrap().reason, Reason::Superseded);
    assert_eq!(client.certificate(&world, order.id).await.serial, second.serial);
    world.check_invariants().await;
}

async fn revocation_that_could_not_be_written_is_written_by_a_sweep(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    world.points.fail(Side::Before, Call::Revoke);
    assert!(world.ca.revoke(record.serial, Reason::Superseded, "operator".to_owned()).await.is_err());
    world.clock.pass_seconds(90);
    world.sweep().await;
    assert_eq!(world.record(record.serial).await.status, SerialStatus::Good, "its writer may still be at it");
    world.clock.pass_seconds(1);
    world.sweep().await;
    assert_eq!(world.record(record.serial).await.status, SerialStatus::Revoked);
    world.ca.keep_audit_mark().await.unwrap();
    let mark = world.ledger.audit_mark(INSTANCE).await.unwrap().unwrap();
    assert_eq!(mark.sequence, world.lines().await.len() as u64, "nothing is left");
}

async fn certificate_whose_worker_never_came_back_makes_the_order_valid_at_a_sweep(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::Before, Call::StoreFinal);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    kill(worker).await;
    world.clock.pass_seconds(91);
    world.sweep().await;
    assert_eq!(client.certificate(&world, order.id).await.number.0, 1);
    world.work_off().await;
    assert_eq!(world.certificate_lines(order.id).await.len(), 1);
    world.check_invariants().await;
}

async fn log_that_cannot_be_read_does_not_stop_the_sweep(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(601);
    world.points.fail(Side::Before, Call::Lines);
    assert_eq!(world.sweep().await.died, 1);
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Invalid);
}
