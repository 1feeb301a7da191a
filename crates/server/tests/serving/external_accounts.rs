//! External account binding (RFC 8555 §7.3.4).

use acme::{Algorithm, MacKey, SigningKey, base64url_encode, bind_externally};
use serde_json::{Value, json};

use crate::support::account::{Account, signing_key};
use crate::support::client::{Client, identifiers, list, text};
use crate::support::connection::Answer;
use crate::support::problem::{Refusal, assert_refused, malformed, refusal};
use crate::support::records::Records;
use crate::support::server::Server;

const REQUIRED: &str = "external-account-binding = \"required\"\n";

/// A key as the operator gives it out.
struct Given {
    kid: String,
    key: MacKey,
}

async fn give(server: &Server, arguments: &[&str]) -> Given {
    let made = server.json(&[&["eab", "create"], arguments].concat()).await;
    let key = MacKey::parse(text(&made["hmac_key"])).expect("it is as clients take it");
    Given { kid: text(&made["kid"]).to_owned(), key }
}

impl Given {
    fn binding(&self, client: &Client, key: &SigningKey) -> Value {
        bind_externally(&self.kid, &self.key, &client.url("/new-account"), key.jwk())
    }

    async fn bind(&self, client: &mut Client, key: &SigningKey) -> Answer {
        let binding = self.binding(client, key);
        with_binding(client, key, &binding).await
    }
}

async fn with_binding(client: &mut Client, key: &SigningKey, binding: &Value) -> Answer {
    let asked = json!({ "termsOfServiceAgreed": true, "externalAccountBinding": binding });
    client.post_by_key(key, "/new-account", &asked).await
}

async fn accounts(server: &Server) -> u64 {
    // One of them is the server's own.
    Records::of(server).lasting().await["cairn_accounts"] - 1
}

#[tokio::test]
async fn an_account_is_bound_with_a_key_that_was_given_out() {
    let server = Server::start(REQUIRED).await;
    let mut client = server.client();
    assert_eq!(client.read("/dir").await.object(200)["meta"]["externalAccountRequired"], true);
    let key = signing_key(Algorithm::Es256);
    let answer = client.post_by_key(&key, "/new-account", &json!({ "termsOfServiceAgreed": true })).await;
    assert_refused(&answer, refusal(403, "externalAccountRequired", "HMAC key"), "newAccount without a binding");
    let given = give(&server, &["--label", "for a test"]).await;
    let binding = given.binding(&client, &key);
    let made = with_binding(&mut client, &key, &binding).await;
    assert_eq!(made.object(201)["externalAccountBinding"], binding, "RFC 8555 §7.3.4: the same value");
    let account = Account { key, pkcs8: Vec::new(), kid: made.location() };
    client.issued(&account, &["bound.localhost"]).await;
    let new = signing_key(Algorithm::Es384);
    assert_eq!(client.change_key(&account, &new, |inner| inner).await.status, 200);
    let account = Account { key: new, ..account };
    let object = client.post_as_get(&account, &account.kid).await.object(200);
    assert_eq!(object["externalAccountBinding"], binding, "whatever its key is");

    // It has been used up, and the account that it bound is found all the same.
    let found = given.bind(&mut client, &account.key).await;
    assert_eq!((found.status.as_u16(), found.location()), (200, account.kid.clone()));
    let found = client.post_by_key(&account.key, "/new-account", &json!({ "onlyReturnExisting": true })).await;
    assert_eq!((found.status.as_u16(), found.location()), (200, account.kid.clone()));
    let answer = given.bind(&mut client, &signing_key(Algorithm::Es256)).await;
    assert_refused(&answer, refusal(403, "unauthorized", "as often as it may be"), "a key that is used up");
    assert_eq!(accounts(&server).await, 1);

    let listed = server.json(&["eab", "list"]).await;
    let listed = &list(&listed)[0];
    assert_eq!(
        (&listed["kid"], &listed["state"], &listed["accounts"]),
        (&json!(given.kid), &json!("used up"), &json!(1))
    );
    assert_eq!(listed["label"], "for a test");
    assert!(!listed.to_string().contains(&given.key.to_base64url()), "a list shows no secret: {listed}");
    assert_eq!(server.logged(&given.key.to_base64url()), 0, "nor does the log");
    server.assert_sound().await;
}

#[tokio::test]
async fn a_key_can_permit_as_many_names_as_it_may_have() {
    let server = Server::start(REQUIRED).await;
    let label = "a".repeat(60);
    let names: Vec<String> = (0..1000).map(|number| format!("{label}.{label}.{label}.n{number}.localhost")).collect();
    let arguments: Vec<&str> = names.iter().flat_map(|name| ["--name", name]).collect();
    give(&server, &arguments).await;
    assert_eq!(list(&list(&server.json(&["eab", "list"]).await)[0]["names"]).len(), names.len());
}

type Fault = (&'static str, fn(&Parts<'_>) -> Value, Refusal);

/// What a binding is made of.
struct Parts<'a> {
    given: &'a Given,
    header: Value,
    account: &'a SigningKey,
}

impl Parts<'_> {
    fn sealed(&self, header: &Value, payload: &str, key: &MacKey) -> Value {
        let (header, payload) = (base64url_encode(header.to_string().as_bytes()), base64url_encode(payload.as_bytes()));
        let algorithm = match self.header["alg"].as_str() {
            Some("HS384") => aws_lc_rs::hmac::HMAC_SHA384,
            Some("HS512") => aws_lc_rs::hmac::HMAC_SHA512,
            _ => aws_lc_rs::hmac::HMAC_SHA256,
        };
        let key = aws_lc_rs::hmac::Key::new(algorithm, key.as_bytes());
        let mac = aws_lc_rs::hmac::sign(&key, format!("{header}.{payload}").as_bytes());
        json!({ "protected": header, "payload": payload, "signature": base64url_encode(mac.as_ref()) })
    }

    fn with(&self, member: &str, value: Value) -> Value {
        let mut header = self.header.clone();
        header[member] = value;
        self.sealed(&header, &self.account.jwk().to_json(), &self.given.key)
    }

    fn without(&self, member: &str) -> Value {
        let mut header = self.header.clone();
        header.as_object_mut().expect("an object").remove(member);
        self.sealed(&header, &self.account.jwk().to_json(), &self.given.key)
    }

    fn good(&self) -> Value {
        self.sealed(&self.header, &self.account.jwk().to_json(), &self.given.key)
    }
}

const fn unauthorized(names: &'static str) -> Refusal {
    refusal(403, "unauthorized", names)
}

const FAULTS: &[Fault] = &[
    ("a nonce", |parts| parts.with("nonce", json!("bm9uY2U")), malformed("no `nonce`")),
    ("a key beside the kid", |parts| parts.with("jwk", json!({})), malformed("no `jwk`")),
    ("another URL", |parts| parts.with("url", json!("https://ca.example/new-account")), malformed("`url`")),
    ("no URL", |parts| parts.without("url"), malformed("`url`")),
    ("no key identifier", |parts| parts.without("kid"), malformed("`kid`")),
    ("no algorithm", |parts| parts.without("alg"), malformed("`alg`")),
    (
        "a signature algorithm",
        |parts| parts.with("alg", json!("ES256")),
        refusal(400, "badSignatureAlgorithm", "HS256"),
    ),
    ("the algorithm none", |parts| parts.with("alg", json!("none")), refusal(400, "badSignatureAlgorithm", "HS256")),
    ("an unknown key", |parts| parts.with("kid", json!("nobody")), unauthorized("no key with this `kid`")),
    ("a kid that none can be", |parts| parts.with("kid", json!("a b")), unauthorized("no key with this `kid`")),
    (
        "another MAC key",
        |parts| {
            let other = MacKey::new(vec![7; 32]).expect("a key");
            parts.sealed(&parts.header, &parts.account.jwk().to_json(), &other)
        },
        unauthorized("MAC"),
    ),
    (
        "another payload than was sealed",
        |parts| {
            let mut binding = parts.good();
            binding["payload"] = json!(base64url_encode(b"{}"));
            binding
        },
        unauthorized("MAC"),
    ),
    (
        "another account's key",
        |parts| {
            let other = signing_key(Algorithm::Es256);
            parts.sealed(&parts.header, &other.jwk().to_json(), &parts.given.key)
        },
        malformed("`jwk`"),
    ),
    ("an empty payload", |parts| parts.sealed(&parts.header, "", &parts.given.key), malformed("payload")),
    (
        "a shortened MAC",
        |parts| {
            let mut binding = parts.good();
            binding["signature"] = json!(base64url_encode(b"short"));
            binding
        },
        unauthorized("MAC"),
    ),
    ("a text", |_| json!("binding"), malformed("flattened JWS")),
    ("null", |_| Value::Null, refusal(403, "externalAccountRequired", "HMAC key")),
    ("nothing in it", |_| json!({}), malformed("`protected`")),
    (
        "an unprotected header",
        |parts| {
            let mut binding = parts.good();
            binding["header"] = json!({});
            binding
        },
        malformed("unprotected"),
    ),
];

#[tokio::test]
async fn bindings_that_are_not_right_make_no_account_and_use_nothing_up() {
    let server = Server::start(REQUIRED).await;
    let mut client = server.client();
    let given = give(&server, &[]).await;
    let account = signing_key(Algorithm::Es256);
    let header = json!({ "alg": "HS256", "kid": given.kid, "url": client.url("/new-account") });
    let parts = Parts { given: &given, header, account: &account };
    for (what, make, due) in FAULTS {
        let answer = with_binding(&mut client, &account, &make(&parts)).await;
        assert_refused(&answer, *due, what);
        assert_eq!(accounts(&server).await, 0, "{what}");
    }
    let asked = json!({ "contact": ["tel:1"], "externalAccountBinding": parts.good() });
    let answer = client.post_by_key(&account, "/new-account", &asked).await;
    assert_refused(&answer, refusal(400, "unsupportedContact", "tel"), "a good binding with a bad contact");
    let listed = server.json(&["eab", "list"]).await;
    assert_eq!(list(&listed)[0]["uses_left"], 1, "none of these counted");
    let answer = with_binding(&mut client, &account, &parts.good()).await;
    assert_eq!(answer.status, 201, "what all of these were made of is right: {}", answer.text());
}

#[tokio::test]
async fn each_of_the_three_algorithms_binds() {
    let server = Server::start(REQUIRED).await;
    let mut client = server.client();
    let given = give(&server, &["--uses", "3"]).await;
    for algorithm in ["HS256", "HS384", "HS512"] {
        let account = signing_key(Algorithm::Es256);
        let header = json!({ "alg": algorithm, "kid": given.kid, "url": client.url("/new-account") });
        let parts = Parts { given: &given, header, account: &account };
        let answer = with_binding(&mut client, &account, &parts.good()).await;
        assert_eq!(answer.status, 201, "{algorithm}: {}", answer.text());
    }
    assert_eq!(accounts(&server).await, 3);
}

#[tokio::test]
async fn of_simultaneous_requests_with_a_key_for_one_account_one_makes_it() {
    let server = Server::start(REQUIRED).await;
    let given = give(&server, &[]).await;
    let requests: Vec<_> = (0..8)
        .map(|_| {
            let mut client = server.client();
            let key = signing_key(Algorithm::Es256);
            let binding = given.binding(&client, &key);
            tokio::spawn(async move { with_binding(&mut client, &key, &binding).await })
        })
        .collect();
    let mut made = 0;
    for request in requests {
        let answer = request.await.expect("it does not panic");
        if answer.status == 201 {
            made += 1;
        } else {
            assert_refused(&answer, unauthorized("as often as it may be"), "one that came too late");
        }
    }
    assert_eq!((made, accounts(&server).await), (1, 1));
    server.assert_sound().await;
}

#[tokio::test]
async fn accounts_order_what_their_key_permits() {
    let server = Server::start(REQUIRED).await;
    let mut client = server.client();
    let given = give(&server, &["--name", "one.localhost", "--name", "*.team.localhost"]).await;
    let key = signing_key(Algorithm::Es256);
    let made = given.bind(&mut client, &key).await;
    let account = Account { key, pkcs8: Vec::new(), kid: made.location() };
    client.order(&account, &["one.localhost", "a.team.localhost", "*.team.localhost"]).await;
    for refused in [&["two.localhost"][..], &["team.localhost", "x.one.localhost", "one.localhost"]] {
        let answer = client.post(&account, "/new-order", &json!({ "identifiers": identifiers(refused) })).await;
        let problem = assert_refused(&answer, refusal(400, "rejectedIdentifier", ""), "names that are not permitted");
        let named: Vec<&str> =
            list(&problem["subproblems"]).iter().map(|one| text(&one["identifier"]["value"])).collect();
        let mut due: Vec<&str> = refused.iter().copied().filter(|name| *name != "one.localhost").collect();
        due.sort_unstable();
        assert_eq!(named, due);
    }
    server.command(&["eab", "revoke", &given.kid]).await;
    let answer = client.post(&account, "/new-order", &json!({ "identifiers": identifiers(&["two.localhost"]) })).await;
    assert_refused(&answer, refusal(400, "rejectedIdentifier", "two.localhost"), "after its key was revoked");
    client.order(&account, &["one.localhost"]).await;
}

#[tokio::test]
async fn keys_are_made_and_revoked_with_a_server_and_without() {
    let mut server = Server::start("external-account-binding = \"optional\"\n").await;
    let mut client = server.client();
    assert_eq!(client.read("/dir").await.object(200)["meta"].get("externalAccountRequired"), None);
    let unbound = client.account(Algorithm::Es256).await;
    client.order(&unbound, &["anything.localhost"]).await;
    let revoked = give(&server, &["--unlimited"]).await;
    revoked.bind(&mut client, &signing_key(Algorithm::Es256)).await.object(201);
    let output = server.command(&["eab", "revoke", &revoked.kid]).await;
    assert!(output.status.success(), "{output:?}");
    let answer = revoked.bind(&mut client, &signing_key(Algorithm::Es256)).await;
    assert_refused(&answer, unauthorized("revoked"), "a key that was revoked");
    let unknown = server.command(&["eab", "revoke", "nobody"]).await;
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    server.terminate().await;
    let config = server.path("cairn.toml");
    let config = config.to_str().expect("a plain path");
    let offline = give(&server, &["--expires", "0", "--uses", "2", "--config", config]).await;
    server.start_again();
    server.wait_until_it_serves().await;
    let mut client = server.client();
    offline.bind(&mut client, &signing_key(Algorithm::Es256)).await.object(201);
    let listed = server.json(&["eab", "list"]).await;
    let states: Vec<&str> = list(&listed).iter().map(|key| text(&key["state"])).collect();
    assert_eq!(states, ["revoked", "good"]);
    assert_eq!((&list(&listed)[1]["uses_left"], &list(&listed)[1]["expires"]), (&json!(1), &Value::Null));
}

#[tokio::test]
async fn a_ca_without_external_accounts_says_so() {
    let server = Server::start("").await;
    let mut client = server.client();
    let given = give(&server, &[]).await;
    let answer = given.bind(&mut client, &signing_key(Algorithm::Es256)).await;
    assert_refused(&answer, malformed("offers no external account binding"), "a binding that nobody asked for");
    assert_eq!(accounts(&server).await, 0);
}
