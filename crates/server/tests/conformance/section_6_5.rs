//! RFC 8555 §6.5: nonces.

use std::collections::HashSet;

use futures_util::future::join_all;
use http::Method;
use serde_json::json;

use crate::support::case::{Verdict, cases};
use crate::support::client::{Client, JOSE};
use crate::support::draft::{Draft, Signed};
use crate::support::order::identifiers;
use crate::support::spoiler::Spoiler;

cases! {
    Must a_successful_answer_to_a_post_has_a_nonce,
    Should a_refusal_has_a_nonce,
    Must a_bad_nonce_is_answered_with_400_and_a_good_one,
    Must a_nonce_is_good_once,
    Must of_16_simultaneous_requests_with_one_nonce_one_is_taken,
    Must a_nonce_is_used_up_by_a_request_that_is_refused,
    Must a_nonce_is_used_up_by_a_request_with_a_bad_signature,
    Must a_request_without_a_nonce_is_refused,
    Must a_nonce_in_the_http_header_does_not_count,
    Must a_nonce_that_was_never_given_is_refused,
    Must a_nonce_with_a_changed_character_is_refused,
    Must a_nonce_that_is_no_base64url_is_malformed,
    Must nonces_are_base64url_and_each_is_new,
    Should nonces_have_128_bits,
}

async fn a_successful_answer_to_a_post_has_a_nonce(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let issued = client.issued(&account, &[&name]).await;
    let order = &issued.order;
    for url in [&account.kid, &order.url, order.authorization(0), order.certificate()] {
        let answer = client.post_as_get(&account, url).await;
        assert_eq!(answer.status, 200, "{url}");
        assert!(answer.header("replay-nonce").is_some(), "{url}");
    }
    let revoke = client.url("revokeCert");
    let payload = json!({ "certificate": acme::base64url_encode(&issued.chain[0]) });
    let answer = client.post(&account, &revoke, &payload).await;
    assert_eq!(answer.status, 200, "{}", answer.shown());
    assert!(answer.header("replay-nonce").is_some(), "revokeCert");
    Ok(())
}

async fn a_refusal_has_a_nonce(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let url = spoiler.url.clone();
    let post = |client: Client, headers: Vec<(&'static str, &'static str)>, body: &'static str| {
        let url = url.clone();
        async move {
            let mut client = client;
            client.send(Method::POST, &url, &headers, body.as_bytes().to_vec()).await
        }
    };
    let answers = [
        spoiler.send(|draft| draft.with("alg", "none").body()).await,
        spoiler.send(|draft| draft.with("url", "https://ca.example/").body()).await,
        spoiler.send(|draft| Draft { payload: b"{}".to_vec(), ..draft }.body()).await,
        post(spoiler.client.another(), vec![JOSE], "{").await,
        post(spoiler.client.another(), vec![("content-type", "text/plain")], "").await,
    ];
    for answer in answers {
        assert!(answer.status >= 400);
        assert!(answer.header("replay-nonce").is_some(), "{}", answer.shown());
    }
    Ok(())
}

async fn a_bad_nonce_is_answered_with_400_and_a_good_one(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let answer = spoiler.send(|draft| draft.with("nonce", "AAAAAAAAAAAAAAAAAAAAAA").body()).await;
    answer.refused(&[400], &["badNonce"]);
    let fresh = answer.header("replay-nonce").unwrap_or_else(|| panic!("no nonce: {}", answer.shown())).to_owned();
    spoiler.takes("the new nonce", |draft| draft.with("nonce", fresh).body()).await;
    Ok(())
}

async fn a_nonce_is_good_once(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let mut nonce = json!(null);
    let keep = |draft: Draft<'_>| {
        nonce = draft.header["nonce"].clone();
        draft.body()
    };
    spoiler.takes("the first use", keep).await;
    let answer = spoiler.send(|draft| draft.with("nonce", nonce.clone()).body()).await;
    answer.refused(&[400], &["badNonce"]);
    let answer = spoiler.send(|draft| draft.with("nonce", nonce).body()).await;
    answer.refused(&[400], &["badNonce"]);
    Ok(())
}

async fn of_16_simultaneous_requests_with_one_nonce_one_is_taken(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (name, url) = (client.name(), client.url("newOrder"));
    let payload = json!({ "identifiers": identifiers(&[&name]) }).to_string();
    let body = client.draft(&account, &url, payload.as_bytes()).await.body();
    let mut clients: Vec<Client> = (0..16).map(|_| client.another()).collect();
    let directory = client.directory_url().to_owned();
    // Connected before, so that the requests meet.
    join_all(clients.iter_mut().map(|one| one.get(&directory))).await;
    let answers = join_all(clients.iter_mut().map(|one| one.post_body(&url, body.clone()))).await;
    let taken = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(taken, 1, "{taken} of 16 were taken");
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.refused(&[400], &["badNonce"]);
    }
    Ok(())
}

async fn a_nonce_is_used_up_by_a_request_that_is_refused(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let nonce = spoiler.client.nonce().await;
    let spoilt = nonce.clone();
    let answer = spoiler.send(|draft| Draft { payload: b"[]".to_vec(), ..draft }.with("nonce", spoilt).body()).await;
    answer.refused(&[400], &["malformed"]);
    let answer = spoiler.send(|draft| draft.with("nonce", nonce).body()).await;
    answer.refused(&[400], &["badNonce"]);
    Ok(())
}

async fn a_nonce_is_used_up_by_a_request_with_a_bad_signature(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let nonce = spoiler.client.nonce().await;
    let spoilt = nonce.clone();
    let bad = |draft: Draft<'_>| {
        let signed = draft.with("nonce", spoilt).sign();
        Signed { signature: acme::base64url_encode(&[1; 64]), ..signed }.body()
    };
    assert!(spoiler.send(bad).await.status >= 400);
    let answer = spoiler.send(|draft| draft.with("nonce", nonce).body()).await;
    answer.refused(&[400], &["badNonce"]);
    Ok(())
}

async fn a_request_without_a_nonce_is_refused(client: Client) -> Verdict {
    let kinds = ["badNonce", "malformed"];
    Spoiler::new(client).await.refuses("no nonce", |draft| draft.without("nonce").body(), &[400], &kinds).await;
    Ok(())
}

async fn a_nonce_in_the_http_header_does_not_count(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let payload = json!({ "identifiers": identifiers(&[&spoiler.client.name()]) }).to_string();
    let draft = spoiler.client.draft(&spoiler.account, &spoiler.url, payload.as_bytes()).await;
    let nonce = draft.header["nonce"].as_str().expect("we wrote it").to_owned();
    let body = draft.without("nonce").body();
    let answer = spoiler.client.send(Method::POST, &spoiler.url, &[JOSE, ("replay-nonce", &nonce)], body).await;
    answer.refused(&[400], &["badNonce", "malformed"]);
    Ok(())
}

async fn a_nonce_that_was_never_given_is_refused(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    for forged in [acme::base64url_encode(&[0; 16]), acme::base64url_encode(&[0xff; 24]), "AA".to_owned()] {
        let spoil = |draft: Draft<'_>| draft.with("nonce", forged.as_str()).body();
        spoiler.refuses(&forged, spoil, &[400], &["badNonce"]).await;
    }
    Ok(())
}

async fn a_nonce_with_a_changed_character_is_refused(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let nonce = spoiler.client.nonce().await;
    for at in [0, nonce.len() / 2, nonce.len() - 2] {
        let other = if nonce[at..].starts_with('A') { "B" } else { "A" };
        let changed = format!("{}{other}{}", &nonce[..at], &nonce[at + 1..]);
        let spoil = |draft: Draft<'_>| draft.with("nonce", changed.as_str()).body();
        spoiler.refuses(&changed, spoil, &[400], &["badNonce"]).await;
    }
    Ok(())
}

async fn a_nonce_that_is_no_base64url_is_malformed(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    for nonce in [json!("a+b/"), json!("a b"), json!("AAAA="), json!("\u{e9}")] {
        let what = nonce.to_string();
        spoiler.malformed(&what, |draft| draft.with("nonce", nonce).body()).await;
    }
    for nonce in [json!(7), json!(["AAAA"]), json!({})] {
        let what = nonce.to_string();
        spoiler.malformed(&what, |draft| draft.with("nonce", nonce).body()).await;
    }
    Ok(())
}

async fn nonces(client: &mut Client) -> Vec<String> {
    let url = client.url("newNonce");
    let mut nonces = Vec::new();
    for _ in 0..50 {
        let answer = client.send(Method::HEAD, &url, &[], Vec::new()).await;
        nonces.push(answer.header("replay-nonce").expect("newNonce gives a nonce").to_owned());
    }
    nonces
}

async fn nonces_are_base64url_and_each_is_new(mut client: Client) -> Verdict {
    let nonces = nonces(&mut client).await;
    for nonce in &nonces {
        assert!(acme::base64url_decode(nonce).is_ok(), "{nonce} is no base64url");
    }
    assert_eq!(nonces.iter().collect::<HashSet<_>>().len(), nonces.len(), "a nonce was given twice");
    Ok(())
}

async fn nonces_have_128_bits(mut client: Client) -> Verdict {
    for nonce in nonces(&mut client).await {
        let octets = acme::base64url_decode(&nonce).unwrap_or_default();
        assert!(octets.len() >= 16, "{nonce} has only {} octets", octets.len());
    }
    Ok(())
}
