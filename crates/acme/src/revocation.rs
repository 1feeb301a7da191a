//! Revocation requests (RFC 8555 §7.6).

use serde::{Deserialize, Serialize};

use crate::base64url::base64url_decode;
use crate::problem::{Problem, ProblemType};

/// The payload of revokeCert (RFC 8555 §7.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeRequest {
    /// The certificate: base64url of its DER.
    pub certificate: String,
    /// The reason code (RFC 5280 §5.3.1); absent means unspecified. Any whole number is read, so that a wrong one gets
    /// the right error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<i64>,
}

impl RevokeRequest {
    /// The DER of the certificate, not yet read.
    ///
    /// # Errors
    /// `malformed` if it is not base64url.
    pub fn certificate_der(&self) -> Result<Vec<u8>, Problem> {
        base64url_decode(&self.certificate).map_err(|fault| {
            Problem::malformed(format!(
                "the `certificate` is not base64url of DER, without PEM's header lines: {fault} (RFC 8555 §7.6)"
            ))
        })
    }

    /// The reason code: one that RFC 5280 §5.3.1 defines, 0 if none was given. Which of them a subscriber may use is a
    /// matter of policy.
    ///
    /// # Errors
    /// `badRevocationReason` for 7 and all that is not between 0 and 10.
    pub fn reason_code(&self) -> Result<u8, Problem> {
        let reason = self.reason.unwrap_or(0);
        match u8::try_from(reason) {
            Ok(code @ (0..=6 | 8..=10)) => Ok(code),
            Ok(7 | 11..=255) | Err(_) => Err(Problem::new(
                ProblemType::BadRevocationReason,
                format!(
                    "the revocation reason {reason} does not exist; reasons are 0 to 10 without 7 (RFC 5280 §5.3.1)"
                ),
            )),
        }
    }
}
