//! Parts of CRLs that nobody needs any more: of those that were replaced, and of those that never came to be.

use std::time::Duration;

use pki::{Sha256, Timestamp};

use crate::authority::Ca;
use crate::clock::BEHIND_MAX;
use crate::ports::{CrlLeftover, Stored};

/// The parts of a CRL that was replaced stay so long: whoever has begun to fetch it may go on.
const REPLACED_KEPT: Duration = Duration::from_secs(600);
/// And of so many of them at the most, the newest, of each shard: while many certificates are revoked one CRL follows
/// the other, and each may be large.
const REPLACED_MAX: usize = 3;
/// Parts taken away in one write, a few MiB: other writes get their turn between.
const PARTS: u32 = 16;
/// CRLs seen to in one sweep; more wait for the next one.
const LEFTOVERS: u32 = 100;

impl Ca {
    /// Takes away what a try has left that came to nothing.
    pub(super) async fn drop_parts_of_try(&self, issuer: Sha256, shard: u16, number: u64) {
        if let Err(error) = self.drop_parts(issuer, shard, number).await {
            tracing::warn!(shard, number, %error, "parts of a CRL that came to nothing stay; trying again");
            self.crl_watch.gave_up(issuer, shard, number);
        }
    }

    /// Takes away what is left over in a shard whose last CRL has this number, if there may be something. What can't be
    /// taken away keeps no CRL from being made.
    pub(super) async fn sweep_parts(&self, issuer: Sha256, shard: u16, last: u64) {
        if !self.crl_watch.sweep_is_due(issuer, shard, self.now()) {
            return;
        }
        match self.sweep_leftovers((issuer, shard), last).await {
            Ok(again) => self.crl_watch.swept(issuer, shard, again),
            Err(error) => tracing::warn!(shard, %error, "parts of former CRLs stay; trying again"),
        }
    }

    /// When to sweep again: when one of the CRLs that stay has stayed for long enough. `None`: nothing stays.
    async fn sweep_leftovers(&self, (issuer, shard): (Sha256, u16), last: u64) -> Stored<Option<Timestamp>> {
        let (mut again, now) = (None, self.now());
        let leftovers = self.ledger.crl_leftovers(issuer, shard, LEFTOVERS).await?;
        if leftovers.len() == LEFTOVERS as usize {
            again = Some(now);
        }
        let mut above = leftovers.iter().filter(|leftover| leftover.replaced.is_some()).count();
        for CrlLeftover { number, replaced } in leftovers {
            above -= usize::from(replaced.is_some());
            let until = match replaced {
                Some(_) if above >= REPLACED_MAX => now,
                // One of the future was replaced while the clock was wrong.
                Some(at) if at.since(now) <= BEHIND_MAX => at.plus(REPLACED_KEPT),
                Some(_) => now,
                // It can't be stored any more.
                None if number < last => now,
                None if self.crl_watch.has_given_up(issuer, shard, number) => now,
                // It is being made, perhaps by another process, which would store it without its parts; whoever makes
                // it takes away what is left of it if that fails. If its maker is gone, its number makes another CRL
                // due, and the sweep behind that one sees to it.
                None => continue,
            };
            if until > now {
                again = Some(again.map_or(until, |again: Timestamp| again.min(until)));
            } else {
                self.drop_parts(issuer, shard, number).await?;
                self.crl_watch.dropped(issuer, shard, number);
            }
        }
        Ok(again)
    }

    async fn drop_parts(&self, issuer: Sha256, shard: u16, number: u64) -> Stored<()> {
        while self.ledger.drop_crl_parts(issuer, shard, number, PARTS).await? == PARTS {}
        Ok(())
    }
}
