//! What workers do: claim an order, check whether what was pending is already done (ledger first), do it, advance.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::time::Duration;

use acme::{Problem, Token};
use futures_util::future::{Either, FutureExt, select};
use futures_util::stream::{self, StreamExt};
use pki::Timestamp;

use crate::authority::Ca;
use crate::authorization::{Authorization, Challenge, ChallengeState, EndedAuthorization, Method};
use crate::guard::{guarded, panicked};
use crate::issuance::{CLOCK_PAUSE, IssuanceEnd};
use crate::order::{Failure, Order, Outcome, PARK_MAX, Stage, Tested, Verdict, is_due};
use crate::ports::{Advance, Claimed, Fenced, Lease, LeaseTerms, LedgerEnd, SerialFilter, StoreErrorKind, Stored};
use crate::shares::Share;
use crate::{AuthorizationId, OrderId};

/// What a worker came to with an order it had claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Worked {
    /// It did what was pending, and advanced the order.
    Advanced,
    /// The order waits for its next try.
    Parked,
    /// The order had been given to another, or had moved on: this worker changed nothing on the workbench.
    Fenced,
}

/// What a worker has to do.
struct Work<'a> {
    claimed: Claimed,
    /// When it asked for it, by the monotonic clock.
    at: Duration,
    /// In `TestChallenge`: what it takes of its account's share.
    share: Option<Share<'a>>,
}

/// An order that its worker could neither advance nor park: the workbench was away, or its disk full.
struct Unparked {
    lease: Lease,
    /// When its next try is due, by the monotonic clock.
    due: Duration,
}

/// What `Issue` writes at its end.
enum Issuing {
    Ended(LedgerEnd),
    Wait(Duration),
    Superseded,
}

impl Ca {
    /// The loop of a worker of one stage, until `stop` ends: it finishes what it holds, and takes nothing new.
    pub async fn run_worker(&self, stage: Stage, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        loop {
            if stage == Stage::Issue && self.is_clock_behind().await {
                // Whatever it claimed would have to wait: its turn is kept instead.
                if let Either::Right(_) = select(self.clock.sleep(CLOCK_PAUSE), &mut stop).await {
                    return;
                }
                continue;
            }
            let queued = self.workbench.queued(stage);
            match guarded("a claim", self.claim(stage)).await.unwrap_or_else(|| Err(panicked())) {
                Ok(Some(work)) => {
                    // While it works it must not be the one that is woken.
                    drop(queued);
                    let lease_ends = work.at + self.lease_terms(stage).length;
                    if let Err(unparked) = self.work_guarded(stage, work).await
                        && self.insist_on_park(unparked, lease_ends, stop.as_mut()).await.is_break()
                    {
                        return;
                    }
                    if (&mut stop).now_or_never().is_some() {
                        return;
                    }
                }
                Ok(None) => {
                    if let Either::Right(_) = select(queued, &mut stop).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(%stage, %error, "no order could be claimed; trying again");
                    if let Either::Right(_) = select(self.clock.sleep(self.settings.times.back_off), &mut stop).await {
                        return;
                    }
                }
            }
        }
    }

    async fn is_clock_behind(&self) -> bool {
        let checked = guarded("a look at the clock", self.check_clock()).await;
        matches!(checked, Some(Ok(Err(_))))
    }

    /// Tries until the order is parked, or the lease has run out: then the sweep gives the order to another. `Break`:
    /// `stop` has ended.
    async fn insist_on_park(
        &self,
        mut unparked: Unparked,
        lease_ends: Duration,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> ControlFlow<()> {
        loop {
            if let Either::Right(_) = select(self.clock.sleep(self.settings.times.back_off), &mut stop).await {
                return ControlFlow::Break(());
            }
            if self.clock.monotonic() >= lease_ends {
                return ControlFlow::Continue(());
            }
            match guarded("a park", self.park_at(unparked)).await {
                Some(Err(still)) => unparked = still,
                Some(Ok(_)) | None => return ControlFlow::Continue(()),
            }
        }
    }

    /// A panic ends neither the worker nor the order: it waits for its next try. In `Issue` it counts as a failure of
    /// the issuance that had begun.
    async fn work_guarded(&self, stage: Stage, work: Work<'_>) -> Result<Worked, Unparked> {
        let (lease, since) = (work.claimed.lease.clone(), self.now());
        if let Some(worked) = guarded("a worker", self.work(stage, work)).await {
            return worked;
        }
        tracing::error!(order = %lease.order, %stage, "a worker panicked at this order");
        let _panicked_again = guarded("the end of a work that panicked", async {
            if stage == Stage::Issue
                && let Err(error) = self.note_panic(lease.order, since).await
            {
                tracing::warn!(order = %lease.order, %error, "the panic of an issuance was not noted");
            }
        })
        .await;
        // If this panics too, the lease runs out.
        let after = self.back_off(lease.tries());
        guarded("a park", self.park(lease, after)).await.unwrap_or(Ok(Worked::Fenced))
    }

    /// A serial that was allocated before this worker came is another's: that one died with its process.
    async fn note_panic(&self, order: OrderId, since: Timestamp) -> Stored<()> {
        let filter = SerialFilter { order: Some(order), ..SerialFilter::default() };
        // The ledger compares that it is the last, so that the others stay as they are.
        let begun = self.ledger.serials(filter, self.settings.issuance_caps().begun).await?;
        match begun.last().filter(|last| last.begun >= since) {
            Some(last) => self.ledger.issuance_failed(last.serial, "its worker panicked").await,
            None => Ok(()),
        }
    }

    /// Claims one order of a stage, does what is pending, and advances it. `None`: the queue is empty, or only has
    /// orders whose accounts have their share of workers at work.
    ///
    /// # Errors
    /// The workbench could not be asked.
    pub async fn work_once(&self, stage: Stage) -> Stored<Option<Worked>> {
        match self.claim(stage).await? {
            // What could not be parked is found by the sweep when its lease has run out.
            Some(work) => Ok(Some(self.work(stage, work).await.unwrap_or(Worked::Fenced))),
            None => Ok(None),
        }
    }

    async fn claim(&self, stage: Stage) -> Stored<Option<Work<'_>>> {
        if stage == Stage::TestChallenge {
            return self.claim_test().await;
        }
        let at = self.clock.monotonic();
        let claimed = self.workbench.claim(stage, self.lease_terms(stage)).await?;
        Ok(claimed.map(|claimed| Work { claimed, at, share: None }))
    }

    /// Passes over accounts that have their share of workers at work: their orders keep their turn. Whoever gives a
    /// share back claims next, so that nobody has to be woken for it.
    async fn claim_test(&self) -> Stored<Option<Work<'_>>> {
        let (terms, workers) = (self.lease_terms(Stage::TestChallenge), &self.test_shares.workers);
        loop {
            let Some(full) = workers.full() else { return Ok(None) };
            let at = self.clock.monotonic();
            match self.workbench.claim_test(terms, &full.accounts).await? {
                Some(claimed) => match workers.take(claimed.order.account) {
                    Some(share) => return Ok(Some(Work { claimed, at, share: Some(share) })),
                    // Another worker was faster with the last one: back to the queue, at once.
                    None => {
                        // If it could not be, the sweep finds it when its lease has run out.
                        let _unparked = self.park(claimed.lease, Duration::ZERO).await;
                    }
                },
                // Whoever gave one back meanwhile may not have seen the orders that this look had in hand.
                None if workers.has_changed_since(&full) => {}
                None => return Ok(None),
            }
        }
    }

    pub(crate) const fn lease_terms(&self, stage: Stage) -> LeaseTerms {
        let length = match stage {
            Stage::Issue => self.settings.times.issue_lease,
            Stage::MakeChallenge | Stage::TestChallenge | Stage::Done => self.settings.times.test_lease,
        };
        LeaseTerms { holder: self.instance, length }
    }

    async fn work(&self, stage: Stage, work: Work<'_>) -> Result<Worked, Unparked> {
        let Work { claimed: Claimed { lease, order }, at, share } = work;
        let worked = match stage {
            Stage::MakeChallenge => self.make_challenges(&lease, order).await.map(|advanced| advanced.map(drop)),
            Stage::TestChallenge => {
                let tested = self.test_challenges(&lease, &order, at).await;
                drop(share);
                tested
            }
            Stage::Issue => match self.issue_order(&lease, &order, at).await {
                Issuing::Ended(end) => self.end(&lease, &order, end).await,
                Issuing::Wait(after) => return self.park(lease, after).await,
                Issuing::Superseded => Ok(Err(Fenced::Stale)),
            },
            // Nothing is pending in `Done`: it has no queue.
            Stage::Done => Ok(Err(Fenced::Stale)),
        };
        match worked {
            Ok(Ok(())) => Ok(Worked::Advanced),
            Ok(Err(Fenced::Stale)) => {
                tracing::info!(order = %order_of(&lease), %stage, "another worker has this order");
                Ok(Worked::Fenced)
            }
            Err(error) => {
                tracing::error!(order = %order_of(&lease), %stage, %error, "the order waits for its next try");
                self.park(lease, self.settings.times.back_off).await
            }
        }
    }

    async fn park(&self, lease: Lease, after: Duration) -> Result<Worked, Unparked> {
        let due = self.clock.monotonic() + after.min(PARK_MAX);
        self.park_at(Unparked { lease, due }).await
    }

    async fn park_at(&self, unparked: Unparked) -> Result<Worked, Unparked> {
        // The workbench's clock, which judges it, may be another machine's.
        let pause = unparked.due.saturating_sub(self.clock.monotonic());
        match self.workbench.park(&unparked.lease, pause).await {
            Ok(Ok(())) => Ok(Worked::Parked),
            Ok(Err(Fenced::Stale)) => Ok(Worked::Fenced),
            // No later try can read it either: whoever meets it next sets it aside.
            Err(error) if error.kind == StoreErrorKind::Corrupt => {
                tracing::error!(order = %unparked.lease.order, %error, "the order can't be read; its worker leaves it");
                Ok(Worked::Fenced)
            }
            Err(error) => {
                tracing::error!(order = %unparked.lease.order, %error, "the order could not be parked");
                Err(unparked)
            }
        }
    }

    /// The stage `MakeChallenge`: one authorization for each identifier, with all challenges that can show control of
    /// it, or one that the account has already.
    pub(crate) async fn make_challenges(&self, lease: &Lease, order: Order) -> Stored<Result<Order, Fenced>> {
        let began = self.clock.monotonic();
        if let Some(problem) = self.take_place(&order).await? {
            let outcome = Outcome::Invalid(Failure { stage: Stage::MakeChallenge, problem });
            return self.workbench.advance(lease, Advance::Finished { outcome, ended: self.now() }).await;
        }
        let reusable = self.reusable_authorizations(&order).await?;
        let authorizations = (0..)
            .zip(&order.identifiers)
            .map(|(number, identifier)| match reusable.iter().find(|one| one.identifier == *identifier) {
                Some(reused) => Authorization {
                    id: reused.id,
                    identifier: identifier.clone(),
                    challenges: reused.challenges.clone(),
                    end: Some(reused.end),
                },
                None => Authorization {
                    id: AuthorizationId { order: order.id, number },
                    identifier: identifier.clone(),
                    challenges: methods(&order, identifier).map(|method| self.new_challenge(method)).collect(),
                    end: None,
                },
            })
            .collect();
        let advanced = self.workbench.advance(lease, Advance::Made(authorizations)).await?;
        self.stage_done(order.id, Stage::MakeChallenge, began, "challenges made");
        Ok(advanced)
    }

    fn new_challenge(&self, method: Method) -> Challenge {
        let mut random = [0; 16];
        self.random.fill(&mut random);
        let token = Token::from_random(random);
        let now = self.now();
        let state = match method {
            // The operator has nothing to set up: his challenge is answered as it is made.
            Method::Operator => ChallengeState::Answered { at: now, tries: 0, due: now, problem: None },
            Method::Http01 | Method::Dns01 | Method::TlsAlpn01 => ChallengeState::Pending,
        };
        Challenge { method, token, state }
    }

    /// The stage `TestChallenge`: all answered challenges, as many side by side as the account has a share for. Those
    /// whose test would not fit into the lease any more are not begun: the order comes back to the queue with them.
    async fn test_challenges(&self, lease: &Lease, order: &Order, at: Duration) -> Stored<Result<(), Fenced>> {
        let began = self.clock.monotonic();
        let mut order = order.clone();
        let ended = self.ledger.authorizations(&order.authorization_ids()).await?;
        order.copy_back(&ended);
        // The workbench's clock says what is due and whose time is over, and may be another machine's: what it gave out
        // is due, or the order would be back on its queue at once, again and again, until our clock agrees.
        let given = lease.expires.minus(self.lease_terms(Stage::TestChallenge).length);
        if let Some(failure) = order.cause_of_death(self.now().max(given)) {
            return self.die(lease, &order, failure).await;
        }
        let due: Vec<_> =
            order.authorizations.iter().filter(|one| one.due().is_some_and(|due| is_due(due, given))).collect();
        let shares: Vec<_> = due.iter().skip(1).map_while(|_| self.test_shares.tests.take(order.account)).collect();
        let tests: Vec<_> = due.into_iter().map(|one| self.test_in_time(&order, one, (given, at)).boxed()).collect();
        let tested: Vec<_> = stream::iter(tests).buffer_unordered(1 + shares.len()).collect().await;
        drop(shares);
        let tested = tested.into_iter().flatten().collect::<Stored<Vec<_>>>()?;
        let results = ended.into_iter().map(ended_before).chain(tested).collect();
        let advanced = self.workbench.advance(lease, Advance::Tested(results)).await?;
        self.stage_done(order.id, Stage::TestChallenge, began, "challenges tested");
        Ok(advanced.map(drop))
    }

    /// Nothing, if a test that begins now might not end within the lease that was claimed then. The first one does, by
    /// configuration.
    async fn test_in_time(
        &self,
        order: &Order,
        authorization: &Authorization,
        (given, claimed): (Timestamp, Duration),
    ) -> Vec<Stored<Tested>> {
        let times = &self.settings.times;
        let held = self.clock.monotonic().saturating_sub(claimed);
        if held + times.validation.max(times.caa) >= times.test_lease {
            return Vec::new();
        }
        self.test(order, authorization, given).await
    }

    async fn die(&self, lease: &Lease, order: &Order, failure: Failure) -> Stored<Result<(), Fenced>> {
        if self.ledger_knew_better(order.id).await? {
            return Ok(Err(Fenced::Stale));
        }
        let Failure { stage, problem } = &failure;
        tracing::info!(order = %order.id, %stage, problem = %problem.detail, "the order is invalid");
        let outcome = Outcome::Invalid(failure);
        Ok(self.workbench.advance(lease, Advance::Finished { outcome, ended: self.now() }).await?.map(drop))
    }

    /// The stage `Issue`: what has ended in the ledger is only advanced.
    async fn issue_order(&self, lease: &Lease, order: &Order, at: Duration) -> Issuing {
        let known = match self.ledger.order(order.id).await {
            Ok(known) => known,
            Err(error) => {
                tracing::error!(order = %order.id, %error, "the ledger can't be asked; the order waits");
                return Issuing::Wait(self.settings.times.back_off);
            }
        };
        if let Some((end, _)) = known.and_then(|known| known.end) {
            return Issuing::Ended(end);
        }
        match self.issue(order, lease, at).await {
            Ok(issued) => Issuing::Ended(LedgerEnd::Valid(issued.serial)),
            Err(IssuanceEnd::Wait { detail, after }) => {
                let after = after.unwrap_or_else(|| self.back_off(lease.tries()));
                tracing::warn!(order = %order.id, %detail, wait_s = after.as_secs(), "the order waits");
                Issuing::Wait(after)
            }
            Err(end @ (IssuanceEnd::Over { .. } | IssuanceEnd::CutShort { .. })) => {
                tracing::warn!(order = %order.id, %end, "the next issuance takes a new serial");
                Issuing::Wait(self.back_off(lease.tries()))
            }
            Err(IssuanceEnd::Dead(problem)) => self.finish(order, *problem).await,
            Err(IssuanceEnd::Superseded) => self.superseded(order.id).await,
        }
    }

    /// The wait before the next try: it doubles with each, up to a minute.
    pub(crate) fn back_off(&self, tries: u32) -> Duration {
        let doubled = self.settings.times.back_off.saturating_mul(1 << tries.saturating_sub(1).min(16));
        doubled.min(Duration::from_secs(60)).max(self.settings.times.back_off).min(PARK_MAX)
    }

    async fn finish(&self, order: &Order, problem: Problem) -> Issuing {
        let failure = Failure { stage: Stage::Issue, problem };
        match self.ledger.finish(order, failure, self.now()).await {
            Ok(end) => Issuing::Ended(end),
            Err(error) => {
                tracing::error!(order = %order.id, %error, "the end of the order could not be written; it waits");
                Issuing::Wait(self.settings.times.back_off)
            }
        }
    }

    /// Whoever went on with the order may have ended it: then it only has to be advanced.
    async fn superseded(&self, order: OrderId) -> Issuing {
        match self.ledger.order(order).await {
            Ok(Some(known)) => known.end.map_or(Issuing::Superseded, |(end, _)| Issuing::Ended(end)),
            Ok(None) | Err(_) => Issuing::Superseded,
        }
    }

    async fn end(&self, lease: &Lease, order: &Order, end: LedgerEnd) -> Stored<Result<(), Fenced>> {
        match &end {
            LedgerEnd::Valid(serial) => tracing::info!(order = %order.id, %serial, "the order is valid"),
            LedgerEnd::Invalid(failure) => {
                tracing::info!(order = %order.id, problem = %failure.problem.detail, "the order is invalid");
            }
        }
        let advance = Advance::Finished { outcome: end.into(), ended: self.now() };
        Ok(self.workbench.advance(lease, advance).await?.map(drop))
    }

    pub(crate) fn stage_done(&self, order: OrderId, stage: Stage, began: Duration, what: &str) {
        let took = self.clock.monotonic().saturating_sub(began);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(%order, %stage, took_us, "{what}");
    }
}

impl From<LedgerEnd> for Outcome {
    fn from(end: LedgerEnd) -> Self {
        match end {
            LedgerEnd::Valid(serial) => Self::Valid(serial),
            LedgerEnd::Invalid(failure) => Self::Invalid(failure),
        }
    }
}

/// What a worker finds done in the ledger, it only advances.
fn ended_before(ended: EndedAuthorization) -> Tested {
    let method = ended.validation.as_ref().map_or(Method::Operator, |validation| validation.method);
    Tested { authorization: ended.id, method, answered: ended.ended, verdict: Verdict::Ended(Box::new(ended)) }
}

const fn order_of(lease: &Lease) -> OrderId {
    lease.order
}

/// The methods by which control of an identifier can be shown: wildcards by DNS alone (RFC 8555 §7.1.3), IP addresses
/// by none that asks the DNS (RFC 8738 §4, §7).
fn methods(order: &Order, identifier: &acme::Identifier) -> impl Iterator<Item = Method> + use<> {
    let methods: &[Method] = match (order.method, identifier) {
        (Some(Method::Operator), _) => &[Method::Operator],
        (_, acme::Identifier::Dns(_)) => &[Method::Http01, Method::Dns01, Method::TlsAlpn01],
        (_, acme::Identifier::Wildcard(_)) => &[Method::Dns01],
        (_, acme::Identifier::Ip(_)) => &[Method::Http01, Method::TlsAlpn01],
    };
    methods.iter().copied()
}
