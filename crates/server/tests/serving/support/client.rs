//! An ACME client: the flow of RFC 8555 in few words, and requests as right or wrong as a test wants them.

use std::collections::HashSet;

use acme::{Algorithm, Header, SigningKey, base64url_encode, sign};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use super::account::{Account, pkcs8};
use super::connection::{Answer, Connection, Door, NoAnswer};
use super::csr::{SubjectKey, csr};
use super::responder::responder;
use super::world::{PATIENCE, within};

pub(crate) const JOSE: (&str, &str) = ("content-type", "application/jose+json");

/// A client with a connection and nonces of its own. Its methods fail the test when there is no answer, or another than
/// the flow wants, except for those whose names begin with `try`.
pub(crate) struct Client {
    connection: Connection,
    base: String,
    nonce: Option<String>,
    seen: HashSet<String>,
}

impl Client {
    pub(crate) fn new(door: Door) -> Self {
        Self { base: door.base(), connection: Connection::new(door), nonce: None, seen: HashSet::new() }
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sends a request to a URL or path. Every answer to a POST carries a nonce that was never seen (RFC 8555 §6.5).
    pub(crate) async fn try_send(
        &mut self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, NoAnswer> {
        let path = url.strip_prefix(&self.base).unwrap_or(url);
        let posts = method == Method::POST;
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request that can be sent");
        let answer = self.connection.send(request).await?;
        match answer.header("replay-nonce") {
            Some(nonce) => {
                assert!(self.seen.insert(nonce.to_owned()), "the nonce {nonce} was given twice: {answer:?}");
                self.nonce = Some(nonce.to_owned());
            }
            None => assert!(!posts, "an answer to a POST has no nonce: {answer:?}"),
        }
        Ok(answer)
    }

    pub(crate) async fn send(&mut self, method: Method, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        self.try_send(method, url, headers, body).await.expect("the server answers")
    }

    pub(crate) async fn read(&mut self, url: &str) -> Answer {
        self.send(Method::GET, url, &[], Vec::new()).await
    }

    /// Sends what no account signs, to a listener that wants no signature.
    pub(crate) async fn set(&mut self, path: &str, body: String) -> Answer {
        let request = Request::builder().method(Method::POST).uri(path).body(Full::new(Bytes::from(body)));
        let request = request.expect("a request that can be sent");
        self.connection.send(request).await.expect("the server answers")
    }

    /// A nonce that was not used yet: that of the last answer, or a new one.
    pub(crate) async fn try_nonce(&mut self) -> Result<String, NoAnswer> {
        if self.nonce.is_none() {
            self.try_send(Method::HEAD, "/new-nonce", &[], Vec::new()).await?;
        }
        Ok(self.nonce.take().expect("newNonce gives one (RFC 8555 §7.2)"))
    }

    pub(crate) async fn nonce(&mut self) -> String {
        self.try_nonce().await.expect("the server answers")
    }

    /// Sends the body of a signed request.
    pub(crate) async fn post_body(&mut self, url: &str, body: Vec<u8>) -> Answer {
        self.send(Method::POST, url, &[JOSE], body).await
    }

    /// A request signed by an account; with an empty payload POST-as-GET.
    pub(crate) async fn try_post(
        &mut self,
        account: &Account,
        url: &str,
        payload: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<Answer, NoAnswer> {
        let nonce = self.try_nonce().await?;
        let url = if url.starts_with('/') { self.url(url) } else { url.to_owned() };
        let header = Header { nonce: Some(&nonce), url: &url, kid: Some(&account.kid) };
        let body = sign(&account.key, header, payload);
        self.try_send(Method::POST, &url, &[&[JOSE], headers].concat(), body).await
    }

    pub(crate) async fn post(&mut self, account: &Account, url: &str, payload: &Value) -> Answer {
        self.try_post(account, url, payload.to_string().as_bytes(), &[]).await.expect("the server answers")
    }

    pub(crate) async fn post_as_get(&mut self, account: &Account, url: &str) -> Answer {
        self.try_post(account, url, b"", &[]).await.expect("the server answers")
    }

    /// A request signed with the key that it carries.
    pub(crate) async fn try_post_by_key(
        &mut self,
        key: &SigningKey,
        url: &str,
        payload: &Value,
    ) -> Result<Answer, NoAnswer> {
        let nonce = self.try_nonce().await?;
        let full = self.url(url);
        let body = sign(key, Header { nonce: Some(&nonce), url: &full, kid: None }, payload.to_string().as_bytes());
        self.try_send(Method::POST, url, &[JOSE], body).await
    }

    pub(crate) async fn post_by_key(&mut self, key: &SigningKey, url: &str, payload: &Value) -> Answer {
        self.try_post_by_key(key, url, payload).await.expect("the server answers")
    }

    /// A new account with a key of this kind.
    pub(crate) async fn account(&mut self, algorithm: Algorithm) -> Account {
        let pkcs8 = pkcs8(algorithm);
        let key = SigningKey::from_pkcs8(algorithm, &pkcs8).expect("a new key is good");
        let answer = self.post_by_key(&key, "/new-account", &json!({ "termsOfServiceAgreed": true })).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let kid = answer.location();
        Account { key, pkcs8, kid }
    }

    /// keyChange to this key (RFC 8555 §7.3.5). What is right in the inner JWS is changed by `change`.
    pub(crate) async fn change_key(
        &mut self,
        account: &Account,
        to: &SigningKey,
        change: impl FnOnce(Inner) -> Inner,
    ) -> Answer {
        let url = self.url("/key-change");
        let payload = json!({ "account": account.kid, "oldKey": account.key.jwk() });
        let inner = change(Inner { nonce: None, url: url.clone(), kid: None, payload });
        let Inner { nonce, url: inner_url, kid, payload } = inner;
        let header = Header { nonce: nonce.as_deref(), url: &inner_url, kid: kid.as_deref() };
        let inner = sign(to, header, payload.to_string().as_bytes());
        self.try_post(account, &url, &inner, &[]).await.expect("the server answers")
    }

    /// A new order, with its URL.
    pub(crate) async fn order(&mut self, account: &Account, names: &[&str]) -> (String, Value) {
        let answer = self.post(account, "/new-order", &json!({ "identifiers": identifiers(names) })).await;
        (answer.location(), answer.object(201))
    }

    /// The http-01 challenge of an authorization: its URL and token.
    pub(crate) async fn http_01(&mut self, account: &Account, authorization: &Value) -> (String, String) {
        let answer = self.post_as_get(account, text(authorization)).await;
        http_01_of(&answer.object(200))
    }

    /// Makes an order ready: all its challenges are shown, answered and tested.
    pub(crate) async fn ready(&mut self, account: &Account, names: &[&str]) -> (String, Value) {
        let (url, order) = self.order(account, names).await;
        for authorization in list(&order["authorizations"]) {
            let object = self.post_as_get(account, text(authorization)).await.object(200);
            if object["status"] == "valid" {
                continue;
            }
            let (challenge, token) = http_01_of(&object);
            responder().show(&token, account.key_authorization(&token));
            self.post(account, &challenge, &json!({})).await.object(200);
        }
        let order = self.wait_until(account, &url, "ready").await;
        (url, order)
    }

    /// Polls an order until it has this status.
    pub(crate) async fn wait_until(&mut self, account: &Account, url: &str, status: &str) -> Value {
        within(PATIENCE, "the order goes on", async {
            loop {
                let order = self.post_as_get(account, url).await.object(200);
                if order["status"] == status {
                    return order;
                }
                assert!(order["status"] != "invalid" && order["status"] != "valid", "{order}");
            }
        })
        .await
    }

    /// Finalizes an order that is ready, and waits for its certificate's URL.
    pub(crate) async fn finalize(&mut self, account: &Account, order: &(String, Value), csr: &[u8]) -> Value {
        let payload = json!({ "csr": base64url_encode(csr) });
        self.post(account, text(&order.1["finalize"]), &payload).await.object(200);
        self.wait_until(account, &order.0, "valid").await
    }

    /// A certificate with everything that leads to it.
    pub(crate) async fn issued(&mut self, account: &Account, names: &[&str]) -> Issued {
        let ready = self.ready(account, names).await;
        let key = SubjectKey::new();
        let order = self.finalize(account, &ready, &csr(&key, names)).await;
        Issued { order: ready.0, object: order, key }
    }

    /// Downloads the chain of an order that is valid: the DER of each certificate.
    pub(crate) async fn chain(&mut self, account: &Account, order: &Value) -> Vec<Vec<u8>> {
        let answer = self.post_as_get(account, text(&order["certificate"])).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        certificates(answer.text())
    }
}

/// The inner JWS of a key change, before it is signed.
pub(crate) struct Inner {
    pub(crate) nonce: Option<String>,
    pub(crate) url: String,
    pub(crate) kid: Option<String>,
    pub(crate) payload: Value,
}

/// An order that is valid.
pub(crate) struct Issued {
    /// Its URL.
    pub(crate) order: String,
    /// As the server shows it.
    pub(crate) object: Value,
    /// The certificate's key.
    pub(crate) key: SubjectKey,
}

/// The challenge http-01 of an authorization: its URL and token.
pub(crate) fn http_01_of(authorization: &Value) -> (String, String) {
    let challenge = list(&authorization["challenges"]).iter().find(|one| one["type"] == "http-01");
    let challenge = challenge.unwrap_or_else(|| panic!("no http-01 in {authorization}"));
    (text(&challenge["url"]).to_owned(), text(&challenge["token"]).to_owned())
}

/// Identifiers of type `dns`.
pub(crate) fn identifiers(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "type": "dns", "value": name })).collect()
}

/// Identifiers of type `ip`.
pub(crate) fn addresses(addresses: &[&str]) -> Value {
    addresses.iter().map(|address| json!({ "type": "ip", "value": address })).collect()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

/// The DER of each certificate of a chain in PEM.
pub(crate) fn certificates(chain: &str) -> Vec<Vec<u8>> {
    let parts = chain.split("-----BEGIN CERTIFICATE-----").skip(1);
    let bodies = parts.map(|part| part.split("-----END").next().unwrap_or_default());
    let plain = bodies.map(|body| body.split_whitespace().collect::<String>());
    plain.map(|base64| data_encoding::BASE64.decode(base64.as_bytes()).expect("PEM holds base64")).collect()
}
