//! The connections that read. None is held across an `.await`.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use ca::ports::{StoreError, StoreErrorKind, Stored};
use rusqlite::Connection;

use super::failure::Step;
use super::open::{self, OpenError};

/// A few read-only connections; a reader takes one that is free.
#[derive(Debug)]
pub(super) struct Readers {
    /// For point reads: held for microseconds.
    points: Vec<Mutex<Connection>>,
    next: AtomicUsize,
    /// For scans, so that none of them is in the way of a point read.
    scans: Arc<Mutex<Connection>>,
    /// For records of some hundred KiB, found by their names: too long to be read in passing, and asked for by whoever
    /// likes, so that they must not be in the way of scans.
    large: Arc<Mutex<Connection>>,
}

impl Readers {
    pub(super) fn open(path: &Path, number: usize, cache_kib: u32) -> Result<Self, OpenError> {
        let connection = || open::reader(path, cache_kib).map(Mutex::new);
        let points = (0..number.clamp(1, 16)).map(|_| connection()).collect::<Result<_, _>>()?;
        let (scans, large) = (Arc::new(connection()?), Arc::new(connection()?));
        Ok(Self { points, next: AtomicUsize::new(0), scans, large })
    }

    /// Reads a few records, here and now.
    pub(super) fn read<T>(&self, step: impl FnOnce(&Connection) -> Step<T>) -> Stored<T> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for offset in 0..self.points.len() {
            match self.points[(first + offset) % self.points.len()].try_lock() {
                Ok(connection) => return Ok(run(&connection, step)?),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(run(&poisoned.into_inner(), step)?),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let connection = self.points[first % self.points.len()].lock().unwrap_or_else(PoisonError::into_inner);
        Ok(run(&connection, step)?)
    }

    /// Reads many records, in a thread that may block. Outside a runtime it reads here.
    pub(super) async fn scan<T: Send + 'static>(
        &self,
        step: impl FnOnce(&Connection) -> Step<T> + Send + 'static,
    ) -> Stored<T> {
        beside(Arc::clone(&self.scans), step).await
    }

    /// Reads one large record, likewise.
    pub(super) async fn read_large<T: Send + 'static>(
        &self,
        step: impl FnOnce(&Connection) -> Step<T> + Send + 'static,
    ) -> Stored<T> {
        beside(Arc::clone(&self.large), step).await
    }
}

async fn beside<T: Send + 'static>(
    connection: Arc<Mutex<Connection>>,
    step: impl FnOnce(&Connection) -> Step<T> + Send + 'static,
) -> Stored<T> {
    let read = move || {
        let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(run(&connection, step)?)
    };
    if tokio::runtime::Handle::try_current().is_err() {
        return read();
    }
    let answer = tokio::task::spawn_blocking(read).await;
    answer.unwrap_or_else(|error| {
        Err(StoreError::new(StoreErrorKind::Unavailable, format!("a read of the store ended early: {error}")))
    })
}

/// What panicked here has only read, but may have left its snapshot open: whoever comes next must not read in the past.
fn run<T>(connection: &Connection, step: impl FnOnce(&Connection) -> Step<T>) -> Step<T> {
    if !connection.is_autocommit() {
        connection.prepare_cached("-- readers.end\nROLLBACK")?.execute([])?;
    }
    step(connection)
}

/// Runs several statements on one state of the store.
pub(super) fn snapshot<T>(connection: &Connection, step: impl FnOnce(&Connection) -> Step<T>) -> Step<T> {
    connection.prepare_cached("-- readers.begin\nBEGIN")?.execute([])?;
    let read = step(connection);
    connection.prepare_cached("-- readers.end\nROLLBACK")?.execute([])?;
    read
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use crate::sqlite::{Database, FILE_NAME, OpenOptions};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn large_record_is_read_while_a_scan_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join(FILE_NAME), OpenOptions::default()).unwrap();
        let (begun, has_begun) = oneshot::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let scanned = database.clone();
        let scan = tokio::spawn(async move {
            let step = move |_: &rusqlite::Connection| {
                begun.send(()).unwrap();
                ends.recv().unwrap();
                Ok(())
            };
            scanned.scan(step).await
        });
        has_begun.await.unwrap();
        let read = database.read_large(|_| Ok(7));
        assert_eq!(tokio::time::timeout(Duration::from_secs(60), read).await.expect("it waits for nobody"), Ok(7));
        end.send(()).unwrap();
        scan.await.unwrap().unwrap();
    }
}
