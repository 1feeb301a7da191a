//! Issuances: `begin`, `mark_good`, `store_final`, `finish`.

use std::collections::BTreeSet;
use std::sync::Arc;

use acme::CertificateIdentifier;
use ca::authorization::AuthorizationEnd;
use ca::ports::{
    Begin, BeginRefused, CrlGenerationId, IssuanceCaps, IssuanceNumber, KeyBlock, LedgerEnd, MarkedGood, Revocation,
    SerialFilter, SerialStatus, StoredFinal,
};
use ca::{AuthorizationId, OrderId};
use pki::{Reason, Sha256};

use super::Stores;
use super::fixtures::{Wanted, at_most, ended, failure};

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, issuance:
            issuances_of_an_order_are_numbered_from_one
            begin_keeps_all_it_was_given
            begin_refuses_a_serial_that_is_taken
            begin_refuses_an_order_that_has_ended
            begin_refuses_an_order_whose_place_another_has
            begin_refuses_more_issuances_than_the_cap
            begin_refuses_a_blocked_key
            begin_refuses_an_account_that_is_not_valid
            begin_refuses_an_authorization_that_is_not_good
            refused_begin_writes_nothing
            simultaneous_begins_get_different_numbers
            good_comes_over_wait_and_is_told_to_be_current
            good_comes_over_wait_of_a_superseded_issuance
            good_does_not_come_over_revoked
            good_for_a_serial_never_allocated_is_none
            current_issuance_ends_its_order_valid
            final_certificate_without_ct_makes_its_serial_good
            final_certificate_with_ct_needs_its_precertificate
            final_certificate_of_a_superseded_issuance_is_detached
            final_certificate_of_an_ended_order_is_detached
            final_certificate_of_a_revoked_serial_is_detached
            final_certificate_for_a_serial_never_allocated_is_none
            storing_again_changes_nothing
            first_end_of_an_order_stands
            finish_after_the_certificate_answers_with_the_certificate
            simultaneous_ends_of_an_order_are_one
            order_unknown_to_the_ledger_ends_invalid
            only_failures_of_the_last_issuance_are_noted
            issuances_that_failed_count_and_those_cut_short_wait
            clock_that_was_set_back_makes_no_issuance_sooner
            open_orders_are_those_in_issuance
        );
    };
}
pub(crate) use suite;

pub(crate) async fn issuances_of_an_order_are_numbered_from_one(stores: &Stores) {
    let first = stores.wanted().await;
    assert_eq!(stores.begin(&first).await, Ok(IssuanceNumber(1)));
    let second = Wanted { serial: stores.serial(), ..first.clone() };
    assert_eq!(stores.begin(&second).await, Ok(IssuanceNumber(2)));
    let other = stores.wanted().await;
    assert_eq!(stores.begin(&other).await, Ok(IssuanceNumber(1)));
    let known = stores.ledger.order(first.order.id).await.unwrap().unwrap();
    assert_eq!((known.last, known.end), (Some(IssuanceNumber(2)), None));
    assert_eq!(known.order, first.order);
    assert!(!stores.record(first.serial).await.current && stores.record(second.serial).await.current);
}

pub(crate) async fn begin_keeps_all_it_was_given(stores: &Stores) {
    let wanted = stores.begun().await;
    let record = stores.record(wanted.serial).await;
    assert_eq!(record.serial, wanted.serial);
    assert_eq!((record.status, record.current, record.attached), (SerialStatus::Wait, true, false));
    assert_eq!((record.order, record.number), (wanted.order.id, IssuanceNumber(1)));
    assert_eq!((record.account, record.issuer), (wanted.order.account, wanted.issuer));
    assert_eq!((record.profile.as_str(), record.profile_hash), ("classic", Sha256::of(b"profile")));
    assert_eq!((record.ct, record.begun, record.not_after), (true, stores.now(), wanted.not_after));
    assert_eq!((record.good, record.stored, record.certificate), (None, None, None));
    assert_eq!(record.spki_hash, wanted.spki_hash);
    assert_eq!(record.linting_certificate, b"linting certificate");
    assert_eq!(record.revocation, None);
}

pub(crate) async fn begin_refuses_a_serial_that_is_taken(stores: &Stores) {
    let first = stores.begun().await;
    let other = Wanted { serial: first.serial, ..stores.wanted().await };
    assert_eq!(stores.begin(&other).await, Err(BeginRefused::SerialTaken));
    assert_eq!(stores.record(first.serial).await.order, first.order.id);
    assert_eq!(stores.ledger.order(other.order.id).await.unwrap(), None);
}

pub(crate) async fn begin_refuses_an_order_that_has_ended(stores: &Stores) {
    let invalid = stores.wanted().await;
    stores.ledger.finish(&invalid.order, failure("too late"), stores.now()).await.unwrap();
    assert_eq!(stores.begin(&invalid).await, Err(BeginRefused::OrderEnded));
    let valid = Wanted { ct: false, ..stores.wanted().await };
    stores.begin(&valid).await.unwrap();
    stores.ledger.store_final(valid.serial, b"certificate", stores.now()).await.unwrap();
    let again = Wanted { serial: stores.serial(), ..valid };
    assert_eq!(stores.begin(&again).await, Err(BeginRefused::OrderEnded));
}

pub(crate) async fn begin_refuses_an_order_whose_place_another_has(stores: &Stores) {
    let replaced = stores.begun().await;
    let identifier = CertificateIdentifier::new([7; 20], replaced.serial.as_bytes()).unwrap();
    let mut wanted = stores.wanted().await;
    wanted.order.replaces = Some(identifier);
    let (one, other) = (wanted.order.id, OrderId::random(stores.random.as_ref()));
    stores.ledger.replace(replaced.serial, None, other).await.unwrap();
    assert_eq!(stores.begin(&wanted).await, Err(BeginRefused::Replaced(other)));
    assert_eq!(stores.ledger.order(one).await.unwrap(), None);
    stores.ledger.replace(replaced.serial, Some(other), one).await.unwrap();
    assert_eq!(stores.begin(&wanted).await, Ok(IssuanceNumber(1)));
}

pub(crate) async fn begin_refuses_more_issuances_than_the_cap(stores: &Stores) {
    let first = Wanted { caps: at_most(2), ..stores.wanted().await };
    stores.begin(&first).await.unwrap();
    let second = stores.begun_again(&first).await;
    let third = Wanted { serial: stores.serial(), ..first };
    assert_eq!(stores.begin(&third).await, Err(BeginRefused::CapReached(2)));
    assert!(stores.record(second.serial).await.current);
}

pub(crate) async fn begin_refuses_a_blocked_key(stores: &Stores) {
    let wanted = stores.wanted().await;
    block(stores, wanted.spki_hash).await;
    assert_eq!(stores.begin(&wanted).await, Err(BeginRefused::KeyBlocked));
    let other = Wanted { spki_hash: Sha256::of(b"another key"), ..wanted };
    assert_eq!(stores.begin(&other).await, Ok(IssuanceNumber(1)));
}

pub(crate) async fn begin_refuses_an_account_that_is_not_valid(stores: &Stores) {
    let wanted = stores.wanted().await;
    stores.ledger.deactivate_account(wanted.order.account).await.unwrap();
    assert_eq!(stores.begin(&wanted).await, Err(BeginRefused::AccountNotValid));
}

pub(crate) async fn begin_refuses_an_authorization_that_is_not_good(stores: &Stores) {
    let wanted = stores.wanted().await;
    let good = wanted.order.authorizations[0].id;

    let mut unknown = wanted.clone();
    unknown.order.authorizations[0].id = AuthorizationId { number: 7, ..good };
    let refused = BeginRefused::AuthorizationNotGood(unknown.order.authorizations[0].id);
    assert_eq!(stores.begin(&unknown).await, Err(refused));

    let mut invalid = wanted.clone();
    invalid.order.authorizations[0].id = AuthorizationId { number: 8, ..good };
    let end = ended(&invalid.order, 0, AuthorizationEnd::Invalid, stores.now());
    stores.ledger.authorize(end).await.unwrap();
    let refused = BeginRefused::AuthorizationNotGood(invalid.order.authorizations[0].id);
    assert_eq!(stores.begin(&invalid).await, Err(refused));

    stores.clock.pass_seconds(86_401);
    assert_eq!(stores.begin(&wanted).await, Err(BeginRefused::AuthorizationNotGood(good)), "it has expired");

    let given_up = Wanted { serial: stores.serial(), ..stores.wanted().await };
    let id = given_up.order.authorizations[0].id;
    stores.ledger.deactivate_authorization(id, stores.now()).await.unwrap();
    assert_eq!(stores.begin(&given_up).await, Err(BeginRefused::AuthorizationNotGood(id)));
}

pub(crate) async fn refused_begin_writes_nothing(stores: &Stores) {
    let wanted = stores.wanted().await;
    let refused = Wanted { spki_hash: Sha256::of(b"a blocked key"), ..wanted.clone() };
    block(stores, refused.spki_hash).await;
    assert_eq!(stores.begin(&refused).await, Err(BeginRefused::KeyBlocked));
    assert_eq!(stores.ledger.serial(wanted.serial).await.unwrap(), None);
    assert_eq!(stores.ledger.order(wanted.order.id).await.unwrap(), None);
    assert_eq!(stores.begin(&wanted).await, Ok(IssuanceNumber(1)));
}

pub(crate) async fn simultaneous_begins_get_different_numbers(stores: &Stores) {
    let wanted = Wanted { caps: at_most(8), ..stores.wanted().await };
    let calls: Vec<_> = (0..12)
        .map(|_| {
            let (ledger, order, serial, at) =
                (Arc::clone(&stores.ledger), wanted.order.clone(), stores.serial(), stores.now());
            let (issuer, spki_hash, not_after) = (wanted.issuer, wanted.spki_hash, wanted.not_after);
            tokio::spawn(async move {
                let begin = Begin {
                    order: &order,
                    serial,
                    issuer,
                    profile_hash: Sha256::of(b"profile"),
                    ct: true,
                    linting_certificate: b"linting certificate",
                    spki_hash,
                    names: &BTreeSet::new(),
                    not_after,
                    crl_generation: CrlGenerationId::default(),
                    at,
                    caps: at_most(8),
                };
                ledger.begin(begin).await.unwrap()
            })
        })
        .collect();
    let (mut numbers, mut refused) = (BTreeSet::new(), 0);
    for call in calls {
        match call.await.unwrap() {
            Ok(number) => assert!(numbers.insert(number), "{number:?} twice"),
            Err(reason) => {
                assert_eq!(reason, BeginRefused::CapReached(8));
                refused += 1;
            }
        }
    }
    assert_eq!(numbers, (1..=8).map(IssuanceNumber).collect());
    assert_eq!(refused, 4);
    let all = stores.ledger.serials(SerialFilter::default(), 100).await.unwrap();
    assert_eq!(all.iter().filter(|record| record.current).map(|record| record.number.0).collect::<Vec<_>>(), [8]);
}

pub(crate) async fn good_comes_over_wait_and_is_told_to_be_current(stores: &Stores) {
    let wanted = stores.begun().await;
    let marked = Some(MarkedGood { status: SerialStatus::Good, current: true });
    assert_eq!(stores.ledger.mark_good(wanted.serial, stores.in_seconds(1)).await.unwrap(), marked);
    assert_eq!(stores.ledger.mark_good(wanted.serial, stores.in_seconds(9)).await.unwrap(), marked);
    let record = stores.record(wanted.serial).await;
    assert_eq!((record.status, record.good), (SerialStatus::Good, Some(stores.in_seconds(1))));
}

pub(crate) async fn good_comes_over_wait_of_a_superseded_issuance(stores: &Stores) {
    let first = stores.begun().await;
    stores.begun_again(&first).await;
    let marked = stores.ledger.mark_good(first.serial, stores.now()).await.unwrap();
    assert_eq!(marked, Some(MarkedGood { status: SerialStatus::Good, current: false }));
    assert!(stores.record(first.serial).await.is_abandoned());
}

pub(crate) async fn good_does_not_come_over_revoked(stores: &Stores) {
    let wanted = stores.begun().await;
    revoke(stores, &wanted).await;
    let marked = stores.ledger.mark_good(wanted.serial, stores.now()).await.unwrap();
    assert_eq!(marked, Some(MarkedGood { status: SerialStatus::Revoked, current: true }));
    assert_eq!(stores.record(wanted.serial).await.status, SerialStatus::Revoked);
}

pub(crate) async fn good_for_a_serial_never_allocated_is_none(stores: &Stores) {
    assert_eq!(stores.ledger.mark_good(stores.serial(), stores.now()).await.unwrap(), None);
}

pub(crate) async fn current_issuance_ends_its_order_valid(stores: &Stores) {
    let wanted = stores.begun().await;
    stores.ledger.mark_good(wanted.serial, stores.now()).await.unwrap();
    let at = stores.in_seconds(2);
    let stored = stores.ledger.store_final(wanted.serial, b"certificate", at).await.unwrap();
    assert_eq!(stored, Some(StoredFinal::OrderValid));
    let record = stores.record(wanted.serial).await;
    assert_eq!((record.status, record.attached, record.current), (SerialStatus::Good, true, false));
    assert_eq!((record.certificate.as_deref(), record.stored), (Some(&b"certificate"[..]), Some(at)));
    assert!(!record.is_abandoned());
    let known = stores.ledger.order(wanted.order.id).await.unwrap().unwrap();
    assert_eq!(known.end, Some((LedgerEnd::Valid(wanted.serial), at)));
}

pub(crate) async fn final_certificate_without_ct_makes_its_serial_good(stores: &Stores) {
    let wanted = Wanted { ct: false, ..stores.wanted().await };
    stores.begin(&wanted).await.unwrap();
    let stored = stores.ledger.store_final(wanted.serial, b"certificate", stores.now()).await.unwrap();
    assert_eq!(stored, Some(StoredFinal::OrderValid));
    let record = stores.record(wanted.serial).await;
    assert_eq!((record.status, record.good), (SerialStatus::Good, Some(stores.now())));
}

pub(crate) async fn final_certificate_with_ct_needs_its_precertificate(stores: &Stores) {
    let wanted = stores.begun().await;
    let stored = stores.ledger.store_final(wanted.serial, b"certificate", stores.now()).await.unwrap();
    assert_eq!(stored, Some(StoredFinal::Detached));
    assert_superseded(stores, &wanted).await;
    assert_eq!(stores.ledger.order(wanted.order.id).await.unwrap().unwrap().end, None);
}

pub(crate) async fn final_certificate_of_a_superseded_issuance_is_detached(stores: &Stores) {
    let late = stores.begun().await;
    stores.ledger.mark_good(late.serial, stores.now()).await.unwrap();
    let current = stores.begun_again(&late).await;
    let stored = stores.ledger.store_final(late.serial, b"certificate", stores.now()).await.unwrap();
    assert_eq!(stored, Some(StoredFinal::Detached));
    assert_superseded(stores, &late).await;
    stores.ledger.mark_good(current.serial, stores.now()).await.unwrap();
    let stored = stores.ledger.store_final(current.serial, b"certificate", stores.now()).await.unwrap();
    assert_eq!(stored, Some(StoredFinal::OrderValid), "the newer issuance goes on as if nothing had been");
}

pub(crate) async fn final_certificate_of_an_ended_order_is_detached(stores: &Stores) {
    let wanted = stores.begun().await;
    stores.ledger.mark_good(wanted.serial, stores.now()).await.unwrap();
    let end = stores.ledger.finish(&wanted.order, failure("too late"), stores.now()).await.unwrap();
    let stored = stores.ledger.store_final(wanted.serial, b"certificate", stores.now()).await.unwrap();
    assert_eq!(stored, Some(StoredFinal::Detached));
    assert_superseded(stores, &wanted).await;
    let known = stores.ledger.order(wanted.order.id).await.unwrap().unwrap();
    assert_eq!(known.end.map(|(end, _)| end), Some(end));
}

pub(crate) async fn final_certificate_of_a_revoked_serial_is_detached(stores: &Stores) {
    let wanted = stores.begun().await;
    stores.ledger.mark_good(wanted.serial, stores.now()).await.unwrap();
    revoke(stores, &wanted).await;
    let earlier = stores.record(wanted.serial).await.revocation;
    let stored = stores.ledger.store_final(wanted.serial, b"certificate", stores.now()).await.unwrap();
    assert_eq!(stored, Some(StoredFinal::Detached));
    let record = stores.record(wanted.serial).await;
    assert_eq!((record.status, record.revocation, record.attached), (SerialStatus::Revoked, earlier, false));
    assert_eq!(record.certificate.as_deref(), Some(&b"certificate"[..]));
    assert_eq!(stores.ledger.order(wanted.order.id).await.unwrap().unwrap().end, None);
}

pub(crate) async fn final_certificate_for_a_serial_never_allocated_is_none(stores: &Stores) {
    assert_eq!(stores.ledger.store_final(stores.serial(), b"certificate", stores.now()).await.unwrap(), None);
}

pub(crate) async fn storing_again_changes_nothing(stores: &Stores) {
    let attached = stores.begun().await;
    stores.ledger.mark_good(attached.serial, stores.now()).await.unwrap();
    let detached = stores.begun().await;
    for (wanted, stored) in [(&attached, StoredFinal::OrderValid), (&detached, StoredFinal::Detached)] {
        let first = stores.ledger.store_final(wanted.serial, b"certificate", stores.now()).await.unwrap();
        let before = stores.record(wanted.serial).await;
        let again = stores.ledger.store_final(wanted.serial, b"certificate", stores.in_seconds(9)).await.unwrap();
        assert_eq!((first, again), (Some(stored), Some(stored)));
        assert_eq!(stores.record(wanted.serial).await, before);
    }
    // What was valid and is then revoked was stored all the same.
    revoke(stores, &attached).await;
    let again = stores.ledger.store_final(attached.serial, b"certificate", stores.now()).await.unwrap();
    assert_eq!(again, Some(StoredFinal::OrderValid));
}

pub(crate) async fn first_end_of_an_order_stands(stores: &Stores) {
    let wanted = stores.begun().await;
    let first = stores.ledger.finish(&wanted.order, failure("first"), stores.now()).await.unwrap();
    assert_eq!(first, LedgerEnd::Invalid(failure("first")));
    let second = stores.ledger.finish(&wanted.order, failure("second"), stores.in_seconds(3)).await.unwrap();
    assert_eq!(second, first);
    let known = stores.ledger.order(wanted.order.id).await.unwrap().unwrap();
    assert_eq!((known.end, known.last), (Some((first, stores.now())), Some(IssuanceNumber(1))));
}

pub(crate) async fn finish_after_the_certificate_answers_with_the_certificate(stores: &Stores) {
    let wanted = stores.begun().await;
    stores.ledger.mark_good(wanted.serial, stores.now()).await.unwrap();
    stores.ledger.store_final(wanted.serial, b"certificate", stores.now()).await.unwrap();
    let end = stores.ledger.finish(&wanted.order, failure("too late"), stores.now()).await.unwrap();
    assert_eq!(end, LedgerEnd::Valid(wanted.serial));
    assert_eq!(stores.record(wanted.serial).await.status, SerialStatus::Good);
}

pub(crate) async fn simultaneous_ends_of_an_order_are_one(stores: &Stores) {
    for _ in 0..10 {
        let wanted = stores.begun().await;
        stores.ledger.mark_good(wanted.serial, stores.now()).await.unwrap();
        let (ledger, order, at) = (Arc::clone(&stores.ledger), wanted.order.clone(), stores.now());
        let finish = tokio::spawn(async move { ledger.finish(&order, failure("deadline"), at).await.unwrap() });
        let stored = stores.ledger.store_final(wanted.serial, b"certificate", at).await.unwrap().unwrap();
        let valid = match finish.await.unwrap() {
            LedgerEnd::Valid(serial) => serial == wanted.serial,
            LedgerEnd::Invalid(_) => false,
        };
        assert_eq!(valid, stored == StoredFinal::OrderValid);
        assert_eq!(stores.record(wanted.serial).await.attached, valid);
    }
}

pub(crate) async fn order_unknown_to_the_ledger_ends_invalid(stores: &Stores) {
    let wanted = stores.wanted().await;
    assert_eq!(stores.ledger.order(wanted.order.id).await.unwrap(), None);
    stores.ledger.finish(&wanted.order, failure("no issuance"), stores.now()).await.unwrap();
    let known = stores.ledger.order(wanted.order.id).await.unwrap().unwrap();
    assert_eq!((known.last, known.order), (None, wanted.order));
    assert_eq!(known.end, Some((LedgerEnd::Invalid(failure("no issuance")), stores.now())));
}

async fn block(stores: &Stores, spki_hash: Sha256) {
    let block = KeyBlock { spki_hash, at: stores.now(), by: "a test".to_owned() };
    stores.ledger.block(block).await.unwrap();
}

async fn revoke(stores: &Stores, wanted: &Wanted) {
    let (serial, revoked) = (wanted.serial, stores.now());
    let revocation = Revocation { serial, reason: Reason::CessationOfOperation, revoked, by: "a test".to_owned() };
    stores.ledger.revoke(revocation).await.unwrap();
}

async fn assert_superseded(stores: &Stores, wanted: &Wanted) {
    let record = stores.record(wanted.serial).await;
    assert_eq!((record.status, record.attached), (SerialStatus::Revoked, false));
    assert_eq!(record.revocation.map(|revocation| revocation.reason), Some(Reason::Superseded));
    assert_eq!(record.certificate.as_deref(), Some(&b"certificate"[..]));
}

pub(crate) async fn only_failures_of_the_last_issuance_are_noted(stores: &Stores) {
    let first = stores.begun().await;
    let second = stores.begun_again(&first).await;
    stores.ledger.issuance_failed(first.serial, "too late").await.unwrap();
    stores.ledger.issuance_failed(second.serial, "no log answered").await.unwrap();
    stores.ledger.issuance_failed(second.serial, "said again").await.unwrap();
    stores.waited_for().await;
    assert_eq!(stores.record(first.serial).await.failure, None);
    assert_eq!(stores.record(second.serial).await.failure.as_deref(), Some("no log answered"));
}

pub(crate) async fn clock_that_was_set_back_makes_no_issuance_sooner(stores: &Stores) {
    let pace = std::time::Duration::from_secs(10);
    let caps = IssuanceCaps { failed: 9, begun: 3, unpaced: 2, pace };
    let first = Wanted { caps, ..stores.wanted().await };
    stores.begin(&first).await.unwrap();
    let second = stores.begun_again(&first).await;
    stores.clock.set_back(std::time::Duration::from_secs(30));
    let third = Wanted { serial: stores.serial(), ..second };
    assert_eq!(stores.begin(&third).await, Err(BeginRefused::TooSoon(stores.in_seconds(10))));
    stores.clock.pass_seconds(40);
    stores.begin(&third).await.unwrap();
    let fourth = Wanted { serial: stores.serial(), ..third };
    assert_eq!(stores.begin(&fourth).await, Err(BeginRefused::CapReached(3)), "none of them failed");
}

pub(crate) async fn issuances_that_failed_count_and_those_cut_short_wait(stores: &Stores) {
    let pace = std::time::Duration::from_secs(10);
    let caps = IssuanceCaps { failed: 2, begun: 9, unpaced: 3, pace };
    let mut wanted = Wanted { caps, ..stores.wanted().await };
    for _ in 0..3 {
        wanted = Wanted { serial: stores.serial(), ..wanted };
        stores.begin(&wanted).await.unwrap();
    }
    let again = Wanted { serial: stores.serial(), ..wanted.clone() };
    assert_eq!(stores.begin(&again).await, Err(BeginRefused::TooSoon(stores.in_seconds(10))));
    stores.clock.pass_seconds(10);
    for _ in 0..2 {
        wanted = Wanted { serial: stores.serial(), ..wanted };
        stores.begin(&wanted).await.unwrap();
        stores.ledger.issuance_failed(wanted.serial, "a test").await.unwrap();
        stores.clock.pass_seconds(10);
    }
    wanted = Wanted { serial: stores.serial(), ..wanted };
    assert_eq!(stores.begin(&wanted).await, Err(BeginRefused::FailuresCapReached(2)));
}

pub(crate) async fn open_orders_are_those_in_issuance(stores: &Stores) {
    let account = stores.account(0).await;
    let mut open = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let wanted = stores.wanted_of(&account).await;
        stores.begin(&wanted).await.unwrap();
        open.insert(wanted.order.id);
    }
    let issued = stores.wanted_of(&account).await;
    stores.begin(&issued).await.unwrap();
    stores.ledger.mark_good(issued.serial, stores.now()).await.unwrap();
    stores.ledger.store_final(issued.serial, b"certificate", stores.now()).await.unwrap();
    let dead = stores.wanted_of(&account).await;
    stores.begin(&dead).await.unwrap();
    stores.ledger.finish(&dead.order, super::fixtures::failure("a test"), stores.now()).await.unwrap();
    let first = stores.ledger.open_orders(None, 2).await.unwrap();
    let rest = stores.ledger.open_orders(first.last().copied(), 2).await.unwrap();
    assert_eq!((first.len(), rest.len()), (2, 1));
    assert_eq!(first.into_iter().chain(rest).collect::<std::collections::BTreeSet<_>>(), open);
}
