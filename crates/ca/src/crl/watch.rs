//! What is remembered between two looks at the CRLs: when to look again, and what could not be made.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pki::{Sha256, Timestamp};

/// All shards are looked at so often, whatever is known.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// A CRL that could not be made is tried again after this.
pub(crate) const BACK_OFF: Duration = Duration::from_secs(10);

/// What is known of the CRLs of all issuers.
#[derive(Debug, Default)]
pub struct CrlWatch {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    looks: BTreeMap<Sha256, Look>,
    troubles: BTreeMap<(Sha256, u16), CrlTrouble>,
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
    /// Why, when it was tried last.
    pub why: String,
}

impl CrlWatch {
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

    /// Whether it is too early to try again.
    pub(crate) fn waits(&self, issuer: Sha256, shard: u16, now: Timestamp) -> bool {
        let tried = self.lock().troubles.get(&(issuer, shard)).map(|trouble| trouble.tried);
        tried.is_some_and(|tried| tried <= now && now < tried.plus(BACK_OFF))
    }

    pub(crate) fn made(&self, issuer: Sha256, shard: u16) {
        self.lock().troubles.remove(&(issuer, shard));
    }

    pub(crate) fn failed(&self, issuer: Sha256, shard: u16, now: Timestamp, why: String) {
        let mut known = self.lock();
        let since = known.troubles.get(&(issuer, shard)).map_or(now, |trouble| trouble.since);
        known.troubles.insert((issuer, shard), CrlTrouble { since, tried: now, why });
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
