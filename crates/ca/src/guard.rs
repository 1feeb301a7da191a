//! A panic is a fault of this program. It must not take along whoever works for others.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::FutureExt;

use crate::ports::{StoreError, StoreErrorKind};

/// Of this process.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many panics were met since the process began: for metrics.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Does this to its end. `None`: it panicked, which is logged and counted here. What it held was given back; what it
/// was to do is not done, or only in part, as after a kill.
pub async fn guarded<T>(what: &str, work: impl Future<Output = T>) -> Option<T> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => Some(done),
        Err(panic) => {
            PANICS.fetch_add(1, Ordering::Relaxed);
            tracing::error!(what, panic = message(&*panic), "a panic: a fault of this program; the others go on");
            None
        }
    }
}

/// What a caller may conclude from a panic of what it asked for.
pub(crate) fn panicked() -> StoreError {
    StoreError::new(StoreErrorKind::Unknown, "a fault of this program: it panicked")
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
