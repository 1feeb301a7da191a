//! What can go wrong in SQLite, sorted by what a caller may conclude.

use ca::ports::{StoreError, StoreErrorKind};
use rusqlite::ErrorCode;

/// Why a step of the writer or a read failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// SQLite said so.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A record of ours that we can't read.
    #[error("{what} is unreadable: {detail}")]
    Corrupt {
        /// Which column of which table.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The step itself refuses; nothing was written.
    #[error(transparent)]
    Refused(#[from] StoreError),
}

/// What a step or a read comes to.
pub(crate) type Step<T> = Result<T, Failure>;

// `SQLITE_IOERR_*` of <https://www.sqlite.org/rescode.html>: what a sync, or the keeping of what it made durable,
// failed with.
const IOERR_FSYNC: i32 = 10 | 4 << 8;
const IOERR_DIR_FSYNC: i32 = 10 | 5 << 8;
const IOERR_TRUNCATE: i32 = 10 | 6 << 8;
const IOERR_DIR_CLOSE: i32 = 10 | 17 << 8;
const IOERR_CLOSE: i32 = 10 | 16 << 8;

impl Failure {
    pub(crate) fn corrupt(what: &'static str, detail: impl ToString) -> Self {
        Self::Corrupt { what, detail: detail.to_string() }
    }

    /// What a caller may conclude when this ended a step or a read, and the transaction was rolled back.
    pub(crate) fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Sqlite(error) => kind_of(error),
            Self::Corrupt { .. } => StoreErrorKind::Corrupt,
            Self::Refused(error) => error.kind,
        }
    }

    /// Whether it is the disk or the file that fails, and not this one step: nobody else can write either.
    pub(crate) fn is_the_disks(&self) -> bool {
        match self {
            Self::Sqlite(error) => matches!(kind_of(error), StoreErrorKind::Full | StoreErrorKind::Fatal),
            Self::Corrupt { .. } | Self::Refused(_) => false,
        }
    }

    /// What a caller may conclude when this ended a COMMIT: what the disk holds after an input or output error is found
    /// out by the next start alone.
    pub(crate) fn kind_at_commit(&self) -> StoreErrorKind {
        match self {
            Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
                StoreErrorKind::Fatal
            }
            Self::Sqlite(_) | Self::Corrupt { .. } | Self::Refused(_) => self.kind(),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Sqlite(_) | Failure::Corrupt { .. } => Self::new(failure.kind(), failure.to_string()),
        }
    }
}

fn kind_of(error: &rusqlite::Error) -> StoreErrorKind {
    let Some(failure) = error.sqlite_error() else {
        // A column that has not the type we wrote: everything else of rusqlite's own is a fault of this program.
        return StoreErrorKind::Corrupt;
    };
    if matches!(failure.extended_code, IOERR_FSYNC | IOERR_DIR_FSYNC | IOERR_TRUNCATE | IOERR_DIR_CLOSE | IOERR_CLOSE) {
        return StoreErrorKind::Fatal;
    }
    if failure.code == ErrorCode::DiskFull {
        return StoreErrorKind::Full;
    }
    if matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) {
        return StoreErrorKind::Fatal;
    }
    StoreErrorKind::Unavailable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(extended: i32) -> Failure {
        Failure::Sqlite(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(extended), None))
    }

    #[test]
    fn a_full_disk_is_no_catastrophe_and_a_failed_sync_is_one() {
        assert_eq!(failure(13).kind(), StoreErrorKind::Full);
        assert_eq!(failure(13).kind_at_commit(), StoreErrorKind::Full);
        assert_eq!(failure(IOERR_FSYNC).kind(), StoreErrorKind::Fatal);
        assert_eq!(failure(11).kind(), StoreErrorKind::Fatal);
        assert_eq!(failure(5).kind(), StoreErrorKind::Unavailable);
    }

    #[test]
    fn a_write_error_is_fatal_at_the_commit_alone() {
        let write = 10 | 3 << 8;
        assert_eq!(failure(write).kind(), StoreErrorKind::Unavailable);
        assert_eq!(failure(write).kind_at_commit(), StoreErrorKind::Fatal);
    }
}
