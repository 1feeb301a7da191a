//! The Merkle tree of a log (RFC 6962 §2.1): hashes, proofs, and their verification.
//!
//! Only complete subtrees are ever stored: the node of `level` and `index` covers the 2^level leaves from
//! `index` · 2^level on. Everything else follows from them.

use crate::{Sha256, Timestamp};

/// The hash of a leaf (RFC 6962 §2.1): of a MerkleTreeLeaf, in a log.
pub fn leaf_hash(leaf: &[u8]) -> Sha256 {
    Sha256::of_parts(&[&[0], leaf])
}

/// The hash of a node from those of its children (RFC 6962 §2.1).
pub fn node_hash(left: &Sha256, right: &Sha256) -> Sha256 {
    Sha256::of_parts(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// What the signature of a tree head covers (RFC 6962 §3.5).
pub fn tree_head_signed_data(timestamp: Timestamp, size: u64, root: &Sha256) -> Vec<u8> {
    const V1: u8 = 0;
    const TREE_HASH: u8 = 1;
    let mut out = Vec::with_capacity(50);
    out.extend_from_slice(&[V1, TREE_HASH]);
    out.extend_from_slice(&u64::try_from(timestamp.millis()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(root.as_bytes());
    out
}

/// A store of complete subtrees.
pub trait Nodes {
    /// Why a node cannot be read.
    type Error;

    /// The hash of the complete subtree over the leaves from `index` · 2^`level` on. Only asked for subtrees that
    /// end within the size of the tree asked about.
    fn hash(&self, level: u8, index: u64) -> Result<Sha256, Self::Error>;
}

/// Why there is no such proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError<E> {
    /// A leaf that is not in a tree of this size.
    #[error("there is no leaf {index} in a tree of {size}; leaves are counted from 0")]
    NoSuchLeaf {
        /// The leaf asked for.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// Sizes in the wrong order.
    #[error("there is no proof from size {first} to {second}; the first is at least 1 and at most the second")]
    NoSuchSizes {
        /// The smaller tree.
        first: u64,
        /// The larger tree.
        second: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Nodes(#[from] E),
}

/// The root of the tree over the first `size` leaves; of no leaves, the hash of nothing.
pub fn root<N: Nodes>(nodes: &N, size: u64) -> Result<Sha256, N::Error> {
    if size == 0 { Ok(Sha256::of(&[])) } else { range_hash(nodes, 0, size) }
}

/// The nodes that become complete when the leaf `index` is added to a tree of `index` leaves: the leaf first, the
/// largest subtree last. These are what a store has to keep.
pub fn completed_nodes<N: Nodes>(nodes: &N, index: u64, leaf: Sha256) -> Result<Vec<(u8, u64, Sha256)>, N::Error> {
    let mut completed = vec![(0, index, leaf)];
    let (mut level, mut at, mut hash) = (0, index, leaf);
    while at % 2 == 1 {
        hash = node_hash(&nodes.hash(level, at - 1)?, &hash);
        level += 1;
        at /= 2;
        completed.push((level, at, hash));
    }
    Ok(completed)
}

/// The audit path of a leaf, from its sibling up (RFC 6962 §2.1.1).
pub fn inclusion_proof<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Sha256>, ProofError<N::Error>> {
    if index >= size {
        return Err(ProofError::NoSuchLeaf { index, size });
    }
    let mut path = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range_hash(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range_hash(nodes, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the first `first` leaves of the tree of `second` are the tree of `first` (RFC 6962 §2.1.2).
pub fn consistency_proof<N: Nodes>(nodes: &N, first: u64, second: u64) -> Result<Vec<Sha256>, ProofError<N::Error>> {
    if first == 0 || first > second {
        return Err(ProofError::NoSuchSizes { first, second });
    }
    let mut path = Vec::new();
    let (mut start, mut end) = (0, second);
    // Whether the old tree begins where this subtree does: its root is then known to who asks.
    let mut known = true;
    while first != end {
        let middle = start + split(end - start);
        if first <= middle {
            path.push(range_hash(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range_hash(nodes, start, middle)?);
            start = middle;
            known = false;
        }
    }
    if !known {
        path.push(range_hash(nodes, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether `path` proves that the leaf with this hash is number `index` in the tree of `size` with this root.
pub fn verify_inclusion(leaf: &Sha256, index: u64, size: u64, path: &[Sha256], root: &Sha256) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            // The last node of an odd row has no sibling there; it goes up unchanged.
            while at % 2 == 0 && at != 0 {
                at /= 2;
                last /= 2;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at /= 2;
        last /= 2;
    }
    last == 0 && hash == *root
}

/// Whether `path` proves that the tree of size `second` and root `second_root` begins with that of size `first` and
/// root `first_root`.
pub fn verify_consistency(first: u64, second: u64, path: &[Sha256], first_root: &Sha256, second_root: &Sha256) -> bool {
    if first == 0 || first > second {
        return false;
    }
    if first == second {
        return path.is_empty() && first_root == second_root;
    }
    // A first tree of a power of two is itself the first node, and is left out of the path.
    let (start, rest) = if first.is_power_of_two() {
        (*first_root, path)
    } else {
        match path.split_first() {
            Some((start, rest)) => (*start, rest),
            None => return false,
        }
    };
    let complete = (first - 1).trailing_ones();
    let (mut at, mut last) = ((first - 1) >> complete, (second - 1) >> complete);
    let (mut old, mut new) = (start, start);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while at % 2 == 0 && at != 0 {
                at /= 2;
                last /= 2;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        at /= 2;
        last /= 2;
    }
    last == 0 && old == *first_root && new == *second_root
}

/// The largest power of two smaller than `size`, which is 2 at least.
fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// MTH of the leaves from `start` to `end`, a range as the recursion of RFC 6962 §2.1 makes them: `start` is a
/// multiple of every power of two that fits into the range.
fn range_hash<N: Nodes>(nodes: &N, start: u64, end: u64) -> Result<Sha256, N::Error> {
    let size = end - start;
    if size.is_power_of_two() {
        let level = size.trailing_zeros();
        return nodes.hash(u8::try_from(level).unwrap_or(u8::MAX), start >> level);
    }
    let middle = start + split(size);
    Ok(node_hash(&range_hash(nodes, start, middle)?, &range_hash(nodes, middle, end)?))
}

#[cfg(test)]
mod tests;
