//! The root's CRL: of its intermediates. It is renewed while the server runs, as long as the root's key is there.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ca::Ca;
use ca::clock::BEHIND_MAX;
use ca::ports::{AuditEvent, CrlShard, StoreError, StoreErrorKind};
use keys::{KeyPair, ceremony};
use pki::lint::{self, CrlRules};
use pki::{Certificate, Crl, CrlEntry, CrlFields, Sha256, TbsCrl, Timestamp};

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

/// The root's CRL as the files have it, before there is a CA that could make the first one.
#[derive(Debug)]
pub struct Found {
    files: Files,
    root: Certificate,
    crl: Option<Crl>,
}

#[derive(Debug)]
struct Kept {
    crl: Crl,
    /// One that was logged, and perhaps not written.
    made: Option<Crl>,
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

impl Found {
    /// What the file has.
    ///
    /// # Errors
    /// The file can't be read, is no CRL of this root, or is missing together with the root's key.
    pub fn open(files: Files, root: Certificate) -> Result<Self, HierarchyError> {
        let crl = read(&files)?;
        if let Some(crl) = &crl {
            // Whether it has ended is another matter: it is all there is until the next one is made.
            of_root(&root, crl)?;
        }
        if crl.is_none() && !files.key("root").exists()? {
            let detail = "it is missing, and so is the root's key".to_owned();
            return Err(HierarchyError::Certificate { path: files.root_crl, detail });
        }
        Ok(Self { files, root, crl })
    }

    /// The first one is made; one that was brought in while no server ran is logged before it is served.
    ///
    /// # Errors
    /// As [`RootCrl::look_after`].
    pub async fn or_first(self, ca: &Ca) -> Result<RootCrl, RootCrlError> {
        let Self { files, root, crl } = self;
        let issuer = root.public_key().spki_hash();
        let crl = match crl {
            Some(crl) => {
                let used = ca.ledger.crl_state(issuer, CrlShard::alone(0)).await?.allocated;
                if crl.number() > used {
                    log(&crl, issuer, ca).await?;
                    ca.ledger.allocate_crl_number(issuer, 0, crl.number(), ca.now()).await?;
                } else if crl.number() < used {
                    let number = crl.number();
                    tracing::error!(number, used, "the root's CRL is older than one of before: restore root.crl");
                }
                crl
            }
            None => {
                let crl = make(&files, &root, None, ca).await?;
                write_file(&files.root_crl, crl.der()).map_err(RootCrlError::from)?;
                crl
            }
        };
        Ok(RootCrl { files, root, kept: Mutex::new(Kept { crl, made: None, warned: None }) })
    }
}

impl RootCrl {
    /// The CRL as it is.
    pub fn current(&self) -> Crl {
        self.lock().crl.clone()
    }

    /// Makes it anew if that is due and can be done.
    ///
    /// # Errors
    /// A file could not be read or written, or the ceremony failed.
    pub async fn look_after(&self, ca: &Ca) -> Result<Looked, RootCrlError> {
        let refused = match self.take_in(ca).await {
            Ok(None) => None,
            Ok(Some(number)) => {
                tracing::info!(number, "a CRL of the root that was made elsewhere is served from now on");
                return Ok(Looked::Made);
            }
            Err(error @ RootCrlError::Store(_)) => return Err(error),
            // What lies there must not keep the next one from being made.
            Err(error @ RootCrlError::Hierarchy(_)) => Some(error),
        };
        match (self.renew(ca).await?, refused) {
            (Looked::Made, Some(error)) => {
                tracing::error!(%error, "another file lay where the root's CRL is: it was replaced");
                Ok(Looked::Made)
            }
            (_, Some(error)) => Err(error),
            (looked, None) => Ok(looked),
        }
    }

    async fn renew(&self, ca: &Ca) -> Result<Looked, RootCrlError> {
        let (old, now) = (self.current(), ca.now());
        let left = old.next_update().since(now);
        // Numbers above its own were used: a backup has brought an old one back.
        let used = ca.ledger.crl_state(self.root.public_key().spki_hash(), CrlShard::alone(0)).await?.allocated;
        // One of the future was made with a clock that was wrong: nobody takes it before that time.
        let of_the_future = old.this_update().since(now) > BEHIND_MAX;
        if left > RENEWAL && old.number() >= used && !of_the_future {
            return Ok(Looked::Fresh);
        }
        if !self.files.key("root").exists().map_err(HierarchyError::from)? {
            return Ok(self.without_key(&old, left, now));
        }
        if ca.check_clock().await?.is_err() {
            return Ok(Looked::Waits);
        }
        let crl = make(&self.files, &self.root, Some(&old), ca).await?;
        let number = crl.number();
        self.lock().made = Some(crl.clone());
        write_file(&self.files.root_crl, crl.der())?;
        self.lock().crl = crl;
        tracing::info!(number, "the root's CRL was made anew");
        Ok(Looked::Made)
    }

    /// Takes a CRL that was brought in since (`cairn root crl --import`): its number.
    async fn take_in(&self, ca: &Ca) -> Result<Option<u64>, RootCrlError> {
        let old = self.current();
        let Some(crl) = read(&self.files)?.filter(|crl| crl.der() != old.der()) else { return Ok(None) };
        let is_ours = self.lock().made.as_ref().is_some_and(|made| made.der() == crl.der());
        if is_ours {
            let number = crl.number();
            self.lock().crl = crl;
            return Ok(Some(number));
        }
        check(&self.root, Some(&old), &crl, ca.now())?;
        let (issuer, number) = (self.root.public_key().spki_hash(), crl.number());
        let refused = || HierarchyError::RootCrl(format!("its number, {number}, is not above all that were used"));
        if ca.ledger.crl_state(issuer, CrlShard::alone(0)).await?.allocated >= number {
            return Err(refused().into());
        }
        // Its line comes first: if the process ends before the ledger has the number, the next start logs it again.
        log(&crl, issuer, ca).await?;
        if !ca.ledger.allocate_crl_number(issuer, 0, number, ca.now()).await? {
            return Err(refused().into());
        }
        self.lock().crl = crl;
        Ok(Some(number))
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

/// The next one. Its number is the ledger's before it is signed, so that none is used twice; its line is synced before
/// anybody sees it, and the file is written last, by the caller.
async fn make(files: &Files, root: &Certificate, old: Option<&Crl>, ca: &Ca) -> Result<Crl, RootCrlError> {
    let issuer = root.public_key().spki_hash();
    let used = ca.ledger.crl_state(issuer, CrlShard::alone(0)).await?.allocated;
    let number = old.map_or(0, Crl::number).max(used) + 1;
    if !ca.ledger.allocate_crl_number(issuer, 0, number, ca.now()).await? {
        let detail = format!("number {number} of the root's CRL was allocated by another");
        return Err(StoreError::new(StoreErrorKind::Unavailable, detail).into());
    }
    let entries = old.map(Crl::entries).unwrap_or_default();
    let pair = files.key("root").load().map_err(HierarchyError::from)?;
    let crl = sign(&pair, root, (entries, number), ca.now().whole_second())?;
    check(root, None, &crl, ca.now())?;
    log(&crl, issuer, ca).await?;
    Ok(crl)
}

async fn log(crl: &Crl, issuer: Sha256, ca: &Ca) -> Result<(), StoreError> {
    let event = AuditEvent::Crl { issuer, shard: 0, number: crl.number(), sha256: Sha256::of(crl.der()) };
    let line = ca.audit.append(event).await?;
    ca.audit.applied(line);
    Ok(())
}

/// Signs a CRL of the root with its key.
///
/// # Errors
/// The ceremony failed.
pub fn sign(
    pair: &KeyPair,
    root: &Certificate,
    (entries, number): (&[CrlEntry], u64),
    now: Timestamp,
) -> Result<Crl, HierarchyError> {
    let fields = CrlFields {
        issuer: root.subject(),
        issuer_key_identifier: root.public_key().key_identifier(),
        signature_algorithm: pair.default_signature_algorithm(),
        number,
        this_update: now,
        next_update: now.plus(VALIDITY).minus(Duration::from_secs(1)),
        distribution_point: None,
    };
    let entries: Vec<CrlEntry> = entries.iter().map(|entry| entry.shown_at(now)).collect();
    Ok(ceremony::crl(pair, root.subject(), &TbsCrl::build(&fields, &entries))?)
}

/// Whether this is a CRL of the root that may be shown from now on, behind the last one.
///
/// # Errors
/// [`HierarchyError::RootCrl`]: another key has signed it, it breaks rules, its number or time doesn't grow, it leaves
/// out what the last one lists, or it has ended.
pub fn check(root: &Certificate, last: Option<&Crl>, crl: &Crl, now: Timestamp) -> Result<(), HierarchyError> {
    let refused = |why: String| HierarchyError::RootCrl(why);
    of_root(root, crl)?;
    if crl.next_update() <= now {
        return Err(refused(format!("it has ended: nextUpdate is {}", crl.next_update().to_rfc3339())));
    }
    // One of the future was made with a clock that was wrong.
    let last = last.filter(|last| last.this_update().since(now) <= BEHIND_MAX);
    let rules = CrlRules { issuer: root, previous: last, expired: &BTreeSet::new(), now };
    lint::crl(crl.tbs().clone(), &rules).map_err(|failure| refused(failure.to_string()))?;
    Ok(())
}

/// Whether it is a CRL of this root.
fn of_root(root: &Certificate, crl: &Crl) -> Result<(), HierarchyError> {
    let refused = |why: String| HierarchyError::RootCrl(why);
    if crl.issuer() != root.subject() {
        return Err(refused("it names another issuer".to_owned()));
    }
    crl.verify_signed_by(root.public_key()).map_err(|error| refused(format!("its signature is wrong: {error}")))
}

/// Puts a CRL of the root where the server finds it.
///
/// # Errors
/// The file can't be written.
pub fn write(files: &Files, crl: &Crl) -> Result<(), HierarchyError> {
    write_file(&files.root_crl, crl.der())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assembly::Assembly;
    use crate::config::{Choices, Config, File};

    const DAY: u64 = 86_400;

    /// A CA, and its root's CRL as it was made at another time.
    async fn made_at(
        then: impl FnOnce(Timestamp) -> Timestamp,
        folder: &tempfile::TempDir,
    ) -> (Assembly, RootCrl, Files) {
        let config = Config::new(folder.path().join("data"), &File::default(), &Choices::default()).unwrap();
        let assembly = Assembly::open(&config).await.unwrap();
        let files = Files::of(&config.hierarchy);
        let then = then(assembly.ca.now()).whole_second();
        let pair = files.key("root").load().unwrap();
        let crl = sign(&pair, &assembly.root, (&[], 1), then).unwrap();
        write_file(&files.root_crl, crl.der()).unwrap();
        let found = Found::open(files.clone(), assembly.root.clone()).unwrap();
        let crl = found.or_first(&assembly.ca).await.unwrap();
        (assembly, crl, files)
    }

    async fn made_before(days: u64, folder: &tempfile::TempDir) -> (Assembly, RootCrl, Files) {
        made_at(|now| now.minus(Duration::from_secs(days * DAY)), folder).await
    }

    /// What the audit log says of the root's CRLs: their numbers.
    async fn logged(assembly: &Assembly) -> Vec<u64> {
        let root = assembly.root.public_key().spki_hash();
        let start = ca::ports::AuditMark { sequence: 0, chain: Sha256::from_bytes([0; 32]) };
        let (lines, _) = assembly.ca.audit.lines(start, 1000).await.unwrap();
        let mut numbers = Vec::new();
        for line in lines {
            if let AuditEvent::Crl { issuer, number, .. } = line.event
                && issuer == root
            {
                numbers.push(number);
            }
        }
        numbers
    }

    #[tokio::test]
    async fn root_crl_that_could_not_be_written_was_never_shown_and_its_number_is_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let (assembly, crl, files) = made_before(200, &folder).await;
        let part = crate::places::part_of(&files.root_crl);
        fs::create_dir(&part).unwrap();
        crl.look_after(&assembly.ca).await.unwrap_err();
        assert_eq!(crl.current().number(), 1);
        assert_eq!(logged(&assembly).await, [1, 2], "its line comes before the file");
        fs::remove_dir(&part).unwrap();
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Made);
        assert_eq!(crl.current().number(), 3);
        assert_eq!(logged(&assembly).await, [1, 2, 3]);
    }

    #[tokio::test]
    async fn root_crl_that_was_brought_in_is_served_and_its_number_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let (assembly, crl, files) = made_before(100, &folder).await;
        let (root, now) = (&assembly.root, assembly.ca.now().whole_second());
        let pair = files.key("root").load().unwrap();
        write(&files, &sign(&pair, root, (&[], 9), now).unwrap()).unwrap();
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Made);
        assert_eq!((crl.current().number(), logged(&assembly).await), (9, vec![1, 9]));
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Fresh);
        let other = KeyPair::generate(keys::KeyAlgorithm::P256).unwrap();
        for (key, number) in [(&pair, 9), (&pair, 3), (&other, 12)] {
            write(&files, &sign(key, root, (&[], number), now).unwrap()).unwrap();
            crl.look_after(&assembly.ca).await.unwrap_err();
            assert_eq!(crl.current().number(), 9, "what is wrong is not served");
        }
    }

    #[tokio::test]
    async fn what_lies_in_the_place_of_the_root_crl_keeps_no_next_one_from_being_made() {
        for of_another in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (assembly, crl, files) = made_before(200, &folder).await;
            let now = assembly.ca.now().whole_second();
            let other = KeyPair::generate(keys::KeyAlgorithm::P256).unwrap();
            let wrong = sign(&other, &assembly.root, (&[], 12), now).unwrap().der().to_vec();
            fs::write(&files.root_crl, if of_another { wrong } else { b"nothing".to_vec() }).unwrap();
            assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Made);
            let written = Crl::from_der(&fs::read(&files.root_crl).unwrap()).unwrap();
            assert_eq!((crl.current().number(), written.number()), (2, 2));
        }
    }

    #[tokio::test]
    async fn root_crl_that_was_logged_and_written_is_served_though_the_writing_was_said_to_fail() {
        let folder = tempfile::tempdir().unwrap();
        let (assembly, crl, files) = made_before(200, &folder).await;
        let part = crate::places::part_of(&files.root_crl);
        fs::create_dir(&part).unwrap();
        crl.look_after(&assembly.ca).await.unwrap_err();
        fs::remove_dir(&part).unwrap();
        // As if the folder alone could not be synced.
        let made = crl.lock().made.clone().unwrap();
        write(&files, &made).unwrap();
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Made);
        assert_eq!((crl.current().number(), logged(&assembly).await), (2, vec![1, 2]));
    }

    #[tokio::test]
    async fn root_crl_that_was_brought_in_while_no_server_ran_is_logged_and_its_number_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let (assembly, _, files) = made_before(100, &folder).await;
        let (root, now) = (&assembly.root, assembly.ca.now().whole_second());
        let pair = files.key("root").load().unwrap();
        write(&files, &sign(&pair, root, (&[], 9), now).unwrap()).unwrap();
        for _ in 0..2 {
            let found = Found::open(files.clone(), root.clone()).unwrap();
            assert_eq!(found.or_first(&assembly.ca).await.unwrap().current().number(), 9);
            assert_eq!(logged(&assembly).await, [1, 9]);
        }
        let used =
            assembly.ca.ledger.crl_state(root.public_key().spki_hash(), CrlShard::alone(0)).await.unwrap().allocated;
        assert_eq!(used, 9);
    }

    #[tokio::test]
    async fn root_crl_of_another_key_is_not_served_from_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let (assembly, _, files) = made_before(100, &folder).await;
        let other = KeyPair::generate(keys::KeyAlgorithm::P256).unwrap();
        let now = assembly.ca.now().whole_second();
        write(&files, &sign(&other, &assembly.root, (&[], 9), now).unwrap()).unwrap();
        let refused = Found::open(files, assembly.root.clone()).unwrap_err().to_string();
        assert!(refused.contains("its signature is wrong"), "{refused}");
    }

    #[tokio::test]
    async fn root_crl_of_the_future_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (assembly, crl, _) = made_at(|now| now.plus(Duration::from_secs(DAY)), &folder).await;
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Made);
        assert!(crl.current().this_update() <= assembly.ca.now());
        assert_eq!(crl.look_after(&assembly.ca).await.unwrap(), Looked::Fresh);
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
        assert!(assembly.ca.ledger.allocate_crl_number(root, 0, 7, assembly.ca.now()).await.unwrap());
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
