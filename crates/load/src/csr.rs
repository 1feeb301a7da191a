//! Keys of subscribers and their certificate requests (RFC 2986), written by hand: this is all the DER a client needs.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256};
use pki::SignatureAlgorithm;

/// The kind of key that certificates are ordered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SubscriberKeyKind {
    /// ECDSA on P-256: a new key for each order.
    P256,
    /// RSA with 2048 bits: one key for each worker, made before the run, since making one costs more than an issuance.
    Rsa2048,
}

/// The private key of a certificate.
#[derive(Debug)]
pub(crate) enum SubscriberKey {
    P256(EcdsaKeyPair),
    Rsa2048(rsa::KeyPair),
}

impl SubscriberKey {
    pub(crate) fn generate(kind: SubscriberKeyKind) -> Result<Self, Unspecified> {
        match kind {
            SubscriberKeyKind::P256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Self::P256),
            SubscriberKeyKind::Rsa2048 => rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map(Self::Rsa2048),
        }
    }

    /// SubjectPublicKeyInfo.
    pub(crate) fn spki_der(&self) -> Result<Vec<u8>, Unspecified> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::P256(pair) => pair.public_key().as_der()?,
            Self::Rsa2048(pair) => pair.public_key().as_der()?,
        };
        Ok(der.as_ref().to_vec())
    }

    const fn signature_algorithm(&self) -> SignatureAlgorithm {
        match self {
            Self::P256(_) => SignatureAlgorithm::EcdsaSha256,
            Self::Rsa2048(_) => SignatureAlgorithm::RsaSha256,
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        match self {
            Self::P256(pair) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
            Self::Rsa2048(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]`, constructed: the attributes of CertificationRequestInfo.
const ATTRIBUTES: u8 = 0xa0;
/// `[2]`, primitive: dNSName of GeneralName.
const DNS_NAME: u8 = 0x82;
const VERSION_1: [u8; 3] = [0x02, 0x01, 0x00];
const EMPTY_NAME: [u8; 2] = [SEQUENCE, 0x00];
/// 1.2.840.113549.1.9.14, RFC 2985 §5.4.2.
const EXTENSION_REQUEST: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/// 2.5.29.17, RFC 5280 §4.2.1.6.
const SUBJECT_ALT_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x11];

/// The DER of a certificate request for these DNS names: no subject, the names as subjectAltName, nothing else.
pub(crate) fn certificate_request(key: &SubscriberKey, names: &[String]) -> Result<Vec<u8>, Unspecified> {
    let general_names: Vec<Vec<u8>> = names.iter().map(|name| element(DNS_NAME, &[name.as_bytes()])).collect();
    let general_names: Vec<&[u8]> = general_names.iter().map(Vec::as_slice).collect();
    let extension_value = element(OCTET_STRING, &[&element(SEQUENCE, &general_names)]);
    let extensions = element(SEQUENCE, &[&element(SEQUENCE, &[&SUBJECT_ALT_NAME, &extension_value])]);
    let attribute = element(SEQUENCE, &[&EXTENSION_REQUEST, &element(SET, &[&extensions])]);
    let attributes = element(ATTRIBUTES, &[&attribute]);
    let info = element(SEQUENCE, &[&VERSION_1, &EMPTY_NAME, &key.spki_der()?, &attributes]);
    let signature = key.sign(&info)?;
    let algorithm = key.signature_algorithm().algorithm_identifier_der();
    Ok(element(SEQUENCE, &[&info, algorithm, &element(BIT_STRING, &[&[0], &signature])]))
}

/// A DER element whose contents are these parts, one after the other.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        Ok(_) | Err(_) => {
            let octets = length.to_be_bytes();
            let start = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len() - 1);
            let significant = &octets[start..];
            out.push(0x80 | u8::try_from(significant.len()).expect("a usize has at most eight octets"));
            out.extend_from_slice(significant);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pki::{Csr, GeneralName, KeyKind};

    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("host-{number}.example.localhost")).collect()
    }

    fn read_back(kind: SubscriberKeyKind, count: usize) -> Csr {
        let key = SubscriberKey::generate(kind).unwrap();
        let csr = Csr::parse(&certificate_request(&key, &names(count)).unwrap()).unwrap();
        assert_eq!(csr.public_key().spki_der(), key.spki_der().unwrap());
        let expected: BTreeSet<GeneralName> = names(count).into_iter().map(GeneralName::Dns).collect();
        assert_eq!(csr.names(), &expected);
        csr
    }

    #[test]
    fn p256_request_is_accepted_by_a_strict_reader() {
        assert_eq!(read_back(SubscriberKeyKind::P256, 1).public_key().kind(), KeyKind::P256);
    }

    #[test]
    fn rsa_request_is_accepted_by_a_strict_reader() {
        assert_eq!(read_back(SubscriberKeyKind::Rsa2048, 1).public_key().kind(), KeyKind::Rsa { bits: 2048 });
    }

    #[test]
    fn a_hundred_names_fit_one_request() {
        read_back(SubscriberKeyKind::P256, 100);
    }

    #[test]
    fn altered_request_is_refused() {
        let key = SubscriberKey::generate(SubscriberKeyKind::P256).unwrap();
        let mut der = certificate_request(&key, &names(1)).unwrap();
        let at = der.windows(4).position(|window| window == b"host").unwrap();
        der[at] = b'H';
        assert!(Csr::parse(&der).is_err());
    }

    #[test]
    fn lengths_have_their_shortest_form() {
        for (length, header) in [
            (0, &[0x30, 0x00][..]),
            (127, &[0x30, 0x7f]),
            (128, &[0x30, 0x81, 0x80]),
            (255, &[0x30, 0x81, 0xff]),
            (256, &[0x30, 0x82, 0x01, 0x00]),
        ] {
            assert_eq!(element(SEQUENCE, &[&vec![7; length]])[..header.len()], *header);
        }
    }
}
