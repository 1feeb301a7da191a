//! The back ends: in memory, and SQLite with an audit log on files.

use std::path::Path;
use std::sync::Arc;

use ca::InstanceId;
use ca::ports::{AuditLog, Ledger, LogStore, Workbench};
use store::audit::FileAuditLog;
use store::memory::{MemoryAuditLog, MemoryLedger, MemoryLogStore, MemoryWorkbench};
use store::sqlite::{Database, FILE_NAME, OpenOptions};
use tempfile::TempDir;

use super::clock::{SeededRandom, TestClock};

/// The instance that all processes of a case are, one after the other.
pub(crate) const INSTANCE: InstanceId = InstanceId::from_bytes([0xa1; 16]);

const ACTIVE_MAX: u64 = 1_000;
const AUDIT_OCTETS_MAX: u64 = 64 << 20;

/// Which stores a case runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Memory,
    Sqlite,
}

/// Stores that outlive a restart of the process.
pub(crate) struct Stores {
    clock: Arc<TestClock>,
    random: Arc<SeededRandom>,
    kept: Kept,
}

enum Kept {
    Memory {
        ledger: Arc<MemoryLedger>,
        workbench: Arc<MemoryWorkbench>,
        logs: Arc<MemoryLogStore>,
        audit: Arc<MemoryAuditLog>,
    },
    Sqlite {
        folder: TempDir,
        /// Another file for the workbench, once the first one was lost.
        workbench_file: Option<String>,
    },
}

/// What stores were at some time.
pub(crate) struct Backup(Kept);

/// The ports of a process.
pub(crate) struct Opened {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) workbench: Arc<dyn Workbench>,
    pub(crate) logs: Arc<dyn LogStore>,
    pub(crate) audit: Arc<dyn AuditLog>,
}

impl Stores {
    pub(crate) fn new(backend: Backend, clock: Arc<TestClock>, random: Arc<SeededRandom>) -> Self {
        let kept = match backend {
            Backend::Memory => Kept::Memory {
                ledger: Arc::new(MemoryLedger::new(clock.clone())),
                workbench: Arc::new(MemoryWorkbench::new(clock.clone(), random.clone(), ACTIVE_MAX)),
                logs: Arc::new(MemoryLogStore::new(clock.clone())),
                audit: Arc::new(MemoryAuditLog::new(INSTANCE, clock.clone(), AUDIT_OCTETS_MAX)),
            },
            Backend::Sqlite => Kept::Sqlite { folder: tempfile::tempdir().unwrap(), workbench_file: None },
        };
        Self { clock, random, kept }
    }

    /// As a starting process opens them.
    pub(crate) fn open(&self) -> Opened {
        match &self.kept {
            Kept::Memory { ledger, workbench, logs, audit } => {
                audit.restart();
                Opened {
                    ledger: Arc::clone(ledger) as _,
                    workbench: Arc::clone(workbench) as _,
                    logs: Arc::clone(logs) as _,
                    audit: Arc::clone(audit) as _,
                }
            }
            Kept::Sqlite { folder, workbench_file } => self.open_files(folder.path(), workbench_file.as_deref()),
        }
    }

    fn open_files(&self, folder: &Path, workbench_file: Option<&str>) -> Opened {
        let database = open_database(&folder.join(FILE_NAME));
        let of_workbench = workbench_file.map_or_else(|| database.clone(), |file| open_database(&folder.join(file)));
        let workbench = of_workbench.workbench(self.clock.clone(), self.random.clone(), None, ACTIVE_MAX).unwrap();
        let on_fatal = Arc::new(|error: &ca::ports::StoreError| panic!("{error}"));
        let audit = FileAuditLog::open(&folder.join("audit"), INSTANCE, self.clock.clone(), on_fatal).unwrap();
        Opened {
            ledger: Arc::new(database.ledger(self.clock.clone())),
            workbench: Arc::new(workbench),
            logs: Arc::new(database.log_store(self.clock.clone())),
            audit: Arc::new(audit),
        }
    }

    /// The workbench is gone with all that was on it. Seen by the next process that opens the stores.
    pub(crate) fn lose_workbench(&mut self) {
        match &mut self.kept {
            Kept::Memory { workbench, .. } => {
                *workbench = Arc::new(MemoryWorkbench::new(self.clock.clone(), self.random.clone(), ACTIVE_MAX));
            }
            Kept::Sqlite { workbench_file, .. } => *workbench_file = Some("workbench.db".to_owned()),
        }
    }

    /// A backup of ledger, workbench and built-in logs, as they are now. The audit log stays outside.
    pub(crate) fn backup(&self) -> Backup {
        Backup(match &self.kept {
            Kept::Memory { ledger, workbench, logs, audit } => Kept::Memory {
                ledger: Arc::new(ledger.backup()),
                workbench: Arc::new(workbench.backup()),
                logs: Arc::new(logs.backup()),
                audit: Arc::clone(audit),
            },
            Kept::Sqlite { folder, .. } => {
                let copy = tempfile::tempdir().unwrap();
                let file = rusqlite::Connection::open(folder.path().join(FILE_NAME)).unwrap();
                let to = copy.path().join(FILE_NAME);
                file.execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap();
                Kept::Sqlite { folder: copy, workbench_file: None }
            }
        })
    }

    /// The backup takes the place of what was there since. Seen by the next process that opens the stores.
    pub(crate) fn restore(&mut self, backup: &Backup) {
        match (&mut self.kept, &backup.0) {
            (Kept::Memory { ledger, workbench, logs, .. }, Kept::Memory { ledger: l, workbench: w, logs: c, .. }) => {
                (*ledger, *workbench, *logs) = (Arc::new(l.backup()), Arc::new(w.backup()), Arc::new(c.backup()));
            }
            (Kept::Sqlite { folder, .. }, Kept::Sqlite { folder: copy, .. }) => {
                for name in [format!("{FILE_NAME}-wal"), format!("{FILE_NAME}-shm")] {
                    let _not_there = std::fs::remove_file(folder.path().join(name));
                }
                std::fs::copy(copy.path().join(FILE_NAME), folder.path().join(FILE_NAME)).unwrap();
            }
            (Kept::Memory { .. }, Kept::Sqlite { .. }) | (Kept::Sqlite { .. }, Kept::Memory { .. }) => {
                panic!("a backup is restored where it was made")
            }
        }
    }

    /// Every active order is taken out of its queue, lease or other place, as by a hand.
    pub(crate) fn wipe_places(&self) {
        match &self.kept {
            Kept::Memory { workbench, .. } => workbench.wipe_places(),
            Kept::Sqlite { folder, .. } => {
                let file = rusqlite::Connection::open(folder.path().join(FILE_NAME)).unwrap();
                file.execute(
                    "UPDATE active_orders SET place = NULL, turn = NULL, lease_token = NULL, lease_holder = NULL",
                    [],
                )
                .unwrap();
            }
        }
    }
}

fn open_database(path: &Path) -> Database {
    let on_fatal = Arc::new(|error: &ca::ports::StoreError| panic!("{error}"));
    Database::open(path, OpenOptions { on_fatal, ..OpenOptions::default() }).unwrap()
}
