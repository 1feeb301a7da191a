//! What the submitter needs of a log, wherever that log is.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use ca::ports::CtSubmission;
use pki::{LogId, PublicKey, Sct};

/// A log that takes precertificates. Nothing that it answers is believed: the submitter verifies each SCT.
#[async_trait]
pub trait Endpoint: Send + Sync + fmt::Debug {
    /// SHA-256 of the log's key (RFC 6962 §3.2).
    fn log_id(&self) -> LogId;

    /// The log's key.
    fn public_key(&self) -> &PublicKey;

    /// Submits a precertificate. It may be dropped at any moment, and repeated: a log answers with the same SCT.
    async fn add_pre_chain(&self, submission: &CtSubmission) -> Result<Sct, EndpointError>;

    /// Whether the log answers: with a tree head that it signed.
    async fn probe(&self) -> Result<(), EndpointError>;
}

/// What a log said instead of giving an SCT.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No connection, or one that broke.
    #[error("can't be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("gave no answer within {} ms", .0.as_millis())]
    TooSlow(Duration),
    /// An answer of HTTP that isn't 200.
    #[error("answered {status}: {said}")]
    Status {
        /// The status code.
        status: u16,
        /// The start of its text.
        said: String,
    },
    /// An answer that makes no sense, or a signature that doesn't verify.
    #[error("gave a wrong answer: {0}")]
    Answer(String),
    /// The log doesn't want this very precertificate.
    #[error("refused: {0}")]
    Refused(String),
    /// The built-in log's own store or key failed.
    #[error("failed: {0}")]
    Failed(String),
}

impl EndpointError {
    /// Whether it speaks against the log: another submission would likely fail too. A refusal of one precertificate
    /// doesn't.
    pub const fn is_the_logs_fault(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TooSlow(_) | Self::Answer(_) | Self::Failed(_) => true,
            Self::Refused(_) => false,
            // Of 4xx, "timeout", "too early" and "too many requests" are about the log, not about the request.
            Self::Status { status, .. } => !matches!(*status, 400..=499) || matches!(*status, 408 | 425 | 429),
        }
    }
}
