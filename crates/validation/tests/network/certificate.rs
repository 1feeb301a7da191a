//! Certificates for TLS servers, octet by octet, so that they can be wrong in any way.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use const_oid::ObjectIdentifier;
use der::Encode;

use crate::scene::key_authorization;

pub(crate) const DNS_NAME: u8 = 0x82;
pub(crate) const IP_ADDRESS: u8 = 0x87;
pub(crate) const EMAIL: u8 = 0x81;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const UTF8_STRING: u8 = 0x0c;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// What a certificate says.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) issuer: &'static str,
    pub(crate) subject: &'static str,
    /// One extension for each list of (tag, content).
    pub(crate) alternative_names: Vec<Vec<(u8, Vec<u8>)>>,
    /// One extension for each: whether it is critical, and its value.
    pub(crate) acme_identifiers: Vec<(bool, Vec<u8>)>,
    /// Tags and texts of notBefore and notAfter.
    pub(crate) validity: [(u8, &'static str); 2],
    pub(crate) spoil_signature: bool,
}

/// A certificate with its private key in PKCS #8.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Recipe {
    /// A good answer to the challenge of these tests.
    pub(crate) fn challenge(tag: u8, name: &[u8]) -> Self {
        Self {
            issuer: "challenge",
            subject: "challenge",
            alternative_names: vec![vec![(tag, name.to_vec())]],
            acme_identifiers: vec![(true, tlv(OCTET_STRING, &key_authorization().sha256()))],
            validity: [(UTC_TIME, "260101000000Z"), (UTC_TIME, "360101000000Z")],
            spoil_signature: false,
        }
    }

    /// Without a challenge.
    pub(crate) fn plain(name: &str) -> Self {
        Self { acme_identifiers: Vec::new(), ..Self::challenge(DNS_NAME, name.as_bytes()) }
    }

    pub(crate) fn build(&self) -> Identity {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let mut tbs = self.tbs(&key);
        let signature = key.sign(&SystemRandom::new(), &tbs).unwrap();
        if self.spoil_signature {
            // The last octet belongs to an extension's value.
            *tbs.last_mut().unwrap() ^= 1;
        }
        let certificate = sequence(&[&tbs, &algorithm(), &bit_string(signature.as_ref())]);
        Identity { certificate, key: key.to_pkcs8v1().unwrap().as_ref().to_vec() }
    }

    fn tbs(&self, key: &EcdsaKeyPair) -> Vec<u8> {
        let mut extensions: Vec<Vec<u8>> = Vec::new();
        for (critical, value) in &self.acme_identifiers {
            extensions.push(extension("1.3.6.1.5.5.7.1.31", *critical, value));
        }
        for names in &self.alternative_names {
            let names: Vec<Vec<u8>> = names.iter().map(|(tag, content)| tlv(*tag, content)).collect();
            let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            extensions.push(extension("2.5.29.17", false, &sequence(&names)));
        }
        let extensions: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
        let [not_before, not_after] = self.validity.map(|(tag, text)| tlv(tag, text.as_bytes()));
        sequence(&[
            &tlv(0xa0, &tlv(INTEGER, &[2])),
            &tlv(INTEGER, &[7]),
            &algorithm(),
            &name(self.issuer),
            &sequence(&[&not_before, &not_after]),
            &name(self.subject),
            AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap().as_ref(),
            &tlv(0xa3, &sequence(&extensions)),
        ])
    }
}

pub(crate) fn octet_string(content: &[u8]) -> Vec<u8> {
    tlv(OCTET_STRING, content)
}

fn extension(oid: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
    sequence(&[&oid_der(oid), critical, &tlv(OCTET_STRING, value)])
}

fn algorithm() -> Vec<u8> {
    sequence(&[&oid_der("1.2.840.10045.4.3.2")])
}

fn name(common_name: &str) -> Vec<u8> {
    let attribute = sequence(&[&oid_der("2.5.4.3"), &tlv(UTF8_STRING, common_name.as_bytes())]);
    sequence(&[&tlv(SET, &attribute)])
}

fn bit_string(content: &[u8]) -> Vec<u8> {
    tlv(BIT_STRING, &[&[0], content].concat())
}

fn oid_der(text: &str) -> Vec<u8> {
    ObjectIdentifier::new_unwrap(text).to_der().unwrap()
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, &parts.concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|octet| *octet == 0).collect();
    let header = match significant.as_slice() {
        [] => vec![tag, 0],
        [short @ 0..=127] => vec![tag, *short],
        long => [&[tag, 0x80 | u8::try_from(long.len()).unwrap()], long].concat(),
    };
    [&header, content].concat()
}
