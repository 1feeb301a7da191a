//! Certificate requests (RFC 2986) and certificates.

use std::collections::BTreeSet;

use acme::{Algorithm, SigningKey};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use pki::{GeneralName, PublicKey, SignatureAlgorithm};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::account::pkcs8;

/// The P-256 key of a certificate.
#[derive(Debug)]
pub(crate) struct SubjectKey {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
}

impl SubjectKey {
    pub(crate) fn new() -> Self {
        Self::of(&pkcs8(Algorithm::Es256))
    }

    /// From PKCS#8 in DER.
    pub(crate) fn of(pkcs8: &[u8]) -> Self {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8).expect("a P-256 key");
        Self { pair, pkcs8: pkcs8.to_vec() }
    }

    /// The same key, to sign requests with.
    pub(crate) fn signing_key(&self) -> SigningKey {
        SigningKey::from_pkcs8(Algorithm::Es256, &self.pkcs8).expect("a P-256 key")
    }

    /// A good request for these names.
    pub(crate) fn csr(&self, names: &[&str]) -> Vec<u8> {
        self.csr_for(names.iter().map(|name| GeneralName::Dns((*name).to_owned())).collect())
    }

    /// A request for these identifiers.
    pub(crate) fn csr_for(&self, names: BTreeSet<GeneralName>) -> Vec<u8> {
        let request = pki::csr::request(&names, &PublicKey::from_spki_der(&self.spki()).expect("a good key"));
        let signature = self.pair.sign(&SystemRandom::new(), request.der()).expect("a good key signs");
        request.with_signature(SignatureAlgorithm::EcdsaSha256, signature.as_ref())
    }

    /// Its SubjectPublicKeyInfo in DER.
    pub(crate) fn spki(&self) -> Vec<u8> {
        let spki: PublicKeyX509Der<'_> = self.pair.public_key().as_der().expect("a public key can be written");
        spki.as_ref().to_vec()
    }
}

/// The DER of each certificate of a chain in PEM.
pub(crate) fn certificates(chain: &str) -> Vec<Vec<u8>> {
    let parts = chain.split("-----BEGIN CERTIFICATE-----").skip(1);
    let bodies = parts.map(|part| part.split("-----END").next().unwrap_or_default());
    let plain = bodies.map(|body| body.split_whitespace().collect::<String>());
    plain.map(|base64| data_encoding::BASE64.decode(base64.as_bytes()).expect("PEM holds base64")).collect()
}

/// Reads a certificate.
#[track_caller]
pub(crate) fn parsed(der: &[u8]) -> X509Certificate<'_> {
    X509Certificate::from_der(der).unwrap_or_else(|error| panic!("no certificate: {error}")).1
}

/// The names of a certificate, sorted, in lower case.
pub(crate) fn names_of(der: &[u8]) -> Vec<String> {
    let certificate = parsed(der);
    let names = certificate.subject_alternative_name().expect("readable").expect("it has names");
    let names = names.value.general_names.iter().filter_map(|name| {
        let x509_parser::extensions::GeneralName::DNSName(name) = name else { return None };
        Some(name.to_lowercase())
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}
