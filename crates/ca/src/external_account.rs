//! External account binding (RFC 8555 §7.3.4): keys that the operator gives out, and what accounts bound with them may
//! order.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use acme::{
    DnsName, ExternalAccountBinding, Identifier, MacKey, NewAccount, Problem, ProblemType, Subproblem, Verified,
};
use pki::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ExternalKeyId;
use crate::account::Account;
use crate::authority::Ca;
use crate::error::{Answer, Error};
use crate::ports::NotBound;
use crate::settings::ExternalAccounts;

/// The octets of a new MAC key: those of a SHA-256 digest (RFC 7518 §3.2).
const MAC_KEY_OCTETS: usize = 32;
/// The most names that a key permits, and the longest label in characters.
const NAMES_MAX: usize = 1000;
const LABEL_CHARS_MAX: usize = 200;

/// A key that newAccount can be bound with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccountKey {
    /// Its name.
    pub kid: ExternalKeyId,
    /// The secret that its holder shares with this CA.
    pub mac_key: MacKey,
    /// When it was made.
    pub created: Timestamp,
    /// After this it binds no account any more; those that are bound stay.
    pub expires: Option<Timestamp>,
    /// How many accounts can still be bound with it; `None`: any number.
    pub uses_left: Option<u32>,
    /// How many were.
    pub accounts: u64,
    /// What accounts bound with it may order; empty: anything.
    pub names: Vec<PermittedName>,
    /// What the operator calls it.
    pub label: String,
    /// When the operator took it back.
    pub revoked: Option<Timestamp>,
}

impl ExternalAccountKey {
    /// Why it binds no account at this time, if it doesn't.
    pub fn is_spent(&self, now: Timestamp) -> Option<NotBound> {
        if self.revoked.is_some() {
            Some(NotBound::Revoked)
        } else if self.expires.is_some_and(|expires| now > expires) {
            Some(NotBound::Expired)
        } else if self.uses_left == Some(0) {
            Some(NotBound::UsedUp)
        } else {
            None
        }
    }
}

/// A name that accounts may order: `example.com`, `*.example.com` for all names below it and their wildcards, or an IP
/// address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum PermittedName {
    /// This one.
    Exact(Identifier),
    /// All names below this one, but not itself.
    Below(DnsName),
}

impl PermittedName {
    /// Whether this identifier may be ordered. A wildcard stands for the names below its own.
    pub fn permits(&self, identifier: &Identifier) -> bool {
        match (self, identifier) {
            (Self::Exact(permitted), asked) => permitted == asked,
            (Self::Below(base), Identifier::Dns(name)) => is_below(name, base),
            (Self::Below(base), Identifier::Wildcard(name)) => name == base || is_below(name, base),
            (Self::Below(_), Identifier::Ip(_)) => false,
        }
    }
}

fn is_below(name: &DnsName, base: &DnsName) -> bool {
    name.as_str().strip_suffix(base.as_str()).is_some_and(|labels| labels.ends_with('.'))
}

impl fmt::Display for PermittedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(identifier) => write!(f, "{}", identifier.wire().value),
            Self::Below(base) => write!(f, "*.{}", base.as_str()),
        }
    }
}

impl FromStr for PermittedName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            // As orders name it: another spelling would permit nothing.
            if let IpAddr::V6(v6) = address
                && let Some(v4) = v6.to_ipv4_mapped()
            {
                return Err(format!("{text:?} is an IPv4 address mapped into IPv6, which no order names; say {v4}"));
            }
            return Ok(Self::Exact(Identifier::Ip(address)));
        }
        let text = text.to_ascii_lowercase();
        let named = |error| format!("{text:?} is no name, *.name or IP address: {error}");
        match text.strip_prefix("*.") {
            Some(base) => DnsName::parse_host(base).map(Self::Below).map_err(named),
            None => DnsName::parse_host(&text).map(|name| Self::Exact(Identifier::Dns(name))).map_err(named),
        }
    }
}

impl From<PermittedName> for String {
    fn from(name: PermittedName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for PermittedName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// What a key that is to be given out may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTerms {
    /// How many accounts can be bound with it; `None`: any number.
    pub uses: Option<u32>,
    /// Until when; `None`: for ever.
    pub expires: Option<Timestamp>,
    /// What these accounts may order; empty: anything.
    pub names: Vec<PermittedName>,
    /// What the operator calls it.
    pub label: String,
}

impl Ca {
    /// Makes a key, to be given out.
    ///
    /// # Errors
    /// `malformed` for terms that can't be; the ledger could not be asked.
    pub async fn create_external_account_key(&self, terms: KeyTerms) -> Answer<ExternalAccountKey> {
        let mut octets = vec![0; MAC_KEY_OCTETS];
        self.random.fill(&mut octets);
        let mac_key = MacKey::new(octets).ok_or_else(|| Error::Failed("a MAC key could not be made".into()))?;
        let kid = ExternalKeyId::random(&*self.random);
        self.keep_external_account_key(kid, mac_key, terms)
            .await?
            .ok_or_else(|| Error::Failed("the key identifier that was drawn exists already; try again".into()))
    }

    /// Takes a key that was given out elsewhere. `false`: there is one with this identifier, which stays as it is.
    ///
    /// # Errors
    /// As [`Ca::create_external_account_key`].
    pub async fn add_external_account_key(&self, kid: ExternalKeyId, mac_key: MacKey, terms: KeyTerms) -> Answer<bool> {
        Ok(self.keep_external_account_key(kid, mac_key, terms).await?.is_some())
    }

    async fn keep_external_account_key(
        &self,
        kid: ExternalKeyId,
        mac_key: MacKey,
        terms: KeyTerms,
    ) -> Answer<Option<ExternalAccountKey>> {
        let KeyTerms { uses, expires, names, label } = terms;
        let wrong = |detail: String| Error::refused(ProblemType::Malformed, detail);
        if uses == Some(0) {
            return Err(wrong("a key for no account is of no use; let it bind at least 1".into()));
        }
        if names.len() > NAMES_MAX {
            return Err(wrong(format!("{} names; a key permits at most {NAMES_MAX}", names.len())));
        }
        if label.chars().count() > LABEL_CHARS_MAX || label.chars().any(char::is_control) {
            return Err(wrong(format!("a label has at most {LABEL_CHARS_MAX} characters, none of them control ones")));
        }
        let created = self.now();
        let key = ExternalAccountKey {
            kid,
            mac_key,
            created,
            expires,
            uses_left: uses,
            accounts: 0,
            names,
            label,
            revoked: None,
        };
        let kept = self.ledger.add_external_account_key(key.clone()).await?;
        if kept {
            tracing::info!(kid = %key.kid, "key for external account binding kept");
        }
        Ok(kept.then_some(key))
    }

    /// Takes a key back: it binds no account any more. Those that are bound stay. `None`: there is no such key.
    ///
    /// # Errors
    /// The ledger could not be asked.
    pub async fn revoke_external_account_key(&self, kid: &ExternalKeyId) -> Answer<Option<ExternalAccountKey>> {
        let revoked = self.ledger.revoke_external_account_key(kid, self.now()).await?;
        if revoked.is_some() {
            tracing::info!(%kid, "key for external account binding revoked");
        }
        Ok(revoked)
    }

    /// The key that a new account is to be bound with, if any: its MAC was right. Whether it can still be used is for
    /// the ledger to say, when it makes the account.
    pub(crate) async fn check_binding(&self, asked: &NewAccount, request: &Verified) -> Answer<Option<ExternalKeyId>> {
        let binding = match (&asked.external_account_binding, self.settings.external_accounts) {
            (None, ExternalAccounts::Off | ExternalAccounts::Optional) => return Ok(None),
            (None, ExternalAccounts::Required) => {
                return Err(Error::refused(
                    ProblemType::ExternalAccountRequired,
                    "accounts here are bound to an external one: ask this CA's operator for a key identifier and an \
                     HMAC key, and give them to your client (externalAccountBinding, RFC 8555 §7.3.4)",
                ));
            }
            (Some(_), ExternalAccounts::Off) => {
                return Err(Error::refused(
                    ProblemType::Malformed,
                    "this CA offers no external account binding; leave externalAccountBinding out",
                ));
            }
            (Some(binding), ExternalAccounts::Optional | ExternalAccounts::Required) => binding,
        };
        let binding = ExternalAccountBinding::parse(binding.get()).map_err(|error| error.problem())?;
        let key = match binding.kid().parse() {
            Ok(kid) => self.ledger.external_account_key(&kid).await?,
            Err(_) => None,
        };
        let key = key.ok_or_else(|| refused_binding(NotBound::Unknown))?;
        binding.verify(&key.mac_key, request).map_err(|error| error.problem())?;
        Ok(Some(key.kid))
    }

    /// Whether an account may order these identifiers: one that is bound has what its key permits.
    pub(crate) async fn require_bound_names(&self, account: &Account, identifiers: &[Identifier]) -> Answer<()> {
        let Some(kid) = &account.external_key else { return Ok(()) };
        let key = self.ledger.external_account_key(kid).await?;
        let key = key.ok_or_else(|| Error::Failed(format!("the ledger lost the key {kid} of {}", account.id)))?;
        if key.names.is_empty() {
            return Ok(());
        }
        let refused: Vec<Subproblem> = identifiers
            .iter()
            .filter(|identifier| !key.names.iter().any(|name| name.permits(identifier)))
            .map(|identifier| Subproblem {
                kind: ProblemType::RejectedIdentifier,
                detail: format!("the key {kid} that this account was bound with does not permit it"),
                identifier: Some(identifier.wire()),
            })
            .collect();
        if refused.is_empty() { Ok(()) } else { Err(Problem::of_identifiers(refused).into()) }
    }
}

pub(crate) fn refused_binding(why: NotBound) -> Error {
    Error::refused(ProblemType::Unauthorized, format!("{why}; ask this CA's operator for a new one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identifier(text: &str) -> Identifier {
        match (text.parse(), text.strip_prefix("*.")) {
            (Ok(address), _) => Identifier::Ip(address),
            (Err(_), Some(base)) => Identifier::Wildcard(DnsName::parse(base).unwrap()),
            (Err(_), None) => Identifier::Dns(DnsName::parse(text).unwrap()),
        }
    }

    #[test]
    fn a_permitted_name_is_for_itself_or_for_all_below() {
        for (permitted, asked, permits) in [
            ("example.com", "example.com", true),
            ("Example.COM", "example.com", true),
            ("example.com", "www.example.com", false),
            ("example.com", "*.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "*.example.com", true),
            ("*.example.com", "*.b.example.com", true),
            ("*.example.com", "notexample.com", false),
            ("*.b.example.com", "*.example.com", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let name: PermittedName = permitted.parse().unwrap();
            assert_eq!(name.permits(&identifier(asked)), permits, "{permitted} {asked}");
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for text in ["", "*", "*.", "*.*.example.com", "a b", "-a.example.com", "example.com.", "::ffff:192.0.2.1"] {
            assert!(text.parse::<PermittedName>().is_err(), "{text:?}");
        }
    }
}
