//! A client that does what it should, until it has its certificate.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use acme::{
    AuthorizationObject, AuthorizationStatus, ChallengeKind, KeyAuthorization, OrderObject, OrderStatus, ProblemType,
    base64url_encode,
};
use pki::{GeneralName, Serial, Sha256};
use serde_json::json;

use super::{Session, Task, Trouble};
use crate::chance::Chance;
use crate::client::session::read;
use crate::keys::{SubjectKey, of_account, of_certificate};
use crate::world::World;

/// So many orders for one certificate.
const ORDERS_MAX: u32 = 40;
/// Where the keys begin that a client takes when its own is blocked.
const OTHER_KEYS: usize = 56;
/// So many looks at one object.
const POLLS_MAX: u32 = 2_000;
/// Of a thousand challenges so many are shown by http-01.
const BY_HTTP_PERMILLE: u32 = 400;
/// After so many looks a client whose order may have been forgotten begins anew.
const PATIENT_POLLS: u32 = 400;

/// The whole life of the client.
pub(super) async fn run(world: &Arc<World>, task: &Task) {
    let mut session = Session::new(world, task.number, of_account(task.number));
    if session.register().await.is_none() {
        return;
    }
    for number in 0..task.orders {
        let names = session.draw_names(task.number, number);
        session.certificate(&names, of_certificate(task.number * 8 + number as usize), None).await;
    }
}

/// What came of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Certificate(Serial),
    /// It is invalid, and the client can't help it: it makes a new one.
    Again,
    /// It is invalid, since its key is blocked: it makes a new one with another key.
    OtherKey,
    /// It can't have one.
    Never,
}

impl Session {
    /// newAccount (RFC 8555 §7.3).
    pub async fn register(&mut self) -> Option<()> {
        let made = self.post(ca::urls::NEW_ACCOUNT, br#"{"termsOfServiceAgreed":true}"#).await;
        match made {
            Ok(answer) => {
                self.kid = answer.header("location").map(str::to_owned);
                self.tell(|| "has an account".to_owned());
                Some(())
            }
            Err(trouble) => {
                // An operator may have blocked the key before its client heard that it has an account.
                if !self.world.auditor.is_blocked(Sha256::of(&self.key.jwk().spki_der())) {
                    self.world.auditor.gave_up(&self.name, &format!("no account: {trouble:?}"));
                }
                None
            }
        }
    }

    /// Names of its own for one of its orders.
    pub(super) fn draw_names(&self, client: usize, order: u32) -> Vec<String> {
        let count = 1 + self.chance.place(2);
        (0..count).map(|number| format!("n{number}.o{order}.client{client}.example.com")).collect()
    }

    /// Makes orders until one has brought a certificate. `replaces`: the one whose place it takes (RFC 9773 §5).
    pub(super) async fn certificate(
        &mut self,
        names: &[String],
        mut key: &SubjectKey,
        mut replaces: Option<String>,
    ) -> Option<Serial> {
        let mut pause = Duration::from_secs(10);
        for _ in 0..ORDERS_MAX {
            match self.one_order(names, key, replaces.as_deref()).await {
                Ok(Came::Certificate(serial)) => return Some(serial),
                Ok(Came::Never) => return None,
                Ok(Came::Again) => {}
                Ok(Came::OtherKey) => key = self.another_key(key),
                Err(trouble) => {
                    self.tell(|| format!("gives this order up: {trouble:?}"));
                    if let Trouble::Nonsense(what) = &trouble {
                        self.world.auditor.gave_up(&self.name, what);
                        return None;
                    }
                    if trouble.is(&ProblemType::BadPublicKey) {
                        key = self.another_key(key);
                    }
                    // An order of its own, that it gave up, has this place.
                    if trouble.is(&ProblemType::AlreadyReplaced) {
                        replaces = None;
                    }
                }
            }
            self.executor().sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(3600));
        }
        self.world.auditor.gave_up(&self.name, &format!("{ORDERS_MAX} orders brought no certificate for {names:?}"));
        None
    }

    /// One is told that its key is compromised only if somebody has said so.
    fn another_key(&self, key: &SubjectKey) -> &'static SubjectKey {
        let blocked = self.world.auditor.is_blocked(key.pair.public_key().spki_hash());
        self.world.auditor.must_not_be(!blocked, "a key is refused, and nobody has blocked it");
        of_certificate(OTHER_KEYS + self.chance.place(8))
    }

    async fn one_order(&mut self, names: &[String], key: &SubjectKey, replaces: Option<&str>) -> Result<Came, Trouble> {
        let (url, order) = self.ready(names, replaces).await?;
        if order.status == OrderStatus::Ready {
            self.finalize(&order.finalize, names, key).await?;
        }
        self.end(&url).await
    }

    /// newOrder (RFC 8555 §7.4): the order and its URL.
    pub(super) async fn new_order(
        &mut self,
        names: &[String],
        replaces: Option<&str>,
    ) -> Result<(String, OrderObject), Trouble> {
        let identifiers: Vec<_> = names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        let mut asked = json!({ "identifiers": identifiers });
        if let Some(profile) = self.world.draw_profile(&self.chance) {
            asked["profile"] = json!(profile);
        }
        if let Some(replaces) = replaces {
            asked["replaces"] = json!(replaces);
        }
        let sent = self.executor().now();
        let made = self.post(ca::urls::NEW_ORDER, asked.to_string().as_bytes()).await?;
        let url = made.header("location").ok_or_else(|| Trouble::Nonsense("an order has no URL".into()))?.to_owned();
        let order: OrderObject = read(&made)?;
        self.told(&url, &order, sent);
        Ok((url, order))
    }

    /// An order whose authorizations this client has done what it could for: it is `ready`, if nothing went wrong.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn ready(&mut self, names: &[String], replaces: Option<&str>) -> Result<(String, OrderObject), Trouble> {
        let (url, order) = self.new_order(names, replaces).await?;
        if order.status == OrderStatus::Pending {
            for authorization in &order.authorizations {
                self.answer(authorization).await?;
            }
        }
        let order = self.poll(&url, &[OrderStatus::Pending]).await?;
        Ok((url, order))
    }

    /// What comes of an order that was finalized.
    pub(super) async fn end(&mut self, url: &str) -> Result<Came, Trouble> {
        let order = self.poll(url, &[OrderStatus::Ready, OrderStatus::Processing]).await?;
        match (order.status, &order.certificate) {
            (OrderStatus::Valid, Some(certificate)) => {
                self.download(certificate, &order).await?;
                let serial = certificate.rsplit('/').next().and_then(|serial| Serial::parse(serial).ok());
                serial.map(Came::Certificate).ok_or_else(|| Trouble::Nonsense(format!("{certificate} names no serial")))
            }
            (OrderStatus::Invalid, _) => Ok(self.invalid(&order)),
            // The workbench was rolled back behind what this client has seen.
            (OrderStatus::Pending, _) if self.world.scenario.workbench_losses > 0 => Err(Trouble::NoAnswer),
            (status, _) => Err(Trouble::Nonsense(format!("the order stays {status:?}"))),
        }
    }

    fn invalid(&self, order: &OrderObject) -> Came {
        let problem = order.error.as_ref();
        self.tell(|| format!("its order is invalid: {:?}", problem.map(|problem| &problem.detail)));
        match problem.map(|problem| &problem.kind) {
            Some(ProblemType::Caa) if self.world.scenario.forbids => Came::Never,
            Some(ProblemType::BadPublicKey) => Came::OtherKey,
            _ => Came::Again,
        }
    }

    /// In answer to a request of this time.
    pub(super) fn told(&self, url: &str, order: &OrderObject, sent: Duration) {
        self.world.auditor.told_order(url, order.status, order.certificate.as_deref(), sent);
    }

    /// Shows and answers a challenge of an authorization that is pending.
    pub(super) async fn answer(&mut self, url: &str) -> Result<(), Trouble> {
        let authorization: AuthorizationObject = self.object(url, b"").await?;
        if authorization.status != AuthorizationStatus::Pending {
            return Ok(());
        }
        // Of its own, so that the same authorization is always shown in the same way.
        let by_http = Chance::new(self.world.seed, url).happens(BY_HTTP_PERMILLE);
        let kind = if by_http { ChallengeKind::Http01 } else { ChallengeKind::Dns01 };
        let challenge = authorization.challenges.iter().find(|one| one.kind == kind);
        let challenge = challenge.ok_or_else(|| Trouble::Nonsense(format!("there is no {kind} challenge")))?;
        let shown = KeyAuthorization::new(&challenge.token, &self.key.jwk().thumbprint());
        let name = &authorization.identifier.value;
        if by_http {
            self.world.internet.serve(name, challenge.token.as_str(), shown.as_str());
        } else {
            self.world.internet.show(&format!("_acme-challenge.{name}"), &shown.dns_value());
        }
        match self.post(&challenge.url, b"{}").await {
            Ok(_) => Ok(()),
            // It was answered before, and the answer to that got lost.
            Err(Trouble::Refused(problem)) if problem.status < 500 => {
                self.tell(|| format!("its challenge is not taken: {}", problem.detail));
                Ok(())
            }
            Err(trouble) => Err(trouble),
        }
    }

    pub(super) fn csr(names: &[String], key: &SubjectKey) -> String {
        let names: BTreeSet<GeneralName> = names.iter().map(|name| GeneralName::Dns(name.clone())).collect();
        let csr = pki::csr::request(&names, key.pair.public_key());
        let algorithm = key.pair.default_signature_algorithm();
        let signature = key.pair.sign(algorithm, csr.der()).expect("a key on P-256 signs");
        base64url_encode(&csr.with_signature(algorithm, &signature))
    }

    pub(super) async fn finalize(&mut self, url: &str, names: &[String], key: &SubjectKey) -> Result<(), Trouble> {
        let payload = json!({ "csr": Self::csr(names, key) }).to_string();
        match self.post(url, payload.as_bytes()).await {
            Ok(_) => {
                self.world.auditor.told_finalized(url);
                Ok(())
            }
            // An earlier one has arrived, and its answer got lost.
            Err(trouble) if trouble.is(&ProblemType::OrderNotReady) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Reads the order until it has left these states.
    pub(super) async fn poll(&mut self, url: &str, states: &[OrderStatus]) -> Result<OrderObject, Trouble> {
        for polls in 0..POLLS_MAX {
            if polls > PATIENT_POLLS && self.world.scenario.workbench_losses > 0 {
                // Its answer to a challenge may have been forgotten.
                return Err(Trouble::NoAnswer);
            }
            let sent = self.executor().now();
            let order: OrderObject = self.object(url, b"").await?;
            self.told(url, &order, sent);
            if !states.contains(&order.status) {
                return Ok(order);
            }
            // What stands `ready` though it was finalized was forgotten: nobody goes on with it but its client.
            if order.status == OrderStatus::Ready && states.len() > 1 {
                return Err(Trouble::NoAnswer);
            }
            self.executor().sleep(Duration::from_secs(2)).await;
        }
        Err(Trouble::Nonsense(format!("{POLLS_MAX} polls of {url} found it in one of {states:?}")))
    }

    pub(super) async fn download(&mut self, certificate: &str, order: &OrderObject) -> Result<(), Trouble> {
        let chain = self.post(certificate, b"").await?;
        self.world.auditor.downloaded(certificate, &chain.body);
        self.world.tally.certificate();
        self.tell(|| "has its certificate".to_owned());
        if let Some(acknowledge) = &order.acknowledge {
            self.post(acknowledge, b"{}").await?;
        }
        Ok(())
    }
}
