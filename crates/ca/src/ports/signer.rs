//! Signers: issuers' keys, throwaway keys for linting, keys of the built-in logs.

use std::sync::Arc;

use async_trait::async_trait;
use pki::lint::Linted;
use pki::{
    Certificate, CrlDraft, LogId, PublicKey, Serial, Sha256, SignatureAlgorithm, TbsCertificate, TbsOcspResponse,
    TbsResponder, Timestamp,
};

/// A signing request: the only things an issuer's key ever signs. Only linted bytes can be asked for.
#[derive(Debug)]
pub enum SigningRequest {
    /// Step 6: a precertificate.
    Precertificate {
        /// The issuer: SHA-256 of its SubjectPublicKeyInfo.
        issuer: Sha256,
        /// What is to be signed. Its serial leads the signer to the records that it checks.
        tbs: Linted<TbsCertificate>,
    },
    /// Step 9: a certificate.
    Certificate {
        /// The issuer.
        issuer: Sha256,
        /// What is to be signed.
        tbs: Linted<TbsCertificate>,
    },
    /// A CRL.
    Crl {
        /// The issuer.
        issuer: Sha256,
        /// The shard.
        shard: u16,
        /// Its number, allocated in the ledger.
        number: u64,
        /// What is to be signed. Its entries stand in the ledger, in parts, where the signer reads them.
        tbs: Linted<CrlDraft>,
    },
    /// An OCSP answer.
    OcspAnswer {
        /// The issuer of the certificate that is answered for.
        issuer: Sha256,
        /// The certificate of the delegated responder that signs, to be sent along; `None`: the issuer signs.
        responder: Option<Arc<Certificate>>,
        /// What is to be signed.
        tbs: Linted<TbsOcspResponse>,
    },
    /// The certificate of a delegated OCSP responder.
    OcspResponder {
        /// The issuer.
        issuer: Sha256,
        /// What is to be signed. Its serial leads the signer to the record that announced it.
        tbs: Linted<TbsResponder>,
    },
}

/// A signature with what was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The signed certificate, precertificate or OCSPResponse: DER. Of a CRL, which is too long to be handed around,
    /// the signature value alone.
    pub der: Vec<u8>,
    /// Its serial, if it is a certificate.
    pub serial: Option<Serial>,
}

/// Why there is no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The signer checked the records and won't: nothing was signed.
    #[error("the signer refuses: {0}")]
    Refused(String),
    /// Nothing was signed: the key was not asked.
    #[error("the signer was not reached: {0}")]
    NotSigned(String),
    /// The key was asked and no answer came: a signature may exist. Never tried again.
    #[error("the outcome of a signature is unknown: {0}")]
    Unknown(String),
}

/// An issuer: key and certificate as one.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// SHA-256 of its SubjectPublicKeyInfo: its name in records, and RFC 6962's `issuer_key_hash`.
    pub id: Sha256,
    /// Its certificate.
    pub certificate: Certificate,
    /// The certificates above it, the root last.
    pub chain: Vec<Certificate>,
    /// Other chains from the same name and key to other roots (RFC 8555 §7.4.2), in the order of their numbers.
    pub alternates: Vec<AlternateChain>,
    /// What its key makes.
    pub signature_algorithm: SignatureAlgorithm,
}

impl Issuer {
    /// The other chains that clients can verify at this time.
    pub fn alternates_at(&self, now: Timestamp) -> impl Iterator<Item = &AlternateChain> {
        self.alternates.iter().filter(move |chain| chain.is_valid_at(now))
    }
}

/// A chain of an issuer beside its own, to be chosen by clients that trust another root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlternateChain {
    /// Its number, from 1: the same for as long as the chain is there, since URLs carry it.
    pub number: u16,
    /// A certificate for the issuer's name and key, those above it, the root last.
    pub certificates: Vec<Certificate>,
}

impl AlternateChain {
    /// Whether each of its certificates has begun and none has ended.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        let holds = |one: &Certificate| one.validity().not_before <= now && now <= one.validity().not_after;
        self.certificates.iter().all(holds)
    }
}

/// The signer. It reads the ledger before it signs and believes nothing else: see `ca::signing`.
#[async_trait]
pub trait Signer: Send + Sync + std::fmt::Debug {
    /// Signs, at most once: may take seconds (an HSM).
    async fn sign(&self, request: SigningRequest) -> Result<Signed, SignError>;
}

/// Throwaway keys: one per issuer and process, of the issuer's kind, never stored and never trusted by anybody.
#[async_trait]
pub trait LintingKey: Send + Sync + std::fmt::Debug {
    /// The signature value of the throwaway key over these bytes, in the issuer's algorithm. Can't be mistaken for the
    /// issuer's: it doesn't verify under its key.
    async fn sign(&self, algorithm: SignatureAlgorithm, tbs: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// The key of one built-in log: signs SCTs and tree heads.
#[async_trait]
pub trait LogKey: Send + Sync + std::fmt::Debug {
    /// SHA-256 of the key's SubjectPublicKeyInfo (RFC 6962 §3.2).
    fn log_id(&self) -> LogId;

    /// The key.
    fn public_key(&self) -> &PublicKey;

    /// The signature value over these bytes, in the key's default algorithm.
    async fn sign(&self, data: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// The key that signs checkpoints of the audit log, and nothing else: an Ed25519 key, so that a checkpoint is a signed
/// note (C2SP signed-note) that others can verify too.
#[async_trait]
pub trait CheckpointKey: Send + Sync + std::fmt::Debug {
    /// The key.
    fn public_key(&self) -> &PublicKey;

    /// The signature value over these bytes: 64 octets (RFC 8032). May take seconds; nothing else waits for it.
    async fn sign(&self, note: &[u8]) -> Result<Vec<u8>, SignError>;
}
