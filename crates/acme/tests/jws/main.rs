//! Signed requests from end to end: what a client signs, a server reads and verifies; and every way to get it wrong.

mod form;
mod header;
mod key_change;

use acme::{
    ALGORITHMS, Algorithm, Header, Jwk, Jws, JwsError, KeyReference, Payload, ProblemType, SigningKey, Verified,
    VerifyingKey, base64url_encode, sign,
};
use proptest::prelude::*;

const URL: &str = "https://ca.example/acme/new-order";
const KID: &str = "https://ca.example/acme/account/1";
const NONCE: &str = "bm9uY2U";

fn pkcs8(algorithm: Algorithm) -> &'static [u8] {
    match algorithm {
        Algorithm::Es256 => include_bytes!("../../testdata/es256.pkcs8.der"),
        Algorithm::Es384 => include_bytes!("../../testdata/es384.pkcs8.der"),
        Algorithm::Es512 => include_bytes!("../../testdata/es512.pkcs8.der"),
        Algorithm::Rs256 => include_bytes!("../../testdata/rs256.pkcs8.der"),
        Algorithm::EdDsa => include_bytes!("../../testdata/eddsa.pkcs8.der"),
    }
}

fn key(algorithm: Algorithm) -> SigningKey {
    SigningKey::from_pkcs8(algorithm, pkcs8(algorithm)).expect("a key made by OpenSSL")
}

fn kid_header() -> Header<'static> {
    Header { nonce: Some(NONCE), url: URL, kid: Some(KID) }
}

/// A JWS with any header and payload, well signed.
fn signed(key: &SigningKey, protected: &str, payload: &[u8]) -> Vec<u8> {
    let (protected, payload) = (base64url_encode(protected.as_bytes()), base64url_encode(payload));
    let signature = base64url_encode(&key.signature(format!("{protected}.{payload}").as_bytes()));
    body(&protected, &payload, &signature)
}

fn body(protected: &str, payload: &str, signature: &str) -> Vec<u8> {
    format!(r#"{{"protected":"{protected}","payload":"{payload}","signature":"{signature}"}}"#).into_bytes()
}

fn verified(payload: &[u8]) -> Verified {
    let key = key(Algorithm::Es256);
    let jws = Jws::parse(&sign(&key, kid_header(), payload)).expect("parses");
    jws.verify(key.jwk().verifying_key()).expect("verifies")
}

/// Octets of the signature replaced, the rest as it was signed.
fn with_signature(body: &[u8], change: impl Fn(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let mut json: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    let text = json["signature"].as_str().expect("a text");
    json["signature"] = base64url_encode(&change(acme::base64url_decode(text).expect("base64url"))).into();
    serde_json::to_vec(&json).expect("JSON")
}

fn verify(key: &SigningKey, body: &[u8]) -> Result<Verified, JwsError> {
    Jws::parse(body).expect("parses").verify(key.jwk().verifying_key())
}

#[test]
fn what_each_algorithm_signs_verifies_with_the_embedded_key() {
    for algorithm in ALGORITHMS {
        let key = key(*algorithm);
        let body = sign(&key, Header { nonce: Some(NONCE), url: URL, kid: None }, b"{\"a\":1}");
        let jws = Jws::parse(&body).expect("parses");
        let KeyReference::Jwk(jwk) = jws.protected().key.clone() else { panic!("no key embedded") };
        assert_eq!(&jwk, key.jwk());
        let verified = jws.verify(&VerifyingKey::from(&jwk)).expect("verifies");
        assert_eq!(verified.payload(), Payload::Json(b"{\"a\":1}"));
        assert_eq!(verified.protected().algorithm, *algorithm);
        assert_eq!(verified.protected().nonce.as_deref(), Some(NONCE));
        assert_eq!(verified.protected().url, URL);
        assert_eq!(verified.evidence(), body);
    }
}

#[test]
fn evidence_is_what_was_signed_and_nothing_else() {
    let key = key(Algorithm::Es256);
    let good = sign(&key, kid_header(), br#"{"csr":"AA"}"#);
    let mut members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&good).expect("JSON");
    members.insert("more".to_owned(), "x".repeat(10_000).into());
    let loose = serde_json::to_vec_pretty(&members).expect("JSON");
    let evidence = verify(&key, &loose).expect("verifies").evidence();
    assert_eq!(evidence, good);
    assert_eq!(verify(&key, &evidence).expect("verifies").payload(), Payload::Json(br#"{"csr":"AA"}"#));
}

#[test]
fn what_each_algorithm_signs_verifies_with_the_accounts_key_only() {
    for algorithm in ALGORITHMS {
        let body = sign(&key(*algorithm), kid_header(), b"{}");
        for other in ALGORITHMS {
            let outcome = verify(&key(*other), &body);
            if other == algorithm {
                assert_eq!(outcome.expect("verifies").protected().key, KeyReference::Kid(KID.to_owned()));
            } else {
                let error = outcome.expect_err("another key");
                assert_eq!(error, JwsError::AlgorithmOfOtherKey { algorithm: *algorithm, right: *other });
                assert_eq!(error.problem().kind, ProblemType::BadSignatureAlgorithm);
            }
        }
    }
}

#[test]
fn another_key_of_the_same_kind_does_not_verify() {
    let rfc7515 = Jwk::parse(
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
    )
    .expect("RFC 7515 §A.3");
    let jws = Jws::parse(&sign(&key(Algorithm::Es256), kid_header(), b"{}")).expect("parses");
    let error = jws.verify(rfc7515.verifying_key()).expect_err("another key");
    assert_eq!(error, JwsError::Signature);
    assert_eq!(error.problem().kind, ProblemType::Malformed);
}

#[test]
fn a_changed_payload_or_header_does_not_verify() {
    for algorithm in ALGORITHMS {
        let key = key(*algorithm);
        let signature = base64url_encode(&key.signature(b"another text"));
        let protected = base64url_encode(format!(r#"{{"alg":"{algorithm}","kid":"{KID}","url":"{URL}"}}"#).as_bytes());
        assert_eq!(verify(&key, &body(&protected, "e30", &signature)).expect_err("forged"), JwsError::Signature);
    }
}

#[test]
fn ecdsa_signatures_of_any_form_but_r_and_s_side_by_side_are_refused() {
    for (algorithm, half) in [(Algorithm::Es256, 32), (Algorithm::Es384, 48), (Algorithm::Es512, 66)] {
        let key = key(algorithm);
        let good = sign(&key, kid_header(), b"{}");
        let der = |signature: Vec<u8>| {
            let integer = |half: &[u8]| [&[2, half.len() as u8 + 1, 0], half].concat();
            let both = [integer(&signature[..half]), integer(&signature[half..])].concat();
            let length: &[u8] = if both.len() < 0x80 { &[0x30] } else { &[0x30, 0x81] };
            [length, &[both.len() as u8], both.as_slice()].concat()
        };
        let wrong_length = |change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
            let error = verify(&key, &with_signature(&good, change)).expect_err("wrong length");
            assert!(matches!(error, JwsError::SignatureLength { right, .. } if right == half * 2), "{error}");
        };
        wrong_length(&der);
        wrong_length(&|signature| signature[..half * 2 - 1].to_vec());
        wrong_length(&|signature| [&[0], signature.as_slice()].concat());
        wrong_length(&|signature| [signature.as_slice(), &[0]].concat());
        wrong_length(&|_| Vec::new());

        let zeroed = |range: std::ops::Range<usize>| {
            let changed = with_signature(&good, |mut signature| {
                signature[range.clone()].fill(0);
                signature
            });
            assert_eq!(verify(&key, &changed).expect_err("zero"), JwsError::Signature);
        };
        zeroed(0..half);
        zeroed(half..half * 2);
        zeroed(0..half * 2);
    }
}

#[test]
fn eddsa_and_rsa_signatures_of_the_wrong_length_are_refused() {
    let eddsa = key(Algorithm::EdDsa);
    let cut = with_signature(&sign(&eddsa, kid_header(), b"{}"), |signature| signature[..63].to_vec());
    let error = verify(&eddsa, &cut).expect_err("cut short");
    assert_eq!(error, JwsError::SignatureLength { algorithm: Algorithm::EdDsa, octets: 63, right: 64 });

    let rsa = key(Algorithm::Rs256);
    let good = sign(&rsa, kid_header(), b"{}");
    let cut = with_signature(&good, |signature| signature[..255].to_vec());
    assert_eq!(verify(&rsa, &cut).expect_err("cut short"), JwsError::Signature);
    let padded = with_signature(&good, |signature| [&[0], signature.as_slice()].concat());
    assert_eq!(verify(&rsa, &padded).expect_err("padded"), JwsError::Signature);
}

#[test]
fn a_private_key_of_another_kind_is_refused() {
    for algorithm in ALGORITHMS {
        for other in ALGORITHMS.iter().filter(|other| *other != algorithm) {
            assert!(SigningKey::from_pkcs8(*algorithm, pkcs8(*other)).is_err(), "{algorithm} from a key for {other}");
        }
        assert!(SigningKey::from_pkcs8(*algorithm, b"").is_err());
    }
}

#[test]
fn nothing_that_is_shown_for_debugging_holds_a_secret_or_a_payload() {
    let key = key(Algorithm::Es256);
    assert_eq!(format!("{key:?}"), format!("SigningKey(ES256 {})", key.jwk().thumbprint()));
    assert!(!format!("{:?}", verified(b"secret payload")).contains("payload"));
}

proptest! {
    #[test]
    fn parsing_never_panics_on_arbitrary_octets(body: Vec<u8>) {
        let _ = Jws::parse(&body);
    }

    #[test]
    fn parsing_never_panics_on_arbitrary_members(
        protected in "\\PC{0,60}", payload in "[A-Za-z0-9_=-]{0,20}", signature in "[A-Za-z0-9_-]{0,20}",
        encoded: bool,
    ) {
        let unquoted = protected.replace(['"', '\\'], "");
        let protected = if encoded { base64url_encode(protected.as_bytes()) } else { unquoted };
        let _ = Jws::parse(&body(&protected, &payload, &signature));
    }

    #[test]
    fn one_changed_octet_is_never_another_good_request(at: prop::sample::Index, octet: u8) {
        let key = key(Algorithm::EdDsa);
        let good = sign(&key, kid_header(), br#"{"identifiers":[]}"#);
        let mut changed = good.clone();
        *at.get_mut(&mut changed) = octet;
        let outcome = Jws::parse(&changed).and_then(|jws| jws.verify(key.jwk().verifying_key()));
        if let Ok(verified) = outcome {
            // White space may be another: it is outside of what is signed, and no evidence has it.
            prop_assert_eq!(verified.evidence(), good);
        }
    }

    #[test]
    fn any_payload_survives_the_way_from_client_to_server(payload: Vec<u8>) {
        let key = key(Algorithm::EdDsa);
        let verified = verify(&key, &sign(&key, kid_header(), &payload)).expect("verifies");
        match verified.payload() {
            Payload::Empty => prop_assert!(payload.is_empty()),
            Payload::Json(octets) => prop_assert_eq!(octets, &payload[..]),
        }
    }
}
