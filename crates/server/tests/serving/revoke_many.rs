//! `cairn cert revoke` for more than one certificate: what it counts, what it asks, and that it goes on where it ended.

use std::process::{Output, Stdio};

use acme::Algorithm;
use keys::KeyPair;
use load::fill::{Arguments, fill};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::keys::until_settled;
use crate::support::account::Account;
use crate::support::client::{Client, Issued, text};
use crate::support::csr::{SubjectKey, csr};
use crate::support::server::Server;
use crate::support::world::{PATIENCE, within};

fn said(output: &Output) -> (Option<i32>, String) {
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn serial(issued: &Issued) -> String {
    text(&issued.object["certificate"]).rsplit('/').next().expect("a URL has a last part").to_owned()
}

async fn status(server: &Server, issued: &Issued) -> Value {
    server.json(&["cert", "show", &serial(issued)]).await["status"].clone()
}

/// All of these are good, and those revoked.
async fn assert_statuses(server: &Server, good: &[&Issued], revoked: &[&Issued]) {
    for (due, all) in [("good", good), ("revoked", revoked)] {
        for issued in all {
            assert_eq!(status(server, issued).await, due, "{:?}", issued.object["identifiers"]);
        }
    }
}

fn written(server: &Server, name: &str, octets: &str) -> String {
    let path = server.path(name);
    std::fs::write(&path, octets).expect("a file can be written");
    path.to_str().expect("temporary folders have plain names").to_owned()
}

#[tokio::test]
async fn certificates_of_an_account_are_counted_and_revoked_when_one_agrees() {
    let server = Server::start("").await;
    let mut client = server.client();
    let (one, other) = (client.account(Algorithm::Es256).await, client.account(Algorithm::Es256).await);
    let first = client.issued(&one, &["first.localhost"]).await;
    let second = client.issued(&one, &["second.localhost", "third.localhost"]).await;
    let kept = client.issued(&other, &["kept.localhost"]).await;
    let id = one.kid.rsplit('/').next().expect("a URL has a last part").to_owned();
    let chosen = ["cert", "revoke", "--account", &id];

    let counts = server.json(&[&chosen[..], &["--dry-run"]].concat()).await;
    assert_eq!((&counts["chosen"], &counts["good"], &counts["wait"]), (&json!(2), &json!(2), &json!(0)));
    assert_eq!((&counts["abandoned"], &counts["already_revoked"]), (&json!(0), &json!(0)));
    assert_eq!(counts["first_names"], json!(["first.localhost", "second.localhost", "third.localhost"]));
    assert_eq!(counts["issuers"].as_object().map(serde_json::Map::len), Some(1));
    assert_eq!(counts["profiles"].as_object().expect("an object").values().collect::<Vec<_>>(), [&json!(2)]);
    let (code, message) = said(&server.command(&[&chosen[..], &["--reason", "9"]].concat()).await);
    assert!(code == Some(2) && message.contains("--yes") && message.contains("second.localhost"), "{message}");
    assert_statuses(&server, &[&first, &second, &kept], &[]).await;

    let all = [&chosen[..], &["--reason", "privilegeWithdrawn", "--yes"]].concat();
    let (code, message) = said(&server.command(&all).await);
    assert!(code == Some(0) && message.contains("2 certificates are revoked (privilegeWithdrawn)"), "{message}");
    assert_statuses(&server, &[&kept], &[&first, &second]).await;
    let (code, message) = said(&server.command(&all).await);
    assert!(code == Some(0) && message.contains("0 certificates") && message.contains("2 were revoked"), "{message}");
    let unknown = format!("{}{}", if id.starts_with('A') { 'B' } else { 'A' }, &id[1..]);
    let (code, message) = said(&server.command(&["cert", "revoke", "--account", &unknown, "--dry-run"]).await);
    assert!(code != Some(0), "{message}");
    server.assert_sound().await;
}

/// `cairn` at a terminal, as `script` makes one: what it says comes in lines, and it is answered.
struct AtTerminal {
    process: Child,
    said: String,
}

impl AtTerminal {
    fn run(server: &Server, arguments: &[&str]) -> Self {
        let data = server.data();
        let command = [&[env!("CARGO_BIN_EXE_cairn")], arguments, &["--data", data.to_str().expect("a plain name")]];
        let process = Command::new("script")
            .args(["--quiet", "--return", "--command", &command.concat().join(" "), "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("script can be started");
        Self { process, said: String::new() }
    }

    async fn says(&mut self, what: &str) {
        let out = self.process.stdout.as_mut().expect("it is piped");
        let read = async {
            let mut octets = [0; 1024];
            while !self.said.contains(what) {
                let count = out.read(&mut octets).await.expect("it can be read");
                assert!(count > 0, "it ended without {what:?}: {}", self.said);
                self.said.push_str(&String::from_utf8_lossy(&octets[..count]));
            }
        };
        within(PATIENCE, "it says so", read).await;
    }

    async fn answer(mut self, line: &str) -> (Option<i32>, String) {
        let mut typed = self.process.stdin.take().expect("it is piped");
        typed.write_all(line.as_bytes()).await.expect("it listens");
        let ended = within(PATIENCE, "it ends", self.process.wait_with_output()).await.expect("it can be awaited");
        drop(typed);
        (ended.status.code(), format!("{}{}", self.said, String::from_utf8_lossy(&ended.stdout)))
    }
}

#[tokio::test]
async fn at_a_terminal_one_is_asked_and_what_is_issued_meanwhile_was_not_agreed_to() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let first = client.issued(&account, &["first.localhost"]).await;
    let id = account.kid.rsplit('/').next().expect("a URL has a last part").to_owned();
    for chosen in [&["--account", &*id][..], &["--name", "localhost", "--subdomains"]] {
        let revoke = [&["cert", "revoke", "--reason", "superseded"], chosen].concat();
        for refusal in ["no\n", "\n", "YES\n"] {
            let mut asked = AtTerminal::run(&server, &revoke);
            asked.says("Answer yes:").await;
            let (code, said) = asked.answer(refusal).await;
            assert!(code == Some(1) && said.contains("nothing is revoked"), "{refusal:?}: {said}");
        }
    }
    assert_statuses(&server, &[&first], &[]).await;
    let mut asked = AtTerminal::run(&server, &["cert", "revoke", "--reason", "superseded", "--account", &id]);
    asked.says("revoke these 1 certificates for ever (superseded)? Answer yes:").await;
    let second = client.issued(&account, &["second.localhost"]).await;
    let (code, said) = asked.answer("yes\n").await;
    assert!(code == Some(0) && said.contains("1 certificates are revoked"), "{said}");
    assert!(said.contains("1 more were issued since"), "{said}");
    assert_statuses(&server, &[&second], &[&first]).await;
    let below = ["cert", "revoke", "--reason", "superseded", "--name", "localhost", "--subdomains"];
    let mut asked = AtTerminal::run(&server, &below);
    asked.says("Answer yes:").await;
    let third = client.issued(&account, &["third.localhost", "second.localhost"]).await;
    let (code, said) = asked.answer("yes\n").await;
    assert!(code == Some(0) && said.contains("1 more were issued since"), "{said}");
    assert_statuses(&server, &[&third], &[&first, &second]).await;
}

#[tokio::test]
async fn nothing_found_is_no_success() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["here.localhost"]).await;
    for end in [&["--dry-run"][..], &["--reason", "superseded", "--yes"]] {
        let (code, message) =
            said(&server.command(&[&["cert", "revoke", "--name", "hree.localhost"], end].concat()).await);
        assert!(code == Some(1) && message.contains("nothing was found"), "{message}");
    }
    // The certificate of the CA stands in the same file: which key is meant?
    let chain: String =
        client.chain(&account, &issued.object).await.iter().map(|der| pki::pem::encode("CERTIFICATE", der)).collect();
    let chain = written(&server, "chain.pem", &chain);
    let (code, message) = said(&server.command(&["cert", "revoke", "--key", &chain, "--dry-run"]).await);
    assert!(code == Some(1) && message.contains("different keys"), "{message}");
    assert_statuses(&server, &[&issued], &[]).await;
}

#[tokio::test]
async fn certificates_of_a_name_and_of_all_below_it_are_revoked() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let top = client.issued(&account, &["top.localhost"]).await;
    let below = client.issued(&account, &["www.top.localhost", "a.www.top.localhost", "top.localhost"]).await;
    let beside = client.issued(&account, &["desktop.localhost", "top.localhost.localhost"]).await;
    let deep = client.issued(&account, &["b.www.top.localhost"]).await;
    let exact = ["cert", "revoke", "--name", "top.localhost", "--reason", "cessationOfOperation", "--yes"];
    let done = server.json(&exact).await;
    assert_eq!((&done["revoked"], &done["already_revoked"]), (&json!(2), &json!(0)));
    assert_statuses(&server, &[&beside, &deep], &[&top, &below]).await;
    let done = server.json(&[&exact[..], &["--subdomains"]].concat()).await;
    assert_eq!((&done["revoked"], &done["already_revoked"]), (&json!(1), &json!(2)), "each is counted once");
    assert_statuses(&server, &[&beside], &[&deep]).await;
    let wrong = ["cert", "revoke", "--name", "*.top.localhost", "--subdomains", "--dry-run"];
    let (code, message) = said(&server.command(&wrong).await);
    assert!(code == Some(2) && message.contains("--subdomains"), "{message}");
    server.assert_sound().await;
}

/// A file that has a key or goes with it, and how many certificates it leads to.
async fn assert_found(server: &Server, key: &str, due: u64) {
    let counts = server.json(&["cert", "revoke", "--key", key, "--dry-run"]).await;
    assert_eq!(counts["chosen"], due, "{key}");
}

#[tokio::test]
async fn certificates_of_a_key_are_revoked_and_the_key_is_blocked_if_one_says_so() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let leaked = client.issued(&account, &["leaked.localhost"]).await;
    let again = issued_again(&mut client, &account, &leaked, "again.localhost").await;
    let kept = client.issued(&account, &["kept.localhost"]).await;
    let pair = KeyPair::from_pkcs8_der(leaked.key.pkcs8()).expect("a good key");
    let hash = pair.public_key().spki_hash().to_string();
    let chain = client.chain(&account, &leaked.object).await;
    for (file, label, der) in [
        ("key.pub", "PUBLIC KEY", pair.public_key().spki_der().to_vec()),
        ("key.pem", "PRIVATE KEY", pair.to_pkcs8_der().expect("a key can be written").to_vec()),
        ("request.pem", "CERTIFICATE REQUEST", csr(&leaked.key, &["leaked.localhost"])),
        ("certificate.pem", "CERTIFICATE", chain[0].clone()),
    ] {
        assert_found(&server, &written(&server, file, &pki::pem::encode(label, &der)), 2).await;
    }
    assert_found(&server, &hash, 2).await;
    let wrong = written(&server, "wrong.pem", &pki::pem::encode("X509 CRL", b"0"));
    let (code, message) = said(&server.command(&["cert", "revoke", "--key", &wrong, "--dry-run"]).await);
    assert!(code == Some(1) && message.contains("it has a X509 CRL"), "{message}");

    let chosen = ["cert", "revoke", "--key", &hash, "--yes"];
    let (code, message) = said(&server.command(&[&chosen[..], &["--reason", "4", "--block-keys"]].concat()).await);
    assert!(code == Some(2) && message.contains("keyCompromise"), "{message}");
    let (code, message) = said(&server.command(&[&chosen[..], &["--reason", "keyCompromise"]].concat()).await);
    assert!(code == Some(0) && message.contains("2 certificates") && message.contains("cairn key block"), "{message}");
    assert_statuses(&server, &[&kept], &[&leaked, &again]).await;
    assert_eq!(server.json(&["key", "list"]).await, json!([]));

    let other = issued_again(&mut client, &account, &kept, "other.localhost").await;
    let one = ["cert", "revoke", "--name", "kept.localhost", "--reason", "1", "--block-keys", "--dry-run"];
    let counts = server.json(&one).await;
    assert_eq!((&counts["chosen"], &counts["keys"]), (&json!(1), &json!(1)));
    assert_eq!(counts["others_with_these_keys"], 1, "{counts}");
    let block = ["cert", "revoke", &serial(&kept), "--reason", "1"];
    let (code, message) = said(&server.command(&block).await);
    assert!(code == Some(0) && message.contains("cairn key block"), "{message}");
    let block = ["cert", "revoke", &serial(&kept), "--reason", "1", "--block-keys", "--yes"];
    let (code, message) = said(&server.command(&block).await);
    assert_eq!(code, Some(0), "{message}");
    let keys = server.json(&["key", "list"]).await;
    assert_eq!(keys.as_array().map(Vec::len), Some(1), "what is revoked already has a key that is open: {keys}");
    until_settled(&server, keys[0]["key"].as_str().expect("a hash")).await;
    assert_statuses(&server, &[], &[&kept, &other]).await;
    server.assert_sound().await;
}

/// A certificate for the key of another one.
async fn issued_again(client: &mut Client, account: &Account, earlier: &Issued, name: &str) -> Issued {
    let ready = client.ready(account, &[name]).await;
    let object = client.finalize(account, &ready, &csr(&earlier.key, &[name])).await;
    Issued { order: ready.0, object, key: SubjectKey::new() }
}

#[tokio::test]
async fn a_file_of_serials_is_good_as_a_whole_or_revokes_nothing() {
    let mut server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let mut issued = Vec::new();
    for number in 0..4 {
        issued.push(client.issued(&account, &[&format!("n{number}.localhost")]).await);
    }
    let serials: Vec<String> = issued.iter().map(serial).collect();
    let foreign = Server::start("").await;
    let foreign = std::fs::read_to_string(foreign.data().join("intermediate.pem")).expect("the first start makes it");
    let colons: Vec<String> =
        serials[1].as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase()).collect();
    let pem = pki::pem::encode("CERTIFICATE", &client.chain(&account, &issued[2].object).await[0]);
    let good = format!("# leaked\n0x{}  # the first\n\n{}\n{pem}", serials[0], colons.join(":"));
    let bad = format!("{good}not-a-serial\n{}\n0\n{foreign}{pem}", "4b".repeat(16));
    let lines = good.lines().count();
    let bad = written(&server, "bad.txt", &bad);
    let (code, message) =
        said(&server.command(&["cert", "revoke", "--file", &bad, "--reason", "superseded", "--yes"]).await);
    assert_eq!(code, Some(1), "{message}");
    for part in [
        format!("line {}: `not-a-serial` is no serial number; expected", lines + 1),
        format!("line {}: this CA never allocated the serial 4b4b", lines + 2),
        format!("line {}: `0`", lines + 3),
        format!("line {}: this CA did not issue this certificate", lines + 4),
        "nothing is revoked".to_owned(),
    ] {
        assert!(message.contains(&part), "it lacks {part:?}: {message}");
    }
    let all: Vec<&Issued> = issued.iter().collect();
    assert_statuses(&server, &all, &[]).await;

    let good = written(&server, "good.txt", &good);
    let revoke = ["cert", "revoke", "--file", &good, "--reason", "superseded", "--yes"];
    assert_eq!(server.json(&revoke).await["revoked"], 3);
    assert_statuses(&server, &[&issued[3]], &[&issued[0], &issued[1], &issued[2]]).await;
    let (code, message) = said(&server.command(&["cert", "revoke", &serials[3], "--file", &good, "--dry-run"]).await);
    assert!(code == Some(2) && message.contains("--file"), "one kind at a time: {message}");
    // Several serials go without a server as well.
    assert!(server.terminate().await.success());
    let config = server.path("cairn.toml");
    let config = config.to_str().expect("temporary folders have plain names");
    let last = ["cert", "revoke", &serials[3], &serials[0], "--reason", "4", "--yes", "--config", config];
    let done = server.json(&last).await;
    assert_eq!((&done["revoked"], &done["already_revoked"]), (&json!(1), &json!(1)));
    assert_statuses(&server, &[], &all).await;
    server.assert_sound().await;
}

fn filled(server: &Server, certificates: u64) -> Arguments {
    Arguments {
        data: server.data(),
        certificates,
        accounts: 3,
        revoked: 0,
        invalid: 0,
        names: 2,
        days: 120,
        ct: false,
        one_key: 1,
        profile: "classic".to_owned(),
        domain: "many.localhost".to_owned(),
        seed: 5,
        json: false,
    }
}

/// Wherever it is stopped, between two pages: what it says is what was done, and the next run does the rest.
#[tokio::test]
async fn a_long_revocation_that_is_interrupted_says_how_far_it_came_and_goes_on() {
    let mut server = Server::start("").await;
    assert!(server.terminate().await.success());
    fill(&filled(&server, 1_500)).await.expect("it is filled");
    server.start_again();
    server.wait_until_it_serves().await;
    let chosen = ["cert", "revoke", "--name", "many.localhost", "--subdomains"];
    let counts = server.json(&[&chosen[..], &["--dry-run"]].concat()).await;
    let (due, expired) = (counts["chosen"].as_u64().expect("a count"), counts["expired_left_out"].as_u64());
    assert!(due > 1_000 && expired == Some(1_500 - due), "of 120 days, 30 are those of expired ones: {counts}");

    let all = [&chosen[..], &["--reason", "4", "--yes"]].concat();
    let process = Command::new(env!("CARGO_BIN_EXE_cairn"))
        .args(&all)
        .arg("--json")
        .arg("--data")
        .arg(server.data())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("cairn can be started");
    let id = process.id().expect("it runs").to_string();
    within(PATIENCE, "a page is revoked", async {
        while server.json(&["cert", "list", "--status", "revoked", "--limit", "1"]).await == json!([]) {}
    })
    .await;
    let sent = Command::new("kill").args(["-s", "INT", &id]).stderr(Stdio::null()).status().await;
    let ended = within(PATIENCE, "it ends", process.wait_with_output()).await.expect("it can be awaited");
    let (code, message) = said(&ended);
    let first = if code == Some(0) {
        serde_json::from_slice::<Value>(&ended.stdout).expect("it is JSON")["revoked"].as_u64().expect("a count")
    } else {
        assert!(sent.is_ok() && message.contains("stopped") && message.contains("goes on"), "{message}");
        let count = message.split(' ').find_map(|word| word.parse().ok());
        count.expect("it says how many are revoked")
    };
    let rest = server.json(&all).await;
    assert_eq!(rest["already_revoked"], first, "what it said is what was done");
    assert_eq!(rest["revoked"].as_u64(), Some(due - first));
    let rest = server.json(&[&all[..], &["--expired"]].concat()).await;
    assert_eq!((rest["revoked"].as_u64(), rest["already_revoked"].as_u64()), (Some(1_500 - due), Some(due)));
    server.assert_sound().await;
}
