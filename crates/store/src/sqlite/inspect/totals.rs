//! What is counted, what hangs on nothing, and what is missing between: each by one look at everything.

use ca::ports::LedgerCounts;
use rusqlite::{Connection, OptionalExtension};

use super::{Mend, Misfit, TOLD_MAX, Wrong, shown};
use crate::sqlite::columns::col;
use crate::sqlite::failure::Step;
use crate::sqlite::tally;

pub(super) fn all(connection: &Connection) -> Step<Vec<Misfit>> {
    let mut found = counts(connection)?;
    found.extend(external_keys(connection)?);
    found.extend(unknown_external_keys(connection)?);
    found.extend(orphans(connection)?);
    found.extend(logs(connection)?);
    Ok(found)
}

/// The ledger's records, counted.
pub(super) fn recount(connection: &Connection) -> Step<LedgerCounts> {
    let mut counts = connection
        .prepare_cached(
            "-- inspect.recount
            SELECT (SELECT count(*) FROM accounts), count(*) FILTER (WHERE status = 'wait'),
                count(*) FILTER (WHERE status = 'good'), count(*) FILTER (WHERE status = 'revoked'),
                count(*) FILTER (WHERE given_up = 1 AND status <> 'revoked')
            FROM serials",
        )?
        .query_row([], |row| {
            Ok(LedgerCounts {
                accounts: col(row, 0)?,
                wait: col(row, 1)?,
                good: col(row, 2)?,
                revoked: col(row, 3)?,
                abandoned: col(row, 4)?,
                ..LedgerCounts::default()
            })
        })?;
    connection
        .prepare_cached(
            "-- inspect.recount.orders
            SELECT count(*) FILTER (WHERE outcome = 'valid'), count(*) FILTER (WHERE outcome = 'invalid'),
                count(*) FILTER (WHERE our_fault = 1),
                count(*) FILTER (WHERE outcome = 'valid' AND delivered IS NOT NULL),
                count(*) FILTER (WHERE outcome = 'valid' AND acknowledged IS NOT NULL)
            FROM orders",
        )?
        .query_row([], |row| {
            counts.valid = col(row, 0)?;
            counts.invalid = col(row, 1)?;
            counts.our_fault = col(row, 2)?;
            counts.delivered = col(row, 3)?;
            counts.acknowledged = col(row, 4)?;
            Ok(())
        })?;
    Ok(counts)
}

/// What is kept of each count, beside what it is.
pub(super) fn pairs(kept: &LedgerCounts, counted: &LedgerCounts) -> [(&'static str, u64, u64); 10] {
    [
        ("accounts", kept.accounts, counted.accounts),
        ("wait", kept.wait, counted.wait),
        ("good", kept.good, counted.good),
        ("revoked", kept.revoked, counted.revoked),
        ("abandoned", kept.abandoned, counted.abandoned),
        ("valid", kept.valid, counted.valid),
        ("invalid", kept.invalid, counted.invalid),
        ("our_fault", kept.our_fault, counted.our_fault),
        ("delivered", kept.delivered, counted.delivered),
        ("acknowledged", kept.acknowledged, counted.acknowledged),
    ]
}

/// What is counted wrong.
pub(super) fn miscounted(connection: &Connection) -> Step<Vec<String>> {
    let Some(kept) = tally::read(connection).optional()? else {
        return Ok(vec!["the row of ledger_counts is not there".to_owned()]);
    };
    let counted = recount(connection)?;
    let wrong = pairs(&kept, &counted).into_iter().filter(|(_, kept, counted)| kept != counted);
    Ok(wrong.map(|(name, kept, counted)| format!("{name}: {kept} are counted, {counted} are there")).collect())
}

fn counts(connection: &Connection) -> Step<Vec<Misfit>> {
    let wrong = miscounted(connection)?;
    if wrong.is_empty() {
        return Ok(Vec::new());
    }
    let subject = "the ledger's counts".to_owned();
    Ok(vec![Misfit { subject, wrong: Wrong::Counts, detail: wrong.join("; "), mend: Some(Mend::Counts) }])
}

/// Keys for external account binding whose count of accounts is wrong: the key, what it counts, what there are.
pub(super) fn external_key_counts(connection: &Connection) -> Step<Vec<(String, i64, i64)>> {
    let mut statement = connection.prepare_cached(
        "-- inspect.external_keys
        SELECT k.kid, k.accounts, coalesce(a.number, 0) FROM external_account_keys k
            LEFT JOIN (SELECT external_key, count(*) AS number FROM accounts WHERE external_key IS NOT NULL
                GROUP BY external_key) a ON a.external_key = k.kid
        WHERE k.accounts <> coalesce(a.number, 0) ORDER BY k.row LIMIT ?1",
    )?;
    let rows = statement.query_map([TOLD_MAX], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn external_keys(connection: &Connection) -> Step<Vec<Misfit>> {
    let wrong = external_key_counts(connection)?.into_iter().map(|(kid, kept, counted)| Misfit {
        subject: format!("external account key {kid}"),
        wrong: Wrong::Counts,
        detail: format!("it counts {kept} accounts, and {counted} are bound with it"),
        mend: Some(Mend::ExternalKeyCounts),
    });
    Ok(wrong.collect())
}

fn unknown_external_keys(connection: &Connection) -> Step<Vec<Misfit>> {
    let mut statement = connection.prepare_cached(
        "-- inspect.external_keys.unknown
        SELECT id, external_key FROM accounts
        WHERE external_key IS NOT NULL AND external_key NOT IN (SELECT kid FROM external_account_keys) LIMIT ?1",
    )?;
    let rows = statement.query_map([TOLD_MAX], |row| {
        Ok(Misfit {
            subject: format!("account {}", shown(row, 0)),
            wrong: Wrong::Orphan,
            detail: format!("it was bound with key {}, which the ledger does not have", shown(row, 1)),
            mend: None,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Tables whose rows only find others: one that finds nothing can go.
pub(super) const FINDERS: [&str; 2] = ["serial_names", "replacements"];

fn orphans(connection: &Connection) -> Step<Vec<Misfit>> {
    let mut statement = connection.prepare("-- inspect.orphans\nPRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?
        && found.len() < TOLD_MAX as usize
    {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        let mend = FINDERS.contains(&table.as_str()).then_some(Mend::Orphans);
        let detail = match &mend {
            Some(_) => format!("it refers to a record of {parent} that isn't there"),
            None => format!(
                "it refers to a record of {parent} that isn't there, and is all that is left of it: restore the store \
                 from a backup"
            ),
        };
        let subject = format!("{table}, row {}", shown(row, 1));
        found.push(Misfit { subject, wrong: Wrong::Orphan, detail, mend });
    }
    Ok(found)
}

/// Leaves stand in a log without gaps, and no tree head covers more than there are.
fn logs(connection: &Connection) -> Step<Vec<Misfit>> {
    let mut statement = connection.prepare_cached(
        "-- inspect.logs
        SELECT g.log_id, (SELECT count(*) FROM ct_leaves l WHERE l.log = g.row),
            (SELECT coalesce(max(l.leaf) + 1, 0) FROM ct_leaves l WHERE l.log = g.row),
            (SELECT coalesce(max(h.size), 0) FROM ct_tree_heads h WHERE h.log = g.row)
        FROM ct_logs g ORDER BY g.row",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (leaves, end, head): (u64, u64, u64) = (col(row, 1)?, col(row, 2)?, col(row, 3)?);
        if leaves != end || head > end {
            let detail = format!(
                "it has {leaves} leaves, the last of them in place {end}, and its tree head covers {head}: restore the \
                 store from a backup"
            );
            let subject = format!("built-in log {}", shown(row, 0));
            found.push(Misfit { subject, wrong: Wrong::Missing, detail, mend: None });
        }
    }
    Ok(found)
}
