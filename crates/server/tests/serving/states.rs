//! Delivery and acknowledgement: issued but never fetched is the commonest fault of ACME clients.

use acme::{Algorithm, base64url_encode};
use serde_json::{Value, json};

use crate::support::client::{Client, list, text};
use crate::support::problem::{assert_refused, refusal};
use crate::support::records::{Counts, Records};
use crate::support::server::Server;
use crate::support::world::{PATIENCE, pause, within};

/// The order's line of `cairn order list --json`.
async fn listed(server: &Server, url: &str) -> Value {
    let id = url.rsplit('/').next().expect("a URL has a last part");
    let orders = server.json(&["order", "list"]).await;
    let found = list(&orders).iter().find(|one| one["id"] == id);
    found.unwrap_or_else(|| panic!("{id} is not in {orders}")).clone()
}

/// Nobody waits for the mark of a delivery: it comes a moment after the last octet.
async fn wait_for_delivery(server: &Server, url: &str, wanted: &str) -> Value {
    within(PATIENCE, wanted, async {
        loop {
            let line = listed(server, url).await;
            if line["delivery"] == wanted {
                return line;
            }
            pause(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
}

async fn counts(server: &Server) -> Counts {
    Records::of(server).counts().await
}

fn ended(counts: &Counts, status: &str) -> u64 {
    counts[&format!("cairn_ended_orders{{status=\"{status}\"}}")]
}

fn waiting(counts: &Counts, place: &str) -> u64 {
    let metric = |one: &&String| one.contains("stage=\"done\"") && one.contains(&format!("place=\"{place}\""));
    counts[counts.keys().find(metric).unwrap_or_else(|| panic!("no {place} in {counts:?}"))]
}

#[tokio::test]
async fn unacknowledged_delivered_and_acknowledged_orders_are_told_apart() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let start = counts(&server).await;
    let orders = [
        client.issued(&account, &["never.localhost"]).await,
        client.issued(&account, &["fetched.localhost"]).await,
        client.issued(&account, &["thanked.localhost"]).await,
    ];
    for issued in &orders {
        assert_eq!(listed(&server, &issued.order).await["delivery"], "unacknowledged");
    }
    let issued = counts(&server).await;
    assert_eq!(waiting(&issued, "undelivered"), waiting(&start, "undelivered") + 3);
    assert_eq!(ended(&issued, "valid"), ended(&start, "valid") + 3);

    for order in &orders[1..] {
        client.chain(&account, &order.object).await;
        wait_for_delivery(&server, &order.order, "delivered").await;
    }
    let delivered = counts(&server).await;
    assert_eq!(waiting(&delivered, "undelivered"), waiting(&start, "undelivered") + 1);
    assert_eq!(waiting(&delivered, "delivered"), waiting(&start, "delivered") + 2);
    assert_eq!(ended(&delivered, "delivered"), ended(&start, "delivered") + 2);

    let acknowledge = text(&orders[2].object["acknowledge"]);
    for _ in 0..2 {
        let answer = client.post(&account, acknowledge, &json!({})).await;
        assert_eq!(answer.object(200), orders[2].object, "an acknowledgement changes nothing that the client sees");
    }
    let thanked = counts(&server).await;
    assert_eq!(waiting(&thanked, "delivered"), waiting(&start, "delivered") + 1);
    assert_eq!(ended(&thanked, "acknowledged"), ended(&start, "acknowledged") + 1);
    let states = [("unacknowledged", "pending-done"), ("delivered", "pending-done"), ("acknowledged", "ledger")];
    for (order, (delivery, place)) in orders.iter().zip(states) {
        let line = listed(&server, &order.order).await;
        assert_eq!((&line["delivery"], &line["place"]), (&json!(delivery), &json!(place)), "{line}");
        assert_eq!((&line["status"], &line["stage"]), (&json!("valid"), &json!("done")), "{line}");
    }
    // All three stay downloadable.
    for order in &orders {
        assert_eq!(client.chain(&account, &order.object).await.len(), 2);
    }
    server.assert_sound().await;
}

#[tokio::test]
async fn naming_a_certificate_in_a_revocation_acknowledges_it() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["named.localhost"]).await;
    let chain = client.chain(&account, &issued.object).await;
    let revoke = json!({ "certificate": base64url_encode(&chain[0]) });
    assert_eq!(client.post(&account, "/revoke-cert", &revoke).await.status, 200);
    assert_eq!(listed(&server, &issued.order).await["delivery"], "acknowledged");
}

#[tokio::test]
async fn only_a_certificate_can_be_acknowledged() {
    let server = Server::start("").await;
    let mut client: Client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (url, order) = client.ready(&account, &["soon.localhost"]).await;
    assert_eq!(order.get("acknowledge"), None);
    let answer = client.post(&account, &format!("{url}/acknowledge"), &json!({})).await;
    assert_refused(&answer, refusal(403, "orderNotReady", "ready"), "before there is a certificate");
    let answer = client.post_as_get(&account, &format!("{url}/acknowledge")).await;
    assert_refused(&answer, refusal(400, "malformed", "POST-as-GET"), "POST-as-GET");
}
