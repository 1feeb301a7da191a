//! Problem documents (RFC 7807) with the error types of ACME (RFC 8555 §6.7).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::identifier::WireIdentifier;
use crate::jws::Algorithm;

const PREFIX: &str = "urn:ietf:params:acme:error:";

/// The error types of RFC 8555 §6.7 and its successors, as registered with IANA.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ProblemType {
    /// The request named an account that does not exist.
    AccountDoesNotExist,
    /// An order's `replaces` names a certificate that was replaced before (RFC 9773 §7.4).
    AlreadyReplaced,
    /// The certificate was revoked before.
    AlreadyRevoked,
    /// The CSR is unacceptable.
    BadCsr,
    /// The nonce is unknown, used or too old; the response carries a new one.
    BadNonce,
    /// The public key is unacceptable.
    BadPublicKey,
    /// The revocation reason is not allowed.
    BadRevocationReason,
    /// The signature algorithm is not supported; `algorithms` lists those that are.
    BadSignatureAlgorithm,
    /// A CAA record forbids the issuance.
    Caa,
    /// See `subproblems`.
    Compound,
    /// The server could not connect to the target of validation.
    Connection,
    /// A DNS query failed during validation.
    Dns,
    /// The request must have an external account binding.
    ExternalAccountRequired,
    /// The response to a challenge was not the right one.
    IncorrectResponse,
    /// A contact URL is invalid.
    InvalidContact,
    /// The profile is unknown or not allowed (draft-ietf-acme-profiles).
    InvalidProfile,
    /// The request is malformed.
    Malformed,
    /// The order is not ready to be finalized.
    OrderNotReady,
    /// Too many requests; see `Retry-After`.
    RateLimited,
    /// The server will not issue for this identifier.
    RejectedIdentifier,
    /// The server failed; the client may try again.
    ServerInternal,
    /// TLS failed during validation.
    Tls,
    /// The client is not authorized.
    Unauthorized,
    /// The scheme of a contact URL is not supported.
    UnsupportedContact,
    /// The type of an identifier is not supported.
    UnsupportedIdentifier,
    /// A person must visit the URL in `instance`.
    UserActionRequired,
    /// Any other type, as another server sent it: the whole URI. Never sent by us.
    Other(Box<str>),
}

/// Wire name and HTTP status of every type of ours.
const TYPES: [(ProblemType, &str, u16); 26] = [
    (ProblemType::AccountDoesNotExist, "accountDoesNotExist", 400),
    (ProblemType::AlreadyReplaced, "alreadyReplaced", 409),
    (ProblemType::AlreadyRevoked, "alreadyRevoked", 400),
    (ProblemType::BadCsr, "badCSR", 400),
    (ProblemType::BadNonce, "badNonce", 400),
    (ProblemType::BadPublicKey, "badPublicKey", 400),
    (ProblemType::BadRevocationReason, "badRevocationReason", 400),
    (ProblemType::BadSignatureAlgorithm, "badSignatureAlgorithm", 400),
    (ProblemType::Caa, "caa", 403),
    (ProblemType::Compound, "compound", 400),
    (ProblemType::Connection, "connection", 400),
    (ProblemType::Dns, "dns", 400),
    (ProblemType::ExternalAccountRequired, "externalAccountRequired", 403),
    (ProblemType::IncorrectResponse, "incorrectResponse", 403),
    (ProblemType::InvalidContact, "invalidContact", 400),
    (ProblemType::InvalidProfile, "invalidProfile", 400),
    (ProblemType::Malformed, "malformed", 400),
    (ProblemType::OrderNotReady, "orderNotReady", 403),
    (ProblemType::RateLimited, "rateLimited", 429),
    (ProblemType::RejectedIdentifier, "rejectedIdentifier", 400),
    (ProblemType::ServerInternal, "serverInternal", 500),
    (ProblemType::Tls, "tls", 400),
    (ProblemType::Unauthorized, "unauthorized", 403),
    (ProblemType::UnsupportedContact, "unsupportedContact", 400),
    (ProblemType::UnsupportedIdentifier, "unsupportedIdentifier", 400),
    (ProblemType::UserActionRequired, "userActionRequired", 403),
];

impl ProblemType {
    fn row(&self) -> Option<&'static (Self, &'static str, u16)> {
        TYPES.iter().find(|(kind, ..)| kind == self)
    }

    /// The URI of the `type` member.
    #[must_use]
    pub fn urn(&self) -> String {
        match (self, self.row()) {
            (Self::Other(uri), _) => uri.to_string(),
            (_, Some((_, name, _))) => format!("{PREFIX}{name}"),
            (_, None) => "about:blank".to_owned(),
        }
    }

    /// The HTTP status that goes with this type unless the RFC names another for the case at hand.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.row().map_or(500, |(_, _, status)| *status)
    }

    fn from_uri(uri: &str) -> Self {
        uri.strip_prefix(PREFIX)
            .and_then(|name| TYPES.iter().find(|(_, known, _)| *known == name))
            .map_or_else(|| Self::Other(uri.into()), |(kind, ..)| kind.clone())
    }
}

impl fmt::Display for ProblemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.urn())
    }
}

impl Serialize for ProblemType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.urn())
    }
}

impl<'de> Deserialize<'de> for ProblemType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|uri| Self::from_uri(&uri))
    }
}

/// A problem document, `application/problem+json` (RFC 7807 §3, RFC 8555 §6.7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct Problem {
    /// The kind of error.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: ProblemType,
    /// For people: what is wrong, and what would be right.
    #[serde(default)]
    pub detail: String,
    /// The HTTP status of the response; 0 if another server did not repeat it in the document.
    #[serde(default)]
    pub status: u16,
    /// One for each identifier that failed (RFC 8555 §6.7.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subproblems: Vec<Subproblem>,
    /// The `alg` values that would be right, with `badSignatureAlgorithm` (RFC 8555 §6.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithms: Option<Box<[String]>>,
    /// A URL that a person must visit, with `userActionRequired` (RFC 8555 §7.3.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Box<str>>,
}

fn about_blank() -> ProblemType {
    ProblemType::Other("about:blank".into())
}

impl Problem {
    /// A problem with the default status of its type.
    #[must_use]
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        let status = kind.status();
        Self { kind, detail: detail.into(), status, subproblems: Vec::new(), algorithms: None, instance: None }
    }

    /// `malformed`, the commonest type.
    #[must_use]
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::Malformed, detail)
    }

    /// One problem for several identifiers that were refused: the specific one if there is only one or all have one
    /// type, else `compound` (RFC 8555 §6.7.1). Every one stands in it as a subproblem.
    #[must_use]
    pub fn of_identifiers(subproblems: Vec<Subproblem>) -> Self {
        match subproblems.as_slice() {
            [] => Self::malformed("an identifier was refused"),
            [only] => {
                let name = only.identifier.as_ref().map_or("", |identifier| identifier.value.as_str());
                let detail = format!("{}: {}", shortened(name), only.detail);
                Self::new(only.kind.clone(), detail).with_subproblems(subproblems)
            }
            [_, _, ..] => {
                let detail = format!("{} identifiers were refused; see the subproblems", subproblems.len());
                Self::of_several(detail, subproblems)
            }
        }
    }

    /// One problem for these: of their type if all have the same, else `compound` (RFC 8555 §6.7.1).
    #[must_use]
    pub fn of_several(detail: impl Into<String>, subproblems: Vec<Subproblem>) -> Self {
        let mut kinds = subproblems.iter().map(|one| &one.kind);
        let first = kinds.next().filter(|first| kinds.all(|other| other == *first));
        let kind = first.cloned().unwrap_or(ProblemType::Compound);
        Self::new(kind, detail).with_subproblems(subproblems)
    }

    /// The same problem as one of several, for this identifier.
    #[must_use]
    pub fn subproblem(&self, identifier: WireIdentifier) -> Subproblem {
        Subproblem { kind: self.kind.clone(), detail: self.detail.clone(), identifier: Some(identifier) }
    }

    /// The same problem with another HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same problem with these subproblems.
    #[must_use]
    pub fn with_subproblems(mut self, subproblems: Vec<Subproblem>) -> Self {
        self.subproblems = subproblems;
        self
    }

    /// The same problem with the list of algorithms that would be right.
    #[must_use]
    pub fn with_algorithms(mut self, algorithms: &[Algorithm]) -> Self {
        self.algorithms = Some(algorithms.iter().map(Algorithm::to_string).collect());
        self
    }

    /// The same problem with the URL that a person must visit.
    #[must_use]
    pub fn with_instance(mut self, url: impl Into<Box<str>>) -> Self {
        self.instance = Some(url.into());
        self
    }
}

/// A name of the client's, cut to what fits into a sentence.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// What is wrong with one identifier of several (RFC 8555 §6.7.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subproblem {
    /// The kind of error.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: ProblemType,
    /// For people: what is wrong, and what would be right.
    #[serde(default)]
    pub detail: String,
    /// The identifier as the client sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<WireIdentifier>,
}
