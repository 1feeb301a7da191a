//! Messages and exit codes: 0 done, 1 it could not be done, 2 the command itself is wrong (3 where `fsck` could not
//! look). One clear line each.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use acme::Algorithm;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::client::text;
use crate::support::ports::{Ports, free_port};
use crate::support::problem::{assert_refused, refusal};
use crate::support::server::{Server, run};
use crate::support::world::{PATIENCE, within};

/// An account of the system that owns nothing.
const NOBODY: &str = "65534";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// What a command that fails says: its exit code, and its standard error. Standard output stays empty.
async fn failure(folder: &Path, arguments: &[&str]) -> (i32, String) {
    outcome(Command::new(env!("CARGO_BIN_EXE_cairn")).args(arguments).current_dir(folder)).await
}

/// The exit code of a command that could not look at the records: for `fsck`, 1 says that it found faults.
fn could_not_look(arguments: &[&str]) -> i32 {
    if arguments.first() == Some(&"fsck") { 3 } else { 1 }
}

async fn outcome(command: &mut Command) -> (i32, String) {
    let output = run(command).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "what failed has nothing to say on standard output");
    (output.status.code().expect("it ended by itself"), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// `cairn serve` on free ports.
async fn failed_start(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let Ports { acme, status, admin } = Ports::free();
    let listen = [("--acme", acme), ("--status", status), ("--admin", admin)];
    let listen = listen.map(|(option, port)| format!("{option}=127.0.0.1:{port}"));
    let listen = listen.each_ref().map(String::as_str);
    failure(folder, &[&["serve"], listen.as_slice(), arguments].concat()).await
}

/// The message is one line that begins with the program's name and holds all of this.
#[track_caller]
fn assert_one_line(message: &str, parts: &[&str]) {
    let line = message.strip_prefix("cairn: ").and_then(|line| line.strip_suffix('\n'));
    let line = line.filter(|line| !line.contains('\n')).unwrap_or_else(|| panic!("not one line: {message:?}"));
    for part in parts {
        assert!(line.contains(part), "it lacks {part:?}: {line}");
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_told_with_what_would_be_right() {
    let folder = folder();
    for (arguments, part) in [
        (&[][..], "Usage"),
        (&["nonsense"], "nonsense"),
        (&["serve", "--nonsense"], "--nonsense"),
        (&["serve", "--key", "rsa1024"], "rsa2048"),
        (&["serve", "--key", "ed25519"], "p256"),
        (&["serve", "--acme", "14000"], "--acme"),
        (&["serve", "--dns-server", "here"], "--dns-server"),
        (&["serve", "--log-format", "xml"], "json"),
        (&["serve", "elsewhere"], "elsewhere"),
        (&["order", "list", "--stage", "waiting"], "waiting"),
        (&["cert", "revoke"], "SERIAL"),
    ] {
        let (code, message) = failure(folder.path(), arguments).await;
        assert_eq!(code, 2, "{arguments:?}: {message}");
        assert!(message.contains(part), "{arguments:?}: it lacks {part:?}: {message}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("the folder is there").count(), 0, "nothing was made");
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        let output = run(Command::new(env!("CARGO_BIN_EXE_cairn")).args(arguments)).await;
        assert!(output.status.success() && !output.stdout.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_told_with_its_place() {
    let folder = folder();
    let file = folder.path().join("cairn.toml");
    for (text, parts) in [
        ("regime = \"private\"\n\nregim = 1\n", &["cairn.toml:3:", "regim", "docs/cairn.toml"][..]),
        ("[times]\nsweeep = 1\n", &["cairn.toml:2:", "sweeep"]),
        ("[times]\nsweep = \"often\"\n", &["cairn.toml:2:"]),
        ("[times\n", &["cairn.toml:1:"]),
        ("[times]\nissue-lease = 1\n", &["times.issue-lease", "a lease must be longer than its steps"]),
        ("[listen]\nacme = \"localhost\"\n", &["cairn.toml:2:"]),
        ("base-url = \"http://ca.example\"\n", &["base-url", "https://"]),
        ("regime = \"public\"\n", &["regime", "public is refused", "DNSSEC", "use private"]),
    ] {
        fs::write(&file, text).expect("a file can be written");
        let (code, message) = failed_start(folder.path(), &["--config", "cairn.toml"]).await;
        assert_eq!(code, 2, "{text}: {message}");
        assert_one_line(&message, parts);
        let (code, with_option) = failed_start(folder.path(), &["--dev", "--config", "cairn.toml"]).await;
        assert_eq!((code, with_option), (2, message), "--dev makes nothing of it right: {text}");
    }
    let (code, message) = failed_start(folder.path(), &["--config", "nowhere.toml"]).await;
    assert_eq!(code, 2, "{message}");
    assert_one_line(&message, &["nowhere.toml", "--config"]);
    assert!(!folder.path().join("cairn-data").exists(), "nothing was made");
}

#[tokio::test]
async fn an_occupied_port_is_told_with_the_option_for_another() {
    let folder = folder();
    for option in ["--acme", "--status", "--admin"] {
        let port = free_port();
        let _occupied = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
        let address = format!("127.0.0.1:{port}");
        let others = ["--acme", "--status", "--admin"].into_iter().filter(|other| *other != option);
        let others: Vec<String> = others.map(|other| format!("{other}=127.0.0.1:{}", free_port())).collect();
        let mut arguments = vec!["serve", option, &address];
        arguments.extend(others.iter().map(String::as_str));
        let (code, message) = failure(folder.path(), &arguments).await;
        assert_eq!(code, 1, "{message}");
        assert_one_line(&message, &[&address, option, "in use"]);
    }
    assert!(!folder.path().join("cairn-data").exists(), "nothing was made");
}

#[tokio::test]
async fn a_folder_that_is_not_cairns_is_left_alone() {
    let folder = folder();
    fs::create_dir(folder.path().join("thesis")).expect("a folder can be made");
    fs::write(folder.path().join("thesis/chapter.txt"), "years of work").expect("a file can be written");
    let mode = fs::metadata(folder.path().join("thesis")).expect("it is there").mode();
    let (code, message) = failed_start(folder.path(), &["--data", "thesis"]).await;
    assert_eq!(code, 1, "{message}");
    assert_one_line(&message, &["thesis", "chapter.txt", "name another folder"]);
    assert_eq!(fs::read_dir(folder.path().join("thesis")).expect("it is there").count(), 1);
    assert_eq!(fs::metadata(folder.path().join("thesis")).expect("it is there").mode(), mode);

    let (code, message) = failed_start(folder.path(), &["--data", "thesis/chapter.txt"]).await;
    assert_eq!(code, 1, "{message}");
    assert_one_line(&message, &["thesis/chapter.txt"]);
    assert_eq!(fs::read_to_string(folder.path().join("thesis/chapter.txt")).expect("it is there"), "years of work");

    for command in [&["order", "list"][..], &["queue"], &["cert", "list"], &["audit", "verify"], &["fsck"]] {
        let (code, message) = failure(folder.path(), &[command, &["--data", "nowhere"]].concat()).await;
        assert_eq!(code, could_not_look(command), "{command:?}: {message}");
        assert!(message.starts_with("cairn: ") && message.contains("nowhere"), "{command:?}: {message}");
    }
    assert!(!folder.path().join("nowhere").exists(), "commands that look make nothing");
}

#[tokio::test]
async fn an_unreadable_folder_is_told() {
    let folder = folder();
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a folder can be made");
    let mode = |mode| fs::Permissions::from_mode(mode);
    fs::set_permissions(folder.path(), mode(0o755)).expect("its own");
    fs::set_permissions(&data, mode(0o000)).expect("its own");
    // Nothing is unreadable for root: then somebody else has to look.
    let root = fs::metadata("/proc/self").expect("this process is there").uid() == 0;
    let cairn = folder.path().join("cairn");
    fs::copy(env!("CARGO_BIN_EXE_cairn"), &cairn).expect("a file can be copied");
    let mut command = Command::new(if root { Path::new("setpriv") } else { &cairn });
    if root {
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]).arg(&cairn);
    }
    let listen = ["--acme", "--status", "--admin"].map(|option| format!("{option}=127.0.0.1:{}", free_port()));
    let (code, message) = outcome(command.arg("serve").args(listen).arg("--data").arg(&data)).await;
    assert_eq!(code, 1, "{message}");
    assert_one_line(&message, &["data", "ermission"]);
}

#[tokio::test]
async fn a_folder_has_one_holder() {
    let server = Server::start("").await;
    let data = server.data();
    let data = data.to_str().expect("temporary folders have plain names");
    let (code, message) = failed_start(&server.path(""), &["--dev", "--data", data]).await;
    assert_eq!(code, 1, "{message}");
    assert_one_line(&message, &[data, "held by another process", "pid"]);
    let mut client = server.client();
    client.account(Algorithm::Es256).await;
}

#[tokio::test]
async fn a_ca_for_tests_does_not_become_another() {
    let mut server = Server::start("").await;
    assert!(server.terminate().await.success());
    let (code, message) = failed_start(&server.path(""), &["--data", "data"]).await;
    assert_eq!(code, 1, "{message}");
    assert_one_line(&message, &["regime is private", "begun with dev", "another data folder"]);
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_left_alone() {
    let mut server = Server::start("").await;
    assert!(server.terminate().await.success());
    let database = server.data().join("cairn.db");
    let set_version = |version: u32| {
        let connection = rusqlite::Connection::open(&database).expect("a database");
        let known: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a number");
        connection.pragma_update(None, "user_version", version).expect("it can be written");
        known
    };
    let known = set_version(4711);
    let data = server.data();
    let data = data.to_str().expect("temporary folders have plain names");
    for arguments in [&["order", "list", "--data", data][..], &["fsck", "--data", data]] {
        let (code, message) = failure(&server.path(""), arguments).await;
        assert_eq!(code, could_not_look(arguments), "{message}");
        assert_one_line(&message, &["newer", "4711"]);
    }
    let (code, message) = failed_start(&server.path(""), &["--dev", "--data", data]).await;
    assert_eq!(code, 1, "{message}");
    assert_one_line(&message, &["newer", "4711", "use the newer program"]);
    assert_eq!(set_version(known), 4711, "nothing was written");
    server.start_again();
    server.wait_until_it_serves().await;
    server.assert_sound().await;
}

#[tokio::test]
async fn a_store_that_is_no_store_is_left_alone() {
    let mut server = Server::start("").await;
    assert!(server.terminate().await.success());
    let data = server.data();
    fs::write(data.join("cairn.db"), "not a database, but long enough to be looked at as if it were one".repeat(100))
        .expect("a file can be written");
    let written = fs::read(data.join("cairn.db")).expect("it is there");
    let (code, message) = failed_start(&server.path(""), &["--dev", "--data", "data"]).await;
    assert_eq!(code, 1, "{message}");
    assert_one_line(&message, &["cairn.db", "no SQLite database"]);
    assert!(fs::read(data.join("cairn.db")).expect("it is there") == written, "nothing was touched");
}

#[tokio::test]
async fn it_stops_in_order_and_carries_on() {
    let mut server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["carry.localhost"]).await;
    let open = client.order(&account, &["open.localhost"]).await;
    let chain = client.chain(&account, &issued.object).await;
    let root = fs::read(server.data().join("root.pem")).expect("the first start makes it");
    assert_eq!(fs::metadata(server.data()).expect("it is there").mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(server.data().join("admin.sock")).expect("it runs").mode() & 0o777, 0o600);
    for entry in fs::read_dir(server.data().join("keys")).expect("the first start makes it") {
        let mode = entry.and_then(|entry| entry.metadata()).expect("it is there").mode() & 0o777;
        assert_eq!(mode, 0o600, "a key's file");
    }
    let used = client.nonce().await;
    let url = client.url("/new-order");
    let signed = |nonce: &str| {
        let order = json!({ "identifiers": [{ "type": "dns", "value": "nonce.localhost" }] }).to_string();
        let header = acme::Header { nonce: Some(nonce), url: &url, kid: Some(&account.kid) };
        acme::sign(&account.key, header, order.as_bytes())
    };
    assert_eq!(client.post_body(&url, signed(&used)).await.status, 201);
    let unused = client.nonce().await;
    for signal in ["TERM", "INT"] {
        if signal == "TERM" {
            assert!(server.terminate().await.success());
        } else {
            server.signal(signal).await;
            assert!(server.terminated().await.success());
        }
        assert!(!server.data().join("admin.sock").exists(), "SIG{signal} leaves no socket behind");
        server.assert_sound().await;
        server.start_again();
        server.wait_until_it_serves().await;
        let mut client = server.client();
        assert_eq!(fs::read(server.data().join("root.pem")).expect("it is there"), root);
        let answer = client.post_by_key(&account.key, "/new-account", &json!({ "onlyReturnExisting": true })).await;
        assert_eq!((answer.status.as_u16(), answer.location()), (200, account.kid.clone()));
        assert_eq!(client.post_as_get(&account, &open.0).await.object(200), open.1);
        assert_eq!(client.chain(&account, &issued.object).await, chain);
        let answer = client.post_body(&url, signed(&used)).await;
        assert_refused(&answer, refusal(400, "badNonce", "used before"), "a nonce that was used before the stop");
    }
    let mut client = server.client();
    let answer = client.post_body(&url, signed(&unused)).await;
    assert_eq!(answer.status, 201, "a nonce outlives an orderly stop: {}", answer.text());
    let order = client.post_as_get(&account, text(&json!(issued.order))).await.object(200);
    assert_eq!(order, issued.object);
}

#[tokio::test]
async fn commands_look_at_a_live_and_at_a_stopped_store_alike() {
    let mut server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["look.localhost"]).await;
    let id = issued.order.rsplit('/').next().expect("a URL has a last part").to_owned();
    let live = server.json(&["order", "show", &id]).await;
    let serial = text(&issued.object["certificate"]).rsplit('/').next().expect("a URL has a last part").to_owned();
    let certificate = server.json(&["cert", "show", &serial]).await;
    assert!(server.terminate().await.success());
    assert_eq!(server.json(&["order", "show", &id]).await["id"], live["id"]);
    assert_eq!(server.json(&["cert", "show", &serial]).await["serial"], certificate["serial"]);
    let revoke = ["cert", "revoke", &serial, "--reason", "superseded"];
    let output = server.command(&revoke).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = server.command(&revoke).await;
    assert_eq!(output.status.code(), Some(1), "a second time");
    server.start_again();
    server.wait_until_it_serves().await;
    let mut client = server.client();
    let asked = json!({ "certificate": acme::base64url_encode(&client.chain(&account, &issued.object).await[0]) });
    let answer = client.post(&account, "/revoke-cert", &asked).await;
    assert_refused(&answer, refusal(400, "alreadyRevoked", "superseded"), "after the operator did");
    server.assert_sound().await;
}

#[tokio::test]
async fn a_stop_during_the_first_start_is_heard() {
    let folder = folder();
    let Ports { acme, status, admin } = Ports::free();
    let listen = [("--acme", acme), ("--status", status), ("--admin", admin)];
    let mut process = Command::new(env!("CARGO_BIN_EXE_cairn"))
        .args(["serve", "--data", "data"])
        .args(listen.map(|(option, port)| format!("{option}=127.0.0.1:{port}")))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("cairn can be started");
    let mut lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
    // Its own certificate is next.
    let seen = async {
        while let Some(line) = lines.next_line().await.expect("it writes text") {
            if line.contains("CRL made") {
                return true;
            }
        }
        false
    };
    assert!(within(PATIENCE, "a CRL is made", seen).await);
    let id = process.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().await.is_ok_and(|sent| sent.success()));
    let rest = async { while lines.next_line().await.is_ok_and(|line| line.is_some()) {} };
    let (status, ()) = within(PATIENCE, "cairn ends", async { tokio::join!(process.wait(), rest) }).await;
    assert!(status.expect("our own child can be awaited").success());
}
