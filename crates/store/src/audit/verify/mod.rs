//! Verifying a whole audit log, live or stopped, here or where its files were moved to.
//!
//! The files are cut into pieces, and as many threads as the machine has cores look at them side by side
//! ([`segment`]); what they found is put together in the order of the log ([`walk`]). Memory is bounded by the pieces
//! that are in work.

mod fault;
mod segment;
mod walk;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ca::InstanceId;
use ca::ports::AuditMark;
use pki::{PublicKey, Sha256};

use super::AuditLogError;
use super::end::last_line;
use super::files::{Lines, all_numbers, path_of};
use super::line::{CHAIN_START, sequence_of};
use super::note::SignedCheckpoint;
use segment::{Piece, Seen, look_at};
use walk::Walk;

pub use fault::{Fault, FaultKind, Place};

/// So many faults are named; the others are counted.
pub const FAULTS_MAX: usize = 1_000;

const PIECE_OCTETS: u64 = 4 << 20;
/// So many pieces each thread may be ahead.
const AHEAD: usize = 2;

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Octets read.
    pub octets: u64,
    /// Octets that the log had when the verification began.
    pub octets_total: u64,
    /// Lines that were looked at.
    pub lines: u64,
}

/// A log whose every line is what was written, none missing between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// In how many files.
    pub files: u32,
    /// The number of the first line: 0, or higher if the files before it were moved away.
    pub first: u64,
    /// How many lines the log has, those before the first included.
    pub lines: u64,
    /// The chain's hash after the last one.
    pub chain: Sha256,
    /// Octets of a last line that is still being written, or was when its process died.
    pub unfinished_octets: u64,
    /// Checkpoints in the log whose signature verifies and that say what the log is.
    pub checkpoints: u64,
    /// The newest of them speaks for so many lines.
    pub signed: u64,
    /// Lines that no checkpoint speaks for, but for checkpoints themselves: a live log always has some.
    pub unsigned: u64,
}

/// What is verified, against what.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// The files, by number: [`files_of`].
    pub files: BTreeMap<u32, PathBuf>,
    /// Whose log it should be.
    pub instance: Option<InstanceId>,
    /// The ledger's mark.
    pub known: Option<AuditMark>,
    /// Checkpoints that were taken earlier.
    pub checkpoints: Vec<SignedCheckpoint>,
    /// Keys that are known to be right from elsewhere. The log's last key has to be one of them, if there are any.
    pub keys: Vec<PublicKey>,
    /// The key in the log's own folder: counts only where no other is known, and vouches for no change of the key.
    pub own: Option<PublicKey>,
    /// The newest checkpoint, as it stands beside the log. It counts if a key of the log signed it.
    pub note: Option<SignedCheckpoint>,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Examined {
    /// The log as far as it could be followed.
    pub verified: Verified,
    /// The key that its newest checkpoint should be signed with.
    pub key: Option<PublicKey>,
    /// Of each checkpoint taken earlier, whether the log was compared with it, and is what it says.
    pub compared: Vec<bool>,
    /// What is wrong, in the order of the log, at most [`FAULTS_MAX`]; behind that what is wrong with it as a whole.
    pub faults: Vec<Fault>,
    /// So many more faults are not named.
    pub faults_more: u64,
}

/// The files of a log in these folders.
///
/// # Errors
/// A folder can't be read, or two folders have a file of the same number.
pub fn files_of(folders: &[PathBuf]) -> Result<BTreeMap<u32, PathBuf>, AuditLogError> {
    let mut files = BTreeMap::new();
    for folder in folders {
        // A gap is found by the examination: another folder may fill it.
        for number in all_numbers(folder)? {
            if let Some(other) = files.insert(number, path_of(folder, number)) {
                let what = format!("{} has the same number: keep one of them", path_of(folder, number).display());
                return Err(AuditLogError::Damaged { path: other, what });
            }
        }
    }
    Ok(files)
}

/// Verifies all files of the log in this folder. With `known`, a mark from elsewhere (the ledger's), it finds also that
/// the log was cut short or written anew before the mark. Checkpoints are verified with the keys that the log names.
///
/// # Errors
/// The first fault, with file and line.
pub fn verify(folder: &Path, known: Option<AuditMark>, progress: &mut dyn FnMut(Progress)) -> Result<Verified, Fault> {
    let failed = |error: AuditLogError| Fault {
        kind: FaultKind::Unreadable,
        place: None,
        sequence: None,
        detail: error.to_string(),
    };
    let files = files_of(&[folder.to_owned()]).map_err(failed)?;
    let what = Examination { files, known, ..Examination::default() };
    let mut examined = examine(&what, progress).map_err(failed)?;
    if examined.faults.is_empty() { Ok(examined.verified) } else { Err(examined.faults.remove(0)) }
}

/// Verifies a log, and finds all that is wrong with it.
///
/// # Errors
/// A file can't be read.
pub fn examine(what: &Examination, progress: &mut dyn FnMut(Progress)) -> Result<Examined, AuditLogError> {
    let (files, empty) = in_order(&what.files)?;
    let mut walk = Walk::new(what, &files);
    walk.emptied(empty);
    let total = files.iter().map(|file| file.length).sum();
    let pieces: Vec<Piece> = files.iter().enumerate().flat_map(|(at, file)| pieces(at, file.length)).collect();
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(pieces.len().max(1));
    std::thread::scope(|scope| {
        let mut answers: Vec<Receiver<Result<Seen, AuditLogError>>> = Vec::new();
        for worker in 0..workers {
            let (sender, receiver) = sync_channel(AHEAD);
            answers.push(receiver);
            let (pieces, files) = (&pieces, &files);
            scope.spawn(move || look(pieces.iter().skip(worker).step_by(workers), files, &sender));
        }
        let mut octets = 0;
        for (at, piece) in pieces.iter().enumerate() {
            // A worker that is gone has panicked: the scope passes that on.
            let Ok(seen) = answers[at % workers].recv() else { break };
            walk.piece(*piece, seen?);
            octets += piece.end - piece.begin;
            progress(Progress { octets, octets_total: total, lines: walk.lines() });
        }
        Ok(())
    })?;
    progress(Progress { octets: total, octets_total: total, lines: walk.lines() });
    let last = files.iter().rev().find(|file| file.length > 0);
    let last = last.map(|file| last_line(&file.path)).transpose()?.flatten();
    Ok(walk.end(last.map(|line| line.at)))
}

fn look<'a>(
    pieces: impl Iterator<Item = &'a Piece>,
    files: &[Found],
    answer: &SyncSender<Result<Seen, AuditLogError>>,
) {
    let mut octets = Vec::new();
    for piece in pieces {
        let path = &files[piece.file].path;
        let seen = File::open(path)
            .map_err(|source| AuditLogError::io("open", path, source))
            .and_then(|file| look_at(*piece, &file, path, &mut octets));
        if answer.send(seen).is_err() {
            return;
        }
    }
}

fn pieces(file: usize, length: u64) -> impl Iterator<Item = Piece> {
    // An empty file is a piece too, so that the walk comes by.
    (0..length.div_ceil(PIECE_OCTETS).max(1)).map(move |number| {
        let begin = number * PIECE_OCTETS;
        Piece { file, begin, end: (begin + PIECE_OCTETS).min(length), length }
    })
}

/// A file of the log.
#[derive(Debug)]
struct Found {
    number: u32,
    path: PathBuf,
    length: u64,
    /// The number of its first line, if its first lines agree on that.
    first: Option<u64>,
    /// It has not the name that its lines ask for.
    out_of_place: bool,
}

/// The files in the order of their lines: where that is not the order of their names, some were exchanged. And those
/// that are empty, though another one follows them.
fn in_order(files: &BTreeMap<u32, PathBuf>) -> Result<(Vec<Found>, Vec<PathBuf>), AuditLogError> {
    let mut found = Vec::new();
    for (number, path) in files {
        let length = std::fs::metadata(path).map_err(|source| AuditLogError::io("read", path, source))?.len();
        let first = if length == 0 { None } else { first_number(path)? };
        found.push(Found { number: *number, path: path.clone(), length, first, out_of_place: false });
    }
    // Only the last file may have been begun and not used yet.
    let last = files.keys().next_back().copied();
    let empty = found.iter().filter(|file| file.length == 0 && Some(file.number) != last);
    let empty = empty.map(|file| file.path.clone()).collect();
    found.retain(|file| file.length > 0 || Some(file.number) == last);
    let with_lines = || found.iter().filter(|file| file.length > 0);
    if with_lines().all(|file| file.first.is_some()) && !with_lines().is_sorted_by_key(|file| file.first) {
        let in_order = |first: &Option<u64>| first.unwrap_or(u64::MAX);
        let mut firsts: Vec<Option<u64>> = found.iter().map(|file| file.first).collect();
        firsts.sort_unstable_by_key(in_order);
        for (file, first) in found.iter_mut().zip(firsts) {
            file.out_of_place = file.first != first;
        }
        found.sort_by_key(|file| in_order(&file.first));
    }
    Ok((found, empty))
}

fn first_number(path: &Path) -> Result<Option<u64>, AuditLogError> {
    let mut lines = Lines::open(path.to_owned(), 0)?;
    let mut next = || match lines.next() {
        Ok(line) => Ok(line.map(sequence_of)),
        Err(AuditLogError::Damaged { .. }) => Ok(Some(None)),
        Err(error) => Err(error),
    };
    Ok(match (next()?, next()?) {
        (Some(Some(first)), Some(Some(second))) if second == first + 1 => Some(first),
        (Some(Some(first)), None) => Some(first),
        _unclear => None,
    })
}

/// The mark before the first line of any log.
const START: AuditMark = AuditMark { sequence: 0, chain: CHAIN_START };
