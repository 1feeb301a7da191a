//! A store filled by `cairn-load fill` is that of a CA like any other: `cairn fsck` finds nothing wrong, a server goes
//! on with it, and its CRLs list what was revoked.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use acme::Algorithm;
use load::fill::{Arguments, fill};
use pki::{Certificate, Crl, Serial};
use rusqlite::{Connection, ToSql};

use crate::keys::until_settled;
use crate::recover::fetched;
use crate::support::server::Server;
use crate::support::world::{PATIENCE, pause, within};

fn arguments(server: &Server, certificates: u64) -> Arguments {
    Arguments {
        data: server.data(),
        certificates,
        accounts: 20,
        revoked: 40,
        invalid: 10,
        names: 2,
        days: 120,
        ct: false,
        one_key: 1,
        profile: "classic".to_owned(),
        domain: "example.localhost".to_owned(),
        seed: 7,
        json: false,
    }
}

/// The certificates with this value in this column, as the store has them.
fn certificates(server: &Server, column: &str, value: &dyn ToSql) -> Vec<Certificate> {
    let store = Connection::open(server.data().join("cairn.db")).expect("the store can be read");
    let sql = format!("SELECT c.der FROM serials s JOIN certificates c ON c.serial = s.row WHERE s.{column} = ?1");
    let mut statement = store.prepare(&sql).expect("these columns are there");
    let rows = statement.query_map([value], |row| row.get::<_, Vec<u8>>(0)).expect("it can be asked");
    rows.map(|der| Certificate::from_der(&der.expect("it can be read")).expect("it is a certificate")).collect()
}

fn revoked(server: &Server) -> Vec<Certificate> {
    certificates(server, "status", &"revoked")
}

/// What the CRLs list that these certificates point to.
async fn listed(server: &Server, certificates: &[Certificate]) -> BTreeSet<Serial> {
    let urls: BTreeSet<&str> = certificates.iter().filter_map(Certificate::crl_url).collect();
    let mut listed = BTreeSet::new();
    for url in urls {
        let crl = Crl::from_der(&fetched(server.status_port(), url).await).expect("it is a CRL");
        listed.extend(crl.entries().iter().map(|entry| entry.serial));
    }
    listed
}

async fn until_listed(server: &Server, certificates: &[Certificate], serials: &BTreeSet<Serial>) {
    within(PATIENCE, "they are in the CRLs", async {
        while !listed(server, certificates).await.is_superset(serials) {
            pause(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// Those that end later than in two days, as the server's clock says: it writes the time into what it issues.
async fn alive(server: &Server, certificates: &[Certificate]) -> BTreeSet<Serial> {
    let mut client = server.client();
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["behind.localhost"]).await;
    let own = Certificate::from_der(&client.chain(&account, &issued.object).await[0]).expect("it can be read");
    let end = own.validity().not_before.plus(Duration::from_secs(2 * 86_400));
    certificates.iter().filter(|one| one.validity().not_after > end).map(Certificate::serial).collect()
}

#[tokio::test]
async fn a_filled_store_is_sound_and_a_server_goes_on_with_it() {
    let mut server = Server::start("").await;
    assert!(server.terminate().await.success());
    let written = fill(&arguments(&server, 200)).await.expect("it is filled").written;
    assert_eq!((written.accounts, written.certificates, written.revocations, written.invalid), (20, 200, 40, 10));
    let with_ct = Arguments { ct: true, seed: 8, revoked: 0, ..arguments(&server, 30) };
    assert_eq!(fill(&with_ct).await.expect("it is filled").written.certificates, 30);
    server.assert_sound().await;

    let certificates = revoked(&server);
    assert_eq!(certificates.len(), 40);
    server.start_again();
    server.wait_until_it_serves().await;
    let good = alive(&server, &certificates).await;
    assert!(!good.is_empty() && good.len() < 40, "of 120 days, 90 are those of certificates that have not ended");
    until_listed(&server, &certificates, &good).await;
    server.assert_sound().await;
}

#[tokio::test]
async fn a_key_of_many_certificates_is_blocked_and_all_of_them_are_in_the_crls() {
    let mut server = Server::start("").await;
    assert!(server.terminate().await.success());
    let many = Arguments { revoked: 0, one_key: 700, ..arguments(&server, 750) };
    assert_eq!(fill(&many).await.expect("it is filled").written.certificates, 750);
    let key: Vec<u8> = Connection::open(server.data().join("cairn.db"))
        .and_then(|store| {
            let sql = "SELECT spki_hash FROM serials GROUP BY spki_hash ORDER BY count(*) DESC LIMIT 1";
            store.query_row(sql, [], |row| row.get(0))
        })
        .expect("it can be asked");
    let of_key = certificates(&server, "spki_hash", &key);
    assert_eq!(of_key.len(), 700);
    server.start_again();
    server.wait_until_it_serves().await;
    let hash: String = key.iter().map(|octet| format!("{octet:02x}")).collect();
    let blocked = server.command(&["key", "block", "--spki-hash", &hash, "--without-proof"]).await;
    assert!(blocked.status.success(), "{}", String::from_utf8_lossy(&blocked.stderr));
    until_settled(&server, &hash).await;
    assert_eq!(revoked(&server).len(), 700);
    let good = alive(&server, &of_key).await;
    assert!(good.len() > 400, "of 120 days, 90 are those of certificates that have not ended: {}", good.len());
    until_listed(&server, &of_key, &good).await;
    server.assert_sound().await;
}

#[tokio::test]
async fn filling_goes_on_where_it_ended_and_does_nothing_twice() {
    let mut server = Server::start("").await;
    assert!(server.terminate().await.success());
    fill(&arguments(&server, 100)).await.expect("it is filled");
    let again = fill(&arguments(&server, 100)).await.expect("it is filled").written;
    assert_eq!((again.accounts, again.certificates, again.revocations, again.invalid), (0, 0, 0, 0));
    let more = fill(&arguments(&server, 130)).await.expect("it is filled").written;
    assert_eq!((more.accounts, more.certificates, more.invalid), (0, 30, 0));
    server.assert_sound().await;
}

/// As a crash leaves them: with a name that is validated, with a serial that waits.
#[tokio::test]
async fn certificates_that_were_cut_short_are_brought_to_their_end() {
    let mut server = Server::start("").await;
    assert!(server.terminate().await.success());
    fill(&Arguments { revoked: 0, ..arguments(&server, 60) }).await.expect("it is filled");
    let store = Connection::open(server.data().join("cairn.db")).expect("the store can be opened");
    // What a hand has to take away first, so that records can go back.
    for trigger in ["serials_status", "orders_end_once"] {
        store.execute(&format!("DROP TRIGGER {trigger}"), []).expect("it is there");
    }
    let cut = store
        .execute_batch(
            "CREATE TEMP TABLE cut AS SELECT row, order_row FROM serials WHERE row % 3 = 0;
             DELETE FROM certificates WHERE serial IN (SELECT row FROM cut);
             UPDATE serials SET status = 'wait', good = NULL, stored = NULL WHERE row IN (SELECT row FROM cut);
             UPDATE orders SET outcome = NULL, ended = NULL, serial = NULL, delivered = NULL, acknowledged = NULL
                 WHERE row IN (SELECT order_row FROM cut);
             UPDATE ledger_counts SET wait = wait + (SELECT count(*) FROM cut),
                 good = good - (SELECT count(*) FROM cut),
                 valid = valid - (SELECT count(*) FROM cut), delivered = delivered - (SELECT count(*) FROM cut),
                 acknowledged = acknowledged - (SELECT count(*) FROM cut);",
        )
        .is_ok();
    assert!(cut);
    let waiting: u64 = store
        .query_row("SELECT count(*) FROM serials WHERE status = 'wait'", [], |row| row.get::<_, i64>(0))
        .expect("it can be counted")
        .unsigned_abs();
    drop(store);
    let written = fill(&Arguments { revoked: 0, ..arguments(&server, 80) }).await.expect("it is filled").written;
    assert!(waiting > 10 && written.certificates >= 20 + waiting - 1, "{waiting} waited, {written:?}");
    server.assert_sound().await;
}

#[tokio::test]
async fn a_store_that_is_in_use_or_not_for_tests_is_left_alone() {
    let mut server = Server::start("").await;
    let refused = fill(&arguments(&server, 10)).await.expect_err("a server runs on it").to_string();
    assert!(refused.contains("held by another process"), "{refused}");
    assert!(server.terminate().await.success());
    let published = server.data().join("published.toml");
    let text = fs::read_to_string(&published).expect("it is there").replace("\"dev\"", "\"private\"");
    fs::write(&published, text).expect("it can be written");
    let refused = fill(&arguments(&server, 10)).await.expect_err("it is trusted").to_string();
    assert!(refused.contains("cairn serve --dev"), "{refused}");
    let nowhere = Arguments { data: server.path("nowhere"), ..arguments(&server, 10) };
    let refused = fill(&nowhere).await.expect_err("it is no data folder").to_string();
    assert!(refused.contains("nowhere") && !server.path("nowhere").exists(), "{refused}");
}
