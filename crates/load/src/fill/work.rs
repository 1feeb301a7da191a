//! The work: accounts, certificates, revocations, orders that ended without a certificate, many at a time.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use ca::ports::{AuditEvent, AuditLog, Begin, Clock, IssuanceCaps, Ledger, LintingKey, Revocation, Revoked};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream;
use indicatif::{ProgressBar, ProgressStyle};
use keys::{KeyAlgorithm, KeyPair, ThrowawayKeys};
use pki::{Certificate, DigitallySigned, LogId, PrecertEntry, Reason, Sct, Serial, Sha256, TbsCertificate, Timestamp};
use store::audit::FileAuditLog;
use store::sqlite::SqliteLedger;

use super::Arguments;
use super::draft::{self, Asked, DONE_WITHIN, Drafter, Requested};
use super::folder::Folder;
use super::report::Written;
use super::seed::{Kind, Seed};
use crate::world::System;

/// So many are written at a time, and none is begun before the one so far before it is done: whoever goes on after a
/// crash has to look at no more.
const IN_FLIGHT: u64 = 2048;
/// SCTs in a certificate.
const LOGS: usize = 2;
/// Certificates to be revoked lie so far apart, counted around: a prime, so that none comes twice.
const STRIDE: u64 = 2_654_435_761;
const BY: &str = "cairn-load fill";

/// All that the tasks share.
#[derive(Debug)]
struct Shared {
    arguments: Arguments,
    folder: Folder,
    drafter: Drafter,
    ledger: SqliteLedger,
    /// Where revocations are written down first; not opened if there are none.
    audit: Option<FileAuditLog>,
    throwaway: ThrowawayKeys,
    logs: Vec<KeyPair>,
    profile_hash: Sha256,
    writes: AtomicU64,
}

/// A run.
#[derive(Debug)]
pub(super) struct Work {
    shared: Arc<Shared>,
}

impl Work {
    /// Opens the store.
    pub(super) async fn begin(arguments: Arguments, folder: Folder) -> anyhow::Result<Self> {
        if arguments.revoked > arguments.certificates {
            bail!("{} certificates can't be revoked of {}", arguments.revoked, arguments.certificates);
        }
        let ledger = folder.ledger()?;
        if ledger.recoveries().await?.iter().any(|recovery| recovery.ended.is_none()) {
            bail!("a recovery of this ledger is not done: `cairn recover`, or take a new folder");
        }
        let audit = if arguments.revoked > 0 { Some(folder.audit_log(&ledger).await?) } else { None };
        let span = Duration::from_secs(u64::from(arguments.days) * 86_400);
        let drafter = Drafter {
            seed: Seed(arguments.seed),
            accounts: arguments.accounts,
            names: arguments.names,
            domain: arguments.domain.clone(),
            profile: arguments.profile.clone(),
            ct: arguments.ct,
            one_key: arguments.one_key,
            since: folder.began.minus(span + 2 * DONE_WITHIN),
            span,
        };
        let logs = if arguments.ct { LOGS } else { 0 };
        let logs = (0..logs).map(|_| KeyPair::generate(KeyAlgorithm::P256)).collect::<Result<_, _>>()?;
        let profile_hash = Sha256::of_parts(&[BY.as_bytes(), arguments.profile.as_bytes()]);
        let throwaway = ThrowawayKeys::new();
        throwaway.prepare(folder.issuer.algorithm)?;
        let writes = AtomicU64::new(0);
        let shared = Shared { arguments, folder, drafter, ledger, audit, throwaway, logs, profile_hash, writes };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Writes what is missing.
    pub(super) async fn run(&self) -> anyhow::Result<Written> {
        let Arguments { accounts, certificates, revoked, invalid, .. } = self.shared.arguments;
        let mut written = Written::default();
        let first = self.shared.first_missing(accounts, Shared::has_account).await?;
        written.accounts = self.each("accounts", first..accounts, Shared::write_account).await?;
        let first = self.shared.first_missing(certificates, Shared::has_serial).await?;
        written.certificates = self.each("certificates", first..certificates, Shared::write_certificate).await?;
        written.revocations = self.each("revocations", 0..revoked, Shared::write_revocation).await?;
        if let Some(audit) = &self.shared.audit {
            self.shared.ledger.set_audit_mark(self.shared.folder.instance(), audit.mark()).await?;
        }
        let first = self.shared.first_missing(invalid, Shared::has_invalid).await?;
        written.invalid = self.each("invalid orders", first..invalid, Shared::write_invalid).await?;
        written.writes = self.shared.writes.load(Ordering::Relaxed);
        Ok(written)
    }

    /// Writes all of these, in order, many at a time. How many were not there.
    async fn each<F>(
        &self,
        what: &'static str,
        numbers: std::ops::Range<u64>,
        write: fn(Arc<Shared>, u64) -> F,
    ) -> anyhow::Result<u64>
    where
        F: Future<Output = anyhow::Result<bool>> + Send + 'static,
    {
        let progress = bar(what, &numbers);
        let in_flight = usize::try_from(IN_FLIGHT).unwrap_or(usize::MAX);
        let mut tasks = stream::iter(numbers)
            .map(|number| tokio::spawn(write(Arc::clone(&self.shared), number)))
            .buffered(in_flight);
        let mut written = 0;
        while let Some(task) = tasks.next().await {
            written += u64::from(task.context("a task ended early")?.with_context(|| format!("writing {what}"))?);
            progress.inc(1);
        }
        progress.finish_and_clear();
        Ok(written)
    }

    /// Closes the store.
    pub(super) fn close(self) -> anyhow::Result<Folder> {
        let shared = Arc::into_inner(self.shared).ok_or_else(|| anyhow!("a task has not ended"))?;
        drop(shared.ledger);
        Ok(shared.folder)
    }
}

impl Shared {
    /// From where on some may be missing. What was written by several tasks at a time is looked at again.
    async fn first_missing<'a, F>(&'a self, total: u64, has: fn(&'a Self, u64) -> F) -> anyhow::Result<u64>
    where
        F: Future<Output = anyhow::Result<bool>>,
    {
        let (mut from, mut to) = (0, total);
        while from < to {
            let middle = from + (to - from) / 2;
            if has(self, middle).await? {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        Ok(from.saturating_sub(IN_FLIGHT))
    }

    async fn has_account(&self, number: u64) -> anyhow::Result<bool> {
        Ok(self.ledger.account(self.drafter.account_id(number)).await?.is_some())
    }

    async fn has_serial(&self, number: u64) -> anyhow::Result<bool> {
        Ok(self.ledger.status(self.drafter.serial(number)).await?.is_some())
    }

    async fn has_invalid(&self, number: u64) -> anyhow::Result<bool> {
        let order = self.drafter.asked(Kind::Invalid, number, self.arguments.invalid)?.order;
        Ok(self.ledger.order(order).await?.is_some())
    }

    fn count(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    async fn write_account(self: Arc<Self>, number: u64) -> anyhow::Result<bool> {
        let account = self.drafter.account(number)?;
        self.count();
        Ok(self.ledger.create_account(account).await?.1)
    }

    /// Its names are validated, and what it asks for follows.
    async fn authorize(&self, kind: Kind, number: u64, total: u64) -> anyhow::Result<(Asked, Requested)> {
        let mut asked = self.drafter.asked(kind, number, total)?;
        // One that was cut short, when another number of orders was asked for, has the times of then.
        self.count();
        let first = self.ledger.authorize(self.drafter.authorization(&asked, 0)).await?;
        asked.validated(first.ended);
        let others = (1..asked.names()).map(|place| {
            self.count();
            self.ledger.authorize(self.drafter.authorization(&asked, place))
        });
        try_join_all(others).await?;
        let requested = self.drafter.requested(&asked)?;
        Ok((asked, requested))
    }

    async fn write_certificate(self: Arc<Self>, number: u64) -> anyhow::Result<bool> {
        let serial = self.drafter.serial(number);
        let known = self.ledger.serial(serial).await?;
        if known.as_ref().is_some_and(|record| record.certificate.is_some()) {
            return Ok(false);
        }
        let (tbs, order, begun) = match known {
            // It was cut short: these bytes are on record.
            Some(record) => {
                let linting = Certificate::from_der(&record.linting_certificate)?;
                (linting.tbs().clone(), record.order, record.begun)
            }
            None => {
                let total = self.arguments.certificates;
                let (asked, requested) = self.authorize(Kind::Valid, number, total).await?;
                let tbs = self.drafter.tbs(&self.folder, serial, &requested);
                self.begin(serial, &requested, &tbs).await?;
                (tbs, asked.order, requested.at)
            }
        };
        let at = |millis| begun.plus(Duration::from_millis(millis));
        let der = self.certificate(serial, tbs, at(20)).await?;
        self.count();
        self.ledger.store_final(serial, &der, at(60)).await?.context("the ledger lost a serial")?;
        self.count();
        self.ledger.delivered(order, at(200)).await?;
        self.count();
        self.ledger.acknowledged(order, at(300)).await?;
        Ok(true)
    }

    async fn begin(&self, serial: Serial, requested: &Requested, tbs: &TbsCertificate) -> anyhow::Result<()> {
        let issuer = &self.folder.issuer;
        let signature = self.throwaway.sign(issuer.algorithm, tbs.der()).await?;
        let linting_certificate = tbs.with_signature(issuer.algorithm, &signature);
        let not_after = Certificate::from_der(&linting_certificate)?.validity().not_after;
        self.count();
        let begun = self.ledger.begin(Begin {
            order: &requested.order,
            serial,
            issuer: issuer.id,
            profile_hash: self.profile_hash,
            ct: self.arguments.ct,
            linting_certificate: &linting_certificate,
            spki_hash: requested.key.spki_hash(),
            names: &requested.names,
            not_after,
            crl_generation: self.folder.published.current().id,
            at: requested.at,
            caps: IssuanceCaps { failed: 1, begun: 1, unpaced: 1, pace: Duration::ZERO },
        });
        begun.await?.map(drop).map_err(|refused| anyhow!("{refused}: take another seed, or a new folder"))
    }

    /// Signed by the issuer; with CT it has SCTs in the place of the poison.
    async fn certificate(&self, serial: Serial, tbs: TbsCertificate, at: Timestamp) -> anyhow::Result<Vec<u8>> {
        let issuer = &self.folder.issuer;
        let tbs = if self.arguments.ct {
            self.count();
            self.ledger.mark_good(serial, at).await?;
            tbs.with_scts(&self.scts(&tbs, at)?)?
        } else {
            tbs
        };
        Ok(tbs.with_signature(issuer.algorithm, &issuer.sign(tbs.der())?))
    }

    fn scts(&self, tbs: &TbsCertificate, timestamp: Timestamp) -> anyhow::Result<Vec<Sct>> {
        let entry = PrecertEntry { issuer_key_hash: self.folder.issuer.id, tbs: tbs.without_ct() };
        let data = entry.signed_data(timestamp, &[]);
        let sct = |log: &KeyPair| {
            let signature = log.sign(log.default_signature_algorithm(), &data)?;
            let signature = DigitallySigned::sha256(log.public_key(), signature).context("no key of a CT log")?;
            Ok(Sct { log_id: LogId::of(log.public_key()), timestamp, extensions: Vec::new(), signature })
        };
        self.logs.iter().map(sct).collect()
    }

    async fn write_revocation(self: Arc<Self>, turn: u64) -> anyhow::Result<bool> {
        let total = self.arguments.certificates;
        let number = u128::from(turn) * u128::from(STRIDE) % u128::from(total.max(1));
        let number = u64::try_from(number).unwrap_or_default();
        let serial = self.drafter.serial(number);
        let audit = self.audit.as_ref().context("the audit log is not open")?;
        let status = self.ledger.status(serial).await?.with_context(|| format!("the ledger lost serial {serial}"))?;
        if status.revocation.is_some() {
            return Ok(false);
        }
        let reason = match turn % 10 {
            0 => Reason::KeyCompromise,
            1 | 2 => Reason::CessationOfOperation,
            3..=6 => Reason::Superseded,
            _ => Reason::Unspecified,
        };
        // As every door does: what is dated before the last CRL was made would be missing there.
        let (revoked, by) = (System.now(), BY.to_owned());
        let line = audit.append(AuditEvent::Revocation { serial, reason, revoked, by: by.clone() }).await?;
        self.count();
        let done = self.ledger.revoke(Revocation { serial, reason, revoked, by }).await?;
        audit.applied(line);
        match done {
            Revoked::Done => Ok(true),
            Revoked::Already(_) => Ok(false),
            Revoked::UnknownSerial => bail!("the ledger lost serial {serial}"),
        }
    }

    async fn write_invalid(self: Arc<Self>, number: u64) -> anyhow::Result<bool> {
        if self.has_invalid(number).await? {
            return Ok(false);
        }
        let (_, requested) = self.authorize(Kind::Invalid, number, self.arguments.invalid).await?;
        self.count();
        self.ledger.finish(&requested.order, draft::failure(), requested.at).await?;
        Ok(true)
    }
}

fn bar(what: &'static str, numbers: &std::ops::Range<u64>) -> ProgressBar {
    let bar = ProgressBar::new(numbers.end.saturating_sub(numbers.start)).with_message(what);
    match ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {msg}, {per_sec}, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
