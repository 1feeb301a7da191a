//! What the tests of ACME clients want: faults, and what a configuration of Pebble says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use acme::MacKey;
use ca::ExternalKeyId;
use ca::profile::Profile;
use ca::settings::CaaMode;

use super::{Config, ConfigError, File, RegimeName, profiles};
use crate::dev::{Dev, VARIABLE_PREFIX};

/// Those that are no faults: what is done with CAA records, and where the hierarchy is kept.
const CAA: &str = "CAA";
const KEYS: &str = "KEYS";

/// What a configuration of Pebble says and ours can't.
#[derive(Clone, Debug)]
pub struct PebbleChoices {
    /// The profiles that are offered, the default first.
    pub profiles: Vec<Profile>,
    /// Keys that accounts can be bound with.
    pub external_account_keys: Vec<(ExternalKeyId, MacKey)>,
    /// The TLS certificate of the listeners.
    pub tls: Option<TlsFiles>,
    /// A responder that somebody else runs, for certificates' authorityInfoAccess.
    pub ocsp_url: Option<String>,
    /// When clients are asked to ask again.
    pub retry_after: RetryAfter,
}

/// A certificate and its key: PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with those above it behind.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// When clients are asked to ask again, in seconds; 0: they are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter {
    /// For authorizations and challenges that are being tested.
    pub authorization: u32,
    /// For orders that we work on.
    pub order: u32,
}

impl Default for RetryAfter {
    fn default() -> Self {
        // What a client that asks again at once would only load us with.
        Self { authorization: 1, order: 1 }
    }
}

/// Refuses faults outside the regime `dev`: a server must not start with them. Commands look at any folder.
///
/// # Errors
/// The variable or table, and what to do.
pub fn require_dev_for_faults(config: &Config, file: &File, choices: &super::Choices) -> Result<(), ConfigError> {
    const FOR_TESTS: &str = "is for the tests of ACME clients";
    if config.regime == RegimeName::Dev {
        return Ok(());
    }
    if let Some(name) = choices.variables.keys().find(|name| name.starts_with(VARIABLE_PREFIX)) {
        return Err(ConfigError::new(name, format!("{FOR_TESTS}; unset it, or start with --dev")));
    }
    if file.dev != Dev::default() {
        return Err(ConfigError::new("dev", format!("{FOR_TESTS}; remove the table, or start with --dev")));
    }
    Ok(())
}

/// The faults of a file and of variables: none outside the regime `dev`.
pub(super) fn faults(
    regime: RegimeName,
    file: &File,
    variables: &BTreeMap<String, String>,
) -> Result<Dev, ConfigError> {
    let faults = file.dev.clone().with_variables(variables, &[CAA, KEYS]);
    let faults = faults.map_err(|error| ConfigError::new(error.name, error.fault))?;
    Ok(if regime == RegimeName::Dev { faults } else { Dev::default() })
}

/// The configuration with what tests want: the times that delays need, and what Pebble's configuration says.
pub(super) fn applied(mut config: Config, choices: &super::Choices) -> Result<Config, ConfigError> {
    let times = &mut config.settings.times;
    times.test_lease += config.dev.validation_delay_max();
    times.signature += config.dev.issuance_delay();
    times.issue_lease += config.dev.issuance_delay() * 2;
    times.issue_deadline += config.dev.issuance_delay() * 2;
    if let Some(pebble) = choices.pebble.clone() {
        let server = config.settings.profiles.iter().find(|profile| profile.name == profiles::SERVER).cloned();
        config.settings.profiles = pebble.profiles;
        config.settings.profiles.retain(|profile| profile.name != profiles::SERVER);
        config.settings.profiles.extend(server);
        config.settings.ocsp_url = pebble.ocsp_url;
        config.tls = pebble.tls;
        config.external_account_keys = pebble.external_account_keys;
        config.retry_after = pebble.retry_after;
        config.status_anywhere = true;
        config.pebble = true;
    }
    let variable = |key: &str| {
        let name = format!("{VARIABLE_PREFIX}{key}");
        choices.variables.get(&name).filter(|value| !value.is_empty()).map(|value| (name, value))
    };
    if let Some((name, value)) = variable(CAA) {
        config.settings.caa = match value.as_str() {
            "enforce" => CaaMode::Enforce,
            "log" => CaaMode::Log,
            "off" => CaaMode::Off,
            other => return Err(ConfigError::new(name, format!("{other:?}; expected enforce, log or off"))),
        };
    }
    if let Some((name, folder)) = variable(KEYS) {
        if !config.pebble {
            return Err(ConfigError::new(name, "is for cairn pebble; cairn serve keeps its keys in --data"));
        }
        config.hierarchy = PathBuf::from(folder);
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Choices, parse};

    fn config(text: &str, dev: bool, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let choices = Choices { dev, variables, ..Choices::default() };
        let file = parse(text, "cairn.toml")?;
        let config = Config::new("data".into(), &file, &choices)?;
        require_dev_for_faults(&config, &file, &choices)?;
        Ok(config)
    }

    #[test]
    fn faults_are_refused_outside_tests() {
        for (text, variables) in [("[dev]\nalways-valid = true", &[][..]), ("", &[("CAIRN_DEV_CAA", "enforce")])] {
            let error = config(text, false, variables).expect_err(text).to_string();
            assert!(error.contains("for the tests of ACME clients") && error.contains("--dev"), "{error}");
            config(text, true, variables).expect("with --dev it is right");
        }
    }

    #[test]
    fn a_delay_gets_its_share_of_the_lease() {
        let plain = config("", true, &[]).expect("right").settings.times;
        let slow = config("[dev]\nissuance-delay = 9\nvalidation-delay = 5", true, &[]).expect("right").settings.times;
        assert_eq!((slow.issue_lease - plain.issue_lease).as_secs(), 18);
        assert_eq!((slow.signature - plain.signature).as_secs(), 9);
        assert_eq!((slow.test_lease - plain.test_lease).as_secs(), 5);
    }

    #[test]
    fn caa_and_keys_can_be_chosen_by_variables() {
        let enforced = config("", true, &[("CAIRN_DEV_CAA", "enforce")]).expect("right");
        assert_eq!(enforced.settings.caa, CaaMode::Enforce);
        for (name, value) in [("CAIRN_DEV_CAA", "yes"), ("CAIRN_DEV_KEYS", "folder")] {
            let error = config("", true, &[(name, value)]).expect_err(name).to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
