//! CRLs (RFC 5280 §5): one for each issuer and shard, numbered strictly upwards.

use std::collections::BTreeSet;
use std::time::Duration;

use pki::lint::{self, CrlRules, Linted};
use pki::{Crl, CrlEntry, CrlFields, Serial, Sha256, Timestamp};

use crate::authority::Ca;
use crate::clock::BEHIND_MAX;
use crate::error::{Answer, Error};
use crate::guard::{guarded, panicked};
use crate::ports::{AuditEvent, CrlRecord, CrlState, Issuer, SigningRequest};
use crate::urls;

/// Entries read from the ledger at a time.
const PAGE: u32 = 10_000;
/// A revocation is in the ledger this long after its time was taken.
const SETTLED: Duration = Duration::from_secs(5);

impl Ca {
    /// Makes anew the CRLs that need it: none yet, revocations that it doesn't show, or its time has come.
    ///
    /// # Errors
    /// The first that could not be made; the others are tried the next time.
    pub async fn renew_crls(&self) -> Answer<u32> {
        // Whoever looks at the clock has said so.
        if self.check_clock().await?.is_err() {
            return Ok(0);
        }
        let mut made = 0;
        let mut failed = None;
        for issuer in &self.issuers {
            for shard in 0..self.settings.crl_shards {
                let renewed = guarded("a CRL", self.renew_crl(issuer, shard)).await;
                match renewed.unwrap_or_else(|| Err(panicked().into())) {
                    Ok(anew) => made += u32::from(anew),
                    // One shard's trouble must not keep the others from being made.
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        failed.map_or(Ok(made), Err)
    }

    async fn renew_crl(&self, issuer: &Issuer, shard: u16) -> Answer<bool> {
        let state = self.ledger.crl_state(issuer.id, shard, self.settings.crl_shards).await?;
        let due = self.is_due(&state);
        if due {
            self.make_crl(issuer, shard, state).await?;
        }
        Ok(due)
    }

    fn is_due(&self, state: &CrlState) -> bool {
        let Some(last) = &state.last else { return true };
        // A CRL of the number allocated last may have been published, by whoever can't have it stored any more.
        if self.is_of_the_future(last.this_update) || state.allocated > last.number {
            return true;
        }
        let (now, age) = (self.now(), self.now().since(last.this_update));
        // With a clock that is a little behind, one appears when the clock has come to its time: a list made before
        // would not show by its own time that it has it.
        let unseen = state.last_revocation.filter(|at| *at <= now).is_some_and(|at| {
            // A second has to go by, so that thisUpdate grows with the number.
            let later = at >= last.this_update && age >= Duration::from_secs(1);
            // What was on its way to the ledger while the CRL was made may not be in it: once more, when it is settled.
            let on_its_way = at.plus(SETTLED) >= last.this_update && age >= SETTLED;
            later || on_its_way
        });
        unseen || age >= self.settings.crl.renewal
    }

    /// Made with a clock that was wrong, before an operator accepted the present time.
    fn is_of_the_future(&self, this_update: Timestamp) -> bool {
        this_update.since(self.now()) > BEHIND_MAX
    }

    async fn make_crl(&self, issuer: &Issuer, shard: u16, state: CrlState) -> Answer<()> {
        let number = planted!(CrlNumberReused {
            state.last.as_ref().map_or(0, |last| last.number) + 1
        } else { state.allocated + 1 });
        let this_update = self.now().whole_second();
        let previous = state.last.as_ref().and_then(|last| Crl::from_der(&last.der).ok());
        // Times have to grow only from what was made with a clock that was right.
        let previous = previous.filter(|last| !self.is_of_the_future(last.this_update()));
        // An expired certificate stays on one CRL made after its end: on all until the one after the last.
        let not_after_min = previous.as_ref().map_or(this_update, Crl::this_update);
        let mut entries = self.revoked(issuer.id, shard, not_after_min).await?;
        for entry in &mut entries {
            *entry = entry.shown_at(this_update);
        }
        let distribution_point = format!("{}{}", self.settings.status_url, urls::crl(&issuer.id, shard));
        let next_update = this_update.plus(self.settings.crl.validity).minus(Duration::from_secs(1));
        let tbs = pki::TbsCrl::build(
            &CrlFields {
                issuer: issuer.certificate.subject(),
                issuer_key_identifier: issuer.certificate.public_key().key_identifier(),
                signature_algorithm: issuer.signature_algorithm,
                number,
                this_update,
                next_update,
                distribution_point: Some(&distribution_point),
            },
            &entries,
        );
        let expired = self.expired_since(previous.as_ref(), &entries, not_after_min).await?;
        let rules =
            CrlRules { issuer: &issuer.certificate, previous: previous.as_ref(), expired: &expired, now: self.now() };
        // What can't be signed uses no number up.
        let tbs = lint::crl(tbs, &rules).map_err(|failure| crl_failed((shard, number), "breaks rules", &failure))?;
        self.allocate_crl_number(issuer.id, shard, number).await?;
        let der = self.sign_crl(issuer, (shard, number), tbs).await?;
        let record = CrlRecord { issuer: issuer.id, shard, number, this_update, next_update, der };
        self.ledger.store_crl(record).await?;
        tracing::info!(issuer = %urls::issuer_label(&issuer.id), shard, number, entries = entries.len(), "CRL made");
        Ok(())
    }

    async fn revoked(&self, issuer: Sha256, shard: u16, not_after_min: Timestamp) -> Answer<Vec<CrlEntry>> {
        let mut entries: Vec<CrlEntry> = Vec::new();
        let mut after: Option<Serial> = None;
        loop {
            let shards = (shard, self.settings.crl_shards);
            let page = self.ledger.revoked(issuer, shards, not_after_min, after, PAGE).await?;
            after = page.last().map(|entry| entry.serial);
            entries.extend(page);
            if after.is_none() {
                return Ok(entries);
            }
        }
    }

    /// What may leave the list: certificates that had ended before the CRL that still showed them was made.
    async fn expired_since(
        &self,
        previous: Option<&Crl>,
        entries: &[CrlEntry],
        not_after_min: Timestamp,
    ) -> Answer<BTreeSet<Serial>> {
        let now_listed: BTreeSet<Serial> = entries.iter().map(|entry| entry.serial).collect();
        let mut expired = BTreeSet::new();
        for serial in previous.into_iter().flat_map(Crl::entries).map(|entry| entry.serial) {
            if !now_listed.contains(&serial)
                && self.ledger.serial(serial).await?.is_some_and(|record| record.not_after < not_after_min)
            {
                expired.insert(serial);
            }
        }
        Ok(expired)
    }

    /// Makes a number that is above all others of this issuer and shard ours: it is logged, then in the ledger.
    ///
    /// # Errors
    /// The stores could not be asked, or another has allocated it, or one above.
    async fn allocate_crl_number(&self, issuer: Sha256, shard: u16, number: u64) -> Answer<()> {
        let line = self.audit.append(AuditEvent::CrlNumber { issuer, shard, number }).await?;
        let allocated = self.ledger.allocate_crl_number(issuer, shard, number).await?;
        self.audit.applied(line);
        if allocated || planted!(CrlNumberReused) {
            return Ok(());
        }
        Err(Error::Failed(format!("CRL number {number} of shard {shard} was allocated by another")))
    }

    async fn sign_crl(
        &self,
        issuer: &Issuer,
        (shard, number): (u16, u64),
        tbs: Linted<pki::TbsCrl>,
    ) -> Answer<Vec<u8>> {
        let request = SigningRequest::Crl { issuer: issuer.id, shard, number, tbs };
        let signed = self.signer.sign(request).await;
        let signed = signed.map_err(|error| crl_failed((shard, number), "was not signed", &error))?;
        let sha256 = Sha256::of(&signed.der);
        let line = self.audit.append(AuditEvent::Crl { issuer: issuer.id, shard, number, sha256 }).await?;
        self.audit.applied(line);
        Ok(signed.der)
    }
}

fn crl_failed((shard, number): (u16, u64), what: &str, why: &dyn std::error::Error) -> Error {
    Error::Failed(format!("CRL {number} of shard {shard} {what}: {why}"))
}
