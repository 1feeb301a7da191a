//! A stub resolver that trusts little: it asks configured recursive resolvers, in order, and keeps no memory.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ca::ports::{Clock, Random};
use tokio::sync::Semaphore;

use super::exchange::{self, Fault};
use super::message::{ALIASES_MAX, End, Query, Reply, WireName};
use super::resolv_conf::system_resolvers;
use super::{Answer, Dns, DnsFailure, Outcome, Record, RecordKind};
use crate::evidence::{excerpt, push};
use crate::time_limit::within;

/// Records of an answer that an evidence line shows.
const RECORDS_SHOWN_MAX: usize = 8;

/// The limits of a [`Resolver`].
#[derive(Clone, Copy, Debug)]
pub struct ResolverLimits {
    /// Time for one try with one resolver.
    pub try_time_limit: Duration,
    /// Tries of one query, over all resolvers; 1 counts as 2.
    pub tries_max: usize,
    /// Queries under way at the same time; others wait.
    pub queries_max: usize,
    /// Whether the letters of a query are in a random case, which a forger has to guess. Servers made for tests, such
    /// as Pebble's, take names in another case for other names.
    pub mixed_case: bool,
}

/// Asks recursive resolvers.
#[derive(Debug)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    limits: ResolverLimits,
    queries: Semaphore,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Resolver {
    /// Asks these servers, in this order; without any, those that `/etc/resolv.conf` names now.
    pub fn new(servers: &[SocketAddr], limits: ResolverLimits, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let servers =
            if servers.is_empty() { system_resolvers(Path::new("/etc/resolv.conf")) } else { servers.to_vec() };
        Self { servers, limits, queries: Semaphore::new(limits.queries_max.max(1)), clock, random }
    }

    /// Asks server after server until one says something about the name.
    async fn ask(&self, name: &WireName, kind: RecordKind, lines: &mut Vec<String>) -> Result<Reply, DnsFailure> {
        let mut failure = DnsFailure::Unreachable;
        for server in self.servers.iter().cycle().take(self.limits.tries_max.max(2)) {
            let limit = self.limits.try_time_limit;
            failure = match within(&*self.clock, limit, self.try_server(*server, name, kind)).await {
                Some(Ok(reply)) if reply.is_definite() => return Ok(with_line(reply, *server, name, kind, lines)),
                Some(Ok(reply)) => reply.failure(),
                Some(Err(fault)) => {
                    if let Fault::Io(error) = &fault {
                        push(lines, format!("DNS {server}: {error}"));
                    }
                    fault.failure()
                }
                None => DnsFailure::Timeout(limit),
            };
            push(lines, format!("DNS {server}: {kind} {name}: {failure}"));
        }
        Err(failure)
    }

    /// Over UDP with a random case; if the server does not keep the case, or the answer does not fit, over TCP, which
    /// can't be forged blindly; only if there is no TCP either, over UDP in lower case.
    async fn try_server(&self, server: SocketAddr, name: &WireName, kind: RecordKind) -> Result<Reply, Fault> {
        let query = self.query(name, kind, true);
        match exchange::udp(server, &query).await {
            Ok(reply) if reply.dislikes_edns() => self.try_without_edns(server, name, kind).await,
            Ok(reply) if reply.truncated => exchange::tcp(server, &self.plain_query(name, kind)).await,
            Ok(reply) => Ok(reply),
            Err(Fault::CaseLost) => {
                let plain = self.plain_query(name, kind);
                match exchange::tcp(server, &plain).await {
                    Err(Fault::Io(_)) => exchange::udp(server, &plain).await,
                    other => other,
                }
            }
            Err(other) => Err(other),
        }
    }

    async fn try_without_edns(&self, server: SocketAddr, name: &WireName, kind: RecordKind) -> Result<Reply, Fault> {
        let query = self.query(name, kind, false);
        match exchange::udp(server, &query).await {
            Ok(reply) if reply.truncated => exchange::tcp(server, &query).await,
            other => other,
        }
    }

    fn query(&self, name: &WireName, kind: RecordKind, edns: bool) -> Query {
        let mut random = [0; 34];
        self.random.fill(&mut random);
        let (id, case) = random.split_at(2);
        let id = u16::from_be_bytes([id[0], id[1]]);
        let case = if self.limits.mixed_case { case } else { &[] };
        Query { id, name: name.with_case(case), kind, edns }
    }

    fn plain_query(&self, name: &WireName, kind: RecordKind) -> Query {
        let mut query = self.query(name, kind, true);
        query.name = name.with_case(&[]);
        query
    }
}

#[async_trait]
impl Dns for Resolver {
    async fn lookup(&self, name: &str, kind: RecordKind) -> Answer {
        let mut evidence = Vec::new();
        let (outcome, ttl_seconds) = match WireName::parse(name) {
            Some(name) => self.resolve(name, kind, &mut evidence).await,
            None => (Outcome::Failed(DnsFailure::Name), 0),
        };
        Answer { outcome, ttl_seconds, evidence }
    }
}

impl Resolver {
    async fn resolve(&self, mut name: WireName, kind: RecordKind, lines: &mut Vec<String>) -> (Outcome, u32) {
        let _permit = self.queries.acquire().await.expect("the semaphore is never closed");
        let mut aliases = 0;
        let mut ttl_seconds = u32::MAX;
        while aliases <= ALIASES_MAX {
            let followed = match self.ask(&name, kind, lines).await {
                Ok(reply) => reply.follow(&name),
                Err(failure) => return (Outcome::Failed(failure), 0),
            };
            aliases += followed.aliases.len();
            ttl_seconds = ttl_seconds.min(followed.ttl_seconds);
            for alias in &followed.aliases {
                push(lines, format!("DNS: {name} is an alias of {alias}"));
            }
            match followed.end {
                End::Alias(target) => name = target,
                End::Outcome(outcome @ Outcome::Records(_)) => {
                    show(lines, kind, &outcome, ttl_seconds);
                    return (outcome, ttl_seconds);
                }
                End::Outcome(outcome) => return (outcome, 0),
            }
        }
        (Outcome::Failed(DnsFailure::Aliases), 0)
    }
}

fn with_line(reply: Reply, server: SocketAddr, name: &WireName, kind: RecordKind, lines: &mut Vec<String>) -> Reply {
    let code = if reply.code == 0 { "NOERROR" } else { "NXDOMAIN" };
    let authenticated = if reply.authenticated { ", authenticated by the resolver" } else { "" };
    push(lines, format!("DNS {server}: {kind} {name}: {code}{authenticated}"));
    reply
}

/// The records in a line of their own.
fn show(lines: &mut Vec<String>, kind: RecordKind, outcome: &Outcome, ttl_seconds: u32) {
    let Outcome::Records(records) = outcome else {
        return;
    };
    let mut line = format!("DNS: {kind} for {ttl_seconds} s:");
    for (index, record) in records.iter().take(RECORDS_SHOWN_MAX).enumerate() {
        let separator = if index == 0 { "" } else { "," };
        // Writing to a `String` never fails.
        let _ = match record {
            Record::Address(address) => write!(line, "{separator} {address}"),
            Record::Text(text) => write!(line, "{separator} {}", excerpt(text)),
            Record::Caa(property) => write!(line, "{separator} {property}"),
        };
    }
    if records.len() > RECORDS_SHOWN_MAX {
        let _ = write!(line, " and {} more", records.len() - RECORDS_SHOWN_MAX);
    }
    push(lines, line);
}
