//! A root, an intermediate below it that issues, and two built-in logs.

use std::time::Duration;

use ca::ports::{Clock, Issuer, Random};
use keys::{IssuerKey, KeyAlgorithm, KeyPair, ceremony};
use pki::{Authority, Certificate, Name, Purpose, Serial, TbsCertificate, Validity};

use super::clock::{START, SeededRandom, TestClock};

const DAY: Duration = Duration::from_secs(86_400);

/// The keys that outlive a restart of the process.
pub(crate) struct Hierarchy {
    pub(crate) root: Certificate,
    pub(crate) issuer: Issuer,
    issuer_key: Vec<u8>,
    log_keys: [Vec<u8>; 2],
    responder_key: Vec<u8>,
}

impl Hierarchy {
    pub(crate) fn new(clock: &TestClock, random: &SeededRandom) -> Self {
        assert_eq!(clock.now(), START, "the hierarchy is made first");
        let root_pair = pair();
        let root_name = Name::new().common_name("Example Root");
        let name = Name::new().common_name("Example Intermediate");
        let root_tbs = TbsCertificate::authority(&Authority {
            subject: &root_name,
            public_key: root_pair.public_key(),
            authority_key_identifier: None,
            path_length: None,
            ..authority(&root_name, &root_pair, random)
        });
        let root = ceremony::root(&root_pair, &root_tbs).unwrap();
        let issuer_pair = pair();
        let tbs = TbsCertificate::authority(&Authority {
            subject: &name,
            public_key: issuer_pair.public_key(),
            digital_signature: true,
            extended_key_usage: &[Purpose::ServerAuth],
            ..authority(&root_name, &root_pair, random)
        });
        let certificate = ceremony::intermediate(&root_pair, &root, &tbs).unwrap();
        let issuer = Issuer {
            id: issuer_pair.public_key().spki_hash(),
            certificate,
            chain: vec![root.clone()],
            alternates: Vec::new(),
            signature_algorithm: issuer_pair.default_signature_algorithm(),
        };
        Self {
            root,
            issuer,
            issuer_key: octets(&issuer_pair),
            log_keys: [octets(&pair()), octets(&pair())],
            responder_key: octets(&pair()),
        }
    }

    /// The issuer with its key, as a starting process reads it.
    pub(crate) fn issuer_key(&self) -> IssuerKey {
        IssuerKey::new(self.issuer.clone(), KeyPair::from_pkcs8_der(&self.issuer_key).unwrap()).unwrap()
    }

    /// The key of the delegated OCSP responder.
    pub(crate) fn responder_pair(&self) -> KeyPair {
        KeyPair::from_pkcs8_der(&self.responder_key).unwrap()
    }

    /// The responder's key is gone, and another takes its place.
    pub(crate) fn renew_responder(&mut self) {
        self.responder_key = octets(&pair());
    }

    /// The logs end, and others begin in their places.
    pub(crate) fn renew_logs(&mut self) {
        self.log_keys = [octets(&pair()), octets(&pair())];
    }

    /// The keys of the logs, as a starting process reads them.
    pub(crate) fn log_pairs(&self) -> impl Iterator<Item = KeyPair> {
        self.log_keys.iter().map(|key| KeyPair::from_pkcs8_der(key).unwrap())
    }
}

/// A new key on P-256.
pub(crate) fn pair() -> KeyPair {
    KeyPair::generate(KeyAlgorithm::P256).unwrap()
}

/// A key in its PKCS#8 form.
pub(crate) fn octets(pair: &KeyPair) -> Vec<u8> {
    pair.to_pkcs8_der().unwrap().to_vec()
}

fn authority<'a>(issuer: &'a Name, signed_by: &'a KeyPair, random: &SeededRandom) -> Authority<'a> {
    let mut serial = [0; 16];
    random.fill(&mut serial);
    Authority {
        serial: Serial::from_random(serial),
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
