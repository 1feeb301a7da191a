//! The data folder: whose it is, what its certificates say, who signs them, and since when it is a CA's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use ca::InstanceId;
use ca::ports::{AuditLog, CrlGeneration, CrlGenerationId, Ledger};
use keys::{KeyFile, KeyPair};
use pki::{Certificate, Sha256, SignatureAlgorithm, Timestamp};
use serde::Deserialize;
use store::audit::{AuditLimits, AuditOptions, AuditReader, FileAuditLog};
use store::instance::Instance;
use store::sqlite::{Database, FILE_NAME, OpenOptions, SqliteLedger};

use crate::world::System;

/// The regime in which nobody trusts the root.
const DEV: &str = "dev";
/// Rows are added all over the indexes: what stands in memory is not read again for each.
const WRITER_CACHE_KIB: u32 = 256 * 1024;
const BATCH_MAX: usize = 4096;

/// A data folder that this process holds.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    instance: Instance,
    /// What certificates point to.
    pub(super) published: Published,
    /// Who signs.
    pub(super) issuer: IssuerKey,
    /// When its audit log began: all that is written is older.
    pub(super) began: Timestamp,
}

/// What the server keeps in `published.toml`, as far as it counts here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Published {
    regime: String,
    /// The start of the URLs in certificates.
    pub(super) status_url: String,
    crl_shards: u16,
    #[serde(default)]
    crl_generations: Vec<CrlGeneration>,
}

impl Published {
    /// The CRL shards that new certificates say.
    pub(super) fn current(&self) -> CrlGeneration {
        let (shards, status_url) = (self.crl_shards, self.status_url.clone());
        let same = |one: &&CrlGeneration| one.shards == shards && one.status_url == status_url;
        let current = self.crl_generations.iter().rfind(same).cloned();
        current.unwrap_or(CrlGeneration { id: CrlGenerationId(0), shards, status_url, since: None })
    }
}

/// The issuer, with its key.
#[derive(Debug)]
pub(super) struct IssuerKey {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub(super) id: Sha256,
    /// Its certificate.
    pub(super) certificate: Certificate,
    /// What it signs with.
    pub(super) algorithm: SignatureAlgorithm,
    pair: KeyPair,
}

impl IssuerKey {
    fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("intermediate.pem");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let blocks = pki::pem::decode(&text).with_context(|| format!("{} is damaged", path.display()))?;
        let (_, der) = blocks.first().with_context(|| format!("{} is empty", path.display()))?;
        let certificate = Certificate::from_der(der).with_context(|| format!("{} is damaged", path.display()))?;
        let pair = KeyFile::new(folder.join("keys").join("intermediate.pem")).load()?;
        if certificate.public_key() != pair.public_key() {
            bail!("{} is not the certificate of the key keys/intermediate.pem", path.display());
        }
        let algorithm = pair.default_signature_algorithm();
        Ok(Self { id: pair.public_key().spki_hash(), certificate, algorithm, pair })
    }

    /// Signs with the issuer's key.
    pub(super) fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(self.pair.sign(self.algorithm, message)?)
    }
}

impl Folder {
    /// Takes the folder, as a server does.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        // Taking a folder would make it.
        Instance::peek(path)?;
        let published = path.join("published.toml");
        let text = fs::read_to_string(&published)
            .with_context(|| format!("cannot read {}; `cairn serve --dev` makes it", published.display()))?;
        let published: Published = toml::from_str(&text).with_context(|| format!("{}", published.display()))?;
        if published.regime != DEV {
            bail!(
                "{} is the data folder of a CA of the regime {:?}: only one for tests, made by `cairn serve --dev`, is \
                 filled, since its issuer signs certificates for names that nobody validated",
                path.display(),
                published.regime
            );
        }
        let instance = Instance::take(path, &System)?;
        let issuer = IssuerKey::read(path)?;
        let audit = AuditReader::new(&path.join("audit"));
        let (first, _) = audit.lines(audit.first()?, 1)?;
        let began = first.first().map(|line| line.at);
        let began = began.with_context(|| {
            format!("the audit log in {} has not begun: start `cairn serve --dev` on it once", path.display())
        })?;
        Ok(Self { path: path.to_owned(), instance, published, issuer, began })
    }

    /// Its ledger, opened to be written to by many at once.
    pub(super) fn ledger(&self) -> anyhow::Result<SqliteLedger> {
        let path = self.path.join(FILE_NAME);
        if !path.exists() {
            bail!("there is no store at {}: start `cairn serve --dev` on the folder once", path.display());
        }
        let options = OpenOptions {
            batch_max: BATCH_MAX,
            queue_max: BATCH_MAX,
            writer_cache_kib: WRITER_CACHE_KIB,
            checkpoint_octets: 64 << 20,
            log_octets_max: 512 << 20,
            ..OpenOptions::default()
        };
        Ok(Database::open(path, options)?.ledger(Arc::new(System)))
    }

    /// Whose folder it is.
    pub(super) const fn instance(&self) -> InstanceId {
        self.instance.id()
    }

    /// Its audit log, opened to be written to.
    pub(super) async fn audit_log(&self, ledger: &SqliteLedger) -> anyhow::Result<FileAuditLog> {
        let known = ledger.audit_mark(self.instance()).await?;
        let options = AuditOptions { limits: AuditLimits::default(), known };
        let on_fatal = Arc::new(|error: &ca::ports::StoreError| eprintln!("the audit log can't be relied on: {error}"));
        let path = self.path.join("audit");
        let log = FileAuditLog::open_with(&path, self.instance(), options, Arc::new(System), on_fatal)?;
        // The mark moves over what comes now, and must not move over what was there before.
        if known.is_none_or(|known| known.sequence < log.mark().sequence) {
            bail!(
                "{} has lines that have not come to the ledger: start `cairn serve --dev` on the folder once",
                path.display()
            );
        }
        Ok(log)
    }

    /// How many octets its store takes, in all its files.
    pub(super) fn octets(&self) -> anyhow::Result<u64> {
        let mut octets = 0;
        let reading = || format!("cannot read the folder {}", self.path.display());
        for entry in fs::read_dir(&self.path).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            if entry.file_name().to_string_lossy().starts_with(FILE_NAME) {
                octets += entry.metadata().with_context(reading)?.len();
            }
        }
        Ok(octets)
    }
}
