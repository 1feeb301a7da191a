//! An order's way over the workbench, as its client moves it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use acme::OrderStatus;
use ca::authorization::{AuthorizationEnd, Method};
use ca::order::{Failure, MoveRefused, Order, Outcome, Progress, Stage};
use ca::ports::{Advance, NonceUse, OrderFilter, Standing, StoreErrorKind};
use ca::{AccountId, AuthorizationId, OrderId};
use futures_util::FutureExt;

use super::fixtures::{HOLDER, TERMS, dns, ended, failure};
use super::{ACTIVE_MAX, Stores};

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, pipeline:
            new_order_is_under_the_lease_of_its_handler
            order_with_its_challenges_waits_for_its_client
            order_above_the_limit_is_refused_as_full
            order_that_comes_back_from_the_ledger_needs_no_room
            order_that_comes_back_takes_the_place_of_its_earlier_self
            answered_challenge_takes_the_order_to_its_queue
            repeated_answer_takes_no_second_turn
            answer_to_what_is_not_there_is_refused
            answer_to_an_ended_authorization_is_refused
            order_is_ready_when_the_last_authorization_is_valid
            order_with_a_bad_authorization_goes_to_its_queue_to_end
            order_that_is_not_ready_is_not_finalized
            finalized_order_is_in_the_queue_of_issue
            finalize_looks_at_what_the_ledger_says
            finalize_takes_the_lease_away
            ended_order_waits_for_its_acknowledgement
            delivery_takes_nothing_out_and_the_first_counts
            open_order_is_not_acknowledged
            settled_order_ends_without_a_lease
            order_in_issue_does_not_end_by_what_was_found_before
            settling_what_does_not_change_leaves_the_lease
            order_ends_once
            change_wakes_who_subscribed_before_it
            arrival_in_a_queue_wakes_who_subscribed_before_it
            orders_are_listed_by_their_ids
            orders_are_counted_where_they_stand
            what_has_waited_longest_is_listed_first
            nonce_is_good_once
            simultaneous_uses_of_a_nonce_are_one
            nonce_of_somebody_else_is_unknown
        );
    };
}
pub(crate) use suite;

async fn standing(stores: &Stores, order: OrderId) -> Standing {
    stores.workbench.read(order).await.unwrap().unwrap().standing
}

pub(crate) async fn new_order_is_under_the_lease_of_its_handler(stores: &Stores) {
    let order = stores.order_for(AccountId::from_bytes([1; 16]), &[dns("one.example.com")]);
    let lease = stores.workbench.create(order.clone(), TERMS).await.unwrap();
    assert_eq!((lease.order, lease.expires, lease.claims), (order.id, stores.in_seconds(60), 1));
    let active = stores.workbench.read(order.id).await.unwrap().unwrap();
    assert_eq!(active.order, order);
    assert_eq!(active.standing, Standing::Lease { expires: lease.expires, holder: HOLDER });
    assert_eq!(stores.workbench.claim(Stage::MakeChallenge, TERMS).await.unwrap(), None);
    assert_eq!(stores.workbench.read(OrderId::from_bytes([9; 16])).await.unwrap(), None);
}

pub(crate) async fn order_with_its_challenges_waits_for_its_client(stores: &Stores) {
    let order = stores.pending(&["one.example.com", "two.example.com"]).await;
    assert_eq!((order.stage(), order.authorizations.len()), (Stage::TestChallenge, 2));
    assert_eq!(order.status(stores.now()), OrderStatus::Pending);
    let active = stores.workbench.read(order.id).await.unwrap().unwrap();
    assert_eq!((active.standing, active.order), (Standing::Client, order));
    assert_eq!(stores.workbench.claim(Stage::TestChallenge, TERMS).await.unwrap(), None);
}

pub(crate) async fn order_above_the_limit_is_refused_as_full(stores: &Stores) {
    for _ in 0..ACTIVE_MAX {
        stores.pending(&["one.example.com"]).await;
    }
    let order = stores.order_for(AccountId::from_bytes([1; 16]), &[dns("one.example.com")]);
    let refused = stores.workbench.create(order.clone(), TERMS).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Full);
    assert_eq!(stores.workbench.read(order.id).await.unwrap(), None);
    let one = stores.workbench.list(OrderFilter::default(), 1).await.unwrap().remove(0).order;
    stores.workbench.settle(one.id, &[], Some((Outcome::Invalid(failure("room")), stores.now()))).await.unwrap();
    stores.workbench.acknowledge(one.id, stores.now()).await.unwrap();
    stores.workbench.create(order, TERMS).await.unwrap();
}

pub(crate) async fn answered_challenge_takes_the_order_to_its_queue(stores: &Stores) {
    let order = stores.pending(&["one.example.com", "two.example.com"]).await;
    let answered = stores.answer(&order, 1).await;
    assert!(answered.authorizations[1].due().is_some() && answered.authorizations[0].due().is_none());
    assert_eq!(standing(stores, order.id).await, Standing::Queue);
    let claimed = stores.claim(Stage::TestChallenge).await;
    assert_eq!((claimed.order, claimed.lease.claims), (answered, 1));
}

pub(crate) async fn repeated_answer_takes_no_second_turn(stores: &Stores) {
    let (first, second) = (stores.pending(&["one.example.com"]).await, stores.pending(&["two.example.com"]).await);
    stores.answer(&first, 0).await;
    stores.answer(&second, 0).await;
    stores.answer(&first, 0).await;
    assert_eq!(stores.claim(Stage::TestChallenge).await.order.id, first.id);
    assert_eq!(stores.claim(Stage::TestChallenge).await.order.id, second.id);
    assert_eq!(stores.workbench.claim(Stage::TestChallenge, TERMS).await.unwrap(), None);
}

pub(crate) async fn answer_to_what_is_not_there_is_refused(stores: &Stores) {
    let order = stores.pending(&["one.example.com"]).await;
    let id = order.authorizations[0].id;
    let answer = |id, method| stores.workbench.answer(id, method, &[]);
    let elsewhere = AuthorizationId { order: OrderId::from_bytes([9; 16]), number: 0 };
    assert_eq!(answer(elsewhere, Method::Http01).await.unwrap(), None);
    let unknown = AuthorizationId { number: 1, ..id };
    assert_eq!(answer(unknown, Method::Http01).await.unwrap(), Some(Err(MoveRefused::NoSuchChallenge)));
    assert_eq!(answer(id, Method::TlsAlpn01).await.unwrap(), Some(Err(MoveRefused::NoSuchChallenge)));
    assert_eq!(stores.workbench.read(order.id).await.unwrap().unwrap().order, order);
}

pub(crate) async fn answer_to_an_ended_authorization_is_refused(stores: &Stores) {
    let order = stores.pending(&["one.example.com", "two.example.com"]).await;
    let end = [ended(&order, 0, stores.valid(), stores.now())];
    let id = order.authorizations[0].id;
    let refused = stores.workbench.answer(id, Method::Http01, &end).await.unwrap();
    assert_eq!(refused, Some(Err(MoveRefused::AuthorizationEnded)));
    let now = stores.workbench.read(order.id).await.unwrap().unwrap();
    assert_eq!(
        now.order.authorizations[0].end,
        Some(stores.valid()),
        "what the ledger says is copied back all the same"
    );
    assert_eq!(now.standing, Standing::Client);
}

pub(crate) async fn order_is_ready_when_the_last_authorization_is_valid(stores: &Stores) {
    let order = stores.pending(&["one.example.com"]).await;
    let answered = stores.answer(&order, 0).await;
    let claimed = stores.claim(Stage::TestChallenge).await;
    let tested = Advance::Tested(vec![stores.tested(&answered, 0, stores.valid())]);
    let advanced = stores.advance(&claimed.lease, tested).await;
    assert_eq!(advanced.status(stores.now()), OrderStatus::Ready);
    assert_eq!(standing(stores, order.id).await, Standing::Client);
}

pub(crate) async fn order_with_a_bad_authorization_goes_to_its_queue_to_end(stores: &Stores) {
    let order = stores.pending(&["one.example.com"]).await;
    let answered = stores.answer(&order, 0).await;
    let claimed = stores.claim(Stage::TestChallenge).await;
    let tested = Advance::Tested(vec![stores.tested(&answered, 0, AuthorizationEnd::Invalid)]);
    let advanced = stores.advance(&claimed.lease, tested).await;
    assert_eq!(advanced.status(stores.now()), OrderStatus::Invalid);
    assert_eq!(standing(stores, order.id).await, Standing::Queue);
    assert_eq!(stores.claim(Stage::TestChallenge).await.order.id, order.id);
}

pub(crate) async fn order_that_is_not_ready_is_not_finalized(stores: &Stores) {
    let order = stores.pending(&["one.example.com"]).await;
    let finalize = |id| stores.workbench.finalize(id, stores.finalize(), stores.in_seconds(600), &[]);
    let refused = finalize(order.id).await.unwrap();
    assert_eq!(refused, Some(Err(MoveRefused::NotReady(OrderStatus::Pending))));
    let processing = stores.processing().await;
    let refused = finalize(processing.id).await.unwrap();
    assert_eq!(refused, Some(Err(MoveRefused::NotReady(OrderStatus::Processing))));
    assert_eq!(finalize(OrderId::from_bytes([9; 16])).await.unwrap(), None);
}

pub(crate) async fn finalized_order_is_in_the_queue_of_issue(stores: &Stores) {
    let order = stores.processing().await;
    assert_eq!(order.status(stores.now()), OrderStatus::Processing);
    assert_eq!(order.deadline(), Some(stores.in_seconds(600)));
    assert_eq!(standing(stores, order.id).await, Standing::Queue);
    assert_eq!(stores.workbench.claim(Stage::TestChallenge, TERMS).await.unwrap(), None);
    let claimed = stores.claim(Stage::Issue).await;
    assert_eq!((claimed.order.finalize_request(), claimed.lease.claims), (Some(&stores.finalize()), 1));
}

pub(crate) async fn finalize_looks_at_what_the_ledger_says(stores: &Stores) {
    let order = stores.pending(&["one.example.com"]).await;
    let valid = [ended(&order, 0, stores.valid(), stores.now())];
    let (finalize, deadline) = (stores.finalize(), stores.in_seconds(600));
    let moved = stores.workbench.finalize(order.id, finalize.clone(), deadline, &valid).await.unwrap().unwrap();
    assert_eq!(moved.unwrap().stage(), Stage::Issue);

    let ready = stores.ready().await;
    let given_up = [ended(&ready, 0, AuthorizationEnd::Deactivated, stores.now())];
    let refused = stores.workbench.finalize(ready.id, finalize, deadline, &given_up).await.unwrap();
    assert_eq!(refused, Some(Err(MoveRefused::NotReady(OrderStatus::Invalid))));
    assert_eq!(standing(stores, ready.id).await, Standing::Queue, "to be ended by a worker");
}

pub(crate) async fn finalize_takes_the_lease_away(stores: &Stores) {
    let order = stores.pending(&["one.example.com"]).await;
    let answered = stores.answer(&order, 0).await;
    let claimed = stores.claim(Stage::TestChallenge).await;
    let valid = [ended(&answered, 0, stores.valid(), stores.now())];
    let finalize = stores.workbench.finalize(order.id, stores.finalize(), stores.in_seconds(600), &valid);
    finalize.await.unwrap().unwrap().unwrap();
    assert_eq!(standing(stores, order.id).await, Standing::Queue);
    let late = Advance::Tested(vec![stores.tested(&answered, 0, AuthorizationEnd::Invalid)]);
    assert!(stores.workbench.advance(&claimed.lease, late).await.unwrap().is_err());
    assert_eq!(stores.claim(Stage::Issue).await.order.id, order.id);
}

pub(crate) async fn ended_order_waits_for_its_acknowledgement(stores: &Stores) {
    let order = stores.processing().await;
    let claimed = stores.claim(Stage::Issue).await;
    let (outcome, at) = (Outcome::Valid(stores.serial()), stores.now());
    let finished = stores.advance(&claimed.lease, Advance::Finished { outcome: outcome.clone(), ended: at }).await;
    assert_eq!((finished.status(at), finished.outcome()), (OrderStatus::Valid, Some(&outcome)));
    assert_eq!(standing(stores, order.id).await, Standing::PendingDone);
    assert!(stores.workbench.acknowledge(order.id, at).await.unwrap());
    assert!(!stores.workbench.acknowledge(order.id, at).await.unwrap());
    assert_eq!(stores.workbench.read(order.id).await.unwrap(), None);
}

pub(crate) async fn delivery_takes_nothing_out_and_the_first_counts(stores: &Stores) {
    let order = stores.ready().await;
    stores.workbench.delivered(order.id, stores.now()).await.unwrap();
    let end = Some((Outcome::Invalid(failure("a test")), stores.now()));
    stores.workbench.settle(order.id, &[], end).await.unwrap();
    for seconds in [3, 4] {
        stores.workbench.delivered(order.id, stores.in_seconds(seconds)).await.unwrap();
    }
    // Not waited for: a synced step that comes behind it is.
    stores.pending(&["two.example.com"]).await;
    let active = stores.workbench.read(order.id).await.unwrap().unwrap();
    let Progress::Done { delivered, .. } = active.order.progress else { panic!("it has ended") };
    assert_eq!((active.standing, delivered), (Standing::PendingDone, Some(stores.in_seconds(3))));
}

pub(crate) async fn open_order_is_not_acknowledged(stores: &Stores) {
    let order = stores.processing().await;
    assert!(!stores.workbench.acknowledge(order.id, stores.now()).await.unwrap());
    assert!(!stores.workbench.acknowledge(OrderId::from_bytes([9; 16]), stores.now()).await.unwrap());
    assert_eq!(standing(stores, order.id).await, Standing::Queue);
}

pub(crate) async fn settled_order_ends_without_a_lease(stores: &Stores) {
    let order = stores.processing().await;
    let claimed = stores.claim(Stage::Issue).await;
    let outcome = Outcome::Invalid(failure("deadline"));
    let end = Some((outcome.clone(), stores.now()));
    let settled = stores.workbench.settle(order.id, &[], end).await.unwrap().unwrap();
    assert_eq!(settled.outcome(), Some(&outcome));
    assert_eq!(standing(stores, order.id).await, Standing::PendingDone);
    let late = Advance::Finished { outcome: Outcome::Valid(stores.serial()), ended: stores.now() };
    assert!(stores.workbench.advance(&claimed.lease, late).await.unwrap().is_err());
    assert_eq!(stores.workbench.settle(OrderId::from_bytes([9; 16]), &[], None).await.unwrap(), None);
}

pub(crate) async fn order_in_issue_does_not_end_by_what_was_found_before(stores: &Stores) {
    let order = stores.processing().await;
    let claimed = stores.claim(Stage::Issue).await;
    let before = Failure { stage: Stage::TestChallenge, ..failure("found while it was finalized") };
    let end = Some((Outcome::Invalid(before), stores.now()));
    assert_eq!(stores.workbench.settle(order.id, &[], end).await.unwrap(), Some(order));
    let end = Advance::Finished { outcome: Outcome::Valid(stores.serial()), ended: stores.now() };
    assert!(stores.workbench.advance(&claimed.lease, end).await.unwrap().is_ok());
}

pub(crate) async fn settling_what_does_not_change_leaves_the_lease(stores: &Stores) {
    let order = stores.processing().await;
    let claimed = stores.claim(Stage::Issue).await;
    let known = [ended(&order, 0, stores.valid(), stores.now())];
    let settled = stores.workbench.settle(order.id, &known, None).await.unwrap().unwrap();
    assert_eq!(settled, order);
    let end = Advance::Finished { outcome: Outcome::Valid(stores.serial()), ended: stores.now() };
    assert!(stores.workbench.advance(&claimed.lease, end).await.unwrap().is_ok());
}

pub(crate) async fn order_ends_once(stores: &Stores) {
    let order = stores.processing().await;
    let (first, second) = (Outcome::Invalid(failure("first")), Outcome::Valid(stores.serial()));
    stores.workbench.settle(order.id, &[], Some((first.clone(), stores.now()))).await.unwrap();
    let settled = stores.workbench.settle(order.id, &[], Some((second, stores.in_seconds(9)))).await.unwrap();
    assert_eq!(settled.unwrap().outcome(), Some(&first));
}

pub(crate) async fn change_wakes_who_subscribed_before_it(stores: &Stores) {
    let order = stores.pending(&["one.example.com"]).await;
    let other = stores.pending(&["two.example.com"]).await;
    let (changed, unchanged) = (stores.workbench.changed(order.id), stores.workbench.changed(other.id));
    stores.answer(&order, 0).await;
    tokio::time::timeout(Duration::from_secs(20), changed).await.unwrap();
    assert!(unchanged.now_or_never().is_none());
}

pub(crate) async fn arrival_in_a_queue_wakes_who_subscribed_before_it(stores: &Stores) {
    let order = stores.pending(&["one.example.com"]).await;
    let (test, issue) = (stores.workbench.queued(Stage::TestChallenge), stores.workbench.queued(Stage::Issue));
    stores.answer(&order, 0).await;
    tokio::time::timeout(Duration::from_secs(20), test).await.unwrap();
    assert!(issue.now_or_never().is_none());
}

pub(crate) async fn orders_are_listed_by_their_ids(stores: &Stores) {
    let mut all = BTreeSet::new();
    for _ in 0..5 {
        all.insert(stores.pending(&["one.example.com"]).await.id);
    }
    let processing = stores.processing().await.id;
    all.insert(processing);
    let all: Vec<OrderId> = all.into_iter().collect();
    let listed = |filter, limit| async move {
        let found = stores.workbench.list(filter, limit).await.unwrap();
        found.into_iter().map(|active| active.order.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(OrderFilter::default(), 100).await, all);
    assert_eq!(listed(OrderFilter { after: Some(all[1]), ..OrderFilter::default() }, 3).await, all[2..5]);
    let in_issue = OrderFilter { stage: Some(Stage::Issue), ..OrderFilter::default() };
    assert_eq!(listed(in_issue, 100).await, [processing]);
    let behind = OrderFilter { after: Some(processing), ..in_issue };
    assert_eq!(listed(behind, 100).await, []);
}

pub(crate) async fn orders_are_counted_where_they_stand(stores: &Stores) {
    let created = stores.order_for(AccountId::from_bytes([1; 16]), &[dns("one.example.com")]);
    stores.workbench.create(created, TERMS).await.unwrap();
    stores.pending(&["one.example.com"]).await;
    stores.ready().await;
    let parked = stores.processing().await;
    let claimed = stores.claim(Stage::Issue).await;
    assert_eq!(claimed.order.id, parked.id);
    stores.workbench.park(&claimed.lease, Duration::from_secs(30)).await.unwrap().unwrap();
    stores.processing().await;
    let oldest = stores.now();
    stores.clock.pass_seconds(1);
    stores.processing().await;
    let mut done = Vec::new();
    for _ in 0..2 {
        let order = stores.pending(&["one.example.com"]).await;
        let end = Some((Outcome::Invalid(failure("a test")), stores.now()));
        stores.workbench.settle(order.id, &[], end).await.unwrap();
        done.push(order.id);
    }
    stores.workbench.delivered(done[0], stores.now()).await.unwrap();
    stores.pending(&["two.example.com"]).await;

    let counts = stores.workbench.counts().await.unwrap();
    assert_eq!(counts.iter().map(|(stage, _)| *stage).collect::<Vec<_>>(), Stage::ALL);
    let [make, test, issue, done] = [0, 1, 2, 3].map(|stage| counts[stage].1);
    assert_eq!((make.leased, make.queued), (1, 0));
    assert_eq!((test.client, test.queued, test.leased), (3, 0, 0));
    assert_eq!((issue.queued, issue.parked, issue.leased, issue.oldest_queued), (2, 1, 0, Some(oldest)));
    assert_eq!((done.undelivered, done.delivered, done.nowhere), (1, 1, 0));
    let before = Some(oldest);
    assert_eq!((make.oldest_leased, make.oldest_parked, make.claims_max), (before, None, 1));
    assert_eq!((issue.oldest_leased, issue.oldest_parked, issue.claims_max), (None, before, 1));
    assert_eq!((test.oldest_queued, test.oldest_leased, test.claims_max), (None, None, 0));
}

pub(crate) async fn what_has_waited_longest_is_listed_first(stores: &Stores) {
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(stores.processing().await.id);
        stores.clock.pass_seconds(1);
    }
    // To be held, or parked, makes it no younger.
    let first = stores.claim(Stage::Issue).await;
    stores.workbench.park(&first.lease, Duration::from_secs(30)).await.unwrap().unwrap();
    stores.claim(Stage::Issue).await;
    let tested = [stores.pending(&["a.example.com"]).await, stores.pending(&["b.example.com"]).await];
    stores.answer(&tested[1], 0).await;
    stores.clock.pass_seconds(1);
    stores.answer(&tested[0], 0).await;
    // Those that wait for their clients don't wait for us.
    stores.pending(&["c.example.com"]).await;

    let oldest = |stage, limit| async move {
        let found = stores.workbench.oldest(stage, limit).await.unwrap();
        found.into_iter().map(|active| (active.order.id, active.claims)).collect::<Vec<_>>()
    };
    assert_eq!(oldest(Stage::Issue, 10).await, [(waiting[0], 1), (waiting[1], 1), (waiting[2], 0)]);
    assert_eq!(oldest(Stage::Issue, 2).await.len(), 2);
    assert_eq!(oldest(Stage::TestChallenge, 10).await, [(tested[1].id, 0), (tested[0].id, 0)]);
    assert_eq!(oldest(Stage::MakeChallenge, 10).await, []);
    (stores.wipe_places)();
    assert_eq!(oldest(Stage::Issue, 10).await.len(), 3);
    assert_eq!(oldest(Stage::TestChallenge, 10).await.len(), 3);
}

pub(crate) async fn nonce_is_good_once(stores: &Stores) {
    let (first, second) =
        (stores.workbench.issue_nonce().await.unwrap(), stores.workbench.issue_nonce().await.unwrap());
    assert_ne!(first, second);
    assert!(first.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_'), "{first}");
    assert_eq!(stores.workbench.use_nonce(&second).await.unwrap(), NonceUse::Fresh);
    assert_eq!(stores.workbench.use_nonce(&second).await.unwrap(), NonceUse::Replayed);
    assert_eq!(stores.workbench.use_nonce(&first).await.unwrap(), NonceUse::Fresh);
}

pub(crate) async fn simultaneous_uses_of_a_nonce_are_one(stores: &Stores) {
    for _ in 0..10 {
        let nonce = stores.workbench.issue_nonce().await.unwrap();
        let uses: Vec<_> = (0..8)
            .map(|_| {
                let (workbench, nonce) = (Arc::clone(&stores.workbench), nonce.clone());
                tokio::spawn(async move { workbench.use_nonce(&nonce).await.unwrap() })
            })
            .collect();
        let mut fresh = 0;
        for one in uses {
            fresh += u32::from(one.await.unwrap() == NonceUse::Fresh);
        }
        assert_eq!(fresh, 1);
    }
}

pub(crate) async fn nonce_of_somebody_else_is_unknown(stores: &Stores) {
    let nonce = stores.workbench.issue_nonce().await.unwrap();
    for bad in ["", "x", &nonce[1..], &"A".repeat(nonce.len()), &"\u{e9}".repeat(8)] {
        assert_eq!(stores.workbench.use_nonce(bad).await.unwrap(), NonceUse::Unknown, "{bad:?}");
    }
}

pub(crate) async fn order_that_comes_back_from_the_ledger_needs_no_room(stores: &Stores) {
    let back = Order { id: OrderId::random(stores.random.as_ref()), ..stores.processing().await };
    for _ in 1..ACTIVE_MAX {
        stores.pending(&["one.example.com"]).await;
    }
    stores.workbench.create(back.clone(), TERMS).await.unwrap();
    assert_eq!(stores.workbench.read(back.id).await.unwrap().unwrap().order, back);
    let new = stores.order_for(back.account, &[dns("one.example.com")]);
    assert_eq!(stores.workbench.create(new, TERMS).await.unwrap_err().kind, StoreErrorKind::Full);
}

/// The workbench was rolled back to a time before the order was finalized.
pub(crate) async fn order_that_comes_back_takes_the_place_of_its_earlier_self(stores: &Stores) {
    let order = stores.processing().await;
    let earlier = stores.pending(&["one.example.com"]).await;
    stores.answer(&earlier, 0).await;
    let back = Order { id: earlier.id, ..order.clone() };
    assert_eq!(stores.workbench.absent(&[earlier.id, order.id]).await.unwrap(), [earlier.id]);
    stores.workbench.create(back.clone(), TERMS).await.unwrap();
    assert_eq!(stores.workbench.absent(&[earlier.id]).await.unwrap(), []);
    assert_eq!(stores.workbench.claim(Stage::TestChallenge, TERMS).await.unwrap(), None);
    assert_eq!(stores.workbench.read(back.id).await.unwrap().unwrap().order, back);
    stores.workbench.create(back, TERMS).await.unwrap_err();
}
