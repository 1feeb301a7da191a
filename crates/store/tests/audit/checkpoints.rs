//! Checkpoints: when they are made, with which key, and that nothing fails with them.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ca::ports::{AuditEvent, AuditLog, CheckpointKey, SignError};
use store::audit::{
    AuditReader, CheckpointError, CheckpointRules, Checkpointer, Examination, FaultKind, SignedCheckpoint,
    change_checkpoint_key, named_key, newest_checkpoint,
};

use crate::place::{INSTANCE, Noon, Place, Signer, event};

async fn began(place: &Place, seed: u8, rules: CheckpointRules) -> Result<Checkpointer, CheckpointError> {
    let log = Arc::new(place.open().unwrap());
    let key = Arc::new(Signer::of(seed));
    Checkpointer::begin(log, place.folder.path(), INSTANCE, key, rules, Arc::new(Noon)).await
}

const SELDOM: CheckpointRules = CheckpointRules { lines: 4, interval: Duration::from_secs(1 << 40) };

#[tokio::test]
async fn first_checkpoint_is_behind_the_line_that_names_its_key() {
    let place = Place::in_one_file().written(2).await;
    let log = Arc::new(place.open().unwrap());
    let checkpointer = place.checkpointer(&log, 7).await;
    assert_eq!(named_key(place.folder.path()).unwrap(), Some(Signer::of(7).public));
    assert_eq!(checkpointer.make_if_due().await.unwrap(), Some(4));
    assert_eq!(checkpointer.make_if_due().await.unwrap(), None, "its own line alone asks for no other");
    assert_eq!(checkpointer.make().await.unwrap(), None);
    log.append(event(3)).await.unwrap();
    assert_eq!(checkpointer.make_if_due().await.unwrap(), Some(6));
    assert_eq!(log.mark().sequence, 5, "lines of checkpoints are not the ledger's");
    let newest = newest_checkpoint(place.folder.path(), INSTANCE).unwrap().unwrap();
    assert!(newest.is_signed_by(&Signer::of(7).public));
    let note = fs::read_to_string(place.folder.path().join("checkpoint.note")).unwrap();
    assert_eq!(SignedCheckpoint::parse(&note).unwrap(), newest, "it stands beside the log too");
}

#[tokio::test]
async fn checkpoint_is_due_by_lines_by_time_and_by_file() {
    let place = Place::in_one_file().written(1).await;
    let log = Arc::new(place.open().unwrap());
    let key = || Arc::new(Signer::of(7));
    let begin =
        |rules| Checkpointer::begin(Arc::clone(&log), place.folder.path(), INSTANCE, key(), rules, Arc::new(Noon));
    let checkpointer = begin(SELDOM).await.unwrap();
    for number in 2..=9 {
        let made = checkpointer.make_if_due().await.unwrap();
        let lines = log.append(event(number)).await.unwrap();
        assert_eq!(made.is_some(), [5, 10].contains(&lines), "before line {lines}: {made:?}");
    }
    drop(checkpointer);
    let often = CheckpointRules { lines: 1000, interval: Duration::ZERO };
    assert!(begin(often).await.unwrap().make_if_due().await.unwrap().is_some());
    let files = Place::new();
    let log = Arc::new(files.open().unwrap());
    let rules = CheckpointRules { lines: 1000, ..SELDOM };
    let folder = files.folder.path();
    let checkpointer =
        Checkpointer::begin(Arc::clone(&log), folder, INSTANCE, key(), rules, Arc::new(Noon)).await.unwrap();
    while files.last() == 0 {
        assert_eq!(checkpointer.make_if_due().await.unwrap(), None);
        log.append(event(1)).await.unwrap();
    }
    assert!(checkpointer.make_if_due().await.unwrap().is_some(), "at the turn of a file");
}

#[tokio::test]
async fn restarted_process_goes_on_with_the_same_key_and_refuses_another() {
    let place = Place::new().signed(9).await;
    let before = fs::read_to_string(place.file(place.last())).unwrap();
    drop(began(&place, 7, SELDOM).await.unwrap());
    assert_eq!(place.text(place.last()), before, "the key is named once");
    // Without the note, the log itself is asked.
    fs::remove_file(place.folder.path().join("checkpoint.note")).unwrap();
    drop(began(&place, 7, SELDOM).await.unwrap());
    assert_eq!(place.text(place.last()), before);
    let refused = began(&place, 8, SELDOM).await.unwrap_err();
    assert!(
        matches!(refused, CheckpointError::AnotherKey(hash) if hash == Signer::of(7).public.spki_hash()),
        "{refused}"
    );
    assert_eq!(place.text(place.last()), before);
}

#[tokio::test]
async fn new_key_is_signed_for_by_the_old_or_found() {
    for old in [Some(Signer::of(7)), None] {
        let place = Place::in_one_file().signed(4).await;
        let log = Arc::new(place.open().unwrap());
        let signed = old.is_some();
        let old = old.as_ref().map(|old| old as &dyn CheckpointKey);
        let line = change_checkpoint_key(&log, INSTANCE, old, &Signer::of(8).public).await.unwrap();
        let checkpointer = place.checkpointer(&log, 8).await;
        log.append(event(5)).await.unwrap();
        checkpointer.make().await.unwrap().unwrap();
        let found = place.examine(Examination::default());
        assert_eq!(found.key, Some(Signer::of(8).public));
        let faults: Vec<_> = found.faults.iter().map(|one| (one.kind, one.sequence)).collect();
        let unsigned = (FaultKind::KeyChangeUnsigned, Some(line));
        assert_eq!(faults, if signed { vec![] } else { vec![unsigned] });
        let told = place.examine(Examination { keys: vec![Signer::of(8).public], ..Examination::default() });
        assert_eq!(told.faults, [], "who knows the new key need not ask");
    }
}

#[tokio::test]
async fn key_that_signs_for_its_successor_in_the_name_of_another_is_not_believed() {
    let place = Place::in_one_file().signed(4).await;
    let log = place.open().unwrap();
    let stranger = Signer::of(9);
    change_checkpoint_key(&log, INSTANCE, Some(&stranger), &Signer::of(8).public).await.unwrap();
    let kinds: Vec<FaultKind> = place.examine(Examination::default()).faults.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [FaultKind::KeyChangeUnsigned]);
}

/// A key that does not sign.
#[derive(Debug)]
struct Broken(Signer);

#[async_trait]
impl CheckpointKey for Broken {
    fn public_key(&self) -> &pki::PublicKey {
        self.0.public_key()
    }

    async fn sign(&self, _note: &[u8]) -> Result<Vec<u8>, SignError> {
        Err(SignError::NotSigned("the token was taken out".to_owned()))
    }
}

#[tokio::test]
async fn log_goes_on_while_its_key_does_not_sign() {
    let place = Place::in_one_file().written(1).await;
    let log = Arc::new(place.open().unwrap());
    let key = Arc::new(Broken(Signer::of(7)));
    let begun = Checkpointer::begin(Arc::clone(&log), place.folder.path(), INSTANCE, key, SELDOM, Arc::new(Noon));
    let refused = begun.await.unwrap().make().await.unwrap_err();
    assert!(matches!(refused, CheckpointError::NotSigned(_)), "{refused}");
    assert_eq!(log.append(event(2)).await.unwrap(), 3);
    assert_eq!(place.verify(None).unwrap().lines, 4);
}

#[tokio::test]
async fn checkpoints_stand_between_lines_of_many_callers() {
    let place = Place::new();
    let log = Arc::new(place.open().unwrap());
    let checkpointer = Arc::new(place.checkpointer(&log, 7).await);
    let callers: Vec<_> = (0..8)
        .map(|number| {
            let (log, checkpointer) = (Arc::clone(&log), Arc::clone(&checkpointer));
            tokio::spawn(async move {
                for _ in 0..10 {
                    log.append(event(number)).await.unwrap();
                    checkpointer.make_if_due().await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let found = place.examine(Examination { keys: vec![Signer::of(7).public], ..Examination::default() });
    assert_eq!(found.faults, []);
    assert!(found.verified.checkpoints > 0);
    let (lines, _) = AuditReader::new(place.folder.path()).lines(AuditReader::start(), 1000).unwrap();
    let written = lines.iter().filter(|line| matches!(line.event, AuditEvent::Precertificate { .. })).count();
    assert_eq!(written, 80);
}
