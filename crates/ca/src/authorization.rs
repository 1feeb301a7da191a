//! Authorizations and challenges (RFC 8555 §7.1.4, §7.1.5, §8): pending ones live in their order on the workbench,
//! ended ones in the ledger with their evidence.

use std::fmt;

use acme::{ChallengeKind, Identifier, Problem, Token};
use pki::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::BEHIND_MAX;
use crate::{AccountId, AuthorizationId};

/// How control of a name is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// http-01 (RFC 8555 §8.3; BR 3.2.2.4.19).
    Http01,
    /// dns-01 (RFC 8555 §8.4; BR 3.2.2.4.7).
    Dns01,
    /// tls-alpn-01 (RFC 8737; BR 3.2.2.4.20).
    TlsAlpn01,
    /// The operator's own word for the names of this CA's own servers: open to the built-in account `cairn` alone.
    Operator,
}

impl Method {
    /// The challenge of RFC 8555 that carries this method, if a client can be shown one.
    pub const fn challenge(self) -> Option<ChallengeKind> {
        match self {
            Self::Http01 => Some(ChallengeKind::Http01),
            Self::Dns01 => Some(ChallengeKind::Dns01),
            Self::TlsAlpn01 => Some(ChallengeKind::TlsAlpn01),
            Self::Operator => None,
        }
    }
}

impl From<ChallengeKind> for Method {
    fn from(kind: ChallengeKind) -> Self {
        match kind {
            ChallengeKind::Http01 => Self::Http01,
            ChallengeKind::Dns01 => Self::Dns01,
            ChallengeKind::TlsAlpn01 => Self::TlsAlpn01,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Operator => "operator",
        })
    }
}

/// A challenge of an authorization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// What has to be shown, and how.
    pub method: Method,
    /// The token of RFC 8555 §8.1: at least 128 bits of entropy.
    pub token: Token,
    /// How far it has come.
    pub state: ChallengeState,
}

/// The life of a challenge (RFC 8555 §7.1.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ChallengeState {
    /// The client has not answered it: nothing to do.
    Pending,
    /// The client says that it can be tested.
    Answered {
        /// When the client (last) said so.
        at: Timestamp,
        /// Tests since then whose result was written.
        tries: u8,
        /// When the next test is due: at once, or after a back-off.
        due: Timestamp,
        /// What the last test found (RFC 8555 §8.2 shows it to the client with `processing`).
        problem: Option<Problem>,
    },
    /// Control was shown.
    Valid {
        /// When the test that showed it ended.
        at: Timestamp,
    },
    /// Control was not shown, for the reason given.
    Invalid {
        /// When the last test ended.
        at: Timestamp,
        /// What that test found.
        problem: Problem,
    },
}

/// An authorization of an order on the workbench.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// Its name. If `id.order` is another order, it is a reused one, which ended there.
    pub id: AuthorizationId,
    /// What the account wants to be authorized for.
    pub identifier: Identifier,
    /// The challenges offered; the client chooses.
    pub challenges: Vec<Challenge>,
    /// How it ended, copied from the ledger, which decides.
    pub end: Option<AuthorizationEnd>,
}

impl Authorization {
    /// The challenge of this method, if it was offered.
    pub fn challenge(&self, method: Method) -> Option<&Challenge> {
        self.challenges.iter().find(|challenge| challenge.method == method)
    }

    /// When the next test of one of its challenges is due, if one waits to be tested.
    pub fn due(&self) -> Option<Timestamp> {
        if self.end.is_some() {
            return None;
        }
        self.challenges
            .iter()
            .filter_map(|challenge| match &challenge.state {
                ChallengeState::Answered { due, .. } => Some(*due),
                ChallengeState::Pending | ChallengeState::Valid { .. } | ChallengeState::Invalid { .. } => None,
            })
            .min()
    }
}

/// How an authorization ended (RFC 8555 §7.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub enum AuthorizationEnd {
    /// Control was shown; it counts until `expires`.
    Valid {
        /// The last moment at which it may be used.
        expires: Timestamp,
    },
    /// Control was not shown, or its time ran out before it was.
    Invalid,
    /// Its owner gave it up (RFC 8555 §7.5.2), before or after it was valid.
    Deactivated,
    /// We took it back.
    Revoked,
}

impl AuthorizationEnd {
    /// Whether a certificate may rest on it at this time.
    pub fn is_good(self, now: Timestamp) -> bool {
        match self {
            Self::Valid { expires } => now <= expires || planted!(ExpiredAuthorization),
            Self::Invalid | Self::Deactivated | Self::Revoked => false,
        }
    }
}

/// An ended authorization as the ledger keeps it, with what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedAuthorization {
    /// Its name.
    pub id: AuthorizationId,
    /// Whose it is.
    pub account: AccountId,
    /// What it is for.
    pub identifier: Identifier,
    /// How it ended.
    pub end: AuthorizationEnd,
    /// When it ended.
    pub ended: Timestamp,
    /// Its challenges as they then stood.
    pub challenges: Vec<Challenge>,
    /// The test that decided it, if one did.
    pub validation: Option<ValidationRecord>,
    /// The CAA check made beside that test.
    pub caa: Option<CaaRecord>,
}

impl EndedAuthorization {
    /// Whether a certificate may rest on it at this time. One that ended in the future was decided with a clock that
    /// was wrong: nobody knows how old it is.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.end.is_good(now) && self.ended.since(now) <= BEHIND_MAX
    }
}

/// What was seen when control of a name was tested: kept for as long as BR 5.4.3 wants logs kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationRecord {
    /// How it was tested.
    pub method: Method,
    /// When the test began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The queries, addresses, redirects and answers, one line each, in order.
    pub evidence: Vec<String>,
    /// What was wrong, if control was not shown.
    pub problem: Option<Problem>,
}

/// What was found when CAA was checked (RFC 8659) for one identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaaRecord {
    /// The identifier as it stands in the order.
    pub identifier: Identifier,
    /// When the look-up ended. It may be used for 8 hours or its TTL, whichever is longer (BR 4.2.2.1).
    pub checked: Timestamp,
    /// The TTL of the relevant record set, in seconds; 0 where there is none.
    pub ttl_seconds: u32,
    /// What follows from it.
    pub decision: CaaDecision,
    /// The look-ups and their answers, one line each, in order.
    pub evidence: Vec<String>,
}

/// Whether this CA may issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "caa", rename_all = "kebab-case")]
pub enum CaaDecision {
    /// No relevant record forbids it.
    Permitted,
    /// A relevant record forbids it; the problem names it.
    Forbidden {
        /// Of type `caa`.
        problem: Problem,
    },
    /// The look-up failed: no permission (RFC 8659 §3), but one that may come at the next try.
    Failed {
        /// Of type `dns` or `caa`.
        problem: Problem,
    },
    /// IP identifiers have no CAA (RFC 8659; BR 4.2.2.1).
    NotApplicable,
}
