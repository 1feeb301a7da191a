//! The names that may stand in a certificate's subjectAltName.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What may stand in the subjectAltName of a certificate of ours (RFC 5280 §4.2.1.6). Ordered as it is encoded:
/// DNS names by their octets, then addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GeneralName {
    /// A dNSName: A-labels in lower case, with `*.` in front for a wildcard.
    Dns(String),
    /// An iPAddress (RFC 8738): 4 or 16 octets.
    Ip(IpAddr),
}

impl GeneralName {
    /// Whether this is a DNS name that begins with `*.`.
    pub fn is_wildcard(&self) -> bool {
        match self {
            Self::Dns(name) => name.starts_with("*."),
            Self::Ip(_) => false,
        }
    }
}

impl fmt::Display for GeneralName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}
