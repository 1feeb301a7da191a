//! Metrics: read from the stores when they are asked for, so that they can't disagree with them.

use std::sync::Arc;

use ca::Ca;
use ca::ports::Stored;
use ct::{BuiltinLog, Endpoint};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode as encode_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use store::sqlite::Database;

use crate::publication::Publication;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AtPlace {
    stage: &'static str,
    place: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InStage {
    stage: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WithStatus {
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLog {
    log: String,
}

/// All metrics, in the text format of OpenMetrics.
///
/// # Errors
/// A store could not be asked.
pub async fn encode(
    ca: &Ca,
    database: &Database,
    logs: &[Arc<BuiltinLog>],
    publications: &[Arc<Publication>],
) -> Stored<String> {
    let mut registry = Registry::with_prefix("cairn");
    register_orders(&mut registry, ca).await?;
    register_records(&mut registry, ca).await?;
    register_clock(&mut registry, ca).await?;
    register_stops(&mut registry, ca).await?;
    register_ocsp(&mut registry, ca);
    register_crls(&mut registry, ca, publications);
    register_panics(&mut registry);
    register_store(&mut registry, database);
    register_logs(&mut registry, logs).await;
    let mut text = String::new();
    encode_text(&mut text, &registry).expect("writing to a string can't fail");
    Ok(text)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

async fn register_orders(registry: &mut Registry, ca: &Ca) -> Stored<()> {
    let orders = Family::<AtPlace, Gauge>::default();
    let oldest = Family::<InStage, Gauge>::default();
    let waiting = Family::<AtPlace, Gauge>::default();
    let claims = Family::<InStage, Gauge>::default();
    for (stage, count) in ca.workbench.counts().await? {
        let stage = stage.name();
        for (place, since) in
            [("queue", count.oldest_queued), ("lease", count.oldest_leased), ("park", count.oldest_parked)]
        {
            let age = since.map_or(0, |since| ca.now().since(since).as_secs());
            waiting.get_or_create(&AtPlace { stage, place }).set(whole(age));
        }
        claims.get_or_create(&InStage { stage }).set(i64::from(count.claims_max));
        for (place, number) in [
            ("queue", count.queued),
            ("lease", count.leased),
            ("park", count.parked),
            ("client", count.client),
            ("undelivered", count.undelivered),
            ("delivered", count.delivered),
            ("nowhere", count.nowhere),
            ("unreadable", count.unreadable),
        ] {
            orders.get_or_create(&AtPlace { stage, place }).set(whole(number));
        }
        let age = count.oldest_queued.map_or(0, |since| ca.now().since(since).as_secs());
        oldest.get_or_create(&InStage { stage }).set(whole(age));
    }
    registry.register(
        "active_orders",
        "Active orders by stage and place; done: those that await their acknowledgement",
        orders,
    );
    registry.register("oldest_queued_seconds", "Age of the oldest order in the queue of a stage", oldest);
    registry.register(
        "oldest_order_seconds",
        "How long the oldest order of a stage stands in its queue, under a lease, or waits for its next try (park)",
        waiting,
    );
    registry.register(
        "order_claims_max",
        "The most claims in its stage of an order that a worker holds or that waits for its next try",
        claims,
    );
    Ok(())
}

async fn register_records(registry: &mut Registry, ca: &Ca) -> Stored<()> {
    let counts = ca.ledger.counts().await?;
    let serials = Family::<WithStatus, Gauge>::default();
    for (status, number) in
        [("wait", counts.wait), ("good", counts.good), ("revoked", counts.revoked), ("abandoned", counts.abandoned)]
    {
        serials.get_or_create(&WithStatus { status }).set(whole(number));
    }
    registry.register(
        "serials",
        "Serials by status; abandoned: an issuance that was given up (also counted as wait or good)",
        serials,
    );
    let ended = Family::<WithStatus, Gauge>::default();
    for (status, number) in [
        ("valid", counts.valid),
        ("invalid", counts.invalid),
        ("delivered", counts.delivered),
        ("acknowledged", counts.acknowledged),
    ] {
        ended.get_or_create(&WithStatus { status }).set(whole(number));
    }
    registry.register(
        "ended_orders",
        "Orders that ended in Issue; delivered and acknowledged are parts of valid",
        ended,
    );
    let failed: Counter = Counter::default();
    failed.inc_by(counts.our_fault);
    registry.register(
        "orders_failed",
        "Orders that ended invalid in Issue by the CA's own fault (`cairn queue --failed` lists them)",
        failed,
    );
    let accounts: Gauge = Gauge::default();
    accounts.set(whole(counts.accounts));
    registry.register("accounts", "Accounts", accounts);
    Ok(())
}

async fn register_clock(registry: &mut Registry, ca: &Ca) -> Stored<()> {
    let behind: Gauge = Gauge::default();
    behind.set(ca.check_clock().await?.err().map_or(0, |behind| whole(behind.by().as_secs())));
    registry.register(
        "clock_behind_seconds",
        "By how much the clock is behind the newest record of the ledger, if nothing is signed for that; else 0",
        behind,
    );
    Ok(())
}

async fn register_stops(registry: &mut Registry, ca: &Ca) -> Stored<()> {
    let stops: Gauge = Gauge::default();
    stops.set(whole(ca.ledger.stops(true, ca::STOPS_MAX).await?.len() as u64));
    registry.register("issuance_stops", "Stops of issuance that stand (`cairn stop-issuance --list`)", stops);
    Ok(())
}

fn register_ocsp(registry: &mut Registry, ca: &Ca) {
    let counts = ca.ocsp.counts();
    let answers = Family::<WithStatus, Counter>::default();
    for (status, number) in [
        ("good", counts.good),
        ("revoked", counts.revoked),
        ("wait", counts.wait),
        ("malformedRequest", counts.malformed),
        ("unauthorized", counts.unauthorized),
        ("tryLater", counts.try_later),
        ("internalError", counts.internal),
    ] {
        answers.get_or_create(&WithStatus { status }).inc_by(number);
    }
    registry.register(
        "ocsp_answers",
        "OCSP requests answered since the start; wait: internalError for a serial that may have no certificate",
        answers,
    );
    for (name, help, number) in [
        ("ocsp_from_cache", "OCSP answers that were signed before they were asked for", counts.from_cache),
        ("ocsp_signatures", "OCSP answers signed since the start", counts.signed),
    ] {
        let counter: Counter = Counter::default();
        counter.inc_by(number);
        registry.register(name, help, counter);
    }
    let left = counts.responder_ends.map_or(0, |end| end.since(ca.now()).as_secs());
    for (name, help, number) in [
        ("ocsp_kept", "OCSP answers in memory", counts.kept),
        ("ocsp_kept_octets", "What they take", counts.kept_octets),
        ("ocsp_responder_seconds", "Until the certificate of the OCSP responder ends; 0: there is none", left),
    ] {
        let gauge: Gauge = Gauge::default();
        gauge.set(whole(number));
        registry.register(name, help, gauge);
    }
}

fn register_crls(registry: &mut Registry, ca: &Ca, publications: &[Arc<Publication>]) {
    let now = ca.now();
    let troubles = ca.crl_watch.troubles();
    let damaged = ca.crl_watch.damaged().len() as u64;
    let since = troubles.values().map(|trouble| now.since(trouble.since).as_secs()).max().unwrap_or(0);
    let mut gauges = vec![
        ("crls_failing", "CRLs that can't be made; the last ones stay", troubles.len() as u64),
        ("crls_damaged", "Shards whose last CRL was found damaged in the store since the start", damaged),
        ("crls_failing_seconds", "For how long one of them couldn't", since),
    ];
    if !publications.is_empty() {
        let since =
            publications.iter().filter_map(|one| one.trouble()).map(|(since, _)| now.since(since).as_secs()).max();
        let files = publications.iter().map(|one| one.failing()).sum();
        gauges.push(("crl_publication_failing", "CRLs and certificates that can't be published", files));
        gauges.push(("crl_publication_failing_seconds", "For how long one of them can't", since.unwrap_or(0)));
        if let Some(oldest) = publications.iter().filter_map(|one| one.oldest()).max() {
            gauges.push((
                "crl_published_age_seconds",
                "Age of the oldest published CRL that is renewed",
                oldest.as_secs(),
            ));
        }
    }
    for (name, help, number) in gauges {
        let gauge: Gauge = Gauge::default();
        gauge.set(whole(number));
        registry.register(name, help, gauge);
    }
}

fn register_panics(registry: &mut Registry) {
    let panics: Gauge = Gauge::default();
    panics.set(whole(ca::panics()));
    registry.register("panics", "Faults of this program that were met since the start; see its log", panics);
}

fn register_store(registry: &mut Registry, database: &Database) {
    let counts = database.writer_counts();
    for (name, help, number) in [
        ("store_requests", "Writes asked of the store since the start", counts.requests),
        ("store_transactions", "Transactions committed since the start", counts.transactions),
        ("store_syncs", "Transactions synced since the start", counts.syncs),
    ] {
        let gauge: Gauge = Gauge::default();
        gauge.set(whole(number));
        registry.register(name, help, gauge);
    }
}

async fn register_logs(registry: &mut Registry, logs: &[Arc<BuiltinLog>]) {
    let sizes = Family::<OfLog, Gauge>::default();
    for log in logs {
        // A log that can't be read is told by its absence, and by its own log lines.
        if let Ok(head) = log.tree_head().await {
            sizes.get_or_create(&OfLog { log: log.log_id().to_string() }).set(whole(head.size));
        }
    }
    registry.register("log_tree_size", "Leaves that the last tree head of a built-in log covers", sizes);
}
