//! CRLs in pieces: what binds the pieces together.

use std::time::Duration;

use super::world::{self, issuer_name};
use crate::lint::{CrlLinter, LintFailure};
use crate::{Certificate, CrlDraft, CrlEntry, CrlFields, CrlOutline, Reason, Serial, Sha256, Timestamp};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn issuer() -> Certificate {
    world::intermediate(&world::p256())
}

fn entry(number: u8) -> CrlEntry {
    CrlEntry { serial: Serial::from_random([number; 16]), revoked_at: NOW.minus(HOUR), reason: Reason::Superseded }
}

fn encoded(entries: &[CrlEntry]) -> Vec<u8> {
    let mut octets = Vec::new();
    entries.iter().for_each(|entry| crate::crl::encode_entry(&mut octets, entry));
    octets
}

fn outline(number: u64, entries: &[CrlEntry]) -> CrlOutline {
    let issuer = issuer();
    let fields = CrlFields {
        issuer: &issuer_name(),
        issuer_key_identifier: issuer.public_key().key_identifier(),
        signature_algorithm: issuer.public_key().default_signature_algorithm(),
        number,
        this_update: NOW,
        next_update: NOW.plus(HOUR),
        distribution_point: Some("http://r1.example.com/crl/17.crl"),
    };
    CrlOutline::build(&fields, entries.len() as u64, encoded(entries).len() as u64)
}

/// Lints `ours` behind `theirs`, in pieces of so many octets, where these serials have expired.
fn lint(theirs: &[u8], ours: &[u8], expired: &[u8], piece: usize) -> Result<CrlDraft, LintFailure> {
    let issuer = issuer();
    let of = |numbers: &[u8]| numbers.iter().map(|number| entry(*number)).collect::<Vec<_>>();
    let (theirs, ours) = (of(theirs), of(ours));
    let previous = outline(6, &theirs);
    let (theirs, octets) = (encoded(&theirs), encoded(&ours));
    let (mut theirs, mut pieces) = (theirs.chunks(piece), octets.chunks(piece));
    let mut linter = CrlLinter::new(outline(7, &ours), Some(&previous), &issuer, NOW)?;
    loop {
        if linter.wants_previous()
            && let Some(piece) = theirs.next()
        {
            linter.previous_entries(piece)?;
        } else if let Some(piece) = pieces.next() {
            linter.entries(piece)?;
        } else {
            break;
        }
        for serial in linter.vanished() {
            if of(expired).iter().any(|entry| entry.serial == serial) {
                linter.expired(serial);
            }
        }
    }
    linter.finish().map(|linted| linted.tbs().clone())
}

fn broken(verdict: Result<CrlDraft, LintFailure>) -> &'static str {
    verdict.unwrap_err().findings[0].lint
}

#[test]
fn digest_is_that_of_all_pieces() {
    let draft = lint(&[1, 3], &[1, 2, 3, 4], &[], 50).unwrap();
    let entries: Vec<_> = (1..=4).map(entry).collect();
    let whole = [draft.outline().head(), &encoded(&entries), draft.outline().tail()].concat();
    assert_eq!(draft.sha256(), Sha256::of(&whole));
}

#[test]
fn entry_leaves_when_its_certificate_has_expired_and_not_before() {
    for piece in [1, 40, 1000] {
        for (theirs, ours) in [(&[1, 2, 3][..], &[1, 3][..]), (&[2], &[]), (&[1, 2], &[1]), (&[2, 3], &[3, 4])] {
            assert!(lint(theirs, ours, &[2], piece).is_ok(), "{theirs:?} {ours:?} {piece}");
            let verdict = lint(theirs, ours, &[], piece);
            assert_eq!(broken(verdict), "no_entry_vanished_before_its_time", "{theirs:?} {ours:?} {piece}");
        }
        assert!(lint(&[], &[1, 2], &[], piece).is_ok());
        assert!(lint(&[1, 2], &[1, 2], &[], piece).is_ok());
    }
}

#[test]
fn serials_that_are_not_in_their_order_are_refused() {
    for piece in [60, 1000] {
        assert_eq!(broken(lint(&[], &[1, 3, 2], &[], piece)), "serials_are_unique");
        assert_eq!(broken(lint(&[], &[1, 2, 2], &[], piece)), "serials_are_unique");
    }
}

#[test]
fn rules_of_the_table_hold_for_each_piece() {
    let issuer = issuer();
    let late = CrlEntry { revoked_at: NOW.plus(HOUR), ..entry(9) };
    let hold = CrlEntry { reason: Reason::CertificateHold, ..entry(9) };
    for (wrong, lint) in [(late, "revocations_are_not_in_the_future"), (hold, "reasons_are_permitted")] {
        let entries = [entry(1), wrong];
        let mut linter = CrlLinter::new(outline(7, &entries), None, &issuer, NOW).unwrap();
        let failure = linter.entries(&encoded(&entries)).unwrap_err();
        assert_eq!(failure.findings[0].lint, lint);
    }
    let previous = outline(7, &[]);
    let failure = CrlLinter::new(outline(7, &[]), Some(&previous), &issuer, NOW).unwrap_err();
    assert_eq!(failure.findings[0].lint, "number_is_greater_than_the_predecessors");
}

#[test]
fn list_that_is_cut_off_is_refused() {
    let issuer = issuer();
    let entries = [entry(1), entry(2)];
    let octets = encoded(&entries);
    for there in [0, octets.len() / 2, octets.len() - 1] {
        let mut linter = CrlLinter::new(outline(7, &entries), None, &issuer, NOW).unwrap();
        linter.entries(&octets[..there]).unwrap();
        assert!(linter.finish().is_err(), "{there}");
    }
}
