//! Lints for OCSP answers, from RFC 6960, its profile RFC 5019, and the Baseline Requirements.

use std::time::Duration;

use super::{OcspCandidate, OcspLint, lint_ocsp as lint, require};
use crate::ocsp::{CertStatus, IssuerIdentity, ResponderId, SingleResponse};
use crate::{Reason, Timestamp};

/// The table.
pub(super) const LINTS: &[OcspLint] = &[
    lint!(version_is_said_by_silence, "RFC 6960 §4.2.1; X.690 §11.5"),
    lint!(responder_is_named_by_its_key, "RFC 6960 §4.2.1, §4.2.2.3"),
    lint!(produced_at_is_not_in_the_future, "RFC 6960 §2.4"),
    lint!(one_certificate_is_answered_for, "RFC 5019 §2.2.1"),
    lint!(cert_id_is_of_the_issuer, "RFC 6960 §4.1.1"),
    lint!(serial_is_valid, "RFC 5280 §4.1.2.2"),
    lint!(status_is_good_or_revoked, "RFC 5019 §2.2.3"),
    lint!(revocation_is_not_after_this_update, "RFC 6960 §2.4"),
    lint!(reason_is_permitted, "RFC 6960 §4.2.1; BR 7.2.2"),
    lint!(this_update_is_not_after_produced_at, "RFC 6960 §2.4"),
    lint!(next_update_is_stated, "RFC 5019 §2.2.4"),
    lint!(validity_is_within_the_baseline, "BR 4.9.10"),
    lint!(answer_ends_within_the_responders_validity, "RFC 6960 §4.2.2.2"),
    lint!(nonce_is_the_requests, "RFC 9654 §2.1"),
    lint!(extensions_are_known, "RFC 6960 §4.4; RFC 5019 §2.2.1"),
    lint!(single_response_has_no_extension, "RFC 5019 §2.2.1"),
];

/// From `thisUpdate` to `nextUpdate`, both included, there are at least eight hours (BR 4.9.10).
pub const VALIDITY_MIN: Duration = Duration::from_secs(8 * 3_600);
/// BR 4.9.10: at most ten days.
const VALIDITY_MAX: Duration = Duration::from_secs(10 * 86_400);

/// What is said of the certificate: where there are more, a lint of its own fires.
fn single<'c, 'a>(c: &'c OcspCandidate<'a>) -> Option<&'c SingleResponse<'a>> {
    c.data.responses.first()
}

fn each(c: &OcspCandidate<'_>, rule: impl Fn(&SingleResponse<'_>) -> Result<(), String>) -> Result<(), String> {
    single(c).map_or(Ok(()), rule)
}

fn version_is_said_by_silence(c: &OcspCandidate<'_>) -> Result<(), String> {
    require(!c.data.states_version, || "the version is stated; v1 is the default, which DER leaves out".to_owned())
}

fn responder_is_named_by_its_key(c: &OcspCandidate<'_>) -> Result<(), String> {
    let key = c.rules.responder.public_key().key_identifier();
    require(matches!(&c.data.responder, ResponderId::ByKey(named) if *named == key), || {
        "the responder is not named by the SHA-1 of the key that is to sign".to_owned()
    })
}

fn produced_at_is_not_in_the_future(c: &OcspCandidate<'_>) -> Result<(), String> {
    let produced_at = c.data.produced_at;
    require(produced_at <= c.rules.now, || format!("producedAt is {produced_at}, now is {}", c.rules.now))
}

fn one_certificate_is_answered_for(c: &OcspCandidate<'_>) -> Result<(), String> {
    let answers = c.data.responses.len();
    require(answers == 1, || format!("{answers} certificates are answered for; one has to be"))
}

fn cert_id_is_of_the_issuer(c: &OcspCandidate<'_>) -> Result<(), String> {
    let issuer = IssuerIdentity::of(c.rules.issuer);
    each(c, |single| {
        require(issuer.is_named_by(&single.cert_id), || {
            "the hashes of the CertID are not those of the issuer's name and key, in SHA-1 or SHA-256".to_owned()
        })
    })
}

fn serial_is_valid(c: &OcspCandidate<'_>) -> Result<(), String> {
    each(c, |single| {
        require(single.cert_id.serial.is_some(), || {
            "the serial is not a positive integer of at most 20 octets".to_owned()
        })
    })
}

fn status_is_good_or_revoked(c: &OcspCandidate<'_>) -> Result<(), String> {
    each(c, |single| require(single.status.is_some(), || "the status is unknown; no answer is given then".to_owned()))
}

fn revocation(single: &SingleResponse<'_>) -> Option<(Timestamp, Reason)> {
    match single.status {
        Some(CertStatus::Revoked { at, reason }) => Some((at, reason)),
        Some(CertStatus::Good) | None => None,
    }
}

fn revocation_is_not_after_this_update(c: &OcspCandidate<'_>) -> Result<(), String> {
    each(c, |single| match revocation(single) {
        Some((at, _)) if at > single.this_update => {
            Err(format!("revocationTime {at} is after thisUpdate {}", single.this_update))
        }
        Some(_) | None => Ok(()),
    })
}

fn reason_is_permitted(c: &OcspCandidate<'_>) -> Result<(), String> {
    each(c, |single| match revocation(single) {
        Some((_, Reason::Unspecified)) if single.states_reason => {
            Err("the reason unspecified is stated; it has to be left out".to_owned())
        }
        Some((_, reason @ (Reason::CertificateHold | Reason::RemoveFromCrl))) => {
            Err(format!("the reason is {reason}, which no certificate is revoked for"))
        }
        Some(_) | None => Ok(()),
    })
}

fn this_update_is_not_after_produced_at(c: &OcspCandidate<'_>) -> Result<(), String> {
    each(c, |single| {
        require(single.this_update <= c.data.produced_at, || {
            format!("thisUpdate {} is after producedAt {}", single.this_update, c.data.produced_at)
        })
    })
}

fn next_update_is_stated(c: &OcspCandidate<'_>) -> Result<(), String> {
    each(c, |single| require(single.next_update.is_some(), || "there is no nextUpdate".to_owned()))
}

fn validity_is_within_the_baseline(c: &OcspCandidate<'_>) -> Result<(), String> {
    each(c, |single| {
        let Some(next) = single.next_update else { return Ok(()) };
        // Both ends are inside it.
        let validity = if next < single.this_update {
            Duration::ZERO
        } else {
            next.since(single.this_update) + Duration::from_secs(1)
        };
        require((VALIDITY_MIN..=VALIDITY_MAX).contains(&validity), || {
            format!("it is valid for {} s; 8 hours are the least, 10 days the most", validity.as_secs())
        })
    })
}

fn answer_ends_within_the_responders_validity(c: &OcspCandidate<'_>) -> Result<(), String> {
    let validity = c.rules.responder.validity();
    // No responder outlives its issuer, and no answer may be shorter than this: one is longer than both, then, and ends
    // with them for whoever verifies it.
    let is_issuers_last = validity.not_after == c.rules.issuer.validity().not_after;
    let latest = |single: &SingleResponse<'_>| {
        let least = single.this_update.plus(VALIDITY_MIN).minus(Duration::from_secs(1));
        if is_issuers_last { validity.not_after.max(least) } else { validity.not_after }
    };
    each(c, |single| {
        let within = validity.not_before <= c.data.produced_at
            && c.data.produced_at <= validity.not_after
            && single.next_update.is_none_or(|next| next <= latest(single));
        require(within, || {
            format!(
                "it is made or ends outside of the responder's certificate, {} to {}",
                validity.not_before, validity.not_after
            )
        })
    })
}

fn nonce_is_the_requests(c: &OcspCandidate<'_>) -> Result<(), String> {
    require(c.data.nonce == c.rules.nonce, || "the nonce is not what was asked for".to_owned())
}

fn extensions_are_known(c: &OcspCandidate<'_>) -> Result<(), String> {
    require(!c.data.has_other_extensions, || "it has another extension than a nonce".to_owned())
}

fn single_response_has_no_extension(c: &OcspCandidate<'_>) -> Result<(), String> {
    each(c, |single| require(!single.has_extensions, || "the SingleResponse has an extension".to_owned()))
}
