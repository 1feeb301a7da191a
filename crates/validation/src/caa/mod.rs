//! Certification authority authorization: RFC 8659 and RFC 8657.
//!
//! [`grammar`] reads values, [`policy`] decides over one record set; both are pure. Here the relevant record set is
//! found.

pub mod grammar;
pub mod policy;

use acme::{DnsName, Identifier, Problem, ProblemType, Subproblem};
use ca::authorization::CaaDecision;
use ca::ports::CaaCheck;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;

use crate::dns::{Answer, Dns, DnsFailure, Outcome, Record, RecordKind};
use crate::evidence::Evidence;
pub use policy::{Asker, Property, Verdict};

/// What was found, and for how long it holds.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) decision: CaaDecision,
    pub(crate) ttl_seconds: u32,
}

impl Finding {
    pub(crate) const fn without_records(decision: CaaDecision) -> Self {
        Self { decision, ttl_seconds: 0 }
    }
}

/// Climbs from the name to its top-level domain; the first record set that is not empty decides (RFC 8659 §3). All
/// look-ups start at once, and are read in the order of the climb: a slow parent can't hold up its child's answer.
pub(crate) async fn climb(
    dns: &dyn Dns,
    name: &DnsName,
    check: &CaaCheck,
    identities: &[String],
    evidence: &Evidence,
) -> Finding {
    let mut lookups: FuturesOrdered<_> = ancestry(name)
        .map(|ancestor| async move {
            let answer = dns.lookup(ancestor.as_str(), RecordKind::Caa).await;
            (ancestor, answer)
        })
        .collect();
    while let Some((ancestor, answer)) = lookups.next().await {
        let Answer { outcome, ttl_seconds, evidence: lines } = answer;
        evidence.note_all(lines);
        match outcome {
            Outcome::NoData | Outcome::NoName => {}
            Outcome::Failed(failure) => {
                return Finding::without_records(failed(&check.identifier, &ancestor, &failure));
            }
            Outcome::Records(records) => {
                let properties: Vec<Property> = records.into_iter().filter_map(property).collect();
                let asker = Asker {
                    identities,
                    account_url: check.account_url.as_deref(),
                    method: check.method,
                    wildcard: check.identifier.is_wildcard(),
                };
                let decision = decide(&properties, &asker, &ancestor, &check.identifier, evidence);
                return Finding { decision, ttl_seconds };
            }
        }
    }
    evidence.note(format!("CAA: no records from {name} up to its top-level domain: every CA may issue"));
    Finding::without_records(CaaDecision::Permitted)
}

fn ancestry(name: &DnsName) -> impl Iterator<Item = DnsName> {
    std::iter::successors(Some(name.clone()), DnsName::parent)
}

fn property(record: Record) -> Option<Property> {
    match record {
        Record::Caa(property) => Some(property),
        Record::Address(_) | Record::Text(_) => None,
    }
}

fn decide(
    properties: &[Property],
    asker: &Asker<'_>,
    owner: &DnsName,
    identifier: &Identifier,
    evidence: &Evidence,
) -> CaaDecision {
    match policy::decide(properties, asker) {
        Verdict::Permitted { reason } => {
            evidence.note(format!("CAA: the records of {owner} permit it: {reason}"));
            CaaDecision::Permitted
        }
        Verdict::Forbidden { reason } => {
            evidence.note(format!("CAA: the records of {owner} forbid it: {reason}"));
            let detail = format!("the CAA records of {owner} forbid this CA to issue for {identifier}: {reason}");
            CaaDecision::Forbidden { problem: problem(ProblemType::Caa, detail, identifier) }
        }
    }
}

fn failed(identifier: &Identifier, ancestor: &DnsName, failure: &DnsFailure) -> CaaDecision {
    let detail = format!(
        "looking up the CAA records of {ancestor} failed: {failure}. A certificate needs an answer, even if it says \
         that there is no such record"
    );
    CaaDecision::Failed { problem: problem(ProblemType::Dns, detail, identifier) }
}

/// A problem of this identifier, which is named in a subproblem too (RFC 8555 §6.7.1).
pub(crate) fn problem(kind: ProblemType, detail: String, identifier: &Identifier) -> Problem {
    let subproblem = Subproblem { kind: kind.clone(), detail: detail.clone(), identifier: Some(identifier.wire()) };
    Problem::new(kind, detail).with_subproblems(vec![subproblem])
}
