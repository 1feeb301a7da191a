//! The contract suites: one per port, the same for every back end. Each case gets fresh stores and says one sentence of
//! the port's documentation.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

pub(crate) mod accounts;
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "one of the test programs that share these suites has no audit log"
)]
pub(crate) mod audit;
pub(crate) mod blocked_keys;
pub(crate) mod external_accounts;
pub(crate) mod fixtures;
pub(crate) mod generations;
pub(crate) mod issuance;
pub(crate) mod leases;
pub(crate) mod log_store;
pub(crate) mod newest;
pub(crate) mod order_list;
pub(crate) mod pipeline;
pub(crate) mod responders;
pub(crate) mod restore;
pub(crate) mod reuse;
pub(crate) mod revocation;
pub(crate) mod serials;
pub(crate) mod stops;
pub(crate) mod sweep;
pub(crate) mod world;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use ca::ports::{Ledger, LogStore, Workbench};
use world::{SeededRandom, TestClock};

/// As many active orders as the workbench of a case takes.
pub(crate) const ACTIVE_MAX: u64 = 40;

/// Fresh stores, with the world that they see.
pub(crate) struct Stores {
    /// Their time.
    pub(crate) clock: Arc<TestClock>,
    /// Their randomness, and that of the case.
    pub(crate) random: Arc<SeededRandom>,
    /// An empty ledger.
    pub(crate) ledger: Arc<dyn Ledger>,
    /// An empty workbench for [`ACTIVE_MAX`] orders.
    pub(crate) workbench: Arc<dyn Workbench>,
    /// Empty logs.
    pub(crate) logs: Arc<dyn LogStore>,
    /// Takes every order out of its place, as a fault or a hand could.
    pub(crate) wipe_places: Box<dyn Fn() + Send + Sync>,
    /// What has to live as long as the stores.
    pub(crate) kept: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("kept", &self.kept).finish_non_exhaustive()
    }
}

/// Makes a test of each case named: `$open` makes the fresh stores.
macro_rules! cases {
    ($open:path, $suite:ident: $($case:ident)+) => {
        mod $suite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::contract::$suite::$case(&$open()).await;
                }
            )+
        }
    };
}
pub(crate) use cases;

/// All cases of ledger, workbench and log store.
macro_rules! store_suites {
    ($open:path) => {
        crate::contract::accounts::suite!($open);
        crate::contract::external_accounts::suite!($open);
        crate::contract::order_list::suite!($open);
        crate::contract::issuance::suite!($open);
        crate::contract::newest::suite!($open);
        crate::contract::revocation::suite!($open);
        crate::contract::generations::suite!($open);
        crate::contract::blocked_keys::suite!($open);
        crate::contract::serials::suite!($open);
        crate::contract::stops::suite!($open);
        crate::contract::pipeline::suite!($open);
        crate::contract::leases::suite!($open);
        crate::contract::responders::suite!($open);
        crate::contract::restore::suite!($open);
        crate::contract::reuse::suite!($open);
        crate::contract::sweep::suite!($open);
        crate::contract::log_store::suite!($open);
    };
}
pub(crate) use store_suites;
