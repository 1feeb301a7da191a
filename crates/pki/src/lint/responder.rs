//! Lints for certificates of OCSP responders, beside those that they share with leaves.

use std::collections::BTreeSet;

use const_oid::ObjectIdentifier;
use der::Tag;

use super::{CLOCK_SKEW_MAX, Candidate, Kind, Lint, ResponderRules, Rules, fields, lint, oids, require, rfc5280};
use crate::GeneralName;

/// The table.
pub(super) const LINTS: &[Lint] = &[
    lint!(linting_certificate_is_of_this_responder, "design: linting certificate; BR 4.3.1.2", |_| true),
    lint!(responder_key_is_the_expected, "RFC 6960 §4.2.2.2", |_| true),
    lint!(responder_is_named, "BR 7.1.2.8", |_| true),
    lint!(purpose_is_ocsp_signing_alone, "RFC 6960 §4.2.2.2; BR 7.1.2.8", |_| true),
    lint!(nocheck_is_stated, "RFC 6960 §4.2.2.2.1; BR 4.9.9", |_| true),
    lint!(extensions_are_those_of_a_responder, "BR 7.1.2.8", |_| true),
    lint!(key_usage_is_digital_signature, "RFC 5280 §4.2.1.12; BR 7.1.2.8", |_| true),
    lint!(responder_has_begun, "RFC 5280 §4.1.2.5", |_| true),
    lint!(life_of_a_responder_is_short, "RFC 6960 §4.2.2.2.1", |_| true),
];

/// Lints of RFC 5280 that are about leaves alone.
const FOR_LEAVES: [&str; 2] = ["extensions_are_known", "names_are_stated"];

/// All that a responder's certificate has to keep.
pub(super) fn lints() -> impl Iterator<Item = &'static Lint> {
    LINTS.iter().chain(rfc5280::LINTS.iter().filter(|shared| !FOR_LEAVES.contains(&shared.name)))
}

static NO_NAMES: BTreeSet<GeneralName> = BTreeSet::new();

/// As the rules of a certificate: it is no leaf, has no names and is not logged.
pub(super) const fn rules<'a>(rules: &ResponderRules<'a>) -> Rules<'a> {
    Rules {
        kind: Kind::WithoutCt,
        baseline: false,
        public_names: false,
        issuer: rules.issuer,
        now: rules.now,
        lifetime_max: rules.lifetime_max,
        scts_min: 0,
        names: &NO_NAMES,
        public_key: rules.public_key,
    }
}

const EXTENSIONS: [ObjectIdentifier; 5] = [
    oids::KEY_USAGE,
    oids::EXTENDED_KEY_USAGE,
    oids::SUBJECT_KEY_IDENTIFIER,
    oids::AUTHORITY_KEY_IDENTIFIER,
    oids::OCSP_NOCHECK,
];

fn linting_certificate_is_of_this_responder(c: &Candidate<'_>) -> Result<(), String> {
    require(c.read_tbs == c.tbs, || "the linting certificate is not of exactly the bytes to be signed".to_owned())
}

fn responder_key_is_the_expected(c: &Candidate<'_>) -> Result<(), String> {
    require(c.fields.public_key == c.rules.public_key.spki_der(), || {
        "the SubjectPublicKeyInfo is not, byte for byte, that of the responder".to_owned()
    })
}

fn responder_is_named(c: &Candidate<'_>) -> Result<(), String> {
    let subject = c.certificate.tbs_certificate().subject();
    require(c.common_names().count() == 1 && subject != c.certificate.tbs_certificate().issuer(), || {
        "the subject has no common name, or several, or is the issuer's".to_owned()
    })
}

fn purpose_is_ocsp_signing_alone(c: &Candidate<'_>) -> Result<(), String> {
    require(c.purposes() == [oids::OCSP_SIGNING], || {
        format!("the purposes are {:?}; id-kp-OCSPSigning has to be the only one", c.purposes())
    })
}

fn nocheck_is_stated(c: &Candidate<'_>) -> Result<(), String> {
    let stated = c.extension(oids::OCSP_NOCHECK);
    let null = |value: &[u8]| fields::content(value, Tag::Null).is_ok_and(<[u8]>::is_empty);
    require(stated.is_some_and(|one| !one.critical && null(one.extn_value.as_bytes())), || {
        "there is no id-pkix-ocsp-nocheck that is NULL and not critical".to_owned()
    })
}

fn extensions_are_those_of_a_responder(c: &Candidate<'_>) -> Result<(), String> {
    match c.all_extensions().iter().find(|extension| !EXTENSIONS.contains(&extension.extn_id)) {
        Some(other) => Err(format!("the extension {} is none that a responder may have", other.extn_id)),
        None => Ok(()),
    }
}

fn key_usage_is_digital_signature(c: &Candidate<'_>) -> Result<(), String> {
    let usage = c.extensions.key_usage.as_ref();
    let alone = usage.is_some_and(|usage| usage.digital_signature() && usage.0.into_iter().count() == 1);
    require(alone, || "the key usage is not digitalSignature alone".to_owned())
}

fn responder_has_begun(c: &Candidate<'_>) -> Result<(), String> {
    require(c.not_before.since(c.rules.now) <= CLOCK_SKEW_MAX, || {
        format!("it begins {}, now is {}", c.not_before, c.rules.now)
    })
}

fn life_of_a_responder_is_short(c: &Candidate<'_>) -> Result<(), String> {
    let (life, max) = (c.lifetime_s(), c.rules.lifetime_max.as_secs());
    require(life <= max, || format!("it is valid for {life} s; {max} s is the most"))
}
