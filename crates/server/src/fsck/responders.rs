//! Certificates of OCSP responders: what was signed was announced, and is stored.

use ca::ports::{AuditMark, StoreError};
use pki::{Certificate, Serial};

use super::log::{at_line, not_applied};
use super::report::Fault;
use super::{Fsck, Invariant, LOOKS, Repair, certificates};

impl Fsck<'_> {
    /// A line of the audit log that shows one.
    pub(super) async fn responder(
        &mut self,
        sequence: u64,
        (serial, der): (Serial, &[u8]),
        mark: AuditMark,
    ) -> Result<(), StoreError> {
        let subject = format!("{}, OCSP responder {serial}", at_line(sequence));
        let mut faults = Vec::new();
        for look in 0..LOOKS {
            let Some(record) = self.records.ledger.responder(serial).await? else {
                self.report.note_older_than_the_log();
                faults.push(Fault::new(Invariant::PrecertificateRecorded, "the ledger never allocated its serial"));
                break;
            };
            match &record.certificate {
                None if look + 1 < LOOKS => {
                    self.pause().await;
                    continue;
                }
                None => {
                    let again = Repair::Responder { serial, der: der.to_vec() };
                    faults.push(not_applied(sequence, mark, "the certificate".to_owned(), again));
                }
                Some(stored) if stored != der => {
                    let detail = "the ledger has another certificate under this serial";
                    faults.push(Fault::new(Invariant::CertificateStored, detail));
                }
                Some(_) => {}
            }
            match (Certificate::from_der(der), Certificate::from_der(&record.linting_certificate)) {
                (Ok(certificate), Ok(linting)) => {
                    if certificate.tbs_der() != linting.tbs_der() {
                        let detail = "its TBS bytes are not those that were stored before the signature";
                        faults.push(Fault::new(Invariant::PrecertificateRecorded, detail));
                    }
                    faults.extend(certificates::chain_fault(&certificate, &record.issuer, &self.authorities));
                }
                (Err(error), _) | (_, Err(error)) => {
                    faults.push(Fault::new(Invariant::CertificateMatchesRecord, error.to_string()));
                }
            }
            break;
        }
        self.add(&subject, faults);
        Ok(())
    }
}
