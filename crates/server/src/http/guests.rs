//! Who is connected: so many of one network and so many in all. Whoever only waits makes room for those who come.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ca::ports::Clock;
use tokio::sync::Notify;

/// Where a peer comes from, as far as it can't choose freely: of IPv6 the first 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network(IpAddr);

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IpAddr::V4(address)),
            IpAddr::V6(address) => Self(IpAddr::V6((u128::from(address) >> 64 << 64).into())),
        }
    }
}

/// The connections of a listener.
#[derive(Debug)]
pub(super) struct Guests {
    clock: Arc<dyn Clock>,
    connections_max: usize,
    per_network_max: usize,
    present: Mutex<HashMap<Network, Vec<Arc<Guest>>>>,
    /// Somebody left, or waits where work was done for him.
    changed: Notify,
}

/// Why nobody else can be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// Work is being done on every connection of this network: the newcomer is turned away.
    Network,
    /// Work is being done on every connection there is: room comes as soon as one ends.
    Anywhere,
}

impl Guests {
    pub(super) fn new(clock: Arc<dyn Clock>, connections_max: usize, per_network_max: usize) -> Self {
        let (present, changed) = (Mutex::default(), Notify::new());
        Self { clock, connections_max, per_network_max, present, changed }
    }

    /// Lets a newcomer in. If there is no room for him, the one of his network who has waited longest has to leave; if
    /// there is room for nobody, the one who has waited longest of the network with the most connections. Nobody is
    /// asked to leave while the server does something for him.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Pass, NoRoom> {
        let network = Network::of(peer);
        let mut present = self.lock();
        if present.get(&network).is_some_and(|its| its.len() >= self.per_network_max) {
            self.make_room(&mut present, Some(network)).ok_or(NoRoom::Network)?;
        } else if present.values().map(Vec::len).sum::<usize>() >= self.connections_max {
            self.make_room(&mut present, None).ok_or(NoRoom::Anywhere)?;
        }
        let state =
            Mutex::new(State { since: self.clock.monotonic(), open: 0, receiving: 0, polling: 0, answering: 0 });
        let guest = Arc::new(Guest { network, state, leave: Notify::new(), guests: Arc::clone(self) });
        present.entry(network).or_default().push(Arc::clone(&guest));
        Ok(Pass(guest))
    }

    /// Asks the one who has waited longest to leave, as when there is no room.
    pub(super) fn ask_one_to_leave(&self) {
        let _nobody_waits = self.make_room(&mut self.lock(), None);
    }

    /// Ends when there is room again, perhaps: somebody left or waits since this was called.
    pub(super) fn changed(&self) -> impl Future<Output = ()> {
        self.changed.notified()
    }

    /// Ends when nobody is there.
    pub(super) async fn all_gone(&self) {
        loop {
            let changed = self.changed();
            if self.lock().is_empty() {
                return;
            }
            changed.await;
        }
    }

    fn make_room(&self, present: &mut HashMap<Network, Vec<Arc<Guest>>>, of: Option<Network>) -> Option<()> {
        let now = self.clock.monotonic();
        let theirs = present.iter().filter(|(network, _)| of.is_none_or(|wanted| wanted == **network));
        let longest = theirs.filter_map(|(_, guests)| {
            let waiting = guests.iter().filter_map(|guest| Some((guest.waits_since()?, guest)));
            let (since, guest) = waiting.min_by_key(|(since, _)| *since)?;
            Some((guests.len(), now.saturating_sub(since), guest))
        });
        let guest = Arc::clone(longest.max_by_key(|(connections, waited, _)| (*connections, *waited))?.2);
        remove(present, &guest);
        guest.leave.notify_one();
        Some(())
    }

    // What is done under the lock leaves a sound state at each point where it could panic.
    fn lock(&self) -> MutexGuard<'_, HashMap<Network, Vec<Arc<Guest>>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(present: &mut HashMap<Network, Vec<Arc<Guest>>>, guest: &Arc<Guest>) {
    let Some(its) = present.get_mut(&guest.network) else { return };
    its.retain(|one| !Arc::ptr_eq(one, guest));
    if its.is_empty() {
        present.remove(&guest.network);
    }
}

/// A connection. It is counted until this is dropped, or until it is asked to leave.
#[derive(Debug)]
pub(super) struct Pass(Arc<Guest>);

impl Pass {
    pub(super) const fn guest(&self) -> &Arc<Guest> {
        &self.0
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        remove(&mut self.0.guests.lock(), &self.0);
        self.0.guests.changed.notify_waiters();
    }
}

/// What a connection does.
#[derive(Debug)]
pub(in crate::http) struct Guest {
    network: Network,
    state: Mutex<State>,
    leave: Notify,
    guests: Arc<Guests>,
}

#[derive(Debug)]
struct State {
    /// When something happened last.
    since: Duration,
    /// Requests whose heads are there and whose answers are not yet handed over.
    open: u32,
    /// Those of them whose bodies are not there yet.
    receiving: u32,
    /// Those of them that wait for something to change.
    polling: u32,
    /// Those of them that are answered, though not to the end.
    answering: u32,
}

impl State {
    /// The server does nothing for this peer: he has to send or take something, or has asked to be told of a change.
    const fn waits(&self) -> bool {
        self.open <= self.receiving + self.polling + self.answering
    }
}

/// A part of a request's life that lasts as long as this value.
#[derive(Debug)]
pub(in crate::http) struct During(Arc<Guest>, Part);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Part {
    /// All of it.
    Open,
    /// Its body comes in.
    Receiving,
    /// It waits for something to change: a client who is cut off then asks again.
    Polling,
    /// Its answer goes out.
    Answering,
}

impl Guest {
    /// Marks the begin of a part of a request's life.
    pub(in crate::http) fn during(self: &Arc<Self>, part: Part) -> During {
        self.change(|state| *state.count(part) += 1);
        During(Arc::clone(self), part)
    }

    /// Something happened that only a peer in earnest brings about.
    pub(super) fn progress(&self) {
        self.lock().since = self.guests.clock.monotonic();
    }

    /// Ends when this connection has to make room for another.
    pub(super) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// Ends when nothing has happened for so long.
    pub(super) async fn idle(&self, limit: Duration) {
        let clock = &self.guests.clock;
        loop {
            let quiet = self.waits_since().map_or(Duration::ZERO, |since| clock.monotonic().saturating_sub(since));
            if quiet >= limit {
                return;
            }
            clock.sleep(limit - quiet).await;
        }
    }

    fn waits_since(&self) -> Option<Duration> {
        let state = self.lock();
        state.waits().then_some(state.since)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waits = {
            let mut state = self.lock();
            state.since = self.guests.clock.monotonic();
            change(&mut state);
            state.waits()
        };
        if waits {
            self.guests.changed.notify_waiters();
        }
    }

    // Counters are sound at each point where what is done under the lock could panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn count(&mut self, part: Part) -> &mut u32 {
        match part {
            Part::Open => &mut self.open,
            Part::Receiving => &mut self.receiving,
            Part::Polling => &mut self.polling,
            Part::Answering => &mut self.answering,
        }
    }
}

impl During {
    /// The connection.
    pub(super) const fn guest(&self) -> &Arc<Guest> {
        &self.0
    }
}

impl Drop for During {
    fn drop(&mut self) {
        let part = self.1;
        self.0.change(|state| *state.count(part) = state.count(part).saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::SystemClock;

    fn guests(connections_max: usize, per_network_max: usize) -> Arc<Guests> {
        Arc::new(Guests::new(Arc::new(SystemClock::new()), connections_max, per_network_max))
    }

    fn admit(guests: &Arc<Guests>, peer: &str) -> Result<Pass, NoRoom> {
        guests.admit(peer.parse().expect("an address"))
    }

    fn left(pass: &Pass) -> bool {
        use futures_util::FutureExt;
        pass.guest().asked_to_leave().now_or_never().is_some()
    }

    #[test]
    fn who_has_waited_longest_leaves() {
        let guests = guests(2, 2);
        let (first, second) = (admit(&guests, "192.0.2.1").unwrap(), admit(&guests, "192.0.2.2").unwrap());
        first.guest().progress();
        let third = admit(&guests, "192.0.2.3").unwrap();
        assert_eq!([left(&first), left(&second), left(&third)], [false, true, false]);
    }

    #[test]
    fn nobody_leaves_while_something_is_done_for_him() {
        let guests = guests(2, 1);
        let (first, second) = (admit(&guests, "192.0.2.1").unwrap(), admit(&guests, "192.0.2.2").unwrap());
        let work = [first.guest().during(Part::Open), second.guest().during(Part::Open)];
        assert_eq!(admit(&guests, "192.0.2.1").unwrap_err(), NoRoom::Network);
        assert_eq!(admit(&guests, "192.0.2.3").unwrap_err(), NoRoom::Anywhere);
        // A body that is not there yet, or an answer that is not taken, is nothing that the server does.
        let receiving = first.guest().during(Part::Receiving);
        let third = admit(&guests, "192.0.2.3").unwrap();
        assert_eq!([left(&first), left(&second), left(&third)], [true, false, false]);
        drop((receiving, work));
        let fourth = admit(&guests, "192.0.2.4").unwrap();
        assert_eq!([left(&second), left(&third), left(&fourth)], [false, true, false]);
        let _work = fourth.guest().during(Part::Open);
        assert!(!fourth.guest().lock().waits());
        // Nor is waiting for a change, however long it is asked for.
        let _polling = fourth.guest().during(Part::Polling);
        assert!(fourth.guest().lock().waits());
    }

    #[test]
    fn the_addresses_of_a_site_count_as_one() {
        let guests = guests(9, 1);
        let first = admit(&guests, "2001:db8:0:1::1").unwrap();
        let _work = first.guest().during(Part::Open);
        assert_eq!(admit(&guests, "2001:db8:0:1:ffff::2").unwrap_err(), NoRoom::Network);
        assert!(admit(&guests, "2001:db8:0:2::1").is_ok());
        let mapped = admit(&guests, "::ffff:192.0.2.1").unwrap();
        let _work = mapped.guest().during(Part::Open);
        assert_eq!(admit(&guests, "192.0.2.1").unwrap_err(), NoRoom::Network);
    }

    #[tokio::test]
    async fn all_are_gone_when_the_last_has_left() {
        let guests = guests(1, 1);
        guests.all_gone().await;
        let pass = admit(&guests, "192.0.2.1").unwrap();
        let (gone, ()) = tokio::join!(guests.all_gone(), async { drop(pass) });
        gone
    }
}
