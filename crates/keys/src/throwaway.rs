//! Throwaway keys: they sign what is to be linted, and nothing else.

use std::sync::OnceLock;

use async_trait::async_trait;
use ca::ports::{LintingKey, SignError};
use pki::SignatureAlgorithm;

use crate::{KeyPair, KeyPairError};

/// Throwaway keys, one of each kind, made when first needed: they live as long as the process and are never stored, so
/// that their signatures are worth nothing to anybody.
#[derive(Debug, Default)]
pub struct ThrowawayKeys {
    p256: OnceLock<Result<KeyPair, KeyPairError>>,
    p384: OnceLock<Result<KeyPair, KeyPairError>>,
    p521: OnceLock<Result<KeyPair, KeyPairError>>,
    /// For RSA issuers of any size: what is linted are the fields, and 2048 bits are the quickest to make.
    rsa: OnceLock<Result<KeyPair, KeyPairError>>,
    ed25519: OnceLock<Result<KeyPair, KeyPairError>>,
}

impl ThrowawayKeys {
    /// No keys yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the key for this algorithm now, if there is none: an RSA key takes some 70 ms, which no order should wait
    /// for.
    ///
    /// # Errors
    /// If no key could be made.
    pub fn prepare(&self, algorithm: SignatureAlgorithm) -> Result<(), SignError> {
        self.key(algorithm).map(|_| ())
    }

    fn key(&self, algorithm: SignatureAlgorithm) -> Result<&KeyPair, SignError> {
        let place = match algorithm {
            SignatureAlgorithm::EcdsaSha256 => &self.p256,
            SignatureAlgorithm::EcdsaSha384 => &self.p384,
            SignatureAlgorithm::EcdsaSha512 => &self.p521,
            SignatureAlgorithm::RsaSha256 | SignatureAlgorithm::RsaSha384 | SignatureAlgorithm::RsaSha512 => &self.rsa,
            SignatureAlgorithm::Ed25519 => &self.ed25519,
        };
        place
            .get_or_init(|| KeyPair::generate_for(algorithm))
            .as_ref()
            .map_err(|error| SignError::NotSigned(format!("there is no throwaway key: {error}")))
    }
}

#[async_trait]
impl LintingKey for ThrowawayKeys {
    async fn sign(&self, algorithm: SignatureAlgorithm, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        // Nothing of worth can have been signed, whatever went wrong.
        self.key(algorithm)?.sign(algorithm, tbs).map_err(|error| SignError::NotSigned(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_key_of_each_kind_serves_the_whole_process() {
        let keys = ThrowawayKeys::new();
        for algorithm in SignatureAlgorithm::ALL {
            keys.prepare(algorithm).unwrap();
            let signature = keys.sign(algorithm, b"to be linted").await.unwrap();
            let key = keys.key(algorithm).unwrap();
            assert_eq!(key.public_key().verify(algorithm, b"to be linted", &signature), Ok(()), "{algorithm}");
        }
    }

    #[tokio::test]
    async fn keys_of_two_processes_differ() {
        let (first, second) = (ThrowawayKeys::new(), ThrowawayKeys::new());
        let signature = first.sign(SignatureAlgorithm::EcdsaSha256, b"to be linted").await.unwrap();
        let other = second.key(SignatureAlgorithm::EcdsaSha256).unwrap().public_key();
        assert!(other.verify(SignatureAlgorithm::EcdsaSha256, b"to be linted", &signature).is_err());
    }
}
