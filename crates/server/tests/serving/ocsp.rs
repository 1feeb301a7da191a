//! The OCSP responder's door (RFC 6960 appendix A, RFC 5019): what it answers over HTTP, and what bad input gets.

use std::net::Ipv4Addr;

use acme::{Algorithm, base64url_encode};
use data_encoding::BASE64;
use pki::ocsp::{CertStatus, IdAlgorithm, IdForm, IssuerIdentity};
use pki::{Certificate, OcspError, OcspRequest, OcspResponse, Serial};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::text;
use crate::support::csr::{SubjectKey, csr};
use crate::support::server::Server;
use crate::support::world::{PATIENCE, within};

const FORM: IdForm = IdForm { algorithm: IdAlgorithm::Sha1, null_parameters: true };

/// What the responder sent.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")))?;
        Some(&line[name.len() + 2..])
    }

    fn is(&self, error: OcspError) -> bool {
        self.header("content-type") == Some("application/ocsp-response")
            && self.header("cache-control") == Some("no-store")
            && self.body == error.response_der()
    }

    fn status(&self) -> CertStatus {
        assert_eq!((self.status, self.header("content-type")), (200, Some("application/ocsp-response")));
        let Ok(OcspResponse::Successful(basic)) = OcspResponse::from_der(&self.body) else { panic!("{:?}", self.body) };
        basic.data().expect("a ResponseData").responses[0].status.expect("a status that is known")
    }
}

async fn send(server: &Server, head: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.status_port())).await.expect("it listens");
    let length = body.len();
    let head = format!("{head}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("it takes a request");
    // It may have answered before it has read all.
    let _cut_off = stream.write_all(body).await;
    let mut read = Vec::new();
    let _reset = within(PATIENCE, "it answers", stream.read_to_end(&mut read)).await;
    let end = read.windows(4).position(|octets| octets == b"\r\n\r\n").expect("an answer has a head");
    let head = String::from_utf8(read[..end].to_vec()).expect("a head is text");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head, body: read.split_off(end + 4) }
}

async fn post(server: &Server, body: &[u8]) -> Answer {
    send(server, "POST /ocsp HTTP/1.1\r\nContent-Type: application/ocsp-request", body).await
}

async fn get(server: &Server, path: &str, more: &str) -> Answer {
    send(server, &format!("GET /ocsp/{path} HTTP/1.1{more}"), &[]).await
}

fn issuer(server: &Server) -> Certificate {
    let text = std::fs::read_to_string(server.data().join("intermediate.pem")).expect("the first start makes it");
    Certificate::from_der(&crate::support::client::certificates(&text)[0]).expect("a certificate")
}

fn cert_id(server: &Server, serial: Serial) -> Vec<u8> {
    IssuerIdentity::of(&issuer(server)).cert_id(FORM, serial)
}

fn request(server: &Server, serial: Serial) -> Vec<u8> {
    OcspRequest::write(&cert_id(server, serial), None)
}

async fn issued(server: &Server) -> (Vec<u8>, Serial) {
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["ocsp.localhost"]).await;
    let leaf = client.chain(&account, &issued.object).await.remove(0);
    let serial = Certificate::from_der(&leaf).expect("a certificate").serial();
    (leaf, serial)
}

#[tokio::test]
async fn an_answer_can_be_kept_until_it_ends_and_a_revocation_is_told_at_once() {
    let mut server = Server::start("").await;
    let (leaf, serial) = issued(&server).await;
    let request = request(&server, serial);
    let by_post = post(&server, &request).await;
    assert_eq!(by_post.status(), CertStatus::Good);
    let path = BASE64.encode(&request).replace('/', "%2F").replace('+', "%2B");
    let by_get = get(&server, &path, "").await;
    assert_eq!((by_get.status(), &by_get.body), (CertStatus::Good, &by_post.body));
    assert_eq!(by_get.header("cache-control"), Some("max-age=3600, public, no-transform, must-revalidate"));
    for name in ["last-modified", "expires"] {
        assert!(by_get.header(name).is_some_and(|date| date.ends_with(" GMT")), "{name}: {}", by_get.head);
    }
    let tag = by_get.header("etag").expect("a tag").to_owned();
    let again = get(&server, &path, &format!("\r\nIf-None-Match: {tag}")).await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag.as_str())));
    let length = by_get.body.len().to_string();
    let modified = by_get.header("last-modified").expect("a date").to_owned();
    let other = format!("\r\nIf-None-Match: \"{}\"\r\nIf-Modified-Since: {modified}", "0".repeat(32));
    for (asked, known) in [
        (format!("\r\nIf-None-Match: {tag}"), true),
        (format!("\r\nIf-None-Match: \"another\", W/{tag}"), true),
        // Of this second there may be one that says something else.
        (format!("\r\nIf-Modified-Since: {modified}"), false),
        ("\r\nIf-Modified-Since: Fri, 31 Dec 2199 23:59:59 GMT".to_owned(), false),
        (other, false),
    ] {
        let answer = get(&server, &path, &asked).await;
        assert_eq!(answer.status, if known { 304 } else { 200 }, "{asked}");
        // Where nothing is sent, it is the length of what is not sent, or none (RFC 9110 §8.6).
        let expected = Some(length.as_str()).filter(|_| !known);
        assert_eq!((answer.header("content-length"), answer.body.is_empty()), (expected, known), "{}", answer.head);
    }
    let head = send(&server, &format!("HEAD /ocsp/{path} HTTP/1.1"), &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(by_get.body.len().to_string().as_str()));

    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    client.ready(&account, &["ocsp.localhost"]).await;
    let asked = json!({ "certificate": base64url_encode(&leaf), "reason": 5 });
    assert_eq!(client.post(&account, "/revoke-cert", &asked).await.status, 200);
    let revoked = get(&server, &path, &format!("\r\nIf-None-Match: {tag}")).await;
    assert!(matches!(revoked.status(), CertStatus::Revoked { .. }), "{}", revoked.head);
    server.kill().await;
    server.start_again();
    server.wait_until_it_serves().await;
    assert_eq!(post(&server, &request).await.status(), revoked.status());
    server.assert_sound().await;
}

#[tokio::test]
async fn bad_input_gets_the_protocols_own_error() {
    let server = Server::start("").await;
    let (_, serial) = issued(&server).await;
    let good = request(&server, serial);
    let path = BASE64.encode(&good);
    let many = {
        let id = cert_id(&server, serial);
        let length = u32::try_from(id.len()).expect("it is short");
        let one = [&[0x30, u8::try_from(length).expect("it is short")], &id[..]].concat();
        one.repeat(10_000)
    };
    for (body, what) in [
        (&[][..], "nothing"),
        (b"GET me a status", "text"),
        (&good[..good.len() - 1], "one octet less"),
        (&[&good[..], &[0]].concat(), "one octet more"),
        (&[0x30; 10_241], "too long"),
        (&many, "10,000 certificates"),
    ] {
        let answer = post(&server, body).await;
        assert!(answer.status == 200 && answer.is(OcspError::MalformedRequest), "{what}: {}", answer.head);
    }
    for (path, what) in [
        ("*".to_owned(), "no base64"),
        (path[1..].to_owned(), "its first character is missing"),
        (format!("{path}%2"), "half an octet"),
        ("M".repeat(5_000), "too long"),
        ("%00".to_owned(), "zero"),
        (String::new(), "nothing"),
    ] {
        let answer = get(&server, &path, "").await;
        assert!(answer.status == 200 && answer.is(OcspError::MalformedRequest), "{what}: {}", answer.head);
    }
    let unknown = request(&server, Serial::from_random([9; 16]));
    assert!(post(&server, &unknown).await.is(OcspError::Unauthorized));
    let root = std::fs::read_to_string(server.data().join("root.pem")).expect("the root is there");
    let root = Certificate::from_der(&crate::support::client::certificates(&root)[0]).expect("a certificate");
    let foreign = OcspRequest::write(&IssuerIdentity::of(&root).cert_id(FORM, serial), None);
    assert!(post(&server, &foreign).await.is(OcspError::Unauthorized));
    for method in ["PUT", "DELETE"] {
        assert_eq!(send(&server, &format!("{method} /ocsp HTTP/1.1"), &[]).await.status, 405);
    }
    for spelling in [format!("/{path}"), path.replace('/', "%2f"), path.trim_end_matches('=').to_owned()] {
        assert_eq!(get(&server, &spelling, "").await.status(), CertStatus::Good, "{spelling}");
    }
    assert_eq!(send(&server, "POST /ocsp/ HTTP/1.1", &good).await.status(), CertStatus::Good);
}

#[tokio::test]
async fn a_serial_that_waits_is_an_error_of_the_server() {
    let slow = "[[profile]]\nname = \"classic\"\nct = \"none\"\nbaseline = false\n[dev]\nissuance-delay = 60";
    let server = Server::start(slow).await;
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let ready = client.ready(&account, &["waits.localhost"]).await;
    let payload = json!({ "csr": base64url_encode(&csr(&SubjectKey::new(), &["waits.localhost"])) });
    assert_eq!(client.post(&account, text(&ready.1["finalize"]), &payload).await.status, 200);
    let serial = within(PATIENCE, "its serial is allocated", async {
        loop {
            let waiting = server.json(&["cert", "list", "--status", "wait"]).await;
            if let Some(serial) = waiting[0]["serial"].as_str() {
                return serial.parse::<Serial>().expect("a serial");
            }
        }
    })
    .await;
    let request = request(&server, serial);
    let by_get = get(&server, &BASE64.encode(&request).replace('/', "%2F"), "").await;
    for answer in [post(&server, &request).await, by_get] {
        assert!(answer.status == 500 && answer.is(OcspError::InternalError), "{}", answer.head);
    }
}

/// What an answer says, verified up to the issuer; the responder that it carries.
fn verified(server: &Server, der: &[u8]) -> (CertStatus, Certificate) {
    let Ok(OcspResponse::Successful(basic)) = OcspResponse::from_der(der) else { panic!("{der:?}") };
    let responder = basic.certificate().expect("a delegated responder").clone();
    responder.verify_signed_by(issuer(server).public_key()).expect("the issuer's signature");
    basic.verify_signed_by(responder.public_key()).expect("the responder's signature");
    let single = &basic.data().expect("a ResponseData").responses[0];
    let validity = responder.validity();
    assert!(validity.not_before <= single.this_update && single.next_update.expect("an end") <= validity.not_after);
    (single.status.expect("a status that is known"), responder)
}

#[tokio::test]
async fn a_new_key_of_the_responder_takes_over_and_answers_of_the_old_one_stay_valid() {
    let mut server = Server::start("[ocsp]\nin-certificates = true").await;
    let (_, serial) = issued(&server).await;
    let request = request(&server, serial);
    let of_old = post(&server, &request).await.body;
    assert!(server.terminate().await.success());
    std::fs::remove_file(server.data().join("keys/ocsp.pem")).expect("it has a key");
    server.start_again();
    server.wait_until_it_serves().await;
    let of_new = post(&server, &request).await.body;
    let path = BASE64.encode(&request).replace('/', "%2F");
    assert_eq!(get(&server, &path, "").await.body, of_new);
    let ((old_status, old), (new_status, new)) = (verified(&server, &of_old), verified(&server, &of_new));
    assert_eq!((old_status, new_status), (CertStatus::Good, CertStatus::Good));
    assert_ne!(old.public_key(), new.public_key());
    server.kill().await;
    server.start_again();
    server.wait_until_it_serves().await;
    assert_eq!(verified(&server, &post(&server, &request).await.body).1, new, "it is used again");
    server.assert_sound().await;
}

/// The certificate of the responder is made by the server, not by who asks: however often clients hang up, it is made
/// once.
#[tokio::test]
async fn clients_that_hang_up_leave_nothing_behind() {
    let mut server = Server::start("").await;
    let (_, serial) = issued(&server).await;
    let request = request(&server, serial);
    for _ in 0..20 {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.status_port())).await.expect("it listens");
        let head = format!("POST /ocsp HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", request.len());
        stream.write_all(&[head.as_bytes(), &request[..]].concat()).await.expect("it takes a request");
    }
    let (_, responder) = verified(&server, &post(&server, &request).await.body);
    server.kill().await;
    server.start_again();
    server.wait_until_it_serves().await;
    assert_eq!(verified(&server, &post(&server, &request).await.body).1, responder);
    server.assert_sound().await;
}
