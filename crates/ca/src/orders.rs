//! What clients ask for about orders, authorizations, challenges and certificates (RFC 8555 §7.4, §7.5).

use std::collections::BTreeSet;
use std::time::Duration;

use acme::order::SUBPROBLEMS_MAX;
use acme::{ChallengeKind, OrderStatus, Problem, ProblemType, Verified, WireIdentifier};
use futures_util::future::{Either, select};
use pki::{Csr, GeneralName, KeyKind, PublicKey, Serial, Timestamp};

use crate::account::Account;
use crate::authority::Ca;
use crate::authorization::{Authorization, AuthorizationEnd, EndedAuthorization, Method};
use crate::error::{Answer, Error};
use crate::order::{Finalize, MoveRefused, Order, Outcome, Progress, Stage};
use crate::ports::{LeaseTerms, SerialRecord, StoreErrorKind, Stored};
use crate::signing::general_name;
use crate::{AuthorizationId, OrderId};

/// An authorization as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationView {
    /// The authorization, with what the ledger says of its end.
    pub authorization: Authorization,
    /// When it stops to count: its own expiry if it is valid, its order's otherwise.
    pub expires: Timestamp,
    /// Whether its order still waits for it.
    pub open: bool,
}

impl Ca {
    /// An order of this account, as the ledger and the workbench together say.
    ///
    /// # Errors
    /// `malformed` (404) if there is none, `unauthorized` if it is another account's.
    pub async fn order(&self, account: &Account, id: OrderId) -> Answer<Order> {
        let order = self.read_order(id).await?.ok_or_else(|| unknown("order"))?;
        if order.account != account.id {
            return Err(foreign("order"));
        }
        if order.is_over(self.now()) { self.end_by_time(order).await } else { Ok(order) }
    }

    /// What a client is told to be over has ended before, whatever another clock says, or this one later. A clock that
    /// has just leapt forward ends nothing, and nobody is told by it.
    async fn end_by_time(&self, order: Order) -> Answer<Order> {
        let (id, now) = (order.id, self.now());
        if self.clock_is_doubted() {
            return Err(Error::Failed(format!("the clock leapt forward: whether order {id} has expired is not known")));
        }
        if self.ledger_knew_better(id).await? {
            return self.read_order(id).await?.ok_or_else(|| unknown("order"));
        }
        let Some(failure) = order.cause_of_death(now) else { return Ok(order) };
        let ended = self.workbench.settle(id, &[], Some((Outcome::Invalid(failure), now))).await?;
        if ended.as_ref().is_some_and(|ended| ended.outcome().is_some()) {
            tracing::info!(order = %id, "its time is over");
        }
        ended.ok_or_else(|| unknown("order"))
    }

    /// As [`Ca::order`], but waits up to `wait` for the order to change, if it is one that we work on.
    ///
    /// # Errors
    /// As [`Ca::order`].
    pub async fn order_changed(&self, account: &Account, id: OrderId, wait: Duration) -> Answer<Order> {
        let until = self.clock.monotonic() + wait;
        loop {
            let changed = self.workbench.changed(id);
            let order = self.order(account, id).await?;
            let left = until.saturating_sub(self.clock.monotonic());
            if left.is_zero() || !self.is_at_work(&order) {
                return Ok(order);
            }
            if let Either::Right(_) = select(changed, self.clock.sleep(left)).await {
                return self.order(account, id).await;
            }
        }
    }

    /// Whether what comes next is ours to do, so that waiting makes sense.
    fn is_at_work(&self, order: &Order) -> bool {
        match order.status(self.now()) {
            OrderStatus::Processing => true,
            OrderStatus::Pending => order.authorizations.iter().any(|one| one.due().is_some()),
            OrderStatus::Ready | OrderStatus::Valid | OrderStatus::Invalid => false,
        }
    }

    /// What the stores know of an order. The ledger is asked after the workbench, and wins: what has ended there, or
    /// has an issuance there, is copied back, also where the workbench was rolled back to a time before.
    pub(crate) async fn read_order(&self, id: OrderId) -> Answer<Option<Order>> {
        let active = self.workbench.read(id).await;
        let known = self.ledger.order(id).await?;
        let active = match active {
            // What the ledger knows of it can be read.
            Err(error) if error.kind == StoreErrorKind::Corrupt && known.is_some() => None,
            active => active?,
        };
        let Some(known) = known else {
            let Some(active) = active else { return Ok(None) };
            let mut order = active.order;
            if order.stage() == Stage::TestChallenge {
                let ended = self.ledger.authorizations(&order.authorization_ids()).await?;
                order.copy_back(&ended);
                // What ended a reused authorization knew nothing of this order: a worker lets it die.
                if order.lost_a_reused_authorization(self.now()) {
                    self.workbench.settle(id, &ended, None).await?;
                }
            }
            return Ok(Some(order));
        };
        match (known.end, active) {
            (Some((end, ended)), active) => {
                let stale = active.as_ref().is_some_and(|active| active.order.stage() != Stage::Done);
                if stale {
                    self.workbench.settle(id, &[], Some((end.clone().into(), ended))).await?;
                }
                let mut order = known.order;
                let (delivered, acknowledged) = (known.delivered, known.acknowledged);
                order.progress = Progress::Done { outcome: end.into(), ended, delivered, acknowledged };
                Ok(Some(order))
            }
            (None, Some(active)) if active.order.stage() >= Stage::Issue => Ok(Some(active.order)),
            (None, _) => Ok(Some(self.bring_back(known.order).await?)),
        }
    }

    /// Asked before an order ends on the workbench by what stands there: whether the ledger knew better, since the
    /// workbench was rolled back. What has ended in the ledger has ended so, and what has an issuance there goes on.
    pub(crate) async fn ledger_knew_better(&self, id: OrderId) -> Stored<bool> {
        let Some(known) = self.ledger.order(id).await? else { return Ok(false) };
        match known.end {
            Some((end, ended)) => {
                self.workbench.settle(id, &[], Some((end.into(), ended))).await?;
            }
            None => {
                self.bring_back(known.order).await?;
            }
        }
        Ok(true)
    }

    /// The workbench was lost, or rolled back. The ledger has the order's finalize request: the order goes on.
    pub(crate) async fn bring_back(&self, order: Order) -> Stored<Order> {
        planted!(LostWithWorkbench { return Ok(order) });
        let terms = LeaseTerms { holder: self.instance, length: Duration::ZERO };
        match self.workbench.create(order.clone(), terms).await {
            Ok(_) => {
                tracing::warn!(order = %order.id, "the workbench did not know this order in issuance; the ledger did");
                Ok(order)
            }
            // Of two who ask for it at the same time, one brings it back.
            Err(error) => match self.workbench.read(order.id).await? {
                Some(active) => Ok(active.order),
                None => Err(error),
            },
        }
    }

    /// An authorization of this account.
    ///
    /// # Errors
    /// `malformed` (404) if there is none, `unauthorized` if it is another account's.
    pub async fn authorization(&self, account: &Account, id: AuthorizationId) -> Answer<AuthorizationView> {
        let active = self.workbench.read(id.order).await?;
        let ended = self.ledger.authorizations(&[id]).await?.pop();
        if let Some(mut order) = active.map(|active| active.order) {
            if order.account != account.id {
                return Err(foreign("authorization"));
            }
            order.copy_back(ended.as_slice());
            if order.is_over(self.now()) {
                order = self.end_by_time(order).await?;
            }
            if let Some(authorization) = order.authorizations.iter().find(|one| one.id == id).cloned() {
                let open = order.stage() == Stage::TestChallenge;
                let expires = match authorization.end {
                    Some(AuthorizationEnd::Valid { expires }) => expires,
                    Some(AuthorizationEnd::Invalid | AuthorizationEnd::Deactivated | AuthorizationEnd::Revoked)
                    | None => order.expires,
                };
                return Ok(AuthorizationView { authorization, expires, open });
            }
        }
        let ended = ended.ok_or_else(|| unknown("authorization"))?;
        if ended.account != account.id {
            return Err(foreign("authorization"));
        }
        Ok(ended_view(ended))
    }

    /// As [`Ca::authorization`], but waits up to `wait` for a change, if a challenge is being tested.
    ///
    /// # Errors
    /// As [`Ca::authorization`].
    pub async fn authorization_changed(
        &self,
        account: &Account,
        id: AuthorizationId,
        wait: Duration,
    ) -> Answer<AuthorizationView> {
        let until = self.clock.monotonic() + wait;
        loop {
            let changed = self.workbench.changed(id.order);
            let view = self.authorization(account, id).await?;
            let left = until.saturating_sub(self.clock.monotonic());
            if left.is_zero() || !view.open || view.authorization.due().is_none() {
                return Ok(view);
            }
            if let Either::Right(_) = select(changed, self.clock.sleep(left)).await {
                return self.authorization(account, id).await;
            }
        }
    }

    /// The client answers a challenge (RFC 8555 §7.5.1).
    ///
    /// # Errors
    /// `malformed` if there is no such challenge, or its authorization has ended.
    pub async fn answer(
        &self,
        account: &Account,
        id: AuthorizationId,
        kind: ChallengeKind,
    ) -> Answer<AuthorizationView> {
        let view = self.authorization(account, id).await?;
        let method = Method::from(kind);
        if view.authorization.challenge(method).is_none() {
            return Err(unknown("challenge"));
        }
        if view.authorization.end.is_some() || !view.open {
            return Err(Error::refused(
                ProblemType::Malformed,
                format!(
                    "the authorization for {} has ended: its challenges can't be answered any more; make a new order",
                    view.authorization.identifier
                ),
            ));
        }
        match self.workbench.answer(id, method, &[]).await? {
            Some(Ok(order)) => {
                let identifier = &view.authorization.identifier;
                tracing::info!(order = %order.id, %identifier, %method, "challenge answered");
                let answered = order.authorizations.into_iter().find(|one| one.id == id);
                Ok(AuthorizationView { authorization: answered.unwrap_or(view.authorization), ..view })
            }
            Some(Err(refused)) => Err(Error::refused(ProblemType::Malformed, format!("{refused}; make a new order"))),
            None => Err(unknown("challenge")),
        }
    }

    /// The client gives an authorization up (RFC 8555 §7.5.2): its order can't become `ready` any more.
    ///
    /// # Errors
    /// `malformed` if it has ended otherwise than `valid`.
    pub async fn deactivate_authorization(&self, account: &Account, id: AuthorizationId) -> Answer<AuthorizationView> {
        let view = self.authorization(account, id).await?;
        let stands = match view.authorization.end {
            Some(AuthorizationEnd::Valid { .. }) => self.ledger.deactivate_authorization(id, self.now()).await?,
            // Of an order that has ended too: of two given up side by side, the first ends the order of both.
            None => match self.ledger.authorize(given_up(account, &view, self.now())).await? {
                // A test that ended in this moment was first.
                EndedAuthorization { end: AuthorizationEnd::Valid { .. }, .. } => {
                    self.ledger.deactivate_authorization(id, self.now()).await?
                }
                stands => Some(stands),
            },
            Some(AuthorizationEnd::Invalid | AuthorizationEnd::Deactivated | AuthorizationEnd::Revoked) => {
                return Err(Error::refused(
                    ProblemType::Malformed,
                    "only a pending or valid authorization can be deactivated; this one has ended",
                ));
            }
        };
        let ended = stands.ok_or_else(|| unknown("authorization"))?;
        self.workbench.settle(id.order, std::slice::from_ref(&ended), None).await?;
        tracing::info!(authorization = %id, "authorization deactivated");
        Ok(ended_view(ended))
    }

    /// finalize (RFC 8555 §7.4). Answers at once: the order is `processing`.
    ///
    /// # Errors
    /// `orderNotReady`, `badCSR`, `badPublicKey`, and, while issuance is stopped for it, `serverInternal`,
    /// `rejectedIdentifier` or `unauthorized`; the order is as it was.
    pub async fn finalize(&self, account: &Account, id: OrderId, request: Verified) -> Answer<Order> {
        let order = self.order(account, id).await?;
        let status = order.status(self.now());
        let ready = status == OrderStatus::Ready || (status == OrderStatus::Processing && planted!(FinalizeTwice));
        if !ready {
            return Err(not_ready(&order, status));
        }
        self.require_clock().await?;
        self.require_issuance(&order).await?;
        let asked: acme::Finalize = request.json().map_err(|error| error.problem())?;
        self.check_profile(&order)?;
        let der = asked.csr_der()?;
        self.check_request(account, &order, &der).await?;
        let now = self.now();
        let finalize = Finalize { csr: der, jws: request.evidence(), received: now };
        let deadline = now.plus(self.settings.times.issue_deadline);
        let ended = self.ledger.authorizations(&order.authorization_ids()).await?;
        match self.workbench.finalize(id, finalize, deadline, &ended).await? {
            Some(Ok(order)) => {
                tracing::info!(order = %order.id, "finalize taken");
                Ok(order)
            }
            Some(Err(MoveRefused::NotReady(status))) => Err(not_ready(&order, status)),
            Some(Err(refused)) => Err(Error::refused(ProblemType::Malformed, refused.to_string())),
            None => Err(unknown("order")),
        }
    }

    /// A profile may have been taken out of service since the order was made (draft-ietf-acme-profiles).
    fn check_profile(&self, order: &Order) -> Answer<()> {
        let name = &order.profile;
        if self.settings.profile(name).is_some_and(|profile| profile.offered || order.method.is_some()) {
            return Ok(());
        }
        Err(Error::refused(
            ProblemType::InvalidProfile,
            format!("profile {name} is no longer offered; make a new order with one that the directory names"),
        ))
    }

    /// A CSR must ask for the order's names, all of them and no others, with a key of its own that is strong.
    async fn check_request(&self, account: &Account, order: &Order, der: &[u8]) -> Answer<()> {
        let bad = |detail: String| Error::refused(ProblemType::BadCsr, detail);
        let csr = Csr::parse(der).map_err(|error| bad(error.to_string()))?;
        let ordered: BTreeSet<GeneralName> = order.identifiers.iter().map(general_name).collect();
        if *csr.names() != ordered {
            return Err(differing_names(csr.names(), &ordered).into());
        }
        csr.public_key().check_strength().map_err(|weak| bad(weak.to_string()))?;
        if csr.public_key().kind() == KeyKind::Ed25519 {
            // Its signatures are known, so that accounts can have such keys; certificates can't (BR 6.1.5).
            return Err(bad(
                "Ed25519 keys are not accepted in certificates; use ECDSA P-256, P-384, P-521 or RSA".into()
            ));
        }
        let account_key = PublicKey::from_spki_der(&account.key.spki_der());
        if account_key.is_ok_and(|key| key == *csr.public_key()) {
            return Err(
                bad("the certificate's key is the account's key; use a key of its own (RFC 8555 §11.1)".into()),
            );
        }
        let profile = self.settings.profile(&order.profile);
        let pointer = profile.and_then(|profile| self.settings.ocsp_pointer(profile));
        if csr.wants_must_staple() && pointer.is_none() {
            return Err(bad(
                "the CSR asks for must-staple (RFC 7633), but certificates of this profile name no OCSP responder; \
                 leave it out"
                    .into(),
            ));
        }
        if self.ledger.is_blocked(csr.public_key().spki_hash()).await? {
            return Err(Error::refused(
                ProblemType::BadPublicKey,
                "this key is blocked, since it is known to be compromised; use a new one",
            ));
        }
        Ok(())
    }

    /// The certificate with this serial, if its order is this account's.
    ///
    /// # Errors
    /// `malformed` (404) if there is none, `unauthorized` if it is another account's.
    pub async fn certificate(&self, account: &Account, serial: Serial) -> Answer<SerialRecord> {
        let record = self.ledger.serial(serial).await?.ok_or_else(|| unknown("certificate"))?;
        if record.account != account.id {
            return Err(foreign("certificate"));
        }
        if record.certificate.is_none() || !record.attached {
            return Err(unknown("certificate"));
        }
        Ok(record)
    }

    /// The last byte of a certificate was handed to a socket. Nobody waits for the record of it.
    ///
    /// # Errors
    /// The stores could not be asked.
    pub async fn mark_delivered(&self, order: OrderId) -> Answer<()> {
        let now = self.now();
        self.workbench.delivered(order, now).await?;
        self.ledger.delivered(order, now).await?;
        Ok(())
    }

    /// The client says that it has its certificate, or proves it.
    ///
    /// # Errors
    /// `orderNotReady` if the order is not `valid`.
    pub async fn acknowledge(&self, account: &Account, id: OrderId) -> Answer<Order> {
        let order = self.order(account, id).await?;
        let status = order.status(self.now());
        if status != OrderStatus::Valid {
            return Err(Error::refused(
                ProblemType::OrderNotReady,
                format!("the order is {}: there is no certificate to acknowledge", status_name(status)),
            ));
        }
        self.acknowledged(id).await?;
        self.order(account, id).await
    }

    /// The client of an order is known to have its certificate.
    pub(crate) async fn acknowledged(&self, id: OrderId) -> Answer<()> {
        let now = self.now();
        self.ledger.acknowledged(id, now).await?;
        self.workbench.acknowledge(id, now).await?;
        tracing::info!(order = %id, "acknowledged");
        Ok(())
    }
}

fn ended_view(ended: EndedAuthorization) -> AuthorizationView {
    let expires = match ended.end {
        AuthorizationEnd::Valid { expires } => expires,
        AuthorizationEnd::Invalid | AuthorizationEnd::Deactivated | AuthorizationEnd::Revoked => ended.ended,
    };
    let EndedAuthorization { id, identifier, challenges, end, .. } = ended;
    let authorization = Authorization { id, identifier, challenges, end: Some(end) };
    AuthorizationView { authorization, expires, open: false }
}

fn given_up(account: &Account, view: &AuthorizationView, now: Timestamp) -> EndedAuthorization {
    EndedAuthorization {
        id: view.authorization.id,
        account: account.id,
        identifier: view.authorization.identifier.clone(),
        end: AuthorizationEnd::Deactivated,
        ended: now,
        challenges: view.authorization.challenges.clone(),
        validation: None,
        caa: None,
    }
}

/// Every name that is missing or added is a subproblem (RFC 8555 §6.7.1).
fn differing_names(asked: &BTreeSet<GeneralName>, ordered: &BTreeSet<GeneralName>) -> Problem {
    let list = |names: Vec<&GeneralName>| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let missing = list(ordered.difference(asked).take(10).collect());
    let added = list(asked.difference(ordered).take(10).collect());
    let detail = match (missing.is_empty(), added.is_empty()) {
        (false, false) => format!("the CSR lacks {missing} and adds {added}; it must ask for the order's identifiers"),
        (false, true) => format!("the CSR lacks {missing}; it must ask for all of the order's identifiers"),
        (true, _) => format!("the CSR adds {added}; it must ask for the order's identifiers and no others"),
    };
    let bad = |name: &GeneralName, what: &str| {
        let identifier = match name {
            GeneralName::Dns(name) => WireIdentifier { kind: "dns".to_owned(), value: name.clone() },
            GeneralName::Ip(address) => WireIdentifier { kind: "ip".to_owned(), value: address.to_string() },
        };
        Problem::new(ProblemType::BadCsr, what).subproblem(identifier)
    };
    let missing = ordered.difference(asked).map(|name| bad(name, "the order has it, and the CSR lacks it"));
    let added = asked.difference(ordered).map(|name| bad(name, "the CSR has it, and the order lacks it"));
    let subproblems = missing.chain(added).take(SUBPROBLEMS_MAX).collect();
    Problem::new(ProblemType::BadCsr, detail).with_subproblems(subproblems)
}

fn unknown(what: &str) -> Error {
    Problem::new(ProblemType::Malformed, format!("there is no such {what}")).with_status(404).into()
}

fn foreign(what: &str) -> Error {
    Error::refused(ProblemType::Unauthorized, format!("this {what} belongs to another account"))
}

fn not_ready(order: &Order, status: OrderStatus) -> Error {
    let name = status_name(status);
    let what = match status {
        OrderStatus::Pending => "answer a challenge of each authorization first".to_owned(),
        OrderStatus::Processing => "it was finalized already; poll it".to_owned(),
        OrderStatus::Valid => "it has its certificate; poll it".to_owned(),
        OrderStatus::Invalid | OrderStatus::Ready => "make a new order".to_owned(),
    };
    Error::refused(ProblemType::OrderNotReady, format!("order {} is {name}, not ready: {what}", order.id))
}

const fn status_name(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::Pending => "pending",
        OrderStatus::Ready => "ready",
        OrderStatus::Processing => "processing",
        OrderStatus::Valid => "valid",
        OrderStatus::Invalid => "invalid",
    }
}
