//! `cairn recover`: a data folder whose ledger is older than an audit log is made whole, while no server runs on it.
//! Each step can be broken off at any point and is gone on with by the next call; until the last one, no server starts.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca::ports::{AuditEvent, AuditSource, Clock, Ledger, LineCounts, RecoveryRecord, StoreError, Workbench};
use ca::{InstanceId, Restoration, Survey};
use pki::{Sha256, Timestamp};
use store::audit::{self, AuditLogError, AuditOptions, AuditReader, FileAuditLog, Progress};
use store::instance::{Held, Instance, InstanceError};
use store::sqlite::{Database, FILE_NAME, OpenError, OpenOptions};

use crate::assembly::{Assembly, AssemblyError};
use crate::config::Config;
use crate::hierarchy::{Files, Hierarchy, HierarchyError, log_keys};
use crate::places::folder_of;
use crate::published;
use crate::world::{SystemClock, SystemRandom};

/// Lines of a log read at a time.
const LINES: usize = 256;

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
    /// The CRL shards that certificates point to.
    #[error(transparent)]
    Published(#[from] published::PublishedError),
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
    /// The folder has a log, and nothing says that it is its own.
    #[error(
        "{}: this is the audit log of instance {owner}, and the data folder's file `instance` {}: if the log is its \
         own, put `{owner}` into that file; if not, put the log elsewhere and name it with --log",
        folder.display(), id.map_or_else(|| "is missing".to_owned(), |id| format!("has {id}"))
    )]
    OfAnother {
        /// The folder of the log.
        folder: PathBuf,
        /// Whose it is.
        owner: InstanceId,
        /// What the data folder says.
        id: Option<InstanceId>,
    },
    /// It is the log of a CA that has nothing to do with this one.
    #[error(
        "{}: this ledger has never heard of the log of instance {owner}, which does not begin with this CA's own \
         certificates: it is that of another CA",
        folder.display()
    )]
    OfAnotherCa {
        /// The folder of the log.
        folder: PathBuf,
        /// Whose it is.
        owner: InstanceId,
    },
    /// The log can't be restored from.
    #[error("the audit log in {} can't be restored from, and nothing was changed: {fault}", folder.display())]
    NotRestorable {
        /// Where it is.
        folder: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// Something was restored already.
    #[error("no recovery is open of which nothing was restored yet: there is nothing to abandon")]
    NotAbandoned,
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
         that log), or take it back if it was the wrong log and nothing of it was restored (`cairn recover --abandon`)"
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
            folder_of(path).to_owned()
        } else if path.join("audit").is_dir() {
            path.join("audit")
        } else {
            path.to_owned()
        }
    }

    /// The log in this folder, which a path named. If its instance's data folder can be seen, that does not run.
    fn open(folder: PathBuf, path: &Path) -> Result<Self, RestorationError> {
        let from = owner(&folder)?.ok_or_else(|| RestorationError::NoLog(path.to_owned()))?;
        // A copy of the log stands anywhere, even in the folder that is restored.
        let home = folder.canonicalize().ok().and_then(|folder| Some(folder.parent()?.to_owned()));
        let home = home.filter(|home| Instance::peek(home).is_ok_and(|id| id == from));
        let held = home.as_deref().map(Instance::hold).transpose().map_err(RestorationError::Lives)?.flatten();
        Ok(Self { from, reader: AuditReader::new(&folder), folder, _held: held })
    }
}

/// Whose log stands in a folder, if one does.
fn owner(folder: &Path) -> Result<Option<InstanceId>, RestorationError> {
    match AuditReader::new(folder).owner() {
        Err(AuditLogError::Io { .. }) => Ok(None),
        owner => Ok(owner?),
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
    pub(crate) async fn take(config: Config, moved: bool) -> Result<Self, RestorationError> {
        let data = &config.data;
        let audit = data.join("audit");
        let id = Instance::peek(data).ok();
        if let Some(owner) = owner(&audit)?.filter(|owner| id.is_none_or(|id| id != *owner)) {
            return Err(RestorationError::OfAnother { folder: audit, owner, id });
        }
        let instance = if moved {
            let instance = Instance::take_moved(data, FILE_NAME, &SystemRandom)?;
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
        let config = published::adopt_with(config, &*ledger).await?;
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
        if known.is_none() && !self.is_of_this_ca(&log).await? {
            return Err(RestorationError::OfAnotherCa { folder: log.folder, owner: log.from });
        }
        Ok(log)
    }

    /// Whether the first certificate of a CA itself in a log is one of this one's: each log begins with them.
    async fn is_of_this_ca(&self, log: &Log) -> Result<bool, RestorationError> {
        let own = Hierarchy::own_chain(&Files::of(&self.config.hierarchy))?;
        let mut at = log.reader.first()?;
        loop {
            let (lines, next) = log.reader.lines(at, LINES)?;
            if lines.is_empty() {
                return Ok(false);
            }
            for line in lines {
                if let AuditEvent::Authority { der } = line.event {
                    let is_own = own.iter().any(|one| one.der() == der);
                    return Ok(is_own || self.ledger.has_authority(Sha256::of(&der)).await?);
                }
            }
            at = next;
        }
    }

    /// Takes an open recovery back, of which nothing was restored yet. From whose log it was.
    pub(crate) async fn abandon(&self) -> Result<InstanceId, RestorationError> {
        let open = self.ledger.recoveries().await?.into_iter().find(|one| one.ended.is_none());
        let open = open.ok_or(RestorationError::NotAbandoned)?;
        match self.ledger.abandon_recovery(open.number).await? {
            true => Ok(open.from),
            false => Err(RestorationError::NotAbandoned),
        }
    }

    fn restoration<'a>(&'a self, log: &'a Log) -> Restoration<'a> {
        Restoration {
            ledger: &*self.ledger,
            workbench: &*self.workbench,
            log: &log.reader as &dyn AuditSource,
            from: log.from,
            crls: &self.config.settings.crls,
        }
    }

    /// What the log holds that the ledger lacks.
    pub(crate) async fn survey(
        &self,
        log: &Log,
        tell: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Survey, RestorationError> {
        // Without them nothing is restored, but that there is nothing to restore is found all the same.
        let own = Hierarchy::own_chain(&Files::of(&self.config.hierarchy)).unwrap_or_default();
        Ok(self.restoration(log).survey(&own, tell).await?)
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
        if let Some(fault) = &survey.fault {
            return Err(RestorationError::NotRestorable { folder: log.folder.clone(), fault: fault.clone() });
        }
        let begin = self.recovery(log, survey, &files, now)?;
        let record = restoration.restore((survey, begin), &authorities, now, tell).await?;
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
        removed => removed.and_then(|()| fs::File::open(folder_of(path))?.sync_all()),
    };
    removed.map_err(|error| RestorationError::Remove { path: path.to_owned(), error })
}
