//! Authorizations that have ended, with their evidence.

use std::collections::BTreeSet;

use acme::Identifier;
use ca::authorization::{AuthorizationEnd, EndedAuthorization};
use ca::clock::BEHIND_MAX;
use ca::order::Order;
use ca::ports::Recorded;
use ca::{AccountId, AuthorizationId};
use pki::{GeneralName, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::sqlite::columns::{Col, Packed, col, json, maybe};
use crate::sqlite::failure::{Failure, Step};
use crate::sqlite::writer::Batch;

/// The first end wins. What stands if this one did not, `None` if it did.
pub(super) fn authorize(
    batch: &Batch<'_>,
    ended: &EndedAuthorization,
    document: &Packed,
) -> Step<Option<EndedAuthorization>> {
    let (outcome, expires) = columns(ended.end);
    let inserted = batch
        .prepare_cached(
            "-- ledger.authorize
            INSERT INTO authorizations (order_id, number, account, name, outcome, expires, ended, document, packed)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, '', ?8) ON CONFLICT (order_id, number) DO NOTHING",
        )?
        .execute(params![
            Col(ended.id.order),
            ended.id.number,
            Col(ended.account),
            ended.identifier.wire().value,
            outcome,
            expires.map(Col),
            Col(ended.ended),
            document,
        ])?;
    if inserted == 1 {
        batch.dated(ended.ended, Recorded::Authorization(ended.id));
        Ok(None)
    } else {
        by_id(batch, ended.id)
    }
}

const fn columns(end: AuthorizationEnd) -> (&'static str, Option<Timestamp>) {
    match end {
        AuthorizationEnd::Valid { expires } => ("valid", Some(expires)),
        AuthorizationEnd::Invalid => ("invalid", None),
        AuthorizationEnd::Deactivated => ("deactivated", None),
        AuthorizationEnd::Revoked => ("revoked", None),
    }
}

fn from_columns(row: &Row<'_>) -> Step<EndedAuthorization> {
    let mut ended: EndedAuthorization = json(row, 3)?;
    let outcome: String = row.get(0)?;
    ended.ended = col(row, 2)?;
    ended.end = match (outcome.as_str(), maybe(row, 1)?) {
        ("valid", Some(expires)) => AuthorizationEnd::Valid { expires },
        ("invalid", None) => AuthorizationEnd::Invalid,
        ("deactivated", None) => AuthorizationEnd::Deactivated,
        ("revoked", None) => AuthorizationEnd::Revoked,
        (other, _) => return Err(Failure::corrupt("authorizations.outcome", other)),
    };
    Ok(ended)
}

pub(super) fn by_id(connection: &Connection, id: AuthorizationId) -> Step<Option<EndedAuthorization>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.authorization
        SELECT outcome, expires, ended, coalesce(packed, document) FROM authorizations
        WHERE order_id = ?1 AND number = ?2",
    )?;
    let mut rows = statement.query(params![Col(id.order), id.number])?;
    rows.next()?.map(from_columns).transpose()
}

pub(super) fn by_ids(connection: &Connection, ids: &[AuthorizationId]) -> Step<Vec<EndedAuthorization>> {
    let asked: BTreeSet<_> = ids.iter().collect();
    asked.into_iter().filter_map(|id| by_id(connection, *id).transpose()).collect()
}

pub(super) fn deactivate(batch: &Batch<'_>, id: AuthorizationId, at: Timestamp) -> Step<Option<EndedAuthorization>> {
    batch
        .prepare_cached(
            "-- ledger.deactivate_authorization
            UPDATE authorizations SET outcome = 'deactivated', expires = NULL, ended = ?3
            WHERE order_id = ?1 AND number = ?2 AND outcome = 'valid'",
        )?
        .execute(params![Col(id.order), id.number, Col(at)])?;
    batch.dated(at, Recorded::Authorization(id));
    by_id(batch, id)
}

pub(super) fn authorized_for(
    connection: &Connection,
    account: AccountId,
    names: &BTreeSet<GeneralName>,
    now: Timestamp,
) -> Step<bool> {
    let mut statement = connection.prepare_cached(
        "-- ledger.authorized_for
        SELECT 1 FROM authorizations WHERE account = ?1 AND name = ?2 AND outcome = 'valid' AND expires >= ?3 LIMIT 1",
    )?;
    for name in names {
        if !statement.exists(params![Col(account), name.to_string(), Col(now)])? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Of each identifier the one that counts longest.
pub(super) fn good(
    connection: &Connection,
    account: AccountId,
    identifiers: &[Identifier],
    (until, ended_since): (Timestamp, Timestamp),
) -> Step<Vec<EndedAuthorization>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.good_authorizations
        SELECT outcome, expires, ended, coalesce(packed, document) FROM authorizations INDEXED BY authorizations_good
        WHERE account = ?1 AND name = ?2 AND outcome = 'valid' AND expires >= ?3 AND ended BETWEEN ?4 AND ?3
        ORDER BY expires DESC LIMIT 1",
    )?;
    let mut found = Vec::new();
    for identifier in identifiers {
        let mut rows = statement.query(params![Col(account), identifier.wire().value, Col(until), Col(ended_since)])?;
        found.extend(rows.next()?.map(from_columns).transpose()?);
    }
    Ok(found)
}

/// The first authorization of an order that no certificate may rest on any more.
pub(super) fn first_not_good(
    connection: &Connection,
    account: AccountId,
    authorizations: &[(AuthorizationId, String)],
    now: Timestamp,
) -> Step<Option<AuthorizationId>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.begin.authorization
        SELECT account = ?3 AND name = ?4 AND outcome = 'valid' AND expires >= ?5 AND ended <= ?6
        FROM authorizations WHERE order_id = ?1 AND number = ?2",
    )?;
    for (id, name) in authorizations {
        let good: Option<Option<bool>> = statement
            .query_row(
                params![Col(id.order), id.number, Col(account), name, Col(now), Col(now.plus(BEHIND_MAX))],
                |row| row.get(0),
            )
            .optional()?;
        if good.flatten() != Some(true) {
            return Ok(Some(*id));
        }
    }
    Ok(None)
}

/// The authorizations of an order, each with its name as it stands in the records.
pub(super) fn of(order: &Order) -> Vec<(AuthorizationId, String)> {
    order.authorizations.iter().map(|one| (one.id, one.identifier.wire().value)).collect()
}
