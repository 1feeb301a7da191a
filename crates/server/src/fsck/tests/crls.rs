//! CRLs that no CA makes.

use ca::crl::Revocations;
use ca::ports::{CrlRecord, CrlShard};
use pki::{Reason, Serial};

use super::planted::found_in_rows;
use super::scene::Scene;
use crate::fsck::crl_reading::{self, Listed};
use crate::fsck::{Invariant, Records, Severity};

#[tokio::test]
async fn crl_with_a_wrong_signature_is_found() {
    let sql = "UPDATE crls SET tail = CAST(substr(tail, 1, length(tail) - 1) || x'00' AS BLOB)";
    found_in_rows(Invariant::CrlSound, sql).await;
}

#[tokio::test]
async fn revoked_serial_that_its_crl_does_not_show_is_found() {
    let sql =
        "UPDATE serials SET status = 'revoked', revoked = 1000, reason = 1, revoked_by = 'a test', revoked_at = 1000
               WHERE serial = $A";
    found_in_rows(Invariant::CrlComplete, sql).await;
}

#[tokio::test]
async fn crl_that_shows_what_is_not_revoked_is_found() {
    let (scene, serial) = with_one_revoked().await;
    scene.plant(&format!(
        "UPDATE serials SET status = 'good', revoked = NULL, reason = NULL, revoked_by = NULL, revoked_at = NULL
         WHERE serial = x'{serial}'"
    ));
    scene.must_find(Severity::Fault, Invariant::CrlComplete).await;
}

/// A store whose CRLs list this serial.
async fn with_one_revoked() -> (Scene, Serial) {
    let (scene, [serial, _]) = Scene::with_two_certificates().await;
    let running = scene.start().await;
    running.ca.revoke(serial, Reason::KeyCompromise, "a test".to_owned()).await.unwrap();
    running.stop().await;
    // One is made anew when a second has gone by since the last one, or when there is none.
    scene.plant("DELETE FROM crls");
    scene.start().await.stop().await;
    assert_eq!(scene.check().await.findings(), []);
    (scene, serial)
}

#[tokio::test]
async fn shards_of_which_the_ledger_says_something_else_are_found() {
    let (scene, _) = Scene::with_two_certificates().await;
    assert_eq!(scene.check().await.findings(), []);
    scene.plant("UPDATE crl_generations SET status_url = 'http://elsewhere.example'");
    scene.must_find(Severity::Warning, Invariant::CrlComplete).await;
    scene.must_find(Severity::Fault, Invariant::CertificateMatchesRecord).await;
}

#[tokio::test]
async fn part_of_a_crl_that_was_torn_is_found_and_the_next_start_makes_a_new_one() {
    for (harm, told) in [
        ("UPDATE crl_parts SET octets = CAST(substr(octets, 1, length(octets) - 1) AS BLOB)", "octets; "),
        ("UPDATE crl_parts SET octets = CAST(octets || x'00' AS BLOB)", "has more octets"),
        ("UPDATE crl_parts SET octets = CAST(x'31' || substr(octets, 2) AS BLOB)", "can't be read"),
        // The last octet is that of the reason: another reason is an entry as well.
        (
            "UPDATE crl_parts SET octets = CAST(substr(octets, 1, length(octets) - 1) || x'04' AS BLOB)",
            "not those that",
        ),
        ("DELETE FROM crl_parts", "is not there"),
    ] {
        let (scene, _) = with_one_revoked().await;
        scene.plant(harm);
        let report = scene.must_find(Severity::Fault, Invariant::CrlSound).await;
        assert!(report.findings().iter().any(|one| one.detail.contains(told)), "{told}: {:?}", report.findings());
        scene.repair().await.unwrap();
        scene.start().await.stop().await;
        assert_eq!(scene.check().await.findings(), [], "{told}");
    }
}

/// So many serials make a CRL of three parts, with entries that begin in one part and end in the next.
const MANY: u32 = 12_000;

#[tokio::test]
async fn crl_of_several_parts_is_read_to_its_end() {
    let (scene, [serial, _]) = Scene::with_two_certificates().await;
    // The shard goes by the last octets of a serial, which are the same in all.
    scene.plant(&format!(
        "WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < {MANY})
         INSERT INTO serials (serial, tail, order_row, number, account, status, given_up, ct, issuer, profile,
             profile_hash, spki_hash, begun, not_after, revoked, reason, revoked_by, revoked_at)
         SELECT CAST(substr(serial, 1, 3) || unhex(printf('%08x', n)) || substr(serial, 8) AS BLOB), tail,
             order_row, number + n, account, 'revoked', 1, ct, issuer, profile, profile_hash, spki_hash, begun,
             not_after, begun, 4, 'a test', begun
         FROM serials, count WHERE serial = x'{serial}';
         DELETE FROM crls"
    ));
    let running = scene.start().await;
    let issuer = running.ca.issuers[0].clone();
    running.stop().await;
    let (ledger, shard) = (Records::open(&scene.data()).unwrap().ledger, serial.shard(4));
    let crl = ledger.last_crl(issuer.id, shard).await.unwrap().unwrap();
    assert_eq!((crl.entries, CrlRecord::parts(crl.entry_octets)), (u64::from(MANY), 3));
    let read = crl_reading::read(&*ledger, &crl, Some(&issuer.certificate)).await.unwrap().unwrap();
    assert_eq!((read.outline.number(), read.wrong), (crl.number, Vec::<String>::new()));
    let mut required = Revocations::new(&*ledger, issuer.id, CrlShard::of_first(shard, 4), crl.this_update);
    let mut listed = Listed::of(&*ledger, &crl);
    while let Some(entries) = listed.next().await.unwrap() {
        for entry in entries {
            assert_eq!(required.peek().await.unwrap().map(|one| one.serial), Some(entry.serial));
            required.pop();
        }
    }
    assert_eq!(required.peek().await.unwrap(), None);
    scene.plant("UPDATE crl_parts SET octets = CAST(x'31' || substr(octets, 2) AS BLOB) WHERE part = 1");
    assert!(crl_reading::read(&*ledger, &crl, Some(&issuer.certificate)).await.unwrap().is_err());
}
