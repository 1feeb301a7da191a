//! The hierarchy: a root and an intermediate, made at the first start. The root's key can be taken away afterwards.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ca::ports::{Clock, Issuer, Random};
use keys::{IssuerKey, KeyAlgorithm, KeyFile, KeyPair, ceremony};
use pki::{
    Authority, Certificate, Crl, CrlFields, Name, ObjectIdentifier, Purpose, Serial, TbsCrl, Timestamp, Validity,
};

use crate::config::Config;

const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// BR 6.3.2 leaves roots 25 years; ten outlive any private installation's first hierarchy.
const ROOT_LIFETIME: Duration = YEAR.saturating_mul(10);
/// Chrome's root program asks for three at most.
const INTERMEDIATE_LIFETIME: Duration = YEAR.saturating_mul(3);
/// BR 4.9.7 leaves a root's CRL twelve months.
const ROOT_CRL_VALIDITY: Duration = Duration::from_secs(360 * 86_400);
const DOMAIN_VALIDATED: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.140.1.2.1");

/// Where the parts are in a data folder.
#[derive(Clone, Debug)]
pub struct Files {
    /// Keys: a folder of its own, mode 0700.
    pub keys: PathBuf,
    /// The root's certificate.
    pub root: PathBuf,
    /// The intermediate's.
    pub intermediate: PathBuf,
    /// The root's CRL.
    pub root_crl: PathBuf,
}

impl Files {
    /// Those of this data folder.
    pub fn of(data: &Path) -> Self {
        Self {
            keys: data.join("keys"),
            root: data.join("root.pem"),
            intermediate: data.join("intermediate.pem"),
            root_crl: data.join("root.crl"),
        }
    }

    /// The file of a key.
    pub fn key(&self, name: &str) -> KeyFile {
        KeyFile::new(self.keys.join(format!("{name}.pem")))
    }
}

/// What went wrong with the hierarchy: the file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum HierarchyError {
    /// A key file.
    #[error(transparent)]
    Key(#[from] keys::KeyFileError),
    /// A file could not be read or written.
    #[error("{}: {doing} failed: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// A certificate on disk is none.
    #[error("{}: is no certificate ({detail}); restore it from a backup", path.display())]
    Certificate {
        /// Which.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// A ceremony failed.
    #[error("making the hierarchy failed: {0}")]
    Ceremony(#[from] ceremony::CeremonyError),
    /// Key and certificate don't belong together.
    #[error("{}: {error}", path.display())]
    Issuer {
        /// The certificate.
        path: PathBuf,
        /// Why.
        error: keys::IssuerKeyError,
    },
}

/// The root and the intermediate, whose key is here.
#[derive(Debug)]
pub struct Hierarchy {
    /// The root's certificate.
    pub root: Certificate,
    /// The root's CRL.
    pub root_crl: Crl,
    /// Whether that was made now.
    pub root_crl_made: bool,
    /// The issuer with its key.
    pub issuer: IssuerKey,
    /// Whether it was made now.
    pub made: bool,
}

impl Hierarchy {
    /// Reads the hierarchy of a data folder; makes it at the first start.
    ///
    /// # Errors
    /// See [`HierarchyError`].
    pub fn open(config: &Config, clock: &dyn Clock, random: &dyn Random) -> Result<Self, HierarchyError> {
        let files = Files::of(&config.data);
        // The intermediate is written last: without it, a first start was cut short, and nothing was issued.
        let made = !files.intermediate.exists();
        let maker = Maker { config, files: &files, now: clock.now().whole_second(), random };
        let root = maker.root()?;
        let intermediate = if made { maker.intermediate(&root)? } else { read(&files.intermediate)? };
        let pair = files.key("intermediate").load()?;
        let signature_algorithm = pair.default_signature_algorithm();
        let id = pair.public_key().spki_hash();
        let issuer = Issuer { id, certificate: intermediate, chain: vec![root.clone()], signature_algorithm };
        let issuer = IssuerKey::new(issuer, pair)
            .map_err(|error| HierarchyError::Issuer { path: files.intermediate.clone(), error })?;
        let (root_crl, root_crl_made) = maker.root_crl(&root)?;
        Ok(Self { root, root_crl, root_crl_made, issuer, made })
    }
}

struct Maker<'a> {
    config: &'a Config,
    files: &'a Files,
    now: Timestamp,
    random: &'a dyn Random,
}

impl Maker<'_> {
    fn root(&self) -> Result<Certificate, HierarchyError> {
        if self.files.root.exists() {
            return read(&self.files.root);
        }
        let pair = self.key("root")?;
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
        let certificate = ceremony::root(&pair, &tbs)?;
        write(&self.files.root, &certificate)?;
        Ok(certificate)
    }

    fn intermediate(&self, root: &Certificate) -> Result<Certificate, HierarchyError> {
        let root_pair = self.files.key("root").load()?;
        let pair = self.key("intermediate")?;
        let subject = self.name("Intermediate");
        let status = &self.config.settings.status_url;
        let root_url = format!("{status}{}", ca::urls::issuer(&root.public_key().spki_hash()));
        let root_crl = format!("{status}{}", ca::urls::crl(&root.public_key().spki_hash(), 0));
        let tbs = pki::TbsCertificate::authority(&Authority {
            serial: self.serial(),
            issuer: root.subject(),
            subject: &subject,
            signature_algorithm: root_pair.default_signature_algorithm(),
            validity: self.validity(INTERMEDIATE_LIFETIME),
            public_key: pair.public_key(),
            authority_key_identifier: Some(root.public_key().key_identifier()),
            path_length: Some(0),
            digital_signature: true,
            extended_key_usage: &[Purpose::ServerAuth],
            policies: &[DOMAIN_VALIDATED],
            ca_issuers_url: Some(&root_url),
            ocsp_url: None,
            crl_url: Some(&root_crl),
        });
        let certificate = ceremony::intermediate(&root_pair, root, &tbs)?;
        write(&self.files.intermediate, &certificate)?;
        Ok(certificate)
    }

    /// The CRL for intermediates: as it is while half of its time is left, or while the root's key is away.
    fn root_crl(&self, root: &Certificate) -> Result<(Crl, bool), HierarchyError> {
        let path = &self.files.root_crl;
        let wrong = |detail: String| HierarchyError::Certificate { path: path.clone(), detail };
        let old = if path.exists() {
            let der =
                fs::read(path).map_err(|error| HierarchyError::File { path: path.clone(), doing: "reading", error })?;
            Some(Crl::from_der(&der).map_err(|error| wrong(error.to_string()))?)
        } else {
            None
        };
        let key = self.files.key("root");
        let fresh = old.as_ref().is_some_and(|crl| crl.next_update().since(self.now) > ROOT_CRL_VALIDITY / 2);
        if let Some(old) = old.as_ref().filter(|_| fresh).cloned() {
            return Ok((old, false));
        }
        if !key.exists()? {
            return old
                .map(|old| (old, false))
                .ok_or_else(|| wrong("it is missing, and so is the root's key".to_owned()));
        }
        let pair = key.load()?;
        let fields = CrlFields {
            issuer: root.subject(),
            issuer_key_identifier: root.public_key().key_identifier(),
            signature_algorithm: pair.default_signature_algorithm(),
            number: old.as_ref().map_or(1, |old| old.number() + 1),
            this_update: self.now,
            next_update: self.now.plus(ROOT_CRL_VALIDITY).minus(Duration::from_secs(1)),
            distribution_point: None,
        };
        let entries = old.as_ref().map(|old| old.entries().to_vec()).unwrap_or_default();
        let crl = ceremony::crl(&pair, root.subject(), &TbsCrl::build(&fields, &entries))?;
        write_file(path, crl.der())?;
        Ok((crl, true))
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

fn read(path: &Path) -> Result<Certificate, HierarchyError> {
    let text = fs::read_to_string(path).map_err(|error| HierarchyError::File {
        path: path.to_owned(),
        doing: "reading",
        error,
    })?;
    let wrong = |detail: String| HierarchyError::Certificate { path: path.to_owned(), detail };
    let blocks = pki::pem::decode(&text).map_err(|error| wrong(error.to_string()))?;
    let (_, der) = blocks.first().ok_or_else(|| wrong("it is empty".to_owned()))?;
    Certificate::from_der(der).map_err(|error| wrong(error.to_string()))
}

fn write(path: &Path, certificate: &Certificate) -> Result<(), HierarchyError> {
    write_file(path, pki::pem::encode("CERTIFICATE", certificate.der()).as_bytes())
}

/// Whole or not at all, and synced.
fn write_file(path: &Path, contents: &[u8]) -> Result<(), HierarchyError> {
    let failed = |doing, error| HierarchyError::File { path: path.to_owned(), doing, error };
    let part = path.with_extension("part");
    let mut file = fs::File::create(&part).map_err(|error| failed("writing", error))?;
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(|error| failed("writing", error))?;
    fs::rename(&part, path).map_err(|error| failed("renaming", error))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed("syncing the folder of", error))
}
