//! The keys of the built-in logs: `log-N.pem`. A log that has ended keeps its key beside, as `log-N.retired-ID.pem`, so
//! that what it promised can still be verified; it signs nothing any more.

use std::fs;
use std::io;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use keys::{KeyFile, KeyPair};
use pki::{LogId, PublicKey};

use super::{Files, HierarchyError};

const PREFIX: &str = "log-";
const RETIRED: &str = ".retired-";
const SUFFIX: &str = ".pem";
/// Octets of a log's id that tell its file from others.
const ID_OCTETS: usize = 8;

/// A built-in log that has ended.
#[derive(Clone, Debug)]
pub struct RetiredLog {
    /// The file of its key, without `.pem`.
    pub name: String,
    /// Its key.
    pub key: PublicKey,
}

/// The ids of all logs that have not ended.
///
/// # Errors
/// A key can't be read.
pub fn ids(files: &Files) -> Result<Vec<LogId>, HierarchyError> {
    let names = names(files)?.into_iter().filter(|name| !name.contains(RETIRED));
    names.map(|name| Ok(LogId::of(load(files, &name)?.public_key()))).collect()
}

/// The logs that have ended.
///
/// # Errors
/// A key can't be read.
pub fn retired(files: &Files) -> Result<Vec<RetiredLog>, HierarchyError> {
    let names = names(files)?.into_iter().filter(|name| name.contains(RETIRED));
    names.map(|name| Ok(RetiredLog { key: load(files, &name)?.public_key().clone(), name })).collect()
}

/// Moves the keys of these logs aside: whoever looks for them finds none, and makes new ones. Done again, it changes
/// nothing. The new names are answered.
///
/// # Errors
/// A key can't be read, or its file not renamed.
pub fn put_aside(files: &Files, ended: &[LogId]) -> Result<Vec<PathBuf>, HierarchyError> {
    let mut moved = Vec::new();
    if ended.is_empty() {
        return Ok(moved);
    }
    for name in names(files)?.into_iter().filter(|name| !name.contains(RETIRED)) {
        let id = LogId::of(load(files, &name)?.public_key());
        if ended.contains(&id) {
            let from = files.keys.join(format!("{name}{SUFFIX}"));
            let id = HEXLOWER.encode(&id.0[..ID_OCTETS]);
            let to = files.keys.join(format!("{name}{RETIRED}{id}{SUFFIX}"));
            let failed = |doing, error| HierarchyError::File { path: from.clone(), doing, error };
            fs::rename(&from, &to).map_err(|error| failed("moving it aside", error))?;
            fs::File::open(&files.keys)
                .and_then(|folder| folder.sync_all())
                .map_err(|error| failed("syncing the folder of", error))?;
            moved.push(to);
        }
    }
    Ok(moved)
}

fn load(files: &Files, name: &str) -> Result<KeyPair, HierarchyError> {
    Ok(KeyFile::new(files.keys.join(format!("{name}{SUFFIX}"))).load()?)
}

/// The files of logs' keys, without `.pem`, sorted.
fn names(files: &Files) -> Result<Vec<String>, HierarchyError> {
    let failed = |error| HierarchyError::File { path: files.keys.clone(), doing: "reading the folder", error };
    let entries = match fs::read_dir(&files.keys) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_str().filter(|name| name.starts_with(PREFIX)).and_then(|name| name.strip_suffix(SUFFIX));
        names.extend(name.map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}
