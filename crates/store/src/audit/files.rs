//! The files of an audit log: `NNNNNNNN.jsonl`, numbered without gaps, and the way to a line in them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ca::InstanceId;
use ca::ports::{AuditEvent, AuditLine, AuditMark};

use super::AuditLogError;
use super::line::{CHAIN_START, LINE_OCTETS_MAX, decode, sequence_of};

const EXTENSION: &str = ".jsonl";
const READ_OCTETS: usize = 128 << 10;

pub(super) fn path_of(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}{EXTENSION}"))
}

/// The numbers of the files of a log, in order, with all gaps.
pub(super) fn all_numbers(folder: &Path) -> Result<Vec<u32>, AuditLogError> {
    let read = |source| AuditLogError::io("read", folder, source);
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let name = entry.map_err(read)?.file_name();
        let number: Option<u32> =
            name.to_str().and_then(|name| name.strip_suffix(EXTENSION)).and_then(|digits| digits.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The numbers of the files of a log, in order. The first ones may have been moved away; a gap is an error.
pub(super) fn numbers(folder: &Path) -> Result<Vec<u32>, AuditLogError> {
    let numbers = all_numbers(folder)?;
    for (expected, number) in (numbers.first().copied().unwrap_or(0)..).zip(&numbers) {
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
    Ok((numbers.first().copied().unwrap_or(0), 0))
}

/// The mark before the first line of the first file that is there, and whose log it is. `None`: no line is there.
pub(super) fn beginning(folder: &Path, numbers: &[u32]) -> Result<Option<(AuditMark, InstanceId)>, AuditLogError> {
    let Some(number) = numbers.first() else { return Ok(None) };
    let path = path_of(folder, *number);
    let mut lines = Lines::open(path.clone(), 0)?;
    let Some(line) = lines.next()? else { return Ok(None) };
    match (number, decode(line)) {
        (0, Some(AuditLine { sequence: 0, event: AuditEvent::Begun { instance }, .. })) => {
            Ok(Some((AuditMark { sequence: 0, chain: CHAIN_START }, instance)))
        }
        (0, _) => Err(AuditLogError::Damaged { path, what: "its first line is no `begun`".to_owned() }),
        (_, Some(AuditLine { sequence, event: AuditEvent::Continued { instance, before }, .. })) => {
            Ok(Some((AuditMark { sequence, chain: before }, instance)))
        }
        // A file of an earlier release: only the file before it says what it goes on from.
        (number, _) => Err(AuditLogError::FileMissing { path: path_of(folder, number - 1) }),
    }
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
