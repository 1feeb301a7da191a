//! Faults of the ledger.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use ca::authorization::EndedAuthorization;
use ca::order::{Failure, Order};
use ca::ports::{
    AuditMark, Begin, BeginRefused, Blocked, CrlShard, IssuanceCaps, IssuanceNumber, KeyBlock, Ledger, LedgerEnd,
    LedgerOrder, MarkedGood, Revocation, Revoked, SerialFilter, SerialRecord, SerialStatus, SigningRecord, StopRecord,
    Stored, StoredFinal,
};
use ca::{InstanceId, OrderId};
use pki::{CrlEntry, GeneralName, Reason, Serial, Sha256, Timestamp};

use super::Kept;
use crate::ports::LedgerLayer;

/// The certificate of a late issuance becomes its order's.
#[derive(Debug, Default)]
pub(super) struct FenceForgotten(Kept<BTreeMap<Serial, (OrderId, Timestamp)>>);

impl FenceForgotten {
    fn attached(&self, mut record: SerialRecord) -> SerialRecord {
        if self.0.with(|late| late.contains_key(&record.serial)) {
            record.attached = true;
            record.status = SerialStatus::Good;
            record.revocation = None;
        }
        record
    }
}

#[async_trait]
impl LedgerLayer for FenceForgotten {
    async fn store_final(
        &self,
        inner: &dyn Ledger,
        serial: Serial,
        certificate: &[u8],
        at: Timestamp,
    ) -> Stored<Option<StoredFinal>> {
        let before = inner.serial(serial).await?;
        let stored = inner.store_final(serial, certificate, at).await?;
        match (stored, before) {
            (Some(StoredFinal::Detached), Some(record)) if record.revocation.is_none() => {
                self.0.with(|late| late.insert(serial, (record.order, at)));
                Ok(Some(StoredFinal::OrderValid))
            }
            (stored, _) => Ok(stored),
        }
    }

    async fn serial(&self, inner: &dyn Ledger, serial: Serial) -> Stored<Option<SerialRecord>> {
        Ok(inner.serial(serial).await?.map(|record| self.attached(record)))
    }

    async fn serials(&self, inner: &dyn Ledger, filter: SerialFilter, limit: u32) -> Stored<Vec<SerialRecord>> {
        Ok(inner.serials(filter, limit).await?.into_iter().map(|record| self.attached(record)).collect())
    }

    async fn order(&self, inner: &dyn Ledger, id: OrderId) -> Stored<Option<LedgerOrder>> {
        let late = self.0.with(|late| {
            let of_order = late.iter().find(|(_, (order, _))| *order == id);
            of_order.map(|(serial, (_, at))| (*serial, *at))
        });
        let mut known = inner.order(id).await?;
        if let (Some(known), Some((serial, at))) = (&mut known, late) {
            known.end = Some((LedgerEnd::Valid(serial), at));
        }
        Ok(known)
    }
}

/// `good` is written over `revoked`.
#[derive(Debug, Default)]
pub(super) struct GoodOverRevoked(Kept<BTreeSet<Serial>>);

impl GoodOverRevoked {
    fn good(&self, mut record: SerialRecord) -> SerialRecord {
        if self.0.with(|good| good.contains(&record.serial)) {
            record.status = SerialStatus::Good;
            record.revocation = None;
        }
        record
    }
}

#[async_trait]
impl LedgerLayer for GoodOverRevoked {
    async fn mark_good(&self, inner: &dyn Ledger, serial: Serial, at: Timestamp) -> Stored<Option<MarkedGood>> {
        let mut marked = inner.mark_good(serial, at).await?;
        if let Some(marked) = marked.as_mut().filter(|marked| marked.status == SerialStatus::Revoked) {
            marked.status = SerialStatus::Good;
            self.0.with(|good| good.insert(serial));
        }
        Ok(marked)
    }

    async fn serial(&self, inner: &dyn Ledger, serial: Serial) -> Stored<Option<SerialRecord>> {
        Ok(inner.serial(serial).await?.map(|record| self.good(record)))
    }

    async fn serials(&self, inner: &dyn Ledger, filter: SerialFilter, limit: u32) -> Stored<Vec<SerialRecord>> {
        Ok(inner.serials(filter, limit).await?.into_iter().map(|record| self.good(record)).collect())
    }

    async fn signing_record(&self, inner: &dyn Ledger, serial: Serial) -> Stored<Option<SigningRecord>> {
        let record = inner.signing_record(serial).await?;
        Ok(record.map(|record| SigningRecord { serial: self.good(record.serial.clone()), ..record }))
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
        let mut entries = inner.revoked(issuer, shard, not_after_min, after, limit).await?;
        entries.retain(|entry| !self.0.with(|good| good.contains(&entry.serial)));
        Ok(entries)
    }
}

/// What `begin` was given, to be written later or never.
#[derive(Clone, Debug)]
struct Begun {
    order: Order,
    record: SerialRecord,
    names: BTreeSet<GeneralName>,
    caps: IssuanceCaps,
}

impl Begun {
    fn of(begin: &Begin<'_>, number: IssuanceNumber) -> Self {
        let record = SerialRecord {
            serial: begin.serial,
            status: SerialStatus::Wait,
            order: begin.order.id,
            number,
            account: begin.order.account,
            issuer: begin.issuer,
            profile: begin.order.profile.clone(),
            profile_hash: begin.profile_hash,
            ct: begin.ct,
            begun: begin.at,
            good: None,
            stored: None,
            not_after: begin.not_after,
            crl_generation: begin.crl_generation,
            spki_hash: begin.spki_hash,
            linting_certificate: begin.linting_certificate.to_vec(),
            certificate: None,
            attached: false,
            current: true,
            revocation: None,
            failure: None,
            restored: None,
        };
        let (order, names) = (begin.order.clone(), begin.names.clone());
        Self { order, record, names, caps: begin.caps }
    }

    /// What the signer reads, as if it had been written.
    async fn signing_record(&self, inner: &dyn Ledger) -> Stored<Option<SigningRecord>> {
        let Some(account) = inner.account(self.order.account).await? else { return Ok(None) };
        Ok(Some(SigningRecord {
            serial: self.record.clone(),
            order: self.order.clone(),
            account,
            authorizations: inner.authorizations(&self.order.authorization_ids()).await?,
            rechecks: inner.rechecks(self.order.id).await?,
            key_blocked: inner.is_blocked(self.record.spki_hash).await?,
            stops: Vec::new(),
        }))
    }

    async fn write(&self, inner: &dyn Ledger) -> Stored<Result<IssuanceNumber, BeginRefused>> {
        let record = &self.record;
        let begin = Begin {
            order: &self.order,
            serial: record.serial,
            issuer: record.issuer,
            profile_hash: record.profile_hash,
            ct: record.ct,
            linting_certificate: &record.linting_certificate,
            spki_hash: record.spki_hash,
            names: &self.names,
            not_after: record.not_after,
            crl_generation: record.crl_generation,
            at: record.begun,
            caps: self.caps,
        };
        inner.begin(begin).await
    }
}

async fn next_number(inner: &dyn Ledger, order: OrderId) -> Stored<IssuanceNumber> {
    let last = inner.order(order).await?.and_then(|known| known.last);
    Ok(IssuanceNumber(last.map_or(1, |IssuanceNumber(last)| last + 1)))
}

/// The record of step 5 is written with the first signature that it should precede.
#[derive(Debug, Default)]
pub(super) struct SignedBeforeStored(Kept<BTreeMap<Serial, Begun>>);

impl SignedBeforeStored {
    async fn catch_up(&self, inner: &dyn Ledger, serial: Serial) -> Stored<()> {
        if let Some(begun) = self.0.with(|held| held.remove(&serial)) {
            // What refuses it now should have refused it before.
            let _refused_too_late = begun.write(inner).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl LedgerLayer for SignedBeforeStored {
    async fn begin(&self, inner: &dyn Ledger, begin: Begin<'_>) -> Stored<Result<IssuanceNumber, BeginRefused>> {
        let number = next_number(inner, begin.order.id).await?;
        let begun = Begun::of(&begin, number);
        self.0.with(|held| held.insert(begin.serial, begun));
        Ok(Ok(number))
    }

    async fn signing_record(&self, inner: &dyn Ledger, serial: Serial) -> Stored<Option<SigningRecord>> {
        match self.0.with(|held| held.get(&serial).cloned()) {
            Some(begun) => begun.signing_record(inner).await,
            None => inner.signing_record(serial).await,
        }
    }

    async fn mark_good(&self, inner: &dyn Ledger, serial: Serial, at: Timestamp) -> Stored<Option<MarkedGood>> {
        self.catch_up(inner, serial).await?;
        inner.mark_good(serial, at).await
    }

    async fn store_final(
        &self,
        inner: &dyn Ledger,
        serial: Serial,
        certificate: &[u8],
        at: Timestamp,
    ) -> Stored<Option<StoredFinal>> {
        self.catch_up(inner, serial).await?;
        inner.store_final(serial, certificate, at).await
    }

    async fn audit_mark(&self, inner: &dyn Ledger, instance: InstanceId) -> Stored<Option<AuditMark>> {
        // A process begins: what the one before it held is gone.
        self.0.with(BTreeMap::clear);
        inner.audit_mark(instance).await
    }
}

/// A serial that was taken before is given once more.
#[cfg(planted)]
#[derive(Debug, Default)]
pub(super) struct SerialReused(Kept<BTreeMap<Serial, Begun>>);

#[cfg(planted)]
#[async_trait]
impl LedgerLayer for SerialReused {
    async fn begin(&self, inner: &dyn Ledger, begin: Begin<'_>) -> Stored<Result<IssuanceNumber, BeginRefused>> {
        let number = next_number(inner, begin.order.id).await?;
        let begun = Begun::of(&begin, number);
        match inner.begin(begin).await? {
            Err(BeginRefused::SerialTaken) => {
                self.0.with(|held| held.insert(begun.record.serial, begun));
                Ok(Ok(number))
            }
            answered => Ok(answered),
        }
    }

    async fn signing_record(&self, inner: &dyn Ledger, serial: Serial) -> Stored<Option<SigningRecord>> {
        match self.0.with(|held| held.get(&serial).cloned()) {
            Some(begun) => begun.signing_record(inner).await,
            None => inner.signing_record(serial).await,
        }
    }
}

/// A key's block is answered and not written.
#[derive(Debug)]
pub(super) struct BlockForgotten;

#[async_trait]
impl LedgerLayer for BlockForgotten {
    async fn block(&self, _inner: &dyn Ledger, _block: KeyBlock) -> Stored<Blocked> {
        Ok(Blocked::default())
    }
}

/// What is left of a blocked key is not found.
#[derive(Debug)]
pub(super) struct BlockNotFollowed;

#[async_trait]
impl LedgerLayer for BlockNotFollowed {
    async fn unrevoked_of_key(&self, _: &dyn Ledger, _: Sha256, _: Option<Serial>, _: u32) -> Stored<Vec<Serial>> {
        Ok(Vec::new())
    }
}

/// A stop of issuance is answered and not written.
#[derive(Debug)]
pub(super) struct StopForgotten;

#[async_trait]
impl LedgerLayer for StopForgotten {
    async fn stop(&self, _: &dyn Ledger, _: StopRecord) -> Stored<bool> {
        Ok(true)
    }
}

/// A revocation is answered and not written.
#[derive(Debug)]
pub(super) struct RevocationForgotten;

#[async_trait]
impl LedgerLayer for RevocationForgotten {
    async fn revoke(&self, inner: &dyn Ledger, revocation: Revocation) -> Stored<Revoked> {
        Ok(inner.serial(revocation.serial).await?.map_or(Revoked::UnknownSerial, |_| Revoked::Done))
    }
}

/// The last end of an order wins, not the first.
#[derive(Debug, Default)]
pub(super) struct DeathOverwrites(Kept<BTreeMap<OrderId, (Failure, Timestamp)>>);

#[async_trait]
impl LedgerLayer for DeathOverwrites {
    async fn finish(&self, inner: &dyn Ledger, order: &Order, failure: Failure, at: Timestamp) -> Stored<LedgerEnd> {
        let stands = inner.finish(order, failure.clone(), at).await?;
        if matches!(stands, LedgerEnd::Valid(_)) {
            self.0.with(|deaths| deaths.insert(order.id, (failure.clone(), at)));
        }
        Ok(LedgerEnd::Invalid(failure))
    }

    async fn order(&self, inner: &dyn Ledger, id: OrderId) -> Stored<Option<LedgerOrder>> {
        let death = self.0.with(|deaths| deaths.get(&id).cloned());
        let mut known = inner.order(id).await?;
        if let (Some(known), Some((failure, at))) = (&mut known, death) {
            known.end = Some((LedgerEnd::Invalid(failure), at));
        }
        Ok(known)
    }
}

/// A certificate is answered as stored, and isn't.
#[derive(Debug)]
pub(super) struct CertificateForgotten;

#[async_trait]
impl LedgerLayer for CertificateForgotten {
    async fn store_final(
        &self,
        inner: &dyn Ledger,
        serial: Serial,
        _certificate: &[u8],
        _at: Timestamp,
    ) -> Stored<Option<StoredFinal>> {
        Ok(inner.serial(serial).await?.map(|_| StoredFinal::OrderValid))
    }
}

/// The end of an authorization is answered as stored, and isn't.
#[derive(Debug)]
pub(super) struct AuthorizationForgotten;

#[async_trait]
impl LedgerLayer for AuthorizationForgotten {
    async fn authorize(&self, _inner: &dyn Ledger, ended: EndedAuthorization) -> Stored<EndedAuthorization> {
        Ok(ended)
    }
}

/// The list of what is revoked lacks its last entry.
#[derive(Debug)]
pub(super) struct CrlOmits;

#[async_trait]
impl LedgerLayer for CrlOmits {
    async fn revoked(
        &self,
        inner: &dyn Ledger,
        issuer: Sha256,
        shard: CrlShard,
        not_after_min: Timestamp,
        after: Option<Serial>,
        limit: u32,
    ) -> Stored<Vec<CrlEntry>> {
        let mut entries = inner.revoked(issuer, shard, not_after_min, after, limit).await?;
        entries.pop();
        Ok(entries)
    }
}

/// The list of what is revoked has what was never published.
#[derive(Debug)]
pub(super) struct CrlListsWait;

#[async_trait]
impl LedgerLayer for CrlListsWait {
    async fn revoked(
        &self,
        inner: &dyn Ledger,
        issuer: Sha256,
        shard: CrlShard,
        not_after_min: Timestamp,
        after: Option<Serial>,
        limit: u32,
    ) -> Stored<Vec<CrlEntry>> {
        let mut entries = inner.revoked(issuer, shard, not_after_min, after, limit).await?;
        if after.is_none() {
            let waiting = SerialFilter { status: Some(SerialStatus::Wait), ..SerialFilter::default() };
            let waiting = inner.serials(waiting, limit).await?.into_iter();
            let listed = waiting.filter(|one| shard.holds(one.crl_generation, one.serial));
            entries.extend(listed.map(|one| CrlEntry {
                serial: one.serial,
                revoked_at: one.begun.whole_second(),
                reason: Reason::Superseded,
            }));
            entries.sort_by_key(|entry| entry.serial);
        }
        Ok(entries)
    }
}

/// Whatever became of it, a write is taken for done.
#[derive(Debug)]
pub(super) struct TakenForDone;

#[async_trait]
impl LedgerLayer for TakenForDone {
    async fn mark_good(&self, inner: &dyn Ledger, serial: Serial, at: Timestamp) -> Stored<Option<MarkedGood>> {
        let marked = inner.mark_good(serial, at).await;
        Ok(marked.unwrap_or(Some(MarkedGood { status: SerialStatus::Good, current: true })))
    }

    async fn store_final(
        &self,
        inner: &dyn Ledger,
        serial: Serial,
        certificate: &[u8],
        at: Timestamp,
    ) -> Stored<Option<StoredFinal>> {
        Ok(inner.store_final(serial, certificate, at).await.unwrap_or(Some(StoredFinal::OrderValid)))
    }
}
