//! Resources that aren't there, are another's, or are asked for in the wrong way (RFC 8555 §6.3, §6.7, §7.1).

use acme::Algorithm;
use http::Method;
use serde_json::json;

use super::scene;
use crate::support::client::text;
use crate::support::csr::{SubjectKey, csr};
use crate::support::problem::{assert_problem, malformed, refusal};

#[tokio::test]
async fn resources_are_read_by_post_only() {
    let (_server, mut client, mut witness) = scene().await;
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["read.localhost"]).await;
    let authorization = text(&issued.object["authorizations"][0]).to_owned();
    let object = client.post_as_get(&account, &authorization).await.object(200);
    let challenge = text(&object["challenges"][0]["url"]).to_owned();
    let certificate = text(&issued.object["certificate"]).to_owned();
    let finalize = text(&issued.object["finalize"]).to_owned();
    witness.accept().await;
    let (account_url, order) = (account.kid.clone(), issued.order.clone());
    let urls = ["/new-account", "/new-order", "/revoke-cert"].map(str::to_owned);
    for url in urls.into_iter().chain([account_url, order, authorization, challenge, certificate, finalize]) {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let what = format!("{method} {url}");
            let answer = client.send(method, &url, &[], Vec::new()).await;
            witness.assert_refused(&answer, refusal(405, "malformed", "POST-as-GET"), &what).await;
            assert_eq!(answer.header("allow"), Some("POST"), "{what}: {answer:?}");
        }
    }
    for url in ["/dir", "/new-nonce"] {
        let answer = client.send(Method::PUT, url, &[], Vec::new()).await;
        witness.assert_refused(&answer, refusal(405, "malformed", "GET"), url).await;
        assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"), "{url}: {answer:?}");
        let answer = client.post(&account, url, &json!({})).await;
        witness.assert_refused(&answer, malformed("payload must be empty"), url).await;
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let (_server, mut client, mut witness) = scene().await;
    let account = client.account(Algorithm::Es256).await;
    let (_, order) = client.order(&account, &["found.localhost"]).await;
    let authorization = text(&order["authorizations"][0]).to_owned();
    witness.accept().await;
    for path in ["/", "/directory", "/dir/", "/order", "/order/", "/acme/new-order", "/new-order/1", "/%00"] {
        let answer = client.read(path).await;
        witness.assert_refused(&answer, refusal(404, "malformed", "/dir"), path).await;
        let answer = client.post(&account, path, &json!({})).await;
        witness.assert_refused(&answer, refusal(404, "malformed", "/dir"), path).await;
    }
    let id = "0".repeat(32);
    for (path, names) in [
        (format!("/order/{id}"), "order"),
        ("/order/1".to_owned(), "order"),
        ("/order/%2e%2e%2fdir".to_owned(), "percent-encoding"),
        ("/order/%ff".to_owned(), "can't be read"),
        (format!("/order/{id}?order"), "query"),
        (format!("/authz/{id}"), "authorization"),
        (format!("/authz/{id}-0"), "authorization"),
        (format!("/chall/{id}-0/http-01"), "authorization"),
        (authorization.replace("/authz/", "/chall/") + "/http-02", "challenge"),
        (authorization.replace("-0", "-7"), "authorization"),
        ("/cert/0123456789abcdef".to_owned(), "certificate"),
        ("/cert/certificate".to_owned(), "certificate"),
    ] {
        let answer = client.post_as_get(&account, &path).await;
        witness.assert_refused(&answer, refusal(404, "malformed", names), &path).await;
    }
    let csr = acme::base64url_encode(&csr(&SubjectKey::new(), &["found.localhost"]));
    let answer = client.post(&account, &format!("/order/{id}/finalize"), &json!({ "csr": csr })).await;
    witness.assert_refused(&answer, refusal(404, "malformed", "order"), "finalize").await;
}

#[tokio::test]
async fn what_belongs_to_another_account_is_not_shown_and_not_changed() {
    let (_server, mut client, mut witness) = scene().await;
    let owner = client.account(Algorithm::Es256).await;
    let stranger = client.account(Algorithm::Es384).await;
    let open = client.order(&owner, &["open.localhost"]).await;
    let ready = client.ready(&owner, &["ready.localhost"]).await;
    let issued = client.issued(&owner, &["issued.localhost"]).await;
    let authorization = text(&open.1["authorizations"][0]).to_owned();
    let ended = text(&issued.object["authorizations"][0]).to_owned();
    let (challenge, _) = client.http_01(&owner, &open.1["authorizations"][0]).await;
    let certificate = text(&issued.object["certificate"]).to_owned();
    let acknowledge = text(&issued.object["acknowledge"]).to_owned();
    let finalize = text(&ready.1["finalize"]).to_owned();
    witness.accept().await;
    let csr = json!({ "csr": acme::base64url_encode(&csr(&SubjectKey::new(), &["ready.localhost"])) });
    let foreign = |names| refusal(403, "unauthorized", names);
    for (url, names) in [
        (&open.0, "order"),
        (&issued.order, "order"),
        (&authorization, "authorization"),
        (&ended, "authorization"),
        (&challenge, "authorization"),
        (&certificate, "certificate"),
        (&owner.kid, "account"),
    ] {
        let answer = client.post_as_get(&stranger, url).await;
        witness.assert_refused(&answer, foreign(names), &format!("reading {url}")).await;
    }
    for (url, payload, names) in [
        (&finalize, csr, "order"),
        (&challenge, json!({}), "authorization"),
        (&authorization, json!({ "status": "deactivated" }), "authorization"),
        (&ended, json!({ "status": "deactivated" }), "authorization"),
        (&acknowledge, json!({}), "order"),
        (&owner.kid, json!({ "status": "deactivated" }), "account"),
        (&owner.kid, json!({ "contact": [] }), "account"),
    ] {
        let answer = client.post(&stranger, url, &payload).await;
        witness.assert_refused(&answer, foreign(names), &format!("{payload} to {url}")).await;
    }
    assert_eq!(client.post_as_get(&owner, &open.0).await.object(200), open.1);
    assert_eq!(client.post_as_get(&owner, &ready.0).await.object(200), ready.1);
    assert_eq!(client.post_as_get(&owner, &issued.order).await.object(200), issued.object);
}

#[tokio::test]
async fn payloads_that_don_t_belong_are_refused() {
    let (_server, mut client, mut witness) = scene().await;
    let account = client.account(Algorithm::Es256).await;
    let (url, order) = client.order(&account, &["payload.localhost"]).await;
    let authorization = text(&order["authorizations"][0]).to_owned();
    let (challenge, _) = client.http_01(&account, &order["authorizations"][0]).await;
    witness.accept().await;
    for (url, payload, due) in [
        (&url, "{}", malformed("payload must be empty")),
        (&authorization, "{}", malformed("status")),
        (&authorization, r#"{"status":"valid"}"#, malformed("deactivated")),
        (&authorization, r#"{"status":"gone"}"#, malformed("unknown variant")),
        (&authorization, r#"{"status":"deactivated","status":"deactivated"}"#, malformed("duplicate")),
        (&challenge, "[]", malformed("JSON object")),
        (&challenge, "null", malformed("JSON object")),
        (&account.kid, r#"{"status":"revoked"}"#, malformed("revoked")),
        (&account.kid, r#"{"status":7}"#, malformed("not the JSON object")),
        (&account.kid, "[]", malformed("JSON object")),
    ] {
        let answer = client.try_post(&account, url, payload.as_bytes(), &[]).await.expect("the server answers");
        witness.assert_refused(&answer, due, &format!("{payload} to {url}")).await;
    }
    assert_eq!(client.post_as_get(&account, &url).await.object(200), order);
}

#[tokio::test]
async fn only_a_chain_in_pem_is_sent() {
    let (_server, mut client, mut witness) = scene().await;
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["accept.localhost"]).await;
    let url = text(&issued.object["certificate"]).to_owned();
    witness.accept().await;
    for accept in ["application/pkix-cert", "text/html, application/json;q=0.9", "application/pkcs7-mime"] {
        let answer = client.try_post(&account, &url, b"", &[("accept", accept)]).await.expect("the server answers");
        let due = refusal(406, "malformed", "application/pem-certificate-chain");
        witness.assert_refused(&answer, due, accept).await;
    }
    let answer = client.post(&account, &url, &json!({})).await;
    witness.assert_refused(&answer, malformed("payload must be empty"), "a payload").await;
    for accept in ["*/*", "application/*;q=0.1", "text/html, application/pem-certificate-chain"] {
        let answer = client.try_post(&account, &url, b"", &[("accept", accept)]).await.expect("the server answers");
        assert_eq!(answer.status, 200, "{accept}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/pem-certificate-chain"));
    }
    let answer = client.read("/cert").await;
    assert_problem(&answer, "GET of no certificate");
}
