//! What every answer has, whatever it answers: a nonce for each POST and HEAD, a problem document for each refusal.

use std::net::Ipv4Addr;

use http::Method;

use super::wire::Wire;
use crate::support::problem::{assert_refused, refusal};
use crate::support::server::Server;

#[tokio::test]
async fn heads_that_are_too_large_are_refused_with_a_nonce() {
    let server = Server::start("[http]\nheaders = 20\nheader-octets = 4096\n").await;
    let mut client = server.client();
    let names: Vec<String> = (0..25).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let filler = "y".repeat(5000);
    for headers in [&many[..], &[("x-long", &filler)]] {
        let answer = client.send(Method::POST, "/new-order", headers, Vec::new()).await;
        let due = refusal(431, "malformed", "at most 20 headers of 4096 octets");
        assert_refused(&answer, due, "a large head");
        assert!(answer.header("replay-nonce").is_some(), "{answer:?}");
    }
    // Far beyond the limit nobody reads on: there is an answer of the protocol, or none.
    let filler = "y".repeat(100_000);
    let answer = server.client().try_send(Method::GET, "/dir", &[("x-long", &filler)], Vec::new()).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 431));
    assert_eq!(client.read("/dir").await.status, 200, "and others are served");
}

#[tokio::test]
async fn every_answer_to_a_post_or_head_has_a_fresh_nonce() {
    let server = Server::start("").await;
    let mut client = server.client();
    for path in ["/dir", "/new-nonce", "/new-account", "/acct/1", "/acct/%ff", "/order/1/finalize", "/none", "/"] {
        // That the nonce of an answer to a POST is there and new, the client itself asserts.
        let answer = client.send(Method::POST, path, &[], Vec::new()).await;
        assert!(answer.status.is_client_error(), "{path}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}: {answer:?}");
        let answer = client.send(Method::HEAD, path, &[], Vec::new()).await;
        assert!(answer.header("replay-nonce").is_some(), "HEAD {path}: {answer:?}");
    }
    for (method, path) in [(Method::GET, "/dir"), (Method::GET, "/none"), (Method::OPTIONS, "/new-order")] {
        let answer = client.send(method, path, &[], Vec::new()).await;
        assert_eq!(answer.header("replay-nonce"), None, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_request_names_one_host() {
    let server = Server::start("").await;
    let mut wire = Wire::over(server.door().open(Ipv4Addr::LOCALHOST, false).await.expect("a connection"));
    wire.send(b"GET /dir HTTP/1.1\r\nHost: localhost\r\nHost: elsewhere.example\r\n\r\n").await;
    wire.read_until("more than one Host").await;
}
