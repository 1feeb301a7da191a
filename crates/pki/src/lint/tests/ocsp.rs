//! OCSP answers and certificates of responders: one bent one for each lint, and the good ones.

use std::time::Duration;

use super::editor::{Extension, content, generalized_time, parts, sequence, tlv};
use super::world::{self, at, fired, issuer_name};
use super::{Case, case, without_case, wrong_cases};
use crate::lint::{
    self, OCSP_LINTS, OcspRules, RESPONDER_LINTS, ResponderRules, STRICT_DER, check_ocsp, check_responder, oids,
};
use crate::ocsp::{CertStatus, IdAlgorithm, IdForm, IssuerIdentity, OcspFields, Responder};
use crate::{Certificate, Name, PublicKey, Reason, Serial, TbsOcspResponse, TbsResponder, Timestamp, Validity};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const NOTHING: [&str; 0] = [];
const FORM: IdForm = IdForm { algorithm: IdAlgorithm::Sha1, null_parameters: true };

#[derive(Clone)]
struct Bench {
    issuer: Certificate,
    responder: Certificate,
    named: [u8; 20],
    identity: Certificate,
    status: CertStatus,
    produced_at: Timestamp,
    this_update: Timestamp,
    next_update: Timestamp,
    nonce: Option<&'static [u8]>,
    asked: Option<&'static [u8]>,
}

fn now() -> Timestamp {
    at("2026-11-21T10:00:00Z")
}

fn good() -> Bench {
    let issuer = world::intermediate(&world::p256());
    let responder = responder(&world::p384(), |_| {});
    Bench {
        named: world::p384().key_identifier(),
        identity: issuer.clone(),
        issuer,
        responder,
        status: CertStatus::Good,
        produced_at: now(),
        this_update: now(),
        next_update: now().plus(DAY * 4),
        nonce: None,
        asked: None,
    }
}

fn revoked(reason: Reason) -> Bench {
    Bench { status: CertStatus::Revoked { at: now().minus(HOUR), reason }, ..good() }
}

impl Bench {
    fn tbs(&self) -> Vec<u8> {
        let cert_id = IssuerIdentity::of(&self.identity).cert_id(FORM, Serial::from_random([7; 16]));
        let fields = OcspFields {
            responder_key: self.named,
            produced_at: self.produced_at,
            cert_id: &cert_id,
            status: self.status,
            this_update: self.this_update,
            next_update: self.next_update,
            nonce: self.nonce,
        };
        TbsOcspResponse::build(&fields).der().to_vec()
    }

    fn findings(self) -> Vec<&'static str> {
        self.edited(|_| {})
    }

    /// With other fields: responderID, producedAt, responses, extensions.
    fn edited(self, edit: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<&'static str> {
        let mut fields = parts(content(&self.tbs()));
        edit(&mut fields);
        let rules = OcspRules { issuer: &self.issuer, responder: &self.responder, nonce: self.asked, now: now() };
        fired(check_ocsp(&tlv(0x30, &fields.concat()), &rules))
    }

    /// With other fields of its SingleResponse: certID, status, thisUpdate, nextUpdate.
    fn single(self, edit: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<&'static str> {
        self.edited(|fields| {
            let mut single = parts(content(content(&fields[2])));
            edit(&mut single);
            fields[2] = sequence(&[&tlv(0x30, &single.concat())]);
        })
    }
}

fn other_extension() -> Vec<u8> {
    let extension = sequence(&[&tlv(6, &[0x2a, 3, 4]), &tlv(4, &[5, 0])]);
    tlv(0xa1, &sequence(&[&extension]))
}

const OF_ANSWERS: &[Case] = &[
    case("version_is_said_by_silence", &[], || good().edited(|fields| fields.insert(0, vec![0xa0, 3, 2, 1, 0]))),
    case("responder_is_named_by_its_key", &[], || Bench { named: [7; 20], ..good() }.findings()),
    case("responder_is_named_by_its_key", &[], || good().edited(|fields| fields[0] = tlv(0xa1, issuer_name().der()))),
    case("produced_at_is_not_in_the_future", &[], || {
        Bench { produced_at: now().plus(Duration::from_secs(1)), ..good() }.findings()
    }),
    case("one_certificate_is_answered_for", &[], || {
        good().edited(|fields| {
            let one = content(&fields[2]).to_vec();
            fields[2] = sequence(&[&one, &one]);
        })
    }),
    case("cert_id_is_of_the_issuer", &[], || {
        Bench { identity: world::intermediate(&world::p384()), ..good() }.findings()
    }),
    case("serial_is_valid", &[], || {
        good().single(|single| {
            let mut id = parts(content(&single[0]));
            id[3] = vec![2, 1, 0];
            single[0] = tlv(0x30, &id.concat());
        })
    }),
    case("status_is_good_or_revoked", &[], || good().single(|single| single[1] = vec![0x82, 0])),
    case("revocation_is_not_after_this_update", &[], || {
        let status = CertStatus::Revoked { at: now().plus(HOUR), reason: Reason::Superseded };
        Bench { status, ..good() }.findings()
    }),
    case("reason_is_permitted", &[], || revoked(Reason::CertificateHold).findings()),
    case("reason_is_permitted", &[], || {
        let stated = [generalized_time("20261121090000Z"), tlv(0xa0, &[0x0a, 1, 0])].concat();
        good().single(|single| single[1] = tlv(0xa1, &stated))
    }),
    case("this_update_is_not_after_produced_at", &[], || Bench { produced_at: now().minus(HOUR), ..good() }.findings()),
    case("next_update_is_stated", &[], || good().single(|single| drop(single.pop()))),
    case("validity_is_within_the_baseline", &[], || Bench { next_update: now().plus(HOUR * 7), ..good() }.findings()),
    case("validity_is_within_the_baseline", &[], || Bench { next_update: now().plus(DAY * 10), ..good() }.findings()),
    case("validity_is_within_the_baseline", &[], || Bench { next_update: now().minus(HOUR), ..good() }.findings()),
    case("answer_ends_within_the_responders_validity", &[], || {
        let responder = responder(&world::p384(), |fields| fields.validity.not_after = now().plus(DAY));
        Bench { responder, ..good() }.findings()
    }),
    case("answer_ends_within_the_responders_validity", &[], || {
        // Its issuer lives on: another responder would be there.
        let responder = responder(&world::p384(), |fields| fields.validity.not_after = now().plus(HOUR * 4));
        Bench { responder, next_update: now().plus(HOUR * 8).minus(Duration::from_secs(1)), ..good() }.findings()
    }),
    case("nonce_is_the_requests", &[], || Bench { nonce: Some(b"one"), asked: Some(b"other"), ..good() }.findings()),
    case("nonce_is_the_requests", &[], || Bench { asked: Some(b"one"), ..good() }.findings()),
    case("extensions_are_known", &[], || good().edited(|fields| fields.push(other_extension()))),
    case("single_response_has_no_extension", &[], || good().single(|single| single.push(other_extension()))),
];

fn subject() -> Name {
    issuer_name().with_common_name("Cairn test OCSP")
}

/// The certificate of a responder, bent.
fn tbs_of(key: &PublicKey, subject: &Name, bend: impl FnOnce(&mut Responder<'_>)) -> TbsResponder {
    let (issuer, issuer_key) = (issuer_name(), world::p256());
    let mut responder = Responder {
        serial: Serial::from_random([8; 16]),
        issuer: &issuer,
        issuer_key_identifier: issuer_key.key_identifier(),
        signature_algorithm: issuer_key.default_signature_algorithm(),
        validity: Validity { not_before: now().minus(HOUR), not_after: now().plus(DAY * 20) },
        subject,
        public_key: key,
    };
    bend(&mut responder);
    TbsResponder::build(&responder)
}

fn linting(tbs: &[u8]) -> Vec<u8> {
    world::linting_certificate(tbs, world::p256().default_signature_algorithm().algorithm_identifier_der())
}

fn responder(key: &PublicKey, bend: impl FnOnce(&mut Responder<'_>)) -> Certificate {
    Certificate::from_der(&linting(tbs_of(key, &subject(), bend).certificate().der())).unwrap()
}

fn judged(tbs: &[u8], linting_certificate: &[u8], expected: &PublicKey) -> Vec<&'static str> {
    let issuer = world::intermediate(&world::p256());
    let rules = ResponderRules { issuer: &issuer, public_key: expected, lifetime_max: DAY * 21, now: now() };
    fired(check_responder(tbs, linting_certificate, &rules))
}

fn bent(bend: impl FnOnce(&mut Responder<'_>)) -> Vec<&'static str> {
    let tbs = tbs_of(&world::p384(), &subject(), bend);
    judged(tbs.certificate().der(), &linting(tbs.certificate().der()), &world::p384())
}

/// With other extensions.
fn extended(edit: impl FnOnce(&mut super::editor::Extensions)) -> Vec<&'static str> {
    let tbs = tbs_of(&world::p384(), &subject(), |_| {});
    let mut fields = parts(content(tbs.certificate().der()));
    let last = fields.pop().unwrap();
    let mut extensions = super::editor::Extensions::read(content(&last));
    edit(&mut extensions);
    fields.push(tlv(0xa3, &extensions.encode()));
    let tbs = tlv(0x30, &fields.concat());
    judged(&tbs, &linting(&tbs), &world::p384())
}

const OF_RESPONDERS: &[Case] = &[
    case("linting_certificate_is_of_this_responder", &[], || {
        let (one, other) = (tbs_of(&world::p384(), &subject(), |_| {}), |one: &mut Responder<'_>| {
            one.serial = Serial::from_random([9; 16]);
        });
        let other = tbs_of(&world::p384(), &subject(), other);
        judged(one.certificate().der(), &linting(other.certificate().der()), &world::p384())
    }),
    case("responder_key_is_the_expected", &[], || {
        let tbs = tbs_of(&world::p384(), &subject(), |_| {});
        judged(tbs.certificate().der(), &linting(tbs.certificate().der()), &world::p256())
    }),
    case("responder_is_named", &[], || {
        let tbs = tbs_of(&world::p384(), &issuer_name(), |_| {});
        judged(tbs.certificate().der(), &linting(tbs.certificate().der()), &world::p384())
    }),
    case("purpose_is_ocsp_signing_alone", &[], || {
        let purposes = sequence(&[&tlv(6, oids::OCSP_SIGNING.as_bytes()), &tlv(6, oids::SERVER_AUTH.as_bytes())]);
        extended(|extensions| extensions.value(oids::EXTENDED_KEY_USAGE, &purposes))
    }),
    case("nocheck_is_stated", &[], || {
        extended(|extensions| extensions.0.retain(|extension| extension.id != oids::OCSP_NOCHECK))
    }),
    case("nocheck_is_stated", &[], || extended(|extensions| extensions.critical(oids::OCSP_NOCHECK, true))),
    case("extensions_are_those_of_a_responder", &[], || {
        let policies = sequence(&[&sequence(&[&tlv(6, oids::DOMAIN_VALIDATED.as_bytes())])]);
        extended(|extensions| extensions.0.push(Extension::new(oids::CERTIFICATE_POLICIES, false, &policies)))
    }),
    case("key_usage_is_digital_signature", &[], || {
        extended(|extensions| extensions.value(oids::KEY_USAGE, &[3, 2, 6, 0xc0]))
    }),
    case("responder_has_begun", &[], || bent(|one| one.validity.not_before = now().plus(HOUR))),
    case("life_of_a_responder_is_short", &[], || bent(|one| one.validity.not_after = now().plus(DAY * 21))),
];

#[test]
fn bent_answers_make_the_lints_of_ocsp_fire() {
    assert_eq!(wrong_cases(OF_ANSWERS), "");
    assert_eq!(without_case(OCSP_LINTS.iter().copied().flatten().map(|lint| lint.name), OF_ANSWERS), NOTHING);
}

#[test]
fn bent_responders_make_their_lints_fire() {
    assert_eq!(wrong_cases(OF_RESPONDERS), "");
    assert_eq!(without_case(RESPONDER_LINTS.iter().copied().flatten().map(|lint| lint.name), OF_RESPONDERS), NOTHING);
}

#[test]
fn good_answers_pass() {
    let issuer = good().issuer;
    let direct = Bench { responder: issuer.clone(), named: issuer.public_key().key_identifier(), ..good() };
    for bench in [
        good(),
        direct,
        revoked(Reason::Unspecified),
        revoked(Reason::KeyCompromise),
        Bench { nonce: Some(b"a nonce"), asked: Some(b"a nonce"), ..good() },
        Bench { next_update: now().plus(HOUR * 8).minus(Duration::from_secs(1)), ..good() },
    ] {
        assert_eq!(bench.findings(), NOTHING);
    }
}

#[test]
fn a_good_responder_passes_and_a_leaf_does_not() {
    assert_eq!(bent(|_| {}), NOTHING);
    let tbs = tbs_of(&world::p384(), &subject(), |_| {});
    let (issuer, key) = (world::intermediate(&world::p256()), world::p384());
    let rules = ResponderRules { issuer: &issuer, public_key: &key, lifetime_max: DAY * 21, now: now() };
    let linting_certificate = linting(tbs.certificate().der());
    let linted = lint::ocsp_responder(tbs, linting_certificate.clone(), &rules).unwrap();
    assert_eq!(linted.linting_certificate(), linting_certificate);
    let leaf = world::Bench::private(crate::lint::Kind::WithoutCt);
    let fired = judged(leaf.tbs().der(), &linting(leaf.tbs().der()), &world::p384());
    assert!(fired.contains(&"purpose_is_ocsp_signing_alone") && fired.contains(&"nocheck_is_stated"), "{fired:?}");
}

#[test]
fn what_is_no_answer_is_one_finding() {
    assert_eq!(good().edited(|fields| fields[1] = generalized_time("202611211000Z")), [STRICT_DER], "no seconds");
    assert_eq!(good().edited(|fields| drop(fields.pop())), [STRICT_DER], "no responses");
}
