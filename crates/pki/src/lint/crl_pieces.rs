//! CRLs that are too long to be held as a whole are linted piece by piece: the table of rules is asked about each piece
//! as if it were a CRL of these entries alone, and what binds the pieces together is checked here.

use std::collections::{BTreeSet, VecDeque};

use super::{CrlRules, Finding, LintFailure, Linted, STRICT_DER, check_crl};
use crate::crl::{CrlDraft, CrlOutline, EntryReader, WholeEntries};
use crate::digest::Sha256Pieces;
use crate::{Certificate, Crl, CrlError, Serial, Sha256, Timestamp};

/// Nothing may vanish by the table's own rule: entries are compared here.
const NONE_EXPIRED: &BTreeSet<Serial> = &BTreeSet::new();

/// The linter of one CRL. Its entries have to come in the order of their serials, and so have those of the predecessor:
/// give it the latter whenever it [wants](CrlLinter::wants_previous) them, and all of both in the end.
#[derive(Debug)]
pub struct CrlLinter<'a> {
    issuer: &'a Certificate,
    now: Timestamp,
    outline: CrlOutline,
    /// The predecessor as if it had no entries.
    previous: Option<Crl>,
    ours: Side,
    theirs: Side,
    sha256: Sha256Pieces,
    vanished: Vec<Serial>,
    unconfirmed: BTreeSet<Serial>,
}

/// The entries of one of the two lists.
#[derive(Debug, Default)]
struct Side {
    reader: EntryReader,
    expected: (u64, u64),
    read: (u64, u64),
    last: Option<Serial>,
    /// Not yet compared.
    waiting: VecDeque<Serial>,
}

impl Side {
    fn of(outline: &CrlOutline) -> Self {
        Self { expected: outline.entries(), ..Self::default() }
    }

    fn is_whole(&self) -> bool {
        self.read == self.expected
    }

    fn push(&mut self, piece: &[u8]) -> Result<WholeEntries, LintFailure> {
        let whole = self.reader.push(piece).map_err(|error| unreadable(&error))?;
        self.read = (self.read.0 + whole.entries.len() as u64, self.read.1 + whole.octets.len() as u64);
        for serial in whole.entries.iter().map(|entry| entry.serial) {
            if self.last.is_some_and(|last| last >= serial) {
                let detail = format!("the serial {serial} stands there twice, or out of the order of serials");
                return Err(failed("serials_are_unique", "RFC 5280 §5.1.2.6", detail));
            }
            self.last = Some(serial);
            self.waiting.push_back(serial);
        }
        Ok(whole)
    }
}

impl<'a> CrlLinter<'a> {
    /// Begins with what stands around the entries.
    ///
    /// # Errors
    /// [`LintFailure`]: the outline breaks rules.
    pub fn new(
        outline: CrlOutline,
        previous: Option<&CrlOutline>,
        issuer: &'a Certificate,
        now: Timestamp,
    ) -> Result<Self, LintFailure> {
        let mut sha256 = Sha256::pieces();
        sha256.add(outline.head());
        let theirs = previous.map(Side::of).unwrap_or_default();
        let previous = previous.map(|previous| previous.read().map_err(|error| unreadable(&error))).transpose()?;
        let linter = Self {
            issuer,
            now,
            ours: Side::of(&outline),
            outline,
            previous,
            theirs,
            sha256,
            vanished: Vec::new(),
            unconfirmed: BTreeSet::new(),
        };
        linter.check(&[])?;
        Ok(linter)
    }

    fn check(&self, entries: &[u8]) -> Result<(), LintFailure> {
        let tbs = self.outline.with_entries(entries).ok_or_else(|| {
            failed(STRICT_DER, "RFC 5280 §5.1; X.690", "its lengths are not those of its parts".to_owned())
        })?;
        let previous = self.previous.as_ref();
        check_crl(tbs.der(), &CrlRules { issuer: self.issuer, previous, expired: NONE_EXPIRED, now: self.now })
    }

    /// The next piece of entries.
    ///
    /// # Errors
    /// [`LintFailure`] with all that is wrong in this piece.
    pub fn entries(&mut self, piece: &[u8]) -> Result<(), LintFailure> {
        self.sha256.add(piece);
        let whole = self.ours.push(piece)?;
        self.compare();
        if whole.octets.is_empty() { Ok(()) } else { self.check(&whole.octets) }
    }

    /// Whether the next to come should be entries of the predecessor.
    pub fn wants_previous(&self) -> bool {
        self.theirs.waiting.is_empty() && !self.theirs.is_whole()
    }

    /// The next piece of the predecessor's entries.
    ///
    /// # Errors
    /// [`LintFailure`]: they can't be read.
    pub fn previous_entries(&mut self, piece: &[u8]) -> Result<(), LintFailure> {
        self.theirs.push(piece)?;
        self.compare();
        Ok(())
    }

    fn compare(&mut self) {
        while let Some(theirs) = self.theirs.waiting.front().copied() {
            match self.ours.waiting.front() {
                Some(ours) if *ours < theirs => drop(self.ours.waiting.pop_front()),
                Some(ours) if *ours == theirs => {
                    self.ours.waiting.pop_front();
                    self.theirs.waiting.pop_front();
                }
                None if !self.ours.is_whole() => return,
                Some(_) | None => {
                    self.theirs.waiting.pop_front();
                    self.vanished.push(theirs);
                }
            }
        }
        if self.theirs.is_whole() {
            self.ours.waiting.clear();
        }
    }

    /// Serials of the predecessor that are not in this list, since this was asked last: of each, somebody who knows has
    /// to say that it may be gone.
    pub fn vanished(&mut self) -> Vec<Serial> {
        self.unconfirmed.extend(&self.vanished);
        std::mem::take(&mut self.vanished)
    }

    /// The certificate of this serial ended before the predecessor's `this_update` (RFC 5280 §3.3).
    pub fn expired(&mut self, serial: Serial) {
        self.unconfirmed.remove(&serial);
    }

    /// The receipt, once all entries of both were there.
    ///
    /// # Errors
    /// [`LintFailure`]: entries are missing, or vanished before their time.
    pub fn finish(mut self) -> Result<Linted<CrlDraft>, LintFailure> {
        self.compare();
        self.vanished();
        for (side, name) in [(&self.ours, "the CRL"), (&self.theirs, "its predecessor")] {
            if !side.is_whole() || !side.reader.is_between_entries() {
                let detail = format!("{name} has {:?} entries and octets of {:?}", side.read, side.expected);
                return Err(failed(STRICT_DER, "RFC 5280 §5.1; X.690", detail));
            }
        }
        if let Some(serial) = self.unconfirmed.first() {
            let detail = format!("{serial} stood in the predecessor and its certificate has not yet expired");
            return Err(failed("no_entry_vanished_before_its_time", "RFC 5280 §3.3", detail));
        }
        self.sha256.add(self.outline.tail());
        let tbs = CrlDraft::new(self.outline, self.sha256.finish());
        Ok(Linted { tbs, linting_certificate: Vec::new() })
    }
}

fn failed(lint: &'static str, source: &'static str, detail: String) -> LintFailure {
    LintFailure { findings: vec![Finding { lint, source, detail }] }
}

fn unreadable(error: &CrlError) -> LintFailure {
    failed(STRICT_DER, "RFC 5280 §5.1; X.690", format!("entries can't be read: {error}"))
}
