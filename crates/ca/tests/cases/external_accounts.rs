//! External account binding: what fails burns nothing, and what a key permits holds.

use acme::{NewAccount, ProblemType, bind_externally};
use ca::external_account::{ExternalAccountKey, KeyTerms};
use ca::settings::ExternalAccounts;
use ca::{Answer, Error, urls};
use keys::KeyPair;

use super::on_all_back_ends;
use crate::world::{BASE, Backend, Call, Side, World, new_account_request, pair, refused, signing_key};

on_all_back_ends! {
    account_whose_creation_fails_before_the_write_burns_no_use
    account_whose_creation_was_written_is_found_with_the_use_that_it_took
    key_from_elsewhere_binds_any_number_of_accounts
    operators_own_account_needs_no_binding
    key_that_expired_binds_nobody
}

async fn required(backend: Backend) -> World {
    World::with(backend, |settings| settings.external_accounts = ExternalAccounts::Required).await
}

async fn bind(world: &World, given: &ExternalAccountKey, key: &KeyPair) -> Answer<(ca::account::Account, bool)> {
    let jwk = signing_key(key).jwk().clone();
    let url = format!("{BASE}{}", urls::NEW_ACCOUNT);
    let binding = bind_externally(given.kid.as_str(), &given.mac_key, &url, &jwk);
    let binding = Some(serde_json::value::to_raw_value(&binding).unwrap());
    let asked = NewAccount { external_account_binding: binding, ..NewAccount::default() };
    world.ca.new_account(new_account_request(key, &asked)).await
}

async fn once(world: &World) -> ExternalAccountKey {
    let terms = KeyTerms { uses: Some(1), ..KeyTerms::default() };
    world.ca.create_external_account_key(terms).await.unwrap()
}

async fn account_whose_creation_fails_before_the_write_burns_no_use(backend: Backend) {
    let mut world = required(backend).await;
    let (given, key) = (once(&world).await, pair());
    world.points.fail(Side::Before, Call::CreateBoundAccount);
    assert!(matches!(bind(&world, &given, &key).await, Err(Error::Failed(_))));
    world = world.restart();
    world.ca.recover().await.unwrap();
    assert_eq!(world.ledger.external_account_key(&given.kid).await.unwrap(), Some(given.clone()));
    let (account, new) = bind(&world, &given, &key).await.unwrap();
    assert!(new);
    assert_eq!(account.external_key, Some(given.kid));
}

async fn account_whose_creation_was_written_is_found_with_the_use_that_it_took(backend: Backend) {
    let mut world = required(backend).await;
    let (given, key) = (once(&world).await, pair());
    world.points.fail(Side::After, Call::CreateBoundAccount);
    assert!(matches!(bind(&world, &given, &key).await, Err(Error::Failed(_))));
    world = world.restart();
    world.ca.recover().await.unwrap();
    let (_, new) = bind(&world, &given, &key).await.unwrap();
    assert!(!new, "the client asks again and finds its account");
    let kept = world.ledger.external_account_key(&given.kid).await.unwrap().unwrap();
    assert_eq!((kept.uses_left, kept.accounts), (Some(0), 1));
    assert_eq!(refused(bind(&world, &given, &pair()).await).kind, ProblemType::Unauthorized);
}

async fn key_from_elsewhere_binds_any_number_of_accounts(backend: Backend) {
    let world = required(backend).await;
    let mac_key = acme::MacKey::parse("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W").unwrap();
    let kid: ca::ExternalKeyId = "kid-1".parse().unwrap();
    let add = || world.ca.add_external_account_key(kid.clone(), mac_key.clone(), KeyTerms::default());
    assert!(add().await.unwrap());
    assert!(!add().await.unwrap(), "it is there already");
    let given = world.ledger.external_account_key(&kid).await.unwrap().unwrap();
    for _ in 0..3 {
        assert!(bind(&world, &given, &pair()).await.unwrap().1);
    }
    assert!(!format!("{given:?}").contains("zWND"), "a MAC key is not shown");
}

async fn operators_own_account_needs_no_binding(backend: Backend) {
    let world = required(backend).await;
    let request = || new_account_request(&pair(), &NewAccount::default());
    assert_eq!(refused(world.ca.new_account(request()).await).kind, ProblemType::ExternalAccountRequired);
    world.ca.operator_account(request()).await.unwrap();
}

async fn key_that_expired_binds_nobody(backend: Backend) {
    let world = required(backend).await;
    let expires = Some(world.ca.now().plus(std::time::Duration::from_secs(60)));
    let terms = KeyTerms { expires, ..KeyTerms::default() };
    let given = world.ca.create_external_account_key(terms).await.unwrap();
    bind(&world, &given, &pair()).await.unwrap();
    world.clock.pass_seconds(61);
    let problem = refused(bind(&world, &given, &pair()).await);
    assert_eq!(problem.kind, ProblemType::Unauthorized);
    assert!(problem.detail.contains("expired"), "{}", problem.detail);
}
