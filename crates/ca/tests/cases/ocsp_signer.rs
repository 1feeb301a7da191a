//! What a signer is asked for by a worker that lies about OCSP.

use std::sync::Arc;
use std::time::Duration;

use ca::order::Stage;
use ca::ports::{ResponderRecord, SignError, SigningRequest};
use ca::settings::OcspSigner;
use keys::KeyPair;
use pki::lint::{self, OcspRules, ResponderRules};
use pki::ocsp::{CertStatus, IdAlgorithm, IdForm, IssuerIdentity, OcspFields, Responder};
use pki::{Certificate, Reason, Serial, TbsOcspResponse, TbsResponder, Validity};

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, pair};

const DAY: Duration = Duration::from_secs(86_400);

on_all_back_ends! {
    signer_says_nothing_that_the_ledger_does_not
    signer_lends_the_issuers_key_to_no_answer_of_another
    signer_certifies_no_responder_that_was_not_announced_or_is_not_its_own
    signer_certifies_a_responder_once
    signer_says_nothing_of_long_ago
}

async fn sign_answer(
    world: &World,
    serial: Serial,
    status: CertStatus,
    responder: Option<&Certificate>,
) -> Result<Vec<u8>, SignError> {
    sign_answer_of(world, world.ca.now().whole_second(), (serial, status), responder).await
}

async fn sign_answer_of(
    world: &World,
    this_update: pki::Timestamp,
    (serial, status): (Serial, CertStatus),
    responder: Option<&Certificate>,
) -> Result<Vec<u8>, SignError> {
    let issuer = &world.ca.issuers[0];
    let by = responder.unwrap_or(&issuer.certificate);
    let form = IdForm { algorithm: IdAlgorithm::Sha256, null_parameters: false };
    let now = world.ca.now().whole_second();
    let tbs = TbsOcspResponse::build(&OcspFields {
        responder_key: by.public_key().key_identifier(),
        produced_at: now,
        cert_id: &IssuerIdentity::of(&issuer.certificate).cert_id(form, serial),
        status,
        this_update,
        next_update: this_update.plus(DAY),
        nonce: None,
    });
    let rules = OcspRules { issuer: &issuer.certificate, responder: by, nonce: None, now: world.ca.now() };
    let tbs = lint::ocsp_response(tbs, &rules).unwrap();
    let responder = responder.cloned().map(Arc::new);
    let signed = world.ca.signer.sign(SigningRequest::OcspAnswer { issuer: issuer.id, responder, tbs }).await;
    signed.map(|signed| signed.der)
}

fn assert_refused<T: std::fmt::Debug>(signed: Result<T, SignError>) {
    assert!(matches!(signed, Err(SignError::Refused(_))), "{signed:?}");
}

async fn signer_says_nothing_that_the_ledger_does_not(backend: Backend) {
    let world = World::with(backend, |settings| settings.ocsp.responder = OcspSigner::Direct).await;
    let client = Client::new(&world).await;
    let good = client.issued(&world, &["one.example.com"], &pair()).await.serial;
    let revoked = client.issued(&world, &["two.example.com"], &pair()).await.serial;
    world.ca.revoke(revoked, Reason::Superseded, "operator".to_owned()).await.unwrap();
    let at = world.ca.now().whole_second();
    let order = client.processing(&world, &["three.example.com"]).await;
    world.points.fail(Side::Before, Call::SignPrecertificate);
    world.work(Stage::Issue).await;
    let waiting = world.serials(order.id).await[0].serial;
    let truth = CertStatus::Revoked { at, reason: Reason::Superseded };
    sign_answer(&world, good, CertStatus::Good, None).await.unwrap();
    sign_answer(&world, revoked, truth, None).await.unwrap();
    for (serial, lie) in [
        (good, truth),
        (revoked, CertStatus::Good),
        (revoked, CertStatus::Revoked { at, reason: Reason::KeyCompromise }),
        (revoked, CertStatus::Revoked { at: at.minus(DAY), reason: Reason::Superseded }),
        (waiting, CertStatus::Good),
        (waiting, truth),
        (Serial::from_random([9; 16]), CertStatus::Good),
    ] {
        assert_refused(sign_answer(&world, serial, lie, None).await);
    }
    world.clock.set_back(Duration::from_secs(3_600));
    let behind = sign_answer(&world, good, CertStatus::Good, None).await;
    assert!(matches!(behind, Err(SignError::NotSigned(_))), "{behind:?}");
}

/// The certificate of a responder, planned.
fn plan(world: &World, key: &KeyPair, serial: Serial) -> (TbsResponder, Vec<u8>) {
    let issuer = &world.ca.issuers[0];
    let now = world.ca.now().whole_second();
    let tbs = TbsResponder::build(&Responder {
        serial,
        issuer: issuer.certificate.subject(),
        issuer_key_identifier: issuer.certificate.public_key().key_identifier(),
        signature_algorithm: issuer.signature_algorithm,
        validity: Validity { not_before: now, not_after: now.plus(DAY * 7) },
        subject: &issuer.certificate.subject().with_common_name("OCSP of nobody"),
        public_key: key.public_key(),
    });
    let throwaway = pair().sign(issuer.signature_algorithm, tbs.certificate().der()).unwrap();
    let linting_certificate = tbs.certificate().with_signature(issuer.signature_algorithm, &throwaway);
    (tbs, linting_certificate)
}

async fn sign_responder(world: &World, key: &KeyPair, serial: Serial, announce: bool) -> Result<Vec<u8>, SignError> {
    let issuer = &world.ca.issuers[0];
    let (tbs, linting_certificate) = plan(world, key, serial);
    let rules = ResponderRules {
        issuer: &issuer.certificate,
        public_key: key.public_key(),
        lifetime_max: DAY * 8,
        now: world.ca.now(),
    };
    if announce {
        let record = ResponderRecord {
            serial,
            issuer: issuer.id,
            spki_hash: key.public_key().spki_hash(),
            made: world.ca.now(),
            not_after: world.ca.now().plus(DAY * 7),
            linting_certificate: linting_certificate.clone(),
            certificate: None,
        };
        world.ledger.add_responder(record).await.unwrap();
    }
    let tbs = lint::ocsp_responder(tbs, linting_certificate, &rules).unwrap();
    let signed = world.ca.signer.sign(SigningRequest::OcspResponder { issuer: issuer.id, tbs }).await;
    signed.map(|signed| signed.der)
}

async fn signer_lends_the_issuers_key_to_no_answer_of_another(backend: Backend) {
    let world = World::on(backend).await;
    let serial = Client::new(&world).await.issued(&world, &["one.example.com"], &pair()).await.serial;
    // A responder's certificate that somebody made for himself.
    let (tbs, _) = plan(&world, &pair(), Serial::from_random([8; 16]));
    let algorithm = world.ca.issuers[0].signature_algorithm;
    let forged = tbs.certificate().with_signature(algorithm, &pair().sign(algorithm, b"anything").unwrap());
    let forged = Certificate::from_der(&forged).unwrap();
    assert_refused(sign_answer(&world, serial, CertStatus::Good, Some(&forged)).await);
}

async fn signer_certifies_no_responder_that_was_not_announced_or_is_not_its_own(backend: Backend) {
    let world = World::on(backend).await;
    let own = world.responder_pair();
    assert_refused(sign_responder(&world, &own, Serial::from_random([1; 16]), false).await);
    assert_refused(sign_responder(&world, &pair(), Serial::from_random([2; 16]), true).await);
    sign_responder(&world, &own, Serial::from_random([3; 16]), true).await.unwrap();
    // Other bytes under a serial that was announced.
    world.clock.pass_seconds(5);
    assert_refused(sign_responder(&world, &own, Serial::from_random([3; 16]), false).await);
}

async fn signer_certifies_a_responder_once(backend: Backend) {
    let world = World::on(backend).await;
    let (own, serial) = (world.responder_pair(), Serial::from_random([4; 16]));
    let der = sign_responder(&world, &own, serial, true).await.unwrap();
    assert!(world.ledger.store_responder(serial, &der).await.unwrap());
    assert_refused(sign_responder(&world, &own, serial, false).await);
}

async fn signer_says_nothing_of_long_ago(backend: Backend) {
    let world = World::with(backend, |settings| settings.ocsp.responder = OcspSigner::Direct).await;
    let client = Client::new(&world).await;
    let good = client.issued(&world, &["one.example.com"], &pair()).await.serial;
    let at = |ago: u64| world.ca.now().whole_second().minus(Duration::from_secs(ago));
    sign_answer_of(&world, at(3_600), (good, CertStatus::Good), None).await.unwrap();
    let refused = sign_answer_of(&world, at(3_601), (good, CertStatus::Good), None).await;
    assert!(matches!(&refused, Err(SignError::Refused(why)) if why.contains("seconds ago")), "{refused:?}");
}
