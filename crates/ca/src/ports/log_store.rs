//! Where the built-in CT logs keep their leaves and tree heads.

use async_trait::async_trait;
use pki::{LogId, Sha256, Timestamp};

use super::Stored;

/// A leaf to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLeaf {
    /// What makes a resubmission the same: a hash over issuer_key_hash and TBS.
    pub identity: Sha256,
    /// issuer_key_hash and TBS without poison: all of the PrecertEntry.
    pub issuer_key_hash: Sha256,
    /// The TBS without poison.
    pub tbs: Vec<u8>,
    /// The precertificate and the certificates above it: `extra_data` (RFC 6962 §4.6).
    pub precertificate: Vec<u8>,
    /// The chain above it, the issuer first.
    pub chain: Vec<Vec<u8>>,
}

/// A leaf as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its place in the tree, from 0, without gaps.
    pub index: u64,
    /// The timestamp of its SCT, in whole milliseconds.
    pub timestamp: Timestamp,
    /// What was logged.
    pub entry: NewLeaf,
}

/// A tree head (RFC 6962 §3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// How many leaves it covers.
    pub size: u64,
    /// Its time: later than any earlier head's.
    pub timestamp: Timestamp,
    /// The root hash.
    pub root: Sha256,
    /// The log's signature: `digitally-signed` of RFC 6962 §3.5, TLS-encoded.
    pub signature: Vec<u8>,
}

/// The leaves and tree heads of the built-in logs.
#[async_trait]
pub trait LogStore: Send + Sync + std::fmt::Debug {
    /// **Synced.** Adds a leaf: it gets its index and timestamp in the transaction that makes it durable. One that
    /// stands there already (same identity) is answered as it stands.
    async fn add_leaf(&self, log: LogId, leaf: NewLeaf) -> Stored<(u64, Timestamp)>;

    /// How many leaves are committed.
    async fn size(&self, log: LogId) -> Stored<u64>;

    /// Committed leaves from `first` on, at most `limit`, in order.
    async fn leaves(&self, log: LogId, first: u64, limit: u32) -> Stored<Vec<Leaf>>;

    /// The index of the leaf whose Merkle leaf hash this is, if a tree head covered it.
    async fn index_of(&self, log: LogId, leaf_hash: Sha256) -> Stored<Option<u64>>;

    /// The hashes of complete subtrees: `(level, index)`, in the order asked for. Missing ones are an error
    /// (`Corrupt`).
    async fn nodes(&self, log: LogId, nodes: &[(u8, u64)]) -> Stored<Vec<Sha256>>;

    /// **Synced.** Stores a tree head with the nodes and leaf hashes that it completes, before it is shown. Refused
    /// (`false`) if its size or time is below the last one's.
    async fn store_tree_head(&self, log: LogId, head: TreeHead, nodes: Vec<(u8, u64, Sha256)>) -> Stored<bool>;

    /// The last tree head.
    async fn tree_head(&self, log: LogId) -> Stored<Option<TreeHead>>;
}
