//! Faults of the audit log, the signer, CT and validation.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ca::authorization::{CaaDecision, CaaRecord, ValidationRecord};
use ca::ports::{
    AuditEvent, AuditLog, CaaCheck, ChallengeTest, CtError, CtPolicy, CtReadiness, CtSubmission, CtSubmitter,
    SignError, Signed, Signer, SigningRequest, Stored, Validated, Validator,
};
use pki::lint::{self, Kind, Linted, Rules};
use pki::{Certificate, GeneralName, Sct, TbsCertificate, Timestamp};

use crate::keys::Hierarchy;
use crate::ports::{AuditLayer, SignerLayer};

/// Whose lines are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    Precertificates,
    Certificates,
    Revocations,
}

/// A line is answered as synced, and is in no log.
#[derive(Debug)]
pub(super) struct LineLost(pub(super) Lost);

#[async_trait]
impl AuditLayer for LineLost {
    async fn append(&self, inner: &dyn AuditLog, event: AuditEvent) -> Stored<u64> {
        let lost = matches!(
            (self.0, &event),
            (Lost::Precertificates, AuditEvent::Precertificate { .. })
                | (Lost::Certificates, AuditEvent::Certificate { .. })
                | (Lost::Revocations, AuditEvent::Revocation { .. })
        );
        if lost { Ok(u64::MAX) } else { inner.append(event).await }
    }
}

/// A signature whose outcome is unknown is asked for once more.
#[derive(Debug)]
pub(super) struct SignatureRepeated;

#[async_trait]
impl SignerLayer for SignatureRepeated {
    async fn sign(&self, inner: &dyn Signer, request: SigningRequest) -> Result<Signed, SignError> {
        let (request, again) = match request {
            SigningRequest::Precertificate { issuer, tbs } => {
                let (tbs, twin) = twins(tbs, Kind::Precertificate)?;
                let again = SigningRequest::Precertificate { issuer, tbs: twin };
                (SigningRequest::Precertificate { issuer, tbs }, again)
            }
            SigningRequest::Certificate { issuer, tbs } => {
                let (tbs, twin) = twins(tbs, Kind::Final)?;
                (SigningRequest::Certificate { issuer, tbs }, SigningRequest::Certificate { issuer, tbs: twin })
            }
            other @ (SigningRequest::Crl { .. }
            | SigningRequest::OcspAnswer { .. }
            | SigningRequest::OcspResponder { .. }) => return inner.sign(other).await,
        };
        match inner.sign(request).await {
            Err(SignError::Unknown(_)) => inner.sign(again).await,
            answered => answered,
        }
    }
}

/// The same bytes twice: they keep the same rules.
fn twins(
    tbs: Linted<TbsCertificate>,
    kind: Kind,
) -> Result<(Linted<TbsCertificate>, Linted<TbsCertificate>), SignError> {
    let (tbs, linting_certificate) = tbs.into_parts();
    let once_more = || -> Result<Linted<TbsCertificate>, String> {
        let certificate = Certificate::from_der(&linting_certificate).map_err(|error| error.to_string())?;
        let names: BTreeSet<GeneralName> = certificate.names().clone();
        let rules = Rules {
            kind,
            baseline: false,
            public_names: false,
            issuer: &Hierarchy::shared().issuer.certificate,
            // SCTs are younger than what they are in, which is dated back.
            now: certificate.validity().not_before.plus(Duration::from_secs(3600)),
            lifetime_max: Duration::from_secs(3650 * 86_400),
            scts_min: 0,
            names: &names,
            public_key: certificate.public_key(),
        };
        lint::certificate(tbs.clone(), linting_certificate.clone(), &rules).map_err(|failure| failure.to_string())
    };
    let made = once_more().and_then(|first| once_more().map(|second| (first, second)));
    made.map_err(SignError::NotSigned)
}

/// SCTs are taken as they come.
#[derive(Debug)]
pub(super) struct SctsUnverified(pub(super) Arc<dyn CtSubmitter>);

#[async_trait]
impl CtSubmitter for SctsUnverified {
    async fn readiness(&self, policy: CtPolicy, not_after: Timestamp) -> CtReadiness {
        self.0.readiness(policy, not_after).await
    }

    async fn submit(&self, submission: CtSubmission) -> Result<Vec<Sct>, CtError> {
        let mut scts = self.0.submit(submission).await?;
        for sct in &mut scts {
            // As a log would have signed it whose clock was wrong by a millisecond while it signed.
            sct.timestamp = sct.timestamp.minus(Duration::from_millis(1));
        }
        Ok(scts)
    }
}

/// What can't be seen is taken for shown.
#[derive(Debug)]
pub(super) struct FailureTakenForShown(pub(super) Arc<dyn Validator>);

#[async_trait]
impl Validator for FailureTakenForShown {
    async fn validate(&self, test: ChallengeTest) -> (Validated, ValidationRecord) {
        let (_, record) = self.0.validate(test).await;
        (Validated::Shown, record)
    }

    fn permits_address(&self, address: IpAddr) -> Result<(), String> {
        self.0.permits_address(address)
    }

    async fn check_caa(&self, check: CaaCheck) -> CaaRecord {
        self.0.check_caa(check).await
    }
}

/// Whatever CAA says, it permits.
#[derive(Debug)]
pub(super) struct CaaNotRead(pub(super) Arc<dyn Validator>);

#[async_trait]
impl Validator for CaaNotRead {
    async fn validate(&self, test: ChallengeTest) -> (Validated, ValidationRecord) {
        self.0.validate(test).await
    }

    fn permits_address(&self, address: IpAddr) -> Result<(), String> {
        self.0.permits_address(address)
    }

    async fn check_caa(&self, check: CaaCheck) -> CaaRecord {
        CaaRecord { decision: CaaDecision::Permitted, ..self.0.check_caa(check).await }
    }
}
