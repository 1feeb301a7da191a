//! What was found, and how much was looked at.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Invariant;

/// Findings that are kept word for word; those above are counted.
const KEPT_MAX: usize = 1_000;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// The CA's own work mends it: the next worker, sweep or start.
    Warning,
    /// An invariant does not hold.
    Fault,
}

impl Severity {
    /// The name used in reports.
    pub(crate) const fn name(self) -> &'static str {
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
}

impl Fault {
    pub(super) fn new(invariant: Invariant, detail: impl Into<String>) -> Self {
        Self { invariant, severity: Severity::Fault, detail: detail.into() }
    }

    pub(super) fn warning(invariant: Invariant, detail: impl Into<String>) -> Self {
        Self { invariant, severity: Severity::Warning, detail: detail.into() }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Which invariant does not hold.
    pub(crate) invariant: Invariant,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What it was found with: a serial, an order, a line, a file.
    pub(crate) subject: String,
    /// What was found, and what would be right.
    pub(crate) detail: String,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Checked {
    /// Lines of the audit log.
    pub(crate) audit_lines: u64,
    /// Serials.
    pub(crate) serials: u64,
    /// Stored certificates.
    pub(crate) certificates: u64,
    /// SCTs whose log's key is ours.
    pub(crate) scts: u64,
    /// Orders on the workbench.
    pub(crate) active_orders: u64,
    /// Orders that have ended in the ledger.
    pub(crate) ended_orders: u64,
    /// CRLs.
    pub(crate) crls: u64,
}

/// All that was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// How much was looked at.
    pub(crate) checked: Checked,
    findings: Vec<Finding>,
    counts: BTreeMap<(Severity, Invariant), u64>,
}

impl Report {
    pub(super) fn add(&mut self, subject: &str, fault: Fault) {
        let Fault { invariant, severity, detail } = fault;
        *self.counts.entry((severity, invariant)).or_default() += 1;
        if self.findings.len() < KEPT_MAX {
            self.findings.push(Finding { invariant, severity, subject: subject.to_owned(), detail });
        }
    }

    /// The findings, in the order in which they were made; at most a thousand.
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many there are of this severity, those that are not kept included.
    pub(crate) fn number(&self, severity: Severity) -> u64 {
        self.counts.iter().filter(|((of, _), _)| *of == severity).map(|(_, number)| number).sum()
    }

    /// How many there are, by severity and invariant.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Severity, Invariant, u64)> {
        self.counts.iter().map(|((severity, invariant), number)| (*severity, *invariant, *number))
    }
}
