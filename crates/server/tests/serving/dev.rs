//! Faults for the tests of clients: by the table `[dev]` and by variables, in the regime `dev` alone.

use acme::{Algorithm, base64url_encode};
use serde_json::json;
use tokio::process::Command;

use crate::renewal;
use crate::support::client::{identifiers, text};
use crate::support::csr::{SubjectKey, csr};
use crate::support::problem::{assert_refused, refusal};
use crate::support::server::{Server, run};

#[tokio::test]
async fn every_second_order_meets_a_rate_limit() {
    let server = Server::start("[dev]\nrate-limit-every = 2").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    for round in 0..4 {
        let name = format!("rate-{round}.localhost");
        let answer = client.post(&account, "/new-order", &json!({ "identifiers": identifiers(&[&name]) })).await;
        if round % 2 == 0 {
            assert_eq!(answer.status, 201, "{}", answer.text());
        } else {
            assert_refused(&answer, refusal(429, "rateLimited", "refused for a test"), &name);
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
    }
}

#[tokio::test]
async fn a_slow_certificate_is_processing_first() {
    let server = Server::start("[dev]\nissuance-delay = 2").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let names = ["slow.localhost"];
    let (url, order) = client.ready(&account, &names).await;
    let asked = json!({ "csr": base64url_encode(&csr(&SubjectKey::new(), &names)) });
    let answer = client.post(&account, text(&order["finalize"]), &asked).await;
    assert_eq!(answer.object(200)["status"], "processing");
    assert_eq!(answer.header("retry-after"), Some("1"), "clients are told to ask again");
    let certificate = client.wait_until(&account, &url, "valid").await;
    assert!(certificate["certificate"].is_string(), "{certificate}");
    server.assert_sound().await;
}

#[tokio::test]
async fn renewals_are_asked_for_earlier() {
    let mut server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (_, name) = renewal::issued(&mut client, &account).await;
    let before = renewal::window(&renewal::look(&mut client, &name).await);
    assert!(server.terminate().await.success());
    let config = std::fs::read_to_string(server.path("cairn.toml")).expect("it has a configuration");
    std::fs::write(server.path("cairn.toml"), format!("{config}\n[dev]\nrenewal-shift = -86400\n")).expect("written");
    server.start_again();
    server.wait_until_it_serves().await;
    let after = renewal::window(&renewal::look(&mut server.client(), &name).await);
    let seconds = |text: &str| pki::Timestamp::parse_rfc3339(text).expect("a time").seconds();
    assert_eq!(seconds(&before.0) - seconds(&after.0), 86_400);
    assert_eq!(seconds(&before.1) - seconds(&after.1), 86_400);
}

#[tokio::test]
async fn faults_outside_tests_keep_the_server_from_starting() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let serve = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.args(["serve", "--config", "cairn.toml"]).current_dir(folder.path());
        command
    };
    for (text, variable) in [("[dev]\nbad-nonce-percent = 5\n", None), ("", Some("CAIRN_DEV_ALWAYS_VALID"))] {
        std::fs::write(folder.path().join("cairn.toml"), text).expect("a file can be written");
        let output = run(serve().envs(variable.map(|name| (name, "1")))).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains("for the tests of ACME clients") && errors.contains("--dev"), "{errors}");
    }
    assert!(!folder.path().join("cairn-data").exists(), "nothing was made");
}
