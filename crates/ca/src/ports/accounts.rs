//! What the ledger is asked for about accounts, and why it may refuse.

use acme::{Jwk, Thumbprint};
use pki::Timestamp;

use crate::AccountId;

/// An account to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccountRecord {
    /// Its name, if no account has this key yet.
    pub id: AccountId,
    /// Its key.
    pub key: Jwk,
    /// Checked contact URLs.
    pub contact: Vec<String>,
    /// Whether the terms of service were agreed to.
    pub terms_of_service_agreed: bool,
    /// Which version of them.
    pub terms_version: Option<String>,
    /// When.
    pub created: Timestamp,
    /// The newAccount request as the client signed it.
    pub jws: Vec<u8>,
}

/// A change of an account's key to be written (RFC 8555 §7.3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChangeRecord {
    /// Whose key.
    pub account: AccountId,
    /// The thumbprint of the key that the request was checked against.
    pub from: Thumbprint,
    /// The new key.
    pub to: Jwk,
    /// The whole request as the client signed it: the inner JWS of the new key in one of the old.
    pub jws: Vec<u8>,
}

/// Why an account's key is not changed. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyNotChanged {
    /// There is no such account, or it is not valid any more.
    #[error("the account is not valid")]
    NotValid,
    /// Its key is another one by now.
    #[error("the account's key was changed meanwhile")]
    Changed,
    /// This account has the new key.
    #[error("account {0} has this key")]
    Taken(AccountId),
    /// The new key is blocked.
    #[error("this key is blocked")]
    Blocked,
}

/// Why no account was bound with an external key. Nothing was written, and no use of the key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBound {
    /// It was never given out.
    #[error("there is no key with this `kid` for external account binding")]
    Unknown,
    /// The operator took it back.
    #[error("this key for external account binding was revoked")]
    Revoked,
    /// Its time is over.
    #[error("this key for external account binding has expired")]
    Expired,
    /// As many accounts as it is for are bound with it.
    #[error("this key for external account binding was used as often as it may be")]
    UsedUp,
}
