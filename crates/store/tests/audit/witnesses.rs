//! What a verification believes, and whom: keys and checkpoints that were kept elsewhere, and not what stands beside
//! the log.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ca::ports::{AuditLog, AuditMark};
use pki::Sha256;
use store::audit::{
    CheckpointError, CheckpointRules, Checkpointer, Examination, FaultKind, change_checkpoint_key, newest_checkpoint,
};

use crate::place::{INSTANCE, Noon, Place, Signer, event};

fn kinds(place: &Place, what: Examination) -> Vec<FaultKind> {
    place.examine(what).faults.iter().map(|one| one.kind).collect()
}

fn told(seed: u8) -> Examination {
    Examination { keys: vec![Signer::of(seed).public], own: Some(Signer::of(8).public), ..Examination::default() }
}

/// The lines with another text, the chain computed anew from the first to the last.
fn chained(path: &Path, change: impl Fn(u64, &str) -> String) {
    let mut chain = [0; 32];
    let mut text = String::new();
    for (number, line) in (0..).zip(fs::read_to_string(path).unwrap().lines()) {
        let line = change(number, line);
        let body = format!("{}}}", &line[..line.rfind(",\"chain\"").unwrap()]);
        let hash = Sha256::of_parts(&[&chain, body.as_bytes()]);
        chain = *hash.as_bytes();
        text += &format!("{},\"chain\":\"{hash}\"}}\n", &body[..body.len() - 1]);
    }
    fs::write(path, text).unwrap();
}

#[tokio::test]
async fn log_written_anew_with_another_key_is_found_by_a_key_kept_elsewhere() {
    // The folder is a stranger's, with the stranger's key in it.
    let place = Place::in_one_file();
    let log = Arc::new(place.open().unwrap());
    let checkpointer = place.checkpointer(&log, 8).await;
    log.append(event(1)).await.unwrap();
    checkpointer.make().await.unwrap().unwrap();
    assert_eq!(kinds(&place, told(7)), [FaultKind::OtherKey]);
    assert_eq!(kinds(&place, told(8)), []);
    // A last line that names the right key signs nothing.
    change_checkpoint_key(&log, INSTANCE, None, &Signer::of(7).public).await.unwrap();
    assert_eq!(kinds(&place, told(7)), [FaultKind::OtherKey]);
}

#[tokio::test]
async fn key_in_the_folder_does_not_vouch_for_itself() {
    let place = Place::in_one_file().signed(4).await;
    let log = Arc::new(place.open().unwrap());
    change_checkpoint_key(&log, INSTANCE, None, &Signer::of(8).public).await.unwrap();
    place.checkpointer(&log, 8).await.make().await.unwrap().unwrap();
    let own = Examination { own: Some(Signer::of(8).public), ..Examination::default() };
    assert_eq!(kinds(&place, own), [FaultKind::KeyChangeUnsigned]);
    assert_eq!(kinds(&place, told(7)), [FaultKind::KeyChangeUnsigned, FaultKind::OtherKey]);
}

#[tokio::test]
async fn emptied_file_is_named_wherever_it_stands() {
    for (emptied, removed) in [(0, None), (1, None), (1, Some(0))] {
        let place = Place::new().signed(12).await;
        let mark = place.open().unwrap().mark();
        fs::write(place.file(emptied), "").unwrap();
        if let Some(number) = removed {
            fs::remove_file(place.file(number)).unwrap();
        }
        let found = place.examine(Examination { known: Some(mark), ..told(7) }).faults;
        assert_eq!(found[0].kind, FaultKind::FileCut, "{found:?}");
        assert_eq!(found[0].place.as_ref().unwrap().path, place.file(emptied));
    }
    let place = Place::new().signed(12).await;
    fs::write(place.file(1), "no line").unwrap();
    fs::remove_file(place.file(0)).unwrap();
    assert_ne!(kinds(&place, told(7)), [], "a file without a newline");
}

#[tokio::test]
async fn checkpoint_that_can_not_be_compared_is_not_praised() {
    let place = Place::new().signed(2).await;
    let early = newest_checkpoint(place.folder.path(), INSTANCE).unwrap().unwrap();
    let place = place.signed(12).await;
    let what = || Examination { checkpoints: vec![early.clone()], ..told(7) };
    let whole = place.examine(what());
    assert_eq!((whole.faults, whole.compared), (vec![], vec![true]));
    for number in [0, 1, 2] {
        fs::remove_file(place.file(number)).unwrap();
    }
    let rest = place.examine(what());
    assert_eq!(rest.compared, [false]);
    assert_eq!(rest.faults.iter().map(|one| one.kind).collect::<Vec<_>>(), [FaultKind::CheckpointNotComparable]);
}

#[tokio::test]
async fn long_unsigned_tail_is_a_fault_to_who_knows_the_key() {
    let place = Place::in_one_file().signed(6).await;
    let log = place.open().unwrap();
    for number in [7, 8] {
        log.append(event(number)).await.unwrap();
    }
    assert_eq!(kinds(&place, told(7)), [], "a server that runs leaves some");
    let whole = fs::read_to_string(place.file(0)).unwrap();
    let lines = whole.lines().count() as u64;
    let at = whole.lines().last().unwrap().split("\"at\":\"").nth(1).unwrap()[..10].to_owned();
    chained(
        &place.file(0),
        |number, line| {
            if number + 2 < lines { line.to_owned() } else { line.replacen(&at, "2999-01-01", 1) }
        },
    );
    assert_eq!(kinds(&place, Examination::default()), []);
    assert_eq!(kinds(&place, told(7)), [FaultKind::UnsignedTooLong]);
}

#[tokio::test]
async fn log_that_is_not_that_of_the_note_beside_it_gets_no_signature() {
    let rules = CheckpointRules { lines: 1, interval: Duration::ZERO };
    for change in [0, 1] {
        let place = Place::in_one_file().signed(6).await;
        if change == 0 {
            let text = place.text(0);
            let lines: Vec<&str> = text.split_inclusive('\n').take(4).collect();
            place.write(0, &lines.concat());
        } else {
            chained(&place.file(0), |_, line| line.replace(&"01".repeat(16), &"0f".repeat(16)));
        }
        let note = store::audit::read_note(place.folder.path());
        assert_ne!(kinds(&place, Examination { note, ..told(7) }), []);
        let log = Arc::new(place.open().unwrap());
        let begin = || {
            let (log, key) = (Arc::clone(&log), Arc::new(Signer::of(7)));
            Checkpointer::begin(log, place.folder.path(), INSTANCE, key, rules, Arc::new(Noon))
        };
        let refused = begin().await.unwrap_err();
        assert!(matches!(refused, CheckpointError::WrittenAnew { .. }), "{refused}");
        log.append(event(9)).await.unwrap();
        // An operator who knows why removes the note.
        fs::remove_file(place.folder.path().join("checkpoint.note")).unwrap();
        begin().await.unwrap().make().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn faults_of_the_log_as_a_whole_are_named_behind_any_number_of_others() {
    let place = Place::in_one_file().signed(6).await;
    let mut text = place.text(0);
    text += &"nothing\n".repeat(2000);
    place.write(0, &text);
    let known = AuditMark { sequence: 5000, chain: Sha256::from_bytes([1; 32]) };
    let found = kinds(&place, Examination { known: Some(known), ..told(7) });
    assert_eq!(found.last(), Some(&FaultKind::CutShort));
}
