//! What the ledger keeps of stopped issuance.

use std::fmt;

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
}

impl StopScope {
    /// Whether no issuance may begin for this order while the stop stands.
    pub fn covers(&self, order: &Order) -> bool {
        match self {
            Self::All => true,
            Self::Profile(name) => order.profile == *name,
            Self::Account(id) => order.account == *id,
            Self::Name(_) => order.identifiers.iter().any(|identifier| self.covers_name(identifier)),
        }
    }

    /// Whether it is a stop of names, and this is one of them.
    pub fn covers_name(&self, identifier: &Identifier) -> bool {
        let Self::Name(stopped) = self else { return false };
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

impl fmt::Display for StopRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "issuance is stopped for {} since {} (stop {})", self.scope, self.since, self.number)
    }
}
