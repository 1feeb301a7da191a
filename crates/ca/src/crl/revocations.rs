//! Revocations that CRLs are to list, as the ledger has them.

use std::collections::VecDeque;

use pki::{CrlEntry, Serial, Sha256, Timestamp};

use super::PAGE;
use crate::ports::{CrlShard, Ledger, Stored};

/// Reads the revoked serials of a shard in their order, page by page.
#[derive(Debug)]
pub struct Revocations<'a> {
    ledger: &'a dyn Ledger,
    issuer: Sha256,
    shard: CrlShard,
    not_after_min: Timestamp,
    page: VecDeque<CrlEntry>,
    after: Option<Serial>,
    ended: bool,
}

impl<'a> Revocations<'a> {
    /// Those of certificates that end at `not_after_min` or later.
    pub const fn new(ledger: &'a dyn Ledger, issuer: Sha256, shard: CrlShard, not_after_min: Timestamp) -> Self {
        Self { ledger, issuer, shard, not_after_min, page: VecDeque::new(), after: None, ended: false }
    }

    /// The next one, which stays the next one; `None` behind the last.
    ///
    /// # Errors
    /// Those of a read.
    pub async fn peek(&mut self) -> Stored<Option<CrlEntry>> {
        if self.page.is_empty() && !self.ended {
            let Self { issuer, shard, not_after_min, after, .. } = *self;
            self.page = self.ledger.revoked(issuer, shard, not_after_min, after, PAGE).await?.into();
            self.after = self.page.back().map(|last| last.serial);
            self.ended = self.page.is_empty();
        }
        Ok(self.page.front().copied())
    }

    /// Goes on behind the one that [`Revocations::peek`] answered.
    pub fn pop(&mut self) {
        self.page.pop_front();
    }
}
