//! Certificate requests (RFC 2986): good ones, and by OpenSSL or by hand what no client should send.

use std::collections::BTreeSet;
use std::path::Path;

use acme::{Algorithm, SigningKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use pki::{GeneralName, PublicKey, SignatureAlgorithm};
use tokio::process::Command;

use super::account::pkcs8;
use super::der::{BIT_STRING, SEQUENCE, element, unsigned};
use super::server::run;

/// AlgorithmIdentifier of rsaEncryption (RFC 3279 §2.3.1).
const RSA_ENCRYPTION: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// Where the modulus of 2048 bits lies in an RSAPublicKey in DER (RFC 8017 §A.1.1), behind its sign octet.
const MODULUS: std::ops::Range<usize> = 9..265;
/// DigestInfo of SHA-256 up to the digest (RFC 8017 §9.2).
const SHA256_DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

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

    /// The key itself: PKCS#8 in DER.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The same key, to sign requests with.
    pub(crate) fn signing_key(&self) -> SigningKey {
        SigningKey::from_pkcs8(Algorithm::Es256, &self.pkcs8).expect("a P-256 key")
    }
}

fn general_names(names: &[&str]) -> BTreeSet<GeneralName> {
    let general = |name: &&str| name.parse().map_or_else(|_| GeneralName::Dns((*name).to_owned()), GeneralName::Ip);
    names.iter().map(general).collect()
}

/// A good request for these names and addresses.
pub(crate) fn csr(key: &SubjectKey, names: &[&str]) -> Vec<u8> {
    let spki: PublicKeyX509Der<'_> = key.pair.public_key().as_der().expect("a public key can be written");
    let public_key = PublicKey::from_spki_der(spki.as_ref()).expect("a good key");
    let request = pki::csr::request(&general_names(names), &public_key);
    let signature = key.pair.sign(&SystemRandom::new(), request.der()).expect("a good key signs");
    request.with_signature(SignatureAlgorithm::EcdsaSha256, signature.as_ref())
}

/// A request of an RSA key with exponent 1: whoever knows the modulus can sign for it, since a signature is its own
/// message.
pub(crate) fn csr_of_exponent_1(names: &[&str]) -> Vec<u8> {
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key can be made");
    let modulus = pair.public_key().as_ref()[MODULUS].to_vec();
    let key = element(SEQUENCE, &[&unsigned(&modulus), &unsigned(&[1])]);
    let spki = element(SEQUENCE, &[&RSA_ENCRYPTION, &element(BIT_STRING, &[&[0], &key])]);
    let public_key = PublicKey::from_spki_der(&spki).expect("weak keys are read too");
    let request = pki::csr::request(&general_names(names), &public_key);
    let hash = digest(&SHA256, request.der());
    let info = [&SHA256_DIGEST_INFO, hash.as_ref()].concat();
    let padding = vec![0xff; modulus.len() - info.len() - 3];
    let signature = [&[0, 1], padding.as_slice(), &[0], &info].concat();
    request.with_signature(SignatureAlgorithm::RsaSha256, &signature)
}

/// A request by OpenSSL: with a new key, made by `openssl genpkey` with these arguments, and the arguments of
/// `openssl req`, both as one text. `folder` is for its files.
pub(crate) async fn openssl_csr(folder: &Path, key: &str, request: &str) -> Vec<u8> {
    let file = folder.join("openssl.key");
    openssl(folder, &format!("{key} -out openssl.key")).await;
    let made = openssl(folder, &format!("req -new -key openssl.key -outform DER {request}")).await;
    std::fs::remove_file(file).expect("the key was made");
    made
}

async fn openssl(folder: &Path, arguments: &str) -> Vec<u8> {
    let output = run(Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder)).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {errors}");
    output.stdout
}
