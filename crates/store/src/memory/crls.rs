//! CRLs, and the revocations that they list.

use ca::ports::{CrlPart, CrlRecord, Recorded};
use pki::{CrlEntry, Serial, Sha256, Timestamp};

use super::records::Records;

impl Records {
    pub(super) fn put_crl_part(&mut self, part: CrlPart, octets: Vec<u8>) -> bool {
        let last = self.crls.get(&(part.issuer, part.shard));
        let above = last.is_none_or(|last| part.number > last.number);
        if above {
            self.crl_parts.insert(part, octets);
        }
        above
    }

    pub(super) fn store_crl(&mut self, crl: CrlRecord) -> bool {
        let place = (crl.issuer, crl.shard);
        let last = self.crls.get(&place).map_or(0, |last| last.number);
        let above = crl.number > last;
        if above {
            // Somebody may be reading the one before.
            self.crl_parts.retain(|part, _| (part.issuer, part.shard) != place || part.number >= last);
            self.dated(crl.this_update, Recorded::Crl { shard: crl.shard, number: crl.number });
            self.crls.insert(place, crl);
        }
        above
    }

    pub(super) fn revoked(
        &self,
        issuer: Sha256,
        (shard, shards): (u16, u16),
        not_after_min: Timestamp,
        after: Option<Serial>,
    ) -> impl Iterator<Item = CrlEntry> {
        let behind = self.serials.iter().filter(move |(serial, _)| after.is_none_or(|after| **serial > after));
        let of_shard = behind
            .map(|(_, issued)| &issued.record)
            .filter(move |record| record.issuer == issuer && record.serial.shard(shards) == shard)
            .filter(move |record| record.not_after >= not_after_min);
        of_shard.filter_map(|record| {
            let revocation = record.revocation.as_ref()?;
            Some(CrlEntry { serial: record.serial, revoked_at: revocation.revoked, reason: revocation.reason })
        })
    }
}
