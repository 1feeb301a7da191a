//! RFC 8555 §7.1.3 and §7.1.4: which names an order may have, wildcards among them.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::account::Account;
use crate::support::answer::{list, text};
use crate::support::case::{Verdict, cases};
use crate::support::client::Client;
use crate::support::order::{challenge_of, identifiers};
use crate::support::watch::Watch;

cases! {
    Must the_authorization_of_a_wildcard_has_no_asterisk_and_says_so,
    Should a_wildcard_is_shown_by_dns_alone,
    Must a_name_and_its_wildcard_are_two_authorizations,
    Must asterisks_in_other_places_are_refused,
    Must names_that_no_certificate_can_have_are_refused,
    Must names_that_are_no_good_a_labels_are_refused,
    Should names_with_underscores_are_refused,
    Should addresses_are_no_names,
    Should public_suffixes_are_refused,
    Should capital_letters_make_no_other_name,
    Should a_name_given_twice_is_one,
}

async fn the_authorization_of_a_wildcard_has_no_asterisk_and_says_so(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let wildcard = format!("*.{name}");
    let order = client.order(&account, &[&wildcard]).await;
    assert_eq!(order.object["identifiers"], identifiers(&[&wildcard]));
    let object = client.read(&account, order.authorization(0)).await;
    assert_eq!(object["identifier"], json!({ "type": "dns", "value": name }));
    assert_eq!(object["wildcard"], true, "{object}");
    Ok(())
}

async fn a_wildcard_is_shown_by_dns_alone(mut client: Client) -> Verdict {
    let account = client.account().await;
    let wildcard = format!("*.{}", client.name());
    let order = client.order(&account, &[&wildcard]).await;
    let object = client.read(&account, order.authorization(0)).await;
    assert!(challenge_of(&object, "dns-01").is_some(), "{object}");
    for kind in ["http-01", "tls-alpn-01"] {
        assert!(challenge_of(&object, kind).is_none(), "{kind}: {object}");
    }
    Ok(())
}

async fn a_name_and_its_wildcard_are_two_authorizations(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name, &format!("*.{name}")]).await;
    let urls: BTreeSet<&str> = list(&order.object["authorizations"]).iter().map(text).collect();
    assert_eq!(urls.len(), 2, "{}", order.object);
    let mut wildcards = Vec::new();
    for url in urls {
        let object = client.read(&account, url).await;
        assert_eq!(object["identifier"]["value"], name.as_str());
        wildcards.push(object["wildcard"] == true);
    }
    wildcards.sort_unstable();
    assert_eq!(wildcards, [false, true]);
    Ok(())
}

/// Orders of these names are refused, alone and beside a good one.
async fn refused(client: &mut Client, names: &[&str], kinds: &[&str]) {
    let account: Account = client.account().await;
    let watch = Watch::begin(client, &account, &[]).await;
    let good = client.name();
    for name in names {
        for names in [vec![*name], vec![&good, *name]] {
            let answer = client.new_order(&account, &json!({ "identifiers": identifiers(&names) })).await;
            assert!(answer.status >= 400, "{names:?} were taken: {}", answer.shown());
            answer.refused(&[400, 403], kinds);
        }
    }
    watch.assert_unchanged(client, &account, &format!("{names:?}")).await;
}

const REFUSED: &[&str] = &["malformed", "rejectedIdentifier", "unsupportedIdentifier"];

async fn asterisks_in_other_places_are_refused(mut client: Client) -> Verdict {
    let name = client.name();
    let wrong = [
        "*".to_owned(),
        "*.".to_owned(),
        format!("*.*.{name}"),
        format!("a.*.{name}"),
        format!("*a.{name}"),
        format!("a*.{name}"),
        format!("**.{name}"),
        format!("{name}.*"),
    ];
    let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
    refused(&mut client, &wrong, REFUSED).await;
    Ok(())
}

async fn names_that_no_certificate_can_have_are_refused(mut client: Client) -> Verdict {
    let name = client.name();
    let long_label = format!("{}.{name}", "a".repeat(64));
    let long = format!("{}{name}", "abcdefg.".repeat(31));
    let (port, path, url) = (format!("{name}:443"), format!("{name}/"), format!("https://{name}"));
    let (dots, leading, dash) = (format!("a..{name}"), format!(".{name}"), format!("-a.{name}"));
    let (end_dash, space, address) = (format!("a-.{name}"), format!("a b.{name}"), format!("a@{name}"));
    let (umlaut, null) = (format!("m\u{fc}nchen.{name}"), format!("a\u{0}.{name}"));
    let dot = format!("{name}.");
    let wrong = [
        "",
        ".",
        &dot,
        &dots,
        &leading,
        &dash,
        &end_dash,
        &space,
        &address,
        &umlaut,
        &null,
        &port,
        &path,
        &url,
        &long,
        &long_label,
    ];
    refused(&mut client, &wrong, REFUSED).await;
    Ok(())
}

async fn names_that_are_no_good_a_labels_are_refused(mut client: Client) -> Verdict {
    let name = client.name();
    // No Punycode; Punycode of nothing; of ASCII; of a letter that IDNA2008 maps away (the capital of ü).
    let wrong = ["xn--", "xn--0", "xn--a-", "xn--abc-", "xn--wca"].map(|label| format!("{label}.{name}"));
    let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
    refused(&mut client, &wrong, REFUSED).await;
    Ok(())
}

async fn names_with_underscores_are_refused(mut client: Client) -> Verdict {
    let wrong = format!("_a.{}", client.name());
    refused(&mut client, &[&wrong, &wrong.replace("_a", "a_b")], REFUSED).await;
    Ok(())
}

async fn addresses_are_no_names(mut client: Client) -> Verdict {
    refused(&mut client, &["192.0.2.1", "2001:db8::1", "[2001:db8::1]", "127.1", "1.2.3.4.5"], REFUSED).await;
    Ok(())
}

async fn public_suffixes_are_refused(mut client: Client) -> Verdict {
    refused(&mut client, &["com", "co.uk", "*.com", "*.co.uk"], REFUSED).await;
    Ok(())
}

async fn capital_letters_make_no_other_name(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name.to_uppercase(), &name]).await;
    assert_eq!(list(&order.object["authorizations"]).len(), 1, "{}", order.object);
    let object = client.read(&account, order.authorization(0)).await;
    assert_eq!(object["identifier"]["value"], name.as_str());
    Ok(())
}

async fn a_name_given_twice_is_one(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name, &name]).await;
    assert_eq!(list(&order.object["authorizations"]).len(), 1, "{}", order.object);
    assert_eq!(list(&order.object["identifiers"]), [json!({ "type": "dns", "value": name })]);
    Ok(())
}
