//! The ACME listener (RFC 8555): from signed requests to the domain, and from its answers to objects on the wire.

mod accounts;
mod certificates;
mod delivery;
mod guard;
mod objects;
mod orders;
mod renewal;
mod request;
mod response;
mod terms;
mod urls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acme::{Directory, DirectoryMeta, Problem};
use axum::Router;
use axum::extract::{FromRequestParts, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use ca::settings::ExternalAccounts;
use ca::{AccountId, Ca};

use crate::config::RetryAfter;
use crate::dev::Faults;
use request::Post;
use response::{Outcome, Reply, nonce_only};
pub(crate) use response::{json, problem};
pub(crate) use urls::Base;

use super::errands::Errands;
use super::limits::ListenerLimits;

/// What the ACME listener needs beside the domain.
#[derive(Debug)]
pub struct AcmeDoor {
    /// The domain.
    pub ca: Arc<Ca>,
    /// The configured base URL; without one URLs follow the request's Host.
    pub base_url: Option<String>,
    /// Shown in the directory.
    pub website: Option<String>,
    /// The issuer domain names that this CA looks for in CAA records (RFC 8659 §4.2).
    pub caa_identities: Vec<String>,
    /// A poll waits at most this long for a change.
    pub poll_wait: Duration,
    /// So many polls of one account wait at the same time; further ones are answered at once.
    pub polls_per_account: usize,
    /// The largest body of a request, in octets.
    pub body_octets_max: usize,
    /// The limits of the listener: of heads, and of the time of a body.
    pub limits: ListenerLimits,
    /// Polls that now wait, by account.
    pub waiting: Mutex<HashMap<AccountId, usize>>,
    /// Faults for the tests of clients.
    pub faults: Faults,
    /// When clients are asked to ask again.
    pub retry_after: RetryAfter,
    /// What goes on when a client hangs up.
    pub errands: Errands,
}

/// The routes of the ACME listener.
pub fn router(door: Arc<AcmeDoor>) -> Router {
    Router::new()
        .route(ca::urls::DIRECTORY, get(directory).merge(on_post(directory_by_post)))
        .route(ca::urls::NEW_NONCE, get(new_nonce).merge(on_post(nonce_by_post)))
        .route(ca::urls::TERMS, get(terms::page))
        .route(ca::urls::NEW_ACCOUNT, on_post(accounts::new_account))
        .route("/acct/{id}", on_post(accounts::account))
        .route("/acct/{id}/orders", on_post(accounts::orders))
        .route("/acct/{id}/orders/{place}", on_post(accounts::orders_behind))
        .route(ca::urls::KEY_CHANGE, on_post(accounts::key_change))
        .route(ca::urls::NEW_ORDER, on_post(orders::new_order))
        .route("/order/{id}", on_post(orders::order))
        .route("/order/{id}/finalize", on_post(orders::finalize))
        .route("/order/{id}/acknowledge", on_post(orders::acknowledge))
        .route("/authz/{id}", on_post(orders::authorization))
        .route("/chall/{id}/{kind}", on_post(orders::challenge))
        .route("/cert/{serial}", on_post(certificates::certificate))
        .route("/cert/{serial}/{chain}", on_post(certificates::alternate))
        .route("/renewal-info/{name}", get(renewal::renewal_info))
        .route(ca::urls::REVOKE_CERT, on_post(certificates::revoke))
        .fallback(no_such_resource)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&door), guard::guard))
        .with_state(door)
}

async fn directory(State(door): State<Arc<AcmeDoor>>, uri: Uri, headers: HeaderMap) -> Response {
    match Base::of(&door, &uri, &headers) {
        Ok(base) => response::cross_origin(json(StatusCode::OK, &directory_object(&door, &base))),
        Err(refused) => problem(&refused, None),
    }
}

/// RFC 8555 §6.3: the directory can be read by POST-as-GET too.
async fn directory_by_post(mut post: Post, (): ()) -> Outcome<Reply> {
    let signed = post.by_any_account().await?;
    signed.request.expect_post_as_get().map_err(|error| error.problem())?;
    Ok(Reply::object(StatusCode::OK, &directory_object(&post.door, &signed.base)))
}

/// RFC 8555 §6.3: and so can newNonce, whose answer is its nonce.
async fn nonce_by_post(mut post: Post, (): ()) -> Outcome<Reply> {
    let signed = post.by_any_account().await?;
    signed.request.expect_post_as_get().map_err(|error| error.problem())?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn directory_object(door: &AcmeDoor, base: &Base) -> Directory {
    let settings = &door.ca.settings;
    let profiles = settings.profiles.iter().filter(|profile| profile.offered);
    Directory {
        new_nonce: base.url(ca::urls::NEW_NONCE),
        new_account: base.url(ca::urls::NEW_ACCOUNT),
        new_order: base.url(ca::urls::NEW_ORDER),
        revoke_cert: base.url(ca::urls::REVOKE_CERT),
        new_authz: None,
        key_change: Some(base.url(ca::urls::KEY_CHANGE)),
        renewal_info: Some(base.url(ca::urls::RENEWAL_INFO)),
        meta: DirectoryMeta {
            terms_of_service: settings.terms.as_ref().map(|terms| terms.url.clone()),
            website: door.website.clone(),
            caa_identities: door.caa_identities.clone(),
            external_account_required: settings.external_accounts == ExternalAccounts::Required,
            profiles: profiles.map(|profile| (profile.name.clone(), profile.description.clone())).collect(),
        },
    }
}

/// RFC 8555 §7.2: HEAD answers 200, GET 204.
async fn new_nonce(State(door): State<Arc<AcmeDoor>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let base = Base::of(&door, &uri, &headers).ok();
    match door.ca.workbench.issue_nonce().await {
        Ok(nonce) => {
            let status = if method == Method::HEAD { StatusCode::OK } else { StatusCode::NO_CONTENT };
            nonce_only(status, &nonce, base.as_ref())
        }
        Err(error) => {
            response::error(&ca::Error::Failed(format!("no nonce could be made: {error}")), base.as_ref(), None)
        }
    }
}

async fn no_such_resource(State(door): State<Arc<AcmeDoor>>, uri: Uri, headers: HeaderMap) -> Response {
    let refused = Problem::malformed(format!("there is no resource {}; begin at {}", uri.path(), ca::urls::DIRECTORY));
    problem(&refused.with_status(404), Base::of(&door, &uri, &headers).ok().as_ref())
}

async fn wrong_method(State(door): State<Arc<AcmeDoor>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method == Method::OPTIONS {
        return response::preflight();
    }
    let right = match uri.path() {
        ca::urls::DIRECTORY | ca::urls::TERMS => "GET",
        ca::urls::NEW_NONCE => "HEAD or GET",
        path if path.starts_with(ca::urls::RENEWAL_INFO) => "GET (RFC 9773 §4.1)",
        _ => "POST, signed; to read it send a POST-as-GET (RFC 8555 §6.3)",
    };
    let refused = Problem::malformed(format!("{method} can't be used here; use {right}"));
    problem(&refused.with_status(405), Base::of(&door, &uri, &headers).ok().as_ref())
}

/// Routes POSTs to what makes their answers, with what all of these have in common around it.
fn on_post<T, F>(make: impl Fn(Post, T) -> F + Clone + Send + Sync + 'static) -> MethodRouter<Arc<AcmeDoor>>
where
    T: FromRequestParts<Arc<AcmeDoor>> + Send + 'static,
    F: Future<Output = Outcome<Reply>> + Send + 'static,
{
    post(move |path: T, post: Post| {
        let (door, base) = (Arc::clone(&post.door), post.base.clone().ok());
        let made = make(post, path);
        async move { respond(&door, base.as_ref(), made.await).await }
    })
}

async fn respond(door: &AcmeDoor, base: Option<&Base>, outcome: Outcome<Reply>) -> Response {
    let response = match terms::with_page(outcome, base) {
        Ok(reply) => reply.into_response(base),
        Err(error) => response::error(&error, base, terms::link(door)),
    };
    response::with_nonce(door, response).await
}
