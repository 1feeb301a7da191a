//! CRLs: one bent one for each lint, and the good ones.

use std::collections::BTreeSet;
use std::time::Duration;

use const_oid::ObjectIdentifier;

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, proptest};
use proptest::sample::Index;

use super::editor::{self, Extension, algorithm, content, entry, full_name, parts, sequence, tlv, utc_time};
use super::world::{self, at, fired, issuer_name};
use super::{Case, case, without_case, wrong_cases};
use crate::lint::{self, CRL_LINTS, CrlRules, STRICT_DER, check_crl, oids};
use crate::{Certificate, Crl, CrlEntry, CrlFields, Reason, Serial, SignatureAlgorithm, TbsCrl, Timestamp};

const DAY: Duration = Duration::from_secs(86_400);
const NOTHING: [&str; 0] = [];
const NULL: [u8; 2] = [5, 0];
const UNKNOWN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1");
const ECDSA_SHA224: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.1");
const INVALIDITY_DATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.24");
const URL: &str = "http://ca.example.net/1/7.crl";
const REVOKED_AT: &str = "261120100000Z";

#[derive(Clone)]
struct Bench {
    issuer: Certificate,
    now: Timestamp,
    previous: Option<Crl>,
    expired: BTreeSet<Serial>,
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    url: Option<&'static str>,
    entries: Vec<CrlEntry>,
}

fn serial(last: u8) -> Serial {
    let mut random = [0x11; 16];
    random[15] = last;
    Serial::from_random(random)
}

fn revoked(last: u8, reason: Reason) -> CrlEntry {
    CrlEntry { serial: serial(last), revoked_at: at("2026-11-20T10:00:00Z"), reason }
}

/// The seventh CRL of its shard, without a predecessor at hand.
fn good() -> Bench {
    let now = at("2026-11-21T10:00:00Z");
    Bench {
        issuer: world::intermediate(&world::p256()),
        now,
        previous: None,
        expired: BTreeSet::new(),
        number: 7,
        this_update: now,
        next_update: now.plus(DAY * 7),
        url: Some(URL),
        entries: vec![
            revoked(1, Reason::Unspecified),
            revoked(2, Reason::KeyCompromise),
            revoked(3, Reason::Superseded),
        ],
    }
}

/// The good one, and before it the same an hour ago, of number six.
fn successor() -> Bench {
    let mut previous = Bench { number: 6, ..good() };
    previous.this_update = previous.now.minus(Duration::from_secs(3600));
    Bench { previous: Some(previous.signed()), ..good() }
}

impl Bench {
    fn tbs(&self) -> TbsCrl {
        let fields = CrlFields {
            issuer: &issuer_name(),
            issuer_key_identifier: self.issuer.public_key().key_identifier(),
            signature_algorithm: self.issuer.public_key().default_signature_algorithm(),
            number: self.number,
            this_update: self.this_update,
            next_update: self.next_update,
            distribution_point: self.url,
        };
        TbsCrl::build(&fields, &self.entries)
    }

    fn signed(&self) -> Crl {
        let algorithm = self.issuer.public_key().default_signature_algorithm();
        Crl::from_der(&self.tbs().with_signature(algorithm, &world::SIGNATURE)).unwrap()
    }

    fn rules(&self) -> CrlRules<'_> {
        CrlRules { issuer: &self.issuer, previous: self.previous.as_ref(), expired: &self.expired, now: self.now }
    }

    fn findings(self) -> Vec<&'static str> {
        self.edited(|_| {})
    }

    fn edited(self, edit: impl FnOnce(&mut editor::Crl)) -> Vec<&'static str> {
        let mut crl = editor::Crl::read(self.tbs().der());
        edit(&mut crl);
        fired(check_crl(&crl.encode(), &self.rules()))
    }

    /// With these entries, encoded, in place of its own.
    fn listing(self, entries: &[Vec<u8>]) -> Vec<&'static str> {
        self.edited(|crl| crl.revoked = tlv(0x30, &entries.concat()))
    }
}

/// An entry of a good serial and time with these extensions.
fn extended(extensions: &[Extension]) -> Vec<u8> {
    entry(serial(9).as_bytes(), &utc_time(REVOKED_AT), extensions)
}

fn reason(code: u8) -> Extension {
    Extension::new(oids::REASON_CODE, false, &tlv(0x0a, &[code]))
}

fn numbered(number: &[u8]) -> Vec<&'static str> {
    good().edited(|crl| crl.extensions.value(oids::CRL_NUMBER, &tlv(2, number)))
}

/// With another value of its issuing distribution point: the name and what follows it.
fn scoped(name: &[u8], scope: &[&[u8]]) -> Vec<&'static str> {
    let value = sequence(&[name, &scope.concat()]);
    good().edited(|crl| crl.extensions.value(oids::ISSUING_DISTRIBUTION_POINT, &value))
}

const CASES: &[Case] = &[
    case("version_is_v2", &[], || good().edited(|crl| crl.version.clear())),
    case("version_is_v2", &[], || good().edited(|crl| crl.version = vec![2, 1, 0])),
    case("signature_algorithm_is_known", &[], || good().edited(|crl| crl.algorithm = algorithm(ECDSA_SHA224, &[]))),
    case("signature_algorithm_is_known", &[], || good().edited(|crl| crl.algorithm = algorithm(oids::ECDSA_SHA1, &[]))),
    case("signature_algorithm_has_right_parameters", &[], || {
        good().edited(|crl| crl.algorithm = algorithm(oids::ECDSA_SHA256, &NULL))
    }),
    case("signature_algorithm_fits_the_issuers_key", &[], || {
        good().edited(|crl| crl.algorithm = algorithm(oids::RSA_SHA256, &NULL))
    }),
    case("issuer_is_the_issuers_subject", &[], || {
        good().edited(|crl| crl.issuer = editor::name(&[(oids::COMMON_NAME, 0x0c, "Cairn test intermediate")]))
    }),
    case("times_are_utc_time_through_2049", &[], || {
        good().edited(|crl| crl.next_update = editor::generalized_time("20261128100000Z"))
    }),
    case("times_are_utc_time_through_2049", &[], || {
        good().listing(&[entry(serial(9).as_bytes(), &editor::generalized_time("20261120100000Z"), &[])])
    }),
    case("this_update_is_not_in_the_future", &[], || {
        let this_update = good().now.plus(Duration::from_secs(1));
        Bench { this_update, ..good() }.findings()
    }),
    case("next_update_is_stated", &[], || good().edited(|crl| crl.next_update.clear())),
    case("next_update_is_after_this_update", &[], || good().edited(|crl| crl.next_update = crl.this_update.clone())),
    case("next_update_is_soon_enough", &[], || {
        let next_update = good().this_update.plus(DAY * 10 + Duration::from_secs(1));
        Bench { next_update, ..good() }.findings()
    }),
    case("next_update_is_soon_enough", &[], || {
        let next_update = good().this_update.plus(DAY * 365 + Duration::from_secs(1));
        Bench { next_update, issuer: world::root(&world::p256()), ..good() }.findings()
    }),
    case("revoked_certificates_are_absent_or_some", &[], || good().listing(&[])),
    case("serials_are_valid", &[], || good().listing(&[entry(&[0x80], &utc_time(REVOKED_AT), &[])])),
    case("serials_are_valid", &[], || good().listing(&[entry(&[0], &utc_time(REVOKED_AT), &[])])),
    case("serials_are_valid", &[], || good().listing(&[entry(&[0x4c; 21], &utc_time(REVOKED_AT), &[])])),
    case("serials_are_unique", &[], || {
        good().edited(|crl| {
            let entries = parts(content(&crl.revoked));
            crl.revoked = sequence(&[&entries[1], &entries[0], &entries[1]]);
        })
    }),
    case("revocations_are_not_in_the_future", &[], || {
        good().listing(&[entry(serial(9).as_bytes(), &utc_time("261121100101Z"), &[])])
    }),
    case("reasons_are_permitted", &[], || good().listing(&[extended(&[reason(0)])])),
    case("reasons_are_permitted", &[], || good().listing(&[extended(&[reason(6)])])),
    case("reasons_are_permitted", &[], || good().listing(&[extended(&[reason(7)])])),
    case("reasons_are_permitted", &[], || good().listing(&[extended(&[reason(8)])])),
    case("reasons_are_not_critical", &[], || {
        good().listing(&[extended(&[Extension::new(oids::REASON_CODE, true, &tlv(0x0a, &[1]))])])
    }),
    case("entries_have_no_other_extension", &[], || {
        let date = Extension::new(INVALIDITY_DATE, false, &editor::generalized_time("20261119100000Z"));
        good().listing(&[extended(&[reason(1), date])])
    }),
    case("entries_have_no_other_extension", &[], || good().listing(&[extended(&[reason(1), reason(4)])])),
    case("extensions_are_unique", &[], || {
        good().edited(|crl| {
            let twice = crl.extensions.of(oids::CRL_NUMBER).clone();
            crl.extensions.0.push(twice);
        })
    }),
    case("extensions_are_known", &[], || good().edited(|crl| crl.extensions.add(UNKNOWN, false, &NULL))),
    case("extension_values_are_canonical_der", &["authority_key_identifier_is_the_issuers"], || {
        good().edited(|crl| crl.extensions.value(oids::AUTHORITY_KEY_IDENTIFIER, &NULL))
    }),
    case("extension_values_are_canonical_der", &[], || scoped(&full_name(URL.as_bytes()), &[&[0x81, 1, 0]])),
    case("crl_is_canonical_der", &[], || {
        good().edited(|crl| crl.extensions.of(oids::CRL_NUMBER).critical = editor::BOOLEAN_FALSE.to_vec())
    }),
    case("crl_is_canonical_der", &[], || {
        let explicit = Extension { critical: editor::BOOLEAN_FALSE.to_vec(), ..reason(1) };
        good().listing(&[extended(&[explicit])])
    }),
    case("authority_key_identifier_is_the_issuers", &[], || {
        let other = sequence(&[&tlv(0x80, &[7; 20])]);
        good().edited(|crl| crl.extensions.value(oids::AUTHORITY_KEY_IDENTIFIER, &other))
    }),
    case("authority_key_identifier_is_the_issuers", &[], || {
        good().edited(|crl| crl.extensions.remove(oids::AUTHORITY_KEY_IDENTIFIER))
    }),
    case("authority_key_identifier_is_not_critical", &[], || {
        good().edited(|crl| crl.extensions.critical(oids::AUTHORITY_KEY_IDENTIFIER, true))
    }),
    case("number_is_stated", &[], || good().edited(|crl| crl.extensions.remove(oids::CRL_NUMBER))),
    case("number_is_stated", &["extension_values_are_canonical_der"], || numbered(&[0x87])),
    case("number_is_not_critical", &[], || good().edited(|crl| crl.extensions.critical(oids::CRL_NUMBER, true))),
    case("number_has_at_most_20_octets", &[], || numbered(&[1; 21])),
    case("number_has_at_most_20_octets", &[], || numbered(&[&[0][..], &[0x80; 20]].concat())),
    case("number_is_greater_than_the_predecessors", &[], || Bench { number: 6, ..successor() }.findings()),
    case("number_is_greater_than_the_predecessors", &[], || Bench { number: 5, ..successor() }.findings()),
    case("this_update_is_not_before_the_predecessors", &[], || {
        let this_update = successor().now.minus(Duration::from_secs(3601));
        Bench { this_update, ..successor() }.findings()
    }),
    case("distribution_point_is_critical", &[], || {
        good().edited(|crl| crl.extensions.critical(oids::ISSUING_DISTRIBUTION_POINT, false))
    }),
    case("distribution_point_is_an_http_url", &[], || scoped(&full_name(b"https://ca.example.net/1/7.crl"), &[])),
    case("distribution_point_is_an_http_url", &[], || scoped(&full_name(b"http:///7.crl"), &[])),
    case("distribution_point_is_an_http_url", &[], || scoped(&[], &[&[0x81, 1, 0xff]])),
    case("distribution_point_has_a_plain_scope", &[], || {
        scoped(&full_name(URL.as_bytes()), &[&[0x81, 1, 0xff], &[0x82, 1, 0xff]])
    }),
    case("distribution_point_has_a_plain_scope", &[], || scoped(&full_name(URL.as_bytes()), &[&[0x83, 2, 6, 0x40]])),
    case("distribution_point_has_a_plain_scope", &[], || scoped(&full_name(URL.as_bytes()), &[&[0x84, 1, 0xff]])),
    case("distribution_point_is_the_predecessors", &[], || {
        Bench { url: Some("http://ca.example.net/1/8.crl"), ..successor() }.findings()
    }),
    case("distribution_point_is_the_predecessors", &[], || Bench { url: None, ..successor() }.findings()),
    case("no_entry_vanished_before_its_time", &[], || {
        let mut bench = Bench { expired: BTreeSet::from([serial(1)]), ..successor() };
        bench.entries.retain(|entry| entry.serial != serial(2));
        bench.findings()
    }),
];

#[test]
fn bent_crls_make_every_lint_fire() {
    assert_eq!(wrong_cases(CASES), "");
    assert_eq!(without_case(CRL_LINTS.iter().copied().flatten().map(|lint| lint.name), CASES), NOTHING);
}

#[test]
fn each_crl_lint_has_its_own_name_and_a_source() {
    let lints: Vec<_> = CRL_LINTS.iter().copied().flatten().collect();
    let names: BTreeSet<_> = lints.iter().map(|lint| lint.name).collect();
    assert_eq!(names.len(), lints.len());
    assert_eq!(lints.iter().filter(|lint| lint.source.is_empty()).count(), 0);
}

#[test]
fn good_crls_pass() {
    let root = world::root(&world::p256());
    let next_update_of_root = good().this_update.plus(DAY * 365);
    for bench in [
        good(),
        successor(),
        Bench { entries: Vec::new(), ..good() },
        Bench { url: None, ..good() },
        Bench { number: 0, ..good() },
        Bench { number: u64::MAX, ..successor() },
        Bench { issuer: world::intermediate(&world::p384()), ..good() },
        Bench { issuer: world::intermediate(&world::rsa(2048)), ..good() },
        Bench { issuer: root, next_update: next_update_of_root, ..good() },
        Bench { next_update: good().this_update.plus(DAY * 10), ..good() },
        Bench { entries: good().entries.into_iter().rev().collect(), ..good() },
    ] {
        let linted = lint::crl(bench.tbs(), &bench.rules()).unwrap();
        assert_eq!(linted.tbs().der(), bench.tbs().der());
        assert_eq!(linted.into_tbs().der(), bench.tbs().der());
    }
}

#[test]
fn a_revocation_by_a_clock_a_minute_ahead_passes() {
    assert_eq!(good().listing(&[entry(serial(9).as_bytes(), &utc_time("261121100100Z"), &[])]), NOTHING);
}

#[test]
fn an_expired_entry_may_leave_and_others_may_come() {
    let mut bench = Bench { expired: BTreeSet::from([serial(2)]), ..successor() };
    bench.entries.retain(|entry| entry.serial != serial(2));
    bench.entries.push(revoked(4, Reason::CessationOfOperation));
    assert_eq!(bench.findings(), NOTHING);
}

#[test]
fn another_parser_reads_the_same_from_good_crls() {
    use x509_parser::prelude::FromDer;
    let bench = good();
    let crl = bench.tbs().with_signature(SignatureAlgorithm::EcdsaSha256, &world::SIGNATURE);
    let (rest, read) = x509_parser::revocation_list::CertificateRevocationList::from_der(&crl).unwrap();
    assert_eq!(rest, []);
    assert_eq!(read.tbs_cert_list.as_ref(), bench.tbs().der());
    assert_eq!(read.issuer().as_raw(), bench.issuer.subject().der());
    assert_eq!(read.crl_number().map(ToString::to_string), Some("7".to_owned()));
    let serials: Vec<&[u8]> = read.iter_revoked_certificates().map(|revoked| revoked.raw_serial()).collect();
    assert_eq!(serials, [1, 2, 3].map(serial).iter().map(Serial::as_bytes).collect::<Vec<_>>());
    let reasons: Vec<u8> = read
        .iter_revoked_certificates()
        .filter_map(|revoked| revoked.reason_code().map(|(_, reason)| reason.0))
        .collect();
    assert_eq!(reasons, [1, 4]);
}

proptest! {
    #[test]
    fn no_bytes_make_the_linter_panic(places in vec((any::<Index>(), any::<u8>()), 1..6)) {
        let bench = successor();
        let mut tbs = bench.tbs().der().to_vec();
        for (place, octet) in places {
            let at = place.index(tbs.len());
            tbs[at] = octet;
        }
        let passes = check_crl(&tbs, &bench.rules()).is_ok();
        // Whatever passes is a CRL to the reader too.
        let crl = world::linting_certificate(&tbs, SignatureAlgorithm::EcdsaSha256.algorithm_identifier_der());
        prop_assert!(!passes || Crl::from_der(&crl).is_ok());
    }
}

#[test]
fn what_the_strict_reader_refuses_is_one_finding() {
    let refused = |edit: fn(&mut editor::Crl)| good().edited(edit);
    assert_eq!(refused(|crl| crl.this_update = utc_time("2611211000Z")), [STRICT_DER], "no seconds");
    assert_eq!(refused(|crl| crl.version = vec![2, 2, 0, 1]), [STRICT_DER], "a superfluous zero");
    assert_eq!(refused(|crl| crl.revoked = tlv(0x31, &[])), [STRICT_DER], "a SET for a SEQUENCE");
    assert_eq!(good().listing(&[entry(&[0, 1], &utc_time(REVOKED_AT), &[])]), [STRICT_DER], "a padded serial");
    assert_eq!(good().listing(&[extended(&[reason(11)])]), [STRICT_DER], "a reason that does not exist");
    let bench = good();
    let tbs = bench.tbs();
    for bytes in [&tbs.der()[..tbs.der().len() - 1], &[tbs.der(), &[0]].concat(), &[]] {
        assert_eq!(fired(check_crl(bytes, &bench.rules())), [STRICT_DER]);
    }
}
