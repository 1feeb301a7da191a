//! The end of a generation of CRL shards: its CRLs are made until all of its certificates have ended, and once more.

use std::collections::BTreeSet;

use pki::{Sha256, Timestamp};

use crate::authority::Ca;
use crate::error::Answer;
use crate::ports::{CrlGenerationId, CrlGenerationRecord, CrlShard, Stored};

impl Ca {
    /// The generations whose CRLs are needed no more. Asked of the ledger, where another process may have taken an end
    /// back; that of new certificates never is one.
    ///
    /// # Errors
    /// The ledger could not be asked.
    pub async fn ended_crl_generations(&self) -> Stored<BTreeSet<CrlGenerationId>> {
        if self.settings.crls.generations().len() == 1 {
            return Ok(BTreeSet::new());
        }
        let known = self.ledger.crl_generations().await?.into_iter();
        let ended = known.filter(|known| known.ended.is_some() && self.is_of_the_past(known.generation.id));
        Ok(ended.map(|known| known.generation.id).collect())
    }

    /// When the last revocation of an issuer was written that a CRL has to show.
    pub(super) async fn last_revocation_of(
        &self,
        issuer: Sha256,
        ended: &BTreeSet<CrlGenerationId>,
    ) -> Stored<Option<Timestamp>> {
        let mut last = None;
        for one in self.settings.crls.generations().iter().filter(|one| !ended.contains(&one.id)) {
            // As one shard it is asked for with one look.
            let whole = CrlShard { number: one.id.0, generation: one.id, shards: 1 };
            last = last.max(self.ledger.crl_state(issuer, whole).await?.last_revocation);
        }
        Ok(last)
    }

    /// Ends the generations whose certificates had all ended when the last CRL of each of their shards was made.
    pub(super) async fn end_generations(&self) -> Answer<()> {
        if self.settings.crls.generations().len() == 1 {
            return Ok(());
        }
        for known in self.ledger.crl_generations().await? {
            let CrlGenerationRecord { generation, last_not_after, ended } = known;
            let may_end = ended.is_none() && self.is_of_the_past(generation.id);
            if !may_end || !self.are_made_after(generation.all(), last_not_after).await? {
                continue;
            }
            if self.ledger.end_crl_generation(generation.id, last_not_after, self.now()).await? {
                let first = generation.id.0;
                let last = first.saturating_add(generation.shards.saturating_sub(1));
                tracing::info!(
                    first, last, url = %generation.status_url,
                    "all certificates that say these CRL shards have ended: their CRLs are not made any more"
                );
            }
        }
        Ok(())
    }

    /// What its last CRL has replaced is let go of in its time, as with any other.
    pub(super) async fn sweep_ended(&self, issuer: Sha256, shard: u16) {
        // What went wrong with it when it was still needed is nobody's trouble now.
        self.crl_watch.made(issuer, shard);
        if !self.crl_watch.sweep_is_due(issuer, shard, self.now()) {
            return;
        }
        match self.ledger.last_crl(issuer, shard).await {
            Ok(last) => self.sweep_parts(issuer, shard, last.map_or(0, |last| last.number)).await,
            Err(error) => tracing::warn!(shard, %error, "parts of former CRLs stay; trying again"),
        }
    }

    fn is_of_the_past(&self, id: CrlGenerationId) -> bool {
        let crls = &self.settings.crls;
        crls.current().id != id && crls.generation(id).is_some()
    }

    /// Whether the last CRL of each of these shards, of each issuer, shows all that was revoked of certificates that
    /// ended by this time.
    async fn are_made_after(&self, shards: impl Iterator<Item = CrlShard>, end: Option<Timestamp>) -> Stored<bool> {
        for shard in shards {
            for issuer in &self.issuers {
                let last = self.ledger.last_crl(issuer.id, shard.number).await?;
                let is_after = |this_update| end.is_none_or(|end| end < this_update);
                if !last.is_some_and(|last| is_after(last.this_update) && !self.is_of_the_future(last.this_update)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
