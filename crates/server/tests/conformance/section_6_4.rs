//! RFC 8555 §6.4: a request is good for one URL.

use serde_json::json;

use crate::support::case::{Verdict, cases};
use crate::support::client::Client;
use crate::support::spoiler::Spoiler;

cases! {
    Must a_request_whose_url_differs_from_its_header_is_unauthorized,
    Must a_request_signed_for_another_resource_is_unauthorized,
    Must a_url_that_is_no_text_is_refused,
    Must a_request_sent_elsewhere_is_unauthorized,
}

const STATUSES: &[u16] = &[401, 403];

async fn a_request_whose_url_differs_from_its_header_is_unauthorized(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let url = spoiler.url.clone();
    let parsed: http::Uri = url.parse().expect("a URL");
    let path = parsed.path();
    for other in [
        format!("https://ca.example{path}"),
        url.replacen("https:", "http:", 1),
        format!("{url}/"),
        format!("{url}?"),
        format!("{url}?a=b"),
        format!("{url}#a"),
        path.to_owned(),
        String::new(),
        url.to_uppercase(),
    ] {
        spoiler.refuses(&other, |draft| draft.with("url", other.as_str()).body(), STATUSES, &["unauthorized"]).await;
    }
    Ok(())
}

async fn a_request_signed_for_another_resource_is_unauthorized(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    for resource in ["newAccount", "revokeCert", "newNonce"] {
        let other = spoiler.client.url(resource);
        spoiler.refuses(resource, |draft| draft.with("url", other).body(), STATUSES, &["unauthorized"]).await;
    }
    Ok(())
}

async fn a_url_that_is_no_text_is_refused(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    for url in [json!(7), json!(null), json!([]), json!({})] {
        let what = url.to_string();
        let spoil = |draft: crate::support::draft::Draft<'_>| draft.with("url", url).body();
        spoiler.refuses(&what, spoil, &[400, 401, 403], &["malformed", "unauthorized"]).await;
    }
    Ok(())
}

async fn a_request_sent_elsewhere_is_unauthorized(client: Client) -> Verdict {
    // What was signed for newOrder comes to other resources of the same account.
    let mut spoiler = Spoiler::new(client).await;
    let name = spoiler.client.name();
    let order = spoiler.client.order(&spoiler.account, &[&name]).await;
    for url in [&order.url, order.authorization(0), order.finalize(), &spoiler.account.kid] {
        let body = spoiler.client.draft(&spoiler.account, &spoiler.url, b"").await.body();
        spoiler.client.post_body(url, body).await.refused(STATUSES, &["unauthorized"]);
    }
    Ok(())
}
