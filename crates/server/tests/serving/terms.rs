//! Terms of service, and agreement to a later version of them (RFC 8555 §7.3.3).

use acme::{Algorithm, SigningKey};
use serde_json::json;

use crate::support::account::{Account, signing_key};
use crate::support::client::{Client, identifiers, text};
use crate::support::connection::Answer;
use crate::support::problem::{assert_refused, refusal};
use crate::support::records::Records;
use crate::support::server::Server;

const URL: &str = "https://wiki.example/terms";

fn configuration(version: Option<&str>, further: &str) -> String {
    let version = version.map(|version| format!("terms-version = \"{version}\"\n")).unwrap_or_default();
    format!("terms-of-service = \"{URL}\"\n{version}{further}\n")
}

/// The answer asks for agreement: with the terms for the client and a page for its person.
fn assert_asks_for_agreement(client: &Client, answer: &Answer, what: &str) {
    let problem = assert_refused(answer, refusal(403, "userActionRequired", URL), what);
    assert_eq!(answer.links("terms-of-service"), [URL], "{what}");
    assert_eq!(problem["instance"], client.url("/terms"), "{what}");
}

async fn order(client: &mut Client, account: &Account) -> Answer {
    client.post(account, "/new-order", &json!({ "identifiers": identifiers(&["terms.localhost"]) })).await
}

async fn agree_by_new_account(client: &mut Client, key: &SigningKey) -> Answer {
    client.post_by_key(key, "/new-account", &json!({ "termsOfServiceAgreed": true })).await
}

#[tokio::test]
async fn a_new_account_has_to_agree() {
    let server = Server::start(&configuration(None, "")).await;
    let mut client = server.client();
    assert_eq!(client.read("/dir").await.object(200)["meta"]["termsOfService"], URL);
    let key = signing_key(Algorithm::Es256);
    for asked in [json!({}), json!({ "termsOfServiceAgreed": false }), json!({ "contact": [] })] {
        let answer = client.post_by_key(&key, "/new-account", &asked).await;
        assert_asks_for_agreement(&client, &answer, &asked.to_string());
    }
    let answer = client.post_by_key(&key, "/new-account", &json!({ "termsOfServiceAgreed": "yes" })).await;
    assert_refused(&answer, refusal(400, "malformed", "boolean"), "agreement that is no boolean");
    assert_eq!(Records::of(&server).lasting().await["cairn_accounts"], 1, "only the server's own account was made");
    let answer = agree_by_new_account(&mut client, &key).await;
    assert_eq!(answer.object(201)["termsOfServiceAgreed"], true);
}

#[tokio::test]
async fn a_later_version_has_to_be_agreed_to_again() {
    let mut server = Server::start(&configuration(Some("1"), "")).await;
    let mut client = server.client();
    let (account, other) = (client.account(Algorithm::Es256).await, client.account(Algorithm::EdDsa).await);
    let issued = client.issued(&account, &["terms.localhost"]).await;
    let (_, begun) = client.order(&account, &["begun.localhost"]).await;
    let authorization = client.post_as_get(&account, text(&begun["authorizations"][0])).await.object(200);
    let challenge = text(&authorization["challenges"][0]["url"]).to_owned();
    let changes = "terms-changes = \"We <b>keep</b> logs & more\"";
    server.reconfigure(&configuration(Some("2"), changes)).await;

    let mut client = server.client();
    for (url, payload) in [
        ("/new-order", json!({ "identifiers": identifiers(&["terms.localhost"]) }).to_string()),
        (&challenge, "{}".to_owned()),
        (text(&begun["finalize"]), json!({ "csr": "MIIB" }).to_string()),
    ] {
        let answer = client.try_post(&account, url, payload.as_bytes(), &[]).await.expect("the server answers");
        assert_asks_for_agreement(&client, &answer, url);
    }
    for url in [
        &issued.order,
        text(&issued.object["certificate"]),
        text(&issued.object["authorizations"][0]),
        &challenge,
        &format!("{}/orders", account.kid),
    ] {
        let answer = client.post_as_get(&account, url).await;
        assert_eq!(answer.status, 200, "what it has can be read: {url}: {}", answer.text());
    }
    for payload in ["", "{}", r#"{"termsOfServiceAgreed":false}"#] {
        let answer = client.try_post(&account, &account.kid, payload.as_bytes(), &[]).await.expect("it answers");
        assert_eq!(answer.status, 200, "the account can be read: {}", answer.text());
        let answer = order(&mut client, &account).await;
        assert_asks_for_agreement(&client, &answer, "this was no agreement");
    }
    let answer = client.post(&account, &account.kid, &json!({ "contact": ["mailto:admin@example.com"] })).await;
    assert_eq!(answer.object(200)["contact"], json!(["mailto:admin@example.com"]), "the account can be changed");

    let key = signing_key(Algorithm::Es256);
    let answer = client.change_key(&account, &key, |inner| inner).await;
    assert_eq!(answer.status, 200, "a key that leaked can be changed: {}", answer.text());
    let account = Account { key, pkcs8: Vec::new(), kid: account.kid };
    let authorization = text(&begun["authorizations"][0]);
    let answer = client.post(&account, authorization, &json!({ "status": "deactivated" })).await;
    assert_eq!(answer.object(200)["status"], "deactivated");

    // By an update, and by newAccount once more.
    let agreed = client.post(&account, &account.kid, &json!({ "termsOfServiceAgreed": true })).await;
    assert_eq!(agreed.object(200)["termsOfServiceAgreed"], true);
    assert_eq!(order(&mut client, &account).await.status, 201);
    let answer = order(&mut client, &other).await;
    assert_asks_for_agreement(&client, &answer, "the other account");
    let agreed = agree_by_new_account(&mut client, &other.key).await;
    assert_eq!((agreed.location(), agreed.status.as_u16()), (other.kid.clone(), 200));
    assert_eq!(order(&mut client, &other).await.status, 201);
    server.assert_sound().await;
}

#[tokio::test]
async fn accounts_of_a_ca_whose_terms_had_no_version_agreed_to_the_first_one() {
    let mut server = Server::start(&configuration(None, "")).await;
    let account = server.client().account(Algorithm::Es256).await;
    server.reconfigure(&configuration(Some("1"), "")).await;
    assert_eq!(order(&mut server.client(), &account).await.status, 201);
    server.reconfigure(&configuration(Some("2"), "")).await;
    let mut client = server.client();
    let answer = order(&mut client, &account).await;
    assert_asks_for_agreement(&client, &answer, "the second version");
}

#[tokio::test]
async fn nobody_is_refused_before_a_version_is_enforced() {
    let mut server = Server::start(&configuration(Some("1"), "")).await;
    let account = server.client().account(Algorithm::Es256).await;
    let far = "terms-enforced-from = \"2999-01-31\"";
    server.reconfigure(&configuration(Some("2"), far)).await;
    let mut client = server.client();
    assert_eq!(order(&mut client, &account).await.status, 201);
    let page = client.read("/terms").await;
    assert!(page.text().contains("2999-01-31"), "{}", page.text());
    server.reconfigure(&configuration(Some("2"), "terms-enforced-from = \"2020-01-31T08:00:00Z\"")).await;
    let mut client = server.client();
    let answer = order(&mut client, &account).await;
    assert_asks_for_agreement(&client, &answer, "the time has come");
}

#[tokio::test]
async fn an_account_that_has_not_agreed_can_revoke_and_go() {
    let mut server = Server::start(&configuration(Some("1"), "")).await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["terms.localhost"]).await;
    let leaf = client.chain(&account, &issued.object).await.remove(0);
    server.reconfigure(&configuration(Some("2"), "")).await;
    let mut client = server.client();
    let payload = json!({ "certificate": acme::base64url_encode(&leaf), "reason": 4 });
    let answer = client.post(&account, "/revoke-cert", &payload).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = client.post(&account, &account.kid, &json!({ "status": "deactivated" })).await;
    assert_eq!(answer.object(200)["status"], "deactivated");
}

#[tokio::test]
async fn the_page_for_people_says_what_has_changed_and_how_to_agree() {
    let changes = "terms-changes = \"We <b>keep</b> logs & more\"";
    let server = Server::start(&configuration(Some("2 <i>"), changes)).await;
    let mut client = server.client();
    let page = client.read("/terms").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
    for part in [URL, "version 2 &lt;i&gt;", "We &lt;b&gt;keep&lt;/b&gt; logs &amp; more", "termsOfServiceAgreed"] {
        assert!(page.text().contains(part), "{part} is not in {}", page.text());
    }
    let none = Server::start("").await;
    let answer = none.client().read("/terms").await;
    assert_refused(&answer, refusal(404, "malformed", "no terms"), "a CA without terms");
}
