//! Chooses logs, asks them side by side, and turns to others as soon as one fails or is slow.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ca::ports::{Clock, CtError, CtPolicy, CtReadiness, CtSubmission, CtSubmitter};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use futures_util::stream::FuturesUnordered;
use pki::{Sct, Timestamp};

use crate::{Endpoint, EndpointError};

/// An SCT may be so far ahead of our own clock: no two clocks agree.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);

/// What a log list says of a log. Only a usable one is asked: clients may not know a qualified one yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogState {
    /// Asked to be trusted, isn't yet.
    Pending,
    /// Trusted since lately.
    Qualified,
    /// Trusted.
    Usable,
    /// Takes nothing more.
    ReadOnly,
    /// Trusted no more.
    Retired,
    /// Was never trusted.
    Rejected,
}

/// A temporal shard: the certificates that a log takes, by the end of their validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemporalInterval {
    /// The first moment within.
    pub start: Timestamp,
    /// The first moment behind.
    pub end: Timestamp,
}

impl TemporalInterval {
    /// Whether it holds this moment.
    pub fn contains(&self, moment: Timestamp) -> bool {
        self.start <= moment && moment < self.end
    }
}

/// A log with what the submitter has to know of it.
#[derive(Clone, Debug)]
pub struct Log {
    /// For people: in errors and logs.
    pub name: String,
    /// Who runs it: a policy may want several.
    pub operator: String,
    /// Whether it is asked.
    pub state: LogState,
    /// Which certificates it takes; `None`: all.
    pub interval: Option<TemporalInterval>,
    /// The log itself.
    pub endpoint: Arc<dyn Endpoint>,
}

/// How the submitter behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitterSettings {
    /// A log that hasn't answered by then is slow: another is asked beside it.
    pub slow_after: Duration,
    /// A log with so many failures in a row is in doubt.
    pub failures_max: u32,
    /// A log in doubt is probed at most this often.
    pub probe_interval: Duration,
    /// A probe that takes longer has failed.
    pub probe_limit: Duration,
}

impl Default for SubmitterSettings {
    fn default() -> Self {
        Self {
            slow_after: Duration::from_secs(3),
            failures_max: 3,
            probe_interval: Duration::from_secs(5),
            probe_limit: Duration::from_secs(5),
        }
    }
}

/// Submits precertificates to logs, in the order in which these are listed.
pub struct Submitter {
    logs: Vec<Watched>,
    clock: Arc<dyn Clock>,
    settings: SubmitterSettings,
}

/// A log, and how it has behaved.
struct Watched {
    log: Log,
    /// Failures in a row.
    failures: AtomicU32,
    /// When it may be probed again: milliseconds of the monotonic clock.
    probe_due: AtomicU64,
}

impl Submitter {
    /// A submitter to these logs; the first are asked first. A log that stands there twice counts once.
    pub fn new(logs: Vec<Log>, clock: Arc<dyn Clock>, settings: SubmitterSettings) -> Self {
        let mut known = BTreeSet::new();
        let logs = logs
            .into_iter()
            .filter(|log| known.insert(log.endpoint.log_id()))
            .map(|log| Watched { log, failures: AtomicU32::new(0), probe_due: AtomicU64::new(0) })
            .collect();
        Self { logs, clock, settings }
    }

    /// The logs, in order.
    pub fn logs(&self) -> impl Iterator<Item = &Log> {
        self.logs.iter().map(|watched| &watched.log)
    }

    /// The names of the logs that are in doubt: for metrics and for people.
    pub fn in_doubt(&self) -> impl Iterator<Item = &str> {
        self.logs.iter().filter(|log| self.doubts(log)).map(|watched| watched.log.name.as_str())
    }

    fn doubts(&self, log: &Watched) -> bool {
        log.failures.load(Ordering::Relaxed) >= self.settings.failures_max
    }

    /// Places of the logs that take such a certificate, those in doubt last.
    fn candidates(&self, not_after: Timestamp) -> Vec<usize> {
        let takes = |watched: &Watched| {
            watched.log.state == LogState::Usable
                && watched.log.interval.is_none_or(|interval| interval.contains(not_after))
        };
        let eligible = || self.logs.iter().enumerate().filter(|(_, log)| takes(log));
        let good = eligible().filter(|(_, log)| !self.doubts(log));
        let doubtful = eligible().filter(|(_, log)| self.doubts(log));
        good.chain(doubtful).map(|(place, _)| place).collect()
    }

    /// The fewest of these logs, the first of them first, that satisfy the policy; `None` if all of them don't.
    fn choose(&self, policy: CtPolicy, places: impl Iterator<Item = usize> + Clone) -> Option<BTreeSet<usize>> {
        let mut operators = BTreeSet::new();
        let mut chosen: BTreeSet<usize> = places
            .clone()
            .filter(|place| {
                operators.len() < policy.operators && operators.insert(self.logs[*place].log.operator.as_str())
            })
            .collect();
        if operators.len() < policy.operators {
            return None;
        }
        for place in places {
            if chosen.len() >= policy.scts {
                break;
            }
            chosen.insert(place);
        }
        (chosen.len() >= policy.scts).then_some(chosen)
    }

    fn probe(&self, log: &Watched) -> bool {
        let now = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        let interval = u64::try_from(self.settings.probe_interval.as_millis()).unwrap_or(u64::MAX);
        // Of many orders that ask at the same time, one probes.
        log.probe_due
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
                (now >= due).then(|| now.saturating_add(interval))
            })
            .is_ok()
    }

    async fn probe_doubtful(&self, candidates: &[usize]) {
        let probes =
            candidates.iter().map(|place| &self.logs[*place]).filter(|log| self.doubts(log) && self.probe(log));
        join_all(probes.map(|log| async move {
            let answer = tokio::select! {
                biased;
                answer = log.log.endpoint.probe() => answer,
                () = self.clock.sleep(self.settings.probe_limit) => {
                    Err(EndpointError::TooSlow(self.settings.probe_limit))
                }
            };
            match answer {
                Ok(()) => log.failures.store(0, Ordering::Relaxed),
                Err(error) => tracing::warn!(log = %log.log.name, %error, "a CT log is in doubt, and fails its probe"),
            }
        }))
        .await;
    }

    fn succeeded(&self, place: usize) {
        self.logs[place].failures.store(0, Ordering::Relaxed);
    }

    fn failed(&self, place: usize, error: &EndpointError, counts: bool) {
        let log = &self.logs[place];
        if counts && error.is_the_logs_fault() {
            log.failures.fetch_add(1, Ordering::Relaxed);
        }
        tracing::warn!(log = %log.log.name, %error, "no SCT from a CT log");
    }

    /// Whether this SCT is what it should be. What a client would refuse must never be embedded.
    fn verify(&self, place: usize, sct: &Sct, submission: &CtSubmission) -> Result<(), EndpointError> {
        let ahead = sct.timestamp.since(self.clock.now());
        if ahead > CLOCK_SKEW_MAX {
            return Err(EndpointError::Answer(format!("an SCT {} seconds in the future", ahead.as_secs())));
        }
        sct.verify(self.logs[place].log.endpoint.public_key(), &submission.entry)
            .map_err(|error| EndpointError::Answer(error.to_string()))
    }
}

/// What can happen while logs are asked.
enum Event {
    Answered(usize, Result<Sct, EndpointError>),
    Slow(usize),
    TimeUp,
}

/// One submission under way.
struct Round<'a> {
    submitter: &'a Submitter,
    submission: &'a CtSubmission,
    candidates: Vec<usize>,
    /// Asked, and neither slow nor failed: likely to answer.
    hopeful: BTreeSet<usize>,
    /// Asked, and slow: may still answer.
    slow: BTreeSet<usize>,
    /// Asked, whatever has become of it.
    asked: BTreeSet<usize>,
    answered: Vec<(usize, Sct)>,
    failures: Vec<(usize, EndpointError)>,
    events: FuturesUnordered<BoxFuture<'a, Event>>,
}

impl<'a> Round<'a> {
    fn new(submitter: &'a Submitter, submission: &'a CtSubmission) -> Self {
        let events = FuturesUnordered::new();
        let time_up = submitter.clock.sleep(submission.time_limit);
        events.push(time_up.map(|()| Event::TimeUp).boxed());
        Self {
            submitter,
            submission,
            candidates: submitter.candidates(submission.not_after),
            hopeful: BTreeSet::new(),
            slow: BTreeSet::new(),
            asked: BTreeSet::new(),
            answered: Vec::new(),
            failures: Vec::new(),
            events,
        }
    }

    /// Asks as many logs as are needed for the policy if all that are likely to answer do.
    fn ask(&mut self) {
        let promised = |place: &usize| self.hopeful.contains(place) || self.answered.iter().any(|(at, _)| at == place);
        // Those already promised come first, so that as few as possible are asked besides.
        let first = self.candidates.iter().copied().filter(promised);
        let fresh = self.candidates.iter().copied().filter(|place| !self.asked.contains(place));
        let available: Vec<usize> = first.chain(fresh).collect();
        let wanted = self.submitter.choose(self.submission.policy, available.iter().copied());
        // Even where the policy can't be satisfied any more, the slow ones may still answer: all others are asked too.
        let wanted = wanted.unwrap_or_else(|| available.into_iter().collect());
        let to_ask: Vec<usize> = wanted.difference(&self.asked).copied().collect();
        for place in to_ask {
            let submitter = self.submitter;
            let submission = self.submission;
            let endpoint = &submitter.logs[place].log.endpoint;
            self.asked.insert(place);
            self.hopeful.insert(place);
            self.events
                .push(endpoint.add_pre_chain(submission).map(move |answer| Event::Answered(place, answer)).boxed());
            self.events
                .push(submitter.clock.sleep(submitter.settings.slow_after).map(move |()| Event::Slow(place)).boxed());
        }
    }

    fn answer(&mut self, place: usize, answer: Result<Sct, EndpointError>) {
        let answer = answer.and_then(|sct| self.submitter.verify(place, &sct, self.submission).map(|()| sct));
        let was_slow = self.slow.remove(&place);
        self.hopeful.remove(&place);
        match answer {
            Ok(sct) => {
                self.submitter.succeeded(place);
                self.answered.push((place, sct));
            }
            Err(error) => {
                // What was slow and then fails has failed once.
                self.submitter.failed(place, &error, !was_slow);
                self.failures.push((place, error));
            }
        }
    }

    fn is_slow(&mut self, place: usize) {
        if self.hopeful.remove(&place) {
            self.submitter.failed(place, &EndpointError::TooSlow(self.submitter.settings.slow_after), true);
            self.slow.insert(place);
        }
    }

    /// The SCTs, if they satisfy the policy, in the order of the logs.
    fn satisfied(&self) -> Option<Vec<Sct>> {
        let places: BTreeSet<usize> = self.answered.iter().map(|(place, _)| *place).collect();
        let chosen = self.submitter.choose(self.submission.policy, places.iter().copied())?;
        let of = |place: usize| self.answered.iter().find(|(at, _)| *at == place).map(|(_, sct)| sct.clone());
        Some(chosen.into_iter().filter_map(of).collect())
    }

    /// Whether the policy can't be satisfied any more, whatever those say that have not answered yet.
    fn is_over(&self) -> bool {
        let failed = |place: &usize| self.failures.iter().any(|(at, _)| at == place);
        let possible = self.candidates.iter().copied().filter(|place| !failed(place));
        self.submitter.choose(self.submission.policy, possible).is_none()
    }

    fn failed(&self, reason: &str) -> CtError {
        let Self { submitter, submission, .. } = self;
        let policy = submission.policy;
        let mut detail = format!(
            "{} of {} SCTs (of {} operators wanted) for serial {}: {reason}",
            self.answered.len(),
            policy.scts,
            policy.operators,
            submission.serial
        );
        for (place, _) in &self.answered {
            detail.push_str(&format!("; {} gave one", submitter.logs[*place].log));
        }
        for (place, error) in &self.failures {
            detail.push_str(&format!("; {} {error}", submitter.logs[*place].log));
        }
        for place in self.slow.union(&self.hopeful) {
            detail.push_str(&format!("; {} gave no answer yet", submitter.logs[*place].log));
        }
        CtError { detail }
    }

    async fn run(mut self) -> Result<Vec<Sct>, CtError> {
        loop {
            if let Some(scts) = self.satisfied() {
                return Ok(scts);
            }
            if self.is_over() {
                return Err(self.failed("no other log takes it"));
            }
            self.ask();
            match self.events.next().await {
                Some(Event::Answered(place, answer)) => self.answer(place, answer),
                Some(Event::Slow(place)) => self.is_slow(place),
                Some(Event::TimeUp) | None => return Err(self.failed("the time is up")),
            }
        }
    }
}

#[async_trait]
impl CtSubmitter for Submitter {
    async fn readiness(&self, policy: CtPolicy, not_after: Timestamp) -> CtReadiness {
        let candidates = self.candidates(not_after);
        if self.choose(policy, candidates.iter().copied()).is_none() {
            let detail = format!(
                "no {} logs of {} operators take certificates that end at {}: {} of {} do",
                policy.scts,
                policy.operators,
                not_after.to_rfc3339(),
                candidates.len(),
                self.logs.len()
            );
            return CtReadiness::NotReady { detail };
        }
        let ready = || {
            let trusted = candidates.iter().copied().filter(|place| !self.doubts(&self.logs[*place]));
            self.choose(policy, trusted).is_some()
        };
        if ready() {
            return CtReadiness::Ready;
        }
        self.probe_doubtful(&candidates).await;
        if ready() {
            return CtReadiness::Ready;
        }
        let doubtful: Vec<&str> = self.in_doubt().collect();
        CtReadiness::NotReady { detail: format!("too many CT logs failed lately: {}", doubtful.join(", ")) }
    }

    async fn submit(&self, submission: CtSubmission) -> Result<Vec<Sct>, CtError> {
        Round::new(self, &submission).run().await
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log {:?} ({})", self.name, self.operator)
    }
}

impl fmt::Debug for Submitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.logs()).finish()
    }
}

#[cfg(test)]
mod tests;
