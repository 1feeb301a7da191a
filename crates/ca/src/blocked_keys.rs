//! Keys that are known to be compromised: blocked for ever, and all that was issued for them revoked (BR 4.9.1.1).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use pki::{Reason, Serial, Sha256};

use crate::AccountId;
use crate::authority::Ca;
use crate::error::Answer;
use crate::guard::{guarded, panicked};
use crate::ports::{AuditEvent, KeyBlock, Revocation, Revoked, Stored};

/// What [`Ca::revoke_blocked_keys`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeysRevoked {
    /// Serials that it revoked.
    pub serials: u64,
    /// Keys of which none is left to be revoked.
    pub keys: u64,
}

/// Serials of one key that are revoked side by side at most: their lines share a sync, and so do their writes.
const SERIALS_PAGE: u32 = 500;

/// Keys of one page.
const KEYS_PAGE: u32 = 100;

/// Keys that are seen to side by side: what they write shares syncs.
const KEYS_TOGETHER: usize = 16;

/// Behind which serial of a key the next page begins.
type Reached = BTreeMap<Sha256, Serial>;

/// What was done to a page of one key.
#[derive(Default)]
struct Page {
    /// Serials that were not revoked before.
    revoked: u64,
    /// None is left.
    settled: bool,
    /// The last serial of the page, if there may be more.
    reached: Option<Serial>,
}

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
        let block = KeyBlock { spki_hash, at: self.now().whole_second(), by: by.to_owned() };
        let blocked = self.insist_on_line(line, self.ledger.block(block).await)?;
        tracing::info!(%spki_hash, %by, in_issuance = blocked.in_issuance.len(), "key blocked");
        self.blocked.ring();
        self.account_ended(blocked.account).await;
        Ok(())
    }

    pub(crate) async fn account_ended(&self, account: Option<AccountId>) {
        let Some(account) = account else { return };
        tracing::warn!(%account, "an account has ended, since its key is blocked");
        if let Err(error) = self.cancel_orders(account, "has ended, since its key is blocked").await {
            // They die at their deadline, and nobody can go on with them until then.
            tracing::error!(%account, %error, "orders of an account that has ended were not cancelled");
        }
    }

    /// Revokes what is left of blocked keys, as keyCompromise: whatever its status, and also what has expired, since a
    /// clock may be wrong. Goes in pages, one of each key in turn, several keys side by side, so that a key with many
    /// serials delays no other. Idempotent; broken off, or ended since `stopped` said so, the next call goes on. What
    /// could not be done to one key keeps no other from it.
    ///
    /// # Errors
    /// A store could not be asked. What was done so far stands.
    pub async fn revoke_blocked_keys(&self, stopped: &(dyn Fn() -> bool + Sync)) -> Stored<KeysRevoked> {
        guarded("blocked keys", self.revoke_blocked_once(stopped)).await.unwrap_or_else(|| Err(panicked()))
    }

    async fn revoke_blocked_once(&self, stopped: &(dyn Fn() -> bool + Sync)) -> Stored<KeysRevoked> {
        let mut done = KeysRevoked::default();
        let mut reached = Reached::new();
        let mut failed = BTreeSet::new();
        let mut result = Ok(());
        loop {
            let mut left = Reached::new();
            let mut after = None;
            loop {
                let keys = self.ledger.blocked_keys(after, true, KEYS_PAGE).await?;
                after = keys.last().map(|key| key.block.spki_hash);
                let keys = keys.into_iter().filter(|key| !failed.contains(&key.block.spki_hash));
                let pages = keys.take_while(|_| !stopped()).map(|key| {
                    let behind = reached.get(&key.block.spki_hash).copied();
                    async move { (key.block.spki_hash, self.revoke_page(&key.block, behind).await) }
                });
                let pages: Vec<_> = stream::iter(pages).buffer_unordered(KEYS_TOGETHER).collect().await;
                for (key, page) in pages {
                    match page {
                        Ok(page) => {
                            done.serials += page.revoked;
                            done.keys += u64::from(page.settled);
                            left.extend(page.reached.map(|serial| (key, serial)));
                        }
                        Err(error) => {
                            failed.insert(key);
                            result = result.and(Err(error));
                        }
                    }
                }
                if after.is_none() || stopped() {
                    break;
                }
            }
            if left.is_empty() || stopped() {
                return result.map(|()| done);
            }
            reached = left;
        }
    }

    async fn revoke_page(&self, key: &KeyBlock, behind: Option<Serial>) -> Stored<Page> {
        let limit = self.settings.limits.sweep_page.min(SERIALS_PAGE);
        let serials = self.ledger.unrevoked_of_key(key.spki_hash, behind, limit).await?;
        let revoked = join_all(serials.iter().map(|serial| self.revoke_compromised(*serial, &key.by))).await;
        let revoked = revoked.into_iter().collect::<Stored<Vec<bool>>>()?;
        let mut page = Page { revoked: revoked.into_iter().filter(|new| *new).count() as u64, ..Page::default() };
        if serials.len() >= limit as usize {
            page.reached = serials.last().copied();
        } else {
            let settled = self.ledger.settle_block(key.spki_hash, self.now()).await?;
            page.settled = settled.settled;
            self.account_ended(settled.account).await;
        }
        Ok(page)
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
