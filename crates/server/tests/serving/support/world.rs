//! Time and chance, as tests of crashes need them.

use std::time::Duration;

/// What is waited for on a small machine, busy with other tests, has happened long before.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The time between two blows, or between two attempts to reach a server that is down: no event tells of either.
#[allow(clippy::disallowed_methods, reason = "blows fall at moments that nothing announces")]
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Waits for what has to happen, but not for ever.
pub(crate) async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(done) => done,
        Err(_) => panic!("not within {} s: {what}", limit.as_secs()),
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to `high`, in milliseconds.
    pub(crate) const fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(low + self.next() % (high - low + 1))
    }
}
