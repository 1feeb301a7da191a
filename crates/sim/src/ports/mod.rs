//! The ports of a process, in layers. Innermost is the store, signer or other end itself; around it what watches, then
//! what was planted, and outermost the faults that the seed draws.

mod faults;
mod layer;
#[macro_use]
mod macros;
mod outside;
mod stores;

pub use faults::{Fate, Fates, Faults, Seldom};
pub use layer::{
    AuditLayer, Layer, Layers, SignerLayer, layered_audit, layered_ledger, layered_log_store, layered_signer,
    layered_workbench,
};
pub use stores::{Call, LedgerLayer, LogStoreLayer, WorkbenchLayer};
