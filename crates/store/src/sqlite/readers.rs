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
    scans: Mutex<Connection>,
}

impl Readers {
    pub(super) fn open(path: &Path, number: usize, cache_kib: u32) -> Result<Self, OpenError> {
        let connection = || open::reader(path, cache_kib).map(Mutex::new);
        let points = (0..number.clamp(1, 16)).map(|_| connection()).collect::<Result<_, _>>()?;
        Ok(Self { points, next: AtomicUsize::new(0), scans: connection()? })
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
        readers: &Arc<Self>,
        step: impl FnOnce(&Connection) -> Step<T> + Send + 'static,
    ) -> Stored<T> {
        let readers = Arc::clone(readers);
        let read = move || {
            let connection = readers.scans.lock().unwrap_or_else(PoisonError::into_inner);
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
