//! What a CA is trusted for and its certificates point to, kept in the data folder from the first start on: the regime,
//! which never changes, and the generations of CRL shards. A changed number of shards, or another status URL, begins a
//! generation; earlier ones stay as certificates say them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ca::crl::{CrlScheme, CrlSchemeError};
use ca::ports::{CrlGeneration, CrlGenerationId, Ledger, StoreError};
use pki::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{Config, File};
use crate::places::{folder_of, part_of};

const FILE_NAME: &str = "published.toml";

/// Why the CA can't go on with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// The configuration names another regime than the CA was begun with.
    #[error(
        "regime is {wanted}, but this CA was begun with {published}, as {} has it: put it back, or use another data \
         folder",
        path.display()
    )]
    Regime {
        /// What the configuration says.
        wanted: String,
        /// What certificates are trusted for.
        published: String,
        /// Where that is kept.
        path: PathBuf,
    },
    /// There can be no further generation of CRL shards.
    #[error(
        "crl.shards and status-url can't become {shards} and {status_url}: {error}. Put back one of the pairs that {} \
         lists; certificates point to them",
        path.display()
    )]
    NoMore {
        /// How many shards were asked for.
        shards: u16,
        /// At which URL.
        status_url: String,
        /// Why not.
        error: Box<CrlSchemeError>,
        /// Where the generations are listed.
        path: PathBuf,
    },
    /// The file and the ledger are not of one CA, or one of them is not what it was.
    #[error(
        "{}: it does not fit the store: {error}. One of both is of another time, as from a backup, or of another CA: \
         put there the file that belongs to the store",
        path.display()
    )]
    Contradicted {
        /// Which file.
        path: PathBuf,
        /// What differs.
        error: Box<CrlSchemeError>,
    },
    /// The file can't be read or written.
    #[error("{}: {detail}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The ledger could not be asked.
    #[error("store: {0}")]
    Store(#[from] StoreError),
}

/// Which of what certificates point to was configured, and is no default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// `crl.shards`.
    pub shards: bool,
    /// `status-url`.
    pub status_url: bool,
}

impl Configured {
    /// In this file.
    pub const fn of(file: &File) -> Self {
        Self { shards: file.crl.shards.is_some(), status_url: file.status_url.is_some() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Published {
    regime: String,
    /// What new certificates say.
    status_url: String,
    crl_shards: u16,
    /// All that certificates say. Before there could be several, there were none of these, but the two above.
    #[serde(default)]
    crl_generations: Vec<CrlGeneration>,
}

impl Published {
    fn of(regime: &str, scheme: &CrlScheme) -> Self {
        let CrlGeneration { shards, status_url, .. } = scheme.current().clone();
        let crl_generations = scheme.generations().to_vec();
        Self { regime: regime.to_owned(), status_url, crl_shards: shards, crl_generations }
    }

    fn scheme(&self) -> Result<CrlScheme, CrlSchemeError> {
        if self.crl_generations.is_empty() {
            return Ok(CrlScheme::new(self.crl_shards, self.status_url.clone()));
        }
        let same = |one: &&CrlGeneration| one.shards == self.crl_shards && one.status_url == self.status_url;
        let current = self.crl_generations.iter().rfind(same).map(|one| one.id);
        // One that there is not: nobody but a person has written that.
        let current = current.unwrap_or(CrlGenerationId(u16::MAX));
        CrlScheme::of_generations(self.crl_generations.clone(), current)
    }
}

/// Whether this folder is one of the configured regime: a root that is trusted must not issue for tests, nor that of
/// tests be trusted.
///
/// # Errors
/// It is of another, or that can't be read.
pub fn require_regime(config: &Config) -> Result<(), PublishedError> {
    let path = path(config);
    let wanted = config.regime.name().to_owned();
    match read(&path)? {
        Some((Published { regime: published, .. }, _)) if published != wanted => {
            Err(PublishedError::Regime { wanted, published, path })
        }
        Some(_) | None => Ok(()),
    }
}

/// The configuration with the CRL shards that certificates have come to point to, of this folder and of its ledger, and
/// with those that new ones get: as they were, where nothing is configured, so that a default that has changed, such as
/// this host's name, gives way; or else what is configured, in a generation that was so before, or in a new one. What
/// is new is kept in the ledger, and then in the folder.
///
/// # Errors
/// See [`PublishedError`].
pub async fn settle(config: &Config, ledger: &dyn Ledger, now: Timestamp) -> Result<Config, PublishedError> {
    let path = path(config);
    let published = read(&path)?;
    let (known, recorded) = joined(&path, published.as_ref().map(|(_, scheme)| scheme), ledger).await?;
    let asked = config.settings.crls.current();
    let scheme = match &known {
        None => {
            let first = CrlGeneration { since: Some(now), ..asked.clone() };
            CrlScheme::of_generations(vec![first], asked.id).map_err(|error| contradicted(&path, error))?
        }
        Some(known) => {
            let (configured, current) = (config.configured, known.current());
            let shards = if configured.shards { asked.shards } else { current.shards };
            let status_url = if configured.status_url { &asked.status_url } else { &current.status_url };
            let changed = known.clone().changed_to(shards, status_url, now);
            let status_url = status_url.clone();
            changed.map_err(|error| PublishedError::NoMore {
                shards,
                status_url,
                error: Box::new(error),
                path: path.clone(),
            })?
        }
    };
    // The ledger comes first: of two processes, one has its way there.
    for generation in scheme.generations().iter().filter(|one| recorded.iter().all(|known| known.id != one.id)) {
        let standing = ledger.add_crl_generation(generation.clone()).await?;
        scheme.clone().with(&[standing]).map_err(|error| contradicted(&path, error))?;
    }
    if published.is_none_or(|(_, published)| published != scheme) {
        write(&path, &Published::of(config.regime.name(), &scheme))
            .map_err(|error| PublishedError::File { path: path.clone(), detail: error.to_string() })?;
    }
    if known.is_some_and(|known| known.current() != scheme.current()) {
        let CrlGeneration { id, shards, status_url, .. } = scheme.current();
        let last = id.0.saturating_add(shards.saturating_sub(1));
        tracing::info!(
            first = id.0, last, url = %status_url,
            "new certificates say these CRL shards; the CRLs of earlier ones go on until the last of those has ended"
        );
    }
    Ok(with(config.clone(), scheme))
}

/// The configuration of a command that works in this folder: what was published counts, whatever else is configured.
///
/// # Errors
/// The file can't be read.
pub fn adopt(mut config: Config) -> Result<Config, PublishedError> {
    let path = path(&config);
    let Some((Published { regime, .. }, scheme)) = read(&path)? else { return Ok(config) };
    config.regime = regime.parse().map_err(|detail| PublishedError::File { path, detail })?;
    config.configured = Configured::default();
    Ok(with(config, scheme))
}

/// The same, with what the folder's ledger has beyond it.
///
/// # Errors
/// See [`PublishedError`].
pub async fn adopt_with(config: Config, ledger: &dyn Ledger) -> Result<Config, PublishedError> {
    let path = path(&config);
    let published = read(&path)?.map(|(_, scheme)| scheme);
    let (known, _) = joined(&path, published.as_ref(), ledger).await?;
    let config = adopt(config)?;
    Ok(match known {
        Some(scheme) => with(config, scheme),
        None => config,
    })
}

/// What folder and ledger know together, and what the ledger does.
async fn joined(
    path: &Path,
    published: Option<&CrlScheme>,
    ledger: &dyn Ledger,
) -> Result<(Option<CrlScheme>, Vec<CrlGeneration>), PublishedError> {
    let recorded: Vec<CrlGeneration> =
        ledger.crl_generations().await?.into_iter().map(|known| known.generation).collect();
    let scheme = match (published, recorded.last()) {
        (Some(published), _) => Some(published.clone().with(&recorded)),
        (None, Some(last)) => Some(CrlScheme::of_generations(recorded.clone(), last.id)),
        (None, None) => None,
    };
    Ok((scheme.transpose().map_err(|error| contradicted(path, error))?, recorded))
}

fn with(mut config: Config, scheme: CrlScheme) -> Config {
    config.settings.status_url.clone_from(&scheme.current().status_url);
    config.settings.crls = scheme;
    config
}

fn path(config: &Config) -> PathBuf {
    config.data.join(FILE_NAME)
}

fn contradicted(path: &Path, error: CrlSchemeError) -> PublishedError {
    PublishedError::Contradicted { path: path.to_owned(), error: Box::new(error) }
}

fn read(path: &Path) -> Result<Option<(Published, CrlScheme)>, PublishedError> {
    let file_error = |detail: String| PublishedError::File { path: path.to_owned(), detail };
    match fs::read_to_string(path) {
        Ok(text) => {
            let published: Published = toml::from_str(&text).map_err(|error| file_error(error.message().to_owned()))?;
            let scheme = published.scheme().map_err(|error| file_error(error.to_string()))?;
            Ok(Some((published, scheme)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(error.to_string())),
    }
}

fn write(path: &Path, published: &Published) -> std::io::Result<()> {
    let part = part_of(path);
    let mut file = fs::File::create(&part)?;
    let text = toml::to_string(published).map_err(std::io::Error::other)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    fs::File::open(folder_of(path))?.sync_all()
}

#[cfg(test)]
mod tests;
