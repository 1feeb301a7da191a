//! What the ledger keeps for OCSP: the status of a serial, and the certificates of responders.

use pki::{Reason, Serial, Sha256, Timestamp};

use super::SerialStatus;

/// What is known of the status of an allocated serial, and no more than an OCSP answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRecord {
    /// The issuer: SHA-256 of its SubjectPublicKeyInfo.
    pub issuer: Sha256,
    /// The status.
    pub status: SerialStatus,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// When its revocation counts from, and why. There is one if, and only if, the status is `revoked`.
    pub revocation: Option<(Timestamp, Reason)>,
}

/// The certificate of a delegated OCSP responder (RFC 6960 §4.2.2.2): what is to be signed is on record before it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponderRecord {
    /// Its serial, which no other certificate of this CA has.
    pub serial: Serial,
    /// The issuer: SHA-256 of its SubjectPublicKeyInfo.
    pub issuer: Sha256,
    /// The responder's key: SHA-256 of its SubjectPublicKeyInfo.
    pub spki_hash: Sha256,
    /// When it was made.
    pub made: Timestamp,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// The TBS signed by a throwaway key.
    pub linting_certificate: Vec<u8>,
    /// The certificate, once it is stored. Restored from an audit log, it stands for its linting certificate, too.
    pub certificate: Option<Vec<u8>>,
}
