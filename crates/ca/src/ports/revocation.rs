//! What the ledger keeps of revocations, blocked keys and CRLs.

use pki::{Reason, Serial, Sha256, Timestamp};
use serde::{Deserialize, Serialize};

use crate::AccountId;

/// A revocation to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Which serial.
    pub serial: Serial,
    /// Why (RFC 5280 §5.3.1).
    pub reason: Reason,
    /// When it counts from.
    pub revoked: Timestamp,
    /// Who asked.
    pub by: String,
}

impl Revocation {
    /// Who revokes what this CA itself has to.
    pub const CAIRN: &str = "cairn";

    /// Whether it is that of a certificate that came too late: `store_final` revoked it.
    pub fn is_overtaken(&self) -> bool {
        self.reason == Reason::Superseded && self.by == Self::CAIRN
    }
}

/// What `revoke` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// It is revoked now.
    Done,
    /// It was revoked before: that revocation stands.
    Already(Revocation),
    /// The ledger never allocated this serial.
    UnknownSerial,
}

/// A key to be blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBlock {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_hash: Sha256,
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub by: String,
}

/// What was ended with the block of a key, in the same write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    /// The serials of the key in open issuances: revoked.
    pub in_issuance: Vec<Serial>,
    /// The account that had this key: `revoked`.
    pub account: Option<AccountId>,
}

/// What settling a block came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockSettled {
    /// All serials of the key are revoked.
    pub settled: bool,
    /// The account that had this key and was valid until now: `revoked`.
    pub account: Option<AccountId>,
}

/// A blocked key as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedKey {
    /// Which, when, by whom: the first block stands.
    pub block: KeyBlock,
    /// When all of its serials were found revoked. `None`: a worker has yet to see to them.
    pub settled: Option<Timestamp>,
}

/// A CRL as the ledger keeps it: the last one of each issuer and shard. It is `head`, then its entries, which the
/// ledger has in parts, then `tail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlRecord {
    /// The issuer.
    pub issuer: Sha256,
    /// The shard.
    pub shard: u16,
    /// Its number.
    pub number: u64,
    /// When it was made.
    pub this_update: Timestamp,
    /// When the next one is due at the latest.
    pub next_update: Timestamp,
    /// What stands before the entries: DER.
    pub head: Vec<u8>,
    /// How many entries there are.
    pub entries: u64,
    /// How many octets they take together.
    pub entry_octets: u64,
    /// What stands behind the entries, the signature at the end: DER.
    pub tail: Vec<u8>,
    /// SHA-256 of the whole.
    pub sha256: Sha256,
}

impl CrlRecord {
    /// Each part of the entries but the last is so long, in octets.
    pub const PART_OCTETS: u64 = 1 << 18;

    /// How many parts there are.
    pub const fn parts(entry_octets: u64) -> u64 {
        entry_octets.div_ceil(Self::PART_OCTETS)
    }

    /// How long the whole is, in octets.
    pub const fn octets(&self) -> u64 {
        self.head.len() as u64 + self.entry_octets + self.tail.len() as u64
    }
}

/// Where a part of a CRL's entries belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CrlPart {
    /// The issuer.
    pub issuer: Sha256,
    /// The shard.
    pub shard: u16,
    /// The number of the CRL.
    pub number: u64,
    /// Counts the parts from 0.
    pub part: u64,
}

/// A CRL whose parts are there although it is not the last one of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrlLeftover {
    /// Its number.
    pub number: u64,
    /// When another one took its place. `None`: it was never stored: it is being made, or that failed.
    pub replaced: Option<Timestamp>,
}

/// The state of CRL numbering of one issuer and shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrlState {
    /// The last number allocated; 0: none yet.
    pub allocated: u64,
    /// The last CRL stored.
    pub last: Option<CrlRecord>,
    /// When the last revocation was written that this shard has to show.
    pub last_revocation: Option<Timestamp>,
}
