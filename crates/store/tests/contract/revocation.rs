//! Revocations, blocked keys and CRLs of the ledger.

use std::collections::BTreeSet;
use std::sync::Arc;

use ca::ports::{Blocked, CrlPart, CrlShard, KeyBlock, Revocation, Revoked, SerialStatus};
use pki::{Reason, Serial, Sha256};

use super::Stores;
use super::fixtures::{Wanted, issuer};

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, revocation:
            serial_is_revocable_as_soon_as_it_is_allocated
            first_revocation_of_a_serial_stands
            serial_never_allocated_is_not_revoked
            reason_becomes_key_compromise_once
            block_revokes_the_open_issuances_of_its_key_alone
            block_again_finds_nothing_more
            begin_and_block_see_each_other
            crl_numbers_grow_strictly_for_each_issuer_and_shard
            simultaneous_allocations_of_a_number_are_one
            crl_with_the_highest_number_is_kept
            parts_of_a_crl_are_there_until_they_are_dropped
            parts_of_crls_that_are_not_the_last_are_left_over
            parts_of_a_crl_are_read_in_pieces
            revocation_behind_a_crl_number_is_written_with_the_time_of_its_crl_at_the_earliest
            parts_of_a_crl_that_was_outgrown_are_refused
            crl_state_knows_the_last_revocation_of_its_shard
            revoked_serials_are_paged_by_shard
            revoked_serials_leave_when_their_validity_has_ended
        );
    };
}
pub(crate) use suite;

pub(crate) fn revocation(stores: &Stores, serial: Serial, reason: Reason) -> Revocation {
    Revocation { serial, reason, revoked: stores.now(), by: "a test".to_owned() }
}

pub(crate) fn block(stores: &Stores, spki_hash: Sha256) -> KeyBlock {
    KeyBlock { spki_hash, at: stores.now(), by: "a test".to_owned() }
}

pub(crate) async fn serial_is_revocable_as_soon_as_it_is_allocated(stores: &Stores) {
    let wanted = stores.begun().await;
    let revocation = revocation(stores, wanted.serial, Reason::Superseded);
    assert_eq!(stores.ledger.revoke(revocation.clone()).await.unwrap(), Revoked::Done);
    let record = stores.record(wanted.serial).await;
    assert_eq!((record.status, record.revocation), (SerialStatus::Revoked, Some(revocation)));
}

pub(crate) async fn first_revocation_of_a_serial_stands(stores: &Stores) {
    let wanted = stores.begun().await;
    stores.ledger.mark_good(wanted.serial, stores.now()).await.unwrap();
    let first = revocation(stores, wanted.serial, Reason::CessationOfOperation);
    stores.ledger.revoke(first.clone()).await.unwrap();
    stores.clock.pass_seconds(10);
    let second = revocation(stores, wanted.serial, Reason::KeyCompromise);
    assert_eq!(stores.ledger.revoke(second).await.unwrap(), Revoked::Already(first.clone()));
    assert_eq!(stores.record(wanted.serial).await.revocation, Some(first));
}

pub(crate) async fn serial_never_allocated_is_not_revoked(stores: &Stores) {
    let revocation = revocation(stores, stores.serial(), Reason::Superseded);
    assert_eq!(stores.ledger.revoke(revocation).await.unwrap(), Revoked::UnknownSerial);
    assert_eq!(stores.ledger.counts().await.unwrap().revoked, 0);
}

pub(crate) async fn reason_becomes_key_compromise_once(stores: &Stores) {
    let wanted = stores.begun().await;
    let serial = wanted.serial;
    let upgrade = || stores.ledger.upgrade_to_key_compromise(serial, "who has the key");
    assert!(!upgrade().await.unwrap(), "it is not revoked");
    let first = revocation(stores, serial, Reason::Superseded);
    stores.ledger.revoke(first.clone()).await.unwrap();
    assert!(upgrade().await.unwrap());
    let now = stores.record(serial).await.revocation.unwrap();
    assert_eq!((now.reason, now.revoked), (Reason::KeyCompromise, first.revoked));
    assert!(!upgrade().await.unwrap(), "it was changed before");
    assert!(!stores.ledger.upgrade_to_key_compromise(stores.serial(), "nobody").await.unwrap());
}

pub(crate) async fn block_revokes_the_open_issuances_of_its_key_alone(stores: &Stores) {
    let waiting = stores.begun().await;
    let superseded = stores.begun().await;
    let good = stores.begun_again(&superseded).await;
    stores.ledger.mark_good(good.serial, stores.now()).await.unwrap();
    let finished = stores.begun().await;
    stores.ledger.mark_good(finished.serial, stores.now()).await.unwrap();
    stores.ledger.store_final(finished.serial, b"certificate", stores.now()).await.unwrap();
    let other = Wanted { spki_hash: Sha256::of(b"another key"), ..stores.wanted().await };
    stores.begin(&other).await.unwrap();

    assert!(!stores.ledger.is_blocked(waiting.spki_hash).await.unwrap());
    let revoked = stores.ledger.block(block(stores, waiting.spki_hash)).await.unwrap().in_issuance;
    assert_eq!(revoked.iter().collect::<BTreeSet<_>>(), BTreeSet::from([&waiting.serial, &good.serial]));
    assert!(stores.ledger.is_blocked(waiting.spki_hash).await.unwrap());
    assert!(!stores.ledger.is_blocked(other.spki_hash).await.unwrap());
    for wanted in [&waiting, &good] {
        let record = stores.record(wanted.serial).await;
        assert_eq!(record.status, SerialStatus::Revoked);
        assert_eq!(record.revocation.map(|revocation| revocation.reason), Some(Reason::KeyCompromise));
    }
    for wanted in [&superseded, &finished, &other] {
        assert_eq!(stores.record(wanted.serial).await.revocation, None, "that is left to a worker");
    }
    assert!(stores.ledger.signing_record(finished.serial).await.unwrap().unwrap().key_blocked);
    assert!(!stores.ledger.signing_record(other.serial).await.unwrap().unwrap().key_blocked);
}

pub(crate) async fn block_again_finds_nothing_more(stores: &Stores) {
    let wanted = stores.begun().await;
    let again = || async { stores.ledger.block(block(stores, wanted.spki_hash)).await.unwrap() };
    assert_eq!(again().await, Blocked { in_issuance: vec![wanted.serial], account: None });
    assert_eq!(again().await, Blocked::default());
}

pub(crate) async fn begin_and_block_see_each_other(stores: &Stores) {
    let mut orders = Vec::new();
    for _ in 0..12 {
        orders.push(stores.wanted().await);
    }
    let (ledger, blocked) = (Arc::clone(&stores.ledger), block(stores, orders[0].spki_hash));
    let mut blocking = None;
    let mut begun = BTreeSet::new();
    for (number, wanted) in orders.iter().enumerate() {
        if number == 4 {
            let (ledger, blocked) = (Arc::clone(&ledger), blocked.clone());
            blocking = Some(tokio::spawn(async move { ledger.block(blocked).await.unwrap().in_issuance }));
        }
        if stores.begin(wanted).await.is_ok() {
            begun.insert(wanted.serial);
        }
    }
    let revoked = blocking.unwrap().await.unwrap();
    assert_eq!(revoked.into_iter().collect::<BTreeSet<_>>(), begun, "each that began before the block, and no other");
    assert!(begun.len() >= 4);
}

pub(crate) async fn crl_numbers_grow_strictly_for_each_issuer_and_shard(stores: &Stores) {
    let allocate = |issuer, shard, number| stores.ledger.allocate_crl_number(issuer, shard, number, stores.now());
    assert!(allocate(issuer(), 0, 1).await.unwrap());
    assert!(!allocate(issuer(), 0, 1).await.unwrap());
    assert!(allocate(issuer(), 0, 5).await.unwrap());
    assert!(!allocate(issuer(), 0, 4).await.unwrap());
    assert!(allocate(issuer(), 1, 1).await.unwrap());
    assert!(allocate(Sha256::of(b"another issuer"), 0, 1).await.unwrap());
    assert_eq!(stores.ledger.crl_state(issuer(), CrlShard::of_first(0, 2)).await.unwrap().allocated, 5);
    assert_eq!(stores.ledger.crl_state(issuer(), CrlShard::of_first(1, 2)).await.unwrap().allocated, 1);
}

pub(crate) async fn simultaneous_allocations_of_a_number_are_one(stores: &Stores) {
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let (ledger, now) = (Arc::clone(&stores.ledger), stores.now());
            tokio::spawn(async move { ledger.allocate_crl_number(issuer(), 0, 7, now).await.unwrap() })
        })
        .collect();
    let mut allocated = 0;
    for call in calls {
        allocated += u32::from(call.await.unwrap());
    }
    assert_eq!(allocated, 1);
}

pub(crate) async fn crl_with_the_highest_number_is_kept(stores: &Stores) {
    let crl = |number: u64| stores.crl(0, number);
    assert_eq!(stores.ledger.crl_state(issuer(), CrlShard::of_first(0, 1)).await.unwrap().last, None);
    assert!(stores.ledger.store_crl(crl(2)).await.unwrap());
    assert!(!stores.ledger.store_crl(crl(2)).await.unwrap());
    assert!(!stores.ledger.store_crl(crl(1)).await.unwrap());
    assert!(stores.ledger.store_crl(crl(3)).await.unwrap());
    assert_eq!(stores.ledger.crl_state(issuer(), CrlShard::of_first(0, 1)).await.unwrap().last, Some(crl(3)));
    assert_eq!(stores.ledger.last_crl(issuer(), 0).await.unwrap(), Some(crl(3)));
    assert_eq!(stores.ledger.last_crl(issuer(), 1).await.unwrap(), None);
    assert_eq!(stores.ledger.crl_state(issuer(), CrlShard::of_first(1, 2)).await.unwrap().last, None);
}

fn part(shard: u16, number: u64, part: u64) -> CrlPart {
    CrlPart { issuer: issuer(), shard, number, part }
}

/// Three CRLs of two parts each in shard 0, and of one in shard 1.
async fn put_parts(stores: &Stores) {
    for number in 1..=3 {
        for place in [part(0, number, 0), part(0, number, 1), part(1, number, 0)] {
            let octets = vec![u8::try_from(number).unwrap(); 3];
            assert!(stores.ledger.put_crl_part(place, octets).await.unwrap());
        }
    }
}

pub(crate) async fn parts_of_a_crl_are_there_until_they_are_dropped(stores: &Stores) {
    let ledger = &stores.ledger;
    put_parts(stores).await;
    let there = |number| async move { ledger.crl_part(part(0, number, 1), 0..9).await.unwrap() };
    assert_eq!(there(2).await, Some(vec![2; 3]));
    assert_eq!(ledger.crl_part(part(0, 2, 2), 0..9).await.unwrap(), None);
    assert!(ledger.put_crl_part(part(0, 2, 1), b"again".to_vec()).await.unwrap());
    assert_eq!(there(2).await, Some(b"again".to_vec()), "who makes it may begin anew");
    for stored in 1..=2 {
        assert!(ledger.store_crl(stores.crl(0, stored)).await.unwrap());
        for number in 1..=3 {
            assert!(there(number).await.is_some(), "CRL {number} when {stored} is stored");
        }
    }
    assert_eq!(ledger.drop_crl_parts(issuer(), 0, 2, 9).await.unwrap(), 0, "the last one stays");
    let dropped = async || ledger.drop_crl_parts(issuer(), 0, 1, 1).await.unwrap();
    assert_eq!([dropped().await, dropped().await, dropped().await], [1, 1, 0], "by pages");
    assert!(there(1).await.is_none() && there(2).await.is_some() && there(3).await.is_some());
    assert!(ledger.crl_part(part(1, 1, 0), 0..9).await.unwrap().is_some(), "of another shard");
}

pub(crate) async fn parts_of_crls_that_are_not_the_last_are_left_over(stores: &Stores) {
    let ledger = &stores.ledger;
    let left_over = async |limit| -> Vec<_> {
        let left = ledger.crl_leftovers(issuer(), 0, limit).await.unwrap();
        left.into_iter().map(|one| (one.number, one.replaced)).collect()
    };
    assert_eq!(left_over(9).await, []);
    put_parts(stores).await;
    assert_eq!(left_over(9).await, [(1, None), (2, None), (3, None)], "none of them is stored");
    ledger.store_crl(stores.crl(0, 1)).await.unwrap();
    assert_eq!(left_over(9).await, [(2, None), (3, None)]);
    stores.clock.pass_seconds(7);
    let replaced = Some(stores.now());
    ledger.store_crl(stores.crl(0, 3)).await.unwrap();
    stores.clock.pass_seconds(7);
    assert_eq!(left_over(9).await, [(1, replaced), (2, None)], "and 3 is the last");
    assert_eq!(left_over(1).await, [(1, replaced)]);
    assert_eq!(ledger.drop_crl_parts(issuer(), 0, 1, 9).await.unwrap(), 2);
    assert_eq!(left_over(9).await, [(2, None)]);
}

pub(crate) async fn parts_of_a_crl_are_read_in_pieces(stores: &Stores) {
    let ledger = &stores.ledger;
    ledger.put_crl_part(part(0, 1, 0), b"0123456789".to_vec()).await.unwrap();
    for (range, piece) in [(0..3, "012"), (4..5, "4"), (8..99, "89"), (0..10, "0123456789"), (10..12, ""), (3..3, "")] {
        let read = ledger.crl_part(part(0, 1, 0), range.clone()).await.unwrap();
        assert_eq!(read, Some(piece.as_bytes().to_vec()), "{range:?}");
    }
}

pub(crate) async fn revocation_behind_a_crl_number_is_written_with_the_time_of_its_crl_at_the_earliest(
    stores: &Stores,
) {
    let begun = stores.begun().await;
    let this_update = stores.in_seconds(40);
    let (issuer, shard) = (stores.record(begun.serial).await.issuer, begun.serial.shard(2));
    assert!(stores.ledger.allocate_crl_number(issuer, shard, 4, this_update).await.unwrap());
    let later = stores.in_seconds(50);
    assert!(!stores.ledger.allocate_crl_number(issuer, shard, 3, later).await.unwrap(), "it dates nothing");
    stores.ledger.revoke(revocation(stores, begun.serial, Reason::Superseded)).await.unwrap();
    let written = stores.ledger.crl_state(issuer, CrlShard::of_first(shard, 2)).await.unwrap().last_revocation;
    assert_eq!(written, Some(this_update), "the clock was set back since");
}

pub(crate) async fn parts_of_a_crl_that_was_outgrown_are_refused(stores: &Stores) {
    stores.ledger.store_crl(stores.crl(0, 2)).await.unwrap();
    assert!(!stores.ledger.put_crl_part(part(0, 1, 0), vec![1]).await.unwrap());
    assert!(!stores.ledger.put_crl_part(part(0, 2, 0), vec![1]).await.unwrap());
    assert_eq!(stores.ledger.crl_part(part(0, 2, 0), 0..9).await.unwrap(), None);
    assert!(stores.ledger.put_crl_part(part(0, 3, 0), vec![1]).await.unwrap());
}

pub(crate) async fn crl_state_knows_the_last_revocation_of_its_shard(stores: &Stores) {
    let wanted = stores.begun().await;
    let shard = wanted.serial.shard(2);
    let last = |shard| async move {
        stores.ledger.crl_state(issuer(), CrlShard::of_first(shard, 2)).await.unwrap().last_revocation
    };
    assert_eq!(last(shard).await, None);
    stores.clock.pass_seconds(1);
    let revoked = stores.now();
    stores.ledger.revoke(revocation(stores, wanted.serial, Reason::Superseded)).await.unwrap();
    assert_eq!((last(shard).await, last(1 - shard).await), (Some(revoked), None));
    stores.clock.pass_seconds(1);
    stores.ledger.upgrade_to_key_compromise(wanted.serial, "who has the key").await.unwrap();
    assert_eq!(last(shard).await, Some(stores.now()), "the next CRL has to show the new reason");
}

pub(crate) async fn revoked_serials_are_paged_by_shard(stores: &Stores) {
    const SHARDS: u16 = 3;
    let mut expected = BTreeSet::new();
    for number in 0..20 {
        let wanted = stores.begun().await;
        if number % 4 > 0 {
            stores.ledger.revoke(revocation(stores, wanted.serial, Reason::Superseded)).await.unwrap();
            expected.insert(wanted.serial);
        }
    }
    let foreign = Wanted { issuer: Sha256::of(b"another issuer"), ..stores.wanted().await };
    stores.begin(&foreign).await.unwrap();
    stores.ledger.revoke(revocation(stores, foreign.serial, Reason::Superseded)).await.unwrap();

    let mut found = BTreeSet::new();
    for shard in 0..SHARDS {
        let mut after = None;
        loop {
            let page = stores
                .ledger
                .revoked(issuer(), CrlShard::of_first(shard, SHARDS), stores.now(), after, 2)
                .await
                .unwrap();
            assert!(page.len() <= 2);
            for entry in &page {
                assert!(after.is_none_or(|after| entry.serial > after), "in the order of the serials");
                assert_eq!(entry.serial.shard(SHARDS), shard);
                assert_eq!((entry.reason, entry.revoked_at), (Reason::Superseded, stores.now()));
                assert!(found.insert(entry.serial), "once");
                after = Some(entry.serial);
            }
            if page.is_empty() {
                break;
            }
        }
    }
    assert_eq!(found, expected);
}

pub(crate) async fn revoked_serials_leave_when_their_validity_has_ended(stores: &Stores) {
    let wanted = stores.begun().await;
    stores.ledger.revoke(revocation(stores, wanted.serial, Reason::Superseded)).await.unwrap();
    let listed = |from| async move {
        stores.ledger.revoked(issuer(), CrlShard::of_first(0, 1), from, None, 10).await.unwrap().len()
    };
    assert_eq!(listed(wanted.not_after).await, 1);
    assert_eq!(listed(wanted.not_after.plus(std::time::Duration::from_millis(1))).await, 0);
}
