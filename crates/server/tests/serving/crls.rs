//! CRLs and issuers' certificates, as relying parties fetch and judge them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use acme::{Algorithm, base64url_encode};
use pki::{Certificate, Crl, Reason};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::client::Client;
use crate::support::server::{Server, run, temporary_folder};
use crate::support::world::within;

/// A revocation that is not on its CRL by then never comes.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Fetched {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Fetched {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// All that is sent until the connection ends.
async fn octets_of(server: &Server, method: &str, path: &str, headers: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.status_port())).await.expect("it listens");
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("it takes a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("it answers");
    answer
}

/// Whether less came than was announced, or nothing at all.
fn is_broken_off(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|octets| octets == b"\r\n\r\n") else { return true };
    let head = String::from_utf8_lossy(&answer[..end]);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    answer.len() - end - 4 < length.parse().expect("a number")
}

pub(super) async fn ask(server: &Server, method: &str, path: &str, headers: &str) -> Fetched {
    let mut answer = octets_of(server, method, path, headers).await;
    let end = answer.windows(4).position(|octets| octets == b"\r\n\r\n").expect("an answer has a head");
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).expect("a head is text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an answer has a status");
    Fetched { status, head, body }
}

pub(super) fn path_of(url: &str) -> String {
    format!("/{}", url.splitn(4, '/').last().expect("URLs have paths"))
}

/// A certificate with its chain.
pub(super) async fn issued(client: &mut Client) -> (crate::support::account::Account, Vec<Vec<u8>>) {
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["crl.localhost"]).await;
    let chain = client.chain(&account, &issued.object).await;
    (account, chain)
}

pub(super) async fn openssl(folder: &Path, line: &str) -> (bool, String) {
    let output = run(Command::new("openssl").args(line.split_whitespace()).current_dir(folder)).await;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

pub(super) async fn write_pem(folder: &Path, name: &str, certificates: &[Vec<u8>]) {
    let pem: String = certificates.iter().map(|der| pki::pem::encode("CERTIFICATE", der)).collect();
    fs::write(folder.join(name), pem).expect("a file can be written");
}

/// Fetches the CRL of a certificate until it has this many entries.
#[allow(clippy::disallowed_methods, reason = "a CRL is made in its own time, and nobody is told of it")]
pub(super) async fn until_listed(server: &Server, path: &str, entries: usize) -> Fetched {
    let begun = Instant::now();
    loop {
        let fetched = ask(server, "GET", path, "").await;
        if fetched.status == 200 && Crl::from_der(&fetched.body).expect("a CRL").entries().len() == entries {
            return fetched;
        }
        assert!(begun.elapsed() < PATIENCE, "{} {}", fetched.status, fetched.text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn openssl_finds_a_certificate_good_and_then_revoked() {
    let server = Server::start("").await;
    let mut client = server.client();
    let (account, chain) = issued(&mut client).await;
    let leaf = Certificate::from_der(&chain[0]).expect("a certificate");
    let path = path_of(leaf.crl_url().expect("it names its CRL"));
    let folder = server.path("");
    write_pem(&folder, "leaf.pem", &chain[..1]).await;
    write_pem(&folder, "issuer.pem", &chain[1..]).await;
    fs::copy(server.data().join("root.pem"), folder.join("root-of-all.pem")).expect("a file can be copied");
    let verify = "verify -crl_check -CAfile root-of-all.pem -untrusted issuer.pem -CRLfile crl.pem leaf.pem";
    let to_pem = "crl -inform DER -in crl.der -CAfile issuer.pem -out crl.pem";

    let before = until_listed(&server, &path, 0).await;
    fs::write(folder.join("crl.der"), &before.body).expect("a file can be written");
    let (_, said) = openssl(&folder, to_pem).await;
    assert!(said.contains("verify OK"), "{said}");
    let (good, said) = openssl(&folder, verify).await;
    assert!(good, "{said}");

    let certificate = base64url_encode(&chain[0]);
    let answer = client.post(&account, "/revoke-cert", &json!({ "certificate": certificate, "reason": 4 })).await;
    assert_eq!(answer.status, 200);
    let after = until_listed(&server, &path, 1).await;
    fs::write(folder.join("crl.der"), &after.body).expect("a file can be written");
    let (_, said) = openssl(&folder, to_pem).await;
    assert!(said.contains("verify OK"), "{said}");
    let (good, said) = openssl(&folder, verify).await;
    assert!(!good && said.contains("certificate revoked"), "{said}");

    let (before, after) = (Crl::from_der(&before.body).expect("a CRL"), Crl::from_der(&after.body).expect("a CRL"));
    assert!(after.number() > before.number() && after.this_update() > before.this_update());
    assert_eq!(after.distribution_point(), leaf.crl_url(), "byte for byte what certificates say");
}

#[tokio::test]
async fn crls_are_served_with_validators_and_in_parts() {
    let server = Server::start("").await;
    let mut client = server.client();
    let (_, chain) = issued(&mut client).await;
    let leaf = Certificate::from_der(&chain[0]).expect("a certificate");
    let path = path_of(leaf.crl_url().expect("it names its CRL"));
    let whole = until_listed(&server, &path, 0).await;
    assert_eq!(whole.header("content-type"), Some("application/pkix-crl"));
    assert_eq!(whole.header("content-length"), Some(whole.body.len().to_string().as_str()));
    let tag = whole.header("etag").expect("it has a tag");
    let modified = whole.header("last-modified").expect("it has a time");
    let age = whole.header("cache-control").and_then(|value| value.strip_prefix("public, max-age="));
    assert!(age.and_then(|age| age.parse::<u32>().ok()).is_some_and(|age| age <= 3600), "{age:?}");

    let head = ask(&server, "HEAD", &path, "").await;
    assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, Some(tag)));
    assert_eq!(head.header("content-length"), whole.header("content-length"));
    for known in [format!("If-None-Match: {tag}\r\n"), format!("If-Modified-Since: {modified}\r\n")] {
        let answer = ask(&server, "GET", &path, &known).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
    }
    let range = ask(&server, "GET", &path, "Range: bytes=5-299\r\n").await;
    assert_eq!((range.status, &range.body[..]), (206, &whole.body[5..300]));
    let of = format!("bytes 5-299/{}", whole.body.len());
    assert_eq!(range.header("content-range"), Some(of.as_str()));
    let last = ask(&server, "GET", &path, "Range: bytes=-7\r\n").await;
    assert_eq!((last.status, &last.body[..]), (206, &whole.body[whole.body.len() - 7..]));
    let other = ask(&server, "GET", &path, "Range: bytes=0-9\r\nIf-Range: \"another\"\r\n").await;
    assert_eq!((other.status, other.body.len()), (200, whole.body.len()));
    assert_eq!(ask(&server, "GET", &path, "Range: bytes=100000-\r\n").await.status, 416);
}

#[tokio::test]
async fn crl_with_a_damaged_part_is_broken_off() {
    let mut server = Server::start("").await;
    let mut client = server.client();
    let (account, chain) = issued(&mut client).await;
    let leaf = Certificate::from_der(&chain[0]).expect("a certificate");
    let path = path_of(leaf.crl_url().expect("a URL"));
    let asked = json!({ "certificate": base64url_encode(&chain[0]), "reason": 4 });
    assert_eq!(client.post(&account, "/revoke-cert", &asked).await.status, 200);
    let whole = until_listed(&server, &path, 1).await.body;
    let serial = leaf.serial();
    let listed = whole.windows(serial.as_bytes().len()).position(|octets| octets == serial.as_bytes());
    let within_the_part = format!("Range: bytes={}-\r\n", listed.expect("it is listed"));
    assert!(server.terminate().await.success());
    let database = rusqlite::Connection::open(server.data().join("cairn.db")).expect("a database");
    for octets in [&[][..], &[0x30]] {
        database.execute("UPDATE crl_parts SET octets = ?1", [octets]).expect("it can be damaged");
        server.start_again();
        server.wait_until_it_serves().await;
        for range in ["", &within_the_part] {
            let answer = within(PATIENCE, "it ends", octets_of(&server, "GET", &path, range)).await;
            assert!(is_broken_off(&answer), "{octets:?} {range}");
        }
        assert!(server.terminate().await.success());
    }
}

#[tokio::test]
async fn shard_or_issuer_that_is_not_there_is_said_to_be_missing() {
    let server = Server::start("").await;
    let mut client = server.client();
    let (_, chain) = issued(&mut client).await;
    let path = path_of(Certificate::from_der(&chain[0]).expect("a certificate").crl_url().expect("a URL"));
    let issuer = path.rsplit_once('/').expect("a path").0;
    for (path, said) in [
        (format!("{issuer}/4.crl"), "0.crl to 3.crl"),
        (format!("{issuer}/00.crl"), "0.crl to 3.crl"),
        (format!("{issuer}/99999999999999999999.crl"), "0.crl to 3.crl"),
        ("/crl/0000000000000000/0.crl".to_owned(), "no issuer of that name"),
        ("/issuer/0000000000000000.cer".to_owned(), "no issuer of that name"),
        ("/crl/".to_owned(), "nothing here"),
    ] {
        let answer = ask(&server, "GET", &path, "").await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().contains(said), "{path}: {}", answer.text());
    }
    for (der, form) in [(&chain[1], "cer"), (&chain[1], "pem")] {
        let label = issuer.rsplit_once('/').expect("a path").1;
        let answer = ask(&server, "GET", &format!("/issuer/{label}.{form}"), "").await;
        let expected = if form == "cer" { der.clone() } else { pki::pem::encode("CERTIFICATE", der).into_bytes() };
        assert_eq!((answer.status, answer.body), (200, expected), "{form}");
    }
}

#[tokio::test]
async fn roots_crl_is_made_where_its_key_is_and_brought_in() {
    let server = Server::start("").await;
    let (away, data) = (temporary_folder(), server.data());
    let at = |name: &str| away.path().join(name).display().to_string();
    fs::rename(data.join("keys/root.pem"), at("root.key")).expect("the key is taken away");
    let root = data.join("root.pem").display().to_string();
    let (key, last, new) = (at("root.key"), data.join("root.crl").display().to_string(), at("new.crl"));
    let made = ["root", "crl", "--key", &key, "--root", &root, "--last", &last, "--out", &new, "--revoke", "4c0102"];
    let output = server.command(&made).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let crl = Crl::from_der(&fs::read(&new).expect("it is there")).expect("a CRL");
    assert_eq!((crl.number(), crl.entries().len()), (2, 1));

    let forged = fs::read(&new).map(|mut der| {
        let last = der.len() - 1;
        der[last] ^= 1;
        der
    });
    fs::write(at("forged.crl"), forged.expect("it is there")).expect("a file can be written");
    let output = server.command(&["root", "crl", "--import", &at("forged.crl")]).await;
    assert_eq!(output.status.code(), Some(1));
    let output = server.command(&["root", "crl", "--import", &new]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = server.command(&["root", "crl", "--import", &new]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("it has to grow"), "{said}");
}

#[tokio::test]
async fn roots_crl_is_written_to_a_bare_file_name() {
    let (server, away) = (Server::start("").await, temporary_folder());
    fs::write(away.path().join("x.part"), "mine").expect("a file can be written");
    for arguments in [["--out", "x.crl"], ["--import", "x.crl"]] {
        let output = server.command_in(away.path(), &[&["root", "crl"], &arguments[..]].concat()).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let names = fs::read_dir(away.path()).expect("it can be read").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["x.crl", "x.part"]);
    assert_eq!(fs::read(away.path().join("x.part")).expect("it is there"), b"mine");
    let brought = fs::read(server.data().join("root.crl")).expect("it is there");
    assert_eq!(fs::read(away.path().join("x.crl")).expect("it is there"), brought);
}

#[tokio::test]
async fn intermediate_is_revoked_for_what_may_stand_of_a_ca() {
    let (server, away) = (Server::start("").await, temporary_folder());
    let made = |reason: &'static str| {
        let asked = ["root", "crl", "--out", "x.crl", "--revoke", "4c0102", "--reason", reason];
        let (server, away) = (&server, away.path());
        async move { server.command_in(away, &asked).await }
    };
    for (asked, reason) in
        [("2", Reason::CaCompromise), ("superseded", Reason::Superseded), ("9", Reason::PrivilegeWithdrawn)]
    {
        let output = made(asked).await;
        assert!(output.status.success(), "{asked}: {}", String::from_utf8_lossy(&output.stderr));
        let crl = Crl::from_der(&fs::read(away.path().join("x.crl")).expect("it is there")).expect("a CRL");
        assert_eq!(crl.entries().iter().map(|entry| entry.reason).collect::<Vec<_>>(), [reason], "{asked}");
    }
    for asked in ["0", "unspecified", "6", "removeFromCRL", "aACompromise", "7", "11", "because"] {
        let output = made(asked).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains("BR 7.2.2"), "{asked}: {said}");
    }
}
