//! Signed answers that are given again: as many as fit into so many octets.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use pki::ocsp::IdForm;
use pki::{Serial, Sha256, Timestamp};

use super::OcspAnswer;

/// What an answer takes beside its own octets.
const OVERHEAD_OCTETS: usize = 448;

/// To which question: issuer, form of the CertID, serial.
pub(super) type Question = (Sha256, IdForm, Serial);

/// When there is no more room, the answers leave that have not been asked for since the last look at them.
#[derive(Debug)]
pub(super) struct Cache {
    entries: HashMap<Question, Entry>,
    /// Each question once.
    queue: VecDeque<Question>,
    /// Those that may have to be signed anew before they are asked for, by when that is due.
    by_renewal: BTreeSet<(Timestamp, Question)>,
    octets: usize,
    octets_max: usize,
}

#[derive(Debug)]
struct Entry {
    answer: Arc<OcspAnswer>,
    /// Since the last look for room.
    was_asked_for: bool,
    /// Since it was signed, or by whom it was signed for.
    is_wanted: bool,
    /// When it is signed anew: its place among the others.
    due: Timestamp,
}

fn octets_of(answer: &OcspAnswer) -> usize {
    answer.der.len() + OVERHEAD_OCTETS
}

impl Cache {
    pub(super) fn new(octets_max: usize) -> Self {
        Self { entries: HashMap::new(), queue: VecDeque::new(), by_renewal: BTreeSet::new(), octets: 0, octets_max }
    }

    pub(super) fn find(&mut self, question: &Question) -> Option<Arc<OcspAnswer>> {
        let entry = self.entries.get_mut(question)?;
        entry.was_asked_for = true;
        entry.is_wanted = true;
        Some(Arc::clone(&entry.answer))
    }

    /// One that was signed for who asked.
    pub(super) fn keep(&mut self, question: Question, answer: &Arc<OcspAnswer>) {
        self.put(question, answer, false, true);
    }

    /// One that was signed before anybody asked, in the place of an older one; if that has left, it is not kept.
    pub(super) fn renew(&mut self, question: Question, answer: &Arc<OcspAnswer>) {
        if let Some(was_asked_for) = self.entries.get(&question).map(|before| before.was_asked_for) {
            self.put(question, answer, was_asked_for, false);
        }
    }

    /// Those whose renewal has come and that were asked for since they were signed, at most so many: each once, unless
    /// it is [`Cache::put_off`].
    pub(super) fn take_due(&mut self, now: Timestamp, most: usize) -> Vec<Question> {
        let mut due = Vec::new();
        while due.len() < most
            && let Some((_, question)) = self.by_renewal.first().copied().filter(|(renewal, _)| *renewal <= now)
        {
            self.by_renewal.pop_first();
            if self.entries.get(&question).is_some_and(|entry| entry.is_wanted) {
                due.push(question);
            }
        }
        due
    }

    /// It was not signed anew, and is to be tried again, not before this time.
    pub(super) fn put_off(&mut self, question: Question, until: Timestamp) {
        if let Some(entry) = self.entries.get_mut(&question) {
            entry.due = until.max(entry.answer.renewal);
            self.by_renewal.insert((entry.due, question));
        }
    }

    fn put(&mut self, question: Question, answer: &Arc<OcspAnswer>, was_asked_for: bool, is_wanted: bool) {
        self.octets += octets_of(answer);
        let entry = Entry { answer: Arc::clone(answer), was_asked_for, is_wanted, due: answer.renewal };
        match self.entries.insert(question, entry) {
            Some(before) => {
                self.octets -= octets_of(&before.answer);
                self.by_renewal.remove(&(before.due, question));
            }
            None => self.queue.push_back(question),
        }
        self.by_renewal.insert((answer.renewal, question));
        while self.octets > self.octets_max {
            let Some(oldest) = self.queue.pop_front() else { return };
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.was_asked_for => {
                    entry.was_asked_for = false;
                    self.queue.push_back(oldest);
                }
                Some(entry) => {
                    self.octets -= octets_of(&entry.answer);
                    self.by_renewal.remove(&(entry.due, oldest));
                    self.entries.remove(&oldest);
                }
                None => {}
            }
        }
    }

    /// How many answers it holds, and how many octets they take.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.octets)
    }
}

#[cfg(test)]
mod tests {
    use pki::ocsp::{CertStatus, IdAlgorithm};

    use super::*;

    fn question(number: u8) -> Question {
        let form = IdForm { algorithm: IdAlgorithm::Sha1, null_parameters: true };
        (Sha256::of(b"issuer"), form, Serial::from_random([number; 16]))
    }

    fn answer(octets: usize) -> Arc<OcspAnswer> {
        answer_until(0, octets)
    }

    fn answer_until(renewal: i64, octets: usize) -> Arc<OcspAnswer> {
        let at = Timestamp::from_seconds(0);
        Arc::new(OcspAnswer {
            der: vec![0; octets].into(),
            status: CertStatus::Good,
            recorded: None,
            this_update: at,
            renewal: Timestamp::from_seconds(renewal),
            next_update: at,
            tag: String::new(),
        })
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_makes_room() {
        let mut cache = Cache::new(3 * (100 + OVERHEAD_OCTETS));
        for number in 1..=3 {
            cache.keep(question(number), &answer(100));
        }
        assert!(cache.find(&question(1)).is_some());
        cache.keep(question(4), &answer(100));
        assert!(cache.find(&question(1)).is_some() && cache.find(&question(4)).is_some());
        assert!(cache.find(&question(2)).is_none(), "nobody asked for it");
        assert_eq!(cache.size(), (3, 3 * (100 + OVERHEAD_OCTETS)));
    }

    #[test]
    fn newer_answer_takes_the_place_of_the_older() {
        let mut cache = Cache::new(10_000);
        cache.keep(question(1), &answer(100));
        cache.keep(question(1), &answer(200));
        assert_eq!(cache.size(), (1, 200 + OVERHEAD_OCTETS));
        assert_eq!(cache.find(&question(1)).map(|answer| answer.der.len()), Some(200));
    }

    #[test]
    fn what_was_put_off_leaves_the_turn_to_others_and_has_one_place() {
        let mut cache = Cache::new(10_000);
        let at = Timestamp::from_seconds;
        cache.keep(question(1), &answer_until(10, 100));
        cache.keep(question(2), &answer_until(20, 100));
        assert_eq!(cache.take_due(at(10), 9), [question(1)]);
        cache.put_off(question(1), at(60));
        assert_eq!(cache.take_due(at(59), 9), [question(2)]);
        cache.renew(question(1), &answer_until(100, 100));
        assert!(cache.find(&question(1)).is_some());
        assert_eq!(cache.take_due(at(99), 9), []);
        assert_eq!(cache.take_due(at(100), 9), [question(1)]);
    }

    #[test]
    fn what_was_asked_for_is_due_once_and_no_more_when_nobody_asks_again() {
        let mut cache = Cache::new(10_000);
        let at = Timestamp::from_seconds;
        for number in 1..=3 {
            cache.keep(question(number), &answer_until(10 * i64::from(number), 100));
        }
        assert_eq!(cache.take_due(at(9), 9), []);
        assert_eq!(cache.take_due(at(20), 1), [question(1)]);
        cache.put_off(question(1), at(0));
        assert_eq!(cache.take_due(at(20), 9), [question(1), question(2)]);
        assert_eq!(cache.take_due(at(20), 9), []);
        cache.renew(question(1), &answer_until(100, 100));
        cache.renew(question(2), &answer_until(100, 100));
        cache.renew(question(4), &answer_until(100, 100));
        assert!(cache.find(&question(2)).is_some() && cache.find(&question(4)).is_none());
        // Nobody has asked for the first since.
        assert_eq!(cache.take_due(at(200), 9), [question(3), question(2)]);
        assert_eq!(cache.size().0, 3);
    }

    #[test]
    fn what_is_larger_than_all_room_is_not_kept() {
        let mut cache = Cache::new(100);
        cache.keep(question(1), &answer(100));
        assert_eq!((cache.size(), cache.find(&question(1)).is_none()), ((0, 0), true));
    }
}
