//! Lints from RFC 6962, Certificate Transparency.

use der::{Decode, asn1::Null};

use super::{CLOCK_SKEW_MAX, Candidate, Kind, Lint, lint, oids, require};

// RFC 5246 §7.4.1.4.1, as RFC 6962 §2.1.4 allows them.
const HASH_SHA256: u8 = 4;
const SIGNATURE_RSA: u8 = 1;
const SIGNATURE_ECDSA: u8 = 3;

/// The table.
pub(super) const LINTS: &[Lint] = &[
    lint!(precertificate_has_the_poison, "RFC 6962 §3.1", |c| c.rules.kind == Kind::Precertificate),
    lint!(only_a_precertificate_has_the_poison, "RFC 6962 §3.1", |c| c.rules.kind != Kind::Precertificate),
    lint!(poison_is_critical, "RFC 6962 §3.1", has_poison),
    lint!(poison_is_null, "RFC 6962 §3.1", has_poison),
    lint!(final_certificate_has_enough_scts, "RFC 6962 §3.3; Chrome CT policy", is_final),
    lint!(only_a_final_certificate_has_scts, "RFC 6962 §3.3", |c| !is_final(c)),
    lint!(poison_and_scts_never_meet, "RFC 6962 §3.1, §3.3", has_poison),
    lint!(sct_list_is_not_critical, "RFC 6962 §3.3", |c| c.extension(oids::SCT_LIST).is_some()),
    lint!(sct_list_is_readable, "RFC 6962 §3.3", |c| c.extension(oids::SCT_LIST).is_some()),
    lint!(scts_are_of_distinct_logs, "RFC 6962 §3.3; Chrome CT policy", has_scts),
    lint!(scts_are_not_of_the_future, "RFC 6962 §3.2, §5.2", has_scts),
    lint!(scts_are_older_than_the_end_of_the_certificate, "RFC 6962 §3.2", has_scts),
    lint!(scts_are_signed_by_allowed_algorithms, "RFC 6962 §2.1.4", has_scts),
];

fn has_poison(c: &Candidate<'_>) -> bool {
    c.extension(oids::POISON).is_some()
}

fn is_final(c: &Candidate<'_>) -> bool {
    c.rules.kind == Kind::Final
}

fn has_scts(c: &Candidate<'_>) -> bool {
    !c.scts().is_empty()
}

fn precertificate_has_the_poison(c: &Candidate<'_>) -> Result<(), String> {
    require(has_poison(c), || "a precertificate without poison is a certificate".to_owned())
}

fn only_a_precertificate_has_the_poison(c: &Candidate<'_>) -> Result<(), String> {
    require(!has_poison(c), || "a certificate with the poison can be used by nobody".to_owned())
}

fn poison_is_critical(c: &Candidate<'_>) -> Result<(), String> {
    require(c.is_critical(oids::POISON), || "the poison is not critical, so that clients would pass over it".to_owned())
}

fn poison_is_null(c: &Candidate<'_>) -> Result<(), String> {
    let value = c.extension(oids::POISON).map(|poison| poison.extn_value.as_bytes());
    require(value.is_some_and(|value| Null::from_der(value).is_ok()), || {
        format!("the poison holds {value:02x?}; it has to hold NULL, 05 00")
    })
}

fn final_certificate_has_enough_scts(c: &Candidate<'_>) -> Result<(), String> {
    let (count, min) = (c.scts().len(), c.rules.scts_min);
    require(count >= min, || format!("{count} SCTs, of at least {min}"))
}

fn only_a_final_certificate_has_scts(c: &Candidate<'_>) -> Result<(), String> {
    require(c.extension(oids::SCT_LIST).is_none(), || "has an SCT list but is no final certificate".to_owned())
}

fn poison_and_scts_never_meet(c: &Candidate<'_>) -> Result<(), String> {
    require(c.extension(oids::SCT_LIST).is_none(), || "has both the poison and an SCT list".to_owned())
}

fn sct_list_is_not_critical(c: &Candidate<'_>) -> Result<(), String> {
    require(!c.is_critical(oids::SCT_LIST), || "the SCT list is critical; it has to be non-critical".to_owned())
}

fn sct_list_is_readable(c: &Candidate<'_>) -> Result<(), String> {
    require(has_scts(c), || "the SCT list is no OCTET STRING that holds a TLS list of at least one SCT".to_owned())
}

fn scts_are_of_distinct_logs(c: &Candidate<'_>) -> Result<(), String> {
    let scts = c.scts();
    let twice =
        scts.iter().enumerate().find(|(position, sct)| scts[..*position].iter().any(|s| s.log_id == sct.log_id));
    match twice {
        Some((_, sct)) => Err(format!("log {} has two SCTs here; each log counts once", sct.log_id)),
        None => Ok(()),
    }
}

fn scts_are_not_of_the_future(c: &Candidate<'_>) -> Result<(), String> {
    let latest = c.rules.now.plus(CLOCK_SKEW_MAX);
    match c.scts().iter().find(|sct| sct.timestamp > latest) {
        Some(sct) => Err(format!("the SCT of log {} is of {}, now is {}", sct.log_id, sct.timestamp, c.rules.now)),
        None => Ok(()),
    }
}

fn scts_are_older_than_the_end_of_the_certificate(c: &Candidate<'_>) -> Result<(), String> {
    match c.scts().iter().find(|sct| sct.timestamp > c.not_after) {
        Some(sct) => {
            Err(format!("the SCT of log {} is of {}, the certificate ends {}", sct.log_id, sct.timestamp, c.not_after))
        }
        None => Ok(()),
    }
}

fn scts_are_signed_by_allowed_algorithms(c: &Candidate<'_>) -> Result<(), String> {
    let allowed =
        |hash: u8, algorithm: u8| hash == HASH_SHA256 && [SIGNATURE_RSA, SIGNATURE_ECDSA].contains(&algorithm);
    match c.scts().iter().find(|sct| !allowed(sct.signature.hash, sct.signature.algorithm)) {
        Some(sct) => Err(format!(
            "the SCT of log {} is signed by hash {} and algorithm {}; SHA-256 (4) with RSA (1) or ECDSA (3) is allowed",
            sct.log_id, sct.signature.hash, sct.signature.algorithm
        )),
        None => Ok(()),
    }
}
