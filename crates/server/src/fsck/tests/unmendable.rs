//! Inconsistencies that no repair mends: each is found by its rule, a repair leaves it as it is, and says what to do.

use super::scene::Scene;
use crate::fsck::{Invariant, Severity};

/// What was planted is found by this rule; a repair leaves the finding where it is, and the second changes nothing.
pub(super) async fn stays(scene: &Scene, severity: Severity, invariant: Invariant) {
    scene.must_find(severity, invariant).await;
    for _ in 0..2 {
        let report = scene.repair().await.unwrap().report;
        assert!(report.findings().iter().any(|one| one.invariant == invariant), "{:#?}", report.findings());
    }
    assert!(!invariant.remedy().is_empty());
}

async fn stays_in_rows(invariant: Invariant, sql: &str) {
    let (scene, [first, second]) = Scene::with_two_certificates().await;
    scene.plant(&sql.replace("$A", &format!("x'{first}'")).replace("$B", &format!("x'{second}'")));
    stays(&scene, Severity::Fault, invariant).await;
}

async fn stays_in_pending(invariant: Invariant, columns: &str) {
    let scene = Scene::new();
    let running = scene.start().await;
    running.pending("a.example.org", None).await;
    running.stop().await;
    scene.plant(&format!("UPDATE active_orders SET {columns}"));
    stays(&scene, Severity::Fault, invariant).await;
}

#[tokio::test]
async fn serial_of_an_issuance_that_is_gone() {
    stays_in_rows(Invariant::IssuancesNumbered, "UPDATE serials SET number = 2 WHERE serial = $A").await;
}

#[tokio::test]
async fn linting_certificate_that_is_gone() {
    stays_in_rows(Invariant::NothingDangles, "DELETE FROM linting_certificates").await;
}

#[tokio::test]
async fn document_of_an_order_that_is_gone_or_anothers() {
    let of = "WHERE order_row = (SELECT order_row FROM serials WHERE serial = $A)";
    stays_in_rows(Invariant::NothingDangles, &format!("DELETE FROM order_documents {of}")).await;
    let other = "(SELECT document FROM order_documents
        WHERE order_row = (SELECT order_row FROM serials WHERE serial = $B))";
    stays_in_rows(Invariant::RecordsReadable, &format!("UPDATE order_documents SET document = {other} {of}")).await;
}

#[tokio::test]
async fn leaf_of_a_built_in_log_that_is_gone() {
    stays_in_rows(Invariant::NothingDangles, "DELETE FROM ct_leaves WHERE leaf = 0").await;
}

#[tokio::test]
async fn account_bound_with_a_key_that_is_gone() {
    stays_in_rows(Invariant::NothingDangles, "UPDATE accounts SET external_key = 'kid-1' WHERE row = 1").await;
}

#[tokio::test]
async fn certificate_delivered_before_it_was_there() {
    let sql = "UPDATE orders SET delivered = ended - 100000 WHERE serial = $A;
               UPDATE ledger_counts SET delivered = delivered + 1";
    stays_in_rows(Invariant::DeliveryFits, sql).await;
}

#[tokio::test]
async fn revocation_that_the_audit_log_does_not_show() {
    let sql = "UPDATE serials SET status = 'revoked', revoked = 1000, reason = 1, revoked_by = 'a test',
                   revoked_at = 1000 WHERE serial = $A";
    stays_in_rows(Invariant::RevocationLogged, sql).await;
}

#[tokio::test]
async fn crl_number_that_was_never_announced() {
    stays_in_rows(Invariant::CrlNumbersGrow, "UPDATE crl_numbers SET allocated = allocated + 5").await;
}

#[tokio::test]
async fn serial_that_was_good_before_its_issuance_began() {
    stays_in_rows(Invariant::StatusConsistent, "UPDATE serials SET good = begun - 100000 WHERE serial = $A").await;
}

#[tokio::test]
async fn certificate_without_a_caa_check_where_caa_is_enforced() {
    let (mut scene, _) = Scene::with_two_certificates().await;
    scene.enforce_caa();
    assert_eq!(scene.check().await.findings(), []);
    scene.plant("UPDATE authorizations SET document = json_set(document, '$.caa.checked', 1000)");
    stays(&scene, Severity::Warning, Invariant::CaaChecked).await;
}

#[tokio::test]
async fn order_in_issue_that_nobody_has_authorized() {
    let scene = Scene::new();
    let running = scene.start().await;
    running.finalized("a.example.org", None).await;
    running.stop().await;
    scene.plant("UPDATE active_orders SET document = json_set(document, '$.authorizations[0].end', NULL)");
    stays(&scene, Severity::Fault, Invariant::StageFits).await;
}

#[tokio::test]
async fn authorization_that_is_not_that_of_the_orders_name() {
    stays_in_pending(
        Invariant::StageFits,
        "document = json_set(document, '$.authorizations[0].identifier',
             json('{\"type\":\"dns\",\"value\":\"b.example.org\"}'))",
    )
    .await;
}

#[tokio::test]
async fn authorization_that_has_not_ended_in_the_ledger() {
    let valid = r#"json('{"end":"valid","expires":9000000000000}')"#;
    stays_in_pending(
        Invariant::AuthorizationsEnded,
        &format!("document = json_set(document, '$.authorizations[0].end', {valid})"),
    )
    .await;
}

#[tokio::test]
async fn challenge_that_does_not_fit_its_authorization() {
    let valid = r#"json('{"state":"valid","at":1000}')"#;
    for change in [
        &format!("json_set(document, '$.authorizations[0].challenges[0].state', {valid})"),
        "json_set(document, '$.authorizations[0].challenges', json('[]'))",
    ] {
        stays_in_pending(Invariant::ChallengesFit, &format!("document = {change}")).await;
    }
}
