//! A store that an earlier version made opens in this one, with all that was in it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use acme::DnsName;
use ca::ports::{
    Clock, CrlGeneration, CrlGenerationId, Ledger, LogStore, OrderFilter, Random, SerialFilter, SerialStatus, Workbench,
};
use futures_util::future::BoxFuture;
use pki::{Certificate, Timestamp};
use rusqlite::Connection;
use store::sqlite::{Database, FILE_NAME, OpenOptions};

/// What a server of schema 1 left: its own certificate, two orders of a client, one certificate revoked.
const OF_SCHEMA_1: &str = include_str!("../testdata/store-v1.db.sql");

#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

impl Random for Stopped {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_ended_by_our_fault_before_that_was_counted_are_counted_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(OF_SCHEMA_1).unwrap();
    let ours =
        r#"{"stage":"issue","problem":{"type":"urn:ietf:params:acme:error:serverInternal","detail":"a","status":500}}"#;
    let below = r#"{"stage":"issue","problem":{"type":"urn:ietf:params:acme:error:compound","detail":"b","status":400,
        "subproblems":[{"type":"urn:ietf:params:acme:error:serverInternal","detail":"c"}]}}"#;
    let theirs = r#"{"stage":"issue","problem":{"type":"urn:ietf:params:acme:error:caa","detail":"d","status":403}}"#;
    for (at, failure) in [ours, below, theirs].into_iter().enumerate() {
        connection
            .execute(
                "INSERT INTO orders (id, account, issuances, outcome, ended, failure)
                    VALUES (randomblob(16), randomblob(16), 0, 'invalid', ?1, ?2)",
                rusqlite::params![i64::try_from(at).unwrap(), failure],
            )
            .unwrap();
        connection
            .execute("INSERT INTO order_documents SELECT last_insert_rowid(), min(document) FROM order_documents", [])
            .unwrap();
    }
    drop(connection);
    let database = Database::open(&path, OpenOptions::default()).unwrap();
    let ledger = database.ledger(Arc::new(Stopped));
    assert_eq!(ledger.counts().await.unwrap().our_fault, 2);
    assert_eq!(ledger.ended_by_our_fault(None, 10).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_of_schema_1_opens_with_all_that_was_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    Connection::open(&path).unwrap().execute_batch(OF_SCHEMA_1).unwrap();
    let database = Database::open(&path, OpenOptions::default()).unwrap();
    let ledger = database.ledger(Arc::new(Stopped));
    let counts = ledger.counts().await.unwrap();
    assert_eq!((counts.good, counts.revoked, counts.valid, counts.accounts), (2, 1, 3, 2), "{counts:?}");
    let domain = DnsName::parse_host("localhost").unwrap();
    let below: Vec<String> =
        ledger.names_below(&domain, None, 10).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(below, ["localhost", "n0-2cfa5936f2e4c0df.example.localhost", "n0-3efd3c0cdee4e046.example.localhost"]);
    for record in ledger.serials(SerialFilter::default(), 10).await.unwrap() {
        let signing = ledger.signing_record(record.serial).await.unwrap().unwrap();
        assert_eq!(signing.authorizations.len(), signing.order.identifiers.len());
        assert!(signing.authorizations.iter().all(|one| one.validation.is_some()), "{signing:?}");
        let certificate = Certificate::from_der(record.certificate.as_deref().unwrap()).unwrap();
        assert_eq!(certificate.serial(), record.serial);
        assert_eq!(record.status == SerialStatus::Revoked, record.revocation.is_some());
        assert_eq!(record.crl_generation, CrlGenerationId(0), "the first one");
        let order = ledger.order(record.order).await.unwrap().unwrap();
        assert!(order.end.is_some(), "{order:?}");
        assert!(!certificate.scts().unwrap().is_empty() || record.profile == "server");
        for sct in certificate.scts().unwrap() {
            let logs = database.log_store(Arc::new(Stopped));
            assert_eq!(logs.size(sct.log_id).await.unwrap(), 2);
            let leaf = logs.leaves(sct.log_id, 0, 10).await.unwrap();
            assert!(leaf.iter().any(|leaf| leaf.timestamp == sct.timestamp), "{leaf:?}");
        }
    }
    let (status_url, since) = ("http://localhost:14080".to_owned(), None);
    let first = CrlGeneration { id: CrlGenerationId(0), shards: 4, status_url, since };
    ledger.add_crl_generation(first).await.unwrap();
    let known = ledger.crl_generations().await.unwrap();
    let lasts = known[0].last_not_after;
    assert_eq!(lasts, Some(Timestamp::from_millis(1_803_081_085_000)), "when the last certificate ends");
    let workbench = database.workbench(Arc::new(Stopped), Arc::new(Stopped), None, 100).unwrap();
    let active = workbench.list(OrderFilter::default(), 10).await.unwrap();
    assert!(active.len() <= 3, "acknowledged orders have left: {active:?}");
    assert_eq!(database.integrity().await.unwrap(), Vec::<String>::new());
}
