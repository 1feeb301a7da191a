//! OCSP: what is answered is what the ledger says, signed by who may, and kept no longer than that.

use std::sync::Arc;
use std::time::Duration;

use ca::ocsp::{OcspAnswer, OcspReply};
use ca::order::Stage;
use ca::ports::{AuditEvent, SerialStatus};
use ca::settings::OcspSigner;
use pki::ocsp::{BasicOcspResponse, CertStatus, IdAlgorithm, IdForm, IssuerIdentity, REQUEST_OCTETS_MAX};
use pki::{OcspError, OcspRequest, OcspResponse, Reason, Serial};

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, pair};

const FORM: IdForm = IdForm { algorithm: IdAlgorithm::Sha1, null_parameters: true };
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

on_all_back_ends! {
    certificate_is_good_until_it_is_revoked
    serial_that_waits_is_an_internal_error_whatever_is_asked
    what_was_never_allocated_here_gets_no_answer
    request_that_is_none_is_malformed
    answer_is_signed_once_and_anew_before_it_ends
    answer_that_is_asked_for_is_signed_anew_before_anybody_asks_again
    answer_that_cannot_be_signed_anew_keeps_none_behind_it
    certid_of_the_answer_is_that_of_the_request
    reason_that_was_upgraded_is_told_at_once
    revocation_between_look_and_signature_wins
    revoked_certificate_is_never_good_again_after_a_restart
    nothing_is_said_with_a_clock_that_is_behind
    answer_that_can_not_be_signed_anew_is_given_until_it_ends
    certificate_that_has_ended_long_ago_gets_no_answer
    nonce_is_repeated_if_that_is_configured_and_such_an_answer_is_not_kept
    issuer_signs_if_that_is_configured
    responder_is_announced_signed_logged_and_used_after_a_restart
    responder_is_renewed_well_before_it_ends
    responder_that_could_not_be_made_is_made_after_a_pause
    responder_whose_process_died_before_it_was_stored_is_brought_in
    must_staple_and_pointers_follow_the_profile
}

fn request(world: &World, form: IdForm, serial: Serial, nonce: Option<&[u8]>) -> Vec<u8> {
    let id = IssuerIdentity::of(&world.ca.issuers[0].certificate).cert_id(form, serial);
    OcspRequest::write(&id, nonce)
}

async fn ask(world: &World, serial: Serial) -> OcspReply {
    world.ocsp(&request(world, FORM, serial, None)).await
}

/// An answer that caches may keep.
async fn answer(world: &World, serial: Serial) -> Arc<OcspAnswer> {
    match ask(world, serial).await {
        OcspReply::Answer(answer) => answer,
        other @ (OcspReply::Once(_) | OcspReply::Wait | OcspReply::Failed(_)) => panic!("{other:?}"),
    }
}

/// What an answer says, verified up to the issuer.
fn verified(world: &World, answer: &OcspAnswer, serial: Serial) -> CertStatus {
    let basic = basic(answer);
    let issuer = &world.ca.issuers[0].certificate;
    match basic.certificate() {
        Some(responder) => {
            responder.verify_signed_by(issuer.public_key()).unwrap();
            basic.verify_signed_by(responder.public_key()).unwrap();
            assert!(responder.validity().not_after >= answer.next_update);
        }
        None => basic.verify_signed_by(issuer.public_key()).unwrap(),
    }
    let data = basic.data().unwrap();
    let [single] = data.responses.as_slice() else { panic!("{data:?}") };
    assert_eq!((single.cert_id.serial, single.status), (Some(serial), Some(answer.status)));
    assert_eq!((single.this_update, single.next_update), (answer.this_update, Some(answer.next_update)));
    assert!(data.produced_at <= world.ca.now() && single.this_update <= data.produced_at);
    answer.status
}

fn basic(answer: &OcspAnswer) -> BasicOcspResponse {
    match OcspResponse::from_der(&answer.der).unwrap() {
        OcspResponse::Successful(basic) => *basic,
        OcspResponse::Failed(error) => panic!("{error:?}"),
    }
}

async fn status(world: &World, serial: Serial) -> CertStatus {
    verified(world, &*answer(world, serial).await, serial)
}

async fn issued(world: &World) -> Serial {
    Client::new(world).await.issued(world, &["one.example.com"], &pair()).await.serial
}

async fn revoke(world: &World, serial: Serial, reason: Reason) -> CertStatus {
    world.ca.revoke(serial, reason, "operator".to_owned()).await.unwrap();
    CertStatus::Revoked { at: world.ca.now().whole_second(), reason }
}

async fn certificate_is_good_until_it_is_revoked(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world).await;
    assert_eq!(status(&world, serial).await, CertStatus::Good);
    let revoked = revoke(&world, serial, Reason::Superseded).await;
    assert_eq!(status(&world, serial).await, revoked);
    world.clock.pass_seconds(HOUR);
    assert_eq!(status(&world, serial).await, revoked);
}

async fn serial_that_waits_is_an_internal_error_whatever_is_asked(backend: Backend) {
    let world = World::with(backend, |settings| settings.ocsp.nonces = true).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.points.fail(Side::Before, Call::SignPrecertificate);
    world.work(Stage::Issue).await;
    let [waiting] = &*world.serials(order.id).await else { panic!("one serial") };
    assert_eq!(waiting.status, SerialStatus::Wait);
    assert_eq!(ask(&world, waiting.serial).await, OcspReply::Wait);
    let nonce = request(&world, FORM, waiting.serial, Some(b"a nonce"));
    assert_eq!(world.ocsp(&nonce).await, OcspReply::Wait);
    world.clock.set_back(Duration::from_secs(HOUR));
    assert_eq!(ask(&world, waiting.serial).await, OcspReply::Wait);
    world.clock.pass_seconds(200 * DAY);
    assert_eq!(ask(&world, waiting.serial).await, OcspReply::Wait);
    let revoked = revoke(&world, waiting.serial, Reason::CessationOfOperation).await;
    assert_eq!(world.ca.ocsp.counts().wait, 4);
    let OcspReply::Failed(OcspError::Unauthorized) = ask(&world, waiting.serial).await else {
        panic!("it has ended: {revoked:?}")
    };
}

async fn what_was_never_allocated_here_gets_no_answer(backend: Backend) {
    let world = World::on(backend).await;
    let unauthorized = OcspReply::Failed(OcspError::Unauthorized);
    assert_eq!(ask(&world, Serial::from_random([7; 16])).await, unauthorized);
    let serial = issued(&world).await;
    // Of another issuer: the root.
    let id = IssuerIdentity::of(world.root()).cert_id(FORM, serial);
    assert_eq!(world.ocsp(&OcspRequest::write(&id, None)).await, unauthorized);
    // By a digest that nobody knows.
    let mut other = request(&world, FORM, serial, None);
    let at = other.windows(5).position(|octets| octets == [0x2b, 0x0e, 0x03, 0x02, 0x1a]).unwrap();
    other[at + 4] = 0x1b;
    assert_eq!(world.ocsp(&other).await, unauthorized);
    // The responder's own certificate is nobody's to ask about.
    answer(&world, serial).await;
    let responder = world.responders().await.remove(0);
    assert_eq!(ask(&world, responder.serial).await, unauthorized);
    assert_eq!(world.ca.ocsp.counts().unauthorized, 4);
}

async fn request_that_is_none_is_malformed(backend: Backend) {
    let world = World::on(backend).await;
    let good = request(&world, FORM, issued(&world).await, None);
    for bad in [&[][..], &good[1..], &good[..good.len() - 1], &vec![0x30; REQUEST_OCTETS_MAX + 1]] {
        assert_eq!(world.ocsp(bad).await, OcspReply::Failed(OcspError::MalformedRequest));
    }
    assert_eq!(world.ca.ocsp.counts().malformed, 4);
}

async fn answer_is_signed_once_and_anew_before_it_ends(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world).await;
    let first = answer(&world, serial).await;
    assert_eq!(first.next_update, first.this_update.plus(Duration::from_secs(96 * HOUR - 1)));
    for _ in 0..3 {
        world.clock.pass_seconds(12 * HOUR);
        assert_eq!(answer(&world, serial).await, first);
    }
    world.clock.pass_seconds(12 * HOUR);
    let second = answer(&world, serial).await;
    assert_eq!(second.this_update, world.ca.now().whole_second());
    assert_ne!(second.tag, first.tag);
    verified(&world, &second, serial);
    let counts = world.ca.ocsp.counts();
    assert_eq!((counts.good, counts.from_cache, counts.signed, counts.kept), (5, 3, 2, 1));
}

async fn answer_that_is_asked_for_is_signed_anew_before_anybody_asks_again(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let [asked, left, revoked] = ["one.example.com", "two.example.com", "three.example.com"];
    let serial = async |name: &str| client.issued(&world, &[name], &pair()).await.serial;
    let (asked, left, revoked) = (serial(asked).await, serial(left).await, serial(revoked).await);
    let first = answer(&world, asked).await;
    answer(&world, left).await;
    answer(&world, revoked).await;
    assert_eq!(world.ca.renew_ocsp_answers().await.unwrap(), 0, "it is too early");
    world.clock.pass_seconds(2 * DAY);
    world.ca.revoke(revoked, Reason::Superseded, "operator".to_owned()).await.unwrap();
    assert_eq!(world.ca.renew_ocsp_answers().await.unwrap(), 3);
    let counts = world.ca.ocsp.counts();
    let renewed = answer(&world, asked).await;
    assert!(renewed.this_update > first.this_update && renewed.tag != first.tag);
    assert_eq!(verified(&world, &renewed, asked), CertStatus::Good);
    assert!(matches!(answer(&world, revoked).await.status, CertStatus::Revoked { .. }));
    let then = world.ca.ocsp.counts();
    assert_eq!((then.signed, then.from_cache), (counts.signed, counts.from_cache + 2), "they were there");
    // Nobody has asked for the third one since.
    world.clock.pass_seconds(2 * DAY);
    assert_eq!(world.ca.renew_ocsp_answers().await.unwrap(), 2);
    assert_eq!(world.ca.renew_ocsp_answers().await.unwrap(), 0);
}

async fn answer_that_cannot_be_signed_anew_keeps_none_behind_it(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let mut serials = Vec::new();
    for name in ["one.example.com", "two.example.com", "three.example.com"] {
        serials.push(client.issued(&world, &[name], &pair()).await.serial);
    }
    for serial in &serials {
        answer(&world, *serial).await;
        world.clock.pass_seconds(1);
    }
    world.clock.pass_seconds(2 * DAY);
    world.points.fail(Side::Before, Call::SignOcspAnswer);
    world.ca.renew_ocsp_answers().await.unwrap_err();
    assert_eq!(world.ca.renew_ocsp_answers().await.unwrap(), 0, "two were signed; the one that was not has a minute");
    world.clock.pass_seconds(60);
    assert_eq!(world.ca.renew_ocsp_answers().await.unwrap(), 1);
}

async fn certid_of_the_answer_is_that_of_the_request(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world).await;
    for algorithm in [IdAlgorithm::Sha1, IdAlgorithm::Sha256] {
        for null_parameters in [true, false] {
            let der = request(&world, IdForm { algorithm, null_parameters }, serial, None);
            let asked = OcspRequest::from_der(&der).unwrap();
            for _ in 0..2 {
                let OcspReply::Answer(answer) = world.ocsp(&der).await else { panic!("no answer") };
                verified(&world, &answer, serial);
                assert_eq!(basic(&answer).data().unwrap().responses[0].cert_id, asked.cert_id);
            }
        }
    }
    assert_eq!(world.ca.ocsp.counts().signed, 4);
}

async fn reason_that_was_upgraded_is_told_at_once(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world).await;
    let revoked = revoke(&world, serial, Reason::Superseded).await;
    assert_eq!(status(&world, serial).await, revoked);
    let CertStatus::Revoked { at, .. } = revoked else { panic!("it is revoked") };
    world.ledger.upgrade_to_key_compromise(serial, "who has the key").await.unwrap();
    assert_eq!(status(&world, serial).await, CertStatus::Revoked { at, reason: Reason::KeyCompromise });
}

async fn revocation_between_look_and_signature_wins(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world).await;
    answer(&world, serial).await;
    world.clock.pass_seconds(48 * HOUR);
    let mut held = world.signer_points.hold(Side::Before, Call::Status);
    let (ca, der) = (world.ca.clone(), request(&world, FORM, serial, None));
    let asked = world.start_beside(async move { ca.ocsp(&der).await });
    held.reached().await;
    let revoked = revoke(&world, serial, Reason::KeyCompromise).await;
    held.release();
    let OcspReply::Answer(answer) = asked.await.unwrap() else { panic!("an answer") };
    assert_eq!(verified(&world, &answer, serial), revoked);
    assert_eq!(status(&world, serial).await, revoked);
}

async fn revoked_certificate_is_never_good_again_after_a_restart(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world).await;
    assert_eq!(status(&world, serial).await, CertStatus::Good);
    let revoked = revoke(&world, serial, Reason::KeyCompromise).await;
    let world = world.restart();
    world.ca.recover().await.unwrap();
    assert_eq!(status(&world, serial).await, revoked);
    // A clock that is a little behind dates the revocation no later than the answer.
    world.clock.set_back(Duration::from_secs(30));
    let world = world.restart();
    world.ca.recover().await.unwrap();
    let CertStatus::Revoked { at, .. } = status(&world, serial).await else { panic!("it is revoked") };
    assert!(at <= world.ca.now());
    world.clock.set_ahead(Duration::from_secs(10 * DAY));
    assert_eq!(
        ask(&world, serial).await,
        OcspReply::Failed(OcspError::TryLater),
        "such a leap is not believed at once"
    );
    world.clock.pass(world.ca.settings.times.issue_deadline);
    assert!(matches!(status(&world, serial).await, CertStatus::Revoked { .. }));
}

async fn nothing_is_said_with_a_clock_that_is_behind(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world).await;
    let before = answer(&world, serial).await;
    world.clock.set_back(Duration::from_secs(HOUR));
    assert_eq!(ask(&world, serial).await, OcspReply::Failed(OcspError::TryLater));
    let world = world.restart();
    world.ca.recover().await.unwrap();
    assert_eq!(ask(&world, serial).await, OcspReply::Failed(OcspError::TryLater));
    world.clock.pass_seconds(HOUR);
    let after = answer(&world, serial).await;
    assert_eq!(verified(&world, &after, serial), CertStatus::Good);
    assert!(after.this_update >= before.this_update);
}

async fn answer_that_can_not_be_signed_anew_is_given_until_it_ends(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world).await;
    let first = answer(&world, serial).await;
    world.clock.pass_seconds(50 * HOUR);
    world.points.fail(Side::Before, Call::SignOcspAnswer);
    assert_eq!(answer(&world, serial).await, first);
    assert!(answer(&world, serial).await.this_update > first.this_update);
    world.clock.pass_seconds(96 * HOUR);
    world.points.fail(Side::After, Call::SignOcspAnswer);
    assert_eq!(ask(&world, serial).await, OcspReply::Failed(OcspError::TryLater), "what was kept has ended");
    assert_eq!(status(&world, serial).await, CertStatus::Good);
}

async fn certificate_that_has_ended_long_ago_gets_no_answer(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world).await;
    let end = world.record(serial).await.not_after;
    world.clock.pass(end.since(world.ca.now()) + Duration::from_secs(DAY));
    assert_eq!(status(&world, serial).await, CertStatus::Good);
    world.clock.pass_seconds(7 * DAY);
    assert_eq!(ask(&world, serial).await, OcspReply::Failed(OcspError::Unauthorized));
}

async fn nonce_is_repeated_if_that_is_configured_and_such_an_answer_is_not_kept(backend: Backend) {
    let world = World::with(backend, |settings| settings.ocsp.nonces = true).await;
    let serial = issued(&world).await;
    for nonce in [&b"one"[..], b"another"] {
        let OcspReply::Once(answer) = world.ocsp(&request(&world, FORM, serial, Some(nonce))).await else {
            panic!("an answer of its own")
        };
        verified(&world, &answer, serial);
        assert_eq!(basic(&answer).data().unwrap().nonce, Some(nonce));
    }
    assert_eq!((world.ca.ocsp.counts().signed, world.ca.ocsp.counts().kept), (2, 0));
    let world = world.restart_with(|settings| settings.ocsp.nonces = false);
    world.ca.recover().await.unwrap();
    let OcspReply::Answer(answer) = world.ocsp(&request(&world, FORM, serial, Some(b"one"))).await else {
        panic!("the answer that all get")
    };
    assert_eq!(basic(&answer).data().unwrap().nonce, None);
}

async fn issuer_signs_if_that_is_configured(backend: Backend) {
    let world = World::with(backend, |settings| settings.ocsp.responder = OcspSigner::Direct).await;
    let serial = issued(&world).await;
    let answer = answer(&world, serial).await;
    assert_eq!(verified(&world, &answer, serial), CertStatus::Good);
    assert_eq!(basic(&answer).certificate(), None);
    assert_eq!(world.responders().await, []);
}

async fn responder_lines(world: &World) -> Vec<Serial> {
    let lines = world.lines().await.into_iter();
    lines
        .filter_map(|line| if let AuditEvent::OcspResponder { serial, .. } = line.event { Some(serial) } else { None })
        .collect()
}

async fn responder_is_announced_signed_logged_and_used_after_a_restart(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world).await;
    assert_eq!(responder_lines(&world).await, [], "nobody has asked yet");
    let first = basic(&*answer(&world, serial).await).certificate().unwrap().clone();
    let [record] = &*world.responders().await else { panic!("one responder") };
    assert_eq!(record.certificate.as_deref(), Some(first.der()));
    let linting = pki::Certificate::from_der(&record.linting_certificate).unwrap();
    assert_eq!(linting.tbs_der(), first.tbs_der());
    assert!(linting.verify_signed_by(world.ca.issuers[0].certificate.public_key()).is_err());
    assert_eq!(responder_lines(&world).await, [first.serial()]);
    let world = world.restart();
    world.ca.recover().await.unwrap();
    assert_eq!(basic(&*answer(&world, serial).await).certificate(), Some(&first));
    assert_eq!(responder_lines(&world).await.len(), 1);
}

async fn responder_is_renewed_well_before_it_ends(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world).await;
    let first = basic(&*answer(&world, serial).await).certificate().unwrap().clone();
    world.clock.pass_seconds(9 * DAY);
    world.ca.renew_responders().await.unwrap();
    assert_eq!(responder_lines(&world).await.len(), 1);
    world.clock.pass_seconds(2 * DAY);
    world.ca.renew_responders().await.unwrap();
    assert_eq!(responder_lines(&world).await.len(), 2);
    let second = basic(&*answer(&world, serial).await).certificate().unwrap().clone();
    assert!(second.validity().not_after > first.validity().not_after);
    assert_eq!(second.public_key(), first.public_key());
}

async fn responder_that_could_not_be_made_is_made_after_a_pause(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world).await;
    for (side, call) in [
        (Side::Before, Call::AddResponder),
        (Side::Before, Call::SignOcspResponder),
        (Side::After, Call::SignOcspResponder),
        (Side::Before, Call::StoreResponder),
    ] {
        world.points.fail(side, call);
        for _ in 0..3 {
            assert_eq!(ask(&world, serial).await, OcspReply::Failed(OcspError::TryLater));
        }
        world.clock.pass_seconds(81);
    }
    assert_eq!(world.points.forget(), 0, "each was tried once");
    assert_eq!(status(&world, serial).await, CertStatus::Good);
    assert!(responder_lines(&world).await.len() <= 4);
}

async fn responder_whose_process_died_before_it_was_stored_is_brought_in(backend: Backend) {
    let world = World::on(backend).await;
    let serial = issued(&world).await;
    world.points.fail(Side::Before, Call::StoreResponder);
    assert_eq!(ask(&world, serial).await, OcspReply::Failed(OcspError::TryLater));
    let [logged] = responder_lines(&world).await[..] else { panic!("one line") };
    assert_eq!(world.ledger.responder(logged).await.unwrap().unwrap().certificate, None);
    let world = world.restart();
    world.ca.recover().await.unwrap();
    let used = basic(&*answer(&world, serial).await).certificate().unwrap().serial();
    assert_eq!((used, responder_lines(&world).await.len()), (logged, 1));
}

async fn must_staple_and_pointers_follow_the_profile(backend: Backend) {
    for (in_certificates, of_profile) in [(false, true), (true, true), (true, false)] {
        let world = World::with(backend, |settings| {
            settings.ocsp.in_certificates = in_certificates;
            settings.profiles[0].ocsp = of_profile;
        })
        .await;
        let record = world.record(issued(&world).await).await;
        let certificate = record.certificate.unwrap();
        let url = b"http://status.example.com:14080/ocsp";
        let names = certificate.windows(url.len()).any(|octets| octets == url);
        assert_eq!(names, in_certificates && of_profile);
        let pointer = world.ca.settings.ocsp_pointer(&world.ca.settings.profiles[0]);
        assert_eq!(pointer.is_some(), names);
        // One that certificates point to is there before anybody asks.
        world.ca.renew_responders().await.unwrap();
        assert_eq!(responder_lines(&world).await.len(), usize::from(in_certificates));
    }
}
