//! Instances: a data folder held by an exclusive lock, one process at a time, with an id kept in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ca::InstanceId;
use ca::ports::Random;

const ID_FILE: &str = "instance";
const ID_FILE_NEW: &str = "instance.new";
const LOCK_FILE: &str = "lock";
/// What may stand in a folder that is still to become an instance's.
const HARMLESS: [&str; 3] = [ID_FILE_NEW, LOCK_FILE, "lost+found"];
const OURS_ONLY: u32 = 0o700;

/// A data folder that this process holds. The lock lives as long as this value, and ends with the process however it
/// dies.
#[derive(Debug)]
pub struct Instance {
    id: InstanceId,
    folder: PathBuf,
    lock: File,
    died: Option<u32>,
}

/// The lock of a data folder whose process never returns. Ends with this value.
#[derive(Debug)]
pub struct Held {
    // Never read: held for its lock.
    _lock: File,
}

/// Why a data folder can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The folder holds something, and nothing of it is ours.
    #[error(
        "{folder} is not empty (it holds {found:?}) and no data folder of Cairn's: name another folder, one that is \
         empty or does not exist yet"
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// Another process holds the folder.
    #[error(
        "{folder} is held by another process{}: stop that one first, or name another folder",
        pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// That process, if it has told.
        pid: Option<u32>,
    },
    /// The folder is not there.
    #[error(
        "{folder} is no data folder of Cairn's: it has no file `instance`; `cairn serve` makes one at its first start"
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// The id in the folder makes no sense.
    #[error("{path} holds no instance id (32 hexadecimal digits): bring the file back from a backup")]
    NoId {
        /// The file.
        path: PathBuf,
    },
    /// No room is left.
    #[error("cannot {doing} {path}: the disk is full; make room, and start again")]
    Full {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl Instance {
    /// Takes a data folder: makes it (mode 0700) if it isn't there, takes its lock, and draws its id at the first
    /// start.
    pub fn take(folder: &Path, random: &dyn Random) -> Result<Self, InstanceError> {
        DirBuilder::new()
            .recursive(true)
            .mode(OURS_ONLY)
            .create(folder)
            .map_err(|source| failed("make the folder", folder, source))?;
        refuse_foreign(folder)?;
        Self::take_own(folder, random)
    }

    /// Takes a folder into which the store of an instance was moved without that instance's id: it gets one of its own.
    /// One that has an id keeps it.
    ///
    /// # Errors
    /// `Missing`: there is no store of this name.
    pub fn take_moved(folder: &Path, store: &str, random: &dyn Random) -> Result<Self, InstanceError> {
        if !folder.join(ID_FILE).exists() && !folder.join(store).exists() {
            return Err(InstanceError::Missing { folder: folder.to_owned() });
        }
        Self::take_own(folder, random)
    }

    fn take_own(folder: &Path, random: &dyn Random) -> Result<Self, InstanceError> {
        fs::set_permissions(folder, fs::Permissions::from_mode(OURS_ONLY))
            .map_err(|source| failed("set mode 0700 on", folder, source))?;
        let (lock, died) = take_lock(folder)?;
        let id = match read_id(folder) {
            Err(InstanceError::Missing { .. }) => make_id(folder, random)?,
            other => other?,
        };
        Ok(Self { id, folder: folder.to_owned(), lock, died })
    }

    /// Holds the lock of another instance's folder, so that its process can't run meanwhile. `None`: the folder has no
    /// lock, so no process ever ran in it. Nothing in it is changed.
    ///
    /// # Errors
    /// `Locked`: its process runs.
    pub fn hold(folder: &Path) -> Result<Option<Held>, InstanceError> {
        let path = folder.join(LOCK_FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed("open", &path, source)),
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(Held { _lock: file })),
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
                Err(InstanceError::Locked { folder: folder.to_owned(), pid })
            }
            Err(TryLockError::Error(source)) => Err(failed("lock", &path, source)),
        }
    }

    /// The process that held the folder before and did not give it back in order: it was killed, or the machine was.
    pub const fn died(&self) -> Option<u32> {
        self.died
    }

    /// The id kept in a data folder, without taking the folder: for commands that only read.
    pub fn peek(folder: &Path) -> Result<InstanceId, InstanceError> {
        read_id(folder)
    }

    /// The id kept in the folder.
    pub const fn id(&self) -> InstanceId {
        self.id
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Whoever gives a folder back in order leaves no pid in it.
impl Drop for Instance {
    fn drop(&mut self) {
        if let Err(error) = self.lock.set_len(0) {
            tracing::warn!(folder = %self.folder.display(), %error, "the lock file could not be emptied");
        }
    }
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> InstanceError {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::StorageFull {
        return InstanceError::Full { doing, path };
    }
    InstanceError::Io { doing, path, source }
}

fn refuse_foreign(folder: &Path) -> Result<(), InstanceError> {
    let mut stranger = None;
    for entry in fs::read_dir(folder).map_err(|source| failed("read the folder", folder, source))? {
        let entry = entry.map_err(|source| failed("read the folder", folder, source))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == ID_FILE {
            return Ok(());
        }
        if !HARMLESS.contains(&name.as_str()) {
            stranger = Some(name);
        }
    }
    stranger.map_or(Ok(()), |found| Err(InstanceError::Foreign { folder: folder.to_owned(), found }))
}

/// The lock, and the process that had it and did not give it back.
fn take_lock(folder: &Path) -> Result<(File, Option<u32>), InstanceError> {
    let path = folder.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| failed("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Whoever holds the lock may be writing its pid at this moment: then the message does without.
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(InstanceError::Locked { folder: folder.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", &path, source)),
    }
    let died = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    let pid = format!("{}\n", std::process::id());
    // Cut last: on a full disk what the process before has left stays as it is.
    file.write_all(pid.as_bytes())
        .and_then(|()| file.set_len(pid.len() as u64))
        .map_err(|source| failed("write the pid to", &path, source))?;
    Ok((file, died))
}

fn read_id(folder: &Path) -> Result<InstanceId, InstanceError> {
    let path = folder.join(ID_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => text.trim_end().parse().map_err(|_| InstanceError::NoId { path }),
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            Err(InstanceError::Missing { folder: folder.to_owned() })
        }
        Err(source) => Err(failed("read", &path, source)),
    }
}

/// The id appears whole or not at all, and is on disk before anything is made that names it.
fn make_id(folder: &Path, random: &dyn Random) -> Result<InstanceId, InstanceError> {
    let id = InstanceId::random(random);
    let (new, path) = (folder.join(ID_FILE_NEW), folder.join(ID_FILE));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(format!("{id}\n").as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, &path))
        .and_then(|()| File::open(folder)?.sync_all());
    written.map(|()| id).map_err(|source| failed("write", &path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Sevens;

    impl Random for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    #[derive(Debug)]
    struct Eights;

    impl Random for Eights {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(8);
        }
    }

    #[test]
    fn id_is_drawn_once_and_kept() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("new/data");
        assert!(matches!(Instance::peek(&folder), Err(InstanceError::Missing { .. })));
        let first = Instance::take(&folder, &Sevens).unwrap();
        assert_eq!(first.id(), InstanceId::from_bytes([7; 16]));
        assert_eq!(first.folder(), folder);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        drop(first);
        let again = Instance::take(&folder, &Eights).unwrap();
        assert_eq!(again.id(), InstanceId::from_bytes([7; 16]));
        assert_eq!(Instance::peek(&folder).unwrap(), again.id());
    }

    #[test]
    fn folder_is_held_by_one_at_a_time_and_the_holder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let held = Instance::take(folder.path(), &Sevens).unwrap();
        let refused = Instance::take(folder.path(), &Sevens).unwrap_err();
        assert!(refused.to_string().contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(held);
        assert!(Instance::take(folder.path(), &Sevens).is_ok());
    }

    #[test]
    fn end_that_was_not_in_order_is_noticed_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        drop(Instance::take(folder.path(), &Sevens).unwrap());
        let held = Instance::take(folder.path(), &Sevens).unwrap();
        assert_eq!(held.died(), None);
        // A killed process leaves its pid behind.
        let left = fs::read(folder.path().join(LOCK_FILE)).unwrap();
        drop(held);
        fs::write(folder.path().join(LOCK_FILE), left).unwrap();
        assert_eq!(Instance::take(folder.path(), &Sevens).unwrap().died(), Some(std::process::id()));
        assert_eq!(Instance::take(folder.path(), &Sevens).unwrap().died(), None);
    }

    #[test]
    fn folder_of_another_is_held_as_long_as_its_log_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Instance::hold(folder.path()).unwrap().is_none(), "nobody ever ran there");
        let running = Instance::take(folder.path(), &Sevens).unwrap();
        assert!(matches!(Instance::hold(folder.path()), Err(InstanceError::Locked { pid: Some(_), .. })));
        drop(running);
        let held = Instance::hold(folder.path()).unwrap();
        assert!(held.is_some() && Instance::take(folder.path(), &Sevens).is_err());
        drop(held);
        assert!(Instance::take(folder.path(), &Sevens).is_ok());
    }

    #[test]
    fn moved_store_gets_an_id_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let refused = Instance::take_moved(folder.path(), "cairn.db", &Sevens);
        assert!(matches!(refused, Err(InstanceError::Missing { .. })));
        fs::write(folder.path().join("cairn.db"), "a store").unwrap();
        assert!(matches!(Instance::take(folder.path(), &Sevens), Err(InstanceError::Foreign { .. })));
        let moved = Instance::take_moved(folder.path(), "cairn.db", &Sevens).unwrap().id();
        assert_eq!(Instance::take(folder.path(), &Eights).unwrap().id(), moved);
    }

    #[test]
    fn foreign_folder_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
        let refused = Instance::take(folder.path(), &Sevens).unwrap_err();
        assert!(matches!(&refused, InstanceError::Foreign { found, .. } if found == "thesis.txt"), "{refused}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn first_start_that_was_cut_off_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LOCK_FILE), "4711\n").unwrap();
        fs::write(folder.path().join(ID_FILE_NEW), "0707").unwrap();
        assert!(Instance::take(folder.path(), &Sevens).is_ok());
    }

    #[test]
    fn damaged_id_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        drop(Instance::take(folder.path(), &Sevens).unwrap());
        fs::write(folder.path().join(ID_FILE), "nonsense").unwrap();
        assert!(matches!(Instance::take(folder.path(), &Sevens), Err(InstanceError::NoId { .. })));
    }
}
