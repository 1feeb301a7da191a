//! A changed number of CRL shards, and a changed URL: certificates stay in the shards that they say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ca::crl::CrlScheme;
use ca::order::Stage;
use ca::ports::{CrlGenerationId, SerialRecord, SerialStatus};
use ca::settings::Settings;
use pki::{Crl, Reason, Serial, Timestamp};

use super::on_all_back_ends;
use super::restoration::{restore, survey};
use crate::world::{Backend, Call, Client, Side, World, pair};

const ELSEWHERE: &str = "http://elsewhere.example.com";
const FIRST: CrlGenerationId = CrlGenerationId(0);
/// Behind the four shards of the first.
const SECOND: CrlGenerationId = CrlGenerationId(4);

on_all_back_ends! {
    revocations_appear_where_each_certificate_says
    serial_of_before_the_change_stays_where_it_was_allocated
    generation_ends_with_one_more_crl_after_its_last_certificate
    generation_that_a_clock_ahead_ended_goes_on_once_the_time_is_accepted
    generation_that_comes_back_goes_on_with_its_numbers
    certificate_that_says_another_crl_than_its_record_is_not_signed
    restored_certificates_are_in_the_generation_that_they_say
    log_with_a_generation_that_nobody_knows_is_not_restored
}

fn change(settings: &mut Settings, shards: u16, status_url: &str) {
    let changed = settings.crls.clone().changed_to(shards, status_url, Timestamp::from_seconds(0));
    settings.crls = changed.unwrap();
    settings.status_url = status_url.to_owned();
}

fn moved(settings: &mut Settings) {
    change(settings, 3, ELSEWHERE);
}

/// As a server does when it starts.
async fn keep_generations(world: &World) {
    for one in world.ca.settings.crls.generations() {
        assert_eq!(world.ledger.add_crl_generation(one.clone()).await.unwrap(), *one);
    }
}

/// The last CRL of a shard, verified.
async fn crl(world: &World, shard: u16) -> Crl {
    let issuer = &world.ca.issuers[0];
    let record = world.ledger.last_crl(issuer.id, shard).await.unwrap().unwrap();
    let crl = world.whole_crl(&record).await;
    crl.verify_signed_by(issuer.certificate.public_key()).unwrap();
    assert_eq!(crl.distribution_point(), world.ca.settings.crls.url(&issuer.id, shard).as_deref());
    crl
}

/// The shards that list a serial.
async fn listing(world: &World, serial: Serial) -> Vec<u16> {
    let mut listing = Vec::new();
    for shard in world.ca.settings.crls.shards() {
        if crl(world, shard.number).await.entries().iter().any(|entry| entry.serial == serial) {
            listing.push(shard.number);
        }
    }
    listing
}

async fn numbers(world: &World) -> Vec<u64> {
    let mut numbers = Vec::new();
    for shard in world.ca.settings.crls.shards() {
        numbers.push(crl(world, shard.number).await.number());
    }
    numbers
}

async fn revoke(world: &World, record: &SerialRecord) {
    world.ca.revoke(record.serial, Reason::Superseded, "operator".to_owned()).await.unwrap();
    world.clock.pass_seconds(1);
}

async fn revocations_appear_where_each_certificate_says(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let old = client.issued(&world, &["one.example.com"], &pair()).await;
    assert_eq!(world.ca.renew_crls().await.unwrap(), 4);
    let world = world.restart_with(moved);
    keep_generations(&world).await;
    world.ca.recover().await.unwrap();
    let new = client.issued(&world, &["two.example.com"], &pair()).await;
    assert_eq!(world.ca.renew_crls().await.unwrap(), 3, "the new shards get their first");
    assert_eq!((old.crl_generation, new.crl_generation), (FIRST, SECOND));
    let places = [(&old, old.serial.shard(4)), (&new, 4 + new.serial.shard(3))];
    for (record, shard) in places {
        let certificate = world.read_signed(record.certificate.as_deref().unwrap());
        let (said, before) = (certificate.crl_url().unwrap(), crl(&world, shard).await);
        assert_eq!(before.distribution_point(), Some(said), "byte for byte");
        assert_eq!(said.starts_with(ELSEWHERE), record.serial == new.serial);
        revoke(&world, record).await;
        assert_eq!(world.ca.renew_crls().await.unwrap(), 1, "of the others nothing has changed");
        assert_eq!(listing(&world, record.serial).await, [shard]);
        let after = crl(&world, shard).await;
        assert!(after.number() > before.number());
        assert_eq!(after.distribution_point(), Some(said));
    }
    let all: BTreeSet<Serial> = [old.serial, new.serial].into();
    let world = world.restart_with(|settings| change(settings, 6, ELSEWHERE));
    keep_generations(&world).await;
    assert_eq!(world.ca.renew_crls().await.unwrap(), 6);
    let mut listed = BTreeSet::new();
    for shard in world.ca.settings.crls.shards() {
        listed.extend(crl(&world, shard.number).await.entries().iter().map(|entry| entry.serial));
    }
    assert_eq!(listed, all, "a third generation changes nothing of the two before");
}

async fn serial_of_before_the_change_stays_where_it_was_allocated(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    world.points.fail(Side::Before, Call::SignPrecertificate);
    world.work(Stage::Issue).await;
    let world = world.restart_with(moved);
    keep_generations(&world).await;
    world.ca.recover().await.unwrap();
    world.clock.pass_seconds(120);
    world.ca.sweep().await.unwrap();
    world.work(Stage::Issue).await;
    let [waiting, issued] = &*world.serials(order.id).await else { panic!("two serials") };
    assert_eq!((waiting.status, waiting.crl_generation), (SerialStatus::Wait, FIRST));
    assert_eq!((issued.status, issued.crl_generation), (SerialStatus::Good, SECOND));
    revoke(&world, waiting).await;
    revoke(&world, issued).await;
    world.ca.renew_crls().await.unwrap();
    assert_eq!(listing(&world, waiting.serial).await, [waiting.serial.shard(4)]);
    assert_eq!(listing(&world, issued.serial).await, [4 + issued.serial.shard(3)]);
}

/// With a certificate of each generation, both revoked.
async fn with_two_generations(backend: Backend) -> (World, SerialRecord, SerialRecord) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let old = client.issued(&world, &["one.example.com"], &pair()).await;
    revoke(&world, &old).await;
    assert_eq!(world.ca.renew_crls().await.unwrap(), 4);
    let world = world.restart_with(moved);
    keep_generations(&world).await;
    world.ca.recover().await.unwrap();
    world.clock.pass_seconds(86_400);
    let new = client.issued(&world, &["two.example.com"], &pair()).await;
    revoke(&world, &new).await;
    assert_eq!(world.ca.renew_crls().await.unwrap(), 7);
    (world, old, new)
}

async fn generation_ends_with_one_more_crl_after_its_last_certificate(backend: Backend) {
    let (world, old, _) = with_two_generations(backend).await;
    let shard = old.serial.shard(4);
    let ended = async |world: &World| world.ledger.crl_generations().await.unwrap()[0].ended;
    world.clock.pass(old.not_after.since(world.ca.now()));
    assert_eq!(ended(&world).await, None);
    world.clock.pass_seconds(60);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 7);
    assert_eq!(listing(&world, old.serial).await, [shard], "made after its end");
    assert!(ended(&world).await.is_some());
    let last = numbers(&world).await;
    for _ in 0..3 {
        world.clock.pass_seconds(86_400);
        assert_eq!(world.ca.renew_crls().await.unwrap(), 3, "those of the old shards are not made any more");
    }
    assert_eq!(numbers(&world).await[..4], last[..4]);
    let world = world.restart();
    world.clock.pass_seconds(86_400);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 3, "nor after a restart");
}

async fn generation_that_a_clock_ahead_ended_goes_on_once_the_time_is_accepted(backend: Backend) {
    let (world, old, _) = with_two_generations(backend).await;
    let ended = async |world: &World| world.ledger.crl_generations().await.unwrap()[0].ended;
    let ahead = old.not_after.since(world.ca.now()) + Duration::from_secs(86_400);
    world.clock.set_ahead(ahead);
    let world = world.restart();
    assert_eq!(world.ca.renew_crls().await.unwrap(), 7);
    assert!(ended(&world).await.is_some(), "by a clock that a start believes");
    world.clock.set_back(ahead);
    world.clock.pass_seconds(60);
    world.ca.accept_clock("the operator").await.unwrap().unwrap();
    assert_eq!(ended(&world).await, None);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 7, "those of the future are made anew");
    let shard = old.serial.shard(4);
    assert_eq!(listing(&world, old.serial).await, [shard]);
    let this_update = crl(&world, shard).await.this_update();
    assert!(this_update <= world.ca.now(), "{this_update:?}");
}

async fn generation_that_comes_back_goes_on_with_its_numbers(backend: Backend) {
    let (world, old, new) = with_two_generations(backend).await;
    world.clock.pass(new.not_after.since(world.ca.now()));
    world.clock.pass_seconds(60);
    world.ca.renew_crls().await.unwrap();
    let before = numbers(&world).await;
    let status_url = world.ca.settings.crls.generations()[0].status_url.clone();
    let world = world.restart_with(|settings| change(settings, 4, &status_url));
    keep_generations(&world).await;
    world.ca.recover().await.unwrap();
    assert_eq!(world.ca.settings.crls.generations().len(), 2, "no other one is needed");
    let client = Client::new(&world).await;
    let again = client.issued(&world, &["three.example.com"], &pair()).await;
    assert_eq!(again.crl_generation, FIRST);
    revoke(&world, &again).await;
    world.clock.pass_seconds(86_400);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 7);
    assert_eq!(listing(&world, again.serial).await, [again.serial.shard(4)]);
    assert_eq!(listing(&world, old.serial).await, [0_u16; 0], "it left with the one before");
    let after = numbers(&world).await;
    assert!(after[..4].iter().zip(&before).all(|(after, before)| after > before), "{before:?} {after:?}");
    world.clock.pass_seconds(86_400);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 4, "the other one has ended meanwhile");
    assert_eq!(numbers(&world).await[4..], after[4..]);
}

async fn certificate_that_says_another_crl_than_its_record_is_not_signed(backend: Backend) {
    let mut world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    // The signer has its own configuration: it knows nothing of this URL.
    Arc::get_mut(&mut world.ca).unwrap().settings.crls = CrlScheme::new(4, ELSEWHERE.to_owned());
    world.work(Stage::Issue).await;
    let [serial] = &*world.serials(order.id).await else { panic!("one serial") };
    assert_eq!((serial.status, serial.failure.is_some()), (SerialStatus::Wait, true));
    assert!(serial.failure.as_deref().unwrap().contains("it says that its CRL is"), "{:?}", serial.failure);
}

/// A backup was made before all that is restored: a certificate of each generation, both revoked.
async fn restored_to_the_beginning(backend: Backend) -> (World, SerialRecord, SerialRecord) {
    let world = World::on(backend).await;
    let backup = world.backup();
    let client = Client::new(&world).await;
    let old = client.issued(&world, &["one.example.com"], &pair()).await;
    let world = world.restart_with(moved);
    keep_generations(&world).await;
    world.ca.recover().await.unwrap();
    let new = client.issued(&world, &["two.example.com"], &pair()).await;
    revoke(&world, &old).await;
    revoke(&world, &new).await;
    world.ca.renew_crls().await.unwrap();
    (world.restart_from(&backup), old, new)
}

async fn restored_certificates_are_in_the_generation_that_they_say(backend: Backend) {
    let (world, old, new) = restored_to_the_beginning(backend).await;
    assert_eq!(world.ledger.crl_generations().await.unwrap(), [], "the backup knows nothing of them");
    let used = [1, 1, 1, 1, 1, 1, 1];
    restore(&world).await.unwrap();
    let world = world.restart_with_new_logs();
    keep_generations(&world).await;
    world.ca.recover().await.unwrap();
    for (record, generation) in [(&old, FIRST), (&new, SECOND)] {
        assert_eq!(world.record(record.serial).await.crl_generation, generation);
    }
    world.clock.pass_seconds(60);
    assert_eq!(world.ca.renew_crls().await.unwrap(), 7);
    assert_eq!(listing(&world, old.serial).await, [old.serial.shard(4)]);
    assert_eq!(listing(&world, new.serial).await, [4 + new.serial.shard(3)]);
    let numbers = numbers(&world).await;
    assert!(numbers.iter().zip(used).all(|(number, used)| *number > used), "{numbers:?}");
    let lasts: Vec<_> = world.ledger.crl_generations().await.unwrap().iter().map(|one| one.last_not_after).collect();
    assert_eq!(lasts, [Some(old.not_after.whole_second()), Some(new.not_after.whole_second())]);
}

async fn log_with_a_generation_that_nobody_knows_is_not_restored(backend: Backend) {
    let (world, ..) = restored_to_the_beginning(backend).await;
    let world = world.restart_with(|settings| {
        let first = settings.crls.generations()[0].clone();
        settings.crls = CrlScheme::of_generations(vec![first], FIRST).unwrap();
    });
    let fault = survey(&world).await.unwrap().fault.unwrap();
    assert!(fault.contains(ELSEWHERE) && fault.contains("published.toml"), "{fault}");
    assert_eq!(restore(&world).await.unwrap_err().detail, fault);
}
