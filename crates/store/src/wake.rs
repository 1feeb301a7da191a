//! Who waits for what: the wake-ups of `changed` and `queued`, without a runtime.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

/// Waiters by key. A waiter is registered when [`Wakers::wait`] is called, not when its future is first polled: so
/// subscribe, then read, then wait misses nothing. A dropped future leaves nothing behind.
pub struct Wakers<K> {
    waiting: Arc<Mutex<Waiting<K>>>,
}

struct Waiting<K> {
    by_key: HashMap<K, Vec<(u64, oneshot::Sender<()>)>>,
    next: u64,
}

impl<K: Eq + Hash + Clone + Send + Unpin + 'static> Wakers<K> {
    /// Nobody waits.
    pub fn new() -> Self {
        Self { waiting: Arc::new(Mutex::new(Waiting { by_key: HashMap::new(), next: 0 })) }
    }

    /// Ends at the first [`Wakers::wake`] of this key after this call.
    pub fn wait(&self, key: K) -> BoxFuture<'static, ()> {
        let (wake, woken) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        let number = waiting.next;
        waiting.next += 1;
        waiting.by_key.entry(key.clone()).or_default().push((number, wake));
        drop(waiting);
        Box::pin(Waiter { woken, ended: false, entry: Entry { waiting: Arc::clone(&self.waiting), key, number } })
    }

    /// Wakes one of those that wait for this key: the last that came. One that is dropped before it saw that it was
    /// woken passes the call on, so that none is lost.
    pub fn wake_one(&self, key: &K) {
        wake_one(&self.waiting, key);
    }

    /// Wakes all that wait for this key.
    pub fn wake(&self, key: &K) {
        let woken = lock(&self.waiting).by_key.remove(key);
        for (_, wake) in woken.into_iter().flatten() {
            // A waiter that was dropped in this very moment needs no waking.
            let _gone = wake.send(());
        }
    }
}

impl<K: Eq + Hash + Clone + Send + Unpin + 'static> Default for Wakers<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for Wakers<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wakers({} keys)", lock(&self.waiting).by_key.len())
    }
}

// No code of a stranger runs under this lock, so a poisoned one still holds a sound table.
fn lock<K>(waiting: &Mutex<Waiting<K>>) -> std::sync::MutexGuard<'_, Waiting<K>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake_one<K: Eq + Hash>(waiting: &Mutex<Waiting<K>>, key: &K) {
    loop {
        let mut waiting = lock(waiting);
        let Some(waiters) = waiting.by_key.get_mut(key) else { return };
        let last = waiters.pop();
        if waiters.is_empty() {
            waiting.by_key.remove(key);
        }
        drop(waiting);
        // One that is being dropped in this very moment can't be woken: the next one is.
        if last.is_none_or(|(_, wake)| wake.send(()).is_ok()) {
            return;
        }
    }
}

struct Waiter<K: Eq + Hash> {
    woken: oneshot::Receiver<()>,
    ended: bool,
    entry: Entry<K>,
}

impl<K: Eq + Hash + Unpin> Future for Waiter<K> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // An error means that the registry is gone: nothing will change any more, and a wait may end without a change.
        let poll = Pin::new(&mut self.woken).poll(context).map(|_| ());
        self.ended |= poll.is_ready();
        poll
    }
}

impl<K: Eq + Hash> Drop for Waiter<K> {
    fn drop(&mut self) {
        // Once it is closed, a call finds nobody here and goes to the next.
        self.woken.close();
        if !self.ended && self.woken.try_recv().is_ok() {
            wake_one(&self.entry.waiting, &self.entry.key);
        }
    }
}

struct Entry<K: Eq + Hash> {
    waiting: Arc<Mutex<Waiting<K>>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash> Drop for Entry<K> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.waiting);
        if let Some(waiters) = waiting.by_key.get_mut(&self.key) {
            waiters.retain(|(number, _)| *number != self.number);
            if waiters.is_empty() {
                waiting.by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn wake_between_subscribing_and_waiting_is_not_missed() {
        let wakers = Wakers::new();
        let waiter = wakers.wait(1);
        wakers.wake(&1);
        assert!(waiter.now_or_never().is_some());
    }

    #[test]
    fn one_call_wakes_one_and_is_passed_on_if_that_one_is_gone() {
        let wakers = Wakers::new();
        let (first, second) = (wakers.wait(1), wakers.wait(1));
        wakers.wake_one(&1);
        drop(second);
        assert!(first.now_or_never().is_some());
        let (first, second) = (wakers.wait(1), wakers.wait(1));
        wakers.wake_one(&1);
        assert!(second.now_or_never().is_some());
        assert!(first.now_or_never().is_none());
    }

    #[test]
    fn only_those_who_wait_for_the_key_are_woken() {
        let wakers = Wakers::new();
        let (first, second, other) = (wakers.wait(1), wakers.wait(1), wakers.wait(2));
        wakers.wake(&1);
        assert!(first.now_or_never().is_some() && second.now_or_never().is_some());
        assert!(other.now_or_never().is_none());
    }

    #[test]
    fn dropped_waiter_leaves_nothing_behind() {
        let wakers = Wakers::new();
        drop(wakers.wait(1));
        assert_eq!(format!("{wakers:?}"), "Wakers(0 keys)");
    }
}
