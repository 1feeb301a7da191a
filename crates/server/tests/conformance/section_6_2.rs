//! RFC 8555 §6.2: how requests are signed.

use acme::{ALGORITHMS, Algorithm};
use http::Method;
use serde_json::{Value, json};

use crate::support::account::signing_key;
use crate::support::answer::list;
use crate::support::case::{NotApplicable, Verdict, cases};
use crate::support::client::Client;
use crate::support::draft::{Draft, Signed, jwk};
use crate::support::order::identifiers;
use crate::support::spoiler::Spoiler;

cases! {
    Must a_body_of_another_type_is_refused_with_415,
    Must a_body_without_a_type_is_refused_with_415,
    Must the_general_serialization_is_malformed,
    Must the_compact_serialization_is_malformed,
    Must an_unprotected_header_is_malformed,
    Must an_unencoded_payload_is_malformed,
    Must an_unknown_critical_extension_is_malformed,
    Must a_detached_payload_is_malformed,
    Must a_body_that_is_no_json_is_malformed,
    Must a_header_that_is_no_json_object_is_malformed,
    Must a_header_without_an_algorithm_is_refused,
    Must a_header_without_a_url_is_refused,
    Must a_header_with_both_jwk_and_kid_is_malformed,
    Must a_header_with_neither_jwk_nor_kid_is_malformed,
    Must no_signature_is_no_algorithm,
    Must a_mac_is_no_algorithm,
    Must an_unsupported_algorithm_is_refused_with_those_supported,
    Must an_algorithm_of_another_curve_is_refused,
    Must an_algorithm_of_another_kind_of_key_is_refused,
    Must es256_is_supported,
    Should eddsa_is_supported,
    Must every_algorithm_that_is_named_is_supported,
    Must what_nobody_knows_in_header_and_body_is_ignored,
}

/// Signatures that don't verify are refused with either.
const DENIED: (&[u16], &[&str]) = (&[400, 401, 403], &["malformed", "unauthorized"]);

async fn type_is_refused(client: Client, headers: &[(&str, &str)]) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let payload = json!({ "identifiers": identifiers(&[&spoiler.client.name()]) }).to_string();
    let body = spoiler.client.draft(&spoiler.account, &spoiler.url, payload.as_bytes()).await.body();
    let answer = spoiler.client.send(Method::POST, &spoiler.url, headers, body).await;
    answer.refused(&[415], &["malformed"]);
    Ok(())
}

async fn a_body_of_another_type_is_refused_with_415(client: Client) -> Verdict {
    for other in ["application/json", "application/jose", "text/plain", "application/x-www-form-urlencoded"] {
        type_is_refused(client.another(), &[("content-type", other)]).await?;
    }
    Ok(())
}

async fn a_body_without_a_type_is_refused_with_415(client: Client) -> Verdict {
    type_is_refused(client, &[]).await
}

async fn the_general_serialization_is_malformed(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let general = |draft: Draft<'_>| {
        let Signed { protected, payload, signature } = draft.sign();
        let one = json!({ "protected": protected, "signature": signature });
        json!({ "payload": payload, "signatures": [one] }).to_string().into_bytes()
    };
    spoiler.malformed("the general serialization", general).await;
    let both = |draft: Draft<'_>| {
        let signed = draft.sign();
        let mut body = signed.json();
        body["signatures"] = json!([{ "protected": signed.protected, "signature": signed.signature }]);
        body.to_string().into_bytes()
    };
    spoiler.malformed("both serializations at once", both).await;
    Ok(())
}

async fn the_compact_serialization_is_malformed(client: Client) -> Verdict {
    let compact = |draft: Draft<'_>| {
        let Signed { protected, payload, signature } = draft.sign();
        format!("{protected}.{payload}.{signature}").into_bytes()
    };
    Spoiler::new(client).await.malformed("the compact serialization", compact).await;
    Ok(())
}

/// With another member in the body.
fn with_member(draft: &Draft<'_>, member: &str, value: Value) -> Vec<u8> {
    let mut body = draft.sign().json();
    body[member] = value;
    body.to_string().into_bytes()
}

async fn an_unprotected_header_is_malformed(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    spoiler.malformed("an unprotected header", |draft| with_member(&draft, "header", json!({ "x": 1 }))).await;
    let moved = |draft: Draft<'_>| {
        let kid = draft.header["kid"].clone();
        with_member(&draft.without("kid"), "header", json!({ "kid": kid }))
    };
    spoiler.malformed("a key named in an unprotected header", moved).await;
    Ok(())
}

async fn an_unencoded_payload_is_malformed(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let unencoded = |draft: Draft<'_>| {
        let draft = draft.with("b64", false).with("crit", json!(["b64"]));
        let payload = String::from_utf8(draft.payload.clone()).expect("JSON is text");
        let protected = acme::base64url_encode(draft.header_text().as_bytes());
        draft.sign_texts(protected, payload).body()
    };
    spoiler.malformed("an unencoded payload", unencoded).await;
    let encoded = |draft: Draft<'_>| draft.with("b64", false).with("crit", json!(["b64"])).body();
    spoiler.malformed("`b64` with an encoded payload", encoded).await;
    Ok(())
}

async fn an_unknown_critical_extension_is_malformed(client: Client) -> Verdict {
    let critical = |draft: Draft<'_>| draft.with("crit", json!(["exp"])).with("exp", 1).body();
    Spoiler::new(client).await.malformed("a critical extension", critical).await;
    Ok(())
}

async fn a_detached_payload_is_malformed(client: Client) -> Verdict {
    let detached = |draft: Draft<'_>| {
        let mut body = draft.sign().json();
        body.as_object_mut().expect("an object").remove("payload");
        body.to_string().into_bytes()
    };
    Spoiler::new(client).await.malformed("a detached payload", detached).await;
    Ok(())
}

async fn a_body_that_is_no_json_is_malformed(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    for body in ["", "{", "[]", "null", "\"text\"", "{}", "\u{feff}{}"] {
        spoiler.malformed(body, |_| body.as_bytes().to_vec()).await;
    }
    let twice = |draft: Draft<'_>| [draft.body(), b"{}".to_vec()].concat();
    spoiler.malformed("something behind it", twice).await;
    Ok(())
}

async fn a_header_that_is_no_json_object_is_malformed(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    for header in ["", "alg", "[]", "null", "{"] {
        spoiler.malformed(header, |draft| draft.sign_header(header).body()).await;
    }
    Ok(())
}

async fn a_header_without_an_algorithm_is_refused(client: Client) -> Verdict {
    let kinds = ["malformed", "badSignatureAlgorithm"];
    Spoiler::new(client).await.refuses("no `alg`", |draft| draft.without("alg").body(), &[400], &kinds).await;
    Ok(())
}

async fn a_header_without_a_url_is_refused(client: Client) -> Verdict {
    let (statuses, kinds) = DENIED;
    Spoiler::new(client).await.refuses("no `url`", |draft| draft.without("url").body(), statuses, kinds).await;
    Ok(())
}

async fn a_header_with_both_jwk_and_kid_is_malformed(client: Client) -> Verdict {
    let both = |draft: Draft<'_>| {
        let key = jwk(draft.key);
        draft.with("jwk", key).body()
    };
    Spoiler::new(client).await.malformed("two keys", both).await;
    Ok(())
}

async fn a_header_with_neither_jwk_nor_kid_is_malformed(client: Client) -> Verdict {
    Spoiler::new(client).await.malformed("no key", |draft| draft.without("kid").body()).await;
    Ok(())
}

async fn no_signature_is_no_algorithm(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let kinds = ["badSignatureAlgorithm"];
    spoiler.refuses("alg none", |draft| draft.with("alg", "none").body(), &[400], &kinds).await;
    let empty = |draft: Draft<'_>| Signed { signature: String::new(), ..draft.with("alg", "none").sign() }.body();
    spoiler.refuses("alg none without a signature", empty, &[400], &kinds).await;
    Ok(())
}

async fn a_mac_is_no_algorithm(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    // The public key as a secret: the oldest trick.
    let mac = |draft: Draft<'_>| {
        let Signed { protected, payload, .. } = draft.clone().with("alg", "HS256").sign();
        let secret = jwk(draft.key).to_string();
        crate::support::client::bound(secret.as_bytes(), &protected, &payload).to_string().into_bytes()
    };
    spoiler.refuses("a MAC", mac, &[400], &["badSignatureAlgorithm"]).await;
    Ok(())
}

async fn an_unsupported_algorithm_is_refused_with_those_supported(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    for algorithm in ["ES257", "es256", "RSA1_5"] {
        let spoil = |draft: Draft<'_>| draft.with("alg", algorithm).body();
        let problem = spoiler.refuses(algorithm, spoil, &[400], &["badSignatureAlgorithm"]).await;
        let named = problem["algorithms"].as_array().unwrap_or_else(|| panic!("no `algorithms`: {problem}"));
        assert!(named.contains(&json!("ES256")), "ES256 is not among them: {problem}");
    }
    Ok(())
}

async fn an_algorithm_of_another_curve_is_refused(client: Client) -> Verdict {
    let kinds = ["badSignatureAlgorithm", "malformed", "unauthorized"];
    let spoil = |draft: Draft<'_>| draft.with("alg", "ES384").body();
    Spoiler::new(client).await.refuses("ES384 with a key on P-256", spoil, &[400, 401, 403], &kinds).await;
    Ok(())
}

async fn an_algorithm_of_another_kind_of_key_is_refused(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let kinds = ["badSignatureAlgorithm", "malformed", "unauthorized"];
    for algorithm in ["RS256", "EdDSA"] {
        let spoil = |draft: Draft<'_>| draft.with("alg", algorithm).body();
        spoiler.refuses(algorithm, spoil, &[400, 401, 403], &kinds).await;
    }
    Ok(())
}

async fn works(client: &mut Client, algorithm: Algorithm) {
    let account = client.account_of(algorithm, crate::support::account::pkcs8(algorithm)).await;
    let name = client.name();
    client.order(&account, &[&name]).await;
}

async fn es256_is_supported(mut client: Client) -> Verdict {
    works(&mut client, Algorithm::Es256).await;
    Ok(())
}

async fn eddsa_is_supported(mut client: Client) -> Verdict {
    works(&mut client, Algorithm::EdDsa).await;
    Ok(())
}

async fn every_algorithm_that_is_named_is_supported(mut client: Client) -> Verdict {
    let key = signing_key(Algorithm::Es256);
    let url = client.url("newAccount");
    let payload = client.new_account_payload(&key);
    let body = client.draft_by_key(&key, &url, &payload).await.with("alg", "none").body();
    let problem = client.post_body(&url, body).await.refused(&[400], &["badSignatureAlgorithm"]);
    let named = problem.get("algorithms").ok_or(NotApplicable("`algorithms` in badSignatureAlgorithm"))?;
    for algorithm in ALGORITHMS.iter().copied() {
        if list(named).contains(&json!(algorithm.as_str())) {
            works(&mut client, algorithm).await;
        }
    }
    Ok(())
}

async fn what_nobody_knows_in_header_and_body_is_ignored(client: Client) -> Verdict {
    // RFC 7515 §4 and §7.2.1.
    let mut spoiler = Spoiler::new(client).await;
    spoiler.takes("an unknown header parameter", |draft| draft.with("colour", json!(["green"])).body()).await;
    spoiler.takes("an unknown member", |draft| with_member(&draft, "colour", json!({ "is": "green" }))).await;
    let spread = |draft: Draft<'_>| serde_json::to_vec_pretty(&draft.sign().json()).expect("JSON");
    spoiler.takes("white space in JSON", spread).await;
    Ok(())
}
