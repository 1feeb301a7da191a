//! Stops of issuance.

use ca::order::Order;
use ca::ports::StopRecord;
use pki::Timestamp;

use super::records::Records;

impl Records {
    /// Whether the ledger has this stop now, under this number or another one, and whether it was added.
    pub(super) fn stop(&mut self, stop: StopRecord) -> (bool, bool) {
        if self.stops.values().any(|known| known.is(&stop)) {
            return (true, false);
        }
        let is_free = !self.stops.contains_key(&stop.number);
        if is_free {
            self.stops.insert(stop.number, stop);
        }
        (is_free, is_free)
    }

    /// As `stop`, under the next number if this one is another stop's. Whether it was new.
    pub(super) fn restore_stop(&mut self, stop: StopRecord) -> bool {
        let (is_there, is_new) = self.stop(stop.clone());
        if is_there {
            return is_new;
        }
        let last = self.stops.last_key_value().map_or(0, |(last, _)| *last);
        self.stop(StopRecord { number: last + 1, ..stop }).1
    }

    /// Those with this number, or that began at this time.
    pub(super) fn stops_at(&self, number: u64, since: Option<Timestamp>) -> Vec<StopRecord> {
        let found = self.stops.values().filter(|stop| stop.number == number || Some(stop.since) == since);
        found.cloned().collect()
    }

    /// Whether the stop that is meant stood until now.
    pub(super) fn restore_end(&mut self, number: u64, since: Option<Timestamp>, at: Timestamp) -> bool {
        let known = self.stops_at(number, since);
        let meant = StopRecord::meant_by(&known, number, since).map(|stop| stop.number);
        meant.and_then(|number| self.resume(number, at)).is_some_and(|(_, stood)| stood)
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
