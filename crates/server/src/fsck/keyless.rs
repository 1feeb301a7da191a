//! A CA without keys: it recovers and sweeps, and can sign, test and submit nothing.

use std::net::IpAddr;
use std::sync::Arc;

use acme::{Problem, ProblemType};
use async_trait::async_trait;
use ca::Ca;
use ca::authorization::{CaaDecision, CaaRecord, ValidationRecord};
use ca::ocsp::OcspAnswers;
use ca::ports::{
    CaaCheck, ChallengeTest, Clock, CtError, CtPolicy, CtReadiness, CtSubmission, CtSubmitter, LintingKey, Random,
    SignError, Signed, Signer, SigningRequest, Validated, Validator,
};
use ca::shares::TestShares;
use pki::{Sct, SignatureAlgorithm, Timestamp};
use store::audit::FileAuditLog;
use store::instance::Instance;
use store::sqlite::Database;

use super::repair::RepairError;
use crate::config::Config;
use crate::world::SystemRandom;

/// The CA of a data folder, on its stores and its audit log.
pub(super) fn ca(
    config: &Config,
    instance: &Instance,
    database: &Database,
    clock: &Arc<dyn Clock>,
) -> Result<Ca, RepairError> {
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let on_fatal =
        Arc::new(|error: &ca::ports::StoreError| tracing::error!(%error, "the audit log can't be relied on"));
    let audit = FileAuditLog::open(&config.data.join("audit"), instance.id(), Arc::clone(clock), on_fatal)?;
    let workbench = database.workbench(Arc::clone(clock), Arc::clone(&random), None, u64::MAX)?;
    let keyless = Arc::new(Keyless { clock: Arc::clone(clock) });
    Ok(Ca {
        settings: config.settings.clone(),
        instance: instance.id(),
        issuers: Vec::new(),
        clock: Arc::clone(clock),
        random,
        ledger: Arc::new(database.ledger(Arc::clone(clock))),
        workbench: Arc::new(workbench),
        audit: Arc::new(audit),
        signer: Arc::<Keyless>::clone(&keyless),
        linting_key: Arc::<Keyless>::clone(&keyless),
        validator: Arc::<Keyless>::clone(&keyless),
        ct: keyless,
        test_shares: TestShares::new(&config.settings.limits),
        clock_watch: ca::clock::ClockWatch::default(),
        crl_watch: ca::crl::CrlWatch::default(),
        unreadable: ca::UnreadableOrders::default(),
        blocked: ca::Bell::default(),
        stop_numbers: ca::StopNumbers::default(),
        ocsp: OcspAnswers::new(&config.settings.ocsp, &[], None),
    })
}

const NOTHING: &str = "a repair signs, tests and submits nothing";

#[derive(Debug)]
struct Keyless {
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Signer for Keyless {
    async fn sign(&self, _: SigningRequest) -> Result<Signed, SignError> {
        Err(SignError::NotSigned(NOTHING.to_owned()))
    }
}

#[async_trait]
impl LintingKey for Keyless {
    async fn sign(&self, _: SignatureAlgorithm, _: &[u8]) -> Result<Vec<u8>, SignError> {
        Err(SignError::NotSigned(NOTHING.to_owned()))
    }
}

#[async_trait]
impl CtSubmitter for Keyless {
    async fn readiness(&self, _: CtPolicy, _: Timestamp) -> CtReadiness {
        CtReadiness::NotReady { detail: NOTHING.to_owned() }
    }

    async fn submit(&self, _: CtSubmission) -> Result<Vec<Sct>, CtError> {
        Err(CtError { detail: NOTHING.to_owned() })
    }
}

#[async_trait]
impl Validator for Keyless {
    async fn validate(&self, test: ChallengeTest) -> (Validated, ValidationRecord) {
        let (now, problem) = (self.clock.now(), Problem::new(ProblemType::ServerInternal, NOTHING));
        let record = ValidationRecord {
            method: test.method,
            began: now,
            ended: now,
            evidence: Vec::new(),
            problem: Some(problem.clone()),
        };
        (Validated::MayPass(problem), record)
    }

    fn permits_address(&self, _: IpAddr) -> Result<(), String> {
        Err(NOTHING.to_owned())
    }

    async fn check_caa(&self, check: CaaCheck) -> CaaRecord {
        let decision = CaaDecision::Failed { problem: Problem::new(ProblemType::ServerInternal, NOTHING) };
        CaaRecord {
            identifier: check.identifier,
            checked: self.clock.now(),
            ttl_seconds: 0,
            decision,
            evidence: Vec::new(),
        }
    }
}
