//! Keys that are known to be compromised: blocked for ever, and all that was issued for them revoked (BR 4.9.1.1).

use std::collections::BTreeMap;

use futures_util::future::join_all;
use pki::{Reason, Serial, Sha256};

use crate::authority::Ca;
use crate::error::Answer;
use crate::guard::{guarded, panicked};
use crate::ports::{AuditEvent, BlockedKey, KeyBlock, Revocation, Revoked, Stored};

/// What [`Ca::revoke_blocked_keys`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeysRevoked {
    /// Serials that it revoked.
    pub serials: u64,
    /// Keys of which none is left to be revoked.
    pub keys: u64,
}

/// Serials of one key that are revoked side by side: their lines share a sync, and so do their writes.
const SERIALS_PAGE: u32 = 500;

/// Keys of one page.
const KEYS_PAGE: u32 = 100;

/// Behind which serial of a key the next page begins.
type Reached = BTreeMap<Sha256, Serial>;

impl Ca {
    /// Blocks a key for ever. Serials of it in open issuances are revoked with it, and the account that has it ends;
    /// all other serials are left to [`Ca::revoke_blocked_keys`], which is woken.
    ///
    /// # Errors
    /// The stores could not be asked.
    pub async fn block_key(&self, spki_hash: Sha256, by: &str) -> Answer<()> {
        if self.ledger.is_blocked(spki_hash).await? {
            return Ok(());
        }
        let line = self.audit.append(AuditEvent::KeyBlock { spki_hash, by: by.to_owned() }).await?;
        let blocked = self.ledger.block(KeyBlock { spki_hash, at: self.now(), by: by.to_owned() }).await?;
        self.audit.applied(line);
        tracing::info!(%spki_hash, %by, in_issuance = blocked.in_issuance.len(), "key blocked");
        self.blocked.ring();
        if let Some(account) = blocked.account {
            tracing::warn!(%account, "an account has ended, since its key is blocked");
            if let Err(error) = self.cancel_orders(account, "has ended, since its key is blocked").await {
                // They die at their deadline, and nobody can go on with them until then.
                tracing::error!(%account, %error, "orders of an account that has ended were not cancelled");
            }
        }
        Ok(())
    }

    /// Revokes what is left of blocked keys, as keyCompromise: whatever its status, and also what has expired, since a
    /// clock may be wrong. Goes in pages, one of each key in turn, so that a key with many serials delays no other.
    /// Idempotent; broken off, the next call goes on. What could not be done to one key keeps no other from it.
    ///
    /// # Errors
    /// A store could not be asked. What was done so far stands.
    pub async fn revoke_blocked_keys(&self) -> Stored<KeysRevoked> {
        guarded("blocked keys", self.revoke_blocked_once()).await.unwrap_or_else(|| Err(panicked()))
    }

    async fn revoke_blocked_once(&self) -> Stored<KeysRevoked> {
        let mut done = KeysRevoked::default();
        let mut reached = Reached::new();
        loop {
            let mut result = Ok(());
            let mut after = None;
            loop {
                let keys = self.ledger.blocked_keys(after, true, KEYS_PAGE).await?;
                after = keys.last().map(|key| key.block.spki_hash);
                for key in &keys {
                    result = result.and(self.revoke_page(key, &mut reached, &mut done).await);
                }
                if after.is_none() {
                    break;
                }
            }
            result?;
            if reached.is_empty() {
                return Ok(done);
            }
        }
    }

    /// A page of one key. A key that has more stays in `reached`.
    async fn revoke_page(&self, key: &BlockedKey, reached: &mut Reached, done: &mut KeysRevoked) -> Stored<()> {
        let KeyBlock { spki_hash, by, .. } = &key.block;
        let after = reached.remove(spki_hash);
        let serials = self.ledger.unrevoked_of_key(*spki_hash, after, SERIALS_PAGE).await?;
        let revoked = join_all(serials.iter().map(|serial| self.revoke_compromised(*serial, by))).await;
        done.serials += revoked.iter().filter(|revoked| **revoked == Ok(true)).count() as u64;
        revoked.into_iter().collect::<Stored<Vec<bool>>>()?;
        match serials.last() {
            Some(last) if serials.len() >= SERIALS_PAGE as usize => {
                reached.insert(*spki_hash, *last);
            }
            Some(_) | None => {
                let settled = self.ledger.settle_block(*spki_hash, self.now()).await?;
                done.keys += u64::from(settled);
            }
        }
        Ok(())
    }

    /// The audit log's line is synced before the ledger is written. Whether it was not revoked before; a revocation
    /// that came first gets this reason, as its line says.
    async fn revoke_compromised(&self, serial: Serial, by: &str) -> Stored<bool> {
        let (reason, revoked) = (Reason::KeyCompromise, self.now().whole_second());
        let event = AuditEvent::Revocation { serial, reason, revoked, by: by.to_owned() };
        let line = self.audit.append(event).await?;
        let done = match self.ledger.revoke(Revocation { serial, reason, revoked, by: by.to_owned() }).await? {
            Revoked::Done => true,
            Revoked::Already(_) => {
                self.ledger.upgrade_to_key_compromise(serial, by).await?;
                false
            }
            Revoked::UnknownSerial => false,
        };
        self.audit.applied(line);
        Ok(done)
    }
}
