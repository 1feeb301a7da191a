//! The certificate of a delegated responder (RFC 6960 §4.2.2.2): made and renewed by this CA, of short life, so that
//! nobody has to ask for its status.

use std::sync::Arc;
use std::time::Duration;

use pki::lint::{self, Linted, ResponderRules};
use pki::ocsp::Responder;
use pki::{Certificate, Name, PublicKey, Serial, TbsResponder, Timestamp, Validity};

use super::NotSigned;
use crate::authority::Ca;
use crate::error::{Answer, Error};
use crate::guard::{guarded, panicked};
use crate::ports::{AuditEvent, Issuer, ResponderRecord, SigningRequest};

/// From notBefore to notAfter.
const LIFETIME: Duration = Duration::from_secs(21 * 86_400);
/// With less left it is renewed: an answer is valid for 10 days at most, and ends within its responder's certificate.
const RENEWAL: Duration = Duration::from_secs(11 * 86_400);
/// `notBefore` lies so long before, for clients whose clock is slow.
const BACKDATE: Duration = Duration::from_secs(3_600);
/// Of the newest so many the one that ends last is used.
const LOOKED_AT: u32 = 8;
/// A request waits for so long for a certificate that is being made.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the audit log's line takes at most.
const LINE_OCTETS: u64 = 16 << 10;
/// ub-common-name (RFC 5280 appendix A.1).
const COMMON_NAME_CHARACTERS_MAX: usize = 64;

impl Ca {
    /// Looks after the certificates of responders: one that was ever asked for, or that certificates point to, is made,
    /// and renewed well before it ends. To be called by one task, which nobody's hanging up ends.
    ///
    /// # Errors
    /// The first that could not be made: it is tried again, and the others were seen to all the same.
    pub async fn renew_responders(&self) -> Answer<()> {
        let Some(key) = &self.ocsp.delegate else { return Ok(()) };
        let mut failed = None;
        for issuer in &self.issuers {
            let responders = &self.ocsp.responders;
            if !self.settings.ocsp.in_certificates && !self.is_in_use(issuer, key).await? {
                continue;
            }
            let (now, monotonic) = (self.now(), self.clock.monotonic());
            let is_fresh = responders.known(issuer.id).is_some_and(|known| is_usable(&known, issuer, now, RENEWAL));
            if is_fresh || responders.pauses(issuer.id, monotonic) || has_ended(issuer, now) {
                continue;
            }
            if self.check_clock().await?.is_err() || self.clock_is_doubted() {
                return Ok(());
            }
            let made = guarded("an OCSP responder", self.find_or_make_responder(issuer, key)).await;
            match made.unwrap_or_else(|| Err(panicked().into())) {
                Ok(()) => responders.is_fresh(issuer.id),
                Err(error) => {
                    responders.failed(issuer.id, self.clock.monotonic());
                    tracing::error!(%error, "the certificate of the OCSP responder could not be made; trying again");
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Whether answers were ever asked for. Who asks first after a start waits for nothing that an earlier process had.
    async fn is_in_use(&self, issuer: &Issuer, key: &PublicKey) -> Answer<bool> {
        let responders = &self.ocsp.responders;
        if let Some(known) = responders.is_wanted(issuer.id) {
            return Ok(known);
        }
        let was_in_use = !self.ledger.responders(issuer.id, key.spki_hash(), 1).await?.is_empty();
        responders.looked_up(issuer.id, was_in_use);
        Ok(was_in_use)
    }

    /// Ends when a request waits for a certificate that [`Ca::renew_responders`] is to make.
    pub async fn responder_is_missing(&self) {
        self.ocsp.responders.missing().await;
    }

    /// The certificate of who signs answers for this issuer; `None`: the issuer itself.
    pub(super) async fn responder(&self, issuer: &Issuer) -> Result<Option<Arc<Certificate>>, NotSigned> {
        if self.ocsp.delegate.is_none() {
            return Ok(None);
        }
        let responders = &self.ocsp.responders;
        let look = || {
            let known = responders.known(issuer.id);
            let usable = known.filter(|known| is_usable(known, issuer, self.now(), lint::OCSP_VALIDITY_MIN));
            let given_up = || responders.pauses(issuer.id, self.clock.monotonic()).then_some(None);
            usable.map(Some).or_else(given_up)
        };
        let found = match look() {
            Some(found) => found,
            None => self.within(PATIENCE, responders.wait(issuer.id, look)).await.flatten(),
        };
        found.map(Some).ok_or(NotSigned::Unprepared)
    }

    /// What the ledger has is used, even if it is to be renewed and can't be.
    async fn find_or_make_responder(&self, issuer: &Issuer, key: &PublicKey) -> Answer<()> {
        let now = self.now();
        let records = self.ledger.responders(issuer.id, key.spki_hash(), LOOKED_AT).await?;
        let known = records.into_iter().filter_map(|record| Certificate::from_der(&record.certificate?).ok());
        let best = known
            .filter(|one| one.validity().not_before <= now)
            .filter(|one| one.verify_signed_by(issuer.certificate.public_key()).is_ok())
            .max_by_key(|one| one.validity().not_after);
        if let Some(best) = best {
            let is_fresh = is_usable(&best, issuer, now, RENEWAL);
            self.ocsp.responders.keep(issuer.id, best);
            if is_fresh {
                return Ok(());
            }
        }
        let made = self.make_responder(issuer, key).await?;
        self.ocsp.responders.keep(issuer.id, made);
        Ok(())
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

/// Whether it is valid, and for so long still, or as long as its issuer.
fn is_usable(certificate: &Certificate, issuer: &Issuer, now: Timestamp, left_min: Duration) -> bool {
    let Validity { not_before, not_after } = certificate.validity();
    let needed = now.plus(left_min).min(issuer.certificate.validity().not_after);
    not_before <= now && now <= not_after && needed <= not_after
}

fn has_ended(issuer: &Issuer, now: Timestamp) -> bool {
    issuer.certificate.validity().not_after < now
}
