//! CRLs: their entries are read from the ledger twice, as the list that is to be signed and as the revocations that it
//! has to be a list of, both by pages.

use std::time::Duration;

use ca::crl::{CrlOutlined, CrlParts, Revocations};
use ca::ports::{CrlPart, CrlShard, SignError, Signed};
use ca::signing;
use pki::{Crl, CrlDraft, CrlEntry, EntryReader, Reason, Serial, Sha256, Timestamp};

use super::{FileSigner, IssuerKey, unread};

/// A revocation that is younger than this when its CRL is made may come too late for it: it was written while the
/// entries were gathered, and is in the next one.
const GATHERING: Duration = Duration::from_secs(300);

/// A certificate that ended so long before the CRL or its predecessor may still be listed: no CRL is valid for longer.
const STAYS: Duration = Duration::from_secs(10 * 86_400);

impl FileSigner {
    pub(super) async fn sign_crl(&self, place: CrlPart, draft: &CrlDraft) -> Result<Signed, SignError> {
        let CrlPart { issuer, shard, number, .. } = place;
        let key = self.issuer(issuer)?;
        self.check_clock().await?;
        let of = self.crls.shard(shard).ok_or_else(|| {
            SignError::Refused(format!("there is no shard {shard} in any generation of CRL shards of this CA"))
        })?;
        let crl = self.read_crl(key, place, draft)?;
        let state = self.ledger.crl_state(issuer, of).await.map_err(unread)?;
        signing::check_crl(&state, number)
            .and_then(|()| signing::check_crl_times(&state, &crl, self.clock.now()))
            .map_err(|refused| SignError::Refused(refused.to_string()))?;
        let last_update = state.last.map_or(crl.this_update(), |last| last.this_update.min(crl.this_update()));
        let mut entries = Entries {
            this_update: crl.this_update(),
            last: None,
            recorded: self.revocations(issuer, of, last_update.minus(STAYS)),
            required: self.revocations(issuer, of, crl.this_update()),
        };
        let message = self.read_entries(key, place, draft, &mut entries).await;
        // Entries take time to compare. A number that was passed over meanwhile is not refused, or processes that make
        // large CRLs side by side would get nowhere; one that relying parties have outgrown is.
        let state = self.ledger.crl_state(issuer, of).await.map_err(unread)?;
        signing::check_crl_grows(&state, number).map_err(|refused| SignError::Refused(refused.to_string()))?;
        let signature = key.pair.sign_message(message?);
        let signature =
            signature.map_err(|error| SignError::NotSigned(format!("issuer {}: {error}", key.issuer.id)))?;
        Ok(Signed { der: signature, serial: None })
    }

    /// Reads what stands around the entries, by way of a signature that is none.
    fn read_crl(&self, key: &IssuerKey, place: CrlPart, draft: &CrlDraft) -> Result<Crl, SignError> {
        let CrlPart { issuer, shard, number, .. } = place;
        let refused = |why: String| Err(SignError::Refused(why));
        let crl = draft.outline().read().map_err(|error| SignError::Refused(error.to_string()))?;
        if crl.issuer() != key.issuer.certificate.subject() {
            return refused("the CRL names another issuer".to_owned());
        }
        if crl.signature_algorithm() != key.issuer.signature_algorithm {
            return refused("the CRL names another signature algorithm".to_owned());
        }
        let ahead = crl.this_update().since(self.clock.now());
        if ahead > GATHERING {
            return refused(format!("the CRL is made {} seconds in the future", ahead.as_secs()));
        }
        if crl.number() != number {
            return refused(format!("the CRL's number is {}, not {number}", crl.number()));
        }
        let url = self.crls.url(&issuer, shard);
        if url.is_none() || crl.distribution_point() != url.as_deref() {
            let (found, url) = (crl.distribution_point().unwrap_or("of no shard"), url.unwrap_or_default());
            return refused(format!("the CRL says that it is {found}; shard {shard} is {url}"));
        }
        // Whatever else stands there, stands there as it has to: nothing is signed but what was checked.
        let (this_update, next_update) = (crl.this_update(), crl.next_update());
        let (entries, entry_octets) = draft.outline().entries();
        let outlined = CrlOutlined { shard, number, this_update, next_update, entries, entry_octets };
        if self.crls.outline(&key.issuer, &outlined).as_ref() != Some(draft.outline()) {
            return refused(
                "around its entries the CRL has other octets than a CRL of its issuer and shard".to_owned(),
            );
        }
        Ok(crl)
    }

    /// What is to be signed, as it was linted, and each of its entries as the ledger has it.
    async fn read_entries(
        &self,
        key: &IssuerKey,
        place: CrlPart,
        draft: &CrlDraft,
        entries: &mut Entries<'_>,
    ) -> Result<crate::key_pair::Message, SignError> {
        let (outline, (count, octets)) = (draft.outline(), draft.outline().entries());
        let mut message = key.pair.message(key.issuer.signature_algorithm).map_err(not_signed)?;
        let mut linted = Sha256::pieces();
        message.add(outline.head());
        linted.add(outline.head());
        let (mut parts, mut reader, mut read) =
            (CrlParts::of_draft(&*self.ledger, place, octets), EntryReader::default(), 0);
        while let Some(part) = parts.next().await.map_err(unread)? {
            message.add(&part);
            linted.add(&part);
            let whole = reader.push(&part).map_err(|error| SignError::Refused(error.to_string()))?;
            read += whole.entries.len() as u64;
            for entry in &whole.entries {
                entries.check(entry).await?;
            }
        }
        entries.check_rest().await?;
        message.add(outline.tail());
        linted.add(outline.tail());
        if !reader.is_between_entries() || read != count || linted.finish() != draft.sha256() {
            return Err(SignError::Refused(
                "the CRL's entries in the ledger are not those that were linted".to_owned(),
            ));
        }
        Ok(message)
    }

    fn revocations(&self, issuer: Sha256, shard: CrlShard, not_after_min: Timestamp) -> Revocations<'_> {
        Revocations::new(&*self.ledger, issuer, shard, not_after_min)
    }
}

/// The entries that a CRL has, and those that it should have: none that isn't in the ledger, and none left out whose
/// certificate is still valid.
struct Entries<'a> {
    this_update: Timestamp,
    last: Option<Serial>,
    recorded: Revocations<'a>,
    required: Revocations<'a>,
}

impl Entries<'_> {
    async fn check(&mut self, entry: &CrlEntry) -> Result<(), SignError> {
        let serial = entry.serial;
        if self.last.is_some_and(|last| last >= serial) {
            return Err(SignError::Refused("the CRL lists a serial twice, or out of their order".to_owned()));
        }
        self.last = Some(serial);
        while self.recorded.peek().await.map_err(unread)?.is_some_and(|recorded| recorded.serial < serial) {
            self.recorded.pop();
        }
        let recorded = self.recorded.peek().await.map_err(unread)?.filter(|recorded| recorded.serial == serial);
        if !recorded.is_some_and(|recorded| says_the_same(entry, &recorded.shown_at(self.this_update))) {
            return Err(SignError::Refused(format!("the CRL's entry for serial {serial} is not the ledger's")));
        }
        while let Some(required) =
            self.required.peek().await.map_err(unread)?.filter(|required| required.serial <= serial)
        {
            self.required.pop();
            if required.serial < serial {
                self.check_left_out(&required)?;
            }
        }
        Ok(())
    }

    async fn check_rest(&mut self) -> Result<(), SignError> {
        while let Some(required) = self.required.peek().await.map_err(unread)? {
            self.required.pop();
            self.check_left_out(&required)?;
        }
        Ok(())
    }

    fn check_left_out(&self, recorded: &CrlEntry) -> Result<(), SignError> {
        if recorded.revoked_at <= self.this_update.minus(GATHERING) {
            return Err(SignError::Refused(format!("serial {} is revoked, and not in the CRL", recorded.serial)));
        }
        Ok(())
    }
}

/// A CRL counts in seconds. The reason may have been raised to keyCompromise while the CRL was made.
fn says_the_same(entry: &CrlEntry, recorded: &CrlEntry) -> bool {
    entry.revoked_at.seconds() == recorded.revoked_at.seconds()
        && (entry.reason == recorded.reason || recorded.reason == Reason::KeyCompromise)
}

fn not_signed(error: crate::KeyPairError) -> SignError {
    SignError::NotSigned(error.to_string())
}
