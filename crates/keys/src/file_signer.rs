//! The signer whose keys are in this process. It believes the ledger and nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ca::ports::{Clock, Issuer, Ledger, SignError, Signed, Signer, SigningRecord, SigningRequest};
use ca::signing::{self, Proofs, Refused, SignerRules};
use pki::ocsp::{IssuerIdentity, ResponderId, ResponseData};
use pki::{
    Certificate, Crl, CrlEntry, Reason, Serial, Sha256, SignatureAlgorithm, TbsCertificate, TbsCrl, TbsOcspResponse,
    Timestamp,
};

use crate::KeyPair;

/// Entries of a CRL are compared with the ledger in pages of so many.
const REVOKED_PAGE: u32 = 1_000;

/// A revocation that is younger than this when its CRL is made may come too late for it: it was written while the
/// entries were gathered, and is in the next one.
const GATHERING: Duration = Duration::from_secs(300);

/// An issuer with its key.
#[derive(Debug)]
pub struct IssuerKey {
    issuer: Issuer,
    pair: KeyPair,
    /// How OCSP requests name it.
    identity: IssuerIdentity,
}

/// Why a key and an issuer don't make a pair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerKeyError {
    /// The certificate carries another key.
    #[error("the key is not that of the issuer's certificate {0}")]
    OtherKey(Serial),
    /// The certificate can't issue.
    #[error("the issuer's certificate {0} is not that of a CA")]
    NotAuthority(Serial),
    /// The issuer's name isn't its key's.
    #[error("the issuer is recorded as {found}, but its key is {expected}")]
    OtherId {
        /// As recorded.
        found: Sha256,
        /// As it should be.
        expected: Sha256,
    },
    /// The key can't make such signatures.
    #[error("the issuer's key makes no signatures of {0}")]
    Algorithm(SignatureAlgorithm),
}

impl IssuerKey {
    /// Brings an issuer and its key together.
    ///
    /// # Errors
    /// If they don't belong together.
    pub fn new(issuer: Issuer, pair: KeyPair) -> Result<Self, IssuerKeyError> {
        let certificate = &issuer.certificate;
        if certificate.public_key() != pair.public_key() {
            return Err(IssuerKeyError::OtherKey(certificate.serial()));
        }
        if !certificate.is_authority() {
            return Err(IssuerKeyError::NotAuthority(certificate.serial()));
        }
        let expected = pair.public_key().spki_hash();
        if issuer.id != expected {
            return Err(IssuerKeyError::OtherId { found: issuer.id, expected });
        }
        // A signature is the only proof that a key and an algorithm go together; of the kinds of keys in use none
        // refuses for any other reason.
        let proof = pair.sign(issuer.signature_algorithm, b"issuer key check");
        proof.map_err(|_| IssuerKeyError::Algorithm(issuer.signature_algorithm))?;
        let identity = IssuerIdentity::of(&issuer.certificate);
        Ok(Self { issuer, pair, identity })
    }

    /// The issuer.
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The key is asked: from here on a signature may exist.
    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        self.pair
            .sign(self.issuer.signature_algorithm, tbs)
            .map_err(|error| SignError::NotSigned(format!("issuer {}: {error}", self.issuer.id)))
    }
}

/// Signs with issuers' keys held in this process, after the records of the ledger were checked (`ca::signing`). It
/// signs on the calling task, and doesn't verify what it signed: a faulty signature is found when SCTs are, or by its
/// client.
pub struct FileSigner {
    issuers: BTreeMap<Sha256, IssuerKey>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    rules: SignerRules,
    proofs: Proofs,
    crl_shards: u16,
    /// The key of the delegated OCSP responder.
    responder: Option<KeyPair>,
}

impl FileSigner {
    /// A signer for these issuers. `crl_shards`: CRLs of an issuer are cut into so many.
    pub fn new(
        issuers: impl IntoIterator<Item = IssuerKey>,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        rules: SignerRules,
        crl_shards: u16,
    ) -> Self {
        let issuers = issuers.into_iter().map(|one| (one.issuer.id, one)).collect();
        Self { issuers, ledger, clock, rules, proofs: Proofs::default(), crl_shards, responder: None }
    }

    /// With the key of a delegated OCSP responder.
    #[must_use]
    pub fn with_responder(self, pair: KeyPair) -> Self {
        Self { responder: Some(pair), ..self }
    }

    fn issuer(&self, id: Sha256) -> Result<&IssuerKey, SignError> {
        self.issuers.get(&id).ok_or_else(|| SignError::Refused(format!("this signer has no key of issuer {id}")))
    }

    /// Nothing is signed with a clock that is behind the ledger.
    async fn check_clock(&self) -> Result<(), SignError> {
        let newest = self.ledger.newest().await.map_err(unread)?;
        ca::clock::check(newest, self.clock.now()).map_err(|behind| SignError::NotSigned(behind.to_string()))
    }

    async fn sign_certificate(
        &self,
        issuer: Sha256,
        tbs: &TbsCertificate,
        check: fn(&Proofs, &SigningRecord, &TbsCertificate, SignerRules, Timestamp) -> Result<(), Refused>,
    ) -> Result<Signed, SignError> {
        let key = self.issuer(issuer)?;
        self.check_clock().await?;
        let serial = tbs.serial();
        let record = self.ledger.signing_record(serial).await.map_err(unread)?;
        let record = record.ok_or_else(|| SignError::Refused(format!("serial {serial} was never allocated")))?;
        if record.serial.issuer != issuer {
            let recorded = record.serial.issuer;
            return Err(SignError::Refused(format!("serial {serial} was allocated for issuer {recorded}")));
        }
        // No await between here and the signature: nothing can be read anew that was not read just now.
        check(&self.proofs, &record, tbs, self.rules, self.clock.now())
            .map_err(|refused| SignError::Refused(refused.to_string()))?;
        let signature = key.sign(tbs.der())?;
        Ok(Signed { der: tbs.with_signature(key.issuer.signature_algorithm, &signature), serial: Some(serial) })
    }

    async fn sign_crl(&self, issuer: Sha256, shard: u16, number: u64, tbs: &TbsCrl) -> Result<Signed, SignError> {
        let key = self.issuer(issuer)?;
        self.check_clock().await?;
        let crl = self.read_crl(key, tbs)?;
        if crl.number() != number {
            return Err(SignError::Refused(format!("the CRL's number is {}, not {number}", crl.number())));
        }
        let state = self.ledger.crl_state(issuer, shard, self.crl_shards).await.map_err(unread)?;
        signing::check_crl(&state, number).map_err(|refused| SignError::Refused(refused.to_string()))?;
        self.check_entries(issuer, shard, &crl).await?;
        // Entries take time to compare. A number that was passed over meanwhile is not refused, or processes that make
        // large CRLs side by side would get nowhere; one that relying parties have outgrown is.
        let state = self.ledger.crl_state(issuer, shard, self.crl_shards).await.map_err(unread)?;
        signing::check_crl_grows(&state, number).map_err(|refused| SignError::Refused(refused.to_string()))?;
        let signature = key.sign(tbs.der())?;
        Ok(Signed { der: tbs.with_signature(key.issuer.signature_algorithm, &signature), serial: None })
    }

    /// An answer is signed after a look at the status of the serial itself, by the issuer or by who it has delegated.
    async fn sign_ocsp(
        &self,
        issuer: Sha256,
        responder: Option<&Certificate>,
        tbs: &TbsOcspResponse,
    ) -> Result<Signed, SignError> {
        let key = self.issuer(issuer)?;
        self.check_clock().await?;
        let refused = |why: &str| SignError::Refused(why.to_owned());
        let data = ResponseData::from_der(tbs.der()).ok_or_else(|| refused("this is no OCSP answer"))?;
        let serial = data.responses.first().and_then(|single| single.cert_id.serial);
        let serial = serial.ok_or_else(|| refused("the OCSP answer is about no serial"))?;
        let pair = match responder {
            None => &key.pair,
            Some(certificate) => self.delegate(key, certificate)?,
        };
        if data.responder != ResponderId::ByKey(pair.public_key().key_identifier().to_vec()) {
            return Err(refused("the OCSP answer names another responder than the one that is to sign"));
        }
        let record = self.ledger.status(serial).await.map_err(unread)?;
        // No await between here and the signature.
        signing::check_ocsp(record.as_ref(), (issuer, &key.identity), &data, self.clock.now())
            .map_err(|refused| SignError::Refused(refused.to_string()))?;
        let algorithm = match responder {
            None => key.issuer.signature_algorithm,
            Some(_) => pair.default_signature_algorithm(),
        };
        let signature = pair.sign(algorithm, tbs.der());
        let signature = signature.map_err(|error| SignError::NotSigned(format!("OCSP responder: {error}")))?;
        Ok(Signed { der: tbs.with_signature(algorithm, &signature, responder), serial: None })
    }

    /// The key of the delegated responder, if this is a certificate for it that counts now.
    fn delegate(&self, issuer: &IssuerKey, certificate: &Certificate) -> Result<&KeyPair, SignError> {
        let refused = |why: &str| SignError::Refused(why.to_owned());
        let pair = self.responder.as_ref().ok_or_else(|| refused("this signer has no key of an OCSP responder"))?;
        let authority = &issuer.issuer.certificate;
        let (now, validity) = (self.clock.now(), certificate.validity());
        if certificate.public_key() != pair.public_key() {
            return Err(refused("the certificate is not that of the signer's OCSP responder"));
        }
        if certificate.issuer() != authority.subject()
            || certificate.authority_key_identifier() != authority.key_identifier()
        {
            return Err(refused("the OCSP responder's certificate is another issuer's"));
        }
        if now < validity.not_before || now > validity.not_after {
            return Err(refused("the OCSP responder's certificate has not begun, or has ended"));
        }
        Ok(pair)
    }

    async fn sign_responder(&self, issuer: Sha256, tbs: &TbsCertificate) -> Result<Signed, SignError> {
        let key = self.issuer(issuer)?;
        self.check_clock().await?;
        let responder = self.responder.as_ref();
        let responder = responder.ok_or_else(|| SignError::Refused("this signer has no OCSP responder".to_owned()))?;
        let serial = tbs.serial();
        let record = self.ledger.responder(serial).await.map_err(unread)?;
        signing::check_responder(record.as_ref(), issuer, responder.public_key(), tbs)
            .map_err(|refused| SignError::Refused(refused.to_string()))?;
        let signature = key.sign(tbs.der())?;
        Ok(Signed { der: tbs.with_signature(key.issuer.signature_algorithm, &signature), serial: Some(serial) })
    }

    /// Reads what is to be signed, by way of a signature that is none.
    fn read_crl(&self, key: &IssuerKey, tbs: &TbsCrl) -> Result<Crl, SignError> {
        let unsigned = tbs.with_signature(key.issuer.signature_algorithm, &[0]);
        let crl = Crl::from_der(&unsigned).map_err(|error| SignError::Refused(error.to_string()))?;
        if crl.issuer() != key.issuer.certificate.subject() {
            return Err(SignError::Refused("the CRL names another issuer".to_owned()));
        }
        let ahead = crl.this_update().since(self.clock.now());
        if ahead > GATHERING {
            return Err(SignError::Refused(format!("the CRL is made {} seconds in the future", ahead.as_secs())));
        }
        Ok(crl)
    }

    /// The entries are the ledger's: none that isn't there, and none left out whose certificate is still valid.
    async fn check_entries(&self, issuer: Sha256, shard: u16, crl: &Crl) -> Result<(), SignError> {
        let listed: BTreeMap<Serial, CrlEntry> = crl.entries().iter().map(|entry| (entry.serial, *entry)).collect();
        if listed.len() != crl.entries().len() {
            return Err(SignError::Refused("the CRL lists a serial twice".to_owned()));
        }
        let mut unconfirmed = listed.clone();
        self.each_revoked(issuer, shard, Timestamp::from_millis(0), |recorded| {
            let shown = recorded.shown_at(crl.this_update());
            if unconfirmed.get(&recorded.serial).is_some_and(|entry| says_the_same(entry, &shown)) {
                unconfirmed.remove(&recorded.serial);
            }
            Ok(())
        })
        .await?;
        if let Some(serial) = unconfirmed.keys().next() {
            return Err(SignError::Refused(format!("the CRL's entry for serial {serial} is not the ledger's")));
        }
        let complete_until = crl.this_update().minus(GATHERING);
        self.each_revoked(issuer, shard, crl.this_update(), |recorded| {
            if recorded.revoked_at <= complete_until && !listed.contains_key(&recorded.serial) {
                return Err(SignError::Refused(format!("serial {} is revoked, and not in the CRL", recorded.serial)));
            }
            Ok(())
        })
        .await
    }

    async fn each_revoked(
        &self,
        issuer: Sha256,
        shard: u16,
        not_after_min: Timestamp,
        mut visit: impl FnMut(&CrlEntry) -> Result<(), SignError> + Send,
    ) -> Result<(), SignError> {
        let mut after = None;
        loop {
            let shard = (shard, self.crl_shards);
            let page = self.ledger.revoked(issuer, shard, not_after_min, after, REVOKED_PAGE).await.map_err(unread)?;
            page.iter().try_for_each(&mut visit)?;
            match page.last() {
                Some(last) => after = Some(last.serial),
                None => return Ok(()),
            }
        }
    }
}

/// A CRL counts in seconds. The reason may have been raised to keyCompromise while the CRL was made.
fn says_the_same(entry: &CrlEntry, recorded: &CrlEntry) -> bool {
    entry.revoked_at.seconds() == recorded.revoked_at.seconds()
        && (entry.reason == recorded.reason || recorded.reason == Reason::KeyCompromise)
}

fn unread(error: ca::ports::StoreError) -> SignError {
    SignError::NotSigned(format!("the ledger can't be read: {error}"))
}

#[async_trait]
impl Signer for FileSigner {
    async fn sign(&self, request: SigningRequest) -> Result<Signed, SignError> {
        match request {
            SigningRequest::Precertificate { issuer, tbs } => {
                self.sign_certificate(issuer, tbs.tbs(), signing::check_precertificate).await
            }
            SigningRequest::Certificate { issuer, tbs } => {
                self.sign_certificate(issuer, tbs.tbs(), signing::check_certificate).await
            }
            SigningRequest::Crl { issuer, shard, number, tbs } => self.sign_crl(issuer, shard, number, tbs.tbs()).await,
            SigningRequest::OcspAnswer { issuer, responder, tbs } => {
                self.sign_ocsp(issuer, responder.as_deref(), tbs.tbs()).await
            }
            SigningRequest::OcspResponder { issuer, tbs } => self.sign_responder(issuer, tbs.tbs().certificate()).await,
        }
    }
}

impl fmt::Debug for FileSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSigner").field("issuers", &self.issuers.keys()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
