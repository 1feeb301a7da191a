//! The key of the audit log's checkpoints.

use async_trait::async_trait;
use ca::ports::{CheckpointKey, SignError};
use pki::{KeyKind, PublicKey, SignatureAlgorithm};

use crate::{KeyPair, KeyPairError};

/// The key of an audit log's checkpoints, held in this process: Ed25519.
#[derive(Debug)]
pub struct FileCheckpointKey {
    pair: KeyPair,
}

impl FileCheckpointKey {
    /// From the key's pair.
    ///
    /// # Errors
    /// [`KeyPairError::AlgorithmMismatch`] for a key that is no Ed25519 key.
    pub fn new(pair: KeyPair) -> Result<Self, KeyPairError> {
        let kind = pair.public_key().kind();
        if kind != KeyKind::Ed25519 {
            return Err(KeyPairError::AlgorithmMismatch { kind, algorithm: SignatureAlgorithm::Ed25519 });
        }
        Ok(Self { pair })
    }
}

#[async_trait]
impl CheckpointKey for FileCheckpointKey {
    fn public_key(&self) -> &PublicKey {
        self.pair.public_key()
    }

    async fn sign(&self, note: &[u8]) -> Result<Vec<u8>, SignError> {
        // Ed25519 gives the same signature each time: there is no outcome to be unsure of.
        self.pair.sign(SignatureAlgorithm::Ed25519, note).map_err(|error| SignError::NotSigned(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyAlgorithm;

    #[tokio::test]
    async fn checkpoints_are_signed_with_ed25519_and_nothing_else() {
        let key = FileCheckpointKey::new(KeyPair::generate(KeyAlgorithm::Ed25519).unwrap()).unwrap();
        let signature = key.sign(b"note").await.unwrap();
        assert_eq!(key.public_key().verify(SignatureAlgorithm::Ed25519, b"note", &signature), Ok(()));
        let error = FileCheckpointKey::new(KeyPair::generate(KeyAlgorithm::P256).unwrap()).unwrap_err();
        assert!(matches!(error, KeyPairError::AlgorithmMismatch { .. }), "{error}");
    }
}
