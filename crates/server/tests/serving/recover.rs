//! A backup of the store is restored beside an audit log that is newer: nothing is signed until `cairn recover` has
//! restored what the log holds.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use acme::{Algorithm, base64url_encode};
use pki::{Certificate, Crl, LogId, PrecertEntry, PublicKey, Serial};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::account::Account;
use crate::support::client::Client;
use crate::support::server::{Server, run};
use crate::support::world::pause;

const NEEDS_RECOVERY: i32 = 4;

/// A server with a certificate from before the backup, the backup, and what came after it.
struct Scene {
    server: Server,
    account: Account,
    backup: PathBuf,
    /// Issued before the backup, revoked after it.
    before: Certificate,
    /// Issued after it.
    kept: Certificate,
    /// Issued and revoked after it.
    revoked: Certificate,
}

async fn issued(client: &mut Client, account: &Account, name: &str) -> Certificate {
    let issued = client.issued(account, &[name]).await;
    let chain = client.chain(account, &issued.object).await;
    Certificate::from_der(&chain[0]).expect("what was issued can be read")
}

async fn revoke(client: &mut Client, account: &Account, certificate: &Certificate) {
    let payload = json!({ "certificate": base64url_encode(certificate.der()), "reason": 4 });
    let answer = client.post(account, "/revoke-cert", &payload).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

impl Scene {
    /// The server has stopped, and its store is the backup.
    async fn restored() -> Self {
        let server = Server::start("").await;
        let mut client = server.client();
        let account = client.account(Algorithm::Es256).await;
        let before = issued(&mut client, &account, "before.localhost").await;
        let backup = server.path("backup.db");
        let store = Connection::open(server.data().join("cairn.db")).expect("the store can be read beside the server");
        store.execute("VACUUM INTO ?1", [backup.to_str().expect("a plain name")]).expect("a backup can be made");
        drop(store);
        let newcomer = client.account(Algorithm::Es256).await;
        let kept = issued(&mut client, &account, "kept.localhost").await;
        let revoked = issued(&mut client, &newcomer, "revoked.localhost").await;
        revoke(&mut client, &account, &before).await;
        revoke(&mut client, &newcomer, &revoked).await;
        let mut scene = Self { server, account, backup, before, kept, revoked };
        for certificate in [&scene.before, &scene.revoked] {
            scene.until_listed(certificate.serial()).await;
        }
        assert!(scene.server.terminate().await.success(), "SIGTERM ends it in order");
        put_back(&scene.backup, &scene.server.data());
        scene
    }

    /// The CRL of this serial, as relying parties get it.
    async fn crl(&self, serial: Serial) -> Crl {
        let certificates = [&self.before, &self.kept, &self.revoked];
        let certificate = certificates.into_iter().find(|one| one.serial() == serial);
        let url = certificate.and_then(Certificate::crl_url).expect("certificates name their CRL");
        Crl::from_der(&fetched(self.server.status_port(), url).await).expect("it is a CRL")
    }

    async fn until_listed(&self, serial: Serial) -> Crl {
        loop {
            let crl = self.crl(serial).await;
            if crl.entries().iter().any(|entry| entry.serial == serial) {
                return crl;
            }
            pause(Duration::from_millis(50)).await;
        }
    }

    async fn recover(&self, arguments: &[&str]) -> Output {
        let config = self.server.path("cairn.toml");
        let config = config.to_str().expect("a plain name");
        self.server.command(&[&["recover", "--config", config][..], arguments].concat()).await
    }

    async fn status_of(&self, certificate: &Certificate) -> Value {
        self.server.json(&["cert", "show", &certificate.serial().to_string()]).await
    }
}

/// What the status listener gives for a URL.
pub(crate) async fn fetched(port: u16, url: &str) -> Vec<u8> {
    let path = url.splitn(4, '/').last().expect("URLs have paths");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("it listens");
    let request = format!("GET /{path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it takes a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("it answers");
    let body = answer.windows(4).position(|octets| octets == b"\r\n\r\n").expect("an answer has a head");
    assert!(answer.starts_with(b"HTTP/1.0 200") || answer.starts_with(b"HTTP/1.1 200"), "{path}");
    answer.split_off(body + 4)
}

/// The store that was there since is gone with all that belongs to it.
fn put_back(backup: &Path, data: &Path) {
    for name in ["cairn.db-wal", "cairn.db-shm"] {
        let _not_there = fs::remove_file(data.join(name));
    }
    fs::copy(backup, data.join("cairn.db")).expect("a file can be copied");
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A start that has to fail.
async fn refused(data: &Path) -> String {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_cairn"));
    serve.args(["serve", "--dev", "--acme", "127.0.0.1:0", "--status", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let output = run(serve.arg("--data").arg(data).stdout(Stdio::piped()).stderr(Stdio::piped())).await;
    assert_eq!(output.status.code(), Some(NEEDS_RECOVERY), "{}", said(&output));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    errors.lines().last().unwrap_or_default().to_owned()
}

fn verify_scts(certificate: &Certificate, issuer: &Certificate, logs: &[PublicKey]) {
    let entry = PrecertEntry { issuer_key_hash: issuer.public_key().spki_hash(), tbs: certificate.tbs().without_ct() };
    let scts = certificate.scts().expect("it has SCTs");
    assert_eq!(scts.len(), 2);
    for sct in scts {
        let log = logs.iter().find(|key| LogId::of(key) == sct.log_id).expect("it is of one of these logs");
        sct.verify(log, &entry).expect("it verifies");
    }
}

fn log_keys(data: &Path, retired: bool) -> Vec<PublicKey> {
    let mut keys = Vec::new();
    for entry in fs::read_dir(data.join("keys")).expect("it has keys") {
        let path = entry.expect("a folder can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("log-") && name.contains("retired") == retired {
            keys.push(keys::KeyFile::new(&path).load().expect("it is a key").public_key().clone());
        }
    }
    keys
}

fn issuer(data: &Path) -> Certificate {
    let pem = fs::read_to_string(data.join("intermediate.pem")).expect("it has an issuer");
    let blocks = pki::pem::decode(&pem).expect("it is PEM");
    Certificate::from_der(&blocks[0].1).expect("it is a certificate")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_backup_signs_nothing_until_it_was_recovered() {
    let mut scene = Scene::restored().await;
    let data = scene.server.data();
    let message = refused(&data).await;
    assert!(message.contains("the ledger is older than the log") && message.contains("`cairn recover`"), "{message}");
    let serial = scene.kept.serial().to_string();
    let output = scene.server.command(&["cert", "revoke", &serial, "--reason", "superseded"]).await;
    assert_eq!(output.status.code(), Some(NEEDS_RECOVERY), "{}", said(&output));

    let output = scene.recover(&["--dry-run"]).await;
    assert!(output.status.success(), "{}", said(&output));
    for what in ["the ledger is older", "forgotten", "accounts", "delivered", "CT logs end", "dry run"] {
        assert!(said(&output).contains(what), "{what}: {}", said(&output));
    }
    refused(&data).await;
    let old_logs = log_keys(&data, false);
    let output = scene.recover(&[]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("restored: precertificates 2, certificates 2, revocations 2"), "{}", said(&output));
    println!("{}", said(&output));
    scene.server.assert_sound().await;
    let output = scene.recover(&[]).await;
    assert!(output.status.success() && said(&output).contains("nothing to recover"), "{}", said(&output));

    scene.server.start_again();
    scene.server.wait_until_it_serves().await;
    for certificate in [&scene.before, &scene.revoked] {
        assert_eq!(scene.status_of(certificate).await["status"], "revoked");
        scene.until_listed(certificate.serial()).await;
    }
    assert_eq!(scene.status_of(&scene.kept).await["status"], "good");
    let serial = scene.kept.serial().to_string();
    let output = scene.server.command(&["cert", "revoke", &serial, "--reason", "superseded"]).await;
    assert!(output.status.success(), "{}", said(&output));
    scene.until_listed(scene.kept.serial()).await;
    // The account is older than the backup.
    let mut client = scene.server.client();
    let new = issued(&mut client, &scene.account, "new.localhost").await;
    let (issuer, new_logs) = (issuer(&data), log_keys(&data, false));
    verify_scts(&new, &issuer, &new_logs);
    assert_eq!(log_keys(&data, true).len(), 2);
    assert!(old_logs.iter().all(|key| !new_logs.contains(key)), "they have ended");
    verify_scts(&scene.kept, &issuer, &log_keys(&data, true));
    let listed = log_list(&scene.server).await;
    assert_eq!(listed.iter().filter(|log| log["state"] == "retired").count(), 2, "{listed:?}");
    scene.server.assert_sound().await;
    assert!(scene.server.terminate().await.success());
    scene.server.assert_sound().await;
}

async fn log_list(server: &Server) -> Vec<Value> {
    let mut client = Client::new(server.admin_door());
    let list = client.read("/logs").await.json();
    list["operators"][0]["logs"].as_array().expect("a list of logs").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recovery_that_was_broken_off_is_gone_on_with() {
    let scene = Scene::restored().await;
    let data = scene.server.data();
    let output = scene.recover(&["--dry-run", "--json"]).await;
    let found: Value = serde_json::from_slice(&output.stdout).expect("with --json it writes JSON");
    assert_eq!(found["logs"][0]["needed"], true, "{found}");
    let store = Connection::open(data.join("cairn.db")).expect("the store can be opened");
    let stop = "CREATE TRIGGER no_end BEFORE UPDATE OF ended ON recoveries WHEN NEW.ended IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'not yet'); END";
    store.execute_batch(stop).expect("a trigger can be made");
    drop(store);
    let output = scene.recover(&[]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let message = refused(&data).await;
    assert!(message.contains("not all of it is done"), "{message}");
    let config = scene.server.path("cairn.toml");
    let fsck = ["fsck", "--config", config.to_str().expect("a plain name")];
    let output = scene.server.command(&fsck).await;
    assert!(output.status.code() == Some(1) && said(&output).contains("is not done"), "{}", said(&output));
    let output = scene.server.command(&[&fsck[..], &["--repair"]].concat()).await;
    assert!(said(&output).contains("the ledger is being restored"), "{}", said(&output));
    let output = scene.recover(&["--abandon"]).await;
    assert!(said(&output).contains("nothing to abandon"), "records were restored already: {}", said(&output));
    assert_eq!(log_keys(&data, true).len(), 2, "they were put aside already");
    let store = Connection::open(data.join("cairn.db")).expect("the store can be opened");
    store.execute_batch("DROP TRIGGER no_end").expect("a trigger can be dropped");
    drop(store);
    let output = scene.recover(&[]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("was broken off: it is gone on with"), "{}", said(&output));
    assert_eq!((log_keys(&data, true).len(), log_keys(&data, false).len()), (2, 2));
    scene.server.assert_sound().await;
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("it is a folder") {
        let entry = entry.expect("a folder can be read");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a file can be copied");
    }
}

/// The ledger, keys and certificates of a server stand in a new folder in its place; where the old one is now.
fn moved(scene: &Scene) -> PathBuf {
    let (old, data) = (scene.server.path("old"), scene.server.data());
    fs::rename(&data, &old).expect("a folder can be renamed");
    fs::create_dir(&data).expect("a folder can be made");
    for name in ["published.toml", "root.pem", "intermediate.pem", "root.crl", "cairn.db"] {
        fs::copy(old.join(name), data.join(name)).expect("a file can be copied");
    }
    copy_folder(&old.join("keys"), &data.join("keys"));
    old
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_whose_instance_file_was_forgotten_is_taken_for_nobodys() {
    let scene = Scene::restored().await;
    let (old, data) = (moved(&scene), scene.server.data());
    copy_folder(&old.join("audit"), &data.join("audit"));
    let id = fs::read_to_string(old.join("instance")).expect("it has an id");
    let audit = data.join("audit");
    for arguments in [&["--log", audit.to_str().expect("a plain name")][..], &[]] {
        let output = scene.recover(arguments).await;
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(&format!("put `{}` into that file", id.trim())), "{}", said(&output));
        assert!(!data.join("instance").exists(), "it was given no other id");
    }
    fs::write(data.join("instance"), &id).expect("a file can be written");
    let output = scene.recover(&[]).await;
    assert!(output.status.success(), "{}", said(&output));
    scene.server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_of_another_ca_is_refused_before_anything_is_begun() {
    let scene = Scene::restored().await;
    let mut other = Server::start("").await;
    let mut client = other.client();
    let account = client.account(Algorithm::Es256).await;
    issued(&mut client, &account, "staging.localhost").await;
    assert!(other.terminate().await.success());
    moved(&scene);
    let log = other.data().join("audit");
    let output = scene.recover(&["--log", log.to_str().expect("a plain name")]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("it is that of another CA"), "{}", said(&output));
    let store = Connection::open(scene.server.data().join("cairn.db")).expect("the store can be opened");
    let begun: i64 = store.query_row("SELECT count(*) FROM recoveries", [], |row| row.get(0)).expect("it is counted");
    assert_eq!(begun, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ledger_that_was_moved_is_given_back_the_log_of_its_old_instance() {
    let mut scene = Scene::restored().await;
    let old = moved(&scene);
    let data = scene.server.data();
    let copy = data.join("old-audit");
    copy_folder(&old.join("audit"), &copy);
    let log = old.join("audit");
    let log = log.to_str().expect("a plain name");
    let first = format!("{log}/00000000.jsonl");
    for paths in [&[first.as_str()][..], &[log], &[copy.to_str().expect("a plain name")]] {
        let output = scene.recover(&[&["--log"], paths].concat()).await;
        assert!(output.status.success(), "{}", said(&output));
    }
    let own = data.join("audit");
    let output = scene.recover(&["--log", own.to_str().expect("a plain name")]).await;
    assert!(!output.status.success() && said(&output).contains("own audit log"), "{}", said(&output));
    assert_eq!(log_keys(&data, true).len(), 2);
    scene.server.assert_sound().await;
    // What was revoked before the log began stands in the other one, for ever.
    let store = Connection::open(data.join("cairn.db")).expect("the store can be opened");
    let revoked = "UPDATE serials SET revoked = revoked - 120000 WHERE status = 'revoked'";
    assert_eq!(store.execute(revoked, []).expect("revocations can be dated back"), 2);
    drop(store);
    let output = scene.server.command(&["fsck"]).await;
    assert!(!said(&output).contains("the audit log does not show it"), "{}", said(&output));
    let store = Connection::open(data.join("cairn.db")).expect("the store can be opened");
    store.execute(&revoked.replace('-', "+"), []).expect("and forward again");
    drop(store);
    scene.server.start_again();
    scene.server.wait_until_it_serves().await;
    assert_eq!(scene.status_of(&scene.revoked).await["status"], "revoked");
    assert_eq!(scene.status_of(&scene.kept).await["status"], "good");
    let mut client = scene.server.client();
    issued(&mut client, &scene.account, "moved.localhost").await;
    scene.server.assert_sound().await;
    // The log of an instance that runs is nobody else's business.
    let live = data.join("audit");
    let elsewhere = scene.server.path("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder can be made");
    fs::copy(&scene.backup, elsewhere.join("cairn.db")).expect("a file can be copied");
    let mut recover = Command::new(env!("CARGO_BIN_EXE_cairn"));
    recover.args(["recover", "--log"]).arg(&live).arg("--data").arg(&elsewhere);
    let output = run(recover.stdout(Stdio::piped()).stderr(Stdio::piped())).await;
    assert!(!output.status.success() && said(&output).contains("while its instance runs"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_says_in_a_few_lines_what_it_found() {
    let mut server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    issued(&mut client, &account, "one.localhost").await;
    assert!(server.terminate().await.success());
    server.start_again();
    server.wait_until_it_serves().await;
    assert_eq!(server.logged("the process before stopped in order; there was nothing to recover"), 1);
    assert_eq!(server.logged("recovered: "), 0);
    server.kill().await;
    server.start_again();
    server.wait_until_it_serves().await;
    for what in ["did not stop in order", "brought into the ledger", "leases freed"] {
        assert_eq!(server.logged(what), 1, "{what}");
    }
    assert_eq!(server.logged("recovered: "), 3);
}
