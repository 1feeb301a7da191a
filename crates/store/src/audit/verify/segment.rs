//! One piece of a file, looked at by itself: each line against the one before it, as that one claims to be.
//!
//! The chain's hash after a line stands in the line. So pieces can be looked at side by side: what a piece can't know
//! is only whether its first line goes on from the piece before.

use std::fs::File;
use std::io::BufRead;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ca::ports::AuditEvent;
use pki::Sha256;

use crate::audit::AuditLogError;
use crate::audit::line::{LINE_OCTETS_MAX, chain_after, chain_of, decode, is_of_log_itself, sequence_of};

/// Longer than any line.
const AHEAD_OCTETS: usize = 256 << 10;

/// A piece of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Which file, in the order of the examination.
    pub(super) file: usize,
    /// Lines that begin from here on belong to it …
    pub(super) begin: u64,
    /// … and before this.
    pub(super) end: u64,
    /// What the file's length was when the examination began.
    pub(super) length: u64,
}

/// What is wrong with a line, as far as its neighbours tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is none.
    NoLine { expected: Option<u64> },
    /// It is not the next one.
    OutOfOrder { expected: u64, found: u64 },
    /// Its hash is not that of what it says behind the line before.
    Changed { sequence: u64 },
}

/// Where the chain is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    /// The number of the next line, if it is known.
    pub(super) expected: Option<u64>,
    /// The chain's hash after the last line, as that says …
    pub(super) said: Option<Sha256>,
    /// … and as it follows from the line before that, where this is another.
    pub(super) computed: Option<Sha256>,
}

impl Cursor {
    /// Goes over one line. What it says of itself, if it is one, and what is wrong with it.
    pub(super) fn step(&mut self, line: &[u8]) -> (Option<(u64, Sha256)>, Option<Wrong>) {
        let (Some(sequence), Some(said)) = (sequence_of(line), chain_of(line)) else {
            let expected = self.expected;
            *self = Self { expected: expected.map(|number| number + 1), said: None, computed: None };
            return (None, Some(Wrong::NoLine { expected }));
        };
        let (mut wrong, mut computed) = (None, None);
        match self.expected {
            Some(expected) if expected != sequence => {
                wrong = Some(Wrong::OutOfOrder { expected, found: sequence });
            }
            Some(_) | None => {
                if let Some(before) = self.said {
                    let chain = chain_after(before, line);
                    // Only the hash at the end of the line before may have been changed: that line is the wrong one.
                    let goes_on = || self.computed.is_some_and(|before| chain_after(before, line) == said);
                    if chain != said && !goes_on() {
                        wrong = Some(Wrong::Changed { sequence });
                        computed = Some(chain);
                    }
                }
            }
        }
        *self = Self { expected: Some(sequence + 1), said: Some(said), computed };
        (Some((sequence, said)), wrong)
    }
}

/// What was found in a piece. Lines are counted from its first one, from 0.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How many there are.
    pub(super) lines: u64,
    /// The first one that is a line, and how many that are none stand before it.
    pub(super) first: Option<(u64, Vec<u8>)>,
    /// What each line says of itself: its number and the chain's hash after it.
    pub(super) claims: Vec<(u64, Sha256)>,
    /// What is wrong inside.
    pub(super) wrong: Vec<(u64, Wrong)>,
    /// Lines that speak of the log itself: where, with which number, and what they say.
    pub(super) own: Vec<(u64, u64, AuditEvent)>,
    /// Behind its last line.
    pub(super) cursor: Cursor,
    /// Octets behind the last newline of the file.
    pub(super) unfinished: u64,
}

impl Seen {
    fn line(&mut self, line: &[u8]) {
        let (claim, wrong) = self.cursor.step(line);
        if let Some((sequence, said)) = claim {
            self.claims.push((sequence, said));
            if self.first.is_none() {
                self.first = Some((self.lines, line.to_vec()));
            }
            if is_of_log_itself(line)
                && let Some(read) = decode(line)
            {
                self.own.push((self.lines, sequence, read.event));
            }
        }
        self.wrong.extend(wrong.map(|wrong| (self.lines, wrong)));
        self.lines += 1;
    }
}

/// Looks at a piece. `octets` is room that is used again.
pub(super) fn look_at(piece: Piece, file: &File, path: &Path, octets: &mut Vec<u8>) -> Result<Seen, AuditLogError> {
    let io = |source| AuditLogError::io("read", path, source);
    let mut seen = Seen::default();
    // The octet before says whether a line begins here.
    let from = piece.begin.saturating_sub(1);
    read(file, from, piece.end, octets).map_err(io)?;
    let mut at = match (piece.begin, find_newline(octets)) {
        (0, _) => 0,
        (_, Some(newline)) => newline + 1,
        (_, None) => return Ok(seen),
    };
    let own = usize::try_from(piece.end - from).unwrap_or(usize::MAX);
    while at < own && at < octets.len() {
        if let Some(length) = find_newline(&octets[at..]) {
            seen.line(&octets[at..at + length]);
            at += length + 1;
            continue;
        }
        let known = from + octets.len() as u64;
        let longer = known.saturating_add(AHEAD_OCTETS as u64).min(piece.length);
        if octets.len() - at > LINE_OCTETS_MAX {
            // No line is so long. The pieces behind find where the next one begins.
            seen.line(b"");
            return Ok(seen);
        }
        if longer == known {
            seen.unfinished = (octets.len() - at) as u64;
            break;
        }
        let kept = octets.len();
        let mut more = Vec::new();
        read(file, known, longer, &mut more).map_err(io)?;
        octets.extend_from_slice(&more);
        if octets.len() == kept {
            seen.unfinished = (kept - at) as u64;
            break;
        }
    }
    Ok(seen)
}

fn find_newline(octets: &[u8]) -> Option<usize> {
    let mut rest = octets;
    // Of a slice this can't fail.
    let skipped = rest.skip_until(b'\n').unwrap_or(0);
    (skipped > 0 && octets[skipped - 1] == b'\n').then(|| skipped - 1)
}

/// Less, if the file has become shorter: a write that failed was cut back.
fn read(file: &File, from: u64, to: u64, octets: &mut Vec<u8>) -> std::io::Result<()> {
    octets.resize(usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX), 0);
    let mut filled = 0;
    while filled < octets.len() {
        match file.read_at(&mut octets[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    octets.truncate(filled);
    Ok(())
}
