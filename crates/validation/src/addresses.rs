//! From the host of a URL to addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use acme::{Identifier, ProblemType};
use futures_util::future::join;

use crate::dns::{Answer, Dns, DnsFailure, Outcome, Record, RecordKind};
use crate::evidence::Evidence;
use crate::shortfall::Shortfall;

/// Where something is to be fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A name in lower case, without a dot at its end.
    Name(String),
    Address(IpAddr),
}

impl Host {
    pub(crate) fn of(identifier: &Identifier) -> Self {
        match identifier {
            Identifier::Dns(name) | Identifier::Wildcard(name) => Self::Name(name.as_str().to_owned()),
            Identifier::Ip(address) => Self::Address(*address),
        }
    }
}

/// As in a URL: IPv6 in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Whether the name means this machine (RFC 6761 §6.3).
pub(crate) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// The host's addresses in the order in which they are to be tried; never empty.
pub(crate) async fn resolve(
    dns: &dyn Dns,
    localhost_names: bool,
    host: &Host,
    evidence: &Evidence,
) -> Result<Vec<IpAddr>, Shortfall> {
    match host {
        Host::Address(address) => Ok(vec![*address]),
        Host::Name(name) if localhost_names && is_localhost(name) => {
            evidence.note(format!("{name} is this machine, without DNS"));
            Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)])
        }
        Host::Name(name) => lookup(dns, name, evidence).await,
    }
}

async fn lookup(dns: &dyn Dns, name: &str, evidence: &Evidence) -> Result<Vec<IpAddr>, Shortfall> {
    evidence.step(ProblemType::Dns, format!("looking up the addresses of {name}"));
    let (v6, v4) = join(dns.lookup(name, RecordKind::Aaaa), dns.lookup(name, RecordKind::A)).await;
    let mut addresses = Vec::new();
    let mut failure = None;
    let mut absent = "it has no address: neither an A nor an AAAA record";
    for answer in [v6, v4] {
        let Answer { outcome, evidence: lines, ttl_seconds: _ } = answer;
        evidence.note_all(lines);
        match outcome {
            Outcome::Records(records) => addresses.extend(records.into_iter().filter_map(address)),
            Outcome::NoData => {}
            Outcome::NoName => absent = "the name does not exist (NXDOMAIN)",
            Outcome::Failed(why) => failure = Some(why),
        }
    }
    if !addresses.is_empty() {
        // One failed look-up of two is no reason to give up: the addresses of the other are as good.
        return Ok(addresses);
    }
    Err(Shortfall::passing(ProblemType::Dns, detail(name, failure, absent)))
}

fn detail(name: &str, failure: Option<DnsFailure>, absent: &str) -> String {
    match failure {
        Some(failure) => format!("looking up the addresses (A, AAAA) of {name} failed: {failure}"),
        None => format!("{name} can't be reached: {absent}"),
    }
}

fn address(record: Record) -> Option<IpAddr> {
    match record {
        Record::Address(address) => Some(address),
        Record::Text(_) | Record::Caa(_) => None,
    }
}
