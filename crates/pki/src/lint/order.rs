//! Lints that compare a certificate with what the order asked for: this and nothing else may stand in it.

use std::net::IpAddr;

use x509_cert::ext::pkix::name::GeneralName as EncodedName;

use super::{Candidate, Lint, lint, names, oids, require};
use crate::GeneralName;

/// The table.
pub(super) const LINTS: &[Lint] = &[
    lint!(linting_certificate_is_of_this_tbs, "design: linting certificate; BR 4.3.1.2", |_| true),
    lint!(names_are_those_of_the_order, "RFC 8555 §7.4", |_| true),
    lint!(public_key_is_that_of_the_order, "RFC 8555 §7.4", |_| true),
    lint!(subject_holds_at_most_one_common_name_and_nothing_else, "RFC 8555 §7.4; BR 7.1.2.7.2", |_| true),
    lint!(common_name_is_one_of_the_names, "RFC 8555 §7.4; BR 7.1.4.3", |c| c.common_names().next().is_some()),
    lint!(lifetime_is_within_the_profiles, "design: certificate profile", |_| true),
];

fn linting_certificate_is_of_this_tbs(c: &Candidate<'_>) -> Result<(), String> {
    require(c.read_tbs == c.tbs, || {
        let at = c.read_tbs.iter().zip(c.tbs).take_while(|(read, tbs)| read == tbs).count();
        format!("differs from the bytes to be signed from octet {at} on; it has to be of exactly these")
    })
}

fn names_are_those_of_the_order(c: &Candidate<'_>) -> Result<(), String> {
    let (in_certificate, in_order) = (c.names(), c.rules.names);
    if in_certificate.len() == in_order.len()
        && in_certificate.iter().zip(in_order).all(|(encoded, expected)| is(encoded, expected))
    {
        return Ok(());
    }
    // Another sequence of the same names is for another lint to judge.
    if let Some(missing) = in_order.iter().find(|expected| !in_certificate.iter().any(|encoded| is(encoded, expected)))
    {
        return Err(format!("{missing} is in the order but not in the certificate"));
    }
    match in_certificate.iter().find(|encoded| !in_order.iter().any(|expected| is(encoded, expected))) {
        Some(surplus) => Err(format!("{surplus:?} is in the certificate but not in the order")),
        None => Ok(()),
    }
}

fn is(encoded: &EncodedName, expected: &GeneralName) -> bool {
    match expected {
        GeneralName::Dns(name) => matches!(encoded, EncodedName::DnsName(dns) if dns.as_str() == name),
        GeneralName::Ip(IpAddr::V4(v4)) => {
            matches!(encoded, EncodedName::IpAddress(ip) if ip.as_bytes() == v4.octets())
        }
        GeneralName::Ip(IpAddr::V6(v6)) => {
            matches!(encoded, EncodedName::IpAddress(ip) if ip.as_bytes() == v6.octets())
        }
    }
}

fn public_key_is_that_of_the_order(c: &Candidate<'_>) -> Result<(), String> {
    require(c.fields.public_key == c.rules.public_key.spki_der(), || {
        "the SubjectPublicKeyInfo is not, byte for byte, that of the CSR".to_owned()
    })
}

fn subject_holds_at_most_one_common_name_and_nothing_else(c: &Candidate<'_>) -> Result<(), String> {
    let subject = c.certificate.tbs_certificate().subject();
    require(subject.len() <= 1 && subject.iter().count() <= 1, || {
        format!("the subject has {} attributes; one common name is the most", subject.iter().count())
    })?;
    match subject.iter().find(|attribute| attribute.oid != oids::COMMON_NAME) {
        Some(other) => Err(format!("the subject has the attribute {}, which nobody validated", other.oid)),
        None => Ok(()),
    }
}

fn common_name_is_one_of_the_names(c: &Candidate<'_>) -> Result<(), String> {
    let stands_in_names = |common_name: &str| {
        c.dns_names().any(|name| name == common_name)
            || common_name
                .parse::<IpAddr>()
                .is_ok_and(|address| c.ip_addresses().any(|octets| names::ip_address(octets) == Some(address)))
    };
    match c.common_names().find(|common_name| !stands_in_names(common_name)) {
        Some(other) => Err(format!("the common name {other:?} is none of the subject alternative names")),
        None => Ok(()),
    }
}

fn lifetime_is_within_the_profiles(c: &Candidate<'_>) -> Result<(), String> {
    let max = c.rules.lifetime_max.as_secs();
    require(c.lifetime_s() <= max, || format!("lives {} s, the profile allows {max} s", c.lifetime_s()))
}
