//! `cairn recover`: a data folder whose ledger is older than an audit log is made whole, while no server runs on it.
//! Each step can be broken off at any point and is gone on with by the next call; until the last one, no server starts.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca::ports::{AuditSource, Clock, Ledger, LineCounts, RecoveryRecord, StoreError, Workbench};
use ca::{InstanceId, Restoration, Survey};
use pki::Timestamp;
use store::audit::{self, AuditLogError, AuditOptions, AuditReader, FileAuditLog, Progress};
use store::instance::{Held, Instance, InstanceError};
use store::sqlite::{Database, FILE_NAME, OpenError, OpenOptions};

use crate::assembly::{Assembly, AssemblyError};
use crate::config::Config;
use crate::hierarchy::{Files, Hierarchy, HierarchyError, log_keys};
use crate::world::{SystemClock, SystemRandom};

/// Why a ledger can't be restored. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestorationError {
    /// The data folder.
    #[error("{0}")]
    Instance(#[from] InstanceError),
    /// The store.
    #[error("store: {0}")]
    Open(#[from] OpenError),
    /// The store or a log failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit log.
    #[error("audit log: {0}")]
    Audit(#[from] AuditLogError),
    /// A log does not verify.
    #[error("the audit log in {} does not verify, and nothing of it was used: {fault}", folder.display())]
    Fault {
        /// Where it is.
        folder: PathBuf,
        /// What is wrong with it.
        fault: audit::Fault,
    },
    /// Keys and certificates of this CA.
    #[error("hierarchy: {0}")]
    Hierarchy(#[from] HierarchyError),
    /// What was given is no log.
    #[error("{}: no audit log is here; name the folder of its files, or the files (NNNNNNNN.jsonl)", .0.display())]
    NoLog(PathBuf),
    /// It is the folder's own.
    #[error("{}: this is the folder's own audit log; `cairn recover` without --log restores from it", .0.display())]
    Own(PathBuf),
    /// The log's process runs.
    #[error("its log can't be brought in while its instance runs: {0}")]
    Lives(InstanceError),
    /// A file that has to go can't be removed.
    #[error("{}: can't be removed: {error}", path.display())]
    Remove {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The folder of its own log can't be made.
    #[error("{}: can't be made: {error}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another recovery was broken off.
    #[error(
        "a recovery from the log of instance {0} was broken off: go on with that one first (`cairn recover --log` with \
         that log)"
    )]
    AnotherUnfinished(InstanceId),
    /// All is restored, and the CA does not start.
    #[error("the ledger is restored, but the CA can't be put together: {0}")]
    Assembly(#[from] AssemblyError),
    /// All is restored, and a CRL could not be made.
    #[error("the ledger is restored, but a CRL could not be made: {0}; `cairn serve` tries again")]
    Crl(ca::Error),
}

/// An audit log that a ledger may have to be restored from.
#[derive(Debug)]
pub(crate) struct Log {
    /// Whose it is.
    pub(crate) from: InstanceId,
    /// The folder of its files.
    pub(crate) folder: PathBuf,
    reader: AuditReader,
    /// Its instance can't begin to run meanwhile.
    _held: Option<Held>,
}

impl Log {
    /// The folder of the log that a path names: one of its files, their folder, or the data folder that it stands in.
    fn folder(path: &Path) -> PathBuf {
        if path.is_file() {
            path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
        } else if path.join("audit").is_dir() {
            path.join("audit")
        } else {
            path.to_owned()
        }
    }

    /// The log in this folder, which a path named. If its instance's data folder can be seen, that does not run.
    fn open(folder: PathBuf, path: &Path) -> Result<Self, RestorationError> {
        let held = folder.parent().map(Instance::hold).transpose().map_err(RestorationError::Lives)?.flatten();
        let reader = AuditReader::new(&folder);
        let owner = match reader.owner() {
            Ok(owner) => owner,
            Err(AuditLogError::Io { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let from = owner.ok_or_else(|| RestorationError::NoLog(path.to_owned()))?;
        Ok(Self { from, folder, reader, _held: held })
    }
}

/// A data folder that is held, with its stores open, and no key.
#[derive(Debug)]
pub(crate) struct Workplace {
    config: Config,
    instance: Instance,
    ledger: Arc<dyn Ledger>,
    workbench: Arc<dyn Workbench>,
    clock: Arc<dyn Clock>,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Done {
    /// The recovery as it is on record.
    pub(crate) record: RecoveryRecord,
    /// Where the keys of logs that ended stand now.
    pub(crate) put_aside: Vec<PathBuf>,
}

impl Workplace {
    /// Takes a data folder. If a ledger was moved there, it becomes an instance of its own.
    pub(crate) fn take(config: Config, moved: bool) -> Result<Self, RestorationError> {
        let data = &config.data;
        let instance = if moved {
            let instance = Instance::take_moved(data, FILE_NAME, &SystemRandom)?;
            let audit = data.join("audit");
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&audit);
            made.map_err(|error| RestorationError::Folder { path: audit, error })?;
            instance
        } else {
            Instance::peek(data)?;
            Instance::take(data, &SystemRandom)?
        };
        let database = Database::open(data.join(FILE_NAME), OpenOptions::default())?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let workbench = database.workbench(Arc::clone(&clock), Arc::new(SystemRandom), None, u64::MAX)?;
        let ledger = Arc::new(database.ledger(Arc::clone(&clock)));
        Ok(Self { config, instance, ledger, workbench: Arc::new(workbench), clock })
    }

    /// The folder's own log.
    pub(crate) fn own_log(&self) -> Log {
        let folder = self.config.data.join("audit");
        Log { from: self.instance.id(), reader: AuditReader::new(&folder), folder, _held: None }
    }

    /// A log of another instance, verified from its first line to its last against what the ledger knows of it.
    pub(crate) async fn foreign_log(
        &self,
        path: &Path,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<Log, RestorationError> {
        let own = self.config.data.join("audit").canonicalize().ok();
        let folder = Log::folder(path);
        if own.is_some() && folder.canonicalize().ok() == own {
            return Err(RestorationError::Own(path.to_owned()));
        }
        let log = Log::open(folder, path)?;
        if log.from == self.instance.id() {
            return Err(RestorationError::Own(path.to_owned()));
        }
        let known = self.ledger.audit_mark(log.from).await?;
        audit::verify(&log.folder, known, tell)
            .map_err(|fault| RestorationError::Fault { folder: log.folder.clone(), fault })?;
        Ok(log)
    }

    fn restoration<'a>(&'a self, log: &'a Log) -> Restoration<'a> {
        Restoration {
            ledger: &*self.ledger,
            workbench: &*self.workbench,
            log: &log.reader as &dyn AuditSource,
            from: log.from,
            crl_shards: self.config.settings.crl_shards,
        }
    }

    /// What the log holds that the ledger lacks.
    pub(crate) async fn survey(
        &self,
        log: &Log,
        tell: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Survey, RestorationError> {
        Ok(self.restoration(log).survey(tell).await?)
    }

    /// Restores what the log holds, ends the built-in logs if they had promised what the ledger forgot, and lets
    /// servers start again.
    pub(crate) async fn restore(
        &self,
        log: &Log,
        survey: &Survey,
        tell: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Done, RestorationError> {
        if let Some(other) = survey.unfinished.as_ref().filter(|one| one.from != log.from) {
            return Err(RestorationError::AnotherUnfinished(other.from));
        }
        let (restoration, now) = (self.restoration(log), self.clock.now());
        let files = Files::of(&self.config.hierarchy);
        let authorities = Hierarchy::own_chain(&files)?;
        let begin = self.recovery(log, survey, &files, now)?;
        let record = restoration.restore(begin, &authorities, now, tell).await?;
        // Nonces that were used since the backup must not be good again: what is not there begins a new epoch.
        remove(&self.config.data.join("nonces"))?;
        let put_aside = log_keys::put_aside(&files, &record.retired)?;
        let audit = self.config.data.join("audit");
        let on_fatal = Arc::new(|error: &StoreError| tracing::error!(%error, "the audit log can't go on"));
        let id = self.instance.id();
        let options = AuditOptions { limits: self.config.audit.limits, known: self.ledger.audit_mark(id).await? };
        let audit = FileAuditLog::open_with(&audit, id, options, Arc::clone(&self.clock), on_fatal)?;
        restoration.finish(&record, &audit, self.clock.now()).await?;
        Ok(Done { record, put_aside })
    }

    /// What is put on record when a recovery begins.
    fn recovery(
        &self,
        log: &Log,
        survey: &Survey,
        files: &Files,
        now: Timestamp,
    ) -> Result<RecoveryRecord, RestorationError> {
        let mut retired = survey.retired.clone();
        if survey.unknown.is_some() {
            retired.extend(log_keys::ids(files)?);
        }
        Ok(RecoveryRecord {
            number: 0,
            from: log.from,
            begun: now,
            first: survey.unknown.as_ref().map_or(0, |unknown| unknown.sequence),
            since: survey.since,
            until: survey.until.unwrap_or(now),
            retired,
            restored: LineCounts::default(),
            ended: None,
        })
    }

    /// The CA starts, and makes the CRLs that show what was restored. How many.
    pub(crate) async fn renew_crls(self) -> Result<u32, RestorationError> {
        let Self { config, instance, ledger, workbench, .. } = self;
        drop((ledger, workbench));
        let assembly = Assembly::open_held(&config, instance).await?;
        let made = assembly.ca.renew_crls().await.map_err(RestorationError::Crl)?;
        assembly.ca.keep_audit_mark().await?;
        Ok(made)
    }
}

fn remove(path: &Path) -> Result<(), RestorationError> {
    let removed = match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())),
    };
    removed.map_err(|error| RestorationError::Remove { path: path.to_owned(), error })
}
