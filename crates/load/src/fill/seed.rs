//! What follows from the seed: the same octets for the same purpose and number, whenever it is asked.

use acme::{Algorithm, SigningKey};
use anyhow::Context;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use pki::Sha256;

use crate::csr::SubscriberKey;

/// PKCS#8 (RFC 5208) with an ECPrivateKey (RFC 5915) of P-256 that ends with its private octets.
const P256_PKCS8: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20,
];

/// The seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed(pub(super) u64);

/// What something is drawn for: nothing is drawn twice.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    AccountId,
    AccountKey,
    AccountOf,
    Order(Kind),
    Serial,
    CertificateKey,
    Name(Kind),
    Token,
    Nonce,
}

/// What an order came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Valid,
    Invalid,
}

impl Purpose {
    const fn octet(self) -> u8 {
        match self {
            Self::AccountId => 0,
            Self::AccountKey => 1,
            Self::AccountOf => 2,
            Self::Order(Kind::Valid) => 3,
            Self::Order(Kind::Invalid) => 4,
            Self::Serial => 5,
            Self::CertificateKey => 6,
            Self::Name(Kind::Valid) => 7,
            Self::Name(Kind::Invalid) => 8,
            Self::Token => 9,
            Self::Nonce => 10,
        }
    }
}

impl Seed {
    pub(super) fn octets(self, purpose: Purpose, number: u64) -> [u8; 32] {
        *Sha256::of_parts(&[b"cairn-load fill", &self.0.to_be_bytes(), &[purpose.octet()], &number.to_be_bytes()])
            .as_bytes()
    }

    pub(super) fn id(self, purpose: Purpose, number: u64) -> [u8; 16] {
        let octets = self.octets(purpose, number);
        std::array::from_fn(|place| octets[place])
    }

    /// One of `0..below`.
    pub(super) fn one_of(self, purpose: Purpose, number: u64, below: u64) -> u64 {
        let octets = self.octets(purpose, number);
        u64::from_be_bytes(std::array::from_fn(|place| octets[place])) % below.max(1)
    }

    /// An account's key, ECDSA on P-256.
    pub(super) fn account_key(self, number: u64) -> anyhow::Result<SigningKey> {
        let pkcs8 = p256(self.octets(Purpose::AccountKey, number));
        SigningKey::from_pkcs8(Algorithm::Es256, &pkcs8).context("a key that was drawn can't be used")
    }

    /// A certificate's key, ECDSA on P-256.
    pub(super) fn certificate_key(self, number: u64) -> anyhow::Result<SubscriberKey> {
        let pkcs8 = p256(self.octets(Purpose::CertificateKey, number));
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8);
        Ok(SubscriberKey::P256(pair.context("a key that was drawn can't be used")?))
    }
}

/// All but some 2^-32 of all octets are a private key of P-256.
fn p256(private: [u8; 32]) -> [u8; 67] {
    std::array::from_fn(|place| *P256_PKCS8.get(place).unwrap_or_else(|| &private[place - P256_PKCS8.len()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_each_time_and_another_one_for_each_number_and_seed() {
        let thumbprint = |seed, number| Seed(seed).account_key(number).unwrap().jwk().thumbprint();
        assert_eq!(thumbprint(1, 7), thumbprint(1, 7));
        assert_ne!(thumbprint(1, 7), thumbprint(1, 8));
        assert_ne!(thumbprint(1, 7), thumbprint(2, 7));
        let spki = |number| Seed(1).certificate_key(number).unwrap().spki_der().unwrap();
        assert_eq!(spki(3), spki(3));
        assert_ne!(spki(3), spki(4));
    }
}
