use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use der::{Decode, Encode};
use proptest::prelude::*;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use super::*;
use crate::testing::{EdSigner, POLICIES, PURPOSES, RsaSigner, World, at, dns, read, testdata};
use crate::writer::{Writer, tag};
use crate::{Crl, CrlEntry, KeyError, Reason, TbsCrl};

/// Every golden file with the bytes that belong into it.
fn golden() -> Vec<(&'static str, Vec<u8>)> {
    let world = World::new();
    let rsa = SignatureAlgorithm::RsaSha256;
    let by_root = |tbs: &TbsCertificate| tbs.with_signature(rsa, &world.root.sign(tbs.der()));
    let by_intermediate = |tbs: &TbsCertificate| tbs.with_signature(rsa, &world.intermediate.sign(tbs.der()));

    let precertificate = TbsCertificate::leaf(&world.leaf(Ct::Poison));
    let certificate = precertificate.with_scts(&world.scts(&precertificate)).unwrap();

    let rsa_key = RsaSigner::of("leaf_rsa").public_key();
    let addresses =
        [GeneralName::Ip(IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))), GeneralName::Ip("2620:fe::9".parse().unwrap())];
    let names = dns(&["example.org"]).into_iter().chain(addresses).collect();
    let precertificate_with_all = TbsCertificate::leaf(&Leaf {
        serial: Serial::from_random(*b"the second one.."),
        common_name: Some("example.org"),
        names: &names,
        public_key: &rsa_key,
        key_usage: KeyUsage::KeyEncipherment,
        ocsp_url: Some("http://r1.example.com/ocsp"),
        subject_key_identifier: true,
        must_staple: true,
        ..world.leaf(Ct::Poison)
    });
    let certificate_with_all = precertificate_with_all.with_scts(&world.scts(&precertificate_with_all)).unwrap();

    let entries = [(b"the first serial", Reason::Unspecified), (b"the second one..", Reason::KeyCompromise)].map(
        |(random, reason)| CrlEntry {
            serial: Serial::from_random(*random),
            revoked_at: at("2026-11-21T09:00:00Z"),
            reason,
        },
    );
    let crl = TbsCrl::build(&world.crl_fields(), &entries);
    let empty_crl = TbsCrl::build(&world.crl_fields(), &[]);
    vec![
        ("root.der", by_root(&world.root_tbs())),
        ("intermediate.der", by_root(&world.intermediate_tbs())),
        ("leaf_precertificate.der", by_intermediate(&precertificate)),
        ("leaf_final.der", by_intermediate(&certificate)),
        ("leaf_with_all_precertificate.der", by_intermediate(&precertificate_with_all)),
        ("leaf_with_all_final.der", by_intermediate(&certificate_with_all)),
        ("leaf_without_ct.der", by_intermediate(&TbsCertificate::leaf(&world.leaf(Ct::None)))),
        ("crl.der", crl.with_signature(rsa, &world.intermediate.sign(crl.der()))),
        ("empty_crl.der", empty_crl.with_signature(rsa, &world.intermediate.sign(empty_crl.der()))),
    ]
}

#[test]
fn written_bytes_are_those_of_the_golden_files() {
    for (name, der) in golden() {
        assert_eq!(der, read(&format!("golden/{name}")), "{name}");
    }
}

#[test]
#[ignore = "writes the golden files anew; look at the difference before it is committed"]
fn golden_files_are_written() {
    for (name, der) in golden() {
        std::fs::write(testdata("golden").join(name), der).unwrap();
    }
}

#[test]
fn golden_certificates_chain_and_say_what_they_should() {
    let [root, intermediate, leaf] = ["root", "intermediate", "leaf_with_all_final"]
        .map(|name| Certificate::from_der(&read(&format!("golden/{name}.der"))).unwrap());
    assert_eq!(root.verify_signed_by(root.public_key()), Ok(()));
    assert_eq!(intermediate.verify_signed_by(root.public_key()), Ok(()));
    assert_eq!(leaf.verify_signed_by(intermediate.public_key()), Ok(()));
    assert_eq!(leaf.verify_signed_by(root.public_key()), Err(KeyError::BadSignature));
    assert_eq!(leaf.issuer(), intermediate.subject());
    assert_eq!(leaf.authority_key_identifier(), intermediate.key_identifier());
    assert_eq!(leaf.key_identifier(), Some(&leaf.public_key().key_identifier()[..]));
    assert_eq!(leaf.crl_url(), Some("http://r1.example.com/crl/17.crl"));
    assert!(root.is_authority() && intermediate.is_authority() && !leaf.is_authority());
    assert_eq!(leaf.names().len(), 3);
    assert_eq!(leaf.subject().common_names(), ["example.org"]);
    assert_eq!(leaf.serial(), Serial::from_random(*b"the second one.."));
    assert_eq!(leaf.validity().not_after, at("2027-01-05T09:59:59Z"));

    let scts = leaf.scts().unwrap();
    let entry =
        crate::PrecertEntry { issuer_key_hash: intermediate.public_key().spki_hash(), tbs: leaf.tbs().without_ct() };
    assert_eq!(scts.len(), 2);
    for sct in scts {
        assert_eq!(sct.verify(&World::new().log.public_key(), &entry), Ok(()));
    }
}

#[test]
fn subject_alt_name_is_critical_if_and_only_if_the_subject_is_empty() {
    let world = World::new();
    for common_name in [None, Some("example.org")] {
        let tbs = TbsCertificate::leaf(&Leaf { common_name, ..world.leaf(Ct::None) });
        let critical = extensions_of(&tbs).iter().any(|(id, critical)| *id == oid::SUBJECT_ALT_NAME && *critical);
        assert_eq!(critical, common_name.is_none());
    }
}

#[test]
fn critical_extensions_of_a_leaf_are_few() {
    let world = World::new();
    let tbs = TbsCertificate::leaf(&Leaf { common_name: Some("example.org"), ..world.leaf(Ct::Poison) });
    let critical: Vec<_> =
        extensions_of(&tbs).into_iter().filter_map(|(id, critical)| critical.then_some(id)).collect();
    assert_eq!(critical, [oid::KEY_USAGE, oid::CT_POISON]);
}

fn extensions_of(tbs: &TbsCertificate) -> Vec<(ObjectIdentifier, bool)> {
    let read = x509_cert::TbsCertificate::from_der(tbs.der()).unwrap();
    read.extensions().unwrap().iter().map(|extension| (extension.extn_id, extension.critical)).collect()
}

#[test]
fn key_encipherment_is_for_rsa_keys_alone() {
    let world = World::new();
    let rsa = RsaSigner::of("leaf_rsa").public_key();
    for (key, expected) in [(&world.leaf_key, [3, 2, 7, 0x80]), (&rsa, [3, 2, 5, 0xa0])] {
        let leaf = Leaf { key_usage: KeyUsage::KeyEncipherment, public_key: key, ..world.leaf(Ct::None) };
        let tbs = TbsCertificate::leaf(&leaf);
        let extension = [&[0x06, 3, 0x55, 0x1d, 0x0f, 1, 1, 0xff, 4, 4][..], &expected].concat();
        assert!(tbs.der().windows(extension.len()).any(|window| window == extension));
    }
}

#[test]
fn poison_is_replaced_in_its_place() {
    let world = World::new();
    let precertificate = TbsCertificate::leaf(&world.leaf(Ct::Poison));
    let scts = world.scts(&precertificate);
    let certificate = precertificate.with_scts(&scts).unwrap();
    assert_eq!(certificate, TbsCertificate::leaf(&world.leaf(Ct::Scts(&scts))));
    assert_eq!(corresponds(precertificate.der(), certificate.der()), Ok(()));
    let bare = TbsCertificate::leaf(&world.leaf(Ct::None));
    assert_eq!(precertificate.without_ct(), bare.der());
    assert_eq!(certificate.without_ct(), bare.der());
    assert_eq!(bare.without_ct(), bare.der());
    assert_eq!(certificate.sct_list(), Some(&crate::encode_sct_list(&scts)[..]));
}

#[test]
fn scts_go_into_precertificates_only() {
    let world = World::new();
    let precertificate = TbsCertificate::leaf(&world.leaf(Ct::Poison));
    let scts = world.scts(&precertificate);
    assert_eq!(precertificate.with_scts(&[]), Err(Mismatch::NoScts));
    let too_many = vec![scts[0].clone(); 300];
    assert!(matches!(precertificate.with_scts(&too_many), Err(Mismatch::SctsTooLong(_))));
    let certificate = precertificate.with_scts(&scts).unwrap();
    assert_eq!(certificate.with_scts(&scts), Err(Mismatch::NotPrecertificate { poisons: 0, sct_lists: 1 }));
    let bare = TbsCertificate::leaf(&world.leaf(Ct::None));
    assert_eq!(bare.with_scts(&scts), Err(Mismatch::NotPrecertificate { poisons: 0, sct_lists: 0 }));
}

#[test]
fn certificates_that_differ_do_not_correspond() {
    let world = World::new();
    let leaf = world.leaf(Ct::Poison);
    let precertificate = TbsCertificate::leaf(&leaf);
    let scts = world.scts(&precertificate);
    let other_names = dns(&["example.org"]);
    let other_issuer = Name::new().common_name("another");
    let other_key = EdSigner::of(3).public_key();
    let later = Validity { not_after: at("2027-01-05T10:00:00Z"), ..leaf.validity };
    let changed: [(Leaf<'_>, Mismatch); 7] = [
        (Leaf { serial: Serial::from_random([1; 16]), ..leaf }, Mismatch::Field("the serial number")),
        (
            Leaf { signature_algorithm: SignatureAlgorithm::RsaSha384, ..leaf },
            Mismatch::Field("the signature algorithm"),
        ),
        (Leaf { issuer: &other_issuer, ..leaf }, Mismatch::Field("the issuer")),
        (Leaf { validity: later, ..leaf }, Mismatch::Field("the validity")),
        (Leaf { public_key: &other_key, ..leaf }, Mismatch::Field("the public key")),
        (Leaf { names: &other_names, ..leaf }, Mismatch::Extension(5)),
        (Leaf { must_staple: true, ..leaf }, Mismatch::Extension(8)),
    ];
    for (leaf, expected) in changed {
        let certificate = TbsCertificate::leaf(&leaf).with_scts(&scts).unwrap();
        assert_eq!(corresponds(precertificate.der(), certificate.der()), Err(expected));
    }
    assert_eq!(
        corresponds(precertificate.der(), precertificate.der()),
        Err(Mismatch::NotFinal { sct_lists: 0, poisons: 1 })
    );
    assert_eq!(corresponds(&[0x30, 0], precertificate.der()), Err(Mismatch::Malformed("precertificate")));
}

#[test]
fn any_octet_changed_outside_of_the_sct_list_ends_the_correspondence() {
    let world = World::new();
    let precertificate = TbsCertificate::leaf(&world.leaf(Ct::Poison));
    let certificate = precertificate.with_scts(&world.scts(&precertificate)).unwrap();
    // The list is the last extension of a leaf.
    let list_at = certificate.der().len() - certificate.sct_list().unwrap().len();
    for at in 0..list_at {
        let mut changed = certificate.der().to_vec();
        changed[at] ^= 0x10;
        assert!(corresponds(precertificate.der(), &changed).is_err(), "{at}");
    }
    for at in precertificate.der().len() - 7..precertificate.der().len() {
        let mut changed = precertificate.der().to_vec();
        changed[at] ^= 0x10;
        assert_eq!(corresponds(&changed, certificate.der()), Err(Mismatch::CtExtension("poison")), "{at}");
    }
    let mut other_sct = certificate.der().to_vec();
    other_sct[list_at + 10] ^= 0x10;
    assert_eq!(corresponds(precertificate.der(), &other_sct), Ok(()));
}

#[test]
fn doubled_extensions_are_refused() {
    let world = World::new();
    let der = TbsCertificate::leaf(&world.leaf(Ct::None)).der().to_vec();
    let layout = correspondence::Layout::of(&der).unwrap();
    let twice: Vec<_> = layout.extensions.iter().chain(&layout.extensions[..1]).copied().collect();
    assert_eq!(
        TbsCertificate::from_der(layout.rebuilt(twice.iter())),
        Err(CertificateError::DoubledExtension(oid::KEY_USAGE))
    );
    // Without any, the field itself is left out.
    let none = TbsCertificate::from_der(layout.rebuilt([].iter())).unwrap();
    assert_eq!(none.without_ct(), none.der());
}

#[test]
fn certificates_with_different_algorithms_inside_and_outside_are_refused() {
    let world = World::new();
    let tbs = TbsCertificate::leaf(&world.leaf(Ct::None));
    let signature = world.intermediate.sign(tbs.der());
    let der = tbs.with_signature(SignatureAlgorithm::RsaSha384, &signature);
    assert_eq!(Certificate::from_der(&der), Err(CertificateError::SignatureAlgorithm));
}

#[test]
fn false_that_is_written_out_is_not_der() {
    let world = World::new();
    let der = TbsCertificate::leaf(&world.leaf(Ct::None)).der().to_vec();
    let layout = correspondence::Layout::of(&der).unwrap();
    let mut writer = Writer::with_capacity(32);
    writer.sequence(|writer| {
        writer.object_identifier(&oid::TLS_FEATURE);
        writer.value(tag::BOOLEAN, &[0]);
        writer.value(tag::OCTET_STRING, &[0x30, 3, 2, 1, 5]);
    });
    let encoded = writer.finish();
    let added = correspondence::Extension { id: oid::TLS_FEATURE.as_bytes(), encoded: &encoded };
    let extensions: Vec<_> = layout.extensions.iter().copied().chain([added]).collect();
    let refused = TbsCertificate::from_der(layout.rebuilt(extensions.iter()));
    assert!(matches!(refused, Err(CertificateError::NotCanonical | CertificateError::Malformed(_))), "{refused:?}");
}

#[test]
fn certificates_cut_short_or_continued_are_refused() {
    let der = read("golden/leaf_final.der");
    for end in 0..der.len() {
        assert!(Certificate::from_der(&der[..end]).is_err(), "{end}");
    }
    assert!(Certificate::from_der(&[&der[..], &[0]].concat()).is_err());
    let long = vec![0; CERTIFICATE_OCTETS_MAX + 1];
    assert_eq!(Certificate::from_der(&long), Err(CertificateError::TooLong(long.len())));
}

#[test]
fn changed_octets_never_verify_as_signed() {
    let issuer = World::new().intermediate.public_key();
    let (certificate, crl) = (read("golden/leaf_with_all_final.der"), read("golden/crl.der"));
    let changed = |der: &[u8], at: usize| {
        let mut changed = der.to_vec();
        changed[at] ^= 0x21;
        changed
    };
    for at in 0..certificate.len() {
        let read = Certificate::from_der(&changed(&certificate, at));
        assert!(read.is_err() || read.unwrap().verify_signed_by(&issuer).is_err(), "{at}");
    }
    for at in 0..crl.len() {
        let read = Crl::from_der(&changed(&crl, at));
        assert!(read.is_err() || read.unwrap().verify_signed_by(&issuer).is_err(), "{at}");
    }
}

fn any_name() -> impl Strategy<Value = GeneralName> {
    prop_oneof![
        "(\\*\\.)?([a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?\\.){1,4}[a-z]{2,12}".prop_map(GeneralName::Dns),
        any::<[u8; 4]>().prop_map(|octets| GeneralName::Ip(Ipv4Addr::from(octets).into())),
        any::<[u8; 16]>().prop_map(|octets| GeneralName::Ip(Ipv6Addr::from(octets).into())),
    ]
}

/// What is drawn for one leaf.
#[derive(Clone, Debug)]
struct Drawn {
    serial: [u8; 16],
    names: BTreeSet<GeneralName>,
    common_name: Option<String>,
    not_before: i64,
    length: i64,
    seed: u8,
    switches: [bool; 6],
}

fn any_leaf() -> impl Strategy<Value = Drawn> {
    (
        any::<[u8; 16]>(),
        proptest::collection::btree_set(any_name(), 1..60),
        proptest::option::of("[a-zA-Z0-9é.-]{1,64}"),
        0i64..4_000_000_000,
        0i64..4_000_000_000,
        any::<u8>(),
        any::<[bool; 6]>(),
    )
        .prop_map(|(serial, names, common_name, not_before, length, seed, switches)| Drawn {
            serial,
            names,
            common_name,
            not_before,
            length,
            seed,
            switches,
        })
}

proptest! {
    #[test]
    fn two_readers_read_what_was_written(drawn in any_leaf()) {
        let issuer = Name::new().organization("Example").common_name("Example Intermediate");
        let key = EdSigner::of(drawn.seed).public_key();
        let [ski, staple, ocsp, crl, poison, client] = drawn.switches;
        let purposes = [Purpose::ServerAuth, Purpose::ClientAuth];
        let leaf = Leaf {
            serial: Serial::from_random(drawn.serial),
            issuer: &issuer,
            issuer_key_identifier: [drawn.seed; 20],
            signature_algorithm: SignatureAlgorithm::Ed25519,
            validity: Validity {
                not_before: Timestamp::from_seconds(drawn.not_before),
                not_after: Timestamp::from_seconds(drawn.not_before + drawn.length),
            },
            common_name: drawn.common_name.as_deref(),
            names: &drawn.names,
            public_key: &key,
            key_usage: KeyUsage::DigitalSignature,
            extended_key_usage: if client { &purposes } else { &PURPOSES },
            policies: &POLICIES,
            ca_issuers_url: Some("http://ca.example/issuer.der"),
            ocsp_url: ocsp.then_some("http://ca.example/ocsp"),
            crl_url: crl.then_some("http://ca.example/crl/1.crl"),
            subject_key_identifier: ski,
            must_staple: staple,
            ct: if poison { Ct::Poison } else { Ct::None },
        };
        let tbs = TbsCertificate::leaf(&leaf);
        let der = tbs.with_signature(SignatureAlgorithm::Ed25519, &EdSigner::of(9).sign(tbs.der()));

        let strict = x509_cert::Certificate::from_der(&der).unwrap();
        prop_assert_eq!(strict.to_der().unwrap(), der.clone());
        prop_assert_eq!(&TbsCertificate::from_der(tbs.der().to_vec()).unwrap(), &tbs);
        let read = Certificate::from_der(&der).unwrap();
        prop_assert_eq!(read.tbs_der(), tbs.der());
        prop_assert_eq!(read.serial(), leaf.serial);
        prop_assert_eq!(read.names(), leaf.names);
        prop_assert_eq!(read.validity(), leaf.validity);
        prop_assert_eq!(read.issuer(), leaf.issuer);
        prop_assert_eq!(read.public_key(), leaf.public_key);
        prop_assert_eq!(read.subject().common_names(), drawn.common_name.iter().cloned().collect::<Vec<_>>());
        prop_assert_eq!(read.crl_url(), leaf.crl_url);
        prop_assert_eq!(read.is_precertificate(), poison);
        let key_identifier = key.key_identifier();
        prop_assert_eq!(read.key_identifier(), ski.then_some(&key_identifier[..]));
        prop_assert_eq!(read.verify_signed_by(&EdSigner::of(9).public_key()), Ok(()));
        second_reader_agrees(&der, &leaf)?;
    }
}

fn second_reader_agrees(der: &[u8], leaf: &Leaf<'_>) -> Result<(), TestCaseError> {
    let (rest, read) = X509Certificate::from_der(der).unwrap();
    prop_assert!(rest.is_empty());
    prop_assert_eq!(read.raw_serial(), leaf.serial.as_bytes());
    prop_assert_eq!(read.issuer().as_raw(), leaf.issuer.der());
    prop_assert_eq!(read.validity().not_before.timestamp(), leaf.validity.not_before.seconds());
    prop_assert_eq!(read.validity().not_after.timestamp(), leaf.validity.not_after.seconds());
    prop_assert_eq!(read.public_key().raw, leaf.public_key.spki_der());
    let alternative = read.subject_alternative_name().unwrap().unwrap();
    prop_assert_eq!(alternative.critical, leaf.common_name.is_none());
    let names: Vec<GeneralName> = alternative.value.general_names.iter().map(of_second_reader).collect();
    // In this order, too.
    prop_assert_eq!(names, leaf.names.iter().cloned().collect::<Vec<_>>());
    let purposes = read.extended_key_usage().unwrap().unwrap().value;
    prop_assert!(purposes.server_auth && !purposes.any);
    prop_assert_eq!(purposes.client_auth, leaf.extended_key_usage.contains(&Purpose::ClientAuth));
    prop_assert!(read.key_usage().unwrap().unwrap().value.digital_signature());
    prop_assert!(read.basic_constraints().unwrap().is_none());
    let unread = read
        .extensions()
        .iter()
        .any(|extension| matches!(extension.parsed_extension(), ParsedExtension::ParseError { .. }));
    prop_assert!(!unread);
    Ok(())
}

fn of_second_reader(name: &x509_parser::extensions::GeneralName<'_>) -> GeneralName {
    use x509_parser::extensions::GeneralName as Read;
    if let Read::DNSName(name) = name {
        return GeneralName::Dns((*name).to_owned());
    }
    let Read::IPAddress(octets) = name else {
        panic!("neither a DNS name nor an address: {name:?}");
    };
    match <[u8; 4]>::try_from(*octets) {
        Ok(four) => GeneralName::Ip(four.into()),
        Err(_) => GeneralName::Ip(<[u8; 16]>::try_from(*octets).unwrap().into()),
    }
}

#[test]
fn golden_crl_says_what_it_should() {
    let crl = Crl::from_der(&read("golden/crl.der")).unwrap();
    assert_eq!(crl.number(), 200);
    assert_eq!(crl.entries().len(), 2);
    assert_eq!(crl.distribution_point(), Some("http://r1.example.com/crl/17.crl"));
    assert_eq!(crl.verify_signed_by(&World::new().intermediate.public_key()), Ok(()));
    assert_eq!(Crl::from_der(&read("golden/empty_crl.der")).unwrap().entries(), []);
}
