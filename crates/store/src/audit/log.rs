//! The audit log as the port has it: one writer thread, and syncs that many callers share.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use ca::InstanceId;
use ca::ports::{AuditEvent, AuditLine, AuditLog, AuditMark, Clock, Reservation, StoreError, StoreErrorKind, Stored};
use pki::Sha256;
use tokio::sync::oneshot;

use super::read::AuditReader;
use super::tail::{Tail, Torn, Written, fatal};
use super::{AuditLogError, AuditOptions};

/// So many lines share a sync at most.
const BATCH_LINES_MAX: usize = 1024;

/// Called once when a sync has failed: the process ends.
pub type FatalHook = Arc<dyn Fn(&StoreError) + Send + Sync>;

/// The audit log of an instance, in files. It belongs to the process that holds the instance's lock.
pub struct FileAuditLog {
    shared: Arc<Shared>,
    reader: AuditReader,
    torn: u64,
    // Dropped first, so that the thread ends; then the thread is waited for.
    requests: Option<Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    tail: Mutex<Tail>,
    marks: Mutex<Marks>,
}

/// Which synced lines are not yet in the ledger.
struct Marks {
    /// Their numbers, with the chain's hash before each.
    outstanding: BTreeMap<u64, Sha256>,
    /// Behind the last synced line.
    synced: AuditMark,
}

struct Request {
    event: AuditEvent,
    answer: oneshot::Sender<Stored<u64>>,
}

impl FileAuditLog {
    /// Opens the log in this folder, or begins one, with the default limits.
    ///
    /// # Errors
    /// Those of [`FileAuditLog::open_with`].
    pub fn open(
        folder: &Path,
        instance: InstanceId,
        clock: Arc<dyn Clock>,
        on_fatal: FatalHook,
    ) -> Result<Self, AuditLogError> {
        Self::open_with(folder, instance, AuditOptions::default(), clock, on_fatal)
    }

    /// Opens the log in this folder, or begins one. What a process that died left of lines that it did not come to sync
    /// is cut off, and kept aside in `NNNNNNNN.torn`: nobody was told of it.
    ///
    /// The mark begins behind the last line: what was there before is applied by the recovery, which reads it from the
    /// ledger's own mark on, before anything is signed.
    ///
    /// # Errors
    /// `Damaged`, `FileMissing`: the log is not what was written. `OfAnother`: it is not this instance's.
    pub fn open_with(
        folder: &Path,
        instance: InstanceId,
        options: impl Into<AuditOptions>,
        clock: Arc<dyn Clock>,
        on_fatal: FatalHook,
    ) -> Result<Self, AuditLogError> {
        let (mut tail, torn) = Tail::open(folder, instance, options.into())?;
        if let Some(Torn { octets, kept }) = &torn {
            tracing::warn!(octets, kept = %kept.display(), "a torn end of the audit log, told to nobody, was cut off");
        }
        let torn = torn.map_or(0, |torn| torn.octets);
        if tail.mark().sequence == 0 {
            begin(&mut tail, folder, instance, clock.as_ref())?;
        }
        let marks = Mutex::new(Marks { outstanding: BTreeMap::new(), synced: tail.mark() });
        let shared = Arc::new(Shared { tail: Mutex::new(tail), marks });
        let (requests, received) = channel();
        let writer = Writer { shared: Arc::clone(&shared), received, clock, on_fatal };
        let thread = std::thread::Builder::new()
            .name("audit-log".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| AuditLogError::io("start the writer of", folder, source))?;
        let reader = AuditReader::new(folder);
        Ok(Self { shared, reader, torn, requests: Some(requests), writer: Some(thread) })
    }

    /// Behind the last line on disk, and the number of the file that is written to.
    pub(super) fn synced(&self) -> (AuditMark, u32) {
        let number = lock(&self.shared.tail).number();
        (lock(&self.shared.marks).synced, number)
    }

    /// For reading what it says.
    pub const fn reader(&self) -> &AuditReader {
        &self.reader
    }

    /// How many octets of a torn end were cut off when the log was opened.
    pub const fn torn_octets(&self) -> u64 {
        self.torn
    }
}

fn begin(tail: &mut Tail, folder: &Path, instance: InstanceId, clock: &dyn Clock) -> Result<(), AuditLogError> {
    let written = tail
        .write(&[AuditEvent::Begun { instance }], clock.now())
        .and_then(|answers| answers.into_iter().collect::<Stored<Vec<Written>>>());
    written
        .map_err(|error| std::io::Error::other(error.detail))
        .and_then(|_| tail.file().sync_all())
        .map_err(|source| AuditLogError::io("begin the audit log in", folder, source))
}

/// Each lock guards values that are sound between any two statements, so a poisoned one is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Writer {
    shared: Arc<Shared>,
    received: Receiver<Request>,
    clock: Arc<dyn Clock>,
    on_fatal: FatalHook,
}

impl Writer {
    fn run(self) {
        let mut failed = None;
        while let Ok(first) = self.received.recv() {
            let mut batch = vec![first];
            batch.extend(self.received.try_iter().take(BATCH_LINES_MAX - 1));
            let (events, callers): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.event, one.answer)).unzip();
            // After a failed sync nothing is known of the file: no later one can make it good.
            let result = failed.clone().map_or_else(|| self.write(&events), Err);
            match result {
                Ok(answers) => {
                    for (caller, answer) in callers.into_iter().zip(answers) {
                        // A caller that went away finds its line at the next start, like one that died.
                        let _gone = caller.send(answer);
                    }
                }
                Err(error) => {
                    if failed.is_none() {
                        tracing::error!(%error, "the audit log can't go on");
                        (self.on_fatal)(&error);
                    }
                    for caller in callers {
                        let _gone = caller.send(Err(error.clone()));
                    }
                    failed = Some(error);
                }
            }
        }
    }

    fn write(&self, events: &[AuditEvent]) -> Stored<Vec<Stored<u64>>> {
        let (written, file, before, mark) = {
            let mut tail = lock(&self.shared.tail);
            let before = tail.mark();
            let written = tail.write(events, self.clock.now())?;
            (written, tail.file(), before, tail.mark())
        };
        // A file's own first line may have been written alone.
        if mark != before {
            file.sync_data().map_err(|error| fatal("sync a file", &error))?;
        }
        let mut marks = lock(&self.shared.marks);
        let for_ledger = events.iter().zip(&written).filter(|(event, _)| event.is_for_ledger());
        marks.outstanding.extend(for_ledger.flat_map(|(_, one)| one).map(|one| (one.sequence, one.before)));
        marks.synced = mark;
        Ok(written.into_iter().map(|one| one.map(|written| written.sequence)).collect())
    }
}

impl Drop for FileAuditLog {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has told so already; its callers were answered by their closed channels.
            let _ended = writer.join();
        }
    }
}

impl fmt::Debug for FileAuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileAuditLog").field("reader", &self.reader).finish_non_exhaustive()
    }
}

/// Room that is given back when this is dropped.
struct Kept {
    shared: Arc<Shared>,
    octets: u64,
}

impl Reservation for Kept {}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} octets)", self.octets)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        lock(&self.shared.tail).give_back(self.octets);
    }
}

#[async_trait]
impl AuditLog for FileAuditLog {
    async fn reserve(&self, octets: u64) -> Stored<Box<dyn Reservation>> {
        lock(&self.shared.tail).reserve(octets)?;
        Ok(Box::new(Kept { shared: Arc::clone(&self.shared), octets }))
    }

    async fn append(&self, event: AuditEvent) -> Stored<u64> {
        let gone = || StoreError::new(StoreErrorKind::Fatal, "the audit log's writer has ended");
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(gone)?;
        requests.send(Request { event, answer }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    fn applied(&self, sequence: u64) {
        lock(&self.shared.marks).outstanding.remove(&sequence);
    }

    fn mark(&self) -> AuditMark {
        let marks = lock(&self.shared.marks);
        let first = marks.outstanding.first_key_value();
        first.map_or(marks.synced, |(sequence, chain)| AuditMark { sequence: *sequence, chain: *chain })
    }

    async fn lines(&self, from: AuditMark, limit: usize) -> Stored<(Vec<AuditLine>, AuditMark)> {
        self.reader.lines(from, limit).map_err(StoreError::from)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::BoxFuture;
    use pki::Timestamp;

    use super::*;

    #[derive(Debug)]
    struct Epoch;

    impl Clock for Epoch {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }

        fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn file_that_can_neither_be_written_nor_cut_back_is_fatal_once() {
        let folder = tempfile::tempdir().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let on_fatal: FatalHook = Arc::new(move |error| lock(&heard).push(error.kind));
        let log =
            FileAuditLog::open(folder.path(), InstanceId::from_bytes([1; 16]), Arc::new(Epoch), on_fatal).unwrap();
        let event = || AuditEvent::Authority { der: vec![1] };
        assert_eq!(log.append(event()).await, Ok(1));
        let mark = log.mark();
        lock(&log.shared.tail).spoil();
        for _ in 0..2 {
            assert_eq!(log.append(event()).await.unwrap_err().kind, StoreErrorKind::Fatal);
        }
        assert_eq!((lock(&told).as_slice(), log.mark()), (&[StoreErrorKind::Fatal][..], mark));
    }
}
