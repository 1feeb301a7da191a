//! Signed requests as records: what was signed, readable, and in the least room.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base64url::{base64url_decode, base64url_encode};
use crate::jws::JwsError;
use crate::strict;

/// A signed request with what it says in clear: JSON in JSON would be base64 in base64 otherwise. Since base64url has
/// one text for the same octets, the JWS is had back to the octet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The protected header, as it was signed: JSON.
    pub protected: String,
    /// The payload, as it was signed: JSON, or nothing.
    pub payload: String,
    /// The signature, base64url.
    pub signature: String,
}

impl Evidence {
    /// Of a JWS as [`Verified::evidence`](crate::Verified::evidence) writes it; `None` of all others, and where a text
    /// is not UTF-8.
    #[must_use]
    pub fn of(flattened: &[u8]) -> Option<Self> {
        let members = std::str::from_utf8(flattened).ok()?.strip_prefix(FIRST)?.strip_suffix(END)?;
        let (protected, rest) = members.split_once(SECOND)?;
        let (payload, signature) = rest.split_once(THIRD)?;
        base64url_decode(signature).ok()?;
        let text = |member| String::from_utf8(base64url_decode(member).ok()?).ok();
        Some(Self { protected: text(protected)?, payload: text(payload)?, signature: signature.to_owned() })
    }

    /// The JWS: flattened (RFC 7515 §7.2.2), in its shortest form.
    #[must_use]
    pub fn to_jws(&self) -> Vec<u8> {
        let encode = |text: &str| base64url_encode(text.as_bytes());
        flattened(encode(&self.protected).as_bytes(), encode(&self.payload).as_bytes(), self.signature.as_bytes())
    }

    /// Reads the payload as [`Verified::json`](crate::Verified::json) does.
    ///
    /// # Errors
    /// [`JwsError::Payload`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, JwsError> {
        strict::object_from_slice(self.payload.as_bytes()).map_err(JwsError::Payload)
    }
}

const FIRST: &str = r#"{"protected":""#;
const SECOND: &str = r#"","payload":""#;
const THIRD: &str = r#"","signature":""#;
const END: &str = r#""}"#;

/// A flattened JWS of three texts in base64url.
pub(crate) fn flattened(protected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    [FIRST.as_bytes(), protected, SECOND.as_bytes(), payload, THIRD.as_bytes(), signature, END.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_jws_is_had_back_to_the_octet(protected: String, payload: String, signature: Vec<u8>) {
            let encode = |octets: &[u8]| base64url_encode(octets).into_bytes();
            let jws = flattened(&encode(protected.as_bytes()), &encode(payload.as_bytes()), &encode(&signature));
            let evidence = Evidence::of(&jws).unwrap();
            prop_assert_eq!((&evidence.protected, &evidence.payload), (&protected, &payload));
            prop_assert_eq!(evidence.to_jws(), jws);
        }

        #[test]
        fn what_is_read_is_written_as_it_was(
            octets: Vec<u8>,
            parts in prop::array::uniform3("[A-Za-z0-9_\\-=\",:]{0,9}"),
        ) {
            let [protected, payload, signature] = &parts;
            let near = flattened(protected.as_bytes(), payload.as_bytes(), signature.as_bytes());
            for jws in [octets, near] {
                if let Some(evidence) = Evidence::of(&jws) {
                    prop_assert_eq!(evidence.to_jws(), jws);
                }
            }
        }
    }

    #[test]
    fn other_forms_are_no_evidence() {
        for jws in [
            r#"{"protected":"e30","payload":"","signature":"AA"} "#,
            r#"{"payload":"","protected":"e30","signature":"AA"}"#,
            r#"{"protected":"e30=","payload":"","signature":"AA"}"#,
            r#"{"protected":"_w","payload":"","signature":"AA"}"#,
            r#"{"protected":"e30","payload":"","signature":"AB"}"#,
            r#"{"protected":"e30","payload":"","signature":"AA","more":""}"#,
        ] {
            assert_eq!(Evidence::of(jws.as_bytes()), None, "{jws}");
        }
    }
}
