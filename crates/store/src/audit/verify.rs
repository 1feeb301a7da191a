//! Verifying a whole audit log, live or stopped.

use std::path::{Path, PathBuf};

use ca::ports::AuditMark;
use pki::Sha256;

use super::AuditLogError;
use super::files::{Lines, numbers, path_of};
use super::line::{CHAIN_START, chain_after, chain_of, sequence_of};

/// Progress is told each time this many octets more were read.
const STEP_OCTETS: u64 = 16 << 20;

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Octets read.
    pub octets: u64,
    /// Octets that the log had when the verification began.
    pub octets_total: u64,
    /// Lines that were found good.
    pub lines: u64,
}

/// A log whose every line is what was written, none missing between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// In how many files.
    pub files: u32,
    /// How many lines.
    pub lines: u64,
    /// The chain's hash after the last one: who wrote it down elsewhere can tell later that nothing was cut off.
    pub chain: Sha256,
    /// Octets of a last line that is still being written, or was when its process died.
    pub unfinished_octets: u64,
}

/// The first fault of a log.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It can't be read, or a file is missing.
    #[error(transparent)]
    Unreadable(#[from] AuditLogError),
    /// A line was changed.
    #[error("{path}, line {line}: this line, number {sequence} of the log, was changed")]
    Changed {
        /// The file.
        path: PathBuf,
        /// Counts the lines of the file from 1.
        line: u64,
        /// Counts the lines of the log from 0.
        sequence: u64,
    },
    /// Lines are missing, doubled, or not in their order.
    #[error("{path}, line {line}: number {found} of the log stands where number {expected} should")]
    OutOfOrder {
        /// The file.
        path: PathBuf,
        /// Counts the lines of the file from 1.
        line: u64,
        /// What should stand here.
        expected: u64,
        /// What does.
        found: u64,
    },
    /// Something that is no line of an audit log.
    #[error("{path}, line {line}: this is no line of an audit log; number {expected} of the log should stand here")]
    NoLine {
        /// The file.
        path: PathBuf,
        /// Counts the lines of the file from 1.
        line: u64,
        /// What should stand here.
        expected: u64,
    },
    /// A file ends in the middle of a line, and another one follows.
    #[error("{path}: the file ends in the middle of a line, and another file follows")]
    Unfinished {
        /// The file.
        path: PathBuf,
    },
    /// The log ends before a line that is known elsewhere.
    #[error("the log has {lines} lines, and {mark} are known elsewhere: it was cut short")]
    CutShort {
        /// How many lines it has.
        lines: u64,
        /// How many it must have had.
        mark: u64,
    },
    /// It is a whole log, but not the one that is known elsewhere.
    #[error("the first {mark} lines of the log are not those that are known elsewhere: the log was written anew")]
    Another {
        /// How many of its lines are known.
        mark: u64,
    },
}

/// Verifies all files of the log in this folder. With `known`, a mark from elsewhere (the ledger's), it finds also that
/// the log was cut short or written anew before the mark.
///
/// # Errors
/// The first fault, with file and line.
pub fn verify(folder: &Path, known: Option<AuditMark>, progress: &mut dyn FnMut(Progress)) -> Result<Verified, Fault> {
    let numbers = numbers(folder)?;
    let mut walk = Walk { at: AuditMark { sequence: 0, chain: CHAIN_START }, known, octets: 0, total: 0 };
    for number in &numbers {
        walk.total += length_of(&path_of(folder, *number))?;
    }
    let mut unfinished_octets = 0;
    for number in &numbers {
        unfinished_octets = walk.file(&path_of(folder, *number), progress)?;
        if unfinished_octets > 0 && Some(number) != numbers.last() {
            return Err(Fault::Unfinished { path: path_of(folder, *number) });
        }
    }
    walk.tell(progress);
    let Walk { at, .. } = walk;
    match known {
        Some(mark) if mark.sequence > at.sequence => Err(Fault::CutShort { lines: at.sequence, mark: mark.sequence }),
        Some(mark) if mark.sequence > 0 && mark.sequence == at.sequence && mark.chain != at.chain => {
            Err(Fault::Another { mark: mark.sequence })
        }
        Some(_) | None => Ok(Verified {
            files: u32::try_from(numbers.len()).unwrap_or(u32::MAX),
            lines: at.sequence,
            chain: at.chain,
            unfinished_octets,
        }),
    }
}

fn length_of(path: &Path) -> Result<u64, AuditLogError> {
    std::fs::metadata(path).map(|found| found.len()).map_err(|source| AuditLogError::io("read", path, source))
}

struct Walk {
    at: AuditMark,
    known: Option<AuditMark>,
    octets: u64,
    total: u64,
}

impl Walk {
    /// One file, from its first line to its last whole one. Answers with the octets behind that.
    fn file(&mut self, path: &Path, progress: &mut dyn FnMut(Progress)) -> Result<u64, Fault> {
        let mut lines = Lines::open(path.to_owned(), 0)?;
        let (mut number, mut told, before) = (0, 0, self.octets);
        while let Some(line) = lines.next()? {
            number += 1;
            self.line(line, path, number)?;
            self.octets = before + lines.offset;
            if lines.offset - told >= STEP_OCTETS {
                told = lines.offset;
                self.tell(progress);
            }
        }
        Ok(lines.unfinished())
    }

    fn line(&mut self, line: &[u8], path: &Path, number: u64) -> Result<(), Fault> {
        let (path, expected) = (|| path.to_owned(), self.at.sequence);
        if self.known.is_some_and(|mark| mark.sequence == expected && expected > 0 && mark.chain != self.at.chain) {
            return Err(Fault::Another { mark: expected });
        }
        let (Some(found), Some(said)) = (sequence_of(line), chain_of(line)) else {
            return Err(Fault::NoLine { path: path(), line: number, expected });
        };
        if found != expected {
            return Err(Fault::OutOfOrder { path: path(), line: number, expected, found });
        }
        let chain = chain_after(self.at.chain, line);
        if chain != said {
            return Err(Fault::Changed { path: path(), line: number, sequence: found });
        }
        self.at = AuditMark { sequence: expected + 1, chain };
        Ok(())
    }

    fn tell(&self, progress: &mut dyn FnMut(Progress)) {
        progress(Progress { octets: self.octets, octets_total: self.total.max(self.octets), lines: self.at.sequence });
    }
}
