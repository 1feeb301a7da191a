//! What can happen to a call of a port, and who decides it.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use acme::Identifier;
use ca::ports::{SignError, StoreError, StoreErrorKind};

use super::Call;
use crate::chance::Chance;
use crate::clock::SimClock;
use crate::executor::{Executor, Node};
use crate::internet::Internet;
use crate::story::Story;
use crate::tally::Tally;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is done, and its caller is told so.
    Done,
    /// It is not done, and fails.
    NotDone,
    /// It is not done since there is no room for it.
    Full,
    /// It is done, and its caller is told that nobody knows.
    Unknown,
    /// The process dies before it is done.
    DiesBefore,
    /// It is done, and the process dies.
    DiesAfter,
    /// The process stands still for a while before it is done, time going on.
    StopsBefore(Duration),
    /// It is done, then the process stands still for a while.
    StopsAfter(Duration),
}

impl Fate {
    /// Its name, for tallies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotDone => "not done and fails",
            Self::Full => "not done, no room",
            Self::Unknown => "done and fails",
            Self::DiesBefore => "dies before",
            Self::DiesAfter => "done and dies",
            Self::StopsBefore(_) => "stops before",
            Self::StopsAfter(_) => "done and stops",
        }
    }
}

/// Decides what becomes of calls.
pub trait Fates: Send + Sync + Debug {
    /// What becomes of the call with this number of this run, the first having 0.
    fn of(&self, number: u64, node: Node, call: Call) -> Fate;

    /// What was meant for the call with this number comes to pass.
    fn met(&self, _number: u64) {}

    /// The call with this number has failed of itself.
    fn failed(&self, _number: u64) {}

    /// How long a call takes, before it is done or after.
    fn latency(&self) -> Duration;

    /// Whether the caller goes on at once when a call that takes no time is done, so that nobody comes between.
    fn goes_straight_on(&self) -> bool {
        false
    }
}

/// Faults of one process, around all of its ports.
#[derive(Debug)]
pub struct Faults {
    pub(crate) executor: Executor,
    pub(crate) node: Node,
    pub(crate) fates: Arc<dyn Fates>,
    pub(crate) story: Arc<Story>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) internet: Arc<Internet>,
    /// The process's own.
    pub(crate) clock: SimClock,
    pub(crate) name: String,
}

impl Faults {
    /// Makes a call, with what becomes of it. One that can't end as was meant is done.
    pub(crate) async fn around<T, E: Failing>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let number = self.tally.call();
        let meant = self.fates.of(number, self.node, call);
        let fate = if call.can_end(meant) { meant } else { Fate::Done };
        let met = || self.met(number, call, fate);
        self.take_time(false).await;
        match fate {
            Fate::NotDone => {
                met();
                return Err(E::not_done());
            }
            Fate::Full => {
                met();
                return Err(E::full());
            }
            Fate::DiesBefore => {
                met();
                self.die().await;
            }
            Fate::StopsBefore(time) => {
                met();
                self.stop(time).await;
            }
            Fate::Done | Fate::Unknown | Fate::DiesAfter | Fate::StopsAfter(_) => {}
        }
        let answer = work.await;
        if answer.is_err() {
            self.fates.failed(number);
        }
        match fate {
            Fate::DiesAfter => {
                met();
                self.die().await;
            }
            Fate::StopsAfter(time) => {
                met();
                self.stop(time).await;
            }
            Fate::Unknown if answer.is_ok() => {
                met();
                return Err(E::unknown());
            }
            Fate::Done | Fate::NotDone | Fate::Full | Fate::Unknown | Fate::DiesBefore | Fate::StopsBefore(_) => {}
        }
        self.take_time(self.fates.goes_straight_on()).await;
        answer
    }

    /// A test of a challenge, or the look at CAA beside it, has failed: one of the tries that an order has.
    pub(super) fn not_seen(&self, identifier: &Identifier) {
        if let Some(name) = identifier.name() {
            self.internet.was_not_seen(name.as_ref());
        }
    }

    /// It comes to pass now.
    fn met(&self, number: u64, call: Call, fate: Fate) {
        self.fates.met(number);
        self.tally.fault(fate.name());
        if let Some(place) = call.outside() {
            self.tally.nuisance(place);
        }
        if let Fate::StopsBefore(time) | Fate::StopsAfter(time) = fate {
            self.tally.stops_for(time);
        }
        self.story.tell(|| format!("{}: call {number}, {call:?}: {}", self.name, fate.name()));
    }

    /// Time goes by, or others may run. A process that has died meanwhile goes no further.
    async fn take_time(&self, straight_on: bool) {
        self.alive().await;
        let time = self.fates.latency();
        if !time.is_zero() {
            self.executor.sleep(time).await;
        } else if !straight_on {
            self.executor.give_way().await;
        }
        self.alive().await;
    }

    async fn alive(&self) {
        if self.executor.is_dead(self.node) {
            std::future::pending::<()>().await;
        }
    }

    async fn die(&self) {
        self.executor.kill(self.node);
        std::future::pending::<()>().await;
    }

    async fn stop(&self, time: Duration) {
        self.executor.freeze(self.node, time);
        self.executor.give_way().await;
    }
}

/// Errors of ports.
pub(crate) trait Failing {
    /// Nothing was done.
    fn not_done() -> Self;

    /// Nothing was done, since there was no room.
    fn full() -> Self;

    /// It was done, and nobody knows.
    fn unknown() -> Self;
}

impl Failing for StoreError {
    fn not_done() -> Self {
        Self::new(StoreErrorKind::Unavailable, "simulated: nothing was done")
    }

    fn full() -> Self {
        Self::new(StoreErrorKind::Full, "simulated: no room left")
    }

    fn unknown() -> Self {
        Self::new(StoreErrorKind::Unknown, "simulated: the outcome is unknown")
    }
}

impl Failing for SignError {
    fn not_done() -> Self {
        Self::NotSigned("simulated: the key was not asked".to_owned())
    }

    fn full() -> Self {
        Self::not_done()
    }

    fn unknown() -> Self {
        Self::Unknown("simulated: no answer came".to_owned())
    }
}

/// Faults by chance: so many of a thousand calls, as long as there are any left.
#[derive(Debug)]
pub struct Seldom {
    pub(crate) chance: Chance,
    pub(crate) permille: std::sync::atomic::AtomicU32,
    pub(crate) left: std::sync::atomic::AtomicU32,
    pub(crate) kinds: Vec<Fate>,
    /// Most calls take no longer than this.
    pub(crate) usual: Duration,
}

impl Seldom {
    /// These faults, so many of 100,000 calls and at most so many in all.
    pub fn new(chance: Chance, rate: u32, most: u32, kinds: Vec<Fate>, usual: Duration) -> Self {
        Self { chance, permille: rate.into(), left: most.into(), kinds, usual }
    }

    /// From now on nothing fails.
    pub fn calm(&self) {
        self.left.store(0, std::sync::atomic::Ordering::Relaxed);
    }
}

/// What can't be undone, or is asked of the world outside, is seldom among the calls, and is where faults matter most.
const fn weight(call: Call) -> u64 {
    let matters = matches!(
        call,
        Call::Begin
            | Call::MarkGood
            | Call::StoreFinal
            | Call::Finish
            | Call::Authorize
            | Call::Revoke
            | Call::Block
            | Call::AllocateCrlNumber
            | Call::StoreCrl
            | Call::Finalize
            | Call::AppendPrecertificate
            | Call::AppendCertificate
            | Call::AppendOther
            | Call::SignPrecertificate
            | Call::SignCertificate
            | Call::SignCrl
            | Call::Validate
            | Call::CheckCaa
            | Call::Readiness
            | Call::Submit
            | Call::AddPreChain
    );
    if matters { 6 } else { 1 }
}

impl Fates for Seldom {
    fn of(&self, _: u64, _: Node, call: Call) -> Fate {
        use std::sync::atomic::Ordering::Relaxed;
        let left = self.left.load(Relaxed);
        let rate = u64::from(self.permille.load(Relaxed)) * weight(call);
        if left == 0 || self.kinds.is_empty() || self.chance.below(100_000) >= rate {
            return Fate::Done;
        }
        self.left.store(left - 1, Relaxed);
        match self.chance.one_of(&self.kinds) {
            Fate::StopsBefore(longest) => Fate::StopsBefore(self.chance.time(Duration::from_secs(1), longest)),
            Fate::StopsAfter(longest) => Fate::StopsAfter(self.chance.time(Duration::from_secs(1), longest)),
            fate @ (Fate::Done | Fate::NotDone | Fate::Full | Fate::Unknown | Fate::DiesBefore | Fate::DiesAfter) => {
                fate
            }
        }
    }

    fn latency(&self) -> Duration {
        match self.chance.below(64) {
            0..=39 => Duration::ZERO,
            40..=62 => self.chance.time(Duration::ZERO, self.usual),
            _ => self.chance.time(Duration::ZERO, self.usual * 40),
        }
    }

    fn goes_straight_on(&self) -> bool {
        self.chance.happens(500)
    }
}
