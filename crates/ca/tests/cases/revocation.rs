//! revokeCert (RFC 8555 §7.6): who may, with what, and what follows.

use acme::ProblemType;
use ca::Ca;
use ca::order::Stage;
use ca::ports::{AuditEvent, Revoked, SerialRecord, SerialStatus};
use keys::KeyPair;
use pki::{Reason, Sha256};

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, kill, pair, refused, revocation_by, revoke_by_key};

on_all_back_ends! {
    account_revokes_what_it_ordered
    account_with_authorizations_for_all_names_revokes_for_another
    account_with_authorizations_for_some_names_does_not
    key_of_the_certificate_revokes_it
    key_that_says_it_is_compromised_is_blocked
    key_that_says_it_is_compromised_is_blocked_before_anything_is_revoked
    key_that_was_seen_to_meanwhile_is_no_reason_to_refuse
    compromise_that_comes_second_gives_its_reason_to_what_came_between
    revocation_is_upgraded_to_key_compromise_once
    other_keys_are_refused
    precertificate_is_refused
    altered_certificate_is_refused
    reasons_open_to_subscribers_are_taken_and_no_others
    what_was_revoked_before_stays_as_it_is
    revocation_is_logged_before_it_is_written
    client_that_names_its_certificate_has_acknowledged_it
}

async fn issued(world: &World) -> (Client, KeyPair, SerialRecord, Vec<u8>) {
    let client = Client::new(world).await;
    let key = pair();
    let record = client.issued(world, &["one.example.com", "two.example.com"], &key).await;
    let certificate = record.certificate.clone().unwrap();
    (client, key, record, certificate)
}

async fn reason_of(world: &World, record: &SerialRecord) -> Option<Reason> {
    world.record(record.serial).await.revocation.map(|revocation| revocation.reason)
}

async fn account_revokes_what_it_ordered(backend: Backend) {
    let world = World::on(backend).await;
    let (client, _, record, certificate) = issued(&world).await;
    client.revoke(&world, &certificate, None).await.unwrap();
    let revoked = world.record(record.serial).await;
    assert_eq!(revoked.status, SerialStatus::Revoked);
    let revocation = revoked.revocation.unwrap();
    assert_eq!((revocation.reason, revocation.revoked), (Reason::Unspecified, world.ca.now().whole_second()));
    assert!(revocation.by.contains(&client.account.id.to_string()));
    assert!(!world.ledger.is_blocked(record.spki_hash).await.unwrap());
    // It stays where it was: revoked, and readable.
    assert_eq!(client.certificate(&world, record.order).await.certificate, Some(certificate));
}

async fn account_with_authorizations_for_all_names_revokes_for_another(backend: Backend) {
    let world = World::on(backend).await;
    let (_, _, record, certificate) = issued(&world).await;
    let other = Client::new(&world).await;
    other.ready(&world, &["one.example.com", "three.example.com", "two.example.com"]).await;
    // Names are all that it can speak of.
    for reason in (1..=11).filter(|reason| *reason != 5) {
        let problem = refused(other.revoke(&world, &certificate, Some(reason)).await);
        assert_eq!(problem.kind, ProblemType::BadRevocationReason, "{reason}");
    }
    assert_eq!(world.record(record.serial).await.status, SerialStatus::Good);
    other.revoke(&world, &certificate, Some(5)).await.unwrap();
    assert_eq!(reason_of(&world, &record).await, Some(Reason::CessationOfOperation));
    // That another one has the certificate says nothing of the client that ordered it.
    assert_eq!(world.known(record.order).await.unwrap().acknowledged, None);
    assert!(world.read(record.order).await.is_some());
    let (_, _, record, certificate) = issued(&world).await;
    other.revoke(&world, &certificate, None).await.unwrap();
    assert_eq!(reason_of(&world, &record).await, Some(Reason::Unspecified));
}

async fn account_with_authorizations_for_some_names_does_not(backend: Backend) {
    let world = World::on(backend).await;
    let (_, _, record, certificate) = issued(&world).await;
    let other = Client::new(&world).await;
    other.ready(&world, &["one.example.com"]).await;
    let given_up = other.ready(&world, &["two.example.com"]).await;
    world.ca.deactivate_authorization(&other.account, given_up.authorizations[0].id).await.unwrap();
    let problem = refused(other.revoke(&world, &certificate, None).await);
    assert_eq!(problem.kind, ProblemType::Unauthorized);
    assert_eq!(world.record(record.serial).await.status, SerialStatus::Good);
    assert_eq!(world.known(record.order).await.unwrap().acknowledged, None);
}

async fn key_of_the_certificate_revokes_it(backend: Backend) {
    let world = World::on(backend).await;
    let (client, key, record, certificate) = issued(&world).await;
    revoke_by_key(&world, &key, &certificate, Some(5)).await.unwrap();
    assert_eq!(reason_of(&world, &record).await, Some(Reason::CessationOfOperation));
    // The key is as good as before.
    assert!(!world.ledger.is_blocked(record.spki_hash).await.unwrap());
    client.issued(&world, &["three.example.com"], &key).await;
}

async fn key_that_says_it_is_compromised_is_blocked(backend: Backend) {
    let world = World::on(backend).await;
    let (client, key, record, certificate) = issued(&world).await;
    revoke_by_key(&world, &key, &certificate, Some(1)).await.unwrap();
    assert_eq!(reason_of(&world, &record).await, Some(Reason::KeyCompromise));
    assert!(world.ledger.is_blocked(record.spki_hash).await.unwrap());
    // Whoever signs with it and doesn't say why says the same.
    let found = pair();
    let silent = client.issued(&world, &["five.example.com"], &found).await;
    revoke_by_key(&world, &found, silent.certificate.as_deref().unwrap(), None).await.unwrap();
    assert_eq!(reason_of(&world, &silent).await, Some(Reason::KeyCompromise));
    assert!(world.ledger.is_blocked(silent.spki_hash).await.unwrap());
    let order = client.ready(&world, &["three.example.com"]).await;
    assert_eq!(refused(client.finalize(&world, &order, &key).await).kind, ProblemType::BadPublicKey);
    // An account's word blocks no key.
    let other_key = pair();
    let other = client.issued(&world, &["four.example.com"], &other_key).await;
    client.revoke(&world, other.certificate.as_deref().unwrap(), Some(1)).await.unwrap();
    assert_eq!(reason_of(&world, &other).await, Some(Reason::KeyCompromise));
    assert!(!world.ledger.is_blocked(other.spki_hash).await.unwrap());
}

async fn revocation_is_upgraded_to_key_compromise_once(backend: Backend) {
    let world = World::on(backend).await;
    let (client, key, record, certificate) = issued(&world).await;
    client.revoke(&world, &certificate, Some(4)).await.unwrap();
    let problem = refused(revoke_by_key(&world, &key, &certificate, Some(3)).await);
    assert_eq!(problem.kind, ProblemType::AlreadyRevoked);
    assert_eq!(reason_of(&world, &record).await, Some(Reason::Superseded));
    revoke_by_key(&world, &key, &certificate, Some(1)).await.unwrap();
    assert_eq!(reason_of(&world, &record).await, Some(Reason::KeyCompromise));
    assert!(world.ledger.is_blocked(record.spki_hash).await.unwrap());
    let problem = refused(revoke_by_key(&world, &key, &certificate, Some(1)).await);
    assert_eq!(problem.kind, ProblemType::AlreadyRevoked);
    // And it is not taken back.
    assert_eq!(refused(client.revoke(&world, &certificate, Some(4)).await).kind, ProblemType::AlreadyRevoked);
    assert_eq!(reason_of(&world, &record).await, Some(Reason::KeyCompromise));
}

async fn other_keys_are_refused(backend: Backend) {
    let world = World::on(backend).await;
    let account_key = pair();
    let client = Client::with_key(&world, &account_key).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    let certificate = record.certificate.as_deref().unwrap();
    // An account's key has no say but by `kid`.
    for key in [pair(), account_key] {
        let problem = refused(revoke_by_key(&world, &key, certificate, Some(1)).await);
        assert_eq!(problem.kind, ProblemType::Unauthorized);
        assert!(!world.ledger.is_blocked(key.public_key().spki_hash()).await.unwrap());
    }
    assert_eq!(world.record(record.serial).await.status, SerialStatus::Good);
}

async fn precertificate_is_refused(backend: Backend) {
    let world = World::on(backend).await;
    let (client, _, record, _) = issued(&world).await;
    let [(_, precertificate)] = &*world.precertificate_lines(record.order).await else { panic!("one") };
    let problem = refused(client.revoke(&world, precertificate, None).await);
    assert_eq!(problem.kind, ProblemType::Malformed);
    assert!(problem.detail.contains("precertificate"), "{}", problem.detail);
    assert_eq!(world.record(record.serial).await.status, SerialStatus::Good);
}

async fn altered_certificate_is_refused(backend: Backend) {
    let world = World::on(backend).await;
    let (client, key, record, certificate) = issued(&world).await;
    // The same certificate but for its signature: what an attacker could make of any of ours.
    let read = world.read_signed(&certificate);
    let algorithm = key.default_signature_algorithm();
    let other = read.tbs().with_signature(algorithm, &key.sign(algorithm, read.tbs_der()).unwrap());
    assert_ne!(other, certificate);
    for der in [&other[..], &record.linting_certificate, b"no certificate", b""] {
        let problem = refused(client.revoke(&world, der, None).await);
        assert_eq!(problem.kind, ProblemType::Malformed, "{}", problem.detail);
        let problem = refused(revoke_by_key(&world, &key, der, Some(1)).await);
        assert_eq!(problem.kind, ProblemType::Malformed, "{}", problem.detail);
    }
    assert_eq!(world.record(record.serial).await.status, SerialStatus::Good);
    assert!(!world.ledger.is_blocked(record.spki_hash).await.unwrap());
}

async fn reasons_open_to_subscribers_are_taken_and_no_others(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let key = pair();
    let refused_one = client.issued(&world, &["one.example.com"], &key).await;
    let certificate = refused_one.certificate.as_deref().unwrap();
    for reason in [-1, 2, 6, 7, 8, 9, 10, 11, 256, i64::MAX] {
        let problem = refused(client.revoke(&world, certificate, Some(reason)).await);
        assert_eq!(problem.kind, ProblemType::BadRevocationReason, "{reason}");
    }
    assert_eq!(world.record(refused_one.serial).await.status, SerialStatus::Good);
    for (code, reason) in [
        (0, Reason::Unspecified),
        (1, Reason::KeyCompromise),
        (3, Reason::AffiliationChanged),
        (4, Reason::Superseded),
        (5, Reason::CessationOfOperation),
    ] {
        let record = client.issued(&world, &["one.example.com"], &key).await;
        client.revoke(&world, record.certificate.as_deref().unwrap(), Some(code)).await.unwrap();
        assert_eq!(reason_of(&world, &record).await, Some(reason));
    }
}

async fn what_was_revoked_before_stays_as_it_is(backend: Backend) {
    let world = World::on(backend).await;
    let (client, _, record, certificate) = issued(&world).await;
    client.revoke(&world, &certificate, Some(3)).await.unwrap();
    let first = world.record(record.serial).await.revocation;
    world.clock.pass_seconds(60);
    let problem = refused(client.revoke(&world, &certificate, Some(5)).await);
    assert_eq!(problem.kind, ProblemType::AlreadyRevoked);
    assert_eq!(world.record(record.serial).await.revocation, first);
    let lines = world.lines().await;
    let logged = lines.iter().filter(|line| matches!(line.event, AuditEvent::Revocation { .. })).count();
    assert_eq!(logged, 1, "what is not done is not logged");
}

async fn revocation_is_logged_before_it_is_written(backend: Backend) {
    let world = World::on(backend).await;
    let (client, key, record, certificate) = issued(&world).await;
    let mut held = world.points.hold(crate::world::Side::Before, crate::world::Call::Revoke);
    let ca = world.ca.clone();
    let revoking = world.start_beside({
        let serial = record.serial;
        async move { ca.revoke(serial, Reason::Superseded, "operator".to_owned()).await }
    });
    held.reached().await;
    let last = world.lines().await.pop().unwrap();
    assert!(matches!(last.event, AuditEvent::Revocation { serial, .. } if serial == record.serial));
    assert_eq!(world.record(record.serial).await.status, SerialStatus::Good);
    held.release();
    revoking.await.unwrap().unwrap();
    // A key block as well.
    let mut held = world.points.hold(crate::world::Side::Before, crate::world::Call::Block);
    let (ca, spki_hash) = (world.ca.clone(), Sha256::of(b"some key"));
    let blocking = world.start_beside(async move { ca.block_key(spki_hash, "operator").await });
    held.reached().await;
    let last = world.lines().await.pop().unwrap();
    assert!(matches!(last.event, AuditEvent::KeyBlock { spki_hash: of, .. } if of == spki_hash));
    assert!(!world.ledger.is_blocked(spki_hash).await.unwrap());
    held.release();
    blocking.await.unwrap().unwrap();
    assert_eq!(refused(client.revoke(&world, &certificate, None).await).kind, ProblemType::AlreadyRevoked);
    assert!(revoke_by_key(&world, &key, &certificate, Some(1)).await.is_ok(), "upgraded");
}

async fn client_that_names_its_certificate_has_acknowledged_it(backend: Backend) {
    let world = World::on(backend).await;
    let (client, _, record, certificate) = issued(&world).await;
    assert_eq!(world.read(record.order).await.unwrap().order.stage(), Stage::Done);
    client.revoke(&world, &certificate, None).await.unwrap();
    assert_eq!(world.read(record.order).await, None);
    assert!(world.known(record.order).await.unwrap().acknowledged.is_some());
}

async fn key_that_says_it_is_compromised_is_blocked_before_anything_is_revoked(backend: Backend) {
    for number in 0.. {
        let world = World::on(backend).await;
        let (_, key, record, certificate) = issued(&world).await;
        let before = world.points.calls();
        let mut held = world.points.hold_after(number, Side::After);
        let (ca, request) = (world.ca.clone(), revocation_by(&key, &certificate));
        let asking = world.start_beside(async move {
            ca.revoke_certificate(Ca::certificate_key(&request).unwrap(), &request).await.unwrap();
        });
        tokio::select! {
            () = held.reached() => {}
            () = async { while !asking.is_finished() { tokio::task::yield_now().await; } } => {}
        }
        let done = asking.is_finished();
        kill(asking).await;
        drop(held);
        assert!(world.points.calls() > before);
        let world = world.restart();
        world.ca.recover().await.unwrap();
        let (blocked, status) =
            (world.ledger.is_blocked(record.spki_hash).await.unwrap(), world.record(record.serial).await.status);
        assert!(blocked || status == SerialStatus::Good, "killed at call {number}");
        world.ca.revoke_blocked_keys(&|| false).await.unwrap();
        let status = world.record(record.serial).await.status;
        assert_eq!(blocked, status == SerialStatus::Revoked, "killed at call {number}");
        if done {
            assert!(blocked && number > 3);
            return;
        }
    }
}

async fn key_that_was_seen_to_meanwhile_is_no_reason_to_refuse(backend: Backend) {
    let world = World::on(backend).await;
    let (_, key, record, certificate) = issued(&world).await;
    let mut held = world.points.hold(Side::After, Call::Block);
    let (ca, request) = (world.ca.clone(), revocation_by(&key, &certificate));
    let asking =
        world.start_beside(async move { ca.revoke_certificate(Ca::certificate_key(&request)?, &request).await });
    held.reached().await;
    world.ca.revoke_blocked_keys(&|| false).await.unwrap();
    assert_eq!(reason_of(&world, &record).await, Some(Reason::KeyCompromise));
    held.release();
    asking.await.unwrap().unwrap();
    // Whoever asks once more is told.
    let problem = refused(revoke_by_key(&world, &key, &certificate, None).await);
    assert_eq!(problem.kind, ProblemType::AlreadyRevoked);
}

async fn compromise_that_comes_second_gives_its_reason_to_what_came_between(backend: Backend) {
    let world = World::on(backend).await;
    let (_, _, record, _) = issued(&world).await;
    let mut held = world.points.hold(Side::Before, Call::Revoke);
    let (ca, serial) = (world.ca.clone(), record.serial);
    let compromised =
        world.start_beside(async move { ca.revoke(serial, Reason::KeyCompromise, "one".to_owned()).await });
    held.reached().await;
    world.ca.revoke(serial, Reason::Superseded, "another".to_owned()).await.unwrap();
    held.release();
    let Revoked::Already(standing) = compromised.await.unwrap().unwrap() else { panic!("it came second") };
    assert_eq!(world.record(serial).await.revocation, Some(standing.clone()));
    assert_eq!((standing.reason, &*standing.by), (Reason::KeyCompromise, "one"));
}
