//! The issuance cycle: nine steps from good authorizations to a stored certificate, ordered so that a power failure at
//! any moment leaves a record of what was, or may have been, signed.
//!
//! Each step takes the receipt of the one before it and gives its own. A receipt has no other constructor and can't be
//! cloned: no step can be left out or done twice.

mod end;
mod receipts;
mod steps;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pki::{Serial, Timestamp};

pub use end::IssuanceEnd;
use receipts::Precommitted;

use crate::authority::Ca;
use crate::order::Order;
use crate::ports::{IssuanceCaps, IssuanceNumber, Lease, StoreErrorKind, Stored};
use crate::settings::Settings;
use crate::stops::Stopped;

/// Before what may be repeated is repeated; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Until the clock is looked at again for an order, if it was wrong.
pub(crate) const CLOCK_PAUSE: Duration = Duration::from_secs(5);

/// Until a stop is looked at again for an order that waits for its end.
const STOP_PAUSE: Duration = Duration::from_secs(10);

/// So many issuances of an order may be cut short before each has to wait: each takes a serial, and one may be what its
/// process dies of.
const UNPACED: u32 = 10;
/// How long each waits from then on.
const PACE: Duration = Duration::from_secs(10);

impl Settings {
    /// Processes that die don't end an order before its deadline, however many they are; what it takes until then is
    /// bounded by the pace.
    pub(crate) fn issuance_caps(&self) -> IssuanceCaps {
        let paced = self.times.issue_deadline.as_secs() / PACE.as_secs();
        let begun = UNPACED.saturating_add(u32::try_from(paced).unwrap_or(u32::MAX)).saturating_add(1);
        let failed = self.limits.issuances;
        IssuanceCaps { failed, begun: begun.saturating_add(failed), unpaced: UNPACED, pace: PACE }
    }
}

/// An order with its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate's serial.
    pub serial: Serial,
    /// The issuance that led to it.
    pub number: IssuanceNumber,
}

/// One run of the cycle for an order: who runs it, and for how long he may.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    ca: &'a Ca,
    order: &'a Order,
    /// When the lease ends, by the clock of this process that never goes back.
    until: Duration,
    /// When the step at hand began, by that clock, in microseconds.
    step_began_us: AtomicU64,
}

impl Ca {
    /// Runs the cycle for an order in `Issue`. The lease was claimed at `claimed` on the monotonic clock.
    ///
    /// # Errors
    /// How the issuance ended without a certificate, and so who does what next.
    pub async fn issue(&self, order: &Order, lease: &Lease, claimed: Duration) -> Result<Issued, IssuanceEnd> {
        debug_assert_eq!(order.id, lease.order, "the lease is for this order");
        self.clock_before_issuance().await?;
        self.stops_before_issuance(order).await?;
        let until = claimed + self.settings.times.issue_lease;
        let step_began_us = AtomicU64::new(micros(self.clock.monotonic()));
        match (Run { ca: self, order, until, step_began_us }).cycle().await {
            // Whoever stood still for so long knows nothing of what he waited for.
            Err(IssuanceEnd::Over { serial, detail }) if self.clock.monotonic() >= until => {
                Err(IssuanceEnd::CutShort { serial, detail })
            }
            Err(IssuanceEnd::Over { serial, detail }) => {
                if let Err(error) = self.ledger.issuance_failed(serial, &detail).await {
                    tracing::warn!(order = %order.id, %serial, %error, "the failure of an issuance was not noted");
                }
                Err(IssuanceEnd::Over { serial, detail })
            }
            ended => ended,
        }
    }
}

impl Ca {
    /// Nothing is taken with a clock that nothing may be signed with.
    async fn clock_before_issuance(&self) -> Result<(), IssuanceEnd> {
        match self.check_clock().await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(behind)) => Err(IssuanceEnd::Wait { detail: behind.to_string(), after: Some(CLOCK_PAUSE) }),
            Err(error) => Err(IssuanceEnd::wait(&error)),
        }
    }

    /// Nothing is asked of others for an order that can't begin: `begin` would refuse it.
    async fn stops_before_issuance(&self, order: &Order) -> Result<(), IssuanceEnd> {
        let stopped = self.stopped(order).await.map_err(|error| IssuanceEnd::wait(&error))?;
        stopped.map_or(Ok(()), |stopped| Err(stopped.before_issuance()))
    }
}

impl Stopped {
    fn before_issuance(self) -> IssuanceEnd {
        match self {
            Self::Waits(problem) => IssuanceEnd::Wait { detail: problem.detail, after: Some(STOP_PAUSE) },
            Self::OfNames(problem) => IssuanceEnd::Dead(Box::new(problem)),
            Self::OfAccount => IssuanceEnd::Dead(Box::new(Self::death_of_account())),
        }
    }

    /// It came when a serial was taken: that it isn't signed for is no fault of the issuance.
    fn in_issuance(self, serial: Serial) -> IssuanceEnd {
        match self {
            Self::Waits(problem) => IssuanceEnd::CutShort { serial, detail: problem.detail },
            Self::OfNames(problem) => IssuanceEnd::Dead(Box::new(problem)),
            Self::OfAccount => IssuanceEnd::Dead(Box::new(Self::death_of_account())),
        }
    }
}

impl Run<'_> {
    /// The nine steps.
    async fn cycle(&self) -> Result<Issued, IssuanceEnd> {
        let authorized = self.check_authorizations().await?; // 1
        let mut permitted = self.recheck_caa(authorized).await?; // 2
        let committed = loop {
            let allocated = self.allocate_serial(permitted).await?; // 3
            let profiled = self.select_profile(allocated)?; // 4
            match self.precommit(profiled).await? {
                Precommitted::Begun(committed) => break *committed, // 5
                Precommitted::SerialTaken(again) => permitted = again,
            }
        };
        let linted = if committed.has_ct() {
            let precertificate = self.sign_precertificate(committed).await?; // 6
            let logged = self.submit_to_ct(precertificate).await?; // 7
            self.lint_certificate(logged).await? // 8
        } else {
            self.without_ct(committed)? // 6 to 8 fall together with 9
        };
        self.sign_certificate(linted).await // 9
    }

    /// How much of the lease is left.
    fn remaining(&self) -> Duration {
        self.until.saturating_sub(self.ca.clock.monotonic())
    }

    /// No signature starts with less than the margin left of the lease, nor with a clock that is behind.
    async fn may_sign(&self, serial: Serial) -> Result<(), IssuanceEnd> {
        let clock = self.ca.check_clock().await.map_err(|error| IssuanceEnd::over(serial, &error))?;
        clock.map_err(|behind| IssuanceEnd::CutShort { serial, detail: behind.to_string() })?;
        if self.remaining() < self.ca.settings.times.signature_margin {
            let detail = "too little is left of the lease for a signature".into();
            return Err(IssuanceEnd::CutShort { serial, detail });
        }
        Ok(())
    }

    /// Writes down what was signed and logged, again and again within the lease: the signature exists, and the ledger
    /// has to know. Such a write done twice is done once, so an unknown outcome is no reason to give up.
    async fn insist<T, F>(&self, serial: Serial, write: impl Fn() -> F) -> Result<T, IssuanceEnd>
    where
        F: Future<Output = Stored<T>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            match write().await {
                Ok(written) => return Ok(written),
                Err(error) if may_pass(error.kind) && self.remaining() > pause => {
                    let order = self.order.id;
                    tracing::warn!(%order, %serial, %error, "the ledger could not be written; once more");
                    self.ca.clock.sleep(pause).await;
                    pause *= 2;
                }
                Err(error) => return Err(IssuanceEnd::over(serial, &error)),
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.ca.now()
    }

    /// One line for each step: which, for what, and how long it took.
    fn done(&self, step: u8, serial: Option<Serial>, what: &str) {
        let now_us = micros(self.ca.clock.monotonic());
        let took_us = now_us.saturating_sub(self.step_began_us.swap(now_us, Ordering::Relaxed));
        match serial {
            Some(serial) => tracing::info!(order = %self.order.id, %serial, step, took_us, "{what}"),
            None => tracing::info!(order = %self.order.id, step, took_us, "{what}"),
        }
    }
}

const fn may_pass(kind: StoreErrorKind) -> bool {
    match kind {
        StoreErrorKind::Unavailable | StoreErrorKind::Full | StoreErrorKind::Unknown => true,
        StoreErrorKind::Fatal | StoreErrorKind::Corrupt => false,
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
