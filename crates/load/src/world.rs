//! Time and randomness: the one module of this tool that reads them.
#![expect(clippy::disallowed_methods, reason = "a measuring tool has no ports: it reads the real clocks, here only")]

use std::time::{Duration, Instant, SystemTime};

use ca::ports::{Clock, Random};
use futures_util::future::BoxFuture;
use pki::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Now, on the clock that never goes back.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Ends when this much time has gone by.
pub(crate) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Octets that nobody can guess.
pub(crate) fn random<const OCTETS: usize>() -> [u8; OCTETS] {
    let mut octets = [0; OCTETS];
    aws_lc_rs::rand::fill(&mut octets).expect("the system's source of randomness does not fail once it is seeded");
    octets
}

/// CPU time of this process so far, all its threads together.
pub(crate) fn process_cpu() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

/// CPU time of this thread so far.
pub(crate) fn thread_cpu() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

/// The system's clock and randomness, as the ports want them.
#[derive(Debug)]
pub(crate) struct System;

impl Clock for System {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        duration(clock_gettime(ClockId::Monotonic))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

impl Random for System {
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the system's source of randomness does not fail once it is seeded");
    }
}

fn duration(time: Timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
