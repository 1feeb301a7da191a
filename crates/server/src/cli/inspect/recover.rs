//! `cairn recover`.

use std::path::{Path, PathBuf};

use ca::Survey;
use ca::ports::RecoveryRecord;
use pki::Timestamp;
use serde_json::{Value, json};
use store::audit::Progress;

use super::print::Paper;
use super::{Failure, Folder, fsck, progress};
use crate::found::spoken;
use crate::places::folder_of;
use crate::restoration::{Done, Log, Workplace};

/// What an audit log does not hold.
const NOT_IN_THE_LOG: [&str; 9] = [
    "accounts, their keys, contacts and deactivations; keys for external account binding",
    "orders that did not come to a signature, and how they ended",
    "authorizations with their evidence, CAA checks",
    "whose order a restored certificate was for, its profile and its finalize request",
    "serials for which nothing was signed (`wait`)",
    "leaves and tree heads of the built-in CT logs",
    "which certificates were delivered and acknowledged",
    "which certificates were replaced, rules for renewals",
    "agreements to terms of service",
];

/// What was ended or changed in that time, and is as it was before.
const COMES_BACK: [&str; 5] = [
    "deactivated accounts are valid; changed account keys are the old ones, which others may know",
    "deactivated authorizations are valid, and are used for new orders",
    "withdrawn keys for external account binding can be used",
    "orders that had ended without a certificate are open",
    "withdrawn rules for renewals stand",
];

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Recover {
    #[command(flatten)]
    folder: Folder,
    /// The server's configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Shows what would be done, and does nothing
    #[arg(long)]
    dry_run: bool,
    /// Takes back a recovery that was begun from the wrong log and of which nothing was restored yet
    #[arg(long, conflicts_with_all = ["dry_run", "log"])]
    abandon: bool,
    /// The audit log of an instance that never returns, from which this ledger was moved here: its files, or their
    /// folder
    #[arg(long, value_name = "FILE", num_args = 1..)]
    log: Vec<PathBuf>,
}

pub(super) async fn run(asked: &Recover, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let config = fsck::configuration(&asked.folder, asked.config.as_ref())?;
    let place = Workplace::take(config, !asked.log.is_empty()).await.map_err(Failure::failed)?;
    if asked.abandon {
        let from = place.abandon().await.map_err(Failure::failed)?;
        paper.line(&format!("the recovery from the log of instance {from} is taken back; nothing of it was restored"));
        return Ok(());
    }
    let mut told = Vec::new();
    let mut changed = false;
    // Its own log comes first: another one is brought into a ledger that is whole.
    let own = place.own_log();
    let survey = survey(&place, &own).await?;
    let own_is_unfinished = survey.unfinished.as_ref().is_some_and(|one| one.from == own.from);
    if survey.unknown.is_some() || own_is_unfinished || asked.log.is_empty() {
        let needed = survey.is_needed();
        changed |= one(&place, (&own, &survey, needed), asked, (paper, &mut told)).await?;
    }
    for path in folders(&asked.log) {
        let log = verified(&place, path).await?;
        let survey = self::survey(&place, &log).await?;
        // A start brings in what a crash left, but of its own log only.
        let needed = survey.is_needed() || survey.behind.total() > 0;
        changed |= one(&place, (&log, &survey, needed), asked, (paper, &mut told)).await?;
    }
    let crls = if changed { Some(place.renew_crls().await.map_err(Failure::failed)?) } else { None };
    if asked.folder.json {
        paper.json(&json!({ "logs": told, "crls_made": crls }));
    } else if let Some(made) = crls {
        paper.line(&format!(
            "CRLs that show it were made: {made}. `cairn fsck` looks at all of it; `cairn serve` goes on."
        ));
    }
    Ok(())
}

/// Files of one log count once.
fn folders(paths: &[PathBuf]) -> Vec<&PathBuf> {
    let mut folders = Vec::new();
    let mut seen = Vec::new();
    for path in paths {
        let folder = if path.is_file() { folder_of(path) } else { path.as_path() };
        if !seen.contains(&folder) {
            seen.push(folder);
            folders.push(path);
        }
    }
    folders
}

async fn verified(place: &Workplace, path: &Path) -> Result<Log, Failure> {
    let bar = progress::Progress::of("verifying the audit log", None);
    let mut tell = |progress: Progress| {
        bar.set_length(progress.octets_total);
        bar.set_position(progress.octets);
    };
    let log = place.foreign_log(path, &mut tell).await;
    bar.finish_and_clear();
    log.map_err(Failure::failed)
}

async fn survey(place: &Workplace, log: &Log) -> Result<Survey, Failure> {
    let bar = progress::Progress::counting("reading the audit log, line");
    let survey = place.survey(log, &mut |line| bar.set_position(line)).await;
    bar.finish_and_clear();
    survey.map_err(Failure::failed)
}

/// One log. Whether the ledger was changed.
async fn one(
    place: &Workplace,
    (log, survey, needed): (&Log, &Survey, bool),
    asked: &Recover,
    (paper, told): (&mut Paper<'_>, &mut Vec<Value>),
) -> Result<bool, Failure> {
    if !asked.folder.json {
        for line in findings(log, survey, needed) {
            paper.line(&line);
        }
    }
    let done = if needed && !asked.dry_run {
        let bar = progress::Progress::counting("restoring, line");
        let done = place.restore(log, survey, &mut |line| bar.set_position(line)).await;
        bar.finish_and_clear();
        Some(done.map_err(Failure::failed)?)
    } else {
        None
    };
    match &done {
        Some(done) if !asked.folder.json => outcome(done).iter().for_each(|line| paper.line(line)),
        None if needed && !asked.folder.json => paper.line("nothing was changed: this was a dry run"),
        Some(_) | None => {}
    }
    told.push(document(log, survey, needed, done.as_ref()));
    Ok(done.is_some())
}

/// What was found, for people.
fn findings(log: &Log, survey: &Survey, needed: bool) -> Vec<String> {
    let folder = log.folder.display();
    if !needed {
        let left = match survey.missing.total() {
            0 => String::new(),
            lines => format!("; the next start brings in {lines} lines that a crash kept from it"),
        };
        return vec![format!("nothing to recover: the ledger is as new as the audit log in {folder}{left}")];
    }
    let mut lines = Vec::new();
    let (since, until) = match &survey.unfinished {
        Some(record) => {
            if record.from == log.from {
                lines.push(format!("a recovery that began {} was broken off: it is gone on with", record.begun));
            }
            (record.since, Some(record.until))
        }
        None => (survey.since, survey.until),
    };
    match &survey.unknown {
        Some(unknown) => {
            lines.push(format!("the ledger is older than the audit log in {folder}, as after a restored backup"));
            lines.push(format!(
                "  first line that it does not know  {}, of {}: {}",
                unknown.sequence, unknown.at, unknown.what
            ));
        }
        None => lines.push(format!("the audit log in {folder} is brought into the ledger")),
    }
    let time = |time: Option<Timestamp>| time.map_or_else(|| "never".to_owned(), |time| time.to_string());
    lines.push(format!("  the ledger ends                   {}", time(since)));
    lines.push(format!("  the log ends                      {}", time(until)));
    if let (Some(since), Some(until)) = (since, until) {
        lines.push(format!("  forgotten                         {}", spoken(until.since(since))));
    }
    lines.push("the log holds, behind what the ledger knows of it:".to_owned());
    for ((kind, held), (_, missing)) in survey.behind.kinds().into_iter().zip(survey.missing.kinds()) {
        if held > 0 {
            lines.push(format!("  {kind:<32}  {held}, of which the ledger lacks {missing}"));
        }
    }
    if survey.unknown.is_some() {
        lines.push("what it does not hold is lost, as far as it was made or changed in that time:".to_owned());
        lines.extend(NOT_IN_THE_LOG.iter().map(|kind| format!("  {kind}")));
        lines.push("what was ended or changed in that time comes back, and has to be undone again:".to_owned());
        lines.extend(COMES_BACK.iter().map(|kind| format!("  {kind}")));
        lines.push(
            "the built-in CT logs end, since they promised entries that are lost; new ones begin in their places"
                .to_owned(),
        );
    }
    if let Some(fault) = &survey.fault {
        lines.push(format!("it can't be restored from: {fault}"));
    }
    lines
}

/// What was done, for people.
fn outcome(done: &Done) -> Vec<String> {
    let restored = done.record.restored.kinds().into_iter().filter(|(_, number)| *number > 0);
    let restored: Vec<String> = restored.map(|(kind, number)| format!("{kind} {number}")).collect();
    let mut lines = vec![match restored.is_empty() {
        true => "nothing had to be restored".to_owned(),
        false => format!("restored: {}", restored.join(", ")),
    }];
    for path in &done.put_aside {
        lines.push(format!("a built-in CT log has ended; its key stands in {}", path.display()));
    }
    lines
}

fn document(log: &Log, survey: &Survey, needed: bool, done: Option<&Done>) -> Value {
    json!({
        "instance": log.from,
        "needed": needed,
        "unfinished": survey.unfinished.as_ref().map(record),
        "first_unknown": survey.unknown.as_ref().map(|unknown| json!({
            "line": unknown.sequence,
            "at": unknown.at.to_rfc3339(),
            "what": unknown.what,
        })),
        "since": survey.since.map(Timestamp::to_rfc3339),
        "until": survey.until.map(Timestamp::to_rfc3339),
        "behind": survey.behind,
        "missing": survey.missing,
        "fault": survey.fault,
        "not_in_the_log": if survey.unknown.is_some() { &NOT_IN_THE_LOG[..] } else { &[] },
        "comes_back": if survey.unknown.is_some() { &COMES_BACK[..] } else { &[] },
        "done": done.map(|done| record(&done.record)),
        "keys_put_aside": done.map(|done| &done.put_aside),
    })
}

fn record(record: &RecoveryRecord) -> Value {
    json!({
        "number": record.number,
        "begun": record.begun.to_rfc3339(),
        "restored": record.restored,
        "retired_logs": record.retired,
    })
}
