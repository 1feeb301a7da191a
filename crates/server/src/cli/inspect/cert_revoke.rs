//! `cairn cert revoke`: one serial, or all that a choice leads to.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use acme::DnsName;
use ca::ports::{Ledger, SerialFilter};
use ca::{AccountId, REVOKED_TOGETHER_MAX, RevokedTogether};
use pki::{GeneralName, Reason, Serial, Timestamp};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::cert::name;
use super::cert_choice::{Choice, Counts, Fate, Pages};
use super::change::{self, Door};
use super::print::Paper;
use super::progress::Progress;
use super::{Failure, Folder};
use crate::admin_socket::{Command, Outcome};

/// `cairn cert revoke`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("chosen").required(true).args(["serials", "account", "key", "name", "file"]))]
pub(crate) struct Revoke {
    /// Serial numbers, in hexadecimal
    #[arg(value_name = "SERIAL")]
    serials: Vec<Serial>,
    /// All of this account
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// All with this key: SHA-256 of its SubjectPublicKeyInfo in hexadecimal, or a file in PEM with a certificate, a
    /// CSR, the public key or the private key
    #[arg(long, value_name = "HEX|FILE")]
    key: Option<String>,
    /// All with this DNS name or IP address
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<GeneralName>,
    /// With --name: also all with a name below it, wildcards too
    #[arg(long, requires = "name")]
    subdomains: bool,
    /// All that a file lists: serials in hexadecimal (or as decimal:N), one in each line, or certificates in PEM; what
    /// is behind a # is no matter
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Why, by number or name (BR 7.2.2): 1 keyCompromise (`cairn key block` revokes all that has the key), 3
    /// affiliationChanged, 4 superseded, 5 cessationOfOperation (the names are no longer its owner's), 9
    /// privilegeWithdrawn (terms broken, or wrong statements), 0 unspecified (none of these)
    #[arg(long, value_name = "REASON", value_parser = reason, required_unless_present = "dry_run")]
    reason: Option<Reason>,
    /// With keyCompromise: blocks the keys of all that it revokes, for ever, on your word alone
    #[arg(long)]
    block_keys: bool,
    /// Also those that have expired; a single SERIAL is revoked in any case
    #[arg(long)]
    expired: bool,
    /// Counts what would be revoked, and changes nothing
    #[arg(long)]
    dry_run: bool,
    /// Revokes what was counted without a question
    #[arg(long)]
    yes: bool,
    /// The server's configuration file, used if no server runs
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    folder: Folder,
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

pub(super) async fn revoke(asked: &Revoke, paper: &mut Paper<'_>) -> Result<(), Failure> {
    if asked.block_keys && asked.reason != Some(Reason::KeyCompromise) {
        return Err(Failure::Usage("--block-keys goes with --reason keyCompromise alone".to_owned()));
    }
    if let (&[serial], Some(reason), false, false) = (&*asked.serials, asked.reason, asked.dry_run, asked.block_keys) {
        return revoke_one(asked, serial, reason, paper).await;
    }
    let records = asked.folder.open()?;
    let choice = choice(asked, &*records.ledger).await?;
    let (ledger, now) = (&*records.ledger, records.clock.now());
    // What is issued while it counts, asks and revokes was not agreed to.
    let last = ledger.last_serial().await.map_err(Failure::failed)?;
    let pages = choice.until(last, ledger);
    let bar = Progress::counting("counting certificates:");
    let counts = match asked.block_keys {
        true => Counts::with_keys(pages, (now, asked.expired), &bar).await,
        false => Counts::of(pages, (now, asked.expired), &bar).await,
    };
    bar.finish_and_clear();
    let counts = counts?;
    let reason = asked.reason.filter(|_| !asked.dry_run && !counts.is_nothing());
    let Some(reason) = reason else {
        tell_counts(&counts, asked, paper);
        return if counts.is_nothing() { Err(Failure::Failed(NOTHING_FOUND.to_owned())) } else { Ok(()) };
    };
    let mut done = RevokedTogether::default();
    if counts.chosen > 0 || counts.keys_to_block() > 0 {
        if !asked.yes {
            consent(&counts, asked, reason, paper)?;
        }
        let mut work = Work::begin(asked, reason, now, &counts)?;
        let ran = work.run(choice.until(last, ledger)).await;
        work.bar.finish_and_clear();
        ran?;
        done = work.done;
        work.door.close(&work.stop).await?;
    }
    let bar = Progress::counting("counting what was issued since:");
    let later = Counts::of(choice.after(last, ledger), (now, asked.expired), &bar).await;
    bar.finish_and_clear();
    let later = later?.chosen;
    tell(asked, reason, &counts, (done, later), paper);
    Ok(())
}

/// A name with a slip in it, the wrong file: who reads only exit codes should not take that for done.
const NOTHING_FOUND: &str =
    "nothing was found: no certificate of this CA is meant by that, neither good, revoked nor expired";

async fn revoke_one(asked: &Revoke, serial: Serial, reason: Reason, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let command = Command::Revoke { serial, reason };
    let lost = format!("`cairn cert show {serial}` tells whether it was done");
    let outcome = change::run(&asked.folder, asked.config.as_ref(), command, &lost).await?;
    change::tell(&outcome, &asked.folder, json!({ "serial": serial }), paper)?;
    note_keys(asked, reason);
    Ok(())
}

async fn choice(asked: &Revoke, ledger: &dyn Ledger) -> Result<Choice, Failure> {
    if let Some(account) = asked.account {
        if ledger.account(account).await.map_err(Failure::failed)?.is_none() {
            return Err(Failure::Failed(format!("there is no account {account}")));
        }
        return Ok(Choice::Found(SerialFilter { account: Some(account), ..SerialFilter::default() }));
    }
    if let Some(key) = &asked.key {
        return Choice::of_key(key);
    }
    if let Some(file) = &asked.file {
        return Choice::of_file(file, ledger).await;
    }
    match &asked.name {
        Some(name) if asked.subdomains => below(name),
        Some(name) => Ok(Choice::Found(SerialFilter { name: Some(name.clone()), ..SerialFilter::default() })),
        None => Choice::of_serials(&asked.serials, ledger).await,
    }
}

fn below(name: &GeneralName) -> Result<Choice, Failure> {
    match name {
        GeneralName::Dns(domain) if !name.is_wildcard() => {
            let domain = DnsName::parse_host(domain).map_err(|error| Failure::Usage(error.to_string()))?;
            Ok(Choice::Below(domain))
        }
        GeneralName::Dns(_) | GeneralName::Ip(_) => {
            Err(Failure::Usage(format!("--subdomains: nothing is below {name}; --name takes a domain with it")))
        }
    }
}

fn tell_counts(counts: &Counts, asked: &Revoke, paper: &mut Paper<'_>) {
    if asked.folder.json {
        paper.json(&counts.document());
    } else {
        counts.facts().write(paper);
    }
}

/// Shows the counts, and asks who sits before it.
fn consent(counts: &Counts, asked: &Revoke, reason: Reason, paper: &mut Paper<'_>) -> Result<(), Failure> {
    tell_counts(counts, asked, paper);
    paper.flush();
    let count = counts.chosen;
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(format!(
            "nothing is revoked: {count} certificates would be, and nobody can be asked here; --yes revokes them \
             without a question"
        )));
    }
    eprint!("cairn: revoke these {count} certificates for ever ({reason})? Answer yes: ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(Failure::failed)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::Failed("nothing is revoked".to_owned())) }
}

/// The revocation of what was chosen, in pages.
struct Work<'a> {
    door: Door<'a>,
    reason: Reason,
    block_keys: bool,
    now: Timestamp,
    expired_too: bool,
    done: RevokedTogether,
    bar: Progress,
    stop: Arc<AtomicBool>,
}

impl<'a> Work<'a> {
    fn begin(asked: &'a Revoke, reason: Reason, now: Timestamp, counts: &Counts) -> Result<Self, Failure> {
        Ok(Self {
            door: Door::new(&asked.folder, asked.config.as_ref()),
            reason,
            block_keys: asked.block_keys,
            now,
            expired_too: asked.expired,
            done: RevokedTogether::default(),
            bar: Progress::of("revoking certificates", Some(counts.chosen)),
            stop: until_told()?,
        })
    }

    async fn run(&mut self, mut pages: Pages<'_>) -> Result<(), Failure> {
        let mut page = BTreeSet::new();
        while let Some(records) = pages.next().await? {
            self.unless_stopped()?;
            for record in &records {
                match Fate::of(record, self.now, self.expired_too) {
                    Fate::Chosen => {
                        page.insert(record.serial);
                    }
                    // Their keys may still be open.
                    Fate::Revoked if self.block_keys => {
                        page.insert(record.serial);
                    }
                    Fate::Revoked | Fate::Expired => {}
                }
                if page.len() >= REVOKED_TOGETHER_MAX {
                    self.write(std::mem::take(&mut page)).await?;
                }
            }
        }
        if !page.is_empty() {
            self.write(page).await?;
        }
        Ok(())
    }

    async fn write(&mut self, serials: BTreeSet<Serial>) -> Result<(), Failure> {
        self.unless_stopped()?;
        let command = Command::RevokeTogether { serials, reason: self.reason, block_keys: self.block_keys };
        let outcome = self.door.run(command, "what became of the last of them is not known").await;
        let outcome = outcome.map_err(|failure| match failure {
            Failure::Failed(why) => self.broken_off(&why),
            other @ (Failure::Usage(_) | Failure::Unable(_) | Failure::NeedsRestoration(_)) => other,
        });
        match outcome? {
            Outcome::RevokedTogether(page) => {
                self.done.revoked += page.revoked;
                self.done.already += page.already;
                self.done.unknown += page.unknown;
                self.bar.set_position(self.done.revoked + self.done.already);
                Ok(())
            }
            Outcome::Refused(why) | Outcome::Failed(why) => Err(self.broken_off(&why)),
            Outcome::Done(_) | Outcome::ExternalAccountKey { .. } => {
                Err(Failure::failed("the server answered another command"))
            }
        }
    }

    /// A walk over what is revoked already writes nothing for long.
    fn unless_stopped(&self) -> Result<(), Failure> {
        if self.stop.load(Ordering::Relaxed) { Err(self.broken_off("stopped")) } else { Ok(()) }
    }

    fn broken_off(&self, why: &str) -> Failure {
        let revoked = self.done.revoked;
        let others = match self.block_keys && self.door.is_own() {
            true => "; what else has a key that was blocked is revoked when a server starts",
            false => "",
        };
        Failure::Failed(format!(
            "{why}: {revoked} certificates are revoked; the same command goes on with the others{others}"
        ))
    }
}

/// Whether a signal asked to stop: a page that has begun is brought to its end first.
fn until_told() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let (mut signals, told) = (signal(kind).map_err(Failure::failed)?, Arc::clone(&stop));
        tokio::spawn(async move {
            signals.recv().await;
            told.store(true, Ordering::Relaxed);
        });
    }
    Ok(stop)
}

/// `later`: so many were issued since it began to count.
fn tell(asked: &Revoke, reason: Reason, counts: &Counts, (done, later): (RevokedTogether, u64), paper: &mut Paper<'_>) {
    let before = counts.revoked + done.already;
    if asked.folder.json {
        let mut document = counts.document();
        document["reason"] = reason.name().into();
        document["revoked"] = done.revoked.into();
        document["already_revoked"] = before.into();
        document["issued_since"] = later.into();
        paper.json(&document);
    } else {
        paper.line(&format!("{} certificates are revoked ({reason})", done.revoked));
        if before > 0 {
            paper.line(&format!("{before} were revoked before: that stands"));
        }
        if counts.expired > 0 {
            paper.line(&format!("{} have expired and were left out; --expired revokes them too", counts.expired));
        }
    }
    if done.unknown > 0 {
        eprintln!("cairn: {} serials are unknown to the ledger that the server writes", done.unknown);
    }
    if later > 0 {
        eprintln!(
            "cairn: {later} more were issued since these were counted, and are not revoked: run it again for them"
        );
    }
    note_keys(asked, reason);
}

fn note_keys(asked: &Revoke, reason: Reason) {
    if reason == Reason::KeyCompromise && !asked.block_keys {
        eprintln!(
            "cairn: the keys themselves are not blocked, and what else has them stays good: `cairn key block` with a \
             proof ends that, or --block-keys on your word alone"
        );
    }
}
