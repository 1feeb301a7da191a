//! Times of CRLs, as they are written and as they are used.

use std::time::Duration;

use ca::settings::{CrlTimes, Settings};

use super::{ConfigError, RegimeName, file};

const HOUR_S: u64 = 3600;
/// How old the newest CRL may get, in hours (BR 4.9.7): where certificates can be found by CRLs alone, and where each
/// certificate names an OCSP responder as well.
const RENEWAL_HOURS_MAX: u64 = 4 * 24;
const RENEWAL_HOURS_MAX_WITH_OCSP: u64 = 7 * 24;

/// Times of CRLs.
pub(super) fn times(file: &file::Crl) -> Result<CrlTimes, ConfigError> {
    let defaults = CrlTimes::default();
    let or =
        |value: Option<u32>, default: Duration| value.map_or(default, |h| Duration::from_secs(u64::from(h) * 3600));
    let times = CrlTimes {
        renewal: or(file.renewal_hours, defaults.renewal),
        gathering: file.gathering_seconds.map_or(defaults.gathering, |s| Duration::from_secs(s.into())),
        validity: or(file.validity_hours, defaults.validity),
    };
    if times.gathering.is_zero() || times.gathering > Duration::from_secs(3600) {
        return Err(ConfigError::new("crl.gathering-seconds", "must be 1 to 3600: revocations are to be seen soon"));
    }
    if times.renewal.is_zero() || times.validity <= times.renewal || times.validity > Duration::from_secs(10 * 86_400) {
        return Err(ConfigError::new(
            "crl",
            "validity-hours must be longer than renewal-hours and at most 240 (10 days, BR 4.9.7)",
        ));
    }
    Ok(times)
}

/// Where the Baseline Requirements apply, they say how often CRLs are made anew. A CA for tests may try what it likes.
pub(super) fn require_renewal(settings: &Settings, regime: RegimeName) -> Result<(), ConfigError> {
    let mut baseline = settings.profiles.iter().filter(|profile| profile.baseline && profile.offered).peekable();
    if regime == RegimeName::Dev || baseline.peek().is_none() {
        return Ok(());
    }
    let without = baseline.find(|profile| settings.ocsp_pointer(profile).is_none());
    let most = if without.is_some() { RENEWAL_HOURS_MAX } else { RENEWAL_HOURS_MAX_WITH_OCSP };
    let hours = settings.crl.renewal.as_secs() / HOUR_S;
    if hours <= most {
        return Ok(());
    }
    let hint = without.map_or_else(String::new, |profile| {
        format!(
            "; up to {RENEWAL_HOURS_MAX_WITH_OCSP} if all profiles that are offered name an OCSP responder, which \
             {:?} does not",
            profile.name
        )
    });
    Err(ConfigError::new(
        "crl.renewal-hours",
        format!("is {hours}; expected at most {most}, for profiles with baseline = true (BR 4.9.7){hint}"),
    ))
}

#[cfg(test)]
mod tests {
    use crate::config::{Choices, Config, ConfigError, parse};

    fn config(text: &str) -> Result<Config, ConfigError> {
        Config::new("data".into(), &parse(text, "cairn.toml")?, &Choices::default())
    }

    #[test]
    fn crls_are_made_as_often_as_the_baseline_requirements_ask() {
        let ocsp = "[ocsp]\nin-certificates = true\n[[profile]]\nname = \"shortlived\"\noffered = false";
        let foreign = "[[profile]]\nname = \"classic\"\nbaseline = false\n[[profile]]\nname = \"shortlived\"\n\
                       baseline = false";
        for (rest, most) in [("", 96), ("[ocsp]\nin-certificates = true", 96), (ocsp, 168), (foreign, 215)] {
            let with = |hours: u32| config(&format!("crl.renewal-hours = {hours}\n{rest}"));
            with(most).expect("so many hours are permitted");
            let error = with(most + 1).expect_err("more than is permitted").to_string();
            assert!(error.starts_with("crl"), "{error}");
        }
        config("regime = \"dev\"\ncrl.renewal-hours = 215").expect("for tests");
    }
}
