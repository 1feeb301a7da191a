//! Orders, authorizations and challenges (RFC 8555 §7.4, §7.5).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use acme::{AuthorizationStatus, AuthorizationUpdate, ChallengeKind, NewOrder, OrderStatus, Problem, ProblemType};
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use ca::order::Order;
use ca::{AccountId, AuthorizationId, AuthorizationView, Error, OrderId, urls};

use super::request::ByAccount;
use super::response::{Outcome, Reply};
use super::{AcmeDoor, Base, objects, respond};
use crate::http::guests::{During, Guest, Part};

/// What a client waits after a rate limit that only tests know, in seconds.
const RETRY_AFTER_LIMITED: u32 = 1;

pub(super) async fn new_order(State(door): State<Arc<AcmeDoor>>, uri: Uri, headers: HeaderMap, body: Body) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    let mut limited = false;
    let outcome = async {
        let ByAccount { base, account, request } = door.by_account(&uri, &headers, body).await?;
        let asked: NewOrder = request.json().map_err(|error| error.problem())?;
        limited = door.faults.limits_order();
        if limited {
            return Err(Error::refused(ProblemType::RateLimited, "this order is refused for a test; try it again"));
        }
        let order = door.ca.new_order(&account, &asked).await?;
        Ok(reply(&door, &base, StatusCode::CREATED, &order))
    };
    let mut response = respond(&door, base.as_ref(), outcome.await).await;
    if limited {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_LIMITED));
    }
    response
}

pub(super) async fn order(
    State(door): State<Arc<AcmeDoor>>,
    Extension(guest): Extension<Arc<Guest>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    let outcome = async {
        let ByAccount { base, account, request } = door.by_any_account(&uri, &headers, body).await?;
        request.expect_post_as_get().map_err(|error| error.problem())?;
        let poll = Poll::begin(&door, &guest, account.id, &headers);
        let order = door.ca.order_changed(&account, order_id(&id)?, poll.wait).await?;
        Ok(reply(&door, &base, StatusCode::OK, &order).waited(poll.preferred))
    };
    respond(&door, base.as_ref(), outcome.await).await
}

pub(super) async fn finalize(
    State(door): State<Arc<AcmeDoor>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    let outcome = async {
        let ByAccount { base, account, request } = door.by_account(&uri, &headers, body).await?;
        let order = door.ca.finalize(&account, order_id(&id)?, request).await?;
        Ok(reply(&door, &base, StatusCode::OK, &order))
    };
    respond(&door, base.as_ref(), outcome.await).await
}

/// Our extension: the client says that it has its certificate, by a POST of `{}`.
pub(super) async fn acknowledge(
    State(door): State<Arc<AcmeDoor>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    let outcome = async {
        let ByAccount { base, account, request } = door.by_any_account(&uri, &headers, body).await?;
        let _: serde_json::Map<String, serde_json::Value> = request.json().map_err(|error| error.problem())?;
        let order = door.ca.acknowledge(&account, order_id(&id)?).await?;
        Ok(reply(&door, &base, StatusCode::OK, &order))
    };
    respond(&door, base.as_ref(), outcome.await).await
}

pub(super) async fn authorization(
    State(door): State<Arc<AcmeDoor>>,
    Extension(guest): Extension<Arc<Guest>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    let outcome = async {
        let ByAccount { base, account, request } = door.by_any_account(&uri, &headers, body).await?;
        let id = authorization_id(&id)?;
        let mut waited = false;
        let view = if request.is_post_as_get() {
            let poll = Poll::begin(&door, &guest, account.id, &headers);
            waited = poll.preferred;
            door.ca.authorization_changed(&account, id, poll.wait).await?
        } else {
            let update: AuthorizationUpdate = request.json().map_err(|error| error.problem())?;
            require_deactivation(update.status)?;
            door.ca.deactivate_authorization(&account, id).await?
        };
        let object = objects::authorization(&base, &view, door.ca.now());
        Ok(Reply::object(StatusCode::OK, &object).retry_after(at_work(&door, &view)).waited(waited))
    };
    respond(&door, base.as_ref(), outcome.await).await
}

pub(super) async fn challenge(
    State(door): State<Arc<AcmeDoor>>,
    Path((id, kind)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    let outcome = async {
        let ByAccount { base, account, request } = door.by_any_account(&uri, &headers, body).await?;
        let id = authorization_id(&id)?;
        let kind: ChallengeKind = kind.parse().map_err(|_| no_such("challenge"))?;
        let view = if request.is_post_as_get() {
            door.ca.authorization(&account, id).await?
        } else {
            // RFC 8555 §7.5.1, erratum 5729: an object, whatever its members are.
            let _: serde_json::Map<String, serde_json::Value> = request.json().map_err(|error| error.problem())?;
            door.ca.require_agreement(&account)?;
            door.ca.answer(&account, id, kind).await?
        };
        let shown = view.authorization.challenge(kind.into());
        let object = shown.and_then(|one| objects::challenge(&base, id, one)).ok_or_else(|| no_such("challenge"))?;
        let up = base.url(&urls::authorization(id));
        Ok(Reply::object(StatusCode::OK, &object).up(up).retry_after(at_work(&door, &view)))
    };
    respond(&door, base.as_ref(), outcome.await).await
}

fn reply(door: &AcmeDoor, base: &Base, status: StatusCode, order: &Order) -> Reply {
    let object = objects::order(base, order, door.ca.now());
    let at_work = match object.status {
        OrderStatus::Processing => true,
        OrderStatus::Pending => order.authorizations.iter().any(|one| one.due().is_some()),
        OrderStatus::Ready | OrderStatus::Valid | OrderStatus::Invalid => false,
    };
    let seconds = door.retry_after.order;
    let retry_after = (at_work && seconds != 0).then_some(seconds);
    Reply::object(status, &object).at(base.url(&urls::order(order.id))).retry_after(retry_after)
}

fn at_work(door: &AcmeDoor, view: &AuthorizationView) -> Option<u32> {
    let seconds = door.retry_after.authorization;
    (seconds != 0 && view.open && view.authorization.due().is_some()).then_some(seconds)
}

fn require_deactivation(status: AuthorizationStatus) -> Outcome<()> {
    if status == AuthorizationStatus::Deactivated {
        return Ok(());
    }
    Err(Error::refused(
        ProblemType::Malformed,
        "the only change of an authorization is {\"status\":\"deactivated\"} (RFC 8555 §7.5.2)",
    ))
}

pub(super) fn order_id(text: &str) -> Outcome<OrderId> {
    text.parse().map_err(|_| no_such("order"))
}

fn authorization_id(text: &str) -> Outcome<AuthorizationId> {
    text.parse().map_err(|_| no_such("authorization"))
}

pub(super) fn no_such(what: &str) -> Error {
    Problem::malformed(format!("there is no such {what}")).with_status(404).into()
}

pub(super) fn not_yours(what: &str) -> Error {
    Error::refused(ProblemType::Unauthorized, format!("this {what} belongs to another key"))
}

/// A poll that may wait: bounded in time, and in number for each account.
struct Poll<'a> {
    door: &'a AcmeDoor,
    account: AccountId,
    wait: Duration,
    /// Whether the client asked to wait, and may.
    preferred: bool,
    _waits: During,
}

impl<'a> Poll<'a> {
    /// `Prefer: wait=N` (RFC 7240 §4.3) shortens the wait; it can't lengthen it.
    fn begin(door: &'a AcmeDoor, guest: &Arc<Guest>, account: AccountId, headers: &HeaderMap) -> Self {
        let mut waiting = door.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let polls = waiting.entry(account).or_insert(0);
        *polls += 1;
        let free = *polls <= door.polls_per_account;
        let asked = preferred_wait(headers).filter(|_| free);
        let wait = match (free, asked) {
            (true, Some(asked)) => asked.min(door.poll_wait),
            (true, None) => door.poll_wait,
            (false, _) => Duration::ZERO,
        };
        Self { door, account, wait, preferred: asked.is_some(), _waits: guest.during(Part::Polling) }
    }
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        let mut waiting = self.door.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(polls) = waiting.get_mut(&self.account) {
            *polls -= 1;
            if *polls == 0 {
                waiting.remove(&self.account);
            }
        }
    }
}

fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let prefer = headers.get("prefer")?.to_str().ok()?;
    let seconds = prefer.split([',', ';']).find_map(|part| part.trim().strip_prefix("wait="))?;
    seconds.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_for_waiting_is_read_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(preferred_wait(&headers), None);
        headers.insert("prefer", "respond-async, wait=7".parse().expect("a header value"));
        assert_eq!(preferred_wait(&headers), Some(Duration::from_secs(7)));
        headers.insert("prefer", "wait=-1".parse().expect("a header value"));
        assert_eq!(preferred_wait(&headers), None);
    }
}
