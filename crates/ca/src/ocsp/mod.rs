//! OCSP (RFC 6960, RFC 5019): what is answered about a serial.
//!
//! The ledger is asked for the status at every answer, one indexed look-up; what is kept is only what was signed, and
//! it is given again as long as it says what the ledger does. So a revocation counts from the first answer after it, in
//! whatever process it was written, and nothing has to be told to a cache. An answer is signed when it is first asked
//! for, since of ten million certificates nobody asks for most; from then on it is signed anew well before it ends,
//! ahead of who asks next, as long as somebody has asked since the last time.

mod cache;
mod complaints;
mod keeping;
mod renewing;
mod responder;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pki::lint::{self, OcspRules};
use pki::ocsp::{CertStatus, IdForm, IssuerIdentity, OcspFields, TbsOcspResponse};
use pki::{Certificate, OcspError, OcspRequest, PublicKey, Reason, Serial, Sha256, Timestamp};

use crate::authority::Ca;
use crate::error::{Answer, Error};
use crate::ports::{Issuer, SerialStatus, SignError, SigningRequest, StatusRecord};
use crate::settings::OcspSettings;
use cache::Cache;
use complaints::Complaints;
use keeping::Responders;

/// So long after its end a certificate is answered for: clients may have a clock that is slow.
const EXPIRED_ANSWERED: Duration = Duration::from_secs(7 * 86_400);
/// BR 4.9.10: of a long validity, no later than four days after thisUpdate.
const RENEWAL_MAX: Duration = Duration::from_secs(3 * 86_400);

/// When a revocation counts from, and why; `None`: not revoked.
type Revoked = Option<(Timestamp, Reason)>;

/// A signed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspAnswer {
    /// The whole OCSPResponse: DER.
    pub der: Arc<[u8]>,
    /// What it says.
    pub status: CertStatus,
    /// What the ledger said when it was made.
    recorded: Revoked,
    /// When that was so.
    pub this_update: Timestamp,
    /// From here on it is signed anew.
    pub renewal: Timestamp,
    /// Its end.
    pub next_update: Timestamp,
    /// Tells it from all others: 32 hexadecimal digits.
    pub tag: String,
}

/// What a request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OcspReply {
    /// An answer that may be given to anybody who asks the same.
    Answer(Arc<OcspAnswer>),
    /// An answer with the nonce of the request: for this request alone.
    Once(Arc<OcspAnswer>),
    /// The serial is `wait`: `internalError`, with HTTP's status 500 and never to be kept. Neither good nor unknown is
    /// true of it.
    Wait,
    /// None.
    Failed(OcspError),
}

/// What was answered since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OcspCounts {
    /// `good`.
    pub good: u64,
    /// `revoked`.
    pub revoked: u64,
    /// `internalError`, since the serial is `wait`.
    pub wait: u64,
    /// `malformedRequest`.
    pub malformed: u64,
    /// `unauthorized`.
    pub unauthorized: u64,
    /// `tryLater`.
    pub try_later: u64,
    /// `internalError`, for any other reason.
    pub internal: u64,
    /// Answers that were signed before they were asked for.
    pub from_cache: u64,
    /// Answers that were signed.
    pub signed: u64,
    /// Answers that are kept.
    pub kept: u64,
    /// What they take, in octets.
    pub kept_octets: u64,
    /// The end of the first responder's certificate to end.
    pub responder_ends: Option<Timestamp>,
}

/// Answers that are kept, and the certificates of who signs them.
#[derive(Debug)]
pub struct OcspAnswers {
    identities: Vec<(Sha256, IssuerIdentity)>,
    /// The key of a delegated responder; `None`: issuers sign themselves.
    delegate: Option<PublicKey>,
    cache: Mutex<Cache>,
    responders: Responders,
    signing: AtomicUsize,
    complaints: Complaints,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    good: AtomicU64,
    revoked: AtomicU64,
    wait: AtomicU64,
    malformed: AtomicU64,
    unauthorized: AtomicU64,
    try_later: AtomicU64,
    internal: AtomicU64,
    from_cache: AtomicU64,
    signed: AtomicU64,
}

impl OcspAnswers {
    /// None are kept yet. `delegate`: the key of the delegated responder that the signer has; without one, issuers sign
    /// themselves.
    pub fn new(settings: &OcspSettings, issuers: &[Issuer], delegate: Option<PublicKey>) -> Self {
        Self {
            identities: issuers.iter().map(|one| (one.id, IssuerIdentity::of(&one.certificate))).collect(),
            delegate,
            cache: Mutex::new(Cache::new(settings.cache_octets)),
            responders: Responders::default(),
            signing: AtomicUsize::new(0),
            complaints: Complaints::default(),
            counters: Counters::default(),
        }
    }

    /// What was answered.
    pub fn counts(&self) -> OcspCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { good, revoked, wait, malformed, unauthorized, try_later, internal, from_cache, signed } =
            &self.counters;
        let (kept, kept_octets) = lock(&self.cache).size();
        OcspCounts {
            good: read(good),
            revoked: read(revoked),
            wait: read(wait),
            malformed: read(malformed),
            unauthorized: read(unauthorized),
            try_later: read(try_later),
            internal: read(internal),
            from_cache: read(from_cache),
            signed: read(signed),
            kept: kept as u64,
            kept_octets: kept_octets as u64,
            responder_ends: self.responders.first_end(),
        }
    }

    fn count(&self, reply: &OcspReply) {
        let counters = &self.counters;
        let counter = match reply {
            OcspReply::Answer(answer) | OcspReply::Once(answer) => match answer.status {
                CertStatus::Good => &counters.good,
                CertStatus::Revoked { .. } => &counters.revoked,
            },
            OcspReply::Wait => &counters.wait,
            OcspReply::Failed(OcspError::MalformedRequest) => &counters.malformed,
            OcspReply::Failed(OcspError::Unauthorized) => &counters.unauthorized,
            OcspReply::Failed(OcspError::TryLater) => &counters.try_later,
            OcspReply::Failed(OcspError::InternalError) => &counters.internal,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// One of the signatures that may be made side by side.
    fn place(&self, max: usize) -> Option<Place<'_>> {
        let place = Place(&self.signing);
        let before = self.signing.fetch_add(1, Ordering::Relaxed);
        (before < max).then_some(place)
    }
}

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whoever panicked while it held this has changed nothing by halves.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is to be answered: about which certificate, in which form, with which nonce.
struct Question<'a> {
    issuer: &'a Issuer,
    form: IdForm,
    serial: Serial,
    cert_id: &'a [u8],
    nonce: Option<&'a [u8]>,
}

impl Ca {
    /// Answers an OCSP request: DER.
    pub async fn ocsp(&self, request: &[u8]) -> OcspReply {
        let reply = match OcspRequest::from_der(request) {
            Ok(request) => self.ocsp_reply(&request).await,
            Err(error) => OcspReply::Failed(error.status()),
        };
        self.count_ocsp(reply)
    }

    /// Notes what a request gets that was none, as when it is too long to be read.
    pub fn count_ocsp(&self, reply: OcspReply) -> OcspReply {
        self.ocsp.count(&reply);
        reply
    }

    async fn ocsp_reply(&self, request: &OcspRequest<'_>) -> OcspReply {
        let id = &request.cert_id;
        let named = self.ocsp.identities.iter().find(|(_, identity)| identity.is_named_by(id));
        let issuer = named.and_then(|(issuer, _)| self.issuer_by_id(issuer));
        let (Some(issuer), Some(form), Some(serial)) = (issuer, id.form, id.serial) else {
            return OcspReply::Failed(OcspError::Unauthorized);
        };
        let nonce = request.nonce.filter(|_| self.settings.ocsp.nonces);
        let question = Question { issuer, form, serial, cert_id: id.der, nonce };
        match self.answer_question(&question).await {
            Ok(reply) => reply,
            Err(error) => {
                if let Some(others) = self.ocsp.complaints.say(self.clock.monotonic()) {
                    tracing::error!(%serial, %error, others, "an OCSP answer could not be made; said once a minute");
                }
                OcspReply::Failed(OcspError::TryLater)
            }
        }
    }

    async fn answer_question(&self, question: &Question<'_>) -> Answer<OcspReply> {
        // What is signed is what the signer finds in the ledger: if it is another status than was just read, once more.
        planted!(OcspStatusNotRead {
            let key = (question.issuer.id, question.form, question.serial);
            if let Some(kept) = lock(&self.ocsp.cache).find(&key) {
                return Ok(OcspReply::Answer(kept));
            }
        });
        for _ in 0..2 {
            let (recorded, now) = match self.recorded(question).await? {
                Ok(recorded) => (recorded, self.now()),
                Err(reply) => return Ok(reply),
            };
            let key = (question.issuer.id, question.form, question.serial);
            let kept = if question.nonce.is_some() { None } else { lock(&self.ocsp.cache).find(&key) };
            let kept = kept.filter(|one| {
                let is_so = one.recorded == recorded || planted!(OcspOlderAnswer);
                is_so && one.this_update <= now && now < one.next_update
            });
            if let Some(fresh) = kept.as_ref().filter(|one| now < one.renewal) {
                self.ocsp.counters.from_cache.fetch_add(1, Ordering::Relaxed);
                return Ok(OcspReply::Answer(Arc::clone(fresh)));
            }
            match self.sign_answer(question, recorded).await {
                Ok(answer) if question.nonce.is_some() => return Ok(OcspReply::Once(answer)),
                Ok(answer) => {
                    lock(&self.ocsp.cache).keep(key, &answer);
                    return Ok(OcspReply::Answer(answer));
                }
                // Read anew what it is now.
                Err(NotSigned::Changed(_)) => {}
                Err(error) => {
                    let Some(kept) = kept else { return Err(error.into()) };
                    // It still says what the ledger does.
                    if self.recorded(question).await? == Ok(recorded) {
                        if let Some(others) = self.ocsp.complaints.say(self.clock.monotonic()) {
                            let serial = question.serial;
                            tracing::warn!(%serial, %error, others, "an OCSP answer was not signed anew");
                        }
                        return Ok(OcspReply::Answer(kept));
                    }
                }
            }
        }
        Ok(OcspReply::Failed(OcspError::TryLater))
    }

    /// What the ledger says of the serial; the inner error: what is answered without a signature.
    async fn recorded(&self, question: &Question<'_>) -> Answer<Result<Revoked, OcspReply>> {
        let Some(record) = self.ledger.status(question.serial).await? else {
            return Ok(Err(OcspReply::Failed(OcspError::Unauthorized)));
        };
        if record.issuer != question.issuer.id {
            return Ok(Err(OcspReply::Failed(OcspError::Unauthorized)));
        }
        let recorded = match (record.status, record.revocation) {
            (SerialStatus::Wait, _) if planted!(OcspGoodForWait) => None,
            (SerialStatus::Wait, _) => return Ok(Err(OcspReply::Wait)),
            (SerialStatus::Good, _) => None,
            (SerialStatus::Revoked, Some(revocation)) => Some(revocation),
            (SerialStatus::Revoked, None) => return Ok(Err(OcspReply::Failed(OcspError::InternalError))),
        };
        // Nothing is said with a clock that is wrong: neither whether an answer has ended nor when it was made.
        if self.check_clock().await?.is_err() {
            return Ok(Err(OcspReply::Failed(OcspError::TryLater)));
        }
        // Nor is there an answer that anybody could verify once the issuer has ended.
        let issuers_end = question.issuer.certificate.validity().not_after;
        if self.now() > record.not_after.plus(EXPIRED_ANSWERED).min(issuers_end) {
            return Ok(Err(OcspReply::Failed(OcspError::Unauthorized)));
        }
        Ok(Ok(recorded))
    }

    async fn sign_answer(&self, question: &Question<'_>, recorded: Revoked) -> Result<Arc<OcspAnswer>, NotSigned> {
        let settings = &self.settings.ocsp;
        if self.clock_is_doubted() {
            return Err(NotSigned::Doubted);
        }
        let _place = self.ocsp.place(settings.signatures).ok_or(NotSigned::Busy)?;
        let issuer = question.issuer;
        let delegate = self.responder(issuer).await?;
        let signer: &Certificate = delegate.as_deref().unwrap_or(&issuer.certificate);
        let this_update = self.now().whole_second();
        let end = this_update.plus(settings.validity).minus(Duration::from_secs(1));
        // In the issuer's last hours the responder's certificate can't last for as long as an answer has to.
        let least = this_update.plus(lint::OCSP_VALIDITY_MIN).minus(Duration::from_secs(1));
        let next_update = end.min(signer.validity().not_after).max(least);
        let status = shown(recorded, this_update);
        let tbs = TbsOcspResponse::build(&OcspFields {
            responder_key: signer.public_key().key_identifier(),
            produced_at: this_update,
            cert_id: question.cert_id,
            status,
            this_update,
            next_update,
            nonce: question.nonce,
        });
        let rules =
            OcspRules { issuer: &issuer.certificate, responder: signer, nonce: question.nonce, now: self.now() };
        let tbs = lint::ocsp_response(tbs, &rules)
            .map_err(|failure| NotSigned::Failed(format!("an OCSP answer breaks rules: {failure}")))?;
        let request = SigningRequest::OcspAnswer { issuer: issuer.id, responder: delegate, tbs };
        let signed = self.signer.sign(request).await.map_err(|error| match error {
            SignError::Refused(why) => NotSigned::Changed(why),
            other @ (SignError::NotSigned(_) | SignError::Unknown(_)) => NotSigned::Failed(other.to_string()),
        })?;
        self.ocsp.counters.signed.fetch_add(1, Ordering::Relaxed);
        let renewal = this_update.plus((settings.validity / 2).min(RENEWAL_MAX));
        // A revocation that is dated ahead of a clock that is a little behind is said with its own date as soon as that
        // has come: no two answers disagree for longer.
        let dated = recorded.map(|(revoked, _)| revoked.whole_second()).filter(|revoked| *revoked > this_update);
        let renewal = dated.map_or(renewal, |dated| renewal.min(dated));
        let tag = Sha256::of(&signed.der).to_string()[..32].to_owned();
        let der = signed.der.into();
        Ok(Arc::new(OcspAnswer { der, status, recorded, this_update, renewal, next_update, tag }))
    }
}

/// As an answer of this time says it: like a CRL it dates no revocation later than itself.
fn shown(recorded: Revoked, this_update: Timestamp) -> CertStatus {
    match recorded {
        None => CertStatus::Good,
        Some((revoked, reason)) => CertStatus::Revoked { at: revoked.whole_second().min(this_update), reason },
    }
}

/// Whether an answer says what the ledger has of a serial: what a signer compares.
pub(crate) fn says_the_same(record: &StatusRecord, status: Option<CertStatus>, this_update: Timestamp) -> bool {
    let recorded = match (record.status, record.revocation) {
        (SerialStatus::Wait, _) if planted!(OcspGoodForWait) => None,
        (SerialStatus::Wait, _) | (SerialStatus::Revoked, None) => return false,
        (SerialStatus::Good, _) => None,
        (SerialStatus::Revoked, Some(revocation)) => Some(revocation),
    };
    status == Some(shown(recorded, this_update))
}

/// Why there is no signed answer.
#[derive(Debug, thiserror::Error)]
enum NotSigned {
    /// As many signatures as may be are being made.
    #[error("too many OCSP answers are being signed")]
    Busy,
    /// The clock leapt forward a short while ago: what is signed now may be of the future.
    #[error("the clock leapt forward, and is not believed yet")]
    Doubted,
    /// The responder has no certificate to sign with.
    #[error("the OCSP responder has no certificate yet")]
    Unprepared,
    /// The signer found something else in the ledger.
    #[error("the signer refuses: {0}")]
    Changed(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl From<Error> for NotSigned {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<NotSigned> for Error {
    fn from(error: NotSigned) -> Self {
        Self::Failed(error.to_string())
    }
}
