//! What operators decided, and blocked keys: where ledger and audit log differ, it is found, and mended where the log
//! says what would be right.

use ca::ports::{StopRecord, StopScope};
use pki::Reason;

use super::mending::mends_fault;
use super::scene::Scene;
use super::unmendable::stays;
use crate::fsck::{Invariant, Records, Severity};

/// A stop of all, which stands, one that has ended, and a blocked key, as operators made them.
async fn with_decisions() -> (Scene, StopRecord) {
    let (scene, _) = Scene::with_two_certificates().await;
    let running = scene.start().await;
    let profile = StopScope::Profile("classic".to_owned());
    let ended = running.ca.stop_issuance(profile, "a reason", "a test").await.unwrap();
    running.ca.resume_issuance(&ca::Resumed::Number(ended.number), "a test").await.unwrap();
    let stands = running.ca.stop_issuance(StopScope::All, "a reason", "a test").await.unwrap();
    running.ca.block_key(pki::Sha256::of(b"a key"), "a test").await.unwrap();
    running.stop().await;
    assert_eq!(scene.check().await.findings(), []);
    (scene, stands)
}

#[tokio::test]
async fn stop_that_is_not_as_the_audit_log_has_it() {
    let (scene, stands) = with_decisions().await;
    for change in ["reason = 'another'", "scope = '{\"profile\":\"classic\"}'", "since = since - 86400000"] {
        scene.plant(&format!("UPDATE stops SET {change} WHERE number = 2"));
        mends_fault(&scene, Invariant::LogApplied).await;
    }
    scene.plant("UPDATE stops SET ended = since + 1 WHERE number = 2");
    mends_fault(&scene, Invariant::OperatorsLogged).await;
    let records = Records::open(&scene.data()).unwrap();
    assert_eq!(records.ledger.stops(true, 9).await.unwrap(), [stands]);
}

#[tokio::test]
async fn account_that_has_a_blocked_key() {
    let (scene, _) = Scene::with_two_certificates().await;
    scene.plant("INSERT INTO blocked_keys SELECT spki_hash, 1000, 'a test', 1000 FROM accounts");
    let report = scene.check().await;
    let found = report.findings().iter().filter(|one| one.invariant == Invariant::BlockedKeysHaveNoAccount).count();
    assert!(found > 0);
    scene.repair().await.unwrap();
    let report = scene.check().await;
    assert!(report.findings().iter().all(|one| one.invariant != Invariant::BlockedKeysHaveNoAccount));
}

#[tokio::test]
async fn revocation_whose_compromise_the_ledger_lost() {
    let (scene, [serial, _]) = Scene::with_two_certificates().await;
    let running = scene.start().await;
    running.ca.revoke(serial, Reason::KeyCompromise, "a test".to_owned()).await.unwrap();
    running.stop().await;
    scene.plant("UPDATE serials SET reason = 4 WHERE status = 'revoked'");
    mends_fault(&scene, Invariant::LogApplied).await;
    let records = Records::open(&scene.data()).unwrap();
    let revocation = records.ledger.serial(serial).await.unwrap().unwrap().revocation.unwrap();
    assert_eq!((revocation.reason, revocation.by.as_str()), (Reason::KeyCompromise, "a test"));
}

#[tokio::test]
async fn stop_and_block_that_the_audit_log_does_not_show() {
    let (scene, _) = Scene::with_two_certificates().await;
    let running = scene.start().await;
    let began = running.ca.now();
    running.stop().await;
    let at = began.millis() + 1;
    scene.plant(&format!("INSERT INTO stops VALUES (7, '\"all\"', 'a test', 'a test', {at}, NULL)"));
    stays(&scene, Severity::Fault, Invariant::OperatorsLogged).await;
    scene.plant(&format!("DELETE FROM stops; INSERT INTO blocked_keys VALUES (zeroblob(32), {at}, 'a test', {at})"));
    stays(&scene, Severity::Fault, Invariant::OperatorsLogged).await;
}
