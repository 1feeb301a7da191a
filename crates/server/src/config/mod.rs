//! The configuration: a file, the command line and the defaults of a regime, checked and put together.

mod audit;
mod crl;
mod dropin;
mod file;
mod http;
mod ocsp;
mod profiles;
mod publish;
mod terms;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ca::ports::Retention;
use ca::profile::Profile;
use ca::settings::{CaaMode, Limits, Reuse, Settings, Times};
use ipnet::IpNet;
use keys::KeyAlgorithm;
use pki::Timestamp;

pub use audit::AuditSettings;
pub use dropin::{PebbleChoices, RetryAfter, TlsFiles, require_dev_for_faults};
pub use file::{File, Listen, Orders, RegimeName};
pub use publish::{PublishSettings, S3_VARIABLES, S3Credentials, S3Settings, S3Variables};

use crate::dev::Dev;
use crate::http::limits::ListenerLimits;

/// What is wrong with a configuration: the file, the key, and what would be right. One line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct ConfigError {
    place: String,
    fault: String,
}

impl ConfigError {
    fn new(place: impl Into<String>, fault: impl Into<String>) -> Self {
        Self { place: place.into(), fault: fault.into() }
    }
}

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// `--dev`.
    pub dev: bool,
    /// `--dns-server`.
    pub dns_server: Option<SocketAddr>,
    /// `--key`.
    pub key: Option<KeyAlgorithm>,
    /// `--acme`, `--status`, `--admin`: addresses that replace those of the file.
    pub listen: file::Listen,
    /// The variables `CAIRN_DEV_…`.
    pub variables: BTreeMap<String, String>,
    /// The variables that say what requests to S3 are signed with.
    pub s3_variables: S3Variables,
    /// What a configuration of Pebble says and ours can't.
    pub pebble: Option<PebbleChoices>,
}

/// A log of somebody else.
#[derive(Clone, Debug)]
pub struct ForeignLog {
    /// Its submission prefix.
    pub url: String,
    /// Its key: DER.
    pub key: Vec<u8>,
    /// Who runs it.
    pub operator: String,
    /// The ends of validity that it takes: from, and before.
    pub not_after: (Option<Timestamp>, Option<Timestamp>),
}

/// The whole of what a server is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// How strict this CA is.
    pub regime: RegimeName,
    /// Where ACME is served.
    pub acme: SocketAddr,
    /// Where status is served.
    pub status: SocketAddr,
    /// Where the operator looks.
    pub admin: SocketAddr,
    /// Shown in the directory.
    pub website: Option<String>,
    /// Keys of a new hierarchy.
    pub key: KeyAlgorithm,
    /// The organization of a new hierarchy.
    pub organization: String,
    /// The country of a new hierarchy.
    pub country: String,
    /// Roots of a new hierarchy beside the first.
    pub alternate_roots: u8,
    /// Intermediates of a new hierarchy between a root and a leaf: at least 1.
    pub chain_length: u8,
    /// Ports: http-01, https redirects, tls-alpn-01.
    pub ports: (u16, u16, u16),
    /// DNS servers; none: the system's.
    pub resolvers: Vec<SocketAddr>,
    /// Whether names under `.localhost` are loopback, without DNS.
    pub localhost_names: bool,
    /// Networks permitted beside the regime's.
    pub permit_networks: Vec<IpNet>,
    /// Networks denied.
    pub deny_networks: Vec<IpNet>,
    /// Names by which CAA records permit this CA.
    pub caa_identities: Vec<String>,
    /// How many built-in logs.
    pub builtin_logs: u8,
    /// Whether their entries are public.
    pub ct_public: bool,
    /// What logs' TLS is trusted by.
    pub ct_tls_roots: Option<PathBuf>,
    /// Other logs.
    pub foreign_logs: Vec<ForeignLog>,
    /// A poll waits at most this long.
    pub poll_wait: Duration,
    /// Polls of one account that wait.
    pub polls_per_account: usize,
    /// Limits of connections and requests.
    pub http: ListenerLimits,
    /// Where CRLs and issuers' certificates are brought to, for others to serve.
    pub publish: PublishSettings,
    /// The audit log's files and checkpoints.
    pub audit: AuditSettings,
    /// Octets of a request's body.
    pub body_octets: usize,
    /// Active orders.
    pub active_orders: u64,
    /// Which of the keys were configured that certificates point to.
    pub configured: crate::published::Configured,
    /// Where the hierarchy and its keys are: the data folder, but for tests that keep them from run to run.
    pub hierarchy: PathBuf,
    /// Faults for the tests of ACME clients.
    pub dev: Dev,
    /// Whether it stands in the place of Pebble.
    pub pebble: bool,
    /// Keys that accounts can be bound with from the start, beside those that the ledger has.
    pub external_account_keys: Vec<(ca::ExternalKeyId, acme::MacKey)>,
    /// The TLS certificate of the listeners; none: one of this CA.
    pub tls: Option<TlsFiles>,
    /// Whether the status listener takes any port that is free if its own is not.
    pub status_anywhere: bool,
    /// When clients are asked to ask again.
    pub retry_after: RetryAfter,
    /// What the domain needs.
    pub settings: Settings,
}

/// The name of this host, for URLs in certificates and for the server's own certificate.
pub fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().to_ascii_lowercase();
    if acme::DnsName::parse_host(&name).is_ok() { name } else { "localhost".to_owned() }
}

/// More names make lines of the audit log that nobody can read.
const NAMES_PER_ORDER_MAX: usize = 1000;
/// Larger pages are of use to nobody.
const ORDERS_PER_PAGE_MAX: u32 = 1000;
/// More logs of one CA's own are of use to nobody.
const BUILTIN_LOGS_MAX: u8 = 8;

/// Reads a configuration file.
///
/// # Errors
/// It can't be read, is no TOML, or has a key that is unknown or has a wrong value.
pub fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigError::new(
            path.display().to_string(),
            format!("can't be read ({error}); name a readable file with --config"),
        )
    })?;
    parse(&text, &path.display().to_string())
}

/// Reads a configuration from its text; `name` is the file's, for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(text: &str, name: &str) -> Result<File, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
        let message = error.message().replace('\n', " ");
        ConfigError::new(format!("{name}:{line}"), format!("{message}; docs/cairn.toml lists every key"))
    })
}

impl Config {
    /// Puts file, command line and the regime's defaults together.
    ///
    /// # Errors
    /// The first value that can't be used, with its key.
    pub fn new(data: PathBuf, file: &File, choices: &Choices) -> Result<Self, ConfigError> {
        // Whoever wrote `public` must not be given less by an option.
        if file.regime == Some(RegimeName::Public) {
            return Err(missing_for_public());
        }
        let regime = if choices.dev { RegimeName::Dev } else { file.regime.unwrap_or(RegimeName::Private) };
        require_logs(file)?;
        let dev = regime == RegimeName::Dev;
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let status = choices.listen.status.or(file.listen.status).unwrap_or_else(|| any(14080));
        let key = match (&choices.key, &file.issuer.key) {
            (Some(key), _) => *key,
            (None, Some(name)) => issuer_key(name)?,
            (None, None) => KeyAlgorithm::P256,
        };
        let validation = &file.validation;
        let test_port = |test, real| if dev { test } else { real };
        let faults = dropin::faults(regime, file, &choices.variables)?;
        let resolvers = choices.dns_server.map_or_else(|| validation.resolvers.clone(), |server| vec![server]);
        let config = Self {
            hierarchy: data.clone(),
            data,
            regime,
            dev: faults,
            pebble: false,
            external_account_keys: Vec::new(),
            tls: None,
            status_anywhere: false,
            retry_after: RetryAfter::default(),
            acme: choices.listen.acme.or(file.listen.acme).unwrap_or_else(|| any(14000)),
            status,
            admin: choices.listen.admin.or(file.listen.admin).unwrap_or_else(|| local(15000)),
            website: file.website.clone(),
            key,
            organization: file.issuer.organization.clone().unwrap_or_else(|| "Cairn".to_owned()),
            country: country(file.issuer.country.as_deref())?,
            alternate_roots: within("issuer.alternate-roots", file.issuer.alternate_roots, (0, 0..=9))?,
            chain_length: within("issuer.chain-length", file.issuer.chain_length, (1, 1..=9))?,
            ports: (
                validation.http_port.unwrap_or_else(|| test_port(5002, 80)),
                validation.https_port.unwrap_or_else(|| test_port(5003, 443)),
                validation.tls_alpn_port.unwrap_or_else(|| test_port(5001, 443)),
            ),
            localhost_names: dev && choices.dns_server.is_none(),
            resolvers,
            permit_networks: networks("validation.permit-networks", &validation.permit_networks)?,
            deny_networks: networks("validation.deny-networks", &validation.deny_networks)?,
            caa_identities: file.caa.identities.clone(),
            builtin_logs: file.ct.builtin_logs.unwrap_or(2),
            ct_public: file.ct.public,
            ct_tls_roots: file.ct.tls_roots.clone(),
            foreign_logs: file.ct.log.iter().map(foreign_log).collect::<Result<_, _>>()?,
            poll_wait: seconds(file.times.poll_wait, 2),
            polls_per_account: file.limits.polls_per_account.unwrap_or(64).into(),
            http: http::limits(file)?,
            publish: publish::read(&file.crl.publish, &choices.s3_variables)?,
            audit: audit::settings(file.audit)?,
            body_octets: number(file.limits.body_octets, 64 * 1024),
            active_orders: file.limits.active_orders.unwrap_or(1_000_000).into(),
            configured: crate::published::Configured::of(file),
            settings: checked(settings(file, status)?, regime)?,
        };
        dropin::applied(config, choices)
    }
}

/// What one table alone doesn't tell.
fn checked(settings: Settings, regime: RegimeName) -> Result<Settings, ConfigError> {
    profiles::require_status(&settings)?;
    crl::require_renewal(&settings, regime)?;
    Ok(settings)
}

/// What the regime `public` still lacks in this version.
fn missing_for_public() -> ConfigError {
    ConfigError::new(
        "regime",
        "public is refused: this version has no DNSSEC validation, no remote perspectives, no rate limits and no \
         hardware keys, which the Baseline Requirements and root programs ask for; use private",
    )
}

/// A profile that wants more SCTs than there are logs could never be issued.
fn require_logs(file: &File) -> Result<(), ConfigError> {
    let builtin = file.ct.builtin_logs.unwrap_or(2);
    if builtin > BUILTIN_LOGS_MAX {
        return Err(ConfigError::new("ct.builtin-logs", format!("is {builtin}; at most {BUILTIN_LOGS_MAX} are run")));
    }
    let logs = usize::from(builtin) + file.ct.log.len();
    let mut operators: std::collections::BTreeSet<&str> = file.ct.log.iter().map(|log| log.operator.as_str()).collect();
    if builtin > 0 {
        operators.insert("Cairn");
    }
    for profile in profiles::all(&file.profile)? {
        let wanted = profile.ct.filter(|ct| profile.offered && (ct.scts > logs || ct.operators > operators.len()));
        if let Some(ct) = wanted {
            return Err(ConfigError::new(
                format!("profile {:?}", profile.name),
                format!(
                    "wants {} SCTs of {} operators, but there are {logs} logs of {}; add logs, or say ct = \"none\"",
                    ct.scts,
                    ct.operators,
                    operators.len()
                ),
            ));
        }
    }
    Ok(())
}

fn settings(file: &File, status: SocketAddr) -> Result<Settings, ConfigError> {
    let defaults = Limits::default();
    let limits = Limits {
        names_per_order: file.limits.names_per_order.map_or(defaults.names_per_order, usize::from),
        contacts: file.limits.contacts.map_or(defaults.contacts, usize::from),
        orders_per_page: file.limits.orders_per_page.map_or(defaults.orders_per_page, u32::from),
        test_workers: file.limits.test_workers.map_or(defaults.test_workers, usize::from),
        tests: file.limits.tests.map_or(defaults.tests, usize::from),
        issue_workers: file.limits.issue_workers.map_or(defaults.issue_workers, usize::from),
        ..defaults
    };
    for (key, value) in [
        ("limits.names-per-order", limits.names_per_order),
        ("limits.orders-per-page", file.limits.orders_per_page.map_or(1, usize::from)),
        ("limits.test-workers", limits.test_workers),
        ("limits.issue-workers", limits.issue_workers),
        ("crl.shards", file.crl.shards.map_or(1, usize::from)),
        ("limits.body-octets", number(file.limits.body_octets, 1)),
        ("limits.active-orders", number(file.limits.active_orders, 1)),
    ] {
        if value == 0 {
            return Err(ConfigError::new(key, "is 0; at least 1 is needed"));
        }
    }
    if limits.names_per_order > NAMES_PER_ORDER_MAX {
        return Err(ConfigError::new("limits.names-per-order", format!("is above {NAMES_PER_ORDER_MAX}")));
    }
    if limits.contacts > acme::account::CONTACTS_MAX {
        return Err(ConfigError::new("limits.contacts", format!("is above {}", acme::account::CONTACTS_MAX)));
    }
    if limits.orders_per_page > ORDERS_PER_PAGE_MAX {
        return Err(ConfigError::new("limits.orders-per-page", format!("is above {ORDERS_PER_PAGE_MAX}")));
    }
    let status_url = match &file.status_url {
        Some(url) => base_url("status-url", url, "http://")?,
        None => format!("http://{}:{}", host_name(), status.port()),
    };
    Ok(Settings {
        profiles: profiles::all(&file.profile)?,
        caa: file.caa.mode.unwrap_or(CaaMode::Log),
        base_url: file.base_url.as_ref().map(|url| base_url("base-url", url, "https://")).transpose()?,
        crls: ca::crl::CrlScheme::new(file.crl.shards.unwrap_or(4), status_url.clone()),
        status_url,
        crl: crl::times(&file.crl)?,
        times: times(file.times)?,
        limits,
        reuse: reuse(file.orders)?,
        retention: Retention {
            valid: seconds(file.times.retention_valid, 86_400),
            invalid: seconds(file.times.retention_invalid, 7 * 86_400),
            number_max: file.limits.pending_done.unwrap_or(200_000).into(),
        },
        terms: terms::read(file)?,
        external_accounts: file.external_account_binding.unwrap_or_default(),
        public_names: false,
        denied_names: denied_names(&file.validation.deny_names)?,
        ocsp: ocsp::read(&file.ocsp)?,
        ocsp_url: ocsp::url(&file.ocsp)?,
    })
}

fn times(file: file::Times) -> Result<Times, ConfigError> {
    let defaults = Times::default();
    let or = |value: Option<u32>, default: Duration| value.map_or(default, |s| Duration::from_secs(s.into()));
    let times = Times {
        order_lifetime: or(file.order_lifetime, defaults.order_lifetime),
        authorization_lifetime: or(file.authorization_lifetime, defaults.authorization_lifetime),
        test_lease: or(file.test_lease, defaults.test_lease),
        issue_lease: or(file.issue_lease, defaults.issue_lease),
        issue_deadline: or(file.issue_deadline, defaults.issue_deadline),
        validation: or(file.validation, defaults.validation),
        caa: or(file.caa, defaults.caa),
        ct: or(file.ct, defaults.ct),
        signature: or(file.signature, defaults.signature),
        signature_margin: or(file.signature_margin, defaults.signature_margin),
        caa_reuse: defaults.caa_reuse,
        back_off: or(file.back_off, defaults.back_off),
        sweep: or(file.sweep, defaults.sweep),
        renewal_info: or(file.renewal_info, defaults.renewal_info),
    };
    let issue = times.caa + times.ct + times.signature * 2;
    if times.issue_lease <= issue {
        return Err(ConfigError::new(
            "times.issue-lease",
            format!(
                "is {} s, but caa, ct and twice signature make {} s: a lease must be longer than its steps",
                times.issue_lease.as_secs(),
                issue.as_secs()
            ),
        ));
    }
    if times.test_lease <= times.validation.max(times.caa) {
        return Err(ConfigError::new("times.test-lease", "is not longer than times.validation and times.caa"));
    }
    let Times { validation, caa, ct, signature, sweep, back_off, order_lifetime, authorization_lifetime, .. } = times;
    let renewal_info = times.renewal_info;
    let all = [validation, caa, ct, signature, sweep, back_off, order_lifetime, authorization_lifetime, renewal_info];
    if all.iter().any(Duration::is_zero) || times.issue_deadline.is_zero() {
        return Err(ConfigError::new(
            "times",
            "0 s is no time; every key but signature-margin and poll-wait needs 1 s",
        ));
    }
    Ok(times)
}

fn reuse(file: file::Orders) -> Result<Reuse, ConfigError> {
    let defaults = Reuse::default();
    let reuse = Reuse {
        authorizations_percent: file.authorization_reuse.unwrap_or(defaults.authorizations_percent),
        orders: file.order_reuse.unwrap_or(defaults.orders),
    };
    if reuse.authorizations_percent > 100 {
        return Err(ConfigError::new("orders.authorization-reuse", "is above 100; expected a percentage, 0 to 100"));
    }
    Ok(reuse)
}

fn seconds(value: Option<u32>, default: u32) -> Duration {
    Duration::from_secs(value.unwrap_or(default).into())
}

fn number(value: Option<u32>, default: u32) -> usize {
    usize::try_from(value.unwrap_or(default)).unwrap_or(usize::MAX)
}

fn base_url(key: &str, url: &str, scheme: &str) -> Result<String, ConfigError> {
    let url = url.trim_end_matches('/');
    let parsed = url::Url::parse(url).ok().filter(|parsed| {
        parsed.has_host() && parsed.query().is_none() && parsed.fragment().is_none() && parsed.username().is_empty()
    });
    match parsed {
        Some(parsed) if url.starts_with(scheme) && parsed.path() == "/" => Ok(url.to_owned()),
        Some(_) | None => {
            Err(ConfigError::new(key, format!("{url:?} can't be used; expected {scheme}HOST or {scheme}HOST:PORT")))
        }
    }
}

fn issuer_key(name: &str) -> Result<KeyAlgorithm, ConfigError> {
    match name.parse() {
        Ok(KeyAlgorithm::Ed25519) | Err(_) => Err(ConfigError::new(
            "issuer.key",
            format!("{name:?} is no issuer's key; expected p256, p384, rsa2048, rsa3072 or rsa4096"),
        )),
        Ok(
            key @ (KeyAlgorithm::P256
            | KeyAlgorithm::P384
            | KeyAlgorithm::Rsa2048
            | KeyAlgorithm::Rsa3072
            | KeyAlgorithm::Rsa4096),
        ) => Ok(key),
    }
}

fn country(code: Option<&str>) -> Result<String, ConfigError> {
    let code = code.unwrap_or("XX");
    if code.len() == 2 && code.bytes().all(|octet| octet.is_ascii_uppercase()) {
        return Ok(code.to_owned());
    }
    Err(ConfigError::new("issuer.country", format!("{code:?} is no country; expected two capital letters")))
}

fn within(
    key: &str,
    value: Option<u8>,
    (default, range): (u8, std::ops::RangeInclusive<u8>),
) -> Result<u8, ConfigError> {
    match value.unwrap_or(default) {
        value if range.contains(&value) => Ok(value),
        value => Err(ConfigError::new(key, format!("is {value}; expected {} to {}", range.start(), range.end()))),
    }
}

fn networks(key: &str, texts: &[String]) -> Result<Vec<IpNet>, ConfigError> {
    let parse = |text: &String| {
        text.parse()
            .map_err(|_| ConfigError::new(key, format!("{text:?} is no network; expected 10.0.0.0/8 or fd00::/8")))
    };
    texts.iter().map(parse).collect()
}

fn denied_names(texts: &[String]) -> Result<Vec<String>, ConfigError> {
    let parse = |text: &String| {
        let name = text.trim_end_matches('.').to_ascii_lowercase();
        acme::DnsName::parse_host(&name).map(|_| name).map_err(|error| {
            ConfigError::new("validation.deny-names", format!("{text:?} is no name ({error}); expected example.com"))
        })
    };
    texts.iter().map(parse).collect()
}

fn foreign_log(log: &file::CtLog) -> Result<ForeignLog, ConfigError> {
    let place = format!("ct.log {}", log.url);
    let key = data_encoding::BASE64.decode(log.key.as_bytes()).ok();
    let key = key.filter(|der| pki::PublicKey::from_spki_der(der).is_ok());
    let time = |text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => Timestamp::parse_rfc3339(text).map(Some).ok_or_else(|| {
            ConfigError::new(place.clone(), format!("{text:?} is no time; expected 2027-01-01T00:00:00Z"))
        }),
    };
    Ok(ForeignLog {
        url: log.url.trim_end_matches('/').to_owned(),
        key: key.ok_or_else(|| {
            ConfigError::new(place.clone(), "key is no public key; expected the SubjectPublicKeyInfo in base64")
        })?,
        operator: log.operator.clone(),
        not_after: (time(&log.not_after_start)?, time(&log.not_after_end)?),
    })
}

/// The profiles of the built-in account's own certificates.
pub fn server_profile(settings: &Settings) -> Option<&Profile> {
    settings.profile(profiles::SERVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, ConfigError> {
        Config::new("data".into(), &parse(text, "cairn.toml")?, &Choices::default())
    }

    #[test]
    fn the_documented_sample_is_the_default() {
        let sample = include_str!("../../../../docs/cairn.toml");
        let documented = config(sample).expect("the sample is right");
        let default = config("").expect("no configuration is right");
        assert_eq!(format!("{documented:?}"), format!("{default:?}"));
    }

    #[test]
    fn every_line_of_the_sample_that_is_commented_out_can_be_used() {
        let sample = include_str!("../../../../docs/cairn.toml");
        let used: String =
            sample.lines().map(|line| format!("{}\n", line.strip_prefix("#: ").unwrap_or(line))).collect();
        config(&used).expect("the examples are right");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = config("regime = \"private\"\nregim = 1\n").expect_err("unknown key").to_string();
        assert!(error.starts_with("cairn.toml:2: ") && error.contains("regim"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn wrong_values_are_named_with_their_key() {
        for (text, key) in [
            ("base-url = \"http://a.example\"", "base-url"),
            ("base-url = \"https://a.example/path\"", "base-url"),
            ("[issuer]\nkey = \"ed25519\"", "issuer.key"),
            ("[issuer]\ncountry = \"Germany\"", "issuer.country"),
            ("[issuer]\nalternate-roots = 10", "issuer.alternate-roots"),
            ("[issuer]\nchain-length = 0", "issuer.chain-length"),
            ("[validation]\npermit-networks = [\"10.0.0.0/64\"]", "permit-networks"),
            ("[times]\nissue-lease = 20", "issue-lease"),
            ("[times]\nsweep = 0", "times"),
            ("[crl]\nvalidity-hours = 1000", "crl"),
            ("[crl]\nrenewal-hours = 97", "crl.renewal-hours"),
            ("[[profile]]\nname = \"bare\"\ncrl = false", "profile \"bare\""),
            ("[ocsp]\nurl = \"https://ocsp.example.com\"", "ocsp.url"),
            ("[ocsp]\nvalidity-hours = 7", "ocsp.validity-hours"),
            ("[ocsp]\nresponder = \"both\"", "`delegated` or `direct`"),
            ("[limits]\nissue-workers = 0", "issue-workers"),
            ("[orders]\nauthorization-reuse = 101", "authorization-reuse"),
            ("[limits]\nconnections-per-address = 0", "connections-per-address"),
            ("[http]\nidle-time = 10", "idle-time"),
            ("[http]\nheader-octets = 100", "header-octets"),
            ("regime = \"public\"", "regime"),
        ] {
            let error = config(text).expect_err(text).to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
