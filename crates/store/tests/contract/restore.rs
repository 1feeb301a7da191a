//! What a ledger is given back from an audit log.

use std::collections::BTreeSet;

use ca::order::{Order, Progress};
use ca::ports::{
    AuditMark, CrlGeneration, CrlGenerationId, CrlShard, LedgerEnd, LineCounts, RecoveryRecord, Restore, Restored,
    RestoredLine, RestoredSignature, Revocation, SerialStatus, Settled,
};
use ca::{AccountId, InstanceId};
use pki::{LogId, Reason, Serial, Sha256};

use super::Stores;
use super::fixtures::{HOLDER, dns, failure, issuer, names};

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, restore:
            one_recovery_is_open_at_a_time_and_ends_once
            nothing_is_restored_outside_a_recovery_of_the_log
            restored_serial_is_good_with_what_its_certificate_says
            page_moves_the_mark_and_is_counted_once
            certificate_of_the_last_issuance_makes_its_order_valid
            earlier_certificate_of_an_order_is_revoked
            order_without_certificate_ends_if_it_is_given_up
            certificate_of_an_order_is_not_lost_to_a_later_precertificate
            issuance_that_the_ledger_began_later_excludes_an_earlier_certificate
            certificate_that_was_revoked_before_it_came_is_no_orders
            restored_serial_is_in_the_generation_that_its_certificate_says
            recovery_is_taken_back_while_nothing_was_restored
            revocation_of_an_unknown_serial_makes_it_known
            revocation_of_an_unknown_serial_is_written_no_earlier_than_what_was_written_before
            settled_twice_is_settled_once
        );
    };
}
pub(crate) use suite;

fn recovery(stores: &Stores) -> RecoveryRecord {
    RecoveryRecord {
        number: 0,
        from: HOLDER,
        begun: stores.now(),
        first: 7,
        since: None,
        until: stores.now(),
        retired: vec![LogId([7; 32])],
        restored: LineCounts::default(),
        ended: None,
    }
}

fn unknown_order(stores: &Stores) -> Order {
    let mut order = stores.order_for(AccountId::UNKNOWN, &[dns("one.example.com")]);
    order.progress = Progress::TestChallenge;
    order
}

fn signature(stores: &Stores, order: &Order, serial: Serial, is_final: bool) -> RestoredLine {
    RestoredLine::Signature(Box::new(RestoredSignature {
        serial,
        order: order.clone(),
        issuer: issuer(),
        ct: true,
        is_final,
        der: format!("{serial} {is_final}").into_bytes(),
        spki_hash: Sha256::of(b"the certificate's key"),
        names: names(&["one.example.com"]),
        not_after: stores.in_seconds(90 * 86_400),
        crl_generation: CrlGenerationId::default(),
        at: stores.now(),
    }))
}

/// The same, of a certificate that says a CRL of another generation of shards.
fn in_generation(mut line: RestoredLine, id: CrlGenerationId) -> RestoredLine {
    if let RestoredLine::Signature(signature) = &mut line {
        signature.crl_generation = id;
    }
    line
}

fn mark(sequence: u64) -> AuditMark {
    AuditMark { sequence, chain: Sha256::of(&sequence.to_be_bytes()) }
}

async fn restored(stores: &Stores, lines: Vec<RestoredLine>) -> Option<LineCounts> {
    let restore = Restore { from: HOLDER, lines, mark: mark(9), at: stores.now() };
    stores.ledger.restore(restore).await.unwrap()
}

async fn begun(stores: &Stores) -> RecoveryRecord {
    stores.ledger.begin_recovery(recovery(stores)).await.unwrap()
}

pub(crate) async fn one_recovery_is_open_at_a_time_and_ends_once(stores: &Stores) {
    let first = begun(stores).await;
    assert_eq!(first, RecoveryRecord { number: 1, ..recovery(stores) });
    let other = RecoveryRecord { from: InstanceId::from_bytes([2; 16]), ..recovery(stores) };
    assert_eq!(stores.ledger.begin_recovery(other.clone()).await.unwrap(), first, "the one that stands");
    let at = stores.in_seconds(5);
    assert!(!stores.ledger.end_recovery(2, at).await.unwrap());
    assert!(stores.ledger.end_recovery(1, at).await.unwrap());
    assert!(!stores.ledger.end_recovery(1, stores.in_seconds(6)).await.unwrap());
    let second = stores.ledger.begin_recovery(other.clone()).await.unwrap();
    assert_eq!(second.number, 2);
    let ended = RecoveryRecord { ended: Some(at), ..first };
    assert_eq!(stores.ledger.recoveries().await.unwrap(), [ended, second]);
}

pub(crate) async fn nothing_is_restored_outside_a_recovery_of_the_log(stores: &Stores) {
    let (order, serial) = (unknown_order(stores), stores.serial());
    assert_eq!(restored(stores, vec![signature(stores, &order, serial, false)]).await, None);
    let other = RecoveryRecord { from: InstanceId::from_bytes([2; 16]), ..recovery(stores) };
    stores.ledger.begin_recovery(other).await.unwrap();
    assert_eq!(restored(stores, vec![signature(stores, &order, serial, false)]).await, None);
    assert_eq!(stores.ledger.serial(serial).await.unwrap(), None);
    assert_eq!(stores.ledger.audit_mark(HOLDER).await.unwrap(), None);
}

pub(crate) async fn restored_serial_is_good_with_what_its_certificate_says(stores: &Stores) {
    begun(stores).await;
    let (order, serial) = (unknown_order(stores), stores.serial());
    restored(stores, vec![signature(stores, &order, serial, false)]).await;
    let record = stores.record(serial).await;
    assert_eq!(record.restored, Some(Restored { from: HOLDER, at: stores.now() }));
    assert_eq!((record.status, record.good, record.stored), (SerialStatus::Good, Some(stores.now()), None));
    assert_eq!((record.order, record.account, record.number.0), (order.id, AccountId::UNKNOWN, 1));
    assert_eq!((record.issuer, record.not_after), (issuer(), stores.in_seconds(90 * 86_400)));
    assert_eq!(record.linting_certificate, format!("{serial} false").into_bytes());
    assert_eq!(stores.ledger.order(order.id).await.unwrap().unwrap().order, order);
    assert_eq!(stores.ledger.counts().await.unwrap().good, 1);
    let unsettled: Vec<_> = stores.ledger.unsettled(10).await.unwrap().iter().map(|one| one.serial).collect();
    assert_eq!(unsettled, [serial]);
}

pub(crate) async fn page_moves_the_mark_and_is_counted_once(stores: &Stores) {
    begun(stores).await;
    let (order, serial) = (unknown_order(stores), stores.serial());
    let page = vec![
        signature(stores, &order, serial, false),
        signature(stores, &order, serial, true),
        RestoredLine::CrlNumber { issuer: issuer(), shard: 3, number: 12 },
        RestoredLine::Authority { id: Sha256::of(b"der"), der: b"der".to_vec() },
    ];
    let counts =
        LineCounts { precertificates: 1, certificates: 1, crl_numbers: 1, authorities: 1, ..LineCounts::default() };
    assert_eq!(restored(stores, page.clone()).await, Some(counts));
    assert_eq!(stores.ledger.audit_mark(HOLDER).await.unwrap(), Some(mark(9)));
    assert_eq!(stores.ledger.crl_state(issuer(), CrlShard::of_first(3, 4)).await.unwrap().allocated, 12);
    assert_eq!(restored(stores, page).await, Some(LineCounts::default()), "nothing of it is new");
    assert_eq!(stores.ledger.recoveries().await.unwrap()[0].restored, counts);
}

pub(crate) async fn certificate_of_the_last_issuance_makes_its_order_valid(stores: &Stores) {
    begun(stores).await;
    let (order, serial) = (unknown_order(stores), stores.serial());
    restored(stores, vec![signature(stores, &order, serial, false), signature(stores, &order, serial, true)]).await;
    assert_eq!(stores.ledger.order(order.id).await.unwrap().unwrap().end, None, "it is left open");
    let settled = stores.ledger.settle_restored(serial, Some(failure("lost")), stores.now()).await.unwrap();
    assert_eq!(settled, Some(Settled::Attached));
    let end = stores.ledger.order(order.id).await.unwrap().unwrap().end;
    assert_eq!(end, Some((LedgerEnd::Valid(serial), stores.now())));
    assert!(stores.record(serial).await.attached);
    assert_eq!(stores.ledger.counts().await.unwrap().valid, 1);
    assert_eq!(stores.ledger.unsettled(10).await.unwrap(), []);
}

pub(crate) async fn earlier_certificate_of_an_order_is_revoked(stores: &Stores) {
    begun(stores).await;
    let (order, first, second) = (unknown_order(stores), stores.serial(), stores.serial());
    let lines = [(first, false), (first, true), (second, false), (second, true)];
    restored(stores, lines.map(|(serial, is_final)| signature(stores, &order, serial, is_final)).to_vec()).await;
    let later = stores.in_seconds(1);
    for (serial, settled) in [(first, Settled::Detached), (second, Settled::Attached)] {
        assert_eq!(stores.ledger.settle_restored(serial, None, later).await.unwrap(), Some(settled));
    }
    let record = stores.record(first).await;
    assert_eq!((record.status, record.number.0), (SerialStatus::Revoked, 1));
    assert!(record.revocation.unwrap().is_overtaken());
    assert!(stores.record(second).await.attached);
    let counts = stores.ledger.counts().await.unwrap();
    assert_eq!((counts.good, counts.revoked, counts.abandoned, counts.valid), (1, 1, 0, 1));
}

pub(crate) async fn order_without_certificate_ends_if_it_is_given_up(stores: &Stores) {
    begun(stores).await;
    for given_up in [None, Some(failure("lost"))] {
        let (order, serial) = (unknown_order(stores), stores.serial());
        restored(stores, vec![signature(stores, &order, serial, false)]).await;
        let settled = stores.ledger.settle_restored(serial, given_up.clone(), stores.now()).await.unwrap();
        assert_eq!(settled, Some(Settled::Left));
        let end = stores.ledger.order(order.id).await.unwrap().unwrap().end;
        assert_eq!(end, given_up.map(|failure| (LedgerEnd::Invalid(failure), stores.now())));
        let record = stores.record(serial).await;
        assert_eq!((record.status, record.is_abandoned()), (SerialStatus::Good, end.is_some()));
    }
    let counts = stores.ledger.counts().await.unwrap();
    assert_eq!((counts.good, counts.abandoned, counts.invalid), (2, 1, 1));
}

pub(crate) async fn certificate_of_an_order_is_not_lost_to_a_later_precertificate(stores: &Stores) {
    begun(stores).await;
    for later_first in [false, true] {
        let (order, first, second) = (unknown_order(stores), stores.serial(), stores.serial());
        let lines = [(first, false), (first, true), (second, false)];
        restored(stores, lines.map(|(serial, is_final)| signature(stores, &order, serial, is_final)).to_vec()).await;
        let mut settled = [(first, Settled::Attached), (second, Settled::Left)];
        if later_first {
            settled.reverse();
        }
        for (serial, settled) in settled {
            let found = stores.ledger.settle_restored(serial, Some(failure("lost")), stores.now()).await.unwrap();
            assert_eq!(found, Some(settled));
        }
        let known = stores.ledger.order(order.id).await.unwrap().unwrap();
        assert_eq!(known.end, Some((LedgerEnd::Valid(first), stores.now())));
        let record = stores.record(first).await;
        assert_eq!((record.status, Some(record.number), record.attached), (SerialStatus::Good, known.last, true));
        let record = stores.record(second).await;
        assert_eq!((record.status, record.number.0), (SerialStatus::Good, 1));
        assert!(record.is_abandoned());
    }
    let counts = stores.ledger.counts().await.unwrap();
    assert_eq!((counts.good, counts.revoked, counts.abandoned, counts.valid, counts.invalid), (4, 0, 2, 2, 0));
}

pub(crate) async fn issuance_that_the_ledger_began_later_excludes_an_earlier_certificate(stores: &Stores) {
    let earlier = stores.begun().await;
    let later = stores.begun_again(&earlier).await;
    let (order, first, second) = (earlier.order, earlier.serial, later.serial);
    begun(stores).await;
    restored(stores, [false, true].map(|is_final| signature(stores, &order, first, is_final)).to_vec()).await;
    let settled = stores.ledger.settle_restored(first, None, stores.now()).await.unwrap();
    assert_eq!(settled, Some(Settled::Detached));
    assert_eq!(stores.record(first).await.status, SerialStatus::Revoked);
    assert!(stores.record(second).await.current);
}

pub(crate) async fn certificate_that_was_revoked_before_it_came_is_no_orders(stores: &Stores) {
    begun(stores).await;
    let (order, serial) = (unknown_order(stores), stores.serial());
    let (reason, by) = (Reason::CessationOfOperation, "operator".to_owned());
    let revocation = RestoredLine::Revocation {
        revocation: Revocation { serial, reason, revoked: stores.now(), by },
        issuer: issuer(),
        not_after: stores.in_seconds(86_400),
        crl_generation: CrlGenerationId::default(),
        order: Box::new(unknown_order(stores)),
    };
    let lines = vec![signature(stores, &order, serial, false), revocation, signature(stores, &order, serial, true)];
    restored(stores, lines).await;
    let settled = stores.ledger.settle_restored(serial, Some(failure("lost")), stores.now()).await.unwrap();
    assert_eq!(settled, Some(Settled::Detached));
    assert_eq!(stores.ledger.unsettled(10).await.unwrap(), []);
    let end = stores.ledger.order(order.id).await.unwrap().unwrap().end;
    assert_eq!(end, Some((LedgerEnd::Invalid(failure("lost")), stores.now())));
    assert_eq!(stores.record(serial).await.revocation.unwrap().reason, reason);
}

pub(crate) async fn restored_serial_is_in_the_generation_that_its_certificate_says(stores: &Stores) {
    let second = CrlGenerationId(4);
    let (status_url, since) = ("http://b.example".to_owned(), Some(stores.now()));
    let generation = CrlGeneration { id: second, shards: 4, status_url, since };
    stores.ledger.add_crl_generation(generation).await.unwrap();
    begun(stores).await;
    let (known, guessed) = (stores.serial(), stores.serial());
    let revocation =
        Revocation { serial: guessed, reason: Reason::Superseded, revoked: stores.now(), by: "operator".to_owned() };
    let revocation = RestoredLine::Revocation {
        revocation,
        issuer: issuer(),
        not_after: stores.in_seconds(86_400),
        crl_generation: CrlGenerationId::default(),
        order: Box::new(unknown_order(stores)),
    };
    let line = in_generation(signature(stores, &unknown_order(stores), known, false), second);
    restored(stores, vec![line, revocation]).await;
    assert_eq!(stores.record(known).await.crl_generation, second);
    assert_eq!(stores.record(guessed).await.crl_generation, CrlGenerationId::default(), "nothing else is known");
    let last = async || stores.ledger.crl_generations().await.unwrap()[0].last_not_after;
    assert_eq!(last().await, Some(stores.in_seconds(90 * 86_400)));
    stores.clock.pass_seconds(100);
    restored(stores, vec![in_generation(signature(stores, &unknown_order(stores), guessed, true), second)]).await;
    assert_eq!(stores.record(guessed).await.crl_generation, second);
    assert_eq!(last().await, Some(stores.in_seconds(90 * 86_400)));
}

pub(crate) async fn recovery_is_taken_back_while_nothing_was_restored(stores: &Stores) {
    let first = begun(stores).await;
    assert!(!stores.ledger.abandon_recovery(first.number + 1).await.unwrap());
    assert!(stores.ledger.abandon_recovery(first.number).await.unwrap());
    assert_eq!(stores.ledger.recoveries().await.unwrap(), []);
    assert!(!stores.ledger.abandon_recovery(first.number).await.unwrap());
    let second = begun(stores).await;
    restored(stores, vec![signature(stores, &unknown_order(stores), stores.serial(), false)]).await;
    assert!(!stores.ledger.abandon_recovery(second.number).await.unwrap());
    assert_eq!(stores.ledger.recoveries().await.unwrap().len(), 1);
}

pub(crate) async fn revocation_of_an_unknown_serial_is_written_no_earlier_than_what_was_written_before(
    stores: &Stores,
) {
    begun(stores).await;
    let serial = stores.serial();
    let this_update = stores.in_seconds(40);
    assert!(stores.ledger.allocate_crl_number(issuer(), 0, 1, this_update).await.unwrap());
    let (reason, by, revoked) = (Reason::Superseded, "operator".to_owned(), stores.now());
    let line = RestoredLine::Revocation {
        revocation: Revocation { serial, reason, revoked, by },
        issuer: issuer(),
        not_after: stores.in_seconds(86_400),
        crl_generation: CrlGenerationId::default(),
        order: Box::new(unknown_order(stores)),
    };
    restored(stores, vec![line]).await;
    let written = stores.ledger.crl_state(issuer(), CrlShard::of_first(0, 1)).await.unwrap().last_revocation;
    assert_eq!(written, Some(this_update), "a CRL of that time doesn't show it");
}

pub(crate) async fn revocation_of_an_unknown_serial_makes_it_known(stores: &Stores) {
    begun(stores).await;
    let serial = stores.serial();
    let (reason, by) = (Reason::CessationOfOperation, "operator".to_owned());
    let revocation = Revocation { serial, reason, revoked: stores.now(), by };
    let line = RestoredLine::Revocation {
        revocation: revocation.clone(),
        issuer: issuer(),
        not_after: stores.in_seconds(86_400),
        crl_generation: CrlGenerationId::default(),
        order: Box::new(unknown_order(stores)),
    };
    let counts = LineCounts { revocations: 1, ..LineCounts::default() };
    assert_eq!(restored(stores, vec![line.clone()]).await, Some(counts));
    assert_eq!(restored(stores, vec![line]).await, Some(LineCounts::default()));
    let record = stores.record(serial).await;
    assert_eq!((record.status, record.revocation), (SerialStatus::Revoked, Some(revocation)));
    assert!(record.linting_certificate.is_empty() && record.restored.is_some());
    let shards = CrlShard::of_first(serial.shard(4), 4);
    let entries = stores.ledger.revoked(issuer(), shards, stores.now(), None, 10).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.serial).collect::<BTreeSet<_>>(), BTreeSet::from([serial]));
    assert_eq!(stores.ledger.counts().await.unwrap().revoked, 1);
}

pub(crate) async fn settled_twice_is_settled_once(stores: &Stores) {
    begun(stores).await;
    let (order, first, second) = (unknown_order(stores), stores.serial(), stores.serial());
    let lines = [(first, false), (first, true), (second, false)];
    restored(stores, lines.map(|(serial, is_final)| signature(stores, &order, serial, is_final)).to_vec()).await;
    for serial in [first, second] {
        let settled = stores.ledger.settle_restored(serial, Some(failure("lost")), stores.now()).await.unwrap();
        let before = (stores.record(serial).await, stores.ledger.counts().await.unwrap());
        stores.clock.pass_seconds(5);
        let again = stores.ledger.settle_restored(serial, Some(failure("lost")), stores.now()).await.unwrap();
        assert_eq!(again, settled);
        assert_eq!((stores.record(serial).await, stores.ledger.counts().await.unwrap()), before);
    }
    assert_eq!(stores.ledger.settle_restored(stores.serial(), None, stores.now()).await.unwrap(), None);
}
