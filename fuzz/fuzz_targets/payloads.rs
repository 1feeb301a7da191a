//! What clients sign (RFC 8555 §7): what was read and is written reads back as the same.
#![no_main]

use acme::{AccountUpdate, AuthorizationUpdate, Finalize, KeyChange, NewAccount, NewOrder, RevokeRequest};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn round<T: DeserializeOwned + Serialize>(json: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(json).ok()?;
    let written = serde_json::to_vec(&read).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).expect("what was written reads");
    assert_eq!(serde_json::to_vec(&again).expect("what was read can be written"), written);
    Some(read)
}

fuzz_target!(|json: &[u8]| {
    if let Some(account) = round::<NewAccount>(json) {
        let _contacts = account.contacts();
    }
    if let Some(update) = round::<AccountUpdate>(json) {
        let _contacts = update.contacts();
        let _deactivates = update.deactivates();
    }
    if let Some(order) = round::<NewOrder>(json)
        && let Ok(identifiers) = order.identifiers()
    {
        assert!(!identifiers.is_empty());
    }
    if let Some(finalize) = round::<Finalize>(json) {
        let _der = finalize.csr_der();
    }
    if let Some(request) = round::<RevokeRequest>(json) {
        let _der = request.certificate_der();
        let _reason = request.reason_code();
    }
    let _update = round::<AuthorizationUpdate>(json);
    let _change = serde_json::from_slice::<KeyChange>(json);
});
