//! The number of CRL shards, and their URL, are changed: relying parties find the CRLs of all certificates.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use acme::base64url_encode;
use pki::{Certificate, Crl};
use serde_json::json;

use super::crls::{PATIENCE, ask, issued, openssl, path_of, until_listed, write_pem};
use crate::support::account::Account;
use crate::support::server::Server;

/// A certificate, who has it, and the path of its CRL.
struct Leaf {
    account: Account,
    chain: Vec<Vec<u8>>,
    certificate: Certificate,
    path: String,
}

impl Leaf {
    async fn issued(server: &Server) -> Self {
        let (account, chain) = issued(&mut server.client()).await;
        let certificate = Certificate::from_der(&chain[0]).expect("a certificate");
        let path = path_of(certificate.crl_url().expect("it names its CRL"));
        Self { account, chain, certificate, path }
    }

    fn shard(&self) -> u16 {
        let file = self.path.rsplit('/').next().and_then(|file| file.strip_suffix(".crl")).expect("a CRL");
        file.parse().expect("a number")
    }

    fn says(&self, url: &str) -> bool {
        self.certificate.crl_url().expect("it names its CRL").starts_with(url)
    }

    async fn revoke(&self, server: &Server) {
        let asked = json!({ "certificate": base64url_encode(&self.chain[0]), "reason": 4 });
        let answer = server.client().post(&self.account, "/revoke-cert", &asked).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Fetches its CRL when it lists so many, which says of itself what the certificate does.
    async fn crl(&self, server: &Server, entries: usize) -> Crl {
        let crl = Crl::from_der(&until_listed(server, &self.path, entries).await.body).expect("a CRL");
        assert_eq!(crl.distribution_point(), self.certificate.crl_url(), "byte for byte what the certificate says");
        crl
    }

    /// Whether OpenSSL finds it good, with what is fetched now.
    async fn is_good(&self, server: &Server) -> bool {
        let folder = server.path("");
        write_pem(&folder, "leaf.pem", &self.chain[..1]).await;
        write_pem(&folder, "issuer.pem", &self.chain[1..]).await;
        fs::copy(server.data().join("root.pem"), folder.join("root-of-all.pem")).expect("a file can be copied");
        let fetched = ask(server, "GET", &self.path, "").await;
        assert_eq!(fetched.status, 200);
        fs::write(folder.join("crl.der"), &fetched.body).expect("a file can be written");
        let (_, said) = openssl(&folder, "crl -inform DER -in crl.der -CAfile issuer.pem -out crl.pem").await;
        assert!(said.contains("verify OK"), "{said}");
        let verify = "verify -crl_check -CAfile root-of-all.pem -untrusted issuer.pem -CRLfile crl.pem leaf.pem";
        let (good, said) = openssl(&folder, verify).await;
        assert!(good || said.contains("certificate revoked"), "{said}");
        good
    }
}

/// Waits until the folder of another web server has the CRL with this number.
#[allow(clippy::disallowed_methods, reason = "a CRL is published in its own time, and nobody is told of it")]
async fn until_published(folder: &Path, leaf: &Leaf, number: u64) {
    let (file, begun) = (folder.join(&leaf.path[1..]), Instant::now());
    loop {
        let crl = fs::read(&file).ok().and_then(|der| Crl::from_der(&der).ok());
        if crl.is_some_and(|crl| crl.number() >= number && crl.distribution_point() == leaf.certificate.crl_url()) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{} lacks CRL {number}", file.display());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn configuration(url: &str, shards: u16, publish: &Path) -> String {
    let folder = publish.display();
    format!("status-url = \"{url}\"\n[crl]\nshards = {shards}\n[crl.publish]\nfolder = \"{folder}\"")
}

#[tokio::test]
async fn certificates_keep_their_crls_when_shards_and_url_change_and_change_back() {
    const CHANGED: &str = "new certificates say these CRL shards";
    let mut server = Server::start("[crl]\nshards = 2").await;
    let (here, there) = ("http://localhost:", format!("http://127.0.0.1:{}", server.status_port()));
    let before = format!("{here}{}", server.status_port());
    let publish = server.path("www");
    let old = Leaf::issued(&server).await;
    let first = old.crl(&server, 0).await;
    assert!(old.shard() < 2 && old.says(here) && old.is_good(&server).await);

    server.reconfigure(&configuration(&there, 5, &publish)).await;
    let new = Leaf::issued(&server).await;
    assert!((2..7).contains(&new.shard()) && new.says(&there), "{}", new.path);
    new.crl(&server, 0).await;
    assert!(old.is_good(&server).await && new.is_good(&server).await);
    old.revoke(&server).await;
    new.revoke(&server).await;
    for leaf in [&old, &new] {
        let crl = leaf.crl(&server, 1).await;
        assert_eq!(crl.entries()[0].serial, leaf.certificate.serial());
        assert!(!leaf.is_good(&server).await);
        until_published(&publish, leaf, crl.number()).await;
    }
    assert!(old.crl(&server, 1).await.number() > first.number());
    let missing = ask(&server, "GET", &new.path.replace(&format!("/{}.crl", new.shard()), "/7.crl"), "").await;
    assert_eq!(missing.status, 404);

    // Nothing is begun by a start that changes nothing, nor by one that goes back.
    server.reconfigure(&configuration(&there, 5, &publish)).await;
    assert_eq!(server.logged(CHANGED), 1);
    server.reconfigure(&configuration(&before, 2, &publish)).await;
    let again = Leaf::issued(&server).await;
    assert!(again.shard() < 2 && again.says(here), "{}", again.path);
    assert_eq!(server.logged(CHANGED), 2);
    again.revoke(&server).await;
    let of_old = if again.shard() == old.shard() { 2 } else { 1 };
    again.crl(&server, of_old).await;
    assert!(!again.is_good(&server).await && !old.is_good(&server).await && !new.is_good(&server).await);
    let published = fs::read_to_string(server.data().join("published.toml")).expect("it is there");
    assert_eq!(published.matches("first = ").count(), 2, "{published}");
    assert!(server.terminate().await.success());
    server.assert_sound().await;
}

#[tokio::test]
async fn a_ca_of_before_there_were_generations_may_change_its_shards() {
    let mut server = Server::start("[crl]\nshards = 2").await;
    let old = Leaf::issued(&server).await;
    old.crl(&server, 0).await;
    let url = format!("http://localhost:{}", server.status_port());
    assert!(server.terminate().await.success());
    let file = server.data().join("published.toml");
    fs::write(&file, format!("regime = \"dev\"\nstatus-url = \"{url}\"\ncrl-shards = 2\n")).expect("written");
    let database = rusqlite::Connection::open(server.data().join("cairn.db")).expect("a database");
    let forget = "DROP TRIGGER crl_generations_are_kept; DELETE FROM crl_generations";
    database.execute_batch(forget).expect("a store of before that has none");
    drop(database);
    server.assert_sound().await;
    server.start_again();
    server.wait_until_it_serves().await;
    assert!(old.is_good(&server).await);
    server.reconfigure("[crl]\nshards = 5").await;
    let new = Leaf::issued(&server).await;
    assert!((2..7).contains(&new.shard()) && new.says(&url));
    old.revoke(&server).await;
    old.crl(&server, 1).await;
    new.crl(&server, 0).await;
    assert!(!old.is_good(&server).await && new.is_good(&server).await);
    assert!(server.terminate().await.success());
    server.assert_sound().await;
}
