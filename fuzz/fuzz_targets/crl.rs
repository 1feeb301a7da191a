//! A CRL (RFC 5280 §5): it is kept as it came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::Crl;

fuzz_target!(|der: &[u8]| {
    let Ok(crl) = Crl::from_der(der) else { return };
    assert_eq!(crl.der(), der);
    let _number = crl.number();
});
