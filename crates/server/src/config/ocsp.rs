//! OCSP, as it is written and as it is used.

use std::time::Duration;

use ca::settings::{OcspSettings, OcspSigner};
use serde::Deserialize;

use super::ConfigError;

/// OCSP.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Ocsp {
    /// delegated or direct.
    pub responder: Option<OcspSigner>,
    /// Whether certificates point to this responder.
    pub in_certificates: bool,
    /// What they name in place of `STATUS-URL/ocsp`.
    pub url: Option<String>,
    /// Hours from `thisUpdate` to `nextUpdate`.
    pub validity_hours: Option<u32>,
    /// Seconds for which caches may keep an answer.
    pub max_age: Option<u32>,
    /// Whether a nonce is repeated.
    pub nonce: bool,
    /// MiB of the answers that are kept.
    pub cache_mebibytes: Option<u16>,
    /// Answers that are signed side by side.
    pub signatures: Option<u16>,
}

/// More makes certificates large.
const URL_OCTETS_MAX: usize = 255;

/// What certificates name in place of this responder's own URL, if they name one.
pub(super) fn url(file: &Ocsp) -> Result<Option<String>, ConfigError> {
    let Some(url) = &file.url else { return Ok(None) };
    let parsed = url::Url::parse(url).ok().filter(|parsed| {
        let is_bare = parsed.query().is_none() && parsed.fragment().is_none();
        parsed.has_host() && is_bare && parsed.username().is_empty() && parsed.password().is_none()
    });
    // It is written down as it is here, and read by clients that put nothing right.
    let is_plain = parsed.is_some_and(|parsed| {
        parsed.as_str().strip_suffix('/').is_some_and(|one| one == url) || parsed.as_str() == url
    });
    if !url.starts_with("http://") || !is_plain || url.len() > URL_OCTETS_MAX {
        let fault = format!("{url:?} can't be used; expected http://HOST, with a port and a path if need be");
        return Err(ConfigError::new("ocsp.url", fault));
    }
    Ok(Some(url.clone()).filter(|_| file.in_certificates))
}

pub(super) fn read(file: &Ocsp) -> Result<OcspSettings, ConfigError> {
    let defaults = OcspSettings::default();
    let settings = OcspSettings {
        responder: file.responder.unwrap_or_default(),
        in_certificates: file.in_certificates,
        validity: file.validity_hours.map_or(defaults.validity, |hours| Duration::from_secs(u64::from(hours) * 3_600)),
        max_age: file.max_age.map_or(defaults.max_age, |seconds| Duration::from_secs(seconds.into())),
        nonces: file.nonce,
        cache_octets: file.cache_mebibytes.map_or(defaults.cache_octets, |mebibytes| usize::from(mebibytes) << 20),
        signatures: file.signatures.map_or(defaults.signatures, usize::from),
    };
    let hours = settings.validity.as_secs() / 3_600;
    if !(8..=240).contains(&hours) {
        let fault = format!("is {hours}; expected 8 to 240 (10 days, BR 4.9.10)");
        return Err(ConfigError::new("ocsp.validity-hours", fault));
    }
    if settings.signatures == 0 {
        return Err(ConfigError::new("ocsp.signatures", "is 0; at least 1 is needed"));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use crate::config::{Choices, Config, ConfigError, parse};

    fn config(text: &str) -> Result<Config, ConfigError> {
        Config::new("data".into(), &parse(text, "cairn.toml")?, &Choices::default())
    }

    #[test]
    fn responder_is_named_as_it_is_configured_and_where_profiles_name_one() {
        let pointer = |text: &str, profile: &str| {
            let settings = config(text).expect("it is right").settings;
            settings.ocsp_pointer(settings.profile(profile).expect("it is built in"))
        };
        let url = "[ocsp]\nin-certificates = true\nurl = \"http://ocsp.example.com\"";
        assert_eq!(pointer(url, "classic").as_deref(), Some("http://ocsp.example.com"));
        assert_eq!(pointer(url, "shortlived"), None);
        assert_eq!(pointer("[ocsp]\nurl = \"http://ocsp.example.com/q\"", "classic"), None);
        let own = "status-url = \"http://pki.example.com\"\n[ocsp]\nin-certificates = true";
        assert_eq!(pointer(own, "classic").as_deref(), Some("http://pki.example.com/ocsp"));
        for wrong in ["ocsp.example.com", "http://", "http://a.example/?q", "http://u@a.example", "http://A.example/"] {
            let error = config(&format!("[ocsp]\nurl = {wrong:?}")).expect_err(wrong).to_string();
            assert!(error.starts_with("ocsp.url: "), "{error}");
        }
    }
}
