//! Which order takes the place of which certificate, and the rules for renewals.

use ca::OrderId;
use ca::ports::{RenewalAdvice, RenewalRule, RenewalScope};
use pki::{Serial, Timestamp};
use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use crate::sqlite::columns::{Col, col, document, json, maybe};
use crate::sqlite::failure::Step;
use crate::sqlite::writer::Batch;

pub(super) fn replacement(connection: &Connection, serial: Serial) -> Step<Option<OrderId>> {
    Ok(connection
        .prepare_cached(
            "-- ledger.replacement
            SELECT r.order_id FROM serials s JOIN replacements r ON r.serial = s.row WHERE s.serial = ?1",
        )?
        .query_row([Col(serial)], |row| col(row, 0))
        .optional()?)
}

pub(super) fn replace(
    batch: &Batch<'_>,
    serial: Serial,
    standing: Option<OrderId>,
    order: OrderId,
) -> Step<Option<OrderId>> {
    let found: Option<(i64, Option<OrderId>)> = batch
        .prepare_cached(
            "-- ledger.replace.look
            SELECT s.row, r.order_id FROM serials s LEFT JOIN replacements r ON r.serial = s.row WHERE s.serial = ?1",
        )?
        .query_row([Col(serial)], |row| Ok((row.get(0)?, maybe(row, 1)?)))
        .optional()?;
    let Some((row, now)) = found else { return Ok(None) };
    if now != standing {
        return Ok(now);
    }
    batch
        .prepare_cached(
            "-- ledger.replace
            INSERT INTO replacements (serial, order_id) VALUES (?1, ?2)
            ON CONFLICT (serial) DO UPDATE SET order_id = excluded.order_id",
        )?
        .execute(params![row, Col(order)])?;
    Ok(Some(order))
}

pub(super) fn add_rule(
    batch: &Batch<'_>,
    scope: &RenewalScope,
    advice: &RenewalAdvice,
    made: Timestamp,
    sets_max: u32,
) -> Step<Option<RenewalRule>> {
    if scope.serial.is_none() {
        let standing: u32 = batch
            .prepare_cached(
                "-- ledger.add_renewal_rule.sets
                SELECT count(*) FROM renewal_rules INDEXED BY renewal_rules_standing
                WHERE withdrawn IS NULL AND serial IS NULL",
            )?
            .query_row([], |row| row.get(0))?;
        if standing >= sets_max {
            return Ok(None);
        }
    }
    batch
        .prepare_cached(
            "-- ledger.add_renewal_rule
            INSERT INTO renewal_rules (made, serial, scope, advice) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            Col(made),
            scope.serial.map(Col),
            document("renewal_rules.scope", scope)?,
            document("renewal_rules.advice", advice)?,
        ])?;
    let number = u64::try_from(batch.last_insert_rowid()).unwrap_or_default();
    Ok(Some(RenewalRule { number, made, scope: scope.clone(), advice: advice.clone() }))
}

pub(super) fn withdraw_rule(batch: &Batch<'_>, number: u64, at: Timestamp) -> Step<bool> {
    let Ok(row) = i64::try_from(number) else { return Ok(false) };
    let withdrawn = batch
        .prepare_cached(
            "-- ledger.withdraw_renewal_rule
            UPDATE renewal_rules SET withdrawn = ?2 WHERE row = ?1 AND withdrawn IS NULL",
        )?
        .execute(params![row, Col(at)])?;
    Ok(withdrawn == 1)
}

fn from_columns(row: &Row<'_>) -> rusqlite::Result<RenewalRule> {
    Ok(RenewalRule { number: col(row, 0)?, made: col(row, 1)?, scope: json(row, 2)?, advice: json(row, 3)? })
}

/// Two searches, merged: with an OR in one, all rules that stand would be gone through each time that anybody asks.
const RULES_FOR: &str = "-- ledger.renewal_rules_for
    SELECT row, made, scope, advice FROM renewal_rules INDEXED BY renewal_rules_standing
    WHERE withdrawn IS NULL AND serial = ?1
    UNION ALL
    SELECT row, made, scope, advice FROM renewal_rules INDEXED BY renewal_rules_standing
    WHERE withdrawn IS NULL AND serial IS NULL
    ORDER BY row DESC";

pub(super) fn rules_for(connection: &Connection, serial: Serial) -> Step<Vec<RenewalRule>> {
    let mut statement = connection.prepare_cached(RULES_FOR)?;
    let rows = statement.query_map([Col(serial)], from_columns)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn rules(connection: &Connection, limit: u32) -> Step<Vec<RenewalRule>> {
    let mut statement = connection.prepare_cached(
        "-- ledger.renewal_rules
        SELECT row, made, scope, advice FROM renewal_rules WHERE withdrawn IS NULL ORDER BY row DESC LIMIT ?1",
    )?;
    let rows = statement.query_map([limit], from_columns)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn count(connection: &Connection, scope: &RenewalScope, now: Timestamp) -> Step<u64> {
    let mut sql = "-- ledger.count_renewals
        SELECT count(*) FROM serials s
        WHERE s.status = 'good' AND s.stored IS NOT NULL AND s.begun < ? AND s.not_after >= ?"
        .to_owned();
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(Col(now)), Box::new(Col(now))];
    let RenewalScope { serial, account, profile, issued_from, issued_until, spki_hash, name } = scope.clone();
    let mut only = |condition: &str, value: Option<Box<dyn ToSql>>| {
        if let Some(value) = value {
            sql.push_str(condition);
            values.push(value);
        }
    };
    only(" AND s.serial = ?", serial.map(|one| Box::new(Col(one)) as _));
    only(" AND s.account = ?", account.map(|one| Box::new(Col(one)) as _));
    only(" AND s.profile = ?", profile.map(|one| Box::new(one) as _));
    only(" AND s.begun >= ?", issued_from.map(|one| Box::new(Col(one)) as _));
    only(" AND s.begun < ?", issued_until.map(|one| Box::new(Col(one)) as _));
    only(" AND s.spki_hash = ?", spki_hash.map(|one| Box::new(Col(one)) as _));
    only(" AND s.row IN (SELECT serial FROM serial_names WHERE name = ?)", name.map(|one| Box::new(one) as _));
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row(params_from_iter(values), |row| col(row, 0))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::OpenOptions;
    use crate::sqlite::open::writer;

    #[test]
    fn rules_for_a_serial_are_searched_for_and_never_scanned() {
        let folder = tempfile::tempdir().unwrap();
        let connection = writer(&folder.path().join("cairn.db"), &OpenOptions::default()).unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {RULES_FOR}")).unwrap();
        let serial = Serial::from_random([1; 16]);
        let plan: Vec<String> =
            statement.query_map([Col(serial)], |row| row.get("detail")).unwrap().map(Result::unwrap).collect();
        let searches = plan.iter().filter(|step| step.starts_with("SEARCH renewal_rules USING INDEX")).count();
        assert_eq!(searches, 2, "{plan:?}");
        assert!(!plan.iter().any(|step| step.starts_with("SCAN")), "{plan:?}");
    }
}
