//! What a ledger that is older than an audit log is given back from it. The transitions stand in [`super::Ledger`].

use std::collections::BTreeSet;

use pki::{GeneralName, LogId, Serial, Sha256, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AuditEvent, AuditMark, CrlGenerationId, KeyBlock, ResponderRecord, Revocation, StopRecord};
use crate::InstanceId;
use crate::order::Order;

/// How many lines of an audit log there are of each kind that a ledger keeps something of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LineCounts {
    /// Precertificates.
    pub precertificates: u64,
    /// Certificates.
    pub certificates: u64,
    /// Revocations.
    pub revocations: u64,
    /// Blocked keys.
    pub key_blocks: u64,
    /// Stops of issuance, and their ends.
    pub stops: u64,
    /// CRL numbers.
    pub crl_numbers: u64,
    /// Certificates of this CA itself: its own, and those of its OCSP responders.
    pub authorities: u64,
}

impl LineCounts {
    /// With one line more.
    pub const fn add(&mut self, event: &AuditEvent) {
        match event {
            AuditEvent::Precertificate { .. } => self.precertificates += 1,
            AuditEvent::Certificate { .. } => self.certificates += 1,
            AuditEvent::Revocation { .. } => self.revocations += 1,
            AuditEvent::KeyBlock { .. } => self.key_blocks += 1,
            AuditEvent::IssuanceStopped { .. } | AuditEvent::IssuanceResumed { .. } => self.stops += 1,
            AuditEvent::CrlNumber { .. } => self.crl_numbers += 1,
            AuditEvent::Authority { .. } | AuditEvent::OcspResponder { .. } => self.authorities += 1,
            AuditEvent::Begun { .. }
            | AuditEvent::Continued { .. }
            | AuditEvent::CheckpointKey { .. }
            | AuditEvent::Checkpoint { .. }
            | AuditEvent::ClockAccepted { .. }
            | AuditEvent::Crl { .. }
            | AuditEvent::Recovered { .. } => {}
        }
    }

    /// All of them.
    pub const fn total(&self) -> u64 {
        self.precertificates
            + self.certificates
            + self.revocations
            + self.key_blocks
            + self.stops
            + self.crl_numbers
            + self.authorities
    }

    /// With others added.
    #[must_use]
    pub const fn plus(&self, others: &Self) -> Self {
        Self {
            precertificates: self.precertificates + others.precertificates,
            certificates: self.certificates + others.certificates,
            revocations: self.revocations + others.revocations,
            key_blocks: self.key_blocks + others.key_blocks,
            stops: self.stops + others.stops,
            crl_numbers: self.crl_numbers + others.crl_numbers,
            authorities: self.authorities + others.authorities,
        }
    }

    /// Each kind with its name in the plural, in a fixed order.
    pub const fn kinds(&self) -> [(&'static str, u64); 7] {
        [
            ("precertificates", self.precertificates),
            ("certificates", self.certificates),
            ("revocations", self.revocations),
            ("key blocks", self.key_blocks),
            ("stops of issuance and their ends", self.stops),
            ("CRL numbers", self.crl_numbers),
            ("certificates of this CA itself", self.authorities),
        ]
    }
}

/// Where a record comes from that the ledger had forgotten. What the audit log does not hold is not known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Whose audit log it was restored from.
    pub from: InstanceId,
    /// When.
    pub at: Timestamp,
}

/// A signature that the audit log shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredSignature {
    /// The serial.
    pub serial: Serial,
    /// Its order, as far as it is known: kept if the ledger has none of this id.
    pub order: Order,
    /// The issuer: SHA-256 of its SubjectPublicKeyInfo.
    pub issuer: Sha256,
    /// Whether it has a precertificate.
    pub ct: bool,
    /// Whether this is the certificate, or else the precertificate.
    pub is_final: bool,
    /// The whole of it.
    pub der: Vec<u8>,
    /// SHA-256 of its key's SubjectPublicKeyInfo.
    pub spki_hash: Sha256,
    /// The names.
    pub names: BTreeSet<GeneralName>,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// The generation of CRL shards whose URL it says.
    pub crl_generation: CrlGenerationId,
    /// When its line was written.
    pub at: Timestamp,
}

/// What a line of the audit log says, read and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoredLine {
    /// A precertificate or certificate. A serial that the ledger does not know is kept, `good`; of one that it knows,
    /// the status and the certificate are, if they are missing.
    Signature(Box<RestoredSignature>),
    /// A revocation.
    Revocation {
        /// Of which serial, why, since when.
        revocation: Revocation,
        /// The issuer of a serial of which nothing else is known: one that was revoked while it was `wait`.
        issuer: Sha256,
        /// Until when such a one stays on CRLs.
        not_after: Timestamp,
        /// The generation of CRL shards that such a one is in.
        crl_generation: CrlGenerationId,
        /// Its order, of which nothing is known.
        order: Box<Order>,
    },
    /// A key block: every serial of the key is revoked with it, since nobody knows any more which of them were open.
    KeyBlock(KeyBlock),
    /// A stop of issuance. If its number is another stop's, it gets the next one.
    Stop(StopRecord),
    /// The end of one.
    Resume {
        /// The stop's number.
        number: u64,
        /// When it began, if the line says so: what it is known by if it got another number.
        since: Option<Timestamp>,
        /// When it ended.
        at: Timestamp,
    },
    /// A CRL number that was, or may have been, used.
    CrlNumber {
        /// The issuer: SHA-256 of its SubjectPublicKeyInfo.
        issuer: Sha256,
        /// The shard.
        shard: u16,
        /// The number.
        number: u64,
    },
    /// A certificate of this CA itself.
    Authority {
        /// SHA-256 of it.
        id: Sha256,
        /// The whole of it.
        der: Vec<u8>,
    },
    /// The certificate of an OCSP responder.
    Responder(Box<ResponderRecord>),
}

/// A page of an audit log, to be written in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// Whose log it is.
    pub from: InstanceId,
    /// What its lines say, in their order.
    pub lines: Vec<RestoredLine>,
    /// How far the log is applied with them.
    pub mark: AuditMark,
    /// Now.
    pub at: Timestamp,
}

/// A recovery of a ledger that was older than an audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryRecord {
    /// Counts the recoveries of a ledger from 1; 0: not begun yet.
    pub number: u64,
    /// Whose audit log the ledger was older than.
    pub from: InstanceId,
    /// When the recovery began.
    pub begun: Timestamp,
    /// The first line that the ledger did not know.
    pub first: u64,
    /// When the last line before that was written; `None`: there is none.
    pub since: Option<Timestamp>,
    /// When the last line of the log was written.
    pub until: Timestamp,
    /// The built-in logs that ended with it: they had promised what the ledger had forgotten.
    pub retired: Vec<LogId>,
    /// What was restored so far.
    pub restored: LineCounts,
    /// When all was done; `None`: nothing may be signed.
    pub ended: Option<Timestamp>,
}

/// What became of a serial whose order was left open while the log was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Its order is `valid` with it.
    Attached,
    /// It is no order's certificate, and revoked.
    Detached,
    /// No certificate of it was signed; its order has ended `invalid`, or goes on without it.
    Left,
}
