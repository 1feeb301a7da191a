//! A folder with an audit log, and its key.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use ca::ports::{AuditEvent, AuditLog, AuditMark, CheckpointKey, Clock, SignError};
use ca::{InstanceId, OrderId};
use futures_util::future::BoxFuture;
use pki::{KeyKind, PublicKey, Reason, Serial, Timestamp};
use store::audit::{
    AuditLimits, AuditLogError, AuditOptions, CheckpointRules, Checkpointer, Examination, Examined, Fault, FaultKind,
    FileAuditLog, Verified, examine, files_of, verify,
};

pub(crate) const INSTANCE: InstanceId = InstanceId::from_bytes([0xa1; 16]);

#[derive(Debug)]
pub(crate) struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_262_400)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A folder for a log with small files.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) limits: AuditLimits,
}

impl Place {
    pub(crate) fn new() -> Self {
        let limits = AuditLimits { file_octets_max: 900, free_octets_min: 0, ..AuditLimits::default() };
        Self { folder: tempfile::tempdir().unwrap(), limits }
    }

    pub(crate) fn in_one_file() -> Self {
        let mut place = Self::new();
        place.limits.file_octets_max = u64::MAX;
        place
    }

    pub(crate) fn open(&self) -> Result<FileAuditLog, AuditLogError> {
        self.open_as(INSTANCE)
    }

    pub(crate) fn open_as(&self, instance: InstanceId) -> Result<FileAuditLog, AuditLogError> {
        self.open_knowing(instance, None)
    }

    /// With the ledger's mark.
    pub(crate) fn open_knowing(
        &self,
        instance: InstanceId,
        known: Option<AuditMark>,
    ) -> Result<FileAuditLog, AuditLogError> {
        let on_fatal = Arc::new(|error: &ca::ports::StoreError| panic!("{error}"));
        let options = AuditOptions { limits: self.limits, known };
        FileAuditLog::open_with(self.folder.path(), instance, options, Arc::new(Noon), on_fatal)
    }

    /// A log of so many lines behind the first, written by one process that has ended.
    pub(crate) async fn written(self, lines: u8) -> Self {
        let log = self.open().unwrap();
        for number in 1..=lines {
            log.append(event(number)).await.unwrap();
        }
        self
    }

    pub(crate) fn verify(&self, known: Option<AuditMark>) -> Result<Verified, Fault> {
        verify(self.folder.path(), known, &mut |_| {})
    }

    /// All that is wrong.
    pub(crate) fn examine(&self, what: Examination) -> Examined {
        let files = files_of(&[self.folder.path().to_owned()]).unwrap();
        examine(&Examination { files, instance: Some(INSTANCE), ..what }, &mut |_| {}).unwrap()
    }

    /// The faults by kind, with line of the file and number of the log.
    pub(crate) fn faults(&self) -> Vec<(FaultKind, Option<u64>, Option<u64>)> {
        let what = Examination { keys: vec![Signer::of(7).public], ..Examination::default() };
        let faults = self.examine(what).faults;
        faults.iter().map(|one| (one.kind, one.place.as_ref().and_then(|place| place.line), one.sequence)).collect()
    }

    /// The number of the last file.
    pub(crate) fn last(&self) -> u32 {
        (0..1000).filter(|number| self.file(*number).exists()).max().unwrap()
    }

    /// Makes checkpoints with the key of this seed; one is due at every look.
    pub(crate) async fn checkpointer(&self, log: &Arc<FileAuditLog>, seed: u8) -> Checkpointer {
        let rules = CheckpointRules { lines: 1, interval: Duration::ZERO };
        let key = Arc::new(Signer::of(seed));
        Checkpointer::begin(Arc::clone(log), self.folder.path(), INSTANCE, key, rules, Arc::new(Noon)).await.unwrap()
    }

    /// A log of so many lines with a checkpoint behind every second, signed with the key of seed 7.
    pub(crate) async fn signed(self, lines: u8) -> Self {
        let log = Arc::new(self.open().unwrap());
        let checkpointer = self.checkpointer(&log, 7).await;
        for number in 1..=lines {
            log.append(event(number)).await.unwrap();
            if number % 2 == 0 {
                checkpointer.make().await.unwrap().unwrap();
            }
        }
        self
    }

    /// Writes another text into a file.
    pub(crate) fn write(&self, number: u32, text: &str) {
        fs::write(self.file(number), text).unwrap();
    }

    pub(crate) fn file(&self, number: u32) -> PathBuf {
        self.folder.path().join(format!("{number:08}.jsonl"))
    }

    pub(crate) fn text(&self, number: u32) -> String {
        fs::read_to_string(self.file(number)).unwrap()
    }
}

pub(crate) fn event(number: u8) -> AuditEvent {
    AuditEvent::Precertificate {
        order: OrderId::from_bytes([number; 16]),
        serial: Serial::from_random([number; 16]),
        der: vec![number; 40],
    }
}

pub(crate) fn revocation() -> AuditEvent {
    let serial = Serial::from_random([1; 16]);
    AuditEvent::Revocation { serial, reason: Reason::Superseded, revoked: Noon.now(), by: "a test".to_owned() }
}

/// A key of checkpoints.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
    pub(crate) public: PublicKey,
}

impl Signer {
    pub(crate) fn of(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = PublicKey::from_ec_point(KeyKind::Ed25519, pair.public_key().as_ref()).unwrap();
        Self { pair, public }
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({:?})", self.public)
    }
}

#[async_trait]
impl CheckpointKey for Signer {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    async fn sign(&self, note: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.pair.sign(note).as_ref().to_vec())
    }
}
