//! Identifiers: what a certificate is about (RFC 8555 §7.1.3, §9.7.7; RFC 8738).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::dns_name::{DnsName, NAME_OCTETS_MAX};
use crate::problem::{Problem, ProblemType, Subproblem};
use crate::strict;

/// What a certificate is about, checked and normalised: equal identifiers are equal values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identifier {
    /// A host name.
    Dns(DnsName),
    /// `*.name`: every host name with one more label than this one; holds the name without the star.
    Wildcard(DnsName),
    /// An IP address (RFC 8738).
    Ip(IpAddr),
}

impl Identifier {
    /// The name without a star; `None` for an address.
    #[must_use]
    pub const fn name(&self) -> Option<&DnsName> {
        match self {
            Self::Dns(name) | Self::Wildcard(name) => Some(name),
            Self::Ip(_) => None,
        }
    }

    /// Whether this is a `*.name`.
    #[must_use]
    pub const fn is_wildcard(&self) -> bool {
        matches!(self, Self::Wildcard(_))
    }

    /// As it stands in an order: with the star (RFC 8555 §7.1.3).
    #[must_use]
    pub fn wire(&self) -> WireIdentifier {
        WireIdentifier { kind: self.kind().to_owned(), value: self.to_string() }
    }

    /// As it stands in an authorization: without the star, which is its `wildcard` member (RFC 8555 §7.1.4).
    #[must_use]
    pub fn authorization_wire(&self) -> WireIdentifier {
        let value = self.name().map_or_else(|| self.to_string(), DnsName::to_string);
        WireIdentifier { kind: self.kind().to_owned(), value }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) | Self::Wildcard(_) => DNS,
            Self::Ip(_) => IP,
        }
    }
}

/// An identifier that is longer than this is no identifier, and is not sent back in full.
const ECHO_CHARS_MAX: usize = 300;
const DNS: &str = "dns";
const IP: &str = "ip";

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "{name}"),
            Self::Wildcard(name) => write!(f, "*.{name}"),
            Self::Ip(address) => write!(f, "{address}"),
        }
    }
}

/// For command lines: an address if it is one, else a name.
impl FromStr for Identifier {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, IdentifierError> {
        if text.parse::<IpAddr>().is_ok() { parse_address(text) } else { parse_name(text, DnsName::parse) }
    }
}

fn parse_name(value: &str, parse: fn(&str) -> Result<DnsName, IdentifierError>) -> Result<Identifier, IdentifierError> {
    let Some(base) = value.strip_prefix("*.") else {
        return parse(value).map(Identifier::Dns);
    };
    if value.len() > NAME_OCTETS_MAX {
        return Err(IdentifierError::TooLong(value.len()));
    }
    match parse(base) {
        Ok(name) => Ok(Identifier::Wildcard(name)),
        Err(IdentifierError::PublicSuffix(suffix) | IdentifierError::SingleLabel(suffix)) => {
            Err(IdentifierError::WildcardOverPublicSuffix(suffix))
        }
        Err(error) => Err(error),
    }
}

fn parse_address(value: &str) -> Result<Identifier, IdentifierError> {
    if value.is_empty() {
        return Err(IdentifierError::Empty);
    }
    if value.contains('%') {
        return Err(IdentifierError::Zone);
    }
    if value.contains('/') {
        return Err(IdentifierError::Range);
    }
    let address: IpAddr = value.parse().map_err(|_| IdentifierError::NotAnAddress)?;
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        return Err(IdentifierError::MappedAddress(v4));
    }
    // The standard library writes IPv6 as RFC 5952 has it.
    let canonical = address.to_string();
    if canonical == value { Ok(Identifier::Ip(address)) } else { Err(IdentifierError::NotCanonical(canonical)) }
}

/// An identifier as a client sent it, or as it is sent to one: nothing is checked but that it is an object of two
/// texts. `try_into` an [`Identifier`] checks it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct WireIdentifier {
    /// `dns` or `ip`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name or address.
    pub value: String,
}

impl<'de> Deserialize<'de> for WireIdentifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Members {
            #[serde(rename = "type")]
            kind: String,
            value: String,
        }
        strict::object(deserializer).map(|Members { kind, value }| Self { kind, value })
    }
}

impl TryFrom<&WireIdentifier> for Identifier {
    type Error = IdentifierError;

    fn try_from(wire: &WireIdentifier) -> Result<Self, IdentifierError> {
        match wire.kind.as_str() {
            DNS => parse_name(&wire.value, DnsName::parse),
            IP => parse_address(&wire.value),
            other => Err(IdentifierError::UnsupportedType(other.chars().take(64).collect())),
        }
    }
}

impl TryFrom<WireIdentifier> for Identifier {
    type Error = IdentifierError;

    fn try_from(wire: WireIdentifier) -> Result<Self, IdentifierError> {
        Self::try_from(&wire)
    }
}

impl Serialize for Identifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.wire().serialize(serializer)
    }
}

/// Reads what was stored, with the rules of [`DnsName`]'s own reading. What a client sends is a [`WireIdentifier`].
impl<'de> Deserialize<'de> for Identifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = WireIdentifier::deserialize(deserializer)?;
        let identifier = match wire.kind.as_str() {
            DNS => parse_name(&wire.value, DnsName::parse_host),
            IP => parse_address(&wire.value),
            other => Err(IdentifierError::UnsupportedType(other.to_owned())),
        };
        identifier.map_err(serde::de::Error::custom)
    }
}

/// Why an identifier is refused: what is wrong, and what would be right. The client must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// No text at all.
    #[error("the identifier is empty; send a host name with at least two labels, or an IP address")]
    Empty,
    /// Over 253 octets.
    #[error("the name has {0} octets; a DNS name has at most 253 (RFC 1035 §2.3.4)")]
    TooLong(usize),
    /// Two dots in a row, or one at the start.
    #[error("the name has an empty label; write exactly one dot between labels, and none at the start")]
    EmptyLabel,
    /// A label over 63 octets.
    #[error("a label of the name has {0} octets; a label has at most 63 (RFC 1035 §2.3.4)")]
    LabelTooLong(usize),
    /// An octet that no host name has.
    #[error("the character {0:?} cannot be in a host name; only letters, digits, hyphens and dots can (RFC 1123 §2.1)")]
    Character(char),
    /// An underscore: good in DNS, not in a host name.
    #[error("the label `{0}` has an underscore; host names in certificates cannot have one (RFC 1123 §2.1)")]
    Underscore(String),
    /// A hyphen at the start or end of a label.
    #[error(
        "the label `{0}` starts or ends with a hyphen; it must start and end with a letter or digit (RFC 1123 §2.1)"
    )]
    Hyphen(String),
    /// The absolute form.
    #[error("the name ends with a dot; send it without (RFC 5280 §4.2.1.6)")]
    TrailingDot,
    /// Unicode.
    #[error("the name has characters outside ASCII; send its A-label form, which starts with `xn--` (RFC 8555 §7.1.3)")]
    NotAscii,
    /// `xn--` with something that no U-label encodes to.
    #[error(
        "the label `{0}` is not a valid A-label: it is not the encoding of any internationalised label (RFC 5891 §5.4)"
    )]
    FakeALabel(String),
    /// `xn--` with a character that UTS #46 lets pass, but IDNA2008 does not, such as a pictogram.
    #[error(
        "the label `{label}` holds U+{code:04X}, which IDNA2008 does not allow there (RFC 5892)",
        code = u32::from(*character)
    )]
    NotInIdna2008 {
        /// The label, as it was sent.
        label: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// Hyphens in third and fourth place without `xn`.
    #[error(
        "the label `{0}` has hyphens in its third and fourth place, which is reserved for A-labels (RFC 5890 §2.3.1)"
    )]
    ReservedLabel(String),
    /// `name:443`.
    #[error("the identifier has a port; send the name alone: certificates are not bound to ports")]
    Port,
    /// An IP address with the type `dns`.
    #[error("the value of this `dns` identifier is an IP address; send it with the type `ip` (RFC 8738 §3)")]
    AddressAsName,
    /// One label only.
    #[error("`{0}` is a single label; send a full name with at least two labels, such as `{0}.example.com`")]
    SingleLabel(String),
    /// A name like `co.uk`.
    #[error("`{0}` is a public suffix, under which anybody can register; send a name below it")]
    PublicSuffix(String),
    /// A last label that is a number, as in an address.
    #[error("the last label `{0}` is a number, so that the name reads as an IP address; no top-level domain is one")]
    NumericTopLevel(String),
    /// A star that is not the whole leftmost label, or a second one.
    #[error("a wildcard is `*.` followed by a name without any other star; `*` alone or elsewhere is not supported")]
    MisplacedWildcard,
    /// `*.co.uk`, `*.com`, `*.local`.
    #[error("a wildcard directly under `{0}` would cover names of unrelated owners; send `*.` and a name below `{0}`")]
    WildcardOverPublicSuffix(String),
    /// A type other than `dns` and `ip`.
    #[error("identifiers of type `{0}` are not supported; supported are `dns` (RFC 8555) and `ip` (RFC 8738)")]
    UnsupportedType(String),
    /// Not an address at all.
    #[error(
        "the value of this `ip` identifier is not an IP address: send IPv4 as four decimal numbers without leading \
             zeros, IPv6 in the form of RFC 5952 without brackets (RFC 8738 §3)"
    )]
    NotAnAddress,
    /// `fe80::1%eth0`.
    #[error("the address has a zone id, which means something on one host only; send an address without (RFC 8738 §3)")]
    Zone,
    /// `192.0.2.0/24`.
    #[error("the value is a range of addresses; send single addresses (RFC 8738 §3)")]
    Range,
    /// `::ffff:192.0.2.1`.
    #[error("the address is an IPv4 address mapped into IPv6; send `{0}` (RFC 5952 §5)")]
    MappedAddress(std::net::Ipv4Addr),
    /// The right address, written otherwise than RFC 5952 has it.
    #[error("the address is not in its canonical text form; send `{0}` (RFC 8738 §3, RFC 5952 §4)")]
    NotCanonical(String),
}

impl IdentifierError {
    /// The error type that a client is told.
    #[must_use]
    pub const fn problem_type(&self) -> ProblemType {
        match self {
            Self::UnsupportedType(_) => ProblemType::UnsupportedIdentifier,
            Self::SingleLabel(_) | Self::PublicSuffix(_) | Self::WildcardOverPublicSuffix(_) => {
                ProblemType::RejectedIdentifier
            }
            Self::Empty
            | Self::TooLong(_)
            | Self::EmptyLabel
            | Self::LabelTooLong(_)
            | Self::Character(_)
            | Self::Underscore(_)
            | Self::Hyphen(_)
            | Self::TrailingDot
            | Self::NotAscii
            | Self::FakeALabel(_)
            | Self::NotInIdna2008 { .. }
            | Self::ReservedLabel(_)
            | Self::Port
            | Self::AddressAsName
            | Self::NumericTopLevel(_)
            | Self::MisplacedWildcard
            | Self::NotAnAddress
            | Self::Zone
            | Self::Range
            | Self::MappedAddress(_)
            | Self::NotCanonical(_) => ProblemType::Malformed,
        }
    }

    /// The problem document for an order of this identifier alone.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem::new(self.problem_type(), self.to_string())
    }

    /// The subproblem for this identifier among several: as it was sent, unless it is longer than any good one.
    #[must_use]
    pub fn subproblem(&self, identifier: &WireIdentifier) -> Subproblem {
        let cut = |text: &str| text.chars().take(ECHO_CHARS_MAX).collect();
        let identifier = WireIdentifier { kind: cut(&identifier.kind), value: cut(&identifier.value) };
        Subproblem { kind: self.problem_type(), detail: self.to_string(), identifier: Some(identifier) }
    }
}
