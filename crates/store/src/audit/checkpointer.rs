//! Making checkpoints of a log, beside its writer: nobody waits for them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ca::InstanceId;
use ca::ports::{AuditEvent, AuditLog, AuditMark, CheckpointKey, CheckpointKeyChange, Clock, SignError, StoreError};
use pki::{KeyKind, PublicKey, Timestamp};

use super::files::{Lines, numbers, path_of};
use super::line::{decode, is_of_log_itself};
use super::note::{Checkpoint, SignedCheckpoint, succession};
use super::{AuditLogError, AuditReader, FileAuditLog};

/// A checkpoint that comes later than this many lines after those it speaks for is not written: a verification keeps
/// so many of the chain's hashes at hand.
pub(super) const LAG_LINES_MAX: u64 = 1 << 16;

const NOTE: &str = "checkpoint.note";

/// When a checkpoint is due: after so many lines, or so long after the last one if there are new lines, or when a file
/// follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointRules {
    /// New lines.
    pub lines: u64,
    /// Time since the last checkpoint.
    pub interval: Duration,
}

/// Why a checkpoint could not be made. The log is not worse for it.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The key did not sign.
    #[error("the key of checkpoints did not sign: {0}")]
    NotSigned(#[from] SignError),
    /// Its line could not be written.
    #[error("its line could not be written: {0}")]
    NotWritten(#[from] StoreError),
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] AuditLogError),
    /// The key is not one that checkpoints are signed with.
    #[error("checkpoints are signed with an Ed25519 key, and this is one on {0}")]
    Kind(KeyKind),
    /// The log is signed with another key.
    #[error(
        "the log's checkpoints are signed with another key, {0}: bring that key back, or `cairn audit key --change`"
    )]
    AnotherKey(pki::Sha256),
    /// The log is not what its newest checkpoint says.
    #[error(
        "the log is not that of {path}, its newest checkpoint ({what}): nothing is signed over it. See `cairn audit \
         verify`; if you know why (an older copy was brought back), remove that file and start the server again"
    )]
    WrittenAnew {
        /// Of the checkpoint.
        path: String,
        /// What differs.
        what: AuditLogError,
    },
    /// It was overtaken.
    #[error("{0} lines were written before it could be signed: it comes too late to be checked")]
    TooLate(u64),
}

/// Makes the checkpoints of a log.
#[derive(Debug)]
pub struct Checkpointer {
    log: Arc<FileAuditLog>,
    folder: PathBuf,
    instance: InstanceId,
    key: Arc<dyn CheckpointKey>,
    rules: CheckpointRules,
    clock: Arc<dyn Clock>,
    last: Mutex<Last>,
}

/// The last checkpoint.
#[derive(Clone, Copy, Debug)]
struct Last {
    /// Behind its own line.
    lines: u64,
    at: Timestamp,
    file: u32,
}

impl Checkpointer {
    /// Takes up the checkpoints of the log in this folder. A log that names no key yet names this one from now on.
    ///
    /// # Errors
    /// `AnotherKey`: it names another. `WrittenAnew`: it is not the log of the newest checkpoint beside it.
    pub async fn begin(
        log: Arc<FileAuditLog>,
        folder: &Path,
        instance: InstanceId,
        key: Arc<dyn CheckpointKey>,
        rules: CheckpointRules,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CheckpointError> {
        let kind = key.public_key().kind();
        if kind != KeyKind::Ed25519 {
            return Err(CheckpointError::Kind(kind));
        }
        let spki = key.public_key().spki_der();
        // The note stands there because the log has its line: so the log need not be searched.
        let noted = read_note(folder).filter(|note| note.is_signed_by(key.public_key()));
        let lines = match noted {
            Some(note) if note.checkpoint.instance == instance => {
                require_noted(folder, note.checkpoint)?;
                note.checkpoint.lines + 1
            }
            Some(_) | None => match named_key(folder)? {
                Some(named) if named == *key.public_key() => 0,
                Some(named) => return Err(CheckpointError::AnotherKey(named.spki_hash())),
                None => {
                    log.append(AuditEvent::CheckpointKey { instance, spki: spki.to_vec(), replaces: None }).await?;
                    0
                }
            },
        };
        let last = Mutex::new(Last { lines, at: Timestamp::from_seconds(0), file: log.synced().1 });
        Ok(Self { log, folder: folder.to_owned(), instance, key, rules, clock, last })
    }

    /// Makes a checkpoint if one is due. The number of lines it speaks for.
    ///
    /// # Errors
    /// See [`CheckpointError`]: the next call tries again.
    pub async fn make_if_due(&self) -> Result<Option<u64>, CheckpointError> {
        let (mark, file) = self.log.synced();
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let new = mark.sequence.saturating_sub(last.lines);
        let is_old = self.clock.now().since(last.at) >= self.rules.interval;
        let due = new > 0 && (new >= self.rules.lines || is_old || file != last.file);
        if due { self.make().await } else { Ok(None) }
    }

    /// Makes a checkpoint, if there are lines that none speaks for. The number of lines it speaks for.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub async fn make(&self) -> Result<Option<u64>, CheckpointError> {
        let (mark, file) = self.log.synced();
        if mark.sequence <= self.last.lock().unwrap_or_else(PoisonError::into_inner).lines {
            return Ok(None);
        }
        let signed = self.clock.now();
        let checkpoint = Checkpoint { instance: self.instance, lines: mark.sequence, head: mark.chain, signed };
        let signature = self.key.sign(checkpoint.text().as_bytes()).await?;
        let overtaken = self.log.synced().0.sequence.saturating_sub(mark.sequence);
        if overtaken >= LAG_LINES_MAX / 2 {
            return Err(CheckpointError::TooLate(overtaken));
        }
        let spki = self.key.public_key().spki_der().to_vec();
        let event = AuditEvent::Checkpoint { lines: mark.sequence, head: mark.chain, signed, spki, signature };
        let note = Checkpoint::of_event(self.instance, &event).map(|signed| signed.note());
        let sequence = self.log.append(event).await?;
        // Its own line alone asks for no other checkpoint.
        let lines = if sequence == mark.sequence { sequence + 1 } else { mark.sequence };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Last { lines, at: signed, file };
        if let Some(Err(error)) = note.map(|note| write_note(&self.folder, &note)) {
            tracing::warn!(%error, "the newest checkpoint was not written beside the audit log");
        }
        Ok(Some(mark.sequence))
    }
}

/// Names another key in the log: its checkpoints are signed with that from now on. `old`: the key until now, which
/// signs for its successor; without it the change stands in the log unsigned, and `cairn audit verify` says so.
///
/// # Errors
/// See [`CheckpointError`].
pub async fn change_checkpoint_key(
    log: &FileAuditLog,
    instance: InstanceId,
    old: Option<&dyn CheckpointKey>,
    new: &PublicKey,
) -> Result<u64, CheckpointError> {
    if new.kind() != KeyKind::Ed25519 {
        return Err(CheckpointError::Kind(new.kind()));
    }
    let spki = new.spki_der().to_vec();
    let replaces = match old {
        Some(old) => {
            let signature = old.sign(&succession(instance, &spki)).await?;
            Some(CheckpointKeyChange { spki: old.public_key().spki_der().to_vec(), signature })
        }
        None => None,
    };
    Ok(log.append(AuditEvent::CheckpointKey { instance, spki, replaces }).await?)
}

/// The key that the log in this folder says its checkpoints are signed with: the newest line that names one. Reads the
/// newest file that has such a line.
///
/// # Errors
/// The log can't be read.
pub fn named_key(folder: &Path) -> Result<Option<PublicKey>, AuditLogError> {
    newest(folder, |event| {
        let (AuditEvent::CheckpointKey { spki, .. } | AuditEvent::Checkpoint { spki, .. }) = event else { return None };
        PublicKey::from_spki_der(spki).ok().filter(|key| key.kind() == KeyKind::Ed25519)
    })
}

/// The newest checkpoint in the log in this folder, as it stands there: nothing is verified.
///
/// # Errors
/// The log can't be read.
pub fn newest_checkpoint(folder: &Path, instance: InstanceId) -> Result<Option<SignedCheckpoint>, AuditLogError> {
    newest(folder, |event| Checkpoint::of_event(instance, event))
}

fn newest<T>(folder: &Path, wanted: impl Fn(&AuditEvent) -> Option<T>) -> Result<Option<T>, AuditLogError> {
    for number in numbers(folder)?.into_iter().rev() {
        let mut lines = Lines::open(path_of(folder, number), 0)?;
        let (mut found, mut continues) = (None, None);
        while let Some(line) = lines.next()? {
            continues.get_or_insert_with(|| is_of_log_itself(line));
            if is_of_log_itself(line)
                && let Some(read) = decode(line)
                && let Some(one) = wanted(&read.event)
            {
                found = Some(one);
            }
        }
        // A file that does not begin with `continued` is of an earlier release, and so are those before it: they have
        // no checkpoints and name no key.
        if found.is_some() || continues == Some(false) {
            return Ok(found);
        }
    }
    Ok(None)
}

/// What was signed is signed once: a log that was changed since gets no new signature.
fn require_noted(folder: &Path, noted: Checkpoint) -> Result<(), CheckpointError> {
    let mark = AuditMark { sequence: noted.lines, chain: noted.head };
    match AuditReader::new(folder).lines(mark, 0) {
        // The file with that line was moved away.
        Ok(_) | Err(AuditLogError::FileMissing { .. }) => Ok(()),
        Err(what @ (AuditLogError::Damaged { .. } | AuditLogError::CutShort { .. })) => {
            Err(CheckpointError::WrittenAnew { path: folder.join(NOTE).display().to_string(), what })
        }
        Err(error @ (AuditLogError::Io { .. } | AuditLogError::OfAnother { .. })) => Err(error.into()),
    }
}

/// The newest checkpoint that was written beside the log in this folder, if it can be read: nothing is verified.
pub fn read_note(folder: &Path) -> Option<SignedCheckpoint> {
    SignedCheckpoint::parse(&fs::read_to_string(folder.join(NOTE)).ok()?).ok()
}

/// Whole or not at all.
fn write_note(folder: &Path, note: &str) -> io::Result<()> {
    let (new, path) = (folder.join(format!("{NOTE}.new")), folder.join(NOTE));
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, &path)
}
