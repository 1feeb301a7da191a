//! What new orders find of earlier ones, which order takes the place of which certificate, and rules for renewals.

use std::collections::BTreeSet;

use acme::Identifier;
use ca::authorization::{AuthorizationEnd, EndedAuthorization};
use ca::order::Order;
use ca::ports::{RenewalAdvice, RenewalRule, RenewalScope};
use ca::validity::AskedValidity;
use ca::{AccountId, OrderId};
use pki::Timestamp;

use super::Stores;
use super::fixtures::{dns, ended, wildcard};

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, reuse:
            good_authorization_that_counts_longest_is_found
            authorization_that_ended_long_ago_is_passed_over_for_a_later_one
            authorization_of_another_or_for_another_is_not_found
            authorization_that_ended_or_ends_too_early_is_not_found
            newest_order_alike_is_found
            order_is_found_only_while_its_challenges_are_tested
            place_of_a_certificate_is_taken_by_comparison
            rules_stand_until_they_are_taken_back
            only_so_many_rules_for_sets_stand
            rules_for_a_serial_are_those_of_sets_and_its_own
            certificates_of_a_scope_are_counted
        );
    };
}
pub(crate) use suite;

pub(crate) async fn good_authorization_that_counts_longest_is_found(stores: &Stores) {
    let account = stores.account(0).await;
    let mut expected = None;
    for seconds in [7_200, 90_000, 3_600] {
        let mut order = stores.order_for(account.id, &[dns("one.example.com")]);
        order.authorizations = stores.authorizations_of(&order);
        let end = AuthorizationEnd::Valid { expires: stores.in_seconds(seconds) };
        let written = stores.ledger.authorize(ended(&order, 0, end, stores.now())).await.unwrap();
        if seconds == 90_000 {
            expected = Some(written);
        }
    }
    let asked = [dns("one.example.com"), dns("two.example.com")];
    let found = good(stores, account.id, &asked, stores.in_seconds(600)).await;
    assert_eq!(found, [expected.unwrap()]);
}

/// Those that count until then, whenever they ended.
async fn good(
    stores: &Stores,
    account: AccountId,
    identifiers: &[Identifier],
    until: Timestamp,
) -> Vec<EndedAuthorization> {
    let ever = Timestamp::from_seconds(0);
    stores.ledger.good_authorizations(account, identifiers, until, ever).await.unwrap()
}

pub(crate) async fn authorization_that_ended_long_ago_is_passed_over_for_a_later_one(stores: &Stores) {
    let account = stores.account(0).await;
    let mut written = Vec::new();
    for (ended_after, expires_after) in [(0, 9_000), (60, 8_000), (30, 7_000)] {
        let mut order = stores.order_for(account.id, &[dns("one.example.com")]);
        order.authorizations = stores.authorizations_of(&order);
        let end = AuthorizationEnd::Valid { expires: stores.in_seconds(expires_after) };
        written.push(stores.ledger.authorize(ended(&order, 0, end, stores.in_seconds(ended_after))).await.unwrap());
    }
    for (since, expected) in [(0, Some(&written[0])), (1, Some(&written[1])), (60, Some(&written[1])), (61, None)] {
        let (until, since) = (stores.in_seconds(600), stores.in_seconds(since));
        let names = [dns("one.example.com")];
        let found = stores.ledger.good_authorizations(account.id, &names, until, since).await.unwrap();
        assert_eq!(found.first(), expected);
    }
}

pub(crate) async fn authorization_of_another_or_for_another_is_not_found(stores: &Stores) {
    let (account, other) = (stores.account(0).await, stores.account(1).await);
    stores.order_in_issue(&account, &[wildcard("one.example.com"), dns("two.example.com")]).await;
    let until = stores.in_seconds(600);
    let found = |account, identifier| async move { good(stores, account, &[identifier], until).await.len() };
    assert_eq!(found(account.id, wildcard("one.example.com")).await, 1);
    assert_eq!(found(account.id, dns("one.example.com")).await, 0);
    assert_eq!(found(account.id, wildcard("two.example.com")).await, 0);
    assert_eq!(found(other.id, dns("two.example.com")).await, 0);
}

pub(crate) async fn authorization_that_ended_or_ends_too_early_is_not_found(stores: &Stores) {
    let account = stores.account(0).await;
    let names = [dns("one.example.com"), dns("two.example.com")];
    let order = stores.order_in_issue(&account, &names).await;
    let day = stores.in_seconds(86_400);
    assert_eq!(good(stores, account.id, &names, day).await.len(), 2);
    let later = stores.in_seconds(86_401);
    assert_eq!(good(stores, account.id, &names, later).await, []);
    stores.ledger.deactivate_authorization(order.authorizations[0].id, stores.now()).await.unwrap();
    let found = good(stores, account.id, &names, day).await;
    assert_eq!(found.iter().map(|one| one.id).collect::<Vec<_>>(), [order.authorizations[1].id]);
}

pub(crate) async fn newest_order_alike_is_found(stores: &Stores) {
    let first = stores.pending(&["one.example.com"]).await;
    let second = stores.pending(&["one.example.com"]).await;
    let other = stores.pending(&["two.example.com"]).await;
    let alike = |order: &Order| order.likeness().unwrap();
    assert_eq!(alike(&first), alike(&second));
    assert_eq!(stores.workbench.alike(alike(&first)).await.unwrap(), Some(second.id));
    assert_eq!(stores.workbench.alike(alike(&other)).await.unwrap(), Some(other.id));
    let dated = AskedValidity { not_before: None, not_after: Some(stores.in_seconds(9_000)) };
    let dated = Order { validity: dated, ..first.clone() };
    let profiled = Order { profile: "other".to_owned(), ..first.clone() };
    let likenesses: BTreeSet<_> = [&first, &other, &dated, &profiled].map(alike).into();
    assert_eq!(likenesses.len(), 4);
    assert_eq!(stores.workbench.alike(alike(&dated)).await.unwrap(), None);
}

pub(crate) async fn order_is_found_only_while_its_challenges_are_tested(stores: &Stores) {
    let order = stores.ready().await;
    let likeness = order.likeness().unwrap();
    assert_eq!(stores.workbench.alike(likeness).await.unwrap(), Some(order.id));
    let deadline = stores.in_seconds(600);
    stores.workbench.finalize(order.id, stores.finalize(), deadline, &[]).await.unwrap().unwrap().unwrap();
    assert_eq!(stores.workbench.alike(likeness).await.unwrap(), None);
}

pub(crate) async fn place_of_a_certificate_is_taken_by_comparison(stores: &Stores) {
    let serial = stores.begun().await.serial;
    let ids: Vec<OrderId> = (0..3).map(|_| OrderId::random(stores.random.as_ref())).collect();
    assert_eq!(stores.ledger.replacement(serial).await.unwrap(), None);
    let unknown = stores.serial();
    assert_eq!(stores.ledger.replace(unknown, None, ids[0]).await.unwrap(), None);
    assert_eq!(stores.ledger.replacement(unknown).await.unwrap(), None);
    assert_eq!(stores.ledger.replace(serial, None, ids[0]).await.unwrap(), Some(ids[0]));
    assert_eq!(stores.ledger.replace(serial, None, ids[1]).await.unwrap(), Some(ids[0]));
    assert_eq!(stores.ledger.replace(serial, Some(ids[2]), ids[1]).await.unwrap(), Some(ids[0]));
    assert_eq!(stores.ledger.replacement(serial).await.unwrap(), Some(ids[0]));
    assert_eq!(stores.ledger.replace(serial, Some(ids[0]), ids[1]).await.unwrap(), Some(ids[1]));
    assert_eq!(stores.ledger.replacement(serial).await.unwrap(), Some(ids[1]));
}

fn window(stores: &Stores) -> RenewalAdvice {
    let explanation_url = Some("https://example.com/why".to_owned());
    RenewalAdvice::Window { start: stores.now(), end: stores.in_seconds(60), explanation_url }
}

async fn add_rule(stores: &Stores, scope: RenewalScope) -> RenewalRule {
    stores.ledger.add_renewal_rule(scope, window(stores), stores.now(), 10).await.unwrap().unwrap()
}

pub(crate) async fn only_so_many_rules_for_sets_stand(stores: &Stores) {
    let add = |scope| stores.ledger.add_renewal_rule(scope, window(stores), stores.now(), 2);
    let one = RenewalScope { serial: Some(stores.serial()), ..RenewalScope::default() };
    for _ in 0..3 {
        add(one.clone()).await.unwrap().unwrap();
    }
    let (first, second, third) =
        futures_util::join!(add(RenewalScope::default()), add(RenewalScope::default()), add(RenewalScope::default()));
    let mut made: Vec<RenewalRule> = [first, second, third].into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(made.len(), 2, "of three at the same time");
    assert_eq!(stores.ledger.renewal_rules(10).await.unwrap().len(), 5);
    assert!(add(one).await.unwrap().is_some());
    stores.ledger.withdraw_renewal_rule(made.remove(0).number, stores.now()).await.unwrap();
    assert!(add(RenewalScope::default()).await.unwrap().is_some());
    assert_eq!(add(RenewalScope::default()).await.unwrap(), None);
}

pub(crate) async fn rules_stand_until_they_are_taken_back(stores: &Stores) {
    let mut rules = Vec::new();
    for profile in ["one", "two", "three"] {
        let scope = RenewalScope { profile: Some(profile.to_owned()), ..RenewalScope::default() };
        rules.push(add_rule(stores, scope).await);
    }
    rules.reverse();
    assert!(rules[0].number > rules[1].number && rules[1].number > rules[2].number);
    assert_eq!(stores.ledger.renewal_rules(10).await.unwrap(), rules);
    assert_eq!(stores.ledger.renewal_rules(2).await.unwrap(), rules[..2]);
    let gone = rules.remove(1);
    assert!(stores.ledger.withdraw_renewal_rule(gone.number, stores.now()).await.unwrap());
    assert!(!stores.ledger.withdraw_renewal_rule(gone.number, stores.now()).await.unwrap());
    assert!(!stores.ledger.withdraw_renewal_rule(u64::MAX, stores.now()).await.unwrap());
    assert_eq!(stores.ledger.renewal_rules(10).await.unwrap(), rules);
    let next = add_rule(stores, gone.scope).await;
    assert!(next.number > rules[0].number);
}

pub(crate) async fn rules_for_a_serial_are_those_of_sets_and_its_own(stores: &Stores) {
    let (one, other) = (stores.serial(), stores.serial());
    let mut numbers = Vec::new();
    for serial in [Some(one), None, Some(other), Some(one)] {
        let scope = RenewalScope { serial, ..RenewalScope::default() };
        numbers.push(add_rule(stores, scope).await.number);
    }
    let found = stores.ledger.renewal_rules_for(one).await.unwrap();
    assert_eq!(found.iter().map(|rule| rule.number).collect::<Vec<_>>(), [numbers[3], numbers[1], numbers[0]]);
    stores.ledger.withdraw_renewal_rule(numbers[3], stores.now()).await.unwrap();
    let found = stores.ledger.renewal_rules_for(one).await.unwrap();
    assert_eq!(found.iter().map(|rule| rule.number).collect::<Vec<_>>(), [numbers[1], numbers[0]]);
    assert_eq!(found[1].advice, window(stores));
}

pub(crate) async fn certificates_of_a_scope_are_counted(stores: &Stores) {
    let wanted = stores.begun().await;
    let count = |scope: RenewalScope, now| async move { stores.ledger.count_renewals(scope, now).await.unwrap() };
    let (all, soon) = (RenewalScope::default(), stores.in_seconds(1));
    assert_eq!(count(all.clone(), soon).await, 0, "nothing is signed yet");
    stores.ledger.mark_good(wanted.serial, stores.now()).await.unwrap();
    stores.ledger.store_final(wanted.serial, b"certificate", stores.now()).await.unwrap();
    assert_eq!(count(all.clone(), soon).await, 1);
    assert_eq!(count(all.clone(), stores.now()).await, 0, "it did not begin before");
    assert_eq!(count(all.clone(), wanted.not_after.plus(std::time::Duration::from_secs(1))).await, 0, "it is over");
    let fits = RenewalScope {
        serial: Some(wanted.serial),
        account: Some(wanted.order.account),
        profile: Some("classic".to_owned()),
        issued_from: Some(stores.now()),
        issued_until: Some(soon),
        spki_hash: Some(wanted.spki_hash),
        name: Some("one.example.com".to_owned()),
    };
    assert_eq!(count(fits.clone(), soon).await, 1);
    for other in [
        RenewalScope { serial: Some(stores.serial()), ..fits.clone() },
        RenewalScope { account: Some(ca::AccountId::from_bytes([9; 16])), ..fits.clone() },
        RenewalScope { profile: Some("other".to_owned()), ..fits.clone() },
        RenewalScope { issued_from: Some(soon), ..fits.clone() },
        RenewalScope { issued_until: Some(stores.now()), ..fits.clone() },
        RenewalScope { spki_hash: Some(pki::Sha256::of(b"other")), ..fits.clone() },
        RenewalScope { name: Some("two.example.com".to_owned()), ..fits.clone() },
    ] {
        assert_eq!(count(other.clone(), soon).await, 0, "{other:?}");
    }
    let revocation = ca::ports::Revocation {
        serial: wanted.serial,
        reason: pki::Reason::Superseded,
        revoked: stores.now(),
        by: "operator".to_owned(),
    };
    stores.ledger.revoke(revocation).await.unwrap();
    assert_eq!(count(all, soon).await, 0, "it is revoked");
}
