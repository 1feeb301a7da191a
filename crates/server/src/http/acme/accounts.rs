//! newAccount and accounts (RFC 8555 §7.3).

use std::sync::Arc;

use acme::{AccountUpdate, OrderList, Problem};
use axum::extract::Path;
use axum::http::StatusCode;
use ca::account::Account;
use ca::{AccountId, Error, KeyChanged, OrderCursor, urls};

use super::request::{ByAccount, Post};
use super::response::{Outcome, Reply};
use super::{AcmeDoor, Base, objects, orders};

pub(super) async fn new_account(mut post: Post, (): ()) -> Outcome<Reply> {
    let signed = post.by_key().await?;
    let base = signed.base;
    let (account, new) = post.door.ca.new_account(signed.request).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(reply(&base, status, &account))
}

pub(super) async fn account(mut post: Post, Path(id): Path<String>) -> Outcome<Reply> {
    // Agreement comes from here, so that it can't be asked for.
    let signed = post.by_any_account().await?;
    update(&post.door, &id, signed).await
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
        let updating = door.errands.run(async move { ca.update_account(&account, &update).await });
        updating.await.map_err(|error| Error::Failed(format!("an update of an account: {error}")))??
    };
    Ok(reply(&base, StatusCode::OK, &account))
}

pub(super) async fn key_change(mut post: Post, (): ()) -> Outcome<Reply> {
    let ByAccount { base, account, request } = post.by_any_account().await?;
    // A client that hangs up must not leave it open whether its key was changed.
    let ca = Arc::clone(&post.door.ca);
    let changing = post.door.errands.run(async move { ca.change_key(&account, request).await });
    let changed = changing.await.map_err(|error| Error::Failed(format!("a key change: {error}")))??;
    Ok(match changed {
        KeyChanged::Done(account) => reply(&base, StatusCode::OK, &account),
        KeyChanged::Taken(other) => {
            let taken = Problem::malformed(
                "another account has this key: its URL is in Location; use a new key (RFC 8555 §7.3.5)",
            );
            Reply::problem(&taken.with_status(409)).at(base.url(&urls::account(other)))
        }
    })
}

/// The first page of the account's orders (RFC 8555 §7.1.2.1).
pub(super) async fn orders(mut post: Post, Path(id): Path<String>) -> Outcome<Reply> {
    let signed = post.by_any_account().await?;
    order_page(&post.door, &id, signed, None).await
}

/// A later page.
pub(super) async fn orders_behind(mut post: Post, Path((id, place)): Path<(String, String)>) -> Outcome<Reply> {
    let signed = post.by_any_account().await?;
    let place = place.parse().map_err(|_| orders::no_such("page of orders"))?;
    order_page(&post.door, &id, signed, Some(place)).await
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
