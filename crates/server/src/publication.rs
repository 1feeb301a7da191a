//! CRLs and issuers' certificates in a folder, under the paths of their URLs, for another web server or a mirror to
//! serve. A file is there whole or not at all, and no making of a CRL ever waits for this.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ca::Ca;
use ca::crl::CrlParts;
use ca::ports::{CrlRecord, StoreError};
use ca::urls;
use pki::{Certificate, Timestamp};
use tokio::fs;
use tokio::io::AsyncWriteExt;

use crate::hierarchy::root_crl::RootCrl;
use crate::upkeep::{Stop, pause};

/// How often it is looked whether there is something new.
const LOOK: Duration = Duration::from_secs(2);
/// The longest time from a publication that failed to the next try.
const BACK_OFF_MAX: Duration = Duration::from_secs(300);

/// What is kept in the folder as it is here.
#[derive(Debug)]
pub struct Publication {
    ca: Arc<Ca>,
    root: Certificate,
    root_crl: Arc<RootCrl>,
    folder: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Number and time of each CRL that is there, by its path.
    crls: BTreeMap<String, (u64, Timestamp)>,
    issuers: bool,
    failing: Option<Timestamp>,
}

/// Why something could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublicationError {
    /// A file could not be written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A CRL could not be read.
    #[error("the ledger: {0}")]
    Store(#[from] StoreError),
}

impl Publication {
    /// Into this folder, which is made if it isn't there.
    pub fn new(ca: Arc<Ca>, root: Certificate, root_crl: Arc<RootCrl>, folder: PathBuf) -> Self {
        Self { ca, root, root_crl, folder, known: Mutex::default() }
    }

    /// How old the oldest CRL is that stands in the folder; `None`: none was published since the start.
    pub fn oldest(&self) -> Option<Duration> {
        let oldest = self.lock().crls.values().map(|(_, this_update)| *this_update).min();
        oldest.map(|oldest| self.ca.now().since(oldest))
    }

    /// Since when publication fails.
    pub fn failing(&self) -> Option<Timestamp> {
        self.lock().failing
    }

    /// Publishes what is new until the server stops. What fails is tried again, later and later.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        let mut back_off = LOOK;
        loop {
            let done = self.publish().await;
            back_off = match &done {
                Ok(_) => LOOK,
                Err(error) => {
                    tracing::error!(%error, "CRLs could not be published; trying again");
                    (back_off * 2).min(BACK_OFF_MAX)
                }
            };
            let now = self.ca.now();
            let failing = done.is_err().then(|| self.failing().unwrap_or(now));
            self.lock().failing = failing;
            if pause(&self.ca, back_off, &stop).await {
                return;
            }
        }
    }

    /// Publishes what is new: how many files that were.
    ///
    /// # Errors
    /// The first that could not be written; those behind it are not tried.
    pub async fn publish(&self) -> Result<u32, PublicationError> {
        let mut written = 0;
        if !self.lock().issuers {
            written += self.publish_issuers().await?;
            self.lock().issuers = true;
        }
        let root = self.root_crl.current();
        let path = urls::crl(&self.root.public_key().spki_hash(), 0);
        if self.is_news(&path, root.number()) {
            self.write(&path, root.der()).await?;
            self.lock().crls.insert(path, (root.number(), root.this_update()));
            written += 1;
        }
        let shards = self.ca.settings.crl_shards;
        for issuer in &self.ca.issuers {
            for shard in 0..shards {
                let path = urls::crl(&issuer.id, shard);
                let last = self.ca.ledger.crl_state(issuer.id, shard, shards).await?.last;
                let Some(crl) = last.filter(|crl| self.is_news(&path, crl.number)) else { continue };
                self.write_crl(&path, &crl).await?;
                self.lock().crls.insert(path, (crl.number, crl.this_update));
                written += 1;
            }
        }
        Ok(written)
    }

    async fn publish_issuers(&self) -> Result<u32, PublicationError> {
        let mut written = 0;
        for issuer in &self.ca.issuers {
            for certificate in std::iter::once(&issuer.certificate).chain(&issuer.chain) {
                let path = urls::issuer(&certificate.public_key().spki_hash());
                self.write(&path, certificate.der()).await?;
                written += 1;
            }
        }
        Ok(written)
    }

    fn is_news(&self, path: &str, number: u64) -> bool {
        self.lock().crls.get(path).is_none_or(|(published, _)| *published != number)
    }

    async fn write(&self, path: &str, contents: &[u8]) -> Result<(), PublicationError> {
        let mut draft = Draft::begin(&self.folder, path).await?;
        draft.add(contents).await?;
        draft.publish().await
    }

    async fn write_crl(&self, path: &str, crl: &CrlRecord) -> Result<(), PublicationError> {
        let mut draft = Draft::begin(&self.folder, path).await?;
        draft.add(&crl.head).await?;
        let mut parts = CrlParts::of(&*self.ca.ledger, crl);
        while let Some(part) = parts.next().await? {
            draft.add(&part).await?;
        }
        draft.add(&crl.tail).await?;
        draft.publish().await
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that nobody sees yet.
struct Draft {
    path: PathBuf,
    part: PathBuf,
    file: fs::File,
}

impl Draft {
    /// `path`: as in a URL, with a slash in front.
    async fn begin(folder: &Path, path: &str) -> Result<Self, PublicationError> {
        let path = folder.join(path.trim_start_matches('/'));
        let part = path.with_extension("part");
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).await.map_err(at(parent))?;
        }
        let file = fs::File::create(&part).await.map_err(at(&part))?;
        Ok(Self { path, part, file })
    }

    async fn add(&mut self, octets: &[u8]) -> Result<(), PublicationError> {
        self.file.write_all(octets).await.map_err(at(&self.part))
    }

    async fn publish(mut self) -> Result<(), PublicationError> {
        self.file.flush().await.map_err(at(&self.part))?;
        self.file.sync_all().await.map_err(at(&self.part))?;
        fs::rename(&self.part, &self.path).await.map_err(at(&self.path))
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> PublicationError {
    let path = path.to_owned();
    move |error| PublicationError::File { path, error }
}

#[cfg(test)]
mod tests {
    use pki::Crl;

    use super::*;
    use crate::assembly::Assembly;
    use crate::config::{Choices, Config, File};

    async fn publication(folder: &tempfile::TempDir) -> (Assembly, Publication) {
        let config = Config::new(folder.path().join("data"), &File::default(), &Choices::default()).unwrap();
        let assembly = Assembly::open(&config).await.unwrap();
        assembly.ca.renew_crls().await.unwrap();
        let (ca, root_crl) = (Arc::clone(&assembly.ca), Arc::clone(&assembly.root_crl));
        let publication = Publication::new(ca, assembly.root.clone(), root_crl, folder.path().join("www"));
        (assembly, publication)
    }

    #[tokio::test]
    async fn folder_has_each_file_under_the_path_of_its_url_and_no_drafts() {
        let folder = tempfile::tempdir().unwrap();
        let (assembly, publication) = publication(&folder).await;
        // An issuer and its root; the root's CRL and four shards.
        assert_eq!(publication.publish().await.unwrap(), 2 + 1 + 4);
        let at = |path: &str| std::fs::read(folder.path().join("www").join(path.trim_start_matches('/'))).unwrap();
        let issuer = &assembly.ca.issuers[0];
        for shard in 0..4 {
            let path = urls::crl(&issuer.id, shard);
            let crl = Crl::from_der(&at(&path)).unwrap();
            crl.verify_signed_by(issuer.certificate.public_key()).unwrap();
            assert!(crl.distribution_point().unwrap().ends_with(&path));
        }
        let root = assembly.root.public_key().spki_hash();
        assert_eq!(at(&urls::crl(&root, 0)), assembly.root_crl.current().der());
        assert_eq!(at(&urls::issuer(&issuer.id)), issuer.certificate.der());
        let files = std::fs::read_dir(folder.path().join("www/crl").join(urls::issuer_label(&issuer.id))).unwrap();
        assert!(files.map(|file| file.unwrap().path()).all(|path| path.extension().unwrap() == "crl"));
        assert_eq!(publication.publish().await.unwrap(), 0, "nothing is new");
    }

    #[tokio::test]
    async fn publication_that_failed_is_done_once_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let (_assembly, publication) = publication(&folder).await;
        std::fs::write(folder.path().join("www"), b"in the way").unwrap();
        publication.publish().await.unwrap_err();
        assert_eq!(publication.oldest(), None);
        std::fs::remove_file(folder.path().join("www")).unwrap();
        assert_eq!(publication.publish().await.unwrap(), 2 + 1 + 4);
        assert!(publication.oldest().is_some());
    }
}
