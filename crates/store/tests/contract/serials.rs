//! What the ledger answers about serials and orders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use acme::{DnsName, Identifier, Problem, ProblemType};
use ca::authorization::{CaaDecision, CaaRecord};
use ca::order::{Failure, Stage};
use ca::ports::{AuditMark, LedgerCounts, Revocation, SerialFilter, SerialStatus};
use ca::{InstanceId, OrderId};
use pki::{GeneralName, Reason, Serial, Sha256, Timestamp};

use super::Stores;
use super::fixtures::{Wanted, dns, failure, problem};

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, serials:
            serials_come_in_the_order_of_their_allocation
            serials_up_to_the_last_leave_out_what_comes_later
            serials_are_found_by_what_they_are_for
            serials_of_one_kind_come_in_pages
            names_below_a_domain_come_in_pages
            abandoned_serials_are_found
            signing_record_has_all_that_a_signer_checks
            account_is_as_it_was_written_last_however_many_signers_read
            ended_orders_come_latest_first
            orders_that_ended_by_our_fault_are_found_among_the_others
            first_delivery_and_first_acknowledgement_count
            what_follows_is_not_recorded_as_earlier_after_a_clock_was_set_back
            records_are_counted
            audit_marks_are_kept_by_instance
            audit_mark_never_goes_back
            authority_is_known_from_when_it_is_kept
        );
    };
}
pub(crate) use suite;

async fn serials(stores: &Stores, filter: SerialFilter) -> Vec<Serial> {
    stores.ledger.serials(filter, 100).await.unwrap().iter().map(|record| record.serial).collect()
}

pub(crate) async fn serials_come_in_the_order_of_their_allocation(stores: &Stores) {
    let mut allocated = Vec::new();
    for _ in 0..7 {
        allocated.push(stores.begun().await.serial);
    }
    assert_eq!(serials(stores, SerialFilter::default()).await, allocated);
    let page = stores.ledger.serials(SerialFilter::default(), 3).await.unwrap();
    assert_eq!(page.iter().map(|record| record.serial).collect::<Vec<_>>(), allocated[..3]);
    let after = SerialFilter { after: Some(allocated[2]), ..SerialFilter::default() };
    assert_eq!(serials(stores, after).await, allocated[3..]);
}

pub(crate) async fn serials_up_to_the_last_leave_out_what_comes_later(stores: &Stores) {
    assert_eq!(stores.ledger.last_serial().await.unwrap(), None);
    let (first, last) = (stores.begun().await, stores.begun().await);
    let until = stores.ledger.last_serial().await.unwrap();
    assert_eq!(until, Some(last.serial));
    let later = stores.begun().await;
    let of_key = Some(last.spki_hash);
    for filter in [SerialFilter::default(), SerialFilter { spki_hash: of_key, ..SerialFilter::default() }] {
        let counted = SerialFilter { until, ..filter.clone() };
        assert_eq!(serials(stores, counted.clone()).await, [first.serial, last.serial], "{counted:?}");
        let rest = SerialFilter { after: Some(first.serial), ..counted };
        assert_eq!(serials(stores, rest).await, [last.serial]);
        assert_eq!(serials(stores, SerialFilter { after: until, ..filter }).await, [later.serial]);
    }
    let unknown = SerialFilter { until: Some(Serial::from_random([7; 16])), ..SerialFilter::default() };
    assert_eq!(serials(stores, unknown).await, []);
}

pub(crate) async fn serials_are_found_by_what_they_are_for(stores: &Stores) {
    let one = stores.begun().await;
    let other = stores.account(1).await;
    let two = Wanted {
        order: stores.order_in_issue(&other, &[dns("two.example.com"), dns("three.example.com")]).await,
        spki_hash: Sha256::of(b"another key"),
        ..stores.wanted().await
    };
    stores.begin(&two).await.unwrap();
    stores.ledger.mark_good(two.serial, stores.now()).await.unwrap();
    let name = |name: &str| Some(GeneralName::Dns(name.to_owned()));
    let all = SerialFilter::default;
    for (filter, expected) in [
        (SerialFilter { status: Some(SerialStatus::Wait), ..all() }, vec![one.serial]),
        (SerialFilter { status: Some(SerialStatus::Good), ..all() }, vec![two.serial]),
        (SerialFilter { status: Some(SerialStatus::Revoked), ..all() }, vec![]),
        (SerialFilter { name: name("one.example.com"), ..all() }, vec![one.serial]),
        (SerialFilter { name: name("three.example.com"), ..all() }, vec![two.serial]),
        (SerialFilter { name: name("example.com"), ..all() }, vec![]),
        (SerialFilter { account: Some(other.id), ..all() }, vec![two.serial]),
        (SerialFilter { order: Some(one.order.id), ..all() }, vec![one.serial]),
        (SerialFilter { order: Some(OrderId::from_bytes([9; 16])), ..all() }, vec![]),
        (SerialFilter { spki_hash: Some(one.spki_hash), ..all() }, vec![one.serial]),
        (SerialFilter { spki_hash: Some(one.spki_hash), account: Some(other.id), ..all() }, vec![]),
        (SerialFilter { spki_hash: Some(two.spki_hash), after: Some(one.serial), ..all() }, vec![two.serial]),
    ] {
        assert_eq!(serials(stores, filter.clone()).await, expected, "{filter:?}");
    }
}

/// Where a page begins is a serial that need not be of that kind any more.
pub(crate) async fn serials_of_one_kind_come_in_pages(stores: &Stores) {
    let other = stores.account(1).await;
    let mut allocated = Vec::new();
    for _ in 0..5 {
        allocated.push(stores.begun().await);
        let foreign = Wanted {
            order: stores.order_in_issue(&other, &[dns("other.example.com")]).await,
            spki_hash: Sha256::of(b"another key"),
            ..stores.wanted().await
        };
        stores.begin(&foreign).await.unwrap();
    }
    let due: Vec<Serial> = allocated.iter().map(|wanted| wanted.serial).collect();
    let all = SerialFilter::default;
    let name = Some(GeneralName::Dns("one.example.com".to_owned()));
    for mut filter in [
        SerialFilter { account: Some(allocated[0].order.account), ..all() },
        SerialFilter { spki_hash: Some(allocated[0].spki_hash), ..all() },
        SerialFilter { name: name.clone(), ..all() },
        SerialFilter { name, account: Some(allocated[0].order.account), ..all() },
    ] {
        let mut found = Vec::new();
        loop {
            let page = stores.ledger.serials(filter.clone(), 2).await.unwrap();
            let Some(last) = page.last() else { break };
            filter.after = Some(last.serial);
            found.extend(page.iter().map(|record| record.serial));
            let (serial, by) = (last.serial, "a test".to_owned());
            let revocation = Revocation { serial, reason: Reason::Superseded, revoked: stores.now(), by };
            stores.ledger.revoke(revocation).await.unwrap();
        }
        assert_eq!(found, due, "{filter:?}");
    }
}

pub(crate) async fn names_below_a_domain_come_in_pages(stores: &Stores) {
    let account = stores.account(0).await;
    let wildcard = Identifier::Wildcard(DnsName::parse("example.com").unwrap());
    let names = ["www.example.com", "example.com", "a-b.example.com", "example.com.evil.org", "a.www.example.com"];
    let others = ["an-example.com", "example-x.com", "example.org", "127.example.net"];
    for name in names.iter().chain(&others).chain(&["www.example.com"]) {
        let order = stores.order_in_issue(&account, &[dns(name)]).await;
        stores.begin(&Wanted { order, ..stores.wanted().await }).await.unwrap();
    }
    let order = stores.order_in_issue(&account, &[wildcard]).await;
    stores.begin(&Wanted { order, ..stores.wanted().await }).await.unwrap();
    let domain = DnsName::parse("example.com").unwrap();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = stores.ledger.names_below(&domain, after.clone(), 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        found.extend(page.iter().map(ToString::to_string));
    }
    let due = ["example.com", "*.example.com", "a-b.example.com", "www.example.com", "a.www.example.com"];
    assert_eq!(found, due);
    let none = DnsName::parse("example.net").unwrap();
    assert_eq!(stores.ledger.names_below(&none, None, 9).await.unwrap().len(), 1);
    let none = DnsName::parse("ample.com").unwrap();
    assert_eq!(stores.ledger.names_below(&none, None, 9).await.unwrap(), []);
}

pub(crate) async fn abandoned_serials_are_found(stores: &Stores) {
    let abandoned = stores.begun().await;
    let revoked = stores.begun_again(&abandoned).await;
    let (serial, by) = (revoked.serial, "a test".to_owned());
    let revocation = Revocation { serial, reason: Reason::Superseded, revoked: stores.now(), by };
    stores.ledger.revoke(revocation).await.unwrap();
    let attached = stores.begun_again(&abandoned).await;
    stores.ledger.mark_good(attached.serial, stores.now()).await.unwrap();
    let filter = SerialFilter { abandoned: true, ..SerialFilter::default() };
    assert_eq!(serials(stores, filter.clone()).await, [abandoned.serial]);
    stores.ledger.store_final(attached.serial, b"certificate", stores.now()).await.unwrap();
    assert_eq!(serials(stores, filter.clone()).await, [abandoned.serial]);
    let failed = stores.begun().await;
    stores.ledger.finish(&failed.order, failure("deadline"), stores.now()).await.unwrap();
    assert_eq!(serials(stores, filter).await, [abandoned.serial, failed.serial]);
}

pub(crate) async fn signing_record_has_all_that_a_signer_checks(stores: &Stores) {
    let wanted = stores.wanted().await;
    let check = CaaRecord {
        identifier: dns("one.example.com"),
        checked: stores.now(),
        ttl_seconds: 300,
        decision: CaaDecision::Permitted,
        evidence: vec!["one.example.com CAA: no record".to_owned()],
    };
    stores.ledger.record_rechecks(wanted.order.id, vec![check.clone()]).await.unwrap();
    assert!(stores.ledger.signing_record(wanted.serial).await.unwrap().is_none());
    stores.begin(&wanted).await.unwrap();
    let later = CaaRecord { checked: stores.in_seconds(5), ..check.clone() };
    stores.ledger.record_rechecks(wanted.order.id, vec![later.clone()]).await.unwrap();
    let record = stores.ledger.signing_record(wanted.serial).await.unwrap().unwrap();
    assert_eq!(record.serial, stores.record(wanted.serial).await);
    assert_eq!(record.order, wanted.order);
    assert_eq!(record.order.finalize_request(), Some(&stores.finalize()));
    assert_eq!(record.account, stores.account(0).await);
    assert_eq!(record.account.proofs[0].jws, b"the request as it was signed");
    assert_eq!(record.authorizations.iter().map(|one| one.id).collect::<Vec<_>>(), wanted.order.authorization_ids());
    assert_eq!(stores.ledger.rechecks(wanted.order.id).await.unwrap(), record.rechecks);
    assert_eq!(record.rechecks, [check, later]);
    assert!(!record.key_blocked);
}

/// Who reads several records in one state of the store may read an account that is written meanwhile.
pub(crate) async fn account_is_as_it_was_written_last_however_many_signers_read(stores: &Stores) {
    let (account, serial) = (stores.account(0).await.id, stores.begun().await.serial);
    let written = Arc::new(AtomicBool::new(false));
    let signer = tokio::spawn({
        let (ledger, written) = (Arc::clone(&stores.ledger), Arc::clone(&written));
        async move {
            while !written.load(Ordering::Relaxed) {
                ledger.signing_record(serial).await.unwrap().unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    for number in 0..500 {
        let contact = vec![format!("mailto:{number}@example.com")];
        stores.ledger.update_contact(account, contact.clone()).await.unwrap().unwrap();
        assert_eq!(stores.ledger.account(account).await.unwrap().unwrap().contact, contact);
    }
    written.store(true, Ordering::Relaxed);
    signer.await.unwrap();
}

pub(crate) async fn ended_orders_come_latest_first(stores: &Stores) {
    let mut ended = Vec::new();
    for _ in 0..5 {
        let wanted = stores.wanted().await;
        stores.clock.pass_seconds(1);
        stores.ledger.finish(&wanted.order, failure("deadline"), stores.now()).await.unwrap();
        ended.insert(0, (wanted.order.id, stores.now()));
    }
    stores.begun().await;
    let listed = |before, limit| async move {
        let orders = stores.ledger.ended_orders(before, limit).await.unwrap();
        orders.into_iter().map(|order| (order.order.id, order.end.unwrap().1)).collect::<Vec<_>>()
    };
    assert_eq!(listed(None, 100).await, ended);
    assert_eq!(listed(None, 2).await, ended[..2]);
    assert_eq!(listed(Some(ended[1].1), 2).await, ended[2..4]);
}

pub(crate) async fn orders_that_ended_by_our_fault_are_found_among_the_others(stores: &Stores) {
    let theirs = Problem::new(ProblemType::Caa, "a CAA record forbids it");
    let of = |problem: &Problem, name: &str| problem.subproblem(dns(name).wire());
    let both = Problem::of_several("two", vec![of(&theirs, "a.example.com"), of(&problem("a test"), "b.example.com")]);
    let mut ours = Vec::new();
    for kind in [problem("deadline"), theirs.clone(), both, theirs, problem("deadline")] {
        let wanted = stores.wanted().await;
        let failure = Failure { stage: Stage::Issue, problem: kind };
        stores.ledger.finish(&wanted.order, failure.clone(), stores.now()).await.unwrap();
        if failure.is_our_fault() {
            ours.push((stores.now(), wanted.order.id));
        }
    }
    stores.begun().await;
    ours.sort_unstable();
    ours.reverse();
    assert_eq!(ours.len(), 3);
    let listed = |behind, limit| async move {
        let orders = stores.ledger.ended_by_our_fault(behind, limit).await.unwrap();
        orders.into_iter().map(|order| (order.end.unwrap().1, order.order.id)).collect::<Vec<_>>()
    };
    assert_eq!(listed(None, 100).await, ours);
    assert_eq!(listed(None, 1).await, ours[..1]);
    // All ended in the same millisecond, and none is left out between two pages.
    assert_eq!(listed(Some(ours[0]), 100).await, ours[1..]);
    assert_eq!(stores.ledger.counts().await.unwrap().our_fault, 3);
}

/// A clock that is set back in the midst of an issuance signs nothing more, but what was signed is written down.
pub(crate) async fn what_follows_is_not_recorded_as_earlier_after_a_clock_was_set_back(stores: &Stores) {
    let wanted = stores.begun().await;
    let (begun, back) = (stores.record(wanted.serial).await.begun, Timestamp::from_seconds(1));
    stores.ledger.mark_good(wanted.serial, back).await.unwrap();
    stores.ledger.store_final(wanted.serial, b"certificate", back).await.unwrap();
    stores.ledger.delivered(wanted.order.id, back).await.unwrap();
    stores.ledger.acknowledged(wanted.order.id, back).await.unwrap();
    stores.waited_for().await;
    let record = stores.record(wanted.serial).await;
    assert_eq!((record.good, record.stored), (Some(begun), Some(begun)));
    let known = stores.ledger.order(wanted.order.id).await.unwrap().unwrap();
    assert_eq!(known.end.map(|(_, ended)| ended), Some(begun));
    assert_eq!((known.delivered, known.acknowledged), (Some(begun), Some(begun)));
}

pub(crate) async fn first_delivery_and_first_acknowledgement_count(stores: &Stores) {
    let wanted = stores.begun().await;
    stores.ledger.mark_good(wanted.serial, stores.now()).await.unwrap();
    stores.ledger.store_final(wanted.serial, b"certificate", stores.now()).await.unwrap();
    for seconds in [3, 4] {
        stores.ledger.delivered(wanted.order.id, stores.in_seconds(seconds)).await.unwrap();
        stores.ledger.acknowledged(wanted.order.id, stores.in_seconds(seconds + 2)).await.unwrap();
    }
    stores.ledger.delivered(OrderId::from_bytes([9; 16]), stores.now()).await.unwrap();
    stores.waited_for().await;
    let known = stores.ledger.order(wanted.order.id).await.unwrap().unwrap();
    assert_eq!((known.delivered, known.acknowledged), (Some(stores.in_seconds(3)), Some(stores.in_seconds(5))));
    assert_eq!(stores.ledger.order(OrderId::from_bytes([9; 16])).await.unwrap(), None);
}

pub(crate) async fn records_are_counted(stores: &Stores) {
    assert_eq!(stores.ledger.counts().await.unwrap(), LedgerCounts::default());
    let finished = stores.begun().await;
    stores.ledger.mark_good(finished.serial, stores.now()).await.unwrap();
    stores.ledger.store_final(finished.serial, b"certificate", stores.now()).await.unwrap();
    let abandoned = stores.begun().await;
    let detached = stores.begun_again(&abandoned).await;
    stores.ledger.finish(&detached.order, failure("deadline"), stores.now()).await.unwrap();
    stores.ledger.store_final(detached.serial, b"certificate", stores.now()).await.unwrap();
    stores.begun().await;
    stores.account(1).await;
    stores.ledger.delivered(finished.order.id, stores.now()).await.unwrap();
    stores.waited_for().await;
    let expected = LedgerCounts {
        accounts: 2,
        wait: 2,
        good: 1,
        revoked: 1,
        abandoned: 1,
        valid: 1,
        invalid: 1,
        our_fault: 1,
        delivered: 1,
        acknowledged: 0,
    };
    assert_eq!(stores.ledger.counts().await.unwrap(), expected);
    stores.ledger.acknowledged(finished.order.id, stores.now()).await.unwrap();
    stores.waited_for().await;
    assert_eq!(stores.ledger.counts().await.unwrap(), LedgerCounts { acknowledged: 1, ..expected });
}

pub(crate) async fn audit_marks_are_kept_by_instance(stores: &Stores) {
    let (one, other) = (InstanceId::from_bytes([1; 16]), InstanceId::from_bytes([2; 16]));
    assert_eq!(stores.ledger.audit_mark(one).await.unwrap(), None);
    for sequence in [4, 9] {
        let mark = AuditMark { sequence, chain: Sha256::of(&[9]) };
        stores.ledger.set_audit_mark(one, mark).await.unwrap();
        stores.waited_for().await;
        assert_eq!(stores.ledger.audit_mark(one).await.unwrap(), Some(mark));
    }
    assert_eq!(stores.ledger.audit_mark(other).await.unwrap(), None);
}

pub(crate) async fn audit_mark_never_goes_back(stores: &Stores) {
    let one = InstanceId::from_bytes([1; 16]);
    let mark = AuditMark { sequence: 9, chain: Sha256::of(&[9]) };
    for late in [mark, AuditMark { sequence: 4, ..mark }, AuditMark { chain: Sha256::of(&[8]), ..mark }] {
        stores.ledger.set_audit_mark(one, late).await.unwrap();
        stores.waited_for().await;
        assert_eq!(stores.ledger.audit_mark(one).await.unwrap(), Some(mark));
    }
}

pub(crate) async fn authority_is_known_from_when_it_is_kept(stores: &Stores) {
    let (one, other) = (Sha256::of(b"one"), Sha256::of(b"other"));
    assert!(!stores.ledger.has_authority(one).await.unwrap());
    for _ in 0..2 {
        stores.ledger.store_authority(one, b"one").await.unwrap();
        assert!(stores.ledger.has_authority(one).await.unwrap());
    }
    assert!(!stores.ledger.has_authority(other).await.unwrap());
}
