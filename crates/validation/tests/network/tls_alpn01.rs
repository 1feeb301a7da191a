//! tls-alpn-01.

use acme::ProblemType;
use ca::authorization::Method;
use ca::ports::Validated;
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::certificate::{DNS_NAME, EMAIL, GENERALIZED_TIME, IP_ADDRESS, Identity, Recipe, UTC_TIME, octet_string};
use crate::scene::{Scene, key_authorization};
use crate::tls_server::TlsServer;

const ACME: &[u8] = b"acme-tls/1";

fn good() -> Recipe {
    Recipe::challenge(DNS_NAME, b"A.example")
}

async fn expect_unauthorized(recipe: Recipe, detail: &str) {
    let server = TlsServer::start(recipe.build(), &[ACME], None).await;
    let scene = Scene::with_port(server.address.port()).await;
    scene.expect_failed("a.example", Method::TlsAlpn01, ProblemType::Unauthorized, detail).await;
}

#[tokio::test]
async fn challenge_certificate_shows_control_and_nothing_is_sent() {
    for version in [&TLS12, &TLS13] {
        let server = TlsServer::with_versions(good().build(), &[b"h2", ACME], None, &[version]).await;
        let scene = Scene::with_port(server.address.port()).await;
        let (validated, record) = scene.validate("a.example", Method::TlsAlpn01).await;
        assert_eq!(validated, Validated::Shown);
        assert_eq!(server.names(), ["a.example"]);
        assert_eq!(server.protocols(), [[ACME]]);
        assert!(server.data().is_empty());
        let last = record.evidence.last().unwrap();
        assert!(last.ends_with("is for a.example alone, with the digest expected"), "{record:?}");
    }
}

#[tokio::test]
async fn validity_of_the_certificate_does_not_matter() {
    for validity in [
        [(UTC_TIME, "700101000000Z"), (UTC_TIME, "700102000000Z")],
        [(GENERALIZED_TIME, "00010101000000Z"), (GENERALIZED_TIME, "00010101000000Z")],
        [(GENERALIZED_TIME, "99991231235959Z"), (UTC_TIME, "500101000000Z")],
    ] {
        for version in [&TLS12, &TLS13] {
            let identity = Recipe { validity, ..good() }.build();
            let server = TlsServer::with_versions(identity, &[ACME], None, &[version]).await;
            let scene = Scene::with_port(server.address.port()).await;
            assert_eq!(scene.validate("a.example", Method::TlsAlpn01).await.0, Validated::Shown, "{validity:?}");
        }
    }
}

#[tokio::test]
async fn ip_identifier_is_named_by_its_reverse_name() {
    let server = TlsServer::start(Recipe::challenge(IP_ADDRESS, &[127, 0, 0, 1]).build(), &[ACME], None).await;
    let scene = Scene::with_port(server.address.port()).await;
    assert_eq!(scene.validate("127.0.0.1", Method::TlsAlpn01).await.0, Validated::Shown);
    assert_eq!(server.names(), ["1.0.0.127.in-addr.arpa"]);

    for wrong in [Recipe::challenge(IP_ADDRESS, &[127, 0, 0, 2]), Recipe::challenge(DNS_NAME, b"127.0.0.1")] {
        let server = TlsServer::start(wrong.build(), &[ACME], None).await;
        let scene = Scene::with_port(server.address.port()).await;
        scene.expect_failed("127.0.0.1", Method::TlsAlpn01, ProblemType::Unauthorized, "the certificate").await;
    }
}

#[tokio::test]
async fn certificate_must_name_the_identifier_and_nothing_else() {
    let with_names = |names: &[(u8, &[u8])]| Recipe {
        alternative_names: vec![names.iter().map(|(tag, name)| (*tag, name.to_vec())).collect()],
        ..good()
    };
    let own = (DNS_NAME, b"a.example".as_slice());
    for (recipe, detail) in [
        (with_names(&[own, (DNS_NAME, b"b.example")]), "has 2 subject alternative names; expected a.example alone"),
        (with_names(&[own, own]), "has 2 subject alternative names"),
        (with_names(&[own, (EMAIL, b"a@a.example")]), "has 2 subject alternative names"),
        (with_names(&[(DNS_NAME, b"b.example")]), "is for another name than a.example"),
        (with_names(&[(DNS_NAME, b"*.example")]), "is for another name than a.example"),
        (with_names(&[(EMAIL, b"a.example")]), "of another kind than dNSName"),
        (Recipe { alternative_names: vec![], ..good() }, "has no extension subjectAltName"),
        (
            Recipe { alternative_names: vec![good().alternative_names.remove(0); 2], ..good() },
            "has the extension subjectAltName more than once",
        ),
    ] {
        expect_unauthorized(recipe, detail).await;
    }
}

#[tokio::test]
async fn certificate_must_hold_the_digest_in_a_critical_extension() {
    let digest = key_authorization().sha256();
    let with_extensions = |extensions: &[(bool, Vec<u8>)]| Recipe { acme_identifiers: extensions.to_vec(), ..good() };
    let right = (true, octet_string(&digest));
    for (recipe, detail) in [
        (with_extensions(&[(false, octet_string(&digest))]), "not marked critical"),
        (with_extensions(&[]), "has no extension acmeIdentifier"),
        (with_extensions(&[right.clone(), right]), "has the extension acmeIdentifier more than once"),
        (with_extensions(&[(true, octet_string(&digest[..31]))]), "an acmeIdentifier of 31 octets"),
        (
            with_extensions(&[(true, octet_string(&[digest.as_slice(), &[0]].concat()))]),
            "an acmeIdentifier of 33 octets",
        ),
        (with_extensions(&[(true, octet_string(&[7; 32]))]), "is not the digest of the key authorization"),
        (with_extensions(&[(true, digest.to_vec())]), "that can't be read"),
        (with_extensions(&[(true, [octet_string(&digest), vec![5, 0]].concat())]), "that can't be read"),
    ] {
        expect_unauthorized(recipe, detail).await;
    }
}

#[tokio::test]
async fn certificate_must_be_self_signed() {
    expect_unauthorized(Recipe { issuer: "another", ..good() }, "is not self-signed").await;
    // The octet that is spoilt belongs to the name, which is checked after the signature.
    expect_unauthorized(Recipe { spoil_signature: true, ..good() }, "is not self-signed").await;
}

#[tokio::test]
async fn server_must_hold_the_certificates_key() {
    for version in [&TLS12, &TLS13] {
        let identity = Identity { key: good().build().key, ..good().build() };
        let server = TlsServer::with_versions(identity, &[ACME], None, &[version]).await;
        let scene = Scene::with_port(server.address.port()).await;
        scene.expect_failed("a.example", Method::TlsAlpn01, ProblemType::Tls, "the TLS handshake with a.example").await;
    }
}

#[tokio::test]
async fn server_must_choose_the_protocol() {
    let silent = TlsServer::start(good().build(), &[], None).await;
    let scene = Scene::with_port(silent.address.port()).await;
    let detail = "did not choose the application protocol (ALPN) acme-tls/1";
    scene.expect_failed("a.example", Method::TlsAlpn01, ProblemType::Unauthorized, detail).await;

    let other = TlsServer::start(good().build(), &[b"h2", b"http/1.1"], None).await;
    let scene = Scene::with_port(other.address.port()).await;
    let detail = "knows none of the application protocols";
    scene.expect_failed("a.example", Method::TlsAlpn01, ProblemType::Unauthorized, detail).await;
}

#[tokio::test]
async fn server_that_speaks_no_tls_is_a_tls_problem() {
    // It sends this before a request: an HTTP server that waits for one would be silent.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let scene = Scene::with_port(port).await;
    scene.expect_failed("a.example", Method::TlsAlpn01, ProblemType::Tls, "the TLS handshake with a.example").await;
}

#[tokio::test]
async fn server_that_closes_in_the_middle_may_pass() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.shutdown().await.unwrap();
        std::future::pending::<()>().await;
    });
    let scene = Scene::with_port(port).await;
    let detail = "ended the connection in its middle";
    scene.expect_may_pass("a.example", Method::TlsAlpn01, ProblemType::Connection, detail).await;
}
