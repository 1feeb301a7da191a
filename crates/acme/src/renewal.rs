//! Renewal information (RFC 9773).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base64url::{Base64urlError, base64url_decode, base64url_encode};

/// When a certificate should be renewed (RFC 9773 §4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalInfo {
    /// The time in which to renew.
    #[serde(rename = "suggestedWindow")]
    pub suggested_window: SuggestedWindow,
    /// A page that says why, if there is anything to say.
    #[serde(rename = "explanationURL", default, skip_serializing_if = "Option::is_none")]
    pub explanation_url: Option<String>,
}

/// A span of time; a client picks a random moment in it (RFC 9773 §4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuggestedWindow {
    /// RFC 3339; before `end`.
    pub start: String,
    /// RFC 3339.
    pub end: String,
}

/// The name of a certificate in renewal information and in an order's `replaces` (RFC 9773 §4.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CertificateIdentifier {
    authority_key_identifier: Vec<u8>,
    serial: Vec<u8>,
}

/// The most octets of a key identifier; SHA-512 has 64.
const KEY_IDENTIFIER_OCTETS_MAX: usize = 64;
/// The most octets of a serial number (RFC 5280 §4.1.2.2), and one for its sign.
const SERIAL_OCTETS_MAX: usize = 21;

impl CertificateIdentifier {
    /// The identifier of the certificate with this keyIdentifier of its authority, and this serial number: the content
    /// octets of its INTEGER in DER, a leading zero octet included.
    ///
    /// # Errors
    /// [`CertificateIdentifierError::Length`] if a part is empty or too long.
    pub fn new(
        authority_key_identifier: impl Into<Vec<u8>>,
        serial: impl Into<Vec<u8>>,
    ) -> Result<Self, CertificateIdentifierError> {
        let identifier = Self { authority_key_identifier: authority_key_identifier.into(), serial: serial.into() };
        let is_good = (1..=KEY_IDENTIFIER_OCTETS_MAX).contains(&identifier.authority_key_identifier.len())
            && (1..=SERIAL_OCTETS_MAX).contains(&identifier.serial.len());
        if is_good { Ok(identifier) } else { Err(CertificateIdentifierError::Length) }
    }

    /// The keyIdentifier of the certificate's authority.
    #[must_use]
    pub fn authority_key_identifier(&self) -> &[u8] {
        &self.authority_key_identifier
    }

    /// The serial number: the content octets of its INTEGER in DER.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
}

impl fmt::Display for CertificateIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", base64url_encode(&self.authority_key_identifier), base64url_encode(&self.serial))
    }
}

impl From<CertificateIdentifier> for String {
    fn from(identifier: CertificateIdentifier) -> Self {
        identifier.to_string()
    }
}

impl TryFrom<String> for CertificateIdentifier {
    type Error = CertificateIdentifierError;

    fn try_from(text: String) -> Result<Self, CertificateIdentifierError> {
        text.parse()
    }
}

impl FromStr for CertificateIdentifier {
    type Err = CertificateIdentifierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // No good identifier is nearly this long, and no more than this is decoded.
        if text.len() > 2 * (KEY_IDENTIFIER_OCTETS_MAX + SERIAL_OCTETS_MAX) {
            return Err(CertificateIdentifierError::Length);
        }
        let (key, serial) = text.split_once('.').ok_or(CertificateIdentifierError::Form)?;
        let decode = |part| base64url_decode(part).map_err(CertificateIdentifierError::Base64url);
        Self::new(decode(key)?, decode(serial)?)
    }
}

/// Why a text names no certificate. The client must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateIdentifierError {
    /// Not two parts with a dot between.
    #[error("a certificate is named by its authority's key identifier, a dot and its serial number (RFC 9773 §4.1)")]
    Form,
    /// A part is not base64url.
    #[error("a part of the certificate's name is not base64url: {0} (RFC 9773 §4.1)")]
    Base64url(Base64urlError),
    /// A part is empty, or longer than any certificate has it.
    #[error("a part of the certificate's name is empty or too long (RFC 9773 §4.1)")]
    Length,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9773_4_1_example_reads_and_writes() {
        let text = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";
        let identifier: CertificateIdentifier = text.parse().expect("the RFC's example");
        assert_eq!(identifier.serial(), [0x00, 0x87, 0x65, 0x43, 0x21]);
        assert_eq!(identifier.authority_key_identifier()[..3], [0x69, 0x88, 0x5b]);
        assert_eq!(identifier.to_string(), text);
    }

    #[test]
    fn each_fault_is_named() {
        let fault = |text: &str| text.parse::<CertificateIdentifier>().expect_err(text);
        assert_eq!(fault("aYhba4dGQEHhs3uEe6CuLN4ByNQ"), CertificateIdentifierError::Form);
        assert_eq!(fault("AAAA.AA=="), CertificateIdentifierError::Base64url(Base64urlError::Padding(2)));
        assert_eq!(fault("AAAA.AAAA.AAAA"), CertificateIdentifierError::Base64url(Base64urlError::Symbol(4)));
        assert_eq!(fault("AAAA."), CertificateIdentifierError::Length);
        assert_eq!(fault(".AAAA"), CertificateIdentifierError::Length);
        assert_eq!(fault(&format!("AAAA.{}", "A".repeat(32))), CertificateIdentifierError::Length);
        assert_eq!(fault(&"A".repeat(10_000)), CertificateIdentifierError::Length);
    }

    #[test]
    fn renewal_info_has_the_names_of_the_rfc() {
        let window = SuggestedWindow { start: "2026-01-02T04:00:00Z".into(), end: "2026-01-03T04:00:00Z".into() };
        let info = RenewalInfo { suggested_window: window, explanation_url: None };
        let json = r#"{"suggestedWindow":{"start":"2026-01-02T04:00:00Z","end":"2026-01-03T04:00:00Z"}}"#;
        assert_eq!(serde_json::to_string(&info).expect("JSON"), json);
        assert_eq!(serde_json::from_str::<RenewalInfo>(json).expect("JSON"), info);
    }
}
