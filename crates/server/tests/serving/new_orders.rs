//! What newOrder offers beyond names (RFC 8555 §7.4, RFC 8738): addresses, dates, reuse.

use acme::{Algorithm, base64url_encode};
use pki::{Certificate, GeneralName, Timestamp};
use serde_json::{Value, json};

use crate::support::account::Account;
use crate::support::client::{Client, addresses, http_01_of, identifiers, list, text};
use crate::support::csr::{SubjectKey, csr};
use crate::support::problem::{assert_refused, malformed, refusal};
use crate::support::responder::responder;
use crate::support::server::Server;

async fn make_ready(client: &mut Client, account: &Account, asked: &Value) -> (String, Value) {
    let answer = client.post(account, "/new-order", asked).await;
    let (url, order) = (answer.location(), answer.object(201));
    for authorization in list(&order["authorizations"]) {
        let object = client.post_as_get(account, text(authorization)).await.object(200);
        if object["status"] == "pending" {
            let (challenge, token) = http_01_of(&object);
            responder().show(&token, account.key_authorization(&token));
            client.post(account, &challenge, &json!({})).await.object(200);
        }
    }
    let order = client.wait_until(account, &url, "ready").await;
    (url, order)
}

async fn leaf(client: &mut Client, account: &Account, order: &Value) -> Certificate {
    let chain = client.chain(account, order).await;
    Certificate::from_der(&chain[0]).expect("a certificate")
}

#[tokio::test]
async fn an_address_gets_a_certificate() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let asked = json!({ "identifiers": addresses(&["127.0.0.1", "127.0.0.1"]) });
    let answer = client.post(&account, "/new-order", &asked).await;
    assert_eq!(answer.object(201)["identifiers"], addresses(&["127.0.0.1"]));
    let order = answer.object(201);
    let [authorization] = list(&order["authorizations"]) else { panic!("{order}") };
    let object = client.post_as_get(&account, text(authorization)).await.object(200);
    assert_eq!(object["identifier"], json!({ "type": "ip", "value": "127.0.0.1" }));
    let kinds: Vec<&str> = list(&object["challenges"]).iter().map(|one| text(&one["type"])).collect();
    assert_eq!(kinds, ["http-01", "tls-alpn-01"]);

    let ready = make_ready(&mut client, &account, &asked).await;
    let finalize = text(&ready.1["finalize"]).to_owned();
    let wrong = json!({ "csr": base64url_encode(&csr(&SubjectKey::new(), &["127.0.0.2"])) });
    let problem = assert_refused(
        &client.post(&account, &finalize, &wrong).await,
        refusal(400, "badCSR", "127.0.0.2"),
        "another address",
    );
    let named: Vec<&Value> = list(&problem["subproblems"]).iter().map(|one| &one["identifier"]["value"]).collect();
    assert_eq!(named, ["127.0.0.1", "127.0.0.2"], "{problem}");
    let order = client.finalize(&account, &ready, &csr(&SubjectKey::new(), &["127.0.0.1"])).await;
    let leaf = leaf(&mut client, &account, &order).await;
    let address = GeneralName::Ip("127.0.0.1".parse().expect("an address"));
    assert_eq!(leaf.names().iter().collect::<Vec<_>>(), [&address]);
    server.assert_sound().await;
}

#[tokio::test]
async fn addresses_can_be_kept_out_of_a_profile() {
    let server = Server::start("[[profile]]\nname = \"classic\"\nip-addresses = false\n").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let asked = json!({ "identifiers": addresses(&["127.0.0.1", "127.0.0.2"]) });
    let answer = client.post(&account, "/new-order", &asked).await;
    let problem = assert_refused(&answer, refusal(400, "rejectedIdentifier", "2 identifiers"), "addresses");
    assert_eq!(list(&problem["subproblems"]).len(), 2, "{problem}");
    let asked = json!({ "identifiers": addresses(&["127.0.0.1"]), "profile": "internal" });
    client.post(&account, "/new-order", &asked).await.object(201);
}

#[tokio::test]
async fn certificate_has_the_dates_that_the_order_shows() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let names = identifiers(&["dated.localhost"]);
    let (_, plain) = make_ready(&mut client, &account, &json!({ "identifiers": names })).await;
    assert_eq!((&plain["notBefore"], &plain["notAfter"]), (&Value::Null, &Value::Null));
    let time = |value: &Value| Timestamp::parse_rfc3339(text(value)).expect("a time");
    let lives = time(&plain["expires"]);
    let soon = lives.minus(std::time::Duration::from_secs(4 * 86_400)).to_rfc3339();
    let late = lives.plus(std::time::Duration::from_secs(83 * 86_400 - 7200)).to_rfc3339();
    for not_after in [soon, late] {
        let asked = json!({ "identifiers": names, "notAfter": not_after.replace('Z', "+00:00") });
        let ready = make_ready(&mut client, &account, &asked).await;
        assert_eq!(ready.1["notAfter"], not_after.as_str());
        let order = client.finalize(&account, &ready, &csr(&SubjectKey::new(), &["dated.localhost"])).await;
        assert_eq!(order["notAfter"], ready.1["notAfter"]);
        let leaf = leaf(&mut client, &account, &order).await;
        assert_eq!(leaf.validity().not_after, time(&ready.1["notAfter"]));
    }
    server.assert_sound().await;
}

#[tokio::test]
async fn open_order_for_the_same_is_answered_again() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let asked = json!({ "identifiers": identifiers(&["again.localhost"]) });
    let first = client.post(&account, "/new-order", &asked).await;
    let second = client.post(&account, "/new-order", &asked).await;
    assert_eq!((first.location(), first.object(201)), (second.location(), second.object(201)));
    let other = client.account(Algorithm::Es256).await;
    assert_ne!(client.post(&other, "/new-order", &asked).await.location(), first.location());
}

#[tokio::test]
async fn valid_authorization_is_used_again_until_it_is_given_up() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let names = ["reused.localhost"];
    let (url, order) = client.ready(&account, &names).await;
    let authorization = order["authorizations"][0].clone();
    client.finalize(&account, &(url, order), &csr(&SubjectKey::new(), &names)).await;
    let asked = json!({ "identifiers": identifiers(&names) });
    let answer = client.post(&account, "/new-order", &asked).await;
    let (url, order) = (answer.location(), answer.object(201));
    assert_eq!((&order["status"], &order["authorizations"][0]), (&json!("ready"), &authorization));
    let object = client.post_as_get(&account, text(&authorization)).await.object(200);
    assert_eq!(object["status"], "valid");
    let (challenge, _) = http_01_of(&object);
    let answer = client.post(&account, &challenge, &json!({})).await;
    assert_refused(&answer, malformed("ended"), "a challenge of a valid authorization");
    client.post(&account, text(&authorization), &json!({ "status": "deactivated" })).await.object(200);
    let order = client.post_as_get(&account, &url).await.object(200);
    assert_eq!(order["status"], "invalid");
    assert_eq!(order["error"]["subproblems"][0]["identifier"], asked["identifiers"][0], "{order}");
    let payload = json!({ "csr": base64url_encode(&csr(&SubjectKey::new(), &names)) });
    let answer = client.post(&account, text(&order["finalize"]), &payload).await;
    assert_refused(&answer, refusal(403, "orderNotReady", "invalid"), "an order whose authorization was given up");
    assert_eq!(client.post(&account, "/new-order", &asked).await.object(201)["status"], "pending");
    server.assert_sound().await;
}

#[tokio::test]
async fn without_reuse_everything_is_new() {
    let server = Server::start("[orders]\nauthorization-reuse = 0\norder-reuse = false\n").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (url, _) = client.ready(&account, &["new.localhost"]).await;
    let (other, order) = client.order(&account, &["new.localhost"]).await;
    assert_ne!(url, other);
    assert_eq!(order["status"], "pending");
}

#[tokio::test]
async fn several_failed_authorizations_are_subproblems_of_their_order() {
    let server = Server::start("[times]\nback-off = 1\n").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let names = ["one.bad.localhost", "two.bad.localhost"];
    let (url, order) = client.order(&account, &names).await;
    let mut answers = Vec::new();
    for authorization in list(&order["authorizations"]) {
        let (challenge, token) = client.http_01(&account, authorization).await;
        responder().hold(&token);
        answers.push((challenge, token));
    }
    for (challenge, _) in &answers {
        client.post(&account, challenge, &json!({})).await.object(200);
    }
    for (_, token) in &answers {
        responder().show(token, "no key authorization".to_owned());
    }
    let invalid = crate::support::world::within(crate::support::world::PATIENCE, "the order is invalid", async {
        loop {
            let order = client.post_as_get(&account, &url).await.object(200);
            if order["status"] == "invalid" {
                return order;
            }
        }
    })
    .await;
    let found = list(&invalid["error"]["subproblems"]);
    assert!(
        !found.is_empty() && found.iter().all(|one| names.contains(&text(&one["identifier"]["value"]))),
        "{invalid}"
    );
    assert_eq!(invalid["error"]["type"], "urn:ietf:params:acme:error:unauthorized", "{invalid}");
}
