//! A client's requests: nonces, signatures, repeated when nothing came back.

use std::sync::Arc;
use std::time::Duration;

use acme::{Header, Problem, ProblemType, SigningKey, sign};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::chance::Chance;
use crate::executor::Executor;
use crate::machine::{BASE, Machine};
use crate::network::{Answer, NoAnswer};
use crate::world::World;

/// Why a client has not got what it asked for.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// No answer came.
    NoAnswer,
    /// The server said why not.
    Refused(Box<Problem>),
    /// Something that makes no sense.
    Nonsense(String),
}

impl Trouble {
    /// Whether it may pass by itself.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer => true,
            Self::Refused(problem) => problem.status >= 500 || problem.status == 429,
            Self::Nonsense(_) => false,
        }
    }

    /// Whether the server said this.
    pub fn is(&self, kind: &ProblemType) -> bool {
        matches!(self, Self::Refused(problem) if problem.kind == *kind)
    }
}

/// A client with its key and account.
#[derive(Debug)]
pub struct Session {
    pub(crate) world: Arc<World>,
    pub(crate) chance: Chance,
    /// For the story.
    pub(crate) name: String,
    pub(crate) key: Arc<SigningKey>,
    /// The account's URL, once there is one.
    pub(crate) kid: Option<String>,
    nonce: Option<String>,
}

/// Requests that are repeated when no answer comes are sent so often.
const TRIES: u32 = 60;

impl Session {
    /// A client that has no account yet.
    pub fn new(world: &Arc<World>, number: usize, key: Arc<SigningKey>) -> Self {
        let chance = Chance::new(world.seed, &format!("client {number}"));
        Self { world: Arc::clone(world), chance, name: format!("client {number}"), key, kid: None, nonce: None }
    }

    /// The same client on another connection.
    pub(super) fn beside(&self, connection: usize) -> Self {
        let name = format!("{}, connection {connection}", self.name);
        let chance = Chance::new(self.chance.number(), &name);
        let (world, key, kid) = (Arc::clone(&self.world), Arc::clone(&self.key), self.kid.clone());
        Self { world, chance, name, key, kid, nonce: None }
    }

    pub(crate) fn executor(&self) -> &Executor {
        &self.world.executor
    }

    pub(crate) fn tell(&self, line: impl FnOnce() -> String) {
        self.world.story.tell(|| format!("{}: {}", self.name, line()));
    }

    /// Any machine serves any client.
    fn machine(&self) -> Arc<Machine> {
        Arc::clone(&self.world.machines[self.chance.place(self.world.machines.len())])
    }

    pub(super) async fn send(&mut self, method: Method, url: &str, body: Vec<u8>) -> Result<Answer, NoAnswer> {
        let path = url.strip_prefix(BASE).unwrap_or(url);
        let mut headers = HeaderMap::new();
        if method == Method::POST {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jose+json"));
        }
        let machine = self.machine();
        let answer = self.world.network.send(&machine, method, path, headers, Bytes::from(body)).await?;
        if let Some(nonce) = answer.header("replay-nonce") {
            self.nonce = Some(nonce.to_owned());
        }
        Ok(answer)
    }

    pub(super) async fn nonce(&mut self) -> Result<String, NoAnswer> {
        if self.nonce.is_none() {
            self.send(Method::HEAD, ca::urls::NEW_NONCE, Vec::new()).await?;
        }
        self.nonce.take().ok_or(NoAnswer)
    }

    /// One signed request. A nonce that was not good is replaced, three times at most.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn try_post(&mut self, url: &str, payload: &[u8]) -> Result<Answer, Trouble> {
        let kid = self.kid.clone();
        let key = Arc::clone(&self.key);
        self.try_post_as(url, payload, &key, kid.as_deref()).await
    }

    /// The same, signed by this key.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn try_post_as(
        &mut self,
        url: &str,
        payload: &[u8],
        key: &SigningKey,
        kid: Option<&str>,
    ) -> Result<Answer, Trouble> {
        let full = if url.starts_with('/') { format!("{BASE}{url}") } else { url.to_owned() };
        for _ in 0..3 {
            let nonce = self.nonce().await.map_err(|NoAnswer| Trouble::NoAnswer)?;
            let body = sign(key, Header { nonce: Some(&nonce), url: &full, kid }, payload);
            let answer = self.send(Method::POST, &full, body).await.map_err(|NoAnswer| Trouble::NoAnswer)?;
            if answer.status < 400 {
                return Ok(answer);
            }
            let problem: Problem =
                serde_json::from_slice(&answer.body).map_err(|error| Trouble::Nonsense(error.to_string()))?;
            if problem.kind != ProblemType::BadNonce {
                return Err(Trouble::Refused(Box::new(problem)));
            }
        }
        Err(Trouble::NoAnswer)
    }

    /// A signed request, sent again until an answer comes that says yes or no.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn post(&mut self, url: &str, payload: &[u8]) -> Result<Answer, Trouble> {
        let mut pause = Duration::from_secs(1);
        for _ in 0..TRIES {
            match self.try_post(url, payload).await {
                Err(trouble) if trouble.may_pass() => {
                    self.executor().sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(60));
                }
                answered => return answered,
            }
        }
        Err(Trouble::NoAnswer)
    }

    /// An object, by a POST with this payload.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn object<T: DeserializeOwned>(&mut self, url: &str, payload: &[u8]) -> Result<T, Trouble> {
        let answer = self.post(url, payload).await?;
        read(&answer)
    }
}

/// The object of an answer.
pub(super) fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Trouble> {
    serde_json::from_slice(&answer.body).map_err(|error| Trouble::Nonsense(format!("{error}: {:?}", answer.body)))
}
