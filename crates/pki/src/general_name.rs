//! The names that may stand in a certificate's subjectAltName.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What may stand in the subjectAltName of a certificate of ours (RFC 5280 §4.2.1.6). Ordered as it is encoded:
/// DNS names by their octets, a wildcard behind the name that it covers the children of; then addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// The labels of a DNS name from the last to the first, a dot behind each: what is below a domain begins as the domain
/// does, and nothing else does.
pub fn reversed_labels(name: &str) -> String {
    let mut reversed = String::with_capacity(name.len() + 1);
    for label in name.rsplit('.') {
        reversed.push_str(label);
        reversed.push('.');
    }
    reversed
}

/// What a name is ordered by; DNS names have no address, and `None` comes before all.
fn rank(name: &GeneralName) -> (Option<IpAddr>, &str, bool) {
    match name {
        GeneralName::Dns(dns) => (None, dns.strip_prefix("*.").unwrap_or(dns), name.is_wildcard()),
        GeneralName::Ip(address) => (Some(*address), "", false),
    }
}

impl Ord for GeneralName {
    fn cmp(&self, other: &Self) -> Ordering {
        rank(self).cmp(&rank(other))
    }
}

impl PartialOrd for GeneralName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
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
