//! One ACME client: signed requests with nonces, sent again where RFC 8555 says so.

use std::sync::Arc;
use std::time::Duration;

use acme::{Algorithm, Directory, Header, NewAccount, Problem, ProblemType, SigningKey, Thumbprint, sign};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;

use crate::connection::{Answer, Body, Connections};
use crate::failure::{Failure, TransportError};
use crate::world;

/// A nonce is used as soon as it is there, so more than a few are never in hand.
const NONCES_MAX: usize = 8;
/// How often one request is signed anew with another nonce (RFC 8555 §6.5).
const BAD_NONCES_MAX: u32 = 10;
/// How often one request is sent anew because no answer came.
const RESENDS_MAX: u32 = 6;
/// Doubled from one time to the next: a server that is started anew gets some seconds.
const RESEND_PAUSE: Duration = Duration::from_millis(100);
const RESEND_PAUSE_MAX: Duration = Duration::from_millis(1600);
/// What a poll asks for: an answer only when there is news, or after ten seconds (RFC 7240 §4.3).
const WAIT: &str = "wait=10";

/// An account at the server, with what is needed in every request of it.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) key: SigningKey,
    pub(crate) thumbprint: Thumbprint,
    /// Its URL (RFC 8555 §6.2).
    pub(crate) kid: String,
}

/// A new P-256 key of an account.
pub(crate) fn account_key() -> anyhow::Result<SigningKey> {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(|_| anyhow::anyhow!("no P-256 key could be made"))?;
    Ok(SigningKey::from_pkcs8(Algorithm::Es256, pkcs8.as_ref())?)
}

/// What a client has counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Requests that were sent.
    pub(crate) requests: u64,
    /// Answers that said `badNonce`.
    pub(crate) bad_nonces: u64,
    /// Requests sent again because no answer came.
    pub(crate) resent: u64,
    /// Connections made.
    pub(crate) connections: u64,
}

/// Whether a poll may be answered late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Answer at once.
    No,
    /// Answer when there is news.
    ForNews,
}

/// Who signs a request.
#[derive(Debug, Clone, Copy)]
enum Signer<'a> {
    /// newAccount: the key itself is sent.
    New(&'a SigningKey),
    /// All else.
    Account(&'a Account),
}

impl Answer {
    /// The JSON of the body.
    pub(crate) fn json<T: DeserializeOwned>(&self, what: &str) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::Protocol(format!("{what} is not the JSON that RFC 8555 describes: {error}")))
    }

    /// The URL in the Location header.
    pub(crate) fn location(&self, what: &str) -> Result<String, Failure> {
        let location = self.header("location").map(str::to_owned);
        location.ok_or_else(|| Failure::Protocol(format!("{what} has no Location header (RFC 8555 §7.3, §7.4)")))
    }

    /// The problem document, or one that says what came instead.
    fn problem(&self) -> Problem {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| {
            let status = self.status.as_u16();
            Problem::new(ProblemType::Other(format!("(HTTP {status})").into()), "an answer without a problem document")
                .with_status(status)
        })
    }
}

/// A client with connections and nonces of its own.
pub(crate) struct Client {
    connections: Connections,
    directory: Arc<Directory>,
    nonces: Vec<String>,
    counts: Counts,
}

impl Client {
    pub(crate) fn new(config: Arc<ClientConfig>, directory: Arc<Directory>) -> Self {
        let connections = Connections::new(config);
        Self { connections, directory, nonces: Vec::with_capacity(NONCES_MAX), counts: Counts::default() }
    }

    pub(crate) fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }

    pub(crate) const fn counts(&self) -> Counts {
        Counts { connections: self.connections.opened(), ..self.counts }
    }

    /// Forgets the connections: a request was given up in the midst of its response.
    pub(crate) fn reset(&mut self) {
        self.connections.reset();
    }

    /// newAccount (RFC 8555 §7.3).
    pub(crate) async fn register(&mut self, key: SigningKey) -> Result<Account, Failure> {
        let payload = NewAccount { terms_of_service_agreed: true, ..NewAccount::default() };
        let payload = serde_json::to_vec(&payload).map_err(|error| Failure::Protocol(error.to_string()))?;
        let directory = self.directory();
        let created = self.signed(Signer::New(&key), &directory.new_account, &payload, Wait::No).await?;
        let kid = created.location("the new account")?;
        Ok(Account { thumbprint: key.jwk().thumbprint(), key, kid })
    }

    /// A POST of this JSON.
    pub(crate) async fn post(&mut self, account: &Account, url: &str, payload: &[u8]) -> Result<Answer, Failure> {
        self.signed(Signer::Account(account), url, payload, Wait::No).await
    }

    /// A POST-as-GET (RFC 8555 §6.3).
    pub(crate) async fn read(&mut self, account: &Account, url: &str, wait: Wait) -> Result<Answer, Failure> {
        self.signed(Signer::Account(account), url, b"", wait).await
    }

    /// Makes sure that a nonce is in hand, and so that the connection stands.
    pub(crate) async fn warm_up(&mut self) -> Result<(), Failure> {
        let mut resends = 0;
        while self.nonces.is_empty() {
            match self.fresh_nonce().await {
                Ok(nonce) => self.nonces.push(nonce),
                Err(error) => self.pause_to_resend(error, &mut resends).await?,
            }
        }
        Ok(())
    }

    /// Waits before a request is sent anew, if there is hope in it.
    async fn pause_to_resend(&mut self, error: TransportError, resends: &mut u32) -> Result<(), Failure> {
        if !error.can_pass() || *resends >= RESENDS_MAX {
            return Err(Failure::Transport(error));
        }
        *resends += 1;
        self.counts.resent += 1;
        world::sleep((RESEND_PAUSE * 2_u32.pow(*resends)).min(RESEND_PAUSE_MAX)).await;
        Ok(())
    }

    async fn signed(&mut self, signer: Signer<'_>, url: &str, payload: &[u8], wait: Wait) -> Result<Answer, Failure> {
        let mut bad_nonces = 0;
        let mut resends = 0;
        loop {
            match self.attempt(signer, url, payload, wait).await {
                Ok(answer) if answer.status.is_success() => {
                    return Ok(answer);
                }
                Ok(answer) => {
                    let problem = answer.problem();
                    if problem.kind != ProblemType::BadNonce {
                        return Err(Failure::Problem(problem));
                    }
                    self.counts.bad_nonces += 1;
                    bad_nonces += 1;
                    if bad_nonces > BAD_NONCES_MAX {
                        return Err(Failure::Problem(problem));
                    }
                    // The newest comes with this very answer; older ones are likely to be as bad as the one refused.
                    self.nonces.drain(..self.nonces.len().saturating_sub(1));
                }
                Err(error) => self.pause_to_resend(error, &mut resends).await?,
            }
        }
    }

    async fn attempt(
        &mut self,
        signer: Signer<'_>,
        url: &str,
        payload: &[u8],
        wait: Wait,
    ) -> Result<Answer, TransportError> {
        let nonce = match self.nonces.pop() {
            Some(nonce) => nonce,
            None => self.fresh_nonce().await?,
        };
        let (key, kid) = match signer {
            Signer::New(key) => (key, None),
            Signer::Account(account) => (&account.key, Some(account.kid.as_str())),
        };
        let jws = sign(key, Header { nonce: Some(&nonce), url, kid }, payload);
        let prefer = match wait {
            Wait::No => None,
            Wait::ForNews => Some(WAIT),
        };
        self.counts.requests += 1;
        let answer = self.connections.send(url, Body::Jws(jws), prefer).await?;
        if let Some(nonce) = replay_nonce(&answer)
            && self.nonces.len() < NONCES_MAX
        {
            self.nonces.push(nonce);
        }
        Ok(answer)
    }

    /// newNonce (RFC 8555 §7.2).
    async fn fresh_nonce(&mut self) -> Result<String, TransportError> {
        let directory = self.directory();
        self.counts.requests += 1;
        let answer = self.connections.send(&directory.new_nonce, Body::HeadOnly, None).await?;
        replay_nonce(&answer).ok_or_else(|| TransportError::NoNonce { status: answer.status.as_u16() })
    }
}

/// Fetches the directory (RFC 8555 §7.1.1).
pub(crate) async fn directory(config: &Arc<ClientConfig>, url: &str) -> Result<Directory, Failure> {
    let answer = Connections::new(Arc::clone(config)).send(url, Body::None, None).await?;
    if !answer.status.is_success() {
        return Err(Failure::Problem(answer.problem()));
    }
    answer.json("the directory")
}

fn replay_nonce(answer: &Answer) -> Option<String> {
    answer.header("replay-nonce").map(str::to_owned)
}
