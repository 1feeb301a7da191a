//! What no CA does, done by hand.

use std::time::Duration;

use acme::{Problem, ProblemType};
use ca::order::{Failure, Stage};
use ca::ports::{AuditEvent, LeaseTerms};
use pki::{Certificate, Reason, Serial, Sha256, Timestamp};

use super::scene::{Running, Scene, edit, flip_last_of};
use crate::fsck::{Invariant, Severity};

/// Appends a line to the audit log as if its ledger write had been done too.
async fn append(running: &Running, event: AuditEvent) {
    let line = running.ca.audit.append(event).await.unwrap();
    running.ca.audit.applied(line);
}

/// The precertificate's line of a serial.
async fn precertificate(running: &Running, wanted: Serial) -> AuditEvent {
    let found = running
        .lines()
        .await
        .into_iter()
        .map(|line| line.event)
        .find(|event| matches!(event, AuditEvent::Precertificate { serial, .. } if *serial == wanted));
    found.unwrap()
}

/// Plants lines in the audit log of a store with two certificates, and looks for what they break.
async fn found_after(
    invariant: Invariant,
    event: impl AsyncFnOnce(&Running, [Serial; 2]) -> AuditEvent,
) -> crate::fsck::Report {
    let (scene, serials) = Scene::with_two_certificates().await;
    let running = scene.start().await;
    let event = event(&running, serials).await;
    append(&running, event).await;
    running.stop().await;
    scene.must_find(Severity::Fault, invariant).await
}

/// Plants a change in the rows of a store with two certificates. `A` and `B` in the text stand for their serials.
pub(super) async fn found_in_rows(invariant: Invariant, sql: &str) {
    let (scene, [first, second]) = Scene::with_two_certificates().await;
    scene.plant(&sql.replace("$A", &format!("x'{first}'")).replace("$B", &format!("x'{second}'")));
    scene.must_find(Severity::Fault, invariant).await;
}

/// Plants a change in the octets of a stored certificate.
async fn found_in_certificate(invariant: Invariant, change: impl FnOnce(&mut Vec<u8>)) {
    let (scene, [first, _]) = Scene::with_two_certificates().await;
    scene.plant_octets("certificates", first, change);
    scene.must_find(Severity::Fault, invariant).await;
}

#[tokio::test]
async fn changed_line_breaks_audit_chain() {
    let (scene, [first, _]) = Scene::with_two_certificates().await;
    edit(&scene.audit_file(), |text| *text = text.replacen(&first.to_string(), &"4c".repeat(17), 1));
    scene.must_find(Severity::Fault, Invariant::AuditChain).await;
}

#[tokio::test]
async fn log_that_was_cut_short_breaks_audit_chain() {
    let (scene, _) = Scene::with_two_certificates().await;
    edit(&scene.audit_file(), |text| {
        let last = text.trim_end().rfind('\n').unwrap();
        text.truncate(last + 1);
    });
    scene.must_find(Severity::Fault, Invariant::AuditChain).await;
}

#[tokio::test]
async fn precertificate_of_an_unknown_serial_is_found() {
    found_after(Invariant::PrecertificateRecorded, async |running, [first, _]| {
        let AuditEvent::Precertificate { order, der, .. } = precertificate(running, first).await else {
            unreachable!()
        };
        AuditEvent::Precertificate { order, serial: Serial::from_random([7; 16]), der }
    })
    .await;
}

#[tokio::test]
async fn precertificate_with_other_bytes_than_were_announced_is_found() {
    found_after(Invariant::PrecertificateRecorded, async |running, [first, second]| {
        let AuditEvent::Precertificate { order, der, .. } = precertificate(running, first).await else {
            unreachable!()
        };
        AuditEvent::Precertificate { order, serial: second, der }
    })
    .await;
}

#[tokio::test]
async fn second_precertificate_of_a_serial_is_found() {
    found_after(Invariant::OneSignaturePerSerial, async |running, [first, _]| precertificate(running, first).await)
        .await;
}

#[tokio::test]
async fn second_certificate_of_a_serial_is_found() {
    found_after(Invariant::OneSignaturePerSerial, async |running, [first, _]| {
        let record = running.ca.ledger.serial(first).await.unwrap().unwrap();
        AuditEvent::Certificate { order: record.order, serial: first, der: record.certificate.unwrap() }
    })
    .await;
}

#[tokio::test]
async fn certificate_without_earlier_precertificate_is_found() {
    let scene = Scene::new();
    let running = scene.start().await;
    let serial = running.issue("a.example.org", Some("internal")).await;
    running.stop().await;
    scene.plant(&format!("UPDATE serials SET ct = 1 WHERE serial = x'{serial}'"));
    scene.must_find(Severity::Fault, Invariant::CertificateCorresponds).await;
}

#[tokio::test]
async fn certificate_that_does_not_correspond_is_found() {
    let (scene, [first, second]) = Scene::with_two_certificates().await;
    let running = scene.start().await;
    let other = running.ca.ledger.serial(second).await.unwrap().unwrap().certificate.unwrap();
    running.stop().await;
    scene.plant_octets("certificates", first, |der| *der = other);
    scene.must_find(Severity::Fault, Invariant::CertificateCorresponds).await;
}

#[tokio::test]
async fn good_serial_without_a_line_is_found() {
    let scene = Scene::new();
    let mut running = scene.start().await;
    let serial = running.waiting("a.example.org").await;
    running.stop().await;
    scene.plant(&format!("UPDATE serials SET status = 'good', good = begun WHERE serial = x'{serial}'"));
    scene.must_find(Severity::Fault, Invariant::SignatureLogged).await;
}

#[tokio::test]
async fn certificate_of_the_log_that_is_not_stored_is_found() {
    let sql = "UPDATE serials SET stored = NULL WHERE serial = $A;
               DELETE FROM certificates WHERE serial = (SELECT row FROM serials WHERE serial = $A)";
    found_in_rows(Invariant::CertificateStored, sql).await;
}

#[tokio::test]
async fn certificate_with_other_bytes_than_in_the_log_is_found() {
    found_in_certificate(Invariant::CertificateStored, |der| *der.last_mut().unwrap() ^= 1).await;
}

#[tokio::test]
async fn revocation_of_the_log_that_the_ledger_lost_is_found() {
    found_after(Invariant::LogApplied, async |_, [serial, _]| AuditEvent::Revocation {
        serial,
        reason: Reason::KeyCompromise,
        revoked: Timestamp::from_seconds(1_000_000_000),
        by: "a test".to_owned(),
    })
    .await;
}

#[tokio::test]
async fn key_block_of_the_log_that_the_ledger_lost_is_found() {
    found_after(Invariant::LogApplied, async |_, _| AuditEvent::KeyBlock {
        spki_hash: Sha256::of(b"a key"),
        by: "a test".to_owned(),
    })
    .await;
}

#[tokio::test]
async fn line_behind_the_mark_is_a_warning_since_the_next_start_applies_it() {
    let (scene, [serial, _]) = Scene::with_two_certificates().await;
    let running = scene.start().await;
    let (reason, revoked, by) = (Reason::Superseded, running.ca.now(), "a test".to_owned());
    running.ca.audit.append(AuditEvent::Revocation { serial, reason, revoked, by }).await.unwrap();
    // Stopped as by a power cut: nobody moved the mark.
    drop(running);
    let report = scene.must_find(Severity::Warning, Invariant::LogApplied).await;
    assert_eq!(report.number(Severity::Fault), 0, "{:#?}", report.findings());
    let again = scene.start().await;
    again.ca.renew_crls().await.unwrap();
    again.stop().await;
    assert_eq!(scene.check().await.findings(), []);
}

#[tokio::test]
async fn good_serial_without_its_time_is_found() {
    found_in_rows(Invariant::StatusConsistent, "UPDATE serials SET good = NULL WHERE serial = $A").await;
}

#[tokio::test]
async fn revoked_serial_without_revocation_is_found() {
    let sql = "UPDATE serials SET status = 'revoked', revoked_at = 1000 WHERE serial = $A";
    found_in_rows(Invariant::StatusConsistent, sql).await;
}

#[tokio::test]
async fn record_that_makes_no_sense_is_found_and_the_rest_is_looked_at() {
    let (scene, [first, second]) = Scene::with_two_certificates().await;
    scene.plant(&format!(
        "UPDATE order_documents SET document = '{{}}'
             WHERE order_row = (SELECT order_row FROM serials WHERE serial = x'{first}');
         UPDATE active_orders SET place = NULL WHERE document LIKE '%{second}%'"
    ));
    scene.must_find(Severity::Fault, Invariant::RecordsReadable).await;
    scene.must_find(Severity::Fault, Invariant::OnePlace).await;
}

#[tokio::test]
async fn packed_document_that_is_damaged_or_anothers_is_found() {
    let of = |serial: &str| format!("order_row = (SELECT order_row FROM serials WHERE serial = {serial})");
    let other = format!("(SELECT packed FROM order_documents WHERE {})", of("$B"));
    for packed in ["substr(packed, 1, length(packed) - 1)", "x''", "NULL", &other] {
        let sql = format!("UPDATE order_documents SET packed = {packed} WHERE {}", of("$A"));
        found_in_rows(Invariant::RecordsReadable, &sql).await;
    }
    found_in_rows(Invariant::RecordsReadable, "UPDATE authorizations SET packed = x'01'").await;
}

#[tokio::test]
async fn columns_that_differ_from_the_certificate_are_found() {
    for column in ["spki_hash = zeroblob(32)", "not_after = not_after + 1000", "crl_generation = 4"] {
        let sql = format!("UPDATE serials SET {column} WHERE serial = $A");
        found_in_rows(Invariant::CertificateMatchesRecord, &sql).await;
    }
}

#[tokio::test]
async fn certificate_with_a_wrong_signature_is_found() {
    found_in_certificate(Invariant::CertificateChain, |der| *der.last_mut().unwrap() ^= 1).await;
}

#[tokio::test]
async fn issuer_that_the_root_did_not_sign_is_found() {
    let (scene, _) = Scene::with_two_certificates().await;
    let other = Scene::new();
    other.start().await.stop().await;
    std::fs::copy(other.data().join("root.pem"), scene.data().join("root.pem")).unwrap();
    scene.must_find(Severity::Fault, Invariant::CertificateChain).await;
}

#[tokio::test]
async fn changed_sct_is_found() {
    found_in_certificate(Invariant::SctsVerify, |der| {
        let sct = Certificate::from_der(der).unwrap().scts().unwrap().remove(0);
        flip_last_of(der, &sct.signature.signature);
    })
    .await;
}

#[tokio::test]
async fn certificate_for_another_request_than_the_clients_is_found() {
    for member in ["payload", "protected", "signature"] {
        let request = format!("'$.progress.finalize.{member}'");
        let document = |serial: &str| format!("order_row = (SELECT order_row FROM serials WHERE serial = {serial})");
        let sql = format!(
            "UPDATE order_documents SET document = json_set(document, {request},
                 (SELECT json_extract(document, {request}) FROM order_documents WHERE {}))
             WHERE {}",
            document("$B"),
            document("$A")
        );
        found_in_rows(Invariant::CertificateAskedFor, &sql).await;
    }
}

#[tokio::test]
async fn request_of_a_replaced_key_is_found_unless_its_time_is_of_a_clock_that_was_ahead() {
    for was_accepted in [false, true] {
        let scene = Scene::new();
        let running = scene.start().await;
        running.issue("a.example.org", None).await;
        if was_accepted {
            let newest = running.ca.now().plus(Duration::from_secs(50 * 86_400));
            append(&running, AuditEvent::ClockAccepted { newest, by: "a test".to_owned() }).await;
        }
        running.change_key().await;
        running.stop().await;
        assert_eq!(scene.check().await.findings(), []);
        // As if all that had been written with a clock that was 40 days ahead.
        let ahead = 40 * 86_400_000_u64;
        let received = "'$.progress.finalize.received'";
        scene.plant(&format!(
            "UPDATE serials SET begun = begun + {ahead}, good = good + {ahead};
             UPDATE authorizations SET expires = expires + {ahead};
             UPDATE order_documents
                 SET document = json_set(document, {received}, json_extract(document, {received}) + {ahead})"
        ));
        let found = scene.check().await.findings().iter().any(|one| one.severity == Severity::Fault);
        if was_accepted {
            assert!(!found, "{:#?}", scene.check().await.findings());
        } else {
            scene.must_find(Severity::Fault, Invariant::CertificateAskedFor).await;
            scene.must_find(Severity::Fault, Invariant::StatusConsistent).await;
        }
    }
}

#[tokio::test]
async fn key_of_an_account_without_proof_is_found() {
    for change in [
        "DELETE FROM account_proofs",
        "UPDATE account_proofs SET jws = x'7b7d'",
        "INSERT INTO account_proofs SELECT account, 1, jws, 1 FROM account_proofs",
    ] {
        found_in_rows(Invariant::AccountKeyProved, change).await;
    }
}

#[tokio::test]
async fn name_without_a_valid_authorization_is_found() {
    for change in [
        "outcome = 'invalid', expires = NULL",
        "expires = 1000",
        "outcome = 'deactivated', expires = NULL, ended = 1000",
    ] {
        let sql = format!("UPDATE authorizations SET {change} WHERE name = 'a.example.org'");
        found_in_rows(Invariant::NamesAuthorized, &sql).await;
    }
}

#[tokio::test]
async fn clock_set_back_while_a_name_was_validated_is_no_finding() {
    let (scene, _) = Scene::with_two_certificates().await;
    scene.plant(
        "UPDATE authorizations SET document = json_set(document, '$.validation.ended', ended + 159000)
        WHERE name = 'a.example.org'",
    );
    assert_eq!(scene.check().await.findings(), []);
}

#[tokio::test]
async fn authorization_given_up_after_the_issuance_is_no_finding() {
    let (scene, _) = Scene::with_two_certificates().await;
    let running = scene.start().await;
    let now = running.ca.now();
    let order = running.ca.ledger.ended_orders(None, 1).await.unwrap().remove(0).order;
    running.ca.ledger.deactivate_authorization(order.authorizations[0].id, now).await.unwrap();
    running.stop().await;
    assert_eq!(scene.check().await.findings(), []);
}

#[tokio::test]
async fn certificate_of_a_blocked_key_that_is_not_revoked_is_found() {
    let block = "INSERT INTO blocked_keys SELECT spki_hash, 1000, 'a test', SETTLED FROM serials WHERE serial = $A";
    found_in_rows(Invariant::BlockedKeysRevoked, &block.replace("SETTLED", "2000")).await;
    let (scene, [first, _]) = Scene::with_two_certificates().await;
    scene.plant(&block.replace("SETTLED", "NULL").replace("$A", &format!("x'{first}'")));
    scene.must_find(Severity::Warning, Invariant::BlockedKeysRevoked).await;
}

#[tokio::test]
async fn stored_certificate_that_is_neither_its_orders_nor_revoked_is_found() {
    let sql = "UPDATE orders SET serial = $B WHERE serial = $A";
    found_in_rows(Invariant::OneCertificatePerOrder, sql).await;
}

#[tokio::test]
async fn active_order_that_stands_nowhere_is_found() {
    found_in_rows(Invariant::OnePlace, "UPDATE active_orders SET place = NULL WHERE row = 1").await;
}

#[tokio::test]
async fn place_that_does_not_fit_the_stage_is_found() {
    found_in_rows(Invariant::PlaceFits, "UPDATE active_orders SET place = 'client' WHERE row = 1").await;
}

#[tokio::test]
async fn answered_challenge_that_nobody_will_test_is_found() {
    let scene = Scene::new();
    let running = scene.start().await;
    let order = running.pending("a.example.org", None).await;
    running.stop().await;
    assert_eq!(scene.check().await.findings(), []);
    let state = r#"'$.authorizations[0].challenges[0].state'"#;
    scene.plant(&format!(
        "UPDATE active_orders SET document = json_set(document, {state},
             json('{{\"state\":\"answered\",\"at\":1000,\"tries\":0,\"due\":1000,\"problem\":null}}'))
             WHERE id = x'{}'",
        order.id
    ));
    scene.must_find(Severity::Fault, Invariant::PlaceFits).await;
}

#[tokio::test]
async fn other_end_on_the_workbench_than_in_the_ledger_is_found() {
    let (scene, [_, second]) = Scene::with_two_certificates().await;
    let other = Serial::from_random([7; 16]);
    scene.plant(&format!(
        "UPDATE active_orders SET document = replace(document, '{second}', '{other}') WHERE document LIKE '%{second}%'"
    ));
    scene.must_find(Severity::Fault, Invariant::LedgerDecides).await;
}

#[tokio::test]
async fn order_that_has_ended_in_the_ledger_is_behind_it_and_only_a_warning() {
    let scene = Scene::new();
    let running = scene.start().await;
    let order = running.finalized("a.example.org", None).await;
    let problem = Problem::new(ProblemType::ServerInternal, "a test");
    let failure = Failure { stage: Stage::Issue, problem };
    running.ca.ledger.finish(&order, failure, running.ca.now()).await.unwrap();
    running.stop().await;
    let report = scene.must_find(Severity::Warning, Invariant::BehindTheLedger).await;
    assert_eq!(report.number(Severity::Fault), 0, "{:#?}", report.findings());
}

/// A store with an order past its deadline, under a lease that ran out.
async fn late() -> Scene {
    let scene = Scene::new();
    let running = scene.start().await;
    running.finalized("a.example.org", None).await;
    let terms = LeaseTerms { holder: running.ca.instance, length: std::time::Duration::from_secs(60) };
    running.ca.workbench.claim(Stage::Issue, terms).await.unwrap().unwrap();
    // A write that is waited for: what was committed before it is on disk too.
    running.stop().await;
    scene.plant(
        "UPDATE active_orders SET turn = 1000, deadline = 1000,
        document = json_set(document, '$.progress.deadline', 1000)",
    );
    scene
}

#[tokio::test]
async fn deadline_and_lease_that_nobody_ended_are_warnings_while_no_server_runs() {
    let scene = late().await;
    scene.must_find(Severity::Warning, Invariant::DeadlineKept).await;
    let report = scene.must_find(Severity::Warning, Invariant::LeaseEnds).await;
    assert_eq!(report.number(Severity::Fault), 0, "{:#?}", report.findings());
}

#[tokio::test]
async fn deadline_and_lease_that_nobody_ended_are_found_while_a_server_runs() {
    let scene = late().await;
    let _listener = std::os::unix::net::UnixListener::bind(scene.data().join("admin.sock")).unwrap();
    scene.must_find(Severity::Fault, Invariant::DeadlineKept).await;
    scene.must_find(Severity::Fault, Invariant::LeaseEnds).await;
}

#[tokio::test]
async fn crl_number_that_goes_back_is_found() {
    found_after(Invariant::CrlNumbersGrow, async |running, _| AuditEvent::CrlNumber {
        issuer: running.ca.issuers[0].id,
        shard: 0,
        number: 0,
    })
    .await;
}

#[tokio::test]
async fn crl_signed_twice_with_one_number_is_found() {
    found_after(Invariant::CrlNumbersGrow, async |running, _| AuditEvent::Crl {
        issuer: running.ca.issuers[0].id,
        shard: 0,
        number: 1,
        sha256: Sha256::of(b"another list"),
    })
    .await;
}
