//! RFC 8555 §7.3.5: change of an account's key.

use acme::{Algorithm, SigningKey, base64url_encode};
use serde_json::{Value, json};

use crate::support::account::{Account, pkcs8, signing_key};
use crate::support::answer::Answer;
use crate::support::case::{Verdict, cases};
use crate::support::client::Client;
use crate::support::draft::{Draft, jwk};
use crate::support::watch::Watch;

cases! {
    Must after_a_key_change_the_new_key_signs_and_the_old_one_does_not,
    Must a_key_change_goes_from_any_algorithm_to_any,
    Must a_key_change_leaves_orders_and_authorizations_as_they_are,
    Must a_key_that_another_account_has_is_refused_with_its_url,
    Should a_key_that_another_account_has_is_a_conflict,
    Must an_inner_jws_with_a_nonce_is_refused,
    Must an_inner_jws_with_kid_is_refused,
    Must an_inner_jws_for_another_url_is_refused,
    Must an_inner_jws_that_the_new_key_did_not_sign_is_refused,
    Must an_inner_jws_for_another_account_is_refused,
    Must an_inner_jws_with_another_old_key_is_refused,
    Must an_inner_jws_that_is_none_is_refused,
    Must a_key_change_signed_by_the_new_key_alone_is_refused,
    Must a_new_key_that_is_no_good_is_refused,
}

/// A key change before it is signed: the inner JWS, and the outer's URL.
struct Change<'a> {
    inner: Draft<'a>,
    url: String,
}

fn change<'a>(client: &Client, account: &Account, new: &'a SigningKey) -> Change<'a> {
    let url = client.url("keyChange");
    let payload = json!({ "account": account.kid, "oldKey": jwk(&account.key) });
    let inner = Draft::new(new, None, "", &url, payload.to_string().as_bytes()).without("nonce");
    Change { inner, url }
}

async fn send(client: &mut Client, account: &Account, change: &Change<'_>) -> Answer {
    client.post(account, &change.url, &change.inner.sign().json()).await
}

/// A key change that is spoilt is refused: the old key still signs, and the new one has no account.
async fn refused(client: &mut Client, what: &str, spoil: impl for<'a> FnOnce(Change<'a>) -> Value) {
    let account = client.account().await;
    let new = signing_key(Algorithm::Es256);
    let watch = Watch::begin(client, &account, &[]).await;
    let payload = spoil(change(client, &account, &new));
    let url = client.url("keyChange");
    let answer = client.post(&account, &url, &payload).await;
    assert!(answer.status >= 400, "{what} was taken: {}", answer.shown());
    let kinds = ["malformed", "unauthorized", "badPublicKey", "badSignatureAlgorithm"];
    answer.refused(&[400, 401, 403], &kinds);
    watch.assert_unchanged(client, &account, what).await;
    assert_eq!(client.account_with(&new).await, None, "{what}: the new key has an account");
}

async fn after_a_key_change_the_new_key_signs_and_the_old_one_does_not(mut client: Client) -> Verdict {
    let account = client.account().await;
    let before = client.read(&account, &account.kid).await;
    let new = signing_key(Algorithm::Es256);
    let change = change(&client, &account, &new);
    assert_eq!(send(&mut client, &account, &change).await.status, 200);
    let answer = client.post_as_get(&account, &account.kid).await;
    answer.refused(&[400, 401, 403], &["malformed", "unauthorized"]);
    assert_eq!(client.account_with(&account.key).await, None, "the old key still finds the account");
    let changed = Account { key: new, pkcs8: Vec::new(), kid: account.kid };
    assert_eq!(client.account_with(&changed.key).await.as_ref(), Some(&changed.kid));
    let mut after = client.read(&changed, &changed.kid).await;
    // Some servers show the key.
    if before.get("key").is_none() {
        assert_eq!(after, before);
    }
    after.as_object_mut().expect("an object").remove("key");
    assert_eq!(after["status"], "valid");
    Ok(())
}

async fn a_key_change_goes_from_any_algorithm_to_any(mut client: Client) -> Verdict {
    let mut algorithms = vec![Algorithm::Es256, Algorithm::Rs256, Algorithm::Es384];
    let ed25519 = signing_key(Algorithm::EdDsa);
    let (url, payload) = (client.url("newAccount"), client.new_account_payload(&ed25519));
    if client.post_by_key(&ed25519, &url, &payload).await.status == 201 {
        algorithms.push(Algorithm::EdDsa);
    }
    algorithms.extend([Algorithm::Rs256, Algorithm::Es256]);
    let mut account = client.account_of(algorithms[0], pkcs8(algorithms[0])).await;
    for algorithm in &algorithms[1..] {
        let new = signing_key(*algorithm);
        let change = change(&client, &account, &new);
        let answer = send(&mut client, &account, &change).await;
        assert_eq!(answer.status, 200, "{} to {algorithm}: {}", account.key.algorithm(), answer.shown());
        account = Account { key: new, ..account };
        client.read(&account, &account.kid).await;
    }
    Ok(())
}

async fn a_key_change_leaves_orders_and_authorizations_as_they_are(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (a, b) = (client.name(), client.name());
    let pending = client.order(&account, &[&a]).await;
    let ready = client.ready(&account, &[&b]).await;
    let new = signing_key(Algorithm::Es256);
    let change = change(&client, &account, &new);
    assert_eq!(send(&mut client, &account, &change).await.status, 200);
    let account = Account { key: new, ..account };
    assert_eq!(client.read(&account, &pending.url).await["status"], "pending");
    assert_eq!(client.read(&account, &ready.url).await["status"], "ready");
    client.issue(&account, ready, &[&b]).await;
    // A challenge that was made under the old key is answered with the new one.
    client.make_ready(&account, pending).await;
    Ok(())
}

/// What a change to the key of another account gets, and that account's URL.
async fn taken(client: &mut Client) -> (Answer, String) {
    let (account, other) = (client.account().await, client.account().await);
    let watch = Watch::begin(client, &account, &[]).await;
    let change = change(client, &account, &other.key);
    let answer = send(client, &account, &change).await;
    assert!(answer.status >= 400, "{}", answer.shown());
    watch.assert_unchanged(client, &account, "a change to another's key").await;
    assert_eq!(client.account_with(&other.key).await.as_ref(), Some(&other.kid));
    (answer, other.kid)
}

async fn a_key_that_another_account_has_is_refused_with_its_url(mut client: Client) -> Verdict {
    let (answer, other) = taken(&mut client).await;
    assert_eq!(answer.location(), other);
    Ok(())
}

async fn a_key_that_another_account_has_is_a_conflict(mut client: Client) -> Verdict {
    let (answer, _) = taken(&mut client).await;
    assert_eq!(answer.status, 409, "{}", answer.shown());
    answer.problem();
    Ok(())
}

async fn an_inner_jws_with_a_nonce_is_refused(mut client: Client) -> Verdict {
    refused(&mut client, "a nonce", |change| change.inner.with("nonce", "AAAAAAAAAAAAAAAAAAAAAA").sign().json()).await;
    Ok(())
}

async fn an_inner_jws_with_kid_is_refused(mut client: Client) -> Verdict {
    let kid = |change: Change<'_>| {
        let payload: Value = serde_json::from_slice(&change.inner.payload).expect("we wrote it");
        change.inner.without("jwk").with("kid", payload["account"].clone()).sign().json()
    };
    refused(&mut client, "kid", kid).await;
    Ok(())
}

async fn an_inner_jws_for_another_url_is_refused(mut client: Client) -> Verdict {
    let other = client.url("newAccount");
    refused(&mut client, "another url", |change| change.inner.with("url", other).sign().json()).await;
    refused(&mut client, "no url", |change| change.inner.without("url").sign().json()).await;
    Ok(())
}

async fn an_inner_jws_that_the_new_key_did_not_sign_is_refused(mut client: Client) -> Verdict {
    let key = signing_key(Algorithm::Es256);
    refused(&mut client, "another's signature", |change| Draft { key: &key, ..change.inner }.sign().json()).await;
    let other = |change: Change<'_>| {
        let mut body = change.inner.sign().json();
        body["signature"] = json!(base64url_encode(&[1; 64]));
        body
    };
    refused(&mut client, "no signature", other).await;
    Ok(())
}

fn with_payload(change: Change<'_>, member: &str, value: Value) -> Value {
    let mut payload: Value = serde_json::from_slice(&change.inner.payload).expect("we wrote it");
    payload[member] = value;
    Draft { payload: payload.to_string().into_bytes(), ..change.inner }.sign().json()
}

async fn an_inner_jws_for_another_account_is_refused(mut client: Client) -> Verdict {
    let other = client.account().await.kid;
    refused(&mut client, "another account", |change| with_payload(change, "account", json!(other))).await;
    refused(&mut client, "no account", |change| with_payload(change, "account", json!(null))).await;
    Ok(())
}

async fn an_inner_jws_with_another_old_key_is_refused(mut client: Client) -> Verdict {
    let other = jwk(&signing_key(Algorithm::Es256));
    refused(&mut client, "another old key", |change| with_payload(change, "oldKey", other)).await;
    refused(&mut client, "no old key", |change| with_payload(change, "oldKey", json!(null))).await;
    Ok(())
}

async fn an_inner_jws_that_is_none_is_refused(mut client: Client) -> Verdict {
    refused(&mut client, "an object", |_| json!({})).await;
    refused(&mut client, "a text", |_| json!("eyJ9.e30.AA")).await;
    refused(&mut client, "no inner JWS", |change| serde_json::from_slice(&change.inner.payload).expect("JSON")).await;
    let unsigned = |change: Change<'_>| change.inner.with("alg", "none").sign().json();
    refused(&mut client, "alg none", unsigned).await;
    Ok(())
}

async fn a_key_change_signed_by_the_new_key_alone_is_refused(mut client: Client) -> Verdict {
    let account = client.account().await;
    let new = signing_key(Algorithm::Es256);
    let watch = Watch::begin(&mut client, &account, &[]).await;
    let change = change(&client, &account, &new);
    let answer = client.post_by_key(&new, &change.url, &change.inner.sign().json()).await;
    answer.refused(&[400, 401, 403], &["malformed", "unauthorized"]);
    let nonce = client.nonce().await;
    let payload = change.inner.sign().body();
    let body = Draft::new(&new, Some(&account.kid), &nonce, &change.url, &payload).body();
    client.post_body(&change.url, body).await.refused(&[400, 401, 403], &["malformed", "unauthorized"]);
    watch.assert_unchanged(&mut client, &account, "a change that the old key did not sign").await;
    assert_eq!(client.account_with(&new).await, None);
    Ok(())
}

async fn a_new_key_that_is_no_good_is_refused(mut client: Client) -> Verdict {
    let off_curve = |change: Change<'_>| {
        let mut key = change.inner.header["jwk"].clone();
        key["y"] = key["x"].clone();
        change.inner.with("jwk", key).sign().json()
    };
    refused(&mut client, "a key off its curve", off_curve).await;
    refused(&mut client, "a secret", |change| {
        change.inner.with("jwk", json!({ "kty": "oct", "k": "AA" })).sign().json()
    })
    .await;
    Ok(())
}
