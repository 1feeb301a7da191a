//! Public keys, the signatures they verify, and the faults that make a key weak.

mod algorithm;
mod strength;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ParsedPublicKey, UnparsedPublicKey};
use const_oid::ObjectIdentifier;
use der::asn1::{AnyRef, UintRef};
use der::{Decode, Encode};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::writer::Writer;
use crate::{Sha256, oid};

pub use algorithm::{KeyKind, SignatureAlgorithm};
pub use strength::WeakKey;

/// The longest SPKI that is read, in octets: an RSA key of 16,384 bits fits, and is refused for its size elsewhere.
pub const SPKI_OCTETS_MAX: usize = 4_096;

/// A message that comes piece by piece, whose signature is to be verified: see [`PublicKey::verify_pieces`].
pub struct SignedPieces {
    key: PublicKey,
    algorithm: SignatureAlgorithm,
    said: Said,
}

enum Said {
    Digest(digest::Context),
    /// Ed25519 goes over its message twice.
    Whole(Vec<u8>),
}

impl SignedPieces {
    /// The next piece. For Ed25519 alone it is kept.
    pub fn add(&mut self, piece: &[u8]) {
        match &mut self.said {
            Said::Digest(context) => context.update(piece),
            Said::Whole(whole) => whole.extend_from_slice(piece),
        }
    }

    /// As [`PublicKey::verify`], of all pieces together.
    ///
    /// # Errors
    /// As [`PublicKey::verify`].
    pub fn verify(self, signature: &[u8]) -> Result<(), KeyError> {
        let Self { key, algorithm, said } = self;
        let digest = match said {
            Said::Whole(whole) => return key.verify(algorithm, &whole, signature),
            Said::Digest(context) => context.finish(),
        };
        let mismatch = KeyError::AlgorithmMismatch { algorithm, kind: key.kind() };
        let verification = algorithm.verification(key.kind()).ok_or(mismatch)?;
        let verified = UnparsedPublicKey::new(verification, key.spki_der()).verify_digest(&digest, signature);
        verified.map_err(|_| KeyError::BadSignature)
    }
}

impl fmt::Debug for SignedPieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedPieces({})", self.algorithm)
    }
}

/// What is wrong with a public key, or with its use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a SubjectPublicKeyInfo in DER.
    #[error("the public key is not a SubjectPublicKeyInfo in DER: {0}")]
    Malformed(String),
    /// Longer than [`SPKI_OCTETS_MAX`].
    #[error("the public key is {0} octets long; at most {SPKI_OCTETS_MAX} are read")]
    TooLong(usize),
    /// An algorithm that is not supported.
    #[error("keys of algorithm {0} are not supported; use ECDSA P-256 or P-384, RSA from 2048 bits, or Ed25519")]
    UnsupportedAlgorithm(ObjectIdentifier),
    /// A curve that is not supported.
    #[error("the elliptic curve {0} is not supported; use P-256 or P-384")]
    UnsupportedCurve(ObjectIdentifier),
    /// Parameters that do not belong to the algorithm (RFC 3279 §2.3.1, RFC 5480 §2.1.1, RFC 8410 §3).
    #[error("the key's algorithm parameters are wrong: RSA has NULL, ECDSA a named curve, Ed25519 none")]
    Parameters,
    /// A point that is not an uncompressed point of its curve.
    #[error("the {0} key is not an uncompressed point on its curve")]
    Point(KeyKind),
    /// Modulus and exponent that no signature can be verified with.
    #[error("the RSA key cannot be used: the modulus has to be odd, the exponent odd, more than 1 and at most 33 bits")]
    Rsa,
    /// A signature algorithm that does not belong to the key.
    #[error("{algorithm} signatures cannot be made with an {kind} key")]
    AlgorithmMismatch {
        /// The algorithm asked for.
        algorithm: SignatureAlgorithm,
        /// What the key is.
        kind: KeyKind,
    },
    /// A signature that does not verify.
    #[error("the signature does not verify with this key")]
    BadSignature,
}

/// A public key: a SubjectPublicKeyInfo, kept as its exact DER (RFC 5280 §4.1.2.7). Cheap to clone.
#[derive(Clone)]
pub struct PublicKey {
    inner: Arc<Inner>,
}

struct Inner {
    spki: Vec<u8>,
    kind: KeyKind,
    /// The contents of the BIT STRING lie in `spki` from here to the end.
    key_at: usize,
    /// For the default signature algorithm; made when first needed, since most keys verify nothing or one signature.
    parsed: OnceLock<Option<ParsedPublicKey>>,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo, strictly, and checks that EC points are on their curve. Weak keys are read too:
    /// see [`PublicKey::check_strength`].
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, KeyError> {
        if spki.len() > SPKI_OCTETS_MAX {
            return Err(KeyError::TooLong(spki.len()));
        }
        let malformed = |error: der::Error| KeyError::Malformed(error.to_string());
        let read = SubjectPublicKeyInfoRef::from_der(spki).map_err(malformed)?;
        if read.to_der().map_err(malformed)? != spki {
            return Err(KeyError::Malformed("it does not encode back to the same bytes".to_owned()));
        }
        let contents = read
            .subject_public_key
            .as_bytes()
            .ok_or_else(|| KeyError::Malformed("the BIT STRING does not end with a whole octet".to_owned()))?;
        let kind = kind_of(&read.algorithm, contents)?;
        let key = Self {
            inner: Arc::new(Inner {
                spki: spki.to_vec(),
                kind,
                key_at: spki.len() - contents.len(),
                parsed: OnceLock::new(),
            }),
        };
        // RSA keys may be unusable and still deserve to be told why, by check_strength.
        if !matches!(kind, KeyKind::Rsa { .. }) && key.parsed().is_none() {
            return Err(KeyError::Point(kind));
        }
        Ok(key)
    }

    /// From an uncompressed point (SEC 1 §2.3.3), or the 32 octets of an Ed25519 key.
    pub fn from_ec_point(kind: KeyKind, point: &[u8]) -> Result<Self, KeyError> {
        let Some(algorithm) = kind.spki_algorithm_der() else {
            return Err(KeyError::Parameters);
        };
        Self::from_spki_der(&spki_of(algorithm, point))
    }

    /// From the big-endian octets of modulus and exponent (RFC 8017 appendix A.1.1).
    pub fn from_rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let mut writer = Writer::with_capacity(modulus.len() + 32);
        writer.sequence(|writer| {
            writer.unsigned_integer(modulus);
            writer.unsigned_integer(exponent);
        });
        Self::from_spki_der(&spki_of(algorithm::RSA_ENCRYPTION_DER, &writer.finish()))
    }

    /// The exact encoding.
    pub fn spki_der(&self) -> &[u8] {
        &self.inner.spki
    }

    /// What kind of key it is.
    pub fn kind(&self) -> KeyKind {
        self.inner.kind
    }

    /// SHA-256 of the whole SubjectPublicKeyInfo: the name of a key in the list of blocked keys, and the
    /// issuer_key_hash of RFC 6962 §3.2.
    pub fn spki_hash(&self) -> Sha256 {
        Sha256::of(self.spki_der())
    }

    /// SHA-1 of the contents of the BIT STRING: subject and authority key identifier (RFC 5280 §4.2.1.2, method 1).
    /// A name of the key, on whose strength nothing rests.
    pub fn key_identifier(&self) -> [u8; 20] {
        let mut identifier = [0; 20];
        identifier.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, self.key_octets()).as_ref());
        identifier
    }

    /// The contents of the BIT STRING: a point, an RSAPublicKey, or the octets of an Ed25519 key.
    pub fn key_octets(&self) -> &[u8] {
        &self.inner.spki[self.inner.key_at..]
    }

    /// Modulus and exponent of an RSA key, big-endian and without zeros in front.
    pub fn rsa_components(&self) -> Option<(&[u8], &[u8])> {
        match self.kind() {
            KeyKind::Rsa { .. } => rsa_components(self.key_octets()).ok(),
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Ed25519 => None,
        }
    }

    /// Verifies a signature in the form X.509 has it: for ECDSA the DER of RFC 3279 §2.2.3.
    pub fn verify(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let verification =
            algorithm.verification(self.kind()).ok_or(KeyError::AlgorithmMismatch { algorithm, kind: self.kind() })?;
        let verified = if algorithm == self.default_signature_algorithm() {
            self.parsed().ok_or(KeyError::Rsa)?.verify_sig(message, signature)
        } else {
            UnparsedPublicKey::new(verification, self.spki_der()).verify(message, signature)
        };
        verified.map_err(|_| KeyError::BadSignature)
    }

    /// Begins to verify a signature of a message that comes piece by piece.
    ///
    /// # Errors
    /// [`KeyError::AlgorithmMismatch`].
    pub fn verify_pieces(&self, algorithm: SignatureAlgorithm) -> Result<SignedPieces, KeyError> {
        algorithm.verification(self.kind()).ok_or(KeyError::AlgorithmMismatch { algorithm, kind: self.kind() })?;
        let said =
            algorithm.digest().map_or_else(|| Said::Whole(Vec::new()), |of| Said::Digest(digest::Context::new(of)));
        Ok(SignedPieces { key: self.clone(), algorithm, said })
    }

    /// The algorithm a CA signs with, given such a key: the digest of the key's own strength.
    pub fn default_signature_algorithm(&self) -> SignatureAlgorithm {
        match self.kind() {
            KeyKind::P256 => SignatureAlgorithm::EcdsaSha256,
            KeyKind::P384 => SignatureAlgorithm::EcdsaSha384,
            KeyKind::P521 => SignatureAlgorithm::EcdsaSha512,
            KeyKind::Rsa { .. } => SignatureAlgorithm::RsaSha256,
            KeyKind::Ed25519 => SignatureAlgorithm::Ed25519,
        }
    }

    /// Whether a certificate may be issued for this key (BR 6.1.1.3, 6.1.5, 6.1.6): RSA of 2048 to 8192 bits, a
    /// multiple of 8, exponent odd and from 65537 on, modulus without a factor below 752, not of the ROCA form and
    /// not open to Fermat's method in 110 rounds; EC on P-256 or P-384. Blocked keys are the ledger's to know.
    pub fn check_strength(&self) -> Result<(), WeakKey> {
        strength::check(self)
    }

    /// The part of [`PublicKey::check_strength`] without which no signature can be verified.
    pub(crate) fn check_size(&self) -> Result<(), WeakKey> {
        strength::check_size(self)
    }

    fn parsed(&self) -> Option<&ParsedPublicKey> {
        self.inner
            .parsed
            .get_or_init(|| {
                let verification = self.default_signature_algorithm().verification(self.kind())?;
                ParsedPublicKey::new(verification, self.spki_der()).ok()
            })
            .as_ref()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki_der() == other.spki_der()
    }
}

impl Eq for PublicKey {}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.spki_der().hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.kind(), self.spki_hash())
    }
}

fn spki_of(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(algorithm.len() + key.len() + 16);
    writer.sequence(|writer| {
        writer.raw(algorithm);
        writer.bit_string(key);
    });
    writer.finish()
}

fn kind_of(algorithm: &AlgorithmIdentifierRef<'_>, contents: &[u8]) -> Result<KeyKind, KeyError> {
    match algorithm.oid {
        oid::EC_PUBLIC_KEY => ec_kind(algorithm.parameters, contents),
        oid::RSA_ENCRYPTION => {
            if algorithm.parameters != Some(AnyRef::NULL) {
                return Err(KeyError::Parameters);
            }
            let (modulus, _) = rsa_components(contents)?;
            let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
            Ok(KeyKind::Rsa { bits: u32::try_from(bits).unwrap_or(u32::MAX) })
        }
        oid::ED25519 => {
            if algorithm.parameters.is_some() {
                return Err(KeyError::Parameters);
            }
            if contents.len() != 32 {
                return Err(KeyError::Point(KeyKind::Ed25519));
            }
            Ok(KeyKind::Ed25519)
        }
        other => Err(KeyError::UnsupportedAlgorithm(other)),
    }
}

fn ec_kind(parameters: Option<AnyRef<'_>>, point: &[u8]) -> Result<KeyKind, KeyError> {
    let curve: ObjectIdentifier =
        parameters.and_then(|parameters| parameters.decode_as().ok()).ok_or(KeyError::Parameters)?;
    let (kind, octets) = match curve {
        oid::SECP256R1 => (KeyKind::P256, 65),
        oid::SECP384R1 => (KeyKind::P384, 97),
        oid::SECP521R1 => (KeyKind::P521, 133),
        other => return Err(KeyError::UnsupportedCurve(other)),
    };
    if point.len() != octets || point[0] != 4 {
        return Err(KeyError::Point(kind));
    }
    Ok(kind)
}

#[derive(der::Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

fn rsa_components(contents: &[u8]) -> Result<(&[u8], &[u8]), KeyError> {
    let key = RsaPublicKey::from_der(contents).map_err(|error| KeyError::Malformed(error.to_string()))?;
    Ok((key.modulus.as_bytes(), key.exponent.as_bytes()))
}

#[cfg(test)]
mod tests;
