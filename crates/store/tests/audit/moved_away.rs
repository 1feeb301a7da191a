//! Files of a log that an operator has moved away, and files that follow each other by age.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ca::ports::{AuditLog, AuditMark};
use store::audit::{AuditLogError, AuditReader, Examination, FaultKind, examine, files_of};

use crate::place::{INSTANCE, Place, Signer, event};

/// A signed log without its first two files, which are in another folder; and the ledger's mark at its end.
async fn moved() -> (Place, tempfile::TempDir, AuditMark) {
    let place = Place::new().signed(12).await;
    let archive = tempfile::tempdir().unwrap();
    let mark = place.open().unwrap().mark();
    for number in [0, 1] {
        fs::rename(place.file(number), archive.path().join(format!("{number:08}.jsonl"))).unwrap();
    }
    (place, archive, mark)
}

fn keys() -> Examination {
    Examination { keys: vec![Signer::of(7).public], ..Examination::default() }
}

#[tokio::test]
async fn log_goes_on_without_files_that_the_ledger_knows() {
    let (place, _archive, mark) = moved().await;
    let log = place.open_knowing(INSTANCE, Some(mark)).unwrap();
    let sequence = log.append(event(13)).await.unwrap();
    let (lines, end) = log.lines(mark, 10).await.unwrap();
    assert_eq!((lines.last().unwrap().sequence, end.sequence), (sequence, sequence + 1));
    let reader = AuditReader::new(place.folder.path());
    let first = reader.first().unwrap();
    assert!(first.sequence > 0);
    let (all, _) = reader.lines(first, 1000).unwrap();
    assert_eq!(all[0].sequence, first.sequence);
    assert_eq!(all.len() as u64, sequence + 1 - first.sequence);
    let refused = reader.lines(AuditReader::start(), 10);
    assert!(matches!(refused, Err(AuditLogError::FileMissing { .. })), "{refused:?}");
}

#[tokio::test]
async fn log_without_files_that_the_ledger_does_not_know_is_refused() {
    let (place, _archive, _) = moved().await;
    let missing = place.file(1);
    let begin = AuditReader::new(place.folder.path()).first().unwrap();
    for known in [None, Some(AuditMark { sequence: begin.sequence - 1, ..begin })] {
        let refused = place.open_knowing(INSTANCE, known);
        assert!(matches!(&refused, Err(AuditLogError::FileMissing { path }) if *path == missing), "{refused:?}");
    }
    place.open_knowing(INSTANCE, Some(begin)).unwrap();
}

#[tokio::test]
async fn rest_of_a_log_verifies_by_itself_and_together_with_what_was_moved_away() {
    let (place, archive, mark) = moved().await;
    let rest = place.examine(Examination { known: Some(mark), ..keys() });
    assert_eq!(rest.faults, []);
    assert!(rest.verified.first > 0 && rest.verified.checkpoints > 1);
    let verify_all = |folders: &[PathBuf]| {
        let files = files_of(folders).unwrap();
        examine(&Examination { files, known: Some(mark), ..keys() }, &mut |_| {}).unwrap()
    };
    let folders = [place.folder.path().to_owned(), archive.path().to_owned()];
    let all = verify_all(&folders);
    assert_eq!((all.faults.len(), all.verified.first), (0, 0));
    assert_eq!((all.verified.lines, all.verified.chain), (rest.verified.lines, rest.verified.chain));
    // What was moved away verifies by itself: it ends before the mark, and that is all.
    let kinds: Vec<FaultKind> = verify_all(&folders[1..]).faults.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [FaultKind::CutShort]);
    fs::copy(place.file(2), archive.path().join("00000002.jsonl")).unwrap();
    assert!(matches!(files_of(&folders), Err(AuditLogError::Damaged { .. })), "which of both counts?");
}

#[tokio::test]
async fn beginning_that_was_written_anew_is_found() {
    let (place, _archive, _) = moved().await;
    let text = place.text(2);
    let first = text.lines().next().unwrap();
    let value: serde_json::Value = serde_json::from_str(first).unwrap();
    let before = value["before"].as_str().unwrap();
    place.write(2, &text.replacen(before, &"0".repeat(64), 1));
    let kinds: Vec<FaultKind> = place.faults().into_iter().map(|(kind, _, _)| kind).collect();
    assert_eq!(kinds, [FaultKind::LineChanged]);
}

#[tokio::test]
async fn beginning_without_a_checkpoint_behind_it_is_not_believed() {
    let place = Place::new().written(9).await;
    fs::remove_file(place.file(0)).unwrap();
    let found = place.examine(Examination::default()).faults;
    assert_eq!(found.iter().map(|one| one.kind).collect::<Vec<_>>(), [FaultKind::BeginningUncovered]);
}

#[tokio::test]
async fn file_of_an_earlier_release_needs_the_one_before_it() {
    let place = Place::new().written(9).await;
    let text = place.text(1);
    let without = text.split_once('\n').unwrap().1;
    place.write(1, without);
    fs::remove_file(place.file(0)).unwrap();
    let kinds: Vec<FaultKind> = place.examine(Examination::default()).faults.iter().map(|one| one.kind).collect();
    assert_eq!(kinds[0], FaultKind::FileMissing);
    assert!(matches!(place.open(), Err(AuditLogError::FileMissing { .. })));
}

#[tokio::test]
async fn file_follows_another_when_its_first_line_is_old() {
    let mut place = Place::in_one_file();
    place.limits.file_age_max = Some(Duration::ZERO);
    let place = place.written(3).await;
    assert_eq!(place.last(), 3, "each batch finds the file before it too old");
    place.verify(None).unwrap();
    let mut place = Place::in_one_file();
    place.limits.file_age_max = Some(Duration::from_secs(1));
    assert_eq!(place.written(3).await.last(), 0);
}
