//! The hierarchy: a root and an intermediate, made at the first start, and other chains to other roots. The root's key
//! can be taken away afterwards.

pub mod chains;
pub mod log_keys;
mod make;
pub mod root_crl;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ca::ports::{Clock, Issuer, Random};
use keys::{IssuerKey, KeyFile, ceremony};
use pki::Certificate;

use crate::config::Config;
use crate::places::{folder_of, part_of};
use make::Maker;

/// Where the parts are in a data folder.
#[derive(Clone, Debug)]
pub struct Files {
    /// Keys: a folder of its own, mode 0700.
    pub keys: PathBuf,
    /// The root's certificate.
    pub root: PathBuf,
    /// The intermediate's, with those between it and the root behind it.
    pub intermediate: PathBuf,
    /// Other chains: a folder.
    pub chains: PathBuf,
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
            chains: data.join("chains"),
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
    /// A CRL of the root that was made elsewhere.
    #[error("the root's CRL is not taken: {0}")]
    RootCrl(String),
    /// A chain beside our own.
    #[error(transparent)]
    Chain(#[from] chains::ChainError),
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
    /// The root's CRL, if there is one yet.
    pub root_crl: root_crl::Found,
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
        let files = Files::of(&config.hierarchy);
        // Other processes may use a hierarchy that stands elsewhere.
        if config.hierarchy == config.data && KeyFile::remove_drafts(&files.keys)? > 0 {
            tracing::info!(folder = %files.keys.display(), "unfinished drafts of keys were removed");
        }
        // The intermediate is written last: without it, a first start was cut short, and nothing was issued.
        let made = !files.intermediate.exists();
        let maker = Maker::new(config, &files, clock.now().whole_second(), random);
        let root = maker.root()?;
        if made {
            maker.issuer(&root)?;
        }
        let mut path = Self::own_chain(&files)?;
        let alternates = chains::open(&files.chains, &path, clock.now())?;
        let pair = files.key("intermediate").load()?;
        let signature_algorithm = pair.default_signature_algorithm();
        let id = pair.public_key().spki_hash();
        let certificate = path.remove(0);
        let issuer = Issuer { id, certificate, chain: path, alternates, signature_algorithm };
        let issuer = IssuerKey::new(issuer, pair)
            .map_err(|error| HierarchyError::Issuer { path: files.intermediate.clone(), error })?;
        let root_crl = root_crl::Found::open(files, root.clone())?;
        Ok(Self { root, root_crl, issuer, made })
    }

    /// From the issuer up to the root, as the files have it.
    ///
    /// # Errors
    /// A file can't be read: there is no hierarchy yet, or it is damaged.
    pub fn own_chain(files: &Files) -> Result<Vec<Certificate>, HierarchyError> {
        let mut chain = read_all(&files.intermediate)?;
        chain.push(read(&files.root)?);
        Ok(chain)
    }

    /// Each certificate of this CA itself, once: those above others first.
    pub fn certificates(issuer: &Issuer) -> Vec<Certificate> {
        let own = issuer.chain.iter().rev().chain(std::iter::once(&issuer.certificate));
        let alternates = issuer.alternates.iter().flat_map(|chain| chain.certificates.iter().rev());
        let mut certificates: Vec<Certificate> = Vec::new();
        for certificate in own.chain(alternates) {
            if !certificates.contains(certificate) {
                certificates.push(certificate.clone());
            }
        }
        certificates
    }
}

/// The first certificate of a file.
///
/// # Errors
/// The file can't be read, or holds none.
pub fn read(path: &Path) -> Result<Certificate, HierarchyError> {
    Ok(read_all(path)?.remove(0))
}

/// All certificates of a file: at least one.
fn read_all(path: &Path) -> Result<Vec<Certificate>, HierarchyError> {
    let text = fs::read_to_string(path).map_err(|error| HierarchyError::File {
        path: path.to_owned(),
        doing: "reading",
        error,
    })?;
    let wrong = |detail: String| HierarchyError::Certificate { path: path.to_owned(), detail };
    let blocks = pki::pem::decode(&text).map_err(|error| wrong(error.to_string()))?;
    blocks.iter().map(|(_, der)| Certificate::from_der(der).map_err(|error| wrong(error.to_string()))).collect()
}

fn write(path: &Path, certificates: &[Certificate]) -> Result<(), HierarchyError> {
    let blocks = certificates.iter().map(|certificate| pki::pem::encode("CERTIFICATE", certificate.der()));
    write_file(path, blocks.collect::<String>().as_bytes())
}

/// Writes a file whole or not at all, and synced.
///
/// # Errors
/// What the system refused.
pub fn write_file(path: &Path, contents: &[u8]) -> Result<(), HierarchyError> {
    let failed = |doing, error| HierarchyError::File { path: path.to_owned(), doing, error };
    let part = part_of(path);
    let mut file = fs::File::create(&part).map_err(|error| failed("writing", error))?;
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(|error| failed("writing", error))?;
    fs::rename(&part, path).map_err(|error| failed("renaming", error))?;
    fs::File::open(folder_of(path))
        .and_then(|folder| folder.sync_all())
        .map_err(|error| failed("syncing the folder of", error))
}
