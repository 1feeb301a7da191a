use std::collections::VecDeque;
use std::sync::Mutex;

use ca::ports::LogKey;
use pki::{DigitallySigned, LogId, PublicKey};
use tokio::sync::Notify;

use super::*;
use crate::testing::{NOW, SoftKey, TestCa, TestClock};

/// What a scripted log does with a submission.
#[derive(Clone, Copy, Debug)]
enum Act {
    Give,
    GiveForAnotherEntry,
    Fail,
    Refuse,
    Hang,
    HangThenFail,
}

/// A log in memory that does as it is told; without orders it gives SCTs.
#[derive(Debug)]
struct Scripted {
    key: SoftKey,
    acts: Mutex<VecDeque<Act>>,
    probes: Mutex<VecDeque<bool>>,
    asked: AtomicU32,
    probed: AtomicU32,
    called: Notify,
    released: Notify,
}

impl Scripted {
    fn new(acts: &[Act]) -> Arc<Self> {
        Arc::new(Self {
            key: SoftKey::generate(),
            acts: Mutex::new(acts.iter().copied().collect()),
            probes: Mutex::default(),
            asked: AtomicU32::new(0),
            probed: AtomicU32::new(0),
            called: Notify::new(),
            released: Notify::new(),
        })
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    fn probed(&self) -> u32 {
        self.probed.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Endpoint for Scripted {
    fn log_id(&self) -> LogId {
        self.key.log_id()
    }

    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    async fn add_pre_chain(&self, submission: &CtSubmission) -> Result<Sct, EndpointError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.called.notify_one();
        let act = self.acts.lock().unwrap().pop_front().unwrap_or(Act::Give);
        let failure = EndpointError::Status { status: 503, said: "out of order".to_owned() };
        let mut signed = submission.entry.signed_data(NOW, &[]);
        match act {
            Act::Give => {}
            Act::GiveForAnotherEntry => signed.push(0),
            Act::Fail => return Err(failure),
            Act::Refuse => return Err(EndpointError::Status { status: 400, said: "not this one".to_owned() }),
            Act::Hang => std::future::pending().await,
            Act::HangThenFail => {
                self.released.notified().await;
                return Err(failure);
            }
        }
        let signature = DigitallySigned::sha256(self.key.public_key(), self.key.signature(&signed)).unwrap();
        Ok(Sct { log_id: self.log_id(), timestamp: NOW, extensions: Vec::new(), signature })
    }

    async fn probe(&self) -> Result<(), EndpointError> {
        self.probed.fetch_add(1, Ordering::Relaxed);
        if self.probes.lock().unwrap().pop_front().unwrap_or(false) {
            Ok(())
        } else {
            Err(EndpointError::Unreachable("nobody is there".to_owned()))
        }
    }
}

struct Stage {
    ca: TestCa,
    logs: Vec<Arc<Scripted>>,
    submitter: Arc<Submitter>,
}

/// Logs `0`, `1`, … with their operators and what they do.
async fn stage(logs: &[(&str, &[Act])]) -> Stage {
    stage_with(logs, |_, _| {}).await
}

async fn stage_with(logs: &[(&str, &[Act])], change: impl Fn(usize, &mut Log)) -> Stage {
    let ca = TestCa::new().await;
    let scripted: Vec<Arc<Scripted>> = logs.iter().map(|(_, acts)| Scripted::new(acts)).collect();
    let listed = logs.iter().zip(&scripted).enumerate().map(|(number, ((operator, _), endpoint))| {
        let mut log = Log {
            name: number.to_string(),
            operator: (*operator).to_owned(),
            state: LogState::Usable,
            interval: None,
            endpoint: Arc::clone(endpoint) as Arc<dyn Endpoint>,
        };
        change(number, &mut log);
        log
    });
    let clock: Arc<TestClock> = Arc::clone(&ca.clock);
    let submitter = Arc::new(Submitter::new(listed.collect(), clock, SubmitterSettings::default()));
    Stage { ca, logs: scripted, submitter }
}

const TWO_OF_TWO: CtPolicy = CtPolicy { scts: 2, operators: 2 };
const TWO: CtPolicy = CtPolicy { scts: 2, operators: 0 };

impl Stage {
    async fn submit(&self, policy: CtPolicy) -> Result<Vec<usize>, CtError> {
        let submission = CtSubmission { policy, ..self.ca.submission().await };
        self.submit_this(submission).await
    }

    /// The numbers of the logs whose SCTs came back, each verified anew.
    async fn submit_this(&self, submission: CtSubmission) -> Result<Vec<usize>, CtError> {
        let entry = submission.entry.clone();
        let scts = self.submitter.submit(submission).await?;
        Ok(scts
            .iter()
            .map(|sct| {
                let at = self.logs.iter().position(|log| log.log_id() == sct.log_id).unwrap();
                sct.verify(self.logs[at].public_key(), &entry).unwrap();
                at
            })
            .collect())
    }

    fn asked(&self) -> Vec<u32> {
        self.logs.iter().map(|log| log.asked()).collect()
    }

    async fn ready(&self, policy: CtPolicy) -> bool {
        self.submitter.readiness(policy, NOW).await == CtReadiness::Ready
    }
}

#[tokio::test]
async fn as_many_logs_are_asked_as_the_policy_needs_and_no_more() {
    let stage = stage(&[("A", &[]), ("A", &[]), ("B", &[])]).await;
    assert_eq!(stage.submit(TWO).await, Ok(vec![0, 1]));
    assert_eq!(stage.asked(), [1, 1, 0]);
    assert_eq!(stage.submit(TWO_OF_TWO).await, Ok(vec![0, 2]));
    assert_eq!(stage.asked(), [2, 1, 1]);
}

#[tokio::test]
async fn a_log_that_fails_is_replaced_by_one_that_still_satisfies_the_policy() {
    let stage = stage(&[("A", &[Act::Fail]), ("B", &[]), ("B", &[]), ("A", &[])]).await;
    assert_eq!(stage.submit(TWO_OF_TWO).await, Ok(vec![1, 3]));
    assert_eq!(stage.asked(), [1, 1, 0, 1]);
}

#[tokio::test]
async fn a_wrong_signature_never_comes_back_and_counts_as_a_failure() {
    let stage = stage(&[("A", &[Act::GiveForAnotherEntry]), ("B", &[]), ("C", &[])]).await;
    assert_eq!(stage.submit(TWO).await, Ok(vec![1, 2]));
    assert_eq!(stage.submitter.logs[0].failures.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_failure_names_every_log_and_what_it_said() {
    let stage = stage(&[("A", &[]), ("B", &[Act::GiveForAnotherEntry]), ("C", &[Act::Fail])]).await;
    let error = stage.submit(TWO_OF_TWO).await.unwrap_err();
    assert!(error.detail.contains("1 of 2 SCTs (of 2 operators wanted) for serial 4c00"), "{error}");
    assert!(error.detail.contains("log \"0\" (A) gave one"), "{error}");
    assert!(error.detail.contains("log \"1\" (B) gave a wrong answer: the SCT cannot be verified"), "{error}");
    assert!(error.detail.contains("log \"2\" (C) answered 503: out of order"), "{error}");
}

#[tokio::test]
async fn a_slow_log_is_not_waited_for_if_another_answers() {
    let stage = stage(&[("A", &[Act::Hang]), ("B", &[]), ("C", &[])]).await;
    let submission = CtSubmission { policy: TWO, ..stage.ca.submission().await };
    let (scts, ()) = tokio::join!(stage.submit_this(submission), async {
        stage.logs[0].called.notified().await;
        stage.logs[1].called.notified().await;
        assert_eq!(stage.logs[2].asked(), 0, "not before the first is slow");
        stage.ca.clock.advance(Duration::from_secs(3));
    });
    assert_eq!(scts, Ok(vec![1, 2]));
    assert_eq!(stage.asked(), [1, 1, 1]);
}

#[tokio::test]
async fn the_time_limit_ends_a_submission_and_names_who_was_asked() {
    let stage = stage(&[("A", &[Act::Hang]), ("B", &[])]).await;
    let submission = CtSubmission { policy: TWO, ..stage.ca.submission().await };
    let (scts, ()) = tokio::join!(stage.submit_this(submission), async {
        stage.logs[0].called.notified().await;
        stage.logs[1].called.notified().await;
        stage.ca.clock.advance(Duration::from_secs(30));
    });
    let error = scts.unwrap_err();
    assert!(error.detail.contains("1 of 2 SCTs") && error.detail.contains("time is up"), "{error}");
    assert!(error.detail.contains("log \"0\" (A) gave no answer yet"), "{error}");
}

#[tokio::test]
async fn nobody_is_asked_if_the_policy_cannot_be_satisfied() {
    let stage = stage(&[("A", &[]), ("A", &[])]).await;
    let error = stage.submit(TWO_OF_TWO).await.unwrap_err();
    assert!(error.detail.contains("0 of 2 SCTs"), "{error}");
    assert_eq!(stage.asked(), [0, 0]);
    assert!(!stage.ready(TWO_OF_TWO).await);
    assert!(stage.ready(TWO).await);
}

#[tokio::test]
async fn only_usable_logs_of_the_right_interval_are_asked() {
    let shard = |from: u64, to: u64| TemporalInterval {
        start: NOW.plus(Duration::from_secs(from)),
        end: NOW.plus(Duration::from_secs(to)),
    };
    let logs: [(&str, &[Act]); 5] = [("A", &[]), ("B", &[]), ("C", &[]), ("D", &[]), ("E", &[])];
    // The submissions end 86,400 seconds from now.
    let stage = stage_with(&logs, |number, log| match number {
        0 => log.interval = Some(shard(0, 86_400)),
        1 => log.state = LogState::Retired,
        2 => log.interval = Some(shard(86_400, 100_000)),
        3 => log.state = LogState::Qualified,
        _ => {}
    })
    .await;
    assert_eq!(stage.submit(TWO).await, Ok(vec![2, 4]));
}

#[tokio::test]
async fn scts_come_in_the_order_of_the_logs_whoever_answers_first() {
    let stage = stage(&[("A", &[Act::Fail]), ("B", &[Act::Fail]), ("C", &[]), ("D", &[])]).await;
    assert_eq!(stage.submit(TWO_OF_TWO).await, Ok(vec![2, 3]));
    assert_eq!(stage.submit(TWO_OF_TWO).await, Ok(vec![0, 1]));
}

#[tokio::test]
async fn a_log_listed_twice_counts_once() {
    let ca = TestCa::new().await;
    let endpoint = Scripted::new(&[]);
    let log = |name: &str| Log {
        name: name.to_owned(),
        operator: name.to_owned(),
        state: LogState::Usable,
        interval: None,
        endpoint: Arc::clone(&endpoint) as Arc<dyn Endpoint>,
    };
    let submitter = Submitter::new(vec![log("A"), log("B")], ca.clock.clone(), SubmitterSettings::default());
    assert!(submitter.submit(ca.submission().await).await.is_err());
}

#[tokio::test]
async fn a_log_with_failures_in_a_row_is_in_doubt_until_one_good_answer() {
    let fails: &[Act] = &[Act::Fail, Act::Fail, Act::Fail, Act::Fail];
    let stage = stage(&[("A", fails), ("B", &[])]).await;
    for _ in 0..2 {
        stage.submit(TWO).await.unwrap_err();
        assert!(stage.ready(TWO).await, "no news is good news");
    }
    stage.submit(TWO).await.unwrap_err();
    assert_eq!(stage.submitter.in_doubt().collect::<Vec<_>>(), ["0"]);
    assert!(!stage.ready(TWO).await);
    assert_eq!(stage.logs[0].probed(), 1);
    assert!(!stage.ready(TWO).await);
    assert_eq!(stage.logs[0].probed(), 1, "not probed again so soon");
    stage.ca.clock.advance(Duration::from_secs(5));
    stage.logs[0].probes.lock().unwrap().push_back(true);
    assert!(stage.ready(TWO).await);
    assert_eq!(stage.logs[0].probed(), 2);
    assert_eq!(stage.logs[1].probed(), 0, "a log without failures is never probed");
}

#[tokio::test]
async fn what_is_in_doubt_is_named() {
    let stage = stage(&[("A", &[Act::Fail, Act::Fail, Act::Fail]), ("B", &[])]).await;
    for _ in 0..3 {
        stage.submit(TWO).await.unwrap_err();
    }
    let readiness = stage.submitter.readiness(TWO, NOW).await;
    let CtReadiness::NotReady { detail } = readiness else { panic!("{readiness:?}") };
    assert!(detail.contains("lately: 0"), "{detail}");
}

#[tokio::test]
async fn logs_in_doubt_are_asked_last() {
    let stage = stage(&[("A", &[Act::Fail, Act::Fail, Act::Fail]), ("B", &[]), ("C", &[])]).await;
    for _ in 0..3 {
        assert_eq!(stage.submit(TWO).await, Ok(vec![1, 2]));
    }
    assert_eq!(stage.asked(), [3, 3, 3]);
    assert_eq!(stage.submit(TWO).await, Ok(vec![1, 2]));
    assert_eq!(stage.asked(), [3, 4, 4]);
    assert!(stage.ready(TWO).await, "the others suffice");
    assert_eq!(stage.logs[0].probed(), 0);
}

#[tokio::test]
async fn a_refusal_of_one_precertificate_does_not_speak_against_the_log() {
    let refusals: &[Act] = &[Act::Refuse, Act::Refuse, Act::Refuse, Act::Refuse];
    let stage = stage(&[("A", refusals), ("B", &[])]).await;
    for _ in 0..4 {
        let error = stage.submit(TWO).await.unwrap_err();
        assert!(error.detail.contains("log \"0\" (A) answered 400: not this one"), "{error}");
    }
    assert!(stage.ready(TWO).await);
}

#[tokio::test]
async fn a_slow_log_that_then_fails_has_failed_once() {
    let stage = stage(&[("A", &[Act::HangThenFail, Act::HangThenFail]), ("B", &[])]).await;
    for _ in 0..2 {
        let submission = CtSubmission { policy: TWO, ..stage.ca.submission().await };
        let (scts, ()) = tokio::join!(stage.submit_this(submission), async {
            stage.logs[0].called.notified().await;
            stage.logs[1].called.notified().await;
            stage.ca.clock.advance(Duration::from_secs(3));
            tokio::task::yield_now().await;
            stage.logs[0].released.notify_one();
        });
        let error = scts.unwrap_err();
        assert!(error.detail.contains("log \"0\" (A) answered 503"), "{error}");
    }
    assert_eq!(stage.submitter.in_doubt().count(), 0);
}
