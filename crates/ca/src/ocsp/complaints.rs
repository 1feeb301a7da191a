//! What clients may bring about as often as they like is said to the operator once a minute.

use std::sync::Mutex;
use std::time::Duration;

use super::lock;

/// From one line to the next.
const PAUSE: Duration = Duration::from_secs(60);

/// When something was said last, and how often it was not said since.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<(Option<Duration>, u64)>);

impl Complaints {
    /// Whether it is to be said now: of how many that were not, too.
    pub(super) fn say(&self, monotonic: Duration) -> Option<u64> {
        let mut state = lock(&self.0);
        let (said, unsaid) = *state;
        if said.is_some_and(|said| monotonic.saturating_sub(said) < PAUSE) {
            state.1 += 1;
            return None;
        }
        *state = (Some(monotonic), 0);
        Some(unsaid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_a_minute_with_the_number_of_those_between() {
        let complaints = Complaints::default();
        let at = Duration::from_secs;
        assert_eq!(complaints.say(at(5)), Some(0));
        assert_eq!([complaints.say(at(6)), complaints.say(at(64))], [None, None]);
        assert_eq!(complaints.say(at(65)), Some(2));
        assert_eq!([complaints.say(at(66)), complaints.say(at(200))], [None, Some(1)]);
    }
}
