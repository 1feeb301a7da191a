//! The client's side of RFC 8555 §6.2: a key that signs, and requests signed with it.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use serde::Serialize;

use crate::base64url::base64url_encode;
use crate::jwk::{Jwk, JwkError};
use crate::jws::Algorithm;

/// A private key of an account.
pub struct SigningKey {
    pair: Pair,
    algorithm: Algorithm,
    jwk: Jwk,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(rsa::KeyPair),
}

/// Why a private key cannot be used. Who holds the key must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// Not PKCS#8, or of another kind than the algorithm wants.
    #[error("the private key is not a PKCS#8 key for {algorithm}: {reason}")]
    Rejected {
        /// The algorithm that was asked for.
        algorithm: Algorithm,
        /// What the library says.
        reason: String,
    },
    /// A key that servers would refuse.
    #[error("the public half of the key would be refused: {0}")]
    Public(#[from] JwkError),
}

impl SigningKey {
    /// A key from its PKCS#8 form in DER (RFC 5958).
    ///
    /// # Errors
    /// [`SigningKeyError`] if the bytes are no such key or the key is one that [`Jwk`] refuses.
    pub fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<Self, SigningKeyError> {
        let rejected =
            |error: aws_lc_rs::error::KeyRejected| SigningKeyError::Rejected { algorithm, reason: error.to_string() };
        let ecdsa = |kind| -> Result<_, SigningKeyError> {
            let pair = EcdsaKeyPair::from_pkcs8(kind, der).map_err(rejected)?;
            let jwk = Jwk::from_ec_point(pair.public_key().as_ref())?;
            Ok((Pair::Ecdsa(pair), jwk))
        };
        let (pair, jwk) = match algorithm {
            Algorithm::Es256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            Algorithm::Es384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING)?,
            Algorithm::Es512 => ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING)?,
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(der).map_err(rejected)?;
                let jwk = Jwk::from_ed25519(pair.public_key().as_ref())?;
                (Pair::Ed25519(pair), jwk)
            }
            Algorithm::Rs256 => {
                let pair = rsa::KeyPair::from_pkcs8(der).map_err(rejected)?;
                let (n, e) = rsa_members(pair.public_key().as_ref()).ok_or_else(|| SigningKeyError::Rejected {
                    algorithm,
                    reason: "its public half is not an RSAPublicKey".to_owned(),
                })?;
                let jwk = Jwk::from_rsa(n, e)?;
                (Pair::Rsa(pair), jwk)
            }
        };
        Ok(Self { pair, algorithm, jwk })
    }

    /// The public half.
    #[must_use]
    pub const fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// The algorithm of the signatures.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The JWS signature over these octets (RFC 7518 §3, RFC 8037 §3.1).
    ///
    /// # Panics
    /// If the cryptographic library cannot sign, which it does only when it runs out of memory.
    #[must_use]
    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => pair
                .sign(&random, message)
                .expect("signing with a parsed key fails only without memory")
                .as_ref()
                .to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .expect("the buffer has the length of the modulus, and the key was parsed");
                signature
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {})", self.algorithm, self.jwk.thumbprint())
    }
}

/// Modulus and exponent of an RSAPublicKey in DER (RFC 8017 §A.1.1), without their sign octets.
fn rsa_members(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, []) = element(der, 0x30)? else {
        return None;
    };
    let (n, rest) = element(sequence, 0x02)?;
    let (e, []) = element(rest, 0x02)? else {
        return None;
    };
    Some((n.strip_prefix(&[0]).unwrap_or(n), e.strip_prefix(&[0]).unwrap_or(e)))
}

/// The content of the first element, which must have this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[first, length], rest) = der.split_first_chunk::<2>()?;
    if first != tag {
        return None;
    }
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => {
            let (octets, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*octets)), rest)
        }
        0x80 | 0x83..=0xff => return None,
    };
    rest.split_at_checked(length)
}

/// What the protected header says besides the algorithm.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// A nonce of the server; `None` only for inner JWS (RFC 8555 §7.3.5).
    pub nonce: Option<&'a str>,
    /// The URL that the request is sent to.
    pub url: &'a str,
    /// The account's URL; `None` embeds the public key (RFC 8555 §6.2).
    pub kid: Option<&'a str>,
}

/// Signs a request: a flattened JWS in JSON (RFC 7515 §7.2.2). An empty payload makes it POST-as-GET (RFC 8555 §6.3).
///
/// # Panics
/// As [`SigningKey::signature`].
#[must_use]
pub fn sign(key: &SigningKey, header: Header<'_>, payload: &[u8]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Protected<'a> {
        alg: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        jwk: Option<&'a Jwk>,
        #[serde(skip_serializing_if = "Option::is_none")]
        kid: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
        url: &'a str,
    }
    let protected = serde_json::to_vec(&Protected {
        alg: key.algorithm.as_str(),
        jwk: header.kid.is_none().then_some(&key.jwk),
        kid: header.kid,
        nonce: header.nonce,
        url: header.url,
    })
    .expect("texts always serialize");
    let protected = base64url_encode(&protected);
    let payload = base64url_encode(payload);
    let signature = base64url_encode(&key.signature(format!("{protected}.{payload}").as_bytes()));
    format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{signature}"}}"#).into_bytes()
}
