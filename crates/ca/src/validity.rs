//! `notBefore` and `notAfter` (RFC 8555 §7.4): what a client may ask for, and what its certificate gets.

use std::time::Duration;

use acme::{NewOrder, Problem};
use pki::{Timestamp, Validity};
use serde::{Deserialize, Serialize};

use crate::profile::Profile;

/// A `notBefore` may lie so far in the past, whatever the profile: a request takes a moment to come here, and clocks of
/// clients are slow.
const LATE_MAX: Duration = Duration::from_secs(300);
/// A certificate that lives shorter is over before it is installed.
const SHORTEST: Duration = Duration::from_secs(3600);
/// As far as `notBefore` may be from the signature (BR 7.1.2.7: 48 hours), less an hour for the signature to be made.
const BASELINE_DISTANCE_MAX: Duration = Duration::from_secs(47 * 3600);

/// The validity that a client asked for: what it left out follows from the profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedValidity {
    /// The `notBefore` of its certificate, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The `notAfter` of its certificate, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

/// What bounds a validity when an order is made.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// The profile of the order.
    pub profile: &'a Profile,
    /// When the order is made.
    pub now: Timestamp,
    /// How long the order would live.
    pub order_lifetime: Duration,
    /// The validity of the issuer: a certificate never outlives it.
    pub issuer: Validity,
}

impl Bounds<'_> {
    fn earliest(&self) -> Timestamp {
        let late = self.now.whole_second().minus(LATE_MAX);
        backdated(self.profile, self.now).min(late).max(self.issuer.not_before)
    }

    /// `notBefore` may be as far ahead as the order may be finalized, no farther than the lints let it be, and no later
    /// than a certificate that the issuer outlives can begin.
    fn latest_start(&self) -> Timestamp {
        let ahead =
            if self.profile.baseline { self.order_lifetime.min(BASELINE_DISTANCE_MAX) } else { self.order_lifetime };
        self.now.whole_second().plus(ahead).min(self.issuer.not_after.minus(SHORTEST))
    }
}

fn backdated(profile: &Profile, now: Timestamp) -> Timestamp {
    now.whole_second().minus(Duration::from_secs(profile.backdate_seconds))
}

/// Both ends count (RFC 5280 §4.1.2.5): 90 days end a second before they would otherwise.
fn longest(profile: &Profile, not_before: Timestamp) -> Timestamp {
    not_before.plus(profile.lifetime()).minus(Duration::from_secs(1))
}

impl AskedValidity {
    /// What newOrder asks for. What can't be had as it was asked for is refused (RFC 8555 §7.4: a certificate has what
    /// was requested, or isn't issued).
    ///
    /// # Errors
    /// `malformed`: the detail names the member and what would be right.
    pub fn of(asked: &NewOrder, bounds: Bounds<'_>) -> Result<Self, Problem> {
        let not_before = asked.not_before.as_deref().map(|text| time("notBefore", text)).transpose()?;
        let not_after = asked.not_after.as_deref().map(|text| time("notAfter", text)).transpose()?;
        if let Some(start) = not_before {
            check_start(start, bounds)?;
        }
        let Some(end) = not_after else { return Ok(Self { not_before, not_after }) };
        let (now, lifetime) = (bounds.now.whole_second(), bounds.profile.lifetime());
        if end <= now {
            return Err(Problem::malformed(format!("notAfter {end} is not in the future; it is {now} now")));
        }
        let start = not_before.unwrap_or(now);
        if end <= start {
            return Err(Problem::malformed(format!("notAfter {end} is not behind notBefore {start}")));
        }
        if end.since(start) < SHORTEST {
            return Err(Problem::malformed(format!(
                "notAfter {end} leaves less than an hour; the earliest that can be had is {}",
                start.plus(SHORTEST)
            )));
        }
        // Who asks for the whole life of a profile from now on may have it.
        let longest = not_before.map_or_else(|| now.plus(lifetime), |start| longest(bounds.profile, start));
        let latest = longest.min(bounds.issuer.not_after);
        if end > latest {
            let name = &bounds.profile.name;
            return Err(Problem::malformed(format!(
                "notAfter {end} is too late; with profile {name} the latest is {latest} now"
            )));
        }
        Ok(Self { not_before, not_after })
    }

    /// Whether nothing was asked for.
    pub const fn is_empty(&self) -> bool {
        self.not_before.is_none() && self.not_after.is_none()
    }

    /// When an order for it has to be finalized at the latest, so that its certificate can be had as it was promised.
    pub fn expires(&self, profile: &Profile) -> Option<Timestamp> {
        let start = self.not_before.filter(|_| profile.baseline).map(|start| start.plus(BASELINE_DISTANCE_MAX));
        let end = self.not_after.map(|end| end.minus(SHORTEST / 2));
        start.into_iter().chain(end).min()
    }

    /// The validity of a certificate that is made now: as it was asked for, within the profile's, and never beyond the
    /// issuer's. It has begun, or begins with the next second, unless `notBefore` was asked for. `None`: what was asked
    /// for can't be had any more.
    pub fn of_certificate(&self, profile: &Profile, issuer: Validity, now: Timestamp) -> Option<Validity> {
        let start = self.not_before.unwrap_or_else(|| {
            let whole_life = self.not_after.map(|end| end.minus(profile.lifetime()).plus(Duration::from_secs(1)));
            whole_life.into_iter().fold(backdated(profile, now), Timestamp::max).max(issuer.not_before)
        });
        let longest = longest(profile, start).min(issuer.not_after);
        let end = self.not_after.unwrap_or(longest);
        // The profile's life may have been made shorter since the end was promised.
        let in_time = self.not_before.is_some() || start <= now.whole_second().plus(Duration::from_secs(1));
        let can_be_had = start >= issuer.not_before && in_time && start < end && end <= longest && now < end;
        can_be_had.then_some(Validity { not_before: start, not_after: end })
    }
}

fn check_start(start: Timestamp, bounds: Bounds<'_>) -> Result<(), Problem> {
    let (earliest, latest) = (bounds.earliest(), bounds.latest_start());
    let name = &bounds.profile.name;
    if start < earliest {
        return Err(Problem::malformed(format!(
            "notBefore {start} is too early; with profile {name} the earliest is {earliest} now"
        )));
    }
    if start > latest {
        return Err(Problem::malformed(format!(
            "notBefore {start} is too far ahead; with profile {name} the latest is {latest} now"
        )));
    }
    Ok(())
}

/// Certificates know whole seconds.
fn time(member: &str, text: &str) -> Result<Timestamp, Problem> {
    Timestamp::parse_rfc3339(text).map(Timestamp::whole_second).ok_or_else(|| {
        let text: String = text.chars().take(40).collect();
        Problem::malformed(format!("{member} {text:?} is no time of RFC 3339; send it like 2027-01-31T12:00:00Z"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    fn profile() -> Profile {
        Profile {
            name: "classic".to_owned(),
            description: String::new(),
            lifetime_seconds: 90 * DAY,
            backdate_seconds: 300,
            ct: None,
            baseline: true,
            client_auth: false,
            common_name: true,
            crl: true,
            ocsp: true,
            ip_addresses: true,
            offered: true,
        }
    }

    fn after(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn issuer() -> Validity {
        Validity { not_before: NOW.minus(Duration::from_secs(DAY)), not_after: after(1000 * DAY) }
    }

    fn asked(not_before: Option<String>, not_after: Option<String>) -> Result<AskedValidity, Problem> {
        let asked = NewOrder { not_before, not_after, ..NewOrder::default() };
        let order_lifetime = Duration::from_secs(7 * DAY);
        AskedValidity::of(&asked, Bounds { profile: &profile(), now: NOW, order_lifetime, issuer: issuer() })
    }

    fn start(at: Timestamp) -> Result<AskedValidity, Problem> {
        asked(Some(at.to_rfc3339()), None)
    }

    #[test]
    fn start_lies_between_the_backdate_and_what_the_lints_allow() {
        assert!(start(NOW.minus(Duration::from_secs(300))).is_ok());
        assert!(start(NOW.minus(Duration::from_secs(301))).unwrap_err().detail.contains("too early"));
        assert!(start(after(47 * HOUR)).is_ok());
        assert!(start(after(47 * HOUR + 1)).unwrap_err().detail.contains("too far ahead"));
    }

    #[test]
    fn start_may_be_a_moment_ago_even_if_the_profile_does_not_backdate() {
        let of = |at: Timestamp, issuer: Validity| {
            let asked = NewOrder { not_before: Some(at.to_rfc3339()), ..NewOrder::default() };
            let profile = Profile { backdate_seconds: 0, ..profile() };
            AskedValidity::of(
                &asked,
                Bounds { profile: &profile, now: NOW, order_lifetime: Duration::from_secs(7 * DAY), issuer },
            )
        };
        assert!(of(NOW.minus(LATE_MAX), issuer()).is_ok());
        assert!(of(NOW.minus(LATE_MAX + Duration::from_secs(1)), issuer()).unwrap_err().detail.contains("too early"));
        let young = Validity { not_before: NOW, ..issuer() };
        assert!(of(NOW.minus(Duration::from_secs(1)), young).unwrap_err().detail.contains("too early"));
    }

    #[test]
    fn start_leaves_an_hour_before_the_issuer_ends() {
        let of = |seconds: u64| {
            let asked = NewOrder { not_before: Some(after(seconds).to_rfc3339()), ..NewOrder::default() };
            let issuer = Validity { not_after: after(DAY), ..issuer() };
            AskedValidity::of(
                &asked,
                Bounds { profile: &profile(), now: NOW, order_lifetime: Duration::from_secs(7 * DAY), issuer },
            )
        };
        assert!(of(23 * HOUR).is_ok());
        assert!(of(23 * HOUR + 1).unwrap_err().detail.contains("too far ahead"));
    }

    #[test]
    fn end_may_be_as_late_as_the_profile_lets_it() {
        let end = |start: Option<u64>, seconds: u64| {
            let start = start.map(|start| after(start).to_rfc3339());
            asked(start, Some(after(seconds).to_rfc3339()))
        };
        assert_eq!(end(None, 90 * DAY).unwrap().not_after, Some(after(90 * DAY)));
        assert!(end(None, 90 * DAY + 1).unwrap_err().detail.contains("too late"));
        assert!(end(Some(HOUR), HOUR + 90 * DAY - 1).is_ok());
        assert!(end(Some(HOUR), HOUR + 90 * DAY).unwrap_err().detail.contains("too late"));
    }

    #[test]
    fn end_that_cannot_be_had_is_refused_with_the_reason() {
        let fault = |start: Option<u64>, end: Timestamp| {
            asked(start.map(|seconds| after(seconds).to_rfc3339()), Some(end.to_rfc3339())).unwrap_err().detail
        };
        assert!(fault(None, NOW).contains("not in the future"));
        assert!(fault(Some(2 * HOUR), after(2 * HOUR)).contains("not behind"));
        assert!(fault(None, after(HOUR - 1)).contains("less than an hour"));
        for text in ["", "tomorrow", "2027-02-30T00:00:00Z", "1800000000", "2027-01-01"] {
            assert!(asked(None, Some(text.to_owned())).unwrap_err().detail.starts_with("notAfter"), "{text}");
        }
    }

    #[test]
    fn certificate_lives_within_profile_and_issuer_whenever_it_is_made() {
        let classic = profile();
        let none = AskedValidity::default().of_certificate(&classic, issuer(), after(5)).unwrap();
        assert_eq!(none.not_before, after(5).minus(Duration::from_secs(300)));
        assert_eq!(none.not_after.since(none.not_before), Duration::from_secs(90 * DAY - 1));
        let end = AskedValidity { not_before: None, not_after: Some(after(2 * DAY)) };
        assert_eq!(end.of_certificate(&classic, issuer(), after(DAY)).unwrap().not_after, after(2 * DAY));
        assert_eq!(end.of_certificate(&classic, issuer(), after(2 * DAY)), None);
        let whole = AskedValidity { not_before: None, not_after: Some(after(90 * DAY)) };
        let validity = whole.of_certificate(&classic, issuer(), after(5)).unwrap();
        assert_eq!((validity.not_before, validity.not_after), (after(1), after(90 * DAY)));
        assert_eq!(whole.of_certificate(&Profile { lifetime_seconds: 60 * DAY, ..profile() }, issuer(), NOW), None);
        let short = Validity { not_after: after(DAY), ..issuer() };
        assert_eq!(AskedValidity::default().of_certificate(&classic, short, NOW).unwrap().not_after, after(DAY));
        assert_eq!(end.of_certificate(&classic, short, NOW), None, "never other dates than were asked for");
    }

    #[test]
    fn order_ends_before_its_promise_cannot_be_kept() {
        let both = AskedValidity { not_before: Some(NOW), not_after: Some(after(DAY)) };
        assert_eq!(both.expires(&profile()), Some(after(DAY - HOUR / 2)));
        let start = AskedValidity { not_before: Some(NOW), not_after: None };
        assert_eq!(start.expires(&profile()), Some(after(47 * HOUR)));
        assert_eq!(start.expires(&Profile { baseline: false, ..profile() }), None);
    }
}
