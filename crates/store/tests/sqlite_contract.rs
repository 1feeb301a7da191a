//! The stores in SQLite keep the contracts of the ports.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod contract;

use std::sync::Arc;

use ca::ports::{Clock, Random};
use contract::world::{SeededRandom, TestClock};
use contract::{ACTIVE_MAX, Stores};
use store::nonce::NonceFile;
use store::sqlite::{Database, FILE_NAME, OpenOptions};

fn in_sqlite() -> Stores {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let (clock, random) = (Arc::new(TestClock::new()), Arc::new(SeededRandom::new(1)));
    let seen = || Arc::clone(&clock) as Arc<dyn Clock>;
    let drawn = Arc::new(SeededRandom::new(2)) as Arc<dyn Random>;
    let nonces = NonceFile::open(&folder.path().join("nonces"), drawn.as_ref(), "a boot").unwrap();
    let database = Database::open(&path, OpenOptions::default()).unwrap();
    let workbench = database.workbench(seen(), drawn, Some(Arc::new(nonces)), ACTIVE_MAX).unwrap();
    Stores {
        ledger: Arc::new(database.ledger(seen())),
        logs: Arc::new(database.log_store(seen())),
        workbench: Arc::new(workbench),
        wipe_places: Box::new(move || {
            let hand = rusqlite::Connection::open(&path).unwrap();
            hand.execute(
                "UPDATE active_orders SET place = NULL, turn = NULL, lease_token = NULL, lease_holder = NULL",
                [],
            )
            .unwrap();
        }),
        kept: Box::new((database, folder)),
        clock,
        random,
    }
}

contract::store_suites!(crate::in_sqlite);
