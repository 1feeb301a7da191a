//! Certificates of OCSP responders: who makes them, what is used meanwhile, and what stays valid when the key changes.

use std::sync::Arc;
use std::time::Duration;

use ca::ocsp::{OcspAnswer, OcspReply};
use ca::ports::AuditEvent;
use ca::settings::OcspSigner;
use pki::ocsp::{BasicOcspResponse, CertStatus, IdAlgorithm, IdForm, IssuerIdentity};
use pki::{Certificate, OcspError, OcspRequest, OcspResponse, Reason, Serial, Timestamp};

use super::on_all_back_ends;
use crate::world::log_lines;
use crate::world::{Backend, Call, Client, Side, World, kill, pair};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

on_all_back_ends! {
    client_that_hangs_up_ends_no_making_of_a_certificate
    clients_that_come_while_a_certificate_is_made_wait_for_it
    certificate_that_is_to_be_renewed_and_can_not_be_is_used_after_a_restart
    issuer_whose_responder_fails_keeps_no_other_from_its_own
    many_tries_that_failed_hide_no_certificate
    responder_that_was_in_use_is_there_after_a_start_before_anybody_asks
    answers_of_both_certificates_are_valid_while_one_takes_the_place_of_the_other
    answers_of_both_keys_are_valid_when_the_key_has_changed
    what_fails_for_every_request_is_said_once_a_minute
    issuer_is_answered_for_to_its_very_end_and_no_longer
    revocation_dated_ahead_of_the_clock_is_told_with_its_own_date_when_that_has_come
    nothing_is_signed_for_a_while_after_the_clock_leapt_forward
}

fn request(world: &World, serial: Serial) -> Vec<u8> {
    let form = IdForm { algorithm: IdAlgorithm::Sha1, null_parameters: true };
    let issuer = world.ca.issuers.last().unwrap();
    OcspRequest::write(&IssuerIdentity::of(&issuer.certificate).cert_id(form, serial), None)
}

async fn ask(world: &World, serial: Serial) -> OcspReply {
    world.ocsp(&request(world, serial)).await
}

async fn answer(world: &World, serial: Serial) -> Arc<OcspAnswer> {
    match ask(world, serial).await {
        OcspReply::Answer(answer) => answer,
        other @ (OcspReply::Once(_) | OcspReply::Wait | OcspReply::Failed(_)) => panic!("{other:?}"),
    }
}

fn basic(answer: &OcspAnswer) -> BasicOcspResponse {
    match OcspResponse::from_der(&answer.der).unwrap() {
        OcspResponse::Successful(basic) => *basic,
        OcspResponse::Failed(error) => panic!("{error:?}"),
    }
}

/// The responder that an answer carries.
fn responder_of(answer: &OcspAnswer) -> Certificate {
    basic(answer).certificate().unwrap().clone()
}

/// Verifies an answer as a relying party does at this time; its status.
fn verified_at(world: &World, answer: &OcspAnswer, at: Timestamp) -> CertStatus {
    let (basic, responder) = (basic(answer), responder_of(answer));
    responder.verify_signed_by(world.ca.issuers.last().unwrap().certificate.public_key()).unwrap();
    basic.verify_signed_by(responder.public_key()).unwrap();
    let validity = responder.validity();
    assert!(validity.not_before <= at && at <= validity.not_after, "the responder is valid at {at}");
    assert!(answer.this_update <= at && at <= answer.next_update, "the answer is valid at {at}");
    answer.status
}

async fn issued(world: &World, name: &str) -> Serial {
    Client::new(world).await.issued(world, &[name], &pair()).await.serial
}

async fn responder_lines(world: &World) -> usize {
    let lines = world.lines().await;
    lines.iter().filter(|line| matches!(line.event, AuditEvent::OcspResponder { .. })).count()
}

async fn restarted(world: World) -> World {
    let world = world.restart();
    world.ca.recover().await.unwrap();
    world
}

async fn client_that_hangs_up_ends_no_making_of_a_certificate(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world, "one.example.com").await;
    let mut made = 0;
    for call in [Call::AddResponder, Call::SignOcspResponder, Call::StoreResponder] {
        let mut held = world.points.hold(Side::Before, call);
        let ca = world.ca.clone();
        let upkeep = world.start_beside(async move {
            ca.responder_is_missing().await;
            ca.renew_responders().await
        });
        let (ca, der) = (world.ca.clone(), request(&world, serial));
        let asked = world.start_beside(async move { ca.ocsp(&der).await });
        held.reached().await;
        kill(asked).await;
        held.release();
        upkeep.await.unwrap().unwrap();
        made += 1;
        let responders = world.responders().await;
        assert_eq!((responders.len(), responder_lines(&world).await), (made, made));
        assert_eq!(responder_of(&*answer(&world, serial).await).serial(), responders[0].serial);
        assert_eq!(world.audit.mark().sequence, world.lines().await.len() as u64, "no line is left open");
        // It has ended when the next is asked for.
        world.clock.pass(DAY * 22);
    }
}

async fn clients_that_come_while_a_certificate_is_made_wait_for_it(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world, "one.example.com").await;
    let mut held = world.points.hold(Side::Before, Call::SignOcspResponder);
    let ca = world.ca.clone();
    let upkeep = world.start_beside(async move {
        ca.responder_is_missing().await;
        ca.renew_responders().await
    });
    let ask = |ca: Arc<ca::Ca>, der: Vec<u8>| async move { ca.ocsp(&der).await };
    let asked = [0; 3].map(|_| world.start_beside(ask(world.ca.clone(), request(&world, serial))));
    held.reached().await;
    held.release();
    upkeep.await.unwrap().unwrap();
    for asked in asked {
        assert!(matches!(asked.await.unwrap(), OcspReply::Answer(_)));
    }
    assert_eq!(responder_lines(&world).await, 1);
}

async fn certificate_that_is_to_be_renewed_and_can_not_be_is_used_after_a_restart(backend: Backend) {
    let world = World::with(backend, |settings| settings.ocsp.in_certificates = true).await;
    let serial = issued(&world, "one.example.com").await;
    world.ca.renew_responders().await.unwrap();
    let first = responder_of(&*answer(&world, serial).await);
    // 9 days and 9 hours are left, then 9 hours.
    let mut world = world;
    for pass in [DAY * 11 + HOUR * 14, DAY * 9] {
        world.clock.pass(pass);
        world = restarted(world).await;
        world.points.fail(Side::Before, Call::AddResponder);
        world.ca.renew_responders().await.unwrap_err();
        let answer = answer(&world, serial).await;
        assert_eq!(verified_at(&world, &answer, world.ca.now()), CertStatus::Good);
        assert_eq!(responder_of(&answer), first);
        assert!(answer.next_update <= first.validity().not_after);
    }
    world.clock.pass(HOUR * 2);
    world = restarted(world).await;
    world.points.fail(Side::Before, Call::AddResponder);
    world.ca.renew_responders().await.unwrap_err();
    assert_eq!(ask(&world, serial).await, OcspReply::Failed(OcspError::TryLater), "no answer is that short");
    world.clock.pass(MINUTE);
    world.ca.renew_responders().await.unwrap();
    assert_ne!(responder_of(&*answer(&world, serial).await), first);
}

async fn issuer_whose_responder_fails_keeps_no_other_from_its_own(backend: Backend) {
    let world = World::with(backend, |settings| settings.ocsp.in_certificates = true).await;
    let serial = issued(&world, "one.example.com").await;
    // The signer has no key of the first one.
    let world = world.restart_with_a_foreign_issuer_first();
    world.ca.recover().await.unwrap();
    world.ca.renew_responders().await.unwrap_err();
    let answer = answer(&world, serial).await;
    assert_eq!(verified_at(&world, &answer, world.ca.now()), CertStatus::Good);
    assert_eq!(responder_lines(&world).await, 1);
}

async fn many_tries_that_failed_hide_no_certificate(backend: Backend) {
    let world = World::with(backend, |settings| settings.ocsp.in_certificates = true).await;
    let serial = issued(&world, "one.example.com").await;
    world.ca.renew_responders().await.unwrap();
    let first = responder_of(&*answer(&world, serial).await);
    world.clock.pass(DAY * 11);
    for _ in 0..110 {
        world.points.fail(Side::Before, Call::SignOcspResponder);
        world.ca.renew_responders().await.unwrap_err();
        assert!(world.ca.renew_responders().await.is_ok(), "it pauses");
        world.clock.pass(MINUTE * 10);
    }
    let world = restarted(world).await;
    world.points.fail(Side::Before, Call::SignOcspResponder);
    world.ca.renew_responders().await.unwrap_err();
    assert_eq!(responder_of(&*answer(&world, serial).await), first);
}

async fn responder_that_was_in_use_is_there_after_a_start_before_anybody_asks(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world, "one.example.com").await;
    world.ca.renew_responders().await.unwrap();
    assert_eq!(responder_lines(&world).await, 0, "nobody has ever asked");
    let first = responder_of(&*answer(&world, serial).await);
    let world = restarted(world).await;
    world.ca.renew_responders().await.unwrap();
    // Here nobody makes or finds one for a request.
    let OcspReply::Answer(early) = world.ca.ocsp(&request(&world, serial)).await else { panic!("no answer") };
    assert_eq!((responder_of(&early), responder_lines(&world).await), (first.clone(), 1));
    // It has ended while no server ran.
    world.clock.pass(DAY * 22);
    let world = restarted(world).await;
    world.ca.renew_responders().await.unwrap();
    let OcspReply::Answer(late) = world.ca.ocsp(&request(&world, serial)).await else { panic!("no answer") };
    assert_eq!(verified_at(&world, &late, world.ca.now()), CertStatus::Good);
    assert_eq!((responder_of(&late) == first, responder_lines(&world).await), (false, 2));
}

async fn answers_of_both_certificates_are_valid_while_one_takes_the_place_of_the_other(backend: Backend) {
    let world = World::with(backend, |settings| {
        settings.ocsp.in_certificates = true;
        settings.ocsp.validity = DAY * 10;
    })
    .await;
    let early = issued(&world, "one.example.com").await;
    let late = issued(&world, "two.example.com").await;
    world.ca.renew_responders().await.unwrap();
    world.clock.pass(DAY * 9);
    world.ca.renew_responders().await.unwrap();
    let of_old = answer(&world, early).await;
    let old = responder_of(&of_old);
    world.clock.pass(DAY * 2);
    world.ca.renew_responders().await.unwrap();
    let of_new = answer(&world, late).await;
    let new = responder_of(&of_new);
    assert_ne!(new, old);
    assert_eq!(answer(&world, early).await, of_old, "it is kept, and as good as before");
    for one in [&of_old, &of_new] {
        for at in [world.ca.now(), one.next_update] {
            assert_eq!(verified_at(&world, one, at), CertStatus::Good);
        }
    }
    let world = restarted(world).await;
    for serial in [early, late] {
        let again = answer(&world, serial).await;
        assert_eq!(responder_of(&again), new, "what is signed after a restart is signed under the newer one");
        assert_eq!(verified_at(&world, &again, again.next_update), CertStatus::Good);
    }
    assert_eq!(verified_at(&world, &of_old, of_old.next_update), CertStatus::Good);
    assert_eq!(responder_lines(&world).await, 2);
}

async fn answers_of_both_keys_are_valid_when_the_key_has_changed(backend: Backend) {
    let world = World::with(backend, |settings| settings.ocsp.in_certificates = true).await;
    let good = issued(&world, "one.example.com").await;
    let other = issued(&world, "two.example.com").await;
    let of_old = [answer(&world, good).await, answer(&world, other).await];
    let old = responder_of(&of_old[0]);
    world.clock.pass(HOUR);
    let world = world.restart_with_a_new_responder();
    world.ca.recover().await.unwrap();
    world.ca.renew_responders().await.unwrap();
    world.ca.revoke(other, Reason::KeyCompromise, "the operator".to_owned()).await.unwrap();
    let of_new = [answer(&world, good).await, answer(&world, other).await];
    let new = responder_of(&of_new[0]);
    assert_ne!(new.public_key(), old.public_key());
    // Whoever kept the answers of the old one may use them to their end, as he might without a change.
    for (one, is_good) in [(&of_old[0], true), (&of_old[1], true), (&of_new[0], true), (&of_new[1], false)] {
        for at in [world.ca.now(), one.next_update] {
            assert_eq!(verified_at(&world, one, at) == CertStatus::Good, is_good);
        }
    }
    for answer in &of_new {
        assert!(basic(answer).verify_signed_by(old.public_key()).is_err());
    }
    assert_eq!(responder_lines(&world).await, 2, "both are in the audit log");
    world.check_invariants().await;
}

async fn what_fails_for_every_request_is_said_once_a_minute(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world, "one.example.com").await;
    world.points.fail(Side::Before, Call::AddResponder);
    let said = || log_lines::errors().iter().filter(|line| line.contains("OCSP answer could not be made")).count();
    for _ in 0..5 {
        assert_eq!(ask(&world, serial).await, OcspReply::Failed(OcspError::TryLater));
    }
    assert_eq!(said(), 1);
    world.clock.pass(MINUTE);
    for _ in 0..5 {
        world.points.fail(Side::Before, Call::AddResponder);
        assert_eq!(ask(&world, serial).await, OcspReply::Failed(OcspError::TryLater));
    }
    assert_eq!(said(), 2);
}

async fn issuer_is_answered_for_to_its_very_end_and_no_longer(backend: Backend) {
    for responder in [OcspSigner::Delegated, OcspSigner::Direct] {
        let world = World::with(backend, |settings| settings.ocsp.responder = responder).await;
        let end = world.ca.issuers[0].certificate.validity().not_after;
        world.clock.pass(end.since(world.ca.now()) - DAY * 3);
        let serial = issued(&world, "one.example.com").await;
        world.clock.pass(DAY * 3 - HOUR * 4);
        let last = answer(&world, serial).await;
        assert_eq!(last.status, CertStatus::Good);
        assert!(last.next_update.since(last.this_update) + Duration::from_secs(1) >= HOUR * 8);
        if responder == OcspSigner::Delegated {
            assert_eq!(verified_at(&world, &last, end), CertStatus::Good);
        }
        let revoked = Reason::CessationOfOperation;
        world.ca.revoke(serial, revoked, "the operator".to_owned()).await.unwrap();
        assert!(matches!(answer(&world, serial).await.status, CertStatus::Revoked { reason, .. } if reason == revoked));
        world.clock.pass(HOUR * 4 + MINUTE);
        assert_eq!(ask(&world, serial).await, OcspReply::Failed(OcspError::Unauthorized), "nobody could verify it");
    }
}

async fn revocation_dated_ahead_of_the_clock_is_told_with_its_own_date_when_that_has_come(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world, "one.example.com").await;
    world.ca.revoke(serial, Reason::Superseded, "the operator".to_owned()).await.unwrap();
    let (date, _) = world.ledger.status(serial).await.unwrap().unwrap().revocation.unwrap();
    world.clock.set_back(Duration::from_secs(30));
    let early = answer(&world, serial).await;
    assert_eq!(early.status, CertStatus::Revoked { at: early.this_update, reason: Reason::Superseded });
    assert!(early.this_update < date && early.renewal <= date);
    world.clock.pass(Duration::from_secs(31));
    let own = answer(&world, serial).await;
    assert_eq!(own.status, CertStatus::Revoked { at: date.whole_second(), reason: Reason::Superseded });
    world.clock.pass(HOUR);
    assert_eq!(answer(&world, serial).await, own);
}

async fn nothing_is_signed_for_a_while_after_the_clock_leapt_forward(backend: Backend) {
    let world = World::on(backend).await;
    let [first, second, third] = ["one", "two", "three"].map(|name| format!("{name}.example.com"));
    let (first, second) = (issued(&world, &first).await, issued(&world, &second).await);
    let third = issued(&world, &third).await;
    let kept = answer(&world, first).await;
    let try_later = OcspReply::Failed(OcspError::TryLater);
    world.clock.set_ahead(DAY);
    assert_eq!(ask(&world, second).await, try_later);
    assert_eq!(answer(&world, first).await, kept, "it is valid by either time");
    world.clock.pass(MINUTE);
    world.clock.set_back(DAY);
    let after = answer(&world, second).await;
    assert_eq!(after.this_update, world.ca.now().whole_second(), "it is back where it was");
    world.clock.set_ahead(DAY * 5);
    assert_eq!(ask(&world, third).await, try_later);
    assert_eq!(ask(&world, first).await, try_later, "what was kept has ended, if the clock is right");
    world.clock.pass(world.ca.settings.times.issue_deadline);
    assert_eq!(verified_at(&world, &*answer(&world, third).await, world.ca.now()), CertStatus::Good);
    world.clock.set_ahead(DAY);
    assert_eq!(ask(&world, second).await, try_later);
    world.ca.accept_clock("the operator").await.unwrap();
    assert_eq!(answer(&world, second).await.status, CertStatus::Good);
}
