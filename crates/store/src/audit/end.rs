//! The end of a log, as a process finds it that takes it up: what was on disk, and what a power cut left of the rest.
//!
//! A batch of lines is written and then synced, and the next batch is written only after that. So of a log that lost
//! its power all lines of all batches but the last are there, and the last may be in any state: whole, cut, or with
//! holes. Each line says how many lines were on disk when it was written. What is damaged behind that was never told
//! to anybody, and is cut off; damage before it is none that a power cut makes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ca::ports::{AuditLine, AuditMark};
use pki::Sha256;

use super::AuditLogError;
use super::files::damaged;
use super::line::{LINE_OCTETS_MAX, chain_after, chain_of, decode, decode_with_synced, sequence_of, synced_of};

/// So much of a file is looked at first.
const WINDOW_OCTETS: usize = 64 << 10;
/// A batch is shorter than this, so the last line that was on disk before it stands in so much of the file.
const WINDOW_OCTETS_MAX: usize = 128 << 20;

/// The end of a file of a log.
#[derive(Debug)]
pub(super) struct End {
    /// Behind the last line that is known to have been on disk: what follows was written with one write.
    pub(super) sound: u64,
    /// Behind the last good line.
    pub(super) offset: u64,
    /// What stands behind that: lines that were being written when the process before died.
    pub(super) torn: u64,
    /// The number of the last good line and the chain's hash after it; `None`: the file has no good line.
    pub(super) last: Option<(u64, Sha256)>,
}

/// Finds the end of a file, and checks that the lines of its last batch go on from the line before.
/// `before` is the mark at the beginning of the file, asked for only if it is needed.
pub(super) fn end_of(path: &Path, before: &dyn Fn() -> Result<AuditMark, AuditLogError>) -> Result<End, AuditLogError> {
    let io = |source| AuditLogError::io("read", path, source);
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut wanted = WINDOW_OCTETS;
    loop {
        let mut octets = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(wanted)];
        let offset = length - octets.len() as u64;
        file.read_exact_at(&mut octets, offset).map_err(io)?;
        let window = Window { path, octets: &octets, offset };
        if let Some(end) = window.end(before)? {
            return Ok(end);
        }
        if wanted >= WINDOW_OCTETS_MAX {
            return Err(damaged(path, offset));
        }
        wanted *= 4;
    }
}

/// The number of the last whole line of a file, if it has one. Nothing is checked.
pub(super) fn last_sequence(path: &Path) -> Result<Option<u64>, AuditLogError> {
    last_of(path, sequence_of)
}

/// The last whole line of a file, if it has one that can be read. Nothing is checked.
pub(super) fn last_line(path: &Path) -> Result<Option<AuditLine>, AuditLogError> {
    last_of(path, decode)
}

fn last_of<T>(path: &Path, read: fn(&[u8]) -> Option<T>) -> Result<Option<T>, AuditLogError> {
    let io = |source| AuditLogError::io("read", path, source);
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut wanted = WINDOW_OCTETS;
    loop {
        let mut octets = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(wanted)];
        let offset = length - octets.len() as u64;
        file.read_exact_at(&mut octets, offset).map_err(io)?;
        let last = Window { path, octets: &octets, offset }.lines().last().and_then(|(_, line)| read(line));
        if last.is_some() || offset == 0 || wanted > 4 * LINE_OCTETS_MAX {
            return Ok(last);
        }
        wanted *= 4;
    }
}

/// The last octets of a file.
struct Window<'a> {
    path: &'a Path,
    octets: &'a [u8],
    /// Where they stand in it.
    offset: u64,
}

impl<'a> Window<'a> {
    const fn is_whole(&self) -> bool {
        self.offset == 0
    }

    /// The whole lines, each with its place in the window.
    fn lines(&self) -> impl Iterator<Item = (usize, &'a [u8])> {
        let newline = |from: usize| self.octets[from..].iter().position(|octet| *octet == b'\n').map(|at| from + at);
        let mut next = if self.is_whole() { Some(0) } else { newline(0).map(|at| at + 1) };
        std::iter::from_fn(move || {
            let begin = next?;
            let end = newline(begin)?;
            next = Some(end + 1);
            Some((begin, &self.octets[begin..end]))
        })
    }

    /// `None`: more of the file has to be seen.
    fn end(&self, before: &dyn Fn() -> Result<AuditMark, AuditLogError>) -> Result<Option<End>, AuditLogError> {
        let lines: Vec<(usize, &[u8])> = self.lines().collect();
        let last = lines.iter().rev().find_map(|(_, line)| synced_of(line));
        let synced = match (&last, self.is_whole()) {
            (Some(synced), _) => *synced,
            (None, true) => 0,
            (None, false) => return Ok(None),
        };
        // The line before the first that may be torn. It was on disk before that was written.
        let sound = synced.checked_sub(1).and_then(|sequence| {
            lines.iter().position(|(_, line)| sequence_of(line) == Some(sequence) && synced_of(line).is_some())
        });
        let (first, at) = match (sound, self.is_whole()) {
            (Some(index), _) => {
                let (at, line) = lines[index];
                let chain = chain_of(line).ok_or_else(|| damaged(self.path, self.offset + at as u64))?;
                (index + 1, AuditMark { sequence: synced, chain })
            }
            (None, false) => return Ok(None),
            (None, true) => (0, before()?),
        };
        if synced > at.sequence {
            let what = format!("line {}, which was on disk when others were written, is damaged", synced - 1);
            return Err(AuditLogError::Damaged { path: self.path.to_owned(), what });
        }
        self.walk(&lines, first, at).map(Some)
    }

    /// Goes on from a sound line as far as lines are whole.
    fn walk(&self, lines: &[(usize, &[u8])], first: usize, from: AuditMark) -> Result<End, AuditLogError> {
        let wrong = |what| AuditLogError::Damaged { path: self.path.to_owned(), what };
        let (mut at, mut index) = (from, first);
        while let Some((_, line)) = lines.get(index) {
            let Some((read, _)) = decode_with_synced(line) else {
                // No power cut makes a line whose hash is right.
                if sequence_of(line) == Some(at.sequence) && chain_of(line) == Some(chain_after(at.chain, line)) {
                    return Err(wrong(format!("line {} was written by a later release: start that one", at.sequence)));
                }
                break;
            };
            // A line can be torn, but not into another one: this one was changed by somebody.
            if read.sequence != at.sequence {
                return Err(wrong(format!("line {} stands where line {} should", read.sequence, at.sequence)));
            }
            let chain = chain_after(at.chain, line);
            if chain_of(line) != Some(chain) {
                return Err(wrong(format!("line {} does not go on from the one before it", read.sequence)));
            }
            at = AuditMark { sequence: at.sequence + 1, chain };
            index += 1;
        }
        let behind_last = lines.last().map_or(0, |(at, line)| at + line.len() + 1);
        let end = lines.get(index).map_or(behind_last, |(at, _)| *at);
        let has_line = index > 0;
        let sound = lines.get(first).map_or(behind_last, |(at, _)| *at);
        Ok(End {
            sound: self.offset + sound as u64,
            offset: self.offset + end as u64,
            torn: (self.octets.len() - end) as u64,
            last: has_line.then(|| (at.sequence.saturating_sub(1), at.chain)),
        })
    }
}
