//! `cairn fsck`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::print::{Listing, Paper};
use super::{Failure, Folder, progress_bar};
use crate::config::{self, Choices, Config, File};
use crate::fsck::{self, Finding, Invariant, Report, Rules, Severity};
use crate::published;

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Fsck {
    #[command(flatten)]
    folder: Folder,
    /// The server's configuration file: the number of CRL shards and the time between sweeps are read from it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Lists what is checked, and checks nothing
    #[arg(long)]
    list: bool,
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
    let settings = configuration(&asked.folder, asked.config.as_ref())?.settings;
    let records = asked.folder.open()?;
    let bar = progress_bar();
    let mut tell = |progress: fsck::Progress| {
        bar.set_message(progress.what);
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let rules = Rules { crl_shards: settings.crl_shards, sweep: settings.times.sweep };
    let report = fsck::check(&records, rules, &mut tell).await;
    bar.finish_and_clear();
    let report = report.map_err(|error| Failure::Failed(format!("the store can't be read: {error}")))?;
    if asked.folder.json {
        paper.json(&document(&report))
    } else {
        table(&report, paper)
    }
    match report.number(Severity::Fault) {
        0 => Ok(()),
        1 => Err(Failure::Failed("1 invariant does not hold in one place".to_owned())),
        number => Err(Failure::Failed(format!("invariants do not hold in {number} places"))),
    }
}

fn list(json: bool, paper: &mut Paper<'_>) {
    let mut listing = Listing::new(paper, json, &["invariant", "what holds"]);
    for invariant in Invariant::ALL {
        listing.push(
            || vec![invariant.name().to_owned(), invariant.says().to_owned()],
            || json!({ "invariant": invariant.name(), "says": invariant.says() }),
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
