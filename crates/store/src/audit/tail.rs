//! The end of the log, where lines are added and room is kept.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca::InstanceId;
use ca::ports::{AuditEvent, AuditMark, StoreError, StoreErrorKind, Stored};
use pki::{Sha256, Timestamp};

use super::files::{End, Lines, end_of, numbers, path_of};
use super::line::{CHAIN_START, LINE_OCTETS_MAX, decode, encode};
use super::room::{Room, is_full, keep};
use super::{AuditLimits, AuditLogError};

/// Room is kept in steps of this many octets, so that most reservations ask nothing of the file system.
const STEP_OCTETS: u64 = 1 << 20;

/// The end of a log that this process holds.
#[derive(Debug)]
pub(super) struct Tail {
    folder: PathBuf,
    limits: AuditLimits,
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

impl Tail {
    /// Takes up the log of this folder, or begins one. Answers also how many octets of a torn line were cut off.
    pub(super) fn open(folder: &Path, limits: AuditLimits) -> Result<(Self, u64), AuditLogError> {
        let make = |source| AuditLogError::io("make the folder", folder, source);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(make)?;
        let numbers = numbers(folder)?;
        let number = numbers.last().copied().unwrap_or(0);
        let before = last_before(folder, number)?;
        let path = path_of(folder, number);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| AuditLogError::io("open", &path, source))?;
        let found = end_of(&path, before.map_or(CHAIN_START, |(_, chain)| chain))?;
        if found.torn > 0 {
            file.set_len(found.offset).map_err(|source| AuditLogError::io("cut a torn line off", &path, source))?;
        }
        // What the process before wrote and did not come to sync counts from now on.
        file.sync_data().map_err(|source| AuditLogError::io("sync", &path, source))?;
        if found.offset == 0 {
            sync_folders(folder).map_err(|source| AuditLogError::io("sync", folder, source))?;
        }
        let last = found.last.or(before);
        let tail = Self {
            folder: folder.to_owned(),
            limits,
            file: Arc::new(file),
            number,
            end: found.offset,
            room: found.offset,
            reserved: 0,
            sequence: last.map_or(0, |(sequence, _)| sequence + 1),
            chain: last.map_or(CHAIN_START, |(_, chain)| chain),
        };
        Ok((tail, found.torn))
    }

    /// Whose log this is, if it has begun.
    pub(super) fn owner(&self) -> Result<Option<InstanceId>, AuditLogError> {
        if self.sequence == 0 {
            return Ok(None);
        }
        let path = path_of(&self.folder, 0);
        let first = Lines::open(path.clone(), 0)?.next()?.and_then(decode);
        match first.map(|line| line.event) {
            Some(AuditEvent::Begun { instance }) => Ok(Some(instance)),
            Some(_) | None => Err(AuditLogError::Damaged { path, what: "its first line is no `begun`".to_owned() }),
        }
    }

    /// The mark behind the last line written.
    pub(super) const fn mark(&self) -> AuditMark {
        AuditMark { sequence: self.sequence, chain: self.chain }
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
    /// last whole line. An error of the whole call is fatal.
    pub(super) fn write(&mut self, events: &[AuditEvent], now: Timestamp) -> Stored<Vec<Stored<Written>>> {
        if self.end >= self.limits.file_octets_max {
            self.begin_next_file()?;
        }
        let before = self.mark();
        let mut text = Vec::new();
        let answers: Vec<_> = events.iter().map(|event| self.add(event, now, &mut text)).collect();
        if text.is_empty() {
            return Ok(answers);
        }
        match self.file.write_all_at(&text, self.end) {
            Ok(()) => {
                self.end += text.len() as u64;
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

    fn add(&mut self, event: &AuditEvent, now: Timestamp, text: &mut Vec<u8>) -> Stored<Written> {
        let (line, after) = encode(self.sequence, now, event, self.chain).map_err(|error| {
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
        self.file.set_len(self.end).map_err(|error| fatal("cut a short write back to the last whole line", &error))?;
        // Cutting gives up the room kept beyond the end.
        self.room = self.end;
        self.has_room(self.reserved, 0).map(|_may_be_gone| ())
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
        (self.end, self.room) = (0, room);
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

/// The last line before a file: its number and the chain's hash after it.
fn last_before(folder: &Path, number: u32) -> Result<Option<(u64, Sha256)>, AuditLogError> {
    let Some(earlier) = number.checked_sub(1) else {
        return Ok(None);
    };
    let path = path_of(folder, earlier);
    // Where the file has two lines and more, its last one is checked by the one before it, and no other file is opened.
    match end_of(&path, CHAIN_START) {
        Ok(End { last: Some(last), .. }) => Ok(Some(last)),
        Ok(End { last: None, .. }) => last_before(folder, earlier),
        Err(_) => {
            let before = last_before(folder, earlier)?;
            Ok(end_of(&path, before.map_or(CHAIN_START, |(_, chain)| chain))?.last.or(before))
        }
    }
}

const fn is_reserved_for(event: &AuditEvent) -> bool {
    match event {
        AuditEvent::Precertificate { .. } | AuditEvent::Certificate { .. } => true,
        AuditEvent::Begun { .. }
        | AuditEvent::Revocation { .. }
        | AuditEvent::KeyBlock { .. }
        | AuditEvent::CrlNumber { .. }
        | AuditEvent::Crl { .. }
        | AuditEvent::Authority { .. }
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
        let (mut tail, _) = Tail::open(folder.path(), AuditLimits::default()).unwrap();
        let begun = AuditEvent::Begun { instance: InstanceId::from_bytes([1; 16]) };
        tail.write(&[begun], Timestamp::from_seconds(1)).unwrap()[0].as_ref().unwrap();
        let whole = std::fs::read(path_of(folder.path(), 0)).unwrap();
        tail.file.write_all_at(b"{\"seq\":1,", tail.end).unwrap();
        tail.cut_back().unwrap();
        assert_eq!(std::fs::read(path_of(folder.path(), 0)).unwrap(), whole);
        assert_eq!(tail.mark().sequence, 1);
    }
}
