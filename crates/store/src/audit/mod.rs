//! The audit log on files: one for each instance that signs or revokes, with its own hash chain.
//!
//! `FOLDER/NNNNNNNN.jsonl` hold one JSON object per line. The last member of each, `chain`, is the SHA-256 of the
//! chain's hash before the line and the line without that member; the chain goes on from file to file. One thread
//! writes, and many callers share each sync. A line that was written together with others says in `synced` how many
//! lines were on disk before: what is damaged behind that is a power cut's work, and is cut off at the next start.
//!
//! The first line of each file but the first, `continued`, says what the file goes on from. So the first files can be
//! moved away once the ledger knows what they say.

mod checkpointer;
mod end;
mod files;
mod line;
mod log;
mod note;
mod read;
mod room;
mod tail;
mod verify;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ca::InstanceId;
use ca::ports::{AuditMark, StoreError, StoreErrorKind};

pub use checkpointer::{
    CheckpointError, CheckpointRules, Checkpointer, change_checkpoint_key, named_key, newest_checkpoint, read_note,
};
pub use log::{FatalHook, FileAuditLog};
pub use note::{Checkpoint, NOTE_OCTETS_MAX, NoteError, SignedCheckpoint, parse_verifier_key, verifier_key};
pub use read::AuditReader;
pub use verify::{
    Examination, Examined, FAULTS_MAX, Fault, FaultKind, Place, Progress, Verified, examine, files_of, verify,
};

pub(crate) use line::{CHAIN_START, encode};

/// The limits of an audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditLimits {
    /// A file above this size, in octets, is followed by the next one.
    pub file_octets_max: u64,
    /// So much of the disk, in octets, is left to others: the ledger needs room too.
    pub free_octets_min: u64,
    /// All reservations together may keep so many octets at most.
    pub reserved_octets_max: u64,
    /// A file whose first line is older is followed by the next one. `None`: its size alone counts.
    pub file_age_max: Option<Duration>,
}

impl Default for AuditLimits {
    fn default() -> Self {
        Self {
            file_octets_max: 256 << 20,
            free_octets_min: 32 << 20,
            reserved_octets_max: 256 << 20,
            file_age_max: None,
        }
    }
}

/// How an audit log is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditOptions {
    /// Its limits.
    pub limits: AuditLimits,
    /// The ledger's mark. The log has at least so many lines, and files before the one with the mark may be missing.
    pub known: Option<AuditMark>,
}

impl From<AuditLimits> for AuditOptions {
    fn from(limits: AuditLimits) -> Self {
        Self { limits, known: None }
    }
}

/// Why an audit log can't be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum AuditLogError {
    /// The operating system refused.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// It is the log of another instance.
    #[error("{path} is the audit log of instance {found}, not of {expected}: each data folder has its own")]
    OfAnother {
        /// Its first file.
        path: PathBuf,
        /// Whose it is.
        found: InstanceId,
        /// Who wanted to write to it.
        expected: InstanceId,
    },
    /// A file is missing between others, or one of the first, that was moved away too early.
    #[error("{path} is missing, and what it says is still needed; bring it back from where it was moved, or a backup")]
    FileMissing {
        /// The file.
        path: PathBuf,
    },
    /// A line is not what was written.
    #[error("{path} is damaged: {what}; `cairn audit verify` shows all of it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// The log ends before a line that the ledger says was applied.
    #[error("the audit log in {folder} has {lines} lines, and the ledger knows of {mark}: the log was cut short")]
    CutShort {
        /// The folder.
        folder: PathBuf,
        /// How many lines it has.
        lines: u64,
        /// How many it must have had.
        mark: u64,
    },
}

impl AuditLogError {
    fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }
}

impl From<AuditLogError> for StoreError {
    fn from(error: AuditLogError) -> Self {
        let kind = match &error {
            AuditLogError::Io { .. } => StoreErrorKind::Unavailable,
            AuditLogError::OfAnother { .. }
            | AuditLogError::FileMissing { .. }
            | AuditLogError::Damaged { .. }
            | AuditLogError::CutShort { .. } => StoreErrorKind::Corrupt,
        };
        Self::new(kind, error.to_string())
    }
}
