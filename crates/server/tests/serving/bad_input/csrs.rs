//! Certificate requests that finalize refuses: the order stays ready, as it was (RFC 8555 §7.4).

use acme::{Algorithm, base64url_encode};
use serde_json::{Value, json};

use super::{Witness, scene};
use crate::support::account::Account;
use crate::support::client::{Client, text};
use crate::support::csr::{SubjectKey, csr, csr_of_exponent_1, openssl_csr};
use crate::support::problem::{Refusal, assert_refused, refusal};

const NAMES: [&str; 2] = ["a.csr.localhost", "b.csr.localhost"];
/// The arguments of `openssl req` that ask for these names.
const OF_THESE_NAMES: &str = "-subj / -addext subjectAltName=DNS:a.csr.localhost,DNS:b.csr.localhost";
const P256: &str = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256";

const fn bad(names: &'static str) -> Refusal {
    refusal(400, "badCSR", names)
}

/// An order that is ready, and what is expected of it while it is asked for wrongly.
struct Ready {
    account: Account,
    order: (String, Value),
}

impl Ready {
    async fn new(client: &mut Client, witness: &mut Witness) -> Self {
        let account = client.account(Algorithm::Es256).await;
        let order = client.ready(&account, &NAMES).await;
        witness.accept().await;
        Self { account, order }
    }

    async fn assert_refused(&self, client: &mut Client, witness: &mut Witness, csr: &[u8], due: Refusal, what: &str) {
        let payload = json!({ "csr": base64url_encode(csr) });
        self.assert_payload_refused(client, witness, &payload, due, what).await;
    }

    async fn assert_payload_refused(
        &self,
        client: &mut Client,
        witness: &mut Witness,
        payload: &Value,
        due: Refusal,
        what: &str,
    ) {
        let answer = client.post(&self.account, text(&self.order.1["finalize"]), payload).await;
        witness.assert_refused(&answer, due, what).await;
        let order = client.post_as_get(&self.account, &self.order.0).await.object(200);
        assert_eq!(order, self.order.1, "{what}: the order has changed");
    }

    /// After all that, it gets its certificate.
    async fn assert_still_good(&self, client: &mut Client) {
        client.finalize(&self.account, &self.order, &csr(&SubjectKey::new(), &NAMES)).await;
    }
}

#[tokio::test]
async fn what_is_no_certificate_request_is_refused() {
    let (_server, mut client, mut witness) = scene().await;
    let ready = Ready::new(&mut client, &mut witness).await;
    let good = csr(&SubjectKey::new(), &NAMES);
    let pem = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----";
    for (payload, due) in [
        (json!({}), refusal(400, "malformed", "`csr`")),
        (json!({ "csr": 7 }), refusal(400, "malformed", "expected a string")),
        (json!({ "csr": "" }), bad("PKCS#10")),
        (json!({ "csr": "MIIB+/==" }), bad("base64url")),
        (json!({ "csr": pem }), bad("PEM")),
    ] {
        ready.assert_payload_refused(&mut client, &mut witness, &payload, due, &payload.to_string()).await;
    }
    let mut bad_signature = good.clone();
    *bad_signature.last_mut().expect("it is not empty") ^= 1;
    for (der, due, what) in [
        (good[..good.len() - 1].to_vec(), bad("PKCS#10"), "cut short"),
        ([good.as_slice(), &[0]].concat(), bad("PKCS#10"), "something behind it"),
        (vec![0x30; 17 << 10], bad("16384"), "too long"),
        (b"certificate, please".to_vec(), bad("PKCS#10"), "no DER"),
        (bad_signature, bad("signature does not verify"), "a bit of the signature changed"),
    ] {
        ready.assert_refused(&mut client, &mut witness, &der, due, what).await;
    }
    ready.assert_still_good(&mut client).await;
}

#[tokio::test]
async fn keys_that_no_certificate_is_issued_for_are_refused() {
    let (server, mut client, mut witness) = scene().await;
    let ready = Ready::new(&mut client, &mut witness).await;
    for (key, request, due) in [
        ("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1", "", bad("P-256")),
        ("genpkey -algorithm ED25519", "", bad("Ed25519")),
        ("genpkey -algorithm ED448", "", bad("algorithm")),
        ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024", "", bad("1024 bits")),
        ("genpkey -algorithm RSA -pkeyopt rsa_keygen_pubexp:3", "", bad("exponent is 3")),
        (P256, "-sha1", bad("SHA-256")),
    ] {
        let request = format!("{OF_THESE_NAMES} {request}");
        let csr = openssl_csr(server.path("").as_path(), key, &request).await;
        ready.assert_refused(&mut client, &mut witness, &csr, due, &format!("{key} {request}")).await;
    }
    let dsa = "genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024";
    let dsa = openssl_csr_of_dsa(server.path("").as_path(), dsa).await;
    ready.assert_refused(&mut client, &mut witness, &dsa, bad("algorithm"), "DSA").await;
    let csr_1 = csr_of_exponent_1(&NAMES);
    ready.assert_refused(&mut client, &mut witness, &csr_1, bad("exponent is 1"), "RSA with exponent 1").await;
    let account_key = csr(&SubjectKey::of(&ready.account.pkcs8), &NAMES);
    ready.assert_refused(&mut client, &mut witness, &account_key, bad("account's key"), "the account's key").await;
    ready.assert_still_good(&mut client).await;
}

/// DSA keys are made in two steps.
async fn openssl_csr_of_dsa(folder: &std::path::Path, parameters: &str) -> Vec<u8> {
    let arguments = format!("{parameters} -out dsa.parameters");
    let mut command = tokio::process::Command::new("openssl");
    let made = crate::support::server::run(command.args(arguments.split_whitespace()).current_dir(folder)).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    openssl_csr(folder, "genpkey -paramfile dsa.parameters", OF_THESE_NAMES).await
}

#[tokio::test]
async fn requests_for_anything_but_the_orders_names_are_refused() {
    let (server, mut client, mut witness) = scene().await;
    let ready = Ready::new(&mut client, &mut witness).await;
    for (names, due) in [
        (&NAMES[..1], bad("lacks b.csr.localhost")),
        (&[][..], bad("lacks a.csr.localhost, b.csr.localhost")),
        (&[NAMES[0], NAMES[1], "c.csr.localhost"], bad("adds c.csr.localhost")),
        (&[NAMES[0], "c.csr.localhost"], bad("lacks b.csr.localhost and adds c.csr.localhost")),
        (&[NAMES[0], "*.csr.localhost"], bad("adds *.csr.localhost")),
    ] {
        let csr = csr(&SubjectKey::new(), names);
        ready.assert_refused(&mut client, &mut witness, &csr, due, &names.join(" ")).await;
    }
    let names = "subjectAltName=DNS:a.csr.localhost,DNS:b.csr.localhost";
    for (request, due) in [
        ("-subj /CN=c.csr.localhost -addext SAN".to_owned(), bad("adds c.csr.localhost")),
        ("-subj /CN=a.csr.localhost/CN=b.csr.localhost -addext SAN".to_owned(), bad("common name")),
        ("-subj /CN=a.csr.localhost".to_owned(), bad("lacks b.csr.localhost")),
        ("-subj / -addext SAN,IP:192.0.2.1".to_owned(), bad("adds 192.0.2.1")),
        ("-subj / -addext SAN,email:a@example.com".to_owned(), bad("neither a dNSName nor an iPAddress")),
        ("-subj / -addext SAN,URI:https://a.csr.localhost".to_owned(), bad("neither a dNSName nor an iPAddress")),
        ("-subj / -addext SAN -addext basicConstraints=CA:TRUE".to_owned(), bad("CA:TRUE")),
        ("-subj / -addext SAN -addext tlsfeature=status_request".to_owned(), bad("must-staple")),
    ] {
        let request = request.replace("SAN", names);
        let csr = openssl_csr(server.path("").as_path(), P256, &request).await;
        ready.assert_refused(&mut client, &mut witness, &csr, due, &request).await;
    }
    ready.assert_still_good(&mut client).await;
}

#[tokio::test]
async fn an_order_that_is_not_ready_is_not_finalized() {
    let (_server, mut client, mut witness) = scene().await;
    let account = client.account(Algorithm::Es256).await;
    let names = ["early.localhost"];
    let (url, order) = client.order(&account, &names).await;
    witness.accept().await;
    let payload = json!({ "csr": base64url_encode(&csr(&SubjectKey::new(), &names)) });
    let not_ready = |names| refusal(403, "orderNotReady", names);
    let answer = client.post(&account, text(&order["finalize"]), &payload).await;
    witness.assert_refused(&answer, not_ready("pending"), "before any challenge").await;
    assert_eq!(client.post_as_get(&account, &url).await.object(200), order);

    let issued = client.issued(&account, &["late.localhost"]).await;
    witness.accept().await;
    let answer = client.post(&account, text(&issued.object["finalize"]), &payload).await;
    witness.assert_refused(&answer, not_ready("valid"), "after the certificate").await;

    let answer = client.post(&account, text(&order["authorizations"][0]), &json!({ "status": "deactivated" })).await;
    assert_eq!(answer.object(200)["status"], "deactivated");
    let answer = client.post(&account, text(&order["finalize"]), &payload).await;
    assert_refused(&answer, not_ready("invalid"), "with a deactivated authorization");
    assert_eq!(client.post_as_get(&account, &url).await.object(200)["status"], "invalid");
}
