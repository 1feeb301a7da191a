//! JSON Web Keys of accounts (RFC 7517, RFC 7518 §6, RFC 8037 §2).

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::base64url::{Base64urlError, base64url_decode, base64url_encode};
use crate::ed25519;
use crate::jws::Algorithm;
use crate::problem::{Problem, ProblemType};
use crate::strict::{self, Presence, Text};
use crate::thumbprint::{Thumbprint, sha256};
use crate::verification::VerifyingKey;

/// The smallest RSA modulus, in bits (RFC 7518 §3.3).
pub const RSA_BITS_MIN: usize = 2048;
/// The largest RSA modulus, in bits: verification time grows with its square.
pub const RSA_BITS_MAX: usize = 8192;
/// The largest RSA exponent, in bits: verification time grows with it.
const RSA_EXPONENT_BITS_MAX: usize = 33;
/// An RSA key of the largest size has about 1 400 characters of base64url.
const JWK_OCTETS_MAX: usize = 8 * 1024;

/// A public key of an account: well-formed, of a kind that is supported, and on its curve. Cheap to clone.
#[derive(Clone)]
pub struct Jwk {
    members: Members,
    verifying_key: VerifyingKey,
}

/// The members that RFC 7638 §3.2 and RFC 8037 §2 call required, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Members {
    Ec { curve: Curve, x: Vec<u8>, y: Vec<u8> },
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Okp { x: Vec<u8> },
}

/// The curves of `EC` keys that are supported (RFC 7518 §6.2.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// Octets of a coordinate.
    const fn width(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// The members of a JWK that matter here; others are ignored, as RFC 7517 §4 demands.
#[derive(Deserialize)]
struct WireJwk<'a> {
    #[serde(borrow)]
    kty: Text<'a>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    crv: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    x: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    y: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    n: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "strict::present")]
    e: Option<Text<'a>>,
    /// The private part of every kind of key.
    #[serde(default)]
    d: Presence,
    /// The key itself, if it is symmetric.
    #[serde(default)]
    k: Presence,
}

impl Jwk {
    /// Reads a JWK strictly and checks the key.
    ///
    /// # Errors
    /// [`JwkError`] says what is wrong with the JSON or the key.
    pub fn parse(json: &str) -> Result<Self, JwkError> {
        if json.len() > JWK_OCTETS_MAX {
            return Err(JwkError::TooLong(json.len()));
        }
        let wire: WireJwk<'_> = strict::object_from_slice(json.as_bytes()).map_err(JwkError::Json)?;
        if wire.d.0 {
            return Err(JwkError::Private);
        }
        if wire.k.0 {
            return Err(JwkError::Symmetric);
        }
        Self::from_members(match wire.kty.as_str() {
            "EC" => ec(&wire)?,
            "RSA" => rsa(&wire)?,
            "OKP" => okp(&wire)?,
            other => return Err(JwkError::Type(other.chars().take(64).collect())),
        })
    }

    /// The key of an uncompressed point, `04 ‖ x ‖ y`, of P-256, P-384 or P-521.
    pub(crate) fn from_ec_point(point: &[u8]) -> Result<Self, JwkError> {
        let curve = match point.len() {
            65 => Curve::P256,
            97 => Curve::P384,
            133 => Curve::P521,
            _ => return Err(JwkError::NotOnCurve("P-256, P-384 or P-521")),
        };
        let (x, y) = point[1..].split_at(curve.width());
        Self::from_members(Members::Ec { curve, x: x.to_vec(), y: y.to_vec() })
    }

    /// The key of an RSA modulus and exponent, big-endian, without leading zero octets.
    pub(crate) fn from_rsa(n: &[u8], e: &[u8]) -> Result<Self, JwkError> {
        check_rsa(n, e)?;
        Self::from_members(Members::Rsa { n: n.to_vec(), e: e.to_vec() })
    }

    /// An Ed25519 key.
    pub(crate) fn from_ed25519(x: &[u8]) -> Result<Self, JwkError> {
        Self::from_members(Members::Okp { x: x.to_vec() })
    }

    fn from_members(members: Members) -> Result<Self, JwkError> {
        let (algorithm, parsed) = match &members {
            Members::Ec { curve: Curve::P256, .. } => {
                (Algorithm::Es256, ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, members.ec_point()))
            }
            Members::Ec { curve: Curve::P384, .. } => {
                (Algorithm::Es384, ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, members.ec_point()))
            }
            Members::Ec { curve: Curve::P521, .. } => {
                (Algorithm::Es512, ParsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, members.ec_point()))
            }
            Members::Rsa { n, e } => {
                (Algorithm::Rs256, RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256))
            }
            Members::Okp { x } => (Algorithm::EdDsa, ParsedPublicKey::new(&ED25519, x)),
        };
        let parsed = parsed.map_err(|_| match &members {
            Members::Ec { curve, .. } => JwkError::NotOnCurve(curve.name()),
            Members::Rsa { .. } => JwkError::RsaUnusable,
            Members::Okp { .. } => JwkError::NotOnCurve("Ed25519"),
        })?;
        Ok(Self { members, verifying_key: VerifyingKey::new(algorithm, parsed) })
    }

    /// The key, ready to verify with; a clone of it shares the parsed key.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying_key
    }

    /// The signature algorithms that this key can be used with.
    #[must_use]
    pub const fn algorithms(&self) -> &'static [Algorithm] {
        match &self.members {
            Members::Ec { curve: Curve::P256, .. } => &[Algorithm::Es256],
            Members::Ec { curve: Curve::P384, .. } => &[Algorithm::Es384],
            Members::Ec { curve: Curve::P521, .. } => &[Algorithm::Es512],
            Members::Rsa { .. } => &[Algorithm::Rs256],
            Members::Okp { .. } => &[Algorithm::EdDsa],
        }
    }

    /// The key in words, such as `EC P-256` or `RSA 2048`.
    #[must_use]
    pub fn description(&self) -> String {
        match &self.members {
            Members::Ec { curve, .. } => format!("EC {}", curve.name()),
            Members::Rsa { n, .. } => format!("RSA {}", bits(n)),
            Members::Okp { .. } => "OKP Ed25519".to_owned(),
        }
    }

    /// The required members only, in the order of RFC 7638 §3.2, without white space: equal keys give equal texts.
    #[must_use]
    pub fn to_json(&self) -> String {
        match &self.members {
            Members::Ec { curve, x, y } => format!(
                r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
                curve.name(),
                base64url_encode(x),
                base64url_encode(y)
            ),
            Members::Rsa { n, e } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, base64url_encode(e), base64url_encode(n))
            }
            Members::Okp { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url_encode(x)),
        }
    }

    /// The SHA-256 thumbprint (RFC 7638 §3).
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::from_bytes(sha256(self.to_json().as_bytes()))
    }

    /// The key as SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7, RFC 5480, RFC 3279 §2.3.1, RFC 8410), to compare it
    /// with the key of a CSR or certificate.
    #[must_use]
    pub fn spki_der(&self) -> Vec<u8> {
        match &self.members {
            Members::Ec { curve, .. } => {
                let prefix: &[u8] = match curve {
                    Curve::P256 => &SPKI_P256,
                    Curve::P384 => &SPKI_P384,
                    Curve::P521 => &SPKI_P521,
                };
                [prefix, &self.members.ec_point()].concat()
            }
            Members::Rsa { n, e } => {
                let key = tlv(0x30, &[tlv(0x02, &unsigned(n)), tlv(0x02, &unsigned(e))].concat());
                tlv(0x30, &[RSA_ALGORITHM.to_vec(), tlv(0x03, &[&[0], key.as_slice()].concat())].concat())
            }
            Members::Okp { x } => [&SPKI_ED25519, x.as_slice()].concat(),
        }
    }
}

/// SubjectPublicKeyInfo up to the uncompressed point, P-256.
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// SubjectPublicKeyInfo up to the uncompressed point, P-384.
const SPKI_P384: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22, 0x03, 0x62, 0x00,
];
/// SubjectPublicKeyInfo up to the uncompressed point, P-521.
const SPKI_P521: [u8; 25] = [
    0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
    0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
];
/// SubjectPublicKeyInfo up to the key, Ed25519.
const SPKI_ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// AlgorithmIdentifier of rsaEncryption with its NULL.
const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// DER: tag, definite length in the fewest octets, content.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().position(|octet| *octet != 0).unwrap_or(length.len() - 1)..];
    let mut der = vec![tag];
    match (significant, u8::try_from(significant.len())) {
        (&[short @ 0..=0x7f], _) => der.push(short),
        (_, Ok(octets)) => {
            der.push(0x80 | octets);
            der.extend_from_slice(significant);
        }
        (_, Err(_)) => unreachable!("a usize has at most 8 octets"),
    }
    der.extend_from_slice(content);
    der
}

/// The content of a DER INTEGER for an unsigned number without leading zero octets.
fn unsigned(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number.first().is_some_and(|octet| *octet >= 0x80) { &[0] } else { &[] };
    [sign, number].concat()
}

impl Members {
    /// `04 ‖ x ‖ y`; empty for what is not an EC key.
    fn ec_point(&self) -> Vec<u8> {
        match self {
            Self::Ec { x, y, .. } => [&[4], x.as_slice(), y.as_slice()].concat(),
            Self::Rsa { .. } | Self::Okp { .. } => Vec::new(),
        }
    }
}

fn ec(wire: &WireJwk<'_>) -> Result<Members, JwkError> {
    let curve = match text(wire.crv.as_ref(), "crv")? {
        "P-256" => Curve::P256,
        "P-384" => Curve::P384,
        "P-521" => Curve::P521,
        other => return Err(JwkError::Curve(other.chars().take(64).collect())),
    };
    let x = octets(wire.x.as_ref(), "x")?;
    let y = octets(wire.y.as_ref(), "y")?;
    for (member, coordinate) in [("x", &x), ("y", &y)] {
        if coordinate.len() != curve.width() {
            return Err(JwkError::Width {
                member,
                octets: coordinate.len(),
                width: curve.width(),
                curve: curve.name(),
            });
        }
    }
    Ok(Members::Ec { curve, x, y })
}

fn okp(wire: &WireJwk<'_>) -> Result<Members, JwkError> {
    let crv = text(wire.crv.as_ref(), "crv")?;
    if crv != "Ed25519" {
        return Err(JwkError::Curve(crv.chars().take(64).collect()));
    }
    let x = octets(wire.x.as_ref(), "x")?;
    if x.len() != 32 {
        return Err(JwkError::Width { member: "x", octets: x.len(), width: 32, curve: "Ed25519" });
    }
    if !ed25519::is_acceptable(&x) {
        return Err(JwkError::NotOnCurve("Ed25519"));
    }
    Ok(Members::Okp { x })
}

fn rsa(wire: &WireJwk<'_>) -> Result<Members, JwkError> {
    let n = octets(wire.n.as_ref(), "n")?;
    let e = octets(wire.e.as_ref(), "e")?;
    check_rsa(&n, &e)?;
    Ok(Members::Rsa { n, e })
}

fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), JwkError> {
    for (member, number) in [("n", n), ("e", e)] {
        match number.first() {
            None => return Err(JwkError::EmptyNumber(member)),
            Some(0) => return Err(JwkError::LeadingZero(member)),
            Some(_) => {}
        }
    }
    let modulus_bits = bits(n);
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&modulus_bits) {
        return Err(JwkError::RsaSize(modulus_bits));
    }
    if is_even(n) {
        return Err(JwkError::EvenModulus);
    }
    if is_even(e) || e == [1] || bits(e) > RSA_EXPONENT_BITS_MAX {
        return Err(JwkError::Exponent);
    }
    Ok(())
}

fn is_even(number: &[u8]) -> bool {
    number.last().is_none_or(|octet| octet & 1 == 0)
}

/// The length of a number without leading zero octets.
fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn text<'a>(member: Option<&'a Text<'_>>, name: &'static str) -> Result<&'a str, JwkError> {
    member.map(Text::as_str).ok_or(JwkError::Missing(name))
}

fn octets(member: Option<&Text<'_>>, name: &'static str) -> Result<Vec<u8>, JwkError> {
    base64url_decode(text(member, name)?).map_err(|fault| JwkError::Base64url { member: name, fault })
}

impl PartialEq for Jwk {
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

impl Eq for Jwk {}

impl std::hash::Hash for Jwk {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.members.hash(state);
    }
}

impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwk({})", self.to_json())
    }
}

impl Serialize for Jwk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_json()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Jwk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(json.get()).map_err(serde::de::Error::custom)
    }
}

/// Why a JWK is refused: what is wrong, and what would be right. The client must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// Longer than any key that is supported.
    #[error("the JWK has {0} octets; send the public members only, which need at most {JWK_OCTETS_MAX}")]
    TooLong(usize),
    /// Not a JSON object of texts, or a member twice.
    #[error("the JWK is not a JSON object as RFC 7517 §4 has it: {0}")]
    Json(String),
    /// A required member is absent.
    #[error("the JWK has no `{0}`, which its kind of key requires (RFC 7518 §6)")]
    Missing(&'static str),
    /// A member is not base64url.
    #[error("the member `{member}` of the JWK is not base64url: {fault}")]
    Base64url {
        /// The member.
        member: &'static str,
        /// What is wrong with it.
        fault: Base64urlError,
    },
    /// A private key was sent.
    #[error(
        "the JWK has the private member `d`; send the public members only, and replace this key: it is no longer secret"
    )]
    Private,
    /// A MAC key was sent.
    #[error("the JWK is a symmetric key; send a public key of type EC, RSA or OKP (RFC 8555 §6.2)")]
    Symmetric,
    /// An unknown `kty`.
    #[error("keys of type `{0}` are not supported; supported are EC (P-256, P-384, P-521), RSA and OKP (Ed25519)")]
    Type(String),
    /// An unknown `crv`.
    #[error("the curve `{0}` is not supported; supported are P-256, P-384 and P-521 with EC, and Ed25519 with OKP")]
    Curve(String),
    /// A coordinate of the wrong width.
    #[error(
        "`{member}` has {octets} octets; on {curve} it has exactly {width}, leading zeros included (RFC 7518 §6.2.1.2)"
    )]
    Width {
        /// The member.
        member: &'static str,
        /// How many octets it has.
        octets: usize,
        /// How many it must have.
        width: usize,
        /// The curve that wants them.
        curve: &'static str,
    },
    /// No point of the curve.
    #[error("the public key is not a point on {0}")]
    NotOnCurve(&'static str),
    /// `n` or `e` without octets.
    #[error("`{0}` of the RSA key is empty")]
    EmptyNumber(&'static str),
    /// `n` or `e` with superfluous zero octets.
    #[error("`{0}` of the RSA key starts with a zero octet; write it in the fewest octets (RFC 7518 §2)")]
    LeadingZero(&'static str),
    /// A modulus too short or too long.
    #[error("the RSA modulus has {0} bits; between {RSA_BITS_MIN} and {RSA_BITS_MAX} are supported")]
    RsaSize(usize),
    /// An even modulus.
    #[error("the RSA modulus is even, so that it is not the product of two large primes")]
    EvenModulus,
    /// An exponent that is 1, even or huge.
    #[error("the RSA exponent must be odd, greater than 1 and less than 2^{RSA_EXPONENT_BITS_MAX}; 65537 is usual")]
    Exponent,
    /// The library refuses the key.
    #[error("the RSA key is not usable: modulus and exponent do not go together")]
    RsaUnusable,
}

impl JwkError {
    /// `malformed` if the text is at fault, `badPublicKey` if the key is.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let kind = match self {
            Self::TooLong(_) | Self::Json(_) | Self::Missing(_) | Self::Base64url { .. } => ProblemType::Malformed,
            Self::Private
            | Self::Symmetric
            | Self::Type(_)
            | Self::Curve(_)
            | Self::Width { .. }
            | Self::NotOnCurve(_)
            | Self::EmptyNumber(_)
            | Self::LeadingZero(_)
            | Self::RsaSize(_)
            | Self::EvenModulus
            | Self::Exponent
            | Self::RsaUnusable => ProblemType::BadPublicKey,
        };
        Problem::new(kind, self.to_string())
    }
}
