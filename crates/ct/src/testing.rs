//! What the tests of this room share: a clock that they move, keys, a small CA with its ledger, and a log over HTTP
//! that can be told to misbehave.

mod log_server;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acme::SigningKey;
use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use ca::order::{Order, Progress};
use ca::ports::{
    Begin, Clock, CrlGenerationId, CtPolicy, CtSubmission, Issuer, Ledger, LogKey, NewAccountRecord, SignError,
};
use ca::validity::AskedValidity;
use ca::{AccountId, OrderId};
use futures_util::future::{BoxFuture, FutureExt};
use pki::{
    Authority, Certificate, Ct, GeneralName, KeyKind, KeyUsage, Leaf, LogId, Name, PrecertEntry, PublicKey, Purpose,
    Serial, Sha256, SignatureAlgorithm, TbsCertificate, Timestamp, Validity,
};
use store::memory::MemoryLedger;
use tokio::sync::oneshot;

pub(crate) use log_server::{Fault, LogServer, serve_tls};

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// A clock that stands still until a test moves it.
#[derive(Debug, Default)]
pub(crate) struct TestClock {
    state: Mutex<ClockState>,
}

#[derive(Debug, Default)]
struct ClockState {
    elapsed: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        let mut state = self.state.lock().unwrap();
        state.elapsed += by;
        let now = state.elapsed;
        let (due, waiting) = std::mem::take(&mut state.sleepers).into_iter().partition(|(until, _)| *until <= now);
        state.sleepers = waiting;
        drop(state);
        let due: Vec<(Duration, oneshot::Sender<()>)> = due;
        for (_, wake) in due {
            // Who doesn't wait any more needn't be woken.
            let _ = wake.send(());
        }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        NOW.plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().unwrap().elapsed
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut state = self.state.lock().unwrap();
        let (wake, woken) = oneshot::channel();
        let until = state.elapsed + duration;
        state.sleepers.push((until, wake));
        woken.map(|_| ()).boxed()
    }
}

/// A P-256 key in memory.
pub(crate) struct SoftKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
    id: LogId,
}

impl SoftKey {
    pub(crate) fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let public = PublicKey::from_ec_point(KeyKind::P256, pair.public_key().as_ref()).unwrap();
        let id = LogId::of(&public);
        Self { pair, public, id }
    }

    pub(crate) const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn signature(&self, data: &[u8]) -> Vec<u8> {
        self.pair.sign(&SystemRandom::new(), data).unwrap().as_ref().to_vec()
    }

    pub(crate) fn pkcs8(&self) -> Vec<u8> {
        self.pair.to_pkcs8v1().unwrap().as_ref().to_vec()
    }
}

impl fmt::Debug for SoftKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftKey({})", self.id)
    }
}

#[async_trait]
impl LogKey for SoftKey {
    fn log_id(&self) -> LogId {
        self.id
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    async fn sign(&self, data: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.signature(data))
    }
}

/// A CA with one root as its issuer, and a ledger.
pub(crate) struct TestCa {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) issuer: Issuer,
    key: SoftKey,
    account: AccountId,
    made: AtomicU8,
}

/// What a test wants of a precertificate.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) poison: bool,
    pub(crate) begun: bool,
    pub(crate) good: bool,
    pub(crate) signed_by_issuer: bool,
}

pub(crate) const GOOD: Wanted = Wanted { poison: true, begun: true, good: true, signed_by_issuer: true };

impl TestCa {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(TestClock::default());
        let ledger = Arc::new(MemoryLedger::new(clock.clone()));
        let key = SoftKey::generate();
        let certificate = authority_certificate(&key, "Example Root");
        let issuer = Issuer {
            id: key.public_key().spki_hash(),
            certificate,
            chain: Vec::new(),
            alternates: Vec::new(),
            signature_algorithm: SignatureAlgorithm::EcdsaSha256,
        };
        let account = AccountId::from_bytes([1; 16]);
        let record = NewAccountRecord {
            id: account,
            key: SigningKey::from_pkcs8(acme::Algorithm::Es256, &SoftKey::generate().pkcs8()).unwrap().jwk().clone(),
            contact: Vec::new(),
            terms_of_service_agreed: true,
            terms_version: None,
            created: NOW,
            jws: Vec::new(),
        };
        ledger.create_account(record).await.unwrap();
        Self { clock, ledger, issuer, key, account, made: AtomicU8::new(0) }
    }

    /// A precertificate with a serial of its own, as it comes out of step 6.
    pub(crate) async fn submission(&self) -> CtSubmission {
        self.submission_of(GOOD).await
    }

    pub(crate) async fn submission_of(&self, wanted: Wanted) -> CtSubmission {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let serial = Serial::from_random([number; 16]);
        let key = SoftKey::generate();
        let names = BTreeSet::from([GeneralName::Dns(format!("{number}.example.org"))]);
        let ct = if wanted.poison { Ct::Poison } else { Ct::None };
        let tbs = leaf_tbs(serial, &self.issuer.certificate, &names, key.public_key(), ct);
        let not_after = NOW.plus(Duration::from_secs(86_400));
        if wanted.begun {
            self.begin(serial, &names, &tbs, not_after).await;
        }
        if wanted.good {
            self.ledger.mark_good(serial, NOW).await.unwrap();
        }
        let signer = if wanted.signed_by_issuer { &self.key } else { &key };
        let precertificate = tbs.with_signature(SignatureAlgorithm::EcdsaSha256, &signer.signature(tbs.der()));
        CtSubmission {
            serial,
            precertificate,
            chain: vec![self.issuer.certificate.der().to_vec()],
            entry: PrecertEntry { issuer_key_hash: self.issuer.id, tbs: tbs.without_ct() },
            not_after,
            policy: CtPolicy { scts: 2, operators: 0 },
            time_limit: Duration::from_secs(30),
        }
    }

    async fn begin(&self, serial: Serial, names: &BTreeSet<GeneralName>, tbs: &TbsCertificate, not_after: Timestamp) {
        let mut id = [0; 16];
        id.copy_from_slice(&serial.as_bytes()[1..]);
        let order = Order {
            id: OrderId::from_bytes(id),
            account: self.account,
            profile: "classic".to_owned(),
            identifiers: Vec::new(),
            validity: AskedValidity::default(),
            replaces: None,
            method: None,
            created: NOW,
            expires: not_after,
            authorizations: Vec::new(),
            progress: Progress::TestChallenge,
        };
        let begin = Begin {
            order: &order,
            serial,
            issuer: self.issuer.id,
            profile_hash: Sha256::of(b"profile"),
            ct: true,
            linting_certificate: tbs.der(),
            spki_hash: Sha256::of(b"key"),
            names,
            not_after,
            crl_generation: CrlGenerationId::default(),
            at: NOW,
            caps: ca::ports::IssuanceCaps { failed: 3, begun: 3, unpaced: 3, pace: std::time::Duration::ZERO },
        };
        self.ledger.begin(begin).await.unwrap().unwrap();
    }
}

pub(crate) fn authority_certificate(key: &SoftKey, name: &str) -> Certificate {
    let name = Name::new().common_name(name);
    let tbs = TbsCertificate::authority(&Authority {
        serial: Serial::from_random([0xff; 16]),
        issuer: &name,
        subject: &name,
        signature_algorithm: SignatureAlgorithm::EcdsaSha256,
        validity: validity(),
        public_key: key.public_key(),
        authority_key_identifier: None,
        path_length: None,
        digital_signature: false,
        extended_key_usage: &[],
        policies: &[],
        ca_issuers_url: None,
        ocsp_url: None,
        crl_url: None,
    });
    let der = tbs.with_signature(SignatureAlgorithm::EcdsaSha256, &key.signature(tbs.der()));
    Certificate::from_der(&der).unwrap()
}

pub(crate) fn leaf_tbs(
    serial: Serial,
    issuer: &Certificate,
    names: &BTreeSet<GeneralName>,
    key: &PublicKey,
    ct: Ct<'_>,
) -> TbsCertificate {
    TbsCertificate::leaf(&Leaf {
        serial,
        issuer: issuer.subject(),
        issuer_key_identifier: issuer.public_key().key_identifier(),
        signature_algorithm: SignatureAlgorithm::EcdsaSha256,
        validity: validity(),
        common_name: None,
        names,
        public_key: key,
        key_usage: KeyUsage::DigitalSignature,
        extended_key_usage: &[Purpose::ServerAuth],
        policies: &[],
        ca_issuers_url: None,
        ocsp_url: None,
        crl_url: None,
        subject_key_identifier: false,
        must_staple: false,
        ct,
    })
}

fn validity() -> Validity {
    Validity { not_before: NOW.minus(Duration::from_secs(3_600)), not_after: NOW.plus(Duration::from_secs(86_400)) }
}
