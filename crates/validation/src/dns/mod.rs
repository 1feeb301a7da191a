//! DNS as validation needs it: one question, one answer that says what happened and keeps the evidence.

mod exchange;
mod message;
mod resolv_conf;
mod resolver;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use crate::caa::Property;

pub use resolver::{Resolver, ResolverLimits};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// IPv4 addresses (RFC 1035 §3.4.1).
    A,
    /// IPv6 addresses (RFC 3596 §2.1).
    Aaaa,
    /// Text (RFC 1035 §3.3.14).
    Txt,
    /// Certification authority authorization (RFC 8659 §4.1).
    Caa,
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Txt => "TXT",
            Self::Caa => "CAA",
        })
    }
}

/// A record of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Of A and AAAA.
    Address(IpAddr),
    /// Of TXT: its character strings joined.
    Text(Vec<u8>),
    /// Of CAA.
    Caa(Property),
}

/// What a look-up came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The record set, not empty, of the name or of what its aliases lead to.
    Records(Vec<Record>),
    /// The name exists, but has no records of this kind (NODATA, RFC 2308 §2.2).
    NoData,
    /// The name does not exist (NXDOMAIN, RFC 2308 §2.1).
    NoName,
    /// Nobody said anything about the name that can be relied on.
    Failed(DnsFailure),
}

/// Why a look-up failed. The text fits behind "the look-up failed: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsFailure {
    /// No name server of the domain gave a good answer, or DNSSEC validation failed.
    #[error("SERVFAIL: the name servers of the domain could not be asked, or their DNSSEC signatures are wrong")]
    ServFail,
    /// The resolver did not want to say.
    #[error("REFUSED: the resolver would not answer")]
    Refused,
    /// Another code that is neither an answer nor a denial (RFC 1035 §4.1.1, RFC 6895 §2.3).
    #[error("the resolver answered with code {0}")]
    Code(u16),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The resolver could not be reached.
    #[error("no resolver could be reached")]
    Unreachable,
    /// An answer that breaks the rules of the protocol, or our limits.
    #[error("the answer can't be read: {0}")]
    Malformed(&'static str),
    /// A chain of aliases that is too long, or has no end.
    #[error("more than {} aliases (CNAME) in a row", message::ALIASES_MAX)]
    Aliases,
    /// The text is no name that DNS could have.
    #[error("this is no name that can stand in DNS: at most 253 characters, in labels of at most 63")]
    Name,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What came of it.
    pub outcome: Outcome,
    /// For how long the records may be used, in seconds: the least TTL among them and the aliases that led to them. 0
    /// if there are none.
    pub ttl_seconds: u32,
    /// Every query and its answer, one line each, in order.
    pub evidence: Vec<String>,
}

/// A source of DNS answers. Follows aliases, repeats what failed, and keeps its own limits in time; the caller can drop
/// a look-up at any moment.
#[async_trait]
pub trait Dns: Send + Sync + fmt::Debug {
    /// Looks up the records of this kind at a fully qualified name, given without the dot at its end. There is no
    /// search list, no hosts file and no memory of earlier answers.
    async fn lookup(&self, name: &str, kind: RecordKind) -> Answer;
}
