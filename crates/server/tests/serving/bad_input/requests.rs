//! Bodies that are no flattened JWS, and payloads that are no object (RFC 8555 §6.2, RFC 7515 §7.2.2).

use acme::{Algorithm, base64url_encode};
use http::Method;
use serde_json::{Value, json};

use super::scene;
use crate::support::account::Account;
use crate::support::client::{Client, JOSE, identifiers};
use crate::support::problem::{Refusal, malformed, refusal};

/// A request for a new order that is right in everything, in its parts.
pub(super) struct Good<'a> {
    pub(super) account: &'a Account,
    pub(super) url: String,
    pub(super) nonce: String,
}

impl<'a> Good<'a> {
    pub(super) async fn new(client: &mut Client, account: &'a Account) -> Self {
        Self { account, url: client.url("/new-order"), nonce: client.nonce().await }
    }

    pub(super) fn header(&self) -> Value {
        let algorithm = self.account.key.algorithm().as_str();
        json!({ "alg": algorithm, "kid": self.account.kid, "nonce": self.nonce, "url": self.url })
    }

    fn payload() -> String {
        json!({ "identifiers": identifiers(&["good.localhost"]) }).to_string()
    }

    /// The three members of a JWS with this header and payload.
    pub(super) fn parts(&self, header: &str, payload: &str) -> [String; 3] {
        let [header, payload] = [header, payload].map(|text| base64url_encode(text.as_bytes()));
        let signature = self.account.key.signature(format!("{header}.{payload}").as_bytes());
        [header, payload, base64url_encode(&signature)]
    }

    fn good_parts(&self) -> [String; 3] {
        self.parts(&self.header().to_string(), &Self::payload())
    }

    /// The body with this header, signed.
    pub(super) fn with_header(&self, header: &str) -> String {
        let [protected, payload, signature] = self.parts(header, &Self::payload());
        body(&protected, &payload, &signature)
    }

    fn with_payload(&self, payload: &str) -> String {
        let [protected, payload, signature] = self.parts(&self.header().to_string(), payload);
        body(&protected, &payload, &signature)
    }
}

pub(super) fn body(protected: &str, payload: &str, signature: &str) -> String {
    json!({ "protected": protected, "payload": payload, "signature": signature }).to_string()
}

/// How a good request is made bad, and what it gets.
pub(super) type Case = (&'static str, fn(&Good<'_>) -> String, Refusal);

const BODIES: &[Case] = &[
    ("no body", |_| String::new(), malformed("not a flattened JWS")),
    ("no JSON", |_| "certificate, please".to_owned(), malformed("not a flattened JWS")),
    ("an array", |_| "[]".to_owned(), malformed("JSON object")),
    ("the compact serialization", |good| good.good_parts().join("."), malformed("compact")),
    (
        "the general serialization",
        |good| {
            let [protected, payload, signature] = good.good_parts();
            json!({ "payload": payload, "signatures": [{ "protected": protected, "signature": signature }] })
                .to_string()
        },
        malformed("signatures"),
    ),
    (
        "an unprotected header",
        |good| {
            let [protected, payload, signature] = good.good_parts();
            json!({ "protected": protected, "payload": payload, "signature": signature, "header": {} }).to_string()
        },
        malformed("unprotected"),
    ),
    ("no protected header", |good| without(good, "protected"), malformed("`protected`")),
    ("no payload", |good| without(good, "payload"), malformed("`payload`")),
    ("no signature", |good| without(good, "signature"), malformed("`signature`")),
    ("null for a payload", |good| good.with_member("payload", &Value::Null), malformed("null")),
    ("a number for a payload", |good| good.with_member("payload", &json!(7)), malformed("integer")),
    ("padding", |good| good.with_member("payload", &json!("e30=")), malformed("base64url")),
    ("the alphabet of base64", |good| good.with_member("signature", &json!("+/+/")), malformed("base64url")),
    ("a protected header in base64", |good| good.with_member("protected", &json!("e30=")), malformed("base64url")),
    (
        "a member twice",
        |good| {
            let [protected, payload, signature] = good.good_parts();
            format!(
                r#"{{"protected":"{protected}","payload":"{payload}","payload":"{payload}","signature":"{signature}"}}"#
            )
        },
        malformed("duplicate"),
    ),
    (
        "a second value behind the first",
        |good| {
            let [protected, payload, signature] = good.good_parts();
            format!("{}{{}}", body(&protected, &payload, &signature))
        },
        malformed("trailing"),
    ),
    ("a signature of nothing", |good| good.with_member("signature", &json!("")), malformed("0 octets")),
    ("another payload than was signed", |good| good.with_member("payload", &json!("e30")), malformed("not verify")),
    (
        "a signature in DER",
        |good| good.with_member("signature", &json!(base64url_encode(&[0x30; 71]))),
        malformed("71 octets"),
    ),
    ("a payload that is no JSON", |good| good.with_payload("identifiers"), malformed("not the JSON object")),
    ("a payload that is a list", |good| good.with_payload("[]"), malformed("not the JSON object")),
    ("a payload with two objects", |good| good.with_payload("{}{}"), malformed("not the JSON object")),
    ("POST-as-GET of what is no resource to read", |good| good.with_payload(""), malformed("POST-as-GET")),
    ("an object without identifiers", |good| good.with_payload("{}"), malformed("identifiers")),
    (
        "identifiers that are no list",
        |good| good.with_payload(r#"{"identifiers":{}}"#),
        malformed("not the JSON object"),
    ),
    (
        "identifiers twice",
        |good| good.with_payload(r#"{"identifiers":[],"identifiers":[]}"#),
        malformed("duplicate field `identifiers`"),
    ),
];

impl Good<'_> {
    fn members(&self) -> serde_json::Map<String, Value> {
        let [protected, payload, signature] = self.good_parts();
        [("protected", protected), ("payload", payload), ("signature", signature)]
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .into_iter()
            .collect()
    }

    fn with_member(&self, name: &str, value: &Value) -> String {
        let mut members = self.members();
        members.insert(name.to_owned(), value.clone());
        Value::from(members).to_string()
    }
}

fn without(good: &Good<'_>, member: &str) -> String {
    let mut members = good.members();
    members.remove(member);
    Value::from(members).to_string()
}

#[tokio::test]
async fn bodies_that_are_no_signed_request_are_refused() {
    let (_server, mut client, mut witness) = scene().await;
    let account = client.account(Algorithm::Es256).await;
    witness.accept().await;
    for (what, make, due) in BODIES {
        let good = Good::new(&mut client, &account).await;
        let answer = client.post_body("/new-order", make(&good).into_bytes()).await;
        witness.assert_refused(&answer, *due, what).await;
    }
    let good = Good::new(&mut client, &account).await;
    let answer = client.post_body("/new-order", good.with_header(&good.header().to_string()).into_bytes()).await;
    assert_eq!(answer.status, 201, "what all of these were made of is right: {}", answer.text());
}

#[tokio::test]
async fn other_content_types_are_refused() {
    let (_server, mut client, mut witness) = scene().await;
    let account = client.account(Algorithm::Es256).await;
    witness.accept().await;
    for content_type in [None, Some("application/json"), Some("application/jose"), Some("text/plain"), Some("")] {
        let good = Good::new(&mut client, &account).await;
        let body = good.with_header(&good.header().to_string());
        let headers: Vec<(&str, &str)> = content_type.map(|value| ("content-type", value)).into_iter().collect();
        let answer = client.send(Method::POST, "/new-order", &headers, body.into_bytes()).await;
        let due = refusal(415, "malformed", "application/jose+json");
        witness.assert_refused(&answer, due, &format!("{content_type:?}")).await;
    }
    let good = Good::new(&mut client, &account).await;
    let body = good.with_header(&good.header().to_string());
    let headers = [("content-type", "Application/JOSE+JSON; charset=utf-8")];
    let answer = client.send(Method::POST, "/new-order", &headers, body.into_bytes()).await;
    assert_eq!(answer.status, 201, "case and parameters don't matter: {}", answer.text());
}

#[tokio::test]
async fn oversized_bodies_are_refused() {
    let (server, mut client, mut witness) = scene().await;
    let account = client.account(Algorithm::Es256).await;
    witness.accept().await;
    let good = Good::new(&mut client, &account).await;
    let filler = "x".repeat(64 * 1024);
    let payload = json!({ "identifiers": identifiers(&["good.localhost"]), "filler": filler }).to_string();
    let answer = client.post_body("/new-order", good.with_payload(&payload).into_bytes()).await;
    witness.assert_refused(&answer, refusal(413, "malformed", "65536 octets"), "a large body").await;
    // Behind a body that was not read to its end nothing can be read: the connection is another one.
    let mut client = server.client();
    let good = Good::new(&mut client, &account).await;
    let answer = client.post_body("/new-order", good.with_payload(&payload[..30_000]).into_bytes()).await;
    witness.assert_refused(&answer, malformed("not the JSON object"), "a large body within the limit").await;
}

#[tokio::test]
async fn a_host_header_that_is_no_host_is_refused() {
    let (_server, mut client, mut witness) = scene().await;
    for host in ["", "a b", "ca.example/dir", "ca.example\\dir", "user@ca.example", "\"><script>"] {
        let answer = client.send(Method::POST, "/new-account", &[JOSE, ("host", host)], b"{}".to_vec()).await;
        assert_eq!((answer.status.as_u16(), answer.links("index")), (400, Vec::new()), "{host:?}: {answer:?}");
        let problem = answer.json();
        assert_eq!(problem["type"], "urn:ietf:params:acme:error:malformed", "{host:?}: {problem}");
    }
    let counts = witness.before.clone();
    witness.accept().await;
    assert_eq!(witness.before, counts);
}
