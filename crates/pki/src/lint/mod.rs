//! The linter: tables of rules that every certificate, CRL and OCSP answer passes before a key is asked to sign it.
//!
//! One file per document, one entry per rule, each with the section it comes from. All rules run and all findings
//! are reported together. [`Linted`] is what a signer takes, and the linter is its only maker (BR 4.3.1.2).

mod baseline;
mod candidate;
mod crl;
mod crl_candidate;
mod crl_pieces;
mod fields;
mod names;
mod ocsp;
mod oids;
mod order;
mod responder;
mod rfc5280;
mod rfc6962;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

pub use candidate::Candidate;
pub use crl_candidate::CrlCandidate;
pub use crl_pieces::CrlLinter;
pub use ocsp::VALIDITY_MIN as OCSP_VALIDITY_MIN;

use crate::ocsp::ResponseData;
use crate::{
    Certificate, Crl, GeneralName, PublicKey, Serial, TbsCertificate, TbsCrl, TbsOcspResponse, TbsResponder, Timestamp,
};

/// What a certificate is within the cycle of RFC 6962 §3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Carries the poison and no SCT list.
    Precertificate,
    /// Carries an SCT list and no poison.
    Final,
    /// Of a profile without CT: carries neither.
    WithoutCt,
}

/// What a certificate is judged by, apart from its own bytes.
#[derive(Debug, Clone)]
pub struct Rules<'a> {
    /// Its place in the CT cycle.
    pub kind: Kind,
    /// Whether the Baseline Requirements and the root programs' rules apply.
    pub baseline: bool,
    /// Whether its names have to be names of the public Internet: no internal names, no reserved addresses.
    pub public_names: bool,
    /// The CA certificate it will be issued under.
    pub issuer: &'a Certificate,
    /// The present.
    pub now: Timestamp,
    /// The longest life the profile allows, the last second included.
    pub lifetime_max: Duration,
    /// How many SCTs a final certificate needs.
    pub scts_min: usize,
    /// The names of the order: all of them have to stand in it, and no others.
    pub names: &'a BTreeSet<GeneralName>,
    /// The key of the order.
    pub public_key: &'a PublicKey,
}

/// What a CRL is judged by, apart from its own bytes.
#[derive(Debug, Clone)]
pub struct CrlRules<'a> {
    /// The CA certificate whose key will sign it.
    pub issuer: &'a Certificate,
    /// The CRL of the same issuer and shard that it replaces.
    pub previous: Option<&'a Crl>,
    /// The serials that may leave the list: their certificates ended before the predecessor's `this_update`
    /// (RFC 5280 §3.3).
    pub expired: &'a BTreeSet<Serial>,
    /// The present.
    pub now: Timestamp,
}

/// What an OCSP answer is judged by, apart from its own bytes.
#[derive(Debug, Clone)]
pub struct OcspRules<'a> {
    /// The CA certificate of the issuer of the certificate that is answered for.
    pub issuer: &'a Certificate,
    /// The certificate of whoever signs: the issuer's, or that of a delegated responder.
    pub responder: &'a Certificate,
    /// The nonce that has to be repeated, if any.
    pub nonce: Option<&'a [u8]>,
    /// The present.
    pub now: Timestamp,
}

/// What the certificate of an OCSP responder is judged by, apart from its own bytes.
#[derive(Debug, Clone)]
pub struct ResponderRules<'a> {
    /// The CA certificate it will be issued under.
    pub issuer: &'a Certificate,
    /// The responder's key.
    pub public_key: &'a PublicKey,
    /// The longest life, the last second included: nobody can revoke it.
    pub lifetime_max: Duration,
    /// The present.
    pub now: Timestamp,
}

/// An OCSP answer under judgement.
#[derive(Debug)]
pub struct OcspCandidate<'a> {
    rules: &'a OcspRules<'a>,
    data: ResponseData<'a>,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name of the lint.
    pub lint: &'static str,
    /// Where the rule stands, as "RFC 5280 §4.1.2.2".
    pub source: &'static str,
    /// What was wrong, and what would be right.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.lint, self.source, self.detail)
    }
}

/// A rule for certificates.
#[derive(Debug, Clone, Copy)]
pub struct Lint {
    /// A sentence that holds for every good certificate, in snake case.
    pub name: &'static str,
    /// Where the rule stands.
    pub source: &'static str,
    /// Whether the rule speaks about this certificate at all.
    pub applies: fn(&Candidate<'_>) -> bool,
    /// The rule; its error says what was wrong and what would be right.
    pub check: fn(&Candidate<'_>) -> Result<(), String>,
}

/// A rule for CRLs.
#[derive(Debug, Clone, Copy)]
pub struct CrlLint {
    /// A sentence that holds for every good CRL, in snake case.
    pub name: &'static str,
    /// Where the rule stands.
    pub source: &'static str,
    /// The rule; its error says what was wrong and what would be right.
    pub check: fn(&CrlCandidate<'_>) -> Result<(), String>,
}

/// A rule for OCSP answers.
#[derive(Debug, Clone, Copy)]
pub struct OcspLint {
    /// A sentence that holds for every good answer, in snake case.
    pub name: &'static str,
    /// Where the rule stands.
    pub source: &'static str,
    /// The rule; its error says what was wrong and what would be right.
    pub check: fn(&OcspCandidate<'_>) -> Result<(), String>,
}

/// A table entry whose name is that of its function: they can't drift apart.
macro_rules! lint {
    ($check:ident, $source:literal, $applies:expr) => {
        $crate::lint::Lint { name: stringify!($check), source: $source, applies: $applies, check: $check }
    };
    ($check:ident, $source:literal) => {
        $crate::lint::CrlLint { name: stringify!($check), source: $source, check: $check }
    };
}
use lint;

/// The same for OCSP answers.
macro_rules! lint_ocsp {
    ($check:ident, $source:literal) => {
        $crate::lint::OcspLint { name: stringify!($check), source: $source, check: $check }
    };
}
use lint_ocsp;

/// Every rule for certificates, a table per document.
pub const CERTIFICATE_LINTS: &[&[Lint]] = &[rfc5280::LINTS, rfc6962::LINTS, baseline::LINTS, order::LINTS];

/// Every rule for CRLs.
pub const CRL_LINTS: &[&[CrlLint]] = &[crl::LINTS];

/// Every rule for OCSP answers.
pub const OCSP_LINTS: &[&[OcspLint]] = &[ocsp::LINTS];

/// The rules for certificates of OCSP responders, beside those of RFC 5280 that they share with others.
pub const RESPONDER_LINTS: &[&[Lint]] = &[responder::LINTS];

/// The name of the finding for bytes that the strict reader refuses; nothing further can be said about these.
pub const STRICT_DER: &str = "encoding_is_strict_der";

/// What another machine's clock says may be so far ahead of ours: no two clocks agree, and a certificate that is
/// refused for it ends an order through no fault of its client.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);

/// Why something may not be signed: all that was found, together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct LintFailure {
    /// At least one.
    pub findings: Vec<Finding>,
}

impl LintFailure {
    fn unreadable(error: &der::Error) -> Self {
        let detail = format!("the strict reader refuses it: {error}");
        Self { findings: vec![Finding { lint: STRICT_DER, source: "RFC 5280 §4.1; X.690", detail }] }
    }
}

impl fmt::Display for LintFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, finding) in self.findings.iter().enumerate() {
            if position > 0 {
                f.write_str("; ")?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

/// The receipt of the linter: this and nothing else may be signed. It can't be made elsewhere, nor copied.
#[derive(Debug)]
pub struct Linted<T> {
    tbs: T,
    linting_certificate: Vec<u8>,
}

impl<T> Linted<T> {
    /// What was linted.
    pub const fn tbs(&self) -> &T {
        &self.tbs
    }
}

impl Linted<TbsCertificate> {
    /// The same TBS under a throwaway signature, as it was linted and as the ledger keeps it.
    pub fn linting_certificate(&self) -> &[u8] {
        &self.linting_certificate
    }

    /// Ends the receipt: the TBS and the linting certificate.
    pub fn into_parts(self) -> (TbsCertificate, Vec<u8>) {
        (self.tbs, self.linting_certificate)
    }
}

impl Linted<TbsResponder> {
    /// The same TBS under a throwaway signature, as it was linted and as the ledger keeps it.
    pub fn linting_certificate(&self) -> &[u8] {
        &self.linting_certificate
    }
}

impl Linted<TbsCrl> {
    /// Ends the receipt.
    pub fn into_tbs(self) -> TbsCrl {
        self.tbs
    }
}

/// Lints a certificate before it is signed, the one way to a [`Linted`] one. `linting_certificate` is this very
/// TBS signed by a throwaway key.
///
/// # Errors
/// [`LintFailure`] with everything that was found.
pub fn certificate(
    tbs: TbsCertificate,
    linting_certificate: Vec<u8>,
    rules: &Rules<'_>,
) -> Result<Linted<TbsCertificate>, LintFailure> {
    check_certificate(tbs.der(), &linting_certificate, rules)?;
    Ok(Linted { tbs, linting_certificate })
}

fn check_certificate(tbs: &[u8], linting_certificate: &[u8], rules: &Rules<'_>) -> Result<(), LintFailure> {
    let candidate =
        Candidate::parse(tbs, linting_certificate, rules).map_err(|error| LintFailure::unreadable(&error))?;
    let findings = CERTIFICATE_LINTS
        .iter()
        .copied()
        .flatten()
        .filter(|lint| (lint.applies)(&candidate))
        .filter_map(|lint| finding(lint.name, lint.source, (lint.check)(&candidate)));
    none_of(findings)
}

/// Lints a CRL before it is signed, the one way to a [`Linted`] one.
///
/// # Errors
/// [`LintFailure`] with everything that was found.
pub fn crl(tbs: TbsCrl, rules: &CrlRules<'_>) -> Result<Linted<TbsCrl>, LintFailure> {
    check_crl(tbs.der(), rules)?;
    Ok(Linted { tbs, linting_certificate: Vec::new() })
}

fn check_crl(tbs: &[u8], rules: &CrlRules<'_>) -> Result<(), LintFailure> {
    let candidate = CrlCandidate::parse(tbs, rules).map_err(|error| LintFailure::unreadable(&error))?;
    let findings = CRL_LINTS
        .iter()
        .copied()
        .flatten()
        .filter_map(|lint| finding(lint.name, lint.source, (lint.check)(&candidate)));
    none_of(findings)
}

/// Lints an OCSP answer before it is signed, the one way to a [`Linted`] one.
///
/// # Errors
/// [`LintFailure`] with everything that was found.
pub fn ocsp_response(tbs: TbsOcspResponse, rules: &OcspRules<'_>) -> Result<Linted<TbsOcspResponse>, LintFailure> {
    check_ocsp(tbs.der(), rules)?;
    Ok(Linted { tbs, linting_certificate: Vec::new() })
}

fn check_ocsp(tbs: &[u8], rules: &OcspRules<'_>) -> Result<(), LintFailure> {
    let data = ResponseData::from_der(tbs).ok_or_else(|| {
        let detail = "it is no ResponseData in DER".to_owned();
        LintFailure { findings: vec![Finding { lint: STRICT_DER, source: "RFC 6960 §4.2.1; X.690", detail }] }
    })?;
    let candidate = OcspCandidate { rules, data };
    let findings = OCSP_LINTS
        .iter()
        .copied()
        .flatten()
        .filter_map(|lint| finding(lint.name, lint.source, (lint.check)(&candidate)));
    none_of(findings)
}

/// Lints the certificate of an OCSP responder before it is signed, the one way to a [`Linted`] one.
/// `linting_certificate` is this very TBS signed by a throwaway key.
///
/// # Errors
/// [`LintFailure`] with everything that was found.
pub fn ocsp_responder(
    tbs: TbsResponder,
    linting_certificate: Vec<u8>,
    rules: &ResponderRules<'_>,
) -> Result<Linted<TbsResponder>, LintFailure> {
    check_responder(tbs.certificate().der(), &linting_certificate, rules)?;
    Ok(Linted { tbs, linting_certificate })
}

fn check_responder(tbs: &[u8], linting_certificate: &[u8], rules: &ResponderRules<'_>) -> Result<(), LintFailure> {
    let rules = responder::rules(rules);
    let candidate =
        Candidate::parse(tbs, linting_certificate, &rules).map_err(|error| LintFailure::unreadable(&error))?;
    let findings = responder::lints()
        .filter(|lint| (lint.applies)(&candidate))
        .filter_map(|lint| finding(lint.name, lint.source, (lint.check)(&candidate)));
    none_of(findings)
}

fn none_of(findings: impl Iterator<Item = Finding>) -> Result<(), LintFailure> {
    // An empty Vec takes no memory: nothing is allocated for what passes.
    let findings: Vec<Finding> = findings.collect();
    if findings.is_empty() { Ok(()) } else { Err(LintFailure { findings }) }
}

fn finding(lint: &'static str, source: &'static str, verdict: Result<(), String>) -> Option<Finding> {
    verdict.err().map(|detail| Finding { lint, source, detail })
}

/// The verdict of a rule, its text made only if it is broken.
fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

#[cfg(test)]
mod tests;
