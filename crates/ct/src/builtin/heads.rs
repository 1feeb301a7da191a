//! Tree heads of the built-in log: made from stored leaves, never shrinking, stored before they are shown.

use std::collections::HashMap;
use std::time::Duration;

use ca::ports::{Leaf, StoreError, StoreErrorKind, TreeHead};
use pki::sct::tree::{self, Nodes};
use pki::{DigitallySigned, Sha256, Timestamp};

use super::{BuiltinLog, ReadError, entry_of};

/// Leaves that one tree head adds at most; a longer backlog takes several.
const LEAVES_PER_HEAD: u64 = 4_096;

/// Leaves that are read from the store at once.
const LEAVES_PAGE: u32 = 256;

/// A head that covers everything is renewed after this, far within the 24 hours that logs promise.
const RENEWAL: Duration = Duration::from_secs(3_600);

/// So often another process may store a later head while this one makes its own.
const OVERTAKEN_MAX: usize = 4;

/// A leaf that this process added and no tree head covers yet: spares reading it back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) hash: Sha256,
    pub(super) timestamp: Timestamp,
}

/// The last tree head with the complete subtrees at its right edge: all that adding a leaf needs.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    head: TreeHead,
    peaks: KnownNodes,
}

/// The hashes that are at hand.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownNodes(pub(super) HashMap<(u8, u64), Sha256>);

impl Nodes for KnownNodes {
    type Error = StoreError;

    fn hash(&self, level: u8, index: u64) -> Result<Sha256, StoreError> {
        self.0.get(&(level, index)).copied().ok_or_else(|| {
            StoreError::new(
                StoreErrorKind::Corrupt,
                format!("node {index} of level {level} of a log's tree is missing"),
            )
        })
    }
}

/// The complete subtrees that make up a tree of this size, from left to right.
fn peaks(size: u64) -> Vec<(u8, u64)> {
    let mut start = 0;
    let mut found = Vec::new();
    for level in (0..64_u8).rev() {
        if size & (1 << level) != 0 {
            found.push((level, start >> level));
            start += 1 << level;
        }
    }
    found
}

impl BuiltinLog {
    /// Brings the tree head up to date: it then covers every leaf committed before this call, but at most 4,096 more
    /// than the last one. Called about once a second. A head that covers all leaves is left as it is for an hour.
    ///
    /// # Errors
    /// Those of the store and of the log's key. Nothing was shown that isn't stored.
    pub async fn update_tree_head(&self) -> Result<TreeHead, ReadError> {
        // One at a time; the edge belongs to whoever holds the lock.
        let mut edge = self.edge.lock().await;
        let mut last = match edge.take() {
            Some(known) => Some(known),
            None => self.load_edge().await?,
        };
        for _ in 0..OVERTAKEN_MAX {
            let committed = self.store.size(self.id).await?;
            if let Some(last) = last.take_if(|last| self.is_fresh(&last.head, committed)) {
                let head = last.head.clone();
                *edge = Some(last);
                return Ok(head);
            }
            if let Some(next) = self.grow(last, committed).await? {
                let head = next.head.clone();
                *edge = Some(next);
                return Ok(head);
            }
            last = self.load_edge().await?;
        }
        let detail = format!("log {}: other processes store tree heads faster than this one", self.id);
        Err(StoreError::new(StoreErrorKind::Unavailable, detail).into())
    }

    fn is_fresh(&self, head: &TreeHead, committed: u64) -> bool {
        committed <= head.size && self.clock.now().since(head.timestamp) < RENEWAL
    }

    /// The last tree head with its edge, as they are stored.
    async fn load_edge(&self) -> Result<Option<Edge>, StoreError> {
        let Some(head) = self.store.tree_head(self.id).await? else {
            return Ok(None);
        };
        let places = peaks(head.size);
        let hashes = self.store.nodes(self.id, &places).await?;
        let peaks = KnownNodes(places.into_iter().zip(hashes).collect());
        if tree::root(&peaks, head.size)? != head.root {
            let detail = format!("log {}: the stored nodes don't make the root of its tree head", self.id);
            return Err(StoreError::new(StoreErrorKind::Corrupt, detail));
        }
        Ok(Some(Edge { head, peaks }))
    }

    /// Adds committed leaves to the tree, and signs and stores a head over it. `None`: another process of this log
    /// stored a later head meanwhile, and that one counts.
    async fn grow(&self, last: Option<Edge>, committed: u64) -> Result<Option<Edge>, ReadError> {
        let (mut nodes, size, before) = match last {
            Some(Edge { head, peaks }) => (peaks, head.size, head.timestamp.plus(Duration::from_millis(1))),
            None => (KnownNodes::default(), 0, Timestamp::from_millis(0)),
        };
        let target = committed.max(size).min(size + LEAVES_PER_HEAD);
        let mut completed = Vec::new();
        // Later than any head and than any SCT in the tree (RFC 6962 §3.5), and no earlier than the clock says.
        let mut timestamp = before.max(self.clock.now());
        for (index, leaf) in (size..).zip(self.pending_leaves(size, target).await?) {
            timestamp = timestamp.max(leaf.timestamp);
            for (level, at, hash) in tree::completed_nodes(&nodes, index, leaf.hash)? {
                nodes.0.insert((level, at), hash);
                completed.push((level, at, hash));
            }
        }
        let root = tree::root(&nodes, target)?;
        let head = self.sign_head(target, timestamp, root).await?;
        if !self.store.store_tree_head(self.id, head.clone(), completed).await? {
            return Ok(None);
        }
        self.forget_pending(target);
        let edge = peaks(target);
        nodes.0.retain(|place, _| edge.contains(place));
        Ok(Some(Edge { head, peaks: nodes }))
    }

    async fn sign_head(&self, size: u64, timestamp: Timestamp, root: Sha256) -> Result<TreeHead, ReadError> {
        let signed = tree::tree_head_signed_data(timestamp, size, &root);
        let signature = self.key.sign(&signed).await?;
        let signature = DigitallySigned::sha256(self.key.public_key(), signature)
            .ok_or_else(|| ReadError::Key("the log's key is of a kind that RFC 6962 doesn't have".to_owned()))?;
        Ok(TreeHead { size, timestamp, root, signature: signature.to_tls() })
    }

    /// The leaves from `first` to before `end`, in order.
    async fn pending_leaves(&self, first: u64, end: u64) -> Result<Vec<Pending>, StoreError> {
        let mut leaves = Vec::new();
        let mut index = first;
        while index < end {
            if let Some(leaf) = self.find_pending(index) {
                leaves.push(leaf);
                index += 1;
                continue;
            }
            let wanted = u32::try_from(end - index).unwrap_or(LEAVES_PAGE).min(LEAVES_PAGE);
            let page = self.store.leaves(self.id, index, wanted).await?;
            if page.first().is_none_or(|leaf| leaf.index != index) {
                let detail = format!("log {}: leaf {index} is committed, and can't be read", self.id);
                return Err(StoreError::new(StoreErrorKind::Corrupt, detail));
            }
            for leaf in &page {
                leaves.push(pending_of(leaf));
                index += 1;
            }
        }
        Ok(leaves)
    }
}

fn pending_of(leaf: &Leaf) -> Pending {
    let input = entry_of(leaf).merkle_tree_leaf(leaf.timestamp, &[]);
    Pending { hash: tree::leaf_hash(&input), timestamp: leaf.timestamp }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_of_a_tree_covers_all_its_leaves_once() {
        for size in 0..200_u64 {
            let mut covered = 0;
            for (level, index) in peaks(size) {
                assert_eq!(index << level, covered, "size {size}");
                covered += 1 << level;
            }
            assert_eq!(covered, size);
        }
    }
}
