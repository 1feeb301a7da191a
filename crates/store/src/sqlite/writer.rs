//! The one writer: a thread that takes requests from a bounded queue, as many as there are, and commits them as one
//! transaction with one sync. While a sync runs the next batch gathers, so the slower the disk, the more share a sync.
//!
//! A batch in which nobody waits for the disk is committed without a sync. It is in the write-ahead log nevertheless,
//! before everything that comes later, so the next sync makes it durable too: order is kept, and a crash can forget the
//! last of these only.

use std::cell::RefCell;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ca::ports::{Newest, Recorded, StoreError, StoreErrorKind, Stored};
use pki::Timestamp;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::Checkpoints;
use super::failure::{Failure, Step};
use super::tally::{NewestKnown, Tally};

/// Whether a request waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// On disk when it is answered.
    Synced,
    /// Committed when it is answered, after all that came before it; a power cut may forget it.
    Ordered,
}

/// The transaction that a step writes in, with what it counts.
#[derive(Debug)]
pub(crate) struct Batch<'c> {
    connection: &'c Connection,
    tally: RefCell<Tally>,
    /// The newest record before this transaction.
    before: Newest,
}

impl Batch<'_> {
    /// Counts what the step does to the ledger.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.borrow_mut());
    }

    /// Notes the time of what the step records in the ledger.
    pub(crate) fn dated(&self, at: Timestamp, record: Recorded) {
        self.count(|tally| tally.newest = tally.newest.or(Newest { at, record }));
    }

    /// When something is written that is to be known for new by its time: never before what was written already.
    pub(crate) fn written(&self, at: Timestamp) -> Timestamp {
        let tally = self.tally.borrow();
        at.max(tally.newest.at).max(tally.accepted.unwrap_or(self.before.at))
    }
}

impl Deref for Batch<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// What the writer did since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterCounts {
    /// Requests taken from the queue.
    pub requests: u64,
    /// Transactions committed.
    pub transactions: u64,
    /// Those of them that were synced.
    pub syncs: u64,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    transactions: AtomicU64,
    syncs: AtomicU64,
}

/// Whether the store can still be relied on; once it can't, it never can again.
pub(super) struct Health {
    broken: OnceLock<StoreError>,
    on_fatal: Arc<dyn Fn(&StoreError) + Send + Sync>,
}

impl Health {
    pub(super) fn new(on_fatal: Arc<dyn Fn(&StoreError) + Send + Sync>) -> Self {
        Self { broken: OnceLock::new(), on_fatal }
    }

    pub(super) fn broken(&self) -> Option<StoreError> {
        self.broken.get().cloned()
    }

    /// The first such error is told to whoever opened the store.
    pub(super) fn fatal(&self, error: StoreError) {
        if self.broken.set(error.clone()).is_ok() {
            (self.on_fatal)(&error);
        }
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("broken", &self.broken).finish_non_exhaustive()
    }
}

/// A step on its way through the writer.
trait Request: Send {
    fn durability(&self) -> Durability;
    /// Runs the step and keeps its result. May be called again, in a new transaction.
    fn run(&mut self, batch: &Batch<'_>) -> Step<()>;
    /// The transaction was committed.
    fn done(self: Box<Self>);
    /// Nothing was written.
    fn refuse(self: Box<Self>, error: StoreError);
}

struct Job<T, S, A> {
    durability: Durability,
    step: S,
    after: A,
    result: Option<T>,
    reply: oneshot::Sender<Stored<T>>,
}

impl<T, S, A> Request for Job<T, S, A>
where
    T: Send,
    S: FnMut(&Batch<'_>) -> Step<T> + Send,
    A: FnOnce(&T) + Send,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn run(&mut self, batch: &Batch<'_>) -> Step<()> {
        self.result = None;
        self.result = Some((self.step)(batch)?);
        Ok(())
    }

    fn done(self: Box<Self>) {
        let Self { result, after, reply, .. } = *self;
        let Some(result) = result else { return };
        after(&result);
        // Who asked may have gone; what was written stays.
        let _gone = reply.send(Ok(result));
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        let _gone = self.reply.send(Err(error));
    }
}

/// The way to the writer.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Request>>>,
    counters: Arc<Counters>,
    newest: Option<Arc<NewestKnown>>,
}

impl Writer {
    /// Of a store that is open for reading only: it refuses everything.
    pub(super) fn none() -> Self {
        Self { queue: None, counters: Arc::default(), newest: None }
    }

    /// Starts the thread. It ends when the `Writer` is gone and the queue is empty.
    pub(super) fn start(
        connection: Connection,
        checkpoints: Checkpoints,
        health: Arc<Health>,
        newest: NewestKnown,
        (batch_max, queue_max): (usize, usize),
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (queue, requests) = mpsc::channel(queue_max.max(1));
        let (counters, newest) = (Arc::<Counters>::default(), Arc::new(newest));
        let thread = Thread {
            connection,
            checkpoints,
            health,
            counters: Arc::clone(&counters),
            newest: Arc::clone(&newest),
            synchronous: Durability::Synced,
            batch_max: batch_max.max(1),
        };
        let handle = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || thread.run(requests))?;
        Ok((Self { queue: Some(queue), counters, newest: Some(newest) }, handle))
    }

    /// The newest record of the ledger; `None`: the store is open for reading only.
    pub(super) fn newest(&self) -> Option<&Arc<NewestKnown>> {
        self.newest.as_ref()
    }

    pub(super) fn counts(&self) -> WriterCounts {
        WriterCounts {
            requests: self.counters.requests.load(Ordering::Relaxed),
            transactions: self.counters.transactions.load(Ordering::Relaxed),
            syncs: self.counters.syncs.load(Ordering::Relaxed),
        }
    }

    /// Runs a step in the next transaction, and answers when that is committed, and on disk if asked for.
    ///
    /// A step checks first and writes then: one that fails after it has written costs its whole batch a second run. A
    /// step may therefore run more than once, and its effects outside the file belong into `after`, which runs in the
    /// writer's thread, in the order of the steps, once the transaction is committed, whether or not the caller still
    /// waits.
    ///
    /// # Errors
    /// `Unavailable` and `Full`: nothing was written. `Fatal`: the store can't be relied on any more. `Unknown`: the
    /// writer died.
    pub(crate) async fn submit<T, S, A>(&self, durability: Durability, step: S, after: A) -> Stored<T>
    where
        T: Send + 'static,
        S: FnMut(&Batch<'_>) -> Step<T> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        let Some(queue) = &self.queue else {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the store is open for reading only"));
        };
        let (reply, answer) = oneshot::channel();
        let job = Job { durability, step, after, result: None, reply };
        if queue.send(Box::new(job)).await.is_err() {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the store is closed"));
        }
        answer.await.unwrap_or_else(|_| {
            Err(StoreError::new(StoreErrorKind::Unknown, "the writer of the store ended before it answered"))
        })
    }

    /// [`Writer::submit`] for a step without effects outside the file.
    pub(crate) async fn write<T, S>(&self, durability: Durability, step: S) -> Stored<T>
    where
        T: Send + 'static,
        S: FnMut(&Batch<'_>) -> Step<T> + Send + 'static,
    {
        self.submit(durability, step, |_| {}).await
    }
}

struct Thread {
    connection: Connection,
    checkpoints: Checkpoints,
    health: Arc<Health>,
    counters: Arc<Counters>,
    newest: Arc<NewestKnown>,
    /// What the connection is set to.
    synchronous: Durability,
    batch_max: usize,
}

/// Why a transaction was rolled back.
enum Undone {
    /// One request failed after it had written; the others can be run again.
    Halfway(usize, StoreError),
    /// None of them can be written.
    All(StoreError),
}

impl Thread {
    fn run(mut self, mut requests: mpsc::Receiver<Box<dyn Request>>) {
        let mut batch = Vec::new();
        while requests.blocking_recv_many(&mut batch, self.batch_max) > 0 {
            self.counters.requests.fetch_add(batch.len() as u64, Ordering::Relaxed);
            self.settle(&mut batch);
            // A burst is no reason to keep its room for ever.
            batch.shrink_to(16);
            self.checkpoints.after_commit(&self.connection, &self.health);
        }
    }

    /// Answers all requests of a batch.
    fn settle(&mut self, batch: &mut Vec<Box<dyn Request>>) {
        while !batch.is_empty() {
            let attempt = match self.health.broken() {
                Some(error) => Err(Undone::All(error)),
                None => self.attempt(batch),
            };
            match attempt {
                Ok(failed) => return answer(batch, failed),
                Err(Undone::Halfway(at, error)) => batch.remove(at).refuse(error),
                Err(Undone::All(error)) => {
                    if error.kind == StoreErrorKind::Fatal {
                        self.health.fatal(error.clone());
                    }
                    for request in batch.drain(..) {
                        request.refuse(error.clone());
                    }
                }
            }
        }
    }

    /// One transaction for all of them. The requests that failed without a trace, if it was committed.
    fn attempt(&mut self, requests: &mut [Box<dyn Request>]) -> Result<Vec<(usize, StoreError)>, Undone> {
        let waited_for = requests.iter().any(|request| request.durability() == Durability::Synced);
        let durability = if waited_for { Durability::Synced } else { Durability::Ordered };
        self.synchronize(durability).and_then(|()| self.execute("-- writer.begin\nBEGIN IMMEDIATE")).map_err(whole)?;
        let ran = self.steps(requests);
        let committed = ran.and_then(|ran| {
            let commit = self.execute("-- writer.commit\nCOMMIT");
            commit.map(|()| ran).map_err(|failure| {
                Undone::All(StoreError::new(failure.kind_at_commit(), format!("the commit failed: {failure}")))
            })
        });
        match committed {
            Ok((failed, newest)) => {
                self.newest.committed(newest);
                self.counters.transactions.fetch_add(1, Ordering::Relaxed);
                self.counters.syncs.fetch_add(u64::from(waited_for), Ordering::Relaxed);
                Ok(failed)
            }
            Err(undone) => self.roll_back(undone),
        }
    }

    /// The requests that failed without a trace, and the newest record of the others.
    fn steps(&self, requests: &mut [Box<dyn Request>]) -> Result<(Vec<(usize, StoreError)>, Newest), Undone> {
        let before = self.newest.newest();
        let batch = Batch { connection: &self.connection, tally: RefCell::default(), before };
        let mut failed = Vec::new();
        for (at, request) in requests.iter_mut().enumerate() {
            let changes = self.connection.total_changes();
            let tally = *batch.tally.borrow();
            let ran = catch_unwind(AssertUnwindSafe(|| request.run(&batch)));
            let failure = match ran {
                Ok(Ok(())) => continue,
                Ok(Err(failure)) => failure,
                Err(_panic) => {
                    let error = "a step of the store panicked: nothing of it was written";
                    Failure::Refused(StoreError::new(StoreErrorKind::Unavailable, error))
                }
            };
            let everyones = failure.is_the_disks() || self.connection.is_autocommit();
            let error = StoreError::from(failure);
            if everyones {
                return Err(Undone::All(error));
            }
            if self.connection.total_changes() != changes {
                return Err(Undone::Halfway(at, error));
            }
            *batch.tally.borrow_mut() = tally;
            failed.push((at, error));
        }
        let tally = batch.tally.into_inner();
        tally.write(&self.connection).map_err(|error| whole(Failure::from(error)))?;
        self.newest.write(&self.connection, tally.newest).map_err(whole)?;
        Ok((failed, tally.newest))
    }

    fn roll_back<T>(&self, undone: Undone) -> Result<T, Undone> {
        if !self.connection.is_autocommit()
            && let Err(failure) = self.execute("-- writer.rollback\nROLLBACK")
        {
            let error = format!("a transaction could not be rolled back: {failure}");
            return Err(Undone::All(StoreError::new(StoreErrorKind::Fatal, error)));
        }
        Err(undone)
    }

    fn execute(&self, sql: &str) -> Step<()> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// `NORMAL` writes the log without a sync, and syncs it before anything is copied from it. The pragma acts when it
    /// is compiled, so it is none of the statements that are kept.
    fn synchronize(&mut self, durability: Durability) -> Step<()> {
        if self.synchronous != durability {
            self.connection.execute_batch(match durability {
                Durability::Synced => "-- writer.sync\nPRAGMA synchronous = FULL",
                Durability::Ordered => "-- writer.no_sync\nPRAGMA synchronous = NORMAL",
            })?;
            self.synchronous = durability;
        }
        Ok(())
    }
}

fn whole(failure: Failure) -> Undone {
    Undone::All(failure.into())
}

fn answer(batch: &mut Vec<Box<dyn Request>>, failed: Vec<(usize, StoreError)>) {
    let mut failed = failed.into_iter().peekable();
    for (at, request) in batch.drain(..).enumerate() {
        match failed.next_if(|(failed, _)| *failed == at) {
            Some((_, error)) => request.refuse(error),
            None => request.done(),
        }
    }
}

#[cfg(test)]
mod tests;
