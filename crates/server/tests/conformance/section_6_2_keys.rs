//! RFC 8555 §6.2, continued: whose key signed, and whether it did. RFC 7515 and RFC 7518 say what a signature is.

use acme::{Algorithm, base64url_encode};
use serde_json::{Value, json};

use crate::support::account::signing_key;
use crate::support::case::{Verdict, cases};
use crate::support::client::Client;
use crate::support::draft::{Draft, Signed, jwk};
use crate::support::openssl::openssl;
use crate::support::order::identifiers;
use crate::support::spoiler::Spoiler;

cases! {
    Must an_ecdsa_signature_in_der_is_refused,
    Must a_signature_of_another_length_is_refused,
    Must a_signature_of_zeros_is_refused,
    Must a_signature_of_something_else_is_refused,
    Must a_signature_by_another_key_is_refused,
    Must a_header_member_given_twice_has_no_second_meaning,
    Must new_order_signed_with_jwk_is_malformed,
    Must new_account_signed_with_kid_is_malformed,
    Must a_kid_that_is_no_url_is_refused,
    Must a_kid_of_another_host_is_refused,
    Must a_kid_of_another_account_is_refused,
    Must a_kid_of_no_account_does_not_exist,
    Must a_key_off_its_curve_is_a_bad_public_key,
    Must a_short_rsa_key_is_a_bad_public_key,
    Must a_key_of_an_unknown_kind_is_refused,
    Must a_key_that_lacks_a_member_is_refused,
    Should a_payload_that_is_no_json_object_is_malformed,
    Should a_body_without_end_is_refused,
    Should json_without_end_is_refused,
}

const STATUSES: &[u16] = &[400, 401, 403];
const DENIED: &[&str] = &["malformed", "unauthorized"];

async fn an_ecdsa_signature_in_der_is_refused(client: Client) -> Verdict {
    let der = |draft: Draft<'_>| {
        let signed = draft.sign();
        let fixed = acme::base64url_decode(&signed.signature).expect("we wrote it");
        let integer = |number: &[u8]| {
            let number: Vec<u8> = number.iter().copied().skip_while(|octet| *octet == 0).collect();
            let sign: &[u8] = if number[0] >= 0x80 { &[0] } else { &[] };
            let length = u8::try_from(number.len() + sign.len()).expect("33 at most");
            [&[0x02, length], sign, &number].concat()
        };
        let parts = [integer(&fixed[..32]), integer(&fixed[32..])].concat();
        let der = [&[0x30, u8::try_from(parts.len()).expect("70 at most")], parts.as_slice()].concat();
        Signed { signature: base64url_encode(&der), ..signed }.body()
    };
    Spoiler::new(client).await.refuses("a signature in DER", der, STATUSES, DENIED).await;
    Ok(())
}

/// With these octets as its signature, made from the right ones.
fn resigned(draft: &Draft<'_>, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let signed = draft.sign();
    let right = acme::base64url_decode(&signed.signature).expect("we wrote it");
    Signed { signature: base64url_encode(&change(right)), ..signed }.body()
}

async fn a_signature_of_another_length_is_refused(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    spoiler.refuses("no octet", |draft| resigned(&draft, |_| Vec::new()), STATUSES, DENIED).await;
    spoiler.refuses("63 octets", |draft| resigned(&draft, |all| all[..63].to_vec()), STATUSES, DENIED).await;
    let longer = |draft: Draft<'_>| resigned(&draft, |all| [all, vec![0]].concat());
    spoiler.refuses("65 octets", longer, STATUSES, DENIED).await;
    // R and S as they would be on P-384.
    let wider = |draft: Draft<'_>| resigned(&draft, |all| [&[0; 16], &all[..32], &[0; 16], &all[32..]].concat());
    spoiler.refuses("96 octets", wider, STATUSES, DENIED).await;
    Ok(())
}

async fn a_signature_of_zeros_is_refused(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    spoiler.refuses("R = S = 0", |draft| resigned(&draft, |_| vec![0; 64]), STATUSES, DENIED).await;
    Ok(())
}

async fn a_signature_of_something_else_is_refused(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let other = |draft: Draft<'_>| {
        let payload = json!({ "identifiers": identifiers(&["other.example"]) }).to_string();
        Signed { payload: base64url_encode(payload.as_bytes()), ..draft.sign() }.body()
    };
    spoiler.refuses("another payload", other, STATUSES, DENIED).await;
    let header = |draft: Draft<'_>| {
        let signature = draft.sign().signature;
        Signed { signature, ..draft.with("cty", "x").sign() }.body()
    };
    spoiler.refuses("another header", header, STATUSES, DENIED).await;
    Ok(())
}

async fn a_signature_by_another_key_is_refused(client: Client) -> Verdict {
    let key = signing_key(Algorithm::Es256);
    let spoil = |draft: Draft<'_>| Draft { key: &key, ..draft }.body();
    Spoiler::new(client).await.refuses("another key", spoil, STATUSES, DENIED).await;
    Ok(())
}

async fn a_header_member_given_twice_has_no_second_meaning(client: Client) -> Verdict {
    // RFC 7515 §4: refused, or the last one counts.
    let twice = |draft: Draft<'_>| {
        let header = draft.header_text();
        let open = header.strip_suffix('}').expect("an object ends with }");
        draft.sign_header(&format!("{open},\"url\":\"https://other.example/\"}}")).body()
    };
    Spoiler::new(client).await.refuses("`url` twice", twice, STATUSES, DENIED).await;
    Ok(())
}

async fn new_order_signed_with_jwk_is_malformed(client: Client) -> Verdict {
    let by_key = |draft: Draft<'_>| {
        let key = jwk(draft.key);
        draft.without("kid").with("jwk", key).body()
    };
    Spoiler::new(client).await.malformed("`jwk`", by_key).await;
    Ok(())
}

async fn new_account_signed_with_kid_is_malformed(mut client: Client) -> Verdict {
    let account = client.account().await;
    let key = signing_key(Algorithm::Es256);
    let (url, payload) = (client.url("newAccount"), client.new_account_payload(&key).to_string());
    client.post_octets(&account, &url, payload.as_bytes()).await.refused(&[400], &["malformed"]);
    let draft = client.draft(&account, &url, payload.as_bytes()).await;
    let body = Draft { key: &key, ..draft }.body();
    client.post_body(&url, body).await.problem();
    assert_eq!(client.account_with(&key).await, None, "an account was made");
    Ok(())
}

async fn a_kid_that_is_no_url_is_refused(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let path = spoiler.account.kid.parse::<http::Uri>().expect("a URL").path().to_owned();
    let last = path.rsplit('/').next().expect("a path has a last part").to_owned();
    for kid in [json!(path), json!(last), json!(""), json!(7), json!(null)] {
        let what = kid.to_string();
        let kinds = ["malformed", "unauthorized", "accountDoesNotExist"];
        spoiler.refuses(&what, |draft| draft.with("kid", kid).body(), STATUSES, &kinds).await;
    }
    Ok(())
}

async fn a_kid_of_another_host_is_refused(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let path = spoiler.account.kid.parse::<http::Uri>().expect("a URL").path().to_owned();
    let kinds = ["malformed", "unauthorized", "accountDoesNotExist"];
    let spoil = |draft: Draft<'_>| draft.with("kid", format!("https://ca.example{path}")).body();
    spoiler.refuses("another host", spoil, STATUSES, &kinds).await;
    Ok(())
}

async fn a_kid_of_another_account_is_refused(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let other = spoiler.client.account().await.kid;
    spoiler.refuses("another's account", |draft| draft.with("kid", other).body(), STATUSES, DENIED).await;
    Ok(())
}

async fn a_kid_of_no_account_does_not_exist(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let mut kid = spoiler.account.kid.clone();
    // As long and as strange as ours, but with its digits the other way round and one of them changed.
    let last = kid.rfind('/').expect("a URL has a path") + 1;
    let turned: String = kid[last..].chars().rev().map(|one| if one == '1' { '2' } else { '1' }).collect();
    kid.replace_range(last.., &turned);
    let spoil = |draft: Draft<'_>| draft.with("kid", kid).body();
    let kinds = ["accountDoesNotExist"];
    spoiler.refuses("an account that doesn't exist", spoil, STATUSES, &kinds).await;
    Ok(())
}

/// What newAccount says to a request with this key, which signs nothing.
async fn bad_key(client: &mut Client, key: Value, algorithm: &str, kinds: &[&str]) {
    let real = signing_key(Algorithm::Es256);
    let (url, payload) = (client.url("newAccount"), client.new_account_payload(&real));
    let what = key.to_string();
    let draft = client.draft_by_key(&real, &url, &payload).await;
    let body = draft.with("jwk", key).with("alg", algorithm).body();
    let answer = client.post_body(&url, body).await;
    assert_eq!(answer.status, 400, "{what}: {}", answer.shown());
    answer.refused(&[400], kinds);
}

async fn a_key_off_its_curve_is_a_bad_public_key(mut client: Client) -> Verdict {
    let good = jwk(&signing_key(Algorithm::Es256));
    let mut off = good.clone();
    off["y"] = good["x"].clone();
    bad_key(&mut client, off, "ES256", &["badPublicKey", "malformed"]).await;
    let zero = base64url_encode(&[0; 32]);
    let infinity = json!({ "kty": "EC", "crv": "P-256", "x": zero, "y": zero });
    bad_key(&mut client, infinity, "ES256", &["badPublicKey", "malformed"]).await;
    Ok(())
}

async fn a_short_rsa_key_is_a_bad_public_key(mut client: Client) -> Verdict {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("short.key");
    let file = file.to_str().expect("temporary folders have plain names");
    openssl(&format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out {file}"), b"").await;
    let modulus = openssl(&format!("rsa -in {file} -noout -modulus"), b"").await;
    let modulus = String::from_utf8_lossy(&modulus).trim().trim_start_matches("Modulus=").to_owned();
    let modulus = data_encoding::HEXUPPER.decode(modulus.as_bytes()).expect("hexadecimal digits");
    let key = json!({ "kty": "RSA", "n": base64url_encode(&modulus), "e": "AQAB" });

    let real = signing_key(Algorithm::Es256);
    let (url, payload) = (client.url("newAccount"), client.new_account_payload(&real));
    let draft = client.draft_by_key(&real, &url, &payload).await.with("jwk", key).with("alg", "RS256");
    let signed = draft.sign();
    let message = format!("{}.{}", signed.protected, signed.payload);
    let signature = openssl(&format!("dgst -sha256 -sign {file}"), message.as_bytes()).await;
    let body = Signed { signature: base64url_encode(&signature), ..signed }.body();
    client.post_body(&url, body).await.refused(&[400], &["badPublicKey"]);
    Ok(())
}

async fn a_key_of_an_unknown_kind_is_refused(mut client: Client) -> Verdict {
    let kinds = ["badPublicKey", "malformed", "badSignatureAlgorithm"];
    let secret = json!({ "kty": "oct", "k": base64url_encode(&[7; 32]) });
    bad_key(&mut client, secret, "ES256", &kinds).await;
    bad_key(&mut client, json!({ "kty": "EC", "crv": "P-257", "x": "AQ", "y": "AQ" }), "ES256", &kinds).await;
    bad_key(&mut client, json!({}), "ES256", &kinds).await;
    bad_key(&mut client, json!("key"), "ES256", &kinds).await;
    Ok(())
}

async fn a_key_that_lacks_a_member_is_refused(mut client: Client) -> Verdict {
    for member in ["kty", "crv", "x", "y"] {
        let mut key = jwk(&signing_key(Algorithm::Es256));
        key.as_object_mut().expect("an object").remove(member);
        bad_key(&mut client, key, "ES256", &["badPublicKey", "malformed", "badSignatureAlgorithm"]).await;
    }
    Ok(())
}

async fn a_payload_that_is_no_json_object_is_malformed(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    for payload in ["null", "[]", "7", "\"text\"", "{", "{} {}", "\u{0}"] {
        spoiler.malformed(payload, |draft| Draft { payload: payload.as_bytes().to_vec(), ..draft }.body()).await;
    }
    Ok(())
}

async fn a_body_without_end_is_refused(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let payload = vec![b' '; 3 << 20];
    let nonce = spoiler.client.nonce().await;
    let body = Draft::new(&spoiler.account.key, Some(&spoiler.account.kid), &nonce, &spoiler.url, &payload).body();
    let headers = [crate::support::client::JOSE];
    // Who closes the connection before the end has refused it too.
    let answer = spoiler.client.try_send(http::Method::POST, &spoiler.url, &headers, body).await;
    if let Ok(answer) = answer {
        answer.refused(&[400, 413], &["malformed"]);
    }
    // The rest of the body may have broken the connection.
    spoiler.client = spoiler.client.another();
    spoiler.takes("a request after that", |draft| draft.body()).await;
    Ok(())
}

async fn json_without_end_is_refused(client: Client) -> Verdict {
    let mut spoiler = Spoiler::new(client).await;
    let deep = format!("{{\"identifiers\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    spoiler.malformed("a deep payload", |draft| Draft { payload: deep.into_bytes(), ..draft }.body()).await;
    spoiler.malformed("a deep body", |_| "[".repeat(50_000).into_bytes()).await;
    let ignored = |draft: Draft<'_>| {
        let header = draft.header_text();
        let open = header.strip_suffix('}').expect("an object ends with }");
        draft.sign_header(&format!("{open},\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000))).body()
    };
    let answer = spoiler.send(ignored).await;
    assert!(answer.status == 201 || answer.status == 400, "{}", answer.shown());
    spoiler.takes("a request after that", |draft| draft.body()).await;
    Ok(())
}
