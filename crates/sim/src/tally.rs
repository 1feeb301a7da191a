//! What a run came to, in numbers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::executor::Executor;

/// Counts while a run goes on.
#[derive(Debug)]
pub struct Tally {
    executor: Executor,
    calls: AtomicU64,
    checks: AtomicU64,
    certificates: AtomicU64,
    faults: Mutex<BTreeMap<&'static str, u64>>,
    /// From when to when something was wrong with the CA or with what it needs: what may be why an order died.
    troubles: Mutex<Vec<(Duration, Duration)>>,
    /// Until when processes stood still.
    stops: Mutex<Vec<Duration>>,
}

impl Tally {
    /// Nothing has happened.
    pub(crate) fn new(executor: Executor) -> Self {
        Self {
            executor,
            calls: AtomicU64::default(),
            checks: AtomicU64::default(),
            certificates: AtomicU64::default(),
            faults: Mutex::default(),
            troubles: Mutex::default(),
            stops: Mutex::default(),
        }
    }

    fn troubles(&self) -> MutexGuard<'_, Vec<(Duration, Duration)>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of a port; answers its number.
    pub(crate) fn call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// Something that was to hold was looked at.
    pub(crate) fn check(&self) {
        self.checks.fetch_add(1, Ordering::Relaxed);
    }

    /// A fault.
    pub(crate) fn fault(&self, kind: &'static str) {
        self.nuisance(kind);
        self.trouble_for(Duration::ZERO);
    }

    /// Something is wrong with the CA, or with what it needs, for so long from now on.
    pub(crate) fn trouble_for(&self, time: Duration) {
        let now = self.executor.now();
        self.troubles().push((now, now.saturating_add(time)));
    }

    /// How many troubles there were at this time or later.
    pub(crate) fn troubles_since(&self, since: Duration) -> usize {
        self.troubles().iter().filter(|(_, end)| *end >= since).count()
    }

    /// How often a process stood still at this time or later.
    pub(crate) fn stops_since(&self, since: Duration) -> usize {
        self.stops.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|until| **until >= since).count()
    }

    /// A process stands still for so long from now on.
    pub(crate) fn stops_for(&self, time: Duration) {
        self.trouble_for(time);
        let until = self.executor.now().saturating_add(time);
        self.stops.lock().unwrap_or_else(PoisonError::into_inner).push(until);
    }

    /// The longest time without trouble between these two; `others`: more troubles, from when to when.
    pub(crate) fn longest_calm(&self, from: Duration, until: Duration, others: &[(Duration, Duration)]) -> Duration {
        let mut troubles = self.troubles().clone();
        troubles.extend_from_slice(others);
        troubles.sort_unstable();
        let mut longest = Duration::ZERO;
        let mut calm_since = from;
        for (began, ended) in troubles {
            longest = longest.max(began.min(until).saturating_sub(calm_since));
            calm_since = calm_since.max(ended);
        }
        longest.max(until.saturating_sub(calm_since))
    }

    /// A fault that does the CA itself no harm.
    pub(crate) fn nuisance(&self, kind: &'static str) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// A client has a certificate.
    pub(crate) fn certificate(&self) {
        self.certificates.fetch_add(1, Ordering::Relaxed);
    }

    /// How many certificates clients have got.
    pub fn certificates(&self) -> u64 {
        self.certificates.load(Ordering::Relaxed)
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// How often something that was to hold was looked at.
    pub fn checks(&self) -> u64 {
        self.checks.load(Ordering::Relaxed)
    }

    /// How many faults there were, by kind.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_longest_calm_is_between_troubles_and_not_in_one() {
        let executor = Executor::new(0);
        let tally = Tally::new(executor.clone());
        assert_eq!(tally.longest_calm(at(10), at(50), &[]), at(40));
        executor.pass_until(at(5));
        tally.trouble_for(at(15));
        executor.pass_until(at(30));
        tally.fault("planned");
        assert_eq!(tally.longest_calm(at(10), at(50), &[]), at(20));
        assert_eq!(tally.longest_calm(at(10), at(34), &[]), at(10));
        executor.pass_until(at(60));
        tally.trouble_for(at(15));
        assert_eq!(tally.longest_calm(at(31), at(50), &[]), at(19));
        assert_eq!(tally.longest_calm(at(31), at(50), &[(at(20), at(37)), (at(44), at(48))]), at(7));
        assert_eq!((tally.troubles_since(at(25)), tally.stops_since(at(0))), (2, 0));
    }
}
