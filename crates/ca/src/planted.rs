//! Faults put in on purpose, one at a time, for the simulation to find: compiled under `--cfg planted` alone, never
//! into `cairn`. What `planted!` encloses is the wrong thing that is done instead, or besides.

use std::cell::Cell;
use std::time::Duration;

use crate::authorization::ChallengeState;
use crate::order::{Order, Tested};
use crate::ports::IssuanceCaps;

/// A fault that can be planted here. Faults of a port are wrappers of it, in `sim`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bug {
    /// Step 5 stores other bytes than those that are signed, and the signer doesn't compare them.
    OtherBytesSigned,
    /// Step 3 draws the same number for every certificate, taken or not.
    SerialReused,
    /// CAA isn't checked again, however old the last check is, and the signer doesn't mind.
    StaleCaa,
    /// An authorization counts for ever.
    ExpiredAuthorization,
    /// Step 6 writes `good` before the audit log has the precertificate's line.
    GoodBeforeLine,
    /// Step 9 stores the certificate, for all to see, before the audit log has its line.
    LineAfterStore,
    /// Step 6 tells the audit log that its line is in the ledger before it is.
    AppliedTooEarly,
    /// The final certificate is built anew, not from its precertificate, and nobody compares them.
    FinalBuiltAnew,
    /// The issuances of an order aren't counted.
    UncountedIssuances,
    /// A worker writes an order back as it was when it was claimed: what was answered meanwhile is forgotten.
    LostWakeUp,
    /// A death by deadline in `Issue` is written on the workbench before the ledger is asked.
    DeathOnWorkbenchFirst,
    /// No order dies at its deadline.
    ForgottenDeadline,
    /// A second finalize takes the place of the first.
    FinalizeTwice,
    /// A deactivated account counts as valid.
    DeactivatedAccount,
    /// The ledger is written before the audit log has the revocation's line.
    RevokedBeforeLine,
    /// A CRL takes the number behind that of the last one stored, whatever was allocated.
    CrlNumberReused,
    /// Recovery moves its mark before the lines are in the ledger.
    MarkBeforeLines,
    /// Recovery doesn't bring certificates into the ledger.
    CertificateLinesIgnored,
    /// The first sweep comes before the audit log is brought into the ledger.
    SweepBeforeLog,
    /// Leases of the process before are freed, orders are claimed and swept, and the audit log is never brought in.
    LogNotReconciled,
    /// An order that only the ledger knows doesn't come back to the workbench.
    LostWithWorkbench,
    /// An OCSP answer that was signed once is given without a look at the ledger.
    OcspStatusNotRead,
    /// An OCSP answer is given again though the ledger says something else by now.
    OcspOlderAnswer,
    /// OCSP says `good` of `wait`, and the signer doesn't mind.
    OcspGoodForWait,
    /// No stop of issuance is for any order.
    StopCoversNothing,
    /// The signer doesn't look at stops.
    SignerBlindToStops,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::OtherBytesSigned,
        Self::SerialReused,
        Self::StaleCaa,
        Self::ExpiredAuthorization,
        Self::GoodBeforeLine,
        Self::LineAfterStore,
        Self::AppliedTooEarly,
        Self::FinalBuiltAnew,
        Self::UncountedIssuances,
        Self::LostWakeUp,
        Self::DeathOnWorkbenchFirst,
        Self::ForgottenDeadline,
        Self::FinalizeTwice,
        Self::DeactivatedAccount,
        Self::RevokedBeforeLine,
        Self::CrlNumberReused,
        Self::MarkBeforeLines,
        Self::CertificateLinesIgnored,
        Self::SweepBeforeLog,
        Self::LogNotReconciled,
        Self::LostWithWorkbench,
        Self::OcspStatusNotRead,
        Self::OcspOlderAnswer,
        Self::OcspGoodForWait,
        Self::StopCoversNothing,
        Self::SignerBlindToStops,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OtherBytesSigned => "other-bytes-signed",
            Self::SerialReused => "serial-reused",
            Self::StaleCaa => "stale-caa",
            Self::ExpiredAuthorization => "expired-authorization",
            Self::GoodBeforeLine => "good-before-line",
            Self::LineAfterStore => "line-after-store",
            Self::AppliedTooEarly => "applied-too-early",
            Self::FinalBuiltAnew => "final-built-anew",
            Self::UncountedIssuances => "uncounted-issuances",
            Self::LostWakeUp => "lost-wake-up",
            Self::DeathOnWorkbenchFirst => "death-on-workbench-first",
            Self::ForgottenDeadline => "forgotten-deadline",
            Self::FinalizeTwice => "finalize-twice",
            Self::DeactivatedAccount => "deactivated-account",
            Self::RevokedBeforeLine => "revoked-before-line",
            Self::CrlNumberReused => "crl-number-reused",
            Self::MarkBeforeLines => "mark-before-lines",
            Self::CertificateLinesIgnored => "certificate-lines-ignored",
            Self::SweepBeforeLog => "sweep-before-log",
            Self::LogNotReconciled => "log-not-reconciled",
            Self::LostWithWorkbench => "lost-with-workbench",
            Self::OcspStatusNotRead => "ocsp-status-not-read",
            Self::OcspOlderAnswer => "ocsp-older-answer",
            Self::OcspGoodForWait => "ocsp-good-for-wait",
            Self::StopCoversNothing => "stop-covers-nothing",
            Self::SignerBlindToStops => "signer-blind-to-stops",
        }
    }
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a fault in whatever this thread runs from here on, in place of the one before; `None` takes it out.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this one is planted.
pub(crate) fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// `planted!(BUG)`: whether it is planted. `planted!(BUG { wrong } else { right })`: one or the other.
/// `planted!(BUG { wrong })`: done besides.
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is($crate::planted::Bug::$bug)
    };
    ($bug:ident $wrong:block else $right:block) => {
        if planted!($bug) $wrong else $right
    };
    ($bug:ident $wrong:block) => {
        if planted!($bug) $wrong
    };
}

/// Nothing bounds the issuances of an order.
pub(crate) const NO_CAPS: IssuanceCaps =
    IssuanceCaps { failed: u32::MAX, begun: u32::MAX, unpaced: u32::MAX, pace: Duration::ZERO };

/// What it comes to when an order is written back as it was when it was claimed.
pub(crate) fn forget_later_answers(order: &mut Order, results: &[Tested]) {
    for authorization in order.authorizations.iter_mut().filter(|one| one.end.is_none()) {
        let id = authorization.id;
        for challenge in &mut authorization.challenges {
            let tested = results.iter().any(|one| one.authorization == id && one.method == challenge.method);
            if !tested && matches!(challenge.state, ChallengeState::Answered { tries: 0, problem: None, .. }) {
                challenge.state = ChallengeState::Pending;
            }
        }
    }
}
