//! What a CA is trusted for and its certificates point to, and so can't be changed later: the regime, the status URL
//! and the number of CRL shards, kept in the data folder from the first start on.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Config;

const FILE_NAME: &str = "published.toml";

/// Why the CA can't go on with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// The configuration names another value than certificates do.
    #[error(
        "{key} is {wanted}, but this CA was begun with {published}, as {} has it: put it back, or use another data \
         folder",
        path.display()
    )]
    Differs {
        /// The key.
        key: &'static str,
        /// What the configuration says.
        wanted: String,
        /// What certificates say.
        published: String,
        /// Where that is kept.
        path: PathBuf,
    },
    /// The file can't be read or written.
    #[error("{}: {detail}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Published {
    regime: String,
    status_url: String,
    crl_shards: u16,
}

/// The configuration with what was published: kept at the first start, and from then on the same. A default that has
/// changed, such as this host's name, gives way; a value that was configured must not differ.
///
/// # Errors
/// See [`PublishedError`].
pub fn keep(config: &Config) -> Result<Config, PublishedError> {
    let path = config.data.join(FILE_NAME);
    let wanted = Published {
        regime: config.regime.name().to_owned(),
        status_url: config.settings.status_url.clone(),
        crl_shards: config.settings.crl_shards,
    };
    let file_error = |detail: String| PublishedError::File { path: path.clone(), detail };
    let published = match read(&path)? {
        Some(published) => published,
        None => {
            write(&path, &wanted).map_err(|error| file_error(error.to_string()))?;
            wanted.clone()
        }
    };
    let differs = |key, wanted: &str, published: &str| PublishedError::Differs {
        key,
        wanted: wanted.to_owned(),
        published: published.to_owned(),
        path: path.clone(),
    };
    // A root that is trusted must not issue for tests, nor that of tests be trusted.
    if published.regime != wanted.regime {
        return Err(differs("regime", &wanted.regime, &published.regime));
    }
    if config.status_url_configured && published.status_url != wanted.status_url {
        return Err(differs("status-url", &wanted.status_url, &published.status_url));
    }
    if published.crl_shards != wanted.crl_shards {
        let (wanted, published) = (wanted.crl_shards.to_string(), published.crl_shards.to_string());
        return Err(differs("crl.shards", &wanted, &published));
    }
    let mut config = config.clone();
    config.settings.status_url = published.status_url;
    Ok(config)
}

/// The configuration of a command that works in this folder: what was published counts, whatever else is configured.
///
/// # Errors
/// The file can't be read.
pub fn adopt(mut config: Config) -> Result<Config, PublishedError> {
    let path = config.data.join(FILE_NAME);
    if let Some(Published { regime, status_url, crl_shards }) = read(&path)? {
        config.regime = regime.parse().map_err(|detail| PublishedError::File { path, detail })?;
        config.settings.status_url = status_url;
        config.settings.crl_shards = crl_shards;
        config.status_url_configured = false;
    }
    Ok(config)
}

fn read(path: &Path) -> Result<Option<Published>, PublishedError> {
    let file_error = |detail: String| PublishedError::File { path: path.to_owned(), detail };
    match fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map(Some).map_err(|error| file_error(error.message().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(error.to_string())),
    }
}

fn write(path: &Path, published: &Published) -> std::io::Result<()> {
    let part = path.with_extension("part");
    let mut file = fs::File::create(&part)?;
    let text = toml::to_string(published).map_err(std::io::Error::other)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Choices, parse};

    fn config(data: &Path, text: &str) -> Config {
        let file = parse(text, "cairn.toml").expect("a configuration");
        Config::new(data.to_owned(), &file, &Choices::default()).expect("a configuration")
    }

    #[test]
    fn what_certificates_say_outlives_a_changed_default() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = keep(&config(folder.path(), "[listen]\nstatus = \"127.0.0.1:1080\"")).expect("kept");
        let later = keep(&config(folder.path(), "[listen]\nstatus = \"127.0.0.1:1081\"")).expect("kept");
        assert_eq!(later.settings.status_url, first.settings.status_url);
    }

    #[test]
    fn a_command_takes_a_folder_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let begun = config(folder.path(), "regime = \"dev\"\nstatus-url = \"http://a.example\"\n[crl]\nshards = 7");
        keep(&begun).expect("kept");
        let adopted = adopt(config(folder.path(), "")).expect("adopted");
        assert_eq!(keep(&adopted).expect("nothing differs").settings.crl_shards, 7);
        assert_eq!(adopted.settings.status_url, "http://a.example");
    }

    #[test]
    fn a_ca_for_tests_and_one_to_be_trusted_share_no_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        keep(&config(folder.path(), "")).expect("kept");
        let error = keep(&config(folder.path(), "regime = \"dev\"")).expect_err("another regime").to_string();
        assert!(error.contains("regime is dev"), "{error}");
    }

    #[test]
    fn a_configured_value_that_differs_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        keep(&config(folder.path(), "status-url = \"http://a.example\"")).expect("kept");
        for (text, key) in [("status-url = \"http://b.example\"", "status-url"), ("[crl]\nshards = 5", "crl.shards")] {
            let error = keep(&config(folder.path(), text)).expect_err(text).to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
