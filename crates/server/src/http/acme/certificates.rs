//! Certificates: download and revocation (RFC 8555 §7.4.2, §7.6).

use std::sync::Arc;

use acme::{Problem, ProblemType};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use ca::ports::SerialRecord;
use ca::{Ca, Error, Revoker};
use pki::Serial;

use super::delivery::Delivery;
use super::request::{ByAccount, ByKey, Signed};
use super::response::{Outcome, Reply};
use super::{AcmeDoor, Base, orders, respond};

const PEM_CHAIN: &str = "application/pem-certificate-chain";

pub(super) async fn certificate(
    State(door): State<Arc<AcmeDoor>>,
    Path(serial): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    let outcome = async {
        let ByAccount { account, request, .. } = door.by_account(&uri, &headers, body).await?;
        request.expect_post_as_get().map_err(|error| error.problem())?;
        require_pem(&headers)?;
        let serial = Serial::parse(&serial).map_err(|_| orders::no_such("certificate"))?;
        let record = door.ca.certificate(&account, serial).await?;
        let chain = pem_chain(&door.ca, &record)?;
        let body = Body::new(Delivery::new(chain.into(), Arc::clone(&door.ca), record.order));
        Ok(Reply::body(PEM_CHAIN, body))
    };
    respond(&door, base.as_ref(), outcome.await).await
}

/// Leaf first, each certified by the next, the root left out (RFC 8555 §9.1).
fn pem_chain(ca: &Ca, record: &SerialRecord) -> Outcome<String> {
    let leaf = record.certificate.as_deref().ok_or_else(|| orders::no_such("certificate"))?;
    let issuer = ca
        .issuer_by_id(&record.issuer)
        .ok_or_else(|| Error::Failed(format!("the issuer of {} is not configured any more", record.serial)))?;
    let mut chain = pki::pem::encode("CERTIFICATE", leaf);
    chain.push_str(&pki::pem::encode("CERTIFICATE", issuer.certificate.der()));
    let above = issuer.chain.iter().filter(|one| one.issuer() != one.subject());
    above.for_each(|certificate| chain.push_str(&pki::pem::encode("CERTIFICATE", certificate.der())));
    Ok(chain)
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

pub(super) async fn revoke(State(door): State<Arc<AcmeDoor>>, uri: Uri, headers: HeaderMap, body: Body) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    let outcome = async {
        let (revoker, request) = match door.signed(&uri, &headers, body).await? {
            Signed::ByAccount(signed) => (Revoker::Account(Box::new(signed.account)), signed.request),
            Signed::ByKey(ByKey { request, .. }) => (Ca::certificate_key(&request)?, request),
        };
        if request.is_post_as_get() {
            return Err(Error::refused(
                ProblemType::Malformed,
                "revokeCert has a payload: the certificate to be revoked",
            ));
        }
        // A client that hangs up must not leave a revocation between the audit log and the ledger.
        let ca = Arc::clone(&door.ca);
        let revoking = tokio::spawn(async move { ca.revoke_certificate(revoker, &request).await });
        revoking.await.map_err(|error| Error::Failed(format!("a revocation ended early: {error}")))??;
        Ok(Reply::empty(StatusCode::OK))
    };
    respond(&door, base.as_ref(), outcome.await).await
}
