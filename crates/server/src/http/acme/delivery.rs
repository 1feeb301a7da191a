//! A body that notes when it was handed over.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Bytes;
use ca::OrderId;
use http_body::{Body, Frame, SizeHint};

use super::AcmeDoor;

/// A certificate on its way: when the connection has taken its last byte, its order is *delivered*. That says nothing
/// about the client; an acknowledgement does.
pub(super) struct Delivery {
    data: Option<Bytes>,
    length: u64,
    door: Arc<AcmeDoor>,
    order: OrderId,
}

impl Delivery {
    pub(super) fn new(data: Bytes, door: Arc<AcmeDoor>, order: OrderId) -> Self {
        let length = data.len() as u64;
        Self { data: Some(data), length, door, order }
    }
}

impl Body for Delivery {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.data.take().map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(if self.data.is_some() { self.length } else { 0 })
    }
}

/// The connection drops a body when it has written it, or when it broke before.
impl Drop for Delivery {
    fn drop(&mut self) {
        if self.data.is_some() {
            return;
        }
        let (ca, order) = (Arc::clone(&self.door.ca), self.order);
        // Nobody waits for this mark.
        self.door.errands.begin(async move {
            if let Err(error) = ca.mark_delivered(order).await {
                tracing::warn!(%order, %error, "the delivery was not noted");
            }
        });
    }
}
