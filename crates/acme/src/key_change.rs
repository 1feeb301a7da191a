//! Change of an account's key: a JWS of the new key inside one of the old (RFC 8555 §7.3.5).

use serde::{Deserialize, Serialize};

use crate::jwk::Jwk;
use crate::jws::{Jws, JwsError, KeyReference, Payload, Verified};
use crate::problem::Problem;

/// The payload of the inner JWS (RFC 8555 §7.3.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyChange {
    /// The account's URL: equal to the outer `kid`.
    pub account: String,
    /// The account's present key.
    pub old_key: Jwk,
}

impl KeyChange {
    /// The new key, if the request proves that whoever holds the account's present key and whoever holds the new one
    /// both want the change. Whether another account has the new key is for the ledger to say.
    ///
    /// The algorithm of the inner JWS is judged by the new key, that of the outer was judged by the old one.
    ///
    /// # Errors
    /// [`KeyChangeError`] names the check of RFC 8555 §7.3.5 that failed.
    pub fn new_key(outer: &Verified, present: &Jwk) -> Result<Jwk, KeyChangeError> {
        let KeyReference::Kid(account) = &outer.protected().key else {
            return Err(KeyChangeError::OuterKey);
        };
        let Payload::Json(inner) = outer.payload() else {
            return Err(KeyChangeError::Empty);
        };
        let inner = Jws::parse(inner).map_err(KeyChangeError::Inner)?;
        let KeyReference::Jwk(new) = inner.protected().key.clone() else {
            return Err(KeyChangeError::InnerKey);
        };
        if inner.protected().nonce.is_some() {
            return Err(KeyChangeError::InnerNonce);
        }
        if inner.protected().url != outer.protected().url {
            return Err(KeyChangeError::Url);
        }
        let inner = inner.verify(new.verifying_key()).map_err(KeyChangeError::Inner)?;
        let change: Self = inner.json().map_err(KeyChangeError::Inner)?;
        if change.account != *account {
            return Err(KeyChangeError::Account);
        }
        if change.old_key != *present {
            return Err(KeyChangeError::OldKey);
        }
        if new == *present {
            return Err(KeyChangeError::SameKey);
        }
        Ok(new)
    }
}

/// Why a key change is refused: what is wrong, and what would be right. The client must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyChangeError {
    /// The outer JWS has `jwk`.
    #[error("the outer JWS of a key change must have the account's URL as `kid` (RFC 8555 §7.3.5)")]
    OuterKey,
    /// The outer payload is empty.
    #[error("the payload of a key change is a JWS signed by the new key, and here it is empty (RFC 8555 §7.3.5)")]
    Empty,
    /// The inner JWS is at fault by itself.
    #[error("the inner JWS of the key change: {0}")]
    Inner(#[source] JwsError),
    /// The inner JWS has `kid`.
    #[error("the inner JWS of a key change must have the new key as `jwk`, and no `kid` (RFC 8555 §7.3.5)")]
    InnerKey,
    /// The inner JWS has a nonce.
    #[error("the inner JWS of a key change must have no `nonce` (RFC 8555 §7.3.5)")]
    InnerNonce,
    /// The URLs differ.
    #[error("the inner and the outer JWS of a key change must have the same `url` (RFC 8555 §7.3.5)")]
    Url,
    /// The account is another.
    #[error("`account` of a key change must be equal to `kid` of the outer JWS (RFC 8555 §7.3.5)")]
    Account,
    /// The old key is not the account's.
    #[error("`oldKey` of a key change must be the account's present key (RFC 8555 §7.3.5)")]
    OldKey,
    /// Nothing would change.
    #[error("the new key of the key change is the account's present key; make a new one")]
    SameKey,
}

impl KeyChangeError {
    /// The problem of the inner JWS if that is at fault, else `malformed`.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Inner(fault) => Problem { detail: self.to_string(), ..fault.problem() },
            Self::OuterKey
            | Self::Empty
            | Self::InnerKey
            | Self::InnerNonce
            | Self::Url
            | Self::Account
            | Self::OldKey
            | Self::SameKey => Problem::malformed(self.to_string()),
        }
    }
}
