//! The audit log: one for each instance that signs or revokes, with its own hash chain.

use async_trait::async_trait;
use pki::{Reason, Serial, Sha256, Timestamp};
use serde::{Deserialize, Serialize};

use super::Stored;
use crate::{InstanceId, OrderId};

/// What a line of the audit log says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum AuditEvent {
    /// The log begins: the first line of its first file.
    Begun {
        /// Whose log it is.
        instance: InstanceId,
    },
    /// A precertificate was signed: written before anyone else sees it.
    Precertificate {
        /// The order it was signed for.
        order: OrderId,
        /// Its serial number.
        serial: Serial,
        /// The whole of it.
        #[serde(with = "crate::base64")]
        der: Vec<u8>,
    },
    /// A certificate was signed: written before anyone else sees it.
    Certificate {
        /// The order it was signed for.
        order: OrderId,
        /// Its serial number.
        serial: Serial,
        /// The whole of it.
        #[serde(with = "crate::base64")]
        der: Vec<u8>,
    },
    /// A serial is about to be revoked: written before the ledger.
    Revocation {
        /// Which.
        serial: Serial,
        /// Why.
        reason: Reason,
        /// When it counts from.
        revoked: Timestamp,
        /// Who asked: an account, a key, an operator, or this CA.
        by: String,
    },
    /// A key is about to be blocked for ever: written before the ledger.
    KeyBlock {
        /// SHA-256 of its SubjectPublicKeyInfo.
        spki_hash: Sha256,
        /// Who asked.
        by: String,
    },
    /// A CRL number is about to be used: written before the ledger.
    CrlNumber {
        /// The issuer: SHA-256 of its SubjectPublicKeyInfo.
        issuer: Sha256,
        /// The shard.
        shard: u16,
        /// The number.
        number: u64,
    },
    /// A CRL was signed.
    Crl {
        /// The issuer.
        issuer: Sha256,
        /// The shard.
        shard: u16,
        /// Its number.
        number: u64,
        /// SHA-256 of the whole of it.
        sha256: Sha256,
    },
    /// A certificate of this CA itself was signed: its root or an intermediate.
    Authority {
        /// The whole of it.
        #[serde(with = "crate::base64")]
        der: Vec<u8>,
    },
}

/// A line of the audit log as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    /// Counts the lines of this log from 0.
    pub sequence: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What it says.
    pub event: AuditEvent,
}

/// How far a log was applied to the ledger: every line before `sequence` is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditMark {
    /// The first line that may not have been applied.
    pub sequence: u64,
    /// The chain's hash before that line.
    pub chain: Sha256,
}

/// Room in the audit log that nobody else can take. Given back when it is dropped.
pub trait Reservation: Send + Sync + std::fmt::Debug {}

/// The audit log of this instance; nobody else writes to it.
///
/// *Errors*: `Full`: nothing was written (a short write was cut back to the last whole line). `Fatal`: a sync failed,
/// the process ends.
#[async_trait]
pub trait AuditLog: Send + Sync + std::fmt::Debug {
    /// Keeps room for this many octets of lines, so that what was signed can be logged. `Full` if there is none.
    async fn reserve(&self, octets: u64) -> Stored<Box<dyn Reservation>>;

    /// Appends a line. It is synced when this returns; many callers share a sync. The line's sequence number.
    async fn append(&self, event: AuditEvent) -> Stored<u64>;

    /// What this line says is in the ledger now: the mark can move on.
    fn applied(&self, sequence: u64);

    /// The mark to be kept in the ledger: before it, all lines are applied.
    fn mark(&self) -> AuditMark;

    /// The lines from the mark on, in order, in pages of at most `limit`; the chain is verified from the mark. Used
    /// before anything is signed.
    async fn lines(&self, from: AuditMark, limit: usize) -> Stored<(Vec<AuditLine>, AuditMark)>;
}
