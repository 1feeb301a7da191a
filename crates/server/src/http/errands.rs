//! Work that goes on when the client who asked for it hangs up, and that a server which stops waits for.

use std::fmt;
use std::future::Future;

use futures_util::future::BoxFuture;
use tokio::sync::{oneshot, watch};

/// A panic, or the end of the process's work, came before the end of an errand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it ended early")]
pub struct EndedEarly;

/// Where such work is begun, and counted.
pub struct Errands {
    start: Box<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>,
    under_way: watch::Sender<usize>,
}

impl Errands {
    /// Errands that this starts: what it is given has to go on by itself.
    pub fn new(start: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static) -> Self {
        Self { start: Box::new(start), under_way: watch::Sender::new(0) }
    }

    /// Errands that are tasks of the runtime in which they are begun.
    pub fn of_runtime() -> Self {
        Self::new(|work| {
            tokio::spawn(work);
        })
    }

    /// Begins work that nobody waits for.
    pub fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        let counted = Counted::new(&self.under_way);
        (self.start)(Box::pin(async move {
            work.await;
            drop(counted);
        }));
    }

    /// Begins work and waits for what it comes to; whoever stops waiting doesn't end it.
    ///
    /// # Errors
    /// [`EndedEarly`]: it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, EndedEarly> {
        let (told, came) = oneshot::channel();
        self.begin(async move {
            // Its client has hung up, perhaps.
            let _nobody_waits = told.send(work.await);
        });
        came.await.map_err(|_| EndedEarly)
    }

    /// Ends when nothing is under way.
    pub async fn all_done(&self) {
        let mut counts = self.under_way.subscribe();
        let _sender_lives = counts.wait_for(|count| *count == 0).await;
    }
}

impl fmt::Debug for Errands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errands({} under way)", *self.under_way.borrow())
    }
}

/// One that is under way, however it ends.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(under_way: &watch::Sender<usize>) -> Self {
        under_way.send_modify(|count| *count += 1);
        Self(under_way.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn an_errand_goes_on_when_nobody_waits_for_it_and_is_waited_for_at_the_end() {
        let errands = Errands::of_runtime();
        let (go_on, may) = oneshot::channel::<()>();
        let (did, done) = oneshot::channel();
        let running = errands.run(async move {
            may.await.expect("it may go on");
            did.send(()).expect("the test waits");
        });
        assert!(running.now_or_never().is_none(), "it can't be done yet, and is not waited for any more");
        assert!(errands.all_done().now_or_never().is_none());
        go_on.send(()).expect("it goes on");
        done.await.expect("it was done");
        errands.all_done().await;
    }

    #[tokio::test]
    async fn an_errand_that_panics_ends_early_and_is_not_waited_for() {
        let errands = Errands::of_runtime();
        assert_eq!(errands.run(async { panic!("planned") }).await, Err::<(), _>(EndedEarly));
        errands.all_done().await;
    }
}
