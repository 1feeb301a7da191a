//! What is restored from an audit log.

use ca::order::{Failure as Death, Order};
use ca::ports::{
    CrlGenerationId, KeyBlock, LineCounts, Recorded, RecoveryRecord, ResponderRecord, Restore, Restored, RestoredLine,
    RestoredSignature, Revocation, Revoked, SerialStatus, Settled,
};
use pki::{Reason, Serial, Sha256, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::{blocked_keys, crls, generations, issuance, orders, responders, revocation, serials, stops};
use crate::sqlite::columns::{Col, Json, col, document, json, packed};
use crate::sqlite::failure::Step;
use crate::sqlite::writer::Batch;

const BY: &str = Revocation::CAIRN;
const NOT_KNOWN: Sha256 = Sha256::from_bytes([0; 32]);

pub(super) fn recoveries(connection: &Connection) -> Step<Vec<RecoveryRecord>> {
    let mut statement =
        connection.prepare_cached("-- ledger.recoveries\nSELECT document FROM recoveries ORDER BY number")?;
    let rows = statement.query_map([], |row| json(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn open(connection: &Connection) -> Step<Option<RecoveryRecord>> {
    Ok(connection
        .prepare_cached("-- ledger.recovery\nSELECT document FROM recoveries WHERE ended IS NULL")?
        .query_row([], |row| row.get::<_, Json<RecoveryRecord>>(0))
        .optional()?
        .map(|document| document.0))
}

pub(super) fn begin(batch: &Batch<'_>, recovery: &RecoveryRecord) -> Step<RecoveryRecord> {
    if let Some(standing) = open(batch)? {
        return Ok(standing);
    }
    let last: u64 = batch
        .prepare_cached("-- ledger.begin_recovery.last\nSELECT coalesce(max(number), 0) FROM recoveries")?
        .query_row([], |row| col(row, 0))?;
    let begun = RecoveryRecord { number: last + 1, ..recovery.clone() };
    batch
        .prepare_cached(
            "-- ledger.begin_recovery\nINSERT INTO recoveries (number, from_instance, document) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![Col(begun.number), Col(begun.from), document("recoveries.document", &begun)?])?;
    Ok(begun)
}

fn write(batch: &Batch<'_>, recovery: &RecoveryRecord) -> Step<()> {
    batch
        .prepare_cached("-- ledger.recovery.write\nUPDATE recoveries SET document = ?2, ended = ?3 WHERE number = ?1")?
        .execute(params![
            Col(recovery.number),
            document("recoveries.document", recovery)?,
            recovery.ended.map(Timestamp::millis)
        ])?;
    Ok(())
}

pub(super) fn end(batch: &Batch<'_>, number: u64, at: Timestamp) -> Step<bool> {
    let Some(standing) = open(batch)?.filter(|standing| standing.number == number) else {
        return Ok(false);
    };
    write(batch, &RecoveryRecord { ended: Some(at), ..standing })?;
    Ok(true)
}

pub(super) fn abandon(batch: &Batch<'_>, number: u64) -> Step<bool> {
    let open = open(batch)?.filter(|open| open.number == number && open.restored.total() == 0);
    let Some(open) = open else { return Ok(false) };
    batch
        .prepare_cached("-- ledger.abandon_recovery\nDELETE FROM recoveries WHERE number = ?1")?
        .execute([Col(open.number)])?;
    Ok(true)
}

pub(super) fn restore(batch: &Batch<'_>, restore: &Restore) -> Step<Option<LineCounts>> {
    let Restore { from, lines, mark, at } = restore;
    let Some(recovery) = open(batch)?.filter(|recovery| recovery.from == *from) else {
        return Ok(None);
    };
    let restored = Restored { from: *from, at: *at };
    let mut counts = LineCounts::default();
    for line in lines {
        count(&mut counts, line, apply(batch, line, restored)?);
    }
    super::write_audit_mark(batch, *from, *mark)?;
    write(batch, &RecoveryRecord { restored: recovery.restored.plus(&counts), ..recovery })?;
    Ok(Some(counts))
}

fn count(counts: &mut LineCounts, line: &RestoredLine, is_new: bool) {
    let kind = match line {
        RestoredLine::Signature(signature) if signature.is_final => &mut counts.certificates,
        RestoredLine::Signature(_) => &mut counts.precertificates,
        RestoredLine::Revocation { .. } => &mut counts.revocations,
        RestoredLine::KeyBlock(_) => &mut counts.key_blocks,
        RestoredLine::Stop(_) | RestoredLine::Resume { .. } => &mut counts.stops,
        RestoredLine::CrlNumber { .. } => &mut counts.crl_numbers,
        RestoredLine::Authority { .. } | RestoredLine::Responder(_) => &mut counts.authorities,
    };
    *kind += u64::from(is_new);
}

/// Whether it was new.
fn apply(batch: &Batch<'_>, line: &RestoredLine, restored: Restored) -> Step<bool> {
    match line {
        RestoredLine::Signature(signature) => restore_signature(batch, signature, restored),
        RestoredLine::Revocation { revocation, issuer, not_after, crl_generation, order } => {
            match revocation::revoke(batch, revocation, restored.at)? {
                Revoked::Done => Ok(true),
                Revoked::Already(_) if revocation.reason == Reason::KeyCompromise => {
                    revocation::upgrade(batch, revocation.serial, &revocation.by, restored.at)
                }
                Revoked::Already(_) => Ok(false),
                Revoked::UnknownSerial => {
                    add_revoked(batch, revocation, (*issuer, *not_after, *crl_generation), order, restored)?;
                    Ok(true)
                }
            }
        }
        RestoredLine::KeyBlock(block) => block_key(batch, block, restored.at),
        RestoredLine::Stop(stop) => stops::restore(batch, stop),
        RestoredLine::Resume { number, since, at } => stops::restore_end(batch, *number, *since, *at),
        RestoredLine::CrlNumber { issuer, shard, number } => crls::raise_number(batch, (*issuer, *shard, *number)),
        RestoredLine::Authority { id, der } => super::add_authority(batch, *id, der),
        RestoredLine::Responder(responder) => restore_responder(batch, responder),
    }
}

/// Whether it was new.
fn restore_responder(batch: &Batch<'_>, responder: &ResponderRecord) -> Step<bool> {
    let known = responders::by_serial(batch, responder.serial)?;
    if known.is_none() {
        return responders::add(batch, responder);
    }
    let der = responder.certificate.as_deref().unwrap_or_default();
    Ok(known.is_some_and(|known| known.certificate.is_none()) && responders::store(batch, responder.serial, der)?)
}

/// Whether it was new.
fn restore_signature(batch: &Batch<'_>, signature: &RestoredSignature, restored: Restored) -> Step<bool> {
    let Some(state) = issuance::state(batch, signature.serial)? else {
        add_signed(batch, signature, restored)?;
        return Ok(true);
    };
    let at = signature.at;
    say_generation(batch, state.row, signature)?;
    let waited = issuance::mark_good_of(batch, signature.serial, &state, at)?;
    if !signature.is_final || state.stored {
        return Ok(waited && !signature.is_final);
    }
    store_certificate(batch, state.row, &signature.der)?;
    batch
        .prepare_cached(
            "-- ledger.restore.certificate
             UPDATE serials SET stored = max(?2, coalesce(good, begun)), unsettled = ?3 WHERE row = ?1",
        )?
        .execute(params![state.row, Col(at), if state.status == SerialStatus::Revoked { 2 } else { 1 }])?;
    Ok(true)
}

/// Of what was restored before its certificate was known, the generation of CRL shards was not.
fn say_generation(batch: &Batch<'_>, row: i64, signature: &RestoredSignature) -> Step<()> {
    let said = batch
        .prepare_cached(
            "-- ledger.restore.crl_generation
            UPDATE serials SET crl_generation = ?2
            WHERE row = ?1 AND restored IS NOT NULL AND crl_generation <> ?2",
        )?
        .execute(params![row, signature.crl_generation.0])?;
    if said == 1 {
        generations::lasts_until(batch, signature.crl_generation, signature.not_after)?;
    }
    Ok(())
}

fn store_certificate(batch: &Batch<'_>, row: i64, der: &[u8]) -> Step<()> {
    batch
        .prepare_cached("-- ledger.restore.certificate.der\nINSERT INTO certificates (serial, der) VALUES (?1, ?2)")?
        .execute(params![row, der])?;
    Ok(())
}

/// The row of an order, which the ledger may hear of for the first time, with the next number, and whether it has
/// ended.
fn next_number(batch: &Batch<'_>, order: &Order) -> Step<(i64, u32, bool)> {
    let known = batch
        .prepare_cached(
            "-- ledger.restore.order\nSELECT row, issuances, outcome IS NOT NULL FROM orders WHERE id = ?1",
        )?
        .query_row([Col(order.id)], |row| Ok((row.get(0)?, row.get::<_, u32>(1)?, row.get(2)?)))
        .optional()?;
    let (row, last, ended) = match known {
        Some(known) => known,
        None => (orders::hear_of(batch, order, &packed("order_documents.packed", order)?, 0)?, 0, false),
    };
    batch
        .prepare_cached("-- ledger.restore.number\nUPDATE orders SET issuances = ?2 WHERE row = ?1")?
        .execute(params![row, last + 1])?;
    if !ended {
        serials::give_up(batch, row, last)?;
    }
    Ok((row, last + 1, ended))
}

fn add_signed(batch: &Batch<'_>, signature: &RestoredSignature, restored: Restored) -> Step<()> {
    let (order_row, number, ended) = next_number(batch, &signature.order)?;
    // As the ledger has it, if it has heard of the order before.
    let profile = match orders::by_id(batch, signature.order.id)? {
        Some(known) => known.order.profile,
        None => signature.order.profile.clone(),
    };
    let at = Col(signature.at);
    batch
        .prepare_cached(
            "-- ledger.restore.signature
            INSERT INTO serials (serial, tail, order_row, number, account, status, given_up, ct, issuer, profile,
                profile_hash, spki_hash, begun, good, stored, not_after, restored, restored_from, unsettled,
                crl_generation)
            SELECT ?1, ?2, ?3, ?4, account, 'good', ?5, ?6, ?7, ?16, ?8, ?9, ?10, ?10, ?11, ?12,
                ?13, ?14, 1, ?15
            FROM orders WHERE row = ?3",
        )?
        .execute(params![
            Col(signature.serial),
            serials::tail(signature.serial),
            order_row,
            number,
            ended,
            signature.ct,
            Col(signature.issuer),
            Col(NOT_KNOWN),
            Col(signature.spki_hash),
            at,
            signature.is_final.then_some(at),
            Col(signature.not_after),
            Col(restored.at),
            Col(restored.from),
            signature.crl_generation.0,
            profile,
        ])?;
    let row = batch.last_insert_rowid();
    generations::lasts_until(batch, signature.crl_generation, signature.not_after)?;
    add_planned(batch, row, &signature.der)?;
    blocked_keys::open_again(batch, signature.spki_hash)?;
    for name in &signature.names {
        serials::write_name(batch, row, &name.to_string())?;
    }
    if signature.is_final {
        store_certificate(batch, row, &signature.der)?;
    }
    batch.count(|tally| {
        tally.good += 1;
        tally.abandoned += i64::from(ended);
    });
    batch.dated(signature.at, Recorded::Issuance(signature.serial));
    Ok(())
}

/// The bytes that were signed stand where those stand that were to be signed.
fn add_planned(batch: &Batch<'_>, row: i64, der: &[u8]) -> Step<()> {
    batch
        .prepare_cached("-- ledger.restore.planned\nINSERT INTO linting_certificates (serial, der) VALUES (?1, ?2)")?
        .execute(params![row, der])?;
    Ok(())
}

/// A serial of which nothing is known but that it was revoked.
fn add_revoked(
    batch: &Batch<'_>,
    revocation: &Revocation,
    (issuer, not_after, crl_generation): (Sha256, Timestamp, CrlGenerationId),
    order: &Order,
    restored: Restored,
) -> Step<()> {
    let (order_row, number, ended) = next_number(batch, order)?;
    batch
        .prepare_cached(
            "-- ledger.restore.revoked
            INSERT INTO serials (serial, tail, order_row, number, account, status, given_up, ct, issuer, profile,
                profile_hash, spki_hash, begun, not_after, revoked, reason, revoked_by, revoked_at, restored,
                restored_from, unsettled, crl_generation)
            VALUES (?1, ?2, ?3, ?4, ?5, 'revoked', ?6, 1, ?7, ?8, ?9, ?9, ?10, ?11, ?10, ?12, ?13, ?16, ?14, ?15, 1,
                ?17)",
        )?
        .execute(params![
            Col(revocation.serial),
            serials::tail(revocation.serial),
            order_row,
            number,
            Col(order.account),
            ended,
            Col(issuer),
            order.profile,
            Col(NOT_KNOWN),
            Col(revocation.revoked),
            Col(not_after),
            Col(revocation.reason),
            revocation.by,
            Col(restored.at),
            Col(restored.from),
            Col(batch.written(restored.at)),
            crl_generation.0,
        ])?;
    add_planned(batch, batch.last_insert_rowid(), &[])?;
    generations::lasts_until(batch, crl_generation, not_after)?;
    batch.count(|tally| tally.revoked += 1);
    Ok(())
}

fn block_key(batch: &Batch<'_>, block: &KeyBlock, written: Timestamp) -> Step<bool> {
    let of_key: Vec<(i64, SerialStatus, bool)> = batch
        .prepare_cached(
            "-- ledger.restore.block
            SELECT row, status, given_up FROM serials INDEXED BY serials_by_key_unrevoked
            WHERE spki_hash = ?1 AND status <> 'revoked' ORDER BY row",
        )?
        .query_map([Col(block.spki_hash)], |row| Ok((row.get(0)?, col(row, 1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (row, status, given_up) in of_key {
        let revoked = block.at.whole_second();
        serials::write_revocation(batch, row, (Reason::KeyCompromise, revoked, &block.by), written)?;
        serials::count_revoked(batch, status, given_up);
    }
    blocked_keys::end_account(batch, block.spki_hash)?;
    blocked_keys::add(batch, block)
}

/// A serial whose order was left open.
struct Open {
    row: i64,
    order_row: i64,
    status: SerialStatus,
    given_up: bool,
    stored: bool,
    number: u32,
    order_open: bool,
    /// The number of its order's last issuance.
    last: u32,
    attached: bool,
    unsettled: bool,
    key_blocked: bool,
}

fn look(connection: &Connection, serial: Serial) -> Step<Option<Open>> {
    Ok(connection
        .prepare_cached(
            "-- ledger.settle_restored.look
            SELECT s.row, o.row, s.status, s.given_up, s.stored IS NOT NULL, s.number,
                o.outcome IS NULL, o.issuances, o.serial IS s.serial, s.unsettled > 0,
                EXISTS (SELECT 1 FROM blocked_keys b WHERE b.spki_hash = s.spki_hash)
            FROM serials s JOIN orders o ON o.row = s.order_row WHERE s.serial = ?1",
        )?
        .query_row([Col(serial)], |row| {
            Ok(Open {
                row: row.get(0)?,
                order_row: row.get(1)?,
                status: col(row, 2)?,
                given_up: row.get(3)?,
                stored: row.get(4)?,
                number: row.get(5)?,
                order_open: row.get(6)?,
                last: row.get(7)?,
                attached: row.get(8)?,
                unsettled: row.get(9)?,
                key_blocked: row.get(10)?,
            })
        })
        .optional()?)
}

/// The serial whose certificate is its order's: the last one that has one and was not overtaken. Issuances that the log
/// alone shows have the order of their lines, so that their numbers say little; a later one that the ledger knows of
/// itself excludes those before it.
fn winner(connection: &Connection, order_row: i64) -> Step<Option<i64>> {
    Ok(connection
        .prepare_cached(
            "-- ledger.settle_restored.winner
            SELECT s.row FROM serials s
            WHERE s.order_row = ?1 AND s.stored IS NOT NULL AND s.unsettled = 1
                AND NOT (s.reason IS ?2 AND s.revoked_by IS ?3)
                AND NOT EXISTS (SELECT 1 FROM serials later
                    WHERE later.order_row = ?1 AND later.number > s.number AND later.restored IS NULL)
            ORDER BY s.number DESC LIMIT 1",
        )?
        .query_row(params![order_row, Col(Reason::Superseded), BY], |row| row.get(0))
        .optional()?)
}

/// Makes it its order's last issuance; the one that was takes its number.
fn make_last(batch: &Batch<'_>, open: &mut Open) -> Step<()> {
    if open.number == open.last {
        return Ok(());
    }
    for (of, number) in [(open.number, open.last + 1), (open.last, open.number), (open.last + 1, open.last)] {
        batch
            .prepare_cached(
                "-- ledger.settle_restored.number\nUPDATE serials SET number = ?3 WHERE order_row = ?1 AND number = ?2",
            )?
            .execute(params![open.order_row, of, number])?;
    }
    serials::give_up(batch, open.order_row, open.number)?;
    batch
        .prepare_cached("-- ledger.settle_restored.last\nUPDATE serials SET given_up = 0 WHERE row = ?1")?
        .execute([open.row])?;
    let was_abandoned = open.given_up && open.status != SerialStatus::Revoked;
    batch.count(|tally| tally.abandoned -= i64::from(was_abandoned));
    (open.number, open.given_up) = (open.last, false);
    Ok(())
}

pub(super) fn settle(
    batch: &Batch<'_>,
    serial: Serial,
    given_up: Option<&Death>,
    at: Timestamp,
) -> Step<Option<Settled>> {
    let Some(mut open) = look(batch, serial)? else {
        return Ok(None);
    };
    let winner = if open.order_open && open.unsettled { winner(batch, open.order_row)? } else { None };
    let attach = winner == Some(open.row);
    let settled = match open.stored {
        true if open.attached || attach => Settled::Attached,
        true => Settled::Detached,
        false => Settled::Left,
    };
    if !open.unsettled {
        return Ok(Some(settled));
    }
    if attach {
        make_last(batch, &mut open)?;
        batch
            .prepare_cached(
                "-- ledger.settle_restored.valid
                UPDATE orders SET outcome = 'valid', ended = (SELECT stored FROM serials WHERE row = ?2), serial = ?3
                WHERE row = ?1",
            )?
            .execute(params![open.order_row, open.row, Col(serial)])?;
        batch.count(|tally| tally.valid += 1);
    } else if winner.is_none()
        && open.order_open
        && open.number == open.last
        && let Some(failure) = given_up
    {
        orders::end_invalid(batch, open.order_row, open.number, failure, at)?;
        open.given_up = true;
    }
    revoke_settled(batch, &open, settled, at)?;
    batch
        .prepare_cached("-- ledger.settle_restored\nUPDATE serials SET unsettled = 0 WHERE row = ?1")?
        .execute([open.row])?;
    Ok(Some(settled))
}

fn revoke_settled(batch: &Batch<'_>, open: &Open, settled: Settled, at: Timestamp) -> Step<()> {
    let reason = match (open.key_blocked, settled) {
        (true, _) => Reason::KeyCompromise,
        (false, Settled::Detached) => Reason::Superseded,
        (false, Settled::Attached | Settled::Left) => return Ok(()),
    };
    match open.status {
        SerialStatus::Wait | SerialStatus::Good => {
            serials::write_revocation(batch, open.row, (reason, at.whole_second(), BY), at)?;
            serials::count_revoked(batch, open.status, open.given_up);
        }
        SerialStatus::Revoked => {}
    }
    Ok(())
}
