//! Texts that name something: identifiers of orders, contacts, tokens, certificates of ARI (RFC 9773 §4.1). What was
//! read and is written reads back as the same.
#![no_main]

use acme::{CertificateIdentifier, Contact, DnsName, Identifier, Token, WireIdentifier};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for kind in ["dns", "ip"] {
        let wire = WireIdentifier { kind: kind.to_owned(), value: text.to_owned() };
        if let Ok(identifier) = Identifier::try_from(&wire) {
            assert_eq!(Identifier::try_from(&identifier.wire()), Ok(identifier));
        }
    }
    if let Ok(name) = DnsName::parse(text) {
        assert_eq!(DnsName::parse(name.as_str()), Ok(name.clone()));
        assert!(name.labels().count() > 0);
        let mut above = Some(name);
        while let Some(name) = above {
            above = name.parent();
        }
    }
    let _host = DnsName::parse_host(text);
    if let Ok(contact) = Contact::parse(text) {
        assert_eq!(Contact::parse(contact.as_str()), Ok(contact.clone()));
    }
    if let Ok(token) = Token::parse(text) {
        assert_eq!(token.as_str(), text);
    }
    if let Ok(certificate) = text.parse::<CertificateIdentifier>() {
        assert_eq!(certificate.to_string().parse(), Ok(certificate));
    }
});
