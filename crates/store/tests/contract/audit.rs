//! The audit log.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

use ca::InstanceId;
use ca::ports::{AuditEvent, AuditLog, AuditMark, StoreErrorKind};
use pki::{Serial, Sha256};

use super::world::TestClock;

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, audit:
            log_begins_with_whose_it_is
            lines_are_numbered_and_read_back
            simultaneous_lines_get_numbers_without_gaps
            lines_come_in_pages_from_a_mark
            mark_that_is_not_of_this_log_is_refused
            mark_stays_before_the_first_line_that_is_not_applied
            mark_goes_over_lines_that_speak_of_the_log_itself
            mark_can_be_read_from_again
            reservation_is_given_back_when_it_is_dropped
            lines_fit_that_room_was_reserved_for
        );
    };
}
pub(crate) use suite;

/// Whose log it is.
pub(crate) const INSTANCE: InstanceId = InstanceId::from_bytes([0xa1; 16]);

/// A fresh log.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// Its time.
    pub(crate) clock: Arc<TestClock>,
    /// The log.
    pub(crate) log: Arc<dyn AuditLog>,
    /// More octets than it has room for.
    pub(crate) octets_too_many: u64,
    /// What has to live as long as the log.
    pub(crate) kept: Box<dyn Any + Send + Sync>,
}

const START: AuditMark = AuditMark { sequence: 0, chain: Sha256::from_bytes([0; 32]) };

fn event(number: u8) -> AuditEvent {
    let order = ca::OrderId::from_bytes([number; 16]);
    AuditEvent::Precertificate { order, serial: Serial::from_random([number; 16]), der: vec![number; 700] }
}

pub(crate) async fn log_begins_with_whose_it_is(fresh: &Fresh) {
    let (lines, end) = fresh.log.lines(START, 10).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].sequence, &lines[0].event), (0, &AuditEvent::Begun { instance: INSTANCE }));
    assert_eq!(fresh.log.mark(), end, "there is nothing in it that the ledger has to know");
}

pub(crate) async fn lines_are_numbered_and_read_back(fresh: &Fresh) {
    for number in 1..=3 {
        fresh.clock.pass_seconds(1);
        assert_eq!(fresh.log.append(event(number)).await.unwrap(), u64::from(number));
    }
    let (lines, end) = fresh.log.lines(START, 10).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.sequence).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!((1..=3).all(|number| lines[usize::from(number)].event == event(number)));
    assert!(lines.windows(2).all(|pair| pair[1].at.since(pair[0].at).as_secs() == 1));
    assert_eq!(end.sequence, 4);
}

pub(crate) async fn simultaneous_lines_get_numbers_without_gaps(fresh: &Fresh) {
    let calls: Vec<_> = (0..60)
        .map(|number| {
            let log = Arc::clone(&fresh.log);
            tokio::spawn(async move { (number, log.append(event(number)).await.unwrap()) })
        })
        .collect();
    let mut sequences = BTreeSet::new();
    let mut answers = Vec::new();
    for call in calls {
        let (number, sequence) = call.await.unwrap();
        assert!(sequences.insert(sequence));
        answers.push((number, usize::try_from(sequence).unwrap()));
    }
    assert_eq!(sequences, (1..=60).collect());
    let (lines, _) = fresh.log.lines(START, 100).await.unwrap();
    assert!(answers.into_iter().all(|(number, sequence)| lines[sequence].event == event(number)));
}

pub(crate) async fn lines_come_in_pages_from_a_mark(fresh: &Fresh) {
    for number in 1..=7 {
        fresh.log.append(event(number)).await.unwrap();
    }
    let (mut mark, mut found) = (START, Vec::new());
    loop {
        let (page, next) = fresh.log.lines(mark, 3).await.unwrap();
        assert_eq!(next.sequence, mark.sequence + page.len() as u64);
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 3);
        found.extend(page.into_iter().map(|line| line.sequence));
        mark = next;
    }
    assert_eq!(found, (0..=7).collect::<Vec<_>>());
    fresh.log.append(event(8)).await.unwrap();
    let (page, _) = fresh.log.lines(mark, 3).await.unwrap();
    assert_eq!(page.iter().map(|line| line.sequence).collect::<Vec<_>>(), [8], "the end is a mark like any other");
}

pub(crate) async fn mark_that_is_not_of_this_log_is_refused(fresh: &Fresh) {
    for number in 1..=3 {
        fresh.log.append(event(number)).await.unwrap();
    }
    for sequence in [2, 4, 5, 500] {
        let mark = AuditMark { sequence, chain: Sha256::of(b"another log") };
        assert_eq!(fresh.log.lines(mark, 10).await.unwrap_err().kind, StoreErrorKind::Corrupt, "{sequence}");
    }
}

pub(crate) async fn mark_stays_before_the_first_line_that_is_not_applied(fresh: &Fresh) {
    let begun = fresh.log.mark();
    assert_eq!(begun.sequence, 1);
    for number in 1..=4 {
        fresh.log.append(event(number)).await.unwrap();
    }
    assert_eq!(fresh.log.mark(), begun);
    fresh.log.applied(2);
    fresh.log.applied(3);
    assert_eq!(fresh.log.mark(), begun, "the first one is not applied");
    fresh.log.applied(1);
    assert_eq!(fresh.log.mark().sequence, 4);
    fresh.log.applied(4);
    fresh.log.applied(4);
    assert_eq!(fresh.log.mark().sequence, 5);
}

pub(crate) async fn mark_goes_over_lines_that_speak_of_the_log_itself(fresh: &Fresh) {
    let key = AuditEvent::CheckpointKey { instance: INSTANCE, spki: vec![1], replaces: None };
    assert_eq!(fresh.log.append(key.clone()).await.unwrap(), 1);
    assert_eq!(fresh.log.mark().sequence, 2, "nobody applies it");
    fresh.log.append(event(2)).await.unwrap();
    fresh.log.append(key).await.unwrap();
    assert_eq!(fresh.log.mark().sequence, 2);
    fresh.log.applied(2);
    assert_eq!(fresh.log.mark().sequence, 4);
}

pub(crate) async fn mark_can_be_read_from_again(fresh: &Fresh) {
    for number in 1..=6 {
        fresh.log.append(event(number)).await.unwrap();
        fresh.log.applied(u64::from(number));
        let (nothing, same) = fresh.log.lines(fresh.log.mark(), 10).await.unwrap();
        assert_eq!((nothing.len(), same), (0, fresh.log.mark()));
    }
    fresh.log.append(event(7)).await.unwrap();
    let (lines, _) = fresh.log.lines(fresh.log.mark(), 10).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.sequence).collect::<Vec<_>>(), [7]);
}

pub(crate) async fn reservation_is_given_back_when_it_is_dropped(fresh: &Fresh) {
    assert_eq!(fresh.log.reserve(fresh.octets_too_many).await.unwrap_err().kind, StoreErrorKind::Full);
    // Half of it fits, and again when it was given back; both halves at once do not.
    let half = fresh.octets_too_many / 2;
    for _ in 0..3 {
        let held = fresh.log.reserve(half).await.unwrap();
        assert_eq!(fresh.log.reserve(fresh.octets_too_many - half).await.unwrap_err().kind, StoreErrorKind::Full);
        drop(held);
    }
}

pub(crate) async fn lines_fit_that_room_was_reserved_for(fresh: &Fresh) {
    let held = fresh.log.reserve(8192).await.unwrap();
    for number in 1..=4 {
        fresh.log.append(event(number)).await.unwrap();
    }
    drop(held);
    assert_eq!(fresh.log.lines(START, 10).await.unwrap().0.len(), 5);
}
