//! What the auditor has to find, put in on purpose: an order that dies without a cause, and a revocation that was only
//! told.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ca::OrderId;
use ca::ports::{Begin, BeginRefused, IssuanceNumber, Ledger, Revocation, Revoked, Stored};
use sim::client::{Task, Temper};
use sim::ports::{Layer, Layers, LedgerLayer, layered_ledger};
use sim::run;
use sim::scenario::Scenario;
use sim::world::Options;

/// Says of the first issuance of each order that there were three before.
#[derive(Clone, Debug, Default)]
struct Hasty(Arc<Mutex<BTreeSet<OrderId>>>);

impl Layer for Hasty {
    fn ledger(&self, inner: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        layered_ledger(inner, Arc::new(self.clone()))
    }
}

#[async_trait]
impl LedgerLayer for Hasty {
    async fn begin(&self, inner: &dyn Ledger, begin: Begin<'_>) -> Stored<Result<IssuanceNumber, BeginRefused>> {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(begin.order.id) {
            return Ok(Err(BeginRefused::CapReached(3)));
        }
        inner.begin(begin).await
    }
}

/// Says that a revocation is written, and writes none.
#[derive(Clone, Copy, Debug)]
struct Forgetful;

impl Layer for Forgetful {
    fn ledger(&self, inner: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        layered_ledger(inner, Arc::new(*self))
    }
}

#[async_trait]
impl LedgerLayer for Forgetful {
    async fn revoke(&self, _: &dyn Ledger, _: Revocation) -> Stored<Revoked> {
        Ok(Revoked::Done)
    }
}

/// Invariants that do not hold in a world where nothing fails but what this layer does.
fn found(seed: u64, temper: Temper, layer: impl Layer + 'static) -> Vec<u8> {
    let mut scenario = Scenario::calm();
    scenario.clients = vec![Task { number: 0, temper, orders: 2, begins: Duration::ZERO }];
    let options = Options { layers: Layers(vec![Arc::new(layer)]), ..Options::default() };
    run::run(seed, scenario, options).violations.iter().map(|violation| violation.invariant).collect()
}

#[test]
fn order_that_dies_without_a_cause_is_found() {
    assert_eq!(found(1, Temper::Honest, Hasty::default()), [8]);
}

#[test]
fn revocation_that_is_only_told_is_found() {
    let of_seeds: Vec<Vec<u8>> = (0..8).map(|seed| found(seed, Temper::Careful, Forgetful)).collect();
    assert!(of_seeds.iter().any(|found| found.contains(&9)), "{of_seeds:?}");
}
