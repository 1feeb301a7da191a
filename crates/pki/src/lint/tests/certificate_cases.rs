//! One bent certificate for each lint.

use std::time::Duration;

use const_oid::ObjectIdentifier;

use super::editor::{self, algorithm, content, dns, general_names, name, oid, parts, sequence, tlv, utc_time};
use super::world::{self, Bench, at};
use super::{Case, case};
use crate::lint::{Kind, check_certificate, oids};
use crate::{DigitallySigned, Purpose, SignatureAlgorithm};

const UTF8: u8 = 0x0c;
const IA5: u8 = 0x16;
const NULL: [u8; 2] = [5, 0];
const UNKNOWN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1");
const ECDSA_SHA224: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.1");
const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const ORGANIZATION_VALIDATED: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.140.1.2.2");
const EMAIL_PROTECTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.4");
const ACCESS_TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.3");

const DAY: Duration = Duration::from_secs(86_400);

fn precertificate() -> Bench {
    Bench::public(Kind::Precertificate)
}

fn final_certificate() -> Bench {
    Bench::public(Kind::Final)
}

fn private() -> Bench {
    Bench::private(Kind::WithoutCt)
}

fn must_staple() -> Bench {
    Bench { must_staple: true, ocsp_url: Some("http://ocsp.example.net/"), ..private() }
}

/// With an algorithm other than the writer knows, inside and outside.
fn signed_by(bench: Bench, id: ObjectIdentifier, parameters: &[u8]) -> Vec<&'static str> {
    bench.edited(|c| c.algorithm = algorithm(id, parameters))
}

fn with_value(bench: Bench, id: ObjectIdentifier, value: &[u8]) -> Vec<&'static str> {
    bench.edited(|c| c.extensions.value(id, value))
}

fn with_critical(bench: Bench, id: ObjectIdentifier, critical: bool) -> Vec<&'static str> {
    bench.edited(|c| c.extensions.critical(id, critical))
}

fn with_extension(bench: Bench, id: ObjectIdentifier, critical: bool, value: &[u8]) -> Vec<&'static str> {
    bench.edited(|c| c.extensions.add(id, critical, value))
}

fn without_extension(bench: Bench, id: ObjectIdentifier) -> Vec<&'static str> {
    bench.edited(|c| c.extensions.remove(id))
}

fn with_names(bench: Bench, names: &[(u8, &[u8])]) -> Vec<&'static str> {
    with_value(bench, oids::SUBJECT_ALT_NAME, &general_names(names))
}

fn with_purposes(bench: Bench, purposes: &[ObjectIdentifier]) -> Vec<&'static str> {
    let purposes: Vec<u8> = purposes.iter().flat_map(|purpose| oid(*purpose)).collect();
    with_value(bench, oids::EXTENDED_KEY_USAGE, &tlv(0x30, &purposes))
}

fn with_accesses(bench: Bench, accesses: &[(ObjectIdentifier, u8, &str)]) -> Vec<&'static str> {
    let access = |(method, tag, location): &(ObjectIdentifier, u8, &str)| {
        sequence(&[&oid(*method), &tlv(0x80 | tag, location.as_bytes())])
    };
    let accesses: Vec<u8> = accesses.iter().flat_map(access).collect();
    with_value(bench, oids::AUTHORITY_INFO_ACCESS, &tlv(0x30, &accesses))
}

/// The value of the SCT list of a good certificate.
fn sct_list() -> Vec<u8> {
    let mut certificate = editor::Certificate::read(final_certificate().tbs().der());
    certificate.extensions.of(oids::SCT_LIST).value.clone()
}

fn living_for(lifetime: Duration, bench: Bench) -> Bench {
    let mut bench = Bench { lifetime_max: lifetime, ..bench };
    bench.validity.not_after = bench.validity.not_before.plus(lifetime - Duration::from_secs(1));
    bench
}

pub(super) const OF_RFC5280: &[Case] = &[
    case("version_is_v3", &[], || precertificate().edited(|c| c.version = vec![0xa0, 3, 2, 1, 1])),
    case("serial_is_positive", &[], || precertificate().edited(|c| c.serial = tlv(2, &[0x84; 12]))),
    case("serial_is_positive", &["serial_has_room_for_64_random_bits"], || {
        precertificate().edited(|c| c.serial = tlv(2, &[0]))
    }),
    case("serial_has_at_most_20_octets", &[], || precertificate().edited(|c| c.serial = tlv(2, &[0x4c; 21]))),
    case("signature_algorithms_are_equal", &[], || {
        let bench = precertificate();
        bench.judged(bench.tbs().der(), SignatureAlgorithm::EcdsaSha384.algorithm_identifier_der())
    }),
    case("signature_algorithm_is_known", &[], || signed_by(private(), ECDSA_SHA224, &[])),
    case("signature_algorithm_has_right_parameters", &[], || signed_by(precertificate(), oids::ECDSA_SHA256, &NULL)),
    case("signature_algorithm_has_right_parameters", &[], || {
        let issuer = world::intermediate(&world::rsa(2048));
        signed_by(Bench { issuer, ..precertificate() }, oids::RSA_SHA256, &[])
    }),
    case("signature_algorithm_fits_the_issuers_key", &[], || signed_by(private(), oids::RSA_SHA256, &NULL)),
    case("signature_algorithm_fits_the_issuers_key", &[], || {
        let issuer = world::intermediate(&world::rsa(2048));
        signed_by(Bench { issuer, ..private() }, oids::ED25519, &[])
    }),
    case("issuer_is_the_issuers_subject", &[], || {
        // The same name to a reader, but other bytes: the country as a UTF8String.
        let issuer = [
            (COUNTRY, UTF8, "XX"),
            (ORGANIZATION, UTF8, "Cairn test"),
            (oids::COMMON_NAME, UTF8, "Cairn test intermediate"),
        ];
        precertificate().edited(|c| c.issuer = name(&issuer))
    }),
    case("times_are_utc_time_through_2049", &["certificate_is_canonical_der"], || {
        precertificate().edited(|c| c.not_after = editor::generalized_time("20270219085959Z"))
    }),
    case("validity_ends_after_it_begins", &[], || private().edited(|c| c.not_after = c.not_before.clone())),
    case("validity_ends_after_it_begins", &[], || {
        private().edited(|c| std::mem::swap(&mut c.not_before, &mut c.not_after))
    }),
    case("not_before_is_within_the_issuers", &[], || {
        private().edited(|c| (c.not_before, c.not_after) = (utc_time("241231235959Z"), utc_time("250131000000Z")))
    }),
    case("not_after_is_within_the_issuers", &[], || {
        let mut bench = living_for(DAY * 365 * 60, private());
        bench.validity.not_after = at("2060-01-01T00:00:00Z");
        bench.findings()
    }),
    case("unique_identifiers_are_absent", &[], || {
        precertificate().edited(|c| c.unique_identifiers = tlv(0x81, &[0, 0xaa]))
    }),
    case("unique_identifiers_are_absent", &[], || {
        precertificate().edited(|c| c.unique_identifiers = tlv(0x82, &[0, 0xaa]))
    }),
    case("common_name_has_at_most_64_characters", &[], || {
        let long = format!("{}.internal", "a".repeat(56));
        Bench { common_name: Some(long.clone()), ..private().named(&[&long]) }.findings()
    }),
    case("common_name_is_utf8_or_printable_string", &[], || {
        precertificate().edited(|c| c.subject = name(&[(oids::COMMON_NAME, IA5, "example.com")]))
    }),
    case("names_are_critical_under_an_empty_subject", &[], || with_critical(private(), oids::SUBJECT_ALT_NAME, false)),
    case("names_are_not_critical_beside_a_subject", &[], || {
        with_critical(precertificate(), oids::SUBJECT_ALT_NAME, true)
    }),
    case("extensions_are_unique", &[], || {
        precertificate().edited(|c| {
            let twice = c.extensions.of(oids::AUTHORITY_KEY_IDENTIFIER).clone();
            c.extensions.0.push(twice);
        })
    }),
    case("extensions_are_known", &[], || with_extension(precertificate(), UNKNOWN, false, &NULL)),
    case("extensions_are_known", &[], || with_extension(precertificate(), UNKNOWN, true, &NULL)),
    case("extension_values_are_strict_der", &[], || with_value(private(), oids::AUTHORITY_INFO_ACCESS, &[0x30, 0x80])),
    case("extension_values_are_strict_der", &[], || {
        // A length in more octets than it needs.
        with_value(private(), oids::SUBJECT_KEY_IDENTIFIER, &[&[4, 0x81, 20][..], &[7; 20]].concat())
    }),
    case("certificate_is_canonical_der", &[], || {
        precertificate()
            .edited(|c| c.extensions.of(oids::AUTHORITY_KEY_IDENTIFIER).critical = editor::BOOLEAN_FALSE.to_vec())
    }),
    case("extension_values_are_canonical_der", &[], || {
        with_extension(precertificate(), oids::BASIC_CONSTRAINTS, true, &sequence(&[&editor::BOOLEAN_FALSE]))
    }),
    case("authority_key_identifier_is_not_critical", &[], || {
        with_critical(precertificate(), oids::AUTHORITY_KEY_IDENTIFIER, true)
    }),
    case("authority_key_identifier_is_the_issuers", &[], || {
        with_value(precertificate(), oids::AUTHORITY_KEY_IDENTIFIER, &sequence(&[&tlv(0x80, &[7; 20])]))
    }),
    case("authority_key_identifier_is_the_issuers", &[], || {
        without_extension(precertificate(), oids::AUTHORITY_KEY_IDENTIFIER)
    }),
    case("authority_key_identifier_is_by_key_alone", &[], || {
        precertificate().edited(|c| {
            let aki = c.extensions.of(oids::AUTHORITY_KEY_IDENTIFIER);
            let directory_name = tlv(0xa4, &name(&[(oids::COMMON_NAME, UTF8, "x")]));
            aki.value = sequence(&[content(&aki.value), &tlv(0xa1, &directory_name), &tlv(0x82, &[1])]);
        })
    }),
    case("subject_key_identifier_is_not_critical", &[], || {
        with_critical(precertificate(), oids::SUBJECT_KEY_IDENTIFIER, true)
    }),
    case("subject_key_identifier_is_of_the_key", &[], || {
        with_value(precertificate(), oids::SUBJECT_KEY_IDENTIFIER, &tlv(4, &[7; 20]))
    }),
    case("key_usage_is_stated", &[], || without_extension(private(), oids::KEY_USAGE)),
    case("key_usage_is_critical", &[], || with_critical(precertificate(), oids::KEY_USAGE, false)),
    case("key_usage_bits_are_trimmed", &["extension_values_are_canonical_der"], || {
        with_value(precertificate(), oids::KEY_USAGE, &tlv(3, &[0, 0x80]))
    }),
    case("key_usage_is_no_authoritys", &[], || with_value(private(), oids::KEY_USAGE, &tlv(3, &[2, 0x84]))),
    case("key_usage_is_no_authoritys", &[], || with_value(private(), oids::KEY_USAGE, &tlv(3, &[1, 0x82]))),
    case("key_usage_fits_the_key", &[], || with_value(private(), oids::KEY_USAGE, &tlv(3, &[5, 0xa0]))),
    case("key_usage_fits_the_key", &[], || {
        with_value(Bench { public_key: world::rsa(2048), ..private() }, oids::KEY_USAGE, &tlv(3, &[3, 0x88]))
    }),
    case("key_usage_fits_the_key", &[], || {
        with_value(Bench { public_key: world::ed25519(), ..private() }, oids::KEY_USAGE, &tlv(3, &[3, 0x88]))
    }),
    case("key_usage_fits_the_key", &[], || with_value(private(), oids::KEY_USAGE, &tlv(3, &[0, 0x81]))),
    case("certificate_policies_are_not_critical", &[], || {
        with_critical(precertificate(), oids::CERTIFICATE_POLICIES, true)
    }),
    case("names_are_stated", &["names_are_those_of_the_order"], || with_names(private(), &[])),
    case("names_are_dns_names_or_addresses", &["names_are_those_of_the_order"], || {
        with_names(private().named(&["a.internal"]), &[dns("a.internal"), (1, b"root@a.internal")])
    }),
    case("dns_names_are_host_names", &[], || private().named(&["-a.internal"]).findings()),
    case("dns_names_are_host_names", &[], || private().named(&["a..internal"]).findings()),
    case("dns_names_are_lower_case", &[], || private().named(&["A.internal"]).findings()),
    case("wildcard_is_the_left_most_label", &["dns_names_are_host_names"], || {
        private().named(&["a.*.internal"]).findings()
    }),
    case("wildcard_is_the_left_most_label", &["dns_names_are_host_names"], || {
        private().named(&["*a.internal"]).findings()
    }),
    case("names_are_sorted", &[], || with_names(precertificate(), &[dns("www.example.com"), dns("example.com")])),
    case("names_are_sorted", &["names_are_those_of_the_order"], || {
        with_names(precertificate(), &[dns("*.example.com"), dns("example.com")])
    }),
    case("names_have_no_duplicates", &[], || {
        with_names(precertificate(), &[dns("example.com"), dns("example.com"), dns("www.example.com")])
    }),
    case("addresses_have_4_or_16_octets", &["names_are_those_of_the_order"], || {
        with_names(private().named(&["10.0.0.1"]), &[(7, &[10, 0, 0, 1, 255, 255, 255, 255])])
    }),
    case("addresses_are_not_ipv4_in_ipv6", &[], || private().named(&["::ffff:10.0.0.1"]).findings()),
    case("certificate_is_no_authority", &[], || {
        with_extension(precertificate(), oids::BASIC_CONSTRAINTS, true, &sequence(&[&editor::BOOLEAN_TRUE]))
    }),
    case("purposes_are_not_critical", &[], || with_critical(precertificate(), oids::EXTENDED_KEY_USAGE, true)),
    case("purposes_are_stated", &[], || Bench { purposes: Vec::new(), ..private() }.findings()),
    case("purposes_are_not_any", &[], || with_purposes(private(), &[oids::SERVER_AUTH, oids::ANY_EXTENDED_KEY_USAGE])),
    case("purposes_have_no_duplicates", &[], || {
        with_purposes(precertificate(), &[oids::SERVER_AUTH, oids::SERVER_AUTH])
    }),
    case("crl_distribution_points_are_not_critical", &[], || {
        with_critical(precertificate(), oids::CRL_DISTRIBUTION_POINTS, true)
    }),
    case("crl_distribution_point_is_one_full_name", &[], || {
        precertificate().edited(|c| {
            let points = c.extensions.of(oids::CRL_DISTRIBUTION_POINTS);
            points.value = sequence(&[content(&points.value), content(&points.value)]);
        })
    }),
    case("crl_distribution_point_is_one_full_name", &[], || {
        precertificate().edited(|c| {
            let points = c.extensions.of(oids::CRL_DISTRIBUTION_POINTS);
            let point = parts(content(&points.value)).remove(0);
            points.value = sequence(&[&sequence(&[content(&point), &tlv(0x81, &[6, 0x40])])]);
        })
    }),
    case("authority_information_access_is_not_critical", &[], || {
        with_critical(precertificate(), oids::AUTHORITY_INFO_ACCESS, true)
    }),
    case("access_methods_are_known", &[], || {
        with_accesses(private(), &[(ACCESS_TIME_STAMPING, 6, "http://a.example/")])
    }),
    case("access_methods_have_one_location_each", &[], || {
        let twice = (oids::ACCESS_CA_ISSUERS, 6, "http://a.example/");
        with_accesses(private(), &[twice, twice])
    }),
    case("locations_are_urls_with_a_host", &[], || {
        Bench { ca_issuers_url: Some("http:///1.der"), ..private() }.findings()
    }),
    case("locations_are_urls_with_a_host", &[], || {
        with_accesses(private(), &[(oids::ACCESS_CA_ISSUERS, 1, "root@a.internal")])
    }),
    case("locations_are_urls_with_a_host", &[], || {
        Bench { crl_url: Some("http://a.internal/a b"), ..private() }.findings()
    }),
    case("tls_feature_is_not_critical", &[], || with_critical(must_staple(), oids::TLS_FEATURE, true)),
    case("tls_feature_is_status_request", &[], || {
        with_value(must_staple(), oids::TLS_FEATURE, &sequence(&[&[2, 1, 17]]))
    }),
    case("must_staple_names_a_responder", &[], || Bench { ocsp_url: None, ..must_staple() }.findings()),
];

pub(super) const OF_RFC6962: &[Case] = &[
    case("precertificate_has_the_poison", &[], || without_extension(precertificate(), oids::POISON)),
    case("only_a_precertificate_has_the_poison", &["poison_and_scts_never_meet"], || {
        with_extension(final_certificate(), oids::POISON, true, &NULL)
    }),
    case("only_a_precertificate_has_the_poison", &[], || with_extension(private(), oids::POISON, true, &NULL)),
    case("poison_is_critical", &[], || with_critical(precertificate(), oids::POISON, false)),
    case("poison_is_null", &[], || with_value(precertificate(), oids::POISON, &[4, 0])),
    case("poison_is_null", &[], || with_value(precertificate(), oids::POISON, &[5, 0, 0])),
    case("final_certificate_has_enough_scts", &[], || Bench { scts_min: 3, ..final_certificate() }.findings()),
    case("final_certificate_has_enough_scts", &[], || without_extension(final_certificate(), oids::SCT_LIST)),
    case("only_a_final_certificate_has_scts", &[], || with_extension(private(), oids::SCT_LIST, false, &sct_list())),
    case("poison_and_scts_never_meet", &["only_a_final_certificate_has_scts"], || {
        with_extension(precertificate(), oids::SCT_LIST, false, &sct_list())
    }),
    case("sct_list_is_not_critical", &[], || with_critical(final_certificate(), oids::SCT_LIST, true)),
    case("sct_list_is_readable", &["final_certificate_has_enough_scts", "extension_values_are_strict_der"], || {
        with_value(final_certificate(), oids::SCT_LIST, &tlv(4, &[0, 3, 0, 1]))
    }),
    case("scts_are_of_distinct_logs", &[], || {
        let mut bench = final_certificate();
        bench.scts[1].log_id = bench.scts[0].log_id;
        bench.findings()
    }),
    case("scts_are_not_of_the_future", &[], || {
        let mut bench = final_certificate();
        bench.scts[0].timestamp = bench.now.plus(Duration::from_millis(60_001));
        bench.findings()
    }),
    case("scts_are_older_than_the_end_of_the_certificate", &[], || {
        let mut bench = Bench { now: at("2028-01-01T00:00:00Z"), ..Bench::private(Kind::Final) };
        bench.scts[0].timestamp = bench.validity.not_after.plus(Duration::from_millis(1));
        bench.findings()
    }),
    case("scts_are_signed_by_allowed_algorithms", &[], || {
        let mut bench = final_certificate();
        bench.scts[1].signature = DigitallySigned { hash: 2, algorithm: 3, signature: world::SIGNATURE.to_vec() };
        bench.findings()
    }),
];

pub(super) const OF_BASELINE: &[Case] = &[
    case("lifetime_is_within_the_maximum_of_the_day", &[], || {
        living_for(DAY * 200 + Duration::from_secs(1), precertificate()).findings()
    }),
    case("serial_has_room_for_64_random_bits", &[], || precertificate().edited(|c| c.serial = tlv(2, &[0x4c; 8]))),
    case("not_before_is_within_48_hours_of_now", &[], || {
        Bench { now: at("2026-11-23T09:00:01Z"), ..precertificate() }.findings()
    }),
    case("not_before_is_within_48_hours_of_now", &[], || {
        Bench { now: at("2026-11-19T08:59:59Z"), ..precertificate() }.findings()
    }),
    case("first_policy_is_domain_validated", &[], || {
        Bench { policies: vec![UNKNOWN, oids::DOMAIN_VALIDATED], ..precertificate() }.findings()
    }),
    case("first_policy_is_domain_validated", &[], || Bench { policies: Vec::new(), ..precertificate() }.findings()),
    case("policies_are_permitted", &[], || {
        Bench { policies: vec![oids::DOMAIN_VALIDATED, ORGANIZATION_VALIDATED], ..precertificate() }.findings()
    }),
    case("policies_are_permitted", &[], || {
        Bench { policies: vec![oids::DOMAIN_VALIDATED, oids::ANY_POLICY], ..precertificate() }.findings()
    }),
    case("policies_are_permitted", &[], || {
        Bench { policies: vec![oids::DOMAIN_VALIDATED; 2], ..precertificate() }.findings()
    }),
    case("policies_have_no_user_notice", &[], || {
        let notice = sequence(&[&sequence(&[&oid(oids::USER_NOTICE), &sequence(&[&tlv(UTF8, b"Trust us")])])]);
        let policy = sequence(&[&oid(oids::DOMAIN_VALIDATED), &notice]);
        with_value(precertificate(), oids::CERTIFICATE_POLICIES, &sequence(&[&policy]))
    }),
    case("purposes_include_server_auth", &[], || {
        Bench { purposes: vec![Purpose::ClientAuth], ..precertificate() }.findings()
    }),
    case("purposes_are_for_tls", &[], || with_purposes(precertificate(), &[oids::SERVER_AUTH, EMAIL_PROTECTION])),
    case("client_auth_has_ended", &[], || {
        let mut bench = Bench { now: at("2027-03-15T00:00:00Z"), ..precertificate() };
        bench.purposes.push(Purpose::ClientAuth);
        bench.validity.not_before = at("2027-03-14T23:00:00Z");
        living_for(DAY * 90, bench).findings()
    }),
    case("key_usage_is_that_of_a_tls_server", &[], || {
        with_value(precertificate(), oids::KEY_USAGE, &tlv(3, &[6, 0xc0]))
    }),
    case("key_usage_is_that_of_a_tls_server", &[], || {
        with_value(Bench { public_key: world::rsa(2048), ..precertificate() }, oids::KEY_USAGE, &tlv(3, &[5, 0x20]))
    }),
    case("basic_constraints_are_critical", &[], || {
        with_extension(precertificate(), oids::BASIC_CONSTRAINTS, false, &sequence(&[]))
    }),
    case("key_is_of_an_allowed_kind", &[], || Bench { public_key: world::ed25519(), ..precertificate() }.findings()),
    case("rsa_modulus_is_long_enough", &[], || Bench { public_key: world::rsa(2040), ..precertificate() }.findings()),
    case("rsa_modulus_is_of_whole_octets", &[], || {
        Bench { public_key: world::rsa(2050), ..precertificate() }.findings()
    }),
    case("sha1_is_nowhere", &["signature_algorithm_is_known"], || signed_by(private(), oids::ECDSA_SHA1, &[])),
    case("sha1_is_nowhere", &["signature_algorithm_is_known"], || {
        signed_by(Bench { issuer: world::intermediate(&world::rsa(2048)), ..private() }, oids::RSA_SHA1, &NULL)
    }),
    case("hash_fits_the_issuers_key", &[], || {
        Bench { algorithm: SignatureAlgorithm::EcdsaSha384, ..precertificate() }.findings()
    }),
    case("locations_are_plain_http", &[], || {
        Bench { ca_issuers_url: Some("https://ca.example.net/1.der"), ..precertificate() }.findings()
    }),
    case("locations_are_plain_http", &[], || {
        Bench { crl_url: Some("ldap://ca.example.net/1"), ..precertificate() }.findings()
    }),
    case("revocation_can_be_found", &[], || Bench { ocsp_url: None, crl_url: None, ..precertificate() }.findings()),
    case("revocation_can_be_found", &[], || {
        let bench = Bench { ocsp_url: None, crl_url: None, ..precertificate() };
        living_for(DAY * 7 + Duration::from_secs(1), bench).findings()
    }),
    case("names_have_no_underscore", &["dns_names_are_host_names"], || {
        precertificate().named(&["a_b.example.com"]).findings()
    }),
    case("names_have_no_reserved_label", &[], || precertificate().named(&["ab--c.example.com"]).findings()),
    case("names_are_under_public_tlds", &[], || precertificate().named(&["db.internal"]).findings()),
    case("wildcards_are_not_over_public_suffixes", &[], || precertificate().named(&["*.co.uk"]).findings()),
    case("names_are_not_in_reverse_zones", &[], || precertificate().named(&["1.2.0.192.in-addr.arpa"]).findings()),
    case("addresses_are_not_reserved", &[], || precertificate().named(&["10.0.0.1"]).findings()),
    case("addresses_are_not_reserved", &[], || precertificate().named(&["2001:db8::1"]).findings()),
];

pub(super) const OF_ORDER: &[Case] = &[
    case("linting_certificate_is_of_this_tbs", &[], || {
        let bench = precertificate();
        let mut other = editor::Certificate::read(bench.tbs().der());
        other.serial = tlv(2, &[0x4d; 17]);
        let linting_certificate = world::linting_certificate(&other.encode(), &other.algorithm);
        world::fired(check_certificate(bench.tbs().der(), &linting_certificate, &bench.rules()))
    }),
    case("names_are_those_of_the_order", &[], || with_names(precertificate(), &[dns("example.com")])),
    case("names_are_those_of_the_order", &[], || {
        with_names(precertificate(), &[dns("example.com"), dns("www.example.com"), dns("www.example.org")])
    }),
    case("names_are_those_of_the_order", &[], || {
        // The text of an address as a DNS name is no address.
        with_names(private().named(&["10.0.0.1"]), &[dns("10.0.0.1")])
    }),
    case("public_key_is_that_of_the_order", &["subject_key_identifier_is_of_the_key"], || {
        precertificate().edited(|c| c.public_key = world::p384().spki_der().to_vec())
    }),
    case("subject_holds_at_most_one_common_name_and_nothing_else", &[], || {
        let subject = name(&[(ORGANIZATION, UTF8, "Example"), (oids::COMMON_NAME, UTF8, "example.com")]);
        precertificate().edited(|c| c.subject = subject)
    }),
    case("subject_holds_at_most_one_common_name_and_nothing_else", &[], || {
        precertificate().edited(|c| c.subject = name(&[(ORGANIZATION, UTF8, "Example")]))
    }),
    case("subject_holds_at_most_one_common_name_and_nothing_else", &[], || {
        let names = [(oids::COMMON_NAME, UTF8, "example.com"), (oids::COMMON_NAME, UTF8, "www.example.com")];
        precertificate().edited(|c| c.subject = name(&names))
    }),
    case("common_name_is_one_of_the_names", &[], || {
        precertificate().edited(|c| c.subject = name(&[(oids::COMMON_NAME, UTF8, "mail.example.com")]))
    }),
    case("common_name_is_one_of_the_names", &[], || {
        Bench { common_name: Some("10.0.0.2".to_owned()), ..private().named(&["10.0.0.1"]) }.findings()
    }),
    case("lifetime_is_within_the_profiles", &[], || {
        Bench { lifetime_max: DAY * 90 - Duration::from_secs(1), ..precertificate() }.findings()
    }),
];
