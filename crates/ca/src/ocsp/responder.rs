//! The certificate of a delegated responder (RFC 6960 §4.2.2.2): made and renewed by this CA, of short life, so that
//! nobody has to ask for its status.

use std::sync::Arc;
use std::time::Duration;

use pki::lint::{self, Linted, ResponderRules};
use pki::ocsp::Responder;
use pki::{Certificate, Name, PublicKey, Serial, TbsResponder, Timestamp, Validity};

use super::lock;
use crate::authority::Ca;
use crate::error::{Answer, Error};
use crate::ports::{AuditEvent, Issuer, ResponderRecord, SigningRequest};

/// From notBefore to notAfter.
const LIFETIME: Duration = Duration::from_secs(21 * 86_400);
/// With less left it is renewed: an answer is valid for 10 days at most, and ends within its responder's certificate.
const RENEWAL: Duration = Duration::from_secs(11 * 86_400);
/// `notBefore` lies so long before, for clients whose clock is slow.
const BACKDATE: Duration = Duration::from_secs(3_600);
/// After a failure there is no other try for so long: each leaves a record.
const PAUSE: Duration = Duration::from_secs(60);
/// Of the newest so many one can be used, or there is none.
const LOOKED_AT: u32 = 100;
/// What the audit log's line takes at most.
const LINE_OCTETS: u64 = 16 << 10;
/// ub-common-name (RFC 5280 appendix A.1).
const COMMON_NAME_CHARACTERS_MAX: usize = 64;

impl Ca {
    /// Looks after the certificates of responders: one that is used, or that certificates point to, is renewed well
    /// before it ends.
    ///
    /// # Errors
    /// One could not be made; it is tried again.
    pub async fn renew_responders(&self) -> Answer<()> {
        for issuer in &self.issuers {
            let is_used = lock(&self.ocsp.responders).contains_key(&issuer.id);
            if is_used || self.settings.ocsp.in_certificates {
                if self.check_clock().await?.is_err() {
                    return Ok(());
                }
                self.responder(issuer).await?;
            }
        }
        Ok(())
    }

    /// The certificate of who signs answers for this issuer; `None`: the issuer itself.
    pub(super) async fn responder(&self, issuer: &Issuer) -> Answer<Option<Arc<Certificate>>> {
        let Some(key) = &self.ocsp.delegate else { return Ok(None) };
        if let Some(known) = self.known_responder(issuer, RENEWAL) {
            return Ok(Some(known));
        }
        let mut failed = self.ocsp.making.lock().await;
        if let Some(known) = self.known_responder(issuer, RENEWAL) {
            return Ok(Some(known));
        }
        let pauses = failed.is_some_and(|at| self.clock.monotonic().saturating_sub(at) < PAUSE);
        let made = if pauses {
            Err(Error::Failed("the OCSP responder has no certificate; trying again within a minute".to_owned()))
        } else {
            self.find_or_make_responder(issuer, key).await
        };
        match made {
            Ok(certificate) => {
                *failed = None;
                let certificate = Arc::new(certificate);
                lock(&self.ocsp.responders).insert(issuer.id, Arc::clone(&certificate));
                Ok(Some(certificate))
            }
            Err(error) => {
                if !pauses {
                    *failed = Some(self.clock.monotonic());
                    tracing::error!(%error, "the certificate of the OCSP responder could not be made");
                }
                // As long as the one before has not ended, it will do.
                self.known_responder(issuer, Duration::from_secs(86_400)).map(Some).ok_or(error)
            }
        }
    }

    fn known_responder(&self, issuer: &Issuer, left_min: Duration) -> Option<Arc<Certificate>> {
        let known = lock(&self.ocsp.responders).get(&issuer.id).cloned()?;
        is_usable(&known, self.now(), left_min.min(left(&issuer.certificate, self.now()))).then_some(known)
    }

    async fn find_or_make_responder(&self, issuer: &Issuer, key: &PublicKey) -> Answer<Certificate> {
        let (spki_hash, now) = (key.spki_hash(), self.now());
        let left_min = RENEWAL.min(left(&issuer.certificate, now));
        for record in self.ledger.responders(LOOKED_AT).await? {
            if record.issuer != issuer.id || record.spki_hash != spki_hash {
                continue;
            }
            let certificate = record.certificate.and_then(|der| Certificate::from_der(&der).ok());
            let usable = certificate.filter(|one| {
                is_usable(one, now, left_min) && one.verify_signed_by(issuer.certificate.public_key()).is_ok()
            });
            if let Some(certificate) = usable {
                return Ok(certificate);
            }
        }
        self.make_responder(issuer, key).await
    }

    /// Announced, signed, logged, stored: as with the certificates of clients, each is durable before the next.
    async fn make_responder(&self, issuer: &Issuer, key: &PublicKey) -> Answer<Certificate> {
        self.require_clock().await?;
        let made = self.now();
        let tbs = self.plan_responder(issuer, key, made.whole_second()).await?;
        let serial = tbs.tbs().certificate().serial();
        let record = ResponderRecord {
            serial,
            issuer: issuer.id,
            spki_hash: key.spki_hash(),
            made,
            not_after: validity(issuer, made.whole_second()).not_after,
            linting_certificate: tbs.linting_certificate().to_vec(),
            certificate: None,
        };
        let _room = self.audit.reserve(LINE_OCTETS).await?;
        if !self.ledger.add_responder(record).await? {
            return Err(Error::Failed(format!("serial {serial} of an OCSP responder is taken")));
        }
        let signed = self.signer.sign(SigningRequest::OcspResponder { issuer: issuer.id, tbs }).await;
        let der = signed.map_err(|error| Error::Failed(format!("an OCSP responder's certificate: {error}")))?.der;
        let line = self.audit.append(AuditEvent::OcspResponder { serial, der: der.clone() }).await?;
        let stored = self.ledger.store_responder(serial, &der).await?;
        self.audit.applied(line);
        let certificate = Certificate::from_der(&der).map_err(|error| Error::Failed(error.to_string()))?;
        if !stored {
            return Err(Error::Failed(format!("serial {serial} of an OCSP responder is not on record")));
        }
        let until = certificate.validity().not_after.to_rfc3339();
        tracing::info!(%serial, %until, "the OCSP responder has a new certificate");
        Ok(certificate)
    }

    async fn plan_responder(&self, issuer: &Issuer, key: &PublicKey, made: Timestamp) -> Answer<Linted<TbsResponder>> {
        let mut random = [0; 16];
        self.random.fill(&mut random);
        let tbs = TbsResponder::build(&Responder {
            serial: Serial::from_random(random),
            issuer: issuer.certificate.subject(),
            issuer_key_identifier: issuer.certificate.public_key().key_identifier(),
            signature_algorithm: issuer.signature_algorithm,
            validity: validity(issuer, made),
            subject: &subject(issuer),
            public_key: key,
        });
        let algorithm = issuer.signature_algorithm;
        let throwaway = self.linting_key.sign(algorithm, tbs.certificate().der()).await;
        let throwaway = throwaway.map_err(|error| Error::Failed(format!("the linting key: {error}")))?;
        let linting_certificate = tbs.certificate().with_signature(algorithm, &throwaway);
        let rules = ResponderRules {
            issuer: &issuer.certificate,
            public_key: key,
            lifetime_max: LIFETIME + BACKDATE,
            now: self.now(),
        };
        lint::ocsp_responder(tbs, linting_certificate, &rules)
            .map_err(|failure| Error::Failed(format!("an OCSP responder's certificate breaks rules: {failure}")))
    }
}

/// Within that of its issuer.
fn validity(issuer: &Issuer, made: Timestamp) -> Validity {
    let issuers = issuer.certificate.validity();
    Validity {
        not_before: made.minus(BACKDATE).max(issuers.not_before),
        not_after: made.plus(LIFETIME).minus(Duration::from_secs(1)).min(issuers.not_after),
    }
}

/// The issuer's name with another common name.
fn subject(issuer: &Issuer) -> Name {
    const SUFFIX: &str = " OCSP";
    let name = issuer.certificate.subject();
    let issuers = name.common_names().into_iter().next_back().unwrap_or_default();
    let kept: String = issuers.chars().take(COMMON_NAME_CHARACTERS_MAX - SUFFIX.len()).collect();
    name.with_common_name(format!("{kept}{SUFFIX}").trim())
}

fn left(certificate: &Certificate, now: Timestamp) -> Duration {
    certificate.validity().not_after.since(now)
}

fn is_usable(certificate: &Certificate, now: Timestamp, left_min: Duration) -> bool {
    certificate.validity().not_before <= now && left(certificate, now) >= left_min
}
