//! The admin listener: metrics, health and the built-in logs for the operator. It changes nothing, but in the regime
//! `dev`, where it also is what Pebble's management interface is.

mod pebble;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ca::Ca;
use ca::crl::CrlDamage;
use ca::ports::{StopRecord, StoreError};
use ct::{BuiltinLog, Endpoint, ReadError};
use data_encoding::BASE64;
use pki::{LogId, Sha256};
use serde::{Deserialize, Serialize};
use store::sqlite::Database;

use super::acme::json;
use crate::hierarchy::Files;
use crate::hierarchy::log_keys::RetiredLog;
use crate::metrics;
use crate::publication::Publication;
use crate::upkeep::Stop;

/// A CRL that can't be made for so long is something that an operator has to look at.
const TROUBLE: std::time::Duration = std::time::Duration::from_secs(60);

/// What the admin listener needs.
#[derive(Debug)]
pub struct AdminDoor {
    /// The domain.
    pub ca: Arc<Ca>,
    /// The store, for its counters.
    pub database: Database,
    /// The built-in logs.
    pub logs: Vec<Arc<BuiltinLog>>,
    /// Those that have ended.
    pub retired: Vec<RetiredLog>,
    /// What brings CRLs elsewhere.
    pub publications: Vec<Arc<Publication>>,
    /// Where the keys are that Pebble's paths give away: in the regime `dev` alone.
    pub dev: Option<Files>,
    /// Whether the process is ending: it finishes what it has, and takes nothing new.
    pub draining: Stop,
}

/// The routes of the admin listener.
pub fn router(door: Arc<AdminDoor>) -> Router {
    let logs = log_router(door.logs.clone());
    let mut router = Router::new()
        .route("/", get(overview))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .route("/logs", get(log_list));
    if door.dev.is_some() {
        router = pebble::routes(router);
    }
    router.fallback(nothing_here).with_state(door).merge(logs)
}

async fn overview(State(door): State<Arc<AdminDoor>>) -> Response {
    let mut text = String::from("Cairn\n\n");
    if door.dev.is_some() {
        text.push_str(&format!("*** {} ***\n\n", crate::serve::DEVELOPMENT_MODE));
    }
    text.push_str("  /metrics   for Prometheus\n  /healthz   whether the stores answer\n");
    text.push_str("  /readyz    whether to send requests here\n");
    text.push_str("  /logs      the built-in CT logs, as a log list\n");
    for number in 0..door.logs.len() {
        text.push_str(&format!(
            "  /logs/{number}/ct/v1/get-sth, get-sth-consistency, get-proof-by-hash, get-entries\n"
        ));
    }
    if door.dev.is_some() {
        text.push_str("  /roots/N, /intermediates/N, /root-keys/N, /intermediate-keys/N   of chain N\n");
        text.push_str("  /cert-status-by-serial/SERIAL, POST /set-renewal-info/\n");
    }
    text.into_response()
}

/// So many damaged CRLs are told.
const DAMAGE_SHOWN: usize = 20;

/// So many stops of issuance are told, the newest ones.
const STOPS_SHOWN: u32 = 20;

/// Whether the process can work; the stops of issuance that stand.
async fn work(ca: &Ca) -> Result<Vec<StopRecord>, String> {
    let asked = async {
        ca.ledger.counts().await?;
        ca.workbench.counts().await?;
        let stops = ca.ledger.stops(true, STOPS_SHOWN).await?;
        Ok::<_, StoreError>(ca.check_clock().await?.map(|()| stops))
    };
    match asked.await {
        Ok(Ok(stops)) => Ok(stops),
        Ok(Err(behind)) => Err(behind.to_string()),
        Err(error) => Err(format!("the store does not answer: {error}")),
    }
}

fn trouble(what: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{what}\n")).into_response()
}

/// Who is ending is well: nobody has to end it before it has finished.
async fn health(State(door): State<Arc<AdminDoor>>) -> Response {
    let stops = match work(&door.ca).await {
        Ok(stops) => stops,
        Err(why) => return trouble(&why),
    };
    if let Some(why) = crl_trouble(&door.ca).or_else(|| publication_trouble(&door)) {
        return trouble(&why);
    }
    let state = if *door.draining.borrow() { DRAINING } else { "ok" };
    // A stop is no fault: whoever watches this has nothing to restart.
    let stops: String = stops.iter().map(|stop| format!("{stop}: {}\n", stop.reason)).collect();
    format!("{state}\n{stops}{}", crl_damage(&door.ca)).into_response()
}

/// What is said as long as the process finishes what it has.
const DRAINING: &str = "draining";

/// For load balancers: a CRL that can't be made keeps no client away.
async fn readiness(State(door): State<Arc<AdminDoor>>) -> Response {
    if *door.draining.borrow() {
        return trouble(DRAINING);
    }
    match work(&door.ca).await {
        Ok(_stops) => "ready\n".into_response(),
        Err(why) => trouble(&why),
    }
}

/// One that passes is none.
fn crl_trouble(ca: &Ca) -> Option<String> {
    let mut lasting =
        ca.crl_watch.troubles().into_iter().filter(|(_, trouble)| ca.now().since(trouble.since) >= TROUBLE);
    let ((_, shard), trouble) = lasting.next()?;
    let since = trouble.since.to_rfc3339();
    Some(format!("the CRL of shard {shard} can't be made since {since}: {}", trouble.why))
}

/// What is served is sound again, but the disk may not be.
fn crl_damage(ca: &Ca) -> String {
    let told = ca.crl_watch.damaged().into_iter().map(|((_, shard), CrlDamage { number, found, why })| {
        let found = found.to_rfc3339();
        format!("CRL {number} of shard {shard} was found damaged in the store at {found}: {why}; run cairn fsck\n")
    });
    told.take(DAMAGE_SHOWN).collect()
}

/// Relying parties see what was published before.
fn publication_trouble(door: &AdminDoor) -> Option<String> {
    let mut troubles = door.publications.iter().filter_map(|publication| publication.trouble());
    let lasting = troubles.find(|(since, _)| door.ca.now().since(*since) >= TROUBLE);
    lasting.map(|(_, line)| line)
}

async fn metrics(State(door): State<Arc<AdminDoor>>) -> Response {
    match metrics::encode(&door.ca, &door.database, &door.logs, &door.publications).await {
        Ok(text) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, content_type)], text).into_response()
        }
        Err(error) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("the store does not answer: {error}\n")).into_response()
        }
    }
}

async fn nothing_here() -> Response {
    (StatusCode::NOT_FOUND, "There is nothing here; see /.\n").into_response()
}

/// The built-in logs as a log list (v3), so that verifiers know their keys.
async fn log_list(State(door): State<Arc<AdminDoor>>) -> Response {
    #[derive(Serialize)]
    struct List {
        operators: [Operator; 1],
    }
    #[derive(Serialize)]
    struct Operator {
        name: &'static str,
        logs: Vec<Listed>,
    }
    #[derive(Serialize)]
    struct Listed {
        description: String,
        log_id: String,
        key: String,
        /// `None`: it answers nothing any more.
        #[serde(skip_serializing_if = "Option::is_none")]
        url: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<&'static str>,
    }
    let logs = door.logs.iter().enumerate().map(|(number, log)| Listed {
        description: format!("Cairn built-in log {number}"),
        log_id: log.log_id().to_string(),
        key: BASE64.encode(log.public_key().spki_der()),
        url: Some(format!("/logs/{number}/")),
        state: None,
    });
    let retired = door.retired.iter().map(|log| Listed {
        description: format!("Cairn built-in log that has ended ({})", log.name),
        log_id: LogId::of(&log.key).to_string(),
        key: BASE64.encode(log.key.spki_der()),
        url: None,
        state: Some("retired"),
    });
    let logs = logs.chain(retired);
    json(StatusCode::OK, &List { operators: [Operator { name: "Cairn", logs: logs.collect() }] })
}

type Logs = Arc<Vec<Arc<BuiltinLog>>>;

/// The read side of RFC 6962 §4 for each built-in log.
pub fn log_router(logs: Vec<Arc<BuiltinLog>>) -> Router {
    Router::new()
        .route("/logs/{number}/ct/v1/get-sth", get(tree_head))
        .route("/logs/{number}/ct/v1/get-sth-consistency", get(consistency))
        .route("/logs/{number}/ct/v1/get-proof-by-hash", get(proof))
        .route("/logs/{number}/ct/v1/get-entries", get(entries))
        .route("/logs/{number}/ct/v1/get-entry-and-proof", get(entry_and_proof))
        .route("/logs/{number}/ct/v1/get-roots", get(roots))
        .with_state(Arc::new(logs))
}

async fn tree_head(State(logs): State<Logs>, Path(number): Path<usize>) -> Response {
    match logs.get(number) {
        Some(log) => answer(log.signed_tree_head().await),
        None => nothing_here().await,
    }
}

#[derive(Deserialize)]
struct Sizes {
    first: u64,
    second: u64,
}

async fn consistency(State(logs): State<Logs>, Path(number): Path<usize>, Query(query): Query<Sizes>) -> Response {
    match logs.get(number) {
        Some(log) => answer(log.sth_consistency(query.first, query.second).await),
        None => nothing_here().await,
    }
}

#[derive(Deserialize)]
struct ByHash {
    hash: String,
    tree_size: u64,
}

async fn proof(State(logs): State<Logs>, Path(number): Path<usize>, Query(query): Query<ByHash>) -> Response {
    let Some(log) = logs.get(number) else { return nothing_here().await };
    let hash = BASE64.decode(query.hash.as_bytes()).ok().and_then(|hash| <[u8; 32]>::try_from(hash).ok());
    match hash {
        Some(hash) => answer(log.proof_by_hash(Sha256::from_bytes(hash), query.tree_size).await),
        None => bad_request("hash is no SHA-256 in base64"),
    }
}

#[derive(Deserialize)]
struct Range {
    start: u64,
    end: u64,
}

async fn entries(State(logs): State<Logs>, Path(number): Path<usize>, Query(query): Query<Range>) -> Response {
    match logs.get(number) {
        Some(log) => answer(log.entries(query.start, query.end).await),
        None => nothing_here().await,
    }
}

#[derive(Deserialize)]
struct LeafOf {
    leaf_index: u64,
    tree_size: u64,
}

async fn entry_and_proof(State(logs): State<Logs>, Path(number): Path<usize>, Query(query): Query<LeafOf>) -> Response {
    match logs.get(number) {
        Some(log) => answer(log.entry_and_proof(query.leaf_index, query.tree_size).await),
        None => nothing_here().await,
    }
}

async fn roots(State(logs): State<Logs>, Path(number): Path<usize>) -> Response {
    match logs.get(number) {
        Some(log) => json(StatusCode::OK, &log.roots()),
        None => nothing_here().await,
    }
}

fn answer(read: Result<impl Serialize, ReadError>) -> Response {
    match read {
        Ok(object) => json(StatusCode::OK, &object),
        Err(ReadError::Refused(why)) => bad_request(&why),
        Err(error @ (ReadError::Key(_) | ReadError::Store(_))) => {
            tracing::error!(%error, "the built-in log could not be read");
            (StatusCode::SERVICE_UNAVAILABLE, "the log can't be read now\n").into_response()
        }
    }
}

fn bad_request(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response()
}
