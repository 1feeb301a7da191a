//! Orders (RFC 8555 §7.1.3, §7.4).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base64url::base64url_decode;
use crate::identifier::{Identifier, WireIdentifier};
use crate::problem::{Problem, ProblemType, Subproblem};

/// The most subproblems in one problem document: an answer must not grow with the request.
pub const SUBPROBLEMS_MAX: usize = 100;

/// The state of an order (RFC 8555 §7.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// An authorization is not yet valid.
    Pending,
    /// All authorizations are valid: it can be finalized.
    Ready,
    /// The certificate is being made.
    Processing,
    /// The certificate is there.
    Valid,
    /// It will never have a certificate.
    Invalid,
}

/// The payload of newOrder (RFC 8555 §7.4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewOrder {
    /// What the certificate shall be about, unchecked; [`NewOrder::identifiers`] checks it.
    pub identifiers: Vec<WireIdentifier>,
    /// The start of validity that is asked for, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// The end of validity that is asked for, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// The profile that is asked for (draft-ietf-acme-profiles).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The certificate that this one shall replace (RFC 9773 §5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

impl NewOrder {
    /// The identifiers, checked and normalised, each once.
    ///
    /// # Errors
    /// One problem that names every bad identifier: the specific problem if there is one, else one with a subproblem
    /// for each (RFC 8555 §6.7.1), at most [`SUBPROBLEMS_MAX`].
    pub fn identifiers(&self) -> Result<BTreeSet<Identifier>, Problem> {
        if self.identifiers.is_empty() {
            return Err(Problem::malformed("the order has no identifiers; send at least one (RFC 8555 §7.4)"));
        }
        let mut identifiers = BTreeSet::new();
        let mut refused: Vec<Subproblem> = Vec::new();
        for wire in &self.identifiers {
            match Identifier::try_from(wire) {
                Ok(identifier) => {
                    identifiers.insert(identifier);
                }
                Err(error) if refused.len() < SUBPROBLEMS_MAX => refused.push(error.subproblem(wire)),
                Err(_) => break,
            }
        }
        if refused.is_empty() { Ok(identifiers) } else { Err(Problem::of_identifiers(refused)) }
    }
}

/// An order as clients see it (RFC 8555 §7.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderObject {
    /// Its state.
    pub status: OrderStatus,
    /// When the server gives it up, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// What the certificate is about.
    pub identifiers: Vec<WireIdentifier>,
    /// The profile it will have (draft-ietf-acme-profiles).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The certificate that this one replaces (RFC 9773 §5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The start of validity that was asked for, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// The end of validity that was asked for, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Why it is invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// URLs of its authorizations.
    pub authorizations: Vec<String>,
    /// Where the CSR goes.
    pub finalize: String,
    /// Where the certificate is; there exactly when the state is `valid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Where the client may say by POST of `{}` that it has the certificate. An extension of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledge: Option<String>,
}

/// The payload of finalize (RFC 8555 §7.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finalize {
    /// The certificate request: base64url of its DER.
    pub csr: String,
}

impl Finalize {
    /// The DER of the certificate request, not yet read.
    ///
    /// # Errors
    /// `badCSR` if it is not base64url.
    pub fn csr_der(&self) -> Result<Vec<u8>, Problem> {
        if self.csr.trim_start().starts_with("-----BEGIN") {
            return Err(Problem::new(
                ProblemType::BadCsr,
                "the `csr` is PEM; send the base64url of its DER, without header lines (RFC 8555 §7.4)",
            ));
        }
        base64url_decode(&self.csr).map_err(|fault| {
            Problem::new(ProblemType::BadCsr, format!("the `csr` is not base64url of DER: {fault} (RFC 8555 §7.4)"))
        })
    }
}
