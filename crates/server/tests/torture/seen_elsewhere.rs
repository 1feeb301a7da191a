//! Faults that other certificate authorities were seen to have.

use std::collections::HashSet;
use std::ffi::OsString;
use std::time::Duration;

use acme::{Algorithm, base64url_encode};
use serde_json::json;
use tokio::task::JoinSet;

use crate::load::assert_at_rest;
use crate::support::client::text;
use crate::support::csr::{SubjectKey, csr};
use crate::support::server::{Launch, Server, temporary_folder};
use crate::support::world::{PATIENCE, pause, within};

const TIMES: &str = "[times]\nsweep = 1\nback-off = 1\n";
const REQUESTS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_whose_server_is_killed_between_finalize_and_issue_does_not_stay_processing() {
    let environment = vec![("CAIRN_DEV_ISSUANCE_DELAY", OsString::from("10"))];
    let launch = Launch { environment, ..Launch::default() };
    let mut server = Server::start_in(TIMES, temporary_folder(), launch).await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let names = ["a.elsewhere.localhost"];
    let (url, order) = client.ready(&account, &names).await;
    let before = server.logged("step=5");
    let payload = json!({ "csr": base64url_encode(&csr(&SubjectKey::new(), &names)) });
    let order = client.post(&account, text(&order["finalize"]), &payload).await.object(200);
    assert_eq!(order["status"], "processing");
    let begun = async {
        while server.logged("step=5") == before {
            pause(Duration::from_millis(5)).await;
        }
    };
    within(PATIENCE, "the issuance has begun", begun).await;
    server.kill().await;
    server.launch = Launch::default();
    server.start_again();
    server.wait_until_it_serves().await;
    let mut client = server.client();
    let order = client.wait_until(&account, &url, "valid").await;
    assert_eq!(client.chain(&account, &order).await.len(), 2);
    assert_at_rest(&mut server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_16_simultaneous_finalize_requests_with_different_keys_one_gets_one_certificate() {
    let mut server = Server::start(TIMES).await;
    let mut client = server.client();
    let account = std::sync::Arc::new(client.account(Algorithm::Es256).await);
    let names = ["b.elsewhere.localhost"];
    let (url, order) = client.ready(&account, &names).await;
    let finalize = text(&order["finalize"]).to_owned();
    let mut requests = JoinSet::new();
    for _ in 0..REQUESTS {
        let (mut client, account, finalize) = (server.client(), account.clone(), finalize.clone());
        let csr = csr(&SubjectKey::new(), &names);
        requests.spawn(async move {
            let answer = client.post(&account, &finalize, &json!({ "csr": base64url_encode(&csr) })).await;
            (answer, csr)
        });
    }
    let answers = requests.join_all().await;
    let (taken, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(answer, _)| answer.status == 200);
    assert_eq!((taken.len(), refused.len()), (1, REQUESTS - 1));
    for (answer, _) in &refused {
        assert_eq!(answer.json()["type"], "urn:ietf:params:acme:error:orderNotReady", "{}", answer.text());
    }
    let order = client.wait_until(&account, &url, "valid").await;
    let chain = client.chain(&account, &order).await;
    let asked = pki::Csr::parse(&taken[0].1).expect("a good request");
    let issued = pki::Certificate::from_der(&chain[0]).expect("a good certificate");
    assert_eq!(issued.public_key(), asked.public_key(), "the one that was taken is the one that was issued");
    let log = std::fs::read_to_string(server.data().join("audit/00000000.jsonl")).expect("it has an audit log");
    let id = url.rsplit('/').next().expect("an order's URL ends with its id");
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("lines are JSON"))
        .filter(|line| of(line, id))
        .collect();
    let events: Vec<&str> = lines.iter().map(|line| text(&line["event"])).collect();
    assert_eq!(events, ["precertificate", "certificate"]);
    let serials: HashSet<&str> = lines.iter().map(|line| text(&line["serial"])).collect();
    assert_eq!(serials.len(), 1);
    assert_at_rest(&mut server).await;
}

fn of(line: &serde_json::Value, order: &str) -> bool {
    line["order"] == order
}
