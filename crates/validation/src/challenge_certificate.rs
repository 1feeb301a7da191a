//! The certificate of a tls-alpn-01 answer (RFC 8737 §3, RFC 8738 §6). Pure.

use std::net::IpAddr;

use acme::Identifier;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME;
use der::asn1::{Any, BitString, OctetStringRef};
use der::{Decode, Encode, Sequence};
use rustls_pki_types::SignatureVerificationAlgorithm;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// id-pe-acmeIdentifier (RFC 8737 §6.1).
const ACME_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.31");
const DIGEST_OCTETS: usize = 32;

/// Why a certificate is no answer. The text fits behind "the certificate ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("can't be read: it is not the DER of an X.509 certificate")]
    Encoding,
    #[error("is not self-signed (RFC 8737 §3)")]
    NotSelfSigned,
    #[error("has no extension {0}")]
    Missing(&'static str),
    #[error("has the extension {0} more than once")]
    Doubled(&'static str),
    #[error("has an extension {0} that can't be read")]
    Unreadable(&'static str),
    #[error("has {0} subject alternative names; expected {1} alone")]
    NotAlone(usize, String),
    #[error("is for another name than {0}")]
    OtherName(String),
    #[error("has a subject alternative name of another kind than {0}")]
    OtherKind(&'static str),
    #[error("has an acmeIdentifier extension that is not marked critical (RFC 8737 §3)")]
    NotCritical,
    #[error("has an acmeIdentifier of {0} octets; expected the {DIGEST_OCTETS} of a SHA-256 digest")]
    DigestLength(usize),
    #[error("has an acmeIdentifier that is not the digest of the key authorization")]
    OtherDigest,
}

const SAN: &str = "subjectAltName";
const ACME: &str = "acmeIdentifier";

/// The certificate that a server showed first. When it is valid, RFC 8737 doesn't ask, and answers are made with years
/// that the types for X.509 can't hold; so that and what else doesn't count is skipped.
#[derive(Debug)]
pub(crate) struct Leaf {
    signed: Signed,
    tbs: TbsCertificate,
}

/// Certificate (RFC 5280 §4.1).
#[derive(Debug, Sequence)]
struct Signed {
    tbs_certificate: Any,
    signature_algorithm: Any,
    signature: BitString,
}

/// TBSCertificate (RFC 5280 §4.1.2).
#[derive(Debug, Sequence)]
struct TbsCertificate {
    #[asn1(context_specific = "0", optional = "true")]
    version: Option<u8>,
    serial_number: Any,
    signature: Any,
    issuer: Any,
    validity: Any,
    subject: Any,
    subject_public_key_info: SubjectPublicKeyInfo,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    issuer_unique_id: Option<BitString>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    subject_unique_id: Option<BitString>,
    #[asn1(context_specific = "3", optional = "true")]
    extensions: Option<Vec<Extension>>,
}

/// SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
#[derive(Debug, Sequence)]
struct SubjectPublicKeyInfo {
    algorithm: Any,
    subject_public_key: BitString,
}

impl Leaf {
    pub(crate) fn parse(der: &[u8]) -> Result<Self, Fault> {
        let signed = Signed::from_der(der).map_err(|_| Fault::Encoding)?;
        let tbs = signed.tbs_certificate.decode_as().map_err(|_| Fault::Encoding)?;
        Ok(Self { signed, tbs })
    }

    /// The SubjectPublicKeyInfo.
    pub(crate) fn public_key_der(&self) -> Result<Vec<u8>, Fault> {
        self.tbs.subject_public_key_info.to_der().map_err(|_| Fault::Encoding)
    }

    /// Whether this is a signature by the certificate's key, by the algorithm among these that fits the key.
    pub(crate) fn verify(
        &self,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let key = &self.tbs.subject_public_key_info;
        let Some(octets) = key.subject_public_key.as_bytes() else {
            return false;
        };
        algorithms
            .iter()
            .filter(|candidate| candidate.public_key_alg_id().as_ref() == key.algorithm.value())
            .any(|fitting| fitting.verify_signature(octets, message, signature).is_ok())
    }

    /// Checks that it shows control of the identifier: its name and nothing else, and the digest.
    pub(crate) fn check(
        &self,
        identifier: &Identifier,
        digest: &[u8; DIGEST_OCTETS],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<(), Fault> {
        self.check_self_signed(algorithms)?;
        self.check_name(identifier)?;
        let extension = self.extension(ACME_IDENTIFIER, ACME)?;
        if !extension.critical {
            return Err(Fault::NotCritical);
        }
        let value =
            <&OctetStringRef>::from_der(extension.extn_value.as_bytes()).map_err(|_| Fault::Unreadable(ACME))?;
        match value.as_bytes() {
            octets if octets == digest => Ok(()),
            octets if octets.len() != DIGEST_OCTETS => Err(Fault::DigestLength(octets.len())),
            _ => Err(Fault::OtherDigest),
        }
    }

    fn check_self_signed(&self, algorithms: &[&dyn SignatureVerificationAlgorithm]) -> Result<(), Fault> {
        let message = self.signed.tbs_certificate.to_der().map_err(|_| Fault::Encoding)?;
        let Some(signature) = self.signed.signature.as_bytes() else {
            return Err(Fault::NotSelfSigned);
        };
        let named: Vec<_> = algorithms
            .iter()
            .copied()
            .filter(|algorithm| algorithm.signature_alg_id().as_ref() == self.signed.signature_algorithm.value())
            .collect();
        if self.tbs.issuer == self.tbs.subject && self.verify(&named, &message, signature) {
            Ok(())
        } else {
            Err(Fault::NotSelfSigned)
        }
    }

    fn check_name(&self, identifier: &Identifier) -> Result<(), Fault> {
        let extension = self.extension(ID_CE_SUBJECT_ALT_NAME, SAN)?;
        let SubjectAltName(names) =
            SubjectAltName::from_der(extension.extn_value.as_bytes()).map_err(|_| Fault::Unreadable(SAN))?;
        let [name] = names.as_slice() else {
            return Err(Fault::NotAlone(names.len(), identifier.to_string()));
        };
        let matches = match (identifier, name) {
            (Identifier::Dns(expected), GeneralName::DnsName(name)) => {
                name.as_str().eq_ignore_ascii_case(expected.as_str())
            }
            (Identifier::Ip(expected), GeneralName::IpAddress(octets)) => octets_of(*expected) == octets.as_bytes(),
            (Identifier::Ip(_), _) => return Err(Fault::OtherKind("iPAddress")),
            (Identifier::Dns(_) | Identifier::Wildcard(_), _) => return Err(Fault::OtherKind("dNSName")),
        };
        if matches { Ok(()) } else { Err(Fault::OtherName(identifier.to_string())) }
    }

    fn extension(&self, oid: ObjectIdentifier, name: &'static str) -> Result<&Extension, Fault> {
        let extensions = self.tbs.extensions.as_deref().unwrap_or_default();
        let mut found = extensions.iter().filter(|extension| extension.extn_id == oid);
        match (found.next(), found.next()) {
            (Some(extension), None) => Ok(extension),
            (Some(_), Some(_)) => Err(Fault::Doubled(name)),
            (None, _) => Err(Fault::Missing(name)),
        }
    }
}

fn octets_of(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
