use std::collections::BTreeSet;
use std::time::Duration;

use ca::ports::CtSubmitter;
use pki::{Ct, GeneralName, KeyKind, Serial, SignatureAlgorithm};

use super::*;
use crate::testing::{Fault, LogServer, NOW, SoftKey, TestCa, TestClock, authority_certificate, leaf_tbs, serve_tls};
use crate::{Log, LogState, Submitter, SubmitterSettings};

struct Setting {
    ca: TestCa,
    server: Arc<LogServer>,
    log: Arc<HttpLog>,
}

async fn setting() -> Setting {
    let ca = TestCa::new().await;
    let server = LogServer::start().await;
    let log = log_at(&server, ca.clock.clone());
    Setting { ca, server, log }
}

fn log_at(server: &LogServer, clock: Arc<TestClock>) -> Arc<HttpLog> {
    let key = server.key.public_key().clone();
    Arc::new(HttpLog::new(&server.url(), key, None, clock, HttpLimits::default()).unwrap())
}

impl Setting {
    async fn submit(&self) -> Result<Sct, EndpointError> {
        let submission = self.ca.submission().await;
        let sct = self.log.add_pre_chain(&submission).await?;
        sct.verify(self.log.public_key(), &submission.entry)
            .map_err(|error| EndpointError::Answer(error.to_string()))?;
        Ok(sct)
    }

    async fn fails(&self, fault: Fault) -> EndpointError {
        self.server.misbehave(fault);
        self.submit().await.unwrap_err()
    }
}

#[tokio::test]
async fn an_sct_comes_over_http_and_the_connection_is_kept() {
    let setting = setting().await;
    for _ in 0..3 {
        let sct = setting.submit().await.unwrap();
        assert_eq!((sct.timestamp, sct.extensions.len()), (NOW, 8));
    }
    assert_eq!((setting.server.requests(), setting.server.connections()), (3, 1));
}

#[tokio::test]
async fn wrong_answers_are_named_for_what_they_are() {
    let setting = setting().await;
    for (fault, said) in [
        (Fault::Garbage, "not an SCT in JSON"),
        (Fault::TooLong, "longer than 65536 octets"),
        (Fault::WrongId, "an SCT of log BwcH"),
        (Fault::WrongVersion, "version 1, expected 0"),
        (Fault::LongExtensions, "2000 octets of extensions"),
        (Fault::WrongSignature, "does not verify"),
        (Fault::WrongAlgorithm, "hash 2"),
    ] {
        let error = setting.fails(fault).await;
        assert!(matches!(&error, EndpointError::Answer(what) if what.contains(said)), "{fault:?}: {error}");
        assert!(error.is_the_logs_fault());
    }
    setting.server.misbehave(Fault::None);
    setting.submit().await.unwrap();
}

#[tokio::test]
async fn a_status_that_is_not_200_is_told_with_the_start_of_its_text() {
    let setting = setting().await;
    let broken = setting.fails(Fault::Status(503)).await;
    assert_eq!(broken, EndpointError::Status { status: 503, said: "out of order".to_owned() });
    assert!(broken.is_the_logs_fault());
    assert!(!setting.fails(Fault::Status(400)).await.is_the_logs_fault());
    assert!(setting.fails(Fault::Status(429)).await.is_the_logs_fault());
    let redirected = setting.fails(Fault::Redirect).await;
    assert!(matches!(redirected, EndpointError::Status { status: 302, .. }), "{redirected}");
    assert_eq!(setting.server.connections(), 1, "an answer of any kind leaves the connection as it is");
}

#[tokio::test]
async fn a_log_that_hangs_is_given_up_in_time() {
    let setting = setting().await;
    setting.server.misbehave(Fault::Hangs);
    let (answer, ()) = tokio::join!(setting.submit(), async {
        setting.server.requested().await;
        setting.ca.clock.advance(HttpLimits::default().exchange);
    });
    assert_eq!(answer, Err(EndpointError::TooSlow(HttpLimits::default().exchange)));
    setting.server.misbehave(Fault::None);
    setting.submit().await.unwrap();
    assert_eq!(setting.server.connections(), 2, "a connection with an answer outstanding is not used again");
}

#[tokio::test]
async fn a_kept_connection_that_breaks_is_replaced_once() {
    let setting = setting().await;
    setting.submit().await.unwrap();
    setting.server.misbehave(Fault::BreaksOffOnce);
    setting.submit().await.unwrap();
    assert_eq!((setting.server.requests(), setting.server.connections()), (3, 2));
    let error = setting.fails(Fault::BreaksOff).await;
    assert!(matches!(error, EndpointError::Unreachable(_)), "{error}");
    assert_eq!((setting.server.requests(), setting.server.connections()), (5, 3));
}

#[tokio::test]
async fn a_connection_that_was_idle_for_long_is_not_used_again() {
    let setting = setting().await;
    setting.submit().await.unwrap();
    setting.ca.clock.advance(HttpLimits::default().idle);
    setting.submit().await.unwrap();
    assert_eq!(setting.server.connections(), 1);
    setting.ca.clock.advance(HttpLimits::default().idle + Duration::from_millis(1));
    setting.submit().await.unwrap();
    assert_eq!(setting.server.connections(), 2);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let ca = TestCa::new().await;
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let key = SoftKey::generate().public_key().clone();
    let log = HttpLog::new(&url, key, None, ca.clock.clone(), HttpLimits::default()).unwrap();
    let error = log.add_pre_chain(&ca.submission().await).await.unwrap_err();
    assert!(matches!(error, EndpointError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn a_probe_wants_a_tree_head_that_verifies() {
    let setting = setting().await;
    setting.log.probe().await.unwrap();
    for fault in [Fault::WrongSignature, Fault::Garbage, Fault::Status(500)] {
        setting.server.misbehave(fault);
        assert!(setting.log.probe().await.is_err(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_tiled_log_is_probed_by_its_checkpoint() {
    let setting = setting().await;
    let key = setting.server.key.public_key().clone();
    let url = setting.server.url();
    let clock = setting.ca.clock.clone();
    let log = HttpLog::tiled(&url, &url, key, None, clock, HttpLimits::default()).unwrap();
    log.probe().await.unwrap();
    setting.server.misbehave(Fault::Garbage);
    assert!(log.probe().await.is_err());
}

#[tokio::test]
async fn tls_certificates_are_verified_with_the_given_roots_and_the_ports_clock() {
    let ca = TestCa::new().await;
    let (root_key, key) = (SoftKey::generate(), SoftKey::generate());
    let root = authority_certificate(&root_key, "TLS Root");
    let names = BTreeSet::from([GeneralName::Ip("127.0.0.1".parse().unwrap())]);
    let tbs = leaf_tbs(Serial::from_random([1; 16]), &root, &names, key.public_key(), Ct::None);
    let certificate = tbs.with_signature(SignatureAlgorithm::EcdsaSha256, &root_key.signature(tbs.der()));
    let server = serve_tls(certificate, &key).await;
    let url = format!("https://{}/2026h2/", server.address);
    let log_trusting = |root: &pki::Certificate| {
        let trust = TlsTrust::from_der(&[root.der().to_vec()], ca.clock.clone()).unwrap();
        let key = server.key.public_key().clone();
        HttpLog::new(&url, key, Some(&trust), ca.clock.clone(), HttpLimits::default()).unwrap()
    };
    let submission = ca.submission().await;
    let sct = log_trusting(&root).add_pre_chain(&submission).await.unwrap();
    sct.verify(server.key.public_key(), &submission.entry).unwrap();
    let foreign = log_trusting(&authority_certificate(&SoftKey::generate(), "TLS Root"));
    let error = foreign.add_pre_chain(&submission).await.unwrap_err();
    assert!(matches!(error, EndpointError::Unreachable(_)), "{error}");
    ca.clock.advance(Duration::from_secs(2 * 86_400));
    let error = log_trusting(&root).add_pre_chain(&submission).await.unwrap_err();
    assert!(matches!(&error, EndpointError::Unreachable(what) if what.contains("xpired")), "{error}");
}

#[tokio::test]
async fn addresses_and_keys_that_no_log_has_are_refused() {
    let clock = Arc::new(TestClock::default());
    let key = SoftKey::generate().public_key().clone();
    let new = |url: &str, key: PublicKey| HttpLog::new(url, key, None, clock.clone(), HttpLimits::default());
    for url in ["ct.example.org", "ftp://ct.example.org/", "http://u:p@ct.example.org/", "http://ct.example.org/?a=b"] {
        assert!(matches!(new(url, key.clone()), Err(HttpLogError::Address(_))), "{url}");
    }
    let error = new("https://ct.example.org/", key).unwrap_err();
    assert!(error.to_string().contains("root certificates"), "{error}");
    let ed25519 = PublicKey::from_ec_point(KeyKind::Ed25519, &[0x21; 32]).unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(new("http://ct.example.org/", ed25519), Err(HttpLogError::Key(KeyKind::Ed25519))));
}

#[tokio::test]
async fn files_without_root_certificates_are_refused() {
    let clock = Arc::new(TestClock::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("roots.pem");
    let error = TlsTrust::from_pem_file(&path, clock.clone()).unwrap_err();
    assert!(matches!(error, crate::TlsTrustError::Unreadable { .. }), "{error}");
    std::fs::write(&path, "no certificates here\n").unwrap();
    let error = TlsTrust::from_pem_file(&path, clock.clone()).unwrap_err();
    assert!(matches!(error, crate::TlsTrustError::Empty(_)), "{error}");
    let root = authority_certificate(&SoftKey::generate(), "TLS Root");
    std::fs::write(&path, pki::pem::encode("CERTIFICATE", root.der())).unwrap();
    TlsTrust::from_pem_file(&path, clock).unwrap();
}

#[tokio::test]
async fn a_submitter_turns_to_the_next_http_log_whatever_is_wrong_with_the_first() {
    let ca = TestCa::new().await;
    let mut servers = Vec::new();
    let mut logs = Vec::new();
    for number in 0..3 {
        let server = LogServer::start().await;
        logs.push(Log {
            name: format!("log {number}"),
            operator: format!("operator {number}"),
            state: LogState::Usable,
            interval: None,
            endpoint: log_at(&server, ca.clock.clone()),
        });
        servers.push(server);
    }
    let settings = SubmitterSettings { failures_max: u32::MAX, ..SubmitterSettings::default() };
    let submitter = Submitter::new(logs, ca.clock.clone(), settings);
    for fault in [
        Fault::Status(500),
        Fault::Garbage,
        Fault::WrongSignature,
        Fault::WrongId,
        Fault::InTheFuture,
        Fault::BreaksOff,
    ] {
        servers[0].misbehave(fault);
        let scts = submitter.submit(ca.submission().await).await.unwrap();
        let from: Vec<LogId> = scts.iter().map(|sct| sct.log_id).collect();
        let expected: Vec<LogId> = servers[1..].iter().map(|server| LogId::of(server.key.public_key())).collect();
        assert_eq!(from, expected, "{fault:?}");
    }
}
