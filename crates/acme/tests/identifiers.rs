//! Identifiers: what is normalised, what is refused and why.

use acme::{DnsName, Identifier, IdentifierError, NewOrder, ProblemType, WireIdentifier};
use proptest::prelude::*;

fn wire(kind: &str, value: &str) -> WireIdentifier {
    WireIdentifier { kind: kind.to_owned(), value: value.to_owned() }
}

fn dns(value: &str) -> Result<Identifier, IdentifierError> {
    Identifier::try_from(wire("dns", value))
}

fn ip(value: &str) -> Result<Identifier, IdentifierError> {
    Identifier::try_from(wire("ip", value))
}

fn refused(value: &str) -> IdentifierError {
    dns(value).expect_err(value)
}

#[test]
fn names_are_folded_to_lower_case() {
    assert_eq!(dns("WWW.Example.COM"), dns("www.example.com"));
    assert_eq!(dns("*.Example.COM").expect("good").to_string(), "*.example.com");
    assert_eq!(dns("XN--Bcher-KVA.example").expect("good").to_string(), "xn--bcher-kva.example");
}

#[test]
fn names_of_private_networks_are_good() {
    for name in [
        "first.localhost",
        "db.internal",
        "printer.lan",
        "a.b.test",
        "nas.home.arpa",
        "node-1.corp",
        "a.b",
        "1.example",
        "example.com",
        "a.co.uk",
        "my.github.io",
        "github.io",
        "xn--bcher-kva.example",
        "3com.com",
        "0x.example",
    ] {
        assert_eq!(dns(name).expect(name).to_string(), name);
    }
}

#[test]
fn names_as_long_as_dns_allows_are_good_and_longer_ones_are_not() {
    let label = "a".repeat(63);
    let name = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(name.len(), 253);
    assert!(dns(&name).is_ok());
    assert_eq!(refused(&format!("{name}a")), IdentifierError::TooLong(254));
    assert_eq!(refused(&format!("*.{name}")), IdentifierError::TooLong(255));
    assert_eq!(refused(&format!("{label}a.example")), IdentifierError::LabelTooLong(64));
}

#[test]
fn each_fault_of_a_name_is_refused_by_name() {
    assert_eq!(refused(""), IdentifierError::Empty);
    assert_eq!(refused("example.com."), IdentifierError::TrailingDot);
    assert_eq!(refused("."), IdentifierError::TrailingDot);
    assert_eq!(refused("a..example"), IdentifierError::EmptyLabel);
    assert_eq!(refused(".example.com"), IdentifierError::EmptyLabel);
    assert_eq!(refused("a_b.example"), IdentifierError::Underscore("a_b".to_owned()));
    assert_eq!(refused("_acme-challenge.example"), IdentifierError::Underscore("_acme-challenge".to_owned()));
    assert_eq!(refused("-a.example"), IdentifierError::Hyphen("-a".to_owned()));
    assert_eq!(refused("a-.example"), IdentifierError::Hyphen("a-".to_owned()));
    assert_eq!(refused("a b.example"), IdentifierError::Character(' '));
    assert_eq!(refused("a.example\n"), IdentifierError::Character('\n'));
    assert_eq!(refused("a.exam\0ple"), IdentifierError::Character('\0'));
    assert_eq!(refused("http://a.example"), IdentifierError::Character(':'));
    assert_eq!(refused("a@b.example"), IdentifierError::Character('@'));
    assert_eq!(refused("bücher.example"), IdentifierError::NotAscii);
    assert_eq!(refused("a.example:443"), IdentifierError::Port);
    assert_eq!(refused("192.0.2.1"), IdentifierError::AddressAsName);
    assert_eq!(refused("2001:db8::1"), IdentifierError::AddressAsName);
    assert_eq!(refused("[2001:db8::1]"), IdentifierError::AddressAsName);
    assert_eq!(refused("192.0.2.256"), IdentifierError::NumericTopLevel("256".to_owned()));
    assert_eq!(refused("a.123"), IdentifierError::NumericTopLevel("123".to_owned()));
    assert_eq!(refused("a.0x7f"), IdentifierError::NumericTopLevel("0x7f".to_owned()));
    assert_eq!(refused("ab--c.example"), IdentifierError::ReservedLabel("ab--c".to_owned()));
}

#[test]
fn single_labels_and_public_suffixes_are_rejected() {
    for (name, error) in [
        ("localhost", IdentifierError::SingleLabel("localhost".to_owned())),
        ("com", IdentifierError::SingleLabel("com".to_owned())),
        ("co.uk", IdentifierError::PublicSuffix("co.uk".to_owned())),
        ("foo.ck", IdentifierError::PublicSuffix("foo.ck".to_owned())),
        ("xn--55qx5d.cn", IdentifierError::PublicSuffix("xn--55qx5d.cn".to_owned())),
        ("*.co.uk", IdentifierError::WildcardOverPublicSuffix("co.uk".to_owned())),
        ("*.com", IdentifierError::WildcardOverPublicSuffix("com".to_owned())),
        ("*.local", IdentifierError::WildcardOverPublicSuffix("local".to_owned())),
    ] {
        assert_eq!(refused(name), error);
        assert_eq!(error.problem_type(), ProblemType::RejectedIdentifier);
    }
    assert!(dns("www.ck").is_ok(), "an exception in the list");
    assert!(dns("a.xn--55qx5d.cn").is_ok());
    assert!(dns("*.github.io").is_ok(), "suffixes of the private part are their owners' affair");
}

#[test]
fn a_labels_that_are_no_encoding_are_refused() {
    for fake in ["xn--", "xn--a", "xn--example", "xn--abc-", "xn--99999999999", "xn--a-ecp", "xn--ls8h-"] {
        let error = refused(&format!("{fake}.example"));
        assert!(matches!(error, IdentifierError::FakeALabel(_) | IdentifierError::Hyphen(_)), "{fake}: {error}");
    }
    // Encodings of what no U-label holds: upper case, decomposed letters, a full-width letter, a joiner between Latin
    // letters, a leading combining mark.
    for fake in ["xn--bcher-2pa", "xn--bucher-xyd", "xn--oo--joa00663a", "xn--ab-m1t", "xn--a-bcb"] {
        assert_eq!(refused(&format!("{fake}.example")), IdentifierError::FakeALabel(fake.to_owned()));
    }
    let pictogram = refused("xn--ls8h.example");
    assert_eq!(pictogram, IdentifierError::NotInIdna2008 { label: "xn--ls8h".to_owned(), character: '💩' });
    assert!(pictogram.to_string().contains("U+1F4A9"));
}

#[test]
fn wildcards_stand_alone_at_the_left() {
    assert_eq!(dns("*.a.example").expect("good").name().expect("a name").as_str(), "a.example");
    for bad in ["*", "*.", "*.*.a.example", "a.*.example", "*a.example", "a*.example", "**.a.example", "*..a.example"] {
        let error = refused(bad);
        assert!(
            matches!(error, IdentifierError::MisplacedWildcard | IdentifierError::Empty | IdentifierError::EmptyLabel),
            "{bad}: {error}"
        );
    }
    assert_eq!(refused("*"), IdentifierError::MisplacedWildcard);
    assert_eq!(refused("*.*.a.example"), IdentifierError::MisplacedWildcard);
}

#[test]
fn addresses_are_good_in_their_canonical_form_only() {
    for good in ["192.0.2.1", "0.0.0.0", "2001:db8::1", "::1", "2001:db8:0:1:1:1:1:1", "64:ff9b::c000:201"] {
        assert_eq!(ip(good).expect(good).to_string(), good);
    }
    for (bad, canonical) in [
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:0db8::1", "2001:db8::1"),
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("::0:1", "::1"),
        ("2001:db8::192.0.2.1", "2001:db8::c000:201"),
    ] {
        assert_eq!(ip(bad), Err(IdentifierError::NotCanonical(canonical.to_owned())), "{bad}");
    }
    assert_eq!(ip("::ffff:192.0.2.1"), Err(IdentifierError::MappedAddress([192, 0, 2, 1].into())));
    assert_eq!(ip("::ffff:c000:201"), Err(IdentifierError::MappedAddress([192, 0, 2, 1].into())));
    assert_eq!(ip("fe80::1%eth0"), Err(IdentifierError::Zone));
    assert_eq!(ip("192.0.2.0/24"), Err(IdentifierError::Range));
    assert_eq!(ip(""), Err(IdentifierError::Empty));
    for bad in ["192.0.2.01", "192.0.2", "0xc0000201", "3221225985", "[::1]", " 192.0.2.1", "a.example", "192.0.2.1:80"]
    {
        assert_eq!(ip(bad), Err(IdentifierError::NotAnAddress), "{bad}");
    }
}

#[test]
fn other_types_are_unsupported() {
    for kind in ["email", "DNS", "", "TNAuthList"] {
        let error = Identifier::try_from(wire(kind, "a.example")).expect_err("unsupported");
        assert_eq!(error, IdentifierError::UnsupportedType(kind.to_owned()));
        assert_eq!(error.problem_type(), ProblemType::UnsupportedIdentifier);
    }
}

#[test]
fn on_the_wire_an_order_has_the_star_and_an_authorization_has_not() {
    let identifier = dns("*.a.example").expect("good");
    assert_eq!(identifier.wire(), wire("dns", "*.a.example"));
    assert_eq!(identifier.authorization_wire(), wire("dns", "a.example"));
    assert!(identifier.is_wildcard());
    assert_eq!(serde_json::to_string(&identifier).expect("JSON"), r#"{"type":"dns","value":"*.a.example"}"#);
    let address = ip("2001:db8::1").expect("good");
    assert_eq!(address.wire(), wire("ip", "2001:db8::1"));
    assert_eq!(address.authorization_wire(), address.wire());
    assert_eq!(address.name(), None);
}

#[test]
fn hosts_may_be_single_labels_but_are_checked_otherwise() {
    assert_eq!(DnsName::parse_host("LocalHost").expect("good").as_str(), "localhost");
    assert_eq!(DnsName::parse_host("my_host"), Err(IdentifierError::Underscore("my_host".to_owned())));
    assert_eq!(DnsName::parse_host("127.0.0.1"), Err(IdentifierError::AddressAsName));
    assert_eq!(DnsName::parse_host("8080"), Err(IdentifierError::NumericTopLevel("8080".to_owned())));
}

#[test]
fn what_was_stored_is_read_even_if_the_public_suffix_list_has_grown() {
    let stored = r#"{"type":"dns","value":"*.co.uk"}"#;
    let identifier: Identifier = serde_json::from_str(stored).expect("syntax alone counts");
    assert_eq!(serde_json::to_string(&identifier).expect("JSON"), stored);
    assert!(serde_json::from_str::<Identifier>(r#"{"type":"dns","value":"a_b.example"}"#).is_err());
}

#[test]
fn labels_and_parents_climb_the_tree() {
    let name = DnsName::parse("a.b.example").expect("good");
    assert_eq!(name.labels().collect::<Vec<_>>(), ["a", "b", "example"]);
    let parents: Vec<String> =
        std::iter::successors(name.parent(), DnsName::parent).map(|parent| parent.to_string()).collect();
    assert_eq!(parents, ["b.example", "example"]);
}

fn order(identifiers: &[WireIdentifier]) -> NewOrder {
    NewOrder { identifiers: identifiers.to_vec(), ..NewOrder::default() }
}

#[test]
fn duplicates_of_an_order_are_merged_and_a_wildcard_is_another_identifier() {
    let identifiers = order(&[
        wire("dns", "a.example"),
        wire("dns", "A.Example"),
        wire("dns", "*.a.example"),
        wire("ip", "192.0.2.1"),
        wire("ip", "192.0.2.1"),
    ])
    .identifiers()
    .expect("all good");
    let texts: Vec<String> = identifiers.iter().map(Identifier::to_string).collect();
    assert_eq!(texts, ["a.example", "*.a.example", "192.0.2.1"]);
}

#[test]
fn an_order_without_identifiers_is_malformed() {
    assert_eq!(order(&[]).identifiers().expect_err("none").kind, ProblemType::Malformed);
}

#[test]
fn one_bad_identifier_gives_its_own_problem() {
    let problem = order(&[wire("dns", "a.example"), wire("email", "a@b.example")]).identifiers().expect_err("one bad");
    assert_eq!(problem.kind, ProblemType::UnsupportedIdentifier);
    assert_eq!(problem.subproblems.len(), 1);
    assert_eq!(problem.subproblems[0].identifier, Some(wire("email", "a@b.example")));
}

#[test]
fn several_bad_identifiers_of_different_types_give_a_compound_problem() {
    let same = order(&[wire("dns", "co.uk"), wire("dns", "com")]).identifiers().expect_err("two bad");
    assert_eq!((same.kind, same.subproblems.len()), (ProblemType::RejectedIdentifier, 2));
    let mixed = order(&[wire("dns", "co.uk"), wire("dns", "a_b.example")]).identifiers().expect_err("two bad");
    assert_eq!(mixed.kind, ProblemType::Compound);
    let kinds: Vec<_> = mixed.subproblems.iter().map(|subproblem| subproblem.kind.clone()).collect();
    assert_eq!(kinds, [ProblemType::RejectedIdentifier, ProblemType::Malformed]);
}

#[test]
fn an_answer_does_not_grow_with_the_request() {
    let many = vec![wire("dns", "co.uk"); 5000];
    let problem = order(&many).identifiers().expect_err("all bad");
    assert_eq!(problem.subproblems.len(), acme::order::SUBPROBLEMS_MAX);
    let long = order(&[wire("dns", &"a".repeat(100_000))]).identifiers().expect_err("too long");
    assert!(serde_json::to_string(&long).expect("JSON").len() < 2000, "a name of the client's is not echoed in full");
}

fn any_label() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9]([a-zA-Z0-9-]{0,10}[a-zA-Z0-9])?"
}

proptest! {
    #[test]
    fn what_is_parsed_is_written_and_parsed_again(
        labels in prop::collection::vec(any_label(), 2..6), star: bool,
    ) {
        let name = format!("{}{}", if star { "*." } else { "" }, labels.join("."));
        if let Ok(identifier) = dns(&name) {
            prop_assert_eq!(identifier.to_string(), name.to_ascii_lowercase());
            prop_assert_eq!(identifier.to_string().parse::<Identifier>(), Ok(identifier.clone()));
            prop_assert_eq!(Identifier::try_from(identifier.wire()), Ok(identifier.clone()));
            let json = serde_json::to_string(&identifier).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Identifier>(&json).expect("reads"), identifier);
        }
    }

    #[test]
    fn every_address_has_one_text(address: std::net::IpAddr) {
        let identifier = Identifier::Ip(address);
        match identifier.to_string().parse::<Identifier>() {
            Ok(again) => prop_assert_eq!(again, identifier),
            Err(error) => prop_assert!(matches!(error, IdentifierError::MappedAddress(_))),
        }
    }

    #[test]
    fn parsing_never_panics_and_accepts_host_names_only(text in "\\PC{0,40}") {
        if let Ok(identifier) = dns(&text) {
            let name = identifier.name().expect("a dns identifier has a name");
            prop_assert!(name.labels().count() >= 2);
            prop_assert!(name.as_str().bytes().all(|octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')));
        }
        let _ = ip(&text);
    }

    #[test]
    fn parsing_never_panics_on_made_up_a_labels(tail in "[a-z0-9-]{0,30}") {
        if let Ok(identifier) = dns(&format!("xn--{tail}.example")) {
            prop_assert_eq!(identifier.to_string(), format!("xn--{tail}.example"));
        }
    }
}
