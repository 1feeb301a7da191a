//! Generations of CRL shards: an operator may change how many shards there are, and the URLs that they stand under.

use pki::{Serial, Timestamp};
use serde::{Deserialize, Serialize};

/// A generation of CRL shards, by the number of its first shard. The one that a CA begins with is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CrlGenerationId(pub u16);

/// Shards that were begun together, under one URL. What stands here never changes: certificates say so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CrlGeneration {
    /// The number of its first shard: the one behind the last of all generations before it.
    #[serde(rename = "first")]
    pub id: CrlGenerationId,
    /// So many shards, at least one.
    pub shards: u16,
    /// The start of their URLs, without a slash at its end.
    pub status_url: String,
    /// When it was begun, in milliseconds since 1970; `None`: before that was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// What the ledger knows of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlGenerationRecord {
    /// What it is.
    pub generation: CrlGeneration,
    /// When the last of its certificates ends; `None`: it has none.
    pub last_not_after: Option<Timestamp>,
    /// When its CRLs were found to be needed no more; `None`: they are.
    pub ended: Option<Timestamp>,
}

/// A shard: which serials it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrlShard {
    /// Its number, among all shards of all generations.
    pub number: u16,
    /// Its generation.
    pub generation: CrlGenerationId,
    /// So many shards that generation has.
    pub shards: u16,
}

impl std::fmt::Display for CrlGenerationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl CrlGeneration {
    /// Its shards.
    pub fn all(&self) -> impl Iterator<Item = CrlShard> + use<> {
        let (generation, shards) = (self.id, self.shards);
        (0..shards).map(move |place| CrlShard { number: generation.0.saturating_add(place), generation, shards })
    }

    /// The shard that a serial of this generation is in.
    pub fn shard_of(&self, serial: Serial) -> CrlShard {
        let number = self.id.0.saturating_add(serial.shard(self.shards));
        CrlShard { number, generation: self.id, shards: self.shards }
    }

    /// The number behind that of its last shard; `None`: there is none.
    pub const fn end(&self) -> Option<u16> {
        self.id.0.checked_add(self.shards)
    }

    /// Whether both are the same shards at the same URLs.
    pub fn is(&self, other: &Self) -> bool {
        self.id == other.id && self.shards == other.shards && self.status_url == other.status_url
    }
}

impl CrlShard {
    /// A shard of the generation that a CA begins with, which has so many.
    pub const fn of_first(number: u16, shards: u16) -> Self {
        Self { number, generation: CrlGenerationId(0), shards }
    }

    /// For the numbers of a shard's CRLs alone: of its serials it says nothing.
    pub const fn alone(number: u16) -> Self {
        Self { number, generation: CrlGenerationId(number), shards: 1 }
    }

    /// Its place in its generation, from 0.
    pub const fn place(&self) -> u16 {
        self.number.saturating_sub(self.generation.0)
    }

    /// Whether a serial is in it that was allocated in this generation.
    pub fn holds(&self, generation: CrlGenerationId, serial: Serial) -> bool {
        self.generation == generation && serial.shard(self.shards) == self.place()
    }
}
