//! The status listener: what relying parties fetch. Plain HTTP (RFC 5280 §8: a client could not check the TLS of it).

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ca::Ca;
use ca::ports::{CrlRecord, Issuer};
use ca::urls::issuer_label;
use jiff::fmt::rfc2822::DateTimePrinter;
use pki::{Certificate, Crl, Timestamp};

use super::ocsp;
use crate::hierarchy::root_crl::RootCrl;

/// A CRL may be kept by caches for an hour: a new one may be made at any time.
const CRL_AGE_MAX: u64 = 3600;
/// An issuer's certificate doesn't change.
const ISSUER_AGE_MAX: u64 = 86_400;

/// What the status listener needs.
struct StatusDoor {
    ca: Arc<Ca>,
    root: Certificate,
    root_crl: Arc<RootCrl>,
}

/// The routes of the status listener.
pub fn router(ca: Arc<Ca>, root: Certificate, root_crl: Arc<RootCrl>) -> Router {
    let ocsp = ocsp::router(Arc::clone(&ca));
    let door = Arc::new(StatusDoor { ca, root, root_crl });
    Router::new()
        .route("/crl/{issuer}/{shard}", get(crl))
        .route("/issuer/{file}", get(issuer))
        .fallback(nothing_here)
        .with_state(door)
        .merge(ocsp)
}

async fn crl(
    State(door): State<Arc<StatusDoor>>,
    Path((label, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let ca = &door.ca;
    let root = door.root.public_key().spki_hash();
    if label == issuer_label(&root) && file == "0.crl" {
        return send_crl(ca, root_crl_record(root, &door.root_crl.current()), &headers);
    }
    let Some(issuer) = by_label(ca, &label) else { return nothing_here().await };
    let Some(shard) = shard_of(&file).filter(|shard| *shard < ca.settings.crl_shards) else {
        return nothing_here().await;
    };
    match ca.ledger.crl_state(issuer.id, shard, ca.settings.crl_shards).await {
        Ok(state) => match state.last {
            Some(crl) => send_crl(ca, crl, &headers),
            None => unavailable("the first CRL of this shard is being made"),
        },
        Err(error) => {
            tracing::error!(%error, "a CRL could not be read");
            unavailable("the store is not available")
        }
    }
}

fn root_crl_record(issuer: pki::Sha256, crl: &Crl) -> CrlRecord {
    let (this_update, next_update) = (crl.this_update(), crl.next_update());
    CrlRecord { issuer, shard: 0, number: crl.number(), this_update, next_update, der: crl.der().to_vec() }
}

/// One spelling only, the one in certificates: "01.crl" is no other URL of the same CRL.
fn shard_of(file: &str) -> Option<u16> {
    let digits = file.strip_suffix(".crl")?;
    digits.parse::<u16>().ok().filter(|shard| shard.to_string() == digits)
}

fn send_crl(ca: &Ca, crl: CrlRecord, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}-{}\"", crl.shard, crl.number);
    let left = crl.next_update.since(ca.now()).as_secs();
    let age = format!("public, max-age={}", left.min(CRL_AGE_MAX));
    let mut response = if matches(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(Body::from(crl.der));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/pkix-crl"));
        response
    };
    let dates = [(header::LAST_MODIFIED, crl.this_update), (header::EXPIRES, crl.next_update)];
    for (name, time) in dates {
        if let Some(value) = http_date(time) {
            response.headers_mut().insert(name, value);
        }
    }
    for (name, value) in [(header::ETAG, tag), (header::CACHE_CONTROL, age)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn issuer(State(door): State<Arc<StatusDoor>>, Path(file): Path<String>) -> Response {
    let label = file.strip_suffix(".cer").unwrap_or_default();
    let certificate = match by_label(&door.ca, label) {
        Some(issuer) => &issuer.certificate,
        None => match above(&door.ca, label) {
            Some(certificate) => certificate,
            None => return nothing_here().await,
        },
    };
    let mut response = Response::new(Body::from(certificate.der().to_vec()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/pkix-cert"));
    if let Ok(age) = HeaderValue::from_str(&format!("public, max-age={ISSUER_AGE_MAX}")) {
        headers.insert(header::CACHE_CONTROL, age);
    }
    response
}

fn by_label<'a>(ca: &'a Ca, label: &str) -> Option<&'a Issuer> {
    ca.issuers.iter().find(|issuer| issuer_label(&issuer.id) == label)
}

/// A certificate that certifies an issuer, or one above it.
fn above<'a>(ca: &'a Ca, label: &str) -> Option<&'a Certificate> {
    let chains = |issuer: &'a Issuer| {
        issuer.chain.iter().chain(issuer.alternates.iter().flat_map(|chain| chain.certificates.iter().skip(1)))
    };
    ca.issuers.iter().flat_map(chains).find(|one| issuer_label(&one.public_key().spki_hash()) == label)
}

/// Whether the client has what this tag names already (RFC 9110 §13.1.2).
pub(super) fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|tags| tags.split(',').any(|one| one.trim() == tag || one.trim() == "*"))
}

pub(super) fn http_date(time: Timestamp) -> Option<HeaderValue> {
    let time = jiff::Timestamp::from_second(time.seconds()).ok()?;
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()?;
    HeaderValue::from_str(&text).ok()
}

async fn nothing_here() -> Response {
    (StatusCode::NOT_FOUND, "There is nothing here.\n").into_response()
}

fn unavailable(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], format!("{why}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_has_one_spelling() {
        assert_eq!(shard_of("0.crl"), Some(0));
        assert_eq!(shard_of("12.crl"), Some(12));
        for wrong in ["00.crl", "+1.crl", "1", "1.CRL", ".crl", "65536.crl"] {
            assert_eq!(shard_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn dates_are_those_of_http() {
        let date = http_date(Timestamp::from_seconds(784_111_777)).expect("a date");
        assert_eq!(date, "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
