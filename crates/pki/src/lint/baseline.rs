//! Lints from the Baseline Requirements of the CA/Browser Forum (2.2.6) and the root programs' policies. Rules that
//! change on a day carry that day. Two groups: what binds a certificate that browsers trust (`baseline`), and what
//! binds names of the public Internet (`public_names`).

use const_oid::ObjectIdentifier;
use x509_cert::ext::pkix::name::GeneralName;

use super::{Candidate, Lint, lint, names, oids, require};
use crate::{KeyKind, Timestamp};

/// The table.
pub(super) const LINTS: &[Lint] = &[
    lint!(lifetime_is_within_the_maximum_of_the_day, "BR 6.3.2", baseline),
    lint!(serial_has_room_for_64_random_bits, "BR 7.1", baseline),
    lint!(not_before_is_within_48_hours_of_now, "BR 7.1.2.7", baseline),
    lint!(first_policy_is_domain_validated, "BR 7.1.2.7.9", baseline),
    lint!(policies_are_permitted, "BR 7.1.2.7.9, 7.1.6.1", has_policies),
    lint!(policies_have_no_user_notice, "BR 7.1.2.7.9", has_policies),
    lint!(purposes_include_server_auth, "BR 7.1.2.7.10", baseline),
    lint!(purposes_are_for_tls, "BR 7.1.2.7.10", baseline),
    lint!(client_auth_has_ended, "Chrome Root Program 1.8", |c| baseline(c) && issued_at(c) >= SERVER_AUTH_ONLY),
    lint!(key_usage_is_that_of_a_tls_server, "BR 7.1.2.7.11", baseline),
    lint!(basic_constraints_are_critical, "BR 7.1.2.7.6", |c| baseline(c) && c.extensions.basic_constraints.is_some()),
    lint!(key_is_of_an_allowed_kind, "BR 6.1.5, 7.1.3.1", baseline),
    lint!(rsa_modulus_is_long_enough, "BR 6.1.5", |c| baseline(c) && rsa_bits(c).is_some()),
    lint!(rsa_modulus_is_of_whole_octets, "BR 6.1.5", |c| baseline(c) && rsa_bits(c).is_some()),
    lint!(sha1_is_nowhere, "BR 7.1.3.2", |_| true),
    lint!(hash_fits_the_issuers_key, "BR 7.1.3.2", baseline),
    lint!(locations_are_plain_http, "BR 7.1.2.7.7, 7.1.2.11.2", baseline),
    lint!(revocation_can_be_found, "BR 7.1.2.11.2", baseline),
    lint!(names_have_no_underscore, "BR 7.1.2.7.12", |c| baseline(c) || c.rules.public_names),
    lint!(names_have_no_reserved_label, "BR 7.1.2.7.12", |c| baseline(c) || c.rules.public_names),
    lint!(names_are_under_public_tlds, "BR 4.2.2", public_names),
    lint!(wildcards_are_not_over_public_suffixes, "BR 3.2.2.6", public_names),
    lint!(names_are_not_in_reverse_zones, "BR 4.2.2", public_names),
    lint!(addresses_are_not_reserved, "BR 4.2.2", public_names),
];

const DAY_S: u64 = 86_400;
const SHORT_LIVED_S_MAX: u64 = 7 * DAY_S;
const SHORT_LIVED_S_MAX_BEFORE_2026: u64 = 10 * DAY_S;

// BR 6.3.2, with the day from which each maximum holds.
const FROM_2026_03_15: Timestamp = Timestamp::from_seconds(1_773_532_800);
const FROM_2027_03_15: Timestamp = Timestamp::from_seconds(1_805_068_800);
const FROM_2029_03_15: Timestamp = Timestamp::from_seconds(1_868_227_200);
/// From here on a certificate for servers is for nothing else.
const SERVER_AUTH_ONLY: Timestamp = FROM_2027_03_15;

const fn baseline(c: &Candidate<'_>) -> bool {
    c.rules.baseline
}

const fn public_names(c: &Candidate<'_>) -> bool {
    c.rules.public_names
}

const fn has_policies(c: &Candidate<'_>) -> bool {
    c.rules.baseline && c.extensions.policies.is_some()
}

/// The day whose rules apply: no later reading of "issued" than this is possible.
fn issued_at(c: &Candidate<'_>) -> Timestamp {
    c.rules.now.max(c.not_before)
}

fn kind(c: &Candidate<'_>) -> Option<KeyKind> {
    c.public_key.as_ref().map(|key| key.kind())
}

fn rsa_bits(c: &Candidate<'_>) -> Option<u32> {
    if let Some(KeyKind::Rsa { bits }) = kind(c) { Some(bits) } else { None }
}

fn lifetime_is_within_the_maximum_of_the_day(c: &Candidate<'_>) -> Result<(), String> {
    let issued_at = issued_at(c);
    let days = match issued_at {
        at if at >= FROM_2029_03_15 => 47,
        at if at >= FROM_2027_03_15 => 100,
        at if at >= FROM_2026_03_15 => 200,
        _ => 398,
    };
    require(c.lifetime_s() <= days * DAY_S, || {
        format!("lives {} s; issued on {issued_at} it may live {days} days, {} s", c.lifetime_s(), days * DAY_S)
    })
}

fn serial_has_room_for_64_random_bits(c: &Candidate<'_>) -> Result<(), String> {
    let octets = c.serial().len();
    require(octets >= 9, || format!("the serial has {octets} octets; 64 random bits that stay positive need 9"))
}

fn not_before_is_within_48_hours_of_now(c: &Candidate<'_>) -> Result<(), String> {
    let apart_s = c.not_before.seconds().abs_diff(c.rules.now.seconds());
    require(apart_s <= 2 * DAY_S, || format!("not_before is {apart_s} s from now; 48 hours is the most"))
}

fn policies<'c>(c: &'c Candidate<'_>) -> impl Iterator<Item = ObjectIdentifier> + 'c {
    let policies = c.extensions.policies.iter().flat_map(|policies| &policies.0);
    policies.map(|policy| policy.policy_identifier)
}

fn first_policy_is_domain_validated(c: &Candidate<'_>) -> Result<(), String> {
    let first = policies(c).next();
    require(first == Some(oids::DOMAIN_VALIDATED), || match first {
        Some(other) => format!("the first policy is {other}; it has to be {}", oids::DOMAIN_VALIDATED),
        None => format!("there are no certificate policies; {} has to be the first", oids::DOMAIN_VALIDATED),
    })
}

fn policies_are_permitted(c: &Candidate<'_>) -> Result<(), String> {
    for (position, policy) in policies(c).enumerate() {
        let of_the_forum = policy.as_bytes().starts_with(oids::CA_BROWSER_FORUM.as_bytes());
        if policy == oids::ANY_POLICY || (of_the_forum && policy != oids::DOMAIN_VALIDATED) {
            return Err(format!("the policy {policy} says more than that control of a domain was validated"));
        }
        if policies(c).take(position).any(|earlier| earlier == policy) {
            return Err(format!("the policy {policy} is stated twice"));
        }
    }
    Ok(())
}

fn policies_have_no_user_notice(c: &Candidate<'_>) -> Result<(), String> {
    let stated = c.extensions.policies.iter().flat_map(|policies| &policies.0);
    let mut qualifiers = stated.flat_map(|policy| policy.policy_qualifiers.iter().flatten());
    require(!qualifiers.any(|qualifier| qualifier.policy_qualifier_id == oids::USER_NOTICE), || {
        "a policy has a user notice; only a CPS pointer is allowed".to_owned()
    })
}

fn purposes_include_server_auth(c: &Candidate<'_>) -> Result<(), String> {
    require(c.purposes().contains(&oids::SERVER_AUTH), || "serverAuth is not among the key purposes".to_owned())
}

fn purposes_are_for_tls(c: &Candidate<'_>) -> Result<(), String> {
    match c.purposes().iter().find(|purpose| ![oids::SERVER_AUTH, oids::CLIENT_AUTH].contains(purpose)) {
        Some(other) => Err(format!("the key purpose {other} is none of serverAuth and clientAuth")),
        None => Ok(()),
    }
}

fn client_auth_has_ended(c: &Candidate<'_>) -> Result<(), String> {
    require(!c.purposes().contains(&oids::CLIENT_AUTH), || {
        format!("clientAuth is among the key purposes; from {SERVER_AUTH_ONLY} on serverAuth is the only one")
    })
}

fn key_usage_is_that_of_a_tls_server(c: &Candidate<'_>) -> Result<(), String> {
    let Some(usage) = c.extensions.key_usage else {
        return Err("there is no key usage; digitalSignature has to be stated".to_owned());
    };
    let others = usage.non_repudiation() || usage.data_encipherment() || usage.key_agreement();
    let encipherment = usage.key_encipherment() && rsa_bits(c).is_none();
    require(usage.digital_signature() && !others && !encipherment, || {
        "the key usage has to be digitalSignature, for RSA keys with or without keyEncipherment".to_owned()
    })
}

fn basic_constraints_are_critical(c: &Candidate<'_>) -> Result<(), String> {
    require(c.is_critical(oids::BASIC_CONSTRAINTS), || "basicConstraints stand there but are not critical".to_owned())
}

fn key_is_of_an_allowed_kind(c: &Candidate<'_>) -> Result<(), String> {
    match kind(c) {
        Some(KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Rsa { .. }) => Ok(()),
        Some(other @ KeyKind::Ed25519) => {
            Err(format!("the key is {other}; ECDSA P-256, P-384 or P-521 and RSA are allowed"))
        }
        None => Err("the key can't be read; ECDSA P-256, P-384 or P-521 and RSA are allowed".to_owned()),
    }
}

fn rsa_modulus_is_long_enough(c: &Candidate<'_>) -> Result<(), String> {
    let bits = rsa_bits(c).unwrap_or_default();
    require(bits >= 2048, || format!("the RSA modulus has {bits} bits; 2048 is the least"))
}

fn rsa_modulus_is_of_whole_octets(c: &Candidate<'_>) -> Result<(), String> {
    let bits = rsa_bits(c).unwrap_or_default();
    require(bits.is_multiple_of(8), || format!("the RSA modulus has {bits} bits; it has to be a multiple of 8"))
}

fn sha1_is_nowhere(c: &Candidate<'_>) -> Result<(), String> {
    require(![oids::RSA_SHA1, oids::ECDSA_SHA1].contains(&c.signature_algorithm()), || {
        "the signature algorithm hashes by SHA-1; SHA-256, SHA-384 and SHA-512 are allowed".to_owned()
    })
}

fn hash_fits_the_issuers_key(c: &Candidate<'_>) -> Result<(), String> {
    let issuer = c.rules.issuer.public_key().kind();
    let algorithm = c.signature_algorithm();
    let fits = match issuer {
        KeyKind::P256 => algorithm == oids::ECDSA_SHA256,
        KeyKind::P384 => algorithm == oids::ECDSA_SHA384,
        KeyKind::P521 => algorithm == oids::ECDSA_SHA512,
        KeyKind::Rsa { .. } => [oids::RSA_SHA256, oids::RSA_SHA384, oids::RSA_SHA512].contains(&algorithm),
        KeyKind::Ed25519 => false,
    };
    require(fits, || format!("the issuer's key is {issuer}, which may not sign by {algorithm}"))
}

/// Where the certificate sends relying parties.
fn locations<'c>(c: &'c Candidate<'_>) -> impl Iterator<Item = &'c GeneralName> {
    c.accesses().map(|(_, location)| location).chain(c.crl_locations())
}

fn locations_are_plain_http(c: &Candidate<'_>) -> Result<(), String> {
    let plain = |location: &GeneralName| {
        let GeneralName::UniformResourceIdentifier(uri) = location else {
            return false;
        };
        uri.as_str().starts_with("http://")
    };
    match locations(c).find(|location| !plain(location)) {
        Some(other) => Err(format!("{other:?} is no http URL; https needs a certificate to fetch a certificate")),
        None => Ok(()),
    }
}

fn revocation_can_be_found(c: &Candidate<'_>) -> Result<(), String> {
    let short = if issued_at(c) >= FROM_2026_03_15 { SHORT_LIVED_S_MAX } else { SHORT_LIVED_S_MAX_BEFORE_2026 };
    let found = c.extensions.crl_distribution_points.is_some() || c.accesses().any(|(m, _)| m == oids::ACCESS_OCSP);
    require(found || c.lifetime_s() <= short, || {
        format!("names neither a CRL nor an OCSP responder and lives {} s; {short} s is short-lived", c.lifetime_s())
    })
}

/// Refuses the first DNS name that `is_wrong`, for this reason.
fn refuse(c: &Candidate<'_>, is_wrong: fn(&str) -> bool, why: &str) -> Result<(), String> {
    match c.dns_names().find(|name| is_wrong(name)) {
        Some(name) => Err(format!("{name:?} {why}")),
        None => Ok(()),
    }
}

fn names_have_no_underscore(c: &Candidate<'_>) -> Result<(), String> {
    refuse(c, |name| name.contains('_'), "has an underscore; letters, digits and hyphens are allowed")
}

fn names_have_no_reserved_label(c: &Candidate<'_>) -> Result<(), String> {
    refuse(c, names::has_reserved_label, "has a label with hyphens in third and fourth place that is no A-label (xn--)")
}

fn names_are_under_public_tlds(c: &Candidate<'_>) -> Result<(), String> {
    refuse(c, |name| !names::is_under_public_tld(name), "is an internal name; its top-level domain has to be delegated")
}

fn wildcards_are_not_over_public_suffixes(c: &Candidate<'_>) -> Result<(), String> {
    refuse(c, names::is_wildcard_over_public_suffix, "is a wildcard over a public suffix, where others register names")
}

fn names_are_not_in_reverse_zones(c: &Candidate<'_>) -> Result<(), String> {
    refuse(c, names::is_in_reverse_zone, "is in a reverse zone, whose control proves nothing about an address")
}

fn addresses_are_not_reserved(c: &Candidate<'_>) -> Result<(), String> {
    match c.ip_addresses().filter_map(names::ip_address).find(|address| names::is_reserved(*address)) {
        Some(reserved) => Err(format!("{reserved} is reserved by IANA; only globally reachable addresses are allowed")),
        None => Ok(()),
    }
}
