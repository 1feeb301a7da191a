//! What a run came to, in numbers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counts while a run goes on.
#[derive(Debug, Default)]
pub struct Tally {
    calls: AtomicU64,
    checks: AtomicU64,
    certificates: AtomicU64,
    faults: Mutex<BTreeMap<&'static str, u64>>,
}

impl Tally {
    /// A call of a port; answers its number.
    pub(crate) fn call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// Something that was to hold was looked at.
    pub(crate) fn check(&self) {
        self.checks.fetch_add(1, Ordering::Relaxed);
    }

    /// A fault.
    pub(crate) fn fault(&self, kind: &'static str) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// A client has a certificate.
    pub(crate) fn certificate(&self) {
        self.certificates.fetch_add(1, Ordering::Relaxed);
    }

    /// How many certificates clients have got.
    pub fn certificates(&self) -> u64 {
        self.certificates.load(Ordering::Relaxed)
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// How often something that was to hold was looked at.
    pub fn checks(&self) -> u64 {
        self.checks.load(Ordering::Relaxed)
    }

    /// How many faults there were, by kind.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
