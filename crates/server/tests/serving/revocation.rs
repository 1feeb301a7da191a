//! revokeCert (RFC 8555 §7.6).

use acme::{Algorithm, base64url_encode};
use serde_json::{Value, json};

use crate::support::account::{Account, signing_key};
use crate::support::client::{Client, Issued};
use crate::support::csr::csr;
use crate::support::problem::{assert_refused, malformed, refusal};
use crate::support::records::{Counts, Records};
use crate::support::server::Server;

const GOOD: &str = "cairn_serials{status=\"good\"}";
const REVOKED: &str = "cairn_serials{status=\"revoked\"}";

/// A certificate, as revokeCert wants it.
async fn issued(client: &mut Client, account: &Account, name: &str) -> (Issued, String) {
    let issued = client.issued(account, &[name]).await;
    let chain = client.chain(account, &issued.object).await;
    (issued, base64url_encode(&chain[0]))
}

fn payload(certificate: &str, reason: Option<i64>) -> Value {
    match reason {
        Some(reason) => json!({ "certificate": certificate, "reason": reason }),
        None => json!({ "certificate": certificate }),
    }
}

async fn counts(server: &Server) -> Counts {
    Records::of(server).lasting().await
}

#[tokio::test]
async fn an_account_revokes_its_certificate_once() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (_, certificate) = issued(&mut client, &account, "once.localhost").await;
    let before = counts(&server).await;
    let answer = client.post(&account, "/revoke-cert", &payload(&certificate, Some(4))).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, ""));
    let after = counts(&server).await;
    assert_eq!((after[GOOD], after[REVOKED]), (before[GOOD] - 1, before[REVOKED] + 1));
    for reason in [Some(4), None, Some(1)] {
        let answer = client.post(&account, "/revoke-cert", &payload(&certificate, reason)).await;
        assert_refused(&answer, refusal(400, "alreadyRevoked", "superseded"), "a second time");
    }
    assert_eq!(counts(&server).await, after);
}

#[tokio::test]
async fn reasons_that_are_not_the_subscribers_are_refused() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (_, certificate) = issued(&mut client, &account, "reason.localhost").await;
    let before = counts(&server).await;
    for reason in [2, 6, 7, 8, 9, 10, 11, 255, 256, -1, i64::MAX] {
        let answer = client.post(&account, "/revoke-cert", &payload(&certificate, Some(reason))).await;
        assert_refused(&answer, refusal(400, "badRevocationReason", "reason"), &format!("reason {reason}"));
    }
    for (wrong, due) in [
        (json!({}), malformed("`certificate`")),
        (json!({ "certificate": certificate, "reason": "superseded" }), malformed("not the JSON object")),
        (json!({ "certificate": certificate, "certificate ": 1, "reason": 1.5 }), malformed("not the JSON object")),
        (payload("", None), malformed("no certificate")),
        (payload("MII=", None), malformed("base64url")),
        (payload("-----BEGIN CERTIFICATE-----", None), malformed("PEM")),
        (payload(&certificate[..100], None), malformed("no certificate")),
    ] {
        let answer = client.post(&account, "/revoke-cert", &wrong).await;
        assert_refused(&answer, due, &wrong.to_string());
    }
    let answer = client.post_as_get(&account, "/revoke-cert").await;
    assert_refused(&answer, malformed("payload"), "POST-as-GET");
    assert_eq!(counts(&server).await, before);
}

#[tokio::test]
async fn strangers_and_other_keys_revoke_nothing() {
    let server = Server::start("").await;
    let mut client = server.client();
    let owner = client.account(Algorithm::Es256).await;
    let stranger = client.account(Algorithm::Es256).await;
    let (_, certificate) = issued(&mut client, &owner, "strange.localhost").await;
    let before = counts(&server).await;
    let asked = payload(&certificate, Some(1));
    let answer = client.post(&stranger, "/revoke-cert", &asked).await;
    assert_refused(&answer, refusal(403, "unauthorized", "did not order"), "another account");
    for (key, what) in [(&signing_key(Algorithm::Es256), "a new key"), (&owner.key, "the account's key with jwk")] {
        let answer = client.post_by_key(key, "/revoke-cert", &asked).await;
        assert_refused(&answer, refusal(403, "unauthorized", "key of this certificate"), what);
    }
    // Of another CA: the root of another server, which this one never issued.
    let other = Server::start("").await;
    let chain = std::fs::read_to_string(other.data().join("intermediate.pem")).expect("the first start makes it");
    let foreign = base64url_encode(&crate::support::client::certificates(&chain)[0]);
    let answer = client.post(&owner, "/revoke-cert", &payload(&foreign, None)).await;
    assert_refused(&answer, refusal(404, "malformed", "did not issue"), "another CA's certificate");
    assert_eq!(counts(&server).await, before);
}

#[tokio::test]
async fn an_account_that_controls_all_names_may_revoke() {
    let server = Server::start("").await;
    let mut client = server.client();
    let former = client.account(Algorithm::Es256).await;
    let (_, certificate) = issued(&mut client, &former, "sold.localhost").await;
    let owner = client.account(Algorithm::Es256).await;
    client.ready(&owner, &["sold.localhost"]).await;
    let answer = client.post(&owner, "/revoke-cert", &payload(&certificate, Some(1))).await;
    assert_refused(
        &answer,
        refusal(400, "badRevocationReason", "only the account that ordered"),
        "a key that he doesn't have",
    );
    let answer = client.post(&owner, "/revoke-cert", &payload(&certificate, Some(5))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn the_certificates_key_revokes_and_is_blocked_for_ever() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (issued, certificate) = issued(&mut client, &account, "key.localhost").await;
    let next = client.ready(&account, &["key.localhost"]).await;
    let key = issued.key.signing_key();
    let answer = client.post_by_key(&key, "/revoke-cert", &payload(&certificate, Some(4))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // Its owner may say once, later, that the key is compromised.
    let answer = client.post_by_key(&key, "/revoke-cert", &payload(&certificate, Some(1))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = client.post_by_key(&key, "/revoke-cert", &payload(&certificate, Some(1))).await;
    assert_refused(&answer, refusal(400, "alreadyRevoked", "keyCompromise"), "a second time");

    let blocked = refusal(400, "badPublicKey", "blocked");
    let asked = json!({ "csr": base64url_encode(&csr(&issued.key, &["key.localhost"])) });
    let answer = client.post(&account, next.1["finalize"].as_str().expect("a URL"), &asked).await;
    assert_refused(&answer, blocked, "a certificate for a compromised key");
    let answer = client.post_by_key(&key, "/new-account", &json!({})).await;
    assert_refused(&answer, blocked, "an account with a compromised key");
    let order = client.post_as_get(&account, &next.0).await.object(200);
    assert_eq!(order["status"], "ready");
}
