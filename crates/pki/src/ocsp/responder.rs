//! The certificate of a delegated responder (RFC 6960 §4.2.2.2, BR 7.1.2.8).

use std::fmt;

use crate::{Name, PublicKey, Serial, SignatureAlgorithm, TbsCertificate, Validity};

/// All that it says: digitalSignature, id-kp-OCSPSigning and id-pkix-ocsp-nocheck besides. It is its short life that
/// takes the place of its status.
#[derive(Clone, Copy, Debug)]
pub struct Responder<'a> {
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
    /// Its name; must not be empty.
    pub subject: &'a Name,
    /// The responder's key.
    pub public_key: &'a PublicKey,
}

/// The TBSCertificate of a responder: a type of its own, since it is never an answer to a client.
#[derive(Clone, PartialEq, Eq)]
pub struct TbsResponder(TbsCertificate);

impl TbsResponder {
    /// Its exact bytes.
    pub fn build(responder: &Responder<'_>) -> Self {
        Self(TbsCertificate::ocsp_responder(responder))
    }

    /// The TBSCertificate.
    pub const fn certificate(&self) -> &TbsCertificate {
        &self.0
    }
}

impl fmt::Debug for TbsResponder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TbsResponder({})", self.0.serial())
    }
}
