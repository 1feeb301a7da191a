//! Inconsistencies that can be mended without a signature: each is planted in the file, found by its rule, repaired,
//! and found no more; a second repair has nothing to do.

use acme::{Problem, ProblemType};
use ca::external_account::ExternalAccountKey;
use ca::order::{Failure, Order, Outcome, Stage};
use ca::ports::{
    AuditEvent, CrlShard, LeaseTerms, LedgerEnd, SerialFilter, SerialStatus, Standing, StopRecord, StopScope,
};
use pki::{Certificate, Reason, Serial, Timestamp};

use super::scene::Scene;
use crate::fsck::{Invariant, Records, RepairError, Repaired, Severity};

/// What was planted is found by this rule, and mended.
pub(super) async fn mends(scene: &Scene, severity: Severity, invariant: Invariant) -> Repaired {
    scene.must_find(severity, invariant).await;
    let repaired = scene.repair().await.unwrap();
    assert_eq!(repaired.report.findings(), [], "after {:#?}", repaired.done);
    assert!(!repaired.done.is_empty());
    let again = scene.repair().await.unwrap();
    assert_eq!((again.done.as_slice(), again.report.findings()), (&[][..], &[][..]));
    repaired
}

pub(super) async fn mends_fault(scene: &Scene, invariant: Invariant) -> Repaired {
    mends(scene, Severity::Fault, invariant).await
}

/// Plants a change in the rows of a store with two certificates, where `$A` is the serial of the first.
async fn mends_rows(invariant: Invariant, sql: &str) -> (Scene, Serial) {
    let (scene, [first, _]) = Scene::with_two_certificates().await;
    scene.plant(&sql.replace("$A", &format!("x'{first}'")));
    mends_fault(&scene, invariant).await;
    (scene, first)
}

/// A stopped store with an order that waits for its client.
async fn pending() -> (Scene, Order) {
    let scene = Scene::new();
    let running = scene.start().await;
    let order = running.pending("a.example.org", None).await;
    running.stop().await;
    (scene, order)
}

/// A stopped store with an order in the queue of `Issue`.
async fn finalized() -> (Scene, Order) {
    let scene = Scene::new();
    let running = scene.start().await;
    let order = running.finalized("a.example.org", None).await;
    running.stop().await;
    (scene, order)
}

/// Plants a change in the only active order.
fn change(scene: &Scene, columns: &str) {
    scene.plant(&format!("UPDATE active_orders SET {columns}"));
}

async fn standing(scene: &Scene, order: &Order) -> (Stage, Standing) {
    let records = Records::open(&scene.data()).unwrap();
    let active = records.workbench.read(order.id).await.unwrap().unwrap();
    (active.order.stage(), active.standing)
}

#[tokio::test]
async fn session_that_waits_for_challenges_and_has_some_already() {
    let (scene, order) = pending().await;
    change(
        &scene,
        r#"stage = 'makechallenge', place = 'queue', turn = 1,
           document = json_set(document, '$.progress', json('{"stage":"makechallenge"}'))"#,
    );
    mends_fault(&scene, Invariant::StageFits).await;
    assert_eq!(standing(&scene, &order).await, (Stage::TestChallenge, Standing::Client));
    let records = Records::open(&scene.data()).unwrap();
    let mended = records.workbench.read(order.id).await.unwrap().unwrap().order;
    assert_eq!(mended.authorizations, order.authorizations, "what its client was shown stays");
}

#[tokio::test]
async fn session_that_waits_for_tests_and_has_no_challenges() {
    let (scene, order) = pending().await;
    change(&scene, "document = json_set(document, '$.authorizations', json('[]'))");
    mends_fault(&scene, Invariant::StageFits).await;
    assert_eq!(standing(&scene, &order).await, (Stage::MakeChallenge, Standing::Queue));
}

#[tokio::test]
async fn session_pending_issue_that_has_a_certificate() {
    let (scene, [first, _]) = Scene::with_two_certificates().await;
    scene.plant(&format!(
        "UPDATE active_orders SET stage = 'issue', place = 'queue', turn = 1, outcome = NULL, delivered = NULL,
             document = d.document, deadline = d.document ->> '$.progress.deadline'
         FROM orders o JOIN order_documents d ON d.order_row = o.row
         WHERE o.id = active_orders.id AND o.serial = x'{first}'"
    ));
    mends(&scene, Severity::Warning, Invariant::BehindTheLedger).await;
    let records = Records::open(&scene.data()).unwrap();
    let order = records.ledger.serial(first).await.unwrap().unwrap().order;
    let active = records.workbench.read(order).await.unwrap().unwrap();
    assert_eq!((active.order.outcome(), active.standing), (Some(&Outcome::Valid(first)), Standing::PendingDone));
}

#[tokio::test]
async fn open_order_whose_certificate_is_stored_and_good() {
    let (scene, serial) = mends_rows(
        Invariant::OneCertificatePerOrder,
        "UPDATE orders SET outcome = NULL, ended = NULL, serial = NULL WHERE serial = $A",
    )
    .await;
    let records = Records::open(&scene.data()).unwrap();
    let record = records.ledger.serial(serial).await.unwrap().unwrap();
    assert!(record.attached && record.status == SerialStatus::Good);
}

#[tokio::test]
async fn other_end_on_the_workbench_than_in_the_ledger() {
    let (scene, [first, second]) = Scene::with_two_certificates().await;
    scene.plant(&format!("UPDATE active_orders SET document = replace(document, '{first}', '{second}')"));
    mends_fault(&scene, Invariant::LedgerDecides).await;
}

#[tokio::test]
async fn order_that_died_in_issue_and_has_not_ended_in_the_ledger() {
    let scene = Scene::new();
    let running = scene.start().await;
    let order = running.finalized("a.example.org", None).await;
    let failure = Failure { stage: Stage::Issue, problem: Problem::new(ProblemType::Caa, "a test") };
    let end = (Outcome::Invalid(failure), running.ca.now());
    running.ca.workbench.settle(order.id, &[], Some(end)).await.unwrap();
    running.stop().await;
    mends_fault(&scene, Invariant::LedgerDecides).await;
    let records = Records::open(&scene.data()).unwrap();
    let known = records.ledger.order(order.id).await.unwrap().unwrap();
    assert!(matches!(known.end, Some((LedgerEnd::Invalid(_), _))));
}

#[tokio::test]
async fn entry_in_no_queue() {
    let (scene, order) = finalized().await;
    change(&scene, "place = NULL");
    mends_fault(&scene, Invariant::OnePlace).await;
    assert_eq!(standing(&scene, &order).await, (Stage::Issue, Standing::Queue));
}

#[tokio::test]
async fn entry_in_two_places() {
    let (scene, order) = finalized().await;
    change(&scene, "lease_token = zeroblob(16), lease_holder = zeroblob(16)");
    mends_fault(&scene, Invariant::OnePlace).await;
    assert_eq!(standing(&scene, &order).await, (Stage::Issue, Standing::Queue));
}

#[tokio::test]
async fn dead_session_in_a_queue() {
    let scene = Scene::new();
    let running = scene.start().await;
    let order = running.pending("a.example.org", None).await;
    let problem = Problem::new(ProblemType::Unauthorized, "a test");
    let end = (Outcome::Invalid(Failure { stage: Stage::TestChallenge, problem }), running.ca.now());
    running.ca.workbench.settle(order.id, &[], Some(end)).await.unwrap();
    running.stop().await;
    change(&scene, "place = 'queue', turn = 1");
    mends_fault(&scene, Invariant::PlaceFits).await;
    assert_eq!(standing(&scene, &order).await, (Stage::Done, Standing::PendingDone));
}

#[tokio::test]
async fn order_in_the_queue_of_another_stage() {
    let (scene, order) = finalized().await;
    change(&scene, "stage = 'testchallenge'");
    mends_fault(&scene, Invariant::ColumnsFollow).await;
    assert_eq!(standing(&scene, &order).await, (Stage::Issue, Standing::Queue));
}

#[tokio::test]
async fn active_entries_that_leak() {
    let (scene, _) = Scene::with_two_certificates().await;
    // Without this column no sweep finds them.
    change(&scene, "turn = NULL, document = json_set(document, '$.progress.ended', 1000)");
    scene.must_find(Severity::Warning, Invariant::RetentionKept).await;
    mends_fault(&scene, Invariant::ColumnsFollow).await;
    assert_eq!(scene.check().await.checked.active_orders, 0);
}

#[tokio::test]
async fn acknowledged_order_that_is_still_active() {
    let (scene, [first, _]) = Scene::with_two_certificates().await;
    scene.plant(&format!(
        "UPDATE orders SET ended = ended - 90000, acknowledged = ended - 80000 WHERE serial = x'{first}';
         UPDATE ledger_counts SET acknowledged = acknowledged + 1"
    ));
    mends(&scene, Severity::Warning, Invariant::RetentionKept).await;
    assert_eq!(scene.check().await.checked.active_orders, 1);
}

#[tokio::test]
async fn lease_that_ends_in_years() {
    let scene = Scene::new();
    let running = scene.start().await;
    let order = running.finalized("a.example.org", None).await;
    let terms = LeaseTerms { holder: running.ca.instance, length: std::time::Duration::from_secs(60) };
    running.ca.workbench.claim(Stage::Issue, terms).await.unwrap().unwrap();
    running.stop().await;
    change(&scene, "turn = turn + 31536000000");
    mends_fault(&scene, Invariant::LeaseEnds).await;
    assert_eq!(standing(&scene, &order).await, (Stage::Issue, Standing::Queue));
}

#[tokio::test]
async fn lease_that_nobody_holds() {
    let (scene, order) = finalized().await;
    change(&scene, "place = 'lease', turn = NULL");
    mends_fault(&scene, Invariant::ColumnsFollow).await;
    assert_eq!(standing(&scene, &order).await, (Stage::Issue, Standing::Queue));
}

#[tokio::test]
async fn order_past_its_deadline_under_a_lease_that_ran_out() {
    let (scene, order) = finalized().await;
    change(
        &scene,
        "place = 'lease', turn = 1000, lease_token = zeroblob(16), lease_holder = zeroblob(16), deadline = 1000,
         document = json_set(document, '$.progress.deadline', 1000)",
    );
    scene.must_find(Severity::Warning, Invariant::LeaseEnds).await;
    mends(&scene, Severity::Warning, Invariant::DeadlineKept).await;
    let records = Records::open(&scene.data()).unwrap();
    let known = records.ledger.order(order.id).await.unwrap().unwrap();
    assert!(matches!(known.end, Some((LedgerEnd::Invalid(failure), _)) if failure.is_our_fault()));
}

#[tokio::test]
async fn columns_of_an_active_order_that_its_document_does_not_say() {
    for columns in [
        "deadline = NULL",
        "account = zeroblob(16)",
        "created = 1",
        "likeness = zeroblob(32)",
        "outcome = 'valid'",
        "delivered = 5",
    ] {
        let (scene, _) = finalized().await;
        change(&scene, columns);
        mends_fault(&scene, Invariant::ColumnsFollow).await;
    }
}

#[tokio::test]
async fn active_order_that_nobody_can_read_is_taken_out() {
    let (scene, order) = pending().await;
    change(&scene, "document = '{}'");
    mends_fault(&scene, Invariant::RecordsReadable).await;
    let records = Records::open(&scene.data()).unwrap();
    assert_eq!(records.workbench.read(order.id).await.unwrap(), None);
}

#[tokio::test]
async fn active_order_that_nobody_can_read_is_brought_back_if_the_ledger_has_it() {
    let scene = Scene::new();
    let mut running = scene.start().await;
    let serial = running.waiting("a.example.org").await;
    running.stop().await;
    change(&scene, "document = replace(document, 'identifiers', 'names')");
    mends_fault(&scene, Invariant::RecordsReadable).await;
    let running = scene.start().await;
    let order = running.ca.ledger.serial(serial).await.unwrap().unwrap().order;
    running.ca.work_once(Stage::Issue).await.unwrap();
    let issued = running.ca.workbench.read(order).await.unwrap().unwrap().order;
    assert!(matches!(issued.outcome(), Some(Outcome::Valid(_))), "{issued:?}");
}

#[tokio::test]
async fn order_in_issuance_that_the_workbench_lost() {
    let scene = Scene::new();
    let mut running = scene.start().await;
    running.waiting("a.example.org").await;
    running.stop().await;
    scene.plant("DELETE FROM active_orders");
    mends(&scene, Severity::Warning, Invariant::OnePlace).await;
    assert_eq!(scene.check().await.checked.active_orders, 1);
}

#[tokio::test]
async fn counts_that_are_not_those_of_the_records() {
    for column in ["valid = valid + 3", "wait = 7", "accounts = 0", "abandoned = 1", "our_fault = 2"] {
        mends_rows(Invariant::CountsFit, &format!("UPDATE ledger_counts SET {column}")).await;
    }
}

#[tokio::test]
async fn external_account_key_that_counts_other_accounts_than_there_are() {
    let scene = Scene::new();
    let running = scene.start().await;
    let key = ExternalAccountKey {
        kid: "kid-1".parse().unwrap(),
        mac_key: acme::MacKey::new(vec![7; 32]).unwrap(),
        created: running.ca.now(),
        expires: None,
        uses_left: None,
        accounts: 0,
        names: Vec::new(),
        label: String::new(),
        revoked: None,
    };
    running.ca.ledger.add_external_account_key(key).await.unwrap();
    running.stop().await;
    scene.plant("UPDATE accounts SET external_key = 'kid-1'");
    mends_fault(&scene, Invariant::CountsFit).await;
}

#[tokio::test]
async fn columns_of_the_ledger_that_its_documents_do_not_say() {
    for sql in [
        "UPDATE serials SET tail = tail + 1 WHERE serial = $A",
        "UPDATE serials SET account = zeroblob(16) WHERE serial = $A",
        "UPDATE serials SET given_up = 1 WHERE serial = $A",
        "UPDATE orders SET created = created + 1 WHERE serial = $A",
        "UPDATE orders SET account = zeroblob(16) WHERE serial = $A",
        "UPDATE orders SET our_fault = 1 WHERE serial = $A",
        "UPDATE authorizations SET name = 'c.example.org' WHERE row = 1",
        "UPDATE authorizations SET account = zeroblob(16) WHERE row = 1",
        "UPDATE accounts SET thumbprint = zeroblob(32) WHERE row = 1",
        "INSERT INTO renewal_rules (made, serial, scope, advice) VALUES (1000, $A, '{}', '{}')",
    ] {
        mends_rows(Invariant::ColumnsFollow, sql).await;
    }
}

#[tokio::test]
async fn serial_that_is_not_found_by_its_name() {
    let (scene, serial) = mends_rows(Invariant::NothingDangles, "DELETE FROM serial_names").await;
    let records = Records::open(&scene.data()).unwrap();
    let name = Some(pki::GeneralName::Dns("a.example.org".to_owned()));
    let found = records.ledger.serials(SerialFilter { name, ..SerialFilter::default() }, 10).await.unwrap();
    assert_eq!(found.iter().map(|record| record.serial).collect::<Vec<_>>(), [serial]);
}

#[tokio::test]
async fn serial_that_is_not_found_below_its_domain() {
    let (scene, _) = mends_rows(Invariant::NothingDangles, "DELETE FROM domain_names").await;
    let records = Records::open(&scene.data()).unwrap();
    let domain = acme::DnsName::parse("example.org").unwrap();
    let names = records.ledger.names_below(&domain, None, 10).await.unwrap();
    assert!(names.contains(&pki::GeneralName::Dns("a.example.org".to_owned())), "{names:?}");
}

#[tokio::test]
async fn rows_that_find_nothing() {
    for table in ["serial_names (name, serial) VALUES ('a', 99)", "replacements VALUES (99, zeroblob(16))"] {
        mends_rows(Invariant::NothingDangles, &format!("INSERT INTO {table}")).await;
    }
}

#[tokio::test]
async fn certificate_that_the_ledger_lost_comes_back_from_the_audit_log() {
    for sql in [
        "DELETE FROM certificates",
        "UPDATE serials SET stored = NULL WHERE serial = $A;
         DELETE FROM certificates WHERE serial = (SELECT row FROM serials WHERE serial = $A)",
    ] {
        let (scene, serial) = mends_rows(Invariant::OneCertificatePerOrder, sql).await;
        let records = Records::open(&scene.data()).unwrap();
        let record = records.ledger.serial(serial).await.unwrap().unwrap();
        let certificate = Certificate::from_der(record.certificate.as_deref().unwrap()).unwrap();
        assert_eq!((certificate.serial(), record.status, record.attached), (serial, SerialStatus::Good, true));
    }
}

#[tokio::test]
async fn good_serial_without_its_time() {
    mends_rows(Invariant::StatusConsistent, "UPDATE serials SET good = NULL WHERE serial = $A").await;
}

#[tokio::test]
async fn status_that_fell_back_behind_the_audit_log() {
    let sql = "UPDATE serials SET status = 'wait', good = NULL, stored = NULL WHERE serial = $A;
               DELETE FROM certificates WHERE serial = (SELECT row FROM serials WHERE serial = $A)";
    let (scene, serial) = mends_rows(Invariant::LogApplied, sql).await;
    let records = Records::open(&scene.data()).unwrap();
    assert_eq!(records.ledger.serial(serial).await.unwrap().unwrap().status, SerialStatus::Good);
}

#[tokio::test]
async fn revocation_that_the_ledger_lost() {
    let (scene, [serial, _]) = Scene::with_two_certificates().await;
    let running = scene.start().await;
    running.ca.revoke(serial, Reason::KeyCompromise, "a test".to_owned()).await.unwrap();
    running.stop().await;
    scene.plant(&format!(
        "UPDATE serials SET status = 'good', revoked = NULL, reason = NULL, revoked_by = NULL, revoked_at = NULL
         WHERE serial = x'{serial}'"
    ));
    mends_fault(&scene, Invariant::LogApplied).await;
    let records = Records::open(&scene.data()).unwrap();
    let revocation = records.ledger.serial(serial).await.unwrap().unwrap().revocation.unwrap();
    assert_eq!((revocation.reason, revocation.by.as_str()), (Reason::KeyCompromise, "a test"));
}

#[tokio::test]
async fn key_block_stops_and_crl_number_that_the_ledger_lost() {
    let (scene, [serial, _]) = Scene::with_two_certificates().await;
    let running = scene.start().await;
    let (issuer, spki_hash) = (running.ca.issuers[0].id, pki::Sha256::of(b"a key"));
    let number = running.ca.ledger.crl_state(issuer, CrlShard::of_first(0, 128)).await.unwrap().allocated + 1;
    let (since, by) = (running.ca.now(), "a test".to_owned());
    let stop = |number| StopRecord {
        number,
        scope: StopScope::All,
        reason: format!("test {number}"),
        by: "a test".to_owned(),
        since,
        ended: None,
    };
    for event in [
        AuditEvent::KeyBlock { spki_hash, by: "a test".to_owned() },
        AuditEvent::IssuanceStopped { stop: stop(1) },
        AuditEvent::IssuanceResumed { number: 1, since: Some(since), ended: since, by },
        AuditEvent::IssuanceStopped { stop: stop(2) },
        // Of two processes at the same time.
        AuditEvent::IssuanceStopped { stop: StopRecord { reason: "another".to_owned(), ..stop(2) } },
        AuditEvent::CrlNumber { issuer, shard: 0, number },
    ] {
        let line = running.ca.audit.append(event).await.unwrap();
        running.ca.audit.applied(line);
    }
    running.stop().await;
    mends_fault(&scene, Invariant::LogApplied).await;
    let records = Records::open(&scene.data()).unwrap();
    assert!(records.ledger.is_blocked(spki_hash).await.unwrap());
    let ended = StopRecord { ended: Some(since), ..stop(1) };
    let other = StopRecord { number: 3, reason: "another".to_owned(), ..stop(2) };
    assert_eq!(records.ledger.stops(false, 9).await.unwrap(), [other, stop(2), ended]);
    assert_eq!(records.ledger.crl_state(issuer, CrlShard::of_first(0, 128)).await.unwrap().allocated, number);
    assert!(records.ledger.serial(serial).await.unwrap().is_some());
}

#[tokio::test]
async fn line_behind_the_mark_that_no_start_has_brought_in_yet() {
    let (scene, [serial, _]) = Scene::with_two_certificates().await;
    let running = scene.start().await;
    let (reason, revoked, by) = (Reason::Superseded, running.ca.now(), "a test".to_owned());
    running.ca.audit.append(AuditEvent::Revocation { serial, reason, revoked, by }).await.unwrap();
    drop(running);
    mends(&scene, Severity::Warning, Invariant::LogApplied).await;
}

#[tokio::test]
async fn certificate_of_another_issuance_that_is_not_revoked() {
    let scene = Scene::new();
    let mut running = scene.start().await;
    let waiting = running.waiting("a.example.org").await;
    let order = running.ca.ledger.serial(waiting).await.unwrap().unwrap().order;
    running.stop().await;
    change(&scene, "place = 'queue', turn = 1, document = json_remove(document, '$.progress.due')");
    let running = scene.start().await;
    running.ca.work_once(Stage::Issue).await.unwrap();
    let filter = SerialFilter { order: Some(order), ..SerialFilter::default() };
    let serials = running.ca.ledger.serials(filter, 10).await.unwrap();
    assert_eq!(serials.len(), 2);
    running.stop().await;
    // The order is given the first one, which has no certificate: so the second is nobody's.
    scene.plant(&format!(
        "UPDATE orders SET outcome = 'invalid', serial = NULL, our_fault = 0,
             failure = '{{\"stage\":\"issue\",
                 \"problem\":{{\"type\":\"urn:ietf:params:acme:error:caa\",\"detail\":\"a\",\"status\":403}}}}'
         WHERE id = x'{order}'; DELETE FROM active_orders"
    ));
    mends_fault(&scene, Invariant::OneCertificatePerOrder).await;
    let records = Records::open(&scene.data()).unwrap();
    let record = records.ledger.serial(serials[1].serial).await.unwrap().unwrap();
    assert_eq!(record.revocation.map(|one| one.reason), Some(Reason::Superseded));
}

#[tokio::test]
async fn index_that_lacks_what_its_table_has() {
    let (scene, _) = Scene::with_two_certificates().await;
    let becomes = |condition: &str| {
        format!(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE INDEX orders_by_end ON orders (ended) WHERE {condition}'
                 WHERE name = 'orders_by_end'"
        )
    };
    scene.plant(&becomes("ended < 0"));
    scene.plant(&format!("REINDEX orders_by_end; {}", becomes("ended IS NOT NULL")));
    mends_fault(&scene, Invariant::StoreSound).await;
    assert_eq!(scene.check().await.checked.ended_orders, 2);
}

#[tokio::test]
async fn number_of_issuances_that_there_were_not() {
    mends_rows(Invariant::IssuancesNumbered, "UPDATE orders SET issuances = 3 WHERE serial = $A").await;
}

#[tokio::test]
async fn certificate_whose_place_its_successor_does_not_have() {
    let (scene, [first, second]) = Scene::with_two_certificates().await;
    let records = Records::open(&scene.data()).unwrap();
    let record = records.ledger.serial(first).await.unwrap().unwrap();
    let certificate = Certificate::from_der(record.certificate.as_deref().unwrap()).unwrap();
    let issuer = certificate.authority_key_identifier().unwrap();
    let replaces = acme::CertificateIdentifier::new(issuer, first.as_bytes()).unwrap();
    drop(records);
    scene.plant(&format!(
        "UPDATE order_documents SET document = json_set(document, '$.replaces', '{replaces}')
             WHERE order_row = (SELECT order_row FROM serials WHERE serial = x'{second}')"
    ));
    mends_fault(&scene, Invariant::ReplacementKept).await;
}

#[tokio::test]
async fn crl_that_is_not_what_it_should_be_is_forgotten_and_the_next_start_makes_a_new_one() {
    let sql = "UPDATE crls SET tail = CAST(substr(tail, 1, length(tail) - 1) || x'00' AS BLOB)";
    let (scene, _) = mends_rows(Invariant::CrlSound, sql).await;
    assert_eq!(scene.check().await.checked.crls, 0);
    scene.start().await.stop().await;
    let report = scene.check().await;
    assert_eq!((report.findings(), report.checked.crls), (&[][..], 4));
}

#[tokio::test]
async fn store_of_a_running_server_is_not_repaired() {
    let (scene, _) = Scene::with_two_certificates().await;
    let _running = scene.start().await;
    let refused = scene.repair().await.unwrap_err().to_string();
    assert!(refused.contains("held by another process") && refused.contains("while no server runs"), "{refused}");
}

#[tokio::test]
async fn store_that_is_older_than_its_log_is_left_as_it_is() {
    let (scene, [first, _]) = Scene::with_two_certificates().await;
    let (copy, file) = (scene.data().join("copy.db"), scene.data().join("cairn.db"));
    std::fs::copy(&file, &copy).unwrap();
    let running = scene.start().await;
    running.issue("c.example.org", None).await;
    running.stop().await;
    for left in ["cairn.db-wal", "cairn.db-shm"] {
        let _gone = std::fs::remove_file(scene.data().join(left));
    }
    std::fs::rename(&copy, &file).unwrap();
    scene.plant(&format!("UPDATE serials SET good = NULL WHERE serial = x'{first}'"));
    scene.must_find(Severity::Fault, Invariant::PrecertificateRecorded).await;
    assert!(matches!(scene.repair().await, Err(RepairError::Older)));
    let records = Records::open(&scene.data()).unwrap();
    assert_eq!(records.ledger.serial(first).await.unwrap().unwrap().good, None::<Timestamp>);
}
