//! Restoration: a ledger that is older than an audit log, as after a restored backup, is given back what that log
//! holds. Nothing is signed here, and no key is needed; nothing else may run beside it.

use std::collections::BTreeSet;
use std::time::Duration;

use acme::{DnsName, Identifier, Problem, ProblemType};
use futures_util::future::try_join_all;
use pki::{Certificate, GeneralName, LogId, Serial, Sha256, Timestamp};

use crate::crl::{CrlScheme, NUMBER_MAX};
use crate::order::{Failure, Order, Progress, Stage};
use crate::ports::{
    AuditEvent, AuditLine, AuditLog, AuditMark, AuditSource, CrlGenerationId, CrlShard, KeyBlock, Ledger, LineCounts,
    RecoveryRecord, ResponderRecord, Restore, RestoredLine, RestoredSignature, Revocation, SerialRecord, SerialStatus,
    StopRecord, StoreError, StoreErrorKind, Stored, Workbench,
};
use crate::validity::AskedValidity;
use crate::{AccountId, InstanceId, OrderId};

/// Lines of one transaction.
const PAGE: usize = 256;
/// BR 6.3.2: no certificate of the time before 2026 was valid for longer. What is revoked and otherwise unknown stays
/// on CRLs for so long.
const LIFETIME_MAX: Duration = Duration::from_secs(398 * 86_400);
/// What is wrong with a list of generations that an earlier backup has brought back.
const NO_GENERATION: &str = "which is in no generation of CRL shards that this CA knows: put the newest published.toml \
    of it in its data folder";

/// A line that speaks of what the ledger never knew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its number.
    pub sequence: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What it speaks of.
    pub what: String,
}

/// What stands in an audit log behind the ledger's mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// A recovery that was broken off, from whichever log.
    pub unfinished: Option<RecoveryRecord>,
    /// The first line of which the ledger can't know by a crash alone. `None`: a start brings in what is missing.
    pub unknown: Option<Unknown>,
    /// When the last line before that was written; without such a line, the last one of all.
    pub since: Option<Timestamp>,
    /// When the last line of the log was written.
    pub until: Option<Timestamp>,
    /// What the lines behind the mark are.
    pub behind: LineCounts,
    /// Those of them whose contents the ledger lacks.
    pub missing: LineCounts,
    /// Built-in logs that ended with earlier recoveries that the log shows.
    pub retired: Vec<LogId>,
    /// Why nothing can be restored from it: a line that can't be read, or that this CA did not sign.
    pub fault: Option<String>,
}

impl Survey {
    /// Whether nothing may be signed before the ledger was restored.
    pub const fn is_needed(&self) -> bool {
        self.unknown.is_some() || self.unfinished.is_some()
    }
}

/// Restores one ledger from one audit log.
pub struct Restoration<'a> {
    /// What is restored.
    pub ledger: &'a dyn Ledger,
    /// Which may know orders that the ledger does not.
    pub workbench: &'a dyn Workbench,
    /// The log.
    pub log: &'a dyn AuditSource,
    /// Whose log it is.
    pub from: InstanceId,
    /// The generations of CRL shards: by the URL that a certificate says, its generation is known.
    pub crls: &'a CrlScheme,
}

/// CRL numbers that the log announces and the ledger lacks: of which issuer and shard.
type CrlNumbers = BTreeSet<(Sha256, u16, u64)>;

/// What a line means to the ledger as it is.
enum Means {
    /// Nothing new.
    Known,
    /// What a crash may have kept from it.
    Missing,
    /// What it never knew.
    Unknown(String),
}

impl Restoration<'_> {
    /// Whether the ledger has to be restored before anything is signed. Reads only.
    ///
    /// # Errors
    /// Ledger or log can't be read.
    pub async fn is_needed(&self) -> Stored<Option<Unknown>> {
        let (mut mark, mut numbers) = (self.mark().await?, CrlNumbers::new());
        loop {
            let (lines, next) = self.log.page(mark, PAGE).await?;
            if lines.is_empty() {
                return Ok(None);
            }
            for line in &lines {
                if let Means::Unknown(what) = self.means(line, &mut numbers).await? {
                    return Ok(Some(Unknown { sequence: line.sequence, at: line.at, what }));
                }
            }
            mark = next;
        }
    }

    /// What the log holds that the ledger lacks, and whether all of it can be restored: each certificate is verified
    /// under those of this CA itself, of which `own` are some. Reads only. `progress` is told how many lines were read.
    ///
    /// # Errors
    /// Ledger or log can't be read.
    pub async fn survey(&self, own: &[Certificate], progress: &mut (dyn FnMut(u64) + Send)) -> Stored<Survey> {
        let unfinished = self.ledger.recoveries().await?.into_iter().find(|one| one.ended.is_none());
        let mut mark = self.mark().await?;
        let last = self.log.before(mark).await?.map(|line| line.at);
        let mut survey = Survey {
            unfinished,
            unknown: None,
            since: last,
            until: last,
            behind: LineCounts::default(),
            missing: LineCounts::default(),
            retired: Vec::new(),
            fault: None,
        };
        let (mut authorities, mut numbers) = (self.authorities(own).await?, CrlNumbers::new());
        loop {
            let (lines, next) = self.log.page(mark, PAGE).await?;
            if lines.is_empty() {
                return Ok(survey);
            }
            for line in &lines {
                let means = self.means(line, &mut numbers).await?;
                survey.add(line, means);
                match self.read(line, &mut authorities).await {
                    Err(error) if error.kind == StoreErrorKind::Corrupt => {
                        survey.fault.get_or_insert(error.detail);
                    }
                    read => drop(read?),
                }
            }
            mark = next;
            progress(mark.sequence);
        }
    }

    /// Certificates of this CA itself: the given ones first, then what the ledger has kept of earlier ones.
    async fn authorities(&self, own: &[Certificate]) -> Stored<Authorities> {
        let kept = self.ledger.authorities().await?;
        let kept = kept.iter().filter_map(|der| Certificate::from_der(der).ok());
        Ok(Authorities(own.iter().cloned().chain(kept).collect()))
    }

    async fn mark(&self) -> Stored<AuditMark> {
        let start = AuditMark { sequence: 0, chain: Sha256::from_bytes([0; 32]) };
        Ok(self.ledger.audit_mark(self.from).await?.unwrap_or(start))
    }

    async fn means(&self, line: &AuditLine, numbers: &mut CrlNumbers) -> Stored<Means> {
        let of_serial = async |serial: Serial, lacks: fn(&SerialRecord) -> bool| {
            Stored::Ok(match self.ledger.serial(serial).await? {
                None => Means::Unknown(format!("serial {serial}")),
                Some(record) if lacks(&record) => Means::Missing,
                Some(_) => Means::Known,
            })
        };
        let missing = |is_missing: bool| if is_missing { Means::Missing } else { Means::Known };
        match &line.event {
            AuditEvent::Precertificate { serial, .. } => {
                of_serial(*serial, |record| record.status == SerialStatus::Wait).await
            }
            // Its precertificate was on record before a log was asked for it.
            AuditEvent::Certificate { serial, .. }
                if self
                    .ledger
                    .serial(*serial)
                    .await?
                    .is_some_and(|record| record.ct && record.status == SerialStatus::Wait) =>
            {
                Ok(Means::Unknown(format!("the certificate of serial {serial}, whose precertificate it lacks")))
            }
            AuditEvent::Certificate { serial, .. } => of_serial(*serial, |record| record.certificate.is_none()).await,
            AuditEvent::Revocation { serial, .. } => of_serial(*serial, |record| record.revocation.is_none()).await,
            AuditEvent::KeyBlock { spki_hash, .. } => Ok(missing(!self.ledger.is_blocked(*spki_hash).await?)),
            AuditEvent::IssuanceStopped { stop } => {
                let known = self.ledger.stops_of(stop.number, Some(stop.since)).await?;
                Ok(missing(!known.iter().any(|known| known.is(stop))))
            }
            AuditEvent::IssuanceResumed { number, since, .. } => {
                let known = self.ledger.stops_of(*number, *since).await?;
                Ok(match StopRecord::meant_by(&known, *number, *since) {
                    None => Means::Unknown(format!("stop {number} of issuance")),
                    Some(stop) => missing(stop.ended.is_none()),
                })
            }
            AuditEvent::CrlNumber { issuer, shard, number } => {
                let allocated = self.ledger.crl_state(*issuer, CrlShard::alone(*shard)).await?.allocated;
                if allocated + 1 < *number {
                    return Ok(Means::Unknown(format!("CRL number {number} of shard {shard}")));
                }
                if allocated < *number {
                    numbers.insert((*issuer, *shard, *number));
                }
                Ok(missing(allocated < *number))
            }
            // Its number was on record before it was signed.
            AuditEvent::Crl { issuer, shard, number, .. } if numbers.contains(&(*issuer, *shard, *number)) => {
                Ok(Means::Unknown(format!("CRL {number} of shard {shard}")))
            }
            AuditEvent::OcspResponder { serial, .. } => Ok(match self.ledger.responder(*serial).await? {
                None => Means::Unknown(format!("serial {serial} of an OCSP responder")),
                Some(record) => missing(record.certificate.is_none()),
            }),
            AuditEvent::Authority { .. }
            | AuditEvent::Begun { .. }
            | AuditEvent::Continued { .. }
            | AuditEvent::CheckpointKey { .. }
            | AuditEvent::Checkpoint { .. }
            | AuditEvent::ClockAccepted { .. }
            | AuditEvent::Crl { .. }
            | AuditEvent::Recovered { .. } => Ok(Means::Known),
        }
    }

    /// Restores what the log holds, and settles the orders: all that a ledger can be given back. `begin` says what is
    /// kept of the recovery if it was not begun before; it is not ended here ([`Restoration::finish`]). Broken off at
    /// any point and begun again, it goes on. `progress` is told how many lines were read. Nothing is begun before a
    /// survey found that all of it can be restored.
    ///
    /// # Errors
    /// What stands in the log can't be restored, or a store could not be asked.
    pub async fn restore(
        &self,
        (survey, begin): (&Survey, RecoveryRecord),
        own: &[Certificate],
        now: Timestamp,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Stored<RecoveryRecord> {
        if let Some(fault) = &survey.fault {
            return Err(corrupt(fault.clone()));
        }
        let recovery = self.ledger.begin_recovery(begin).await?;
        if recovery.from != self.from {
            let detail = format!("a recovery from the log of instance {} has to be ended first", recovery.from);
            return Err(StoreError::new(StoreErrorKind::Unavailable, detail));
        }
        let mut authorities = self.authorities(own).await?;
        let mut mark = self.mark().await?;
        loop {
            let (lines, next) = self.log.page(mark, PAGE).await?;
            if lines.is_empty() {
                break;
            }
            let mut page = Vec::with_capacity(lines.len());
            for line in &lines {
                page.extend(self.read(line, &mut authorities).await?);
            }
            mark = next;
            let restore = Restore { from: self.from, lines: page, mark, at: now };
            self.ledger.restore(restore).await?.ok_or_else(|| corrupt("the recovery is not on record".to_owned()))?;
            for line in &lines {
                accept_clock(self.ledger, line).await?;
            }
            progress(mark.sequence);
        }
        self.settle_all(now).await?;
        let recoveries = self.ledger.recoveries().await?;
        Ok(recoveries.into_iter().find(|one| one.number == recovery.number).unwrap_or(recovery))
    }

    /// Ends the recovery: what was done is logged, then the ledger may be used again.
    ///
    /// # Errors
    /// The log or the ledger could not be written; the recovery goes on when it is begun again.
    pub async fn finish(&self, recovery: &RecoveryRecord, audit: &dyn AuditLog, now: Timestamp) -> Stored<()> {
        let RecoveryRecord { from, first, since, until, begun, restored, ref retired, .. } = *recovery;
        let retired = retired.clone();
        let line = audit.append(AuditEvent::Recovered { from, first, since, until, begun, restored, retired }).await?;
        audit.applied(line);
        self.workbench.free_leases(from).await?;
        self.ledger.end_recovery(recovery.number, now).await?;
        Ok(())
    }

    async fn read(&self, line: &AuditLine, authorities: &mut Authorities) -> Stored<Option<RestoredLine>> {
        let unreadable = |what: String| corrupt(format!("line {} of the audit log: {what}", line.sequence));
        Ok(Some(match &line.event {
            AuditEvent::Precertificate { order, serial, der } | AuditEvent::Certificate { order, serial, der } => {
                let certificate = Certificate::from_der(der).map_err(|error| unreadable(error.to_string()))?;
                if certificate.serial() != *serial {
                    return Err(unreadable(format!("its certificate has serial {}", certificate.serial())));
                }
                let issuer = authorities.issuer_of(&certificate).map_err(unreadable)?;
                let is_final = matches!(line.event, AuditEvent::Certificate { .. });
                let ct = !is_final || certificate.scts().is_ok_and(|scts| !scts.is_empty());
                RestoredLine::Signature(Box::new(RestoredSignature {
                    serial: *serial,
                    order: self.order(*order, certificate.names(), line.at).await?,
                    issuer,
                    ct,
                    is_final,
                    der: der.clone(),
                    spki_hash: certificate.public_key().spki_hash(),
                    names: certificate.names().clone(),
                    not_after: certificate.validity().not_after,
                    crl_generation: self.crl_generation(&certificate, &issuer).map_err(unreadable)?,
                    at: line.at,
                }))
            }
            AuditEvent::Revocation { serial, reason, revoked, by } => {
                // The issuer stands first, below all others.
                let issuer = authorities.0.first().ok_or_else(|| unreadable("no issuer is known".to_owned()))?;
                RestoredLine::Revocation {
                    revocation: Revocation { serial: *serial, reason: *reason, revoked: *revoked, by: by.clone() },
                    issuer: issuer.public_key().spki_hash(),
                    not_after: revoked.plus(LIFETIME_MAX).whole_second(),
                    crl_generation: self.crls.current().id,
                    order: Box::new(unknown_order(order_named_by(*serial), &BTreeSet::new(), *revoked)),
                }
            }
            AuditEvent::KeyBlock { spki_hash, by } => {
                RestoredLine::KeyBlock(KeyBlock { spki_hash: *spki_hash, at: line.at, by: by.clone() })
            }
            AuditEvent::IssuanceStopped { stop } => RestoredLine::Stop(stop.clone()),
            AuditEvent::IssuanceResumed { number, since, ended, .. } => {
                RestoredLine::Resume { number: *number, since: *since, at: *ended }
            }
            AuditEvent::CrlNumber { issuer, shard, number } | AuditEvent::Crl { issuer, shard, number, .. } => {
                self.check_crl_number((issuer, *shard, *number), authorities).map_err(unreadable)?;
                RestoredLine::CrlNumber { issuer: *issuer, shard: *shard, number: *number }
            }
            AuditEvent::Authority { der } => {
                let certificate = Certificate::from_der(der).map_err(|error| unreadable(error.to_string()))?;
                let id = certificate.fingerprint();
                // Another CA's, as a cross-sign's: nothing is verified under it.
                if !authorities.admit(certificate) {
                    return Ok(None);
                }
                RestoredLine::Authority { id, der: der.clone() }
            }
            AuditEvent::OcspResponder { serial, der } => {
                let record = responder((*serial, der), authorities, line.at).map_err(unreadable)?;
                RestoredLine::Responder(Box::new(record))
            }
            AuditEvent::Begun { .. }
            | AuditEvent::Continued { .. }
            | AuditEvent::CheckpointKey { .. }
            | AuditEvent::Checkpoint { .. }
            | AuditEvent::ClockAccepted { .. }
            | AuditEvent::Recovered { .. } => return Ok(None),
        }))
    }

    fn check_crl_number(
        &self,
        (issuer, shard, number): (&Sha256, u16, u64),
        authorities: &Authorities,
    ) -> Result<(), String> {
        if !authorities.0.iter().any(|one| one.public_key().spki_hash() == *issuer) {
            return Err(format!("it is of a CRL of issuer {issuer}, which is none of this CA's"));
        }
        if number > NUMBER_MAX {
            return Err(format!("CRL number {number} is none that this CA has come to"));
        }
        match self.crls.shard(shard) {
            Some(_) => Ok(()),
            None => Err(format!("it is of CRL shard {shard}, {NO_GENERATION}")),
        }
    }

    /// The generation of CRL shards that a certificate says. One that says none is in that of new certificates.
    fn crl_generation(&self, certificate: &Certificate, issuer: &Sha256) -> Result<CrlGenerationId, String> {
        let Some(url) = certificate.crl_url() else { return Ok(self.crls.current().id) };
        let found = self.crls.generation_at(issuer, certificate.serial(), url);
        found.ok_or_else(|| format!("its certificate says the CRL {url}, {NO_GENERATION}"))
    }

    /// The order as a store knows it, or as much of it as follows from its certificate.
    async fn order(&self, id: OrderId, names: &BTreeSet<GeneralName>, at: Timestamp) -> Stored<Order> {
        if let Some(known) = self.ledger.order(id).await? {
            return Ok(known.order);
        }
        let active = self.workbench.read(id).await?;
        Ok(active.map_or_else(|| unknown_order(id, names, at), |active| active.order))
    }

    /// Decides what became of each order whose end the log may show, now that all of it was read.
    async fn settle_all(&self, now: Timestamp) -> Stored<()> {
        loop {
            let page = self.ledger.unsettled(u32::try_from(PAGE).unwrap_or(u32::MAX)).await?;
            if page.is_empty() {
                return Ok(());
            }
            try_join_all(page.iter().map(|record| self.settle(record, now))).await?;
        }
    }

    /// An order that stands on the workbench goes on, if it has not ended; any other has nobody to go on with it.
    async fn settle(&self, record: &SerialRecord, now: Timestamp) -> Stored<()> {
        let is_active = self.workbench.read(record.order).await?.is_some();
        let given_up = (!is_active).then(|| Failure {
            stage: Stage::Issue,
            problem: Problem::new(
                ProblemType::ServerInternal,
                "the order was lost when the CA was restored from a backup (stage issue); make a new order",
            ),
        });
        self.ledger.settle_restored(record.serial, given_up, now).await?;
        if is_active && let Some((end, ended)) = self.ledger.order(record.order).await?.and_then(|known| known.end) {
            self.workbench.settle(record.order, &[], Some((end.into(), ended))).await?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Restoration<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Restoration(from {})", self.from)
    }
}

impl Survey {
    fn add(&mut self, line: &AuditLine, means: Means) {
        self.behind.add(&line.event);
        if let AuditEvent::Recovered { retired, .. } = &line.event {
            self.retired.extend(retired);
        }
        match means {
            Means::Known => {}
            Means::Missing => self.missing.add(&line.event),
            Means::Unknown(what) => {
                self.missing.add(&line.event);
                self.unknown.get_or_insert(Unknown { sequence: line.sequence, at: line.at, what });
            }
        }
        if self.unknown.is_none() {
            self.since = Some(line.at);
        }
        self.until = Some(line.at);
    }
}

/// What an operator said of the clock counts once: what was written since then counts.
pub(crate) async fn accept_clock(ledger: &dyn Ledger, line: &AuditLine) -> Stored<()> {
    if let AuditEvent::ClockAccepted { newest, .. } = &line.event {
        let standing = ledger.newest().await?.at;
        if standing <= *newest && standing > line.at {
            ledger.accept_time(line.at).await?;
        }
    }
    Ok(())
}

/// Certificates of this CA itself, under which others are verified.
struct Authorities(Vec<Certificate>);

/// What a line shows of an OCSP responder.
fn responder(
    (serial, der): (Serial, &[u8]),
    authorities: &Authorities,
    made: Timestamp,
) -> Result<ResponderRecord, String> {
    let certificate = Certificate::from_der(der).map_err(|error| error.to_string())?;
    Ok(ResponderRecord {
        serial,
        issuer: authorities.issuer_of(&certificate)?,
        spki_hash: certificate.public_key().spki_hash(),
        made,
        not_after: certificate.validity().not_after,
        linting_certificate: der.to_vec(),
        certificate: Some(der.to_vec()),
    })
}

impl Authorities {
    /// Whether it is one of this CA's: known, or a CA certificate that one of them signed. Then it counts as well.
    fn admit(&mut self, certificate: Certificate) -> bool {
        if self.0.contains(&certificate) {
            return true;
        }
        let signed = |above: &Certificate| {
            above.subject() == certificate.issuer() && certificate.verify_signed_by(above.public_key()).is_ok()
        };
        let is_ours = certificate.is_authority() && certificate.signs_certificates() && self.0.iter().any(signed);
        if is_ours {
            self.0.push(certificate);
        }
        is_ours
    }

    /// The id of the issuer that signed this, which is verified.
    fn issuer_of(&self, certificate: &Certificate) -> Result<Sha256, String> {
        let is_named = |one: &&Certificate| {
            one.subject() == certificate.issuer() && certificate.authority_key_identifier() == one.key_identifier()
        };
        let mut wrong = None;
        for issuer in self.0.iter().filter(is_named) {
            match certificate.verify_signed_by(issuer.public_key()) {
                Ok(()) => return Ok(issuer.public_key().spki_hash()),
                Err(error) => wrong = Some(format!("its signature is wrong: {error}")),
            }
        }
        Err(wrong.unwrap_or_else(|| {
            format!(
                "serial {} was issued by {}, which is neither in the data folder nor, under a certificate of this CA, \
                 in the log: if the log is this CA's, bring keys and certificates of that time back first",
                certificate.serial(),
                certificate.issuer()
            )
        }))
    }
}

/// What is known of an order from its certificate alone.
fn unknown_order(id: OrderId, names: &BTreeSet<GeneralName>, at: Timestamp) -> Order {
    Order {
        id,
        account: AccountId::UNKNOWN,
        profile: String::new(),
        identifiers: names.iter().filter_map(identifier).collect(),
        validity: AskedValidity::default(),
        replaces: None,
        method: None,
        created: at,
        expires: at,
        authorizations: Vec::new(),
        progress: Progress::TestChallenge,
    }
}

fn identifier(name: &GeneralName) -> Option<Identifier> {
    match name {
        GeneralName::Dns(name) => match name.strip_prefix("*.") {
            Some(below) => DnsName::parse(below).ok().map(Identifier::Wildcard),
            None => DnsName::parse(name).ok().map(Identifier::Dns),
        },
        GeneralName::Ip(address) => Some(Identifier::Ip(*address)),
    }
}

/// An order of its own for a serial of which nothing else is known: the same each time.
fn order_named_by(serial: Serial) -> OrderId {
    let hash = Sha256::of_parts(&[b"restored ", serial.as_bytes()]);
    let mut id = [0; 16];
    id.copy_from_slice(&hash.as_bytes()[..16]);
    OrderId::from_bytes(id)
}

fn corrupt(detail: String) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, detail)
}
