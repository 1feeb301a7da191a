//! What OCSP answers are made from.

use ca::ports::{Recorded, ResponderRecord, StatusRecord};
use pki::{Serial, Sha256};

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

    /// Those with a certificate, added last first.
    pub(super) fn responders_of(&self, issuer: Sha256, spki_hash: Sha256) -> impl Iterator<Item = &ResponderRecord> {
        let asked = move |one: &&ResponderRecord| one.issuer == issuer && one.spki_hash == spki_hash;
        self.responders.iter().rev().filter(asked).filter(|one| one.certificate.is_some())
    }

    pub(super) fn responder(&self, serial: Serial) -> Option<&ResponderRecord> {
        self.responders.iter().find(|one| one.serial == serial)
    }
}
