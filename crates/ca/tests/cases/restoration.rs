//! A backup is restored beside an audit log that is newer: the ledger is given back what the log holds.

use acme::OrderStatus;
use ca::order::Stage;
use ca::ports::{
    AuditEvent, CrlShard, LedgerCounts, LedgerEnd, LineCounts, OpenLog, RecoveryRecord, SerialFilter, SerialRecord,
    SerialStatus, Stored,
};
use ca::{AccountId, RecoveryError, Restoration, Survey};
use pki::{Certificate, Reason, Serial};

use super::on_all_back_ends;
use crate::world::{Backend, Call, Client, INSTANCE, Side, World, kill, pair, revoke_by_key};

const SHARDS: u16 = 4;

on_all_back_ends! {
    backup_older_than_the_log_is_found_and_restored_from_it
    survey_names_what_was_forgotten_and_changes_nothing
    order_open_in_the_backup_whose_end_the_log_shows_is_not_issued_again
    order_pending_in_the_backup_whose_end_the_log_shows_is_valid
    certificate_that_came_too_late_is_not_taken_for_its_orders
    overtaken_certificate_whose_successor_left_no_line_stays_revoked
    precertificate_without_certificate_stays_good_and_its_order_ends
    precertificate_of_an_order_on_the_workbench_leaves_the_order_its_next_issuance
    serial_revoked_while_it_waited_stays_on_its_crl
    blocked_key_is_blocked_and_its_serials_are_revoked
    crl_numbers_that_were_used_are_not_used_again
    certificate_without_ct_is_restored
    restoration_broken_off_at_any_call_is_gone_on_with
    ledger_as_new_as_its_log_needs_nothing
    log_of_an_unknown_issuer_is_refused
    issuer_that_the_ledger_has_kept_is_known
    nothing_is_believed_under_a_certificate_of_another_ca
}

fn restoration<'a>(world: &'a World, log: &'a OpenLog<'a>) -> Restoration<'a> {
    let (ledger, workbench) = (&*world.ca.ledger, &*world.ca.workbench);
    Restoration { ledger, workbench, log, from: INSTANCE, crls: &world.ca.settings.crls }
}

pub(super) async fn survey(world: &World) -> Stored<Survey> {
    restoration(world, &OpenLog(&*world.ca.audit)).survey(&chain(world), &mut |_| ()).await
}

fn chain(world: &World) -> Vec<Certificate> {
    let issuer = &world.ca.issuers[0];
    std::iter::once(&issuer.certificate).chain(&issuer.chain).cloned().collect()
}

/// What `cairn recover` does with ledger, workbench and log.
pub(super) async fn restore(world: &World) -> Stored<RecoveryRecord> {
    restore_under(world, &chain(world)).await
}

async fn restore_under(world: &World, chain: &[Certificate]) -> Stored<RecoveryRecord> {
    let log = OpenLog(&*world.ca.audit);
    let restoration = restoration(world, &log);
    let survey = restoration.survey(chain, &mut |_| ()).await?;
    let begin = RecoveryRecord {
        number: 0,
        from: INSTANCE,
        begun: world.ca.now(),
        first: survey.unknown.as_ref().map_or(0, |unknown| unknown.sequence),
        since: survey.since,
        until: survey.until.unwrap_or(world.ca.now()),
        retired: Vec::new(),
        restored: LineCounts::default(),
        ended: None,
    };
    let record = restoration.restore((&survey, begin), chain, world.ca.now(), &mut |_| ()).await?;
    restoration.finish(&record, &*world.ca.audit, world.ca.now()).await?;
    Ok(record)
}

/// Restores, and starts as a server does then.
async fn recovered(world: World) -> World {
    assert!(world.ca.recover().await.unwrap_err().needs_restoration());
    restore(&world).await.unwrap();
    let world = world.restart_with_new_logs();
    world.ca.recover().await.unwrap();
    world
}

async fn all_serials(world: &World) -> Vec<SerialRecord> {
    world.ledger.serials(SerialFilter::default(), 1_000).await.unwrap()
}

type Lasting = (Serial, SerialStatus, Option<Vec<u8>>, Option<Reason>);

/// What must be the same after the restoration as it was before the backup took its place.
fn lasting(serials: &[SerialRecord]) -> Vec<Lasting> {
    let mut lasting: Vec<_> = serials
        .iter()
        .filter(|record| record.status != SerialStatus::Wait)
        .map(|one| (one.serial, one.status, one.certificate.clone(), one.revocation.as_ref().map(|one| one.reason)))
        .collect();
    lasting.sort_by_key(|(serial, ..)| *serial);
    lasting
}

async fn listed(world: &World, serial: Serial) -> bool {
    let (issuer, shard) = (world.ca.issuers[0].id, serial.shard(SHARDS));
    let state = world.ledger.crl_state(issuer, CrlShard::of_first(shard, SHARDS)).await.unwrap();
    world.whole_crl(&state.last.unwrap()).await.entries().iter().any(|entry| entry.serial == serial)
}

async fn revoke(world: &World, serial: Serial, reason: Reason) {
    world.ca.revoke(serial, reason, "operator".to_owned()).await.unwrap();
}

/// The counts that are kept beside the records are those of the records.
async fn assert_counted(world: &World) {
    let serials = all_serials(world).await;
    let number = |status| serials.iter().filter(|record| record.status == status).count() as u64;
    let counts: LedgerCounts = world.ledger.counts().await.unwrap();
    let found = (number(SerialStatus::Wait), number(SerialStatus::Good), number(SerialStatus::Revoked));
    assert_eq!((counts.wait, counts.good, counts.revoked), found);
    let abandoned = serials.iter().filter(|record| record.is_abandoned()).count() as u64;
    let attached = serials.iter().filter(|record| record.attached).count() as u64;
    assert_eq!((counts.abandoned, counts.valid), (abandoned, attached));
}

async fn backup_older_than_the_log_is_found_and_restored_from_it(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let before = client.issued(&world, &["before.example.com"], &pair()).await;
    world.ca.renew_crls().await.unwrap();
    world.ca.keep_audit_mark().await.unwrap();
    let backup = world.backup();
    let newcomer = Client::new(&world).await;
    let key = pair();
    let kept = client.issued(&world, &["kept.example.com"], &pair()).await;
    let revoked = newcomer.issued(&world, &["revoked.example.com"], &pair()).await;
    let compromised = newcomer.issued(&world, &["compromised.example.com"], &key).await;
    revoke(&world, before.serial, Reason::Superseded).await;
    revoke(&world, revoked.serial, Reason::CessationOfOperation).await;
    revoke_by_key(&world, &key, compromised.certificate.as_deref().unwrap(), None).await.unwrap();
    world.clock.pass_seconds(1);
    world.ca.renew_crls().await.unwrap();
    let was = lasting(&all_serials(&world).await);

    let world = world.restart_from(&backup);
    assert!(matches!(world.ca.recover().await, Err(RecoveryError::LedgerOlderThanLog { .. })));
    let world = recovered(world).await;
    assert_eq!(lasting(&all_serials(&world).await), was);
    let record = world.record(kept.serial).await;
    let restored = record.restored.unwrap();
    assert_eq!((restored.from, record.account, record.attached), (INSTANCE, AccountId::UNKNOWN, true));
    assert_eq!((record.not_after, record.spki_hash, record.issuer), (kept.not_after, kept.spki_hash, kept.issuer));
    assert_eq!(world.record(before.serial).await.restored, None);
    let known = world.known(kept.order).await.unwrap();
    assert_eq!(known.end.unwrap().0, LedgerEnd::Valid(kept.serial));
    world.check_invariants().await;
    assert_counted(&world).await;

    world.clock.pass_seconds(1);
    assert!(world.ca.renew_crls().await.unwrap() > 0);
    for serial in [before.serial, revoked.serial, compromised.serial] {
        assert!(listed(&world, serial).await, "{serial}");
    }
    // What was restored is revoked like any other, and new certificates are issued.
    revoke(&world, kept.serial, Reason::Superseded).await;
    let new = client.issued(&world, &["new.example.com"], &pair()).await;
    let scts = world.read_signed(new.certificate.as_deref().unwrap()).scts().unwrap();
    let logs: Vec<_> = world.log_keys.iter().map(pki::LogId::of).collect();
    assert!(scts.len() == 2 && scts.iter().all(|sct| logs.contains(&sct.log_id)));
    world.check_invariants().await;
    assert!(!survey(&world).await.unwrap().is_needed());
}

async fn survey_names_what_was_forgotten_and_changes_nothing(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    client.issued(&world, &["before.example.com"], &pair()).await;
    world.ca.keep_audit_mark().await.unwrap();
    let backup = world.backup();
    let first = world.lines().await.len() as u64;
    world.clock.pass_seconds(60);
    let record = client.issued(&world, &["after.example.com"], &pair()).await;
    revoke(&world, record.serial, Reason::Superseded).await;
    let until = world.ca.now();
    let world = world.restart_from(&backup);
    let found = survey(&world).await.unwrap();
    let unknown = found.unknown.clone().unwrap();
    assert_eq!((unknown.sequence, unknown.what), (first, format!("serial {}", record.serial)));
    assert_eq!(found.until, Some(until));
    let held = LineCounts { precertificates: 1, certificates: 1, revocations: 1, ..LineCounts::default() };
    assert_eq!((found.behind, found.missing), (held, held));
    assert_eq!(survey(&world).await.unwrap(), found);
    assert!(world.ledger.recoveries().await.unwrap().is_empty());
}

async fn order_open_in_the_backup_whose_end_the_log_shows_is_not_issued_again(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let backup = world.backup();
    world.work(Stage::Issue).await;
    let issued = client.certificate(&world, order.id).await;
    let world = recovered(world.restart_from(&backup)).await;
    world.sweep().await;
    world.work_off().await;
    let again = client.certificate(&world, order.id).await;
    assert_eq!((again.serial, again.certificate), (issued.serial, issued.certificate));
    assert_eq!(again.account, client.account.id, "the workbench knew whose it was");
    assert_eq!(world.certificate_lines(order.id).await.len(), 1, "nothing was signed anew");
    world.check_invariants().await;
    assert_counted(&world).await;
}

async fn order_pending_in_the_backup_whose_end_the_log_shows_is_valid(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.order(&world, &["one.example.com"]).await;
    let backup = world.backup();
    client.answer_all(&world, &order).await;
    world.work(Stage::TestChallenge).await;
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    let issued = client.certificate(&world, order.id).await;
    let world = recovered(world.restart_from(&backup)).await;
    assert_eq!(client.status(&world, order.id).await, OrderStatus::Valid);
    assert_eq!(client.certificate(&world, order.id).await.serial, issued.serial);
    assert_eq!(world.read(order.id).await.unwrap().order.stage(), Stage::Done);
    world.check_invariants().await;
}

/// An order with two issuances, of which the first came too late.
async fn overtaken(world: &World, client: &Client) -> (SerialRecord, SerialRecord) {
    let order = client.processing(world, &["two.example.com"]).await;
    let mut held = world.points.hold(Side::Before, Call::AppendCertificate);
    let first = world.start_work(Stage::Issue);
    held.reached().await;
    world.workbench.free_leases(INSTANCE).await.unwrap();
    world.work(Stage::Issue).await;
    held.release();
    first.await.unwrap();
    let [first, second] = &*world.serials(order.id).await else { panic!("two serials") };
    assert!(second.attached && first.status == SerialStatus::Revoked);
    (first.clone(), second.clone())
}

async fn certificate_that_came_too_late_is_not_taken_for_its_orders(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let backup = world.backup();
    let (first, second) = overtaken(&world, &client).await;
    let was = lasting(&all_serials(&world).await);
    let world = recovered(world.restart_from(&backup)).await;
    assert!(world.record(second.serial).await.attached);
    assert_eq!(world.record(first.serial).await.status, SerialStatus::Revoked);
    assert_eq!(lasting(&all_serials(&world).await), was);
    world.check_invariants().await;
    assert_counted(&world).await;
}

async fn overtaken_certificate_whose_successor_left_no_line_stays_revoked(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let backup = world.backup();
    let order = client.processing(&world, &["two.example.com"]).await;
    let mut held = world.points.hold(Side::Before, Call::AppendCertificate);
    let first = world.start_work(Stage::Issue);
    held.reached().await;
    world.workbench.free_leases(INSTANCE).await.unwrap();
    // The second issuance dies before anything is signed, and is never gone on with.
    let mut dies = world.points.hold(Side::Before, Call::SignPrecertificate);
    let second = world.start_work(Stage::Issue);
    dies.reached().await;
    kill(second).await;
    held.release();
    first.await.unwrap();
    let world = recovered(world.restart_from(&backup)).await;
    let [first] = &*world.serials(order.id).await else { panic!("one serial") };
    assert_eq!(first.status, SerialStatus::Revoked);
    assert!(!first.attached, "its client was never told of it");
    assert!(matches!(world.known(order.id).await.unwrap().end, Some((LedgerEnd::Invalid(_), _))));
    world.check_invariants().await;
    assert_counted(&world).await;
}

async fn precertificate_without_certificate_stays_good_and_its_order_ends(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let backup = world.backup();
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::After, Call::MarkGood);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    kill(worker).await;
    let world = recovered(world.restart_from(&backup)).await;
    let [record] = &*world.serials(order.id).await else { panic!("one serial") };
    assert_eq!(record.status, SerialStatus::Good);
    assert!(record.is_abandoned());
    assert!(matches!(world.known(order.id).await.unwrap().end, Some((LedgerEnd::Invalid(_), _))));
    revoke(&world, record.serial, Reason::Superseded).await;
    assert_counted(&world).await;
}

async fn precertificate_of_an_order_on_the_workbench_leaves_the_order_its_next_issuance(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let order = client.processing(&world, &["one.example.com"]).await;
    let backup = world.backup();
    let mut held = world.points.hold(Side::After, Call::MarkGood);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    kill(worker).await;
    let world = recovered(world.restart_from(&backup)).await;
    world.until_done(order.id).await;
    let [lost, issued] = &*world.serials(order.id).await else { panic!("two serials") };
    assert!(lost.is_abandoned() && lost.restored.is_some());
    assert!(issued.attached && issued.restored.is_none() && issued.number.0 == 2);
    world.check_invariants().await;
    assert_counted(&world).await;
}

async fn serial_revoked_while_it_waited_stays_on_its_crl(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let backup = world.backup();
    let order = client.processing(&world, &["one.example.com"]).await;
    let mut held = world.points.hold(Side::Before, Call::SignPrecertificate);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    kill(worker).await;
    let [waits] = &*world.serials(order.id).await else { panic!("one serial") };
    revoke(&world, waits.serial, Reason::KeyCompromise).await;
    let world = recovered(world.restart_from(&backup)).await;
    let record = world.record(waits.serial).await;
    assert_eq!((record.status, record.revocation.unwrap().reason), (SerialStatus::Revoked, Reason::KeyCompromise));
    world.clock.pass_seconds(1);
    world.ca.renew_crls().await.unwrap();
    assert!(listed(&world, waits.serial).await);
    assert_counted(&world).await;
}

async fn blocked_key_is_blocked_and_its_serials_are_revoked(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let key = pair();
    let before = client.issued(&world, &["before.example.com"], &key).await;
    let backup = world.backup();
    let after = client.issued(&world, &["after.example.com"], &key).await;
    world.ca.block_key(key.public_key().spki_hash(), "operator").await.unwrap();
    let world = recovered(world.restart_from(&backup)).await;
    assert!(world.ledger.is_blocked(key.public_key().spki_hash()).await.unwrap());
    for serial in [before.serial, after.serial] {
        let revocation = world.record(serial).await.revocation.unwrap();
        assert_eq!(revocation.reason, Reason::KeyCompromise);
    }
    assert_counted(&world).await;
}

async fn crl_numbers_that_were_used_are_not_used_again(backend: Backend) {
    let world = World::on(backend).await;
    world.ca.renew_crls().await.unwrap();
    let backup = world.backup();
    let (issuer, shard) = (world.ca.issuers[0].id, 2);
    for _ in 0..3 {
        world.clock.pass_seconds(7 * 86_400);
        world.ca.renew_crls().await.unwrap();
    }
    let used = world.ledger.crl_state(issuer, CrlShard::of_first(shard, SHARDS)).await.unwrap().allocated;
    let world = recovered(world.restart_from(&backup)).await;
    let state = world.ledger.crl_state(issuer, CrlShard::of_first(shard, SHARDS)).await.unwrap();
    assert_eq!((state.allocated, state.last.unwrap().number), (used, 1));
    // The one that stands there is older than what was published: it is made anew at once.
    assert_eq!(world.ca.renew_crls().await.unwrap(), u32::from(SHARDS));
    let state = world.ledger.crl_state(issuer, CrlShard::of_first(shard, SHARDS)).await.unwrap();
    assert_eq!(state.last.unwrap().number, used + 1);
}

async fn certificate_without_ct_is_restored(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let backup = world.backup();
    let order = client.ready_with(&world, &["one.example.com"], Some("internal")).await;
    client.finalize(&world, &order, &pair()).await.unwrap();
    world.work(Stage::Issue).await;
    let issued = client.certificate(&world, order.id).await;
    let world = recovered(world.restart_from(&backup)).await;
    let record = world.record(issued.serial).await;
    assert!(record.attached && !record.ct && record.certificate == issued.certificate);
    world.check_invariants().await;
}

async fn restoration_broken_off_at_any_call_is_gone_on_with(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    client.issued(&world, &["before.example.com"], &pair()).await;
    let open = client.processing(&world, &["open.example.com"]).await;
    world.ca.renew_crls().await.unwrap();
    let backup = world.backup();
    world.work(Stage::Issue).await;
    overtaken(&world, &client).await;
    let record = client.issued(&world, &["revoked.example.com"], &pair()).await;
    revoke(&world, record.serial, Reason::Superseded).await;
    let was = lasting(&all_serials(&world).await);
    let mut world = world.restart_from(&backup);
    let (mut call, mut broken_off) = (0, 0);
    loop {
        let side = if call % 2 == 0 { Side::Before } else { Side::After };
        world.points.fail_after(call / 2, side);
        let done = restore(&world).await;
        let passed = world.points.forget() == 1;
        if done.is_err() {
            broken_off += 1;
            // It is said again at each start, until it is whole.
            let open = world.ledger.recoveries().await.unwrap().into_iter().any(|one| one.ended.is_none());
            let refused = world.ca.recover().await;
            assert!(refused.is_err_and(|error| error.needs_restoration()) || !open, "call {call}");
            world = world.restart();
            if open || survey(&world).await.unwrap().is_needed() {
                restore(&world).await.unwrap();
            }
        }
        world.ca.recover().await.unwrap();
        assert_eq!(lasting(&all_serials(&world).await), was, "call {call}");
        assert_eq!(client.status(&world, open.id).await, OrderStatus::Valid, "call {call}");
        assert_counted(&world).await;
        world.check_invariants().await;
        if passed {
            break;
        }
        call += 1;
        world = world.restart_from(&backup);
    }
    assert!(broken_off > 30, "only {broken_off} of {call} broke it off");
    let lines = world.lines().await;
    assert!(lines.iter().any(|line| matches!(line.event, AuditEvent::Recovered { .. })));
}

async fn ledger_as_new_as_its_log_needs_nothing(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    world.points.fail(Side::Before, Call::Revoke);
    assert!(world.ca.revoke(record.serial, Reason::Superseded, "operator".to_owned()).await.is_err());
    // What a crash kept from the ledger is a start's business.
    let found = survey(&world).await.unwrap();
    assert!(!found.is_needed());
    assert_eq!(found.missing, LineCounts { revocations: 1, ..LineCounts::default() });
}

async fn log_of_an_unknown_issuer_is_refused(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let backup = world.backup();
    client.issued(&world, &["one.example.com"], &pair()).await;
    let world = world.restart_from(&backup);
    let refused = restore_under(&world, std::slice::from_ref(world.root())).await.unwrap_err();
    assert!(refused.detail.contains("bring keys and certificates of that time back first"), "{refused}");
    assert!(world.ledger.recoveries().await.unwrap().is_empty(), "nothing was begun that can't be ended");
    assert!(matches!(world.ca.recover().await, Err(RecoveryError::LedgerOlderThanLog { .. })));
    assert_eq!(all_serials(&world).await.len(), 0);
    restore(&world).await.unwrap();
    assert_eq!(all_serials(&world).await.len(), 1);
}

async fn issuer_that_the_ledger_has_kept_is_known(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    // A key was rolled since: the folder has the new one's certificate only.
    let issuer = world.ca.issuers[0].certificate.clone();
    world.ledger.store_authority(issuer.fingerprint(), issuer.der()).await.unwrap();
    let backup = world.backup();
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    let world = world.restart_from(&backup);
    restore_under(&world, std::slice::from_ref(world.root())).await.unwrap();
    assert_eq!(world.record(record.serial).await.issuer, record.issuer);
}

async fn nothing_is_believed_under_a_certificate_of_another_ca(backend: Backend) {
    let other = World::on(backend).await;
    let record = Client::new(&other).await.issued(&other, &["other.example.com"], &pair()).await;
    let (order, serial, der) = (record.order, record.serial, record.certificate.unwrap());
    let authority = |one: &Certificate| AuditEvent::Authority { der: one.der().to_vec() };
    let mut forged: Vec<AuditEvent> = chain(&other).iter().rev().map(authority).collect();
    forged.push(AuditEvent::Certificate { order, serial, der });
    let issuer = World::on(backend).await.ca.issuers[0].id;
    let (shard, number) = (0, 7);
    let of_another = vec![AuditEvent::CrlNumber { issuer, shard, number }];
    for (events, fault) in [(forged, "was issued by"), (of_another, "none of this CA's")] {
        let world = World::on(backend).await;
        for event in events {
            world.ca.audit.append(event).await.unwrap();
        }
        let found = survey(&world).await.unwrap().fault.unwrap_or_default();
        assert!(found.contains(fault), "{found}");
        assert!(restore(&world).await.is_err());
        assert!(world.ledger.recoveries().await.unwrap().is_empty());
        assert!(world.ledger.serials(SerialFilter::default(), 10).await.unwrap().is_empty());
    }
    let world = World::on(backend).await;
    let (issuer, number) = (world.ca.issuers[0].id, u64::MAX >> 1);
    world.ca.audit.append(AuditEvent::CrlNumber { issuer, shard, number }).await.unwrap();
    assert!(survey(&world).await.unwrap().fault.is_some(), "no number would be left above it");
}
