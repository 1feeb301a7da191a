//! 8: no order dies but by what its client did, or by what went wrong for long enough: its time was over by the true
//! time, three tests met a failure, or a trouble never left its issuance alone.

use std::collections::BTreeMap;
use std::time::Duration;

use acme::ProblemType;
use ca::OrderId;
use ca::authorization::{AuthorizationEnd, EndedAuthorization};
use ca::order::{Failure, Order, Outcome, Stage};
use ca::ports::{Clock, IssuanceNumber, Ledger, LedgerEnd, SerialFilter, SerialRecord};
use pki::{Sha256, Timestamp};

use super::{Auditor, Signed, now};
use crate::clock::START;
use crate::executor::Node;
use crate::scenario::STOP_MAX;

/// A clock that is further off than this keeps the CA from signing.
const WRONG_CLOCK: Duration = Duration::from_secs(60);
/// The longest wait between two tries, and some time to issue.
const ONE_TRY: Duration = Duration::from_secs(90);

impl Auditor {
    /// An order is in issuance from now on.
    pub(super) fn entered(&self, order: OrderId) {
        let at = self.executor.now();
        self.facts().entered.entry(order).or_insert(at);
    }

    /// An order as the workbench now has it. If it has died its death is looked at once.
    pub(super) fn moved(&self, order: &Order) {
        let Some(outcome) = order.outcome() else { return };
        self.ledger_has_decided(order.id, outcome);
        if let Outcome::Invalid(failure) = outcome {
            self.died(order, failure);
        }
    }

    /// 9: the ledger is written first, and decides: once in `Issue`, an order ends on the workbench as it has there.
    fn ledger_has_decided(&self, order: OrderId, outcome: &Outcome) {
        let end = now(self.ledger.order(order)).ok().flatten().and_then(|known| known.end);
        let decided = match (outcome, &end) {
            (Outcome::Valid(serial), Some((LedgerEnd::Valid(decided), _))) => serial == decided,
            (Outcome::Valid(_), Some((LedgerEnd::Invalid(_), _)) | None) => false,
            (Outcome::Invalid(failure), end) if failure.stage == Stage::Issue => {
                matches!(end, Some((LedgerEnd::Invalid(_), _)))
            }
            (Outcome::Invalid(_), _) => true,
        };
        self.holds(9, decided, || format!("order {order} has ended on the workbench, and in the ledger as {end:?}"));
    }

    /// A process has begun an issuance.
    pub(super) fn began(&self, order: OrderId, number: IssuanceNumber, node: Node) {
        self.facts().issuances.entry(order).or_default().insert(number, node);
    }

    /// 8: a process lets no order die whose certificate stood in its audit log when it started: recovery comes first.
    /// One that recovery has stored, and that others had made too late, is not the order's any more.
    pub(super) fn let_die(&self, order: OrderId, (machine, node): (usize, Node)) {
        let logged: Vec<_> = {
            let facts = self.facts();
            let of_earlier = |one: &&Signed| one.logged && one.machine == machine && one.node != node;
            facts.certificates.values().filter(of_earlier).map(|one| one.certificate.serial()).collect()
        };
        let mut of_order = logged.into_iter().filter_map(|serial| self.record(serial)).filter(|one| one.order == order);
        let overlooked = of_order.find(|one| !self.came_too_late(one, node)).map(|one| one.serial);
        self.holds(8, overlooked.is_none(), || {
            format!("order {order} has died, and its certificate stood in the audit log: {overlooked:?}")
        });
    }

    /// Whether a certificate of an open order was stored when it could not be the order's any more, and this process
    /// has no part in that: a newer issuance was begun by another, or the serial was revoked before.
    fn came_too_late(&self, record: &SerialRecord, node: Node) -> bool {
        let by_others = |issuances: &BTreeMap<IssuanceNumber, Node>| {
            issuances.iter().any(|(number, began)| *number > record.number && *began != node)
        };
        let overtaken = self.facts().issuances.get(&record.order).is_some_and(by_others);
        let revoked = record.revocation.as_ref().is_some_and(|one| !one.is_overtaken());
        record.certificate.is_some() && !record.attached && (overtaken || revoked)
    }

    /// An order has died.
    pub(super) fn died(&self, order: &Order, failure: &Failure) {
        if !self.facts().dead.insert(order.id) {
            return;
        }
        let explanation = self.explanation(order, failure);
        self.story.tell(|| format!("order {} has died: {}; {explanation:?}", order.id, failure.problem.detail));
        self.holds(8, explanation.is_some(), || {
            format!("order {} has died, and nothing explains it: {}", order.id, failure.problem.detail)
        });
    }

    fn explanation(&self, order: &Order, failure: &Failure) -> Option<&'static str> {
        let account = now(self.ledger.account(order.account)).ok().flatten();
        if account.is_none_or(|account| !account.is_valid()) {
            return Some("its account has ended");
        }
        let ended = now(self.ledger.authorizations(&order.authorization_ids())).unwrap_or_default();
        let entered = self.facts().entered.get(&order.id).copied();
        if let Some(lost) = ended.iter().find_map(|one| self.lost(one, entered)) {
            return Some(lost);
        }
        match failure.stage {
            Stage::MakeChallenge if order.replaces.is_some() => Some("another order replaces the same certificate"),
            Stage::MakeChallenge => self.expired(order.expires),
            Stage::TestChallenge => self.unproven(order, &ended).or_else(|| self.expired(order.expires)),
            Stage::Issue => self.not_issued(order, &failure.problem.kind),
            Stage::Done => None,
        }
    }

    /// By how much clocks have been wrong.
    pub(super) fn off(&self) -> Duration {
        self.clocks.iter().map(crate::clock::SimClock::furthest).max().unwrap_or_default()
    }

    /// How far apart times can be that clocks gave to the same moment.
    pub(super) fn apart(&self) -> Duration {
        let ahead = self.clocks.iter().map(crate::clock::SimClock::furthest_ahead).max().unwrap_or_default();
        let behind = self.clocks.iter().map(crate::clock::SimClock::furthest_behind).max().unwrap_or_default();
        ahead + behind
    }

    pub(super) fn expired(&self, expires: Timestamp) -> Option<&'static str> {
        (START.plus(self.executor.now() + self.off()) > expires).then_some("its time was over")
    }

    /// Why no certificate may rest on it. If its order was in `Issue` by this time, it had been decided before.
    fn lost(&self, ended: &EndedAuthorization, entered: Option<Duration>) -> Option<&'static str> {
        let furthest_behind = self.clocks.iter().map(Clock::now).min().unwrap_or(START);
        // Whoever was refused for it may have looked long ago, when the time had not come yet by which it was decided.
        let by_now = entered.map_or(furthest_behind, |entered| furthest_behind.min(START.plus(entered)));
        match ended.end {
            AuthorizationEnd::Valid { .. } if ended.ended.since(by_now) > WRONG_CLOCK => {
                Some("an authorization was decided with a clock that was wrong")
            }
            AuthorizationEnd::Deactivated | AuthorizationEnd::Revoked => Some("an authorization was given up"),
            AuthorizationEnd::Valid { expires } => self.expired(expires),
            AuthorizationEnd::Invalid => None,
        }
    }

    /// All authorizations that have failed had a reason to.
    fn unproven(&self, order: &Order, ended: &[EndedAuthorization]) -> Option<&'static str> {
        let since = order.created.since(START).saturating_sub(self.off());
        let mut failed = ended.iter().filter(|one| one.end == AuthorizationEnd::Invalid).peekable();
        failed.peek()?;
        // Challenges that were lost are made again, with other tokens than those that the client has shown.
        if self.facts().workbench_restored.is_some_and(|restored| restored >= since) {
            return Some("its challenges were lost with the workbench");
        }
        failed
            .all(|one| one.identifier.name().is_some_and(|name| self.fails_to_prove(name.as_ref(), since)))
            .then_some("names could not be validated")
    }

    fn fails_to_prove(&self, name: &str, since: Duration) -> bool {
        let wrong = !self.internet.was_set_up(name) || self.internet.was_wrong(name, since);
        let failures = self.internet.failures(name, since) + self.tally.stops_since(since);
        wrong || self.is_forbidden(name) || failures >= usize::from(self.settings.limits.tries)
    }

    /// Another CA was named for this name, or one above it.
    fn is_forbidden(&self, name: &str) -> bool {
        let mut above = Some(name);
        while let Some(one) = above {
            if self.internet.was_forbidden(one) || self.internet.is_never_permitted(one) {
                return true;
            }
            above = one.split_once('.').map(|(_, rest)| rest);
        }
        false
    }

    fn not_issued(&self, order: &Order, kind: &ProblemType) -> Option<&'static str> {
        let of_order = SerialFilter { order: Some(order.id), ..SerialFilter::default() };
        let serials = now(self.ledger.serials(of_order, 1_000)).unwrap_or_default();
        let stops = self.stops_of(order);
        let dies_by = |(_, ended): &(Duration, Duration)| self.executor.now() <= *ended + self.held_for();
        let of_names = *kind == ProblemType::RejectedIdentifier && stops.iter().any(dies_by);
        let of_account = *kind == ProblemType::Unauthorized && self.stops_of_its_account(order).iter().any(dies_by);
        if of_names || of_account {
            return Some("issuance was stopped for it");
        }
        if *kind == ProblemType::Unauthorized {
            return serials.iter().any(|one| one.revocation.is_some()).then_some("a serial of it was revoked");
        }
        if *kind == ProblemType::AlreadyReplaced {
            return self.gave_its_place(order).then_some("another order took its place when the workbench had lost it");
        }
        if *kind == ProblemType::BadPublicKey {
            return self.key_is_blocked(order).then_some("its key is blocked");
        }
        if *kind == ProblemType::Caa {
            let mut names = order.identifiers.iter().filter_map(|identifier| identifier.name());
            return names.any(|name| self.is_forbidden(name.as_ref())).then_some("another CA is named");
        }
        if *kind != ProblemType::ServerInternal {
            return None;
        }
        let entered = self.facts().entered.get(&order.id).copied().unwrap_or_default();
        let failed = serials.iter().filter(|one| one.failure.is_some()).count();
        let most = self.settings.limits.issuances as usize;
        // A log that follows the clock of a server far ahead is of no use to one far behind.
        let ahead = |detail: &String| detail.contains(" the future") && self.off() > WRONG_CLOCK;
        let by_clocks = serials.iter().filter(|one| one.failure.as_ref().is_some_and(ahead)).count();
        if failed >= most && self.tally.troubles_since(entered) + by_clocks >= most {
            return Some("its issuances have failed");
        }
        // The deadline counts from when the request came, a look at the ledger and a write before the order is entered.
        let asked = START.plus(entered);
        // By a clock that was behind that may be before the run began.
        let asked = order.finalize_request().map_or(asked, |finalize| finalize.received.min(asked));
        self.late(asked, entered, &stops)
    }

    /// Another order took its place. Up to `Issue` it comes that way only if the workbench has lost it meanwhile, and
    /// somebody still held it.
    fn gave_its_place(&self, order: &Order) -> bool {
        let Some(serial) = order.replaced_serial() else { return false };
        let since = order.created.since(START).saturating_sub(self.off());
        let was_lost = self.facts().workbench_restored.is_some_and(|restored| restored >= since);
        let standing = now(self.ledger.replacement(serial)).ok().flatten();
        was_lost && standing.is_some_and(|standing| standing != order.id)
    }

    /// Who holds an order may have read a stop and stand still before he writes that it ends by it.
    fn held_for(&self) -> Duration {
        STOP_MAX + self.settings.times.issue_lease
    }

    fn key_is_blocked(&self, order: &Order) -> bool {
        let csr = order.finalize_request().and_then(|finalize| pki::csr::Csr::parse(&finalize.csr).ok());
        let key: Option<Sha256> = csr.map(|csr| csr.public_key().spki_hash());
        key.is_some_and(|key| self.facts().blocked.contains_key(&key))
    }

    /// The deadline has passed by the true time, and whenever the trouble was over a new one came before the order
    /// could be issued: its lease ran out, two sweeps, a back-off, and the issuance itself. A stop that is for it is
    /// such a trouble for as long as it stands.
    fn late(&self, asked: Timestamp, entered: Duration, stops: &[(Duration, Duration)]) -> Option<&'static str> {
        let times = &self.settings.times;
        let (at, off) = (self.executor.now(), self.off());
        let passed = START.plus(at + off).since(asked) >= times.issue_deadline;
        let enough = times.issue_lease + times.sweep * 2 + ONE_TRY;
        let troubled = off > WRONG_CLOCK || self.tally.longest_calm(entered, at, stops) < enough;
        (passed && troubled).then_some("trouble never left it alone until its deadline")
    }
}
