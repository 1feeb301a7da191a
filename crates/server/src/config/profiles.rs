//! The built-in profiles, and those of a configuration.

use ca::profile::{CtRequirement, Profile};
use ca::settings::Settings;

use super::{ConfigError, file};

/// The profile of this CA's own TLS certificate: not offered.
pub(super) const SERVER: &str = "server";

const DAY: u64 = 86_400;
/// Clocks of clients are slow by minutes, seldom more.
const BACKDATE: u64 = 300;
/// An hour short of what rules allow, as they count the last second.
const LIFETIME_HOURS_MAX: u64 = 200 * 24;

/// What is short-lived, and may name no place where its status is to be found (BR 1.6.1).
const SHORT_LIVED_SECONDS_MAX: u64 = 7 * DAY;

fn built_in() -> Vec<Profile> {
    // In a private CA two SCTs come from logs of one operator: itself.
    let ct = Some(CtRequirement { scts: 2, operators: 1 });
    let profile = |name: &str, description: &str, days: u64| Profile {
        name: name.to_owned(),
        description: description.to_owned(),
        lifetime_seconds: days * DAY,
        backdate_seconds: BACKDATE,
        ct,
        baseline: true,
        client_auth: false,
        common_name: true,
        crl: true,
        ocsp: true,
        ip_addresses: true,
        offered: true,
    };
    vec![
        profile("classic", "90 days, for TLS servers, logged", 90),
        // So short that nobody asks for its status (BR 7.1.2.7.6).
        Profile {
            common_name: false,
            crl: false,
            ocsp: false,
            ..profile("shortlived", "6 days, for TLS servers, logged", 6)
        },
        Profile { ct: None, baseline: false, ..profile("internal", "90 days, for TLS servers, not logged", 90) },
        Profile {
            ct: None,
            baseline: false,
            common_name: false,
            offered: false,
            ..profile(SERVER, "90 days, for this CA's own servers", 90)
        },
    ]
}

/// The built-in profiles with those of a configuration, which replace the ones of the same name.
pub(super) fn all(configured: &[file::Profile]) -> Result<Vec<Profile>, ConfigError> {
    let mut profiles = built_in();
    for wanted in configured {
        let known = profiles.iter().position(|profile| profile.name == wanted.name);
        let base = known.map_or_else(
            || Profile { name: wanted.name.clone(), description: wanted.name.clone(), ..profiles[0].clone() },
            |index| profiles[index].clone(),
        );
        let profile = merged(base, wanted)?;
        match known {
            Some(index) => profiles[index] = profile,
            None => profiles.push(profile),
        }
    }
    Ok(profiles)
}

/// What lives long has to say where its status is to be found: the lints let nothing be issued otherwise.
pub(super) fn require_status(settings: &Settings) -> Result<(), ConfigError> {
    let is_hidden = |profile: &&Profile| !profile.crl && settings.ocsp_pointer(profile).is_none();
    let long = settings.profiles.iter().filter(|one| one.baseline && one.lifetime_seconds > SHORT_LIVED_SECONDS_MAX);
    match long.clone().find(is_hidden) {
        None => Ok(()),
        Some(profile) => Err(ConfigError::new(
            format!("profile {:?}", profile.name),
            format!(
                "its certificates live {} hours and name neither a CRL nor an OCSP responder, which is for at most {} \
                 hours (BR 7.1.2.11.2); say crl = true, or ocsp = true with ocsp.in-certificates, or baseline = false",
                profile.lifetime_seconds / 3600,
                SHORT_LIVED_SECONDS_MAX / 3600
            ),
        )),
    }
}

fn merged(base: Profile, wanted: &file::Profile) -> Result<Profile, ConfigError> {
    let place = format!("profile {:?}", wanted.name);
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
    if wanted.name.is_empty() || wanted.name.len() > 64 || !wanted.name.bytes().all(plain) {
        return Err(ConfigError::new(place, "is no name; expected letters, digits, - and _, at most 64"));
    }
    let lifetime_seconds = match wanted.lifetime_hours.map(u64::from) {
        None => base.lifetime_seconds,
        Some(hours @ 1..=LIFETIME_HOURS_MAX) => hours * 3600,
        Some(hours) => {
            return Err(ConfigError::new(
                place,
                format!("lifetime-hours is {hours}; expected 1 to {LIFETIME_HOURS_MAX} (200 days)"),
            ));
        }
    };
    let ct = match (wanted.ct, base.ct) {
        (Some(file::CtChoice::None), _) => None,
        (Some(file::CtChoice::Logged), None) => Some(CtRequirement { scts: 2, operators: 1 }),
        (Some(file::CtChoice::Logged) | None, ct) => ct,
    };
    let ct = ct.map(|ct| CtRequirement {
        scts: wanted.scts.map_or(ct.scts, usize::from),
        operators: wanted.operators.map_or(ct.operators, usize::from),
    });
    if ct.is_some_and(|ct| ct.scts == 0 || ct.operators == 0 || ct.operators > ct.scts || ct.scts > 8) {
        return Err(ConfigError::new(place, "scts must be 1 to 8, operators 1 to scts; without CT say ct = \"none\""));
    }
    Ok(Profile {
        description: wanted.description.clone().unwrap_or(base.description),
        lifetime_seconds,
        ct,
        baseline: wanted.baseline.unwrap_or(base.baseline),
        client_auth: wanted.client_auth.unwrap_or(base.client_auth),
        common_name: wanted.common_name.unwrap_or(base.common_name),
        crl: wanted.crl.unwrap_or(base.crl),
        ocsp: wanted.ocsp.unwrap_or(base.ocsp),
        ip_addresses: wanted.ip_addresses.unwrap_or(base.ip_addresses),
        offered: wanted.offered.unwrap_or(base.offered),
        name: base.name,
        backdate_seconds: base.backdate_seconds,
    })
}
