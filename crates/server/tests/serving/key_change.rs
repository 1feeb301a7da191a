//! Changes of an account's key (RFC 8555 §7.3.5).

use acme::{ALGORITHMS, Algorithm, SigningKey, base64url_encode};
use serde_json::{Value, json};

use crate::support::account::{Account, pkcs8, signing_key};
use crate::support::client::{Client, Inner};
use crate::support::csr::{SubjectKey, csr};
use crate::support::problem::{Refusal, assert_refused, malformed, refusal};
use crate::support::records::Records;
use crate::support::responder::responder;
use crate::support::server::Server;

/// The account with the key that it was changed to.
fn changed(account: &Account, pkcs8: Vec<u8>, key: SigningKey) -> Account {
    Account { key, pkcs8, kid: account.kid.clone() }
}

/// A new key of this kind, and its PKCS#8.
fn new_key(algorithm: Algorithm) -> (SigningKey, Vec<u8>) {
    let pkcs8 = pkcs8(algorithm);
    (SigningKey::from_pkcs8(algorithm, &pkcs8).expect("a new key is good"), pkcs8)
}

async fn only_existing(client: &mut Client, key: &SigningKey) -> crate::support::connection::Answer {
    client.post_by_key(key, "/new-account", &json!({ "onlyReturnExisting": true })).await
}

#[tokio::test]
async fn keys_change_from_any_algorithm_to_any() {
    let server = Server::start("").await;
    let mut client = server.client();
    assert_eq!(client.read("/dir").await.object(200)["keyChange"], client.url("/key-change"));
    let mut account = client.account(Algorithm::Rs256).await;
    let mut object = client.post_as_get(&account, &account.kid).await.object(200);
    for algorithm in ALGORITHMS.iter().chain(ALGORITHMS.iter().rev()) {
        let (key, pkcs8) = new_key(*algorithm);
        let answer = client.change_key(&account, &key, |inner| inner).await;
        object["key"] = json!(key.jwk());
        assert_eq!(answer.object(200), object, "{algorithm}: the account is as it was, but for its key");
        assert_eq!(answer.location(), account.kid);
        let new = changed(&account, pkcs8, key);
        let old = std::mem::replace(&mut account, new);

        // The old key stops at once, here and for newAccount.
        let answer = client.post_as_get(&old, &old.kid).await;
        assert_eq!(answer.status, 400, "the old key signs nothing any more: {}", answer.text());
        let answer = only_existing(&mut client, &old.key).await;
        assert_refused(&answer, refusal(400, "accountDoesNotExist", "no account"), "the old key is nobody's");
        let answer = only_existing(&mut client, &account.key).await;
        assert_eq!((answer.location(), answer.object(200)), (account.kid.clone(), object.clone()));
        client.issued(&account, &["changed.localhost"]).await;
    }
    server.assert_sound().await;
}

type Change = (&'static str, fn(Inner, &Account) -> Inner, Refusal);

const CHANGES: &[Change] = &[
    (
        "a nonce in the inner JWS",
        |inner, _| Inner { nonce: Some("bm9uY2U".into()), ..inner },
        malformed("must have no `nonce`"),
    ),
    (
        "the account's URL in the inner JWS",
        |inner, account| Inner { kid: Some(account.kid.clone()), ..inner },
        malformed("`jwk`"),
    ),
    (
        "another URL in the inner JWS",
        |inner, _| Inner { url: inner.url.replace("key-change", "new-order"), ..inner },
        malformed("same `url`"),
    ),
    (
        "another account",
        |inner, account| Inner {
            payload: json!({ "account": format!("{}0", account.kid), "oldKey": account.key.jwk() }),
            ..inner
        },
        malformed("`account`"),
    ),
    (
        "no account",
        |inner, account| Inner { payload: json!({ "oldKey": account.key.jwk() }), ..inner },
        malformed("account"),
    ),
    (
        "another old key",
        |inner, account| Inner {
            payload: json!({ "account": account.kid, "oldKey": signing_key(Algorithm::Es256).jwk() }),
            ..inner
        },
        malformed("`oldKey`"),
    ),
    ("no old key", |inner, account| Inner { payload: json!({ "account": account.kid }), ..inner }, malformed("oldKey")),
    (
        "an old key that is none",
        |inner, account| Inner { payload: json!({ "account": account.kid, "oldKey": {} }), ..inner },
        malformed("kty"),
    ),
    ("no object in the inner JWS", |inner, _| Inner { payload: Value::from("change"), ..inner }, malformed("object")),
];

#[tokio::test]
async fn inner_requests_that_are_not_right_change_nothing() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let to = signing_key(Algorithm::Es384);
    for (what, change, due) in CHANGES {
        let answer = client.change_key(&account, &to, |inner| change(inner, &account)).await;
        assert_refused(&answer, *due, what);
        client.post_as_get(&account, &account.kid).await.object(200);
    }
    let answer = client.change_key(&account, &account.key, |inner| inner).await;
    assert_refused(&answer, malformed("present key"), "a change to the same key");
    let answer = client.post_as_get(&account, "/key-change").await;
    assert_refused(&answer, malformed("payload"), "POST-as-GET");
    let answer = client.post(&account, "/key-change", &json!({})).await;
    assert_refused(&answer, malformed("`protected`"), "no inner JWS");
    let answer = client.post_by_key(&to, "/key-change", &json!({})).await;
    assert_refused(&answer, malformed("`kid`"), "an outer JWS with the new key alone");
    let answer = only_existing(&mut client, &to).await;
    assert_refused(&answer, refusal(400, "accountDoesNotExist", "no account"), "no account has the new key");
    assert_eq!(Records::of(&server).lasting().await["cairn_accounts"], 2, "the server's own account is the second");
    server.assert_sound().await;
}

#[tokio::test]
async fn inner_signatures_are_verified_with_the_new_key() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (to, forger) = (signing_key(Algorithm::Es256), signing_key(Algorithm::Es256));
    let url = client.url("/key-change");
    let payload = json!({ "account": account.kid, "oldKey": account.key.jwk() }).to_string();
    let header = |algorithm: &str| json!({ "alg": algorithm, "jwk": to.jwk(), "url": url }).to_string();
    let inner = |header: &str, signer: &SigningKey| {
        let (header, payload) = (base64url_encode(header.as_bytes()), base64url_encode(payload.as_bytes()));
        let signature = base64url_encode(&signer.signature(format!("{header}.{payload}").as_bytes()));
        json!({ "protected": header, "payload": payload, "signature": signature })
    };
    for (what, inner, due) in [
        ("somebody else signs", inner(&header("ES256"), &forger), malformed("does not verify")),
        ("the account's own key signs", inner(&header("ES256"), &account.key), malformed("does not verify")),
        ("another algorithm", inner(&header("ES384"), &to), refusal(400, "badSignatureAlgorithm", "ES256")),
        ("no algorithm", inner(&header("none"), &to), refusal(400, "badSignatureAlgorithm", "none")),
        ("a MAC", inner(&header("HS256"), &to), refusal(400, "badSignatureAlgorithm", "HS256")),
    ] {
        let answer = client.post(&account, &url, &inner).await;
        assert_refused(&answer, due, what);
    }
    let answer = client.post(&account, &url, &inner(&header("ES256"), &to)).await;
    assert_eq!(answer.status, 200, "what all of these were made of is right: {}", answer.text());
}

#[tokio::test]
async fn key_of_another_account_is_a_conflict_that_names_it() {
    let server = Server::start("").await;
    let mut client = server.client();
    let (account, other) = (client.account(Algorithm::Es256).await, client.account(Algorithm::EdDsa).await);
    let answer = client.change_key(&account, &other.key, |inner| inner).await;
    assert_refused(&answer, refusal(409, "malformed", "another account"), "the key is taken");
    assert_eq!(answer.location(), other.kid);
    for account in [&account, &other] {
        client.post_as_get(account, &account.kid).await.object(200);
    }
}

#[tokio::test]
async fn an_order_goes_on_while_its_accounts_key_changes() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let names = ["goes-on.localhost"];
    let (url, order) = client.order(&account, &names).await;
    let (key, pkcs8) = new_key(Algorithm::Rs256);
    client.change_key(&account, &key, |inner| inner).await.object(200);
    let account = changed(&account, pkcs8, key);
    // What is shown after the change is made of the new key (RFC 8555 §8.1).
    let (challenge, token) = client.http_01(&account, &order["authorizations"][0]).await;
    responder().show(&token, account.key_authorization(&token));
    client.post(&account, &challenge, &json!({})).await.object(200);
    let ready = client.wait_until(&account, &url, "ready").await;
    let payload = json!({ "csr": base64url_encode(&csr(&SubjectKey::new(), &names)) });
    client.post(&account, ready["finalize"].as_str().expect("a URL"), &payload).await.object(200);
    let (key, pkcs8) = new_key(Algorithm::Es384);
    client.change_key(&account, &key, |inner| inner).await.object(200);
    let account = changed(&account, pkcs8, key);
    client.wait_until(&account, &url, "valid").await;
    server.assert_sound().await;
}
