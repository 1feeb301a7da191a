//! `cairn eab`: keys for external account binding (RFC 8555 §7.3.4).

use std::path::PathBuf;
use std::time::Duration;

use ca::ExternalKeyId;
use ca::external_account::{ExternalAccountKey, KeyTerms, PermittedName};
use ca::ports::{Clock, NotBound};
use clap::Subcommand;
use pki::Timestamp;
use serde_json::{Value, json};

use super::print::{Listing, Paper, json_time, names_in_short, note_limit};
use super::{Failure, Folder, change};
use crate::admin_socket::{Command as Change, Outcome};
use crate::world::SystemClock;

const PAGE: u32 = 500;
const DAY: Duration = Duration::from_secs(86_400);

/// What can be done with keys for external account binding.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes a key and shows it, once: key identifier and HMAC key, as ACME clients take them
    Create(Create),
    /// Lists the keys, without their secrets
    List(List),
    /// Takes a key back: it binds no account any more; those that are bound stay
    Revoke(Revoke),
}

/// `cairn eab create`.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// For so many accounts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) uses: u32,
    /// For any number of accounts
    #[arg(long, conflicts_with = "uses")]
    pub(super) unlimited: bool,
    /// To be used within so many days; 0: at any time
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(..=36_500))]
    pub(super) expires: u32,
    /// Its accounts may order this name (*.NAME: all names below) and no other; can be given several times
    #[arg(long = "name", value_name = "NAME")]
    pub(super) names: Vec<PermittedName>,
    /// What you call it
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) label: String,
    /// The server's configuration file, used if no server runs
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) folder: Folder,
}

/// `cairn eab list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
    #[command(flatten)]
    pub(super) folder: Folder,
}

/// `cairn eab revoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// The key identifier
    pub(super) kid: ExternalKeyId,
    /// The server's configuration file, used if no server runs
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) folder: Folder,
}

pub(super) async fn create(asked: &Create, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let terms = KeyTerms {
        uses: (!asked.unlimited).then_some(asked.uses),
        expires: (asked.expires > 0).then(|| SystemClock::new().now().plus(DAY * asked.expires)),
        names: asked.names.clone(),
        label: asked.label.clone(),
    };
    let lost = "`cairn eab list` tells whether a key was made; revoke it and make another";
    let command = Change::CreateExternalAccountKey(terms);
    match change::run(&asked.folder, asked.config.as_ref(), command, lost).await? {
        Outcome::ExternalAccountKey { kid, hmac_key, expires } => {
            let hmac_key = hmac_key.to_base64url();
            if asked.folder.json {
                paper.json(&json!({ "kid": kid, "hmac_key": hmac_key, "expires": expires }));
            } else {
                paper.line(&format!("kid      {kid}"));
                paper.line(&format!("hmac-key {hmac_key}"));
            }
            Ok(())
        }
        outcome @ (Outcome::Done(_) | Outcome::RevokedTogether(_) | Outcome::Refused(_) | Outcome::Failed(_)) => {
            change::tell(&outcome, &asked.folder, json!({}), paper)
        }
    }
}

pub(super) async fn list(asked: &List, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let records = asked.folder.open()?;
    let headers = ["kid", "state", "uses left", "accounts", "created", "expires", "label", "names"];
    let mut listing = Listing::new(paper, asked.folder.json, &headers);
    let (mut after, mut left, mut cut) = (None, asked.limit, false);
    while !cut && !listing.is_torn() {
        let page = PAGE.min(left.saturating_add(1));
        let page = records.ledger.external_account_keys(after.take(), page).await.map_err(Failure::failed)?;
        let Some(last) = page.last() else { break };
        after = Some(last.kid.clone());
        for key in &page {
            if left == 0 {
                cut = true;
                break;
            }
            left -= 1;
            listing.push(|| cells(key, records.now()), || summary(key, records.now()));
        }
    }
    listing.end("there are no keys for external account binding");
    note_limit(cut, asked.limit);
    Ok(())
}

fn state(key: &ExternalAccountKey, now: Timestamp) -> &'static str {
    match key.is_spent(now) {
        None | Some(NotBound::Unknown) => "good",
        Some(NotBound::Revoked) => "revoked",
        Some(NotBound::Expired) => "expired",
        Some(NotBound::UsedUp) => "used up",
    }
}

fn cells(key: &ExternalAccountKey, now: Timestamp) -> Vec<String> {
    vec![
        key.kid.to_string(),
        state(key, now).to_owned(),
        key.uses_left.map_or_else(|| "any".to_owned(), |uses| uses.to_string()),
        key.accounts.to_string(),
        key.created.to_rfc3339(),
        key.expires.map_or_else(|| "never".to_owned(), Timestamp::to_rfc3339),
        key.label.clone(),
        names_in_short(names(key)),
    ]
}

fn names(key: &ExternalAccountKey) -> Vec<String> {
    key.names.iter().map(ToString::to_string).collect()
}

fn summary(key: &ExternalAccountKey, now: Timestamp) -> Value {
    json!({
        "kid": key.kid,
        "state": state(key, now),
        "uses_left": key.uses_left,
        "accounts": key.accounts,
        "created": json_time(key.created),
        "expires": json_time(key.expires),
        "revoked": json_time(key.revoked),
        "label": key.label,
        "names": names(key),
    })
}

pub(super) async fn revoke(asked: &Revoke, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let command = Change::RevokeExternalAccountKey { kid: asked.kid.clone() };
    let lost = "`cairn eab list` tells whether it was done";
    let outcome = change::run(&asked.folder, asked.config.as_ref(), command, lost).await?;
    change::tell(&outcome, &asked.folder, json!({ "kid": asked.kid }), paper)
}
