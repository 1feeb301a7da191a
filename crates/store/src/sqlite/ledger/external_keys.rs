//! Keys for external account binding.

use acme::MacKey;
use ca::ExternalKeyId;
use ca::account::Account;
use ca::external_account::ExternalAccountKey;
use ca::ports::{NewAccountRecord, NotBound};
use pki::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::accounts;
use crate::sqlite::columns::{Col, col, document, json, maybe};
use crate::sqlite::failure::{Failure, Step};
use crate::sqlite::writer::Batch;

pub(super) fn add(batch: &Batch<'_>, key: &ExternalAccountKey) -> Step<bool> {
    let added = batch
        .prepare_cached(
            "-- ledger.add_external_account_key
            INSERT INTO external_account_keys
                (kid, mac_key, created, expires, uses_left, accounts, names, label, revoked)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            key.kid.as_str(),
            key.mac_key.as_bytes(),
            Col(key.created),
            key.expires.map(Col),
            key.uses_left,
            Col(key.accounts),
            document("external_account_keys.names", &key.names)?,
            key.label,
            key.revoked.map(Col),
        ])?;
    Ok(added == 1)
}

pub(super) fn by_kid(connection: &Connection, kid: &ExternalKeyId) -> Step<Option<ExternalAccountKey>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.external_account_key
        SELECT kid, mac_key, created, expires, uses_left, accounts, names, label, revoked
        FROM external_account_keys WHERE kid = ?1",
    )?;
    let mut rows = statement.query([kid.as_str()])?;
    rows.next()?.map(from_columns).transpose()
}

pub(super) fn page(
    connection: &Connection,
    after: Option<&ExternalKeyId>,
    limit: u32,
) -> Step<Vec<ExternalAccountKey>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.external_account_keys
        SELECT kid, mac_key, created, expires, uses_left, accounts, names, label, revoked FROM external_account_keys
        WHERE ?1 IS NULL OR row > (SELECT row FROM external_account_keys WHERE kid = ?1) ORDER BY row LIMIT ?2",
    )?;
    let mut rows = statement.query(params![after.map(ExternalKeyId::as_str), limit])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(from_columns(row)?);
    }
    Ok(keys)
}

fn from_columns(row: &Row<'_>) -> Step<ExternalAccountKey> {
    let unreadable = |what: String| Failure::corrupt("external_account_keys", what);
    let kid: String = row.get(0)?;
    Ok(ExternalAccountKey {
        kid: kid.parse().map_err(|error: ca::ParseIdError| unreadable(error.to_string()))?,
        mac_key: MacKey::new(row.get(1)?)
            .ok_or_else(|| unreadable("a MAC key of no octets, or too many".to_owned()))?,
        created: col(row, 2)?,
        expires: maybe(row, 3)?,
        uses_left: row.get(4)?,
        accounts: col(row, 5)?,
        names: json(row, 6)?,
        label: row.get(7)?,
        revoked: maybe(row, 8)?,
    })
}

pub(super) fn revoke(batch: &Batch<'_>, kid: &ExternalKeyId, at: Timestamp) -> Step<Option<ExternalAccountKey>> {
    batch
        .prepare_cached(
            "-- ledger.revoke_external_account_key
            UPDATE external_account_keys SET revoked = ?2 WHERE kid = ?1 AND revoked IS NULL",
        )?
        .execute(params![kid.as_str(), Col(at)])?;
    by_kid(batch, kid)
}

/// The use of the key counts in the transaction that makes the account.
pub(super) fn bind(
    batch: &Batch<'_>,
    new: &NewAccountRecord,
    kid: &ExternalKeyId,
) -> Step<Result<(Account, bool), NotBound>> {
    if let Some(known) = accounts::by_thumbprint(batch, new.key.thumbprint())? {
        return Ok(Ok((known, false)));
    }
    let Some(key) = by_kid(batch, kid)? else { return Ok(Err(NotBound::Unknown)) };
    if let Some(spent) = key.is_spent(new.created) {
        return Ok(Err(spent));
    }
    batch
        .prepare_cached(
            "-- ledger.create_bound_account
            UPDATE external_account_keys SET uses_left = uses_left - 1, accounts = accounts + 1 WHERE kid = ?1",
        )?
        .execute([kid.as_str()])?;
    accounts::create(batch, new, Some(kid)).map(Ok)
}

/// The key that an account was bound with, from its column.
pub(super) fn kid(row: &Row<'_>, index: usize) -> Step<Option<ExternalKeyId>> {
    let kid: Option<String> = row.get(index).optional()?.flatten();
    kid.map(|kid| kid.parse())
        .transpose()
        .map_err(|error: ca::ParseIdError| Failure::corrupt("accounts.external_key", error))
}
