//! CRLs: what is revoked appears in its shard's next one, and numbers grow.

use std::collections::BTreeSet;
use std::time::Duration;

use ca::crl::CrlScheme;
use ca::order::Stage;
use ca::ports::{CrlLeftover, CrlPart, CrlRecord, CrlShard, SerialStatus};
use ca::{Ca, urls};
use pki::{Crl, CrlEntry, Reason, Serial};

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
    try_that_fails_leaves_no_parts_and_the_next_one_takes_its_time
    parts_that_could_not_be_dropped_are_dropped_at_the_next_look
    parts_of_a_crl_whose_process_was_killed_are_dropped_once_there_is_a_newer_one
    crl_that_another_process_is_about_to_store_keeps_its_parts
    parts_of_a_few_crls_that_were_replaced_stay_for_ten_minutes
    revocation_during_a_crl_is_on_the_next_one_though_the_clock_was_set_back
    revocations_are_gathered_for_as_long_as_is_configured
    crl_whose_predecessor_is_damaged_is_made_without_it
    crl_that_was_stored_though_nobody_was_told_is_no_trouble
    crl_that_was_outgrown_before_it_was_stored_is_not_said_to_be_made
}

fn one_shard(settings: &ca::settings::Settings) -> CrlScheme {
    CrlScheme::new(1, settings.status_url.clone())
}

/// The last CRL of a shard, verified.
async fn crl(world: &World, shard: u16) -> Crl {
    let issuer = &world.ca.issuers[0];
    let state = world.ledger.crl_state(issuer.id, CrlShard::of_first(shard, SHARDS)).await.unwrap();
    let record = state.last.unwrap();
    let crl = world.whole_crl(&record).await;
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
        world.clock.pass_seconds(10);
        assert_eq!(world.ca.renew_crls().await.unwrap(), 0, "all that was revoked before is on it");
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
    for (side, call, pause) in [
        (Side::After, Call::AllocateCrlNumber, 10),
        (Side::Before, Call::SignCrl, 20),
        (Side::After, Call::SignCrl, 40),
        (Side::Before, Call::StoreCrl, 80),
    ] {
        world.points.fail(side, call);
        assert!(world.ca.renew_crls().await.is_err(), "{side:?} {call:?}");
        assert_eq!(crl(&world, 3).await.number(), 1, "one shard's trouble is not the others'");
        assert_eq!(world.ca.crl_watch.troubles().len(), 1);
        assert_eq!(world.ca.renew_crls().await.unwrap(), 0, "it is not tried again at once");
        world.clock.pass_seconds(pause);
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
    // Whoever leaves is asked for one by one: not for all that is known of it.
    world.points.fail(Side::Before, Call::Serial);
    world.ca.renew_crls().await.unwrap();
    assert_eq!(world.points.forget(), 1);
    assert_eq!(listed(&crl(&world, shard).await), BTreeSet::new());
}

/// A world with one shard, whose first CRL lists a serial.
async fn with_one_revoked(backend: Backend) -> (World, Client) {
    let world = World::with(backend, |settings| settings.crls = one_shard(settings)).await;
    let client = Client::new(&world).await;
    revoke_another(&world, &client).await;
    assert_eq!(world.ca.renew_crls().await.unwrap(), 1);
    (world, client)
}

/// Its CRL is due a second later.
async fn revoke_another(world: &World, client: &Client) -> Serial {
    let serial = client.issued(world, &["one.example.com"], &pair()).await.serial;
    revoke(&world.ca, serial).await;
    world.clock.pass_seconds(1);
    serial
}

async fn leftovers(world: &World) -> Vec<u64> {
    let left = world.ledger.crl_leftovers(world.ca.issuers[0].id, 0, 100).await.unwrap();
    left.into_iter().map(|CrlLeftover { number, .. }| number).collect()
}

async fn last(world: &World) -> CrlRecord {
    world.ledger.last_crl(world.ca.issuers[0].id, 0).await.unwrap().unwrap()
}

async fn try_that_fails_leaves_no_parts_and_the_next_one_takes_its_time(backend: Backend) {
    let (world, client) = with_one_revoked(backend).await;
    world.clock.pass_seconds(60);
    revoke_another(&world, &client).await;
    for (tries, pause) in [10, 20, 40, 80, 160, 320, 600, 600].into_iter().enumerate() {
        world.points.fail(Side::Before, Call::SignCrl);
        world.ca.renew_crls().await.unwrap_err();
        assert!(leftovers(&world).await.is_empty(), "after {tries} tries");
        world.clock.pass_seconds(pause - 1);
        assert_eq!(world.ca.renew_crls().await.unwrap(), 0, "it is tried again in {pause} seconds, not before");
        world.clock.pass_seconds(1);
    }
    assert_eq!(world.ca.renew_crls().await.unwrap(), 1);
    assert_eq!((last(&world).await.number, last(&world).await.entries), (10, 2));
    assert_eq!(leftovers(&world).await, [1], "the one before, which somebody may be fetching");
}

async fn parts_that_could_not_be_dropped_are_dropped_at_the_next_look(backend: Backend) {
    let (world, client) = with_one_revoked(backend).await;
    revoke_another(&world, &client).await;
    world.points.fail(Side::Before, Call::SignCrl);
    world.points.fail(Side::Before, Call::DropCrlParts);
    world.ca.renew_crls().await.unwrap_err();
    assert_eq!(leftovers(&world).await, [2]);
    world.clock.pass_seconds(10);
    world.points.fail(Side::Before, Call::SignCrl);
    world.ca.renew_crls().await.unwrap_err();
    assert!(leftovers(&world).await.is_empty());
}

async fn parts_of_a_crl_whose_process_was_killed_are_dropped_once_there_is_a_newer_one(backend: Backend) {
    let (world, client) = with_one_revoked(backend).await;
    revoke_another(&world, &client).await;
    let mut held = world.points.hold(Side::Before, Call::SignCrl);
    let ca = world.ca.clone();
    let making = world.start_beside(async move { ca.renew_crls().await });
    held.reached().await;
    making.abort();
    assert!(making.await.unwrap_err().is_cancelled());
    let world = world.restart();
    world.ca.recover().await.unwrap();
    assert_eq!(leftovers(&world).await, [2]);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 1);
    world.clock.pass_seconds(1);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 0);
    assert_eq!((last(&world).await.number, leftovers(&world).await), (3, vec![1]));
}

async fn crl_that_another_process_is_about_to_store_keeps_its_parts(backend: Backend) {
    let (world, client) = with_one_revoked(backend).await;
    revoke_another(&world, &client).await;
    let started = world.another_process();
    let mut held = world.points.hold(Side::Before, Call::StoreCrl);
    let ca = world.ca.clone();
    let slow = world.start_beside(async move { ca.renew_crls().await });
    held.reached().await;
    // It looks for what is left over, and stores none itself.
    world.points.fail(Side::Before, Call::SignCrl);
    started.renew_crls().await.unwrap_err();
    held.release();
    assert_eq!(slow.await.unwrap().unwrap(), 1);
    let stored = crl(&world, 0).await;
    assert_eq!((stored.number(), stored.entries().len()), (2, 2));
}

async fn parts_of_a_few_crls_that_were_replaced_stay_for_ten_minutes(backend: Backend) {
    let (world, client) = with_one_revoked(backend).await;
    for number in 2..=5 {
        revoke_another(&world, &client).await;
        assert_eq!(world.ca.renew_crls().await.unwrap(), 1);
        assert_eq!(leftovers(&world).await, (1..number).collect::<Vec<_>>());
    }
    world.clock.pass_seconds(596);
    world.ca.renew_crls().await.unwrap();
    assert_eq!(leftovers(&world).await, [2, 3, 4], "no more than three");
    world.clock.pass_seconds(61);
    world.ca.renew_crls().await.unwrap();
    assert!(leftovers(&world).await.is_empty());
    crl(&world, 0).await;
}

async fn revocation_during_a_crl_is_on_the_next_one_though_the_clock_was_set_back(backend: Backend) {
    let (world, client) = with_one_revoked(backend).await;
    let serial = client.issued(&world, &["two.example.com"], &pair()).await.serial;
    world.clock.pass_seconds(86_400);
    let mut held = world.points.hold(Side::After, Call::ListRevoked);
    let ca = world.ca.clone();
    let making = world.start_beside(async move { ca.renew_crls().await });
    held.reached().await;
    let mut held_again = world.points.hold(Side::After, Call::ListRevoked);
    held.release();
    // The page behind the last entry was read: nothing more is looked for.
    held_again.reached().await;
    world.clock.set_back(Duration::from_secs(30));
    revoke(&world.ca, serial).await;
    world.clock.pass_seconds(31);
    held_again.release();
    assert_eq!(making.await.unwrap().unwrap(), 1);
    assert!(!listed(&crl(&world, 0).await).contains(&serial));
    world.clock.pass_seconds(1);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 1);
    assert!(listed(&crl(&world, 0).await).contains(&serial));
}

async fn revocations_are_gathered_for_as_long_as_is_configured(backend: Backend) {
    let gathering = Duration::from_secs(60);
    let world = World::with(backend, |settings| {
        settings.crls = one_shard(settings);
        settings.crl.gathering = gathering;
    })
    .await;
    let client = Client::new(&world).await;
    world.ca.renew_crls().await.unwrap();
    world.clock.pass_seconds(1);
    revoke_another(&world, &client).await;
    for _ in 0..57 {
        world.clock.pass_seconds(1);
        assert_eq!(world.ca.renew_crls().await.unwrap(), 0);
    }
    world.clock.pass_seconds(1);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 1);
    assert_eq!(crl(&world, 0).await.entries().len(), 1);
}

/// What a disk may do to a stored CRL.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Head,
    NoPart,
    ShortPart,
    TornPart,
    OtherEntry,
}

/// A CRL that is like the last one, but not what was signed, takes its place.
async fn harm(world: &World, harm: Harm) {
    let (mut record, issuer) = (last(world).await, world.ca.issuers[0].id);
    let place = CrlPart { issuer, shard: 0, number: record.number, part: 0 };
    let mut octets = world.ledger.crl_part(place, 0..record.entry_octets).await.unwrap().unwrap();
    record.number += 1;
    let place = CrlPart { number: record.number, ..place };
    match harm {
        Harm::Head => record.head[9] ^= 0x40,
        Harm::NoPart => octets.clear(),
        Harm::ShortPart => drop(octets.pop()),
        Harm::TornPart => octets[0] ^= 0x40,
        Harm::OtherEntry => {
            // Nobody ever heard of that serial.
            let (serial, revoked_at) = (Serial::from_random([7; 16]), record.this_update.minus(DAY));
            octets.clear();
            pki::crl::encode_entry(&mut octets, &CrlEntry { serial, revoked_at, reason: Reason::Superseded });
            assert_eq!(octets.len() as u64, record.entry_octets);
        }
    }
    if !octets.is_empty() {
        assert!(world.ledger.put_crl_part(place, octets).await.unwrap());
    }
    let (number, now) = (record.number, world.ca.now());
    assert!(world.ledger.allocate_crl_number(issuer, 0, number, now).await.unwrap());
    assert!(world.ledger.store_crl(record).await.unwrap());
}

const DAY: Duration = Duration::from_secs(86_400);

async fn crl_whose_predecessor_is_damaged_is_made_without_it(backend: Backend) {
    for kind in [Harm::Head, Harm::NoPart, Harm::ShortPart, Harm::TornPart, Harm::OtherEntry] {
        let (world, client) = with_one_revoked(backend).await;
        harm(&world, kind).await;
        revoke_another(&world, &client).await;
        assert_eq!(world.ca.renew_crls().await.unwrap(), 1, "{kind:?}");
        assert_eq!((crl(&world, 0).await.number(), crl(&world, 0).await.entries().len()), (3, 2), "{kind:?}");
        let damaged = world.ca.crl_watch.damaged();
        assert_eq!(damaged.values().map(|damage| damage.number).collect::<Vec<_>>(), [2], "{kind:?}");
    }
}

async fn crl_that_was_stored_though_nobody_was_told_is_no_trouble(backend: Backend) {
    let (world, client) = with_one_revoked(backend).await;
    revoke_another(&world, &client).await;
    world.points.fail(Side::After, Call::StoreCrl);
    world.ca.renew_crls().await.unwrap_err();
    assert_eq!(world.ca.crl_watch.troubles().len(), 1);
    assert_eq!(crl(&world, 0).await.entries().len(), 2, "with all its parts");
    world.clock.pass_seconds(10);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 0);
    assert!(world.ca.crl_watch.troubles().is_empty());
}

async fn crl_that_was_outgrown_before_it_was_stored_is_not_said_to_be_made(backend: Backend) {
    let (world, client) = with_one_revoked(backend).await;
    revoke_another(&world, &client).await;
    let mut held = world.points.hold(Side::Before, Call::StoreCrl);
    let ca = world.ca.clone();
    let slow = world.start_beside(async move { ca.renew_crls().await });
    held.reached().await;
    assert_eq!(world.ca.renew_crls().await.unwrap(), 1);
    held.release();
    let error = slow.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("CRL 2 of shard 0 is not stored"), "{error}");
    assert_eq!((last(&world).await.number, leftovers(&world).await), (3, vec![1]));
}
