//! What holds whatever happened, as far as the records of one CA at rest can show it.

use std::collections::BTreeMap;

use ca::ports::{AuditEvent, LedgerEnd, OrderFilter, SerialFilter, SerialRecord, SerialStatus, Standing};
use pki::{Certificate, Serial};

use super::World;

impl World {
    /// Panics if an invariant is broken. To be called when no worker is at work and recovery has been.
    pub(crate) async fn check_invariants(&self) {
        let records = self.ledger.serials(SerialFilter::default(), 10_000).await.unwrap();
        let records: BTreeMap<Serial, SerialRecord> =
            records.into_iter().map(|record| (record.serial, record)).collect();
        let signed = self.check_signatures(&records).await;
        let mut attached = BTreeMap::new();
        for record in records.values() {
            let precertificate = signed.precertificates.get(&record.serial);
            let certificate = signed.certificates.get(&record.serial);
            assert_eq!(record.certificate.as_ref(), certificate, "what was signed is stored, and nothing else");
            match record.status {
                SerialStatus::Wait => assert!(precertificate.is_none() && certificate.is_none()),
                SerialStatus::Good => {
                    assert!(record.good.is_some_and(|good| good >= record.begun));
                    let first = if record.ct { precertificate } else { certificate };
                    assert!(first.is_some(), "a serial is `good` because something was signed and logged");
                }
                SerialStatus::Revoked => assert!(record.revocation.is_some()),
            }
            if record.attached {
                assert_eq!(attached.insert(record.order, record.serial), None, "an order names one certificate");
                let end = self.known(record.order).await.and_then(|known| known.end).map(|(end, _)| end);
                assert_eq!(end, Some(LedgerEnd::Valid(record.serial)));
            } else if certificate.is_some() {
                assert_eq!(record.status, SerialStatus::Revoked, "a certificate that no order names is revoked");
            }
        }
        for active in self.workbench.list(OrderFilter::default(), 1_000).await.unwrap() {
            assert_ne!(active.standing, Standing::Nowhere, "every active order stands somewhere");
        }
    }

    /// Each signature has an earlier record of what it is over, and there is one of each kind for a serial.
    async fn check_signatures(&self, records: &BTreeMap<Serial, SerialRecord>) -> SignedSoFar {
        let mut signed = SignedSoFar::default();
        for line in self.lines().await {
            match line.event {
                AuditEvent::Precertificate { serial, der, .. } => {
                    let record = &records[&serial];
                    assert!(record.begun <= line.at, "the record is older than the signature");
                    if record.restored.is_some() {
                        assert_eq!(record.linting_certificate, der, "what was signed is what stands for it");
                    } else {
                        assert_eq!(self.read_signed(&der).tbs_der(), self.planned(record).tbs_der());
                    }
                    assert_eq!(signed.precertificates.insert(serial, der), None, "one precertificate for a serial");
                }
                AuditEvent::Certificate { serial, der, .. } => {
                    let (record, certificate) = (&records[&serial], self.read_signed(&der));
                    if record.ct {
                        let precertificate = self.read_signed(&signed.precertificates[&serial]);
                        pki::corresponds(precertificate.tbs_der(), certificate.tbs_der()).unwrap();
                    } else if record.restored.is_none() {
                        assert_eq!(certificate.tbs_der(), self.planned(record).tbs_der());
                    }
                    assert_eq!(signed.certificates.insert(serial, der), None, "one certificate for a serial");
                }
                AuditEvent::Begun { .. }
                | AuditEvent::Revocation { .. }
                | AuditEvent::KeyBlock { .. }
                | AuditEvent::IssuanceStopped { .. }
                | AuditEvent::IssuanceResumed { .. }
                | AuditEvent::CrlNumber { .. }
                | AuditEvent::Crl { .. }
                | AuditEvent::Authority { .. }
                | AuditEvent::OcspResponder { .. }
                | AuditEvent::Recovered { .. }
                | AuditEvent::Continued { .. }
                | AuditEvent::CheckpointKey { .. }
                | AuditEvent::Checkpoint { .. }
                | AuditEvent::ClockAccepted { .. } => {}
            }
        }
        signed
    }

    /// Reads a certificate or precertificate and verifies it up to the root.
    pub(crate) fn read_signed(&self, der: &[u8]) -> Certificate {
        let certificate = Certificate::from_der(der).unwrap();
        let issuer = &self.ca.issuers[0].certificate;
        certificate.verify_signed_by(issuer.public_key()).unwrap();
        issuer.verify_signed_by(self.root().public_key()).unwrap();
        certificate
    }

    /// What the ledger says may be signed, under a signature that is worth nothing.
    pub(crate) fn planned(&self, record: &SerialRecord) -> Certificate {
        let planned = Certificate::from_der(&record.linting_certificate).unwrap();
        let issuer = self.ca.issuers[0].certificate.public_key();
        assert!(planned.verify_signed_by(issuer).is_err(), "a linting certificate is signed by a throwaway key");
        planned
    }
}

#[derive(Default)]
struct SignedSoFar {
    precertificates: BTreeMap<Serial, Vec<u8>>,
    certificates: BTreeMap<Serial, Vec<u8>>,
}
