//! The protected header: every rule of RFC 8555 §6.2, and how it is broken.

use super::*;
use acme::{Base64urlError, JwkError};

fn header_error(protected: &str) -> JwsError {
    Jws::parse(&signed(&key(Algorithm::Es256), protected, b"{}")).expect_err(protected)
}

#[test]
fn algorithms_that_are_none_macs_or_unknown_are_refused_with_the_list_of_good_ones() {
    for name in ["none", "None", "HS256", "HS512", "ES256K", "PS256", "RS384", "es256", ""] {
        let error = header_error(&format!(r#"{{"alg":"{name}","kid":"{KID}","nonce":"{NONCE}","url":"{URL}"}}"#));
        assert_eq!(error, JwsError::Algorithm(name.to_owned()));
        let problem = error.problem();
        assert_eq!((problem.kind, problem.status), (ProblemType::BadSignatureAlgorithm, 400));
        assert_eq!(problem.algorithms.expect("listed")[..], ["ES256", "ES384", "ES512", "RS256", "EdDSA"]);
    }
}

#[test]
fn an_embedded_key_of_another_kind_than_the_algorithm_is_refused() {
    for (algorithm, other) in [("ES256", Algorithm::Es384), ("RS256", Algorithm::Es256), ("ES384", Algorithm::Rs256)] {
        let jwk = key(other).jwk().to_json();
        let error = header_error(&format!(r#"{{"alg":"{algorithm}","jwk":{jwk},"nonce":"{NONCE}","url":"{URL}"}}"#));
        assert!(matches!(error, JwsError::AlgorithmOfOtherKey { right, .. } if right == other), "{error}");
    }
}

#[test]
fn exactly_one_of_jwk_and_kid_is_wanted() {
    let jwk = key(Algorithm::Es256).jwk().to_json();
    let both = header_error(&format!(r#"{{"alg":"ES256","jwk":{jwk},"kid":"{KID}","url":"{URL}"}}"#));
    assert_eq!(both, JwsError::TwoKeys);
    assert_eq!(both.problem().detail, "the protected header has both jwk and kid; send exactly one (RFC 8555 §6.2)");
    let neither = header_error(&format!(r#"{{"alg":"ES256","url":"{URL}"}}"#));
    assert_eq!(neither, JwsError::NoKey);
    assert_eq!(neither.problem().kind, ProblemType::Malformed);
    assert!(matches!(
        header_error(&format!(r#"{{"alg":"ES256","jwk":null,"kid":"{KID}","url":"{URL}"}}"#)),
        JwsError::TwoKeys
    ));
    assert!(matches!(
        header_error(&format!(r#"{{"alg":"ES256","jwk":{jwk},"kid":null,"url":"{URL}"}}"#)),
        JwsError::Header(_)
    ));
}

#[test]
fn critical_extensions_and_unencoded_payloads_are_refused() {
    for crit in [r#"["exp"]"#, "[]", "null"] {
        let error = header_error(&format!(r#"{{"alg":"ES256","kid":"{KID}","url":"{URL}","crit":{crit}}}"#));
        assert_eq!(error, JwsError::Critical);
    }
    for b64 in [r#""b64":false"#, r#""b64":true"#, r#""b64":false,"crit":["b64"]"#] {
        let error = header_error(&format!(r#"{{"alg":"ES256","kid":"{KID}","url":"{URL}",{b64}}}"#));
        assert_eq!(error, JwsError::UnencodedPayload);
        assert_eq!(error.problem().kind, ProblemType::Malformed);
    }
}

#[test]
fn a_member_that_stands_twice_in_the_header_is_refused() {
    for twice in ["\"alg\":\"ES256\"", "\"url\":\"x\"", "\"kid\":\"x\"", "\"crit\":1,\"crit\":2"] {
        let error = header_error(&format!(r#"{{"alg":"ES256","kid":"{KID}","url":"{URL}",{twice}}}"#));
        assert!(matches!(&error, JwsError::Header(why) if why.contains("duplicate field")), "{twice}: {error}");
    }
}

#[test]
fn a_header_that_is_no_object_or_lacks_a_member_is_refused() {
    assert!(matches!(header_error(r#"["ES256"]"#), JwsError::Header(_)));
    assert!(matches!(header_error("{} {}"), JwsError::Header(_)));
    assert!(matches!(header_error(""), JwsError::Header(_)));
    assert!(matches!(header_error(r#"{"alg":1}"#), JwsError::Header(_)));
    assert_eq!(header_error(&format!(r#"{{"kid":"{KID}","url":"{URL}"}}"#)), JwsError::MissingInHeader("alg"));
    assert_eq!(header_error(&format!(r#"{{"alg":"ES256","kid":"{KID}"}}"#)), JwsError::MissingInHeader("url"));
}

#[test]
fn a_nonce_that_is_not_base64url_or_too_long_is_malformed() {
    let with =
        |nonce: &str| header_error(&format!(r#"{{"alg":"ES256","kid":"{KID}","nonce":"{nonce}","url":"{URL}"}}"#));
    assert_eq!(with("a+b/"), JwsError::Nonce(Base64urlError::Symbol(1)));
    assert_eq!(with("QQ=="), JwsError::Nonce(Base64urlError::Padding(2)));
    assert_eq!(with(&"A".repeat(132)), JwsError::NonceTooLong(132));
    assert_eq!(with("a+b/").problem().kind, ProblemType::Malformed);
}

#[test]
fn a_url_or_kid_beyond_reason_is_refused() {
    let long = "x".repeat(2049);
    let url = header_error(&format!(r#"{{"alg":"ES256","kid":"{KID}","url":"{long}"}}"#));
    assert_eq!(url, JwsError::UrlTooLong { member: "url", octets: 2049 });
    let kid = header_error(&format!(r#"{{"alg":"ES256","kid":"{long}","url":"{URL}"}}"#));
    assert_eq!(kid, JwsError::UrlTooLong { member: "kid", octets: 2049 });
}

#[test]
fn a_bad_embedded_key_is_named_with_its_fault() {
    let error = header_error(&format!(r#"{{"alg":"RS256","jwk":{{"kty":"RSA","n":"AQ","e":"AQAB"}},"url":"{URL}"}}"#));
    assert_eq!(error, JwsError::Key(JwkError::RsaSize(1)));
    let problem = error.problem();
    assert_eq!((&problem.kind, problem.status), (&ProblemType::BadPublicKey, 400));
    assert!(problem.detail.contains("the RSA modulus has 1 bits"), "{}", problem.detail);
}

#[test]
fn an_inner_jws_needs_no_nonce() {
    let key = key(Algorithm::Es384);
    let inner = sign(&key, Header { nonce: None, url: URL, kid: None }, b"{}");
    assert_eq!(Jws::parse(&inner).expect("parses").protected().nonce, None);
}
