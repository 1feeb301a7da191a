//! Challenges: their kinds, tokens and key authorizations (RFC 8555 §7.1.5, §8).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base64url::{Base64urlError, base64url_decode, base64url_encode};
use crate::problem::Problem;
use crate::thumbprint::{Thumbprint, sha256};

/// How control of an identifier is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChallengeKind {
    /// `http-01`, RFC 8555 §8.3.
    Http01,
    /// `dns-01`, RFC 8555 §8.4.
    Dns01,
    /// `tls-alpn-01`, RFC 8737 §3.
    TlsAlpn01,
}

impl ChallengeKind {
    /// All kinds, in the order in which they are offered.
    pub const ALL: [Self; 3] = [Self::Http01, Self::Dns01, Self::TlsAlpn01];

    /// The name on the wire, as registered with IANA (RFC 8555 §9.7.8).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no challenge kind of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a challenge type known here; known are http-01, dns-01 and tls-alpn-01")]
pub struct UnknownChallengeKind(pub String);

impl FromStr for ChallengeKind {
    type Err = UnknownChallengeKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownChallengeKind(text.to_owned()))
    }
}

impl Serialize for ChallengeKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ChallengeKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The state of a challenge (RFC 8555 §7.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChallengeStatus {
    /// Waits for the client's answer.
    Pending,
    /// Answered; the server tests it, perhaps more than once.
    Processing,
    /// Tested, and good.
    Valid,
    /// Tested, and bad.
    Invalid,
}

/// The random value of a challenge: base64url without padding, at least 128 bits (RFC 8555 §8.1, §11.3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Token(String);

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not of the base64url alphabet.
    #[error("a token is base64url without padding: {0} (RFC 8555 §8.1)")]
    Alphabet(Base64urlError),
    /// Too few bits, or absurdly many.
    #[error(
        "a token has at least 128 bits, that is 22 characters, and here at most 256; this one has {0} (RFC 8555 §8.1)"
    )]
    Length(usize),
}

impl Token {
    /// The fewest characters that hold 128 bits.
    const CHARS_MIN: usize = 22;
    const CHARS_MAX: usize = 256;

    /// The token of 16 octets that the caller drew at random.
    #[must_use]
    pub fn from_random(octets: [u8; 16]) -> Self {
        Self(base64url_encode(&octets))
    }

    /// A token as a server sent it, or as it was stored.
    ///
    /// # Errors
    /// [`TokenError`] if it is not base64url, too short to be safe, or too long.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        if !(Self::CHARS_MIN..=Self::CHARS_MAX).contains(&text.len()) {
            return Err(TokenError::Length(text.len()));
        }
        // An opaque text: only its alphabet matters, so other servers' odd lengths and trailing bits pass.
        match base64url_decode(text) {
            Ok(_) | Err(Base64urlError::TrailingBits | Base64urlError::Length) => Ok(Self(text.to_owned())),
            Err(error @ (Base64urlError::Padding(_) | Base64urlError::Symbol(_))) => Err(TokenError::Alphabet(error)),
        }
    }

    /// The token as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.0)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A token joined with the thumbprint of the account's key: what a client shows to prove control (RFC 8555 §8.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyAuthorization(String);

impl KeyAuthorization {
    /// `token '.' thumbprint`.
    #[must_use]
    pub fn new(token: &Token, thumbprint: &Thumbprint) -> Self {
        Self(format!("{token}.{thumbprint}"))
    }

    /// The text itself: the body of an http-01 answer (RFC 8555 §8.3).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its SHA-256: the content of tls-alpn-01's acmeIdentifier extension (RFC 8737 §3).
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }

    /// Its SHA-256 as base64url: the value of dns-01's TXT record (RFC 8555 §8.4).
    #[must_use]
    pub fn dns_value(&self) -> String {
        base64url_encode(&self.sha256())
    }
}

/// A challenge as clients see it (RFC 8555 §8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeObject {
    /// How control is proved.
    #[serde(rename = "type")]
    pub kind: ChallengeKind,
    /// Where the client answers by POST of `{}`.
    pub url: String,
    /// Its state.
    pub status: ChallengeStatus,
    /// When it was found valid, RFC 3339; there exactly when the state is `valid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validated: Option<String>,
    /// The random value.
    pub token: Token,
    /// Why the last test failed; with `processing` while the server tries again (erratum 5732).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}
