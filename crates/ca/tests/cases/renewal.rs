//! Renewal information (RFC 9773), and how an operator moves windows.

use std::time::Duration;

use acme::{CertificateIdentifier, ProblemType};
use ca::RenewalAnswer;
use ca::order::Stage;
use ca::ports::{RenewalAdvice, RenewalScope, SerialRecord};
use pki::{Reason, Timestamp};

use super::on_all_back_ends;
use super::replaces::identifier;
use crate::world::{Backend, Call, Client, Side, World, pair, refused};

const DAY: u64 = 86_400;

on_all_back_ends! {
    window_lies_within_the_life_of_the_certificate
    window_of_a_revoked_certificate_is_over
    what_was_not_issued_has_no_window
    newest_rule_for_a_certificate_counts_until_it_is_taken_back
    rule_is_for_what_it_names_and_for_what_there_was
    revocation_counts_before_a_rule
    document_is_answered_as_it_was_given
    rule_that_makes_no_sense_is_refused
}

async fn window(world: &World, record: &SerialRecord) -> (Timestamp, Timestamp) {
    match world.ca.renewal_info(&identifier(record)).await.unwrap() {
        RenewalAnswer::Info(info) => {
            let time = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
            (time(&info.suggested_window.start), time(&info.suggested_window.end))
        }
        RenewalAnswer::Document(json) => panic!("a document: {json}"),
    }
}

fn advice(world: &World, days: u64) -> RenewalAdvice {
    let start = world.ca.now().whole_second().plus(Duration::from_secs(days * DAY));
    let explanation_url = Some("https://ca.example.com/why".to_owned());
    RenewalAdvice::Window { start, end: start.plus(Duration::from_secs(DAY)), explanation_url }
}

async fn shift(world: &World, scope: RenewalScope, days: u64) -> (u64, (Timestamp, Timestamp), u64) {
    world.clock.pass_seconds(1);
    let advice = advice(world, days);
    let RenewalAdvice::Window { start, end, .. } = advice else { panic!("it is a window") };
    let moved = world.ca.move_renewals(scope, advice).await.unwrap();
    (moved.rule.number, (start, end), moved.certificates)
}

async fn window_lies_within_the_life_of_the_certificate(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    let (start, end) = window(&world, &record).await;
    let days = |time: Timestamp| time.since(world.ca.now()).as_secs() / DAY;
    assert!(start < end && end < record.not_after);
    assert_eq!((days(start), days(end)), (58, 61));
    world.clock.pass_seconds(100 * DAY);
    assert_eq!(window(&world, &record).await, (start, end), "it is told after the end too");
}

async fn window_of_a_revoked_certificate_is_over(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    world.ca.revoke(record.serial, Reason::Superseded, "operator".to_owned()).await.unwrap();
    let (start, end) = window(&world, &record).await;
    assert!(start < end && end <= world.ca.now());
}

async fn what_was_not_issued_has_no_window(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    let key = identifier(&record).authority_key_identifier().to_vec();
    let order = client.processing(&world, &["two.example.com"]).await;
    let mut held = world.points.hold(Side::Before, Call::SignPrecertificate);
    let worker = world.start_work(Stage::Issue);
    held.reached().await;
    let waiting = world.serials(order.id).await[0].serial;
    for (key, serial) in [(vec![1; 20], record.serial), (key.clone(), waiting)] {
        let unknown = CertificateIdentifier::new(key, serial.as_bytes()).unwrap();
        let problem = refused(world.ca.renewal_info(&unknown).await);
        assert_eq!((problem.kind, problem.status), (ProblemType::Malformed, 404));
    }
    let negative = CertificateIdentifier::new(key, [0xff]).unwrap();
    assert_eq!(refused(world.ca.renewal_info(&negative).await).status, 400);
    held.release();
    worker.await.unwrap();
}

async fn newest_rule_for_a_certificate_counts_until_it_is_taken_back(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    let own = window(&world, &record).await;
    let (all, first, number) = shift(&world, RenewalScope::default(), 3).await;
    assert_eq!((window(&world, &record).await, number), (first, 1));
    let scope = RenewalScope { serial: Some(record.serial), ..RenewalScope::default() };
    let (one, second, _) = shift(&world, scope, 5).await;
    assert_eq!(window(&world, &record).await, second);
    assert!(world.ca.withdraw_renewal_rule(one).await.unwrap());
    assert!(!world.ca.withdraw_renewal_rule(one).await.unwrap());
    assert_eq!(window(&world, &record).await, first);
    let world = world.restart();
    assert_eq!(window(&world, &record).await, first);
    assert!(world.ca.withdraw_renewal_rule(all).await.unwrap());
    assert_eq!(window(&world, &record).await, own);
}

async fn rule_is_for_what_it_names_and_for_what_there_was(backend: Backend) {
    let world = World::on(backend).await;
    let (client, other) = (Client::new(&world).await, Client::new(&world).await);
    let one = client.issued(&world, &["one.example.com"], &pair()).await;
    let two = other.issued(&world, &["two.example.com", "*.two.example.com"], &pair()).await;
    let nothing = RenewalScope::default();
    let begun = world.ca.now();
    for scope in [
        RenewalScope { account: Some(one.account), ..nothing.clone() },
        RenewalScope { name: Some("one.example.com".to_owned()), ..nothing.clone() },
        RenewalScope { spki_hash: Some(one.spki_hash), profile: Some("classic".to_owned()), ..nothing.clone() },
        RenewalScope { serial: Some(one.serial), issued_from: Some(begun), ..nothing.clone() },
    ] {
        let own = window(&world, &two).await;
        let (number, moved, certificates) = shift(&world, scope.clone(), 7).await;
        assert_eq!((window(&world, &one).await, certificates), (moved, 1), "{scope:?}");
        assert_eq!(window(&world, &two).await, own, "{scope:?}");
        world.ca.withdraw_renewal_rule(number).await.unwrap();
    }
    for scope in [
        RenewalScope { issued_until: Some(begun), ..nothing.clone() },
        RenewalScope { profile: Some("internal".to_owned()), ..nothing.clone() },
    ] {
        let own = window(&world, &one).await;
        assert_eq!(shift(&world, scope.clone(), 7).await.2, 0, "{scope:?}");
        assert_eq!(window(&world, &one).await, own, "{scope:?}");
    }
    let (_, moved, certificates) = shift(&world, nothing, 9).await;
    assert_eq!((window(&world, &one).await, window(&world, &two).await, certificates), (moved, moved, 2));
    let next = client.issued(&world, &["one.example.com"], &pair()).await;
    assert_ne!(window(&world, &next).await, moved, "what is issued later is not asked to be renewed");
}

async fn revocation_counts_before_a_rule(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    world.ca.revoke(record.serial, Reason::Superseded, "operator".to_owned()).await.unwrap();
    let (_, _, certificates) = shift(&world, RenewalScope::default(), 7).await;
    assert_eq!(certificates, 0);
    assert!(window(&world, &record).await.1 <= world.ca.now());
    let RenewalAnswer::Info(info) = world.ca.renewal_info(&identifier(&record)).await.unwrap() else { panic!("info") };
    assert_eq!(info.explanation_url.as_deref(), Some("https://ca.example.com/why"));
}

async fn document_is_answered_as_it_was_given(backend: Backend) {
    let world = World::on(backend).await;
    let client = Client::new(&world).await;
    let record = client.issued(&world, &["one.example.com"], &pair()).await;
    let own = window(&world, &record).await;
    for json in ["{\"suggestedWindow\":{}}", "[]"] {
        world.ca.override_renewal_info(record.serial, Some(json.to_owned())).await.unwrap();
        let answer = world.ca.renewal_info(&identifier(&record)).await.unwrap();
        assert_eq!(answer, RenewalAnswer::Document(json.to_owned()));
    }
    world.ca.override_renewal_info(record.serial, None).await.unwrap();
    assert_eq!(window(&world, &record).await, own);
}

async fn rule_that_makes_no_sense_is_refused(backend: Backend) {
    let world = World::on(backend).await;
    let now = world.ca.now();
    let backwards = RenewalAdvice::Window { start: now, end: now, explanation_url: None };
    let problem = refused(world.ca.move_renewals(RenewalScope::default(), backwards).await);
    assert_eq!(problem.kind, ProblemType::Malformed);
    for _ in 0..100 {
        shift(&world, RenewalScope::default(), 1).await;
    }
    let problem = refused(world.ca.move_renewals(RenewalScope::default(), advice(&world, 1)).await);
    assert!(problem.detail.contains("100 rules"), "{}", problem.detail);
}
