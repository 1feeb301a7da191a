//! Key pairs: made, read, written and signed with.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding};
use pki::{KeyError, KeyKind, PublicKey, SignatureAlgorithm};
use zeroize::Zeroizing;

/// Which kind of key is to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256: small and fast. The default.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA, 2048 bits.
    Rsa2048,
    /// RSA, 3072 bits.
    Rsa3072,
    /// RSA, 4096 bits.
    Rsa4096,
    /// Ed25519 (RFC 8410). The Baseline Requirements don't allow it.
    Ed25519,
}

impl KeyAlgorithm {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::P256, Self::P384, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::Ed25519];

    /// The name used in configurations and commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no kind of key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of key: expected p256, p384, rsa2048, rsa3072, rsa4096 or ed25519")]
pub struct ParseKeyAlgorithmError(String);

impl FromStr for KeyAlgorithm {
    type Err = ParseKeyAlgorithmError;

    fn from_str(text: &str) -> Result<Self, ParseKeyAlgorithmError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == text)
            .ok_or_else(|| ParseKeyAlgorithmError(text.chars().take(80).collect()))
    }
}

/// Why a key pair could not be made, read or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyPairError {
    /// Not a private key that we can use.
    #[error(
        "no PKCS#8 private key of a kind in use: ECDSA P-256, P-384 or P-521, RSA of 2048 to 8192 bits, or Ed25519"
    )]
    Unreadable,
    /// The cryptographic library failed. Nothing is known to have been made.
    #[error("the cryptographic library failed while it {0}")]
    Library(&'static str),
    /// The public half makes no sense.
    #[error("the public half of the key: {0}")]
    PublicKey(#[from] KeyError),
    /// This key does not make such signatures.
    #[error("an {kind} key of ours makes no signatures of {algorithm}")]
    AlgorithmMismatch {
        /// What the key is.
        kind: KeyKind,
        /// What was asked for.
        algorithm: SignatureAlgorithm,
    },
}

/// A key pair, held in memory that the cryptographic library clears when it is dropped.
pub struct KeyPair {
    private: Private,
    public: PublicKey,
}

enum Private {
    /// An EC key signs with the digest of its curve's own strength, and with no other.
    Ec(EcdsaKeyPair, SignatureAlgorithm),
    Rsa(rsa::KeyPair),
    Ed25519(Ed25519KeyPair),
}

impl KeyPair {
    /// Makes a new key. RSA takes from 50 ms up to seconds.
    ///
    /// # Errors
    /// [`KeyPairError::Library`] if no key could be made.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyPairError> {
        match algorithm {
            KeyAlgorithm::P256 => Self::generate_ec(SignatureAlgorithm::EcdsaSha256),
            KeyAlgorithm::P384 => Self::generate_ec(SignatureAlgorithm::EcdsaSha384),
            KeyAlgorithm::Rsa2048 => Self::generate_rsa(KeySize::Rsa2048),
            KeyAlgorithm::Rsa3072 => Self::generate_rsa(KeySize::Rsa3072),
            KeyAlgorithm::Rsa4096 => Self::generate_rsa(KeySize::Rsa4096),
            KeyAlgorithm::Ed25519 => Self::new(Private::Ed25519(Ed25519KeyPair::generate().map_err(generating)?)),
        }
    }

    /// A key that signs with this algorithm: on the curve of the digest's strength, or RSA of 2048 bits.
    pub(crate) fn generate_for(algorithm: SignatureAlgorithm) -> Result<Self, KeyPairError> {
        match algorithm {
            SignatureAlgorithm::EcdsaSha256 | SignatureAlgorithm::EcdsaSha384 | SignatureAlgorithm::EcdsaSha512 => {
                Self::generate_ec(algorithm)
            }
            SignatureAlgorithm::RsaSha256 | SignatureAlgorithm::RsaSha384 | SignatureAlgorithm::RsaSha512 => {
                Self::generate(KeyAlgorithm::Rsa2048)
            }
            SignatureAlgorithm::Ed25519 => Self::generate(KeyAlgorithm::Ed25519),
        }
    }

    fn generate_ec(algorithm: SignatureAlgorithm) -> Result<Self, KeyPairError> {
        let signing = ecdsa_signing(algorithm).ok_or(KeyPairError::Unreadable)?;
        Self::new(Private::Ec(EcdsaKeyPair::generate(signing).map_err(generating)?, algorithm))
    }

    fn generate_rsa(size: KeySize) -> Result<Self, KeyPairError> {
        Self::new(Private::Rsa(rsa::KeyPair::generate(size).map_err(generating)?))
    }

    /// Reads an unencrypted PKCS#8 PrivateKeyInfo (RFC 5208, RFC 5958) and checks that its halves belong together.
    ///
    /// # Errors
    /// [`KeyPairError::Unreadable`] for anything else.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyPairError> {
        for algorithm in
            [SignatureAlgorithm::EcdsaSha256, SignatureAlgorithm::EcdsaSha384, SignatureAlgorithm::EcdsaSha512]
        {
            let pair = ecdsa_signing(algorithm).map(|signing| EcdsaKeyPair::from_pkcs8(signing, der));
            if let Some(Ok(pair)) = pair {
                return Self::new(Private::Ec(pair, algorithm));
            }
        }
        if let Ok(pair) = rsa::KeyPair::from_pkcs8(der) {
            return Self::new(Private::Rsa(pair));
        }
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| KeyPairError::Unreadable)?;
        Self::new(Private::Ed25519(pair))
    }

    fn new(private: Private) -> Result<Self, KeyPairError> {
        let spki: PublicKeyX509Der<'_> = match &private {
            Private::Ec(pair, _) => pair.public_key().as_der(),
            Private::Rsa(pair) => pair.public_key().as_der(),
            Private::Ed25519(pair) => pair.public_key().as_der(),
        }
        .map_err(|Unspecified| KeyPairError::Library("wrote a public key"))?;
        let public = PublicKey::from_spki_der(spki.as_ref())?;
        Ok(Self { private, public })
    }

    /// The key as PKCS#8 in DER: version 1, which every tool reads. Cleared when it is dropped.
    ///
    /// # Errors
    /// [`KeyPairError::Library`].
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyPairError> {
        let writing = |Unspecified| KeyPairError::Library("wrote a private key");
        match &self.private {
            Private::Ec(pair, _) => pair.to_pkcs8v1().map(|der| der.as_ref().to_vec()),
            Private::Ed25519(pair) => pair.to_pkcs8v1().map(|der| der.as_ref().to_vec()),
            Private::Rsa(pair) => pair.as_der().map(|der| der.as_ref().to_vec()),
        }
        .map(Zeroizing::new)
        .map_err(writing)
    }

    /// The public half.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// What this key signs with unless it is told otherwise.
    pub fn default_signature_algorithm(&self) -> SignatureAlgorithm {
        self.public.default_signature_algorithm()
    }

    /// Signs, in the form X.509 has it: ECDSA as the DER of RFC 3279 §2.2.3. On the calling thread: microseconds for
    /// EC, up to some milliseconds for RSA.
    ///
    /// # Errors
    /// [`KeyPairError::AlgorithmMismatch`], or [`KeyPairError::Library`]; no signature exists then.
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, KeyPairError> {
        let signing = |Unspecified| KeyPairError::Library("signed");
        let mismatch = KeyPairError::AlgorithmMismatch { kind: self.public.kind(), algorithm };
        match &self.private {
            Private::Ec(pair, own) if *own == algorithm => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(signing)?;
                Ok(signature.as_ref().to_vec())
            }
            Private::Ed25519(pair) if algorithm == SignatureAlgorithm::Ed25519 => {
                Ok(pair.try_sign(message).map_err(signing)?.as_ref().to_vec())
            }
            Private::Rsa(pair) => {
                let padding = rsa_padding(algorithm).ok_or(mismatch)?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut signature).map_err(signing)?;
                Ok(signature)
            }
            Private::Ec(..) | Private::Ed25519(_) => Err(mismatch),
        }
    }
}

/// What is to be signed, piece by piece.
pub(crate) struct Message {
    algorithm: SignatureAlgorithm,
    said: Said,
}

enum Said {
    Digest(digest::Context),
    /// Ed25519 goes over its message twice.
    Whole(Vec<u8>),
}

impl Message {
    /// The next piece.
    pub(crate) fn add(&mut self, piece: &[u8]) {
        match &mut self.said {
            Said::Digest(context) => context.update(piece),
            Said::Whole(whole) => whole.extend_from_slice(piece),
        }
    }
}

impl KeyPair {
    /// Begins what is to be signed with this algorithm.
    ///
    /// # Errors
    /// [`KeyPairError::AlgorithmMismatch`].
    pub(crate) fn message(&self, algorithm: SignatureAlgorithm) -> Result<Message, KeyPairError> {
        let fits = match &self.private {
            Private::Ec(_, own) => *own == algorithm,
            Private::Ed25519(_) => algorithm == SignatureAlgorithm::Ed25519,
            Private::Rsa(_) => rsa_padding(algorithm).is_some(),
        };
        if !fits {
            return Err(KeyPairError::AlgorithmMismatch { kind: self.public.kind(), algorithm });
        }
        let digest = match algorithm {
            SignatureAlgorithm::EcdsaSha256 | SignatureAlgorithm::RsaSha256 => Some(&digest::SHA256),
            SignatureAlgorithm::EcdsaSha384 | SignatureAlgorithm::RsaSha384 => Some(&digest::SHA384),
            SignatureAlgorithm::EcdsaSha512 | SignatureAlgorithm::RsaSha512 => Some(&digest::SHA512),
            SignatureAlgorithm::Ed25519 => None,
        };
        let said = digest.map_or_else(|| Said::Whole(Vec::new()), |digest| Said::Digest(digest::Context::new(digest)));
        Ok(Message { algorithm, said })
    }

    /// As [`KeyPair::sign`].
    ///
    /// # Errors
    /// As [`KeyPair::sign`].
    pub(crate) fn sign_message(&self, message: Message) -> Result<Vec<u8>, KeyPairError> {
        let signing = |Unspecified| KeyPairError::Library("signed");
        let mismatch = KeyPairError::AlgorithmMismatch { kind: self.public.kind(), algorithm: message.algorithm };
        let digest = match message.said {
            Said::Whole(whole) => return self.sign(message.algorithm, &whole),
            Said::Digest(context) => context.finish(),
        };
        match &self.private {
            Private::Ec(pair, _) => Ok(pair.sign_digest(&digest).map_err(signing)?.as_ref().to_vec()),
            Private::Rsa(pair) => {
                let padding = rsa_padding(message.algorithm).ok_or(mismatch)?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(padding, &digest, &mut signature).map_err(signing)?;
                Ok(signature)
            }
            Private::Ed25519(_) => Err(mismatch),
        }
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({:?})", self.public)
    }
}

const fn generating(_: Unspecified) -> KeyPairError {
    KeyPairError::Library("made a key")
}

const fn ecdsa_signing(algorithm: SignatureAlgorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        SignatureAlgorithm::EcdsaSha256 => Some(&signature::ECDSA_P256_SHA256_ASN1_SIGNING),
        SignatureAlgorithm::EcdsaSha384 => Some(&signature::ECDSA_P384_SHA384_ASN1_SIGNING),
        SignatureAlgorithm::EcdsaSha512 => Some(&signature::ECDSA_P521_SHA512_ASN1_SIGNING),
        SignatureAlgorithm::RsaSha256
        | SignatureAlgorithm::RsaSha384
        | SignatureAlgorithm::RsaSha512
        | SignatureAlgorithm::Ed25519 => None,
    }
}

fn rsa_padding(algorithm: SignatureAlgorithm) -> Option<&'static dyn RsaEncoding> {
    match algorithm {
        SignatureAlgorithm::RsaSha256 => Some(&signature::RSA_PKCS1_SHA256),
        SignatureAlgorithm::RsaSha384 => Some(&signature::RSA_PKCS1_SHA384),
        SignatureAlgorithm::RsaSha512 => Some(&signature::RSA_PKCS1_SHA512),
        SignatureAlgorithm::EcdsaSha256
        | SignatureAlgorithm::EcdsaSha384
        | SignatureAlgorithm::EcdsaSha512
        | SignatureAlgorithm::Ed25519 => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> impl Iterator<Item = KeyAlgorithm> {
        // The larger RSA sizes take seconds to make and share all of their code with the smallest.
        KeyAlgorithm::ALL.into_iter().filter(|kind| !matches!(kind, KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096))
    }

    #[test]
    fn signatures_verify_under_the_public_half_alone() {
        for kind in quick() {
            let pair = KeyPair::generate(kind).unwrap();
            let other = KeyPair::generate(kind).unwrap();
            let algorithm = pair.default_signature_algorithm();
            let signature = pair.sign(algorithm, b"message").unwrap();
            assert_eq!(pair.public_key().verify(algorithm, b"message", &signature), Ok(()), "{kind}");
            assert_eq!(
                pair.public_key().verify(algorithm, b"massage", &signature),
                Err(KeyError::BadSignature),
                "{kind}"
            );
            assert_eq!(
                other.public_key().verify(algorithm, b"message", &signature),
                Err(KeyError::BadSignature),
                "{kind}"
            );
        }
    }

    #[test]
    fn a_key_survives_its_pkcs8_form() {
        for kind in quick() {
            let pair = KeyPair::generate(kind).unwrap();
            let read = KeyPair::from_pkcs8_der(&pair.to_pkcs8_der().unwrap()).unwrap();
            assert_eq!(read.public_key(), pair.public_key(), "{kind}");
            let algorithm = read.default_signature_algorithm();
            let signature = read.sign(algorithm, b"message").unwrap();
            assert_eq!(pair.public_key().verify(algorithm, b"message", &signature), Ok(()), "{kind}");
        }
    }

    #[test]
    fn rsa_signs_with_every_digest_and_others_with_their_own() {
        for kind in quick() {
            let pair = KeyPair::generate(kind).unwrap();
            for algorithm in SignatureAlgorithm::ALL {
                let rsa = matches!(
                    algorithm,
                    SignatureAlgorithm::RsaSha256 | SignatureAlgorithm::RsaSha384 | SignatureAlgorithm::RsaSha512
                );
                let expected =
                    if kind == KeyAlgorithm::Rsa2048 { rsa } else { algorithm == pair.default_signature_algorithm() };
                match pair.sign(algorithm, b"message") {
                    Ok(signature) => {
                        assert!(expected, "{kind} {algorithm}");
                        assert_eq!(pair.public_key().verify(algorithm, b"message", &signature), Ok(()));
                    }
                    Err(error) => {
                        assert!(!expected, "{kind} {algorithm}");
                        assert!(matches!(error, KeyPairError::AlgorithmMismatch { .. }), "{error}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let whole = KeyPair::generate(KeyAlgorithm::P256).unwrap().to_pkcs8_der().unwrap();
        for bytes in [&b""[..], b"no key", &whole[..whole.len() - 1]] {
            assert_eq!(KeyPair::from_pkcs8_der(bytes).unwrap_err(), KeyPairError::Unreadable);
        }
    }

    #[test]
    fn debugging_output_shows_the_public_half_only() {
        let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        assert_eq!(format!("{pair:?}"), format!("KeyPair({:?})", pair.public_key()));
    }

    #[test]
    fn kinds_survive_their_names() {
        for kind in KeyAlgorithm::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("rsa1024".parse::<KeyAlgorithm>().is_err());
    }
}
