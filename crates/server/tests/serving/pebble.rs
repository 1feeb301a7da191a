//! In the place of Pebble: its arguments, configuration, variables and management interface, as the tests of ACME
//! clients use them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use acme::{Algorithm, MacKey, base64url_encode, bind_externally};
use http::Method;
use pki::{Certificate, Crl};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::renewal;
use crate::support::account::signing_key;
use crate::support::client::{certificates, identifiers, text};
use crate::support::csr::openssl_csr;
use crate::support::pebble::{Pebble, command};
use crate::support::problem::{assert_refused, refusal};
use crate::support::server::run;
use crate::support::world::{PATIENCE, within};

/// What makes a run of Pebble quick and certain.
const CALM: [(&str, &str); 3] =
    [("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0"), ("PEBBLE_AUTHZREUSE", "0")];

fn calm(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&CALM[..], more].concat()
}

/// What OpenSSL prints.
async fn openssl(folder: &Path, arguments: &str) -> String {
    let output = run(Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder)).await;
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}

#[tokio::test]
async fn its_configuration_makes_a_server_that_issues_by_it() {
    let fields = json!({
        "ocspResponderURL": "http://127.0.0.1:4002", "domainBlocklist": ["blocked-domain.example"],
        "profiles": {
            "brief": { "description": "An hour", "validityPeriod": 3600, "promoteCommonName": true },
            "default": { "description": "As usual", "validityPeriod": 518_400 },
        },
        "someday": 1,
    });
    let pebble = Pebble::start(fields, &calm(&[])).await;
    assert!(pebble.log().contains("pebble.someday") && pebble.log().contains("DEVELOPMENT MODE"), "{}", pebble.log());
    let mut client = pebble.client();
    let directory = client.read("/dir").await.object(200);
    assert_eq!(directory["meta"]["profiles"], json!({ "brief": "An hour", "default": "As usual" }));
    assert_eq!(directory["meta"]["caaIdentities"], json!(["pebble.letsencrypt.org"]));
    assert!(text(&directory["meta"]["termsOfService"]).starts_with("data:"), "clients can show that they agree");
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["pebble.localhost"]).await;
    let chain = client.chain(&account, &issued.object).await;
    fs::write(pebble.path("leaf.pem"), pki::pem::encode("CERTIFICATE", &chain[0])).expect("a file can be written");
    let shown = openssl(pebble.path("").as_path(), "x509 -in leaf.pem -noout -subject -ocsp_uri").await;
    assert_eq!(shown, "subject=\nhttp://127.0.0.1:4002\n", "no common name, and somebody else's OCSP");
    let validity = Certificate::from_der(&chain[0]).expect("a certificate").validity();
    assert_eq!(validity.not_after.since(validity.not_before).as_secs(), 518_399, "the default profile's time");

    for (name, blocked) in [
        ("blocked-domain.example", true),
        ("www.blocked-domain.example", true),
        ("unblocked-domain.example", false),
        ("notblocked-domain.example", false),
    ] {
        let answer = client.post(&account, "/new-order", &json!({ "identifiers": identifiers(&[name]) })).await;
        if blocked {
            assert_refused(&answer, refusal(400, "rejectedIdentifier", "blocked-domain.example"), name);
        } else {
            assert_eq!(answer.status, 201, "{name}: {}", answer.text());
        }
    }
    let folder = pebble.terminate().await;
    let left = fs::read_dir(folder.path()).expect("the folder is there").flatten();
    let left: Vec<_> = left.filter(|one| one.file_name().to_string_lossy().starts_with("cairn-pebble-")).collect();
    assert!(left.is_empty(), "its store is gone: {left:?}");
}

#[tokio::test]
async fn must_staple_is_granted_where_somebody_runs_a_responder() {
    let pebble = Pebble::start(json!({ "ocspResponderURL": "http://127.0.0.1:4002" }), &calm(&[])).await;
    let mut client = pebble.client();
    let account = client.account(Algorithm::Es512).await;
    let ready = client.ready(&account, &["staple.localhost"]).await;
    let request = "-subj / -addext subjectAltName=DNS:staple.localhost -addext tlsfeature=status_request";
    let key = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521";
    let csr = openssl_csr(pebble.path("").as_path(), key, request).await;
    let order = client.finalize(&account, &ready, &csr).await;
    let chain = client.chain(&account, &order).await;
    fs::write(pebble.path("leaf.pem"), pki::pem::encode("CERTIFICATE", &chain[0])).expect("a file can be written");
    let shown = openssl(pebble.path("").as_path(), "x509 -in leaf.pem -noout -ext tlsfeature").await;
    assert!(shown.contains("status_request"), "{shown}");
}

#[tokio::test]
async fn its_management_interface_gives_roots_intermediates_and_keys_away() {
    let chains = calm(&[("PEBBLE_ALTERNATE_ROOTS", "2"), ("PEBBLE_CHAIN_LENGTH", "2")]);
    for (algorithm, label) in [("ecdsa", "-----BEGIN PRIVATE KEY-----"), ("rsa", "-----BEGIN RSA PRIVATE KEY-----")] {
        let pebble = Pebble::start(json!({ "keyAlgorithm": algorithm }), &chains).await;
        let folder = pebble.path("");
        let mut management = pebble.management();
        let (mut keys, mut names) = (Vec::new(), Vec::new());
        for chain in 0..3 {
            for kind in ["root", "intermediate"] {
                let answer = management.read(&format!("/{kind}s/{chain}")).await;
                assert_eq!(answer.header("content-type"), Some("application/pem-certificate-chain; charset=utf-8"));
                assert_eq!(answer.links("alternate").len(), 2, "the others are linked");
                fs::write(folder.join("certificate.pem"), answer.text()).expect("a file can be written");
                let answer = management.read(&format!("/{kind}-keys/{chain}")).await;
                assert_eq!(answer.header("content-type"), Some("application/x-pem-file; charset=utf-8"));
                assert!(answer.text().starts_with(label), "{algorithm}: {}", &answer.text()[..40]);
                fs::write(folder.join("key.pem"), answer.text()).expect("a file can be written");
                let own = openssl(&folder, "x509 -in certificate.pem -noout -pubkey").await;
                assert_eq!(own, openssl(&folder, "pkey -in key.pem -pubout").await, "{kind} {chain}");
                names.push(openssl(&folder, "x509 -in certificate.pem -noout -subject").await);
                keys.push(own);
            }
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 4, "three roots certify one intermediate");
        assert!(names.iter().all(|name| name.contains("DO NOT TRUST")), "{names:?}");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 4, "and each has a name of its own");
        for nothing in ["/roots/3", "/roots/-1", "/roots/x", "/root-keys/9", "/intermediates/", "/intermediate-keys/3"]
        {
            assert_eq!(management.read(nothing).await.status, 404, "{nothing}");
        }
        let mut client = pebble.client();
        let account = client.account(Algorithm::Es256).await;
        let issued = client.issued(&account, &["chains.localhost"]).await;
        assert_eq!(client.chain(&account, &issued.object).await.len(), 3, "the leaf and two intermediates");
    }
}

#[tokio::test]
async fn its_management_interface_knows_the_status_of_a_serial() {
    let pebble = Pebble::start(json!({}), &CALM).await;
    let (mut client, mut management) = (pebble.client(), pebble.management());
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["status.localhost"]).await;
    let leaf = client.chain(&account, &issued.object).await.remove(0);
    let serial = Certificate::from_der(&leaf).expect("a certificate").serial().to_string();
    let path = format!("/cert-status-by-serial/{}", serial.trim_start_matches('0').to_uppercase());
    let answer = management.read(&path).await;
    assert_eq!(answer.header("access-control-allow-origin"), None, "no page of another origin reads this listener");
    let status = answer.object(200);
    assert_eq!((&status["Status"], &status["Serial"]), (&json!("Valid"), &json!(serial.trim_start_matches('0'))));
    assert_eq!(certificates(text(&status["Certificate"])), std::slice::from_ref(&leaf));
    assert!(status.get("Reason").is_none() && status.get("RevokedAt").is_none(), "{status}");
    let asked = json!({ "certificate": base64url_encode(&leaf), "reason": 4 });
    assert_eq!(client.post(&account, "/revoke-cert", &asked).await.status, 200);
    let status = management.read(&path).await.object(200);
    assert_eq!((&status["Status"], &status["Reason"]), (&json!("Revoked"), &json!(4)));
    let at = text(&status["RevokedAt"]);
    assert!(at.ends_with(" +0000 UTC") && at.len() == "2026-01-02 03:04:05 +0000 UTC".len(), "{at}");
    for (path, status) in [("/cert-status-by-serial/12ab", 404), ("/cert-status-by-serial/xyz", 400)] {
        assert_eq!(management.read(path).await.status, status, "{path}");
    }
    let overview = management.read("/").await;
    assert!(overview.text().contains("DEVELOPMENT MODE"), "{}", overview.text());
}

/// What stands behind a URL of the status listener.
async fn fetched(url: &str) -> Vec<u8> {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("plain HTTP");
    let port: u16 = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("it listens");
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it takes a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("it answers");
    let end = answer.windows(4).position(|octets| octets == b"\r\n\r\n").expect("an answer has a head");
    answer.split_off(end + 4)
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "a CRL is made in its own time, and nobody is told of it")]
async fn what_is_revoked_there_is_seen_in_ocsp_and_on_the_crl() {
    let pebble = Pebble::start(json!({}), &CALM).await;
    let (mut client, mut management) = (pebble.client(), pebble.management());
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["revoked.localhost"]).await;
    let leaf = client.chain(&account, &issued.object).await.remove(0);
    let certificate = Certificate::from_der(&leaf).expect("a certificate");
    let crl_url = certificate.crl_url().expect("it names its CRL").to_owned();
    let folder = pebble.path("");
    fs::write(pebble.path("leaf.pem"), pki::pem::encode("CERTIFICATE", &leaf)).expect("a file can be written");
    for (path, name) in [("/roots/0", "root.pem"), ("/intermediates/0", "issuer.pem")] {
        let answer = management.read(path).await;
        fs::write(pebble.path(name), answer.text()).expect("a file can be written");
    }
    let port = crl_url.split(['/', ':']).nth(4).expect("a port");
    let ask = format!("ocsp -issuer issuer.pem -CAfile root.pem -cert leaf.pem -url http://127.0.0.1:{port}/ocsp");
    assert!(openssl(&folder, &ask).await.contains("leaf.pem: good"));
    let asked = json!({ "certificate": base64url_encode(&leaf), "reason": 5 });
    assert_eq!(client.post(&account, "/revoke-cert", &asked).await.status, 200);
    let said = openssl(&folder, &ask).await;
    assert!(said.contains("leaf.pem: revoked") && said.contains("Reason: cessationOfOperation"), "{said}");
    within(PATIENCE, "it is on the CRL", async {
        loop {
            let crl = Crl::from_der(&fetched(&crl_url).await);
            if crl.is_ok_and(|crl| crl.entries().iter().any(|entry| entry.serial == certificate.serial())) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn its_management_interface_sets_what_is_said_of_a_renewal() {
    let pebble = Pebble::start(json!({}), &CALM).await;
    let (mut client, mut management) = (pebble.client(), pebble.management());
    let account = client.account(Algorithm::Es256).await;
    let (leaf, name) = renewal::issued(&mut client, &account).await;
    let window = renewal::window(&renewal::look(&mut client, &name).await);
    let certificate = pki::pem::encode("CERTIFICATE", &leaf);
    for said in ["{\"suggestedWindow\":{\"start\":\"x\"}}", "{ no JSON at all"] {
        let asked = json!({ "Certificate": certificate, "ARIResponse": said }).to_string();
        assert_eq!(management.set("/set-renewal-info/", asked).await.status, 200);
        assert_eq!(renewal::look(&mut client, &name).await.text(), said, "word for word");
    }
    let asked = json!({ "Certificate": certificate, "ARIResponse": "" }).to_string();
    assert_eq!(management.set("/set-renewal-info/", asked).await.status, 200);
    let answer = renewal::look(&mut client, &name).await;
    assert_eq!(renewal::window(&answer), window, "an empty text brings the truth back");
    let root = management.read("/roots/0").await.text().to_owned();
    for (asked, status) in [
        ("nonsense".to_owned(), 400),
        (json!({ "Certificate": "nonsense", "ARIResponse": "x" }).to_string(), 400),
        (json!({ "Certificate": root, "ARIResponse": "x" }).to_string(), 404),
    ] {
        assert_eq!(management.set("/set-renewal-info/", asked.clone()).await.status, status, "{asked}");
    }
}

#[tokio::test]
async fn its_configuration_asks_for_external_accounts() {
    const SECRET: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let keys = json!({ "kid-1": SECRET });
    for required in [true, false] {
        let fields = json!({ "externalAccountBindingRequired": required, "externalAccountMACKeys": keys });
        let pebble = Pebble::start(fields, &CALM).await;
        let mut client = pebble.client();
        let meta = client.read("/dir").await.object(200)["meta"].clone();
        assert_eq!(meta["externalAccountRequired"] == true, required, "{meta}");
        let key = signing_key(Algorithm::Es256);
        let unbound = client.post_by_key(&key, "/new-account", &json!({ "termsOfServiceAgreed": true })).await;
        if required {
            assert_refused(&unbound, refusal(403, "externalAccountRequired", "operator"), "without a binding");
        } else {
            assert_eq!(unbound.status, 201, "{}", unbound.text());
        }
        for (secret, status) in [("AAAA", 403), (SECRET, 201), (SECRET, 201)] {
            let key = signing_key(Algorithm::Es256);
            let mac = MacKey::parse(secret).expect("base64url");
            let binding = bind_externally("kid-1", &mac, &client.url("/new-account"), key.jwk());
            let asked = json!({ "termsOfServiceAgreed": true, "externalAccountBinding": binding });
            let answer = client.post_by_key(&key, "/new-account", &asked).await;
            assert_eq!(answer.status, status, "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn its_variables_say_how_often_authorizations_come_again() {
    for (percent, status) in [("0", "pending"), ("100", "ready")] {
        let variables = [CALM[0], CALM[1], ("PEBBLE_AUTHZREUSE", percent)];
        let pebble = Pebble::start(json!({}), &variables).await;
        let mut client = pebble.client();
        let account = client.account(Algorithm::Es256).await;
        client.issued(&account, &["again.localhost"]).await;
        let first = client.order(&account, &["again.localhost"]).await;
        let second = client.order(&account, &["again.localhost"]).await;
        assert_eq!((&first.1["status"], &second.1["status"]), (&json!(status), &json!(status)), "{percent} %");
        assert_ne!(first.0, second.0, "Pebble makes a new order each time");
    }
}

#[tokio::test]
async fn its_variables_reject_nonces_and_skip_tests() {
    let rejecting = [("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "100")];
    let pebble = Pebble::start(json!({}), &rejecting).await;
    let mut client = pebble.client();
    let key = signing_key(Algorithm::Es256);
    for _ in 0..5 {
        let answer = client.post_by_key(&key, "/new-account", &json!({ "termsOfServiceAgreed": true })).await;
        assert_refused(&answer, refusal(400, "badNonce", "refused for a test"), "every nonce is refused");
    }
    let pebble = Pebble::start(json!({}), &calm(&[("PEBBLE_VA_ALWAYS_VALID", "1")])).await;
    let mut client = pebble.client();
    let account = client.account(Algorithm::Es256).await;
    let (url, order) = client.order(&account, &["nowhere.example"]).await;
    let (challenge, _) = client.http_01(&account, &order["authorizations"][0]).await;
    client.post(&account, &challenge, &json!({})).await.object(200);
    client.wait_until(&account, &url, "ready").await;
}

#[tokio::test]
async fn its_keys_can_be_kept_from_run_to_run() {
    let keys = [("CAIRN_DEV_KEYS", "kept"), CALM[0], CALM[1]];
    let mut folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let pebble = Pebble::start_in(folder, json!({}), &keys).await;
        let root = pebble.management().read("/roots/0").await;
        let intermediate = pebble.management().read("/intermediates/0").await;
        seen.push((root.text().to_owned(), intermediate.text().to_owned()));
        let mut client = pebble.client();
        let account = client.account(Algorithm::Es256).await;
        client.issued(&account, &["kept.localhost"]).await;
        folder = pebble.terminate().await;
    }
    assert_eq!(seen[0], seen[1], "both runs have one root and one intermediate");
}

#[tokio::test]
async fn caa_is_enforced_when_a_variable_says_so() {
    // No server answers there, so no look-up comes to anything: what is enforced is then in the way.
    let nobody = format!("127.0.0.1:{}", crate::support::ports::free_port());
    for (caa, status) in [("off", "ready"), ("enforce", "invalid")] {
        let variables = [CALM[0], CALM[1], ("PEBBLE_VA_ALWAYS_VALID", "1"), ("CAIRN_DEV_CAA", caa)];
        let pebble = Pebble::start_with(json!({}), &["-dnsserver", &nobody], &variables).await;
        let mut client = pebble.client();
        let account = client.account(Algorithm::Es256).await;
        let (url, order) = client.order(&account, &["caa.example"]).await;
        let (challenge, _) = client.http_01(&account, &order["authorizations"][0]).await;
        client.post(&account, &challenge, &json!({})).await.object(200);
        client.wait_until(&account, &url, status).await;
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

async fn told(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = run(&mut command(folder, arguments, variables)).await;
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_wrong_command_line_shows_the_right_ones() {
    let folder = folder();
    for (arguments, code, part) in [
        (&["-h"][..], 0, "-dnsserver HOST:PORT"),
        (&["--nonsense"], 2, "-nonsense"),
        (&["-config"], 2, "-config VALUE"),
        (&["-strict=perhaps"], 2, "true or false"),
        (&["serve"], 2, "\"serve\""),
    ] {
        let (ended, out, errors) = told(folder.path(), arguments, &[]).await;
        assert_eq!((ended, out.as_str()), (Some(code), ""), "{arguments:?}: {errors}");
        assert!(errors.contains(part) && errors.contains("Usage"), "{arguments:?}: {errors}");
    }
    let (ended, out, _) = told(folder.path(), &["-version"], &[]).await;
    assert!(ended == Some(0) && out.contains(env!("CARGO_PKG_VERSION")) && out.lines().count() == 1, "{out}");
    let subcommand = run(Command::new(env!("CARGO_BIN_EXE_cairn")).args(["pebble", "-version"])).await;
    assert_eq!(String::from_utf8_lossy(&subcommand.stdout), out, "cairn pebble is the same");
}

#[tokio::test]
async fn a_wrong_configuration_is_told_with_file_and_field() {
    let folder = folder();
    for (text, parts) in [
        ("{\"pebble\": ", &["pebble.json", "no JSON", "line 1"][..]),
        (r#"{"pebble":{"httpPort":"80"}}"#, &["pebble.json", "pebble.httpPort", "the string \"80\"", "a port"]),
        (r#"{"pebble":{"listenAddress":"14000"}}"#, &["pebble.listenAddress", "HOST:PORT"]),
        (r#"{"pebble":{"certificate":"a.pem"}}"#, &["pebble.privateKey", "missing"]),
        (r#"{"pebble":{"certificate":"a.pem","privateKey":"b.pem"}}"#, &["a.pem", "TLS"]),
        (r#"{"pebble":{"keyAlgorithm":"dsa"}}"#, &["pebble.keyAlgorithm", "\"ecdsa\""]),
    ] {
        fs::write(folder.path().join("pebble.json"), text).expect("a file can be written");
        let (ended, out, errors) = told(folder.path(), &["-config", "pebble.json"], &[]).await;
        assert_eq!((ended, out.as_str()), (Some(1), ""), "{text}: {errors}");
        assert!(parts.iter().all(|part| errors.contains(part)), "{text}: {errors}");
    }
    let (ended, _, errors) = told(folder.path(), &["-config", "nowhere.json"], &[]).await;
    assert!(ended == Some(1) && errors.contains("nowhere.json") && errors.contains("-config"), "{errors}");
    fs::write(folder.path().join("pebble.json"), "{}").expect("a file can be written");
    for (variable, value, part) in [
        ("PEBBLE_ALTERNATE_ROOTS", "10", "0 to 9"),
        ("PEBBLE_CHAIN_LENGTH", "0", "1 to 9"),
        ("CAIRN_DEV_NONSENSE", "1", "docs/pebble.md"),
        ("CAIRN_DEV_CAA", "yes", "enforce"),
    ] {
        let (ended, _, errors) = told(folder.path(), &["-config", "pebble.json"], &[(variable, value)]).await;
        assert!(ended == Some(1) && errors.contains(variable) && errors.contains(part), "{variable}: {errors}");
    }
    let left = fs::read_dir(folder.path()).expect("the folder is there").count();
    assert_eq!(left, 2, "nothing is left but the link and the file");
}

#[tokio::test]
async fn a_management_interface_that_nobody_wants_is_not_served() {
    let pebble = Pebble::start(json!({ "managementListenAddress": "" }), &CALM).await;
    assert!(pebble.management().try_send(Method::GET, "/roots/0", &[], Vec::new()).await.is_err());
    pebble.client().read("/dir").await.object(200);
}
