//! The checkpoints of the audit log: their key, and when they are made. Nothing waits for them, and nothing fails with
//! them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ca::ports::{CheckpointKey, Clock, Ledger, StoreError};
use keys::{FileCheckpointKey, KeyAlgorithm, KeyFile, KeyFileError, KeyPairError};
use store::audit::{
    AuditLogError, AuditOptions, CheckpointError, Checkpointer, FileAuditLog, change_checkpoint_key, named_key,
};
use store::instance::{Instance, InstanceError};
use store::sqlite::{Database, FILE_NAME, OpenError, OpenOptions};
use tokio::sync::watch;

use crate::config::Config;
use crate::hierarchy::Files;
use crate::world::{SystemClock, SystemRandom};

/// Between two looks at whether a checkpoint is due.
const LOOK: Duration = Duration::from_secs(1);

/// Why the key of checkpoints can't be used, or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointKeyError {
    /// The key file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// It holds no key for checkpoints.
    #[error("the key of checkpoints: {0}")]
    Pair(#[from] KeyPairError),
    /// The log names a key, and its file is gone.
    #[error(
        "{path} is missing, and the audit log says that its key signs checkpoints: bring it back, or stop the server \
         and name a new one with `cairn audit key --change --lost`"
    )]
    Lost {
        /// The file.
        path: String,
    },
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] AuditLogError),
    /// The log did not take it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The data folder: a server runs on it, for one.
    #[error("{0}")]
    Instance(#[from] InstanceError),
    /// The store.
    #[error("store: {0}")]
    Open(#[from] OpenError),
    /// The store.
    #[error("store: {0}")]
    Store(#[from] StoreError),
}

/// Where the key is.
pub(crate) fn key_file(files: &Files) -> KeyFile {
    files.key("audit")
}

/// Where a new key waits until the log has named it.
fn next_key_file(files: &Files) -> KeyFile {
    files.key("audit-next")
}

/// Reads the key.
///
/// # Errors
/// There is none, or it is of another kind.
pub(crate) fn load(files: &Files) -> Result<FileCheckpointKey, CheckpointKeyError> {
    Ok(FileCheckpointKey::new(key_file(files).load()?)?)
}

/// The checkpoints of this log; makes their key at the first start. `None`: there can't be any, and it was said why.
pub(crate) async fn begin(
    config: &Config,
    folder: &Path,
    instance: &Instance,
    log: &Arc<FileAuditLog>,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<Checkpointer>> {
    let rules = config.audit.checkpoints;
    let begun = match key(&config.data, folder) {
        Ok(key) => {
            let (log, key, clock) = (Arc::clone(log), Arc::new(key), Arc::clone(clock));
            Checkpointer::begin(log, folder, instance.id(), key, rules, clock).await.map_err(CheckpointKeyError::from)
        }
        Err(error) => Err(error),
    };
    begun
        .inspect_err(
            |error| tracing::error!(%error, "the audit log gets no checkpoints; certificates are issued as ever"),
        )
        .ok()
        .map(Arc::new)
}

fn key(data: &Path, folder: &Path) -> Result<FileCheckpointKey, CheckpointKeyError> {
    let files = Files::of(data);
    let (file, next) = (key_file(&files), next_key_file(&files));
    if next.exists()? {
        let pair = next.load()?;
        // A change of the key died between its line and its end.
        if named_key(folder)?.as_ref() == Some(pair.public_key()) {
            next.replace(&file)?;
        }
    }
    if file.exists()? {
        return load(&files);
    }
    if named_key(folder)?.is_some() {
        return Err(CheckpointKeyError::Lost { path: file.path().display().to_string() });
    }
    Ok(FileCheckpointKey::new(file.generate(KeyAlgorithm::Ed25519)?)?)
}

/// Makes checkpoints while the server runs. What fails is said once, and tried again.
pub(crate) async fn keep(checkpointer: Arc<Checkpointer>, clock: Arc<dyn Clock>, mut stop: watch::Receiver<bool>) {
    let mut failing = false;
    loop {
        match checkpointer.make_if_due().await {
            Ok(_) => failing = false,
            Err(error) if !failing => {
                tracing::error!(%error, "a checkpoint of the audit log could not be made; trying again");
                failing = true;
            }
            Err(_) => {}
        }
        tokio::select! {
            biased;
            _stopped = stop.wait_for(|stopped| *stopped) => return,
            () = clock.sleep(LOOK) => {}
        }
    }
}

/// The last checkpoint of a server that stops in good order.
pub(crate) async fn seal(checkpointer: &Checkpointer) {
    if let Err(error) = checkpointer.make().await {
        tracing::warn!(%error, "the audit log ends without a checkpoint");
    }
}

/// Changes the key of checkpoints of a stopped server: the log names the new one, signed by the old, and the file
/// changes after that.
///
/// # Errors
/// A server runs; or the old key can't be read, and was not said to be lost.
pub(crate) async fn change_key(data: &Path, lost: bool) -> Result<(), CheckpointKeyError> {
    let instance = Instance::take(data, &SystemRandom)?;
    let (files, folder) = (Files::of(data), data.join("audit"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // What a change that died has left takes effect first.
    let old = match key(data, &folder) {
        Ok(old) => Some(old),
        Err(_) if lost => None,
        Err(error) => return Err(error),
    };
    let next = next_key_file(&files);
    let (pair, _) = next.load_or_generate(KeyAlgorithm::Ed25519)?;
    let known = Database::open(data.join(FILE_NAME), OpenOptions::default())?
        .ledger(Arc::clone(&clock))
        .audit_mark(instance.id())
        .await?;
    let options = AuditOptions { known, ..AuditOptions::default() };
    let on_fatal = Arc::new(|error: &StoreError| tracing::error!(%error, "the audit log can't be relied on"));
    let log = FileAuditLog::open_with(&folder, instance.id(), options, clock, on_fatal)?;
    let old = old.as_ref().map(|old| old as &dyn CheckpointKey);
    change_checkpoint_key(&log, instance.id(), old, pair.public_key()).await?;
    Ok(next.replace(&key_file(&files))?)
}
