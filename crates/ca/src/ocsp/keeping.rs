//! Which certificates of responders are in use, which are missing, and who waits for them.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use pki::{Certificate, Sha256, Timestamp};

use super::lock;
use crate::bell::Bell;

/// After a failure there is no other try for so long, and for twice as long after each that follows: each leaves a
/// record.
const PAUSE: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// The responders of all issuers. Their certificates are made by one task alone; requests ring and wait.
#[derive(Debug, Default)]
pub(super) struct Responders {
    issuers: Mutex<HashMap<Sha256, Responder>>,
    missing: Bell,
    waiting: Waiting,
}

/// That of one issuer.
#[derive(Debug, Default)]
struct Responder {
    certificate: Option<Arc<Certificate>>,
    /// `None`: nobody knows yet whether one was in use before the start.
    is_wanted: Option<bool>,
    failures: u32,
    /// No other try before this monotonic time.
    again: Option<Duration>,
}

impl Responders {
    /// What answers are signed with.
    pub(super) fn known(&self, issuer: Sha256) -> Option<Arc<Certificate>> {
        lock(&self.issuers).get(&issuer)?.certificate.clone()
    }

    /// Whether answers for this issuer were asked for, since the start or before it; `None`: not since the start, and
    /// what was before has not been looked up.
    pub(super) fn is_wanted(&self, issuer: Sha256) -> Option<bool> {
        lock(&self.issuers).get(&issuer)?.is_wanted
    }

    /// Whether one was in use before the start. Who has asked meanwhile counts.
    pub(super) fn looked_up(&self, issuer: Sha256, was_in_use: bool) {
        lock(&self.issuers).entry(issuer).or_default().is_wanted.get_or_insert(was_in_use);
    }

    /// Whether it is too early for another try.
    pub(super) fn pauses(&self, issuer: Sha256, monotonic: Duration) -> bool {
        let again = lock(&self.issuers).get(&issuer).and_then(|one| one.again);
        again.is_some_and(|again| monotonic < again)
    }

    /// From now on answers are signed with this one.
    pub(super) fn keep(&self, issuer: Sha256, certificate: Certificate) {
        let certificate = Some(Arc::new(certificate));
        self.change(issuer, |one| one.certificate = certificate);
    }

    /// There is one that need not be renewed yet.
    pub(super) fn is_fresh(&self, issuer: Sha256) {
        self.change(issuer, |one| (one.failures, one.again) = (0, None));
    }

    /// One could not be made.
    pub(super) fn failed(&self, issuer: Sha256, monotonic: Duration) {
        self.change(issuer, |one| {
            let pause = PAUSE.saturating_mul(1 << one.failures.min(6)).min(PAUSE_MAX);
            one.failures = one.failures.saturating_add(1);
            one.again = Some(monotonic.saturating_add(pause));
        });
    }

    fn change(&self, issuer: Sha256, change: impl FnOnce(&mut Responder)) {
        change(lock(&self.issuers).entry(issuer).or_default());
        self.waiting.wake_all();
    }

    /// Asks for one that is missing, and waits for what becomes of it.
    pub(super) async fn wait<T>(&self, issuer: Sha256, look: impl Fn() -> Option<T>) -> T {
        lock(&self.issuers).entry(issuer).or_default().is_wanted = Some(true);
        self.missing.ring();
        self.waiting.until(look).await
    }

    /// Ends when one is missing.
    pub(super) async fn missing(&self) {
        self.missing.heard().await;
    }

    /// The end of the first to end.
    pub(super) fn first_end(&self) -> Option<Timestamp> {
        let issuers = lock(&self.issuers);
        issuers.values().filter_map(|one| one.certificate.as_ref()).map(|one| one.validity().not_after).min()
    }
}

/// Who waits for something to change.
#[derive(Debug, Default)]
struct Waiting {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// Given back by who doesn't wait any more.
struct Place<'a> {
    number: u64,
    queue: &'a Mutex<Queue>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // Dropped when the lock is: with a waker a whole task may go.
        let _waker = lock(self.queue).wakers.remove(&self.number);
    }
}

impl Waiting {
    /// Looks again at each change.
    async fn until<T>(&self, look: impl Fn() -> Option<T>) -> T {
        let number = {
            let mut queue = lock(&self.queue);
            queue.next += 1;
            queue.next
        };
        let place = Place { number, queue: &self.queue };
        poll_fn(|context| {
            // Noted first: a change after the look wakes.
            let _before = lock(place.queue).wakers.insert(place.number, context.waker().clone());
            look().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn wake_all(&self) {
        let wakers = std::mem::take(&mut lock(&self.queue).wakers);
        wakers.into_values().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt;

    use super::*;

    const ISSUER: Sha256 = Sha256::from_bytes([1; 32]);

    #[test]
    fn pauses_grow_to_ten_minutes_and_are_over_after_a_success() {
        let responders = Responders::default();
        let mut now = Duration::ZERO;
        for seconds in [10, 20, 40, 80, 160, 320, 600, 600] {
            assert!(!responders.pauses(ISSUER, now));
            responders.failed(ISSUER, now);
            now += Duration::from_secs(seconds);
            assert!(responders.pauses(ISSUER, now.checked_sub(Duration::from_millis(1)).unwrap()), "{seconds}");
            assert!(!responders.pauses(Sha256::from_bytes([2; 32]), Duration::ZERO), "another issuer's is tried");
        }
        responders.is_fresh(ISSUER);
        responders.failed(ISSUER, now);
        assert!(!responders.pauses(ISSUER, now + PAUSE));
    }

    #[test]
    fn who_waits_is_woken_by_a_change_and_leaves_nothing_behind() {
        let responders = Responders::default();
        let there = Cell::new(None);
        let mut gives_up = Box::pin(responders.wait(ISSUER, || there.get()));
        let mut waits = Box::pin(responders.wait(ISSUER, || there.get()));
        assert!((&mut gives_up).now_or_never().is_none() && (&mut waits).now_or_never().is_none());
        assert!(responders.missing().now_or_never().is_some() && responders.is_wanted(ISSUER) == Some(true));
        responders.looked_up(ISSUER, false);
        assert_eq!(responders.is_wanted(ISSUER), Some(true), "who asks counts");
        drop(gives_up);
        assert_eq!(lock(&responders.waiting.queue).wakers.len(), 1);
        there.set(Some(7));
        responders.is_fresh(ISSUER);
        assert_eq!(waits.now_or_never(), Some(7));
        assert!(lock(&responders.waiting.queue).wakers.is_empty());
    }
}
