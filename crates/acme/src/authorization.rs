//! Authorizations (RFC 8555 §7.1.4, §7.4.1, §7.5).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::challenge::{ChallengeKind, ChallengeObject};
use crate::identifier::WireIdentifier;
use crate::problem::Problem;

/// The state of an authorization (RFC 8555 §7.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthorizationStatus {
    /// No challenge is valid yet.
    Pending,
    /// A challenge is valid.
    Valid,
    /// A challenge failed, or none succeeded in time.
    Invalid,
    /// Ended by the client.
    Deactivated,
    /// Was valid, and its time is over.
    Expired,
    /// Ended by the server.
    Revoked,
}

/// An authorization as clients see it (RFC 8555 §7.1.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationObject {
    /// What it is about: without star, even for a wildcard.
    pub identifier: WireIdentifier,
    /// Its state.
    pub status: AuthorizationStatus,
    /// When it ends, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The challenges, of which one suffices. Reading leaves out those of kinds that are not known here.
    #[serde(deserialize_with = "known_challenges")]
    pub challenges: Vec<ChallengeObject>,
    /// Whether it is for `*.` and the name (erratum 6364: absent otherwise).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wildcard: bool,
}

/// A server may offer challenges of kinds that this client does not know (RFC 8555 §7.1.4): they are passed over.
fn known_challenges<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ChallengeObject>, D::Error> {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        name: String,
    }
    let mut known = Vec::new();
    for json in Vec::<Box<RawValue>>::deserialize(deserializer)? {
        let kind: Kind = serde_json::from_str(json.get()).map_err(serde::de::Error::custom)?;
        if kind.name.parse::<ChallengeKind>().is_ok() {
            known.push(serde_json::from_str(json.get()).map_err(serde::de::Error::custom)?);
        }
    }
    Ok(known)
}

/// The payload of an update of an authorization (RFC 8555 §7.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationUpdate {
    /// Only `deactivated` is allowed.
    pub status: AuthorizationStatus,
}

impl AuthorizationUpdate {
    /// Refuses every status that a client cannot set.
    ///
    /// # Errors
    /// `malformed` for anything but `deactivated`.
    pub fn expect_deactivation(self) -> Result<(), Problem> {
        match self.status {
            AuthorizationStatus::Deactivated => Ok(()),
            AuthorizationStatus::Pending
            | AuthorizationStatus::Valid
            | AuthorizationStatus::Invalid
            | AuthorizationStatus::Expired
            | AuthorizationStatus::Revoked => Err(Problem::malformed(
                "a client can set the status of an authorization to `deactivated` only (RFC 8555 §7.5.2)",
            )),
        }
    }
}

/// The payload of newAuthz (RFC 8555 §7.4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAuthorization {
    /// What to authorize, unchecked.
    pub identifier: WireIdentifier,
}
