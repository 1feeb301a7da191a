//! What a kill or a power cut leaves of the lines that were not synced, and what it never leaves.

use std::fs;
use std::sync::Arc;

use ca::ports::{AuditEvent, AuditLog, AuditMark};
use store::audit::{AuditLogError, AuditReader, FileAuditLog};

use crate::place::{INSTANCE, Place, event};

/// Lines that were written at once, behind others that were on disk. Answers the number of the first of them.
async fn batch(log: &Arc<FileAuditLog>, lines: u8) {
    // While the writer is busy with a long line, the others come together.
    let long = tokio::spawn({
        let log = Arc::clone(log);
        async move { log.append(AuditEvent::Authority { der: vec![7; 700_000] }).await.unwrap() }
    });
    let calls: Vec<_> = (0..lines)
        .map(|number| {
            let log = Arc::clone(log);
            tokio::spawn(async move { log.append(event(number)).await.unwrap() })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    long.await.unwrap();
}

/// A log whose last lines say of each other that they were not on disk: their text, and how many were before them.
async fn with_batch() -> (Place, String, u64) {
    for _attempt in 0..1000 {
        let place = Place::in_one_file().written(2).await;
        let log = Arc::new(place.open().unwrap());
        batch(&log, 12).await;
        drop(log);
        let text = place.text(0);
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let sequence = last["seq"].as_u64().unwrap();
        // How many lines came together is not ours to say; four are enough.
        if let Some(synced) = last["synced"].as_u64().filter(|synced| synced + 3 < sequence) {
            return (place, text, synced);
        }
    }
    panic!("lines of many callers never came together");
}

/// Where each line begins.
fn begins(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

fn kept(place: &Place) -> Vec<u8> {
    fs::read(place.folder.path().join("00000000.torn")).unwrap()
}

#[tokio::test]
async fn torn_last_line_is_cut_off_wherever_it_was_torn() {
    let whole = Place::in_one_file().written(3).await;
    let text = whole.text(0);
    let last = text.trim_end().rfind('\n').unwrap() + 1;
    for end in (last + 1..text.len()).step_by(9).chain([text.len() - 1]) {
        whole.write(0, &text[..end]);
        let log = whole.open().unwrap();
        assert_eq!(log.torn_octets(), (end - last) as u64);
        assert_eq!(log.append(event(3)).await.unwrap(), 3);
        drop(log);
        assert_eq!(whole.text(0), text, "cut at {end}");
        assert_eq!(kept(&whole), text.as_bytes()[last..end], "what was cut off is kept");
        fs::remove_file(whole.folder.path().join("00000000.torn")).unwrap();
    }
}

#[tokio::test]
async fn torn_first_line_is_written_anew() {
    let place = Place::in_one_file().written(0).await;
    let text = place.text(0);
    for torn in [&text[..30], "\0\0\0\n\0\0"] {
        place.write(0, torn);
        assert_eq!(place.open().unwrap().torn_octets(), torn.len() as u64);
        assert_eq!(place.text(0), text);
    }
}

#[tokio::test]
async fn lines_of_an_unsynced_batch_may_be_in_any_state() {
    let (place, text, synced) = with_batch().await;
    let begins = begins(&text);
    let first = usize::try_from(synced).unwrap();
    for damaged in first..begins.len() - 1 {
        // A hole of zeros, as a file system leaves it that had no time to write this part.
        let mut octets = text.clone().into_bytes();
        let (begin, end) = (begins[damaged], begins[damaged + 1]);
        octets[begin + 20..end.min(begin + 90)].fill(0);
        fs::write(place.file(0), &octets).unwrap();
        let log = place.open().unwrap();
        assert_eq!(log.torn_octets(), (octets.len() - begin) as u64, "line {damaged}");
        assert_eq!(kept(&place), &octets[begin..], "lines behind the hole can't be known to be right");
        let sequence = log.append(event(99)).await.unwrap();
        assert_eq!(sequence, damaged as u64);
        drop(log);
        assert_eq!(place.verify(None).unwrap().lines, sequence + 1);
        fs::remove_file(place.folder.path().join("00000000.torn")).unwrap();
    }
}

#[tokio::test]
async fn damage_before_what_was_synced_stops_the_start() {
    let (place, text, synced) = with_batch().await;
    let begins = begins(&text);
    let last_synced = usize::try_from(synced).unwrap() - 1;
    let mut octets = text.clone().into_bytes();
    octets[begins[last_synced] + 20..begins[last_synced] + 60].fill(0);
    fs::write(place.file(0), &octets).unwrap();
    let refused = place.open().unwrap_err();
    assert!(matches!(&refused, AuditLogError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains(&format!("line {last_synced}")), "{refused}");
    assert_eq!(fs::read(place.file(0)).unwrap(), octets, "nothing was cut off");
    assert!(place.examine(store::audit::Examination::default()).faults.len() == 1);
}

#[tokio::test]
async fn changed_line_of_an_unsynced_batch_is_no_torn_one() {
    let (place, text, synced) = with_batch().await;
    let at = usize::try_from(synced).unwrap() + 1;
    let line = text.lines().nth(at).unwrap();
    place.write(0, &text.replace(line, &line.replacen("\"order\":\"0", "\"order\":\"f", 1)));
    assert!(matches!(place.open(), Err(AuditLogError::Damaged { .. })), "a power cut makes no other line of it");
}

#[tokio::test]
async fn nothing_that_the_ledger_knows_of_is_cut_off() {
    let place = Place::in_one_file().written(3).await;
    let log = place.open().unwrap();
    let known = log.mark();
    assert_eq!(known.sequence, 4);
    drop(log);
    let text = place.text(0);
    place.write(0, &text[..text.len() - 30]);
    let refused = place.open_knowing(INSTANCE, Some(known)).unwrap_err();
    assert!(matches!(&refused, AuditLogError::Damaged { .. }), "{refused}");
    assert_eq!(place.text(0).len(), text.len() - 30, "nothing was cut off");
    let before = AuditMark { sequence: 3, ..known };
    assert!(place.open_knowing(INSTANCE, Some(before)).unwrap().torn_octets() > 0);
}

#[tokio::test]
async fn lines_of_earlier_releases_were_all_synced_but_the_last() {
    // Without `synced`, a line says that all before it were on disk.
    let place = Place::in_one_file().written(4).await;
    let text = place.text(0);
    assert!(!text.contains("synced"));
    let begins = begins(&text);
    let mut octets = text.clone().into_bytes();
    octets[begins[3]..begins[3] + 40].fill(0);
    fs::write(place.file(0), &octets).unwrap();
    assert!(matches!(place.open(), Err(AuditLogError::Damaged { .. })));
}

#[tokio::test]
async fn kill_between_two_files_leaves_an_empty_one_that_is_not_in_the_way() {
    let place = Place::new().written(9).await;
    let (last, text) = (place.last(), place.text(place.last()));
    place.write(last + 1, "");
    let log = place.open().unwrap();
    assert!(!place.file(last + 1).exists(), "nothing was written to it");
    let sequence = log.append(event(10)).await.unwrap();
    assert!(place.text(last).starts_with(&text));
    assert_eq!(place.verify(None).unwrap().lines, sequence + 1);
    // A power cut may bring back a file that was removed, and leave the one before torn.
    drop(log);
    let (last, text) = (place.last(), place.text(place.last()));
    place.write(last, &text[..text.len() - 9]);
    place.write(last + 1, "");
    assert!(place.open().unwrap().torn_octets() > 0);
    place.verify(None).unwrap();
}

#[tokio::test]
async fn kill_while_the_first_line_of_a_file_is_written_takes_that_line_only() {
    let place = Place::new().written(9).await;
    let last = place.last();
    let text = place.text(last);
    let first = text.find('\n').unwrap();
    for end in [1, first / 2, first] {
        place.write(last, &text[..end]);
        let log = place.open().unwrap();
        assert_eq!(log.torn_octets(), end as u64);
        let before = log.mark().sequence;
        assert_eq!(log.append(event(9)).await.unwrap(), before + 1, "behind the line that begins the file");
        drop(log);
        assert_eq!(place.verify(None).unwrap().lines, before + 2);
    }
}

#[tokio::test]
async fn file_before_the_last_that_ends_torn_stops_the_start() {
    let place = Place::new().written(9).await;
    let last = place.last();
    let before = place.text(last - 1);
    place.write(last - 1, &before[..before.len() - 5]);
    // The last one has lines that go on from another.
    place.write(last, place.text(last).lines().next().unwrap());
    assert!(matches!(place.open(), Err(AuditLogError::Damaged { .. })));
}

#[tokio::test]
async fn reader_reads_what_is_whole() {
    let (place, text, _) = with_batch().await;
    let lines = text.lines().count();
    place.write(0, &text[..text.len() - 40]);
    let (read, _) = AuditReader::new(place.folder.path()).lines(AuditReader::start(), 100).unwrap();
    assert_eq!(read.len(), lines - 1);
}

#[tokio::test]
async fn line_of_a_later_release_is_no_torn_one() {
    let place = Place::in_one_file().written(3).await;
    let text = place.text(0);
    let lines: Vec<&str> = text.lines().collect();
    let before: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
    let before = pki::Sha256::parse(before["chain"].as_str().unwrap()).unwrap();
    let body = lines[3][..lines[3].rfind(",\"chain\"").unwrap()].replace("\"precertificate\"", "\"of-tomorrow\"");
    let hash = pki::Sha256::of_parts(&[before.as_bytes(), body.as_bytes(), b"}"]);
    let text = format!("{}\n{body},\"chain\":\"{hash}\"}}\n", lines[..3].join("\n"));
    place.write(0, &text);
    let refused = place.open().unwrap_err();
    assert!(refused.to_string().contains("later release"), "{refused}");
    assert_eq!(place.text(0), text, "nothing was cut off");
}

#[tokio::test]
async fn damaged_first_line_before_good_ones_stops_the_start() {
    let place = Place::in_one_file().written(3).await;
    place.write(0, &place.text(0).replacen("\"begun\"", "\"begum\"", 1));
    assert!(matches!(place.open(), Err(AuditLogError::Damaged { .. })));
}

#[tokio::test]
async fn start_that_is_refused_since_all_files_were_moved_away_makes_none() {
    let place = Place::in_one_file().written(3).await;
    let known = place.open().unwrap().mark();
    fs::remove_file(place.file(0)).unwrap();
    assert!(place.open_knowing(INSTANCE, Some(known)).is_err());
    assert!(!place.file(0).exists());
}
