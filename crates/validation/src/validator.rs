//! The port itself: limits around the methods, evidence and times into records.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use acme::{Identifier, Problem, ProblemType};
use async_trait::async_trait;
use ca::authorization::{CaaDecision, CaaRecord, Method, ValidationRecord};
use ca::ports::{CaaCheck, ChallengeTest, Clock, Random, Validated, Validator};
use tokio_rustls::TlsConnector;

use crate::addresses::is_localhost;
use crate::caa::{self, Finding};
use crate::dns::{Dns, Resolver, ResolverLimits};
use crate::evidence::{Evidence, Step};
use crate::network::{Network, Tcp};
use crate::settings::Settings;
use crate::shortfall::Shortfall;
use crate::time_limit::{seconds, within};
use crate::{dns01, http01, tls, tls_alpn01};

/// Tests challenges and checks CAA over the network of this machine.
#[derive(Debug)]
pub struct NetworkValidator {
    settings: Settings,
    dns: Arc<dyn Dns>,
    network: Arc<dyn Network>,
    clock: Arc<dyn Clock>,
    redirect_tls: TlsConfiguration,
    challenge_tls: TlsConfiguration,
}

/// `TlsConnector` without its thousand lines of debug output.
struct TlsConfiguration(TlsConnector);

impl std::fmt::Debug for TlsConfiguration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConfiguration")
    }
}

impl NetworkValidator {
    /// Asks the resolvers of the settings.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let limits = ResolverLimits {
            try_time_limit: settings.dns_try_time_limit,
            tries_max: settings.dns_tries_max,
            queries_max: settings.dns_queries_max,
            mixed_case: settings.dns_mixed_case,
        };
        let resolver = Resolver::new(&settings.resolvers, limits, Arc::clone(&clock), random);
        Self::over(settings, clock, Arc::new(resolver), Arc::new(Tcp))
    }

    /// Asks this source of DNS answers, not the settings' resolvers, and reaches targets over this network.
    pub fn over(settings: Settings, clock: Arc<dyn Clock>, dns: Arc<dyn Dns>, network: Arc<dyn Network>) -> Self {
        Self {
            settings,
            dns,
            network,
            clock,
            redirect_tls: TlsConfiguration(tls::redirect_connector()),
            challenge_tls: TlsConfiguration(tls::challenge_connector()),
        }
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn dns(&self) -> &dyn Dns {
        &*self.dns
    }

    pub(crate) fn network(&self) -> &dyn Network {
        &*self.network
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) const fn redirect_tls(&self) -> &TlsConnector {
        &self.redirect_tls.0
    }

    pub(crate) const fn challenge_tls(&self) -> &TlsConnector {
        &self.challenge_tls.0
    }

    async fn test(&self, test: &ChallengeTest, evidence: &Evidence) -> Result<(), Shortfall> {
        match (test.method, &test.identifier) {
            (Method::Http01, Identifier::Dns(_) | Identifier::Ip(_)) => http01::test(self, test, evidence).await,
            (Method::Dns01, Identifier::Dns(name) | Identifier::Wildcard(name)) => {
                dns01::test(&*self.dns, name, test, evidence).await
            }
            (Method::TlsAlpn01, Identifier::Dns(_) | Identifier::Ip(_)) => tls_alpn01::test(self, test, evidence).await,
            // Never offered: RFC 8555 §7.1.3 and RFC 8738 §7 rule them out, and an operator's word is not tested.
            (Method::Http01 | Method::TlsAlpn01, Identifier::Wildcard(_))
            | (Method::Dns01, Identifier::Ip(_))
            | (Method::Operator, _) => {
                let detail = format!("{} can't be shown by {}", test.identifier, test.method);
                Err(Shortfall::unauthorized(detail))
            }
        }
    }

    async fn find_caa(&self, check: &CaaCheck, evidence: &Evidence) -> Finding {
        let Some(name) = check.identifier.name() else {
            evidence.note("CAA: none for IP addresses");
            return Finding::without_records(CaaDecision::NotApplicable);
        };
        if self.settings.localhost_names && is_localhost(name.as_str()) {
            evidence.note(format!("CAA: {name} is this machine, and was not looked up"));
            return Finding::without_records(CaaDecision::Permitted);
        }
        evidence.step(ProblemType::Dns, format!("looking up the CAA records of {name} and the names above it"));
        caa::climb(&*self.dns, name, check, &self.settings.caa_identities, evidence).await
    }
}

#[async_trait]
impl Validator for NetworkValidator {
    async fn validate(&self, test: ChallengeTest) -> (Validated, ValidationRecord) {
        let began = self.clock.now();
        let evidence = Evidence::new();
        let result = within(self.clock(), test.time_limit, self.test(&test, &evidence)).await;
        let (mut lines, step) = evidence.into_parts();
        let validated = match result {
            Some(Ok(())) => Validated::Shown,
            Some(Err(shortfall)) => shortfall.into(),
            None => {
                let problem = out_of_time(step, test.time_limit);
                lines.push(problem.detail.clone());
                Validated::MayPass(problem)
            }
        };
        let problem = match &validated {
            Validated::Shown => None,
            Validated::Failed(problem) | Validated::MayPass(problem) => Some(problem.clone()),
        };
        let record = ValidationRecord { method: test.method, began, ended: self.clock.now(), evidence: lines, problem };
        (validated, record)
    }

    fn permits_address(&self, address: IpAddr) -> Result<(), String> {
        self.settings.targets.check(address).map_err(|forbidden| forbidden.to_string())
    }

    async fn check_caa(&self, check: CaaCheck) -> CaaRecord {
        let evidence = Evidence::new();
        let result = within(self.clock(), check.time_limit, self.find_caa(&check, &evidence)).await;
        let (mut lines, step) = evidence.into_parts();
        let finding = result.unwrap_or_else(|| {
            let Problem { kind, detail, .. } = out_of_time(step, check.time_limit);
            lines.push(detail.clone());
            Finding::without_records(CaaDecision::Failed { problem: caa::problem(kind, detail, &check.identifier) })
        });
        CaaRecord {
            identifier: check.identifier,
            checked: self.clock.now(),
            ttl_seconds: finding.ttl_seconds,
            decision: finding.decision,
            evidence: lines,
        }
    }
}

fn out_of_time(step: Step, limit: Duration) -> Problem {
    Problem::new(step.kind, format!("the time limit of {} ran out while {}", seconds(limit), step.doing))
}
