//! Generations of CRL shards.

use ca::ports::{CrlGeneration, CrlGenerationId, CrlGenerationRecord};
use pki::Timestamp;

use super::records::Records;

impl Records {
    pub(super) fn add_crl_generation(&mut self, generation: CrlGeneration) -> CrlGeneration {
        let id = generation.id;
        let of_it = self.serials.values().map(|issued| &issued.record).filter(|record| record.crl_generation == id);
        let last_not_after = of_it.map(|record| record.not_after).max();
        let added = CrlGenerationRecord { generation, last_not_after, ended: None };
        self.crl_generations.entry(id).or_insert(added).generation.clone()
    }

    pub(super) fn end_crl_generation(
        &mut self,
        id: CrlGenerationId,
        last_not_after: Option<Timestamp>,
        at: Timestamp,
    ) -> bool {
        let known = self.crl_generations.get_mut(&id);
        let known = known.filter(|known| known.ended.is_none() && known.last_not_after == last_not_after);
        known.map(|known| known.ended = Some(at)).is_some()
    }

    /// A certificate of this generation ends then.
    pub(super) fn lasts_until(&mut self, id: CrlGenerationId, not_after: Timestamp) {
        let known = self.crl_generations.get_mut(&id);
        if let Some(known) = known.filter(|known| known.last_not_after.is_none_or(|last| last < not_after)) {
            known.last_not_after = Some(not_after);
            known.ended = None;
        }
    }
}
