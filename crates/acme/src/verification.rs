//! Verification of JWS signatures with a key that was parsed before (RFC 7518 §3, RFC 8037 §3.1).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::ParsedPublicKey;

use crate::jwk::Jwk;
use crate::jws::{Algorithm, JwsError};

/// A public key, ready to verify with. Made once for an account and kept: a clone shares the parsed key, and any number
/// of threads may verify with it at once.
#[derive(Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    parsed: Arc<ParsedPublicKey>,
}

impl VerifyingKey {
    pub(crate) fn new(algorithm: Algorithm, parsed: ParsedPublicKey) -> Self {
        Self { algorithm, parsed: Arc::new(parsed) }
    }

    /// The one algorithm that this key verifies.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Verifies a JWS signature over these octets. The header's algorithm is judged by the key, never the other way
    /// round.
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), JwsError> {
        if algorithm != self.algorithm {
            return Err(JwsError::AlgorithmOfOtherKey { algorithm, right: self.algorithm });
        }
        if let Some(octets) = algorithm.signature_octets()
            && signature.len() != octets
        {
            return Err(JwsError::SignatureLength { algorithm, octets: signature.len(), right: octets });
        }
        self.parsed.verify_sig(message, signature).map_err(|_| JwsError::Signature)
    }
}

impl From<&Jwk> for VerifyingKey {
    fn from(jwk: &Jwk) -> Self {
        jwk.verifying_key().clone()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.algorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base64url::base64url_decode;

    /// An example of an RFC: a key, and what it signed.
    #[derive(serde::Deserialize)]
    struct Example {
        jwk: Jwk,
        protected: String,
        payload: String,
        signature: String,
    }

    fn verifies(example: &str, algorithm: Algorithm) {
        let example: Example = serde_json::from_str(example).expect("JSON");
        let key = VerifyingKey::from(&example.jwk);
        let input = format!("{}.{}", example.protected, example.payload);
        let mut signature = base64url_decode(&example.signature).expect("base64url");
        assert_eq!(key.verify(algorithm, input.as_bytes(), &signature), Ok(()));
        assert_eq!(key.verify(algorithm, &input.as_bytes()[1..], &signature), Err(JwsError::Signature));
        signature[17] ^= 1;
        assert_eq!(key.verify(algorithm, input.as_bytes(), &signature), Err(JwsError::Signature));
    }

    #[test]
    fn rfc7515_a2_rs256() {
        verifies(include_str!("../testdata/rfc7515_a2_rs256.json"), Algorithm::Rs256);
    }

    #[test]
    fn rfc7515_a3_es256() {
        verifies(include_str!("../testdata/rfc7515_a3_es256.json"), Algorithm::Es256);
    }

    #[test]
    fn rfc8037_a4_eddsa() {
        verifies(include_str!("../testdata/rfc8037_a4_eddsa.json"), Algorithm::EdDsa);
    }

    #[test]
    fn a_key_can_be_kept_and_shared_between_threads() {
        fn shareable<T: Send + Sync + Clone + 'static>() {}
        shareable::<VerifyingKey>();
    }
}
