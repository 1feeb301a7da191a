//! Pebble's configuration file. It is read as Go's decoder reads it: names in any case of letters, `null` as if it were
//! not there, what is unknown passed over (but told).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The longest file that is read, in octets.
pub const OCTETS_MAX: usize = 1 << 20;
/// More entries than this in a list or table of it are refused.
const ENTRIES_MAX: usize = 10_000;
/// Names that only the newest of Pebble's versions may know are told once, and so many at most.
const UNKNOWN_MAX: usize = 32;

/// Pebble's configuration: what all its versions know. What is not said is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PebbleConfig {
    /// Where ACME is served: HOST:PORT.
    pub listen_address: Option<String>,
    /// Where the management interface is served; `Some("")`: nowhere.
    pub management_listen_address: Option<String>,
    /// The server's certificate, a path relative to the working folder.
    pub certificate: Option<String>,
    /// Its key, likewise.
    pub private_key: Option<String>,
    /// The port of http-01.
    pub http_port: Option<u16>,
    /// The port of tls-alpn-01.
    pub tls_port: Option<u16>,
    /// A URL for certificates' authorityInfoAccess.
    pub ocsp_responder_url: Option<String>,
    /// Whether new accounts need an external account binding.
    pub external_account_binding_required: bool,
    /// Keys of external accounts: base64url, by their ids.
    pub external_account_mac_keys: BTreeMap<String, String>,
    /// Names by which CAA records permit this CA.
    pub caa_identities: Vec<String>,
    /// Names that no certificate is issued for, and those below them.
    pub domain_blocklist: Vec<String>,
    /// The keys of the hierarchy.
    pub key_algorithm: KeyAlgorithm,
    /// `Retry-After` of authorizations, in seconds.
    pub retry_after_authz: Option<u32>,
    /// `Retry-After` of orders, in seconds.
    pub retry_after_order: Option<u32>,
    /// The profiles.
    pub profiles: BTreeMap<String, PebbleProfile>,
    /// The validity of certificates in seconds, as versions without profiles say it.
    pub certificate_validity_period: Option<u64>,
    /// What is unknown: paths.
    pub unknown: Vec<String>,
}

/// The keys of Pebble's hierarchy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// RSA with 2048 bits.
    #[default]
    Rsa,
    /// ECDSA on P-256.
    Ecdsa,
}

/// A profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PebbleProfile {
    /// For people.
    pub description: String,
    /// In seconds; 0: as a version of Pebble thinks best.
    pub validity_period: u64,
    /// Whether a name is repeated as common name.
    pub promote_common_name: bool,
}

/// Why a file is no configuration of Pebble. One line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PebbleConfigError {
    /// It is too long.
    #[error("is {0} octets long; at most {OCTETS_MAX} are read")]
    TooLong(usize),
    /// It is no JSON.
    #[error("is no JSON: {0}")]
    Json(String),
    /// A field has a wrong value.
    #[error("{path}: {fault}")]
    Field {
        /// Which, as in `pebble.httpPort`.
        path: String,
        /// What is wrong and what would be right.
        fault: String,
    },
}

type Parsed<T> = Result<T, PebbleConfigError>;

/// Reads a configuration. Never panics, whatever the octets are.
///
/// # Errors
/// See [`PebbleConfigError`].
pub fn parse(octets: &[u8]) -> Parsed<PebbleConfig> {
    if octets.len() > OCTETS_MAX {
        return Err(PebbleConfigError::TooLong(octets.len()));
    }
    let value: Value = serde_json::from_slice(octets).map_err(|error| PebbleConfigError::Json(error.to_string()))?;
    let mut unknown = Vec::new();
    let mut file = Table::new(String::new(), value, "an object with the field \"pebble\"")?;
    let mut pebble = file.table("pebble")?;
    let mut retry_after = pebble.table("retryAfter")?;
    let config = PebbleConfig {
        listen_address: pebble.text("listenAddress")?,
        management_listen_address: pebble.address_or_nowhere("managementListenAddress")?,
        certificate: pebble.text("certificate")?.filter(|path| !path.is_empty()),
        private_key: pebble.text("privateKey")?.filter(|path| !path.is_empty()),
        http_port: pebble.number("httpPort", "a port, 1 to 65535")?.filter(|port| *port != 0),
        tls_port: pebble.number("tlsPort", "a port, 1 to 65535")?.filter(|port| *port != 0),
        ocsp_responder_url: pebble.text("ocspResponderURL")?.filter(|url| !url.is_empty()),
        external_account_binding_required: pebble.boolean("externalAccountBindingRequired")?,
        external_account_mac_keys: pebble.texts_by_name("externalAccountMACKeys")?,
        caa_identities: pebble.texts("caaIdentities")?,
        domain_blocklist: pebble.texts("domainBlocklist")?,
        key_algorithm: pebble.key_algorithm()?,
        retry_after_authz: retry_after.number("authz", "seconds, 0 or more")?,
        retry_after_order: retry_after.number("order", "seconds, 0 or more")?,
        profiles: profiles(pebble.table("profiles")?, &mut unknown)?,
        certificate_validity_period: pebble.number("certificateValidityPeriod", "seconds, 0 or more")?,
        unknown: Vec::new(),
    };
    for table in [retry_after, pebble, file] {
        table.left_over(&mut unknown);
    }
    Ok(PebbleConfig { unknown, ..config })
}

fn profiles(table: Table, unknown: &mut Vec<String>) -> Parsed<BTreeMap<String, PebbleProfile>> {
    let mut profiles = BTreeMap::new();
    for (name, value) in table.fields {
        let path = format!("{}.{name}", table.path);
        let plain = |octet: u8| octet.is_ascii_graphic() && octet != b'"';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(PebbleConfigError::Field {
                path: table.path,
                fault: format!("{name:?} is no name of a profile; expected 1 to 64 printable characters"),
            });
        }
        let mut fields = Table::new(path, value, "an object with description and validityPeriod")?;
        let profile = PebbleProfile {
            description: fields.text("description")?.unwrap_or_default(),
            validity_period: fields.number("validityPeriod", "seconds, 0 or more")?.unwrap_or(0),
            promote_common_name: fields.boolean("promoteCommonName")?,
        };
        fields.left_over(unknown);
        profiles.insert(name, profile);
    }
    Ok(profiles)
}

/// A JSON object whose fields are taken out one by one.
struct Table {
    path: String,
    fields: Map<String, Value>,
}

impl Table {
    fn new(path: String, value: Value, wanted: &str) -> Parsed<Self> {
        match value {
            Value::Object(fields) if fields.len() <= ENTRIES_MAX => Ok(Self { path, fields }),
            Value::Null => Ok(Self { path, fields: Map::new() }),
            other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                Err(wrong(&path, &other, wanted))
            }
        }
    }

    fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Of several spellings the last counts, as in Go.
    fn take(&mut self, name: &str) -> Option<Value> {
        let spellings: Vec<String> =
            self.fields.keys().filter(|field| field.eq_ignore_ascii_case(name)).cloned().collect();
        let values = spellings.iter().filter_map(|spelling| self.fields.remove(spelling));
        values.filter(|value| !value.is_null()).last()
    }

    fn table(&mut self, name: &str) -> Parsed<Self> {
        let path = self.path(name);
        Self::new(path, self.take(name).unwrap_or(Value::Null), "an object")
    }

    fn text(&mut self, name: &str) -> Parsed<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(&self.path(name), &other, "a string")),
        }
    }

    /// An address that may be an empty string or `null`, which both mean: nowhere.
    fn address_or_nowhere(&mut self, name: &str) -> Parsed<Option<String>> {
        let said = self.fields.keys().any(|field| field.eq_ignore_ascii_case(name));
        let text = self.text(name)?;
        Ok(if said { Some(text.unwrap_or_default()) } else { None })
    }

    fn boolean(&mut self, name: &str) -> Parsed<bool> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(other) => Err(wrong(&self.path(name), &other, "true or false, without quotes")),
        }
    }

    fn number<T: TryFrom<u64>>(&mut self, name: &str, wanted: &str) -> Parsed<Option<T>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| T::try_from(number).ok());
        number.map(Some).ok_or_else(|| wrong(&self.path(name), &value, wanted))
    }

    fn texts(&mut self, name: &str) -> Parsed<Vec<String>> {
        let values = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(values)) if values.len() <= ENTRIES_MAX => values,
            Some(other) => return Err(wrong(&self.path(name), &other, "a list of strings")),
        };
        let path = self.path(name);
        let texts = values.into_iter().map(|value| {
            let text = value.as_str().map(str::to_owned);
            text.ok_or_else(|| wrong(&path, &value, "strings in the list"))
        });
        texts.collect()
    }

    fn texts_by_name(&mut self, name: &str) -> Parsed<BTreeMap<String, String>> {
        let table = self.table(name)?;
        let texts = table.fields.into_iter().map(|(name, value)| {
            let text = value.as_str().map(str::to_owned);
            let text = text.ok_or_else(|| wrong(&format!("{}.{name}", table.path), &value, "a string"))?;
            Ok((name, text))
        });
        texts.collect()
    }

    fn key_algorithm(&mut self) -> Parsed<KeyAlgorithm> {
        match self.text("keyAlgorithm")?.as_deref() {
            None | Some("" | "rsa") => Ok(KeyAlgorithm::Rsa),
            Some("ecdsa") => Ok(KeyAlgorithm::Ecdsa),
            Some(other) => {
                Err(wrong(&self.path("keyAlgorithm"), &Value::String(other.to_owned()), "\"rsa\" or \"ecdsa\""))
            }
        }
    }

    fn left_over(&self, unknown: &mut Vec<String>) {
        let room = UNKNOWN_MAX.saturating_sub(unknown.len());
        let shown = |field: &String| self.path(field).chars().take(100).collect();
        unknown.extend(self.fields.keys().take(room).map(shown));
    }
}

fn wrong(path: &str, value: &Value, wanted: &str) -> PebbleConfigError {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the string {:?}", text.chars().take(60).collect::<String>()),
        Value::Array(values) => format!("a list of {}", values.len()),
        Value::Object(fields) => format!("an object with {} fields", fields.len()),
    };
    let path = if path.is_empty() { "the file" } else { path };
    PebbleConfigError::Field { path: path.to_owned(), fault: format!("is {found}; expected {wanted}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pebble: &str) -> Parsed<PebbleConfig> {
        parse(format!("{{\"pebble\":{{{pebble}}}}}").as_bytes())
    }

    #[test]
    fn every_field_that_pebble_knows_is_read() {
        let config = of(r#"
            "listenAddress": "0.0.0.0:14000", "managementListenAddress": "0.0.0.0:15000",
            "certificate": "a.pem", "privateKey": "b.pem", "httpPort": 80, "tlsPort": 443,
            "ocspResponderURL": "http://127.0.0.1:4002", "externalAccountBindingRequired": true,
            "externalAccountMACKeys": {"kid-1": "abc"}, "caaIdentities": ["ca.example"],
            "domainBlocklist": ["blocked.example"], "retryAfter": {"authz": 3, "order": 5}, "keyAlgorithm": "ecdsa",
            "profiles": {"default": {"description": "d", "validityPeriod": 60, "promoteCommonName": true}},
            "certificateValidityPeriod": 7"#);
        let profile = PebbleProfile { description: "d".to_owned(), validity_period: 60, promote_common_name: true };
        let wanted = PebbleConfig {
            listen_address: Some("0.0.0.0:14000".to_owned()),
            management_listen_address: Some("0.0.0.0:15000".to_owned()),
            certificate: Some("a.pem".to_owned()),
            private_key: Some("b.pem".to_owned()),
            http_port: Some(80),
            tls_port: Some(443),
            ocsp_responder_url: Some("http://127.0.0.1:4002".to_owned()),
            external_account_binding_required: true,
            external_account_mac_keys: BTreeMap::from([("kid-1".to_owned(), "abc".to_owned())]),
            caa_identities: vec!["ca.example".to_owned()],
            domain_blocklist: vec!["blocked.example".to_owned()],
            key_algorithm: KeyAlgorithm::Ecdsa,
            retry_after_authz: Some(3),
            retry_after_order: Some(5),
            profiles: BTreeMap::from([("default".to_owned(), profile)]),
            certificate_validity_period: Some(7),
            unknown: Vec::new(),
        };
        assert_eq!(config, Ok(wanted));
    }

    #[test]
    fn what_is_not_said_is_left_open() {
        for text in ["{}", "null", r#"{"pebble":null}"#, r#"{"pebble":{"httpPort":null,"tlsPort":0,"certificate":""}}"#]
        {
            assert_eq!(parse(text.as_bytes()), Ok(PebbleConfig::default()), "{text}");
        }
        for nowhere in ["\"\"", "null"] {
            let config = of(&format!("\"managementListenAddress\":{nowhere}")).expect("a configuration");
            assert_eq!(config.management_listen_address.as_deref(), Some(""), "{nowhere}");
        }
    }

    #[test]
    fn names_are_known_in_any_case_of_letters() {
        let config = of(r#""LISTENADDRESS": ":1", "HttpPort": 5"#).expect("a configuration");
        assert_eq!((config.listen_address.as_deref(), config.http_port), (Some(":1"), Some(5)));
    }

    #[test]
    fn what_is_unknown_is_passed_over_and_told() {
        let config = parse(br#"{"pebble":{"strict":true,"retryAfter":{"cert":1},"profiles":{"p":{"x":1}}},"other":1}"#);
        let unknown = config.expect("a configuration").unknown;
        assert_eq!(unknown, ["pebble.profiles.p.x", "pebble.retryAfter.cert", "pebble.strict", "other"]);
    }

    #[test]
    fn a_wrong_value_is_named_with_its_field_and_what_would_be_right() {
        for (text, parts) in [
            (r#""httpPort": "5002""#, &["pebble.httpPort", "the string \"5002\"", "a port"][..]),
            (r#""httpPort": 65536"#, &["pebble.httpPort", "65536", "a port"]),
            (r#""tlsPort": -1"#, &["pebble.tlsPort", "-1"]),
            (r#""listenAddress": 14000"#, &["pebble.listenAddress", "a string"]),
            (r#""externalAccountBindingRequired": "true""#, &["BindingRequired", "without quotes"]),
            (r#""externalAccountMACKeys": ["a"]"#, &["pebble.externalAccountMACKeys", "a list of 1", "an object"]),
            (r#""externalAccountMACKeys": {"a": 1}"#, &["externalAccountMACKeys.a", "a string"]),
            (r#""domainBlocklist": "x""#, &["pebble.domainBlocklist", "a list of strings"]),
            (r#""domainBlocklist": [1]"#, &["pebble.domainBlocklist", "the number 1"]),
            (r#""retryAfter": {"authz": 1.5}"#, &["pebble.retryAfter.authz", "1.5", "seconds"]),
            (r#""profiles": {"p": 1}"#, &["pebble.profiles.p", "validityPeriod"]),
            (r#""profiles": {"p": {"validityPeriod": "90d"}}"#, &["pebble.profiles.p.validityPeriod", "90d"]),
            (r#""profiles": {"": {}}"#, &["pebble.profiles", "no name"]),
            (r#""keyAlgorithm": "dsa""#, &["pebble.keyAlgorithm", "dsa", "\"ecdsa\""]),
        ] {
            let error = of(text).expect_err(text).to_string();
            assert!(parts.iter().all(|part| error.contains(part)) && !error.contains('\n'), "{text}: {error}");
        }
        for text in [&b"{"[..], b"[]", b"\xff", b"{\"pebble\":1}", &[b'['; 2000]] {
            parse(text).expect_err("no configuration");
        }
        assert_eq!(parse(&vec![b' '; OCTETS_MAX + 1]), Err(PebbleConfigError::TooLong(OCTETS_MAX + 1)));
    }

    #[test]
    fn no_octets_make_it_panic() {
        let text =
            br#"{"pebble":{"httpPort":5002,"retryAfter":{"authz":3},"profiles":{"a":{"validityPeriod":1}},"x":[]}}"#;
        for end in 0..=text.len() {
            let _any = parse(&text[..end]);
        }
        for at in 0..text.len() {
            for octet in [0, b'"', b'{', b']', b'9', b'-', 0xff] {
                let mut changed = text.to_vec();
                changed[at] = octet;
                let _any = parse(&changed);
            }
        }
    }
}
