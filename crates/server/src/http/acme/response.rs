//! Answers: objects, problems and the headers that go with them.

use acme::{Problem, ProblemType};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use ca::Error;
use serde::Serialize;

use super::{AcmeDoor, Base};

/// What a handler comes to.
pub(super) type Outcome<T> = Result<T, Error>;

const PROBLEM: &str = "application/problem+json";
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
pub(super) const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// How long a client is asked to wait after a failure of ours, in seconds.
const RETRY_AFTER_FAILURE: u32 = 10;
/// How long after a rate limit that only tests know, in seconds.
const RETRY_AFTER_LIMITED: u32 = 1;

/// A good answer.
pub(super) struct Reply {
    status: StatusCode,
    body: Body,
    content_type: Option<&'static str>,
    location: Option<String>,
    up: Option<String>,
    next: Option<String>,
    alternates: Vec<String>,
    retry_after: Option<u32>,
    waited: bool,
}

impl Reply {
    /// An object, as JSON.
    pub(super) fn object(status: StatusCode, object: &impl Serialize) -> Self {
        let body = Body::from(serialize(object));
        Self { body, content_type: Some("application/json"), ..Self::empty(status) }
    }

    /// A problem whose answer names a place.
    pub(super) fn problem(refused: &Problem) -> Self {
        let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_REQUEST);
        Self { content_type: Some(PROBLEM), ..Self::object(status, refused) }
    }

    /// Anything else.
    pub(super) fn body(content_type: &'static str, body: Body) -> Self {
        Self { body, content_type: Some(content_type), ..Self::empty(StatusCode::OK) }
    }

    /// Nothing but a status.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            body: Body::empty(),
            content_type: None,
            location: None,
            up: None,
            next: None,
            alternates: Vec::new(),
            retry_after: None,
            waited: false,
        }
    }

    /// Where the object is (RFC 8555 §7.3, §7.4).
    pub(super) fn at(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }

    /// What it belongs to (RFC 8555 §7.5.1).
    pub(super) fn up(mut self, url: String) -> Self {
        self.up = Some(url);
        self
    }

    /// The next page (RFC 8555 §7.1.2.1).
    pub(super) fn next(mut self, url: Option<String>) -> Self {
        self.next = url;
        self
    }

    /// The same with other chains (RFC 8555 §7.4.2).
    pub(super) fn alternates(mut self, urls: Vec<String>) -> Self {
        self.alternates = urls;
        self
    }

    /// When to ask again, in seconds (RFC 8555 §7.5.1, §8.2).
    pub(super) const fn retry_after(mut self, seconds: Option<u32>) -> Self {
        self.retry_after = seconds;
        self
    }

    /// The client asked to wait for a change, and it was waited for (RFC 7240 §3).
    pub(super) const fn waited(mut self, waited: bool) -> Self {
        self.waited = waited;
        self
    }

    pub(super) fn into_response(self, base: Option<&Base>) -> Response {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(content_type) = self.content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(location) = self.location.and_then(|location| HeaderValue::from_str(&location).ok()) {
            headers.insert(header::LOCATION, location);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.waited {
            headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("wait"));
        }
        let alternates = self.alternates.into_iter().map(|url| (url, "alternate"));
        let links = self.up.map(|url| (url, "up")).into_iter().chain(self.next.map(|url| (url, "next")));
        for (url, relation) in links.chain(alternates) {
            if let Ok(link) = HeaderValue::from_str(&format!("<{url}>;rel=\"{relation}\"")) {
                headers.append(header::LINK, link);
            }
        }
        finish(response, base)
    }
}

/// An object as JSON, without a nonce, for pages of its own origin alone.
pub(crate) fn json(status: StatusCode, object: &impl Serialize) -> Response {
    let mut response = Response::new(Body::from(serialize(object)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The same for everybody, with a link to the directory, to be kept for as long as whoever answers says.
pub(super) fn open_json(status: StatusCode, object: &impl Serialize, base: Option<&Base>) -> Response {
    finish(json(status, object), base)
}

fn serialize(object: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(object).expect("objects on the wire have string keys and no failing parts")
}

/// An error as a problem document (RFC 7807). Ours are logged here, once. One for want of agreement links to the terms
/// (RFC 8555 §7.3.3).
pub(super) fn error(error: &Error, base: Option<&Base>, terms: Option<HeaderValue>) -> Response {
    match error {
        Error::Refused(refused) => {
            let mut response = problem(refused, base);
            if let Some(terms) = terms.filter(|_| refused.kind == ProblemType::UserActionRequired) {
                response.headers_mut().append(header::LINK, terms);
            }
            if refused.kind == ProblemType::RateLimited {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_LIMITED));
            }
            response
        }
        Error::Failed(detail) => {
            tracing::error!(%detail, "a request failed");
            let refused =
                Problem::new(ProblemType::ServerInternal, "the server could not do this now; try again later");
            problem(&refused.with_status(503), base)
        }
    }
}

/// A problem document. What is our own fault can be asked for again, and says when.
pub(crate) fn problem(refused: &Problem, base: Option<&Base>) -> Response {
    let mut response = Response::new(Body::from(serialize(refused)));
    *response.status_mut() = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_REQUEST);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    if refused.kind == ProblemType::ServerInternal {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_FAILURE));
    }
    finish(response, base)
}

/// An answer that is only a nonce.
pub(super) fn nonce_only(status: StatusCode, nonce: &str, base: Option<&Base>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if let Ok(nonce) = HeaderValue::from_str(nonce) {
        response.headers_mut().insert(REPLAY_NONCE, nonce);
    }
    finish(response, base)
}

/// What a browser asks before it sends a request of another origin's page (the Fetch standard's CORS preflight).
pub(super) fn preflight() -> Response {
    let mut response = cross_origin(Response::new(Body::empty()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type, Prefer"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

/// RFC 8555 §6.5: every answer to a POST carries a fresh nonce, errors too.
pub(super) async fn with_nonce(door: &AcmeDoor, mut response: Response) -> Response {
    match door.ca.workbench.issue_nonce().await {
        Ok(nonce) => {
            if let Ok(nonce) = HeaderValue::from_str(&nonce) {
                response.headers_mut().insert(REPLAY_NONCE, nonce);
            }
        }
        Err(error) => tracing::error!(%error, "no nonce could be made"),
    }
    response
}

fn finish(mut response: Response, base: Option<&Base>) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let index = base.map(|base| format!("<{}>;rel=\"index\"", base.url(ca::urls::DIRECTORY)));
    if let Some(index) = index.and_then(|index| HeaderValue::from_str(&index).ok()) {
        headers.append(header::LINK, index);
    }
    cross_origin(response)
}

/// RFC 8555 §6.1: clients may run in browsers.
pub(super) fn cross_origin(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Link, Location, Replay-Nonce, Retry-After"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_our_fault_says_when_to_ask_again() {
        let ours = Problem::new(ProblemType::ServerInternal, "a fault");
        let failed = error(&Error::Failed("the store has no room left".to_owned()), None, None);
        for response in [problem(&ours, None), failed] {
            assert!(response.status().is_server_error());
            assert_eq!(response.headers().get(header::RETRY_AFTER), Some(&HeaderValue::from(RETRY_AFTER_FAILURE)));
        }
        let theirs = problem(&Problem::malformed("no JSON"), None);
        assert_eq!(theirs.headers().get(header::RETRY_AFTER), None);
    }
}
