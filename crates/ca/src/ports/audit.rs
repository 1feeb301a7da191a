//! The audit log: one for each instance that signs or revokes, with its own hash chain.

use async_trait::async_trait;
use pki::{LogId, Reason, Serial, Sha256, Timestamp};
use serde::{Deserialize, Serialize};

use super::{LineCounts, StopRecord, Stored};
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
    /// Issuance is about to be stopped: written before the ledger.
    IssuanceStopped {
        /// The stop.
        stop: StopRecord,
    },
    /// A stop of issuance is about to end: written before the ledger.
    IssuanceResumed {
        /// The stop's number.
        number: u64,
        /// When it began. `None`: a line of an older version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
        /// When it ends.
        ended: Timestamp,
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
    /// The certificate of an OCSP responder was signed: written before anyone else sees it.
    OcspResponder {
        /// Its serial number.
        serial: Serial,
        /// The whole of it.
        #[serde(with = "crate::base64")]
        der: Vec<u8>,
    },
    /// A file of the log begins behind another one: the first line of each file but the first. It says what the file
    /// goes on from, so that a file can be judged when those before it have been moved away.
    Continued {
        /// Whose log it is.
        instance: InstanceId,
        /// The chain's hash before this line.
        before: Sha256,
    },
    /// From here on the checkpoints of this log are signed with this key.
    CheckpointKey {
        /// Whose log it is.
        instance: InstanceId,
        /// The key's SubjectPublicKeyInfo.
        #[serde(with = "crate::base64")]
        spki: Vec<u8>,
        /// The signature of the key before it, which names this one its successor. `None`: there was none before, or it
        /// was lost.
        replaces: Option<CheckpointKeyChange>,
    },
    /// A checkpoint: what the log was when it had so many lines, signed.
    Checkpoint {
        /// The lines that it speaks for: those before this number.
        lines: u64,
        /// The chain's hash after the last of them.
        head: Sha256,
        /// When it was signed.
        signed: Timestamp,
        /// The SubjectPublicKeyInfo of the key that signed it.
        #[serde(with = "crate::base64")]
        spki: Vec<u8>,
        /// The signature.
        #[serde(with = "crate::base64")]
        signature: Vec<u8>,
    },
    /// An operator says that the clock is right at the time of this line: what has later times was written while it was
    /// wrong.
    ClockAccepted {
        /// The newest time that the ledger had.
        newest: Timestamp,
        /// Who says so.
        by: String,
    },
    /// The ledger was older than an audit log, and was given back what that log holds.
    Recovered {
        /// Whose log it was.
        from: InstanceId,
        /// The first line that the ledger did not know.
        first: u64,
        /// When the last line before that was written.
        since: Option<Timestamp>,
        /// When the last line of the log was written.
        until: Timestamp,
        /// When the recovery began.
        begun: Timestamp,
        /// What was restored.
        restored: LineCounts,
        /// The built-in logs that ended with it.
        retired: Vec<LogId>,
    },
}

/// One key of checkpoints names another one its successor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointKeyChange {
    /// The SubjectPublicKeyInfo of the key before.
    #[serde(with = "crate::base64")]
    pub spki: Vec<u8>,
    /// Its signature.
    #[serde(with = "crate::base64")]
    pub signature: Vec<u8>,
}

impl AuditEvent {
    /// Whether the ledger has to know what the line says. Others speak of the log itself: nobody calls
    /// [`AuditLog::applied`] for them, and the mark goes over them.
    pub const fn is_for_ledger(&self) -> bool {
        match self {
            Self::Precertificate { .. }
            | Self::Certificate { .. }
            | Self::Revocation { .. }
            | Self::KeyBlock { .. }
            | Self::IssuanceStopped { .. }
            | Self::IssuanceResumed { .. }
            | Self::CrlNumber { .. }
            | Self::Crl { .. }
            | Self::Authority { .. }
            | Self::OcspResponder { .. }
            | Self::ClockAccepted { .. }
            | Self::Recovered { .. } => true,
            Self::Begun { .. } | Self::Continued { .. } | Self::CheckpointKey { .. } | Self::Checkpoint { .. } => false,
        }
    }
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

/// Lines of an audit log to be read: this instance's own, or that of one that never returns.
#[async_trait]
pub trait AuditSource: Send + Sync {
    /// The lines from the mark on, as [`AuditLog::lines`] has them.
    async fn page(&self, from: AuditMark, limit: usize) -> Stored<(Vec<AuditLine>, AuditMark)>;

    /// The line before the mark, if there is one and it can be had.
    async fn before(&self, mark: AuditMark) -> Stored<Option<AuditLine>>;
}

/// The lines of a log that is open for writing.
#[derive(Clone, Copy, Debug)]
pub struct OpenLog<'a>(pub &'a dyn AuditLog);

#[async_trait]
impl AuditSource for OpenLog<'_> {
    async fn page(&self, from: AuditMark, limit: usize) -> Stored<(Vec<AuditLine>, AuditMark)> {
        self.0.lines(from, limit).await
    }

    /// None: it stands before what was opened.
    async fn before(&self, _mark: AuditMark) -> Stored<Option<AuditLine>> {
        Ok(None)
    }
}
