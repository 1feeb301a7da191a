//! RFC 8555 §7.1: resources, and how they lead to each other. §7.1.1: the directory.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::answer::text;
use crate::support::case::{Verdict, cases};
use crate::support::client::Client;

cases! {
    Must every_resource_but_the_directory_links_to_the_directory,
    Must a_challenge_links_up_to_its_authorization,
    Must the_directory_names_its_resources_by_whole_https_urls,
    Must the_directory_is_json,
    Must the_meta_member_is_an_object_with_members_of_the_right_kinds,
    Must without_external_account_required_an_account_needs_no_binding,
    Must resources_of_the_directory_answer,
}

const REQUIRED: [&str; 5] = ["newNonce", "newAccount", "newOrder", "revokeCert", "keyChange"];

async fn every_resource_but_the_directory_links_to_the_directory(mut client: Client) -> Verdict {
    let directory = client.directory_url().to_owned();
    let account = client.account().await;
    let name = client.name();
    let issued = client.issued(&account, &[&name]).await;
    let (order, nonce) = (&issued.order, client.url("newNonce"));
    assert_eq!(client.get(&nonce).await.links("index"), [directory.as_str()], "newNonce");
    let authorization = client.read(&account, order.authorization(0)).await;
    let challenge = text(&authorization["challenges"][0]["url"]);
    for url in [&account.kid, &order.url, order.authorization(0), challenge, order.certificate()] {
        let answer = client.post_as_get(&account, url).await;
        assert_eq!(answer.links("index"), [directory.as_str()], "{url}: {}", answer.shown());
    }
    let answer = client.new_order(&account, &json!({})).await;
    assert_eq!(answer.links("index"), [directory.as_str()], "a refusal: {}", answer.shown());
    Ok(())
}

async fn a_challenge_links_up_to_its_authorization(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let challenge = client.http_01(&account, order.authorization(0)).await;
    let answer = client.post_as_get(&account, &challenge.url).await;
    assert_eq!(answer.links("up"), [order.authorization(0)], "{}", answer.shown());
    client.world.responder.show(&challenge.token, account.key_authorization(&challenge.token).as_str());
    let answer = client.answer(&account, &challenge).await;
    assert_eq!(answer.links("up"), [order.authorization(0)], "{}", answer.shown());
    Ok(())
}

async fn the_directory_names_its_resources_by_whole_https_urls(client: Client) -> Verdict {
    let directory = client.directory();
    for resource in REQUIRED {
        let url = directory[resource].as_str().unwrap_or_else(|| panic!("no {resource}: {directory}"));
        let url: http::Uri = url.parse().unwrap_or_else(|error| panic!("{resource}: {error}"));
        assert_eq!(url.scheme_str(), Some("https"), "{resource}");
        assert!(url.authority().is_some(), "{resource}");
    }
    let urls: Vec<&str> = REQUIRED.iter().filter_map(|resource| directory[*resource].as_str()).collect();
    let different: std::collections::BTreeSet<&&str> = urls.iter().collect();
    assert_eq!(different.len(), urls.len(), "two resources have one URL: {directory}");
    Ok(())
}

async fn the_directory_is_json(mut client: Client) -> Verdict {
    let url = client.directory_url().to_owned();
    client.get(&url).await.object(200);
    Ok(())
}

async fn the_meta_member_is_an_object_with_members_of_the_right_kinds(client: Client) -> Verdict {
    let Some(meta) = client.directory().get("meta") else { return Ok(()) };
    let members: BTreeMap<String, Value> = serde_json::from_value(meta.clone()).expect("`meta` is an object");
    for (name, value) in &members {
        let right = match name.as_str() {
            "termsOfService" | "website" => value.as_str().is_some_and(|url| url.contains(':')),
            "caaIdentities" => value.as_array().is_some_and(|all| {
                all.iter().all(|one| one.as_str().is_some_and(|name| !name.is_empty() && name.is_ascii()))
            }),
            "externalAccountRequired" => value.is_boolean(),
            "profiles" => value.as_object().is_some_and(|all| all.values().all(Value::is_string)),
            _ => true,
        };
        assert!(right, "{name} is {value}");
    }
    Ok(())
}

async fn without_external_account_required_an_account_needs_no_binding(mut client: Client) -> Verdict {
    let required = client.directory()["meta"]["externalAccountRequired"] == true;
    let key = crate::support::account::signing_key(acme::Algorithm::Es256);
    let url = client.url("newAccount");
    let answer = client.post_by_key(&key, &url, &json!({ "termsOfServiceAgreed": true })).await;
    if required {
        answer.refused(&[400, 401, 403], &["externalAccountRequired"]);
    } else {
        answer.object(201);
    }
    Ok(())
}

async fn resources_of_the_directory_answer(mut client: Client) -> Verdict {
    let account = client.account().await;
    let members = client.directory().as_object().expect("an object").clone();
    for resource in REQUIRED.iter().chain(&["newAuthz"]) {
        let Some(url) = members.get(*resource).and_then(Value::as_str) else { continue };
        let answer = client.post(&account, url, &json!({ "nothing": true })).await;
        assert!(answer.status != 404 && answer.status < 500, "{resource}: {}", answer.shown());
    }
    Ok(())
}
