//! The end of the log, where lines are added and room is kept.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca::InstanceId;
use ca::ports::{AuditEvent, AuditMark, StoreError, StoreErrorKind, Stored};
use pki::{Sha256, Timestamp};

use super::end::{End, end_of};
use super::files::{Lines, beginning, numbers, path_of};
use super::line::{CHAIN_START, LINE_OCTETS_MAX, decode, encode};
use super::room::{Room, is_full, keep};
use super::{AuditLimits, AuditLogError, AuditOptions};

/// Room is kept in steps of this many octets, so that most reservations ask nothing of the file system.
const STEP_OCTETS: u64 = 1 << 20;

/// The end of a log that this process holds.
#[derive(Debug)]
pub(super) struct Tail {
    folder: PathBuf,
    instance: InstanceId,
    limits: AuditLimits,
    /// When the first line of the file was written.
    first_at: Option<Timestamp>,
    file: Arc<File>,
    number: u32,
    /// Where the next line goes.
    end: u64,
    /// Up to here, the file system keeps room for us.
    room: u64,
    /// Octets that callers have reserved.
    reserved: u64,
    sequence: u64,
    chain: Sha256,
}

/// A line that was written and is not yet synced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) sequence: u64,
    /// The chain's hash before it.
    pub(super) before: Sha256,
}

/// What was cut off a log when it was opened: lines that were being written when the process before died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Torn {
    pub(super) octets: u64,
    /// Where it was put, to be looked at.
    pub(super) kept: PathBuf,
}

impl Tail {
    /// Takes up the log of this folder, or begins one. Answers also what was cut off its end.
    pub(super) fn open(
        folder: &Path,
        instance: InstanceId,
        options: AuditOptions,
    ) -> Result<(Self, Option<Torn>), AuditLogError> {
        let make = |source| AuditLogError::io("make the folder", folder, source);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(make)?;
        let mut numbers = numbers(folder)?;
        remove_unused_files(folder, &mut numbers)?;
        require_beginning(folder, &numbers, instance, options.known)?;
        let number = numbers.last().copied().unwrap_or(0);
        let path = path_of(folder, number);
        if numbers.is_empty() {
            // Before a new one is made beside those that were moved away.
            require_known(&path, begin_of(folder, &numbers)?, options.known)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| AuditLogError::io("open", &path, source))?;
        let found = end_of(&path, &|| begin_of(folder, &numbers))?;
        let at = match found.last {
            Some((sequence, chain)) => AuditMark { sequence: sequence + 1, chain },
            None => begin_of(folder, &numbers)?,
        };
        require_known(&path, at, options.known)?;
        let torn = if found.torn > 0 { Some(cut_off(&file, &path, &found)?) } else { None };
        // What the process before wrote and did not come to sync counts from now on.
        write_again(&file, &path, &found)?;
        file.sync_data().map_err(|source| AuditLogError::io("sync", &path, source))?;
        if found.offset == 0 {
            sync_folders(folder).map_err(|source| AuditLogError::io("sync", folder, source))?;
        }
        let tail = Self {
            folder: folder.to_owned(),
            instance,
            limits: options.limits,
            first_at: first_time(&path)?,
            file: Arc::new(file),
            number,
            end: found.offset,
            room: found.offset,
            reserved: 0,
            sequence: at.sequence,
            chain: at.chain,
        };
        Ok((tail, torn))
    }

    /// The mark behind the last line written.
    pub(super) const fn mark(&self) -> AuditMark {
        AuditMark { sequence: self.sequence, chain: self.chain }
    }

    /// Counts the files.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// The file that lines are now added to: to be synced without holding up others.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Keeps room for so many octets more.
    pub(super) fn reserve(&mut self, octets: u64) -> Stored<()> {
        let reserved = self.reserved.saturating_add(octets);
        let AuditLimits { reserved_octets_max, free_octets_min, .. } = self.limits;
        let reason = if reserved > reserved_octets_max {
            format!("{reserved} octets would be reserved, above {reserved_octets_max}")
        } else if !self.has_room(reserved, free_octets_min)? {
            format!("the disk is full, but for {free_octets_min} octets left to others")
        } else {
            self.reserved = reserved;
            return Ok(());
        };
        let folder = self.folder.display();
        Err(StoreError::new(StoreErrorKind::Full, format!("the audit log in {folder} has no room: {reason}")))
    }

    /// Gives back what was reserved.
    pub(super) fn give_back(&mut self, octets: u64) {
        self.reserved = self.reserved.saturating_sub(octets);
    }

    /// Writes lines with one write. Each gets its own answer, but that a failed write fails all: it is cut back to the
    /// last whole line. An error of the whole call is fatal. What the call before wrote is on disk.
    pub(super) fn write(&mut self, events: &[AuditEvent], now: Timestamp) -> Stored<Vec<Stored<Written>>> {
        if self.end >= self.limits.file_octets_max || self.is_old(now) {
            self.begin_next_file()?;
        }
        let (before, mut text) = (self.mark(), Vec::new());
        if self.end == 0 && self.number > 0 {
            let continued = AuditEvent::Continued { instance: self.instance, before: self.chain };
            if let Err(error) = self.add(&continued, now, before.sequence, &mut text) {
                return Ok(events.iter().map(|_| Err(error.clone())).collect());
            }
        }
        let answers: Vec<_> = events.iter().map(|event| self.add(event, now, before.sequence, &mut text)).collect();
        if text.is_empty() {
            return Ok(answers);
        }
        match self.file.write_all_at(&text, self.end) {
            Ok(()) => {
                self.end += text.len() as u64;
                self.first_at.get_or_insert(now);
                Ok(answers)
            }
            Err(error) => {
                (self.sequence, self.chain) = (before.sequence, before.chain);
                self.cut_back()?;
                let kind = if is_full(&error) { StoreErrorKind::Full } else { StoreErrorKind::Unavailable };
                let failed = StoreError::new(kind, format!("cannot write the audit log: {error}"));
                Ok(answers.into_iter().map(|answer| answer.and_then(|_| Err(failed.clone()))).collect())
            }
        }
    }

    fn is_old(&self, now: Timestamp) -> bool {
        let age = self.first_at.map(|first| now.since(first));
        age.zip(self.limits.file_age_max).is_some_and(|(age, max)| age >= max)
    }

    fn add(&mut self, event: &AuditEvent, now: Timestamp, synced: u64, text: &mut Vec<u8>) -> Stored<Written> {
        let (line, after) = encode(self.sequence, now, event, self.chain, synced).map_err(|error| {
            StoreError::new(StoreErrorKind::Unavailable, format!("a line can't be written: {error}"))
        })?;
        if line.len() >= LINE_OCTETS_MAX {
            let detail = format!("a line of {} octets is too long: at most {LINE_OCTETS_MAX}", line.len());
            return Err(StoreError::new(StoreErrorKind::Unavailable, detail));
        }
        let wanted = (text.len() + line.len() + 1) as u64;
        // A signature's line is what room is reserved for; no other line may take it away.
        let others = if is_reserved_for(event) { 0 } else { self.reserved };
        if !self.has_room(wanted + others, 0)? {
            return Err(StoreError::new(StoreErrorKind::Full, "the audit log has no room for this line"));
        }
        text.extend_from_slice(&line);
        text.push(b'\n');
        let written = Written { sequence: self.sequence, before: self.chain };
        self.sequence += 1;
        self.chain = after;
        Ok(written)
    }

    /// Whether there is room for so many octets, if need be by keeping more of it. A line that has to be written may
    /// use the last of the disk; what is kept ahead leaves some to others.
    fn has_room(&mut self, octets: u64, free_octets_min: u64) -> Stored<bool> {
        let wanted = self.end.saturating_add(octets);
        if wanted <= self.room {
            return Ok(true);
        }
        let ahead = (wanted.saturating_add(STEP_OCTETS), self.limits.free_octets_min);
        for (to, free) in [ahead, (wanted, free_octets_min)] {
            match self.keep(&self.file, self.room.max(self.end), to, free)? {
                Room::Kept => {
                    self.room = to;
                    return Ok(true);
                }
                // What was only seen is looked for again the next time.
                Room::Seen => return Ok(true),
                Room::Full => {}
            }
        }
        Ok(false)
    }

    fn keep(&self, file: &File, end: u64, to: u64, floor: u64) -> Stored<Room> {
        keep(file, end, to, floor).map_err(|error| {
            let detail = format!("cannot ask for room in {}: {error}", self.folder.display());
            StoreError::new(StoreErrorKind::Unavailable, detail)
        })
    }

    /// Behind the last whole line nothing is left of a write that failed.
    fn cut_back(&mut self) -> Stored<()> {
        // Synced, or a power cut could mix what was cut off with the lines that are written there next.
        self.file
            .set_len(self.end)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| fatal("cut a short write back to the last whole line", &error))?;
        // Cutting gives up the room kept beyond the end. Whether it can be had again is not this write's question.
        self.room = self.end;
        let _may_be_gone = self.has_room(self.reserved, 0);
        Ok(())
    }

    /// What is reserved has to be kept in the next file first; if it can't be, this one goes on.
    fn begin_next_file(&mut self) -> Stored<()> {
        let path = path_of(&self.folder, self.number + 1);
        let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the next file of the audit log can't be made yet");
                return Ok(());
            }
        };
        let wanted = self.reserved.saturating_add(STEP_OCTETS);
        let room = match self.keep(&file, 0, wanted, self.limits.free_octets_min) {
            Ok(Room::Kept) => wanted,
            Ok(Room::Seen) => 0,
            Ok(Room::Full) | Err(_) => {
                // Left there and empty, it would only stand in the way of the next attempt.
                return std::fs::remove_file(&path).map_err(|error| fatal("remove an unused file", &error));
            }
        };
        self.file
            .set_len(self.end)
            .and_then(|()| self.file.sync_all())
            .and_then(|()| File::open(&self.folder)?.sync_all())
            .map_err(|error| fatal("sync a file that is full", &error))?;
        self.file = Arc::new(file);
        self.number += 1;
        (self.end, self.room, self.first_at) = (0, room, None);
        Ok(())
    }
}

/// A new file is there after a power cut if its folder, and the one that this stands in, are on disk.
fn sync_folders(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()?;
    folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// A file without a line is one that a process began and did not come to use; the file before it goes on.
fn remove_unused_files(folder: &Path, numbers: &mut Vec<u32>) -> Result<(), AuditLogError> {
    while let [_, .., last] = numbers[..] {
        let path = path_of(folder, last);
        let io = |source| AuditLogError::io("remove an unused file", &path, source);
        if std::fs::metadata(&path).map_err(io)?.len() > 0 {
            break;
        }
        std::fs::remove_file(&path).map_err(io)?;
        numbers.pop();
    }
    Ok(())
}

/// It is this instance's log; and where its first files were moved away, the ledger knows all that they said.
fn require_beginning(
    folder: &Path,
    numbers: &[u32],
    instance: InstanceId,
    known: Option<AuditMark>,
) -> Result<(), AuditLogError> {
    let first = numbers.first().copied().unwrap_or(0);
    let found = match beginning(folder, numbers) {
        // Of the only file, the first line may be torn; whose it is says the folder.
        Err(AuditLogError::Damaged { .. }) if numbers.len() == 1 && first == 0 && has_no_line(folder)? => None,
        other => other?,
    };
    if let Some((_, found)) = found
        && found != instance
    {
        return Err(AuditLogError::OfAnother { path: path_of(folder, first), found, expected: instance });
    }
    let covered = found.is_some_and(|(begin, _)| known.is_some_and(|known| known.sequence >= begin.sequence));
    if first > 0 && !covered {
        return Err(AuditLogError::FileMissing { path: path_of(folder, first - 1) });
    }
    Ok(())
}

fn has_no_line(folder: &Path) -> Result<bool, AuditLogError> {
    Ok(end_of(&path_of(folder, 0), &|| begin_of(folder, &[]))?.last.is_none())
}

/// A power cut takes nothing away that the ledger knows of.
fn require_known(path: &Path, end: AuditMark, known: Option<AuditMark>) -> Result<(), AuditLogError> {
    match known {
        Some(known) if known.sequence > end.sequence => Err(AuditLogError::Damaged {
            path: path.to_owned(),
            what: format!("its last good line is the {}th, and the ledger knows of {}", end.sequence, known.sequence),
        }),
        Some(_) | None => Ok(()),
    }
}

/// After a sync that failed, the system has what was written, but no longer knows that the disk has not: only what is
/// written again is synced again. That is one batch at most.
fn write_again(file: &File, path: &Path, end: &End) -> Result<(), AuditLogError> {
    let mut octets = vec![0; usize::try_from(end.offset.saturating_sub(end.sound)).unwrap_or(usize::MAX)];
    let written = file.read_exact_at(&mut octets, end.sound).and_then(|()| file.write_all_at(&octets, end.sound));
    written.map_err(|source| AuditLogError::io("write the last lines again to", path, source))
}

/// What was never on disk as a whole is put aside, so that somebody can look at it, and cut off.
fn cut_off(file: &File, path: &Path, end: &End) -> Result<Torn, AuditLogError> {
    let io = |source| AuditLogError::io("cut a torn end off", path, source);
    let mut octets = vec![0; usize::try_from(end.torn).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut octets, end.offset).map_err(io)?;
    let kept = path.with_extension("torn");
    let written = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&kept)
        .and_then(|mut aside| aside.write_all(&octets).and_then(|()| aside.sync_all()));
    if let Err(error) = written {
        // On a full disk the log is worth more than what nobody was told of.
        tracing::warn!(path = %kept.display(), %error, "the torn end of the audit log could not be kept aside");
    }
    file.set_len(end.offset).map_err(io)?;
    Ok(Torn { octets: end.torn, kept })
}

fn first_time(path: &Path) -> Result<Option<Timestamp>, AuditLogError> {
    Ok(Lines::open(path.to_owned(), 0)?.next()?.and_then(decode).map(|line| line.at))
}

/// The mark at the beginning of the last of these files.
fn begin_of(folder: &Path, numbers: &[u32]) -> Result<AuditMark, AuditLogError> {
    let [earlier @ .., _] = numbers else { return Ok(AuditMark { sequence: 0, chain: CHAIN_START }) };
    let Some(previous) = earlier.last() else {
        if numbers[0] == 0 {
            return Ok(AuditMark { sequence: 0, chain: CHAIN_START });
        }
        let missing = || AuditLogError::FileMissing { path: path_of(folder, numbers[0] - 1) };
        return beginning(folder, numbers)?.map(|(mark, _)| mark).ok_or_else(missing);
    };
    let path = path_of(folder, *previous);
    let end = end_of(&path, &|| begin_of(folder, earlier))?;
    if end.torn > 0 {
        let what = "it ends in the middle of a line, and another file follows".to_owned();
        return Err(AuditLogError::Damaged { path, what });
    }
    match end.last {
        Some((sequence, chain)) => Ok(AuditMark { sequence: sequence + 1, chain }),
        None => begin_of(folder, earlier),
    }
}

const fn is_reserved_for(event: &AuditEvent) -> bool {
    match event {
        AuditEvent::Precertificate { .. } | AuditEvent::Certificate { .. } | AuditEvent::OcspResponder { .. } => true,
        AuditEvent::Begun { .. }
        | AuditEvent::Revocation { .. }
        | AuditEvent::KeyBlock { .. }
        | AuditEvent::IssuanceStopped { .. }
        | AuditEvent::IssuanceResumed { .. }
        | AuditEvent::CrlNumber { .. }
        | AuditEvent::Crl { .. }
        | AuditEvent::Authority { .. }
        | AuditEvent::Recovered { .. }
        | AuditEvent::Continued { .. }
        | AuditEvent::CheckpointKey { .. }
        | AuditEvent::Checkpoint { .. }
        | AuditEvent::ClockAccepted { .. } => false,
    }
}

pub(super) fn fatal(doing: &str, error: &io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Fatal, format!("cannot {doing} of the audit log: {error}"))
}

#[cfg(test)]
impl Tail {
    /// From now on neither a write nor cutting it back succeeds.
    pub(super) fn spoil(&mut self) {
        self.file = Arc::new(File::open(path_of(&self.folder, self.number)).unwrap());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_write_is_cut_back_to_the_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let instance = InstanceId::from_bytes([1; 16]);
        let (mut tail, _) = Tail::open(folder.path(), instance, AuditOptions::default()).unwrap();
        let begun = AuditEvent::Begun { instance };
        tail.write(&[begun], Timestamp::from_seconds(1)).unwrap()[0].as_ref().unwrap();
        let whole = std::fs::read(path_of(folder.path(), 0)).unwrap();
        tail.file.write_all_at(b"{\"seq\":1,", tail.end).unwrap();
        tail.cut_back().unwrap();
        assert_eq!(std::fs::read(path_of(folder.path(), 0)).unwrap(), whole);
        assert_eq!(tail.mark().sequence, 1);
    }
}
