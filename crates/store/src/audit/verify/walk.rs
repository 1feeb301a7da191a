//! Putting together what was found in the pieces, in the order of the log.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use ca::InstanceId;
use ca::ports::{AuditEvent, AuditMark, CheckpointKeyChange};
use pki::{PublicKey, Sha256, SignatureAlgorithm, Timestamp};

use super::fault::{Fault, FaultKind, Place};
use super::segment::{Cursor, Piece, Seen, Wrong};
use super::{Examination, Examined, FAULTS_MAX, Found, START, Verified};
use crate::audit::checkpointer::LAG_LINES_MAX;
use crate::audit::note::{Checkpoint, succession};

/// So many of the chain's hashes are kept: a checkpoint speaks for lines not further before it, and a piece has not
/// more lines than the rest.
const HEADS_MAX: usize = 2 * LAG_LINES_MAX as usize;
/// Several of them may become one fault.
const WRONG_MAX: usize = 4 * FAULTS_MAX;
/// A server that makes checkpoints leaves fewer lines without one …
const UNSIGNED_LINES_MAX: u64 = LAG_LINES_MAX;
/// … and none for so long.
const UNSIGNED_TIME_MAX: Duration = Duration::from_secs(60 * 60);

/// Somebody who knows what the log was once.
struct Witness {
    mark: AuditMark,
    by: By,
    /// Whether the log is that, once its line was seen.
    agrees: Option<bool>,
}

#[derive(Clone, Copy)]
enum By {
    Ledger,
    /// The note beside the log.
    Note,
    Checkpoint(usize),
}

pub(super) struct Walk<'a> {
    what: &'a Examination,
    files: &'a [Found],
    file: Option<usize>,
    /// Lines of the file before the piece that comes next.
    base: u64,
    cursor: Cursor,
    first: AuditMark,
    /// Behind the last line that was one.
    at: AuditMark,
    /// The chain's hash after each of the last lines, without gaps; the last of them after the line before `at`.
    heads: VecDeque<Sha256>,
    unfinished: u64,
    instance: Option<InstanceId>,
    key: Option<PublicKey>,
    keys: Vec<PublicKey>,
    witnesses: Vec<Witness>,
    checkpoints: u64,
    signed: u64,
    /// Good checkpoints' own lines.
    signatures: Vec<u64>,
    wrong: Vec<(usize, u64, Wrong)>,
    faults: Vec<(usize, u64, Fault)>,
    /// Those of the log as a whole: few, and each of them is named.
    of_log: Vec<Fault>,
    more: u64,
    /// When the checkpoint that speaks for most lines was signed.
    signed_at: Option<Timestamp>,
    compared: Vec<bool>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(what: &'a Examination, files: &'a [Found]) -> Self {
        let known = what.known.filter(|mark| mark.sequence > 0);
        let of_checkpoints = what.checkpoints.iter().enumerate().map(|(at, signed)| Witness {
            mark: AuditMark { sequence: signed.checkpoint.lines, chain: signed.checkpoint.head },
            by: By::Checkpoint(at),
            agrees: None,
        });
        let of_ledger = known.map(|mark| Witness { mark, by: By::Ledger, agrees: None });
        let of_note = what.note.iter().map(|note| {
            let mark = AuditMark { sequence: note.checkpoint.lines, chain: note.checkpoint.head };
            Witness { mark, by: By::Note, agrees: None }
        });
        Self {
            what,
            files,
            file: None,
            base: 0,
            cursor: Cursor::default(),
            first: START,
            at: START,
            heads: VecDeque::new(),
            unfinished: 0,
            instance: what.instance,
            key: None,
            keys: what.keys.iter().chain(&what.own).cloned().collect(),
            witnesses: of_ledger.into_iter().chain(of_note).chain(of_checkpoints).collect(),
            checkpoints: 0,
            signed: 0,
            signatures: Vec::new(),
            wrong: Vec::new(),
            faults: Vec::new(),
            of_log: Vec::new(),
            more: 0,
            signed_at: None,
            compared: vec![false; what.checkpoints.len()],
        }
    }

    /// These files are empty, though another one follows them.
    pub(super) fn emptied(&mut self, files: Vec<PathBuf>) {
        for path in files {
            let (place, detail) =
                (Some(Place { path, line: None }), "it is empty, and another file follows".to_owned());
            self.push((0, 0), Fault { kind: FaultKind::FileCut, place, sequence: None, detail });
        }
    }

    /// How many lines the log has as far as it was seen.
    pub(super) const fn lines(&self) -> u64 {
        self.at.sequence
    }

    /// The next piece of the log.
    pub(super) fn piece(&mut self, piece: Piece, seen: Seen) {
        if self.file != Some(piece.file) {
            self.begin_file(piece.file, &seen);
        }
        self.join(piece.file, &seen);
        self.follow(&seen.claims);
        for (line, sequence, event) in seen.own {
            self.own(piece.file, self.base + line, sequence, event);
        }
        self.base += seen.lines;
        self.unfinished = seen.unfinished;
    }

    fn begin_file(&mut self, file: usize, seen: &Seen) {
        let found = &self.files[file];
        let before = self.file.replace(file);
        if self.unfinished > 0
            && let Some(before) = before
        {
            let detail = format!("it ends with {} octets of a line, and another file follows", self.unfinished);
            self.fault((before, self.base + 1), FaultKind::FileCut, (true, None), detail);
        }
        (self.base, self.unfinished) = (0, 0);
        if found.out_of_place {
            let first = found.first.unwrap_or_default();
            let detail = format!("it holds lines from {first} on, which belong into a file with another number");
            self.fault((file, 0), FaultKind::FileOutOfPlace, (false, Some(first)), detail);
        }
        let continued = seen.own.first().and_then(|(line, sequence, event)| {
            let AuditEvent::Continued { before, .. } = event else { return None };
            (*line == 0).then_some(AuditMark { sequence: *sequence, chain: *before })
        });
        let goes_on_from =
            |mark: AuditMark| Cursor { expected: Some(mark.sequence), said: Some(mark.chain), computed: None };
        match before {
            None if found.number == 0 || found.out_of_place => self.cursor = goes_on_from(START),
            None => match continued {
                Some(mark) => {
                    (self.first, self.at, self.cursor) = (mark, mark, goes_on_from(mark));
                    self.heads = [mark.chain].into();
                    self.see_beginning();
                }
                None if seen.lines > 0 => self.missing(file, found.number - 1, 0),
                None => {}
            },
            Some(before) => {
                let Found { number, out_of_place, .. } = self.files[before];
                if number + 1 < found.number && !out_of_place && !found.out_of_place {
                    self.missing(file, number + 1, self.at.sequence);
                    self.cursor = continued.map(goes_on_from).unwrap_or_default();
                }
            }
        }
    }

    /// A file is not there; the one behind it begins where it begins.
    fn missing(&mut self, file: usize, number: u32, expected: u64) {
        let found = &self.files[file];
        let first = found.first.unwrap_or(expected);
        let path = found.path.with_file_name(format!("{number:08}.jsonl"));
        let upto =
            if number + 1 < found.number { format!(" and those up to {}", found.number - 1) } else { String::new() };
        let lines = if first > expected { format!(", with lines {expected} to {}", first - 1) } else { String::new() };
        let place = Some(Place { path, line: None });
        let detail = format!("this file is missing{upto}{lines}");
        self.push((file, 0), Fault { kind: FaultKind::FileMissing, place, sequence: Some(expected), detail });
        self.cursor = Cursor::default();
    }

    /// The first line of a piece against the piece before; and where the chain is behind it.
    fn join(&mut self, file: usize, seen: &Seen) {
        let Some((none_before, first)) = &seen.first else {
            for (line, _) in &seen.wrong {
                let (_, wrong) = self.cursor.step(b"");
                self.wrongs(file, *line, wrong);
            }
            return;
        };
        for line in 0..*none_before {
            let (_, wrong) = self.cursor.step(b"");
            self.wrongs(file, line, wrong);
        }
        let (_, wrong) = self.cursor.step(first);
        self.wrongs(file, *none_before, wrong);
        for (line, wrong) in seen.wrong.iter().filter(|(line, _)| line > none_before) {
            self.wrongs(file, *line, Some(*wrong));
        }
        if seen.lines > none_before + 1 {
            self.cursor = seen.cursor;
        }
    }

    fn wrongs(&mut self, file: usize, line: u64, wrong: Option<Wrong>) {
        let Some(wrong) = wrong else { return };
        if self.wrong.len() < WRONG_MAX {
            self.wrong.push((file, self.base + line + 1, wrong));
        } else {
            self.more += 1;
        }
    }

    /// What the lines say the chain is, and whether that is what witnesses know.
    fn follow(&mut self, claims: &[(u64, Sha256)]) {
        let (Some((first, _)), Some((last, _))) = (claims.first(), claims.last()) else { return };
        for witness in self.witnesses.iter_mut().filter(|one| (first + 1..=last + 1).contains(&one.mark.sequence)) {
            let claim = claims.iter().find(|(sequence, _)| sequence + 1 == witness.mark.sequence);
            if let Some((_, said)) = claim {
                witness.agrees = Some(*said == witness.mark.chain);
            }
        }
        for (sequence, said) in claims {
            if *sequence != self.at.sequence {
                self.heads.clear();
            }
            if self.heads.len() == HEADS_MAX {
                self.heads.pop_front();
            }
            self.heads.push_back(*said);
            self.at = AuditMark { sequence: sequence + 1, chain: *said };
        }
    }

    fn see_beginning(&mut self) {
        for witness in self.witnesses.iter_mut().filter(|one| one.mark.sequence == self.first.sequence) {
            witness.agrees = Some(witness.mark.chain == self.first.chain);
        }
    }

    fn head_after(&self, lines: u64) -> Option<Sha256> {
        let back = usize::try_from(self.at.sequence.checked_sub(lines)?).ok()?;
        self.heads.get(self.heads.len().checked_sub(back + 1)?).copied()
    }

    /// A line that speaks of the log itself.
    fn own(&mut self, file: usize, line: u64, sequence: u64, event: AuditEvent) {
        let at = (file, line + 1);
        match event {
            AuditEvent::Begun { instance } | AuditEvent::Continued { instance, .. } => {
                let expected = *self.instance.get_or_insert(instance);
                if expected != instance {
                    let detail = format!("it is a line of instance {instance}, not of {expected}");
                    self.fault(at, FaultKind::OtherInstance, (true, Some(sequence)), detail);
                }
            }
            AuditEvent::CheckpointKey { instance, spki, replaces } => {
                self.name_key(at, sequence, instance, &spki, replaces.as_ref());
            }
            AuditEvent::Checkpoint { .. } => self.checkpoint(at, sequence, &event),
            AuditEvent::Precertificate { .. }
            | AuditEvent::Certificate { .. }
            | AuditEvent::Revocation { .. }
            | AuditEvent::KeyBlock { .. }
            | AuditEvent::IssuanceStopped { .. }
            | AuditEvent::IssuanceResumed { .. }
            | AuditEvent::CrlNumber { .. }
            | AuditEvent::Crl { .. }
            | AuditEvent::Authority { .. }
            | AuditEvent::OcspResponder { .. }
            | AuditEvent::ClockAccepted { .. }
            | AuditEvent::Recovered { .. } => {}
        }
    }

    fn name_key(
        &mut self,
        at: (usize, u64),
        sequence: u64,
        instance: InstanceId,
        spki: &[u8],
        replaces: Option<&CheckpointKeyChange>,
    ) {
        let Ok(named) = PublicKey::from_spki_der(spki) else {
            let detail = "it names a key of checkpoints that is none".to_owned();
            self.fault(at, FaultKind::CheckpointForged, (true, Some(sequence)), detail);
            return;
        };
        if let Some(key) = self.key.as_ref().filter(|key| **key != named) {
            let signs = |change: &CheckpointKeyChange| {
                let text = succession(instance, spki);
                change.spki == key.spki_der()
                    && key.verify(SignatureAlgorithm::Ed25519, &text, &change.signature).is_ok()
            };
            if !replaces.is_some_and(signs) && !self.what.keys.contains(&named) {
                let (old, new) = (key.spki_hash(), named.spki_hash());
                let detail = format!(
                    "it names a new key of checkpoints, {new}, and the one before, {old}, has not signed for it"
                );
                self.fault(at, FaultKind::KeyChangeUnsigned, (true, Some(sequence)), detail);
            }
        }
        self.adopt(named);
    }

    fn adopt(&mut self, key: PublicKey) {
        if !self.keys.contains(&key) {
            self.keys.push(key.clone());
        }
        self.key = Some(key);
    }

    fn checkpoint(&mut self, at: (usize, u64), sequence: u64, event: &AuditEvent) {
        let here = (true, Some(sequence));
        let AuditEvent::Checkpoint { lines, head, signed, spki, .. } = event else { return };
        let instance = self.instance.unwrap_or(InstanceId::from_bytes([0; 16]));
        let read = PublicKey::from_spki_der(spki).ok().zip(Checkpoint::of_event(instance, event));
        let Some((key, checkpoint)) = read else {
            self.fault(at, FaultKind::CheckpointForged, here, "it is a checkpoint without a key".to_owned());
            return;
        };
        let named = match &self.key {
            Some(named) => *named == key,
            // The line that names it stands in a file that was moved away.
            None => self.first.sequence > 0 || self.is_known(&key),
        };
        if !named {
            let detail = format!("it is a checkpoint of key {}, which the log has not named", key.spki_hash());
            self.fault(at, FaultKind::CheckpointKeyUnknown, here, detail);
            return;
        }
        if *lines > sequence || !checkpoint.is_signed_by(&key) {
            let detail = format!("the signature of this checkpoint for {lines} lines does not verify");
            self.fault(at, FaultKind::CheckpointForged, here, detail);
            return;
        }
        let counts = self.what.keys.is_empty() || self.what.keys.contains(&key);
        self.adopt(key);
        match self.head_after(*lines) {
            Some(found) if found == *head => {
                self.checkpoints += 1;
                if !counts {
                    return;
                }
                self.signed = self.signed.max(*lines);
                self.signed_at = Some(checkpoint.checkpoint.signed);
                self.signatures.retain(|own| *own >= *lines);
                self.signatures.push(sequence);
            }
            Some(_) => {
                let detail = format!(
                    "the checkpoint signed at {signed} speaks for other lines than those from {} to {}: they were \
                     written anew",
                    self.signed.max(self.first.sequence),
                    lines.saturating_sub(1)
                );
                self.fault(at, FaultKind::WrittenAnew, here, detail);
            }
            // What it speaks for is missing, and that was found.
            None => {}
        }
    }

    fn fault(&mut self, at: (usize, u64), kind: FaultKind, (with_line, sequence): (bool, Option<u64>), detail: String) {
        let path: PathBuf = self.files[at.0].path.clone();
        let place = Some(Place { path, line: with_line.then_some(at.1) });
        self.push(at, Fault { kind, place, sequence, detail });
    }

    fn push(&mut self, (file, line): (usize, u64), fault: Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push((file, line, fault));
        } else {
            self.more += 1;
        }
    }

    /// All pieces were seen.
    pub(super) fn end(mut self, last_at: Option<Timestamp>) -> Examined {
        self.judge_lines();
        self.faults.sort_by_key(|(file, line, _)| (*file, *line));
        let signatures = self.signatures.iter().filter(|own| **own >= self.signed).count() as u64;
        let unsigned_from = self.signed.max(self.first.sequence);
        let unsigned = self.at.sequence.saturating_sub(unsigned_from).saturating_sub(signatures);
        self.judge_keys();
        self.judge_witnesses();
        self.judge_unsigned(unsigned, last_at);
        Examined {
            verified: Verified {
                files: u32::try_from(self.files.len()).unwrap_or(u32::MAX),
                first: self.first.sequence,
                lines: self.at.sequence,
                chain: self.at.chain,
                unfinished_octets: self.unfinished,
                checkpoints: self.checkpoints,
                signed: self.signed,
                unsigned,
            },
            key: self.key,
            compared: self.compared,
            faults: self.faults.into_iter().map(|(_, _, fault)| fault).chain(self.of_log).collect(),
            faults_more: self.more,
        }
    }

    /// What is wrong with lines, by its name.
    fn judge_lines(&mut self) {
        let wrong = std::mem::take(&mut self.wrong);
        let mut rest = &wrong[..];
        while let Some(((file, line, _), more)) = rest.split_first() {
            let (taken, kind, sequence, detail) = judge(rest);
            self.fault((*file, *line), kind, (true, sequence), detail);
            rest = more.get(taken - 1..).unwrap_or_default();
        }
    }

    fn judge_keys(&mut self) {
        if (self.what.keys.is_empty() && self.what.own.is_none()) || self.at.sequence == 0 {
            return;
        }
        let detail = match &self.key {
            Some(key) if self.is_known(key) => {
                // A line can name any key; only its owner signs.
                if self.what.keys.is_empty() || self.signed_at.is_some() {
                    return;
                }
                format!("no checkpoint of it is signed with the key known, {}", key.spki_hash())
            }
            Some(key) => format!("its checkpoints are signed with key {}, which is not the one known", key.spki_hash()),
            None => "no line names the key that its checkpoints are signed with".to_owned(),
        };
        self.of_log(FaultKind::OtherKey, detail);
    }

    /// Keys that were told count alone: the one in the log's own folder is no witness against who wrote there.
    fn is_known(&self, key: &PublicKey) -> bool {
        self.what.keys.contains(key) || (self.what.keys.is_empty() && self.what.own.as_ref() == Some(key))
    }

    /// Whoever knows the key, or an earlier checkpoint, wants to know what the key speaks for.
    fn judge_unsigned(&mut self, unsigned: u64, last_at: Option<Timestamp>) {
        if unsigned == 0 || (self.what.keys.is_empty() && self.what.checkpoints.is_empty()) {
            return;
        }
        let time = self.signed_at.zip(last_at).map_or(Duration::ZERO, |(signed, last)| last.since(signed));
        if unsigned > UNSIGNED_LINES_MAX || time > UNSIGNED_TIME_MAX {
            let seconds = time.as_secs();
            let detail = format!(
                "{unsigned} lines at its end, up to {seconds} seconds later than the newest checkpoint, are signed by \
                 none"
            );
            self.of_log(FaultKind::UnsignedTooLong, detail);
        }
    }

    fn judge_witnesses(&mut self) {
        if self.first.sequence > 0 && self.signed < self.first.sequence {
            let detail =
                format!("its first line is number {}, and no checkpoint says that it is right", self.first.sequence);
            self.of_log(FaultKind::BeginningUncovered, detail);
        }
        for Witness { mark, by, agrees } in std::mem::take(&mut self.witnesses) {
            let who = match by {
                By::Ledger => "the ledger".to_owned(),
                By::Note => {
                    let signed = self.what.note.as_ref().filter(|note| {
                        self.instance == Some(note.checkpoint.instance)
                            && self.keys.iter().any(|key| note.is_signed_by(key))
                    });
                    // What nobody signed says nothing.
                    let Some(signed) = signed else { continue };
                    format!("the note beside it, signed at {},", signed.checkpoint.signed)
                }
                By::Checkpoint(at) => {
                    let signed = &self.what.checkpoints[at];
                    if self.instance.is_some_and(|instance| instance != signed.checkpoint.instance) {
                        let instance = signed.checkpoint.instance;
                        self.of_log(FaultKind::OtherInstance, format!("the checkpoint is of instance {instance}"));
                        continue;
                    }
                    if !self.keys.iter().any(|key| signed.is_signed_by(key)) {
                        let detail =
                            format!("the checkpoint of {} is not signed with a key of this log", mark.sequence);
                        self.of_log(FaultKind::CheckpointForged, detail);
                        continue;
                    }
                    format!("the checkpoint signed at {}", signed.checkpoint.signed)
                }
            };
            let (lines, mark) = (self.at.sequence, mark.sequence);
            if mark > lines {
                let detail = format!("the log has {lines} lines, and {who} knows of {mark}: it was cut short");
                self.of_log(FaultKind::CutShort, detail);
            } else if agrees == Some(false) {
                let detail = format!("the first {mark} lines are not those that {who} knows: the log was written anew");
                self.of_log(FaultKind::WrittenAnew, detail);
            } else if let By::Checkpoint(at) = by {
                self.compared[at] = agrees == Some(true);
                if agrees.is_none() {
                    let detail = format!("{who} speaks for the first {mark} lines, which are not all here");
                    self.of_log(FaultKind::CheckpointNotComparable, detail);
                }
            }
        }
    }

    fn of_log(&mut self, kind: FaultKind, detail: String) {
        self.of_log.push(Fault { kind, place: None, sequence: None, detail });
    }
}

/// The first of these, together with those behind it that come of the same fault: how many, and what it is.
fn judge(wrong: &[(usize, u64, Wrong)]) -> (usize, FaultKind, Option<u64>, String) {
    let at = |index: usize| {
        wrong.get(index).filter(|(file, line, _)| *file == wrong[0].0 && *line == wrong[0].1 + index as u64)
    };
    let order = |index: usize| match at(index) {
        Some((_, _, Wrong::OutOfOrder { expected, found })) => Some((*expected, *found)),
        _other => None,
    };
    match wrong[0].2 {
        Wrong::Changed { sequence } => {
            (1, FaultKind::LineChanged, Some(sequence), format!("line {sequence} of the log was changed"))
        }
        Wrong::NoLine { expected } => {
            let should = expected.map_or_else(String::new, |number| format!(": line {number} of the log should be"));
            (1, FaultKind::NoLine, expected, format!("this is no line of an audit log{should}"))
        }
        Wrong::OutOfOrder { expected, found } => {
            if found == expected + 1 && order(1) == Some((expected + 2, expected)) {
                let taken = if order(2) == Some((expected + 1, expected + 2)) { 3 } else { 2 };
                let detail = format!("lines {expected} and {found} of the log were swapped");
                (taken, FaultKind::LinesSwapped, Some(expected), detail)
            } else if order(1) == Some((found + 1, expected + 1)) {
                let detail = format!("line {expected} of the log was changed: it says that it is number {found}");
                (2, FaultKind::LineChanged, Some(expected), detail)
            } else if found > expected {
                let which = if found == expected + 1 {
                    format!("line {expected} of the log is")
                } else {
                    format!("lines {expected} to {} of the log are", found - 1)
                };
                let detail = format!("{which} missing: line {found} stands here");
                (1, FaultKind::LinesMissing, Some(expected), detail)
            } else {
                let detail = format!("line {found} of the log stands where line {expected} should");
                (1, FaultKind::LineOutOfPlace, Some(expected), detail)
            }
        }
    }
}
