//! Time and randomness of a case.

use std::sync::Mutex;
use std::time::Duration;

use ca::ports::{Clock, Random};
use futures_util::future::{BoxFuture, FutureExt};
use pki::Timestamp;
use tokio::sync::{oneshot, watch};

/// When every case begins: 2026-11-21T10:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_795_255_200);

/// A clock that a case moves. Who sleeps wakes when it was moved past the end of the sleep.
#[derive(Debug)]
pub(crate) struct TestClock {
    state: Mutex<State>,
    /// How long the latest sleeper wants to sleep, for cases that wait for one.
    slept: watch::Sender<Duration>,
}

#[derive(Debug, Default)]
struct State {
    elapsed: Duration,
    /// Goes by with each reading.
    tick: Duration,
    /// By how much the time of day is ahead of what has gone by.
    ahead: Duration,
    /// By how much it is behind.
    behind: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

impl TestClock {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), slept: watch::Sender::new(Duration::ZERO) }
    }

    /// Time goes by.
    pub(crate) fn pass(&self, duration: Duration) {
        let mut state = self.state.lock().unwrap();
        state.elapsed += duration;
        let now = state.elapsed;
        let (due, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.sleepers).into_iter().partition(|(until, _)| *until <= now);
        state.sleepers = waiting;
        drop(state);
        for (_, wake) in due {
            // Who doesn't wait any more needn't be woken.
            let _gone = wake.send(());
        }
    }

    /// Seconds go by.
    pub(crate) fn pass_seconds(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// The time of day jumps forward; nothing else goes by.
    pub(crate) fn set_ahead(&self, duration: Duration) {
        self.state.lock().unwrap().ahead += duration;
    }

    /// The time of day jumps back; nothing else does.
    pub(crate) fn set_back(&self, duration: Duration) {
        self.state.lock().unwrap().behind += duration;
    }

    /// From now on each reading of the time of day finds it a millisecond later, so that what happens one after the
    /// other has times that say so.
    pub(crate) fn tick_at_each_reading(&self) {
        self.state.lock().unwrap().tick = Duration::from_millis(1);
    }

    /// Waits until somebody sleeps for just so long, then lets that time go by.
    pub(crate) async fn pass_when_slept(&self, duration: Duration) {
        self.wait_until_slept(duration).await;
        self.pass(duration);
    }

    /// Waits until somebody sleeps for just so long.
    pub(crate) async fn wait_until_slept(&self, duration: Duration) {
        let mut slept = self.slept.subscribe();
        slept.wait_for(|latest| *latest == duration).await.unwrap();
        self.slept.send_replace(Duration::ZERO);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let mut state = self.state.lock().unwrap();
        let tick = state.tick;
        state.elapsed += tick;
        START.plus(state.elapsed).plus(state.ahead).minus(state.behind)
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().unwrap().elapsed
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut state = self.state.lock().unwrap();
        let (wake, woken) = oneshot::channel();
        let until = state.elapsed + duration;
        state.sleepers.push((until, wake));
        drop(state);
        self.slept.send_replace(duration);
        woken.map(|_| ()).boxed()
    }
}

/// Numbers that look random, the same in every run (SplitMix64).
#[derive(Debug)]
pub(crate) struct SeededRandom {
    state: Mutex<u64>,
    given: Mutex<Option<Vec<u8>>>,
}

impl SeededRandom {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: Mutex::new(seed), given: Mutex::new(None) }
    }

    /// The next draw gives these octets: chance repeats itself.
    pub(crate) fn give(&self, octets: &[u8]) {
        *self.given.lock().unwrap() = Some(octets.to_vec());
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if let Some(given) = self.given.lock().unwrap().take() {
            bytes.copy_from_slice(&given);
            return;
        }
        let mut state = self.state.lock().unwrap();
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = *state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
    }
}
