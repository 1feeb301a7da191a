//! Revocation (RFC 8555 §7.6): by account, by certificate key, by operator. Possible from step 5 of the cycle on.

use std::collections::BTreeSet;

use acme::{KeyReference, Problem, ProblemType, RevokeRequest, Verified};
use futures_util::future::join_all;
use pki::{Certificate, GeneralName, PublicKey, Reason, Serial};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::authority::Ca;
use crate::error::{Answer, Error};
use crate::ports::{AuditEvent, Revocation, Revoked, SerialRecord, Stored};

/// So many serials are revoked side by side at most.
pub const REVOKED_TOGETHER_MAX: usize = 500;

/// What [`Ca::revoke_all`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedTogether {
    /// Serials that it revoked.
    pub revoked: u64,
    /// Serials that were revoked before: those revocations stand.
    pub already: u64,
    /// Serials that the ledger never allocated.
    pub unknown: u64,
}

/// Who asks for a revocation over ACME.
#[derive(Debug)]
pub enum Revoker {
    /// An account: the one that ordered the certificate, or one with valid authorizations for all its names, which
    /// has no say about its key.
    Account(Box<Account>),
    /// Whoever has the certificate's key: proof enough that it is compromised, unless he gives another reason.
    CertificateKey(Box<PublicKey>),
}

impl Ca {
    /// revokeCert.
    ///
    /// # Errors
    /// `malformed` for what is no certificate of ours, `unauthorized`, `alreadyRevoked`, `badRevocationReason`.
    pub async fn revoke_certificate(&self, revoker: Revoker, request: &Verified) -> Answer<()> {
        let asked: RevokeRequest = request.json().map_err(|error| error.problem())?;
        let der = asked.certificate_der()?;
        let reason = subscriber_reason(asked.reason_code()?)?;
        let record = self.find_certificate(&der).await?;
        let by = match &revoker {
            Revoker::Account(account) => {
                self.require_right(account, &record, &der).await?;
                if account.id != record.account {
                    require_reason_of_names(reason)?;
                }
                format!("account {}", account.id)
            }
            Revoker::CertificateKey(key) => {
                if key.spki_hash() != record.spki_hash {
                    return Err(Error::refused(
                        ProblemType::Unauthorized,
                        "the request is signed neither by an account nor by the key of this certificate",
                    ));
                }
                "the certificate's key".to_owned()
            }
        };
        // Whoever revokes with the key and doesn't say why may well be who found it (BR 4.9.1.1).
        let (reason, compromised) = match (&revoker, reason) {
            (Revoker::CertificateKey(_), Reason::Unspecified | Reason::KeyCompromise) => (Reason::KeyCompromise, true),
            (Revoker::CertificateKey(_) | Revoker::Account(_), reason) => (reason, false),
        };
        // The key comes first: of a certificate that is seen revoked for it, the key is blocked, wherever this ends.
        if compromised {
            self.block_key(record.spki_hash, &by).await?;
        }
        let revoked = match self.revoke(record.serial, reason, by.clone()).await? {
            // Whoever revokes what is left of the key may have come first.
            Revoked::Already(earlier)
                if compromised && record.revocation.is_none() && earlier.reason == Reason::KeyCompromise =>
            {
                Revoked::Done
            }
            revoked @ (Revoked::Done | Revoked::Already(_) | Revoked::UnknownSerial) => revoked,
        };
        let subscriber = match &revoker {
            Revoker::Account(account) => account.id == record.account,
            Revoker::CertificateKey(_) => true,
        };
        match revoked {
            Revoked::Done => {
                // A subscriber who names his certificate in a signed request has it.
                if record.attached && subscriber {
                    self.acknowledged(record.order).await?;
                }
                Ok(())
            }
            // The key's owner may say once, later, why (RFC 8555 §7.6; BR 4.9.1).
            Revoked::Already(_) if compromised && self.upgrade_to_key_compromise(record.serial, &by).await? => Ok(()),
            Revoked::Already(earlier) => Err(Error::refused(
                ProblemType::AlreadyRevoked,
                format!("revoked since {} ({})", earlier.revoked.to_rfc3339(), earlier.reason),
            )),
            Revoked::UnknownSerial => Err(not_ours()),
        }
    }

    async fn find_certificate(&self, der: &[u8]) -> Answer<SerialRecord> {
        let certificate = Certificate::from_der(der)
            .map_err(|error| Error::refused(ProblemType::Malformed, format!("this is no certificate: {error}")))?;
        if certificate.is_precertificate() {
            return Err(Error::refused(
                ProblemType::Malformed,
                "this is a precertificate; send the certificate that was issued with it",
            ));
        }
        let record = self.ledger.serial(certificate.serial()).await?.ok_or_else(not_ours)?;
        // Byte for byte: a certificate with a serial of ours and another signature is not ours.
        if record.certificate.as_deref() == Some(der) { Ok(record) } else { Err(not_ours()) }
    }

    async fn require_right(&self, account: &Account, record: &SerialRecord, der: &[u8]) -> Answer<()> {
        if record.account == account.id {
            return Ok(());
        }
        let names: BTreeSet<GeneralName> =
            Certificate::from_der(der).map(|certificate| certificate.names().clone()).unwrap_or_default();
        if !names.is_empty() && self.ledger.authorized_for(account.id, &names, self.now()).await? {
            return Ok(());
        }
        Err(Error::refused(
            ProblemType::Unauthorized,
            "this account did not order the certificate and has no valid authorizations for all its names",
        ))
    }

    /// Revokes a serial, whatever its status: the audit log's line is synced before the ledger is written.
    ///
    /// # Errors
    /// The stores could not be asked.
    pub async fn revoke(&self, serial: Serial, reason: Reason, by: String) -> Answer<Revoked> {
        match self.ledger.serial(serial).await? {
            None => return Ok(Revoked::UnknownSerial),
            Some(SerialRecord { revocation: Some(earlier), .. }) => return Ok(Revoked::Already(earlier)),
            Some(_) => {}
        }
        // CRLs and OCSP answers tell whole seconds.
        let revoked = self.now().whole_second();
        planted!(RevokedBeforeLine {
            self.ledger.revoke(Revocation { serial, reason, revoked, by: by.clone() }).await?;
        });
        let event = AuditEvent::Revocation { serial, reason, revoked, by: by.clone() };
        let line = self.audit.append(event).await?;
        let written = self.write_revocation(Revocation { serial, reason, revoked, by: by.clone() }).await;
        let done = self.insist_on_line(line, written)?;
        tracing::info!(%serial, %reason, %by, "revoked");
        Ok(done)
    }

    /// One that came between gets the reason keyCompromise, as the line says: it would from a recovery.
    async fn write_revocation(&self, revocation: Revocation) -> Stored<Revoked> {
        let Revocation { serial, reason, ref by, .. } = revocation;
        let mut done = self.ledger.revoke(revocation.clone()).await?;
        if let Revoked::Already(earlier) = &mut done
            && reason == Reason::KeyCompromise
            && self.ledger.upgrade_to_key_compromise(serial, by).await?
        {
            *earlier = Revocation { reason, by: by.clone(), ..earlier.clone() };
        }
        Ok(done)
    }

    /// Revokes many serials, each as [`Ca::revoke`] does, side by side: their lines share a sync, and so do their
    /// writes. Whoever has more than [`REVOKED_TOGETHER_MAX`] goes in pages. Idempotent: done again after it was broken
    /// off, it does the rest.
    ///
    /// # Errors
    /// The stores could not be asked for one of them. What was done to the others stands.
    pub async fn revoke_all(&self, serials: &BTreeSet<Serial>, reason: Reason, by: &str) -> Answer<RevokedTogether> {
        let revoked = join_all(serials.iter().map(|serial| self.revoke(*serial, reason, by.to_owned()))).await;
        let mut together = RevokedTogether::default();
        for revoked in revoked {
            match revoked? {
                Revoked::Done => together.revoked += 1,
                Revoked::Already(_) => together.already += 1,
                Revoked::UnknownSerial => together.unknown += 1,
            }
        }
        Ok(together)
    }

    /// The reason of an earlier revocation becomes keyCompromise, once: logged before it is written, like a revocation.
    async fn upgrade_to_key_compromise(&self, serial: Serial, by: &str) -> Answer<bool> {
        let revocation = self.ledger.serial(serial).await?.and_then(|record| record.revocation);
        let Some(earlier) = revocation.filter(|earlier| earlier.reason != Reason::KeyCompromise) else {
            return Ok(false);
        };
        let (reason, revoked) = (Reason::KeyCompromise, earlier.revoked);
        let event = AuditEvent::Revocation { serial, reason, revoked, by: by.to_owned() };
        let line = self.audit.append(event).await?;
        Ok(self.insist_on_line(line, self.ledger.upgrade_to_key_compromise(serial, by).await)?)
    }

    /// The account or the key that signed a revokeCert request.
    ///
    /// # Errors
    /// `malformed` if it is signed with an account's URL and not a key.
    pub fn certificate_key(request: &Verified) -> Answer<Revoker> {
        let KeyReference::Jwk(jwk) = &request.protected().key else {
            return Err(Error::refused(ProblemType::Malformed, "expected `jwk`: the certificate's key"));
        };
        let key = PublicKey::from_spki_der(&jwk.spki_der())
            .map_err(|error| Error::refused(ProblemType::BadPublicKey, error.to_string()))?;
        Ok(Revoker::CertificateKey(Box::new(key)))
    }
}

/// Reasons open to subscribers (BR 7.2.2): the others are the CA's own, or no reasons for a certificate.
fn subscriber_reason(code: u8) -> Answer<Reason> {
    let reason = Reason::from_code(code);
    match reason {
        Some(
            reason @ (Reason::Unspecified
            | Reason::KeyCompromise
            | Reason::AffiliationChanged
            | Reason::Superseded
            | Reason::CessationOfOperation),
        ) => Ok(reason),
        Some(
            Reason::CaCompromise
            | Reason::CertificateHold
            | Reason::RemoveFromCrl
            | Reason::PrivilegeWithdrawn
            | Reason::AaCompromise,
        )
        | None => Err(Problem::new(
            ProblemType::BadRevocationReason,
            format!(
                "reason {code} is not open to subscribers; use 0 unspecified, 1 keyCompromise, 3 affiliationChanged, \
                 4 superseded or 5 cessationOfOperation"
            ),
        )
        .into()),
    }
}

/// Reasons open to an account that did not order the certificate: that its names are no longer its subscriber's
/// (BR 4.9.1.1), or none at all. What its key, its successor or its subscriber's affiliation are is not theirs to say.
fn require_reason_of_names(reason: Reason) -> Answer<()> {
    match reason {
        Reason::Unspecified | Reason::CessationOfOperation => Ok(()),
        Reason::KeyCompromise
        | Reason::CaCompromise
        | Reason::AffiliationChanged
        | Reason::Superseded
        | Reason::CertificateHold
        | Reason::RemoveFromCrl
        | Reason::PrivilegeWithdrawn
        | Reason::AaCompromise => Err(Error::refused(
            ProblemType::BadRevocationReason,
            format!(
                "only the account that ordered the certificate, or its key, can give the reason {} {reason}: use 5 \
                 cessationOfOperation or 0 unspecified; who has its key signs with that",
                reason.code()
            ),
        )),
    }
}

fn not_ours() -> Error {
    Problem::new(ProblemType::Malformed, "this CA did not issue this certificate").with_status(404).into()
}
