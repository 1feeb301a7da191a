//! Agreement to the terms of service: once, and again for each later version.

use std::time::Duration;

use acme::{AccountUpdate, NewAccount, ProblemType};
use ca::Error;
use ca::settings::Terms;

use super::on_all_back_ends;
use crate::world::{Backend, Call, Side, World, new_account_request, pair, refused};

on_all_back_ends! {
    agreement_whose_write_fails_on_either_side_is_given_again
    agreement_to_an_earlier_version_counts_until_the_later_one_is_enforced
    who_agreed_before_there_were_versions_agreed_to_the_first
    an_account_that_has_not_agreed_can_be_changed
}

const AGREES: NewAccount = NewAccount {
    contact: None,
    terms_of_service_agreed: true,
    only_return_existing: false,
    external_account_binding: None,
};

fn terms(version: Option<&str>) -> Terms {
    Terms { url: "https://example.com/terms".to_owned(), version: version.map(str::to_owned), ..Terms::default() }
}

async fn with_terms(backend: Backend, terms: Terms) -> World {
    World::with(backend, |settings| settings.terms = Some(terms)).await
}

async fn agreement_whose_write_fails_on_either_side_is_given_again(backend: Backend) {
    let world = with_terms(backend, terms(Some("2"))).await;
    for side in [Side::Before, Side::After] {
        let key = pair();
        let (account, _) = world.ca.new_account(new_account_request(&key, &AGREES)).await.unwrap();
        world.ledger.agree_to_terms(account.id, Some("1".to_owned())).await.unwrap().unwrap();
        let account = world.ledger.account(account.id).await.unwrap().unwrap();
        assert_eq!(refused(world.ca.require_agreement(&account)).kind, ProblemType::UserActionRequired);
        world.points.fail(side, Call::AgreeToTerms);
        let failed = world.ca.new_account(new_account_request(&key, &AGREES)).await;
        assert!(matches!(failed, Err(Error::Failed(_))), "{failed:?}");
        let (agreed, new) = world.ca.new_account(new_account_request(&key, &AGREES)).await.unwrap();
        assert!(!new);
        world.ca.require_agreement(&agreed).unwrap();
        assert_eq!(world.ledger.account(account.id).await.unwrap(), Some(agreed));
    }
}

async fn agreement_to_an_earlier_version_counts_until_the_later_one_is_enforced(backend: Backend) {
    let from = crate::world::START.plus(Duration::from_secs(60));
    let world = with_terms(backend, Terms { enforced_from: Some(from), ..terms(Some("2")) }).await;
    let (account, _) = world.ca.new_account(new_account_request(&pair(), &AGREES)).await.unwrap();
    let earlier = world.ledger.agree_to_terms(account.id, Some("1".to_owned())).await.unwrap().unwrap();
    world.ca.require_agreement(&earlier).unwrap();
    world.clock.pass_seconds(3_600);
    assert_eq!(refused(world.ca.require_agreement(&earlier)).kind, ProblemType::UserActionRequired);
    world.ca.require_agreement(&account).unwrap();
}

async fn who_agreed_before_there_were_versions_agreed_to_the_first(backend: Backend) {
    let first = Some("1".to_owned());
    for (version, asks) in [("1", false), ("2", true)] {
        let world = with_terms(backend, Terms { first_version: first.clone(), ..terms(Some(version)) }).await;
        let (account, _) = world.ca.new_account(new_account_request(&pair(), &AGREES)).await.unwrap();
        let unversioned = world.ledger.agree_to_terms(account.id, None).await.unwrap().unwrap();
        assert_eq!(world.ca.require_agreement(&unversioned).is_err(), asks, "{version}");
    }
}

async fn an_account_that_has_not_agreed_can_be_changed(backend: Backend) {
    let world = with_terms(backend, terms(Some("2"))).await;
    let (account, _) = world.ca.new_account(new_account_request(&pair(), &AGREES)).await.unwrap();
    let earlier = world.ledger.agree_to_terms(account.id, Some("1".to_owned())).await.unwrap().unwrap();
    let contact = Some(vec!["mailto:admin@example.com".to_owned()]);
    let update = AccountUpdate { contact, ..AccountUpdate::default() };
    let updated = world.ca.update_account(&earlier, &update).await.unwrap();
    assert_eq!((updated.contact.len(), updated.terms_version.as_deref()), (1, Some("1")), "this was no agreement");
    let both = AccountUpdate { terms_of_service_agreed: true, contact: Some(Vec::new()), ..update };
    let updated = world.ca.update_account(&earlier, &both).await.unwrap();
    assert_eq!((updated.contact.len(), updated.terms_version.as_deref()), (0, Some("2")));
}
