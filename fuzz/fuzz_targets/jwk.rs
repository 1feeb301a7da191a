//! A key of an account (RFC 7517): what was read and is written reads back as the same key.
#![no_main]

use acme::Jwk;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &str| {
    let Ok(key) = Jwk::parse(json) else { return };
    let again = Jwk::parse(&key.to_json()).expect("what was written reads");
    assert_eq!(key, again);
    assert_eq!(key.thumbprint(), again.thumbprint());
    assert_eq!(key.spki_der(), again.spki_der());
    assert!(!key.description().is_empty() && !key.algorithms().is_empty());
});
