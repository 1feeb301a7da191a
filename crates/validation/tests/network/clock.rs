//! Time that moves when a test says so, and randomness that repeats.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ca::ports::{Clock, Random};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pki::Timestamp;
use tokio::sync::oneshot;

/// Stands still until it is advanced.
#[derive(Debug, Default)]
pub(crate) struct TestClock {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    elapsed: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

impl TestClock {
    /// Wakes all whose time has come.
    pub(crate) fn advance(&self, by: Duration) {
        let mut state = self.state.lock().unwrap();
        state.elapsed += by;
        let now = state.elapsed;
        for (_, sleeper) in state.sleepers.extract_if(.., |(wake, _)| *wake <= now) {
            // One that was dropped needs no waking.
            let _ = sleeper.send(());
        }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000).plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().unwrap().elapsed
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock().unwrap();
        let wake = state.elapsed + duration;
        state.sleepers.push((wake, sender));
        async move { receiver.await.unwrap() }.boxed()
    }
}

/// A sequence of its own for each test.
#[derive(Debug)]
pub(crate) struct TestRandom(AtomicU64);

impl TestRandom {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Random for TestRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64.
            let mut word = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
}
