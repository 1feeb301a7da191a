//! Certificate Transparency: submission of precertificates (RFC 6962).

use std::time::Duration;

use async_trait::async_trait;
use pki::{PrecertEntry, Sct, Serial, Timestamp};

/// How many SCTs a profile wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtPolicy {
    /// At least so many, each of another log.
    pub scts: usize,
    /// Of at least so many operators.
    pub operators: usize,
}

/// A precertificate to be logged.
#[derive(Clone, Debug)]
pub struct CtSubmission {
    /// Its serial.
    pub serial: Serial,
    /// The precertificate, DER.
    pub precertificate: Vec<u8>,
    /// The certificates above it, the issuer first.
    pub chain: Vec<Vec<u8>>,
    /// What the logs sign.
    pub entry: PrecertEntry,
    /// The end of its validity: selects a log's temporal shard.
    pub not_after: Timestamp,
    /// How many SCTs are wanted.
    pub policy: CtPolicy,
    /// Logs are asked no longer than this.
    pub time_limit: Duration,
}

/// Too few SCTs. The submission may be repeated: a log answers a resubmission with the same SCT.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct CtError {
    /// Which logs were asked, and what each said.
    pub detail: String,
}

/// Whether a submission is likely to succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CtReadiness {
    /// No news is good news.
    Ready,
    /// Too many logs failed lately: an order waits, and takes no serial.
    NotReady {
        /// For the operator.
        detail: String,
    },
}

/// Submits precertificates to CT logs.
#[async_trait]
pub trait CtSubmitter: Send + Sync + std::fmt::Debug {
    /// Asked before a serial is taken. A log in doubt is probed with get-sth; one good answer clears it.
    async fn readiness(&self, policy: CtPolicy, not_after: Timestamp) -> CtReadiness;

    /// Submits, and answers with SCTs that satisfy the policy, each verified over the entry.
    async fn submit(&self, submission: CtSubmission) -> Result<Vec<Sct>, CtError>;
}
