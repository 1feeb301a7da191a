//! What operators decided, and blocked keys: the audit log and the ledger say the same of them, both ways.

use std::collections::HashSet;

use ca::ports::{AuditEvent, AuditLine, AuditMark, BlockedKey, StopRecord, StoreError};
use pki::{Sha256, Timestamp};
use store::audit::AuditReader;
use store::sqlite::Mend;

use super::log::{Logged, at_line, not_applied};
use super::report::Fault;
use super::{CLOCK_STEP, Fsck, Invariant, LOOKS, PAGE, Repair};

/// So many keys are remembered with who blocked them, some 64 octets each; of others only is asked whether the ledger
/// has them.
const BLOCKS_MAX: usize = 4_000_000;

/// What the audit log says of stops of issuance and of blocked keys.
#[derive(Debug, Default)]
pub(super) struct OperatorLines {
    stops: Vec<(u64, StopRecord)>,
    ends: Vec<(u64, End)>,
    /// Keys, each with the hash of who blocked it.
    blocks: HashSet<(Sha256, Sha256)>,
    /// There were more than are remembered.
    more_blocks: bool,
}

#[derive(Debug)]
struct End {
    number: u64,
    since: Option<Timestamp>,
    at: Timestamp,
}

impl OperatorLines {
    pub(super) fn add(&mut self, line: &AuditLine) {
        match &line.event {
            AuditEvent::IssuanceStopped { stop } => self.stops.push((line.sequence, stop.clone())),
            AuditEvent::IssuanceResumed { number, since, ended, .. } => {
                self.ends.push((line.sequence, End { number: *number, since: *since, at: *ended }));
            }
            AuditEvent::KeyBlock { .. } if self.blocks.len() >= BLOCKS_MAX => self.more_blocks = true,
            AuditEvent::KeyBlock { spki_hash, by } => {
                self.blocks.insert((*spki_hash, Sha256::of(by.as_bytes())));
            }
            AuditEvent::Begun { .. }
            | AuditEvent::Continued { .. }
            | AuditEvent::CheckpointKey { .. }
            | AuditEvent::Checkpoint { .. }
            | AuditEvent::Precertificate { .. }
            | AuditEvent::Certificate { .. }
            | AuditEvent::Revocation { .. }
            | AuditEvent::CrlNumber { .. }
            | AuditEvent::Crl { .. }
            | AuditEvent::Authority { .. }
            | AuditEvent::OcspResponder { .. }
            | AuditEvent::Recovered { .. }
            | AuditEvent::ClockAccepted { .. } => {}
        }
    }

    /// The end that the log has of a stop.
    fn end_of(&self, stop: &StopRecord) -> Option<&End> {
        self.ends.iter().map(|(_, end)| end).find(|end| stop.is_meant_by(end.number, end.since))
    }
}

impl Fsck<'_> {
    /// All of it, once the log was read.
    pub(super) async fn operators(&mut self, logged: &Logged) -> Result<(), StoreError> {
        let lines = &logged.operators;
        let mark = self.records.ledger.audit_mark(self.records.instance()).await?.unwrap_or_else(AuditReader::start);
        for (sequence, stop) in &lines.stops {
            self.logged_stop((*sequence, mark), stop, lines).await?;
        }
        for (sequence, end) in &lines.ends {
            self.logged_end((*sequence, mark), end).await?;
        }
        // What another instance did stands in its log.
        let Some(until) = logged.whole else { return Ok(()) };
        let recoveries = self.records.ledger.recoveries().await?;
        let others = recoveries.iter().filter(|one| one.from != self.records.instance()).map(|one| one.until);
        let from = others.chain(logged.began).max();
        // A server may be about to write what it logs.
        let live = self.live;
        let ours = |at: Timestamp| from.is_none_or(|from| at > from) && (!live || at.plus(CLOCK_STEP) < until);
        self.stops_have_lines(lines, &ours).await?;
        self.blocks_have_lines(lines, &ours).await
    }

    async fn logged_stop(
        &mut self,
        (sequence, mark): (u64, AuditMark),
        stop: &StopRecord,
        lines: &OperatorLines,
    ) -> Result<(), StoreError> {
        let mut known = Vec::new();
        for look in 0..LOOKS {
            known = self.records.ledger.stops_of(stop.number, Some(stop.since)).await?;
            if known.iter().any(|known| known.is(stop)) {
                return Ok(());
            }
            if look + 1 < LOOKS {
                self.pause().await;
            }
        }
        let in_its_place = known.iter().find(|known| known.number == stop.number);
        let altered = in_its_place.is_some_and(|known| !lines.stops.iter().any(|(_, logged)| known.is(logged)));
        let repair = if altered {
            let ended = lines.end_of(stop).map(|end| end.at.max(stop.since));
            Repair::Mend(Mend::Stop(StopRecord { ended, ..stop.clone() }))
        } else {
            Repair::Stop(stop.clone())
        };
        let what = format!("stop {} of issuance (for {}, since {})", stop.number, stop.scope, stop.since);
        self.add(&at_line(sequence), vec![not_applied(sequence, mark, what, repair)]);
        Ok(())
    }

    async fn logged_end(&mut self, (sequence, mark): (u64, AuditMark), end: &End) -> Result<(), StoreError> {
        let End { number, since, at } = *end;
        for look in 0..LOOKS {
            let known = self.records.ledger.stops_of(number, since).await?;
            if StopRecord::meant_by(&known, number, since).is_some_and(|stop| stop.ended.is_some()) {
                return Ok(());
            }
            if look + 1 < LOOKS {
                self.pause().await;
            }
        }
        let what = format!("the end of stop {number} of issuance");
        let fault = not_applied(sequence, mark, what, Repair::Resume { number, since, at });
        self.add(&at_line(sequence), vec![fault]);
        Ok(())
    }

    async fn stops_have_lines(
        &mut self,
        lines: &OperatorLines,
        ours: &(dyn Fn(Timestamp) -> bool + Sync),
    ) -> Result<(), StoreError> {
        for stop in self.records.ledger.stops(false, u32::MAX).await? {
            let subject = format!("stop {} of issuance", stop.number);
            if !lines.stops.iter().any(|(_, logged)| stop.is(logged)) {
                // One that is to be another one was found with its line.
                let altered = lines.stops.iter().any(|(_, logged)| logged.number == stop.number);
                if ours(stop.since) && !altered {
                    let detail =
                        format!("it is for {}, since {}, and the audit log has no such stop", stop.scope, stop.since);
                    self.add(&subject, vec![Fault::new(Invariant::OperatorsLogged, detail)]);
                }
            } else if let Some(ended) = stop.ended.filter(|ended| ours(*ended))
                && lines.end_of(&stop).is_none()
            {
                let detail = format!("it ended {ended}, and the audit log has no such end: it stands");
                let mend = Mend::Stop(StopRecord { ended: None, ..stop });
                self.add(&subject, vec![Fault::new(Invariant::OperatorsLogged, detail).mended(mend)]);
            }
        }
        Ok(())
    }

    async fn blocks_have_lines(
        &mut self,
        lines: &OperatorLines,
        ours: &(dyn Fn(Timestamp) -> bool + Sync),
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.records.ledger.blocked_keys(after, false, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.block.spki_hash);
            for BlockedKey { block, .. } in &page {
                let line = (block.spki_hash, Sha256::of(block.by.as_bytes()));
                if !lines.more_blocks && ours(block.at) && !lines.blocks.contains(&line) {
                    let detail =
                        format!("it is blocked since {}, by {}, and the audit log does not say so", block.at, block.by);
                    let subject = format!("key {}", block.spki_hash);
                    self.add(&subject, vec![Fault::new(Invariant::OperatorsLogged, detail)]);
                }
            }
        }
    }
}
