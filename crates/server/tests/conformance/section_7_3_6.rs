//! RFC 8555 §7.3.6: accounts are deactivated.

use serde_json::json;

use crate::support::case::{Verdict, cases};
use crate::support::client::Client;
use crate::support::watch::Watch;

cases! {
    Must an_account_is_deactivated_by_its_key,
    Must a_deactivated_account_is_refused_with_401_everywhere,
    Must a_deactivated_account_is_not_made_anew,
    Must a_deactivated_account_stays_so,
    Must other_changes_of_the_status_are_not_made,
}

async fn an_account_is_deactivated_by_its_key(mut client: Client) -> Verdict {
    let account = client.account().await;
    let answer = client.post(&account, &account.kid, &json!({ "status": "deactivated" })).await;
    assert_eq!(answer.object(200)["status"], "deactivated");
    Ok(())
}

async fn a_deactivated_account_is_refused_with_401_everywhere(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (a, b) = (client.name(), client.name());
    let order = client.order(&account, &[&a]).await;
    let challenge = client.http_01(&account, order.authorization(0)).await;
    let issued = client.issued(&account, &[&b]).await;
    client.post(&account, &account.kid, &json!({ "status": "deactivated" })).await.object(200);
    let certificate = acme::base64url_encode(&issued.chain[0]);
    let new_order = json!({ "identifiers": crate::support::order::identifiers(&[&b]) });
    for (url, payload) in [
        (account.kid.clone(), json!({ "contact": [] })),
        (client.url("newOrder"), new_order),
        (challenge.url.clone(), json!({})),
        (order.authorization(0).to_owned(), json!({ "status": "deactivated" })),
        (client.url("revokeCert"), json!({ "certificate": certificate })),
    ] {
        let answer = client.post(&account, &url, &payload).await;
        assert!(answer.status >= 400, "{payload} to {url} was taken");
        answer.refused(&[401], &["unauthorized"]);
    }
    for url in [&account.kid, &order.url, order.authorization(0), issued.order.certificate()] {
        let answer = client.post_as_get(&account, url).await;
        assert!(answer.status >= 400, "{url} was read");
        answer.refused(&[401], &["unauthorized"]);
    }
    Ok(())
}

async fn a_deactivated_account_is_not_made_anew(mut client: Client) -> Verdict {
    let account = client.account().await;
    client.post(&account, &account.kid, &json!({ "status": "deactivated" })).await.object(200);
    let (url, payload) = (client.url("newAccount"), client.new_account_payload(&account.key));
    let answer = client.post_by_key(&account.key, &url, &payload).await;
    answer.refused(&[401, 403], &["unauthorized"]);
    Ok(())
}

async fn a_deactivated_account_stays_so(mut client: Client) -> Verdict {
    let account = client.account().await;
    client.post(&account, &account.kid, &json!({ "status": "deactivated" })).await.object(200);
    for status in ["valid", "deactivated"] {
        let answer = client.post(&account, &account.kid, &json!({ "status": status })).await;
        answer.refused(&[401], &["unauthorized"]);
    }
    Ok(())
}

async fn other_changes_of_the_status_are_not_made(mut client: Client) -> Verdict {
    let account = client.account().await;
    let watch = Watch::begin(&mut client, &account, &[]).await;
    for status in [json!("revoked"), json!("pending"), json!("gone"), json!(7)] {
        // It may be ignored or refused.
        let answer = client.post(&account, &account.kid, &json!({ "status": status })).await;
        assert!(answer.status < 500, "{status}: {}", answer.shown());
        watch.assert_unchanged(&mut client, &account, &status.to_string()).await;
    }
    Ok(())
}
