//! Making a hierarchy: the first start's ceremonies.

use std::time::Duration;

use ca::ports::Random;
use keys::{KeyAlgorithm, KeyPair, ceremony};
use pki::{Authority, Certificate, Name, ObjectIdentifier, Purpose, Serial, Timestamp, Validity};

use super::{Files, HierarchyError, chains, read, write};
use crate::config::Config;

const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// BR 6.3.2 leaves roots 25 years; ten outlive any private installation's first hierarchy.
const ROOT_LIFETIME: Duration = YEAR.saturating_mul(10);
/// Chrome's root program asks for three at most.
const INTERMEDIATE_LIFETIME: Duration = YEAR.saturating_mul(3);
const DOMAIN_VALIDATED: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.140.1.2.1");

pub(super) struct Maker<'a> {
    config: &'a Config,
    files: &'a Files,
    now: Timestamp,
    random: &'a dyn Random,
}

/// A CA that certifies others: its certificate and its key.
struct Parent {
    certificate: Certificate,
    pair: KeyPair,
    /// Whether the status listener has its CRL.
    has_crl: bool,
}

/// A CA to be certified.
struct Child<'a> {
    subject: &'a Name,
    pair: &'a KeyPair,
    /// How many intermediates may stand below it.
    path_length: u8,
}

impl<'a> Maker<'a> {
    pub(super) fn new(config: &'a Config, files: &'a Files, now: Timestamp, random: &'a dyn Random) -> Self {
        Self { config, files, now, random }
    }

    /// The root, as it is or new.
    pub(super) fn root(&self) -> Result<Certificate, HierarchyError> {
        if self.files.root.exists() {
            return read(&self.files.root);
        }
        let certificate = self.self_signed(&self.key("root")?)?;
        write(&self.files.root, std::slice::from_ref(&certificate))?;
        Ok(certificate)
    }

    fn self_signed(&self, pair: &KeyPair) -> Result<Certificate, HierarchyError> {
        let name = self.name("Root");
        let tbs = pki::TbsCertificate::authority(&Authority {
            serial: self.serial(),
            issuer: &name,
            subject: &name,
            signature_algorithm: pair.default_signature_algorithm(),
            validity: self.validity(ROOT_LIFETIME),
            public_key: pair.public_key(),
            authority_key_identifier: None,
            path_length: None,
            digital_signature: false,
            extended_key_usage: &[],
            policies: &[],
            ca_issuers_url: None,
            ocsp_url: None,
            crl_url: None,
        });
        Ok(ceremony::root(pair, &tbs)?)
    }

    /// The issuer, the certificates between it and the root, and the chains to other roots. Its file is written last.
    pub(super) fn issuer(&self, root: &Certificate) -> Result<(), HierarchyError> {
        // They are for another name, if a first start was cut short.
        chains::clear(&self.files.chains)?;
        let pair = self.key("intermediate")?;
        let subject = self.name("Intermediate");
        let root = Parent { certificate: root.clone(), pair: self.files.key("root").load()?, has_crl: true };
        let path = self.path(0, root, &subject, &pair)?;
        for number in 1..=u16::from(self.config.alternate_roots) {
            let root_pair = self.key(&format!("root-{number}"))?;
            let root = self.self_signed(&root_pair)?;
            let parent = Parent { certificate: root.clone(), pair: root_pair, has_crl: false };
            let mut chain = self.path(number, parent, &subject, &pair)?;
            chain.push(root);
            write(&chains::file(&self.files.chains, number), &chain)?;
        }
        write(&self.files.intermediate, &path)
    }

    /// From the issuer up to the one below the root.
    fn path(
        &self,
        chain: u16,
        root: Parent,
        subject: &Name,
        pair: &KeyPair,
    ) -> Result<Vec<Certificate>, HierarchyError> {
        let mut above = Vec::new();
        let mut parent = root;
        for path_length in (1..self.config.chain_length).rev() {
            let between = self.key(&format!("intermediate-{chain}-{path_length}"))?;
            let name = self.name("Intermediate");
            let certificate = self.certified(&parent, &Child { subject: &name, pair: &between, path_length })?;
            above.push(certificate.clone());
            parent = Parent { certificate, pair: between, has_crl: false };
        }
        above.push(self.certified(&parent, &Child { subject, pair, path_length: 0 })?);
        above.reverse();
        Ok(above)
    }

    fn certified(&self, parent: &Parent, child: &Child<'_>) -> Result<Certificate, HierarchyError> {
        let status = &self.config.settings.status_url;
        let parent_id = parent.certificate.public_key().spki_hash();
        let parent_url = format!("{status}{}", ca::urls::issuer(&parent_id));
        let crl_url = parent.has_crl.then(|| format!("{status}{}", ca::urls::crl(&parent_id, 0)));
        let tbs = pki::TbsCertificate::authority(&Authority {
            serial: self.serial(),
            issuer: parent.certificate.subject(),
            subject: child.subject,
            signature_algorithm: parent.pair.default_signature_algorithm(),
            validity: self.validity(INTERMEDIATE_LIFETIME),
            public_key: child.pair.public_key(),
            authority_key_identifier: Some(parent.certificate.public_key().key_identifier()),
            path_length: Some(child.path_length),
            digital_signature: true,
            extended_key_usage: &[Purpose::ServerAuth],
            policies: &[DOMAIN_VALIDATED],
            ca_issuers_url: Some(&parent_url),
            ocsp_url: None,
            crl_url: crl_url.as_deref(),
        });
        Ok(ceremony::intermediate(&parent.pair, &parent.certificate, &tbs)?)
    }

    /// A key whose certificate was never written is used by the next try.
    fn key(&self, name: &str) -> Result<KeyPair, HierarchyError> {
        let algorithm: KeyAlgorithm = self.config.key;
        Ok(self.files.key(name).load_or_generate(algorithm)?.0)
    }

    fn serial(&self) -> Serial {
        let mut random = [0; 16];
        self.random.fill(&mut random);
        Serial::from_random(random)
    }

    fn validity(&self, lifetime: Duration) -> Validity {
        Validity { not_before: self.now, not_after: self.now.plus(lifetime).minus(Duration::from_secs(1)) }
    }

    /// A number tells the hierarchies of two installations apart, in the lists of trusted roots of people and programs.
    fn name(&self, kind: &str) -> Name {
        let mut random = [0; 3];
        self.random.fill(&mut random);
        let number = data_encoding::HEXLOWER.encode(&random);
        let organization = &self.config.organization;
        Name::new()
            .country(&self.config.country)
            .organization(organization)
            .common_name(&format!("{organization} {kind} {number}"))
    }
}
