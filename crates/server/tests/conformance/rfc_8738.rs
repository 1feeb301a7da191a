//! RFC 8738: identifiers that are IP addresses.

use std::net::Ipv4Addr;

use pki::GeneralName;
use serde_json::{Value, json};

use crate::support::account::Account;
use crate::support::answer::list;
use crate::support::case::{NotApplicable, Verdict, cases};
use crate::support::certificate::{SubjectKey, certificates, parsed};
use crate::support::client::Client;
use crate::support::order::{Order, challenge_of};
use crate::support::watch::Watch;

cases! {
    Must an_address_is_validated_without_dns,
    Must the_certificate_of_an_address_has_an_ip_address_and_no_name,
    Must http_01_asks_the_address_and_names_it,
    Must what_is_no_address_is_refused,
    Must a_request_with_the_address_as_a_name_is_refused,
    Should another_spelling_of_an_address_is_refused_or_the_same,
}

const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn addresses(values: &[&str]) -> Value {
    let all: Value = values.iter().map(|value| json!({ "type": "ip", "value": value })).collect();
    json!({ "identifiers": all })
}

/// An order for loopback, where our responder is.
async fn order(client: &mut Client, account: &Account) -> Result<Order, NotApplicable> {
    let answer = client.new_order(account, &addresses(&[&ADDRESS.to_string()])).await;
    if answer.status >= 400 && answer.text().contains("unsupportedIdentifier") {
        return Err(NotApplicable("identifiers of type ip"));
    }
    Ok(Order { object: answer.object(201), url: answer.location() })
}

async fn an_address_is_validated_without_dns(mut client: Client) -> Verdict {
    let account = client.account().await;
    let order = order(&mut client, &account).await?;
    let object = client.read(&account, order.authorization(0)).await;
    assert_eq!(object["identifier"], json!({ "type": "ip", "value": ADDRESS.to_string() }));
    assert!(challenge_of(&object, "http-01").is_some(), "{object}");
    for challenge in list(&object["challenges"]) {
        assert!(!challenge["type"].as_str().is_some_and(|kind| kind.starts_with("dns")), "{object}");
    }
    Ok(())
}

async fn the_certificate_of_an_address_has_an_ip_address_and_no_name(mut client: Client) -> Verdict {
    let account = client.account().await;
    let order = order(&mut client, &account).await?;
    let order = client.make_ready(&account, order).await;
    let csr = SubjectKey::new().csr_for([GeneralName::Ip(ADDRESS.into())].into());
    client.finalize(&account, &order, &csr).await.object(200);
    let object = client.wait_for(&account, &order.url, "valid").await;
    let url = object["certificate"].as_str().expect("a valid order names its certificate");
    let chain = client.post_as_get(&account, url).await;
    let chain = certificates(chain.text());
    let leaf = parsed(&chain[0]);
    let names = leaf.subject_alternative_name().expect("readable").expect("it has names");
    let octets = ADDRESS.octets();
    assert_eq!(names.value.general_names, [x509_parser::extensions::GeneralName::IPAddress(&octets)]);
    Ok(())
}

async fn http_01_asks_the_address_and_names_it(mut client: Client) -> Verdict {
    let account = client.account().await;
    let order = order(&mut client, &account).await?;
    let object = client.read(&account, order.authorization(0)).await;
    let challenge = challenge_of(&object, "http-01").unwrap_or_else(|| panic!("no http-01: {object}"));
    client.authorize(&account, order.authorization(0)).await;
    let host = client.world.responder.host_of(&challenge.token).unwrap_or_default();
    assert_eq!(host.split(':').next(), Some(ADDRESS.to_string().as_str()), "{host}");
    Ok(())
}

async fn what_is_no_address_is_refused(mut client: Client) -> Verdict {
    let account = client.account().await;
    order(&mut client, &account).await?;
    let watch = Watch::begin(&mut client, &account, &[]).await;
    let name = client.name();
    for value in ["", "127.0.0.1/32", "[::1]", "fe80::1%lo", "127.0.0.256", "1.2.3", "0x7f000001", "::g", &name] {
        let answer = client.new_order(&account, &addresses(&[value])).await;
        assert!(answer.status >= 400, "{value:?} was taken: {}", answer.shown());
        answer.refused(&[400, 403], &["malformed", "rejectedIdentifier", "unsupportedIdentifier"]);
        watch.assert_unchanged(&mut client, &account, value).await;
    }
    Ok(())
}

async fn a_request_with_the_address_as_a_name_is_refused(mut client: Client) -> Verdict {
    let account = client.account().await;
    let order = order(&mut client, &account).await?;
    let order = client.make_ready(&account, order).await;
    let csr = SubjectKey::new().csr(&[&ADDRESS.to_string()]);
    let answer = client.finalize(&account, &order, &csr).await;
    assert!(answer.status >= 400, "it was taken: {}", answer.shown());
    answer.refused(&[400, 403], &["badCSR", "malformed", "unauthorized"]);
    Ok(())
}

async fn another_spelling_of_an_address_is_refused_or_the_same(mut client: Client) -> Verdict {
    let account = client.account().await;
    order(&mut client, &account).await?;
    for (value, canonical) in [
        ("2001:0db8::1", "2001:db8::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("127.000.000.001", "127.0.0.1"),
    ] {
        let answer = client.new_order(&account, &addresses(&[value])).await;
        if answer.status == 201 {
            let shown = answer.json()["identifiers"][0]["value"].clone();
            assert_eq!(shown, canonical, "{value} was taken as it is");
        } else {
            answer.refused(&[400, 403], &["malformed", "rejectedIdentifier", "unsupportedIdentifier"]);
        }
    }
    Ok(())
}
