//! One order from newOrder to the certificate in hand (RFC 8555 §7.4, §7.5), as a well-behaved client does it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use acme::{
    AuthorizationObject, AuthorizationStatus, ChallengeKind, ChallengeStatus, Finalize, KeyAuthorization, NewOrder,
    OrderObject, OrderStatus, Problem, ProblemType, Token, WireIdentifier, base64url_encode,
};
use pki::{Certificate, GeneralName};

use crate::client::{Account, Client, Wait};
use crate::connection::Answer;
use crate::csr::{SubscriberKey, certificate_request};
use crate::failure::Failure;
use crate::responder::Shown;
use crate::world;

/// The shortest pause between two polls.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Where an order stands, for the reader of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    NewOrder,
    Authorization,
    Challenge,
    Validation,
    Finalize,
    Issuance,
    Download,
    Acknowledgement,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewOrder => "newOrder",
            Self::Authorization => "reading an authorization",
            Self::Challenge => "answering a challenge",
            Self::Validation => "validation",
            Self::Finalize => "finalize",
            Self::Issuance => "issuance",
            Self::Download => "the download",
            Self::Acknowledgement => "the acknowledgement",
        })
    }
}

/// What a certificate is ordered for.
pub(crate) struct Draft {
    /// The payload of newOrder.
    new_order: Vec<u8>,
    /// The payload of finalize.
    finalize: Vec<u8>,
    names: BTreeSet<GeneralName>,
    spki_der: Vec<u8>,
}

impl Draft {
    /// An order for these names, and the CSR that will finalize it.
    pub(crate) fn new(names: Vec<String>, key: &SubscriberKey, profile: Option<&str>) -> Result<Self, Failure> {
        let unusable = |_| Failure::Protocol("the key of the certificate cannot sign its request".to_owned());
        let csr = certificate_request(key, &names).map_err(unusable)?;
        let identifiers = names.iter().map(|name| WireIdentifier { kind: "dns".to_owned(), value: name.clone() });
        let new_order =
            NewOrder { identifiers: identifiers.collect(), profile: profile.map(str::to_owned), ..NewOrder::default() };
        Ok(Self {
            new_order: json(&new_order)?,
            finalize: json(&Finalize { csr: base64url_encode(&csr) })?,
            names: names.into_iter().map(GeneralName::Dns).collect(),
            spki_der: key.spki_der().map_err(unusable)?,
        })
    }

    /// Refuses a chain whose leaf is for other names or another key.
    fn check(&self, chain: &[u8]) -> Result<(), Failure> {
        let wrong = |reason: String| Failure::Certificate(reason);
        let text = std::str::from_utf8(chain).map_err(|_| wrong("the chain is not text".to_owned()))?;
        let blocks = pki::pem::decode(text).map_err(|error| wrong(error.to_string()))?;
        let Some((label, der)) = blocks.into_iter().next() else {
            return Err(wrong("the chain is empty".to_owned()));
        };
        if label != "CERTIFICATE" {
            return Err(wrong(format!("the chain begins with a {label}, not with a CERTIFICATE (RFC 8555 §9.1)")));
        }
        let leaf = Certificate::from_der(&der).map_err(|error| wrong(error.to_string()))?;
        if *leaf.names() != self.names {
            return Err(wrong(format!("the certificate names {:?}, ordered were {:?}", leaf.names(), self.names)));
        }
        if leaf.public_key().spki_der() != self.spki_der {
            return Err(wrong("the certificate is for another key than that of the CSR".to_owned()));
        }
        Ok(())
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|error| Failure::Protocol(error.to_string()))
}

/// The tokens that an order shows, hidden again when it is over, however it ends.
struct Showing<'a> {
    shown: &'a Shown,
    tokens: Vec<Token>,
}

impl Drop for Showing<'_> {
    fn drop(&mut self) {
        for token in &self.tokens {
            self.shown.hide(token);
        }
    }
}

/// A certificate that came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Issued {
    /// From newOrder to the certificate in hand.
    pub(crate) latency: Duration,
    /// When it was in hand.
    pub(crate) at: Instant,
}

/// One client at work on one order at a time.
pub(crate) struct Flow {
    client: Client,
    shown: Arc<Shown>,
    pause_max: Duration,
    step: Step,
}

impl Flow {
    /// `pause_max` bounds what the server may ask to wait between two polls.
    pub(crate) const fn new(client: Client, shown: Arc<Shown>, pause_max: Duration) -> Self {
        Self { client, shown, pause_max, step: Step::NewOrder }
    }

    pub(crate) const fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Where the last order stood last.
    pub(crate) const fn step(&self) -> Step {
        self.step
    }

    /// The whole of RFC 8555 for one certificate.
    pub(crate) async fn issue(&mut self, account: &Account, draft: &Draft) -> Result<Issued, Failure> {
        self.step = Step::NewOrder;
        self.client.warm_up().await?;
        let started = world::now();
        let new_order_url = self.client.directory().new_order.clone();
        let created = self.client.post(account, &new_order_url, &draft.new_order).await?;
        let url = created.location("the new order")?;
        let order: OrderObject = created.json("the new order")?;
        let order = self.authorize(account, &url, order).await?;
        let order = self.finalize(account, &url, order, draft).await?;
        self.step = Step::Download;
        let certificate = order.certificate.as_deref().ok_or_else(|| missing("certificate"))?;
        let chain = self.client.read(account, certificate, Wait::No).await?;
        let at = world::now();
        draft.check(&chain.body)?;
        if let Some(acknowledge) = &order.acknowledge {
            self.step = Step::Acknowledgement;
            self.client.post(account, acknowledge, b"{}").await?;
        }
        Ok(Issued { latency: at.duration_since(started), at })
    }

    /// Answers a challenge for each name and waits until the order is ready.
    async fn authorize(&mut self, account: &Account, url: &str, order: OrderObject) -> Result<OrderObject, Failure> {
        if order.status != OrderStatus::Pending {
            return self.expect(account, order, OrderStatus::Ready).await;
        }
        let shown = Arc::clone(&self.shown);
        let mut showing = Showing { shown: &shown, tokens: Vec::with_capacity(order.authorizations.len()) };
        for authorization in &order.authorizations {
            self.answer(account, authorization, &mut showing).await?;
        }
        self.step = Step::Validation;
        let order = self.poll(account, url, OrderStatus::Pending).await?;
        self.expect(account, order, OrderStatus::Ready).await
    }

    /// Reads an authorization and answers its http-01 challenge (RFC 8555 §7.5, §7.5.1).
    async fn answer(&mut self, account: &Account, url: &str, showing: &mut Showing<'_>) -> Result<(), Failure> {
        self.step = Step::Authorization;
        let authorization: AuthorizationObject =
            self.client.read(account, url, Wait::No).await?.json("the authorization")?;
        if authorization.status == AuthorizationStatus::Valid {
            return Ok(());
        }
        let challenge = authorization.challenges.iter().find(|challenge| challenge.kind == ChallengeKind::Http01);
        let challenge =
            challenge.ok_or_else(|| Failure::Protocol("the server offers no http-01 challenge".to_owned()))?;
        self.step = Step::Challenge;
        showing.shown.show(&challenge.token, &KeyAuthorization::new(&challenge.token, &account.thumbprint));
        showing.tokens.push(challenge.token.clone());
        self.client.post(account, &challenge.url, b"{}").await?;
        Ok(())
    }

    /// Sends the CSR and waits until the order is valid (RFC 8555 §7.4).
    async fn finalize(
        &mut self,
        account: &Account,
        url: &str,
        order: OrderObject,
        draft: &Draft,
    ) -> Result<OrderObject, Failure> {
        self.step = Step::Finalize;
        let order = match self.client.post(account, &order.finalize, &draft.finalize).await {
            Ok(finalized) => self.finalized(account, url, &finalized).await?,
            // The answer to the first try was lost, and the server has gone on since: the order itself tells how far.
            Err(Failure::Problem(problem)) if problem.kind == ProblemType::OrderNotReady => {
                let order = self.poll(account, url, OrderStatus::Processing).await?;
                if order.status != OrderStatus::Valid {
                    return Err(Failure::Problem(problem));
                }
                order
            }
            Err(failure) => return Err(failure),
        };
        self.expect(account, order, OrderStatus::Valid).await
    }

    async fn finalized(&mut self, account: &Account, url: &str, finalized: &Answer) -> Result<OrderObject, Failure> {
        let order: OrderObject = finalized.json("the finalized order")?;
        if order.status != OrderStatus::Processing {
            return Ok(order);
        }
        self.step = Step::Issuance;
        self.poll(account, url, OrderStatus::Processing).await
    }

    /// Reads the order until it is no longer in this state. Who polls may be answered late, so the first poll goes out
    /// at once, and those after it when the server says, within bounds.
    async fn poll(&mut self, account: &Account, url: &str, waiting: OrderStatus) -> Result<OrderObject, Failure> {
        let mut pause = PAUSE_MIN;
        loop {
            let read = self.client.read(account, url, Wait::ForNews).await?;
            let order: OrderObject = read.json("the order")?;
            if order.status != waiting {
                return Ok(order);
            }
            if !read.has_waited() {
                let asked = read.retry_after().unwrap_or(pause);
                world::sleep(asked.clamp(PAUSE_MIN, self.pause_max)).await;
                pause = (pause * 2).min(self.pause_max);
            }
        }
    }

    /// The order, if it is in the state that must be next; else why it is not.
    async fn expect(
        &mut self,
        account: &Account,
        order: OrderObject,
        expected: OrderStatus,
    ) -> Result<OrderObject, Failure> {
        if order.status == expected {
            return Ok(order);
        }
        if order.status != OrderStatus::Invalid {
            return Err(Failure::Protocol(format!("the order is {:?}, not {expected:?}", order.status)));
        }
        if let Some(problem) = order.error {
            return Err(Failure::Problem(problem));
        }
        // Many servers say only in the challenge why an order is invalid.
        for url in &order.authorizations {
            let read = self.client.read(account, url, Wait::No).await?;
            let authorization: AuthorizationObject = read.json("the authorization")?;
            if let Some(problem) = reason(authorization) {
                return Err(Failure::Problem(problem));
            }
        }
        Err(Failure::Protocol("the order is invalid, and nothing says why".to_owned()))
    }
}

/// Why an authorization is invalid, as its challenge has it.
fn reason(authorization: AuthorizationObject) -> Option<Problem> {
    let failed = |challenge: &acme::ChallengeObject| challenge.status == ChallengeStatus::Invalid;
    authorization.challenges.into_iter().find(failed)?.error
}

fn missing(member: &str) -> Failure {
    Failure::Protocol(format!("the order is valid, but has no `{member}` (RFC 8555 §7.1.3)"))
}
