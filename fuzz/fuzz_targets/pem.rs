//! PEM (RFC 7468): what was read and is written reads back as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::pem::{decode, encode};

fuzz_target!(|text: &str| {
    let Ok(parts) = decode(text) else { return };
    let written: String = parts.iter().map(|(label, der)| encode(label, der)).collect();
    assert_eq!(decode(&written).expect("what was written reads"), parts);
});
