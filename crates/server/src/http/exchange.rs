//! One request on its way through the router, with marks of what its connection waits for.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::Request;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tower::ServiceExt;

use super::guests::{During, Guest, Part};

/// Answers a request by the router.
pub(super) async fn answer(
    router: Router,
    guest: Arc<Guest>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let open = guest.during(Part::Open);
    let mut request = request.map(|body| {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body::new(Received { body, receiving: Some(guest.during(Part::Receiving)) })
    });
    request.extensions_mut().insert(Arc::clone(&guest));
    let path = request.uri().path().to_owned();
    let response = match ca::guarded("a request", router.oneshot(request)).await {
        Some(answered) => answered?,
        None => {
            tracing::error!(%path, "a handler panicked");
            let headers = [(http::header::RETRY_AFTER, "10")];
            (http::StatusCode::INTERNAL_SERVER_ERROR, headers, "the server failed at this request\n").into_response()
        }
    };
    let answering = guest.during(Part::Answering);
    Ok(response.map(|body| Answer { body, _answering: answering, open }))
}

/// The body of a request as it comes in.
struct Received {
    body: Incoming,
    receiving: Option<During>,
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if frame.is_none() || this.body.is_end_stream() {
            this.receiving = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer as it goes out. It is dropped when its last octet was handed over.
pub(super) struct Answer {
    body: Body,
    _answering: During,
    open: During,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        this.open.guest().progress();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
