//! A certificate as the lints see it: read once, strictly, and then only looked at.

use std::borrow::Cow;
use std::str;

use const_oid::ObjectIdentifier;
use der::{Decode, Encode, Tag};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies, CrlDistributionPoints,
    ExtendedKeyUsage, KeyUsage, SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::time::Time;

use super::Rules;
use super::fields::{self, TbsFields};
use super::oids;
use crate::{PublicKey, Sct, Timestamp, decode_sct_list};

/// A certificate under judgement, with the rules it is judged by.
pub struct Candidate<'a> {
    pub(super) rules: &'a Rules<'a>,
    /// What is to be signed.
    pub(super) tbs: &'a [u8],
    /// The TBS of the linting certificate, which is what was read.
    pub(super) read_tbs: &'a [u8],
    /// The whole linting certificate.
    pub(super) linting_certificate: &'a [u8],
    pub(super) fields: TbsFields<'a>,
    pub(super) outer_signature_algorithm: &'a [u8],
    pub(super) certificate: x509_cert::Certificate,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) public_key: Option<Cow<'a, PublicKey>>,
    pub(super) extensions: KnownExtensions,
}

/// The values of the extensions that a leaf may have. Of an extension that stands there twice, the first.
#[derive(Default)]
pub(super) struct KnownExtensions {
    pub(super) authority_key_identifier: Option<AuthorityKeyIdentifier>,
    pub(super) subject_key_identifier: Option<SubjectKeyIdentifier>,
    pub(super) key_usage: Option<KeyUsage>,
    pub(super) policies: Option<CertificatePolicies>,
    pub(super) names: Option<SubjectAltName>,
    pub(super) basic_constraints: Option<BasicConstraints>,
    pub(super) purposes: Option<ExtendedKeyUsage>,
    pub(super) crl_distribution_points: Option<CrlDistributionPoints>,
    pub(super) authority_info_access: Option<AuthorityInfoAccessSyntax>,
    pub(super) tls_feature: Option<Vec<u64>>,
    pub(super) scts: Option<Vec<Sct>>,
    /// Extensions whose value the strict reader refused.
    pub(super) undecodable: Vec<ObjectIdentifier>,
    /// Extensions whose value is no canonical encoding of what it says.
    pub(super) not_canonical: Vec<ObjectIdentifier>,
}

impl<'a> Candidate<'a> {
    pub(super) fn parse(tbs: &'a [u8], linting_certificate: &'a [u8], rules: &'a Rules<'a>) -> der::Result<Self> {
        let (read_tbs, outer_signature_algorithm) = fields::signed(linting_certificate)?;
        let fields = TbsFields::of(read_tbs)?;
        let certificate = x509_cert::Certificate::from_der(linting_certificate)?;
        let validity = certificate.tbs_certificate().validity();
        let mut extensions = KnownExtensions::default();
        for extension in certificate.tbs_certificate().extensions().into_iter().flatten() {
            extensions.read(extension);
        }
        Ok(Self {
            rules,
            tbs,
            read_tbs,
            linting_certificate,
            outer_signature_algorithm,
            not_before: timestamp(validity.not_before)?,
            not_after: timestamp(validity.not_after)?,
            public_key: public_key(fields.public_key, rules.public_key),
            fields,
            certificate,
            extensions,
        })
    }

    pub(super) fn all_extensions(&self) -> &[Extension] {
        self.certificate.tbs_certificate().extensions().map_or(&[], Vec::as_slice)
    }

    pub(super) fn extension(&self, id: ObjectIdentifier) -> Option<&Extension> {
        self.all_extensions().iter().find(|extension| extension.extn_id == id)
    }

    pub(super) fn is_critical(&self, id: ObjectIdentifier) -> bool {
        self.extension(id).is_some_and(|extension| extension.critical)
    }

    /// The octets of the serial, sign octet included.
    pub(super) fn serial(&self) -> &[u8] {
        fields::content(self.fields.serial, Tag::Integer).unwrap_or_default()
    }

    pub(super) fn names(&self) -> &[GeneralName] {
        self.extensions.names.as_ref().map_or(&[], |names| names.0.as_slice())
    }

    pub(super) fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.names()
            .iter()
            .filter_map(|name| if let GeneralName::DnsName(dns) = name { Some(dns.as_str()) } else { None })
    }

    /// Each as its octets, whose number is not yet known to be right.
    pub(super) fn ip_addresses(&self) -> impl Iterator<Item = &[u8]> {
        self.names()
            .iter()
            .filter_map(|name| if let GeneralName::IpAddress(ip) = name { Some(ip.as_bytes()) } else { None })
    }

    /// The values of the subject's common names, where they are text.
    pub(super) fn common_names(&self) -> impl Iterator<Item = &str> {
        let subject = self.certificate.tbs_certificate().subject();
        subject
            .iter()
            .filter(|attribute| attribute.oid == oids::COMMON_NAME)
            .filter_map(|attribute| str::from_utf8(attribute.value.value()).ok())
    }

    pub(super) fn purposes(&self) -> &[ObjectIdentifier] {
        self.extensions.purposes.as_ref().map_or(&[], |purposes| purposes.0.as_slice())
    }

    /// The locations of the authority information access: method and where.
    pub(super) fn accesses(&self) -> impl Iterator<Item = (ObjectIdentifier, &GeneralName)> {
        let accesses = self.extensions.authority_info_access.iter().flat_map(|accesses| &accesses.0);
        accesses.map(|access| (access.access_method, &access.access_location))
    }

    /// Where the CRL distribution points say that a CRL is.
    pub(super) fn crl_locations(&self) -> impl Iterator<Item = &GeneralName> {
        let points = self.extensions.crl_distribution_points.iter().flat_map(|points| &points.0);
        points
            .filter_map(|point| match &point.distribution_point {
                Some(DistributionPointName::FullName(names)) => Some(names),
                Some(DistributionPointName::NameRelativeToCRLIssuer(_)) | None => None,
            })
            .flatten()
    }

    pub(super) fn scts(&self) -> &[Sct] {
        self.extensions.scts.as_deref().unwrap_or_default()
    }

    pub(super) fn signature_algorithm(&self) -> ObjectIdentifier {
        self.certificate.tbs_certificate().signature().oid
    }

    /// Its life in seconds: both ends are inside it (RFC 5280 §4.1.2.5). Zero if the ends are crossed.
    pub(super) fn lifetime_s(&self) -> u64 {
        let seconds = self.not_after.seconds() - self.not_before.seconds() + 1;
        u64::try_from(seconds).unwrap_or(0)
    }
}

impl KnownExtensions {
    fn read(&mut self, extension: &Extension) {
        let read = match extension.extn_id {
            oids::AUTHORITY_KEY_IDENTIFIER => {
                take(&mut self.authority_key_identifier, extension, &mut self.not_canonical)
            }
            oids::SUBJECT_KEY_IDENTIFIER => take(&mut self.subject_key_identifier, extension, &mut self.not_canonical),
            oids::KEY_USAGE => take(&mut self.key_usage, extension, &mut self.not_canonical),
            oids::CERTIFICATE_POLICIES => take(&mut self.policies, extension, &mut self.not_canonical),
            oids::SUBJECT_ALT_NAME => take(&mut self.names, extension, &mut self.not_canonical),
            oids::BASIC_CONSTRAINTS => take(&mut self.basic_constraints, extension, &mut self.not_canonical),
            oids::EXTENDED_KEY_USAGE => take(&mut self.purposes, extension, &mut self.not_canonical),
            oids::CRL_DISTRIBUTION_POINTS => {
                take(&mut self.crl_distribution_points, extension, &mut self.not_canonical)
            }
            oids::AUTHORITY_INFO_ACCESS => take(&mut self.authority_info_access, extension, &mut self.not_canonical),
            oids::TLS_FEATURE => take(&mut self.tls_feature, extension, &mut self.not_canonical),
            oids::SCT_LIST => {
                let list = fields::content(extension.extn_value.as_bytes(), Tag::OctetString);
                let scts = list.ok().and_then(|list| decode_sct_list(list).ok());
                let read = scts.is_some();
                self.scts = self.scts.take().or(scts);
                read
            }
            // The poison has a lint of its own; an unknown extension is refused whatever its value says.
            _ => true,
        };
        if !read {
            self.undecodable.push(extension.extn_id);
        }
    }
}

/// Reads the value of an extension into its place; false if the strict reader refuses it.
fn take<T: for<'r> Decode<'r> + Encode>(
    place: &mut Option<T>,
    extension: &Extension,
    not_canonical: &mut Vec<ObjectIdentifier>,
) -> bool {
    let encoded = extension.extn_value.as_bytes();
    let Ok(value) = T::from_der(encoded) else {
        return false;
    };
    if !fields::is_encoding_of(&value, encoded) {
        not_canonical.push(extension.extn_id);
    }
    place.get_or_insert(value);
    true
}

/// Reads the key anew only where it is not the expected one.
fn public_key<'a>(spki: &[u8], expected: &'a PublicKey) -> Option<Cow<'a, PublicKey>> {
    if spki == expected.spki_der() {
        return Some(Cow::Borrowed(expected));
    }
    PublicKey::from_spki_der(spki).ok().map(Cow::Owned)
}

/// The instant an encoded time names.
pub(super) fn timestamp(time: Time) -> der::Result<Timestamp> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).map_err(|_| der::ErrorKind::DateTime)?;
    Ok(Timestamp::from_seconds(seconds))
}
