//! Limits in time, by the `Clock` port.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use ca::ports::Clock;
use futures_util::future::{Either, select};

/// What the work came to; `None` if the time ran out first, and then the work is dropped where it stood.
pub(crate) async fn within<W: Future>(clock: &dyn Clock, limit: Duration, work: W) -> Option<W::Output> {
    // `select` polls the work first: what is done in time counts, even if the limit has passed meanwhile.
    match select(pin!(work), clock.sleep(limit)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}

/// A limit as people read it.
pub(crate) fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}
