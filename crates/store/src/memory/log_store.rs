//! The store of the built-in CT logs in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ca::ports::{Clock, Leaf, LogStore, NewLeaf, StoreError, StoreErrorKind, Stored, TreeHead};
use pki::{LogId, Sha256, Timestamp};

use super::lock;

/// Leaves and tree heads in memory; nothing of them outlives the process.
#[derive(Debug)]
pub struct MemoryLogStore {
    clock: Arc<dyn Clock>,
    logs: Mutex<BTreeMap<LogId, Log>>,
}

#[derive(Clone, Debug, Default)]
struct Log {
    leaves: Vec<Leaf>,
    by_identity: BTreeMap<Sha256, u64>,
    nodes: BTreeMap<(u8, u64), Sha256>,
    by_leaf_hash: BTreeMap<Sha256, u64>,
    head: Option<TreeHead>,
}

impl MemoryLogStore {
    /// Empty logs.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, logs: Mutex::default() }
    }

    /// A backup: another store with the same logs.
    #[must_use]
    pub fn backup(&self) -> Self {
        Self { clock: Arc::clone(&self.clock), logs: Mutex::new(lock(&self.logs).clone()) }
    }
}

impl Log {
    fn add(&mut self, entry: NewLeaf, now: Timestamp) -> (u64, Timestamp) {
        let known = self.by_identity.get(&entry.identity);
        if let Some(leaf) = known.and_then(|index| self.leaves.get(usize::try_from(*index).ok()?)) {
            return (leaf.index, leaf.timestamp);
        }
        let index = self.leaves.len() as u64;
        self.by_identity.insert(entry.identity, index);
        self.leaves.push(Leaf { index, timestamp: now, entry });
        (index, now)
    }

    fn store_head(&mut self, head: TreeHead, nodes: Vec<(u8, u64, Sha256)>) -> bool {
        let shrinks = self.head.as_ref().is_some_and(|last| head.size < last.size || head.timestamp < last.timestamp);
        if shrinks || head.size > self.leaves.len() as u64 {
            return false;
        }
        for (level, index, hash) in nodes {
            if level == 0 {
                self.by_leaf_hash.insert(hash, index);
            }
            self.nodes.insert((level, index), hash);
        }
        self.head = Some(head);
        true
    }
}

#[async_trait]
impl LogStore for MemoryLogStore {
    async fn add_leaf(&self, log: LogId, leaf: NewLeaf) -> Stored<(u64, Timestamp)> {
        Ok(lock(&self.logs).entry(log).or_default().add(leaf, self.clock.now()))
    }

    async fn size(&self, log: LogId) -> Stored<u64> {
        Ok(lock(&self.logs).get(&log).map_or(0, |log| log.leaves.len() as u64))
    }

    async fn leaves(&self, log: LogId, first: u64, limit: u32) -> Stored<Vec<Leaf>> {
        let logs = lock(&self.logs);
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let leaves = logs.get(&log).and_then(|log| log.leaves.get(first..)).unwrap_or_default();
        Ok(leaves.iter().take(limit as usize).cloned().collect())
    }

    async fn index_of(&self, log: LogId, leaf_hash: Sha256) -> Stored<Option<u64>> {
        Ok(lock(&self.logs).get(&log).and_then(|log| log.by_leaf_hash.get(&leaf_hash)).copied())
    }

    async fn nodes(&self, log: LogId, nodes: &[(u8, u64)]) -> Stored<Vec<Sha256>> {
        let logs = lock(&self.logs);
        let found = nodes.iter().map(|(level, index)| {
            logs.get(&log).and_then(|log| log.nodes.get(&(*level, *index))).copied().ok_or_else(|| {
                let detail = format!("log {log} has no hash of subtree {index} at level {level}");
                StoreError::new(StoreErrorKind::Corrupt, detail)
            })
        });
        found.collect()
    }

    async fn store_tree_head(&self, log: LogId, head: TreeHead, nodes: Vec<(u8, u64, Sha256)>) -> Stored<bool> {
        Ok(lock(&self.logs).entry(log).or_default().store_head(head, nodes))
    }

    async fn tree_head(&self, log: LogId) -> Stored<Option<TreeHead>> {
        Ok(lock(&self.logs).get(&log).and_then(|log| log.head.clone()))
    }
}
