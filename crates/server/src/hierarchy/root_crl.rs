//! The root's CRL: of its intermediates. It is renewed while the server runs, as long as the root's key is there.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ca::Ca;
use ca::ports::AuditEvent;
use keys::ceremony;
use pki::{Certificate, Crl, CrlFields, Sha256, TbsCrl, Timestamp};

use super::{Files, HierarchyError, write_file};

/// BR 4.9.7 leaves a root's CRL twelve months.
const VALIDITY: Duration = Duration::from_secs(360 * 86_400);
/// With less left it is renewed.
const RENEWAL: Duration = Duration::from_secs(180 * 86_400);
/// With less left, and the root's key away, it is said each day: somebody may have to fetch that key from a safe.
const WARNING: Duration = Duration::from_secs(60 * 86_400);
const WARNED_EACH: Duration = Duration::from_secs(86_400);

/// The root with its CRL.
#[derive(Debug)]
pub struct RootCrl {
    files: Files,
    root: Certificate,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    crl: Crl,
    warned: Option<Timestamp>,
}

/// What a look at the root's CRL came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// Enough of its time is left.
    Fresh,
    /// It was made anew.
    Made,
    /// It is to be made anew, and the root's key is away, or the clock is wrong.
    Waits,
    /// The same, and its end is near: this was said.
    Warned,
}

impl RootCrl {
    /// As the file has it; the first one is made. Whether it was.
    ///
    /// # Errors
    /// The file can't be read, or is missing together with the root's key.
    pub fn open(files: Files, root: Certificate, now: Timestamp) -> Result<(Self, bool), HierarchyError> {
        let (crl, made) = match read(&files)? {
            Some(crl) => (crl, false),
            None if files.key("root").exists()? => (make(&files, &root, (None, 0), now)?, true),
            None => {
                let detail = "it is missing, and so is the root's key".to_owned();
                return Err(HierarchyError::Certificate { path: files.root_crl, detail });
            }
        };
        Ok((Self { files, root, kept: Mutex::new(Kept { crl, warned: None }) }, made))
    }

    /// The CRL as it is.
    pub fn current(&self) -> Crl {
        self.lock().crl.clone()
    }

    /// Makes it anew if that is due and can be done.
    ///
    /// # Errors
    /// A file could not be read or written, or the ceremony failed.
    pub async fn look_after(&self, ca: &Ca) -> Result<Looked, RootCrlError> {
        let (old, now) = (self.current(), ca.now());
        let left = old.next_update().since(now);
        // Numbers above its own were used: a backup has brought an old one back.
        let used = ca.ledger.crl_state(self.root.public_key().spki_hash(), 0, 1).await?.allocated;
        if left > RENEWAL && old.number() >= used {
            return Ok(Looked::Fresh);
        }
        if !self.files.key("root").exists().map_err(HierarchyError::from)? {
            return Ok(self.without_key(&old, left, now));
        }
        if ca.check_clock().await?.is_err() {
            return Ok(Looked::Waits);
        }
        let crl = make(&self.files, &self.root, (Some(&old), used), now.whole_second())?;
        let number = crl.number();
        note(ca, &self.root, &crl).await?;
        self.lock().crl = crl;
        tracing::info!(number, "the root's CRL was made anew");
        Ok(Looked::Made)
    }

    fn without_key(&self, old: &Crl, left: Duration, now: Timestamp) -> Looked {
        let mut kept = self.lock();
        if left > WARNING || kept.warned.is_some_and(|warned| now.since(warned) < WARNED_EACH) {
            return Looked::Waits;
        }
        kept.warned = Some(now);
        let (until, key) = (old.next_update().to_rfc3339(), self.files.keys.join("root.pem"));
        tracing::warn!(%until, key = %key.display(), "the root's CRL ends then: put the root's key back for a moment");
        Looked::Warned
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the root's CRL was not made anew.
#[derive(Debug, thiserror::Error)]
pub enum RootCrlError {
    /// Files, keys, the ceremony.
    #[error(transparent)]
    Hierarchy(#[from] HierarchyError),
    /// The ledger or the audit log.
    #[error(transparent)]
    Store(#[from] ca::ports::StoreError),
}

/// The audit log's line for it.
///
/// # Errors
/// Those of the log.
pub async fn note(ca: &Ca, root: &Certificate, crl: &Crl) -> ca::ports::Stored<()> {
    let (issuer, sha256) = (root.public_key().spki_hash(), Sha256::of(crl.der()));
    let line = ca.audit.append(AuditEvent::Crl { issuer, shard: 0, number: crl.number(), sha256 }).await?;
    ca.audit.applied(line);
    Ok(())
}

fn read(files: &Files) -> Result<Option<Crl>, HierarchyError> {
    let path = &files.root_crl;
    if !path.exists() {
        return Ok(None);
    }
    let der = fs::read(path).map_err(|error| HierarchyError::File { path: path.clone(), doing: "reading", error })?;
    let crl = Crl::from_der(&der)
        .map_err(|error| HierarchyError::Certificate { path: path.clone(), detail: error.to_string() })?;
    Ok(Some(crl))
}

/// The next one after an old one, with a number above all that were used.
fn make(
    files: &Files,
    root: &Certificate,
    (old, used): (Option<&Crl>, u64),
    now: Timestamp,
) -> Result<Crl, HierarchyError> {
    let pair = files.key("root").load()?;
    let fields = CrlFields {
        issuer: root.subject(),
        issuer_key_identifier: root.public_key().key_identifier(),
        signature_algorithm: pair.default_signature_algorithm(),
        number: old.map_or(0, Crl::number).max(used) + 1,
        this_update: now,
        next_update: now.plus(VALIDITY).minus(Duration::from_secs(1)),
        distribution_point: None,
    };
    let entries = old.map(|old| old.entries().to_vec()).unwrap_or_default();
    let crl = ceremony::crl(&pair, root.subject(), &TbsCrl::build(&fields, &entries))?;
    write_file(&files.root_crl, crl.der())?;
    Ok(crl)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assembly::Assembly;
    use crate::config::{Choices, Config, File};

    const DAY: u64 = 86_400;

    /// A CA, and its root's CRL as it was made so many days ago.
    async fn made_before(days: u64, folder: &tempfile::TempDir) -> (Assembly, RootCrl, Files) {
        let config = Config::new(folder.path().join("data"), &File::default(), &Choices::default()).unwrap();
        let assembly = Assembly::open(&config).await.unwrap();
        let files = Files::of(&config.hierarchy);
        fs::remove_file(&files.root_crl).unwrap();
        let then = assembly.ca.now().minus(Duration::from_secs(days * DAY)).whole_second();
        let (crl, made) = RootCrl::open(files.clone(), assembly.root.clone(), then).unwrap();
        assert!(made);
        (assembly, crl, files)
    }

    #[tokio::test]
    async fn root_crl_is_made_anew_while_the_server_runs() {
        let folder = tempfile::tempdir().unwrap();
        let (assembly, crl, files) = made_before(200, &folder).await;
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Made);
        assert_eq!(crl.current().number(), 2);
        assert_eq!(Crl::from_der(&fs::read(&files.root_crl).unwrap()).unwrap().number(), 2);
        crl.current().verify_signed_by(assembly.root.public_key()).unwrap();
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Fresh);
    }

    #[tokio::test]
    async fn root_crl_that_a_backup_brought_back_is_made_anew_above_the_numbers_used() {
        let folder = tempfile::tempdir().unwrap();
        let (assembly, crl, _) = made_before(1, &folder).await;
        let root = assembly.root.public_key().spki_hash();
        assert!(assembly.ca.ledger.allocate_crl_number(root, 0, 7).await.unwrap());
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Made);
        assert_eq!(crl.current().number(), 8);
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Fresh);
    }

    #[tokio::test]
    async fn end_of_a_root_crl_is_said_in_time_if_the_key_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let (assembly, crl, files) = made_before(310, &folder).await;
        let (key, safe) = (files.keys.join("root.pem"), folder.path().join("safe.pem"));
        fs::rename(&key, &safe).unwrap();
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Warned);
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Waits, "once a day is enough");
        fs::rename(&safe, &key).unwrap();
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Made);
    }

    #[tokio::test]
    async fn key_that_is_away_is_not_missed_while_there_is_time() {
        let folder = tempfile::tempdir().unwrap();
        let (assembly, crl, files) = made_before(200, &folder).await;
        fs::remove_file(files.keys.join("root.pem")).unwrap();
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Waits);
    }

    #[tokio::test]
    async fn root_crl_waits_for_a_clock_that_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let (assembly, crl, _) = made_before(200, &folder).await;
        let hour_ahead = assembly.ca.now().plus(Duration::from_secs(3600));
        assembly.ca.ledger.accept_time(hour_ahead).await.unwrap();
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Waits);
        assembly.ca.accept_clock("the operator").await.unwrap().unwrap();
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Made);
    }
}
