//! The audit log's files and checkpoints.

use std::time::Duration;

use serde::Deserialize;
use store::audit::{AuditLimits, CheckpointRules};

use super::{ConfigError, seconds};

/// The audit log, as the file has it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Audit {
    /// New lines that a checkpoint is made for.
    pub checkpoint_lines: Option<u32>,
    /// Seconds after which one is made for fewer.
    pub checkpoint_seconds: Option<u32>,
    /// A file of so many MiB is followed by the next one.
    pub file_mebibytes: Option<u32>,
    /// So is one whose first line is so many days old; 0: its size alone counts.
    pub file_days: Option<u32>,
}

/// The audit log's files and checkpoints.
#[derive(Clone, Copy, Debug)]
pub struct AuditSettings {
    /// Its limits.
    pub limits: AuditLimits,
    /// When checkpoints are made.
    pub checkpoints: CheckpointRules,
}

/// So many lines without a checkpoint are too many for one to be checked.
const CHECKPOINT_LINES_MAX: u32 = 1_000_000;
const DAY: Duration = Duration::from_secs(86_400);

/// As the file wants it, or the defaults.
pub(super) fn settings(audit: Audit) -> Result<AuditSettings, ConfigError> {
    let defaults = AuditLimits::default();
    let lines = audit.checkpoint_lines.unwrap_or(10_000);
    for (key, value) in [
        ("audit.checkpoint-lines", Some(lines)),
        ("audit.checkpoint-seconds", audit.checkpoint_seconds),
        ("audit.file-mebibytes", audit.file_mebibytes),
    ] {
        if value == Some(0) {
            return Err(ConfigError::new(key, "is 0; at least 1 is needed"));
        }
    }
    if lines > CHECKPOINT_LINES_MAX {
        return Err(ConfigError::new("audit.checkpoint-lines", format!("is above {CHECKPOINT_LINES_MAX}")));
    }
    let limits = AuditLimits {
        file_octets_max: audit.file_mebibytes.map_or(defaults.file_octets_max, |number| u64::from(number) << 20),
        file_age_max: audit.file_days.filter(|days| *days > 0).map(|days| DAY * days),
        ..defaults
    };
    let checkpoints = CheckpointRules { lines: lines.into(), interval: seconds(audit.checkpoint_seconds, 60) };
    Ok(AuditSettings { limits, checkpoints })
}
