//! CRLs in S3-compatible storage: against moto's server, which verifies the signature of each request and whether its
//! key may do what it asks. `./test` installs it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use acme::{Algorithm, base64url_encode};
use pki::{Certificate, Crl};
use serde_json::json;
use server::config::{S3Credentials, S3Settings};
use server::publication::{Bucket, Destination, Pieces, PublishedFile};
use server::world::SystemClock;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::ports::free_port;
use crate::support::server::{Launch, Server, run, temporary_folder};
use crate::support::world::{PATIENCE, within};

/// What was revoked is there by then, after some tries that failed; Python takes its time to start.
const PUBLISHED: Duration = Duration::from_secs(120);
/// Names nothing that another test or person has.
const WRONG_SECRET: &str = "wrongwrongwrongwrongwrongwrongwrongwrong";

/// A server of S3 with a bucket and a key that may publish into it. It ends with this value.
struct Storage {
    _process: Child,
    endpoint: String,
    bucket: String,
    key: (String, String),
    folder: TempDir,
}

fn installed() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder").join("moto/bin")
}

impl Storage {
    async fn start(bucket: &str) -> Self {
        Self::start_on(0, bucket).await
    }

    async fn start_on(port: u16, bucket: &str) -> Self {
        let mut process = Command::new(installed().join("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("./test installs moto");
        let mut lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let told = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, endpoint)) = line.split_once("Running on ") {
                    return endpoint.trim().to_owned();
                }
            }
            panic!("moto ended")
        };
        let endpoint = within(PATIENCE, "moto serves", told).await;
        // Nobody reads what else it says, and it must not wait for that.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let mut storage = Self {
            _process: process,
            endpoint,
            bucket: bucket.to_owned(),
            key: ("operator".to_owned(), "operator".to_owned()),
            folder: temporary_folder(),
        };
        let said = storage.other_side(&["make", bucket]).await.expect("a bucket can be made");
        storage.key = serde_json::from_slice(&said).expect("it prints a key");
        storage
    }

    /// Asks by boto3.
    async fn other_side(&self, arguments: &[&str]) -> Option<Vec<u8>> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/s3.py");
        let mut python = Command::new(installed().join("python"));
        python.arg(script).arg(&self.endpoint).args(arguments);
        python.env("AWS_ACCESS_KEY_ID", &self.key.0).env("AWS_SECRET_ACCESS_KEY", &self.key.1);
        let output = run(&mut python).await;
        output.status.success().then_some(output.stdout)
    }

    /// An object, with its type and how long it may be kept.
    async fn get(&self, name: &str) -> Option<(Vec<u8>, String, String)> {
        let file = self.folder.path().join("object");
        let path = file.to_str().expect("temporary folders have plain names");
        let said = self.other_side(&["get", &self.bucket, name, path]).await?;
        let (content_type, age) = serde_json::from_slice(&said).expect("it prints headers");
        Some((std::fs::read(file).expect("it was written"), content_type, age))
    }

    fn configuration(&self) -> String {
        configuration(&self.endpoint, &self.bucket)
    }

    fn launch(&self, secret: &str) -> Launch {
        let environment = [("AWS_ACCESS_KEY_ID", self.key.0.as_str()), ("AWS_SECRET_ACCESS_KEY", secret)];
        Launch {
            environment: environment.map(|(name, value)| (name, OsString::from(value))).to_vec(),
            ..Launch::default()
        }
    }

    /// Fetches a CRL until it has this many entries.
    #[allow(clippy::disallowed_methods, reason = "a CRL is published in its own time, and nobody is told of it")]
    async fn until_listed(&self, name: &str, entries: usize) -> (Crl, String, String) {
        let begun = Instant::now();
        loop {
            if let Some((der, content_type, age)) = self.get(name).await {
                let crl = Crl::from_der(&der).expect("a CRL, whole");
                if crl.entries().len() == entries {
                    return (crl, content_type, age);
                }
            }
            assert!(begun.elapsed() < PUBLISHED, "{name} is not there with {entries} entries");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn configuration(endpoint: &str, bucket: &str) -> String {
    format!("[crl.publish.s3]\nbucket = \"{bucket}\"\nendpoint = \"{endpoint}\"\nprefix = \"pki/live\"\n")
}

/// Waits for a line of the server's log.
#[allow(clippy::disallowed_methods, reason = "a log is written in its own time")]
async fn until_logged(server: &Server, what: &str) {
    let begun = Instant::now();
    while server.logged(what) == 0 {
        assert!(begun.elapsed() < PUBLISHED, "{what:?} is not in the log");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A certificate, the issuer's, and the name of its CRL in the bucket.
async fn issued(server: &Server) -> (crate::support::account::Account, [Certificate; 2], String) {
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["s3.localhost"]).await;
    let chain = client.chain(&account, &issued.object).await;
    let [leaf, issuer] = [0, 1].map(|place| Certificate::from_der(&chain[place]).expect("a certificate"));
    let path = leaf.crl_url().and_then(|url| url.splitn(4, '/').last()).expect("it names its CRL").to_owned();
    (account, [leaf, issuer], format!("pki/live/{path}"))
}

async fn revoke(server: &Server, account: &crate::support::account::Account, leaf: &Certificate) {
    let certificate = base64url_encode(leaf.der());
    let answer = server.client().post(account, "/revoke-cert", &json!({ "certificate": certificate })).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn revocation_is_seen_in_the_bucket_and_a_wrong_key_is_told_in_one_line() {
    let storage = Storage::start("crls").await;
    let launch = storage.launch(&storage.key.1);
    let mut server = Server::start_in(&storage.configuration(), temporary_folder(), launch).await;
    let (account, [leaf, issuer], name) = issued(&server).await;
    let (before, content_type, age) = storage.until_listed(&name, 0).await;
    assert_eq!((content_type.as_str(), age.as_str()), ("application/pkix-crl", "public, max-age=3600"));
    let (certificate, content_type, _) = storage.get(&name_of_issuer(&issuer)).await.expect("it is there");
    assert_eq!((certificate.as_slice(), content_type.as_str()), (issuer.der(), "application/pkix-cert"));

    revoke(&server, &account, &leaf).await;
    let (after, _, _) = storage.until_listed(&name, 1).await;
    after.verify_signed_by(issuer.public_key()).expect("the issuer signed it");
    assert_eq!((after.entries()[0].serial, after.distribution_point()), (leaf.serial(), leaf.crl_url()));
    assert!(after.number() > before.number());

    // The same with a key that was typed wrong.
    server.launch = storage.launch(WRONG_SECRET);
    server.reconfigure(&storage.configuration()).await;
    until_logged(&server, "SignatureDoesNotMatch").await;
    for (what, times) in [(WRONG_SECRET, 0), (storage.key.1.as_str(), 0), ("<Error>", 0)] {
        assert_eq!(server.logged(what), times, "{what}");
    }
    assert!(server.logged("look at the key that requests are signed with") > 0);
}

fn name_of_issuer(issuer: &Certificate) -> String {
    format!("pki/live{}", ca::urls::issuer(&issuer.public_key().spki_hash()))
}

#[tokio::test]
async fn what_was_revoked_while_storage_was_away_is_there_when_it_is_back() {
    let port = free_port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let server = {
        let folder = temporary_folder();
        std::fs::write(folder.path().join("key"), "").expect("a file can be written");
        let credentials = format!("credentials = \"{}\"\n", folder.path().join("key").display());
        let configuration = configuration(&endpoint, "later") + &credentials;
        Server::start_in(&configuration, folder, Launch::default()).await
    };
    // First there is no key, then nobody who would take it.
    until_logged(&server, "aws_access_key_id").await;
    let (account, [leaf, issuer], name) = issued(&server).await;
    revoke(&server, &account, &leaf).await;
    let key = |id: &str, secret: &str| {
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        std::fs::write(server.path("key"), text).expect("a file can be written");
    };
    key("early", "early");
    until_logged(&server, "Connection refused").await;

    let storage = Storage::start_on(port, "later").await;
    key(&storage.key.0, &storage.key.1);
    let (crl, _, _) = storage.until_listed(&name, 1).await;
    crl.verify_signed_by(issuer.public_key()).expect("the issuer signed it");
    assert_eq!(crl.entries()[0].serial, leaf.serial());
}

#[tokio::test]
async fn large_file_is_sent_in_parts_and_is_there_as_a_whole() {
    let storage = Storage::start("large").await;
    let file = storage.folder.path().join("key");
    let key = format!("aws_access_key_id = {}\naws_secret_access_key = {}\n", storage.key.0, storage.key.1);
    std::fs::write(&file, key).expect("a file can be written");
    let settings = S3Settings {
        bucket: storage.bucket.clone(),
        endpoint: Some(storage.endpoint.clone()),
        region: "us-east-1".to_owned(),
        prefix: String::new(),
        virtual_hosted: false,
        credentials: S3Credentials::File(file),
        tls_roots: None,
    };
    let bucket = Bucket::open(&settings, Arc::new(SystemClock::new())).expect("it can be used");
    assert!(bucket.start("/crl/a/0.crl").await.expect("it answers").is_none());
    // Two parts and a little.
    let contents: Vec<u8> =
        (0..17_000_000_u32).map(|place| place.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let published = PublishedFile {
        path: "/crl/a/0.crl".to_owned(),
        octets: contents.len() as u64,
        content_type: "application/pkix-crl",
        age_max: Duration::from_secs(60),
    };
    let mut pieces = Pieces::Whole(Some(contents.clone().into()));
    bucket.replace(&published, &mut pieces).await.expect("it can be published");
    let (found, content_type, age) = storage.get("crl/a/0.crl").await.expect("it is there");
    assert!(found == contents, "{} octets", found.len());
    assert_eq!((content_type.as_str(), age.as_str()), ("application/pkix-crl", "public, max-age=60"));
    let (start, octets) = bucket.start("/crl/a/0.crl").await.expect("it answers").expect("it is there");
    assert_eq!((&start[..], octets), (&contents[..4096], contents.len() as u64));
    let middle = bucket.read("/crl/a/0.crl", 8_388_600..8_388_620).await.expect("it answers");
    assert_eq!(&middle[..], &contents[8_388_600..8_388_620]);

    let elsewhere = S3Settings { bucket: "elsewhere".to_owned(), ..settings };
    let bucket = Bucket::open(&elsewhere, Arc::new(SystemClock::new())).expect("it can be asked");
    let error = bucket.replace(&published, &mut Pieces::Whole(Some(contents.into()))).await.expect_err("it may not");
    let text = error.to_string();
    assert!(text.contains("bucket elsewhere at http://127.0.0.1") && text.contains("s3:PutObject"), "{text}");
    assert!(!text.contains('\n'), "{text}");
}
