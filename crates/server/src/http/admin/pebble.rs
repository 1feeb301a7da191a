//! The paths of Pebble's management interface: certificates and keys of the hierarchy, and the status of a serial. For
//! tests of clients alone, since keys are given away.

use std::sync::Arc;

use acme::Problem;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use ca::ports::{Issuer, SerialStatus};
use keys::KeyFile;
use pki::{Certificate, Serial, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::acme::{json, problem};
use super::AdminDoor;

type Door = State<Arc<AdminDoor>>;

const CHAIN: &str = "application/pem-certificate-chain; charset=utf-8";
/// A certificate and an answer that a test made up.
const RENEWAL_OCTETS_MAX: usize = 64 * 1024;
const KEY: &str = "application/x-pem-file; charset=utf-8";
/// The start of an RSA key in PKCS#8 (RFC 8017 appendix A.1): its algorithm.
const RSA: [u8; 13] = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

pub(super) fn routes(router: Router<Arc<AdminDoor>>) -> Router<Arc<AdminDoor>> {
    router
        .route("/roots/{chain}", get(root))
        .route("/intermediates/{chain}", get(intermediate))
        .route("/root-keys/{chain}", get(root_key))
        .route("/intermediate-keys/{chain}", get(intermediate_key))
        .route("/cert-status-by-serial/{serial}", get(status))
        .route("/set-renewal-info/", post(set_renewal_info))
        .layer(DefaultBodyLimit::max(RENEWAL_OCTETS_MAX))
}

/// The chains by number: our own is 0.
fn chains(issuer: &Issuer) -> Vec<(u16, &Certificate, Option<&Certificate>)> {
    let own = (0, &issuer.certificate, issuer.chain.last());
    let alternates = issuer.alternates.iter().filter_map(|chain| {
        let first = chain.certificates.first()?;
        Some((chain.number, first, chain.certificates.last()))
    });
    std::iter::once(own).chain(alternates).collect()
}

async fn root(State(door): Door, Path(chain): Path<String>, headers: HeaderMap) -> Response {
    let found = of_chain(&door, &chain, |(_, _, root)| root.cloned());
    shown(&door, found.map(|root| (CHAIN, certificate(&root))), &headers, "roots", &chain)
}

async fn intermediate(State(door): Door, Path(chain): Path<String>, headers: HeaderMap) -> Response {
    let found = of_chain(&door, &chain, |(_, first, _)| Some(first.clone()));
    shown(&door, found.map(|first| (CHAIN, certificate(&first))), &headers, "intermediates", &chain)
}

async fn root_key(State(door): Door, Path(chain): Path<String>, headers: HeaderMap) -> Response {
    let name = of_chain(&door, &chain, |(number, ..)| match number {
        0 => Some("root".to_owned()),
        number => Some(format!("root-{number}")),
    });
    let key = name.and_then(|name| key(&door.dev.as_ref()?.key(&name)));
    shown(&door, key.map(|key| (KEY, key)), &headers, "root-keys", &chain)
}

async fn intermediate_key(State(door): Door, Path(chain): Path<String>, headers: HeaderMap) -> Response {
    let there = of_chain(&door, &chain, |_| Some(()));
    let key = there.and_then(|()| key(&door.dev.as_ref()?.key("intermediate")));
    shown(&door, key.map(|key| (KEY, key)), &headers, "intermediate-keys", &chain)
}

fn of_chain<T>(
    door: &AdminDoor,
    chain: &str,
    part: impl Fn((u16, &Certificate, Option<&Certificate>)) -> Option<T>,
) -> Option<T> {
    let number: u16 = chain.parse().ok()?;
    chains(door.ca.issuer()?).into_iter().find(|(known, ..)| *known == number).and_then(part)
}

fn certificate(certificate: &Certificate) -> String {
    pki::pem::encode("CERTIFICATE", certificate.der())
}

/// RSA keys in the form that older programs read as well (RFC 8017 appendix A.1.2).
fn key(file: &KeyFile) -> Option<String> {
    let pkcs8 = file.load().ok()?.to_pkcs8_der().ok()?;
    let inner = pkcs8.windows(RSA.len()).position(|window| window == RSA).filter(|at| *at < 16);
    // Behind the algorithm, which ends with NULL, an OCTET STRING of two length octets.
    let rsa = inner.and_then(|at| pkcs8.get(at + RSA.len() + 2..)).and_then(|rest| match rest {
        [0x04, 0x82, _, _, key @ ..] => Some(key),
        _ => None,
    });
    Some(rsa.map_or_else(|| pki::pem::encode("PRIVATE KEY", &pkcs8), |key| pki::pem::encode("RSA PRIVATE KEY", key)))
}

/// With links to the same of the other chains.
fn shown(
    door: &AdminDoor,
    found: Option<(&'static str, String)>,
    headers: &HeaderMap,
    path: &str,
    shown: &str,
) -> Response {
    let Some((content_type, text)) = found else {
        return (StatusCode::NOT_FOUND, "There is no such chain, or its key is not here.\n").into_response();
    };
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let issuer = door.ca.issuer();
    for (number, ..) in issuer.map(chains).unwrap_or_default() {
        let link = format!("<https://{host}/{path}/{number}>;rel=\"alternate\"");
        if number.to_string() != shown
            && let Ok(link) = HeaderValue::from_str(&link)
        {
            response.headers_mut().append(header::LINK, link);
        }
    }
    response
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CertStatus {
    status: &'static str,
    serial: String,
    certificate: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

async fn status(State(door): Door, Path(serial): Path<String>) -> Response {
    let Ok(serial) = Serial::parse(&serial) else {
        return (StatusCode::BAD_REQUEST, "expected a serial number in hexadecimal\n").into_response();
    };
    let record = match door.ca.ledger.serial(serial).await {
        Ok(record) => record,
        Err(error) => {
            return (StatusCode::SERVICE_UNAVAILABLE, format!("the store does not answer: {error}\n")).into_response();
        }
    };
    let found = record.and_then(|record| {
        let status = match record.status {
            SerialStatus::Wait => return None,
            SerialStatus::Good => "Valid",
            SerialStatus::Revoked => "Revoked",
        };
        let revocation = record.revocation.as_ref();
        Some(CertStatus {
            status,
            serial: serial.to_string().trim_start_matches('0').to_owned(),
            certificate: pki::pem::encode("CERTIFICATE", record.certificate.as_deref()?),
            reason: revocation.map(|revocation| revocation.reason.code()),
            revoked_at: revocation.map(|revocation| go_time(revocation.revoked)),
        })
    });
    match found {
        Some(found) => json(StatusCode::OK, &found),
        None => (StatusCode::NOT_FOUND, "There is no certificate of this serial.\n").into_response(),
    }
}

/// What is answered of a certificate's renewal from now on, right or wrong.
#[derive(Deserialize)]
struct SetRenewalInfo {
    #[serde(rename = "Certificate", alias = "certificate")]
    certificate: String,
    #[serde(rename = "ARIResponse", alias = "ariResponse", default)]
    answer: String,
}

async fn set_renewal_info(State(door): Door, body: Bytes) -> Response {
    let refused =
        |status: StatusCode, detail: String| problem(&Problem::malformed(detail).with_status(status.as_u16()), None);
    let asked: SetRenewalInfo = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(error) => {
            let detail = format!("expected {{\"Certificate\": PEM, \"ARIResponse\": TEXT}}: {error}");
            return refused(StatusCode::BAD_REQUEST, detail);
        }
    };
    let block = pki::pem::decode(&asked.certificate).ok().and_then(|blocks| blocks.into_iter().next());
    let certificate = block.and_then(|(_, der)| Certificate::from_der(&der).ok());
    let Some(certificate) = certificate else {
        return refused(StatusCode::BAD_REQUEST, "Certificate is no certificate in PEM".to_owned());
    };
    let serial = certificate.serial();
    match door.ca.ledger.serial(serial).await {
        Ok(Some(record)) if record.certificate.as_deref() == Some(certificate.der()) => {}
        Ok(_) => return refused(StatusCode::NOT_FOUND, format!("this CA issued no such certificate {serial}")),
        Err(error) => {
            return (StatusCode::SERVICE_UNAVAILABLE, format!("the store does not answer: {error}\n")).into_response();
        }
    }
    // Pebble answers what is true again once the text is empty.
    match door.ca.override_renewal_info(serial, Some(asked.answer).filter(|answer| !answer.is_empty())).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

/// As programs in Go print a time: `2026-01-02 03:04:05 +0000 UTC`.
fn go_time(time: Timestamp) -> String {
    let text = time.to_rfc3339();
    let seconds = text.get(..19).unwrap_or(&text);
    format!("{} +0000 UTC", seconds.replace('T', " "))
}
