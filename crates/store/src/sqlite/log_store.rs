//! The leaves and tree heads of the built-in CT logs in SQLite.
//!
//! A precertificate stands there once, however many logs have it: a leaf is an index, a timestamp and a reference.

use std::sync::Arc;

use async_trait::async_trait;
use ca::ports::{Clock, Leaf, LogStore, NewLeaf, Stored, TreeHead};
use pki::{LogId, Sha256, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Database;
use super::columns::{Col, col};
use super::failure::{Failure, Step};
use super::readers::snapshot;
use super::writer::{Batch, Durability};

/// The log store of a [`Database`].
#[derive(Debug)]
pub struct SqliteLogStore {
    database: Database,
    clock: Arc<dyn Clock>,
}

impl SqliteLogStore {
    pub(super) fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock }
    }

    async fn write<T: Send + 'static>(&self, step: impl FnMut(&Batch<'_>) -> Step<T> + Send + 'static) -> Stored<T> {
        self.database.writer().write(Durability::Synced, step).await
    }
}

#[async_trait]
impl LogStore for SqliteLogStore {
    async fn add_leaf(&self, log: LogId, leaf: NewLeaf) -> Stored<(u64, Timestamp)> {
        let chain = encode_chain(&leaf.chain)?;
        let clock = Arc::clone(&self.clock);
        self.write(move |batch| add_leaf(batch, log, &leaf, &chain, clock.as_ref())).await
    }

    async fn size(&self, log: LogId) -> Stored<u64> {
        self.database.read(|connection| size(connection, log))
    }

    async fn leaves(&self, log: LogId, first: u64, limit: u32) -> Stored<Vec<Leaf>> {
        self.database.scan(move |connection| leaves(connection, log, first, limit)).await
    }

    async fn index_of(&self, log: LogId, leaf_hash: Sha256) -> Stored<Option<u64>> {
        self.database.read(|connection| {
            Ok(connection
                .prepare_cached(
                    "-- log_store.index_of
                    SELECT h.leaf FROM ct_leaf_hashes h JOIN ct_logs l ON l.row = h.log
                    WHERE h.hash = ?2 AND l.log_id = ?1",
                )?
                .query_row(params![Col(log), Col(leaf_hash)], |row| col(row, 0))
                .optional()?)
        })
    }

    async fn nodes(&self, log: LogId, nodes: &[(u8, u64)]) -> Stored<Vec<Sha256>> {
        self.database.read(|connection| {
            snapshot(connection, |connection| {
                let mut statement = connection.prepare_cached(
                    "-- log_store.nodes
                    SELECT n.hash FROM ct_logs l JOIN ct_nodes n ON n.log = l.row
                    WHERE l.log_id = ?1 AND n.level = ?2 AND n.number = ?3",
                )?;
                let hashes = nodes.iter().map(|(level, number)| {
                    let found =
                        statement.query_row(params![Col(log), level, Col(*number)], |row| col(row, 0)).optional()?;
                    let missing = || format!("log {log} has no hash of subtree {number} at level {level}");
                    found.ok_or_else(|| Failure::corrupt("ct_nodes", missing()))
                });
                hashes.collect()
            })
        })
    }

    async fn store_tree_head(&self, log: LogId, head: TreeHead, nodes: Vec<(u8, u64, Sha256)>) -> Stored<bool> {
        self.write(move |batch| store_tree_head(batch, log, &head, &nodes)).await
    }

    async fn tree_head(&self, log: LogId) -> Stored<Option<TreeHead>> {
        self.database.read(|connection| {
            let Some(log) = log_row(connection, log)? else {
                return Ok(None);
            };
            tree_head(connection, log)
        })
    }
}

fn log_row(connection: &Connection, log: LogId) -> Step<Option<i64>> {
    Ok(connection
        .prepare_cached("-- log_store.log\nSELECT row FROM ct_logs WHERE log_id = ?1")?
        .query_row([Col(log)], |row| row.get(0))
        .optional()?)
}

fn log_row_or_new(batch: &Batch<'_>, log: LogId) -> Step<i64> {
    if let Some(row) = log_row(batch, log)? {
        return Ok(row);
    }
    batch.prepare_cached("-- log_store.log.new\nINSERT INTO ct_logs (log_id) VALUES (?1)")?.execute([Col(log)])?;
    Ok(batch.last_insert_rowid())
}

fn add_leaf(batch: &Batch<'_>, log: LogId, leaf: &NewLeaf, chain: &[u8], clock: &dyn Clock) -> Step<(u64, Timestamp)> {
    let log = log_row_or_new(batch, log)?;
    let entry = match entry(batch, leaf.identity)? {
        Some(entry) => {
            let standing = batch
                .prepare_cached(
                    "-- log_store.add_leaf.look\nSELECT leaf, timestamp FROM ct_leaves WHERE entry = ?1 AND log = ?2",
                )?
                .query_row([entry, log], |row| Ok((col(row, 0)?, col(row, 1)?)))
                .optional()?;
            if let Some(standing) = standing {
                return Ok(standing);
            }
            entry
        }
        None => add_entry(batch, leaf, chain)?,
    };
    let (index, now) = (next_index(batch, log)?, clock.now());
    batch
        .prepare_cached(
            "-- log_store.add_leaf\nINSERT INTO ct_leaves (log, leaf, timestamp, entry) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![log, Col(index), Col(now), entry])?;
    Ok((index, now))
}

fn entry(connection: &Connection, identity: Sha256) -> Step<Option<i64>> {
    Ok(connection
        .prepare_cached("-- log_store.entry\nSELECT row FROM ct_entries WHERE identity = ?1")?
        .query_row([Col(identity)], |row| row.get(0))
        .optional()?)
}

fn add_entry(batch: &Batch<'_>, leaf: &NewLeaf, chain: &[u8]) -> Step<i64> {
    let sha256 = Sha256::of(chain);
    let known: Option<i64> = batch
        .prepare_cached("-- log_store.chain\nSELECT row FROM ct_chains WHERE sha256 = ?1")?
        .query_row([Col(sha256)], |row| row.get(0))
        .optional()?;
    let chain = match known {
        Some(row) => row,
        None => {
            batch
                .prepare_cached("-- log_store.chain.new\nINSERT INTO ct_chains (sha256, certificates) VALUES (?1, ?2)")?
                .execute(params![Col(sha256), chain])?;
            batch.last_insert_rowid()
        }
    };
    batch
        .prepare_cached(
            "-- log_store.entry.new
            INSERT INTO ct_entries (identity, issuer_key_hash, chain, tbs, precertificate) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![Col(leaf.identity), Col(leaf.issuer_key_hash), chain, leaf.tbs, leaf.precertificate])?;
    Ok(batch.last_insert_rowid())
}

/// Leaves are never taken out: the next index is their number.
fn next_index(connection: &Connection, log: i64) -> Step<u64> {
    Ok(connection
        .prepare_cached("-- log_store.next\nSELECT coalesce(max(leaf) + 1, 0) FROM ct_leaves WHERE log = ?1")?
        .query_row([log], |row| col(row, 0))?)
}

fn size(connection: &Connection, log: LogId) -> Step<u64> {
    log_row(connection, log)?.map_or(Ok(0), |log| next_index(connection, log))
}

fn leaves(connection: &Connection, log: LogId, first: u64, limit: u32) -> Step<Vec<Leaf>> {
    let mut statement = connection.prepare_cached(
        "-- log_store.leaves
        SELECT v.leaf, v.timestamp, e.identity, e.issuer_key_hash, e.tbs, e.precertificate, c.certificates
        FROM ct_logs l CROSS JOIN ct_leaves v ON v.log = l.row
            JOIN ct_entries e ON e.row = v.entry JOIN ct_chains c ON c.row = e.chain
        WHERE l.log_id = ?1 AND v.leaf >= ?2 ORDER BY v.leaf LIMIT ?3",
    )?;
    let first = i64::try_from(first).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![Col(log), first, limit])?;
    let mut leaves = Vec::new();
    while let Some(row) = rows.next()? {
        leaves.push(leaf(row)?);
    }
    Ok(leaves)
}

fn leaf(row: &Row<'_>) -> Step<Leaf> {
    let chain: Vec<u8> = row.get(6)?;
    let entry = NewLeaf {
        identity: col(row, 2)?,
        issuer_key_hash: col(row, 3)?,
        tbs: row.get(4)?,
        precertificate: row.get(5)?,
        chain: decode_chain(&chain)
            .ok_or_else(|| Failure::corrupt("ct_chains.certificates", "a length leads behind its end"))?,
    };
    Ok(Leaf { index: col(row, 0)?, timestamp: col(row, 1)?, entry })
}

fn tree_head(connection: &Connection, log: i64) -> Step<Option<TreeHead>> {
    Ok(connection
        .prepare_cached(
            "-- log_store.tree_head
            SELECT size, timestamp, root, signature FROM ct_tree_heads WHERE log = ?1 ORDER BY size DESC LIMIT 1",
        )?
        .query_row([log], |row| {
            Ok(TreeHead { size: col(row, 0)?, timestamp: col(row, 1)?, root: col(row, 2)?, signature: row.get(3)? })
        })
        .optional()?)
}

fn store_tree_head(batch: &Batch<'_>, log: LogId, head: &TreeHead, nodes: &[(u8, u64, Sha256)]) -> Step<bool> {
    let log = log_row_or_new(batch, log)?;
    let shrinks = tree_head(batch, log)?.is_some_and(|last| head.size < last.size || head.timestamp < last.timestamp);
    if shrinks || head.size > next_index(batch, log)? {
        return Ok(false);
    }
    let mut node = batch.prepare_cached(
        "-- log_store.node
        INSERT INTO ct_nodes (log, level, number, hash) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?;
    let mut leaf_hash = batch.prepare_cached(
        "-- log_store.leaf_hash
        INSERT INTO ct_leaf_hashes (hash, log, leaf) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for (level, number, hash) in nodes {
        node.execute(params![log, level, Col(*number), Col(*hash)])?;
        if *level == 0 {
            leaf_hash.execute(params![Col(*hash), log, Col(*number)])?;
        }
    }
    batch
        .prepare_cached(
            "-- log_store.store_tree_head
            INSERT INTO ct_tree_heads (log, size, timestamp, root, signature) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (log, size) DO UPDATE SET timestamp = excluded.timestamp, root = excluded.root,
                signature = excluded.signature",
        )?
        .execute(params![log, Col(head.size), Col(head.timestamp), Col(head.root), head.signature])?;
    Ok(true)
}

const LENGTH_OCTETS: usize = 3;

/// Each certificate with its length before it, as RFC 6962 §4.6 has chains.
fn encode_chain(chain: &[Vec<u8>]) -> Step<Vec<u8>> {
    let mut encoded = Vec::with_capacity(chain.iter().map(|one| one.len() + LENGTH_OCTETS).sum());
    for certificate in chain {
        let length = u32::try_from(certificate.len()).ok().filter(|length| *length < 1 << 24);
        let length = length.ok_or_else(|| Failure::corrupt("a CT chain", "a certificate of more than 16 MiB"))?;
        encoded.extend_from_slice(&length.to_be_bytes()[1..]);
        encoded.extend_from_slice(certificate);
    }
    Ok(encoded)
}

fn decode_chain(mut encoded: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut chain = Vec::new();
    while !encoded.is_empty() {
        let (length, rest) = encoded.split_at_checked(LENGTH_OCTETS)?;
        let length = length.iter().fold(0, |value, octet| value << 8 | usize::from(*octet));
        let (certificate, rest) = rest.split_at_checked(length)?;
        chain.push(certificate.to_vec());
        encoded = rest;
    }
    Some(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_come_back_as_they_went() {
        for chain in [vec![], vec![vec![1; 300], vec![], vec![2]]] {
            assert_eq!(decode_chain(&encode_chain(&chain).unwrap()), Some(chain));
        }
        for damaged in [&[0][..], &[0, 0, 2, 1], &[0, 0, 1, 1, 7]] {
            assert_eq!(decode_chain(damaged), None, "{damaged:?}");
        }
    }
}
