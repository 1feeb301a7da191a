//! What OCSP answers are made from.

use ca::ports::{Recorded, ResponderRecord, StatusRecord};
use pki::Serial;

use super::records::Records;

impl Records {
    pub(super) fn status(&self, serial: Serial) -> Option<StatusRecord> {
        let record = &self.serials.get(&serial)?.record;
        Some(StatusRecord {
            issuer: record.issuer,
            status: record.status,
            not_after: record.not_after,
            revocation: record.revocation.as_ref().map(|one| (one.revoked, one.reason)),
        })
    }

    pub(super) fn add_responder(&mut self, responder: ResponderRecord) -> bool {
        let taken = self.serials.contains_key(&responder.serial) || self.responder(responder.serial).is_some();
        if !taken {
            self.dated(responder.made, Recorded::Issuance(responder.serial));
            self.responders.push(responder);
        }
        !taken
    }

    pub(super) fn store_responder(&mut self, serial: Serial, certificate: &[u8]) -> bool {
        let Some(known) = self.responders.iter_mut().find(|one| one.serial == serial) else { return false };
        known.certificate.get_or_insert_with(|| certificate.to_vec());
        true
    }

    pub(super) fn responder(&self, serial: Serial) -> Option<&ResponderRecord> {
        self.responders.iter().find(|one| one.serial == serial)
    }
}
