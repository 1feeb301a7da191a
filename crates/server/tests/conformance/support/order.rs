//! The way of an order, in few words.

use acme::base64url_encode;
use serde_json::{Value, json};

use super::account::Account;
use super::answer::{Answer, list, text};
use super::certificate::{SubjectKey, certificates};
use super::client::Client;
use super::world::{pause, within};

/// An order, as the server showed it.
pub(crate) struct Order {
    pub(crate) url: String,
    pub(crate) object: Value,
}

impl Order {
    /// The URL of one of its authorizations.
    pub(crate) fn authorization(&self, number: usize) -> &str {
        text(&self.object["authorizations"][number])
    }

    pub(crate) fn finalize(&self) -> &str {
        text(&self.object["finalize"])
    }

    pub(crate) fn certificate(&self) -> &str {
        text(&self.object["certificate"])
    }
}

/// An order that is valid, with its chain in DER, leaf first.
pub(crate) struct Issued {
    pub(crate) order: Order,
    pub(crate) key: SubjectKey,
    pub(crate) chain: Vec<Vec<u8>>,
}

/// A challenge that can be answered.
pub(crate) struct Open {
    pub(crate) url: String,
    pub(crate) token: String,
}

/// Identifiers of type `dns`.
pub(crate) fn identifiers(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "type": "dns", "value": name })).collect()
}

/// The challenge of this type, if the authorization has it.
pub(crate) fn challenge_of(authorization: &Value, kind: &str) -> Option<Open> {
    let found = list(&authorization["challenges"]).iter().find(|one| one["type"] == kind)?;
    Some(Open { url: text(&found["url"]).to_owned(), token: text(&found["token"]).to_owned() })
}

impl Client {
    /// What newOrder says to this payload.
    pub(crate) async fn new_order(&mut self, account: &Account, payload: &Value) -> Answer {
        let url = self.url("newOrder");
        self.post(account, &url, payload).await
    }

    /// A new order.
    pub(crate) async fn order(&mut self, account: &Account, names: &[&str]) -> Order {
        let answer = self.new_order(account, &json!({ "identifiers": identifiers(names) })).await;
        Order { object: answer.object(201), url: answer.location() }
    }

    /// The http-01 challenge of an authorization.
    pub(crate) async fn http_01(&mut self, account: &Account, authorization: &str) -> Open {
        let object = self.read(account, authorization).await;
        challenge_of(&object, "http-01").unwrap_or_else(|| panic!("no http-01 in {object}"))
    }

    /// Answers a challenge (RFC 8555 §7.5.1).
    pub(crate) async fn answer(&mut self, account: &Account, challenge: &Open) -> Answer {
        self.post(account, &challenge.url, &json!({})).await
    }

    /// Makes an authorization valid by http-01.
    pub(crate) async fn authorize(&mut self, account: &Account, authorization: &str) -> Value {
        let object = self.read(account, authorization).await;
        if object["status"] == "pending" {
            let challenge = challenge_of(&object, "http-01").unwrap_or_else(|| panic!("no http-01 in {object}"));
            self.world.responder.show(&challenge.token, account.key_authorization(&challenge.token).as_str());
            self.answer(account, &challenge).await.object(200);
        }
        self.wait_for(account, authorization, "valid").await
    }

    /// An authorization that failed: nothing was shown for its challenge.
    pub(crate) async fn fail(&mut self, account: &Account, authorization: &str) -> Value {
        let challenge = self.http_01(account, authorization).await;
        self.world.responder.show(&challenge.token, "this is no key authorization");
        self.answer(account, &challenge).await.object(200);
        self.wait_for(account, authorization, "invalid").await
    }

    /// Makes all authorizations of an order valid.
    pub(crate) async fn make_ready(&mut self, account: &Account, order: Order) -> Order {
        for authorization in list(&order.object["authorizations"]) {
            self.authorize(account, text(authorization)).await;
        }
        let object = self.wait_for(account, &order.url, "ready").await;
        Order { object, ..order }
    }

    /// An order that can be finalized.
    pub(crate) async fn ready(&mut self, account: &Account, names: &[&str]) -> Order {
        let order = self.order(account, names).await;
        self.make_ready(account, order).await
    }

    /// What finalize says to this CSR in DER.
    pub(crate) async fn finalize(&mut self, account: &Account, order: &Order, csr: &[u8]) -> Answer {
        self.post(account, order.finalize(), &json!({ "csr": base64url_encode(csr) })).await
    }

    /// Finalizes an order that is ready, and downloads its certificate.
    pub(crate) async fn issue(&mut self, account: &Account, order: Order, names: &[&str]) -> Issued {
        let key = SubjectKey::new();
        self.finalize(account, &order, &key.csr(names)).await.object(200);
        let object = self.wait_for(account, &order.url, "valid").await;
        let order = Order { object, ..order };
        let answer = self.post_as_get(account, order.certificate()).await;
        assert_eq!(answer.status, 200, "{}", answer.shown());
        Issued { chain: certificates(answer.text()), order, key }
    }

    /// A certificate with everything that leads to it.
    pub(crate) async fn issued(&mut self, account: &Account, names: &[&str]) -> Issued {
        let order = self.ready(account, names).await;
        self.issue(account, order, names).await
    }

    /// Reads an object until it has this status.
    pub(crate) async fn wait_for(&mut self, account: &Account, url: &str, status: &str) -> Value {
        within(&format!("{url} is {status}"), async {
            loop {
                let object = self.read(account, url).await;
                if object["status"] == status {
                    return object;
                }
                let ended = ["valid", "invalid", "deactivated", "expired", "revoked"];
                assert!(!ended.iter().any(|end| object["status"] == *end), "wanted {status}: {object}");
                pause().await;
            }
        })
        .await
    }
}
