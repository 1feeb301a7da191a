//! Healthy stores yield nothing; each planted inconsistency is found by name.

mod crls;
mod mending;
mod operators;
mod planted;
pub(crate) mod scene;
mod unmendable;

use std::collections::BTreeSet;

use ca::order::Stage;

use super::{EndedOrders, Invariant, Records, Report, Severity};
use scene::Scene;

fn nothing_in(report: &Report) {
    assert_eq!(report.findings(), []);
    assert_eq!((report.number(Severity::Fault), report.number(Severity::Warning)), (0, 0));
}

#[tokio::test]
async fn healthy_store_yields_nothing() {
    let (scene, _) = Scene::with_two_certificates().await;
    let report = scene.check().await;
    nothing_in(&report);
    let checked = report.checked;
    assert_eq!((checked.serials, checked.certificates, checked.scts), (2, 2, 4));
    assert_eq!((checked.active_orders, checked.ended_orders, checked.crls), (2, 2, 4));
    assert!(checked.audit_lines >= 9, "{checked:?}");
}

#[tokio::test]
async fn healthy_live_store_yields_nothing() {
    let scene = Scene::new();
    let mut running = scene.start().await;
    let _listener = std::os::unix::net::UnixListener::bind(scene.data().join("admin.sock")).unwrap();
    running.issue("a.example.org", None).await;
    running.issue("b.example.org", Some("internal")).await;
    let revoked = running.issue("c.example.org", None).await;
    running.ca.revoke(revoked, pki::Reason::KeyCompromise, "a test".to_owned()).await.unwrap();
    running.pending("d.example.org", None).await;
    running.waiting("e.example.org").await;
    running.finalized("f.example.org", None).await;
    nothing_in(&scene.check().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_that_is_written_to_meanwhile_yields_nothing() {
    let scene = Scene::new();
    let running = scene.start().await;
    let _listener = std::os::unix::net::UnixListener::bind(scene.data().join("admin.sock")).unwrap();
    let writing = tokio::spawn(async move {
        for number in 0..20 {
            let serial = running.issue(&format!("n{number}.example.org"), None).await;
            if number % 3 == 0 {
                running.ca.revoke(serial, pki::Reason::Superseded, "a test".to_owned()).await.unwrap();
            }
        }
        running
    });
    while !writing.is_finished() {
        nothing_in(&scene.check().await);
    }
    let _running = writing.await.unwrap();
    let report = scene.check().await;
    nothing_in(&report);
    assert_eq!(report.checked.certificates, 20);
}

#[tokio::test]
async fn fresh_store_yields_nothing() {
    let scene = Scene::new();
    scene.start().await.stop().await;
    nothing_in(&scene.check().await);
}

#[tokio::test]
async fn abandoned_serials_are_no_finding() {
    let scene = Scene::new();
    let mut running = scene.start().await;
    let serial = running.waiting("a.example.org").await;
    let record = running.ca.ledger.serial(serial).await.unwrap().unwrap();
    let order = running.ca.workbench.read(record.order).await.unwrap().unwrap().order;
    let problem = acme::Problem::new(acme::ProblemType::ServerInternal, "a test");
    let failure = ca::order::Failure { stage: Stage::Issue, problem };
    let now = running.ca.now();
    running.ca.ledger.finish(&order, failure.clone(), now).await.unwrap();
    let outcome = ca::order::Outcome::Invalid(failure);
    running.ca.workbench.settle(order.id, &[], Some((outcome, now))).await.unwrap();
    assert!(running.ca.ledger.serial(serial).await.unwrap().unwrap().is_abandoned());
    running.stop().await;
    nothing_in(&scene.check().await);
}

#[tokio::test]
async fn ended_orders_are_paged_through_once_each_even_if_they_ended_together() {
    let (scene, _) = Scene::with_two_certificates().await;
    let running = scene.start().await;
    for name in ["c.example.org", "d.example.org", "e.example.org"] {
        running.issue(name, Some("internal")).await;
    }
    running.stop().await;
    scene.plant("UPDATE orders SET ended = (SELECT max(ended) FROM orders) WHERE row <> 1");
    let records = Records::open(&scene.data()).unwrap();
    let (mut orders, mut seen, mut pages) = (EndedOrders::default(), BTreeSet::new(), 0);
    loop {
        let page = orders.next(&*records.ledger, 1).await.unwrap();
        if page.is_empty() {
            break;
        }
        pages += 1;
        assert!(page.iter().all(|order| seen.insert(order.order.id)), "an order was answered twice");
        assert!(pages <= 5);
    }
    assert_eq!(seen.len(), 5);
}

#[test]
fn each_invariant_has_a_name_of_its_own_and_is_listed() {
    let names: BTreeSet<&str> = Invariant::all().map(Invariant::name).collect();
    assert_eq!(names.len(), Invariant::NUMBER);
    assert!(Invariant::all().enumerate().all(|(at, invariant)| invariant as usize == at));
    assert!(names.iter().all(|name| name.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-')));
}
