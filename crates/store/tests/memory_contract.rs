//! The stores in memory keep the contracts of the ports; so does the audit log, in memory and on files.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod contract;

use std::sync::Arc;

use ca::ports::{Clock, Random};
use contract::audit::{Fresh, INSTANCE};
use contract::world::{SeededRandom, TestClock};
use contract::{ACTIVE_MAX, Stores};
use store::audit::{AuditLimits, FileAuditLog};
use store::memory::{MemoryAuditLog, MemoryLedger, MemoryLogStore, MemoryWorkbench};

fn in_memory() -> Stores {
    let (clock, random) = (Arc::new(TestClock::new()), Arc::new(SeededRandom::new(1)));
    let workbench = Arc::new(MemoryWorkbench::new(
        Arc::clone(&clock) as Arc<dyn Clock>,
        Arc::new(SeededRandom::new(2)) as Arc<dyn Random>,
        ACTIVE_MAX,
    ));
    let wiped = Arc::clone(&workbench);
    Stores {
        ledger: Arc::new(MemoryLedger::new(Arc::clone(&clock) as Arc<dyn Clock>)),
        logs: Arc::new(MemoryLogStore::new(Arc::clone(&clock) as Arc<dyn Clock>)),
        workbench,
        wipe_places: Box::new(move || wiped.wipe_places()),
        kept: Box::new(()),
        clock,
        random,
    }
}

contract::store_suites!(crate::in_memory);

const OCTETS: u64 = 1 << 20;

fn log_in_memory() -> Fresh {
    let clock = Arc::new(TestClock::new());
    let log = MemoryAuditLog::new(INSTANCE, Arc::clone(&clock) as Arc<dyn Clock>, OCTETS);
    Fresh { clock, log: Arc::new(log), octets_too_many: OCTETS + 1, kept: Box::new(()) }
}

fn log_on_files() -> Fresh {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::new());
    let limits = AuditLimits { free_octets_min: 0, reserved_octets_max: OCTETS, ..AuditLimits::default() };
    let seen = Arc::clone(&clock) as Arc<dyn Clock>;
    let log = FileAuditLog::open_with(folder.path(), INSTANCE, limits, seen, Arc::new(|error| panic!("{error}")));
    Fresh { clock, log: Arc::new(log.unwrap()), octets_too_many: OCTETS + 1, kept: Box::new(folder) }
}

mod audit_in_memory {
    crate::contract::audit::suite!(crate::log_in_memory);
}

mod audit_on_files {
    crate::contract::audit::suite!(crate::log_on_files);
}
