//! The names of things: newtypes, so that no id is taken for another.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::ports::Random;

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: expected {expected}")]
pub struct ParseIdError {
    what: &'static str,
    expected: &'static str,
    text: String,
}

impl ParseIdError {
    pub(crate) fn new(what: &'static str, expected: &'static str, text: &str) -> Self {
        Self { what, expected, text: text.chars().take(80).collect() }
    }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 128 random bits, written as 32 lower-case hexadecimal digits.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            /// Draws a new one.
            pub fn random(random: &dyn Random) -> Self {
                let mut bytes = [0; 16];
                random.fill(&mut bytes);
                Self(bytes)
            }

            /// The 16 octets of this id.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// The id that has these octets.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let no_id = || ParseIdError::new($what, "32 lower-case hexadecimal digits", text);
                let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| no_id())?;
                bytes.try_into().map(Self).map_err(|_| no_id())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }
    };
}

random_id!(
    /// Names an account (RFC 8555 §7.1.2). Its URL is the account's `kid`.
    AccountId,
    "account id"
);

impl AccountId {
    /// No account has it: it stands where a record was restored whose account nobody knows any more.
    pub const UNKNOWN: Self = Self([0; 16]);
}

random_id!(
    /// Names an order (RFC 8555 §7.1.3): the `sessionid` of the session database.
    OrderId,
    "order id"
);
random_id!(
    /// Names an instance: a data folder held by an exclusive lock, one process at a time.
    InstanceId,
    "instance id"
);
random_id!(
    /// The workbench's fence: compared for equality when a worker advances an order.
    LeaseToken,
    "lease token"
);

/// Names an authorization (RFC 8555 §7.1.4): the order it was made for, and its number there.
/// This is the `sessionid:n` of the session database. Written `<order>-<n>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AuthorizationId {
    /// The order that this authorization was made for. Later orders of the account may reuse it.
    pub order: OrderId,
    /// Counts the authorizations of that order from 0.
    pub number: u16,
}

impl fmt::Display for AuthorizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.order, self.number)
    }
}

impl fmt::Debug for AuthorizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthorizationId({self})")
    }
}

impl FromStr for AuthorizationId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let no_id = || ParseIdError::new("authorization id", "an order id, a hyphen and a number", text);
        let (order, digits) = text.split_once('-').ok_or_else(no_id)?;
        let order = order.parse().map_err(|_| no_id())?;
        let number: u16 = digits.parse().map_err(|_| no_id())?;
        // One spelling only: "+1" and "01" would be second URLs of the same resource.
        if number.to_string() != digits {
            return Err(no_id());
        }
        Ok(Self { order, number })
    }
}

impl From<AuthorizationId> for String {
    fn from(id: AuthorizationId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for AuthorizationId {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        text.parse()
    }
}

/// Names a key for external account binding, as the operator gave it out (RFC 8555 §7.3.4): 1 to 256 visible characters
/// of ASCII.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ExternalKeyId(String);

impl ExternalKeyId {
    /// Draws a new one: 80 random bits.
    pub fn random(random: &dyn Random) -> Self {
        let mut bytes = [0; 10];
        random.fill(&mut bytes);
        Self(HEXLOWER.encode(&bytes))
    }

    /// As clients send it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExternalKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ExternalKeyId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let fits = (1..=acme::external_account::KID_CHARS_MAX).contains(&text.len());
        if fits && text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err(ParseIdError::new("key identifier", "1 to 256 visible characters of ASCII, without spaces", text))
    }
}

impl From<ExternalKeyId> for String {
    fn from(id: ExternalKeyId) -> Self {
        id.0
    }
}

impl TryFrom<String> for ExternalKeyId {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text_form() {
        let order = OrderId::from_bytes([0xab; 16]);
        assert_eq!(order.to_string().parse(), Ok(order));
        let authorization = AuthorizationId { order, number: 7 };
        assert_eq!(authorization.to_string().parse(), Ok(authorization));
    }

    #[test]
    fn an_id_has_one_spelling() {
        let order = OrderId::from_bytes([0xab; 16]).to_string();
        assert!(order.to_uppercase().parse::<OrderId>().is_err());
        assert!(order[1..].parse::<OrderId>().is_err());
        for number in ["", "+1", "01", "65536", "1 "] {
            assert!(format!("{order}-{number}").parse::<AuthorizationId>().is_err(), "{number}");
        }
    }
}
