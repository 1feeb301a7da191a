//! Orders from newOrder to the certificate, where several requests meet (RFC 8555 §7.4).

use acme::{Algorithm, base64url_encode};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde_json::json;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::support::client::text;
use crate::support::csr::{SubjectKey, csr};
use crate::support::problem::{assert_refused, refusal};
use crate::support::records::Records;
use crate::support::server::Server;

const NAMES: [&str; 2] = ["a.order.localhost", "b.order.localhost"];

#[tokio::test]
async fn two_simultaneous_finalize_requests_give_one_certificate() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    for round in 0..5 {
        let ready = client.ready(&account, &NAMES).await;
        let before = Records::of(&server).counts().await;
        let finalize = text(&ready.1["finalize"]).to_owned();
        let (mut one, mut other) = (server.client(), server.client());
        let payloads = [0, 1].map(|_| json!({ "csr": base64url_encode(&csr(&SubjectKey::new(), &NAMES)) }));
        // Both have a connection and a nonce before either begins.
        one.post_as_get(&account, &ready.0).await;
        other.post_as_get(&account, &ready.0).await;
        let (first, second) =
            tokio::join!(one.post(&account, &finalize, &payloads[0]), other.post(&account, &finalize, &payloads[1]));
        let (taken, refused) = if first.status == 200 { (first, second) } else { (second, first) };
        assert!(
            matches!(text(&taken.object(200)["status"]), "processing" | "valid"),
            "round {round}: {}",
            taken.text()
        );
        assert_refused(&refused, refusal(403, "orderNotReady", "not ready"), &format!("round {round}"));
        let order = client.wait_until(&account, &ready.0, "valid").await;
        assert_eq!(client.chain(&account, &order).await.len(), 2);
        let after = Records::of(&server).counts().await;
        let good = "cairn_serials{status=\"good\"}";
        assert_eq!(after[good], before[good] + 1, "round {round}: one serial, and so one certificate");
    }
    server.assert_sound().await;
}

#[tokio::test]
async fn each_profile_gives_its_certificate() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    for (profile, days) in [("classic", 90), ("shortlived", 6), ("internal", 90)] {
        let identifiers = crate::support::client::identifiers(&NAMES);
        let answer =
            client.post(&account, "/new-order", &json!({ "identifiers": identifiers, "profile": profile })).await;
        let (url, order) = (answer.location(), answer.object(201));
        for authorization in crate::support::client::list(&order["authorizations"]) {
            let object = client.post_as_get(&account, text(authorization)).await.object(200);
            if object["status"] == "valid" {
                // Of the order before.
                continue;
            }
            let (challenge, token) = crate::support::client::http_01_of(&object);
            crate::support::responder::responder().show(&token, account.key_authorization(&token));
            client.post(&account, &challenge, &json!({})).await;
        }
        let order = client.wait_until(&account, &url, "ready").await;
        let order = client.finalize(&account, &(url, order), &csr(&SubjectKey::new(), &NAMES)).await;
        let chain = client.chain(&account, &order).await;
        let [leaf, issuer] = chain.as_slice() else { panic!("{} certificates", chain.len()) };
        let (_, leaf) = X509Certificate::from_der(leaf).expect("a certificate");
        let (_, issuer) = X509Certificate::from_der(issuer).expect("a certificate");
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &issuer.public_key().subject_public_key.data);
        key.verify(leaf.tbs_certificate.as_ref(), &leaf.signature_value.data).expect("the chain verifies");
        let names = leaf.subject_alternative_name().expect("readable").expect("it has names");
        assert_eq!(names.value.general_names, NAMES.map(GeneralName::DNSName));
        let lifetime = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp() + 1;
        assert!((days * 86_400 - 3600..=days * 86_400 + 3600).contains(&lifetime), "{profile}: {lifetime} s");
    }
    server.assert_sound().await;
}

#[tokio::test]
async fn an_authorization_that_is_given_up_ends_its_order() {
    let server = Server::start("").await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let (url, order) = client.ready(&account, &NAMES).await;
    let authorization = text(&order["authorizations"][1]);
    let answer = client.post(&account, authorization, &json!({ "status": "deactivated" })).await;
    assert_eq!(answer.object(200)["status"], "deactivated");
    let answer = client.post(&account, authorization, &json!({ "status": "deactivated" })).await;
    assert_refused(&answer, refusal(400, "malformed", "ended"), "a second time");
    let order = client.post_as_get(&account, &url).await.object(200);
    assert_eq!(order["status"], "invalid");
    assert_eq!(order["error"]["type"], "urn:ietf:params:acme:error:unauthorized", "{order}");
    server.assert_sound().await;
}
