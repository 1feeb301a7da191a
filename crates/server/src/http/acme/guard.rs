//! What holds for every answer, whoever gives it: heads have a limit, a handler that panics ends its own request alone,
//! and no answer to a POST or HEAD is without a nonce.

use std::sync::Arc;

use acme::{Problem, ProblemType};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::response::{self, REPLAY_NONCE, problem};
use super::{AcmeDoor, Base};

/// Around all handlers.
pub(super) async fn guard(State(door): State<Arc<AcmeDoor>>, request: Request, next: Next) -> Response {
    let wants_nonce = matches!(*request.method(), Method::POST | Method::HEAD);
    let response = if door.limits.exceeded_by(request.headers()) {
        let limits = &door.limits;
        let detail = format!("a request has at most {} headers of {} octets", limits.headers, limits.header_octets);
        refuse(&door, &request, &Problem::malformed(detail).with_status(431))
    } else {
        // For what is said about a request that nobody could answer: its line, without its body.
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let base = Base::of(&door, &uri, request.headers()).ok();
        match ca::guarded("a handler", next.run(request)).await {
            Some(response) => of_ours(response, base.as_ref()),
            None => {
                tracing::error!(%method, path = uri.path(), "a handler panicked");
                let failed = Problem::new(ProblemType::ServerInternal, "the server failed at this request");
                problem(&failed, base.as_ref())
            }
        }
    };
    if wants_nonce && !response.headers().contains_key(REPLAY_NONCE) {
        return response::with_nonce(&door, response).await;
    }
    response
}

fn refuse(door: &AcmeDoor, request: &Request, refused: &Problem) -> Response {
    problem(refused, Base::of(door, request.uri(), request.headers()).ok().as_ref())
}

/// What the router itself refuses, a path that is no text for example, it refuses without a problem document.
fn of_ours(response: Response, base: Option<&Base>) -> Response {
    let status = response.status();
    let documented =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if documented || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let kind = if status.is_server_error() { ProblemType::ServerInternal } else { ProblemType::Malformed };
    let status = if status == StatusCode::BAD_REQUEST { 404 } else { status.as_u16() };
    problem(&Problem::new(kind, "this URL can't be read").with_status(status), base)
}
