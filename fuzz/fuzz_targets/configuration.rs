//! The configuration file: whatever it says, it is taken, or refused in one line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use server::config::{Choices, Config, parse};

fuzz_target!(|text: &str| {
    let config = parse(text, "cairn.toml").and_then(|file| Config::new("data".into(), &file, &Choices::default()));
    if let Err(error) = config {
        assert!(!error.to_string().is_empty());
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
});
