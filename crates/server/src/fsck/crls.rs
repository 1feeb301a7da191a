//! The last CRLs of each issuer and shard.

use std::time::Duration;

use ca::crl::Revocations;
use ca::ports::{CrlRecord, CrlShard, CrlState, Ledger, StoreError};
use pki::{CrlEntry, Serial, Sha256, Timestamp};
use store::sqlite::Mend;

use super::crl_reading::{self, Listed, ReadCrl};
use super::log::{CrlLines, LastCrl};
use super::report::Fault;
use super::{Fsck, Invariant, LOOKS};

/// Findings of one kind in one CRL that are told one by one.
const TOLD_MAX: usize = 100;

impl Fsck<'_> {
    pub(super) async fn crls(&mut self, lines: &CrlLines) -> Result<(), StoreError> {
        let issuers: Vec<Sha256> =
            self.authorities.ids().into_iter().filter(|id| !self.authorities.is_root(id)).collect();
        let crls = self.rules.crls.clone();
        let total = (crls.shards().count() * issuers.len()) as u64;
        for issuer in issuers {
            self.shards_fault(&issuer, lines);
            for shard in crls.shards() {
                let mut last = lines.last.get(&(issuer, shard.number)).copied().unwrap_or_default();
                last.began = lines.began;
                let read = self.crl(issuer, shard, last, lines.whole).await;
                self.go_on(&format!("CRL of shard {}", shard.number), read)?;
                self.tell("CRLs", self.report.checked.crls, total);
            }
        }
        Ok(())
    }

    /// Shards that the configuration does not know: the check would look for serials on the wrong lists.
    fn shards_fault(&mut self, issuer: &Sha256, lines: &CrlLines) {
        let seen = lines.last.keys().filter(|(of, _)| of == issuer).map(|(_, shard)| *shard).max();
        if let Some(shard) = seen.filter(|shard| self.rules.crls.shard(*shard).is_none()) {
            let shards = self.rules.crls.shards().count();
            let detail = format!(
                "the audit log shows CRLs of shard {shard}; published.toml, or else the configuration, has {shards} \
                 shards: put back the file, or name the configuration with --config"
            );
            self.report.add(&format!("issuer {issuer}"), Fault::warning(Invariant::CrlComplete, detail));
        }
    }

    async fn crl(&mut self, issuer: Sha256, of: CrlShard, logged: LastCrl, whole: bool) -> Result<(), StoreError> {
        let shard = of.number;
        let subject = format!("CRL of shard {shard}");
        let mut faults = Vec::new();
        for look in 0..LOOKS {
            let state = self.records.ledger.crl_state(issuer, of).await?;
            let unannounced = self.unannounced_fault(&state, logged).filter(|_| whole);
            let Some(last) = &state.last else {
                self.add(&subject, unannounced.into_iter().collect());
                return Ok(());
            };
            let crl = crl_reading::read(&*self.records.ledger, last, self.authorities.issuer(&issuer)).await?;
            faults = self.sound_faults((&state, last), &crl, logged);
            if crl.is_ok() {
                faults.extend(self.complete_faults((issuer, of), &state, last).await?);
            }
            faults = faults.into_iter().map(|fault| fault.mended(Mend::Crl { issuer, shard })).collect();
            faults.extend(unannounced);
            if faults.is_empty() {
                break;
            }
            if look + 1 < LOOKS {
                self.pause().await;
            }
        }
        self.report.checked.crls += 1;
        self.add(&subject, faults);
        Ok(())
    }

    /// The line of a CRL number is synced before the ledger's write. A server allocates more while the log is read.
    fn unannounced_fault(&self, state: &CrlState, logged: LastCrl) -> Option<Fault> {
        // A ledger that was moved here has its numbers of before in the log of another instance.
        let last = state.last.as_ref().map(|last| last.this_update);
        if logged.allocated.is_none() && last.zip(logged.began).is_some_and(|(last, began)| last < began) {
            return None;
        }
        let announced = logged.allocated.unwrap_or(0);
        (!self.live && state.allocated > announced).then(|| {
            let allocated = state.allocated;
            let detail = format!("number {allocated} is allocated, and the last that the audit log has is {announced}");
            Fault::new(Invariant::CrlNumbersGrow, detail)
        })
    }

    fn sound_faults(
        &self,
        (state, last): (&CrlState, &CrlRecord),
        crl: &Result<ReadCrl, String>,
        logged: LastCrl,
    ) -> Vec<Fault> {
        let mut wrong = Vec::new();
        if last.number > state.allocated {
            wrong.push(format!("its number {} was never allocated; the last one is {}", last.number, state.allocated));
        }
        match crl {
            Err(error) => wrong.push(format!("it can't be read: {error}")),
            Ok(ReadCrl { outline, wrong: found }) => {
                wrong.extend_from_slice(found);
                if outline.number() != last.number || outline.this_update() != last.this_update {
                    wrong.push(format!(
                        "it is number {} of {}, not as it is recorded",
                        outline.number(),
                        outline.this_update()
                    ));
                }
            }
        }
        // One that was made after the log was read has its line behind what was read.
        let moved_here = logged.began.is_some_and(|began| last.this_update < began.whole_second());
        let before = last.this_update < self.began.whole_second() && !moved_here;
        match logged.signed {
            Some((number, sha256)) if number == last.number && sha256 != last.sha256 => {
                wrong.push(format!("the audit log has another CRL of number {number}"));
            }
            Some((number, _)) if number >= last.number => {}
            Some(_) | None if before => wrong.push(format!("CRL {} is not in the audit log", last.number)),
            Some(_) | None => {}
        }
        wrong.into_iter().map(|detail| Fault::new(Invariant::CrlSound, detail)).collect()
    }

    /// Goes along what it lists and what it has to list, both in the order of serials.
    async fn complete_faults(
        &self,
        (issuer, shard): (Sha256, CrlShard),
        state: &CrlState,
        crl: &CrlRecord,
    ) -> Result<Vec<Fault>, StoreError> {
        let ledger = &*self.records.ledger;
        let mut wrong = Vec::new();
        let missing = |one: &CrlEntry| {
            is_seen(one.revoked_at, state, crl.this_update).then(|| {
                let CrlEntry { serial, revoked_at, .. } = one;
                let (number, at) = (crl.number, crl.this_update);
                format!("serial {serial} is revoked since {revoked_at} and not on CRL {number} of {at}")
            })
        };
        let mut required = Revocations::new(ledger, issuer, shard, self.records.now());
        let mut listed = Listed::of(ledger, crl);
        while let Some(entries) = listed.next().await? {
            for CrlEntry { serial, .. } in entries {
                while let Some(one) = required.peek().await?.filter(|one| one.serial < serial) {
                    required.pop();
                    wrong.extend(missing(&one));
                }
                if required.peek().await?.is_some_and(|one| one.serial == serial) {
                    required.pop();
                } else if !is_revoked(ledger, issuer, serial).await? {
                    wrong.push(format!("it lists serial {serial}, which is not revoked in the ledger"));
                }
            }
            if wrong.len() >= TOLD_MAX {
                break;
            }
        }
        while let Some(one) = required.peek().await?.filter(|_| wrong.len() < TOLD_MAX) {
            required.pop();
            wrong.extend(missing(&one));
        }
        wrong.truncate(TOLD_MAX);
        Ok(wrong.into_iter().map(|detail| Fault::new(Invariant::CrlComplete, detail)).collect())
    }
}

async fn is_revoked(ledger: &dyn Ledger, issuer: Sha256, serial: Serial) -> Result<bool, StoreError> {
    let record = ledger.status(serial).await?;
    Ok(record.is_some_and(|record| record.revocation.is_some() && record.issuer == issuer))
}

/// Whether a CRL must show a revocation: all that were written before it was made. A date lies a little before the time
/// at which the ledger has it; that one is known of the last revocation only.
fn is_seen(revoked: Timestamp, state: &CrlState, this_update: Timestamp) -> bool {
    let all_before = state.last_revocation.is_some_and(|written| written < this_update);
    all_before || revoked.plus(Duration::from_secs(60)) < this_update
}
