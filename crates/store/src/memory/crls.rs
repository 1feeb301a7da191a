//! CRLs, and the revocations that they list.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};

use ca::ports::{CrlLeftover, CrlPart, CrlRecord, CrlShard, CrlState, Recorded};
use pki::{CrlEntry, Serial, Sha256, Timestamp};

use super::records::Records;

impl Records {
    pub(super) fn crl_state(&self, issuer: Sha256, of: CrlShard) -> CrlState {
        let shard = of.number;
        CrlState {
            allocated: self.crl_numbers.get(&(issuer, shard)).copied().unwrap_or(0),
            last: self.crls.get(&(issuer, shard)).cloned(),
            last_revocation: self.last_revocation(issuer, of),
        }
    }

    pub(super) fn allocate_crl_number(
        &mut self,
        (issuer, shard, number): (Sha256, u16, u64),
        this_update: Timestamp,
    ) -> bool {
        let last = self.crl_numbers.entry((issuer, shard)).or_default();
        let above = number > *last;
        *last = number.max(*last);
        if above {
            self.dated(this_update, Recorded::Crl { shard, number });
        }
        above
    }

    pub(super) fn crl_part(&self, part: CrlPart, octets: &Range<u64>) -> Option<Vec<u8>> {
        let number = |octets: u64| usize::try_from(octets).unwrap_or(usize::MAX);
        let (from, length) = (number(octets.start), number(octets.end.saturating_sub(octets.start)));
        self.crl_parts.get(&part).map(|part| part.iter().copied().skip(from).take(length).collect())
    }

    pub(super) fn put_crl_part(&mut self, part: CrlPart, octets: Vec<u8>) -> bool {
        let last = self.crls.get(&(part.issuer, part.shard));
        let above = last.is_none_or(|last| part.number > last.number);
        if above {
            self.crl_parts.insert(part, octets);
        }
        above
    }

    pub(super) fn store_crl(&mut self, crl: CrlRecord, now: Timestamp) -> bool {
        let place = (crl.issuer, crl.shard);
        let last = self.crls.get(&place).map_or(0, |last| last.number);
        let above = crl.number > last;
        if above {
            self.replaced_crls.insert((crl.issuer, crl.shard, last), now);
            self.dated(crl.this_update, Recorded::Crl { shard: crl.shard, number: crl.number });
            self.crls.insert(place, crl);
        }
        above
    }

    fn parts_of(&self, issuer: Sha256, shard: u16, numbers: RangeInclusive<u64>) -> impl Iterator<Item = CrlPart> {
        let from = CrlPart { issuer, shard, number: *numbers.start(), part: 0 };
        let to = CrlPart { number: *numbers.end(), part: u64::MAX, ..from };
        self.crl_parts.range(from..=to).map(|(part, _)| *part)
    }

    pub(super) fn crl_leftovers(&self, issuer: Sha256, shard: u16, limit: u32) -> Vec<CrlLeftover> {
        let last = self.crls.get(&(issuer, shard)).map(|last| last.number);
        let numbers: BTreeSet<u64> = self.parts_of(issuer, shard, 0..=u64::MAX).map(|part| part.number).collect();
        let left = numbers.into_iter().filter(|number| Some(*number) != last).take(limit as usize);
        let replaced = |number| self.replaced_crls.get(&(issuer, shard, number)).copied();
        left.map(|number| CrlLeftover { number, replaced: replaced(number) }).collect()
    }

    pub(super) fn drop_crl_parts(&mut self, issuer: Sha256, shard: u16, number: u64, limit: u32) -> u32 {
        if self.crls.get(&(issuer, shard)).is_some_and(|last| last.number == number) {
            return 0;
        }
        let parts: Vec<CrlPart> = self.parts_of(issuer, shard, number..=number).take(limit as usize).collect();
        for part in &parts {
            self.crl_parts.remove(part);
        }
        u32::try_from(parts.len()).unwrap_or(limit)
    }

    pub(super) fn revoked(
        &self,
        issuer: Sha256,
        shard: CrlShard,
        not_after_min: Timestamp,
        after: Option<Serial>,
    ) -> impl Iterator<Item = CrlEntry> {
        let behind = self.serials.iter().filter(move |(serial, _)| after.is_none_or(|after| **serial > after));
        let of_shard = behind
            .map(|(_, issued)| &issued.record)
            .filter(move |record| record.issuer == issuer && shard.holds(record.crl_generation, record.serial))
            .filter(move |record| record.not_after >= not_after_min);
        of_shard.filter_map(|record| {
            let revocation = record.revocation.as_ref()?;
            Some(CrlEntry { serial: record.serial, revoked_at: revocation.revoked, reason: revocation.reason })
        })
    }
}
