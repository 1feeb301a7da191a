//! Kinds of keys and of signatures, and how X.509 spells them.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self as verification, VerificationAlgorithm};

/// What kind of key a public key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// RSA.
    Rsa {
        /// Size of the modulus, in bits.
        bits: u32,
    },
    /// Ed25519 (RFC 8410).
    Ed25519,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P256 => f.write_str("ECDSA P-256"),
            Self::P384 => f.write_str("ECDSA P-384"),
            Self::P521 => f.write_str("ECDSA P-521"),
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

/// AlgorithmIdentifier of an RSA key: parameters are NULL (RFC 3279 §2.3.1).
pub(super) const RSA_ENCRYPTION_DER: &[u8] = &[0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0];

impl KeyKind {
    /// The AlgorithmIdentifier of such a key; `None` for RSA, whose keys are not points.
    pub(super) const fn spki_algorithm_der(self) -> Option<&'static [u8]> {
        match self {
            Self::P256 => Some(&[
                0x30, 19, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
            ]),
            Self::P384 => Some(&[0x30, 16, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 5, 0x2b, 0x81, 4, 0, 34]),
            Self::P521 => Some(&[0x30, 16, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 5, 0x2b, 0x81, 4, 0, 35]),
            Self::Ed25519 => Some(&[0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70]),
            Self::Rsa { .. } => None,
        }
    }
}

/// A signature algorithm of X.509. SHA-1 is nowhere among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ecdsa-with-SHA256 (RFC 5758 §3.2).
    EcdsaSha256,
    /// ecdsa-with-SHA384 (RFC 5758 §3.2).
    EcdsaSha384,
    /// ecdsa-with-SHA512 (RFC 5758 §3.2).
    EcdsaSha512,
    /// sha256WithRSAEncryption (RFC 4055 §5).
    RsaSha256,
    /// sha384WithRSAEncryption (RFC 4055 §5).
    RsaSha384,
    /// sha512WithRSAEncryption (RFC 4055 §5).
    RsaSha512,
    /// Ed25519 (RFC 8410 §3).
    Ed25519,
}

impl SignatureAlgorithm {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::RsaSha256,
        Self::RsaSha384,
        Self::RsaSha512,
        Self::Ed25519,
    ];

    /// The AlgorithmIdentifier: ECDSA and Ed25519 without parameters (RFC 5758 §3.2, RFC 8410 §3), RSA with NULL
    /// (RFC 4055 §5).
    pub const fn algorithm_identifier_der(self) -> &'static [u8] {
        match self {
            Self::EcdsaSha256 => &[0x30, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
            Self::EcdsaSha384 => &[0x30, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3],
            Self::EcdsaSha512 => &[0x30, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4],
            Self::RsaSha256 => &[0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 0x05, 0],
            Self::RsaSha384 => &[0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12, 0x05, 0],
            Self::RsaSha512 => &[0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13, 0x05, 0],
            Self::Ed25519 => &[0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70],
        }
    }

    /// Reads an AlgorithmIdentifier, which must be exactly as [`Self::algorithm_identifier_der`] writes it.
    pub fn from_algorithm_identifier_der(der: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.algorithm_identifier_der() == der)
    }

    /// What a message is digested with before it is signed; `None`: it is signed as it is.
    pub(super) fn digest(self) -> Option<&'static digest::Algorithm> {
        match self {
            Self::EcdsaSha256 | Self::RsaSha256 => Some(&digest::SHA256),
            Self::EcdsaSha384 | Self::RsaSha384 => Some(&digest::SHA384),
            Self::EcdsaSha512 | Self::RsaSha512 => Some(&digest::SHA512),
            Self::Ed25519 => None,
        }
    }

    /// How such a signature is verified with a key of this kind; `None` if the two do not belong together.
    pub(super) fn verification(self, kind: KeyKind) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match (self, kind) {
            (Self::EcdsaSha256, KeyKind::P256) => &verification::ECDSA_P256_SHA256_ASN1,
            (Self::EcdsaSha384, KeyKind::P256) => &verification::ECDSA_P256_SHA384_ASN1,
            (Self::EcdsaSha512, KeyKind::P256) => &verification::ECDSA_P256_SHA512_ASN1,
            (Self::EcdsaSha256, KeyKind::P384) => &verification::ECDSA_P384_SHA256_ASN1,
            (Self::EcdsaSha384, KeyKind::P384) => &verification::ECDSA_P384_SHA384_ASN1,
            (Self::EcdsaSha512, KeyKind::P384) => &verification::ECDSA_P384_SHA512_ASN1,
            (Self::EcdsaSha256, KeyKind::P521) => &verification::ECDSA_P521_SHA256_ASN1,
            (Self::EcdsaSha384, KeyKind::P521) => &verification::ECDSA_P521_SHA384_ASN1,
            (Self::EcdsaSha512, KeyKind::P521) => &verification::ECDSA_P521_SHA512_ASN1,
            (Self::RsaSha256, KeyKind::Rsa { .. }) => &verification::RSA_PKCS1_2048_8192_SHA256,
            (Self::RsaSha384, KeyKind::Rsa { .. }) => &verification::RSA_PKCS1_2048_8192_SHA384,
            (Self::RsaSha512, KeyKind::Rsa { .. }) => &verification::RSA_PKCS1_2048_8192_SHA512,
            (Self::Ed25519, KeyKind::Ed25519) => &verification::ED25519,
            (Self::EcdsaSha256 | Self::EcdsaSha384 | Self::EcdsaSha512, KeyKind::Rsa { .. } | KeyKind::Ed25519)
            | (
                Self::RsaSha256 | Self::RsaSha384 | Self::RsaSha512,
                KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Ed25519,
            )
            | (Self::Ed25519, KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Rsa { .. }) => return None,
        })
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaSha256 => "ECDSA with SHA-256",
            Self::EcdsaSha384 => "ECDSA with SHA-384",
            Self::EcdsaSha512 => "ECDSA with SHA-512",
            Self::RsaSha256 => "RSA with SHA-256",
            Self::RsaSha384 => "RSA with SHA-384",
            Self::RsaSha512 => "RSA with SHA-512",
            Self::Ed25519 => "Ed25519",
        })
    }
}
