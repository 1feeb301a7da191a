//! Host names, normalised and checked (RFC 1034 §3.5, RFC 1123 §2.1, RFC 5890, BR 7.1.4.2.1).

use std::borrow::Borrow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use psl::{Psl, Type};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::identifier::IdentifierError;
use crate::idna2008;

/// The longest host name, in octets, without a trailing dot (RFC 1035 §2.3.4).
pub const NAME_OCTETS_MAX: usize = 253;
/// The longest label, in octets (RFC 1035 §2.3.4).
pub const LABEL_OCTETS_MAX: usize = 63;

/// A host name: lower case, A-labels only, no trailing dot, not an address. Cheap to clone.
///
/// Made by [`DnsName::parse`] it is also a name that a certificate may carry: of two labels at least, and no ICANN
/// public suffix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(Arc<str>);

impl DnsName {
    /// A name that may stand in a certificate. Upper case is folded.
    ///
    /// Names of private networks (`db.internal`, `first.localhost`) are good; single labels, and names that are
    /// themselves a public suffix of ICANN's part of the list (`co.uk`), are not.
    ///
    /// # Errors
    /// [`IdentifierError`] names the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        let name = Self::parse_host(text)?;
        if !name.0.contains('.') {
            return Err(IdentifierError::SingleLabel(name.0.to_string()));
        }
        if name.is_public_suffix() {
            return Err(IdentifierError::PublicSuffix(name.0.to_string()));
        }
        Ok(name)
    }

    /// A name of this host or its network, where single labels such as `localhost` are good too. Never for names that
    /// a client asks for: that is [`DnsName::parse`].
    ///
    /// # Errors
    /// [`IdentifierError`] names the rule that the text breaks.
    pub fn parse_host(text: &str) -> Result<Self, IdentifierError> {
        check_whole(text)?;
        let lower = text.to_ascii_lowercase();
        let mut last = "";
        for label in lower.split('.') {
            check_label(label)?;
            last = label;
        }
        if is_numeric(last) {
            return Err(IdentifierError::NumericTopLevel(last.to_owned()));
        }
        Ok(Self(lower.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels, the leftmost first; never empty.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The name without its leftmost label; `None` for a single label. Climbs the tree for CAA (RFC 8659 §3).
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, rest)| Self(rest.into()))
    }

    /// Whether the name is itself a suffix under which ICANN's part of the public suffix list lets anybody register.
    fn is_public_suffix(&self) -> bool {
        // The list holds U-labels.
        let (unicode, converted) =
            Uts46::new().to_unicode(self.0.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
        let name = if converted.is_ok() { unicode.as_bytes() } else { self.0.as_bytes() };
        psl::List
            .suffix(name)
            .is_some_and(|suffix| suffix.typ() == Some(Type::Icann) && suffix.as_bytes().len() == name.len())
    }
}

/// What can be said of the text before it is cut into labels.
fn check_whole(text: &str) -> Result<(), IdentifierError> {
    let octets = text.len();
    if octets == 0 {
        return Err(IdentifierError::Empty);
    }
    if !text.is_ascii() {
        return Err(IdentifierError::NotAscii);
    }
    if text.contains('*') {
        return Err(IdentifierError::MisplacedWildcard);
    }
    if text.ends_with('.') {
        return Err(IdentifierError::TrailingDot);
    }
    let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if unbracketed.parse::<IpAddr>().is_ok() {
        return Err(IdentifierError::AddressAsName);
    }
    if let Some((_, port)) = text.rsplit_once(':')
        && !port.is_empty()
        && port.bytes().all(|octet| octet.is_ascii_digit())
    {
        return Err(IdentifierError::Port);
    }
    if octets > NAME_OCTETS_MAX {
        return Err(IdentifierError::TooLong(octets));
    }
    Ok(())
}

fn check_label(label: &str) -> Result<(), IdentifierError> {
    if label.is_empty() {
        return Err(IdentifierError::EmptyLabel);
    }
    if label.len() > LABEL_OCTETS_MAX {
        return Err(IdentifierError::LabelTooLong(label.len()));
    }
    for character in label.chars() {
        match character {
            'a'..='z' | '0'..='9' | '-' => {}
            '_' => return Err(IdentifierError::Underscore(label.to_owned())),
            other => return Err(IdentifierError::Character(other)),
        }
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(IdentifierError::Hyphen(label.to_owned()));
    }
    if label.get(2..4) == Some("--") {
        return match label.strip_prefix("xn--") {
            Some(_) => check_a_label(label),
            None => Err(IdentifierError::ReservedLabel(label.to_owned())),
        };
    }
    Ok(())
}

/// An A-label is what encoding its own U-label gives, and nothing else (RFC 5890 §2.3.2.1).
fn check_a_label(label: &str) -> Result<(), IdentifierError> {
    let fake = || IdentifierError::FakeALabel(label.to_owned());
    let uts46 = Uts46::new();
    let (unicode, decoded) = uts46.to_unicode(label.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    decoded.map_err(|_| fake())?;
    if unicode.is_ascii() {
        return Err(fake());
    }
    if let Some(character) = idna2008::forbidden(&unicode) {
        return Err(IdentifierError::NotInIdna2008 { label: label.to_owned(), character });
    }
    let again = uts46
        .to_ascii(unicode.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_| fake())?;
    if again == label { Ok(()) } else { Err(fake()) }
}

/// Whether URL parsers would take a name that ends in this label for an IPv4 address (WHATWG URL, "ends in a number").
fn is_numeric(label: &str) -> bool {
    label.bytes().all(|octet| octet.is_ascii_digit())
        || label.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|octet| octet.is_ascii_hexdigit()))
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DnsName({})", self.0)
    }
}

impl AsRef<str> for DnsName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for DnsName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for DnsName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Reads what was stored: the syntax is checked, the public suffix list is not, since a name that was good when it was
/// stored has to be readable after the list has changed.
impl<'de> Deserialize<'de> for DnsName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse_host(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
