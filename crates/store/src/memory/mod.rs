//! The ports' stores in memory: true to the contract, deterministic, and gone with the process. For tests and
//! simulations.

mod audit;
mod begin;
mod crls;
mod generations;
mod ledger;
mod log_store;
mod records;
mod responders;
mod restore;
mod stops;
mod workbench;
mod workbench_state;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use audit::MemoryAuditLog;
pub use ledger::MemoryLedger;
pub use log_store::MemoryLogStore;
pub use workbench::{MemoryWorkbench, WorkbenchImage};

/// A test that panicked while it held a store has failed already; the next one has a store of its own.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
