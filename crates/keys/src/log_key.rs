//! Keys of the built-in CT logs.

use async_trait::async_trait;
use ca::ports::{LogKey, SignError};
use pki::{KeyKind, LogId, PublicKey, SignatureAlgorithm};

use crate::{KeyPair, KeyPairError};

/// The key of a built-in log, held in this process. ECDSA on P-256 with SHA-256, as RFC 6962 §2.1.4 wants it.
#[derive(Debug)]
pub struct FileLogKey {
    pair: KeyPair,
    id: LogId,
}

impl FileLogKey {
    /// From the key's pair.
    ///
    /// # Errors
    /// [`KeyPairError::AlgorithmMismatch`] for a key that is not on P-256.
    pub fn new(pair: KeyPair) -> Result<Self, KeyPairError> {
        let kind = pair.public_key().kind();
        if kind != KeyKind::P256 {
            return Err(KeyPairError::AlgorithmMismatch { kind, algorithm: SignatureAlgorithm::EcdsaSha256 });
        }
        let id = LogId::of(pair.public_key());
        Ok(Self { pair, id })
    }
}

#[async_trait]
impl LogKey for FileLogKey {
    fn log_id(&self) -> LogId {
        self.id
    }

    fn public_key(&self) -> &PublicKey {
        self.pair.public_key()
    }

    async fn sign(&self, data: &[u8]) -> Result<Vec<u8>, SignError> {
        // A second SCT over the same data says nothing new: there is no outcome to be unsure of.
        self.pair.sign(SignatureAlgorithm::EcdsaSha256, data).map_err(|error| SignError::NotSigned(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyAlgorithm;

    #[tokio::test]
    async fn a_log_is_named_by_the_hash_of_its_key() {
        let key = FileLogKey::new(KeyPair::generate(KeyAlgorithm::P256).unwrap()).unwrap();
        assert_eq!(&key.log_id().0[..], key.public_key().spki_hash().as_bytes());
        let signature = key.sign(b"tree head").await.unwrap();
        assert_eq!(key.public_key().verify(SignatureAlgorithm::EcdsaSha256, b"tree head", &signature), Ok(()));
    }

    #[test]
    fn a_log_has_a_key_on_p256() {
        for kind in [KeyAlgorithm::P384, KeyAlgorithm::Ed25519] {
            let error = FileLogKey::new(KeyPair::generate(kind).unwrap()).unwrap_err();
            assert!(matches!(error, KeyPairError::AlgorithmMismatch { .. }), "{error}");
        }
    }
}
