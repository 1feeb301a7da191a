//! What is remembered between two looks at the CRLs: when to look again, and what could not be made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pki::{Sha256, Timestamp};

/// All shards are looked at so often, whatever is known.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// A CRL that could not be made is tried again after this, and then after twice as long each time.
const BACK_OFF: Duration = Duration::from_secs(10);
/// But never later than this.
const BACK_OFF_MAX: Duration = Duration::from_secs(600);

/// What is known of the CRLs of all issuers.
#[derive(Debug, Default)]
pub struct CrlWatch {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    looks: BTreeMap<Sha256, Look>,
    troubles: BTreeMap<(Sha256, u16), CrlTrouble>,
    damaged: BTreeMap<(Sha256, u16), CrlDamage>,
    /// When to look for what is left over of CRLs; `None`: when another one was made. Not there: it was never looked.
    sweeps: BTreeMap<(Sha256, u16), Option<Timestamp>>,
    /// Numbers of tries of this process that came to nothing, and of which parts may be left.
    given_up: BTreeSet<(Sha256, u16, u64)>,
}

/// A look at all shards of an issuer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// When.
    pub(crate) at: Timestamp,
    /// The last revocation that was written before.
    pub(crate) last_revocation: Option<Timestamp>,
    /// When a CRL will be due, if nothing is revoked.
    pub(crate) again: Timestamp,
}

/// A CRL that could not be made: the one before it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlTrouble {
    /// Since when.
    pub since: Timestamp,
    /// When it was tried last.
    pub tried: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// Why, when it was tried last.
    pub why: String,
}

impl CrlTrouble {
    /// When it is tried again.
    pub fn again(&self) -> Timestamp {
        let pause = BACK_OFF.saturating_mul(1 << self.tries.saturating_sub(1).min(10));
        self.tried.plus(pause.min(BACK_OFF_MAX))
    }
}

/// A stored CRL that was not what had been signed: the one behind it was made without a comparison with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlDamage {
    /// Its number.
    pub number: u64,
    /// When this was found.
    pub found: Timestamp,
    /// What is wrong with it.
    pub why: String,
}

impl CrlWatch {
    /// The last stored CRL of each issuer and shard that was found damaged since the process began.
    pub fn damaged(&self) -> BTreeMap<(Sha256, u16), CrlDamage> {
        self.lock().damaged.clone()
    }

    pub(crate) fn found_damaged(&self, issuer: Sha256, shard: u16, damage: CrlDamage) {
        self.lock().damaged.insert((issuer, shard), damage);
    }

    /// The CRLs that could not be made, by issuer and shard.
    pub fn troubles(&self) -> BTreeMap<(Sha256, u16), CrlTrouble> {
        self.lock().troubles.clone()
    }

    /// Whether all CRLs of an issuer are as they should be, as far as can be told without a look at them.
    pub(crate) fn is_quiet(&self, issuer: Sha256, last_revocation: Option<Timestamp>, now: Timestamp) -> bool {
        self.lock().looks.get(&issuer).is_some_and(|look| {
            let until = look.again.min(look.at.plus(LOOK_MAX));
            look.last_revocation == last_revocation && look.at <= now && now < until
        })
    }

    pub(crate) fn looked(&self, issuer: Sha256, look: Look) {
        self.lock().looks.insert(issuer, look);
    }

    /// All shards of this issuer are looked at again, whatever was known.
    pub(crate) fn look_anew(&self, issuer: Sha256) {
        self.lock().looks.remove(&issuer);
    }

    /// When it may be tried to make it: now, or later, since that has failed.
    pub(crate) fn next_try(&self, issuer: Sha256, shard: u16, now: Timestamp) -> Timestamp {
        let known = self.lock();
        // The clock may have been set back since.
        let trouble = known.troubles.get(&(issuer, shard)).filter(|trouble| trouble.tried <= now);
        trouble.map_or(now, CrlTrouble::again).max(now)
    }

    /// Whether something may be left over of CRLs, and it is time to look for it.
    pub(crate) fn sweep_is_due(&self, issuer: Sha256, shard: u16, now: Timestamp) -> bool {
        self.lock().sweeps.get(&(issuer, shard)).is_none_or(|at| at.is_some_and(|at| at <= now))
    }

    pub(crate) fn swept(&self, issuer: Sha256, shard: u16, again: Option<Timestamp>) {
        self.lock().sweeps.insert((issuer, shard), again);
    }

    /// At this time at the latest.
    pub(crate) fn sweep_at(&self, issuer: Sha256, shard: u16, at: Timestamp) {
        if let Some(known) = self.lock().sweeps.get_mut(&(issuer, shard)) {
            *known = Some(known.map_or(at, |known| known.min(at)));
        }
    }

    /// A try of this process came to nothing, and its parts could not be dropped: the next look does it.
    pub(crate) fn gave_up(&self, issuer: Sha256, shard: u16, number: u64) {
        let mut known = self.lock();
        known.given_up.insert((issuer, shard, number));
        known.sweeps.remove(&(issuer, shard));
    }

    /// Whether this number was such a try's.
    pub(crate) fn has_given_up(&self, issuer: Sha256, shard: u16, number: u64) -> bool {
        self.lock().given_up.contains(&(issuer, shard, number))
    }

    /// Nothing is left of it.
    pub(crate) fn dropped(&self, issuer: Sha256, shard: u16, number: u64) {
        self.lock().given_up.remove(&(issuer, shard, number));
    }

    pub(crate) fn made(&self, issuer: Sha256, shard: u16) {
        self.lock().troubles.remove(&(issuer, shard));
    }

    pub(crate) fn failed(&self, issuer: Sha256, shard: u16, now: Timestamp, why: String) {
        let mut known = self.lock();
        let before = known.troubles.get(&(issuer, shard)).map_or((now, 0), |trouble| (trouble.since, trouble.tries));
        let (since, tries) = (before.0, before.1.saturating_add(1));
        known.troubles.insert((issuer, shard), CrlTrouble { since, tried: now, tries, why });
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
