//! The newest record: what a clock that is wrong is known by.

use ca::authorization::AuthorizationEnd;
use ca::ports::{BeginRefused, CrlShard, KeyBlock, Newest, Recorded, Revocation};
use pki::{Reason, Sha256};

use super::Stores;
use super::fixtures::{dns, ended, failure, issuer};

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, newest:
            empty_ledger_has_no_newest_record
            each_record_is_the_newest_when_it_is_written
            older_time_is_not_the_newest
            accepted_time_is_the_newest_until_the_next_record
            revocation_is_written_no_earlier_than_what_was_written_before_and_no_later_than_an_accepted_time
            begin_refuses_an_authorization_of_the_future
        );
    };
}
pub(crate) use suite;

pub(crate) async fn empty_ledger_has_no_newest_record(stores: &Stores) {
    assert!(stores.ledger.newest().await.unwrap().at.millis() == 0);
}

/// What was just written is the newest, and has this time.
async fn is_newest(stores: &Stores, record: Recorded) {
    assert_eq!(stores.ledger.newest().await.unwrap(), Newest { at: stores.now(), record });
    stores.clock.pass_seconds(1);
}

pub(crate) async fn each_record_is_the_newest_when_it_is_written(stores: &Stores) {
    let account = stores.account(0).await;
    is_newest(stores, Recorded::Account(account.id)).await;
    let wanted = stores.wanted_of(&account).await;
    is_newest(stores, Recorded::Authorization(wanted.order.authorizations[0].id)).await;
    stores.begin(&wanted).await.unwrap();
    is_newest(stores, Recorded::Issuance(wanted.serial)).await;
    stores.ledger.mark_good(wanted.serial, stores.now()).await.unwrap();
    is_newest(stores, Recorded::Issuance(wanted.serial)).await;
    stores.ledger.store_final(wanted.serial, b"certificate", stores.now()).await.unwrap();
    is_newest(stores, Recorded::Issuance(wanted.serial)).await;
    let (serial, by) = (wanted.serial, "the operator".to_owned());
    let revocation = Revocation { serial, reason: Reason::Superseded, revoked: stores.now(), by };
    stores.ledger.revoke(revocation).await.unwrap();
    is_newest(stores, Recorded::Revocation(wanted.serial)).await;
    let dying = stores.order_in_issue(&account, &[dns("two.example.com")]).await;
    stores.ledger.finish(&dying, failure("a test"), stores.now()).await.unwrap();
    is_newest(stores, Recorded::Order(dying.id)).await;
    let spki_hash = Sha256::of(b"a key");
    stores.ledger.block(KeyBlock { spki_hash, at: stores.now(), by: "the operator".to_owned() }).await.unwrap();
    is_newest(stores, Recorded::KeyBlock(spki_hash)).await;
    stores.ledger.allocate_crl_number(issuer(), 2, 7, stores.now()).await.unwrap();
    is_newest(stores, Recorded::Crl { shard: 2, number: 7 }).await;
    stores.ledger.store_crl(stores.crl(2, 7)).await.unwrap();
    is_newest(stores, Recorded::Crl { shard: 2, number: 7 }).await;
}

pub(crate) async fn older_time_is_not_the_newest(stores: &Stores) {
    let account = stores.account(0).await;
    let before = stores.ledger.newest().await.unwrap();
    let order = stores.order_in_issue(&account, &[dns("one.example.com")]).await;
    let mut late = stores.order_for(account.id, &[dns("two.example.com")]);
    late.authorizations = stores.authorizations_of(&late);
    let hour_ago = before.at.minus(std::time::Duration::from_secs(3600));
    stores.ledger.authorize(ended(&late, 0, AuthorizationEnd::Invalid, hour_ago)).await.unwrap();
    let newest = stores.ledger.newest().await.unwrap();
    assert_eq!(newest.record, Recorded::Authorization(order.authorizations[0].id));
    assert_eq!(newest.at, before.at);
}

pub(crate) async fn accepted_time_is_the_newest_until_the_next_record(stores: &Stores) {
    stores.clock.pass_seconds(86_400);
    let account = stores.account(0).await;
    stores.clock.set_back(std::time::Duration::from_secs(86_400));
    stores.ledger.accept_time(stores.now()).await.unwrap();
    is_newest(stores, Recorded::Accepted).await;
    let order = stores.order_in_issue(&account, &[dns("one.example.com")]).await;
    is_newest(stores, Recorded::Authorization(order.authorizations[0].id)).await;
}

pub(crate) async fn revocation_is_written_no_earlier_than_what_was_written_before_and_no_later_than_an_accepted_time(
    stores: &Stores,
) {
    let hour = std::time::Duration::from_secs(3600);
    let account = stores.account(0).await;
    let wanted = stores.wanted_of(&account).await;
    stores.begin(&wanted).await.unwrap();
    let record = stores.ledger.serial(wanted.serial).await.unwrap().unwrap();
    let last_revocation =
        async || stores.ledger.crl_state(record.issuer, CrlShard::of_first(0, 1)).await.unwrap().last_revocation;
    let before = stores.ledger.newest().await.unwrap().at;
    stores.clock.set_back(hour);
    let block = KeyBlock { spki_hash: record.spki_hash, at: stores.now(), by: "the operator".to_owned() };
    assert_eq!(stores.ledger.block(block).await.unwrap().in_issuance, [wanted.serial]);
    assert_eq!(last_revocation().await, Some(before));
    stores.ledger.accept_time(stores.now()).await.unwrap();
    assert_eq!(last_revocation().await, Some(stores.now()));
    let revoked = stores.ledger.serial(wanted.serial).await.unwrap().unwrap().revocation.unwrap().revoked;
    assert_eq!(revoked, stores.now(), "when it was revoked is what was said");
}

pub(crate) async fn begin_refuses_an_authorization_of_the_future(stores: &Stores) {
    let account = stores.account(0).await;
    let wanted = stores.wanted_of(&account).await;
    stores.clock.set_back(std::time::Duration::from_secs(61));
    let refused = stores.begin(&wanted).await.unwrap_err();
    assert!(matches!(refused, BeginRefused::AuthorizationNotGood(_)), "{refused:?}");
    stores.clock.pass_seconds(1);
    stores.begin(&wanted).await.unwrap();
}
