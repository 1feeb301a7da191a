//! How an issuance begins: steps 3 to 5 of the cycle, in one write.

use std::collections::BTreeSet;
use std::time::Duration;

use pki::{GeneralName, Serial, Sha256, Timestamp};

use crate::order::Order;
use crate::ports::{CrlGenerationId, StopRecord};
use crate::{AuthorizationId, OrderId};

/// What `begin` makes durable: steps 3 to 5 of the cycle.
#[derive(Clone, Debug)]
pub struct Begin<'a> {
    /// The order, with its finalize request and its authorizations.
    pub order: &'a Order,
    /// The serial number, drawn at random: ours for ever from here on.
    pub serial: Serial,
    /// The issuer: SHA-256 of its SubjectPublicKeyInfo.
    pub issuer: Sha256,
    /// The hash of the profile as it was configured when it was selected.
    pub profile_hash: Sha256,
    /// Whether the profile logs precertificates: with CT, a final certificate needs the status `good`.
    pub ct: bool,
    /// The TBS that a signature may be made over, signed by a throwaway key.
    pub linting_certificate: &'a [u8],
    /// SHA-256 of the certificate key's SubjectPublicKeyInfo.
    pub spki_hash: Sha256,
    /// The names.
    pub names: &'a BTreeSet<GeneralName>,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// The generation of CRL shards that it is in for ever: the one whose URL it says.
    pub crl_generation: CrlGenerationId,
    /// When the issuance began.
    pub at: Timestamp,
    /// How many issuances the order may have, and how fast.
    pub caps: IssuanceCaps,
}

/// What bounds the issuances of an order. One that died with its process is no fault of the order's, unless it is what
/// the process died of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssuanceCaps {
    /// At most so many that failed.
    pub failed: u32,
    /// At most so many at all.
    pub begun: u32,
    /// Behind so many that neither failed nor ended the order, each waits for `pace` after the one before it.
    pub unpaced: u32,
    /// See `unpaced`.
    pub pace: Duration,
}

impl IssuanceCaps {
    /// Whether an order that had so many issuances, of which so many failed and the last one began then, may have
    /// another one now.
    ///
    /// # Errors
    /// It may not, or not yet.
    pub fn check(&self, had: u32, failed: u32, last: Option<Timestamp>, now: Timestamp) -> Result<(), BeginRefused> {
        if had > 0 && failed >= self.failed {
            return Err(BeginRefused::FailuresCapReached(failed));
        }
        if had > 0 && had >= self.begun {
            return Err(BeginRefused::CapReached(had));
        }
        // A clock that was set back makes none of them sooner.
        let next = last.map(|last| last.min(now).plus(self.pace));
        match next.filter(|next| had.saturating_sub(failed) >= self.unpaced && *next > now) {
            Some(next) => Err(BeginRefused::TooSoon(next)),
            None => Ok(()),
        }
    }
}

/// Why an issuance may not begin. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeginRefused {
    /// This serial was allocated before: draw another.
    #[error("the serial is taken")]
    SerialTaken,
    /// The order has ended.
    #[error("the order has ended")]
    OrderEnded,
    /// So many issuances of the order failed, the most that may.
    #[error("{0} issuances of the order failed, the most that may")]
    FailuresCapReached(u32),
    /// The order has had all its issuances, whether they failed or were cut short.
    #[error("the order has had {0} issuances, the most it may have")]
    CapReached(u32),
    /// Many issuances of the order were cut short: the next one may begin then.
    #[error("many issuances of the order were cut short: the next one may begin at {0}")]
    TooSoon(Timestamp),
    /// The key is blocked.
    #[error("the key is blocked")]
    KeyBlocked,
    /// Issuance is stopped for the order, by all of these.
    #[error("{}", .0.first().map_or_else(|| "issuance is stopped".to_owned(), ToString::to_string))]
    Stopped(Vec<StopRecord>),
    /// The account is no longer valid.
    #[error("the account is no longer valid")]
    AccountNotValid,
    /// Another order has the place of the certificate that this one was to replace (RFC 9773 §5).
    #[error("order {0} has the place of the certificate that this order replaces")]
    Replaced(OrderId),
    /// An authorization is no longer good.
    #[error("authorization {0} is no longer good")]
    AuthorizationNotGood(AuthorizationId),
}
