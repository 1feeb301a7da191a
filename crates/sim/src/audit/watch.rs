//! The innermost layer of each process: it sees what really reaches stores and keys, whoever is told what.

use std::sync::Arc;

use async_trait::async_trait;
use ca::authorization::EndedAuthorization;
use ca::order::{Failure, Order};
use ca::ports::{
    AuditEvent, AuditLog, AuditMark, Begin, BeginRefused, Blocked, CrlRecord, CrlShard, IssuanceNumber, KeyBlock,
    Ledger, LedgerEnd, MarkedGood, Revocation, Revoked, SignError, Signed, Signer, SigningRecord, SigningRequest,
    StopRecord, Stored, StoredFinal,
};
use ca::{AuthorizationId, InstanceId};
use pki::{CrlEntry, Serial, Sha256, Timestamp};

use super::Auditor;
use crate::executor::Node;
use crate::ports::{AuditLayer, Layer, LedgerLayer, SignerLayer, layered_audit, layered_ledger, layered_signer};

/// The eyes of the auditor in one process.
#[derive(Clone, Debug)]
pub struct Watch {
    auditor: Arc<Auditor>,
    machine: usize,
    node: Node,
}

impl Auditor {
    /// A layer for a process.
    pub fn watch(self: &Arc<Self>, machine: usize, node: Node) -> Watch {
        Watch { auditor: Arc::clone(self), machine, node }
    }
}

impl Layer for Watch {
    fn ledger(&self, inner: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        layered_ledger(inner, Arc::new(self.clone()))
    }

    fn audit(&self, inner: Arc<dyn AuditLog>) -> Arc<dyn AuditLog> {
        layered_audit(inner, Arc::new(self.clone()))
    }

    fn signer(&self, inner: Arc<dyn Signer>) -> Arc<dyn Signer> {
        layered_signer(inner, Arc::new(self.clone()))
    }
}

#[async_trait]
impl LedgerLayer for Watch {
    async fn begin(&self, inner: &dyn Ledger, begin: Begin<'_>) -> Stored<Result<IssuanceNumber, BeginRefused>> {
        let (serial, order, at) = (begin.serial, begin.order.clone(), begin.at);
        let begun = inner.begin(begin).await;
        if let Ok(Ok(number)) = &begun {
            self.auditor.began(order.id, *number, self.node);
            self.auditor.begun(serial, &order, *number, at);
        }
        begun
    }

    async fn mark_good(&self, inner: &dyn Ledger, serial: Serial, at: Timestamp) -> Stored<Option<MarkedGood>> {
        let marked = inner.mark_good(serial, at).await;
        self.auditor.wrote(serial);
        marked
    }

    async fn store_final(
        &self,
        inner: &dyn Ledger,
        serial: Serial,
        certificate: &[u8],
        at: Timestamp,
    ) -> Stored<Option<StoredFinal>> {
        let stored = inner.store_final(serial, certificate, at).await;
        self.auditor.wrote(serial);
        stored
    }

    async fn finish(&self, inner: &dyn Ledger, order: &Order, failure: Failure, at: Timestamp) -> Stored<LedgerEnd> {
        let open = self.auditor.is_open(order.id);
        let end = inner.finish(order, failure, at).await;
        if let Ok(end) = &end {
            self.auditor.finished(order.id, end);
            if let LedgerEnd::Invalid(failure) = end {
                if open {
                    self.auditor.let_die(order.id, (self.machine, self.node));
                }
                self.auditor.died(order, failure);
            }
        }
        end
    }

    async fn authorize(&self, inner: &dyn Ledger, ended: EndedAuthorization) -> Stored<EndedAuthorization> {
        let authorized = inner.authorize(ended).await;
        if let Ok(ended) = &authorized {
            self.auditor.authorized(ended);
        }
        authorized
    }

    async fn deactivate_authorization(
        &self,
        inner: &dyn Ledger,
        id: AuthorizationId,
        at: Timestamp,
    ) -> Stored<Option<EndedAuthorization>> {
        inner.deactivate_authorization(id, at).await
    }

    async fn signing_record(&self, inner: &dyn Ledger, serial: Serial) -> Stored<Option<SigningRecord>> {
        let record = inner.signing_record(serial).await;
        self.auditor.signer_read(serial);
        record
    }

    async fn revoke(&self, inner: &dyn Ledger, revocation: Revocation) -> Stored<Revoked> {
        let serial = revocation.serial;
        self.auditor.revocation_is_logged(serial);
        let revoked = inner.revoke(revocation).await;
        self.auditor.wrote(serial);
        revoked
    }

    async fn block(&self, inner: &dyn Ledger, block: KeyBlock) -> Stored<Blocked> {
        let key = block.spki_hash;
        let blocked = inner.block(block).await;
        let revoked = blocked.as_ref().map(|blocked| &blocked.in_issuance[..]);
        self.auditor.blocked(key, revoked.unwrap_or_default());
        blocked
    }

    async fn stop(&self, inner: &dyn Ledger, stop: StopRecord) -> Stored<bool> {
        let copy = stop.clone();
        let stopped = inner.stop(stop).await;
        if stopped == Ok(true) {
            self.auditor.stop_began(&copy);
        }
        stopped
    }

    async fn resume(&self, inner: &dyn Ledger, number: u64, at: Timestamp) -> Stored<Option<StopRecord>> {
        let resumed = inner.resume(number, at).await;
        if let Ok(Some(_)) = resumed {
            self.auditor.stop_ended(number);
        }
        resumed
    }

    async fn set_audit_mark(&self, inner: &dyn Ledger, instance: InstanceId, mark: AuditMark) -> Stored<()> {
        let set = inner.set_audit_mark(instance, mark).await;
        self.auditor.marks_are_true();
        set
    }

    async fn allocate_crl_number(
        &self,
        inner: &dyn Ledger,
        issuer: Sha256,
        shard: u16,
        number: u64,
        this_update: Timestamp,
    ) -> Stored<bool> {
        let allocated = inner.allocate_crl_number(issuer, shard, number, this_update).await;
        self.auditor.begun_crl(issuer, shard, number, self.node);
        allocated
    }

    async fn revoked(
        &self,
        inner: &dyn Ledger,
        issuer: Sha256,
        shard: CrlShard,
        not_after_min: Timestamp,
        after: Option<Serial>,
        limit: u32,
    ) -> Stored<Vec<CrlEntry>> {
        if after.is_none() {
            self.auditor.reads_entries(issuer, shard.number, self.node);
        }
        inner.revoked(issuer, shard, not_after_min, after, limit).await
    }

    async fn store_crl(&self, inner: &dyn Ledger, crl: CrlRecord) -> Stored<bool> {
        let copy = crl.clone();
        let stored = inner.store_crl(crl).await;
        if stored == Ok(true) {
            self.auditor.published_crl(copy.issuer, copy.shard, copy.number);
            self.auditor.lists_what_was_told(&copy);
        }
        stored
    }
}

#[async_trait]
impl AuditLayer for Watch {
    async fn append(&self, inner: &dyn AuditLog, event: AuditEvent) -> Stored<u64> {
        let copy = event.clone();
        let line = inner.append(event).await;
        if line.is_ok() {
            self.auditor.logged(&copy);
        }
        line
    }
}

#[async_trait]
impl SignerLayer for Watch {
    async fn sign(&self, inner: &dyn Signer, request: SigningRequest) -> Result<Signed, SignError> {
        let crl = match &request {
            SigningRequest::Crl { issuer, shard, number, .. } => Some((*issuer, *shard, *number)),
            SigningRequest::Precertificate { .. } | SigningRequest::Certificate { .. } => None,
            // What OCSP says is judged where it is told.
            SigningRequest::OcspAnswer { .. } | SigningRequest::OcspResponder { .. } => {
                return inner.sign(request).await;
            }
        };
        let signed = inner.sign(request).await;
        if let Ok(signed) = &signed {
            match crl {
                Some((issuer, shard, number)) => self.auditor.signed_crl(issuer, shard, number),
                None => self.auditor.signed(&signed.der, self.machine, self.node),
            }
        }
        signed
    }
}
