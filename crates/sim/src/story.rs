//! What happened in a run, as a person reads it.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use pki::Sha256;

use crate::clock::START;
use crate::executor::Executor;

/// Listens, or doesn't: a run that is not to be told costs no words.
pub struct Story {
    executor: Executor,
    lines: Option<Mutex<Vec<String>>>,
}

impl Story {
    /// A story that is told, or none.
    pub fn new(executor: Executor, told: bool) -> Self {
        Self { executor, lines: told.then(Mutex::default) }
    }

    /// One line of it.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        let Some(lines) = &self.lines else { return };
        let now = self.executor.now();
        let line = format!("{} {}", START.plus(now).to_rfc3339_millis(), line());
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// All of it.
    pub fn lines(&self) -> Vec<String> {
        self.lines
            .as_ref()
            .map(|lines| lines.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .unwrap_or_default()
    }

    /// Tells two stories from each other.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.lines().join("\n").as_bytes())
    }
}

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Story")
    }
}
