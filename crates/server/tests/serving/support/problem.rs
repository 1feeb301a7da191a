//! What a refusal must look like (RFC 7807, RFC 8555 §6.7).

use serde_json::Value;

use super::connection::Answer;

const PREFIX: &str = "urn:ietf:params:acme:error:";

/// The refusal that is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The error type, without its prefix.
    pub(crate) kind: &'static str,
    /// What the detail has to name, so that a person knows what to change.
    pub(crate) names: &'static str,
}

/// A refusal with the status that goes with its type unless an RFC says otherwise.
pub(crate) const fn refusal(status: u16, kind: &'static str, names: &'static str) -> Refusal {
    Refusal { status, kind, names }
}

pub(crate) const fn malformed(names: &'static str) -> Refusal {
    refusal(400, "malformed", names)
}

/// The answer is this refusal, in full dress. Answers the problem document.
#[track_caller]
pub(crate) fn assert_refused(answer: &Answer, due: Refusal, what: &str) -> Value {
    let problem = assert_problem(answer, what);
    let said = format!("{what}: {} {problem}", answer.status);
    assert_eq!(problem["type"], format!("{PREFIX}{}", due.kind), "{said}");
    assert_eq!(answer.status, due.status, "{said}");
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(due.names), "the detail does not name {:?}: {said}", due.names);
    problem
}

/// What holds for every problem document of the ACME listener.
#[track_caller]
pub(crate) fn assert_problem(answer: &Answer, what: &str) -> Value {
    let said = format!("{what}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{said}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{said}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{said}");
    let index = answer.links("index");
    assert!(matches!(index.as_slice(), [directory] if directory.ends_with("/dir")), "{said}");
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status.as_u16(), "{said}");
    problem
}
