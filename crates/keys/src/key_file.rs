//! Key files: PKCS#8 in PEM (RFC 7468 §10), readable by their owner alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use pem_rfc7468::LineEnding;
use zeroize::Zeroizing;

use crate::{KeyAlgorithm, KeyPair, KeyPairError};

/// The longest key file that is read, in octets: RSA of 8192 bits takes 6,400.
pub const KEY_FILE_OCTETS_MAX: u64 = 16 * 1024;

const LABEL: &str = "PRIVATE KEY";
/// Behind the name of a key file, while it is written.
const DRAFT: &str = ".new";

/// A key file could not be read or written: which one, what is wrong, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("key file {}: {fault}", path.display())]
pub struct KeyFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: KeyFileFault,
}

/// What is wrong with a key file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileFault {
    /// There is none.
    #[error("it does not exist; make the key, or correct the path")]
    Missing,
    /// There is one already; a key is never overwritten.
    #[error("it exists already, and a key is never overwritten; move it away first")]
    Exists,
    /// A folder, a socket or the like.
    #[error("it is not a regular file")]
    NotAFile,
    /// Others than its owner may read or write it.
    #[error("its mode {mode:04o} lets others than its owner in; `chmod 600` it, and think about who may have read it")]
    TooOpen {
        /// The mode's permission bits.
        mode: u32,
    },
    /// Others than its owner may put files into its folder.
    #[error("its folder's mode {mode:04o} lets others than its owner write; `chmod 700` the folder")]
    FolderTooOpen {
        /// The mode's permission bits.
        mode: u32,
    },
    /// Longer than any key.
    #[error("it is longer than {KEY_FILE_OCTETS_MAX} octets, which no key is")]
    TooLong,
    /// Not PEM.
    #[error("it is not PEM ({0}); expected one \"-----BEGIN PRIVATE KEY-----\" block (PKCS#8)")]
    NotPem(pem_rfc7468::Error),
    /// PEM of something else.
    #[error("it holds a {0:?}; expected \"PRIVATE KEY\": `openssl pkcs8 -topk8 -nocrypt` converts other private keys")]
    WrongLabel(String),
    /// No key that we can use.
    #[error(transparent)]
    Key(KeyPairError),
    /// The operating system refused.
    #[error("can't {what}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        error: io::Error,
    },
}

impl KeyFileFault {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { what, error }
    }
}

/// A place for one private key on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The key file at this path, whether it exists or not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is something at this path.
    ///
    /// # Errors
    /// If that can't be seen.
    pub fn exists(&self) -> Result<bool, KeyFileError> {
        self.path.try_exists().map_err(|error| self.fault(KeyFileFault::Io { what: "look for it", error }))
    }

    /// Reads the key.
    ///
    /// # Errors
    /// A file that isn't there, that others than its owner may read, or that holds no unencrypted PKCS#8 key.
    pub fn load(&self) -> Result<KeyPair, KeyFileError> {
        self.read().map_err(|fault| self.fault(fault))
    }

    /// Makes a key and writes it: when this returns, a power failure takes nothing of it away.
    ///
    /// # Errors
    /// A file that exists already, or that can't be written.
    pub fn generate(&self, algorithm: KeyAlgorithm) -> Result<KeyPair, KeyFileError> {
        let pair = KeyPair::generate(algorithm).map_err(|error| self.fault(KeyFileFault::Key(error)))?;
        self.store(&pair)?;
        Ok(pair)
    }

    /// Reads the key; makes it if there is none. Answers also whether it was made now.
    ///
    /// # Errors
    /// As [`KeyFile::load`] and [`KeyFile::generate`]. A damaged file is never replaced.
    pub fn load_or_generate(&self, algorithm: KeyAlgorithm) -> Result<(KeyPair, bool), KeyFileError> {
        if self.exists()? { Ok((self.load()?, false)) } else { Ok((self.generate(algorithm)?, true)) }
    }

    /// Writes a key, whole or not at all, with mode 0600, in a folder that is made with mode 0700 if there is none;
    /// synced when this returns. What stands there is never overwritten.
    ///
    /// # Errors
    /// A file that exists already, or that can't be written.
    pub fn store(&self, pair: &KeyPair) -> Result<(), KeyFileError> {
        self.write(pair).map_err(|fault| self.fault(fault))
    }

    /// Removes what a process that died while it wrote a key has left in this folder: drafts, which nothing uses. Only
    /// for who knows that nobody else writes keys there. How many there were.
    ///
    /// # Errors
    /// A draft that can't be removed. A folder that isn't there has none.
    pub fn remove_drafts(folder: &Path) -> Result<usize, KeyFileError> {
        let failed =
            |what| move |error| KeyFileError { path: folder.to_owned(), fault: KeyFileFault::Io { what, error } };
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(failed("list the folder of keys")(error)),
        };
        let mut removed = 0;
        for entry in entries {
            let entry = entry.map_err(failed("list the folder of keys"))?;
            let is_draft = entry
                .file_name()
                .to_str()
                .and_then(|name| name.strip_suffix(DRAFT))
                .is_some_and(|key| Path::new(key).extension().is_some_and(|extension| extension == "pem"));
            if is_draft {
                fs::remove_file(entry.path()).map_err(failed("remove an unfinished draft in it"))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Puts this file in the place of another one in its folder, whose key is gone then: both are on disk as they are
    /// when this returns.
    ///
    /// # Errors
    /// The operating system refused.
    pub fn replace(&self, other: &Self) -> Result<(), KeyFileError> {
        let folder = self.folder().map_err(|fault| self.fault(fault))?;
        fs::rename(&self.path, &other.path)
            .and_then(|()| File::open(&folder)?.sync_all())
            .map_err(|error| self.fault(KeyFileFault::Io { what: "put it in the place of another", error }))
    }

    fn fault(&self, fault: KeyFileFault) -> KeyFileError {
        KeyFileError { path: self.path.clone(), fault }
    }

    fn read(&self) -> Result<KeyPair, KeyFileFault> {
        let file = File::open(&self.path).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                KeyFileFault::Missing
            } else {
                KeyFileFault::Io { what: "open it", error }
            }
        })?;
        // Of the open file, not of the path: nobody can exchange it between the check and the reading.
        let metadata = file.metadata().map_err(KeyFileFault::io("examine it"))?;
        if !metadata.is_file() {
            return Err(KeyFileFault::NotAFile);
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyFileFault::TooOpen { mode });
        }
        if metadata.len() > KEY_FILE_OCTETS_MAX {
            return Err(KeyFileFault::TooLong);
        }
        // Allocated once: a buffer that grows leaves uncleared copies behind.
        let room = usize::try_from(KEY_FILE_OCTETS_MAX).unwrap_or(usize::MAX);
        let mut pem = Zeroizing::new(Vec::with_capacity(room));
        file.take(KEY_FILE_OCTETS_MAX).read_to_end(&mut pem).map_err(KeyFileFault::io("read it"))?;
        decode(&pem)
    }

    fn write(&self, pair: &KeyPair) -> Result<(), KeyFileFault> {
        let der = pair.to_pkcs8_der().map_err(KeyFileFault::Key)?;
        let pem = pem_rfc7468::encode_string(LABEL, LineEnding::LF, &der).map_err(KeyFileFault::NotPem)?;
        let pem = Zeroizing::new(pem);
        let folder = self.folder()?;
        let mut draft = self.path.clone().into_os_string();
        draft.push(DRAFT);
        let draft = PathBuf::from(draft);
        match fs::remove_file(&draft) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(KeyFileFault::Io { what: "remove an unfinished draft of it", error }),
        }
        let outcome = write_draft(&draft, pem.as_bytes()).and_then(|()| {
            // A link and not a rename: it fails where a file stands, and of two writers one wins.
            fs::hard_link(&draft, &self.path).map_err(|error| {
                if error.kind() == io::ErrorKind::AlreadyExists {
                    KeyFileFault::Exists
                } else {
                    KeyFileFault::Io { what: "put it in its place", error }
                }
            })
        });
        let removed = fs::remove_file(&draft).map_err(KeyFileFault::io("remove its draft"));
        outcome?;
        removed?;
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(KeyFileFault::io("sync its folder"))
    }

    /// The folder it stands in, made if there is none.
    fn folder(&self) -> Result<PathBuf, KeyFileFault> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            Some(_) | None => PathBuf::from("."),
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(KeyFileFault::io("make its folder"))?;
        let mode = fs::metadata(&folder).map_err(KeyFileFault::io("examine its folder"))?.mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(KeyFileFault::FolderTooOpen { mode });
        }
        Ok(folder)
    }
}

fn write_draft(path: &Path, contents: &[u8]) -> Result<(), KeyFileFault> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(KeyFileFault::io("make a draft of it"))?;
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(KeyFileFault::io("write it"))
}

fn decode(pem: &[u8]) -> Result<KeyPair, KeyFileFault> {
    let label = pem_rfc7468::decode_label(pem).map_err(KeyFileFault::NotPem)?;
    if label != LABEL {
        return Err(KeyFileFault::WrongLabel(label.to_owned()));
    }
    let mut room = Zeroizing::new(vec![0; pem.len()]);
    let (_, der) = pem_rfc7468::decode(pem, &mut room).map_err(KeyFileFault::NotPem)?;
    KeyPair::from_pkcs8_der(der).map_err(KeyFileFault::Key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn file_with(contents: &[u8]) -> (tempfile::TempDir, KeyFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        write_draft(&path, contents).unwrap();
        (folder, KeyFile::new(path))
    }

    #[test]
    fn drafts_of_writers_that_died_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(KeyFile::remove_drafts(&folder.path().join("keys")).unwrap(), 0);
        let file = KeyFile::new(folder.path().join("issuer.pem"));
        file.generate(KeyAlgorithm::P256).unwrap();
        for name in ["issuer.pem.new", "root.pem.new", "notes.new"] {
            fs::write(folder.path().join(name), "half a k").unwrap();
        }
        assert_eq!(KeyFile::remove_drafts(folder.path()).unwrap(), 2);
        assert!(file.load().is_ok() && folder.path().join("notes.new").exists());
        assert!(!folder.path().join("issuer.pem.new").exists());
    }

    #[test]
    fn a_key_can_take_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (KeyFile::new(folder.path().join("old.pem")), KeyFile::new(folder.path().join("new.pem")));
        old.generate(KeyAlgorithm::Ed25519).unwrap();
        let made = new.generate(KeyAlgorithm::Ed25519).unwrap();
        new.replace(&old).unwrap();
        assert_eq!(old.load().unwrap().public_key(), made.public_key());
        assert!(!new.exists().unwrap());
    }

    #[test]
    fn a_key_is_read_as_it_was_written_and_belongs_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("deep/keys/issuer.pem"));
        let (made, new) = file.load_or_generate(KeyAlgorithm::P384).unwrap();
        assert!(new);
        let (read, new) = file.load_or_generate(KeyAlgorithm::P256).unwrap();
        assert!(!new);
        assert_eq!(read.public_key(), made.public_key());
        assert_eq!(mode(file.path()), 0o600);
        assert_eq!(mode(file.path().parent().unwrap()), 0o700);
        let names: Vec<_> =
            fs::read_dir(file.path().parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["issuer.pem"], "nothing else is left in the folder");
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("key.pem"));
        let first = file.generate(KeyAlgorithm::P256).unwrap();
        let error = file.generate(KeyAlgorithm::P256).unwrap_err();
        assert!(matches!(error.fault, KeyFileFault::Exists), "{error}");
        assert_eq!(file.load().unwrap().public_key(), first.public_key());
    }

    #[test]
    fn a_draft_left_by_a_power_failure_is_no_key_and_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("key.pem"));
        write_draft(&folder.path().join("key.pem.new"), b"-----BEGIN PRIV").unwrap();
        assert!(!file.exists().unwrap());
        file.generate(KeyAlgorithm::P256).unwrap();
        file.load().unwrap();
        assert!(!folder.path().join("key.pem.new").exists());
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("key.pem"));
        file.generate(KeyAlgorithm::P256).unwrap();
        for open in [0o644, 0o640, 0o604, 0o602, 0o620] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(open)).unwrap();
            let error = file.load().unwrap_err();
            assert!(matches!(error.fault, KeyFileFault::TooOpen { mode } if mode == open), "{error}");
            assert!(error.to_string().contains(&format!("{open:04o}")), "{error}");
        }
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o400)).unwrap();
        file.load().unwrap();
    }

    #[test]
    fn a_folder_that_others_may_write_to_takes_no_key() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let file = KeyFile::new(folder.path().join("key.pem"));
        let error = file.generate(KeyAlgorithm::P256).unwrap_err();
        assert!(matches!(error.fault, KeyFileFault::FolderTooOpen { mode: 0o777 }), "{error}");
        assert!(!file.exists().unwrap());
    }

    #[test]
    fn errors_name_the_file_and_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let missing = KeyFile::new(folder.path().join("none.pem")).load().unwrap_err();
        assert!(matches!(missing.fault, KeyFileFault::Missing), "{missing}");
        assert!(missing.to_string().contains("none.pem"), "{missing}");
        let (_folder, file) = file_with(b"no key at all");
        assert!(matches!(file.load().unwrap_err().fault, KeyFileFault::NotPem(_)));
        let (_folder, file) = file_with(b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n");
        let error = file.load().unwrap_err();
        assert!(matches!(&error.fault, KeyFileFault::WrongLabel(label) if label == "EC PRIVATE KEY"), "{error}");
        let (_folder, file) = file_with(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        assert!(matches!(file.load().unwrap_err().fault, KeyFileFault::Key(KeyPairError::Unreadable)));
        let (_folder, file) = file_with(&[b'a'; 17 * 1024]);
        assert!(matches!(file.load().unwrap_err().fault, KeyFileFault::TooLong));
        let folder_as_file = KeyFile::new(folder.path()).load().unwrap_err();
        assert!(matches!(folder_as_file.fault, KeyFileFault::NotAFile), "{folder_as_file}");
    }
}
