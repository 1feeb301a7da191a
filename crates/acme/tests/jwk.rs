//! Account keys: the vectors of the RFCs, and every fault by name.

use acme::{Algorithm, Base64urlError, Jwk, JwkError, ProblemType, SigningKey, base64url_encode};

const P256: &str = concat!(
    r#"{"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","#,
    r#""y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#
);
const ED25519: &str = r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const RFC7638: &str = include_str!("../testdata/rfc7638_3_1.jwk.json");

fn key(algorithm: Algorithm) -> (SigningKey, &'static [u8]) {
    let (der, spki): (&[u8], &[u8]) = match algorithm {
        Algorithm::Es256 => {
            (include_bytes!("../testdata/es256.pkcs8.der"), include_bytes!("../testdata/es256.spki.der"))
        }
        Algorithm::Es384 => {
            (include_bytes!("../testdata/es384.pkcs8.der"), include_bytes!("../testdata/es384.spki.der"))
        }
        Algorithm::Es512 => {
            (include_bytes!("../testdata/es512.pkcs8.der"), include_bytes!("../testdata/es512.spki.der"))
        }
        Algorithm::Rs256 => {
            (include_bytes!("../testdata/rs256.pkcs8.der"), include_bytes!("../testdata/rs256.spki.der"))
        }
        Algorithm::EdDsa => {
            (include_bytes!("../testdata/eddsa.pkcs8.der"), include_bytes!("../testdata/eddsa.spki.der"))
        }
    };
    (SigningKey::from_pkcs8(algorithm, der).expect("a key made by OpenSSL"), spki)
}

fn fault(json: &str) -> JwkError {
    Jwk::parse(json).expect_err(json)
}

fn rsa(n: &[u8], e: &[u8]) -> String {
    format!(r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#, base64url_encode(n), base64url_encode(e))
}

/// An odd number of this many octets with its highest bit set.
fn modulus(octets: usize) -> Vec<u8> {
    (0..octets).map(|at| if at == 0 { 0x80 } else { 0x55 }).collect()
}

#[test]
fn rfc7638_3_1_rsa_thumbprint() {
    let jwk = Jwk::parse(RFC7638).expect("the RFC's key");
    assert_eq!(jwk.thumbprint().to_string(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert!(jwk.to_json().starts_with(r#"{"e":"AQAB","kty":"RSA","n":"0vx7agoebGcQ"#));
    assert_eq!(jwk.description(), "RSA 2048");
}

#[test]
fn rfc8037_a3_ed25519_thumbprint() {
    let jwk = Jwk::parse(ED25519).expect("the RFC's key");
    assert_eq!(jwk.thumbprint().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn thumbprint_keeps_the_leading_zero_octets_of_coordinates() {
    // 379 times the generator of P-256; the thumbprint was computed independently, with Python's hashlib.
    let json = concat!(
        r#"{"crv":"P-256","kty":"EC","x":"AFVDiUrz0A7X10Cr29dclrBod7eH219w7qeLkKjXwAo","#,
        r#""y":"u0yFo9jqKe-q-iRAaRLdhNWxTcMr9lbvbGvVil2UP5I"}"#
    );
    let jwk = Jwk::parse(json).expect("a point of the curve");
    assert_eq!(jwk.to_json(), json);
    assert_eq!(jwk.thumbprint().to_string(), "7Yxe6c_3bAa6kiaK1G-BZmi9EeNsUmlcbdnrtLeuK4E");
}

#[test]
fn the_text_of_a_key_is_canonical_and_reads_back() {
    let rsa = Jwk::parse(RFC7638).expect("the RFC's key").to_json();
    for json in [P256, ED25519, &rsa] {
        let jwk = Jwk::parse(json).expect("a good key");
        assert_eq!(jwk.to_json(), json);
        assert_eq!(serde_json::to_string(&jwk).expect("JSON"), json);
        assert_eq!(serde_json::from_str::<Jwk>(json).expect("JSON"), jwk);
        let spaced = json.replace(',', " ,\n ").replace('{', "{\"kid\": \"x\", \"use\": \"sig\", ");
        assert_eq!(Jwk::parse(&spaced).expect("members that do not matter").thumbprint(), jwk.thumbprint());
    }
}

#[test]
fn subject_public_key_info_is_what_openssl_writes() {
    for algorithm in acme::ALGORITHMS {
        let (key, spki) = key(*algorithm);
        assert_eq!(key.jwk().spki_der(), spki, "{algorithm}");
        assert_eq!(key.jwk().algorithms(), [*algorithm]);
        assert_eq!(key.jwk().verifying_key().algorithm(), *algorithm);
    }
}

#[test]
fn coordinates_of_the_wrong_width_are_refused() {
    let short = P256.replace("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", &base64url_encode(&[1; 31]));
    assert_eq!(fault(&short), JwkError::Width { member: "x", octets: 31, width: 32, curve: "P-256" });
    let padded = P256.replace("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", &base64url_encode(&[1; 33]));
    assert_eq!(fault(&padded), JwkError::Width { member: "y", octets: 33, width: 32, curve: "P-256" });
    let other_curve = P256.replace("P-256", "P-384");
    assert_eq!(fault(&other_curve), JwkError::Width { member: "x", octets: 32, width: 48, curve: "P-384" });
    let eddsa = ED25519.replace("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "AAAA");
    assert_eq!(fault(&eddsa), JwkError::Width { member: "x", octets: 3, width: 32, curve: "Ed25519" });
}

#[test]
fn points_off_the_curve_are_bad_public_keys() {
    for (curve, width) in [("P-256", 32), ("P-384", 48)] {
        for coordinates in
            [[vec![0; width], vec![0; width]], [vec![1; width], vec![2; width]], [vec![0xff; width], vec![1; width]]]
        {
            let [x, y] = coordinates.map(|coordinate| base64url_encode(&coordinate));
            let error = fault(&format!(r#"{{"kty":"EC","crv":"{curve}","x":"{x}","y":"{y}"}}"#));
            assert_eq!(error, JwkError::NotOnCurve(curve));
            assert_eq!(error.problem().kind, ProblemType::BadPublicKey);
        }
    }
}

#[test]
fn ed25519_keys_that_sign_for_anybody_or_have_a_second_spelling_are_refused() {
    let with = |octets: [u8; 32]| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, base64url_encode(&octets));
    let ends = |first: u8, middle: u8, last: u8| {
        let mut octets = [middle; 32];
        (octets[0], octets[31]) = (first, last);
        octets
    };
    for bad in [
        ends(0, 0, 0),
        ends(0, 0, 0x80),
        ends(1, 0, 0),
        ends(1, 0, 0x80),
        ends(0xec, 0xff, 0x7f),
        ends(0xed, 0xff, 0x7f),
        ends(0xee, 0xff, 0x7f),
        ends(0xff, 0xff, 0xff),
    ] {
        assert_eq!(fault(&with(bad)), JwkError::NotOnCurve("Ed25519"), "{bad:?}");
    }
    assert!(Jwk::parse(&with(ends(0xeb, 0xff, 0x7f))).is_ok(), "the largest other y");
}

#[test]
fn rsa_moduli_of_the_wrong_size_or_even_are_refused() {
    let exponent = [1, 0, 1];
    assert!(Jwk::parse(&rsa(&modulus(256), &exponent)).is_ok());
    assert!(Jwk::parse(&rsa(&modulus(1024), &exponent)).is_ok());
    assert_eq!(fault(&rsa(&modulus(255), &exponent)), JwkError::RsaSize(2040));
    assert_eq!(fault(&rsa(&modulus(128), &exponent)), JwkError::RsaSize(1024));
    assert_eq!(fault(&rsa(&modulus(1025), &exponent)), JwkError::RsaSize(8200));
    let mut just_short = modulus(256);
    just_short[0] = 0x7f;
    assert_eq!(fault(&rsa(&just_short, &exponent)), JwkError::RsaSize(2047));
    let mut even = modulus(256);
    even[255] = 0x54;
    assert_eq!(fault(&rsa(&even, &exponent)), JwkError::EvenModulus);
    let error = fault(&rsa(&[&[0], modulus(256).as_slice()].concat(), &exponent));
    assert_eq!(error, JwkError::LeadingZero("n"));
    assert_eq!(error.problem().kind, ProblemType::BadPublicKey);
    assert_eq!(fault(&rsa(&[], &exponent)), JwkError::EmptyNumber("n"));
}

#[test]
fn rsa_exponents_that_are_one_even_or_huge_are_refused() {
    let n = modulus(256);
    for good in [vec![3], vec![17], vec![1, 0, 1], vec![1, 0xff, 0xff, 0xff, 0xff]] {
        assert!(Jwk::parse(&rsa(&n, &good)).is_ok(), "{good:?}");
    }
    for bad in [vec![1], vec![2], vec![1, 0, 0], vec![2, 0, 0, 0, 1], vec![1; 256]] {
        assert_eq!(fault(&rsa(&n, &bad)), JwkError::Exponent, "{bad:?}");
    }
    assert_eq!(fault(&rsa(&n, &[0, 1, 0, 1])), JwkError::LeadingZero("e"));
    assert_eq!(fault(&rsa(&n, &[0])), JwkError::LeadingZero("e"));
    assert_eq!(fault(&rsa(&n, &[])), JwkError::EmptyNumber("e"));
}

#[test]
fn keys_of_kinds_that_are_not_supported_are_refused() {
    assert_eq!(fault(r#"{"kty":"oct","k":"AAAA"}"#), JwkError::Symmetric);
    assert_eq!(fault(r#"{"kty":"AKP","alg":"ML-DSA-44"}"#), JwkError::Type("AKP".to_owned()));
    assert_eq!(fault(r#"{"kty":"EC","crv":"secp256k1","x":"","y":""}"#), JwkError::Curve("secp256k1".to_owned()));
    assert_eq!(fault(r#"{"kty":"EC","crv":"secp256k1","x":"","y":""}"#), JwkError::Curve("secp256k1".to_owned()));
    assert_eq!(fault(r#"{"kty":"OKP","crv":"X25519","x":""}"#), JwkError::Curve("X25519".to_owned()));
    assert_eq!(fault(r#"{"kty":"EC","crv":"Ed25519","x":""}"#).problem().kind, ProblemType::BadPublicKey);
}

#[test]
fn private_keys_are_refused_and_called_lost() {
    for json in [P256, ED25519] {
        let error = fault(&json.replacen('{', r#"{"d":"AAAA","#, 1));
        assert_eq!(error, JwkError::Private);
        assert!(error.to_string().contains("no longer secret"));
    }
    assert_eq!(fault(&P256.replacen('{', r#"{"d":null,"#, 1)), JwkError::Private);
}

#[test]
fn texts_that_are_no_jwk_are_malformed() {
    let json = |text: &str| {
        let error = fault(text);
        assert!(matches!(error, JwkError::Json(_)), "{text}: {error}");
        assert_eq!(error.problem().kind, ProblemType::Malformed);
    };
    json("");
    json("null");
    json(r#"["EC"]"#);
    json(r#"{"crv":"P-256"}"#);
    json(r#"{"kty":1}"#);
    json(&P256.replacen('{', r#"{"kty":"EC","#, 1));
    json(&P256.replacen('{', r#"{"x":"AAAA","#, 1));
    json(&format!("{P256} {P256}"));
    assert_eq!(fault(r#"{"kty":"EC","crv":"P-256","x":"AAAA"}"#), JwkError::Missing("y"));
    assert_eq!(fault(r#"{"kty":"RSA","n":"AAAA"}"#), JwkError::Missing("e"));
    assert_eq!(fault(r#"{"kty":"OKP","x":"AAAA"}"#), JwkError::Missing("crv"));
    let padded = P256.replace("RVEU\"", "RVEU=\"");
    assert_eq!(fault(&padded), JwkError::Base64url { member: "x", fault: Base64urlError::Padding(43) });
    let bits = P256.replace("RVEU\"", "RVEV\"");
    assert_eq!(fault(&bits), JwkError::Base64url { member: "x", fault: Base64urlError::TrailingBits });
    let long = P256.replacen('{', &format!(r#"{{"note":"{}","#, "x".repeat(9000)), 1);
    assert!(matches!(fault(&long), JwkError::TooLong(_)));
}
