//! What OCSP answers are made from: the status of a serial, and the certificates of responders.

use ca::ports::{ResponderRecord, Revocation, SerialStatus, StatusRecord};
use pki::{Reason, Serial, Sha256};

use super::Stores;
use super::fixtures::issuer;

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, responders:
            status_is_what_the_serial_has_come_to
            responder_is_on_record_from_when_it_is_added
            serial_of_a_responder_is_no_others
            first_certificate_of_a_responder_stays
            responders_of_an_issuer_and_key_come_latest_first
        );
    };
}
pub(crate) use suite;

fn responder(stores: &Stores, serial: Serial) -> ResponderRecord {
    ResponderRecord {
        serial,
        issuer: issuer(),
        spki_hash: Sha256::of(b"the responder's key"),
        made: stores.now(),
        not_after: stores.in_seconds(86_400),
        linting_certificate: b"to be signed".to_vec(),
        certificate: None,
    }
}

pub(crate) async fn status_is_what_the_serial_has_come_to(stores: &Stores) {
    let wanted = stores.begun().await;
    let (serial, issuer, not_after) = (wanted.serial, wanted.issuer, wanted.not_after);
    let seen = |status, revocation| Some(StatusRecord { issuer, status, not_after, revocation });
    let status = || async { stores.ledger.status(serial).await.unwrap() };
    assert_eq!(status().await, seen(SerialStatus::Wait, None));
    stores.ledger.mark_good(serial, stores.now()).await.unwrap();
    assert_eq!(status().await, seen(SerialStatus::Good, None));
    let (revoked, reason, by) = (stores.now().whole_second(), Reason::CessationOfOperation, "a test".to_owned());
    stores.ledger.revoke(Revocation { serial, reason, revoked, by }).await.unwrap();
    assert_eq!(status().await, seen(SerialStatus::Revoked, Some((revoked, reason))));
    stores.ledger.upgrade_to_key_compromise(serial, "a test").await.unwrap();
    assert_eq!(status().await, seen(SerialStatus::Revoked, Some((revoked, Reason::KeyCompromise))));
    assert_eq!(stores.ledger.status(stores.serial()).await.unwrap(), None);
}

pub(crate) async fn responder_is_on_record_from_when_it_is_added(stores: &Stores) {
    let record = responder(stores, stores.serial());
    assert_eq!(stores.ledger.responder(record.serial).await.unwrap(), None);
    assert!(!stores.ledger.store_responder(record.serial, b"signed").await.unwrap(), "nothing was announced");
    assert!(stores.ledger.add_responder(record.clone()).await.unwrap());
    assert_eq!(stores.ledger.responder(record.serial).await.unwrap(), Some(record.clone()));
    assert_eq!(stores.ledger.newest().await.unwrap().at, record.made);
    assert_eq!(stores.ledger.status(record.serial).await.unwrap(), None, "it is no certificate of a client");
}

pub(crate) async fn serial_of_a_responder_is_no_others(stores: &Stores) {
    let record = responder(stores, stores.serial());
    assert!(stores.ledger.add_responder(record.clone()).await.unwrap());
    let other = ResponderRecord { linting_certificate: b"another".to_vec(), ..record.clone() };
    assert!(!stores.ledger.add_responder(other).await.unwrap());
    let issued = stores.begun().await;
    assert!(!stores.ledger.add_responder(responder(stores, issued.serial)).await.unwrap());
    assert_eq!(stores.ledger.responder(issued.serial).await.unwrap(), None);
    assert_eq!(stores.ledger.responder(record.serial).await.unwrap(), Some(record));
}

pub(crate) async fn first_certificate_of_a_responder_stays(stores: &Stores) {
    let record = responder(stores, stores.serial());
    stores.ledger.add_responder(record.clone()).await.unwrap();
    for certificate in [b"first", b"later"] {
        assert!(stores.ledger.store_responder(record.serial, certificate).await.unwrap());
    }
    let stored = stores.ledger.responder(record.serial).await.unwrap().unwrap();
    assert_eq!(stored, ResponderRecord { certificate: Some(b"first".to_vec()), ..record });
}

pub(crate) async fn responders_of_an_issuer_and_key_come_latest_first(stores: &Stores) {
    let mut signed = Vec::new();
    for number in 0_u8..3 {
        let record = responder(stores, stores.serial());
        stores.ledger.add_responder(record.clone()).await.unwrap();
        stores.ledger.store_responder(record.serial, &[number]).await.unwrap();
        signed.insert(0, ResponderRecord { certificate: Some(vec![number]), ..record });
        stores.clock.pass_seconds(60);
    }
    // Tries that failed, and responders of others, hide nothing.
    for other in [
        ResponderRecord { spki_hash: Sha256::of(b"another key"), ..responder(stores, stores.serial()) },
        ResponderRecord { issuer: Sha256::of(b"another issuer"), ..responder(stores, stores.serial()) },
    ] {
        stores.ledger.add_responder(other.clone()).await.unwrap();
        stores.ledger.store_responder(other.serial, b"signed").await.unwrap();
    }
    for _ in 0..150 {
        stores.ledger.add_responder(responder(stores, stores.serial())).await.unwrap();
    }
    let (issuer, key) = (signed[0].issuer, signed[0].spki_hash);
    assert_eq!(stores.ledger.responders(issuer, key, 10).await.unwrap(), signed);
    assert_eq!(stores.ledger.responders(issuer, key, 2).await.unwrap(), signed[..2]);
    assert_eq!(stores.ledger.responders(key, issuer, 10).await.unwrap(), []);
}
