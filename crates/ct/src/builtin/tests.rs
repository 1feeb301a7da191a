use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ca::ports::{CtSubmitter, NewLeaf, SignError, StoreError, StoreErrorKind, Stored, TreeHead};
use pki::Timestamp;
use pki::sct::tree::{verify_consistency, verify_inclusion};
use store::memory::MemoryLogStore;

use super::*;
use crate::testing::{GOOD, NOW, SoftKey, TestCa, Wanted};
use crate::wire::{Hash, precert_chain_entry};
use crate::{Log, LogState, Submitter, SubmitterSettings};

/// A store whose tree heads can be made to fail, and which its key asks what is committed.
#[derive(Debug)]
struct FaultyStore {
    inner: MemoryLogStore,
    refuses_heads: AtomicBool,
}

#[async_trait]
impl LogStore for FaultyStore {
    async fn add_leaf(&self, log: LogId, leaf: NewLeaf) -> Stored<(u64, Timestamp)> {
        self.inner.add_leaf(log, leaf).await
    }

    async fn size(&self, log: LogId) -> Stored<u64> {
        self.inner.size(log).await
    }

    async fn leaves(&self, log: LogId, first: u64, limit: u32) -> Stored<Vec<Leaf>> {
        self.inner.leaves(log, first, limit).await
    }

    async fn index_of(&self, log: LogId, leaf_hash: Sha256) -> Stored<Option<u64>> {
        self.inner.index_of(log, leaf_hash).await
    }

    async fn nodes(&self, log: LogId, nodes: &[(u8, u64)]) -> Stored<Vec<Sha256>> {
        self.inner.nodes(log, nodes).await
    }

    async fn store_tree_head(&self, log: LogId, head: TreeHead, nodes: Vec<(u8, u64, Sha256)>) -> Stored<bool> {
        if self.refuses_heads.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Full, "no room is left"));
        }
        self.inner.store_tree_head(log, head, nodes).await
    }

    async fn tree_head(&self, log: LogId) -> Stored<Option<TreeHead>> {
        self.inner.tree_head(log).await
    }
}

/// A key that notes how many leaves were committed at each of its signatures, and can be made to fail.
#[derive(Debug)]
struct WatchingKey {
    inner: SoftKey,
    store: Arc<FaultyStore>,
    committed: Mutex<Vec<u64>>,
    fails: AtomicBool,
}

#[async_trait]
impl LogKey for WatchingKey {
    fn log_id(&self) -> LogId {
        self.inner.log_id()
    }

    fn public_key(&self) -> &PublicKey {
        self.inner.public_key()
    }

    async fn sign(&self, data: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(SignError::NotSigned("the key is away".to_owned()));
        }
        let committed = self.store.size(self.log_id()).await.unwrap();
        self.committed.lock().unwrap().push(committed);
        self.inner.sign(data).await
    }
}

struct Setting {
    ca: TestCa,
    store: Arc<FaultyStore>,
    key: Arc<WatchingKey>,
    acceptance: Arc<Acceptance>,
    log: Arc<BuiltinLog>,
}

async fn setting() -> Setting {
    let ca = TestCa::new().await;
    let store =
        Arc::new(FaultyStore { inner: MemoryLogStore::new(ca.clock.clone()), refuses_heads: AtomicBool::new(false) });
    let acceptance = Arc::new(Acceptance::new(vec![ca.issuer.clone()], ca.ledger.clone()));
    let key = Arc::new(WatchingKey {
        inner: SoftKey::generate(),
        store: Arc::clone(&store),
        committed: Mutex::default(),
        fails: AtomicBool::new(false),
    });
    let log = Arc::new(BuiltinLog::new(key.clone(), store.clone(), acceptance.clone(), ca.clock.clone()));
    Setting { ca, store, key, acceptance, log }
}

impl Setting {
    /// The same log in a process of its own, over the same store.
    fn another_process(&self) -> BuiltinLog {
        let (store, acceptance) = (self.store.clone(), self.acceptance.clone());
        BuiltinLog::new(self.key.clone(), store, acceptance, self.ca.clock.clone())
    }

    /// Leaves that stand in the store and were never seen by this process.
    async fn add_foreign_leaves(&self, number: u32) {
        for number in 0..number {
            let leaf = NewLeaf {
                identity: Sha256::of(&number.to_be_bytes()),
                issuer_key_hash: self.ca.issuer.id,
                tbs: number.to_be_bytes().to_vec(),
                precertificate: vec![1, 2, 3],
                chain: vec![vec![4]],
            };
            self.store.add_leaf(self.log.id, leaf).await.unwrap();
        }
    }

    async fn refusal(&self, submission: &CtSubmission) -> String {
        let error = self.log.add_pre_chain(submission).await.unwrap_err();
        let EndpointError::Refused(reason) = error else { panic!("{error}") };
        reason
    }

    fn verify_head(&self, head: &TreeHead) {
        let signed = tree::tree_head_signed_data(head.timestamp, head.size, &head.root);
        DigitallySigned::from_tls(&head.signature).unwrap().verify(self.key.public_key(), &signed).unwrap();
    }
}

fn hashes(path: &[Hash]) -> Vec<Sha256> {
    path.iter().map(|hash| hash.0).collect()
}

#[tokio::test]
async fn an_sct_is_signed_over_a_committed_leaf_and_verifies() {
    let setting = setting().await;
    for number in 1..=3 {
        let submission = setting.ca.submission().await;
        let sct = setting.log.add_pre_chain(&submission).await.unwrap();
        sct.verify(setting.key.public_key(), &submission.entry).unwrap();
        assert!(sct.extensions.is_empty());
        assert_eq!(sct.timestamp, NOW);
        assert_eq!(setting.key.committed.lock().unwrap().last(), Some(&number), "the leaf is committed first");
    }
}

#[tokio::test]
async fn a_resubmission_is_answered_with_the_same_sct() {
    let setting = setting().await;
    let submission = setting.ca.submission().await;
    let first = setting.log.add_pre_chain(&submission).await.unwrap();
    setting.ca.clock.advance(Duration::from_secs(60));
    assert_eq!(setting.log.add_pre_chain(&submission).await.unwrap(), first);
    let after_restart = setting.another_process().add_pre_chain(&submission).await.unwrap();
    assert_eq!(after_restart.timestamp, first.timestamp);
    after_restart.verify(setting.key.public_key(), &submission.entry).unwrap();
    assert_eq!(setting.store.size(setting.log.id).await, Ok(1));
}

#[tokio::test]
async fn two_submissions_at_once_get_one_leaf_and_one_sct() {
    let setting = setting().await;
    let submission = setting.ca.submission().await;
    let (one, other) = tokio::join!(setting.log.add_pre_chain(&submission), setting.log.add_pre_chain(&submission));
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(setting.store.size(setting.log.id).await, Ok(1));
}

#[tokio::test]
async fn a_leaf_whose_sct_could_not_be_signed_keeps_its_timestamp() {
    let setting = setting().await;
    let submission = setting.ca.submission().await;
    setting.key.fails.store(true, Ordering::Relaxed);
    let error = setting.log.add_pre_chain(&submission).await.unwrap_err();
    assert!(matches!(error, EndpointError::Failed(_)), "{error}");
    setting.key.fails.store(false, Ordering::Relaxed);
    setting.ca.clock.advance(Duration::from_secs(60));
    assert_eq!(setting.log.add_pre_chain(&submission).await.unwrap().timestamp, NOW);
}

#[tokio::test]
async fn only_precertificates_of_this_ca_are_taken() {
    let setting = setting().await;
    for (wanted, said) in [
        (Wanted { poison: false, ..GOOD }, "no poison"),
        (Wanted { begun: false, good: false, ..GOOD }, "none that this CA allocated"),
        (Wanted { good: false, ..GOOD }, "was signed yet"),
        (Wanted { signed_by_issuer: false, ..GOOD }, "signature"),
    ] {
        let submission = setting.ca.submission_of(wanted).await;
        let reason = setting.refusal(&submission).await;
        assert!(reason.contains(said), "{reason}");
    }
    let mut submission = setting.ca.submission().await;
    submission.chain = vec![submission.precertificate.clone()];
    assert!(setting.refusal(&submission).await.contains("not the issuer's"));
    submission.chain = vec![Vec::new(); 11];
    assert!(setting.refusal(&submission).await.contains("at most 10"));
    submission.precertificate.pop();
    submission.chain.clear();
    assert!(setting.refusal(&submission).await.contains("not a certificate in DER"));
    assert_eq!(setting.store.size(setting.log.id).await, Ok(0));
}

#[tokio::test]
async fn what_was_refused_for_its_record_is_taken_once_the_record_is_there() {
    let setting = setting().await;
    let submission = setting.ca.submission_of(Wanted { good: false, ..GOOD }).await;
    setting.refusal(&submission).await;
    ca::ports::Ledger::mark_good(&*setting.ca.ledger, submission.serial, NOW).await.unwrap();
    setting.log.add_pre_chain(&submission).await.unwrap();
}

#[tokio::test]
async fn a_chain_submitted_as_json_is_answered_as_json() {
    let setting = setting().await;
    let submission = setting.ca.submission().await;
    let chain = std::iter::once(&submission.precertificate).chain(&submission.chain).cloned().map(Base64).collect();
    let added = setting.log.add_submitted_chain(&AddPreChain { chain }).await.unwrap();
    assert_eq!((added.sct_version, added.id), (0, setting.log.id));
    let sct = setting.log.add_pre_chain(&submission).await.unwrap();
    assert_eq!(added.signature.0, sct.signature.to_tls());
    let empty = setting.log.add_submitted_chain(&AddPreChain { chain: Vec::new() }).await.unwrap_err();
    assert!(matches!(empty, EndpointError::Refused(_)), "{empty}");
    assert_eq!(setting.log.roots().certificates, [Base64(setting.ca.issuer.certificate.der().to_vec())]);
}

#[tokio::test]
async fn every_leaf_is_proved_in_every_tree_and_every_tree_extends_the_earlier_ones() {
    let setting = setting().await;
    let mut roots: BTreeMap<u64, Sha256> = BTreeMap::new();
    let mut leaf_hashes = Vec::new();
    let empty = setting.log.update_tree_head().await.unwrap();
    assert_eq!((empty.size, empty.root), (0, Sha256::of(b"")));
    setting.verify_head(&empty);
    for size in 1..=40_u64 {
        let submission = setting.ca.submission().await;
        let sct = setting.log.add_pre_chain(&submission).await.unwrap();
        leaf_hashes.push(tree::leaf_hash(&submission.entry.merkle_tree_leaf(sct.timestamp, &sct.extensions)));
        let head = setting.log.update_tree_head().await.unwrap();
        setting.verify_head(&head);
        assert_eq!(head.size, size);
        for (index, hash) in leaf_hashes.iter().enumerate() {
            let proof = setting.log.proof_by_hash(*hash, size).await.unwrap();
            assert_eq!(proof.leaf_index, index as u64);
            let path = hashes(&proof.audit_path);
            assert!(verify_inclusion(hash, proof.leaf_index, size, &path, &head.root), "leaf {index} of {size}");
        }
        for (first, root) in &roots {
            let proof = setting.log.sth_consistency(*first, size).await.unwrap();
            let path = hashes(&proof.consistency);
            assert!(verify_consistency(*first, size, &path, root, &head.root), "{first} to {size}");
        }
        roots.insert(size, head.root);
    }
    assert!(setting.log.sth_consistency(0, 40).await.unwrap().consistency.is_empty());
}

#[tokio::test]
async fn a_tree_head_covers_committed_leaves_and_nothing_beyond_it_is_shown() {
    let setting = setting().await;
    for _ in 0..3 {
        setting.log.add_pre_chain(&setting.ca.submission().await).await.unwrap();
    }
    assert!(matches!(setting.log.entries(0, 10).await, Err(ReadError::Refused(_))), "no tree head yet");
    assert_eq!(setting.log.update_tree_head().await.unwrap().size, 3);
    let late = setting.ca.submission().await;
    let sct = setting.log.add_pre_chain(&late).await.unwrap();
    assert_eq!(setting.log.signed_tree_head().await.unwrap().tree_size, 3, "the last head is not a second old");
    assert_eq!(setting.log.entries(0, u64::MAX).await.unwrap().entries.len(), 3);
    assert!(matches!(setting.log.entries(3, 3).await, Err(ReadError::Refused(_))));
    assert!(matches!(setting.log.entries(2, 1).await, Err(ReadError::Refused(_))));
    assert!(matches!(setting.log.sth_consistency(1, 4).await, Err(ReadError::Refused(_))));
    assert!(matches!(setting.log.entry_and_proof(3, 3).await, Err(ReadError::Refused(_))));
    let hash = tree::leaf_hash(&late.entry.merkle_tree_leaf(sct.timestamp, &[]));
    assert!(matches!(setting.log.proof_by_hash(hash, 3).await, Err(ReadError::Refused(_))));
    setting.ca.clock.advance(Duration::from_secs(1));
    assert_eq!(setting.log.signed_tree_head().await.unwrap().tree_size, 4);
    assert_eq!(setting.log.proof_by_hash(hash, 4).await.unwrap().leaf_index, 3);
    assert!(matches!(setting.log.proof_by_hash(hash, 3).await, Err(ReadError::Refused(_))), "not in the older tree");
}

#[tokio::test]
async fn an_entry_is_given_out_as_it_was_logged() {
    let setting = setting().await;
    let submission = setting.ca.submission().await;
    setting.log.add_pre_chain(&setting.ca.submission().await).await.unwrap();
    let sct = setting.log.add_pre_chain(&submission).await.unwrap();
    let head = setting.log.update_tree_head().await.unwrap();
    let entries = setting.log.entries(1, 1).await.unwrap().entries;
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(entry.leaf_input.0, submission.entry.merkle_tree_leaf(sct.timestamp, &[]));
    assert_eq!(entry.extra_data.0, precert_chain_entry(&submission.precertificate, &submission.chain));
    let proved = setting.log.entry_and_proof(1, 2).await.unwrap();
    assert_eq!((&proved.leaf_input, &proved.extra_data), (&entry.leaf_input, &entry.extra_data));
    let hash = tree::leaf_hash(&proved.leaf_input.0);
    assert!(verify_inclusion(&hash, 1, 2, &hashes(&proved.audit_path), &head.root));
}

#[tokio::test]
async fn tree_heads_grow_in_time_even_while_the_clock_stands_still() {
    let setting = setting().await;
    let mut last: Option<TreeHead> = None;
    for _ in 0..4 {
        setting.log.add_pre_chain(&setting.ca.submission().await).await.unwrap();
        let head = setting.log.update_tree_head().await.unwrap();
        if let Some(last) = last {
            assert!(head.timestamp > last.timestamp && head.size == last.size + 1);
        }
        last = Some(head);
    }
}

#[tokio::test]
async fn a_head_that_covers_everything_is_renewed_after_an_hour() {
    let setting = setting().await;
    let first = setting.log.update_tree_head().await.unwrap();
    setting.ca.clock.advance(Duration::from_secs(3_599));
    assert_eq!(setting.log.update_tree_head().await.unwrap(), first);
    setting.ca.clock.advance(Duration::from_secs(1));
    let renewed = setting.log.update_tree_head().await.unwrap();
    assert_eq!((renewed.size, renewed.root), (first.size, first.root));
    assert!(renewed.timestamp > first.timestamp);
}

#[tokio::test]
async fn a_head_that_was_not_stored_is_shown_to_nobody() {
    let setting = setting().await;
    setting.log.add_pre_chain(&setting.ca.submission().await).await.unwrap();
    let first = setting.log.update_tree_head().await.unwrap();
    setting.log.add_pre_chain(&setting.ca.submission().await).await.unwrap();
    setting.store.refuses_heads.store(true, Ordering::Relaxed);
    assert!(matches!(setting.log.update_tree_head().await, Err(ReadError::Store(_))));
    assert_eq!(setting.log.tree_head().await.unwrap(), first);
    setting.store.refuses_heads.store(false, Ordering::Relaxed);
    let second = setting.log.update_tree_head().await.unwrap();
    let path = hashes(&setting.log.sth_consistency(1, 2).await.unwrap().consistency);
    assert!(verify_consistency(1, 2, &path, &first.root, &second.root));
}

#[tokio::test]
async fn a_restarted_log_and_a_second_process_go_on_with_the_same_tree() {
    let setting = setting().await;
    let mut logs = [setting.another_process(), setting.another_process()];
    let mut last: Option<TreeHead> = None;
    for round in 0..12 {
        logs[round % 2].add_pre_chain(&setting.ca.submission().await).await.unwrap();
        if round == 7 {
            logs[0] = setting.another_process();
        }
        let head = logs[(round / 2) % 2].update_tree_head().await.unwrap();
        setting.verify_head(&head);
        assert_eq!(head.size, round as u64 + 1);
        if let Some(last) = last {
            let path = hashes(&setting.log.sth_consistency(last.size, head.size).await.unwrap().consistency);
            assert!(verify_consistency(last.size, head.size, &path, &last.root, &head.root), "round {round}");
        }
        last = Some(head);
    }
}

#[tokio::test]
async fn a_long_backlog_is_read_back_and_takes_several_heads() {
    let setting = setting().await;
    setting.add_foreign_leaves(4_100).await;
    let first = setting.log.update_tree_head().await.unwrap();
    assert_eq!(first.size, 4_096);
    let second = setting.log.update_tree_head().await.unwrap();
    assert_eq!(second.size, 4_100);
    let path = hashes(&setting.log.sth_consistency(4_096, 4_100).await.unwrap().consistency);
    assert!(verify_consistency(4_096, 4_100, &path, &first.root, &second.root));
    assert_eq!(setting.log.entries(10, 4_000).await.unwrap().entries.len(), ENTRIES_MAX as usize);
    assert_eq!(setting.log.entries(4_090, 5_000).await.unwrap().entries.len(), 10);
}

#[tokio::test]
async fn a_submitter_gets_scts_of_two_built_in_logs() {
    let setting = setting().await;
    let second_key = Arc::new(SoftKey::generate());
    let second = BuiltinLog::new(
        second_key.clone(),
        setting.store.clone(),
        setting.acceptance.clone(),
        setting.ca.clock.clone(),
    );
    let log = |name: &str, endpoint: Arc<dyn Endpoint>| Log {
        name: name.to_owned(),
        operator: "cairn".to_owned(),
        state: LogState::Usable,
        interval: None,
        endpoint,
    };
    let logs = vec![log("one", setting.log.clone()), log("two", Arc::new(second))];
    let submitter = Submitter::new(logs, setting.ca.clock.clone(), SubmitterSettings::default());
    let submission = setting.ca.submission().await;
    let scts = submitter.submit(submission.clone()).await.unwrap();
    let ids: Vec<LogId> = scts.iter().map(|sct| sct.log_id).collect();
    assert_eq!(ids, [setting.log.id, second_key.log_id()]);
    assert_eq!(submitter.submit(submission).await.unwrap(), scts, "a resubmission repeats");
}

#[tokio::test]
async fn a_probe_wants_a_head_that_the_key_signed() {
    let setting = setting().await;
    setting.log.probe().await.unwrap();
    setting.log.add_pre_chain(&setting.ca.submission().await).await.unwrap();
    setting.ca.clock.advance(Duration::from_secs(2));
    setting.key.fails.store(true, Ordering::Relaxed);
    assert!(matches!(setting.log.probe().await, Err(EndpointError::Failed(_))));
}
