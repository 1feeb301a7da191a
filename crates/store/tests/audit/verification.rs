//! What a verification finds: each fault by its name and place, and all of them.

use std::fs;

use ca::ports::{AuditEvent, AuditLog, AuditMark, StoreErrorKind};
use pki::Sha256;
use serde_json::Value;
use store::audit::{AuditLogError, AuditReader, Examination, Fault, FaultKind, SignedCheckpoint, files_of, verify};

use crate::place::{INSTANCE, Place, Signer, event};

/// The line of the file in which the octet stands is named, whatever it was a part of.
#[tokio::test]
async fn every_changed_octet_is_found_in_its_file_and_line() {
    let place = Place::new().written(9).await;
    let good = fs::read(place.file(1)).unwrap();
    let mut line = 1;
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 0x01;
        fs::write(place.file(1), &changed).unwrap();
        let found = place.verify(None).unwrap_err();
        let named = found.place.as_ref().map(|place| (place.path.clone(), place.line));
        assert_eq!(named, Some((place.file(1), Some(line))), "octet {at}: {found}");
        line += u64::from(good[at] == b'\n');
    }
    assert!(line > 2, "it has several lines");
    fs::write(place.file(1), &good).unwrap();
    assert!(place.verify(None).is_ok());
}

#[tokio::test]
async fn verification_tells_how_far_it_has_come() {
    let place = Place::new().written(9).await;
    let mut told = Vec::new();
    verify(place.folder.path(), None, &mut |progress| told.push(progress)).unwrap();
    let last = told.last().unwrap();
    assert_eq!((last.octets, last.lines), (last.octets_total, place.verify(None).unwrap().lines));
    let octets: usize = (0..)
        .map(|number| place.file(number))
        .take_while(|file| file.exists())
        .map(|file| fs::read(file).unwrap().len())
        .sum();
    assert_eq!(last.octets_total, octets as u64);
}

#[tokio::test]
async fn line_that_is_being_written_is_no_fault() {
    let place = Place::new().written(5).await;
    let last = (0..).take_while(|number| place.file(*number).exists()).last().unwrap();
    let begun = place.text(last) + "{\"seq\":6,\"at\":\"2026";
    fs::write(place.file(last), begun).unwrap();
    let verified = place.verify(None).unwrap();
    assert_eq!((verified.lines, verified.unfinished_octets, verified.files), (6 + u64::from(last), 19, last + 1));
    let (lines, end) = AuditReader::new(place.folder.path()).lines(AuditReader::start(), 100).unwrap();
    assert_eq!((lines.len() as u64, end.sequence), (verified.lines, verified.lines));
    let first = place.text(0);
    fs::write(place.file(0), &first[..first.len() - 1]).unwrap();
    assert!(place.verify(None).is_err(), "only the last file may end so");
}

/// What `change` makes of the lines of a file.
fn edit(place: &Place, number: u32, change: impl FnOnce(&mut Vec<String>)) {
    let mut lines: Vec<String> = place.text(number).lines().map(str::to_owned).collect();
    change(&mut lines);
    place.write(number, &(lines.join("\n") + "\n"));
}

#[tokio::test]
async fn signed_log_verifies_up_to_its_last_checkpoint() {
    let place = Place::new().signed(9).await;
    let found = place.examine(Examination { keys: vec![Signer::of(7).public], ..Examination::default() });
    assert_eq!(found.faults, []);
    assert_eq!(found.key, Some(Signer::of(7).public));
    assert_eq!(found.verified.checkpoints, 4);
    assert_eq!(found.verified.unsigned, 2, "the ninth line, and the one before that begins its file");
    assert!(place.file(3).exists(), "it goes over several files");
}

#[tokio::test]
async fn changed_line_is_named() {
    let place = Place::in_one_file().signed(6).await;
    edit(&place, 0, |lines| lines[3] = lines[3].replace(&"02".repeat(16), &"04".repeat(16)));
    assert_eq!(place.faults(), [(FaultKind::LineChanged, Some(4), Some(3))]);
    let fault = place.verify(None).unwrap_err();
    assert!(fault.to_string().contains("00000000.jsonl, line 4: line 3 of the log was changed"), "{fault}");
}

#[tokio::test]
async fn line_whose_hash_was_changed_is_the_only_one_named() {
    let place = Place::in_one_file().written(5).await;
    edit(&place, 0, |lines| {
        let end = lines[2].len() - 3;
        let other = if &lines[2][end..=end] == "a" { "b" } else { "a" };
        lines[2].replace_range(end..=end, other);
    });
    let found = place.examine(Examination::default());
    assert_eq!(found.faults.len(), 1, "{:?}", found.faults);
    assert_eq!((found.faults[0].kind, found.faults[0].sequence), (FaultKind::LineChanged, Some(2)));
}

#[tokio::test]
async fn line_whose_number_was_changed_is_named() {
    let place = Place::in_one_file().signed(6).await;
    edit(&place, 0, |lines| lines[3] = lines[3].replace("{\"seq\":3,", "{\"seq\":8,"));
    assert_eq!(place.faults(), [(FaultKind::LineChanged, Some(4), Some(3))]);
}

#[tokio::test]
async fn removed_lines_are_named_where_they_stood() {
    for (removed, expected) in [(2..3, 2), (3..6, 3), (0..1, 0)] {
        let place = Place::in_one_file().signed(8).await;
        let first = removed.start;
        edit(&place, 0, |lines| drop(lines.drain(removed)));
        let faults = place.faults();
        assert_eq!(faults[0], (FaultKind::LinesMissing, Some(first as u64 + 1), Some(expected)), "{faults:?}");
        assert_eq!(faults.len(), 1, "{faults:?}");
    }
}

#[tokio::test]
async fn swapped_lines_are_named() {
    let place = Place::in_one_file().signed(6).await;
    edit(&place, 0, |lines| lines.swap(2, 3));
    assert_eq!(place.faults(), [(FaultKind::LinesSwapped, Some(3), Some(2))]);
}

#[tokio::test]
async fn line_written_twice_is_named() {
    let place = Place::in_one_file().signed(6).await;
    edit(&place, 0, |lines| lines.insert(4, lines[2].clone()));
    let kinds: Vec<FaultKind> = place.faults().into_iter().map(|(kind, _, _)| kind).collect();
    assert_eq!(kinds[0], FaultKind::LineOutOfPlace);
}

#[tokio::test]
async fn what_is_no_line_is_named() {
    let place = Place::in_one_file().signed(6).await;
    edit(&place, 0, |lines| lines[4] = "nothing".to_owned());
    assert_eq!(place.faults(), [(FaultKind::NoLine, Some(5), Some(4))]);
}

#[tokio::test]
async fn swapped_files_are_named() {
    let place = Place::new().signed(9).await;
    let (one, two) = (place.text(1), place.text(2));
    place.write(1, &two);
    place.write(2, &one);
    let found = place.examine(Examination::default()).faults;
    let paths: Vec<_> = found.iter().map(|one| one.place.clone().unwrap().path).collect();
    assert!(found.iter().all(|one| one.kind == FaultKind::FileOutOfPlace), "{found:?}");
    assert!(paths.len() == 2 && paths.contains(&place.file(1)) && paths.contains(&place.file(2)), "{paths:?}");
}

#[tokio::test]
async fn missing_file_is_named_and_the_rest_is_verified() {
    let place = Place::new().signed(9).await;
    let first = place.examine(Examination::default()).verified.first;
    assert_eq!(first, 0);
    edit(&place, 3, |lines| lines[1] = "nothing".to_owned());
    fs::remove_file(place.file(1)).unwrap();
    let found = place.examine(Examination::default()).faults;
    let kinds: Vec<FaultKind> = found.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [FaultKind::FileMissing, FaultKind::NoLine], "{found:?}");
    assert_eq!(found[0].place.as_ref().unwrap().path, place.file(1));
    assert!(matches!(place.open(), Err(AuditLogError::FileMissing { path }) if path == place.file(1)));
}

#[tokio::test]
async fn cut_file_is_named() {
    let place = Place::new().signed(9).await;
    let text = place.text(1);
    place.write(1, &text[..text.len() - 20]);
    let kinds: Vec<FaultKind> = place.faults().into_iter().map(|(kind, _, _)| kind).collect();
    assert_eq!(kinds, [FaultKind::FileCut, FaultKind::LinesMissing]);
}

#[tokio::test]
async fn all_faults_are_named_and_not_only_the_first() {
    let place = Place::in_one_file().signed(8).await;
    edit(&place, 0, |lines| {
        lines[2] = lines[2].replace(&"01".repeat(16), &"04".repeat(16));
        lines[5] = "nothing".to_owned();
        lines.remove(8);
    });
    let kinds: Vec<FaultKind> = place.faults().into_iter().map(|(kind, _, _)| kind).collect();
    assert_eq!(kinds, [FaultKind::LineChanged, FaultKind::NoLine, FaultKind::LinesMissing]);
}

#[tokio::test]
async fn log_that_was_cut_short_or_written_anew_is_found_by_a_mark() {
    let place = Place::in_one_file().written(5).await;
    let mark = place.open().unwrap().mark();
    assert!(place.verify(Some(mark)).is_ok());
    edit(&place, 0, |lines| lines.truncate(4));
    assert_eq!(place.verify(Some(mark)).unwrap_err().kind, FaultKind::CutShort);
    let read = AuditReader::new(place.folder.path()).lines(mark, 10);
    assert!(matches!(read, Err(AuditLogError::CutShort { lines: 4, mark: 6, .. })), "{read:?}");
    let log = place.open().unwrap();
    for number in [7, 8, 9] {
        log.append(event(number)).await.unwrap();
    }
    assert!(place.verify(None).is_ok(), "the chain alone can't tell");
    assert_eq!(place.verify(Some(mark)).unwrap_err().kind, FaultKind::WrittenAnew);
    assert_eq!(log.lines(mark, 10).await.unwrap_err().kind, StoreErrorKind::Corrupt);
}

/// All lines with other contents, the chain computed anew: what somebody can do who may write to the files.
fn written_anew(place: &Place, number: u32) {
    let mut chain = [0; 32];
    edit(place, number, |lines| {
        for line in lines {
            let body = line.replace(&"01".repeat(16), &"0f".repeat(16));
            let body = format!("{}}}", &body[..body.rfind(",\"chain\"").unwrap()]);
            let hash = Sha256::of_parts(&[&chain, body.as_bytes()]);
            chain = *hash.as_bytes();
            *line = format!("{},\"chain\":\"{hash}\"}}", &body[..body.len() - 1]);
        }
    });
}

#[tokio::test]
async fn log_written_anew_with_a_new_chain_is_found_by_its_checkpoints() {
    let place = Place::in_one_file().signed(6).await;
    written_anew(&place, 0);
    let faults = place.faults();
    assert_eq!(faults[0], (FaultKind::WrittenAnew, Some(5), Some(4)), "{faults:?}");
    // Without its checkpoints the chain is whole, but no key is named.
    edit(&place, 0, |lines| lines.retain(|line| !line.contains("checkpoint")));
    edit(&place, 0, |lines| {
        for (number, line) in lines.iter_mut().enumerate() {
            let (_, rest) = line.split_once(',').unwrap();
            *line = format!("{{\"seq\":{number},{rest}");
        }
    });
    written_anew(&place, 0);
    assert!(place.verify(None).is_ok(), "the chain alone can't tell");
    assert_eq!(place.faults(), [(FaultKind::OtherKey, None, None)]);
}

#[tokio::test]
async fn checkpoint_taken_earlier_tells_a_log_that_was_cut_short_or_signed_anew() {
    let place = Place::in_one_file().signed(6).await;
    let note = store::audit::newest_checkpoint(place.folder.path(), INSTANCE).unwrap().unwrap().note();
    let taken = |note: &str| Examination {
        checkpoints: vec![SignedCheckpoint::parse(note).unwrap()],
        keys: vec![Signer::of(7).public],
        ..Examination::default()
    };
    let kinds = |place: &Place, note: &str| -> Vec<FaultKind> {
        place.examine(taken(note)).faults.iter().map(|one| one.kind).collect()
    };
    assert_eq!(kinds(&place, &note), []);
    let text = place.text(0);
    edit(&place, 0, |lines| lines.truncate(6));
    assert_eq!(kinds(&place, &note), [FaultKind::CutShort]);
    place.write(0, &text);
    assert_eq!(kinds(&place, &note.replace("12:00:00", "12:00:01")), [FaultKind::CheckpointForged]);
    // Somebody has the key too, and signs another log with it.
    let other = Place::in_one_file().written(3).await.signed(6).await;
    assert_eq!(other.faults(), []);
    assert_eq!(kinds(&other, &note), [FaultKind::WrittenAnew]);
}

#[tokio::test]
async fn line_appended_by_a_stranger_is_an_unsigned_tail() {
    let place = Place::in_one_file().signed(6).await;
    let before = place.examine(Examination::default()).verified;
    assert_eq!(before.unsigned, 0);
    place.open().unwrap().append(event(9)).await.unwrap();
    let found = place.examine(Examination::default());
    assert_eq!((found.faults.len(), found.verified.unsigned), (0, 1));
    assert_eq!(found.verified.signed, before.signed);
}

#[tokio::test]
async fn checkpoint_with_a_wrong_signature_or_of_a_key_not_named_is_named() {
    let place = Place::in_one_file().signed(6).await;
    let text = place.text(0);
    let line = text.lines().nth(4).unwrap();
    let event: Value = serde_json::from_str(line).unwrap();
    assert_eq!(event["event"], "checkpoint");
    let signature = event["signature"].as_str().unwrap();
    let forged = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{forged}{}", &signature[1..]);
    place.write(0, &text.replace(signature, &forged));
    written_anew(&place, 0);
    let kinds: Vec<FaultKind> = place.faults().into_iter().map(|(kind, _, _)| kind).collect();
    assert_eq!(kinds[0], FaultKind::CheckpointForged);
    let (key, other) = (Signer::of(7).public, Signer::of(8).public);
    let base64 = |key: &pki::PublicKey| data_encoding::BASE64.encode(key.spki_der());
    place.write(0, &text.replace(line, &line.replace(&base64(&key), &base64(&other))));
    written_anew(&place, 0);
    let kinds: Vec<FaultKind> = place.faults().into_iter().map(|(kind, _, _)| kind).collect();
    assert_eq!(kinds[0], FaultKind::CheckpointKeyUnknown);
}

#[tokio::test]
async fn files_of_another_instance_are_named() {
    let place = Place::new().signed(9).await;
    let found = verify_as(&place, ca::InstanceId::from_bytes([0xb2; 16]));
    assert_eq!(found.kind, FaultKind::OtherInstance);
}

fn verify_as(place: &Place, instance: ca::InstanceId) -> Fault {
    let files = files_of(&[place.folder.path().to_owned()]).unwrap();
    let what = Examination { files, instance: Some(instance), ..Examination::default() };
    store::audit::examine(&what, &mut |_| {}).unwrap().faults.remove(0)
}

#[tokio::test]
async fn pieces_of_a_large_file_fit_together() {
    let place = Place::in_one_file();
    let log = place.open().unwrap();
    // Lines of many lengths, so that pieces end in the midst of some and between others.
    for number in 0..60 {
        log.append(AuditEvent::Authority { der: vec![number; 200_000 + 777 * usize::from(number)] }).await.unwrap();
    }
    let end = log.mark();
    drop(log);
    let verified = place.verify(Some(AuditMark { sequence: 61, chain: end.chain })).unwrap_err();
    assert_eq!(verified.kind, FaultKind::WrittenAnew, "the mark is before the first line");
    assert_eq!(place.verify(None).unwrap().lines, 61);
    let mut octets = fs::read(place.file(0)).unwrap();
    for line in [17, 40] {
        let at = octets.iter().enumerate().filter(|(_, octet)| **octet == b'\n').nth(line).unwrap().0;
        octets[at + 100_000] ^= 1;
    }
    fs::write(place.file(0), octets).unwrap();
    let found = place.examine(Examination::default()).faults;
    let lines: Vec<Option<u64>> = found.iter().map(|one| one.sequence).collect();
    assert_eq!(lines, [Some(18), Some(41)], "{found:?}");
}

#[test]
fn empty_folder_is_a_log_without_lines() {
    let place = Place::new();
    let verified = place.verify(None).unwrap();
    assert_eq!((verified.files, verified.lines), (0, 0));
}
