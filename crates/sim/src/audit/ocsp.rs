//! 5: what relying parties are told of a serial is true, of whatever server and at whatever moment they ask.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use ca::ports::SerialStatus;
use ca::urls::OCSP;
use http_body_util::BodyExt;
use pki::ocsp::{BasicOcspResponse, CertStatus, IdAlgorithm, IdForm, IssuerIdentity};
use pki::{Crl, OcspError, OcspRequest, OcspResponse, Reason, Serial, Sha256};
use tower::ServiceExt;

use super::{Auditor, now};
use crate::keys::Hierarchy;
use crate::network::Answer;

/// What was known of a serial when somebody asked for its status.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    serial: Serial,
    status: Option<SerialStatus>,
    /// Whether nothing can be a reason not to answer.
    strictly: bool,
}

/// What was known of a shard when somebody asked for its CRL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrlAsked {
    shard: u16,
    /// The newest that somebody had.
    number: Option<u64>,
    strictly: bool,
}

impl Auditor {
    /// From now on this door is asked for the status of each serial that is written: no answer may be wrong at any
    /// moment.
    pub(crate) fn asks(&self, witness: Router) {
        // It is told once.
        let _set = self.witness.set(witness);
    }

    pub(super) fn ask_witness(&self, serial: Serial) {
        let Some(witness) = self.witness.get() else { return };
        let identity = IssuerIdentity::of(&Hierarchy::shared().issuer.certificate);
        let id = identity.cert_id(IdForm { algorithm: IdAlgorithm::Sha1, null_parameters: true }, serial);
        let mut request = Request::new(Body::from(OcspRequest::write(&id, None)));
        *request.method_mut() = axum::http::Method::POST;
        *request.uri_mut() = axum::http::Uri::from_static(OCSP);
        let asked = self.asked_for_status(serial, false);
        let Ok(response) = now(witness.clone().oneshot(request));
        let (parts, body) = response.into_parts();
        let body = now(body.collect()).map(http_body_util::Collected::to_bytes).unwrap_or_default();
        self.told_status(asked, &Answer { status: parts.status.as_u16(), headers: parts.headers, body });
    }

    /// All serials that were ever allocated.
    pub(crate) fn serials(&self) -> Vec<Serial> {
        self.facts().statuses.keys().copied().collect()
    }

    /// One of which an answer is signed: `wait` has none.
    pub(crate) fn answered_serial(&self) -> Option<Serial> {
        let facts = self.facts();
        facts.statuses.iter().find(|(_, status)| **status != SerialStatus::Wait).map(|(serial, _)| *serial)
    }

    /// Somebody is about to ask. `strictly`: nothing fails, and nothing is under way.
    pub(crate) fn asked_for_status(&self, serial: Serial, strictly: bool) -> Asked {
        Asked { serial, status: self.facts().statuses.get(&serial).copied(), strictly }
    }

    /// And is told this.
    pub(crate) fn told_status(&self, asked: Asked, answer: &Answer) {
        let Asked { serial, status: before, strictly } = asked;
        let after = self.facts().statuses.get(&serial).copied();
        let Ok(response) = OcspResponse::from_der(&answer.body) else {
            self.holds(5, false, || format!("{serial}: what was answered is no OCSP response: {answer:?}"));
            return;
        };
        let error = match response {
            OcspResponse::Successful(basic) => return self.told_signed(asked, &basic, answer),
            OcspResponse::Failed(error) => error,
        };
        let fits = match error {
            // Of `wait`, and of nothing else, as HTTP 500.
            OcspError::InternalError => {
                let was_wait = matches!(before, None | Some(SerialStatus::Wait)) && after.is_some();
                was_wait && answer.status == 500 && answer.header("cache-control") == Some("no-store")
            }
            OcspError::Unauthorized => before.is_none() && answer.status == 200,
            // A store or the signer does not answer, or the clock is wrong.
            OcspError::TryLater => !strictly && answer.status == 200,
            OcspError::MalformedRequest => false,
        };
        self.holds(5, fits, || {
            let (name, http) = (error.name(), answer.status);
            format!("{serial}, then {before:?} and now {after:?}: OCSP says {name} with HTTP {http}")
        });
    }

    fn told_signed(&self, asked: Asked, basic: &BasicOcspResponse, answer: &Answer) {
        let Asked { serial, status: before, .. } = asked;
        let said = self.verified(basic, &answer.body, serial);
        let record = self.record(serial);
        let (signed, after) = {
            let facts = self.facts();
            let signed = facts.precertificates.contains_key(&serial) || facts.certificates.contains_key(&serial);
            (signed, facts.statuses.get(&serial).copied())
        };
        let fits = match (said, before, after) {
            (Some(CertStatus::Good), None | Some(SerialStatus::Wait | SerialStatus::Good), Some(now)) => {
                signed && now != SerialStatus::Wait
            }
            (Some(CertStatus::Revoked { reason, .. }), _, Some(SerialStatus::Revoked)) => {
                let recorded = record.and_then(|record| record.revocation).map(|revocation| revocation.reason);
                // It may have become this meanwhile.
                recorded == Some(reason) || recorded == Some(Reason::KeyCompromise)
            }
            (Some(CertStatus::Good | CertStatus::Revoked { .. }) | None, _, _) => false,
        };
        self.holds(5, fits && answer.status == 200, || {
            format!("{serial}, then {before:?} and now {after:?}, signed: {signed}: OCSP says {said:?}")
        });
    }

    /// What an answer says of this serial, if it verifies up to the issuer.
    fn verified(&self, basic: &BasicOcspResponse, der: &[u8], serial: Serial) -> Option<CertStatus> {
        let hash = Sha256::of(der);
        if !self.facts().verified.contains(&hash) {
            let issuer = Hierarchy::shared().issuer.certificate.public_key();
            match basic.certificate() {
                Some(responder) => {
                    responder.verify_signed_by(issuer).ok()?;
                    basic.verify_signed_by(responder.public_key()).ok()?;
                }
                None => basic.verify_signed_by(issuer).ok()?,
            }
            self.facts().verified.insert(hash);
        }
        let data = basic.data()?;
        let single = data.responses.first().filter(|single| single.cert_id.serial == Some(serial))?;
        single.status
    }

    /// Somebody is about to fetch the CRL of a shard. `strictly`: nothing fails.
    pub(crate) fn asked_for_crl(&self, shard: u16, strictly: bool) -> CrlAsked {
        CrlAsked { shard, number: self.facts().crls_fetched.get(&shard).map(|(number, _)| *number), strictly }
    }

    /// And is sent this: 11: numbers never go back; 5: what was listed stays listed, and is revoked.
    pub(crate) fn told_crl(&self, asked: CrlAsked, answer: &Answer) {
        let CrlAsked { shard, number: before, strictly } = asked;
        if answer.status == 503 {
            self.holds(5, !strictly, || format!("shard {shard} has no CRL: {answer:?}"));
            return;
        }
        let issuer = Hierarchy::shared().issuer.certificate.public_key();
        let crl = Crl::from_der(&answer.body).ok().filter(|crl| crl.verify_signed_by(issuer).is_ok());
        let Some(crl) = crl.filter(|_| answer.status == 200) else {
            self.holds(5, false, || format!("what is sent as CRL of shard {shard} is none that verifies: {answer:?}"));
            return;
        };
        let (number, listed): (_, BTreeSet<Serial>) =
            (crl.number(), crl.entries().iter().map(|entry| entry.serial).collect());
        self.holds(11, before.is_none_or(|before| number >= before), || {
            format!("CRL {number} of shard {shard} is sent to somebody who asks after CRL {before:?} was")
        });
        for serial in &listed {
            let revoked = self.facts().statuses.get(serial) == Some(&SerialStatus::Revoked);
            self.holds(5, revoked, || format!("{serial} is in a CRL that was fetched, and not revoked"));
        }
        let known = self.facts().crls_fetched.get(&shard).cloned();
        if let Some((newest, of_newest)) = known {
            let (older, newer) = if number < newest { (&listed, &of_newest) } else { (&of_newest, &listed) };
            // None expires within a run.
            let gone = older.difference(newer).next();
            self.holds(5, gone.is_none(), || {
                format!(
                    "{gone:?} was in one of the CRLs {number} and {newest} of shard {shard}, and not in the later one"
                )
            });
            if number < newest {
                return;
            }
        }
        self.facts().crls_fetched.insert(shard, (number, listed));
    }
}
