//! Reading an audit log, live or stopped: pages of lines from a mark on, the chain verified from there.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use ca::InstanceId;
use ca::ports::{AuditLine, AuditMark, AuditSource, Stored};

use super::AuditLogError;
use super::end::{last_line, last_sequence};
use super::files::{Lines, beginning, find, numbers, path_of};
use super::line::{CHAIN_START, chain_after, chain_of, decode};

/// Reads the lines of an audit log. Opens nothing for writing, so it can stand beside a live server.
#[derive(Debug)]
pub struct AuditReader {
    folder: PathBuf,
    // Where the last page ended, so that the next one need not be searched for.
    last: Mutex<Option<(AuditMark, u32, u64)>>,
}

impl AuditReader {
    /// The log in this folder, the one that holds its `*.jsonl` files.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), last: Mutex::new(None) }
    }

    /// The mark before the first line of any log.
    pub const fn start() -> AuditMark {
        AuditMark { sequence: 0, chain: CHAIN_START }
    }

    /// The mark before the first line that is there: [`AuditReader::start`], or a later one if the files before it were
    /// moved away.
    ///
    /// # Errors
    /// `FileMissing`: they were, and what is there does not say what it goes on from.
    pub fn first(&self) -> Result<AuditMark, AuditLogError> {
        Ok(beginning(&self.folder, &numbers(&self.folder)?)?.map_or_else(Self::start, |(mark, _)| mark))
    }

    /// At most `limit` lines from the mark on, in order, and the mark behind them. A last line that is being written is
    /// not among them. The chain's hash of a mark at line 0 is not looked at: there is only one.
    ///
    /// # Errors
    /// `Damaged`: a line is not what was written. `CutShort`: the log ends before the mark. `FileMissing`: the file
    /// with the mark is not there.
    pub fn lines(&self, from: AuditMark, limit: usize) -> Result<(Vec<AuditLine>, AuditMark), AuditLogError> {
        let numbers = numbers(&self.folder)?;
        let (mut number, offset) = self.place(&numbers, from)?;
        let mut mark = if from.sequence == 0 { Self::start() } else { from };
        let mut page = Vec::new();
        if numbers.is_empty() {
            return if from.sequence == 0 { Ok((page, mark)) } else { Err(self.cut_short(0, from)) };
        }
        let mut lines = Lines::open(path_of(&self.folder, number), offset)?;
        while page.len() < limit {
            if let Some(line) = lines.next()? {
                let (line, after) = checked(line, mark)
                    .map_err(|what| AuditLogError::Damaged { path: lines.path().to_owned(), what })?;
                page.push(line);
                mark = after;
            } else if numbers.contains(&(number + 1)) {
                number += 1;
                lines = Lines::open(path_of(&self.folder, number), 0)?;
            } else {
                break;
            }
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((mark, number, lines.offset));
        Ok((page, mark))
    }

    /// Whose log it is; `None`: it has not begun.
    ///
    /// # Errors
    /// `Damaged`: its first line does not say so.
    pub fn owner(&self) -> Result<Option<InstanceId>, AuditLogError> {
        let numbers = numbers(&self.folder)?;
        Ok(beginning(&self.folder, &numbers)?.map(|(_, instance)| instance))
    }

    /// The last whole line.
    ///
    /// # Errors
    /// `Io`, `FileMissing`.
    pub fn last(&self) -> Result<Option<AuditLine>, AuditLogError> {
        for number in numbers(&self.folder)?.iter().rev() {
            if let Some(line) = last_line(&path_of(&self.folder, *number))? {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// The line before the mark.
    fn line_before(&self, mark: AuditMark) -> Result<Option<AuditLine>, AuditLogError> {
        let Some(sequence) = mark.sequence.checked_sub(1) else { return Ok(None) };
        let numbers = numbers(&self.folder)?;
        if numbers.is_empty() {
            return Ok(None);
        }
        let (number, offset) = find(&self.folder, &numbers, sequence)?;
        Ok(Lines::open(path_of(&self.folder, number), offset)?.next()?.and_then(decode))
    }

    fn place(&self, numbers: &[u32], from: AuditMark) -> Result<(u32, u64), AuditLogError> {
        if let Some((mark, number, offset)) = *self.last.lock().unwrap_or_else(PoisonError::into_inner)
            && mark == from
        {
            return Ok((number, offset));
        }
        if numbers.is_empty() || (numbers[0] == 0 && from.sequence == 0) {
            return Ok((0, 0));
        }
        if numbers[0] > 0
            && let Some((first, _)) = beginning(&self.folder, numbers)?
        {
            if from.sequence < first.sequence {
                return Err(AuditLogError::FileMissing { path: path_of(&self.folder, numbers[0] - 1) });
            }
            if from == first {
                return Ok((numbers[0], 0));
            }
        }
        let Some(before) = from.sequence.checked_sub(1) else {
            return Err(AuditLogError::FileMissing { path: path_of(&self.folder, numbers[0] - 1) });
        };
        // The line before the mark is there, and says the mark's hash: or this is not the log that the mark was set in.
        let (number, offset) = find(&self.folder, numbers, before)?;
        let mut lines = Lines::open(path_of(&self.folder, number), offset)?;
        let before = lines.next()?.and_then(|line| Some((decode(line)?.sequence, chain_of(line)?)));
        match before {
            Some((sequence, chain)) if sequence + 1 == from.sequence && chain == from.chain => {
                Ok((number, lines.offset))
            }
            Some((sequence, _)) if sequence + 1 == from.sequence => Err(AuditLogError::Damaged {
                path: lines.path().to_owned(),
                what: format!("line {sequence} of the log is not the one that the ledger knows"),
            }),
            Some((sequence, _)) => Err(self.cut_short(sequence + 1, from)),
            None => Err(self.cut_short(self.count(numbers)?, from)),
        }
    }

    fn count(&self, numbers: &[u32]) -> Result<u64, AuditLogError> {
        for number in numbers.iter().rev() {
            if let Some(sequence) = last_sequence(&path_of(&self.folder, *number))? {
                return Ok(sequence + 1);
            }
        }
        Ok(0)
    }

    fn cut_short(&self, lines: u64, from: AuditMark) -> AuditLogError {
        AuditLogError::CutShort { folder: self.folder.clone(), lines, mark: from.sequence }
    }
}

#[async_trait]
impl AuditSource for AuditReader {
    async fn page(&self, from: AuditMark, limit: usize) -> Stored<(Vec<AuditLine>, AuditMark)> {
        Ok(self.lines(from, limit)?)
    }

    async fn before(&self, mark: AuditMark) -> Stored<Option<AuditLine>> {
        Ok(self.line_before(mark)?)
    }
}

/// The line, and the mark behind it, if it is the next line of the chain.
fn checked(line: &[u8], before: AuditMark) -> Result<(AuditLine, AuditMark), String> {
    let sequence = before.sequence;
    let chain = chain_after(before.chain, line);
    let read = decode(line).ok_or_else(|| format!("line {sequence} of the log is no line of an audit log"))?;
    if read.sequence != sequence {
        return Err(format!("line {} of the log stands where line {sequence} should", read.sequence));
    }
    if chain_of(line) != Some(chain) {
        return Err(format!("line {sequence} of the log was changed"));
    }
    Ok((read, AuditMark { sequence: sequence + 1, chain }))
}
