//! `cairn key`: an operator who can prove that a key is compromised, and what follows.

use std::path::PathBuf;
use std::process::Output;

use acme::Algorithm;
use keys::KeyPair;
use serde_json::{Value, json};

use crate::support::client::{Client, Issued, text};
use crate::support::csr::csr;
use crate::support::server::{Server, run};
use crate::support::world::{PATIENCE, within};

fn written(server: &Server, name: &str, octets: &[u8]) -> String {
    let path: PathBuf = server.path(name);
    std::fs::write(&path, octets).expect("a file can be written");
    path.to_str().expect("temporary folders have plain names").to_owned()
}

fn said(output: &Output) -> (bool, String) {
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// The status of an order's certificate.
async fn status(server: &Server, issued: &Issued) -> (Value, Value) {
    let serial = text(&issued.object["certificate"]).rsplit('/').next().expect("a URL has a last part");
    let shown = server.json(&["cert", "show", serial]).await;
    (shown["status"].clone(), shown["revocation"]["reason"].clone())
}

/// A certificate, and its key as others would find it.
async fn leaked(client: &mut Client, name: &str) -> (Issued, KeyPair) {
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &[name]).await;
    let pair = KeyPair::from_pkcs8_der(issued.key.pkcs8()).expect("a good key");
    (issued, pair)
}

fn revoked() -> (Value, Value) {
    (json!("revoked"), json!("keyCompromise"))
}

pub(crate) async fn until_settled(server: &Server, hash: &str) {
    within(PATIENCE, "a worker revokes what was issued for the key", async {
        while server.json(&["key", "show", hash]).await["all_revoked"].is_null() {}
    })
    .await;
}

#[tokio::test]
async fn a_signed_challenge_blocks_a_key_and_revokes_what_was_issued_for_it() {
    let server = Server::start("").await;
    let mut client = server.client();
    let (issued, pair) = leaked(&mut client, "leaked.localhost").await;
    let (other, other_pair) = leaked(&mut client, "kept.localhost").await;
    let challenge = server.json(&["key", "challenge"]).await["challenge"].as_str().expect("a text").to_owned();
    let signature = pair.sign(pair.default_signature_algorithm(), challenge.as_bytes()).expect("a good key signs");
    let signature = written(&server, "proof.sig", &signature);
    let wrong = written(&server, "other.pub", other_pair.public_key().spki_der());
    let (done, message) =
        said(&server.command(&["key", "block", "--public-key", &wrong, "--signature", &signature]).await);
    assert!(!done && message.contains("no signature of this key"), "{message}");
    let right = written(&server, "key.pub", pki::pem::encode("PUBLIC KEY", pair.public_key().spki_der()).as_bytes());
    let block = ["key", "block", "--public-key", &right, "--signature", &signature];
    let (done, message) = said(&server.command(&block).await);
    assert!(done && message.contains("blocked for ever"), "{message}");
    let hash = pair.public_key().spki_hash().to_string();
    until_settled(&server, &hash).await;
    assert_eq!(status(&server, &issued).await, revoked());
    assert_eq!(status(&server, &other).await.0, "good");
    let listed = server.json(&["key", "list"]).await;
    assert_eq!((&listed[0]["key"], listed.as_array().map(Vec::len)), (&json!(hash), Some(1)));
    assert_eq!(listed[0]["by"], "the operator, with a signed challenge");
    let (done, message) = said(&server.command(&block).await);
    assert!(!done && message.contains("is blocked since"), "{message}");
    server.assert_sound().await;
}

#[tokio::test]
async fn a_key_is_blocked_without_a_server_as_well_and_never_by_a_request_that_does_not_say_so() {
    let mut server = Server::start("").await;
    let mut client = server.client();
    let (issued, pair) = leaked(&mut client, "leaked.localhost").await;
    assert!(server.terminate().await.success());
    // Whoever had a certificate has sent such a request.
    let request = written(&server, "request.der", &csr(&issued.key, &["leaked.localhost"]));
    let (done, message) = said(&server.command(&["key", "block", "--csr", &request]).await);
    assert!(!done && message.contains("its common name is not `key compromise"), "{message}");
    let hash = pair.public_key().spki_hash().to_string();
    let alone = server.command(&["key", "block", "--spki-hash", &hash]).await;
    assert_eq!(alone.status.code(), Some(2), "a hash proves nothing");
    assert_eq!(status(&server, &issued).await.0, "good");

    let pkcs8 = pair.to_pkcs8_der().expect("a key can be written");
    let private = written(&server, "found.pem", pki::pem::encode("PRIVATE KEY", &pkcs8).as_bytes());
    let (done, message) = said(&server.command(&["key", "block", "--private-key", &private]).await);
    assert!(done, "{message}");
    assert_eq!(status(&server, &issued).await, revoked());
    let unknown = "ab".repeat(32);
    let (done, message) = said(&server.command(&["key", "block", "--spki-hash", &unknown, "--without-proof"]).await);
    assert!(done && message.contains("your word alone"), "{message}");
    let shown = server.json(&["key", "show", &unknown]).await;
    assert_eq!(shown["by"], "the operator, without proof");
    server.assert_sound().await;
}

#[tokio::test]
async fn the_commands_that_the_challenge_prints_prove_it() {
    let server = Server::start("").await;
    let mut client = server.client();
    let (issued, pair) = leaked(&mut client, "leaked.localhost").await;
    let pkcs8 = pair.to_pkcs8_der().expect("a key can be written");
    let key = written(&server, "found.pem", pki::pem::encode("PRIVATE KEY", &pkcs8).as_bytes());
    let challenge = server.json(&["key", "challenge"]).await["challenge"].as_str().expect("a text").to_owned();
    let proof = server.path("proof.csr").to_str().expect("temporary folders have plain names").to_owned();
    let subject = format!("/CN={challenge}");
    let arguments = ["req", "-new", "-key", &key, "-subj", &subject, "-out", &proof];
    let made = run(tokio::process::Command::new("openssl").args(arguments)).await;
    assert!(made.status.success(), "{}", said(&made).1);
    let (done, message) = said(&server.command(&["key", "block", "--csr", &proof]).await);
    assert!(done, "{message}");
    until_settled(&server, &pair.public_key().spki_hash().to_string()).await;
    assert_eq!(status(&server, &issued).await, revoked());
}
