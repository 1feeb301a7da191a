//! What a verification finds, by name, with its place and what to do.

use std::fmt;
use std::path::PathBuf;

/// What kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// Something can't be read.
    Unreadable,
    /// A line was changed.
    LineChanged,
    /// Lines are missing.
    LinesMissing,
    /// Two lines that follow each other were swapped.
    LinesSwapped,
    /// A line stands where another one should.
    LineOutOfPlace,
    /// Something that is no line.
    NoLine,
    /// A file is missing.
    FileMissing,
    /// A file has the name of another one.
    FileOutOfPlace,
    /// A file ends in the middle of a line, and another one follows.
    FileCut,
    /// The log is another instance's.
    OtherInstance,
    /// The log ends before a line that is known elsewhere.
    CutShort,
    /// The log is not the one that is known elsewhere.
    WrittenAnew,
    /// A checkpoint's signature does not verify.
    CheckpointForged,
    /// A checkpoint is signed with a key that the log has not named.
    CheckpointKeyUnknown,
    /// The log names another key, and the one before has not signed for it.
    KeyChangeUnsigned,
    /// The log is not signed with the key it should be signed with.
    OtherKey,
    /// Files were moved away, and no checkpoint covers where the rest begins.
    BeginningUncovered,
    /// A checkpoint speaks for lines that are not there to be compared.
    CheckpointNotComparable,
    /// More lines than a server leaves so, or for longer, have no checkpoint behind them.
    UnsignedTooLong,
}

impl FaultKind {
    /// Its name, for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::LineChanged => "line-changed",
            Self::LinesMissing => "lines-missing",
            Self::LinesSwapped => "lines-swapped",
            Self::LineOutOfPlace => "line-out-of-place",
            Self::NoLine => "no-line",
            Self::FileMissing => "file-missing",
            Self::FileOutOfPlace => "file-out-of-place",
            Self::FileCut => "file-cut",
            Self::OtherInstance => "other-instance",
            Self::CutShort => "cut-short",
            Self::WrittenAnew => "written-anew",
            Self::CheckpointForged => "checkpoint-forged",
            Self::CheckpointKeyUnknown => "checkpoint-key-unknown",
            Self::KeyChangeUnsigned => "key-change-unsigned",
            Self::OtherKey => "other-key",
            Self::BeginningUncovered => "beginning-uncovered",
            Self::CheckpointNotComparable => "checkpoint-not-comparable",
            Self::UnsignedTooLong => "unsigned-too-long",
        }
    }

    /// What an operator can do.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Unreadable => "mend what hinders the reading, and verify again",
            Self::LineChanged | Self::NoLine => {
                "keep the file as it is for inspection, and bring the line back from a copy of the file; find out who \
                 could write to it"
            }
            Self::LinesMissing => {
                "bring the file back from a copy; what the lines said, the ledger may still know (cairn fsck)"
            }
            Self::LinesSwapped | Self::LineOutOfPlace => {
                "bring the file back from a copy; find out who could write to it"
            }
            Self::FileMissing => "bring the file back, or name the folder it was moved to with --files",
            Self::FileOutOfPlace => "give the file its own name again; find out who could write to the folder",
            Self::FileCut => "bring the file back from a copy",
            Self::OtherInstance => "name the folder of this instance, or verify the other one by itself",
            Self::CutShort => {
                "bring the end of the log back from a copy; what was signed after it, the ledger may still know"
            }
            Self::WrittenAnew | Self::CheckpointForged => {
                "somebody wrote to the log who is not its server: keep it for inspection, and compare it with a copy"
            }
            Self::CheckpointKeyUnknown | Self::OtherKey => {
                "if you know this key to be right, name it with --key; else keep the log for inspection"
            }
            Self::KeyChangeUnsigned => {
                "if it was you who changed the key since the old one was lost, name the new one with --key"
            }
            Self::BeginningUncovered | Self::CheckpointNotComparable => {
                "name the folder of the files before it with --files"
            }
            Self::UnsignedTooLong => {
                "if the server had no key of checkpoints or no room on its disk, mend that, and start it; else \
                 somebody else wrote these lines: compare them with the ledger (cairn fsck) and with a copy"
            }
        }
    }
}

/// Where a fault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Counts the lines of the file from 1; `None`: the file as a whole.
    pub line: Option<u64>,
}

/// One fault of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// Where; `None`: it is the log as a whole.
    pub place: Option<Place>,
    /// Which line of the log, counted from 0.
    pub sequence: Option<u64>,
    /// What is wrong.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { path, line }) = &self.place {
            write!(f, "{}", path.display())?;
            if let Some(line) = line {
                write!(f, ", line {line}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Fault {}
