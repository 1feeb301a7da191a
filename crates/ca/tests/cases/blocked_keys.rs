//! Keys that are known to be compromised: what was issued for them is revoked, and nothing is any more.

use acme::{AccountStatus, NewAccount, OrderStatus, ProblemType};
use ca::KeysRevoked;
use ca::order::Stage;
use ca::ports::{AuditEvent, SerialRecord, SerialStatus};
use keys::KeyPair;
use pki::{Reason, Sha256};

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, kill, new_account_request, pair, refused, revoke_by_key};

on_all_back_ends! {
    all_that_was_issued_for_a_compromised_key_is_revoked
    worker_is_woken_by_a_block
    serial_in_the_making_is_revoked_with_its_key
    order_finalized_with_a_blocked_key_while_the_worker_runs_gets_no_serial
    worker_that_is_killed_anywhere_goes_on_after_a_restart
    worker_that_fails_anywhere_goes_on
    key_that_can_not_be_settled_keeps_no_other_from_it
    revocation_that_came_first_gets_the_reason_of_the_block
    account_of_a_blocked_key_ends_with_its_orders
    account_made_while_its_key_is_blocked_is_not_valid
    many_keys_and_serials_are_seen_to_in_turn
    key_that_fails_slows_no_other
    worker_that_is_told_to_stop_leaves_the_rest
}

async fn issued(world: &World, key: &KeyPair, count: usize) -> Vec<SerialRecord> {
    let client = Client::new(world).await;
    let mut issued = Vec::new();
    for number in 0..count {
        issued.push(client.issued(world, &[&format!("n{number}.example.com")], key).await);
    }
    issued
}

fn hash(key: &KeyPair) -> Sha256 {
    key.public_key().spki_hash()
}

async fn is_settled(world: &World, key: &KeyPair) -> bool {
    world.ledger.blocked_key(hash(key)).await.unwrap().is_some_and(|key| key.settled.is_some())
}

async fn assert_revoked(world: &World, records: &[SerialRecord]) {
    for record in records {
        let revocation = world.record(record.serial).await.revocation.expect("it is revoked");
        assert_eq!(revocation.reason, Reason::KeyCompromise);
    }
}

async fn revoke(world: &World) -> KeysRevoked {
    world.ca.revoke_blocked_keys(&|| false).await.unwrap()
}

async fn all_that_was_issued_for_a_compromised_key_is_revoked(backend: Backend) {
    let world = World::on(backend).await;
    let (key, other) = (pair(), pair());
    let records = issued(&world, &key, 3).await;
    let [kept] = &*issued(&world, &other, 1).await else { panic!("one") };
    revoke_by_key(&world, &key, records[0].certificate.as_deref().unwrap(), Some(1)).await.unwrap();
    assert_eq!(world.record(records[1].serial).await.status, SerialStatus::Good, "that is left to the worker");
    assert_eq!(revoke(&world).await, KeysRevoked { serials: 2, keys: 1 });
    assert_revoked(&world, &records).await;
    assert!(is_settled(&world, &key).await);
    assert_eq!(world.record(kept.serial).await.status, SerialStatus::Good);
    assert_eq!(revoke(&world).await, KeysRevoked::default());
    for record in &records {
        let lines = world.lines().await;
        let of =
            |event: &AuditEvent| matches!(event, AuditEvent::Revocation { serial, .. } if *serial == record.serial);
        assert_eq!(lines.iter().filter(|line| of(&line.event)).count(), 1);
    }
    world.check_invariants().await;
}

async fn worker_is_woken_by_a_block(backend: Backend) {
    let world = World::on(backend).await;
    let (key, ca) = (pair(), world.ca.clone());
    let woken = world.start_beside(async move { ca.blocked.heard().await });
    world.ca.block_key(hash(&key), "operator").await.unwrap();
    woken.await.unwrap();
}

async fn serial_in_the_making_is_revoked_with_its_key(backend: Backend) {
    let world = World::on(backend).await;
    let (client, key) = (Client::new(&world).await, pair());
    let order = client.processing_with(&world, &["one.example.com"], &key).await;
    // Its process dies behind step 5, and its issuance is given up.
    let mut held = world.points.hold(Side::After, Call::Begin);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    kill(worker).await;
    let world = world.restart();
    world.ca.recover().await.unwrap();
    world.until_done(order.id).await;
    let serials = world.serials(order.id).await;
    assert_eq!((serials.len(), serials[0].status), (2, SerialStatus::Wait));
    world.ca.block_key(hash(&key), "operator").await.unwrap();
    assert_eq!(revoke(&world).await, KeysRevoked { serials: 2, keys: 1 });
    assert_revoked(&world, &serials).await;
    world.check_invariants().await;
}

async fn order_finalized_with_a_blocked_key_while_the_worker_runs_gets_no_serial(backend: Backend) {
    let world = World::on(backend).await;
    let (client, key) = (Client::new(&world).await, pair());
    let records = issued(&world, &key, 2).await;
    let order = client.processing_with(&world, &["one.example.com"], &key).await;
    world.ca.block_key(hash(&key), "operator").await.unwrap();
    let mut held = world.points.hold(Side::Before, Call::Revoke);
    let ca = world.ca.clone();
    let worker = world.start_beside(async move { ca.revoke_blocked_keys(&|| false).await.unwrap() });
    held.reached().await;
    world.work(Stage::Issue).await;
    assert_eq!(world.serials(order.id).await, []);
    assert_eq!(client.death(&world, order.id).await.1.kind, ProblemType::BadPublicKey);
    held.release();
    assert_eq!(worker.await.unwrap(), KeysRevoked { serials: 2, keys: 1 });
    assert_revoked(&world, &records).await;
}

/// How many calls the worker makes for such a key when nothing goes wrong.
async fn calls(backend: Backend) -> u64 {
    let (world, key, _) = blocked(backend).await;
    let before = world.points.calls();
    revoke(&world).await;
    assert!(is_settled(&world, &key).await);
    world.points.calls() - before
}

async fn blocked(backend: Backend) -> (World, KeyPair, Vec<SerialRecord>) {
    let (world, key) = (World::on(backend).await, pair());
    let records = issued(&world, &key, 3).await;
    world.ca.block_key(hash(&key), "operator").await.unwrap();
    (world, key, records)
}

async fn worker_that_is_killed_anywhere_goes_on_after_a_restart(backend: Backend) {
    for number in 0..calls(backend).await {
        for side in [Side::Before, Side::After] {
            let (world, key, records) = blocked(backend).await;
            let mut held = world.points.hold_after(number, side);
            let ca = world.ca.clone();
            let worker = world.start_beside(async move { ca.revoke_blocked_keys(&|| false).await.unwrap() });
            held.reached().await;
            kill(worker).await;
            let world = world.restart();
            world.ca.recover().await.unwrap();
            revoke(&world).await;
            assert!(is_settled(&world, &key).await, "killed at call {number}, {side:?}");
            assert_revoked(&world, &records).await;
            world.check_invariants().await;
        }
    }
}

async fn worker_that_fails_anywhere_goes_on(backend: Backend) {
    for number in 0..calls(backend).await {
        for side in [Side::Before, Side::After] {
            let (world, key, records) = blocked(backend).await;
            world.points.fail_after(number, side);
            let _failed = world.ca.revoke_blocked_keys(&|| false).await;
            assert_eq!(world.points.forget(), 0, "call {number}, {side:?}");
            revoke(&world).await;
            assert!(is_settled(&world, &key).await, "failed at call {number}, {side:?}");
            assert_revoked(&world, &records).await;
        }
    }
}

async fn key_that_can_not_be_settled_keeps_no_other_from_it(backend: Backend) {
    let world = World::on(backend).await;
    let (one, two) = (pair(), pair());
    let records = [issued(&world, &one, 1).await, issued(&world, &two, 1).await].concat();
    for key in [&one, &two] {
        world.ca.block_key(hash(key), "operator").await.unwrap();
    }
    world.points.fail(Side::Before, Call::Revoke);
    assert!(world.ca.revoke_blocked_keys(&|| false).await.is_err());
    assert_ne!(is_settled(&world, &one).await, is_settled(&world, &two).await);
    assert_eq!(revoke(&world).await, KeysRevoked { serials: 1, keys: 1 });
    assert_revoked(&world, &records).await;
}

async fn revocation_that_came_first_gets_the_reason_of_the_block(backend: Backend) {
    let (world, key, records) = blocked(backend).await;
    let mut held = world.points.hold(Side::Before, Call::AppendOther);
    let ca = world.ca.clone();
    let worker = world.start_beside(async move { ca.revoke_blocked_keys(&|| false).await.unwrap() });
    held.reached().await;
    let (ca, serial) = (world.ca.clone(), records[0].serial);
    ca.revoke(serial, Reason::Superseded, "operator".to_owned()).await.unwrap();
    let first = world.record(serial).await.revocation.unwrap();
    held.release();
    assert_eq!(worker.await.unwrap(), KeysRevoked { serials: 2, keys: 1 });
    assert_revoked(&world, &records).await;
    assert_eq!(world.record(serial).await.revocation.unwrap().revoked, first.revoked);
    assert!(is_settled(&world, &key).await);
}

async fn account_of_a_blocked_key_ends_with_its_orders(backend: Backend) {
    let (world, key) = (World::on(backend).await, pair());
    let client = Client::with_key(&world, &key).await;
    let order = client.order(&world, &["one.example.com"]).await;
    world.ca.block_key(hash(&key), "operator").await.unwrap();
    let ended = world.ledger.account(client.account.id).await.unwrap().unwrap();
    assert_eq!(ended.status, AccountStatus::Revoked);
    assert_eq!(world.read(order.id).await.unwrap().order.status(world.ca.now()), OrderStatus::Invalid);
}

async fn account_made_while_its_key_is_blocked_is_not_valid(backend: Backend) {
    let (world, key) = (World::on(backend).await, pair());
    let mut held = world.points.hold(Side::Before, Call::CreateAccount);
    let ca = world.ca.clone();
    let request = new_account_request(&key, &NewAccount::default());
    let making = world.start_beside(async move { ca.new_account(request).await });
    held.reached().await;
    world.ca.block_key(hash(&key), "operator").await.unwrap();
    held.release();
    let problem = refused(making.await.unwrap());
    assert_eq!(problem.kind, ProblemType::Unauthorized);
    let accounts = world.ledger.accounts(None, 10).await.unwrap();
    assert_eq!(accounts.len(), 1);
    assert!(accounts.iter().all(|account| account.status == AccountStatus::Revoked));
}

async fn many_keys_and_serials_are_seen_to_in_turn(backend: Backend) {
    let world = World::on(backend).await;
    let keys = [pair(), pair(), pair()];
    let mut records = Vec::new();
    for key in &keys {
        records.extend(issued(&world, key, 2).await);
        world.ca.block_key(hash(key), "operator").await.unwrap();
    }
    assert_eq!(revoke(&world).await, KeysRevoked { serials: 6, keys: 3 });
    assert_revoked(&world, &records).await;
}

async fn key_that_fails_slows_no_other(backend: Backend) {
    let world = World::with(backend, |settings| settings.limits.sweep_page = 2).await;
    let (bad, good) = (pair(), pair());
    issued(&world, &bad, 1).await;
    let records = issued(&world, &good, 7).await;
    for key in [&bad, &good] {
        world.ca.block_key(hash(key), "operator").await.unwrap();
    }
    // Of either key: what fails is one page, and all that is left of the other key is done.
    world.points.fail(Side::Before, Call::SettleBlock);
    assert!(world.ca.revoke_blocked_keys(&|| false).await.is_err());
    assert_ne!(is_settled(&world, &bad).await, is_settled(&world, &good).await);
    assert_revoked(&world, &records).await;
    revoke(&world).await;
    assert!(is_settled(&world, &bad).await && is_settled(&world, &good).await);
}

async fn worker_that_is_told_to_stop_leaves_the_rest(backend: Backend) {
    let world = World::with(backend, |settings| settings.limits.sweep_page = 2).await;
    let key = pair();
    let records = issued(&world, &key, 5).await;
    world.ca.block_key(hash(&key), "operator").await.unwrap();
    let revocations = world.points.calls();
    let told = || world.points.calls() > revocations + 1;
    assert_eq!(world.ca.revoke_blocked_keys(&told).await.unwrap(), KeysRevoked { serials: 2, keys: 0 });
    assert_eq!(revoke(&world).await, KeysRevoked { serials: 3, keys: 1 });
    assert_revoked(&world, &records).await;
}
