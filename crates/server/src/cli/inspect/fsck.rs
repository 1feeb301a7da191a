//! `cairn fsck`. Exit codes: 0 all holds (there may be warnings); 1 something does not hold, or still does not after
//! a repair; 2 the command itself is wrong; 3 it could not look, or not repair.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ca::ports::StoreError;
use serde_json::{Value, json};

use super::print::{Listing, Paper};
use super::progress::Progress;
use super::{Failure, Folder};
use crate::config::{self, Choices, Config, File};
use crate::fsck::{self, Done, Finding, Invariant, Records, Repair, Repaired, Report, Rules, Severity};
use crate::published;

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Fsck {
    #[command(flatten)]
    folder: Folder,
    /// The server's configuration file: the number of CRL shards and the time between sweeps are read from it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Lists the rules: what is checked, and what mends it; checks nothing
    #[arg(long, visible_alias = "rules")]
    list: bool,
    /// Repairs what can be repaired without a signature, on the folder of a stopped server, and checks again
    #[arg(long, conflicts_with = "list")]
    repair: bool,
    /// With --repair: shows what would be done, and changes nothing
    #[arg(long, requires = "repair")]
    dry_run: bool,
}

/// The configuration that a server on this folder would have.
pub(super) fn configuration(folder: &Folder, file: Option<&PathBuf>) -> Result<Config, Failure> {
    let usage = |error: config::ConfigError| Failure::Usage(error.to_string());
    let file = file.map_or_else(|| Ok(File::default()), |path| config::read(path)).map_err(usage)?;
    let config = Config::new(folder.data.clone(), &file, &Choices::default()).map_err(usage)?;
    published::adopt(config).map_err(Failure::failed)
}

pub(super) async fn run(asked: &Fsck, paper: &mut Paper<'_>) -> Result<(), Failure> {
    if asked.list {
        list(asked.folder.json, paper);
        return Ok(());
    }
    let config = configuration(&asked.folder, asked.config.as_ref())?;
    let rules = Rules::of(&config.settings, asked.config.is_some());
    let bar = Progress::of("", None);
    let mut tell = |progress: fsck::Progress| {
        bar.set_message(progress.what);
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    if asked.repair && !asked.dry_run {
        let repaired = fsck::repair(&config, rules, &mut tell).await;
        bar.finish_and_clear();
        let Repaired { done, failed, report } = repaired.map_err(|error| Failure::Unable(error.to_string()))?;
        tell_done((&done, &failed), &report, asked.folder.json, paper);
        return verdict(&report);
    }
    let records = Records::open(&asked.folder.data).map_err(|error| Failure::Unable(error.to_string()))?;
    let report = fsck::check(&records, rules, &mut tell).await;
    bar.finish_and_clear();
    let report = report.map_err(|error| Failure::Unable(format!("the store can't be read: {error}")))?;
    match (asked.folder.json, asked.dry_run) {
        (true, _) => paper.json(&document(&report)),
        (false, true) => plan(&report, paper),
        (false, false) => {
            table(&report, paper);
            hint(&report, paper);
        }
    }
    verdict(&report)
}

fn verdict(report: &Report) -> Result<(), Failure> {
    match report.number(Severity::Fault) {
        0 => Ok(()),
        1 => Err(Failure::Failed("1 invariant does not hold in one place".to_owned())),
        number => Err(Failure::Failed(format!("invariants do not hold in {number} places"))),
    }
}

fn list(json: bool, paper: &mut Paper<'_>) {
    let mut listing = Listing::new(paper, json, &["invariant", "what holds", "what mends it"]);
    for invariant in Invariant::all() {
        let row = [invariant.name(), invariant.says(), invariant.remedy()];
        listing.push(
            || row.map(str::to_owned).to_vec(),
            || json!({ "invariant": invariant.name(), "says": invariant.says(), "remedy": invariant.remedy() }),
        );
    }
    listing.end("nothing is checked");
}

fn document(report: &Report) -> Value {
    let finding = |one: &Finding| {
        json!({
            "invariant": one.invariant.name(),
            "severity": one.severity,
            "subject": one.subject,
            "detail": one.detail,
            "repair": one.repair.as_ref().map(Repair::plan),
        })
    };
    let counts: Vec<Value> = report
        .counts()
        .map(|(severity, invariant, number)| {
            json!({ "invariant": invariant.name(), "severity": severity, "number": number })
        })
        .collect();
    json!({
        "faults": report.number(Severity::Fault),
        "warnings": report.number(Severity::Warning),
        "checked": report.checked,
        "counts": counts,
        "findings": report.findings().iter().map(finding).collect::<Vec<_>>(),
    })
}

/// What `--repair` would do.
fn plan(report: &Report, paper: &mut Paper<'_>) {
    if report.is_older_than_the_log() {
        paper.line("the store is older than its audit log, as after a restored backup: `cairn recover` is for this");
        return;
    }
    let mut listing = Listing::new(paper, false, &["subject", "invariant", "what would be done"]);
    for one in report.findings() {
        let what = one.repair.as_ref().map_or_else(
            || format!("nothing: {}", one.invariant.remedy()),
            |repair| format!("{}, if it still is so then", repair.plan()),
        );
        listing.push(|| vec![one.subject.clone(), one.invariant.name().to_owned(), what], || Value::Null);
    }
    listing.end("nothing has to be repaired");
}

/// That there is something to be repaired, and what else is to be done.
fn hint(report: &Report, paper: &mut Paper<'_>) {
    let number = report.repairs().count();
    if number > 0 {
        paper.line(&format!(
            "{number} of them can be repaired: stop the server, then `cairn fsck --repair` (--dry-run shows how)"
        ));
    }
    let left: BTreeSet<Invariant> =
        report.findings().iter().filter(|one| one.repair.is_none()).map(|one| one.invariant).collect();
    for invariant in left {
        paper.line(&format!("{invariant}: {}", invariant.remedy()));
    }
}

fn tell_done((done, failed): (&[Done], &[(String, StoreError)]), report: &Report, json: bool, paper: &mut Paper<'_>) {
    if json {
        let rows = done.iter().map(|one| json!({ "subject": one.subject, "done": one.what })).collect::<Vec<_>>();
        let mut answer = document(report);
        answer["repaired"] = rows.into();
        let rows = failed.iter().map(|(subject, error)| json!({ "subject": subject, "error": error.to_string() }));
        answer["not_repaired"] = rows.collect::<Vec<_>>().into();
        return paper.json(&answer);
    }
    let mut listing = Listing::new(paper, false, &["subject", "what was done"]);
    for one in done {
        listing.push(|| vec![one.subject.clone(), one.what.clone()], || Value::Null);
    }
    listing.end("nothing was repaired");
    for (subject, error) in failed {
        paper.line(&format!("{subject}: could not be repaired: {error}"));
    }
    table(report, paper);
    hint(report, paper);
}

fn table(report: &Report, paper: &mut Paper<'_>) {
    let checked = report.checked;
    if !report.findings().is_empty() {
        let mut listing = Listing::new(paper, false, &["severity", "invariant", "subject", "finding"]);
        for one in report.findings() {
            let row = [one.severity.name(), one.invariant.name(), &one.subject, &one.detail];
            listing.push(|| row.map(str::to_owned).to_vec(), || Value::Null);
        }
        listing.end("");
        let more = report.number(Severity::Fault) + report.number(Severity::Warning) - report.findings().len() as u64;
        if more > 0 {
            paper.line(&format!("and {more} more"));
            for (severity, invariant, number) in report.counts() {
                paper.line(&format!("{number:>10}  {}  {invariant}", severity.name()));
            }
        }
    }
    paper.line(&format!(
        "looked at: audit log lines {}, serials {}, certificates {}, SCTs of built-in logs {}, active orders {}, \
         ended orders {}, CRLs {}",
        checked.audit_lines,
        checked.serials,
        checked.certificates,
        checked.scts,
        checked.active_orders,
        checked.ended_orders,
        checked.crls
    ));
    paper.line(&match (report.number(Severity::Fault), report.number(Severity::Warning)) {
        (0, 0) => "nothing was found".to_owned(),
        (faults, warnings) => format!("faults: {faults}; warnings: {warnings}"),
    });
}
