//! The OCSP responder's door (RFC 6960 appendix A, RFC 5019 §5 and §6): POST, and GET with the request in the path.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use ca::Ca;
use ca::ocsp::{OcspAnswer, OcspReply};
use ca::urls::OCSP;
use pki::OcspError;
use pki::ocsp::{REQUEST_OCTETS_MAX, request_from_path};

use super::representation::{has_tag, last_modified};
use super::status::http_date;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/ocsp-response");
/// Of what is true for one request, or for the moment.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The routes of the responder.
pub fn router(ca: Arc<Ca>) -> Router {
    // A GET of nothing is no request, and told so like any other that is none.
    let asked = || -> MethodRouter<Arc<Ca>> { post(by_post).get(by_get) };
    Router::new()
        .route(OCSP, asked())
        .route(&format!("{OCSP}/"), asked())
        .route(&format!("{OCSP}/{{*request}}"), get(by_get))
        .with_state(ca)
}

async fn by_post(State(ca): State<Arc<Ca>>, request: Request) -> Response {
    match to_bytes(request.into_body(), REQUEST_OCTETS_MAX).await {
        Ok(body) => send(&ca, ca.ocsp(&body).await, None),
        // Too long, or it ended early: what is left of it is not read.
        Err(_) => {
            let mut response = send(&ca, ca.count_ocsp(OcspReply::Failed(OcspError::MalformedRequest)), None);
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

async fn by_get(State(ca): State<Arc<Ca>>, uri: Uri, headers: HeaderMap) -> Response {
    // As it was sent: a path that is decoded twice is no base64 any more.
    let path = uri.path().strip_prefix(OCSP).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
    let reply = match request_from_path(path) {
        Ok(request) => ca.ocsp(&request).await,
        Err(error) => ca.count_ocsp(OcspReply::Failed(error.status())),
    };
    send(&ca, reply, Some(&headers))
}

/// `headers`: of a request whose answer caches may keep.
fn send(ca: &Ca, reply: OcspReply, headers: Option<&HeaderMap>) -> Response {
    match reply {
        OcspReply::Answer(answer) => send_answer(ca, &answer, headers),
        OcspReply::Once(answer) => with_type(Response::new(Body::from(octets(&answer))), NO_STORE),
        OcspReply::Wait => {
            let body = Body::from(OcspError::InternalError.response_der());
            with_type((StatusCode::INTERNAL_SERVER_ERROR, body).into_response(), NO_STORE)
        }
        // HTTP carried it well: it is OCSP that has no answer.
        OcspReply::Failed(error) => with_type(Response::new(Body::from(error.response_der())), NO_STORE),
    }
}

fn send_answer(ca: &Ca, answer: &Arc<OcspAnswer>, headers: Option<&HeaderMap>) -> Response {
    let (tag, now) = (format!("\"{}\"", answer.tag), ca.now());
    // Not by its time: of the same second there may be an answer that says `good` and one that says `revoked`.
    let known = headers.is_some_and(|headers| has_tag(headers, &tag) == Some(true));
    let response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { Response::new(Body::from(octets(answer))) };
    // Where it is about to be signed anew, it is kept until then.
    let left = answer.next_update.since(now);
    let renewed = Some(answer.renewal.since(now)).filter(|left| !left.is_zero());
    let age = renewed.unwrap_or(left).min(left).min(ca.settings.ocsp.max_age).as_secs();
    let age = format!("max-age={age}, public, no-transform, must-revalidate");
    let mut response = with_type(response, HeaderValue::from_str(&age).unwrap_or(NO_STORE));
    let headers = response.headers_mut();
    let modified = last_modified(answer.this_update, now).and_then(|date| HeaderValue::from_str(&date).ok());
    let expires = http_date(answer.next_update);
    let tag = HeaderValue::from_str(&tag).ok();
    for (name, value) in [(header::LAST_MODIFIED, modified), (header::EXPIRES, expires), (header::ETAG, tag)] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    response
}

/// Not copied: all who are answered the same are sent the same octets.
fn octets(answer: &Arc<OcspAnswer>) -> Bytes {
    Bytes::from_owner(Arc::clone(&answer.der))
}

fn with_type(mut response: Response, cache_control: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    headers.insert(header::CACHE_CONTROL, cache_control);
    response
}
