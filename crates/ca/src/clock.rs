//! A clock that is wrong: nothing is signed with one that is more than a minute behind the newest time in the ledger.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pki::Timestamp;

use crate::authority::Ca;
use crate::error::{Answer, Error};
use crate::ports::{AuditEvent, Newest, Stored};

/// So far behind the newest record of the ledger a clock may be. Clocks are corrected by less.
pub const BEHIND_MAX: Duration = Duration::from_secs(60);

/// The clock is behind the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ClockBehind {
    /// What the clock says.
    pub now: Timestamp,
    /// What the ledger has.
    pub newest: Newest,
}

impl ClockBehind {
    /// How far it is behind.
    pub fn by(&self) -> Duration {
        self.newest.at.since(self.now)
    }
}

impl fmt::Display for ClockBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Newest { at, record } = self.newest;
        write!(
            f,
            "the clock says {}, {} seconds before {record} of {}, the newest record of the ledger: nothing is signed \
             until the clock is right; if it is right now and was wrong then, say so with `cairn clock accept`",
            self.now.to_rfc3339(),
            self.by().as_secs(),
            at.to_rfc3339(),
        )
    }
}

/// Whether nothing may be signed at this time.
///
/// # Errors
/// It is more than [`BEHIND_MAX`] before the newest record.
pub fn check(newest: Newest, now: Timestamp) -> Result<(), ClockBehind> {
    if newest.at.since(now) > BEHIND_MAX { Err(ClockBehind { now, newest }) } else { Ok(()) }
}

/// Remembers whether the clock was behind, so that it is said once, and said when it is over; and how far the time of
/// day went beside the time that went by.
#[derive(Debug, Default)]
pub struct ClockWatch {
    behind: Mutex<bool>,
    went: Mutex<Went>,
}

#[derive(Debug, Default)]
struct Went {
    /// By how many milliseconds the time of day was ahead of the monotonic time at the most, where it was believed.
    believed: Option<i64>,
    /// It leapt beyond that: by the monotonic time when, and how far ahead it was then.
    leapt: Option<(Duration, i64)>,
}

impl ClockWatch {
    fn saw(&self, checked: &Result<(), ClockBehind>) {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        match (checked, *behind) {
            (Err(error), false) => tracing::error!(%error, "the clock is wrong"),
            (Ok(()), true) => tracing::warn!("the clock is right again: signing goes on"),
            (Err(_), true) | (Ok(()), false) => {}
        }
        *behind = checked.is_err();
    }

    /// Whether the time of day is not to be relied on: for this long after it leapt forward by more than
    /// [`BEHIND_MAX`], or until it is back where it was. One wrong answer of a time server must not end everything. A
    /// process knows of no leap before its own first look, nor of one that ends a time when it was behind.
    fn doubts(&self, now: Timestamp, monotonic: Duration, doubted_for: Duration) -> bool {
        let ahead = now.millis().saturating_sub(millis(monotonic));
        let behind = *self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        let mut went = self.went.lock().unwrap_or_else(PoisonError::into_inner);
        if behind {
            *went = Went::default();
            return false;
        }
        let believed = *went.believed.get_or_insert(ahead);
        let is_a_leap = |from: i64| ahead.saturating_sub(from) > millis(BEHIND_MAX);
        if !is_a_leap(believed) {
            *went = Went { believed: Some(believed.max(ahead)), leapt: None };
            return false;
        }
        match went.leapt {
            Some((at, by)) if !is_a_leap(by) => {
                let is_over = monotonic.saturating_sub(at) >= doubted_for;
                if is_over {
                    *went = Went { believed: Some(ahead), leapt: None };
                }
                !is_over
            }
            Some(_) | None => {
                let (seconds, held) = (ahead.saturating_sub(believed) / 1000, doubted_for.as_secs());
                tracing::error!(
                    seconds,
                    held,
                    "the clock leapt forward: for as long as `held` says no order ends by it, and it is on no CRL and \
                     OCSP answer; if it is right now, say so with `cairn clock accept`"
                );
                went.leapt = Some((monotonic, ahead));
                true
            }
        }
    }

    fn believes(&self, now: Timestamp, monotonic: Duration) {
        let believed = Some(now.millis().saturating_sub(millis(monotonic)));
        *self.went.lock().unwrap_or_else(PoisonError::into_inner) = Went { believed, leapt: None };
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Ca {
    /// Compares the clock with the ledger.
    ///
    /// # Errors
    /// The outer: the ledger could not be asked. The inner: nothing may be signed.
    pub async fn check_clock(&self) -> Stored<Result<(), ClockBehind>> {
        // Read first: what is written meanwhile must not look like a clock that is behind.
        let newest = self.ledger.newest().await?;
        let checked = check(newest, self.now());
        self.clock_watch.saw(&checked);
        Ok(checked)
    }

    /// Whether the time of day leapt forward a short while ago: nothing ends by it, and what relying parties keep is
    /// not dated with it.
    pub fn clock_is_doubted(&self) -> bool {
        self.clock_watch.doubts(self.now(), self.clock.monotonic(), self.settings.times.issue_deadline)
    }

    /// What a client asks for needs a signature soon, or a time that decides what is signed.
    ///
    /// # Errors
    /// `Failed`, if nothing may be signed now.
    pub(crate) async fn require_clock(&self) -> Answer<()> {
        self.check_clock().await?.map_err(|behind| Error::Failed(behind.to_string()))
    }

    /// The operator says that the clock is right now: a leap forward is doubted no longer, and records with later times
    /// were written while it was wrong. Logged before it counts. What was the newest until now; `None`: the clock was
    /// not behind, and nothing was logged.
    ///
    /// # Errors
    /// The stores could not be asked.
    pub async fn accept_clock(&self, by: &str) -> Answer<Option<Newest>> {
        self.clock_watch.believes(self.now(), self.clock.monotonic());
        let Err(ClockBehind { newest, .. }) = self.check_clock().await? else { return Ok(None) };
        let event = AuditEvent::ClockAccepted { newest: newest.at, by: by.to_owned() };
        let line = self.audit.append(event).await?;
        self.ledger.accept_time(self.now()).await?;
        self.audit.applied(line);
        tracing::warn!(newest = %newest.at.to_rfc3339(), record = %newest.record, %by, "the clock's time was accepted");
        self.clock_watch.saw(&Ok(()));
        Ok(Some(newest))
    }
}
