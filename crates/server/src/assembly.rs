//! Putting a CA together from a data folder: locks, stores, keys and ports. Servers and commands do it alike.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ca::crl::CrlScheme;
use ca::ocsp::OcspAnswers;
use ca::ports::{
    AuditEvent, AuditLog, Clock, Ledger, LogKey, LogStore, OpenLog, Random, StoreError, Stored, Workbench,
};
use ca::settings::{CaaMode, OcspSigner, Settings};
use ca::shares::TestShares;
use ca::signing::SignerRules;
use ca::{Ca, InstanceId, RecoveryError, Restoration, Unknown};
use ct::{
    Acceptance, BuiltinLog, Endpoint, HttpLimits, HttpLog, Log, LogState, Submitter, SubmitterSettings, TlsTrust,
};
use keys::{FileLogKey, FileSigner, IssuerKey, KeyAlgorithm, ThrowawayKeys};
use pki::{LogId, PublicKey, Timestamp};
use store::audit::{AuditLogError, AuditOptions, Checkpointer, FileAuditLog};
use store::instance::{Instance, InstanceError};
use store::nonce::NonceFile;
use store::sqlite::{Database, FILE_NAME, OpenError, OpenOptions};
use validation::{NetworkValidator, TargetPolicy};

use crate::checkpoints;
use crate::config::{Config, RegimeName};
use crate::dev::{DevValidator, SlowSigner};
use crate::found::Found;
use crate::hierarchy::log_keys::{self, RetiredLog};
use crate::hierarchy::root_crl::{RootCrl, RootCrlError};
use crate::hierarchy::{Files, Hierarchy, HierarchyError};
use crate::published;
use crate::world::{SystemClock, SystemRandom, boot_id};

/// The exit code of a process that can't rely on its stores any more.
const EXIT_FATAL: i32 = 70;

/// Why a CA could not be put together. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// The data folder.
    #[error("data folder: {0}")]
    Instance(#[from] InstanceError),
    /// The store.
    #[error("store: {0}")]
    Open(#[from] OpenError),
    /// The audit log.
    #[error("audit log: {0}")]
    Audit(#[from] AuditLogError),
    /// The nonce file.
    #[error("{}: can't be used ({error}); it holds only nonces and may be removed", path.display())]
    Nonces {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Root, intermediate and their keys.
    #[error("hierarchy: {0}")]
    Hierarchy(#[from] HierarchyError),
    /// The root's first CRL.
    #[error("the root's CRL: {0}")]
    RootCrl(#[from] RootCrlError),
    /// The key of a built-in log.
    #[error("built-in log: {0}")]
    LogKey(String),
    /// A configured CT log.
    #[error("ct.log {url}: {detail}")]
    ForeignLog {
        /// Which.
        url: String,
        /// What is wrong.
        detail: String,
    },
    /// The ledger and the audit log don't fit together, or can't be read.
    #[error("recovery: {0}")]
    Recovery(#[from] RecoveryError),
    /// A store failed.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// What certificates say can't be changed behind their back.
    #[error(transparent)]
    Published(#[from] published::PublishedError),
}

impl AssemblyError {
    /// Whether the ledger has to be restored by `cairn recover` first.
    pub const fn needs_restoration(&self) -> bool {
        matches!(self, Self::Recovery(error) if error.needs_restoration())
    }
}

/// A CA, ready to work.
#[derive(Debug)]
pub struct Assembly {
    /// The domain.
    pub ca: Arc<Ca>,
    /// The built-in logs.
    pub logs: Vec<Arc<BuiltinLog>>,
    /// The store, for metrics.
    pub database: Database,
    /// The root's certificate.
    pub root: pki::Certificate,
    /// Its CRL.
    pub root_crl: Arc<RootCrl>,
    /// Whether the hierarchy was made now: the first start.
    pub first_start: bool,
    /// What the process before left, and what recovery found of it.
    pub found: Found,
    /// Built-in logs that have ended: they are listed, and answer nothing.
    pub retired: Vec<RetiredLog>,
    /// Makes the checkpoints of the audit log, if there can be any.
    pub checkpointer: Option<Arc<Checkpointer>>,
    /// To be set when clients are served: what is slow for their tests is slow from then on.
    pub started: Arc<AtomicBool>,
    /// Held for its lock.
    _instance: Instance,
}

impl Assembly {
    /// Takes the data folder, opens what is in it, makes what is missing, and recovers.
    ///
    /// # Errors
    /// See [`AssemblyError`]; nothing is served or signed then.
    pub async fn open(config: &Config) -> Result<Self, AssemblyError> {
        let instance = Instance::take(&config.data, &SystemRandom)?;
        Self::open_held(config, instance).await
    }

    /// The same, in a folder that is held already.
    ///
    /// # Errors
    /// See [`AssemblyError`].
    pub async fn open_held(config: &Config, instance: Instance) -> Result<Self, AssemblyError> {
        published::require_regime(config)?;
        Self::of(config, instance).await
    }

    async fn of(config: &Config, instance: Instance) -> Result<Self, AssemblyError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let on_fatal: Arc<dyn Fn(&StoreError) + Send + Sync> = Arc::new(end_process);
        let options = OpenOptions { on_fatal: Arc::clone(&on_fatal), ..OpenOptions::default() };
        let database = Database::open(config.data.join(FILE_NAME), options)?;
        let nonces = open_nonces(config, &*random)?;
        let ledger: Arc<dyn Ledger> = Arc::new(database.ledger(Arc::clone(&clock)));
        let (folder, id) = (config.data.join("audit"), instance.id());
        let options = AuditOptions { limits: config.audit.limits, known: ledger.audit_mark(id).await? };
        let audit = Arc::new(FileAuditLog::open_with(&folder, id, options, Arc::clone(&clock), on_fatal)?);
        let mut found = Found::of(config, &instance, &audit)?;
        let workbench = open_workbench(config, &database, nonces, (&clock, &random))?;
        // Before any key is touched: a ledger that is older than its log signs nothing, not even a root's CRL.
        require_current(config, id, (&*ledger, &*workbench, &*audit)).await?;
        let config = &published::settle(config, &*ledger, clock.now()).await?;
        let hierarchy = Hierarchy::open(config, &*clock, &*random)?;
        let issuer = hierarchy.issuer.issuer().clone();
        let started = Arc::new(AtomicBool::new(false));
        let store: Arc<dyn LogStore> = Arc::new(database.log_store(Arc::clone(&clock)));
        let acceptance = Arc::new(Acceptance::new(vec![issuer.clone()], Arc::clone(&ledger)));
        put_aside_retired(config, &*ledger).await?;
        let logs = builtin_logs(config, &store, &acceptance, &clock)?;
        let submitter =
            Submitter::new(all_logs(config, &logs, &clock)?, Arc::clone(&clock), SubmitterSettings::default());
        let (signer, ocsp) = signer(config, hierarchy.issuer, &ledger, &clock)?;
        let validator = Arc::new(validator(config, &clock, &random));
        let ca = Ca {
            test_shares: TestShares::new(&config.settings.limits),
            clock_watch: ca::clock::ClockWatch::default(),
            crl_watch: ca::crl::CrlWatch::default(),
            unreadable: ca::UnreadableOrders::default(),
            blocked: ca::Bell::default(),
            stop_numbers: ca::StopNumbers::default(),
            ocsp,
            settings: with_first_terms(config.settings.clone(), &*ledger, &*clock).await?,
            instance: instance.id(),
            issuers: vec![issuer],
            validator: DevValidator::around(validator, &config.dev, &clock, &random),
            signer: SlowSigner::around(Arc::new(signer), &config.dev, &clock, &started),
            clock,
            random,
            ledger,
            workbench,
            audit: Arc::clone(&audit) as Arc<dyn AuditLog>,
            linting_key: Arc::new(ThrowawayKeys::new()),
            ct: Arc::new(submitter),
        };
        found.recovered = ca.recover().await?;
        let Hierarchy { root, root_crl, made: first_start, .. } = hierarchy;
        keep_authorities(&ca).await?;
        let root_crl = root_crl.or_first(&ca).await?;
        let checkpointer = checkpoints::begin(config, &folder, &instance, &audit, &ca.clock).await;
        let (ca, root_crl) = (Arc::new(ca), Arc::new(root_crl));
        let retired = log_keys::retired(&Files::of(&config.hierarchy))?;
        Ok(Self {
            ca,
            logs,
            database,
            root,
            root_crl,
            first_start,
            found,
            retired,
            checkpointer,
            started,
            _instance: instance,
        })
    }
}

/// The signer, and the OCSP answers that it signs. The key of a delegated responder is made at the first start, and
/// whenever it is gone.
fn signer(
    config: &Config,
    issuer: IssuerKey,
    ledger: &Arc<dyn Ledger>,
    clock: &Arc<dyn Clock>,
) -> Result<(FileSigner, OcspAnswers), HierarchyError> {
    let settings = &config.settings;
    let issuers = [issuer.issuer().clone()];
    let rules = SignerRules::of(settings);
    let signer = FileSigner::new([issuer], Arc::clone(ledger), Arc::clone(clock), rules, CrlScheme::of(settings));
    Ok(match settings.ocsp.responder {
        OcspSigner::Direct => (signer, OcspAnswers::new(&settings.ocsp, &issuers, None)),
        OcspSigner::Delegated => {
            let (pair, _) = Files::of(&config.hierarchy).key("ocsp").load_or_generate(KeyAlgorithm::P256)?;
            let answers = OcspAnswers::new(&settings.ocsp, &issuers, Some(pair.public_key().clone()));
            (signer.with_responder(pair), answers)
        }
    })
}

fn open_nonces(config: &Config, random: &dyn Random) -> Result<NonceFile, AssemblyError> {
    let path = config.data.join("nonces");
    NonceFile::open(&path, random, &boot_id()).map_err(|error| AssemblyError::Nonces { path, error })
}

fn open_workbench(
    config: &Config,
    database: &Database,
    nonces: NonceFile,
    (clock, random): (&Arc<dyn Clock>, &Arc<dyn Random>),
) -> Result<Arc<dyn Workbench>, AssemblyError> {
    let (clock, random) = (Arc::clone(clock), Arc::clone(random));
    Ok(Arc::new(database.workbench(clock, random, Some(Arc::new(nonces)), config.active_orders)?))
}

/// Whether the ledger is as new as the log: or nothing may be signed.
async fn require_current(
    config: &Config,
    from: InstanceId,
    (ledger, workbench, audit): (&dyn Ledger, &dyn Workbench, &dyn AuditLog),
) -> Result<(), AssemblyError> {
    let open = ledger.recoveries().await?.into_iter().find(|one| one.ended.is_none());
    if let Some(open) = open {
        return Err(RecoveryError::Unfinished { from: open.from, begun: open.begun }.into());
    }
    // Nothing is restored here: the generations of CRL shards are not asked for.
    let (log, crls) = (&OpenLog(audit), &config.settings.crls);
    match (Restoration { ledger, workbench, log, from, crls }).is_needed().await? {
        None => Ok(()),
        Some(Unknown { sequence, what, .. }) => Err(RecoveryError::LedgerOlderThanLog { sequence, what }.into()),
    }
}

/// A log that has ended stays ended, wherever its key came back from.
async fn put_aside_retired(config: &Config, ledger: &dyn Ledger) -> Result<(), AssemblyError> {
    let retired: Vec<LogId> = ledger.recoveries().await?.into_iter().flat_map(|one| one.retired).collect();
    for path in log_keys::put_aside(&Files::of(&config.hierarchy), &retired)? {
        tracing::warn!(path = %path.display(), "the key of a built-in log that has ended was put aside");
    }
    Ok(())
}

/// An account that agreed when the terms had no version has agreed to the first one.
async fn with_first_terms(mut settings: Settings, ledger: &dyn Ledger, clock: &dyn Clock) -> Stored<Settings> {
    if let Some(terms) = &mut settings.terms
        && let Some(version) = &terms.version
    {
        terms.first_version = Some(ledger.first_terms_version(version, clock.now()).await?);
    }
    Ok(settings)
}

/// The stores can't be relied on: the process ends at once, and recovers at its next start.
fn end_process(error: &StoreError) {
    tracing::error!(%error, "the stores can't be relied on any more; ending, to recover at the next start");
    std::process::exit(EXIT_FATAL);
}

/// What the ledger has, the log has: the line comes first, also where an earlier start died before it.
async fn keep_authorities(ca: &Ca) -> Result<(), AssemblyError> {
    for certificate in ca.issuers.iter().flat_map(Hierarchy::certificates) {
        if ca.ledger.has_authority(certificate.fingerprint()).await? {
            continue;
        }
        let line = ca.audit.append(AuditEvent::Authority { der: certificate.der().to_vec() }).await?;
        ca.ledger.store_authority(certificate.fingerprint(), certificate.der()).await?;
        ca.audit.applied(line);
    }
    Ok(())
}

fn validator(config: &Config, clock: &Arc<dyn Clock>, random: &Arc<dyn Random>) -> NetworkValidator {
    let (http_port, https_port, tls_alpn_port) = config.ports;
    let targets = match config.regime {
        RegimeName::Dev => TargetPolicy::dev(),
        RegimeName::Private => TargetPolicy::private(),
        RegimeName::Public => TargetPolicy::public(),
    };
    let settings = validation::Settings {
        http_port,
        https_port,
        tls_alpn_port,
        resolvers: config.resolvers.clone(),
        targets: targets.with_allowed(&config.permit_networks).with_barred(&config.deny_networks),
        localhost_names: config.localhost_names,
        caa_identities: config.caa_identities.clone(),
        dns_mixed_case: config.regime != RegimeName::Dev,
        ..validation::Settings::default()
    };
    if config.settings.caa == CaaMode::Enforce && config.caa_identities.is_empty() {
        tracing::warn!("CAA is enforced and caa.identities is empty: every name with a CAA record is refused");
    }
    NetworkValidator::new(settings, Arc::clone(clock), Arc::clone(random))
}

fn builtin_logs(
    config: &Config,
    store: &Arc<dyn LogStore>,
    acceptance: &Arc<Acceptance>,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Arc<BuiltinLog>>, AssemblyError> {
    let files = Files::of(&config.hierarchy);
    let failed = |error: &dyn std::fmt::Display| AssemblyError::LogKey(error.to_string());
    (0..config.builtin_logs)
        .map(|number| {
            let file = files.key(&format!("log-{number}"));
            let (pair, _) = file.load_or_generate(KeyAlgorithm::P256).map_err(|error| failed(&error))?;
            let key: Arc<dyn LogKey> = Arc::new(FileLogKey::new(pair).map_err(|error| failed(&error))?);
            Ok(Arc::new(BuiltinLog::new(key, Arc::clone(store), Arc::clone(acceptance), Arc::clone(clock))))
        })
        .collect()
}

/// Logs of others are asked before our own.
fn all_logs(config: &Config, builtin: &[Arc<BuiltinLog>], clock: &Arc<dyn Clock>) -> Result<Vec<Log>, AssemblyError> {
    let mut logs = Vec::new();
    if !config.foreign_logs.is_empty() {
        let roots = config.ct_tls_roots.clone().unwrap_or_else(|| PathBuf::from(TlsTrust::SYSTEM_ROOTS));
        let trust = TlsTrust::from_pem_file(&roots, Arc::clone(clock));
        for log in &config.foreign_logs {
            let failed = |detail: String| AssemblyError::ForeignLog { url: log.url.clone(), detail };
            let trust = match (&trust, log.url.starts_with("https:")) {
                (Ok(trust), _) => Some(trust),
                (Err(_), false) => None,
                (Err(error), true) => return Err(failed(error.to_string())),
            };
            let key = PublicKey::from_spki_der(&log.key).map_err(|error| failed(error.to_string()))?;
            let endpoint = HttpLog::new(&log.url, key, trust, Arc::clone(clock), HttpLimits::default())
                .map_err(|error| failed(error.to_string()))?;
            logs.push(Log {
                name: log.url.clone(),
                operator: log.operator.clone(),
                state: LogState::Usable,
                interval: interval(log.not_after),
                endpoint: Arc::new(endpoint),
            });
        }
    }
    logs.extend(builtin.iter().enumerate().map(|(number, log)| Log {
        name: format!("built-in log {number}"),
        operator: "Cairn".to_owned(),
        state: LogState::Usable,
        interval: None,
        endpoint: Arc::clone(log) as Arc<dyn Endpoint>,
    }));
    Ok(logs)
}

fn interval((start, end): (Option<Timestamp>, Option<Timestamp>)) -> Option<ct::TemporalInterval> {
    if start.is_none() && end.is_none() {
        return None;
    }
    let start = start.unwrap_or(Timestamp::from_seconds(0));
    Some(ct::TemporalInterval { start, end: end.unwrap_or(Timestamp::from_seconds(i64::MAX / 1000)) })
}
