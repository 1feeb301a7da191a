//! Signed answers that are given again: as many as fit into so many octets.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use pki::ocsp::IdForm;
use pki::{Serial, Sha256};

use super::OcspAnswer;

/// What an answer takes beside its own octets.
const OVERHEAD_OCTETS: usize = 320;

/// To which question: issuer, form of the CertID, serial.
pub(super) type Question = (Sha256, IdForm, Serial);

/// When there is no more room, the answers leave that have not been asked for since the last look at them.
#[derive(Debug)]
pub(super) struct Cache {
    entries: HashMap<Question, Entry>,
    /// Each question once.
    queue: VecDeque<Question>,
    octets: usize,
    octets_max: usize,
}

#[derive(Debug)]
struct Entry {
    answer: Arc<OcspAnswer>,
    was_asked_for: bool,
}

fn octets_of(answer: &OcspAnswer) -> usize {
    answer.der.len() + OVERHEAD_OCTETS
}

impl Cache {
    pub(super) fn new(octets_max: usize) -> Self {
        Self { entries: HashMap::new(), queue: VecDeque::new(), octets: 0, octets_max }
    }

    pub(super) fn find(&mut self, question: &Question) -> Option<Arc<OcspAnswer>> {
        let entry = self.entries.get_mut(question)?;
        entry.was_asked_for = true;
        Some(Arc::clone(&entry.answer))
    }

    pub(super) fn keep(&mut self, question: Question, answer: &Arc<OcspAnswer>) {
        self.octets += octets_of(answer);
        let entry = Entry { answer: Arc::clone(answer), was_asked_for: false };
        match self.entries.insert(question, entry) {
            Some(before) => self.octets -= octets_of(&before.answer),
            None => self.queue.push_back(question),
        }
        while self.octets > self.octets_max {
            let Some(oldest) = self.queue.pop_front() else { return };
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.was_asked_for => {
                    entry.was_asked_for = false;
                    self.queue.push_back(oldest);
                }
                Some(entry) => {
                    self.octets -= octets_of(&entry.answer);
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
    use pki::Timestamp;
    use pki::ocsp::{CertStatus, IdAlgorithm};

    use super::*;

    fn question(number: u8) -> Question {
        let form = IdForm { algorithm: IdAlgorithm::Sha1, null_parameters: true };
        (Sha256::of(b"issuer"), form, Serial::from_random([number; 16]))
    }

    fn answer(octets: usize) -> Arc<OcspAnswer> {
        let at = Timestamp::from_seconds(0);
        Arc::new(OcspAnswer {
            der: vec![0; octets].into(),
            status: CertStatus::Good,
            recorded: None,
            this_update: at,
            renewal: at,
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
    fn what_is_larger_than_all_room_is_not_kept() {
        let mut cache = Cache::new(100);
        cache.keep(question(1), &answer(100));
        assert_eq!((cache.size(), cache.find(&question(1)).is_none()), ((0, 0), true));
    }
}
