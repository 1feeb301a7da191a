//! RFC 8555 §7.6: revocation.

use acme::{Algorithm, base64url_encode};
use serde_json::{Value, json};

use crate::support::account::{Account, signing_key};
use crate::support::case::{Verdict, cases};
use crate::support::client::Client;
use crate::support::order::Issued;

cases! {
    Must the_account_that_ordered_a_certificate_revokes_it,
    Must the_key_of_a_certificate_revokes_it,
    Must an_account_with_authorizations_for_all_names_revokes_it,
    Must an_account_with_authorizations_for_some_names_does_not,
    Must an_account_without_authorizations_does_not,
    Must another_key_does_not,
    Must the_key_of_the_account_as_jwk_does_not,
    Must a_certificate_is_revoked_once,
    Must simultaneous_requests_revoke_once,
    Must reasons_that_are_not_the_subscribers_are_refused,
    Must a_reason_that_is_no_number_is_malformed,
    Must what_is_no_certificate_is_malformed,
    Must a_certificate_of_another_ca_is_refused,
    Must a_certificate_with_an_altered_signature_is_refused,
    Should the_subscribers_reasons_are_taken,
}

/// A certificate with its account, and what revokeCert wants to hear.
struct Held {
    client: Client,
    account: Account,
    names: [String; 2],
    issued: Issued,
    url: String,
}

impl Held {
    async fn new(mut client: Client) -> Self {
        let account = client.account().await;
        let names = [client.name(), client.name()];
        let issued = client.issued(&account, &[&names[0], &names[1]]).await;
        let url = client.url("revokeCert");
        Self { client, account, names, issued, url }
    }

    fn payload(&self) -> Value {
        json!({ "certificate": base64url_encode(&self.issued.chain[0]) })
    }

    /// It is not revoked yet: its account can still do that.
    async fn assert_good(&mut self) {
        let payload = self.payload();
        let answer = self.client.post(&self.account, &self.url, &payload).await;
        assert_eq!(answer.status, 200, "it was revoked by somebody else: {}", answer.shown());
    }
}

async fn the_account_that_ordered_a_certificate_revokes_it(client: Client) -> Verdict {
    let mut held = Held::new(client).await;
    let payload = held.payload();
    let answer = held.client.post(&held.account, &held.url, &payload).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0), "{}", answer.shown());
    Ok(())
}

async fn the_key_of_a_certificate_revokes_it(client: Client) -> Verdict {
    let mut held = Held::new(client).await;
    let payload = held.payload();
    let answer = held.client.post_by_key(&held.issued.key.signing_key(), &held.url, &payload).await;
    assert_eq!(answer.status, 200, "{}", answer.shown());
    let answer = held.client.post(&held.account, &held.url, &payload).await;
    answer.refused(&[400], &["alreadyRevoked"]);
    Ok(())
}

async fn an_account_with_authorizations_for_all_names_revokes_it(client: Client) -> Verdict {
    let mut held = Held::new(client).await;
    let other = held.client.account().await;
    held.client.ready(&other, &[&held.names[0], &held.names[1]]).await;
    let payload = held.payload();
    let answer = held.client.post(&other, &held.url, &payload).await;
    assert_eq!(answer.status, 200, "{}", answer.shown());
    Ok(())
}

async fn an_account_with_authorizations_for_some_names_does_not(client: Client) -> Verdict {
    let mut held = Held::new(client).await;
    let other = held.client.account().await;
    held.client.ready(&other, &[&held.names[0]]).await;
    let payload = held.payload();
    held.client.post(&other, &held.url, &payload).await.refused(&[403], &["unauthorized"]);
    held.assert_good().await;
    Ok(())
}

async fn an_account_without_authorizations_does_not(client: Client) -> Verdict {
    let mut held = Held::new(client).await;
    let other = held.client.account().await;
    // Pending ones don't count.
    held.client.order(&other, &[&held.names[0], &held.names[1]]).await;
    let payload = held.payload();
    held.client.post(&other, &held.url, &payload).await.refused(&[403], &["unauthorized"]);
    held.assert_good().await;
    Ok(())
}

async fn another_key_does_not(client: Client) -> Verdict {
    let mut held = Held::new(client).await;
    let payload = held.payload();
    let answer = held.client.post_by_key(&signing_key(Algorithm::Es256), &held.url, &payload).await;
    answer.refused(&[403], &["unauthorized"]);
    held.assert_good().await;
    Ok(())
}

async fn the_key_of_the_account_as_jwk_does_not(client: Client) -> Verdict {
    let mut held = Held::new(client).await;
    let payload = held.payload();
    let answer = held.client.post_by_key(&held.account.key, &held.url, &payload).await;
    answer.refused(&[400, 401, 403], &["unauthorized", "malformed"]);
    held.assert_good().await;
    Ok(())
}

async fn a_certificate_is_revoked_once(client: Client) -> Verdict {
    let mut held = Held::new(client).await;
    let payload = held.payload();
    held.assert_good().await;
    for reason in [None, Some(0), Some(4)] {
        let mut payload = payload.clone();
        if let Some(reason) = reason {
            payload["reason"] = json!(reason);
        }
        let answer = held.client.post(&held.account, &held.url, &payload).await;
        answer.refused(&[400], &["alreadyRevoked"]);
    }
    Ok(())
}

async fn simultaneous_requests_revoke_once(client: Client) -> Verdict {
    let mut held = Held::new(client).await;
    let mut clients: Vec<Client> = (0..4).map(|_| held.client.another()).collect();
    let payload = held.payload().to_string();
    let mut bodies = Vec::new();
    for client in &mut clients {
        bodies.push(client.draft(&held.account, &held.url, payload.as_bytes()).await.body());
    }
    let sending = clients.iter_mut().zip(bodies).map(|(client, body)| client.post_body(&held.url, body));
    let answers = futures_util::future::join_all(sending).await;
    let revoked = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(revoked, 1, "{revoked} of 4 have revoked it");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.refused(&[400], &["alreadyRevoked"]);
    }
    let payload = held.payload();
    held.client.post(&held.account, &held.url, &payload).await.refused(&[400], &["alreadyRevoked"]);
    Ok(())
}

async fn reasons_that_are_not_the_subscribers_are_refused(client: Client) -> Verdict {
    // 7 is unused, above 10 nothing is defined (RFC 5280 §5.3.1); the others are for CAs.
    let mut held = Held::new(client).await;
    for reason in [7, 11, 100, -1, 1_i64 << 40] {
        let mut payload = held.payload();
        payload["reason"] = json!(reason);
        let answer = held.client.post(&held.account, &held.url, &payload).await;
        assert!(answer.status >= 400, "{reason} was taken");
        // What no list of reasons can have may be no number at all to a server.
        let kinds: &[&str] = if (0..=100).contains(&reason) { &[] } else { &["malformed"] };
        answer.refused(&[400, 403], &[&["badRevocationReason"], kinds].concat());
    }
    held.assert_good().await;
    Ok(())
}

async fn a_reason_that_is_no_number_is_malformed(client: Client) -> Verdict {
    let mut held = Held::new(client).await;
    for reason in [json!("keyCompromise"), json!(1.5), json!([1])] {
        let mut payload = held.payload();
        payload["reason"] = reason;
        let answer = held.client.post(&held.account, &held.url, &payload).await;
        assert!(answer.status >= 400, "{payload} was taken");
        answer.refused(&[400], &["malformed", "badRevocationReason"]);
    }
    held.assert_good().await;
    Ok(())
}

async fn what_is_no_certificate_is_malformed(client: Client) -> Verdict {
    let mut held = Held::new(client).await;
    let der = held.issued.chain[0].clone();
    let base64 = data_encoding::BASE64.encode(&der);
    for certificate in [
        json!(null),
        json!(7),
        json!(""),
        json!("AAAA"),
        json!(format!("{base64}=")),
        json!(format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")),
        json!(base64url_encode(&der[..der.len() - 1])),
        json!(base64url_encode(&[der.as_slice(), &[0]].concat())),
    ] {
        let answer = held.client.post(&held.account, &held.url, &json!({ "certificate": certificate })).await;
        assert!(answer.status >= 400, "{certificate} was taken");
        answer.refused(&[400, 404], &["malformed"]);
    }
    held.client.post(&held.account, &held.url, &json!({})).await.refused(&[400], &["malformed"]);
    held.assert_good().await;
    Ok(())
}

async fn a_certificate_of_another_ca_is_refused(client: Client) -> Verdict {
    let mut held = Held::new(client).await;
    // The issuer is no certificate that anybody ordered here.
    let foreign = json!({ "certificate": base64url_encode(&held.issued.chain[1]) });
    let answer = held.client.post(&held.account, &held.url, &foreign).await;
    answer.refused(&[400, 403, 404], &["malformed", "unauthorized"]);
    let answer = held.client.post_by_key(&held.issued.key.signing_key(), &held.url, &foreign).await;
    answer.refused(&[400, 403, 404], &["malformed", "unauthorized"]);
    Ok(())
}

async fn a_certificate_with_an_altered_signature_is_refused(client: Client) -> Verdict {
    let mut held = Held::new(client).await;
    let mut der = held.issued.chain[0].clone();
    *der.last_mut().expect("it is not empty") ^= 1;
    let altered = json!({ "certificate": base64url_encode(&der) });
    let answer = held.client.post(&held.account, &held.url, &altered).await;
    assert!(answer.status >= 400, "it was taken");
    answer.refused(&[400, 403, 404], &["malformed", "unauthorized"]);
    held.assert_good().await;
    Ok(())
}

async fn the_subscribers_reasons_are_taken(mut client: Client) -> Verdict {
    // BR 7.2.2: unspecified, keyCompromise (by account, too), affiliationChanged, superseded, cessationOfOperation.
    for reason in [0, 1, 3, 4, 5] {
        let mut held = Held::new(client.another()).await;
        let mut payload = held.payload();
        payload["reason"] = json!(reason);
        let answer = held.client.post(&held.account, &held.url, &payload).await;
        assert_eq!(answer.status, 200, "{reason}: {}", answer.shown());
        client = held.client;
    }
    Ok(())
}
