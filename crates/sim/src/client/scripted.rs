//! Clients that follow a script: each leads to what a plain order never meets.

use std::sync::Arc;
use std::time::Duration;

use acme::{
    AuthorizationObject, AuthorizationStatus, ChallengeKind, OrderObject, OrderStatus, ProblemType, base64url_encode,
};
use ca::ports::{AuditEvent, AuditLog, Clock, Ledger, Revocation, SerialFilter, SerialRecord, SerialStatus, StopScope};
use futures_util::future::join;
use pki::{Reason, Serial};
use serde_json::json;

use super::{Session, Task, Trouble};
use crate::audit::now;
use crate::client::session::read;
use crate::keys::{SubjectKey, of_account, of_certificate};
use crate::operators::Operator;
use crate::world::World;

/// What a client sets out to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Revokes its certificate as compromised while a second one with the same key is being issued.
    Revokes,
    /// Waits before it finalizes, until checks are stale and authorizations about to expire.
    Waits,
    /// Deactivates its account, and asks for more.
    Leaves,
    /// Sends what is to be sent once twice: finalize, with two keys, and a nonce.
    Repeats,
    /// Asks for names that it can't show, or for which another CA is named.
    Intrudes,
    /// Goes on while the workbench is lost.
    LosesWorkbench,
    /// Finalizes while an operator stops issuance, which goes on later.
    Stopped,
}

/// The whole life of the client.
pub(super) async fn run(world: &Arc<World>, task: &Task, script: Script) {
    let mut session = Session::new(world, task.number, of_account(task.number));
    if session.register().await.is_none() {
        return;
    }
    let ended = match script {
        Script::Revokes => session.revokes().await,
        Script::Waits => session.waits().await,
        Script::Leaves => session.leaves().await,
        Script::Repeats => session.repeats().await,
        Script::Intrudes => session.intrudes().await,
        Script::LosesWorkbench => session.loses_workbench().await,
        Script::Stopped => session.is_stopped().await,
    };
    match ended {
        Err(Trouble::Nonsense(what)) => session.world.auditor.found(8, format!("{}: {what}", session.name)),
        Err(trouble) => session.tell(|| format!("gives its script up: {trouble:?}")),
        Ok(()) => {}
    }
}

const FIRST: usize = 8;

impl Session {
    /// An order that is `ready`, with its URL.
    async fn ready_order(&mut self, name: &str) -> Result<(String, OrderObject), Trouble> {
        let asked = json!({ "identifiers": [{"type": "dns", "value": name}] });
        let sent = self.executor().now();
        let made = self.post(ca::urls::NEW_ORDER, asked.to_string().as_bytes()).await?;
        let url = made.header("location").ok_or_else(|| Trouble::Nonsense("an order has no URL".into()))?.to_owned();
        let order: OrderObject = read(&made)?;
        self.told(&url, &order, sent);
        for authorization in &order.authorizations {
            self.answer(authorization).await?;
        }
        let order = self.poll(&url, &[OrderStatus::Pending]).await?;
        Ok((url, order))
    }

    /// Finalizes and waits: the serial of the certificate, if there is one.
    async fn issued_order(&mut self, url: &str, name: &str, key: &SubjectKey) -> Result<Option<Serial>, Trouble> {
        self.finalize(&format!("{url}/finalize"), &[name.to_owned()], key).await?;
        let order = self.poll(url, &[OrderStatus::Ready, OrderStatus::Processing]).await?;
        let Some(certificate) = order.certificate.clone() else { return Ok(None) };
        self.download(&certificate, &order).await?;
        Ok(certificate.rsplit('/').next().and_then(|serial| Serial::parse(serial).ok()))
    }

    async fn revokes(&mut self) -> Result<(), Trouble> {
        let key = of_certificate(FIRST);
        let (url, _) = self.ready_order("first.example.com").await?;
        let Some(serial) = self.issued_order(&url, "first.example.com", key).await? else { return Ok(()) };
        let (second, _) = self.ready_order("second.example.com").await?;
        let csr = json!({ "csr": Self::csr(&["second.example.com".to_owned()], key) }).to_string();
        let mut other = Self::new(&self.world, 100, Arc::clone(&self.key));
        // Sooner or later in the midst of the issuance: the seed says when.
        let offset = Duration::from_millis(500) * u32::try_from(self.world.seed % 12).unwrap_or(0);
        let (finalized, revoked) = join(self.post(&format!("{second}/finalize"), csr.as_bytes()), async {
            other.executor().sleep(offset).await;
            other.revoke(serial, key).await
        })
        .await;
        let (_finalized_or_refused, ()) = (finalized, revoked?);
        let records = &self.world.stores.ledger;
        let revoked = now(records.serial(serial)).ok().flatten();
        let revoked = revoked.is_some_and(|record| record.status == SerialStatus::Revoked);
        if !revoked {
            self.world.auditor.found(9, format!("{serial} was told to be revoked, and is not"));
        }
        let order = self.poll(&second, &[OrderStatus::Ready, OrderStatus::Processing]).await?;
        self.tell(|| format!("its second order is {:?}", order.status));
        let (third, _) = self.ready_order("third.example.com").await?;
        let csr = json!({ "csr": Self::csr(&["third.example.com".to_owned()], key) }).to_string();
        match self.post(&format!("{third}/finalize"), csr.as_bytes()).await {
            Ok(_) => self.world.auditor.found(12, "a finalize with a key that is blocked was taken".to_owned()),
            Err(trouble) => self.tell(|| format!("its blocked key is not taken: {trouble:?}")),
        }
        self.sees_operator_revoke().await
    }

    /// An operator revokes a serial while it is being issued, as `Ca::revoke` does.
    async fn sees_operator_revoke(&mut self) -> Result<(), Trouble> {
        let (url, _) = self.ready_order("fourth.example.com").await?;
        let (world, machine) = (Arc::clone(&self.world), Arc::clone(&self.world.machines[0]));
        let csr =
            json!({ "csr": Self::csr(&["fourth.example.com".to_owned()], of_certificate(FIRST + 2)) }).to_string();
        self.post(&format!("{url}/finalize"), csr.as_bytes()).await?;
        let waiting = || SerialFilter { status: Some(SerialStatus::Wait), ..SerialFilter::default() };
        for _ in 0..1_000 {
            let begun = now(world.stores.ledger.serials(waiting(), 10)).unwrap_or_default().pop();
            if let Some(SerialRecord { serial, current: true, .. }) = begun {
                let (reason, revoked, by) =
                    (Reason::CessationOfOperation, machine.clock.now().whole_second(), "operator");
                let event = AuditEvent::Revocation { serial, reason, revoked, by: by.to_owned() };
                // The stores in memory don't fail.
                let _line = now(machine.audit.append(event)).map(|line| machine.audit.applied(line));
                let _revoked =
                    now(world.stores.ledger.revoke(Revocation { serial, reason, revoked, by: by.to_owned() }));
                world.auditor.look();
                break;
            }
            self.executor().sleep(Duration::from_millis(10)).await;
        }
        let order = self.poll(&url, &[OrderStatus::Ready, OrderStatus::Processing]).await?;
        self.tell(|| format!("its fourth order is {:?}", order.status));
        Ok(())
    }

    /// Sooner or later in the midst of an issuance: the seed says when, and for what.
    async fn is_stopped(&mut self) -> Result<(), Trouble> {
        const NAME: &str = "stopped.example.com";
        let (url, _) = self.ready_order(NAME).await?;
        let account = self.kid.as_deref().and_then(|kid| kid.rsplit('/').next()).and_then(|id| id.parse().ok());
        let name = acme::DnsName::parse("example.com").ok();
        let scopes = [
            Some(StopScope::All),
            account.map(StopScope::Account),
            name.map(StopScope::Name),
            self.world.settings.profiles.first().map(|profile| StopScope::Profile(profile.name.clone())),
        ];
        let seed = usize::try_from(self.world.seed).unwrap_or(0);
        let scope = scopes[seed % scopes.len()].clone().ok_or_else(|| Trouble::Nonsense("no account".to_owned()))?;
        let (operator, executor) = (Operator::new(&self.world, "a stop"), self.executor().clone());
        let offset = Duration::from_millis(400) * u32::try_from(seed % 11).unwrap_or(0);
        let csr = json!({ "csr": Self::csr(&[NAME.to_owned()], of_certificate(FIRST)) }).to_string();
        let finalize = format!("{url}/finalize");
        let (finalized, ()) = join(self.post(&finalize, csr.as_bytes()), async {
            executor.sleep(offset).await;
            operator.stop(&scope).await;
            executor.sleep(Duration::from_secs(30)).await;
            operator.go_on(&scope).await;
        })
        .await;
        self.tell(|| format!("its finalize was {}", if finalized.is_ok() { "taken" } else { "not taken" }));
        if let Err(Trouble::Refused(_)) = finalized {
            // It was told that it is stopped, and is told that it goes on; or it was taken, and the answer got lost.
            let _taken = self.post(&finalize, csr.as_bytes()).await;
        }
        let order = self.poll(&url, &[OrderStatus::Ready, OrderStatus::Processing]).await?;
        if order.status == OrderStatus::Valid {
            return Ok(());
        }
        let (again, _) = self.ready_order(NAME).await?;
        if self.issued_order(&again, NAME, of_certificate(FIRST)).await?.is_none() {
            self.world.auditor.found(8, "issuance goes on, and an order did not".to_owned());
        }
        Ok(())
    }

    pub(super) async fn revoke(&mut self, serial: Serial, key: &SubjectKey) -> Result<(), Trouble> {
        let record = now(self.world.stores.ledger.serial(serial)).ok().flatten();
        let der = record.and_then(|record| record.certificate).unwrap_or_default();
        let payload = json!({ "certificate": base64url_encode(&der), "reason": 1 }).to_string();
        for _ in 0..60 {
            match self.try_post_as(ca::urls::REVOKE_CERT, payload.as_bytes(), &key.signing, None).await {
                Ok(_) => {
                    self.world.auditor.told_revoked(serial);
                    return Ok(());
                }
                // It was done, and nobody was told.
                Err(trouble) if trouble.is(&ProblemType::AlreadyRevoked) => {
                    self.world.auditor.told_revoked(serial);
                    return Ok(());
                }
                Err(trouble) if trouble.may_pass() => self.executor().sleep(Duration::from_secs(1)).await,
                Err(trouble) => return Err(trouble),
            }
        }
        Err(Trouble::NoAnswer)
    }

    async fn waits(&mut self) -> Result<(), Trouble> {
        let (url, _) = self.ready_order("slow.example.com").await?;
        self.executor().sleep(Duration::from_millis(29_900)).await;
        self.issued_order(&url, "slow.example.com", of_certificate(FIRST)).await?;
        Ok(())
    }

    async fn leaves(&mut self) -> Result<(), Trouble> {
        self.ready_order("left.example.com").await?;
        let account = self.kid.clone().unwrap_or_default();
        match self.post(&account, br#"{"status":"deactivated"}"#).await {
            // It was done, and nobody was told.
            Ok(_) | Err(Trouble::Refused(_)) => {}
            Err(trouble) => return Err(trouble),
        }
        let asked = json!({ "identifiers": [{"type": "dns", "value": "more.example.com"}] });
        if self.post(ca::urls::NEW_ORDER, asked.to_string().as_bytes()).await.is_ok() {
            self.world.auditor.found(9, "an account that was told to be deactivated got an order".to_owned());
        }
        Ok(())
    }

    async fn repeats(&mut self) -> Result<(), Trouble> {
        let (url, _) = self.ready_order("twice.example.com").await?;
        let finalize = format!("{url}/finalize");
        let name = ["twice.example.com".to_owned()];
        let keys = [of_certificate(FIRST), of_certificate(FIRST + 1)];
        let bodies = keys.map(|key| json!({ "csr": Self::csr(&name, key) }).to_string());
        let mut other = Self::new(&self.world, 100, Arc::clone(&self.key));
        other.kid.clone_from(&self.kid);
        let (one, two) =
            join(self.try_post(&finalize, bodies[0].as_bytes()), other.try_post(&finalize, bodies[1].as_bytes())).await;
        let taken: Vec<&SubjectKey> =
            keys.into_iter().zip([one.is_ok(), two.is_ok()]).filter(|(_, taken)| *taken).map(|(key, _)| key).collect();
        if taken.len() > 1 {
            self.world.auditor.found(3, "two finalize requests for one order were taken".to_owned());
        }
        let serial = match self.issued_order(&url, &name[0], keys[0]).await? {
            Some(serial) => serial,
            None => return Ok(()),
        };
        let record = now(self.world.stores.ledger.serial(serial)).ok().flatten();
        if let ([key], Some(record)) = (taken.as_slice(), record)
            && record.spki_hash != key.pair.public_key().spki_hash()
        {
            self.world.auditor.found(3, "a certificate has not the key of the finalize that was taken".to_owned());
        }
        self.replays_a_nonce().await
    }

    async fn intrudes(&mut self) -> Result<(), Trouble> {
        self.world.internet.forbid("other.example.com", true);
        let (url, order) = self.ready_order("other.example.com").await?;
        if order.status == OrderStatus::Ready {
            let serial = self.issued_order(&url, "other.example.com", of_certificate(FIRST)).await?;
            if serial.is_some() {
                self.world.auditor.found(7, "a certificate was issued against CAA".to_owned());
            }
        }
        let asked = json!({ "identifiers": [{"type": "dns", "value": "foreign.example.com"}] });
        let made = self.post(ca::urls::NEW_ORDER, asked.to_string().as_bytes()).await?;
        let order: OrderObject = read(&made)?;
        for url in &order.authorizations {
            let authorization: AuthorizationObject = self.object(url, b"").await?;
            for challenge in authorization.challenges.iter().filter(|one| one.kind == ChallengeKind::Dns01) {
                self.post(&challenge.url, b"{}").await?;
            }
            self.executor().sleep(Duration::from_secs(120)).await;
            let authorization: AuthorizationObject = self.object(url, b"").await?;
            if authorization.status == AuthorizationStatus::Valid {
                self.world.auditor.found(7, "what was never shown is authorized".to_owned());
            }
        }
        Ok(())
    }

    async fn loses_workbench(&mut self) -> Result<(), Trouble> {
        let world = Arc::clone(&self.world);
        let (url, _) = self.ready_order("lost.example.com").await?;
        let empty = store::memory::MemoryWorkbench::new(
            Arc::new(world.machines[0].clock.clone()),
            Arc::new(crate::chance::Chance::new(world.seed, "lost")),
            1,
        );
        let body = json!({ "csr": Self::csr(&["lost.example.com".to_owned()], of_certificate(FIRST)) }).to_string();
        self.post(&format!("{url}/finalize"), body.as_bytes()).await?;
        let id = url.rsplit('/').next().and_then(|id| id.parse().ok());
        let id: ca::OrderId = id.ok_or_else(|| Trouble::Nonsense(format!("{url} names no order")))?;
        for _ in 0..10_000 {
            if now(world.stores.ledger.order(id)).is_ok_and(|known| known.is_some()) {
                break;
            }
            self.executor().give_way().await;
        }
        let known = now(world.stores.ledger.order(id)).is_ok_and(|known| known.is_some());
        if let Some(node) = world.machines[0].node().filter(|_| known) {
            world.story.tell(|| "the workbench is lost, with the process".to_owned());
            self.executor().kill(node);
            world.stores.workbench.restore(&empty.image());
        }
        match self.post(&url, b"").await {
            Err(Trouble::Refused(problem)) if known && problem.status == 404 => {
                world.auditor.found(9, format!("{url} is known to the ledger, and the client is told it is not"));
            }
            Err(trouble) => return Err(trouble),
            Ok(_) => {
                let order = self.poll(&url, &[OrderStatus::Processing]).await?;
                if known && order.status != OrderStatus::Valid {
                    world.auditor.found(8, format!("{url} came back, and is {:?}", order.status));
                }
            }
        }
        Ok(())
    }
}
