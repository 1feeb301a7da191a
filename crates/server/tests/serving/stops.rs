//! `cairn stop-issuance`: what clients are told while it lasts, that it outlives the process, and that it ends.

use std::process::Output;

use acme::{Algorithm, base64url_encode};
use serde_json::{Value, json};

use crate::support::client::{Client, identifiers, list, text};
use crate::support::csr::{SubjectKey, csr};
use crate::support::server::Server;

fn said(output: &Output) -> (bool, String) {
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

async fn done(server: &Server, arguments: &[&str]) -> String {
    let (done, message) = said(&server.command(arguments).await);
    assert!(done, "{message}");
    message
}

/// What the admin listener tells.
async fn told(server: &Server, path: &str) -> String {
    let answer = Client::new(server.admin_door()).read(path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().to_owned()
}

fn type_of(problem: &Value) -> &str {
    text(&problem["type"]).rsplit(':').next().expect("a text has a last part")
}

#[tokio::test]
async fn stop_of_all_refuses_for_now_over_restarts_until_issuance_is_resumed() {
    let mut server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let ready = client.ready(&account, &["one.localhost"]).await;
    assert_eq!(told(&server, "/healthz").await, "ok\n");
    let message = done(&server, &["stop-issuance", "--reason", "an audit finding"]).await;
    assert!(message.contains("issuance is stopped for all") && message.contains("resume-issuance 1"), "{message}");

    server.kill().await;
    // With and without a server the list is the same.
    let listed = server.json(&["stop-issuance", "--list"]).await;
    assert_eq!((&listed[0]["stop"], &listed[0]["scope"]), (&json!(1), &json!("all")));
    assert_eq!((&listed[0]["reason"], &listed[0]["by"]), (&json!("an audit finding"), &json!("the operator")));
    server.start_again();
    server.wait_until_it_serves().await;
    assert!(server.logged("issuance is stopped for all") > 0);
    assert_eq!(server.json(&["stop-issuance", "--list"]).await, listed);
    let health = told(&server, "/healthz").await;
    assert!(health.starts_with("ok\nissuance is stopped for all since"), "{health}");
    assert!(told(&server, "/metrics").await.contains("cairn_issuance_stops 1\n"));

    let mut client = server.client();
    let key = SubjectKey::new();
    let finalize = json!({ "csr": base64url_encode(&csr(&key, &["one.localhost"])) });
    let order = json!({ "identifiers": identifiers(&["two.localhost"]) });
    for (path, payload) in [("/new-order", &order), (text(&ready.1["finalize"]), &finalize)] {
        let answer = client.post(&account, path, payload).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some());
        let problem: Value = serde_json::from_str(answer.text()).expect("a problem document");
        assert_eq!(type_of(&problem), "serverInternal");
        assert!(!answer.text().contains("audit finding"), "the reason is the operator's");
    }
    let (again, message) = said(&server.command(&["stop-issuance", "--reason", "again"]).await);
    assert!(!again && message.contains("stop 1"), "{message}");
    done(&server, &["resume-issuance", "1"]).await;
    assert_eq!(told(&server, "/healthz").await, "ok\n");
    client.finalize(&account, &ready, &csr(&key, &["one.localhost"])).await;
    let ended = server.json(&["stop-issuance", "--list", "--ended"]).await;
    assert!(ended[0]["ended"].is_string(), "{ended}");
    server.assert_sound().await;
}

#[tokio::test]
async fn stopped_name_is_rejected_and_a_stopped_account_is_put_off() {
    let mut server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    done(&server, &["stop-issuance", "--name", "shop.localhost", "--reason", "a dispute"]).await;
    let order = json!({ "identifiers": identifiers(&["www.shop.localhost", "other.localhost"]) });
    let answer = client.post(&account, "/new-order", &order).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let problem: Value = serde_json::from_str(answer.text()).expect("a problem document");
    assert_eq!(type_of(&problem), "rejectedIdentifier");
    let [only] = list(&problem["subproblems"]) else { panic!("one name is stopped: {problem}") };
    assert_eq!(only["identifier"]["value"], "www.shop.localhost");
    client.issued(&account, &["other.localhost"]).await;

    // Without a server the command does it itself.
    assert!(server.terminate().await.success());
    let id = account.kid.rsplit('/').next().expect("a URL has a last part").to_owned();
    done(&server, &["stop-issuance", "--account", &id, "--reason", "abuse"]).await;
    server.start_again();
    server.wait_until_it_serves().await;
    let mut client = server.client();
    let order = json!({ "identifiers": identifiers(&["other.localhost"]) });
    let answer = client.post(&account, "/new-order", &order).await;
    let problem: Value = serde_json::from_str(answer.text()).expect("a problem document");
    assert_eq!((answer.status.as_u16(), type_of(&problem)), (503, "serverInternal"));
    assert!(
        answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0))
    );
    done(&server, &["resume-issuance", "--account", &id]).await;
    let message = done(&server, &["resume-issuance", "--name", "shop.localhost"]).await;
    assert!(message.contains("stop 1"), "{message}");
    client.issued(&account, &["www.shop.localhost"]).await;
    server.assert_sound().await;
}
