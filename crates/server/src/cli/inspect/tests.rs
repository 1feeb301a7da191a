//! The commands, on real stores.

use ca::order::Stage;
use ca::ports::SerialStatus;
use clap::Parser;
use pki::{Certificate, Serial};
use serde_json::Value;

use super::{Command, Failure, Paper, run_on};
use crate::fsck::tests::scene::{Scene, edit};

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// What a command line writes, and how it ends. The scene's folder is added.
async fn cairn(scene: &Scene, line: &str) -> (String, Result<(), Failure>) {
    let data = scene.data();
    let words = ["cairn"].into_iter().chain(line.split_whitespace()).map(str::to_owned);
    let words = words.chain(["--data".to_owned(), data.to_str().unwrap().to_owned()]);
    let command = Line::try_parse_from(words).unwrap().command;
    let mut out = Vec::new();
    let mut paper = Paper::new(&mut out);
    let done = run_on(command, &mut paper).await;
    paper.finish().unwrap();
    (String::from_utf8(out).unwrap(), done)
}

async fn text(scene: &Scene, line: &str) -> String {
    let (text, done) = cairn(scene, line).await;
    done.unwrap();
    text
}

async fn json(scene: &Scene, line: &str) -> Value {
    serde_json::from_str(&text(scene, &format!("{line} --json")).await).unwrap()
}

fn message(done: Result<(), Failure>) -> String {
    match done.unwrap_err() {
        Failure::Usage(message)
        | Failure::Failed(message)
        | Failure::Unable(message)
        | Failure::NeedsRestoration(message) => message,
    }
}

fn column<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|one| one[key].as_str().unwrap()).collect()
}

#[tokio::test]
async fn orders_are_listed_from_workbench_and_ledger() {
    let (scene, _) = Scene::with_two_certificates().await;
    let running = scene.start().await;
    let pending = running.pending("c.example.org", None).await;
    let ended = running.ca.ledger.ended_orders(None, 10).await.unwrap();
    let now = running.ca.now();
    let (fetched, thanked) = (ended[0].order.id, ended[1].order.id);
    running.ca.mark_delivered(fetched).await.unwrap();
    running.ca.ledger.acknowledged(thanked, now).await.unwrap();
    running.ca.workbench.acknowledge(thanked, now).await.unwrap();

    let list = json(&scene, "order list").await;
    assert_eq!(list.as_array().unwrap().len(), 3);
    let of = |id: ca::OrderId| {
        let id = id.to_string();
        list.as_array().unwrap().iter().find(|one| one["id"] == id.as_str()).unwrap().clone()
    };
    let open = of(pending.id);
    assert_eq!(
        (&open["stage"], &open["place"], &open["status"]),
        (&"testchallenge".into(), &"client".into(), &"pending".into())
    );
    assert_eq!(open["names"], serde_json::json!(["c.example.org"]));
    assert_eq!((&of(fetched)["place"], &of(fetched)["delivery"]), (&"pending-done".into(), &"delivered".into()));
    assert_eq!((&of(thanked)["place"], &of(thanked)["delivery"]), (&"ledger".into(), &"acknowledged".into()));

    assert_eq!(column(&json(&scene, "order list --stage testchallenge").await, "id"), [pending.id.to_string()]);
    assert_eq!(json(&scene, "order list --stage done").await.as_array().unwrap().len(), 2);
    assert_eq!(json(&scene, "order list --limit 1").await.as_array().unwrap().len(), 1);
    let table = text(&scene, "order list").await;
    assert!(table.starts_with("ORDER ") && table.contains(&pending.id.to_string()), "{table}");
    assert_eq!(text(&scene, "order list --stage issue").await, "there are no such orders\n");
}

#[tokio::test]
async fn order_is_shown_with_its_challenges_and_issuances() {
    let (scene, serials) = Scene::with_two_certificates().await;
    let running = scene.start().await;
    let serial = serials[0];
    let order = running.ca.ledger.serial(serial).await.unwrap().unwrap().order;
    let shown = json(&scene, &format!("order show {order}")).await;
    assert_eq!((&shown["status"], &shown["certificate"]), (&"valid".into(), &serial.to_string().into()));
    assert_eq!(shown["authorizations"][0]["status"], "valid");
    assert_eq!(shown["issuances"][0]["serial"], serial.to_string());
    assert_eq!(shown["delivery"], "unacknowledged");
    let facts = text(&scene, &format!("order show {order}")).await;
    assert!(facts.contains("a.example.org valid until"), "{facts}");

    let unknown = ca::OrderId::from_bytes([7; 16]);
    let (_, done) = cairn(&scene, &format!("order show {unknown}")).await;
    assert!(message(done).contains("neither on the workbench nor in the ledger"));
}

#[tokio::test]
async fn queue_shows_orders_by_stage_and_place() {
    let scene = Scene::new();
    let running = scene.start().await;
    assert_eq!(text(&scene, "queue").await, "there are no active orders\n");
    running.finalized("a.example.org", None).await;
    running.pending("b.example.org", None).await;
    let queues = json(&scene, "queue").await;
    let of = |stage: Stage| queues.as_array().unwrap().iter().find(|one| one["stage"] == stage.name()).unwrap();
    assert_eq!((&of(Stage::Issue)["queue"], &of(Stage::TestChallenge)["client"]), (&1.into(), &1.into()));
    assert!(of(Stage::Issue)["oldest_queued"].is_string());
    assert!(text(&scene, "queue").await.starts_with("STAGE "));
}

#[tokio::test]
async fn certificates_are_listed_by_what_is_asked_for() {
    let scene = Scene::new();
    let mut running = scene.start().await;
    let first = running.issue("a.example.org", None).await;
    let second = running.issue("b.example.org", None).await;
    let waiting = running.waiting("c.example.org").await;
    running.ca.revoke(second, pki::Reason::Superseded, "a test".to_owned()).await.unwrap();
    let account = running.ca.ledger.serial(first).await.unwrap().unwrap().account;

    assert_eq!(column(&json(&scene, "cert list").await, "serial"), [first, second, waiting].map(|one| one.to_string()));
    for (asked, serial) in [("--status good", first), ("--status revoked", second), ("--name c.example.org", waiting)] {
        assert_eq!(
            column(&json(&scene, &format!("cert list {asked}")).await, "serial"),
            [serial.to_string()],
            "{asked}"
        );
    }
    assert_eq!(json(&scene, &format!("cert list --account {account}")).await.as_array().unwrap().len(), 3);
    assert_eq!(json(&scene, "cert list --limit 2").await.as_array().unwrap().len(), 2);
    assert_eq!(text(&scene, "cert list --abandoned").await, "there are no such serials\n");
    let table = text(&scene, "cert list --status good").await;
    assert!(table.contains(&first.to_string()) && table.contains("a.example.org"), "{table}");
}

#[tokio::test]
async fn certificate_is_shown_with_scts_and_pem() {
    let (scene, [serial, _]) = Scene::with_two_certificates().await;
    let shown = json(&scene, &format!("cert show {serial} --pem")).await;
    assert_eq!((&shown["status"], &shown["issuance"]), (&"good".into(), &"attached".into()));
    assert_eq!(shown["scts"].as_array().unwrap().len(), 2);
    assert!(shown["scts"][0]["built_in_log"].is_u64());
    for key in ["certificate_pem", "linting_certificate_pem"] {
        let blocks = pki::pem::decode(shown[key].as_str().unwrap()).unwrap();
        assert_eq!(Certificate::from_der(&blocks[0].1).unwrap().serial(), serial, "{key}");
    }
    let facts = text(&scene, &format!("cert show {serial} --pem")).await;
    assert!(facts.contains("built-in log 0") && facts.matches("BEGIN CERTIFICATE").count() == 2, "{facts}");

    let (_, done) = cairn(&scene, &format!("cert show {}", Serial::from_random([7; 16]))).await;
    assert!(message(done).contains("never allocated"));
}

#[tokio::test]
async fn certificate_is_revoked_without_a_server_once() {
    let (scene, [serial, _]) = Scene::with_two_certificates().await;
    let line = format!("cert revoke {serial} --reason keyCompromise");
    assert!(text(&scene, &line).await.contains("is revoked (keyCompromise)"));
    let records = crate::fsck::Records::open(&scene.data()).unwrap();
    assert_eq!(records.ledger.serial(serial).await.unwrap().unwrap().status, SerialStatus::Revoked);
    let (_, done) = cairn(&scene, &line).await;
    assert!(message(done).contains("is revoked since"));
}

#[tokio::test]
async fn certificate_is_not_revoked_beside_a_process_that_holds_the_folder() {
    let (scene, [serial, _]) = Scene::with_two_certificates().await;
    let _running = scene.start().await;
    let (_, done) = cairn(&scene, &format!("cert revoke {serial} --reason superseded")).await;
    assert!(message(done).contains("held by another process"));
}

#[test]
fn revocation_needs_a_reason_that_lasts_and_is_for_subscribers() {
    let parse = |reason: &str| Line::try_parse_from(["cairn", "cert", "revoke", "4c01", "--reason", reason]);
    for reason in ["superseded", "4", "0", "PrivilegeWithdrawn"] {
        assert!(parse(reason).is_ok(), "{reason}");
    }
    for (reason, told) in [
        ("certificateHold", "for ever"),
        ("8", "for ever"),
        ("because", "expected one of 0 unspecified, 1 keyCompromise"),
        ("cACompromise", "9 privilegeWithdrawn"),
        ("256", "expected one of"),
    ] {
        assert!(parse(reason).unwrap_err().to_string().contains(told), "{reason}");
    }
    assert!(Line::try_parse_from(["cairn", "cert", "revoke", "4c01"]).is_err());
}

#[tokio::test]
async fn audit_log_verifies_and_its_first_fault_is_named() {
    let (scene, [serial, _]) = Scene::with_two_certificates().await;
    let verified = json(&scene, "audit verify").await;
    assert_eq!(verified["verified"], true);
    let told = text(&scene, "audit verify").await;
    assert!(told.starts_with("the audit log verifies: ") && told.contains(" lines in 1 file; "), "{told}");

    edit(&scene.audit_file(), |text| *text = text.replacen(&serial.to_string(), &"4c".repeat(17), 1));
    let (_, done) = cairn(&scene, "audit verify").await;
    let told = message(done);
    assert!(told.contains("00000000.jsonl, line ") && told.contains("was changed"), "{told}");
}

#[tokio::test]
async fn fsck_lists_what_it_checks_and_fails_when_something_is_found() {
    let (scene, [serial, _]) = Scene::with_two_certificates().await;
    let list = json(&scene, "fsck --list").await;
    assert_eq!(list.as_array().unwrap().len(), crate::fsck::Invariant::NUMBER);
    assert!(text(&scene, "fsck").await.ends_with("nothing was found\n"));

    scene.plant(&format!("UPDATE serials SET good = NULL WHERE serial = x'{serial}'"));
    let (report, done) = cairn(&scene, "fsck --json").await;
    assert!(message(done).contains("1 invariant does not hold"));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["faults"], &report["findings"][0]["invariant"]), (&1.into(), &"status-consistent".into()));
    let (table, done) = cairn(&scene, "fsck").await;
    assert!(done.is_err() && table.contains("status-consistent") && table.contains(&serial.to_string()), "{table}");
}

#[tokio::test]
async fn folder_that_is_no_data_folder_is_told_in_one_line_with_a_hint() {
    let scene = Scene::new();
    let unknown = "4c01";
    let lines = [
        "order list",
        "queue",
        "cert list",
        "audit verify",
        "fsck",
        &format!("cert show {unknown}"),
        &format!("cert revoke {unknown} --reason superseded"),
    ];
    for line in lines {
        let (_, done) = cairn(&scene, line).await;
        let told = message(done);
        assert!(
            told.contains("is no data folder") && told.contains("--data") && !told.contains('\n'),
            "{line}: {told}"
        );
    }
    assert!(!scene.data().exists(), "looking made something");
}
