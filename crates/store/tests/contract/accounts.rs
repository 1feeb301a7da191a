//! Accounts and authorizations of the ledger.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use acme::{AccountStatus, Identifier};
use ca::account::{Account, KeyProof};
use ca::authorization::AuthorizationEnd;
use ca::ports::{KeyChangeRecord, KeyNotChanged, NewAccountRecord};
use ca::{AccountId, AuthorizationId};
use pki::GeneralName;

use super::Stores;
use super::fixtures::{dns, ended, key, names, wildcard};

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, accounts:
            account_is_found_by_its_id_and_by_its_key
            second_account_with_one_key_is_the_first_one
            simultaneous_accounts_with_one_key_are_one
            accounts_are_paged_in_the_order_of_their_ids
            contacts_of_valid_accounts_alone_are_replaced
            agreement_of_valid_accounts_alone_is_noted
            first_version_of_the_terms_stays_the_first
            deactivated_account_stays_deactivated
            changed_key_takes_the_place_of_the_old_one_and_its_request_is_kept
            key_that_an_account_has_is_not_taken
            key_is_changed_from_the_one_that_was_checked_and_of_a_valid_account_alone
            key_change_and_given_up_authorization_are_dated_behind_all_that_was_written_before
            simultaneous_key_changes_are_one
            first_end_of_an_authorization_stands
            simultaneous_ends_of_an_authorization_are_one
            valid_authorization_is_deactivated_and_no_other
            ended_authorizations_are_answered_and_unknown_ones_left_out
            account_is_authorized_for_the_names_it_holds_and_no_others
            wildcard_authorization_is_for_the_wildcard_alone
            authorization_counts_until_it_expires_or_is_given_up
        );
    };
}
pub(crate) use suite;

pub(crate) async fn account_is_found_by_its_id_and_by_its_key(stores: &Stores) {
    let record = stores.new_account(0);
    let (made, new) = stores.ledger.create_account(record.clone()).await.unwrap();
    assert!(new && made.is_valid());
    let proofs = vec![KeyProof { jws: record.jws, since: record.created }];
    assert_eq!((made.id, &made.contact, &made.proofs), (record.id, &record.contact, &proofs));
    assert_eq!(stores.ledger.account(made.id).await.unwrap().as_ref(), Some(&made));
    assert_eq!(stores.ledger.account_by_key(key(0).thumbprint()).await.unwrap(), Some(made));
    assert_eq!(stores.ledger.account_by_key(key(1).thumbprint()).await.unwrap(), None);
    assert_eq!(stores.ledger.account(AccountId::from_bytes([9; 16])).await.unwrap(), None);
}

pub(crate) async fn second_account_with_one_key_is_the_first_one(stores: &Stores) {
    let first = stores.account(0).await;
    let mut again = stores.new_account(0);
    again.contact.clear();
    assert_eq!(stores.ledger.create_account(again.clone()).await.unwrap(), (first, false));
    assert_eq!(stores.ledger.account(again.id).await.unwrap(), None);
}

pub(crate) async fn simultaneous_accounts_with_one_key_are_one(stores: &Stores) {
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let (ledger, record) = (Arc::clone(&stores.ledger), stores.new_account(0));
            tokio::spawn(async move { ledger.create_account(record).await.unwrap() })
        })
        .collect();
    let mut made = Vec::new();
    for call in calls {
        made.push(call.await.unwrap());
    }
    assert_eq!(made.iter().filter(|(_, new)| *new).count(), 1);
    assert!(made.iter().all(|(account, _)| *account == made[0].0));
    assert_eq!(stores.ledger.counts().await.unwrap().accounts, 1);
}

pub(crate) async fn accounts_are_paged_in_the_order_of_their_ids(stores: &Stores) {
    assert_eq!(stores.ledger.accounts(None, 10).await.unwrap(), []);
    let mut accounts = vec![stores.account(0).await, stores.account(1).await];
    accounts.sort_by_key(|account| account.id);
    assert_eq!(stores.ledger.accounts(None, 10).await.unwrap(), accounts);
    assert_eq!(stores.ledger.accounts(None, 1).await.unwrap(), accounts[..1]);
    assert_eq!(stores.ledger.accounts(Some(accounts[0].id), 1).await.unwrap(), accounts[1..]);
    assert_eq!(stores.ledger.accounts(Some(accounts[1].id), 1).await.unwrap(), []);
}

pub(crate) async fn contacts_of_valid_accounts_alone_are_replaced(stores: &Stores) {
    let account = stores.account(0).await;
    let contact = vec!["mailto:other@example.com".to_owned()];
    let updated = stores.ledger.update_contact(account.id, contact.clone()).await.unwrap().unwrap();
    assert_eq!(updated.contact, contact);
    assert_eq!(stores.ledger.account(account.id).await.unwrap(), Some(updated));
    stores.ledger.deactivate_account(account.id).await.unwrap();
    assert_eq!(stores.ledger.update_contact(account.id, Vec::new()).await.unwrap(), None);
    assert_eq!(stores.ledger.update_contact(AccountId::from_bytes([9; 16]), Vec::new()).await.unwrap(), None);
    assert_eq!(stores.ledger.account(account.id).await.unwrap().unwrap().contact, contact);
}

pub(crate) async fn agreement_of_valid_accounts_alone_is_noted(stores: &Stores) {
    let record = NewAccountRecord { terms_of_service_agreed: false, ..stores.new_account(0) };
    let (account, _) = stores.ledger.create_account(record).await.unwrap();
    assert_eq!((account.terms_of_service_agreed, &account.terms_version), (false, &None));
    for version in [Some("1"), Some("2"), None] {
        let version = version.map(str::to_owned);
        let agreed = stores.ledger.agree_to_terms(account.id, version.clone()).await.unwrap().unwrap();
        assert_eq!((agreed.terms_of_service_agreed, &agreed.terms_version), (true, &version));
        assert_eq!(stores.ledger.account(account.id).await.unwrap(), Some(agreed));
    }
    stores.ledger.deactivate_account(account.id).await.unwrap();
    let version = || Some("3".to_owned());
    assert_eq!(stores.ledger.agree_to_terms(account.id, version()).await.unwrap(), None);
    assert_eq!(stores.ledger.agree_to_terms(AccountId::from_bytes([9; 16]), version()).await.unwrap(), None);
    assert_eq!(stores.ledger.account(account.id).await.unwrap().unwrap().terms_version, None);
    let record = NewAccountRecord { terms_version: version(), ..stores.new_account(1) };
    let (account, _) = stores.ledger.create_account(record).await.unwrap();
    assert_eq!(account.terms_version, version());
    assert_eq!(stores.ledger.account(account.id).await.unwrap(), Some(account));
}

pub(crate) async fn first_version_of_the_terms_stays_the_first(stores: &Stores) {
    for version in ["b", "a", "c", "b"] {
        assert_eq!(stores.ledger.first_terms_version(version, stores.now()).await.unwrap(), "b");
        stores.clock.pass_seconds(1);
    }
}

pub(crate) async fn deactivated_account_stays_deactivated(stores: &Stores) {
    let account = stores.account(0).await;
    let deactivated = stores.ledger.deactivate_account(account.id).await.unwrap().unwrap();
    assert_eq!(deactivated.status, AccountStatus::Deactivated);
    let (found, new) = stores.ledger.create_account(stores.new_account(0)).await.unwrap();
    assert_eq!((found, new), (deactivated, false));
    assert_eq!(stores.ledger.deactivate_account(AccountId::from_bytes([9; 16])).await.unwrap(), None);
}

pub(crate) fn key_change(account: &Account, to: usize) -> KeyChangeRecord {
    KeyChangeRecord {
        account: account.id,
        from: account.thumbprint(),
        to: key(to),
        jws: vec![b'k', u8::try_from(to).unwrap()],
    }
}

pub(crate) async fn changed_key_takes_the_place_of_the_old_one_and_its_request_is_kept(stores: &Stores) {
    let account = stores.account(0).await;
    stores.clock.pass_seconds(5);
    let change = key_change(&account, 1);
    let changed = stores.ledger.change_key(change.clone()).await.unwrap().unwrap();
    assert_eq!(changed.key, key(1));
    assert_eq!(changed.proofs.len(), 2);
    assert_eq!(changed.proofs[0], account.proofs[0]);
    assert_eq!(changed.proofs[1], KeyProof { jws: change.jws, since: stores.now() });
    let restored = Account { key: account.key.clone(), proofs: account.proofs.clone(), ..changed.clone() };
    assert_eq!(restored, account, "nothing else is changed");
    assert_eq!(stores.ledger.account(account.id).await.unwrap(), Some(changed.clone()));
    assert_eq!(stores.ledger.account_by_key(key(1).thumbprint()).await.unwrap(), Some(changed));
    assert_eq!(stores.ledger.account_by_key(key(0).thumbprint()).await.unwrap(), None, "the old key is nobody's");
    let mut again = stores.new_account(0);
    again.id = AccountId::from_bytes([9; 16]);
    let (other, new) = stores.ledger.create_account(again).await.unwrap();
    assert!(new && other.id != account.id);
}

pub(crate) async fn key_that_an_account_has_is_not_taken(stores: &Stores) {
    let (account, other) = (stores.account(0).await, stores.account(1).await);
    let refused = stores.ledger.change_key(key_change(&account, 1)).await.unwrap();
    assert_eq!(refused, Err(KeyNotChanged::Taken(other.id)));
    assert_eq!(stores.ledger.account(account.id).await.unwrap(), Some(account));
    assert_eq!(stores.ledger.account(other.id).await.unwrap(), Some(other));
}

pub(crate) async fn key_is_changed_from_the_one_that_was_checked_and_of_a_valid_account_alone(stores: &Stores) {
    let account = stores.account(0).await;
    let stale = KeyChangeRecord { from: key(1).thumbprint(), ..key_change(&account, 1) };
    assert_eq!(stores.ledger.change_key(stale).await.unwrap(), Err(KeyNotChanged::Changed));
    let unknown = KeyChangeRecord { account: AccountId::from_bytes([9; 16]), ..key_change(&account, 1) };
    assert_eq!(stores.ledger.change_key(unknown).await.unwrap(), Err(KeyNotChanged::NotValid));
    assert_eq!(stores.ledger.account(account.id).await.unwrap().as_ref(), Some(&account));
    stores.ledger.deactivate_account(account.id).await.unwrap();
    let refused = stores.ledger.change_key(key_change(&account, 1)).await.unwrap();
    assert_eq!(refused, Err(KeyNotChanged::NotValid));
    assert_eq!(stores.ledger.account(account.id).await.unwrap().unwrap().key, account.key);
}

pub(crate) async fn key_change_and_given_up_authorization_are_dated_behind_all_that_was_written_before(
    stores: &Stores,
) {
    let account = stores.account(0).await;
    let wanted = stores.wanted_of(&account).await;
    stores.begin(&wanted).await.unwrap();
    let begun = stores.now();
    stores.clock.set_back(Duration::from_secs(12));
    let changed = stores.ledger.change_key(key_change(&account, 1)).await.unwrap().unwrap();
    assert_eq!(changed.proofs[1].since, begun);
    let id = wanted.order.authorizations[0].id;
    let given_up = stores.ledger.deactivate_authorization(id, stores.now()).await.unwrap().unwrap();
    assert_eq!(given_up.ended, begun);
}

pub(crate) async fn simultaneous_key_changes_are_one(stores: &Stores) {
    let account = stores.account(0).await;
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let (ledger, change) = (Arc::clone(&stores.ledger), key_change(&account, 1));
            tokio::spawn(async move { ledger.change_key(change).await.unwrap() })
        })
        .collect();
    let mut done = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => done += 1,
            Err(refused) => assert_eq!(refused, KeyNotChanged::Changed),
        }
    }
    assert_eq!(done, 1);
    assert_eq!(stores.ledger.account(account.id).await.unwrap().unwrap().proofs.len(), 2);
}

pub(crate) async fn first_end_of_an_authorization_stands(stores: &Stores) {
    let order = pending_order(stores).await;
    let valid = ended(&order, 0, stores.valid(), stores.now());
    let invalid = ended(&order, 0, AuthorizationEnd::Invalid, stores.in_seconds(1));
    assert_eq!(stores.ledger.authorize(valid.clone()).await.unwrap(), valid);
    assert_eq!(stores.ledger.authorize(invalid).await.unwrap(), valid);
    assert_eq!(stores.ledger.authorizations(&[valid.id]).await.unwrap(), [valid]);
}

pub(crate) async fn simultaneous_ends_of_an_authorization_are_one(stores: &Stores) {
    let order = pending_order(stores).await;
    let calls: Vec<_> = (0..16)
        .map(|number| {
            let end = if number % 2 == 0 { stores.valid() } else { AuthorizationEnd::Invalid };
            let (ledger, end) = (Arc::clone(&stores.ledger), ended(&order, 0, end, stores.in_seconds(number)));
            tokio::spawn(async move { ledger.authorize(end).await.unwrap() })
        })
        .collect();
    let standing = stores.ledger.authorizations(&order.authorization_ids()).await.unwrap();
    for call in calls {
        let answered = call.await.unwrap();
        assert!(standing.first().is_none_or(|standing| *standing == answered));
        assert_eq!(stores.ledger.authorizations(&[answered.id]).await.unwrap(), [answered]);
    }
}

pub(crate) async fn valid_authorization_is_deactivated_and_no_other(stores: &Stores) {
    let order = pending_order(stores).await;
    let (valid, invalid) = (order.authorizations[0].id, order.authorizations[1].id);
    stores.ledger.authorize(ended(&order, 0, stores.valid(), stores.now())).await.unwrap();
    stores.ledger.authorize(ended(&order, 1, AuthorizationEnd::Invalid, stores.now())).await.unwrap();
    for (id, end) in [(valid, AuthorizationEnd::Deactivated), (invalid, AuthorizationEnd::Invalid)] {
        let stands = stores.ledger.deactivate_authorization(id, stores.in_seconds(5)).await.unwrap().unwrap();
        assert_eq!(stands.end, end);
        assert_eq!(stores.ledger.authorizations(&[id]).await.unwrap(), [stands]);
    }
    let unknown = AuthorizationId { order: order.id, number: 7 };
    assert_eq!(stores.ledger.deactivate_authorization(unknown, stores.now()).await.unwrap(), None);
}

pub(crate) async fn ended_authorizations_are_answered_and_unknown_ones_left_out(stores: &Stores) {
    let order = pending_order(stores).await;
    stores.ledger.authorize(ended(&order, 1, stores.valid(), stores.now())).await.unwrap();
    let found = stores.ledger.authorizations(&order.authorization_ids()).await.unwrap();
    assert_eq!(found.iter().map(|one| one.id).collect::<Vec<_>>(), [order.authorizations[1].id]);
    assert_eq!(stores.ledger.authorizations(&[]).await.unwrap(), []);
}

pub(crate) async fn account_is_authorized_for_the_names_it_holds_and_no_others(stores: &Stores) {
    let (account, other) = (stores.account(0).await, stores.account(1).await);
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    stores.order_in_issue(&account, &[dns("one.example.com"), Identifier::Ip(address)]).await;
    stores.order_in_issue(&account, &[dns("two.example.com")]).await;
    let mut held = names(&["one.example.com", "two.example.com"]);
    held.insert(GeneralName::Ip(address));
    let authorized_for =
        |account, names| async move { stores.ledger.authorized_for(account, &names, stores.now()).await.unwrap() };
    assert!(authorized_for(account.id, held.clone()).await);
    assert!(!authorized_for(other.id, held.clone()).await);
    held.insert(GeneralName::Dns("three.example.com".to_owned()));
    assert!(!authorized_for(account.id, held).await);
}

pub(crate) async fn wildcard_authorization_is_for_the_wildcard_alone(stores: &Stores) {
    let account = stores.account(0).await;
    stores.order_in_issue(&account, &[wildcard("example.com")]).await;
    stores.order_in_issue(&account, &[dns("example.net")]).await;
    for (name, authorized) in [
        ("*.example.com", true),
        ("example.com", false),
        ("one.example.com", false),
        ("*.one.example.com", false),
        ("example.net", true),
        ("*.example.net", false),
    ] {
        let found = stores.ledger.authorized_for(account.id, &names(&[name]), stores.now()).await.unwrap();
        assert_eq!(found, authorized, "{name}");
    }
}

pub(crate) async fn authorization_counts_until_it_expires_or_is_given_up(stores: &Stores) {
    let account = stores.account(0).await;
    let order = stores.order_in_issue(&account, &[dns("one.example.com")]).await;
    let AuthorizationEnd::Valid { expires } = stores.valid() else { unreachable!("it is made valid") };
    let name = names(&["one.example.com"]);
    assert!(stores.ledger.authorized_for(account.id, &name, expires).await.unwrap());
    let later = expires.plus(std::time::Duration::from_millis(1));
    assert!(!stores.ledger.authorized_for(account.id, &name, later).await.unwrap());
    stores.ledger.deactivate_authorization(order.authorizations[0].id, stores.now()).await.unwrap();
    assert!(!stores.ledger.authorized_for(account.id, &name, stores.now()).await.unwrap());
}

/// An order with two pending authorizations of an account of the ledger.
async fn pending_order(stores: &Stores) -> ca::order::Order {
    let account = stores.account(0).await;
    let mut order = stores.order_for(account.id, &[dns("one.example.com"), dns("two.example.com")]);
    order.authorizations = stores.authorizations_of(&order);
    order
}
