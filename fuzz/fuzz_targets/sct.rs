//! SCTs (RFC 6962 §3.2, §3.3): a list that reads is written as the same octets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::{DigitallySigned, Sct, decode_sct_list, encode_sct_list};

fuzz_target!(|octets: &[u8]| {
    if let Ok(scts) = decode_sct_list(octets) {
        assert_eq!(encode_sct_list(&scts), octets);
    }
    if let Ok(sct) = Sct::from_tls(octets) {
        assert_eq!(sct.to_tls(), octets);
    }
    if let Ok(signed) = DigitallySigned::from_tls(octets) {
        assert_eq!(signed.to_tls(), octets);
    }
});
