//! Repairing what can be repaired without a signature: a plan, and its carrying out on the store of a stopped server.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ca::ports::{AuditEvent, AuditLine, Clock, KeyBlock, Ledger, Revocation, StopRecord, StoreError, Stored};
use ca::{Ca, RecoveryError};
use pki::{Serial, Sha256, Timestamp};
use store::audit::{AuditLogError, AuditReader};
use store::instance::{Instance, InstanceError};
use store::sqlite::{Database, FILE_NAME, Mend, OpenError, OpenOptions};

use super::keyless;
use super::{Progress, Records, RecordsError, Report, Rules, check};
use crate::config::Config;
use crate::world::{SystemClock, SystemRandom};

/// A mended record may show what another one lacks; more often than this nothing new comes of it.
const ROUNDS: usize = 6;
/// Lines of the audit log read at a time.
const LINES: usize = 256;

/// What mends a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// A change in the store's file.
    Mend(Mend),
    /// A key is blocked, as the audit log announces.
    Block {
        /// SHA-256 of its SubjectPublicKeyInfo.
        spki_hash: Sha256,
        /// Who asked.
        by: String,
    },
    /// Issuance is stopped, as the audit log announces.
    Stop(StopRecord),
    /// A stop of issuance ends, as the audit log announces.
    Resume {
        /// Which.
        number: u64,
        /// When it began, if the log says so.
        since: Option<Timestamp>,
        /// When it ended.
        at: Timestamp,
    },
    /// The account that has a blocked key ends.
    EndAccount {
        /// SHA-256 of the key's SubjectPublicKeyInfo.
        spki_hash: Sha256,
    },
    /// A CRL number is allocated, as the audit log announces.
    CrlNumber {
        /// The issuer.
        issuer: Sha256,
        /// The shard.
        shard: u16,
        /// The number.
        number: u64,
    },
    /// The certificate of an OCSP responder is stored, as the audit log has it.
    Responder {
        /// Its serial.
        serial: Serial,
        /// The whole of it.
        der: Vec<u8>,
    },
    /// What the audit log says of a serial is brought into the ledger.
    FromLog(Serial),
    /// What each start does: lines of the audit log that the ledger doesn't have, leases, deadlines, retention.
    Start,
}

impl Repair {
    /// What would be done, for people.
    pub fn plan(&self) -> String {
        match self {
            Self::Mend(mend) => plan(mend),
            Self::Block { spki_hash, .. } => format!("block key {spki_hash}, as the audit log says"),
            Self::Stop(stop) => format!("stop issuance for {}, as the audit log says", stop.scope),
            Self::Resume { number, .. } => format!("end stop {number} of issuance, as the audit log says"),
            Self::EndAccount { .. } => "end it, as the block of its key does".to_owned(),
            Self::CrlNumber { number, shard, .. } => format!("allocate CRL number {number} of shard {shard}"),
            Self::Responder { serial, .. } => format!("store the certificate of OCSP responder {serial}"),
            Self::FromLog(serial) => format!("bring what the audit log has of {serial} into the ledger"),
            Self::Start => "do what each start does: audit log, leases, deadlines, retention".to_owned(),
        }
    }

    /// The last thing to be done: what is mended before may make it needless.
    const fn is_last(&self) -> bool {
        matches!(self, Self::Mend(Mend::Crl { .. }))
    }
}

fn plan(mend: &Mend) -> String {
    match mend {
        Mend::Order(_) | Mend::ActiveRow(_) => {
            "write its end as the ledger has it, its stage, its columns, and put it where it belongs; one that can't \
             be read is brought back from the ledger or taken out"
                .to_owned()
        }
        Mend::BringBack(_) => "bring it back to the workbench, as the ledger has it".to_owned(),
        Mend::Row(table, _) => format!("write the columns of {} anew from what they follow from", table.name()),
        Mend::Counts | Mend::ExternalKeyCounts => "count anew".to_owned(),
        Mend::Indexes => "make all indexes anew from their tables".to_owned(),
        Mend::Orphans => "remove rows that find nothing".to_owned(),
        Mend::EndWith(serial) => format!("end its order valid, with serial {serial}"),
        Mend::Supersede(serial) => format!("revoke {serial} (superseded)"),
        Mend::Good(serial, at) => format!("note that {serial} is good since {at}"),
        Mend::Revocation(revocation) => format!("write the revocation of {}", revocation.serial),
        Mend::Certificate { serial, .. } => format!("store the certificate {serial} as the audit log has it"),
        Mend::Replacement { serial, order } => format!("give order {order} the place of {serial}"),
        Mend::Stop(stop) => format!("write stop {} of issuance as the audit log has it", stop.number),
        Mend::OpenBlock(_) => "have a worker revoke what is left of its key".to_owned(),
        Mend::Crl { .. } => "forget the stored CRL: the next start makes a new one".to_owned(),
    }
}

/// Why nothing could be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The folder is another's, or held.
    #[error("{0}; a store is repaired while no server runs on it")]
    Instance(#[from] InstanceError),
    /// The store can't be opened.
    #[error("store: {0}")]
    Open(#[from] OpenError),
    /// Its records can't be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The audit log can't be opened.
    #[error("audit log: {0}")]
    Audit(#[from] AuditLogError),
    /// A read or a write failed.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// What each start does could not be done.
    #[error("{0}; what was repaired before stays so")]
    Recovery(#[from] RecoveryError),
    /// The ledger is from a backup.
    #[error(
        "the audit log has signatures for serials that the ledger never allocated: the store is older than its log, as \
         after a restored backup. Nothing was changed: `cairn recover` is for this"
    )]
    Older,
    /// A recovery of the ledger was broken off.
    #[error(
        "the ledger is being restored, and not all of it is done. Nothing was changed: `cairn recover` goes on with it"
    )]
    BeingRestored,
}

/// What was done to a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The order, serial, table, …
    pub subject: String,
    /// What was done.
    pub what: String,
}

/// What a repair came to.
#[derive(Debug)]
pub struct Repaired {
    /// What was done, in this order.
    pub done: Vec<Done>,
    /// What could not be done: the subject, and why.
    pub failed: Vec<(String, StoreError)>,
    /// What a look at everything found afterwards.
    pub report: Report,
}

/// Repairs what can be repaired without a signature, on the folder of a stopped server. Each change is one transaction
/// that looks again before it writes, so that a repair that was cut off is taken up by the next one.
///
/// # Errors
/// See [`RepairError`]; what was done before stays done.
pub async fn repair(
    config: &Config,
    rules: Rules,
    progress: &mut dyn FnMut(Progress),
) -> Result<Repaired, RepairError> {
    // Nothing is made where nothing is: taking the folder would begin a new CA in it.
    Instance::peek(&config.data)?;
    let instance = Instance::take(&config.data, &SystemRandom)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let database = Database::open(config.data.join(FILE_NAME), OpenOptions::default())?;
    let repairs =
        Repairs { data: &config.data, ledger: Arc::new(database.ledger(Arc::clone(&clock))), database, clock };
    let (mut done, mut failed, mut started) = (Vec::new(), Vec::new(), false);
    for _ in 0..ROUNDS {
        let report = check(&Records::open(&config.data)?, rules.clone(), progress).await?;
        if report.is_being_restored() {
            return Err(RepairError::BeingRestored);
        }
        if report.is_older_than_the_log() {
            return Err(RepairError::Older);
        }
        let mended;
        (mended, failed) = repairs.all(&report).await?;
        let again = !mended.is_empty();
        done.extend(mended);
        if again {
            continue;
        }
        if started || !report.repairs().any(|(_, repair)| *repair == Repair::Start) {
            return Ok(Repaired { done, failed, report });
        }
        let ca = keyless::ca(config, &instance, &repairs.database, &repairs.clock)?;
        done.push(Done { subject: "the start".to_owned(), what: start(&ca).await? });
        started = true;
    }
    let report = check(&Records::open(&config.data)?, rules, progress).await?;
    Ok(Repaired { done, failed, report })
}

/// What each start does before it serves.
async fn start(ca: &Ca) -> Result<String, RepairError> {
    let recovered = ca.recover().await?;
    let swept = ca.sweep().await?;
    let blocked = ca.revoke_blocked_keys(&|| false).await?;
    ca.keep_audit_mark().await?;
    Ok(format!(
        "lines of the audit log brought in: {}; leases freed: {}; orders put back on their queues: {}, dead at their \
         deadline: {}, past their retention: {}; serials of blocked keys revoked: {}",
        recovered.lines, recovered.leases, swept.requeued, swept.died, swept.retired, blocked.serials
    ))
}

type Failed = Vec<(String, StoreError)>;

struct Repairs<'a> {
    data: &'a Path,
    ledger: Arc<dyn Ledger>,
    database: Database,
    clock: Arc<dyn Clock>,
}

impl Repairs<'_> {
    /// All that a report has repairs for, but for what only the start does; and what of it could not be done, which
    /// keeps nothing else from being done.
    async fn all(&self, report: &Report) -> Result<(Vec<Done>, Failed), RepairError> {
        let last = report.repairs().all(|(_, repair)| repair.is_last() || *repair == Repair::Start);
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        let mut logged: BTreeMap<Serial, String> = BTreeMap::new();
        for (subject, repair) in report.repairs().filter(|(_, repair)| last || !repair.is_last()) {
            if let Repair::FromLog(serial) = repair {
                logged.insert(*serial, subject.to_owned());
            }
            match self.one(repair).await {
                Ok(what) => done.extend(what.map(|what| Done { subject: subject.to_owned(), what })),
                Err(error) => failed.push((subject.to_owned(), error)),
            }
        }
        if !logged.is_empty() {
            self.bring_in(&logged, (&mut done, &mut failed)).await?;
        }
        Ok((done, failed))
    }

    /// What was done, if anything had to be.
    async fn one(&self, repair: &Repair) -> Stored<Option<String>> {
        match repair {
            Repair::Mend(mend) => self.mend(mend).await,
            Repair::Block { spki_hash, by } => self.block(*spki_hash, by).await,
            Repair::Stop(stop) => {
                let known = self.ledger.stops_of(stop.number, Some(stop.since)).await?;
                if known.iter().any(|known| known.is(stop)) {
                    return Ok(None);
                }
                // Its number may be another one's: of two processes, or of one whose write failed.
                let last = self.ledger.stops(false, 1).await?.first().map_or(0, |last| last.number);
                let mut stopped = stop.clone();
                if !known.is_empty() {
                    stopped.number = last + 1;
                }
                Ok(self.ledger.stop(stopped.clone()).await?.then(|| stopped.to_string()))
            }
            Repair::Resume { number, since, at } => {
                let known = self.ledger.stops_of(*number, *since).await?;
                let meant = StopRecord::meant_by(&known, *number, *since).filter(|stop| stop.ended.is_none());
                let Some(StopRecord { number, .. }) = meant else { return Ok(None) };
                self.ledger.resume(*number, *at).await?;
                Ok(Some(format!("stop {number} of issuance has ended")))
            }
            Repair::EndAccount { spki_hash } => {
                let ended = self.ledger.settle_block(*spki_hash, self.clock.now()).await?.account;
                Ok(ended.map(|account| format!("account {account} has ended")))
            }
            Repair::CrlNumber { issuer, shard, number } => {
                let allocated = self.ledger.allocate_crl_number(*issuer, *shard, *number, self.clock.now()).await?;
                Ok(allocated.then(|| format!("CRL number {number} is allocated")))
            }
            Repair::Responder { serial, der } => {
                let stored = self.ledger.store_responder(*serial, der).await?;
                Ok(stored.then(|| format!("the certificate of OCSP responder {serial} is stored")))
            }
            Repair::FromLog(_) | Repair::Start => Ok(None),
        }
    }

    async fn mend(&self, mend: &Mend) -> Stored<Option<String>> {
        self.database.mend(mend.clone(), self.clock.now()).await
    }

    async fn block(&self, spki_hash: Sha256, by: &str) -> Stored<Option<String>> {
        if self.ledger.is_blocked(spki_hash).await? {
            return Ok(None);
        }
        let block = KeyBlock { spki_hash, at: self.clock.now(), by: by.to_owned() };
        let revoked = self.ledger.block(block).await?.in_issuance.len();
        Ok(Some(format!("the key is blocked; serials revoked with it: {revoked}")))
    }

    /// What the audit log has of these serials, in one walk through it.
    async fn bring_in(
        &self,
        wanted: &BTreeMap<Serial, String>,
        (done, failed): (&mut Vec<Done>, &mut Failed),
    ) -> Result<(), RepairError> {
        let reader = AuditReader::new(&self.data.join("audit"));
        let mut at = reader.first()?;
        loop {
            let (lines, next) = reader.lines(at, LINES)?;
            if lines.is_empty() {
                return Ok(());
            }
            for line in lines {
                let Some((serial, mend)) = told(line) else { continue };
                let Some(subject) = wanted.get(&serial) else { continue };
                match self.mend(&mend).await {
                    Ok(what) => done.extend(what.map(|what| Done { subject: subject.clone(), what })),
                    Err(error) => failed.push((subject.clone(), error)),
                }
            }
            at = next;
        }
    }
}

/// What a line says of a serial.
fn told(line: AuditLine) -> Option<(Serial, Mend)> {
    match line.event {
        AuditEvent::Precertificate { serial, .. } => Some((serial, Mend::Good(serial, line.at))),
        AuditEvent::Certificate { serial, der, .. } => Some((serial, Mend::Certificate { serial, der, at: line.at })),
        AuditEvent::Revocation { serial, reason, revoked, by } => {
            Some((serial, Mend::Revocation(Revocation { serial, reason, revoked, by })))
        }
        AuditEvent::Begun { .. }
        | AuditEvent::KeyBlock { .. }
        | AuditEvent::IssuanceStopped { .. }
        | AuditEvent::IssuanceResumed { .. }
        | AuditEvent::CrlNumber { .. }
        | AuditEvent::Crl { .. }
        | AuditEvent::Authority { .. }
        | AuditEvent::OcspResponder { .. }
        | AuditEvent::Continued { .. }
        | AuditEvent::CheckpointKey { .. }
        | AuditEvent::Checkpoint { .. }
        | AuditEvent::ClockAccepted { .. }
        | AuditEvent::Recovered { .. } => None,
    }
}
