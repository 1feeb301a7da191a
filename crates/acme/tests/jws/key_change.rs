//! Key changes: both keys must agree, in every detail that RFC 8555 §7.3.5 names.

use super::*;
use acme::{KeyChange, KeyChangeError};

const KEY_CHANGE: &str = "https://ca.example/acme/key-change";

fn inner_header() -> Header<'static> {
    Header { nonce: None, url: KEY_CHANGE, kid: None }
}

fn payload(account: &str, old: &SigningKey) -> Vec<u8> {
    serde_json::to_vec(&KeyChange { account: account.to_owned(), old_key: old.jwk().clone() }).expect("JSON")
}

fn outcome(old: &SigningKey, outer: Header<'_>, inner: &[u8]) -> Result<Jwk, KeyChangeError> {
    let outer = verify(old, &sign(old, outer, inner)).expect("the outer JWS is good");
    KeyChange::new_key(&outer, old.jwk())
}

fn outer_header() -> Header<'static> {
    Header { nonce: Some(NONCE), url: KEY_CHANGE, kid: Some(KID) }
}

fn fault(inner: &[u8]) -> KeyChangeError {
    outcome(&key(Algorithm::Es256), outer_header(), inner).expect_err("refused")
}

#[test]
fn keys_change_across_algorithms() {
    for old in ALGORITHMS {
        for new in ALGORITHMS {
            if old == new {
                continue;
            }
            let (old, new) = (key(*old), key(*new));
            let inner = sign(&new, inner_header(), &payload(KID, &old));
            assert_eq!(outcome(&old, outer_header(), &inner).as_ref(), Ok(new.jwk()));
        }
    }
}

#[test]
fn each_check_of_a_key_change_has_its_own_error() {
    let (old, new) = (key(Algorithm::Es256), key(Algorithm::EdDsa));
    let good = payload(KID, &old);
    let with_nonce = Header { nonce: Some(NONCE), ..inner_header() };
    assert_eq!(fault(&sign(&new, with_nonce, &good)), KeyChangeError::InnerNonce);
    let with_kid = Header { kid: Some(KID), ..inner_header() };
    assert_eq!(fault(&sign(&new, with_kid, &good)), KeyChangeError::InnerKey);
    let other_url = Header { url: URL, ..inner_header() };
    assert_eq!(fault(&sign(&new, other_url, &good)), KeyChangeError::Url);
    let other_account = payload("https://ca.example/acme/account/2", &old);
    assert_eq!(fault(&sign(&new, inner_header(), &other_account)), KeyChangeError::Account);
    assert_eq!(fault(&sign(&new, inner_header(), &payload(KID, &new))), KeyChangeError::OldKey);
    assert_eq!(fault(b""), KeyChangeError::Empty);
    assert_eq!(fault(&sign(&old, inner_header(), &good)), KeyChangeError::SameKey);
    let embedded = Header { kid: None, ..outer_header() };
    let inner = sign(&new, inner_header(), &good);
    assert_eq!(outcome(&old, embedded, &inner), Err(KeyChangeError::OuterKey));
}

#[test]
fn the_inner_jws_is_judged_as_strictly_as_the_outer() {
    let (old, new) = (key(Algorithm::Es256), key(Algorithm::EdDsa));
    let good = sign(&new, inner_header(), &payload(KID, &old));
    let forged = with_signature(&good, |mut signature| {
        signature[0] ^= 1;
        signature
    });
    assert_eq!(fault(&forged), KeyChangeError::Inner(JwsError::Signature));
    assert_eq!(fault(&sign(&new, inner_header(), b"")), KeyChangeError::Inner(JwsError::EmptyPayload));
    assert!(matches!(fault(b"{}"), KeyChangeError::Inner(JwsError::Missing("protected"))));
    let none = format!(r#"{{"alg":"none","jwk":{},"url":"{KEY_CHANGE}"}}"#, new.jwk().to_json());
    let error = fault(&signed(&new, &none, &payload(KID, &old)));
    assert_eq!(error.problem().kind, ProblemType::BadSignatureAlgorithm);
    assert!(error.problem().algorithms.is_some());
}
