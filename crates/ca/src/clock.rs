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
    /// The time of day and the monotonic time when they were looked at last.
    last: Option<(Timestamp, Duration)>,
    /// Until this monotonic time the time of day is not believed.
    doubted: Option<Duration>,
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

    /// Whether what has a time may end by it. Not for this long after the time of day leapt forward by more than
    /// [`BEHIND_MAX`]: one wrong answer of a time server must not end everything. A process knows of no leap before
    /// its own first look.
    pub(crate) fn ends_by_time(&self, now: Timestamp, monotonic: Duration, doubted_for: Duration) -> bool {
        let mut went = self.went.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((day, then)) = went.last.replace((now, monotonic)) {
            let leap = now.since(day).saturating_sub(monotonic.saturating_sub(then));
            if leap > BEHIND_MAX {
                let (seconds, held) = (leap.as_secs(), doubted_for.as_secs());
                tracing::error!(
                    seconds,
                    held,
                    "the clock leapt forward: for as long as `held` says no order ends by it"
                );
                went.doubted = Some(monotonic.saturating_add(doubted_for));
            }
        }
        went.doubted.is_none_or(|until| monotonic >= until)
    }
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

    /// What a client asks for needs a signature soon, or a time that decides what is signed.
    ///
    /// # Errors
    /// `Failed`, if nothing may be signed now.
    pub(crate) async fn require_clock(&self) -> Answer<()> {
        self.check_clock().await?.map_err(|behind| Error::Failed(behind.to_string()))
    }

    /// The operator says that the clock is right now: records with later times were written while it was wrong. Logged
    /// before it counts. What was the newest until now; `None`: the clock was not behind, and nothing has changed.
    ///
    /// # Errors
    /// The stores could not be asked.
    pub async fn accept_clock(&self, by: &str) -> Answer<Option<Newest>> {
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
