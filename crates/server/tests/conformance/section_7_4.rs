//! RFC 8555 §7.4: orders are made and finalized.

use std::collections::BTreeSet;

use acme::base64url_encode;
use futures_util::future::join_all;
use pki::GeneralName;
use serde_json::{Value, json};

use crate::support::account::Account;
use crate::support::answer::{list, text};
use crate::support::case::{Verdict, cases};
use crate::support::certificate::{SubjectKey, certificates, names_of, parsed};
use crate::support::client::Client;
use crate::support::openssl::{self, P256};
use crate::support::order::{Order, identifiers};
use crate::support::watch::Watch;

cases! {
    Must an_order_is_made_with_201_and_its_url,
    Must an_order_without_identifiers_is_malformed,
    Must identifiers_of_an_unknown_type_are_unsupported,
    Must identifiers_of_the_wrong_kind_are_malformed,
    Must what_the_server_owns_is_ignored_in_a_new_order,
    Must dates_that_are_no_dates_are_malformed,
    Must a_wanted_end_is_kept_or_refused,
    Must a_wanted_begin_is_kept_or_refused,
    Should an_end_in_the_past_is_refused,
    Must finalize_is_refused_while_the_order_is_pending,
    Must finalize_is_refused_once_the_order_is_valid,
    Must finalize_answers_with_the_order,
    Should finalize_answers_with_the_url_of_the_order,
    Must simultaneous_finalize_requests_issue_one_certificate,
    Must a_request_for_fewer_names_is_refused,
    Must a_request_for_other_names_is_refused,
    Must a_request_with_a_bad_signature_is_refused,
    Must what_is_no_request_is_refused,
    Must a_request_with_the_key_of_the_account_is_refused,
    Must the_case_of_names_in_a_request_does_not_matter,
    Must a_request_with_another_common_name_is_refused,
    Must a_common_name_that_is_one_of_the_names_is_taken,
    Must a_name_may_stand_in_the_common_name_alone,
    Must extensions_that_are_asked_for_are_not_copied,
    Should a_request_with_a_short_key_is_refused,
    Should an_order_stays_ready_after_a_bad_request,
    Should a_bad_request_is_a_bad_csr,
}

async fn an_order_is_made_with_201_and_its_url(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let answer = client.new_order(&account, &json!({ "identifiers": identifiers(&[&name]) })).await;
    assert_eq!(answer.object(201)["status"], "pending");
    assert!(answer.location().starts_with("https://"));
    Ok(())
}

/// Orders that are asked for like this are refused, and there are no more orders than before.
async fn refused(client: &mut Client, payloads: &[Value], kinds: &[&str]) {
    let account = client.account().await;
    let watch = Watch::begin(client, &account, &[]).await;
    for payload in payloads {
        let answer = client.new_order(&account, payload).await;
        assert!(answer.status >= 400, "{payload} was taken: {}", answer.shown());
        answer.refused(&[400, 403], kinds);
        watch.assert_unchanged(client, &account, &payload.to_string()).await;
    }
}

async fn an_order_without_identifiers_is_malformed(mut client: Client) -> Verdict {
    let payloads = [json!({}), json!({ "identifiers": [] }), json!({ "identifiers": null })];
    refused(&mut client, &payloads, &["malformed"]).await;
    Ok(())
}

async fn identifiers_of_an_unknown_type_are_unsupported(mut client: Client) -> Verdict {
    let name = client.name();
    let unknown = json!({ "type": "carrier-pigeon", "value": name });
    let payloads = [
        json!({ "identifiers": [unknown] }),
        json!({ "identifiers": [{ "type": "dns", "value": name }, unknown] }),
        json!({ "identifiers": [{ "type": "DNS", "value": name }] }),
    ];
    refused(&mut client, &payloads, &["unsupportedIdentifier"]).await;
    Ok(())
}

async fn identifiers_of_the_wrong_kind_are_malformed(mut client: Client) -> Verdict {
    let name = client.name();
    let payloads = [
        json!({ "identifiers": name }),
        json!({ "identifiers": [name] }),
        json!({ "identifiers": [null] }),
        json!({ "identifiers": [{ "type": "dns" }] }),
        json!({ "identifiers": [{ "value": name }] }),
        json!({ "identifiers": [{ "type": "dns", "value": 7 }] }),
        json!({ "identifiers": { "type": "dns", "value": name } }),
    ];
    refused(&mut client, &payloads, &["malformed", "unsupportedIdentifier"]).await;
    Ok(())
}

async fn what_the_server_owns_is_ignored_in_a_new_order(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let owned = json!({
        "identifiers": identifiers(&[&name]), "status": "valid", "expires": "2100-01-01T00:00:00Z",
        "finalize": "https://ca.example/", "authorizations": [], "certificate": "https://ca.example/", "unknown": [7]
    });
    let object = client.new_order(&account, &owned).await.object(201);
    assert_eq!(object["status"], "pending");
    assert_eq!(list(&object["authorizations"]).len(), 1);
    assert_eq!(object.get("certificate"), None);
    assert_eq!(object.get("unknown"), None);
    assert_ne!(object["finalize"], owned["finalize"]);
    assert_ne!(object["expires"], owned["expires"]);
    Ok(())
}

async fn dates_that_are_no_dates_are_malformed(mut client: Client) -> Verdict {
    let name = client.name();
    let with = |member: &str, value: Value| {
        let mut payload = json!({ "identifiers": identifiers(&[&name]) });
        payload[member] = value;
        payload
    };
    let mut backwards = with("notBefore", json!("2040-01-02T00:00:00Z"));
    backwards["notAfter"] = json!("2040-01-01T00:00:00Z");
    let payloads = [
        with("notAfter", json!("tomorrow")),
        with("notBefore", json!("2040-02-30T00:00:00Z")),
        with("notAfter", json!(7)),
        backwards,
    ];
    refused(&mut client, &payloads, &["malformed"]).await;
    Ok(())
}

/// So many hours from now, in whole seconds.
#[allow(clippy::disallowed_methods, reason = "a client asks for dates by its own clock")]
fn hours_from_now(hours: i64) -> jiff::Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    let seconds = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(0));
    jiff::Timestamp::from_second(seconds + hours * 3600).expect("a time of this century")
}

/// An order with this date is refused, or its certificate has exactly this date.
async fn kept_or_refused(client: &mut Client, member: &str, date: jiff::Timestamp) {
    let account = client.account().await;
    let name = client.name();
    let mut payload = json!({ "identifiers": identifiers(&[&name]) });
    payload[member] = json!(date.to_string());
    let answer = client.new_order(&account, &payload).await;
    if answer.status >= 400 {
        answer.problem();
        return;
    }
    let order = Order { object: answer.object(201), url: answer.location() };
    assert_eq!(text(&order.object[member]).parse().ok(), Some(date), "{}", order.object);
    let order = client.make_ready(&account, order).await;
    let issued = client.issue(&account, order, &[&name]).await;
    let validity = parsed(&issued.chain[0]).validity().clone();
    let issued = if member == "notAfter" { validity.not_after } else { validity.not_before };
    assert_eq!(issued.timestamp(), date.as_second(), "the certificate has another {member}");
}

async fn a_wanted_end_is_kept_or_refused(mut client: Client) -> Verdict {
    kept_or_refused(&mut client, "notAfter", hours_from_now(48)).await;
    kept_or_refused(&mut client, "notAfter", hours_from_now(24 * 365 * 20)).await;
    Ok(())
}

async fn a_wanted_begin_is_kept_or_refused(mut client: Client) -> Verdict {
    kept_or_refused(&mut client, "notBefore", hours_from_now(24)).await;
    kept_or_refused(&mut client, "notBefore", hours_from_now(-24 * 365)).await;
    Ok(())
}

async fn an_end_in_the_past_is_refused(mut client: Client) -> Verdict {
    let name = client.name();
    let past = json!({ "identifiers": identifiers(&[&name]), "notAfter": hours_from_now(-24).to_string() });
    refused(&mut client, &[past], &["malformed", "rejectedIdentifier", "unauthorized"]).await;
    Ok(())
}

async fn finalize_is_refused_while_the_order_is_pending(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.order(&account, &[&name]).await;
    let watch = Watch::begin(&mut client, &account, &[&order.url]).await;
    let csr = SubjectKey::new().csr(&[&name]);
    client.finalize(&account, &order, &csr).await.refused(&[403], &["orderNotReady"]);
    watch.assert_unchanged(&mut client, &account, "finalize too early").await;
    Ok(())
}

async fn finalize_is_refused_once_the_order_is_valid(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let issued = client.issued(&account, &[&name]).await;
    let watch = Watch::begin(&mut client, &account, &[&issued.order.url]).await;
    let csr = SubjectKey::new().csr(&[&name]);
    client.finalize(&account, &issued.order, &csr).await.refused(&[403], &["orderNotReady"]);
    watch.assert_unchanged(&mut client, &account, "finalize too late").await;
    Ok(())
}

async fn finalize_answers_with_the_order(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.ready(&account, &[&name]).await;
    let object = client.finalize(&account, &order, &SubjectKey::new().csr(&[&name])).await.object(200);
    assert_eq!(object["identifiers"], order.object["identifiers"]);
    assert!(["processing", "valid"].contains(&text(&object["status"])), "{object}");
    Ok(())
}

async fn finalize_answers_with_the_url_of_the_order(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.ready(&account, &[&name]).await;
    let answer = client.finalize(&account, &order, &SubjectKey::new().csr(&[&name])).await;
    assert_eq!(answer.location(), order.url);
    if answer.json()["status"] == "processing" {
        assert!(answer.header("retry-after").is_some(), "no Retry-After");
    }
    Ok(())
}

async fn simultaneous_finalize_requests_issue_one_certificate(mut client: Client) -> Verdict {
    let account = client.account().await;
    let name = client.name();
    let order = client.ready(&account, &[&name]).await;
    let mut clients: Vec<Client> = (0..8).map(|_| client.another()).collect();
    let keys: Vec<SubjectKey> = clients.iter().map(|_| SubjectKey::new()).collect();
    let mut bodies = Vec::new();
    for (client, key) in clients.iter_mut().zip(&keys) {
        let payload = json!({ "csr": base64url_encode(&key.csr(&[&name])) }).to_string();
        bodies.push(client.draft(&account, order.finalize(), payload.as_bytes()).await.body());
    }
    let sending = clients.iter_mut().zip(bodies).map(|(client, body)| client.post_body(order.finalize(), body));
    let answers = join_all(sending).await;
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(taken, 1, "{taken} of 8 were taken");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.refused(&[403], &["orderNotReady"]);
    }
    let object = client.wait_for(&account, &order.url, "valid").await;
    let chain = client.post_as_get(&account, text(&object["certificate"])).await;
    let leaf = certificates(chain.text()).remove(0);
    let winner = answers.iter().position(|answer| answer.status == 200).expect("one was taken");
    assert_eq!(parsed(&leaf).public_key().raw, keys[winner].spki(), "it is not the key of the request that was taken");
    Ok(())
}

/// An order for two names that was asked for wrongly, and after that can still be finalized or is invalid for good.
struct Asked {
    client: Client,
    account: Account,
    names: [String; 2],
    order: Order,
}

impl Asked {
    async fn new(mut client: Client) -> Self {
        let account = client.account().await;
        let names = [client.name(), client.name()];
        let order = client.ready(&account, &[&names[0], &names[1]]).await;
        Self { client, account, names, order }
    }

    fn names(&self) -> [&str; 2] {
        [&self.names[0], &self.names[1]]
    }

    async fn refuses(&mut self, what: &str, payload: &Value, kinds: &[&str]) {
        let answer = self.client.post(&self.account, self.order.finalize(), payload).await;
        assert!(answer.status >= 400, "{what} was taken: {}", answer.shown());
        answer.refused(&[400, 403], kinds);
        let object = self.client.read(&self.account, &self.order.url).await;
        assert!(["ready", "invalid"].contains(&text(&object["status"])), "{what}: {object}");
        if object["status"] == "invalid" {
            // It is free to end the order; the next request needs another.
            let names = self.names();
            self.order =
                self.client.ready(&self.account, &names.map(str::to_owned).each_ref().map(String::as_str)).await;
        }
    }

    async fn refuses_csr(&mut self, what: &str, csr: &[u8]) {
        let kinds = ["badCSR", "badPublicKey", "unauthorized", "malformed"];
        self.refuses(what, &json!({ "csr": base64url_encode(csr) }), &kinds).await;
    }
}

async fn a_request_for_fewer_names_is_refused(client: Client) -> Verdict {
    let mut asked = Asked::new(client).await;
    let names = asked.names.clone();
    let key = SubjectKey::new();
    asked.refuses_csr("one name of two", &key.csr(&[&names[0]])).await;
    asked.refuses_csr("no name", &key.csr(&[])).await;
    Ok(())
}

async fn a_request_for_other_names_is_refused(client: Client) -> Verdict {
    let mut asked = Asked::new(client).await;
    let names = asked.names.clone();
    let (key, third) = (SubjectKey::new(), asked.client.name());
    asked.refuses_csr("a third name", &key.csr(&[&names[0], &names[1], &third])).await;
    asked.refuses_csr("another name", &key.csr(&[&names[0], &third])).await;
    asked.refuses_csr("a wildcard", &key.csr(&[&names[0], &format!("*.{}", names[1])])).await;
    let mut more: BTreeSet<GeneralName> = names.iter().map(|name| GeneralName::Dns(name.clone())).collect();
    more.insert(GeneralName::Ip(std::net::Ipv4Addr::LOCALHOST.into()));
    asked.refuses_csr("an address besides", &key.csr_for(more)).await;
    Ok(())
}

async fn a_request_with_a_bad_signature_is_refused(client: Client) -> Verdict {
    let mut asked = Asked::new(client).await;
    let names = asked.names.clone();
    let mut csr = SubjectKey::new().csr(&[&names[0], &names[1]]);
    *csr.last_mut().expect("it is not empty") ^= 1;
    asked.refuses_csr("a bit changed", &csr).await;
    Ok(())
}

async fn what_is_no_request_is_refused(client: Client) -> Verdict {
    let mut asked = Asked::new(client).await;
    let names = asked.names.clone();
    let csr = SubjectKey::new().csr(&[&names[0], &names[1]]);
    asked.refuses_csr("nothing", b"").await;
    asked.refuses_csr("text", b"certificate, please").await;
    asked.refuses_csr("one that is cut short", &csr[..csr.len() - 1]).await;
    asked.refuses_csr("something behind it", &[csr.as_slice(), &[0]].concat()).await;
    let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n", data_encoding::BASE64.encode(&csr));
    let base64 = data_encoding::BASE64.encode(&csr);
    for payload in [json!({ "csr": pem }), json!({ "csr": format!("{base64}=") }), json!({}), json!({ "csr": 7 })] {
        asked.refuses(&payload.to_string(), &payload, &["badCSR", "malformed"]).await;
    }
    Ok(())
}

async fn a_request_with_the_key_of_the_account_is_refused(client: Client) -> Verdict {
    // RFC 8555 §11.1.
    let mut asked = Asked::new(client).await;
    let names = asked.names.clone();
    let csr = SubjectKey::of(&asked.account.pkcs8).csr(&[&names[0], &names[1]]);
    asked.refuses_csr("the account's key", &csr).await;
    Ok(())
}

async fn the_case_of_names_in_a_request_does_not_matter(client: Client) -> Verdict {
    let mut asked = Asked::new(client).await;
    let names = asked.names.clone();
    let csr = SubjectKey::new().csr(&[&names[0].to_uppercase(), &names[1]]);
    asked.client.finalize(&asked.account, &asked.order, &csr).await.object(200);
    let object = asked.client.wait_for(&asked.account, &asked.order.url, "valid").await;
    let chain = asked.client.post_as_get(&asked.account, text(&object["certificate"])).await;
    let mut sorted = names.to_vec();
    sorted.sort();
    assert_eq!(names_of(&certificates(chain.text())[0]), sorted);
    Ok(())
}

async fn an_order_stays_ready_after_a_bad_request(client: Client) -> Verdict {
    let mut asked = Asked::new(client).await;
    let url = asked.order.url.clone();
    asked.refuses_csr("text", b"certificate, please").await;
    let object = asked.client.read(&asked.account, &url).await;
    assert_eq!(object["status"], "ready", "{object}");
    let names = asked.names.clone();
    asked.client.issue(&asked.account, asked.order, &[&names[0], &names[1]]).await;
    Ok(())
}

async fn a_bad_request_is_a_bad_csr(client: Client) -> Verdict {
    let mut asked = Asked::new(client).await;
    let csr = SubjectKey::new().csr(&[&asked.names[0].clone()]);
    for csr in [csr, b"certificate, please".to_vec()] {
        asked.refuses("a bad request", &json!({ "csr": base64url_encode(&csr) }), &["badCSR"]).await;
    }
    Ok(())
}

/// Finalizes with this request, and answers the certificate in DER.
async fn finalized(asked: &mut Asked, csr: &[u8]) -> Vec<u8> {
    asked.client.finalize(&asked.account, &asked.order, csr).await.object(200);
    let object = asked.client.wait_for(&asked.account, &asked.order.url, "valid").await;
    let chain = asked.client.post_as_get(&asked.account, text(&object["certificate"])).await;
    certificates(chain.text()).remove(0)
}

async fn a_request_with_another_common_name_is_refused(client: Client) -> Verdict {
    let mut asked = Asked::new(client).await;
    let [a, b] = asked.names.clone();
    let other = asked.client.name();
    let csr = openssl::csr(P256, &format!("-subj /CN={other} -addext subjectAltName=DNS:{a},DNS:{b}")).await;
    asked.refuses_csr("another common name", &csr).await;
    Ok(())
}

async fn a_common_name_that_is_one_of_the_names_is_taken(client: Client) -> Verdict {
    let mut asked = Asked::new(client).await;
    let [a, b] = asked.names.clone();
    let csr = openssl::csr(P256, &format!("-subj /CN={a} -addext subjectAltName=DNS:{a},DNS:{b}")).await;
    let certificate = finalized(&mut asked, &csr).await;
    assert_eq!(names_of(&certificate).len(), 2);
    Ok(())
}

async fn a_name_may_stand_in_the_common_name_alone(client: Client) -> Verdict {
    let mut asked = Asked::new(client).await;
    let [a, b] = asked.names.clone();
    let csr = openssl::csr(P256, &format!("-subj /CN={a} -addext subjectAltName=DNS:{b}")).await;
    let certificate = finalized(&mut asked, &csr).await;
    assert_eq!(names_of(&certificate).len(), 2);
    Ok(())
}

async fn extensions_that_are_asked_for_are_not_copied(client: Client) -> Verdict {
    let mut asked = Asked::new(client).await;
    let [a, b] = asked.names.clone();
    let names = format!("-subj / -addext subjectAltName=DNS:{a},DNS:{b}");
    let csr = openssl::csr(P256, &format!("{names} -addext basicConstraints=critical,CA:TRUE")).await;
    let answer = asked.client.finalize(&asked.account, &asked.order, &csr).await;
    if answer.status == 200 {
        let object = asked.client.wait_for(&asked.account, &asked.order.url, "valid").await;
        let chain = asked.client.post_as_get(&asked.account, text(&object["certificate"])).await;
        let leaf = certificates(chain.text()).remove(0);
        assert!(!parsed(&leaf).is_ca(), "it certifies");
    } else {
        answer.refused(&[400, 403], &["badCSR", "malformed", "unauthorized"]);
    }
    Ok(())
}

async fn a_request_with_a_short_key_is_refused(client: Client) -> Verdict {
    let mut asked = Asked::new(client).await;
    let [a, b] = asked.names.clone();
    let csr = openssl::csr("rsa:1024", &format!("-subj / -addext subjectAltName=DNS:{a},DNS:{b}")).await;
    asked.refuses_csr("1024 bits", &csr).await;
    Ok(())
}
