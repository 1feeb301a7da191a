//! RFC 8555 §6.3: GET and POST-as-GET.

use http::Method;
use serde_json::json;

use crate::support::account::Account;
use crate::support::case::{Verdict, cases};
use crate::support::client::Client;
use crate::support::order::{Issued, identifiers};
use crate::support::watch::Watch;

cases! {
    Must a_get_of_anything_but_directory_and_new_nonce_is_refused_with_405,
    Must a_get_of_a_certificate_is_refused_with_405,
    Must the_directory_is_read_by_get_and_by_post_as_get,
    Must new_nonce_is_read_by_get_and_by_post_as_get,
    Must everything_of_an_account_is_read_by_post_as_get,
    Must an_account_reads_nothing_of_another,
    Must an_account_changes_nothing_of_another,
    Must post_as_get_without_a_good_signature_is_refused,
    Must an_empty_payload_asks_for_no_order,
    Should a_payload_is_no_post_as_get,
    Should an_unknown_resource_is_refused_with_404,
    Should an_unknown_method_is_refused_with_405,
}

async fn a_get_of_anything_but_directory_and_new_nonce_is_refused_with_405(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let challenge = client.http_01(&account, order.authorization(0)).await;
    let resources =
        [client.url("newAccount"), client.url("newOrder"), client.url("revokeCert"), client.url("keyChange")];
    let watch = Watch::begin(&mut client, &account, &[&order.url, order.authorization(0)]).await;
    let urls = resources.iter().map(String::as_str);
    for url in urls.chain([&account.kid, &order.url, order.authorization(0), &challenge.url, order.finalize()]) {
        let answer = client.get(url).await;
        assert_eq!(answer.status, 405, "GET {url}: {}", answer.shown());
        answer.refused(&[405], &["malformed"]);
    }
    watch.assert_unchanged(&mut client, &account, "GET").await;
    Ok(())
}

async fn a_get_of_a_certificate_is_refused_with_405(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let issued = client.issued(&account, &[&name]).await;
    client.get(issued.order.certificate()).await.refused(&[405], &["malformed"]);
    Ok(())
}

async fn the_directory_is_read_by_get_and_by_post_as_get(mut client: Client) -> Verdict {
    let url = client.directory_url().to_owned();
    let read = client.get(&url).await.object(200);
    let account = client.account().await;
    let posted = client.post_as_get(&account, &url).await.object(200);
    // Some servers put a member with a random name into it.
    assert_eq!(posted["newOrder"], read["newOrder"]);
    Ok(())
}

async fn new_nonce_is_read_by_get_and_by_post_as_get(mut client: Client) -> Verdict {
    let url = client.url("newNonce");
    assert_eq!(client.get(&url).await.status, 204);
    let account = client.account().await;
    let answer = client.post_as_get(&account, &url).await;
    assert!(matches!(answer.status, 200 | 204), "{}", answer.shown());
    assert!(answer.header("replay-nonce").is_some(), "no nonce");
    Ok(())
}

/// An account with all that it can have.
async fn owner(client: &mut Client) -> (Account, Issued, Vec<String>) {
    let owner = client.account().await;
    let name = client.name();
    let issued = client.issued(&owner, &[&name]).await;
    let other = client.name();
    let open = client.order(&owner, &[&other]).await;
    let challenge = client.http_01(&owner, open.authorization(0)).await;
    let mut urls = vec![owner.kid.clone(), issued.order.url.clone(), issued.order.authorization(0).to_owned()];
    urls.extend([issued.order.certificate().to_owned(), open.authorization(0).to_owned(), open.url, challenge.url]);
    let account = client.read(&owner, &owner.kid).await;
    urls.extend(account["orders"].as_str().map(str::to_owned));
    (owner, issued, urls)
}

async fn everything_of_an_account_is_read_by_post_as_get(mut client: Client) -> Verdict {
    let (owner, _, urls) = owner(&mut client).await;
    for url in urls {
        let answer = client.post_as_get(&owner, &url).await;
        assert_eq!(answer.status, 200, "{url}: {}", answer.shown());
    }
    Ok(())
}

async fn an_account_reads_nothing_of_another(mut client: Client) -> Verdict {
    let (_, _, urls) = owner(&mut client).await;
    let stranger = client.account().await;
    for url in urls {
        let answer = client.post_as_get(&stranger, &url).await;
        assert!(matches!(answer.status, 401 | 403 | 404), "{url}: {}", answer.shown());
        answer.refused(&[401, 403, 404], &["unauthorized", "malformed"]);
    }
    Ok(())
}

async fn an_account_changes_nothing_of_another(mut client: Client) -> Verdict {
    let owner = client.account().await;
    let name = client.name();
    let order = client.ready(&owner, &[&name]).await;
    let other = client.name();
    let open = client.order(&owner, &[&other]).await;
    let challenge = client.http_01(&owner, open.authorization(0)).await;
    let stranger = client.account().await;
    let urls = [&open.url, open.authorization(0), &order.url, order.authorization(0)];
    let watch = Watch::begin(&mut client, &owner, &urls).await;
    let csr = acme::base64url_encode(&crate::support::certificate::SubjectKey::new().csr(&[&name]));
    for (url, payload) in [
        (order.finalize(), json!({ "csr": csr })),
        (order.authorization(0), json!({ "status": "deactivated" })),
        (open.authorization(0), json!({ "status": "deactivated" })),
        (&challenge.url, json!({})),
        (&owner.kid, json!({ "contact": ["mailto:thief@example.com"] })),
        (&owner.kid, json!({ "status": "deactivated" })),
    ] {
        let answer = client.post(&stranger, url, &payload).await;
        assert!(matches!(answer.status, 401 | 403 | 404), "{payload} to {url}: {}", answer.shown());
        watch.assert_unchanged(&mut client, &owner, &format!("{payload} to {url}")).await;
    }
    Ok(())
}

async fn post_as_get_without_a_good_signature_is_refused(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let key = crate::support::account::signing_key(acme::Algorithm::Es256);
    let draft = client.draft(&account, &order.url, b"").await;
    let body = crate::support::draft::Draft { key: &key, ..draft }.body();
    client.post_body(&order.url, body).await.refused(&[400, 401, 403], &["malformed", "unauthorized"]);
    let answer = client.post_body(&order.url, Vec::new()).await;
    answer.refused(&[400], &["malformed"]);
    Ok(())
}

async fn an_empty_payload_asks_for_no_order(mut client: Client) -> Verdict {
    let account = client.account().await;
    let watch = Watch::begin(&mut client, &account, &[]).await;
    for resource in ["newOrder", "revokeCert"] {
        let url = client.url(resource);
        client.post_as_get(&account, &url).await.refused(&[400], &["malformed"]);
    }
    watch.assert_unchanged(&mut client, &account, "an empty payload").await;
    Ok(())
}

async fn a_payload_is_no_post_as_get(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let issued = client.issued(&account, &[&name]).await;
    for url in [&issued.order.url, issued.order.certificate()] {
        client.post(&account, url, &json!({})).await.refused(&[400], &["malformed"]);
    }
    Ok(())
}

async fn an_unknown_resource_is_refused_with_404(mut client: Client) -> Verdict {
    let url = format!("{}/nothing/here", client.directory_url());
    let answer = client.get(&url).await;
    assert_eq!(answer.status, 404, "{}", answer.shown());
    answer.problem();
    Ok(())
}

async fn an_unknown_method_is_refused_with_405(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let payload = json!({ "identifiers": identifiers(&[&name]) });
    let answer = client.new_order(&account, &payload).await;
    let order = answer.location();
    for url in [client.url("newOrder"), order] {
        for method in [Method::PUT, Method::DELETE, Method::PATCH] {
            let answer = client.send(method.clone(), &url, &[], Vec::new()).await;
            assert_eq!(answer.status, 405, "{method} {url}: {}", answer.shown());
            let allowed = answer.header("allow").unwrap_or_default();
            assert!(allowed.contains("POST"), "{method} {url}: Allow is {allowed:?} (RFC 9110 §15.5.6)");
        }
    }
    Ok(())
}
