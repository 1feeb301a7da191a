//! Nonces (RFC 8555 §6.5) of the embedded store: sealed counters, and a file with one bit for each that was used.
//!
//! A use is one positional write of one octet, made before it is answered: a killed process forgets nothing. The file
//! is never synced: a power cut begins a new boot, and a new boot is a new epoch with a new key, whose beginning
//! refuses all nonces of the last one once.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use ca::ports::{NonceUse, Random, StoreError, StoreErrorKind, Stored};
use data_encoding::BASE64URL_NOPAD;
use pki::Sha256;

/// So many nonces are remembered, the latest ones: an older one is unknown.
pub const NONCES_REMEMBERED: u64 = 1 << 22;
/// Counters are taken in blocks of this many, so that a restarted process issues none again.
const BLOCK: u64 = 1 << 16;
const MAGIC: &[u8; 16] = b"cairn nonces 1\n\0";
const HEADER_OCTETS: usize = 16 + 32 + 8 + 32 + 8 + 32;
const BITS_AT: u64 = 4096;
const BITS_OCTETS: usize = (NONCES_REMEMBERED / 8) as usize;
const COUNTER_OCTETS: usize = 8;
const SEALED_OCTETS: usize = COUNTER_OCTETS + 16;

/// The nonces of one instance, issued and used up in one file of its data folder.
pub struct NonceFile {
    file: File,
    path: PathBuf,
    epoch: Epoch,
    sealing: LessSafeKey,
    state: Mutex<State>,
}

/// What all nonces of an epoch have in common.
struct Epoch {
    key: [u8; 32],
    id: [u8; 8],
    boot: Sha256,
}

struct State {
    /// The next counter to be issued.
    next: u64,
    /// Counters below this one were taken: they are never issued by a later process.
    taken: u64,
    /// One bit for each remembered counter, in a ring.
    used: Vec<u8>,
}

/// What stands in a header that makes sense.
struct Header {
    epoch: Epoch,
    taken: u64,
}

impl NonceFile {
    /// Opens the file, or begins a new epoch: if it isn't there, is damaged, or is of another boot of the machine.
    /// `boot_id` is anything that changes with every boot.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path, random: &dyn Random, boot_id: &str) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let boot = Sha256::of(boot_id.as_bytes());
        let (header, used) = match read_back(&file, boot)? {
            Some(found) => found,
            None => begin_epoch(&file, random, boot)?,
        };
        let Header { epoch, taken } = header;
        let sealing = UnboundKey::new(&AES_256_GCM_SIV, &epoch.key)
            .map(LessSafeKey::new)
            .map_err(|_| io::Error::other("AES-256-GCM-SIV does not take a key of 32 octets"))?;
        let state = Mutex::new(State { next: taken, taken, used });
        Ok(Self { file, path: path.to_owned(), epoch, sealing, state })
    }

    /// A new nonce: 32 characters of base64url.
    ///
    /// # Errors
    /// `Unavailable`: the file could not be written.
    pub fn issue(&self) -> Stored<String> {
        let counter = {
            let mut state = self.lock();
            if state.next == state.taken {
                self.take_block(&mut state).map_err(|error| self.unavailable(&error))?;
            }
            state.next += 1;
            state.next - 1
        };
        let mut sealed = [0; SEALED_OCTETS];
        let (text, room_for_tag) = sealed.split_at_mut(COUNTER_OCTETS);
        text.copy_from_slice(&counter.to_be_bytes());
        let tag = self
            .sealing
            .seal_in_place_separate_tag(no_nonce(), Aad::from(self.epoch.id), text)
            .map_err(|_| StoreError::new(StoreErrorKind::Unavailable, "a nonce could not be sealed"))?;
        room_for_tag.copy_from_slice(tag.as_ref());
        Ok(BASE64URL_NOPAD.encode(&sealed))
    }

    /// Uses a nonce up. Of any number of simultaneous calls with one nonce, one gets `Fresh`.
    ///
    /// # Errors
    /// `Unavailable`: the use could not be written; the nonce is lost to its client.
    pub fn use_up(&self, nonce: &str) -> Stored<NonceUse> {
        let Some(counter) = self.unseal(nonce) else {
            return Ok(NonceUse::Unknown);
        };
        let mut state = self.lock();
        if counter >= state.next || counter + NONCES_REMEMBERED < state.taken {
            return Ok(NonceUse::Unknown);
        }
        let (at, bit) = place(counter);
        if state.used[at] & bit != 0 {
            return Ok(NonceUse::Replayed);
        }
        state.used[at] |= bit;
        // Under the lock: two writes of one octet that overtook each other would forget a use.
        self.file.write_all_at(&state.used[at..=at], BITS_AT + at as u64).map_err(|error| self.unavailable(&error))?;
        Ok(NonceUse::Fresh)
    }

    fn unseal(&self, nonce: &str) -> Option<u64> {
        let mut sealed = [0; SEALED_OCTETS];
        if nonce.len() != BASE64URL_NOPAD.encode_len(SEALED_OCTETS) {
            return None;
        }
        BASE64URL_NOPAD.decode_mut(nonce.as_bytes(), &mut sealed).ok()?;
        let opened = self.sealing.open_in_place(no_nonce(), Aad::from(self.epoch.id), &mut sealed).ok()?;
        Some(u64::from_be_bytes(<[u8; COUNTER_OCTETS]>::try_from(&*opened).ok()?))
    }

    /// The header comes first: if the process dies between the two writes, the block is skipped and no used nonce
    /// becomes fresh.
    fn take_block(&self, state: &mut State) -> io::Result<()> {
        let taken = state.taken + BLOCK;
        self.file.write_all_at(&encode(&self.epoch, taken), 0)?;
        let (at, _) = place(state.taken);
        let end = at + (BLOCK / 8) as usize;
        state.used[at..end].fill(0);
        state.taken = taken;
        // Were this write lost, the new nonces of used places would be refused after a restart, and nothing worse.
        self.file.write_all_at(&state.used[at..end], BITS_AT + at as u64)
    }

    // What is done under the lock leaves a sound state at each point where it could panic.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unavailable(&self, error: &io::Error) -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, format!("cannot write {}: {error}", self.path.display()))
    }
}

impl fmt::Debug for NonceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NonceFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// All counters of a key are different, and GCM-SIV (RFC 8452) loses nothing but that equal texts are seen to be equal.
fn no_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn place(counter: u64) -> (usize, u8) {
    let slot = counter % NONCES_REMEMBERED;
    ((slot / 8) as usize, 1 << (slot % 8))
}

fn encode(epoch: &Epoch, taken: u64) -> [u8; HEADER_OCTETS] {
    let mut header = [0; HEADER_OCTETS];
    header[..16].copy_from_slice(MAGIC);
    header[16..48].copy_from_slice(&epoch.key);
    header[48..56].copy_from_slice(&epoch.id);
    header[56..88].copy_from_slice(epoch.boot.as_bytes());
    header[88..96].copy_from_slice(&taken.to_be_bytes());
    let checksum = Sha256::of(&header[..96]);
    header[96..].copy_from_slice(checksum.as_bytes());
    header
}

fn decode(header: &[u8; HEADER_OCTETS]) -> Option<Header> {
    if !header.starts_with(MAGIC) || Sha256::of(&header[..96]).as_bytes() != &header[96..] {
        return None;
    }
    let epoch = Epoch {
        key: header[16..48].try_into().ok()?,
        id: header[48..56].try_into().ok()?,
        boot: Sha256::from_bytes(header[56..88].try_into().ok()?),
    };
    let taken = u64::from_be_bytes(header[88..96].try_into().ok()?);
    taken.is_multiple_of(BLOCK).then_some(Header { epoch, taken })
}

/// `None`: nothing that can be gone on with.
fn read_back(file: &File, boot: Sha256) -> io::Result<Option<(Header, Vec<u8>)>> {
    if file.metadata()?.len() != BITS_AT + BITS_OCTETS as u64 {
        return Ok(None);
    }
    let mut header = [0; HEADER_OCTETS];
    file.read_exact_at(&mut header, 0)?;
    let Some(header) = decode(&header).filter(|header| header.epoch.boot == boot) else {
        return Ok(None);
    };
    let mut used = vec![0; BITS_OCTETS];
    file.read_exact_at(&mut used, BITS_AT)?;
    Ok(Some((header, used)))
}

fn begin_epoch(file: &File, random: &dyn Random, boot: Sha256) -> io::Result<(Header, Vec<u8>)> {
    let mut epoch = Epoch { key: [0; 32], id: [0; 8], boot };
    random.fill(&mut epoch.key);
    random.fill(&mut epoch.id);
    let used = vec![0; BITS_OCTETS];
    // Empty first and the header last: whatever this dies at, the next process finds no epoch that is half of another.
    file.set_len(0)?;
    // Written and not only set in length, so that the disk has room for every later use.
    file.write_all_at(&used, BITS_AT)?;
    file.write_all_at(&encode(&epoch, 0), 0)?;
    Ok((Header { epoch, taken: 0 }, used))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Counted(AtomicU8);

    impl Random for Counted {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
        }
    }

    struct Place {
        folder: tempfile::TempDir,
        random: Counted,
    }

    impl Place {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), random: Counted::default() }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("nonces")
        }

        fn open(&self, boot: &str) -> NonceFile {
            NonceFile::open(&self.path(), &self.random, boot).unwrap()
        }
    }

    #[test]
    fn nonce_is_good_once() {
        let nonces = Place::new().open("boot");
        let (first, second) = (nonces.issue().unwrap(), nonces.issue().unwrap());
        assert_ne!(first, second);
        assert_eq!(first.len(), 32);
        assert_eq!(nonces.use_up(&second), Ok(NonceUse::Fresh));
        assert_eq!(nonces.use_up(&first), Ok(NonceUse::Fresh));
        assert_eq!(nonces.use_up(&second), Ok(NonceUse::Replayed));
    }

    #[test]
    fn one_of_many_simultaneous_uses_wins() {
        let nonces = Place::new().open("boot");
        let issued: Vec<_> = (0..500).map(|_| nonces.issue().unwrap()).collect();
        let uses: Vec<Vec<NonceUse>> = std::thread::scope(|scope| {
            let users: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| issued.iter().map(|nonce| nonces.use_up(nonce).unwrap()).collect()))
                .collect();
            users.into_iter().map(|user| user.join().unwrap()).collect()
        });
        for number in 0..issued.len() {
            let fresh = uses.iter().filter(|uses| uses[number] == NonceUse::Fresh).count();
            assert_eq!(fresh, 1, "nonce {number}");
        }
    }

    #[test]
    fn restarted_process_remembers_and_issues_none_again() {
        let place = Place::new();
        let nonces = place.open("boot");
        let (used, unused) = (nonces.issue().unwrap(), nonces.issue().unwrap());
        assert_eq!(nonces.use_up(&used), Ok(NonceUse::Fresh));
        // What a kill leaves: nothing was closed or flushed in an orderly way.
        std::mem::forget(nonces);
        let nonces = place.open("boot");
        assert_eq!(nonces.use_up(&used), Ok(NonceUse::Replayed));
        assert_eq!(nonces.use_up(&unused), Ok(NonceUse::Fresh));
        let issued = nonces.issue().unwrap();
        assert!(issued != used && issued != unused);
        assert_eq!(nonces.use_up(&issued), Ok(NonceUse::Fresh));
    }

    #[test]
    fn another_boot_is_another_epoch() {
        let place = Place::new();
        let nonce = place.open("boot").issue().unwrap();
        let nonces = place.open("next boot");
        assert_eq!(nonces.use_up(&nonce), Ok(NonceUse::Unknown));
        let fresh = nonces.issue().unwrap();
        assert_eq!(nonces.use_up(&fresh), Ok(NonceUse::Fresh));
    }

    #[test]
    fn damaged_file_begins_another_epoch() {
        for damage in [0, 20, 50, 60, 95, 100] {
            let place = Place::new();
            let nonce = place.open("boot").issue().unwrap();
            let file = OpenOptions::new().read(true).write(true).open(place.path()).unwrap();
            let mut octet = [0];
            file.read_exact_at(&mut octet, damage).unwrap();
            file.write_all_at(&[octet[0] ^ 1], damage).unwrap();
            assert_eq!(place.open("boot").use_up(&nonce), Ok(NonceUse::Unknown), "octet {damage}");
        }
        let place = Place::new();
        let nonce = place.open("boot").issue().unwrap();
        OpenOptions::new().write(true).open(place.path()).unwrap().set_len(5000).unwrap();
        assert_eq!(place.open("boot").use_up(&nonce), Ok(NonceUse::Unknown));
    }

    #[test]
    fn forged_and_mangled_nonces_are_unknown() {
        let nonces = Place::new().open("boot");
        let good = nonces.issue().unwrap();
        let swapped: String = good.chars().rev().collect();
        let other = Place::new();
        other.random.fill(&mut [0]);
        let foreign = other.open("boot").issue().unwrap();
        for bad in ["", &good[1..], &format!("{good}A"), &swapped, "********************************", &foreign] {
            assert_eq!(nonces.use_up(bad), Ok(NonceUse::Unknown), "{bad}");
        }
        assert_eq!(nonces.use_up(&good), Ok(NonceUse::Fresh));
    }

    #[test]
    fn nonce_that_is_too_old_to_be_remembered_is_unknown_and_its_place_is_clean() {
        let place = Place::new();
        let nonces = place.open("boot");
        let used = nonces.issue().unwrap();
        assert_eq!(nonces.use_up(&used), Ok(NonceUse::Fresh));
        {
            let mut state = nonces.lock();
            while state.taken < NONCES_REMEMBERED {
                nonces.take_block(&mut state).unwrap();
            }
            state.next = NONCES_REMEMBERED;
        }
        assert_eq!(nonces.use_up(&used), Ok(NonceUse::Replayed), "still within the ring");
        let same_place = nonces.issue().unwrap();
        assert_eq!(nonces.use_up(&used), Ok(NonceUse::Unknown));
        assert_eq!(nonces.use_up(&same_place), Ok(NonceUse::Fresh));
        assert_eq!(place.open("boot").use_up(&same_place), Ok(NonceUse::Replayed));
    }

    #[test]
    fn key_is_readable_by_its_owner_alone() {
        let place = Place::new();
        drop(place.open("boot"));
        assert_eq!(std::fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
