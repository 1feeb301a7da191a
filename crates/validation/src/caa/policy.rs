//! What a CAA record set means for one request of one account (RFC 8659 §4, RFC 8657). Pure.

use std::fmt;

use ca::authorization::Method;

use super::grammar::IssueValue;
use crate::evidence::excerpt;

const FLAG_CRITICAL: u8 = 0x80;
const ISSUE: &str = "issue";
const ISSUEWILD: &str = "issuewild";
/// Registered tags that restrict no certificate for a TLS server: known, so their critical flag forbids nothing.
const WITHOUT_EFFECT: [&str; 5] = ["iodef", "issuemail", "issuevmc", "contactemail", "contactphone"];

/// Records that a reason shows.
const SHOWN_MAX: usize = 4;

/// A property of a CAA record (RFC 8659 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Nobody may issue who does not know the tag.
    pub critical: bool,
    /// As it stands there; compared without case.
    pub tag: Vec<u8>,
    /// As it stands there.
    pub value: Vec<u8>,
}

impl Property {
    /// Reads record data; `None` if the tag is empty or longer than the record.
    pub fn from_record_data(data: &[u8]) -> Option<Self> {
        let [flags, tag_length, rest @ ..] = data else {
            return None;
        };
        let (tag, value) = rest.split_at_checked(usize::from(*tag_length))?;
        (!tag.is_empty()).then(|| Self {
            critical: flags & FLAG_CRITICAL != 0,
            tag: tag.to_vec(),
            value: value.to_vec(),
        })
    }

    fn has_tag(&self, tag: &str) -> bool {
        self.tag.eq_ignore_ascii_case(tag.as_bytes())
    }

    fn is_known(&self) -> bool {
        [ISSUE, ISSUEWILD].iter().chain(&WITHOUT_EFFECT).any(|tag| self.has_tag(tag))
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = if self.critical { FLAG_CRITICAL } else { 0 };
        write!(f, "{flags} {} {}", self.tag.escape_ascii(), excerpt(&self.value))
    }
}

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The CA's own names; compared without case.
    pub identities: &'a [String],
    /// The account's URL, compared octet by octet (RFC 8657 §3); without one, no `accounturi` matches.
    pub account_url: Option<&'a str>,
    /// How control is shown (RFC 8657 §4).
    pub method: Method,
    /// Whether the name begins with `*.`.
    pub wildcard: bool,
}

/// What follows, and from which records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This CA may issue.
    Permitted {
        /// For the evidence.
        reason: String,
    },
    /// It may not.
    Forbidden {
        /// For the client: names the records.
        reason: String,
    },
}

/// Decides over a relevant record set.
pub fn decide(properties: &[Property], asker: &Asker<'_>) -> Verdict {
    if let Some(property) = properties.iter().find(|property| property.critical && !property.is_known()) {
        let reason = format!("`{property}` is critical, and this CA does not know its tag (RFC 8659 §4.1)");
        return Verdict::Forbidden { reason };
    }
    let governing = governing(properties, asker.wildcard);
    if governing.is_empty() {
        // RFC 8659 §4.2, §4.3: a set without a restriction restricts nothing.
        let tag = if asker.wildcard { "issue or issuewild" } else { ISSUE };
        return Verdict::Permitted { reason: format!("there is no {tag} property") };
    }
    let mut refusals = Vec::new();
    for property in &governing {
        match authorises(property, asker) {
            Ok(()) => return Verdict::Permitted { reason: format!("`{property}` authorises this CA") },
            Err(reason) => refusals.push(format!("`{property}` {reason}")),
        }
    }
    Verdict::Forbidden { reason: joined(&refusals) }
}

/// `issuewild` governs wildcards if there is one, else `issue` does (RFC 8659 §4.3).
fn governing(properties: &[Property], wildcard: bool) -> Vec<&Property> {
    let tagged = |tag| -> Vec<&Property> { properties.iter().filter(|property| property.has_tag(tag)).collect() };
    let wild = if wildcard { tagged(ISSUEWILD) } else { Vec::new() };
    if wild.is_empty() { tagged(ISSUE) } else { wild }
}

fn authorises(property: &Property, asker: &Asker<'_>) -> Result<(), String> {
    let value = IssueValue::parse(&property.value)
        .map_err(|malformed| format!("authorises nobody, since its value is malformed: {malformed}"))?;
    let Some(issuer) = value.issuer else {
        return Err("authorises nobody".to_owned());
    };
    if !asker.identities.iter().any(|identity| identity.eq_ignore_ascii_case(issuer)) {
        return Err(match asker.identities {
            [] => "authorises another CA; this one has no name for CAA".to_owned(),
            identities => format!("authorises another CA; this one is {}", identities.join(" or ")),
        });
    }
    check_account(&value, asker)?;
    check_method(&value, asker)
}

/// RFC 8657 §3: more than one `accounturi` is a set that no account satisfies.
fn check_account(value: &IssueValue<'_>, asker: &Asker<'_>) -> Result<(), String> {
    match (only(value, "accounturi")?, asker.account_url) {
        (None, _) => Ok(()),
        (Some(uri), Some(account)) if uri == account => Ok(()),
        (Some(_), Some(account)) => Err(format!("authorises another account than {account} (accounturi)")),
        (Some(_), None) => {
            Err("authorises one account (accounturi), and this CA's accounts have no lasting URL".to_owned())
        }
    }
}

/// RFC 8657 §4. Methods that nobody knows name nothing that could be used.
fn check_method(value: &IssueValue<'_>, asker: &Asker<'_>) -> Result<(), String> {
    let Some(methods) = only(value, "validationmethods")? else {
        return Ok(());
    };
    let method = asker.method.to_string();
    if asker.method.challenge().is_some() && methods.split(',').any(|allowed| allowed == method) {
        return Ok(());
    }
    Err(format!("does not allow validation by {method} (validationmethods)"))
}

/// The value of a parameter that may stand there once. Other parameters are the issuer's own to define
/// (RFC 8659 §4.2), and this one defines none: they change nothing.
fn only<'a>(value: &IssueValue<'a>, tag: &str) -> Result<Option<&'a str>, String> {
    let mut values =
        value.parameters.iter().filter(|(name, _)| name.eq_ignore_ascii_case(tag)).map(|(_, value)| *value);
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(format!("authorises nobody, since it has {tag} more than once")),
    }
}

fn joined(refusals: &[String]) -> String {
    let shown = refusals.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join("; ");
    match refusals.len().saturating_sub(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown}; and {more} more records that do not authorise it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "https://ca.example/account/1";

    fn property(flags: u8, tag: &str, value: &str) -> Property {
        Property { critical: flags & FLAG_CRITICAL != 0, tag: tag.into(), value: value.into() }
    }

    fn set(properties: &[(u8, &str, &str)]) -> Vec<Property> {
        properties.iter().map(|(flags, tag, value)| property(*flags, tag, value)).collect()
    }

    fn decide_for(properties: &[(u8, &str, &str)], wildcard: bool) -> Verdict {
        let identities = ["ca.example".to_owned(), "ca.test".to_owned()];
        let account_url = Some(ACCOUNT);
        let asker = Asker { identities: &identities, account_url, method: Method::Dns01, wildcard };
        decide(&set(properties), &asker)
    }

    fn permits(properties: &[(u8, &str, &str)]) -> bool {
        matches!(decide_for(properties, false), Verdict::Permitted { .. })
    }

    fn permits_wildcard(properties: &[(u8, &str, &str)]) -> bool {
        matches!(decide_for(properties, true), Verdict::Permitted { .. })
    }

    fn permits_value(value: &str) -> bool {
        permits(&[(0, "issue", value)])
    }

    #[test]
    fn set_without_issue_permits_everybody() {
        assert!(permits(&[(0, "iodef", "mailto:a@a.example")]));
        assert!(permits(&[(128, "iodef", "x"), (128, "issuemail", ";"), (128, "contactemail", "a@a.example")]));
        assert!(permits(&[(0, "future", "x")]));
        assert!(permits(&[(0, "issuewild", ";")]));
        assert!(permits_wildcard(&[(0, "iodef", "x")]));
    }

    #[test]
    fn unknown_critical_property_forbids_whatever_else_there_is() {
        let set = [(0, "issue", "ca.example"), (128, "future", "x")];
        assert!(!permits(&set));
        assert!(!permits_wildcard(&set));
        let Verdict::Forbidden { reason } = decide_for(&set, false) else { panic!() };
        assert!(reason.starts_with("`128 future \"x\"` is critical"), "{reason}");
        // Only the highest bit is the critical flag.
        assert!(permits(&[(0, "issue", "ca.example"), (0x7f, "future", "x")]));
        assert!(permits(&[(128, "issue", "ca.example")]));
    }

    #[test]
    fn one_match_among_several_suffices() {
        assert!(permits(&[(0, "issue", "other.example"), (0, "issue", "ca.test")]));
        assert!(permits(&[(0, "issue", ";"), (0, "ISSUE", "CA.Example")]));
        assert!(!permits(&[(0, "issue", "other.example"), (0, "issue", "sub.ca.example")]));
        assert!(!permits_value(";"));
        assert!(!permits_value(""));
    }

    #[test]
    fn malformed_value_authorises_nobody_but_hides_no_other() {
        assert!(!permits_value("ca.example; a=b;"));
        assert!(!permits_value("ca.example a=b"));
        assert!(!permits_value("ca.example.\u{fc}"));
        assert!(permits(&[(0, "issue", "%%%"), (0, "issue", "ca.example")]));
    }

    #[test]
    fn issuewild_governs_wildcards_alone() {
        let both = [(0, "issue", "ca.example"), (0, "issuewild", "other.example")];
        assert!(permits(&both));
        assert!(!permits_wildcard(&both));
        let reversed = [(0, "issue", "other.example"), (0, "issuewild", "ca.example")];
        assert!(!permits(&reversed));
        assert!(permits_wildcard(&reversed));
        assert!(permits_wildcard(&[(0, "issue", "ca.example")]));
        assert!(!permits_wildcard(&[(0, "issue", ";")]));
        assert!(!permits_wildcard(&[(0, "issuewild", ";")]));
    }

    #[test]
    fn account_uri_must_be_the_accounts_own() {
        assert!(permits_value("ca.example; accounturi=https://ca.example/account/1"));
        assert!(permits_value("ca.example; AccountURI = https://ca.example/account/1"));
        for uri in
            ["", "https://ca.example/account/11", "https://CA.example/account/1", "https://ca.example/account/1/"]
        {
            assert!(!permits_value(&format!("ca.example; accounturi={uri}")), "{uri}");
        }
        assert!(!permits_value(&format!("ca.example; accounturi={ACCOUNT}; accounturi={ACCOUNT}")));
    }

    #[test]
    fn validation_methods_must_hold_the_one_used() {
        assert!(permits_value("ca.example; validationmethods=dns-01"));
        assert!(permits_value("ca.example; validationmethods=http-01,dns-01,ca-own"));
        for methods in ["", "http-01", "DNS-01", "dns-01x", "ca-own,future-01", "dns"] {
            assert!(!permits_value(&format!("ca.example; validationmethods={methods}")), "{methods}");
        }
        assert!(!permits_value("ca.example; validationmethods=dns-01; validationmethods=dns-01"));
    }

    #[test]
    fn unknown_parameters_change_nothing() {
        assert!(permits_value("ca.example; policy=ev; x-1="));
        assert!(!permits_value("other.example; policy=ev"));
    }

    #[test]
    fn ca_without_identities_is_authorised_by_no_issue_record() {
        let asker = Asker { identities: &[], account_url: None, method: Method::Dns01, wildcard: false };
        assert!(matches!(decide(&set(&[(0, "issue", "ca.example")]), &asker), Verdict::Forbidden { .. }));
        assert!(matches!(decide(&set(&[(0, "iodef", "x")]), &asker), Verdict::Permitted { .. }));
    }

    #[test]
    fn reason_stays_short_however_many_records_there_are() {
        let many = vec![(0, "issue", "other.example"); 100];
        let Verdict::Forbidden { reason } = decide_for(&many, false) else { panic!() };
        assert!(reason.ends_with("and 96 more records that do not authorise it"), "{reason}");
        assert!(reason.len() < 1_000);
    }

    #[test]
    fn record_data_is_read_as_it_stands() {
        let read = Property::from_record_data(b"\x80\x05IssueCA.example").unwrap();
        assert_eq!(read, property(128, "Issue", "CA.example"));
        assert_eq!(Property::from_record_data(b"\x01\x05issue").unwrap(), property(0, "issue", ""));
        for broken in [&b""[..], b"\x00", b"\x00\x00value", b"\x00\x06issue"] {
            assert_eq!(Property::from_record_data(broken), None, "{broken:?}");
        }
    }
}
