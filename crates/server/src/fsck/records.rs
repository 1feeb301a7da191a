//! The records of a CA: those of a data folder, opened for reading only, or any that stand behind the ports.

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ca::ports::{AuditLine, AuditLog, AuditMark, Clock, Ledger, LedgerOrder, StoreError, Stored, Workbench};
use ca::{InstanceId, OrderId};
use pki::{Certificate, PublicKey, Timestamp};
use store::audit::AuditReader;
use store::instance::{Instance, InstanceError};
use store::sqlite::{Database, FILE_NAME, OpenError};

use super::authorities::Authorities;
use super::report::Report;
use crate::world::{SystemClock, SystemRandom};

/// The socket of a running server (see `admin_socket`).
const SOCKET: &str = "admin.sock";

/// Why the records of a data folder can't be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// It is no data folder.
    #[error("{0}; --data names another folder")]
    Instance(#[from] InstanceError),
    /// Its store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its store can't be read.
    #[error("the store can't be read: {0}")]
    Store(#[from] StoreError),
}

/// Ledger, workbench and audit log of a CA. Nothing is changed through them.
#[derive(Debug)]
pub struct Records {
    instance: InstanceId,
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// The workbench.
    pub workbench: Arc<dyn Workbench>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    source: Source,
}

/// What stands beside ledger and workbench.
#[derive(Debug)]
enum Source {
    Folder { data: PathBuf, database: Database, audit: AuditReader },
    Ports { audit: Arc<dyn AuditLog>, authorities: Vec<Certificate>, log_keys: Vec<PublicKey> },
}

/// The records of a CA that has no data folder: a simulated one.
#[derive(Clone, Debug)]
pub struct Ports {
    /// The instance whose audit log it is.
    pub instance: InstanceId,
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// The workbench.
    pub workbench: Arc<dyn Workbench>,
    /// The audit log, read from its first line on.
    pub audit: Arc<dyn AuditLog>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Root and issuers, each behind the one that signed it.
    pub authorities: Vec<Certificate>,
    /// The keys of the CA's own CT logs, whose SCTs are verified.
    pub log_keys: Vec<PublicKey>,
}

impl Records {
    /// Opens the store of a data folder, whether a server runs on it or not.
    ///
    /// # Errors
    /// See [`RecordsError`].
    pub fn open(data: &Path) -> Result<Self, RecordsError> {
        let instance = Instance::peek(data)?;
        let database = Database::open_read_only(data.join(FILE_NAME))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let workbench = database.workbench(Arc::clone(&clock), Arc::new(SystemRandom), None, u64::MAX)?;
        let source = Source::Folder {
            data: data.to_owned(),
            database: database.clone(),
            audit: AuditReader::new(&data.join("audit")),
        };
        let ledger = Arc::new(database.ledger(Arc::clone(&clock)));
        Ok(Self { instance, ledger, workbench: Arc::new(workbench), clock, source })
    }

    /// The records behind these ports, which nobody writes to while they are checked.
    pub fn of_ports(ports: Ports) -> Self {
        let Ports { instance, ledger, workbench, audit, clock, authorities, log_keys } = ports;
        Self { instance, ledger, workbench, clock, source: Source::Ports { audit, authorities, log_keys } }
    }

    /// The instance that they belong to.
    pub(crate) const fn instance(&self) -> InstanceId {
        self.instance
    }

    /// The certificates of the CA itself, and the keys of its logs.
    pub(super) fn authorities(&self, report: &mut Report) -> Authorities {
        match &self.source {
            Source::Folder { data, .. } => Authorities::read(data, report),
            Source::Ports { authorities, log_keys, .. } => Authorities::of(authorities, log_keys, report),
        }
    }

    /// The store's file, if there is one.
    pub(super) const fn database(&self) -> Option<&Database> {
        match &self.source {
            Source::Folder { database, .. } => Some(database),
            Source::Ports { .. } => None,
        }
    }

    /// Where the audit log begins: its first files may have been moved away.
    pub(super) fn first_line(&self) -> Result<AuditMark, String> {
        match &self.source {
            Source::Folder { audit, .. } => audit.first().map_err(|error| error.to_string()),
            Source::Ports { .. } => Ok(AuditReader::start()),
        }
    }

    /// Lines of the audit log from the mark on, at most `limit`, and the mark behind them.
    pub(super) async fn lines(&self, from: AuditMark, limit: usize) -> Result<(Vec<AuditLine>, AuditMark), String> {
        match &self.source {
            Source::Folder { audit, .. } => audit.lines(from, limit).map_err(|error| error.to_string()),
            Source::Ports { audit, .. } => audit.lines(from, limit).await.map_err(|error| error.to_string()),
        }
    }

    /// The time of day.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether a server writes to them meanwhile.
    pub(crate) fn is_live(&self) -> bool {
        match &self.source {
            Source::Folder { data, .. } => UnixStream::connect(data.join(SOCKET)).is_ok(),
            Source::Ports { .. } => false,
        }
    }
}

/// Pages through the orders that have ended, the latest first. Several may have ended in the same millisecond.
#[derive(Debug, Default)]
pub(crate) struct EndedOrders {
    /// What ended at this time or later has been answered, but for what ended in this very millisecond.
    before: Option<Timestamp>,
    answered: BTreeSet<OrderId>,
    done: bool,
}

/// More orders than this don't end in one millisecond.
const SAME_MILLISECOND_MAX: u32 = 65_536;

impl EndedOrders {
    /// The next ones, at most `limit` unless more than that ended in one millisecond. Empty: that was all.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub(crate) async fn next(&mut self, ledger: &dyn Ledger, limit: u32) -> Stored<Vec<LedgerOrder>> {
        let mut asked = limit.saturating_add(u32::try_from(self.answered.len()).unwrap_or(u32::MAX));
        while !self.done {
            let behind = self.before.map(|at| at.plus(Duration::from_millis(1)));
            let mut page = ledger.ended_orders(behind, asked).await?;
            let full = page.len() >= usize::try_from(asked).unwrap_or(usize::MAX);
            let last = page.last().and_then(ended_at);
            page.retain(|order| !self.answered.contains(&order.order.id));
            if page.is_empty() && full && asked < SAME_MILLISECOND_MAX {
                asked = asked.saturating_mul(2);
                continue;
            }
            self.done = !full;
            if self.before != last {
                self.answered.clear();
            }
            self.before = last;
            self.answered.extend(page.iter().filter(|order| ended_at(order) == last).map(|order| order.order.id));
            if !page.is_empty() {
                return Ok(page);
            }
            self.done = true;
        }
        Ok(Vec::new())
    }
}

fn ended_at(order: &LedgerOrder) -> Option<Timestamp> {
    order.end.as_ref().map(|(_, at)| *at)
}
