//! `cairn queue`: what waits, for how long, and what ended by the CA's own fault.

use std::time::Duration;

use ca::OrderId;
use ca::order::Stage;
use ca::ports::{ActiveOrder, LedgerEnd, LedgerOrder, StageCount};
use pki::Timestamp;
use serde_json::{Value, json};

use super::order::{standing, tries};
use super::print::{Listing, Paper, duration, json_time, names_in_short, note_limit};
use super::{Failure, Folder};
use crate::fsck::Records;

/// Orders read at a time.
const PAGE: u32 = 500;

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Queue {
    /// Lists the orders that wait for the CA and not for their clients, those first that have waited longest
    #[arg(long, conflicts_with = "failed")]
    oldest: bool,
    /// Lists the orders that ended invalid by the CA's own fault, the latest first
    #[arg(long)]
    failed: bool,
    /// With --oldest, only those of this stage: makechallenge, testchallenge, issue or done
    #[arg(long, value_name = "STAGE", requires = "oldest")]
    stage: Option<Stage>,
    /// Lists at most so many (with --oldest: of each stage)
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    folder: Folder,
}

pub(super) async fn run(asked: &Queue, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let records = asked.folder.open()?;
    if asked.oldest {
        oldest(asked, &records, paper).await
    } else if asked.failed {
        failed(asked, &records, paper).await
    } else {
        counts(&asked.folder, &records, paper).await
    }
}

async fn counts(folder: &Folder, records: &Records, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let counts = records.workbench.counts().await.map_err(Failure::failed)?;
    let ended = records.ledger.counts().await.map_err(Failure::failed)?;
    let now = records.now();
    if !folder.json && counts.iter().all(|(_, count)| *count == StageCount::default()) {
        paper.line("there are no active orders");
    } else {
        let headers = [
            "stage",
            "queue",
            "oldest",
            "lease",
            "oldest",
            "park",
            "oldest",
            "claims",
            "client",
            "undelivered",
            "delivered",
            "nowhere",
            "unreadable",
        ];
        let mut listing = Listing::new(paper, folder.json, &headers);
        for (stage, count) in counts {
            let failed = if stage == Stage::Issue { ended.our_fault } else { 0 };
            listing.push(|| row(stage, &count, now), || document(stage, &count, failed, now));
        }
        listing.end("there are no active orders");
    }
    if !folder.json && ended.our_fault > 0 {
        paper.line(&failures(ended.our_fault, last_failure(records).await?, now));
    }
    Ok(())
}

fn row(stage: Stage, count: &StageCount, now: Timestamp) -> Vec<String> {
    let age = |since: Option<Timestamp>| since.map_or_else(|| "-".to_owned(), |since| duration(now.since(since)));
    vec![
        stage.name().to_owned(),
        count.queued.to_string(),
        age(count.oldest_queued),
        count.leased.to_string(),
        age(count.oldest_leased),
        count.parked.to_string(),
        age(count.oldest_parked),
        count.claims_max.to_string(),
        count.client.to_string(),
        count.undelivered.to_string(),
        count.delivered.to_string(),
        count.nowhere.to_string(),
        count.unreadable.to_string(),
    ]
}

fn document(stage: Stage, count: &StageCount, failed: u64, now: Timestamp) -> Value {
    let seconds = |since: Option<Timestamp>| since.map(|since| now.since(since).as_secs());
    json!({
        "stage": stage.name(),
        "queue": count.queued,
        "oldest_queued": json_time(count.oldest_queued),
        "oldest_queued_seconds": seconds(count.oldest_queued),
        "lease": count.leased,
        "oldest_leased": json_time(count.oldest_leased),
        "oldest_leased_seconds": seconds(count.oldest_leased),
        "park": count.parked,
        "oldest_parked": json_time(count.oldest_parked),
        "oldest_parked_seconds": seconds(count.oldest_parked),
        "claims_max": count.claims_max,
        "client": count.client,
        "undelivered": count.undelivered,
        "delivered": count.delivered,
        "nowhere": count.nowhere,
        "unreadable": count.unreadable,
        "failed": failed,
    })
}

async fn last_failure(records: &Records) -> Result<Option<Timestamp>, Failure> {
    let last = records.ledger.ended_by_our_fault(None, 1).await.map_err(Failure::failed)?;
    Ok(last.first().and_then(|order| order.end.as_ref()).map(|(_, at)| *at))
}

fn failures(number: u64, last: Option<Timestamp>, now: Timestamp) -> String {
    let last = last.map_or_else(String::new, |last| format!(", the last one {} ago", duration(now.since(last))));
    let orders = if number == 1 { "order" } else { "orders" };
    format!("{number} {orders} ended invalid by the CA's own fault{last}: `cairn queue --failed` lists them")
}

async fn oldest(asked: &Queue, records: &Records, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let headers = ["order", "stage", "place", "there for", "age", "dies in", "claims", "tries", "names"];
    let mut listing = Listing::new(paper, asked.folder.json, &headers);
    let now = records.now();
    let mut cut = false;
    for stage in asked.stage.map_or_else(|| Stage::ALL.to_vec(), |stage| vec![stage]) {
        // One more than asked for tells whether there are more.
        let found = records.workbench.oldest(stage, asked.limit + 1).await.map_err(Failure::failed)?;
        let shown = usize::try_from(asked.limit).unwrap_or(usize::MAX);
        cut |= found.len() > shown;
        for active in found.iter().take(shown) {
            listing.push(|| waiting_row(active, now), || waiting_document(active, now));
        }
    }
    listing.end("no order waits for the CA");
    note_limit(cut, asked.limit);
    Ok(())
}

/// How long an order has until it dies where it stands; nothing: its deadline is over, and the sweep ends it.
fn left(active: &ActiveOrder, now: Timestamp) -> Option<Duration> {
    active.order.deadline().filter(|deadline| *deadline > now).map(|deadline| deadline.since(now))
}

fn waiting_row(active: &ActiveOrder, now: Timestamp) -> Vec<String> {
    let order = &active.order;
    vec![
        order.id.to_string(),
        order.stage().name().to_owned(),
        standing(active.standing),
        duration(now.since(active.since)),
        duration(now.since(order.created)),
        left(active, now).map_or_else(|| "overdue".to_owned(), duration),
        active.claims.to_string(),
        tries(order).to_string(),
        names_in_short(order.identifiers.iter().map(ToString::to_string)),
    ]
}

fn waiting_document(active: &ActiveOrder, now: Timestamp) -> Value {
    let order = &active.order;
    json!({
        "id": order.id,
        "stage": order.stage().name(),
        "place": standing(active.standing),
        "since": json_time(active.since),
        "since_seconds": now.since(active.since).as_secs(),
        "created": json_time(order.created),
        "age_seconds": now.since(order.created).as_secs(),
        "deadline": json_time(order.deadline()),
        "deadline_seconds": left(active, now).map_or(0, |left| left.as_secs()),
        "claims": active.claims,
        "tries": tries(order),
        "account": order.account,
        "names": order.identifiers.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

async fn failed(asked: &Queue, records: &Records, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let mut listing = Listing::new(paper, asked.folder.json, &["order", "ended", "issuances", "names", "problem"]);
    let mut behind: Option<(Timestamp, OrderId)> = None;
    let (mut left, mut cut) = (asked.limit, false);
    while !cut && !listing.is_torn() {
        let page = records.ledger.ended_by_our_fault(behind, PAGE.min(left + 1)).await.map_err(Failure::failed)?;
        let Some(last) = page.last() else { break };
        behind = last.end.as_ref().map(|(_, at)| (*at, last.order.id));
        for known in &page {
            cut = left == 0;
            if cut {
                break;
            }
            left -= 1;
            listing.push(|| failed_row(known), || failed_document(known));
        }
    }
    listing.end("no order has ended by the CA's own fault");
    note_limit(cut, asked.limit);
    Ok(())
}

fn problem(known: &LedgerOrder) -> Option<&acme::Problem> {
    known.end.as_ref().and_then(|(end, _)| end.problem())
}

fn issuances(known: &LedgerOrder) -> u32 {
    known.last.map_or(0, |last| last.0)
}

fn failed_row(known: &LedgerOrder) -> Vec<String> {
    let order = &known.order;
    vec![
        order.id.to_string(),
        known.end.as_ref().map_or_else(|| "-".to_owned(), |(_, at)| at.to_rfc3339()),
        issuances(known).to_string(),
        names_in_short(order.identifiers.iter().map(ToString::to_string)),
        problem(known).map_or_else(|| "-".to_owned(), |problem| problem.detail.clone()),
    ]
}

fn failed_document(known: &LedgerOrder) -> Value {
    let order = &known.order;
    let stage = known.end.as_ref().and_then(|(end, _)| match end {
        LedgerEnd::Invalid(failure) => Some(failure.stage.name()),
        LedgerEnd::Valid(_) => None,
    });
    json!({
        "id": order.id,
        "ended": json_time(known.end.as_ref().map(|(_, at)| *at)),
        "stage": stage,
        "issuances": issuances(known),
        "account": order.account,
        "profile": order.profile,
        "names": order.identifiers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "created": json_time(order.created),
        "problem": problem(known),
    })
}
