//! Active orders: the columns of a row against its document.

use ca::order::{Order, Outcome, Progress};
use ca::ports::LedgerEnd;
use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use super::{Expected, Mend, Misfit, Misfits, Wrong, blob, differing, maybe_time, shown, text};
use crate::sqlite::columns::json;
use crate::sqlite::failure::Step;

/// What follows from an order, wherever it stands.
pub(super) fn expected(order: &Order) -> Expected {
    let (outcome, delivered) = match &order.progress {
        Progress::Done { outcome: Outcome::Valid(_), delivered, .. } => (text("valid"), *delivered),
        Progress::Done { outcome: Outcome::Invalid(_), delivered, .. } => (text("invalid"), *delivered),
        Progress::MakeChallenge | Progress::TestChallenge | Progress::Issue { .. } => (Value::Null, None),
    };
    vec![
        ("id", blob(order.id.as_bytes())),
        ("account", blob(order.account.as_bytes())),
        ("stage", text(order.stage().name())),
        ("deadline", maybe_time(order.deadline())),
        ("outcome", outcome),
        ("delivered", maybe_time(delivered)),
        ("created", Value::Integer(order.created.millis())),
        ("likeness", order.likeness().map_or(Value::Null, |likeness| blob(likeness.as_bytes()))),
    ]
}

/// Where the columns begin that follow from the order.
const FIRST: usize = 6;

pub(super) fn page(connection: &Connection, after: i64, limit: u32) -> Step<Misfits> {
    super::page(
        connection,
        "-- inspect.active_orders
        SELECT row, document, place, turn, lease_token IS NOT NULL, lease_holder IS NOT NULL,
            id, account, stage, deadline, outcome, delivered, created, likeness
        FROM active_orders WHERE row > ?1 ORDER BY row LIMIT ?2",
        (after, limit),
        look,
        |row, detail| Misfit {
            subject: format!("active order in row {row}"),
            wrong: Wrong::Unreadable,
            detail,
            mend: Some(Mend::ActiveRow(row)),
        },
    )
}

fn look(row: &Row<'_>, found: &mut Vec<Misfit>) -> Step<()> {
    let order: Order = json(row, 1)?;
    let mut wrong = differing(row, FIRST, &expected(&order))?;
    let mend = Some(Mend::ActiveRow(row.get(0)?));
    let subject = format!("order {}", shown(row, FIRST));
    if wrong.contains(&"id") {
        let detail = format!("its document is that of order {}", order.id);
        found.push(Misfit { subject, wrong: Wrong::Unreadable, detail, mend });
        return Ok(());
    }
    // Rows that are older than this column have none.
    let likeness: Value = row.get(FIRST + 7)?;
    wrong.retain(|name| *name != "likeness" || likeness != Value::Null);
    if !wrong.is_empty() {
        let detail = format!("{} in active_orders differ from its document", wrong.join(", "));
        found.push(Misfit { subject: subject.clone(), wrong: Wrong::Columns, detail, mend: mend.clone() });
    }
    if let Some((wrong, detail)) = place(row, &order)? {
        found.push(Misfit { subject, wrong, detail, mend });
    }
    Ok(())
}

/// Whether what goes with the place is there, and nothing else.
fn place(row: &Row<'_>, order: &Order) -> Step<Option<(Wrong, String)>> {
    let (place, turn): (Option<String>, Option<i64>) = (row.get(2)?, row.get(3)?);
    let (token, holder): (bool, bool) = (row.get(4)?, row.get(5)?);
    let columns = |detail: &str| Ok(Some((Wrong::Columns, detail.to_owned())));
    let Some(place) = place else { return Ok(None) };
    if place != "lease" && (token || holder) {
        return Ok(Some((Wrong::TwoPlaces, format!("it stands in {place} and under a lease at once"))));
    }
    match (place.as_str(), turn, &order.progress) {
        ("lease", Some(_), _) if token && holder => Ok(None),
        ("lease", _, _) => columns("it is under a lease without end, token or holder, which nobody frees"),
        ("queue" | "park", Some(_), _) | ("client", _, _) => Ok(None),
        ("queue", None, _) => columns("it has no turn in its queue"),
        ("park", None, _) => columns("it waits for a next try that is never due"),
        ("pending-done", Some(turn), Progress::Done { ended, .. }) if turn == ended.millis() => Ok(None),
        ("pending-done", _, _) => columns("it awaits its acknowledgement without the time at which it ended"),
        (other, _, _) => Ok(Some((Wrong::Unreadable, format!("{other:?} is no place")))),
    }
}

/// The end of an order as the ledger has it.
pub(super) fn outcome(end: LedgerEnd) -> Outcome {
    end.into()
}
