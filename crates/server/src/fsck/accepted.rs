//! Clocks that were ahead: an operator said that the present time is right, though records have later ones.

use pki::Timestamp;

use super::CLOCK_STEP;

/// Each time that was accepted, with that of the newest record which was there then.
#[derive(Debug, Default)]
pub(super) struct AcceptedTimes(Vec<(Timestamp, Timestamp)>);

impl AcceptedTimes {
    pub(super) fn add(&mut self, accepted: Timestamp, newest: Timestamp) {
        self.0.push((accepted, newest));
    }

    /// The earliest at which something may have been written that has this time: what was dated with a clock that was
    /// ahead was there when its operator accepted an earlier time, and so before all that was written since.
    pub(super) fn earliest(&self, dated: Timestamp) -> Timestamp {
        let was_ahead =
            |(accepted, newest): &&(Timestamp, Timestamp)| *accepted < dated && dated <= newest.plus(CLOCK_STEP);
        self.0.iter().filter(was_ahead).map(|(accepted, _)| *accepted).min().unwrap_or(dated)
    }
}
