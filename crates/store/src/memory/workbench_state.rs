//! What the workbench in memory holds: orders, the places where they stand, and the queues.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ca::authorization::EndedAuthorization;
use ca::clock::BEHIND_MAX;
use ca::order::{Order, Outcome, Place, Progress, Stage};
use ca::ports::{
    ActiveOrder, Advance, Claimed, Fenced, Lease, LeaseTerms, NonceUse, Retention, StageCount, Standing, SweepPage,
};
use ca::{AccountId, InstanceId, LeaseToken, OrderId};
use pki::{Sha256, Timestamp};

/// So many nonces are remembered, the latest ones.
const NONCES_REMEMBERED: usize = 1 << 16;

/// All that a workbench holds.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) orders: BTreeMap<OrderId, Entry>,
    /// By stage and the count of arrivals, so that the first is the oldest.
    queues: BTreeMap<(Stage, u64), OrderId>,
    arrivals: u64,
    made: u64,
    nonces: BTreeMap<String, NonceUse>,
    nonces_by_age: VecDeque<String>,
    /// Whom to wake when the step is done.
    pub(super) queued: Vec<Stage>,
    pub(super) changed: Vec<OrderId>,
}

/// An active order.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) order: Order,
    standing: Standing,
    token: Option<LeaseToken>,
    /// Its arrival, while it is in a queue.
    arrival: Option<u64>,
    claims: u32,
    lapsed: u32,
    since: Timestamp,
    /// Counts the orders made.
    made: u64,
}

impl Entry {
    pub(super) fn show(&self) -> ActiveOrder {
        ActiveOrder { order: self.order.clone(), standing: self.standing, claims: self.claims, since: self.since }
    }

    /// Keeps when it came to its place, if no other was there before.
    fn keep_if_oldest(&self, oldest: &mut Option<Timestamp>) {
        *oldest = Some(oldest.map_or(self.since, |before| before.min(self.since)));
    }

    const fn is_leased(&self) -> bool {
        matches!(self.standing, Standing::Lease { .. })
    }
}

impl State {
    /// A copy of orders, places and queues.
    pub(super) fn image(&self) -> Self {
        let Self { orders, queues, arrivals, made, .. } = self;
        Self { orders: orders.clone(), queues: queues.clone(), arrivals: *arrivals, made: *made, ..Self::default() }
    }

    /// Orders, places and queues are those of a copy. Whoever waits for one of them looks again.
    pub(super) fn restore(&mut self, image: &Self) {
        let before = std::mem::replace(self, image.image());
        self.nonces = before.nonces;
        self.nonces_by_age = before.nonces_by_age;
        self.changed = before.orders.into_keys().chain(self.orders.keys().copied()).collect();
        self.queued = self.queues.keys().map(|(stage, _)| *stage).collect();
    }

    /// Orders whose place in the queues doesn't fit what they say of their place.
    pub(super) fn misplaced(&self) -> Vec<OrderId> {
        let queued = |id: &OrderId, entry: &Entry| {
            let places = self.queues.iter().filter(|(_, queued)| *queued == id);
            places.map(|((stage, arrival), _)| (*stage, *arrival)).collect::<Vec<_>>()
                == entry.arrival.map(|arrival| (entry.order.stage(), arrival)).into_iter().collect::<Vec<_>>()
        };
        let fits = |id: &OrderId, entry: &Entry| {
            queued(id, entry)
                && entry.arrival.is_some() == (entry.standing == Standing::Queue)
                && entry.token.is_some() == entry.is_leased()
        };
        let of_active = self.orders.iter().filter(|(id, entry)| !fits(id, entry)).map(|(id, _)| *id);
        of_active.chain(self.queues.values().filter(|id| !self.orders.contains_key(id)).copied()).collect()
    }

    pub(super) fn create(&mut self, order: Order, token: LeaseToken, terms: LeaseTerms, now: Timestamp) -> Lease {
        let id = order.id;
        let standing = Standing::Nowhere;
        self.made += 1;
        let made = self.made;
        self.orders
            .insert(id, Entry { order, standing, token: None, arrival: None, claims: 0, lapsed: 0, since: now, made });
        self.changed.push(id);
        self.lease(id, token, terms, now)
    }

    /// Whether an order has come to `Issue`.
    pub(super) fn is_in_issuance(&self, id: &OrderId) -> bool {
        self.orders.get(id).is_some_and(|entry| entry.order.stage() >= Stage::Issue)
    }

    /// Takes out what is here of an order that comes back from the ledger, if it is from before its issuance.
    pub(super) fn make_way(&mut self, order: &Order) {
        if self.orders.contains_key(&order.id) && !self.is_in_issuance(&order.id) {
            let nowhere = Timestamp::from_millis(0);
            self.stand(order.id, Standing::Nowhere, nowhere);
            self.orders.remove(&order.id);
        }
    }

    fn lease(&mut self, id: OrderId, token: LeaseToken, terms: LeaseTerms, now: Timestamp) -> Lease {
        let expires = now.plus(terms.length);
        self.stand(id, Standing::Lease { expires, holder: terms.holder }, now);
        let (claims, lapsed) = self.orders.get_mut(&id).map_or((0, 0), |entry| {
            entry.token = Some(token);
            entry.claims += 1;
            (entry.claims, entry.lapsed)
        });
        Lease { order: id, token, expires, claims, lapsed }
    }

    /// The one way from place to place: an order is in exactly one at any time.
    fn stand(&mut self, id: OrderId, standing: Standing, now: Timestamp) {
        let Some(entry) = self.orders.get_mut(&id) else {
            return;
        };
        let stage = entry.order.stage();
        if let Some(arrival) = entry.arrival.take() {
            self.queues.retain(|(_, at), _| *at != arrival);
        }
        entry.token = None;
        entry.standing = standing;
        entry.since = now;
        if standing == Standing::Queue {
            self.arrivals += 1;
            entry.arrival = Some(self.arrivals);
            self.queues.insert((stage, self.arrivals), id);
            self.queued.push(stage);
        }
    }

    /// Back on the queue of its stage, from where a lease or park has run out.
    fn requeue(&mut self, id: OrderId, now: Timestamp) {
        if let Some(entry) = self.orders.get_mut(&id).filter(|entry| entry.is_leased()) {
            entry.lapsed += 1;
        }
        self.stand(id, Standing::Queue, now);
    }

    /// Takes an order to the place that follows from it as it now is.
    fn settle_down(&mut self, id: OrderId, now: Timestamp) {
        if let Some(entry) = self.orders.get(&id) {
            let standing = match entry.order.place(now) {
                Place::Queue => Standing::Queue,
                Place::Park { until } => Standing::Park { until },
                Place::Client => Standing::Client,
                Place::PendingDone => Standing::PendingDone,
            };
            self.stand(id, standing, now);
        }
    }

    /// Changes an order; counts its claims afresh if that took it to another stage. Answers what the step answers, and
    /// whether the order has changed.
    pub(super) fn change<T>(&mut self, id: OrderId, step: impl FnOnce(&mut Order) -> T) -> Option<(T, bool)> {
        let entry = self.orders.get_mut(&id)?;
        let before = entry.order.clone();
        let answer = step(&mut entry.order);
        if entry.order.stage() != before.stage() {
            (entry.claims, entry.lapsed) = (0, 0);
        }
        let changed = entry.order != before;
        if changed {
            self.changed.push(id);
        }
        Some((answer, changed))
    }

    /// A client's step or the ledger's word, on an order that somebody may hold. An order under a lease stays there,
    /// unless it `takes` the lease away.
    pub(super) fn move_on(&mut self, id: OrderId, changed: bool, takes: bool, now: Timestamp) -> Option<Order> {
        let entry = self.orders.get(&id)?;
        if changed && (takes || !entry.is_leased()) {
            // It keeps its turn where it goes on standing in the same queue.
            let stays = entry.standing == Standing::Queue && !takes && entry.order.place(now) == Place::Queue;
            if !stays {
                self.settle_down(id, now);
            }
        }
        self.orders.get(&id).map(|entry| entry.order.clone())
    }

    pub(super) fn claim(
        &mut self,
        stage: Stage,
        but: &[AccountId],
        token: LeaseToken,
        terms: LeaseTerms,
        now: Timestamp,
    ) -> Option<Claimed> {
        let passed = |id: &OrderId| self.orders.get(id).is_some_and(|entry| but.contains(&entry.order.account));
        let (_, id) = self.queues.range((stage, 0)..=(stage, u64::MAX)).find(|(_, id)| !passed(id))?;
        let lease = self.lease(*id, token, terms, now);
        let order = self.orders.get(&lease.order)?.order.clone();
        Some(Claimed { lease, order })
    }

    fn holds(&self, lease: &Lease) -> Result<(), Fenced> {
        match self.orders.get(&lease.order) {
            Some(entry) if entry.token == Some(lease.token) => Ok(()),
            Some(_) | None => Err(Fenced::Stale),
        }
    }

    pub(super) fn advance(&mut self, lease: &Lease, advance: Advance, now: Timestamp) -> Result<Order, Fenced> {
        self.holds(lease)?;
        self.change(lease.order, |order| match advance {
            Advance::Made(authorizations) => order.make(authorizations),
            Advance::Tested(results) => order.tested(&results, now),
            Advance::Finished { outcome, ended } => {
                order.finish(outcome, ended);
            }
        });
        self.settle_down(lease.order, now);
        self.orders.get(&lease.order).map(|entry| entry.order.clone()).ok_or(Fenced::Stale)
    }

    pub(super) fn park(&mut self, lease: &Lease, pause: Duration, now: Timestamp) -> Result<(), Fenced> {
        self.holds(lease)?;
        let until = now.plus(pause);
        self.change(lease.order, |order| order.delay(until));
        let standing = if pause.is_zero() { Standing::Queue } else { Standing::Park { until } };
        self.stand(lease.order, standing, now);
        Ok(())
    }

    pub(super) fn settle(
        &mut self,
        id: OrderId,
        ended: &[EndedAuthorization],
        outcome: Option<(Outcome, Timestamp)>,
        now: Timestamp,
    ) -> Option<Order> {
        let ((), changed) = self.change(id, |order| {
            order.copy_back(ended);
            if let Some((outcome, ended)) = outcome {
                order.settle(outcome, ended);
            }
        })?;
        self.move_on(id, changed, true, now)
    }

    pub(super) fn sweep(
        &mut self,
        after: Option<OrderId>,
        limit: u32,
        retention: Retention,
        now: Timestamp,
    ) -> SweepPage {
        let limit = (limit as usize).max(1);
        let behind = self.orders.keys().filter(|id| after.is_none_or(|after| **id > after));
        let mut ids: Vec<OrderId> = behind.take(limit + 1).copied().collect();
        let more = ids.len() > limit;
        ids.truncate(limit);
        let mut page = SweepPage { next: ids.last().copied().filter(|_| more), ..SweepPage::default() };
        for id in ids {
            self.sweep_one(id, retention, now, &mut page);
        }
        self.retire_oldest(limit, retention, &mut page);
        page
    }

    fn sweep_one(&mut self, id: OrderId, retention: Retention, now: Timestamp, page: &mut SweepPage) {
        let Some(entry) = self.orders.get(&id) else {
            return;
        };
        let stage = entry.order.stage();
        if is_over(&entry.order, retention, now) {
            self.orders.remove(&id);
            self.changed.push(id);
            page.retired += 1;
            return;
        }
        if entry.order.deadline().is_some_and(|deadline| now > deadline) {
            page.overdue.push(entry.order.clone());
            return;
        }
        match entry.standing {
            Standing::Lease { expires: until, .. } | Standing::Park { until }
                if until <= now || entry.since.min(until).since(now) > BEHIND_MAX =>
            {
                self.requeue(id, now);
            }
            Standing::Nowhere => self.settle_down(id, now),
            Standing::Lease { .. }
            | Standing::Park { .. }
            | Standing::Queue
            | Standing::Client
            | Standing::PendingDone => {
                return;
            }
        }
        if self.orders.get(&id).is_some_and(|entry| entry.standing == Standing::Queue) {
            page.requeued.push((id, stage));
        }
    }

    fn retire_oldest(&mut self, limit: usize, retention: Retention, page: &mut SweepPage) {
        let mut ended: Vec<(Timestamp, OrderId)> =
            self.orders.iter().filter_map(|(id, entry)| Some((ended_at(&entry.order)?, *id))).collect();
        let excess = ended.len().saturating_sub(usize::try_from(retention.number_max).unwrap_or(usize::MAX));
        ended.sort_unstable();
        for (_, id) in ended.into_iter().take(excess.min(limit)) {
            self.orders.remove(&id);
            self.changed.push(id);
            page.retired += 1;
        }
    }

    pub(super) fn free_leases(&mut self, of: InstanceId, now: Timestamp) -> u64 {
        let held: Vec<OrderId> = self
            .orders
            .iter()
            .filter(|(_, entry)| matches!(entry.standing, Standing::Lease { holder, .. } if holder == of))
            .map(|(id, _)| *id)
            .collect();
        for id in &held {
            self.requeue(*id, now);
        }
        held.len() as u64
    }

    pub(super) fn alike(&self, likeness: Sha256) -> Option<OrderId> {
        self.orders
            .values()
            .filter(|one| one.order.stage() == Stage::TestChallenge && one.order.likeness() == Some(likeness))
            .max_by_key(|one| one.made)
            .map(|one| one.order.id)
    }

    pub(super) fn delivered(&mut self, id: OrderId, at: Timestamp) {
        self.change(id, |order| {
            if let Progress::Done { delivered, .. } = &mut order.progress {
                delivered.get_or_insert(at);
            }
        });
    }

    pub(super) fn acknowledge(&mut self, id: OrderId) -> bool {
        let there = self.orders.get(&id).is_some_and(|entry| entry.order.stage() == Stage::Done);
        if there {
            self.orders.remove(&id);
            self.changed.push(id);
        }
        there
    }

    pub(super) fn oldest(&self, stage: Stage, limit: u32) -> Vec<ActiveOrder> {
        let key = |entry: &Entry| match stage {
            Stage::MakeChallenge | Stage::Issue => entry.order.deadline().unwrap_or(entry.since),
            Stage::TestChallenge | Stage::Done => entry.since,
        };
        let waits = |entry: &&Entry| match entry.standing {
            Standing::Queue | Standing::Lease { .. } | Standing::Park { .. } | Standing::Nowhere => true,
            Standing::Client | Standing::PendingDone => false,
        };
        let mut found: Vec<&Entry> =
            self.orders.values().filter(|entry| entry.order.stage() == stage).filter(waits).collect();
        found.sort_by_key(|entry| (key(entry), entry.order.id));
        found.into_iter().take(limit as usize).map(Entry::show).collect()
    }

    pub(super) fn counts(&self) -> Vec<(Stage, StageCount)> {
        let mut counts = Stage::ALL.map(|stage| (stage, StageCount::default()));
        for entry in self.orders.values() {
            let stage = entry.order.stage();
            let Some((_, count)) = counts.iter_mut().find(|(of, _)| *of == stage) else {
                continue;
            };
            match (entry.standing, &entry.order.progress) {
                (Standing::Queue, _) => {
                    count.queued += 1;
                    entry.keep_if_oldest(&mut count.oldest_queued);
                }
                (Standing::Lease { .. }, _) => {
                    count.leased += 1;
                    entry.keep_if_oldest(&mut count.oldest_leased);
                    count.claims_max = count.claims_max.max(entry.claims);
                }
                (Standing::Park { .. }, _) => {
                    count.parked += 1;
                    entry.keep_if_oldest(&mut count.oldest_parked);
                    count.claims_max = count.claims_max.max(entry.claims);
                }
                (Standing::Client, _) => count.client += 1,
                (Standing::PendingDone, Progress::Done { delivered: Some(_), .. }) => count.delivered += 1,
                (Standing::PendingDone, _) => count.undelivered += 1,
                (Standing::Nowhere, _) => count.nowhere += 1,
            }
        }
        counts.to_vec()
    }

    /// As a fault or a hand could: no order stands anywhere.
    pub(super) fn wipe_places(&mut self, now: Timestamp) {
        let ids: Vec<OrderId> = self.orders.keys().copied().collect();
        for id in ids {
            self.stand(id, Standing::Nowhere, now);
        }
    }

    pub(super) fn issue_nonce(&mut self, nonce: &str) {
        if self.nonces_by_age.len() == NONCES_REMEMBERED
            && let Some(oldest) = self.nonces_by_age.pop_front()
        {
            self.nonces.remove(&oldest);
        }
        self.nonces.insert(nonce.to_owned(), NonceUse::Fresh);
        self.nonces_by_age.push_back(nonce.to_owned());
    }

    pub(super) fn forget_nonces(&mut self) {
        self.nonces.clear();
        self.nonces_by_age.clear();
    }

    pub(super) fn use_nonce(&mut self, nonce: &str) -> NonceUse {
        self.nonces.get_mut(nonce).map_or(NonceUse::Unknown, |state| std::mem::replace(state, NonceUse::Replayed))
    }
}

fn ended_at(order: &Order) -> Option<Timestamp> {
    match &order.progress {
        Progress::Done { ended, .. } => Some(*ended),
        Progress::MakeChallenge | Progress::TestChallenge | Progress::Issue { .. } => None,
    }
}

/// Whether an ended order has been acknowledged, or its retention is over.
fn is_over(order: &Order, retention: Retention, now: Timestamp) -> bool {
    match &order.progress {
        Progress::Done { outcome, ended, acknowledged, .. } => {
            let kept = match outcome {
                Outcome::Valid(_) => retention.valid,
                Outcome::Invalid(_) => retention.invalid,
            };
            acknowledged.is_some() || now > ended.plus(kept)
        }
        Progress::MakeChallenge | Progress::TestChallenge | Progress::Issue { .. } => false,
    }
}
