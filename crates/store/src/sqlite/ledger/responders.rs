//! What OCSP answers are made from: the status of a serial, and the certificates of responders.

use ca::ports::{Recorded, ResponderRecord, StatusRecord};
use pki::{Serial, Sha256};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::sqlite::columns::{Col, col, maybe};
use crate::sqlite::failure::Step;
use crate::sqlite::writer::Batch;

pub(super) fn status(connection: &Connection, serial: Serial) -> Step<Option<StatusRecord>> {
    Ok(connection
        .prepare_cached(
            "-- ledger.status\nSELECT issuer, status, not_after, revoked, reason FROM serials WHERE serial = ?1",
        )?
        .query_row([Col(serial)], |row| {
            Ok(StatusRecord {
                issuer: col(row, 0)?,
                status: col(row, 1)?,
                not_after: col(row, 2)?,
                revocation: maybe(row, 3)?.zip(maybe(row, 4)?),
            })
        })
        .optional()?)
}

/// Whether its serial was free.
pub(super) fn add(batch: &Batch<'_>, responder: &ResponderRecord) -> Step<bool> {
    let ResponderRecord { serial, issuer, spki_hash, made, not_after, linting_certificate, certificate } = responder;
    let added = batch
        .prepare_cached(
            "-- ledger.add_responder
            INSERT INTO ocsp_responders (serial, issuer, spki_hash, made, not_after, linting_certificate, certificate)
            SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (SELECT 1 FROM serials WHERE serial = ?1)
            ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            Col(*serial),
            Col(*issuer),
            Col(*spki_hash),
            Col(*made),
            Col(*not_after),
            linting_certificate,
            certificate,
        ])?;
    if added == 1 {
        batch.dated(*made, Recorded::Issuance(*serial));
    }
    Ok(added == 1)
}

pub(super) fn store(batch: &Batch<'_>, serial: Serial, certificate: &[u8]) -> Step<bool> {
    batch
        .prepare_cached(
            "-- ledger.store_responder
            UPDATE ocsp_responders SET certificate = ?2 WHERE serial = ?1 AND certificate IS NULL",
        )?
        .execute(params![Col(serial), certificate])?;
    Ok(batch
        .prepare_cached("-- ledger.store_responder.known\nSELECT 1 FROM ocsp_responders WHERE serial = ?1")?
        .exists([Col(serial)])?)
}

pub(super) fn by_serial(connection: &Connection, serial: Serial) -> Step<Option<ResponderRecord>> {
    Ok(connection
        .prepare_cached(
            "-- ledger.responder
            SELECT serial, issuer, spki_hash, made, not_after, linting_certificate, certificate FROM ocsp_responders
            WHERE serial = ?1",
        )?
        .query_row([Col(serial)], from_columns)
        .optional()?)
}

/// Those with a certificate, added last first.
pub(super) fn list(
    connection: &Connection,
    issuer: Sha256,
    spki_hash: Sha256,
    limit: u32,
) -> Step<Vec<ResponderRecord>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.responders
        SELECT serial, issuer, spki_hash, made, not_after, linting_certificate, certificate FROM ocsp_responders
        WHERE issuer = ?1 AND spki_hash = ?2 AND certificate IS NOT NULL ORDER BY row DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![Col(issuer), Col(spki_hash), limit], from_columns)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn from_columns(row: &Row<'_>) -> rusqlite::Result<ResponderRecord> {
    Ok(ResponderRecord {
        serial: col(row, 0)?,
        issuer: col(row, 1)?,
        spki_hash: col(row, 2)?,
        made: col(row, 3)?,
        not_after: col(row, 4)?,
        linting_certificate: row.get(5)?,
        certificate: row.get(6)?,
    })
}
