//! Keys that are the same in every run, worth nothing to anybody, and the hierarchy above the certificates.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use acme::{Algorithm, SigningKey};
use ca::ports::Issuer;
use keys::{IssuerKey, KeyPair, ceremony};
use pki::{Authority, Certificate, Name, Purpose, Serial, Sha256, TbsCertificate, Validity};

use crate::clock::START;

const DAY: Duration = Duration::from_secs(86_400);
/// `PrivateKeyInfo` (RFC 5208) of a key on P-256 without its public half, up to the secret number.
const PKCS8_HEAD: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20,
];
/// Keys that clients share.
const POOL: usize = 64;

fn pkcs8(purpose: &str, number: usize) -> Vec<u8> {
    let secret = Sha256::of(format!("simulated {purpose} {number}").as_bytes());
    [PKCS8_HEAD.as_slice(), secret.as_bytes()].concat()
}

fn pair(purpose: &str, number: usize) -> KeyPair {
    KeyPair::from_pkcs8_der(&pkcs8(purpose, number)).expect("a hash is a number below the order of P-256")
}

/// The key of an account.
pub fn of_account(number: usize) -> Arc<SigningKey> {
    static POOLED: [OnceLock<Arc<SigningKey>>; POOL] = [const { OnceLock::new() }; POOL];
    let make = || signing("account", number % POOL);
    POOLED[number % POOL].get_or_init(make).clone()
}

fn signing(purpose: &str, number: usize) -> Arc<SigningKey> {
    let key = SigningKey::from_pkcs8(Algorithm::Es256, &pkcs8(purpose, number));
    Arc::new(key.expect("a hash is a number below the order of P-256"))
}

/// The key of a certificate, as it signs a CSR and as it signs a request.
#[derive(Debug)]
pub struct SubjectKey {
    /// For CSRs.
    pub pair: KeyPair,
    /// For revokeCert.
    pub signing: Arc<SigningKey>,
}

/// The key of a certificate.
pub fn of_certificate(number: usize) -> &'static SubjectKey {
    static POOLED: [OnceLock<SubjectKey>; POOL] = [const { OnceLock::new() }; POOL];
    let number = number % POOL;
    POOLED[number]
        .get_or_init(|| SubjectKey { pair: pair("certificate", number), signing: signing("certificate", number) })
}

/// The key of a CT log.
pub fn of_log(number: usize) -> KeyPair {
    pair("log", number)
}

/// The key of the delegated OCSP responder.
pub fn of_responder() -> KeyPair {
    pair("OCSP responder", 0)
}

/// A root, and an intermediate below it that issues.
#[derive(Debug)]
pub struct Hierarchy {
    /// The root of all.
    pub root: Certificate,
    /// Who issues.
    pub issuer: Issuer,
}

impl Hierarchy {
    /// The one that all runs share.
    pub fn shared() -> &'static Self {
        static MADE: OnceLock<Hierarchy> = OnceLock::new();
        MADE.get_or_init(Self::make)
    }

    fn make() -> Self {
        let (root_pair, issuer_pair) = (pair("root", 0), pair("issuer", 0));
        let root_name = Name::new().common_name("Simulated Root");
        let name = Name::new().common_name("Simulated Intermediate");
        let root_tbs = TbsCertificate::authority(&Authority {
            subject: &root_name,
            public_key: root_pair.public_key(),
            authority_key_identifier: None,
            path_length: None,
            ..authority(&root_name, &root_pair, 1)
        });
        let root = ceremony::root(&root_pair, &root_tbs).expect("a root that keeps the rules");
        let tbs = TbsCertificate::authority(&Authority {
            subject: &name,
            public_key: issuer_pair.public_key(),
            digital_signature: true,
            extended_key_usage: &[Purpose::ServerAuth],
            ..authority(&root_name, &root_pair, 2)
        });
        let certificate =
            ceremony::intermediate(&root_pair, &root, &tbs).expect("an intermediate that keeps the rules");
        let issuer = Issuer {
            id: issuer_pair.public_key().spki_hash(),
            certificate,
            chain: vec![root.clone()],
            alternates: Vec::new(),
            signature_algorithm: issuer_pair.default_signature_algorithm(),
        };
        Self { root, issuer }
    }

    /// The issuer with its key, as a starting process reads it.
    pub fn issuer_key(&self) -> IssuerKey {
        IssuerKey::new(self.issuer.clone(), pair("issuer", 0)).expect("the key is this issuer's")
    }
}

fn authority<'a>(issuer: &'a Name, signed_by: &'a KeyPair, serial: u8) -> Authority<'a> {
    Authority {
        serial: Serial::from_random([serial; 16]),
        issuer,
        subject: issuer,
        signature_algorithm: signed_by.default_signature_algorithm(),
        validity: Validity { not_before: START.minus(DAY), not_after: START.plus(3650 * DAY) },
        public_key: signed_by.public_key(),
        authority_key_identifier: Some(signed_by.public_key().key_identifier()),
        path_length: Some(0),
        digital_signature: false,
        extended_key_usage: &[],
        policies: &[],
        ca_issuers_url: None,
        ocsp_url: None,
        crl_url: None,
    }
}
