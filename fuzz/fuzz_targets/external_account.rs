//! An external account binding (RFC 8555 §7.3.4) and the keys that operators hand out for them.
#![no_main]

use acme::{ExternalAccountBinding, MacKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(key) = MacKey::parse(text) {
        assert_eq!(MacKey::parse(&key.to_base64url()).map(|again| again.as_bytes() == key.as_bytes()), Ok(true));
    }
    if let Ok(binding) = ExternalAccountBinding::parse(text) {
        assert!(binding.kid().len() <= text.len());
    }
});
