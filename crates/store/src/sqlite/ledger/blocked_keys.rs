//! Blocked keys, and what is left to be revoked of them.

use ca::AccountId;
use ca::ports::{BlockSettled, Blocked, BlockedKey, KeyBlock, Recorded};
use pki::{Reason, Serial, Sha256, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::serials;
use crate::sqlite::columns::{Col, col, maybe};
use crate::sqlite::failure::Step;
use crate::sqlite::writer::Batch;

/// The key, its account, and each of its serials in an open issuance, in one transaction: whichever of this and `begin`
/// comes second sees the other.
pub(super) fn block(batch: &Batch<'_>, block: &KeyBlock, now: Timestamp) -> Step<Blocked> {
    let open = serials::open_of_key(batch, block.spki_hash)?;
    add(batch, block)?;
    for (row, _, status) in &open {
        serials::write_revocation(batch, *row, (Reason::KeyCompromise, block.at, &block.by), now)?;
        serials::count_revoked(batch, *status, false);
    }
    let account = end_account(batch, block.spki_hash)?;
    Ok(Blocked { in_issuance: open.into_iter().map(|(_, serial, _)| serial).collect(), account })
}

/// Whether it was not blocked before.
pub(super) fn add(batch: &Batch<'_>, block: &KeyBlock) -> Step<bool> {
    let added = batch
        .prepare_cached(
            "-- ledger.block
            INSERT INTO blocked_keys (spki_hash, blocked, blocked_by) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![Col(block.spki_hash), Col(block.at), block.by])?;
    batch.dated(block.at, Recorded::KeyBlock(block.spki_hash));
    Ok(added == 1)
}

/// The valid account that has this key ends.
pub(super) fn end_account(batch: &Batch<'_>, spki_hash: Sha256) -> Step<Option<AccountId>> {
    Ok(batch
        .prepare_cached(
            "-- ledger.block.account
            UPDATE accounts SET status = 'revoked' WHERE spki_hash = ?1 AND status = 'valid' RETURNING id",
        )?
        .query_row([Col(spki_hash)], |row| col(row, 0))
        .optional()?)
}

/// There may be serials again that have to be revoked. Whether there were none before.
pub(in crate::sqlite) fn open_again(batch: &Batch<'_>, spki_hash: Sha256) -> Step<bool> {
    let opened = batch
        .prepare_cached(
            "-- ledger.block.again
            UPDATE blocked_keys SET settled = NULL WHERE spki_hash = ?1 AND settled IS NOT NULL",
        )?
        .execute([Col(spki_hash)])?;
    Ok(opened == 1)
}

pub(super) fn is_blocked(connection: &Connection, spki_hash: Sha256) -> Step<bool> {
    Ok(connection
        .prepare_cached("-- ledger.is_blocked\nSELECT 1 FROM blocked_keys WHERE spki_hash = ?1")?
        .exists([Col(spki_hash)])?)
}

fn from_columns(row: &Row<'_>) -> rusqlite::Result<BlockedKey> {
    let block = KeyBlock { spki_hash: col(row, 0)?, at: col(row, 1)?, by: row.get(2)? };
    Ok(BlockedKey { block, settled: maybe(row, 3)? })
}

pub(super) fn by_hash(connection: &Connection, spki_hash: Sha256) -> Step<Option<BlockedKey>> {
    Ok(connection
        .prepare_cached(
            "-- ledger.blocked_key
            SELECT spki_hash, blocked, blocked_by, settled FROM blocked_keys WHERE spki_hash = ?1",
        )?
        .query_row([Col(spki_hash)], from_columns)
        .optional()?)
}

pub(super) fn page(
    connection: &Connection,
    after: Option<Sha256>,
    unsettled: bool,
    limit: u32,
) -> Step<Vec<BlockedKey>> {
    let sql = if unsettled {
        "-- ledger.blocked_keys.unsettled
        SELECT spki_hash, blocked, blocked_by, settled FROM blocked_keys INDEXED BY blocked_keys_unsettled
        WHERE settled IS NULL AND spki_hash > ?1 ORDER BY spki_hash LIMIT ?2"
    } else {
        "-- ledger.blocked_keys
        SELECT spki_hash, blocked, blocked_by, settled FROM blocked_keys
        WHERE spki_hash > ?1 ORDER BY spki_hash LIMIT ?2"
    };
    let mut statement = connection.prepare_cached(sql)?;
    let behind = after.as_ref().map_or(&[][..], |after| after.as_bytes());
    let rows = statement.query_map(params![behind, limit], from_columns)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn unrevoked(
    connection: &Connection,
    spki_hash: Sha256,
    after: Option<Serial>,
    limit: u32,
) -> Step<Vec<Serial>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.unrevoked_of_key
        SELECT serial FROM serials INDEXED BY serials_by_key_unrevoked
        WHERE spki_hash = ?1 AND row > coalesce((SELECT row FROM serials WHERE serial = ?2), 0)
            AND status <> 'revoked'
        ORDER BY row LIMIT ?3",
    )?;
    let rows = statement.query_map(params![Col(spki_hash), after.map(Col), limit], |row| col(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn settle(batch: &Batch<'_>, spki_hash: Sha256, at: Timestamp) -> Step<BlockSettled> {
    let settled = batch
        .prepare_cached(
            "-- ledger.settle_block
            UPDATE blocked_keys SET settled = coalesce(settled, ?2) WHERE spki_hash = ?1 AND NOT EXISTS (
                SELECT 1 FROM serials INDEXED BY serials_by_key_unrevoked
                WHERE spki_hash = ?1 AND status <> 'revoked')",
        )?
        .execute(params![Col(spki_hash), Col(at)])?;
    let account = if is_blocked(batch, spki_hash)? { end_account(batch, spki_hash)? } else { None };
    Ok(BlockSettled { settled: settled == 1, account })
}
