//! Validation: challenges and CAA.

use std::net::IpAddr;
use std::time::Duration;

use acme::{Identifier, KeyAuthorization, Problem, Token};
use async_trait::async_trait;

use crate::authorization::{CaaRecord, Method, ValidationRecord};

/// A challenge to be tested.
#[derive(Clone, Debug)]
pub struct ChallengeTest {
    /// What the account wants to be authorized for.
    pub identifier: Identifier,
    /// How control is to be shown.
    pub method: Method,
    /// The challenge's token.
    pub token: Token,
    /// What the client has to show: made with the account's key.
    pub key_authorization: KeyAuthorization,
    /// The test ends by then, with a failure that can pass.
    pub time_limit: Duration,
}

/// What a test came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validated {
    /// Control was shown.
    Shown,
    /// It was not, and trying again won't help.
    Failed(Problem),
    /// It was not, in a way that can pass: no connection, no answer, a name server that fails.
    MayPass(Problem),
}

/// A CAA check to be made (RFC 8659, RFC 8657).
#[derive(Clone, Debug)]
pub struct CaaCheck {
    /// As it stands in the order: a wildcard is governed by `issuewild`.
    pub identifier: Identifier,
    /// The method by which control was, or is, shown (RFC 8657 §4).
    pub method: Method,
    /// The account's URL (RFC 8657 §3); `None` without a configured base URL: then `accounturi` never matches.
    pub account_url: Option<String>,
    /// The check ends by then, as failed.
    pub time_limit: Duration,
}

/// Looks at the world outside: DNS, HTTP and TLS. Never fails itself: what it can't see is a result.
#[async_trait]
pub trait Validator: Send + Sync + std::fmt::Debug {
    /// Tests a challenge, and says what was seen.
    async fn validate(&self, test: ChallengeTest) -> (Validated, ValidationRecord);

    /// Whether control of this address can be shown here at all: whether it is one that may be connected to.
    ///
    /// # Errors
    /// Why it isn't, for the client.
    fn permits_address(&self, address: IpAddr) -> Result<(), String>;

    /// Checks CAA, and says what was found.
    async fn check_caa(&self, check: CaaCheck) -> CaaRecord;
}
