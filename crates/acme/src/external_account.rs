//! External account binding: a JWS made with a key that the CA gave out, inside newAccount (RFC 8555 §7.3.4).

use std::fmt;

use aws_lc_rs::hmac;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base64url::{Base64urlError, base64url_decode, base64url_encode};
use crate::jwk::Jwk;
use crate::jws::{KeyReference, Verified};
use crate::problem::{Problem, ProblemType};
use crate::strict::{self, Presence, Text};

/// The longest binding that is read, in octets.
const BINDING_OCTETS_MAX: usize = 16 * 1024;
/// The longest key identifier, in characters.
pub const KID_CHARS_MAX: usize = 256;
/// The longest MAC key, in octets.
const MAC_KEY_OCTETS_MAX: usize = 1024;

/// A key that external account bindings are made with. Written in base64url, as clients take it; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct MacKey(Vec<u8>);

impl MacKey {
    /// A key of these octets, of which there must be some.
    #[must_use]
    pub fn new(octets: Vec<u8>) -> Option<Self> {
        (1..=MAC_KEY_OCTETS_MAX).contains(&octets.len()).then_some(Self(octets))
    }

    /// A key as clients take it.
    ///
    /// # Errors
    /// It is no base64url, empty, or too long.
    pub fn parse(text: &str) -> Result<Self, String> {
        let octets = base64url_decode(text).map_err(|error| format!("the MAC key is not base64url: {error}"))?;
        Self::new(octets).ok_or_else(|| format!("the MAC key must have 1 to {MAC_KEY_OCTETS_MAX} octets"))
    }

    /// The key as clients take it: a secret.
    #[must_use]
    pub fn to_base64url(&self) -> String {
        base64url_encode(&self.0)
    }

    /// Its octets: a secret.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey")
    }
}

impl Serialize for MacKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_base64url())
    }
}

impl<'de> Deserialize<'de> for MacKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The algorithms of RFC 7518 §3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MacAlgorithm {
    Hs256,
    Hs384,
    Hs512,
}

impl MacAlgorithm {
    fn of(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "HS384" => Some(Self::Hs384),
            "HS512" => Some(Self::Hs512),
            _ => None,
        }
    }

    const fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Hs256 => hmac::HMAC_SHA256,
            Self::Hs384 => hmac::HMAC_SHA384,
            Self::Hs512 => hmac::HMAC_SHA512,
        }
    }
}

/// A binding, read but not verified.
#[derive(Debug, Clone)]
pub struct ExternalAccountBinding {
    algorithm: MacAlgorithm,
    kid: String,
    url: String,
    signing_input: Vec<u8>,
    payload: Vec<u8>,
    mac: Vec<u8>,
}

/// The members of a flattened JWS. Members that nobody defined are ignored (RFC 7515 §7.2.1).
#[derive(Deserialize)]
struct WireBinding<'a> {
    #[serde(borrow, default, deserialize_with = "strict::present")]
    protected: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    payload: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    signature: Option<Text<'a>>,
    #[serde(default)]
    header: Presence,
}

/// The members of its protected header.
#[derive(Deserialize)]
struct WireHeader<'a> {
    #[serde(borrow, default, deserialize_with = "strict::present")]
    alg: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    kid: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    url: Option<Text<'a>>,
    #[serde(default)]
    nonce: Presence,
    #[serde(default)]
    jwk: Presence,
    #[serde(default)]
    crit: Presence,
    #[serde(default)]
    b64: Presence,
}

impl ExternalAccountBinding {
    /// Reads the value of `externalAccountBinding`.
    ///
    /// # Errors
    /// [`BindingError`] names the first fault.
    pub fn parse(json: &str) -> Result<Self, BindingError> {
        if json.len() > BINDING_OCTETS_MAX {
            return Err(BindingError::TooLong(json.len()));
        }
        let wire: WireBinding<'_> = strict::object_from_slice(json.as_bytes()).map_err(BindingError::Json)?;
        if wire.header.0 {
            return Err(BindingError::UnprotectedHeader);
        }
        let protected_text = wire.protected.as_ref().ok_or(BindingError::Missing("protected"))?.as_str();
        let payload_text = wire.payload.as_ref().ok_or(BindingError::Missing("payload"))?.as_str();
        let mac_text = wire.signature.as_ref().ok_or(BindingError::Missing("signature"))?.as_str();
        let decode = |member, text| base64url_decode(text).map_err(|fault| BindingError::Base64url { member, fault });
        let protected = decode("protected", protected_text)?;
        let header: WireHeader<'_> = strict::object_from_slice(&protected).map_err(BindingError::Json)?;
        if header.nonce.0 {
            return Err(BindingError::Nonce);
        }
        if header.jwk.0 || header.crit.0 || header.b64.0 {
            return Err(BindingError::Header);
        }
        let name = header.alg.ok_or(BindingError::MissingInHeader("alg"))?;
        let algorithm = MacAlgorithm::of(name.as_str())
            .ok_or_else(|| BindingError::Algorithm(name.as_str().chars().take(64).collect()))?;
        let kid = header.kid.ok_or(BindingError::MissingInHeader("kid"))?.as_str().to_owned();
        if kid.chars().count() > KID_CHARS_MAX {
            return Err(BindingError::KidTooLong);
        }
        let url = header.url.ok_or(BindingError::MissingInHeader("url"))?.as_str().to_owned();
        let (payload, mac) = (decode("payload", payload_text)?, decode("signature", mac_text)?);
        let signing_input = format!("{protected_text}.{payload_text}").into_bytes();
        Ok(Self { algorithm, kid, url, signing_input, payload, mac })
    }

    /// The identifier of the key that it says it was made with.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Whether this key made it, and for the key that signed this newAccount request.
    ///
    /// # Errors
    /// [`BindingError`] names the check of RFC 8555 §7.3.4 that failed.
    pub fn verify(&self, key: &MacKey, new_account: &Verified) -> Result<(), BindingError> {
        if self.url != new_account.protected().url {
            return Err(BindingError::Url);
        }
        // In constant time.
        hmac::verify(&hmac::Key::new(self.algorithm.hmac(), &key.0), &self.signing_input, &self.mac)
            .map_err(|_| BindingError::Mac)?;
        let bound = std::str::from_utf8(&self.payload).ok().and_then(|json| Jwk::parse(json).ok());
        match (&new_account.protected().key, bound) {
            (KeyReference::Jwk(key), Some(bound)) if *key == bound => Ok(()),
            (KeyReference::Jwk(_) | KeyReference::Kid(_), _) => Err(BindingError::OtherKey),
        }
    }
}

/// Why a binding is refused: what is wrong, and what would be right. The client must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// Longer than any that makes sense.
    #[error("externalAccountBinding has {0} octets; at most {BINDING_OCTETS_MAX} are read")]
    TooLong(usize),
    /// Not a JSON object, or a member twice.
    #[error("externalAccountBinding is not a flattened JWS in JSON: {0} (RFC 8555 §7.3.4)")]
    Json(String),
    /// A `header` member.
    #[error("externalAccountBinding has an unprotected `header`; put every parameter into `protected`")]
    UnprotectedHeader,
    /// A member of the JWS is absent.
    #[error("externalAccountBinding has no `{0}`; a flattened JWS has `protected`, `payload` and `signature`")]
    Missing(&'static str),
    /// A member is not base64url.
    #[error("`{member}` of externalAccountBinding is not base64url: {fault}")]
    Base64url {
        /// The member.
        member: &'static str,
        /// What is wrong with it.
        fault: Base64urlError,
    },
    /// A parameter of the header is absent.
    #[error("the header of externalAccountBinding has no `{0}`; it has `alg`, `kid` and `url` (RFC 8555 §7.3.4)")]
    MissingInHeader(&'static str),
    /// There is a nonce.
    #[error("the header of externalAccountBinding must have no `nonce` (RFC 8555 §7.3.4)")]
    Nonce,
    /// There is what doesn't belong there.
    #[error("the header of externalAccountBinding has `alg`, `kid` and `url`, and no `jwk`, `crit` or `b64`")]
    Header,
    /// Not one of the three.
    #[error("the algorithm `{0}` can't bind accounts; use HS256, HS384 or HS512 (RFC 8555 §7.3.4)")]
    Algorithm(String),
    /// Longer than any that was given out.
    #[error(
        "`kid` of externalAccountBinding has more than {KID_CHARS_MAX} characters; send the one that you were given"
    )]
    KidTooLong,
    /// The URLs differ.
    #[error("`url` of externalAccountBinding must be that of newAccount, as in the outer header (RFC 8555 §7.3.4)")]
    Url,
    /// The key didn't make it.
    #[error("the MAC of externalAccountBinding is not that of its key; use `kid` and HMAC key as you were given them")]
    Mac,
    /// It is for another account.
    #[error("the payload of externalAccountBinding must be the key in the outer header, `jwk` (RFC 8555 §7.3.4)")]
    OtherKey,
}

impl BindingError {
    /// `unauthorized` for a wrong MAC, `badSignatureAlgorithm` for an algorithm that is none of the three, `malformed`
    /// for the rest.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Mac => Problem::new(ProblemType::Unauthorized, self.to_string()),
            Self::Algorithm(_) => {
                let mut problem = Problem::new(ProblemType::BadSignatureAlgorithm, self.to_string());
                problem.algorithms = Some(["HS256", "HS384", "HS512"].map(str::to_owned).into());
                problem
            }
            Self::TooLong(_)
            | Self::Json(_)
            | Self::UnprotectedHeader
            | Self::Missing(_)
            | Self::Base64url { .. }
            | Self::MissingInHeader(_)
            | Self::Nonce
            | Self::Header
            | Self::KidTooLong
            | Self::Url
            | Self::OtherKey => Problem::malformed(self.to_string()),
        }
    }
}

/// Makes a binding, as a client does: the value of `externalAccountBinding` for an account with this key.
///
/// # Panics
/// Never: texts and keys always serialize.
#[must_use]
pub fn bind_externally(kid: &str, key: &MacKey, url: &str, account: &Jwk) -> serde_json::Value {
    let protected = serde_json::json!({ "alg": "HS256", "kid": kid, "url": url }).to_string();
    let (protected, payload) = (base64url_encode(protected.as_bytes()), base64url_encode(account.to_json().as_bytes()));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key.0), format!("{protected}.{payload}").as_bytes());
    serde_json::json!({ "protected": protected, "payload": payload, "signature": base64url_encode(mac.as_ref()) })
}
