//! Orders, authorizations and challenges (RFC 8555 §7.4, §7.5).

use std::sync::PoisonError;
use std::time::Duration;

use acme::{AuthorizationStatus, AuthorizationUpdate, ChallengeKind, NewOrder, OrderStatus, Problem, ProblemType};
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use ca::order::Order;
use ca::{AccountId, AuthorizationId, AuthorizationView, Error, OrderId, urls};

use super::request::{ByAccount, Post};
use super::response::{Outcome, Reply};
use super::{AcmeDoor, Base, objects};
use crate::http::guests::{During, Part};

pub(super) async fn new_order(mut post: Post, (): ()) -> Outcome<Reply> {
    let ByAccount { base, account, request } = post.by_account().await?;
    let door = &post.door;
    let asked: NewOrder = request.json().map_err(|error| error.problem())?;
    if door.faults.limits_order() {
        return Err(Error::refused(ProblemType::RateLimited, "this order is refused for a test; try it again"));
    }
    let order = door.ca.new_order(&account, &asked).await?;
    Ok(reply(door, &base, StatusCode::CREATED, &order))
}

pub(super) async fn order(mut post: Post, Path(id): Path<String>) -> Outcome<Reply> {
    let ByAccount { base, account, request } = post.by_any_account().await?;
    request.expect_post_as_get().map_err(|error| error.problem())?;
    let poll = Poll::begin(&post, account.id);
    let order = post.door.ca.order_changed(&account, order_id(&id)?, poll.wait).await?;
    Ok(reply(&post.door, &base, StatusCode::OK, &order).waited(poll.preferred))
}

pub(super) async fn finalize(mut post: Post, Path(id): Path<String>) -> Outcome<Reply> {
    let ByAccount { base, account, request } = post.by_account().await?;
    let order = post.door.ca.finalize(&account, order_id(&id)?, request).await?;
    Ok(reply(&post.door, &base, StatusCode::OK, &order))
}

/// Our extension: the client says that it has its certificate, by a POST of `{}`.
pub(super) async fn acknowledge(mut post: Post, Path(id): Path<String>) -> Outcome<Reply> {
    let ByAccount { base, account, request } = post.by_any_account().await?;
    let _: serde_json::Map<String, serde_json::Value> = request.json().map_err(|error| error.problem())?;
    let order = post.door.ca.acknowledge(&account, order_id(&id)?).await?;
    Ok(reply(&post.door, &base, StatusCode::OK, &order))
}

pub(super) async fn authorization(mut post: Post, Path(id): Path<String>) -> Outcome<Reply> {
    let ByAccount { base, account, request } = post.by_any_account().await?;
    let id = authorization_id(&id)?;
    let mut waited = false;
    let view = if request.is_post_as_get() {
        let poll = Poll::begin(&post, account.id);
        waited = poll.preferred;
        post.door.ca.authorization_changed(&account, id, poll.wait).await?
    } else {
        let update: AuthorizationUpdate = request.json().map_err(|error| error.problem())?;
        require_deactivation(update.status)?;
        post.door.ca.deactivate_authorization(&account, id).await?
    };
    let object = objects::authorization(&base, &view, post.door.ca.now());
    Ok(Reply::object(StatusCode::OK, &object).retry_after(at_work(&post.door, &view)).waited(waited))
}

pub(super) async fn challenge(mut post: Post, Path((id, kind)): Path<(String, String)>) -> Outcome<Reply> {
    let ByAccount { base, account, request } = post.by_any_account().await?;
    let id = authorization_id(&id)?;
    let kind: ChallengeKind = kind.parse().map_err(|_| no_such("challenge"))?;
    let view = if request.is_post_as_get() {
        post.door.ca.authorization(&account, id).await?
    } else {
        // RFC 8555 §7.5.1, erratum 5729: an object, whatever its members are.
        let _: serde_json::Map<String, serde_json::Value> = request.json().map_err(|error| error.problem())?;
        post.door.ca.require_agreement(&account)?;
        post.door.ca.answer(&account, id, kind).await?
    };
    let shown = view.authorization.challenge(kind.into());
    let object = shown.and_then(|one| objects::challenge(&base, id, one)).ok_or_else(|| no_such("challenge"))?;
    let up = base.url(&urls::authorization(id));
    Ok(Reply::object(StatusCode::OK, &object).up(up).retry_after(at_work(&post.door, &view)))
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
    _waits: Option<During>,
}

impl<'a> Poll<'a> {
    /// `Prefer: wait=N` (RFC 7240 §4.3) shortens the wait; it can't lengthen it.
    fn begin(post: &'a Post, account: AccountId) -> Self {
        let door = &*post.door;
        let mut waiting = door.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let polls = waiting.entry(account).or_insert(0);
        *polls += 1;
        let free = *polls <= door.polls_per_account;
        let asked = preferred_wait(&post.headers).filter(|_| free);
        let wait = match (free, asked) {
            (true, Some(asked)) => asked.min(door.poll_wait),
            (true, None) => door.poll_wait,
            (false, _) => Duration::ZERO,
        };
        let waits = post.guest.as_ref().map(|guest| guest.during(Part::Polling));
        Self { door, account, wait, preferred: asked.is_some(), _waits: waits }
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
