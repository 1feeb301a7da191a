//! A client that goes on once it has its certificate: it renews as it is told to, revokes, and changes its account's
//! key.

use std::sync::Arc;
use std::time::Duration;

use acme::{CertificateIdentifier, Header, KeyChange, RenewalInfo, base64url_encode, sign};
use axum::http::Method;
use ca::ports::Ledger;
use pki::{Certificate, Serial};
use serde_json::json;

use super::{Session, Task, Trouble};
use crate::audit::now;
use crate::keys::{SubjectKey, of_account, of_certificate};
use crate::machine::BASE;
use crate::world::World;

/// The second key of an account stands so far behind its first.
const NEW_KEYS: usize = 32;
/// Nobody asks more often for renewal information.
const ASKS_MAX: u32 = 60;

/// The whole life of the client.
pub(super) async fn run(world: &Arc<World>, task: &Task) {
    let mut session = Session::new(world, task.number, of_account(task.number));
    if session.register().await.is_none() {
        return;
    }
    for number in 0..task.orders {
        let names = session.draw_names(task.number, number);
        let first = task.number * 8 + number as usize;
        let Some(mut serial) = session.certificate(&names, of_certificate(first), None).await else { return };
        let mut key = of_certificate(first);
        if number == 0 && session.chance.happens(400) {
            session.change_key(task.number + NEW_KEYS).await;
        }
        if session.chance.happens(500) {
            key = of_certificate(first + 4);
            let Some(renewed) = session.renew(serial, &names, key).await else { return };
            serial = renewed;
        }
        if session.chance.happens(500) {
            session.give_up(serial, key).await;
        }
    }
}

impl Session {
    /// The certificate of a serial, in DER.
    pub(super) fn der(&self, serial: Serial) -> Vec<u8> {
        let record = now(self.world.stores.ledger.serial(serial)).ok().flatten();
        record.and_then(|record| record.certificate).unwrap_or_default()
    }

    /// A certificate with the same names that takes the place of this one.
    async fn renew(&mut self, serial: Serial, names: &[String], key: &SubjectKey) -> Option<Serial> {
        let certificate = Certificate::from_der(&self.der(serial)).ok()?;
        let authority = certificate.authority_key_identifier()?.to_vec();
        let identifier = CertificateIdentifier::new(authority, serial.as_bytes()).ok()?.to_string();
        for _ in 0..ASKS_MAX {
            if let Ok(info) = self.renewal_info(&identifier).await {
                let (start, end) = (info.suggested_window.start, info.suggested_window.end);
                self.world.auditor.must_not_be(start >= end, "a renewal window ends before it begins");
                break;
            }
            self.executor().sleep(Duration::from_secs(20)).await;
        }
        self.tell(|| "renews its certificate".to_owned());
        self.certificate(names, key, Some(identifier)).await
    }

    async fn renewal_info(&mut self, identifier: &str) -> Result<RenewalInfo, Trouble> {
        let url = format!("{}/{identifier}", ca::urls::RENEWAL_INFO);
        let answer = self.send(Method::GET, &url, Vec::new()).await.map_err(|_| Trouble::NoAnswer)?;
        if answer.status == 200 { super::session::read(&answer) } else { Err(Trouble::NoAnswer) }
    }

    /// keyChange (RFC 8555 §7.3.5): once it is told to be done, the old key is good for nothing.
    async fn change_key(&mut self, number: usize) {
        let (new, Some(kid)) = (of_account(number), self.kid.clone()) else { return };
        let change = KeyChange { account: kid.clone(), old_key: self.key.jwk().clone() };
        let url = format!("{BASE}{}", ca::urls::KEY_CHANGE);
        let payload = serde_json::to_vec(&change).expect("a key change has a JSON form");
        let inner = sign(&new, Header { nonce: None, url: &url, kid: None }, &payload);
        let answered = self.post(&url, &inner).await;
        let old = std::mem::replace(&mut self.key, new);
        match answered {
            Ok(_) => self.tell(|| "has a new account key".to_owned()),
            // It may have been done, and nobody was told.
            Err(trouble) => {
                if let Err(Trouble::Refused(_)) = self.post(&kid, b"").await {
                    self.tell(|| format!("keeps its account key: {trouble:?}"));
                    self.key = old;
                    return;
                }
            }
        }
        let answered = self.try_post_as(&kid, b"", &old, Some(&kid)).await;
        self.world.auditor.must_not_be(answered.is_ok(), "an account key that was replaced is still good");
    }

    /// Revokes a certificate of its own, by its account or by its key.
    async fn give_up(&mut self, serial: Serial, key: &SubjectKey) {
        self.tell(|| format!("revokes {serial}"));
        if self.chance.happens(500) {
            // What comes of it the auditor knows.
            let _revoked = self.revoke(serial, key).await;
            return;
        }
        let payload = json!({ "certificate": base64url_encode(&self.der(serial)), "reason": 4 }).to_string();
        match self.post(ca::urls::REVOKE_CERT, payload.as_bytes()).await {
            Ok(_) => self.world.auditor.told_revoked(serial),
            Err(trouble) if trouble.is(&acme::ProblemType::AlreadyRevoked) => self.world.auditor.told_revoked(serial),
            Err(trouble) => self.tell(|| format!("could not revoke: {trouble:?}")),
        }
    }
}
