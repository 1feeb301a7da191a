//! Renewals (RFC 9773): when a certificate should be renewed, how an operator moves that, and which order takes the
//! place of which certificate.

use std::time::Duration;

use acme::{
    CertificateIdentifier, Identifier, NewOrder, OrderStatus, Problem, ProblemType, RenewalInfo, SuggestedWindow,
};
use futures_util::future::select;
use pki::{Certificate, GeneralName, Serial, Timestamp, Validity};

use crate::OrderId;
use crate::account::Account;
use crate::authority::Ca;
use crate::error::{Answer, Error};
use crate::order::{Order, Stage};
use crate::ports::{LedgerEnd, RenewalAdvice, RenewalRule, RenewalScope, SerialRecord, StoreErrorKind, Stored};
use crate::signing::general_name;

/// Each look at renewal information goes through all rules for sets: so many may stand.
const RULES_FOR_SETS_MAX: u32 = 100;
/// What lives no longer than this is renewed at half of its life, all else at two thirds.
const SHORT_LIVED: Duration = Duration::from_secs(10 * 86_400);
/// How long a request that was sent twice waits for the order that the first is making.
const MAKING_MAX: Duration = Duration::from_secs(5);
/// How long before a revocation the window of what is revoked begins.
const BEFORE_REVOCATION: Duration = Duration::from_secs(3600);

/// What is answered of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenewalAnswer {
    /// Renewal information.
    Info(RenewalInfo),
    /// A document that somebody gave for it: see [`RenewalAdvice::Document`].
    Document(String),
}

/// What moving windows did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The rule that was made.
    pub rule: RenewalRule,
    /// How many certificates it is for that are neither over nor revoked.
    pub certificates: u64,
}

/// A certificate that an order takes the place of, once that order is there.
pub(crate) struct Predecessor {
    pub(crate) identifier: CertificateIdentifier,
    pub(crate) order: Option<OrderId>,
}

/// The window within which a certificate should be renewed: around two thirds of its life, or half if it is short, and
/// a twenty-fifth of it wide, so that those made at one time are not renewed at one time.
pub fn suggested_window(validity: Validity) -> (Timestamp, Timestamp) {
    // Both ends count (RFC 5280 §4.1.2.5).
    let life = validity.not_after.since(validity.not_before) + Duration::from_secs(1);
    let middle = if life <= SHORT_LIVED { life / 2 } else { life * 2 / 3 };
    let margin = (life / 50).max(Duration::from_secs(1));
    let start = validity.not_before.plus(middle.saturating_sub(margin)).whole_second();
    (start, validity.not_before.plus(middle + margin).whole_second().max(start.plus(Duration::from_secs(1))))
}

impl Ca {
    /// When a certificate should be renewed. A revoked one: before now; else what the newest rule for it says; else
    /// what follows from its life.
    ///
    /// # Errors
    /// `malformed`, with 404 for a certificate that this CA did not issue.
    pub async fn renewal_info(&self, identifier: &CertificateIdentifier) -> Answer<RenewalAnswer> {
        let Some((record, certificate)) = self.named(identifier).await? else {
            let detail = format!("this CA did not issue a certificate {identifier}");
            return Err(Problem::new(ProblemType::Malformed, detail).with_status(404).into());
        };
        let rules = self.ledger.renewal_rules_for(record.serial).await?;
        let has_name = |name: &str| certificate.names().iter().any(|one| one.to_string() == name);
        let rule = rules.into_iter().find(|rule| record.begun < rule.made && rule.scope.covers(&record, has_name));
        let (moved, explanation_url) = match rule.map(|rule| rule.advice) {
            Some(RenewalAdvice::Document { json }) => return Ok(RenewalAnswer::Document(json)),
            Some(RenewalAdvice::Window { start, end, explanation_url }) => (Some((start, end)), explanation_url),
            None => (None, None),
        };
        let revoked = record.revocation.map(|one| (one.revoked.minus(BEFORE_REVOCATION), one.revoked));
        let (start, end) = revoked.or(moved).unwrap_or_else(|| suggested_window(certificate.validity()));
        let suggested_window = SuggestedWindow { start: start.to_rfc3339(), end: end.to_rfc3339() };
        Ok(RenewalAnswer::Info(RenewalInfo { suggested_window, explanation_url }))
    }

    /// The certificate of this name: one that was signed and stored, not a mere precertificate.
    async fn named(&self, identifier: &CertificateIdentifier) -> Answer<Option<(SerialRecord, Certificate)>> {
        let serial = Serial::from_der_integer(identifier.serial()).ok_or_else(|| {
            Error::refused(
                ProblemType::Malformed,
                "the second part is no serial number: expected the content octets of its DER INTEGER (RFC 9773 §4.1)",
            )
        })?;
        let Some(record) = self.ledger.serial(serial).await? else { return Ok(None) };
        let Some(der) = &record.certificate else { return Ok(None) };
        let certificate = Certificate::from_der(der)
            .map_err(|error| Error::Failed(format!("the certificate {serial} can't be read: {error}")))?;
        if certificate.authority_key_identifier() != Some(identifier.authority_key_identifier()) {
            return Ok(None);
        }
        Ok(Some((record, certificate)))
    }

    /// Moves the windows of all certificates of a scope that exist now, by one rule. The newest rule for a certificate
    /// counts.
    ///
    /// # Errors
    /// `malformed` for a window that ends before it starts, or if too many rules for sets stand.
    pub async fn move_renewals(&self, scope: RenewalScope, advice: RenewalAdvice) -> Answer<Moved> {
        if let RenewalAdvice::Window { start, end, .. } = &advice
            && start >= end
        {
            let detail = format!("the window starts at {start} and ends at {end}; it must end after its start");
            return Err(Error::refused(ProblemType::Malformed, detail));
        }
        let now = self.now();
        let certificates = self.ledger.count_renewals(scope.clone(), now).await?;
        let rule = self.ledger.add_renewal_rule(scope, advice, now, RULES_FOR_SETS_MAX).await?.ok_or_else(|| {
            let detail = format!("{RULES_FOR_SETS_MAX} rules for sets stand, the most there may be; undo one first");
            Error::refused(ProblemType::Malformed, detail)
        })?;
        tracing::info!(rule = rule.number, certificates, "renewal windows moved");
        Ok(Moved { rule, certificates })
    }

    /// Takes a rule back: `false` if there is none of this number, or it was taken back before.
    ///
    /// # Errors
    /// The ledger could not be asked.
    pub async fn withdraw_renewal_rule(&self, number: u64) -> Answer<bool> {
        let withdrawn = self.ledger.withdraw_renewal_rule(number, self.now()).await?;
        if withdrawn {
            tracing::info!(rule = number, "rule for renewals taken back");
        }
        Ok(withdrawn)
    }

    /// Answers a document, right or wrong, for one certificate from now on, in place of one given before: for tests of
    /// ACME clients. `None`: what is true again.
    ///
    /// # Errors
    /// The ledger could not be asked.
    pub async fn override_renewal_info(&self, serial: Serial, document: Option<String>) -> Answer<()> {
        for rule in self.ledger.renewal_rules_for(serial).await? {
            if rule.scope.serial == Some(serial) && matches!(rule.advice, RenewalAdvice::Document { .. }) {
                self.ledger.withdraw_renewal_rule(rule.number, self.now()).await?;
            }
        }
        if let Some(json) = document {
            let scope = RenewalScope { serial: Some(serial), ..RenewalScope::default() };
            // A rule is for what began before it.
            let made = self.now().plus(Duration::from_millis(1));
            let advice = RenewalAdvice::Document { json };
            self.ledger.add_renewal_rule(scope, advice, made, RULES_FOR_SETS_MAX).await?;
        }
        Ok(())
    }

    /// The certificate that newOrder names in `replaces` (RFC 9773 §5).
    ///
    /// # Errors
    /// `malformed`, `unauthorized` for another account's, `alreadyReplaced`.
    pub(crate) async fn predecessor(
        &self,
        account: &Account,
        asked: &NewOrder,
        identifiers: &[Identifier],
    ) -> Answer<Option<Predecessor>> {
        let Some(text) = &asked.replaces else { return Ok(None) };
        let malformed = |detail: String| Error::refused(ProblemType::Malformed, detail);
        let identifier: CertificateIdentifier =
            text.parse().map_err(|error| malformed(format!("`replaces`: {error}")))?;
        let (record, certificate) = self
            .named(&identifier)
            .await?
            .ok_or_else(|| malformed("`replaces` names a certificate that this CA did not issue".into()))?;
        if record.account != account.id {
            return Err(Error::refused(
                ProblemType::Unauthorized,
                "`replaces` names a certificate that another account ordered (RFC 9773 §5)",
            ));
        }
        let names: Vec<GeneralName> = identifiers.iter().map(general_name).collect();
        if !names.iter().any(|name| certificate.names().contains(name)) {
            return Err(malformed(
                "the order has none of the names of the certificate that it `replaces` (RFC 9773 §5); ask for one of \
                 them, or leave `replaces` out"
                    .into(),
            ));
        }
        let order = record.attached.then_some(record.order);
        Ok(Some(Predecessor { identifier, order }))
    }

    /// What stands in the way of an order that is to take a certificate's place. Nothing: no order has it, or one that
    /// came to nothing. An open order of the account for the very same: the client sent its request again, and gets the
    /// order that it asked for first, whatever is left of it.
    ///
    /// # Errors
    /// `alreadyReplaced` for any other order.
    pub(crate) async fn standing_replacement(&self, order: &Order) -> Answer<Option<Order>> {
        let (Some(identifier), Some(serial)) = (&order.replaces, order.replaced_serial()) else { return Ok(None) };
        match self.ledger.replacement(serial).await? {
            Some(other) if !self.came_to_nothing(other).await? => match self.open_as_asked(other, order).await? {
                Some(open) => Ok(Some(open)),
                None => Err(already_replaced(identifier).into()),
            },
            Some(_) | None => Ok(None),
        }
    }

    /// The order of this name, if it is open and for what `asked` is for. Waits for its challenges to be made.
    async fn open_as_asked(&self, id: OrderId, asked: &Order) -> Answer<Option<Order>> {
        let until = self.clock.monotonic() + MAKING_MAX;
        loop {
            let changed = self.workbench.changed(id);
            let Some(standing) = self.read_order(id).await? else { return Ok(None) };
            let alike = standing.likeness().is_some_and(|likeness| asked.likeness() == Some(likeness));
            if standing.account != asked.account || !alike {
                return Ok(None);
            }
            match (standing.stage(), standing.status(self.now())) {
                (Stage::MakeChallenge, _) => {}
                (_, OrderStatus::Pending | OrderStatus::Ready) => return Ok(Some(standing)),
                (_, OrderStatus::Processing | OrderStatus::Valid | OrderStatus::Invalid) => return Ok(None),
            }
            let left = until.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return Err(Error::Failed(format!("order {id}, which was asked for before, is still being made")));
            }
            select(changed, self.clock.sleep(left)).await;
        }
    }

    /// The order takes the place of its predecessor: a compared write of the ledger, so that of two one wins. Done
    /// again, it changes nothing. The problem of an order that came too late.
    pub(crate) async fn take_place(&self, order: &Order) -> Stored<Option<Problem>> {
        let (Some(identifier), Some(serial)) = (&order.replaces, order.replaced_serial()) else { return Ok(None) };
        let standing = self.ledger.replacement(serial).await?;
        match standing {
            Some(id) if id == order.id => return Ok(None),
            Some(other) if !self.came_to_nothing(other).await? => return Ok(Some(already_replaced(identifier))),
            Some(_) | None => {}
        }
        let now = self.ledger.replace(serial, standing, order.id).await?;
        Ok((now != Some(order.id)).then(|| already_replaced(identifier)))
    }

    /// Whether an order has ended without a certificate. One that neither store knows any more has.
    async fn came_to_nothing(&self, id: OrderId) -> Stored<bool> {
        // The time of the first look: what was open then may have gone on since.
        let now = self.now();
        let active = match self.workbench.read(id).await {
            // What can't be read is worked on by nobody: what came of it is in the ledger, if anything did.
            Err(error) if error.kind == StoreErrorKind::Corrupt => None,
            active => active?,
        };
        if let Some(known) = self.ledger.order(id).await? {
            return Ok(matches!(known.end, Some((LedgerEnd::Invalid(_), _))));
        }
        let Some(active) = active else { return Ok(true) };
        let mut order = active.order;
        if order.stage() == Stage::TestChallenge {
            order.copy_back(&self.ledger.authorizations(&order.authorization_ids()).await?);
        }
        // By a clock that is doubted no order is over: its client may still be in time.
        let at = if self.clock_is_doubted() { order.created.min(now) } else { now };
        Ok(order.status(at) == OrderStatus::Invalid)
    }
}

fn already_replaced(identifier: &CertificateIdentifier) -> Problem {
    Problem::new(
        ProblemType::AlreadyReplaced,
        format!("another order replaces the certificate {identifier} already (RFC 9773 §5); leave `replaces` out"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(seconds: u64) -> (u64, u64) {
        let not_before = Timestamp::from_seconds(1_800_000_000);
        let not_after = not_before.plus(Duration::from_secs(seconds - 1));
        let (start, end) = suggested_window(Validity { not_before, not_after });
        (start.since(not_before).as_secs(), end.since(not_before).as_secs())
    }

    #[test]
    fn long_lived_certificates_are_renewed_around_two_thirds_of_their_life() {
        let day = 86_400;
        let (start, end) = window(90 * day);
        assert!((58 * day..60 * day).contains(&start) && (60 * day..63 * day).contains(&end), "{start} {end}");
    }

    #[test]
    fn short_lived_certificates_are_renewed_around_half_of_their_life() {
        let hour = 3600;
        let (start, end) = window(144 * hour);
        assert!((68 * hour..72 * hour).contains(&start) && (72 * hour..76 * hour).contains(&end), "{start} {end}");
    }

    #[test]
    fn window_has_a_start_before_its_end_within_the_life_of_any_certificate() {
        for life in [3, 4, 10, 59, 61, 100, 3600, 86_400, 864_000, 864_001, 31_536_000] {
            let (start, end) = window(life);
            assert!(start < end && end < life, "{life}: {start} {end}");
        }
    }
}
