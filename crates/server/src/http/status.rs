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
use tokio::sync::Semaphore;

use super::ocsp;
use super::representation::{self, Representation};
use crate::hierarchy::root_crl::RootCrl;

/// A CRL may be kept by caches for an hour: a new one may be made at any time.
const CRL_AGE_MAX: u64 = 3600;
/// An issuer's certificate doesn't change.
const ISSUER_AGE_MAX: u64 = 86_400;

/// What is told of issuers.
struct IssuersDoor {
    ca: Arc<Ca>,
    /// Whoever has a part read for him holds one.
    part_reads: Semaphore,
}

/// What is told of a root.
struct RootDoor {
    issuers: Arc<IssuersDoor>,
    root: Sha256,
    crl: Arc<RootCrl>,
}

/// Parts of CRLs that are read side by side, for whoever fetches them: they take turns, and what makes CRLs has not to
/// wait for thousands of them.
const PART_READS: usize = 4;

/// The routes of the status listener.
pub fn router(ca: Arc<Ca>, root: &Certificate, root_crl: Arc<RootCrl>) -> Router {
    let root = root.public_key().spki_hash();
    let path = format!("/crl/{}/{{file}}", issuer_label(&root));
    let issuers = IssuersDoor::of(ca);
    let door = Arc::new(RootDoor { issuers: Arc::clone(&issuers), root, crl: root_crl });
    let of_root = Router::new().route(&path, get(crl_of_root)).with_state(door);
    of_root.merge(routes_of(issuers)).fallback(nothing_here)
}

/// What issuers tell of their certificates, and of themselves: CRLs, OCSP, their own certificates.
pub fn issuers(ca: Arc<Ca>) -> Router {
    routes_of(IssuersDoor::of(ca))
}

impl IssuersDoor {
    fn of(ca: Arc<Ca>) -> Arc<Self> {
        Arc::new(Self { ca, part_reads: Semaphore::new(PART_READS) })
    }
}

fn routes_of(door: Arc<IssuersDoor>) -> Router {
    let ocsp = ocsp::router(Arc::clone(&door.ca));
    Router::new()
        .route("/crl/{issuer}/{file}", get(crl))
        .route("/issuer/{file}", get(issuer))
        .with_state(door)
        .merge(ocsp)
}

async fn crl_of_root(
    State(door): State<Arc<RootDoor>>,
    Path(file): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    match file.as_str() {
        "0.crl" => send_crl(&door.issuers, root_crl_record(door.root, &door.crl.current()), &method, &headers),
        _ => not_found("The root has one CRL, 0.crl."),
    }
}

async fn crl(
    State(door): State<Arc<IssuersDoor>>,
    Path((label, file)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let ca = &door.ca;
    let Some(issuer) = by_label(ca, &label) else { return not_found("This CA has no issuer of that name.") };
    let shards = &ca.settings.crls;
    let Some(shard) = shard_of(&file).filter(|shard| shards.shard(*shard).is_some()) else {
        return not_found(&format!("This issuer's CRLs are 0.crl to {}.crl.", shards.shards().count() - 1));
    };
    match ca.ledger.last_crl(issuer.id, shard).await {
        Ok(Some(crl)) => send_crl(&door, crl, &method, &headers),
        Ok(None) => unavailable("the first CRL of this shard is being made"),
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

fn send_crl(door: &Arc<IssuersDoor>, crl: CrlRecord, method: &Method, headers: &HeaderMap) -> Response {
    let representation = Representation {
        tag: format!("\"{}-{}\"", crl.shard, crl.number),
        modified: crl.this_update,
        octets: crl.octets(),
        content_type: "application/pkix-crl",
        age_max: crl.next_update.since(door.ca.now()).as_secs().min(CRL_AGE_MAX),
        now: door.ca.now(),
    };
    let (mut response, (from, to)) = representation.answer(method, headers);
    let expires = http_date(crl.next_update);
    if let Some(expires) = expires {
        response.headers_mut().insert(header::EXPIRES, expires);
    }
    if *method == Method::GET && from < to {
        let sending = Sending { door: Arc::clone(door), crl, at: from, to };
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
    door: Arc<IssuersDoor>,
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
        let piece = if self.at < head {
            Ok(within(&self.crl.head, self.at, self.to))
        } else if self.at < head + entries {
            self.part(self.at - head, self.to.min(head + entries) - head).await
        } else {
            Ok(within(&self.crl.tail, self.at - head - entries, self.to - head - entries))
        };
        match &piece {
            Ok(piece) => self.at += piece.len() as u64,
            Err(_) => self.to = self.at,
        }
        Some(piece)
    }

    /// What of these octets of the entries stands in the part that they begin in. One that is gone, since a newer CRL
    /// was made, ends the answer: whoever asks again gets the newer one.
    async fn part(&self, from: u64, to: u64) -> io::Result<Bytes> {
        let part = from / CrlRecord::PART_OCTETS;
        let begins = part * CrlRecord::PART_OCTETS;
        let (from, to) = (from - begins, (to - begins).min(CrlRecord::PART_OCTETS));
        let CrlRecord { issuer, shard, number, .. } = self.crl;
        let place = CrlPart { issuer, shard, number, part };
        // Nobody closes it.
        let _turn = self.door.part_reads.acquire().await.map_err(io::Error::other)?;
        match self.door.ca.ledger.crl_part(place, from..to).await {
            Ok(Some(octets)) if octets.len() as u64 == to - from => Ok(Bytes::from(octets)),
            Ok(Some(_)) => {
                tracing::error!(shard, number, part, "a part of a CRL is too short: run cairn fsck");
                Err(io::Error::other("a part of the CRL is too short"))
            }
            Ok(None) => Err(io::Error::other("a newer CRL has been made")),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// These octets, as far as they are there.
fn within(octets: &[u8], from: u64, to: u64) -> Bytes {
    let place = |at: u64| usize::try_from(at).map_or(octets.len(), |at| at.min(octets.len()));
    Bytes::copy_from_slice(&octets[place(from)..place(to)])
}

/// In DER, as certificates point to it (RFC 5280 §4.2.2.1), or in PEM, for people.
async fn issuer(
    State(door): State<Arc<IssuersDoor>>,
    Path(file): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let ca = &door.ca;
    let (label, form) = file.split_once('.').unwrap_or_default();
    let found = by_label(ca, label).map(|issuer| &issuer.certificate).or_else(|| above(ca, label));
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
        now: door.ca.now(),
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
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;
    use crate::assembly::Assembly;
    use crate::config::{Choices, Config, File};

    #[test]
    fn a_shard_has_one_spelling() {
        assert_eq!(shard_of("0.crl"), Some(0));
        assert_eq!(shard_of("12.crl"), Some(12));
        for wrong in ["00.crl", "+1.crl", "1", "1.CRL", ".crl", "65536.crl"] {
            assert_eq!(shard_of(wrong), None, "{wrong}");
        }
    }

    /// A door before a CRL whose only part has 60 octets instead of 100.
    async fn before_a_short_part(folder: &tempfile::TempDir) -> (Router, String) {
        let config = Config::new(folder.path().join("data"), &File::default(), &Choices::default()).unwrap();
        let assembly = Assembly::open(&config).await.unwrap();
        let (ledger, issuer, now) = (&assembly.ca.ledger, assembly.ca.issuers[0].id, assembly.ca.now());
        let place = CrlPart { issuer, shard: 0, number: 1, part: 0 };
        assert!(ledger.put_crl_part(place, vec![7; 60]).await.unwrap());
        let record = CrlRecord {
            issuer,
            shard: 0,
            number: 1,
            this_update: now,
            next_update: now.plus(std::time::Duration::from_secs(60)),
            head: b"head".to_vec(),
            entries: 2,
            entry_octets: 100,
            tail: b"tail".to_vec(),
            sha256: Sha256::of(b""),
        };
        assert!(ledger.store_crl(record).await.unwrap());
        let path = ca::urls::crl(&issuer, 0);
        (router(Arc::clone(&assembly.ca), &assembly.root, Arc::clone(&assembly.root_crl)), path)
    }

    #[tokio::test]
    async fn part_that_is_too_short_ends_the_answer_and_the_others_are_sent() {
        let folder = tempfile::tempdir().unwrap();
        let (router, path) = before_a_short_part(&folder).await;
        for (range, octets) in [
            ("bytes=0-", None),
            ("bytes=64-", None),
            ("bytes=70-80", None),
            ("bytes=0-63", Some([&b"head"[..], &[7; 60]].concat())),
            ("bytes=10-20", Some(vec![7; 11])),
            ("bytes=104-", Some(b"tail".to_vec())),
            ("bytes=-2", Some(b"il".to_vec())),
        ] {
            let request = Request::get(&path).header(header::RANGE, range).body(Body::empty()).unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{range}");
            let sent = axum::body::to_bytes(answer.into_body(), 1_000).await;
            assert_eq!(sent.ok().map(|sent| sent.to_vec()), octets, "{range}");
        }
    }
}
