//! Pebble's configuration (JSON): whatever it says, it is taken, or refused with a reason.
#![no_main]

use libfuzzer_sys::fuzz_target;
use server::pebble::json::parse;

fuzz_target!(|json: &[u8]| {
    if let Err(error) = parse(json) {
        assert!(!error.to_string().is_empty());
    }
});
