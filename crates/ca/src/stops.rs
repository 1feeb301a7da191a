//! Stopped issuance: an operator stops it, for all or for some, and lets it go on. A stop is compared where it counts,
//! in the ledger's `begin` and by the signer; all other looks are so that clients are told early, and why.

use std::time::Duration;

use acme::order::SUBPROBLEMS_MAX;
use acme::{Problem, ProblemType, Subproblem};
use futures_util::lock::{Mutex, MutexGuard};
use pki::Timestamp;

use crate::authority::Ca;
use crate::error::{Answer, Error};
use crate::order::Order;
use crate::ports::{AuditEvent, StopRecord, StopScope, Stored};

/// So many stops may stand: each is compared with each order.
pub const STOPS_MAX: u32 = 1000;
/// Of a reason, in characters.
const REASON_MAX: usize = 1000;

/// Holds those apart who stop issuance or let it go on, and knows which numbers are taken.
#[derive(Debug, Default)]
pub struct StopNumbers(Mutex<Numbers>);

impl StopNumbers {
    async fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().await
    }
}

#[derive(Debug, Default)]
struct Numbers {
    /// The highest that this process has logged, or met in its log: whether the ledger took it or not.
    logged: u64,
    /// What was logged last and could not be written: it comes before whatever an operator says next.
    left: Option<(u64, Left)>,
}

/// What the ledger did not take, by its line.
#[derive(Clone, Debug)]
enum Left {
    Stop(StopRecord),
    End { number: u64, since: Timestamp, at: Timestamp },
}

/// Which stops are to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// The one with this number.
    Number(u64),
    /// Those for exactly this.
    Scope(StopScope),
}

/// What stops mean to an order.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// It waits: they are of everything, or of its profile.
    Waits(Problem),
    /// It can't have a certificate: they are of its account.
    OfAccount,
    /// It can't have a certificate: they are of names.
    OfNames(Problem),
}

impl Stopped {
    /// What its client is told when it asks for a certificate.
    pub(crate) fn problem(self) -> Problem {
        match self {
            Self::Waits(problem) | Self::OfNames(problem) => problem,
            Self::OfAccount => {
                let detail =
                    "this CA's operator has stopped issuance for this account; ask the operator, or try again later";
                // No `unauthorized`: nothing about the request is wrong, and clients that are told so give up.
                Problem::new(ProblemType::ServerInternal, detail).with_status(503)
            }
        }
    }

    /// Of what an order dies whose account is stopped: no fault of the CA, and nothing brings it back.
    pub(crate) fn death_of_account() -> Problem {
        let detail = "this CA's operator has stopped issuance for this account; ask the operator";
        Problem::new(ProblemType::Unauthorized, detail)
    }

    /// What these stops mean to this order; `None`: none of them is for it. The operator's reason is his own.
    pub(crate) fn of(stops: &[StopRecord], order: &Order) -> Option<Self> {
        let ours = || stops.iter().map(|stop| &stop.scope).filter(|scope| scope.covers(order));
        if ours().any(|scope| matches!(scope, StopScope::Account(_))) {
            return Some(Self::OfAccount);
        }
        let stopped = order.identifiers.iter().filter(|one| ours().any(|scope| scope.covers_name(one)));
        let names: Vec<Subproblem> = stopped
            .map(|identifier| {
                let detail = "this CA's operator has stopped issuance for this name";
                Problem::new(ProblemType::RejectedIdentifier, detail).subproblem(identifier.wire())
            })
            .take(SUBPROBLEMS_MAX)
            .collect();
        if !names.is_empty() {
            return Some(Self::OfNames(Problem::of_identifiers(names)));
        }
        let of_all = ours().any(|scope| *scope == StopScope::All);
        let what = if of_all { String::new() } else { format!(" with profile {}", order.profile) };
        let detail = format!("this CA's operator has stopped issuance{what} for now; try again later");
        ours().next().map(|_| Self::Waits(Problem::new(ProblemType::ServerInternal, detail).with_status(503)))
    }
}

impl Ca {
    /// Stops issuance. From the moment that this returns, no signature begins for the scope: neither for orders that
    /// are made later, nor for those in issuance. One that a signer had begun may still come, be logged and be stored.
    ///
    /// # Errors
    /// `malformed`: it is stopped already, there is no such profile or account, or the reason can't be taken.
    pub async fn stop_issuance(&self, scope: StopScope, reason: &str, by: &str) -> Answer<StopRecord> {
        let refused = |detail: String| Error::refused(ProblemType::Malformed, detail);
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON_MAX || reason.chars().any(char::is_control) {
            return Err(refused(format!("the reason is to be one line of 1 to {REASON_MAX} characters")));
        }
        self.require_known(&scope).await?;
        let mut numbers = self.stop_numbers.lock().await;
        self.write_left(&mut numbers).await?;
        let standing = self.ledger.standing_stops().await?;
        if let Some(earlier) = standing.iter().find(|stop| stop.scope == scope) {
            return Err(refused(format!("{earlier}: {}", earlier.reason)));
        }
        if standing.len() >= STOPS_MAX as usize {
            return Err(refused(format!("{STOPS_MAX} stops stand, the most there may be; let some end first")));
        }
        let (reason, by, since) = (reason.to_owned(), by.to_owned(), self.now());
        let mut stop = StopRecord { number: 0, scope, reason, by, since, ended: None };
        // What it is known by is no other stop's: one that was just ended, or a clock that was set back.
        while self.ledger.stops_of(0, Some(stop.since)).await?.iter().any(|earlier| earlier.is(&stop)) {
            stop.since = stop.since.plus(Duration::from_millis(1));
        }
        // Lines of numbers that another process took: as long as none of them is done, none is left behind.
        let mut refused = Vec::new();
        loop {
            let last = self.ledger.stops(false, 1).await?.first().map_or(0, |last| last.number);
            stop.number = last.max(numbers.logged) + 1;
            // Taken by the line, whatever becomes of it.
            numbers.logged = stop.number;
            let line = self.audit.append(AuditEvent::IssuanceStopped { stop: stop.clone() }).await?;
            let written = self.ledger.stop(stop.clone()).await;
            if written == Ok(false) {
                refused.push(line);
                continue;
            }
            if written.is_err() {
                numbers.left = Some((line, Left::Stop(stop.clone())));
            }
            self.insist_on_line(line, written)?;
            refused.into_iter().for_each(|line| self.audit.applied(line));
            tracing::warn!(number = stop.number, scope = %stop.scope, reason = %stop.reason, "issuance stopped");
            return Ok(stop);
        }
    }

    async fn require_known(&self, scope: &StopScope) -> Answer<()> {
        let detail = match scope {
            StopScope::Profile(name) if self.settings.profile(name).is_none() => {
                let known: Vec<&str> = self.settings.profiles.iter().map(|profile| profile.name.as_str()).collect();
                format!("there is no profile {name}; there are: {}", known.join(", "))
            }
            StopScope::Account(id) if self.ledger.account(*id).await?.is_none() => format!("there is no account {id}"),
            StopScope::All
            | StopScope::Profile(_)
            | StopScope::Account(_)
            | StopScope::Name(_)
            | StopScope::Address(_) => return Ok(()),
        };
        Err(Error::refused(ProblemType::Malformed, detail))
    }

    /// Ends stops: those that did.
    ///
    /// # Errors
    /// `malformed`: none of them stands.
    pub async fn resume_issuance(&self, which: &Resumed, by: &str) -> Answer<Vec<StopRecord>> {
        let mut numbers = self.stop_numbers.lock().await;
        self.write_left(&mut numbers).await?;
        let mut standing = self.ledger.standing_stops().await?.to_vec();
        standing.retain(|stop| match which {
            Resumed::Number(number) => stop.number == *number,
            Resumed::Scope(scope) => stop.scope == *scope,
        });
        if standing.is_empty() {
            let what = match which {
                Resumed::Number(number) => format!("no stop {number} stands"),
                Resumed::Scope(scope) => format!("no stop for {scope} stands"),
            };
            let detail = format!("{what}; `cairn stop-issuance --list` shows those that do");
            return Err(Error::refused(ProblemType::Malformed, detail));
        }
        let mut ended = Vec::with_capacity(standing.len());
        for StopRecord { number, since, .. } in standing {
            let (at, by) = (self.now(), by.to_owned());
            let event = AuditEvent::IssuanceResumed { number, since: Some(since), ended: at, by };
            let line = self.audit.append(event).await?;
            let written = self.ledger.resume(number, at).await;
            if written.is_err() {
                numbers.left = Some((line, Left::End { number, since, at }));
            }
            let stop = self.insist_on_line(line, written)?;
            tracing::warn!(number, "issuance goes on: a stop has ended");
            ended.extend(stop);
        }
        Ok(ended)
    }

    /// Does what an operator said last, if the ledger could not be written then: he was told that it will be done, and
    /// it must neither undo what he says now nor come back after it.
    async fn write_left(&self, numbers: &mut Numbers) -> Answer<()> {
        let Some((line, left)) = numbers.left.clone() else { return Ok(()) };
        match left {
            Left::Stop(stop) => self.write_stop(numbers, &stop).await?,
            Left::End { number, since, at } => {
                self.bring_in_end(number, Some(since), at).await?;
            }
        }
        self.audit.applied(line);
        numbers.left = None;
        Ok(())
    }

    /// What stops that stand mean to this order.
    pub(crate) async fn stopped(&self, order: &Order) -> Stored<Option<Stopped>> {
        Ok(Stopped::of(&self.ledger.standing_stops().await?, order))
    }

    /// Brings in a stop that was logged. If its number is another one's, since two processes took it at the same time
    /// or its own could not write it, it gets the next one: what was logged was to stand.
    pub(crate) async fn bring_in_stop(&self, logged: &StopRecord) -> Stored<()> {
        let mut numbers = self.stop_numbers.lock().await;
        self.write_stop(&mut numbers, logged).await
    }

    async fn write_stop(&self, numbers: &mut Numbers, logged: &StopRecord) -> Stored<()> {
        let mut stop = logged.clone();
        loop {
            numbers.logged = numbers.logged.max(stop.number);
            if self.ledger.stop(stop.clone()).await? {
                return Ok(());
            }
            let last = self.ledger.stops(false, 1).await?.first().map_or(0, |last| last.number);
            stop.number = last.max(numbers.logged) + 1;
            let (line, number) = (logged.number, stop.number);
            tracing::warn!(line, number, scope = %stop.scope, "a logged stop gets another number: its own is taken");
        }
    }

    /// Brings in the end of a stop that was logged. `false`: there is no such stop.
    pub(crate) async fn bring_in_end(&self, number: u64, since: Option<Timestamp>, at: Timestamp) -> Stored<bool> {
        let stops = self.ledger.stops_of(number, since).await?;
        let Some(stop) = StopRecord::meant_by(&stops, number, since) else { return Ok(false) };
        if stop.ended.is_none() {
            tracing::warn!(number = stop.number, scope = %stop.scope, "a stop ends late, as an operator said before");
        }
        Ok(self.ledger.resume(stop.number, at).await?.is_some())
    }

    /// Refuses what can't be issued now, so that its client is told early.
    pub(crate) async fn require_issuance(&self, order: &Order) -> Answer<()> {
        match self.stopped(order).await? {
            Some(stopped) => Err(stopped.problem().into()),
            None => Ok(()),
        }
    }

    /// Whether issuance was stopped for this order at any time since it was finalized.
    pub(crate) async fn was_stopped(&self, order: &Order) -> Stored<bool> {
        let Some(finalize) = order.finalize_request() else { return Ok(false) };
        let stops = self.ledger.stops(false, STOPS_MAX).await?;
        let meanwhile = |stop: &StopRecord| stop.ended.is_none_or(|ended| ended > finalize.received);
        Ok(stops.iter().any(|stop| meanwhile(stop) && stop.scope.covers(order)))
    }
}
