//! A certificate authority: what its operator decided, and the ports it works through.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use pki::Timestamp;

use crate::InstanceId;
use crate::bell::Bell;
use crate::clock::ClockWatch;
use crate::crl::CrlWatch;
use crate::ocsp::OcspAnswers;
use crate::ports::{AuditLog, Clock, CtSubmitter, Issuer, Ledger, LintingKey, Random, Signer, Validator, Workbench};
use crate::settings::Settings;
use crate::shares::TestShares;
use crate::stops::StopNumbers;
use crate::sweep::UnreadableOrders;

/// A certificate authority. All that it does is a method of this type, in the module of its subject: accounts and
/// orders (what clients ask for), pipeline (what workers do), issuance (the nine steps), revocation, CRLs, recovery.
#[derive(Debug)]
pub struct Ca {
    /// What the operator decided.
    pub settings: Settings,
    /// The instance that this process is.
    pub instance: InstanceId,
    /// Whose certificates it issues with: the first is used for new ones.
    pub issuers: Vec<Issuer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// What must never be lost.
    pub ledger: Arc<dyn Ledger>,
    /// What can be done again.
    pub workbench: Arc<dyn Workbench>,
    /// What was signed, revoked and blocked here.
    pub audit: Arc<dyn AuditLog>,
    /// Issuers' keys.
    pub signer: Arc<dyn Signer>,
    /// Throwaway keys.
    pub linting_key: Arc<dyn LintingKey>,
    /// The world outside.
    pub validator: Arc<dyn Validator>,
    /// CT logs.
    pub ct: Arc<dyn CtSubmitter>,
    /// What accounts share when challenges are tested.
    pub test_shares: TestShares,
    /// Whether the clock was behind the ledger when it was looked at last.
    pub clock_watch: ClockWatch,
    /// What is known of the CRLs.
    pub crl_watch: CrlWatch,
    /// Orders that sweeps could not read.
    pub unreadable: UnreadableOrders,
    /// Rung when a key was blocked, for whoever calls [`Ca::revoke_blocked_keys`].
    pub blocked: Bell,
    /// Who stops issuance now, and which numbers stops have.
    pub stop_numbers: StopNumbers,
    /// OCSP answers that are kept, and who signs them.
    pub ocsp: OcspAnswers,
}

impl Ca {
    /// The time of day.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The issuer of new certificates.
    pub fn issuer(&self) -> Option<&Issuer> {
        self.issuers.first()
    }

    /// The issuer with this id.
    pub fn issuer_by_id(&self, id: &pki::Sha256) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.id == *id)
    }

    /// The issuer that signed this certificate.
    pub fn issuer_of(&self, certificate: &pki::Certificate) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| {
            certificate.authority_key_identifier() == issuer.certificate.key_identifier()
                && certificate.issuer() == issuer.certificate.subject()
        })
    }

    /// The work, or `None` if the limit came first. The work is then dropped where it stands.
    pub(crate) async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let work = std::pin::pin!(work);
        match select(work, self.clock.sleep(limit)).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(((), _)) => None,
        }
    }
}
