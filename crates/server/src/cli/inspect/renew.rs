//! `cairn renew`: an operator moves the windows within which clients are asked to renew (RFC 9773).

use std::path::PathBuf;
use std::time::Duration;

use ca::AccountId;
use ca::ports::{Clock, RenewalAdvice, RenewalRule, RenewalScope};
use clap::Subcommand;
use pki::{GeneralName, Serial, Sha256, Timestamp};
use serde_json::{Value, json};

use super::print::{Listing, Paper, json_time};
use super::{Failure, Folder, cert, change};
use crate::admin_socket::{self, Outcome};
use crate::world::SystemClock;

/// As many rules are listed.
const LISTED_MAX: u32 = 10_000;
/// `--now` asks for a renewal since this long.
const SINCE: Duration = Duration::from_secs(3600);

/// What can be done with renewals.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Moves the windows of certificates that exist now, by one rule; the newest rule for a certificate counts
    Shift(Box<Shift>),
    /// Lists the rules that stand, the newest first
    List(Folder),
    /// Takes a rule back
    Undo(Undo),
}

/// `cairn renew shift`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
#[command(group = clap::ArgGroup::new("when").required(true).multiple(true))]
pub(crate) struct Shift {
    /// The certificate with this serial number, in hexadecimal
    #[arg(long, value_name = "SERIAL", group = "which")]
    serial: Option<Serial>,
    /// Those of this account
    #[arg(long, value_name = "ID", group = "which")]
    account: Option<AccountId>,
    /// Those of this profile
    #[arg(long, value_name = "NAME", group = "which")]
    profile: Option<String>,
    /// Those issued at or after this time
    #[arg(long, value_name = "TIME", group = "which", value_parser = time)]
    issued_from: Option<Timestamp>,
    /// Those issued before this time
    #[arg(long, value_name = "TIME", group = "which", value_parser = time)]
    issued_until: Option<Timestamp>,
    /// Those of this key: SHA-256 of its SubjectPublicKeyInfo, in hexadecimal
    #[arg(long, value_name = "SHA256", group = "which", value_parser = sha256)]
    key: Option<Sha256>,
    /// Those for this DNS name or IP address
    #[arg(long, value_name = "NAME", group = "which", value_parser = cert::name)]
    name: Option<GeneralName>,
    /// All of them
    #[arg(long, group = "which",
        conflicts_with_all = ["serial", "account", "profile", "issued_from", "issued_until", "key", "name"])]
    all: bool,
    /// The start of the new window, such as 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", group = "when", value_parser = time, requires = "end")]
    start: Option<Timestamp>,
    /// Its end
    #[arg(long, value_name = "TIME", group = "when", value_parser = time, requires = "start")]
    end: Option<Timestamp>,
    /// As soon as clients ask: the window is the hour before now
    #[arg(long, group = "when", conflicts_with_all = ["start", "end"])]
    now: bool,
    /// A page that tells people why
    #[arg(long, value_name = "URL", value_parser = page)]
    explanation_url: Option<String>,
    /// Says how many certificates it would be for, and changes nothing
    #[arg(long)]
    dry_run: bool,
    /// The server's configuration file, used if no server runs
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    folder: Folder,
}

/// `cairn renew undo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Undo {
    /// The rule's number
    number: u64,
    /// The server's configuration file, used if no server runs
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    folder: Folder,
}

fn time(text: &str) -> Result<Timestamp, String> {
    let time = Timestamp::parse_rfc3339(text).map(Timestamp::whole_second);
    time.ok_or_else(|| "expected a time like 2027-01-31T12:00:00Z".to_owned())
}

fn sha256(text: &str) -> Result<Sha256, String> {
    let octets = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let octets = octets.and_then(|octets| octets.try_into().ok());
    octets.map(Sha256::from_bytes).ok_or_else(|| "expected 64 hexadecimal digits".to_owned())
}

fn page(text: &str) -> Result<String, String> {
    let web = url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if web { Ok(text.to_owned()) } else { Err("expected an http or https URL".to_owned()) }
}

impl Shift {
    fn scope(&self) -> RenewalScope {
        RenewalScope {
            serial: self.serial,
            account: self.account,
            profile: self.profile.clone(),
            issued_from: self.issued_from,
            issued_until: self.issued_until,
            spki_hash: self.key,
            name: self.name.as_ref().map(ToString::to_string),
        }
    }

    fn advice(&self, now: Timestamp) -> Result<RenewalAdvice, Failure> {
        let (start, end) = match (self.start, self.end) {
            (Some(start), Some(end)) => (start, end),
            (Some(_), None) | (None, Some(_)) | (None, None) => (now.minus(SINCE), now),
        };
        if start >= end {
            return Err(Failure::Usage(format!("--end {end} is not behind --start {start}")));
        }
        Ok(RenewalAdvice::Window { start, end, explanation_url: self.explanation_url.clone() })
    }
}

pub(super) async fn shift(asked: &Shift, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let now = SystemClock::new().now();
    let (scope, advice) = (asked.scope(), asked.advice(now.whole_second())?);
    if asked.dry_run {
        let records = asked.folder.open()?;
        let number = records.ledger.count_renewals(scope, now).await.map_err(Failure::failed)?;
        let detail = format!("it would be for {number} certificates that are neither over nor revoked");
        return change::tell(&Outcome::Done(detail), &asked.folder, json!({}), paper);
    }
    let command = admin_socket::Command::ShiftRenewals { scope, advice };
    let outcome = spoken(&asked.folder, asked.config.as_ref(), command).await?;
    change::tell(&outcome, &asked.folder, json!({}), paper)
}

pub(super) async fn undo(asked: &Undo, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let command = admin_socket::Command::UndoRenewals { number: asked.number };
    let outcome = spoken(&asked.folder, asked.config.as_ref(), command).await?;
    change::tell(&outcome, &asked.folder, json!({}), paper)
}

pub(super) async fn list(folder: &Folder, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let records = folder.open()?;
    let rules = records.ledger.renewal_rules(LISTED_MAX).await.map_err(Failure::failed)?;
    let mut listing = Listing::new(paper, folder.json, &["rule", "made", "start", "end", "for", "explanation"]);
    for rule in &rules {
        listing.push(|| cells(rule), || summary(rule));
    }
    listing.end("no rules for renewals stand");
    Ok(())
}

fn scope_in_words(scope: &RenewalScope) -> String {
    if scope.is_all() {
        return "all".to_owned();
    }
    let RenewalScope { serial, account, profile, issued_from, issued_until, spki_hash, name } = scope;
    let parts = [
        serial.map(|one| format!("serial {one}")),
        account.map(|one| format!("account {one}")),
        profile.as_ref().map(|one| format!("profile {one}")),
        issued_from.map(|one| format!("issued from {one}")),
        issued_until.map(|one| format!("issued until {one}")),
        spki_hash.map(|one| format!("key {one}")),
        name.as_ref().map(|one| format!("name {one}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn cells(rule: &RenewalRule) -> Vec<String> {
    let (start, end, explanation) = match &rule.advice {
        RenewalAdvice::Window { start, end, explanation_url } => {
            (start.to_rfc3339(), end.to_rfc3339(), explanation_url.clone().unwrap_or_else(|| "-".to_owned()))
        }
        RenewalAdvice::Document { .. } => ("-".to_owned(), "-".to_owned(), "a document of its own".to_owned()),
    };
    vec![rule.number.to_string(), rule.made.to_rfc3339(), start, end, scope_in_words(&rule.scope), explanation]
}

fn summary(rule: &RenewalRule) -> Value {
    let mut object = json!({ "rule": rule.number, "made": json_time(rule.made), "scope": rule.scope });
    match &rule.advice {
        RenewalAdvice::Window { start, end, explanation_url } => {
            object["start"] = json_time(*start);
            object["end"] = json_time(*end);
            object["explanation_url"] = json!(explanation_url);
        }
        RenewalAdvice::Document { json } => object["document"] = json!(json),
    }
    object
}

/// Through the running server, or by itself if none runs.
async fn spoken(folder: &Folder, config: Option<&PathBuf>, command: admin_socket::Command) -> Result<Outcome, Failure> {
    change::run(folder, config, command, "`cairn renew list` tells whether it was done").await
}
