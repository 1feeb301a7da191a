//! Time and randomness of a test.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ca::ports::{Clock, Random};
use futures_util::future::BoxFuture;
use pki::Timestamp;

/// A clock that moves when it is told to.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    /// It is 2026-11-21T10:00:00Z.
    pub(crate) const fn new() -> Self {
        Self(AtomicI64::new(1_795_255_200_000))
    }

    /// Time goes by.
    pub(crate) fn pass(&self, duration: Duration) {
        self.0.fetch_add(i64::try_from(duration.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// The clock is set back.
    pub(crate) fn set_back(&self, duration: Duration) {
        self.0.fetch_sub(i64::try_from(duration.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Seconds go by.
    pub(crate) fn pass_seconds(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst).try_into().unwrap())
    }

    /// Who sleeps lets the time go by.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.pass(duration);
        Box::pin(std::future::ready(()))
    }
}

/// Numbers that look random, the same in every run (SplitMix64).
#[derive(Debug)]
pub(crate) struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    /// The numbers of this seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// The next 16 octets.
    pub(crate) fn octets(&self) -> [u8; 16] {
        let mut octets = [0; 16];
        self.fill(&mut octets);
        octets
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().unwrap();
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
