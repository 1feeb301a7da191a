//! Why an order came to nothing.

use std::time::Duration;

use acme::{Problem, ProblemType};

/// Why an order came to nothing, or the run could not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The server said no (RFC 8555 §6.7).
    #[error("{0}")]
    Problem(Problem),
    /// No answer came.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The answer is not what RFC 8555 promises.
    #[error("{0}")]
    Protocol(String),
    /// The certificate is not the one that was ordered.
    #[error("{0}")]
    Certificate(String),
    /// The order took longer than it may.
    #[error("the order was given up after {} s", .0.as_secs())]
    TimedOut(Duration),
}

impl Failure {
    /// The word under which failures are counted: the type of the problem, or what else it was.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Problem(problem) => word(&problem.kind),
            Self::Transport(_) => "(no answer)".to_owned(),
            Self::Protocol(_) => "(protocol)".to_owned(),
            Self::Certificate(_) => "(wrong certificate)".to_owned(),
            Self::TimedOut(_) => "(timed out)".to_owned(),
        }
    }
}

fn word(kind: &ProblemType) -> String {
    let urn = kind.urn();
    urn.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(&urn).to_owned()
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// A URL that nothing can be sent to.
    #[error("`{url}` is not an https URL: {reason}")]
    Url {
        /// As the server, or the command line, has it.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// TCP or TLS.
    #[error("cannot connect to {origin}: {reason}")]
    Connect {
        /// Host and port.
        origin: String,
        /// What the system or rustls says.
        reason: std::io::Error,
    },
    /// HTTP, or the connection ended.
    #[error("the connection broke: {0}")]
    Http(hyper::Error),
    /// newNonce without a nonce (RFC 8555 §7.2).
    #[error("newNonce answered {status} without a Replay-Nonce header")]
    NoNonce {
        /// The HTTP status.
        status: u16,
    },
    /// The body is too long or ended early.
    #[error("the body could not be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

// Not by thiserror's `from`, which would make it a source too: the text has it, and a chain would say it twice.
impl From<hyper::Error> for TransportError {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

impl TransportError {
    /// Whether another try may go better.
    pub(crate) const fn can_pass(&self) -> bool {
        match self {
            Self::Url { .. } => false,
            Self::Connect { .. } | Self::Http(_) | Self::NoNonce { .. } | Self::Body(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_counted_by_the_word_of_their_type() {
        let limited = Failure::Problem(Problem::new(ProblemType::RateLimited, "slower"));
        assert_eq!(limited.kind(), "rateLimited");
        let foreign = Failure::Problem(Problem::new(ProblemType::Other("https://ca.test/oops".into()), ""));
        assert_eq!(foreign.kind(), "https://ca.test/oops");
    }
}
