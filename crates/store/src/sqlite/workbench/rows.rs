//! An active order as a row: its document, and the place where it stands.

use ca::order::{Order, Outcome, Place, Progress, Stage};
use ca::ports::{ActiveOrder, Claimed, Lease, Standing};
use ca::{AccountId, InstanceId, LeaseToken, OrderCursor, OrderId};
use pki::{Sha256, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::queues::Effects;
use super::sweep::behind;
use super::unreadable;
use crate::sqlite::columns::{Col, col, document, json, maybe, place};
use crate::sqlite::failure::{Failure, Step};
use crate::sqlite::writer::Batch;

/// A row that a step has loaded.
#[derive(Debug)]
pub(super) struct Active {
    row: i64,
    pub(super) order: Order,
    pub(super) place: Option<PlaceName>,
    pub(super) token: Option<LeaseToken>,
    claims: u32,
    /// The stage in which the claims were counted.
    stage: Stage,
}

/// What stands in the column `place`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlaceName {
    Queue,
    Lease,
    Park,
    Client,
    PendingDone,
}

impl PlaceName {
    const ALL: [Self; 5] = [Self::Queue, Self::Lease, Self::Park, Self::Client, Self::PendingDone];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Lease => "lease",
            Self::Park => "park",
            Self::Client => "client",
            Self::PendingDone => "pending-done",
        }
    }

    pub(super) fn of(text: Option<&str>) -> Step<Option<Self>> {
        let Some(text) = text else { return Ok(None) };
        let found = Self::ALL.into_iter().find(|one| one.name() == text);
        found.map(Some).ok_or_else(|| Failure::corrupt("active_orders.place", text))
    }
}

pub(super) fn load(connection: &Connection, id: OrderId) -> Step<Option<Active>> {
    let mut statement = connection.prepare_cached(
        "-- workbench.load\nSELECT row, document, place, lease_token, claims, stage FROM active_orders WHERE id = ?1",
    )?;
    let mut rows = statement.query([Col(id)])?;
    rows.next()?.map(active).transpose()
}

/// The row under this lease. One that can't be read is set aside: nobody holds it any more.
pub(super) fn held(batch: &Batch<'_>, lease: &Lease) -> Step<Option<Active>> {
    let mut statement = batch.prepare_cached(
        "-- workbench.held
        SELECT row, document, place, lease_token, claims, stage FROM active_orders
        WHERE id = ?1 AND place = 'lease' AND lease_token = ?2",
    )?;
    let mut rows = statement.query(params![Col(lease.order), Col(lease.token)])?;
    match rows.next()? {
        Some(row) => unreadable::or_set_aside(batch, row, active(row)),
        None => Ok(None),
    }
}

pub(super) fn active(row: &Row<'_>) -> Step<Active> {
    Ok(Active {
        row: row.get(0)?,
        order: json(row, 1)?,
        place: PlaceName::of(
            row.get_ref(2)?.as_str_or_null().map_err(|error| Failure::corrupt("active_orders.place", error))?,
        )?,
        token: maybe(row, 3)?,
        claims: row.get(4)?,
        stage: col(row, 5)?,
    })
}

/// The orders behind this one that stand nowhere, in the order of their ids.
pub(super) fn nowhere(batch: &Batch<'_>, after: Option<OrderId>, limit: u32) -> Step<Vec<Active>> {
    let mut statement = batch.prepare_cached(
        "-- workbench.sweep.nowhere
        SELECT row, document, place, lease_token, claims, stage FROM active_orders INDEXED BY active_orders_by_place
        WHERE place IS NULL AND unreadable IS NULL AND id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let mut rows = statement.query(params![behind(after), limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(unreadable::or_set_aside(batch, row, active(row))?);
    }
    Ok(found)
}

/// Where an order is put.
#[derive(Clone, Copy, Debug)]
struct Stand {
    name: PlaceName,
    turn: Option<i64>,
}

impl Stand {
    fn of(place: Place, order: &Order, effects: &mut Effects) -> Self {
        match place {
            Place::Queue => {
                let turn = effects.queue(order.stage());
                Self { name: PlaceName::Queue, turn: Some(turn) }
            }
            Place::Park { until } => Self { name: PlaceName::Park, turn: Some(until.millis()) },
            Place::Client => Self { name: PlaceName::Client, turn: None },
            Place::PendingDone => {
                let turn = match &order.progress {
                    Progress::Done { ended, .. } => Some(ended.millis()),
                    Progress::MakeChallenge | Progress::TestChallenge | Progress::Issue { .. } => None,
                };
                Self { name: PlaceName::PendingDone, turn }
            }
        }
    }
}

impl Active {
    /// Writes the order, and puts it where it belongs as it now is.
    pub(super) fn settle_down(&mut self, batch: &Batch<'_>, now: Timestamp, effects: &mut Effects) -> Step<()> {
        self.put(batch, self.order.place(now), now, effects)
    }

    /// Writes the order, and puts it into this place, without a lease.
    pub(super) fn put(&mut self, batch: &Batch<'_>, place: Place, now: Timestamp, effects: &mut Effects) -> Step<()> {
        let stand = Stand::of(place, &self.order, effects);
        effects.changed(self.order.id);
        let stage = self.order.stage();
        let written = document("active_orders.document", &self.order)?;
        if stage == self.stage {
            batch
                .prepare_cached(
                    "-- workbench.put
                    UPDATE active_orders SET document = ?2, place = ?3, turn = ?4, since = ?5, lease_token = NULL,
                        lease_holder = NULL
                    WHERE row = ?1",
                )?
                .execute(params![self.row, written, stand.name.name(), stand.turn, Col(now)])?;
        } else {
            self.claims = 0;
            self.stage = stage;
            batch
                .prepare_cached(
                    "-- workbench.put.stage
                    UPDATE active_orders SET document = ?2, place = ?3, turn = ?4, since = ?5, lease_token = NULL,
                        lease_holder = NULL, stage = ?6, claims = 0, lapsed = 0, deadline = ?7, outcome = ?8,
                        delivered = ?9
                    WHERE row = ?1",
                )?
                .execute(params![
                    self.row,
                    written,
                    stand.name.name(),
                    stand.turn,
                    Col(now),
                    Col(stage),
                    self.order.deadline().map(Col),
                    outcome(&self.order),
                    delivered(&self.order).map(Col),
                ])?;
        }
        self.place = Some(stand.name);
        self.token = None;
        Ok(())
    }

    /// Writes the order and leaves it where it stands. It has not changed its stage.
    pub(super) fn keep(&self, batch: &Batch<'_>, effects: &mut Effects) -> Step<()> {
        effects.changed(self.order.id);
        batch
            .prepare_cached("-- workbench.keep\nUPDATE active_orders SET document = ?2 WHERE row = ?1")?
            .execute(params![self.row, document("active_orders.document", &self.order)?])?;
        Ok(())
    }

    /// It was set aside, and can be read: where it belongs is found by the sweep, as for all that stand nowhere.
    pub(super) fn mark_readable(&self, batch: &Batch<'_>) -> Step<()> {
        batch
            .prepare_cached(
                "-- workbench.readable\nUPDATE active_orders SET unreadable = NULL, deadline = ?2 WHERE row = ?1",
            )?
            .execute(params![self.row, self.order.deadline().map(Col)])?;
        Ok(())
    }

    /// Marks the order as delivered: the first time counts.
    pub(super) fn mark_delivered(mut self, batch: &Batch<'_>, at: Timestamp, effects: &mut Effects) -> Step<()> {
        match &mut self.order.progress {
            Progress::Done { delivered: delivered @ None, .. } => *delivered = Some(at),
            Progress::Done { .. } | Progress::MakeChallenge | Progress::TestChallenge | Progress::Issue { .. } => {
                return Ok(());
            }
        }
        effects.changed(self.order.id);
        batch
            .prepare_cached(
                "-- workbench.delivered\nUPDATE active_orders SET document = ?2, delivered = ?3 WHERE row = ?1",
            )?
            .execute(params![self.row, document("active_orders.document", &self.order)?, Col(at)])?;
        Ok(())
    }

    /// Takes the order out of the active set.
    pub(super) fn remove(self, batch: &Batch<'_>, effects: &mut Effects) -> Step<()> {
        remove(batch, self.row, self.order.id, effects)
    }
}

/// Takes an order out of the active set.
pub(super) fn remove(batch: &Batch<'_>, row: i64, id: OrderId, effects: &mut Effects) -> Step<()> {
    batch.prepare_cached("-- workbench.remove\nDELETE FROM active_orders WHERE row = ?1")?.execute([row])?;
    effects.removed(id);
    Ok(())
}

const fn outcome(order: &Order) -> Option<&'static str> {
    match order.outcome() {
        Some(Outcome::Valid(_)) => Some("valid"),
        Some(Outcome::Invalid(_)) => Some("invalid"),
        None => None,
    }
}

const fn delivered(order: &Order) -> Option<Timestamp> {
    match &order.progress {
        Progress::Done { delivered, .. } => *delivered,
        Progress::MakeChallenge | Progress::TestChallenge | Progress::Issue { .. } => None,
    }
}

/// A lease to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewLease {
    pub(super) token: LeaseToken,
    pub(super) holder: InstanceId,
    pub(super) expires: Timestamp,
    pub(super) now: Timestamp,
}

/// Adds an order under a lease.
pub(super) fn insert(batch: &Batch<'_>, order: &Order, written: &str, lease: NewLease) -> Step<Lease> {
    batch
        .prepare_cached(
            "-- workbench.create
            INSERT INTO active_orders (id, account, stage, place, turn, since, claims, lease_token, lease_holder,
                deadline, outcome, delivered, document, created, likeness)
            VALUES (?1, ?2, ?3, 'lease', ?4, ?5, 1, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            Col(order.id),
            Col(order.account),
            Col(order.stage()),
            Col(lease.expires),
            Col(lease.now),
            Col(lease.token),
            Col(lease.holder),
            order.deadline().map(Col),
            outcome(order),
            delivered(order).map(Col),
            written,
            Col(order.created),
            order.likeness().map(Col),
        ])?;
    Ok(Lease { order: order.id, token: lease.token, expires: lease.expires, claims: 1, lapsed: 0 })
}

/// The newest order in `TestChallenge` that was asked for alike.
pub(super) fn alike(connection: &Connection, likeness: Sha256) -> Step<Option<OrderId>> {
    Ok(connection
        .prepare_cached(
            "-- workbench.alike
            SELECT id FROM active_orders INDEXED BY active_orders_alike
            WHERE likeness = ?1 AND stage = 'testchallenge' AND unreadable IS NULL ORDER BY row DESC LIMIT 1",
        )?
        .query_row([Col(likeness)], |row| col(row, 0))
        .optional()?)
}

/// Takes the oldest order of a queue and puts a lease on it.
pub(super) fn claim(batch: &Batch<'_>, stage: Stage, lease: NewLease) -> Step<Option<Claimed>> {
    let mut statement = batch.prepare_cached(
        "-- workbench.claim.look
        SELECT row, document, claims, lapsed FROM active_orders
        WHERE place = 'queue' AND stage = ?1 ORDER BY turn LIMIT 1",
    )?;
    loop {
        let mut rows = statement.query([Col(stage)])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        if let Some(claimed) = put_lease(batch, row, lease)? {
            return Ok(Some(claimed));
        }
    }
}

/// Takes the oldest order in `TestChallenge` of an account that is none of these, and puts a lease on it. It looks at
/// one order of each account at most, from a place in the order of accounts that is another each time.
pub(super) fn claim_test(batch: &Batch<'_>, but: &[AccountId], lease: NewLease) -> Step<Option<Claimed>> {
    let mut statement = batch.prepare_cached(
        "-- workbench.claim_test.look
        SELECT row, document, claims, lapsed, account FROM active_orders INDEXED BY active_orders_to_test
        WHERE place = 'queue' AND stage = 'testchallenge' AND account > ?1 ORDER BY account, turn LIMIT 1",
    )?;
    let start = lease.token.as_bytes().to_vec();
    for mut behind in [start, Vec::new()] {
        loop {
            let mut rows = statement.query([&behind])?;
            let Some(row) = rows.next()? else { break };
            let account: AccountId = col(row, 4)?;
            if but.contains(&account) {
                behind = account.as_bytes().to_vec();
            } else if let Some(claimed) = put_lease(batch, row, lease)? {
                return Ok(Some(claimed));
            }
        }
    }
    Ok(None)
}

/// `None`: it can't be read, and was set aside.
fn put_lease(batch: &Batch<'_>, row: &Row<'_>, lease: NewLease) -> Step<Option<Claimed>> {
    let number: i64 = row.get(0)?;
    let Some(order) = unreadable::or_set_aside(batch, row, json::<Order>(row, 1))? else { return Ok(None) };
    let (claims, lapsed) = (row.get::<_, u32>(2)?.saturating_add(1), row.get(3)?);
    batch
        .prepare_cached(
            "-- workbench.claim
            UPDATE active_orders SET place = 'lease', turn = ?2, since = ?3, claims = ?4, lease_token = ?5,
                lease_holder = ?6
            WHERE row = ?1",
        )?
        .execute(params![number, Col(lease.expires), Col(lease.now), claims, Col(lease.token), Col(lease.holder)])?;
    let lease = Lease { order: order.id, token: lease.token, expires: lease.expires, claims, lapsed };
    Ok(Some(Claimed { lease, order }))
}

/// Puts an order back on the queue of its stage, as it is. No worker did it: from under a lease, the claim does not
/// count as a try.
pub(super) fn requeue(
    batch: &Batch<'_>,
    row: i64,
    id: OrderId,
    stage: Stage,
    now: Timestamp,
    effects: &mut Effects,
) -> Step<()> {
    let turn = effects.queue(stage);
    effects.changed(id);
    batch
        .prepare_cached(
            "-- workbench.requeue
            UPDATE active_orders SET place = 'queue', turn = ?2, since = ?3, lease_token = NULL, lease_holder = NULL,
                lapsed = lapsed + (place = 'lease')
            WHERE row = ?1",
        )?
        .execute(params![row, turn, Col(now)])?;
    Ok(())
}

pub(super) const SHOWN: &str = "SELECT document, place, turn, lease_holder, claims, since FROM active_orders";

pub(super) fn show(row: &Row<'_>) -> Step<ActiveOrder> {
    let place: Option<String> = row.get(1)?;
    let turn = maybe(row, 2)?.unwrap_or_else(|| Timestamp::from_millis(0));
    let standing = match PlaceName::of(place.as_deref())? {
        None => Standing::Nowhere,
        Some(PlaceName::Queue) => Standing::Queue,
        Some(PlaceName::Lease) => Standing::Lease { expires: turn, holder: col(row, 3)? },
        Some(PlaceName::Park) => Standing::Park { until: turn },
        Some(PlaceName::Client) => Standing::Client,
        Some(PlaceName::PendingDone) => Standing::PendingDone,
    };
    Ok(ActiveOrder { order: json(row, 0)?, standing, claims: row.get(4)?, since: col(row, 5)? })
}

pub(super) fn read(connection: &Connection, id: OrderId) -> Step<Option<ActiveOrder>> {
    let mut statement = connection.prepare_cached(&format!("-- workbench.read\n{SHOWN} WHERE id = ?1"))?;
    let mut rows = statement.query([Col(id)])?;
    rows.next()?.map(show).transpose()
}

pub(super) fn list(
    connection: &Connection,
    stage: Option<Stage>,
    after: Option<OrderId>,
    limit: u32,
) -> Step<Vec<ActiveOrder>> {
    let of_stage = if stage.is_some() { "AND stage = ?2" } else { "AND ?2 IS NULL" };
    let mut statement = connection.prepare_cached(&format!(
        "-- workbench.list\n{SHOWN} WHERE id > ?1 AND unreadable IS NULL {of_stage} ORDER BY id"
    ))?;
    let rows = statement.query_map(params![behind(after), stage.map(Col)], |row| Ok(show(row).ok()))?;
    // One that can't be read is named by `unreadable`, once somebody has met it. It takes no other's room.
    Ok(rows.filter_map(Result::transpose).take(limit as usize).collect::<Result<_, _>>()?)
}

pub(super) fn of_account(
    connection: &Connection,
    account: AccountId,
    behind: Option<OrderCursor>,
    limit: u32,
) -> Step<Vec<Order>> {
    let mut statement = connection.prepare_cached(
        "-- workbench.orders_of
        SELECT document FROM active_orders INDEXED BY active_orders_of_account
        WHERE account = ?1 AND (created, id) < (?2, ?3) ORDER BY created DESC, id DESC",
    )?;
    let (created, order) = place(behind);
    let rows = statement.query_map(params![Col(account), created, order], |row| Ok(json(row, 0).ok()))?;
    // What can't be read takes no other's room: a page that is not full is the last one.
    Ok(rows.filter_map(Result::transpose).take(limit as usize).collect::<Result<_, _>>()?)
}

/// What stands beside the document of an active order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) stage: Stage,
    /// It was set aside.
    pub(super) unreadable: bool,
}

pub(super) fn known(connection: &Connection, id: OrderId) -> Step<Option<Known>> {
    let mut statement = connection
        .prepare_cached("-- workbench.known\nSELECT stage, unreadable IS NOT NULL FROM active_orders WHERE id = ?1")?;
    let mut rows = statement.query([Col(id)])?;
    let known = |row: &Row<'_>| Ok(Known { stage: col(row, 0)?, unreadable: row.get(1)? });
    rows.next()?.map(known).transpose()
}

/// It comes back from the ledger: what stands here makes room for it.
pub(super) fn replace(batch: &Batch<'_>, id: OrderId) -> Step<()> {
    batch.prepare_cached("-- workbench.replace\nDELETE FROM active_orders WHERE id = ?1")?.execute([Col(id)])?;
    Ok(())
}

/// Those that are not active, have not come to `Issue`, or were set aside.
pub(super) fn absent(connection: &Connection, orders: &[OrderId]) -> Step<Vec<OrderId>> {
    let mut absent = Vec::new();
    for id in orders {
        if known(connection, *id)?.is_none_or(|known| known.unreadable || known.stage < Stage::Issue) {
            absent.push(*id);
        }
    }
    Ok(absent)
}
