//! RFC 8555 §7.5: authorizations and challenges. §8.2: validation is tried again.

use serde_json::json;

use crate::support::answer::{assert_registered, list, text};
use crate::support::case::{Verdict, cases};
use crate::support::certificate::SubjectKey;
use crate::support::client::Client;
use crate::support::order::challenge_of;
use crate::support::watch::Watch;

cases! {
    Must a_challenge_is_answered_by_an_object,
    Must unknown_members_in_an_answer_are_ignored,
    Must an_answer_that_is_no_object_is_malformed,
    Must reading_a_challenge_does_not_answer_it,
    Must a_challenge_is_processing_while_it_is_tested,
    Should a_challenge_at_work_says_when_to_ask_again,
    Must an_answer_given_twice_is_harmless,
    Should the_challenge_of_an_ended_authorization_can_not_be_answered,
    Must a_challenge_that_failed_has_an_error,
    Must a_pending_authorization_can_be_deactivated,
    Must a_valid_authorization_can_be_deactivated,
    Must an_authorization_that_was_deactivated_authorizes_nothing,
    Must other_changes_of_an_authorization_are_refused,
    Should an_invalid_authorization_can_not_be_deactivated,
}

async fn a_challenge_is_answered_by_an_object(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let challenge = client.http_01(&account, order.authorization(0)).await;
    client.world.responder.show(&challenge.token, account.key_authorization(&challenge.token).as_str());
    let object = client.answer(&account, &challenge).await.object(200);
    assert_eq!(object["url"], challenge.url.as_str());
    assert_eq!(object["token"], challenge.token.as_str());
    let status = text(&object["status"]);
    assert!(["pending", "processing", "valid"].contains(&status), "{object}");
    client.wait_for(&account, order.authorization(0), "valid").await;
    Ok(())
}

async fn unknown_members_in_an_answer_are_ignored(mut client: Client) -> Verdict {
    // Erratum 5729, too: what old clients sent.
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let challenge = client.http_01(&account, order.authorization(0)).await;
    let key_authorization = account.key_authorization(&challenge.token);
    client.world.responder.show(&challenge.token, key_authorization.as_str());
    let payload = json!({ "keyAuthorization": key_authorization.as_str(), "status": "valid", "unknown": [7] });
    client.post(&account, &challenge.url, &payload).await.object(200);
    client.wait_for(&account, order.authorization(0), "valid").await;
    Ok(())
}

async fn an_answer_that_is_no_object_is_malformed(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let challenge = client.http_01(&account, order.authorization(0)).await;
    let watch = Watch::begin(&mut client, &account, &[order.authorization(0), &challenge.url]).await;
    for payload in ["[]", "null", "7", "\"valid\"", "{"] {
        let answer = client.post_octets(&account, &challenge.url, payload.as_bytes()).await;
        assert!(answer.status >= 400, "{payload} was taken: {}", answer.shown());
        answer.refused(&[400], &["malformed"]);
        watch.assert_unchanged(&mut client, &account, payload).await;
    }
    Ok(())
}

async fn reading_a_challenge_does_not_answer_it(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let challenge = client.http_01(&account, order.authorization(0)).await;
    for _ in 0..3 {
        assert_eq!(client.read(&account, &challenge.url).await["status"], "pending");
    }
    assert_eq!(client.read(&account, order.authorization(0)).await["status"], "pending");
    assert_eq!(client.world.responder.host_of(&challenge.token), None, "it was tested");
    Ok(())
}

async fn a_challenge_is_processing_while_it_is_tested(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let challenge = client.http_01(&account, order.authorization(0)).await;
    client.world.responder.hold(&challenge.token);
    client.answer(&account, &challenge).await.object(200);
    let object = client.read(&account, &challenge.url).await;
    let authorization = client.read(&account, order.authorization(0)).await;
    client.world.responder.show(&challenge.token, account.key_authorization(&challenge.token).as_str());
    assert_eq!(object["status"], "processing", "{object}");
    assert_eq!(authorization["status"], "pending", "{authorization}");
    client.wait_for(&account, order.authorization(0), "valid").await;
    Ok(())
}

async fn a_challenge_at_work_says_when_to_ask_again(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let challenge = client.http_01(&account, order.authorization(0)).await;
    client.world.responder.hold(&challenge.token);
    client.answer(&account, &challenge).await.object(200);
    let answer = client.post_as_get(&account, order.authorization(0)).await;
    let retry_after = answer.header("retry-after").map(str::to_owned);
    client.world.responder.show(&challenge.token, account.key_authorization(&challenge.token).as_str());
    let retry_after = retry_after.unwrap_or_else(|| panic!("no Retry-After: {}", answer.shown()));
    assert!(retry_after.parse::<u32>().is_ok() || retry_after.ends_with("GMT"), "{retry_after:?}");
    Ok(())
}

async fn an_answer_given_twice_is_harmless(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let challenge = client.http_01(&account, order.authorization(0)).await;
    client.world.responder.hold(&challenge.token);
    client.answer(&account, &challenge).await.object(200);
    let again = client.answer(&account, &challenge).await;
    assert!(again.status < 500, "{}", again.shown());
    client.world.responder.show(&challenge.token, account.key_authorization(&challenge.token).as_str());
    let object = client.wait_for(&account, order.authorization(0), "valid").await;
    let late = client.answer(&account, &challenge).await;
    assert!(late.status < 500, "{}", late.shown());
    assert_eq!(client.read(&account, order.authorization(0)).await, object);
    Ok(())
}

async fn the_challenge_of_an_ended_authorization_can_not_be_answered(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let challenge = client.http_01(&account, order.authorization(0)).await;
    let object = client.fail(&account, order.authorization(0)).await;
    client.world.responder.show(&challenge.token, account.key_authorization(&challenge.token).as_str());
    let answer = client.answer(&account, &challenge).await;
    assert!((400..500).contains(&answer.status), "{}", answer.shown());
    answer.problem();
    assert_eq!(client.read(&account, order.authorization(0)).await, object);
    Ok(())
}

async fn a_challenge_that_failed_has_an_error(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let object = client.fail(&account, order.authorization(0)).await;
    let failed = challenge_of(&object, "http-01").expect("it was tried");
    let challenge = client.read(&account, &failed.url).await;
    assert_eq!(challenge["status"], "invalid", "{challenge}");
    assert_registered(&challenge["error"]);
    assert!(challenge["error"]["detail"].as_str().is_some_and(|detail| detail.contains(' ')), "{challenge}");
    assert!(list(&object["challenges"]).iter().all(|one| one["status"] != "valid"), "{object}");
    Ok(())
}

async fn a_pending_authorization_can_be_deactivated(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let payload = json!({ "status": "deactivated" });
    let object = client.post(&account, order.authorization(0), &payload).await.object(200);
    assert_eq!(object["status"], "deactivated");
    assert_eq!(client.read(&account, order.authorization(0)).await["status"], "deactivated");
    Ok(())
}

async fn a_valid_authorization_can_be_deactivated(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    client.authorize(&account, order.authorization(0)).await;
    let payload = json!({ "status": "deactivated" });
    let object = client.post(&account, order.authorization(0), &payload).await.object(200);
    assert_eq!(object["status"], "deactivated");
    Ok(())
}

async fn an_authorization_that_was_deactivated_authorizes_nothing(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.ready(&account, &[&name]).await;
    client.post(&account, order.authorization(0), &json!({ "status": "deactivated" })).await.object(200);
    let answer = client.finalize(&account, &order, &SubjectKey::new().csr(&[&name])).await;
    assert!(answer.status >= 400, "the order was finalized: {}", answer.shown());
    answer.refused(&[403], &["orderNotReady", "unauthorized"]);
    let next = client.order(&account, &[&name]).await;
    assert_eq!(next.object["status"], "pending", "it counts for another order");
    Ok(())
}

async fn other_changes_of_an_authorization_are_refused(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let watch = Watch::begin(&mut client, &account, &[order.authorization(0)]).await;
    for status in [json!("valid"), json!("invalid"), json!("gone"), json!(7)] {
        let answer = client.post(&account, order.authorization(0), &json!({ "status": status })).await;
        assert!(answer.status >= 400, "{status} was taken: {}", answer.shown());
        answer.refused(&[400, 403], &["malformed", "unauthorized"]);
        watch.assert_unchanged(&mut client, &account, &status.to_string()).await;
    }
    Ok(())
}

async fn an_invalid_authorization_can_not_be_deactivated(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    client.fail(&account, order.authorization(0)).await;
    let answer = client.post(&account, order.authorization(0), &json!({ "status": "deactivated" })).await;
    assert!((400..500).contains(&answer.status), "{}", answer.shown());
    answer.problem();
    assert_eq!(client.read(&account, order.authorization(0)).await["status"], "invalid");
    Ok(())
}
