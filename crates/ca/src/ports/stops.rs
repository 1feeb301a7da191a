//! What the ledger keeps of stopped issuance.

use std::fmt;
use std::net::IpAddr;

use acme::{DnsName, Identifier};
use pki::Timestamp;
use serde::{Deserialize, Serialize};

use crate::AccountId;
use crate::order::Order;

/// What a stop is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopScope {
    /// Everything.
    All,
    /// All orders with the profile of this name.
    Profile(String),
    /// All orders of this account.
    Account(AccountId),
    /// All orders with this name or one below it, or with a wildcard that covers it.
    Name(DnsName),
    /// All orders with this IP address.
    Address(IpAddr),
}

impl StopScope {
    /// Whether no issuance may begin for this order while the stop stands.
    pub fn covers(&self, order: &Order) -> bool {
        planted!(StopCoversNothing { return false });
        match self {
            Self::All => true,
            Self::Profile(name) => order.profile == *name,
            Self::Account(id) => order.account == *id,
            Self::Name(_) | Self::Address(_) => order.identifiers.iter().any(|identifier| self.covers_name(identifier)),
        }
    }

    /// Whether it is a stop of names or of an address, and this is one of them.
    pub fn covers_name(&self, identifier: &Identifier) -> bool {
        let stopped = match self {
            Self::Name(stopped) => stopped,
            Self::Address(stopped) => return *identifier == Identifier::Ip(*stopped),
            Self::All | Self::Profile(_) | Self::Account(_) => return false,
        };
        let Some(name) = identifier.name() else { return false };
        let below = name.as_str().strip_suffix(stopped.as_str());
        // A certificate for `*.example.com` is one for `www.example.com`.
        let by_star = identifier.is_wildcard() && stopped.parent().as_ref() == Some(name);
        by_star || below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl fmt::Display for StopScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Profile(name) => write!(f, "profile {name}"),
            Self::Account(id) => write!(f, "account {id}"),
            Self::Name(name) => write!(f, "{name} and names below it"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// A stop of issuance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRecord {
    /// Counts the stops of a ledger from 1.
    pub number: u64,
    /// What it is for.
    pub scope: StopScope,
    /// Why, for the operator's eyes.
    pub reason: String,
    /// Who asked.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// When issuance was resumed. `None`: it stands.
    pub ended: Option<Timestamp>,
}

impl StopRecord {
    /// Whether this is that stop, whatever its number became. Two processes may have logged the same number at the same
    /// time, and one of the two stops has another one then.
    pub fn is(&self, other: &Self) -> bool {
        let Self { number: _, scope, reason, by, since, ended: _ } = self;
        (since, scope, reason, by) == (&other.since, &other.scope, &other.reason, &other.by)
    }

    /// Whether a line of the audit log that ends a stop means this one. Old lines don't say since when it stood.
    pub fn is_meant_by(&self, number: u64, since: Option<Timestamp>) -> bool {
        since.map_or(self.number == number, |since| self.since == since)
    }

    /// Of stops, the one that such a line means: by its number, if that fits.
    pub fn meant_by<'a>(
        stops: impl IntoIterator<Item = &'a Self>,
        number: u64,
        since: Option<Timestamp>,
    ) -> Option<&'a Self> {
        let meant = stops.into_iter().filter(|stop| stop.is_meant_by(number, since));
        meant.min_by_key(|stop| stop.number != number)
    }
}

impl fmt::Display for StopRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "issuance is stopped for {} since {} (stop {})", self.scope, self.since, self.number)
    }
}
