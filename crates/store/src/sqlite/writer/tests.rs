//! The writer, with steps of all kinds.

use std::sync::Mutex;
use std::sync::mpsc as std_mpsc;

use tokio::task::JoinHandle;

use super::*;
use crate::sqlite::{Database, OpenOptions};

struct Store {
    _folder: tempfile::TempDir,
    database: Database,
    broken: Arc<Mutex<Vec<StoreErrorKind>>>,
}

fn store(options: OpenOptions) -> Store {
    let folder = tempfile::tempdir().unwrap();
    let broken = Arc::<Mutex<Vec<StoreErrorKind>>>::default();
    let told = Arc::clone(&broken);
    let on_fatal = Arc::new(move |error: &StoreError| told.lock().unwrap().push(error.kind));
    let database = Database::open(folder.path().join("cairn.db"), OpenOptions { on_fatal, ..options }).unwrap();
    Store { _folder: folder, database, broken }
}

/// Adds a row that holds so many octets.
fn add(batch: &Batch<'_>, octets: usize) -> Step<()> {
    let id = [0u8; 16];
    batch.execute(
        "INSERT INTO rechecks (order_id, document) VALUES (?1, ?2)",
        rusqlite::params![id, "x".repeat(octets)],
    )?;
    Ok(())
}

async fn rows(database: &Database) -> i64 {
    let count =
        |connection: &Connection| Ok(connection.query_row("SELECT count(*) FROM rechecks", [], |row| row.get(0))?);
    database.scan(count).await.unwrap()
}

/// Keeps the writer busy until it is let go, so that what is sent meanwhile becomes one batch.
struct Held {
    release: std_mpsc::Sender<()>,
    holding: JoinHandle<()>,
}

async fn hold(database: &Database) -> Held {
    let (release, released) = std_mpsc::channel::<()>();
    let (began, begun) = oneshot::channel();
    let mut began = Some(began);
    let database = database.clone();
    let holding = tokio::spawn(async move {
        let step = move |_: &Batch<'_>| {
            if let Some(began) = began.take() {
                began.send(()).unwrap();
            }
            // Ends when the sender is dropped.
            assert!(released.recv().is_err());
            Ok(())
        };
        database.writer().write(Durability::Ordered, step).await.unwrap();
    });
    begun.await.unwrap();
    Held { release, holding }
}

impl Held {
    async fn let_go(self) {
        drop(self.release);
        self.holding.await.unwrap();
    }
}

/// Sends a step and lets it come to the queue.
async fn send<T: Send + 'static>(
    database: &Database,
    durability: Durability,
    step: impl FnMut(&Batch<'_>) -> Step<T> + Send + 'static,
) -> JoinHandle<Stored<T>> {
    let database = database.clone();
    let sent = tokio::spawn(async move { database.writer().write(durability, step).await });
    tokio::task::yield_now().await;
    sent
}

#[tokio::test]
async fn a_batch_shares_a_sync() {
    let store = store(OpenOptions::default());
    let held = hold(&store.database).await;
    let mut sent = Vec::new();
    for _ in 0..100 {
        sent.push(send(&store.database, Durability::Synced, |batch| add(batch, 10)).await);
    }
    let before = store.database.writer_counts();
    held.let_go().await;
    for answer in sent {
        answer.await.unwrap().unwrap();
    }
    let after = store.database.writer_counts();
    assert_eq!((after.requests - before.requests, after.syncs - before.syncs), (100, 1));
    assert_eq!(rows(&store.database).await, 100);
}

#[tokio::test]
async fn nobody_waits_for_the_disk_who_did_not_ask_to() {
    let store = store(OpenOptions::default());
    for _ in 0..3 {
        store.database.writer().write(Durability::Ordered, |batch| add(batch, 10)).await.unwrap();
    }
    assert_eq!(store.database.writer_counts(), WriterCounts { requests: 3, transactions: 3, syncs: 0 });
    store.database.writer().write(Durability::Synced, |batch| add(batch, 10)).await.unwrap();
    assert_eq!(store.database.writer_counts().syncs, 1);
    assert_eq!(rows(&store.database).await, 4);
}

#[tokio::test]
async fn batches_are_bounded() {
    let store = store(OpenOptions { batch_max: 8, ..OpenOptions::default() });
    let held = hold(&store.database).await;
    let mut sent = Vec::new();
    for _ in 0..20 {
        sent.push(send(&store.database, Durability::Ordered, |batch| add(batch, 10)).await);
    }
    held.let_go().await;
    for answer in sent {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(store.database.writer_counts(), WriterCounts { requests: 21, transactions: 4, syncs: 0 });
}

#[tokio::test]
async fn a_step_that_fails_halfway_leaves_the_others_untouched() {
    let store = store(OpenOptions::default());
    let held = hold(&store.database).await;
    let before = send(&store.database, Durability::Synced, |batch| add(batch, 10)).await;
    let failing = send(&store.database, Durability::Synced, |batch| {
        add(batch, 10)?;
        batch.count(|tally| tally.accounts += 1);
        Err::<(), _>(Failure::corrupt("a test", "on purpose"))
    })
    .await;
    let panicking = send(&store.database, Durability::Synced, |batch| -> Step<()> {
        add(batch, 10)?;
        panic!("on purpose")
    })
    .await;
    let behind = send(&store.database, Durability::Synced, |batch| {
        batch.count(|tally| tally.accounts += 5);
        add(batch, 10)
    })
    .await;
    held.let_go().await;
    assert_eq!(before.await.unwrap(), Ok(()));
    assert_eq!(failing.await.unwrap().unwrap_err().kind, StoreErrorKind::Corrupt);
    assert_eq!(panicking.await.unwrap().unwrap_err().kind, StoreErrorKind::Unavailable);
    assert_eq!(behind.await.unwrap(), Ok(()));
    assert_eq!(rows(&store.database).await, 2);
    let counts = store.database.read(|connection| Ok(super::super::tally::read(connection)?)).unwrap();
    assert_eq!(counts.accounts, 5);
    assert!(store.broken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_refusal_costs_its_batch_nothing() {
    let store = store(OpenOptions::default());
    let held = hold(&store.database).await;
    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    let first = send(&store.database, Durability::Synced, move |batch| {
        counted.fetch_add(1, Ordering::Relaxed);
        add(batch, 10)
    })
    .await;
    let refused = send(&store.database, Durability::Synced, |_| {
        Err::<(), _>(StoreError::new(StoreErrorKind::Full, "no room in this test").into())
    })
    .await;
    held.let_go().await;
    assert_eq!(first.await.unwrap(), Ok(()));
    assert_eq!(refused.await.unwrap().unwrap_err().kind, StoreErrorKind::Full);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_written_and_the_store_goes_on() {
    let octets = 1 << 20;
    let store = store(OpenOptions { file_octets_max: Some(octets), ..OpenOptions::default() });
    let held = hold(&store.database).await;
    let small = send(&store.database, Durability::Synced, |batch| add(batch, 10)).await;
    let large = send(&store.database, Durability::Synced, |batch| add(batch, 2 << 20)).await;
    held.let_go().await;
    for answer in [small, large] {
        assert_eq!(answer.await.unwrap().unwrap_err().kind, StoreErrorKind::Full);
    }
    assert_eq!(rows(&store.database).await, 0);
    store.database.writer().write(Durability::Synced, |batch| add(batch, 10)).await.unwrap();
    assert_eq!(rows(&store.database).await, 1);
    assert!(store.broken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_follows_from_a_step_is_done_in_order_even_if_nobody_waits() {
    let store = store(OpenOptions::default());
    let done = Arc::<Mutex<Vec<u32>>>::default();
    let held = hold(&store.database).await;
    for number in 0..10 {
        let (database, done) = (store.database.clone(), Arc::clone(&done));
        let sent = tokio::spawn(async move {
            let after = move |number: &u32| done.lock().unwrap().push(*number);
            database.writer().submit(Durability::Ordered, move |_| Ok(number), after).await
        });
        tokio::task::yield_now().await;
        sent.abort();
    }
    held.let_go().await;
    store.database.writer().write(Durability::Ordered, |_| Ok(())).await.unwrap();
    assert_eq!(*done.lock().unwrap(), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_damaged_store_is_told_once_and_refuses_everything() {
    let store = store(OpenOptions::default());
    let damaged = |_: &Batch<'_>| {
        let damage = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        Err::<(), _>(Failure::Sqlite(rusqlite::Error::SqliteFailure(damage, None)))
    };
    for _ in 0..2 {
        let error = store.database.writer().write(Durability::Ordered, damaged).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Fatal);
    }
    let error = store.database.writer().write(Durability::Ordered, |batch| add(batch, 1)).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Fatal);
    assert_eq!(*store.broken.lock().unwrap(), [StoreErrorKind::Fatal]);
}

#[tokio::test]
async fn the_log_is_copied_into_the_file_and_begins_anew() {
    let options = OpenOptions { checkpoint_octets: 64 << 10, log_octets_max: 256 << 10, ..OpenOptions::default() };
    let store = store(options);
    for _ in 0..400 {
        store.database.writer().write(Durability::Ordered, |batch| add(batch, 8 << 10)).await.unwrap();
    }
    let log = std::fs::metadata(store.database.path().with_extension("db-wal")).unwrap().len();
    assert!(log < 1 << 20, "3 MiB were written, and the log has {log} octets");
    assert_eq!(rows(&store.database).await, 400);
}

#[tokio::test]
async fn closing_writes_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cairn.db");
    let database = Database::open(&path, OpenOptions::default()).unwrap();
    let held = hold(&database).await;
    let sent = send(&database, Durability::Ordered, |batch| add(batch, 10)).await;
    sent.abort();
    held.let_go().await;
    assert!(sent.await.unwrap_err().is_cancelled());
    tokio::task::spawn_blocking(move || drop(database)).await.unwrap();
    assert!(!path.with_extension("db-wal").exists(), "the log was copied and taken away");
    let database = Database::open_read_only(&path).unwrap();
    assert_eq!(rows(&database).await, 1);
}

#[tokio::test]
async fn a_store_open_for_reading_refuses_writes_and_sees_those_of_others() {
    let store = store(OpenOptions::default());
    let reading = Database::open_read_only(store.database.path()).unwrap();
    let error = reading.writer().write(Durability::Synced, |batch| add(batch, 10)).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    store.database.writer().write(Durability::Ordered, |batch| add(batch, 10)).await.unwrap();
    assert_eq!(rows(&reading).await, 1);
    assert_eq!(reading.integrity().await.unwrap(), Vec::<String>::new());
}
