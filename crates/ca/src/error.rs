//! Errors of the domain, sorted by who must act.

use acme::{Problem, ProblemType};

use crate::ports::{StoreError, StoreErrorKind};

/// Why something that was asked for was not done. A third kind, fatal, never gets here: a store whose sync fails ends
/// the process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client must act: it is told this.
    #[error("refused: {}", .0.detail)]
    Refused(Box<Problem>),
    /// We must act: retried or, to a client, `serverInternal` with `Retry-After`. Logged once, where it becomes a
    /// response.
    #[error("failed: {0}")]
    Failed(String),
}

/// The answer of the domain.
pub type Answer<T> = Result<T, Error>;

impl Error {
    /// A refusal of this type, with a sentence for people.
    pub fn refused(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self::Refused(Box::new(Problem::new(kind, detail)))
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let what = match error.kind {
            StoreErrorKind::Unavailable => "the store is not available",
            StoreErrorKind::Full => "the store has no room left",
            StoreErrorKind::Unknown => "the outcome of a write is unknown",
            StoreErrorKind::Fatal => "the store failed for good",
            StoreErrorKind::Corrupt => "a record can't be read",
        };
        Self::Failed(format!("{what}: {}", error.detail))
    }
}
