//! The status listener: what relying parties fetch. Plain HTTP (RFC 5280 §8: a client could not check the TLS of it).

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use ca::Ca;
use ca::ports::{CrlPart, CrlRecord, Issuer};
use ca::urls::issuer_label;
use pki::{Certificate, Crl, Sha256, Timestamp};

use super::ocsp;
use super::representation::{self, Representation};
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
    method: Method,
    headers: HeaderMap,
) -> Response {
    let ca = &door.ca;
    let root = door.root.public_key().spki_hash();
    if label == issuer_label(&root) {
        return match file.as_str() {
            "0.crl" => send_crl(ca, root_crl_record(root, &door.root_crl.current()), &method, &headers),
            _ => not_found("The root has one CRL, 0.crl."),
        };
    }
    let Some(issuer) = by_label(ca, &label) else { return not_found("This CA has no issuer of that name.") };
    let shards = ca.settings.crl_shards;
    let Some(shard) = shard_of(&file).filter(|shard| *shard < shards) else {
        return not_found(&format!("This issuer's CRLs are 0.crl to {}.crl.", shards.saturating_sub(1)));
    };
    match ca.ledger.crl_state(issuer.id, shard, shards).await {
        Ok(state) => match state.last {
            Some(crl) => send_crl(ca, crl, &method, &headers),
            None => unavailable("the first CRL of this shard is being made"),
        },
        Err(error) => {
            tracing::error!(%error, "a CRL could not be read");
            unavailable("the store is not available")
        }
    }
}

fn root_crl_record(issuer: Sha256, crl: &Crl) -> CrlRecord {
    CrlRecord {
        issuer,
        shard: 0,
        number: crl.number(),
        this_update: crl.this_update(),
        next_update: crl.next_update(),
        head: crl.der().to_vec(),
        entries: crl.entries().len() as u64,
        entry_octets: 0,
        tail: Vec::new(),
        sha256: Sha256::of(crl.der()),
    }
}

/// One spelling only, the one in certificates: "01.crl" is no other URL of the same CRL.
fn shard_of(file: &str) -> Option<u16> {
    let digits = file.strip_suffix(".crl")?;
    digits.parse::<u16>().ok().filter(|shard| shard.to_string() == digits)
}

fn send_crl(ca: &Arc<Ca>, crl: CrlRecord, method: &Method, headers: &HeaderMap) -> Response {
    let representation = Representation {
        tag: format!("\"{}-{}\"", crl.shard, crl.number),
        modified: crl.this_update,
        octets: crl.octets(),
        content_type: "application/pkix-crl",
        age_max: crl.next_update.since(ca.now()).as_secs().min(CRL_AGE_MAX),
    };
    let (mut response, (from, to)) = representation.answer(method, headers);
    let expires = http_date(crl.next_update);
    if let Some(expires) = expires {
        response.headers_mut().insert(header::EXPIRES, expires);
    }
    if *method == Method::GET && from < to {
        let sending = Sending { ca: Arc::clone(ca), crl, at: from, to };
        let pieces = futures_util::stream::unfold(sending, |mut sending| async {
            let piece = sending.next().await?;
            Some((piece, sending))
        });
        *response.body_mut() = Body::from_stream(pieces);
    }
    response
}

/// A CRL on its way to somebody: each part of it is read when the one before was taken.
struct Sending {
    ca: Arc<Ca>,
    crl: CrlRecord,
    at: u64,
    to: u64,
}

impl Sending {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.at >= self.to {
            return None;
        }
        let (head, entries) = (self.crl.head.len() as u64, self.crl.entry_octets);
        let (piece, begins) = if self.at < head {
            (Ok(self.crl.head.clone()), 0)
        } else if self.at < head + entries {
            let part = (self.at - head) / CrlRecord::PART_OCTETS;
            (self.part(part).await, head + part * CrlRecord::PART_OCTETS)
        } else {
            (Ok(self.crl.tail.clone()), head + entries)
        };
        let piece = piece.map(|piece| {
            let (from, to) = (self.at - begins, (self.to - begins).min(piece.len() as u64));
            self.at = begins + to;
            let whole = Bytes::from(piece);
            // Both lie within the piece.
            whole.slice(usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0))
        });
        if piece.is_err() {
            self.to = self.at;
        }
        Some(piece)
    }

    /// One that is gone since a newer CRL was made ends the answer: whoever asks again gets the newer one.
    async fn part(&self, part: u64) -> io::Result<Vec<u8>> {
        let CrlRecord { issuer, shard, number, .. } = self.crl;
        let place = CrlPart { issuer, shard, number, part };
        match self.ca.ledger.crl_part(place).await {
            Ok(Some(octets)) => Ok(octets),
            Ok(None) => Err(io::Error::other("a newer CRL has been made")),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// In DER, as certificates point to it (RFC 5280 §4.2.2.1), or in PEM, for people.
async fn issuer(
    State(door): State<Arc<StatusDoor>>,
    Path(file): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let (label, form) = file.split_once('.').unwrap_or_default();
    let found = by_label(&door.ca, label).map(|issuer| &issuer.certificate).or_else(|| above(&door.ca, label));
    let Some(certificate) = found else {
        return not_found("This CA has no issuer of that name.");
    };
    let (contents, content_type) = match form {
        "cer" => (certificate.der().to_vec(), "application/pkix-cert"),
        "pem" => (pki::pem::encode("CERTIFICATE", certificate.der()).into_bytes(), "application/pem-certificate-chain"),
        _ => return not_found("Issuers are there in DER, .cer, and in PEM, .pem."),
    };
    let representation = Representation {
        tag: format!("\"{}\"", &Sha256::of(&contents).to_string()[..32]),
        modified: certificate.validity().not_before,
        octets: contents.len() as u64,
        content_type,
        age_max: ISSUER_AGE_MAX,
    };
    let (mut response, (from, to)) = representation.answer(&method, &headers);
    if method == Method::GET && from < to {
        let (from, to) = (usize::try_from(from).unwrap_or(0), usize::try_from(to).unwrap_or(0));
        *response.body_mut() = Body::from(Bytes::from(contents).slice(from..to));
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

/// A time as a header says it.
pub(super) fn http_date(time: Timestamp) -> Option<HeaderValue> {
    HeaderValue::from_str(&representation::http_date(time)?).ok()
}

async fn nothing_here() -> Response {
    not_found("There is nothing here.")
}

fn not_found(why: &str) -> Response {
    (StatusCode::NOT_FOUND, format!("{why}\n")).into_response()
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
}
