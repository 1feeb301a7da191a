//! What is known of the files of one place, and when those that failed are tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pki::Timestamp;

use super::LOOK;
use super::destination::PublicationError;
use super::file::Version;

/// The longest time from a failure to the next try.
const BACK_OFF_MAX: Duration = Duration::from_secs(300);
/// After this it is looked whether a file is still there as it was published.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(super) struct State {
    files: BTreeMap<String, Known>,
    /// Nothing is tried for so long: how long, and until when.
    pause: Option<(Duration, Duration)>,
    /// After a pause, so many are left for last.
    tried: usize,
    /// CRLs whose last one was made.
    last: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Known {
    /// What is there, and when that was seen.
    there: Option<(Version, Duration)>,
    trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Trouble {
    since: Timestamp,
    why: String,
    back_off: Duration,
    again: Duration,
    /// A CRL whose number is above this one need not wait: what is there is in the way of older ones only.
    above: Option<u64>,
}

impl State {
    /// Whether nothing is to be tried for the time being.
    pub(super) fn waits(&self, now: Duration) -> bool {
        self.pause.is_some_and(|(_, until)| now < until)
    }

    pub(super) fn is_due(&self, path: &str, version: Version, now: Duration) -> bool {
        let Some(known) = self.files.get(path) else { return true };
        if let Some(trouble) = &known.trouble {
            let above = trouble.above.zip(version).is_some_and(|(there, (number, _))| number > there);
            return above || now >= trouble.again;
        }
        known.there.is_none_or(|(there, seen)| there != version || now.saturating_sub(seen) >= LOOK_AGAIN)
    }

    pub(super) fn settled(&mut self, path: &str, version: Version, now: Duration) {
        self.files.insert(path.to_owned(), Known { there: Some((version, now)), trouble: None });
    }

    pub(super) fn failed(&mut self, path: &str, error: &PublicationError, (at, now): (Timestamp, Duration)) {
        let known = self.files.entry(path.to_owned()).or_default();
        let before = known.trouble.take();
        let back_off = before.as_ref().map_or(LOOK * 2, |trouble| (trouble.back_off * 2).min(BACK_OFF_MAX));
        let above = if let PublicationError::Newer { there, .. } = error { Some(*there) } else { None };
        let since = before.map_or(at, |trouble| trouble.since);
        known.trouble = Some(Trouble { since, why: error.to_string(), back_off, again: now + back_off, above });
    }

    /// All of it waits, longer each time.
    pub(super) fn pause(&mut self, tried: usize, now: Duration) {
        self.tried = tried;
        let time = self.pause.map_or(LOOK * 2, |(time, _)| (time * 2).min(BACK_OFF_MAX));
        self.pause = Some((time, now + time));
    }

    /// Which of so many is the first to be tried.
    pub(super) fn begin(&self, count: usize) -> usize {
        self.tried.checked_rem(count).unwrap_or(0)
    }

    pub(super) fn goes_on(&mut self) {
        self.pause = None;
        self.tried = 0;
    }

    /// CRLs of which no newer one comes.
    pub(super) fn not_renewed(&mut self, paths: BTreeSet<String>) {
        self.last = paths;
    }

    /// The time of the oldest CRL that is there and still renewed.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let renewed = self.files.iter().filter(|(path, _)| !self.last.contains(*path));
        renewed.filter_map(|(_, known)| known.there?.0).map(|(_, this_update)| this_update).min()
    }

    /// Path, beginning and reason of the trouble that lasts longest.
    pub(super) fn trouble(&self) -> Option<(String, Timestamp, String)> {
        let troubles = self.files.iter().filter_map(|(path, known)| Some((path, known.trouble.as_ref()?)));
        let (path, trouble) = troubles.min_by_key(|(_, trouble)| trouble.since)?;
        Some((path.clone(), trouble.since, trouble.why.clone()))
    }

    pub(super) fn failing(&self) -> u64 {
        self.files.values().filter(|known| known.trouble.is_some()).count() as u64
    }
}
