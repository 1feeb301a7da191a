//! RFC 8555 §6.1: HTTPS requests, and how octets are written.

use acme::base64url_encode;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::case::{Verdict, cases};
use crate::support::client::Client;
use crate::support::draft::{Draft, Signed};
use crate::support::spoiler::Spoiler;

cases! {
    Must acme_is_not_served_without_tls,
    Must a_padded_protected_header_is_malformed,
    Must a_padded_payload_is_malformed,
    Must a_padded_signature_is_malformed,
    Must base64_with_the_other_alphabet_is_malformed,
    Must base64url_with_line_breaks_is_malformed,
    Should base64url_with_stray_bits_is_malformed,
    Should pages_of_any_origin_may_ask,
    Should answers_to_posts_may_be_read_by_pages_of_any_origin,
}

async fn acme_is_not_served_without_tls(client: Client) -> Verdict {
    let url: http::Uri = client.directory_url().parse().expect("a URL");
    let authority = url.authority().expect("it has a host");
    let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(443));
    let mut stream = TcpStream::connect(&address).await.expect("the port is open");
    let request = format!("GET {} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n", url.path());
    stream.write_all(request.as_bytes()).await.expect("a few octets can be sent");
    let mut said = Vec::new();
    // It may as well break the connection.
    let _broken = stream.read_to_end(&mut said).await;
    let said = String::from_utf8_lossy(&said);
    assert!(!said.starts_with("HTTP/1.1 2") && !said.contains("newNonce"), "it serves clear text: {said}");
    Ok(())
}

/// Text with the `=` that base64 would have, or with one if it would have none.
fn padded(text: &str) -> String {
    let missing = (4 - text.len() % 4) % 4;
    format!("{text}{}", "=".repeat(missing.max(1)))
}

async fn a_padded_protected_header_is_malformed(client: Client) -> Verdict {
    let pad = |draft: Draft<'_>| {
        let signed = draft.sign();
        draft.sign_texts(padded(&signed.protected), signed.payload).body()
    };
    Spoiler::new(client).await.malformed("padding", pad).await;
    Ok(())
}

async fn a_padded_payload_is_malformed(client: Client) -> Verdict {
    let pad = |draft: Draft<'_>| {
        let signed = draft.sign();
        draft.sign_texts(signed.protected, padded(&signed.payload)).body()
    };
    Spoiler::new(client).await.malformed("padding", pad).await;
    Ok(())
}

async fn a_padded_signature_is_malformed(client: Client) -> Verdict {
    let pad = |draft: Draft<'_>| {
        let signed = draft.sign();
        Signed { signature: padded(&signed.signature), ..signed }.body()
    };
    Spoiler::new(client).await.malformed("padding", pad).await;
    Ok(())
}

async fn base64_with_the_other_alphabet_is_malformed(client: Client) -> Verdict {
    // `?>` and `?~` become `Pz4` and `P34`; three octets of ones become `____`, or `////`.
    let other = |mut draft: Draft<'_>| {
        draft.payload.splice(1..1, *b"\"\xc3\xbf\xc3\xbf\xc3\xbf?>~~~\":1,");
        let protected = base64url_encode(draft.header_text().as_bytes());
        let payload = data_encoding::BASE64_NOPAD.encode(&draft.payload);
        assert!(payload.contains(['+', '/']), "the other alphabet shows: {payload}");
        draft.sign_texts(protected, payload).body()
    };
    Spoiler::new(client).await.malformed("the alphabet of base64", other).await;
    Ok(())
}

async fn base64url_with_line_breaks_is_malformed(client: Client) -> Verdict {
    let broken = |draft: Draft<'_>| {
        let signed = draft.sign();
        let payload = format!("{}\n{}", &signed.payload[..20], &signed.payload[20..]);
        draft.sign_texts(signed.protected, payload).body()
    };
    Spoiler::new(client).await.malformed("a line break", broken).await;
    Ok(())
}

async fn base64url_with_stray_bits_is_malformed(client: Client) -> Verdict {
    let stray = |draft: Draft<'_>| {
        let mut signed = draft.sign();
        // 64 octets are 86 characters, whose last has four bits that mean nothing.
        let last = signed.signature.pop().expect("a signature");
        signed.signature.push(char::from_u32(u32::from(last) + 1).expect("a letter has a next one"));
        signed.body()
    };
    Spoiler::new(client).await.refuses("stray bits", stray, &[400, 401, 403], &["malformed", "unauthorized"]).await;
    Ok(())
}

async fn pages_of_any_origin_may_ask(mut client: Client) -> Verdict {
    let origin = [("origin", "https://page.example")];
    for url in [client.directory_url().to_owned(), client.url("newNonce")] {
        let answer = client.send(Method::GET, &url, &origin, Vec::new()).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{url}");
    }
    Ok(())
}

async fn answers_to_posts_may_be_read_by_pages_of_any_origin(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (name, url) = (client.name(), client.url("newOrder"));
    let payload = serde_json::json!({ "identifiers": crate::support::order::identifiers(&[&name]) }).to_string();
    let body = client.draft(&account, &url, payload.as_bytes()).await.body();
    let headers = [crate::support::client::JOSE, ("origin", "https://page.example")];
    let answer = client.send(Method::POST, &url, &headers, body).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{}", answer.shown());
    let exposed = answer.header("access-control-expose-headers").unwrap_or_default().to_lowercase();
    for needed in ["replay-nonce", "location", "link"] {
        assert!(exposed.contains(needed), "{needed} is not exposed: {exposed:?}");
    }
    Ok(())
}
