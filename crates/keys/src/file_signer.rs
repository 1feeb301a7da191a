//! The signer whose keys are in this process. It believes the ledger and nothing else.

mod crls;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ca::crl::CrlScheme;
use ca::ports::{Clock, CrlPart, Issuer, Ledger, SignError, Signed, Signer, SigningRecord, SigningRequest};
use ca::signing::{self, Proofs, Refused, SignerRules};
use pki::ocsp::{IssuerIdentity, ResponderId, ResponseData};
use pki::{Certificate, Serial, Sha256, SignatureAlgorithm, TbsCertificate, TbsOcspResponse, Timestamp};

use crate::KeyPair;

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
    crls: CrlScheme,
    /// The key of the delegated OCSP responder.
    responder: Option<KeyPair>,
}

impl FileSigner {
    /// A signer for these issuers. `crls`: where their CRLs are, as the signer itself is configured.
    pub fn new(
        issuers: impl IntoIterator<Item = IssuerKey>,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        rules: SignerRules,
        crls: CrlScheme,
    ) -> Self {
        let issuers = issuers.into_iter().map(|one| (one.issuer.id, one)).collect();
        Self { issuers, ledger, clock, rules, proofs: Proofs::default(), crls, responder: None }
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
        signing::check_crl_pointer(&self.crls, &record).map_err(|refused| SignError::Refused(refused.to_string()))?;
        let signature = key.sign(tbs.der())?;
        Ok(Signed { der: tbs.with_signature(key.issuer.signature_algorithm, &signature), serial: Some(serial) })
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
            SigningRequest::Crl { issuer, shard, number, tbs } => {
                self.sign_crl(CrlPart { issuer, shard, number, part: 0 }, tbs.tbs()).await
            }
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
