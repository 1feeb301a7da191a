//! Chance that a seed decides: streams of numbers that look random and are the same in every run (SplitMix64).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ca::ports::Random;

/// One stream. Each purpose has its own, so that what one of them draws doesn't move the others.
#[derive(Debug)]
pub struct Chance(Mutex<u64>);

impl Chance {
    /// The stream of a seed for a purpose.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut state = seed ^ 0x6361_6972_6e00_0000;
        for octet in purpose.bytes() {
            state = mixed(state.wrapping_add(u64::from(octet)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        Self(Mutex::new(state))
    }

    /// A number.
    pub fn number(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(*state)
    }

    /// A number below this one; 0 if that is 0.
    pub fn below(&self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.number() % limit }
    }

    /// A place in a list that is not empty.
    pub fn place(&self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// Whether something happens that does in so many of a thousand cases.
    pub fn happens(&self, permille: u32) -> bool {
        permille > 0 && self.below(1000) < u64::from(permille)
    }

    /// One of these.
    pub fn one_of<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.place(choices.len())]
    }

    /// A time between these two.
    pub fn time(&self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
        least + Duration::from_micros(self.below(span.saturating_add(1)))
    }

    /// Puts a list into another order.
    pub fn shuffle<T>(&self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.place(at + 1));
        }
    }
}

impl Random for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.number().to_le_bytes()[..chunk.len()]);
        }
    }
}

const fn mixed(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
