//! What the ledger keeps of renewals (RFC 9773): the rules by which an operator moves suggested windows.

use pki::{Serial, Sha256, Timestamp};
use serde::{Deserialize, Serialize};

use super::SerialRecord;
use crate::AccountId;

/// Which certificates a rule is for: those that everything given here fits. Nothing given: all that exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RenewalScope {
    /// The one with this serial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Serial>,
    /// Those of this account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Those of this profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Those whose issuance began at or after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_from: Option<Timestamp>,
    /// Those whose issuance began before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_until: Option<Timestamp>,
    /// Those of this key: SHA-256 of its SubjectPublicKeyInfo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spki_hash: Option<Sha256>,
    /// Those for this name, as it stands in certificates: a wildcard with its star.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl RenewalScope {
    /// Whether it fits all certificates.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a certificate is one of these; `has_name` says whether it is for a name.
    pub fn covers(&self, record: &SerialRecord, has_name: impl FnOnce(&str) -> bool) -> bool {
        self.serial.is_none_or(|serial| record.serial == serial)
            && self.account.is_none_or(|account| record.account == account)
            && self.profile.as_ref().is_none_or(|profile| record.profile == *profile)
            && self.issued_from.is_none_or(|from| record.begun >= from)
            && self.issued_until.is_none_or(|until| record.begun < until)
            && self.spki_hash.is_none_or(|spki_hash| record.spki_hash == spki_hash)
            && self.name.as_deref().is_none_or(has_name)
    }
}

/// What is said of the certificates of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "advice", rename_all = "kebab-case")]
pub enum RenewalAdvice {
    /// Renew within this window.
    Window {
        /// Its start.
        start: Timestamp,
        /// Its end, behind its start.
        end: Timestamp,
        /// A page that says why (RFC 9773 §4.2).
        explanation_url: Option<String>,
    },
    /// This document and no other is answered, right or wrong: for tests of ACME clients.
    Document {
        /// JSON.
        json: String,
    },
}

/// A rule. It is for certificates whose issuance began before it was made: those that follow are what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalRule {
    /// Its number: a newer rule has a higher one, and counts before it.
    pub number: u64,
    /// When it was made.
    pub made: Timestamp,
    /// Which certificates it is for.
    pub scope: RenewalScope,
    /// What is said of them.
    pub advice: RenewalAdvice,
}
