//! Lints for CRLs, from RFC 5280 §5 and the Baseline Requirements.

use std::collections::HashSet;

use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};

use super::candidate::timestamp;
use super::{CLOCK_SKEW_MAX, CrlCandidate, CrlLint, fields, lint, oids, require, rfc5280};
use crate::Serial;

/// The table.
pub(super) const LINTS: &[CrlLint] = &[
    lint!(version_is_v2, "RFC 5280 §5.1.2.1"),
    lint!(signature_algorithm_is_known, "RFC 5280 §5.1.2.2; BR 7.1.3.2"),
    lint!(signature_algorithm_has_right_parameters, "RFC 5758 §3.2; RFC 4055 §5; RFC 8410 §3"),
    lint!(signature_algorithm_fits_the_issuers_key, "RFC 5280 §5.1.1.2"),
    lint!(issuer_is_the_issuers_subject, "RFC 5280 §5.1.2.3"),
    lint!(times_are_utc_time_through_2049, "RFC 5280 §5.1.2.4 to §5.1.2.6"),
    lint!(this_update_is_not_in_the_future, "RFC 5280 §5.1.2.4"),
    lint!(next_update_is_stated, "RFC 5280 §5.1.2.5"),
    lint!(next_update_is_after_this_update, "RFC 5280 §5.1.2.5"),
    lint!(next_update_is_soon_enough, "BR 4.9.7, 7.2"),
    lint!(revoked_certificates_are_absent_or_some, "RFC 5280 §5.1.2.6"),
    lint!(serials_are_valid, "RFC 5280 §4.1.2.2, §5.1.2.6"),
    lint!(serials_are_unique, "RFC 5280 §5.1.2.6"),
    lint!(revocations_are_not_in_the_future, "RFC 5280 §5.1.2.6"),
    lint!(reasons_are_permitted, "RFC 5280 §5.3.1; BR 7.2.2"),
    lint!(reasons_are_not_critical, "RFC 5280 §5.3.1"),
    lint!(entries_have_no_other_extension, "RFC 5280 §5.3"),
    lint!(extensions_are_unique, "RFC 5280 §4.2, §5.2"),
    lint!(extensions_are_known, "RFC 5280 §5.2; BR 7.2.2"),
    lint!(extension_values_are_canonical_der, "RFC 5280 §5.2; X.690"),
    lint!(crl_is_canonical_der, "RFC 5280 §5.1; X.690 §10, §11"),
    lint!(authority_key_identifier_is_the_issuers, "RFC 5280 §5.2.1"),
    lint!(authority_key_identifier_is_not_critical, "RFC 5280 §5.2.1"),
    lint!(number_is_stated, "RFC 5280 §5.2.3"),
    lint!(number_is_not_critical, "RFC 5280 §5.2.3"),
    lint!(number_has_at_most_20_octets, "RFC 5280 §5.2.3"),
    lint!(number_is_greater_than_the_predecessors, "RFC 5280 §5.2.3"),
    lint!(this_update_is_not_before_the_predecessors, "RFC 5280 §5.2.3"),
    lint!(distribution_point_is_critical, "RFC 5280 §5.2.5"),
    lint!(distribution_point_is_an_http_url, "RFC 5280 §5.2.5; BR 7.2.2.1"),
    lint!(distribution_point_has_a_plain_scope, "RFC 5280 §5.2.5; BR 7.2.2.1"),
    lint!(distribution_point_is_the_predecessors, "RFC 5280 §5.2.3, §5.2.5"),
    lint!(no_entry_vanished_before_its_time, "RFC 5280 §3.3"),
];

const DAY_S: u64 = 86_400;
/// Of a CRL about certificates of subscribers.
const NEXT_UPDATE_S_MAX: u64 = 10 * DAY_S;
/// Of a CRL about authorities: twelve months.
const NEXT_UPDATE_S_MAX_OF_ROOT: u64 = 365 * DAY_S;

/// unspecified is said by silence; certificateHold is forbidden (BR 4.9.13); 7 was never assigned; removeFromCRL
/// is for delta CRLs.
const REASONS_FORBIDDEN: [u8; 4] = [0, 6, 7, 8];

fn version_is_v2(c: &CrlCandidate<'_>) -> Result<(), String> {
    require(c.version == Some(1), || format!("the version is {:?}; it has to be 1, which is v2", c.version))
}

fn signature_algorithm_is_known(c: &CrlCandidate<'_>) -> Result<(), String> {
    rfc5280::is_known(c.signature.oid)
}

fn signature_algorithm_has_right_parameters(c: &CrlCandidate<'_>) -> Result<(), String> {
    rfc5280::has_right_parameters(&c.signature)
}

fn signature_algorithm_fits_the_issuers_key(c: &CrlCandidate<'_>) -> Result<(), String> {
    rfc5280::fits_key(c.signature.oid, c.rules.issuer.public_key().kind())
}

fn issuer_is_the_issuers_subject(c: &CrlCandidate<'_>) -> Result<(), String> {
    require(c.issuer == c.rules.issuer.subject().der(), || {
        "the issuer is not, byte for byte, the subject of the issuer's certificate".to_owned()
    })
}

fn times_are_utc_time_through_2049(c: &CrlCandidate<'_>) -> Result<(), String> {
    let updates = [Some(c.updates.0), c.updates.1];
    let revocations = c.entries().iter().map(|entry| entry.revoked_at);
    updates.into_iter().flatten().chain(revocations).try_for_each(rfc5280::is_utc_time_through_2049)
}

fn this_update_is_not_in_the_future(c: &CrlCandidate<'_>) -> Result<(), String> {
    let this_update = c.this_update;
    require(this_update <= c.rules.now, || format!("thisUpdate is {this_update}, now is {}", c.rules.now))
}

fn next_update_is_stated(c: &CrlCandidate<'_>) -> Result<(), String> {
    require(c.next_update.is_some(), || "there is no nextUpdate".to_owned())
}

fn next_update_is_after_this_update(c: &CrlCandidate<'_>) -> Result<(), String> {
    let this_update = c.this_update;
    match c.next_update {
        Some(next) if next <= this_update => Err(format!("nextUpdate {next} is not after thisUpdate {this_update}")),
        Some(_) | None => Ok(()),
    }
}

fn next_update_is_soon_enough(c: &CrlCandidate<'_>) -> Result<(), String> {
    let is_root = c.rules.issuer.subject() == c.rules.issuer.issuer();
    let max = if is_root { NEXT_UPDATE_S_MAX_OF_ROOT } else { NEXT_UPDATE_S_MAX };
    match c.next_update.map(|next| next.since(c.this_update).as_secs()) {
        Some(seconds) if seconds > max => {
            Err(format!("nextUpdate is {seconds} s after thisUpdate; {max} s is the most"))
        }
        Some(_) | None => Ok(()),
    }
}

fn revoked_certificates_are_absent_or_some(c: &CrlCandidate<'_>) -> Result<(), String> {
    require(c.entries.as_ref().is_none_or(|entries| !entries.is_empty()), || {
        "revokedCertificates stand there empty; without any they have to be absent".to_owned()
    })
}

fn serials_are_valid(c: &CrlCandidate<'_>) -> Result<(), String> {
    for entry in c.entries() {
        rfc5280::is_positive(entry.serial)?;
        let octets = entry.serial.len();
        require(octets <= 20, || format!("the serial {:02x?} has {octets} octets; 20 are the most", entry.serial))?;
    }
    Ok(())
}

fn serials_are_unique(c: &CrlCandidate<'_>) -> Result<(), String> {
    let entries = c.entries();
    if entries.is_sorted_by(|a, b| (a.serial.len(), a.serial) < (b.serial.len(), b.serial)) {
        return Ok(());
    }
    let mut seen = HashSet::with_capacity(entries.len());
    match entries.iter().find(|entry| !seen.insert(entry.serial)) {
        Some(twice) => Err(format!("the serial {:02x?} stands there twice", twice.serial)),
        None => Ok(()),
    }
}

fn revocations_are_not_in_the_future(c: &CrlCandidate<'_>) -> Result<(), String> {
    let latest = c.rules.now.plus(CLOCK_SKEW_MAX);
    match c.entries().iter().find(|entry| timestamp(entry.revoked_at).is_ok_and(|revoked_at| revoked_at > latest)) {
        Some(entry) => Err(format!("{:02x?} is revoked at {}, now is {}", entry.serial, entry.revoked_at, c.rules.now)),
        None => Ok(()),
    }
}

fn reasons_are_permitted(c: &CrlCandidate<'_>) -> Result<(), String> {
    for entry in c.entries() {
        if let Some(code) = entry.reason.as_ref().map(|reason| reason.code)
            && REASONS_FORBIDDEN.contains(&code)
        {
            return Err(format!(
                "{:02x?} has the reason {code}; 0 has to be left out, 6, 7 and 8 never stand",
                entry.serial
            ));
        }
    }
    Ok(())
}

fn reasons_are_not_critical(c: &CrlCandidate<'_>) -> Result<(), String> {
    match c.entries().iter().find(|entry| entry.reason.as_ref().is_some_and(|reason| reason.critical)) {
        Some(entry) => Err(format!("the reason of {:02x?} is critical; it has to be non-critical", entry.serial)),
        None => Ok(()),
    }
}

fn entries_have_no_other_extension(c: &CrlCandidate<'_>) -> Result<(), String> {
    let found = c.entries().iter().find_map(|entry| entry.other_extension.map(|id| (entry.serial, id)));
    match found {
        Some((serial, id)) => Err(format!("{serial:02x?} has the extension {id}; one reason code is all it may have")),
        None => Ok(()),
    }
}

fn extensions_are_unique(c: &CrlCandidate<'_>) -> Result<(), String> {
    let twice = c.extensions.iter().enumerate().find(|(position, extension)| {
        c.extensions[..*position].iter().any(|earlier| earlier.extn_id == extension.extn_id)
    });
    match twice {
        Some((_, extension)) => Err(format!("the extension {} stands there twice", extension.extn_id)),
        None => Ok(()),
    }
}

fn extensions_are_known(c: &CrlCandidate<'_>) -> Result<(), String> {
    let known = [oids::AUTHORITY_KEY_IDENTIFIER, oids::CRL_NUMBER, oids::ISSUING_DISTRIBUTION_POINT];
    match c.extensions.iter().find(|extension| !known.contains(&extension.extn_id)) {
        Some(other) => Err(format!("the extension {} is none that a CRL may have", other.extn_id)),
        None => Ok(()),
    }
}

fn extension_values_are_canonical_der(c: &CrlCandidate<'_>) -> Result<(), String> {
    match c.undecodable.first() {
        Some(id) => Err(format!("the value of extension {id} is no DER of what it has to be")),
        None => Ok(()),
    }
}

fn crl_is_canonical_der(c: &CrlCandidate<'_>) -> Result<(), String> {
    require(c.is_canonical, || "encoded anew, the CRL is other bytes, so that it is no DER".to_owned())
}

fn authority_key_identifier_is_the_issuers(c: &CrlCandidate<'_>) -> Result<(), String> {
    let aki = c.authority_key_identifier.as_ref();
    let stated = aki.and_then(|aki| aki.key_identifier.as_ref());
    let alone = aki.is_some_and(|a| a.authority_cert_issuer.is_none() && a.authority_cert_serial_number.is_none());
    let issuers = c.rules.issuer.key_identifier();
    let equal = stated.is_some_and(|stated| issuers.is_some_and(|issuers| stated.as_bytes() == issuers));
    require(alone && equal, || {
        "the authority key identifier is not the issuer's subject key identifier alone".to_owned()
    })
}

fn is_not_critical(c: &CrlCandidate<'_>, id: const_oid::ObjectIdentifier) -> Result<(), String> {
    require(c.extension(id).is_none_or(|extension| !extension.critical), || {
        format!("the extension {id} is critical; it has to be non-critical")
    })
}

fn authority_key_identifier_is_not_critical(c: &CrlCandidate<'_>) -> Result<(), String> {
    is_not_critical(c, oids::AUTHORITY_KEY_IDENTIFIER)
}

fn number_is_stated(c: &CrlCandidate<'_>) -> Result<(), String> {
    require(c.number.is_some(), || "there is no readable CRL number".to_owned())
}

fn number_is_not_critical(c: &CrlCandidate<'_>) -> Result<(), String> {
    is_not_critical(c, oids::CRL_NUMBER)
}

fn number_has_at_most_20_octets(c: &CrlCandidate<'_>) -> Result<(), String> {
    // The sign octet counts.
    let octets = c.number.as_ref().map_or(0, |n| n.len() + usize::from(n.first().is_some_and(|o| o & 0x80 != 0)));
    require(octets <= 20, || format!("the CRL number has {octets} octets; 20 are the most"))
}

fn number_is_greater_than_the_predecessors(c: &CrlCandidate<'_>) -> Result<(), String> {
    let (Some(previous), Some(octets)) = (c.rules.previous, &c.number) else {
        return Ok(());
    };
    let number = octets
        .iter()
        .try_fold(0u64, |number, octet| number.checked_mul(256).map(|shifted| shifted + u64::from(*octet)));
    // What does not fit is greater than any number that fits.
    require(number.is_none_or(|number| number > previous.number()), || {
        format!("the CRL number is {number:?}, that of the predecessor {}; it has to grow", previous.number())
    })
}

fn this_update_is_not_before_the_predecessors(c: &CrlCandidate<'_>) -> Result<(), String> {
    match c.rules.previous.map(crate::Crl::this_update) {
        Some(previous) if c.this_update < previous => {
            Err(format!("thisUpdate is {}, that of the predecessor {previous}", c.this_update))
        }
        Some(_) | None => Ok(()),
    }
}

fn distribution_point_is_critical(c: &CrlCandidate<'_>) -> Result<(), String> {
    require(c.extension(oids::ISSUING_DISTRIBUTION_POINT).is_none_or(|extension| extension.critical), || {
        "the issuing distribution point is not critical, so that clients would take a part for the whole".to_owned()
    })
}

/// The one location of the issuing distribution point.
fn location<'c>(c: &'c CrlCandidate<'_>) -> Option<&'c str> {
    match c.distribution_point.as_ref()?.distribution_point.as_ref()? {
        DistributionPointName::FullName(names) => match names.as_slice() {
            [GeneralName::UniformResourceIdentifier(uri)] => Some(uri.as_str()),
            _ => None,
        },
        DistributionPointName::NameRelativeToCRLIssuer(_) => None,
    }
}

fn distribution_point_is_an_http_url(c: &CrlCandidate<'_>) -> Result<(), String> {
    if c.distribution_point.is_none() {
        return Ok(());
    }
    match location(c) {
        Some(uri) if uri.starts_with("http://") => rfc5280::is_url_with_a_host(uri),
        Some(other) => Err(format!("the issuing distribution point is {other:?}; it has to be an http URL")),
        None => Err("the issuing distribution point is not one full name that is a URI".to_owned()),
    }
}

fn distribution_point_has_a_plain_scope(c: &CrlCandidate<'_>) -> Result<(), String> {
    let Some(point) = &c.distribution_point else {
        return Ok(());
    };
    let both = point.only_contains_user_certs && point.only_contains_ca_certs;
    let partial = point.only_some_reasons.is_some() || point.indirect_crl || point.only_contains_attribute_certs;
    require(!both && !partial, || {
        "the issuing distribution point may say user certificates or CA certificates, and nothing else".to_owned()
    })
}

fn distribution_point_is_the_predecessors(c: &CrlCandidate<'_>) -> Result<(), String> {
    let Some(previous) = c.rules.previous else {
        return Ok(());
    };
    // The whole scope counts, not the URL alone: it is compared as it is encoded.
    let ours = c.extension(oids::ISSUING_DISTRIBUTION_POINT).map(|point| point.extn_value.as_bytes().to_vec());
    let theirs = fields::crl_extensions(previous.tbs().der())
        .map_err(|error| format!("the predecessor can't be read: {error}"))?
        .into_iter()
        .find(|extension| extension.extn_id == oids::ISSUING_DISTRIBUTION_POINT)
        .map(|point| point.extn_value.into_bytes().into_vec());
    require(ours == theirs, || {
        "the issuing distribution point is not that of the predecessor, so that the two have different scopes"
            .to_owned()
    })
}

fn no_entry_vanished_before_its_time(c: &CrlCandidate<'_>) -> Result<(), String> {
    let Some(previous) = c.rules.previous else {
        return Ok(());
    };
    let present: HashSet<Serial> =
        c.entries().iter().filter_map(|entry| Serial::from_der_integer(entry.serial)).collect();
    let vanished = previous
        .entries()
        .iter()
        .map(|entry| entry.serial)
        .find(|serial| !present.contains(serial) && !c.rules.expired.contains(serial));
    match vanished {
        Some(serial) => Err(format!("{serial} stood in the predecessor and its certificate has not yet expired")),
        None => Ok(()),
    }
}
