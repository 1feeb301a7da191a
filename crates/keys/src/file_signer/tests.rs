//! The signer over a ledger in memory, with requests that clients really signed. What `ca::signing` checks record by
//! record is tested there; here, that nothing is signed without it.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use acme::{Algorithm, Identifier, SigningKey, base64url_encode};
use ca::authorization::{Authorization, AuthorizationEnd, CaaDecision, CaaRecord, EndedAuthorization};
use ca::order::{Finalize, Order, Progress};
use ca::ports::{Begin, CrlGenerationId, CrlPart, CrlRecord, KeyBlock, NewAccountRecord, Revocation};
use ca::settings::CaaMode;
use ca::validity::AskedValidity;
use ca::{AccountId, AuthorizationId, OrderId, urls};
use pki::lint::{self, CrlLinter, Kind, Linted, Rules};
use pki::{
    Authority, Certificate, Crl, CrlDraft, CrlEntry, CrlFields, CrlOutline, Ct, DigitallySigned, GeneralName, KeyUsage,
    Leaf, LogId, Name, PublicKey, Purpose, Reason, Sct, Validity,
};
use store::memory::MemoryLedger;

use super::*;
use crate::{KeyAlgorithm, ceremony};

mod crls;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
const BASE: &str = "https://ca.example.org";
const STATUS: &str = "http://status.example.org";
const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        NOW
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        Box::pin(std::future::pending())
    }
}

struct Setting {
    ledger: Arc<MemoryLedger>,
    signer: FileSigner,
    issuer: Issuer,
    account_key: SigningKey,
    account: AccountId,
}

/// An issuance that has come to step 5.
struct Begun {
    order: Order,
    serial: Serial,
    names: BTreeSet<GeneralName>,
    key: PublicKey,
    tbs: TbsCertificate,
}

fn issuer_key() -> IssuerKey {
    let pair = KeyPair::generate(KeyAlgorithm::P256).unwrap();
    let certificate = ceremony::root(&pair, &root_tbs(pair.public_key())).unwrap();
    IssuerKey::new(issuer_of(certificate), pair).unwrap()
}

fn issuer_of(certificate: Certificate) -> Issuer {
    let id = certificate.public_key().spki_hash();
    let signature_algorithm = certificate.public_key().default_signature_algorithm();
    Issuer { id, certificate, chain: Vec::new(), alternates: Vec::new(), signature_algorithm }
}

fn root_tbs(key: &PublicKey) -> TbsCertificate {
    let name = Name::new().common_name("Example Root");
    TbsCertificate::authority(&Authority {
        serial: Serial::from_random([0xff; 16]),
        issuer: &name,
        subject: &name,
        signature_algorithm: key.default_signature_algorithm(),
        validity: Validity { not_before: NOW.minus(HOUR), not_after: NOW.plus(HOUR * 24 * 3_650) },
        public_key: key,
        authority_key_identifier: None,
        path_length: None,
        digital_signature: false,
        extended_key_usage: &[],
        policies: &[],
        ca_issuers_url: None,
        ocsp_url: None,
        crl_url: None,
    })
}

fn account_key() -> SigningKey {
    let pair = KeyPair::generate(KeyAlgorithm::P256).unwrap();
    SigningKey::from_pkcs8(Algorithm::Es256, &pair.to_pkcs8_der().unwrap()).unwrap()
}

async fn setting() -> Setting {
    setting_where_caa_is(CaaMode::Off).await
}

async fn setting_where_caa_is(caa: CaaMode) -> Setting {
    let clock: Arc<dyn Clock> = Arc::new(Standing);
    let ledger = Arc::new(MemoryLedger::new(Arc::clone(&clock)));
    let key = issuer_key();
    let issuer = key.issuer().clone();
    let account_key = account_key();
    let account = AccountId::from_bytes([1; 16]);
    let url = format!("{BASE}{}", urls::NEW_ACCOUNT);
    let header = acme::Header { nonce: Some("bm9uY2U"), url: &url, kid: None };
    let record = NewAccountRecord {
        id: account,
        key: account_key.jwk().clone(),
        contact: Vec::new(),
        terms_of_service_agreed: true,
        terms_version: None,
        created: NOW,
        jws: acme::sign(&account_key, header, b"{}"),
    };
    ledger.create_account(record).await.unwrap();
    let rules = SignerRules { caa, caa_reuse_seconds: 28_800, finalize_seconds: 600 };
    let signer = FileSigner::new([key], ledger.clone(), clock, rules, CrlScheme::new(1, STATUS.to_owned()));
    Setting { ledger, signer, issuer, account_key, account }
}

impl Setting {
    /// Brings an order to step 5: `number` makes its names, its order and its serial.
    async fn begin(&self, number: u8) -> Begun {
        self.begin_with(number, |_| ()).await
    }

    /// The same, by a worker who changes the order that it gives to the ledger.
    async fn begin_with(&self, number: u8, change: impl FnOnce(&mut Order)) -> Begun {
        let text = format!("n{number}.example.org");
        let name = acme::DnsName::parse(&text).unwrap();
        let names = BTreeSet::from([GeneralName::Dns(text)]);
        let pair = KeyPair::generate(KeyAlgorithm::P256).unwrap();
        let id = OrderId::from_bytes([number; 16]);
        let authorization = AuthorizationId { order: id, number: 0 };
        self.authorize(authorization, &name).await;
        let mut order = Order {
            id,
            account: self.account,
            profile: "classic".to_owned(),
            identifiers: vec![Identifier::Dns(name.clone())],
            validity: AskedValidity::default(),
            replaces: None,
            method: None,
            created: NOW,
            expires: NOW.plus(HOUR),
            authorizations: vec![Authorization {
                id: authorization,
                identifier: Identifier::Dns(name),
                challenges: Vec::new(),
                end: Some(AuthorizationEnd::Valid { expires: NOW.plus(HOUR) }),
            }],
            progress: Progress::Issue {
                finalize: self.finalize(id, &names, &pair),
                deadline: NOW.plus(HOUR),
                due: None,
            },
        };
        change(&mut order);
        let serial = Serial::from_random([number; 16]);
        let tbs = self.leaf(serial, &names, pair.public_key());
        let begun = Begun { order, serial, names, key: pair.public_key().clone(), tbs };
        self.begin_again(&begun, serial, &begun.tbs).await;
        begun
    }

    async fn begin_again(&self, begun: &Begun, serial: Serial, tbs: &TbsCertificate) {
        let linting_certificate = self.throwaway(tbs);
        let begin = Begin {
            order: &begun.order,
            serial,
            issuer: self.issuer.id,
            profile_hash: Sha256::of(b"profile"),
            ct: true,
            linting_certificate: &linting_certificate,
            spki_hash: begun.key.spki_hash(),
            names: &begun.names,
            not_after: NOW.plus(HOUR * 24),
            crl_generation: CrlGenerationId::default(),
            at: NOW,
            caps: ca::ports::IssuanceCaps { failed: 3, begun: 3, unpaced: 3, pace: std::time::Duration::ZERO },
        };
        self.ledger.begin(begin).await.unwrap().unwrap();
    }

    async fn authorize(&self, id: AuthorizationId, name: &acme::DnsName) {
        let ended = EndedAuthorization {
            id,
            account: self.account,
            identifier: Identifier::Dns(name.clone()),
            end: AuthorizationEnd::Valid { expires: NOW.plus(HOUR) },
            ended: NOW,
            challenges: Vec::new(),
            validation: None,
            caa: None,
        };
        self.ledger.authorize(ended).await.unwrap();
    }

    fn finalize(&self, order: OrderId, names: &BTreeSet<GeneralName>, pair: &KeyPair) -> Finalize {
        let request = pki::csr::request(names, pair.public_key());
        let algorithm = pair.default_signature_algorithm();
        let csr = request.with_signature(algorithm, &pair.sign(algorithm, request.der()).unwrap());
        let payload = format!(r#"{{"csr":"{}"}}"#, base64url_encode(&csr));
        let url = format!("{BASE}{}", urls::finalize(order));
        let kid = format!("{BASE}{}", urls::account(self.account));
        let header = acme::Header { nonce: Some("bm9uY2U"), url: &url, kid: Some(&kid) };
        Finalize { jws: acme::sign(&self.account_key, header, payload.as_bytes()), csr, received: NOW }
    }

    fn leaf(&self, serial: Serial, names: &BTreeSet<GeneralName>, key: &PublicKey) -> TbsCertificate {
        let issuer = &self.issuer.certificate;
        let crl_url = CrlScheme::new(1, STATUS.to_owned()).url(&self.issuer.id, 0).unwrap();
        TbsCertificate::leaf(&Leaf {
            serial,
            issuer: issuer.subject(),
            issuer_key_identifier: issuer.public_key().key_identifier(),
            signature_algorithm: self.issuer.signature_algorithm,
            validity: Validity {
                not_before: NOW.minus(HOUR),
                not_after: NOW.plus(HOUR * 24).minus(Duration::from_secs(1)),
            },
            common_name: None,
            names,
            public_key: key,
            key_usage: KeyUsage::DigitalSignature,
            extended_key_usage: &[Purpose::ServerAuth],
            policies: &[],
            ca_issuers_url: Some("http://status.example.org/issuer.der"),
            ocsp_url: None,
            crl_url: Some(&crl_url),
            subject_key_identifier: false,
            must_staple: false,
            ct: Ct::Poison,
        })
    }

    fn throwaway(&self, tbs: &TbsCertificate) -> Vec<u8> {
        let algorithm = self.issuer.signature_algorithm;
        let pair = KeyPair::generate_for(algorithm).unwrap();
        tbs.with_signature(algorithm, &pair.sign(algorithm, tbs.der()).unwrap())
    }

    fn lint(&self, begun: &Begun, tbs: &TbsCertificate, kind: Kind) -> Linted<TbsCertificate> {
        let rules = Rules {
            kind,
            baseline: false,
            public_names: false,
            issuer: &self.issuer.certificate,
            now: NOW,
            lifetime_max: HOUR * 48,
            scts_min: 1,
            names: &begun.names,
            public_key: &begun.key,
        };
        lint::certificate(tbs.clone(), self.throwaway(tbs), &rules).unwrap_or_else(|findings| panic!("{findings}"))
    }

    async fn sign_precertificate(&self, begun: &Begun, tbs: &TbsCertificate) -> Result<Signed, SignError> {
        let tbs = self.lint(begun, tbs, Kind::Precertificate);
        self.signer.sign(SigningRequest::Precertificate { issuer: self.issuer.id, tbs }).await
    }

    async fn sign_final(&self, begun: &Begun, tbs: &TbsCertificate) -> Result<Signed, SignError> {
        let tbs = self.lint(begun, tbs, Kind::Final);
        self.signer.sign(SigningRequest::Certificate { issuer: self.issuer.id, tbs }).await
    }

    async fn is_refused(&self, begun: &Begun) -> String {
        refusal(self.sign_precertificate(begun, &begun.tbs).await)
    }

    async fn revoke(&self, serial: Serial, revoked: Timestamp) {
        let revocation = Revocation { serial, reason: Reason::Superseded, revoked, by: "a test".to_owned() };
        self.ledger.revoke(revocation).await.unwrap();
    }
}

fn refusal(answer: Result<Signed, SignError>) -> String {
    match answer {
        Err(SignError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn with_scts(tbs: &TbsCertificate) -> TbsCertificate {
    let signature = DigitallySigned { hash: 4, algorithm: 3, signature: vec![0x30, 0] };
    let sct = Sct { log_id: LogId([7; 32]), timestamp: NOW, extensions: Vec::new(), signature };
    tbs.with_scts(&[sct]).unwrap()
}

/// The same but for one octet in one URL.
fn with_another_crl(tbs: &TbsCertificate) -> TbsCertificate {
    let mut der = tbs.der().to_vec();
    let at = der.windows(5).position(|octets| octets == b"0.crl").unwrap();
    der[at] = b'1';
    TbsCertificate::from_der(der).unwrap()
}

#[tokio::test]
async fn what_the_records_bear_out_is_signed() {
    let setting = setting().await;
    let begun = setting.begin(1).await;
    let signed = setting.sign_precertificate(&begun, &begun.tbs).await.unwrap();
    assert_eq!(signed.serial, Some(begun.serial));
    let precertificate = Certificate::from_der(&signed.der).unwrap();
    assert_eq!(precertificate.tbs_der(), begun.tbs.der());
    assert_eq!(precertificate.verify_signed_by(setting.issuer.certificate.public_key()), Ok(()));
    setting.ledger.mark_good(begun.serial, NOW).await.unwrap();
    let tbs = with_scts(&begun.tbs);
    let certificate = Certificate::from_der(&setting.sign_final(&begun, &tbs).await.unwrap().der).unwrap();
    assert_eq!(certificate.tbs_der(), tbs.der());
    assert_eq!(certificate.verify_signed_by(setting.issuer.certificate.public_key()), Ok(()));
}

#[tokio::test]
async fn a_final_certificate_needs_a_good_precertificate_and_has_to_correspond_to_it() {
    let setting = setting().await;
    let begun = setting.begin(1).await;
    let reason = refusal(setting.sign_final(&begun, &with_scts(&begun.tbs)).await);
    assert!(reason.contains("wait"), "{reason}");
    setting.ledger.mark_good(begun.serial, NOW).await.unwrap();
    let reason = setting.is_refused(&begun).await;
    assert!(reason.contains("good"), "{reason}");
    let reason = refusal(setting.sign_final(&begun, &with_scts(&with_another_crl(&begun.tbs))).await);
    assert!(reason.contains("does not correspond"), "{reason}");
}

#[tokio::test]
async fn a_serial_without_record_or_of_another_issuer_is_refused() {
    let setting = setting().await;
    let begun = setting.begin(1).await;
    let unknown = setting.leaf(Serial::from_random([9; 16]), &begun.names, &begun.key);
    let reason = refusal(setting.sign_precertificate(&begun, &unknown).await);
    assert!(reason.contains("never allocated"), "{reason}");
    let tbs = setting.lint(&begun, &begun.tbs, Kind::Precertificate);
    let request = SigningRequest::Precertificate { issuer: Sha256::of(b"another"), tbs };
    let reason = refusal(setting.signer.sign(request).await);
    assert!(reason.contains("no key of issuer"), "{reason}");
    // The issuer's name is in the bytes, the issuer's key is not: a renewed key must not sign for the old one's
    // serials.
    let renewed = issuer_key();
    let issuer = renewed.issuer.id;
    let rules = SignerRules { caa: CaaMode::Off, caa_reuse_seconds: 0, finalize_seconds: 0 };
    let signer = FileSigner::new(
        [renewed],
        setting.ledger.clone(),
        Arc::new(Standing),
        rules,
        CrlScheme::new(1, STATUS.to_owned()),
    );
    let tbs = setting.lint(&begun, &begun.tbs, Kind::Precertificate);
    let reason = refusal(signer.sign(SigningRequest::Precertificate { issuer, tbs }).await);
    assert!(reason.contains("allocated for issuer"), "{reason}");
}

#[tokio::test]
async fn a_certificate_that_says_another_crl_than_its_record_is_refused() {
    let mut setting = setting().await;
    let begun = setting.begin(1).await;
    setting.signer.crls = CrlScheme::new(1, "http://elsewhere.example.org".to_owned());
    let reason = refusal(setting.sign_precertificate(&begun, &begun.tbs).await);
    assert!(reason.contains("it says that its CRL is http://status"), "{reason}");
    setting.signer.crls = CrlScheme::new(1, STATUS.to_owned());
    setting.sign_precertificate(&begun, &begun.tbs).await.unwrap();
}

#[tokio::test]
async fn other_bytes_than_the_recorded_ones_are_refused() {
    let setting = setting().await;
    let begun = setting.begin(1).await;
    let foreign = KeyPair::generate(KeyAlgorithm::P256).unwrap();
    let changed = Begun { key: foreign.public_key().clone(), ..setting.begin(2).await };
    let tbs = setting.leaf(begun.serial, &changed.names, &changed.key);
    let reason = refusal(setting.sign_precertificate(&changed, &tbs).await);
    assert!(reason.contains("linting certificate"), "{reason}");
}

#[tokio::test]
async fn what_is_no_longer_good_in_the_ledger_is_refused() {
    let setting = setting().await;
    let begun = setting.begin(1).await;
    setting.ledger.deactivate_authorization(begun.order.authorizations[0].id, NOW).await.unwrap();
    assert!(setting.is_refused(&begun).await.contains("no good authorization"));
    let begun = setting.begin(2).await;
    let block = KeyBlock { spki_hash: begun.key.spki_hash(), at: NOW, by: "a test".to_owned() };
    setting.ledger.block(block).await.unwrap();
    setting.is_refused(&begun).await;
    let begun = setting.begin(3).await;
    let newer = Serial::from_random([4; 16]);
    let tbs = setting.leaf(newer, &begun.names, &begun.key);
    setting.begin_again(&begun, newer, &tbs).await;
    assert!(setting.is_refused(&begun).await.contains("newer issuance"));
    setting.sign_precertificate(&begun, &tbs).await.unwrap();
    let begun = setting.begin(5).await;
    setting.ledger.deactivate_account(setting.account).await.unwrap();
    assert!(setting.is_refused(&begun).await.contains("account is not valid"));
}

#[tokio::test]
async fn caa_is_asked_for_each_name_that_is_signed_whatever_the_order_says() {
    let setting = setting_where_caa_is(CaaMode::Enforce).await;
    let begun = setting.begin(1).await;
    let reason = setting.is_refused(&begun).await;
    assert!(reason.contains("no fresh CAA check permits n1.example.org"), "{reason}");
    let loopback = Identifier::Ip(std::net::Ipv4Addr::LOCALHOST.into());
    for (number, lie) in [(2, Vec::new()), (3, vec![loopback])] {
        let begun = setting.begin_with(number, |order| order.identifiers = lie).await;
        let reason = setting.is_refused(&begun).await;
        assert!(reason.contains("not those of the order"), "{reason}");
    }
    let check = |name: &str, checked: Timestamp| CaaRecord {
        identifier: Identifier::Dns(acme::DnsName::parse(name).unwrap()),
        checked,
        ttl_seconds: 0,
        decision: CaaDecision::Permitted,
        evidence: Vec::new(),
    };
    let checks = vec![check("n2.example.org", NOW), check("n1.example.org", NOW.minus(HOUR * 9))];
    setting.ledger.record_rechecks(begun.order.id, checks).await.unwrap();
    assert!(setting.is_refused(&begun).await.contains("no fresh CAA check permits"));
    setting.ledger.record_rechecks(begun.order.id, vec![check("n1.example.org", NOW.minus(HOUR))]).await.unwrap();
    setting.sign_precertificate(&begun, &begun.tbs).await.unwrap();
}

#[test]
fn a_key_and_an_issuer_that_do_not_belong_together_are_refused() {
    let pair = || KeyPair::generate(KeyAlgorithm::P256).unwrap();
    let own = pair();
    let certificate = ceremony::root(&own, &root_tbs(own.public_key())).unwrap();
    let issuer = issuer_of(certificate);
    assert!(matches!(IssuerKey::new(issuer.clone(), pair()), Err(IssuerKeyError::OtherKey(_))));
    let renamed = Issuer { id: Sha256::of(b"another"), ..issuer.clone() };
    let again = KeyPair::from_pkcs8_der(&own.to_pkcs8_der().unwrap()).unwrap();
    assert!(matches!(IssuerKey::new(renamed, again), Err(IssuerKeyError::OtherId { .. })));
    let other_algorithm = Issuer { signature_algorithm: SignatureAlgorithm::RsaSha256, ..issuer };
    assert!(matches!(IssuerKey::new(other_algorithm, own), Err(IssuerKeyError::Algorithm(_))));
}
