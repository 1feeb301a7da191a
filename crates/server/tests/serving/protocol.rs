//! What every answer carries: nonces, links, cache and cross-origin headers, when to come again (RFC 8555 §6, §7.1,
//! §7.2).

use acme::Algorithm;
use http::Method;
use serde_json::{Value, json};

use crate::support::client::text;
use crate::support::problem::{assert_refused, refusal};
use crate::support::responder::responder;
use crate::support::server::Server;
use crate::support::world::{PATIENCE, within};

#[tokio::test]
async fn the_directory_names_every_resource() {
    let server = Server::start("").await;
    let mut client = server.client();
    let answer = client.read("/dir").await;
    let directory = answer.object(200);
    for (name, path) in [
        ("newNonce", "/new-nonce"),
        ("newAccount", "/new-account"),
        ("newOrder", "/new-order"),
        ("revokeCert", "/revoke-cert"),
    ] {
        assert_eq!(directory[name], client.url(path), "{directory}");
    }
    let profiles = directory["meta"]["profiles"].as_object().expect("profiles are offered");
    let names: Vec<&str> = profiles.keys().map(String::as_str).collect();
    assert_eq!(names, ["classic", "internal", "shortlived"], "the profile of this CA's own certificate is not offered");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    // URLs follow the Host that the client says.
    let headers = [("host", "ca.example:14000")];
    let answer = client.send(Method::GET, "/dir", &headers, Vec::new()).await;
    assert_eq!(answer.object(200)["newOrder"], "https://ca.example:14000/new-order");
}

#[tokio::test]
async fn directory_and_nonces_are_read_by_signed_requests_too() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let directory = client.read("/dir").await.object(200);
    assert_eq!(client.post_as_get(&account, "/dir").await.object(200), directory);
    let answer = client.post_as_get(&account, "/new-nonce").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
    assert_eq!(client.post_as_get(&account, &account.kid).await.status, 200, "its nonce is good");
}

#[tokio::test]
async fn a_configured_base_url_is_that_of_every_url() {
    let server = Server::start("base-url = \"https://ca.example.internal\"\n").await;
    let mut client = server.client();
    for host in ["localhost", "other.example"] {
        let answer = client.send(Method::GET, "/dir", &[("host", host)], Vec::new()).await;
        assert_eq!(answer.object(200)["newOrder"], "https://ca.example.internal/new-order");
    }
    let answer = client.read("/new-nonce").await;
    assert_eq!(answer.links("index"), ["https://ca.example.internal/dir"]);
}

#[tokio::test]
async fn nonces_are_given_by_head_and_get_and_never_twice() {
    let server = Server::start("").await;
    let mut client = server.client();
    for (method, status) in [(Method::HEAD, 200), (Method::GET, 204)].iter().cycle().take(20) {
        let answer = client.send(method.clone(), "/new-nonce", &[], Vec::new()).await;
        assert_eq!(answer.status, *status, "{method}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.links("index"), [client.url("/dir")]);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let nonce = client.nonce().await;
        assert!(acme::base64url_decode(&nonce).is_ok_and(|octets| octets.len() >= 16), "{nonce}");
    }
    // Nonces are good in any order, and for whoever has them.
    let mut other = server.client();
    let account = other.account(Algorithm::Es256).await;
    let (first, second) = (client.nonce().await, client.nonce().await);
    for nonce in [second, first] {
        let url = client.url("/new-order");
        let header = acme::Header { nonce: Some(&nonce), url: &url, kid: Some(&account.kid) };
        let order = json!({ "identifiers": [{ "type": "dns", "value": "nonce.localhost" }] }).to_string();
        let answer = other.post_body(&url, acme::sign(&account.key, header, order.as_bytes())).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}

#[tokio::test]
async fn answers_say_where_things_are_and_belong() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let payload = json!({ "identifiers": [{ "type": "dns", "value": "where.localhost" }] });
    let answer = client.post(&account, "/new-order", &payload).await;
    let (url, order) = (answer.location(), answer.object(201));
    let index = [client.url("/dir")];
    assert_eq!(answer.links("index"), index);
    assert_eq!(answer.header("access-control-expose-headers"), Some("Link, Location, Replay-Nonce, Retry-After"));
    assert_eq!((&order["status"], &order["profile"]), (&json!("pending"), &json!("classic")));
    let answer = client.post_as_get(&account, &url).await;
    assert_eq!((answer.location(), answer.object(200)), (url, order.clone()));

    let authorization = text(&order["authorizations"][0]);
    let answer = client.post_as_get(&account, authorization).await;
    let object = answer.object(200);
    assert_eq!(answer.links("index"), index);
    assert_eq!(object["identifier"], json!({ "type": "dns", "value": "where.localhost" }));
    let kinds: Vec<&Value> = object["challenges"].as_array().expect("a list").iter().map(|one| &one["type"]).collect();
    assert_eq!(kinds, ["http-01", "dns-01", "tls-alpn-01"]);
    for challenge in object["challenges"].as_array().expect("a list") {
        let answer = client.post_as_get(&account, text(&challenge["url"])).await;
        assert_eq!(answer.object(200), *challenge);
        assert_eq!(answer.links("up"), [authorization]);
        let token = text(&challenge["token"]);
        assert!(acme::base64url_decode(token).is_ok_and(|octets| octets.len() >= 16), "128 bits at least: {token}");
    }
}

#[tokio::test]
async fn a_wildcard_is_shown_by_dns_only() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (_, order) = client.order(&account, &["*.wild.localhost"]).await;
    let object = client.post_as_get(&account, text(&order["authorizations"][0])).await.object(200);
    assert_eq!(object["identifier"]["value"], "wild.localhost");
    assert_eq!(object["wildcard"], true);
    let kinds: Vec<&Value> = object["challenges"].as_array().expect("a list").iter().map(|one| &one["type"]).collect();
    assert_eq!(kinds, ["dns-01"]);
}

#[tokio::test]
async fn polls_wait_for_a_change_and_not_longer_than_asked() {
    let server = Server::start("[times]\npoll-wait = 50\nsweep = 3600\n").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (url, order) = client.order(&account, &["poll.localhost"]).await;
    let (challenge, token) = client.http_01(&account, &order["authorizations"][0]).await;
    responder().hold(&token);
    // As long as it waits for its client, nothing will change: the answer comes at once.
    let answer = within(PATIENCE / 3, "an order that waits for its client", client.post_as_get(&account, &url)).await;
    assert_eq!((answer.header("retry-after"), answer.header("preference-applied")), (None, None));

    let answer = client.post(&account, &challenge, &json!({})).await;
    assert_eq!(answer.object(200)["status"], "processing");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let (watched, asked) = (responder(), token.clone());
    tokio::task::spawn_blocking(move || watched.wait_until_asked(&asked)).await.expect("the server asks");
    for polled in [&url, text(&order["authorizations"][0])] {
        let prefer = [("prefer", "wait=1")];
        let poll = client.try_post(&account, polled, b"", &prefer);
        let answer = within(PATIENCE / 3, "a poll of one second", poll).await.expect("the server answers");
        assert_eq!(answer.object(200)["status"], "pending", "{polled}");
        assert_eq!(answer.header("preference-applied"), Some("wait"), "{polled}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{polled}");
    }
    let mut other = server.client();
    let poll = async { within(PATIENCE / 2, "news, long before 50 seconds", other.post_as_get(&account, &url)).await };
    let show = async { responder().show(&token, account.key_authorization(&token)) };
    let (answer, ()) = tokio::join!(poll, show);
    assert_eq!(answer.object(200)["status"], "ready");
}

#[tokio::test]
async fn a_second_answer_during_a_test_needs_no_sweep() {
    let server = Server::start("[times]\nsweep = 3600\n").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (url, order) = client.order(&account, &["first.pair.localhost", "second.pair.localhost"]).await;
    let (first, held) = client.http_01(&account, &order["authorizations"][0]).await;
    let (second, token) = client.http_01(&account, &order["authorizations"][1]).await;
    responder().hold(&held);
    client.post(&account, &first, &json!({})).await.object(200);
    let asked = held.clone();
    tokio::task::spawn_blocking(move || responder().wait_until_asked(&asked)).await.expect("the server asks");
    responder().show(&token, account.key_authorization(&token));
    client.post(&account, &second, &json!({})).await.object(200);
    responder().show(&held, account.key_authorization(&held));
    client.wait_until(&account, &url, "ready").await;
}

#[tokio::test]
async fn a_challenge_that_fails_is_told_with_its_reason() {
    let server = Server::start("[times]\nback-off = 1\n").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (url, order) = client.order(&account, &["wrong.localhost"]).await;
    let (challenge, token) = client.http_01(&account, &order["authorizations"][0]).await;
    responder().show(&token, format!("{token}.{}", "A".repeat(43)));
    client.post(&account, &challenge, &json!({})).await.object(200);
    let invalid = within(PATIENCE, "the order is invalid", async {
        loop {
            let order = client.post_as_get(&account, &url).await.object(200);
            if order["status"] != "pending" {
                return order;
            }
        }
    })
    .await;
    assert_eq!(invalid["status"], "invalid");
    let problem = &invalid["error"];
    assert_eq!(problem["type"], "urn:ietf:params:acme:error:unauthorized", "{invalid}");
    let authorization = client.post_as_get(&account, text(&order["authorizations"][0])).await.object(200);
    assert_eq!(authorization["status"], "invalid");
    assert_eq!(authorization["challenges"][0]["error"]["type"], problem["type"], "{authorization}");
    let answer = client.post(&account, &challenge, &json!({})).await;
    assert_refused(&answer, refusal(400, "malformed", "new order"), "an answer after the end");
}
