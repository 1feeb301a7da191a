//! Accounts (RFC 8555 §7.1.2) as the ledger keeps them.

use acme::{AccountStatus, Jwk, Thumbprint};
use pki::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AccountId, ExternalKeyId};

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
    /// Which version of them; `None`: they had none then, or were not agreed to.
    pub terms_version: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// The key for external account binding that it was made with.
    pub external_key: Option<ExternalKeyId>,
    /// newAccount and each key change, oldest first: insert-only.
    #[serde(skip)]
    pub proofs: Vec<KeyProof>,
}

/// A request that made a key the account's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProof {
    /// newAccount or a key change, as the client signed it.
    pub jws: Vec<u8>,
    /// From when on the key was the account's: written with the proof, and never changed.
    pub since: Timestamp,
}

impl Account {
    /// RFC 7638: the key's thumbprint, by which an account is found again.
    pub fn thumbprint(&self) -> Thumbprint {
        self.key.thumbprint()
    }

    /// Whether this account may still ask for anything.
    pub fn is_valid(&self) -> bool {
        self.status == AccountStatus::Valid || planted!(DeactivatedAccount)
    }
}
