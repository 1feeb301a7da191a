//! RFC 8555 §8: validation of identifiers.

use std::collections::HashSet;

use acme::{Algorithm, base64url_decode};
use serde_json::Value;

use crate::support::account::{pkcs8, signing_key};
use crate::support::answer::{list, text};
use crate::support::case::{NotApplicable, Verdict, cases};
use crate::support::certificate::names_of;
use crate::support::client::Client;
use crate::support::order::{Open, challenge_of};

cases! {
    Must tokens_are_base64url_of_128_bits_and_differ,
    Must a_key_authorization_of_another_key_fails,
    Must a_key_authorization_of_another_token_fails,
    Must a_body_that_only_begins_with_it_fails,
    Must a_body_that_it_only_ends_fails,
    Should white_space_after_a_key_authorization_is_ignored,
    Must a_resource_that_is_not_there_fails,
    Must http_01_names_the_host_that_is_validated,
    Must the_thumbprint_of_a_key_with_leading_zeros_keeps_them,
    Must keys_of_all_kinds_have_a_thumbprint,
    Must dns_01_is_shown_by_the_digest_of_the_key_authorization,
    Must dns_01_is_shown_by_any_of_several_records,
    Must dns_01_with_the_key_authorization_itself_fails,
    Must a_wildcard_is_shown_at_the_name_below,
    Must a_certificate_is_issued_for_a_name_and_its_wildcard,
    Must an_authorization_of_a_name_is_none_of_its_wildcard,
}

async fn tokens_are_base64url_of_128_bits_and_differ(mut client: Client) -> Verdict {
    let account = client.account().await;
    let mut tokens = HashSet::new();
    for _ in 0..4 {
        let name = client.name();
        let order = client.order(&account, &[&name]).await;
        let object = client.read(&account, order.authorization(0)).await;
        let mut of_one: Vec<&str> = list(&object["challenges"]).iter().map(|one| text(&one["token"])).collect();
        // The challenges of one authorization may share a token.
        of_one.sort_unstable();
        of_one.dedup();
        for token in of_one {
            let octets = base64url_decode(token).unwrap_or_else(|error| panic!("{token}: {error}"));
            assert!(octets.len() >= 16, "{token} has only {} octets", octets.len());
            assert!(tokens.insert(token.to_owned()), "{token} was given twice");
        }
    }
    Ok(())
}

/// Shows this body, made from the right one, for http-01 of a new name; what the authorization comes to.
async fn shown(client: &mut Client, status: &str, body: impl FnOnce(&str, &Open) -> String) -> Value {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let challenge = client.http_01(&account, order.authorization(0)).await;
    let right = account.key_authorization(&challenge.token);
    client.world.responder.show(&challenge.token, &body(right.as_str(), &challenge));
    client.answer(&account, &challenge).await.object(200);
    client.wait_for(&account, order.authorization(0), status).await
}

#[track_caller]
fn assert_error(authorization: &Value, kinds: &[&str]) {
    let found = list(&authorization["challenges"]).iter().find_map(|one| one["error"]["type"].as_str());
    let kind = found.and_then(|uri| uri.rsplit(':').next()).unwrap_or_default();
    assert!(kinds.contains(&kind), "wanted {kinds:?}: {authorization}");
}

const WRONG: &[&str] = &["unauthorized", "incorrectResponse"];

async fn a_key_authorization_of_another_key_fails(mut client: Client) -> Verdict {
    let other = signing_key(Algorithm::Es256).jwk().thumbprint().to_string();
    assert_error(&shown(&mut client, "invalid", |_, open| format!("{}.{other}", open.token)).await, WRONG);
    Ok(())
}

async fn a_key_authorization_of_another_token_fails(mut client: Client) -> Verdict {
    let swap = |right: &str, open: &Open| right.replacen(&open.token, &"A".repeat(open.token.len()), 1);
    assert_error(&shown(&mut client, "invalid", swap).await, WRONG);
    Ok(())
}

async fn a_body_that_only_begins_with_it_fails(mut client: Client) -> Verdict {
    assert_error(&shown(&mut client, "invalid", |right, _| format!("{right}A")).await, WRONG);
    assert_error(&shown(&mut client, "invalid", |right, _| format!("{right}\nmore")).await, WRONG);
    Ok(())
}

async fn a_body_that_it_only_ends_fails(mut client: Client) -> Verdict {
    assert_error(&shown(&mut client, "invalid", |right, _| format!("<p>{right}")).await, WRONG);
    assert_error(&shown(&mut client, "invalid", |right, _| right[..right.len() - 1].to_owned()).await, WRONG);
    Ok(())
}

async fn white_space_after_a_key_authorization_is_ignored(mut client: Client) -> Verdict {
    shown(&mut client, "valid", |right, _| format!("{right} \r\n\t\n")).await;
    Ok(())
}

async fn a_resource_that_is_not_there_fails(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let challenge = client.http_01(&account, order.authorization(0)).await;
    client.answer(&account, &challenge).await.object(200);
    let object = client.wait_for(&account, order.authorization(0), "invalid").await;
    assert_error(&object, &["unauthorized", "incorrectResponse", "connection"]);
    Ok(())
}

async fn http_01_names_the_host_that_is_validated(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let challenge = client.http_01(&account, order.authorization(0)).await;
    client.world.responder.show(&challenge.token, account.key_authorization(&challenge.token).as_str());
    client.answer(&account, &challenge).await.object(200);
    client.wait_for(&account, order.authorization(0), "valid").await;
    let host = client.world.responder.host_of(&challenge.token).unwrap_or_default();
    // With another port than 80, as in tests, it may be named too.
    assert_eq!(host.split(':').next(), Some(name.as_str()), "{host}");
    Ok(())
}

async fn the_thumbprint_of_a_key_with_leading_zeros_keeps_them(mut client: Client) -> Verdict {
    // RFC 7638 §3 with RFC 7518 §6.2.1.2: coordinates have full length. One key of 128 is such a one.
    let pkcs8 = (0..5000).map(|_| pkcs8(Algorithm::Es256)).find(|pkcs8| {
        let key = acme::SigningKey::from_pkcs8(Algorithm::Es256, pkcs8).expect("a new key is good");
        let jwk = crate::support::draft::jwk(&key);
        ["x", "y"].iter().any(|member| base64url_decode(text(&jwk[*member])).is_ok_and(|octets| octets[0] == 0))
    });
    let pkcs8 = pkcs8.expect("5000 keys have one whose coordinate begins with zeros");
    let account = client.account_of(Algorithm::Es256, pkcs8).await;
    let name = client.name();
    client.ready(&account, &[&name]).await;
    Ok(())
}

async fn keys_of_all_kinds_have_a_thumbprint(mut client: Client) -> Verdict {
    for algorithm in [Algorithm::Rs256, Algorithm::Es384] {
        let account = client.account_of(algorithm, pkcs8(algorithm)).await;
        let name = client.name();
        client.ready(&account, &[&name]).await;
    }
    Ok(())
}

/// Shows these records for dns-01 of a name; what its authorization comes to.
async fn dns_01(
    client: &mut Client,
    wildcard: bool,
    status: &str,
    records: impl FnOnce(&acme::KeyAuthorization) -> Vec<String>,
) -> Result<Value, NotApplicable> {
    let account = client.account().await;
    let name = client.name();
    let ordered = if wildcard { format!("*.{name}") } else { name.clone() };
    let order = client.order(&account, &[&ordered]).await;
    let object = client.read(&account, order.authorization(0)).await;
    let challenge = challenge_of(&object, "dns-01").unwrap_or_else(|| panic!("no dns-01: {object}"));
    for record in records(&account.key_authorization(&challenge.token)) {
        client.world.show_txt(&format!("_acme-challenge.{name}"), &record).await?;
    }
    client.answer(&account, &challenge).await.object(200);
    Ok(client.wait_for(&account, order.authorization(0), status).await)
}

fn digest(right: &acme::KeyAuthorization) -> String {
    acme::base64url_encode(&right.sha256())
}

async fn dns_01_is_shown_by_the_digest_of_the_key_authorization(mut client: Client) -> Verdict {
    dns_01(&mut client, false, "valid", |right| vec![digest(right)]).await?;
    Ok(())
}

async fn dns_01_is_shown_by_any_of_several_records(mut client: Client) -> Verdict {
    dns_01(&mut client, false, "valid", |right| vec!["another".to_owned(), digest(right), "a third".to_owned()])
        .await?;
    Ok(())
}

async fn dns_01_with_the_key_authorization_itself_fails(mut client: Client) -> Verdict {
    let object = dns_01(&mut client, false, "invalid", |right| vec![right.as_str().to_owned()]).await?;
    assert_error(&object, WRONG);
    Ok(())
}

async fn a_wildcard_is_shown_at_the_name_below(mut client: Client) -> Verdict {
    let object = dns_01(&mut client, true, "valid", |right| vec![digest(right)]).await?;
    assert_eq!(object["wildcard"], true);
    Ok(())
}

async fn a_certificate_is_issued_for_a_name_and_its_wildcard(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let wildcard = format!("*.{name}");
    let order = client.order(&account, &[&name, &wildcard]).await;
    for url in list(&order.object["authorizations"]) {
        let object = client.read(&account, text(url)).await;
        let challenge = challenge_of(&object, "dns-01").unwrap_or_else(|| panic!("no dns-01: {object}"));
        let digest = digest(&account.key_authorization(&challenge.token));
        client.world.show_txt(&format!("_acme-challenge.{name}"), &digest).await?;
        client.answer(&account, &challenge).await.object(200);
        client.wait_for(&account, text(url), "valid").await;
    }
    let order = client.make_ready(&account, order).await;
    let issued = client.issue(&account, order, &[&name, &wildcard]).await;
    assert_eq!(names_of(&issued.chain[0]), [wildcard, name]);
    Ok(())
}

async fn an_authorization_of_a_name_is_none_of_its_wildcard(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let valid = client.ready(&account, &[&name]).await;
    let order = client.order(&account, &[&format!("*.{name}")]).await;
    assert_eq!(order.object["status"], "pending", "{}", order.object);
    assert_ne!(order.authorization(0), valid.authorization(0));
    Ok(())
}
