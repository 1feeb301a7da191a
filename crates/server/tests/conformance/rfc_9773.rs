//! RFC 9773: when to renew (ARI).

use acme::{CertificateIdentifier, base64url_encode};
use serde_json::{Value, json};
use x509_parser::extensions::ParsedExtension;

use crate::support::account::Account;
use crate::support::answer::{Answer, text};
use crate::support::case::{NotApplicable, Verdict, cases};
use crate::support::certificate::parsed;
use crate::support::client::Client;
use crate::support::order::{Issued, Order, identifiers};
use crate::support::watch::Watch;

cases! {
    Must renewal_information_is_read_by_get,
    Must the_suggested_window_begins_before_it_ends,
    Should the_suggested_window_lies_in_the_life_of_the_certificate,
    Should renewal_information_says_when_to_ask_again,
    Must a_certificate_that_nobody_knows_has_no_renewal_information,
    Must a_name_that_is_no_certificates_is_refused,
    Should a_revoked_certificate_is_to_be_renewed_now,
    Must an_order_names_the_certificate_that_it_replaces,
    Must a_certificate_is_replaced_once,
    Should a_certificate_of_another_account_is_not_replaced,
    Should a_certificate_of_other_names_is_not_replaced,
    Must what_names_no_certificate_is_not_replaced,
    Should an_invalid_order_frees_what_it_replaced,
}

/// How ARI names a certificate (§4.1).
fn name_of(der: &[u8]) -> String {
    let certificate = parsed(der);
    let mut keys = certificate.iter_extensions().filter_map(|one| {
        let ParsedExtension::AuthorityKeyIdentifier(key) = one.parsed_extension() else { return None };
        key.key_identifier.as_ref()
    });
    let key = keys.next().expect("it names the key of its issuer").0.to_vec();
    CertificateIdentifier::new(key, certificate.raw_serial()).expect("both are there").to_string()
}

/// A certificate, and the URL of its renewal information.
async fn issued(client: &mut Client, account: &Account) -> Result<(Issued, String, String), NotApplicable> {
    let base = client.url_if_any("renewalInfo")?;
    let name = client.name();
    let issued = client.issued(account, &[&name]).await;
    let url = format!("{}/{}", base.trim_end_matches('/'), name_of(&issued.chain[0]));
    Ok((issued, name, url))
}

fn window(info: &Value) -> (jiff::Timestamp, jiff::Timestamp) {
    let time = |member: &str| {
        let text = text(&info["suggestedWindow"][member]);
        text.parse().unwrap_or_else(|error| panic!("{member}: {text}: {error}"))
    };
    (time("start"), time("end"))
}

async fn renewal_information_is_read_by_get(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (_, _, url) = issued(&mut client, &account).await?;
    window(&client.get(&url).await.object(200));
    Ok(())
}

async fn the_suggested_window_begins_before_it_ends(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (_, _, url) = issued(&mut client, &account).await?;
    let (start, end) = window(&client.get(&url).await.object(200));
    assert!(start < end, "{start} is not before {end}");
    Ok(())
}

async fn the_suggested_window_lies_in_the_life_of_the_certificate(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (issued, _, url) = issued(&mut client, &account).await?;
    let (start, end) = window(&client.get(&url).await.object(200));
    let validity = parsed(&issued.chain[0]).validity().clone();
    assert!(validity.not_before.timestamp() < start.as_second(), "it begins before the certificate");
    assert!(end.as_second() <= validity.not_after.timestamp(), "it ends after the certificate");
    Ok(())
}

async fn renewal_information_says_when_to_ask_again(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (_, _, url) = issued(&mut client, &account).await?;
    let answer = client.get(&url).await;
    let retry_after = answer.header("retry-after").unwrap_or_else(|| panic!("no Retry-After: {}", answer.shown()));
    assert!(retry_after.parse::<u32>().is_ok() || retry_after.ends_with("GMT"), "{retry_after}");
    Ok(())
}

async fn a_certificate_that_nobody_knows_has_no_renewal_information(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (_, _, url) = issued(&mut client, &account).await?;
    let (known, _) = url.rsplit_once('.').expect("two parts with a dot between");
    let answer = client.get(&format!("{known}.{}", base64url_encode(&[1; 16]))).await;
    assert_eq!(answer.status, 404, "{}", answer.shown());
    let base = client.url_if_any("renewalInfo")?;
    let other = CertificateIdentifier::new([7; 20], [1; 16]).expect("both are there");
    let answer = client.get(&format!("{}/{other}", base.trim_end_matches('/'))).await;
    assert_eq!(answer.status, 404, "{}", answer.shown());
    Ok(())
}

async fn a_name_that_is_no_certificates_is_refused(mut client: Client) -> Verdict {
    let base = client.url_if_any("renewalInfo")?;
    for name in ["nothing", "a.b.c", ".", "AAAA.", ".AAAA", "AAA=.AAA=", "A+/A.AAAA"] {
        let answer = client.get(&format!("{}/{name}", base.trim_end_matches('/'))).await;
        assert!(matches!(answer.status, 400 | 404), "{name}: {}", answer.shown());
    }
    Ok(())
}

async fn a_revoked_certificate_is_to_be_renewed_now(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (issued, _, url) = issued(&mut client, &account).await?;
    let revoke = client.url("revokeCert");
    let payload = json!({ "certificate": base64url_encode(&issued.chain[0]) });
    assert_eq!(client.post(&account, &revoke, &payload).await.status, 200);
    let (_, end) = window(&client.get(&url).await.object(200));
    let issued_at = parsed(&issued.chain[0]).validity().not_before.timestamp();
    assert!(end.as_second() <= issued_at + 2 * 3600, "the window ends as late as {end}");
    Ok(())
}

async fn replace(client: &mut Client, account: &Account, names: &[&str], replaced: &str) -> Answer {
    client.new_order(account, &json!({ "identifiers": identifiers(names), "replaces": replaced })).await
}

async fn an_order_names_the_certificate_that_it_replaces(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (issued, name, _) = issued(&mut client, &account).await?;
    let replaced = name_of(&issued.chain[0]);
    let answer = replace(&mut client, &account, &[&name], &replaced).await;
    assert_eq!(answer.object(201)["replaces"], replaced.as_str(), "{}", answer.shown());
    assert_eq!(client.read(&account, &answer.location()).await["replaces"], replaced.as_str());
    Ok(())
}

async fn a_certificate_is_replaced_once(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (issued, name, _) = issued(&mut client, &account).await?;
    let replaced = name_of(&issued.chain[0]);
    let answer = replace(&mut client, &account, &[&name], &replaced).await;
    let order = Order { object: answer.object(201), url: answer.location() };
    let order = match order.object["status"].as_str() {
        Some("ready") => order,
        _ => client.make_ready(&account, order).await,
    };
    client.issue(&account, order, &[&name]).await;
    let watch = Watch::begin(&mut client, &account, &[]).await;
    replace(&mut client, &account, &[&name], &replaced).await.refused(&[409], &["alreadyReplaced"]);
    watch.assert_unchanged(&mut client, &account, "a second replacement").await;
    Ok(())
}

async fn a_certificate_of_another_account_is_not_replaced(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (issued, name, _) = issued(&mut client, &account).await?;
    let other = client.account().await;
    let watch = Watch::begin(&mut client, &other, &[]).await;
    let answer = replace(&mut client, &other, &[&name], &name_of(&issued.chain[0])).await;
    assert!(answer.status >= 400, "it was taken: {}", answer.shown());
    answer.refused(&[400, 403, 404], &["malformed", "unauthorized"]);
    watch.assert_unchanged(&mut client, &other, "a foreign replacement").await;
    Ok(())
}

async fn a_certificate_of_other_names_is_not_replaced(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (issued, _, _) = issued(&mut client, &account).await?;
    let other = client.name();
    let answer = replace(&mut client, &account, &[&other], &name_of(&issued.chain[0])).await;
    assert!(answer.status >= 400, "it was taken: {}", answer.shown());
    answer.refused(&[400, 403], &["malformed", "unauthorized"]);
    Ok(())
}

async fn what_names_no_certificate_is_not_replaced(mut client: Client) -> Verdict {
    client.url_if_any("renewalInfo")?;
    let account = client.account().await;
    let watch = Watch::begin(&mut client, &account, &[]).await;
    let name = client.name();
    let unknown = CertificateIdentifier::new([7; 20], [1; 16]).expect("both are there").to_string();
    for replaced in ["", "nothing", "a.b.c", "AAA=.AAA=", &unknown] {
        let answer = replace(&mut client, &account, &[&name], replaced).await;
        assert!(answer.status >= 400, "{replaced:?} was taken: {}", answer.shown());
        answer.refused(&[400, 403, 404], &["malformed", "unauthorized"]);
        watch.assert_unchanged(&mut client, &account, replaced).await;
    }
    Ok(())
}

async fn an_invalid_order_frees_what_it_replaced(mut client: Client) -> Verdict {
    let account = client.account().await;
    let (issued, name, _) = issued(&mut client, &account).await?;
    let (replaced, fresh) = (name_of(&issued.chain[0]), client.name());
    let answer = replace(&mut client, &account, &[&name, &fresh], &replaced).await;
    let first = answer.object(201);
    for url in crate::support::answer::list(&first["authorizations"]) {
        if client.read(&account, text(url)).await["identifier"]["value"] == fresh.as_str() {
            client.fail(&account, text(url)).await;
        }
    }
    client.wait_for(&account, &answer.location(), "invalid").await;
    replace(&mut client, &account, &[&name], &replaced).await.object(201);
    Ok(())
}
