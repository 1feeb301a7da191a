//! OCSP: a request, its path of a GET, and an answer. What was written of a request that was read is read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::ocsp::{OcspRequest, OcspResponse, request_from_path};

fuzz_target!(|octets: &[u8]| {
    if let Ok(request) = OcspRequest::from_der(octets) {
        let written = OcspRequest::write(request.cert_id.der, request.nonce);
        assert_eq!(OcspRequest::from_der(&written), Ok(request));
    }
    if let Ok(OcspResponse::Successful(basic)) = OcspResponse::from_der(octets) {
        assert!(basic.data().is_some_and(|data| !data.responses.is_empty()));
    }
    if let Some(decoded) = std::str::from_utf8(octets).ok().and_then(|path| request_from_path(path).ok()) {
        assert!(decoded.len() <= octets.len() * 3 / 4);
    }
});
