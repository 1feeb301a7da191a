//! The value of an `issue` or `issuewild` property (RFC 8659 §4.2). Pure.
//!
//! ```text
//! issue-value = *WSP [issuer-domain-name *WSP] [";" *WSP [parameters *WSP]]
//! issuer-domain-name = label *("." label)
//! label = (ALPHA / DIGIT) *( *("-") (ALPHA / DIGIT))
//! parameters = (parameter *WSP ";" *WSP parameters) / parameter
//! parameter = tag *WSP "=" *WSP value
//! tag = (ALPHA / DIGIT) *( *("-") (ALPHA / DIGIT))
//! value = *(%x21-3A / %x3C-7E)
//! ```

/// Who may issue, and under which conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueValue<'a> {
    /// The CA's domain name, in the case in which it stands there; `None` permits nobody.
    pub issuer: Option<&'a str>,
    /// The parameters in order: tag and value. A tag may stand there more than once.
    pub parameters: Vec<(&'a str, &'a str)>,
}

/// What the grammar does not allow. The text fits behind "the value is malformed: ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// An octet above 126 or a control character.
    #[error("it has an octet that is no printable ASCII character")]
    Octet,
    /// Before the first semicolon.
    #[error("the issuer is no domain name")]
    Issuer,
    /// A parameter without a tag, or with a bad one. An empty parameter, as between two semicolons, is one.
    #[error("a parameter does not begin with a tag of letters, digits and inner hyphens")]
    Tag,
    /// A parameter without `=`.
    #[error("a parameter has no `=` behind its tag")]
    Equals,
    /// Something behind a value that is neither a semicolon nor the end.
    #[error("something stands behind the value of a parameter; parameters are separated by `;`")]
    Separator,
}

impl<'a> IssueValue<'a> {
    /// Reads the value of a property.
    ///
    /// # Errors
    /// [`Malformed`] says where it leaves the grammar; such a property authorises nobody.
    pub fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        if !value.iter().all(|octet| matches!(octet, b'\t' | b' '..=b'~')) {
            return Err(Malformed::Octet);
        }
        let text = std::str::from_utf8(value).map_err(|_| Malformed::Octet)?;
        let (issuer, parameters) = match text.split_once(';') {
            Some((issuer, parameters)) => (trim(issuer), trim(parameters)),
            None => (trim(text), ""),
        };
        if !issuer.is_empty() && !issuer.split('.').all(is_label) {
            return Err(Malformed::Issuer);
        }
        let parameters = if parameters.is_empty() {
            Vec::new()
        } else {
            // A value can't hold a semicolon.
            parameters.split(';').map(parameter).collect::<Result<_, _>>()?
        };
        Ok(Self { issuer: (!issuer.is_empty()).then_some(issuer), parameters })
    }
}

fn parameter(text: &str) -> Result<(&str, &str), Malformed> {
    let text = trim(text);
    let tag_end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(text.len());
    let (tag, rest) = text.split_at(tag_end);
    if !is_label(tag) {
        return Err(Malformed::Tag);
    }
    let value = trim(rest).strip_prefix('=').ok_or(Malformed::Equals)?;
    let value = trim(value);
    if value.contains(is_space) { Err(Malformed::Separator) } else { Ok((tag, value)) }
}

/// The rule for labels, which is also the one for tags.
fn is_label(text: &str) -> bool {
    let octets = text.as_bytes();
    let (Some(first), Some(last)) = (octets.first(), octets.last()) else {
        return false;
    };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && octets.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-')
}

/// WSP of RFC 5234: space and tab.
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(value: &str) -> Result<IssueValue<'_>, Malformed> {
        IssueValue::parse(value.as_bytes())
    }

    #[test]
    fn examples_of_the_documents_are_read() {
        assert_eq!(parse("ca1.example.net").unwrap().issuer, Some("ca1.example.net"));
        assert_eq!(parse(";").unwrap(), IssueValue { issuer: None, parameters: vec![] });
        assert_eq!(parse("").unwrap().issuer, None);
        let value = parse("ca1.example.net; account=230123").unwrap();
        assert_eq!(value.parameters, [("account", "230123")]);
        let value = parse("example.net; accounturi=https://example.net/account/1234; validationmethods=dns-01,ca-foo");
        let expected = [("accounturi", "https://example.net/account/1234"), ("validationmethods", "dns-01,ca-foo")];
        assert_eq!(value.unwrap().parameters, expected);
        assert_eq!(parse("\t ca.example \t;\t a-b \t=  ; c=d=e \t").unwrap().parameters, [("a-b", ""), ("c", "d=e")]);
        assert_eq!(parse("ca.example;").unwrap().issuer, Some("ca.example"));
    }

    #[test]
    fn values_outside_the_grammar_are_malformed() {
        for (value, expected) in [
            ("%%%%", Malformed::Issuer),
            ("ca.example.", Malformed::Issuer),
            (".example", Malformed::Issuer),
            ("ca..example", Malformed::Issuer),
            ("-ca.example", Malformed::Issuer),
            ("ca_1.example", Malformed::Issuer),
            ("ca.example other.example", Malformed::Issuer),
            ("ca.example a=b", Malformed::Issuer),
            ("ca.example;;a=b", Malformed::Tag),
            ("ca.example; a=b;", Malformed::Tag),
            ("ca.example; a=b;;c=d", Malformed::Tag),
            ("ca.example; =b", Malformed::Tag),
            ("ca.example; -a=b", Malformed::Tag),
            ("ca.example; a-=b", Malformed::Tag),
            ("ca.example; a", Malformed::Equals),
            ("ca.example; a b=c", Malformed::Equals),
            ("ca.example; a=b c=d", Malformed::Separator),
            ("ca.example; a=b\tc", Malformed::Separator),
            ("ca.ex\u{e4}mple", Malformed::Octet),
            ("ca.example\n", Malformed::Octet),
            ("ca.example; a=\u{7f}", Malformed::Octet),
        ] {
            assert_eq!(parse(value), Err(expected), "{value:?}");
        }
    }

    fn label() -> impl Strategy<Value = String> {
        "[A-Za-z0-9]([A-Za-z0-9-]{0,8}[A-Za-z0-9])?"
    }

    fn parameters() -> impl Strategy<Value = Vec<(String, String)>> {
        // %x21-3A / %x3C-7E: everything visible but the semicolon.
        prop::collection::vec((label(), "[!-:<-~]{0,20}"), 0..5)
    }

    proptest! {
        #[test]
        fn whatever_the_grammar_makes_is_read_back(
            issuer in prop::option::of(prop::collection::vec(label(), 1..5)),
            parameters in parameters(),
            spaces in prop::collection::vec("[ \t]{0,3}", 24),
        ) {
            let issuer = issuer.map(|labels| labels.join("."));
            let mut spaces = spaces.iter().cycle();
            let mut space = || spaces.next().unwrap().clone();
            let mut text = format!("{}{}{}", space(), issuer.as_deref().unwrap_or(""), space());
            for (tag, value) in &parameters {
                text += &format!(";{}{tag}{}={}{value}{}", space(), space(), space(), space());
            }
            let parsed = parse(&text).unwrap();
            prop_assert_eq!(parsed.issuer, issuer.as_deref());
            let borrowed: Vec<_> = parameters.iter().map(|(tag, value)| (tag.as_str(), value.as_str())).collect();
            prop_assert_eq!(parsed.parameters, borrowed);
        }

        #[test]
        fn what_is_read_says_the_same_when_written_again(value in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(parsed) = IssueValue::parse(&value) {
                let mut text = parsed.issuer.unwrap_or("").to_owned();
                for (tag, value) in &parsed.parameters {
                    text += &format!(";{tag}={value}");
                }
                prop_assert_eq!(parse(&text), Ok(parsed));
            }
        }

        #[test]
        fn near_misses_never_gain_an_issuer(value in "[a-z.;= \t-]{0,30}") {
            if let Ok(parsed) = parse(&value) {
                let before = value.split(';').next().unwrap().trim_matches([' ', '\t']);
                prop_assert_eq!(parsed.issuer.unwrap_or(""), before);
            }
        }
    }
}
