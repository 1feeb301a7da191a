//! Signed requests (RFC 8555 §6.2 to §6.5): what was checked is a type.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use acme::{Jws, KeyReference, Problem, ProblemType, Verified};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Uri, header};
use ca::account::Account;
use ca::ports::NonceUse;
use ca::{AccountId, Error, still_valid};
use futures_util::future::{Either, select};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::response::Outcome;
use super::{AcmeDoor, Base};
use crate::http::guests::Guest;

/// A body of so many times the limit is read no further.
const OVERRUN: usize = 4;
/// What is announced to be too long is refused after this, sent or not.
const LINGER: Duration = Duration::from_secs(1);

/// A POST as it came, and all that is needed to answer it.
pub(super) struct Post {
    /// Where it came.
    pub(super) door: Arc<AcmeDoor>,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// On which connection.
    pub(super) guest: Option<Arc<Guest>>,
    /// The base of the URLs of its answer, if it names a host.
    pub(super) base: Result<Base, Problem>,
    uri: Uri,
    body: Body,
}

impl FromRequest<Arc<AcmeDoor>> for Post {
    type Rejection = Infallible;

    async fn from_request(request: Request, door: &Arc<AcmeDoor>) -> Result<Self, Infallible> {
        let (parts, body) = request.into_parts();
        let base = Base::of(door, &parts.uri, &parts.headers);
        let guest = parts.extensions.get().cloned();
        Ok(Self { door: Arc::clone(door), headers: parts.headers, guest, base, uri: parts.uri, body })
    }
}

/// A request whose nonce was good and whose URL is this one. Its signature is not verified yet.
struct Fresh {
    base: Base,
    jws: Jws,
}

/// A request signed by a valid account.
pub(super) struct ByAccount {
    /// The base of the URLs of its answer.
    pub(super) base: Base,
    /// Who signed.
    pub(super) account: Account,
    /// What.
    pub(super) request: Verified,
}

/// A request signed with the key that it carries.
pub(super) struct ByKey {
    /// The base of the URLs of its answer.
    pub(super) base: Base,
    /// What was signed.
    pub(super) request: Verified,
}

/// A request of either kind.
pub(super) enum Signed {
    /// With `kid`.
    ByAccount(Box<ByAccount>),
    /// With `jwk`.
    ByKey(Box<ByKey>),
}

impl Post {
    /// Reads a request for more of the service, which an account has to sign that has agreed to the terms as they now
    /// are (RFC 8555 §7.3.3).
    pub(super) async fn by_account(&mut self) -> Outcome<ByAccount> {
        let signed = self.by_any_account().await?;
        self.door.ca.require_agreement(&signed.account)?;
        Ok(signed)
    }

    /// Reads a request that an account has to sign, whatever it has agreed to: what it has can be read and ended, and
    /// its key be replaced.
    pub(super) async fn by_any_account(&mut self) -> Outcome<ByAccount> {
        match self.signed().await? {
            Signed::ByAccount(request) => Ok(*request),
            Signed::ByKey(_) => Err(Error::refused(
                ProblemType::Malformed,
                "sign this request with `kid`, the account's URL; `jwk` is for newAccount and revokeCert (RFC 8555 \
                 §6.2)",
            )),
        }
    }

    /// Reads a request that carries its key.
    pub(super) async fn by_key(&mut self) -> Outcome<ByKey> {
        match self.signed().await? {
            Signed::ByKey(request) => Ok(*request),
            Signed::ByAccount(_) => Err(Error::refused(
                ProblemType::Malformed,
                "sign newAccount with `jwk`, the new account's key, not with `kid` (RFC 8555 §6.2)",
            )),
        }
    }

    /// Reads a request signed in either way.
    pub(super) async fn signed(&mut self) -> Outcome<Signed> {
        let Fresh { base, jws } = self.fresh().await?;
        match jws.protected().key.clone() {
            KeyReference::Jwk(key) => {
                let request = jws.verify(key.verifying_key()).map_err(|error| error.problem())?;
                Ok(Signed::ByKey(Box::new(ByKey { base, request })))
            }
            KeyReference::Kid(kid) => {
                let account = self.door.account_of(&base, &kid).await?;
                let request = jws.verify(account.key.verifying_key()).map_err(|error| error.problem())?;
                // Whether an account was deactivated is told to its owner alone.
                let account = still_valid(account)?;
                Ok(Signed::ByAccount(Box::new(ByAccount { base, account, request })))
            }
        }
    }

    async fn fresh(&mut self) -> Outcome<Fresh> {
        let base = self.base.clone()?;
        require_jose(&self.headers)?;
        let body = std::mem::take(&mut self.body);
        let (door, uri) = (&self.door, &self.uri);
        let jws = Jws::parse(&door.read(body).await?).map_err(|error| error.problem())?;
        let Some(nonce) = &jws.protected().nonce else {
            return Err(bad_nonce("the protected header has no nonce (RFC 8555 §6.5.2)"));
        };
        // Used up whatever else is wrong with the request (RFC 8555 §6.5).
        match door.ca.workbench.use_nonce(nonce).await? {
            NonceUse::Fresh if door.faults.refuses_nonce(&*door.ca.random) => {
                return Err(bad_nonce("this good nonce is refused for a test; use the one of this answer"));
            }
            NonceUse::Fresh => {}
            NonceUse::Replayed => return Err(bad_nonce("this nonce was used before; use the one of this answer")),
            NonceUse::Unknown => {
                return Err(bad_nonce("this nonce is not from here, or too old; use the one of this answer"));
            }
        }
        // One spelling of each URL: the signer knows requests by theirs.
        if uri.query().is_some() || uri.path().contains('%') {
            return Err(Problem::malformed("URLs here have no query and no percent-encoding").with_status(404).into());
        }
        let url = base.url(uri.path_and_query().map_or_else(|| uri.path(), |path| path.as_str()));
        if jws.protected().url != url {
            let signed = jws.protected().url.chars().take(200).collect::<String>();
            return Err(Problem::new(
                ProblemType::Unauthorized,
                format!("the request was signed for the url {signed:?} and sent to {url:?} (RFC 8555 §6.4)"),
            )
            .into());
        }
        Ok(Fresh { base, jws })
    }
}

impl AcmeDoor {
    async fn read(&self, body: Body) -> Outcome<Bytes> {
        let (max, time) = (self.body_octets_max, self.limits.body_time);
        let too_large = || Problem::malformed(format!("the body has more than {max} octets")).with_status(413).into();
        // Known from its Content-Length: nobody has to send it.
        let announced = body.size_hint().lower();
        if announced > max.saturating_mul(OVERRUN) as u64 {
            return Err(too_large());
        }
        let patience = if announced > max as u64 { time.min(LINGER) } else { time };
        match select(pin!(collect(body, max)), self.ca.clock.sleep(patience)).await {
            Either::Left((Ok(Some(octets)), _)) => Ok(octets),
            Either::Left((Ok(None), _)) => Err(too_large()),
            Either::Left((Err(_), _)) => Err(Error::refused(ProblemType::Malformed, "the body ended early")),
            Either::Right(_) if announced > max as u64 => Err(too_large()),
            Either::Right(_) => {
                let detail = format!("the body was not there within {} s", time.as_secs());
                Err(Problem::malformed(detail).with_status(408).into())
            }
        }
    }

    async fn account_of(&self, base: &Base, kid: &str) -> Outcome<Account> {
        let id =
            base.path(kid).and_then(|path| path.strip_prefix("/acct/")).and_then(|id| id.parse::<AccountId>().ok());
        let Some(id) = id else {
            return Err(Error::refused(
                ProblemType::Malformed,
                format!("`kid` is not the URL of an account here; expected {}", base.url("/acct/…")),
            ));
        };
        self.ca.account(id).await?.ok_or_else(|| {
            Error::refused(
                ProblemType::AccountDoesNotExist,
                "there is no account with this `kid`; make one with newAccount",
            )
        })
    }
}

/// All of a body, or `None` if it has more octets than `max`. What is a little too long is read to its end, and
/// forgotten: an answer that is sent while its client still writes can get lost with the connection.
async fn collect(mut body: Body, max: usize) -> Result<Option<Bytes>, axum::Error> {
    let (mut octets, mut came) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        came += data.len();
        if came > max.saturating_mul(OVERRUN) {
            break;
        }
        if came > max {
            octets = Vec::new();
        } else {
            octets.extend_from_slice(&data);
        }
    }
    Ok((came <= max).then(|| octets.into()))
}

fn require_jose(headers: &HeaderMap) -> Outcome<()> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/jose+json") {
        return Ok(());
    }
    Err(Problem::malformed("send Content-Type: application/jose+json (RFC 8555 §6.2)").with_status(415).into())
}

fn bad_nonce(detail: &str) -> Error {
    Error::refused(ProblemType::BadNonce, detail)
}
