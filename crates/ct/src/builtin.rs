//! The built-in log: a real RFC 6962 log for the precertificates of this CA.
//!
//! A leaf is committed, with its index and timestamp, before its SCT is signed. An SCT is a promise, and is only ever
//! made of what is stored. Tree heads follow about once a second, over committed leaves alone.

mod acceptance;
mod heads;
mod read;
mod recent;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ca::ports::{Clock, CtSubmission, Leaf, LogKey, LogStore};
use pki::sct::tree;
use pki::{DigitallySigned, LogId, PrecertEntry, PublicKey, Sct, Sha256};

use crate::wire::{AddPreChain, AddedChain, Base64, Millis};
use crate::{Endpoint, EndpointError};

use acceptance::Accepted;
use heads::{Edge, Pending};
use recent::Recent;

pub use acceptance::Acceptance;
pub use read::{ENTRIES_MAX, ReadError};

/// SCTs that are kept for resubmissions.
const SCTS_MAX: usize = 4_096;

/// Hashes of leaves kept until a tree head covers them. More are read back from the store.
const PENDING_MAX: usize = 16_384;

/// A built-in log.
///
/// *Resubmission*: answered with the leaf as it stands: the same log, timestamp and extensions. The very same signature
/// is given for as long as the SCT is remembered (the last 4,096); later, and after a restart, it is made anew, and
/// since ECDSA is random it then has other octets that say the same.
pub struct BuiltinLog {
    id: LogId,
    key: Arc<dyn LogKey>,
    store: Arc<dyn LogStore>,
    acceptance: Arc<Acceptance>,
    clock: Arc<dyn Clock>,
    scts: Mutex<Recent<Sha256, Sct>>,
    pending: Mutex<BTreeMap<u64, Pending>>,
    /// Owned by `update_tree_head`; `None`: to be read from the store.
    edge: tokio::sync::Mutex<Option<Edge>>,
}

impl BuiltinLog {
    /// The log of this key. Built-in logs of one CA share an [`Acceptance`].
    pub fn new(
        key: Arc<dyn LogKey>,
        store: Arc<dyn LogStore>,
        acceptance: Arc<Acceptance>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            id: key.log_id(),
            key,
            store,
            acceptance,
            clock,
            scts: Mutex::new(Recent::new(SCTS_MAX)),
            pending: Mutex::default(),
            edge: tokio::sync::Mutex::new(None),
        }
    }

    /// add-pre-chain (RFC 6962 §4.2), as it comes over HTTP.
    ///
    /// # Errors
    /// [`EndpointError::Refused`] for anything but a precertificate of this CA; [`EndpointError::Failed`] if store or
    /// key do.
    pub async fn add_submitted_chain(&self, request: &AddPreChain) -> Result<AddedChain, EndpointError> {
        let Some((precertificate, above)) = request.chain.split_first() else {
            return Err(EndpointError::Refused("the chain is empty".to_owned()));
        };
        let above: Vec<Vec<u8>> = above.iter().map(|one| one.0.clone()).collect();
        let sct = self.add(&precertificate.0, &above).await?;
        Ok(AddedChain {
            sct_version: 0,
            id: sct.log_id,
            timestamp: Millis(sct.timestamp),
            extensions: Base64(sct.extensions),
            signature: Base64(sct.signature.to_tls()),
        })
    }

    async fn add(&self, precertificate: &[u8], chain: &[Vec<u8>]) -> Result<Sct, EndpointError> {
        let accepted = self.acceptance.judge(precertificate, chain).await?;
        let identity = accepted.leaf.identity;
        if let Some(sct) = self.scts.lock().unwrap_or_else(PoisonError::into_inner).find(&identity) {
            return Ok(sct);
        }
        let sct = self.commit(&accepted).await?;
        // Of two submissions at the same time, both are answered with the first one's signature.
        Ok(self.scts.lock().unwrap_or_else(PoisonError::into_inner).find_or_make(identity, || sct))
    }

    /// Commits the leaf, then signs its SCT.
    async fn commit(&self, accepted: &Accepted) -> Result<Sct, EndpointError> {
        let (index, timestamp) = self
            .store
            .add_leaf(self.id, accepted.leaf.clone())
            .await
            .map_err(|error| EndpointError::Failed(error.to_string()))?;
        let hash = tree::leaf_hash(&accepted.entry.merkle_tree_leaf(timestamp, &[]));
        self.remember_pending(index, Pending { hash, timestamp });
        let signature = self
            .key
            .sign(&accepted.entry.signed_data(timestamp, &[]))
            .await
            .map_err(|error| EndpointError::Failed(error.to_string()))?;
        let signature = DigitallySigned::sha256(self.key.public_key(), signature)
            .ok_or_else(|| EndpointError::Failed("its key is of a kind that RFC 6962 doesn't have".to_owned()))?;
        Ok(Sct { log_id: self.id, timestamp, extensions: Vec::new(), signature })
    }

    fn remember_pending(&self, index: u64, leaf: Pending) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() < PENDING_MAX {
            pending.insert(index, leaf);
        }
    }

    fn find_pending(&self, index: u64) -> Option<Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).get(&index).copied()
    }

    /// A tree head covers all leaves before this one.
    fn forget_pending(&self, size: u64) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let uncovered = pending.split_off(&size);
        *pending = uncovered;
    }
}

/// What a log signs of a leaf.
fn entry_of(leaf: &Leaf) -> PrecertEntry {
    PrecertEntry { issuer_key_hash: leaf.entry.issuer_key_hash, tbs: leaf.entry.tbs.clone() }
}

#[async_trait]
impl Endpoint for BuiltinLog {
    fn log_id(&self) -> LogId {
        self.id
    }

    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    async fn add_pre_chain(&self, submission: &CtSubmission) -> Result<Sct, EndpointError> {
        self.add(&submission.precertificate, &submission.chain).await
    }

    async fn probe(&self) -> Result<(), EndpointError> {
        let head = self.tree_head().await.map_err(|error| EndpointError::Failed(error.to_string()))?;
        let signed = tree::tree_head_signed_data(head.timestamp, head.size, &head.root);
        DigitallySigned::from_tls(&head.signature)
            .and_then(|signature| signature.verify(self.key.public_key(), &signed))
            .map_err(|error| EndpointError::Answer(format!("its tree head: {error}")))
    }
}

impl fmt::Debug for BuiltinLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuiltinLog({})", self.id)
    }
}

#[cfg(test)]
mod tests;
