//! The invariants that can be read from the records: of a live or a stopped store, and nothing is changed.
//!
//! Everything goes in pages. What has to be remembered of each serial (which signatures its audit log shows) is kept
//! for one part of all serials at a time, so that memory stays bounded however many there are.

mod accepted;
mod accounts;
mod active;
mod authorities;
mod certificates;
mod crl_reading;
mod crls;
mod ended;
mod file;
mod invariant;
mod keyless;
mod log;
mod operators;
mod records;
mod repair;
mod report;
mod responders;
mod serials;
mod stages;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use ca::crl::CrlScheme;
use ca::ports::{CrlGeneration, RecoveryRecord, Retention, StoreError, StoreErrorKind};
use ca::settings::{CaaMode, Settings};
use ca::signing::Proofs;
use pki::Timestamp;

pub(crate) use authorities::log_keys;
pub use invariant::Invariant;
pub(crate) use records::EndedOrders;
pub use records::{Ports, Records, RecordsError};
pub use repair::{Done, Repair, RepairError, Repaired, repair};
pub use report::{Checked, Finding, Report, Severity};

use authorities::Authorities;
use log::Logged;
use report::Fault;

/// Records read at a time. Tests have few records, and go through several pages and parts all the same.
const PAGE: u32 = if cfg!(test) { 3 } else { 500 };
/// Serials of which the signatures in the audit log are remembered at a time: some 64 MiB.
const SERIALS_PER_PART: u64 = if cfg!(test) { 2 } else { 1_000_000 };
/// Writes that belong together come within this time on a live store.
const PAUSE: Duration = Duration::from_millis(200);
/// After so many findings the store is not just busy: what is found is looked at again without waiting.
const VAIN_PAUSES_MAX: u32 = 50;
/// How often something is looked at again before it is reported.
const LOOKS: u32 = 3;
/// Two clock readings in the wrong order, less than this apart, say that the clock was set, and nothing else.
const CLOCK_STEP: Duration = Duration::from_secs(60);

/// What the check needs to know beside the records.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How CRLs of an issuer are cut into shards, and were.
    pub crls: CrlScheme,
    /// Between two sweeps.
    pub sweep: Duration,
    /// How long ended orders stay active.
    pub retention: Retention,
    /// Whether all this is known to be what the CA was run with, and not a guess.
    pub known: bool,
    /// A challenge is tested at most so often for an answer.
    pub tries: u8,
    /// Whether CAA has to permit each name.
    pub caa: CaaMode,
    /// How long a CAA check may be used, if its TTL isn't longer.
    pub caa_reuse: Duration,
}

impl Rules {
    /// Those of a configuration, which is `known` to be that of the CA.
    pub fn of(settings: &Settings, known: bool) -> Self {
        Self {
            crls: settings.crls.clone(),
            sweep: settings.times.sweep,
            retention: settings.retention,
            known,
            tries: settings.limits.tries,
            caa: settings.caa,
            caa_reuse: settings.times.caa_reuse,
        }
    }
}

/// How far the check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being read.
    pub what: &'static str,
    /// So many of them were.
    pub done: u64,
    /// Of about so many; 0: not known.
    pub total: u64,
}

/// The check of one store.
struct Fsck<'a> {
    records: &'a Records,
    rules: Rules,
    /// When it began: what was written later may be seen in part.
    began: Timestamp,
    /// Whether a server runs on this store.
    live: bool,
    authorities: Authorities,
    /// What clients' signatures were found to prove.
    proofs: Proofs,
    report: Report,
    /// Findings that stayed however often they were looked at.
    confirmed: u32,
    progress: &'a mut dyn FnMut(Progress),
}

/// Checks all invariants.
///
/// # Errors
/// The store can't be read: that is no finding, since nothing is known then.
pub async fn check(records: &Records, rules: Rules, progress: &mut dyn FnMut(Progress)) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let authorities = records.authorities(&mut report);
    let (began, live) = (records.now(), records.is_live());
    let rules = Rules { crls: shards(records, &rules.crls, &mut report).await?, ..rules };
    let mut fsck =
        Fsck { records, rules, began, live, authorities, proofs: Proofs::default(), report, confirmed: 0, progress };
    fsck.run().await?;
    Ok(fsck.report)
}

/// With the generations of CRL shards that only the ledger knows. Where both differ, the ledger's count.
async fn shards(records: &Records, crls: &CrlScheme, report: &mut Report) -> Result<CrlScheme, StoreError> {
    let recorded = records.ledger.crl_generations().await?.into_iter();
    let recorded: Vec<CrlGeneration> = recorded.map(|known| known.generation).collect();
    let error = match crls.clone().with(&recorded) {
        Ok(joined) => return Ok(joined),
        Err(error) => error,
    };
    let detail = format!("published.toml, or else the configuration, and the ledger differ: {error}");
    report.add("CRL shards", Fault::warning(Invariant::CrlComplete, detail));
    let last = recorded.last().map(|last| last.id).unwrap_or_default();
    Ok(CrlScheme::of_generations(recorded, last).unwrap_or_else(|_| crls.clone()))
}

impl Fsck<'_> {
    async fn run(&mut self) -> Result<(), StoreError> {
        let read = self.file().await;
        self.go_on("the store's file", read)?;
        self.recoveries().await?;
        let counts = self.records.ledger.counts().await?;
        let serials = counts.wait + counts.good + counts.revoked;
        let parts = u16::try_from(serials / SERIALS_PER_PART + 1).unwrap_or(u16::MAX);
        let mut crls = log::CrlLines::default();
        for part in 0..parts {
            let mut logged = Logged::new(part, parts);
            let read = self.audit_log(&mut logged, &mut crls).await;
            self.go_on("audit log", read)?;
            if part == 0 {
                let read = self.operators(&logged).await;
                self.go_on("stops and blocked keys", read)?;
            }
            let read = self.serials(&logged, serials).await;
            self.go_on("serials", read)?;
        }
        let read = self.accounts(counts.accounts).await;
        self.go_on("accounts", read)?;
        let read = self.ended_orders(counts.valid + counts.invalid).await;
        self.go_on("ended orders", read)?;
        let read = self.active_orders().await;
        self.go_on("active orders", read)?;
        let read = self.crls(&crls).await;
        self.go_on("CRLs", read)
    }

    /// While the ledger is being restored, no server starts, and nothing but that may change it.
    async fn recoveries(&mut self) -> Result<(), StoreError> {
        let open = self.records.ledger.recoveries().await?.into_iter().find(|one| one.ended.is_none());
        if let Some(RecoveryRecord { from, begun, .. }) = open {
            let detail =
                format!("a recovery from the log of instance {from}, begun {begun}, is not done: `cairn recover`");
            self.report.add("the ledger", Fault::new(Invariant::LogApplied, detail));
            self.report.note_open_recovery();
        }
        Ok(())
    }

    /// A record that makes no sense is a finding; what can't be read for other reasons ends the check.
    fn go_on(&mut self, what: &str, read: Result<(), StoreError>) -> Result<(), StoreError> {
        match read {
            Err(error) if error.kind == StoreErrorKind::Corrupt => {
                let detail = format!("a record makes no sense: {error}; what hangs on it was not looked at");
                self.report.add(what, Fault::new(Invariant::RecordsReadable, detail));
                Ok(())
            }
            read => read,
        }
    }

    /// What is found on a live store may be a write in two steps, seen between them: it is given time.
    async fn pause(&mut self) {
        if self.live && self.confirmed < VAIN_PAUSES_MAX {
            self.records.clock.sleep(PAUSE).await;
        }
    }

    fn tell(&mut self, what: &'static str, done: u64, total: u64) {
        (self.progress)(Progress { what, done, total });
    }

    fn add(&mut self, subject: &str, faults: Vec<Fault>) {
        for fault in faults {
            self.confirmed = self.confirmed.saturating_add(1);
            self.report.add(subject, fault);
        }
    }
}
