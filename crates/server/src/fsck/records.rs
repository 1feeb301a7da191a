//! The records of a data folder, opened for reading only.

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ca::ports::{Clock, Ledger, LedgerOrder, StoreError, Stored, Workbench};
use ca::{InstanceId, OrderId};
use pki::Timestamp;
use store::audit::AuditReader;
use store::instance::{Instance, InstanceError};
use store::sqlite::{Database, FILE_NAME, OpenError};

use crate::world::{SystemClock, SystemRandom};

/// The socket of a running server (see `admin_socket`).
const SOCKET: &str = "admin.sock";

/// Why the records of a data folder can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordsError {
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

/// Ledger and workbench of a data folder. Nothing is changed through them.
#[derive(Debug)]
pub(crate) struct Records {
    data: PathBuf,
    instance: InstanceId,
    /// The ledger.
    pub(crate) ledger: Arc<dyn Ledger>,
    /// The workbench.
    pub(crate) workbench: Arc<dyn Workbench>,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Records {
    /// Opens the store of a data folder, whether a server runs on it or not.
    ///
    /// # Errors
    /// See [`RecordsError`].
    pub(crate) fn open(data: &Path) -> Result<Self, RecordsError> {
        let instance = Instance::peek(data)?;
        let database = Database::open_read_only(data.join(FILE_NAME))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let workbench = database.workbench(Arc::clone(&clock), Arc::new(SystemRandom), None, u64::MAX)?;
        Ok(Self {
            data: data.to_owned(),
            instance,
            ledger: Arc::new(database.ledger(Arc::clone(&clock))),
            workbench: Arc::new(workbench),
            clock,
        })
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The instance that the folder belongs to.
    pub(crate) const fn instance(&self) -> InstanceId {
        self.instance
    }

    /// The folder of its audit log.
    pub(crate) fn audit_folder(&self) -> PathBuf {
        self.data.join("audit")
    }

    pub(super) fn audit(&self) -> AuditReader {
        AuditReader::new(&self.audit_folder())
    }

    /// The time of day.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether a server runs on this folder.
    pub(crate) fn is_live(&self) -> bool {
        UnixStream::connect(self.data.join(SOCKET)).is_ok()
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
