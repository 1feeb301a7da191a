//! The ports: what the domain asks of the world. Small async traits, used as `Arc<dyn …>`. Time and randomness come
//! through them alone, so that a test can move time and replay a run.
//!
//! Each method of a store is a transition: one atomic step. Its documentation says what it compares, what is durable
//! when it returns, who retries, and what each error means.

mod accounts;
mod audit;
mod begin;
mod ct;
mod generations;
mod ledger;
mod log_store;
mod newest;
mod ocsp;
mod renewal;
mod restore;
mod revocation;
mod serials;
mod signer;
mod stops;
mod validator;
mod workbench;
mod world;

pub use accounts::*;
pub use audit::*;
pub use begin::*;
pub use ct::*;
pub use generations::*;
pub use ledger::*;
pub use log_store::*;
pub use newest::*;
pub use ocsp::*;
pub use renewal::*;
pub use restore::*;
pub use revocation::*;
pub use serials::*;
pub use signer::*;
pub use stops::*;
pub use validator::*;
pub use workbench::*;
pub use world::*;

/// A store or the audit log could not do what was asked. Nothing in it says whose fault it is but [`StoreError::kind`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct StoreError {
    /// What the caller may conclude.
    pub kind: StoreErrorKind,
    /// For the operator.
    pub detail: String,
}

/// What a caller may conclude from a failed step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Nothing was written. It can be tried again later.
    Unavailable,
    /// Nothing was written: no room is left. The work waits until there is.
    Full,
    /// It may have been written. The caller reads it back and never assumes.
    Unknown,
    /// A sync failed, or the store is damaged: nothing that this process believes to be written can be relied on. It
    /// ends, and recovers at its next start.
    Fatal,
    /// What was read makes no sense: a record of ours that we can't read.
    Corrupt,
}

impl StoreError {
    /// An error of this kind.
    pub fn new(kind: StoreErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

/// The answer of a store.
pub type Stored<T> = Result<T, StoreError>;
