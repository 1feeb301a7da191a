//! The ledger's accounts: each one's key is proved by its own requests.

use acme::AccountStatus;
use ca::account::Account;
use ca::ports::StoreError;
use ca::signing::proven_keys;
use pki::Sha256;

use super::report::Fault;
use super::{Fsck, Invariant, PAGE, Repair};

impl Fsck<'_> {
    /// All accounts. A key and its proof are written in one transaction: nothing has to be looked at again.
    pub(super) async fn accounts(&mut self, total: u64) -> Result<(), StoreError> {
        let (mut after, mut done) = (None, 0);
        loop {
            let page = self.records.ledger.accounts(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            done += page.len() as u64;
            for account in &page {
                if let Err(refused) = proven_keys(account) {
                    let fault = Fault::new(Invariant::AccountKeyProved, refused.to_string());
                    self.add(&format!("account {}", account.id), vec![fault]);
                }
                self.account_of_blocked_key(account).await?;
            }
            self.tell("accounts", done, total.max(done));
        }
    }

    /// The block of a key ends its account in the same write.
    async fn account_of_blocked_key(&mut self, account: &Account) -> Result<(), StoreError> {
        let ledger = &self.records.ledger;
        let spki_hash = Sha256::of(&account.key.spki_der());
        if account.status != AccountStatus::Valid || !ledger.is_blocked(spki_hash).await? {
            return Ok(());
        }
        // It may have ended since the page was read.
        let now = ledger.account(account.id).await?;
        if now.is_some_and(|now| now.status == AccountStatus::Valid && now.key == account.key) {
            let detail = format!("it is valid, and its key {spki_hash} is blocked");
            let fault = Fault::new(Invariant::BlockedKeysHaveNoAccount, detail);
            let fault = fault.mended_by(Repair::EndAccount { spki_hash });
            self.add(&format!("account {}", account.id), vec![fault]);
        }
        Ok(())
    }
}
