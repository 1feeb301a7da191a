//! How one task of a process tells another that there is work for it, without an executor.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures_util::task::AtomicWaker;

/// Rung by many, heard by one. What rang while nobody listened is heard by the next who does.
#[derive(Debug, Default)]
pub struct Bell {
    rung: AtomicBool,
    listener: AtomicWaker,
}

impl Bell {
    /// There is work.
    pub fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.listener.wake();
    }

    /// Ends once it was rung since this ended last. Of two that listen, the one that came later is woken.
    pub async fn heard(&self) {
        poll_fn(|context| {
            // Registered first: who rings after the look wakes.
            self.listener.register(context.waker());
            if self.rung.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
