//! Signed requests: flattened JWS with the header rules of ACME (RFC 7515 §7.2.2, RFC 8555 §6.2).

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::base64url::{Base64urlError, base64url_decode, base64url_encode};
use crate::evidence::flattened;
use crate::jwk::{Jwk, JwkError};
use crate::problem::{Problem, ProblemType};
use crate::strict::{self, Presence, Text};
use crate::verification::VerifyingKey;

/// The longest JWS that is read, in octets. The server may set a lower limit.
pub const JWS_OCTETS_MAX: usize = 256 * 1024;
/// The longest nonce, in characters. Ours are shorter; others' are refused by their seal anyway.
const NONCE_CHARS_MAX: usize = 128;
/// The longest `url` and `kid`, in octets.
const URL_OCTETS_MAX: usize = 2048;

/// The signature algorithms that are supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 7518 §3.4).
    Es256,
    /// ECDSA on P-384 with SHA-384 (RFC 7518 §3.4).
    Es384,
    /// ECDSA on P-521 with SHA-512 (RFC 7518 §3.4).
    Es512,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3).
    Rs256,
    /// Ed25519 (RFC 8037 §3.1).
    EdDsa,
}

/// All supported algorithms: the `algorithms` member of `badSignatureAlgorithm` (RFC 8555 §6.2).
pub const ALGORITHMS: &[Algorithm] =
    &[Algorithm::Es256, Algorithm::Es384, Algorithm::Es512, Algorithm::Rs256, Algorithm::EdDsa];

impl Algorithm {
    /// The `alg` value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        ALGORITHMS.iter().copied().find(|algorithm| algorithm.as_str() == name)
    }

    /// The length of every signature; `None` where it depends on the key.
    pub(crate) const fn signature_octets(self) -> Option<usize> {
        match self {
            Self::Es256 | Self::EdDsa => Some(64),
            Self::Es384 => Some(96),
            Self::Es512 => Some(132),
            Self::Rs256 => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose key signed: exactly one of the two is in a header (RFC 8555 §6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyReference {
    /// The key itself: newAccount, and revokeCert by the certificate's key.
    Jwk(Jwk),
    /// The account's URL, as the client sent it: everything else.
    Kid(String),
}

/// The protected header, checked as far as the request alone allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protected {
    /// How it is signed.
    pub algorithm: Algorithm,
    /// The nonce, base64url; absent in an inner JWS (RFC 8555 §7.3.5).
    pub nonce: Option<String>,
    /// The URL that the client says it sends to; the server compares it with the one requested (RFC 8555 §6.4).
    pub url: String,
    /// Whose key.
    pub key: KeyReference,
}

/// A flattened JWS, read but not verified: its payload is out of reach (RFC 7515 §7.2.2, RFC 8555 §6.2).
#[derive(Clone)]
pub struct Jws {
    protected: Protected,
    /// `protected '.' payload` as they were sent.
    signing_input: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// The members of the body. Members that nobody defined are ignored (RFC 7515 §7.2.1).
#[derive(Deserialize)]
struct WireJws<'a> {
    #[serde(borrow, default, deserialize_with = "strict::present")]
    protected: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    payload: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    signature: Option<Text<'a>>,
    #[serde(default)]
    header: Presence,
    #[serde(default)]
    signatures: Presence,
}

/// The members of the protected header.
#[derive(Deserialize)]
struct WireProtected<'a> {
    #[serde(borrow, default, deserialize_with = "strict::present")]
    alg: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    nonce: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    url: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    jwk: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    kid: Option<Text<'a>>,
    #[serde(default)]
    crit: Presence,
    #[serde(default)]
    b64: Presence,
}

impl Jws {
    /// Reads the body of a request. Everything is checked that needs neither key nor server: form, header, algorithm,
    /// and an embedded key.
    ///
    /// # Errors
    /// [`JwsError`] names the first fault.
    pub fn parse(body: &[u8]) -> Result<Self, JwsError> {
        if body.len() > JWS_OCTETS_MAX {
            return Err(JwsError::TooLong(body.len()));
        }
        if is_compact(body) {
            return Err(JwsError::Compact);
        }
        let wire: WireJws<'_> = strict::object_from_slice(body).map_err(JwsError::Json)?;
        if wire.signatures.0 {
            return Err(JwsError::General);
        }
        if wire.header.0 {
            return Err(JwsError::UnprotectedHeader);
        }
        let protected_text = wire.protected.as_ref().ok_or(JwsError::Missing("protected"))?.as_str();
        let payload_text = wire.payload.as_ref().ok_or(JwsError::Missing("payload"))?.as_str();
        let signature_text = wire.signature.as_ref().ok_or(JwsError::Missing("signature"))?.as_str();
        let decode = |member, text| base64url_decode(text).map_err(|fault| JwsError::Base64url { member, fault });
        let protected = parse_protected(&decode("protected", protected_text)?)?;
        let payload = decode("payload", payload_text)?;
        let signature = decode("signature", signature_text)?;
        let mut signing_input = Vec::with_capacity(protected_text.len() + 1 + payload_text.len());
        signing_input.extend_from_slice(protected_text.as_bytes());
        signing_input.push(b'.');
        signing_input.extend_from_slice(payload_text.as_bytes());
        Ok(Self { protected, signing_input, payload, signature })
    }

    /// The protected header. Nothing of it is proved before [`Jws::verify`].
    #[must_use]
    pub const fn protected(&self) -> &Protected {
        &self.protected
    }

    /// Verifies the signature with this key: the account's, or the embedded one. Only then can the payload be read.
    ///
    /// # Errors
    /// [`JwsError`] if the header's algorithm is not the key's, or the signature is not good.
    pub fn verify(self, key: &VerifyingKey) -> Result<Verified, JwsError> {
        key.verify(self.protected.algorithm, &self.signing_input, &self.signature)?;
        Ok(Verified {
            protected: self.protected,
            payload: self.payload,
            signing_input: self.signing_input,
            signature: self.signature,
        })
    }
}

impl fmt::Debug for Jws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jws").field("protected", &self.protected).finish_non_exhaustive()
    }
}

/// Three runs of base64url with dots between: the compact form, which deserves an error of its own.
fn is_compact(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    body.iter().filter(|octet| **octet == b'.').count() == 2
        && body.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.'))
}

fn parse_protected(json: &[u8]) -> Result<Protected, JwsError> {
    let wire: WireProtected<'_> = strict::object_from_slice(json).map_err(JwsError::Header)?;
    if wire.b64.0 {
        return Err(JwsError::UnencodedPayload);
    }
    if wire.crit.0 {
        return Err(JwsError::Critical);
    }
    let name = wire.alg.ok_or(JwsError::MissingInHeader("alg"))?;
    let algorithm = Algorithm::from_name(name.as_str())
        .ok_or_else(|| JwsError::Algorithm(name.as_str().chars().take(64).collect()))?;
    let key = match (wire.jwk, wire.kid) {
        (Some(_), Some(_)) => return Err(JwsError::TwoKeys),
        (None, None) => return Err(JwsError::NoKey),
        (None, Some(kid)) => KeyReference::Kid(url("kid", kid)?),
        (Some(json), None) => {
            let jwk = Jwk::parse(json.get()).map_err(JwsError::Key)?;
            let right = jwk.verifying_key().algorithm();
            if right != algorithm {
                return Err(JwsError::AlgorithmOfOtherKey { algorithm, right });
            }
            KeyReference::Jwk(jwk)
        }
    };
    let nonce = wire.nonce.map(nonce).transpose()?;
    let url = url("url", wire.url.ok_or(JwsError::MissingInHeader("url"))?)?;
    Ok(Protected { algorithm, nonce, url, key })
}

fn nonce(text: Text<'_>) -> Result<String, JwsError> {
    let characters = text.as_str().len();
    if characters > NONCE_CHARS_MAX {
        return Err(JwsError::NonceTooLong(characters));
    }
    base64url_decode(text.as_str()).map_err(JwsError::Nonce)?;
    Ok(text.0.into_owned())
}

fn url(member: &'static str, text: Text<'_>) -> Result<String, JwsError> {
    let octets = text.as_str().len();
    if octets > URL_OCTETS_MAX { Err(JwsError::UrlTooLong { member, octets }) } else { Ok(text.0.into_owned()) }
}

/// A request whose signature was verified: the only way to its payload.
#[derive(Clone)]
pub struct Verified {
    protected: Protected,
    payload: Vec<u8>,
    signing_input: Vec<u8>,
    signature: Vec<u8>,
}

/// What a verified request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Nothing: POST-as-GET (RFC 8555 §6.3).
    Empty,
    /// Octets that ought to be a JSON object.
    Json(&'a [u8]),
}

impl Verified {
    /// The protected header.
    #[must_use]
    pub const fn protected(&self) -> &Protected {
        &self.protected
    }

    /// The payload.
    #[must_use]
    pub const fn payload(&self) -> Payload<'_> {
        if self.payload.is_empty() { Payload::Empty } else { Payload::Json(self.payload.as_slice()) }
    }

    /// The JWS as evidence that can be verified again: flattened, with its three members (RFC 7515 §7.2.2). White space
    /// and members that nobody defined are left out: no signature covers them, so they prove nothing.
    #[must_use]
    pub fn evidence(&self) -> Vec<u8> {
        let mut signed = self.signing_input.splitn(2, |octet| *octet == b'.');
        let (protected, payload) = (signed.next().unwrap_or_default(), signed.next().unwrap_or_default());
        flattened(protected, payload, base64url_encode(&self.signature).as_bytes())
    }

    /// Reads the payload as one JSON object. Members that `T` knows may be there once only; others are ignored
    /// (RFC 8555 §7.1).
    ///
    /// # Errors
    /// [`JwsError::EmptyPayload`] or [`JwsError::Payload`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, JwsError> {
        match self.payload() {
            Payload::Empty => Err(JwsError::EmptyPayload),
            Payload::Json(json) => strict::object_from_slice(json).map_err(JwsError::Payload),
        }
    }

    /// Whether the payload is empty: POST-as-GET (RFC 8555 §6.3).
    #[must_use]
    pub const fn is_post_as_get(&self) -> bool {
        matches!(self.payload(), Payload::Empty)
    }

    /// Refuses everything but POST-as-GET.
    ///
    /// # Errors
    /// [`JwsError::NotPostAsGet`] if there is a payload, be it `{}`.
    pub const fn expect_post_as_get(&self) -> Result<(), JwsError> {
        match self.payload() {
            Payload::Empty => Ok(()),
            Payload::Json(_) => Err(JwsError::NotPostAsGet),
        }
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").field("protected", &self.protected).finish_non_exhaustive()
    }
}

/// Why a signed request is refused: what is wrong, and what would be right. The client must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than any request that makes sense.
    #[error("the request body has {0} octets; at most {JWS_OCTETS_MAX} are read")]
    TooLong(usize),
    /// The compact serialization.
    #[error(
        "the request body is a compact JWS; send the flattened JSON serialization (RFC 8555 §6.2, RFC 7515 §7.2.2)"
    )]
    Compact,
    /// The general serialization.
    #[error("the JWS has `signatures`; send the flattened serialization with one `signature` (RFC 8555 §6.2)")]
    General,
    /// A `header` member.
    #[error("the JWS has an unprotected `header`; put every header parameter into `protected` (RFC 8555 §6.2)")]
    UnprotectedHeader,
    /// Not a JSON object, or a member twice.
    #[error("the request body is not a flattened JWS in JSON: {0} (RFC 7515 §7.2.2)")]
    Json(String),
    /// A member of the JWS is absent.
    #[error("the JWS has no `{0}`; a flattened JWS has `protected`, `payload` and `signature` (RFC 7515 §7.2.2)")]
    Missing(&'static str),
    /// A member of the JWS is not base64url.
    #[error("`{member}` of the JWS is not base64url: {fault}")]
    Base64url {
        /// The member.
        member: &'static str,
        /// What is wrong with it.
        fault: Base64urlError,
    },
    /// The header is not a JSON object, or has a member twice.
    #[error("the protected header is not a JSON object as RFC 7515 §4 has it: {0}")]
    Header(String),
    /// A parameter of the header is absent.
    #[error(
        "the protected header has no `{0}`; it has `alg`, `nonce`, `url` and either `jwk` or `kid` (RFC 8555 §6.2)"
    )]
    MissingInHeader(&'static str),
    /// Extensions that must be understood.
    #[error("the protected header has `crit`; no critical extension is supported here (RFC 7515 §4.1.11)")]
    Critical,
    /// RFC 7797.
    #[error("the protected header has `b64`; the payload is always base64url in ACME (RFC 8555 §6.2, RFC 7797)")]
    UnencodedPayload,
    /// `none`, a MAC, or anything else that is not supported.
    #[error("the algorithm `{0}` is not supported; see `algorithms` for those that are (RFC 8555 §6.2)")]
    Algorithm(String),
    /// The algorithm does not belong to the key.
    #[error("the protected header says {algorithm}, but the key is one for {right} (RFC 7518 §3.1)")]
    AlgorithmOfOtherKey {
        /// What the header says.
        algorithm: Algorithm,
        /// What would be right.
        right: Algorithm,
    },
    /// Both `jwk` and `kid`.
    #[error("the protected header has both jwk and kid; send exactly one (RFC 8555 §6.2)")]
    TwoKeys,
    /// Neither `jwk` nor `kid`.
    #[error("the protected header has neither jwk nor kid; send exactly one (RFC 8555 §6.2)")]
    NoKey,
    /// The embedded key is unacceptable.
    #[error("the key in the protected header is unacceptable: {0}")]
    Key(#[source] JwkError),
    /// The nonce is not base64url.
    #[error("the nonce is not base64url: {0} (RFC 8555 §6.5.2)")]
    Nonce(Base64urlError),
    /// A nonce that no server gave.
    #[error("the nonce has {0} characters; send one from a Replay-Nonce header of this server (RFC 8555 §6.5)")]
    NonceTooLong(usize),
    /// A `url` or `kid` beyond reason.
    #[error("`{member}` in the protected header has {octets} octets; at most {URL_OCTETS_MAX} are read")]
    UrlTooLong {
        /// The parameter.
        member: &'static str,
        /// Its length.
        octets: usize,
    },
    /// A signature of the wrong length, such as ECDSA in DER.
    #[error(
        "the signature has {octets} octets; {algorithm} ones have exactly {right}: ECDSA is R and S side by side, \
             not DER (RFC 7518 §3.4, RFC 8037 §3.1)"
    )]
    SignatureLength {
        /// The algorithm.
        algorithm: Algorithm,
        /// The length that was sent.
        octets: usize,
        /// The length that would be right.
        right: usize,
    },
    /// The signature is not one of this key over these octets.
    #[error(
        "the signature does not verify: sign `protected`, a dot and `payload` as they are sent, with the account's key"
    )]
    Signature,
    /// An empty payload where an object belongs.
    #[error("the payload is empty, which means POST-as-GET; this resource wants a JSON object (RFC 8555 §6.3)")]
    EmptyPayload,
    /// A payload where none belongs.
    #[error("this resource is read by POST-as-GET: the payload must be empty, not even `{{}}` (RFC 8555 §6.3)")]
    NotPostAsGet,
    /// The payload is not the JSON object that belongs here.
    #[error("the payload is not the JSON object that belongs here: {0}")]
    Payload(String),
}

impl JwsError {
    /// The problem document for the client.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Algorithm(_) | Self::AlgorithmOfOtherKey { .. } => {
                Problem::new(ProblemType::BadSignatureAlgorithm, self.to_string()).with_algorithms(ALGORITHMS)
            }
            Self::Key(fault) => Problem { detail: self.to_string(), ..fault.problem() },
            Self::TooLong(_) => Problem::malformed(self.to_string()).with_status(413),
            Self::Compact
            | Self::General
            | Self::UnprotectedHeader
            | Self::Json(_)
            | Self::Missing(_)
            | Self::Base64url { .. }
            | Self::Header(_)
            | Self::MissingInHeader(_)
            | Self::Critical
            | Self::UnencodedPayload
            | Self::TwoKeys
            | Self::NoKey
            | Self::Nonce(_)
            | Self::NonceTooLong(_)
            | Self::UrlTooLong { .. }
            | Self::SignatureLength { .. }
            | Self::Signature
            | Self::EmptyPayload
            | Self::NotPostAsGet
            | Self::Payload(_) => Problem::malformed(self.to_string()),
        }
    }
}
