//! Accounts and their keys.

use acme::{Algorithm, KeyAuthorization, SigningKey, Token};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair,
};

/// An account at the server.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) key: SigningKey,
    /// The same key, as PKCS#8 in DER.
    pub(crate) pkcs8: Vec<u8>,
    /// Its URL.
    pub(crate) kid: String,
}

impl Account {
    /// What shows control of an identifier (RFC 8555 §8.1).
    pub(crate) fn key_authorization(&self, token: &str) -> KeyAuthorization {
        let token = Token::parse(token).unwrap_or_else(|error| panic!("the token {token:?} can't be used: {error}"));
        KeyAuthorization::new(&token, &self.key.jwk().thumbprint())
    }
}

/// A new private key, as PKCS#8 in DER.
pub(crate) fn pkcs8(algorithm: Algorithm) -> Vec<u8> {
    let random = SystemRandom::new();
    let made = match algorithm {
        Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
        Algorithm::Es384 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random),
        Algorithm::Es512 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, &random),
        Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
        Algorithm::Rs256 => {
            let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key can be made");
            let der: Pkcs8V1Der<'_> = pair.as_der().expect("a key can be written");
            return der.as_ref().to_vec();
        }
    };
    made.expect("a key can be made").as_ref().to_vec()
}

/// A new key for requests.
pub(crate) fn signing_key(algorithm: Algorithm) -> SigningKey {
    SigningKey::from_pkcs8(algorithm, &pkcs8(algorithm)).expect("a new key is good")
}
