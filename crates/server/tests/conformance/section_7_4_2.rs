//! RFC 8555 §7.4.2 and §9.1: certificates are downloaded. §7.4.1: authorizations before an order.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use http::Method;
use serde_json::json;

use crate::support::case::{NotApplicable, Verdict, cases};
use crate::support::certificate::{certificates, names_of, parsed};
use crate::support::client::{Client, JOSE};

cases! {
    Must a_certificate_comes_as_a_pem_chain,
    Must nothing_stands_between_the_certificates,
    Must the_certificate_has_the_key_and_the_names_of_the_request,
    Must each_certificate_certifies_the_one_before,
    Should the_root_is_left_out,
    Must alternate_chains_have_the_same_certificate,
    Must an_alternate_chain_is_read_by_its_account_alone,
    Should another_type_is_refused_or_the_chain_is_sent,
    Must a_certificate_that_does_not_exist_is_refused,
    Must a_certificate_stays_the_same,
    Must preauthorization_makes_a_pending_authorization,
    Must preauthorization_refuses_wildcards,
}

const TYPE: &str = "application/pem-certificate-chain";

async fn a_certificate_comes_as_a_pem_chain(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let issued = client.issued(&account, &[&name]).await;
    let answer = client.post_as_get(&account, issued.order.certificate()).await;
    assert_eq!((answer.status, answer.media_type()), (200, TYPE));
    assert!(answer.text().starts_with("-----BEGIN CERTIFICATE-----\n"), "{}", answer.shown());
    Ok(())
}

async fn nothing_stands_between_the_certificates(mut client: Client) -> Verdict {
    // RFC 8555 §9.1 with erratum 5983: one line end after each, lines of 64, no text.
    let account = client.account().await;
    let name = client.name();
    let issued = client.issued(&account, &[&name]).await;
    let answer = client.post_as_get(&account, issued.order.certificate()).await;
    let mut inside = false;
    for line in answer.text().lines() {
        match line {
            "-----BEGIN CERTIFICATE-----" => inside = true,
            "-----END CERTIFICATE-----" => inside = false,
            line => {
                let base64 = line.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+/=".contains(&octet));
                assert!(inside && base64 && (1..=64).contains(&line.len()), "{line:?}");
            }
        }
    }
    Ok(())
}

async fn the_certificate_has_the_key_and_the_names_of_the_request(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (a, b) = (client.name(), client.name());
    let issued = client.issued(&account, &[&a, &b]).await;
    assert_eq!(parsed(&issued.chain[0]).public_key().raw, issued.key.spki());
    let mut names = vec![a, b];
    names.sort();
    assert_eq!(names_of(&issued.chain[0]), names);
    Ok(())
}

async fn each_certificate_certifies_the_one_before(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let issued = client.issued(&account, &[&name]).await;
    assert!(issued.chain.len() >= 2, "the issuer is missing");
    for pair in issued.chain.windows(2) {
        let (one, above) = (parsed(&pair[0]), parsed(&pair[1]));
        assert_eq!(one.issuer().as_raw(), above.subject().as_raw());
        let key = &above.public_key().subject_public_key.data;
        let (message, signature) = (one.tbs_certificate.as_ref(), &one.signature_value.data);
        let ecdsa = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature);
        let rsa = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(message, signature);
        assert!(ecdsa.is_ok() || rsa.is_ok(), "{} is not signed by {}", one.subject(), above.subject());
    }
    Ok(())
}

async fn the_root_is_left_out(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let issued = client.issued(&account, &[&name]).await;
    for der in &issued.chain {
        let certificate = parsed(der);
        assert_ne!(certificate.subject().as_raw(), certificate.issuer().as_raw(), "{}", certificate.subject());
    }
    Ok(())
}

async fn alternate_chains_have_the_same_certificate(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let issued = client.issued(&account, &[&name]).await;
    let answer = client.post_as_get(&account, issued.order.certificate()).await;
    let alternates = answer.links("alternate");
    if alternates.is_empty() {
        return Err(NotApplicable("alternate chains"));
    }
    for url in alternates {
        let other = client.post_as_get(&account, &url).await;
        assert_eq!((other.status, other.media_type()), (200, TYPE), "{url}: {}", other.shown());
        let chain = certificates(other.text());
        assert_eq!(chain[0], issued.chain[0], "{url}");
        assert_ne!(chain, issued.chain, "{url}: it is no other chain");
        assert!(!other.links("alternate").contains(&url), "{url}: it is no alternate of its own");
    }
    Ok(())
}

async fn an_alternate_chain_is_read_by_its_account_alone(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let issued = client.issued(&account, &[&name]).await;
    let answer = client.post_as_get(&account, issued.order.certificate()).await;
    let url = answer.links("alternate").first().cloned().ok_or(NotApplicable("alternate chains"))?;
    let stranger = client.account().await;
    client.post_as_get(&stranger, &url).await.refused(&[401, 403, 404], &["unauthorized", "malformed"]);
    client.get(&url).await.refused(&[405], &["malformed"]);
    Ok(())
}

async fn another_type_is_refused_or_the_chain_is_sent(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let issued = client.issued(&account, &[&name]).await;
    for (accept, right) in [("application/pkix-cert", false), ("text/html", false), (TYPE, true), ("*/*", true)] {
        let body = client.draft(&account, issued.order.certificate(), b"").await.body();
        let headers = [JOSE, ("accept", accept)];
        let answer = client.send(Method::POST, issued.order.certificate(), &headers, body).await;
        if right || answer.status == 200 {
            assert_eq!((answer.status, answer.media_type()), (200, TYPE), "{accept}");
        } else {
            answer.refused(&[406, 415], &["malformed"]);
        }
    }
    Ok(())
}

async fn a_certificate_that_does_not_exist_is_refused(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let issued = client.issued(&account, &[&name]).await;
    let url = issued.order.certificate();
    let other = if url.ends_with('1') { "2" } else { "1" };
    let url = format!("{}{other}", &url[..url.len() - 1]);
    let answer = client.post_as_get(&account, &url).await;
    assert!(matches!(answer.status, 400 | 401 | 403 | 404), "{}", answer.shown());
    Ok(())
}

async fn a_certificate_stays_the_same(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let issued = client.issued(&account, &[&name]).await;
    let again = client.post_as_get(&account, issued.order.certificate()).await;
    assert_eq!(certificates(again.text()), issued.chain);
    Ok(())
}

async fn preauthorization_makes_a_pending_authorization(mut client: Client) -> Verdict {
    let url = client.url_if_any("newAuthz")?;
    let account = client.account().await;
    let name = client.name();
    let answer = client.post(&account, &url, &json!({ "identifier": { "type": "dns", "value": name } })).await;
    let object = answer.object(201);
    assert_eq!(object["identifier"]["value"], name.as_str());
    assert!(["pending", "valid"].contains(&object["status"].as_str().unwrap_or_default()), "{object}");
    assert_eq!(client.read(&account, &answer.location()).await, object);
    Ok(())
}

async fn preauthorization_refuses_wildcards(mut client: Client) -> Verdict {
    let url = client.url_if_any("newAuthz")?;
    let account = client.account().await;
    let name = format!("*.{}", client.name());
    let answer = client.post(&account, &url, &json!({ "identifier": { "type": "dns", "value": name } })).await;
    answer.problem();
    Ok(())
}
