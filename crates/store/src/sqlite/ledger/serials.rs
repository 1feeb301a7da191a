//! Serials, and all that hangs on them.

use std::net::IpAddr;

use acme::DnsName;
use ca::AccountId;
use ca::account::Account;
use ca::ports::{
    CrlGenerationId, IssuanceNumber, Restored, Revocation, SerialFilter, SerialRecord, SerialStatus, SigningRecord,
};
use pki::{GeneralName, Reason, Serial, Sha256, Timestamp, reversed_labels};
use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::{accounts, authorizations, blocked_keys, orders, stops};
use crate::sqlite::columns::{Col, col, maybe};
use crate::sqlite::failure::{Failure, Step};
use crate::sqlite::writer::Batch;

const COLUMNS: &str =
    "SELECT s.serial, s.status, o.id, s.number, s.account, s.issuer, s.profile, s.profile_hash, s.ct, s.begun,
        s.good, s.stored, s.not_after, s.spki_hash, l.der, c.der, o.serial IS s.serial,
        o.outcome IS NULL AND o.issuances = s.number, s.revoked, s.reason, s.revoked_by, s.failure, s.restored,
        s.restored_from, s.crl_generation";

const JOINED: &str = "JOIN orders o ON o.row = s.order_row
        JOIN linting_certificates l ON l.serial = s.row LEFT JOIN certificates c ON c.serial = s.row";

/// The last four octets as a number: its remainder is the CRL shard, as in [`Serial::shard`].
pub(in crate::sqlite) fn tail(serial: Serial) -> u32 {
    let octets = serial.as_bytes();
    octets[octets.len().saturating_sub(4)..].iter().fold(0, |value, octet| value << 8 | u32::from(*octet))
}

fn from_columns(row: &Row<'_>) -> rusqlite::Result<SerialRecord> {
    let serial = col(row, 0)?;
    let restored = maybe(row, 22)?.zip(maybe(row, 23)?);
    let revoked = maybe(row, 18)?.zip(maybe(row, 19)?).zip(row.get::<_, Option<String>>(20)?);
    Ok(SerialRecord {
        serial,
        status: col(row, 1)?,
        order: col(row, 2)?,
        number: IssuanceNumber(row.get(3)?),
        account: col(row, 4)?,
        issuer: col(row, 5)?,
        profile: row.get(6)?,
        profile_hash: col(row, 7)?,
        ct: row.get(8)?,
        begun: col(row, 9)?,
        good: maybe(row, 10)?,
        stored: maybe(row, 11)?,
        not_after: col(row, 12)?,
        crl_generation: CrlGenerationId(row.get(24)?),
        spki_hash: col(row, 13)?,
        linting_certificate: row.get(14)?,
        certificate: row.get(15)?,
        failure: row.get(21)?,
        attached: row.get(16)?,
        current: row.get(17)?,
        revocation: revoked.map(|((revoked, reason), by)| Revocation { serial, reason, revoked, by }),
        restored: restored.map(|(at, from)| Restored { from, at }),
    })
}

pub(super) fn by_serial(connection: &Connection, serial: Serial) -> Step<Option<SerialRecord>> {
    let mut statement = connection
        .prepare_cached(&format!("-- ledger.serial\n{COLUMNS} FROM serials s {JOINED} WHERE s.serial = ?1"))?;
    let mut rows = statement.query([Col(serial)])?;
    Ok(rows.next()?.map(from_columns).transpose()?)
}

/// What a list begins with: the index that leads to the fewest. All of them have the rows in their order, so that a
/// page costs the same wherever it begins.
fn beginning(filter: &SerialFilter) -> (String, Vec<Box<dyn ToSql>>) {
    if let Some(order) = filter.order {
        let sql = format!(
            "-- ledger.serials.of_order\n{COLUMNS} FROM serials s {JOINED}
            WHERE s.order_row = (SELECT row FROM orders WHERE id = ?)"
        );
        return (sql, vec![Box::new(Col(order))]);
    }
    if let Some(spki_hash) = filter.spki_hash {
        let sql = format!(
            "-- ledger.serials.of_key\n{COLUMNS} FROM serials s INDEXED BY serials_by_key {JOINED}
            WHERE s.spki_hash = ?"
        );
        return (sql, vec![Box::new(Col(spki_hash))]);
    }
    if let Some(name) = &filter.name {
        let sql = format!(
            "-- ledger.serials.of_name\n{COLUMNS} FROM serial_names n
                CROSS JOIN serials s ON s.row = n.serial {JOINED}
            WHERE n.name = ?"
        );
        return (sql, vec![Box::new(name.to_string())]);
    }
    if let Some(account) = filter.account {
        let sql = format!(
            "-- ledger.serials.of_account\n{COLUMNS} FROM serials s INDEXED BY serials_by_account {JOINED}
            WHERE s.account = ?"
        );
        return (sql, vec![Box::new(Col(account))]);
    }
    (format!("-- ledger.serials\n{COLUMNS} FROM serials s {JOINED} WHERE 1"), Vec::new())
}

pub(super) fn list(connection: &Connection, filter: &SerialFilter, limit: u32) -> Step<Vec<SerialRecord>> {
    let (mut sql, mut values) = beginning(filter);
    // Those of a name are walked along its own index.
    let by_name = filter.name.is_some() && filter.order.is_none() && filter.spki_hash.is_none();
    let row = if by_name { "n.serial" } else { "s.row" };
    let mut only = |condition: &str, value: Box<dyn ToSql>| {
        sql.push_str(condition);
        values.push(value);
    };
    if let Some(status) = filter.status {
        only(" AND s.status = ?", Box::new(Col(status)));
    }
    if let Some(name) = filter.name.as_ref().filter(|_| !by_name) {
        let named = " AND EXISTS (SELECT 1 FROM serial_names WHERE name = ? AND serial = s.row)";
        only(named, Box::new(name.to_string()));
    }
    if let Some(account) = filter.account {
        // Without an index where another one leads to fewer.
        only(" AND +s.account = ?", Box::new(Col(account)));
    }
    if let Some(spki_hash) = filter.spki_hash {
        only(" AND s.spki_hash = ?", Box::new(Col(spki_hash)));
    }
    if let Some(after) = filter.after {
        only(&format!(" AND {row} > (SELECT row FROM serials WHERE serial = ?)"), Box::new(Col(after)));
    }
    if let Some(until) = filter.until {
        only(&format!(" AND {row} <= (SELECT row FROM serials WHERE serial = ?)"), Box::new(Col(until)));
    }
    if filter.abandoned {
        sql.push_str(" AND s.given_up = 1 AND s.status <> 'revoked'");
    }
    sql.push_str(&format!(" ORDER BY {row} LIMIT ?"));
    values.push(Box::new(limit));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), from_columns)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn last(connection: &Connection) -> Step<Option<Serial>> {
    Ok(connection
        .prepare_cached("-- ledger.last_serial\nSELECT serial FROM serials WHERE row = (SELECT max(row) FROM serials)")?
        .query_row([], |row| col(row, 0))
        .optional()?)
}

/// What a name is found by below its domains. `None` for an address.
pub(in crate::sqlite) fn reversed(name: &str) -> Option<String> {
    name.parse::<IpAddr>().is_err().then(|| reversed_labels(name))
}

fn restored_name(reversed: &str) -> GeneralName {
    let labels: Vec<&str> = reversed.trim_end_matches('.').rsplit('.').collect();
    GeneralName::Dns(labels.join("."))
}

/// By this name the serial in this row is found; one that is there already stays.
pub(in crate::sqlite) fn write_name(batch: &Batch<'_>, row: i64, name: &str) -> Step<()> {
    batch
        .prepare_cached(
            "-- ledger.serials.name
            INSERT INTO serial_names (name, serial) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute(params![name, row])?;
    if let Some(reversed) = reversed(name) {
        batch
            .prepare_cached(
                "-- ledger.serials.domain_name
                INSERT INTO domain_names (reversed) VALUES (?1) ON CONFLICT DO NOTHING",
            )?
            .execute([reversed])?;
    }
    Ok(())
}

pub(super) fn names_below(
    connection: &Connection,
    domain: &DnsName,
    after: Option<&GeneralName>,
    limit: u32,
) -> Step<Vec<GeneralName>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.names_below
        SELECT reversed FROM domain_names WHERE reversed >= ?1 AND reversed < ?2 AND reversed > ?3
        ORDER BY reversed LIMIT ?4",
    )?;
    let first = reversed(domain.as_str()).unwrap_or_default();
    // Behind the dot comes the slash.
    let end = format!("{}/", first.trim_end_matches('.'));
    let after = after.and_then(|after| reversed(&after.to_string())).unwrap_or_default();
    let rows = statement.query_map(params![first, end, after, limit], |row| row.get::<_, String>(0))?;
    let mut names = Vec::new();
    for row in rows {
        names.push(restored_name(&row?));
    }
    Ok(names)
}

/// Restored ones whose orders were left open.
pub(super) fn unsettled(connection: &Connection, limit: u32) -> Step<Vec<SerialRecord>> {
    let mut statement = connection.prepare_cached(&format!(
        "-- ledger.unsettled\n{COLUMNS} FROM serials s {JOINED} WHERE s.unsettled > 0 ORDER BY s.row LIMIT ?1"
    ))?;
    let rows = statement.query_map([limit], from_columns)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All of it in the caller's snapshot. `account` gives what an account's status is not part of.
pub(super) fn signing_record(
    connection: &Connection,
    serial: Serial,
    account: impl FnOnce(AccountId) -> Step<Option<Account>>,
) -> Step<Option<SigningRecord>> {
    let Some(record) = by_serial(connection, serial)? else {
        return Ok(None);
    };
    let missing = |what| Failure::corrupt("serials", format!("serial {serial} lacks its {what}"));
    let order = orders::by_id(connection, record.order)?.ok_or_else(|| missing("order"))?.order;
    let status = accounts::status(connection, record.account)?.ok_or_else(|| missing("account"))?;
    let mut account = account(record.account)?.ok_or_else(|| missing("account"))?;
    account.status = status;
    Ok(Some(SigningRecord {
        account,
        authorizations: authorizations::by_ids(connection, &order.authorization_ids())?,
        rechecks: orders::rechecks(connection, order.id)?,
        key_blocked: blocked_keys::is_blocked(connection, record.spki_hash)?,
        stops: stops::of_order(connection, &order)?,
        serial: record,
        order,
    }))
}

/// An issuance is no longer its order's last, or its order has ended without it. Without one (0) there is nothing to
/// do.
pub(super) fn give_up(batch: &Batch<'_>, order_row: i64, number: u32) -> Step<()> {
    if number == 0 {
        return Ok(());
    }
    let mut statement = batch.prepare_cached(
        "-- ledger.give_up
        UPDATE serials SET given_up = 1 WHERE order_row = ?1 AND number = ?2 AND given_up = 0
        RETURNING status <> 'revoked'",
    )?;
    let mut rows = statement.query(params![order_row, number])?;
    while let Some(row) = rows.next()? {
        let abandoned: bool = row.get(0)?;
        batch.count(|tally| tally.abandoned += i64::from(abandoned));
    }
    Ok(())
}

/// Over `wait` or `good` only.
pub(in crate::sqlite) fn write_revocation(
    batch: &Batch<'_>,
    row: i64,
    (reason, revoked, by): (Reason, Timestamp, &str),
    now: Timestamp,
) -> Step<()> {
    // Dated before what was written already, CRLs would not see that it is new.
    let written = batch.written(now);
    batch
        .prepare_cached(
            "-- ledger.revoke
            UPDATE serials SET status = 'revoked', reason = ?2, revoked = ?3, revoked_by = ?4, revoked_at = ?5
            WHERE row = ?1",
        )?
        .execute(params![row, Col(reason), Col(revoked), by, Col(written)])?;
    Ok(())
}

pub(in crate::sqlite) fn count_revoked(batch: &Batch<'_>, before: SerialStatus, given_up: bool) {
    batch.count(|tally| {
        *tally.status(before) -= 1;
        tally.revoked += 1;
        tally.abandoned -= i64::from(given_up);
    });
}

/// The serials of a key in open issuances that are not revoked, in the order of their allocation.
pub(super) fn open_of_key(connection: &Connection, spki_hash: Sha256) -> Step<Vec<(i64, Serial, SerialStatus)>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.block.open
        SELECT s.row, s.serial, s.status FROM serials s INDEXED BY serials_by_key_unrevoked
            JOIN orders o ON o.row = s.order_row
        WHERE s.spki_hash = ?1 AND s.status <> 'revoked' AND o.outcome IS NULL AND o.issuances = s.number
        ORDER BY s.row",
    )?;
    let rows = statement.query_map([Col(spki_hash)], |row| Ok((row.get(0)?, col(row, 1)?, col(row, 2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_in_the_file_are_those_of_the_serial() {
        for serial in [Serial::from_random([0xfe; 16]), Serial::parse("7f").unwrap(), Serial::parse("8f0102").unwrap()]
        {
            for shards in [1, 7, 128, 65_535] {
                assert_eq!(tail(serial) % u32::from(shards), u32::from(serial.shard(shards)), "{serial} of {shards}");
            }
        }
    }
}
