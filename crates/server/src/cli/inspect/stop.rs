//! `cairn stop-issuance` and `cairn resume-issuance`.

use std::net::IpAddr;
use std::path::PathBuf;

use acme::DnsName;
use ca::ports::{StopRecord, StopScope};
use ca::{AccountId, STOPS_MAX};
use serde_json::{Value, json};

use super::print::{Listing, Paper, json_time, time_or_dash};
use super::{Failure, Folder, change};
use crate::admin_socket;

/// What a stop is for; nothing: all.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Scope {
    /// Only for orders with this profile
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Only for orders of this account
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// Only for orders with this DNS name or one below it, or with a wildcard that covers it, or with this IP address
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<StopScope>,
}

impl Scope {
    fn scope(&self) -> StopScope {
        match self {
            Self { profile: Some(name), .. } => StopScope::Profile(name.clone()),
            Self { account: Some(id), .. } => StopScope::Account(*id),
            Self { name: Some(scope), .. } => scope.clone(),
            Self { profile: None, account: None, name: None } => StopScope::All,
        }
    }
}

fn name(text: &str) -> Result<StopScope, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(StopScope::Address(address));
    }
    DnsName::parse_host(text).map(StopScope::Name).map_err(|error| error.to_string())
}

/// `cairn stop-issuance`.
#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    scope: Scope,
    /// Why: for you and the audit log; clients are not told
    #[arg(long, value_name = "TEXT", required_unless_present = "list")]
    reason: Option<String>,
    /// Lists the stops that stand, and stops nothing
    #[arg(long, conflicts_with_all = ["profile", "account", "name", "reason"])]
    list: bool,
    /// With --list: also those that have ended
    #[arg(long, requires = "list")]
    ended: bool,
    /// The server's configuration file, used if no server runs
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    folder: Folder,
}

/// `cairn resume-issuance`.
#[derive(Debug, clap::Args)]
pub(crate) struct Resume {
    /// The stop's number; without it, the stop of exactly the scope that is named (of all, if none is)
    #[arg(value_name = "NUMBER", conflicts_with_all = ["profile", "account", "name"])]
    number: Option<u64>,
    #[command(flatten)]
    scope: Scope,
    /// The server's configuration file, used if no server runs
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    folder: Folder,
}

const LOST: &str = "`cairn stop-issuance --list` tells whether it was done";

pub(super) async fn stop(asked: &Stop, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let Some(reason) = asked.reason.clone().filter(|_| !asked.list) else { return list(asked, paper).await };
    let command = admin_socket::Command::StopIssuance { scope: asked.scope.scope(), reason };
    let outcome = change::run(&asked.folder, asked.config.as_ref(), command, LOST).await?;
    change::tell(&outcome, &asked.folder, json!({}), paper)
}

pub(super) async fn resume(asked: &Resume, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let command = match asked.number {
        Some(number) => admin_socket::Command::ResumeIssuance { number },
        None => admin_socket::Command::ResumeIssuanceFor { scope: asked.scope.scope() },
    };
    let outcome = change::run(&asked.folder, asked.config.as_ref(), command, LOST).await?;
    change::tell(&outcome, &asked.folder, json!({}), paper)
}

async fn list(asked: &Stop, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let records = asked.folder.open()?;
    let stops = records.ledger.stops(!asked.ended, STOPS_MAX).await.map_err(Failure::failed)?;
    let headers = ["stop", "for", "since", "ended", "by", "reason"];
    let mut listing = Listing::new(paper, asked.folder.json, &headers);
    for stop in &stops {
        listing.push(|| cells(stop), || document(stop));
    }
    listing.end("issuance is not stopped");
    Ok(())
}

fn cells(stop: &StopRecord) -> Vec<String> {
    let StopRecord { number, scope, reason, by, since, ended } = stop;
    let (number, since, ended) = (number.to_string(), since.to_rfc3339(), time_or_dash(*ended));
    vec![number, scope.to_string(), since, ended, by.clone(), reason.clone()]
}

fn document(stop: &StopRecord) -> Value {
    let StopRecord { number, scope, reason, by, since, ended } = stop;
    json!({
        "stop": number,
        "scope": scope,
        "since": json_time(*since),
        "ended": json_time(*ended),
        "by": by,
        "reason": reason,
    })
}
