//! How an issuance ends without a certificate.

use std::time::Duration;

use acme::Problem;
use pki::Serial;

use crate::ports::{StoreError, StoreErrorKind};

/// How an issuance ended without a certificate, and so who does what next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuanceEnd {
    /// Nothing was taken and nothing signed: the order waits, and the cycle begins anew.
    #[error("it has to wait: {detail}")]
    Wait {
        /// For the operator.
        detail: String,
        /// How long at least; `None`: the usual back-off.
        after: Option<Duration>,
    },
    /// A serial was taken, and a signature may exist: this issuance is over. The next one takes a new serial.
    #[error("issuance of {serial} is over: {detail}")]
    Over {
        /// The serial, which stays known and revocable.
        serial: Serial,
        /// For the operator.
        detail: String,
    },
    /// As [`IssuanceEnd::Over`], by no fault of this issuance: its lease ran out, or the clock is wrong.
    #[error("issuance of {serial} was cut short: {detail}")]
    CutShort {
        /// The serial, which stays known and revocable.
        serial: Serial,
        /// For the operator.
        detail: String,
    },
    /// The order can't have a certificate: it ends with this problem.
    #[error("the order can't have a certificate: {}", .0.detail)]
    Dead(Box<Problem>),
    /// Another worker has begun a newer issuance, or ended the order: what it did stands.
    #[error("another worker has gone on with this order")]
    Superseded,
}

impl IssuanceEnd {
    /// A store failed before anything was taken.
    pub(crate) fn wait(error: &StoreError) -> Self {
        Self::Wait { detail: error.to_string(), after: None }
    }

    /// A store failed after the serial was taken. What an unknown outcome left is found by the next run, ledger first.
    pub(crate) fn over(serial: Serial, error: &StoreError) -> Self {
        let unknown = if error.kind == StoreErrorKind::Unknown { " (outcome unknown)" } else { "" };
        Self::Over { serial, detail: format!("{error}{unknown}") }
    }
}
