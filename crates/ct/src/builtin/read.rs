//! What anyone may ask of a log (RFC 6962 §4.3 to §4.8), as methods: the server puts HTTP in front of them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use ca::ports::{Leaf, SignError, StoreError, StoreErrorKind, TreeHead};
use pki::Sha256;
use pki::sct::tree::{self, Nodes, ProofError};

use super::heads::KnownNodes;
use super::{BuiltinLog, entry_of};
use crate::wire::{
    Base64, Entries, EntryAndProof, Hash, LogEntry, Millis, ProofByHash, Roots, SignedTreeHead, SthConsistency,
    precert_chain_entry,
};

/// Leaves that get-entries answers at most.
pub const ENTRIES_MAX: u32 = 256;

/// A head that is older is made anew on demand, if there are leaves that it doesn't cover.
const HEAD_AGE_MAX: Duration = Duration::from_secs(1);

/// Why the built-in log doesn't answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// What was asked for doesn't exist: the client's fault (400).
    #[error("{0}")]
    Refused(String),
    /// The log's key failed.
    #[error("the log's key: {0}")]
    Key(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SignError> for ReadError {
    fn from(error: SignError) -> Self {
        Self::Key(error.to_string())
    }
}

/// Notes which nodes a proof needs: that depends on the tree's size alone, not on any hash.
#[derive(Default)]
struct Needed(RefCell<BTreeSet<(u8, u64)>>);

impl Nodes for Needed {
    type Error = Infallible;

    fn hash(&self, level: u8, index: u64) -> Result<Sha256, Infallible> {
        self.0.borrow_mut().insert((level, index));
        Ok(Sha256::from_bytes([0; 32]))
    }
}

/// A proof over whatever nodes there are.
#[derive(Clone, Copy)]
enum Proof {
    Inclusion { index: u64, size: u64 },
    Consistency { first: u64, second: u64 },
}

impl Proof {
    fn over<N: Nodes>(self, nodes: &N) -> Result<Vec<Sha256>, ProofError<N::Error>> {
        match self {
            Self::Inclusion { index, size } => tree::inclusion_proof(nodes, index, size),
            Self::Consistency { first, second } => tree::consistency_proof(nodes, first, second),
        }
    }
}

impl BuiltinLog {
    /// The last tree head; made anew if it is older than a second and leaves were added since.
    ///
    /// # Errors
    /// Those of the store and of the log's key.
    pub async fn tree_head(&self) -> Result<TreeHead, ReadError> {
        if let Some(head) = self.store.tree_head(self.id).await?
            && self.clock.now().since(head.timestamp) < HEAD_AGE_MAX
        {
            return Ok(head);
        }
        self.update_tree_head().await
    }

    /// get-sth (RFC 6962 §4.3).
    ///
    /// # Errors
    /// Those of the store and of the log's key.
    pub async fn signed_tree_head(&self) -> Result<SignedTreeHead, ReadError> {
        let head = self.tree_head().await?;
        Ok(SignedTreeHead {
            tree_size: head.size,
            timestamp: Millis(head.timestamp),
            sha256_root_hash: Hash(head.root),
            tree_head_signature: Base64(head.signature),
        })
    }

    /// get-sth-consistency (RFC 6962 §4.4).
    ///
    /// # Errors
    /// Sizes of which no tree head was shown.
    pub async fn sth_consistency(&self, first: u64, second: u64) -> Result<SthConsistency, ReadError> {
        self.require_shown(second).await?;
        // Every tree is consistent with the empty one: nothing is needed to see it.
        if first == 0 {
            return Ok(SthConsistency { consistency: Vec::new() });
        }
        let consistency = self.proof(Proof::Consistency { first, second }).await?;
        Ok(SthConsistency { consistency })
    }

    /// get-proof-by-hash (RFC 6962 §4.5).
    ///
    /// # Errors
    /// A hash that isn't in a tree of that size, or a size of which no tree head was shown.
    pub async fn proof_by_hash(&self, leaf_hash: Sha256, tree_size: u64) -> Result<ProofByHash, ReadError> {
        self.require_shown(tree_size).await?;
        let index = self.store.index_of(self.id, leaf_hash).await?.filter(|index| *index < tree_size);
        let leaf_index =
            index.ok_or_else(|| ReadError::Refused(format!("no such leaf in a tree of {tree_size} leaves")))?;
        let audit_path = self.proof(Proof::Inclusion { index: leaf_index, size: tree_size }).await?;
        Ok(ProofByHash { leaf_index, audit_path })
    }

    /// get-entries (RFC 6962 §4.6): from `start` to `end`, both included; at most [`ENTRIES_MAX`] of them.
    ///
    /// # Errors
    /// A start that no shown tree has, or an end before it.
    pub async fn entries(&self, start: u64, end: u64) -> Result<Entries, ReadError> {
        let size = self.shown_size().await?;
        if start > end || start >= size {
            return Err(ReadError::Refused(format!("no entries from {start} to {end} in a tree of {size} leaves")));
        }
        let number = (end.min(size - 1) - start).saturating_add(1);
        let number = u32::try_from(number).unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX);
        let leaves = self.store.leaves(self.id, start, number).await?;
        Ok(Entries { entries: leaves.iter().map(log_entry).collect() })
    }

    /// get-roots (RFC 6962 §4.7).
    pub fn roots(&self) -> Roots {
        let certificates = self.acceptance.roots().into_iter().map(|root| Base64(root.der().to_vec())).collect();
        Roots { certificates }
    }

    /// get-entry-and-proof (RFC 6962 §4.8).
    ///
    /// # Errors
    /// A leaf that isn't in a tree of that size, or a size of which no tree head was shown.
    pub async fn entry_and_proof(&self, leaf_index: u64, tree_size: u64) -> Result<EntryAndProof, ReadError> {
        self.require_shown(tree_size).await?;
        let audit_path = self.proof(Proof::Inclusion { index: leaf_index, size: tree_size }).await?;
        let leaves = self.store.leaves(self.id, leaf_index, 1).await?;
        let leaf = leaves.first().filter(|leaf| leaf.index == leaf_index).ok_or_else(|| {
            let detail = format!("log {}: leaf {leaf_index} is in the tree, and can't be read", self.id);
            StoreError::new(StoreErrorKind::Corrupt, detail)
        })?;
        let LogEntry { leaf_input, extra_data } = log_entry(leaf);
        Ok(EntryAndProof { leaf_input, extra_data, audit_path })
    }

    async fn shown_size(&self) -> Result<u64, ReadError> {
        Ok(self.store.tree_head(self.id).await?.map_or(0, |head| head.size))
    }

    /// Leaves that no tree head covers are shown to nobody.
    async fn require_shown(&self, size: u64) -> Result<(), ReadError> {
        let shown = self.shown_size().await?;
        if size > shown {
            return Err(ReadError::Refused(format!("no tree head of {size} leaves; the last one has {shown}")));
        }
        Ok(())
    }

    async fn proof(&self, proof: Proof) -> Result<Vec<Hash>, ReadError> {
        let needed = Needed::default();
        proof.over(&needed).map_err(|error| ReadError::Refused(error.to_string()))?;
        let places: Vec<(u8, u64)> = needed.0.into_inner().into_iter().collect();
        let hashes = self.store.nodes(self.id, &places).await?;
        let nodes = KnownNodes(places.into_iter().zip(hashes).collect());
        let path = proof.over(&nodes).map_err(|error| match error {
            ProofError::Nodes(error) => ReadError::Store(error),
            ProofError::NoSuchLeaf { .. } | ProofError::NoSuchSizes { .. } => ReadError::Refused(error.to_string()),
        })?;
        Ok(path.into_iter().map(Hash).collect())
    }
}

fn log_entry(leaf: &Leaf) -> LogEntry {
    LogEntry {
        leaf_input: Base64(entry_of(leaf).merkle_tree_leaf(leaf.timestamp, &[])),
        extra_data: Base64(precert_chain_entry(&leaf.entry.precertificate, &leaf.entry.chain)),
    }
}
