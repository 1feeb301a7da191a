//! Fixed keys with signatures that are the same each time, and a small authority made of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256};

use crate::*;

pub(crate) fn testdata(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata")).join(path)
}

pub(crate) fn read(path: &str) -> Vec<u8> {
    fs::read(testdata(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// RSA with PKCS#1 v1.5: no randomness goes into a signature.
pub(crate) struct RsaSigner(rsa::KeyPair);

impl RsaSigner {
    pub(crate) fn of(name: &str) -> Self {
        Self(rsa::KeyPair::from_pkcs8(&read(&format!("keys/{name}.pk8"))).unwrap())
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        let spki: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        PublicKey::from_spki_der(spki.as_ref()).unwrap()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    }
}

/// Ed25519 from a seed of one octet, repeated.
pub(crate) struct EdSigner(Ed25519KeyPair);

impl EdSigner {
    pub(crate) fn of(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        PublicKey::from_ec_point(KeyKind::Ed25519, self.0.public_key().as_ref()).unwrap()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

pub(crate) fn p256_key() -> PublicKey {
    use aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &read("keys/leaf_p256.pk8")).unwrap();
    PublicKey::from_ec_point(KeyKind::P256, pair.public_key().as_ref()).unwrap()
}

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

pub(crate) fn dns(names: &[&str]) -> BTreeSet<GeneralName> {
    names.iter().map(|name| GeneralName::Dns((*name).to_owned())).collect()
}

pub(crate) const POLICIES: [ObjectIdentifier; 1] = [oid::DOMAIN_VALIDATED];
pub(crate) const PURPOSES: [Purpose; 1] = [Purpose::ServerAuth];

/// A root, an intermediate below it, and a log, all with RSA keys.
pub(crate) struct World {
    pub(crate) root: RsaSigner,
    pub(crate) root_name: Name,
    pub(crate) intermediate: RsaSigner,
    pub(crate) intermediate_name: Name,
    pub(crate) log: RsaSigner,
    pub(crate) leaf_key: PublicKey,
    pub(crate) names: BTreeSet<GeneralName>,
}

impl World {
    pub(crate) fn new() -> Self {
        let authority = || Name::new().country("XX").organization("Example Trust");
        Self {
            root: RsaSigner::of("root"),
            root_name: authority().common_name("Example Root X1"),
            intermediate: RsaSigner::of("intermediate"),
            intermediate_name: authority().common_name("Example Intermediate R1"),
            log: RsaSigner::of("log"),
            leaf_key: p256_key(),
            names: dns(&["example.org", "*.example.org", "www.example.net"]),
        }
    }

    pub(crate) fn root_tbs(&self) -> TbsCertificate {
        TbsCertificate::authority(&Authority {
            serial: Serial::from_random(*b"root serial no 1"),
            issuer: &self.root_name,
            subject: &self.root_name,
            signature_algorithm: SignatureAlgorithm::RsaSha256,
            validity: Validity { not_before: at("2026-11-01T00:00:00Z"), not_after: at("2051-10-31T23:59:59Z") },
            public_key: &self.root.public_key(),
            authority_key_identifier: Some(self.root.public_key().key_identifier()),
            path_length: None,
            digital_signature: false,
            extended_key_usage: &[],
            policies: &[],
            ca_issuers_url: None,
            ocsp_url: None,
            crl_url: None,
        })
    }

    pub(crate) fn intermediate_tbs(&self) -> TbsCertificate {
        TbsCertificate::authority(&Authority {
            serial: Serial::from_random(*b"intermediate no1"),
            issuer: &self.root_name,
            subject: &self.intermediate_name,
            signature_algorithm: SignatureAlgorithm::RsaSha256,
            validity: Validity { not_before: at("2026-11-02T00:00:00Z"), not_after: at("2029-11-01T23:59:59Z") },
            public_key: &self.intermediate.public_key(),
            authority_key_identifier: Some(self.root.public_key().key_identifier()),
            path_length: Some(0),
            digital_signature: true,
            extended_key_usage: &PURPOSES,
            policies: &POLICIES,
            ca_issuers_url: Some("http://x1.example.com/root.der"),
            ocsp_url: None,
            crl_url: Some("http://x1.example.com/root.crl"),
        })
    }

    pub(crate) fn leaf<'a>(&'a self, ct: Ct<'a>) -> Leaf<'a> {
        Leaf {
            serial: Serial::from_random(*b"the first serial"),
            issuer: &self.intermediate_name,
            issuer_key_identifier: self.intermediate.public_key().key_identifier(),
            signature_algorithm: SignatureAlgorithm::RsaSha256,
            validity: Validity { not_before: at("2026-11-21T10:00:00Z"), not_after: at("2027-01-05T09:59:59Z") },
            common_name: None,
            names: &self.names,
            public_key: &self.leaf_key,
            key_usage: KeyUsage::DigitalSignature,
            extended_key_usage: &PURPOSES,
            policies: &POLICIES,
            ca_issuers_url: Some("http://r1.example.com/r1.der"),
            ocsp_url: None,
            crl_url: Some("http://r1.example.com/crl/17.crl"),
            subject_key_identifier: false,
            must_staple: false,
            ct,
        }
    }

    /// Two SCTs for this precertificate, a second apart.
    pub(crate) fn scts(&self, precertificate: &TbsCertificate) -> Vec<Sct> {
        let entry = PrecertEntry {
            issuer_key_hash: self.intermediate.public_key().spki_hash(),
            tbs: precertificate.without_ct(),
        };
        let key = self.log.public_key();
        [1_795_255_201_111, 1_795_255_202_222]
            .map(|millis| {
                let timestamp = Timestamp::from_millis(millis);
                let signature = self.log.sign(&entry.signed_data(timestamp, b""));
                Sct {
                    log_id: LogId::of(&key),
                    timestamp,
                    extensions: Vec::new(),
                    signature: DigitallySigned::sha256(&key, signature).unwrap(),
                }
            })
            .to_vec()
    }

    pub(crate) fn crl_fields(&self) -> CrlFields<'_> {
        CrlFields {
            issuer: &self.intermediate_name,
            issuer_key_identifier: self.intermediate.public_key().key_identifier(),
            signature_algorithm: SignatureAlgorithm::RsaSha256,
            number: 200,
            this_update: at("2026-11-21T10:00:00Z"),
            next_update: at("2026-11-28T09:59:59Z"),
            distribution_point: Some("http://r1.example.com/crl/17.crl"),
        }
    }
}
