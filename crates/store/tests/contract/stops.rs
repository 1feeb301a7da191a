//! Stops of issuance.

use acme::{DnsName, Identifier};
use ca::AccountId;
use ca::ports::{AuditMark, BeginRefused, RecoveryRecord, Restore, RestoredLine, StopRecord, StopScope};
use pki::Sha256;

use super::Stores;
use super::fixtures::{HOLDER, Wanted, dns, wildcard};

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, stops:
            stop_stands_until_it_ends
            number_has_one_stop
            begin_refuses_what_a_stop_is_for_and_nothing_else
            signer_reads_the_stops_of_its_order
            stops_are_restored
            stop_whose_number_was_taken_is_restored_with_another_one_and_its_end_finds_it
            standing_stops_are_those_of_the_last_write
            stop_of_a_name_is_found_among_many_others
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
    assert_eq!(ledger.stops_of(1, None).await.unwrap(), std::slice::from_ref(&ended));
    assert_eq!(ledger.stops_of(1, Some(ended.since)).await.unwrap().last().unwrap().since, ended.since);
    assert_eq!(ledger.stops_of(3, Some(stores.now())).await.unwrap(), []);
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
    begin_recovery(stores).await;
    let lost = stop(stores, 2, StopScope::Profile("classic".to_owned()));
    let resume = RestoredLine::Resume { number: 1, since: None, at: stores.now() };
    let lines = vec![RestoredLine::Stop(known.clone()), RestoredLine::Stop(lost.clone()), resume];
    assert_eq!(restored(stores, lines.clone()).await, 2);
    let ended = StopRecord { ended: Some(stores.now()), ..known };
    assert_eq!(stores.ledger.stops(false, 9).await.unwrap(), [lost, ended]);
    assert_eq!(restored(stores, lines).await, 0);
}

async fn begin_recovery(stores: &Stores) {
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
}

/// How many were new.
async fn restored(stores: &Stores, lines: Vec<RestoredLine>) -> u64 {
    let mark = AuditMark { sequence: lines.len() as u64, chain: Sha256::of(b"chain") };
    let restore = Restore { from: HOLDER, lines, mark, at: stores.now() };
    let counts = stores.ledger.restore(restore).await.unwrap().unwrap();
    assert_eq!(counts.stops, counts.total());
    counts.stops
}

pub(crate) async fn stop_whose_number_was_taken_is_restored_with_another_one_and_its_end_finds_it(stores: &Stores) {
    let known = stopped(stores, 1, StopScope::All).await;
    begin_recovery(stores).await;
    stores.clock.pass_seconds(1);
    let lost = stop(stores, 1, StopScope::Profile("classic".to_owned()));
    assert_eq!(restored(stores, vec![RestoredLine::Stop(lost.clone())]).await, 1);
    let lost = StopRecord { number: 2, ..lost };
    assert_eq!(stores.ledger.stops(true, 9).await.unwrap(), [lost.clone(), known.clone()]);
    // Done again, or logged once more with the number that it got: it is the same stop.
    let again = [StopRecord { number: 1, ..lost.clone() }, lost.clone()].map(RestoredLine::Stop).to_vec();
    assert_eq!(restored(stores, again).await, 0);
    assert!(stores.ledger.stop(StopRecord { number: 5, ..lost.clone() }).await.unwrap());
    let resume = RestoredLine::Resume { number: 1, since: Some(lost.since), at: stores.now() };
    assert_eq!(restored(stores, vec![resume]).await, 1);
    assert_eq!(stores.ledger.stops(true, 9).await.unwrap(), [known]);
}

pub(crate) async fn standing_stops_are_those_of_the_last_write(stores: &Stores) {
    let standing = async || stores.ledger.standing_stops().await.unwrap().to_vec();
    assert_eq!(standing().await, []);
    let first = stopped(stores, 1, StopScope::All).await;
    assert_eq!(standing().await, std::slice::from_ref(&first));
    let second = stopped(stores, 2, StopScope::Profile("classic".to_owned())).await;
    assert_eq!(standing().await, [second.clone(), first]);
    stores.ledger.resume(1, stores.now()).await.unwrap();
    assert_eq!(standing().await, std::slice::from_ref(&second));
    begin_recovery(stores).await;
    stores.clock.pass_seconds(1);
    let third = stop(stores, 3, StopScope::All);
    restored(stores, vec![RestoredLine::Stop(third.clone())]).await;
    assert_eq!(standing().await, [third, second]);
}

pub(crate) async fn stop_of_a_name_is_found_among_many_others(stores: &Stores) {
    let account = stores.account(1).await;
    let wanted = async |name: Identifier| {
        let order = stores.order_in_issue(&account, &[name]).await;
        Wanted { order, ..stores.wanted().await }
    };
    let (plain, star) = (wanted(dns("a.example.com")).await, wanted(wildcard("example.com")).await);
    let refused = async |wanted: &Wanted| match stores.begin(wanted).await {
        Err(BeginRefused::Stopped(stops)) => stops.iter().map(|stop| stop.number).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let name = |name: &str| StopScope::Name(DnsName::parse(name).unwrap());
    for (number, scope) in (1..).zip([
        name("b.a.example.com"),
        name("xample.com"),
        name("a.example.com.example"),
        name("a.example.com"),
        name("example.com"),
        name("b.example.com"),
        name("c.b.example.com"),
    ]) {
        stopped(stores, number, scope).await;
    }
    assert_eq!(refused(&plain).await, [5, 4]);
    assert_eq!(refused(&star).await, [6, 5, 4]);
}
