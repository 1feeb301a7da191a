//! Certificates: the cases, the good ones, the days on which rules change, and what the strict reader refuses.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;

use super::certificate_cases::{OF_BASELINE, OF_ORDER, OF_RFC5280, OF_RFC6962};
use super::editor::{self, sequence, tlv};
use super::world::{self, Bench, at};
use super::{without_case, wrong_cases};
use crate::lint::{self, CERTIFICATE_LINTS, Kind, STRICT_DER, baseline, order, rfc5280, rfc6962};
use crate::{Purpose, SignatureAlgorithm};

const DAY: Duration = Duration::from_secs(86_400);
const KINDS: [Kind; 3] = [Kind::Precertificate, Kind::Final, Kind::WithoutCt];
const NOTHING: [&str; 0] = [];

#[test]
fn bent_certificates_make_the_lints_of_rfc5280_fire() {
    assert_eq!(wrong_cases(OF_RFC5280), "");
    assert_eq!(without_case(rfc5280::LINTS.iter().map(|lint| lint.name), OF_RFC5280), NOTHING);
}

#[test]
fn bent_certificates_make_the_lints_of_rfc6962_fire() {
    assert_eq!(wrong_cases(OF_RFC6962), "");
    assert_eq!(without_case(rfc6962::LINTS.iter().map(|lint| lint.name), OF_RFC6962), NOTHING);
}

#[test]
fn bent_certificates_make_the_lints_of_the_baseline_fire() {
    assert_eq!(wrong_cases(OF_BASELINE), "");
    assert_eq!(without_case(baseline::LINTS.iter().map(|lint| lint.name), OF_BASELINE), NOTHING);
}

#[test]
fn bent_certificates_make_the_lints_of_the_order_fire() {
    assert_eq!(wrong_cases(OF_ORDER), "");
    assert_eq!(without_case(order::LINTS.iter().map(|lint| lint.name), OF_ORDER), NOTHING);
}

#[test]
fn each_lint_has_its_own_name_and_a_source() {
    let lints: Vec<_> = CERTIFICATE_LINTS.iter().copied().flatten().collect();
    let names: BTreeSet<_> = lints.iter().map(|lint| lint.name).collect();
    assert_eq!(names.len(), lints.len());
    assert!(lints.len() >= 55, "{}", lints.len());
    assert_eq!(lints.iter().filter(|lint| lint.source.is_empty()).count(), 0);
}

/// Good certificates of every profile there is.
fn good() -> Vec<Bench> {
    let mut good = Vec::new();
    for kind in KINDS {
        let public = Bench::public(kind);
        let private = Bench::private(kind);
        let short = Bench { ocsp_url: None, crl_url: None, common_name: None, ..public.clone() };
        let rsa = Bench { public_key: world::rsa(3072), key_encipherment: true, ..public.clone() };
        let mut under_p384 = Bench { issuer: world::intermediate(&world::p384()), ..public.clone() };
        under_p384.algorithm = SignatureAlgorithm::EcdsaSha384;
        let mut under_rsa = Bench { issuer: world::intermediate(&world::rsa(2048)), ..public.clone() };
        under_rsa.algorithm = SignatureAlgorithm::RsaSha256;
        good.extend([
            living_for(DAY * 7, short),
            living_for(DAY * 200, public.clone()),
            Bench { must_staple: true, public_key: world::p384(), ..public.clone() },
            Bench { purposes: vec![Purpose::ServerAuth, Purpose::ClientAuth], ..public.clone() },
            public.clone().named(&["www.example.com", "*.example.com", "example.com", "b.example.com"]),
            public.clone().named(&[
                "*.example.co.uk",
                "8.8.8.8",
                "2606:4700::1111",
                "me.github.io",
                "xn--bcher-kva.com",
            ]),
            Bench { common_name: Some("8.8.8.8".to_owned()), ..public.clone().named(&["8.8.8.8"]) },
            Bench { public_key: world::ed25519(), ..private.clone() },
            Bench { ca_issuers_url: None, ..private.clone() },
            Bench { public_key: world::p521(), ..public.clone() },
            living_for(DAY * 365 * 30, private.clone()),
            public,
            private,
            rsa,
            under_p384,
            under_rsa,
        ]);
    }
    good
}

fn living_for(lifetime: Duration, bench: Bench) -> Bench {
    let mut bench = Bench { lifetime_max: lifetime, ..bench };
    bench.validity.not_after = bench.validity.not_before.plus(lifetime - Duration::from_secs(1));
    bench
}

#[test]
fn good_certificates_of_every_profile_pass() {
    for bench in good() {
        let linting_certificate = bench.tbs().with_signature(bench.algorithm, &world::SIGNATURE);
        let linted = lint::certificate(bench.tbs(), linting_certificate.clone(), &bench.rules()).unwrap();
        assert_eq!(linted.tbs(), &bench.tbs());
        assert_eq!(linted.linting_certificate(), linting_certificate);
        assert_eq!(linted.into_parts(), (bench.tbs(), linting_certificate));
    }
}

#[test]
fn another_parser_reads_the_same_from_good_certificates() {
    use x509_parser::extensions::GeneralName;
    for bench in good() {
        let tbs = bench.tbs();
        let linting_certificate = tbs.with_signature(bench.algorithm, &world::SIGNATURE);
        let (rest, read) = x509_parser::parse_x509_certificate(&linting_certificate).unwrap();
        assert_eq!(rest, []);
        assert_eq!(read.tbs_certificate.as_ref(), tbs.der());
        assert_eq!(read.raw_serial(), tbs.serial().as_bytes());
        assert_eq!(read.public_key().raw, bench.public_key.spki_der());
        assert_eq!(read.issuer().as_raw(), bench.issuer.subject().der());
        assert_eq!(read.validity().not_before.timestamp(), bench.validity.not_before.seconds());
        assert_eq!(read.validity().not_after.timestamp(), bench.validity.not_after.seconds());
        assert_eq!(read.signature_algorithm, read.tbs_certificate.signature);
        let san = read.subject_alternative_name().unwrap().unwrap();
        let text = |name: &GeneralName<'_>| {
            if let GeneralName::IPAddress(octets) = name {
                return lint::names::ip_address(octets).unwrap().to_string();
            }
            if let GeneralName::DNSName(dns) = name { (*dns).to_owned() } else { format!("{name:?}") }
        };
        let names: Vec<String> = san.value.general_names.iter().map(text).collect();
        assert_eq!(names, bench.names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(read.key_usage().unwrap().unwrap().value.digital_signature());
        assert!(read.extended_key_usage().unwrap().unwrap().value.server_auth);
        assert!(!read.is_ca());
    }
}

#[test]
fn baseline_and_public_names_bind_only_where_they_are_asked_for() {
    let internal = Bench::public(Kind::Precertificate).named(&["db.internal", "10.0.0.1", "7.0.0.10.in-addr.arpa"]);
    let mut findings = internal.clone().findings();
    findings.sort_unstable();
    assert_eq!(
        findings,
        ["addresses_are_not_reserved", "names_are_not_in_reverse_zones", "names_are_under_public_tlds"]
    );
    assert_eq!(Bench { public_names: false, ..internal }.findings(), NOTHING);

    let lasting = living_for(DAY * 3650, Bench::public(Kind::WithoutCt));
    assert_eq!(lasting.clone().findings(), ["lifetime_is_within_the_maximum_of_the_day"]);
    assert_eq!(Bench { baseline: false, ..lasting }.findings(), NOTHING);
}

#[test]
fn the_longest_life_shrinks_on_the_days_of_the_ballot() {
    for (day, days_max) in [
        ("2026-03-14T23:00:00Z", 398),
        ("2026-03-15T00:00:00Z", 200),
        ("2027-03-14T23:00:00Z", 200),
        ("2027-03-15T00:00:00Z", 100),
        ("2029-03-14T23:00:00Z", 100),
        ("2029-03-15T00:00:00Z", 47),
    ] {
        let mut bench = Bench { now: at(day), ..Bench::public(Kind::Precertificate) };
        bench.validity.not_before = bench.now;
        assert_eq!(living_for(DAY * days_max, bench.clone()).findings(), NOTHING, "{day}");
        let longer = living_for(DAY * days_max + Duration::from_secs(1), bench);
        assert_eq!(longer.findings(), ["lifetime_is_within_the_maximum_of_the_day"], "{day}");
    }
}

#[test]
fn a_short_life_without_revocation_was_ten_days_before_march_2026() {
    for (day, days_max) in [("2026-03-14T23:00:00Z", 10), ("2026-03-15T00:00:00Z", 7)] {
        let mut bench = Bench { now: at(day), ocsp_url: None, crl_url: None, ..Bench::public(Kind::Precertificate) };
        bench.validity.not_before = bench.now;
        assert_eq!(living_for(DAY * days_max, bench.clone()).findings(), NOTHING, "{day}");
        assert_eq!(living_for(DAY * (days_max + 1), bench).findings(), ["revocation_can_be_found"], "{day}");
    }
}

proptest! {
    #[test]
    fn a_linting_certificate_of_other_bytes_never_passes(place in any::<Index>(), flip in 1..=u8::MAX) {
        let bench = Bench::public(Kind::Final);
        let tbs = bench.tbs();
        let mut other = tbs.der().to_vec();
        other[place.index(tbs.der().len())] ^= flip;
        let algorithm = bench.algorithm.algorithm_identifier_der();
        let linting_certificate = world::linting_certificate(&other, algorithm);
        prop_assert!(lint::certificate(tbs, linting_certificate, &bench.rules()).is_err());
    }

    #[test]
    fn no_bytes_make_the_linter_panic(places in vec((any::<Index>(), any::<u8>()), 1..6)) {
        let bench = Bench { must_staple: true, ..Bench::public(Kind::Final) };
        let tbs = bench.tbs();
        let mut linting_certificate = tbs.with_signature(bench.algorithm, &world::SIGNATURE);
        for (place, octet) in places {
            let at = place.index(linting_certificate.len());
            linting_certificate[at] = octet;
        }
        // A change within the signature alone is none of the linter's business.
        let ends_before_signature = linting_certificate.len() - world::SIGNATURE.len();
        let good = tbs.with_signature(bench.algorithm, &world::SIGNATURE);
        let changed = linting_certificate[..ends_before_signature] != good[..ends_before_signature];
        prop_assert_eq!(lint::certificate(tbs, linting_certificate, &bench.rules()).is_err(), changed);
    }
}

#[test]
fn what_the_strict_reader_refuses_is_one_finding() {
    let bench = Bench::public(Kind::Precertificate);
    let refused = |edit: fn(&mut editor::Certificate)| Bench::public(Kind::Precertificate).edited(edit);
    assert_eq!(refused(|c| c.not_after = editor::utc_time("2702190859Z")), [STRICT_DER], "no seconds");
    assert_eq!(refused(|c| c.not_after = editor::utc_time("270219085959+0100")), [STRICT_DER], "no Z");
    assert_eq!(refused(|c| c.not_after = editor::generalized_time("20500219085959.5Z")), [STRICT_DER], "a fraction");
    assert_eq!(refused(|c| c.serial = tlv(2, &[0, 1])), [STRICT_DER], "a superfluous zero");
    assert_eq!(refused(|c| c.serial = tlv(2, &[0x4c; 22])), [STRICT_DER], "22 octets");
    assert_eq!(refused(|c| c.subject = tlv(0x31, &[])), [STRICT_DER], "a SET for a SEQUENCE");

    let tbs = bench.tbs();
    let good = tbs.with_signature(bench.algorithm, &world::SIGNATURE);
    for bytes in [&good[..good.len() - 1], &[&good[..], &[0]].concat(), &sequence(&[&good]), &[]] {
        let failure = lint::certificate(bench.tbs(), bytes.to_vec(), &bench.rules()).unwrap_err();
        assert_eq!(world::fired(Err(failure)), [STRICT_DER]);
    }
}

#[test]
fn an_sct_of_a_log_whose_clock_is_a_minute_ahead_passes() {
    let mut bench = Bench::public(Kind::Final);
    bench.scts[0].timestamp = bench.now.plus(Duration::from_secs(60));
    assert_eq!(bench.findings(), NOTHING);
}

#[test]
fn all_findings_are_reported_together() {
    let bench = Bench { common_name: Some("other.example".to_owned()), scts_min: 5, ..Bench::public(Kind::Final) };
    let linting_certificate = bench.tbs().with_signature(bench.algorithm, &world::SIGNATURE);
    let failure = lint::certificate(bench.tbs(), linting_certificate, &bench.rules()).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "final_certificate_has_enough_scts (RFC 6962 §3.3; Chrome CT policy): 2 SCTs, of at least 5; \
         common_name_is_one_of_the_names (RFC 8555 §7.4; BR 7.1.4.3): the common name \"other.example\" is none of \
         the subject alternative names"
    );
}
