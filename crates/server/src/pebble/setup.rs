//! From Pebble's configuration and variables to ours.

use std::collections::BTreeMap;
use std::path::Path;

use acme::MacKey;
use ca::profile::{CtRequirement, Profile};
use ca::settings::ExternalAccounts;
use ca::{ExternalKeyId, ParseIdError};

use super::addresses;
use super::arguments::Arguments;
use super::json::{KeyAlgorithm, PebbleConfig};
use crate::config::{Choices, Config, ConfigError, File, Listen, Orders, PebbleChoices, RetryAfter, TlsFiles};
use crate::dev::{self, DevError};

const ACME_DEFAULT: &str = "0.0.0.0:14000";
/// Where the management listener is when nobody wants it: any free port that only this machine reaches.
const NOWHERE: &str = "127.0.0.1:0";
const CAA_IDENTITY: &str = "pebble.letsencrypt.org";
/// Accounts have to agree to terms, since clients have to show that they can.
const TERMS: &str = "data:text/plain,These%20certificates%20are%20for%20tests%20only";
const ORGANIZATION: &str = "Cairn Tests - DO NOT TRUST";

const DAY_SECONDS: u64 = 86_400;
const VALIDITY_DEFAULT_SECONDS: u64 = 90 * DAY_SECONDS;
/// What Pebble takes for a mistake: longer than Go's times can be.
const VALIDITY_NONSENSE_SECONDS: u64 = 9_223_372_038;
const VALIDATION_DELAY_DEFAULT: u32 = 5;
const VALIDATION_DELAY_MAX: u32 = 3600;
const BAD_NONCE_PERCENT_DEFAULT: u8 = 5;
const AUTHORIZATION_REUSE_DEFAULT: u8 = 50;
const ALTERNATE_ROOTS_MAX: u32 = 9;
const CHAIN_LENGTH_MAX: u32 = 9;
const ORDERS_PER_PAGE_DEFAULT: u32 = 3;
const ORDERS_PER_PAGE_MAX: u32 = 1000;

/// The variables of the environment, by name.
pub(super) type Variables = BTreeMap<String, String>;

/// Why Pebble's configuration can't be taken. One line, with its place.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    /// A field, an argument or an address.
    #[error("{place}: {fault}")]
    Value {
        /// Which.
        place: String,
        /// What is wrong and what would be right.
        fault: String,
    },
    /// A variable.
    #[error(transparent)]
    Variable(#[from] DevError),
    /// What it comes to.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// The configuration of a server in this data folder.
///
/// # Errors
/// See [`SetupError`].
pub(super) fn config(
    data: &Path,
    pebble: &PebbleConfig,
    arguments: &Arguments,
    variables: &Variables,
) -> Result<Config, SetupError> {
    let at = |place: &'static str| move |fault: String| SetupError::Value { place: place.to_owned(), fault };
    let acme = pebble.listen_address.as_deref().filter(|address| !address.is_empty()).unwrap_or(ACME_DEFAULT);
    let admin = match pebble.management_listen_address.as_deref() {
        None | Some("") => NOWHERE,
        Some(address) => address,
    };
    let tls = match (&pebble.certificate, &pebble.private_key) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate: certificate.into(), key: key.into() }),
        (None, None) => None,
        (Some(_), None) => return Err(at("pebble.privateKey")("is missing, and pebble.certificate is there".into())),
        (None, Some(_)) => return Err(at("pebble.certificate")("is missing, and pebble.privateKey is there".into())),
    };
    let dns_server = arguments.dns_server.as_deref().map(addresses::to_ask).transpose().map_err(at("-dnsserver"))?;
    let choices = Choices {
        dev: true,
        dns_server,
        listen: Listen {
            acme: Some(addresses::to_listen_on(acme).map_err(at("pebble.listenAddress"))?),
            admin: Some(addresses::to_listen_on(admin).map_err(at("pebble.managementListenAddress"))?),
            status: None,
        },
        variables: variables.iter().filter(|(name, _)| name.starts_with("CAIRN_DEV_")).map(owned).collect(),
        pebble: Some(PebbleChoices {
            profiles: profiles(pebble),
            external_account_keys: external_account_keys(pebble)?,
            tls,
            ocsp_url: pebble.ocsp_responder_url.clone(),
            retry_after: RetryAfter {
                authorization: pebble.retry_after_authz.unwrap_or(0),
                order: pebble.retry_after_order.unwrap_or(0),
            },
        }),
        ..Choices::default()
    };
    Ok(Config::new(data.to_owned(), &file(pebble, variables)?, &choices)?)
}

fn external_account_keys(pebble: &PebbleConfig) -> Result<Vec<(ExternalKeyId, MacKey)>, SetupError> {
    let keys = pebble.external_account_mac_keys.iter().map(|(kid, key)| {
        let place = || format!("pebble.externalAccountMACKeys.{kid}");
        let id = kid.parse().map_err(|error: ParseIdError| (place(), error.to_string()))?;
        // Pebble takes base64url without padding; what has some is the same key.
        let key = MacKey::parse(key.trim_end_matches('=')).map_err(|fault| (place(), fault))?;
        Ok((id, key))
    });
    let keys: Result<_, (String, String)> = keys.collect();
    keys.map_err(|(place, fault)| SetupError::Value { place, fault })
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

/// What our own file would say.
fn file(pebble: &PebbleConfig, variables: &Variables) -> Result<File, SetupError> {
    let mut file = File { terms_of_service: Some(TERMS.to_owned()), ..File::default() };
    file.issuer.key = Some(match pebble.key_algorithm {
        KeyAlgorithm::Rsa => "rsa2048".to_owned(),
        KeyAlgorithm::Ecdsa => "p256".to_owned(),
    });
    file.issuer.organization = Some(ORGANIZATION.to_owned());
    let roots = up_to(ALTERNATE_ROOTS_MAX, variables, "PEBBLE_ALTERNATE_ROOTS", 0, 0)?;
    file.issuer.alternate_roots = u8::try_from(roots).ok();
    file.issuer.chain_length = u8::try_from(chain_length(variables)?).ok();
    let page = up_to(ORDERS_PER_PAGE_MAX, variables, "PEBBLE_WFE_ORDERS_PER_PAGE", 1, ORDERS_PER_PAGE_DEFAULT)?;
    file.limits.orders_per_page = u16::try_from(page).ok();
    file.external_account_binding = Some(external_accounts(pebble));
    file.validation.http_port = pebble.http_port;
    file.validation.tls_alpn_port = pebble.tls_port;
    file.validation.deny_names = blocked_names(pebble);
    file.caa.identities.clone_from(&pebble.caa_identities);
    if file.caa.identities.is_empty() {
        file.caa.identities.push(CAA_IDENTITY.to_owned());
    }
    // Pebble knows no CAA; CAIRN_DEV_CAA switches it on.
    file.caa.mode = Some(ca::settings::CaaMode::Off);
    file.orders = Orders { authorization_reuse: Some(authorization_reuse(variables)), order_reuse: Some(false) };
    file.dev.bad_nonce_percent = nonce_reject(variables);
    file.dev.validation_delay = sleep_time(variables)?;
    file.dev.always_valid = is_on(variables, "PEBBLE_VA_ALWAYS_VALID");
    Ok(file)
}

/// Pebble compares texts: what can be no name matches none.
fn blocked_names(pebble: &PebbleConfig) -> Vec<String> {
    let is_name = |text: &&String| {
        let name = acme::DnsName::parse_host(&text.trim_end_matches('.').to_ascii_lowercase());
        if let Err(error) = &name {
            tracing::warn!("pebble.domainBlocklist: {text:?} can be the name of no order ({error}): passed over");
        }
        name.is_ok()
    };
    pebble.domain_blocklist.iter().filter(is_name).cloned().collect()
}

fn external_accounts(pebble: &PebbleConfig) -> ExternalAccounts {
    match (pebble.external_account_binding_required, pebble.external_account_mac_keys.is_empty()) {
        (true, _) => ExternalAccounts::Required,
        (false, false) => ExternalAccounts::Optional,
        (false, true) => ExternalAccounts::Off,
    }
}

/// Above and below what there is to reject, Pebble takes what comes next.
fn nonce_reject(variables: &Variables) -> u8 {
    const NAME: &str = "PEBBLE_WFE_NONCEREJECT";
    match value(variables, NAME) {
        Some(text) if is_negative(text) => 0,
        Some(text) if dev::number(NAME, text).is_ok_and(|percent| percent > 100) => 99,
        Some(_) | None => number_of(variables, NAME)
            .and_then(|percent| u8::try_from(percent).ok())
            .unwrap_or(BAD_NONCE_PERCENT_DEFAULT),
    }
}

/// What is no percentage counts as if it weren't there.
fn authorization_reuse(variables: &Variables) -> u8 {
    let percent = number_of(variables, "PEBBLE_AUTHZREUSE").and_then(|number| u8::try_from(number).ok());
    percent.filter(|percent| *percent <= 100).unwrap_or(AUTHORIZATION_REUSE_DEFAULT)
}

fn sleep_time(variables: &Variables) -> Result<u32, DevError> {
    if is_on(variables, "PEBBLE_VA_NOSLEEP") {
        return Ok(0);
    }
    up_to(VALIDATION_DELAY_MAX, variables, "PEBBLE_VA_SLEEPTIME", 1, VALIDATION_DELAY_DEFAULT)
}

/// Without an intermediate Pebble ends, and so does this.
fn chain_length(variables: &Variables) -> Result<u32, DevError> {
    const NAME: &str = "PEBBLE_CHAIN_LENGTH";
    match value(variables, NAME) {
        Some("0") => Err(DevError { name: NAME.to_owned(), fault: too_much("0", 1, CHAIN_LENGTH_MAX) }),
        Some(_) | None => up_to(CHAIN_LENGTH_MAX, variables, NAME, 1, 1),
    }
}

/// What is below `min`, or no number, counts as if it weren't there, as for Pebble; what is too much for this server
/// can't be had, and is said.
fn up_to(max: u32, variables: &Variables, name: &str, min: u32, default: u32) -> Result<u32, DevError> {
    match number_of(variables, name) {
        Some(number) if number > max => {
            Err(DevError { name: name.to_owned(), fault: too_much(&number.to_string(), min, max) })
        }
        Some(number) if number >= min => Ok(number),
        Some(number) => {
            tracing::warn!("{name} is {number}, which Pebble passes over: taking {default}");
            Ok(default)
        }
        None => Ok(default),
    }
}

fn too_much(found: &str, min: u32, max: u32) -> String {
    format!("is {found}; expected {min} to {max}")
}

/// Pebble passes over what it can't read.
fn number_of(variables: &Variables, name: &str) -> Option<u32> {
    let text = value(variables, name)?;
    let number = dev::number(name, text);
    if let Err(error) = &number {
        tracing::warn!("{error}; Pebble passes it over, and so it is here");
    }
    number.ok()
}

fn is_on(variables: &Variables, name: &str) -> bool {
    dev::switch_of(variables, name).unwrap_or_else(|error| {
        tracing::warn!("{error}; Pebble passes it over, and so it is here");
        false
    })
}

fn is_negative(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|digits| digits.parse::<u32>().is_ok())
}

/// A variable that is there and not empty.
fn value<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// The default profile first: orders that name none get it. Pebble takes any at random then.
fn profiles(pebble: &PebbleConfig) -> Vec<Profile> {
    let profile = |name: &str, description: &str, seconds: u64, common_name: bool| Profile {
        name: name.to_owned(),
        description: description.to_owned(),
        lifetime_seconds: match seconds {
            0 | VALIDITY_NONSENSE_SECONDS.. => VALIDITY_DEFAULT_SECONDS,
            seconds => seconds,
        },
        backdate_seconds: 0,
        ct: Some(CtRequirement { scts: 2, operators: 1 }),
        baseline: false,
        client_auth: false,
        common_name,
        crl: true,
        ocsp: true,
        ip_addresses: true,
        offered: true,
    };
    if pebble.profiles.is_empty() {
        let seconds = pebble.certificate_validity_period.unwrap_or(VALIDITY_DEFAULT_SECONDS);
        return vec![profile("default", "The default profile", seconds, false)];
    }
    let mut profiles: Vec<Profile> = pebble
        .profiles
        .iter()
        .map(|(name, one)| profile(name, &one.description, one.validity_period, one.promote_common_name))
        .collect();
    profiles.sort_by_key(|profile| profile.name != "default");
    profiles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pebble::json;

    fn made(json: &str, variables: &[(&str, &str)]) -> Result<Config, SetupError> {
        let pebble = json::parse(json.as_bytes()).expect("a configuration of Pebble");
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        config(Path::new("data"), &pebble, &Arguments::default(), &variables)
    }

    #[test]
    fn without_anything_it_is_as_pebble_is() {
        let config = made("{}", &[]).expect("a configuration");
        assert_eq!((config.acme.port(), config.admin.port()), (14000, 0));
        assert!(config.admin.ip().is_loopback());
        assert_eq!((config.ports.0, config.ports.2), (5002, 5001));
        assert_eq!((config.alternate_roots, config.chain_length), (0, 1));
        assert_eq!(config.settings.limits.orders_per_page, 3);
        assert_eq!((config.dev.bad_nonce_percent, config.dev.validation_delay), (5, 5));
        assert_eq!(config.caa_identities, ["pebble.letsencrypt.org"]);
        assert_eq!(config.settings.default_profile().map(|one| one.name.as_str()), Some("default"));
        assert!(config.status_anywhere && config.tls.is_none() && config.settings.terms.is_some());
    }

    #[test]
    fn variables_mean_what_they_mean_to_pebble() {
        let dev = |set: &[(&str, &str)]| made("{}", set).expect("a configuration").dev;
        assert_eq!(dev(&[("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_VA_SLEEPTIME", "7")]).validation_delay, 0);
        assert_eq!(dev(&[("PEBBLE_VA_SLEEPTIME", "7")]).validation_delay, 7);
        assert!(dev(&[("PEBBLE_VA_ALWAYS_VALID", "true")]).always_valid);
        for (text, percent) in [("0", 0), ("15", 15), ("100", 100), ("101", 99), ("-3", 0), ("1000", 99), ("", 5)] {
            assert_eq!(dev(&[("PEBBLE_WFE_NONCEREJECT", text)]).bad_nonce_percent, percent, "{text}");
        }
        let both = [("PEBBLE_WFE_NONCEREJECT", "0"), ("CAIRN_DEV_BAD_NONCE_PERCENT", "20")];
        assert_eq!(dev(&both).bad_nonce_percent, 20);
        let paged = made("{}", &[("PEBBLE_WFE_ORDERS_PER_PAGE", "15")]).expect("right");
        assert_eq!(paged.settings.limits.orders_per_page, 15);
        let roots = made("{}", &[("PEBBLE_ALTERNATE_ROOTS", "2"), ("PEBBLE_CHAIN_LENGTH", "3")]).expect("right");
        assert_eq!((roots.alternate_roots, roots.chain_length), (2, 3));
    }

    #[test]
    fn a_value_that_can_t_be_used_is_named_with_its_place() {
        for (json, variables, part) in [
            (r#"{"pebble":{"listenAddress":"14000"}}"#, &[][..], "pebble.listenAddress"),
            (r#"{"pebble":{"managementListenAddress":"x"}}"#, &[], "pebble.managementListenAddress"),
            (r#"{"pebble":{"certificate":"a.pem"}}"#, &[], "pebble.privateKey"),
            ("{}", &[("PEBBLE_VA_SLEEPTIME", "3601")], "PEBBLE_VA_SLEEPTIME"),
            ("{}", &[("PEBBLE_ALTERNATE_ROOTS", "10")], "expected 0 to 9"),
            ("{}", &[("PEBBLE_CHAIN_LENGTH", "0")], "expected 1 to 9"),
            ("{}", &[("PEBBLE_WFE_ORDERS_PER_PAGE", "5000")], "expected 1 to 1000"),
            ("{}", &[("CAIRN_DEV_NONSENSE", "1")], "CAIRN_DEV_NONSENSE"),
        ] {
            let error = made(json, variables).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn what_pebble_passes_over_changes_nothing() {
        let plain = made("{}", &[]).expect("a configuration");
        for variable in [
            ("PEBBLE_WFE_NONCEREJECT", "some"),
            ("PEBBLE_VA_NOSLEEP", "perhaps"),
            ("PEBBLE_VA_SLEEPTIME", "0"),
            ("PEBBLE_VA_SLEEPTIME", "-2"),
            ("PEBBLE_VA_ALWAYS_VALID", "yes"),
            ("PEBBLE_ALTERNATE_ROOTS", "-1"),
            ("PEBBLE_AUTHZREUSE", "101"),
            ("PEBBLE_WFE_ORDERS_PER_PAGE", "0"),
        ] {
            let config = made("{}", &[variable]).expect("a configuration");
            assert_eq!(config.dev, plain.dev, "{variable:?}");
            assert_eq!(config.alternate_roots, plain.alternate_roots, "{variable:?}");
            assert_eq!(config.settings.reuse, plain.settings.reuse, "{variable:?}");
            assert_eq!(config.settings.limits, plain.settings.limits, "{variable:?}");
        }
        let blocked = r#"{"pebble":{"domainBlocklist":["a_b.example","*.example.com","Blocked.example"]}}"#;
        assert_eq!(made(blocked, &[]).expect("a configuration").settings.denied_names, ["blocked.example"]);
    }

    #[test]
    fn keys_of_external_accounts_make_their_binding_possible() {
        for (json, wanted) in [
            ("{}", ExternalAccounts::Off),
            (r#"{"pebble":{"externalAccountMACKeys":{"kid-1":"AAAA","kid-2":"AAE="}}}"#, ExternalAccounts::Optional),
            (r#"{"pebble":{"externalAccountBindingRequired":true}}"#, ExternalAccounts::Required),
        ] {
            assert_eq!(made(json, &[]).expect("a configuration").settings.external_accounts, wanted, "{json}");
        }
        let wrong = r#"{"pebble":{"externalAccountMACKeys":{"kid-1":"?"}}}"#;
        let error = made(wrong, &[]).expect_err("no base64url").to_string();
        assert!(error.contains("externalAccountMACKeys.kid-1") && error.contains("base64url"), "{error}");
    }

    #[test]
    fn profiles_keep_names_times_and_common_names() {
        let json = r#"{"pebble":{"profiles":{"a":{"validityPeriod":60},"default":{"description":"d"},
            "z":{"validityPeriod":9223372038,"promoteCommonName":true}}}}"#;
        let config = made(json, &[]).expect("a configuration");
        let offered = config.settings.profiles.iter().filter(|one| one.offered);
        let seen: Vec<_> = offered.map(|one| (one.name.as_str(), one.lifetime_seconds, one.common_name)).collect();
        assert_eq!(seen, [("default", 7_776_000, false), ("a", 60, false), ("z", 7_776_000, true)]);
        let old = made(r#"{"pebble":{"certificateValidityPeriod":157766400}}"#, &[]).expect("a configuration");
        assert_eq!(old.settings.default_profile().map(|one| one.lifetime_seconds), Some(157_766_400));
    }
}
