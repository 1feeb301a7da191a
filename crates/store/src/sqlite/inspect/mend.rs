//! Mending: what a record says of itself, and what the ledger says, is written where it should stand. No signature is
//! needed for any of it, and none is made.

use ca::OrderId;
use ca::order::{Order, Outcome, Place, Progress, Stage};
use ca::ports::{LedgerOrder, Revocation, SerialStatus, StopRecord};
use pki::{Reason, Serial, Sha256, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Expected, Table, active, differing, ledger, rewrite, totals};
use crate::sqlite::columns::{Col, col, document, json, packed};
use crate::sqlite::failure::Step;
use crate::sqlite::ledger::{blocked_keys, orders, revocation as revocations, serials, stops};
use crate::sqlite::writer::Batch;

/// What can be mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    /// An active order: its end as the ledger has it, its stage, its place, its columns. One that nobody can read is
    /// brought back from the ledger, or taken out.
    Order(OrderId),
    /// The same, by the number of its row.
    ActiveRow(i64),
    /// An order with an open issuance that is not on the workbench is brought back there.
    BringBack(OrderId),
    /// The columns of a row, from what they follow from.
    Row(Table, i64),
    /// The ledger's counts.
    Counts,
    /// How many accounts were bound with each external key.
    ExternalKeyCounts,
    /// Rows that only find others, and find nothing.
    Orphans,
    /// All indexes, from what their tables have.
    Indexes,
    /// An order whose stored certificate is good, and its last, ends with it.
    EndWith(Serial),
    /// A stored certificate that is good and not its order's is revoked as superseded, as it was to be when it was
    /// stored.
    Supersede(Serial),
    /// A serial is good since this time: its line in the audit log says so.
    Good(Serial, Timestamp),
    /// A revocation that the audit log has is written, also where a part of it was lost.
    Revocation(Revocation),
    /// A certificate that the audit log has is stored again under its serial.
    Certificate {
        /// Its serial.
        serial: Serial,
        /// The whole of it.
        der: Vec<u8>,
        /// When it was logged.
        at: Timestamp,
    },
    /// A valid order has the place of the certificate that it replaces.
    Replacement {
        /// The certificate.
        serial: Serial,
        /// The order.
        order: OrderId,
    },
    /// A blocked key has serials that are not revoked, though a worker noted that all are: the next start revokes them.
    OpenBlock(Sha256),
    /// The stop of this number is what the audit log says that it is.
    Stop(StopRecord),
    /// A stored CRL that is not what it should be is forgotten, so that the next start makes a new one.
    Crl {
        /// The issuer.
        issuer: Sha256,
        /// The shard.
        shard: u16,
    },
}

type Done = Step<Option<String>>;

pub(super) fn mend(batch: &Batch<'_>, mend: &Mend, now: Timestamp) -> Done {
    match mend {
        Mend::Order(id) => {
            let row = batch
                .prepare_cached("-- mend.order\nSELECT row FROM active_orders WHERE id = ?1")?
                .query_row([Col(*id)], |row| row.get(0))
                .optional()?;
            row.map_or(Ok(None), |row| active_row(batch, row, now))
        }
        Mend::ActiveRow(row) => active_row(batch, *row, now),
        Mend::BringBack(id) => bring_back(batch, *id, now),
        Mend::Row(table, row) => columns(batch, *table, *row),
        Mend::Counts => counts(batch),
        Mend::ExternalKeyCounts => external_key_counts(batch),
        Mend::Orphans => orphans(batch),
        Mend::Indexes => {
            batch.execute_batch("-- mend.indexes\nREINDEX")?;
            Ok(Some("all indexes are made anew from their tables".to_owned()))
        }
        Mend::EndWith(serial) => end_with(batch, *serial),
        Mend::Supersede(serial) => supersede(batch, *serial, now),
        Mend::Good(serial, at) => good(batch, *serial, *at),
        Mend::Revocation(revocation) => revoke(batch, revocation, now),
        Mend::Certificate { serial, der, at } => certificate(batch, *serial, der, *at),
        Mend::Replacement { serial, order } => replacement(batch, *serial, *order),
        Mend::OpenBlock(spki_hash) => {
            let opened = blocked_keys::open_again(batch, *spki_hash)?;
            Ok(opened.then(|| "a worker revokes what is left of its key, at the next start at the latest".to_owned()))
        }
        Mend::Stop(stop) => {
            let written = stops::write(batch, stop)?;
            Ok(written.then(|| format!("stop {} of issuance is as the audit log has it", stop.number)))
        }
        Mend::Crl { issuer, shard } => {
            let gone = batch
                .prepare_cached("-- mend.crl\nDELETE FROM crls WHERE issuer = ?1 AND shard = ?2")?
                .execute(params![Col(*issuer), shard])?;
            // Or nobody would make a new one, where its generation has ended.
            batch
                .prepare_cached(
                    "-- mend.crl.generation
                    UPDATE crl_generation_ends SET ended = NULL
                    WHERE first = (SELECT max(first) FROM crl_generations WHERE first <= ?1)",
                )?
                .execute([shard])?;
            Ok((gone > 0).then(|| "the stored CRL is forgotten; the next start makes a new one".to_owned()))
        }
    }
}

/// What stands in a row of the workbench.
struct Found {
    place: Option<String>,
    turn: Option<i64>,
    leased: bool,
    claims: u32,
    /// It was set aside, since nobody could read it.
    aside: bool,
    order: Option<Order>,
}

fn active_row(batch: &Batch<'_>, row: i64, now: Timestamp) -> Done {
    let look = "-- mend.active.look
        SELECT id, place, turn, lease_token IS NOT NULL OR lease_holder IS NOT NULL, claims, document,
            unreadable IS NOT NULL
        FROM active_orders WHERE row = ?1";
    let mut statement = batch.prepare_cached(look)?;
    let mut rows = statement.query([row])?;
    let Some(read) = rows.next()? else { return Ok(None) };
    let id: Option<OrderId> = col(read, 0).ok();
    let order: Option<Order> = json(read, 5).ok();
    let found = Found {
        place: read.get(1).ok().flatten(),
        turn: read.get(2).ok().flatten(),
        leased: read.get(3)?,
        claims: read.get(4).unwrap_or(0),
        aside: read.get(6)?,
        order: order.filter(|order| Some(order.id) == id),
    };
    drop(rows);
    let known = id.map(|id| orders::by_id(batch, id)).transpose()?.flatten();
    if known.as_ref().is_some_and(|known| known.acknowledged.is_some() && known.end.is_some()) {
        remove(batch, row)?;
        return Ok(Some("its client has its certificate: taken out of the active orders".to_owned()));
    }
    let before = found.order.clone();
    let ended = ended_here_alone(batch, before.as_ref(), known.as_ref())?;
    let Some(order) = righted(before.clone(), known) else {
        if before.is_some() {
            return Ok(None);
        }
        remove(batch, row)?;
        return Ok(Some("nobody can read it, and the ledger never heard of it: its client makes a new one".to_owned()));
    };
    let changed = before.as_ref() != Some(&order);
    let place = order.place(now);
    let keeps = !found.leased && !found.aside && !changed && keeps_its_place(&found, place, &order);
    if keeps && differs(batch, row, &order)?.is_empty() {
        return Ok(ended.then(|| "it has ended in the ledger as it had on the workbench".to_owned()));
    }
    rewrite(batch, Table::ActiveOrders, row, active::expected(&order))?;
    if !keeps {
        stand(batch, row, &order, place, now, if changed { 0 } else { found.claims })?;
    }
    Ok(Some(format!("it is in stage {} and stands where that belongs: {}", order.stage(), name(place))))
}

fn remove(batch: &Batch<'_>, row: i64) -> Step<()> {
    batch.prepare_cached("-- mend.active.remove\nDELETE FROM active_orders WHERE row = ?1")?.execute([row])?;
    Ok(())
}

const fn name(place: Place) -> &'static str {
    match place {
        Place::Queue => "queue",
        Place::Park { .. } => "park",
        Place::Client => "client",
        Place::PendingDone => "pending-done",
    }
}

/// One that goes on standing in the same place keeps its turn there.
fn keeps_its_place(found: &Found, place: Place, order: &Order) -> bool {
    if found.place.as_deref() != Some(name(place)) {
        return false;
    }
    match (place, &order.progress) {
        (Place::Client, _) => true,
        (Place::PendingDone, Progress::Done { ended, .. }) => found.turn == Some(ended.millis()),
        (Place::Queue | Place::Park { .. } | Place::PendingDone, _) => found.turn.is_some(),
    }
}

fn differs(connection: &Connection, row: i64, order: &Order) -> Step<Vec<&'static str>> {
    let mut statement = connection.prepare_cached(
        "-- mend.active.differs
        SELECT id, account, stage, deadline, outcome, delivered, created, likeness FROM active_orders WHERE row = ?1",
    )?;
    let mut rows = statement.query([row])?;
    let Some(read) = rows.next()? else { return Ok(Vec::new()) };
    Ok(differing(read, 0, &active::expected(order))?)
}

/// Whether an order died in `Issue` on the workbench and not in the ledger: then it dies there too.
fn ended_here_alone(batch: &Batch<'_>, order: Option<&Order>, known: Option<&LedgerOrder>) -> Step<bool> {
    let Some(order) = order.filter(|_| known.is_none_or(|known| known.end.is_none())) else { return Ok(false) };
    match &order.progress {
        Progress::Done { outcome: Outcome::Invalid(failure), ended, .. } if failure.stage == Stage::Issue => {
            let written = packed("order_documents.packed", order)?;
            orders::finish(batch, order, &written, failure, *ended)?;
            Ok(true)
        }
        Progress::Done { .. } | Progress::MakeChallenge | Progress::TestChallenge | Progress::Issue { .. } => Ok(false),
    }
}

/// The order as it should be: the ledger decides how it ended, and its stage follows from what it has. `None`: there is
/// nothing to go by.
fn righted(order: Option<Order>, known: Option<LedgerOrder>) -> Option<Order> {
    let Some(mut order) = order else { return known.map(from_ledger) };
    let end = known.as_ref().and_then(|known| known.end.clone());
    match (order.outcome(), end) {
        (here, Some((end, ended))) => {
            let outcome: Outcome = active::outcome(end);
            if here != Some(&outcome) {
                let delivered = known.as_ref().and_then(|known| known.delivered);
                order.progress = Progress::Done { outcome, ended, delivered, acknowledged: None };
            }
        }
        (Some(Outcome::Valid(_)), None) => return known.map(from_ledger),
        (Some(Outcome::Invalid(_)) | None, None) => {}
    }
    match order.progress {
        // Its challenges are made already.
        Progress::MakeChallenge if !order.authorizations.is_empty() => {
            let made = std::mem::take(&mut order.authorizations);
            order.make(made);
        }
        Progress::TestChallenge if order.authorizations.is_empty() => order.progress = Progress::MakeChallenge,
        Progress::MakeChallenge | Progress::TestChallenge | Progress::Issue { .. } | Progress::Done { .. } => {}
    }
    Some(order)
}

fn from_ledger(known: LedgerOrder) -> Order {
    let LedgerOrder { mut order, end, delivered, .. } = known;
    if let Some((end, ended)) = end {
        order.progress = Progress::Done { outcome: active::outcome(end), ended, delivered, acknowledged: None };
    }
    order
}

/// Writes the order and where it stands.
fn stand(batch: &Batch<'_>, row: i64, order: &Order, place: Place, now: Timestamp, claims: u32) -> Step<()> {
    let turn = match (place, &order.progress) {
        (Place::Queue, _) => Some(next_turn(batch)?),
        (Place::Park { until }, _) => Some(until.millis()),
        (Place::PendingDone, Progress::Done { ended, .. }) => Some(ended.millis()),
        (Place::Client | Place::PendingDone, _) => None,
    };
    batch
        .prepare_cached(
            "-- mend.active.stand
            UPDATE active_orders SET document = ?2, place = ?3, turn = ?4, since = ?5, claims = ?6, lease_token = NULL,
                lease_holder = NULL, unreadable = NULL
            WHERE row = ?1",
        )?
        .execute(params![row, document("active_orders.document", order)?, name(place), turn, Col(now), claims])?;
    Ok(())
}

fn next_turn(connection: &Connection) -> Step<i64> {
    Ok(connection
        .prepare_cached(
            "-- mend.active.turn\nSELECT coalesce(max(turn), 0) + 1 FROM active_orders WHERE place = 'queue'",
        )?
        .query_row([], |row| row.get(0))?)
}

fn bring_back(batch: &Batch<'_>, id: OrderId, now: Timestamp) -> Done {
    let active = batch
        .prepare_cached("-- mend.bring_back.look\nSELECT 1 FROM active_orders WHERE id = ?1")?
        .exists([Col(id)])?;
    let Some(known) = orders::by_id(batch, id)?.filter(|known| !active && known.end.is_none()) else { return Ok(None) };
    let order = from_ledger(known);
    let mut values: Expected = active::expected(&order);
    values.extend([
        ("since", Value::Integer(now.millis())),
        ("claims", Value::Integer(0)),
        ("document", Value::Text(document("active_orders.document", &order)?)),
    ]);
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=names.len()).map(|at| format!("?{at}")).collect();
    let sql =
        format!("-- mend.bring_back\nINSERT INTO active_orders ({}) VALUES ({})", names.join(", "), places.join(", "));
    batch.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(values.into_iter().map(|(_, value)| value)))?;
    stand(batch, batch.last_insert_rowid(), &order, order.place(now), now, 0)?;
    Ok(Some("it is on the workbench again, as the ledger has it".to_owned()))
}

/// Columns of one row of the ledger, and the names by which a serial is found.
fn columns(batch: &Batch<'_>, table: Table, number: i64) -> Done {
    let mut done = Vec::new();
    let mut statement = batch.prepare_cached(ledger::rows(table))?;
    let mut rows = statement.query(params![number - 1, 1])?;
    let Some(row) = rows.next()?.filter(|row| row.get::<_, i64>(0) == Ok(number)) else { return Ok(None) };
    let expected = ledger::expected(table, row)?;
    let (serials, last): (u32, u32) = if table == Table::Orders { (row.get(4)?, row.get(5)?) } else { (0, 0) };
    let issuances: u32 = if table == Table::Orders { row.get(3)? } else { 0 };
    let lacking = match table {
        Table::Serials => {
            let der: Option<Vec<u8>> = row.get(4)?;
            der.map_or(Ok(Vec::new()), |der| ledger::names_lacking(batch, number, &der))?
        }
        Table::ActiveOrders | Table::Orders | Table::Authorizations | Table::Accounts | Table::RenewalRules => {
            Vec::new()
        }
    };
    if let Some((mut expected, first)) = expected {
        let wrong = differing(row, first, &expected)?;
        expected.retain(|(name, _)| wrong.contains(name));
        drop(rows);
        if !expected.is_empty() {
            rewrite(batch, table, number, expected)?;
            done.push(format!("{} written anew", wrong.join(", ")));
        }
    }
    if serials == last && issuances != last {
        batch
            .prepare_cached("-- mend.issuances\nUPDATE orders SET issuances = ?2 WHERE row = ?1")?
            .execute(params![number, last])?;
        done.push(format!("it has had {last} issuances"));
    }
    for name in &lacking {
        serials::write_name(batch, number, name)?;
        done.push(format!("it is found by {name} again"));
    }
    Ok((!done.is_empty()).then(|| done.join("; ")))
}

fn counts(batch: &Batch<'_>) -> Done {
    let wrong = totals::miscounted(batch)?;
    if wrong.is_empty() {
        return Ok(None);
    }
    let counted = totals::recount(batch)?;
    let all = totals::pairs(&counted, &counted);
    let names: Vec<&str> = all.iter().map(|(name, ..)| *name).collect();
    let numbers: Vec<String> = all.iter().map(|(_, number, _)| number.to_string()).collect();
    let set: Vec<String> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    batch.execute(
        &format!(
            "-- mend.counts
            INSERT INTO ledger_counts (row, {}) VALUES (1, {}) ON CONFLICT (row) DO UPDATE SET {}",
            names.join(", "),
            numbers.join(", "),
            set.join(", ")
        ),
        [],
    )?;
    Ok(Some("counted anew".to_owned()))
}

fn external_key_counts(batch: &Batch<'_>) -> Done {
    let mut mended = 0;
    loop {
        let wrong = totals::external_key_counts(batch)?;
        if wrong.is_empty() {
            break;
        }
        for (kid, _, counted) in wrong {
            batch
                .prepare_cached("-- mend.external_key\nUPDATE external_account_keys SET accounts = ?2 WHERE kid = ?1")?
                .execute(params![kid, counted])?;
            mended += 1;
        }
    }
    Ok((mended > 0).then(|| format!("accounts of {mended} keys counted anew")))
}

fn orphans(batch: &Batch<'_>) -> Done {
    let mut gone = 0;
    for table in totals::FINDERS {
        gone += batch.execute(
            &format!("-- mend.orphans\nDELETE FROM {table} WHERE serial NOT IN (SELECT row FROM serials)"),
            [],
        )?;
    }
    Ok((gone > 0).then(|| format!("{gone} rows that found nothing are gone")))
}

/// A serial with its order, as far as mending looks at them.
struct Issued {
    row: i64,
    status: SerialStatus,
    order_row: i64,
    current: bool,
    attached: bool,
    given_up: bool,
    good: Option<i64>,
    stored: Option<i64>,
    certificate: bool,
    ct: bool,
}

fn issued(connection: &Connection, serial: Serial) -> Step<Option<Issued>> {
    Ok(connection
        .prepare_cached(
            "-- mend.serial
            SELECT s.row, s.status, o.row, o.outcome IS NULL AND o.issuances = s.number, o.serial IS s.serial,
                s.given_up, s.good, s.stored, EXISTS (SELECT 1 FROM certificates c WHERE c.serial = s.row), s.ct
            FROM serials s JOIN orders o ON o.row = s.order_row WHERE s.serial = ?1",
        )?
        .query_row([Col(serial)], |row| {
            Ok(Issued {
                row: row.get(0)?,
                status: col(row, 1)?,
                order_row: row.get(2)?,
                current: row.get(3)?,
                attached: row.get(4)?,
                given_up: row.get(5)?,
                good: row.get(6)?,
                stored: row.get(7)?,
                certificate: row.get(8)?,
                ct: row.get(9)?,
            })
        })
        .optional()?)
}

fn end_with(batch: &Batch<'_>, serial: Serial) -> Done {
    let Some(found) = issued(batch, serial)? else { return Ok(None) };
    let Some(stored) = found.stored.filter(|_| found.certificate && found.current) else { return Ok(None) };
    if found.status != SerialStatus::Good {
        return Ok(None);
    }
    batch
        .prepare_cached(
            "-- mend.end_with\nUPDATE orders SET outcome = 'valid', ended = ?2, serial = ?3 WHERE row = ?1",
        )?
        .execute(params![found.order_row, stored, Col(serial)])?;
    batch.count(|tally| tally.valid += 1);
    Ok(Some(format!("its order is valid with serial {serial}")))
}

fn supersede(batch: &Batch<'_>, serial: Serial, now: Timestamp) -> Done {
    let Some(found) = issued(batch, serial)? else { return Ok(None) };
    if found.attached || found.current || !found.certificate || found.status == SerialStatus::Revoked {
        return Ok(None);
    }
    serials::write_revocation(batch, found.row, (Reason::Superseded, now, "cairn"), now)?;
    serials::count_revoked(batch, found.status, found.given_up);
    Ok(Some(format!("{serial} is revoked (superseded)")))
}

fn good(batch: &Batch<'_>, serial: Serial, at: Timestamp) -> Done {
    let Some(found) = issued(batch, serial)? else { return Ok(None) };
    if found.good.is_some() || found.status == SerialStatus::Revoked {
        return Ok(None);
    }
    batch
        .prepare_cached("-- mend.good\nUPDATE serials SET status = 'good', good = ?2 WHERE row = ?1")?
        .execute(params![found.row, Col(at)])?;
    if found.status == SerialStatus::Wait {
        batch.count(|tally| {
            tally.wait -= 1;
            tally.good += 1;
        });
    }
    Ok(Some(format!("it is good since {at}, as its line in the audit log says")))
}

fn revoke(batch: &Batch<'_>, revocation: &Revocation, now: Timestamp) -> Done {
    let Some(found) = issued(batch, revocation.serial)? else { return Ok(None) };
    let whole = batch
        .prepare_cached(
            "-- mend.revocation.look
            SELECT 1 FROM serials WHERE row = ?1 AND status = 'revoked' AND revoked IS NOT NULL AND reason IS NOT NULL
                AND revoked_by IS NOT NULL",
        )?
        .exists([found.row])?;
    let Revocation { serial, reason, revoked, by } = revocation;
    if whole {
        // Only a compromise that came second changes anything.
        let upgraded = *reason == Reason::KeyCompromise && revocations::upgrade(batch, *serial, by, now)?;
        return Ok(upgraded.then(|| format!("the revocation of {serial} has the reason {reason}")));
    }
    serials::write_revocation(batch, found.row, (*reason, *revoked, by), now)?;
    if found.status != SerialStatus::Revoked {
        serials::count_revoked(batch, found.status, found.given_up);
    }
    Ok(Some(format!("{serial} is revoked ({reason})")))
}

/// Stored where it is not: an order's own stays its own; one that is nobody's is revoked by what follows.
fn certificate(batch: &Batch<'_>, serial: Serial, der: &[u8], at: Timestamp) -> Done {
    let Some(found) = issued(batch, serial)? else { return Ok(None) };
    if found.certificate && found.stored.is_some() {
        return Ok(None);
    }
    batch
        .prepare_cached("-- mend.certificate\nINSERT OR IGNORE INTO certificates (serial, der) VALUES (?1, ?2)")?
        .execute(params![found.row, der])?;
    let waits = found.status == SerialStatus::Wait && !found.ct;
    batch
        .prepare_cached(
            "-- mend.certificate.stored
            UPDATE serials SET stored = coalesce(stored, ?2), good = CASE WHEN ?3 THEN coalesce(good, ?2) ELSE good END,
                status = CASE WHEN ?3 THEN 'good' ELSE status END
            WHERE row = ?1",
        )?
        .execute(params![found.row, Col(at), waits])?;
    if waits {
        batch.count(|tally| {
            tally.wait -= 1;
            tally.good += 1;
        });
    }
    Ok(Some(format!("the certificate {serial} is stored again, as it stands in the audit log")))
}

fn replacement(batch: &Batch<'_>, serial: Serial, order: OrderId) -> Done {
    let changed = batch
        .prepare_cached(
            "-- mend.replacement
            INSERT INTO replacements (serial, order_id) SELECT row, ?2 FROM serials WHERE serial = ?1
            ON CONFLICT (serial) DO UPDATE SET order_id = excluded.order_id WHERE order_id <> excluded.order_id",
        )?
        .execute(params![Col(serial), Col(order)])?;
    Ok((changed > 0).then(|| format!("it has the place of the certificate {serial}")))
}
