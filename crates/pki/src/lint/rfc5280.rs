//! Lints from RFC 5280, the profile of certificates, with the documents that it leans on for algorithms and DER, and
//! where it leaves a choice, with what the CA's own profiles (`design`) have chosen.

use const_oid::ObjectIdentifier;
use der::{Tag, Tagged};
use x509_cert::Version;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::time::Time;

use super::{Candidate, Lint, fields, lint, names, oids, require};
use crate::KeyKind;

/// The table.
pub(super) const LINTS: &[Lint] = &[
    lint!(version_is_v3, "RFC 5280 §4.1.2.1", |_| true),
    lint!(serial_is_positive, "RFC 5280 §4.1.2.2", |_| true),
    lint!(serial_has_at_most_20_octets, "RFC 5280 §4.1.2.2", |_| true),
    lint!(signature_algorithms_are_equal, "RFC 5280 §4.1.1.2", |_| true),
    lint!(signature_algorithm_is_known, "RFC 5758 §3.2; RFC 4055 §5; RFC 8410 §3", |_| true),
    lint!(signature_algorithm_has_right_parameters, "RFC 5758 §3.2; RFC 4055 §5; RFC 8410 §3", |_| true),
    lint!(signature_algorithm_fits_the_issuers_key, "RFC 5280 §4.1.1.2", |_| true),
    lint!(issuer_is_the_issuers_subject, "RFC 5280 §4.1.2.4", |_| true),
    lint!(times_are_utc_time_through_2049, "RFC 5280 §4.1.2.5", |_| true),
    lint!(validity_ends_after_it_begins, "RFC 5280 §4.1.2.5", |_| true),
    lint!(not_before_is_within_the_issuers, "RFC 5280 §6.1.3; design: a leaf within its issuer", |_| true),
    lint!(not_after_is_within_the_issuers, "RFC 5280 §6.1.3; design: a leaf within its issuer", |_| true),
    lint!(unique_identifiers_are_absent, "RFC 5280 §4.1.2.8", |_| true),
    lint!(common_name_has_at_most_64_characters, "RFC 5280 appendix A.1", has_common_name),
    lint!(common_name_is_utf8_or_printable_string, "RFC 5280 §4.1.2.4, §4.1.2.6", |_| true),
    lint!(names_are_critical_under_an_empty_subject, "RFC 5280 §4.2.1.6", |c| subject_is_empty(c)),
    lint!(names_are_not_critical_beside_a_subject, "RFC 5280 §4.2.1.6", |c| !subject_is_empty(c)),
    lint!(extensions_are_unique, "RFC 5280 §4.2", |_| true),
    lint!(extensions_are_known, "RFC 5280 §4.2; design: certificate profile", |_| true),
    lint!(extension_values_are_strict_der, "RFC 5280 §4.2; X.690", |_| true),
    lint!(certificate_is_canonical_der, "RFC 5280 §4.1; X.690 §10, §11", |_| true),
    lint!(extension_values_are_canonical_der, "RFC 5280 §4.2; X.690 §10, §11", |_| true),
    lint!(authority_key_identifier_is_not_critical, "RFC 5280 §4.2.1.1", |_| true),
    lint!(authority_key_identifier_is_the_issuers, "RFC 5280 §4.2.1.1", |_| true),
    lint!(authority_key_identifier_is_by_key_alone, "RFC 5280 §4.2.1.1; BR 7.1.2.11.1", |_| true),
    lint!(subject_key_identifier_is_not_critical, "RFC 5280 §4.2.1.2", |_| true),
    lint!(subject_key_identifier_is_of_the_key, "RFC 5280 §4.2.1.2 method 1", has_subject_key_identifier),
    lint!(key_usage_is_stated, "design: certificate profile", |_| true),
    lint!(key_usage_is_critical, "RFC 5280 §4.2.1.3", has_key_usage),
    lint!(key_usage_bits_are_trimmed, "RFC 5280 §4.2.1.3; X.690 §11.2.2", has_key_usage),
    lint!(key_usage_is_no_authoritys, "RFC 5280 §4.2.1.3", has_key_usage),
    lint!(key_usage_fits_the_key, "RFC 8813 §3; RFC 8410 §5", has_key_usage),
    lint!(certificate_policies_are_not_critical, "RFC 5280 §4.2.1.4; BR 7.1.2.7.6", |_| true),
    lint!(names_are_stated, "RFC 5280 §4.2.1.6", |_| true),
    lint!(names_are_dns_names_or_addresses, "RFC 8555 §7.4; RFC 8738 §3", |_| true),
    lint!(dns_names_are_host_names, "RFC 5280 §4.2.1.6; RFC 1123 §2.1", |_| true),
    lint!(dns_names_are_lower_case, "design: the same names, the same bytes", |_| true),
    lint!(wildcard_is_the_left_most_label, "RFC 9525 §6.3; BR 3.2.2.6", |_| true),
    lint!(names_are_sorted, "design: the same names, the same bytes", |_| true),
    lint!(names_have_no_duplicates, "design: the same names, the same bytes", |_| true),
    lint!(addresses_have_4_or_16_octets, "RFC 5280 §4.2.1.6", |_| true),
    lint!(addresses_are_not_ipv4_in_ipv6, "RFC 8738 §3", |_| true),
    lint!(certificate_is_no_authority, "RFC 5280 §4.2.1.9", |_| true),
    lint!(purposes_are_not_critical, "RFC 5280 §4.2.1.12; BR 7.1.2.7.6", |_| true),
    lint!(purposes_are_stated, "design: certificate profile; BR 7.1.2.7.6", |_| true),
    lint!(purposes_are_not_any, "RFC 5280 §4.2.1.12", |_| true),
    lint!(purposes_have_no_duplicates, "RFC 5280 §4.2.1.12", |_| true),
    lint!(crl_distribution_points_are_not_critical, "RFC 5280 §4.2.1.13", |_| true),
    lint!(crl_distribution_point_is_one_full_name, "RFC 5280 §4.2.1.13", has_crl_distribution_points),
    lint!(authority_information_access_is_not_critical, "RFC 5280 §4.2.2.1", |_| true),
    lint!(access_methods_are_known, "RFC 5280 §4.2.2.1", |_| true),
    lint!(access_methods_have_one_location_each, "design: certificate profile", |_| true),
    lint!(locations_are_urls_with_a_host, "RFC 5280 §4.2.1.13, §4.2.2.1", |_| true),
    lint!(tls_feature_is_not_critical, "RFC 7633 §4", |_| true),
    lint!(tls_feature_is_status_request, "RFC 7633 §4.1; design: certificate profile", has_tls_feature),
    lint!(must_staple_names_a_responder, "RFC 7633 §4.2.3", has_tls_feature),
];

const LEAF_EXTENSIONS: [ObjectIdentifier; 12] = [
    oids::AUTHORITY_KEY_IDENTIFIER,
    oids::SUBJECT_KEY_IDENTIFIER,
    oids::KEY_USAGE,
    oids::CERTIFICATE_POLICIES,
    oids::SUBJECT_ALT_NAME,
    oids::BASIC_CONSTRAINTS,
    oids::EXTENDED_KEY_USAGE,
    oids::CRL_DISTRIBUTION_POINTS,
    oids::AUTHORITY_INFO_ACCESS,
    oids::TLS_FEATURE,
    oids::SCT_LIST,
    oids::POISON,
];

/// status_request (RFC 6066 §8), the TLS extension whose answer "must-staple" demands.
const STATUS_REQUEST: u64 = 5;

/// ub-common-name.
const COMMON_NAME_CHARACTERS_MAX: usize = 64;

fn subject_is_empty(c: &Candidate<'_>) -> bool {
    c.certificate.tbs_certificate().subject().is_empty()
}

fn has_common_name(c: &Candidate<'_>) -> bool {
    c.common_names().next().is_some()
}

const fn has_key_usage(c: &Candidate<'_>) -> bool {
    c.extensions.key_usage.is_some()
}

const fn has_subject_key_identifier(c: &Candidate<'_>) -> bool {
    c.extensions.subject_key_identifier.is_some()
}

const fn has_crl_distribution_points(c: &Candidate<'_>) -> bool {
    c.extensions.crl_distribution_points.is_some()
}

const fn has_tls_feature(c: &Candidate<'_>) -> bool {
    c.extensions.tls_feature.is_some()
}

fn version_is_v3(c: &Candidate<'_>) -> Result<(), String> {
    let version = c.certificate.tbs_certificate().version();
    require(version == Version::V3, || format!("the version is {version:?}; extensions need v3"))
}

fn serial_is_positive(c: &Candidate<'_>) -> Result<(), String> {
    is_positive(c.serial())
}

pub(super) fn is_positive(serial: &[u8]) -> Result<(), String> {
    let positive = serial.first().is_some_and(|first| first & 0x80 == 0) && serial.iter().any(|octet| *octet != 0);
    require(positive, || format!("the serial {serial:02x?} is negative or zero; it has to be positive"))
}

fn serial_has_at_most_20_octets(c: &Candidate<'_>) -> Result<(), String> {
    let octets = c.serial().len();
    require(octets <= 20, || format!("the serial has {octets} octets; 20 are the most"))
}

fn signature_algorithms_are_equal(c: &Candidate<'_>) -> Result<(), String> {
    require(c.fields.signature == c.outer_signature_algorithm, || {
        "the algorithm outside the TBSCertificate is not that inside, byte for byte".to_owned()
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Ecdsa,
    Rsa,
    Ed25519,
}

fn family(algorithm: ObjectIdentifier) -> Option<Family> {
    match algorithm {
        oids::ECDSA_SHA1 | oids::ECDSA_SHA256 | oids::ECDSA_SHA384 | oids::ECDSA_SHA512 => Some(Family::Ecdsa),
        oids::RSA_SHA1 | oids::RSA_SHA256 | oids::RSA_SHA384 | oids::RSA_SHA512 => Some(Family::Rsa),
        oids::ED25519 => Some(Family::Ed25519),
        _ => None,
    }
}

fn signature_algorithm_is_known(c: &Candidate<'_>) -> Result<(), String> {
    is_known(c.signature_algorithm())
}

pub(super) fn is_known(algorithm: ObjectIdentifier) -> Result<(), String> {
    let sha1 = [oids::RSA_SHA1, oids::ECDSA_SHA1].contains(&algorithm);
    require(family(algorithm).is_some() && !sha1, || {
        format!("the signature algorithm {algorithm} is none of ECDSA and RSA PKCS#1 with SHA-2, and Ed25519")
    })
}

fn signature_algorithm_has_right_parameters(c: &Candidate<'_>) -> Result<(), String> {
    has_right_parameters(c.certificate.tbs_certificate().signature())
}

pub(super) fn has_right_parameters(algorithm: &spki::AlgorithmIdentifierOwned) -> Result<(), String> {
    match (family(algorithm.oid), &algorithm.parameters) {
        (Some(Family::Rsa), Some(parameters)) if parameters.is_null() => Ok(()),
        (Some(Family::Rsa), _) => Err("the parameters of an RSA signature have to be NULL".to_owned()),
        (Some(Family::Ecdsa | Family::Ed25519), Some(_)) => {
            Err("the parameters of an ECDSA or Ed25519 signature have to be absent".to_owned())
        }
        (Some(Family::Ecdsa | Family::Ed25519), None) | (None, _) => Ok(()),
    }
}

fn signature_algorithm_fits_the_issuers_key(c: &Candidate<'_>) -> Result<(), String> {
    fits_key(c.signature_algorithm(), c.rules.issuer.public_key().kind())
}

pub(super) fn fits_key(algorithm: ObjectIdentifier, issuer: KeyKind) -> Result<(), String> {
    let expected = match issuer {
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => Family::Ecdsa,
        KeyKind::Rsa { .. } => Family::Rsa,
        KeyKind::Ed25519 => Family::Ed25519,
    };
    // An algorithm that nobody knows has a lint of its own.
    require(family(algorithm).is_none_or(|family| family == expected), || {
        format!("the issuer's key is {issuer}, which can't sign by {algorithm}")
    })
}

fn issuer_is_the_issuers_subject(c: &Candidate<'_>) -> Result<(), String> {
    require(c.fields.issuer == c.rules.issuer.subject().der(), || {
        "the issuer is not, byte for byte, the subject of the issuer's certificate".to_owned()
    })
}

fn times_are_utc_time_through_2049(c: &Candidate<'_>) -> Result<(), String> {
    let validity = c.certificate.tbs_certificate().validity();
    is_utc_time_through_2049(validity.not_before)?;
    is_utc_time_through_2049(validity.not_after)
}

pub(super) fn is_utc_time_through_2049(time: Time) -> Result<(), String> {
    match time {
        Time::UtcTime(_) => Ok(()),
        Time::GeneralTime(general) => require(general.to_date_time().year() >= 2050, || {
            format!("{time} is a GeneralizedTime; through 2049 it has to be a UTCTime")
        }),
    }
}

fn validity_ends_after_it_begins(c: &Candidate<'_>) -> Result<(), String> {
    require(c.not_before < c.not_after, || {
        format!("not_before {} is not before not_after {}", c.not_before, c.not_after)
    })
}

fn not_before_is_within_the_issuers(c: &Candidate<'_>) -> Result<(), String> {
    let begin = c.rules.issuer.validity().not_before;
    require(c.not_before >= begin, || format!("begins {}, before its issuer's {begin}", c.not_before))
}

fn not_after_is_within_the_issuers(c: &Candidate<'_>) -> Result<(), String> {
    let end = c.rules.issuer.validity().not_after;
    require(c.not_after <= end, || format!("ends {}, after its issuer's {end}", c.not_after))
}

fn unique_identifiers_are_absent(c: &Candidate<'_>) -> Result<(), String> {
    let tbs = c.certificate.tbs_certificate();
    require(tbs.issuer_unique_id().is_none() && tbs.subject_unique_id().is_none(), || {
        "has a unique identifier of issuer or subject, which CAs must not make".to_owned()
    })
}

fn common_name_has_at_most_64_characters(c: &Candidate<'_>) -> Result<(), String> {
    let longest = c.common_names().map(|name| name.chars().count()).max().unwrap_or(0);
    require(longest <= COMMON_NAME_CHARACTERS_MAX, || {
        format!("the common name has {longest} characters; {COMMON_NAME_CHARACTERS_MAX} are the most")
    })
}

fn common_name_is_utf8_or_printable_string(c: &Candidate<'_>) -> Result<(), String> {
    let subject = c.certificate.tbs_certificate().subject();
    let mut common_names = subject.iter().filter(|attribute| attribute.oid == oids::COMMON_NAME);
    match common_names.find(|name| ![Tag::Utf8String, Tag::PrintableString].contains(&name.value.tag())) {
        Some(other) => {
            Err(format!("the common name is a {}; it has to be a UTF8String or PrintableString", other.value.tag()))
        }
        None => Ok(()),
    }
}

fn names_are_critical_under_an_empty_subject(c: &Candidate<'_>) -> Result<(), String> {
    require(c.is_critical(oids::SUBJECT_ALT_NAME), || {
        "the subject is empty, so the subject alternative names have to be critical".to_owned()
    })
}

fn names_are_not_critical_beside_a_subject(c: &Candidate<'_>) -> Result<(), String> {
    require(!c.is_critical(oids::SUBJECT_ALT_NAME), || {
        "there is a subject, so the subject alternative names have to be non-critical".to_owned()
    })
}

fn extensions_are_unique(c: &Candidate<'_>) -> Result<(), String> {
    let extensions = c.all_extensions();
    let twice = |(position, id): (usize, ObjectIdentifier)| extensions[..position].iter().any(|e| e.extn_id == id);
    match extensions.iter().map(|extension| extension.extn_id).enumerate().find(|entry| twice(*entry)) {
        Some((_, id)) => Err(format!("the extension {id} stands there twice")),
        None => Ok(()),
    }
}

fn extensions_are_known(c: &Candidate<'_>) -> Result<(), String> {
    match c.all_extensions().iter().find(|extension| !LEAF_EXTENSIONS.contains(&extension.extn_id)) {
        Some(unknown) => Err(format!("the extension {} is none that a leaf may have", unknown.extn_id)),
        None => Ok(()),
    }
}

fn extension_values_are_strict_der(c: &Candidate<'_>) -> Result<(), String> {
    match c.extensions.undecodable.first() {
        Some(id) => Err(format!("the strict reader refuses the value of extension {id}")),
        None => Ok(()),
    }
}

fn certificate_is_canonical_der(c: &Candidate<'_>) -> Result<(), String> {
    require(fields::is_encoding_of(&c.certificate, c.linting_certificate), || {
        "encoded anew, the certificate is other bytes, so that it is no DER".to_owned()
    })
}

fn extension_values_are_canonical_der(c: &Candidate<'_>) -> Result<(), String> {
    match c.extensions.not_canonical.first() {
        Some(id) => Err(format!("encoded anew, the value of extension {id} is other bytes, so that it is no DER")),
        None => Ok(()),
    }
}

/// The rule of every extension that must not be critical.
fn is_not_critical(c: &Candidate<'_>, id: ObjectIdentifier) -> Result<(), String> {
    require(!c.is_critical(id), || format!("the extension {id} is critical; it has to be non-critical"))
}

fn authority_key_identifier_is_not_critical(c: &Candidate<'_>) -> Result<(), String> {
    is_not_critical(c, oids::AUTHORITY_KEY_IDENTIFIER)
}

fn authority_key_identifier_is_the_issuers(c: &Candidate<'_>) -> Result<(), String> {
    let stated = c.extensions.authority_key_identifier.as_ref().and_then(|aki| aki.key_identifier.as_ref());
    let issuers = c.rules.issuer.key_identifier();
    require(stated.is_some_and(|stated| issuers.is_some_and(|issuers| stated.as_bytes() == issuers)), || {
        "the authority key identifier is not the subject key identifier of the issuer".to_owned()
    })
}

fn authority_key_identifier_is_by_key_alone(c: &Candidate<'_>) -> Result<(), String> {
    let aki = c.extensions.authority_key_identifier.as_ref();
    let alone = aki.is_none_or(|a| a.authority_cert_issuer.is_none() && a.authority_cert_serial_number.is_none());
    require(alone, || "the authority key identifier names issuer or serial; it may only name the key".to_owned())
}

fn subject_key_identifier_is_not_critical(c: &Candidate<'_>) -> Result<(), String> {
    is_not_critical(c, oids::SUBJECT_KEY_IDENTIFIER)
}

fn subject_key_identifier_is_of_the_key(c: &Candidate<'_>) -> Result<(), String> {
    let stated = c.extensions.subject_key_identifier.as_ref().map(|identifier| identifier.0.as_bytes());
    let of_key = c.public_key.as_ref().map(|key| key.key_identifier());
    require(stated.is_some() && stated == of_key.as_ref().map(<[u8; 20]>::as_slice), || {
        "the subject key identifier is not the SHA-1 of the key's bits".to_owned()
    })
}

fn key_usage_is_stated(c: &Candidate<'_>) -> Result<(), String> {
    require(has_key_usage(c), || "there is no readable key usage".to_owned())
}

fn key_usage_is_critical(c: &Candidate<'_>) -> Result<(), String> {
    require(c.is_critical(oids::KEY_USAGE), || "the key usage is not critical; it has to be".to_owned())
}

fn key_usage_bits_are_trimmed(c: &Candidate<'_>) -> Result<(), String> {
    let encoded = c.extension(oids::KEY_USAGE).map(|usage| usage.extn_value.as_bytes());
    let bits = encoded.and_then(|encoded| fields::content(encoded, Tag::BitString).ok()).unwrap_or_default();
    let trimmed = match bits {
        [unused @ 0..8, .., last] => last >> unused & 1 == 1,
        _ => false,
    };
    require(trimmed, || format!("the key usage {bits:02x?} ends in zero bits, which DER takes away"))
}

fn key_usage_is_no_authoritys(c: &Candidate<'_>) -> Result<(), String> {
    let usage = c.extensions.key_usage;
    require(usage.is_none_or(|usage| !usage.key_cert_sign() && !usage.crl_sign()), || {
        "the key usage has keyCertSign or cRLSign, which only authorities have".to_owned()
    })
}

fn key_usage_fits_the_key(c: &Candidate<'_>) -> Result<(), String> {
    let (Some(usage), Some(key)) = (c.extensions.key_usage, &c.public_key) else {
        return Ok(());
    };
    let enciphers = usage.key_encipherment() || usage.data_encipherment();
    let fits = match key.kind() {
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => !enciphers,
        KeyKind::Rsa { .. } => !usage.key_agreement(),
        KeyKind::Ed25519 => !enciphers && !usage.key_agreement(),
    };
    let only = usage.key_agreement() || (!usage.encipher_only() && !usage.decipher_only());
    require(fits && only, || format!("the key usage has bits for which a {} key can't be used", key.kind()))
}

fn certificate_policies_are_not_critical(c: &Candidate<'_>) -> Result<(), String> {
    is_not_critical(c, oids::CERTIFICATE_POLICIES)
}

fn names_are_stated(c: &Candidate<'_>) -> Result<(), String> {
    require(!c.names().is_empty(), || "there are no readable subject alternative names".to_owned())
}

fn names_are_dns_names_or_addresses(c: &Candidate<'_>) -> Result<(), String> {
    let other = |name: &&GeneralName| !matches!(name, GeneralName::DnsName(_) | GeneralName::IpAddress(_));
    match c.names().iter().find(other) {
        Some(other) => Err(format!("{other:?} is neither a dNSName nor an iPAddress")),
        None => Ok(()),
    }
}

fn dns_names_are_host_names(c: &Candidate<'_>) -> Result<(), String> {
    match c.dns_names().find(|name| !names::is_host_name(name)) {
        Some(other) => Err(format!("{other:?} is no host name: labels of 1 to 63 letters, digits and inner hyphens")),
        None => Ok(()),
    }
}

fn dns_names_are_lower_case(c: &Candidate<'_>) -> Result<(), String> {
    match c.dns_names().find(|name| name.bytes().any(|octet| octet.is_ascii_uppercase())) {
        Some(other) => Err(format!("{other:?} has capital letters")),
        None => Ok(()),
    }
}

fn wildcard_is_the_left_most_label(c: &Candidate<'_>) -> Result<(), String> {
    match c.dns_names().find(|name| names::without_wildcard(name).contains('*')) {
        Some(other) => Err(format!("{other:?} has a wildcard that is not the whole left-most label")),
        None => Ok(()),
    }
}

/// The order in which names are written: DNS names first, a wildcard behind the name that it covers the children of,
/// then addresses, IPv4 first.
fn rank(name: &GeneralName) -> (u8, usize, &[u8], bool) {
    match name {
        GeneralName::DnsName(dns) => {
            let octets = dns.as_bytes();
            let parent = octets.strip_prefix(b"*.");
            (0, 0, parent.unwrap_or(octets), parent.is_some())
        }
        GeneralName::IpAddress(ip) => (1, ip.as_bytes().len(), ip.as_bytes(), false),
        GeneralName::OtherName(_)
        | GeneralName::Rfc822Name(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::UniformResourceIdentifier(_)
        | GeneralName::RegisteredId(_) => (2, 0, &[], false),
    }
}

fn names_are_sorted(c: &Candidate<'_>) -> Result<(), String> {
    require(c.names().is_sorted_by_key(rank), || "the names are not in ascending order".to_owned())
}

fn names_have_no_duplicates(c: &Candidate<'_>) -> Result<(), String> {
    let names = c.names();
    if names.is_sorted_by(|a, b| rank(a) < rank(b)) {
        return Ok(());
    }
    match names.iter().enumerate().find(|(position, name)| names[..*position].contains(name)) {
        Some((_, twice)) => Err(format!("{twice:?} stands there twice")),
        None => Ok(()),
    }
}

fn addresses_have_4_or_16_octets(c: &Candidate<'_>) -> Result<(), String> {
    match c.ip_addresses().find(|octets| names::ip_address(octets).is_none()) {
        Some(other) => Err(format!("the address {other:02x?} has neither 4 nor 16 octets")),
        None => Ok(()),
    }
}

fn addresses_are_not_ipv4_in_ipv6(c: &Candidate<'_>) -> Result<(), String> {
    match c
        .ip_addresses()
        .find(|octets| octets.len() == 16 && octets.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]))
    {
        Some(mapped) => Err(format!("the address {mapped:02x?} is an IPv4 address in IPv6; it has to have 4 octets")),
        None => Ok(()),
    }
}

fn certificate_is_no_authority(c: &Candidate<'_>) -> Result<(), String> {
    let constraints = c.extensions.basic_constraints.as_ref();
    require(constraints.is_none_or(|c| !c.ca && c.path_len_constraint.is_none()), || {
        "basicConstraints have cA or pathLenConstraint, which only authorities have".to_owned()
    })
}

fn purposes_are_not_critical(c: &Candidate<'_>) -> Result<(), String> {
    is_not_critical(c, oids::EXTENDED_KEY_USAGE)
}

fn purposes_are_stated(c: &Candidate<'_>) -> Result<(), String> {
    require(!c.purposes().is_empty(), || "there are no readable extended key usages".to_owned())
}

fn purposes_are_not_any(c: &Candidate<'_>) -> Result<(), String> {
    require(!c.purposes().contains(&oids::ANY_EXTENDED_KEY_USAGE), || {
        "anyExtendedKeyUsage is among the key purposes; each has to be named".to_owned()
    })
}

fn purposes_have_no_duplicates(c: &Candidate<'_>) -> Result<(), String> {
    let purposes = c.purposes();
    match purposes.iter().enumerate().find(|(position, purpose)| purposes[..*position].contains(purpose)) {
        Some((_, twice)) => Err(format!("the key purpose {twice} stands there twice")),
        None => Ok(()),
    }
}

fn crl_distribution_points_are_not_critical(c: &Candidate<'_>) -> Result<(), String> {
    is_not_critical(c, oids::CRL_DISTRIBUTION_POINTS)
}

fn crl_distribution_point_is_one_full_name(c: &Candidate<'_>) -> Result<(), String> {
    let points = c.extensions.crl_distribution_points.as_ref().map_or(&[][..], |points| &points.0);
    let one_name = match points {
        [
            DistributionPoint {
                distribution_point: Some(DistributionPointName::FullName(names)),
                reasons: None,
                crl_issuer: None,
            },
        ] => names.len() == 1,
        _ => false,
    };
    require(one_name, || {
        "it has to be one distribution point of one full name, without reasons or cRLIssuer".to_owned()
    })
}

fn authority_information_access_is_not_critical(c: &Candidate<'_>) -> Result<(), String> {
    is_not_critical(c, oids::AUTHORITY_INFO_ACCESS)
}

fn access_methods_are_known(c: &Candidate<'_>) -> Result<(), String> {
    match c.accesses().find(|(method, _)| ![oids::ACCESS_OCSP, oids::ACCESS_CA_ISSUERS].contains(method)) {
        Some((other, _)) => Err(format!("the access method {other} is none of id-ad-ocsp and id-ad-caIssuers")),
        None => Ok(()),
    }
}

fn access_methods_have_one_location_each(c: &Candidate<'_>) -> Result<(), String> {
    let first_of = |method: ObjectIdentifier| c.accesses().position(|(m, _)| m == method);
    match c.accesses().enumerate().find(|(position, (method, _))| first_of(*method) != Some(*position)) {
        Some((_, (method, _))) => Err(format!("the access method {method} has two locations")),
        None => Ok(()),
    }
}

fn locations_are_urls_with_a_host(c: &Candidate<'_>) -> Result<(), String> {
    let locations = c.accesses().map(|(_, location)| location).chain(c.crl_locations());
    for location in locations {
        let GeneralName::UniformResourceIdentifier(uri) = location else {
            return Err(format!("the location {location:?} is no URI"));
        };
        is_url_with_a_host(uri.as_str())?;
    }
    Ok(())
}

pub(super) fn is_url_with_a_host(uri: &str) -> Result<(), String> {
    let rest = ["http://", "https://", "ldap://"].iter().find_map(|scheme| uri.strip_prefix(scheme));
    let host_starts = rest.and_then(|rest| rest.bytes().next()).is_some_and(|o| o.is_ascii_alphanumeric() || o == b'[');
    require(host_starts && uri.bytes().all(|octet| octet.is_ascii_graphic()), || {
        format!("{uri:?} is no URL of http, https or ldap with a host")
    })
}

fn tls_feature_is_not_critical(c: &Candidate<'_>) -> Result<(), String> {
    is_not_critical(c, oids::TLS_FEATURE)
}

fn tls_feature_is_status_request(c: &Candidate<'_>) -> Result<(), String> {
    let features = c.extensions.tls_feature.as_deref().unwrap_or_default();
    require(features == [STATUS_REQUEST], || {
        format!("the TLS features are {features:?}; only status_request, 5, is allowed")
    })
}

fn must_staple_names_a_responder(c: &Candidate<'_>) -> Result<(), String> {
    require(c.accesses().any(|(method, _)| method == oids::ACCESS_OCSP), || {
        "demands a stapled OCSP answer but names no OCSP responder".to_owned()
    })
}
