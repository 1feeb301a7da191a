//! Issuers, keys and good certificates, and what becomes of them under the linter.

use std::collections::BTreeSet;
use std::time::Duration;

use const_oid::ObjectIdentifier;

use super::editor;
use crate::lint::{Kind, LintFailure, Rules, check_certificate, oids};
use crate::{
    Authority, Certificate, Ct, DigitallySigned, GeneralName, KeyKind, KeyUsage, Leaf, LogId, Name, PublicKey, Purpose,
    Sct, Serial, SignatureAlgorithm, TbsCertificate, Timestamp, Validity,
};

/// Nobody's signature: the linter reads the TBS, whoever signed it.
pub(super) const SIGNATURE: [u8; 8] = [0x30, 6, 2, 1, 1, 2, 1, 1];

const P256_GENERATOR: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                              4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
const P384_GENERATOR: &str = "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a54\
                              5e3872760ab7\
                              3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431\
                              d7c90ea0e5f";
const P521_GENERATOR: &str = "0400c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe7592\
                              8fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66\
                              011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640\
                              c550b9013fad0761353c7086a272c24088be94769fd16650";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
    data_encoding::HEXLOWER.decode(&digits).unwrap()
}

pub(super) fn p256() -> PublicKey {
    PublicKey::from_ec_point(KeyKind::P256, &hex(P256_GENERATOR)).unwrap()
}

pub(super) fn p384() -> PublicKey {
    PublicKey::from_ec_point(KeyKind::P384, &hex(P384_GENERATOR)).unwrap()
}

pub(super) fn p521() -> PublicKey {
    PublicKey::from_ec_point(KeyKind::P521, &hex(P521_GENERATOR)).unwrap()
}

pub(super) fn ed25519() -> PublicKey {
    let mut base_point = [0x66; 32];
    base_point[0] = 0x58;
    PublicKey::from_ec_point(KeyKind::Ed25519, &base_point).unwrap()
}

/// A modulus of so many bits, all ones but for the highest octets.
pub(super) fn rsa(bits: usize) -> PublicKey {
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    if !bits.is_multiple_of(8) {
        modulus[0] = (1 << (bits % 8)) - 1;
    }
    modulus[1] = 0x5d;
    PublicKey::from_rsa(&modulus, &[1, 0, 1]).unwrap()
}

pub(super) fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

pub(super) fn names(texts: &[&str]) -> BTreeSet<GeneralName> {
    let name = |text: &&str| text.parse().map_or_else(|_| GeneralName::Dns((*text).to_owned()), GeneralName::Ip);
    texts.iter().map(name).collect()
}

pub(super) fn issuer_name() -> Name {
    Name::new().country("XX").organization("Cairn test").common_name("Cairn test intermediate")
}

/// An intermediate, valid from 2025 to 2059, under a root of another name.
pub(super) fn intermediate(key: &PublicKey) -> Certificate {
    authority(key, &Name::new().common_name("Cairn test root"), &issuer_name())
}

/// A root: issuer and subject are one.
pub(super) fn root(key: &PublicKey) -> Certificate {
    authority(key, &issuer_name(), &issuer_name())
}

fn authority(key: &PublicKey, issuer: &Name, subject: &Name) -> Certificate {
    let authority = Authority {
        serial: Serial::from_random([9; 16]),
        issuer,
        subject,
        signature_algorithm: SignatureAlgorithm::EcdsaSha384,
        validity: Validity { not_before: at("2025-01-01T00:00:00Z"), not_after: at("2059-12-31T23:59:59Z") },
        public_key: key,
        authority_key_identifier: Some(p384().key_identifier()),
        path_length: Some(0),
        digital_signature: false,
        extended_key_usage: &[Purpose::ServerAuth],
        policies: &[oids::DOMAIN_VALIDATED],
        ca_issuers_url: None,
        ocsp_url: None,
        crl_url: None,
    };
    let tbs = TbsCertificate::authority(&authority);
    Certificate::from_der(&tbs.with_signature(SignatureAlgorithm::EcdsaSha384, &SIGNATURE)).unwrap()
}

pub(super) fn sct(log: u8, timestamp: Timestamp) -> Sct {
    let signature = DigitallySigned { hash: 4, algorithm: 3, signature: SIGNATURE.to_vec() };
    Sct { log_id: LogId([log; 32]), timestamp, extensions: Vec::new(), signature }
}

/// All that a leaf is made of and judged by, ready to be bent.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) kind: Kind,
    pub(super) baseline: bool,
    pub(super) public_names: bool,
    pub(super) issuer: Certificate,
    pub(super) now: Timestamp,
    pub(super) lifetime_max: Duration,
    pub(super) scts_min: usize,
    /// What the order says.
    pub(super) names: BTreeSet<GeneralName>,
    pub(super) public_key: PublicKey,
    /// What the certificate says.
    pub(super) validity: Validity,
    pub(super) common_name: Option<String>,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) purposes: Vec<Purpose>,
    pub(super) policies: Vec<ObjectIdentifier>,
    pub(super) key_encipherment: bool,
    pub(super) ca_issuers_url: Option<&'static str>,
    pub(super) ocsp_url: Option<&'static str>,
    pub(super) crl_url: Option<&'static str>,
    pub(super) must_staple: bool,
    pub(super) scts: Vec<Sct>,
}

impl Bench {
    /// Of the web's profile: Baseline Requirements, public names, 90 days, CT.
    pub(super) fn public(kind: Kind) -> Self {
        let now = at("2026-11-21T10:00:00Z");
        let not_before = at("2026-11-21T09:00:00Z");
        Self {
            kind,
            baseline: true,
            public_names: true,
            issuer: intermediate(&p256()),
            now,
            lifetime_max: Duration::from_secs(90 * 86_400),
            scts_min: 2,
            names: names(&["example.com", "www.example.com"]),
            public_key: p256(),
            validity: Validity { not_before, not_after: at("2027-02-19T08:59:59Z") },
            common_name: Some("example.com".to_owned()),
            algorithm: SignatureAlgorithm::EcdsaSha256,
            purposes: vec![Purpose::ServerAuth],
            policies: vec![oids::DOMAIN_VALIDATED],
            key_encipherment: false,
            ca_issuers_url: Some("http://ca.example.net/1.der"),
            ocsp_url: Some("http://ocsp.example.net/"),
            crl_url: Some("http://ca.example.net/1/7.crl"),
            must_staple: false,
            scts: vec![sct(1, now), sct(2, not_before)],
        }
    }

    /// Of a private CA: internal names, no rules but the RFCs'.
    pub(super) fn private(kind: Kind) -> Self {
        Self {
            baseline: false,
            public_names: false,
            names: names(&["*.db.internal", "localhost", "10.0.0.7", "fd00::7"]),
            common_name: None,
            policies: Vec::new(),
            purposes: vec![Purpose::ServerAuth, Purpose::ClientAuth],
            ocsp_url: None,
            crl_url: None,
            ..Self::public(kind)
        }
    }

    /// The order and the certificate ask for the same other names; no common name.
    pub(super) fn named(mut self, texts: &[&str]) -> Self {
        self.names = names(texts);
        self.common_name = None;
        self
    }

    pub(super) fn rules(&self) -> Rules<'_> {
        Rules {
            kind: self.kind,
            baseline: self.baseline,
            public_names: self.public_names,
            issuer: &self.issuer,
            now: self.now,
            lifetime_max: self.lifetime_max,
            scts_min: self.scts_min,
            names: &self.names,
            public_key: &self.public_key,
        }
    }

    pub(super) fn tbs(&self) -> TbsCertificate {
        TbsCertificate::leaf(&Leaf {
            serial: Serial::from_random(*b"sixteen octets!!"),
            issuer: &issuer_name(),
            issuer_key_identifier: self.issuer.public_key().key_identifier(),
            signature_algorithm: self.algorithm,
            validity: self.validity,
            common_name: self.common_name.as_deref(),
            names: &self.names,
            public_key: &self.public_key,
            key_usage: if self.key_encipherment { KeyUsage::KeyEncipherment } else { KeyUsage::DigitalSignature },
            extended_key_usage: &self.purposes,
            policies: &self.policies,
            ca_issuers_url: self.ca_issuers_url,
            ocsp_url: self.ocsp_url,
            crl_url: self.crl_url,
            subject_key_identifier: true,
            must_staple: self.must_staple,
            ct: match self.kind {
                Kind::Precertificate => Ct::Poison,
                Kind::Final => Ct::Scts(&self.scts),
                Kind::WithoutCt => Ct::None,
            },
        })
    }

    /// The names of the lints that fire.
    pub(super) fn findings(self) -> Vec<&'static str> {
        self.edited(|_| {})
    }

    /// The names of the lints that fire once the TBSCertificate has been edited.
    pub(super) fn edited(self, edit: impl FnOnce(&mut editor::Certificate)) -> Vec<&'static str> {
        let mut certificate = editor::Certificate::read(self.tbs().der());
        edit(&mut certificate);
        let algorithm = certificate.algorithm.clone();
        self.judged(&certificate.encode(), &algorithm)
    }

    /// The names of the lints that fire over these bytes.
    pub(super) fn judged(&self, tbs: &[u8], outer_algorithm: &[u8]) -> Vec<&'static str> {
        let linting_certificate = linting_certificate(tbs, outer_algorithm);
        fired(check_certificate(tbs, &linting_certificate, &self.rules()))
    }
}

pub(super) fn linting_certificate(tbs: &[u8], algorithm: &[u8]) -> Vec<u8> {
    let signature = [&[0], &SIGNATURE[..]].concat();
    editor::sequence(&[tbs, algorithm, &editor::tlv(3, &signature)])
}

pub(super) fn fired(verdict: Result<(), LintFailure>) -> Vec<&'static str> {
    verdict.err().into_iter().flat_map(|failure| failure.findings).map(|finding| finding.lint).collect()
}
