//! An order that can't be read is set aside: nobody else waits for it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

#[allow(dead_code, unused_imports, unused_macros, reason = "the fixtures of the contract suites")]
mod contract;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ca::order::{Order, Outcome, Stage};
use ca::ports::{Advance, Clock, Fenced, OrderFilter, Random, StageCount, StoreErrorKind, Workbench};
use contract::fixtures::{TERMS, failure};
use contract::world::{SeededRandom, TestClock};
use contract::{ACTIVE_MAX, Stores};
use store::sqlite::{Database, FILE_NAME, OpenOptions};

fn open() -> (Stores, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let (clock, random) = (Arc::new(TestClock::new()), Arc::new(SeededRandom::new(1)));
    let seen = || Arc::clone(&clock) as Arc<dyn Clock>;
    let drawn = Arc::new(SeededRandom::new(2)) as Arc<dyn Random>;
    let database = Database::open(&path, OpenOptions::default()).unwrap();
    let stores = Stores {
        ledger: Arc::new(database.ledger(seen())),
        logs: Arc::new(database.log_store(seen())),
        workbench: Arc::new(database.workbench(seen(), drawn, None, ACTIVE_MAX).unwrap()),
        wipe_places: Box::new(|| ()),
        kept: Box::new((database, folder)),
        clock,
        random,
    };
    (stores, path)
}

/// A hand or a fault writes over the order's document.
fn damage(path: &PathBuf, order: &Order) {
    let hand = rusqlite::Connection::open(path).unwrap();
    let written = hand.execute("UPDATE active_orders SET document = '{' WHERE id = ?1", [order.id.as_bytes()]);
    assert_eq!(written.unwrap(), 1);
}

/// The document is whole again, as when a newer version reads it.
fn mend(path: &PathBuf, order: &Order) {
    let hand = rusqlite::Connection::open(path).unwrap();
    let document = serde_json::to_string(order).unwrap();
    let mended = "UPDATE active_orders SET document = ?2 WHERE id = ?1";
    assert_eq!(hand.execute(mended, rusqlite::params![order.id.as_bytes(), document]).unwrap(), 1);
}

async fn count(workbench: &dyn Workbench, of: Stage) -> StageCount {
    workbench.counts().await.unwrap().into_iter().find(|(stage, _)| *stage == of).unwrap().1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue_goes_on_behind_an_order_that_cannot_be_read() {
    let (stores, path) = open();
    let (broken, whole) = (stores.processing().await, stores.processing().await);
    damage(&path, &broken);
    assert_eq!(stores.claim(Stage::Issue).await.order.id, whole.id);
    assert_eq!(stores.workbench.claim(Stage::Issue, TERMS).await.unwrap(), None);
    let [aside] = &*stores.workbench.unreadable(None, 10).await.unwrap() else { panic!("one is set aside") };
    assert_eq!((aside.order, aside.stage), (broken.id, Stage::Issue));
    let counted = count(stores.workbench.as_ref(), Stage::Issue).await;
    assert_eq!((counted.unreadable, counted.nowhere, counted.queued, counted.leased), (1, 0, 0, 1));
    assert_eq!(stores.workbench.read(broken.id).await.unwrap_err().kind, StoreErrorKind::Corrupt);
    assert_eq!(stores.workbench.list(OrderFilter::default(), 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_to_be_tested_that_cannot_be_read_is_passed_over() {
    let (stores, path) = open();
    let broken = stores.pending(&["one.example.com"]).await;
    let whole = stores.pending(&["two.example.com"]).await;
    stores.answer(&broken, 0).await;
    stores.answer(&whole, 0).await;
    damage(&path, &broken);
    let busy = [ca::AccountId::from_bytes([9; 16])];
    let claimed = stores.workbench.claim_test(TERMS, &busy).await.unwrap().unwrap();
    assert_eq!(claimed.order.id, whole.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweep_goes_on_behind_orders_that_cannot_be_read() {
    let (stores, path) = open();
    let (broken, overdue) = (stores.processing().await, stores.processing().await);
    let nowhere = stores.processing().await;
    damage(&path, &broken);
    damage(&path, &nowhere);
    let hand = rusqlite::Connection::open(&path).unwrap();
    hand.execute("UPDATE active_orders SET place = NULL, turn = NULL WHERE id = ?1", [nowhere.id.as_bytes()]).unwrap();
    stores.clock.pass_seconds(601);
    let page = stores.swept().await;
    assert_eq!(page.overdue.iter().map(|order| order.id).collect::<Vec<_>>(), [overdue.id]);
    assert_eq!(stores.workbench.unreadable(None, 10).await.unwrap().len(), 2);
    assert_eq!(stores.workbench.absent(&[broken.id, overdue.id]).await.unwrap(), [broken.id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_that_comes_back_from_the_ledger_takes_the_place_of_one_that_cannot_be_read() {
    let (stores, path) = open();
    let order = stores.processing().await;
    damage(&path, &order);
    assert_eq!(stores.workbench.claim(Stage::Issue, TERMS).await.unwrap(), None);
    stores.workbench.create(order.clone(), TERMS).await.unwrap();
    assert_eq!(stores.workbench.read(order.id).await.unwrap().unwrap().order, order);
    assert_eq!(stores.workbench.unreadable(None, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lease_on_an_order_that_cannot_be_read_any_more_is_lost() {
    let (stores, path) = open();
    let (parked, advanced) = (stores.processing().await, stores.processing().await);
    let leases = [stores.claim(Stage::Issue).await.lease, stores.claim(Stage::Issue).await.lease];
    damage(&path, &parked);
    damage(&path, &advanced);
    assert_eq!(stores.workbench.park(&leases[0], Duration::from_secs(5)).await.unwrap(), Err(Fenced::Stale));
    let advance = Advance::Finished { outcome: Outcome::Invalid(failure("a test")), ended: stores.now() };
    assert_eq!(stores.workbench.advance(&leases[1], advance).await.unwrap(), Err(Fenced::Stale));
    assert_eq!(stores.workbench.unreadable(None, 10).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_that_was_set_aside_is_given_to_nobody_who_asks_for_the_same() {
    let (stores, path) = open();
    let order = stores.pending(&["one.example.com"]).await;
    let likeness = order.likeness().unwrap();
    stores.answer(&order, 0).await;
    assert_eq!(stores.workbench.alike(likeness).await.unwrap(), Some(order.id));
    damage(&path, &order);
    assert_eq!(stores.workbench.claim(Stage::TestChallenge, TERMS).await.unwrap(), None);
    assert_eq!(stores.workbench.alike(likeness).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_that_was_set_aside_goes_on_when_it_can_be_read_again() {
    let (stores, path) = open();
    let order = stores.processing().await;
    damage(&path, &order);
    assert_eq!(stores.workbench.claim(Stage::Issue, TERMS).await.unwrap(), None);
    assert_eq!(stores.swept().await.requeued, []);
    mend(&path, &order);
    assert_eq!(stores.swept().await.requeued, [(order.id, Stage::Issue)]);
    assert_eq!(stores.workbench.unreadable(None, 10).await.unwrap(), []);
    assert_eq!(stores.claim(Stage::Issue).await.order, order);
    stores.clock.pass_seconds(601);
    assert_eq!(stores.swept().await.overdue, [order], "it has its deadline");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_that_stays_unreadable_leaves_when_it_would_have_been_kept_no_longer() {
    let (stores, path) = open();
    let order = stores.processing().await;
    damage(&path, &order);
    assert_eq!(stores.workbench.claim(Stage::Issue, TERMS).await.unwrap(), None);
    stores.clock.pass_seconds(601);
    assert_eq!(stores.swept().await.retired, 0);
    assert_eq!(stores.workbench.unreadable(None, 10).await.unwrap().len(), 1);
    stores.clock.pass_seconds(7 * 86_400);
    assert_eq!(stores.swept().await.retired, 1);
    assert_eq!(stores.workbench.unreadable(None, 10).await.unwrap(), []);
    assert_eq!(stores.workbench.read(order.id).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_of_a_list_is_full_also_where_an_order_cannot_be_read() {
    let (stores, path) = open();
    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(stores.pending(&["one.example.com"]).await);
        stores.clock.pass_seconds(1);
    }
    let account = orders[0].account;
    damage(&path, &orders[2]);
    let newest = stores.workbench.orders_of(account, None, 2).await.unwrap();
    assert_eq!(newest.iter().map(|order| order.id).collect::<Vec<_>>(), [orders[1].id, orders[0].id]);
    damage(&path, orders.iter().min_by_key(|order| order.id).unwrap());
    assert_eq!(stores.workbench.list(OrderFilter::default(), 1).await.unwrap().len(), 1);
}
