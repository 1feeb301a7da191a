//! A client that wants what is not its own, sends what is not to be sent, and ends what is under way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use acme::{AuthorizationStatus, Header, OrderObject, OrderStatus, ProblemType, Subproblem, sign};
use axum::http::Method;
use futures_util::future::join;
use pki::Serial;
use serde_json::json;

use super::honest::Came;
use super::{Session, Task, Trouble};
use crate::keys::{SubjectKey, of_account, of_certificate};
use crate::machine::BASE;
use crate::world::World;

/// Where its keys begin: nobody else uses what it says is compromised.
const OWN_KEYS: usize = 48;
/// So many foreign orders at once.
const OTHERS_MAX: usize = 3;

/// The whole life of the client.
pub(super) async fn run(world: &Arc<World>, task: &Task) {
    let mut session = Session::new(world, task.number, of_account(task.number));
    if session.register().await.is_none() {
        return;
    }
    let key = of_certificate(OWN_KEYS + task.number % 8);
    let mut last = None;
    for number in 0..=task.orders {
        let names = session.draw_names(task.number, number);
        match session.molest(&names, key, last).await {
            Ok(Some(serial)) => last = Some(serial),
            Ok(None) => {}
            // What it gets for itself is its own affair.
            Err(trouble) => session.tell(|| format!("does not get on: {trouble:?}")),
        }
        session.executor().sleep(Duration::from_secs(15)).await;
    }
}

impl Session {
    async fn molest(
        &mut self,
        names: &[String],
        key: &SubjectKey,
        last: Option<Serial>,
    ) -> Result<Option<Serial>, Trouble> {
        self.want_what_is_others(key).await;
        self.forge().await;
        self.replays_a_nonce().await?;
        let (url, order) = self.ready(names, None).await?;
        if order.status != OrderStatus::Ready {
            return Ok(None);
        }
        self.wrong_request(&order, key).await;
        let mut beside = self.beside(0);
        let delay = self.chance.time(Duration::ZERO, Duration::from_millis(self.chance.one_of(&[20, 300, 5_000])));
        let ends = self.chance.below(4);
        let (finalized, ()) = join(self.finalize(&order.finalize, names, key), async {
            beside.executor().sleep(delay).await;
            match (ends, last) {
                (0, _) => beside.deactivate_account().await,
                (1, _) => beside.deactivate_authorizations(&order).await,
                (2, Some(last)) => beside.compromise(last, key).await,
                _ => {}
            }
        })
        .await;
        finalized?;
        match self.end(&url).await? {
            Came::Certificate(serial) => Ok(Some(serial)),
            Came::Again | Came::OtherKey | Came::Never => Ok(None),
        }
    }

    async fn deactivate_account(&mut self) {
        let Some(kid) = self.kid.clone() else { return };
        self.tell(|| "deactivates its account".to_owned());
        if self.post(&kid, br#"{"status":"deactivated"}"#).await.is_err() {
            return;
        }
        let asked = json!({ "identifiers": [{"type": "dns", "value": "more.example.com"}] }).to_string();
        let answered = self.try_post(ca::urls::NEW_ORDER, asked.as_bytes()).await;
        self.world.auditor.must_not_be(answered.is_ok(), "an account that is told to be deactivated got an order");
    }

    async fn deactivate_authorizations(&mut self, order: &OrderObject) {
        self.tell(|| "deactivates its authorizations".to_owned());
        for url in &order.authorizations {
            if self.post(url, br#"{"status":"deactivated"}"#).await.is_err() {
                return;
            }
            let Ok(after) = self.object::<acme::AuthorizationObject>(url, b"").await else { return };
            let back = after.status != AuthorizationStatus::Deactivated;
            self.world.auditor.must_not_be(back, "an authorization that is told to be deactivated is not");
        }
    }

    /// revokeCert by the certificate's key (RFC 8555 §7.6): the key is blocked, while another certificate for it
    /// is made.
    async fn compromise(&mut self, serial: Serial, key: &SubjectKey) {
        self.tell(|| format!("says that the key of {serial} is compromised"));
        if self.revoke(serial, key).await.is_err() {
            return;
        }
        let names = ["after.compromise.example.com".to_owned()];
        let Ok((_, order)) = self.ready(&names, None).await else { return };
        if order.status == OrderStatus::Ready {
            let payload = json!({ "csr": Self::csr(&names, key) }).to_string();
            let answered = self.try_post(&order.finalize, payload.as_bytes()).await;
            self.world.auditor.must_not_be(answered.is_ok(), "a finalize with a key that is blocked was taken");
        }
    }

    async fn want_what_is_others(&mut self, key: &SubjectKey) {
        let Some(kid) = self.kid.clone() else { return };
        if let Some(der) = self.world.auditor.certificate_of_another(&kid) {
            let payload = json!({ "certificate": acme::base64url_encode(&der), "reason": 4 }).to_string();
            let answered = self.try_post(ca::urls::REVOKE_CERT, payload.as_bytes()).await;
            self.world.auditor.must_not_be(answered.is_ok(), "a client revoked the certificate of another");
            // Its key is not that of the certificate either.
            let answered = self.try_post_as(ca::urls::REVOKE_CERT, payload.as_bytes(), &key.signing, None).await;
            self.world.auditor.must_not_be(answered.is_ok(), "a key revoked the certificate of another");
        }
        for url in self.world.auditor.orders_of_others(&kid).into_iter().take(OTHERS_MAX) {
            let payload = json!({ "csr": Self::csr(&["other.example.com".to_owned()], key) }).to_string();
            let finalized = self.try_post(&format!("{url}/finalize"), payload.as_bytes()).await;
            let polled = self.try_post(&url, b"").await;
            let acknowledged = self.try_post(&format!("{url}/acknowledge"), b"{}").await;
            for (answered, what) in [(finalized, "finalized"), (polled, "read"), (acknowledged, "acknowledged")] {
                let what = format!("a client {what} the order of another: {url}");
                self.world.auditor.must_not_be(answered.is_ok(), &what);
            }
        }
    }

    /// Requests that are not what they seem: signed by another key, signed for another URL, no JWS at all.
    async fn forge(&mut self) {
        let Some(kid) = self.kid.clone() else { return };
        let answered = self.try_post_as(&kid, b"", &of_account(60), Some(&kid)).await;
        self.world.auditor.must_not_be(answered.is_ok(), "a request signed by another key was taken");
        let Ok(nonce) = self.nonce().await else { return };
        let url = format!("{BASE}{}", ca::urls::NEW_ORDER);
        let body = sign(&self.key, Header { nonce: Some(&nonce), url: &url, kid: Some(&kid) }, b"");
        let answered = self.send(Method::POST, &kid, body.clone()).await;
        let taken = answered.is_ok_and(|answer| answer.status < 400);
        self.world.auditor.must_not_be(taken, "a request signed for another URL was taken");
        let half = body[..self.chance.place(body.len())].to_vec();
        let answered = self.send(Method::POST, ca::urls::NEW_ORDER, half).await;
        let taken = answered.is_ok_and(|answer| answer.status < 400);
        self.world.auditor.must_not_be(taken, "half a request was taken");
    }

    /// Sends one request twice: its nonce is good once.
    pub(super) async fn replays_a_nonce(&mut self) -> Result<(), Trouble> {
        let nonce = self.nonce().await.map_err(|_| Trouble::NoAnswer)?;
        let account = self.kid.clone().unwrap_or_default();
        let header = || Header { nonce: Some(&nonce), url: &account, kid: Some(&account) };
        let mut taken = 0;
        for _ in 0..2 {
            let body = sign(&self.key, header(), b"");
            if self.send(Method::POST, &account, body).await.is_ok_and(|answer| answer.status < 400) {
                taken += 1;
            }
        }
        self.world.auditor.must_not_be(taken > 1, "a nonce was good twice");
        Ok(())
    }

    async fn wrong_request(&mut self, order: &OrderObject, key: &SubjectKey) {
        let payload = json!({ "csr": Self::csr(&["wrong.example.com".to_owned()], key) }).to_string();
        let ended = self.world.auditor.ended_stops();
        let answered = self.try_post(&order.finalize, payload.as_bytes()).await;
        self.world.auditor.must_not_be(answered.is_ok(), "a CSR for other names was taken");
        let Err(trouble) = answered else { return };
        let other = matches!(trouble, Trouble::Refused(_)) && !trouble.may_pass();
        let right =
            [ProblemType::BadCsr, ProblemType::BadPublicKey, ProblemType::OrderNotReady, ProblemType::Unauthorized];
        // An open order may have been lost with the workbench.
        let lost = matches!(&trouble, Trouble::Refused(problem) if problem.status == 404);
        if other && !lost && !self.refuses_stopped_names(&trouble, &ended) && !right.iter().any(|kind| trouble.is(kind))
        {
            self.world.auditor.must_not_be(true, &format!("a wrong CSR was refused as {trouble:?}"));
        }
    }

    /// Whether what is refused are names, and for each of them a stop stood since these had ended: what can't be issued
    /// is told first, whatever the CSR is like.
    fn refuses_stopped_names(&self, trouble: &Trouble, ended: &BTreeSet<u64>) -> bool {
        let Trouble::Refused(problem) = trouble else { return false };
        let stopped = |one: &Subproblem| {
            let name = one.identifier.as_ref().map(|identifier| identifier.value.as_str());
            one.kind == ProblemType::RejectedIdentifier
                && name.is_some_and(|name| self.world.auditor.name_was_stopped(name, ended))
        };
        problem.kind == ProblemType::RejectedIdentifier
            && !problem.subproblems.is_empty()
            && problem.subproblems.iter().all(stopped)
    }
}
