//! newOrder (RFC 8555 §7.4): what is asked for is checked, and becomes an order, or is found to be one already.

use std::collections::BTreeSet;
use std::time::Duration;

use acme::order::SUBPROBLEMS_MAX;
use acme::{CertificateIdentifier, Identifier, NewOrder, OrderStatus, Problem, ProblemType, Subproblem};

use crate::OrderId;
use crate::account::Account;
use crate::authority::Ca;
use crate::authorization::{AuthorizationEnd, EndedAuthorization, Method};
use crate::error::{Answer, Error};
use crate::order::{Order, Outcome, Progress, Stage};
use crate::ports::{Fenced, StoreErrorKind, Stored};
use crate::profile::Profile;
use crate::renewal::Predecessor;
use crate::validity::{AskedValidity, Bounds};

/// What has less than this left is not given to a new request: its client could be too late.
const LEFT_MIN: Duration = Duration::from_secs(3600);
/// What is reused beside authorizations that are still to be had has as much left as this, or as its order: an order
/// lives no longer than what it reuses, and its client may need days to set up challenges by hand.
const LEFT_BESIDE_PENDING_MIN: Duration = Duration::from_secs(86_400);

/// What an order is for.
struct Wanted {
    identifiers: Vec<Identifier>,
    profile: String,
    validity: AskedValidity,
    replaces: Option<CertificateIdentifier>,
    method: Option<Method>,
}

impl Ca {
    /// newOrder: stored, with its challenges made. Its maker acts like any worker: it has the lease. An open order of
    /// the account for the very same is answered again.
    ///
    /// # Errors
    /// `malformed`, `rejectedIdentifier`, `unsupportedIdentifier` (with a subproblem each), `invalidProfile`; for what
    /// it `replaces` also `unauthorized` and `alreadyReplaced`. While issuance is stopped for it: `serverInternal`,
    /// `rejectedIdentifier` or `unauthorized`.
    pub async fn new_order(&self, account: &Account, asked: &NewOrder) -> Answer<Order> {
        let identifiers = self.identifiers(asked)?;
        self.require_bound_names(account, &identifiers).await?;
        let profile = match &asked.profile {
            Some(name) => self.settings.profile(name).filter(|profile| profile.offered),
            None => self.settings.default_profile(),
        };
        let profile = profile.ok_or_else(|| self.no_profile(asked.profile.as_deref()))?;
        self.check_addresses(&identifiers, profile)?;
        let validity = self.asked_validity(asked, profile)?;
        let profile = profile.name.clone();
        let predecessor = self.predecessor(account, asked, &identifiers).await?;
        let replaces = predecessor.as_ref().map(|one| one.identifier.clone());
        let order = self.order_for(account, Wanted { identifiers, profile, validity, replaces, method: None });
        self.require_issuance(&order).await?;
        if let Some(open) = self.open_order_like(&order).await? {
            tracing::info!(order = %open.id, "asked for again");
            return Ok(open);
        }
        let Some(Predecessor { order: replaced, .. }) = predecessor else {
            return self.create_order(order).await;
        };
        let order = self.replacing_order(order).await?;
        // Who names a certificate in a signed request has it.
        if let Some(replaced) = replaced {
            self.acknowledged(replaced).await?;
        }
        Ok(order)
    }

    /// An order of the built-in account, for names of this CA's own servers.
    ///
    /// # Errors
    /// The stores could not be asked.
    pub async fn new_operator_order(
        &self,
        account: &Account,
        identifiers: BTreeSet<Identifier>,
        profile: &str,
    ) -> Answer<Order> {
        let wanted = Wanted {
            identifiers: identifiers.into_iter().collect(),
            profile: profile.to_owned(),
            validity: AskedValidity::default(),
            replaces: None,
            method: Some(Method::Operator),
        };
        self.create_order(self.order_for(account, wanted)).await
    }

    fn order_for(&self, account: &Account, wanted: Wanted) -> Order {
        let Wanted { identifiers, profile, validity, replaces, method } = wanted;
        let now = self.now();
        // RFC 3339 in whole seconds is what the client is told: it must not outlive that.
        let expires = now.whole_second().plus(self.settings.times.order_lifetime);
        let promised = self.settings.profile(&profile).and_then(|profile| validity.expires(profile));
        Order {
            id: OrderId::random(&*self.random),
            account: account.id,
            profile,
            identifiers,
            validity,
            replaces,
            method,
            created: now,
            expires: promised.map_or(expires, |promised| expires.min(promised)),
            authorizations: Vec::new(),
            progress: Progress::MakeChallenge,
        }
    }

    async fn create_order(&self, order: Order) -> Answer<Order> {
        let began = self.clock.monotonic();
        let lease = self.workbench.create(order.clone(), self.lease_terms(Stage::MakeChallenge)).await?;
        self.stage_done(order.id, Stage::MakeChallenge, began, "order taken");
        match self.make_challenges(&lease, order).await? {
            Ok(made) => match made.outcome() {
                Some(Outcome::Invalid(failure)) => Err(failure.problem.clone().into()),
                Some(Outcome::Valid(_)) | None => Ok(made),
            },
            Err(Fenced::Stale) => Err(Error::Failed("the order's challenges were not made in time".into())),
        }
    }

    /// An order that takes a certificate's place: of a request that was sent twice, even at the same time, both are
    /// answered with one order.
    async fn replacing_order(&self, order: Order) -> Answer<Order> {
        if let Some(open) = self.standing_replacement(&order).await? {
            tracing::info!(order = %open.id, "asked for again");
            return Ok(open);
        }
        match self.create_order(order.clone()).await {
            Err(Error::Refused(problem)) if problem.kind == ProblemType::AlreadyReplaced => {
                self.standing_replacement(&order).await?.ok_or(Error::Refused(problem))
            }
            made => made,
        }
    }

    fn identifiers(&self, asked: &NewOrder) -> Answer<Vec<Identifier>> {
        let max = self.settings.limits.names_per_order;
        if asked.identifiers.len() > max {
            return Err(Error::refused(
                ProblemType::Malformed,
                format!("{} identifiers, at most {max} are taken", asked.identifiers.len()),
            ));
        }
        let identifiers = asked.identifiers()?;
        self.require_permitted(&identifiers)?;
        Ok(identifiers.into_iter().collect())
    }

    /// Names that the operator denies: each with its subproblem (RFC 8555 §6.7.1).
    fn require_permitted(&self, identifiers: &BTreeSet<Identifier>) -> Answer<()> {
        let denied = |identifier: &Identifier| {
            let denied = self.settings.denied(identifier.name()?.as_str())?;
            let detail = format!("this CA issues no certificates for {denied} and names below it");
            Some(Problem::new(ProblemType::RejectedIdentifier, detail).subproblem(identifier.wire()))
        };
        let subproblems: Vec<Subproblem> = identifiers.iter().filter_map(denied).take(SUBPROBLEMS_MAX).collect();
        if subproblems.is_empty() {
            return Ok(());
        }
        Err(Problem::of_identifiers(subproblems).into())
    }

    /// IP addresses (RFC 8738) are for profiles that have them, and only such that control of them can be shown.
    fn check_addresses(&self, identifiers: &[Identifier], profile: &Profile) -> Answer<()> {
        let mut refused = Vec::new();
        for identifier in identifiers {
            let Identifier::Ip(address) = identifier else { continue };
            let problem = if profile.ip_addresses {
                let permitted = self.validator.permits_address(*address);
                permitted.err().map(|why| Problem::new(ProblemType::RejectedIdentifier, why))
            } else {
                let detail = format!("profile {} has no certificates for IP addresses; name another", profile.name);
                Some(Problem::new(ProblemType::RejectedIdentifier, detail))
            };
            refused.extend(problem.map(|problem| problem.subproblem(identifier.wire())));
        }
        refused.truncate(SUBPROBLEMS_MAX);
        if refused.is_empty() { Ok(()) } else { Err(Problem::of_identifiers(refused).into()) }
    }

    fn no_profile(&self, asked: Option<&str>) -> Error {
        let offered: Vec<&str> =
            self.settings.profiles.iter().filter(|one| one.offered).map(|one| one.name.as_str()).collect();
        let offered = offered.join(", ");
        let detail = match asked {
            Some(name) => {
                let name: String = name.chars().take(64).collect();
                format!("there is no profile {name:?}; offered are: {offered}")
            }
            None => format!("no default profile is configured; name one of: {offered}"),
        };
        Error::refused(ProblemType::InvalidProfile, detail)
    }

    fn asked_validity(&self, asked: &NewOrder, profile: &Profile) -> Answer<AskedValidity> {
        if asked.not_before.is_none() && asked.not_after.is_none() {
            return Ok(AskedValidity::default());
        }
        let issuer = self.issuer().ok_or_else(|| Error::Failed("this CA has no issuer".into()))?;
        let bounds = Bounds {
            profile,
            now: self.now(),
            order_lifetime: self.settings.times.order_lifetime,
            issuer: issuer.certificate.validity(),
        };
        Ok(AskedValidity::of(asked, bounds)?)
    }

    /// The account's newest order for the same, if it is `pending` or `ready` and has time enough left. Of two requests
    /// at the same time both may find none: then there are two orders, and either is as good. (With `replaces` there is
    /// one: [`Ca::standing_replacement`].)
    async fn open_order_like(&self, order: &Order) -> Answer<Option<Order>> {
        let Some(likeness) = order.likeness().filter(|_| self.settings.reuse.orders) else { return Ok(None) };
        let Some(found) = self.workbench.alike(likeness).await? else { return Ok(None) };
        let now = self.now();
        let found = match self.workbench.read(found).await {
            // One that can't be read is given to nobody.
            Err(error) if error.kind == StoreErrorKind::Corrupt => None,
            Err(error) => return Err(error.into()),
            Ok(_) => self.read_order(found).await?,
        };
        let open = found.filter(|open| {
            let status = open.status(now);
            open.account == order.account
                && matches!(status, OrderStatus::Pending | OrderStatus::Ready)
                && open.expires.since(now) >= LEFT_MIN
        });
        Ok(open)
    }

    /// Valid authorizations of the account that the order can take over: never another account's, nor one of a name for
    /// its wildcard (RFC 8555 §7.1.4). Each ends when the lifetime of now ends it, if that is earlier than what it was
    /// given when it became valid.
    pub(crate) async fn reusable_authorizations(&self, order: &Order) -> Stored<Vec<EndedAuthorization>> {
        let percent = self.settings.reuse.authorizations_percent;
        if order.method.is_some() || percent == 0 {
            return Ok(Vec::new());
        }
        let now = self.now();
        let (until, lifetime) = (now.plus(LEFT_MIN), self.settings.times.authorization_lifetime);
        let found = self.ledger.good_authorizations(order.account, &order.identifiers, until, until.minus(lifetime));
        let mut found = found.await?;
        for one in &mut found {
            if let AuthorizationEnd::Valid { expires } = &mut one.end {
                *expires = (*expires).min(one.ended.plus(lifetime));
            }
        }
        found.retain(|one| one.is_good(now) && self.drawn(percent));
        if found.len() < order.identifiers.len() {
            let enough = now.plus(LEFT_BESIDE_PENDING_MIN).min(order.expires);
            found.retain(|one| one.end.is_good(enough));
        }
        Ok(found)
    }

    /// Comes true so many times of a hundred.
    fn drawn(&self, percent: u8) -> bool {
        if percent >= 100 {
            return true;
        }
        let mut octets = [0; 4];
        self.random.fill(&mut octets);
        u32::from_be_bytes(octets) % 100 < u32::from(percent)
    }
}
