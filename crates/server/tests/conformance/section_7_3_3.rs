//! RFC 8555 §7.3.3: the terms of service change.

use serde_json::json;

use crate::support::account::Account;
use crate::support::case::{NotApplicable, Verdict, cases};
use crate::support::client::Client;
use crate::support::order::identifiers;
use crate::support::server::Server;
use crate::support::world::Target;

cases! {
    Must without_agreement_to_changed_terms_requests_are_refused_with_403,
    Must such_a_refusal_links_to_the_terms_and_names_a_page_for_people,
    Must after_agreement_to_changed_terms_requests_are_taken,
}

const TERMS: &str = "https://ca.example/terms";

fn version(version: u8) -> String {
    format!("terms-of-service = \"{TERMS}\"\nterms-version = \"{version}\"")
}

/// A server whose terms have changed since this account agreed to them. It ends with its value.
async fn changed(client: &Client) -> Result<(Server, Client, Account), NotApplicable> {
    let mut server = client.world.further(&version(1)).await?;
    let target = Target::at(&server.url(), &server.root()).await;
    let account = Client::of(&client.world, target.clone()).account().await;
    server.start_again(&version(2)).await;
    Ok((server, Client::of(&client.world, target), account))
}

async fn without_agreement_to_changed_terms_requests_are_refused_with_403(client: Client) -> Verdict {
    let (_server, mut client, account) = changed(&client).await?;
    let name = client.name();
    let answer = client.new_order(&account, &json!({ "identifiers": identifiers(&[&name]) })).await;
    answer.refused(&[403], &["userActionRequired"]);
    Ok(())
}

async fn such_a_refusal_links_to_the_terms_and_names_a_page_for_people(client: Client) -> Verdict {
    let (_server, mut client, account) = changed(&client).await?;
    let name = client.name();
    let answer = client.new_order(&account, &json!({ "identifiers": identifiers(&[&name]) })).await;
    assert_eq!(answer.links("terms-of-service"), [TERMS], "{}", answer.shown());
    let instance = answer.json()["instance"].clone();
    assert!(instance.as_str().is_some_and(|url| url.starts_with("http")), "{}", answer.shown());
    Ok(())
}

async fn after_agreement_to_changed_terms_requests_are_taken(client: Client) -> Verdict {
    let (_server, mut client, account) = changed(&client).await?;
    client.post(&account, &account.kid, &json!({ "termsOfServiceAgreed": true })).await.object(200);
    let name = client.name();
    client.order(&account, &[&name]).await;
    Ok(())
}
