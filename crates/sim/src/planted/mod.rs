//! Faults put in on purpose, one at a time: each has to be found by the invariants. Those of a port are layers around
//! it; those of the domain itself are in `ca`, under `--cfg planted`.

mod beside;
pub mod hunt;
mod ledger;
mod workbench;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ca::ports::{AuditLog, CtSubmitter, Ledger, Signer, Validator, Workbench};

use crate::client::Script;
use crate::enumeration::Life;
use crate::ports::{
    Layer, LedgerLayer, WorkbenchLayer, layered_audit, layered_ledger, layered_signer, layered_workbench,
};
use crate::world::Options;

/// What a fault keeps in mind. It stands for what is on disk: processes die, and it stays.
#[derive(Debug, Default)]
struct Kept<T>(Mutex<T>);

impl<T> Kept<T> {
    fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where a fault sits.
#[derive(Clone, Copy)]
pub enum Place {
    /// Around a store or another end of a port, below the faults that the seed draws.
    Port(fn() -> Around),
    /// Around a port, above the faults that the seed draws: it sees them.
    Caller(fn() -> Around),
    /// In `ca`.
    #[cfg(planted)]
    Domain(ca::planted::Bug),
    /// In `ca` and around a port.
    #[cfg(planted)]
    Both(ca::planted::Bug, fn() -> Around),
}

/// A fault to be planted.
#[derive(Clone, Copy)]
pub struct Planted {
    /// Its name.
    pub name: &'static str,
    /// The room or port that it is in.
    pub of: &'static str,
    /// Where it sits.
    pub place: Place,
    /// The life in which it is looked for first.
    pub shows: Life,
}

impl fmt::Debug for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// One port with a fault around it.
pub enum Around {
    /// The ledger.
    Ledger(Arc<dyn LedgerLayer>),
    /// The workbench.
    Workbench(Arc<dyn WorkbenchLayer>),
    /// The audit log.
    Audit(Arc<dyn crate::ports::AuditLayer>),
    /// The signer.
    Signer(Arc<dyn crate::ports::SignerLayer>),
    /// The submitter.
    Ct(fn(Arc<dyn CtSubmitter>) -> Arc<dyn CtSubmitter>),
    /// The validator.
    Validator(fn(Arc<dyn Validator>) -> Arc<dyn Validator>),
}

impl fmt::Debug for Around {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a planted fault")
    }
}

impl Layer for Around {
    fn ledger(&self, inner: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        if let Self::Ledger(layer) = self { layered_ledger(inner, Arc::clone(layer)) } else { inner }
    }

    fn workbench(&self, inner: Arc<dyn Workbench>) -> Arc<dyn Workbench> {
        if let Self::Workbench(layer) = self { layered_workbench(inner, Arc::clone(layer)) } else { inner }
    }

    fn audit(&self, inner: Arc<dyn AuditLog>) -> Arc<dyn AuditLog> {
        if let Self::Audit(layer) = self { layered_audit(inner, Arc::clone(layer)) } else { inner }
    }

    fn signer(&self, inner: Arc<dyn Signer>) -> Arc<dyn Signer> {
        if let Self::Signer(layer) = self { layered_signer(inner, Arc::clone(layer)) } else { inner }
    }

    fn ct(&self, inner: Arc<dyn CtSubmitter>) -> Arc<dyn CtSubmitter> {
        if let Self::Ct(wrap) = self { wrap(inner) } else { inner }
    }

    fn validator(&self, inner: Arc<dyn Validator>) -> Arc<dyn Validator> {
        if let Self::Validator(wrap) = self { wrap(inner) } else { inner }
    }
}

const fn port(name: &'static str, of: &'static str, around: fn() -> Around) -> Planted {
    Planted { name, of, place: Place::Port(around), shows: Life::Order }
}

const fn caller(name: &'static str, of: &'static str, around: fn() -> Around) -> Planted {
    Planted { name, of, place: Place::Caller(around), shows: Life::Order }
}

impl Planted {
    /// The same, looked for in this life first.
    const fn shows(mut self, life: Life) -> Self {
        self.shows = life;
        self
    }
}

const REVOKES: Life = Life::Scripted(Script::Revokes);
const REPEATS: Life = Life::Scripted(Script::Repeats);
const STOPPED: Life = Life::Scripted(Script::Stopped);
const INTRUDES: Life = Life::Scripted(Script::Intrudes);

/// Those of ports.
pub const OF_PORTS: &[Planted] = &[
    port("ledger-fence-forgotten", "Ledger", || Around::Ledger(Arc::new(ledger::FenceForgotten::default())))
        .shows(Life::TwoServers),
    port("good-over-revoked", "Ledger", || Around::Ledger(Arc::new(ledger::GoodOverRevoked::default()))).shows(REVOKES),
    port("signed-before-stored", "Ledger", || Around::Ledger(Arc::new(ledger::SignedBeforeStored::default()))),
    port("key-block-forgotten", "Ledger", || Around::Ledger(Arc::new(ledger::BlockForgotten))).shows(REVOKES),
    port("revocation-forgotten", "Ledger", || Around::Ledger(Arc::new(ledger::RevocationForgotten))).shows(REVOKES),
    port("death-overwrites-end", "Ledger", || Around::Ledger(Arc::new(ledger::DeathOverwrites::default())))
        .shows(Life::ShortDeadline),
    port("certificate-forgotten", "Ledger", || Around::Ledger(Arc::new(ledger::CertificateForgotten))),
    port("authorization-forgotten", "Ledger", || Around::Ledger(Arc::new(ledger::AuthorizationForgotten))),
    port("block-not-followed", "Ledger", || Around::Ledger(Arc::new(ledger::BlockNotFollowed))).shows(REVOKES),
    port("stop-forgotten", "Ledger", || Around::Ledger(Arc::new(ledger::StopForgotten))).shows(STOPPED),
    port("crl-omits-revoked", "Ledger", || Around::Ledger(Arc::new(ledger::CrlOmits))).shows(REVOKES),
    port("crl-lists-wait", "Ledger", || Around::Ledger(Arc::new(ledger::CrlListsWait))).shows(REVOKES),
    caller("unknown-taken-for-done", "Ledger", || Around::Ledger(Arc::new(ledger::TakenForDone))),
    port("push-dropped", "Workbench", || Around::Workbench(Arc::new(workbench::PushDropped))),
    port("popped-twice", "Workbench", || Around::Workbench(Arc::new(workbench::PoppedTwice::default())))
        .shows(Life::TwoOrders),
    port("workbench-fence-forgotten", "Workbench", || {
        Around::Workbench(Arc::new(workbench::FenceForgotten::default()))
    })
    .shows(Life::TwoServers),
    port("requeue-forgotten", "Workbench", || Around::Workbench(Arc::new(workbench::RequeueForgotten))),
    port("nonce-good-twice", "Workbench", || Around::Workbench(Arc::new(workbench::NonceTwice))).shows(REPEATS),
    port("finalize-forgotten", "Workbench", || Around::Workbench(Arc::new(workbench::FinalizeForgotten))),
    port("answer-forgotten", "Workbench", || Around::Workbench(Arc::new(workbench::AnswerForgotten))),
    port("challenges-forgotten", "Workbench", || Around::Workbench(Arc::new(workbench::ChallengesForgotten))),
    port("workers-not-woken", "Workbench", || Around::Workbench(Arc::new(workbench::WorkersNotWoken))),
    port("leases-of-others-freed", "Workbench", || Around::Workbench(Arc::new(workbench::LeasesOfOthersFreed)))
        .shows(Life::TwoServers),
    port("precertificate-line-lost", "AuditLog", || {
        Around::Audit(Arc::new(beside::LineLost(beside::Lost::Precertificates)))
    }),
    port("certificate-line-lost", "AuditLog", || Around::Audit(Arc::new(beside::LineLost(beside::Lost::Certificates)))),
    port("revocation-line-lost", "AuditLog", || Around::Audit(Arc::new(beside::LineLost(beside::Lost::Revocations))))
        .shows(REVOKES),
    caller("unknown-signature-repeated", "Signer", || Around::Signer(Arc::new(beside::SignatureRepeated))),
    port("scts-unverified", "CtSubmitter", || Around::Ct(|inner| Arc::new(beside::SctsUnverified(inner)))),
    port("failure-taken-for-shown", "Validator", || {
        Around::Validator(|inner| Arc::new(beside::FailureTakenForShown(inner)))
    })
    .shows(INTRUDES),
    port("caa-not-read", "Validator", || Around::Validator(|inner| Arc::new(beside::CaaNotRead(inner))))
        .shows(INTRUDES),
];

/// What a run needs in which this fault is planted, or none. In `ca` it grows in this thread, until the next call.
pub fn options(planted: Option<&Planted>) -> Options {
    let mut options = Options::default();
    let place = planted.map(|planted| planted.place);
    #[cfg(planted)]
    ca::planted::plant(match place {
        Some(Place::Domain(bug) | Place::Both(bug, _)) => Some(bug),
        Some(Place::Port(_) | Place::Caller(_)) | None => None,
    });
    match place {
        Some(Place::Port(around)) => options.layers.0.push(Arc::new(around())),
        Some(Place::Caller(around)) => options.outermost.0.push(Arc::new(around())),
        #[cfg(planted)]
        Some(Place::Both(_, around)) => options.layers.0.push(Arc::new(around())),
        #[cfg(planted)]
        Some(Place::Domain(_)) => {}
        None => {}
    }
    options
}

/// All that this build has.
pub fn all() -> Vec<Planted> {
    let of_ports = OF_PORTS.iter().copied();
    #[cfg(planted)]
    let of_ports = of_ports.chain(of_domain());
    of_ports.collect()
}

/// Those of the domain.
#[cfg(planted)]
fn of_domain() -> Vec<Planted> {
    use ca::planted::Bug;
    let in_ca = |bug: Bug| {
        let place = match bug {
            Bug::SerialReused => Place::Both(bug, || Around::Ledger(Arc::new(ledger::SerialReused::default()))),
            bug => Place::Domain(bug),
        };
        Planted { name: bug.name(), of: "ca", place, shows: shows(bug) }
    };
    Bug::ALL.into_iter().map(in_ca).collect()
}

#[cfg(planted)]
const fn shows(bug: ca::planted::Bug) -> Life {
    use ca::planted::Bug;
    match bug {
        Bug::StaleCaa | Bug::ExpiredAuthorization => Life::Scripted(Script::Waits),
        Bug::UncountedIssuances => Life::SignerAway,
        Bug::ForgottenDeadline => Life::LedgerAway,
        Bug::LostWakeUp => Life::TwoOrders,
        Bug::DeathOnWorkbenchFirst | Bug::SweepBeforeLog => Life::ShortDeadline,
        Bug::FinalizeTwice => REPEATS,
        Bug::DeactivatedAccount => Life::Scripted(Script::Leaves),
        Bug::RevokedBeforeLine | Bug::OcspStatusNotRead | Bug::OcspOlderAnswer => REVOKES,
        Bug::StopCoversNothing | Bug::SignerBlindToStops => STOPPED,
        Bug::LostWithWorkbench => Life::Scripted(Script::LosesWorkbench),
        Bug::AppliedTooEarly => Life::TwoServers,
        Bug::OtherBytesSigned
        | Bug::SerialReused
        | Bug::GoodBeforeLine
        | Bug::LineAfterStore
        | Bug::FinalBuiltAnew
        | Bug::CrlNumberReused
        | Bug::MarkBeforeLines
        | Bug::CertificateLinesIgnored
        | Bug::OcspGoodForWait
        | Bug::LogNotReconciled => Life::Order,
    }
}
