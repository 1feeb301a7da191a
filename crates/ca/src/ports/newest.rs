//! What the ledger knows of time: the newest of its records.

use std::fmt;

use pki::{Serial, Sha256, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{AccountId, AuthorizationId, OrderId};

/// The record of the ledger with the newest time. A clock that is far behind it is wrong, or was wrong then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest {
    /// Its time.
    pub at: Timestamp,
    /// What was recorded.
    pub record: Recorded,
}

impl Default for Newest {
    fn default() -> Self {
        Self { at: Timestamp::from_millis(0), record: Recorded::Nothing }
    }
}

impl Newest {
    /// The newer of the two; of two with the same time, the one recorded later.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if other.at >= self.at { other } else { self }
    }
}

/// What a record of the ledger is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recorded {
    /// There is no record yet.
    Nothing,
    /// Written by a version that did not note which.
    Unnamed,
    /// An account was made, or its key changed.
    Account(AccountId),
    /// An authorization ended.
    Authorization(AuthorizationId),
    /// An order ended.
    Order(OrderId),
    /// A step of an issuance.
    Issuance(Serial),
    /// A revocation.
    Revocation(Serial),
    /// A key was blocked: SHA-256 of its SubjectPublicKeyInfo.
    KeyBlock(Sha256),
    /// A CRL was made.
    Crl {
        /// The shard.
        shard: u16,
        /// Its number.
        number: u64,
    },
    /// An operator accepted the time of the clock.
    Accepted,
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Unnamed => f.write_str("a record"),
            Self::Account(id) => write!(f, "a change of account {id}"),
            Self::Authorization(id) => write!(f, "the end of authorization {id}"),
            Self::Order(id) => write!(f, "the end of order {id}"),
            Self::Issuance(serial) => write!(f, "the issuance of serial {serial}"),
            Self::Revocation(serial) => write!(f, "the revocation of serial {serial}"),
            Self::KeyBlock(spki_hash) => write!(f, "the block of key {spki_hash}"),
            Self::Crl { shard, number } => write!(f, "CRL {number} of shard {shard}"),
            Self::Accepted => f.write_str("the time that the operator accepted"),
        }
    }
}
