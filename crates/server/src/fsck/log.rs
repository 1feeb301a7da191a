//! The audit log, line by line, against the ledger.

use std::collections::{BTreeMap, HashMap};

use ca::OrderId;
use ca::ports::{AuditEvent, AuditLine, AuditMark, CrlShard, Revocation, SerialRecord, SerialStatus, StoreError};
use pki::{Certificate, Reason, Serial, Sha256, Timestamp};
use store::audit::AuditReader;
use store::sqlite::Mend;

use super::accepted::AcceptedTimes;
use super::operators::OperatorLines;
use super::report::{Fault, Severity};
use super::{Fsck, Invariant, LOOKS, Repair, certificates};

/// Lines read at a time.
const LINES: u64 = if cfg!(test) { 4 } else { 256 };
/// More shards than this have no issuer.
const SHARDS_MAX: usize = 1 << 17;

/// Which signatures the audit log shows for a serial.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signed {
    pub(super) precertificate: bool,
    pub(super) certificate: bool,
    pub(super) revoked: bool,
}

/// What the audit log says of one part of all serials.
#[derive(Debug)]
pub(super) struct Logged {
    part: u16,
    parts: u16,
    signed: HashMap<Serial, Signed>,
    /// What operators decided, in the first part.
    pub(super) operators: OperatorLines,
    /// Which times operators have accepted.
    pub(super) accepted: AcceptedTimes,
    /// The log was read to its end, as it was at this time.
    pub(super) whole: Option<Timestamp>,
    /// When the log began: an older ledger was moved here from another instance.
    pub(super) began: Option<Timestamp>,
}

impl Logged {
    pub(super) fn new(part: u16, parts: u16) -> Self {
        Self {
            part,
            parts,
            signed: HashMap::new(),
            operators: OperatorLines::default(),
            accepted: AcceptedTimes::default(),
            whole: None,
            began: None,
        }
    }

    /// Whether this serial is of this part.
    pub(super) fn has(&self, serial: Serial) -> bool {
        serial.shard(self.parts) == self.part
    }

    /// Whether this is the first part: it looks also at what is of no serial.
    fn is_first(&self) -> bool {
        self.part == 0
    }

    /// What the log shows for this serial.
    pub(super) fn signed(&self, serial: Serial) -> Signed {
        self.signed.get(&serial).copied().unwrap_or_default()
    }
}

/// The last lines about the CRLs of one issuer and shard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LastCrl {
    pub(super) allocated: Option<u64>,
    pub(super) signed: Option<(u64, Sha256)>,
    /// When the log began: an older CRL is in another one.
    pub(super) began: Option<Timestamp>,
}

/// What the audit log says of CRLs.
#[derive(Debug, Default)]
pub(super) struct CrlLines {
    pub(super) last: BTreeMap<(Sha256, u16), LastCrl>,
    /// The log was read to its end.
    pub(super) whole: bool,
    /// When the log began.
    pub(super) began: Option<Timestamp>,
}

/// A signature's line.
struct Line<'a> {
    sequence: u64,
    order: OrderId,
    serial: Serial,
    der: &'a [u8],
    is_final: bool,
}

impl Fsck<'_> {
    /// Reads the whole log once.
    pub(super) async fn audit_log(&mut self, logged: &mut Logged, crls: &mut CrlLines) -> Result<(), StoreError> {
        let began = self.records.now();
        let mark = self.records.ledger.audit_mark(self.records.instance()).await?.unwrap_or_else(AuditReader::start);
        // The first files may have been moved away: what they say is no longer looked at.
        let first = match self.records.first_line() {
            Ok(first) => first,
            Err(error) => {
                self.chain_fault(logged, format!("{error}; its lines were not looked at"));
                return Ok(());
            }
        };
        let mut at = first;
        loop {
            // A page ends at the mark, so that the chain's hash there can be compared.
            let limit = if at.sequence < mark.sequence { LINES.min(mark.sequence - at.sequence) } else { LINES };
            let (lines, next) = match self.records.lines(at, usize::try_from(limit).unwrap_or(usize::MAX)).await {
                Ok(page) => page,
                Err(error) => {
                    self.chain_fault(logged, format!("{error}; lines from {} on were not looked at", at.sequence));
                    return Ok(());
                }
            };
            if lines.is_empty() {
                break;
            }
            for line in &lines {
                let read = self.line(line, mark, logged, crls).await;
                self.go_on(&at_line(line.sequence), read)?;
            }
            at = next;
            if at.sequence == mark.sequence && at.chain != mark.chain {
                self.chain_fault(
                    logged,
                    "its lines are not those that the ledger knows: the log was written anew".to_owned(),
                );
            }
            self.tell("lines of the audit log", at.sequence, mark.sequence.max(at.sequence));
        }
        if at.sequence < mark.sequence {
            let detail =
                format!("it has {} lines, and the ledger knows of {}: it was cut short", at.sequence, mark.sequence);
            self.chain_fault(logged, detail);
            return Ok(());
        }
        logged.whole = (first == AuditReader::start()).then_some(began);
        if logged.is_first() {
            crls.whole = logged.whole.is_some();
            self.report.checked.audit_lines = at.sequence;
        }
        Ok(())
    }

    fn chain_fault(&mut self, logged: &Logged, detail: String) {
        if logged.is_first() {
            self.report.add("audit log", Fault::new(Invariant::AuditChain, detail));
        }
    }

    async fn line(
        &mut self,
        line: &AuditLine,
        mark: AuditMark,
        logged: &mut Logged,
        crls: &mut CrlLines,
    ) -> Result<(), StoreError> {
        let sequence = line.sequence;
        if logged.is_first() {
            logged.operators.add(line);
        }
        match &line.event {
            AuditEvent::Precertificate { order, serial, der } if logged.has(*serial) => {
                self.signature(&Line { sequence, order: *order, serial: *serial, der, is_final: false }, mark, logged)
                    .await
            }
            AuditEvent::Certificate { order, serial, der } if logged.has(*serial) => {
                self.signature(&Line { sequence, order: *order, serial: *serial, der, is_final: true }, mark, logged)
                    .await
            }
            AuditEvent::Revocation { serial, reason, revoked, by } if logged.has(*serial) => {
                logged.signed.entry(*serial).or_default().revoked = true;
                let (serial, reason, revoked, by) = (*serial, *reason, *revoked, by.clone());
                self.revocation(sequence, Revocation { serial, reason, revoked, by }, mark).await
            }
            AuditEvent::KeyBlock { spki_hash, by } if logged.is_first() => {
                let lost = async |fsck: &Self| Ok(!fsck.records.ledger.is_blocked(*spki_hash).await?);
                let again = Repair::Block { spki_hash: *spki_hash, by: by.clone() };
                self.unless_lost((sequence, mark), lost, format!("the block of key {spki_hash}"), again).await
            }
            AuditEvent::CrlNumber { issuer, shard, number } if logged.is_first() => {
                self.crl_number(sequence, (*issuer, *shard, *number), mark, crls).await
            }
            AuditEvent::Crl { issuer, shard, number, sha256 } if logged.is_first() => {
                self.crl_line(sequence, (*issuer, *shard, *number), *sha256, crls);
                Ok(())
            }
            AuditEvent::Authority { der } if logged.is_first() => {
                let wrong = match Certificate::from_der(der) {
                    Ok(certificate) => self.authorities.add(certificate),
                    Err(error) => Some(error.to_string()),
                };
                let faults = wrong.map(|detail| Fault::new(Invariant::CertificateChain, detail));
                self.add(&at_line(sequence), faults.into_iter().collect());
                Ok(())
            }
            AuditEvent::OcspResponder { serial, der } if logged.is_first() => {
                self.responder(sequence, (*serial, der), mark).await
            }
            AuditEvent::Begun { .. } => {
                logged.began = Some(line.at);
                crls.began = Some(line.at);
                Ok(())
            }
            AuditEvent::ClockAccepted { newest, .. } => {
                logged.accepted.add(line.at, *newest);
                Ok(())
            }
            AuditEvent::Continued { .. }
            | AuditEvent::CheckpointKey { .. }
            | AuditEvent::Checkpoint { .. }
            | AuditEvent::Precertificate { .. }
            | AuditEvent::Certificate { .. }
            | AuditEvent::Revocation { .. }
            | AuditEvent::KeyBlock { .. }
            | AuditEvent::IssuanceStopped { .. }
            | AuditEvent::IssuanceResumed { .. }
            | AuditEvent::CrlNumber { .. }
            | AuditEvent::Crl { .. }
            | AuditEvent::Authority { .. }
            | AuditEvent::OcspResponder { .. }
            | AuditEvent::Recovered { .. } => Ok(()),
        }
    }

    /// A line whose contents the ledger lacks, however often one looks: it may be on its way.
    async fn unless_lost(
        &mut self,
        (sequence, mark): (u64, AuditMark),
        is_lost: impl AsyncFn(&Self) -> Result<bool, StoreError>,
        what: String,
        again: Repair,
    ) -> Result<(), StoreError> {
        for look in 0..LOOKS {
            if !is_lost(self).await? {
                return Ok(());
            }
            if look + 1 < LOOKS {
                self.pause().await;
            }
        }
        self.add(&at_line(sequence), vec![not_applied(sequence, mark, what, again)]);
        Ok(())
    }

    async fn signature(&mut self, line: &Line<'_>, mark: AuditMark, logged: &mut Logged) -> Result<(), StoreError> {
        let mut faults = Vec::new();
        let Some(mut record) = self.records.ledger.serial(line.serial).await? else {
            let detail = "it is signed for a serial that the ledger never allocated: the ledger is older than the log";
            faults.push(Fault::new(Invariant::PrecertificateRecorded, detail));
            self.report.note_older_than_the_log();
            self.add(&line.subject(), faults);
            return Ok(());
        };
        let signed = logged.signed.entry(line.serial).or_default();
        faults.extend(line.sequence_faults(*signed, record.ct));
        *(if line.is_final { &mut signed.certificate } else { &mut signed.precertificate }) = true;
        for look in 0..LOOKS {
            let unapplied = line.unapplied(&record, mark);
            if unapplied.is_none() || look + 1 == LOOKS {
                faults.extend(unapplied);
                break;
            }
            self.pause().await;
            record = self.records.ledger.serial(line.serial).await?.unwrap_or(record);
        }
        faults.extend(line.content_faults(&record));
        match Certificate::from_der(line.der) {
            // The final certificate is stored, and verified there.
            Ok(certificate) if !line.is_final => {
                faults.extend(certificates::chain_fault(&certificate, &record.issuer, &self.authorities));
            }
            Ok(_) => {}
            Err(error) => faults.push(Fault::new(Invariant::CertificateMatchesRecord, error.to_string())),
        }
        self.add(&line.subject(), faults);
        Ok(())
    }

    async fn revocation(&mut self, sequence: u64, revocation: Revocation, mark: AuditMark) -> Result<(), StoreError> {
        let serial = revocation.serial;
        for look in 0..LOOKS {
            match self.records.ledger.serial(serial).await? {
                // A reason that came first is changed by what came second, if that is a compromise.
                Some(SerialRecord { status: SerialStatus::Revoked, revocation: Some(standing), .. })
                    if revocation.reason != Reason::KeyCompromise || standing.reason == Reason::KeyCompromise =>
                {
                    return Ok(());
                }
                Some(_) if look + 1 < LOOKS => self.pause().await,
                Some(_) => {
                    let again = Repair::Mend(Mend::Revocation(revocation.clone()));
                    let fault = not_applied(sequence, mark, format!("the revocation of serial {serial}"), again);
                    self.add(&at_line(sequence), vec![fault]);
                }
                None => {
                    self.report.note_older_than_the_log();
                    let detail = format!("serial {serial} is revoked, and the ledger never allocated it");
                    self.add(&at_line(sequence), vec![Fault::new(Invariant::LogApplied, detail)]);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// A number may be announced twice, if the ledger could not take it the first time; it never goes back.
    async fn crl_number(
        &mut self,
        sequence: u64,
        (issuer, shard, number): (Sha256, u16, u64),
        mark: AuditMark,
        crls: &mut CrlLines,
    ) -> Result<(), StoreError> {
        let mut faults = Vec::new();
        if let Some(last) = crls.of(issuer, shard) {
            if let Some(before) = last.allocated.filter(|before| number < *before) {
                let detail = format!("CRL number {number} of shard {shard} comes after {before}; numbers must grow");
                faults.push(Fault::new(Invariant::CrlNumbersGrow, detail));
            }
            last.allocated = last.allocated.max(Some(number));
        }
        for look in 0..LOOKS {
            if self.records.ledger.crl_state(issuer, CrlShard::alone(shard)).await?.allocated >= number {
                break;
            }
            if look + 1 == LOOKS {
                let again = Repair::CrlNumber { issuer, shard, number };
                faults.push(not_applied(sequence, mark, format!("CRL number {number} of shard {shard}"), again));
            } else {
                self.pause().await;
            }
        }
        self.add(&at_line(sequence), faults);
        Ok(())
    }

    fn crl_line(
        &mut self,
        sequence: u64,
        (issuer, shard, number): (Sha256, u16, u64),
        sha256: Sha256,
        crls: &mut CrlLines,
    ) {
        let is_root = self.authorities.is_root(&issuer);
        let Some(last) = crls.of(issuer, shard) else { return };
        let mut faults = Vec::new();
        // The root's CRL that was brought in is logged before the ledger's write, again if that did not come to be.
        let again = last.signed == Some((number, sha256));
        if let Some((before, _)) = last.signed.filter(|(before, _)| number <= *before && !again) {
            let detail = format!("CRL {number} of shard {shard} was signed after CRL {before}; numbers must grow");
            faults.push(Fault::new(Invariant::CrlNumbersGrow, detail));
        }
        if !is_root && last.allocated < Some(number) {
            let detail = format!("CRL {number} of shard {shard} was signed before its number was allocated");
            faults.push(Fault::new(Invariant::CrlNumbersGrow, detail));
        }
        last.signed = Some((number, sha256));
        self.add(&at_line(sequence), faults);
    }
}

impl CrlLines {
    fn of(&mut self, issuer: Sha256, shard: u16) -> Option<&mut LastCrl> {
        if self.last.len() >= SHARDS_MAX && !self.last.contains_key(&(issuer, shard)) {
            return None;
        }
        Some(self.last.entry((issuer, shard)).or_default())
    }
}

impl Line<'_> {
    fn subject(&self) -> String {
        let kind = if self.is_final { "certificate" } else { "precertificate" };
        format!("{}, {kind} {}", at_line(self.sequence), self.serial)
    }

    /// What is wrong with the order of the lines of one serial.
    fn sequence_faults(&self, before: Signed, ct: bool) -> Option<Fault> {
        match (self.is_final, before) {
            (true, Signed { certificate: true, .. }) => {
                Some(Fault::new(Invariant::OneSignaturePerSerial, "it is the second certificate of its serial"))
            }
            (false, Signed { precertificate: true, .. }) => {
                Some(Fault::new(Invariant::OneSignaturePerSerial, "it is the second precertificate of its serial"))
            }
            (true, Signed { precertificate: false, .. }) if ct => {
                Some(Fault::new(Invariant::CertificateCorresponds, "no line before it shows its precertificate"))
            }
            (true, _) | (false, _) => None,
        }
    }

    /// What the ledger does not have of this line yet.
    fn unapplied(&self, record: &SerialRecord, mark: AuditMark) -> Option<Fault> {
        if self.is_final && record.certificate.is_none() {
            let invariant = Invariant::CertificateStored;
            let again = Repair::FromLog(self.serial);
            return Some(Fault { invariant, ..not_applied(self.sequence, mark, "the certificate".to_owned(), again) });
        }
        let waits = record.status == SerialStatus::Wait;
        let again = Repair::FromLog(self.serial);
        waits.then(|| not_applied(self.sequence, mark, "the status `good`".to_owned(), again))
    }

    fn content_faults(&self, record: &SerialRecord) -> Vec<Fault> {
        let mut faults = Vec::new();
        if record.order != self.order {
            let detail =
                format!("it is logged for order {}, the ledger has the serial for order {}", self.order, record.order);
            faults.push(Fault::new(Invariant::PrecertificateRecorded, detail));
        }
        if self.is_final && record.certificate.as_deref().is_some_and(|stored| stored != self.der) {
            let detail = "the ledger has another certificate under this serial";
            faults.push(Fault::new(Invariant::CertificateStored, detail));
        }
        faults.extend(certificates::tbs_fault(self.der, record, self.is_final));
        faults
    }
}

/// The ledger lacks something that the log announces. Before the mark it was there once; behind it, the next start of
/// the instance brings it in.
pub(super) fn not_applied(sequence: u64, mark: AuditMark, what: String, again: Repair) -> Fault {
    let severity = if sequence < mark.sequence { Severity::Fault } else { Severity::Warning };
    let (hint, repair) = match severity {
        Severity::Fault => ("", again),
        Severity::Warning => ("; the next start brings it in", Repair::Start),
    };
    let detail = format!("{what} has not come to the ledger{hint}");
    Fault { invariant: Invariant::LogApplied, severity, detail, repair: Some(repair) }
}

pub(super) fn at_line(sequence: u64) -> String {
    format!("audit log, line {sequence}")
}
