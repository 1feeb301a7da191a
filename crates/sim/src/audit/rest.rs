//! What is checked over all records: when a process has started again, and when everything is at rest.

use std::sync::Arc;

use ca::crl::CrlParts;
use ca::order::{Outcome, Place, Progress, Stage};
use ca::ports::{
    ActiveOrder, AuditEvent, AuditLog, AuditMark, CrlRecord, Ledger, LedgerEnd, OrderFilter, SerialFilter,
    SerialRecord, SerialStatus, Standing, Workbench,
};
use ca::settings::CaaMode;
use pki::{Certificate, Crl, GeneralName, Serial, Sha256, Timestamp};
use server::fsck::{Finding, Ports, Records, Rules, Severity};

use super::{Auditor, now};
use crate::clock::SimClock;
use crate::keys::{Hierarchy, of_log};
use crate::machine::instance;

const ALL: u32 = 10_000;
const LOGS_MAX: usize = 8;

/// A line of an audit log that speaks of a signature.
struct Line {
    serial: Serial,
    precertificate: bool,
    der: Vec<u8>,
}

impl Line {
    fn of(event: AuditEvent) -> Option<Self> {
        if let AuditEvent::Precertificate { serial, der, .. } = event {
            return Some(Self { serial, precertificate: true, der });
        }
        let AuditEvent::Certificate { serial, der, .. } = event else { return None };
        Some(Self { serial, precertificate: false, der })
    }
}

impl Auditor {
    /// Looks at all records. Something may be under way.
    pub fn look(&self) {
        for record in self.records() {
            self.wrote(record.serial);
        }
        let misplaced = self.workbench.misplaced();
        self.holds(6, misplaced.is_empty(), || format!("orders stand in no place or in two: {misplaced:?}"));
        self.told_stands();
        self.stops_stand();
        self.blocks_stand();
        self.marks_are_true();
        self.crls_list_only_revoked();
        let strays = self.internet.strays();
        self.holds(0, strays.is_empty(), || format!("validation has connected to {strays:?}, which no site has"));
    }

    /// Looks at all records when nothing is under way, no process has died since it started, and nothing fails.
    pub fn look_at_rest(&self, time: Timestamp) {
        self.look();
        for active in self.active() {
            self.stands_right(&active, time);
        }
        let lines = self.lines();
        self.signatures_are_logged(&lines);
        let records = self.records();
        for record in &records {
            self.serial_at_rest(record, &lines);
            self.names_are_permitted(record);
        }
        self.nothing_left_of_blocked(&records);
        self.nothing_is_stopped();
        self.fsck();
    }

    /// Whether an order stands where a worker can or will work on it.
    pub(crate) fn is_at_work(&self) -> bool {
        let waits = |one: &ActiveOrder| matches!(one.standing, Standing::Client | Standing::PendingDone);
        !self.active().iter().all(waits)
    }

    /// 8: no order is still processing whose deadline was before this time.
    pub(crate) fn nobody_is_overdue(&self, time: Timestamp) {
        for ActiveOrder { order, standing, .. } in self.active() {
            let late = order.stage() == Stage::Issue && order.deadline().is_some_and(|deadline| deadline < time);
            self.holds(8, !late, || {
                format!("order {} is processing long after its deadline, and stands in {standing:?}", order.id)
            });
        }
    }

    /// What `cairn fsck` finds in the same records. It reads one audit log.
    fn fsck(&self) {
        let [audit] = self.audits.as_slice() else { return };
        let hierarchy = Hierarchy::shared();
        let records = Records::of_ports(Ports {
            instance: instance(0),
            ledger: self.ledger.clone(),
            workbench: self.workbench.clone(),
            audit: audit.clone(),
            clock: Arc::new(SimClock::new(self.executor.clone())),
            authorities: vec![hierarchy.root.clone(), hierarchy.issuer.certificate.clone()],
            log_keys: (0..LOGS_MAX).map(|number| of_log(number).public_key().clone()).collect(),
        });
        let checked = now(server::fsck::check(&records, Rules::of(&self.settings, true), &mut |_| ()));
        match checked {
            Ok(report) => {
                for finding in report.findings().iter().filter(|one| one.severity == Severity::Fault) {
                    let Finding { invariant, subject, detail, .. } = finding;
                    self.holds(0, false, || format!("fsck, {}: {subject}: {detail}", invariant.name()));
                }
                self.holds(0, true, String::new);
            }
            Err(error) => self.holds(0, false, || format!("fsck: {error}")),
        }
    }

    /// 7: where CAA is enforced, no certificate has a name for which another CA was named all the time.
    fn names_are_permitted(&self, record: &SerialRecord) {
        let Ok(certificate) = Certificate::from_der(&record.linting_certificate) else { return };
        for name in certificate.names() {
            let GeneralName::Dns(name) = name else { continue };
            let forbidden = self.settings.caa == CaaMode::Enforce && self.internet.is_never_permitted(name);
            self.holds(7, !forbidden, || format!("{} was begun for {name}, against its CAA", record.serial));
        }
    }

    fn records(&self) -> Vec<SerialRecord> {
        now(self.ledger.serials(SerialFilter::default(), ALL)).unwrap_or_default()
    }

    fn active(&self) -> Vec<ActiveOrder> {
        now(self.workbench.list(OrderFilter::default(), ALL)).unwrap_or_default()
    }

    fn lines(&self) -> Vec<Line> {
        let start = AuditMark { sequence: 0, chain: Sha256::from_bytes([0; 32]) };
        let of = |log: &std::sync::Arc<store::memory::MemoryAuditLog>| now(log.lines(start, ALL as usize));
        let pages = self.audits.iter().map(of).filter_map(Result::ok);
        pages.flat_map(|(lines, _)| lines).filter_map(|line| Line::of(line.event)).collect()
    }

    /// 6, 8: with all workers idle every order waits for its client, or for time to pass.
    fn stands_right(&self, active: &ActiveOrder, time: Timestamp) {
        let ActiveOrder { order, standing, .. } = active;
        let fits = match (standing, order.place(time)) {
            (Standing::Client, Place::Client) | (Standing::PendingDone, Place::PendingDone) => true,
            // Found out by the next sweep.
            (Standing::Client, Place::Queue) => order.stage() == Stage::TestChallenge,
            (Standing::Park { .. }, Place::Queue | Place::Park { .. }) => true,
            (Standing::Queue | Standing::Lease { .. } | Standing::Nowhere, _)
            | (Standing::Client | Standing::PendingDone | Standing::Park { .. }, _) => false,
        };
        self.holds(6, fits, || format!("at rest order {} in {} stands in {standing:?}", order.id, order.stage()));
        let processing = order.stage() == Stage::Issue;
        self.holds(8, !processing, || format!("order {} is processing and nobody works on it", order.id));
        if let Progress::Done { outcome, .. } = &order.progress {
            let end = now(self.ledger.order(order.id)).ok().flatten().and_then(|known| known.end);
            let same = match (outcome, end) {
                (Outcome::Valid(serial), Some((LedgerEnd::Valid(other), _))) => *serial == other,
                (Outcome::Invalid(_), Some((LedgerEnd::Invalid(_), _)) | None) => true,
                (Outcome::Valid(_), _) | (Outcome::Invalid(_), Some((LedgerEnd::Valid(_), _))) => false,
            };
            self.holds(9, same, || format!("order {} has ended otherwise in the ledger: {outcome:?}", order.id));
        }
    }

    /// 10: what left the signer's call has its line.
    fn signatures_are_logged(&self, lines: &[Line]) {
        let facts = self.facts();
        let signed = facts.precertificates.iter().map(|(serial, signed)| (*serial, signed.clone(), true));
        let signed: Vec<_> =
            signed.chain(facts.certificates.iter().map(|(serial, signed)| (*serial, signed.clone(), false))).collect();
        drop(facts);
        for (serial, signed, precertificate) in signed {
            let in_log = lines.iter().any(|line| {
                line.serial == serial && line.precertificate == precertificate && line.der == signed.certificate.der()
            });
            let machine = signed.machine;
            self.holds(10, !signed.logged || in_log, || format!("the line of {serial} is lost on machine {machine}"));
            let _node = signed.node;
        }
    }

    fn serial_at_rest(&self, record: &SerialRecord, lines: &[Line]) {
        let serial = record.serial;
        let has_line =
            |precertificate| lines.iter().any(|line| line.serial == serial && line.precertificate == precertificate);
        let (precertificate, certificate) = (has_line(true), has_line(false));
        let stored = record.certificate.is_some();
        self.holds(3, stored == certificate, || format!("{serial}: logged: {certificate}, stored: {stored}"));
        let signed = precertificate || certificate;
        match record.status {
            SerialStatus::Wait => self.holds(4, !signed, || format!("{serial} is wait, and its signature is logged")),
            SerialStatus::Good => self.holds(10, signed, || format!("{serial} is good without a line")),
            SerialStatus::Revoked => self.is_listed(record),
        }
    }

    pub(super) fn whole_crl(&self, crl: &CrlRecord) -> Option<Crl> {
        let mut der = crl.head.clone();
        let mut parts = CrlParts::of(&*self.ledger, crl);
        while let Some(part) = now(parts.next()).ok()? {
            der.extend_from_slice(&part);
        }
        der.extend_from_slice(&crl.tail);
        Crl::from_der(&der).ok()
    }

    /// 5: what is revoked is in its shard's CRL.
    fn is_listed(&self, record: &SerialRecord) {
        let shard = self.settings.crls.shard_of(record.crl_generation, record.serial);
        let state = shard.and_then(|shard| now(self.ledger.crl_state(record.issuer, shard)).ok());
        let crl = state.and_then(|state| state.last).and_then(|last| self.whole_crl(&last));
        let listed = crl.is_some_and(|crl| crl.entries().iter().any(|entry| entry.serial == record.serial));
        self.holds(5, listed, || format!("{} is revoked, and not in its CRL", record.serial));
    }
}
