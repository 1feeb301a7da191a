//! The audit log of a real server: what it says, and what `cairn audit` makes of it.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::server::Server;

/// A checkpoint is due at each look.
const OFTEN: &str = "[audit]\ncheckpoint-lines = 1\n";

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// The only file of its log, and its lines.
fn log(server: &Server) -> (PathBuf, Vec<String>) {
    let path = server.data().join("audit/00000000.jsonl");
    let text = fs::read_to_string(&path).expect("it has an audit log");
    (path, text.lines().map(str::to_owned).collect())
}

fn write(path: &PathBuf, lines: &[String]) {
    fs::write(path, lines.join("\n") + "\n").expect("a file can be written");
}

/// What a verification says in JSON, and that its exit code says it too.
async fn verified(server: &Server, arguments: &[&str]) -> Value {
    let output = server.command(&[&["audit", "verify", "--json"], arguments].concat()).await;
    let document: Value = serde_json::from_slice(&output.stdout).expect("with --json it writes JSON");
    let sound = document["faults"] == json!([]);
    assert_eq!(output.status.code(), Some(if sound { 0 } else { 1 }), "{document}");
    assert_eq!(document["verified"], json!(sound));
    document
}

/// Names of faults, with line and number.
fn faults(document: &Value) -> Vec<(String, Value, Value)> {
    let faults = document["faults"].as_array().expect("it has faults, or none");
    faults
        .iter()
        .map(|one| {
            (one["fault"].as_str().expect("it has a name").to_owned(), one["line"].clone(), one["sequence"].clone())
        })
        .collect()
}

#[tokio::test]
async fn stopped_server_leaves_a_log_that_is_signed_to_its_end() {
    let mut server = Server::start("").await;
    assert!(server.terminate().await.success());
    let found = verified(&server, &[]).await;
    assert_eq!(found["unsigned"], 0);
    assert!(found["checkpoints"].as_u64() >= Some(1), "{found}");
    let key = server.data().join("keys/audit.pem");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(key).expect("it has a key of checkpoints"));
    assert_eq!(mode & 0o777, 0o600);
    let (_, shown) = said(&server.command(&["audit", "key"]).await);
    let instance = found["instance"].as_str().expect("it has an instance");
    assert!(shown.starts_with(&format!("cairn.audit/{instance}+")), "{shown}");
    // The note and the key are all that somebody far away needs, with the files.
    let (code, note) = said(&server.command(&["audit", "checkpoint"]).await);
    assert_eq!((code, note.lines().next()), (Some(0), Some(format!("cairn.audit/{instance}").as_str())));
    for (name, text) in [("note", &note), ("key", &shown)] {
        fs::write(server.path(name), text).expect("a file can be written");
    }
    fs::rename(server.data().join("audit"), server.path("away")).expect("a folder can be moved");
    let far = tokio::process::Command::new(env!("CARGO_BIN_EXE_cairn"))
        .current_dir(server.path("."))
        .args(["audit", "verify", "--files", "away", "--key", "key", "--checkpoint", "note"])
        .output()
        .await
        .expect("it can be run");
    let (code, text) = said(&far);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("it is the log of the checkpoint signed at"), "{text}");
}

#[tokio::test]
async fn each_fault_is_named_with_its_place_and_what_to_do() {
    let mut server = Server::start(OFTEN).await;
    assert!(server.terminate().await.success());
    let (path, lines) = log(&server);
    let note = server.path("note");
    fs::write(&note, server.command(&["audit", "checkpoint"]).await.stdout).expect("a file can be written");
    let note = ["--checkpoint", note.to_str().expect("temporary folders have plain names")];
    assert!(lines.len() > 6, "{lines:?}");
    assert_eq!(faults(&verified(&server, &note).await), []);

    let mut changed = lines.clone();
    changed[2] = changed[2].replacen("\"event\":\"", "\"event\":\"x", 1);
    changed[4] = "nothing".to_owned();
    write(&path, &changed);
    let found = verified(&server, &[]).await;
    let expected = [("line-changed".to_owned(), json!(3), json!(2)), ("no-line".to_owned(), json!(5), json!(4))];
    assert_eq!(faults(&found), expected, "all are named, not only the first");
    let (code, text) = said(&server.command(&["audit", "verify"]).await);
    assert_eq!(code, Some(1));
    for part in ["00000000.jsonl, line 3: line 2 of the log was changed", "line 5", "inspection"] {
        assert!(text.contains(part), "it lacks {part:?}: {text}");
    }

    let mut removed = lines.clone();
    removed.remove(3);
    write(&path, &removed);
    assert_eq!(faults(&verified(&server, &[]).await)[0], ("lines-missing".to_owned(), json!(4), json!(3)));

    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    write(&path, &swapped);
    assert_eq!(faults(&verified(&server, &[]).await), [("lines-swapped".to_owned(), json!(3), json!(2))]);

    write(&path, &lines[..lines.len() - 3]);
    let names: Vec<String> = faults(&verified(&server, &note).await).into_iter().map(|(name, _, _)| name).collect();
    assert_eq!(names, ["cut-short"; 3], "the ledger, the note beside the log and the checkpoint know more");

    fs::write(&path, fs::read(server.data().join("root.pem")).expect("it has a root")).expect("a file can be written");
    assert_eq!(faults(&verified(&server, &[]).await)[0].0, "no-line");
}

#[tokio::test]
async fn key_of_checkpoints_is_changed_by_the_old_one() {
    let mut server = Server::start(OFTEN).await;
    let (code, text) = said(&server.command(&["audit", "key", "--change"]).await);
    assert_eq!(code, Some(1), "a server runs: {text}");
    let (_, before) = said(&server.command(&["audit", "key"]).await);
    assert!(server.terminate().await.success());
    let (code, after) = said(&server.command(&["audit", "key", "--change"]).await);
    assert_eq!(code, Some(0), "{after}");
    assert_ne!(after, before);
    server.start_again();
    server.wait_until_it_serves().await;
    assert!(server.terminate().await.success());
    let found = verified(&server, &[]).await;
    assert_eq!((faults(&found), &found["unsigned"]), (vec![], &json!(0)), "the new key signs");
}

#[tokio::test]
async fn server_without_its_key_of_checkpoints_issues_as_ever_and_says_so_once() {
    let mut server = Server::start(OFTEN).await;
    assert!(server.terminate().await.success());
    let (_, old) = said(&server.command(&["audit", "key"]).await);
    fs::remove_file(server.data().join("keys/audit.pem")).expect("it has a key of checkpoints");
    server.start_again();
    server.wait_until_it_serves().await;
    assert_eq!(server.logged("the audit log gets no checkpoints"), 1);
    assert!(!server.data().join("keys/audit.pem").exists(), "another key is no answer");
    assert!(server.terminate().await.success());
    assert_eq!(faults(&verified(&server, &[]).await), []);
    let (code, text) = said(&server.command(&["audit", "key", "--change"]).await);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("--lost"), "{text}");
    let (code, key) = said(&server.command(&["audit", "key", "--change", "--lost"]).await);
    assert_eq!(code, Some(0), "{key}");
    server.start_again();
    server.wait_until_it_serves().await;
    assert_eq!(server.logged("the audit log gets no checkpoints"), 1);
    assert!(server.terminate().await.success());
    // Nobody signed for the new key: the file in the folder does not vouch for itself, the operator does.
    let names = |document: &Value| -> Vec<String> { faults(document).into_iter().map(|(name, _, _)| name).collect() };
    assert_eq!(names(&verified(&server, &[]).await), ["key-change-unsigned"]);
    for (text, expected) in [(&old, vec!["key-change-unsigned", "other-key"]), (&key, vec![])] {
        fs::write(server.path("key"), text).expect("a file can be written");
        let path = server.path("key");
        let told = ["--key", path.to_str().expect("temporary folders have plain names")];
        assert_eq!(names(&verified(&server, &told).await), expected);
    }
}

#[tokio::test]
async fn files_that_were_moved_away_are_not_needed_to_start() {
    let mut server = Server::start("[audit]\nfile-days = 1\n").await;
    assert!(server.terminate().await.success());
    let (path, mut lines) = log(&server);
    // As if the first line were of long ago; nothing reads the chain but the verification.
    let year = lines[0].find("\"at\":\"").expect("a line says when it was written") + 6;
    lines[0].replace_range(year..year + 4, "2001");
    let whole = fs::read(&path).expect("it has an audit log");
    write(&path, &lines);
    server.start_again();
    server.wait_until_it_serves().await;
    let listed = server.json(&["cert", "list"]).await;
    let serial = listed[0]["serial"].as_str().expect("the server has a certificate of its own");
    let revoked = server.command(&["cert", "revoke", serial, "--reason", "superseded"]).await;
    assert!(revoked.status.success(), "{:?}", said(&revoked));
    assert!(server.terminate().await.success());
    assert!(server.data().join("audit/00000001.jsonl").exists(), "another file follows an old one");
    fs::create_dir(server.path("away")).expect("a folder can be made");
    fs::write(server.path("away/00000000.jsonl"), whole).expect("a file can be written");
    fs::remove_file(&path).expect("it is there");
    server.start_again();
    server.wait_until_it_serves().await;
    let rest = verified(&server, &[]).await;
    assert!(rest["first"].as_u64() > Some(0) && rest["checkpoints"].as_u64() > Some(0), "{rest}");
    let away = server.path("away");
    let all = verified(&server, &["--files", away.to_str().expect("temporary folders have plain names")]).await;
    assert_eq!((&all["first"], faults(&all)), (&json!(0), vec![]));
}

#[tokio::test]
async fn a_first_start_that_was_killed_after_it_made_the_hierarchy_leaves_it_in_the_log() {
    let mut server = Server::start("").await;
    assert!(server.terminate().await.success());
    // As it was when certificates and keys were on disk, and nothing else.
    let data = server.data();
    fs::remove_dir_all(data.join("audit")).expect("it has an audit log");
    for file in ["cairn.db", "nonces"] {
        fs::remove_file(data.join(file)).expect("it has a store");
    }
    fs::write(data.join("keys/intermediate.pem.new"), "half a k").expect("a file can be written");
    server.start_again();
    server.wait_until_it_serves().await;
    let log = fs::read_to_string(data.join("audit/00000000.jsonl")).expect("it has an audit log");
    assert_eq!(log.matches("\"event\":\"authority\"").count(), 2, "the root and the intermediate");
    assert!(!data.join("keys/intermediate.pem.new").exists(), "nobody writes it any more");
    server.assert_sound().await;
}

#[tokio::test]
async fn verification_needs_no_key_file_that_can_be_read() {
    let mut server = Server::start(OFTEN).await;
    assert!(server.terminate().await.success());
    fs::write(server.data().join("keys/audit.pem"), "no key").expect("a file can be written");
    let (code, text) = said(&server.command(&["audit", "verify"]).await);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("without the key in its data folder"), "{text}");
    assert!(text.contains("a key that only the log itself names"), "{text}");
}
