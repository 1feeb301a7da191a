use super::*;
use crate::testing::{EdSigner, RsaSigner, p256_key, read};

fn weak(name: &str) -> Result<(), WeakKey> {
    PublicKey::from_spki_der(&read(&format!("weak/{name}.spki.der"))).unwrap().check_strength()
}

#[test]
fn weak_keys_are_refused_for_their_weakness() {
    for (name, expected) in [
        ("short_1024", WeakKey::RsaSize(1_024)),
        ("size_2049", WeakKey::RsaSizeNotWholeOctets(2_049)),
        ("even_modulus", WeakKey::EvenModulus),
        ("exponent_even", WeakKey::EvenExponent),
        ("exponent_1", WeakKey::SmallExponent(1)),
        ("exponent_3", WeakKey::SmallExponent(3)),
        ("exponent_40_bits", WeakKey::LargeExponent(40)),
        ("exponent_80_bits", WeakKey::LargeExponent(80)),
        ("factor_751", WeakKey::SmallFactor(751)),
        ("roca", WeakKey::Roca),
        ("fermat_next_prime", WeakKey::CloseFactors),
        ("fermat_100_rounds", WeakKey::CloseFactors),
    ] {
        assert_eq!(weak(name), Err(expected), "{name}");
    }
}

#[test]
fn keys_at_the_right_side_of_each_limit_are_accepted() {
    // The last of these would fall to Fermat's method in 130 rounds.
    for name in ["good_2048", "factor_757", "fermat_130_rounds"] {
        assert_eq!(weak(name), Ok(()), "{name}");
    }
    assert_eq!(RsaSigner::of("root").public_key().check_strength(), Ok(()));
    assert_eq!(p256_key().check_strength(), Ok(()));
    assert_eq!(EdSigner::of(1).public_key().check_strength(), Ok(()));
}

#[test]
fn keys_that_openssl_made_are_read_as_they_are() {
    for (path, kind) in [("leaf_p256", KeyKind::P256), ("leaf_rsa", KeyKind::Rsa { bits: 2_048 })] {
        let spki = read(&format!("keys/{path}.spki.der"));
        let key = PublicKey::from_spki_der(&spki).unwrap();
        assert_eq!(key.kind(), kind);
        assert_eq!(key.spki_der(), spki);
        if let Some((modulus, exponent)) = key.rsa_components() {
            assert_eq!(PublicKey::from_rsa(modulus, exponent), Ok(key.clone()));
        }
    }
    assert_eq!(p256_key().spki_der(), read("keys/leaf_p256.spki.der"));
    assert_eq!(RsaSigner::of("leaf_rsa").public_key().spki_der(), read("keys/leaf_rsa.spki.der"));
}

#[test]
fn key_identifier_is_sha1_of_the_bit_string() {
    // The expected value was computed by an independent implementation.
    let identifier = data_encoding::HEXLOWER.encode(&RsaSigner::of("leaf_rsa").public_key().key_identifier());
    let expected = String::from_utf8(read("keys/leaf_rsa.key_identifier.txt")).unwrap();
    assert_eq!(identifier, expected.trim());
}

#[test]
fn point_off_the_curve_is_refused() {
    let mut point = p256_key().key_octets().to_vec();
    point[64] ^= 1;
    assert_eq!(PublicKey::from_ec_point(KeyKind::P256, &point), Err(KeyError::Point(KeyKind::P256)));
    // Compressed, and of another curve's length.
    assert_eq!(PublicKey::from_ec_point(KeyKind::P256, &point[..33]), Err(KeyError::Point(KeyKind::P256)));
    assert_eq!(PublicKey::from_ec_point(KeyKind::P384, &point), Err(KeyError::Point(KeyKind::P384)));
}

#[test]
fn parameters_must_be_those_of_the_algorithm() {
    let rsa = RsaSigner::of("leaf_rsa").public_key();
    let without_null: &[u8] = &[0x30, 11, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    assert_eq!(PublicKey::from_spki_der(&spki_of(without_null, rsa.key_octets())), Err(KeyError::Parameters));
    let ed25519_with_null: &[u8] = &[0x30, 7, 0x06, 3, 0x2b, 0x65, 0x70, 0x05, 0];
    assert_eq!(PublicKey::from_spki_der(&spki_of(ed25519_with_null, &[1; 32])), Err(KeyError::Parameters));
    let secp256k1: &[u8] = &[0x30, 16, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 5, 0x2b, 0x81, 4, 0, 10];
    assert!(matches!(
        PublicKey::from_spki_der(&spki_of(secp256k1, p256_key().key_octets())),
        Err(KeyError::UnsupportedCurve(_))
    ));
    let ed448: &[u8] = &[0x30, 5, 0x06, 3, 0x2b, 0x65, 0x71];
    assert!(matches!(PublicKey::from_spki_der(&spki_of(ed448, &[1; 57])), Err(KeyError::UnsupportedAlgorithm(_))));
}

#[test]
fn bytes_after_a_key_or_too_many_are_refused() {
    let mut spki = p256_key().spki_der().to_vec();
    spki.push(0);
    assert!(matches!(PublicKey::from_spki_der(&spki), Err(KeyError::Malformed(_))));
    assert_eq!(PublicKey::from_spki_der(&[0; SPKI_OCTETS_MAX + 1]), Err(KeyError::TooLong(SPKI_OCTETS_MAX + 1)));
}

#[test]
fn signatures_verify_with_their_key_algorithm_and_message_only() {
    let signer = RsaSigner::of("leaf_rsa");
    let (key, signature) = (signer.public_key(), signer.sign(b"message"));
    assert_eq!(key.verify(SignatureAlgorithm::RsaSha256, b"message", &signature), Ok(()));
    let bad = Err(KeyError::BadSignature);
    assert_eq!(key.verify(SignatureAlgorithm::RsaSha256, b"massage", &signature), bad);
    assert_eq!(key.verify(SignatureAlgorithm::RsaSha384, b"message", &signature), bad);
    let other = RsaSigner::of("root").public_key();
    assert_eq!(other.verify(SignatureAlgorithm::RsaSha256, b"message", &signature), bad);
    assert_eq!(
        key.verify(SignatureAlgorithm::EcdsaSha256, b"message", &signature),
        Err(KeyError::AlgorithmMismatch {
            algorithm: SignatureAlgorithm::EcdsaSha256,
            kind: KeyKind::Rsa { bits: 2_048 }
        })
    );
}

#[test]
fn every_algorithm_identifier_reads_back_and_is_der() {
    for algorithm in SignatureAlgorithm::ALL {
        let der = algorithm.algorithm_identifier_der();
        let read = AlgorithmIdentifierRef::from_der(der).unwrap();
        assert_eq!(read.to_der().unwrap(), der);
        assert_eq!(SignatureAlgorithm::from_algorithm_identifier_der(der), Some(algorithm));
        let is_rsa = read.oid.to_string().starts_with("1.2.840.113549");
        assert_eq!(read.parameters, is_rsa.then_some(AnyRef::NULL), "{algorithm}");
    }
}
