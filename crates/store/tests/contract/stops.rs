//! Stops of issuance.

use acme::DnsName;
use ca::AccountId;
use ca::ports::{AuditMark, BeginRefused, RecoveryRecord, Restore, RestoredLine, StopRecord, StopScope};
use pki::Sha256;

use super::Stores;
use super::fixtures::HOLDER;

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, stops:
            stop_stands_until_it_ends
            number_has_one_stop
            begin_refuses_what_a_stop_is_for_and_nothing_else
            signer_reads_the_stops_of_its_order
            stops_are_restored
        );
    };
}
pub(crate) use suite;

fn stop(stores: &Stores, number: u64, scope: StopScope) -> StopRecord {
    let (reason, by) = ("a reason".to_owned(), "a test".to_owned());
    StopRecord { number, scope, reason, by, since: stores.now(), ended: None }
}

async fn stopped(stores: &Stores, number: u64, scope: StopScope) -> StopRecord {
    let stop = stop(stores, number, scope);
    assert!(stores.ledger.stop(stop.clone()).await.unwrap());
    stop
}

pub(crate) async fn stop_stands_until_it_ends(stores: &Stores) {
    let ledger = &stores.ledger;
    assert_eq!(ledger.stops(false, 9).await.unwrap(), []);
    assert_eq!(ledger.resume(1, stores.now()).await.unwrap(), None);
    let first = stopped(stores, 1, StopScope::Profile("classic".to_owned())).await;
    let second = stopped(stores, 2, StopScope::Name(DnsName::parse("example.com").unwrap())).await;
    assert_eq!(ledger.stops(true, 9).await.unwrap(), [second.clone(), first.clone()]);
    assert_eq!(ledger.stops(true, 1).await.unwrap(), std::slice::from_ref(&second));
    stores.clock.pass_seconds(10);
    let ended = StopRecord { ended: Some(stores.now()), ..first };
    assert_eq!(ledger.resume(1, stores.now()).await.unwrap(), Some(ended.clone()));
    stores.clock.pass_seconds(10);
    assert_eq!(ledger.resume(1, stores.now()).await.unwrap(), Some(ended.clone()), "the first time counts");
    assert_eq!(ledger.stops(true, 9).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(ledger.stops(false, 9).await.unwrap(), [second, ended.clone()]);
    assert_eq!(ledger.stop_of_number(1).await.unwrap(), Some(ended));
    assert_eq!(ledger.stop_of_number(3).await.unwrap(), None);
}

pub(crate) async fn number_has_one_stop(stores: &Stores) {
    let first = stopped(stores, 1, StopScope::All).await;
    assert!(stores.ledger.stop(first.clone()).await.unwrap(), "twice is once");
    assert!(!stores.ledger.stop(stop(stores, 1, StopScope::Profile("classic".to_owned()))).await.unwrap());
    assert_eq!(stores.ledger.stops(false, 9).await.unwrap(), std::slice::from_ref(&first));
    let ended = stores.ledger.resume(1, stores.now()).await.unwrap().unwrap();
    // Brought in again from the log: it is over.
    assert!(stores.ledger.stop(first).await.unwrap());
    assert_eq!(stores.ledger.stops(false, 9).await.unwrap(), [ended]);
}

pub(crate) async fn begin_refuses_what_a_stop_is_for_and_nothing_else(stores: &Stores) {
    let wanted = stores.wanted().await;
    let name = wanted.order.identifiers[0].name().unwrap().clone();
    let others = [
        StopScope::Profile("another".to_owned()),
        StopScope::Account(AccountId::from_bytes([0xee; 16])),
        StopScope::Name(DnsName::parse("another.example").unwrap()),
    ];
    for (number, scope) in (1..).zip(others) {
        stopped(stores, number, scope).await;
    }
    let of_it = [
        StopScope::All,
        StopScope::Profile(wanted.order.profile.clone()),
        StopScope::Account(wanted.order.account),
        StopScope::Name(name.clone()),
        StopScope::Name(name.parent().unwrap()),
    ];
    for (number, scope) in (4..).zip(of_it) {
        let stop = stopped(stores, number, scope).await;
        assert_eq!(stores.begin(&wanted).await, Err(BeginRefused::Stopped(vec![stop])));
        stores.ledger.resume(number, stores.now()).await.unwrap();
    }
    assert_eq!(stores.ledger.counts().await.unwrap().wait, 0);
    assert_eq!(stores.begin(&wanted).await.unwrap().0, 1);
}

pub(crate) async fn signer_reads_the_stops_of_its_order(stores: &Stores) {
    let wanted = stores.begun().await;
    let read = async || stores.ledger.signing_record(wanted.serial).await.unwrap().unwrap().stops;
    stopped(stores, 1, StopScope::Profile("another".to_owned())).await;
    assert_eq!(read().await, []);
    let stop = stopped(stores, 2, StopScope::All).await;
    assert_eq!(read().await, [stop]);
    stores.ledger.resume(2, stores.now()).await.unwrap();
    assert_eq!(read().await, []);
}

pub(crate) async fn stops_are_restored(stores: &Stores) {
    let known = stopped(stores, 1, StopScope::All).await;
    let recovery = RecoveryRecord {
        number: 0,
        from: HOLDER,
        begun: stores.now(),
        first: 0,
        since: None,
        until: stores.now(),
        retired: Vec::new(),
        restored: ca::ports::LineCounts::default(),
        ended: None,
    };
    stores.ledger.begin_recovery(recovery).await.unwrap();
    let lost = stop(stores, 2, StopScope::Profile("classic".to_owned()));
    let resume = RestoredLine::Resume { number: 1, at: stores.now() };
    let lines = vec![RestoredLine::Stop(known.clone()), RestoredLine::Stop(lost.clone()), resume];
    let mark = AuditMark { sequence: 3, chain: Sha256::of(b"chain") };
    let restore = Restore { from: HOLDER, lines, mark, at: stores.now() };
    let counts = stores.ledger.restore(restore.clone()).await.unwrap().unwrap();
    assert_eq!((counts.stops, counts.total()), (2, 2));
    let ended = StopRecord { ended: Some(stores.now()), ..known };
    assert_eq!(stores.ledger.stops(false, 9).await.unwrap(), [lost, ended]);
    assert_eq!(stores.ledger.restore(restore).await.unwrap().unwrap().total(), 0);
}
