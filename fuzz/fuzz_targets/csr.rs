//! A certificate request (RFC 2986), with and without a look at its signature.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::Csr;

fuzz_target!(|der: &[u8]| {
    let unproven = Csr::parse_without_proof(der);
    match Csr::parse(der) {
        Ok(csr) => {
            assert_eq!(csr.der(), der);
            let unproven = unproven.expect("the signature is the only difference");
            assert_eq!((csr.names(), csr.common_name()), (unproven.names(), unproven.common_name()));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
