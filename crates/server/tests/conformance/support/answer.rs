//! Answers, and what must be true of them.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

const PREFIX: &str = "urn:ietf:params:acme:error:";
/// The error types that are registered with IANA for ACME.
const REGISTERED: [&str; 30] = [
    "accountDoesNotExist",
    "alreadyReplaced",
    "alreadyRevoked",
    "autoRenewalCanceled",
    "autoRenewalExpired",
    "autoRenewalCancellationInvalid",
    "autoRenewalRevocationNotSupported",
    "badCSR",
    "badNonce",
    "badPublicKey",
    "badRevocationReason",
    "badSignatureAlgorithm",
    "caa",
    "compound",
    "connection",
    "dns",
    "externalAccountRequired",
    "incorrectResponse",
    "invalidContact",
    "invalidProfile",
    "malformed",
    "orderNotReady",
    "rateLimited",
    "rejectedIdentifier",
    "serverInternal",
    "tls",
    "unauthorized",
    "unsupportedContact",
    "unsupportedIdentifier",
    "userActionRequired",
];

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The type of the body, without parameters.
    pub(crate) fn media_type(&self) -> &str {
        self.header("content-type").and_then(|value| value.split(';').next()).unwrap_or_default().trim()
    }

    /// The URLs of the Link headers with this relation (RFC 8288).
    pub(crate) fn links(&self, relation: &str) -> Vec<String> {
        let values = self.headers.get_all("link").iter().filter_map(|link| link.to_str().ok());
        let links = values.flat_map(|value| value.split(", <").map(str::to_owned).collect::<Vec<_>>());
        let wanted = format!("rel=\"{relation}\"");
        let right = links.filter_map(|link| {
            let (url, parameters) = link.trim_start_matches('<').split_once('>')?;
            parameters.split(';').any(|one| one.trim() == wanted).then(|| url.to_owned())
        });
        right.collect()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|error| panic!("the body is no text: {error}"))
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON: {error}: {}", self.shown()))
    }

    /// The URL of what was made or asked for.
    #[track_caller]
    pub(crate) fn location(&self) -> String {
        self.header("location").unwrap_or_else(|| panic!("no Location: {}", self.shown())).to_owned()
    }

    /// The object of a good answer.
    #[track_caller]
    pub(crate) fn object(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.shown());
        assert_eq!(self.media_type(), "application/json", "{}", self.shown());
        self.json()
    }

    /// A refusal with one of these statuses and one of these error types, without their prefix, in full dress
    /// (RFC 8555 §6.7, RFC 7807). Answers the problem document.
    #[track_caller]
    pub(crate) fn refused(&self, statuses: &[u16], kinds: &[&str]) -> Value {
        let problem = self.problem();
        let kind = problem["type"].as_str().and_then(|kind| kind.strip_prefix(PREFIX)).unwrap_or_default();
        assert!(kinds.contains(&kind), "wanted the type {kinds:?}: {}", self.shown());
        assert!(statuses.contains(&self.status), "wanted the status {statuses:?}: {}", self.shown());
        problem
    }

    /// Any refusal that blames the client, with a registered type and a detail.
    #[track_caller]
    pub(crate) fn problem(&self) -> Value {
        assert!((400..500).contains(&self.status), "wanted a refusal: {}", self.shown());
        assert_eq!(self.media_type(), "application/problem+json", "{}", self.shown());
        let problem = self.json();
        assert_registered(&problem);
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.trim().contains(' '), "the detail tells a person nothing: {}", self.shown());
        if let Some(status) = problem.get("status") {
            assert_eq!(status, &Value::from(self.status), "{}", self.shown());
        }
        problem
    }

    /// The answer in one line, for messages.
    pub(crate) fn shown(&self) -> String {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(600).collect();
        format!("{} {:?} {}", self.status, self.header("content-type").unwrap_or_default(), body.replace('\n', " "))
    }
}

/// RFC 8555 §6.7: no type in the namespace of ACME that is not registered.
#[track_caller]
pub(crate) fn assert_registered(problem: &Value) {
    let uri = problem["type"].as_str().unwrap_or_else(|| panic!("no type: {problem}"));
    if let Some(kind) = uri.strip_prefix(PREFIX) {
        assert!(REGISTERED.contains(&kind), "{kind} is not registered: {problem}");
    }
}

/// The text of a member.
#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// The elements of a member.
#[track_caller]
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}
