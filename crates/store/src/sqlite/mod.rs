//! The embedded store: ledger, workbench and built-in logs in one SQLite file, `cairn.db`.
//!
//! One thread writes (`writer`), a few connections read. A point read is done where it is asked for: in a write-ahead
//! log readers wait for nobody, and the file is in memory. What pages through many records goes to a thread that may
//! block.

mod checkpoint;
mod columns;
mod failure;
mod inspect;
mod ledger;
mod log_store;
mod migrations;
mod open;
mod readers;
mod tally;
mod workbench;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use ca::ports::{Clock, Random, Stored};

use crate::nonce::NonceFile;
use checkpoint::Checkpoints;
use readers::Readers;
use writer::{Health, Writer};

pub use inspect::{Mend, Misfit, Misfits, Table, Wrong};
pub use ledger::SqliteLedger;
pub use log_store::SqliteLogStore;
pub use migrations::SCHEMA;
pub use open::{OpenError, OpenOptions};
pub use workbench::SqliteWorkbench;
pub use writer::WriterCounts;

/// The name of the file in a data folder.
pub const FILE_NAME: &str = "cairn.db";

/// An open store. Cheap to clone; the file is closed when the last clone, and all ports made of it, are gone.
#[derive(Clone, Debug)]
pub struct Database {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Taken out when the last `Database` is dropped, and not before.
    ways: Option<Ways>,
    thread: Option<JoinHandle<()>>,
}

/// The ways into the file.
#[derive(Debug)]
struct Ways {
    readers: Arc<Readers>,
    writer: Writer,
}

impl Database {
    /// Opens the store, and makes it if there is none. Who opens it holds the instance's lock: it has one writer.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file, and what would be right.
    pub fn open(path: impl AsRef<Path>, options: OpenOptions) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let connection = open::writer(&path, &options)?;
        let page_octets = open::page_octets(&connection)?;
        let newest = tally::NewestKnown::read(&connection)
            .map_err(|failure| OpenError::Damaged { path: path.clone(), detail: failure.to_string() })?;
        let readers = Readers::open(&path, options.readers, options.reader_cache_kib)?;
        let health = Arc::new(Health::new(Arc::clone(&options.on_fatal)));
        let unstarted =
            |error: std::io::Error| OpenError::NotWritable { path: path.clone(), detail: error.to_string() };
        let checkpoints = Checkpoints::start(
            open::checkpointer(&path)?,
            Arc::clone(&health),
            (options.checkpoint_octets, options.log_octets_max),
            page_octets,
        )
        .map_err(unstarted)?;
        let (writer, thread) =
            Writer::start(connection, checkpoints, health, newest, (options.batch_max, options.queue_max))
                .map_err(unstarted)?;
        Ok(Self::of(path, readers, writer, Some(thread)))
    }

    /// Opens a store for reading only, live or stopped. Every transition is refused as `Unavailable`.
    ///
    /// # Errors
    /// [`OpenError`]; an older schema too, since nothing is changed.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let readers = Readers::open(&path, 1, OpenOptions::default().reader_cache_kib)?;
        Ok(Self::of(path, readers, Writer::none(), None))
    }

    fn of(path: PathBuf, readers: Readers, writer: Writer, thread: Option<JoinHandle<()>>) -> Self {
        let ways = Some(Ways { readers: Arc::new(readers), writer });
        Self { shared: Arc::new(Shared { path, ways, thread }) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The ledger.
    pub fn ledger(&self, clock: Arc<dyn Clock>) -> SqliteLedger {
        SqliteLedger::new(self.clone(), clock)
    }

    /// The workbench, with at most `active_max` active orders.
    ///
    /// # Errors
    /// Those of a read: it looks how many orders there are, and where the queues end.
    pub fn workbench(
        &self,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        nonces: Option<Arc<NonceFile>>,
        active_max: u64,
    ) -> Stored<SqliteWorkbench> {
        SqliteWorkbench::new(self.clone(), clock, random, nonces, active_max)
    }

    /// The store of the built-in logs.
    pub fn log_store(&self, clock: Arc<dyn Clock>) -> SqliteLogStore {
        SqliteLogStore::new(self.clone(), clock)
    }

    /// What the writer did since the store was opened: for metrics.
    pub fn writer_counts(&self) -> WriterCounts {
        self.writer().counts()
    }

    /// Looks at the whole file: whether its pages, rows and indexes are sound, and its references lead somewhere. What
    /// is wrong, at most 100 lines; nothing if all is well.
    ///
    /// # Errors
    /// Those of a read.
    pub async fn integrity(&self) -> Stored<Vec<String>> {
        self.scan(|connection| {
            let mut found: Vec<String> = connection
                .prepare("-- integrity.pages\nPRAGMA quick_check(100)")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            found.retain(|line| line != "ok");
            let mut references = connection.prepare("-- integrity.references\nPRAGMA foreign_key_check")?;
            let mut rows = references.query([])?;
            while let Some(row) = rows.next()?
                && found.len() < 100
            {
                let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
                found.push(format!("{table} refers to a record of {parent} that isn't there"));
            }
            Ok(found)
        })
        .await
    }

    /// Looks at the pages, rows and indexes of the file alone; `thorough`: also whether each index has what its table
    /// has, which takes several times as long. What is wrong, at most 100 lines.
    ///
    /// # Errors
    /// Those of a read.
    pub async fn pages(&self, thorough: bool) -> Stored<Vec<String>> {
        self.scan(move |connection| {
            let sql = if thorough {
                "-- integrity.whole\nPRAGMA integrity_check(100)"
            } else {
                "-- integrity.pages\nPRAGMA quick_check(100)"
            };
            let lines =
                connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
            Ok(lines.into_iter().filter(|line| line != "ok").collect())
        })
        .await
    }

    fn ways(&self) -> &Ways {
        self.shared.ways.as_ref().expect("they are taken out when the last Database is dropped, and not before")
    }

    fn writer(&self) -> &Writer {
        &self.ways().writer
    }

    fn read<T>(&self, step: impl FnOnce(&rusqlite::Connection) -> failure::Step<T>) -> Stored<T> {
        self.ways().readers.read(step)
    }

    async fn scan<T: Send + 'static>(
        &self,
        step: impl FnOnce(&rusqlite::Connection) -> failure::Step<T> + Send + 'static,
    ) -> Stored<T> {
        self.ways().readers.scan(step).await
    }

    async fn read_large<T: Send + 'static>(
        &self,
        step: impl FnOnce(&rusqlite::Connection) -> failure::Step<T> + Send + 'static,
    ) -> Stored<T> {
        self.ways().readers.read_large(step).await
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The readers close first: who closes last copies the log into the file and takes it away, which no reader may.
        // The thread ends when the way to it is gone and what is still in its queue is written.
        drop(self.ways.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer of the store panicked");
        }
    }
}
