//! Certification requests (PKCS#10, RFC 2986): key and names are taken from them, nothing else.

mod request;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::request::{CertReq, ExtensionReq};

use crate::certificate::general_name;
use crate::reader::{Reader, only};
use crate::writer::tag;
use crate::{GeneralName, KeyError, Name, PublicKey, SignatureAlgorithm, WeakKey, oid};

pub use request::{TbsRequest, request};

/// The longest request that is read, in octets.
pub const CSR_OCTETS_MAX: usize = 16 << 10;
/// The longest common name (RFC 5280 appendix A, ub-common-name), in characters.
const COMMON_NAME_MAX: usize = 64;

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Longer than [`CSR_OCTETS_MAX`].
    #[error("the CSR is {0} octets long; at most {CSR_OCTETS_MAX} are read")]
    TooLong(usize),
    /// Not a CSR in DER.
    #[error("the CSR is not a PKCS#10 request of version 1 in DER: {0}")]
    Malformed(String),
    /// DER would have other bytes for the same request.
    #[error("the CSR is not in DER: it does not encode back to the same bytes")]
    NotCanonical,
    /// A signature algorithm that is not known, SHA-1 among them.
    #[error(
        "the CSR is signed with an algorithm that is not accepted; use SHA-256, SHA-384 or SHA-512 with ECDSA \
             or RSA (PKCS#1 v1.5), or Ed25519"
    )]
    SignatureAlgorithm,
    /// The key cannot be read or used.
    #[error(transparent)]
    Key(KeyError),
    /// The key's size or exponent is not acceptable.
    #[error(transparent)]
    WeakKey(#[from] WeakKey),
    /// The signature is not the key's.
    #[error("the CSR's signature does not verify with the key in it; sign it with that key's private half")]
    BadSignature,
    /// More than one attribute that asks for extensions, or more than one value in it.
    #[error("the CSR asks for extensions in more than one place; put all into one extensionRequest")]
    SeveralExtensionRequests,
    /// An extension asked for twice.
    #[error("the CSR asks for the extension {0} more than once")]
    DoubledExtension(const_oid::ObjectIdentifier),
    /// An extension that cannot be read.
    #[error("the CSR's {name} is malformed: {reason}")]
    Extension {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that is neither a DNS name nor an address.
    #[error("the CSR's subjectAltName has a name that is neither a dNSName nor an iPAddress; leave it out")]
    NameKind,
    /// A name that cannot be one.
    #[error("the CSR's subjectAltName has an iPAddress that is not of 4 or 16 octets")]
    Address,
    /// CA:TRUE.
    #[error("the CSR asks for a CA certificate (basicConstraints CA:TRUE); only certificates of servers are issued")]
    AsksForAuthority,
    /// More than one common name.
    #[error("the CSR's subject has more than one common name; one at most is accepted")]
    SeveralCommonNames,
    /// A common name that is too long.
    #[error("the CSR's common name has {0} characters; at most {COMMON_NAME_MAX} are allowed, leave it out")]
    CommonNameTooLong(usize),
}

/// A request whose form and own signature are in order. What it asks for beside key and names is not looked at, but
/// for must-staple.
#[derive(Clone)]
pub struct Csr {
    der: Vec<u8>,
    public_key: PublicKey,
    names: BTreeSet<GeneralName>,
    common_name: Option<String>,
    wants_must_staple: bool,
}

impl Csr {
    /// Reads a request: strict DER, nothing after it, at most 16 KiB, version 1, signed by its own key without
    /// SHA-1. The key's strength is checked only as far as its signature needs it: see
    /// [`PublicKey::check_strength`]. A common name counts as one of the names, as an address if it reads as one.
    pub fn parse(der: &[u8]) -> Result<Self, CsrError> {
        Self::read(der, true)
    }

    /// Reads a request whose own signature was verified before, or doesn't matter to who reads it: what it asks for is
    /// borne out by another signature. In all else as strict as [`Csr::parse`].
    pub fn parse_without_proof(der: &[u8]) -> Result<Self, CsrError> {
        Self::read(der, false)
    }

    fn read(der: &[u8], proof: bool) -> Result<Self, CsrError> {
        if der.len() > CSR_OCTETS_MAX {
            return Err(CsrError::TooLong(der.len()));
        }
        let request = CertReq::from_der(der).map_err(malformed)?;
        if request.to_der().map_err(malformed)? != der {
            return Err(CsrError::NotCanonical);
        }
        let outline = Outline::of(der).ok_or_else(|| CsrError::Malformed("fields out of place".to_owned()))?;
        let public_key = PublicKey::from_spki_der(outline.public_key).map_err(CsrError::Key)?;
        public_key.check_size()?;
        if proof {
            verify(&public_key, &outline, &request)?;
        }

        let extensions = requested_extensions(&request)?;
        let mut names = alternative_names(&extensions)?;
        refuse_authority(&extensions)?;
        let common_name = common_name_of(outline.subject)?;
        if let Some(name) = &common_name {
            names.insert(match name.parse::<IpAddr>() {
                Ok(address) => GeneralName::Ip(address),
                Err(_) => GeneralName::Dns(name.clone()),
            });
        }
        let wants_must_staple = wants_must_staple(&extensions)?;
        Ok(Self { der: der.to_vec(), public_key, names, common_name, wants_must_staple })
    }

    /// The key to certify.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// All names asked for, the common name included; DNS names in lower case, not checked further.
    pub fn names(&self) -> &BTreeSet<GeneralName> {
        &self.names
    }

    /// The subject's common name, in lower case.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// Whether the TLS feature status_request is asked for (RFC 7633).
    pub fn wants_must_staple(&self) -> bool {
        self.wants_must_staple
    }

    /// The exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl fmt::Debug for Csr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Csr({:?}, {:?})", self.names, self.public_key)
    }
}

/// Where the fields lie whose exact bytes are wanted.
struct Outline<'a> {
    info: &'a [u8],
    subject: &'a [u8],
    public_key: &'a [u8],
    algorithm: &'a [u8],
}

impl<'a> Outline<'a> {
    fn of(request: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(only(request, tag::SEQUENCE)?.contents);
        let info = outer.expect(tag::SEQUENCE)?;
        let algorithm = outer.expect(tag::SEQUENCE)?.encoded;
        let mut fields = Reader::new(info.contents);
        fields.expect(tag::INTEGER)?;
        let subject = fields.expect(tag::SEQUENCE)?.encoded;
        let public_key = fields.expect(tag::SEQUENCE)?.encoded;
        Some(Self { info: info.encoded, subject, public_key, algorithm })
    }
}

fn malformed(error: der::Error) -> CsrError {
    CsrError::Malformed(error.to_string())
}

fn verify(key: &PublicKey, outline: &Outline<'_>, request: &CertReq) -> Result<(), CsrError> {
    let algorithm =
        SignatureAlgorithm::from_algorithm_identifier_der(outline.algorithm).ok_or(CsrError::SignatureAlgorithm)?;
    let signature = request.signature.as_bytes().ok_or(CsrError::BadSignature)?;
    key.verify(algorithm, outline.info, signature).map_err(|error| match error {
        KeyError::BadSignature => CsrError::BadSignature,
        KeyError::Malformed(_)
        | KeyError::TooLong(_)
        | KeyError::UnsupportedAlgorithm(_)
        | KeyError::UnsupportedCurve(_)
        | KeyError::Parameters
        | KeyError::Point(_)
        | KeyError::Rsa
        | KeyError::AlgorithmMismatch { .. } => CsrError::Key(error),
    })
}

type Extensions = Vec<x509_cert::ext::Extension>;

fn requested_extensions(request: &CertReq) -> Result<Extensions, CsrError> {
    let mut values = request
        .info
        .attributes
        .iter()
        .filter(|attribute| attribute.oid == oid::EXTENSION_REQUEST)
        .flat_map(|attribute| attribute.values.iter());
    let Some(value) = values.next() else {
        return Ok(Vec::new());
    };
    if values.next().is_some() {
        return Err(CsrError::SeveralExtensionRequests);
    }
    let unreadable = |error: der::Error| CsrError::Extension { name: "extensionRequest", reason: error.to_string() };
    let encoded = value.to_der().map_err(unreadable)?;
    let extensions = ExtensionReq::from_der(&encoded).map_err(unreadable)?.0;
    let doubled = extensions
        .iter()
        .enumerate()
        .find(|(at, extension)| extensions[..*at].iter().any(|earlier| earlier.extn_id == extension.extn_id));
    match doubled {
        Some((_, extension)) => Err(CsrError::DoubledExtension(extension.extn_id)),
        None => Ok(extensions),
    }
}

fn value_of<'a>(extensions: &'a Extensions, id: &const_oid::ObjectIdentifier) -> Option<&'a [u8]> {
    extensions.iter().find(|extension| extension.extn_id == *id).map(|extension| extension.extn_value.as_bytes())
}

fn alternative_names(extensions: &Extensions) -> Result<BTreeSet<GeneralName>, CsrError> {
    use x509_cert::ext::pkix::name::GeneralName as RfcGeneralName;
    let Some(value) = value_of(extensions, &oid::SUBJECT_ALT_NAME) else {
        return Ok(BTreeSet::new());
    };
    let names = SubjectAltName::from_der(value)
        .map_err(|error| CsrError::Extension { name: "subjectAltName", reason: error.to_string() })?;
    names
        .0
        .iter()
        .map(|name| {
            let of_wrong_form = match name {
                RfcGeneralName::IpAddress(_) => CsrError::Address,
                RfcGeneralName::OtherName(_)
                | RfcGeneralName::Rfc822Name(_)
                | RfcGeneralName::DnsName(_)
                | RfcGeneralName::DirectoryName(_)
                | RfcGeneralName::EdiPartyName(_)
                | RfcGeneralName::UniformResourceIdentifier(_)
                | RfcGeneralName::RegisteredId(_) => CsrError::NameKind,
            };
            general_name(name).ok_or(of_wrong_form)
        })
        .collect()
}

fn refuse_authority(extensions: &Extensions) -> Result<(), CsrError> {
    use x509_cert::ext::pkix::BasicConstraints;
    let Some(value) = value_of(extensions, &oid::BASIC_CONSTRAINTS) else {
        return Ok(());
    };
    let constraints = BasicConstraints::from_der(value)
        .map_err(|error| CsrError::Extension { name: "basicConstraints", reason: error.to_string() })?;
    if constraints.ca { Err(CsrError::AsksForAuthority) } else { Ok(()) }
}

fn wants_must_staple(extensions: &Extensions) -> Result<bool, CsrError> {
    const STATUS_REQUEST: u16 = 5;
    let Some(value) = value_of(extensions, &oid::TLS_FEATURE) else {
        return Ok(false);
    };
    let features = Vec::<u16>::from_der(value)
        .map_err(|error| CsrError::Extension { name: "TLS feature", reason: error.to_string() })?;
    Ok(features.contains(&STATUS_REQUEST))
}

fn common_name_of(subject: &[u8]) -> Result<Option<String>, CsrError> {
    let mut common_names = Name::from_checked_der(subject).common_names().into_iter();
    let Some(common_name) = common_names.next() else {
        return Ok(None);
    };
    if common_names.next().is_some() {
        return Err(CsrError::SeveralCommonNames);
    }
    match common_name.chars().count() {
        // Some clients send an empty common name where they have none.
        0 => Ok(None),
        length if length > COMMON_NAME_MAX => Err(CsrError::CommonNameTooLong(length)),
        _ => Ok(Some(common_name.to_lowercase())),
    }
}

#[cfg(test)]
mod tests;
