//! Contact URLs of accounts (RFC 8555 §7.3).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::dns_name::DnsName;
use crate::identifier::IdentifierError;
use crate::problem::{Problem, ProblemType};

/// The longest address, in octets (RFC 5321 §4.5.3.1.3, less its angle brackets).
const ADDRESS_OCTETS_MAX: usize = 254;
/// The longest part before the at sign, in octets (RFC 5321 §4.5.3.1.1).
const LOCAL_OCTETS_MAX: usize = 64;

/// A `mailto:` URL with exactly one address (RFC 6068): scheme and domain in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Contact(String);

impl Contact {
    /// Reads a contact URL.
    ///
    /// # Errors
    /// [`ContactError`] names the rule that the URL breaks.
    pub fn parse(url: &str) -> Result<Self, ContactError> {
        let (scheme, address) = url.split_once(':').ok_or(ContactError::NoScheme)?;
        if !scheme.eq_ignore_ascii_case("mailto") {
            return Err(ContactError::Scheme(scheme.chars().take(32).collect()));
        }
        if !address.is_ascii() {
            return Err(ContactError::NotAscii);
        }
        if address.len() > ADDRESS_OCTETS_MAX {
            return Err(ContactError::TooLong(address.len()));
        }
        if address.contains('?') {
            return Err(ContactError::HeaderFields);
        }
        if address.contains(',') {
            return Err(ContactError::SeveralAddresses);
        }
        if address.contains('%') {
            return Err(ContactError::PercentEncoded);
        }
        let (local, domain) = address.split_once('@').ok_or(ContactError::NoAddress)?;
        let is_atom = |atom: &str| !atom.is_empty() && atom.bytes().all(is_atext);
        if local.len() > LOCAL_OCTETS_MAX || !local.split('.').all(is_atom) {
            return Err(ContactError::Local);
        }
        let domain = DnsName::parse_host(domain).map_err(ContactError::Domain)?;
        Ok(Self(format!("mailto:{local}@{domain}")))
    }

    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 5322 §3.2.3, less what would have to be percent-encoded or is refused above.
const fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'!' | b'#'
                | b'$'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'/'
                | b'='
                | b'^'
                | b'_'
                | b'`'
                | b'{'
                | b'|'
                | b'}'
                | b'~'
        )
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Contact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Why a contact URL is refused: what is wrong, and what would be right. The client must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// Not a URL.
    #[error("the contact is not a URL; send `mailto:` followed by an address (RFC 8555 §7.3)")]
    NoScheme,
    /// A scheme other than `mailto`.
    #[error("contact URLs with the scheme `{0}` are not supported; send `mailto:` (RFC 8555 §7.3)")]
    Scheme(String),
    /// Characters outside ASCII.
    #[error("the contact has characters outside ASCII; send the domain in its A-label form (RFC 6068 §2)")]
    NotAscii,
    /// Over 254 octets.
    #[error("the address has {0} octets; a mail address has at most {ADDRESS_OCTETS_MAX} (RFC 5321 §4.5.3.1)")]
    TooLong(usize),
    /// `?subject=…`.
    #[error("the contact has header fields after `?`; send the address alone (RFC 8555 §7.3)")]
    HeaderFields,
    /// More addresses than one.
    #[error("the contact has several addresses; send a URL for each (RFC 8555 §7.3)")]
    SeveralAddresses,
    /// `%40`.
    #[error("the contact is percent-encoded; send an address that needs no encoding (RFC 6068 §2)")]
    PercentEncoded,
    /// No at sign.
    #[error("the contact has no address; send `mailto:name@example.com`")]
    NoAddress,
    /// The part before the at sign.
    #[error(
        "the part before the `@` must be 1 to {LOCAL_OCTETS_MAX} letters, digits, single dots inside and the signs of \
             RFC 5322 §3.2.3, unquoted"
    )]
    Local,
    /// The part after the at sign.
    #[error("the part after the `@` is not a host name: {0}")]
    Domain(#[source] IdentifierError),
    /// More contacts than an account may have.
    #[error("there are {0} contacts; at most {max} are kept", max = crate::account::CONTACTS_MAX)]
    TooMany(usize),
}

impl ContactError {
    /// `unsupportedContact` for another scheme, `invalidContact` for the rest (RFC 8555 §7.3).
    #[must_use]
    pub fn problem(&self) -> Problem {
        let kind = match self {
            Self::Scheme(_) => ProblemType::UnsupportedContact,
            Self::NoScheme
            | Self::NotAscii
            | Self::TooLong(_)
            | Self::HeaderFields
            | Self::SeveralAddresses
            | Self::PercentEncoded
            | Self::NoAddress
            | Self::Local
            | Self::Domain(_)
            | Self::TooMany(_) => ProblemType::InvalidContact,
        };
        Problem::new(kind, self.to_string())
    }
}
