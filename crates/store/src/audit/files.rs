//! The files of an audit log: `NNNNNNNN.jsonl`, numbered without gaps, and the way to a line in them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use pki::Sha256;

use super::AuditLogError;
use super::line::{LINE_OCTETS_MAX, chain_after, chain_of, decode, sequence_of};

const EXTENSION: &str = ".jsonl";
const READ_OCTETS: usize = 128 << 10;

pub(super) fn path_of(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}{EXTENSION}"))
}

/// The numbers of the files of a log, in order. A gap is an error: files were removed.
pub(super) fn numbers(folder: &Path) -> Result<Vec<u32>, AuditLogError> {
    let read = |source| AuditLogError::io("read", folder, source);
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let name = entry.map_err(read)?.file_name();
        let number: Option<u32> =
            name.to_str().and_then(|name| name.strip_suffix(EXTENSION)).and_then(|digits| digits.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    for (expected, number) in (0..).zip(&numbers) {
        if *number != expected {
            return Err(AuditLogError::FileMissing { path: path_of(folder, expected) });
        }
    }
    Ok(numbers)
}

/// Reads lines one after the other from a place in a file.
pub(super) struct Lines {
    reader: BufReader<File>,
    path: PathBuf,
    line: Vec<u8>,
    /// Where the next line begins.
    pub(super) offset: u64,
}

impl Lines {
    pub(super) fn open(path: PathBuf, offset: u64) -> Result<Self, AuditLogError> {
        let mut file = File::open(&path).map_err(|source| AuditLogError::io("open", &path, source))?;
        file.seek(SeekFrom::Start(offset)).map_err(|source| AuditLogError::io("read", &path, source))?;
        Ok(Self { reader: BufReader::with_capacity(READ_OCTETS, file), path, line: Vec::new(), offset })
    }

    /// The next whole line, without its newline. `None`: the file ends here, or in the middle of a line.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, AuditLogError> {
        self.line.clear();
        let whole_or_too_long = LINE_OCTETS_MAX as u64 + 1;
        (&mut self.reader)
            .take(whole_or_too_long)
            .read_until(b'\n', &mut self.line)
            .map_err(|source| AuditLogError::io("read", &self.path, source))?;
        if self.line.last() == Some(&b'\n') {
            self.offset += self.line.len() as u64;
            self.line.pop();
            return Ok(Some(&self.line));
        }
        if self.line.len() > LINE_OCTETS_MAX {
            return Err(AuditLogError::Damaged {
                path: self.path.clone(),
                what: format!("a line from octet {} on has no end within {LINE_OCTETS_MAX} octets", self.offset),
            });
        }
        Ok(None)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Octets behind the last whole line, once [`Lines::next`] has answered `None`.
    pub(super) const fn unfinished(&self) -> u64 {
        self.line.len() as u64
    }
}

/// Where the line of this sequence number begins: the file that holds it, and the octet there. The end of the last
/// file, if that line is still to be written.
pub(super) fn find(folder: &Path, numbers: &[u32], sequence: u64) -> Result<(u32, u64), AuditLogError> {
    for number in numbers.iter().rev() {
        let path = path_of(folder, *number);
        let first = Lines::open(path.clone(), 0)?.next()?.and_then(sequence_of);
        if first.is_some_and(|first| first <= sequence) {
            return Ok((*number, offset_in(&path, sequence)?));
        }
    }
    Ok((0, 0))
}

/// Halves the file until few lines are left to be looked at: they are numbered upwards.
fn offset_in(path: &Path, sequence: u64) -> Result<u64, AuditLogError> {
    let mut high = fs::metadata(path).map_err(|source| AuditLogError::io("read", path, source))?.len();
    let mut low = 0;
    // The line at `low` comes before the one searched for, or is the first; the lines from `high` on come behind it, or
    // the first of them is the one.
    while high - low > READ_OCTETS as u64 {
        let middle = low.midpoint(high);
        let mut lines = Lines::open(path.to_owned(), middle)?;
        let at = lines.next()?.map(|_rest_of_a_line| ()).map(|()| lines.offset);
        let found = lines.next()?.and_then(sequence_of);
        match (at, found) {
            (Some(at), Some(found)) if at < high && found < sequence => low = at,
            (Some(at), Some(_)) if at < high => high = at,
            (Some(_) | None, Some(_) | None) => high = middle + 1,
        }
    }
    let mut lines = Lines::open(path.to_owned(), low)?;
    loop {
        let at = lines.offset;
        match lines.next()? {
            Some(line) if sequence_of(line).ok_or_else(|| damaged(path, at))? < sequence => {}
            Some(_) | None => return Ok(at),
        }
    }
}

pub(super) fn damaged(path: &Path, offset: u64) -> AuditLogError {
    AuditLogError::Damaged {
        path: path.to_owned(),
        what: format!("what stands from octet {offset} on is no line of an audit log"),
    }
}

/// The end of a log, as a process finds it that takes it up.
pub(super) struct End {
    /// Behind the last whole line.
    pub(super) offset: u64,
    /// Octets behind that: of a line that was being written when the process before died.
    pub(super) torn: u64,
    /// The number of the last line and the chain's hash after it; `None`: the file has no whole line.
    pub(super) last: Option<(u64, Sha256)>,
}

/// Finds the end of a file, and checks that its last line goes on from the one before it.
/// `before` is the chain's hash at the beginning of the file.
pub(super) fn end_of(path: &Path, before: Sha256) -> Result<End, AuditLogError> {
    let (tail, length) = read_tail(path)?;
    let window = tail.len() as u64;
    let mut lines = last_lines(&tail, window == length);
    let mut end = tail.iter().rposition(|octet| *octet == b'\n').map_or(0, |newline| newline + 1);
    // Only the very last line can be one that was being written.
    if lines.first().is_some_and(|last| decode(last).is_none()) {
        end -= lines.remove(0).len() + 1;
    }
    let offset = length - window + end as u64;
    let last = match lines[..] {
        [] if offset == 0 => None,
        [] => return Err(damaged(path, length - window)),
        [last, ref rest @ ..] => {
            let before =
                rest.first().map_or(Some(before), |line| chain_of(line)).ok_or_else(|| damaged(path, offset))?;
            let chain = chain_of(last).ok_or_else(|| damaged(path, offset))?;
            let sequence = sequence_of(last).ok_or_else(|| damaged(path, offset))?;
            if chain_after(before, last) != chain {
                let what = format!("line {sequence}, the last one, does not go on from the one before it");
                return Err(AuditLogError::Damaged { path: path.to_owned(), what });
            }
            Some((sequence, chain))
        }
    };
    Ok(End { offset, torn: length - offset, last })
}

/// The number of the last whole line of a file, if it has one. Nothing is checked.
pub(super) fn last_sequence(path: &Path) -> Result<Option<u64>, AuditLogError> {
    let (tail, length) = read_tail(path)?;
    Ok(last_lines(&tail, tail.len() as u64 == length).first().and_then(|line| sequence_of(line)))
}

/// The last octets of a file, enough for three lines, and its length.
fn read_tail(path: &Path) -> Result<(Vec<u8>, u64), AuditLogError> {
    let io = |source| AuditLogError::io("read", path, source);
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut window = 64 << 10;
    loop {
        let mut tail = vec![0; usize::try_from(length.min(window)).unwrap_or(0)];
        let offset = length - tail.len() as u64;
        file.read_exact_at(&mut tail, offset).map_err(io)?;
        let enough = tail.iter().filter(|octet| **octet == b'\n').nth(3).is_some();
        if enough || tail.len() as u64 == length || window > 4 * LINE_OCTETS_MAX as u64 {
            return Ok((tail, length));
        }
        window *= 4;
    }
}

/// At most three whole lines from the end of a file, the last one first.
fn last_lines(tail: &[u8], from_first_octet: bool) -> Vec<&[u8]> {
    let newlines: Vec<usize> = (0..tail.len()).rev().filter(|at| tail[*at] == b'\n').take(4).collect();
    let mut lines: Vec<&[u8]> = newlines.windows(2).map(|pair| &tail[pair[1] + 1..pair[0]]).collect();
    // The first line of a file has no newline before it.
    if let Some(first_newline) = newlines.last()
        && from_first_octet
        && newlines.len() < 4
    {
        lines.push(&tail[..*first_newline]);
    }
    lines
}
