//! Certificates: what a CA says in them, their exact bytes, and reading them back.

mod correspondence;
mod parsed;
mod tbs;

use std::collections::BTreeSet;

use const_oid::ObjectIdentifier;

use crate::{GeneralName, Name, PublicKey, Sct, Serial, SignatureAlgorithm, Timestamp, oid};

pub use correspondence::{Mismatch, corresponds};
pub use parsed::{Certificate, CertificateError};
pub(crate) use parsed::{distribution_point_url, general_name, timestamp};
pub use tbs::TbsCertificate;
pub(crate) use tbs::{
    signed, write_authority_key_identifier, write_distribution_point_name, write_extension, write_general_name,
};

/// The longest certificate, TBSCertificate or precertificate that is read, in octets.
pub const CERTIFICATE_OCTETS_MAX: usize = 64 << 10;

/// From when to when a certificate is valid: both ends inclusive, whole seconds (RFC 5280 §4.1.2.5). Ninety days
/// from `not_before` end one second before the ninetieth midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: Timestamp,
    /// The last second.
    pub not_after: Timestamp,
}

/// What a certificate says about Certificate Transparency.
#[derive(Clone, Copy, Debug)]
pub enum Ct<'a> {
    /// Nothing: a profile without CT.
    None,
    /// A precertificate's poison (RFC 6962 §3.1).
    Poison,
    /// The SCTs of a final certificate (RFC 6962 §3.3), in this order. There must be one at least.
    Scts(&'a [Sct]),
}

/// What the key of a leaf may be used for (RFC 5280 §4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUsage {
    /// digitalSignature.
    DigitalSignature,
    /// digitalSignature, and keyEncipherment if it is an RSA key: for clients without forward secrecy.
    KeyEncipherment,
}

/// A purpose in extendedKeyUsage (RFC 5280 §4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// id-kp-serverAuth.
    ServerAuth,
    /// id-kp-clientAuth.
    ClientAuth,
}

impl Purpose {
    /// The object identifier of the purpose.
    pub const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::ServerAuth => oid::SERVER_AUTH,
            Self::ClientAuth => oid::CLIENT_AUTH,
        }
    }
}

/// All that a leaf of ours says. Nothing of it comes from a request but key and names.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    /// Its serial number.
    pub serial: Serial,
    /// The subject of the issuer, byte for byte.
    pub issuer: &'a Name,
    /// The issuer's subjectKeyIdentifier.
    pub issuer_key_identifier: [u8; 20],
    /// The algorithm that it will be signed with.
    pub signature_algorithm: SignatureAlgorithm,
    /// From when to when it is valid.
    pub validity: Validity,
    /// The subject's only attribute; without it the subject is empty, and subjectAltName critical.
    pub common_name: Option<&'a str>,
    /// subjectAltName, in this set's order. There must be one at least.
    pub names: &'a BTreeSet<GeneralName>,
    /// The subscriber's key.
    pub public_key: &'a PublicKey,
    /// keyUsage.
    pub key_usage: KeyUsage,
    /// extendedKeyUsage; left out if empty.
    pub extended_key_usage: &'a [Purpose],
    /// certificatePolicies, without qualifiers; left out if empty.
    pub policies: &'a [ObjectIdentifier],
    /// Where the issuer's certificate can be had (RFC 5280 §4.2.2.1).
    pub ca_issuers_url: Option<&'a str>,
    /// Where the OCSP responder listens (RFC 5280 §4.2.2.1).
    pub ocsp_url: Option<&'a str>,
    /// Where the CRL of this serial's shard can be had (RFC 5280 §4.2.1.13).
    pub crl_url: Option<&'a str>,
    /// Whether there is a subjectKeyIdentifier (BR 7.1.2.7.6: not recommended).
    pub subject_key_identifier: bool,
    /// Whether the TLS feature status_request is asked for (RFC 7633).
    pub must_staple: bool,
    /// What it says about CT.
    pub ct: Ct<'a>,
}

/// All that the certificate of a CA says: a root, or an intermediate.
#[derive(Clone, Copy, Debug)]
pub struct Authority<'a> {
    /// Its serial number.
    pub serial: Serial,
    /// The issuer: the subject itself for a root.
    pub issuer: &'a Name,
    /// Its own name; must not be empty.
    pub subject: &'a Name,
    /// The algorithm that it will be signed with.
    pub signature_algorithm: SignatureAlgorithm,
    /// From when to when it is valid.
    pub validity: Validity,
    /// The CA's key; its key identifier becomes the subjectKeyIdentifier.
    pub public_key: &'a PublicKey,
    /// The issuer's subjectKeyIdentifier; a root should repeat its own (BR 7.1.2.1.2), and may have none.
    pub authority_key_identifier: Option<[u8; 20]>,
    /// How many CAs may follow below; `Some(0)` for one that issues leaves (RFC 5280 §4.2.1.9).
    pub path_length: Option<u8>,
    /// Whether it signs other things than certificates and CRLs itself, OCSP answers for example.
    pub digital_signature: bool,
    /// extendedKeyUsage; left out if empty, as in a root.
    pub extended_key_usage: &'a [Purpose],
    /// certificatePolicies; left out if empty, as in a root.
    pub policies: &'a [ObjectIdentifier],
    /// Where the issuer's certificate can be had.
    pub ca_issuers_url: Option<&'a str>,
    /// Where the issuer's OCSP responder listens.
    pub ocsp_url: Option<&'a str>,
    /// Where the issuer's CRL can be had.
    pub crl_url: Option<&'a str>,
}

#[cfg(test)]
mod tests;
