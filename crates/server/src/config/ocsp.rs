//! OCSP, as it is written and as it is used.

use std::time::Duration;

use ca::settings::{OcspSettings, OcspSigner};
use serde::Deserialize;

use super::ConfigError;

/// OCSP.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Ocsp {
    /// delegated or direct.
    pub responder: Option<OcspSigner>,
    /// Whether certificates point to this responder.
    pub in_certificates: bool,
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

pub(super) fn read(file: Ocsp) -> Result<OcspSettings, ConfigError> {
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
