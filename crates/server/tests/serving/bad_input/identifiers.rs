//! Identifiers that no certificate is issued for (RFC 8555 §7.1.3, §7.4).

use acme::Algorithm;
use serde_json::{Value, json};

use super::{Witness, scene};
use crate::support::account::Account;
use crate::support::client::{Client, identifiers, list};
use crate::support::problem::{Refusal, malformed, refusal};

const fn rejected(names: &'static str) -> Refusal {
    refusal(400, "rejectedIdentifier", names)
}

/// Names that are none, or that nobody gets.
const NAMES: &[(&str, Refusal)] = &[
    ("", malformed("empty")),
    ("host_name.example.com", malformed("underscore")),
    ("example.com.", malformed("ends with a dot")),
    (".example.com", malformed("empty label")),
    ("a..example.com", malformed("empty label")),
    ("192.0.2.1", malformed("IP address")),
    ("2001:db8::1", malformed("IP address")),
    ("[2001:db8::1]", malformed("IP address")),
    ("1.2.3", malformed("number")),
    ("a.example.0x7f", malformed("number")),
    ("bücher.example", malformed("ASCII")),
    ("example。com", malformed("ASCII")),
    ("com", rejected("single label")),
    ("localhost", rejected("single label")),
    ("co.uk", rejected("public suffix")),
    ("CO.UK", rejected("public suffix")),
    ("xn--55qx5d.cn", rejected("public suffix")),
    ("*", malformed("wildcard")),
    ("*.", malformed("empty")),
    ("*.com", rejected("unrelated owners")),
    ("*.co.uk", rejected("unrelated owners")),
    ("*.*.example.com", malformed("wildcard")),
    ("www.*.example.com", malformed("wildcard")),
    ("w*.example.com", malformed("wildcard")),
    ("-a.example.com", malformed("hyphen")),
    ("a-.example.com", malformed("hyphen")),
    ("ab--c.example.com", malformed("reserved")),
    ("xn--a.example.com", malformed("A-label")),
    ("example.com:443", malformed("port")),
    ("https://example.com", malformed("cannot be in a host name")),
    ("example.com/", malformed("cannot be in a host name")),
    ("user@example.com", malformed("cannot be in a host name")),
    ("a b.example.com", malformed("cannot be in a host name")),
    (" example.com", malformed("cannot be in a host name")),
    ("example.com\n", malformed("cannot be in a host name")),
    ("a\0b.example.com", malformed("cannot be in a host name")),
];

async fn assert_refused(client: &mut Client, witness: &mut Witness, account: &Account, order: &Value, due: Refusal) {
    let answer = client.post(account, "/new-order", order).await;
    let problem = witness.assert_refused(&answer, due, &order.to_string()).await;
    assert!(answer.body.len() < 64 * 1024, "the answer grows with the request: {} octets", answer.body.len());
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() < 1000), "{problem}");
}

#[tokio::test]
async fn names_that_are_no_host_names_or_nobodys_are_refused() {
    let (_server, mut client, mut witness) = scene().await;
    let account = client.account(Algorithm::Es256).await;
    witness.accept().await;
    for (name, due) in NAMES {
        let order = json!({ "identifiers": identifiers(&[name]) });
        assert_refused(&mut client, &mut witness, &account, &order, *due).await;
        let answer = client.post(&account, "/new-order", &order).await.json();
        assert_eq!(answer["subproblems"][0]["identifier"], order["identifiers"][0], "{answer}");
    }
    let label = |octets: usize| "a".repeat(octets);
    let long_name = |octets: usize| {
        let name = format!("{}.", label(63)).repeat(octets / 64);
        format!("{name}{}", label(octets - name.len()))
    };
    for (name, due) in [
        (format!("{}.example.com", label(64)), malformed("64 octets")),
        (long_name(254), malformed("254 octets")),
        (format!("*.{}", long_name(252)), malformed("254 octets")),
        (label(40_000), malformed("40000 octets")),
    ] {
        let order = json!({ "identifiers": identifiers(&[&name]) });
        assert_refused(&mut client, &mut witness, &account, &order, due).await;
    }
    // The longest that are good, and upper case, which is folded.
    for name in [long_name(253), format!("{}.example.com", label(63)), "WWW.Example.COM".to_owned()] {
        let (_, order) = client.order(&account, &[&name]).await;
        assert_eq!(order["identifiers"], identifiers(&[&name.to_lowercase()]));
    }
}

#[tokio::test]
async fn orders_of_the_wrong_shape_are_refused() {
    let (_server, mut client, mut witness) = scene().await;
    let account = client.account(Algorithm::Es256).await;
    witness.accept().await;
    let good = identifiers(&["good.localhost"]);
    let one = |identifier: Value| json!({ "identifiers": [identifier] });
    let unsupported = |names| refusal(400, "unsupportedIdentifier", names);
    let many: Vec<String> = (0..101).map(|number| format!("n{number}.localhost")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases = [
        (json!({ "identifiers": [] }), malformed("no identifiers")),
        (json!({ "identifiers": identifiers(&many) }), malformed("101 identifiers")),
        (json!({ "identifiers": "good.localhost" }), malformed("not the JSON object")),
        (json!({ "identifiers": ["good.localhost"] }), malformed("JSON object")),
        (one(json!({ "value": "good.localhost" })), malformed("`type`")),
        (one(json!({ "type": "dns" })), malformed("`value`")),
        (one(json!({ "type": "dns", "value": 7 })), malformed("expected a string")),
        (one(json!({ "type": "dns", "value": null })), malformed("null")),
        (one(json!({ "type": "ip", "value": "169.254.169.254" })), rejected("169.254.0.0/16")),
        (one(json!({ "type": "ip", "value": "0.0.0.0" })), rejected("0.0.0.0/8")),
        (one(json!({ "type": "ip", "value": "" })), malformed("empty")),
        (one(json!({ "type": "ip", "value": "127.0.0.01" })), malformed("not an IP address")),
        (one(json!({ "type": "ip", "value": "127.1" })), malformed("not an IP address")),
        (one(json!({ "type": "ip", "value": "127.0.0.0/8" })), malformed("range")),
        (one(json!({ "type": "ip", "value": "[::1]" })), malformed("not an IP address")),
        (one(json!({ "type": "ip", "value": "0:0:0:0:0:0:0:1" })), malformed("`::1`")),
        (one(json!({ "type": "ip", "value": "FD00::1" })), malformed("`fd00::1`")),
        (one(json!({ "type": "ip", "value": "::ffff:127.0.0.1" })), malformed("`127.0.0.1`")),
        (one(json!({ "type": "ip", "value": "fe80::1%eth0" })), malformed("zone")),
        (one(json!({ "type": "ip", "value": "*.127.0.0.1" })), malformed("not an IP address")),
        (one(json!({ "type": "dns", "value": "127.0.0.1" })), malformed("type `ip`")),
        (one(json!({ "type": "ip", "value": "good.localhost" })), malformed("not an IP address")),
        (one(json!({ "type": "email", "value": "a@example.com" })), unsupported("email")),
        (one(json!({ "type": "DNS", "value": "good.localhost" })), unsupported("DNS")),
        (one(json!({ "type": "", "value": "good.localhost" })), unsupported("type")),
        (json!({ "identifiers": good, "notBefore": "2100-01-01T00:00:00Z" }), malformed("notBefore")),
        (json!({ "identifiers": good, "notBefore": "2020-01-01T00:00:00Z" }), malformed("too early")),
        (json!({ "identifiers": good, "notBefore": "tomorrow" }), malformed("notBefore \"tomorrow\"")),
        (json!({ "identifiers": good, "notAfter": "2020-01-01T00:00:00Z" }), malformed("not in the future")),
        (json!({ "identifiers": good, "notAfter": "2100-01-01T00:00:00Z" }), malformed("too late")),
        (json!({ "identifiers": good, "notAfter": "2100-02-30T00:00:00Z" }), malformed("RFC 3339")),
        (json!({ "identifiers": good, "notAfter": 1_900_000_000 }), malformed("not the JSON object")),
        (json!({ "identifiers": good, "replaces": "rubbish" }), malformed("`replaces`")),
        (json!({ "identifiers": good, "replaces": "AAAA.AA==" }), malformed("base64url")),
        (json!({ "identifiers": good, "replaces": "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE" }), malformed("did not issue")),
        (json!({ "identifiers": good, "replaces": 7 }), malformed("not the JSON object")),
        (json!({ "identifiers": good, "profile": "gold" }), refusal(400, "invalidProfile", "classic")),
        (json!({ "identifiers": good, "profile": "server" }), refusal(400, "invalidProfile", "server")),
        (json!({ "identifiers": good, "profile": 7 }), malformed("not the JSON object")),
    ];
    for (order, due) in &cases {
        assert_refused(&mut client, &mut witness, &account, order, *due).await;
    }
    // Members twice, which no JSON library would write.
    let twice = r#"{"identifiers":[{"type":"dns","type":"dns","value":"good.localhost"}]}"#;
    let answer = client.try_post(&account, "/new-order", twice.as_bytes(), &[]).await.expect("the server answers");
    witness.assert_refused(&answer, malformed("duplicate field `type`"), twice).await;
    // A hundred are taken, and names that are sent twice count once.
    let (_, order) = client.order(&account, &many[..100]).await;
    assert_eq!(list(&order["authorizations"]).len(), 100);
    let (_, order) = client.order(&account, &["twice.localhost", "TWICE.localhost"]).await;
    assert_eq!(order["identifiers"], identifiers(&["twice.localhost"]));
}

#[tokio::test]
async fn every_bad_identifier_of_several_is_named() {
    let (_server, mut client, mut witness) = scene().await;
    let account = client.account(Algorithm::Es256).await;
    witness.accept().await;
    let names = ["good.localhost", "host_name.localhost", "co.uk", "fine.localhost"];
    let answer = client.post(&account, "/new-order", &json!({ "identifiers": identifiers(&names) })).await;
    let problem =
        witness.assert_refused(&answer, refusal(400, "compound", "2 identifiers"), "two kinds of fault").await;
    let subproblems = list(&problem["subproblems"]);
    let found: Vec<(&Value, &Value)> =
        subproblems.iter().map(|one| (&one["identifier"]["value"], &one["type"])).collect();
    let urn = |kind| json!(format!("urn:ietf:params:acme:error:{kind}"));
    let due = [(json!("host_name.localhost"), urn("malformed")), (json!("co.uk"), urn("rejectedIdentifier"))];
    assert_eq!(found, due.iter().map(|(name, kind)| (name, kind)).collect::<Vec<_>>());

    let names = ["com", "org", "net"];
    let answer = client.post(&account, "/new-order", &json!({ "identifiers": identifiers(&names) })).await;
    let problem = witness.assert_refused(&answer, rejected("3 identifiers"), "three of one kind").await;
    assert_eq!(list(&problem["subproblems"]).len(), 3);
}
