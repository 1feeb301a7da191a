//! The ledger's rows against their documents, and against what hangs on them.

use ca::authorization::EndedAuthorization;
use ca::order::{Failure as Death, Order};
use ca::ports::RenewalScope;
use pki::{Certificate, Serial, Sha256};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, params};

use super::{Expected, Mend, Misfit, Misfits, Table, Wrong, blob, differing, shown, text};
use crate::sqlite::columns::{Json, col, json};
use crate::sqlite::failure::Step;
use crate::sqlite::ledger::serials::{reversed, tail};

fn unreadable(table: Table) -> impl Fn(i64, String) -> Misfit {
    move |row, detail| Misfit {
        subject: format!("{}, row {row}", table.name()),
        wrong: Wrong::Unreadable,
        detail,
        mend: None,
    }
}

/// What a row's columns should be. `None`: nothing can be said.
pub(super) fn expected(table: Table, row: &Row<'_>) -> Step<Option<(Expected, usize)>> {
    Ok(match table {
        Table::Orders => Some((of_order(row)?, ORDER_FIRST)),
        Table::Serials => Some((of_serial(row)?, SERIAL_FIRST)),
        Table::Authorizations => Some((of_authorization(row)?, 2)),
        Table::Accounts => Some((of_account(row)?, 2)),
        Table::RenewalRules => Some((of_rule(row)?, 2)),
        Table::ActiveOrders => None,
    })
}

/// The rows of a table behind one, with all that they are compared with.
pub(super) const fn rows(table: Table) -> &'static str {
    match table {
        Table::Orders => ORDERS,
        Table::Serials => SERIALS,
        Table::Authorizations => AUTHORIZATIONS,
        Table::Accounts => ACCOUNTS,
        Table::RenewalRules => RENEWAL_RULES,
        Table::ActiveOrders => "SELECT row FROM active_orders WHERE row > ?1 ORDER BY row LIMIT ?2",
    }
}

const ORDERS: &str = "-- inspect.orders
    SELECT o.row, coalesce(d.packed, d.document), o.failure, o.issuances,
        (SELECT count(*) FROM serials s WHERE s.order_row = o.row),
        (SELECT coalesce(max(s.number), 0) FROM serials s WHERE s.order_row = o.row),
        o.id, o.account, o.created, o.our_fault
    FROM orders o LEFT JOIN order_documents d ON d.order_row = o.row WHERE o.row > ?1 ORDER BY o.row LIMIT ?2";
const ORDER_FIRST: usize = 6;

fn of_order(row: &Row<'_>) -> Step<Expected> {
    let order: Order = json(row, 1)?;
    let failure: Option<Json<Death>> = row.get(2)?;
    let our_fault = failure.is_some_and(|failure| failure.0.is_our_fault());
    Ok(vec![
        ("id", blob(order.id.as_bytes())),
        ("account", blob(order.account.as_bytes())),
        ("created", Value::Integer(order.created.millis())),
        ("our_fault", Value::Integer(our_fault.into())),
    ])
}

pub(super) fn orders(connection: &Connection, after: i64, limit: u32) -> Step<Misfits> {
    let look = |row: &Row<'_>, found: &mut Vec<Misfit>| {
        let subject = format!("order {}", shown(row, ORDER_FIRST));
        let (number, lost): (i64, bool) = (row.get(0)?, row.get_ref(1)? == ValueRef::Null);
        let (issuances, serials, last): (u32, u32, u32) = (row.get(3)?, row.get(4)?, row.get(5)?);
        if serials != last || issuances != last {
            let detail =
                format!("it has had {issuances} issuances; of {serials} serials of it the last has number {last}");
            // A serial that is gone can't be made again; a wrong count of those that are there can.
            let mend = (serials == last).then_some(Mend::Row(Table::Orders, number));
            found.push(Misfit { subject: subject.clone(), wrong: Wrong::Numbers, detail, mend });
        }
        if lost {
            let detail = "the ledger has lost its document: restore the store from a backup".to_owned();
            found.push(Misfit { subject, wrong: Wrong::Missing, detail, mend: None });
            return Ok(());
        }
        columns(Table::Orders, row, subject, found)
    };
    super::page(connection, ORDERS, (after, limit), look, unreadable(Table::Orders))
}

const SERIALS: &str = "-- inspect.serials
    SELECT s.row, o.row IS NULL, o.account, o.serial IS s.serial OR (o.outcome IS NULL AND o.issuances = s.number),
        l.der, s.serial, s.tail, s.account, s.given_up
    FROM serials s LEFT JOIN orders o ON o.row = s.order_row LEFT JOIN linting_certificates l ON l.serial = s.row
    WHERE s.row > ?1 ORDER BY s.row LIMIT ?2";
const SERIAL_FIRST: usize = 6;

fn of_serial(row: &Row<'_>) -> Step<Expected> {
    let serial: Serial = col(row, 5)?;
    let stands: bool = row.get(3)?;
    Ok(vec![
        ("tail", Value::Integer(tail(serial).into())),
        ("account", row.get(2)?),
        ("given_up", Value::Integer((!stands).into())),
    ])
}

pub(super) fn serials(connection: &Connection, after: i64, limit: u32) -> Step<Misfits> {
    let look = |row: &Row<'_>, found: &mut Vec<Misfit>| {
        let subject = format!("serial {}", shown(row, 5));
        let missing = |what: &str| {
            let detail = format!("the ledger has lost its {what}: restore the store from a backup");
            Misfit { subject: subject.clone(), wrong: Wrong::Missing, detail, mend: None }
        };
        if row.get::<_, bool>(1)? {
            found.push(missing("order"));
            return Ok(());
        }
        let Some(der) = row.get::<_, Option<Vec<u8>>>(4)? else {
            found.push(missing("linting certificate"));
            return Ok(());
        };
        let number: i64 = row.get(0)?;
        let lacking = names_lacking(connection, number, &der)?;
        if !lacking.is_empty() {
            let detail = format!("it can't be found by its names {}", lacking.join(", "));
            let mend = Some(Mend::Row(Table::Serials, number));
            found.push(Misfit { subject: subject.clone(), wrong: Wrong::Missing, detail, mend });
        }
        columns(Table::Serials, row, subject.clone(), found)
    };
    super::page(connection, SERIALS, (after, limit), look, unreadable(Table::Serials))
}

/// The names of a linting certificate by which its serial is not found.
pub(super) fn names_lacking(connection: &Connection, serial: i64, der: &[u8]) -> Step<Vec<String>> {
    // One that can't be read is told where certificates are looked at.
    let Ok(certificate) = Certificate::from_der(der) else { return Ok(Vec::new()) };
    let mut statement = connection
        .prepare_cached("-- inspect.serials.name\nSELECT 1 FROM serial_names WHERE name = ?1 AND serial = ?2")?;
    let mut below =
        connection.prepare_cached("-- inspect.serials.domain_name\nSELECT 1 FROM domain_names WHERE reversed = ?1")?;
    let mut lacking = Vec::new();
    for name in certificate.names() {
        let name = name.to_string();
        let domain = match reversed(&name) {
            Some(reversed) => below.exists([reversed])?,
            None => true,
        };
        if !domain || !statement.exists(params![name, serial])? {
            lacking.push(name);
        }
    }
    Ok(lacking)
}

const AUTHORIZATIONS: &str = "-- inspect.authorizations
    SELECT row, coalesce(packed, document), order_id, number, account, name FROM authorizations
    WHERE row > ?1 ORDER BY row LIMIT ?2";

fn of_authorization(row: &Row<'_>) -> Step<Expected> {
    let ended: EndedAuthorization = json(row, 1)?;
    Ok(vec![
        ("order_id", blob(ended.id.order.as_bytes())),
        ("number", Value::Integer(ended.id.number.into())),
        ("account", blob(ended.account.as_bytes())),
        ("name", text(&ended.identifier.wire().value)),
    ])
}

pub(super) fn authorizations(connection: &Connection, after: i64, limit: u32) -> Step<Misfits> {
    let look = |row: &Row<'_>, found: &mut Vec<Misfit>| {
        let subject = format!("authorization {}/{}", shown(row, 2), shown(row, 3));
        columns(Table::Authorizations, row, subject, found)
    };
    super::page(connection, AUTHORIZATIONS, (after, limit), look, unreadable(Table::Authorizations))
}

const ACCOUNTS: &str = "-- inspect.accounts
    SELECT row, key, thumbprint, spki_hash, id FROM accounts WHERE row > ?1 ORDER BY row LIMIT ?2";

fn of_account(row: &Row<'_>) -> Step<Expected> {
    let key: acme::Jwk = json(row, 1)?;
    let spki_hash = Sha256::of(&key.spki_der());
    Ok(vec![("thumbprint", blob(key.thumbprint().as_bytes())), ("spki_hash", blob(spki_hash.as_bytes()))])
}

pub(super) fn accounts(connection: &Connection, after: i64, limit: u32) -> Step<Misfits> {
    let look = |row: &Row<'_>, found: &mut Vec<Misfit>| {
        columns(Table::Accounts, row, format!("account {}", shown(row, 4)), found)
    };
    super::page(connection, ACCOUNTS, (after, limit), look, unreadable(Table::Accounts))
}

const RENEWAL_RULES: &str = "-- inspect.renewal_rules
    SELECT row, scope, serial FROM renewal_rules WHERE row > ?1 ORDER BY row LIMIT ?2";

fn of_rule(row: &Row<'_>) -> Step<Expected> {
    let scope: RenewalScope = json(row, 1)?;
    Ok(vec![("serial", scope.serial.map_or(Value::Null, |serial| blob(serial.as_bytes())))])
}

pub(super) fn renewal_rules(connection: &Connection, after: i64, limit: u32) -> Step<Misfits> {
    let look = |row: &Row<'_>, found: &mut Vec<Misfit>| {
        columns(Table::RenewalRules, row, format!("renewal rule {}", shown(row, 0)), found)
    };
    super::page(connection, RENEWAL_RULES, (after, limit), look, unreadable(Table::RenewalRules))
}

/// The columns by which a record is found as what it is: they tell whose the document is.
const NAMES: [&str; 3] = ["id", "order_id", "number"];

fn columns(table: Table, row: &Row<'_>, subject: String, found: &mut Vec<Misfit>) -> Step<()> {
    let Some((expected, first)) = expected(table, row)? else { return Ok(()) };
    let wrong = differing(row, first, &expected)?;
    if wrong.is_empty() {
        return Ok(());
    }
    let foreign = wrong.iter().any(|name| NAMES.contains(name));
    let (wrong, detail, mend) = if foreign {
        (Wrong::Unreadable, "its document is another record's: restore the store from a backup".to_owned(), None)
    } else {
        let detail = format!("{} in {} differ from what they follow from", wrong.join(", "), table.name());
        (Wrong::Columns, detail, Some(Mend::Row(table, row.get(0)?)))
    };
    found.push(Misfit { subject, wrong, detail, mend });
    Ok(())
}
