//! What an operator decides, as the domain needs it. The server room reads it from a configuration and checks it.

use std::time::Duration;

use pki::Timestamp;

use crate::crl::CrlScheme;
use crate::ports::Retention;
use crate::profile::Profile;

/// What is done with CAA records (RFC 8659).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaaMode {
    /// A record that forbids, or a look-up that fails, keeps the certificate from being issued.
    Enforce,
    /// Looked up beside validation and logged; never in the way.
    Log,
    /// Not looked up.
    Off,
}

/// Times of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long a `pending` or `ready` order lives.
    pub order_lifetime: Duration,
    /// How long a valid authorization may be used.
    pub authorization_lifetime: Duration,
    /// A lease in `TestChallenge` and `MakeChallenge`.
    pub test_lease: Duration,
    /// A lease in `Issue`: longer than the sum of the time limits of its steps.
    pub issue_lease: Duration,
    /// An order dies this long after finalize if it has no certificate.
    pub issue_deadline: Duration,
    /// One test of one challenge.
    pub validation: Duration,
    /// One CAA check.
    pub caa: Duration,
    /// One round of submissions to CT logs.
    pub ct: Duration,
    /// One signature.
    pub signature: Duration,
    /// No signature starts with less than this left of the lease.
    pub signature_margin: Duration,
    /// A CAA check may be used for so long, or for its TTL if that is longer (BR 4.2.2.1: 8 hours).
    pub caa_reuse: Duration,
    /// The wait before a failed test or issuance is tried again; it doubles with each try.
    pub back_off: Duration,
    /// Between two sweeps.
    pub sweep: Duration,
    /// Clients are asked to look at renewal information again after this.
    pub renewal_info: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            order_lifetime: Duration::from_secs(7 * 86_400),
            authorization_lifetime: Duration::from_secs(30 * 86_400),
            test_lease: Duration::from_secs(60),
            issue_lease: Duration::from_secs(90),
            issue_deadline: Duration::from_secs(600),
            validation: Duration::from_secs(20),
            caa: Duration::from_secs(10),
            ct: Duration::from_secs(30),
            signature: Duration::from_secs(15),
            signature_margin: Duration::from_secs(5),
            caa_reuse: Duration::from_secs(8 * 3600),
            back_off: Duration::from_secs(2),
            sweep: Duration::from_secs(5),
            renewal_info: Duration::from_secs(6 * 3600),
        }
    }
}

/// Numbers above which nothing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Identifiers of an order.
    pub names_per_order: usize,
    /// Contacts of an account.
    pub contacts: usize,
    /// Orders on one page of an account's list.
    pub orders_per_page: u32,
    /// Changes of an account's key: their requests are the proof of the key, and are kept for ever.
    pub key_changes: usize,
    /// Tests of a challenge for one answer.
    pub tries: u8,
    /// Issuances of an order that failed. One that died with its process is none.
    pub issuances: u32,
    /// Workers of `TestChallenge`: so many orders are tested side by side.
    pub test_workers: usize,
    /// Tests of challenges that run side by side, beside the first of each order.
    pub tests: usize,
    /// Workers of `Issue`.
    pub issue_workers: usize,
    /// Orders of one page of the sweep.
    pub sweep_page: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            names_per_order: 100,
            contacts: 10,
            orders_per_page: 50,
            key_changes: 100,
            tries: 3,
            issuances: 3,
            test_workers: 256,
            tests: 256,
            issue_workers: 64,
            sweep_page: 1000,
        }
    }
}

/// Times of CRLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrlTimes {
    /// A CRL that nothing changes is made anew after this.
    pub renewal: Duration,
    /// A shard's CRL is made anew so long after the last one at the earliest: revocations that come meanwhile are
    /// gathered. At least a second.
    pub gathering: Duration,
    /// From `thisUpdate` to `nextUpdate` (BR 4.9.7: at most 10 days).
    pub validity: Duration,
}

impl Default for CrlTimes {
    fn default() -> Self {
        Self {
            renewal: Duration::from_secs(86_400),
            gathering: Duration::from_secs(5),
            validity: Duration::from_secs(9 * 86_400),
        }
    }
}

/// OCSP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OcspSettings {
    /// Who signs answers.
    pub responder: OcspSigner,
    /// Whether certificates point to this CA's responder, if their profile says so.
    pub in_certificates: bool,
    /// From `thisUpdate` to `nextUpdate` (BR 4.9.10: 8 hours to 10 days).
    pub validity: Duration,
    /// Caches may keep an answer for so long.
    pub max_age: Duration,
    /// Whether a nonce is repeated (RFC 9654): each such answer is a signature.
    pub nonces: bool,
    /// Octets of the answers that are kept.
    pub cache_octets: usize,
    /// Answers that are signed side by side; whoever comes then is asked to try later.
    pub signatures: usize,
}

impl Default for OcspSettings {
    fn default() -> Self {
        Self {
            responder: OcspSigner::Delegated,
            in_certificates: false,
            validity: Duration::from_secs(96 * 3_600),
            max_age: Duration::from_secs(3_600),
            nonces: false,
            cache_octets: 32 << 20,
            signatures: 64,
        }
    }
}

/// Who signs OCSP answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OcspSigner {
    /// A key of its own, with certificates of short life (RFC 6960 §4.2.2.2): nobody outside can make an issuer's key
    /// sign.
    #[default]
    Delegated,
    /// The issuer's key.
    Direct,
}

/// What a new order takes over from earlier ones of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// How many of a hundred identifiers with a valid authorization of the account get it instead of a new one.
    pub authorizations_percent: u8,
    /// Whether a request for what an open order is for is answered with that order.
    pub orders: bool,
}

impl Default for Reuse {
    fn default() -> Self {
        Self { authorizations_percent: 100, orders: true }
    }
}

/// Whether accounts are bound to external ones (RFC 8555 §7.3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExternalAccounts {
    /// No account is.
    #[default]
    Off,
    /// Those that ask for it.
    Optional,
    /// All but this CA's own.
    Required,
}

/// Terms of service (RFC 8555 §7.3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Where they can be read.
    pub url: String,
    /// Which version of them is asked for. Without one, an account that agreed once is not asked again.
    pub version: Option<String>,
    /// What an account agreed to when there were terms without a version: the first version that was ever configured
    /// here, as the ledger has it.
    pub first_version: Option<String>,
    /// What has changed, for people.
    pub changes: Option<String>,
    /// Before this nobody is refused who has agreed to an earlier version.
    pub enforced_from: Option<Timestamp>,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The profiles; the first is the default of orders that name none.
    pub profiles: Vec<Profile>,
    /// What is done with CAA records.
    pub caa: CaaMode,
    /// The configured base URL of ACME resources, without a slash at its end; without one RFC 8657's `accounturi` is
    /// not supported.
    pub base_url: Option<String>,
    /// The base URL of the status listener, in certificates: `http://…`, without a slash at its end.
    pub status_url: String,
    /// How CRLs of an issuer are cut into shards, and were.
    pub crls: CrlScheme,
    /// Times of CRLs.
    pub crl: CrlTimes,
    /// Times of the pipeline.
    pub times: Times,
    /// Limits.
    pub limits: Limits,
    /// What new orders take over from earlier ones.
    pub reuse: Reuse,
    /// How long ended orders stay in `pending-done`.
    pub retention: Retention,
    /// Terms of service that an account has to agree to, if there are any.
    pub terms: Option<Terms>,
    /// Whether accounts are bound to external ones.
    pub external_accounts: ExternalAccounts,
    /// Whether names must be public ones: the lints for public names apply.
    pub public_names: bool,
    /// Names, in lower case, that no certificate is issued for, nor for those below them.
    pub denied_names: Vec<String>,
    /// OCSP.
    pub ocsp: OcspSettings,
    /// What certificates name as OCSP responder in place of this one's own URL, if their profile has them name one: a
    /// cache in front of it, or somebody else's.
    pub ocsp_url: Option<String>,
}

impl Settings {
    /// The profile of this name.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }

    /// The OCSP responder that certificates of this profile point to.
    pub fn ocsp_pointer(&self, profile: &Profile) -> Option<String> {
        let own = || self.ocsp.in_certificates.then(|| format!("{}{}", self.status_url, crate::urls::OCSP));
        profile.ocsp.then(|| self.ocsp_url.clone().or_else(own)).flatten()
    }

    /// The denied name that this one is, or is below.
    pub fn denied(&self, name: &str) -> Option<&str> {
        let below = |denied: &str| name.strip_suffix(denied).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        self.denied_names.iter().map(String::as_str).find(|denied| below(denied))
    }

    /// The profile of orders that name none.
    pub fn default_profile(&self) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.offered)
    }
}
