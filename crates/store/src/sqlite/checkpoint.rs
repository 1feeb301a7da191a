//! Copying the write-ahead log into the file: by a thread of its own, beside the writer, so that no commit waits for
//! it.
//!
//! Such a copy never quite catches a busy writer, and the log begins anew only when nothing is left in it. So above a
//! mark the writer waits for the thread, and copies the few pages itself that it has left.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::failure::{Failure, Step};
use super::writer::Health;

/// When a checkpoint is due, and who makes it. Held by the writer's thread.
#[derive(Debug)]
pub(super) struct Checkpoints {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    work: Arc<Work>,
    /// Frames of the log from one checkpoint to the next.
    step: u64,
    /// Above so many frames the writer makes it.
    frames_max: u64,
    /// The next one is due at so many frames.
    due: u64,
}

impl Checkpoints {
    /// Starts the thread.
    pub(super) fn start(
        connection: Connection,
        health: Arc<Health>,
        octets: (u64, u64),
        page_octets: u64,
    ) -> std::io::Result<Self> {
        let (wake, woken) = sync_channel::<()>(1);
        let work = Arc::<Work>::default();
        let working = Arc::clone(&work);
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned()).spawn(move || {
            while woken.recv().is_ok() {
                // Done when it is dropped, so that the writer never waits for a thread that panicked.
                let _copying = Copying(&working);
                copy(&connection, &health);
            }
        })?;
        let (step, max) = octets;
        let step = (step / page_octets).max(1);
        let frames_max = (max / page_octets).max(2 * step);
        Ok(Self { wake: Some(wake), thread: Some(thread), work, step, frames_max, due: step })
    }

    /// Called by the writer between two transactions.
    pub(super) fn after_commit(&mut self, writer: &Connection, health: &Health) {
        let frames = match frames(writer) {
            Ok(frames) => frames,
            Err(failure) => return tracing::warn!(%failure, "the length of the write-ahead log can't be read"),
        };
        if frames < self.step {
            // It has begun anew.
            self.due = self.step;
        }
        if frames > self.frames_max && frames >= self.due {
            self.work.wait();
            copy(writer, health);
            self.due = frames + self.step;
        } else if let Some(wake) = &self.wake
            && frames >= self.due
            && self.work.begin()
        {
            self.due = frames + self.step;
            if wake.send(()).is_err() {
                self.work.done();
            }
        }
    }
}

/// Whether the thread is copying.
#[derive(Debug, Default)]
struct Work {
    copying: Mutex<bool>,
    ended: Condvar,
}

struct Copying<'w>(&'w Work);

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        self.0.done();
    }
}

impl Work {
    /// `false`: it is copying already.
    fn begin(&self) -> bool {
        !std::mem::replace(&mut *self.lock(), true)
    }

    fn done(&self) {
        *self.lock() = false;
        self.ended.notify_all();
    }

    fn wait(&self) {
        let mut copying = self.lock();
        while *copying {
            copying = self.ended.wait(copying).unwrap_or_else(PoisonError::into_inner);
        }
    }

    // Nothing that panics runs under this lock.
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.copying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        drop(self.wake.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that copies the write-ahead log panicked");
        }
    }
}

/// How many frames the log holds.
fn frames(connection: &Connection) -> Step<u64> {
    let frames: i64 = connection
        .prepare_cached("-- checkpoint.frames\nPRAGMA wal_checkpoint(NOOP)")?
        .query_row([], |row| row.get(1))?;
    Ok(u64::try_from(frames).unwrap_or(0))
}

/// `PASSIVE` waits for nobody: it copies what no reader needs any more and leaves the rest for the next time.
fn copy(connection: &Connection, health: &Health) {
    let copied = connection
        .prepare_cached("-- checkpoint.copy\nPRAGMA wal_checkpoint(PASSIVE)")
        .and_then(|mut statement| statement.query_row([], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))));
    match copied.map_err(Failure::from) {
        Ok((frames, copied)) => tracing::debug!(frames, copied, "checkpoint"),
        Err(failure) if failure.kind() == ca::ports::StoreErrorKind::Fatal => health.fatal(failure.into()),
        // The log keeps what was not copied.
        Err(failure) => tracing::warn!(%failure, "the write-ahead log could not be copied into the store"),
    }
}
