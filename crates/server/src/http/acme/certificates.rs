//! Certificates: download and revocation (RFC 8555 §7.4.2, §7.6).

use std::sync::Arc;

use acme::{Problem, ProblemType};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use ca::ports::{Issuer, SerialRecord};
use ca::{Ca, Error, Revoker, urls};
use pki::{Certificate, Serial, Timestamp};

use super::delivery::Delivery;
use super::request::{ByAccount, Post, Signed};
use super::response::{Outcome, Reply};
use super::{Base, orders};

const PEM_CHAIN: &str = "application/pem-certificate-chain";

pub(super) async fn certificate(post: Post, Path(serial): Path<String>) -> Outcome<Reply> {
    download(post, &serial, None).await
}

/// The same certificate with another chain.
pub(super) async fn alternate(post: Post, Path((serial, chain)): Path<(String, String)>) -> Outcome<Reply> {
    download(post, &serial, Some(&chain)).await
}

async fn download(mut post: Post, serial: &str, number: Option<&str>) -> Outcome<Reply> {
    let ByAccount { base, account, request } = post.by_any_account().await?;
    request.expect_post_as_get().map_err(|error| error.problem())?;
    require_pem(&post.headers)?;
    let serial = Serial::parse(serial).map_err(|_| orders::no_such("certificate"))?;
    let number = number.map(|text| chain_number(text).ok_or_else(|| orders::no_such("chain"))).transpose()?;
    let ca = &post.door.ca;
    let record = ca.certificate(&account, serial).await?;
    let issuer = ca
        .issuer_by_id(&record.issuer)
        .ok_or_else(|| Error::Failed(format!("the issuer of {serial} is not configured any more")))?;
    let now = ca.now();
    let chain = pem_chain(issuer, number, &record, now)?;
    let body = Body::new(Delivery::new(chain.into(), Arc::clone(&post.door), record.order));
    Ok(Reply::body(PEM_CHAIN, body).alternates(alternates(&base, serial, issuer, number, now)))
}

/// One spelling of each URL.
fn chain_number(text: &str) -> Option<u16> {
    text.parse::<u16>().ok().filter(|number| *number > 0 && number.to_string() == text)
}

/// Leaf first, each certified by the next, the root left out (RFC 8555 §9.1).
fn pem_chain(issuer: &Issuer, number: Option<u16>, record: &SerialRecord, now: Timestamp) -> Outcome<String> {
    let leaf = record.certificate.as_deref().ok_or_else(|| orders::no_such("certificate"))?;
    let above: Vec<&Certificate> = match number {
        None => std::iter::once(&issuer.certificate).chain(&issuer.chain).collect(),
        Some(number) => {
            let chain = issuer.alternates_at(now).find(|chain| chain.number == number);
            chain.ok_or_else(|| orders::no_such("chain"))?.certificates.iter().collect()
        }
    };
    let above = above.into_iter().filter(|one| one.issuer() != one.subject()).map(Certificate::der);
    Ok(std::iter::once(leaf).chain(above).map(|der| pki::pem::encode("CERTIFICATE", der)).collect())
}

/// The URLs of the other chains, our own among them (RFC 8555 §7.4.2).
fn alternates(base: &Base, serial: Serial, issuer: &Issuer, shown: Option<u16>, now: Timestamp) -> Vec<String> {
    let numbers = issuer.alternates_at(now).map(|chain| Some(chain.number));
    let others = std::iter::once(None).chain(numbers).filter(|number| *number != shown);
    let url = |number: Option<u16>| match number {
        None => base.url(&urls::certificate(serial)),
        Some(number) => base.url(&urls::certificate_with_chain(serial, number)),
    };
    others.map(url).collect()
}

fn require_pem(headers: &HeaderMap) -> Outcome<()> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    let fits = accept.split(',').any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        matches!(range, "*/*" | "application/*" | PEM_CHAIN | "")
    });
    if fits {
        return Ok(());
    }
    Err(Problem::malformed(format!("certificates are sent as {PEM_CHAIN}; accept that")).with_status(406).into())
}

pub(super) async fn revoke(mut post: Post, (): ()) -> Outcome<Reply> {
    let (revoker, request) = match post.signed().await? {
        Signed::ByAccount(signed) => (Revoker::Account(Box::new(signed.account)), signed.request),
        Signed::ByKey(signed) => (Ca::certificate_key(&signed.request)?, signed.request),
    };
    if request.is_post_as_get() {
        return Err(Error::refused(ProblemType::Malformed, "revokeCert has a payload: the certificate to be revoked"));
    }
    // A client that hangs up must not leave a revocation between the audit log and the ledger.
    let ca = Arc::clone(&post.door.ca);
    let revoking = post.door.errands.run(async move { ca.revoke_certificate(revoker, &request).await });
    revoking.await.map_err(|error| Error::Failed(format!("a revocation: {error}")))??;
    Ok(Reply::empty(StatusCode::OK))
}
