//! The sweep, which is also the recovery.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ca::OrderId;
use ca::order::{Order, Outcome, Stage};
use ca::ports::{Advance, OrderFilter, Retention, Standing, SweepPage};

use super::Stores;
use super::fixtures::failure;

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, sweep:
            lapsed_lease_goes_back_to_its_queue
            lease_and_park_from_before_the_clock_was_set_back_have_run_out
            clock_set_back_a_little_ends_no_lease
            created_order_whose_handler_died_is_queued
            sweep_leaves_what_stands_well
            wiped_places_are_rebuilt
            sweeping_twice_is_sweeping_once
            overdue_orders_are_named_and_left
            retention_ends_by_outcome
            oldest_ended_orders_leave_above_the_number
            sweep_goes_in_pages
        );
    };
}
pub(crate) use suite;

const RETENTION: Retention =
    Retention { valid: Duration::from_secs(86_400), invalid: Duration::from_secs(7 * 86_400), number_max: 1000 };

impl Stores {
    /// A sweep over all pages.
    pub(crate) async fn swept(&self) -> SweepPage {
        self.swept_by(RETENTION, 3).await
    }

    async fn swept_by(&self, retention: Retention, limit: u32) -> SweepPage {
        let mut whole = SweepPage::default();
        let mut after = None;
        loop {
            let page = self.workbench.sweep(after, limit, retention).await.unwrap();
            whole.requeued.extend(page.requeued);
            whole.overdue.extend(page.overdue);
            whole.retired += page.retired;
            assert!(page.next.is_none() || page.next > after, "it goes on");
            after = page.next;
            if after.is_none() {
                return whole;
            }
        }
    }
}

async fn standings(stores: &Stores) -> BTreeMap<OrderId, Standing> {
    let all = stores.workbench.list(OrderFilter::default(), 1000).await.unwrap();
    all.into_iter().map(|active| (active.order.id, active.standing)).collect()
}

/// The order ends, and waits for its acknowledgement.
async fn ended(stores: &Stores, order: &Order, outcome: Outcome) -> OrderId {
    stores.workbench.settle(order.id, &[], Some((outcome, stores.now()))).await.unwrap();
    order.id
}

pub(crate) async fn lapsed_lease_goes_back_to_its_queue(stores: &Stores) {
    let order = stores.processing().await;
    stores.claim(Stage::Issue).await;
    assert_eq!(stores.swept().await, SweepPage::default(), "it has not run out");
    stores.clock.pass_seconds(61);
    assert_eq!(stores.swept().await.requeued, [(order.id, Stage::Issue)]);
    assert_eq!(stores.claim(Stage::Issue).await.order.id, order.id);
}

/// An order under a lease, and one that is parked, both taken now.
async fn held_and_parked(stores: &Stores) -> [OrderId; 2] {
    stores.processing().await;
    stores.processing().await;
    let held = stores.claim(Stage::Issue).await;
    let parked = stores.claim(Stage::Issue).await;
    stores.workbench.park(&parked.lease, Duration::from_secs(90)).await.unwrap().unwrap();
    [held.order.id, parked.order.id]
}

pub(crate) async fn lease_and_park_from_before_the_clock_was_set_back_have_run_out(stores: &Stores) {
    let ids = BTreeSet::from(held_and_parked(stores).await);
    stores.clock.set_back(Duration::from_secs(3600));
    let requeued: BTreeSet<OrderId> = stores.swept().await.requeued.into_iter().map(|(id, _)| id).collect();
    assert_eq!(requeued, ids);
    stores.claim(Stage::Issue).await;
    assert_eq!(stores.swept().await, SweepPage::default(), "the new lease counts by the clock as it is");
}

pub(crate) async fn clock_set_back_a_little_ends_no_lease(stores: &Stores) {
    held_and_parked(stores).await;
    stores.clock.set_back(Duration::from_secs(30));
    assert_eq!(stores.swept().await, SweepPage::default());
    stores.clock.pass_seconds(121);
    assert_eq!(stores.swept().await.requeued.len(), 2);
}

pub(crate) async fn created_order_whose_handler_died_is_queued(stores: &Stores) {
    let order = stores.order_for(ca::AccountId::from_bytes([1; 16]), &[super::fixtures::dns("one.example.com")]);
    stores.workbench.create(order.clone(), super::fixtures::TERMS).await.unwrap();
    stores.clock.pass_seconds(61);
    assert_eq!(stores.swept().await.requeued, [(order.id, Stage::MakeChallenge)]);
    let claimed = stores.claim(Stage::MakeChallenge).await;
    let made = stores.advance(&claimed.lease, Advance::Made(stores.authorizations_of(&order))).await;
    assert_eq!(made.authorizations.len(), 1);
}

/// One order in each place, and the places.
async fn one_in_each_place(stores: &Stores) -> BTreeMap<OrderId, Standing> {
    stores.pending(&["client.example.com"]).await;
    stores.ready().await;
    let tested = stores.pending(&["test.example.com"]).await;
    stores.answer(&tested, 0).await;
    let backed_off = stores.pending(&["park.example.com"]).await;
    let claimed = stores.claim(Stage::TestChallenge).await;
    assert_eq!(claimed.order.id, tested.id);
    let answered = stores.answer(&backed_off, 0).await;
    let second = stores.claim(Stage::TestChallenge).await;
    let again = stores.tested_again(&answered, 0, 500);
    stores.advance(&second.lease, Advance::Tested(vec![again])).await;
    stores.processing().await;
    let parked = stores.claim(Stage::Issue).await;
    stores.workbench.park(&parked.lease, Duration::from_secs(500)).await.unwrap().unwrap();
    stores.processing().await;
    let valid = stores.processing().await;
    ended(stores, &valid, Outcome::Valid(stores.serial())).await;
    standings(stores).await
}

pub(crate) async fn sweep_leaves_what_stands_well(stores: &Stores) {
    let before = one_in_each_place(stores).await;
    assert_eq!(stores.swept().await, SweepPage::default());
    assert_eq!(standings(stores).await, before);
}

pub(crate) async fn wiped_places_are_rebuilt(stores: &Stores) {
    let before = one_in_each_place(stores).await;
    (stores.wipe_places)();
    assert!(standings(stores).await.values().all(|standing| *standing == Standing::Nowhere));
    let nowhere: u64 = stores.workbench.counts().await.unwrap().iter().map(|(_, count)| count.nowhere).sum();
    assert_eq!(nowhere, before.len() as u64);
    stores.swept().await;
    // Whoever held a lease has lost it: the order is where a worker finds it.
    let expected: BTreeMap<OrderId, Standing> = before
        .into_iter()
        .map(|(id, standing)| match standing {
            Standing::Lease { .. } => (id, Standing::Queue),
            Standing::Queue | Standing::Park { .. } | Standing::Client | Standing::PendingDone | Standing::Nowhere => {
                (id, standing)
            }
        })
        .collect();
    assert_eq!(standings(stores).await, expected);
    stores.claim(Stage::TestChallenge).await;
    stores.claim(Stage::Issue).await;
}

pub(crate) async fn sweeping_twice_is_sweeping_once(stores: &Stores) {
    one_in_each_place(stores).await;
    (stores.wipe_places)();
    assert_eq!(stores.swept().await.requeued.len(), 2);
    let after_one = standings(stores).await;
    assert_eq!(stores.swept().await, SweepPage::default());
    assert_eq!(standings(stores).await, after_one);
    stores.claim(Stage::Issue).await;
    stores.claim(Stage::TestChallenge).await;
    assert_eq!(stores.workbench.claim(Stage::Issue, super::fixtures::TERMS).await.unwrap(), None, "queued once");
}

pub(crate) async fn overdue_orders_are_named_and_left(stores: &Stores) {
    let processing = stores.processing().await;
    let pending = stores.pending(&["one.example.com"]).await;
    stores.clock.pass_seconds(600);
    assert_eq!(stores.swept().await.overdue, []);
    stores.clock.pass_seconds(1);
    for _ in 0..2 {
        assert_eq!(stores.swept().await.overdue.iter().map(|order| order.id).collect::<Vec<_>>(), [processing.id]);
    }
    assert_eq!(stores.workbench.read(processing.id).await.unwrap().unwrap().order, processing);
    ended(stores, &processing, Outcome::Invalid(failure("deadline"))).await;
    stores.clock.pass_seconds(6 * 86_400 + 86_400);
    let page = stores.swept().await;
    assert_eq!(page.overdue.iter().map(|order| order.id).collect::<Vec<_>>(), [pending.id]);
}

pub(crate) async fn retention_ends_by_outcome(stores: &Stores) {
    let order = stores.pending(&["one.example.com"]).await;
    let valid = ended(stores, &order, Outcome::Valid(stores.serial())).await;
    let order = stores.pending(&["two.example.com"]).await;
    let invalid = ended(stores, &order, Outcome::Invalid(failure("a test"))).await;
    stores.clock.pass_seconds(86_399);
    assert_eq!(stores.swept().await.retired, 0);
    stores.clock.pass_seconds(2);
    assert_eq!(stores.swept().await.retired, 1);
    assert_eq!(standings(stores).await, BTreeMap::from([(invalid, Standing::PendingDone)]));
    assert_eq!(stores.workbench.read(valid).await.unwrap(), None);
    stores.clock.pass_seconds(6 * 86_400);
    assert_eq!(stores.swept().await.retired, 1);
    assert_eq!(standings(stores).await, BTreeMap::new());
}

pub(crate) async fn oldest_ended_orders_leave_above_the_number(stores: &Stores) {
    let mut kept = Vec::new();
    for _ in 0..6 {
        let order = stores.pending(&["one.example.com"]).await;
        kept.push(ended(stores, &order, Outcome::Invalid(failure("a test"))).await);
        stores.clock.pass_seconds(1);
    }
    let open = stores.pending(&["two.example.com"]).await.id;
    let retention = Retention { number_max: 2, ..RETENTION };
    // Each sweep lets a bounded number go.
    let mut retired = 0;
    for _ in 0..4 {
        retired += stores.swept_by(retention, 2).await.retired;
    }
    assert_eq!(retired, 4);
    let left: BTreeSet<OrderId> = standings(stores).await.into_keys().collect();
    assert_eq!(left, BTreeSet::from([kept[4], kept[5], open]));
}

pub(crate) async fn sweep_goes_in_pages(stores: &Stores) {
    let mut queued = BTreeSet::new();
    for _ in 0..7 {
        queued.insert(stores.processing().await.id);
    }
    for _ in 0..7 {
        stores.claim(Stage::Issue).await;
    }
    stores.clock.pass_seconds(61);
    let first = stores.workbench.sweep(None, 2, RETENTION).await.unwrap();
    assert!(first.requeued.len() <= 2 && first.next.is_some());
    let rest = stores.swept_by(RETENTION, 2).await;
    let mut found = BTreeSet::new();
    for (id, _) in first.requeued.into_iter().chain(rest.requeued) {
        assert!(found.insert(id), "once");
    }
    assert_eq!(found, queued);
}
