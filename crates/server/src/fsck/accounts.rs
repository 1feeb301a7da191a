//! The ledger's accounts: each one's key is proved by its own requests.

use ca::ports::StoreError;
use ca::signing::proven_keys;

use super::report::Fault;
use super::{Fsck, Invariant, PAGE};

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
            }
            self.tell("accounts", done, total.max(done));
        }
    }
}
