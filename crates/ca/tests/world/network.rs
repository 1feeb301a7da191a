//! The world outside, as a case wants it: challenges are shown and CAA permits, unless the case says otherwise.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use acme::{Identifier, Problem, ProblemType};
use async_trait::async_trait;
use ca::authorization::{CaaDecision, CaaRecord, ValidationRecord};
use ca::ports::{CaaCheck, ChallengeTest, Clock, Validated, Validator};
use pki::Timestamp;
use tokio::sync::oneshot;

use super::clock::TestClock;
use super::points::Held;

#[derive(Debug, Default)]
struct Script {
    tests: BTreeMap<String, VecDeque<Validated>>,
    caa: BTreeMap<String, CaaDecision>,
    held_tests: Holds,
    held_checks: Holds,
    tested: Vec<String>,
    expected: Vec<String>,
    checked: Vec<(String, Timestamp)>,
}

type Holds = BTreeMap<String, (oneshot::Sender<()>, oneshot::Receiver<()>)>;

/// The validator's double. Every look at the world is remembered.
#[derive(Debug)]
pub(crate) struct Network {
    clock: Arc<TestClock>,
    script: Mutex<Script>,
}

impl Network {
    pub(crate) fn new(clock: Arc<TestClock>) -> Self {
        Self { clock, script: Mutex::default() }
    }

    /// What the next tests of this name come to; those after them show control.
    pub(crate) fn answers(&self, name: &str, answers: impl IntoIterator<Item = Validated>) {
        self.script.lock().unwrap().tests.entry(name.to_owned()).or_default().extend(answers);
    }

    /// What CAA says of this name from now on.
    pub(crate) fn caa(&self, name: &str, decision: CaaDecision) {
        self.script.lock().unwrap().caa.insert(name.to_owned(), decision);
    }

    /// Holds the next test of this name.
    pub(crate) fn hold_test(&self, name: &str) -> Held {
        let (held, reached, released) = Held::new();
        self.script.lock().unwrap().held_tests.insert(name.to_owned(), (reached, released));
        held
    }

    /// Holds the next CAA check of this name.
    pub(crate) fn hold_caa(&self, name: &str) -> Held {
        let (held, reached, released) = Held::new();
        self.script.lock().unwrap().held_checks.insert(name.to_owned(), (reached, released));
        held
    }

    /// How often challenges of this name were tested.
    pub(crate) fn tests(&self, name: &str) -> usize {
        self.script.lock().unwrap().tested.iter().filter(|tested| *tested == name).count()
    }

    /// The key authorizations that were looked for, in the order of the tests.
    pub(crate) fn expected(&self) -> Vec<String> {
        self.script.lock().unwrap().expected.clone()
    }

    /// When CAA of this name was checked.
    pub(crate) fn checks(&self, name: &str) -> Vec<Timestamp> {
        let script = self.script.lock().unwrap();
        script.checked.iter().filter(|(checked, _)| checked == name).map(|(_, at)| *at).collect()
    }
}

/// No name server, no connection: it may pass.
pub(crate) fn unreachable() -> Validated {
    Validated::MayPass(Problem::new(ProblemType::Connection, "scripted: no connection"))
}

/// The wrong answer.
pub(crate) fn wrong() -> Validated {
    Validated::Failed(Problem::new(ProblemType::IncorrectResponse, "scripted: the wrong answer"))
}

/// A record that names another CA.
pub(crate) fn forbidden() -> CaaDecision {
    CaaDecision::Forbidden { problem: Problem::new(ProblemType::Caa, "scripted: another CA is named") }
}

/// A name server that fails.
pub(crate) fn caa_failed() -> CaaDecision {
    CaaDecision::Failed { problem: Problem::new(ProblemType::Dns, "scripted: SERVFAIL") }
}

async fn wait(held: Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>) {
    if let Some((reached, released)) = held {
        // A case that doesn't watch needn't be told.
        let _unwatched = reached.send(());
        let _released = released.await;
    }
}

fn name_of(identifier: &Identifier) -> String {
    identifier.wire().value
}

#[async_trait]
impl Validator for Network {
    async fn validate(&self, test: ChallengeTest) -> (Validated, ValidationRecord) {
        let name = name_of(&test.identifier);
        let began = self.clock.now();
        let held = {
            let mut script = self.script.lock().unwrap();
            script.tested.push(name.clone());
            script.expected.push(test.key_authorization.as_str().to_owned());
            script.held_tests.remove(&name)
        };
        wait(held).await;
        let answer = self.script.lock().unwrap().tests.get_mut(&name).and_then(VecDeque::pop_front);
        let evidence = vec![format!("{} of {name}, token {}", test.method, test.token)];
        let record = ValidationRecord { method: test.method, began, ended: self.clock.now(), evidence, problem: None };
        (answer.unwrap_or(Validated::Shown), record)
    }

    fn permits_address(&self, address: IpAddr) -> Result<(), String> {
        if address.is_loopback() { Err("scripted: no loopback".to_owned()) } else { Ok(()) }
    }

    async fn check_caa(&self, check: CaaCheck) -> CaaRecord {
        let name = name_of(&check.identifier);
        let held = {
            let mut script = self.script.lock().unwrap();
            script.checked.push((name.clone(), self.clock.now()));
            script.held_checks.remove(&name)
        };
        wait(held).await;
        let decision = self.script.lock().unwrap().caa.get(&name).cloned().unwrap_or(CaaDecision::Permitted);
        CaaRecord {
            identifier: check.identifier,
            checked: self.clock.now(),
            ttl_seconds: 0,
            decision,
            evidence: vec![format!("CAA of {name}")],
        }
    }
}
