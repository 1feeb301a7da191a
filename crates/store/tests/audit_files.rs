//! The audit log on files: what a restart finds, and what a verification finds.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ca::ports::{AuditEvent, AuditLog, AuditMark, Clock, StoreErrorKind};
use ca::{InstanceId, OrderId};
use futures_util::future::BoxFuture;
use pki::{Reason, Serial, Sha256, Timestamp};
use store::audit::{AuditLimits, AuditLogError, AuditReader, Fault, FileAuditLog, Verified, verify};

const INSTANCE: InstanceId = InstanceId::from_bytes([0xa1; 16]);

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_262_400)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A folder for a log with small files.
struct Place {
    folder: tempfile::TempDir,
    limits: AuditLimits,
}

impl Place {
    fn new() -> Self {
        let limits = AuditLimits { file_octets_max: 900, free_octets_min: 0, ..AuditLimits::default() };
        Self { folder: tempfile::tempdir().unwrap(), limits }
    }

    fn in_one_file() -> Self {
        let mut place = Self::new();
        place.limits.file_octets_max = u64::MAX;
        place
    }

    fn open(&self) -> Result<FileAuditLog, AuditLogError> {
        self.open_as(INSTANCE)
    }

    fn open_as(&self, instance: InstanceId) -> Result<FileAuditLog, AuditLogError> {
        let on_fatal = Arc::new(|error: &ca::ports::StoreError| panic!("{error}"));
        FileAuditLog::open_with(self.folder.path(), instance, self.limits, Arc::new(Noon), on_fatal)
    }

    /// A log of so many lines behind the first, written by one process that has ended.
    async fn written(self, lines: u8) -> Self {
        let log = self.open().unwrap();
        for number in 1..=lines {
            assert_eq!(log.append(event(number)).await.unwrap(), u64::from(number));
        }
        self
    }

    fn verify(&self, known: Option<AuditMark>) -> Result<Verified, Fault> {
        verify(self.folder.path(), known, &mut |_| {})
    }

    fn file(&self, number: u32) -> PathBuf {
        self.folder.path().join(format!("{number:08}.jsonl"))
    }

    fn text(&self, number: u32) -> String {
        fs::read_to_string(self.file(number)).unwrap()
    }
}

fn event(number: u8) -> AuditEvent {
    AuditEvent::Precertificate {
        order: OrderId::from_bytes([number; 16]),
        serial: Serial::from_random([number; 16]),
        der: vec![number; 40],
    }
}

fn revocation() -> AuditEvent {
    let serial = Serial::from_random([1; 16]);
    AuditEvent::Revocation { serial, reason: Reason::Superseded, revoked: Noon.now(), by: "a test".to_owned() }
}

#[tokio::test]
async fn restarted_process_goes_on_where_the_last_one_ended() {
    let place = Place::new().written(9).await;
    assert!(place.file(2).exists(), "it goes over several files");
    let log = place.open().unwrap();
    assert_eq!((log.torn_octets(), log.mark().sequence), (0, 10));
    assert_eq!(log.append(event(10)).await.unwrap(), 10);
    let (lines, end) = log.lines(AuditReader::start(), 100).await.unwrap();
    assert_eq!(lines.len(), 11);
    let verified = place.verify(Some(end)).unwrap();
    assert_eq!((verified.lines, verified.chain, verified.unfinished_octets), (11, end.chain, 0));
}

#[tokio::test]
async fn process_that_finds_one_line_in_the_last_file_goes_on_too() {
    for lines in 1..=8 {
        let place = Place::new().written(lines).await;
        let log = place.open().unwrap();
        assert_eq!(log.append(event(99)).await.unwrap(), u64::from(lines) + 1);
        assert_eq!(place.verify(None).unwrap().lines, u64::from(lines) + 2);
    }
}

#[tokio::test]
async fn torn_last_line_is_cut_off_wherever_it_was_torn() {
    let whole = Place::in_one_file().written(3).await;
    let text = whole.text(0);
    let last = text.trim_end().rfind('\n').unwrap() + 1;
    for end in (last + 1..text.len()).step_by(9).chain([text.len() - 1]) {
        fs::write(whole.file(0), &text[..end]).unwrap();
        let log = whole.open().unwrap();
        assert_eq!(log.torn_octets(), (end - last) as u64);
        assert_eq!(log.append(event(3)).await.unwrap(), 3);
        drop(log);
        assert_eq!(whole.text(0), text, "cut at {end}");
    }
}

#[tokio::test]
async fn torn_first_line_is_written_anew() {
    let place = Place::in_one_file().written(0).await;
    let text = place.text(0);
    fs::write(place.file(0), &text[..30]).unwrap();
    assert_eq!(place.open().unwrap().torn_octets(), 30);
    assert_eq!(place.text(0), text);
}

#[tokio::test]
async fn last_line_that_is_no_line_is_cut_off_and_only_the_last() {
    let place = Place::in_one_file().written(3).await;
    let text = place.text(0);
    fs::write(place.file(0), format!("{text}\0\0\0\0\n")).unwrap();
    assert_eq!(place.open().unwrap().torn_octets(), 5);
    assert_eq!(place.text(0), text);
    fs::write(place.file(0), format!("{text}\0\0\n\0\0\n")).unwrap();
    assert!(matches!(place.open(), Err(AuditLogError::Damaged { .. })));
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
async fn every_changed_octet_is_found() {
    let place = Place::new().written(9).await;
    let good = fs::read(place.file(1)).unwrap();
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 0x01;
        fs::write(place.file(1), &changed).unwrap();
        assert!(place.verify(None).is_err(), "octet {at}");
    }
    fs::write(place.file(1), &good).unwrap();
    assert_eq!(place.verify(None).unwrap().lines, 10);
}

#[tokio::test]
async fn changed_line_is_named() {
    let place = Place::in_one_file().written(5).await;
    let changed = place.text(0).replace(&"03".repeat(16), &"04".repeat(16));
    fs::write(place.file(0), changed).unwrap();
    let fault = place.verify(None).unwrap_err();
    assert!(matches!(fault, Fault::Changed { line: 4, sequence: 3, .. }), "{fault}");
    assert!(fault.to_string().contains("00000000.jsonl, line 4"), "{fault}");
}

#[tokio::test]
async fn removed_line_is_found_where_it_stood() {
    let place = Place::in_one_file().written(5).await;
    let text = place.text(0);
    let rest: Vec<&str> = text.lines().enumerate().filter(|(at, _)| *at != 2).map(|(_, line)| line).collect();
    fs::write(place.file(0), rest.join("\n") + "\n").unwrap();
    let fault = place.verify(None).unwrap_err();
    assert!(matches!(fault, Fault::OutOfOrder { line: 3, expected: 2, found: 3, .. }), "{fault}");
}

#[tokio::test]
async fn swapped_and_missing_files_are_found() {
    let place = Place::new().written(9).await;
    let (one, two) = (place.text(1), place.text(2));
    fs::write(place.file(1), &two).unwrap();
    fs::write(place.file(2), &one).unwrap();
    let fault = place.verify(None).unwrap_err();
    assert!(matches!(&fault, Fault::OutOfOrder { path, line: 1, .. } if *path == place.file(1)), "{fault}");
    fs::write(place.file(1), &one).unwrap();
    fs::write(place.file(2), &two).unwrap();
    fs::remove_file(place.file(1)).unwrap();
    let missing = place.file(1);
    let fault = place.verify(None).unwrap_err();
    assert!(matches!(&fault, Fault::Unreadable(AuditLogError::FileMissing { path }) if *path == missing), "{fault}");
    assert!(matches!(place.open(), Err(AuditLogError::FileMissing { .. })));
}

#[tokio::test]
async fn log_that_was_cut_short_or_written_anew_is_found_by_a_mark() {
    let place = Place::in_one_file().written(5).await;
    let mark = place.open().unwrap().mark();
    assert!(place.verify(Some(mark)).is_ok());
    let text = place.text(0);
    let shorter: String = text.lines().take(4).map(|line| format!("{line}\n")).collect();
    fs::write(place.file(0), &shorter).unwrap();
    assert!(matches!(place.verify(Some(mark)), Err(Fault::CutShort { lines: 4, mark: 6 })));
    let read = AuditReader::new(place.folder.path()).lines(mark, 10);
    assert!(matches!(read, Err(AuditLogError::CutShort { lines: 4, mark: 6, .. })), "{read:?}");
    let log = place.open().unwrap();
    for number in [7, 8, 9] {
        log.append(event(number)).await.unwrap();
    }
    assert!(place.verify(None).is_ok(), "the chain alone can't tell");
    assert!(matches!(place.verify(Some(mark)), Err(Fault::Another { mark: 6 })));
    assert_eq!(log.lines(mark, 10).await.unwrap_err().kind, StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn line_that_is_being_written_is_no_fault() {
    let place = Place::new().written(5).await;
    let last = (0..).take_while(|number| place.file(*number).exists()).last().unwrap();
    let begun = place.text(last) + "{\"seq\":6,\"at\":\"2026";
    fs::write(place.file(last), begun).unwrap();
    let verified = place.verify(None).unwrap();
    assert_eq!((verified.lines, verified.unfinished_octets, verified.files), (6, 19, last + 1));
    let (lines, end) = AuditReader::new(place.folder.path()).lines(AuditReader::start(), 100).unwrap();
    assert_eq!((lines.len(), end.sequence), (6, 6));
    let first = place.text(0);
    fs::write(place.file(0), &first[..first.len() - 1]).unwrap();
    assert!(place.verify(None).is_err(), "only the last file may end so");
}

#[tokio::test]
async fn each_line_is_found_from_its_mark() {
    for place in [Place::new().written(20).await, Place::in_one_file().written(20).await] {
        let reader = AuditReader::new(place.folder.path());
        let mut marks = vec![AuditReader::start()];
        while marks.len() <= 21 {
            let (_, next) = reader.lines(*marks.last().unwrap(), 1).unwrap();
            marks.push(next);
        }
        // Backwards, and each with a reader that knows no place yet.
        for mark in marks.iter().rev() {
            let (lines, _) = AuditReader::new(place.folder.path()).lines(*mark, 1).unwrap();
            let found: Vec<u64> = lines.iter().map(|line| line.sequence).collect();
            let expected: Vec<u64> = (mark.sequence <= 20).then_some(mark.sequence).into_iter().collect();
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
async fn verification_tells_how_far_it_has_come() {
    let place = Place::new().written(9).await;
    let mut told = Vec::new();
    verify(place.folder.path(), None, &mut |progress| told.push(progress)).unwrap();
    let last = told.last().unwrap();
    assert_eq!((last.octets, last.lines), (last.octets_total, 10));
    let octets: usize = (0..)
        .map(|number| place.file(number))
        .take_while(|file| file.exists())
        .map(|file| fs::read(file).unwrap().len())
        .sum();
    assert_eq!(last.octets_total, octets as u64);
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
