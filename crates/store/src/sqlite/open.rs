//! Opening `cairn.db`: whose file it is, which schema it has, and how its connections are set up.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca::ports::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::columns::{Col, col};
use super::migrations::{self, SCHEMA};

/// Written into the header of each file of ours: "CARN".
const APPLICATION_ID: i32 = 0x4341_524e;
/// Below it, a checkpoint beside a writer can damage the file (<https://www.sqlite.org/wal.html#walresetbug>).
const SQLITE_MIN: i32 = 3_051_003;
/// Statements that a connection keeps compiled; there are fewer than that.
const STATEMENTS_KEPT: usize = 128;
/// Another process may hold the write lock for a moment: an operator's shell.
const BUSY_TIMEOUT_MS: u32 = 5_000;

/// Why a store can't be opened. All of them are for the operator, who chose the file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such file, and it was to be read only.
    #[error("there is no store at {}: `cairn serve` makes one, or name the right data folder", .0.display())]
    Missing(PathBuf),
    /// A database of another program.
    #[error(
        "{} is a database of another program (application id {found:#x}): nothing in it was touched; name an empty \
         data folder, or the one that holds a store of cairn's",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        found: i32,
    },
    /// No SQLite database at all.
    #[error(
        "{} is no SQLite database: nothing in it was touched; restore it from a backup, or name another data folder",
        .0.display()
    )]
    NotADatabase(PathBuf),
    /// Made by a later version.
    #[error(
        "{} was made by a newer cairn: schema {found}, this one knows {known}; use the newer program, or a backup from \
         before the upgrade",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Made by an earlier version, and opened for reading only.
    #[error(
        "{} has schema {found}, this cairn reads {known}: start `cairn serve` once, which brings it up to date",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A migration that was applied is not the one we know.
    #[error(
        "migration {number} ({name}) of this store is not the one that this program contains: the store was made by a \
         build that was never released, or changed by hand"
    )]
    Altered {
        /// Which.
        number: u32,
        /// Its title.
        name: &'static str,
    },
    /// The file system doesn't let us write.
    #[error(
        "{} can't be written ({detail}): check its owner, its mode, that of its folder, and the file system",
        path.display()
    )]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What was refused.
        detail: String,
    },
    /// The disk has no room for what every process that opens the store writes.
    #[error("{} can't be opened ({detail}): the disk is full; make room, and start again", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What was refused.
        detail: String,
    },
    /// The file system doesn't let us read.
    #[error("{} can't be read ({detail}): check its owner and its mode", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What was refused.
        detail: String,
    },
    /// A record that every store has can't be read.
    #[error("{} is damaged ({detail}); restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The SQLite in this program has a fault that can damage stores.
    #[error("this program contains SQLite {0}, which can damage a store; build it with 3.51.3 or later")]
    SqliteTooOld(&'static str),
    /// Anything else that SQLite reports.
    #[error("the store can't be opened: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// How a store is opened. The defaults are those of the embedded store.
#[derive(Clone)]
pub struct OpenOptions {
    /// Connections for reading, beside the writer's: 1 to 16.
    pub readers: usize,
    /// At most so many requests share a transaction and a sync.
    pub batch_max: usize,
    /// At most so many requests wait for the writer; those above wait to wait.
    pub queue_max: usize,
    /// The writer's page cache at most, in KiB.
    pub writer_cache_kib: u32,
    /// The page cache of each reader at most, in KiB.
    pub reader_cache_kib: u32,
    /// The write-ahead log is copied into the file, beside the writer, each time it has grown by so many octets.
    pub checkpoint_octets: u64,
    /// Above so many octets the writer itself copies what is left, so that the log begins anew.
    pub log_octets_max: u64,
    /// A file of more than so many octets counts as a full disk; `None`: the disk decides.
    pub file_octets_max: Option<u64>,
    /// Called once when a sync failed or the store is damaged: the process has to end, and recovers at its next start.
    pub on_fatal: Arc<dyn Fn(&StoreError) + Send + Sync>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            readers: 3,
            batch_max: 512,
            queue_max: 1024,
            writer_cache_kib: 8 * 1024,
            reader_cache_kib: 1024,
            checkpoint_octets: 4 << 20,
            log_octets_max: 32 << 20,
            file_octets_max: None,
            on_fatal: Arc::new(|error| tracing::error!(%error, "the store can't be relied on any more")),
        }
    }
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenOptions")
            .field("readers", &self.readers)
            .field("batch_max", &self.batch_max)
            .finish_non_exhaustive()
    }
}

/// The connection that writes: it makes the file if there is none, and brings it to our schema.
pub(super) fn writer(path: &Path, options: &OpenOptions) -> Result<Connection, OpenError> {
    check_version(rusqlite::version_number(), rusqlite::version())?;
    create(path).map_err(|error| not_writable(path, error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|error| told(path, error))?;
    set_up(&connection, options.writer_cache_kib).map_err(|error| told(path, error))?;
    recognise(&connection, path, true)?;
    let octets = page_octets(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(|error| told(path, error))?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", Col(options.log_octets_max))?;
    if let Some(limit) = options.file_octets_max {
        connection.pragma_update(None, "max_page_count", Col(limit / octets))?;
    }
    copy_what_was_left(&connection);
    match migrations::migrate(&mut connection) {
        Err(OpenError::Sqlite(error)) => return Err(told(path, error)),
        migrated => migrated?,
    }
    Ok(connection)
}

/// Copies the write-ahead log that a process left behind into the file, before anything is written behind it. If a sync
/// of it failed, Linux takes it for written from then on: whoever reads it sees all of it, and the disk may have less.
/// What were appended would be lost with the next power cut, since a log counts up to its first gap.
fn copy_what_was_left(connection: &Connection) {
    let copied: rusqlite::Result<(bool, i64)> =
        connection.query_row("-- open.copy\nPRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok((row.get(0)?, row.get(2)?)));
    match copied {
        // Another process has the store open, and with it a log that goes on.
        Ok((true, _)) | Ok((false, ..=0)) => {}
        Ok((false, frames)) => tracing::debug!(frames, "the write-ahead log was copied into the store"),
        // On a full disk the store opens, and serves what it can.
        Err(error) => tracing::warn!(%error, "the write-ahead log could not be copied into the store"),
    }
}

/// A connection that only reads, beside a writer or not.
pub(super) fn reader(path: &Path, cache_kib: u32) -> Result<Connection, OpenError> {
    check_version(rusqlite::version_number(), rusqlite::version())?;
    if !path.exists() {
        return Err(OpenError::Missing(path.to_owned()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| told(path, error))?;
    set_up(&connection, cache_kib).map_err(|error| told(path, error))?;
    match recognise(&connection, path, false) {
        // SQLite needs a place for its index of the write-ahead log. Where the folder gives none, there is no live
        // writer either, and the file alone says all, unless a log was left behind.
        Err(OpenError::NotWritable { .. }) if !with_suffix(path, "-wal").exists() => {
            let connection = Connection::open_with_flags(immutable(path), flags | OpenFlags::SQLITE_OPEN_URI)?;
            set_up(&connection, cache_kib)?;
            recognise(&connection, path, false)?;
            Ok(connection)
        }
        Err(error) => Err(error),
        Ok(()) => Ok(connection),
    }
}

/// The connection of the thread that copies the log into the file.
pub(super) fn checkpointer(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| told(path, error))?;
    set_up(&connection, 64)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

pub(super) fn page_octets(connection: &Connection) -> rusqlite::Result<u64> {
    connection.pragma_query_value(None, "page_size", |row| col(row, 0))
}

fn set_up(connection: &Connection, cache_kib: u32) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Without this guarantee SQLite compiles many kept statements anew each time that values are bound to them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MS)?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What a person at the shell, or a damaged file, may have put into the schema is not run unchecked.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

fn check_version(number: i32, name: &'static str) -> Result<(), OpenError> {
    if number < SQLITE_MIN { Err(OpenError::SqliteTooOld(name)) } else { Ok(()) }
}

/// Whose file it is, before anything in it is changed.
fn recognise(connection: &Connection, path: &Path, for_writing: bool) -> Result<(), OpenError> {
    let told = |error| told(path, error);
    let tables: u32 = connection
        .query_row("-- open.tables\nSELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(told)?;
    let found: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(told)?;
    let schema = migrations::schema(connection).map_err(told)?;
    let path = path.to_owned();
    if tables == 0 && found == 0 {
        // An empty file: what a first start leaves that was killed before it had made its tables.
        return if for_writing { Ok(()) } else { Err(OpenError::Older { path, found: 0, known: SCHEMA }) };
    }
    if found != APPLICATION_ID {
        return Err(OpenError::Foreign { path, found });
    }
    if schema > SCHEMA {
        return Err(OpenError::Newer { path, found: schema, known: SCHEMA });
    }
    if schema < SCHEMA && !for_writing {
        return Err(OpenError::Older { path, found: schema, known: SCHEMA });
    }
    Ok(())
}

/// Makes the file readable by nobody else; SQLite gives its companions the same mode.
fn create(path: &Path) -> io::Result<()> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all()?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::File::open(folder)?.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::OpenOptions::new().append(true).open(path).map(drop)
        }
        Err(error) => Err(error),
    }
}

fn not_writable(path: &Path, error: impl ToString) -> OpenError {
    OpenError::NotWritable { path: path.to_owned(), detail: error.to_string() }
}

/// What SQLite says about opening a file, in the operator's words.
fn told(path: &Path, error: rusqlite::Error) -> OpenError {
    let code = error.sqlite_error_code();
    if code == Some(ErrorCode::NotADatabase) {
        OpenError::NotADatabase(path.to_owned())
    } else if code == Some(ErrorCode::DiskFull) || cannot_lengthen_index(&error) {
        OpenError::Full { path: path.to_owned(), detail: error.to_string() }
    } else if matches!(code, Some(ErrorCode::ReadOnly)) || cannot_make_index(&error) {
        not_writable(path, error)
    } else if matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied)) {
        OpenError::Unreadable { path: path.to_owned(), detail: error.to_string() }
    } else {
        OpenError::Sqlite(error)
    }
}

/// `SQLITE_IOERR_SHMSIZE`: SQLite reports a full disk so when its index of the write-ahead log can't grow.
fn cannot_lengthen_index(error: &rusqlite::Error) -> bool {
    const SQLITE_IOERR_SHMSIZE: i32 = 10 | 19 << 8;
    error.sqlite_error().is_some_and(|failure| failure.extended_code == SQLITE_IOERR_SHMSIZE)
}

/// `SQLITE_CANTOPEN` of a file that exists comes from its companions, which could not be made.
fn cannot_make_index(error: &rusqlite::Error) -> bool {
    const SQLITE_CANTOPEN: i32 = 14;
    error.sqlite_error().is_some_and(|failure| failure.extended_code == SQLITE_CANTOPEN)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// A URI that says: nobody writes to this file. Octets that mean something in a URI are escaped.
fn immutable(path: &Path) -> String {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;

    let mut uri = String::from("file:");
    for octet in path.as_os_str().as_bytes() {
        if octet.is_ascii_alphanumeric() || b"/._-".contains(octet) {
            uri.push(char::from(*octet));
        } else {
            // Writing to a String never fails.
            let _written = write!(uri, "%{octet:02X}");
        }
    }
    uri.push_str("?immutable=1");
    uri
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_sqlite_that_can_damage_stores_is_refused() {
        assert!(matches!(check_version(3_051_002, "3.51.2"), Err(OpenError::SqliteTooOld("3.51.2"))));
        assert!(check_version(SQLITE_MIN, "3.51.3").is_ok());
        assert!(check_version(rusqlite::version_number(), rusqlite::version()).is_ok());
    }

    #[test]
    fn paths_are_escaped_in_uris() {
        assert_eq!(immutable(Path::new("/a b/c?d")), "file:/a%20b/c%3Fd?immutable=1");
    }

    #[test]
    fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cairn.db");
        let connection = writer(&path, &OpenOptions::default()).unwrap();
        connection.execute("DELETE FROM rechecks", []).unwrap();
        for file in [path.clone(), with_suffix(&path, "-wal")] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_database_of_another_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cairn.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        let before = fs::read(&path).unwrap();
        assert!(matches!(writer(&path, &OpenOptions::default()), Err(OpenError::Foreign { found: 0, .. })));
        assert!(matches!(reader(&path, 64), Err(OpenError::Foreign { found: 0, .. })));
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn what_is_no_database_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cairn.db");
        fs::write(
            &path,
            "a letter to a friend, long enough to be taken for the header of a database file.....".repeat(20),
        )
        .unwrap();
        assert!(matches!(writer(&path, &OpenOptions::default()), Err(OpenError::NotADatabase(_))));
        assert!(matches!(reader(&path, 64), Err(OpenError::NotADatabase(_))));
    }

    #[test]
    fn a_store_of_a_newer_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cairn.db");
        let newer = SCHEMA + 1;
        writer(&path, &OpenOptions::default()).unwrap().pragma_update(None, "user_version", newer).unwrap();
        let error = writer(&path, &OpenOptions::default()).unwrap_err();
        let told = format!("made by a newer cairn: schema {newer}, this one knows {SCHEMA}");
        assert!(error.to_string().contains(&told), "{error}");
        assert!(matches!(reader(&path, 64), Err(OpenError::Newer { found, .. }) if found == newer));
    }

    #[test]
    fn kept_statements_are_compiled_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cairn.db");
        let connection = writer(&path, &OpenOptions::default()).unwrap();
        for sql in [
            "SELECT d.packed FROM orders o JOIN order_documents d ON d.order_row = o.row WHERE o.id = ?1",
            "SELECT s.row FROM serials s JOIN orders o ON o.row = s.order_row WHERE s.serial = ?1",
        ] {
            for id in [[1_u8; 16], [2; 16], [3; 16]] {
                assert!(!connection.prepare_cached(sql).unwrap().exists([id]).unwrap());
            }
            let again = connection.prepare_cached(sql).unwrap().get_status(StatementStatus::RePrepare);
            assert_eq!(again, 0, "{sql}");
        }
    }

    #[test]
    fn reading_makes_no_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cairn.db");
        assert!(matches!(reader(&path, 64), Err(OpenError::Missing(_))));
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_in_the_place_of_the_file_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = writer(folder.path(), &OpenOptions::default()).unwrap_err();
        assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
    }
}
