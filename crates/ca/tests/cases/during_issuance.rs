//! What changes while a certificate is being made: revocations, blocked keys, accounts and authorizations given up.

use acme::{OrderStatus, ProblemType};
use ca::Worked;
use ca::authorization::AuthorizationEnd;
use ca::order::{Order, Stage};
use ca::ports::{Revoked, SerialRecord, SerialStatus};
use pki::Reason;

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, FIRST_PAUSE, Side, World, pair, refused};

on_all_back_ends! {
    serial_revoked_after_step_5_is_not_signed
    serial_revoked_while_its_precertificate_is_signed_does_not_become_good
    serial_revoked_after_step_7_gets_no_certificate
    serial_revoked_while_its_certificate_is_signed_stays_revoked
    key_blocked_after_step_5_ends_the_issuance
    key_blocked_while_its_certificate_is_signed_leaves_nothing_good
    key_blocked_after_finalize_gets_no_serial
    account_deactivated_after_finalize_gets_no_certificate
    account_deactivated_after_step_5_gets_no_signature
    authorization_deactivated_when_ready_ends_the_order
    authorization_deactivated_after_finalize_ends_the_order
    authorization_deactivated_after_step_5_gets_no_signature
    authorization_that_expired_after_finalize_ends_the_order
    ledger_that_fails_after_a_signature_is_written_again
}

/// Revokes the serial of an issuance that is held at a point, then lets it go.
async fn revoke_at(backend: Backend, side: Side, call: Call) -> (World, Client, Order, SerialRecord) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(side, call);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    let [record] = &*world.serials(order.id).await else { panic!("one serial") };
    let revoked = world.ca.revoke(record.serial, Reason::CessationOfOperation, "operator".to_owned()).await.unwrap();
    assert_eq!(revoked, Revoked::Done);
    held.release();
    assert_eq!(worker.await.unwrap(), Some(Worked::Advanced));
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::Issue, ProblemType::Unauthorized));
    assert!(problem.detail.contains("revoked"), "{}", problem.detail);
    world.assert_idle(Stage::Issue).await;
    let [record] = &*world.serials(order.id).await else { panic!("still one serial") };
    assert_eq!(record.status, SerialStatus::Revoked);
    assert_eq!(record.revocation.as_ref().unwrap().reason, Reason::CessationOfOperation);
    world.check_invariants().await;
    let record = record.clone();
    (world, client, order, record)
}

async fn serial_revoked_after_step_5_is_not_signed(backend: Backend) {
    let (world, _, order, record) = revoke_at(backend, Side::After, Call::Begin).await;
    assert_eq!(world.precertificate_lines(order.id).await, []);
    assert_eq!(record.good, None);
}

async fn serial_revoked_while_its_precertificate_is_signed_does_not_become_good(backend: Backend) {
    let (world, _, order, record) = revoke_at(backend, Side::Before, Call::MarkGood).await;
    assert_eq!(world.precertificate_lines(order.id).await.len(), 1);
    assert_eq!(record.good, None);
}

async fn serial_revoked_after_step_7_gets_no_certificate(backend: Backend) {
    let (world, _, order, record) = revoke_at(backend, Side::After, Call::Submit).await;
    assert_eq!(world.certificate_lines(order.id).await, []);
    assert_eq!(record.certificate, None);
}

async fn serial_revoked_while_its_certificate_is_signed_stays_revoked(backend: Backend) {
    let (_, _, _, record) = revoke_at(backend, Side::Before, Call::StoreFinal).await;
    assert!(record.certificate.is_some() && !record.attached);
}

/// Blocks the key of an issuance that is held at a point, then lets it go.
async fn block_at(backend: Backend, side: Side, call: Call) -> (World, SerialRecord) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let key = pair();
    let order = client.processing_with(&world, &["one.example.com"], &key).await;
    let mut held = world.points.hold(side, call);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    world.ca.block_key(key.public_key().spki_hash(), "operator").await.unwrap();
    held.release();
    assert_eq!(worker.await.unwrap(), Some(Worked::Advanced));
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Invalid);
    let [record] = &*world.serials(order.id).await else { panic!("one serial") };
    assert_eq!(record.status, SerialStatus::Revoked);
    assert_eq!(record.revocation.as_ref().unwrap().reason, Reason::KeyCompromise);
    world.check_invariants().await;
    let record = record.clone();
    (world, record)
}

async fn key_blocked_after_step_5_ends_the_issuance(backend: Backend) {
    let (world, record) = block_at(backend, Side::After, Call::Begin).await;
    assert_eq!(world.precertificate_lines(record.order).await, []);
}

async fn key_blocked_while_its_certificate_is_signed_leaves_nothing_good(backend: Backend) {
    let (world, record) = block_at(backend, Side::Before, Call::AppendCertificate).await;
    assert!(record.certificate.is_some() && !record.attached);
    assert_eq!(world.certificate_lines(record.order).await.len(), 1);
}

async fn key_blocked_after_finalize_gets_no_serial(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let key = pair();
    let order = client.processing_with(&world, &["one.example.com"], &key).await;
    world.ca.block_key(key.public_key().spki_hash(), "operator").await.unwrap();
    world.work(Stage::Issue).await;
    assert_eq!(client.death(&world, order.id).await.1.kind, ProblemType::BadPublicKey);
    assert_eq!(world.serials(order.id).await, []);
}

async fn account_deactivated_after_finalize_gets_no_certificate(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    client.deactivate(&world).await;
    world.work(Stage::Issue).await;
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::Issue, ProblemType::Unauthorized));
    assert_eq!(world.serials(order.id).await, []);
}

async fn account_deactivated_after_step_5_gets_no_signature(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::After, Call::Begin);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    client.deactivate(&world).await;
    held.release();
    worker.await.unwrap();
    world.until_done(order.id).await;
    assert_eq!(client.death(&world, order.id).await.1.kind, ProblemType::Unauthorized);
    assert_eq!(world.precertificate_lines(order.id).await, []);
}

async fn authorization_deactivated_when_ready_ends_the_order(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.ready(&world, &["one.example.com", "two.example.com"]).await;
    let id = order.authorizations[1].id;
    let view = world.ca.deactivate_authorization(&client.account, id).await.unwrap();
    assert_eq!(view.authorization.end, Some(AuthorizationEnd::Deactivated));
    assert_eq!(refused(client.finalize(&world, &order, &pair()).await).kind, ProblemType::OrderNotReady);
    world.work_off().await;
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::TestChallenge, ProblemType::Unauthorized));
}

async fn authorization_deactivated_after_finalize_ends_the_order(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.ca.deactivate_authorization(&client.account, order.authorizations[0].id).await.unwrap();
    world.work(Stage::Issue).await;
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::Issue, ProblemType::Unauthorized));
    assert_eq!(world.serials(order.id).await, []);
}

async fn authorization_deactivated_after_step_5_gets_no_signature(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::After, Call::Begin);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    world.ca.deactivate_authorization(&client.account, order.authorizations[0].id).await.unwrap();
    held.release();
    worker.await.unwrap();
    world.until_done(order.id).await;
    assert_eq!(client.death(&world, order.id).await.1.kind, ProblemType::Unauthorized);
    assert_eq!(world.precertificate_lines(order.id).await, []);
    world.check_invariants().await;
}

async fn authorization_that_expired_after_finalize_ends_the_order(backend: Backend) {
    let world = World::with(backend, |settings| {
        settings.times.authorization_lifetime = std::time::Duration::from_secs(60);
    })
    .await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.clock.pass_seconds(61);
    world.work(Stage::Issue).await;
    let (stage, problem) = client.death(&world, order.id).await;
    assert_eq!((stage, problem.kind), (Stage::Issue, ProblemType::Unauthorized));
    assert_eq!(world.serials(order.id).await, []);
}

async fn ledger_that_fails_after_a_signature_is_written_again(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    for call in [Call::MarkGood, Call::StoreFinal] {
        let order = client.processing(&world, &["one.example.com"]).await;
        world.points.fail(Side::Before, call);
        world.points.fail(Side::After, call);
        let worker = world.start_work(Stage::Issue);
        world.clock.pass_when_slept(FIRST_PAUSE).await;
        world.clock.pass_when_slept(2 * FIRST_PAUSE).await;
        assert_eq!(worker.await.unwrap(), Some(Worked::Advanced));
        assert_eq!(client.certificate(&world, order.id).await.number.0, 1, "{call:?}");
        assert_eq!(world.certificate_lines(order.id).await.len(), 1);
    }
    world.check_invariants().await;
}
