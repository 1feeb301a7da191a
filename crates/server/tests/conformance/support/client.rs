//! An ACME client that says what a case wants, right or wrong.

use std::sync::Arc;

use acme::{Algorithm, SigningKey, base64url_encode};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use super::account::{Account, pkcs8};
use super::answer::{Answer, text};
use super::case::NotApplicable;
use super::connection::{Broken, Connection};
use super::draft::{Draft, jwk};
use super::world::{Target, World};

pub(crate) const JOSE: (&str, &str) = ("content-type", "application/jose+json");

/// A client with a connection and a nonce of its own. Its methods fail the case when there is no answer.
pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    target: Target,
    connection: Connection,
    nonce: Option<String>,
}

impl Client {
    /// A client of the server under test.
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self::of(world, world.target.clone())
    }

    /// A client of this server.
    pub(crate) fn of(world: &Arc<World>, target: Target) -> Self {
        let connection = Connection::new(target.tls.clone());
        Self { world: Arc::clone(world), target, connection, nonce: None }
    }

    /// Another client of the same server, with a connection of its own.
    pub(crate) fn another(&self) -> Self {
        Self::of(&self.world, self.target.clone())
    }

    /// The directory's URL.
    pub(crate) fn directory_url(&self) -> &str {
        &self.target.url
    }

    /// The directory object.
    pub(crate) const fn directory(&self) -> &Value {
        &self.target.directory
    }

    /// The URL of a resource that every server has.
    #[track_caller]
    pub(crate) fn url(&self, resource: &str) -> String {
        text(&self.target.directory[resource]).to_owned()
    }

    /// The URL of a resource that a server may lack.
    pub(crate) fn url_if_any(&self, resource: &'static str) -> Result<String, NotApplicable> {
        self.target.directory[resource].as_str().map(str::to_owned).ok_or(NotApplicable(resource))
    }

    /// A name that no other case has.
    pub(crate) fn name(&self) -> String {
        self.world.name()
    }

    /// Sends a request. A nonce in the answer is kept for the next.
    pub(crate) async fn try_send(
        &mut self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, Broken> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.connection.send(request.body(Full::new(Bytes::from(body)))?).await?;
        if let Some(nonce) = answer.header("replay-nonce") {
            self.nonce = Some(nonce.to_owned());
        }
        Ok(answer)
    }

    pub(crate) async fn send(&mut self, method: Method, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let answer = self.try_send(method.clone(), url, headers, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {url} gets no answer: {error}"))
    }

    pub(crate) async fn get(&mut self, url: &str) -> Answer {
        self.send(Method::GET, url, &[], Vec::new()).await
    }

    /// A nonce that was not used yet: that of the last answer, or a new one.
    pub(crate) async fn nonce(&mut self) -> String {
        if self.nonce.is_none() {
            let url = self.url("newNonce");
            self.send(Method::HEAD, &url, &[], Vec::new()).await;
        }
        self.nonce.take().unwrap_or_else(|| panic!("newNonce gives no nonce"))
    }

    /// Sends the body of a signed request.
    pub(crate) async fn post_body(&mut self, url: &str, body: Vec<u8>) -> Answer {
        self.send(Method::POST, url, &[JOSE], body).await
    }

    /// A request of an account, not signed yet; with an empty payload POST-as-GET.
    pub(crate) async fn draft<'a>(&mut self, account: &'a Account, url: &str, payload: &[u8]) -> Draft<'a> {
        let nonce = self.nonce().await;
        Draft::new(&account.key, Some(&account.kid), &nonce, url, payload)
    }

    /// A request that carries its key, not signed yet.
    pub(crate) async fn draft_by_key<'a>(&mut self, key: &'a SigningKey, url: &str, payload: &Value) -> Draft<'a> {
        let nonce = self.nonce().await;
        Draft::new(key, None, &nonce, url, payload.to_string().as_bytes())
    }

    /// Sends a payload as it stands.
    pub(crate) async fn post_octets(&mut self, account: &Account, url: &str, payload: &[u8]) -> Answer {
        let body = self.draft(account, url, payload).await.body();
        self.post_body(url, body).await
    }

    pub(crate) async fn post(&mut self, account: &Account, url: &str, payload: &Value) -> Answer {
        self.post_octets(account, url, payload.to_string().as_bytes()).await
    }

    pub(crate) async fn post_as_get(&mut self, account: &Account, url: &str) -> Answer {
        self.post_octets(account, url, b"").await
    }

    pub(crate) async fn post_by_key(&mut self, key: &SigningKey, url: &str, payload: &Value) -> Answer {
        let body = self.draft_by_key(key, url, payload).await.body();
        self.post_body(url, body).await
    }

    /// The object at a URL.
    pub(crate) async fn read(&mut self, account: &Account, url: &str) -> Value {
        self.post_as_get(account, url).await.object(200)
    }

    /// What a newAccount request has to say at this server besides.
    pub(crate) fn new_account_payload(&self, key: &SigningKey) -> Value {
        let mut payload = json!({ "termsOfServiceAgreed": true });
        let required = self.directory()["meta"]["externalAccountRequired"] == true;
        if let Some((kid, mac_key)) = self.world.external_account.as_ref().filter(|_| required) {
            payload["externalAccountBinding"] = binding(kid, mac_key, &self.url("newAccount"), &jwk(key));
        }
        payload
    }

    /// A new account with this key.
    pub(crate) async fn account_of(&mut self, algorithm: Algorithm, pkcs8: Vec<u8>) -> Account {
        let key = SigningKey::from_pkcs8(algorithm, &pkcs8).expect("a new key is good");
        let payload = self.new_account_payload(&key);
        let url = self.url("newAccount");
        let answer = self.post_by_key(&key, &url, &payload).await;
        assert_eq!(answer.status, 201, "{}", answer.shown());
        Account { key, pkcs8, kid: answer.location() }
    }

    /// A new account.
    pub(crate) async fn account(&mut self) -> Account {
        self.account_of(Algorithm::Es256, pkcs8(Algorithm::Es256)).await
    }

    /// The URL of the account with this key, if there is one (RFC 8555 §7.3.1).
    pub(crate) async fn account_with(&mut self, key: &SigningKey) -> Option<String> {
        let url = self.url("newAccount");
        let answer = self.post_by_key(key, &url, &json!({ "onlyReturnExisting": true })).await;
        if answer.status == 200 {
            return Some(answer.location());
        }
        answer.refused(&[400], &["accountDoesNotExist"]);
        None
    }
}

/// The binding of an account's key to an external account (RFC 8555 §7.3.4).
pub(crate) fn binding(kid: &str, mac_key: &str, url: &str, key: &Value) -> Value {
    let mac_key = acme::base64url_decode(mac_key).expect("a MAC key is base64url");
    let protected = base64url_encode(json!({ "alg": "HS256", "kid": kid, "url": url }).to_string().as_bytes());
    bound(&mac_key, &protected, &base64url_encode(key.to_string().as_bytes()))
}

/// A JWS with the HMAC (SHA-256) of these texts.
pub(crate) fn bound(mac_key: &[u8], protected: &str, payload: &str) -> Value {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, mac_key);
    let mac = aws_lc_rs::hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
    json!({ "protected": protected, "payload": payload, "signature": base64url_encode(mac.as_ref()) })
}
