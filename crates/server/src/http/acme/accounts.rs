//! newAccount and accounts (RFC 8555 §7.3).

use std::sync::Arc;

use acme::AccountUpdate;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use ca::{AccountId, urls};

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
    Ok(Reply::object(status, &objects::account(&account)).at(base.url(&urls::account(account.id))))
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
        let signed = door.by_account(&uri, &headers, body).await?;
        update(&door, &id, signed).await
    };
    respond(&door, base.as_ref(), outcome.await).await
}

async fn update(door: &AcmeDoor, id: &str, signed: ByAccount) -> Outcome<Reply> {
    let ByAccount { base, account, request } = signed;
    if id.parse::<AccountId>().ok() != Some(account.id) {
        return Err(orders::not_yours("account"));
    }
    let account = if request.is_post_as_get() {
        account
    } else {
        let update: AccountUpdate = request.json().map_err(|error| error.problem())?;
        door.ca.update_account(&account, &update).await?
    };
    Ok(Reply::object(StatusCode::OK, &objects::account(&account)).at(base.url(&urls::account(account.id))))
}
