//! Clocks of machines in the simulated time. Each shows its own time of day, which can jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ca::ports::Clock;
use futures_util::future::BoxFuture;
use pki::Timestamp;

use crate::executor::Executor;

/// When every run begins: 2026-11-21T10:00:00Z.
pub const START: Timestamp = Timestamp::from_seconds(1_795_255_200);

/// The clock of a machine. Cloned, it is the same.
#[derive(Clone, Debug)]
pub struct SimClock {
    executor: Executor,
    /// How far it is ahead of the true time, in milliseconds.
    ahead: Arc<AtomicI64>,
    /// How far it ever was ahead, in milliseconds, and how far behind.
    furthest_ahead: Arc<AtomicI64>,
    furthest_behind: Arc<AtomicI64>,
}

impl SimClock {
    /// A clock that is right.
    pub fn new(executor: Executor) -> Self {
        Self { executor, ahead: Arc::default(), furthest_ahead: Arc::default(), furthest_behind: Arc::default() }
    }

    /// Sets it: from now on it is ahead of the true time by so many milliseconds, or behind it.
    pub fn set_ahead(&self, millis: i64) {
        self.ahead.store(millis, Ordering::Relaxed);
        self.furthest_ahead.fetch_max(millis, Ordering::Relaxed);
        self.furthest_behind.fetch_max(millis.saturating_neg(), Ordering::Relaxed);
    }

    /// How far it ever was from the true time.
    pub fn furthest(&self) -> Duration {
        self.furthest_ahead().max(self.furthest_behind())
    }

    /// How far it ever was ahead of the true time.
    pub fn furthest_ahead(&self) -> Duration {
        Duration::from_millis(self.furthest_ahead.load(Ordering::Relaxed).unsigned_abs())
    }

    /// How far it ever was behind the true time.
    pub fn furthest_behind(&self) -> Duration {
        Duration::from_millis(self.furthest_behind.load(Ordering::Relaxed).unsigned_abs())
    }

    /// How far it is ahead of the true time, in milliseconds.
    pub fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let true_time = START.plus(self.executor.now());
        Timestamp::from_millis(true_time.millis() + self.ahead())
    }

    fn monotonic(&self) -> Duration {
        self.executor.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.executor.sleep(duration))
    }
}
