//! What operators were told counts: a stop that stands, a key that is blocked.

use std::collections::BTreeSet;
use std::time::Duration;

use acme::Identifier;
use ca::Resumed;
use ca::order::Order;
use ca::ports::{Ledger, SerialRecord, SerialStatus, StopRecord, StopScope};
use pki::Sha256;

use super::{Auditor, now};

const ALL: u32 = 10_000;

/// A stop of which its operator was told.
#[derive(Clone, Debug)]
pub(super) struct StopTold {
    scope: StopScope,
    /// When, as facts are counted.
    at: u64,
    /// When somebody asked for its end.
    end_asked: Option<u64>,
    ended: bool,
}

impl Auditor {
    /// An operator is about to stop issuance.
    pub(crate) fn asks_to_stop(&self, scope: &StopScope) {
        self.story.tell(|| format!("an operator stops issuance for {scope}"));
        self.tally.trouble_for(Duration::ZERO);
    }

    /// An operator was told that this stop stands.
    pub(crate) fn told_stopped(&self, stop: &StopRecord) {
        self.story.tell(|| format!("an operator is told that {stop}"));
        let mut facts = self.facts();
        facts.clock += 1;
        let at = facts.clock;
        // Somebody may be ending it already, or have ended it, before the one who stopped it has his answer.
        let is_ending = facts.ends_asked.iter().any(|which| means(which, stop.number, &stop.scope));
        let told = StopTold { scope: stop.scope.clone(), at, end_asked: is_ending.then_some(at), ended: false };
        facts.stops.entry(stop.number).or_insert(told);
        drop(facts);
        self.stops_stand();
    }

    /// An operator is about to end stops.
    pub(crate) fn asks_to_resume(&self, which: &Resumed) {
        let mut facts = self.facts();
        facts.clock += 1;
        let at = facts.clock;
        facts.ends_asked.push(which.clone());
        for (number, told) in &mut facts.stops {
            if means(which, *number, &told.scope) {
                told.end_asked.get_or_insert(at);
            }
        }
    }

    /// He has his answer: these have ended.
    pub(crate) fn told_resumed(&self, which: &Resumed, ended: &[StopRecord]) {
        let mut facts = self.facts();
        facts.clock += 1;
        let at = facts.clock;
        if let Some(asked) = facts.ends_asked.iter().position(|one| one == which) {
            facts.ends_asked.swap_remove(asked);
        }
        for stop in ended {
            self.story.tell(|| format!("an operator is told that stop {} has ended", stop.number));
            // The one who stopped it may not have his answer yet: it has ended for him, too.
            let told = StopTold { scope: stop.scope.clone(), at, end_asked: Some(at), ended: true };
            let told = facts.stops.entry(stop.number).or_insert(told);
            told.ended = true;
            told.end_asked.get_or_insert(at);
        }
        drop(facts);
        if !ended.is_empty() {
            self.tally.trouble_for(Duration::ZERO);
            self.stops_stand();
        }
    }

    /// Whether somebody was told of this stop and has not asked for its end.
    pub(crate) fn is_to_stand(&self, stop: &StopRecord) -> bool {
        self.facts().stops.get(&stop.number).is_some_and(|told| told.end_asked.is_none())
    }

    /// 9: stops are as their operators were told.
    pub(super) fn stops_stand(&self) {
        let told: Vec<(u64, StopTold)> =
            self.facts().stops.iter().map(|(number, told)| (*number, told.clone())).collect();
        for (number, told) in told {
            let known = now(self.ledger.stops_of(number, None)).ok().and_then(|found| found.into_iter().next());
            let stands = known.as_ref().is_some_and(|known| known.scope == told.scope && known.ended.is_none());
            if told.end_asked.is_none() || told.ended {
                self.holds(9, stands != told.ended, || format!("stop {number} is {known:?}, and was told: {told:?}"));
            }
        }
    }

    /// 0: nothing begins while a stop stands. Of an issuance that has begun, the signer compares what it reads.
    pub(super) fn nothing_stops(&self, order: &Order, read: Option<u64>, what: &str) {
        let facts = self.facts();
        let standing = facts.stops.iter().find(|(_, told)| {
            let before = read.is_none_or(|read| told.at < read);
            let stood = told.end_asked.is_none_or(|end| read.is_some_and(|read| read < end));
            before && stood && covers(&told.scope, order)
        });
        let number = standing.map(|(number, _)| *number);
        drop(facts);
        self.holds(0, number.is_none(), || format!("{what} of order {}, which stop {number:?} covers", order.id));
    }

    /// The ledger has taken a stop: from now on orders may end by it.
    pub(super) fn stop_began(&self, stop: &StopRecord) {
        let at = self.executor.now();
        let known = now(self.ledger.stops_of(stop.number, Some(stop.since))).unwrap_or_default();
        // One that was there stays as it was, under the number that it had.
        if let Some(known) = known.into_iter().find(|known| known.is(stop)) {
            self.facts().stops_stood.entry(known.number).or_insert((known.scope, at, None));
        }
    }

    /// And its end.
    pub(super) fn stop_ended(&self, number: u64) {
        let at = self.executor.now();
        if let Some((_, _, end)) = self.facts().stops_stood.get_mut(&number) {
            end.get_or_insert(at);
        }
    }

    /// From when to when stops stood in the ledger that cover this order.
    pub(super) fn stops_of(&self, order: &Order) -> Vec<(Duration, Duration)> {
        self.stood(|scope| covers(scope, order))
    }

    /// The same of stops of the very account that this order is of.
    pub(super) fn stops_of_its_account(&self, order: &Order) -> Vec<(Duration, Duration)> {
        self.stood(|scope| *scope == StopScope::Account(order.account))
    }

    fn stood(&self, which: impl Fn(&StopScope) -> bool) -> Vec<(Duration, Duration)> {
        let at = self.executor.now();
        let facts = self.facts();
        let meant = facts.stops_stood.values().filter(|(scope, ..)| which(scope));
        meant.map(|(_, began, ended)| (*began, ended.unwrap_or(at))).collect()
    }

    /// The numbers of stops that have ended by now.
    pub(crate) fn ended_stops(&self) -> BTreeSet<u64> {
        let known = now(self.ledger.stops(false, ca::STOPS_MAX)).unwrap_or_default();
        known.into_iter().filter(|stop| stop.ended.is_some()).map(|stop| stop.number).collect()
    }

    /// Whether a stop stood for this name, at whatever time since these had ended.
    pub(crate) fn name_was_stopped(&self, name: &str, ended: &BTreeSet<u64>) -> bool {
        let known = now(self.ledger.stops(false, ca::STOPS_MAX)).unwrap_or_default();
        let mut meanwhile = known.iter().filter(|stop| !ended.contains(&stop.number));
        meanwhile.any(|stop| matches!(&stop.scope, StopScope::Name(stopped) if is_below(name, stopped.as_str())))
    }

    /// An operator was told that a key is blocked.
    pub(crate) fn told_blocked(&self, key: Sha256) {
        self.facts().told_blocked.insert(key);
        self.blocks_stand();
    }

    /// Whether a key was blocked, by whomever.
    pub(crate) fn is_blocked(&self, key: Sha256) -> bool {
        self.facts().blocked.contains_key(&key)
    }

    /// 9, 12: keys are blocked for ever.
    pub(super) fn blocks_stand(&self) {
        let told = self.facts().told_blocked.clone();
        for key in told {
            let blocked = now(self.ledger.is_blocked(key)) == Ok(true);
            self.holds(9, blocked, || format!("{key} was told to be blocked, and is not"));
        }
    }

    /// 12: at rest nothing is left of a blocked key.
    pub(super) fn nothing_left_of_blocked(&self, records: &[SerialRecord]) {
        let keys = now(self.ledger.blocked_keys(None, false, ALL)).unwrap_or_default();
        let accounts = now(self.ledger.accounts(None, ALL)).unwrap_or_default();
        for key in keys {
            let hash = key.block.spki_hash;
            self.holds(12, key.settled.is_some(), || format!("nobody has seen to the blocked key {hash}"));
            let left = records.iter().find(|one| one.spki_hash == hash && one.status != SerialStatus::Revoked);
            self.holds(12, left.is_none(), || {
                format!("{:?} has the blocked key {hash}, and is not revoked", left.map(|one| one.serial))
            });
            let account = accounts.iter().find(|one| one.is_valid() && Sha256::of(&one.key.spki_der()) == hash);
            self.holds(12, account.is_none(), || {
                format!("account {:?} has the blocked key {hash}, and is valid", account.map(|one| one.id))
            });
        }
    }

    /// 0: after the last resume nothing is stopped.
    pub(super) fn nothing_is_stopped(&self) {
        let standing = now(self.ledger.stops(true, ca::STOPS_MAX)).unwrap_or_default();
        self.holds(0, standing.is_empty(), || format!("at rest issuance is stopped: {standing:?}"));
    }
}

/// Whether who wants these to end means this one.
fn means(which: &Resumed, number: u64, scope: &StopScope) -> bool {
    match which {
        Resumed::Number(meant) => *meant == number,
        Resumed::Scope(meant) => meant == scope,
    }
}

/// Said here once more: what is checked must not be what checks it. No order here has a wildcard.
fn covers(scope: &StopScope, order: &Order) -> bool {
    match scope {
        StopScope::All => true,
        StopScope::Profile(profile) => order.profile == *profile,
        StopScope::Account(account) => order.account == *account,
        StopScope::Name(stopped) => {
            let mut names = order.identifiers.iter().filter_map(Identifier::name);
            names.any(|name| is_below(name.as_str(), stopped.as_str()))
        }
        StopScope::Address(address) => order.identifiers.contains(&Identifier::Ip(*address)),
    }
}

/// Whether a name is this one, or below it.
fn is_below(name: &str, above: &str) -> bool {
    name == above || name.strip_suffix(above).is_some_and(|labels| labels.ends_with('.'))
}
