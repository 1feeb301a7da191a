//! Time and randomness.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use pki::Timestamp;

/// Time. The one source of it.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// Time that never goes back, from an arbitrary start: for measuring how long something took.
    fn monotonic(&self) -> Duration;

    /// Ends when this much time has gone by.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Randomness. The one source of it; fit for secrets.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills the slice with random octets. Ends the process rather than to give weak ones.
    fn fill(&self, bytes: &mut [u8]);
}
