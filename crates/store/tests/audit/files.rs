//! What a restart finds, and what a reader.

use std::fs;

use ca::InstanceId;
use ca::ports::{AuditEvent, AuditLog, AuditMark, StoreErrorKind};
use pki::Sha256;
use store::audit::{AuditLogError, AuditReader};

use crate::place::{INSTANCE, Place, event, revocation};

#[tokio::test]
async fn restarted_process_goes_on_where_the_last_one_ended() {
    let place = Place::new().written(9).await;
    assert!(place.file(2).exists(), "it goes over several files");
    let log = place.open().unwrap();
    assert_eq!((log.torn_octets(), log.mark().sequence), (0, 10 + u64::from(place.last())));
    let sequence = log.append(event(10)).await.unwrap();
    let (lines, end) = log.lines(AuditReader::start(), 100).await.unwrap();
    let numbered: Vec<u64> = lines.iter().map(|line| line.sequence).collect();
    assert_eq!(numbered, (0..=sequence).collect::<Vec<_>>());
    let verified = place.verify(Some(end)).unwrap();
    assert_eq!((verified.lines, verified.chain, verified.unfinished_octets), (sequence + 1, end.chain, 0));
}

#[tokio::test]
async fn process_that_finds_one_line_in_the_last_file_goes_on_too() {
    for lines in 1..=8 {
        let place = Place::new().written(lines).await;
        let log = place.open().unwrap();
        let files = place.last();
        let sequence = log.append(event(99)).await.unwrap();
        assert_eq!(sequence, u64::from(lines) + 1 + u64::from(place.last()), "one line more begins each file but one");
        assert_eq!((place.verify(None).unwrap().lines, place.last() - files <= 1), (sequence + 1, true));
    }
}

#[tokio::test]
async fn last_line_that_was_changed_is_not_gone_on_from() {
    let place = Place::in_one_file().written(3).await;
    let changed = place.text(0).replace(&"03".repeat(16), &"04".repeat(16));
    fs::write(place.file(0), changed).unwrap();
    let refused = place.open().unwrap_err();
    assert!(refused.to_string().contains("line 3"), "{refused}");
}

#[tokio::test]
async fn log_of_another_instance_is_left_alone() {
    let place = Place::new().written(1).await;
    let before = place.text(0);
    let refused = place.open_as(InstanceId::from_bytes([0xb2; 16]));
    assert!(matches!(refused, Err(AuditLogError::OfAnother { found: INSTANCE, .. })));
    assert_eq!(place.text(0), before);
}

#[tokio::test]
async fn each_line_is_found_from_its_mark() {
    for place in [Place::new().written(20).await, Place::in_one_file().written(20).await] {
        let reader = AuditReader::new(place.folder.path());
        let mut marks = vec![AuditReader::start()];
        let end = place.verify(None).unwrap().lines;
        while marks.len() <= usize::try_from(end).unwrap() {
            let (_, next) = reader.lines(*marks.last().unwrap(), 1).unwrap();
            marks.push(next);
        }
        // Backwards, and each with a reader that knows no place yet.
        for mark in marks.iter().rev() {
            let (lines, _) = AuditReader::new(place.folder.path()).lines(*mark, 1).unwrap();
            let found: Vec<u64> = lines.iter().map(|line| line.sequence).collect();
            let expected: Vec<u64> = (mark.sequence < end).then_some(mark.sequence).into_iter().collect();
            assert_eq!(found, expected);
            let wrong = AuditMark { chain: Sha256::of(b"wrong"), ..*mark };
            assert_eq!(AuditReader::new(place.folder.path()).lines(wrong, 1).is_err(), mark.sequence > 0);
        }
    }
}

#[tokio::test]
async fn line_is_found_in_a_file_of_many_megabytes() {
    let place = Place::in_one_file();
    let log = place.open().unwrap();
    let large = |number: u8| AuditEvent::Authority { der: vec![number; 200_000] };
    let mut marks = Vec::new();
    for number in 1..=20 {
        let sequence = log.append(large(number)).await.unwrap();
        marks.push(log.mark());
        if number % 2 == 0 {
            log.append(event(number)).await.unwrap();
        }
        for sequence in sequence..=sequence + 1 {
            log.applied(sequence);
        }
    }
    for mark in marks {
        let (lines, _) = AuditReader::new(place.folder.path()).lines(mark, 1).unwrap();
        assert_eq!(lines[0].sequence, mark.sequence);
    }
    drop(log);
    assert_eq!(place.open().unwrap().mark().sequence, 31);
    assert_eq!(place.verify(None).unwrap().lines, 31);
}

#[tokio::test]
async fn empty_folder_is_a_log_without_lines() {
    let place = Place::new();
    let verified = place.verify(None).unwrap();
    assert_eq!((verified.files, verified.lines), (0, 0));
    let (lines, end) = AuditReader::new(place.folder.path()).lines(AuditReader::start(), 10).unwrap();
    assert_eq!((lines.len(), end), (0, AuditReader::start()));
}

#[tokio::test]
async fn no_room_is_promised_on_a_disk_that_is_left_to_others() {
    let mut place = Place::new().written(1).await;
    place.limits.free_octets_min = u64::MAX;
    let log = place.open().unwrap();
    assert_eq!(log.reserve(8192).await.unwrap_err().kind, StoreErrorKind::Full);
    // What must be written can still be: a revocation is no reason for the disk to be left to others.
    assert_eq!(log.append(revocation()).await.unwrap(), 2);
}

#[tokio::test]
async fn line_that_is_too_long_is_refused_and_nothing_is_written() {
    let place = Place::in_one_file().written(1).await;
    let log = place.open().unwrap();
    let before = place.text(0);
    let refused = log.append(AuditEvent::Authority { der: vec![0; 1 << 20] }).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Unavailable);
    assert_eq!(place.text(0), before);
    assert_eq!(log.append(event(2)).await.unwrap(), 2);
}

#[tokio::test]
async fn reserved_room_belongs_to_the_file() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::in_one_file().written(1).await;
    let log = place.open().unwrap();
    let held = log.reserve(8 << 20).await.unwrap();
    let found = fs::metadata(place.file(0)).unwrap();
    assert!(found.len() < 4096, "its length tells the truth");
    // Where the file system can keep room at all, it is kept.
    assert!(found.blocks() * 512 >= 8 << 20 || !keeps_room(&place), "{} blocks", found.blocks());
    drop(held);
}

fn keeps_room(place: &Place) -> bool {
    let file = fs::File::create(place.folder.path().join("probe")).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, 4096).is_ok()
}
