//! newAccount and accounts (RFC 8555 §7.3).

use std::sync::Arc;

use acme::{AccountUpdate, OrderList, Problem};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use ca::account::Account;
use ca::{AccountId, Error, KeyChanged, OrderCursor, urls};

use super::request::ByAccount;
use super::response::{Outcome, Reply};
use super::{AcmeDoor, Base, objects, orders, respond};

pub(super) async fn new_account(
    State(door): State<Arc<AcmeDoor>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    respond(&door, base.as_ref(), make(&door, &uri, &headers, body).await).await
}

async fn make(door: &AcmeDoor, uri: &Uri, headers: &HeaderMap, body: Body) -> Outcome<Reply> {
    let signed = door.by_key(uri, headers, body).await?;
    let base = signed.base;
    let (account, new) = door.ca.new_account(signed.request).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(reply(&base, status, &account))
}

pub(super) async fn account(
    State(door): State<Arc<AcmeDoor>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    let outcome = async {
        // Agreement comes from here, so that it can't be asked for.
        let signed = door.by_any_account(&uri, &headers, body).await?;
        update(&door, &id, signed).await
    };
    respond(&door, base.as_ref(), outcome.await).await
}

async fn update(door: &AcmeDoor, id: &str, signed: ByAccount) -> Outcome<Reply> {
    let ByAccount { base, account, request } = signed;
    require_own(id, &account, "account")?;
    let account = if request.is_post_as_get() {
        account
    } else {
        let update: AccountUpdate = request.json().map_err(|error| error.problem())?;
        // A client that hangs up must not leave a deactivation half done: nobody could ask for the rest of it.
        let ca = Arc::clone(&door.ca);
        let updating = tokio::spawn(async move { ca.update_account(&account, &update).await });
        updating.await.map_err(|error| Error::Failed(format!("an update of an account ended early: {error}")))??
    };
    Ok(reply(&base, StatusCode::OK, &account))
}

pub(super) async fn key_change(
    State(door): State<Arc<AcmeDoor>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    let outcome = async {
        let ByAccount { base, account, request } = door.by_any_account(&uri, &headers, body).await?;
        // A client that hangs up must not leave it open whether its key was changed.
        let ca = Arc::clone(&door.ca);
        let changing = tokio::spawn(async move { ca.change_key(&account, request).await });
        let changed = changing.await.map_err(|error| Error::Failed(format!("a key change ended early: {error}")))??;
        Ok(match changed {
            KeyChanged::Done(account) => reply(&base, StatusCode::OK, &account),
            KeyChanged::Taken(other) => {
                let taken = Problem::malformed(
                    "another account has this key: its URL is in Location; use a new key (RFC 8555 §7.3.5)",
                );
                Reply::problem(&taken.with_status(409)).at(base.url(&urls::account(other)))
            }
        })
    };
    respond(&door, base.as_ref(), outcome.await).await
}

/// The first page of the account's orders (RFC 8555 §7.1.2.1).
pub(super) async fn orders(
    State(door): State<Arc<AcmeDoor>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    let outcome = async {
        let signed = door.by_any_account(&uri, &headers, body).await?;
        order_page(&door, &id, signed, None).await
    };
    respond(&door, base.as_ref(), outcome.await).await
}

/// A later page.
pub(super) async fn orders_behind(
    State(door): State<Arc<AcmeDoor>>,
    Path((id, place)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    let outcome = async {
        let signed = door.by_any_account(&uri, &headers, body).await?;
        let place = place.parse().map_err(|_| orders::no_such("page of orders"))?;
        order_page(&door, &id, signed, Some(place)).await
    };
    respond(&door, base.as_ref(), outcome.await).await
}

async fn order_page(door: &AcmeDoor, id: &str, signed: ByAccount, place: Option<OrderCursor>) -> Outcome<Reply> {
    let ByAccount { base, account, request } = signed;
    require_own(id, &account, "list of orders")?;
    request.expect_post_as_get().map_err(|error| error.problem())?;
    let page = door.ca.orders_of(&account, place).await?;
    let list = OrderList { orders: page.orders.iter().map(|id| base.url(&urls::order(*id))).collect() };
    let next = page.next.map(|place| base.url(&urls::orders_behind(account.id, place)));
    Ok(Reply::object(StatusCode::OK, &list).next(next))
}

fn require_own(id: &str, account: &Account, what: &str) -> Outcome<()> {
    if id.parse::<AccountId>().ok() == Some(account.id) { Ok(()) } else { Err(orders::not_yours(what)) }
}

fn reply(base: &Base, status: StatusCode, account: &Account) -> Reply {
    Reply::object(status, &objects::account(base, account)).at(base.url(&urls::account(account.id)))
}
