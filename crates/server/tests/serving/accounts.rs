//! Accounts (RFC 8555 §7.3).

use std::time::Duration;

use acme::{ALGORITHMS, Algorithm, SigningKey};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::account::{pkcs8, signing_key};
use crate::support::client::{Client, identifiers, text};
use crate::support::problem::{assert_refused, malformed, refusal};
use crate::support::records::Records;
use crate::support::server::Server;

async fn new_account(client: &mut Client, key: &SigningKey, payload: &Value) -> crate::support::connection::Answer {
    client.post_by_key(key, "/new-account", payload).await
}

#[tokio::test]
async fn an_account_is_made_once_for_each_key() {
    let server = Server::start("").await;
    let mut client = server.client();
    for algorithm in ALGORITHMS.iter().copied() {
        let key = signing_key(algorithm);
        let asked = json!({ "onlyReturnExisting": true });
        let answer = new_account(&mut client, &key, &asked).await;
        assert_refused(&answer, refusal(400, "accountDoesNotExist", "no account"), "before it is made");

        let asked = json!({ "contact": ["mailto:admin@example.com"], "termsOfServiceAgreed": true });
        let made = new_account(&mut client, &key, &asked).await;
        let object = made.object(201);
        assert_eq!((&object["status"], &object["contact"]), (&json!("valid"), &json!(["mailto:admin@example.com"])));

        let again =
            [json!({ "onlyReturnExisting": true }), json!({ "contact": ["mailto:other@example.com"] }), json!({})];
        for asked in again {
            let found = new_account(&mut client, &key, &asked).await;
            assert_eq!(found.location(), made.location());
            assert_eq!(found.object(200), object, "newAccount of a key that has one changes nothing: {asked}");
        }
    }
    let counts = Records::of(&server).lasting().await;
    // The server's own account is one more.
    assert_eq!(counts["cairn_accounts"], ALGORITHMS.len() as u64 + 1);
}

#[tokio::test]
async fn contacts_are_checked_and_can_be_changed() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let key = signing_key(Algorithm::Es256);
    let eleven: Vec<String> = (0..11).map(|number| format!("mailto:a{number}@example.com")).collect();
    let invalid = |names| refusal(400, "invalidContact", names);
    for (contact, due) in [
        (json!(["tel:+49-30-1234567"]), refusal(400, "unsupportedContact", "tel")),
        (json!(["https://example.com"]), refusal(400, "unsupportedContact", "https")),
        (json!(["admin@example.com"]), invalid("mailto:")),
        (json!(["mailto:"]), invalid("no address")),
        (json!(["mailto:admin"]), invalid("no address")),
        (json!(["mailto:a@example.com,b@example.com"]), invalid("several addresses")),
        (json!(["mailto:a@example.com?subject=hello"]), invalid("header fields")),
        (json!(["mailto:a%40example.com"]), invalid("percent-encoded")),
        (json!(["mailto:ä@example.com"]), invalid("ASCII")),
        (json!(["mailto:a@host_name.example"]), invalid("underscore")),
        (json!([format!("mailto:{}@example.com", "a".repeat(65))]), invalid("64")),
        (json!([format!("mailto:a@{}.example", "a.".repeat(200))]), invalid("octets")),
        (json!(eleven), invalid("11 contacts")),
        (json!("mailto:a@example.com"), malformed("not the JSON object")),
    ] {
        let payload = json!({ "contact": contact });
        let answer = new_account(&mut client, &key, &payload).await;
        assert_refused(&answer, due, &format!("newAccount with {contact}"));
        let answer = client.post(&account, &account.kid, &payload).await;
        assert_refused(&answer, due, &format!("update with {contact}"));
    }
    let object = client.post_as_get(&account, &account.kid).await.object(200);
    assert_eq!(object.get("contact"), None, "no bad contact was kept: {object}");
    for contact in [json!(["mailto:a@example.com", "mailto:b@example.com"]), json!(["mailto:c@example.com"])] {
        let answer = client.post(&account, &account.kid, &json!({ "contact": contact })).await;
        assert_eq!(answer.object(200)["contact"], contact);
        let kept = client.post(&account, &account.kid, &json!({})).await.object(200);
        assert_eq!(kept["contact"], contact, "an update without contacts keeps them");
    }
    let answer = client.post(&account, &account.kid, &json!({ "contact": [] })).await;
    assert_eq!(answer.object(200).get("contact"), None, "an empty list clears them");
}

/// Orders that wait for their client.
async fn waiting(records: &mut Records) -> u64 {
    let counts = records.counts().await;
    let of_clients = counts.iter().filter(|(metric, _)| metric.contains("active_orders") && metric.contains("client"));
    of_clients.map(|(_, count)| count).sum()
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_its_deactivation_half_way() {
    const ORDERS: u64 = 120;
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    for number in 0..ORDERS {
        client.order(&account, &[&format!("host-{number}.localhost")]).await;
    }
    let mut records = Records::of(&server);
    assert_eq!(waiting(&mut records).await, ORDERS);
    let begun = async { while waiting(&mut records).await == ORDERS {} };
    let end = json!({ "status": "deactivated" });
    tokio::select! {
        _ = client.post(&account, &account.kid, &end) => {}
        () = begun => {}
    }
    drop(client);
    let ended = async { while waiting(&mut records).await > 0 {} };
    timeout(Duration::from_secs(20), ended).await.expect("all of its orders end");
}

#[tokio::test]
async fn a_deactivated_account_can_do_nothing_any_more() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (order, object) = client.order(&account, &["gone.localhost"]).await;
    let answer = client.post(&account, &account.kid, &json!({ "status": "deactivated" })).await;
    assert_eq!(answer.object(200)["status"], "deactivated");
    let counts = Records::of(&server).lasting().await;
    let gone = refusal(401, "unauthorized", "deactivated");
    let wanted = json!({ "identifiers": identifiers(&["more.localhost"]) });
    for (url, payload) in [
        ("/new-order", wanted.clone()),
        (order.as_str(), json!({})),
        (text(&object["authorizations"][0]), json!({})),
        (text(&object["finalize"]), json!({})),
        (account.kid.as_str(), json!({ "status": "valid" })),
        ("/revoke-cert", json!({})),
    ] {
        let answer = client.post(&account, url, &payload).await;
        assert_refused(&answer, gone, url);
    }
    for asked in [json!({}), json!({ "onlyReturnExisting": true })] {
        let answer = client.post_by_key(&account.key, "/new-account", &asked).await;
        assert_refused(&answer, gone, "newAccount with its key");
    }
    // Others are not told that it was deactivated.
    let stranger = crate::support::account::Account {
        key: signing_key(Algorithm::Es256),
        pkcs8: Vec::new(),
        kid: account.kid.clone(),
    };
    let answer = client.post(&stranger, "/new-order", &wanted).await;
    assert_refused(&answer, malformed("does not verify"), "another key with its URL");
    assert_eq!(Records::of(&server).lasting().await, counts);
}

#[tokio::test]
async fn terms_have_to_be_agreed_to_where_there_are_some() {
    let server =
        Server::start("terms-of-service = \"https://ca.example/terms\"\nwebsite = \"https://ca.example/\"\n").await;
    let mut client = server.client();
    let directory = client.read("/dir").await.object(200);
    assert_eq!(directory["meta"]["termsOfService"], "https://ca.example/terms");
    assert_eq!(directory["meta"]["website"], "https://ca.example/");
    let key = signing_key(Algorithm::Es256);
    for asked in [json!({}), json!({ "termsOfServiceAgreed": false })] {
        let answer = new_account(&mut client, &key, &asked).await;
        assert_refused(&answer, refusal(403, "userActionRequired", "https://ca.example/terms"), &asked.to_string());
    }
    let answer = new_account(&mut client, &key, &json!({ "termsOfServiceAgreed": true })).await;
    assert_eq!(answer.object(201)["termsOfServiceAgreed"], true);
}

#[tokio::test]
async fn external_account_bindings_are_not_taken_for_granted() {
    let server = Server::start("").await;
    let mut client = server.client();
    let binding = json!({ "protected": "e30", "payload": "e30", "signature": "AAAA" });
    let asked = json!({ "externalAccountBinding": binding });
    let answer = new_account(&mut client, &signing_key(Algorithm::Es256), &asked).await;
    assert_refused(&answer, malformed("externalAccountBinding"), "a binding where none is offered");
}

#[tokio::test]
async fn an_account_lists_its_own_orders_page_by_page() {
    let server = Server::start("[limits]\norders-per-page = 2\n[orders]\norder-reuse = false\n").await;
    let mut client = server.client();
    let (account, other) = (client.account(Algorithm::Es256).await, client.account(Algorithm::Es256).await);
    let list = text(&client.post_as_get(&account, &account.kid).await.object(200)["orders"]).to_owned();
    let empty = client.post_as_get(&account, &list).await;
    assert_eq!((empty.object(200), empty.links("next")), (json!({ "orders": [] }), Vec::new()));

    let mut made = vec![client.issued(&account, &["listed.localhost"]).await.order];
    client.order(&other, &["foreign.localhost"]).await;
    for _ in 0..4 {
        made.insert(0, client.order(&account, &["listed.localhost"]).await.0);
    }
    let (mut seen, mut page) = (Vec::new(), Some(list.clone()));
    while let Some(url) = page {
        let answer = client.post_as_get(&account, &url).await;
        let orders = answer.object(200)["orders"].as_array().expect("a list").clone();
        assert!(!orders.is_empty() && orders.len() <= 2, "{answer:?}");
        seen.extend(orders.iter().map(|order| text(order).to_owned()));
        page = answer.links("next").first().map(|next| (*next).to_owned());
    }
    // Those of the same millisecond come in the order of their names.
    assert_eq!(seen.len(), made.len());
    assert_eq!(seen.last(), made.last(), "the oldest is the last");
    seen.sort();
    made.sort();
    assert_eq!(seen, made);

    let foreign = refusal(403, "unauthorized", "list of orders");
    assert_refused(&client.post_as_get(&other, &list).await, foreign, "the list of another account");
    let answer = client.post_as_get(&account, &format!("{list}/1-2")).await;
    assert_refused(&answer, refusal(404, "malformed", "no such page"), "a page that is none");
    let answer = client.post(&account, &list, &json!({})).await;
    assert_refused(&answer, malformed("POST-as-GET"), "a payload");
    let answer = client.read(&list).await;
    assert_refused(&answer, refusal(405, "malformed", "POST-as-GET"), "GET");
}

#[tokio::test]
async fn of_simultaneous_requests_with_one_key_one_makes_the_account() {
    let server = Server::start("").await;
    let pkcs8 = pkcs8(Algorithm::Es256);
    let requests: Vec<_> = (0..8)
        .map(|_| {
            let mut client = server.client();
            let key = SigningKey::from_pkcs8(Algorithm::Es256, &pkcs8).expect("a new key is good");
            tokio::spawn(async move { new_account(&mut client, &key, &json!({})).await })
        })
        .collect();
    let mut answers = Vec::new();
    for request in requests {
        answers.push(request.await.expect("it does not panic"));
    }
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 7, "{answers:?}");
    assert!(answers.iter().all(|answer| answer.location() == answers[0].location()));
    assert_eq!(Records::of(&server).lasting().await["cairn_accounts"], 2, "the server's own account is the second");
}

#[tokio::test]
async fn orders_that_wait_for_their_client_end_with_its_account() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (order, _) = client.order(&account, &["cancelled.localhost"]).await;
    client.post(&account, &account.kid, &json!({ "status": "deactivated" })).await.object(200);
    let id = order.rsplit('/').next().expect("an order's URL ends with its name");
    let shown = server.json(&["order", "show", id]).await.to_string();
    assert!(shown.contains("invalid") && shown.contains("deactivated"), "{shown}");
    server.assert_sound().await;
}
