//! Terms of service.

use ca::settings::Terms;
use pki::Timestamp;

use super::{ConfigError, File};

/// The longest version and the longest text about it, in characters.
const VERSION_CHARS_MAX: usize = 64;
const CHANGES_CHARS_MAX: usize = 4000;

/// The terms of a configuration, if there are any.
pub(super) fn read(file: &File) -> Result<Option<Terms>, ConfigError> {
    let further = [
        ("terms-version", &file.terms_version),
        ("terms-changes", &file.terms_changes),
        ("terms-enforced-from", &file.terms_enforced_from),
    ];
    let Some(url) = &file.terms_of_service else {
        return match further.iter().find(|(_, value)| value.is_some()) {
            Some((key, _)) => Err(ConfigError::new(*key, "is set without terms-of-service: add their URL")),
            None => Ok(None),
        };
    };
    if let (None, Some((key, _))) = (&file.terms_version, further[1..].iter().find(|(_, value)| value.is_some())) {
        return Err(ConfigError::new(*key, "is set without terms-version: it says when accounts have to agree anew"));
    }
    let parsed = url::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https" | "data"));
    // It stands in a header between angle brackets.
    if parsed.is_none() || !url.bytes().all(|octet| octet.is_ascii_graphic() && !b"<>\"".contains(&octet)) {
        return Err(ConfigError::new("terms-of-service", format!("{url:?} is no URL; expected https://…")));
    }
    require_length("terms-version", file.terms_version.as_deref(), VERSION_CHARS_MAX)?;
    require_length("terms-changes", file.terms_changes.as_deref(), CHANGES_CHARS_MAX)?;
    Ok(Some(Terms {
        url: url.clone(),
        version: file.terms_version.clone(),
        first_version: None,
        changes: file.terms_changes.clone(),
        enforced_from: file.terms_enforced_from.as_deref().map(time).transpose()?,
    }))
}

fn require_length(key: &str, value: Option<&str>, max: usize) -> Result<(), ConfigError> {
    match value.map(|value| value.chars().count()) {
        Some(0) => Err(ConfigError::new(key, "is empty; leave it out")),
        Some(length) if length > max => Err(ConfigError::new(key, format!("has {length} characters, at most {max}"))),
        Some(_) | None => Ok(()),
    }
}

fn time(text: &str) -> Result<Timestamp, ConfigError> {
    let midnight = format!("{text}T00:00:00Z");
    Timestamp::parse_rfc3339(text).or_else(|| Timestamp::parse_rfc3339(&midnight)).ok_or_else(|| {
        ConfigError::new(
            "terms-enforced-from",
            format!("{text:?} is no time; expected 2027-01-31 or 2027-01-31T08:00:00Z"),
        )
    })
}
