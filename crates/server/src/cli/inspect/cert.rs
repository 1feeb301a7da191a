//! `cairn cert list` and `cairn cert revoke`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ca::AccountId;
use ca::ports::{SerialFilter, SerialRecord, SerialStatus};
use clap::Subcommand;
use pki::{Certificate, GeneralName, Reason, Serial};
use serde_json::{Value, json};

use super::print::{Listing, Paper, json_time, names_in_short, note_limit};
use super::{Failure, Folder, change};
use crate::admin_socket;

const PAGE: u32 = 500;

/// What can be done with certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists serials in the order of their allocation
    List(List),
    /// Shows all that is known of a serial
    Show(Show),
    /// Revokes a serial, whatever its status: through the running server, or by itself if none runs
    Revoke(Revoke),
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

/// `cairn cert revoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// The serial number, in hexadecimal
    pub(super) serial: Serial,
    /// Why, by number or name (BR 7.2.2): 1 keyCompromise (`cairn key block` revokes all that has the key), 3
    /// affiliationChanged, 4 superseded, 5 cessationOfOperation (the names are no longer its owner's), 9
    /// privilegeWithdrawn (terms broken, or wrong statements), 0 unspecified (none of these)
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub(super) reason: Reason,
    /// The server's configuration file, used if no server runs
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
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

/// Why a certificate can be revoked, by name or number: what BR 7.2.2 leaves for those of subscribers.
pub(super) fn reason(text: &str) -> Result<Reason, String> {
    let named = text.parse::<u8>().map_or_else(|_| text.parse().ok(), Reason::from_code);
    match named {
        Some(reason) if is_for_subscribers(reason) => Ok(reason),
        Some(Reason::CertificateHold | Reason::RemoveFromCrl) => Err("a revocation is for ever (BR 7.2.2)".to_owned()),
        Some(_) | None => {
            let open = Reason::ALL.into_iter().filter(|reason| is_for_subscribers(*reason));
            let open: Vec<String> = open.map(|reason| format!("{} {}", reason.code(), reason.name())).collect();
            Err(format!("expected one of {}, by number or name (BR 7.2.2)", open.join(", ")))
        }
    }
}

const fn is_for_subscribers(reason: Reason) -> bool {
    match reason {
        Reason::Unspecified
        | Reason::KeyCompromise
        | Reason::AffiliationChanged
        | Reason::Superseded
        | Reason::CessationOfOperation
        | Reason::PrivilegeWithdrawn => true,
        Reason::CaCompromise | Reason::CertificateHold | Reason::RemoveFromCrl | Reason::AaCompromise => false,
    }
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

pub(super) async fn revoke(asked: &Revoke, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let command = admin_socket::Command::Revoke { serial: asked.serial, reason: asked.reason };
    let lost = format!("`cairn cert show {}` tells whether it was done", asked.serial);
    let outcome = change::run(&asked.folder, asked.config.as_ref(), command, &lost).await?;
    change::tell(&outcome, &asked.folder, json!({ "serial": asked.serial }), paper)
}
