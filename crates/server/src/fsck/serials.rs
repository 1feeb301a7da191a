//! The ledger's serials, one after the other.

use std::time::Duration;

use ca::InstanceId;
use ca::ports::{LedgerEnd, SerialFilter, SerialRecord, SerialStatus, StoreError};
use pki::{Certificate, Reason, Timestamp};
use store::sqlite::Mend;

use super::accepted::AcceptedTimes;
use super::log::Logged;
use super::report::Fault;
use super::{CLOCK_STEP, Fsck, Invariant, LOOKS, PAGE, Repair, certificates};

/// A worker that runs has revoked what was issued for a blocked key long before.
const BLOCKED_FOR_LONG: Duration = Duration::from_secs(10 * 60);

impl Fsck<'_> {
    /// All serials of one part.
    pub(super) async fn serials(&mut self, logged: &Logged, total: u64) -> Result<(), StoreError> {
        let (mut after, mut done) = (None, 0);
        loop {
            let filter = SerialFilter { after, ..SerialFilter::default() };
            let page = self.records.ledger.serials(filter, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.serial);
            done += page.len() as u64;
            for record in page {
                if logged.has(record.serial) {
                    let subject = format!("serial {}", record.serial);
                    let read = self.serial(record, &subject, logged).await;
                    self.go_on(&subject, read)?;
                }
            }
            self.tell("serials", done, total.max(done));
        }
    }

    async fn serial(&mut self, mut record: SerialRecord, subject: &str, logged: &Logged) -> Result<(), StoreError> {
        let (mut faults, mut scts) = self.serial_faults(&record, logged).await?;
        for _ in 1..LOOKS {
            if faults.is_empty() {
                break;
            }
            self.pause().await;
            record = self.records.ledger.serial(record.serial).await?.unwrap_or(record);
            (faults, scts) = self.serial_faults(&record, logged).await?;
        }
        self.report.checked.serials += 1;
        self.report.checked.certificates += u64::from(record.certificate.is_some());
        self.report.checked.scts += scts;
        self.add(subject, faults);
        Ok(())
    }

    async fn serial_faults(&self, record: &SerialRecord, logged: &Logged) -> Result<(Vec<Fault>, u64), StoreError> {
        let mut faults: Vec<Fault> = status_fault(record, &logged.accepted)
            .into_iter()
            .chain(logged_fault(record, logged, self.records.instance()))
            .collect();
        faults.extend(self.order_faults(record).await?);
        faults.extend(self.revocation_fault(record, logged).await?);
        faults.extend(self.blocked_fault(record).await?);
        let linting = Certificate::from_der(&record.linting_certificate);
        match &linting {
            Ok(linting) => faults.extend(certificates::record_fault(linting, record, &self.rules.crls)),
            // Nothing is known of it but that it was revoked while it was `wait`.
            Err(_) if record.restored.is_some() && record.linting_certificate.is_empty() => {}
            Err(error) => {
                let detail = format!("its linting certificate can't be read: {error}");
                faults.push(Fault::new(Invariant::CertificateMatchesRecord, detail));
            }
        }
        let mut scts = 0;
        if let Some(der) = &record.certificate {
            faults.extend(certificates::tbs_fault(der, record, true));
            if let Ok(certificate) = Certificate::from_der(der) {
                faults.extend(certificates::record_fault(&certificate, record, &self.rules.crls));
                faults.extend(certificates::chain_fault(&certificate, &record.issuer, &self.authorities));
                let (verified, wrong) = certificates::sct_faults(&certificate, &record.issuer, &self.authorities);
                scts = verified;
                faults.extend(wrong);
            }
        }
        // What is signed for has to be right even if no final certificate came of it.
        if let (Ok(linting), true) = (&linting, record.status != SerialStatus::Wait && record.restored.is_none())
            && let Some(read) = self.records.ledger.signing_record(record.serial).await?
        {
            faults.extend(certificates::rights_faults(linting, &read, &self.proofs, &logged.accepted));
            faults.extend(certificates::caa_fault(linting, &read, &self.rules));
        }
        Ok((faults, scts))
    }

    /// A worker revokes what a block left. It may have yet to come to it, but not for as long as this.
    async fn blocked_fault(&self, record: &SerialRecord) -> Result<Option<Fault>, StoreError> {
        if record.status == SerialStatus::Revoked {
            return Ok(None);
        }
        let Some(key) = self.records.ledger.blocked_key(record.spki_hash).await? else { return Ok(None) };
        let (by, at) = (&key.block.by, key.block.at);
        let fault = if key.settled.is_some() {
            let detail = format!("its key is blocked since {at}, by {by}; it is not revoked, and no worker will do it");
            Fault::new(Invariant::BlockedKeysRevoked, detail).mended(Mend::OpenBlock(record.spki_hash))
        } else if self.records.now().since(at) > BLOCKED_FOR_LONG {
            let detail = format!("its key is blocked since {at}, by {by}, and no worker has come to it");
            Fault::warning(Invariant::BlockedKeysRevoked, detail).mended_by(Repair::Start)
        } else {
            return Ok(None);
        };
        Ok(Some(fault))
    }

    /// The line of a revocation is synced before the ledger's write.
    async fn revocation_fault(&self, record: &SerialRecord, logged: &Logged) -> Result<Option<Fault>, StoreError> {
        let (Some(revocation), Some(read_at)) = (&record.revocation, logged.whole) else { return Ok(None) };
        // It is in the log of another instance, from which the ledger was moved or restored.
        let restored = record.restored.is_some_and(|restored| restored.from != self.records.instance());
        if restored || logged.began.is_some_and(|began| record.begun < began && revocation.revoked < began) {
            return Ok(None);
        }
        let superseded = revocation.reason == Reason::Superseded && record.stored.is_some() && !record.attached;
        if superseded || logged.signed(record.serial).revoked || revocation.revoked.plus(CLOCK_STEP) >= read_at {
            return Ok(None);
        }
        // The block of a key revokes what is in the making, with one line for all.
        if self.records.ledger.is_blocked(record.spki_hash).await? {
            return Ok(None);
        }
        let detail = format!("it is revoked since {}, and the audit log does not show it", revocation.revoked);
        Ok(Some(Fault::new(Invariant::RevocationLogged, detail)))
    }

    async fn order_faults(&self, record: &SerialRecord) -> Result<Option<Fault>, StoreError> {
        let one = |detail: String, repair: Option<Repair>| {
            Ok(Some(Fault { repair, ..Fault::new(Invariant::OneCertificatePerOrder, detail) }))
        };
        let stored = record.certificate.is_some();
        if record.attached && !stored {
            let detail = format!("order {} is valid with it, and no certificate is stored", record.order);
            return one(detail, Some(Repair::FromLog(record.serial)));
        }
        if stored && !record.attached && record.status != SerialStatus::Revoked {
            let detail = format!("its certificate is not that of order {}, and is not revoked", record.order);
            let mend = if record.current { Mend::EndWith(record.serial) } else { Mend::Supersede(record.serial) };
            return one(detail, Some(Repair::Mend(mend)));
        }
        if !record.attached && !record.current {
            return Ok(None);
        }
        let Some(order) = self.records.ledger.order(record.order).await? else {
            return one(format!("the ledger has no order {}", record.order), None);
        };
        if record.attached && !matches!(&order.end, Some((LedgerEnd::Valid(serial), _)) if *serial == record.serial) {
            return one(format!("order {} has not ended with it", record.order), None);
        }
        if record.current && order.end.is_none() && self.records.workbench.read(record.order).await?.is_none() {
            let detail = format!(
                "order {} has an open issuance and is not on the workbench: a poll brings it back",
                record.order
            );
            return Ok(Some(Fault::warning(Invariant::OnePlace, detail).mended(Mend::BringBack(record.order))));
        }
        Ok(None)
    }
}

/// `wait → good → revoked`, `wait → revoked`; and what goes with each.
fn status_fault(record: &SerialRecord, accepted: &AcceptedTimes) -> Option<Fault> {
    // By more than a clock that was set a little.
    let precedes = |time: Option<Timestamp>, earlier: Option<Timestamp>| {
        time.zip(earlier).is_some_and(|(time, earlier)| time.plus(CLOCK_STEP) < accepted.earliest(earlier))
    };
    let (good, stored) = (record.good.is_some(), record.stored.is_some());
    let wrong = if stored != record.certificate.is_some() {
        "it has a certificate without the time at which it was stored, or the time without it"
    } else if (record.status == SerialStatus::Revoked) != record.revocation.is_some() {
        "it is revoked without a revocation, or has one without being revoked"
    } else {
        match record.status {
            SerialStatus::Wait if good => "it waits and has a time at which it became good",
            SerialStatus::Wait if stored => "it waits and has a certificate",
            SerialStatus::Good if !good => "it is good without a time at which it became so",
            SerialStatus::Good if !record.ct && !stored => "it is good without CT, and has no certificate",
            _ if precedes(record.good, Some(record.begun)) => "it became good before its issuance began",
            _ if precedes(record.stored, record.good) => "its certificate was stored before it was good",
            SerialStatus::Revoked | SerialStatus::Wait | SerialStatus::Good => return None,
        }
    };
    Some(Fault::new(Invariant::StatusConsistent, wrong).mended_by(Repair::FromLog(record.serial)))
}

/// Lines come before the ledger's write: what became good or was stored before the log was read has its line in it.
fn logged_fault(record: &SerialRecord, logged: &Logged, instance: InstanceId) -> Option<Fault> {
    let read_at = logged.whole?;
    // It is in the log of another instance, from which the ledger was moved or restored.
    let restored = record.restored.is_some_and(|restored| restored.from != instance);
    if restored || logged.began.is_some_and(|began| record.begun < began) {
        return None;
    }
    let signed = logged.signed(record.serial);
    let missing = if record.stored.is_some_and(|at| at < read_at) && !signed.certificate {
        "certificate"
    } else if record.ct && record.good.is_some_and(|at| at < read_at) && !signed.precertificate {
        "precertificate"
    } else {
        return None;
    };
    Some(Fault::new(Invariant::SignatureLogged, format!("the audit log does not show its {missing}")))
}
