use data_encoding::BASE64;
use proptest::prelude::*;

use super::*;
use crate::testing::{EdSigner, World, at, read, testdata};
use crate::{Certificate, Reason, Serial, SignatureAlgorithm, TbsCertificate, Timestamp};

const SHA1: IdForm = IdForm { algorithm: IdAlgorithm::Sha1, null_parameters: true };
const SHA256: IdForm = IdForm { algorithm: IdAlgorithm::Sha256, null_parameters: false };

fn issuer() -> Certificate {
    let world = World::new();
    let tbs = world.intermediate_tbs();
    let signature = world.root.sign(tbs.der());
    Certificate::from_der(&tbs.with_signature(SignatureAlgorithm::RsaSha256, &signature)).unwrap()
}

fn serial() -> Serial {
    Serial::from_random(*b"the first serial")
}

fn cert_id(form: IdForm) -> Vec<u8> {
    IssuerIdentity::of(&issuer()).cert_id(form, serial())
}

fn fields<'a>(cert_id: &'a [u8], status: CertStatus, responder_key: [u8; 20]) -> OcspFields<'a> {
    OcspFields {
        responder_key,
        produced_at: at("2026-11-21T10:00:00Z"),
        cert_id,
        status,
        this_update: at("2026-11-21T10:00:00Z"),
        next_update: at("2026-11-25T09:59:59Z"),
        nonce: None,
    }
}

const fn revoked(reason: Reason) -> CertStatus {
    CertStatus::Revoked { at: Timestamp::from_seconds(1_795_251_600), reason }
}

/// Every golden file with the bytes that belong into it.
fn golden() -> Vec<(&'static str, Vec<u8>)> {
    let world = World::new();
    let key = world.intermediate.public_key().key_identifier();
    let sign = |tbs: &TbsOcspResponse| {
        tbs.with_signature(SignatureAlgorithm::RsaSha256, &world.intermediate.sign(tbs.der()), None)
    };
    let (sha1, sha256) = (cert_id(SHA1), cert_id(SHA256));
    let responder = responder();
    let delegated = EdSigner::of(3);
    let by_delegate =
        TbsOcspResponse::build(&fields(&sha256, revoked(Reason::Unspecified), delegated.public_key().key_identifier()));
    let signature = delegated.sign(by_delegate.der());
    vec![
        ("ocsp_good.der", sign(&TbsOcspResponse::build(&fields(&sha1, CertStatus::Good, key)))),
        ("ocsp_revoked.der", sign(&TbsOcspResponse::build(&fields(&sha1, revoked(Reason::KeyCompromise), key)))),
        (
            "ocsp_revoked_delegated.der",
            by_delegate.with_signature(SignatureAlgorithm::Ed25519, &signature, Some(&responder)),
        ),
        ("ocsp_responder.der", responder.der().to_vec()),
        ("ocsp_request.der", OcspRequest::write(&sha1, None)),
        ("ocsp_request_nonce.der", OcspRequest::write(&sha256, Some(b"sixteen octets.."))),
    ]
}

fn responder() -> Certificate {
    let world = World::new();
    let subject = world.intermediate_name.with_common_name("Example OCSP");
    let tbs = TbsResponder::build(&Responder {
        serial: Serial::from_random(*b"a responder's no"),
        issuer: &world.intermediate_name,
        issuer_key_identifier: world.intermediate.public_key().key_identifier(),
        signature_algorithm: SignatureAlgorithm::RsaSha256,
        validity: crate::Validity { not_before: at("2026-11-21T09:00:00Z"), not_after: at("2026-12-12T08:59:59Z") },
        subject: &subject,
        public_key: &EdSigner::of(3).public_key(),
    });
    let tbs: &TbsCertificate = tbs.certificate();
    let der = tbs.with_signature(SignatureAlgorithm::RsaSha256, &world.intermediate.sign(tbs.der()));
    Certificate::from_der(&der).unwrap()
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

fn successful(der: &[u8]) -> BasicOcspResponse {
    match OcspResponse::from_der(der).unwrap() {
        OcspResponse::Successful(basic) => *basic,
        OcspResponse::Failed(error) => panic!("{error:?}"),
    }
}

#[test]
fn golden_answers_say_what_they_should() {
    let world = World::new();
    let good = successful(&read("golden/ocsp_good.der"));
    let data = good.data().unwrap();
    assert_eq!(data.responses[0].status, Some(CertStatus::Good));
    assert_eq!(data.responses[0].cert_id.serial, Some(serial()));
    assert_eq!(data.responses[0].next_update, Some(at("2026-11-25T09:59:59Z")));
    good.verify_signed_by(&world.intermediate.public_key()).unwrap();
    let revoked_answer = successful(&read("golden/ocsp_revoked.der"));
    assert_eq!(revoked_answer.data().unwrap().responses[0].status, Some(revoked(Reason::KeyCompromise)));
    let delegated = successful(&read("golden/ocsp_revoked_delegated.der"));
    let data = delegated.data().unwrap();
    assert_eq!(data.responses[0].status, Some(revoked(Reason::Unspecified)));
    assert!(!data.responses[0].states_reason, "unspecified is said by silence");
    let responder = delegated.certificate().unwrap();
    delegated.verify_signed_by(responder.public_key()).unwrap();
    responder.verify_signed_by(&world.intermediate.public_key()).unwrap();
    assert!(delegated.verify_signed_by(&world.intermediate.public_key()).is_err());
}

#[test]
fn request_is_read_as_it_was_written() {
    let der = read("golden/ocsp_request_nonce.der");
    let request = OcspRequest::from_der(&der).unwrap();
    assert_eq!(request.nonce, Some(&b"sixteen octets.."[..]));
    assert_eq!(request.cert_id.form, Some(SHA256));
    assert_eq!(request.cert_id.serial, Some(serial()));
    let identity = IssuerIdentity::of(&issuer());
    assert!(identity.is_named_by(&request.cert_id));
    assert_eq!(identity.cert_id(SHA256, serial()), request.cert_id.der);
    let root = World::new();
    let tbs = root.root_tbs();
    let other = Certificate::from_der(&tbs.with_signature(SignatureAlgorithm::RsaSha256, &[1])).unwrap();
    assert!(!IssuerIdentity::of(&other).is_named_by(&request.cert_id));
}

#[test]
fn requests_cut_short_or_continued_are_malformed() {
    let der = read("golden/ocsp_request_nonce.der");
    for end in 0..der.len() {
        assert_eq!(OcspRequest::from_der(&der[..end]).unwrap_err().status(), OcspError::MalformedRequest, "{end}");
    }
    assert!(OcspRequest::from_der(&[&der[..], &[0]].concat()).is_err());
    let long = vec![0x30; REQUEST_OCTETS_MAX + 1];
    assert_eq!(OcspRequest::from_der(&long), Err(RequestError::TooLong(REQUEST_OCTETS_MAX + 1)));
}

#[test]
fn nonces_have_1_to_128_octets() {
    let id = cert_id(SHA1);
    for (octets, fits) in [(0, false), (1, true), (32, true), (128, true), (129, false)] {
        let der = OcspRequest::write(&id, Some(&vec![7; octets]));
        let read = OcspRequest::from_der(&der).map(|request| request.nonce.map(<[u8]>::len));
        assert_eq!(read, if fits { Ok(Some(octets)) } else { Err(RequestError::Nonce) });
    }
}

/// A request with these bytes for its list and what comes behind it.
fn request_of(version: &[u8], list: &[&[u8]], behind: &[u8]) -> Vec<u8> {
    let sequence = |contents: &[u8]| {
        let mut writer = crate::writer::Writer::with_capacity(64);
        writer.value(tag::SEQUENCE, contents);
        writer.finish()
    };
    let requests: Vec<u8> = list.iter().flat_map(|id| sequence(id)).collect();
    sequence(&sequence(&[version, &sequence(&requests), behind].concat()))
}

#[test]
fn first_of_several_certificates_is_answered_for() {
    let identity = IssuerIdentity::of(&issuer());
    let other = identity.cert_id(SHA1, Serial::from_random([9; 16]));
    let (first, version) = (cert_id(SHA1), [0xa0, 3, 2, 1, 0]);
    let der = request_of(&version, &[&first, &other], &[]);
    assert_eq!(OcspRequest::from_der(&der).unwrap().cert_id.serial, Some(serial()));
    for (version, list) in [(&[0xa0, 3, 2, 1, 1][..], &[&first[..]][..]), (&[], &[]), (&[], &[&first, &other[1..]])] {
        let der = request_of(version, list, &[]);
        assert_eq!(OcspRequest::from_der(&der).unwrap_err().status(), OcspError::MalformedRequest);
    }
}

#[test]
fn critical_extension_that_is_not_known_gets_no_answer() {
    let extension = |critical: &[u8]| {
        let contents = [&[0x06, 3, 0x2a, 3, 4][..], critical, &[4, 0]].concat();
        let length = u8::try_from(contents.len()).unwrap();
        [&[0xa2, length + 4, 0x30, length + 2, 0x30, length], &contents[..]].concat()
    };
    let id = cert_id(SHA1);
    let critical = request_of(&[], &[&id], &extension(&[1, 1, 0xff]));
    assert_eq!(OcspRequest::from_der(&critical), Err(RequestError::CriticalExtension));
    assert_eq!(RequestError::CriticalExtension.status(), OcspError::Unauthorized);
    for harmless in [&[][..], &[1, 1, 0]] {
        OcspRequest::from_der(&request_of(&[], &[&id], &extension(harmless))).unwrap();
    }
}

#[test]
fn request_of_many_extensions_is_malformed_before_they_are_compared() {
    let id = cert_id(SHA1);
    let with = |number: u8| {
        let list: Vec<u8> = (0..number).flat_map(|one| [0x30, 6, 0x06, 2, 0x2a, one, 4, 0]).collect();
        let length = u8::try_from(list.len()).unwrap();
        let list = [&[0x30, 0x81, length], &list[..]].concat();
        request_of(&[], &[&id], &[&[0xa2, 0x81, length + 3], &list[..]].concat())
    };
    assert!(OcspRequest::from_der(&with(16)).is_ok());
    assert_eq!(OcspRequest::from_der(&with(17)).unwrap_err().status(), OcspError::MalformedRequest);
}

#[test]
fn path_of_a_get_is_read_as_clients_send_it() {
    // Digits 62 and 63 of base64, and an end with padding.
    let der = [0x30, 0x82, 0xfb, 0xff, 0xbf, 0xfe, 0x3e, 0x3f, 0xff, 0xff];
    let plain = BASE64.encode(&der);
    assert!(plain.contains('/') && plain.contains('+') && plain.ends_with('='), "{plain}");
    let encoded = plain.replace('/', "%2F").replace('+', "%2b").replace('=', "%3D");
    for sent in [
        plain.clone(),
        encoded.clone(),
        plain.trim_end_matches('=').to_owned(),
        plain.replace('/', "_").replace('+', "-"),
        plain.replace('+', " "),
        format!("/{plain}"),
        format!("//{encoded}"),
    ] {
        assert_eq!(request_from_path(&sent).as_deref(), Ok(&der[..]), "{sent}");
    }
    for wrong in ["M", "MA%", "MA%2", "MA%zz", "MA\u{e9}", "MA=A", "M*A="] {
        assert_eq!(request_from_path(wrong), Err(RequestError::Path), "{wrong}");
    }
    let long = "M".repeat(PATH_OCTETS_MAX + 1);
    assert_eq!(request_from_path(&long), Err(RequestError::TooLong(PATH_OCTETS_MAX + 1)));
}

#[test]
fn errors_are_their_status_alone() {
    for error in [OcspError::MalformedRequest, OcspError::InternalError, OcspError::TryLater, OcspError::Unauthorized] {
        assert_eq!(error.response_der()[4], error as u8);
        assert_eq!(OcspResponse::from_der(error.response_der()), Ok(OcspResponse::Failed(error)));
    }
}

proptest! {
    #[test]
    fn answers_read_back(
        seconds in 0i64..4_000_000_000,
        reason in proptest::sample::select(&Reason::ALL[..]),
        is_good: bool,
        nonce in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..128)),
    ) {
        let id = cert_id(SHA256);
        let at = Timestamp::from_seconds(seconds);
        let status = if is_good { CertStatus::Good } else { CertStatus::Revoked { at, reason } };
        let fields = OcspFields { this_update: at, nonce: nonce.as_deref(), ..fields(&id, status, [7; 20]) };
        let tbs = TbsOcspResponse::build(&fields);
        let data = ResponseData::from_der(tbs.der()).unwrap();
        prop_assert_eq!(data.responses[0].status, Some(status));
        prop_assert_eq!(data.responses[0].this_update, at);
        prop_assert_eq!(data.nonce, nonce.as_deref());
        prop_assert_eq!(data.responder, ResponderId::ByKey(vec![7; 20]));
    }

    #[test]
    fn no_bytes_make_the_readers_panic(
        places in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for golden in ["golden/ocsp_request_nonce.der", "golden/ocsp_revoked_delegated.der"] {
            let mut der = read(golden);
            for (place, octet) in &places {
                let at = place.index(der.len());
                der[at] = *octet;
            }
            let _either = (OcspRequest::from_der(&der).is_ok(), OcspResponse::from_der(&der).is_ok());
        }
    }

    #[test]
    fn no_path_makes_the_reader_panic(path in "\\PC{0,300}") {
        let _either = request_from_path(&path);
    }
}
