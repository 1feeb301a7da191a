//! A signed request (RFC 8555 §6.2): whatever reads is kept as it came, and verifies with the key that it carries or is
//! refused.
#![no_main]

use acme::{Jws, KeyReference};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(jws) = Jws::parse(body) else { return };
    assert_eq!(jws.raw(), body);
    let KeyReference::Jwk(key) = jws.protected().key.clone() else { return };
    if let Ok(verified) = jws.verify(key.verifying_key()) {
        assert_eq!(verified.raw(), body);
        let _payload = verified.json::<acme::NewAccount>();
    }
});
