//! Stops of issuance.

use ca::order::Order;
use ca::ports::StopRecord;
use pki::Timestamp;

use super::records::Records;

impl Records {
    /// Whether the number is this stop's, and whether it was added.
    pub(super) fn stop(&mut self, stop: StopRecord) -> (bool, bool) {
        match self.stops.get(&stop.number) {
            Some(standing) => (standing.scope == stop.scope && standing.since == stop.since, false),
            None => {
                self.stops.insert(stop.number, stop);
                (true, true)
            }
        }
    }

    /// The stop as it then is, and whether it stood until now.
    pub(super) fn resume(&mut self, number: u64, at: Timestamp) -> Option<(StopRecord, bool)> {
        let stop = self.stops.get_mut(&number)?;
        let stood = stop.ended.is_none();
        stop.ended.get_or_insert(at.max(stop.since));
        Some((stop.clone(), stood))
    }

    pub(super) fn stops(&self, open: bool) -> impl Iterator<Item = &StopRecord> {
        self.stops.values().rev().filter(move |stop| !open || stop.ended.is_none())
    }

    /// All that stand and are for this order.
    pub(super) fn stops_of(&self, order: &Order) -> Vec<StopRecord> {
        self.stops(true).filter(|stop| stop.scope.covers(order)).cloned().collect()
    }
}
