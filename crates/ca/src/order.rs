//! Orders (RFC 8555 §7.1.3) on their way through the pipeline. Everything here is pure: a back end of the workbench
//! loads an order, calls one of these transitions and stores the result with the place that follows from it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use acme::order::SUBPROBLEMS_MAX;
use acme::{CertificateIdentifier, Identifier, OrderStatus, Problem, ProblemType};
use pki::{Serial, Sha256, Timestamp};
use serde::{Deserialize, Serialize};

use crate::authorization::{Authorization, AuthorizationEnd, ChallengeState, EndedAuthorization, Method};
pub use crate::finalize::Finalize;
use crate::validity::AskedValidity;
use crate::{AccountId, AuthorizationId, OrderId};

/// The stage of an order: the `state` of the session database. Each but the last has a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Its authorizations and challenges have to be made.
    MakeChallenge,
    /// Challenges are answered by the client and tested by us.
    TestChallenge,
    /// The client has sent its CSR; a certificate has to be issued.
    Issue,
    /// It has ended, and awaits its acknowledgement.
    Done,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 4] = [Self::MakeChallenge, Self::TestChallenge, Self::Issue, Self::Done];

    /// The name used in records, metrics and commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MakeChallenge => "makechallenge",
            Self::TestChallenge => "testchallenge",
            Self::Issue => "issue",
            Self::Done => "done",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no stage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no stage: expected makechallenge, testchallenge, issue or done")]
pub struct ParseStageError(String);

impl FromStr for Stage {
    type Err = ParseStageError;

    fn from_str(text: &str) -> Result<Self, ParseStageError> {
        Self::ALL.into_iter().find(|stage| stage.name() == text).ok_or_else(|| ParseStageError(text.to_owned()))
    }
}

/// Where an active order stands when no worker holds it. An order is in exactly one place at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the queue of its stage: there is work that a worker can do now.
    Queue,
    /// Under a lease without holder: the next try is due at this time.
    Park {
        /// When it goes back to its queue.
        until: Timestamp,
    },
    /// With its client, which has to answer a challenge or to finalize.
    Client,
    /// In `pending-done`: it has ended and awaits its acknowledgement, or the end of its retention.
    PendingDone,
}

/// Why an order died, and where: the `live` = False of the session database, which keeps the state it died in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stage in which it died.
    pub stage: Stage,
    /// What its client is told; the detail names the stage.
    pub problem: Problem,
}

impl Failure {
    /// Whether the CA failed, and not its client: what an operator has to look at.
    pub fn is_our_fault(&self) -> bool {
        let kinds = self.problem.subproblems.iter().map(|one| &one.kind).chain([&self.problem.kind]);
        kinds.into_iter().any(|kind| *kind == ProblemType::ServerInternal)
    }
}

/// How an order ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// With this certificate.
    Valid(Serial),
    /// Without one.
    Invalid(Failure),
}

/// How far an order has come, with what is known there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "lowercase")]
pub enum Progress {
    /// See [`Stage::MakeChallenge`].
    MakeChallenge,
    /// See [`Stage::TestChallenge`].
    TestChallenge,
    /// See [`Stage::Issue`].
    Issue {
        /// What the client asked for.
        finalize: Finalize,
        /// When the order dies if no certificate has been issued.
        deadline: Timestamp,
        /// If the last try could not go on: when the next is due.
        due: Option<Timestamp>,
    },
    /// See [`Stage::Done`].
    Done {
        /// How it ended.
        outcome: Outcome,
        /// When it ended.
        ended: Timestamp,
        /// When the last byte of the certificate was handed to a socket.
        delivered: Option<Timestamp>,
        /// When the client said, or proved, that it has the certificate.
        acknowledged: Option<Timestamp>,
    },
}

/// An order on the workbench.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its name.
    pub id: OrderId,
    /// Whose it is.
    pub account: AccountId,
    /// The profile that was chosen when it was made.
    pub profile: String,
    /// What the certificate is to be for: normalised, without duplicates, sorted.
    pub identifiers: Vec<Identifier>,
    /// The validity that its client asked for: the certificate has it, or there is none.
    #[serde(default, skip_serializing_if = "AskedValidity::is_empty")]
    pub validity: AskedValidity,
    /// The certificate that its own takes the place of (RFC 9773 §5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<CertificateIdentifier>,
    /// How control of the names is shown, where the account doesn't choose: the built-in account's `operator`.
    pub method: Option<Method>,
    /// When it was made.
    pub created: Timestamp,
    /// When it dies, if it has not been finalized.
    pub expires: Timestamp,
    /// One for each identifier, once they are made.
    pub authorizations: Vec<Authorization>,
    /// How far it has come.
    pub progress: Progress,
}

/// What a test of one challenge came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The authorization whose challenge was tested.
    pub authorization: AuthorizationId,
    /// The challenge.
    pub method: Method,
    /// When the answer that led to this test was given: a later answer starts afresh.
    pub answered: Timestamp,
    /// What follows.
    pub verdict: Verdict,
}

/// What follows from a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The authorization has ended: this is what stands in the ledger.
    Ended(Box<EndedAuthorization>),
    /// It failed in a way that can pass: it is made again.
    Again {
        /// After so long, by the workbench's clock.
        pause: Duration,
        /// What the client sees meanwhile (RFC 8555 §8.2).
        problem: Problem,
    },
}

/// Why a client's move doesn't fit the order as it stands. The order has not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveRefused {
    /// The order has no such authorization or challenge.
    #[error("there is no such challenge")]
    NoSuchChallenge,
    /// The authorization has ended; its challenges can't be answered any more.
    #[error("the authorization has ended already")]
    AuthorizationEnded,
    /// Finalize came before all authorizations were valid, or a second time.
    #[error("the order is {0:?}, not ready")]
    NotReady(OrderStatus),
}

/// Nothing is parked for longer.
pub const PARK_MAX: Duration = Duration::from_secs(600);

/// Whether the next try is due. One that lies further ahead than anything is parked was noted before the clock was set
/// back.
pub fn is_due(due: Timestamp, now: Timestamp) -> bool {
    due <= now || due.since(now) > PARK_MAX
}

impl Order {
    /// The stage it is in.
    pub const fn stage(&self) -> Stage {
        match self.progress {
            Progress::MakeChallenge => Stage::MakeChallenge,
            Progress::TestChallenge => Stage::TestChallenge,
            Progress::Issue { .. } => Stage::Issue,
            Progress::Done { .. } => Stage::Done,
        }
    }

    /// The status of RFC 8555 §7.1.6, derived: nothing but the progress and the authorizations is stored.
    pub fn status(&self, now: Timestamp) -> OrderStatus {
        match &self.progress {
            Progress::MakeChallenge => OrderStatus::Pending,
            Progress::TestChallenge if self.spoiled(now) => OrderStatus::Invalid,
            Progress::TestChallenge if self.authorized(now) => OrderStatus::Ready,
            Progress::TestChallenge => OrderStatus::Pending,
            Progress::Issue { .. } => OrderStatus::Processing,
            Progress::Done { outcome: Outcome::Valid(_), .. } => OrderStatus::Valid,
            Progress::Done { outcome: Outcome::Invalid(_), .. } => OrderStatus::Invalid,
        }
    }

    /// Whether all its authorizations are good.
    pub fn authorized(&self, now: Timestamp) -> bool {
        !self.authorizations.is_empty()
            && self.authorizations.iter().all(|authorization| authorization.end.is_some_and(|end| end.is_good(now)))
    }

    /// Whether it can't become `ready` any more (RFC 8555 §7.1.6: one bad authorization is enough).
    fn spoiled(&self, now: Timestamp) -> bool {
        now > self.expires
            || self.authorizations.iter().any(|authorization| authorization.end.is_some_and(|end| !end.is_good(now)))
    }

    /// Whether time has ended it, and nothing else: its own, or that of one of its authorizations.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let over = |end| matches!(end, AuthorizationEnd::Valid { expires } if now > expires);
        self.stage() == Stage::TestChallenge
            && (now > self.expires || self.authorizations.iter().any(|one| one.end.is_some_and(over)))
    }

    /// Whether an authorization that it took over from another order is no longer good.
    pub fn lost_a_reused_authorization(&self, now: Timestamp) -> bool {
        let lost = |one: &Authorization| one.id.order != self.id && one.end.is_some_and(|end| !end.is_good(now));
        self.authorizations.iter().any(lost)
    }

    /// Where it stands when no worker holds it.
    pub fn place(&self, now: Timestamp) -> Place {
        match &self.progress {
            Progress::MakeChallenge => Place::Queue,
            // A dead one is finished by a worker, so that its end is written like any other.
            Progress::TestChallenge if self.spoiled(now) => Place::Queue,
            Progress::TestChallenge => self
                .authorizations
                .iter()
                .filter_map(Authorization::due)
                .min()
                .map_or(Place::Client, |due| Self::queue_or_park(Some(due), now)),
            Progress::Issue { due, .. } => Self::queue_or_park(*due, now),
            Progress::Done { .. } => Place::PendingDone,
        }
    }

    fn queue_or_park(due: Option<Timestamp>, now: Timestamp) -> Place {
        match due {
            Some(until) if !is_due(until, now) => Place::Park { until },
            Some(_) | None => Place::Queue,
        }
    }

    /// When it dies where it now stands.
    pub const fn deadline(&self) -> Option<Timestamp> {
        match self.progress {
            Progress::MakeChallenge | Progress::TestChallenge => Some(self.expires),
            Progress::Issue { deadline, .. } => Some(deadline),
            Progress::Done { .. } => None,
        }
    }

    /// A name of what was asked for: orders of one account for the same identifiers, profile, validity and predecessor
    /// have the same. `None`: no other request means this order.
    pub fn likeness(&self) -> Option<Sha256> {
        if self.method.is_some() {
            return None;
        }
        let AskedValidity { not_before, not_after } = self.validity;
        let time = |time: Option<Timestamp>| time.map_or_else(String::new, Timestamp::to_rfc3339);
        let replaces = self.replaces.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut text = format!("{}\n{}\n{replaces}\n", self.account, self.profile);
        text.push_str(&[time(not_before), time(not_after)].join("\n"));
        for identifier in &self.identifiers {
            text.push('\n');
            text.push_str(&identifier.to_string());
        }
        Some(Sha256::of(text.as_bytes()))
    }

    /// MakeChallenge → TestChallenge: its authorizations have been made. It lives no longer than those it reuses. Done
    /// again, it changes nothing.
    pub fn make(&mut self, authorizations: Vec<Authorization>) {
        if self.stage() == Stage::MakeChallenge {
            let ends = authorizations.iter().filter_map(|one| match one.end {
                Some(AuthorizationEnd::Valid { expires }) => Some(expires.whole_second()),
                Some(AuthorizationEnd::Invalid | AuthorizationEnd::Deactivated | AuthorizationEnd::Revoked) | None => {
                    None
                }
            });
            self.expires = ends.fold(self.expires, Timestamp::min);
            self.authorizations = authorizations;
            self.progress = Progress::TestChallenge;
        }
    }

    /// The client says that a challenge can be tested. Said again while it waits for a test, it makes that test due now
    /// (RFC 8555 §8.2).
    pub fn answer(&mut self, id: AuthorizationId, method: Method, now: Timestamp) -> Result<(), MoveRefused> {
        let testing = self.stage() == Stage::TestChallenge;
        let authorization =
            self.authorizations.iter_mut().find(|one| one.id == id).ok_or(MoveRefused::NoSuchChallenge)?;
        let ended = authorization.end.is_some() || !testing;
        let challenge =
            authorization.challenges.iter_mut().find(|one| one.method == method).ok_or(MoveRefused::NoSuchChallenge)?;
        if ended {
            return Err(MoveRefused::AuthorizationEnded);
        }
        match &mut challenge.state {
            ChallengeState::Pending => {
                challenge.state = ChallengeState::Answered { at: now, tries: 0, due: now, problem: None };
            }
            // A first test is on its way already: a repeated request must not start a second one.
            ChallengeState::Answered { problem: None, .. } => {}
            ChallengeState::Answered { at, tries, due, .. } => {
                *at = now;
                *tries = 0;
                *due = now;
            }
            ChallengeState::Valid { .. } | ChallengeState::Invalid { .. } => {
                return Err(MoveRefused::AuthorizationEnded);
            }
        }
        Ok(())
    }

    /// What tests came to: TestChallenge → TestChallenge. `now`: the time of who says what is due.
    pub fn tested(&mut self, results: &[Tested], now: Timestamp) {
        planted!(LostWakeUp { crate::planted::forget_later_answers(self, results) });
        for result in results {
            match &result.verdict {
                Verdict::Ended(ended) => self.copy_back(std::slice::from_ref(ended)),
                Verdict::Again { pause, problem } => self.test_again(result, now.plus(*pause), problem),
            }
        }
    }

    fn test_again(&mut self, result: &Tested, next: Timestamp, found: &Problem) {
        let state = self
            .authorizations
            .iter_mut()
            .filter(|one| one.id == result.authorization && one.end.is_none())
            .flat_map(|one| &mut one.challenges)
            .find(|one| one.method == result.method)
            .map(|one| &mut one.state);
        if let Some(ChallengeState::Answered { at, tries, due, problem }) = state {
            *problem = Some(found.clone());
            // The client has answered anew while the test ran: its new answer keeps its own count and time.
            if *at == result.answered {
                *tries += 1;
                *due = next;
            }
        }
    }

    /// Copies what has ended in the ledger: the ledger is written first and decides, the workbench follows.
    pub fn copy_back(&mut self, ended: &[impl AsRef<EndedAuthorization>]) {
        for ended in ended.iter().map(AsRef::as_ref) {
            for authorization in self.authorizations.iter_mut().filter(|one| one.id == ended.id) {
                authorization.end = Some(ended.end);
                authorization.challenges.clone_from(&ended.challenges);
            }
        }
    }

    /// The client wants its certificate: TestChallenge → Issue.
    pub fn finalize(&mut self, finalize: Finalize, deadline: Timestamp, now: Timestamp) -> Result<(), MoveRefused> {
        let status = planted!(FinalizeTwice { OrderStatus::Ready } else { self.status(now) });
        match status {
            OrderStatus::Ready => {
                self.progress = Progress::Issue { finalize, deadline, due: None };
                Ok(())
            }
            status @ (OrderStatus::Pending | OrderStatus::Processing | OrderStatus::Valid | OrderStatus::Invalid) => {
                Err(MoveRefused::NotReady(status))
            }
        }
    }

    /// The issuance can't go on before this time.
    pub fn delay(&mut self, until: Timestamp) {
        if let Progress::Issue { due, .. } = &mut self.progress {
            *due = Some(until);
        }
    }

    /// It ends, once: the first end wins. Answers whether this one did.
    pub fn finish(&mut self, outcome: Outcome, ended: Timestamp) -> bool {
        if self.stage() == Stage::Done {
            return false;
        }
        self.progress = Progress::Done { outcome, ended, delivered: None, acknowledged: None };
        true
    }

    /// It ends by what was found out without a lease, unless that was found before it came to `Issue` and it is there
    /// now: its end is the ledger's then. Answers whether this ended it.
    pub fn settle(&mut self, outcome: Outcome, ended: Timestamp) -> bool {
        let early = match &outcome {
            Outcome::Invalid(failure) => matches!(failure.stage, Stage::MakeChallenge | Stage::TestChallenge),
            Outcome::Valid(_) => false,
        };
        if early && self.stage() == Stage::Issue {
            return false;
        }
        self.finish(outcome, ended)
    }

    /// The serial of the certificate whose place it takes, if it takes one's.
    pub fn replaced_serial(&self) -> Option<Serial> {
        self.replaces.as_ref().and_then(|identifier| Serial::from_der_integer(identifier.serial()))
    }

    /// What its client asked for at finalize, if the order is in `Issue`.
    pub const fn finalize_request(&self) -> Option<&Finalize> {
        match &self.progress {
            Progress::Issue { finalize, .. } => Some(finalize),
            Progress::MakeChallenge | Progress::TestChallenge | Progress::Done { .. } => None,
        }
    }

    /// How it ended, if it did.
    pub const fn outcome(&self) -> Option<&Outcome> {
        match &self.progress {
            Progress::Done { outcome, .. } => Some(outcome),
            Progress::MakeChallenge | Progress::TestChallenge | Progress::Issue { .. } => None,
        }
    }

    /// The authorizations that a certificate of this order rests on.
    pub fn authorization_ids(&self) -> Vec<AuthorizationId> {
        self.authorizations.iter().map(|authorization| authorization.id).collect()
    }

    /// The problem of an order that dies because one of its authorizations is not good, or because its time is over.
    pub fn cause_of_death(&self, now: Timestamp) -> Option<Failure> {
        let stage = self.stage();
        let bad: Vec<&Authorization> =
            self.authorizations.iter().filter(|one| one.end.is_some_and(|end| !end.is_good(now))).collect();
        let problem = match (bad.as_slice(), stage) {
            ([_, ..], Stage::TestChallenge | Stage::Issue) => problem_of_all(&bad, stage),
            (_, Stage::MakeChallenge | Stage::TestChallenge) if now > self.expires => Problem::new(
                ProblemType::Malformed,
                format!(
                    "the order expired in stage {stage} before all its authorizations were valid and it was finalized"
                ),
            ),
            (_, Stage::MakeChallenge | Stage::TestChallenge | Stage::Issue | Stage::Done) => return None,
        };
        Some(Failure { stage, problem })
    }
}

/// What is wrong with these, each of which is a subproblem (RFC 8555 §6.7.1).
fn problem_of_all(bad: &[&Authorization], stage: Stage) -> Problem {
    let problems = bad.iter().take(SUBPROBLEMS_MAX).map(|one| (one, problem_of(one)));
    let mut subproblems: Vec<_> = problems.map(|(one, problem)| problem.subproblem(one.identifier.wire())).collect();
    match bad {
        [only] => {
            let problem = problem_of(only);
            if !problem.subproblems.is_empty() {
                subproblems.clone_from(&problem.subproblems);
            }
            problem.with_subproblems(subproblems)
        }
        [] | [_, _, ..] => {
            let detail = format!("{} authorizations are not valid (stage {stage}); see the subproblems", bad.len());
            Problem::of_several(detail, subproblems)
        }
    }
}

fn problem_of(authorization: &Authorization) -> Problem {
    let found = authorization.challenges.iter().find_map(|challenge| match &challenge.state {
        ChallengeState::Invalid { problem, .. } => Some(problem.clone()),
        ChallengeState::Pending | ChallengeState::Answered { .. } | ChallengeState::Valid { .. } => None,
    });
    found.unwrap_or_else(|| {
        let end = match authorization.end {
            Some(AuthorizationEnd::Valid { .. }) => "has expired",
            Some(AuthorizationEnd::Deactivated) => "was deactivated",
            Some(AuthorizationEnd::Revoked) => "was revoked",
            Some(AuthorizationEnd::Invalid) | None => "is invalid",
        };
        Problem::new(
            ProblemType::Unauthorized,
            format!("the authorization for {} {end} (stage testchallenge)", authorization.identifier),
        )
    })
}

impl AsRef<Self> for EndedAuthorization {
    fn as_ref(&self) -> &Self {
        self
    }
}
