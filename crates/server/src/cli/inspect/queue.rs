//! `cairn queue`.

use std::time::Duration;

use ca::ports::StageCount;
use serde_json::json;

use super::print::{Listing, Paper, duration, json_time};
use super::{Failure, Folder};

pub(super) async fn show(folder: &Folder, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let records = folder.open()?;
    let counts = records.workbench.counts().await.map_err(Failure::failed)?;
    let now = records.now();
    if !folder.json && counts.iter().all(|(_, count)| *count == StageCount::default()) {
        paper.line("there are no active orders");
        return Ok(());
    }
    let headers = ["stage", "queue", "oldest", "lease", "park", "client", "undelivered", "delivered", "nowhere"];
    let mut listing = Listing::new(paper, folder.json, &headers);
    for (stage, count) in counts {
        let age: Option<Duration> = count.oldest_queued.map(|since| now.since(since));
        listing.push(
            || {
                vec![
                    stage.name().to_owned(),
                    count.queued.to_string(),
                    age.map_or_else(|| "-".to_owned(), duration),
                    count.leased.to_string(),
                    count.parked.to_string(),
                    count.client.to_string(),
                    count.undelivered.to_string(),
                    count.delivered.to_string(),
                    count.nowhere.to_string(),
                ]
            },
            || {
                json!({
                    "stage": stage.name(),
                    "queue": count.queued,
                    "oldest_queued": json_time(count.oldest_queued),
                    "oldest_queued_seconds": age.map(|age| age.as_secs()),
                    "lease": count.leased,
                    "park": count.parked,
                    "client": count.client,
                    "undelivered": count.undelivered,
                    "delivered": count.delivered,
                    "nowhere": count.nowhere,
                })
            },
        );
    }
    listing.end("there are no active orders");
    Ok(())
}
