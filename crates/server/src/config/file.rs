//! The configuration file as it is written: TOML, every key optional, unknown keys refused. `docs/cairn.toml` documents
//! each key, and a test reads it.

use std::net::SocketAddr;

use serde::Deserialize;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct File {
    /// `private` (default), `dev` or `public`.
    pub regime: Option<RegimeName>,
    /// The start of all ACME URLs; without it they follow the request's Host.
    pub base_url: Option<String>,
    /// The start of the URLs of CRLs, OCSP and issuers in certificates.
    pub status_url: Option<String>,
    /// Shown in the directory.
    pub website: Option<String>,
    /// Terms that accounts have to agree to.
    pub terms_of_service: Option<String>,
    /// Which version of them accounts have to have agreed to.
    pub terms_version: Option<String>,
    /// What has changed in that version: one sentence or a few, for people.
    pub terms_changes: Option<String>,
    /// From when on accounts that agreed to an earlier version are refused (RFC 3339, or a date).
    pub terms_enforced_from: Option<String>,
    /// off, optional or required.
    pub external_account_binding: Option<ca::settings::ExternalAccounts>,
    /// Addresses to listen on.
    pub listen: Listen,
    /// The hierarchy that the first start makes.
    pub issuer: Issuer,
    /// Challenges.
    pub validation: Validation,
    /// CAA records.
    pub caa: Caa,
    /// Certificate Transparency.
    pub ct: Ct,
    /// Profiles: those given here replace the built-in ones of the same name, or are added.
    pub profile: Vec<Profile>,
    /// Orders and what they take over from earlier ones.
    pub orders: Orders,
    /// CRLs.
    pub crl: Crl,
    /// OCSP.
    pub ocsp: super::ocsp::Ocsp,
    /// The audit log.
    pub audit: super::audit::Audit,
    /// Times of the pipeline, in seconds.
    pub times: Times,
    /// Limits.
    pub limits: Limits,
    /// Faults for the tests of ACME clients.
    pub dev: crate::dev::Dev,
    /// Limits of connections and requests.
    pub http: Http,
}

/// How strict this CA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegimeName {
    /// A CA for a company or a home.
    Private,
    /// A CA for the tests of ACME clients.
    Dev,
    /// A CA for the web.
    Public,
}

impl RegimeName {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Dev => "dev",
            Self::Public => "public",
        }
    }
}

impl std::str::FromStr for RegimeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Private, Self::Dev, Self::Public].into_iter().find(|one| one.name() == text);
        found.ok_or_else(|| format!("{text:?} is no regime; expected private, dev or public"))
    }
}

/// Addresses to listen on.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Listen {
    /// ACME, HTTPS.
    pub acme: Option<SocketAddr>,
    /// OCSP, CRLs and issuers, HTTP.
    pub status: Option<SocketAddr>,
    /// Metrics, health and the built-in log, HTTPS.
    pub admin: Option<SocketAddr>,
}

/// The hierarchy that the first start makes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Issuer {
    /// The key of root and intermediate: p256, p384, rsa2048, rsa3072, rsa4096.
    pub key: Option<String>,
    /// The organization in their names.
    pub organization: Option<String>,
    /// The country in their names: two letters.
    pub country: Option<String>,
    /// Roots beside the first, each with a certificate for the same intermediate: 0 to 9.
    pub alternate_roots: Option<u8>,
    /// Intermediates between a root and a leaf: 1 to 9.
    pub chain_length: Option<u8>,
}

/// Challenges.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Validation {
    /// Port of http-01.
    pub http_port: Option<u16>,
    /// Port of redirects to https.
    pub https_port: Option<u16>,
    /// Port of tls-alpn-01.
    pub tls_alpn_port: Option<u16>,
    /// DNS servers; none: those of the system.
    pub resolvers: Vec<SocketAddr>,
    /// Networks that may be connected to, beside those of the regime.
    pub permit_networks: Vec<String>,
    /// Networks that may not.
    pub deny_networks: Vec<String>,
    /// Names that no certificate is issued for, and those below them.
    pub deny_names: Vec<String>,
}

/// CAA records.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Caa {
    /// enforce, log or off.
    pub mode: Option<ca::settings::CaaMode>,
    /// The names by which CAA records permit this CA.
    pub identities: Vec<String>,
}

/// Certificate Transparency.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Ct {
    /// How many logs of its own this CA runs.
    pub builtin_logs: Option<u8>,
    /// Whether the entries of these logs are shown on the status listener too.
    pub public: bool,
    /// A file with the certificates that logs' TLS is trusted by; none: the system's.
    pub tls_roots: Option<std::path::PathBuf>,
    /// Logs of others.
    pub log: Vec<CtLog>,
}

/// A log of somebody else.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CtLog {
    /// Its submission prefix.
    pub url: String,
    /// Its key: the SubjectPublicKeyInfo in base64.
    pub key: String,
    /// Who runs it.
    pub operator: String,
    /// It takes certificates that end at or after this time (RFC 3339).
    pub not_after_start: Option<String>,
    /// It takes certificates that end before this time (RFC 3339).
    pub not_after_end: Option<String>,
}

/// A certificate profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub description: Option<String>,
    /// How long its certificates are valid, in hours.
    pub lifetime_hours: Option<u32>,
    /// `none`, or absent for the regime's policy.
    pub ct: Option<CtChoice>,
    /// SCTs wanted.
    pub scts: Option<u8>,
    /// Operators that they have to come from.
    pub operators: Option<u8>,
    /// Whether an EKU for TLS clients is added.
    pub client_auth: Option<bool>,
    /// Whether a name is repeated as common name.
    pub common_name: Option<bool>,
    /// Whether certificates point to a CRL.
    pub crl: Option<bool>,
    /// Whether certificates point to the OCSP responder, with `ocsp.in-certificates`.
    pub ocsp: Option<bool>,
    /// Whether the lints of the Baseline Requirements apply.
    pub baseline: Option<bool>,
    /// Whether certificates may be for IP addresses.
    pub ip_addresses: Option<bool>,
    /// Whether clients can ask for it.
    pub offered: Option<bool>,
}

/// Whether a profile's precertificates are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CtChoice {
    /// No precertificate is made.
    None,
    /// They are.
    Logged,
}

/// Orders and what they take over from earlier ones.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Orders {
    /// How many of a hundred identifiers with a valid authorization of the account get it instead of a new one.
    pub authorization_reuse: Option<u8>,
    /// Whether a request for what an open order is for is answered with that order.
    pub order_reuse: Option<bool>,
}

/// CRLs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Crl {
    /// Shards of each issuer's CRL, for new certificates.
    pub shards: Option<u16>,
    /// Hours after which a CRL is made anew, though nothing has changed.
    pub renewal_hours: Option<u32>,
    /// Seconds from one CRL of a shard to the next at least: revocations that come meanwhile are gathered.
    pub gathering_seconds: Option<u32>,
    /// Hours from `thisUpdate` to `nextUpdate`.
    pub validity_hours: Option<u32>,
    /// Where else they are to be found.
    pub publish: super::publish::Publish,
}

/// Times of the pipeline, in seconds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Times {
    /// The life of a pending or ready order.
    pub order_lifetime: Option<u32>,
    /// The life of a valid authorization.
    pub authorization_lifetime: Option<u32>,
    /// A lease in `TestChallenge`.
    pub test_lease: Option<u32>,
    /// A lease in `Issue`.
    pub issue_lease: Option<u32>,
    /// The deadline of `Issue`.
    pub issue_deadline: Option<u32>,
    /// One test of one challenge.
    pub validation: Option<u32>,
    /// One CAA check.
    pub caa: Option<u32>,
    /// One round of CT submissions.
    pub ct: Option<u32>,
    /// One signature.
    pub signature: Option<u32>,
    /// What has to be left of a lease for a signature to start.
    pub signature_margin: Option<u32>,
    /// Between two sweeps.
    pub sweep: Option<u32>,
    /// Clients are asked to look at renewal information again after this.
    pub renewal_info: Option<u32>,
    /// The first wait before a try is repeated.
    pub back_off: Option<u32>,
    /// A poll waits at most this long for a change.
    pub poll_wait: Option<u32>,
    /// How long a valid order waits for its acknowledgement.
    pub retention_valid: Option<u32>,
    /// How long an invalid order can be looked at.
    pub retention_invalid: Option<u32>,
}

/// Limits.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// Identifiers of an order.
    pub names_per_order: Option<u16>,
    /// Contacts of an account.
    pub contacts: Option<u8>,
    /// Orders on one page of an account's list.
    pub orders_per_page: Option<u16>,
    /// Active orders.
    pub active_orders: Option<u32>,
    /// Ended orders that await their acknowledgement.
    pub pending_done: Option<u32>,
    /// Orders whose challenges are tested side by side.
    pub test_workers: Option<u16>,
    /// Tests of challenges that run side by side, beside the first of each order.
    pub tests: Option<u16>,
    /// Orders that are issued side by side.
    pub issue_workers: Option<u16>,
    /// Connections of each listener.
    pub connections: Option<u32>,
    /// Connections of each listener from one address (IPv6: from one network of 64 bits).
    pub connections_per_address: Option<u32>,
    /// Octets of a request's body.
    pub body_octets: Option<u32>,
    /// Polls of one account that wait at the same time.
    pub polls_per_account: Option<u16>,
}

/// Limits of connections and requests; times in seconds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Http {
    /// A TLS handshake.
    pub handshake_time: Option<u32>,
    /// The head of the first or next request of an HTTP/1.1 connection.
    pub header_time: Option<u32>,
    /// The body of a request.
    pub body_time: Option<u32>,
    /// 16 KiB of an answer, or what there is of it.
    pub write_time: Option<u32>,
    /// A connection on which nothing happens.
    pub idle_time: Option<u32>,
    /// Requests in progress when their connection is to end.
    pub stop_time: Option<u32>,
    /// Headers of a request.
    pub headers: Option<u16>,
    /// Octets of the headers of a request.
    pub header_octets: Option<u32>,
    /// Requests at the same time, of one HTTP/2 connection.
    pub streams: Option<u16>,
    /// Requests that an HTTP/2 peer has reset before they were looked at.
    pub stream_resets: Option<u16>,
}
