//! RFC 8555 §7.3.4: accounts that belong to an account elsewhere.

use acme::{Algorithm, SigningKey, base64url_decode, base64url_encode};
use serde_json::{Value, json};

use crate::support::account::signing_key;
use crate::support::answer::Answer;
use crate::support::case::{NotApplicable, Verdict, cases};
use crate::support::client::{Client, bound};
use crate::support::draft::jwk;

cases! {
    Must an_account_with_a_good_binding_is_made,
    Must without_a_binding_no_account_is_made,
    Must a_binding_with_another_mac_key_is_refused,
    Must a_binding_with_an_unknown_key_identifier_is_refused,
    Must a_binding_with_a_nonce_is_refused,
    Must a_binding_for_another_url_is_refused,
    Must a_binding_of_another_account_key_is_refused,
    Must a_binding_that_is_signed_by_no_mac_is_refused,
    Must a_binding_that_is_no_jws_is_refused,
}

/// A binding before its MAC is made.
struct Binding {
    header: Value,
    payload: Value,
    mac_key: Vec<u8>,
}

impl Binding {
    fn made(&self) -> Value {
        let protected = base64url_encode(self.header.to_string().as_bytes());
        bound(&self.mac_key, &protected, &base64url_encode(self.payload.to_string().as_bytes()))
    }
}

/// What newAccount says to this binding of a new key, made from the right one.
async fn ask(
    client: &mut Client,
    key: &SigningKey,
    make: impl FnOnce(Binding) -> Value,
) -> Result<Answer, NotApplicable> {
    let (kid, mac_key) = client.external_account()?;
    let url = client.url("newAccount");
    let header = json!({ "alg": "HS256", "kid": kid, "url": url });
    let mac_key = base64url_decode(&mac_key).expect("a MAC key is base64url");
    let binding = make(Binding { header, payload: jwk(key), mac_key });
    let payload = json!({ "termsOfServiceAgreed": true, "externalAccountBinding": binding });
    Ok(client.post_by_key(key, &url, &payload).await)
}

/// Such a binding is refused, and no account is left behind.
async fn refused(client: Client, make: impl FnOnce(Binding) -> Value) -> Verdict {
    let mut client = client.with_external_accounts()?;
    let key = signing_key(Algorithm::Es256);
    let answer = ask(&mut client, &key, make).await?;
    assert!(answer.status >= 400, "it was taken: {}", answer.shown());
    let kinds = ["malformed", "unauthorized", "externalAccountRequired", "badSignatureAlgorithm", "badPublicKey"];
    answer.refused(&[400, 401, 403], &kinds);
    assert_eq!(client.account_with(&key).await, None, "an account was left behind");
    Ok(())
}

fn with_header(mut binding: Binding, member: &str, value: Value) -> Value {
    binding.header[member] = value;
    binding.made()
}

async fn an_account_with_a_good_binding_is_made(client: Client) -> Verdict {
    let mut client = client.with_external_accounts()?;
    let key = signing_key(Algorithm::Es256);
    let object = ask(&mut client, &key, |binding| binding.made()).await?.object(201);
    assert_eq!(object["status"], "valid", "{object}");
    Ok(())
}

async fn without_a_binding_no_account_is_made(client: Client) -> Verdict {
    let mut client = client.with_external_accounts()?;
    if client.directory()["meta"]["externalAccountRequired"] != true {
        return Err(NotApplicable("externalAccountRequired"));
    }
    let key = signing_key(Algorithm::Es256);
    let url = client.url("newAccount");
    let answer = client.post_by_key(&key, &url, &json!({ "termsOfServiceAgreed": true })).await;
    answer.refused(&[400, 401, 403], &["externalAccountRequired"]);
    assert_eq!(client.account_with(&key).await, None);
    Ok(())
}

async fn a_binding_with_another_mac_key_is_refused(client: Client) -> Verdict {
    refused(client, |binding| Binding { mac_key: vec![7; 32], ..binding }.made()).await
}

async fn a_binding_with_an_unknown_key_identifier_is_refused(client: Client) -> Verdict {
    refused(client.another(), |binding| with_header(binding, "kid", json!("nobody's"))).await?;
    refused(client, |binding| with_header(binding, "kid", json!(null))).await
}

async fn a_binding_with_a_nonce_is_refused(client: Client) -> Verdict {
    refused(client, |binding| with_header(binding, "nonce", json!("AAAAAAAAAAAAAAAAAAAAAA"))).await
}

async fn a_binding_for_another_url_is_refused(client: Client) -> Verdict {
    refused(client, |binding| with_header(binding, "url", json!("https://ca.example/new-account"))).await
}

async fn a_binding_of_another_account_key_is_refused(client: Client) -> Verdict {
    let other = jwk(&signing_key(Algorithm::Es256));
    refused(client, |binding| Binding { payload: other, ..binding }.made()).await
}

async fn a_binding_that_is_signed_by_no_mac_is_refused(client: Client) -> Verdict {
    refused(client.another(), |binding| with_header(binding, "alg", json!("none"))).await?;
    let key = signing_key(Algorithm::Es256);
    refused(client, |mut binding| {
        binding.header["alg"] = json!("ES256");
        let mut made = binding.made();
        let input = format!("{}.{}", made["protected"].as_str().unwrap_or(""), made["payload"].as_str().unwrap_or(""));
        made["signature"] = json!(base64url_encode(&key.signature(input.as_bytes())));
        made
    })
    .await
}

async fn a_binding_that_is_no_jws_is_refused(client: Client) -> Verdict {
    refused(client.another(), |_| json!({})).await?;
    refused(client.another(), |_| json!("a.b.c")).await?;
    refused(client, |_| json!(7)).await
}

impl Client {
    /// A client of a server that knows external accounts.
    fn with_external_accounts(&self) -> Result<Self, NotApplicable> {
        self.external_account()?;
        let target = self.world.with_external_accounts.clone();
        Ok(target.map_or_else(|| self.another(), |target| Self::of(&self.world, target)))
    }

    /// Key identifier and MAC key of an external account.
    fn external_account(&self) -> Result<(String, String), NotApplicable> {
        let absent = NotApplicable("external account that we know");
        self.world.external_account.clone().ok_or(absent)
    }
}
