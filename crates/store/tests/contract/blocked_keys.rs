//! Blocked keys, the account that has one, and what is left to be revoked.

use acme::{AccountStatus, Jwk};
use ca::ports::{BlockedKey, KeyNotChanged};
use pki::{Reason, Sha256};

use super::Stores;
use super::accounts::key_change;
use super::fixtures::Wanted;
use super::revocation::{block, revocation};

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, blocked_keys:
            block_ends_the_account_that_has_its_key
            blocked_key_makes_no_valid_account
            blocked_keys_are_found_and_paged
            what_is_left_of_a_blocked_key_is_paged_until_it_is_revoked
            block_is_settled_once_nothing_of_its_key_is_left
        );
    };
}
pub(crate) use suite;

pub(crate) async fn block_ends_the_account_that_has_its_key(stores: &Stores) {
    let account = stores.account(0).await;
    let changed = stores.ledger.change_key(key_change(&account, 1)).await.unwrap().unwrap();
    let block = |key: Jwk| async move {
        stores.ledger.block(block(stores, Sha256::of(&key.spki_der()))).await.unwrap().account
    };
    let status = || async { stores.ledger.account(account.id).await.unwrap().unwrap().status };
    assert_eq!(block(account.key.clone()).await, None, "it has another one since");
    // What is remembered of it ends with it.
    assert_eq!(status().await, AccountStatus::Valid);
    assert_eq!(block(changed.key.clone()).await, Some(account.id));
    assert_eq!(status().await, AccountStatus::Revoked);
    assert_eq!(block(changed.key).await, None, "once");
}

pub(crate) async fn blocked_key_makes_no_valid_account(stores: &Stores) {
    let (blocked, account) = (stores.new_account(0), stores.account(1).await);
    stores.ledger.block(block(stores, Sha256::of(&blocked.key.spki_der()))).await.unwrap();
    assert_eq!(stores.ledger.change_key(key_change(&account, 0)).await.unwrap(), Err(KeyNotChanged::Blocked));
    let (made, new) = stores.ledger.create_account(blocked).await.unwrap();
    assert_eq!((made.status, new), (AccountStatus::Revoked, true));
    assert_eq!(stores.ledger.account(made.id).await.unwrap().unwrap().status, AccountStatus::Revoked);
}

pub(crate) async fn blocked_keys_are_found_and_paged(stores: &Stores) {
    let mut keys: Vec<Sha256> = (0..5_u8).map(|number| Sha256::of(&[number])).collect();
    for key in &keys {
        stores.ledger.block(block(stores, *key)).await.unwrap();
    }
    keys.sort_unstable();
    let found = stores.ledger.blocked_key(keys[1]).await.unwrap();
    assert_eq!(found, Some(BlockedKey { block: block(stores, keys[1]), settled: None }));
    assert_eq!(stores.ledger.blocked_key(Sha256::of(b"another key")).await.unwrap(), None);
    stores.clock.pass_seconds(1);
    assert!(stores.ledger.settle_block(keys[1], stores.now()).await.unwrap().settled);
    let page = |after, unsettled| async move {
        let page = stores.ledger.blocked_keys(after, unsettled, 2).await.unwrap();
        page.into_iter().map(|key| (key.block.spki_hash, key.settled)).collect::<Vec<_>>()
    };
    let settled = Some(stores.now());
    assert_eq!(page(None, false).await, [(keys[0], None), (keys[1], settled)]);
    assert_eq!(page(Some(keys[3]), false).await, [(keys[4], None)]);
    assert_eq!(page(None, true).await, [(keys[0], None), (keys[2], None)]);
    assert_eq!(page(Some(keys[4]), true).await, []);
}

pub(crate) async fn what_is_left_of_a_blocked_key_is_paged_until_it_is_revoked(stores: &Stores) {
    let (waiting, good, done) = (stores.begun().await, stores.begun().await, stores.begun().await);
    let other = Wanted { spki_hash: Sha256::of(b"another key"), ..stores.wanted().await };
    stores.begin(&other).await.unwrap();
    stores.ledger.mark_good(good.serial, stores.now()).await.unwrap();
    stores.ledger.mark_good(done.serial, stores.now()).await.unwrap();
    stores.ledger.store_final(done.serial, b"certificate", stores.now()).await.unwrap();
    let key = done.spki_hash;
    let page = |after| async move { stores.ledger.unrevoked_of_key(key, after, 2).await.unwrap() };
    assert_eq!(page(None).await, [waiting.serial, good.serial]);
    assert_eq!(page(Some(good.serial)).await, [done.serial]);
    assert_eq!(page(Some(done.serial)).await, []);
    stores.ledger.revoke(revocation(stores, waiting.serial, Reason::Superseded)).await.unwrap();
    assert_eq!(page(None).await, [good.serial, done.serial]);
    assert_eq!(page(Some(waiting.serial)).await, [good.serial, done.serial]);
}

pub(crate) async fn block_is_settled_once_nothing_of_its_key_is_left(stores: &Stores) {
    let wanted = stores.begun().await;
    stores.ledger.mark_good(wanted.serial, stores.now()).await.unwrap();
    stores.ledger.store_final(wanted.serial, b"certificate", stores.now()).await.unwrap();
    let settle = || async { stores.ledger.settle_block(wanted.spki_hash, stores.now()).await.unwrap() };
    assert!(!settle().await.settled, "the key is not blocked");
    stores.ledger.block(block(stores, wanted.spki_hash)).await.unwrap();
    assert!(!settle().await.settled, "its certificate is good");
    stores.ledger.revoke(revocation(stores, wanted.serial, Reason::KeyCompromise)).await.unwrap();
    let at = stores.now();
    assert!(settle().await.settled);
    stores.clock.pass_seconds(1);
    assert!(settle().await.settled);
    let settled = stores.ledger.blocked_key(wanted.spki_hash).await.unwrap().unwrap().settled;
    assert_eq!(settled, Some(at), "the first time counts");
}
