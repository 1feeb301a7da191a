//! Where things are kept: ledger, workbench and log store; the audit log, the nonce file and the instance's folder.

pub mod audit;
pub mod instance;
pub mod memory;
pub mod nonce;
mod packed;
pub mod sqlite;
pub mod wake;
