//! A real store in a temporary folder, made by the real CA; the world outside says yes to everything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use acme::{Algorithm, ChallengeKind, Header, Jws, KeyChange, NewOrder, SigningKey, Verified, WireIdentifier};
use async_trait::async_trait;
use ca::account::Account;
use ca::authorization::{CaaDecision, CaaRecord, ValidationRecord};
use ca::order::{Order, Outcome, Stage};
use ca::ports::{CaaCheck, ChallengeTest, Clock, SignError, Signed, Signer, SigningRequest, Validated, Validator};
use ca::{Ca, urls};
use keys::{KeyAlgorithm, KeyPair};
use pki::{GeneralName, Serial};

use crate::assembly::Assembly;
use crate::config::{Choices, Config, File};
use crate::fsck::{self, Invariant, Records, RepairError, Repaired, Report, Rules, Severity};

const BASE: &str = "https://ca.test";

/// Control is always shown.
#[derive(Debug)]
struct Shown {
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Validator for Shown {
    async fn validate(&self, test: ChallengeTest) -> (Validated, ValidationRecord) {
        let now = self.clock.now();
        let evidence = vec!["the test says so".to_owned()];
        (Validated::Shown, ValidationRecord { method: test.method, began: now, ended: now, evidence, problem: None })
    }

    fn permits_address(&self, _: std::net::IpAddr) -> Result<(), String> {
        Ok(())
    }

    async fn check_caa(&self, check: CaaCheck) -> CaaRecord {
        let checked = self.clock.now();
        let decision = CaaDecision::Permitted;
        CaaRecord { identifier: check.identifier, checked, ttl_seconds: 0, decision, evidence: Vec::new() }
    }
}

/// A signer that is never reached.
#[derive(Debug)]
struct Away;

#[async_trait]
impl Signer for Away {
    async fn sign(&self, _: SigningRequest) -> Result<Signed, SignError> {
        Err(SignError::NotSigned("it is away".to_owned()))
    }
}

/// A data folder.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    config: Config,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(folder.path().join("data"), &File::default(), &Choices::default()).unwrap();
        Self { folder, config }
    }

    /// A store with two certificates, both logged, and CRLs; stopped.
    pub(crate) async fn with_two_certificates() -> (Self, [Serial; 2]) {
        let scene = Self::new();
        let running = scene.start().await;
        let first = running.issue("a.example.org", None).await;
        let second = running.issue("b.example.org", None).await;
        running.stop().await;
        (scene, [first, second])
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn audit_file(&self) -> PathBuf {
        self.data().join("audit/00000000.jsonl")
    }

    pub(crate) async fn start(&self) -> Running {
        let assembly = Assembly::open(&self.config).await.unwrap();
        let ca = with_validator(&assembly.ca);
        let pair = KeyPair::generate(KeyAlgorithm::P256).unwrap();
        let key = SigningKey::from_pkcs8(Algorithm::Es256, &pair.to_pkcs8_der().unwrap()).unwrap();
        let request = signed(&key, urls::NEW_ACCOUNT, None, b"{}");
        let (account, _) = ca.new_account(request).await.unwrap();
        ca.renew_crls().await.unwrap();
        Running { ca, key, account, _assembly: assembly }
    }

    /// Changes the store as no CA would: without its triggers and checks.
    pub(crate) fn plant(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.data().join("cairn.db")).unwrap();
        let mut triggers = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").unwrap();
        let names: Vec<String> = triggers.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        drop(triggers);
        for name in names {
            connection.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
        }
        connection.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF;").unwrap();
        if !sql.contains("packed") {
            write_out(&connection, "order_documents");
            write_out(&connection, "authorizations");
        }
        connection.execute_batch(sql).unwrap();
        assert!(connection.changes() > 0, "nothing was changed by {sql}");
    }

    /// Changes octets that the store keeps.
    pub(crate) fn plant_octets(&self, table: &str, serial: Serial, change: impl FnOnce(&mut Vec<u8>)) {
        let row = format!("serial = (SELECT row FROM serials WHERE serial = x'{serial}')");
        let connection = rusqlite::Connection::open(self.data().join("cairn.db")).unwrap();
        let select = format!("SELECT der FROM {table} WHERE {row}");
        let mut der: Vec<u8> = connection.query_row(&select, [], |row| row.get(0)).unwrap();
        drop(connection);
        change(&mut der);
        self.plant(&format!("UPDATE {table} SET der = x'{}' WHERE {row}", data_encoding::HEXLOWER.encode(&der)));
    }

    pub(crate) async fn check(&self) -> Report {
        let records = Records::open(&self.data()).unwrap();
        let rules = Rules::of(&self.config.settings, true);
        fsck::check(&records, rules, &mut |_| {}).await.unwrap()
    }

    /// From here on the configuration enforces CAA.
    pub(crate) fn enforce_caa(&mut self) {
        self.config.settings.caa = ca::settings::CaaMode::Enforce;
    }

    /// Repairs what can be.
    pub(crate) async fn repair(&self) -> Result<Repaired, RepairError> {
        fsck::repair(&self.config, Rules::of(&self.config.settings, true), &mut |_| {}).await
    }

    /// The invariant must be found broken, with this severity.
    pub(crate) async fn must_find(&self, severity: Severity, invariant: Invariant) -> Report {
        let report = self.check().await;
        let found = report.findings().iter().any(|one| (one.severity, one.invariant) == (severity, invariant));
        assert!(found, "{invariant} is not among {:#?}", report.findings());
        report
    }
}

/// A CA that runs on the scene's folder.
pub(crate) struct Running {
    pub(crate) ca: Ca,
    key: SigningKey,
    account: Account,
    _assembly: Assembly,
}

impl Running {
    /// Issues a certificate: newOrder, challenge, finalize.
    pub(crate) async fn issue(&self, name: &str, profile: Option<&str>) -> Serial {
        let order = self.finalized(name, profile).await;
        self.ca.work_once(Stage::Issue).await.unwrap();
        let order = self.ca.order(&self.account, order.id).await.unwrap();
        match order.outcome() {
            Some(Outcome::Valid(serial)) => *serial,
            other => panic!("the order has no certificate: {other:?}"),
        }
    }

    /// Changes the account's key (RFC 8555 §7.3.5).
    pub(crate) async fn change_key(&self) {
        let pair = KeyPair::generate(KeyAlgorithm::P256).unwrap();
        let key = SigningKey::from_pkcs8(Algorithm::Es256, &pair.to_pkcs8_der().unwrap()).unwrap();
        let kid = format!("{BASE}{}", urls::account(self.account.id));
        let change = KeyChange { account: kid.clone(), old_key: self.key.jwk().clone() };
        let header = Header { nonce: None, url: &format!("{BASE}{}", urls::KEY_CHANGE), kid: None };
        let inner = acme::sign(&key, header, &serde_json::to_vec(&change).unwrap());
        let request = signed(&self.key, urls::KEY_CHANGE, Some(&kid), &inner);
        self.ca.change_key(&self.account, request).await.unwrap();
    }

    pub(crate) async fn pending(&self, name: &str, profile: Option<&str>) -> Order {
        let wire = WireIdentifier { kind: "dns".to_owned(), value: name.to_owned() };
        let profile = profile.map(str::to_owned);
        let asked = NewOrder { identifiers: vec![wire], profile, ..NewOrder::default() };
        self.ca.new_order(&self.account, &asked).await.unwrap()
    }

    /// An order in the queue of `Issue`.
    pub(crate) async fn finalized(&self, name: &str, profile: Option<&str>) -> Order {
        let order = self.pending(name, profile).await;
        for authorization in order.authorization_ids() {
            self.ca.answer(&self.account, authorization, ChallengeKind::Http01).await.unwrap();
        }
        self.ca.work_once(Stage::TestChallenge).await.unwrap();
        let pair = KeyPair::generate(KeyAlgorithm::P256).unwrap();
        let names = [GeneralName::Dns(name.to_owned())].into();
        let csr = pki::csr::request(&names, pair.public_key());
        let algorithm = pair.default_signature_algorithm();
        let der = csr.with_signature(algorithm, &pair.sign(algorithm, csr.der()).unwrap());
        let payload = serde_json::to_vec(&acme::Finalize { csr: acme::base64url_encode(&der) }).unwrap();
        let kid = format!("{BASE}{}", urls::account(self.account.id));
        let request = signed(&self.key, &urls::finalize(order.id), Some(&kid), &payload);
        self.ca.finalize(&self.account, order.id, request).await.unwrap()
    }

    /// A serial whose signature never came: its status stays `wait`.
    pub(crate) async fn waiting(&mut self, name: &str) -> Serial {
        let signer = std::mem::replace(&mut self.ca.signer, Arc::new(Away));
        let order = self.finalized(name, None).await;
        self.ca.work_once(Stage::Issue).await.unwrap();
        self.ca.signer = signer;
        let filter = ca::ports::SerialFilter { order: Some(order.id), ..ca::ports::SerialFilter::default() };
        self.ca.ledger.serials(filter, 1).await.unwrap()[0].serial
    }

    /// The lines of the audit log as the reader sees them.
    pub(crate) async fn lines(&self) -> Vec<ca::ports::AuditLine> {
        let start = store::audit::AuditReader::start();
        self.ca.audit.lines(start, 10_000).await.unwrap().0
    }

    /// Stops in good order: the ledger knows how far the audit log was applied.
    pub(crate) async fn stop(self) {
        self.ca.keep_audit_mark().await.unwrap();
    }
}

fn with_validator(ca: &Ca) -> Ca {
    Ca {
        settings: ca.settings.clone(),
        instance: ca.instance,
        issuers: ca.issuers.clone(),
        clock: Arc::clone(&ca.clock),
        random: Arc::clone(&ca.random),
        ledger: Arc::clone(&ca.ledger),
        workbench: Arc::clone(&ca.workbench),
        audit: Arc::clone(&ca.audit),
        signer: Arc::clone(&ca.signer),
        linting_key: Arc::clone(&ca.linting_key),
        validator: Arc::new(Shown { clock: Arc::clone(&ca.clock) }),
        ct: Arc::clone(&ca.ct),
        test_shares: ca::shares::TestShares::new(&ca.settings.limits),
        clock_watch: ca::clock::ClockWatch::default(),
        crl_watch: ca::crl::CrlWatch::default(),
        unreadable: ca::UnreadableOrders::default(),
        blocked: ca::Bell::default(),
        stop_numbers: ca::StopNumbers::default(),
        ocsp: ca::ocsp::OcspAnswers::new(&ca.settings.ocsp, &ca.issuers, None),
    }
}

fn signed(key: &SigningKey, path: &str, kid: Option<&str>, payload: &[u8]) -> Verified {
    let url = format!("{BASE}{path}");
    let jws = acme::sign(key, Header { nonce: None, url: &url, kid }, payload);
    Jws::parse(&jws).unwrap().verify(key.jwk().verifying_key()).unwrap()
}

/// Changes the last octet of the first place where these octets stand.
pub(crate) fn flip_last_of(haystack: &mut [u8], needle: &[u8]) {
    let at = haystack.windows(needle.len()).position(|window| window == needle).unwrap();
    haystack[at + needle.len() - 1] ^= 1;
}

/// A line of a file, changed.
pub(crate) fn edit(file: &Path, change: impl FnOnce(&mut String)) {
    let mut text = std::fs::read_to_string(file).unwrap();
    change(&mut text);
    std::fs::write(file, text).unwrap();
}

/// With what documents are packed.
const DICTIONARY: &[u8] = include_bytes!("../../../../store/src/packed/dictionary-1.txt");

/// Writes packed documents out as text, as earlier versions did, so that they can be changed by hand.
fn write_out(connection: &rusqlite::Connection, table: &str) {
    let packed = format!("SELECT rowid, packed FROM {table} WHERE packed IS NOT NULL");
    let mut packed = connection.prepare(&packed).unwrap();
    let rows: Vec<(i64, Vec<u8>)> =
        packed.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let mut unpack = zstd::bulk::Decompressor::with_dictionary(DICTIONARY).unwrap();
    for (row, packed) in rows {
        let text = String::from_utf8(unpack.decompress(&packed[1..], 1 << 20).unwrap()).unwrap();
        let write = format!("UPDATE {table} SET document = ?2, packed = NULL WHERE rowid = ?1");
        connection.execute(&write, rusqlite::params![row, text]).unwrap();
    }
}
