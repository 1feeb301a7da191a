//! A certificate (RFC 5280), as it comes back to be revoked or is read from the store: it is kept as it came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::{Certificate, corresponds};

fuzz_target!(|der: &[u8]| {
    let _mismatch = corresponds(der, der);
    let Ok(certificate) = Certificate::from_der(der) else { return };
    assert_eq!(certificate.der(), der);
    let _scts = certificate.scts();
    let _by_itself = certificate.verify_signed_by(certificate.public_key());
    assert!(corresponds(certificate.tbs_der(), certificate.tbs_der()).is_err(), "no precertificate is a final one");
});
