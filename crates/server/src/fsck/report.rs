//! What was found, and how much was looked at.

use std::collections::BTreeMap;

use serde::Serialize;

use store::sqlite::Mend;

use super::{Invariant, Repair};

/// Findings that are kept word for word; those above are counted.
const KEPT_MAX: usize = 1_000;
/// Repairs that are kept.
const REPAIRS_MAX: usize = 100_000;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The CA's own work mends it: the next worker, sweep or start.
    Warning,
    /// An invariant does not hold.
    Fault,
}

impl Severity {
    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

/// What is wrong with the subject at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) invariant: Invariant,
    pub(super) severity: Severity,
    pub(super) detail: String,
    pub(super) repair: Option<Repair>,
}

impl Fault {
    pub(super) fn new(invariant: Invariant, detail: impl Into<String>) -> Self {
        Self { invariant, severity: Severity::Fault, detail: detail.into(), repair: None }
    }

    pub(super) fn warning(invariant: Invariant, detail: impl Into<String>) -> Self {
        Self { invariant, severity: Severity::Warning, detail: detail.into(), repair: None }
    }

    /// The same, with what mends it.
    pub(super) fn mended_by(mut self, repair: Repair) -> Self {
        self.repair = Some(repair);
        self
    }

    /// The same, with the change in the store that mends it.
    pub(super) fn mended(self, mend: Mend) -> Self {
        self.mended_by(Repair::Mend(mend))
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which invariant does not hold.
    pub invariant: Invariant,
    /// How bad it is.
    pub severity: Severity,
    /// What it was found with: a serial, an order, a line, a file.
    pub subject: String,
    /// What was found, and what would be right.
    pub detail: String,
    /// What mends it without a signature, if anything does.
    pub repair: Option<Repair>,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Lines of the audit log.
    pub audit_lines: u64,
    /// Serials.
    pub serials: u64,
    /// Stored certificates.
    pub certificates: u64,
    /// SCTs whose log's key is ours.
    pub scts: u64,
    /// Orders on the workbench.
    pub active_orders: u64,
    /// Orders that have ended in the ledger.
    pub ended_orders: u64,
    /// CRLs.
    pub crls: u64,
}

/// All that was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How much was looked at.
    pub checked: Checked,
    findings: Vec<Finding>,
    repairs: Vec<(String, Repair)>,
    older: bool,
    being_restored: bool,
    counts: BTreeMap<(Severity, Invariant), u64>,
}

impl Report {
    pub(super) fn add(&mut self, subject: &str, fault: Fault) {
        let Fault { invariant, severity, detail, repair } = fault;
        if let Some(repair) = &repair
            && self.repairs.len() < REPAIRS_MAX
        {
            self.repairs.push((subject.to_owned(), repair.clone()));
        }
        *self.counts.entry((severity, invariant)).or_default() += 1;
        if self.findings.len() < KEPT_MAX {
            self.findings.push(Finding { invariant, severity, subject: subject.to_owned(), detail, repair });
        }
    }

    /// The findings, in the order in which they were made; at most a thousand.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What mends findings, in the order in which these were made; at most a hundred thousand.
    pub fn repairs(&self) -> impl Iterator<Item = (&str, &Repair)> {
        self.repairs.iter().map(|(subject, repair)| (subject.as_str(), repair))
    }

    /// The log speaks of what the ledger does not have. Where records are found to be damaged, that is why.
    pub(super) fn note_older_than_the_log(&mut self) {
        self.older |= !self.counts.contains_key(&(Severity::Fault, Invariant::NothingDangles));
    }

    /// Whether the audit log speaks of what the ledger never had: it is from a backup.
    pub const fn is_older_than_the_log(&self) -> bool {
        self.older
    }

    pub(super) fn note_open_recovery(&mut self) {
        self.being_restored = true;
    }

    /// Whether a recovery of the ledger has begun and is not done.
    pub const fn is_being_restored(&self) -> bool {
        self.being_restored
    }

    /// How many there are of this severity, those that are not kept included.
    pub fn number(&self, severity: Severity) -> u64 {
        self.counts.iter().filter(|((of, _), _)| *of == severity).map(|(_, number)| number).sum()
    }

    /// How many there are, by severity and invariant.
    pub fn counts(&self) -> impl Iterator<Item = (Severity, Invariant, u64)> {
        self.counts.iter().map(|((severity, invariant), number)| (*severity, *invariant, *number))
    }
}
