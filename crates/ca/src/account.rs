//! Accounts (RFC 8555 §7.1.2) as the ledger keeps them.

use acme::{AccountStatus, Jwk, Thumbprint};
use pki::Timestamp;
use serde::{Deserialize, Serialize};

use crate::AccountId;

/// An account as it now stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name; its URL is made of it.
    pub id: AccountId,
    /// The key that signs its requests. What proves it is [`Account::proofs`], never this column alone.
    pub key: Jwk,
    /// `valid`, `deactivated` (by its owner) or `revoked` (by us).
    pub status: AccountStatus,
    /// Contact URLs, checked when they were taken.
    pub contact: Vec<String>,
    /// Whether the terms of service were agreed to.
    pub terms_of_service_agreed: bool,
    /// When it was made.
    pub created: Timestamp,
    /// The JWS of newAccount and of each key change, oldest first, as the client signed them: insert-only.
    #[serde(skip)]
    pub proofs: Vec<Vec<u8>>,
}

impl Account {
    /// RFC 7638: the key's thumbprint, by which an account is found again.
    pub fn thumbprint(&self) -> Thumbprint {
        self.key.thumbprint()
    }

    /// Whether this account may still ask for anything.
    pub fn is_valid(&self) -> bool {
        self.status == AccountStatus::Valid
    }
}
