//! Looking at the file below the ports: what a record's columns say against its document, what hangs on nothing, what
//! is counted wrong. And mending it, each time in one transaction that looks again first, so that twice is once.
//!
//! A page is read in one snapshot, and all that belongs together is written in one transaction: a writer beside it
//! leads to no false finding.

mod active;
mod ledger;
mod mend;
mod totals;

use ca::ports::Stored;
use pki::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use super::Database;
use super::failure::Step;
use super::readers::snapshot;
use super::writer::Durability;

pub use mend::Mend;

/// At most so many of a kind are told that are found by a look at everything.
const TOLD_MAX: u32 = 100;

/// The tables whose rows are compared with what they contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The workbench: a row for each active order.
    ActiveOrders,
    /// The ledger's orders.
    Orders,
    /// The ledger's serials.
    Serials,
    /// Ended authorizations.
    Authorizations,
    /// Accounts.
    Accounts,
    /// Rules for renewals.
    RenewalRules,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::ActiveOrders, Self::Orders, Self::Serials, Self::Authorizations, Self::Accounts, Self::RenewalRules];

    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ActiveOrders => "active_orders",
            Self::Orders => "orders",
            Self::Serials => "serials",
            Self::Authorizations => "authorizations",
            Self::Accounts => "accounts",
            Self::RenewalRules => "renewal_rules",
        }
    }
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It can't be read, or is another record's.
    Unreadable,
    /// Columns differ from the document, from what they follow from, or from each other.
    Columns,
    /// An active order stands in two places at once.
    TwoPlaces,
    /// Something that belongs to it is not there.
    Missing,
    /// It refers to something that is not there.
    Orphan,
    /// What it counts are not so many.
    Counts,
    /// Issuances of an order are not numbered from 1 without gaps.
    Numbers,
}

/// A row that disagrees with itself, or with what hangs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What it is, for people: `order 0a1b…`.
    pub subject: String,
    /// The kind of fault.
    pub wrong: Wrong,
    /// What was found.
    pub detail: String,
    /// What would mend it; `None`: nothing in this file does.
    pub mend: Option<Mend>,
}

/// A page of a table.
#[derive(Clone, Debug, Default)]
pub struct Misfits {
    /// What was found in it.
    pub found: Vec<Misfit>,
    /// Rows looked at.
    pub looked_at: u64,
    /// The last row of the page: the next page begins behind it. `None`: there was nothing more.
    pub last: Option<i64>,
}

impl Database {
    /// Compares the rows of a table behind `after` (0: from the first on), at most `limit`, with what they contain.
    ///
    /// # Errors
    /// Those of a read. A row that makes no sense is none: it is a misfit.
    pub async fn misfits(&self, table: Table, after: i64, limit: u32) -> Stored<Misfits> {
        self.scan(move |connection| {
            snapshot(connection, |connection| match table {
                Table::ActiveOrders => active::page(connection, after, limit),
                Table::Orders => ledger::orders(connection, after, limit),
                Table::Serials => ledger::serials(connection, after, limit),
                Table::Authorizations => ledger::authorizations(connection, after, limit),
                Table::Accounts => ledger::accounts(connection, after, limit),
                Table::RenewalRules => ledger::renewal_rules(connection, after, limit),
            })
        })
        .await
    }

    /// Counts what the file keeps counts of, looks for rows that refer to nothing, and for leaves that are missing from
    /// the built-in logs: each by one look at everything.
    ///
    /// # Errors
    /// Those of a read.
    pub async fn totals(&self) -> Stored<Vec<Misfit>> {
        self.scan(|connection| snapshot(connection, totals::all)).await
    }

    /// Mends what is wrong, if it still is: looks and writes in one transaction. What was done, for people; `None`:
    /// nothing had to be, or could be. Who asks holds the instance's lock, and no workbench of this store is in use:
    /// it would not know what has come to its queues.
    ///
    /// # Errors
    /// Those of a write: nothing was changed then.
    pub async fn mend(&self, mend: Mend, now: Timestamp) -> Stored<Option<String>> {
        self.writer().write(Durability::Synced, move |batch| mend::mend(batch, &mend, now)).await
    }
}

/// Columns as they should be.
type Expected = Vec<(&'static str, Value)>;

/// Those that are not as they should be, of those that stand in the row from `first` on.
fn differing(row: &Row<'_>, first: usize, expected: &Expected) -> rusqlite::Result<Vec<&'static str>> {
    let mut wrong = Vec::new();
    for (at, (name, value)) in expected.iter().enumerate() {
        if row.get::<_, Value>(first + at)? != *value {
            wrong.push(*name);
        }
    }
    Ok(wrong)
}

/// Writes columns as they should be.
fn rewrite(connection: &Connection, table: Table, row: i64, expected: Expected) -> Step<()> {
    let names: Vec<String> =
        expected.iter().enumerate().map(|(at, (name, _))| format!("{name} = ?{}", at + 2)).collect();
    let sql = format!("-- mend.columns\nUPDATE {} SET {} WHERE row = ?1", table.name(), names.join(", "));
    let values = std::iter::once(Value::Integer(row)).chain(expected.into_iter().map(|(_, value)| value));
    connection.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(values))?;
    Ok(())
}

fn blob(octets: &[u8]) -> Value {
    Value::Blob(octets.to_vec())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn maybe_time(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, |time| Value::Integer(time.millis()))
}

/// Reads a page of rows, each of which begins with its number; what can't be compared is told by `unreadable`.
fn page(
    connection: &Connection,
    sql: &str,
    (after, limit): (i64, u32),
    mut look: impl FnMut(&Row<'_>, &mut Vec<Misfit>) -> Step<()>,
    unreadable: impl Fn(i64, String) -> Misfit,
) -> Step<Misfits> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params![after, limit])?;
    let mut misfits = Misfits::default();
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        misfits.last = Some(number);
        misfits.looked_at += 1;
        if let Err(failure) = look(row, &mut misfits.found) {
            misfits.found.push(unreadable(number, failure.to_string()));
        }
    }
    Ok(misfits)
}

/// An id as the ports write it, from a column that may hold anything.
fn shown(row: &Row<'_>, index: usize) -> String {
    match row.get::<_, Value>(index) {
        Ok(Value::Blob(octets)) => data_encoding::HEXLOWER.encode(&octets),
        Ok(Value::Text(text)) => text,
        Ok(Value::Integer(number)) => number.to_string(),
        Ok(Value::Null | Value::Real(_)) | Err(_) => "?".to_owned(),
    }
}
