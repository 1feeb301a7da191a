//! Faults around what asks the world outside: validation and CT.

use std::net::IpAddr;
use std::sync::Arc;

use acme::{Problem, ProblemType};
use async_trait::async_trait;
use ca::authorization::{CaaDecision, CaaRecord, ValidationRecord};
use ca::ports::{
    CaaCheck, ChallengeTest, Clock, CtError, CtPolicy, CtReadiness, CtSubmission, CtSubmitter, Validated, Validator,
};
use ct::{Endpoint, EndpointError};
use pki::{LogId, PublicKey, Sct, Timestamp};

use super::Call;
use super::faults::{Failing, Faults};

/// What an answer is replaced by that has no error: it says that nothing was seen.
struct NotSeen(&'static str);

impl Failing for NotSeen {
    fn not_done() -> Self {
        Self("simulated: nobody was asked")
    }

    fn full() -> Self {
        Self::not_done()
    }

    fn unknown() -> Self {
        Self("simulated: no answer came")
    }
}

impl Failing for CtError {
    fn not_done() -> Self {
        Self { detail: "simulated: no log was asked".to_owned() }
    }

    fn full() -> Self {
        Self::not_done()
    }

    fn unknown() -> Self {
        Self { detail: "simulated: no answer came".to_owned() }
    }
}

impl Failing for EndpointError {
    fn not_done() -> Self {
        Self::Unreachable("simulated: no connection".to_owned())
    }

    fn full() -> Self {
        Self::not_done()
    }

    fn unknown() -> Self {
        Self::Unreachable("simulated: the connection broke".to_owned())
    }
}

/// The validator with faults around it. What fails is a failure that can pass, as of a resolver that is not reached.
#[derive(Debug)]
pub(super) struct FaultyValidator {
    pub(super) inner: Arc<dyn Validator>,
    pub(super) faults: Arc<Faults>,
}

#[async_trait]
impl Validator for FaultyValidator {
    async fn validate(&self, test: ChallengeTest) -> (Validated, ValidationRecord) {
        let (identifier, method, began) = (test.identifier.clone(), test.method, self.faults.clock.now());
        let seen = self.faults.around(Call::Validate, async { Ok(self.inner.validate(test).await) }).await;
        seen.unwrap_or_else(|NotSeen(why)| {
            self.faults.not_seen(&identifier);
            let problem = Problem::new(ProblemType::Connection, why);
            let (ended, evidence) = (self.faults.clock.now(), vec![why.to_owned()]);
            let record = ValidationRecord { method, began, ended, evidence, problem: Some(problem.clone()) };
            (Validated::MayPass(problem), record)
        })
    }

    fn permits_address(&self, address: IpAddr) -> Result<(), String> {
        self.inner.permits_address(address)
    }

    async fn check_caa(&self, check: CaaCheck) -> CaaRecord {
        let identifier = check.identifier.clone();
        let found = self.faults.around(Call::CheckCaa, async { Ok(self.inner.check_caa(check).await) }).await;
        found.unwrap_or_else(|NotSeen(why)| {
            self.faults.not_seen(&identifier);
            CaaRecord {
                identifier,
                checked: self.faults.clock.now(),
                ttl_seconds: 0,
                decision: CaaDecision::Failed { problem: Problem::new(ProblemType::Dns, why) },
                evidence: vec![why.to_owned()],
            }
        })
    }
}

/// The submitter with faults around it.
#[derive(Debug)]
pub(super) struct FaultyCt {
    pub(super) inner: Arc<dyn CtSubmitter>,
    pub(super) faults: Arc<Faults>,
}

#[async_trait]
impl CtSubmitter for FaultyCt {
    async fn readiness(&self, policy: CtPolicy, not_after: Timestamp) -> CtReadiness {
        let work = async { Ok(self.inner.readiness(policy, not_after).await) };
        let said = self.faults.around(Call::Readiness, work).await;
        said.unwrap_or_else(|NotSeen(why)| CtReadiness::NotReady { detail: why.to_owned() })
    }

    async fn submit(&self, submission: CtSubmission) -> Result<Vec<Sct>, CtError> {
        self.faults.around(Call::Submit, self.inner.submit(submission)).await
    }
}

/// A log, as the submitter sees it, with faults around it.
#[derive(Debug)]
pub(super) struct FaultyEndpoint {
    pub(super) inner: Arc<dyn Endpoint>,
    pub(super) faults: Arc<Faults>,
}

#[async_trait]
impl Endpoint for FaultyEndpoint {
    fn log_id(&self) -> LogId {
        self.inner.log_id()
    }

    fn public_key(&self) -> &PublicKey {
        self.inner.public_key()
    }

    async fn add_pre_chain(&self, submission: &CtSubmission) -> Result<Sct, EndpointError> {
        self.faults.around(Call::AddPreChain, self.inner.add_pre_chain(submission)).await
    }

    async fn probe(&self) -> Result<(), EndpointError> {
        self.faults.around(Call::Probe, self.inner.probe()).await
    }
}
