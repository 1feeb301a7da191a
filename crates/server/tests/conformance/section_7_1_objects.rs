//! RFC 8555 §7.1.2 to §7.1.6: what objects say, and how their status changes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::answer::{list, text};
use crate::support::case::{NotApplicable, Verdict, cases};
use crate::support::certificate::SubjectKey;
use crate::support::client::Client;
use crate::support::order::{challenge_of, identifiers};
use crate::support::watch::sorted;

cases! {
    Must an_account_has_a_status_and_the_url_of_its_orders,
    Must the_orders_list_names_the_orders_of_the_account,
    Must the_orders_list_names_nothing_of_another_account,
    Should the_orders_list_leaves_out_invalid_orders,
    Must an_order_has_what_it_must_have,
    Must an_order_that_is_valid_names_its_certificate_and_no_other_does,
    Must the_lists_of_an_order_never_change,
    Must an_authorization_has_what_it_must_have,
    Must an_authorization_that_is_valid_shows_the_challenge_that_was_done,
    Must a_challenge_has_what_it_must_have,
    Must an_order_is_pending_then_ready_then_valid,
    Must an_order_with_a_failed_authorization_is_invalid,
    Must an_order_with_a_deactivated_authorization_is_invalid,
    Must an_authorization_that_failed_is_invalid_with_its_challenge,
    Should an_invalid_order_says_why,
}

async fn an_account_has_a_status_and_the_url_of_its_orders(mut client: Client) -> Verdict {
    let account = client.account().await;
    let object = client.read(&account, &account.kid).await;
    assert_eq!(object["status"], "valid", "{object}");
    assert!(object["orders"].as_str().is_some_and(|url| url.starts_with("https://")), "{object}");
    Ok(())
}

/// All pages of an account's list of orders.
async fn orders(client: &mut Client, account: &crate::support::account::Account) -> Result<Vec<String>, NotApplicable> {
    let object = client.read(account, &account.kid).await;
    let mut next = object["orders"].as_str().map(str::to_owned);
    if next.is_none() {
        return Err(NotApplicable("orders list"));
    }
    let mut urls = Vec::new();
    while let Some(url) = next {
        let answer = client.post_as_get(account, &url).await;
        let page = answer.object(200);
        urls.extend(list(&page["orders"]).iter().map(|url| text(url).to_owned()));
        next = answer.links("next").first().cloned();
        assert!(urls.len() < 1000 && next.as_ref() != Some(&url), "the list has no end");
    }
    Ok(urls)
}

async fn the_orders_list_names_the_orders_of_the_account(mut client: Client) -> Verdict {
    let account = client.account().await;
    assert_eq!(orders(&mut client, &account).await?, Vec::<String>::new());
    let mut made = BTreeSet::new();
    for _ in 0..5 {
        let name = client.name();
        made.insert(client.order(&account, &[&name]).await.url);
    }
    let listed = orders(&mut client, &account).await?;
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), made);
    assert_eq!(listed.len(), made.len(), "an order is listed twice");
    Ok(())
}

async fn the_orders_list_names_nothing_of_another_account(mut client: Client) -> Verdict {
    let (one, other) = (client.account().await, client.account().await);
    let name = client.name();
    client.order(&other, &[&name]).await;
    assert_eq!(orders(&mut client, &one).await?, Vec::<String>::new());
    Ok(())
}

async fn the_orders_list_leaves_out_invalid_orders(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    client.fail(&account, order.authorization(0)).await;
    client.wait_for(&account, &order.url, "invalid").await;
    assert_eq!(orders(&mut client, &account).await?, Vec::<String>::new());
    Ok(())
}

/// A time of RFC 3339.
#[track_caller]
fn time(value: &Value) -> jiff::Timestamp {
    text(value).parse().unwrap_or_else(|error| panic!("{value}: {error}"))
}

async fn an_order_has_what_it_must_have(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (a, b) = (client.name(), client.name());
    let order = client.order(&account, &[&a, &b]).await;
    assert_eq!(sorted(order.object.clone()), sorted(client.read(&account, &order.url).await));
    assert_eq!(order.object["status"], "pending");
    time(&order.object["expires"]);
    let named: BTreeSet<&str> = list(&order.object["identifiers"]).iter().map(|one| text(&one["value"])).collect();
    assert_eq!(named, BTreeSet::from([a.as_str(), b.as_str()]));
    assert!(list(&order.object["identifiers"]).iter().all(|one| one["type"] == "dns"), "{}", order.object);
    let urls: BTreeSet<&str> = list(&order.object["authorizations"]).iter().map(text).collect();
    assert_eq!(urls.len(), 2, "{}", order.object);
    assert!(urls.iter().all(|url| url.starts_with("https://")));
    assert!(order.finalize().starts_with("https://"));
    assert_eq!(order.object.get("error"), None);
    Ok(())
}

async fn an_order_that_is_valid_names_its_certificate_and_no_other_does(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    assert_eq!(order.object.get("certificate"), None, "{}", order.object);
    let order = client.make_ready(&account, order).await;
    assert_eq!(order.object.get("certificate"), None, "{}", order.object);
    let issued = client.issue(&account, order, &[&name]).await;
    assert!(issued.order.certificate().starts_with("https://"));
    time(&issued.order.object["expires"]);
    Ok(())
}

async fn the_lists_of_an_order_never_change(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (a, b) = (client.name(), client.name());
    let order = client.order(&account, &[&a, &b]).await;
    let lists = |object: &Value| -> Vec<BTreeSet<String>> {
        let members = ["identifiers", "authorizations"].map(|member| list(&object[member]).to_vec());
        members.iter().map(|list| list.iter().map(Value::to_string).collect()).collect()
    };
    let first = lists(&order.object);
    let ready = client.make_ready(&account, order).await;
    assert_eq!(lists(&ready.object), first);
    let issued = client.issue(&account, ready, &[&a, &b]).await;
    assert_eq!(lists(&issued.order.object), first);
    Ok(())
}

async fn an_authorization_has_what_it_must_have(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let object = client.read(&account, order.authorization(0)).await;
    assert_eq!(object["identifier"], json!({ "type": "dns", "value": name }));
    assert_eq!(object["status"], "pending");
    assert!(object.get("wildcard").is_none_or(|wildcard| *wildcard == false), "{object}");
    let kinds: Vec<&str> = list(&object["challenges"]).iter().map(|one| text(&one["type"])).collect();
    assert!(kinds.contains(&"http-01") && kinds.contains(&"dns-01"), "{object}");
    let valid = client.authorize(&account, order.authorization(0)).await;
    time(&valid["expires"]);
    assert!(valid.get("wildcard").is_none_or(|wildcard| *wildcard == false), "{valid}");
    Ok(())
}

async fn an_authorization_that_is_valid_shows_the_challenge_that_was_done(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let object = client.authorize(&account, order.authorization(0)).await;
    let valid: Vec<&Value> = list(&object["challenges"]).iter().filter(|one| one["status"] == "valid").collect();
    let [challenge] = valid.as_slice() else { panic!("{} valid challenges: {object}", valid.len()) };
    assert_eq!(challenge["type"], "http-01");
    time(&challenge["validated"]);
    assert_eq!(list(&object["challenges"]).len(), 1, "others were not done, and are shown: {object}");
    Ok(())
}

async fn a_challenge_has_what_it_must_have(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let object = client.read(&account, order.authorization(0)).await;
    for challenge in list(&object["challenges"]) {
        assert_eq!(challenge["status"], "pending", "{challenge}");
        assert!(text(&challenge["url"]).starts_with("https://"), "{challenge}");
        assert_eq!(challenge.get("validated"), None, "{challenge}");
        assert_eq!(challenge.get("error"), None, "{challenge}");
        let alone = client.read(&account, text(&challenge["url"])).await;
        assert_eq!(&alone, challenge);
    }
    Ok(())
}

async fn an_order_is_pending_then_ready_then_valid(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (a, b) = (client.name(), client.name());
    let order = client.order(&account, &[&a, &b]).await;
    client.authorize(&account, order.authorization(0)).await;
    assert_eq!(client.read(&account, &order.url).await["status"], "pending", "one of two is valid");
    client.authorize(&account, order.authorization(1)).await;
    let object = client.wait_for(&account, &order.url, "ready").await;
    let order = crate::support::order::Order { object, ..order };
    let answer = client.finalize(&account, &order, &SubjectKey::new().csr(&[&a, &b])).await.object(200);
    assert!(["processing", "valid"].contains(&text(&answer["status"])), "{answer}");
    client.wait_for(&account, &order.url, "valid").await;
    Ok(())
}

async fn an_order_with_a_failed_authorization_is_invalid(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (a, b) = (client.name(), client.name());
    let order = client.order(&account, &[&a, &b]).await;
    client.fail(&account, order.authorization(0)).await;
    client.wait_for(&account, &order.url, "invalid").await;
    let csr = SubjectKey::new().csr(&[&a, &b]);
    client.finalize(&account, &order, &csr).await.refused(&[403], &["orderNotReady"]);
    Ok(())
}

async fn an_order_with_a_deactivated_authorization_is_invalid(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.ready(&account, &[&name]).await;
    client.post(&account, order.authorization(0), &json!({ "status": "deactivated" })).await.object(200);
    client.wait_for(&account, &order.url, "invalid").await;
    let csr = SubjectKey::new().csr(&[&name]);
    client.finalize(&account, &order, &csr).await.refused(&[403], &["orderNotReady"]);
    Ok(())
}

async fn an_authorization_that_failed_is_invalid_with_its_challenge(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let object = client.fail(&account, order.authorization(0)).await;
    let challenge = list(&object["challenges"]).iter().find(|one| one["type"] == "http-01").expect("it was tried");
    assert_eq!(challenge["status"], "invalid", "{object}");
    crate::support::answer::assert_registered(&challenge["error"]);
    // A new order gets a new authorization, with a token of its own.
    let again = client.new_order(&account, &json!({ "identifiers": identifiers(&[&name]) })).await.object(201);
    assert_ne!(text(&again["authorizations"][0]), order.authorization(0));
    let fresh = client.read(&account, text(&again["authorizations"][0])).await;
    let fresh = challenge_of(&fresh, "http-01").expect("it can be tried again");
    assert_ne!(fresh.token, text(&challenge["token"]));
    Ok(())
}

async fn an_invalid_order_says_why(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    client.fail(&account, order.authorization(0)).await;
    let object = client.wait_for(&account, &order.url, "invalid").await;
    let error = object.get("error").unwrap_or_else(|| panic!("no error: {object}"));
    crate::support::answer::assert_registered(error);
    assert!(error["detail"].as_str().is_some_and(|detail| detail.contains(' ')), "{error}");
    Ok(())
}
