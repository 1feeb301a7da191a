//! Protected headers: algorithms, keys, nonces and URLs (RFC 8555 §6.2 to §6.5).

use acme::{Algorithm, Header, base64url_encode, sign};
use serde_json::{Value, json};

use super::requests::{Case, Good, body};
use super::scene;
use crate::support::account::signing_key;
use crate::support::client::identifiers;
use crate::support::problem::{Refusal, malformed, refusal};

const BAD_ALGORITHM: &str = "badSignatureAlgorithm";

impl Good<'_> {
    fn with(&self, member: &str, value: Value) -> String {
        let mut header = self.header();
        header[member] = value;
        self.with_header(&header.to_string())
    }

    fn without(&self, member: &str) -> String {
        let mut header = self.header();
        header.as_object_mut().expect("a header is an object").remove(member);
        self.with_header(&header.to_string())
    }
}

const HEADERS: &[Case] = &[
    ("a header that is no JSON", |good| good.with_header("alg"), malformed("protected header")),
    ("a header that is a list", |good| good.with_header("[]"), malformed("protected header")),
    (
        "a parameter twice",
        |good| good.with_header(&good.header().to_string().replacen('{', r#"{"alg":"ES256","#, 1)),
        malformed("duplicate field `alg`"),
    ),
    ("no algorithm", |good| good.without("alg"), malformed("`alg`")),
    ("no URL", |good| good.without("url"), malformed("`url`")),
    ("no key", |good| good.without("kid"), malformed("neither jwk nor kid")),
    (
        "two keys",
        |good| good.with("jwk", serde_json::to_value(good.account.key.jwk()).expect("keys are JSON")),
        malformed("both jwk and kid"),
    ),
    ("a critical extension", |good| good.with("crit", json!(["exp"])), malformed("`crit`")),
    ("an unencoded payload", |good| good.with("b64", json!(false)), malformed("`b64`")),
    ("no nonce", |good| good.without("nonce"), refusal(400, "badNonce", "no nonce")),
    ("a nonce that is no base64url", |good| good.with("nonce", json!("a+b/c=")), malformed("nonce is not base64url")),
    ("an endless nonce", |good| good.with("nonce", json!("A".repeat(1000))), malformed("1000 characters")),
    (
        "a forged nonce",
        |good| good.with("nonce", json!("AAAAAAAAAAAAAAAAAAAAAA")),
        refusal(400, "badNonce", "not from here"),
    ),
    (
        "a nonce with one bit changed",
        |good| {
            let last = if good.nonce.starts_with('A') { "B" } else { "A" };
            good.with("nonce", json!(format!("{last}{}", &good.nonce[1..])))
        },
        refusal(400, "badNonce", "not from here"),
    ),
    (
        "another resource's URL",
        |good| good.with("url", json!(good.url.replace("new-order", "new-account"))),
        refusal(403, "unauthorized", "/new-account"),
    ),
    (
        "another host's URL",
        |good| good.with("url", json!("https://ca.example/new-order")),
        refusal(403, "unauthorized", "https://ca.example/new-order"),
    ),
    (
        "a URL with a query",
        |good| good.with("url", json!(format!("{}?", good.url))),
        refusal(403, "unauthorized", "url"),
    ),
    ("an endless URL", |good| good.with("url", json!("a".repeat(3000))), malformed("3000 octets")),
    (
        "an account that does not exist",
        |good| good.with("kid", json!(format!("{}/acct/{}", base(good), "0".repeat(32)))),
        refusal(400, "accountDoesNotExist", "kid"),
    ),
    ("the URL of no account", |good| good.with("kid", json!(good.url)), malformed("/acct/")),
    ("an account elsewhere", |good| good.with("kid", json!("https://ca.example/acct/1")), malformed("/acct/")),
    ("no signature at all", |good| good.with("alg", json!("none")), refusal(400, BAD_ALGORITHM, "none")),
    ("a MAC", |good| good.with("alg", json!("HS256")), refusal(400, BAD_ALGORITHM, "HS256")),
    ("an algorithm of RSA", |good| good.with("alg", json!("RS256")), refusal(400, BAD_ALGORITHM, "ES256")),
    ("an algorithm of another curve", |good| good.with("alg", json!("ES384")), refusal(400, BAD_ALGORITHM, "ES256")),
    ("an unknown algorithm", |good| good.with("alg", json!("ES257")), refusal(400, BAD_ALGORITHM, "ES257")),
    ("an algorithm in small letters", |good| good.with("alg", json!("es256")), refusal(400, BAD_ALGORITHM, "es256")),
];

fn base<'a>(good: &'a Good<'_>) -> &'a str {
    good.url.strip_suffix("/new-order").expect("it is the URL of newOrder")
}

#[tokio::test]
async fn headers_that_break_a_rule_are_refused() {
    let (_server, mut client, mut witness) = scene().await;
    let account = client.account(Algorithm::Es256).await;
    witness.accept().await;
    for (what, make, due) in HEADERS {
        let good = Good::new(&mut client, &account).await;
        let answer = client.post_body("/new-order", make(&good).into_bytes()).await;
        let problem = witness.assert_refused(&answer, *due, what).await;
        let algorithms = (due.kind == BAD_ALGORITHM).then(|| json!(["ES256", "ES384", "ES512", "RS256", "EdDSA"]));
        assert_eq!(problem.get("algorithms"), algorithms.as_ref(), "{what}");
    }
}

#[tokio::test]
async fn nonces_are_good_once() {
    let (_server, mut client, mut witness) = scene().await;
    let account = client.account(Algorithm::Es256).await;
    let good = Good::new(&mut client, &account).await;
    let body = good.with_header(&good.header().to_string()).into_bytes();
    assert_eq!(client.post_body("/new-order", body.clone()).await.status, 201);
    witness.accept().await;
    let used_before = refusal(400, "badNonce", "used before");
    for what in ["the same request again", "and again"] {
        let answer = client.post_body("/new-order", body.clone()).await;
        witness.assert_refused(&answer, used_before, what).await;
    }
    // A nonce is used up whatever else is wrong with its request.
    let good = Good::new(&mut client, &account).await;
    let wrong = good.with("url", json!("https://ca.example/new-order"));
    let answer = client.post_body("/new-order", wrong.into_bytes()).await;
    witness.assert_refused(&answer, refusal(403, "unauthorized", "ca.example"), "a wrong URL").await;
    let right = good.with_header(&good.header().to_string());
    let answer = client.post_body("/new-order", right.into_bytes()).await;
    witness.assert_refused(&answer, used_before, "the nonce of a refused request").await;
}

#[tokio::test]
async fn the_key_decides_the_algorithm_and_must_be_the_accounts() {
    let (_server, mut client, mut witness) = scene().await;
    for algorithm in [Algorithm::Es384, Algorithm::Es512, Algorithm::Rs256, Algorithm::EdDsa] {
        let account = client.account(algorithm).await;
        witness.accept().await;
        let good = Good::new(&mut client, &account).await;
        let answer = client.post_body("/new-order", good.with("alg", json!("ES256")).into_bytes()).await;
        let due = refusal(400, BAD_ALGORITHM, algorithm.as_str());
        witness.assert_refused(&answer, due, &format!("ES256 for the account of an {algorithm} key")).await;

        let stranger = signing_key(algorithm);
        let nonce = client.nonce().await;
        let (url, order) = (client.url("/new-order"), json!({ "identifiers": identifiers(&["good.localhost"]) }));
        let header = Header { nonce: Some(&nonce), url: &url, kid: Some(&account.kid) };
        let answer = client.post_body(&url, sign(&stranger, header, order.to_string().as_bytes())).await;
        witness.assert_refused(&answer, malformed("does not verify"), "another's signature").await;
    }
}

#[tokio::test]
async fn each_resource_wants_its_own_kind_of_key() {
    let (_server, mut client, mut witness) = scene().await;
    let account = client.account(Algorithm::Es256).await;
    let (order, object) = client.order(&account, &["kinds.localhost"]).await;
    witness.accept().await;
    let answer = client.post(&account, "/new-account", &json!({})).await;
    witness.assert_refused(&answer, malformed("`jwk`"), "newAccount with kid").await;
    let authorization = object["authorizations"][0].as_str().expect("an order has authorizations").to_owned();
    let finalize = object["finalize"].as_str().expect("an order has a finalize URL").to_owned();
    let (challenge, _) = client.http_01(&account, &json!(authorization)).await;
    for url in ["/new-order", &order, &authorization, &finalize, &challenge, &account.kid, "/cert/00"] {
        let path = url.find("localhost:").and_then(|host| url[host..].find('/').map(|path| &url[host + path..]));
        let answer = client.post_by_key(&account.key, path.unwrap_or(url), &json!({})).await;
        witness.assert_refused(&answer, malformed("`kid`"), &format!("{url} with jwk")).await;
    }
}

#[tokio::test]
async fn keys_that_are_no_good_are_refused_in_new_account() {
    let (_server, mut client, mut witness) = scene().await;
    let good = serde_json::to_value(signing_key(Algorithm::Es256).jwk()).expect("keys are JSON");
    let with = |member: &str, value: Value| {
        let mut key = good.clone();
        key[member] = value;
        key
    };
    let rsa = |octets: usize, last: u8, e: &[u8]| {
        let modulus = [vec![0xc3; octets - 1], vec![last]].concat();
        json!({ "kty": "RSA", "n": base64url_encode(&modulus), "e": base64url_encode(e) })
    };
    let bad_key = |names| refusal(400, "badPublicKey", names);
    let cases: [(Value, &str, Refusal); 14] = [
        (with("y", good["x"].clone()), "ES256", bad_key("P-256")),
        (with("x", json!("AAAA")), "ES256", bad_key("exactly 32")),
        (with("crv", json!("P-521")), "ES256", bad_key("P-521")),
        (with("d", good["x"].clone()), "ES256", bad_key("private")),
        (with("kty", json!("PQC")), "ES256", bad_key("PQC")),
        (json!({ "kty": "oct", "k": "AAAA" }), "HS256", refusal(400, BAD_ALGORITHM, "HS256")),
        (json!({ "kty": "oct", "k": "AAAA" }), "ES256", bad_key("symmetric")),
        (json!({ "kty": "EC", "crv": "P-256", "x": good["x"] }), "ES256", malformed("`y`")),
        (json!("key"), "ES256", malformed("JSON object")),
        (rsa(128, 0xc3, &[1, 0, 1]), "RS256", bad_key("1024 bits")),
        (rsa(256, 0xc2, &[1, 0, 1]), "RS256", bad_key("even")),
        (rsa(256, 0xc3, &[1]), "RS256", bad_key("exponent")),
        (rsa(256, 0xc3, &[4]), "RS256", bad_key("exponent")),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url_encode(&[0; 32]) }), "EdDSA", bad_key("Ed25519")),
    ];
    for (jwk, algorithm, due) in cases {
        let nonce = client.nonce().await;
        let header = json!({ "alg": algorithm, "jwk": jwk, "nonce": nonce, "url": client.url("/new-account") });
        let parts = [header.to_string(), "{}".to_owned()].map(|part| base64url_encode(part.as_bytes()));
        let body = body(&parts[0], &parts[1], &base64url_encode(&[7; 64]));
        let answer = client.post_body("/new-account", body.into_bytes()).await;
        witness.assert_refused(&answer, due, &jwk.to_string()).await;
    }
}
