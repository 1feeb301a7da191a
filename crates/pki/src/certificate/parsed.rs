//! Certificates read back.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use const_oid::AssociatedOid;
use der::{Decode, Encode};
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName as RfcGeneralName};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints, KeyUsage, SubjectAltName, SubjectKeyIdentifier,
};

use super::correspondence::sct_list_value;
use super::{CERTIFICATE_OCTETS_MAX, TbsCertificate, Validity};
use crate::reader::{Reader, only};
use crate::writer::tag;
use crate::{
    GeneralName, KeyError, Name, PublicKey, Sct, SctError, Serial, Sha256, SignatureAlgorithm, Timestamp,
    decode_sct_list, oid,
};

/// Why bytes are no certificate, or not one that can be used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Longer than [`CERTIFICATE_OCTETS_MAX`].
    #[error("the certificate is {0} octets long; at most {CERTIFICATE_OCTETS_MAX} are read")]
    TooLong(usize),
    /// Not a certificate in DER.
    #[error("not a certificate in DER: {0}")]
    Malformed(String),
    /// DER would have other bytes for the same certificate.
    #[error("the certificate is not in DER: it does not encode back to the same bytes")]
    NotCanonical,
    /// Not version 3.
    #[error("the certificate is not of version 3")]
    Version,
    /// A serial number that RFC 5280 §4.1.2.2 does not allow.
    #[error("the serial number is not a positive integer of at most 20 octets")]
    Serial,
    /// A signature algorithm that is not known, or not the same inside and outside (RFC 5280 §4.1.1.2).
    #[error("the signature algorithm is not supported, or differs inside and outside of the TBSCertificate")]
    SignatureAlgorithm,
    /// An extension that appears twice (RFC 5280 §4.2).
    #[error("the extension {0} appears more than once")]
    DoubledExtension(const_oid::ObjectIdentifier),
    /// An extension whose value cannot be read.
    #[error("the extension {id} is malformed: {reason}")]
    Extension {
        /// Its object identifier.
        id: const_oid::ObjectIdentifier,
        /// What is wrong with it.
        reason: String,
    },
    /// The public key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A certificate, parsed: a CA's own, or foreign bytes. Its exact DER is kept; what is read of it is what a strict
/// reader says, and nothing is judged here beyond form.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: TbsCertificate,
    issuer: Name,
    subject: Name,
    public_key: PublicKey,
    validity: Validity,
    signature_algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
    names: BTreeSet<GeneralName>,
    key_identifier: Option<Vec<u8>>,
    authority_key_identifier: Option<Vec<u8>>,
    crl_url: Option<String>,
    is_authority: bool,
    path_length: Option<u8>,
    signs_certificates: bool,
    is_precertificate: bool,
    has_sct_list: bool,
}

impl Certificate {
    /// Reads one certificate: DER that encodes back to the same bytes, with nothing after it.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        check_length(der)?;
        let parsed = x509_cert::Certificate::from_der(der).map_err(malformed)?;
        check_canonical(&parsed, der)?;
        let tbs = parsed.tbs_certificate();
        if tbs.version() != x509_cert::certificate::Version::V3 {
            return Err(CertificateError::Version);
        }
        check_no_doubled_extension(tbs)?;
        let outline = Outline::of(der).ok_or_else(|| malformed("its fields are not in their places"))?;
        let serial = Serial::from_der_integer(outline.serial).ok_or(CertificateError::Serial)?;
        let signature_algorithm = SignatureAlgorithm::from_algorithm_identifier_der(outline.inner_algorithm)
            .filter(|_| outline.inner_algorithm == outline.outer_algorithm)
            .ok_or(CertificateError::SignatureAlgorithm)?;
        let validity = Validity {
            not_before: timestamp(tbs.validity().not_before),
            not_after: timestamp(tbs.validity().not_after),
        };
        let constraints = extension::<BasicConstraints>(tbs)?;
        let signature = parsed.signature().as_bytes().ok_or_else(|| malformed("its signature has unused bits"))?;
        Ok(Self {
            der: der.to_vec(),
            tbs: TbsCertificate::from_checked(outline.tbs.to_vec(), serial),
            issuer: Name::from_checked_der(outline.issuer),
            subject: Name::from_checked_der(outline.subject),
            public_key: PublicKey::from_spki_der(outline.public_key)?,
            validity,
            signature_algorithm,
            signature: signature.to_vec(),
            names: names_of(tbs)?,
            key_identifier: extension::<SubjectKeyIdentifier>(tbs)?.map(|found| found.0.into_bytes().into_vec()),
            authority_key_identifier: extension::<AuthorityKeyIdentifier>(tbs)?
                .and_then(|found| found.key_identifier)
                .map(|identifier| identifier.into_bytes().into_vec()),
            crl_url: extension::<CrlDistributionPoints>(tbs)?.and_then(first_url),
            is_authority: constraints.as_ref().is_some_and(|constraints| constraints.ca),
            path_length: constraints.and_then(|constraints| constraints.path_len_constraint),
            signs_certificates: extension::<KeyUsage>(tbs)?.is_none_or(|usage| usage.key_cert_sign()),
            is_precertificate: has_extension(tbs, oid::CT_POISON),
            has_sct_list: has_extension(tbs, oid::SCT_LIST),
        })
    }

    /// The exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The exact bytes of its TBSCertificate.
    pub fn tbs_der(&self) -> &[u8] {
        self.tbs.der()
    }

    /// Its TBSCertificate.
    pub fn tbs(&self) -> &TbsCertificate {
        &self.tbs
    }

    /// SHA-256 of the whole certificate.
    pub fn fingerprint(&self) -> Sha256 {
        Sha256::of(&self.der)
    }

    /// Its serial number.
    pub fn serial(&self) -> Serial {
        self.tbs.serial()
    }

    /// Who issued it.
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// Whose it is.
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// The key it certifies.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// From when to when it is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The DNS names and addresses of subjectAltName; names of other kinds are left out.
    pub fn names(&self) -> &BTreeSet<GeneralName> {
        &self.names
    }

    /// The algorithm it is signed with.
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.signature_algorithm
    }

    /// The signature's octets.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Whether it has a poison (RFC 6962 §3.1).
    pub fn is_precertificate(&self) -> bool {
        self.is_precertificate
    }

    /// The embedded SCTs, none if there is no list (RFC 6962 §3.3).
    pub fn scts(&self) -> Result<Vec<Sct>, SctError> {
        if !self.has_sct_list {
            return Ok(Vec::new());
        }
        decode_sct_list(sct_list_value(self.tbs.der()).ok_or(SctError::Malformed("SCT list extension"))?)
    }

    /// subjectKeyIdentifier.
    pub fn key_identifier(&self) -> Option<&[u8]> {
        self.key_identifier.as_deref()
    }

    /// keyIdentifier of authorityKeyIdentifier.
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        self.authority_key_identifier.as_deref()
    }

    /// Whether basicConstraints says that it is a CA (RFC 5280 §4.2.1.9).
    pub fn is_authority(&self) -> bool {
        self.is_authority
    }

    /// How many intermediates may stand between it and a leaf (RFC 5280 §4.2.1.9); `None`: any number.
    pub fn path_length(&self) -> Option<u8> {
        self.path_length
    }

    /// Whether its key may sign certificates: it has no keyUsage, or one with keyCertSign (RFC 5280 §4.2.1.3).
    pub fn signs_certificates(&self) -> bool {
        self.signs_certificates
    }

    /// The first URL of cRLDistributionPoints.
    pub fn crl_url(&self) -> Option<&str> {
        self.crl_url.as_deref()
    }

    /// Whether this key signed it. Names, validity and constraints are not looked at.
    pub fn verify_signed_by(&self, issuer_key: &PublicKey) -> Result<(), KeyError> {
        issuer_key.verify(self.signature_algorithm, self.tbs.der(), &self.signature)
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, subject {:?}, issuer {:?})", self.serial(), self.subject, self.issuer)
    }
}

/// Where the fields lie whose exact bytes are wanted.
struct Outline<'a> {
    tbs: &'a [u8],
    serial: &'a [u8],
    inner_algorithm: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    public_key: &'a [u8],
    outer_algorithm: &'a [u8],
}

impl<'a> Outline<'a> {
    fn of(certificate: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(only(certificate, tag::SEQUENCE)?.contents);
        let tbs = outer.expect(tag::SEQUENCE)?;
        let outer_algorithm = outer.expect(tag::SEQUENCE)?.encoded;
        let mut fields = Reader::new(tbs.contents);
        fields.optional(tag::context_constructed(0));
        let serial = fields.expect(tag::INTEGER)?.contents;
        let inner_algorithm = fields.expect(tag::SEQUENCE)?.encoded;
        let issuer = fields.expect(tag::SEQUENCE)?.encoded;
        fields.expect(tag::SEQUENCE)?;
        let subject = fields.expect(tag::SEQUENCE)?.encoded;
        let public_key = fields.expect(tag::SEQUENCE)?.encoded;
        Some(Self { tbs: tbs.encoded, serial, inner_algorithm, issuer, subject, public_key, outer_algorithm })
    }
}

/// Reads a TBSCertificate strictly; answers its serial.
pub(super) fn read_tbs(der: &[u8]) -> Result<Serial, CertificateError> {
    check_length(der)?;
    let parsed = x509_cert::TbsCertificate::from_der(der).map_err(malformed)?;
    check_canonical(&parsed, der)?;
    check_no_doubled_extension(&parsed)?;
    Serial::from_der_integer(parsed.serial_number().as_bytes()).ok_or(CertificateError::Serial)
}

fn check_length(der: &[u8]) -> Result<(), CertificateError> {
    if der.len() > CERTIFICATE_OCTETS_MAX { Err(CertificateError::TooLong(der.len())) } else { Ok(()) }
}

fn check_canonical(parsed: &impl Encode, der: &[u8]) -> Result<(), CertificateError> {
    if parsed.to_der().map_err(malformed)? == der { Ok(()) } else { Err(CertificateError::NotCanonical) }
}

fn check_no_doubled_extension(tbs: &x509_cert::TbsCertificate) -> Result<(), CertificateError> {
    let extensions = tbs.extensions().map_or(&[][..], Vec::as_slice);
    let doubled = extensions
        .iter()
        .enumerate()
        .find(|(at, extension)| extensions[..*at].iter().any(|earlier| earlier.extn_id == extension.extn_id));
    match doubled {
        Some((_, extension)) => Err(CertificateError::DoubledExtension(extension.extn_id)),
        None => Ok(()),
    }
}

fn malformed(reason: impl fmt::Display) -> CertificateError {
    CertificateError::Malformed(reason.to_string())
}

fn has_extension(tbs: &x509_cert::TbsCertificate, id: const_oid::ObjectIdentifier) -> bool {
    tbs.extensions().is_some_and(|extensions| extensions.iter().any(|extension| extension.extn_id == id))
}

fn extension<'a, T>(tbs: &'a x509_cert::TbsCertificate) -> Result<Option<T>, CertificateError>
where
    T: Decode<'a, Error = der::Error> + AssociatedOid,
{
    match tbs.get_extension::<T>() {
        Ok(found) => Ok(found.map(|(_, value)| value)),
        Err(error) => Err(CertificateError::Extension { id: T::OID, reason: error.to_string() }),
    }
}

pub(crate) fn timestamp(time: x509_cert::time::Time) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX))
}

fn names_of(tbs: &x509_cert::TbsCertificate) -> Result<BTreeSet<GeneralName>, CertificateError> {
    let names = extension::<SubjectAltName>(tbs)?.map(|names| names.0).unwrap_or_default();
    Ok(names.iter().filter_map(general_name).collect())
}

/// The name, if it is of a kind that we issue for; DNS names in lower case.
pub(crate) fn general_name(name: &RfcGeneralName) -> Option<GeneralName> {
    match name {
        RfcGeneralName::DnsName(name) => Some(GeneralName::Dns(name.as_str().to_ascii_lowercase())),
        RfcGeneralName::IpAddress(octets) => address(octets.as_bytes()).map(GeneralName::Ip),
        RfcGeneralName::OtherName(_)
        | RfcGeneralName::Rfc822Name(_)
        | RfcGeneralName::DirectoryName(_)
        | RfcGeneralName::EdiPartyName(_)
        | RfcGeneralName::UniformResourceIdentifier(_)
        | RfcGeneralName::RegisteredId(_) => None,
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

fn first_url(points: CrlDistributionPoints) -> Option<String> {
    points.0.into_iter().find_map(|point| distribution_point_url(point.distribution_point?))
}

pub(crate) fn distribution_point_url(name: DistributionPointName) -> Option<String> {
    let DistributionPointName::FullName(names) = name else {
        return None;
    };
    names.into_iter().find_map(|name| {
        if let RfcGeneralName::UniformResourceIdentifier(url) = name { Some(url.as_str().to_owned()) } else { None }
    })
}
