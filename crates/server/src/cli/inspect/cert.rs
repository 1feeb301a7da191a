//! `cairn cert list`, and what all commands on certificates say alike.

use std::net::IpAddr;
use std::str::FromStr;

use ca::AccountId;
use ca::ports::{SerialFilter, SerialRecord, SerialStatus};
use clap::Subcommand;
use pki::{Certificate, GeneralName, Serial};
use serde_json::{Value, json};

use super::print::{Listing, Paper, json_time, names_in_short, note_limit};
use super::{Failure, Folder, cert_revoke};

const PAGE: u32 = 500;

/// What can be done with certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists serials in the order of their allocation
    List(List),
    /// Shows all that is known of a serial
    Show(Show),
    /// Revokes serials, whatever their status: through the running server, or by itself if none runs
    ///
    /// A single SERIAL is revoked at once. What is more is counted first, and revoked when you agree; run again, the
    /// command goes on with what is left.
    Revoke(cert_revoke::Revoke),
}

/// `cairn cert list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only those of this status: wait, good or revoked
    #[arg(long, value_name = "STATUS", value_parser = status)]
    pub(super) status: Option<SerialStatus>,
    /// Only those that led to no order's certificate and are not revoked
    #[arg(long)]
    pub(super) abandoned: bool,
    /// Only those for this DNS name or IP address
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(super) name: Option<GeneralName>,
    /// Only those of this account
    #[arg(long, value_name = "ID")]
    pub(super) account: Option<AccountId>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
    #[command(flatten)]
    pub(super) folder: Folder,
}

/// `cairn cert show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The serial number, in hexadecimal
    pub(super) serial: Serial,
    /// Writes the certificate and the linting certificate too, in PEM
    #[arg(long)]
    pub(super) pem: bool,
    #[command(flatten)]
    pub(super) folder: Folder,
}

fn status(text: &str) -> Result<SerialStatus, String> {
    [SerialStatus::Wait, SerialStatus::Good, SerialStatus::Revoked]
        .into_iter()
        .find(|status| status.name() == text)
        .ok_or_else(|| "expected wait, good or revoked".to_owned())
}

/// A name as it stands in certificates.
pub(super) fn name(text: &str) -> Result<GeneralName, String> {
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok(GeneralName::Ip(address));
    }
    let host = text.strip_prefix("*.").unwrap_or(text);
    acme::DnsName::parse_host(&host.to_ascii_lowercase()).map_err(|error| error.to_string())?;
    Ok(GeneralName::Dns(text.to_ascii_lowercase()))
}

pub(super) async fn list(asked: &List, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let records = asked.folder.open()?;
    let headers = ["serial", "status", "issuance", "profile", "begun", "not after", "order", "names"];
    let mut listing = Listing::new(paper, asked.folder.json, &headers);
    let mut filter = SerialFilter {
        status: asked.status,
        abandoned: asked.abandoned,
        name: asked.name.clone(),
        account: asked.account,
        ..SerialFilter::default()
    };
    let (mut left, mut cut) = (asked.limit, false);
    while !cut && !listing.is_torn() {
        let page = PAGE.min(left.saturating_add(1));
        let page = records.ledger.serials(filter.clone(), page).await.map_err(Failure::failed)?;
        let Some(last) = page.last() else { break };
        filter.after = Some(last.serial);
        for record in &page {
            if left == 0 {
                cut = true;
                break;
            }
            left -= 1;
            listing.push(|| cells(record), || summary(record));
        }
    }
    listing.end("there are no such serials");
    note_limit(cut, asked.limit);
    Ok(())
}

/// `current`: its issuance goes on; `abandoned`: it came to nothing; `attached`: it is its order's certificate.
pub(super) const fn issuance(record: &SerialRecord) -> &'static str {
    if record.attached {
        "attached"
    } else if record.current {
        "current"
    } else if record.is_abandoned() {
        "abandoned"
    } else {
        "ended"
    }
}

/// The names of a serial: those of its linting certificate, which every serial has.
pub(super) fn names(record: &SerialRecord) -> Vec<String> {
    let certificate = Certificate::from_der(&record.linting_certificate);
    certificate.map(|certificate| certificate.names().iter().map(ToString::to_string).collect()).unwrap_or_default()
}

fn cells(record: &SerialRecord) -> Vec<String> {
    vec![
        record.serial.to_string(),
        record.status.name().to_owned(),
        issuance(record).to_owned(),
        record.profile.clone(),
        record.begun.to_rfc3339(),
        record.not_after.to_rfc3339(),
        record.order.to_string(),
        names_in_short(names(record)),
    ]
}

/// What list and show say alike.
pub(super) fn summary(record: &SerialRecord) -> Value {
    json!({
        "serial": record.serial,
        "status": record.status.name(),
        "issuance": issuance(record),
        "issuance_number": record.number.0,
        "order": record.order,
        "account": record.account,
        "profile": record.profile,
        "ct": record.ct,
        "begun": json_time(record.begun),
        "good": json_time(record.good),
        "stored": json_time(record.stored),
        "not_after": json_time(record.not_after),
        "names": names(record),
        "restored": record.restored.map(|restored| json!({
            "from": restored.from,
            "at": json_time(restored.at),
        })),
        "revocation": record.revocation.as_ref().map(|revocation| json!({
            "reason": revocation.reason.name(),
            "revoked": json_time(revocation.revoked),
            "by": revocation.by,
        })),
    })
}
