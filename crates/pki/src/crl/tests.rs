use proptest::prelude::*;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::*;
use crate::testing::{EdSigner, World, at};

fn any_entry() -> impl Strategy<Value = CrlEntry> {
    let serial = proptest::collection::vec(any::<u8>(), 1..=20)
        .prop_filter_map("no serial", |octets| Serial::from_der_integer(&octets));
    (serial, 0i64..4_000_000_000, proptest::sample::select(&Reason::ALL[..]))
        .prop_map(|(serial, seconds, reason)| CrlEntry { serial, revoked_at: Timestamp::from_seconds(seconds), reason })
}

/// The same in pieces, and read back.
fn pieced(fields: &CrlFields<'_>, entries: &[CrlEntry]) -> Vec<u8> {
    let mut octets = Vec::new();
    entries.iter().for_each(|entry| encode_entry(&mut octets, entry));
    let outline = CrlOutline::build(fields, entries.len() as u64, octets.len() as u64);
    assert_eq!(outline.read().unwrap().number(), fields.number);
    let mut reader = EntryReader::default();
    let read: Vec<_> = octets.chunks(7).flat_map(|piece| reader.push(piece).unwrap().entries).collect();
    assert_eq!(read, entries);
    assert!(reader.is_between_entries());
    let (head, tail) = outline.signed(SignatureAlgorithm::Ed25519, &[7; 300]);
    assert_eq!(CrlOutline::of_signed(&head, outline.entries(), &tail), Some(outline.clone()));
    let whole = [&head[..], &octets, &tail].concat();
    assert_eq!(Crl::from_der(&whole).unwrap().entries(), entries);
    let (begin, end) = (head.len() as u64, (head.len() + octets.len()) as u64);
    assert_eq!(CrlOutline::entries_within(&whole[..=head.len()]), Some(begin..end));
    assert_eq!(CrlOutline::entries_within(&whole[..head.len() - 3]), None);
    [outline.head(), &octets, outline.tail()].concat()
}

proptest! {
    #[test]
    fn two_readers_read_what_was_written(
        entries in proptest::collection::vec(any_entry(), 0..40),
        number: u64,
        sharded: bool,
    ) {
        let world = World::new();
        let fields = CrlFields {
            signature_algorithm: SignatureAlgorithm::Ed25519,
            number,
            distribution_point: sharded.then_some("http://ca.example/1.crl"),
            ..world.crl_fields()
        };
        let tbs = TbsCrl::build(&fields, &entries);
        prop_assert_eq!(&pieced(&fields, &entries), tbs.der());
        let signer = EdSigner::of(1);
        let der = tbs.with_signature(SignatureAlgorithm::Ed25519, &signer.sign(tbs.der()));

        let read = Crl::from_der(&der).unwrap();
        prop_assert_eq!(read.entries(), &entries[..]);
        prop_assert_eq!(read.number(), number);
        prop_assert_eq!(read.this_update(), fields.this_update);
        prop_assert_eq!(read.next_update(), fields.next_update);
        prop_assert_eq!(read.issuer(), fields.issuer);
        prop_assert_eq!(read.distribution_point(), fields.distribution_point);
        prop_assert_eq!(read.authority_key_identifier(), Some(&fields.issuer_key_identifier[..]));
        prop_assert_eq!(read.tbs(), &tbs);
        prop_assert_eq!(read.verify_signed_by(&signer.public_key()), Ok(()));

        let (rest, second) = CertificateRevocationList::from_der(&der).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(second.crl_number().unwrap().to_string(), number.to_string());
        let revoked: Vec<_> = second
            .iter_revoked_certificates()
            .map(|entry| {
                let reason = entry.reason_code().map_or(0, |(_, reason)| reason.0);
                (entry.raw_serial().to_vec(), entry.revocation_date.timestamp(), reason)
            })
            .collect();
        let expected: Vec<_> = entries
            .iter()
            .map(|entry| (entry.serial.as_bytes().to_vec(), entry.revoked_at.seconds(), entry.reason.code()))
            .collect();
        prop_assert_eq!(revoked, expected);
    }
}

#[test]
fn an_empty_list_is_left_out_and_so_is_reason_zero() {
    let world = World::new();
    let empty = TbsCrl::build(&world.crl_fields(), &[]);
    let end_of_next_update = empty.der().windows(4).position(|window| window == b"59Z\xa0");
    assert!(end_of_next_update.is_some(), "the extensions follow nextUpdate at once");

    let entry = CrlEntry {
        serial: Serial::from_random([7; 16]),
        revoked_at: at("2026-11-21T09:00:00Z"),
        reason: Reason::Unspecified,
    };
    let reason_code = [0x06, 3, 0x55, 0x1d, 21];
    for (reason, expected) in [(Reason::Unspecified, 0), (Reason::Superseded, 1)] {
        let tbs = TbsCrl::build(&world.crl_fields(), &[CrlEntry { reason, ..entry }]);
        assert_eq!(tbs.der().windows(5).filter(|window| *window == reason_code).count(), expected, "{reason}");
    }
}

#[test]
fn issuing_distribution_point_is_critical_and_for_leaves_only() {
    let world = World::new();
    let tbs = TbsCrl::build(&world.crl_fields(), &[]);
    let url = b"http://r1.example.com/crl/17.crl";
    let length = u8::try_from(url.len()).unwrap();
    let mut expected = vec![0x30, length + 21, 0x06, 3, 0x55, 0x1d, 28, 1, 1, 0xff, 4, length + 11];
    expected.extend_from_slice(&[0x30, length + 9, 0xa0, length + 4, 0xa0, length + 2, 0x86, length]);
    expected.extend_from_slice(url);
    expected.extend_from_slice(&[0x81, 1, 0xff]);
    assert!(tbs.der().windows(expected.len()).any(|window| window == expected));
}

#[test]
fn reasons_have_their_codes_and_names() {
    for reason in Reason::ALL {
        assert_eq!(Reason::from_code(reason.code()), Some(reason));
        assert_eq!(reason.name().parse(), Ok(reason));
    }
    assert_eq!(Reason::from_code(7), None);
    assert_eq!(Reason::from_code(11), None);
    assert_eq!(Reason::KeyCompromise.to_string(), "keyCompromise");
    assert_eq!(Reason::AaCompromise.code(), 10);
    assert_eq!("nonsense".parse::<Reason>(), Err(ReasonError));
}

#[test]
fn crls_cut_short_or_continued_are_refused() {
    let der = crate::testing::read("golden/crl.der");
    for end in 0..der.len() {
        assert!(Crl::from_der(&der[..end]).is_err(), "{end}");
    }
    assert!(Crl::from_der(&[&der[..], &[0]].concat()).is_err());
}

#[test]
fn entries_that_no_encoder_makes_are_refused() {
    let entry = CrlEntry {
        serial: Serial::from_random([7; 16]),
        revoked_at: at("2026-11-21T10:00:00Z"),
        reason: Reason::Superseded,
    };
    let mut good = Vec::new();
    encode_entry(&mut good, &entry);
    let last = good.len() - 1;
    for (position, octet) in [(last, 0), (last, 7), (last - 2, tag::INTEGER), (2, tag::OCTET_STRING), (0, tag::SET)] {
        let mut wrong = good.clone();
        wrong[position] = octet;
        assert!(EntryReader::default().push(&wrong).is_err(), "{position} {octet}");
    }
    assert!(EntryReader::default().push(&[0x30, 0x82, 0xff, 0xff].repeat(40)).is_err(), "it never ends");
    assert_eq!(EntryReader::default().push(&good).unwrap().entries, [entry]);
}

#[test]
fn outline_whose_lengths_are_wrong_is_refused() {
    let world = World::new();
    let outline = CrlOutline::build(&world.crl_fields(), 3, 90);
    assert!(outline.with_entries(&[]).is_some());
    let (head, tail) = outline.signed(SignatureAlgorithm::Ed25519, &[7; 64]);
    for entries in [(3, 89), (3, 91), (0, 0)] {
        let other = CrlOutline::of_signed(&head, entries, &tail);
        assert_eq!(other.and_then(|outline| outline.with_entries(&[])), None, "{entries:?}");
    }
}
