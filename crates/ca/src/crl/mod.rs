//! CRLs (RFC 5280 §5): one for each issuer and shard, numbered strictly upwards. Entries are read from the ledger by
//! pages and written back to it by parts, so that no CRL is ever held as a whole.

mod elsewhere;
mod generations;
mod parts;
mod revocations;
mod scheme;
mod sweep;
mod watch;

use std::time::Duration;

pub use parts::{CrlParts, damage};
use pki::lint::{CrlLinter, LintFailure, Linted};
use pki::{CrlDraft, CrlOutline, Serial, Sha256, Timestamp};
pub use revocations::Revocations;
pub use scheme::{CrlOutlined, CrlScheme, CrlSchemeError};
use watch::Look;
pub use watch::{CrlDamage, CrlTrouble, CrlWatch};

use crate::authority::Ca;
use crate::clock::BEHIND_MAX;
use crate::error::{Answer, Error};
use crate::guard::{guarded, panicked};
use crate::ports::{
    AuditEvent, CrlPart, CrlRecord, CrlShard, CrlState, Issuer, SigningRequest, StoreError, StoreErrorKind,
};
use crate::urls;

/// Entries read from the ledger at a time.
const PAGE: u32 = 10_000;
/// No CA ever makes so many CRLs: whoever names a higher number would leave too few above it.
pub const NUMBER_MAX: u64 = 1 << 40;
/// A second has to go by between two CRLs, so that thisUpdate grows with the number.
const SECOND: Duration = Duration::from_secs(1);

/// A CRL on its way.
#[derive(Debug)]
struct Draft<'a> {
    issuer: &'a Issuer,
    shard: CrlShard,
    place: CrlPart,
    this_update: Timestamp,
    next_update: Timestamp,
    /// The one before it, if that was made with a clock that was right: times have to grow only from such.
    previous: Option<CrlRecord>,
    /// Certificates that ended before are not listed. An expired one stays on one CRL made after its end: on all until
    /// the one after the last.
    not_after_min: Timestamp,
}

impl Ca {
    /// Makes anew the CRLs that need it: none yet, revocations that it doesn't show, or its time has come. How many
    /// were made. What can't be made is told by [`Ca::crl_watch`] too, and its predecessor stays.
    ///
    /// # Errors
    /// The first that could not be made; the others are made all the same.
    pub async fn renew_crls(&self) -> Answer<u32> {
        // Whoever looks at the clock has said so. What is dated with a clock that leapt ahead would take what ended by
        // it off the list.
        if self.check_clock().await?.is_err() || self.clock_is_doubted() {
            return Ok(0);
        }
        let mut made = 0;
        let mut failed = None;
        let ended = self.ended_crl_generations().await?;
        for issuer in &self.issuers {
            let last_revocation = self.last_revocation_of(issuer.id, &ended).await?;
            let at = self.now();
            if self.crl_watch.is_quiet(issuer.id, last_revocation, at) {
                continue;
            }
            let mut again = at.plus(self.settings.crl.renewal);
            for shard in self.settings.crls.shards() {
                if ended.contains(&shard.generation) {
                    self.sweep_ended(issuer.id, shard.number).await;
                    continue;
                }
                // Those before may have taken minutes.
                if self.clock_is_doubted() {
                    return failed.map_or(Ok(made), Err);
                }
                let (anew, due) = self.look_after_crl(issuer, shard).await.unwrap_or_else(|error| {
                    // One shard's trouble must not keep the others from being made.
                    failed.get_or_insert(error);
                    (false, self.crl_watch.next_try(issuer.id, shard.number, self.now()))
                });
                made += u32::from(anew);
                again = again.min(due);
            }
            self.crl_watch.looked(issuer.id, Look { at, last_revocation, again });
            self.end_generations().await?;
        }
        failed.map_or(Ok(made), Err)
    }

    /// Makes one if that is due: whether it was, and when the next will be.
    async fn look_after_crl(&self, issuer: &Issuer, of: CrlShard) -> Answer<(bool, Timestamp)> {
        let state = self.ledger.crl_state(issuer.id, of).await?;
        let shard = of.number;
        self.sweep_parts(issuer.id, shard, state.last.as_ref().map_or(0, |last| last.number)).await;
        let due = self.due(&state);
        if due > self.now() {
            // Also one that another process has made, or that was stored though nobody was told.
            self.crl_watch.made(issuer.id, shard);
            return Ok((false, due));
        }
        let next_try = self.crl_watch.next_try(issuer.id, shard, self.now());
        if next_try > self.now() {
            return Ok((false, next_try));
        }
        let made = guarded("a CRL", self.make_crl(issuer, of, state)).await;
        match made.unwrap_or_else(|| Err(panicked().into())) {
            Ok(()) => {
                self.crl_watch.made(issuer.id, shard);
                self.crl_watch.sweep_at(issuer.id, shard, self.now());
                Ok((true, self.now().plus(SECOND)))
            }
            Err(error) => {
                self.crl_watch.failed(issuer.id, shard, self.now(), error.to_string());
                Err(error)
            }
        }
    }

    /// When the next CRL is to be made, if nothing more happens.
    fn due(&self, state: &CrlState) -> Timestamp {
        let now = self.now();
        let Some(last) = &state.last else { return now };
        // A CRL of the number allocated last may have been published, by whoever can't have it stored any more.
        if self.is_of_the_future(last.this_update) || state.allocated > last.number {
            return now;
        }
        let renewal = last.this_update.plus(self.settings.crl.renewal);
        // What was written behind the number of a CRL has no earlier time than the CRL: all that is older is in it.
        let Some(at) = state.last_revocation.filter(|at| *at >= last.this_update) else { return renewal };
        // A mass revocation is gathered, not shown one by one.
        let gathered = last.this_update.plus(self.settings.crl.gathering.max(SECOND));
        // With a clock that is a little behind, a revocation appears when the clock has come to its time: a list made
        // before would not show by its own time that it has it.
        gathered.max(at).min(renewal)
    }

    /// Made with a clock that was wrong, before an operator accepted the present time.
    fn is_of_the_future(&self, this_update: Timestamp) -> bool {
        this_update.since(self.now()) > BEHIND_MAX
    }

    async fn make_crl(&self, issuer: &Issuer, of: CrlShard, state: CrlState) -> Answer<()> {
        let number = next_number(&state);
        let this_update = self.now().whole_second();
        let validity = self.settings.crl.validity;
        let previous = state.last.filter(|last| !self.is_of_the_future(last.this_update));
        let shard = of.number;
        let mut draft = Draft {
            issuer,
            shard: of,
            place: CrlPart { issuer: issuer.id, shard, number, part: 0 },
            this_update,
            next_update: this_update.plus(validity).minus(SECOND),
            not_after_min: previous.as_ref().map_or(this_update.minus(validity), |last| last.this_update),
            previous,
        };
        // What breaks a rule whatever its entries are uses no number up.
        let empty = self.outline(&draft, (0, 0))?;
        if let Err(error) = self.linter(&draft, empty.clone()) {
            self.let_go_of_damaged(&mut draft, error).await?;
            self.linter(&draft, empty)?;
        }
        // The parts are kept under the number, so that it has to be ours before the first is written.
        self.allocate_crl_number(draft.place, this_update).await?;
        let made = guarded("a CRL", self.make_numbered(&mut draft)).await;
        let made = made.unwrap_or_else(|| Err(panicked().into()));
        if made.is_err() {
            // On a disk that is full, each try would make it fuller.
            self.drop_parts_of_try(issuer.id, shard, number).await;
        }
        made
    }

    /// Makes the one whose number is ours.
    async fn make_numbered(&self, draft: &mut Draft<'_>) -> Answer<()> {
        let (issuer, CrlPart { shard, number, .. }) = (draft.issuer, draft.place);
        let outline = self.outline(draft, self.write_entries(draft).await?)?;
        let tbs = match self.lint_crl(draft, outline.clone()).await {
            Ok(tbs) => tbs,
            Err(error) => {
                self.let_go_of_damaged(draft, error).await?;
                self.lint_crl(draft, outline.clone()).await?
            }
        };
        let record = self.sign_crl(draft, &outline, tbs).await?;
        let (entries, octets) = (record.entries, record.octets());
        if !self.ledger.store_crl(record).await? {
            return Err(outgrown(draft.place));
        }
        tracing::info!(issuer = %urls::issuer_label(&issuer.id), shard, number, entries, octets, "CRL made");
        Ok(())
    }

    /// What is to stand around so many entries of so many octets.
    fn outline(&self, draft: &Draft<'_>, (entries, entry_octets): (u64, u64)) -> Answer<CrlOutline> {
        let Draft { issuer, place, this_update, next_update, .. } = *draft;
        let CrlPart { shard, number, .. } = place;
        let outlined = CrlOutlined { shard, number, this_update, next_update, entries, entry_octets };
        let outline = self.settings.crls.outline(issuer, &outlined);
        outline.ok_or_else(|| failed(place, &"is of a shard that there is not"))
    }

    fn linter<'a>(&self, draft: &Draft<'a>, outline: CrlOutline) -> Answer<CrlLinter<'a>> {
        let previous = draft.previous.as_ref().map(outline_of).transpose()?;
        let linter = CrlLinter::new(outline, previous.as_ref(), &draft.issuer.certificate, self.now());
        linter.map_err(|failure| breaks_rules(draft, &failure))
    }

    /// How many entries there are, and of how many octets.
    async fn write_entries(&self, draft: &Draft<'_>) -> Answer<(u64, u64)> {
        let mut place = draft.place;
        let (mut entries, mut octets, mut buffer) = (0, 0, Vec::new());
        let mut after: Option<Serial> = None;
        loop {
            let page = self.ledger.revoked(place.issuer, draft.shard, draft.not_after_min, after, PAGE).await?;
            after = page.last().map(|entry| entry.serial);
            entries += page.len() as u64;
            for entry in page {
                pki::crl::encode_entry(&mut buffer, &entry.shown_at(draft.this_update));
            }
            // The last part alone is shorter than the others.
            let mut parts = buffer.chunks_exact(PART_OCTETS);
            for part in &mut parts {
                self.put_part(&mut place, part).await?;
                octets += part.len() as u64;
            }
            buffer = parts.remainder().to_vec();
            if after.is_none() {
                if !buffer.is_empty() {
                    self.put_part(&mut place, &buffer).await?;
                }
                return Ok((entries, octets + buffer.len() as u64));
            }
        }
    }

    async fn put_part(&self, place: &mut CrlPart, octets: &[u8]) -> Answer<()> {
        if !self.ledger.put_crl_part(*place, octets.to_vec()).await? {
            return Err(outgrown(*place));
        }
        place.part += 1;
        Ok(())
    }

    /// A predecessor that is not what was signed can't be compared with, and must not keep the next one from being
    /// made: all that is needed for that stands in the records of serials. So it is let go of, which is told.
    ///
    /// # Errors
    /// What was wrong, if the predecessor is as it should be, or there is none; the store could not be asked.
    async fn let_go_of_damaged(&self, draft: &mut Draft<'_>, error: Error) -> Answer<()> {
        let Some(previous) = &draft.previous else { return Err(error) };
        let Some(why) = damage(&*self.ledger, previous).await? else { return Err(error) };
        let (issuer, shard, number) = (draft.issuer.id, previous.shard, previous.number);
        tracing::error!(
            issuer = %urls::issuer_label(&issuer), shard, number, why,
            "a stored CRL is damaged: the next one is made without a comparison with it; check the disk, run cairn fsck"
        );
        self.crl_watch.found_damaged(issuer, shard, CrlDamage { number, found: self.now(), why });
        draft.previous = None;
        Ok(())
    }

    /// Lints the entries as they stand in the ledger now, and compares them with those of the predecessor.
    async fn lint_crl(&self, draft: &Draft<'_>, outline: CrlOutline) -> Answer<Linted<CrlDraft>> {
        let (ledger, place) = (&*self.ledger, draft.place);
        let refused = |failure: LintFailure| breaks_rules(draft, &failure);
        let mut ours = CrlParts::of_draft(ledger, place, outline.entries().1);
        let mut theirs = draft.previous.as_ref().map(|previous| CrlParts::of(ledger, previous));
        let mut linter = self.linter(draft, outline)?;
        loop {
            if linter.wants_previous()
                && let Some(theirs) = &mut theirs
                && let Some(piece) = theirs.next().await?
            {
                linter.previous_entries(&piece).map_err(refused)?;
            } else if let Some(piece) = ours.next().await? {
                linter.entries(&piece).map_err(refused)?;
            } else {
                break;
            }
            for serial in linter.vanished() {
                // What may leave the list: certificates that had ended before the CRL that still showed them was made.
                if self.ledger.status(serial).await?.is_some_and(|record| record.not_after < draft.not_after_min) {
                    linter.expired(serial);
                }
            }
        }
        linter.finish().map_err(refused)
    }

    /// Makes a number that is above all others of this issuer and shard ours: it is logged, then in the ledger.
    ///
    /// # Errors
    /// The stores could not be asked, or another has allocated it, or one above.
    async fn allocate_crl_number(&self, place: CrlPart, this_update: Timestamp) -> Answer<()> {
        let CrlPart { issuer, shard, number, .. } = place;
        let line = self.audit.append(AuditEvent::CrlNumber { issuer, shard, number }).await?;
        let allocated = self.ledger.allocate_crl_number(issuer, shard, number, this_update).await?;
        self.audit.applied(line);
        if allocated || planted!(CrlNumberReused) {
            return Ok(());
        }
        Err(Error::Failed(format!("CRL number {number} of shard {shard} was allocated by another")))
    }

    async fn sign_crl(&self, draft: &Draft<'_>, outline: &CrlOutline, tbs: Linted<CrlDraft>) -> Answer<CrlRecord> {
        let Draft { issuer, place, this_update, next_update, .. } = *draft;
        let CrlPart { shard, number, .. } = place;
        let request = SigningRequest::Crl { issuer: issuer.id, shard, number, tbs };
        let signed = self.signer.sign(request).await;
        let signed = signed.map_err(|error| failed(place, &format!("was not signed: {error}")))?;
        let (head, tail) = outline.signed(issuer.signature_algorithm, &signed.der);
        let (entries, entry_octets) = outline.entries();
        let mut pieces = Sha256::pieces();
        pieces.add(&head);
        let mut parts = CrlParts::of_draft(&*self.ledger, place, entry_octets);
        while let Some(part) = parts.next().await? {
            pieces.add(&part);
        }
        pieces.add(&tail);
        let sha256 = pieces.finish();
        let line = self.audit.append(AuditEvent::Crl { issuer: issuer.id, shard, number, sha256 }).await?;
        self.audit.applied(line);
        let issuer = issuer.id;
        Ok(CrlRecord { issuer, shard, number, this_update, next_update, head, entries, entry_octets, tail, sha256 })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a part fits into memory")]
const PART_OCTETS: usize = CrlRecord::PART_OCTETS as usize;

/// The one that a CRL made now would get.
fn next_number(state: &CrlState) -> u64 {
    planted!(CrlNumberReused {
        state.last.as_ref().map_or(0, |last| last.number) + 1
    } else { state.allocated + 1 })
}

fn outline_of(crl: &CrlRecord) -> Answer<CrlOutline> {
    let outline = CrlOutline::of_signed(&crl.head, (crl.entries, crl.entry_octets), &crl.tail);
    let corrupt = || StoreError::new(StoreErrorKind::Corrupt, format!("the CRL of shard {} is damaged", crl.shard));
    Ok(outline.ok_or_else(corrupt)?)
}

fn outgrown(place: CrlPart) -> Error {
    failed(place, &"is not stored: another process has stored one that is not below it")
}

fn breaks_rules(draft: &Draft<'_>, failure: &LintFailure) -> Error {
    failed(draft.place, &format!("breaks rules: {failure}"))
}

fn failed(place: CrlPart, why: &dyn std::fmt::Display) -> Error {
    Error::Failed(format!("CRL {} of shard {} {why}", place.number, place.shard))
}
