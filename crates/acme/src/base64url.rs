//! base64url as RFC 7515 §2 has it: the URL-safe alphabet, no padding, zero trailing bits.

use data_encoding::{BASE64URL_NOPAD, DecodeError, DecodeKind};

/// Why a text is not base64url as RFC 7515 §2 demands it. The client must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Base64urlError {
    /// `=` at the end.
    #[error("base64url is written without padding, but there is a `=` at offset {0} (RFC 7515 §2)")]
    Padding(usize),
    /// `+`, `/`, white space or any other octet outside the alphabet.
    #[error("the character at offset {0} is outside the base64url alphabet A-Z a-z 0-9 - _ (RFC 4648 §5)")]
    Symbol(usize),
    /// No octet string encodes to this many characters.
    #[error("the text is cut short: no octet string has a base64url form of this length")]
    Length,
    /// The unused bits of the last character are not zero, so that two texts would mean the same octets.
    #[error("the unused bits of the last character must be zero (RFC 4648 §3.5)")]
    TrailingBits,
}

impl Base64urlError {
    fn of(text: &[u8], error: DecodeError) -> Self {
        // A wrong symbol explains more than the wrong length that it often causes.
        let wrong = text.iter().position(|octet| !(octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_')));
        match wrong {
            Some(offset) if text[offset] == b'=' => Self::Padding(offset),
            Some(offset) => Self::Symbol(offset),
            None => match error.kind {
                DecodeKind::Trailing => Self::TrailingBits,
                DecodeKind::Length | DecodeKind::Symbol | DecodeKind::Padding => Self::Length,
            },
        }
    }
}

/// Writes octets as base64url without padding.
#[must_use]
pub fn base64url_encode(octets: &[u8]) -> String {
    BASE64URL_NOPAD.encode(octets)
}

/// Reads base64url strictly: padding, other alphabets, white space and non-zero trailing bits are refused, so that an
/// octet string has exactly one text (RFC 7515 §2, RFC 8555 §6.1).
///
/// # Errors
/// [`Base64urlError`] says which rule the text breaks.
pub fn base64url_decode(text: &str) -> Result<Vec<u8>, Base64urlError> {
    let text = text.as_bytes();
    BASE64URL_NOPAD.decode(text).map_err(|error| Base64urlError::of(text, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc7515_appendix_c_example_reads_and_writes() {
        let octets = [3, 236, 255, 224, 193];
        assert_eq!(base64url_encode(&octets), "A-z_4ME");
        assert_eq!(base64url_decode("A-z_4ME"), Ok(octets.to_vec()));
        assert_eq!(base64url_decode(""), Ok(Vec::new()));
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(base64url_decode("QQ=="), Err(Base64urlError::Padding(2)));
        assert_eq!(base64url_decode("A+z_"), Err(Base64urlError::Symbol(1)));
        assert_eq!(base64url_decode("A-z/"), Err(Base64urlError::Symbol(3)));
        assert_eq!(base64url_decode("QUJD\n"), Err(Base64urlError::Symbol(4)));
        assert_eq!(base64url_decode(" QUJD"), Err(Base64urlError::Symbol(0)));
        assert_eq!(base64url_decode("QUJDR"), Err(Base64urlError::Length));
        assert_eq!(base64url_decode("QR"), Err(Base64urlError::TrailingBits));
    }

    proptest! {
        #[test]
        fn every_octet_string_has_exactly_one_text(octets: Vec<u8>) {
            prop_assert_eq!(base64url_decode(&base64url_encode(&octets)), Ok(octets));
        }

        #[test]
        fn a_text_that_reads_is_the_one_that_is_written(text in "[A-Za-z0-9_-]{0,40}") {
            if let Ok(octets) = base64url_decode(&text) {
                prop_assert_eq!(base64url_encode(&octets), text);
            }
        }
    }
}
