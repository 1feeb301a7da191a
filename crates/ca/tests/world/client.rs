//! A client: an account with its key, whose requests are signed like any client's.

use std::collections::BTreeSet;
use std::fmt::Debug;

use acme::{
    AccountStatus, AccountUpdate, Algorithm, ChallengeKind, Header, Jws, KeyChange, NewAccount, NewOrder, OrderStatus,
    Problem, RevokeRequest, SigningKey, Verified, WireIdentifier, base64url_encode, sign,
};
use ca::account::Account;
use ca::authorization::Method;
use ca::order::{Order, Outcome, Stage};
use ca::ports::SerialRecord;
use ca::{Answer, Ca, Error, KeyChanged, OrderId, Revoker, urls};
use keys::KeyPair;
use pki::GeneralName;
use serde_json::json;

use super::{World, octets, pair};

/// What all URLs begin with.
pub(crate) const BASE: &str = "https://ca.example.com";

/// An account and its key.
#[derive(Debug)]
pub(crate) struct Client {
    key: SigningKey,
    pub(crate) account: Account,
}

/// A key of a certificate, as a key that signs requests.
pub(crate) fn signing_key(pair: &KeyPair) -> SigningKey {
    SigningKey::from_pkcs8(Algorithm::Es256, &octets(pair)).unwrap()
}

/// What newOrder asks for: DNS names and IP addresses.
pub(crate) fn new_order(names: &[&str], profile: Option<&str>) -> NewOrder {
    let wire = |name: &&str| {
        let kind = if name.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
        WireIdentifier { kind: kind.to_owned(), value: (*name).to_owned() }
    };
    NewOrder {
        identifiers: names.iter().map(wire).collect(),
        profile: profile.map(str::to_owned),
        ..NewOrder::default()
    }
}

/// What the client was refused with.
#[track_caller]
pub(crate) fn refused<T: Debug>(answer: Answer<T>) -> Problem {
    match answer {
        Err(Error::Refused(problem)) => *problem,
        other => panic!("expected a refusal: {other:?}"),
    }
}

fn verified(key: &SigningKey, kid: Option<&str>, path: &str, payload: &[u8]) -> Verified {
    let url = format!("{BASE}{path}");
    let body = sign(key, Header { nonce: Some("bm9uY2U"), url: &url, kid }, payload);
    Jws::parse(&body).unwrap().verify(key.jwk().verifying_key()).unwrap()
}

/// newAccount, as this key signs it.
pub(crate) fn new_account_request(key: &KeyPair, asked: &NewAccount) -> Verified {
    verified(&signing_key(key), None, urls::NEW_ACCOUNT, &serde_json::to_vec(asked).unwrap())
}

impl Client {
    /// newAccount with a new key.
    pub(crate) async fn new(world: &World) -> Self {
        Self::with_key(world, &pair()).await
    }

    /// newAccount.
    pub(crate) async fn with_key(world: &World, key: &KeyPair) -> Self {
        let key = signing_key(key);
        let asked = NewAccount { contact: Some(vec!["mailto:admin@example.com".to_owned()]), ..NewAccount::default() };
        let payload = serde_json::to_vec(&asked).unwrap();
        let (account, new) = world.ca.new_account(verified(&key, None, urls::NEW_ACCOUNT, &payload)).await.unwrap();
        assert!(new, "the key is new");
        Self { key, account }
    }

    /// keyChange to this key (RFC 8555 §7.3.5), as both keys sign it.
    pub(crate) fn key_change_request(&self, to: &KeyPair) -> Verified {
        self.key_change_at(urls::KEY_CHANGE, to)
    }

    /// The same, for another path.
    pub(crate) fn key_change_at(&self, path: &str, to: &KeyPair) -> Verified {
        let kid = format!("{BASE}{}", urls::account(self.account.id));
        let change = KeyChange { account: kid.clone(), old_key: self.key.jwk().clone() };
        let header = Header { nonce: None, url: &format!("{BASE}{path}"), kid: None };
        let inner = sign(&signing_key(to), header, &serde_json::to_vec(&change).unwrap());
        verified(&self.key, Some(&kid), path, &inner)
    }

    /// keyChange, which may be refused. Whoever is answered signs with the new key.
    pub(crate) async fn change_key(&mut self, world: &World, to: &KeyPair) -> Answer<KeyChanged> {
        let answer = world.ca.change_key(&self.account, self.key_change_request(to)).await;
        if let Ok(KeyChanged::Done(account)) = &answer {
            (self.account, self.key) = (account.clone(), signing_key(to));
        }
        answer
    }

    /// The account as the ledger has it, with this key.
    pub(crate) async fn take_up(&mut self, world: &World, key: &KeyPair) {
        self.account = world.ledger.account(self.account.id).await.unwrap().unwrap();
        self.key = signing_key(key);
        assert_eq!(self.account.thumbprint(), self.key.jwk().thumbprint());
    }

    /// A request signed by the account.
    pub(crate) fn request(&self, path: &str, payload: &serde_json::Value) -> Verified {
        let kid = format!("{BASE}{}", urls::account(self.account.id));
        verified(&self.key, Some(&kid), path, &serde_json::to_vec(payload).unwrap())
    }

    /// newOrder with the default profile.
    pub(crate) async fn order(&self, world: &World, names: &[&str]) -> Order {
        self.order_with(world, names, None).await
    }

    /// newOrder with all that may be asked for, which may fail.
    pub(crate) async fn ask(&self, world: &World, asked: &NewOrder) -> Answer<Order> {
        world.ca.new_order(&self.account, asked).await
    }

    /// newOrder, which may fail.
    pub(crate) async fn try_order(&self, world: &World, names: &[&str]) -> Answer<Order> {
        world.ca.new_order(&self.account, &new_order(names, None)).await
    }

    /// newOrder.
    pub(crate) async fn order_with(&self, world: &World, names: &[&str], profile: Option<&str>) -> Order {
        world.ca.new_order(&self.account, &new_order(names, profile)).await.unwrap()
    }

    /// Answers the dns-01 challenge of an authorization, which every name has, or the http-01 challenge of an address.
    pub(crate) async fn answer(&self, world: &World, order: &Order, number: usize) {
        let authorization = &order.authorizations[number];
        let by_dns = authorization.challenge(Method::Dns01).is_some();
        let kind = if by_dns { ChallengeKind::Dns01 } else { ChallengeKind::Http01 };
        world.ca.answer(&self.account, authorization.id, kind).await.unwrap();
    }

    /// Answers one challenge of each authorization that is pending.
    pub(crate) async fn answer_all(&self, world: &World, order: &Order) {
        for number in (0..order.authorizations.len()).filter(|number| order.authorizations[*number].end.is_none()) {
            self.answer(world, order, number).await;
        }
    }

    /// An order whose authorizations are all valid.
    pub(crate) async fn ready(&self, world: &World, names: &[&str]) -> Order {
        self.ready_with(world, names, None).await
    }

    /// The same, with a profile.
    pub(crate) async fn ready_with(&self, world: &World, names: &[&str], profile: Option<&str>) -> Order {
        let order = self.order_with(world, names, profile).await;
        if order.status(world.ca.now()) == OrderStatus::Ready {
            return order;
        }
        self.answer_all(world, &order).await;
        world.work(Stage::TestChallenge).await;
        let order = self.poll(world, order.id).await;
        assert_eq!(order.status(world.ca.now()), OrderStatus::Ready);
        order
    }

    /// A finalize request for the names of an order, as the client signs it.
    pub(crate) fn finalize_request(&self, order: &Order, key: &KeyPair) -> Verified {
        let names: BTreeSet<GeneralName> = order.identifiers.iter().map(ca::signing::general_name).collect();
        self.request_certificate(order, &names, key)
    }

    /// The same, for other names.
    pub(crate) fn finalize_request_for(&self, order: &Order, names: &[&str], key: &KeyPair) -> Verified {
        let names = names.iter().map(|name| GeneralName::Dns((*name).to_owned())).collect();
        self.request_certificate(order, &names, key)
    }

    fn request_certificate(&self, order: &Order, names: &BTreeSet<GeneralName>, key: &KeyPair) -> Verified {
        let csr = pki::csr::request(names, key.public_key());
        let algorithm = key.default_signature_algorithm();
        let csr = csr.with_signature(algorithm, &key.sign(algorithm, csr.der()).unwrap());
        self.request(&urls::finalize(order.id), &json!({ "csr": base64url_encode(&csr) }))
    }

    /// finalize.
    pub(crate) async fn finalize(&self, world: &World, order: &Order, key: &KeyPair) -> Answer<Order> {
        world.ca.finalize(&self.account, order.id, self.finalize_request(order, key)).await
    }

    /// An order in the queue of `Issue`, for a new key.
    pub(crate) async fn processing(&self, world: &World, names: &[&str]) -> Order {
        self.processing_with(world, names, &pair()).await
    }

    /// The same, for this key.
    pub(crate) async fn processing_with(&self, world: &World, names: &[&str], key: &KeyPair) -> Order {
        let order = self.ready(world, names).await;
        self.finalize(world, &order, key).await.unwrap()
    }

    /// An order with its certificate.
    pub(crate) async fn issued(&self, world: &World, names: &[&str], key: &KeyPair) -> SerialRecord {
        let order = self.processing_with(world, names, key).await;
        world.work(Stage::Issue).await;
        self.certificate(world, order.id).await
    }

    /// The certificate of an order that is valid.
    pub(crate) async fn certificate(&self, world: &World, order: OrderId) -> SerialRecord {
        let order = self.poll(world, order).await;
        match order.outcome() {
            Some(Outcome::Valid(serial)) => world.ca.certificate(&self.account, *serial).await.unwrap(),
            other => panic!("the order is not valid: {other:?}"),
        }
    }

    /// The order as its client sees it.
    pub(crate) async fn poll(&self, world: &World, order: OrderId) -> Order {
        world.ca.order(&self.account, order).await.unwrap()
    }

    /// Its status.
    pub(crate) async fn status(&self, world: &World, order: OrderId) -> OrderStatus {
        self.poll(world, order).await.status(world.ca.now())
    }

    /// Why an order is invalid, and in which stage it died.
    pub(crate) async fn death(&self, world: &World, order: OrderId) -> (Stage, Problem) {
        let order = self.poll(world, order).await;
        match order.outcome() {
            Some(Outcome::Invalid(failure)) => (failure.stage, failure.problem.clone()),
            other => panic!("the order is not invalid: {other:?}"),
        }
    }

    /// Deactivates the account.
    pub(crate) async fn deactivate(&self, world: &World) {
        let update = AccountUpdate { status: Some(AccountStatus::Deactivated), ..AccountUpdate::default() };
        world.ca.update_account(&self.account, &update).await.unwrap();
    }

    /// revokeCert, signed by the account.
    pub(crate) async fn revoke(&self, world: &World, certificate: &[u8], reason: Option<i64>) -> Answer<()> {
        let request = self.request(urls::REVOKE_CERT, &revoke_request(certificate, reason));
        world.ca.revoke_certificate(Revoker::Account(Box::new(self.account.clone())), &request).await
    }
}

/// revokeCert, signed by a key.
pub(crate) async fn revoke_by_key(world: &World, key: &KeyPair, certificate: &[u8], reason: Option<i64>) -> Answer<()> {
    let request = revocation_request(key, certificate, reason);
    world.ca.revoke_certificate(Ca::certificate_key(&request)?, &request).await
}

/// The request of whoever has this key and gives no reason.
pub(crate) fn revocation_by(key: &KeyPair, certificate: &[u8]) -> Verified {
    revocation_request(key, certificate, None)
}

fn revocation_request(key: &KeyPair, certificate: &[u8], reason: Option<i64>) -> Verified {
    let payload = serde_json::to_vec(&revoke_request(certificate, reason)).unwrap();
    verified(&signing_key(key), None, urls::REVOKE_CERT, &payload)
}

fn revoke_request(certificate: &[u8], reason: Option<i64>) -> serde_json::Value {
    serde_json::to_value(RevokeRequest { certificate: base64url_encode(certificate), reason }).unwrap()
}
