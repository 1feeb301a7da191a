//! Terms of service: what a client is told that has to agree, and a page for the person behind it (RFC 8555 §7.3.3).

use std::sync::Arc;

use acme::ProblemType;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;
use ca::settings::Terms;
use ca::{Error, urls};

use super::response::{Outcome, problem};
use super::{AcmeDoor, Base, orders};

/// What a refusal for want of agreement names beside: the page for people.
pub(super) fn with_page<T>(outcome: Outcome<T>, base: Option<&Base>) -> Outcome<T> {
    outcome.map_err(|error| match (error, base) {
        (Error::Refused(refused), Some(base)) if refused.kind == ProblemType::UserActionRequired => {
            refused.with_instance(base.url(urls::TERMS)).into()
        }
        (error, _) => error,
    })
}

/// The same refusal's link to the terms themselves.
pub(super) fn link(door: &AcmeDoor) -> Option<HeaderValue> {
    let terms = door.ca.settings.terms.as_ref()?;
    HeaderValue::from_str(&format!("<{}>;rel=\"terms-of-service\"", terms.url)).ok()
}

/// The page.
pub(super) async fn page(State(door): State<Arc<AcmeDoor>>, uri: Uri, headers: HeaderMap) -> Response {
    let Some(terms) = &door.ca.settings.terms else {
        let base = Base::of(&door, &uri, &headers).ok();
        let Error::Refused(refused) = orders::no_such("page: this CA has no terms of service") else {
            return Response::default();
        };
        return problem(&refused, base.as_ref());
    };
    let mut response = Response::new(Body::from(html(terms)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The page runs nothing and loads nothing.
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn html(terms: &Terms) -> String {
    let url = escaped(&terms.url);
    let version = terms.version.as_deref().map(|version| format!(", version {}", escaped(version))).unwrap_or_default();
    let changes = terms.changes.as_deref().map(|text| format!("<p>What has changed: {}</p>\n", escaped(text)));
    let from = terms.enforced_from.map(|from| {
        let from = from.to_rfc3339();
        format!("<p>From {from} on, accounts that have not agreed to this version are refused new orders.</p>\n")
    });
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Terms of service</title>\n\
         <h1>Terms of service</h1>\n\
         <p>This certificate authority issues to accounts that agree to its <a href=\"{url}\">terms of \
         service</a>{version}.</p>\n{}{}\
         <p>To agree, have your ACME client register again with the key that its account has, and say that you agree: \
         the account stays the same. For those who write clients: a signed request with \
         <code>{{\"termsOfServiceAgreed\": true}}</code> to newAccount, or to the account's URL (RFC 8555, sections \
         7.3.2 and 7.3.3).</p>\n\
         <p>Until then an account can be read, changed and deactivated, and its certificates can be revoked.</p>\n\
         </html>\n",
        changes.unwrap_or_default(),
        from.unwrap_or_default(),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
