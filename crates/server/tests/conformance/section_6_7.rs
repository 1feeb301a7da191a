//! RFC 8555 §6.7: errors.

use std::collections::BTreeSet;

use http::Method;
use serde_json::json;

use crate::support::answer::{assert_registered, list};
use crate::support::case::{Verdict, cases};
use crate::support::client::{Client, JOSE};
use crate::support::order::identifiers;
use crate::support::watch::Watch;

cases! {
    Must refusals_are_problem_documents_with_registered_types,
    Should several_refused_identifiers_are_told_apart_by_subproblems,
    Must a_problem_names_no_identifier_outside_of_subproblems,
}

async fn refusals_are_problem_documents_with_registered_types(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (order, authorization) = (client.url("newOrder"), client.url("revokeCert"));
    let account_url = account.kid.clone();
    client.send(Method::POST, &order, &[JOSE], b"no JSON".to_vec()).await.problem();
    for (url, payload) in [
        (&order, json!({})),
        (&order, json!({ "identifiers": [] })),
        (&order, json!({ "identifiers": [{ "type": "carrier-pigeon", "value": "x" }] })),
        (&authorization, json!({})),
        (&account_url, json!({ "contact": ["gopher:hole"] })),
    ] {
        client.post(&account, url, &payload).await.problem();
    }
    Ok(())
}

async fn refused_identifiers(client: &mut Client) -> (serde_json::Value, [&'static str; 2]) {
    const BAD: [&str; 2] = ["bad name.example", "*.*.example"];
    let account = client.account().await;
    let good = client.name();
    let watch = Watch::begin(client, &account, &[]).await;
    let answer = client.new_order(&account, &json!({ "identifiers": identifiers(&[BAD[0], &good, BAD[1]]) })).await;
    let problem = answer.problem();
    watch.assert_unchanged(client, &account, "an order with bad identifiers").await;
    (problem, BAD)
}

async fn several_refused_identifiers_are_told_apart_by_subproblems(mut client: Client) -> Verdict {
    let (problem, bad) = refused_identifiers(&mut client).await;
    let subproblems = list(problem.get("subproblems").unwrap_or_else(|| panic!("no subproblems: {problem}")));
    let named: BTreeSet<&str> = subproblems.iter().filter_map(|one| one["identifier"]["value"].as_str()).collect();
    assert_eq!(named, BTreeSet::from(bad), "{problem}");
    for one in subproblems {
        assert_registered(one);
        assert!(one["detail"].as_str().is_some_and(|detail| detail.contains(' ')), "{one}");
    }
    Ok(())
}

async fn a_problem_names_no_identifier_outside_of_subproblems(mut client: Client) -> Verdict {
    let (problem, _) = refused_identifiers(&mut client).await;
    assert_eq!(problem.get("identifier"), None, "{problem}");
    Ok(())
}
