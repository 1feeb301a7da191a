//! Renewal information (RFC 9773 §4): read by anybody, and kept by caches for a while.

use std::sync::Arc;

use acme::{CertificateIdentifier, Problem};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use ca::RenewalAnswer;

use super::{AcmeDoor, Base, response};

/// So long an answer may be kept by a cache, in seconds, if it isn't asked for anew sooner.
const CACHED_MAX_S: u64 = 600;

pub(super) async fn renewal_info(
    State(door): State<Arc<AcmeDoor>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    let identifier: CertificateIdentifier = match name.parse() {
        Ok(identifier) => identifier,
        Err(error) => return response::problem(&Problem::malformed(error.to_string()), base.as_ref()),
    };
    match door.ca.renewal_info(&identifier).await {
        Ok(RenewalAnswer::Info(mut info)) => {
            info.suggested_window = door.faults.shifted(info.suggested_window);
            kept_for_a_while(&door, response::open_json(StatusCode::OK, &info, base.as_ref()))
        }
        Ok(RenewalAnswer::Document(json)) => {
            let mut answer = response::open_json(StatusCode::OK, &(), base.as_ref());
            *answer.body_mut() = Body::from(json);
            kept_for_a_while(&door, answer)
        }
        Err(error) => response::error(&error, base.as_ref(), None),
    }
}

fn kept_for_a_while(door: &AcmeDoor, mut answer: Response) -> Response {
    let again = door.ca.settings.times.renewal_info.as_secs();
    let kept = format!("public, max-age={}", again.min(CACHED_MAX_S));
    let headers = answer.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(again));
    if let Ok(kept) = HeaderValue::from_str(&kept) {
        headers.insert(header::CACHE_CONTROL, kept);
    }
    answer
}
