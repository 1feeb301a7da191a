use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::ObjectIdentifier;
use crate::testing::{EdSigner, dns, read};
use crate::writer::Writer;

/// A request made by hand, to be wrong in one place.
struct Request {
    version: u8,
    subject: Name,
    extensions: Vec<(ObjectIdentifier, Vec<u8>)>,
    attributes: usize,
}

impl Request {
    fn of(extensions: &[(ObjectIdentifier, &[u8])]) -> Self {
        Self {
            version: 0,
            subject: Name::empty(),
            extensions: extensions.iter().map(|(id, value)| (*id, value.to_vec())).collect(),
            attributes: 1,
        }
    }

    fn signed(&self) -> Vec<u8> {
        let signer = EdSigner::of(5);
        let mut info = Writer::with_capacity(256);
        info.sequence(|info| {
            info.unsigned_integer(&[self.version]);
            info.raw(self.subject.der());
            info.raw(signer.public_key().spki_der());
            info.nested(tag::context_constructed(0), |info| {
                (0..self.attributes).for_each(|_| self.write_attribute(info));
            });
        });
        let info = info.finish();
        let mut request = Writer::with_capacity(512);
        request.sequence(|request| {
            request.raw(&info);
            request.raw(SignatureAlgorithm::Ed25519.algorithm_identifier_der());
            request.bit_string(&signer.sign(&info));
        });
        request.finish()
    }

    fn write_attribute(&self, info: &mut Writer) {
        info.sequence(|info| {
            info.object_identifier(&oid::EXTENSION_REQUEST);
            info.nested(tag::SET, |info| {
                info.sequence(|info| {
                    for (id, value) in &self.extensions {
                        info.sequence(|info| {
                            info.object_identifier(id);
                            info.value(tag::OCTET_STRING, value);
                        });
                    }
                });
            });
        });
    }

    fn error(&self) -> CsrError {
        Csr::parse(&self.signed()).expect_err("it is wrong")
    }
}

/// GeneralNames of one name.
fn names(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(64);
    writer.sequence(|writer| writer.value(tag, contents));
    writer.finish()
}

#[test]
fn requests_of_other_software_are_read() {
    let csr = Csr::parse(&read("csr/openssl_p256.csr.der")).unwrap();
    let addresses = ["192.0.2.7", "2001:db8::7"].map(|text| GeneralName::Ip(text.parse().unwrap()));
    let expected: BTreeSet<_> = dns(&["example.org", "*.example.org"]).into_iter().chain(addresses).collect();
    assert_eq!(csr.names(), &expected);
    assert_eq!((csr.common_name(), csr.wants_must_staple()), (None, false));
    assert_eq!(csr.public_key().kind(), crate::KeyKind::P256);

    let csr = Csr::parse(&read("csr/openssl_rsa_must_staple.csr.der")).unwrap();
    assert_eq!(csr.names(), &dns(&["example.org", "www.example.org"]));
    assert_eq!((csr.common_name(), csr.wants_must_staple()), (Some("www.example.org"), true));

    let csr = Csr::parse(&read("csr/openssl_ed25519_address_as_common_name.csr.der")).unwrap();
    let address = GeneralName::Ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
    assert_eq!(csr.names(), &BTreeSet::from([address]));
}

#[test]
fn requests_with_unacceptable_keys_or_signatures_say_so() {
    for (name, expected) in [
        ("sha1", CsrError::SignatureAlgorithm),
        ("rsa_pss", CsrError::SignatureAlgorithm),
        ("short_key", CsrError::WeakKey(WeakKey::RsaSize(1_024))),
    ] {
        assert_eq!(Csr::parse(&read(&format!("csr/{name}.csr.der"))).unwrap_err(), expected, "{name}");
    }
    let refused = Csr::parse(&read("csr/secp256k1.csr.der")).unwrap_err();
    assert!(matches!(refused, CsrError::Key(KeyError::UnsupportedCurve(_))));
}

#[test]
fn any_changed_octet_spoils_the_request() {
    let der = read("csr/openssl_p256.csr.der");
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 1;
        assert!(Csr::parse(&changed).is_err(), "{at}");
    }
    assert!(matches!(Csr::parse(&[&der[..], &[0]].concat()), Err(CsrError::Malformed(_))));
    assert_eq!(Csr::parse(&[0; CSR_OCTETS_MAX + 1]).unwrap_err(), CsrError::TooLong(CSR_OCTETS_MAX + 1));
}

#[test]
fn names_of_other_kinds_are_refused() {
    const OTHER_NAME: &[u8] = &[6, 1, 42, 0xa0, 2, 5, 0];
    for (tag, contents, expected) in [
        (0x81, &b"a@example.org"[..], CsrError::NameKind),
        (0x86, b"https://example.org/", CsrError::NameKind),
        (0xa0, OTHER_NAME, CsrError::NameKind),
        (0x88, &[42], CsrError::NameKind),
        (0x87, &[10, 0, 0], CsrError::Address),
        (0x87, &[10, 0, 0, 0, 255, 0, 0, 0], CsrError::Address),
    ] {
        let request = Request::of(&[(oid::SUBJECT_ALT_NAME, &names(tag, contents))]);
        assert_eq!(request.error(), expected, "{tag:02x}");
    }
}

#[test]
fn asking_to_be_a_ca_is_refused_and_asking_not_to_be_one_is_not() {
    let request = Request::of(&[(oid::BASIC_CONSTRAINTS, &[0x30, 3, 1, 1, 0xff])]);
    assert_eq!(request.error(), CsrError::AsksForAuthority);
    let request = Request::of(&[(oid::BASIC_CONSTRAINTS, &[0x30, 0])]);
    assert!(Csr::parse(&request.signed()).is_ok());
}

#[test]
fn unknown_extensions_are_passed_over() {
    let alternative = names(0x82, b"EXAMPLE.org");
    let request = Request::of(&[(oid::CT_POISON, &[5, 0]), (oid::SUBJECT_ALT_NAME, &alternative)]);
    assert_eq!(Csr::parse(&request.signed()).unwrap().names(), &dns(&["example.org"]));
}

#[test]
fn doubled_requests_and_extensions_are_refused() {
    let alternative = names(0x82, b"example.org");
    let twice = Request::of(&[(oid::SUBJECT_ALT_NAME, &alternative), (oid::SUBJECT_ALT_NAME, &alternative)]);
    assert_eq!(twice.error(), CsrError::DoubledExtension(oid::SUBJECT_ALT_NAME));
    let two_attributes = Request { attributes: 2, ..Request::of(&[(oid::SUBJECT_ALT_NAME, &alternative)]) };
    let refused = two_attributes.error();
    assert!(matches!(refused, CsrError::SeveralExtensionRequests | CsrError::Malformed(_)), "{refused}");
}

#[test]
fn malformed_extensions_are_refused_by_name() {
    for (id, value, expected) in [
        (oid::SUBJECT_ALT_NAME, &[0x30, 3, 0x82, 2, b'a'][..], "subjectAltName"),
        (oid::BASIC_CONSTRAINTS, &[0x30, 3, 1, 1, 1], "basicConstraints"),
        (oid::TLS_FEATURE, &[0x30, 1, 2], "TLS feature"),
    ] {
        let refused = Request::of(&[(id, value)]).error();
        assert!(matches!(refused, CsrError::Extension { name, .. } if name == expected), "{refused}");
    }
}

#[test]
fn common_names_are_one_and_not_too_long() {
    let of = |subject| Request { subject, ..Request::of(&[]) };
    let two = of(Name::new().common_name("a.example").common_name("b.example"));
    assert_eq!(two.error(), CsrError::SeveralCommonNames);
    assert_eq!(of(Name::new().common_name(&"a".repeat(65))).error(), CsrError::CommonNameTooLong(65));
    let empty = Csr::parse(&of(Name::new().common_name("")).signed()).unwrap();
    assert_eq!((empty.common_name(), empty.names().len()), (None, 0));
    let upper = Csr::parse(&of(Name::new().common_name("A.Example")).signed()).unwrap();
    assert_eq!(upper.names(), &dns(&["a.example"]));
}

#[test]
fn requests_of_ours_read_back() {
    let address = GeneralName::Ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
    let names: BTreeSet<_> = dns(&["*.example.org", "example.org"]).into_iter().chain([address]).collect();
    let signer = EdSigner::of(8);
    let tbs = request(&names, &signer.public_key());
    let csr = Csr::parse(&tbs.with_signature(SignatureAlgorithm::Ed25519, &signer.sign(tbs.der()))).unwrap();
    assert_eq!(csr.names(), &names);
    assert_eq!(csr.public_key(), &signer.public_key());
    assert_eq!((csr.common_name(), csr.wants_must_staple()), (None, false));

    let of_another = tbs.with_signature(SignatureAlgorithm::Ed25519, &EdSigner::of(9).sign(tbs.der()));
    assert_eq!(Csr::parse(&of_another).unwrap_err(), CsrError::BadSignature);
}

#[test]
fn other_versions_are_refused() {
    let request = Request { version: 1, ..Request::of(&[]) };
    assert!(matches!(request.error(), CsrError::Malformed(_)));
}
