//! The log list, version 3, in which browsers publish the logs that they take SCTs of. What isn't needed is left
//! unread.

use pki::{LogId, PublicKey, Timestamp};
use serde::Deserialize;

use crate::wire::Base64;
use crate::{LogState, TemporalInterval};

/// Operators, and logs of all operators together, that are read.
const LOGS_MAX: usize = 4_096;

/// How a log is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogProtocol {
    /// RFC 6962.
    Rfc6962 {
        /// The base URL.
        url: String,
    },
    /// static-ct-api.
    Tiled {
        /// The submission prefix.
        submission_url: String,
        /// The monitoring prefix.
        monitoring_url: String,
    },
}

/// A log of a log list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedLog {
    /// For people.
    pub description: String,
    /// Who runs it.
    pub operator: String,
    /// Its key.
    pub key: PublicKey,
    /// How it is spoken to.
    pub protocol: LogProtocol,
    /// Whether it takes, and counts for, new certificates.
    pub state: LogState,
    /// The certificates that it takes, by the end of their validity.
    pub interval: Option<TemporalInterval>,
}

/// A log list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogList {
    /// Its own version.
    pub version: Option<String>,
    /// When it was made: browsers stop to trust an old one, and so should its user.
    pub made: Option<Timestamp>,
    /// Its logs, in its order.
    pub logs: Vec<ListedLog>,
}

/// Why a text is no log list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogListError {
    /// Not JSON of its form.
    #[error("not a log list of version 3: {0}")]
    Malformed(String),
    /// One of its logs makes no sense.
    #[error("log {log:?} of the log list: {reason}")]
    Log {
        /// Its description.
        log: String,
        /// What is wrong.
        reason: String,
    },
    /// Longer than any.
    #[error("the log list has more than {LOGS_MAX} logs")]
    TooMany,
}

#[derive(Deserialize)]
struct ListJson {
    version: Option<String>,
    log_list_timestamp: Option<String>,
    operators: Vec<OperatorJson>,
}

#[derive(Deserialize)]
struct OperatorJson {
    name: String,
    #[serde(default)]
    logs: Vec<LogJson>,
    #[serde(default)]
    tiled_logs: Vec<LogJson>,
}

#[derive(Deserialize)]
struct LogJson {
    description: Option<String>,
    log_id: LogId,
    key: Base64,
    url: Option<String>,
    submission_url: Option<String>,
    monitoring_url: Option<String>,
    #[serde(default)]
    state: StateJson,
    temporal_interval: Option<IntervalJson>,
}

/// One of them is there; what it holds (since when, final tree head) isn't needed. What is none of these is as good as
/// `pending`.
#[derive(Default, Deserialize)]
struct StateJson {
    qualified: Option<serde::de::IgnoredAny>,
    usable: Option<serde::de::IgnoredAny>,
    readonly: Option<serde::de::IgnoredAny>,
    retired: Option<serde::de::IgnoredAny>,
    rejected: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct IntervalJson {
    start_inclusive: String,
    end_exclusive: String,
}

impl LogList {
    /// Reads a log list.
    ///
    /// # Errors
    /// Text of another form, or a log whose id isn't the hash of its key.
    pub fn parse(json: &[u8]) -> Result<Self, LogListError> {
        let list: ListJson =
            serde_json::from_slice(json).map_err(|error| LogListError::Malformed(error.to_string()))?;
        let made = list.log_list_timestamp.as_deref().and_then(Timestamp::parse_rfc3339);
        let mut logs = Vec::new();
        for operator in list.operators {
            for log in operator.logs.into_iter().chain(operator.tiled_logs) {
                if logs.len() == LOGS_MAX {
                    return Err(LogListError::TooMany);
                }
                logs.push(listed(&operator.name, log)?);
            }
        }
        Ok(Self { version: list.version, made, logs })
    }
}

fn listed(operator: &str, log: LogJson) -> Result<ListedLog, LogListError> {
    let description = log.description.unwrap_or_else(|| log.log_id.to_string());
    let wrong = |reason: String| LogListError::Log { log: description.clone(), reason };
    let key = PublicKey::from_spki_der(&log.key.0).map_err(|error| wrong(error.to_string()))?;
    if LogId::of(&key) != log.log_id {
        return Err(wrong(format!("its id is not the hash of its key, {}", LogId::of(&key))));
    }
    let protocol = match (log.url, log.submission_url, log.monitoring_url) {
        (Some(url), None, None) => LogProtocol::Rfc6962 { url },
        (None, Some(submission_url), Some(monitoring_url)) => LogProtocol::Tiled { submission_url, monitoring_url },
        _ => return Err(wrong("expected either url, or submission_url and monitoring_url".to_owned())),
    };
    let interval = log.temporal_interval.map(|interval| {
        let time = |text: &str| {
            Timestamp::parse_rfc3339(text).ok_or_else(|| wrong(format!("{text:?} is no time of RFC 3339")))
        };
        Ok(TemporalInterval { start: time(&interval.start_inclusive)?, end: time(&interval.end_exclusive)? })
    });
    let interval = interval.transpose()?;
    Ok(ListedLog { operator: operator.to_owned(), key, protocol, state: state_of(&log.state), interval, description })
}

fn state_of(state: &StateJson) -> LogState {
    // The strictest wins where more than one is given.
    if state.rejected.is_some() {
        LogState::Rejected
    } else if state.retired.is_some() {
        LogState::Retired
    } else if state.readonly.is_some() {
        LogState::ReadOnly
    } else if state.usable.is_some() {
        LogState::Usable
    } else if state.qualified.is_some() {
        LogState::Qualified
    } else {
        LogState::Pending
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;
    use crate::testing::SoftKey;

    fn log(key: &PublicKey, rest: &str) -> String {
        let id = LogId::of(key);
        let key = BASE64.encode(key.spki_der());
        format!(r#"{{"description":"Example 2026h2","log_id":"{id}","key":"{key}","mmd":86400,{rest}}}"#)
    }

    fn list(logs: &str, tiled: &str) -> String {
        format!(
            r#"{{"version":"82.1","log_list_timestamp":"2026-11-20T12:55:13Z","operators":[
                {{"name":"Example Trust","email":["ct@example.org"],"logs":[{logs}],"tiled_logs":[{tiled}]}}]}}"#
        )
    }

    #[test]
    fn logs_of_both_kinds_are_read() {
        let (first, second) = (SoftKey::generate(), SoftKey::generate());
        let rfc = log(
            first.public_key(),
            r#""url":"https://ct.example.org/2026h2/","state":{"usable":{"timestamp":"2025-01-01T00:00:00Z"}},
               "temporal_interval":{"start_inclusive":"2026-07-01T00:00:00Z","end_exclusive":"2027-01-01T00:00:00Z"}"#,
        );
        let tiled = log(
            second.public_key(),
            r#""submission_url":"https://log.example.org/","monitoring_url":"https://mon.example.org/",
               "state":{"retired":{"timestamp":"2026-01-01T00:00:00Z"}}"#,
        );
        let read = LogList::parse(list(&rfc, &tiled).as_bytes()).unwrap();
        assert_eq!(read.version.as_deref(), Some("82.1"));
        assert_eq!(read.made, Timestamp::parse_rfc3339("2026-11-20T12:55:13Z"));
        let [one, two] = read.logs.as_slice() else { panic!("{read:?}") };
        assert_eq!((one.operator.as_str(), one.state), ("Example Trust", LogState::Usable));
        let interval = one.interval.unwrap();
        assert!(interval.contains(Timestamp::parse_rfc3339("2026-07-01T00:00:00Z").unwrap()));
        assert!(!interval.contains(Timestamp::parse_rfc3339("2027-01-01T00:00:00Z").unwrap()));
        assert_eq!(two.state, LogState::Retired);
        assert!(matches!(&two.protocol, LogProtocol::Tiled { monitoring_url, .. } if monitoring_url.contains("mon")));
    }

    #[test]
    fn a_log_whose_id_is_not_its_keys_is_refused() {
        let (one, other) = (SoftKey::generate(), SoftKey::generate());
        let foreign = log(one.public_key(), r#""url":"https://ct.example.org/""#)
            .replace(&LogId::of(one.public_key()).to_string(), &LogId::of(other.public_key()).to_string());
        let error = LogList::parse(list(&foreign, "").as_bytes()).unwrap_err();
        assert!(matches!(&error, LogListError::Log { log, .. } if log == "Example 2026h2"), "{error}");
    }

    #[test]
    fn a_log_without_address_and_other_text_are_refused() {
        let key = SoftKey::generate();
        let nowhere = log(key.public_key(), r#""state":{}"#);
        assert!(matches!(LogList::parse(list(&nowhere, "").as_bytes()), Err(LogListError::Log { .. })));
        assert!(matches!(LogList::parse(b"{}"), Err(LogListError::Malformed(_))));
        assert!(matches!(LogList::parse(b"[]"), Err(LogListError::Malformed(_))));
    }

    #[test]
    fn a_log_without_a_known_state_takes_nothing() {
        let key = SoftKey::generate();
        let odd = log(key.public_key(), r#""url":"https://ct.example.org/","state":{"new-word":{}}"#);
        let read = LogList::parse(list(&odd, "").as_bytes()).unwrap();
        assert_eq!(read.logs[0].state, LogState::Pending);
    }
}
