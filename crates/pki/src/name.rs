//! Distinguished names.

use std::fmt;

use const_oid::ObjectIdentifier;
use der::asn1::{PrintableStringRef, Utf8StringRef};
use der::{Decode, Encode};

use crate::oid;
use crate::reader::{Reader, only};
use crate::writer::{Writer, tag};

/// A distinguished name, kept as its exact DER: names are equal if their bytes are (RFC 5280 §4.1.2.4).
///
/// Built from the most general attribute to the most specific:
/// `Name::new().country("XX").organization("Example").common_name("Example Root")`. The upper bounds of RFC 5280
/// appendix A (64 characters for most attributes) are the lints' to check, not the builder's.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name {
    der: Vec<u8>,
}

/// Bytes that are no distinguished name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a distinguished name in DER: {0}")]
pub struct NameError(String);

impl Default for Name {
    fn default() -> Self {
        Self::new()
    }
}

impl Name {
    /// The empty name.
    pub fn new() -> Self {
        Self { der: vec![tag::SEQUENCE, 0] }
    }

    /// The empty name, as the subject of a certificate that has its names in the subjectAltName alone.
    pub fn empty() -> Self {
        Self::new()
    }

    /// Adds a country: two letters of ISO 3166, as a PrintableString.
    #[must_use]
    pub fn country(self, country: &str) -> Self {
        self.with(&oid::COUNTRY_NAME, tag::PRINTABLE_STRING, country)
    }

    /// Adds an organization, as a UTF8String.
    #[must_use]
    pub fn organization(self, organization: &str) -> Self {
        self.with(&oid::ORGANIZATION_NAME, tag::UTF8_STRING, organization)
    }

    /// Adds a common name, as a UTF8String.
    #[must_use]
    pub fn common_name(self, common_name: &str) -> Self {
        self.with(&oid::COMMON_NAME, tag::UTF8_STRING, common_name)
    }

    fn with(self, kind: &ObjectIdentifier, string_tag: u8, text: &str) -> Self {
        let mut writer = Writer::with_capacity(self.der.len() + text.len() + 16);
        writer.sequence(|writer| {
            if let Some(name) = only(&self.der, tag::SEQUENCE) {
                writer.raw(name.contents);
            }
            write_attribute(writer, kind, string_tag, text);
        });
        Self { der: writer.finish() }
    }

    /// Reads a name; the bytes are kept as they are. Refused if they are not DER or have anything after the name.
    pub fn from_der(der: &[u8]) -> Result<Self, NameError> {
        let name = x509_cert::name::Name::from_der(der).map_err(|error| NameError(error.to_string()))?;
        if name.to_der().ok().as_deref() != Some(der) {
            return Err(NameError("it does not encode back to the same bytes".to_owned()));
        }
        Ok(Self { der: der.to_vec() })
    }

    /// A name that stood in a structure which a strict reader has accepted.
    pub(crate) fn from_checked_der(der: &[u8]) -> Self {
        Self { der: der.to_vec() }
    }

    /// The encoded name.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// A copy of the encoded name.
    pub fn to_der(&self) -> Vec<u8> {
        self.der.clone()
    }

    /// Whether it has no attribute at all.
    pub fn is_empty(&self) -> bool {
        self.der.len() == 2
    }

    /// The attributes in the order of their encoding, with those whose value is no PrintableString, UTF8String or
    /// IA5String left out.
    pub fn attributes(&self) -> Vec<(ObjectIdentifier, String)> {
        let mut found = Vec::new();
        let Some(name) = only(&self.der, tag::SEQUENCE) else {
            return found;
        };
        let mut names = Reader::new(name.contents);
        while let Some(relative) = names.any() {
            let mut members = Reader::new(relative.contents);
            while let Some(attribute) = members.any() {
                found.extend(attribute_text(attribute.contents));
            }
        }
        found
    }

    /// This name with another common name in the place of its own.
    #[must_use]
    pub fn with_common_name(&self, common_name: &str) -> Self {
        let mut kept = Writer::with_capacity(self.der.len());
        kept.sequence(|writer| {
            let mut names = Reader::new(only(&self.der, tag::SEQUENCE).map_or(&[][..], |name| name.contents));
            while let Some(relative) = names.any() {
                let attribute = Reader::new(relative.contents).any().map_or(&[][..], |attribute| attribute.contents);
                let kind = Reader::new(attribute).any().map_or(&[][..], |kind| kind.contents);
                if kind != oid::COMMON_NAME.as_bytes() {
                    writer.raw(relative.encoded);
                }
            }
        });
        Self { der: kept.finish() }.common_name(common_name)
    }

    /// All common names, in the order of their encoding.
    pub fn common_names(&self) -> Vec<String> {
        self.attributes().into_iter().filter(|(kind, _)| *kind == oid::COMMON_NAME).map(|(_, text)| text).collect()
    }
}

fn attribute_text(contents: &[u8]) -> Option<(ObjectIdentifier, String)> {
    const IA5_STRING: u8 = 0x16;
    let mut reader = Reader::new(contents);
    let kind = ObjectIdentifier::from_bytes(reader.expect(tag::OBJECT_IDENTIFIER)?.contents).ok()?;
    let value = reader.any()?;
    let text = match value.tag {
        tag::UTF8_STRING => Utf8StringRef::new(value.contents).ok()?.as_str().to_owned(),
        tag::PRINTABLE_STRING => PrintableStringRef::new(value.contents).ok()?.as_str().to_owned(),
        IA5_STRING => der::asn1::Ia5StringRef::new(value.contents).ok()?.as_str().to_owned(),
        _ => return None,
    };
    Some((kind, text))
}

/// One RelativeDistinguishedName of one attribute.
pub(crate) fn write_attribute(writer: &mut Writer, kind: &ObjectIdentifier, string_tag: u8, text: &str) {
    writer.nested(tag::SET, |writer| {
        writer.sequence(|writer| {
            writer.object_identifier(kind);
            writer.value(string_tag, text.as_bytes());
        });
    });
}

impl fmt::Display for Name {
    /// The string form of RFC 4514: the most specific attribute first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match x509_cert::name::Name::from_der(&self.der) {
            Ok(name) => name.fmt(f),
            Err(_) => write!(f, "#{}", data_encoding::HEXLOWER.encode(&self.der)),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn built_name_reads_back_attribute_by_attribute() {
        let name = Name::new().country("XX").organization("Müller & Co").common_name("Example Root");
        assert_eq!(Name::from_der(name.der()), Ok(name.clone()));
        assert_eq!(
            name.attributes(),
            [
                (oid::COUNTRY_NAME, "XX".to_owned()),
                (oid::ORGANIZATION_NAME, "Müller & Co".to_owned()),
                (oid::COMMON_NAME, "Example Root".to_owned()),
            ]
        );
        assert_eq!(name.to_string(), "CN=Example Root,O=Müller & Co,C=XX");
    }

    #[test]
    fn another_common_name_takes_the_place_of_the_first() {
        let name = Name::new().country("XX").organization("Example").common_name("Example Root");
        let other = Name::new().country("XX").organization("Example").common_name("Example OCSP");
        assert_eq!(name.with_common_name("Example OCSP"), other);
        assert_eq!(Name::new().with_common_name("x"), Name::new().common_name("x"));
    }

    #[test]
    fn empty_name_is_an_empty_sequence() {
        assert_eq!(Name::empty().der(), [0x30, 0]);
        assert!(Name::empty().is_empty());
        assert!(!Name::new().common_name("x").is_empty());
    }

    #[test]
    fn bytes_after_the_name_are_refused() {
        let mut der = Name::new().common_name("x").to_der();
        der.push(0);
        assert!(Name::from_der(&der).is_err());
    }

    proptest! {
        #[test]
        fn any_text_survives(common_name in "\\PC{1,200}", organization in "\\PC{1,64}") {
            let name = Name::new().organization(&organization).common_name(&common_name);
            prop_assert_eq!(Name::from_der(name.der()), Ok(name.clone()));
            prop_assert_eq!(name.common_names(), vec![common_name]);
        }
    }
}
