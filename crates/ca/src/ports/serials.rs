//! What the ledger knows of serials.

use pki::{GeneralName, Serial, Sha256, Timestamp};
use serde::{Deserialize, Serialize};

use super::{CrlGenerationId, Restored, Revocation, StopRecord};
use crate::account::Account;
use crate::authorization::{CaaRecord, EndedAuthorization};
use crate::order::Order;
use crate::{AccountId, OrderId};

/// Counts the issuances of an order from 1: the ledger's fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IssuanceNumber(pub u32);

/// The status of a serial: `wait → good → revoked`, `wait → revoked`; nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SerialStatus {
    /// A signature may exist; none was published.
    Wait,
    /// A precertificate (or a certificate without CT) was signed.
    Good,
    /// Revoked.
    Revoked,
}

impl SerialStatus {
    /// The name used in records and commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Good => "good",
            Self::Revoked => "revoked",
        }
    }
}

/// An allocated serial, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialRecord {
    /// The serial.
    pub serial: Serial,
    /// Its status.
    pub status: SerialStatus,
    /// The order it was drawn for.
    pub order: OrderId,
    /// Which issuance of that order.
    pub number: IssuanceNumber,
    /// Whose the order is.
    pub account: AccountId,
    /// The issuer: SHA-256 of its SubjectPublicKeyInfo.
    pub issuer: Sha256,
    /// The profile's name.
    pub profile: String,
    /// The profile's hash when it was selected.
    pub profile_hash: Sha256,
    /// Whether the profile logs precertificates.
    pub ct: bool,
    /// When the issuance began.
    pub begun: Timestamp,
    /// When the status became `good`.
    pub good: Option<Timestamp>,
    /// When the final certificate was stored.
    pub stored: Option<Timestamp>,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// The generation of CRL shards that it is in, written when it was allocated.
    pub crl_generation: CrlGenerationId,
    /// SHA-256 of the certificate key's SubjectPublicKeyInfo.
    pub spki_hash: Sha256,
    /// The TBS signed by a throwaway key.
    pub linting_certificate: Vec<u8>,
    /// The final certificate, once it is stored.
    pub certificate: Option<Vec<u8>>,
    /// Why its issuance failed. `None`: it did not, or its process died before it could say so.
    pub failure: Option<String>,
    /// Whether its order ended `valid` with this very serial.
    pub attached: bool,
    /// Whether the issuance is the order's last and the order has not ended.
    pub current: bool,
    /// Its revocation.
    pub revocation: Option<Revocation>,
    /// Where it comes from, if the ledger had forgotten it. Then its linting certificate is the precertificate itself
    /// (without CT the certificate; empty, if not even that is known), `begun` is when that was logged, the profile's
    /// hash is all zeros, and account and profile are those of its order: [`AccountId::UNKNOWN`] and no name, unless
    /// the order was known otherwise.
    pub restored: Option<Restored>,
}

impl SerialRecord {
    /// An issuance that was given up: `wait` or `good`, not current, and no order's certificate.
    pub const fn is_abandoned(&self) -> bool {
        !self.attached && !self.current && !matches!(self.status, SerialStatus::Revoked)
    }
}

/// All that a signer reads before it signs for a serial, in one snapshot.
#[derive(Clone, Debug)]
pub struct SigningRecord {
    /// The serial.
    pub serial: SerialRecord,
    /// The order as it was when the issuance began: names, finalize request.
    pub order: Order,
    /// The account, with the JWS chain that proves its key.
    pub account: Account,
    /// The authorizations of the issuance.
    pub authorizations: Vec<EndedAuthorization>,
    /// The CAA rechecks recorded for the order.
    pub rechecks: Vec<CaaRecord>,
    /// Whether the key is blocked.
    pub key_blocked: bool,
    /// Stops of issuance that stand and are for the order.
    pub stops: Vec<StopRecord>,
}

/// Which serials are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SerialFilter {
    /// Only those of this status.
    pub status: Option<SerialStatus>,
    /// Only abandoned ones.
    pub abandoned: bool,
    /// Only those with this name.
    pub name: Option<GeneralName>,
    /// Only those of this account.
    pub account: Option<AccountId>,
    /// Only those of this order.
    pub order: Option<OrderId>,
    /// Only those with this key.
    pub spki_hash: Option<Sha256>,
    /// Only those allocated after this one.
    pub after: Option<Serial>,
    /// Only this one and those allocated before it.
    pub until: Option<Serial>,
}
