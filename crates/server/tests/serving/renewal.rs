//! Renewal information and replacement (RFC 9773), and the operator's command for it.

use acme::{Algorithm, CertificateIdentifier};
use http::Method;
use pki::Certificate;
use serde_json::{Value, json};

use crate::support::account::Account;
use crate::support::client::{Client, identifiers, text};
use crate::support::connection::Answer;
use crate::support::problem::{assert_refused, malformed, refusal};
use crate::support::server::Server;

const NAMES: [&str; 1] = ["renewed.localhost"];

/// A certificate that was issued, by its name (RFC 9773 §4.1).
pub(crate) async fn issued(client: &mut Client, account: &Account) -> (Vec<u8>, String) {
    let order = client.issued(account, &NAMES).await.object;
    let leaf = client.chain(account, &order).await.remove(0);
    let certificate = Certificate::from_der(&leaf).expect("a certificate");
    let key = certificate.authority_key_identifier().expect("it names its issuer's key");
    let name = CertificateIdentifier::new(key, certificate.serial().as_bytes()).expect("good parts");
    (leaf, name.to_string())
}

pub(crate) async fn look(client: &mut Client, name: &str) -> Answer {
    client.try_send(Method::GET, &format!("/renewal-info/{name}"), &[], Vec::new()).await.expect("the server answers")
}

pub(crate) fn window(answer: &Answer) -> (String, String) {
    let window = answer.object(200)["suggestedWindow"].clone();
    (text(&window["start"]).to_owned(), text(&window["end"]).to_owned())
}

fn replacing(name: &str, names: &[&str]) -> Value {
    json!({ "identifiers": identifiers(names), "replaces": name })
}

#[tokio::test]
async fn renewal_information_is_for_everybody_and_may_be_cached() {
    let server = Server::start("[times]\nrenewal-info = 1800\n").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (_, name) = issued(&mut client, &account).await;
    let directory = client.try_send(Method::GET, "/dir", &[], Vec::new()).await.expect("the server answers");
    assert!(text(&directory.object(200)["renewalInfo"]).ends_with("/renewal-info"));
    let answer = look(&mut client, &name).await;
    let (start, end) = window(&answer);
    assert!(start < end, "{start} {end}");
    assert_eq!(answer.header("retry-after"), Some("1800"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=600"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.links("index").len(), 1, "a link to the directory (RFC 8555 §7.1)");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.object(200).as_object().expect("an object").len(), 1, "{}", answer.text());
}

#[tokio::test]
async fn what_names_no_certificate_has_no_renewal_information() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (_, name) = issued(&mut client, &account).await;
    let (key, serial) = name.split_once('.').expect("two parts");
    for (name, due) in [
        ("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".to_owned(), refusal(404, "malformed", "did not issue")),
        (format!("{key}.AIdlQyE"), refusal(404, "malformed", "did not issue")),
        (format!("aYhba4dGQEHhs3uEe6CuLN4ByNQ.{serial}"), refusal(404, "malformed", "did not issue")),
        (key.to_owned(), malformed("a dot")),
        (format!("{key}."), malformed("empty")),
        (format!("{key}.{serial}="), malformed("base64url")),
        (format!("{key}.{serial}.{serial}"), malformed("base64url")),
        (format!("{key}.{}", "A".repeat(400)), malformed("too long")),
        (format!("{key}._w"), malformed("no serial number")),
    ] {
        let answer = look(&mut client, &name).await;
        assert_refused(&answer, due, &name);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{name}");
    }
    let answer = client.post(&account, &format!("/renewal-info/{name}"), &json!({})).await;
    assert_refused(&answer, refusal(405, "malformed", "GET"), "a POST");
}

#[tokio::test]
async fn revoked_certificate_is_to_be_renewed_at_once() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (leaf, name) = issued(&mut client, &account).await;
    let before = window(&look(&mut client, &name).await);
    let revocation = json!({ "certificate": acme::base64url_encode(&leaf), "reason": 4 });
    assert_eq!(client.post(&account, "/revoke-cert", &revocation).await.status, 200);
    let (start, end) = window(&look(&mut client, &name).await);
    assert!(start < end && end < before.0, "{end} is not before {}", before.0);
}

#[tokio::test]
async fn operator_moves_windows_and_takes_that_back() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (_, name) = issued(&mut client, &account).await;
    let own = window(&look(&mut client, &name).await);
    let which = ["renew", "shift", "--name", NAMES[0], "--issued-from", "2020-01-01T00:00:00Z"];
    let when = ["--start", "2031-01-01T00:00:00Z", "--end", "2031-01-02T00:00:00+00:00"];
    let why = ["--explanation-url", "https://ca.example.com/why"];
    let dry = server.json(&[&which[..], &when, &why, &["--dry-run"]].concat()).await;
    assert!(text(&dry["detail"]).contains("1 certificates"), "{dry}");
    assert_eq!(window(&look(&mut client, &name).await), own);
    let done = server.json(&[&which[..], &when, &why].concat()).await;
    assert!(text(&done["detail"]).contains("1 certificates"), "{done}");
    let answer = look(&mut client, &name).await;
    assert_eq!(window(&answer), ("2031-01-01T00:00:00Z".to_owned(), "2031-01-02T00:00:00Z".to_owned()));
    assert_eq!(answer.object(200)["explanationURL"], "https://ca.example.com/why");
    server.json(&["renew", "shift", "--all", "--now"]).await;
    assert!(window(&look(&mut client, &name).await).1 < own.0);
    let rules = server.json(&["renew", "list"]).await;
    assert_eq!(rules.as_array().map(Vec::len), Some(2), "{rules}");
    for rule in rules.as_array().expect("a list") {
        server.json(&["renew", "undo", &rule["rule"].to_string()]).await;
    }
    assert_eq!(window(&look(&mut client, &name).await), own);
    let output = server.command(&["renew", "undo", "1"]).await;
    assert_eq!(output.status.code(), Some(1));
    for wrong in [
        &["--all"][..],
        &["--now"],
        &["--all", "--now", "--end", "2031-01-01T00:00:00Z"],
        &["--all", "--profile", "a", "--now"],
    ] {
        assert_eq!(server.command(&[&["renew", "shift"], wrong].concat()).await.status.code(), Some(2), "{wrong:?}");
    }
    server.assert_sound().await;
}

#[tokio::test]
async fn windows_are_moved_while_no_server_runs() {
    let mut server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (_, name) = issued(&mut client, &account).await;
    server.terminate().await;
    let config = server.path("cairn.toml");
    let config = config.to_str().expect("temporary folders have plain names").to_owned();
    let when = ["--start", "2031-01-01T00:00:00Z", "--end", "2031-01-02T00:00:00Z", "--config", &config];
    server.json(&[&["renew", "shift", "--profile", "classic"][..], &when].concat()).await;
    server.start_again();
    server.wait_until_it_serves().await;
    let mut client = server.client();
    assert_eq!(window(&look(&mut client, &name).await).0, "2031-01-01T00:00:00Z");
}

#[tokio::test]
async fn certificate_is_replaced_once_by_its_own_account() {
    let server = Server::start("[orders]\norder-reuse = false\n").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let other = client.account(Algorithm::Es256).await;
    let (_, name) = issued(&mut client, &account).await;
    let answer = client.post(&other, "/new-order", &replacing(&name, &NAMES)).await;
    assert_refused(&answer, refusal(403, "unauthorized", "another account"), "another account's");
    let answer = client.post(&account, "/new-order", &replacing(&name, &["else.localhost"])).await;
    assert_refused(&answer, malformed("none of the names"), "no name shared");
    let answer = client.post(&account, "/new-order", &replacing(&name, &[NAMES[0], "more.localhost"])).await;
    let (first, order) = (answer.location(), answer.object(201));
    assert_eq!(order["replaces"], name.as_str());
    assert_eq!(client.post_as_get(&account, &first).await.object(200)["replaces"], name.as_str());
    let answer = client.post(&account, "/new-order", &replacing(&name, &NAMES)).await;
    assert_refused(&answer, refusal(409, "alreadyReplaced", "already"), "a second time");
    // The first one comes to nothing, and the certificate can be replaced again.
    for authorization in order["authorizations"].as_array().expect("a list") {
        let object = client.post_as_get(&account, text(authorization)).await.object(200);
        if object["status"] == "pending" {
            client.post(&account, text(authorization), &json!({ "status": "deactivated" })).await.object(200);
        }
    }
    let answer = client.post(&account, "/new-order", &replacing(&name, &NAMES)).await;
    assert_eq!(answer.object(201)["status"], "ready", "{}", answer.text());
    server.assert_sound().await;
}
