//! Shares of what tests of challenges take: targets are slow, or dead on purpose, and no account may keep the others
//! waiting with its own.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::AccountId;
use crate::settings::Limits;

/// What all accounts share in `TestChallenge`.
#[derive(Debug)]
pub struct TestShares {
    /// Workers: one for each order that is being tested.
    pub(crate) workers: Shares,
    /// Tests beyond the first of each of these orders.
    pub(crate) tests: Shares,
}

impl TestShares {
    /// Nothing is taken yet.
    pub fn new(limits: &Limits) -> Self {
        Self { workers: Shares::new(limits.test_workers), tests: Shares::new(limits.tests) }
    }
}

/// So many of something, of which an account may hold no more than are left for all others: alone it gets half, and
/// however many accounts want some, there is one for the next who comes.
#[derive(Debug)]
pub(crate) struct Shares {
    number: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<AccountId, usize>,
    /// How often one was given back.
    given_back: u64,
}

impl State {
    fn free(&self, number: usize) -> usize {
        number.saturating_sub(self.held.values().sum())
    }
}

/// Who can take none at the moment.
#[derive(Debug)]
pub(crate) struct Full {
    /// Accounts that hold as many as are left, or more.
    pub(crate) accounts: Vec<AccountId>,
    /// How often one had been given back: once it is more, this may be wrong.
    given_back: u64,
}

impl Shares {
    fn new(number: usize) -> Self {
        Self { number, state: Mutex::default() }
    }

    /// One of them, unless the account holds its share already.
    pub(crate) fn take(&self, account: AccountId) -> Option<Share<'_>> {
        let mut state = self.lock();
        let free = state.free(self.number);
        let own = state.held.get(&account).copied().unwrap_or_default();
        if own >= free {
            return None;
        }
        state.held.insert(account, own + 1);
        Some(Share { of: self, account })
    }

    /// Who can take none. `None`: nobody can take one. Each of them holds as many as are left, so they are few.
    pub(crate) fn full(&self) -> Option<Full> {
        let state = self.lock();
        let free = state.free(self.number);
        let full = state.held.iter().filter(|(_, own)| **own >= free).map(|(account, _)| *account);
        (free > 0).then(|| Full { accounts: full.collect(), given_back: state.given_back })
    }

    /// Whether one was given back since.
    pub(crate) fn has_changed_since(&self, full: &Full) -> bool {
        self.lock().given_back != full.given_back
    }

    // What is done under the lock leaves a sound state at each point where it could panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    of: &'a Shares,
    account: AccountId,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut state = self.of.lock();
        state.given_back += 1;
        match state.held.get_mut(&self.account) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => drop(state.held.remove(&self.account)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_leaves_as_much_as_it_holds() {
        let (shares, mine, other) = (Shares::new(8), AccountId::from_bytes([1; 16]), AccountId::from_bytes([2; 16]));
        let of_mine: Vec<_> = std::iter::from_fn(|| shares.take(mine)).collect();
        assert_eq!(of_mine.len(), 4);
        let full = shares.full().unwrap();
        assert_eq!(full.accounts, [mine]);
        assert!(!shares.has_changed_since(&full));
        let of_other: Vec<_> = std::iter::from_fn(|| shares.take(other)).collect();
        assert_eq!(of_other.len(), 2);
        assert!(shares.take(AccountId::from_bytes([3; 16])).is_some(), "there is one for whoever comes");
        drop(of_mine);
        assert!(shares.has_changed_since(&full));
        assert!(shares.take(other).is_some());
        assert!(shares.lock().held.len() == 1, "who holds nothing is forgotten");
    }

    #[test]
    fn the_only_one_can_be_taken() {
        let (shares, account) = (Shares::new(1), AccountId::from_bytes([1; 16]));
        let share = shares.take(account);
        assert!(share.is_some() && shares.take(account).is_none() && shares.full().is_none());
        drop(share);
        assert!(shares.take(account).is_some());
    }
}
