//! Recovery at start: the audit log is brought into the ledger, before anything is claimed or swept.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use pki::{Certificate, Reason, Serial, Sha256, Timestamp};

use crate::InstanceId;
use crate::authority::Ca;
use crate::clock::BEHIND_MAX;
use crate::ports::{
    AuditEvent, AuditLine, AuditMark, CrlShard, KeyBlock, LineCounts, Revocation, Revoked, StoreError, StoreErrorKind,
    Stored, StoredFinal,
};

/// Why a process that has taken an instance's lock can't go on.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// A store could not be asked, or the log can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log says something that the ledger can't have forgotten by a crash: the ledger is older than the log.
    #[error(
        "line {sequence} of the audit log speaks of {what}, which the ledger does not know: the ledger is older than \
         the log, as after a restored backup; nothing is signed before `cairn recover` has restored what the log holds"
    )]
    LedgerOlderThanLog {
        /// The line.
        sequence: u64,
        /// What it speaks of.
        what: String,
    },
    /// A recovery from a log has begun, and was broken off.
    #[error(
        "the ledger is being restored from the audit log of instance {from}, since {begun}, and not all of it is done; \
         nothing is signed before `cairn recover` has done the rest (with the same --log, if there was one)"
    )]
    Unfinished {
        /// Whose log.
        from: InstanceId,
        /// Since when.
        begun: Timestamp,
    },
}

impl RecoveryError {
    /// Whether the ledger has to be restored from an audit log before anything is signed.
    pub const fn needs_restoration(&self) -> bool {
        match self {
            Self::LedgerOlderThanLog { .. } | Self::Unfinished { .. } => true,
            Self::Store(_) => false,
        }
    }
}

/// What recovery found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Lines of the audit log behind the mark.
    pub lines: u64,
    /// Those of them that the ledger keeps something of, by kind.
    pub kinds: LineCounts,
    /// Leases of the process before that were freed.
    pub leases: u64,
}

/// The CRL numbers that were allocated when the recovery began, by issuer and shard.
type CrlNumbers = BTreeMap<(Sha256, u16), u64>;

/// After a crash a ledger may know its newest record so much less exactly.
const NEWEST_PRECISION: Duration = Duration::from_secs(1);

/// Lines of one page.
const PAGE: usize = 256;

impl Ca {
    /// Brings the audit log's lines behind the mark into the ledger, then frees this instance's leases.
    ///
    /// # Errors
    /// See [`RecoveryError`]; nothing may be signed then.
    pub async fn recover(&self) -> Result<Recovered, RecoveryError> {
        let open = self.ledger.recoveries().await?.into_iter().find(|one| one.ended.is_none());
        if let Some(open) = open {
            return Err(RecoveryError::Unfinished { from: open.from, begun: open.begun });
        }
        let mut recovered = Recovered::default();
        let start = AuditMark { sequence: 0, chain: pki::Sha256::from_bytes([0; 32]) };
        let mut mark = self.ledger.audit_mark(self.instance).await?.unwrap_or(start);
        let mut numbers = CrlNumbers::new();
        planted!(SweepBeforeLog { self.sweep().await?; });
        loop {
            let (lines, next) = self.audit.lines(mark, PAGE).await?;
            if lines.is_empty() || planted!(LogNotReconciled) {
                break;
            }
            planted!(MarkBeforeLines { self.ledger.set_audit_mark(self.instance, next).await?; });
            for line in &lines {
                self.require_next_crl_number(line, &mut numbers).await?;
                self.apply(line, line.at).await?;
                recovered.kinds.add(&line.event);
            }
            recovered.lines += lines.len() as u64;
            mark = next;
            self.ledger.set_audit_mark(self.instance, mark).await?;
        }
        recovered.leases = self.workbench.free_leases(self.instance).await?;
        Ok(recovered)
    }

    /// What a write came to whose line is logged: the line is done with. A write that failed is done by a later sweep
    /// or start, since the line stands: whoever asked has to know.
    pub(crate) fn insist_on_line<T>(&self, line: u64, written: Stored<T>) -> Stored<T> {
        let done = written.map_err(|error| {
            let detail = format!(
                "{}; it stands in the audit log, line {line}, and is done by the server as soon as the ledger can be \
                 written, if it is not done already",
                error.detail
            );
            StoreError::new(error.kind, detail)
        })?;
        self.audit.applied(line);
        Ok(done)
    }

    /// Keeps in the ledger how far the audit log was applied, so that the next start reads little.
    ///
    /// # Errors
    /// The ledger could not be asked; the old mark is as right as before.
    pub async fn keep_audit_mark(&self) -> Result<(), StoreError> {
        self.ledger.set_audit_mark(self.instance, self.audit.mark()).await
    }

    /// Brings lines into the ledger that were logged longer than a lease ago and whose writer could not do it: the
    /// ledger was away, or its disk full, until he gave up. A writer who is only slow does the same; twice is once.
    pub(crate) async fn bring_in_left_lines(&self) -> Stored<()> {
        loop {
            let (lines, _) = self.audit.lines(self.audit.mark(), 1).await?;
            let now = self.now();
            // One of the future was written before the clock was set back: it may be old.
            let left = |line: &&AuditLine| {
                now.since(line.at) > self.settings.times.issue_lease || line.at.since(now) > BEHIND_MAX
            };
            let Some(line) = lines.first().filter(left) else { return Ok(()) };
            tracing::warn!(line = line.sequence, "a line of the audit log is brought into the ledger late");
            // Dated when it is brought in, at the latest: a time that was accepted meanwhile stays accepted.
            self.apply(line, line.at.min(now)).await.map_err(|error| match error {
                RecoveryError::Store(error) => error,
                older @ (RecoveryError::LedgerOlderThanLog { .. } | RecoveryError::Unfinished { .. }) => {
                    StoreError::new(StoreErrorKind::Corrupt, older.to_string())
                }
            })?;
            self.audit.applied(line.sequence);
        }
    }

    /// A number is written to the ledger before the next one is logged: a crash keeps one of a shard from it at most.
    async fn require_next_crl_number(&self, line: &AuditLine, numbers: &mut CrlNumbers) -> Result<(), RecoveryError> {
        let AuditEvent::CrlNumber { issuer, shard, number } = &line.event else { return Ok(()) };
        let allocated = match numbers.entry((*issuer, *shard)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => {
                let state = self.ledger.crl_state(*issuer, CrlShard::alone(*shard)).await?;
                *unknown.insert(state.allocated)
            }
        };
        if allocated + 1 < *number {
            let what = format!("CRL number {number} of shard {shard}");
            return Err(RecoveryError::LedgerOlderThanLog { sequence: line.sequence, what });
        }
        Ok(())
    }

    /// `at`: when what a signature's line says is to have happened.
    async fn apply(&self, line: &AuditLine, at: Timestamp) -> Result<(), RecoveryError> {
        let older = |what: String| RecoveryError::LedgerOlderThanLog { sequence: line.sequence, what };
        match &line.event {
            AuditEvent::Certificate { .. } if planted!(CertificateLinesIgnored) => {}
            AuditEvent::Precertificate { serial, .. } => {
                self.ledger.mark_good(*serial, at).await?.ok_or_else(|| older(format!("serial {serial}")))?;
            }
            AuditEvent::Certificate { serial, der, .. } => {
                self.require_allocated(*serial, line.sequence).await?;
                let stored = self.ledger.store_final(*serial, der, at).await?;
                if stored.ok_or_else(|| older(format!("serial {serial}")))? == StoredFinal::Detached {
                    self.log_overtaken(*serial).await;
                }
            }
            AuditEvent::Revocation { serial, reason, revoked, by } => {
                self.require_allocated(*serial, line.sequence).await?;
                let (serial, reason, revoked, by) = (*serial, *reason, *revoked, by.clone());
                let revoked = self.ledger.revoke(Revocation { serial, reason, revoked, by: by.clone() }).await?;
                if matches!(revoked, Revoked::Already(_)) && reason == Reason::KeyCompromise {
                    self.ledger.upgrade_to_key_compromise(serial, &by).await?;
                }
            }
            AuditEvent::KeyBlock { spki_hash, by } => {
                let block = KeyBlock { spki_hash: *spki_hash, at: at.min(self.now()).whole_second(), by: by.clone() };
                let blocked = self.ledger.block(block).await?;
                self.account_ended(blocked.account).await;
            }
            AuditEvent::IssuanceStopped { stop } => {
                self.bring_in_stop(stop).await?;
            }
            AuditEvent::IssuanceResumed { number, since, ended, .. } => {
                if !self.bring_in_end(*number, *since, *ended).await? {
                    return Err(older(format!("stop {number} of issuance")));
                }
            }
            AuditEvent::CrlNumber { issuer, shard, number } => {
                self.ledger.allocate_crl_number(*issuer, *shard, *number, at.min(self.now())).await?;
            }
            AuditEvent::Authority { der } => self.keep_authority(der).await?,
            AuditEvent::OcspResponder { serial, der } => {
                if !self.ledger.store_responder(*serial, der).await? {
                    return Err(older(format!("serial {serial} of an OCSP responder")));
                }
            }
            AuditEvent::ClockAccepted { newest, .. } => {
                let standing = self.ledger.newest().await?.at;
                // Only if the ledger has not heard of it: what was written since then counts.
                if standing <= *newest && newest.since(standing) <= NEWEST_PRECISION && standing > line.at {
                    self.ledger.accept_time(line.at).await?;
                }
            }
            AuditEvent::Begun { .. }
            | AuditEvent::Recovered { .. }
            | AuditEvent::Crl { .. }
            | AuditEvent::Continued { .. }
            | AuditEvent::CheckpointKey { .. }
            | AuditEvent::Checkpoint { .. } => {}
        }
        Ok(())
    }

    /// A certificate that came too late was revoked with the write that stored it. Its line in the log is for whoever
    /// has to restore the ledger from that: without it he would take the certificate for its order's. Nothing else
    /// depends on it.
    pub(crate) async fn log_overtaken(&self, serial: Serial) {
        let logged = async {
            let revocation = self.ledger.serial(serial).await?.and_then(|record| record.revocation);
            let Some(Revocation { reason, revoked, by, .. }) = revocation.filter(Revocation::is_overtaken) else {
                return Ok(());
            };
            let line = self.audit.append(AuditEvent::Revocation { serial, reason, revoked, by }).await?;
            self.audit.applied(line);
            Ok::<(), StoreError>(())
        };
        if let Err(error) = logged.await {
            tracing::warn!(%serial, %error, "the end of a certificate that came too late was not logged");
        }
    }

    async fn require_allocated(&self, serial: Serial, sequence: u64) -> Result<(), RecoveryError> {
        match self.ledger.serial(serial).await? {
            Some(_) => Ok(()),
            None => Err(RecoveryError::LedgerOlderThanLog { sequence, what: format!("serial {serial}") }),
        }
    }

    async fn keep_authority(&self, der: &[u8]) -> Result<(), RecoveryError> {
        if let Ok(certificate) = Certificate::from_der(der) {
            self.ledger.store_authority(certificate.fingerprint(), der).await?;
        }
        Ok(())
    }
}
