//! Keys for external account binding, and accounts that are bound with them.

use std::sync::Arc;

use acme::MacKey;
use ca::ExternalKeyId;
use ca::external_account::ExternalAccountKey;
use ca::ports::NotBound;

use super::Stores;
use super::fixtures::key;

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, external_accounts:
            kept_key_is_found_and_a_second_one_of_its_name_is_not_kept
            keys_are_paged_in_the_order_in_which_they_were_made
            first_revocation_of_a_key_stands
            use_of_a_key_counts_with_the_account_it_makes
            account_that_exists_uses_nothing_up
            key_that_is_spent_binds_nobody
            simultaneous_uses_of_a_key_for_one_account_make_one
        );
    };
}
pub(crate) use suite;

fn kid(text: &str) -> ExternalKeyId {
    text.parse().unwrap()
}

fn given(stores: &Stores, name: &str, uses: Option<u32>) -> ExternalAccountKey {
    ExternalAccountKey {
        kid: kid(name),
        mac_key: MacKey::new(name.as_bytes().to_vec()).unwrap(),
        created: stores.now(),
        expires: Some(stores.in_seconds(60)),
        uses_left: uses,
        accounts: 0,
        names: vec!["*.example.com".parse().unwrap()],
        label: "of a test".to_owned(),
        revoked: None,
    }
}

async fn found(stores: &Stores, name: &str) -> ExternalAccountKey {
    stores.ledger.external_account_key(&kid(name)).await.unwrap().unwrap()
}

pub(crate) async fn kept_key_is_found_and_a_second_one_of_its_name_is_not_kept(stores: &Stores) {
    let first = given(stores, "first", Some(1));
    assert!(stores.ledger.add_external_account_key(first.clone()).await.unwrap());
    let second = ExternalAccountKey { uses_left: None, ..first.clone() };
    assert!(!stores.ledger.add_external_account_key(second).await.unwrap());
    assert_eq!(found(stores, "first").await, first);
    assert_eq!(stores.ledger.external_account_key(&kid("none")).await.unwrap(), None);
}

pub(crate) async fn keys_are_paged_in_the_order_in_which_they_were_made(stores: &Stores) {
    let mut all = Vec::new();
    for name in ["c", "a", "b"] {
        let key = ExternalAccountKey { expires: None, names: Vec::new(), ..given(stores, name, None) };
        stores.ledger.add_external_account_key(key.clone()).await.unwrap();
        all.push(key);
    }
    let page = |after: Option<&str>, limit| stores.ledger.external_account_keys(after.map(kid), limit);
    assert_eq!(page(None, 10).await.unwrap(), all);
    assert_eq!(page(None, 2).await.unwrap(), all[..2]);
    assert_eq!(page(Some("c"), 1).await.unwrap(), all[1..2]);
    assert_eq!(page(Some("b"), 1).await.unwrap(), []);
    assert_eq!(page(Some("none"), 1).await.unwrap(), []);
}

pub(crate) async fn first_revocation_of_a_key_stands(stores: &Stores) {
    stores.ledger.add_external_account_key(given(stores, "first", None)).await.unwrap();
    let at = stores.in_seconds(5);
    for later in [at, stores.in_seconds(9)] {
        let revoked = stores.ledger.revoke_external_account_key(&kid("first"), later).await.unwrap().unwrap();
        assert_eq!(revoked.revoked, Some(at));
        assert_eq!(found(stores, "first").await, revoked);
    }
    assert_eq!(stores.ledger.revoke_external_account_key(&kid("none"), at).await.unwrap(), None);
}

pub(crate) async fn use_of_a_key_counts_with_the_account_it_makes(stores: &Stores) {
    stores.ledger.add_external_account_key(given(stores, "few", Some(2))).await.unwrap();
    for (number, left) in [(0, 1), (1, 0)] {
        let bound = stores.ledger.create_bound_account(stores.new_account(number), &kid("few")).await.unwrap();
        let (account, new) = bound.unwrap();
        assert!(new);
        assert_eq!(account.external_key, Some(kid("few")));
        assert_eq!(stores.ledger.account(account.id).await.unwrap(), Some(account));
        let key = found(stores, "few").await;
        assert_eq!((key.uses_left, key.accounts), (Some(left), 2 - u64::from(left)));
    }
    assert_eq!(stores.ledger.counts().await.unwrap().accounts, 2);
}

pub(crate) async fn account_that_exists_uses_nothing_up(stores: &Stores) {
    let account = stores.account(0).await;
    assert_eq!(account.external_key, None);
    stores.ledger.add_external_account_key(given(stores, "one", Some(1))).await.unwrap();
    for name in ["one", "none"] {
        let again = stores.ledger.create_bound_account(stores.new_account(0), &kid(name)).await.unwrap();
        assert_eq!(again, Ok((account.clone(), false)));
    }
    assert_eq!(found(stores, "one").await.uses_left, Some(1));
}

pub(crate) async fn key_that_is_spent_binds_nobody(stores: &Stores) {
    for (name, uses) in [("used-up", Some(1)), ("revoked", None), ("expired", None)] {
        stores.ledger.add_external_account_key(given(stores, name, uses)).await.unwrap();
    }
    stores.ledger.create_bound_account(stores.new_account(1), &kid("used-up")).await.unwrap().unwrap();
    stores.ledger.revoke_external_account_key(&kid("revoked"), stores.now()).await.unwrap();
    let refused = |name: &'static str| async move {
        stores.ledger.create_bound_account(stores.new_account(0), &kid(name)).await.unwrap()
    };
    assert_eq!(refused("used-up").await, Err(NotBound::UsedUp));
    assert_eq!(refused("revoked").await, Err(NotBound::Revoked));
    assert_eq!(refused("none").await, Err(NotBound::Unknown));
    stores.clock.pass_seconds(61);
    assert_eq!(refused("expired").await, Err(NotBound::Expired));
    assert_eq!(stores.ledger.account_by_key(key(0).thumbprint()).await.unwrap(), None);
    assert_eq!(found(stores, "expired").await.accounts, 0);
}

pub(crate) async fn simultaneous_uses_of_a_key_for_one_account_make_one(stores: &Stores) {
    stores.ledger.add_external_account_key(given(stores, "one", Some(1))).await.unwrap();
    let calls: Vec<_> = (0..16)
        .map(|number| {
            let (ledger, record) = (Arc::clone(&stores.ledger), stores.new_account(number % 2));
            tokio::spawn(async move { ledger.create_bound_account(record, &kid("one")).await.unwrap() })
        })
        .collect();
    let mut made = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok((_, new)) => made += u32::from(new),
            Err(refused) => assert_eq!(refused, NotBound::UsedUp),
        }
    }
    assert_eq!((made, stores.ledger.counts().await.unwrap().accounts), (1, 1));
    assert_eq!(found(stores, "one").await.accounts, 1);
}
