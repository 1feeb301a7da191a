//! The last CRLs of each issuer and shard.

use std::collections::HashMap;
use std::time::Duration;

use ca::ports::{CrlRecord, CrlState, StoreError, StoreErrorKind};
use pki::{Crl, Reason, Serial, Sha256, Timestamp};
use store::sqlite::Mend;

use super::log::{CrlLines, LastCrl};
use super::report::Fault;
use super::{Fsck, Invariant, LOOKS};

const ENTRIES: u32 = 10_000;
/// Findings of one kind in one CRL that are told one by one.
const TOLD_MAX: usize = 100;

impl Fsck<'_> {
    pub(super) async fn crls(&mut self, lines: &CrlLines) -> Result<(), StoreError> {
        let issuers: Vec<Sha256> =
            self.authorities.ids().into_iter().filter(|id| !self.authorities.is_root(id)).collect();
        let total = u64::from(self.rules.crl_shards) * issuers.len() as u64;
        for issuer in issuers {
            self.shards_fault(&issuer, lines);
            for shard in 0..self.rules.crl_shards {
                let mut last = lines.last.get(&(issuer, shard)).copied().unwrap_or_default();
                last.began = lines.began;
                let read = self.crl(issuer, shard, last, lines.whole).await;
                self.go_on(&format!("CRL of shard {shard}"), read)?;
                self.tell("CRLs", self.report.checked.crls, total);
            }
        }
        Ok(())
    }

    /// Shards that the configuration does not know: the check would look for serials on the wrong lists.
    fn shards_fault(&mut self, issuer: &Sha256, lines: &CrlLines) {
        let seen = lines.last.keys().filter(|(of, _)| of == issuer).map(|(_, shard)| *shard).max();
        if let Some(shard) = seen.filter(|shard| *shard >= self.rules.crl_shards) {
            let detail = format!(
                "the audit log shows CRLs of shard {shard}, the configuration has {} shards: name it with --config",
                self.rules.crl_shards
            );
            self.report.add(&format!("issuer {issuer}"), Fault::warning(Invariant::CrlComplete, detail));
        }
    }

    async fn crl(&mut self, issuer: Sha256, shard: u16, logged: LastCrl, whole: bool) -> Result<(), StoreError> {
        let subject = format!("CRL of shard {shard}");
        let mut faults = Vec::new();
        for look in 0..LOOKS {
            let state = self.records.ledger.crl_state(issuer, shard, self.rules.crl_shards).await?;
            let unannounced = self.unannounced_fault(&state, logged).filter(|_| whole);
            let Some(last) = &state.last else {
                self.add(&subject, unannounced.into_iter().collect());
                return Ok(());
            };
            let crl = match ca::crl::whole_crl(&*self.records.ledger, last).await {
                Err(error) if error.kind != StoreErrorKind::Corrupt => return Err(error),
                Err(error) => Err(error.to_string()),
                Ok(der) => Crl::from_der(&der).map_err(|error| error.to_string()),
            };
            faults = self.sound_faults(&issuer, (&state, last), &crl, logged);
            if let Ok(crl) = &crl {
                faults.extend(self.complete_faults((issuer, shard), &state, crl).await?);
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
        issuer: &Sha256,
        (state, last): (&CrlState, &CrlRecord),
        crl: &Result<Crl, String>,
        logged: LastCrl,
    ) -> Vec<Fault> {
        let mut wrong = Vec::new();
        if last.number > state.allocated {
            wrong.push(format!("its number {} was never allocated; the last one is {}", last.number, state.allocated));
        }
        match crl {
            Err(error) => wrong.push(format!("it can't be read: {error}")),
            Ok(crl) => {
                if Sha256::of(crl.der()) != last.sha256 {
                    wrong.push("its bytes are not those that were signed".to_owned());
                }
                if crl.number() != last.number || crl.this_update() != last.this_update {
                    wrong.push(format!(
                        "it is number {} of {}, not as it is recorded",
                        crl.number(),
                        crl.this_update()
                    ));
                }
                match self.authorities.issuer(issuer) {
                    Some(issuer) => wrong.extend(
                        crl.verify_signed_by(issuer.public_key())
                            .err()
                            .map(|error| format!("its signature is wrong: {error}")),
                    ),
                    None => wrong.push("its issuer's certificate is not known".to_owned()),
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

    async fn complete_faults(
        &self,
        (issuer, shard): (Sha256, u16),
        state: &CrlState,
        crl: &Crl,
    ) -> Result<Vec<Fault>, StoreError> {
        let listed: HashMap<Serial, Reason> = crl.entries().iter().map(|entry| (entry.serial, entry.reason)).collect();
        let mut faults = Vec::new();
        let mut after = None;
        loop {
            let shards = (shard, self.rules.crl_shards);
            let page = self.records.ledger.revoked(issuer, shards, self.records.now(), after, ENTRIES).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.serial);
            for entry in page {
                if is_seen(entry.revoked_at, state, crl.this_update()) && !listed.contains_key(&entry.serial) {
                    let detail = format!(
                        "serial {} is revoked since {} and not on CRL {} of {}",
                        entry.serial,
                        entry.revoked_at,
                        crl.number(),
                        crl.this_update()
                    );
                    faults.push(Fault::new(Invariant::CrlComplete, detail));
                }
                if faults.len() >= TOLD_MAX {
                    return Ok(faults);
                }
            }
        }
        for entry in crl.entries() {
            let record = self.records.ledger.serial(entry.serial).await?;
            let revoked = record.is_some_and(|record| record.revocation.is_some() && record.issuer == issuer);
            if !revoked {
                let detail = format!("it lists serial {}, which is not revoked in the ledger", entry.serial);
                faults.push(Fault::new(Invariant::CrlComplete, detail));
            }
            if faults.len() >= TOLD_MAX {
                break;
            }
        }
        Ok(faults)
    }
}

/// Whether a CRL must show a revocation: all that were written before it was made. A date lies a little before the time
/// at which the ledger has it; that one is known of the last revocation only.
fn is_seen(revoked: Timestamp, state: &CrlState, this_update: Timestamp) -> bool {
    let all_before = state.last_revocation.is_some_and(|written| written < this_update);
    all_before || revoked.plus(Duration::from_secs(60)) < this_update
}
