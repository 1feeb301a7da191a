//! The one place where this process reads the clock, the system's randomness and its environment.
#![allow(clippy::disallowed_methods, reason = "the ports for time and randomness are made here")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use crate::config::{S3_VARIABLES, S3Variables};
use ca::ports::{Clock, Random};
use futures_util::future::BoxFuture;
use pki::Timestamp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The system's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The cryptographic library's generator, which the system seeds.
#[derive(Debug)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if aws_lc_rs::rand::fill(bytes).is_err() {
            // Weak serials and tokens would be worse than no CA.
            tracing::error!("the system gives no randomness");
            std::process::abort();
        }
    }
}

/// Tells one run of the machine from the next: a power cut ends it.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The variables of the environment that are for tests of ACME clients, ours and Pebble's: name and value.
pub fn variables() -> BTreeMap<String, String> {
    let named = |name: &str| name.starts_with("PEBBLE_") || name.starts_with(crate::dev::VARIABLE_PREFIX);
    let texts = std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value));
    texts.filter(|(name, _)| named(name)).map(|(name, value)| (name, value.to_string_lossy().into_owned())).collect()
}

/// The variables of the environment that requests to S3 are signed with.
pub fn s3_variables() -> S3Variables {
    let value = |name: &str| std::env::var(name).ok();
    S3Variables(S3_VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?))).collect())
}

/// Raises the number of files and connections that this process may have open to what the system permits it at most;
/// answers that number, or `None` if there is no limit.
///
/// # Errors
/// The system refuses, which it has no reason to.
pub fn raise_descriptor_limit() -> std::io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum)
}

/// The filter of log lines: `CAIRN_LOG`, as in `info` or `ca=debug,info`.
pub fn log_filter() -> Option<String> {
    std::env::var("CAIRN_LOG").ok()
}
