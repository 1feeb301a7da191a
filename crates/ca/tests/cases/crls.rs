//! CRLs: what is revoked appears in its shard's next one, and numbers grow.

use std::collections::BTreeSet;

use ca::order::Stage;
use ca::ports::SerialStatus;
use ca::{Ca, urls};
use pki::{Crl, Reason, Serial};

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, Side, World, pair};

const SHARDS: u16 = 4;

on_all_back_ends! {
    every_shard_gets_its_first_crl
    revoked_serial_appears_in_the_next_crl_of_its_shard
    serial_that_waits_is_on_no_crl
    reason_that_was_upgraded_appears_in_the_next_crl
    crl_that_nothing_changes_is_renewed_in_time
    number_whose_crl_failed_is_left_out
    number_that_was_outgrown_while_entries_were_compared_is_not_signed
    expired_certificate_stays_on_one_more_crl
}

/// The last CRL of a shard, verified.
async fn crl(world: &World, shard: u16) -> Crl {
    let issuer = &world.ca.issuers[0];
    let state = world.ledger.crl_state(issuer.id, shard, SHARDS).await.unwrap();
    let record = state.last.unwrap();
    let crl = Crl::from_der(&ca::crl::whole_crl(&*world.ledger, &record).await.unwrap()).unwrap();
    crl.verify_signed_by(issuer.certificate.public_key()).unwrap();
    assert_eq!((crl.number(), crl.this_update()), (record.number, record.this_update));
    let url = format!("{}{}", world.ca.settings.status_url, urls::crl(&issuer.id, shard));
    assert_eq!(crl.distribution_point(), Some(url.as_str()));
    crl
}

async fn numbers(world: &World) -> Vec<u64> {
    let mut numbers = Vec::new();
    for shard in 0..SHARDS {
        numbers.push(crl(world, shard).await.number());
    }
    numbers
}

fn listed(crl: &Crl) -> BTreeSet<Serial> {
    crl.entries().iter().map(|entry| entry.serial).collect()
}

async fn revoke(ca: &Ca, serial: Serial) {
    ca.revoke(serial, Reason::Superseded, "operator".to_owned()).await.unwrap();
}

async fn every_shard_gets_its_first_crl(backend: Backend) {
    let world = World::on(backend).await;
    assert_eq!(world.ca.renew_crls().await.unwrap(), 4);
    assert_eq!(numbers(&world).await, [1, 1, 1, 1]);
    assert_eq!(listed(&crl(&world, 0).await), BTreeSet::new());
    assert_eq!(world.ca.renew_crls().await.unwrap(), 0);
    world.clock.pass_seconds(60);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 0);
}

async fn revoked_serial_appears_in_the_next_crl_of_its_shard(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    world.ca.renew_crls().await.unwrap();
    let key = pair();
    let mut revoked: BTreeSet<Serial> = BTreeSet::new();
    let mut numbers_before = numbers(&world).await;
    for _ in 0..6 {
        let record = client.issued(&world, &["one.example.com"], &key).await;
        let shard = record.serial.shard(SHARDS);
        let url = format!("{}{}", world.ca.settings.status_url, urls::crl(&record.issuer, shard));
        let certificate = world.read_signed(record.certificate.as_deref().unwrap());
        assert_eq!(certificate.crl_url(), Some(url.as_str()), "the certificate names its shard");
        revoke(&world.ca, record.serial).await;
        revoked.insert(record.serial);
        world.clock.pass_seconds(1);
        assert_eq!(world.ca.renew_crls().await.unwrap(), 1, "of the others nothing has changed");
        let now = crl(&world, shard).await;
        let entry = now.entries().iter().find(|entry| entry.serial == record.serial).unwrap();
        assert_eq!(entry.reason, Reason::Superseded);
        numbers_before[usize::from(shard)] += 1;
        assert_eq!(numbers(&world).await, numbers_before);
        let mut all = BTreeSet::new();
        for shard in 0..SHARDS {
            all.extend(listed(&crl(&world, shard).await));
        }
        assert_eq!(all, revoked);
        // Once more, for what was on its way to the ledger meanwhile; then there is nothing new.
        world.clock.pass_seconds(10);
        assert_eq!(world.ca.renew_crls().await.unwrap(), 1);
        numbers_before[usize::from(shard)] += 1;
        assert_eq!(numbers(&world).await, numbers_before);
        world.clock.pass_seconds(10);
        assert_eq!(world.ca.renew_crls().await.unwrap(), 0);
    }
}

async fn serial_that_waits_is_on_no_crl(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.points.fail(Side::Before, Call::SignPrecertificate);
    world.work(Stage::Issue).await;
    let [waiting] = &*world.serials(order.id).await else { panic!("one serial") };
    assert_eq!(waiting.status, SerialStatus::Wait);
    world.ca.renew_crls().await.unwrap();
    for shard in 0..SHARDS {
        assert_eq!(listed(&crl(&world, shard).await), BTreeSet::new());
    }
    // Revoked, it is on the next one: a signature may exist.
    revoke(&world.ca, waiting.serial).await;
    world.clock.pass_seconds(1);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 1);
    let shard = waiting.serial.shard(SHARDS);
    assert_eq!(listed(&crl(&world, shard).await), BTreeSet::from([waiting.serial]));
}

async fn reason_that_was_upgraded_appears_in_the_next_crl(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    revoke(&world.ca, record.serial).await;
    world.clock.pass_seconds(1);
    world.ca.renew_crls().await.unwrap();
    world.clock.pass_seconds(60);
    assert!(world.ca.ledger.upgrade_to_key_compromise(record.serial, "key").await.unwrap());
    world.clock.pass_seconds(1);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 1);
    let crl = crl(&world, record.serial.shard(SHARDS)).await;
    assert_eq!(crl.entries()[0].reason, Reason::KeyCompromise);
}

async fn crl_that_nothing_changes_is_renewed_in_time(backend: Backend) {
    let world = World::on(backend).await;
    world.ca.renew_crls().await.unwrap();
    let first = crl(&world, 0).await;
    world.clock.pass_seconds(86_400);
    assert!(first.next_update() > world.ca.now(), "the last one is still good");
    assert_eq!(world.ca.renew_crls().await.unwrap(), 4);
    assert_eq!(numbers(&world).await, [2, 2, 2, 2]);
    let second = crl(&world, 0).await;
    assert!(second.this_update() > first.this_update() && second.next_update() > first.next_update());
}

async fn number_whose_crl_failed_is_left_out(backend: Backend) {
    let world = World::on(backend).await;
    for (side, call) in [
        (Side::After, Call::AllocateCrlNumber),
        (Side::Before, Call::SignCrl),
        (Side::After, Call::SignCrl),
        (Side::Before, Call::StoreCrl),
    ] {
        world.points.fail(side, call);
        assert!(world.ca.renew_crls().await.is_err(), "{side:?} {call:?}");
        assert_eq!(crl(&world, 3).await.number(), 1, "one shard's trouble is not the others'");
        assert_eq!(world.ca.crl_watch.troubles().len(), 1);
        assert_eq!(world.ca.renew_crls().await.unwrap(), 0, "it is not tried again at once");
        world.clock.pass_seconds(10);
    }
    assert_eq!(world.ca.renew_crls().await.unwrap(), 1);
    assert_eq!(numbers(&world).await, [5, 1, 1, 1]);
    assert!(world.ca.crl_watch.troubles().is_empty());
}

async fn number_that_was_outgrown_while_entries_were_compared_is_not_signed(backend: Backend) {
    let world = World::on(backend).await;
    let mut held = world.signer_points.hold(Side::Before, Call::ListRevoked);
    let ca = world.ca.clone();
    let slow = tokio::spawn(async move { ca.renew_crls().await });
    held.reached().await;
    // As another process would, since there is no CRL yet.
    assert_eq!(world.ca.renew_crls().await.unwrap(), 4);
    assert_eq!(numbers(&world).await, [2, 1, 1, 1]);
    held.release();
    let refused = slow.await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("CRL 2 is stored, and 1 is not above it"), "{refused}");
    assert_eq!(numbers(&world).await, [2, 1, 1, 1]);
}

async fn expired_certificate_stays_on_one_more_crl(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    let shard = record.serial.shard(SHARDS);
    revoke(&world.ca, record.serial).await;
    world.clock.pass_seconds(1);
    world.ca.renew_crls().await.unwrap();
    world.clock.pass(record.not_after.since(world.ca.now()));
    world.clock.pass_seconds(60);
    world.ca.renew_crls().await.unwrap();
    assert_eq!(listed(&crl(&world, shard).await), BTreeSet::from([record.serial]), "made after its end");
    world.clock.pass_seconds(86_400);
    world.ca.renew_crls().await.unwrap();
    assert_eq!(listed(&crl(&world, shard).await), BTreeSet::new());
}
