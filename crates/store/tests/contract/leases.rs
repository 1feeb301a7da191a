//! Leases and parks of the workbench.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use acme::OrderStatus;
use ca::order::{Outcome, Stage};
use ca::ports::{Advance, Fenced, Lease, LeaseTerms, Standing};
use ca::{AccountId, InstanceId, LeaseToken, OrderId};

use super::Stores;
use super::fixtures::{HOLDER, TERMS};

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, leases:
            oldest_order_of_a_queue_is_claimed_first
            no_order_is_given_to_two
            worker_whose_order_was_given_to_another_is_refused
            forged_token_is_refused
            worker_that_is_late_but_not_replaced_may_write
            advanced_lease_is_spent
            challenge_answered_meanwhile_takes_the_order_back_to_its_queue
            failed_test_parks_the_order_until_the_next
            answer_ends_the_back_off
            parked_order_comes_back_when_its_time_has_come
            park_with_a_stale_token_is_refused
            claims_are_counted_by_stage
            accounts_that_are_passed_over_keep_their_turn
            leases_of_an_instance_are_freed
            claims_that_no_worker_ended_are_no_tries
            orders_that_are_not_active_are_absent
        );
    };
}
pub(crate) use suite;

async fn standing(stores: &Stores, order: OrderId) -> Standing {
    stores.workbench.read(order).await.unwrap().unwrap().standing
}

fn finished(stores: &Stores) -> Advance {
    Advance::Finished { outcome: Outcome::Valid(stores.serial()), ended: stores.now() }
}

pub(crate) async fn oldest_order_of_a_queue_is_claimed_first(stores: &Stores) {
    let mut queued = Vec::new();
    for _ in 0..5 {
        queued.push(stores.processing().await.id);
    }
    for id in queued {
        assert_eq!(stores.claim(Stage::Issue).await.order.id, id);
    }
    assert_eq!(stores.workbench.claim(Stage::Issue, TERMS).await.unwrap(), None);
}

pub(crate) async fn no_order_is_given_to_two(stores: &Stores) {
    let mut queued = BTreeSet::new();
    for _ in 0..24 {
        queued.insert(stores.processing().await.id);
    }
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let workbench = Arc::clone(&stores.workbench);
            tokio::spawn(async move {
                let mut claimed = Vec::new();
                while let Some(one) = workbench.claim(Stage::Issue, TERMS).await.unwrap() {
                    claimed.push(one.lease);
                }
                claimed
            })
        })
        .collect();
    let (mut orders, mut tokens, mut claims) = (BTreeSet::new(), BTreeSet::new(), 0);
    for worker in workers {
        for lease in worker.await.unwrap() {
            claims += 1;
            orders.insert(lease.order);
            tokens.insert(lease.token.to_string());
        }
    }
    assert_eq!((orders, tokens.len(), claims), (queued, 24, 24));
}

pub(crate) async fn worker_whose_order_was_given_to_another_is_refused(stores: &Stores) {
    let order = stores.processing().await;
    let first = stores.claim(Stage::Issue).await;
    stores.clock.pass_seconds(61);
    stores.swept().await;
    assert_eq!(stores.workbench.advance(&first.lease, finished(stores)).await.unwrap(), Err(Fenced::Stale));
    let second = stores.claim(Stage::Issue).await;
    assert_ne!(first.lease.token, second.lease.token);
    assert_eq!(stores.workbench.advance(&first.lease, finished(stores)).await.unwrap(), Err(Fenced::Stale));
    let active = stores.workbench.read(order.id).await.unwrap().unwrap();
    assert_eq!(active.order, order);
    assert_eq!(active.standing, Standing::Lease { expires: second.lease.expires, holder: HOLDER });
    assert!(stores.workbench.advance(&second.lease, finished(stores)).await.unwrap().is_ok());
}

pub(crate) async fn forged_token_is_refused(stores: &Stores) {
    let order = stores.processing().await;
    let claimed = stores.claim(Stage::Issue).await;
    let forged = Lease { token: LeaseToken::from_bytes([0; 16]), ..claimed.lease };
    assert_eq!(stores.workbench.advance(&forged, finished(stores)).await.unwrap(), Err(Fenced::Stale));
    let nowhere = Lease { order: OrderId::from_bytes([9; 16]), ..forged };
    assert_eq!(stores.workbench.advance(&nowhere, finished(stores)).await.unwrap(), Err(Fenced::Stale));
    assert_eq!(stores.workbench.read(order.id).await.unwrap().unwrap().order, order);
}

pub(crate) async fn worker_that_is_late_but_not_replaced_may_write(stores: &Stores) {
    stores.processing().await;
    let claimed = stores.claim(Stage::Issue).await;
    stores.clock.pass_seconds(61);
    let advanced = stores.workbench.advance(&claimed.lease, finished(stores)).await.unwrap();
    assert_eq!(advanced.unwrap().status(stores.now()), OrderStatus::Valid);
}

pub(crate) async fn advanced_lease_is_spent(stores: &Stores) {
    let order = stores.pending(&["one.example.com"]).await;
    let answered = stores.answer(&order, 0).await;
    let claimed = stores.claim(Stage::TestChallenge).await;
    let tested = || Advance::Tested(vec![stores.tested(&answered, 0, stores.valid())]);
    assert!(stores.workbench.advance(&claimed.lease, tested()).await.unwrap().is_ok());
    assert_eq!(stores.workbench.advance(&claimed.lease, tested()).await.unwrap(), Err(Fenced::Stale));
    assert_eq!(stores.workbench.park(&claimed.lease, Duration::from_secs(5)).await.unwrap(), Err(Fenced::Stale));
}

pub(crate) async fn challenge_answered_meanwhile_takes_the_order_back_to_its_queue(stores: &Stores) {
    let order = stores.pending(&["one.example.com", "two.example.com"]).await;
    let answered = stores.answer(&order, 0).await;
    let claimed = stores.claim(Stage::TestChallenge).await;
    stores.answer(&order, 1).await;
    let held = Standing::Lease { expires: claimed.lease.expires, holder: HOLDER };
    assert_eq!(standing(stores, order.id).await, held, "its worker goes on");
    let tested = Advance::Tested(vec![stores.tested(&answered, 0, stores.valid())]);
    let advanced = stores.advance(&claimed.lease, tested).await;
    assert_eq!(standing(stores, order.id).await, Standing::Queue);
    assert!(advanced.authorizations[0].end.is_some() && advanced.authorizations[1].due().is_some());
    assert_eq!(stores.claim(Stage::TestChallenge).await.order, advanced);
}

pub(crate) async fn failed_test_parks_the_order_until_the_next(stores: &Stores) {
    let order = stores.pending(&["one.example.com"]).await;
    let answered = stores.answer(&order, 0).await;
    let claimed = stores.claim(Stage::TestChallenge).await;
    let due = stores.in_seconds(10);
    stores.advance(&claimed.lease, Advance::Tested(vec![stores.tested_again(&answered, 0, 10)])).await;
    assert_eq!(standing(stores, order.id).await, Standing::Park { until: due });
    assert_eq!(stores.workbench.claim(Stage::TestChallenge, TERMS).await.unwrap(), None);
    stores.clock.pass_seconds(10);
    stores.swept().await;
    assert_eq!(stores.claim(Stage::TestChallenge).await.order.id, order.id);
}

pub(crate) async fn answer_ends_the_back_off(stores: &Stores) {
    let order = stores.pending(&["one.example.com"]).await;
    let answered = stores.answer(&order, 0).await;
    let claimed = stores.claim(Stage::TestChallenge).await;
    let again = stores.tested_again(&answered, 0, 1000);
    stores.advance(&claimed.lease, Advance::Tested(vec![again])).await;
    stores.clock.pass_seconds(1);
    stores.answer(&order, 0).await;
    assert_eq!(standing(stores, order.id).await, Standing::Queue);
    assert_eq!(stores.claim(Stage::TestChallenge).await.order.id, order.id);
}

pub(crate) async fn parked_order_comes_back_when_its_time_has_come(stores: &Stores) {
    let order = stores.processing().await;
    let claimed = stores.claim(Stage::Issue).await;
    let until = stores.in_seconds(30);
    assert_eq!(stores.workbench.park(&claimed.lease, Duration::from_secs(30)).await.unwrap(), Ok(()));
    assert_eq!(standing(stores, order.id).await, Standing::Park { until });
    stores.clock.pass_seconds(29);
    stores.swept().await;
    assert_eq!(stores.workbench.claim(Stage::Issue, TERMS).await.unwrap(), None);
    stores.clock.pass_seconds(1);
    stores.swept().await;
    let again = stores.claim(Stage::Issue).await;
    assert_eq!((again.order.id, again.lease.claims), (order.id, 2));
}

pub(crate) async fn park_with_a_stale_token_is_refused(stores: &Stores) {
    let order = stores.processing().await;
    let claimed = stores.claim(Stage::Issue).await;
    let forged = Lease { token: LeaseToken::from_bytes([0; 16]), ..claimed.lease.clone() };
    assert_eq!(stores.workbench.park(&forged, Duration::from_secs(5)).await.unwrap(), Err(Fenced::Stale));
    let held = Standing::Lease { expires: claimed.lease.expires, holder: HOLDER };
    assert_eq!(standing(stores, order.id).await, held);
}

pub(crate) async fn accounts_that_are_passed_over_keep_their_turn(stores: &Stores) {
    let [first, second, third] = [0x11, 0x55, 0xee].map(|octet| AccountId::from_bytes([octet; 16]));
    let mut queued = Vec::new();
    for account in [first, second, first, second, third] {
        let order = stores.pending_of(account, &["one.example.com"]).await;
        queued.push(stores.answer(&order, 0).await.id);
    }
    let claim = async |but: &[AccountId]| {
        let claimed = stores.workbench.claim_test(TERMS, but).await.unwrap();
        claimed.map(|claimed| claimed.order.id)
    };
    assert_eq!(claim(&[first, third]).await, Some(queued[1]), "the oldest of the others");
    assert_eq!(claim(&[third, second]).await, Some(queued[0]));
    assert_eq!(claim(&[first, second]).await, Some(queued[4]));
    for _ in 0..3 {
        assert_eq!(claim(&[first, second]).await, None);
    }
    assert_eq!(claim(&[]).await, Some(queued[2]), "what was passed over can be claimed");
    assert_eq!(claim(&[first]).await, Some(queued[3]));
    assert_eq!(claim(&[]).await, None);
}

pub(crate) async fn claims_are_counted_by_stage(stores: &Stores) {
    let order = stores.pending(&["one.example.com"]).await;
    let answered = stores.answer(&order, 0).await;
    for claims in 1..=3 {
        assert_eq!(stores.claim(Stage::TestChallenge).await.lease.claims, claims);
        stores.clock.pass_seconds(61);
        stores.swept().await;
    }
    let claimed = stores.claim(Stage::TestChallenge).await;
    assert_eq!(claimed.lease.claims, 4);
    stores.advance(&claimed.lease, Advance::Tested(vec![stores.tested(&answered, 0, stores.valid())])).await;
    let finalize = stores.workbench.finalize(order.id, stores.finalize(), stores.in_seconds(600), &[]);
    finalize.await.unwrap().unwrap().unwrap();
    assert_eq!(stores.claim(Stage::Issue).await.lease.claims, 1);
}

pub(crate) async fn leases_of_an_instance_are_freed(stores: &Stores) {
    let (freed, parked, other) =
        (stores.processing().await.id, stores.processing().await.id, stores.processing().await.id);
    let first = stores.claim(Stage::Issue).await;
    let second = stores.claim(Stage::Issue).await;
    stores.workbench.park(&second.lease, Duration::from_secs(30)).await.unwrap().unwrap();
    let elsewhere = LeaseTerms { holder: InstanceId::from_bytes([0xb2; 16]), ..TERMS };
    stores.workbench.claim(Stage::Issue, elsewhere).await.unwrap().unwrap();

    assert_eq!(stores.workbench.free_leases(HOLDER).await.unwrap(), 1);
    assert_eq!(standing(stores, freed).await, Standing::Queue);
    assert_eq!(standing(stores, parked).await, Standing::Park { until: stores.in_seconds(30) });
    assert!(matches!(standing(stores, other).await, Standing::Lease { holder, .. } if holder == elsewhere.holder));
    assert_eq!(stores.workbench.advance(&first.lease, finished(stores)).await.unwrap(), Err(Fenced::Stale));
    assert_eq!(stores.workbench.free_leases(HOLDER).await.unwrap(), 0);
}

pub(crate) async fn claims_that_no_worker_ended_are_no_tries(stores: &Stores) {
    stores.processing().await;
    let first = stores.claim(Stage::Issue).await;
    assert_eq!((first.lease.claims, first.lease.tries()), (1, 1));
    stores.workbench.free_leases(HOLDER).await.unwrap();
    let second = stores.claim(Stage::Issue).await;
    assert_eq!((second.lease.claims, second.lease.tries()), (2, 1));
    stores.clock.pass_seconds(61);
    stores.swept().await;
    let third = stores.claim(Stage::Issue).await;
    assert_eq!((third.lease.claims, third.lease.tries()), (3, 1));
    stores.workbench.park(&third.lease, Duration::from_secs(5)).await.unwrap().unwrap();
    stores.clock.pass_seconds(5);
    stores.swept().await;
    let fourth = stores.claim(Stage::Issue).await;
    assert_eq!((fourth.lease.claims, fourth.lease.tries()), (4, 2));
}

pub(crate) async fn orders_that_are_not_active_are_absent(stores: &Stores) {
    let active = stores.processing().await.id;
    let unknown = OrderId::random(stores.random.as_ref());
    assert_eq!(stores.workbench.absent(&[active, unknown]).await.unwrap(), [unknown]);
    assert_eq!(stores.workbench.unreadable(None, 10).await.unwrap(), []);
}
